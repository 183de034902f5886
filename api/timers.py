"""The clock, and the timers that take the market through its day. The only place that reads the time.

The clock can run faster than time, at a speed that may change, and can be set forward, never back. The timers look at
where the market stands and hand in the next command of the timetable when it is due; so they go on after a restart
in the middle of a day without remembering anything themselves. Before the trading of a day begins they take
the steps of the compliance calendar that are due (:mod:`exchange.calendar`); after its close they settle it step by
step (:mod:`exchange.settling`). The simulated settlement bank answers by the same clock, as a participant of its own.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from api.inbox import Inbox
from api.problems import Problem
from exchange.calendar import due_steps
from exchange.commands import Control, StartTrading
from exchange.sessions import CalendarError, Phase, Step, local_moment, next_trading_day, timetable
from exchange.settling import next_of_bank, next_of_settlement, waiting_for_bank
from exchange.state import Exchange
from settlement.rules import Policy

_log = logging.getLogger("carbonex")
_LONGEST_NAP_S = 0.05


class Clock:
    """Market time in UTC nanoseconds: starts somewhere and runs at `speed` market seconds a second."""

    def __init__(self, start_ns: int, speed: float = 1.0, wall_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.speed = speed
        self.is_real = False
        self._wall_ns = wall_ns
        self._market_origin = start_ns
        self._wall_origin = wall_ns()

    def now_ns(self) -> int:
        return self._market_origin + int((self._wall_ns() - self._wall_origin) * self.speed)

    @classmethod
    def real(cls) -> "Clock":
        """The wall clock itself, which nobody sets."""
        clock = cls(0, wall_ns=time.time_ns)
        clock._market_origin = clock._wall_origin
        clock.is_real = True
        return clock

    def advance_to(self, at_ns: int) -> None:
        """Set the clock forward; a time that has passed changes nothing, nor does the real clock."""
        if at_ns > self.now_ns() and not self.is_real:
            self._market_origin, self._wall_origin = at_ns, self._wall_ns()

    def run_at(self, speed: float) -> None:
        """From now on at another speed; not the real clock."""
        assert not self.is_real, "the real clock has its own speed"
        self._market_origin, self._wall_origin = self.now_ns(), self._wall_ns()
        self.speed = speed

    def iso(self, zone: str) -> str:
        """Market time in a zone, to the second."""
        return iso(self.now_ns(), zone)


def real_now_ns() -> int:
    """The wall clock: UTC nanoseconds."""
    return time.time_ns()


def simulated_clock(exchange: Exchange, day: date | None, manual: bool) -> int:
    """Where a simulated clock starts: where the journal stopped, or when a new one's first trading day begins.

    `day`: the first trading day is on or after it (default: today). CalendarError at the calendar's end,
    unless the day is the operator's to choose.
    """
    rules = exchange.market
    if exchange.date is not None:
        return exchange.now_ns
    if day is None:
        day = local_moment(rules, real_now_ns()).date()
    try:
        return timetable(rules, next_trading_day(rules, day - timedelta(days=1)))[0].at_ns
    except CalendarError:
        if manual:
            return timetable(rules, day)[0].at_ns
        raise


def iso(at_ns: int, zone: str) -> str:
    """UTC nanoseconds as an ISO 8601 time of a zone, to the second."""
    return _iso(at_ns // 1_000_000_000, zone)


@lru_cache(4096)
def _iso(at_s: int, zone: str) -> str:
    return datetime.fromtimestamp(at_s, UTC).astimezone(ZoneInfo(zone)).isoformat()


def next_step(exchange: Exchange, now_ns: int) -> Step | None:
    """The command that the timetable has next, given where the market stands. CalendarError at its end.

    None while settlement waits for the bank beyond its time.
    """
    rules = exchange.market
    if exchange.date is None or exchange.is_settled:
        today = local_moment(rules, now_ns).date()
        yesterday = today - timedelta(days=1)
        last = yesterday if exchange.date is None else max(exchange.date, yesterday)
        steps = timetable(rules, next_trading_day(rules, last))
        if steps[-2].at_ns <= now_ns:  # today's close has passed: a day that has not begun is not caught up
            steps = timetable(rules, next_trading_day(rules, today))
        return steps[0]
    steps = timetable(rules, exchange.date)
    starts = [index for index, step in enumerate(steps) if isinstance(step.command, StartTrading)]
    begun = min(exchange.session, len(starts))  # by hand there may be more sessions than the timetable has
    close = steps[-2]
    match exchange.phase:
        case Phase.PRE_OPEN:
            return steps[1]
        case Phase.CONTINUOUS:
            return steps[starts[begun - 1] + 1]
        case Phase.CALL if begun == len(starts):
            return close
        case Phase.CALL | Phase.BREAK:
            return steps[starts[min(begun, len(starts) - 1)]]
        case _:
            return next_of_settlement(exchange)


class Timers:
    """Runs trading days by the timetable while it is switched on; without `bank` others answer for the bank."""

    def __init__(self, exchange: Exchange, inbox: Inbox, clock: Clock, bank: Policy | None = None) -> None:
        self.exchange = exchange
        self.inbox = inbox
        self.clock = clock
        self.bank = bank
        self.days_left: int | None = 0  # None: without end
        self.skip_idle = False
        self._last_settled: date | None = None
        self._refused: set[tuple[date, Control]] = set()  # steps of the compliance calendar, on that day
        self._warned = ""

    @property
    def running(self) -> bool:
        """Whether there is a day left to run; a day is done when it is settled, whoever settled it."""
        day = self.exchange.date if self.exchange.is_settled else None
        if day is not None and day != self._last_settled:
            self._last_settled = day
            if self.days_left:
                self.days_left -= 1
        return self.days_left is None or self.days_left > 0

    def start(self, days: int | None, skip_idle: bool) -> None:
        """Run so many days (None: without end); `skip_idle` sets the clock forward outside trading hours."""
        self._last_settled = self.exchange.date if self.exchange.is_settled else None
        self.days_left, self.skip_idle = days, skip_idle

    def stop(self) -> None:
        self.days_left = 0

    def due(self) -> Step | None:
        """The next step while the timers run and there is something to trade."""
        if not self.running or not len(self.exchange.instruments):
            return None
        step = next_step(self.exchange, self.clock.now_ns())
        answer = next_of_bank(self.exchange, self.bank) if self.bank else None
        return min((one for one in (answer, step) if one is not None), key=lambda one: one.at_ns, default=None)

    @property
    def may_skip(self) -> bool:
        """Whether nobody needs the time until the next step: not while there is trading, or while a bank is asked."""
        if self.exchange.phase in (Phase.CONTINUOUS, Phase.CALL):
            return False
        return self.skip_idle and (self.bank is not None or waiting_for_bank(self.exchange) is None)

    def due_by_calendar(self) -> Control | None:
        """The next step of the compliance calendar, in the pre-open of a day; one that was refused waits a day."""
        today = self.exchange.date
        if not self.running or self.exchange.phase != Phase.PRE_OPEN or today is None:
            return None
        return next((step for step in due_steps(self.exchange, today) if (today, step) not in self._refused), None)

    async def run(self) -> None:
        """Hand in each command when its time has come. An error that nobody expected stops the exchange."""
        try:
            while True:
                await asyncio.sleep(await self._step())
        except Exception as error:
            self.inbox.break_down(error)

    async def _step(self) -> float:
        """Hand in the next command if it is due; returns how many seconds to wait before looking again."""
        if (dated := self.due_by_calendar()) is not None:
            return await self._take(dated)
        try:
            step = self.due()
        except CalendarError as error:
            _log.error("the timers stop: %s", error)
            self.stop()
            return _LONGEST_NAP_S
        if step is None:
            return _LONGEST_NAP_S
        if self.may_skip:
            self.clock.advance_to(step.at_ns)
        wait_s = (step.at_ns - self.clock.now_ns()) / 1e9 / self.clock.speed
        if wait_s > 0:
            return min(wait_s, _LONGEST_NAP_S)
        try:
            await self.inbox.ask(step.command)
        except Problem as problem:
            # An operator was faster, or the exchange has stopped: look again.
            if str(problem) != self._warned:
                _log.warning("timers: %s", problem)
            self._warned = str(problem)
            return _LONGEST_NAP_S
        return 0.0

    async def _take(self, dated: Control) -> float:
        """Hand in a step of the compliance calendar; returns how many seconds to wait before looking again."""
        today = self.exchange.date
        assert today is not None
        try:
            await self.inbox.ask(dated)
        except Problem as problem:
            _log.warning("timers: %s: %s", type(dated).__name__, problem)
            if problem.status >= 500:  # nobody has looked at it
                return _LONGEST_NAP_S
            self._refused.add((today, dated))
        return 0.0
