"""How much of what everybody has: a row of integers per (account, asset), all in buckets.

Asset 0 is cash in fen (0.01 CNY); asset n is the unit numbered n, in tCO2e, or cash of another currency in
hundredths. A balance is spread over

- ``available``  may be sold, spent or withdrawn now
- ``reserved``   backs live orders, unsettled sales and unsettled purchases
- ``incoming``   bought and not yet resaleable (T+1), or proceeds not yet spendable, by rule set
- ``registry``   on the registry side; a transfer moves it to ``available`` and back (domain sheet B.2)
- ``pledged``, ``judicial``, ``pending_surrender``   locked on the registry side, until released

and ``unsettled`` says how much of available, incoming and reserved is a claim from trades that wait for
settlement. What is settled, and for units the title, is therefore

    settled = available + reserved + incoming + registry + locked - unsettled

which trading never changes and settlement moves, delivery against payment. The small compiled verbs are
composed by the exchange's trading path.
"""

from typing import Any

import numpy as np
from numba import njit

inlined = njit(_nrt=False, forceinline=True)

type_of_balances = np.ndarray[Any, np.dtype[Any]]

CASH = 0  # the asset number of cash in the usual currency
LOCKED = ("pledged", "judicial", "pending_surrender")
BUCKETS = ("available", "reserved", "incoming", "registry", *LOCKED)
BALANCE = np.dtype((np.record, [(name, "i8") for name in (*BUCKETS, "unsettled")]))  # 64 bytes: one line of the cache


@inlined
def reserve(balance, amount):
    """Set aside what is available."""
    balance.available -= amount
    balance.reserved += amount


@inlined
def release(balance, amount):
    """Give back what was set aside and is not needed."""
    balance.reserved -= amount
    balance.available += amount


@inlined
def claim(balance, amount, usable_now):
    """Book what a trade brings before it is settled."""
    balance.unsettled += amount
    if usable_now:
        balance.available += amount
    else:
        balance.incoming += amount


def new_balances(accounts: int, assets: int) -> type_of_balances:
    """Balances of nobody and `accounts` accounts in cash and `assets` other assets: all zero."""
    return np.zeros((accounts + 1, assets + 1), BALANCE)


def with_room(balances: type_of_balances, accounts: int, assets: int) -> type_of_balances:
    """The same balances with room for so many accounts and assets besides cash; grown by doubling."""
    rows, columns = balances.shape
    if accounts < rows and assets < columns:
        return balances
    wider = new_balances(
        max(accounts, 2 * rows) if accounts >= rows else rows - 1,
        max(assets, 2 * columns) if assets >= columns else columns - 1,
    )
    wider[:rows, :columns] = balances
    return wider


def settled(balances: type_of_balances) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Settled holding per (account, asset): fen of cash, tonnes of units to which there is title."""
    total: np.ndarray[Any, np.dtype[np.int64]] = -balances["unsettled"]
    for bucket in BUCKETS:
        total = total + balances[bucket]
    return total


def withdrawable(balance: Any) -> int:
    """What of one balance is available and not a mere claim: it may leave the trading side."""
    claimed = max(0, int(balance.unsettled) - int(balance.incoming))
    return max(0, int(balance.available) - claimed)


def returnable(balance: Any) -> int:
    """What of one balance is settled and neither set aside nor locked, resaleable or not: it may be taken back."""
    return max(0, int(balance.available) + int(balance.incoming) - int(balance.unsettled))


def take_back(balance: Any, amount: int) -> None:
    """Take what is `returnable`: first what is settled and not resaleable yet, then what is available."""
    from_incoming = min(amount, max(0, int(balance.incoming) - int(balance.unsettled)))
    balance.incoming -= from_incoming
    balance.available -= amount - from_incoming


def make_incoming_available(balances: type_of_balances) -> None:
    """A new day: what was bought may be resold, proceeds may be spent."""
    balances["available"] += balances["incoming"]
    balances["incoming"] = 0


def check(balances: type_of_balances) -> None:
    """Assert that no bucket is negative."""
    for name in (*BUCKETS, "unsettled"):
        assert (balances[name] >= 0).all(), f"a balance has a negative {name} bucket"
    assert not any(balances[name][0].any() for name in BUCKETS), "nobody holds something"
