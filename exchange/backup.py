"""Copies of a journal: made while a server writes it, and laid down where a journal was lost.

SQLite's online backup reads one state of the file and its log while another process goes on writing. The copy is then
read block by block, sealed (:mod:`exchange.journal`) and on the disk before it gets its name. So there is either a
whole copy or none, and of a damaged journal there is none.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from exchange.journal import JournalError, SqliteJournal, read_blocks


def copy_journal(source: Path, target: Path) -> int:
    """Copy a journal to a new file; returns how many blocks it has.

    JournalError: as of reading and opening a journal, or `file_exists`.
    """
    if target.exists():
        raise JournalError("file_exists", f"{target} exists; choose another name, or move it away")
    next(read_blocks(source), None)  # is it a journal?
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(source, part)
        with closing(SqliteJournal(part)) as copy:
            blocks = sum(1 for _ in copy.blocks())
        part.rename(target)
        _force(target.parent)
    except sqlite3.OperationalError as error:
        raise JournalError("journal_unwritable", f"{target}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise JournalError("journal_corrupt", f"{source}: {error}") from error
    except OSError as error:
        raise JournalError("journal_unwritable", f"{target}: {error.strerror}") from error
    finally:
        for end in ("", "-wal", "-shm", "-journal", ".lock"):
            Path(f"{part}{end}").unlink(missing_ok=True)
    return blocks


def restore_journal(backup: Path, target: Path) -> int:
    """Lay a copy down where there is no journal; returns how many blocks it has. JournalError likewise."""
    requests = target.with_name(target.name + ".requests")
    if requests.exists():
        said = "holds answers that the journal before gave, to what the copy may not know; move it away too"
        raise JournalError("file_exists", f"{requests} {said}")
    return copy_journal(backup, target)


def _copy(source: Path, part: Path) -> None:
    with (
        closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as journal,
        closing(sqlite3.connect(part)) as copy,
    ):
        journal.backup(copy)


def _force(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
