"""Fees of corrected trades, trades as they stand, and the order of corrections."""

from datetime import date

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.clearing import Terms
from settlement.corrections import (
    NOTHING,
    Correction,
    Corrections,
    Version,
    applied,
    charged_anew,
    version_of,
)
from settlement.fees import TURNOVER_MAX, fee_of

TERMS = Terms(unit=np.array([0, 1]), cash=np.array([0, 0]), fen_per_tick=np.array([0, 50]))
TRADE = np.dtype(
    (
        np.record,
        [(name, "i8") for name in ("trade_id", "instrument", "price_ticks", "quantity", "buyer_fee", "seller_fee")],
    )
)
FIRST = Version(84, 100, 420_000, 2100, 2099)
LESS = Version(84, 60, 252_000, 1260, 1259)

turnovers = st.integers(1, TURNOVER_MAX)
rates = st.integers(0, 100_000)


def correction(number=1, trade_id=7, before=FIRST, after=LESS, batch=0):
    return Correction(
        number, trade_id, 1, 2, 1, 1, 0, 3, 4, date(2025, 3, 3), batch, before, after, "mistyped", 1, 9, 9
    )  # fmt: skip


@given(first=turnovers, other=turnovers, rate_ppm=rates, off=st.sampled_from([-1, 0, 1]))
def test_a_fee_keeps_its_fen_and_comes_back(first, other, rate_ppm, off):
    """A fill's fee may be a fen off its own charge."""
    first_fee = max(0, fee_of(first, rate_ppm) + off)
    fee = charged_anew(first_fee, first, other, rate_ppm)
    assert abs(fee - fee_of(other, rate_ppm)) <= 1
    assert fee >= 0
    assert charged_anew(first_fee, first, first, rate_ppm) == first_fee


def test_a_fee_is_never_negative():
    assert charged_anew(0, 150, 50, 5000) == 0  # 0.75 fen were rounded away by the order; 0.25 less than that


def test_what_goes_back_is_what_was_less_what_is():
    one = correction()
    assert (one.quantity, one.turnover, one.buyer_fee, one.seller_fee) == (40, 168_000, 840, 840)
    assert (one.is_bust, one.cause) == (False, "trade_correction")
    gone = correction(after=NOTHING)
    assert (gone.quantity, gone.turnover, gone.buyer_fee, gone.seller_fee) == (100, 420_000, 2100, 2099)
    assert (gone.is_bust, gone.cause) == (True, "trade_bust")


def rows(*quantities):
    return np.array([(trade_id, 1, 84, tonnes, 5, 4) for trade_id, tonnes in enumerate(quantities, 1)], TRADE)


def test_a_row_says_what_its_version_says():
    assert version_of(rows(100)[0], TERMS) == Version(84, 100, 420_000, 5, 4)


def test_rows_as_they_stand():
    booked = rows(100, 200, 300)
    assert applied(booked, {}) is booked
    assert applied(booked, {9: NOTHING}) is booked
    standing = applied(booked, {2: NOTHING, 3: LESS, 9: NOTHING})
    assert standing.tolist() == [(1, 1, 84, 100, 5, 4), (3, 1, 84, 60, 1260, 1259)]
    assert booked.tolist() == rows(100, 200, 300).tolist()


def test_corrections_of_a_trade_follow_one_another():
    made = Corrections()
    made.add(correction())
    made.add(correction(2, trade_id=8))
    made.add(correction(3, before=LESS, after=NOTHING))
    made.check()
    assert [one.number for one in made.of(7)] == [1, 3]
    assert made.latest(7) == [*made][2]
    assert made.latest(6) is None
    assert (made.is_busted(7), made.is_busted(8), made.is_busted(6), len(made)) == (True, False, False, 3)


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(correction(3, before=LESS, after=FIRST), id="a number is left out"),
        pytest.param(correction(2, after=NOTHING), id="it does not begin where the first ended"),
        pytest.param(correction(2, before=LESS, after=LESS), id="it changes nothing"),
        pytest.param(
            correction(2, before=LESS, after=msgspec.structs.replace(NOTHING, buyer_fee=1)),
            id="a fee is left of nothing",
        ),
    ],
)
def test_what_can_not_follow_is_noticed(second):
    made = Corrections()
    made.add(correction())
    made.check()
    made.add(second)
    with pytest.raises(AssertionError):
        made.check()


def test_nothing_follows_a_bust():
    made = Corrections()
    made.add(correction(after=NOTHING))
    made.add(correction(2, before=NOTHING))
    with pytest.raises(AssertionError, match="nothing was put right"):
        made.check()
