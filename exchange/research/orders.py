"""Which orders rest, followed message by message: what each has left, and where a flow contradicts itself.

Vendors that name an order only by its reference (ITCH, Databento) say its price and side once; and even
where a message says all (LOBSTER), only who follows the orders knows what a partial cancel leaves. Orders
are kept while they rest and no longer, so that a day takes the memory of its fullest moment.

:func:`follow` fills in the `leaves` of message rows. An order that nobody has placed is *older* than the
window: its leaves are unknown, and so is its place in the queue. A file that shows the best levels only
does not say what is cancelled deeper; there an order may be deleted that has less than we know of.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from exchange.research.compiled import entry
from exchange.research.messages import ABOUT_AN_ORDER, UNKNOWN_LEAVES, MessageType, type_of_rows
from matching import references as references_of
from matching.ladder import at
from matching.prefetch import prefetch
from matching.references import ABSENT, References, add, home, place_of, remove

inlined = njit(_nrt=False, inline="always")

AHEAD = 8  # rows
NEW_ORDER, PARTIAL_CANCEL = int(MessageType.NEW_ORDER), int(MessageType.PARTIAL_CANCEL)
DELETE, EXECUTION = int(MessageType.DELETE), int(MessageType.EXECUTION)
LAST_ABOUT_AN_ORDER = int(max(ABOUT_AN_ORDER))

RESTING = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("price", "i8"),
                ("leaves", "i8"),
                ("filled", "i8"),  # of the leaves: executed, but not yet taken off (Databento)
                ("next_free", "u4"),
                ("side", "u1"),
            ],
            align=True,
        ),
    )
)

# Why a loop stopped. Whatever is not one of the first three is a fault of the file.
DONE, NEEDS_SLOTS, NEEDS_ROOM = 0, 1, 2
ALREADY_RESTS, UNKNOWN_ORDER, OTHER_PRICE, OTHER_SIDE, TAKES_TOO_MUCH, LEAVES_SOMETHING, TAKES_ALL = range(3, 10)
CONTRADICTIONS = {
    ALREADY_RESTS: "places an order that rests already",
    UNKNOWN_ORDER: "names an order that does not rest",
    OTHER_PRICE: "names an order that was placed at another price",
    OTHER_SIDE: "names an order that was placed on the other side",
    TAKES_TOO_MUCH: "takes more than the order has",
    LEAVES_SOMETHING: "deletes less than the order has",
    TAKES_ALL: "takes all that the order has: that is no partial cancel",
}


class Orders(NamedTuple):
    """The orders that rest. Arrays only, so that loops take them as one argument."""

    slots: type_of_rows  # (n + 1,) RESTING; slot 0 is nobody's
    pool: type_of_rows  # (2,) i8: a free slot (0: none), orders that rest


def new_orders(slots: int = 1 << 15) -> tuple[Orders, References]:
    """Nobody rests; room for `slots` orders."""
    orders = Orders(np.zeros(1, RESTING), np.zeros(2, np.int64))
    return with_slots(orders, slots), references_of.new_references(bits=(2 * slots).bit_length())


def with_slots(orders: Orders, slots: int) -> Orders:
    """The same orders with room for `slots`."""
    known = orders.slots.size
    wider = np.zeros(slots + 1, RESTING)
    wider[:known] = orders.slots
    wider["next_free"][known:] = np.arange(known + 1, slots + 2)
    wider["next_free"][slots] = orders.pool[0]
    orders.pool[0] = known
    return orders._replace(slots=wider)


def with_room(orders: Orders, references: References) -> tuple[Orders, References]:
    """The same orders with room for twice as many."""
    return with_slots(orders, 2 * (orders.slots.size - 1)), references_of.with_room(references)


@inlined
def rest(orders, references, order_id, price, side, size):
    """An order comes to rest; there is a free slot."""
    slot = orders.pool[0]
    order = at(orders.slots, slot)
    orders.pool[0] = order.next_free
    orders.pool[1] += 1
    order.price = price
    order.side = side
    order.leaves = size
    order.filled = 0
    add(references, order_id, slot)


@inlined
def leave(orders, references, place):
    """The order whose reference stands at `place` is gone."""
    slot = at(references.places, place).slot
    at(orders.slots, slot).next_free = orders.pool[0]
    orders.pool[0] = slot
    orders.pool[1] -= 1
    remove(references, place)


@inlined
def is_full(orders):
    """Whether the next order needs more room."""
    return orders.pool[0] == 0


@inlined
def contradiction(message, order):
    """What is wrong with a message that takes size off an order; DONE if nothing."""
    if message.price != order.price:
        return OTHER_PRICE
    if message.side != order.side:
        return OTHER_SIDE
    if message.quantity > order.leaves:
        return TAKES_TOO_MUCH
    if message.kind == DELETE and message.quantity != order.leaves:
        return LEAVES_SOMETHING
    if message.kind == PARTIAL_CANCEL and message.quantity == order.leaves:
        return TAKES_ALL
    return DONE


@entry
def follow(messages, start, orders, references, whole):
    """Fill in the leaves of messages from `start` on; (why it stopped, at which message).

    `whole`: every message about an order is there.
    """
    for index in range(start, messages.size):
        if index + AHEAD < messages.size:
            prefetch(references.places, home(references, at(messages, index + AHEAD).order_id))
        message = at(messages, index)
        kind = message.kind
        if kind > LAST_ABOUT_AN_ORDER:
            message.leaves = 0
            continue
        place = place_of(references, message.order_id)
        if kind == NEW_ORDER:
            if place != ABSENT:
                return ALREADY_RESTS, index
            if is_full(orders):
                return NEEDS_SLOTS, index
            rest(orders, references, message.order_id, message.price, message.side, message.quantity)
            message.leaves = message.quantity
            continue
        if place == ABSENT:
            message.leaves = UNKNOWN_LEAVES
            continue
        order = at(orders.slots, at(references.places, place).slot)
        wrong = contradiction(message, order)
        if wrong == LEAVES_SOMETHING and not whole:
            order.leaves = message.quantity
        elif wrong != DONE:
            return wrong, index
        order.leaves -= message.quantity
        message.leaves = order.leaves
        if order.leaves == 0:
            leave(orders, references, place)
    return DONE, messages.size


class Follower:
    """The orders of one flow, told of its messages part by part."""

    def __init__(self, whole: bool) -> None:
        self.whole = whole  # every message about an order is there
        self.orders, self.references = new_orders()

    def follow(self, messages: type_of_rows) -> tuple[int, str] | None:
        """Fill in the leaves of the messages; the index of the first that makes no sense, and why, if there is one."""
        stopped, index = follow(messages, 0, self.orders, self.references, self.whole)
        while stopped == NEEDS_SLOTS:
            self.widen()
            stopped, index = follow(messages, index, self.orders, self.references, self.whole)
        return None if stopped == DONE else (int(index), CONTRADICTIONS[int(stopped)])

    def widen(self) -> None:
        """Make room for twice as many orders."""
        self.orders, self.references = with_room(self.orders, self.references)

    @property
    def resting(self) -> int:
        """How many orders rest."""
        return int(self.orders.pool[1])

    def entries(self) -> Any:
        """(order id, price, side, leaves) of all that rest."""
        for order_id, slot in references_of.entries(self.references):
            order = self.orders.slots[slot]
            yield order_id, int(order.price), int(order.side), int(order.leaves)
