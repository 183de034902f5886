"""Today's orders by account and client order id: by them the exchange knows an order that comes again.

New ones go into a dict, a thousand at most at a time. What a journal brings comes in tens of thousands, on a long day
millions, which nobody may ever ask after: they stay in columns, and the first question has an index made of them, of
64-bit hashes in order. That takes a fraction of the time and the memory of a dict of millions.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import chain, compress
from typing import NamedTuple

import numpy as np

from exchange.rows import type_of_rows

Key = tuple[int, bytes]  # account, client order id
Placed = tuple[int, bytes]  # sequence and content of an order's command

MANY = 4096  # orders that stay in columns
_SPREAD = 0x9E3779B97F4A7C15  # odd, and without a pattern: accounts are small numbers
_64_BITS = 2**64 - 1


class _Columns(NamedTuple):
    """Orders in the order in which they were accepted."""

    accounts: type_of_rows
    names: list[bytes]
    sequences: type_of_rows
    contents: type_of_rows  # as bytes of fixed length

    def placed(self, row: int) -> Placed:
        return int(self.sequences[row]), self.contents[row].item()

    def hashes(self) -> type_of_rows:
        named = np.fromiter(map(hash, self.names), np.int64, len(self.names)).view(np.uint64)
        return named ^ self.accounts.astype(np.uint64) * np.uint64(_SPREAD)


class ClientOrders:
    """The accepted orders of a trading day that have client order ids; the last one of an id counts."""

    def __init__(self) -> None:
        self._fresh: dict[Key, Placed] = {}
        self._waiting: list[_Columns] = []  # older than the fresh ones, newer than `_many`
        self._many: _Columns | None = None
        self._rows = np.zeros(0, np.int64)  # of `_many`, in the order of their hashes
        self._hashes = np.zeros(0, np.uint64).data  # in order

    def add(self, accounts: type_of_rows, names: list[bytes], sequences: type_of_rows, contents: type_of_rows) -> None:
        """Remember accepted orders; those without a name (empty) are left out."""
        if len(names) < MANY:
            keys = zip(accounts.tolist(), names, strict=True)
            placed = zip(sequences.tolist(), contents.tolist(), strict=True)
            self._fresh.update(compress(zip(keys, placed, strict=True), names))
            return
        named = np.fromiter(map(bool, names), bool, len(names))
        if not named.all():
            names = [*filter(None, names)]
            accounts, sequences, contents = accounts[named], sequences[named], contents[named]
        if self._fresh:
            self._waiting.append(_columns_of(self._fresh, contents.dtype))
            self._fresh = {}
        self._waiting.append(_Columns(accounts, names, sequences, contents))

    def get(self, key: Key) -> Placed | None:
        """An order by account and client order id; None if there is none."""
        placed = self._fresh.get(key)
        if placed is not None or not (self._many or self._waiting):
            return placed
        many, (account, name) = self._indexed(), key
        sought = (hash(name) ^ account * _SPREAD) & _64_BITS
        found = []
        for place in range(bisect_left(self._hashes, sought), len(self._hashes)):
            if self._hashes[place] != sought:
                break
            row = int(self._rows[place])
            if many.accounts[row] == account and many.names[row] == name:
                found.append(row)
        return many.placed(max(found)) if found else None

    def has_any(self, keys: Sequence[Key]) -> bool:
        """Whether one of these is known."""
        if not self._fresh.keys().isdisjoint(keys):
            return True
        return bool(self._many or self._waiting) and any(map(self.get, keys))

    def is_complete(self) -> None:
        """A journal has been read: get ready for questions."""
        if self._waiting:
            self._indexed()

    def _indexed(self) -> _Columns:
        """All columns, with their index."""
        if self._many is None or self._waiting:
            parts = [*([self._many] if self._many else []), *self._waiting]
            accounts, sequences, contents = (
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("accounts", "sequences", "contents")
            )
            self._many = _Columns(accounts, [*chain.from_iterable(part.names for part in parts)], sequences, contents)
            self._waiting = []
            hashes = self._many.hashes()
            self._rows = np.argsort(hashes)
            self._hashes = hashes[self._rows].data
        return self._many

    def __iter__(self) -> Iterator[tuple[Key, bytes]]:
        """Keys and contents in the order of the keys."""
        found: dict[Key, bytes] = {}
        for part in (self._indexed(),) if self._many or self._waiting else ():
            found.update(zip(zip(part.accounts.tolist(), part.names, strict=True), part.contents.tolist(), strict=True))
        found.update((key, content) for key, (_, content) in self._fresh.items())
        yield from sorted(found.items())

    def check(self) -> None:
        """Assert that the columns are of one length, and that their index finds every row."""
        many = self._many
        if many is not None:
            assert len(many.names) == many.accounts.size == many.sequences.size == many.contents.size
            hashes = np.asarray(self._hashes)
            assert (many.hashes()[self._rows] == hashes).all() and (hashes[1:] >= hashes[:-1]).all()
            assert (np.sort(self._rows) == np.arange(len(many.names))).all()


def _columns_of(orders: dict[Key, Placed], of_contents: np.dtype[np.void]) -> _Columns:
    accounts, names = zip(*orders, strict=True)
    sequences, contents = zip(*orders.values(), strict=True)
    return _Columns(
        np.array(accounts, np.uint32), [*names], np.array(sequences, np.int64), np.array(contents, of_contents)
    )
