"""`carbonex export`: what a journal has to tell, as a table for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from exchange.console import fail, fail_to_read, load_compiled, say
from exchange.research.what import What


def export(
    journal: Annotated[Path, typer.Argument(help="The journal file; it may be in use.")],
    what: Annotated[What, typer.Option(help="Which table.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table: .parquet or .arrow.")],
    depth: Annotated[int, typer.Option(min=0, help="Levels of a book to tell; 0: all.")] = 10,
    bar: Annotated[int, typer.Option(min=1, help="Seconds of a bar.")] = 300,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Replay a journal and write a table of what happened: integers, with units and codes in the metadata."""
    from exchange.journal import JournalError
    from exchange.research import exports

    load_compiled("trading")
    try:
        written = exports.export(journal, what, out, exports.Asked(depth, bar), force)
    except JournalError as error:
        fail_to_read(error)
    except exports.ExportError as error:
        fail("invalid_export", str(error))
    say(f"{written:,} rows in {out}")
