"""The journal: batches of commands in order, durable before they are applied. Storage, not meanings.

One SQLite file in WAL mode with `synchronous=FULL`; one BLOB row a batch, written in a thread of its
own. A block is

    count (u4) | COMMAND rows | length of each detail (u4 each) | the details

and carries `chain = SHA-256(chain of the block before | block)`, so that a block changed, lost, doubled or
moved is noticed on reading. A lost end looks like an earlier journal, to any chain; so there are seals, kept on
another page than the blocks: number and chain of the last block when a day was settled and when the file was closed. A
seal whose block is not there is an error. The format's version stands in SQLite's `user_version`; version 2 had no
seals, is read as it is and gets them when it is next opened for writing.

What damage does, a bit of it or a cut (`tests/exchange/test_journal_damage.py` tries every bit and every cut):

| damage                               | reading, and opening for writing                                   |
|--------------------------------------|--------------------------------------------------------------------|
| of a closed file                     | the blocks as they were written, or JournalError                   |
| of the file beside its log           | likewise                                                           |
| of the log (`-wal`)                  | all blocks up to the last seal and some behind, or JournalError    |
| the file cut to nothing, or removed  | JournalError; opened for writing it is a new journal               |

A kill or a loss of power cuts the log inside the block that was being written, of which nobody was told. SQLite then
reads up to the last whole block; it does the same when older bytes of the log are damaged. Who opens for writing looks
first: a log in which the damaged block has two more behind it was not torn by a crash, and is refused. Who reads only
gets what comes before. What nobody can notice: damage of the log's last two blocks, and a log cut between two blocks.

One process writes: a lock on `<journal>.lock` keeps a second one out. Reading needs no lock.
"""

import fcntl
import hashlib
import os
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import quote

import numpy as np

from exchange.rows import COMMAND, CommandKind, type_of_rows

FORMAT_VERSION = 3
_READABLE = (2, FORMAT_VERSION)
_APPLICATION_ID = 0x63617262  # "carb"
_GENESIS = bytes(32)
_COUNT = struct.Struct("<I")
_LEAST_SIZE = 512  # bytes of a database: one page
_KIND_AT = COMMAND.fields["kind"][1] if COMMAND.fields else 0  # byte of a row


class JournalError(Exception):
    """A journal that can't be used; `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Batch:
    """Stamped commands: their rows, and a detail for each (empty where it has none)."""

    rows: type_of_rows
    details: list[bytes]

    def encode(self) -> bytes:
        lengths = np.fromiter(map(len, self.details), np.uint32, len(self.details))
        return b"".join((_COUNT.pack(self.rows.size), self.rows.tobytes(), lengths.tobytes(), *self.details))

    @staticmethod
    def encode_rows(rows: bytes) -> bytes:
        """The block of trading rows, given as bytes, without details. ValueError for none, or a CONTROL command."""
        if not rows:
            raise ValueError("a block holds at least one command")
        if CommandKind.CONTROL in rows[_KIND_AT :: COMMAND.itemsize]:
            raise ValueError("a CONTROL command has a detail")
        count = len(rows) // COMMAND.itemsize
        return _COUNT.pack(count) + rows + bytes(4 * count)

    @classmethod
    def decode(cls, block: bytes) -> Self:
        """The batch of a block. ValueError if it holds nothing or the lengths do not add up."""
        return cls.decode_all([block])

    @classmethod
    def decode_all(cls, blocks: Sequence[bytes]) -> Self:
        """One batch of many blocks, one behind another. ValueError likewise of each."""
        counts, rows, lengths, details = list[int](), list[bytes](), list[bytes](), list[bytes]()
        for block in blocks:
            (count,) = _COUNT.unpack_from(block) if len(block) >= _COUNT.size else (0,)
            if count == 0:
                raise ValueError("block holds no command")
            rows_end = _COUNT.size + count * COMMAND.itemsize
            details_start = rows_end + 4 * count
            if details_start > len(block):
                raise ValueError("block is too short for its rows")
            counts.append(count)
            rows.append(block[_COUNT.size : rows_end])
            lengths.append(block[rows_end:details_start])
            details.append(block[details_start:])
        ends = np.cumsum(np.frombuffer(b"".join(lengths), np.uint32), dtype=np.int64)
        if (ends[np.cumsum(counts) - 1] != np.cumsum([len(one) for one in details])).any():
            raise ValueError("block is not as long as its details")
        # A copy, since rows that can't be written are another type to Numba: the loops would be compiled anew.
        joined = np.frombuffer(bytearray().join(rows), COMMAND)
        if not ends[-1]:
            return cls(joined, [b""] * ends.size)
        text, cuts = b"".join(details), ends.tolist()
        return cls(joined, [text[start:end] for start, end in zip([0, *cuts[:-1]], cuts, strict=True)])


class Journal(Protocol):
    """The few verbs that the engine asks of a journal."""

    def append(self, block: bytes) -> "Future[None]": ...
    def blocks(self) -> Iterator[bytes]: ...
    def seal(self) -> "Future[None]": ...
    def size(self) -> int: ...
    def close(self) -> None: ...


class _Done(Future[None]):
    """What is recorded in memory is recorded at once."""

    def result(self, timeout: float | None = None) -> None:
        return None


_DONE = _Done()
_DONE.set_result(None)


class MemoryJournal:
    """A journal that forgets with the process: for research, benchmarks and tests."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def append(self, block: bytes) -> "Future[None]":
        self._blocks.append(block)
        return _DONE

    def blocks(self) -> Iterator[bytes]:
        return iter(self._blocks)

    def seal(self) -> "Future[None]":
        return _DONE

    def size(self) -> int:
        """Bytes of all blocks."""
        return sum(map(len, self._blocks))

    def close(self) -> None:
        pass


class SqliteJournal:
    """A journal in one file. JournalError if it is held, damaged, of another version or not writable.

    Not `durable`: a loss of power may take its last blocks; for who could make it again.
    """

    def __init__(self, path: Path, durable: bool = True) -> None:
        self._path = path
        self._durable = durable
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path)
        except OSError as error:
            raise JournalError("journal_unwritable", f"{path}: {error.strerror}") from error
        self._thread = ThreadPoolExecutor(1, "journal")
        self._number = 0
        self._chain = _GENESIS
        self._sealed = 0  # number of the last block that a seal names
        try:
            self._thread.submit(self._open).result()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        """Open for writing. What is not a journal of this version is refused before it is touched."""
        try:
            _check_log(Path(f"{self._path}-wal"))
            is_new = _is_empty(self._path)
            self._connection = connection = sqlite3.connect(self._path, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={'FULL' if self._durable else 'OFF'}")
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if said != "ok":  # what does not hurt who reads may yet have a page written over
                raise JournalError("journal_corrupt", f"{self._path}: {said}")
            if is_new or _pragma(connection, "user_version") != FORMAT_VERSION:
                connection.execute("BEGIN")
                connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={FORMAT_VERSION}")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS block"
                    " (number INTEGER PRIMARY KEY, chain BLOB NOT NULL, payload BLOB NOT NULL)"
                )
                connection.execute("CREATE TABLE IF NOT EXISTS seal (number INTEGER PRIMARY KEY, chain BLOB NOT NULL)")
                connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")  # what may only be read is refused now, not with the first command
            connection.execute("ROLLBACK")
            # What a torn write has left behind the log's end must not be taken for damage the next time.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (self._sealed,) = connection.execute("SELECT coalesce(max(number), 0) FROM seal").fetchone()
        except sqlite3.OperationalError as error:
            raise JournalError("journal_unwritable", f"{self._path}: {error}") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise JournalError("journal_corrupt", f"{self._path}: {error}") from error

    def append(self, block: bytes) -> "Future[None]":
        """Write a block durably; the future is done when it is on disk, or holds the JournalError."""
        return self._thread.submit(self._write, block)

    def _write(self, block: bytes) -> None:
        chain = hashlib.sha256(self._chain + block).digest()
        try:
            self._connection.execute("INSERT INTO block VALUES (?, ?, ?)", (self._number + 1, chain, block))
        except sqlite3.Error as error:
            raise JournalError("journal_unwritable", f"{self._path}: {error}") from error
        self._number += 1
        self._chain = chain

    def seal(self) -> "Future[None]":
        """State durably how far the journal goes, so that an end lost later is noticed; done or JournalError likewise.

        A reader who is at work may keep blocks in the write-ahead log: then a later seal moves them into the file.
        """
        return self._thread.submit(self._seal)

    def _seal(self) -> None:
        if self._number <= self._sealed:
            return
        try:
            self._connection.execute("INSERT INTO seal VALUES (?, ?)", (self._number, self._chain))
            self._sealed = self._number
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            raise JournalError("journal_unwritable", f"{self._path}: {error}") from error

    def blocks(self) -> Iterator[bytes]:
        """All blocks, verified; appending goes on behind the last one read."""
        for number, chain, block in read_blocks(self._path):
            self._number, self._chain = number, chain
            yield block

    def size(self) -> int:
        """Bytes on disk: of the file, and of its write-ahead log."""
        files = self._path, Path(f"{self._path}-wal")
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Seal and close the file, and let others write. What can't be sealed any more is closed without."""
        if connection := getattr(self, "_connection", None):
            with suppress(JournalError):
                self.seal().result()
            self._thread.submit(connection.close).result()
        self._thread.shutdown()
        os.close(self._lock)


def read_blocks(path: Path) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, chain, block) of a journal file, verified one by one. JournalError at the first fault."""
    if not path.is_file():
        raise JournalError("journal_missing", f"{path} is not a file")
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        try:
            version = _check_version(connection, path)
            _check_header(path)
            sealed = connection.execute("SELECT number, chain FROM seal" if version > 2 else "SELECT 0, 0 WHERE 0")
            seals = dict(sealed.fetchall())  # before the blocks: what is sealed meanwhile is none of ours
            number, chain = 0, _GENESIS
            rows = connection.execute("SELECT number, chain, payload FROM block ORDER BY number")
            for expected, (number, stored_chain, block) in enumerate(rows, 1):
                chain = hashlib.sha256(chain + block).digest()
                if number != expected or chain != stored_chain or chain != seals.pop(number, chain):
                    raise JournalError("journal_corrupt", f"{path}: block {expected} is not what was written")
                yield number, chain, block
            if seals:
                said = f"sealed up to block {max(seals)}, and there are {number}"
                raise JournalError("journal_corrupt", f"{path}: {said}")
        finally:
            connection.close()
    except (sqlite3.Error, TypeError, UnicodeDecodeError) as error:
        if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN):
            raise JournalError("journal_unreadable", f"{path}: {error}") from error
        raise JournalError("journal_corrupt", f"{path}: {error}") from error


def _is_empty(path: Path) -> bool:
    """Whether a journal is still to be made here. JournalError if something else is in the file."""
    if not path.exists():
        return True
    if 0 < path.stat().st_size < _LEAST_SIZE:  # to SQLite an empty one
        raise JournalError("journal_corrupt", f"{path} is cut short")
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (tables, _pragma(connection, "application_id")) == (0, 0):
            return True
        _check_version(connection, path)
        _check_header(path)
    return False


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a journal's format, if it is one that can be read."""
    if _pragma(connection, "application_id") != _APPLICATION_ID:
        raise JournalError("journal_foreign", f"{path} is not a carbonex journal")
    version = _pragma(connection, "user_version")
    if version not in _READABLE:
        readable = " and ".join(map(str, _READABLE))
        raise JournalError(
            "journal_version", f"{path} has format {version}; this program reads {readable} and writes {FORMAT_VERSION}"
        )
    return version


def _check_header(path: Path) -> None:
    """JournalError if the file's header would have SQLite leave out the log, or write another layout than it has."""
    with path.open("rb") as file:
        header = file.read(100)
    if header[18:21] != b"\2\2\0" or header[52:56] != bytes(4):  # written and read with a log, no room reserved; vacuum
        raise JournalError("journal_corrupt", f"{path}: its header is not what was written")


# The write-ahead log of SQLite, https://www.sqlite.org/fileformat2.html#walformat
_LOG_HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoint, two salts, two checksums
_FRAME = struct.Struct(">6I")  # page, pages after a commit (else 0), two salts, two checksums


def _check_log(path: Path) -> None:
    """JournalError if blocks stand behind damage in a write-ahead log: no kill and no loss of power leaves that."""
    log = path.read_bytes() if path.exists() else b""
    if len(log) <= _LOG_HEADER.size:
        return
    magic, _, page_size, _, *salts, first, second = _LOG_HEADER.unpack_from(log)
    order = ">" if magic & 1 else "<"
    sums = _checksum(order, log[:24], (0, 0))
    if magic & ~1 != 0x377F0682 or sums != (first, second):  # it is on disk before anything is written behind it
        raise JournalError("journal_corrupt", f"{path}: its header is not what was written")
    is_whole, commits_behind = True, 0
    for start in range(_LOG_HEADER.size, len(log) - _FRAME.size - page_size + 1, _FRAME.size + page_size):
        _, pages, *frame_salts, first, second = _FRAME.unpack_from(log, start)
        if is_whole:
            content = start + _FRAME.size
            sums = _checksum(order, log[start : start + 8] + log[content : content + page_size], sums)
            is_whole = frame_salts == salts and sums == (first, second)
        if not is_whole:
            commits_behind += frame_salts == salts and pages > 0
    if commits_behind > 1:
        raise JournalError("journal_corrupt", f"{path}: {commits_behind} blocks behind a damaged place")


def _checksum(order: str, content: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for one, other in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second


def _lock(path: Path) -> int:
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 32).decode(errors="replace").strip()
        os.close(descriptor)
        raise JournalError("journal_in_use", f"{path} is held by process {holder}") from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor
