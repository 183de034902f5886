"""The settlement batch: gross delivery versus payment of a day's obligations (BIS model 1).

Every trade settles by itself, units against cash (national settlement rules, art. 8 and 9). The book is
fully pre-funded, so a batch cannot fail for want of units or cash: the caller's account of what is
reserved is checked before anything moves, and a shortage is a broken invariant, not a case.
"""

from collections.abc import Callable

import msgspec
import numpy as np

from settlement.clearing import Obligations, type_of_column

CASH = 0  # the asset number of the usual currency
Title = Callable[[int, int, int, int, int], object]  # moves title: unit, seller, buyer, quantity, trade id


class SettlementReport(msgspec.Struct, frozen=True):
    """What a batch did. Cash in fen, units in tCO2e by unit number.

    `other_currencies` has what was paid and the fees in it, by asset number of each currency but the usual one.
    """

    date: str
    mode: str
    trades: int
    cash_moved: int
    fees: int
    units_moved: dict[int, int]
    other_currencies: dict[int, tuple[int, int]] = {}


class Movements(msgspec.Struct, frozen=True):
    """What settlement changes, per (account, asset): fen of a currency, tonnes of a unit."""

    delivered: type_of_column  # leaves the giver's reserved holding
    received: type_of_column  # is no longer a claim of the taker but settled


def movements(owed: Obligations, shape: tuple[int, ...], house: int) -> Movements:
    """Sum the obligations into arrays of `shape` (accounts, assets); the house receives the fees."""
    delivered = np.zeros(shape, np.int64)
    received = np.zeros(shape, np.int64)
    np.add.at(delivered, (owed.seller, owed.unit), owed.quantity)
    np.add.at(received, (owed.buyer, owed.unit), owed.quantity)
    np.add.at(delivered, (owed.buyer, owed.cash), owed.buyer_pays)
    np.add.at(received, (owed.seller, owed.cash), owed.seller_receives)
    np.add.at(received[house], owed.cash, owed.fees)
    return Movements(delivered, received)


def move_title(owed: Obligations, trade_ids: type_of_column, title: Title) -> None:
    """Move title trade by trade, in the order of trading."""
    columns = (owed.unit, owed.seller, owed.buyer, owed.quantity, trade_ids)
    for unit, seller, buyer, quantity, trade_id in zip(*(column.tolist() for column in columns), strict=True):
        title(unit, seller, buyer, quantity, trade_id)


def report(date: str, owed: Obligations) -> SettlementReport:
    """The batch in totals."""
    units, where = np.unique(owed.unit, return_inverse=True)
    totals = np.zeros(units.size, np.int64)
    np.add.at(totals, where, owed.quantity)
    paid = {
        int(cash): (int(owed.buyer_pays[owed.cash == cash].sum()), int(owed.fees[owed.cash == cash].sum()))
        for cash in np.unique(owed.cash)
    }
    cash_moved, fees = paid.pop(CASH, (0, 0))
    return SettlementReport(
        date=date,
        mode="gross",
        trades=len(owed),
        cash_moved=cash_moved,
        fees=fees,
        units_moved={int(unit): int(total) for unit, total in zip(units, totals, strict=True)},
        other_currencies=paid,
    )
