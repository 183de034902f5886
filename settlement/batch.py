"""The settlement batch: delivery versus payment of a day's obligations, as far as everybody can meet them.

Every trade settles by itself, units against cash (national settlement rules, art. 8 and 9; BIS model 1), or with all
others netted. What is handed in here can be settled: who cannot pay or deliver has been found before
(:mod:`settlement.default`), so a shortage is a broken invariant, not a case.
"""

from collections.abc import Callable

import msgspec
import numpy as np

from settlement.clearing import Obligations, type_of_column

Title = Callable[[int, int, int, int, int], object]  # moves title: unit, seller, buyer, quantity, trade id


class SettlementReport(msgspec.Struct, frozen=True):
    """What a batch did. Cash in fen, units in tCO2e by unit number."""

    date: str
    mode: str
    trades: int
    cash_moved: int
    fees: int
    units_moved: dict[int, int]


class Movements(msgspec.Struct, frozen=True):
    """What settlement changes, per (account, asset): asset 0 is cash in fen, asset n the unit n in tonnes."""

    delivered: type_of_column  # leaves the giver's reserved holding
    received: type_of_column  # is no longer a claim of the taker but settled


def movements(owed: Obligations, shape: tuple[int, ...], house: int) -> Movements:
    """Sum the obligations into arrays of `shape` (accounts, assets); the house receives the fees."""
    delivered = np.zeros(shape, np.int64)
    received = np.zeros(shape, np.int64)
    np.add.at(delivered, (owed.seller, owed.unit), owed.quantity)
    np.add.at(received, (owed.buyer, owed.unit), owed.quantity)
    np.add.at(delivered[:, 0], owed.buyer, owed.buyer_pays)
    np.add.at(received[:, 0], owed.seller, owed.seller_receives)
    received[house, 0] += owed.fees
    return Movements(delivered, received)


def move_title(owed: Obligations, trade_ids: type_of_column, title: Title) -> None:
    """Move title trade by trade, in the order of trading."""
    columns = (owed.unit, owed.seller, owed.buyer, owed.quantity, trade_ids)
    for unit, seller, buyer, quantity, trade_id in zip(*(column.tolist() for column in columns), strict=True):
        title(unit, seller, buyer, quantity, trade_id)


def move_net_title(owed: Obligations, batch: int, title: Title) -> None:
    """Move title by net positions: net givers to net takers of each unit, both by account number."""
    for unit in np.unique(owed.unit).tolist():
        rows = owed.unit == unit
        net = np.zeros(int(max(owed.seller.max(), owed.buyer.max())) + 1, np.int64)
        np.add.at(net, owed.buyer[rows], owed.quantity[rows])
        np.subtract.at(net, owed.seller[rows], owed.quantity[rows])
        givers = [(account, -int(net[account])) for account in np.flatnonzero(net < 0).tolist()]
        for taker in np.flatnonzero(net > 0).tolist():
            missing = int(net[taker])
            while missing:
                giver, has = givers[0]
                part = min(has, missing)
                title(unit, giver, taker, part, batch)
                missing -= part
                givers[0] = giver, has - part
                if part == has:
                    givers.pop(0)


def report(date: str, owed: Obligations) -> SettlementReport:
    """The batch in totals."""
    units, where = np.unique(owed.unit, return_inverse=True)
    totals = np.zeros(units.size, np.int64)
    np.add.at(totals, where, owed.quantity)
    return SettlementReport(
        date=date,
        mode="gross",
        trades=len(owed),
        cash_moved=int(owed.buyer_pays.sum()),
        fees=owed.fees,
        units_moved={int(unit): int(total) for unit, total in zip(units, totals, strict=True)},
    )
