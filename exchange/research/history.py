"""What a journal has recorded, up to any moment of it, as batches that may be gone through again and again.

days = History.of(path)                                    all of it
morning = days.until(at_seq=1200)                          or until_ns=...
exchange = exchange_of(morning())                          the exchange as it was then
for moment in moments(morning()): ...                      how it came to that
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from exchange.engine import recorded, replayed
from exchange.journal import Batch, SqliteJournal
from exchange.outputs import whole_file
from exchange.rows import CommandKind
from exchange.state import Exchange
from exchange.transition import Outcome


class NoSuchMoment(ValueError):
    """The journal does not reach so far, or begins later."""


class History(NamedTuple):
    """A journal's commands in order: calling it goes through their batches from the first on."""

    batches: Callable[[], Iterator[Batch]]

    @classmethod
    def of(cls, journal: Path) -> "History":
        """All that a journal file has; JournalError on reading if it is not what was written."""
        return cls(partial(recorded, journal))

    def __call__(self) -> Iterator[Batch]:
        return self.batches()

    def until(self, until_ns: int | None = None, at_seq: int | None = None) -> "History":
        """The commands stamped no later than a time (UTC nanoseconds), or no later than a sequence number; else all.

        NoSuchMoment on reading if there is none, or the sequence number has not been reached.
        """
        if until_ns is None and at_seq is None:
            return self
        return History(lambda: _cut(self(), until_ns, at_seq))


def _cut(batches: Iterable[Batch], until_ns: int | None, at_seq: int | None) -> Iterator[Batch]:
    last = 0
    for batch in batches:
        rows = batch.rows
        is_in = rows["sequence"] <= at_seq if at_seq is not None else rows["now_ns"] <= until_ns
        taken = int(is_in.sum())  # both only grow
        if taken:
            last = int(rows["sequence"][taken - 1])
            yield batch if taken == rows.size else Batch(rows[:taken].copy(), batch.details[:taken])
        if taken < rows.size:
            break
    if last == 0:
        raise NoSuchMoment("nothing had happened yet")
    if at_seq is not None and last < at_seq:
        raise NoSuchMoment(f"the journal ends with command {last}")


class Moment(NamedTuple):
    """A stretch of commands that has just been applied, and what came of it."""

    exchange: Exchange
    batch: Batch
    outcome: Outcome


def moments(batches: Iterable[Batch], one_by_one: bool = False) -> Iterator[Moment]:
    """How an exchange came about: each command by itself, or each stretch of trading commands in one."""
    exchange = Exchange()
    for batch in batches:
        is_control = batch.rows["kind"] == CommandKind.CONTROL
        cuts = range(1, batch.rows.size) if one_by_one else np.flatnonzero(is_control[1:] | is_control[:-1]) + 1
        for part in parts(batch, cuts):
            yield Moment(exchange, part, replayed(exchange, part))


def parts(batch: Batch, cuts: Iterable[int]) -> Iterator[Batch]:
    """A batch, cut before the rows named in order."""
    for start, end in pairwise([0, *cuts, batch.rows.size]):
        # A copy, of rows that begin where the compiled loops want them.
        yield Batch(batch.rows[start:end].copy(), batch.details[start:end])


def write(out: Path, batches: Iterable[Batch]) -> int:
    """Write batches as a journal, whole or not at all; returns how many commands. JournalError if it can't be."""
    written = 0
    with whole_file(out) as beside:
        beside.unlink(missing_ok=True)
        journal = SqliteJournal(beside, durable=False)
        try:
            for batch in batches:
                journal.append(batch.encode()).result()
                written += batch.rows.size
        finally:
            journal.close()
            beside.with_name(f"{beside.name}.lock").unlink(missing_ok=True)
    return written
