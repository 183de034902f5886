"""All statements of a batch in sums: that they are the batch's report, to the fen and the tonne.

A statement names every trade with both legs and the account's fee, and every other movement, in each mode of
settlement. So whatever a mode offsets, all statements together come to

    units sold = units bought                 = what was traded, by unit
    cash of sales = cash of purchases         = turnover, by currency
    fees borne = fee income of the house
    credits - debits                          = what all accounts hold more than before, by asset

and the report to what of this the mode of the batch moved.
"""

from collections.abc import Iterable

import msgspec
import numpy as np

from settlement.batch import SettlementReport
from settlement.clearing import Mode, Terms, obligations, type_of_column
from settlement.statements import Line, Statement

_NETS_UNITS = frozenset({Mode.NET_NET})
_NETS_CASH = frozenset({Mode.NET_NET, Mode.GROSS_NET})


class Total(msgspec.Struct, frozen=True):
    """All entries of one cause in one asset, over all accounts: fen or tonnes, neither sum below zero."""

    asset: int
    cause: str
    entries: int
    credited: int
    debited: int


class _Sums:
    """Entries counted by asset and cause."""

    def __init__(self) -> None:
        self.counted: dict[tuple[int, str], Total] = {}

    def add(self, asset: int, cause: str, entries: int, credited: int, debited: int) -> None:
        was = self.counted.get((asset, cause), Total(asset, cause, 0, 0, 0))
        self.counted[asset, cause] = Total(
            asset, cause, was.entries + entries, was.credited + credited, was.debited + debited
        )

    def totals(self) -> list[Total]:
        """By asset and cause."""
        return [self.counted[key] for key in sorted(self.counted)]


def totals(line: Line, terms: Terms) -> list[Total]:
    """All statements of a batch in sums, without drawing one of them: trades by the column."""
    sums, owed = _Sums(), obligations(line.trades, terms)
    currency, trades = terms.cash[line.trades["instrument"]], np.ones(len(owed), np.int64)
    legs: tuple[tuple[str, type_of_column, type_of_column, type_of_column, bool], ...] = (
        ("sale", owed.unit, trades, owed.quantity, False),
        ("sale", currency, trades, owed.turnover, True),
        ("purchase", owed.unit, trades, owed.quantity, True),
        ("purchase", currency, trades, owed.turnover, False),
        ("fee", currency, np.sign(owed.seller_fee), owed.seller_fee, False),
        ("fee", currency, np.sign(owed.buyer_fee), owed.buyer_fee, False),
    )
    for cause, assets, entries, amounts, is_credit in legs:
        for asset, (number, moved) in _by_asset(assets, entries, amounts, line.closing.shape[1]).items():
            sums.add(asset, cause, number, moved * is_credit, moved * (not is_credit))
    for asset, fees in line.fees(terms).items():
        sums.add(asset, "fee_income", 1, fees, 0)
    for _, entry in line.entries:
        sums.add(entry.asset, entry.cause, 1, max(entry.amount, 0), max(-entry.amount, 0))
    return sums.totals()


def totals_of(statements: Iterable[Statement]) -> list[Total]:
    """The same by adding up statement after statement."""
    sums = _Sums()
    for statement in statements:
        for entry in statement.entries:
            sums.add(entry.asset, entry.cause, 1, max(entry.amount, 0), max(-entry.amount, 0))
    return sums.totals()


def _by_asset(
    assets: type_of_column, entries: type_of_column, amounts: type_of_column, size: int
) -> dict[int, tuple[int, int]]:
    """How many entries each asset has, and their sum."""
    numbers, moved = np.zeros(size, np.int64), np.zeros(size, np.int64)
    np.add.at(numbers, assets, entries)
    np.add.at(moved, assets, amounts)
    return {asset: (int(numbers[asset]), int(moved[asset])) for asset in np.flatnonzero(numbers).tolist()}


def check_report(line: Line, report: SettlementReport, terms: Terms) -> None:
    """Assert that all statements of a batch together are its report, and the change of all holdings."""
    found = totals(line, terms)
    _check_holdings(line, found)
    of = {(one.cause, one.asset): one for one in found}
    currencies = set(terms.cash.tolist())
    traded = {asset for cause, asset in of if cause == "purchase"}
    units, paid_with = traded - currencies, traded & currencies

    trades = sum(of["purchase", unit].entries for unit in units)
    assert report.trades == trades, f"{report.trades} trades are reported, {trades} are stated"
    fees = sum(one.debited for one in found if one.cause == "fee")
    earned = sum(one.credited for one in found if one.cause == "fee_income")
    assert fees == earned == report.fees, f"{report.fees} fen of fees are reported; {fees} paid and {earned} earned"
    for asset in traded:
        bought, sold = of["purchase", asset], of["sale", asset]
        balance = (bought.credited, bought.debited) == (sold.debited, sold.credited)
        assert balance, f"what is sold and what is bought differ in asset {asset}"
    assert units == report.units_moved.keys(), "the report and the statements are of different units"
    for unit, moved in report.units_moved.items():
        tonnes = of["purchase", unit].credited
        fits = _fits(moved, tonnes, report.mode in _NETS_UNITS)
        assert fits, f"{moved} t of unit {unit} are reported, {tonnes} are stated"
    paid = sum(of["purchase", currency].debited for currency in paid_with) + int(line.trades["buyer_fee"].sum())
    fits = _fits(report.cash_moved, paid, report.mode in _NETS_CASH)
    assert fits, f"{report.cash_moved} fen moved are reported, {paid} are stated"


def _check_holdings(line: Line, found: list[Total]) -> None:
    unexplained = line.closing.sum(axis=0) - line.opening.sum(axis=0)
    for one in found:
        unexplained[one.asset] -= one.credited - one.debited
    assert not unexplained.any(), f"holdings change by {unexplained.tolist()} more than statements say, by asset"


def _fits(moved: int, traded: int, is_netted: bool) -> bool:
    """Whether so much can have moved of what was traded: all of it, or what is left after netting."""
    return 0 <= moved <= traded if is_netted else moved == traded
