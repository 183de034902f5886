"""The statement of a batch: opening, every movement with its cause, closing; to the fen and the tonne.

National settlement rules, art. 10: statements are sent the same day. Amounts are signed integers, from the
participant's side: fen of cash, tonnes of a unit. Opening and closing are settled holdings. A statement is drawn when
somebody asks for it; that all of them add up is proved for all accounts at once when the line is drawn.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from settlement.clearing import Terms, obligations, type_of_column, type_of_rows
from settlement.netting import Positions, positions

CASH = 0


class Entry(msgspec.Struct, frozen=True):
    """One movement: of which asset, how much, why, and by which command, trade or batch."""

    asset: int
    amount: int
    cause: str
    reference: int


class Statement(msgspec.Struct, frozen=True):
    """What a batch and the time since the last one did to an account. By asset number, zeros left out."""

    date: str
    batch: int
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


def as_one(drawn: Sequence[Statement]) -> Statement:
    """The statements of an account that follow one another as one, with the date and the batch of the last."""
    entries = [entry for statement in drawn for entry in statement.entries]
    return msgspec.structs.replace(drawn[-1], opening=drawn[0].opening, entries=entries)


class Line(msgspec.Struct, frozen=True, eq=False):
    """All that was moved between two lines drawn under the books."""

    date: str
    batch: int
    house: int  # the account that earns the fees
    trades: type_of_rows  # those that were settled
    entries: list[tuple[int, Entry]]  # (account, movement), other than by these trades
    opening: type_of_column
    closing: type_of_column

    def statement(self, account: int, terms: Terms) -> Statement:
        """The statement of one account: movements other than trades first, then trades in their order."""
        own = [entry for owner, entry in self.entries if owner == account]
        own += _trade_entries(self.trades, account, terms)
        if account == self.house:
            own += [Entry(currency, fees, "fee_income", self.batch) for currency, fees in self.fees(terms).items()]
        return Statement(
            self.date, self.batch, account, _amounts(self.opening[account]), own, _amounts(self.closing[account])
        )

    def statements(self, terms: Terms) -> Iterator[Statement]:
        """All statements, by account number."""
        return (self.statement(account, terms) for account in self.concerned())

    def fees(self, terms: Terms) -> dict[int, int]:
        """Fen that the house earns, by currency."""
        return _amounts(self.positions(terms).fees)

    def concerns(self, account: int) -> bool:
        """Whether an account gets a statement: it holds or held or moved something."""
        if account >= len(self.closing):
            return False  # it was opened later
        if self.opening[account].any() or self.closing[account].any():
            return True
        moved = any(owner == account for owner, _ in self.entries)
        return moved or bool(((self.trades["seller"] == account) | (self.trades["buyer"] == account)).any())

    def concerned(self) -> list[int]:
        """The accounts that get a statement, by number."""
        holding: np.ndarray[Any, np.dtype[np.bool_]] = ((self.opening != 0) | (self.closing != 0)).any(axis=1)
        holding[self.trades["buyer"]] = holding[self.trades["seller"]] = True
        holding[[account for account, _ in self.entries]] = True
        found: list[int] = np.flatnonzero(holding).tolist()
        return found

    def seal(self) -> str:
        """SHA-256 of what its statements say besides trades: every movement, and what everybody has at the close."""
        places = np.argwhere(self.closing)
        held = [(account, asset, int(self.closing[account, asset])) for account, asset in places.tolist()]
        return hashlib.sha256(msgspec.json.encode((self.entries, held))).hexdigest()

    def check(self, terms: Terms) -> None:
        """Assert that every statement adds up."""
        closing = self.opening + self.positions(terms).net
        add(closing, self.entries)
        wrong = np.argwhere(closing != self.closing).tolist()
        assert not wrong, f"statements do not add up for (account, asset) {wrong}"

    def positions(self, terms: Terms) -> Positions:
        """What its trades come to for every account and asset."""
        accounts, assets = self.opening.shape
        traded = int(self.trades["instrument"].max(initial=0)) + 1
        known = Terms(*(column[:traded] for column in terms))  # without assets that came after the line was drawn
        return positions(self.trades, known, accounts - 1, assets - 1, self.house)


def add(amounts: type_of_column, entries: Iterable[tuple[int, Entry]]) -> None:
    """Add movements to amounts by (account, asset)."""
    for account, entry in entries:
        amounts[account, entry.asset] += entry.amount


def _trade_entries(trades: type_of_rows, account: int, terms: Terms) -> list[Entry]:
    """Every leg and fee of an account's trades."""
    own = trades[(trades["seller"] == account) | (trades["buyer"] == account)]
    entries = []
    for row in obligations(own, terms).tolist():
        trade, quantity, turnover, buyer_fee, seller_fee, seller, buyer, unit, cash = row
        if seller == account:
            entries += [Entry(unit, -quantity, "sale", trade), Entry(cash, turnover, "sale", trade)]
        if buyer == account:
            entries += [Entry(unit, quantity, "purchase", trade), Entry(cash, -turnover, "purchase", trade)]
        if seller == account and seller_fee:
            entries.append(Entry(cash, -seller_fee, "fee", trade))
        if buyer == account and buyer_fee:
            entries.append(Entry(cash, -buyer_fee, "fee", trade))
    return entries


def _amounts(row: np.ndarray[Any, np.dtype[np.int64]]) -> dict[int, int]:
    return {int(asset): int(row[asset]) for asset in np.flatnonzero(row)}
