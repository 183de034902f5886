"""Balances: what is available, set aside, claimed; and what of it may leave."""

import numpy as np
import pytest
from numba import njit

from registry import holdings
from registry.holdings import BUCKETS, CASH, claim, new_balances, release, reserve

pytestmark = pytest.mark.kernels

PLANT, MILL = 1, 2
HBEA = 1


@njit(_nrt=False)
def move(balances, account, asset, verb, amount, usable_now):
    """One of the verbs on one balance."""
    balance = balances[account, asset]
    if verb == 0:
        reserve(balance, amount)
    elif verb == 1:
        release(balance, amount)
    else:
        claim(balance, amount, usable_now)


RESERVE, RELEASE, CLAIM = range(3)


def balance_of(balances: np.ndarray, account: int, asset: int) -> dict[str, int]:
    """The buckets that are not empty."""
    row = balances[account, asset]
    return {name: int(row[name]) for name in (*BUCKETS, "unsettled") if row[name]}


def test_what_is_reserved_is_no_longer_available_until_it_is_given_back() -> None:
    balances = new_balances(2, 1)
    balances[PLANT, CASH].available = 1000
    move(balances, PLANT, CASH, RESERVE, 600, False)
    assert balance_of(balances, PLANT, CASH) == {"available": 400, "reserved": 600}
    move(balances, PLANT, CASH, RELEASE, 100, False)
    assert balance_of(balances, PLANT, CASH) == {"available": 500, "reserved": 500}
    assert balance_of(balances, MILL, CASH) == {}


def test_what_a_trade_brings_is_a_claim_until_it_settles() -> None:
    balances = new_balances(2, 1)
    move(balances, MILL, HBEA, CLAIM, 30, False)
    assert balance_of(balances, MILL, HBEA) == {"incoming": 30, "unsettled": 30}
    move(balances, MILL, CASH, CLAIM, 30, True)
    assert balance_of(balances, MILL, CASH) == {"available": 30, "unsettled": 30}
    assert not holdings.settled(balances).any()


def test_trading_verbs_never_change_what_is_settled() -> None:
    balances = new_balances(2, 1)
    balances[PLANT, HBEA].available = 100
    balances[PLANT, HBEA].registry = 20
    for verb, amount in ((RESERVE, 80), (CLAIM, 7), (RELEASE, 30), (CLAIM, 1)):
        move(balances, PLANT, HBEA, verb, amount, verb == CLAIM and amount == 1)
        assert holdings.settled(balances)[PLANT, HBEA] == 120


def test_a_new_day_makes_what_was_bought_available() -> None:
    balances = new_balances(2, 1)
    move(balances, PLANT, HBEA, CLAIM, 30, False)
    holdings.make_incoming_available(balances)
    assert balance_of(balances, PLANT, HBEA) == {"available": 30, "unsettled": 30}


@pytest.mark.parametrize(
    ("available", "incoming", "unsettled", "free"),
    [
        (100, 0, 0, 100),
        (100, 0, 40, 60),  # sale proceeds that may be spent but not yet withdrawn
        (100, 40, 40, 100),  # the claim is not among what is available
        (100, 30, 40, 90),
        (10, 0, 40, 0),  # most of the claim backs a new order already
        (0, 0, 0, 0),
    ],
)
def test_only_what_is_settled_and_available_may_leave(available: int, incoming: int, unsettled: int, free: int) -> None:
    balances = new_balances(1, 0)
    balance = balances[PLANT, CASH]
    balance.available, balance.incoming, balance.unsettled = available, incoming, unsettled
    assert holdings.withdrawable(balance) == free


def test_balances_grow_and_keep_what_they_hold() -> None:
    balances = new_balances(1, 1)
    balances[PLANT, HBEA].registry = 5
    assert holdings.with_room(balances, 1, 1) is balances
    for accounts, assets in ((2, 1), (2, 4), (50, 4)):
        balances = holdings.with_room(balances, accounts, assets)
        assert balances.shape[0] > accounts and balances.shape[1] > assets
        assert balance_of(balances, PLANT, HBEA) == {"registry": 5}
        assert int(holdings.settled(balances).sum()) == 5


@pytest.mark.parametrize("bucket", [*BUCKETS, "unsettled"])
def test_a_check_notices_a_negative_bucket(bucket: str) -> None:
    balances = new_balances(1, 1)
    holdings.check(balances)
    balances[PLANT, HBEA][bucket] = -1
    with pytest.raises(AssertionError, match=f"negative {bucket}"):
        holdings.check(balances)


def test_a_check_notices_that_nobody_holds_something() -> None:
    balances = new_balances(1, 1)
    balances[0, CASH].available = 1
    with pytest.raises(AssertionError, match="nobody holds something"):
        holdings.check(balances)
