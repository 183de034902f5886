"""Today's orders by account and client order id: by them the exchange knows an order that comes again.

New ones go into a dict, a thousand at most at a time. What a journal brings comes in tens of thousands, on a long day
millions, which nobody may ever ask after: they stay in the columns in which they came, and the first question has an
index made of them. An entry of it is one number, 31 bits of hash above the 32 of a row, so that plain sorting puts it
in order. That takes a fraction of the time and the memory of a dict of millions.
"""

from bisect import bisect_right
from collections.abc import Iterator, KeysView, Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np

from exchange.rows import type_of_rows

Key = tuple[int, bytes]  # account, client order id
Placed = tuple[int, bytes]  # sequence and content of an order's command

MANY = 4096  # orders that stay in columns
ROWS_MAX = 2**32
_ROW, _ROW_BITS = ROWS_MAX - 1, 32
_SPREAD = 0x9E3779B97F4A7C15  # odd, and without a pattern: accounts are small numbers
_64_BITS, _BEYOND_31 = 2**64 - 1, 33  # the highest bits make a number that is not negative above those of the row


class _Columns(NamedTuple):
    """Orders in the order in which they were accepted."""

    accounts: type_of_rows
    names: list[bytes]
    sequences: type_of_rows
    contents: type_of_rows  # as bytes of fixed length


class ClientOrders:
    """The accepted orders of a trading day that have client order ids; the last one of an id counts."""

    def __init__(self) -> None:
        self._fresh: dict[Key, Placed] = {}  # newer than all columns
        self._many: list[_Columns] = []
        self._starts: list[int] = []  # row of the first order of each
        self._rows = 0
        self._indexed = 0  # how many of the columns are in the index
        self._index = np.zeros(0, np.int64)  # hash and row of each order, in order

    def add(self, accounts: type_of_rows, names: list[bytes], sequences: type_of_rows, contents: type_of_rows) -> None:
        """Remember accepted orders; those without a name (empty) are left out. OverflowError if rows run out."""
        if len(names) < MANY:
            keys = zip(accounts.tolist(), names, strict=True)
            placed = zip(sequences.tolist(), contents.tolist(), strict=True)
            self._fresh.update(compress(zip(keys, placed, strict=True), names))
            return
        named = np.fromiter(map(bool, names), bool, len(names))
        if not named.all():
            names = [*filter(None, names)]
            accounts, sequences, contents = accounts[named], sequences[named], contents[named]
        if not names:
            return
        if self._fresh:
            self._keep(_columns_of(self._fresh, contents.dtype))
            self._fresh = {}
        self._keep(_Columns(accounts, names, sequences, contents))

    def _keep(self, orders: _Columns) -> None:
        rows = self._rows + len(orders.names)
        if rows > ROWS_MAX:
            raise OverflowError(f"{rows} orders of a day have client order ids; {ROWS_MAX} can be told apart")
        self._many.append(orders)
        self._starts.append(self._rows)
        self._rows = rows

    def get(self, key: Key) -> Placed | None:
        """An order by account and client order id; None if there is none."""
        placed = self._fresh.get(key)
        if placed is not None or not self._many:
            return placed
        self.is_complete()
        account, name = key
        sought = ((hash(name) ^ account * _SPREAD) & _64_BITS) >> _BEYOND_31
        start, end = np.searchsorted(self._index, [sought << _ROW_BITS, sought + 1 << _ROW_BITS]).tolist()
        for entry in self._index[start:end][::-1].tolist():
            row = entry & _ROW
            part = bisect_right(self._starts, row) - 1
            orders, place = self._many[part], row - self._starts[part]
            if orders.names[place] == name and orders.accounts[place] == account:
                return int(orders.sequences[place]), orders.contents[place].item()
        return None

    def has_any(self, keys: KeysView[Key]) -> bool:
        """Whether one of these is known."""
        if not self._fresh.keys().isdisjoint(keys):
            return True
        if not self._many or not keys:
            return False
        self.is_complete()
        accounts, names = zip(*keys, strict=True)
        sought = _hashes(np.array(accounts), names)
        found = self._index[np.searchsorted(self._index, sought << _ROW_BITS).clip(max=self._rows - 1)] >> _ROW_BITS
        return any(map(self.get, compress(keys, (found == sought).tolist())))

    def is_complete(self) -> None:
        """A journal has been read: get ready for questions."""
        if self._indexed < len(self._many):
            fresh = zip(self._starts[self._indexed :], self._many[self._indexed :], strict=True)
            self._index = np.concatenate([self._index, *(_entries(start, orders) for start, orders in fresh)])
            self._index.sort()
            self._indexed = len(self._many)

    def __iter__(self) -> Iterator[tuple[Key, bytes]]:
        """Keys and contents in the order of the keys."""
        found: dict[Key, bytes] = {}
        for part in self._many:
            found.update(zip(zip(part.accounts.tolist(), part.names, strict=True), part.contents.tolist(), strict=True))
        found.update((key, content) for key, (_, content) in self._fresh.items())
        yield from sorted(found.items())

    def check(self) -> None:
        """Assert that the columns are of one length, and that their index has every row under its hash."""
        ends = [*self._starts[1:], self._rows] if self._many else []
        for start, end, orders in zip(self._starts, ends, self._many, strict=True):
            assert {len(column) for column in orders} == {end - start}
        indexed = [*zip(self._starts, self._many, strict=True)][: self._indexed]
        entries = [np.zeros(0, np.int64), *(_entries(start, orders) for start, orders in indexed)]
        assert np.array_equal(np.sort(np.concatenate(entries)), self._index)


def _entries(start: int, orders: _Columns) -> type_of_rows:
    """What the index has of orders whose rows begin at `start`."""
    rows = np.arange(start, start + len(orders.names))
    return _hashes(orders.accounts, orders.names) << _ROW_BITS | rows


def _hashes(accounts: type_of_rows, names: Sequence[bytes]) -> type_of_rows:
    """Of 31 bits, as 64-bit integers."""
    named = np.fromiter(map(hash, names), np.int64, len(names)).view(np.uint64)
    mixed = (named ^ accounts.astype(np.uint64) * np.uint64(_SPREAD)) >> np.uint64(_BEYOND_31)
    hashes: type_of_rows = mixed.view(np.int64)
    return hashes


def _columns_of(orders: dict[Key, Placed], of_contents: np.dtype[np.void]) -> _Columns:
    accounts, names = zip(*orders, strict=True)
    sequences, contents = zip(*orders.values(), strict=True)
    return _Columns(
        np.array(accounts, np.uint32), [*names], np.array(sequences, np.int64), np.array(contents, of_contents)
    )
