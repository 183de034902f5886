"""The settlement batch: a day's trades, worked out in one of the three modes of delivery versus payment.

A batch is what is owed trade by trade, what that comes to, and the deliveries and payments that discharge it.
By the national settlement rules (art. 8 and 9) every trade settles by itself, units against cash. What is handed
in here can be settled: who cannot pay or deliver has been found before (:mod:`settlement.default`), and a shortage
is a broken invariant, not a case.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from settlement.clearing import Terms, obligations, type_of_rows
from settlement.netting import Positions, deliveries, payments, positions
from settlement.rules import Mode


class Amounts(msgspec.Struct, frozen=True):
    """One asset in a batch, fen or tonnes, each amount counted once, where it leaves an account.

    The netting efficiency is 1 - net / gross: both sides of every amount would double either.
    """

    gross: int  # owed trade by trade; cash with the buyers' fees, of which the sellers' are a part
    net: int  # left to deliver or pay in when each account's claims are offset
    moved: int  # what leaves accounts in the mode of the batch: `net` where it nets this asset, else `gross`


class BatchReport(msgspec.Struct, frozen=True):
    """A batch in integers; dicts are keyed by asset number, assets that were not traded left out.

    A payment is a transfer of cash between two accounts. Gross, each trade makes one from buyer to seller, and
    one more from buyer to house if it bears a fee (the seller's is kept back from its proceeds); net, each
    pay-in and each pay-out of the clearing house is one. A delivery is a transfer of units from one account to
    another: gross, one a trade.
    """

    mode: Mode
    trades: int
    obligations: int  # two a trade: units, cash
    net_positions: int  # (account, asset) pairs for which something is left when all is offset
    deliveries: int
    payments: int
    units: dict[int, Amounts]  # tonnes
    cash: dict[int, Amounts]  # fen
    fees: dict[int, int]  # fen to the house, by currency


class TitleMoves(NamedTuple):
    """Transfers of one unit: columns of accounts, tonnes, and the trade that each is for; 0 where many are netted."""

    givers: type_of_rows
    takers: type_of_rows
    quantities: type_of_rows
    trades: type_of_rows


class Discharge(msgspec.Struct, frozen=True):
    """What discharges a batch: deliveries by unit and payments by currency, of those that the mode nets."""

    mode: Mode
    obligations: type_of_rows  # OBLIGATION
    positions: Positions
    deliveries: dict[int, type_of_rows]  # DELIVERY
    payments: dict[int, type_of_rows]  # PAYMENT
    report: BatchReport

    def title_moves(self) -> Iterator[tuple[int, TitleMoves]]:
        """By unit, what title moves in order: trade by trade, or from net deliverers to net receivers."""
        if self.mode.nets_units:
            for unit, rows in self.deliveries.items():
                yield unit, TitleMoves(rows["giver"], rows["taker"], rows["quantity"], np.zeros(rows.size, np.int64))
            return
        for unit in np.unique(self.obligations["unit"]).tolist():
            rows = self.obligations[self.obligations["unit"] == unit]
            yield unit, TitleMoves(rows["seller"], rows["buyer"], rows["quantity"], rows["trade_id"])

    def check(self) -> None:
        """Assert that nothing is left over and that deliveries and payments are the net positions."""
        self.positions.check()
        for unit, rows in self.deliveries.items():
            moved = np.zeros(self.positions.net.shape[0], np.int64)
            np.subtract.at(moved, rows["giver"], rows["quantity"])
            np.add.at(moved, rows["taker"], rows["quantity"])
            assert (moved == self.positions.net[:, unit]).all(), f"deliveries of unit {unit} are not its net positions"
        for cash, rows in self.payments.items():
            paid = np.zeros(self.positions.net.shape[0], np.int64)
            paid[rows["account"]] = rows["amount"]
            assert (paid == self.positions.net[:, cash]).all(), f"payments of asset {cash} are not its net positions"


def discharge(trades: type_of_rows, terms: Terms, accounts: int, assets: int, house: int, mode: Mode) -> Discharge:
    """Work out a batch of trades; arguments as for `positions`."""
    sums = positions(trades, terms, accounts, assets, house)
    delivered = {unit: deliveries(sums.net, unit) for unit in terms.units} if mode.nets_units else {}
    paid = {cash: payments(sums.net, cash) for cash in terms.currencies} if mode.nets_cash else {}
    return Discharge(
        mode, obligations(trades, terms), sums, delivered, paid, report(sums, terms, mode, delivered, paid)
    )


def report(
    sums: Positions,
    terms: Terms,
    mode: Mode,
    delivered: dict[int, type_of_rows],
    paid: dict[int, type_of_rows],
) -> BatchReport:
    """A batch in totals, from its positions and, where the mode nets, its deliveries and payments."""
    cash = _amounts(sums, terms.currencies, mode.nets_cash)
    gross_payments = sums.trades + sums.trades_with_fee
    return BatchReport(
        mode=mode,
        trades=sums.trades,
        obligations=2 * sums.trades,
        net_positions=int(np.count_nonzero(sums.net)),
        deliveries=sum(rows.size for rows in delivered.values()) if mode.nets_units else sums.trades,
        payments=sum(rows.size for rows in paid.values()) if mode.nets_cash else gross_payments,
        units=_amounts(sums, terms.units, mode.nets_units),
        cash=cash,
        fees={currency: int(sums.fees[currency]) for currency in cash},
    )


def _amounts(sums: Positions, assets: list[int], nets: bool) -> dict[int, Amounts]:
    gross, net = sums.out.sum(axis=0).tolist(), np.maximum(-sums.net, 0).sum(axis=0).tolist()
    traded = [asset for asset in assets if gross[asset]]
    return {asset: Amounts(gross[asset], net[asset], net[asset] if nets else gross[asset]) for asset in traded}
