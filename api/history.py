"""What clients ask about the past: orders, fills, trades, statements. Fed by events, rebuilt by replay.

The command, event and trade rows since the journal began stand in arrays. The place of an event row in
its array, counted from 1, is the `seq` of the market-data feed; it is the same after every restart.
Nothing here decides anything: losing it loses nothing.
"""

from datetime import date
from typing import Any

import numpy as np

from exchange.events import DayOpened, DaySettled, SessionClosed
from exchange.journal import Batch
from exchange.rows import COMMAND, EVENT, TRADE, CommandKind, EventKind, type_of_rows
from exchange.transition import Outcome
from settlement.batch import SettlementReport
from settlement.statements import Statement


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


class History:
    """Everything that has happened, for asking."""

    def __init__(self) -> None:
        self._commands = GrowingRows(COMMAND)
        self._events = GrowingRows(EVENT)
        self._trades = GrowingRows(TRADE)
        self.day_opened_at = 0  # sequence of the command that opened the last day
        self.client_order_ids: dict[int, str] = {}  # by order id
        self.settlements: dict[date, SettlementReport] = {}
        self.statements: dict[tuple[date, int], Statement] = {}
        self.closes: dict[date, dict[int, int]] = {}  # closing price in ticks by instrument number

    def extend(self, batch: Batch, outcome: Outcome) -> None:
        """Add what a batch made happen."""
        self._commands.extend(batch.rows)
        self._events.extend(outcome.rows)
        self._trades.extend(outcome.trades)
        if any(batch.details):
            self._note_client_order_ids(batch, outcome)
        for sequence, event in outcome.events.items():
            if isinstance(event, DayOpened):
                self.day_opened_at = sequence
            elif isinstance(event, SessionClosed):
                self.closes[event.date] = event.closes_ticks
            elif isinstance(event, DaySettled):
                day = date.fromisoformat(event.report.date)
                self.settlements[day] = event.report
                for statement in event.statements:
                    self.statements[day, statement.account] = statement

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
        """All trade rows; row i is trade i + 1."""
        return self._trades.rows

    def answer(self, sequence: int) -> type_of_rows:
        """The event rows that one command caused."""
        sequences = self.events["sequence"]
        start, end = np.searchsorted(sequences, [sequence, sequence + 1])
        return self.events[start:end]

    def events_of_order(self, order_id: int) -> type_of_rows:
        """The event rows that concern one order, as taker or as maker."""
        events = self.events
        found: type_of_rows = events[(events["order_id"] == order_id) | (events["maker_order_id"] == order_id)]
        return found

    def orders_of(self, account: int) -> list[int]:
        """Ids of all orders of an account, oldest first."""
        events = self.events
        own = events[(events["account"] == account) & (events["kind"] == EventKind.ACCEPTED)]
        ids: list[int] = own["order_id"].tolist()
        return ids

    def trades_of(self, instrument: int, after: int) -> type_of_rows:
        """Trade rows of an instrument with an id above `after`, oldest first."""
        later = self.trades[after:]
        found: type_of_rows = later[later["instrument"] == instrument]
        return found
