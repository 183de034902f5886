"""The compliance calendar: a table of where a year stands and what is due on which day."""

from datetime import date

import msgspec
import pytest

from exchange.calendar import date_of, due_steps
from exchange.commands import (
    CloseReporting,
    CloseSurrender,
    LapseUnits,
    OpenAccount,
    OpenPeriod,
    OpenReporting,
    OpenSurrender,
    RemindObligors,
)
from exchange.rules import load_rule_set
from registry.accounts import AccountStatus, ParticipantClass
from registry.compliance import Stage
from registry.rules import CalendarStep
from tests.exchange.market import Market

HUBEI = load_rule_set("hubei")
DEADLINE = date(2026, 12, 26)
REPORTING = OpenReporting("REG", 2025, date(2026, 9, 30))
CLOSE_REPORTING = CloseReporting("REG", 2025)
SURRENDER = OpenSurrender("REG", 2025, DEADLINE)
REMIND = RemindObligors("REG", 2025)
CLOSE = CloseSurrender("REG", 2025)
LAPSE = LapseUnits("REG", 2025)


def day(text):
    return date.fromisoformat(f"2026-{text}")


@pytest.fixture
def market():
    """An authority, an enterprise, and the compliance year 2025."""
    made = Market(until="listed")
    made.must(OpenAccount("REG", "Authority", ParticipantClass.REGISTRY_AUTHORITY))
    made.must(OpenAccount("E", "Daye Steel", ParticipantClass.COVERED_ENTERPRISE))
    made.must(OpenPeriod("REG", 2025, 0))
    return made


def stand(market, stage, reported=True, **figures):
    """Put the year into a stage without its history."""
    period = market.exchange.compliance.periods[2025]
    period.stage = Stage(stage)
    if period.stage in (Stage.SURRENDERING, Stage.CLOSED):
        period.deadline = DEADLINE
    if reported:
        market.exchange.emissions.open(2025, date(2026, 9, 30), [])
        market.exchange.emissions.close(2025, date(2026, 10, 9), HUBEI.reporting)
    for name, value in figures.items():
        setattr(period, name, value)


TABLE = [
    # stage, what else is so, day, due
    ("open", {"reported": False}, "01-03", []),
    ("open", {"reported": False}, "01-04", [REPORTING]),
    ("pre_allocated", {"reported": False}, "06-01", [REPORTING]),
    ("open", {"reported": False}, "09-30", [REPORTING]),
    ("open", {"reported": False}, "10-01", []),  # its deadline has passed: for the operator to settle
    ("determined", {"reported": False}, "03-01", []),
    ("open", {}, "12-01", []),
    ("pre_allocated", {}, "12-31", []),
    ("determined", {}, "11-30", []),
    ("determined", {}, "12-01", [SURRENDER]),
    ("determined", {}, "12-26", [SURRENDER]),
    ("determined", {}, "12-27", []),  # likewise
    ("surrendering", {}, "12-14", []),
    ("surrendering", {}, "12-15", [REMIND]),
    ("surrendering", {}, "12-26", [REMIND]),
    ("surrendering", {"reminded_on": day("12-14")}, "12-16", [REMIND]),  # by hand, before the calendar's day
    ("surrendering", {"reminded_on": day("12-15")}, "12-16", []),
    ("surrendering", {}, "12-27", [CLOSE]),
    ("surrendering", {"deadline": day("12-20")}, "12-21", []),  # nobody is closed out before the calendar's day
    ("surrendering", {"deadline": day("12-20")}, "12-27", [CLOSE]),
    ("surrendering", {"deadline": day("12-30")}, "12-28", [REMIND]),
    ("surrendering", {"deadline": day("12-30")}, "12-31", [CLOSE]),
    ("closed", {}, "12-27", []),
    ("closed", {}, "12-28", [LAPSE]),
    ("closed", {"has_lapsed": True}, "12-28", []),
]


@pytest.mark.parametrize(("stage", "state", "on", "due"), TABLE)
def test_what_is_due(market, stage, state, on, due):
    stand(market, stage, **state)
    assert due_steps(market.exchange, day(on)) == due


@pytest.mark.parametrize(("on", "due"), [("09-30", []), ("10-01", [CLOSE_REPORTING])])
def test_reporting_closes_after_its_deadline(market, on, due):
    market.exchange.emissions.open(2025, date(2026, 9, 30), [])
    assert due_steps(market.exchange, day(on)) == due


def test_a_longer_deadline_of_reporting_holds(market):
    market.exchange.emissions.open(2025, date(2026, 10, 31), [])
    assert due_steps(market.exchange, day("10-31")) == []
    assert due_steps(market.exchange, day("11-01")) == [CLOSE_REPORTING]


def test_a_later_year_is_due_later(market):
    stand(market, "surrendering", reminded_on=day("12-15"))
    market.must(OpenPeriod("REG", 2026, 0))
    assert due_steps(market.exchange, date(2027, 1, 4)) == [CLOSE, OpenReporting("REG", 2026, date(2027, 9, 30))]


def test_without_an_active_authority_nothing_is_due(market):
    stand(market, "closed")
    accounts = market.exchange.accounts
    accounts.change_status(accounts.by_id["REG"], AccountStatus.RESTRICTED, "a scene")
    assert due_steps(market.exchange, day("12-31")) == []
    market.must(OpenAccount("REG-2", "Authority", ParticipantClass.REGISTRY_AUTHORITY))
    assert due_steps(market.exchange, day("12-31")) == [LapseUnits("REG-2", 2025)]


def test_without_anybody_who_reports_no_report_is_asked_for(market):
    accounts = market.exchange.accounts
    accounts.change_status(accounts.by_id["E"], AccountStatus.CLOSED, "a scene")
    assert due_steps(market.exchange, day("01-04")) == []


def test_a_rule_set_without_a_calendar_leaves_all_to_the_operator():
    rules = msgspec.structs.replace(HUBEI, compliance=msgspec.structs.replace(HUBEI.compliance, calendar=[]))
    market = Market(rules, until="listed")
    market.must(OpenAccount("REG", "Authority", ParticipantClass.REGISTRY_AUTHORITY))
    market.must(OpenPeriod("REG", 2025, 0))
    for stage in Stage:
        stand(market, stage, reported=False)
        assert due_steps(market.exchange, date(2030, 1, 1)) == []


@pytest.mark.parametrize(
    ("entry", "year", "expected"),
    [
        (CalendarStep("remind", 12, 15), 2025, date(2026, 12, 15)),
        (CalendarStep("remind", 12, 31, years_after=0), 2025, date(2025, 12, 31)),
        (CalendarStep("remind", 2, 31), 2025, date(2026, 2, 28)),
        (CalendarStep("remind", 2, 30), 2027, date(2028, 2, 29)),
        (CalendarStep("remind", 11, 31), 2025, date(2026, 11, 30)),
    ],
)
def test_a_date_of_the_calendar(entry, year, expected):
    assert date_of(entry, year) == expected
