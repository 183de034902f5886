"""carbonex registry: the registry operator's desk, on a running exchange or, for reports, on a journal.

Each command below is one call of the client (:mod:`api.registry_calls`); `asks` gives it its options and prints the
answer: sentences and tables for people, JSON or CSV by option or by the suffix of the file. What changes something
takes `--dry-run`, which prints the request and sends nothing.
"""

import asyncio
import inspect
import json
import shutil
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from exchange.console import fail, fail_to_read, load_compiled
from registry.accounts import AccountStatus
from registry.emissions import Verdict
from registry.locks import LockKind
from registry.serials import Origin
from registry.units import Species

if TYPE_CHECKING:
    from pydantic import BaseModel

    from api.client import AsyncClient
    from exchange.state import Exchange

# Panels of `registry --help`.
READING, ACCOUNTS, UNITS = "Reading", "Accounts and their cash", "Units"
ALLOCATION, REPORTS, SURRENDER = "Coverage and allocation", "Emission reports", "Surrender and the end of a year"
CREDITS = "Credits"

registry = typer.Typer(
    help="The registry operator's desk: units, allocation, surrender, reports.", no_args_is_help=True
)
allocate = typer.Typer(help="A compliance year from its opening to the final allocation.", no_args_is_help=True)
registry.add_typer(allocate, name="allocate", rich_help_panel=ALLOCATION)

DEFAULT_URL = "http://127.0.0.1:8000"

By = Annotated[str, typer.Option(envvar="CARBONEX_BY", help="Account id of who asks: the registry authority's.")]
AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Account id.")]
Year = Annotated[int, typer.Argument(help="Compliance year.")]
UnitCode = Annotated[str, typer.Argument(metavar="UNIT", help="Code of the unit, e.g. HBEA-2024.")]
Quantity = Annotated[int, typer.Argument(help="tCO2e.")]
Amount = Annotated[str, typer.Argument(help="Of the currency, e.g. 50000.00.")]
Currency = Annotated[str | None, typer.Option(help="ISO 4217 code; left out: the market's own.")]
LockId = Annotated[int, typer.Argument(metavar="LOCK", help="Number of the lock.")]
RequestId = Annotated[int, typer.Argument(metavar="REQUEST", help="Number of the request to surrender.")]
Because = Annotated[str, typer.Option("--reason", help="Why.")]
Journal = Annotated[Path | None, typer.Option("--journal", help="Read this journal instead of asking an exchange.")]

ClassName = Literal[
    "covered_enterprise", "institution", "individual", "market_operator", "registry_authority", "verifier",
    "clearing_bank",
]  # fmt: skip
Cause = Literal["inheritance", "merger", "enforcement", "correction"]


class Options(NamedTuple):
    """What all commands take; `html` only those whose answer can be a page, `dry_run` only those that change."""

    url: Annotated[str, typer.Option(envvar="CARBONEX_URL", help="The running exchange.")] = DEFAULT_URL
    json: Annotated[bool, typer.Option("--json", help="Answer as JSON.")] = False
    csv: Annotated[bool, typer.Option("--csv", help="Answer as CSV.")] = False
    html: Annotated[bool, typer.Option("--html", help="Answer as a page to be printed.")] = False
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write to this file; its suffix says in which format.")
    ] = None
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the request, send nothing.")] = False

    def format(self, known: Sequence[str]) -> str:
        """One of the known formats, or table."""
        options = [f"--{name}" for name in known]
        asked, *further = [name for name in known if getattr(self, name)] or [""]
        if further:
            fail("invalid_option", f"{' or '.join(options)}, not more than one")
        if self.out is None:
            return asked or "table"
        suffix = self.out.suffix.removeprefix(".").lower()
        if not asked and suffix not in known:
            named = " or ".join(f".{name}" for name in known)
            fail("invalid_option", f"{self.out}: name a file {named}, or say {' or '.join(options)}")
        if self.out.exists() and not self.force:
            fail("file_exists", f"{self.out} is there already; --force overwrites it")
        return asked or suffix


Ask = Callable[..., Coroutine[Any, Any, "BaseModel | Sequence[BaseModel] | str"]]


def asks(
    app: typer.Typer,
    name: str | None = None,
    *,
    changes: bool = True,
    panel: str | None = None,
    formats: Sequence[str] = ("json", "csv", "html"),
    fails: Callable[[Any], bool] = lambda told: False,
) -> Callable[[Ask], Ask]:
    """Make a question to the client a command, with the options that all have; `panel`: where help lists it.

    A question with a parameter `format` is told which of its `formats`, or table, is wanted. It may answer with text.
    What it is told may be a failure: exit code 2.
    """
    defaults, hints = Options._field_defaults, Options.__annotations__

    def made(ask: Ask) -> Ask:
        own = list(inspect.signature(ask).parameters.values())[1:]  # the first is the client
        is_told = any(one.name == "format" for one in own)
        own = [one for one in own if one.name != "format"]
        known = formats if is_told else ("json", "csv")
        left_out = {"dry_run" if not changes else "", "html" if "html" not in known else ""}
        taken = [option for option in Options._fields if option not in left_out]
        keyword = inspect.Parameter.KEYWORD_ONLY
        common = [
            inspect.Parameter(option, keyword, default=defaults[option], annotation=hints[option]) for option in taken
        ]

        def command(**given: Any) -> None:
            options = Options(**{option: given.pop(option) for option in taken})
            format = options.format(known)  # before anything is asked: the file must be there to be written
            told = {"format": format} if is_told else {}
            answer = asyncio.run(_asked(partial(ask, **given, **told), options))
            _print(answer, options, format)
            if fails(answer):
                raise typer.Exit(2)

        parameters = [one.replace(kind=keyword) for one in own] + common
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        command.__doc__ = ask.__doc__
        app.command(name or ask.__name__.rstrip("_").replace("_", "-"), rich_help_panel=panel)(command)
        return ask

    return made


async def _asked(ask: Callable[..., Any], options: Options) -> "BaseModel | Sequence[BaseModel] | str":
    from api.client import CONNECTION_LOST, ApiError, AsyncClient, DryRun, NotSent
    from exchange.reasons import Refused

    try:
        async with AsyncClient(options.url, transport=DryRun() if options.dry_run else None) as client:
            answer: BaseModel | Sequence[BaseModel] | str = await ask(client)
            return answer
    except NotSent as request:
        return f"{request.method} {options.url}{request.path}\n{request.body}".rstrip() + "\n"
    except ApiError as error:
        if error.code == CONNECTION_LOST:
            fail(error.code, nobody_at(options.url, error.detail))
        fail(error.code, error.detail, 2 if error.status >= 500 else 1)
    except Refused as refused:
        fail(refused.reason.code, refused.detail)


def nobody_at(url: str, detail: str) -> str:
    """What to do where no exchange answers."""
    return (
        f"no exchange answers at {url} ({detail}); `carbonex serve` starts one here (`make run` one with a market), "
        "--url or CARBONEX_URL names another"
    )


# ---------------------------------------------------------------- what there is


@asks(registry, changes=False, panel=READING)
async def accounts(client: "AsyncClient") -> "Sequence[BaseModel]":
    """All accounts with their class and status."""
    return sorted(await client.accounts(), key=lambda account: account.account_id)


@asks(registry, changes=False, panel=READING)
async def units(client: "AsyncClient") -> "Sequence[BaseModel]":
    """All kinds of unit, and what became of what was issued."""
    return await client.units()


@asks(registry, changes=False, panel=READING)
async def locks(client: "AsyncClient") -> "Sequence[BaseModel]":
    """All locks that hold."""
    return await client.locks()


@asks(registry, changes=False, panel=READING)
async def statement(client: "AsyncClient", account: AccountId, journal: Journal = None) -> "BaseModel":
    """An account's units: balances, the serial numbers behind them, what brought them, and what is gone."""
    if journal:
        from api.registry_views import account_named, statement_view

        exchange = _read(journal)
        return statement_view(exchange, account_named(exchange, account))
    return await client.registry_statement(account)


@asks(registry, changes=False, panel=READING)
async def serial(
    client: "AsyncClient",
    unit: UnitCode,
    number: Annotated[int, typer.Argument(help="Serial number.")],
    journal: Journal = None,
) -> "BaseModel":
    """Who held a serial number when, and what happened to it."""
    if journal:
        from api.registry_views import serial_history, unit_named

        exchange = _read(journal)
        return serial_history(exchange, unit_named(exchange, unit), number)
    return await client.serial(unit, number)


@asks(registry, changes=False, panel=READING)
async def report(client: "AsyncClient", journal: Journal = None) -> "BaseModel":
    """Where all units are: a row a kind of unit, a column a kind of account or end, and totals.

    \b
    general                 held by institutions, individuals, the operator
    compliance              held by covered enterprises
    limited use             locked: pledged, frozen, waiting for surrender
    voluntary               retired by their holders' own will
    auction and issuance    with the authority, to be sold or given
    retirement              surrendered for emissions
    invalidation            credits cancelled
    reserve                 with the authority, government reserve
    environmental integrity allowances cancelled: taken back, lapsed, carried over
    total                   all that was issued: the sum of the others

    For people, columns in which nothing stands are left out.
    """
    if journal:
        from api.registry_views import report_view

        return report_view(_read(journal))
    return await client.registry_report()


@asks(registry, changes=False, panel=READING)
async def large_holders(client: "AsyncClient") -> "Sequence[BaseModel]":
    """Accounts whose position in allowances is to be reported."""
    return await client.large_holders()


@asks(registry, changes=False, panel=READING)
async def periods(client: "AsyncClient") -> "Sequence[BaseModel]":
    """All compliance years in figures."""
    return await client.periods()


@asks(registry, "coverage", changes=False, panel=READING)
async def covered(client: "AsyncClient", year: Year) -> "Sequence[BaseModel]":
    """Who is covered in a year and who is not, and why."""
    return await client.coverage(year)


@asks(registry, changes=False, panel=READING)
async def obligors(client: "AsyncClient", year: Year) -> "Sequence[BaseModel]":
    """All covered enterprises of a year: due, surrendered, waiting, missing, outcome, fine."""
    return sorted(await client.obligors(year), key=lambda obligor: obligor.account_id)


@asks(registry, changes=False, panel=READING)
async def obligor(client: "AsyncClient", account: AccountId, year: Year) -> "BaseModel":
    """An enterprise's year: covered why, allocated how much, still to offer, what would make it whole, its fine."""
    return await client.obligor(year, account)


@asks(registry, changes=False, panel=READING)
async def records(
    client: "AsyncClient", year: Annotated[int | None, typer.Option(help="Only this compliance year.")] = None
) -> "Sequence[BaseModel]":
    """How closed years ended, enterprise by enterprise."""
    return await client.compliance_records(year)


def _read(journal: Path) -> "Exchange":
    from exchange.engine import read_exchange
    from exchange.journal import JournalError

    load_compiled("trading")
    try:
        return read_exchange(journal)
    except JournalError as error:
        fail_to_read(error)


# ---------------------------------------------------------------- accounts and units


@asks(registry, panel=ACCOUNTS)
async def open_account(
    client: "AsyncClient",
    account: AccountId,
    name: Annotated[str, typer.Argument(help="Name of the participant.")],
    participant_class: Annotated[ClassName, typer.Option("--class", help="Class of the participant.")],
    region: Annotated[str, typer.Option(help="Where its installations are.")] = "",
    pending: Annotated[bool, typer.Option("--pending", help="It becomes active later, by its status.")] = False,
) -> "BaseModel":
    """Open an account."""
    return await client.open_account(account, name, participant_class, region=region, approved=not pending)


@asks(registry, panel=ACCOUNTS)
async def status(
    client: "AsyncClient", account: AccountId, status: AccountStatus, by: By, reason: Because
) -> "BaseModel":
    """Activate, restrict, freeze or close an account."""
    return await client.change_account_status(by, account, status, reason)


@asks(registry, panel=ACCOUNTS)
async def deposit(client: "AsyncClient", account: AccountId, amount: Amount, currency: Currency = None) -> "BaseModel":
    """Pay cash into an account."""
    return await client.deposit(account, amount, currency)


@asks(registry, panel=ACCOUNTS)
async def withdraw(client: "AsyncClient", account: AccountId, amount: Amount, currency: Currency = None) -> "BaseModel":
    """Pay cash out of an account: only what is available and settled."""
    return await client.withdraw(account, amount, currency)


@asks(registry, panel=UNITS)
async def transfer(
    client: "AsyncClient",
    account: AccountId,
    unit: UnitCode,
    quantity: Annotated[int, typer.Argument(metavar="TONNES", help="tCO2e.")],
    to: Annotated[Literal["trading", "registry"], typer.Option(help="To which side of the account.")],
) -> "BaseModel":
    """Move units between the registry side and the trading side of an account."""
    return await client.transfer(account, unit, quantity, to)


@asks(registry, panel=UNITS)
async def register_unit(
    client: "AsyncClient",
    unit: UnitCode,
    species: Species,
    vintage: int,
    by: By,
    scheme: str = "",
    project: str = "",
    kind: str = "",
    region: str = "",
    grade: str = "",
) -> "BaseModel":
    """Register a kind of unit that is not listed for trading."""
    return await client.register_unit(
        by, unit, species, vintage, scheme=scheme, project=project, kind=kind, region=region, grade=grade
    )


@asks(registry, panel=UNITS)
async def issue(
    client: "AsyncClient",
    account: AccountId,
    unit: UnitCode,
    quantity: Quantity,
    origin: Annotated[Origin, typer.Option(help="How they come into being.")] = Origin.FREE,
) -> "BaseModel":
    """Create units on the registry side of an account."""
    return await client.issue(account, unit, quantity, origin)


@asks(registry, panel=UNITS)
async def give(
    client: "AsyncClient",
    giver: Annotated[str, typer.Argument(help="Account id.")],
    taker: Annotated[str, typer.Argument(help="Account id.")],
    unit: UnitCode,
    quantity: Quantity,
    cause: Cause,
    by: By,
) -> "BaseModel":
    """Move title from one account to another without a trade."""
    return await client.give_units(by, giver, taker, unit, quantity, cause)


@asks(registry, panel=UNITS)
async def retire(
    client: "AsyncClient",
    account: AccountId,
    unit: UnitCode,
    quantity: Quantity,
    purpose: Annotated[str, typer.Option(help="What for.")],
) -> "BaseModel":
    """Give units up for good, of the holder's own will."""
    return await client.retire_units(account, unit, quantity, purpose)


@asks(registry, panel=UNITS)
async def cancel(
    client: "AsyncClient", account: AccountId, unit: UnitCode, quantity: Quantity, by: By, reason: Because
) -> "BaseModel":
    """Take units of an account out of the world."""
    return await client.cancel_units(by, account, unit, quantity, reason)


@asks(registry, panel=UNITS)
async def lock(
    client: "AsyncClient",
    account: AccountId,
    unit: UnitCode,
    quantity: Quantity,
    kind: LockKind,
    by: By,
    reference: Annotated[str, typer.Option(help="File number of the court, contract of the pledge.")],
    in_favour_of: Annotated[str | None, typer.Option(help="Account id of pledgee or creditor.")] = None,
) -> "BaseModel":
    """Pledge units, or freeze them for a court."""
    return await client.lock_units(by, account, unit, quantity, kind, reference, in_favour_of)


@asks(registry, panel=UNITS)
async def release(client: "AsyncClient", lock: LockId, quantity: Quantity, by: By) -> "BaseModel":
    """End a lock, or part of it: the units are free again."""
    return await client.release_units(by, lock, quantity)


@asks(registry, panel=UNITS)
async def enforce(client: "AsyncClient", lock: LockId, quantity: Quantity, by: By) -> "BaseModel":
    """Give locked units to the account in whose favour they are locked."""
    return await client.enforce_lock(by, lock, quantity)


# ---------------------------------------------------------------- who is covered, and who gets how much


@asks(allocate)
async def open_period(
    client: "AsyncClient",
    year: Year,
    cap: Annotated[int, typer.Argument(help="tCO2e; 0: none.")],
    by: By,
    market_factor: Annotated[str, typer.Option(help="Market adjustment factor, a decimal.")] = "1",
) -> "BaseModel":
    """Begin a compliance year under a cap."""
    return await client.open_period(by, year, cap, market_factor)


@asks(allocate)
async def activity(
    client: "AsyncClient",
    account: AccountId,
    year: Year,
    by: By,
    emissions: Annotated[int | None, typer.Option(help="tCO2e; left out: not known.")] = None,
    energy_tce: Annotated[int | None, typer.Option(help="tce; left out: not known.")] = None,
    closed: Annotated[bool, typer.Option("--closed", help="It closed in that year.")] = False,
    national: Annotated[bool, typer.Option("--national", help="It was in the national market.")] = False,
    sector: Annotated[str, typer.Option(help="Its sector.")] = "",
) -> "BaseModel":
    """Record an enterprise's figures of a year, by which coverage is decided."""
    figures = {
        "year": year, "emissions": emissions, "energy_tce": energy_tce, "closed": closed,
        "in_national_market": national,
    }  # fmt: skip
    return await client.record_activity(by, account, figures, sector)


@asks(allocate)
async def coverage(client: "AsyncClient", year: Year, by: By) -> "BaseModel":
    """Decide for every enterprise with figures whether it is covered, and say why."""
    return await client.decide_coverage(by, year)


@asks(allocate)
async def basis(
    client: "AsyncClient",
    account: AccountId,
    year: Year,
    bases: Annotated[
        list[str],
        typer.Argument(
            metavar="BASIS...",
            help='As JSON, e.g. \'{"method": "historical", "base_emissions": 15000, "sector_factor": "0.95"}\'.',
        ),
    ],
    by: By,
) -> "BaseModel":
    """Set on what an enterprise's allocation rests, one basis a generating unit or product line."""
    return await client.set_basis(by, account, year, parsed(bases))


def parsed(texts: Sequence[str]) -> list[Any]:
    """Arguments that are JSON."""
    try:
        return [json.loads(text) for text in texts]
    except json.JSONDecodeError as error:
        fail("malformed_json", f"{error.doc!r}: {error}")


@asks(allocate)
async def pre_allocate(client: "AsyncClient", year: Year, by: By) -> "BaseModel":
    """Issue the first part to every covered enterprise, and the reserve and the paid part to the authority."""
    return await client.pre_allocate(by, year)


@asks(allocate)
async def determine(client: "AsyncClient", year: Year, by: By) -> "BaseModel":
    """Fix every covered enterprise's final allocation, and issue or take back the difference."""
    return await client.determine_allocation(by, year)


# ---------------------------------------------------------------- verification, surrender, and the end of the year


@asks(registry, panel=REPORTS)
async def verify(
    client: "AsyncClient",
    account: AccountId,
    year: Year,
    verdict: Verdict,
    by: Annotated[str, typer.Option(help="Account id of the verifier.")],
    tonnes: Annotated[int | None, typer.Option(help="Of a correction, tCO2e.")] = None,
    reasons: Annotated[str, typer.Option(help="Why.")] = "",
) -> "BaseModel":
    """Confirm, correct or reject an emission report."""
    return await client.verify_report(by, account, year, verdict, tonnes, reasons)


@asks(registry, panel=SURRENDER)
async def open_surrender(
    client: "AsyncClient",
    year: Year,
    deadline: Annotated[str, typer.Argument(help="The last day that is in time, e.g. 2026-12-26.")],
    by: By,
) -> "BaseModel":
    """Open the surrender window of a year."""
    return await client.open_surrender(by, year, deadline)


@asks(registry, panel=SURRENDER)
async def remind(client: "AsyncClient", year: Year, by: By) -> "BaseModel":
    """Say what everybody still owes for a year."""
    return await client.remind_obligors(by, year)


@asks(registry, panel=SURRENDER)
async def surrender(
    client: "AsyncClient",
    account: AccountId,
    year: Year,
    chosen: Annotated[
        list[str] | None,
        typer.Argument(metavar="[UNIT=TONNES]...", help="What to surrender; left out: whatever makes whole."),
    ] = None,
    on_behalf_of: Annotated[str | None, typer.Option(help="Account id of whose emissions are paid for.")] = None,
) -> "BaseModel":
    """Offer units for a year's emissions; the authority confirms."""
    tonnes = {}
    for one in chosen or []:
        unit, _, quantity = one.rpartition("=")
        if not unit or not quantity.isdecimal():
            fail("invalid_option", f"{one!r} is not like HBEA-2024=100")
        tonnes[unit] = int(quantity)
    return await client.request_surrender(account, year, tonnes or None, on_behalf_of)


@asks(registry, changes=False, panel=SURRENDER)
async def surrenders(client: "AsyncClient", year: Year) -> "Sequence[BaseModel]":
    """The requests to surrender that wait for the authority."""
    return await client.surrenders(year)


@asks(registry, panel=SURRENDER)
async def confirm(client: "AsyncClient", request: RequestId, by: By) -> "BaseModel":
    """Confirm a surrender: its units are gone for good."""
    return await client.confirm_surrender(by, request)


@asks(registry, panel=SURRENDER)
async def reject(client: "AsyncClient", request: RequestId, by: By, reason: Because) -> "BaseModel":
    """Reject a surrender: its units are free again."""
    return await client.reject_surrender(by, request, reason)


@asks(registry, panel=SURRENDER)
async def force_surrender(client: "AsyncClient", account: AccountId, year: Year, by: By) -> "BaseModel":
    """Pay an enterprise's year with what is parked for it and with what it has."""
    return await client.force_surrender(by, account, year)


@asks(registry, panel=SURRENDER)
async def release_parked(client: "AsyncClient", account: AccountId, year: Year, by: By) -> "BaseModel":
    """Give an enterprise the allowances that were parked with the authority."""
    return await client.release_parked(by, account, year)


@asks(registry, panel=SURRENDER)
async def close_surrender(client: "AsyncClient", year: Year, by: By) -> "BaseModel":
    """Close the window after its deadline: every covered enterprise has complied or is short, and pays for it."""
    return await client.close_surrender(by, year)


@asks(registry, panel=SURRENDER)
async def pay_fine(client: "AsyncClient", account: AccountId, year: Year) -> "BaseModel":
    """Pay the fine of a year out of an account's cash."""
    return await client.pay_fine(account, year)


@asks(registry, panel=SURRENDER)
async def lapse(client: "AsyncClient", year: Year, by: By) -> "BaseModel":
    """Cancel what lapses with a closed year by the rules."""
    return await client.lapse_units(by, year)


@asks(registry, panel=SURRENDER)
async def carry_over(
    client: "AsyncClient",
    account: AccountId,
    year: Year,
    by: By,
    quantity: Annotated[int | None, typer.Option(help="tCO2e; left out: as much as may be.")] = None,
) -> "BaseModel":
    """Exchange allowances of a closed year for as many of the next, as the rules admit."""
    return await client.carry_over_units(by, account, year, quantity)


# ---------------------------------------------------------------- printing


def _print(answer: "BaseModel | Sequence[BaseModel] | str", options: Options, format: str) -> None:
    text = answer if isinstance(answer, str) else _written(answer, format)
    if options.out is None or options.dry_run:
        sys.stdout.write(text)
        return
    try:
        options.out.write_text(text, encoding="utf-8")
    except OSError as error:
        fail("file_unwritable", f"{options.out}: {error.strerror}")


def _written(answer: "BaseModel | Sequence[BaseModel]", format: str) -> str:
    from pydantic import BaseModel

    from api.tables import PIPED, csv_of, rows_of, table_of

    match format:
        case "json":
            shown = (
                answer.model_dump(mode="json")
                if isinstance(answer, BaseModel)
                else [one.model_dump(mode="json") for one in answer]
            )
            return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
        case "csv":
            return csv_of(rows_of(answer))
        case _:
            return table_of(answer, shutil.get_terminal_size((PIPED, 0)).columns if sys.stdout.isatty() else PIPED)
