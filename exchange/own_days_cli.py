"""`carbonex replay JOURNAL`: any past state of an exchange, and the same days under other rules."""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from exchange.console import fail, fail_to_read, load_compiled, say
from exchange.research.what import What

if TYPE_CHECKING:
    from exchange.research.history import History
    from exchange.research.rule_change import Comparison

NANOSECONDS = 1_000_000_000


class Asked(NamedTuple):
    """What is wanted of a journal."""

    until: str = ""
    at_seq: int | None = None
    rules: str = ""
    what: What | None = None
    out: Path | None = None
    report: Path | None = None
    as_json: bool = False
    force: bool = False


def replay_journal(file: Path, asked: Asked) -> None:
    """Play a journal up to a moment, under its own rules or others beside them; tell, and write what is asked for."""
    from exchange.engine import exchange_of
    from exchange.journal import JournalError
    from exchange.research.history import History, NoSuchMoment
    from exchange.research.past import state_of
    from exchange.research.rule_change import RuleChangeError, under
    from exchange.rules import RuleSetError, load_rule_set

    _check(asked)
    load_compiled("trading")
    try:
        history = History.of(file)
        own = exchange_of(History.of(file).until(at_seq=1)()).rules
        if own is None:
            fail("no_such_moment", f"{file} holds nothing: no exchange has been founded in it")
        history = history.until(_nanoseconds(asked.until, own.timezone), asked.at_seq)
        if not asked.rules:
            state = state_of(exchange_of(history()))
            told = {"file": file.name, **state}
            if not asked.as_json:
                _show_state(told)
        else:
            compared = under(history, load_rule_set(asked.rules, {"journal": own}))
            told = {"file": file.name, "rules": asked.rules, **_told(compared)}
            if not asked.as_json:
                _show_comparison(file, asked.rules, compared)
            history = compared.other
        if asked.as_json:
            print(json.dumps(told, indent=2))  # noqa: T201
        _write(history, asked, told)
    except JournalError as error:
        fail_to_read(error)
    except NoSuchMoment as error:
        fail("no_such_moment", f"{file}: {error}")
    except RuleSetError as error:
        fail("invalid_rule_set", str(error))
    except RuleChangeError as error:
        fail("not_comparable", str(error))


def _check(asked: Asked) -> None:
    if asked.until and asked.at_seq is not None:
        fail("invalid_option", "give one of --until and --at-seq")
    if asked.what is not None and asked.out is None:
        fail("invalid_option", "say with --out where the table goes")
    if asked.out is not None and (asked.what is None) != (asked.out.suffix == ".journal"):
        fail("invalid_option", "--out takes a .journal, or with --what a table: .parquet or .arrow")
    for file in filter(None, (asked.out, asked.report)):
        if file.exists() and (not asked.force or file.suffix == ".journal"):
            way_out = "a journal is never overwritten" if file.suffix == ".journal" else "--force overwrites it"
            fail("output_exists", f"{file} exists; {way_out}")


def _nanoseconds(text: str, zone: str) -> int | None:
    """A moment, local to the market unless it says its offset, in UTC nanoseconds; None if none is named."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail("invalid_time", f"{text!r} is not a moment like 2026-01-05T10:30")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
    return int(moment.timestamp()) * NANOSECONDS + moment.microsecond * 1000


def _write(history: "History", asked: Asked, told: dict[str, Any]) -> None:
    from exchange.research import exports
    from exchange.research.convert import unfinished
    from exchange.research.history import write

    try:
        if asked.report is not None:
            with unfinished([asked.report], overwrite=True) as (file,):
                file.write(json.dumps(told, indent=2).encode() + b"\n")
        if asked.out is None:
            return
        if asked.what is None:
            written, what = write(asked.out, history()), "commands"
        else:
            written, what = exports.export(history, asked.what, asked.out, overwrite=asked.force), "rows"
    except exports.ExportError as error:
        fail("invalid_export", str(error))
    except OSError as error:
        fail("output_unwritable", f"{error.filename}: {error.strerror}")
    if not asked.as_json:
        say(f"{written:,} {what} in {asked.out}")


# ---------------------------------------------------------------- on the screen


def _show_state(told: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    say(f"{told['file']}: after command {told['sequence']:,}, {told['time']}")
    say(f"rules {told['rules']}; day {told['day'] or 'none yet'}, {told['phase']}, session {told['session']}")
    say(f"state {told['state']}")
    for title, key in (("instrument", "instruments"), ("asset, all accounts", "assets")):
        names = [*next(iter(told[key].values()), {})]
        made = Table(title, *(name.replace("_", " ") for name in names), box=box.SIMPLE_HEAD, padding=(0, 1))
        for column in made.columns[1:]:
            column.justify = "right"
        for name, values in told[key].items():
            made.add_row(name, *("–" if one is None else f"{one:,}" for one in values.values()))
        if names:
            Console(width=140).print(made)


def _told(compared: "Comparison") -> dict[str, Any]:
    """All of a comparison, for machines."""
    return {
        "commands": compared.original.exchange.sequence,
        "state": compared.original.exchange.digest(),
        "other_state": compared.day.exchange.digest(),
        "answered_otherwise": compared.otherwise,
        "let_in": compared.let_in,
        "kept_out": compared.kept_out,
        "without_counterpart": compared.without_counterpart,
        "measures": [_line(one) for one in compared.measures()],
        "refusals": [_line(one) for one in compared.reasons()],
        "first_answers": [one._asdict() for one in compared.answered],
        "balances": compared.richer(),
    }


def _line(measure: Any) -> dict[str, Any]:
    figures = {"original": measure.original, "other": measure.other, "difference": measure.difference}
    return {"name": measure.name, "unit": measure.unit} | {
        name: None if value != value else value for name, value in figures.items()
    }


def _show_comparison(file: Path, rules: str, compared: "Comparison") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from exchange.research.rule_change import Measure, amount

    say(f"{file.name}: {compared.original.exchange.sequence:,} commands, as they were and under {rules}")
    say(f"{compared.otherwise:,} commands are answered otherwise")
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in ("figure", "as it was", "under other rules", "difference", "unit"):
        made.add_column(name, justify="left" if name in ("figure", "unit") else "right")

    def add(name: str, one: Measure) -> None:
        shown = (amount(one, value) for value in (one.original, one.other, one.difference))
        made.add_row(name, *shown, "" if one.unit == "fen" else one.unit)

    for one in compared.measures():
        add(one.name, one)
    for one in compared.reasons():
        add(f"refused: {one.name}", one)
    Console(width=110).print(made)
    for command in compared.answered:
        say(f"command {command.sequence:,}, {command.command}: {command.original} | {command.other}")
    if compared.otherwise > len(compared.answered):
        say(f"... and {compared.otherwise - len(compared.answered):,} more")
    say(f"{len(compared.richer()):,} accounts end with other balances")
    say(
        f"limits: {compared.let_in:,} orders are accepted by these rules alone, of which their owners knew nothing; "
        f"{compared.without_counterpart:,} commands name an order or trade that is not there"
    )
