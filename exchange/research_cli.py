"""carbonex replay, convert, validate: order flow from files, ours and other people's; our own days: `own_days_cli`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from exchange.console import fail, load_compiled, say
from exchange.own_days_cli import Asked, replay_journal
from exchange.research.what import What

if TYPE_CHECKING:
    from exchange.research.sources import About, LobsterSource, Source
    from exchange.rows import type_of_rows

AssignedIds = Annotated[
    bool, typer.Option("--assigned-ids", help="References are the exchange's own: 1, 2, 3 ... in order of arrival.")
]


class FormatName(StrEnum):
    """The formats by name; see exchange.research.sources.Format."""

    LOBSTER = "lobster"
    ITCH = "itch"
    DBN = "dbn"
    FLOW = "flow"
    JOURNAL = "journal"


class Mode(StrEnum):
    """How a flow is replayed."""

    AS_REPORTED = "as-reported"
    REMATCHED = "rematched"


MEANING = {
    Mode.AS_REPORTED: "every message at its word, nothing matched; own orders would not appear in it",
    Mode.REMATCHED: "aggressors inferred, everything matched again by our book",
}
SHOWN = 20  # divergences and exceptions on the screen; the report has more

File = Annotated[Path, typer.Argument(metavar="FILE", help="Order flow: LOBSTER, ITCH, DBN, our own flow or journal.")]
OfFormat = Annotated[FormatName | None, typer.Option("--format", help="If it is not recognised by name or content.")]
Symbol = Annotated[str, typer.Option(help="Which stock or instrument, where the file has several.")]
Day = Annotated[
    str, typer.Option("--date", help="Local day of times after midnight, e.g. 2012-06-21, if no name says it.")
]
Zone = Annotated[str, typer.Option(help="Time zone of the market that has local times.")]
Tick = Annotated[str, typer.Option(help="Price of one tick of our own flow: a multiple of 0.0001.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output.")]


def replay(
    file: File,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Events of our own flow: .parquet, .csv or .npy. Of a journal: a .journal, or a table: see --what.",
        ),
    ] = None,
    mode: Annotated[
        Mode | None, typer.Option(help="As reported: prove the book; rematched (default): match everything again.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write all of it to this .json file.")] = None,
    assigned_ids: AssignedIds = False,
    of: OfFormat = None,
    symbol: Symbol = "",
    day: Day = "",
    zone: Zone = "America/New_York",
    until: Annotated[
        str, typer.Option(help="Of a journal: the state at this moment, local unless it says its offset.")
    ] = "",
    at_seq: Annotated[int | None, typer.Option(min=1, help="Of a journal: the state after this command.")] = None,
    rules: Annotated[
        str, typer.Option(help="Of a journal: play it under these rules too, by name or a .toml file, and compare.")
    ] = "",
    what: Annotated[What | None, typer.Option(help="Of a journal: which table to write, as `carbonex export`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Of a journal: as JSON.")] = False,
    force: Force = False,
) -> None:
    """Replay order flow: a vendor's against what it reported, our own through the book (generic rules, no accounts).

    Or a journal of the exchange: its state at any moment, and the same days under other rules.
    """
    from exchange.research.sources import FlowSource, Format, LobsterSource, recognise

    of_journals = Asked(until, at_seq, rules, what, out, report, as_json, force)
    with _faults():
        if mode is None and (of.value if of else recognise(file)) == Format.JOURNAL:
            replay_journal(file, of_journals)
            return
        if of_journals._replace(out=None, report=None, force=False) != Asked():
            fail("invalid_option", "--until, --at-seq, --rules, --what and --json are for a journal without a --mode")
        source = _opened(file, of, symbol, day, zone)
        if isinstance(source, FlowSource) and mode is None and report is None:
            if out is None:
                fail("output_needed", "say with --out where the events go")
            _play(source.file, out, assigned_ids, force)
            return
        if out is not None:
            fail("no_events", "a replay in a mode leads to a --report; `carbonex convert` makes a flow that has events")
        if report is not None and report.exists() and not force:
            fail("output_exists", f"{report} exists; --force overwrites it")
        mode = mode or Mode.REMATCHED
        if mode == Mode.AS_REPORTED and not isinstance(source, LobsterSource):
            fail(
                "no_books", f"{source.format.value} files have no book to prove: `carbonex validate` follows the orders"
            )
        header = {"mode": mode.value, "meaning": MEANING[mode], **source.header()}
        for name, value in header.items():
            say(f"{name}: {value}")
        if isinstance(source, LobsterSource) and mode == Mode.AS_REPORTED:
            found, verdict = _as_reported(source)
        else:
            load_compiled("flow")
            found, verdict = _rematched(source)
        if report is not None:
            _write_json(report, {**header, **found})
    raise typer.Exit(verdict)


def convert(
    file: File,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Order flow (.parquet, .csv, .npy), .itch, or a name as LOBSTER's message files."
        ),
    ],
    of: OfFormat = None,
    symbol: Symbol = "",
    day: Day = "",
    zone: Zone = "America/New_York",
    tick: Tick = "0.0001",
    force: Force = False,
) -> None:
    """Convert order flow, in memory that does not grow with it."""
    from exchange.research.convert import convert as converted

    with _faults():
        source = _opened(file, of, symbol, day, zone, tick, out)
        load_compiled("flow")
        written = converted(source, out, force)
    say(f"{written:,} messages in {out}")


def validate(
    file: File,
    of: OfFormat = None,
    symbol: Symbol = "",
    day: Day = "",
    zone: Zone = "America/New_York",
) -> None:
    """Read order flow to its end; the first row that is wrong is named with its column and why."""
    with _faults():
        source = _opened(file, of, symbol, day, zone)
        load_compiled("flow")
        rows = source.validate()
    say(f"{source.file.name}: {rows:,} messages, nothing wrong")


@contextmanager
def _faults() -> Iterator[None]:
    from exchange.flow_files import FlowFileError
    from exchange.research.convert import OutputError
    from exchange.research.messages import FormatError

    try:
        yield
    except FormatError as error:
        fail("malformed_file", str(error))
    except OutputError as error:
        fail(error.code, str(error))
    except FlowFileError as error:
        fail("invalid_flow_file", str(error))


def _opened(
    file: Path,
    of: FormatName | None,
    symbol: str,
    day: str = "",
    zone: str = "America/New_York",
    tick: str = "0.0001",
    out: Path | None = None,
) -> "Source":
    from exchange.research.sources import Format, open_source

    return open_source(file, _about(symbol, day, zone, tick, out), Format(of.value) if of else None)


def _about(symbol: str, day: str, zone: str, tick: str, out: Path | None) -> "About":
    """What the options say; a LOBSTER name for the output says symbol and day too."""
    from zoneinfo import ZoneInfo

    from exchange.research.lobster import NAME
    from exchange.research.sources import SMALLEST, About

    name = NAME.fullmatch(out.name) if out else None
    text = day or (name["date"] if name else "")
    try:
        local = date.fromisoformat(text) if text else None
    except ValueError:
        fail("invalid_date", f"{text!r} is not a date like 2012-06-21")
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        fail("invalid_zone", f"{zone!r} is no time zone")
    try:
        price = Decimal(tick)
    except InvalidOperation:
        price = Decimal(0)
    if not price.is_finite() or price <= 0 or price % SMALLEST:
        fail("invalid_tick", f"{tick!r} is not a multiple of {SMALLEST}")
    return About(symbol, local, zone, price)


def _play(flow: Path, out: Path, assigned_ids: bool, force: bool) -> None:
    from exchange.flow import FlowPlayer, new_events
    from exchange.flow_files import read_flow, write_events
    from exchange.rows import EventKind

    refused = 0

    def counted(parts: "Iterator[type_of_rows]") -> "Iterator[type_of_rows]":
        nonlocal refused
        for part in parts:
            refused += int((part["kind"] == EventKind.REFUSED).sum())
            yield part

    rows = read_flow(flow)
    load_compiled("flow")
    written = write_events(out, counted(FlowPlayer(assigned_ids).play(rows, new_events())), force)
    say(f"mode: {Mode.REMATCHED.value}, by the flow's own aggressors")
    say(f"{rows.size:,} messages, {written:,} events in {out}")
    if refused:
        say(f"{refused:,} messages were refused; the events say why")


def _as_reported(source: "LobsterSource") -> tuple[dict[str, Any], Literal[0, 2]]:
    """Prove the book; what was found, and the exit code."""
    found, _ = source.window
    say(f"{found.rows_compared:,} rows compared with the vendor's book, on every level that the file determines")
    say(
        f"{found.levels_compared:,} levels compared, {found.adopted:,} adopted as they came into view, "
        f"{found.vanished:,} gone out of view, {found.divergence_count:,} divergences"
    )
    for divergence in found.divergences[:SHOWN]:
        say(f"{source.sample.books.name}, row {divergence.row}, column {divergence.column}: {divergence.told()}")
    if found.divergence_count > SHOWN:
        say(f"... and {found.divergence_count - SHOWN:,} more")
    told = asdict(found)
    told["divergences"] = [{**asdict(one), "told": one.told()} for one in found.divergences]
    return told, 2 if found.divergence_count or found.unknown_orders else 0


def _rematched(source: "Source") -> tuple[dict[str, Any], Literal[0]]:
    """Match again; what was found."""
    from exchange.research.rematched import replay_rematched
    from exchange.research.sources import LobsterSource
    from exchange.rows import joined

    seeds = source.window[1] if isinstance(source, LobsterSource) else None
    parts = [*source.whole()]
    if not parts:
        fail("no_messages", f"{source.file.name}: there are no messages to match")
    found = replay_rematched(joined(parts), seeds)
    say(f"{found.messages:,} messages; {found.aggressors:,} aggressors inferred")
    say(
        f"{found.executions:,} executions of displayed orders: {found.same:,} hit the same maker at the same price, "
        f"{len(found.exceptions):,} did not; {found.hidden:,} of hidden orders are left out"
    )
    if seeds is not None:
        say(
            f"{found.seeded:,} orders older than the window and {found.nameless:,} nameless ones were put into "
            f"the book as the file shows it; {found.adopted:,} came or went out of view; {found.of_older:,} executions "
            "are of older orders"
        )
    if found.unexpected or found.refused:
        say(f"{found.unexpected:,} trades that the file has not; {found.refused:,} cancels and amends found no order")
    for one in found.exceptions[:SHOWN]:
        say(
            f"row {one.row}: {one.quantity} of order {one.order_id} @ {one.price}: {one.why.label}"
            + (f": {one.hit_quantity} of order {one.hit_order_id} @ {one.hit_price}" if one.hit_order_id else "")
        )
    if len(found.exceptions) > SHOWN:
        say(f"... and {len(found.exceptions) - SHOWN:,} more")
    exceptions = [{**one._asdict(), "why": one.why.label} for one in found.exceptions]
    return {**asdict(found), "reasons": found.reasons(), "exceptions": exceptions}, 0


def _write_json(report: Path, told: dict[str, Any]) -> None:
    from exchange.research.convert import unfinished

    with unfinished([report], overwrite=True) as (file,):
        file.write(json.dumps(told, indent=2).encode() + b"\n")
