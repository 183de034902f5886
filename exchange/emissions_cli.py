"""carbonex registry report-emissions: factors, reports of enterprises, and what the authority decides about them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from exchange.registry_cli import AccountId, Because, By, Year, asks, parsed

if TYPE_CHECKING:
    from pydantic import BaseModel

    from api.client import AsyncClient

emissions = typer.Typer(help="Emission factors, reports of enterprises and their verification.", no_args_is_help=True)


@asks(emissions)
async def publish_factor(
    client: "AsyncClient",
    name: Annotated[str, typer.Argument(help="Name of the factor.")],
    version: Annotated[int, typer.Argument(help="1, 2, 3 ...")],
    value: Annotated[str, typer.Argument(help="A decimal.")],
    unit: Annotated[str, typer.Argument(help="tCO2 per unit of activity, e.g. tCO2/MWh.")],
    by: By,
    from_year: Annotated[int, typer.Option(help="First year of activity for which it holds.")],
    source: Annotated[str, typer.Option(help="Where it is published.")],
) -> "BaseModel":
    """Publish an emission factor or its next version."""
    return await client.publish_factor(by, name, version, value, unit, from_year, source)


@asks(emissions, changes=False)
async def factors(client: "AsyncClient") -> "Sequence[BaseModel]":
    """All versions of all emission factors."""
    return await client.factors()


@asks(emissions, "open")
async def open_reporting(
    client: "AsyncClient",
    year: Year,
    deadline: Annotated[str, typer.Argument(help="The last day that is in time, e.g. 2026-09-30.")],
    by: By,
    accounts: Annotated[list[str] | None, typer.Option("--account", help="Only from this account.")] = None,
) -> "BaseModel":
    """Make reports of a year due."""
    return await client.open_reporting(by, year, deadline, accounts or None)


@asks(emissions, "file")
async def file_report(
    client: "AsyncClient",
    account: AccountId,
    year: Year,
    lines: Annotated[
        list[str],
        typer.Argument(
            metavar="LINE...",
            help='As JSON, e.g. \'{"source": "boiler", "activity": "9000", "activity_unit": "t", "factor": "coal"}\'.',
        ),
    ],
) -> "BaseModel":
    """File the draft of a report, in the place of an earlier draft."""
    return await client.file_report(account, year, parsed(lines))


@asks(emissions)
async def submit(client: "AsyncClient", account: AccountId, year: Year) -> "BaseModel":
    """Hand the draft in for verification."""
    return await client.submit_report(account, year)


@asks(emissions)
async def restate(client: "AsyncClient", account: AccountId, year: Year, by: By, reason: Because) -> "BaseModel":
    """Begin a new version of a verified report."""
    return await client.restate_report(by, account, year, reason)


@asks(emissions)
async def assess(
    client: "AsyncClient",
    account: AccountId,
    year: Year,
    tonnes: Annotated[int, typer.Argument(help="tCO2e.")],
    by: By,
    reason: Because,
) -> "BaseModel":
    """Set the emissions of an enterprise that refused to report."""
    return await client.assess_emissions(by, account, year, tonnes, reason)


@asks(emissions)
async def sanction(
    client: "AsyncClient",
    account: AccountId,
    year: Year,
    share: Annotated[str, typer.Argument(help="What is left of the next allocation, e.g. 0.5.")],
    by: By,
    reason: Because,
) -> "BaseModel":
    """False data in a report: cut the next year's allocation."""
    return await client.sanction_report(by, account, year, share, reason)


@asks(emissions, "close")
async def close_reporting(client: "AsyncClient", year: Year, by: By) -> "BaseModel":
    """End the reporting of a year; who has not submitted by now has refused."""
    return await client.close_reporting(by, year)


@asks(emissions, "list", changes=False)
async def reports(client: "AsyncClient", year: Year) -> "Sequence[BaseModel]":
    """The reports of a year."""
    return await client.emission_reports(year)


@asks(emissions, changes=False)
async def trace(client: "AsyncClient", account: AccountId, year: Year) -> "BaseModel":
    """An enterprise's year with everything that its figure came from."""
    return await client.emission_trace(account, year)
