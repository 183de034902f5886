"""Periods in working days, and anniversaries."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.workdays import after_working_days, years_later

SPRING_FESTIVAL = [date(2026, 2, 16) + timedelta(days=n) for n in range(8)]


@pytest.mark.parametrize(
    ("begins_after", "count", "holidays", "last"),
    [
        pytest.param("2026-01-05", 0, [], "2026-01-05", id="no period"),
        pytest.param("2026-01-05", 1, [], "2026-01-06", id="Monday: Tuesday"),
        pytest.param("2026-01-09", 1, [], "2026-01-12", id="Friday: Monday"),
        pytest.param("2026-01-10", 1, [], "2026-01-12", id="Saturday: Monday"),
        pytest.param("2026-01-05", 20, [], "2026-02-02", id="four weeks"),
        pytest.param("2026-02-02", 20, SPRING_FESTIVAL, "2026-03-10", id="four weeks around the Spring Festival"),
        pytest.param("9999-12-30", 20, [], "9999-12-31", id="the end of time"),
    ],
)
def test_a_period_ends_with_its_last_working_day(begins_after, count, holidays, last):
    assert after_working_days(date.fromisoformat(begins_after), count, holidays) == date.fromisoformat(last)


@given(
    st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    st.integers(1, 60),
    st.sets(st.integers(-5, 90), max_size=20),
)
def test_a_period_is_as_long_as_when_days_are_counted(begins_after, count, holiday_offsets):
    holidays = {begins_after + timedelta(days=offset) for offset in holiday_offsets}
    day, left = begins_after, count
    while left:
        day += timedelta(days=1)
        left -= day.weekday() < 5 and day not in holidays

    assert after_working_days(begins_after, count, holidays) == day


@pytest.mark.parametrize(
    ("day", "years", "expected"),
    [
        ("2026-01-05", -5, "2021-01-05"),
        ("2024-02-29", 3, "2027-02-28"),
        ("2024-02-29", 4, "2028-02-29"),
        ("0003-05-01", -5, "0001-05-01"),
        ("9998-05-01", 5, "9999-05-01"),
    ],
)
def test_anniversaries(day, years, expected):
    assert years_later(date.fromisoformat(day), years) == date.fromisoformat(expected)
