"""Foreign order flow through the book alone: no accounts, no band, no fee; the maker's price.

Rows are command rows whose `order_id` is the flow's own reference of an order: any 64-bit number in any
order, free again once its order is gone. With `assigned_ids` it is instead the number that an exchange
would have given: 1, 2, 3 ... in the order of the new orders, so that no table has to be asked.

:func:`play` is the compiled way, :func:`play_readably` the same on :class:`matching.book.Book`. Both say,
for each row in order,

- ``accepted`` for a valid new order, then ``traded`` for each fill, then ``cancelled`` for what an IOC or
  FOK leaves;
- ``cancelled`` or ``cancel_refused`` for a cancel;
- ``amended`` (before the trades it causes) or ``amend_refused`` for an amend: less quantity at the same
  price keeps its place in the queue, anything else loses it;
- ``refused`` with its reason for a row that makes no sense, which changes nothing.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit

from exchange.compiled import entry
from exchange.reasons import Reason
from exchange.rows import COMMAND, EVENT, CommandKind, EventKind, type_of_rows
from matching import ladder as book_of
from matching import references as references_of
from matching.book import Book, Fill, Order
from matching.ladder import (
    REACH_TICKS,
    Ladder,
    best_opposite,
    crosses,
    forget,
    in_window,
    link,
    oldest_at,
    take_off,
    tradable,
)
from matching.orders import Side, TimeInForce
from matching.prefetch import prefetch
from matching.references import ABSENT, References, add, home, place_of, remove

inlined = njit(_nrt=False, inline="always")

INSTRUMENT = 1  # a flow is of one instrument
QUANTITY_MAX = 1 << 53  # tonnes of an order: no sum of a level's quantities can wrap before 512 such orders
AHEAD = 8  # rows
PRICE_MAX_TICKS = 1 << 48  # far below what stands for "no price" in the ladder
ID_GAP_MAX = 1 << 16  # assigned ids may skip so many numbers
SELL = int(Side.SELL)
GTC, DAY = int(TimeInForce.GTC), int(TimeInForce.DAY)
IOC, FOK = int(TimeInForce.IOC), int(TimeInForce.FOK)
PLACE_ORDER = int(CommandKind.PLACE_ORDER)
CANCEL_ORDER, AMEND_ORDER = int(CommandKind.CANCEL_ORDER), int(CommandKind.AMEND_ORDER)
ACCEPTED, TRADED, CANCELLED = int(EventKind.ACCEPTED), int(EventKind.TRADED), int(EventKind.CANCELLED)
REFUSED, CANCEL_REFUSED = int(EventKind.REFUSED), int(EventKind.CANCEL_REFUSED)
AMENDED, AMEND_REFUSED = int(EventKind.AMENDED), int(EventKind.AMEND_REFUSED)
NONE = int(Reason.NONE)
UNKNOWN_COMMAND, UNKNOWN_ORDER = int(Reason.UNKNOWN_COMMAND), int(Reason.UNKNOWN_ORDER)
ORDER_EXISTS, ORDER_ID_OUT_OF_SEQUENCE = int(Reason.ORDER_EXISTS), int(Reason.ORDER_ID_OUT_OF_SEQUENCE)
INVALID_SIDE, INVALID_TIME_IN_FORCE = int(Reason.INVALID_SIDE), int(Reason.INVALID_TIME_IN_FORCE)
QUANTITY_NOT_POSITIVE, AMOUNT_TOO_LARGE = int(Reason.QUANTITY_NOT_POSITIVE), int(Reason.AMOUNT_TOO_LARGE)
PRICE_NOT_POSITIVE, PRICE_OUT_OF_RANGE = int(Reason.PRICE_NOT_POSITIVE), int(Reason.PRICE_OUT_OF_RANGE)
BY_REQUEST, IMMEDIATE_OR_CANCEL = int(Reason.BY_REQUEST), int(Reason.IMMEDIATE_OR_CANCEL)

# Why the loop stopped.
DONE, NEEDS_EVENTS, NEEDS_SLOTS, NEEDS_IDS, NEEDS_WINDOW, NEEDS_REFERENCES = range(6)


# ---------------------------------------------------------------- the compiled loop


@inlined
def emit(event, kind, command, price_ticks, quantity, leaves, reason):
    """Write an event about the order that a row names."""
    event.sequence = command.sequence
    event.order_id = command.order_id
    event.maker_order_id = 0
    event.maker_leaves = 0
    event.price_ticks = price_ticks
    event.quantity = quantity
    event.leaves = leaves
    event.kind = kind
    event.side = command.side
    event.reason = reason


@inlined
def refuse(command, book):
    """The first thing that makes no sense in a new order or an amend, in the order of `Reason`."""
    if command.side > SELL:
        return INVALID_SIDE
    if command.time_in_force > FOK:
        return INVALID_TIME_IN_FORCE
    if command.quantity <= 0:
        return QUANTITY_NOT_POSITIVE
    if command.price_ticks <= 0:
        return PRICE_NOT_POSITIVE
    if command.price_ticks > PRICE_MAX_TICKS:
        return PRICE_OUT_OF_RANGE
    if book.reference_ticks and abs(command.price_ticks - book.reference_ticks) > REACH_TICKS:
        return PRICE_OUT_OF_RANGE
    if command.quantity > QUANTITY_MAX:
        return AMOUNT_TOO_LARGE
    return NONE


@inlined
def slot_named(ladder, references, assigned, order_id):
    """Slot of the resting order that a row names, and its place in the table; 0 if none."""
    if assigned:
        return book_of.find(ladder, order_id), np.int64(ABSENT)
    place = place_of(references, order_id)
    if place == ABSENT:
        return np.int64(0), place
    return references.places[place].slot, place


@inlined
def leave(ladder, references, assigned, order_id):
    """An order rests no more."""
    if assigned:
        forget(ladder, order_id)
    else:
        remove(references, place_of(references, order_id))


@inlined
def arrive(ladder, references, assigned, book, command, time_in_force, events, n_events):
    """Match an order, then rest or cancel what is left."""
    leaves = command.quantity
    if time_in_force == FOK and tradable(ladder, book, command.side, command.price_ticks, leaves) < leaves:
        emit(events[n_events], CANCELLED, command, command.price_ticks, leaves, 0, IMMEDIATE_OR_CANCEL)
        return n_events + 1
    while leaves and crosses(book, command.side, command.price_ticks):
        price_ticks = best_opposite(book, command.side)
        slot = oldest_at(ladder, book, price_ticks)
        maker = ladder.orders[slot]
        quantity = min(leaves, maker.leaves)
        leaves -= quantity
        emit(events[n_events], TRADED, command, price_ticks, quantity, leaves, NONE)
        events[n_events].maker_order_id = maker.order_id
        events[n_events].maker_leaves = maker.leaves - quantity
        n_events += 1
        take_off(ladder, book, slot, quantity)
        if maker.leaves == 0:
            leave(ladder, references, assigned, maker.order_id)
    if leaves and time_in_force >= IOC:
        emit(events[n_events], CANCELLED, command, command.price_ticks, leaves, 0, IMMEDIATE_OR_CANCEL)
        n_events += 1
    elif leaves:
        slot = link(
            ladder, book, INSTRUMENT, command.order_id, command.side, time_in_force, 0, command.price_ticks, leaves, 0
        )
        if assigned:
            ladder.slot_of[command.order_id - ladder.pool[0].first_order_id] = slot
        else:
            add(references, command.order_id, slot)
    return n_events


@inlined
def lacking_room(ladder, references, assigned, command, n_events, events):
    """Which array might be too small for this row; DONE if none."""
    pool = ladder.pool[0]
    if events.size - n_events < pool.live + 2:
        return NEEDS_EVENTS
    if command.kind != PLACE_ORDER:
        return DONE
    if pool.free == 0:
        return NEEDS_SLOTS
    if assigned:
        if pool.next_order_id + ID_GAP_MAX - pool.first_order_id > ladder.slot_of.size:
            return NEEDS_IDS
    elif 2 * pool.live + 2 > references.places.size:
        return NEEDS_REFERENCES
    return DONE


@inlined
def look_ahead(ladder, references, assigned, commands, index):
    """Fetch into the cache what the rows to come will touch: first the place of a reference, then its order."""
    later = index + 2 * AHEAD
    if assigned or later >= commands.size:
        return
    prefetch(references.places, home(references, commands[later].order_id))
    sooner = commands[index + AHEAD]
    if sooner.kind != PLACE_ORDER:
        prefetch(ladder.orders, references.places[home(references, sooner.order_id)].slot)


@entry
def play_rows(ladder, references, assigned, commands, start, events):
    """Play rows from `start` on; returns (why it stopped, first row not played, events written)."""
    n_events = 0
    book = ladder.books[INSTRUMENT]
    pool = ladder.pool[0]
    for index in range(start, commands.size):
        look_ahead(ladder, references, assigned, commands, index)
        command = commands[index]
        lacking = lacking_room(ladder, references, assigned, command, n_events, events)
        if lacking != DONE:
            return lacking, index, n_events
        event = events[n_events]
        if command.kind == CANCEL_ORDER:
            slot, place = slot_named(ladder, references, assigned, command.order_id)
            if slot == 0:
                emit(event, CANCEL_REFUSED, command, 0, 0, 0, UNKNOWN_ORDER)
            else:
                order = ladder.orders[slot]
                emit(event, CANCELLED, command, order.price_ticks, order.leaves, 0, BY_REQUEST)
                event.side = order.side
                take_off(ladder, book, slot, order.leaves)
                if assigned:
                    forget(ladder, command.order_id)
                else:
                    remove(references, place)
            n_events += 1
            continue
        if command.kind != PLACE_ORDER and command.kind != AMEND_ORDER:
            emit(event, REFUSED, command, command.price_ticks, command.quantity, 0, UNKNOWN_COMMAND)
            n_events += 1
            continue
        reason = refuse(command, book)
        if reason != NONE:
            emit(event, REFUSED, command, command.price_ticks, command.quantity, 0, reason)
            n_events += 1
            continue
        slot, place = slot_named(ladder, references, assigned, command.order_id)
        if command.kind == PLACE_ORDER:
            reason = ORDER_EXISTS if slot != 0 else NONE
            if reason == NONE and assigned and not 0 <= command.order_id - pool.next_order_id < ID_GAP_MAX:
                reason = ORDER_ID_OUT_OF_SEQUENCE
            if reason != NONE:
                emit(event, REFUSED, command, command.price_ticks, command.quantity, 0, reason)
                n_events += 1
                continue
            if not in_window(book, command.price_ticks):
                return NEEDS_WINDOW, index, n_events
            if book.reference_ticks == 0:
                book.reference_ticks = command.price_ticks
            pool.next_order_id = command.order_id + 1 if assigned else pool.next_order_id + 1
            emit(event, ACCEPTED, command, command.price_ticks, command.quantity, command.quantity, NONE)
            n_events = arrive(ladder, references, assigned, book, command, command.time_in_force, events, n_events + 1)
            continue
        if slot == 0:
            emit(event, AMEND_REFUSED, command, 0, 0, 0, UNKNOWN_ORDER)
            n_events += 1
            continue
        order = ladder.orders[slot]
        if command.side != order.side:
            emit(event, REFUSED, command, command.price_ticks, command.quantity, 0, INVALID_SIDE)
            n_events += 1
            continue
        if not in_window(book, command.price_ticks):
            return NEEDS_WINDOW, index, n_events
        emit(event, AMENDED, command, command.price_ticks, command.quantity, command.quantity, NONE)
        n_events += 1
        if command.price_ticks == order.price_ticks and command.quantity < order.leaves:
            take_off(ladder, book, slot, order.leaves - command.quantity)
        else:
            time_in_force = order.time_in_force
            take_off(ladder, book, slot, order.leaves)
            if assigned:
                forget(ladder, command.order_id)
            else:
                remove(references, place)
            n_events = arrive(ladder, references, assigned, book, command, time_in_force, events, n_events)
    return DONE, commands.size, n_events


EVENTS_AT_ONCE = 1 << 16


def new_events(rows: int = EVENTS_AT_ONCE) -> type_of_rows:
    """Room for so many event rows."""
    return np.zeros(rows, EVENT)


class FlowPlayer:
    """A book and the room it works in; plays flow after flow, the book going on."""

    def __init__(self, assigned_ids: bool = False) -> None:
        self.assigned_ids = assigned_ids
        self.ladder: Ladder = book_of.new_ladder(instruments=1, ids=4 * ID_GAP_MAX)
        self.references: References = references_of.new_references()

    def play(self, commands: type_of_rows, events: type_of_rows) -> Iterator[type_of_rows]:
        """Play all rows, writing into `events`; yields the part of it that was filled, each time it is full.

        Each part must be used before the next is asked for, which overwrites it.
        """
        index = 0
        while index < commands.size:
            stopped, index, written = play_rows(
                self.ladder, self.references, self.assigned_ids, commands, index, events
            )
            if written:
                yield events[:written]
            if stopped != DONE:
                events = self._make_room(stopped, commands[index], events, written)

    def _make_room(self, stopped: int, command: Any, events: type_of_rows, written: int) -> type_of_rows:
        if stopped == NEEDS_EVENTS and not written:
            return np.zeros(2 * int(self.ladder.pool[0].live) + 2, EVENT)
        if stopped == NEEDS_SLOTS:
            self.ladder = book_of.with_slots(self.ladder, 2 * self.ladder.orders.size)
        elif stopped == NEEDS_IDS:
            self.ladder = book_of.with_ids(self.ladder)
        elif stopped == NEEDS_REFERENCES:
            self.references = references_of.with_room(self.references)
        elif stopped == NEEDS_WINDOW:
            self.ladder = book_of.with_price(self.ladder, INSTRUMENT, int(command.price_ticks))
        return events

    def check(self) -> None:
        """Assert that book and references are sound and agree."""
        book_of.check(self.ladder, numbered=self.assigned_ids)
        if not self.assigned_ids:
            references_of.check(self.references)
            found = dict(references_of.entries(self.references))
            resting = {int(order.order_id) for order in book_of.resting(self.ladder, INSTRUMENT)}
            assert set(found) == resting, "references and resting orders disagree"


# ---------------------------------------------------------------- the same, to read


class ReadablePlayer:
    """The specification of :class:`FlowPlayer`: the same rows, the same events, on the readable book."""

    def __init__(self) -> None:
        self.book = Book()
        self.reference_ticks = 0

    def play(self, commands: type_of_rows) -> Iterator[tuple[int, ...]]:
        """For each event: sequence, kind, order_id, maker_order_id, side, price, quantity, leaves, reason."""
        names = ("sequence", "kind", "order_id", "side", "price_ticks", "quantity", "time_in_force")
        for row in zip(*(commands[name].tolist() for name in names), strict=True):
            yield from self._row(*row)

    def _row(
        self, sequence: int, kind: int, order_id: int, side: int, price_ticks: int, quantity: int, time_in_force: int
    ) -> Iterator[tuple[int, ...]]:
        def said(what: int, about: tuple[int, int, int], reason: int = NONE, of_side: int = side) -> tuple[int, ...]:
            return (sequence, what, order_id, 0, of_side, *about, reason)

        resting = self.book.orders.get(order_id)
        if kind == CANCEL_ORDER:
            if resting is None:
                yield said(CANCEL_REFUSED, (0, 0, 0), UNKNOWN_ORDER)
            else:
                self.book.cancel(order_id)
                yield said(CANCELLED, (resting.price_ticks, resting.leaves, 0), BY_REQUEST, resting.side)
            return
        wrong = self._refusal(kind, side, price_ticks, quantity, time_in_force, resting)
        if wrong != NONE:
            yield said(REFUSED, (price_ticks, quantity, 0), wrong)
            return
        if kind == PLACE_ORDER:
            yield said(ACCEPTED, (price_ticks, quantity, quantity))
            self.reference_ticks = self.reference_ticks or price_ticks
            order = Order(order_id, Side(side), price_ticks, quantity, TimeInForce(time_in_force))
            fills = self.book.submit(order)
        elif resting is None:
            yield said(AMEND_REFUSED, (0, 0, 0), UNKNOWN_ORDER)
            return
        else:
            yield said(AMENDED, (price_ticks, quantity, quantity))
            order = resting
            fills = self.book.amend(order_id, price_ticks, quantity)
        yield from (self._trade(sequence, side, fill) for fill in fills)
        if order.leaves and order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            yield said(CANCELLED, (price_ticks, order.leaves, 0), IMMEDIATE_OR_CANCEL)

    @staticmethod
    def _trade(sequence: int, side: int, fill: Fill) -> tuple[int, ...]:
        return (
            sequence, TRADED, fill.taker, fill.maker, side, fill.price_ticks, fill.quantity, fill.taker_leaves, NONE,
        )  # fmt: skip

    def _refusal(
        self, kind: int, side: int, price_ticks: int, quantity: int, time_in_force: int, resting: Order | None
    ) -> int:
        faults = (
            (UNKNOWN_COMMAND, kind not in (PLACE_ORDER, AMEND_ORDER)),
            (INVALID_SIDE, side not in (0, 1)),
            (INVALID_TIME_IN_FORCE, time_in_force not in (GTC, DAY, IOC, FOK)),
            (QUANTITY_NOT_POSITIVE, quantity <= 0),
            (PRICE_NOT_POSITIVE, price_ticks <= 0),
            (PRICE_OUT_OF_RANGE, price_ticks > PRICE_MAX_TICKS),
            (PRICE_OUT_OF_RANGE, self.reference_ticks and abs(price_ticks - self.reference_ticks) > REACH_TICKS),
            (AMOUNT_TOO_LARGE, quantity > QUANTITY_MAX),
            (ORDER_EXISTS, kind == PLACE_ORDER and resting is not None),
            (INVALID_SIDE, kind == AMEND_ORDER and resting is not None and side != resting.side),
        )
        return next((reason for reason, holds in faults if holds), NONE)


def warm_up() -> None:
    """Load the machine code from disk, or compile it."""
    for _ in FlowPlayer().play(np.zeros(1, COMMAND), new_events(2)):
        pass
