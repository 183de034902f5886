"""The plain twin of clearing and netting: trades as named tuples, sums in counters, one thing at a time."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from exchange.rows import TRADE, type_of_rows
from settlement.batch import Amounts, BatchReport
from settlement.clearing import Terms, terms_of
from settlement.rules import Mode

HOUSE, ACCOUNTS, ASSETS = 1, 6, 4
HBEA, HBCER, EURO = 1, 2, 4  # assets; 0 is the rule set's currency, and nothing has number 3

# Instruments: HBEA for cash by the fen, HBCER for cash by the half yuan, HBEA for euros by the cent.
TERMS = terms_of(np.array([0, HBEA, HBCER, HBEA]), np.array([0, 0, 0, EURO]), np.array([0, 1, 50, 1]))

Sums = Counter[tuple[int, int]]  # by (account, asset)


class Trade(NamedTuple):
    """One trade, in the order of the fields that matter to settlement."""

    trade_id: int
    instrument: int
    seller: int
    buyer: int
    price_ticks: int
    quantity: int
    buyer_fee: int = 0
    seller_fee: int = 0

    def unit(self, terms: Terms) -> int:
        return int(terms.unit[self.instrument])

    def cash(self, terms: Terms) -> int:
        return int(terms.cash[self.instrument])

    def turnover(self, terms: Terms) -> int:
        return self.price_ticks * self.quantity * int(terms.fen_per_tick[self.instrument])


def rows_of(trades: Iterable[Trade]) -> type_of_rows:
    """Trades as the exchange hands them over."""
    listed = list(trades)
    rows = np.zeros(len(listed), TRADE)
    for row, trade in zip(rows, listed, strict=True):
        for name, value in trade._asdict().items():
            row[name] = value
    return rows


def array_of(sums: Sums) -> type_of_rows:
    """Sums as (accounts, assets)."""
    array = np.zeros((ACCOUNTS + 1, ASSETS + 1), np.int64)
    for place, amount in sums.items():
        array[place] = amount
    return array


def obligations(trades: Iterable[Trade], terms: Terms) -> list[tuple[int, ...]]:
    return [
        (
            trade.trade_id, trade.quantity, trade.turnover(terms), trade.buyer_fee, trade.seller_fee,
            trade.seller, trade.buyer, trade.unit(terms), trade.cash(terms),
        )
        for trade in trades
    ]  # fmt: skip


def out_and_into(trades: Iterable[Trade], terms: Terms) -> tuple[Sums, Sums]:
    """What accounts must deliver and shall receive."""
    out: Sums = Counter()
    into: Sums = Counter()
    for trade in trades:
        unit, cash, turnover = trade.unit(terms), trade.cash(terms), trade.turnover(terms)
        out[trade.seller, unit] += trade.quantity
        into[trade.buyer, unit] += trade.quantity
        out[trade.buyer, cash] += turnover + trade.buyer_fee
        into[trade.seller, cash] += turnover - trade.seller_fee
        into[HOUSE, cash] += trade.buyer_fee + trade.seller_fee
    return out, into


def net(trades: Iterable[Trade], terms: Terms) -> dict[tuple[int, int], int]:
    """Net positions that are not zero."""
    out, into = out_and_into(trades, terms)
    places = sorted({*out, *into})
    return {place: into[place] - out[place] for place in places if into[place] != out[place]}


def deliveries(positions: dict[tuple[int, int], int], unit: int) -> list[tuple[int, int, int]]:
    """Giver, taker, quantity: tonne by tonne from the first who must to the first who shall, then in runs."""
    givers = [account for (account, asset), amount in positions.items() if asset == unit for _ in range(-amount)]
    takers = [account for (account, asset), amount in positions.items() if asset == unit for _ in range(amount)]
    runs = Counter(zip(givers, takers, strict=True))
    return [(giver, taker, quantity) for (giver, taker), quantity in runs.items()]


def payments(positions: dict[tuple[int, int], int], cash: int) -> list[tuple[int, int]]:
    """Account and amount: pay-ins, then pay-outs."""
    amounts = [(account, amount) for (account, asset), amount in positions.items() if asset == cash]
    return [paid for paid in amounts if paid[1] < 0] + [paid for paid in amounts if paid[1] > 0]


def report(trades: list[Trade], terms: Terms, mode: Mode) -> BatchReport:
    out, _ = out_and_into(trades, terms)
    positions = net(trades, terms)
    nets_units, nets_cash = mode == Mode.NET_NET, mode != Mode.GROSS_GROSS

    def amounts(assets: set[int], nets: bool) -> dict[int, Amounts]:
        found = {}
        for traded in sorted(assets):
            gross = sum(amount for (_, asset), amount in out.items() if asset == traded)
            left = sum(amount for (_, asset), amount in positions.items() if asset == traded and amount > 0)
            if gross:
                found[traded] = Amounts(gross, left, left if nets else gross)
        return found

    units, cash = {trade.unit(terms) for trade in trades}, {trade.cash(terms) for trade in trades}
    with_fee = [trade for trade in trades if trade.buyer_fee + trade.seller_fee]
    fees = Counter(dict.fromkeys(cash, 0))
    for trade in trades:
        fees[trade.cash(terms)] += trade.buyer_fee + trade.seller_fee
    return BatchReport(
        mode=mode,
        trades=len(trades),
        obligations=2 * len(trades),
        net_positions=len(positions),
        deliveries=sum(len(deliveries(positions, unit)) for unit in units) if nets_units else len(trades),
        payments=sum(len(payments(positions, one)) for one in cash) if nets_cash else len(trades) + len(with_fee),
        units=amounts(units, nets_units),
        cash=amounts(cash, nets_cash),
        fees=dict(fees),
    )


def needed_at_turns(trades: list[Trade], terms: Terms) -> Sums:
    """What each account must have at first to deliver every sale at its turn, out of that and what it has bought."""
    left, needed = Sums(), Sums()
    for trade in trades:
        sold, bought = (trade.seller, trade.unit(terms)), (trade.buyer, trade.unit(terms))
        left[sold] -= trade.quantity
        needed[sold] = max(needed[sold], -left[sold])
        left[bought] += trade.quantity
    return needed
