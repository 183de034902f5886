"""carbonex registry credits: projects and their reductions, from the methodology to the revocation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from exchange.registry_cli import Because, By, Quantity, UnitCode, asks, parsed

if TYPE_CHECKING:
    from pydantic import BaseModel

    from api.client import AsyncClient

credits = typer.Typer(help="Methodologies, projects, and batches of reductions.", no_args_is_help=True)

Who = Annotated[str, typer.Option("--by", help="Account id of who asks: the owner, or a verifier.")]
Code = Annotated[str, typer.Argument(metavar="METHODOLOGY", help="Code of the methodology.")]
ProjectId = Annotated[str, typer.Argument(metavar="PROJECT", help="Id of the project.")]
Number = Annotated[int, typer.Argument(metavar="REDUCTION", help="Number of the batch.")]
FirstDay = Annotated[str, typer.Argument(help="First day of the period, e.g. 2025-01-01.")]
LastDay = Annotated[str, typer.Argument(help="Last day of the period.")]


@asks(credits, changes=False)
async def methodologies(client: "AsyncClient") -> "Sequence[BaseModel]":
    """All methodologies."""
    return await client.methodologies()


@asks(credits, changes=False)
async def projects(client: "AsyncClient") -> "Sequence[BaseModel]":
    """All projects, as they stand."""
    return await client.projects()


@asks(credits, changes=False)
async def project(client: "AsyncClient", project: ProjectId) -> "BaseModel":
    """A project, its batches, and what may come next."""
    return await client.project(project)


@asks(credits, changes=False)
async def reductions(client: "AsyncClient") -> "Sequence[BaseModel]":
    """All batches of reductions, as they stand."""
    return await client.reductions()


@asks(credits, changes=False)
async def duties(client: "AsyncClient") -> "Sequence[BaseModel]":
    """What is still to be replaced for revoked reductions."""
    return await client.duties()


@asks(credits, changes=False)
async def overdue(client: "AsyncClient") -> "Sequence[BaseModel]":
    """What should have been decided or replaced before today."""
    return await client.overdue()


@asks(credits)
async def approve_methodology(
    client: "AsyncClient",
    code: Code,
    title: Annotated[str, typer.Argument(help="What it is called.")],
    by: By,
    sector: Annotated[str, typer.Option(help="For which sector.")],
    years: Annotated[int, typer.Option(help="For how many years a project may be credited.")],
) -> "BaseModel":
    """Approve a methodology."""
    return await client.approve_methodology(by, code, title, sector, years)


@asks(credits)
async def withdraw_methodology(client: "AsyncClient", code: Code, by: By) -> "BaseModel":
    """Let nothing more be filed by a methodology."""
    return await client.withdraw_methodology(by, code)


@asks(credits)
async def file_project(
    client: "AsyncClient",
    project: ProjectId,
    title: Annotated[str, typer.Argument(help="What it is called.")],
    by: Who,
    scheme: Annotated[str, typer.Option(help="Scheme of its credits, e.g. HBCER.")],
    methodology: Annotated[str, typer.Option(help="Code of the methodology.")],
    kind: Annotated[str, typer.Option(help="Type of project, e.g. forestry.")],
    region: Annotated[str, typer.Option(help="Where it is.")],
    started_on: Annotated[str, typer.Option(help="When it began, e.g. 2024-01-01.")],
    crediting_from: Annotated[str, typer.Option(help="First day of the crediting period.")],
    crediting_to: Annotated[str, typer.Option(help="Last day of the crediting period.")],
    also: Annotated[list[str] | None, typer.Option("--also", help="What it is called elsewhere.")] = None,
) -> "BaseModel":
    """Ask that a project be registered."""
    return await client.file_project(
        by, project, scheme=scheme, methodology=methodology, title=title, kind=kind, region=region,
        started_on=started_on, crediting_from=crediting_from, crediting_to=crediting_to, also_known_as=also or [],
    )  # fmt: skip


@asks(credits)
async def validate(
    client: "AsyncClient",
    project: ProjectId,
    by: Who,
    positive: Annotated[bool, typer.Option("--positive/--negative", help="The opinion in a word.")],
    opinion: Annotated[str, typer.Option(help="The opinion.")] = "",
) -> "BaseModel":
    """Give a verifier's opinion of a project."""
    return await client.validate_project(by, project, positive, opinion)


@asks(credits)
async def publish_project(client: "AsyncClient", project: ProjectId, by: By) -> "BaseModel":
    """Begin a project's publicity."""
    return await client.publish_project(by, project)


@asks(credits)
async def register_project(
    client: "AsyncClient",
    project: ProjectId,
    by: By,
    grade: Annotated[str, typer.Option(help="Quality of its credits.")] = "",
) -> "BaseModel":
    """Register a project."""
    return await client.register_project(by, project, grade)


@asks(credits)
async def reject_project(client: "AsyncClient", project: ProjectId, by: By, reason: Because) -> "BaseModel":
    """Reject a project."""
    return await client.reject_project(by, project, reason)


@asks(credits)
async def suspend(client: "AsyncClient", project: ProjectId, by: By, reason: Because) -> "BaseModel":
    """Suspend a project while fraud is suspected."""
    return await client.suspend_project(by, project, reason)


@asks(credits)
async def reinstate(client: "AsyncClient", project: ProjectId, by: By) -> "BaseModel":
    """Let a suspended project go on."""
    return await client.reinstate_project(by, project)


@asks(credits)
async def report(
    client: "AsyncClient", project: ProjectId, first_day: FirstDay, last_day: LastDay, tonnes: Quantity, by: Who
) -> "BaseModel":
    """Report a batch of what was monitored."""
    return await client.report_reduction(by, project, first_day, last_day, tonnes)


@asks(credits)
async def green_power(
    client: "AsyncClient",
    plant: Annotated[str, typer.Argument(help="Id of the plant.")],
    first_day: FirstDay,
    last_day: LastDay,
    mwh: Annotated[str, typer.Argument(metavar="MWH", help="Fed in; a decimal.")],
    factor: Annotated[str, typer.Argument(help="tCO2 per MWh; a decimal.")],
    by: Who,
    source: Annotated[str, typer.Option(help="Where the factor is published.")] = "",
    region: Annotated[str, typer.Option(help="Where the plant is.")] = "",
    certificates: Annotated[
        list[str] | None,
        typer.Option("--certificates", help='First and last id of a series as JSON, e.g. \'["GEC-1", "GEC-2500"]\'.'),
    ] = None,
) -> "BaseModel":
    """Enter what a plant fed in as a reduction."""
    return await client.register_green_power(
        by, plant, mwh, factor, first_day, last_day,
        factor_source=source, region=region, certificates=parsed(certificates or []),
    )  # fmt: skip


@asks(credits)
async def inclusion(
    client: "AsyncClient",
    batch: Annotated[str, typer.Argument(help="The platform's reference of the batch.")],
    first_day: FirstDay,
    last_day: LastDay,
    grams: Annotated[int, typer.Argument(help="gCO2e.")],
    scenario: Annotated[str, typer.Argument(help="What the users did.")],
    by: Who,
    region: Annotated[str, typer.Option(help="Where.")] = "",
) -> "BaseModel":
    """Enter a batch of what users of a carbon-inclusion platform saved."""
    return await client.register_inclusion(by, batch, grams, first_day, last_day, scenario, region=region)


@asks(credits)
async def verify(client: "AsyncClient", reduction: Number, tonnes: Quantity, by: Who) -> "BaseModel":
    """Confirm a batch, or less of it."""
    return await client.verify_reduction(by, reduction, tonnes)


@asks(credits)
async def publish(client: "AsyncClient", reduction: Number, by: By) -> "BaseModel":
    """Begin a batch's publicity."""
    return await client.publish_reduction(by, reduction)


@asks(credits)
async def issue(client: "AsyncClient", reduction: Number, by: By) -> "BaseModel":
    """Issue the units of a batch to its owner."""
    return await client.issue_reduction(by, reduction)


@asks(credits)
async def reject(client: "AsyncClient", reduction: Number, by: By, reason: Because) -> "BaseModel":
    """Reject a batch."""
    return await client.reject_reduction(by, reduction, reason)


@asks(credits)
async def revoke(client: "AsyncClient", reduction: Number, by: By, reason: Because) -> "BaseModel":
    """Revoke a batch that was fraud."""
    return await client.revoke_reduction(by, reduction, reason)


@asks(credits)
async def replace(client: "AsyncClient", reduction: Number, unit: UnitCode, quantity: Quantity, by: Who) -> "BaseModel":
    """Give other units in the place of revoked ones."""
    return await client.replace_units(by, reduction, unit, quantity)
