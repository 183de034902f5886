"""All statements of a batch in sums: that they are the batch's report, to the fen and the tonne.

A statement names every trade with both legs and the account's fee, and every other movement, in each mode of
settlement. So whatever a mode offsets, all statements together come to

    units sold = units bought                   = gross units of the report, by unit
    cash of sales = cash of purchases           = turnover
    turnover + buyers' fees                     = gross cash of the report, by currency
    fees borne = fee income of the house        = fees of the report, by currency
    credits - debits                            = what all accounts hold more than before, by asset

and what the mode of the batch moved is the gross, or of what it nets the net. The causes `sale`, `purchase`, `fee` and
`fee_income` are those of trades alone.
"""

from collections.abc import Iterable

import msgspec
import numpy as np

from settlement.batch import Amounts, BatchReport
from settlement.clearing import Terms, obligations, type_of_column, type_of_rows
from settlement.statements import Line, Statement


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


_LEGS = (  # which column of an obligation names the asset, which the amount; the causes of its credit and its debit
    ("unit", "quantity", "purchase", "sale"),
    ("cash", "turnover", "sale", "purchase"),
    ("cash", "seller_fee", "", "fee"),
    ("cash", "buyer_fee", "", "fee"),
)


def totals(line: Line, terms: Terms) -> list[Total]:
    """All statements of a batch in sums, without drawing one of them: trades by the column."""
    sums, owed = _Sums(), obligations(line.trades, terms)
    for asset_of, amount_of, credit, debit in _LEGS:
        for asset, (entries, moved) in _by_asset(owed, asset_of, amount_of).items():
            if credit:
                sums.add(asset, credit, entries, moved, 0)
            sums.add(asset, debit, entries, 0, moved)
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


def _by_asset(owed: type_of_rows, asset_of: str, amount_of: str) -> dict[int, tuple[int, int]]:
    """How many amounts other than zero each asset has, and their sum. Nothing is sold for nothing; some pay no fee."""
    amounts = np.ascontiguousarray(owed[amount_of])
    assets = owed[asset_of].astype(np.intp)[amounts != 0]
    numbers = np.bincount(assets)
    moved: type_of_column = np.zeros(numbers.size, np.int64)
    np.add.at(moved, assets, amounts[amounts != 0])
    return {asset: (int(numbers[asset]), int(moved[asset])) for asset in np.flatnonzero(numbers).tolist()}


def check_report(line: Line, report: BatchReport, terms: Terms) -> None:
    """Assert that all statements of a batch together are its report, and the change of all holdings."""
    found = totals(line, terms)
    _check_holdings(line, found)
    of = {(one.asset, one.cause): one for one in found}
    traded = {asset for asset, cause in of if cause == "purchase"}
    reported = report.units | report.cash
    assert traded == reported.keys(), f"assets {sorted(traded ^ reported.keys())} are reported or stated, not both"
    for asset in traded:
        bought, sold = of[asset, "purchase"], of[asset, "sale"]
        balance = (bought.credited, bought.debited) == (sold.debited, sold.credited)
        assert balance, f"what is sold and what is bought differ in asset {asset}"

    trades = sum(of[unit, "purchase"].entries for unit in report.units)
    assert report.trades == trades, f"{report.trades} trades are reported, {trades} are stated"
    for unit, amounts in report.units.items():
        _check_amounts(amounts, of[unit, "purchase"].credited, report.mode.nets_units, unit)
    owed = obligations(line.trades, terms)
    buyers_fees = _by_asset(owed, "cash", "buyer_fee")
    for currency, amounts in report.cash.items():
        paid = of[currency, "purchase"].debited + buyers_fees.get(currency, (0, 0))[1]
        _check_amounts(amounts, paid, report.mode.nets_cash, currency)
        fees = of[currency, "fee"].debited if (currency, "fee") in of else 0
        earned = of[currency, "fee_income"].credited if (currency, "fee_income") in of else 0
        assert fees == earned == report.fees[currency], (
            f"fees in asset {currency}: {report.fees[currency]} reported, {fees} paid, {earned} earned"
        )


def _check_amounts(amounts: Amounts, stated: int, is_netted: bool, asset: int) -> None:
    assert amounts.gross == stated, f"asset {asset}: {amounts.gross} are reported, {stated} are stated"
    moved = amounts.net if is_netted else amounts.gross
    fits = amounts.moved == moved and 0 <= amounts.net <= amounts.gross
    assert fits, f"asset {asset}: {amounts} do not fit together"


def _check_holdings(line: Line, found: list[Total]) -> None:
    unexplained = line.closing.sum(axis=0) - line.opening.sum(axis=0)
    for one in found:
        unexplained[one.asset] -= one.credited - one.debited
    assert not unexplained.any(), f"holdings change by {unexplained.tolist()} more than statements say, by asset"
