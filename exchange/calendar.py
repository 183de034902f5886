"""The compliance calendar: which dated steps of which years are due on a trading day.

A rule set dates the steps (:class:`registry.rules.CalendarStep`), the state says which of them still have to be taken;
so nothing is lost or repeated by a restart, and what an operator did by hand is not done again:

| step            | due on or after its date, if                                     | as               |
|-----------------|------------------------------------------------------------------|------------------|
| open_reporting  | reports of an open year are not due yet and the calendar's       | OpenReporting    |
|                 | deadline lies ahead                                              |                  |
| close_reporting | reporting goes on, this date and its own deadline have passed    | CloseReporting   |
| open_surrender  | allocation is determined and the calendar's deadline lies ahead  | OpenSurrender    |
| remind          | the window is open and nobody was reminded since that date       | RemindObligors   |
| close_surrender | the window is open, this date and its own deadline have passed   | CloseSurrender   |
| expire          | the year is closed, its allowances lapse by rule and have not    | LapseUnits       |

They are the authority's: the first active account of its class asks for them. Without one nothing is due.
"""

from collections.abc import Iterator
from datetime import date, timedelta

from exchange.commands import (
    CloseReporting,
    CloseSurrender,
    Control,
    LapseUnits,
    OpenReporting,
    OpenSurrender,
    RemindObligors,
)
from exchange.state import Exchange
from registry.accounts import Account, Right
from registry.compliance import Period, Stage, expiry_rule
from registry.rules import CalendarStep, Lapse


def due_steps(exchange: Exchange, today: date) -> list[Control]:
    """The commands of the calendar that are due on a day, oldest year first."""
    authority = _authority(exchange)
    if authority is None:
        return []
    periods = exchange.compliance.periods
    return [
        step
        for year in sorted(periods)
        for due in (_due_reporting, _due_surrender)
        for step in due(exchange, periods[year], today, authority.account_id)
    ]


def _authority(exchange: Exchange) -> Account | None:
    return next((account for account in exchange.accounts if account.may(Right.ADMINISTER)), None)


def _due_reporting(exchange: Exchange, period: Period, today: date, by: str) -> Iterator[Control]:
    calendar, year = exchange.market.compliance.calendar, period.year
    begun = _last_begun(calendar, "open_reporting", year, today)
    closing = _last_begun(calendar, "close_reporting", year, date.max)
    reporting = exchange.emissions.years.get(year)
    if closing is None:
        return
    if reporting is None:
        somebody_reports = any(account.may(Right.REPORT) for account in exchange.accounts)
        if begun and closing >= today and period.stage in (Stage.OPEN, Stage.PRE_ALLOCATED) and somebody_reports:
            yield OpenReporting(by, year, closing)
    elif reporting.closed_on is None and today > max(closing, reporting.deadline):
        yield CloseReporting(by, year)


def _due_surrender(exchange: Exchange, period: Period, today: date, by: str) -> Iterator[Control]:
    rules, year = exchange.market.compliance, period.year
    closing = _last_begun(rules.calendar, "close_surrender", year, date.max)
    match period.stage:
        case Stage.DETERMINED:
            if _last_begun(rules.calendar, "open_surrender", year, today) and closing and closing >= today:
                yield OpenSurrender(by, year, closing)
        case Stage.SURRENDERING:
            assert period.deadline is not None
            reminder = _last_begun(rules.calendar, "remind", year, today)
            if today > period.deadline:
                if closing and today > closing:
                    yield CloseSurrender(by, year)
            elif reminder and (period.reminded_on is None or period.reminded_on < reminder):
                yield RemindObligors(by, year)
        case Stage.CLOSED:
            lapses = isinstance(expiry_rule(rules, year), Lapse) and not period.has_lapsed
            if lapses and _last_begun(rules.calendar, "expire", year, today):
                yield LapseUnits(by, year)


def _last_begun(calendar: list[CalendarStep], step: str, year: int, today: date) -> date | None:
    """The latest date of a step for a compliance year that has come; None if none has."""
    dates = [date_of(entry, year) for entry in calendar if entry.step == step]
    return max((day for day in dates if day <= today), default=None)


def date_of(entry: CalendarStep, year: int) -> date:
    """When a step of the calendar is due for a compliance year; in a shorter month its last day."""
    first = date(year + entry.years_after, entry.month, 1)
    day = first + timedelta(days=entry.day - 1)
    if day.month == entry.month:
        return day
    return first + timedelta(days=entry.day - 1 - day.day)
