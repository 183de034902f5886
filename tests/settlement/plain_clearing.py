"""The plain twin of clearing, netting and fails: trades as named tuples, sums in counters, one thing at a time."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from exchange.rows import TRADE, type_of_rows
from settlement.batch import Amounts, BatchReport
from settlement.clearing import Terms, terms_of
from settlement.netting import Mode

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


# ---------------------------------------------------------------- who fails


def settle_each(trades: list[Trade], terms: Terms, able: Sums, reuse: bool) -> tuple[list[bool], set[int]]:
    """Trade by trade: which settle, and who could not pay."""
    left = Counter(able)
    settles, failing = [], set()
    for trade in trades:
        unit, cash, turnover = trade.unit(terms), trade.cash(terms), trade.turnover(terms)
        short = set()
        if left[trade.seller, unit] < trade.quantity:
            short.add(trade.seller)
        if left[trade.buyer, cash] < turnover + trade.buyer_fee:
            short.add(trade.buyer)
        settles.append(not short)
        failing |= short
        if not short:
            out, into = out_and_into([trade], terms)
            left.subtract(out)
            if reuse:
                left.update(into)
    return settles, failing


def settle_net(
    trades: list[Trade], terms: Terms, able: Sums, failing_of: Callable[[list[Trade], Terms, Sums], set[int]]
) -> tuple[list[bool], set[int]]:
    """Take out the trades of members that fail until nobody does."""
    failing: set[int] = set()
    while True:
        left = [trade for trade in trades if not {trade.seller, trade.buyer} & failing]
        short = failing_of(left, terms, able)
        if not short:
            return [trade in left for trade in trades], failing
        failing |= short


def short_of_net(trades: list[Trade], terms: Terms, able: Sums, assets: Iterable[int] = range(ASSETS + 1)) -> set[int]:
    """Who owes more net than it can pay, in these assets."""
    owed = net(trades, terms)
    return {account for (account, asset), amount in owed.items() if asset in assets and -amount > able[account, asset]}


def short_of_cash_or_sales(trades: list[Trade], terms: Terms, able: Sums) -> set[int]:
    """Who owes more cash net, or has sold more units, than it has."""
    out, _ = out_and_into(trades, terms)
    sold = {account for (account, asset), tonnes in out.items() if asset in (HBEA, HBCER)
            and tonnes > able[account, asset]}  # fmt: skip
    return sold | short_of_net(trades, terms, able, (0, EURO))


def short_of_cash_or_at_its_turn(trades: list[Trade], terms: Terms, able: Sums) -> set[int]:
    """Who owes more cash net than it has, or cannot deliver at its turn from what it had and has bought."""
    short, left = short_of_net(trades, terms, able, (0, EURO)), Counter(able)
    for trade in trades:
        unit = trade.unit(terms)
        left[trade.seller, unit] -= trade.quantity
        if left[trade.seller, unit] < 0:
            short.add(trade.seller)
        left[trade.buyer, unit] += trade.quantity
    return short
