"""What one currency is worth in another, and what a conversion may do to anybody's money."""

from datetime import date
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.conversions import Conversion, Conversions, Election, Rate, converted
from settlement.statements import CASH

CNY, USD, EUR = CASH, 3, 5
DAY = date(2026, 1, 5)
rates = st.decimals("0.000001", "999999", places=6).map(str)
amounts = st.integers(1, 1 << 60)


def test_a_rate_is_what_one_of_the_foreign_currency_is_worth():
    assert converted(10_000, "7.1", "1") == 71_000  # 100.00 dollars are 710.00
    assert converted(71_000, "1", "7.1") == 10_000
    assert converted(10_000, "7.1", "7.81") == 9091  # dollars into euros, in one step: 90.909...


@pytest.mark.parametrize(("amount", "worth"), [(1, 1), (2, 1), (3, 2), (5, 3)])
def test_a_half_is_rounded_up(amount, worth):
    assert converted(amount, "0.5", "1") == worth


@given(amounts, rates, rates)
def test_nothing_is_wrong_by_more_than_half_a_hundredth(amount, gives, takes):
    exact = amount * Fraction(gives) / Fraction(takes)
    assert abs(converted(amount, gives, takes) - exact) <= Fraction(1, 2)


@given(amounts, rates, rates)
def test_forth_and_back_nobody_gains_more_than_a_hundredth_of_the_dearer_currency(amount, gives, takes):
    back = converted(converted(amount, gives, takes), takes, gives)
    gain = (back - amount) * Fraction(gives)
    assert gain <= (Fraction(gives) + Fraction(takes)) / 2 <= max(Fraction(gives), Fraction(takes))


@pytest.fixture
def made():
    """7.10 a dollar, and since command 20 7.20; 100.00 dollars were converted before, 72.00 after."""
    conversions = Conversions()
    conversions.set_rate(Rate(USD, "7.10", DAY, 1, 10))
    conversions.made.append(Conversion(1, DAY, 0, 2, 3, USD, CNY, 10_000, 71_000, "7.10", "1", 15))
    conversions.set_rate(Rate(USD, "7.20", DAY, 1, 20))
    conversions.made.append(Conversion(2, DAY, 1, 2, 3, CNY, USD, 7_200, 1_000, "1", "7.20", 25))
    conversions.elected[2] = Election(CNY, 3)
    conversions.check()
    return conversions


def test_the_last_rate_is_in_force(made):
    assert (made.rate(CNY), made.rate(USD), made.rate(EUR)) == ("1", "7.20", None)


def test_what_conversions_brought_is_net_and_of_one_day(made):
    assert made.brought(DAY, 2, USD) == -9_000
    assert made.brought(DAY, 3, USD) == 9_000
    assert made.brought(DAY, 2, CNY) == 71_000 - 7_200
    assert made.brought(date(2026, 1, 6), 2, CNY) == 0


def test_the_four_entries_of_a_conversion_leave_nothing_over(made):
    for one in made.made:
        moved = {asset: sum(amount for _, of, amount in one.entries() if of == asset) for asset in (CNY, USD)}
        assert moved == {CNY: 0, USD: 0}


@pytest.mark.parametrize(
    "change",
    [{"number": 2}, {"taken": 71_001}, {"given": 0, "taken": 0}, {"bank": 2}, {"gives_rate": "7.20"}, {"sequence": 21},
     {"takes": USD}, {"takes_rate": "2", "taken": 35_500}],
)  # fmt: skip
def test_a_conversion_that_could_not_have_been_is_noticed(made, change):
    made.made[0] = msgspec.structs.replace(made.made[0], **change)
    with pytest.raises(AssertionError):
        made.check()


@pytest.mark.parametrize(
    "rate", [Rate(USD, "0", DAY, 1, 30), Rate(USD, "7", DAY, 1, 1), Rate(CNY, "1", DAY, 1, 30)]
)  # fmt: skip
def test_a_rate_that_is_none_is_noticed(made, rate):
    made.set_rate(rate)
    with pytest.raises(AssertionError):
        made.check()


def test_who_elects_itself_is_noticed(made):
    made.elected[3] = Election(CNY, 3)
    with pytest.raises(AssertionError, match="elected itself"):
        made.check()
