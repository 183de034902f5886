"""What clients ask about the past: orders, fills, trades, statements. Fed by events, rebuilt by replay.

The command, event and trade rows since the journal began stand in arrays. The place of an event row in
its array, counted from 1, is the `seq` of the market-data feed; it is the same after every restart.
Nothing here decides anything: losing it loses nothing.
"""

from bisect import bisect_right
from datetime import date
from typing import Any

import numpy as np

from exchange.events import (
    BankReconciled,
    BatchDelivered,
    CurrencyLeg,
    DayOpened,
    DaySettled,
    SessionClosed,
    TradesBusted,
    TradesCorrected,
)
from exchange.journal import Batch
from exchange.rows import COMMAND, EVENT, TRADE, EventKind, told, type_of_rows
from exchange.transition import Outcome

_MANY, _VERY_MANY = 4096, 1 << 23  # rows
_OF_ORDERS = np.zeros(256, bool)  # by kind of event
_OF_ORDERS[[
    EventKind.ACCEPTED, EventKind.TRADED, EventKind.CANCELLED, EventKind.AMENDED, EventKind.PREVENTED,
    EventKind.REFRESHED, EventKind.TRIGGERED,
]] = True  # fmt: skip


class GrowingRows:
    """Rows of one dtype that are only ever appended. Copied as bytes: see `exchange.rows.joined`.

    Room grows fourfold: what is not written yet takes no memory. It is handed out empty, not zeroed: to that NumPy lets
    Linux give pages of 2 MiB, and fresh memory costs a twentieth.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._room = np.empty(1024 * dtype.itemsize, np.uint8)
        self._used = 0  # bytes
        self.rows = self._room[:0].view(dtype)  # all of them, without a copy

    def extend(self, rows: type_of_rows) -> None:
        needed = self._used + rows.nbytes
        if needed > self._room.size:
            wider = np.empty(max(needed, 4 * self._room.size), np.uint8)
            wider[: self._used] = self._room[: self._used]
            self._room = wider
        self._room[self._used : needed] = rows.view(np.uint8)
        self._used = needed
        self.rows = self._room[:needed].view(self._dtype)

    def __len__(self) -> int:
        return self.rows.size


class RowIndex:
    """Which rows of a growing array bear a key.

    What is added waits until somebody asks. Little of it then goes into a dict, much of it into a run: keys in order,
    with their rows. A run that has come near to the one before it is merged with it, so there are few of them.
    """

    def __init__(self) -> None:
        self._fresh: dict[int, list[int]] = {}
        self._runs: list[tuple[type_of_rows, type_of_rows]] = []
        self._waiting: list[tuple[type_of_rows, type_of_rows]] = []
        self._waiting_rows = 0

    def add(self, keys: type_of_rows, rows: type_of_rows) -> None:
        """Note that `rows` bear `keys`."""
        self._waiting.append((keys, rows))
        self._waiting_rows += keys.size
        if self._waiting_rows > _VERY_MANY or len(self._waiting) > _MANY:
            self.take_in()

    def rows_of(self, key: int) -> list[int]:
        """The rows that bear a key, in rising order."""
        self.take_in()
        found = list(self._fresh.get(key, []))
        for keys, rows in self._runs:
            start, end = np.searchsorted(keys, [key, key + 1])
            found += rows[start:end].tolist()
        return sorted(found)

    def take_in(self) -> None:
        """Put in order what waits."""
        waiting, self._waiting = self._waiting, []
        if self._waiting_rows > _MANY:
            self._runs.append(_in_order(waiting))
            while len(self._runs) > 1 and self._runs[-2][0].size < 2 * self._runs[-1][0].size:
                self._runs.append(_in_order([self._runs.pop(-2), self._runs.pop()]))
        else:
            for keys, rows in waiting:
                for key, row in zip(keys.tolist(), rows.tolist(), strict=True):
                    self._fresh.setdefault(key, []).append(row)
        self._waiting_rows = 0


def _in_order(parts: list[tuple[type_of_rows, type_of_rows]]) -> tuple[type_of_rows, type_of_rows]:
    keys, rows = (np.concatenate([part[side] for part in parts], dtype=np.int64) for side in (0, 1))
    order = np.argsort(keys, kind="stable")
    return keys[order], rows[order]


class History:
    """Everything that has happened, for asking."""

    def __init__(self) -> None:
        self._commands = GrowingRows(COMMAND)
        self._events = GrowingRows(EVENT)
        self._trades = GrowingRows(TRADE)
        self._by_order = RowIndex()  # event rows by order id, as taker or maker
        self._by_account = RowIndex()  # event rows that accept an account's orders
        self.day_opened_at = 0  # sequence of the command that opened the last day
        self._named_from: list[int] = []  # sequence of the first command of each batch whose orders have names
        self._names: list[list[bytes]] = []  # client order ids of those batches, by place
        self.closes: dict[date, dict[int, int]] = {}  # closing price in ticks by instrument number
        self.reconciled: dict[int, BankReconciled] = {}  # comparisons with the bank's books, by sequence
        self.currency_legs: dict[int, list[CurrencyLeg]] = {}  # conversions of what a batch brought, if any, by batch

    def extend(self, batch: Batch, outcome: Outcome) -> None:
        """Add what a batch made happen."""
        self._commands.extend(batch.rows)
        self._index(outcome.rows)
        self._events.extend(outcome.rows)
        self._trades.extend(outcome.trades)
        if any(batch.details):
            self._named_from.append(int(batch.rows["sequence"][0]))
            self._names.append(batch.details)
        for sequence, event in outcome.events.items():
            if isinstance(event, DayOpened):
                self.day_opened_at = sequence
            elif isinstance(event, SessionClosed):
                self.closes[event.date] = dict(event.closes_ticks)
            elif isinstance(event, TradesBusted | TradesCorrected) and event.closes_ticks:
                self.closes[max(self.closes)].update(event.closes_ticks)
            elif isinstance(event, BankReconciled):
                self.reconciled[sequence] = event
            elif isinstance(event, BatchDelivered | DaySettled) and event.currency_legs:
                self.currency_legs[event.batch] = event.currency_legs

    def is_complete(self) -> None:
        """The replay is over: get ready for questions."""
        self._by_order.take_in()
        self._by_account.take_in()

    def _index(self, events: type_of_rows) -> None:
        places = np.arange(len(self._events), len(self._events) + events.size)
        of_orders = _OF_ORDERS[events["kind"]]
        met = of_orders & (events["maker_order_id"] != 0)
        keys = np.concatenate([events["order_id"][of_orders], events["maker_order_id"][met]])
        self._by_order.add(keys, np.concatenate([places[of_orders], places[met]]))
        accepted = events["kind"] == EventKind.ACCEPTED
        self._by_account.add(events["account"][accepted], places[accepted])

    def command(self, sequence: int) -> Any:
        """The row of a command by its sequence number, told."""
        return told(self._commands.rows[sequence - 1 : sequence])[0]

    def client_order_id(self, sequence: int) -> str | None:
        """What the client calls the order that a command placed; None if it gave no name."""
        found = bisect_right(self._named_from, sequence) - 1
        if found < 0:
            return None
        names, place = self._names[found], sequence - self._named_from[found]
        return names[place].decode() or None if place < len(names) else None

    @property
    def events(self) -> type_of_rows:
        """All event rows; row i has the feed's seq i + 1."""
        return self._events.rows

    @property
    def trades(self) -> type_of_rows:
        """All trade rows as they were booked; row i is trade i + 1."""
        return self._trades.rows

    def trade(self, trade_id: int) -> Any:
        """The row of a trade by its id, told."""
        return told(self._trades.rows[trade_id - 1 : trade_id])[0]

    def answer(self, sequence: int) -> type_of_rows:
        """The event rows that one command caused."""
        sequences = self.events["sequence"]
        start, end = np.searchsorted(sequences, [sequence, sequence + 1])
        return self.events[start:end]

    def answer_at(self, sequence: int) -> tuple[int, type_of_rows]:
        """Likewise, with the place of the first one, counted from 0."""
        return int(np.searchsorted(self.events["sequence"], sequence)), self.answer(sequence)

    def placing(self, order_id: int) -> Any:
        """The row of the command that placed an accepted order."""
        return self.command(int(self.events_of_order(order_id)[0].sequence))

    def name_of_order(self, order_id: int, account: int) -> str | None:
        """What an account calls an order of its own; None if it gave no name, or the order is another's or nobody's."""
        events = self.events_of_order(order_id)
        if not events.size or events[0].account != account:
            return None
        return self.client_order_id(int(events[0].sequence))

    def places_of_order(self, order_id: int) -> list[int]:
        """Where the event rows that concern one order stand, counted from 0."""
        return self._by_order.rows_of(order_id)

    def events_of_order(self, order_id: int) -> type_of_rows:
        """The event rows that concern one order, as taker or as maker."""
        return self.events[self._by_order.rows_of(order_id)]

    def orders_of(self, account: int) -> list[int]:
        """Ids of all orders of an account, oldest first."""
        ids: list[int] = self.events[self._by_account.rows_of(account)]["order_id"].tolist()
        return ids

    def orders_named(self, account: int, client_order_id: str) -> list[int]:
        """Ids of an account's orders of a name, oldest first."""
        rows = self.events[self._by_account.rows_of(account)]
        stamped = zip(rows["order_id"].tolist(), rows["sequence"].tolist(), strict=True)
        return [order_id for order_id, sequence in stamped if self.client_order_id(sequence) == client_order_id]

    def trades_of(self, instrument: int, after: int) -> type_of_rows:
        """Trade rows of an instrument's book with an id above `after`, oldest first."""
        later = on_the_book(self.trades[after:])
        found: type_of_rows = later[later["instrument"] == instrument]
        return found


def on_the_book(trades: type_of_rows) -> type_of_rows:
    """The trades of two orders; a deal that came due has none, and is no news of the market."""
    found: type_of_rows = trades[trades["buy_order_id"] != 0]
    return found
