"""A settlement bank's books: a sub-ledger for every participant and currency, in SQLite.

    files      the days that have been booked, in their order, each with its file's checksum and number of lines
    bookings   every line of them; what is in a sub-ledger is their sum

They are made of the bank's files alone (:mod:`settlement.bank_files`), and know nothing else of the exchange. A file is
booked whole or not at all, behind the one that it names, and once. That of the last day may go on: then what is new in
it is booked.
"""

import sqlite3
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec

from settlement.bank_files import BalanceFile, BankBalance, Booking, BookingFile, Reach

_APPLICATION_ID = 0x63626B73  # "cbks"
_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    day TEXT PRIMARY KEY, previous TEXT, previous_checksum TEXT NOT NULL, checksum TEXT NOT NULL, lines INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bookings (
    day TEXT NOT NULL, line INTEGER NOT NULL, batch INTEGER NOT NULL, account_id TEXT NOT NULL, currency TEXT NOT NULL,
    reach TEXT NOT NULL, cause TEXT NOT NULL, reference INTEGER NOT NULL, fen INTEGER NOT NULL,
    PRIMARY KEY (day, line)
) WITHOUT ROWID;
"""


class BooksError(Exception):
    """Books that can not be used, or a file that is not booked in them; `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Booked(NamedTuple):
    """A file that has been booked."""

    day: date
    checksum: str
    lines: int


class SubLedgers:
    """Books in a file, which nobody else may open meanwhile; without one in memory. BooksError if it can not be."""

    def __init__(self, path: Path | None = None) -> None:
        try:
            self.db = sqlite3.connect(path or ":memory:", timeout=0)
        except sqlite3.Error as error:
            raise BooksError("no_books", f"{path}: {error}") from error
        try:
            self._begin()
        except sqlite3.Error as error:
            self.db.close()
            raise BooksError("no_books", f"{path}: {error}") from error

    def _begin(self) -> None:
        (kind,), (tables,) = (
            self.db.execute(asked).fetchone()
            for asked in ("PRAGMA application_id", "SELECT count(*) FROM sqlite_master")
        )
        if tables and kind != _APPLICATION_ID:
            raise sqlite3.DatabaseError("it is a database of something else")
        self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.db.executescript(f"BEGIN EXCLUSIVE; PRAGMA application_id = {_APPLICATION_ID}; {_TABLES} COMMIT;")

    def close(self) -> None:
        self.db.close()

    @property
    def last(self) -> Booked | None:
        """The last file that has been booked."""
        row = self.db.execute("SELECT day, checksum, lines FROM files ORDER BY day DESC LIMIT 1").fetchone()
        return row and Booked(date.fromisoformat(row[0]), *row[1:])

    def book(self, file: BookingFile) -> int:
        """Book the next file, or what is new in the last; returns how many lines. BooksError, and nothing is booked."""
        start = self._begins_at(file)
        day, lines = str(file.day), file.lines[start:]
        before = str(file.previous) if file.previous else None
        head = day, before, file.previous_checksum, file.checksum, len(file.lines)
        rows = [(day, number, *msgspec.structs.astuple(line)) for number, line in enumerate(lines, start + 1)]
        try:
            with self.db:
                self.db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", head)
                self.db.executemany("INSERT INTO bookings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        except (sqlite3.Error, OverflowError) as error:
            raise BooksError("books_unwritable", str(error)) from error
        return len(rows)

    def _begins_at(self, file: BookingFile) -> int:
        """How many lines of a file have been booked. BooksError if the file is not to be booked now."""
        last = self.last
        if last is None or file.day != last.day:
            stands = f"the books end with {last.day} ({last.checksum[:12]})" if last else "nothing is booked"
            follows = f"{file.previous} ({file.previous_checksum[:12]})" if file.previous else "nothing"
            if (file.previous, file.previous_checksum) != ((last.day, last.checksum) if last else (None, "")):
                raise BooksError("out_of_turn", f"the file of {file.day} follows on {follows}, but {stands}")
            return 0
        if file.checksum == last.checksum:
            raise BooksError("booked_before", f"the file of {file.day} is booked")
        if len(file.lines) < last.lines or file.upto(last.lines).checksum != last.checksum:
            raise BooksError("out_of_turn", f"the file of {file.day} does not go on where its bookings ended")
        return last.lines

    def balances(self, day: date) -> BalanceFile:
        """What is in every sub-ledger at the end of a day, by account and currency; those with nothing are left out."""
        asked = (
            "SELECT account_id, currency, sum(fen) FROM bookings WHERE day <= ? "
            "GROUP BY account_id, currency HAVING sum(fen) != 0 ORDER BY account_id, currency"
        )
        return BalanceFile(day, tuple(BankBalance(*row) for row in self.db.execute(asked, (str(day),))))

    def check(self) -> None:
        """Assert that the bookings are those of the files, and that these follow on one another."""
        before: tuple[date | None, str] = None, ""
        for day, previous, previous_checksum, checksum, _ in self.db.execute("SELECT * FROM files ORDER BY day"):
            asked = "SELECT batch, account_id, currency, reach, cause, reference, fen FROM bookings WHERE day = ?"
            lines = tuple(
                Booking(batch, account_id, currency, Reach(reach), *rest)
                for batch, account_id, currency, reach, *rest in self.db.execute(f"{asked} ORDER BY line", (day,))
            )
            follows = date.fromisoformat(previous) if previous else None, previous_checksum
            file = BookingFile(date.fromisoformat(day), *follows, lines)
            file.check()
            assert follows == before, f"the file of {day} does not follow on the one before it"
            assert file.checksum == checksum, f"the bookings of {day} are not those of its file"
            before = file.day, checksum
