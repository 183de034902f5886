"""The trading day: what each phase admits, the timetable, and the exchange's calendar against known facts."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from exchange.commands import (
    BreakSession,
    CloseSession,
    FixObligations,
    ListInstrument,
    OpenCall,
    OpenDay,
    SettleDay,
    StartTrading,
)
from exchange.rules import load_rule_set
from exchange.sessions import CalendarError, Phase, next_trading_day, timetable, trading_days
from registry.units import Species
from tests.exchange.market import Market, cash, units

HUBEI, GENERIC = load_rule_set("hubei"), load_rule_set("generic")


# ---------------------------------------------------------------- phases

# How a market gets into each phase.
WAY_TO = {
    Phase.CLOSED: "close\nsettle",
    Phase.PRE_OPEN: "close\nsettle\nopen 2026-01-06",
    Phase.CONTINUOUS: "",
    Phase.BREAK: "break",
    Phase.CALL: "call",
}
STEPS = {
    "open": OpenDay(date(2026, 1, 7)),
    "call": OpenCall(),
    "start": StartTrading(),
    "break": BreakSession(),
    "close": CloseSession(),
    "settle": SettleDay(),
    "list": ListInstrument("HBCER-2025", Species.CREDIT, 2025),
}


# What becomes of an order, an amend and a cancel in a phase: nothing speaks against it, or this does.
ADMITTED = "admitted"


@pytest.mark.parametrize(
    ("phase", "order", "amend", "cancel"),
    [
        pytest.param(Phase.CLOSED, "market_closed", "market_closed", "market_closed", id="closed"),
        pytest.param(Phase.PRE_OPEN, "market_closed", "market_closed", ADMITTED, id="pre-open"),
        pytest.param(Phase.CALL, ADMITTED, ADMITTED, ADMITTED, id="call"),
        pytest.param(Phase.CONTINUOUS, ADMITTED, ADMITTED, ADMITTED, id="continuous"),
        pytest.param(Phase.BREAK, "market_closed", "market_closed", ADMITTED, id="break"),
        pytest.param(Phase.HALTED, "market_halted", "market_halted", ADMITTED, id="halted"),
    ],
)
def test_what_a_phase_admits(phase, order, amend, cancel):
    market = Market(alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00")
    # An order rests in every phase here, which the day itself would not allow.
    market.exchange.path.desk.instruments["phase"][1:] = phase

    def becomes(line: str) -> str:
        said = market.play(line)
        return said.rpartition("refused: ")[2] if "refused" in said else ADMITTED

    assert becomes("alice buys 1 @ 41.00") == order
    assert becomes("bob amends order 1 to 90 @ 42.00") == amend
    assert becomes("bob cancels order 1") == cancel
    assert becomes("bob cancels all") == cancel


@pytest.mark.parametrize(
    ("phase", "admitted"),
    [
        pytest.param(Phase.CLOSED, {"open", "list"}, id="closed"),
        pytest.param(Phase.PRE_OPEN, {"call", "start", "close"}, id="pre-open"),
        pytest.param(Phase.CONTINUOUS, {"call", "break", "close"}, id="continuous"),
        pytest.param(Phase.BREAK, {"call", "start", "close"}, id="break"),
        pytest.param(Phase.CALL, {"start", "close"}, id="call"),
    ],
)
@pytest.mark.parametrize("step", STEPS)
def test_which_step_may_follow_a_phase(phase, admitted, step):
    market = Market()
    market.play(WAY_TO[phase])
    assert market.exchange.phase == phase

    assert ("refused" not in market.do(STEPS[step])) == (step in admitted)


def test_a_closed_day_is_settled_once_before_the_next_one_opens():
    market = Market()

    assert market.close() == "day 2026-01-05 closed at 42.00"
    assert market.open_day("2026-01-06") == "refused: day_not_settled"
    assert market.settle() == "day 2026-01-05 settled, 0 trades"
    assert market.settle() == "refused: day_already_settled"
    assert market.open_day("2026-01-06") == "day 2026-01-06 opened"


# ---------------------------------------------------------------- the timetable


def test_the_timetable_of_a_day():
    day = date(2026, 1, 5)
    local = [
        (datetime.fromtimestamp(step.at_ns / 1e9, ZoneInfo("Asia/Shanghai")).strftime("%Y-%m-%d %H:%M"), step.command)
        for step in timetable(HUBEI, day)
    ]
    assert local == [
        ("2026-01-05 09:15", OpenDay(day)),
        ("2026-01-05 09:30", StartTrading()),
        ("2026-01-05 11:30", BreakSession()),
        ("2026-01-05 13:00", StartTrading()),
        ("2026-01-05 15:00", CloseSession()),
        ("2026-01-05 15:30", FixObligations()),
    ]


def test_the_timetable_is_local_to_the_exchange():
    opening = timetable(HUBEI, date(2026, 1, 5))[0]
    assert datetime.fromtimestamp(opening.at_ns / 1e9, UTC) == datetime(2026, 1, 5, 1, 15, tzinfo=UTC)


def test_a_timetable_played_through_is_a_whole_day():
    market = Market(until="listed")
    said = [market.do(step.command) for step in timetable(HUBEI, date(2026, 1, 5))]

    assert said == [
        "day 2026-01-05 opened",
        "session 1 started",
        "session 1 broken",
        "session 2 started",
        "day 2026-01-05 closed at 42.00",
        "ObligationsFixed",
    ]


ONE_SESSION = msgspec.structs.replace(HUBEI, sessions=[("09:30", "15:00")])
BOTH_CALLS = {"opening_call": "09:20", "closing_call": "14:57"}


@pytest.mark.parametrize(
    ("rules", "commands"),
    [
        pytest.param(ONE_SESSION, [OpenDay, StartTrading, CloseSession, FixObligations], id="one session, no break"),
        pytest.param(
            msgspec.structs.replace(ONE_SESSION, **BOTH_CALLS),
            [OpenDay, OpenCall, StartTrading, OpenCall, CloseSession, FixObligations],
            id="one session between two calls",
        ),
        pytest.param(
            msgspec.structs.replace(HUBEI, **BOTH_CALLS),
            [OpenDay, OpenCall, StartTrading, BreakSession, StartTrading, OpenCall, CloseSession, FixObligations],
            id="the closing call ends the last session",
        ),
        pytest.param(
            GENERIC,
            [OpenDay, OpenCall, StartTrading, BreakSession, StartTrading, CloseSession, FixObligations],
            id="a plain market opens with a call",
        ),
    ],
)
def test_the_steps_of_a_day(rules, commands):
    assert [type(step.command) for step in timetable(rules, date(2026, 1, 5))] == commands


def test_calls_begin_when_the_rules_say_so():
    rules = msgspec.structs.replace(HUBEI, **BOTH_CALLS)
    local = [
        datetime.fromtimestamp(step.at_ns / 1e9, ZoneInfo("Asia/Shanghai")).strftime("%H:%M")
        for step in timetable(rules, date(2026, 1, 5))
        if step.command == OpenCall()
    ]
    assert local == ["09:20", "14:57"]


def test_a_timetable_with_calls_played_through_is_a_whole_day():
    market = Market(msgspec.structs.replace(HUBEI, **BOTH_CALLS), until="listed")
    said = [market.do(step.command) for step in timetable(market.rules, date(2026, 1, 5))]

    assert said == [
        "day 2026-01-05 opened",
        "call opened",
        "session 1 started",
        "session 1 broken",
        "session 2 started",
        "call opened",
        "day 2026-01-05 closed at 42.00",
        "ObligationsFixed",
    ]


# ---------------------------------------------------------------- the calendar


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        pytest.param("2026-01-01", "2026-01-05", ["2026-01-05"], id="New Year 2026: 1 to 3 January, then a Sunday"),
        pytest.param(
            "2024-09-30", "2024-10-09", ["2024-09-30", "2024-10-08", "2024-10-09"], id="National Day 2024: 1 to 7"
        ),
        pytest.param("2024-02-08", "2024-02-19", ["2024-02-08", "2024-02-19"], id="Chinese New Year 2024: 9 to 18"),
        pytest.param("2026-02-13", "2026-02-24", ["2026-02-13", "2026-02-24"], id="Chinese New Year 2026: 15 to 23"),
        pytest.param("2024-10-12", "2024-10-13", [], id="a weekend, though 12 October was a working day"),
        pytest.param("2014-04-02", "2014-04-02", ["2014-04-02"], id="the first day of the Hubei market"),
        pytest.param("2014-04-03", "2014-04-02", [], id="an empty span"),
        pytest.param("1980-01-01", "2012-12-31", [], id="before the calendar"),
        pytest.param("2100-01-01", "2100-12-31", [], id="beyond the calendar"),
    ],
)
def test_trading_days(first, last, days):
    found = trading_days(HUBEI, date.fromisoformat(first), date.fromisoformat(last))
    assert [str(day) for day in found] == days


@pytest.mark.parametrize(
    ("after", "following"),
    [
        pytest.param("2026-01-05", "2026-01-06", id="a Monday"),
        pytest.param("2026-01-09", "2026-01-12", id="a Friday"),
        pytest.param("2025-12-31", "2026-01-05", id="New Year"),
        pytest.param("2024-09-30", "2024-10-08", id="National Day"),
        pytest.param("2026-02-18", "2026-02-24", id="within a holiday"),
    ],
)
def test_the_next_trading_day(after, following):
    assert str(next_trading_day(HUBEI, date.fromisoformat(after))) == following


def test_beyond_the_calendars_end_there_is_no_next_day():
    with pytest.raises(CalendarError, match="XSHG knows no trading day after 2100-01-01; its last is 20"):
        next_trading_day(HUBEI, date(2100, 1, 1))
