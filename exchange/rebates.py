"""Fees of a year that are paid back: what each participant traded on each day, and what the rules make of it.

Counted are the trades of the book that have settled, as they stand after corrections, on the days on which they were
traded: tonnes bought and sold, over all instruments, and the fees paid for them, by currency. Each rule has the days on
which it was in force, and their volume. Who has closed its account is paid nothing: it could not use it.
"""

from collections import Counter, defaultdict
from datetime import date
from typing import NamedTuple

import numpy as np

from exchange.rows import type_of_rows
from exchange.rules import FeeRebate, RuleSet
from exchange.state import Exchange
from registry.accounts import Account, AccountStatus
from settlement.clearing import Terms
from settlement.corrections import applied
from settlement.rebates import Rebate, rebate


class Traded(NamedTuple):
    """What everybody traded in a year and paid for it, by account and day."""

    tonnes: defaultdict[int, Counter[date]]
    fees: defaultdict[tuple[int, int], Counter[date]]  # (account, currency), hundredths


def has_rebates(rules: RuleSet, year: int) -> bool:
    """Whether any rebate was in force at the end of a year."""
    return any(entry.effective_from.year <= year for entry in rules.fee_rebates)


def still_to_settle(exchange: Exchange, year: int) -> int | None:
    """A trade of the book and of a year that has not settled and may yet do so; None if there is none."""
    house = exchange.clearing
    for rows in [*house.unbacked(), *house.owing()]:
        for trade_id in rows["trade_id"][rows["buy_order_id"] != 0].tolist():
            *_, first = house.batches_with(trade_id)
            if first.day.year == year:
                return int(trade_id)
    return None


def traded_in(exchange: Exchange, year: int) -> Traded:
    """The settled trades of a year in sums."""
    terms, house = exchange.terms, exchange.clearing
    traded = Traded(defaultdict(Counter), defaultdict(Counter))
    failed_on: dict[int, date] = {}  # and so settled in a later batch than that of their day
    for batch in house.batches:
        rows = applied(batch.settled, house.corrections.standing)
        late = np.isin(rows["trade_id"], list(failed_on))
        parts = [(batch.day, rows[~late])]
        parts += [(failed_on[int(row["trade_id"])], rows[rows["trade_id"] == row["trade_id"]]) for row in rows[late]]
        for day, part in parts:
            if day.year == year:
                _count(traded, day, part[part["buy_order_id"] != 0], terms)  # deals outside the book have other fees
        for trade_id in batch.failed:
            failed_on.setdefault(trade_id, batch.day)
    return traded


def _count(traded: Traded, day: date, trades: type_of_rows, terms: Terms) -> None:
    """Count the trades of a day for both parties."""
    currency = terms.cash[trades["instrument"]]
    for asset in np.unique(currency).tolist():
        own = trades[currency == asset]
        for party, fee in (("buyer", "buyer_fee"), ("seller", "seller_fee")):
            tonnes, fees = np.zeros((2, int(own[party].max()) + 1), np.int64)
            np.add.at(tonnes, own[party], own["quantity"])
            np.add.at(fees, own[party], own[fee])
            for account in np.flatnonzero(tonnes).tolist():
                traded.tonnes[account][day] += int(tonnes[account])
                traded.fees[account, asset][day] += int(fees[account])


def rebates_of(exchange: Exchange, year: int, sequence: int) -> list[Rebate]:
    """What is to be paid back of a year's fees, by account and currency, nothing left out but zeros."""
    traded = traded_in(exchange, year)
    due = []
    for (number, asset), fees in sorted(traded.fees.items()):
        account = exchange.accounts[number]
        if account.status == AccountStatus.CLOSED:
            continue
        days_of = _days_by_rule(exchange.market, account, sorted(traded.tonnes[number]))
        amount = sum(_rebate(rule, days, traded.tonnes[number], fees) for rule, days in days_of)
        if amount:
            due.append(Rebate(number, asset, amount, sequence))
    return due


def _days_by_rule(rules: RuleSet, account: Account, days: list[date]) -> list[tuple[FeeRebate, list[date]]]:
    """The days of an account's trades under each rule that speaks of it, in their order."""
    found: dict[int, tuple[FeeRebate, list[date]]] = {}
    for day in days:
        rule = rules.fee_rebate(day, account.participant_class)
        if rule is not None:
            found.setdefault(id(rule), (rule, []))[1].append(day)
    return [*found.values()]


def _rebate(rule: FeeRebate, days: list[date], tonnes: Counter[date], fees: Counter[date]) -> int:
    return rebate(
        rule.tiers,
        np.array([tonnes[day] for day in days], np.int64),
        np.array([fees[day] for day in days], np.int64),
    )
