"""Disks that fail: the journal's, which writes after some virtual time, and the one of what was asked and answered."""

import hashlib
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from api.idempotency import RequestFile
from exchange.journal import JournalError, SqliteJournal, read_blocks
from simulation.faults.loop import VirtualLoop
from simulation.faults.plan import Fault, Plan

_HEAD = struct.Struct("<I32s")
_AT_WRITE = (Fault.CRASH_BEFORE_WRITE, Fault.TORN_WRITE, Fault.CRASH_AFTER_WRITE, Fault.DISK_FULL)
WRITE_S = 0.003


class Crashed(BaseException):
    """The process dies here. No error: nobody may catch it."""


class Disk(Protocol):
    """What outlives a process: the blocks of the journal."""

    def open(self) -> Iterator[bytes]:
        """All whole blocks; what a crash has left of another is cut off."""
        ...

    def write(self, block: bytes, share: float = 1.0) -> None:
        """Write a block, or so much of it."""
        ...

    def records(self, start: int, chain: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """(place, chain, block) of the whole blocks behind a place, as somebody else reads them."""
        ...

    def seal(self) -> None: ...

    def crash(self) -> None:
        """The process is gone that had it open."""
        ...

    def close(self) -> None: ...


class MemoryDisk:
    """A log of its own kind: length | chain | block."""

    def __init__(self) -> None:
        self.content = bytearray()
        self._chain = bytes(32)

    def open(self) -> Iterator[bytes]:
        end, self._chain = 0, bytes(32)
        for end, chain, block in self.records(0, self._chain):  # noqa: B007
            self._chain = chain
            yield block
        del self.content[end:]

    def write(self, block: bytes, share: float = 1.0) -> None:
        chain = hashlib.sha256(self._chain + block).digest()
        record = _HEAD.pack(len(block), chain) + block
        self.content += record[: int(share * len(record))]
        self._chain = chain

    def records(self, start: int, chain: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        while start + _HEAD.size <= len(self.content):
            length, stored = _HEAD.unpack_from(self.content, start)
            end = start + _HEAD.size + length
            block = bytes(self.content[start + _HEAD.size : end])
            if len(block) < length or stored != hashlib.sha256(chain + block).digest():
                return
            start, chain = end, stored
            yield end, chain, block

    def seal(self) -> None:
        """It ends where it ends."""

    def crash(self) -> None:
        """All that was written is there."""

    def close(self) -> None:
        """There is nothing to close."""


class SqliteDisk:
    """The exchange's own journal in a file. A crash leaves the file and its log as they are at that moment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lives = 0
        self._journal: SqliteJournal | None = None

    @property
    def path(self) -> Path:
        return self._folder / f"journal-{self._lives}"

    def open(self) -> Iterator[bytes]:
        self._journal = SqliteJournal(self.path)
        yield from self._journal.blocks()

    def write(self, block: bytes, share: float = 1.0) -> None:
        assert self._journal is not None, "it is open"
        log = Path(f"{self.path}-wal")
        before = log.read_bytes() if share < 1 else b""
        self._journal.append(block).result()
        if share < 1:
            self.crash()
            log = Path(f"{self.path}-wal")
            after = log.read_bytes()
            old = before.ljust(len(after), b"\0")
            changed = [place for place in range(len(after)) if after[place] != old[place]]
            cut = changed[int(share * (len(changed) - 1))]
            log.write_bytes((after[:cut] + before[cut:])[: max(cut, len(before))])

    def records(self, start: int, chain: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        return (record for record in read_blocks(self.path) if record[0] > start)

    def seal(self) -> None:
        if self._journal is not None:
            self._journal.seal().result()

    def crash(self) -> None:
        left, journal = self.path, self._journal
        if journal is None:
            return
        self._lives += 1
        for end in ("", "-wal"):
            shutil.copyfile(f"{left}{end}", f"{self.path}{end}")
        self._journal = None
        journal.close()

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None


class SimulatedJournal:
    """A journal of :class:`exchange.journal.Journal`'s verbs. `crash` ends the process."""

    def __init__(self, disk: Disk, plan: Plan, loop: VirtualLoop, crash: Callable[[], None]) -> None:
        self.disk, self._plan, self._loop, self._crash = disk, plan, loop, crash
        self._latency = plan.source("latency of the disk")
        self._under_way: dict[Future[None], None] = {}
        self.is_dead = False
        self.is_opening = True  # what is written then is waited for without a loop

    def append(self, block: bytes) -> "Future[None]":
        struck = next((fault for fault in _AT_WRITE if self._plan.strikes(fault)), None)
        future: Future[None] = Future()
        self._under_way[future] = None
        if self.is_opening:
            self._write(block, struck, future)
        else:
            seconds = self._latency.uniform(0.2, 2) * WRITE_S
            if self._plan.strikes(Fault.SLOW_DISK):
                seconds += self._plan.amount(Fault.SLOW_DISK, 0.1, 3)
            self._loop.call_later(seconds, self._write, block, struck, future)
        return future

    def _write(self, block: bytes, struck: Fault | None, future: "Future[None]") -> None:
        if self.is_dead:
            return
        if struck in (Fault.TORN_WRITE, Fault.DISK_FULL):
            self.disk.write(block, self._plan.amount(struck, 0, 0.999))
        elif struck != Fault.CRASH_BEFORE_WRITE:
            self.disk.write(block)
        if struck not in (None, Fault.DISK_FULL):
            self._crash()
            if self.is_opening:
                raise Crashed
            return
        self._under_way.pop(future, None)
        if struck is None:
            future.set_result(None)
        else:
            future.set_exception(JournalError("journal_unwritable", "the disk is full"))

    def blocks(self) -> Iterator[bytes]:
        return self.disk.open()

    def seal(self) -> "Future[None]":
        if not self.is_dead:
            self.disk.seal()
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def size(self) -> int:
        return 0

    def die(self) -> None:
        """The process is gone: nothing is written any more, and nobody hears of it."""
        if self.is_dead:
            return
        self.is_dead = True
        self.disk.crash()
        for future in self._under_way:
            future.set_exception(JournalError("journal_unwritable", "the process is gone"))
        self._under_way.clear()

    def close(self) -> None:
        if not self.is_dead:
            self.disk.close()


class SimulatedRequests(RequestFile):
    """Questions and answers under keys, in a file on a disk that takes virtual time and may refuse."""

    def __init__(self, path: Path, plan: Plan, loop: VirtualLoop, now_ns: Callable[[], int]) -> None:
        super().__init__(path, now_ns)
        self._db.execute("PRAGMA synchronous=OFF")  # the machine does not lose power, only the exchange in it
        self._plan, self._loop = plan, loop
        self._latency = plan.source("latency of requests")
        self.is_dead = False

    async def _in_thread(self, work: Callable[..., Any], *given: Any, **named: Any) -> Any:
        done = self._loop.create_future()
        fails = self._plan.strikes(Fault.LOST_NOTE)
        self._loop.call_later(self._latency.uniform(0.2, 2) * WRITE_S, self._work, done, fails, work, given)
        return await done

    def _work(self, done: Any, fails: bool, work: Callable[..., Any], given: Any) -> None:
        try:
            if fails or self.is_dead:
                raise sqlite3.OperationalError("disk I/O error")
            result = work(*given)
        except sqlite3.Error as error:
            if not done.done():
                done.set_exception(error)
            return
        if not done.done():  # else whoever asked has given up
            done.set_result(result)
