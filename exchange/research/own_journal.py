"""The exchange's own journal as order flow: replayed, and its events told as a vendor would tell them.

What an iceberg hides is not told: its next slice is a new order of the same name. A stop is told when it has been
triggered and comes to rest. Trades of a call auction are one cross trade each, and cancels of what the two orders
lose by it. Prices of executions are the makers', as in all order flow, whatever rule the exchange prices by.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from exchange.engine import read_batches
from exchange.journal import JournalError, read_blocks
from exchange.reasons import Reason
from exchange.research.messages import MESSAGE, FormatError, MessageType, type_of_rows
from exchange.rows import EventKind
from exchange.rows import told as told_rows
from exchange.state import Exchange
from exchange.transition import apply
from matching.orders import OrderType, Priority, Side

SMALLEST = Decimal("0.0001")


def read(file: Path, symbol: str = "") -> Iterator[type_of_rows]:
    """MESSAGE rows of one instrument of a journal file, times UTC. FormatError if it can't be read.

    `symbol` may be left out if the journal has orders of one instrument only.
    """
    try:
        yield from messages_of(file, (block for _, _, block in read_blocks(file)), symbol)
    except JournalError as error:
        raise FormatError(file, 0, 0, error.detail) from error


def messages_of(file: Path, blocks: Iterable[bytes], symbol: str = "") -> Iterator[type_of_rows]:
    """MESSAGE rows of one instrument of a journal's blocks; `file` is who is named if that can't be."""
    exchange, teller, number = Exchange(), _Teller(), 0
    for batch in read_batches(blocks):
        outcome = apply(exchange, batch)
        ours = [one for one in exchange.instruments if one.symbol == symbol]
        events = outcome.rows[outcome.rows["instrument"] > 0]
        if not symbol and events.size:
            number = number or int(events["instrument"][0])
            if (events["instrument"] != number).any():
                known = ", ".join(sorted(one.symbol for one in exchange.instruments))
                raise FormatError(file, 0, "instrument", f"there are several; say which symbol to read: {known}")
            ours = [exchange.instruments[number]]
        if ours:
            teller.factor = int(ours[0].tick / SMALLEST)
            yield from teller.tell(batch.rows, events[events["instrument"] == ours[0].number])
    if symbol and all(one.symbol != symbol for one in exchange.instruments):
        raise FormatError(file, 0, "instrument", f"there is nothing about {symbol}")
    yield from teller.rest()


class _Teller:
    """Tells of events, one by one."""

    def __init__(self) -> None:
        self.factor = 1  # ticks of messages in one of the instrument
        self.shown: dict[int, list[int]] = {}  # by order: side, price, what it shows
        self.display: dict[int, int] = {}  # by order: the slice of an iceberg
        self.coming: list[int] = []  # of the order that is arriving: sequence, id, side, price, leaves
        self.now_ns = 0
        self.rows: list[tuple[int, ...]] = []

    def tell(self, commands: type_of_rows, events: type_of_rows) -> Iterator[type_of_rows]:
        """MESSAGE rows of the events of commands; the last order comes to rest with the next ones."""
        first = int(commands["sequence"][0])
        for event in told_rows(events):
            command = commands[event.sequence - first]
            if self.coming and (event.sequence != self.coming[0] or event.kind == EventKind.TRIGGERED):
                self._come_to_rest()
            self.now_ns = int(command["now_ns"])
            self._tell(event, command)
        yield from self._told()

    def rest(self) -> Iterator[type_of_rows]:
        """The order that has come last, if it rests."""
        if self.coming:
            self._come_to_rest()
        yield from self._told()

    def _told(self) -> Iterator[type_of_rows]:
        if self.rows:
            yield np.array(self.rows, MESSAGE)
            self.rows = []

    def _tell(self, event: Any, command: Any) -> None:
        order_id = event.order_id
        match EventKind(event.kind):
            case EventKind.ACCEPTED:
                self.display[order_id] = int(command["display_quantity"])
                if not OrderType(int(command["order_type"])).waits:
                    self._comes(event, event.quantity)
            case EventKind.TRIGGERED:
                self._comes(event, event.leaves)
            case EventKind.TRADED if event.reason == Reason.AUCTION:
                self._row(MessageType.CROSS_TRADE, 0, (int(Side.SELL), event.price_ticks), event.quantity, 0)
                self._loses(order_id, event.quantity)
                self._loses(event.maker_order_id, event.quantity)
            case EventKind.TRADED:
                self._loses(event.maker_order_id, event.quantity, MessageType.EXECUTION)
                self._has(event.leaves)
            case EventKind.PREVENTED:
                self._loses(event.maker_order_id, self._too_much(event.maker_order_id, event.maker_leaves))
                self._has(event.leaves)
            case EventKind.REFRESHED:
                side, price = event.side, event.price_ticks
                self._rests(order_id, (side, price), event.quantity)
            case EventKind.AMENDED if event.priority == Priority.KEPT:
                self._loses(order_id, self._too_much(order_id, event.leaves))
            case EventKind.AMENDED if order_id in self.shown:
                self._loses(order_id, self.shown[order_id][2])
                self._comes(event, event.leaves)
            case EventKind.CANCELLED:
                if self.coming and self.coming[1] == order_id:
                    self.coming = []
                self._loses(order_id, self._too_much(order_id, 0))
            case _:
                pass

    def _comes(self, event: Any, leaves: int) -> None:
        self.coming = [event.sequence, event.order_id, event.side, event.price_ticks, leaves]

    def _has(self, leaves: int) -> None:
        """The arriving order has so much left."""
        if self.coming:
            self.coming[4] = leaves
            self.coming = self.coming if leaves else []

    def _come_to_rest(self) -> None:
        _, order_id, side, price, leaves = self.coming
        self.coming = []
        self._rests(order_id, (side, price), min(self.display.get(order_id, 0) or leaves, leaves))

    def _rests(self, order_id: int, place: tuple[int, int], quantity: int) -> None:
        self.shown[order_id] = [*place, quantity]
        self._row(MessageType.NEW_ORDER, order_id, place, quantity, quantity)

    def _too_much(self, order_id: int, leaves: int) -> int:
        """What an order shows and has no more."""
        return max(self.shown[order_id][2] - leaves, 0) if order_id in self.shown else 0

    def _loses(self, order_id: int, quantity: int, kind: MessageType | None = None) -> None:
        """A displayed order loses quantity."""
        if order_id not in self.shown or quantity == 0:
            return
        side, price, shown = self.shown[order_id]
        left = shown - quantity
        self.shown[order_id][2] = left
        if left == 0:
            del self.shown[order_id]
        what = kind or (MessageType.PARTIAL_CANCEL if left else MessageType.DELETE)
        self._row(what, order_id, (side, price), quantity, left)

    def _row(self, kind: MessageType, order_id: int, place: tuple[int, int], quantity: int, leaves: int) -> None:
        side, price = place
        self.rows.append((self.now_ns, order_id, price * self.factor, quantity, leaves, int(kind), side))
