"""Fees: rounded half-up to the fen, and the same however an order is cut into fills."""

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from settlement.fees import PER_MILLION, TURNOVER_MAX, fee

HALF_PERCENT = 5_000  # ppm


@njit(_nrt=False)
def fee_of(turnover, rate_ppm):
    return fee(turnover, rate_ppm)


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
        (TURNOVER_MAX, PER_MILLION, TURNOVER_MAX),  # the largest order does not wrap
    ],
)
def test_fees_are_rounded_half_up_to_the_fen(turnover: int, rate_ppm: int, fen: int) -> None:
    assert fee_of(turnover, rate_ppm) == fen


@given(st.integers(0, TURNOVER_MAX), st.integers(0, PER_MILLION))
def test_a_fee_is_the_decimal_share_of_the_turnover(turnover: int, rate_ppm: int) -> None:
    exact = Decimal(turnover) * rate_ppm / PER_MILLION
    assert fee_of(turnover, rate_ppm) == exact.quantize(Decimal(1), ROUND_HALF_UP)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=30), st.integers(0, 20_000))
def test_the_fees_of_the_fills_add_up_to_the_fee_of_the_whole(fills: list[int], rate_ppm: int) -> None:
    paid = turnover = 0
    for fill in fills:
        part = fee_of(turnover + fill, rate_ppm) - fee_of(turnover, rate_ppm)
        assert part >= 0
        paid += part
        turnover += fill
    assert paid == fee_of(turnover, rate_ppm)
