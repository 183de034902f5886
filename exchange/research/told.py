"""Our own order flow as a vendor would tell it: only what happens to resting orders, aggressors unnamed.

A flow is played through the book, and its events become messages: each fill an execution of the maker; what
is left of a new order, if it comes to rest, a new order behind them; an amend that keeps its place a partial
cancel, one that loses it a deletion and a new order. What is refused, or cancelled at once, is not told.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from exchange.flow import FlowPlayer, new_events
from exchange.reasons import Reason
from exchange.research.compiled import entry
from exchange.research.itch import tell
from exchange.research.messages import MESSAGE, MessageType, type_of_rows
from exchange.research.orders import DONE, NEEDS_SLOTS, is_full, leave, new_orders, rest, with_room
from exchange.rows import EventKind
from matching.ladder import at
from matching.orders import Priority
from matching.references import place_of

ACCEPTED, TRADED, CANCELLED = int(EventKind.ACCEPTED), int(EventKind.TRADED), int(EventKind.CANCELLED)
AMENDED, PREVENTED = int(EventKind.AMENDED), int(EventKind.PREVENTED)
KEPT, IMMEDIATE = int(Priority.KEPT), int(Reason.IMMEDIATE_OR_CANCEL)
NEW_ORDER, PARTIAL_CANCEL = int(MessageType.NEW_ORDER), int(MessageType.PARTIAL_CANCEL)
DELETE, EXECUTION = int(MessageType.DELETE), int(MessageType.EXECUTION)
EVENTS_AT_ONCE = 1 << 14
# What `coming` remembers of the order that is arriving: nothing is arriving if it has no leaves.
SEQUENCE, ORDER, SIDE, PRICE, LEAVES, TIME = range(6)


@entry
def tell_events(events, start, times, first, tick, coming, orders, references, rows, filled):
    """Messages of events from `start` on; (why it stopped, at which event, rows filled).

    `times` are those of the commands, the first of which has the sequence `first`. There is room for all rows.
    """
    for index in range(start, events.size):
        event = at(events, index)
        if coming[LEAVES] and event.sequence != coming[SEQUENCE]:
            if is_full(orders):
                return NEEDS_SLOTS, index, filled
            filled = come_to_rest(coming, orders, references, rows, filled)
        kind, order_id = event.kind, event.order_id
        time_ns = times[np.uint64(event.sequence - first)]
        if kind == TRADED:
            place = place_of(references, event.maker_order_id)
            maker = at(orders.slots, at(references.places, place).slot)
            maker.leaves = event.maker_leaves
            tell(
                rows, filled, time_ns, EXECUTION, event.maker_order_id, maker.side, maker.price, event.quantity,
                maker.leaves,
            )  # fmt: skip
            filled += 1
            if maker.leaves == 0:
                leave(orders, references, place)
            coming[LEAVES] = event.leaves
        elif kind == PREVENTED or (kind == CANCELLED and event.reason == IMMEDIATE):
            coming[LEAVES] = 0
        elif kind == CANCELLED:
            place = place_of(references, order_id)
            tell(rows, filled, time_ns, DELETE, order_id, event.side, event.price_ticks * tick, event.quantity, 0)
            filled += 1
            leave(orders, references, place)
        elif kind == AMENDED and event.priority == KEPT:
            order = at(orders.slots, at(references.places, place_of(references, order_id)).slot)
            less, order.leaves = order.leaves - event.quantity, event.quantity
            tell(rows, filled, time_ns, PARTIAL_CANCEL, order_id, order.side, order.price, less, order.leaves)
            filled += 1
        elif kind in (ACCEPTED, AMENDED):
            if kind == AMENDED:
                place = place_of(references, order_id)
                order = at(orders.slots, at(references.places, place).slot)
                tell(rows, filled, time_ns, DELETE, order_id, order.side, order.price, order.leaves, 0)
                filled += 1
                leave(orders, references, place)
            coming[SEQUENCE] = event.sequence
            coming[ORDER] = order_id
            coming[SIDE] = event.side
            coming[PRICE] = event.price_ticks * tick
            coming[LEAVES] = event.quantity
            coming[TIME] = time_ns
    return DONE, events.size, filled


@entry
def come_to_rest(coming, orders, references, rows, filled):
    """What has not traded of the arriving order rests; how many rows are filled then."""
    rest(orders, references, coming[ORDER], coming[PRICE], coming[SIDE], coming[LEAVES])
    tell(
        rows, filled, coming[TIME], NEW_ORDER, coming[ORDER], coming[SIDE], coming[PRICE], coming[LEAVES],
        coming[LEAVES],
    )  # fmt: skip
    coming[LEAVES] = 0
    return filled + 1


class Teller:
    """Tells of flow after flow, the book going on. `tick` is that of the messages in one of the flow's."""

    def __init__(self, tick: int = 1) -> None:
        self.tick = tick
        self.player = FlowPlayer()
        self.orders, self.references = new_orders()
        self.coming = np.zeros(6, np.int64)
        self.played = 0

    def tell(self, commands: type_of_rows, times: type_of_rows) -> Iterator[type_of_rows]:
        """MESSAGE rows of commands, whose `sequence` counts from 0, and of their times, one each.

        The last order of the commands is told with the next ones, or by :meth:`rest`.
        """
        first = self.played
        self.played += commands.size
        for events in self.player.play(commands, new_events(EVENTS_AT_ONCE)):
            rows, filled, index = np.zeros(2 * events.size + 1, MESSAGE), 0, 0
            while True:
                stopped, index, filled = tell_events(
                    events, index, times, first, self.tick, self.coming, self.orders, self.references, rows, filled
                )
                if stopped == DONE:
                    break
                self.orders, self.references = with_room(self.orders, self.references)
            if filled:
                yield rows[:filled]

    def rest(self) -> Iterator[type_of_rows]:
        """The order that has come last, if it rests."""
        if self.coming[LEAVES]:
            if is_full(self.orders):
                self.orders, self.references = with_room(self.orders, self.references)
            rows = np.zeros(1, MESSAGE)
            come_to_rest(self.coming, self.orders, self.references, rows, 0)
            yield rows


def told(parts: Iterable[tuple[type_of_rows, Any]], tick: int = 1) -> Iterator[type_of_rows]:
    """MESSAGE rows of the (commands, times) of a flow."""
    teller = Teller(tick)
    for commands, times in parts:
        yield from teller.tell(commands, times)
    yield from teller.rest()
