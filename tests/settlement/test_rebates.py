"""What is paid back of a year's fees: tiers on the whole volume or on the part above, to the fen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rebates import Tier, rebate

KT = 1000  # t
# Two readings of "50 % if 100,000 to 500,000 t; 100 % on the part above 500,000 t".
WHOLE = [Tier(100 * KT, "0.5", "whole"), Tier(500 * KT, "1", "part_above")]
PART = [Tier(100 * KT, "0.5", "part_above"), Tier(500 * KT, "1", "part_above")]


def column(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@pytest.mark.parametrize(
    ("tonnes", "whole", "part"),
    [
        pytest.param(0, 0, 0, id="nothing traded"),
        pytest.param(100 * KT - 1, 0, 0, id="a tonne short of the first tier"),
        pytest.param(100 * KT, 50 * KT, 0, id="the first tier: half of all, or of nothing above it"),
        pytest.param(300 * KT, 150 * KT, 100 * KT, id="within the first tier"),
        pytest.param(500 * KT, 250 * KT, 200 * KT, id="its end"),
        pytest.param(800 * KT, 550 * KT, 500 * KT, id="all of the fees above 500,000 t besides"),
    ],
)
def test_a_year_at_a_fen_of_fees_a_tonne_in_both_readings(tonnes: int, whole: int, part: int) -> None:
    assert rebate(WHOLE, column(tonnes), column(tonnes)) == whole
    assert rebate(PART, column(tonnes), column(tonnes)) == part


def test_the_fees_above_a_threshold_are_those_of_the_tonnes_traded_after_it() -> None:
    tonnes, fees = column(400 * KT, 200 * KT, 100 * KT), column(4000, 1000, 3)
    # 500,000 t are reached in the middle of the second date.
    assert rebate(WHOLE, tonnes, fees) == 2000 + 250 + 500 + 3
    assert rebate(PART, tonnes, fees) == 1500 + 250 + 500 + 3


def test_the_order_in_which_tiers_are_named_does_not_matter() -> None:
    assert rebate(reversed(PART), column(800 * KT), column(800 * KT)) == 500 * KT


@pytest.mark.parametrize(("fees", "fen"), [((1, 0), 1), ((1, 1), 1), ((1, 2), 2), ((0, 0), 0)])
def test_a_rebate_is_rounded_half_up_once_for_the_year(fees: tuple[int, int], fen: int) -> None:
    assert rebate([Tier(0, "0.5", "whole")], column(10, 10), column(*fees)) == fen


def test_without_tiers_nothing_is_paid_back() -> None:
    assert rebate([], column(800 * KT), column(800 * KT)) == 0


@pytest.mark.parametrize(
    ("tonnes", "fees", "said"),
    [
        pytest.param((1, 2), (1,), "2 dates have tonnes, 1 have fees", id="a fee is missing"),
        pytest.param((1, -1), (1, 0), "less than nothing", id="tonnes below zero"),
        pytest.param((1, 1), (1, -1), "less than nothing", id="a fee below zero"),
        pytest.param((1, 0), (1, 1), "fees without tonnes", id="a fee for nothing"),
    ],
)
def test_columns_that_make_no_sense_are_refused(tonnes: tuple[int, ...], fees: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        rebate(WHOLE, column(*tonnes), column(*fees))


DATES = st.lists(st.tuples(st.integers(1, 300 * KT), st.integers(0, 10**9)), min_size=1, max_size=12)
TIERS = st.lists(
    st.builds(
        Tier,
        st.integers(0, 900 * KT),
        st.sampled_from(["0", "0.25", "0.5", "1"]),
        st.sampled_from(["whole", "part_above"]),
    ),
    max_size=4,
    unique_by=lambda tier: tier.from_tonnes,
)


@given(TIERS, DATES)
def test_never_more_is_paid_back_than_was_paid(tiers: list[Tier], dates: list[tuple[int, int]]) -> None:
    tonnes, fees = (column(*numbers) for numbers in zip(*dates, strict=True))
    assert 0 <= rebate(tiers, tonnes, fees) <= fees.sum()


@given(TIERS, st.lists(st.integers(1, 300 * KT), min_size=1, max_size=12))
def test_at_one_rate_it_does_not_matter_how_a_year_is_cut_into_dates(tiers: list[Tier], tonnes: list[int]) -> None:
    whole = sum(tonnes)
    assert rebate(tiers, column(*tonnes), column(*tonnes)) == rebate(tiers, column(whole), column(whole))
