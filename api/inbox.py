"""The inbox: one bounded queue, one consumer that takes all that has arrived.

A request offers its command and waits. The consumer stamps what is there (at most GROUP commands), has
it written durably in one go, applies it, and gives each request its own events. Whatever arrives while
the disk works makes the next group: one command when it is quiet, many when it is busy. A full queue
refuses at once, before anything has happened. If the journal fails, every waiting request fails and the
exchange stops: nothing that was not journalled is ever acknowledged.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from api.history import History
from api.problems import Problem
from exchange.commands import Command, Control, control
from exchange.engine import Engine
from exchange.events import CommandRefused, Event
from exchange.journal import JournalError
from exchange.reasons import Refused
from exchange.rows import type_of_rows

_log = logging.getLogger("carbonex")

GROUP = 1024  # commands per durable write


class Answer(NamedTuple):
    """What one command made happen: its sequence, event rows of the trading path, or the event of another."""

    sequence: int
    rows: type_of_rows
    event: Event | None
    repeated: bool


class Waiting(NamedTuple):
    command: Command
    answer: "asyncio.Future[Answer]"


class Inbox:
    """The only way in for commands while the gateway runs."""

    def __init__(self, engine: Engine, history: History, now_ns: Callable[[], int], capacity: int = 8192) -> None:
        self.engine = engine
        self.history = history
        self.now_ns = now_ns
        self.queue: asyncio.Queue[Waiting | None] = asyncio.Queue(capacity)  # None: closed
        self.broken: str | None = None  # the code of why it takes no more: "stopping", or what broke it
        self.stop: Callable[[], None] = lambda: None  # stops the process

    def offer(self, command: Command) -> "asyncio.Future[Answer]":
        """Hand in a command; the future brings its answer. Problem 503 if the inbox is full or broken."""
        if self.broken is not None:
            raise Problem(503, self.broken, "The exchange has stopped; ask again after its restart.")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            self.queue.put_nowait(Waiting(command, answer))
        except asyncio.QueueFull:
            said = "More commands are waiting than the exchange takes in; nothing has happened."
            raise Problem(503, "inbox_full", said, headers={"Retry-After": "1"}) from None
        return answer

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
            group = [await self.queue.get()]
            while len(group) < GROUP and not self.queue.empty():
                group.append(self.queue.get_nowait())
            closing = None in group
            waiting = [one for one in group if one is not None]
            try:
                await self._process(waiting)
            except Exception as error:  # nothing that goes wrong here may be answered as if it had gone right
                self.break_down(error, waiting)

    async def close(self) -> None:
        """Take nothing more, finish what has arrived, then stop consuming."""
        if self.broken is None:
            self.broken = "stopping"
            await self.queue.put(None)

    def break_down(self, error: Exception, group: Sequence[Waiting] = ()) -> None:
        """Fail every waiting command and have the process stopped: the journal holds what has happened."""
        self.broken = error.code if isinstance(error, JournalError) else "internal_error"
        _log.critical("the exchange stops: %s", error, exc_info=error)
        left = [self.queue.get_nowait() for _ in range(self.queue.qsize())]
        for waiting in [*group, *(one for one in left if one is not None)]:
            _fail(waiting, Problem(500, self.broken, "The exchange has stopped; ask again after its restart."))
        self.queue.put_nowait(None)
        self.stop()

    async def _process(self, group: list[Waiting]) -> None:
        while group:
            group = group[await self._process_some(group) :]

    async def _process_some(self, group: list[Waiting]) -> int:
        """Journal, apply and answer the first commands of a group; returns how many were taken."""
        batch, receipts = self.engine.prepare([waiting.command for waiting in group], self.now_ns())
        if batch.rows.size:
            await asyncio.wrap_future(self.engine.record(batch))
        first_new = self.engine.exchange.sequence + 1
        outcome = self.engine.apply(batch)
        self.history.extend(batch, outcome)
        for waiting, receipt in zip(group, receipts, strict=False):
            if isinstance(receipt, Refused):
                _fail(waiting, Problem.of(receipt))
            elif not waiting.answer.done():
                rows = self.history.answer(receipt)
                event = outcome.events.get(receipt)
                waiting.answer.set_result(Answer(receipt, rows, event, receipt < first_new))
        return len(receipts)


def happened(answer: Answer) -> tuple[int, Event]:
    """Sequence and event of a command off the trading path. Problem if it was refused."""
    assert answer.event is not None, "every control command has an event"
    if isinstance(answer.event, CommandRefused):
        raise Problem.of(Refused(answer.event.reason, answer.event.detail))
    return answer.sequence, answer.event


def _fail(waiting: Waiting, problem: Problem) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(problem)
