"""`carbonex backup` and `carbonex restore`: copies of a journal."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from exchange.console import fail_to_read, say


def backup(
    journal: Annotated[Path, typer.Argument(help="The journal file; a server may be writing it.")],
    copy: Annotated[Path, typer.Argument(help="The new file.")],
) -> None:
    """Copy a journal, also while a server writes it: whole as of one moment, read once more and sealed."""
    from exchange.backup import copy_journal

    _copied(copy_journal, journal, copy)


def restore(
    copy: Annotated[Path, typer.Argument(help="What `carbonex backup` has made.")],
    journal: Annotated[Path, typer.Argument(help="Where the journal is to be; nothing may be there.")],
) -> None:
    """Lay down a copy of a journal where there is none, to start an exchange from it."""
    from exchange.backup import restore_journal

    _copied(restore_journal, copy, journal)


def _copied(copy: Callable[[Path, Path], int], source: Path, target: Path) -> None:
    from exchange.journal import JournalError

    try:
        blocks = copy(source, target)
    except JournalError as error:
        fail_to_read(error)
    say(f"{target}: {blocks:,} blocks of {source}")
