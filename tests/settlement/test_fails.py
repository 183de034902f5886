"""Members that cannot pay: trade by trade a trade fails alone, netted a member fails with all its trades."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.fails import Outcome, outcome, renet, without
from settlement.netting import Mode
from tests.settlement import plain_clearing as plain
from tests.settlement.plain_clearing import ACCOUNTS, ASSETS, EURO, HBCER, HBEA, HOUSE, TERMS, Trade, rows_of
from tests.settlement.test_netting import random_trades, summed

pytestmark = pytest.mark.kernels

PLANT, MILL, FUND, BANK = 2, 3, 4, 5
CASH = 0

# PLANT sells to MILL, who sells on to FUND, who sells on to BANK: 10 t each at 10, 11 and 12 fen.
CHAIN = [Trade(1, 1, PLANT, MILL, 10, 10), Trade(2, 1, MILL, FUND, 11, 10), Trade(3, 1, FUND, BANK, 12, 10)]


def settled(
    mode: Mode, able: dict[tuple[int, int], int], reuse: bool = False, trades: list[Trade] = CHAIN
) -> tuple[list[bool], tuple[int, ...]]:
    found = outcome(rows_of(trades), TERMS, plain.array_of(Counter(able)), mode, HOUSE, reuse)
    return found.settles.tolist(), found.failing


RICH = {(MILL, CASH): 1000, (FUND, CASH): 1000, (BANK, CASH): 1000}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("reuse", [False, True])
def test_who_has_everything_beforehand_does_not_fail(mode: Mode, reuse: bool) -> None:
    units = {(PLANT, HBEA): 10, (MILL, HBEA): 10, (FUND, HBEA): 10}
    assert settled(mode, RICH | units, reuse) == ([True, True, True], ())


def test_what_was_bought_can_be_passed_on_only_with_reuse() -> None:
    able = RICH | {(PLANT, HBEA): 10}
    assert settled(Mode.GROSS_GROSS, able) == ([True, False, False], (MILL, FUND))
    assert settled(Mode.GROSS_GROSS, able, reuse=True) == ([True, True, True], ())
    assert settled(Mode.GROSS_NET, able) == ([False, False, False], (MILL, FUND))
    assert settled(Mode.GROSS_NET, able, reuse=True) == ([True, True, True], ())
    assert settled(Mode.NET_NET, able) == ([True, True, True], ())


def test_proceeds_pay_for_purchases_where_cash_is_net() -> None:
    able = {(PLANT, HBEA): 10, (BANK, CASH): 120}
    assert settled(Mode.NET_NET, able) == ([True, True, True], ())
    assert settled(Mode.GROSS_NET, able, reuse=True) == ([True, True, True], ())
    assert settled(Mode.GROSS_GROSS, able, reuse=True) == ([False, False, False], (MILL, FUND))


def test_trade_by_trade_units_must_be_there_at_their_turn() -> None:
    """MILL sells first what it buys later: no reuse can deliver that."""
    backwards = [CHAIN[1], CHAIN[0]]
    able = RICH | {(PLANT, HBEA): 10}
    assert settled(Mode.GROSS_GROSS, able, True, backwards) == ([False, True], (MILL,))
    assert settled(Mode.GROSS_NET, able, True, backwards) == ([False, False], (MILL,))
    assert settled(Mode.NET_NET, able, True, backwards) == ([True, True], ())


def test_who_counted_on_a_member_that_fails_may_fail_too() -> None:
    """PLANT has nothing to deliver, so MILL and then FUND lack what they sold on; BANK is out for want of a seller."""
    assert settled(Mode.NET_NET, RICH) == ([False, False, False], (PLANT, MILL, FUND))


def test_who_did_not_count_on_it_settles() -> None:
    able = RICH | {(FUND, HBEA): 10, (MILL, HBEA): 10}
    assert settled(Mode.NET_NET, able) == ([False, True, True], (PLANT,))


def test_a_buyer_must_be_able_to_pay_its_fee_too() -> None:
    trade = [Trade(1, 1, PLANT, MILL, 10, 10, buyer_fee=1, seller_fee=7)]
    for mode in Mode:
        assert settled(mode, {(PLANT, HBEA): 10, (MILL, CASH): 100}, trades=trade) == ([False], (MILL,))
        assert settled(mode, {(PLANT, HBEA): 10, (MILL, CASH): 101}, trades=trade) == ([True], ())


def test_fees_are_at_hand_for_the_house_with_reuse() -> None:
    trades = [Trade(1, 1, PLANT, MILL, 10, 10, 3, 4), Trade(2, 1, MILL, HOUSE, 7, 1)]
    able = {(PLANT, HBEA): 10, (MILL, HBEA): 1, (MILL, CASH): 103}
    assert settled(Mode.GROSS_GROSS, able, False, trades) == ([True, False], (HOUSE,))
    assert settled(Mode.GROSS_GROSS, able, True, trades) == ([True, True], ())


def test_proceeds_are_at_hand_less_the_fee_that_was_kept_back() -> None:
    trades = [Trade(1, 1, PLANT, MILL, 10, 10, seller_fee=4), Trade(2, 2, FUND, PLANT, 2, 1)]  # 100 fen each
    able = {(PLANT, HBEA): 10, (MILL, CASH): 100, (FUND, HBCER): 1}
    assert settled(Mode.GROSS_GROSS, able | {(PLANT, CASH): 3}, True, trades) == ([True, False], (PLANT,))
    assert settled(Mode.GROSS_GROSS, able | {(PLANT, CASH): 4}, True, trades) == ([True, True], ())


def test_currencies_do_not_pay_for_one_another() -> None:
    trade = [Trade(1, 3, PLANT, MILL, 10, 10)]
    assert settled(Mode.NET_NET, {(PLANT, HBEA): 10, (MILL, CASH): 10**6}, trades=trade) == ([False], (MILL,))
    assert settled(Mode.NET_NET, {(PLANT, HBEA): 10, (MILL, EURO): 100}, trades=trade) == ([True], ())


def test_trades_of_a_member_are_taken_out_on_both_sides() -> None:
    assert without(rows_of(CHAIN), (MILL,)).tolist() == [False, False, True]
    assert without(rows_of(CHAIN), ()).tolist() == [True, True, True]
    left = renet(rows_of(CHAIN), TERMS, ACCOUNTS, ASSETS, HOUSE, (MILL,))
    assert (left.net == summed(CHAIN[2:]).net).all()


@pytest.mark.parametrize("mode", Mode)
def test_a_batch_of_nothing_settles(mode: Mode) -> None:
    assert settled(mode, {}, trades=[]) == ([], ())


@pytest.mark.parametrize("mode", Mode)
def test_a_trade_of_somebody_unknown_is_refused(mode: Mode) -> None:
    with pytest.raises(ValueError, match="not there"):
        settled(mode, {}, reuse=True, trades=[Trade(1, 1, PLANT, ACCOUNTS + 1, 1, 1)])


# ---------------------------------------------------------------- against the plain twin

able_amounts = st.dictionaries(
    st.tuples(st.integers(HOUSE, ACCOUNTS), st.sampled_from((HBEA, HBCER))), st.integers(0, 40)
)
able_cash = st.dictionaries(
    st.tuples(st.integers(HOUSE, ACCOUNTS), st.sampled_from((CASH, EURO))), st.sampled_from((0, 50, 200, 1000, 20_000))
)


def plain_outcome(trades: list[Trade], able: plain.Sums, mode: Mode, reuse: bool) -> tuple[list[bool], set[int]]:
    if mode == Mode.GROSS_GROSS:
        return plain.settle_each(trades, TERMS, able, reuse)
    if mode == Mode.NET_NET:
        return plain.settle_net(trades, TERMS, able, plain.short_of_net)
    units = plain.short_of_cash_or_at_its_turn if reuse else plain.short_of_cash_or_sales
    return plain.settle_net(trades, TERMS, able, units)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("reuse", [False, True])
@given(trades=random_trades(), units=able_amounts, cash=able_cash)
def test_who_fails_and_what_settles_is_as_by_the_plain_twin(
    mode: Mode, reuse: bool, trades: list[Trade], units: dict, cash: dict
) -> None:
    able = Counter(units | cash)
    found: Outcome = outcome(rows_of(trades), TERMS, plain.array_of(able), mode, HOUSE, reuse)
    settles, failing = plain_outcome(trades, able, mode, reuse)
    assert found.settles.tolist() == settles
    assert found.failing == tuple(sorted(failing))


@given(random_trades(), able_amounts, able_cash)
def test_what_settles_can_be_paid(trades: list[Trade], units: dict, cash: dict) -> None:
    """Whatever the mode, no net position of what settles is beyond what its account can pay."""
    able = plain.array_of(Counter(units | cash))
    for mode in Mode:
        for reuse in (False, True):
            found = outcome(rows_of(trades), TERMS, able, mode, HOUSE, reuse)
            left = [trade for trade, settles in zip(trades, found.settles, strict=True) if settles]
            assert (able + summed(left).net >= 0).all()


def test_the_order_of_failing_is_by_account_number() -> None:
    found = outcome(
        rows_of(CHAIN[::-1]), TERMS, np.zeros((ACCOUNTS + 1, ASSETS + 1), np.int64), Mode.GROSS_GROSS, HOUSE
    )
    assert found.failing == (PLANT, MILL, FUND, BANK)
