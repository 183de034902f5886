"""The daily statement: opening, every movement with its cause, closing; to the fen and the tonne.

National settlement rules, art. 10: statements are sent the same day. Amounts are signed integers, from
the participant's side: fen of cash, tonnes of a unit. Opening and closing are settled holdings.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from settlement.clearing import Obligations, type_of_column

CASH = 0  # the asset number of the usual currency


class Entry(msgspec.Struct, frozen=True):
    """One movement: of which asset, how much, why, and by which command or trade."""

    asset: int
    amount: int
    cause: str
    reference: int


class Statement(msgspec.Struct, frozen=True):
    """One participant's day. `opening` and `closing` are by asset number, zeros left out."""

    date: str
    account: int
    opening: dict[int, int]
    entries: list[Entry]
    closing: dict[int, int]

    def check(self) -> None:
        """Assert that opening and entries make the closing."""
        assets = {*self.opening, *self.closing, *(entry.asset for entry in self.entries)}
        for asset in assets:
            moved = sum(entry.amount for entry in self.entries if entry.asset == asset)
            assert self.opening.get(asset, 0) + moved == self.closing.get(asset, 0), (
                f"the statement of account {self.account} does not add up in asset {asset}"
            )


def trade_entries(owed: Obligations, trade_ids: type_of_column, house: int) -> Iterator[tuple[int, Entry]]:
    """(account, entry) of every leg and fee of the day's trades, in the order of trading."""
    columns = (
        column.tolist()
        for column in (
            trade_ids,
            owed.seller,
            owed.buyer,
            owed.unit,
            owed.cash,
            owed.quantity,
            owed.turnover,
            owed.buyer_fee,
            owed.seller_fee,
        )
    )
    for trade, seller, buyer, unit, cash, quantity, turnover, buyer_fee, seller_fee in zip(*columns, strict=True):
        yield seller, Entry(unit, -quantity, "sale", trade)
        yield seller, Entry(cash, turnover, "sale", trade)
        yield buyer, Entry(unit, quantity, "purchase", trade)
        yield buyer, Entry(cash, -turnover, "purchase", trade)
        if seller_fee:
            yield seller, Entry(cash, -seller_fee, "fee", trade)
        if buyer_fee:
            yield buyer, Entry(cash, -buyer_fee, "fee", trade)
        if seller_fee + buyer_fee:
            yield house, Entry(cash, seller_fee + buyer_fee, "fee_income", trade)


def statements(
    date: str,
    opening: np.ndarray[Any, np.dtype[np.int64]],
    entries: Iterator[tuple[int, Entry]],
    closing: np.ndarray[Any, np.dtype[np.int64]],
) -> list[Statement]:
    """A statement for every account that holds or moved something; holdings are (accounts, assets)."""
    by_account: dict[int, list[Entry]] = {}
    for account, entry in entries:
        by_account.setdefault(account, []).append(entry)
    holding = opening.any(axis=1) | closing.any(axis=1)
    concerned = sorted({*by_account, *np.flatnonzero(holding).tolist()})
    return [
        Statement(date, account, _amounts(opening[account]), by_account.get(account, []), _amounts(closing[account]))
        for account in concerned
    ]


def _amounts(row: np.ndarray[Any, np.dtype[np.int64]]) -> dict[int, int]:
    return {int(asset): int(row[asset]) for asset in np.flatnonzero(row)}
