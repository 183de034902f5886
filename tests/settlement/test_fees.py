"""Fees: rounded half-up to the fen, and the same however an order is cut into fills, at whatever rates."""

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from settlement.fees import HALF_FEN, PER_MILLION, TURNOVER_MAX, charge, fee_of

HALF_PERCENT = 5_000  # ppm
RATES = st.integers(0, PER_MILLION)


@njit(_nrt=False)
def charged(turnover, rate_ppm, rest):
    return charge(turnover, rate_ppm, rest)


@pytest.mark.parametrize(
    ("turnover", "rate_ppm", "fen"),
    [
        (0, HALF_PERCENT, 0),
        (420_000, HALF_PERCENT, 2100),  # 100 t at 42.00: 21.00 a side
        (99, HALF_PERCENT, 0),  # 0.495 fen
        (100, HALF_PERCENT, 1),  # 0.5 fen rounds up
        (299, HALF_PERCENT, 1),  # 1.495
        (300, HALF_PERCENT, 2),  # 1.5
        (1, 499_999, 0),
        (1, 500_000, 1),
        (12345, 0, 0),
        (12345, PER_MILLION, 12345),
        (TURNOVER_MAX, PER_MILLION, TURNOVER_MAX),  # the largest fill does not wrap
    ],
)
def test_the_fee_of_an_only_fill_is_rounded_half_up_to_the_fen(turnover: int, rate_ppm: int, fen: int) -> None:
    assert charged(turnover, rate_ppm, HALF_FEN)[0] == fen
    assert fee_of(turnover, rate_ppm) == fen


@given(st.lists(st.tuples(st.integers(0, TURNOVER_MAX), RATES), min_size=1, max_size=30))
def test_the_fees_of_the_fills_add_up_to_the_fee_of_the_whole_at_any_rates(fills: list[tuple[int, int]]) -> None:
    paid, rest = 0, HALF_FEN
    for turnover, rate_ppm in fills:
        fee, rest = charged(turnover, rate_ppm, rest)
        assert 0 <= fee <= turnover
        assert 0 <= rest < PER_MILLION
        paid += fee
    exact = sum(Decimal(turnover) * rate_ppm for turnover, rate_ppm in fills) / PER_MILLION
    assert paid == exact.quantize(Decimal(1), ROUND_HALF_UP)


@given(
    limit=st.integers(1, 10**6),
    leaves=st.integers(1, 10**6),
    rates=st.tuples(RATES, RATES),
    rest=st.integers(0, PER_MILLION - 1),
    data=st.data(),
)
def test_what_fills_take_and_what_must_stay_reserved_is_never_more_than_was_reserved(
    limit: int, leaves: int, rates: tuple[int, int], rest: int, data: st.DataObject
) -> None:
    def backing() -> int:
        return limit * leaves + charged(limit * leaves, max(rates), rest)[0]

    while leaves:
        quantity = data.draw(st.integers(1, leaves), label="quantity")
        price = data.draw(st.integers(0, limit), label="price")
        rate_ppm = data.draw(st.sampled_from(rates), label="rate")
        before = backing()
        fee, rest = charged(price * quantity, rate_ppm, rest)
        leaves -= quantity
        assert price * quantity + fee + backing() <= before


@given(st.integers(1, 10**6), st.integers(2, 10**6), st.tuples(RATES, RATES), st.integers(0, PER_MILLION - 1))
def test_an_order_that_trades_at_its_limit_and_its_higher_rate_uses_up_what_it_had_reserved(
    limit: int, leaves: int, rates: tuple[int, int], rest: int
) -> None:
    reserved = charged(limit * leaves, max(rates), rest)[0]
    first, later_rest = charged(limit, max(rates), rest)
    assert first + charged(limit * (leaves - 1), max(rates), later_rest)[0] == reserved
