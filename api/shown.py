"""The book as everybody may see it, kept from the events of an instrument: without what icebergs hide, and
without the stop orders that wait.

An order stands in it from the moment it rests. No event says so: an order arrives, trades perhaps, and rests
with what it has left when the next event belongs to another command, or to a stop order that it triggered.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from api.history import History
from exchange.reasons import Reason
from exchange.rows import EventKind
from matching.ladder import Ladder, orders_in, queue_index
from matching.orders import OrderType, Priority, Side


class Shown(NamedTuple):
    """An order as the book shows it; price in ticks, quantity in tCO2e."""

    side: Side
    price_ticks: int
    quantity: int


class Change(NamedTuple):
    """What becomes of an order: `added` at the back of its price's queue, `reduced` in its place, `removed`."""

    type: Literal["added", "reduced", "removed"]
    order_id: int
    shown: Shown  # from now on; quantity 0 of a removed order
    taken: int = 0  # what is shown less than before, tCO2e


@dataclass
class _Arrival:
    order_id: int
    side: Side
    price_ticks: int
    leaves: int
    display: int  # slice of an iceberg, 0: no iceberg


class ShownBook:
    """The orders of one instrument as shown, by id; those of one price oldest first."""

    def __init__(self, history: History, ladder: Ladder, instrument: int) -> None:
        self.orders = {
            int(order.order_id): Shown(side, int(order.price_ticks), int(order.shown))
            for side in Side
            for order in orders_in(ladder, queue_index(instrument, side))
        }
        self._history = history
        self._arrival: _Arrival | None = None

    def changes(self, event: Any, later: Any | None) -> Iterator[Change]:
        """What an event of the instrument changes; `later` is its next one, None if there is none yet."""
        order_id, maker_id = int(event.order_id), int(event.maker_order_id)
        if self._arrival and self._arrival.order_id == order_id:
            self._arrival.leaves = int(event.leaves)
        match EventKind(int(event.kind)):
            case EventKind.ACCEPTED:
                command = self._history.command(int(event.sequence))
                if not OrderType(int(command.order_type)).waits:
                    self._arrive(event, int(command.display_quantity))
            case EventKind.TRIGGERED:
                self._arrive(event, 0)
            case EventKind.AMENDED if order_id in self.orders:
                if event.priority == Priority.KEPT:
                    yield from self._show_at_most(order_id, int(event.leaves))
                else:
                    yield self._remove(order_id)
                    self._arrive(event, int(self._history.placing(order_id).display_quantity))
            case EventKind.TRADED:
                for traded in (order_id, maker_id) if event.reason == Reason.AUCTION else (maker_id,):
                    yield from self._show_at_most(traded, self.orders[traded].quantity - int(event.quantity))
            case EventKind.PREVENTED:
                yield from self._show_at_most(maker_id, int(event.maker_leaves))
            case EventKind.REFRESHED:
                yield self._add(order_id, Shown(Side(int(event.side)), int(event.price_ticks), int(event.quantity)))
            case EventKind.CANCELLED if order_id in self.orders:
                yield self._remove(order_id)
        if later is None or later.sequence != event.sequence or later.kind == EventKind.TRIGGERED:
            yield from self._rest()

    def _arrive(self, event: Any, display: int) -> None:
        side, price_ticks, leaves = Side(int(event.side)), int(event.price_ticks), int(event.leaves)
        self._arrival = _Arrival(int(event.order_id), side, price_ticks, leaves, display)

    def _rest(self) -> Iterator[Change]:
        arrival, self._arrival = self._arrival, None
        if arrival and arrival.leaves:
            shown = min(arrival.display or arrival.leaves, arrival.leaves)
            yield self._add(arrival.order_id, Shown(arrival.side, arrival.price_ticks, shown))

    def _add(self, order_id: int, shown: Shown) -> Change:
        self.orders[order_id] = shown
        return Change("added", order_id, shown)

    def _show_at_most(self, order_id: int, quantity: int) -> Iterator[Change]:
        """Of an order that has less left it is first what it hides that goes."""
        shown = self.orders[order_id]
        if quantity == 0:
            yield self._remove(order_id)
        elif quantity < shown.quantity:
            self.orders[order_id] = shown._replace(quantity=quantity)
            yield Change("reduced", order_id, self.orders[order_id], shown.quantity - quantity)

    def _remove(self, order_id: int) -> Change:
        shown = self.orders.pop(order_id)
        return Change("removed", order_id, shown._replace(quantity=0), shown.quantity)
