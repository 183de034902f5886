"""The inbox: one bounded queue, one consumer that takes all that has arrived.

A request offers its command and waits. The consumer stamps what is there (at most GROUP commands), has
it written durably in one go, applies it, and gives each request its own events. Whatever arrives while
the disk works makes the next group: one command when it is quiet, many when it is busy. A full queue
refuses at once, before anything has happened. If the journal fails, every waiting request fails and the
exchange stops: nothing that was not journalled is ever acknowledged.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any, NamedTuple

import msgspec
import numpy as np

from api.history import History
from api.idempotency import last_day, marked, marked_batch, outcome_unknown
from api.logs import REQUEST_ID
from api.problems import Problem
from exchange.commands import Command, Control, OrderBatch, control
from exchange.engine import BatchReceipt, Engine, Receipt
from exchange.events import CommandRefused, Event
from exchange.journal import Batch, JournalError
from exchange.reasons import Refused
from exchange.rows import told, type_of_rows
from exchange.transition import Outcome

_log = logging.getLogger("carbonex")

GROUP = 1024  # commands per durable write, and the rest of a batch of orders


class Answer(msgspec.Struct, gc=False):
    """What one command made happen: its sequence, event rows of the trading path, or the event of another."""

    sequence: int
    rows_around: type_of_rows  # of commands before and behind it too
    start: int  # of its own event rows in those
    end: int
    event: Event | None
    repeated: bool
    command: Any = None  # the COMMAND row of an order command, told
    told: Sequence[Any] = ()  # its event rows, told
    trade: Callable[[int], Any] | None = None  # tells the row of a trade of its own, by id

    @property
    def rows(self) -> type_of_rows:
        """Its event rows."""
        return self.rows_around[self.start : self.end]


class BatchAnswer(NamedTuple):
    """What a batch of orders made happen: a receipt for each, and the event rows of those that are new."""

    receipt: BatchReceipt
    rows: type_of_rows


class Reply:
    """A future in small, for who has a thousand of them: calls back at once, with the answer or with a Problem."""

    __slots__ = ("_hear",)

    def __init__(self, hear: Callable[[Answer | None, Problem | None], None]) -> None:
        self._hear = hear  # must not raise

    def done(self) -> bool:
        return False

    def set_result(self, answer: Any) -> None:
        self._hear(answer, None)

    def set_exception(self, problem: Problem) -> None:
        self._hear(None, problem)


class Waiting(NamedTuple):
    command: Command | OrderBatch
    answer: "asyncio.Future[Any] | Reply"  # of Answer, or BatchAnswer
    size: int  # how many commands
    at: float  # when it was handed in, of `perf_counter`
    request_id: str
    day: int = 0  # the trading day on which alone it may be taken, as its ordinal; 0: any


class Passed(NamedTuple):
    """Commands that have gone through the inbox together, and when (seconds of `perf_counter`)."""

    group: list[Waiting]
    receipts: list[Receipt | BatchReceipt]
    batch: Batch
    outcome: Outcome
    taken: float
    stamped: float
    journalled: float
    applied: float
    answered: float


class Inbox:
    """The only way in for commands while the gateway runs."""

    def __init__(self, engine: Engine, history: History, now_ns: Callable[[], int], capacity: int = 8192) -> None:
        self.engine = engine
        self.history = history
        self.now_ns = now_ns
        self.capacity = capacity
        self._waiting: deque[Waiting] = deque()
        self._called = asyncio.Event()  # set when something waits, or nothing will any more
        self._is_closed = False
        self.room = capacity  # for how many more commands
        self._of_a_day = 0  # commands waiting that may be taken on one day only
        self.broken: str | None = None  # the code of why it takes no more: "stopping", or what broke it
        self.stop: Callable[[], None] = lambda: None  # stops the process
        self.watch: Callable[[Passed], None] = lambda passed: None

    def offer(self, command: Command) -> "asyncio.Future[Answer]":
        """Hand in a command; the future brings its answer. Problem 503 if the inbox is full or broken."""
        return self._put(marked(command), 1)

    def offer_for(self, command: Command, hear: Callable[[Answer | None, Problem | None], None]) -> None:
        """Hand in a command whose answer is told by a call. Problem likewise, and then there is none."""
        self._require_room(1)
        self._take_in(marked(command), Reply(hear), 1)

    def offer_batch(self, batch: OrderBatch) -> "asyncio.Future[BatchAnswer]":
        """Hand in a batch of orders, which all go into one durable write. Problem as of one command."""
        return self._put(marked_batch(batch), len(batch.details))

    def _put(self, command: Command | OrderBatch, size: int) -> "asyncio.Future[Any]":
        self._require_room(size)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._take_in(command, answer, size)
        return answer

    def _take_in(self, command: Command | OrderBatch, answer: "asyncio.Future[Any] | Reply", size: int) -> None:
        self.room -= size
        day = last_day()
        self._of_a_day += day > 0
        self._waiting.append(Waiting(command, answer, size, perf_counter(), REQUEST_ID.get(), day))
        self._called.set()

    def _require_room(self, size: int) -> None:
        if self.broken is not None:
            raise Problem(503, self.broken, "The exchange has stopped; ask again after its restart.")
        if self.room < size:
            said = "More commands are waiting than the exchange takes in; nothing has happened."
            raise Problem(503, "inbox_full", said, headers={"Retry-After": "1"})

    async def ask(self, command: Control) -> Event:
        """Hand in a command off the trading path and wait for its event. Problem if it is refused."""
        return (await self.ask_numbered(command))[1]

    async def ask_numbered(self, command: Control) -> tuple[int, Event]:
        """Likewise, with the command's sequence number."""
        return happened(await self.offer(control(command)))

    async def consume(self) -> None:
        """Take, journal, apply, answer; until the inbox is closed or broken."""
        closing = False
        while not closing and self.broken in (None, "stopping"):
            waiting, closing = await self._arrived()
            try:
                await self._process(waiting)
            except Exception as error:  # nothing that goes wrong here may be answered as if it had gone right
                self.break_down(error, waiting)

    async def _arrived(self) -> tuple[list[Waiting], bool]:
        """What has arrived, as far as it makes a group, and whether nothing will any more.

        A group costs much the same whatever its size. So it stays open while each turn of the event loop brings more.
        """
        await self._called.wait()
        found, size = list[Waiting](), 0
        while self._waiting and size < GROUP:
            found.append(self._waiting.popleft())
            size += found[-1].size
            if not self._waiting and size < GROUP:
                await asyncio.sleep(0)
        self.room += size
        if self._waiting:
            return found, False
        if not self._is_closed:
            self._called.clear()
        return found, self._is_closed

    async def close(self) -> None:
        """Take nothing more, finish what has arrived, then stop consuming."""
        if self.broken is None:
            self.broken = "stopping"
            self._close()

    def _close(self) -> None:
        self._is_closed = True
        self._called.set()

    def break_down(self, error: Exception, group: Sequence[Waiting] = ()) -> None:
        """Fail every waiting command and have the process stopped: the journal holds what has happened."""
        self.broken = error.code if isinstance(error, JournalError) else "internal_error"
        expected = isinstance(error, JournalError)  # the disk, which is told in one line
        _log.critical("the exchange stops: %s", error, exc_info=None if expected else error)
        for waiting in [*group, *self._waiting]:
            _fail(waiting, Problem(500, self.broken, "The exchange has stopped; ask again after its restart."))
        self._waiting.clear()
        self._close()
        self.stop()

    async def _process(self, group: list[Waiting]) -> None:
        while group:
            if self._of_a_day:
                group = self._of_today(group)
            if group:
                group = group[await self._process_some(group) :]

    def _of_today(self, group: list[Waiting]) -> list[Waiting]:
        """Without those whose day is over, which are told so."""
        today = self.engine.exchange.date
        over = [waiting for waiting in group if waiting.day and (today is None or waiting.day != today.toordinal())]
        self._of_a_day -= len(over)
        for waiting in over:
            _fail(waiting, outcome_unknown())
        return [waiting for waiting in group if waiting not in over] if over else group

    async def _process_some(self, group: list[Waiting]) -> int:
        """Journal, apply and answer the first commands of a group; returns how many were taken."""
        taken = perf_counter()
        batch, receipts = self.engine.prepare([waiting.command for waiting in group], self.now_ns())
        stamped = perf_counter()
        if batch.rows.size:
            await asyncio.wrap_future(self.engine.record(batch))
        journalled = perf_counter()
        first_new = self.engine.exchange.sequence + 1
        outcome = self.engine.apply(batch)
        self.history.extend(batch, outcome)
        applied = perf_counter()
        answers = _Answers(self.history, batch, outcome, first_new)
        for waiting, receipt in zip(group, receipts, strict=False):
            self._of_a_day -= waiting.day > 0
            if isinstance(receipt, Refused):
                _fail(waiting, Problem.of(receipt))
            else:
                answer = answers.to(receipt)
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)
        times = (taken, stamped, journalled, applied, perf_counter())
        self.watch(Passed(group, receipts, batch, outcome, *times))
        return len(receipts)


class _Answers:
    """What the commands of one batch are answered, asked for in their order."""

    def __init__(self, history: History, batch: Batch, outcome: Outcome, first_new: int) -> None:
        self._history, self._outcome, self._first = history, outcome, first_new
        self._next = first_new  # sequence of the next command that is not a repeat
        sequences = np.arange(first_new, first_new + batch.rows.size + 1)
        self._starts = np.searchsorted(outcome.rows["sequence"], sequences).tolist()  # of each command's event rows
        self._batch = batch

    def to(self, receipt: int | BatchReceipt) -> Answer | BatchAnswer:
        if isinstance(receipt, BatchReceipt):
            start, end = (self._starts[one - self._first] for one in (receipt.first, receipt.end))
            self._next = receipt.end
            return BatchAnswer(receipt, self._outcome.rows[start:end])
        if receipt < self._next:
            rows = self._history.answer(receipt)
            history = self._history
            return Answer(receipt, rows, 0, rows.size, None, True, history.command(receipt), told(rows), history.trade)
        self._next += 1
        place = receipt - self._first
        start, end = self._starts[place : place + 2]
        rows, event = self._outcome.rows, self._outcome.events.get(receipt)
        if event is not None:
            return Answer(receipt, rows, start, end, event, False)
        said = self._events[start:end]
        return Answer(receipt, rows, start, end, None, False, self._commands[place], said, self._trade)

    @cached_property
    def _commands(self) -> list[Any]:
        """All commands, told at once: one by one takes several times as long."""
        return told(self._batch.rows)

    @cached_property
    def _events(self) -> list[Any]:
        return told(self._outcome.rows)

    @cached_property
    def _trades(self) -> list[Any]:
        return told(self._outcome.trades)

    def _trade(self, trade_id: int) -> Any:
        return self._trades[trade_id - self._trades[0].trade_id]


def happened(answer: Answer) -> tuple[int, Event]:
    """Sequence and event of a command off the trading path. Problem if it was refused."""
    assert answer.event is not None, "every control command has an event"
    if isinstance(answer.event, CommandRefused):
        raise Problem.of(Refused(answer.event.reason, answer.event.detail))
    return answer.sequence, answer.event


def _fail(waiting: Waiting, problem: Problem) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(problem)
