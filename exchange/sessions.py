"""The trading day: phases, what each admits, and the timetable of a date on the exchange's calendar.

| phase      | new orders, amends | cancels | entered by                                     |
|------------|--------------------|---------|------------------------------------------------|
| closed     | no                 | no      | CloseSession                                   |
| pre-open   | no                 | yes     | OpenDay                                        |
| call       | yes, rest only     | yes     | OpenCall; left by an uncrossing                |
| continuous | yes                | yes     | StartTrading                                   |
| break      | no                 | yes     | BreakSession                                   |
| halted     | no                 | yes     | HaltTrading of an instrument, until it resumes |

Whether a date is a trading day comes from `exchange_calendars`, the kept library of exchange holidays;
its Shanghai calendar reaches to the end of the last year whose holidays have been announced.
"""

from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from exchange.commands import BreakSession, CloseSession, Control, FixObligations, OpenCall, OpenDay, StartTrading
from exchange.rules import RuleSet

_FIRST_KNOWN_DATE = "2013-01-01"  # before the first pilot market opened


class Phase(IntEnum):
    """Where the market stands in its day."""

    CLOSED = 0
    PRE_OPEN = 1
    CONTINUOUS = 2
    BREAK = 3
    CALL = 4
    HALTED = 5  # of an instrument, while the market calls or trades

    @property
    def label(self) -> str:
        return self.name.lower()


class Step(NamedTuple):
    """A point of the timetable: when (UTC nanoseconds) which command is due."""

    at_ns: int
    command: Control


class CalendarError(ValueError):
    """The calendar does not know a date."""


@cache
def _calendar(name: str) -> Any:
    import exchange_calendars  # here, because it brings pandas: half a second that most starts can spare

    try:
        return exchange_calendars.get_calendar(name, start=_FIRST_KNOWN_DATE)
    except exchange_calendars.errors.InvalidCalendarName as error:
        raise CalendarError(f"there is no calendar {name!r}") from error


def trading_days(rules: RuleSet, first: date, last: date) -> list[date]:
    """The trading days from `first` to `last`, both included, as far as the calendar reaches."""
    calendar = _calendar(rules.calendar)
    first = max(first, calendar.first_session.date())
    last = min(last, calendar.last_session.date())
    if first > last:
        return []
    return [session.date() for session in calendar.sessions_in_range(str(first), str(last))]


def next_trading_day(rules: RuleSet, after: date) -> date:
    """The first trading day later than a date. CalendarError beyond the calendar's end."""
    days = trading_days(rules, date.fromordinal(after.toordinal() + 1), date.fromordinal(after.toordinal() + 30))
    if not days:
        last = _calendar(rules.calendar).last_session.date()
        raise CalendarError(f"calendar {rules.calendar} knows no trading day after {after}; its last is {last}")
    return days[0]


def moment_ns(rules: RuleSet, day: date, local: str) -> int:
    """A local time of a day, in UTC nanoseconds."""
    moment = datetime.combine(day, time.fromisoformat(local), ZoneInfo(rules.timezone)).astimezone(UTC)
    return int(moment.timestamp()) * 1_000_000_000


def local_moment(rules: RuleSet, at_ns: int) -> datetime:
    """UTC nanoseconds as a moment of the market's zone, to the second."""
    return datetime.fromtimestamp(at_ns // 1_000_000_000, ZoneInfo(rules.timezone))


def opening_ns(rules: RuleSet, day: date) -> int:
    """When a day opens by the timetable, UTC nanoseconds."""
    return moment_ns(rules, day, rules.pre_open)


def next_opening_ns(rules: RuleSet, after: date, now_ns: int) -> int:
    """The first opening after a moment, of a trading day after a date. CalendarError at the calendar's end."""
    today = local_moment(rules, now_ns).date()
    day = next_trading_day(rules, max(after, today - timedelta(days=1)))
    return opening if (opening := opening_ns(rules, day)) > now_ns else opening_ns(rules, next_trading_day(rules, day))


def timetable(rules: RuleSet, day: date) -> list[Step]:
    """The commands of a trading day in order, each with its time, until its settlement begins.

    What follows then depends on the settlement bank: :mod:`exchange.settling`.
    """

    def at(local: str) -> int:
        return moment_ns(rules, day, local)

    steps = [Step(opening_ns(rules, day), OpenDay(day))]
    if rules.opening_call:
        steps.append(Step(at(rules.opening_call), OpenCall()))
    for number, (start, end) in enumerate(rules.sessions, 1):
        steps.append(Step(at(start), StartTrading()))
        if rules.closing_call and number == len(rules.sessions):
            steps.append(Step(at(rules.closing_call), OpenCall()))
        steps.append(Step(at(end), CloseSession() if number == len(rules.sessions) else BreakSession()))
    steps.append(Step(at(rules.settle_at), FixObligations()))
    return steps
