"""How commands of the command line speak to a person: a line, an error with its code, a word about compiling."""

import sys
from typing import TYPE_CHECKING, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from exchange.journal import JournalError


def say(text: str) -> None:
    """A line to the person, at once."""
    print(f"carbonex: {text}", flush=True)  # noqa: T201


def fail(code: str, detail: str, status: int = 1) -> NoReturn:
    """One clear error with its code, and out."""
    print(f"carbonex: {code}: {detail}", file=sys.stderr, flush=True)  # noqa: T201
    raise typer.Exit(status)


def fail_to_read(error: "JournalError") -> NoReturn:
    """A journal that can't be read; one that is not what was written is a check that failed (2)."""
    fail(error.code, error.detail, 2 if error.code == "journal_corrupt" else 1)


def load_compiled(loops: Literal["trading", "flow", "title"]) -> None:
    """Load the machine code of some loops; the first time on a machine it has to be compiled."""
    from exchange.compiled import is_compiled, note_compiled

    if not is_compiled(loops):
        say(f"compiling the {loops} path for this machine; this happens once and takes up to half a minute ...")
    if loops == "flow":
        from exchange import flow

        flow.warm_up()
    else:
        from registry import title

        title.warm_up()
    if loops == "trading":  # moves title when a day is settled
        from exchange import trading

        trading.warm_up()
    note_compiled(loops)
