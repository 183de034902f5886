"""What clients ask about the past: orders, fills, trades, statements. Fed by events, rebuilt by replay.

The command, event and trade rows since the journal began stand in arrays. The place of an event row in
its array, counted from 1, is the `seq` of the market-data feed; it is the same after every restart.
Nothing here decides anything: losing it loses nothing.
"""

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
from exchange.rows import COMMAND, EVENT, TRADE, CommandKind, EventKind, type_of_rows
from exchange.transition import Outcome

_MANY = 4096  # rows at once that only a replay brings
_OF_ORDERS = (
    EventKind.ACCEPTED, EventKind.TRADED, EventKind.CANCELLED, EventKind.AMENDED, EventKind.PREVENTED,
    EventKind.REFRESHED, EventKind.TRIGGERED,
)  # fmt: skip


class GrowingRows:
    """Rows of one dtype that are only ever appended; grown by doubling."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._room = np.zeros(1024, dtype)
        self._used = 0

    def extend(self, rows: type_of_rows) -> None:
        needed = self._used + rows.size
        if needed > self._room.size:
            wider = np.zeros(max(needed, 2 * self._room.size), self._room.dtype)
            wider[: self._used] = self._room[: self._used]
            self._room = wider
        self._room[self._used : needed] = rows
        self._used = needed

    def __len__(self) -> int:
        return self._used

    @property
    def rows(self) -> type_of_rows:
        """All rows, without a copy."""
        return self._room[: self._used]


class RowIndex:
    """Which rows of a growing array bear a key: a dict for the fresh ones, sorted arrays for the many of a replay."""

    def __init__(self) -> None:
        self._fresh: dict[int, list[int]] = {}
        self._keys = np.zeros(0, np.int64)  # sorted; with the rows that bear them
        self._rows = np.zeros(0, np.int64)
        self._waiting: list[tuple[type_of_rows, type_of_rows]] = []

    def add(self, keys: type_of_rows, rows: type_of_rows) -> None:
        """Note that `rows` bear `keys`."""
        if keys.size > _MANY:
            self._waiting.append((keys.astype(np.int64), rows))
            return
        for key, row in zip(keys.tolist(), rows.tolist(), strict=True):
            self._fresh.setdefault(key, []).append(row)

    def rows_of(self, key: int) -> list[int]:
        """The rows that bear a key, in rising order."""
        if self._waiting:
            self._sort()
        start, end = np.searchsorted(self._keys, [key, key + 1])
        return sorted([*self._rows[start:end].tolist(), *self._fresh.get(key, [])])

    def _sort(self) -> None:
        keys = np.concatenate([self._keys, *(keys for keys, _ in self._waiting)])
        rows = np.concatenate([self._rows, *(rows for _, rows in self._waiting)])
        order = np.argsort(keys, kind="stable")
        self._keys, self._rows, self._waiting = keys[order], rows[order], []


class History:
    """Everything that has happened, for asking."""

    def __init__(self) -> None:
        self._commands = GrowingRows(COMMAND)
        self._events = GrowingRows(EVENT)
        self._trades = GrowingRows(TRADE)
        self._by_order = RowIndex()  # event rows by order id, as taker or maker
        self._by_account = RowIndex()  # event rows that accept an account's orders
        self.day_opened_at = 0  # sequence of the command that opened the last day
        self.client_order_ids: dict[int, str] = {}  # by order id
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
            self._note_client_order_ids(batch, outcome)
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

    def _index(self, events: type_of_rows) -> None:
        places = np.arange(len(self._events), len(self._events) + events.size)
        of_orders = np.isin(events["kind"], _OF_ORDERS)
        met = of_orders & (events["maker_order_id"] != 0)
        keys = np.concatenate([events["order_id"][of_orders], events["maker_order_id"][met]])
        self._by_order.add(keys, np.concatenate([places[of_orders], places[met]]))
        accepted = events["kind"] == EventKind.ACCEPTED
        self._by_account.add(events["account"][accepted], places[accepted])

    def _note_client_order_ids(self, batch: Batch, outcome: Outcome) -> None:
        accepted = outcome.rows[outcome.rows["kind"] == EventKind.ACCEPTED]
        order_ids = dict(zip(accepted["sequence"].tolist(), accepted["order_id"].tolist(), strict=True))
        placed = (batch.rows["kind"] == CommandKind.PLACE_ORDER).tolist()
        for sequence, is_order, detail in zip(batch.rows["sequence"].tolist(), placed, batch.details, strict=True):
            if is_order and detail and sequence in order_ids:
                self.client_order_ids[order_ids[sequence]] = detail.decode()

    def command(self, sequence: int) -> Any:
        """The row of a command by its sequence number."""
        return self._commands.rows[sequence - 1]

    @property
    def events(self) -> type_of_rows:
        """All event rows; row i has the feed's seq i + 1."""
        return self._events.rows

    @property
    def trades(self) -> type_of_rows:
        """All trade rows as they were booked; row i is trade i + 1."""
        return self._trades.rows

    def trade(self, trade_id: int) -> Any:
        """The row of a trade by its id."""
        return self._trades.rows[trade_id - 1]

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

    def trades_of(self, instrument: int, after: int) -> type_of_rows:
        """Trade rows of an instrument's book with an id above `after`, oldest first."""
        later = on_the_book(self.trades[after:])
        found: type_of_rows = later[later["instrument"] == instrument]
        return found


def on_the_book(trades: type_of_rows) -> type_of_rows:
    """The trades of two orders; a deal that came due has none, and is no news of the market."""
    found: type_of_rows = trades[trades["buy_order_id"] != 0]
    return found
