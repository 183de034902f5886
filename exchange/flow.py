"""Foreign order flow through the book alone: no balances, no band, no fee; the maker's price.

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
- ``prevented`` where an order of an account meets one of the same: it is cancelled, the older one stays;
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
from matching.book import Book, Cancelled, Fill, Order, Prevented
from matching.ladder import (
    NOBODY,
    PRICE_MAX_TICKS,
    QUANTITY_MAX,
    Ladder,
    at,
    crosses,
    dequeue,
    enqueue,
    find,
    forget,
    free_slot,
    in_window,
    level_of,
    likely_slot,
    look_at,
    next_occupied,
    out_of_reach,
    queue_of,
    take_off,
    take_slot,
)
from matching.orders import Priority, SelfTradePrevention, Side, TimeInForce
from matching.prefetch import prefetch
from matching.references import ABSENT, References, add, home, place_of, remove

inlined = njit(_nrt=False, inline="always")

INSTRUMENT = 1  # a flow is of one instrument
ROOM = 4  # events that a row can cause before it asks for room again
AHEAD = 8  # rows
SLOTS, IDS = 1 << 15, 1 << 22  # room for resting orders and ids at first; memory that is not used costs nothing
ID_GAP_MAX = 1 << 16  # assigned ids may skip so many numbers
SELL = int(Side.SELL)
GTC, DAY = int(TimeInForce.GTC), int(TimeInForce.DAY)
IOC, FOK = int(TimeInForce.IOC), int(TimeInForce.FOK)
PLACE_ORDER = int(CommandKind.PLACE_ORDER)
CANCEL_ORDER, AMEND_ORDER = int(CommandKind.CANCEL_ORDER), int(CommandKind.AMEND_ORDER)
ACCEPTED, TRADED, CANCELLED = int(EventKind.ACCEPTED), int(EventKind.TRADED), int(EventKind.CANCELLED)
REFUSED, CANCEL_REFUSED = int(EventKind.REFUSED), int(EventKind.CANCEL_REFUSED)
AMENDED, AMEND_REFUSED = int(EventKind.AMENDED), int(EventKind.AMEND_REFUSED)
PREVENTED = int(EventKind.PREVENTED)
NONE = int(Reason.NONE)
UNKNOWN_COMMAND, UNKNOWN_ORDER = int(Reason.UNKNOWN_COMMAND), int(Reason.UNKNOWN_ORDER)
ORDER_EXISTS, ORDER_ID_OUT_OF_SEQUENCE = int(Reason.ORDER_EXISTS), int(Reason.ORDER_ID_OUT_OF_SEQUENCE)
INVALID_SIDE, INVALID_TIME_IN_FORCE = int(Reason.INVALID_SIDE), int(Reason.INVALID_TIME_IN_FORCE)
QUANTITY_NOT_POSITIVE, AMOUNT_TOO_LARGE = int(Reason.QUANTITY_NOT_POSITIVE), int(Reason.AMOUNT_TOO_LARGE)
PRICE_NOT_POSITIVE, PRICE_OUT_OF_RANGE = int(Reason.PRICE_NOT_POSITIVE), int(Reason.PRICE_OUT_OF_RANGE)
BY_REQUEST, IMMEDIATE = int(Reason.BY_REQUEST), int(Reason.IMMEDIATE_OR_CANCEL)
SELF_TRADE = int(Reason.SELF_TRADE)
KEPT, LOST = int(Priority.KEPT), int(Priority.LOST)

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
    event.priority = 0


@njit(_nrt=False)
def refuse(ladder, command):
    """The first thing that makes no sense in a new order or an amend, in the order of `Reason`."""
    if command.kind != PLACE_ORDER and command.kind != AMEND_ORDER:
        return UNKNOWN_COMMAND
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
    if out_of_reach(ladder, at(ladder.queues, queue_of(INSTRUMENT, command.side)), command.price_ticks):
        return PRICE_OUT_OF_RANGE
    if command.quantity > QUANTITY_MAX:
        return AMOUNT_TOO_LARGE
    return NONE


@inlined
def may_be_wrong(command):
    """Whether `refuse` must be asked: one test for what is almost always right."""
    return (
        (command.kind == 0)
        | (command.kind > AMEND_ORDER)
        | (command.side > SELL)
        | (command.time_in_force > FOK)
        | (command.quantity <= 0)
        | (command.quantity > QUANTITY_MAX)
        | (command.price_ticks <= 0)
        | (command.price_ticks > PRICE_MAX_TICKS)
    )


@njit(_nrt=False)
def fillable(ladder, opposite, command):
    """Whether a fill-or-kill order would trade in full: nobody trades with an order of their own."""
    limit = level_of(opposite, command.price_ticks)
    found = np.int64(0)
    level = opposite.best
    while level <= limit:
        slot = at(ladder.levels, level).oldest
        while slot:
            order = at(ladder.orders, slot)
            if order.owner == command.account and command.account != 0:
                return False
            found += order.shown
            if found >= command.quantity:
                return True
            slot = order.newer
        level = next_occupied(ladder, level + 1, opposite.end)
    return False


@inlined
def slot_named(ladder, references, assigned, order_id):
    """Slot of the resting order that a row names, and its place in the table; 0 if none."""
    if assigned:
        return find(ladder, order_id), np.int64(ABSENT)
    place = place_of(references, order_id)
    if place == ABSENT:
        return NOBODY, place
    return at(references.places, place).slot, place


@inlined
def leave(ladder, references, assigned, slot, place):
    """An order is gone, and its reference, which stands at `place`, may be used again."""
    if assigned:
        forget(ladder, at(ladder.orders, slot).order_id)
    else:
        remove(references, place)
    free_slot(ladder, slot)


@inlined
def leave_by_trade(ladder, references, assigned, slot):
    """`leave` of an order that no row has named."""
    place = np.int64(ABSENT) if assigned else place_of(references, at(ladder.orders, slot).order_id)
    leave(ladder, references, assigned, slot, place)


@inlined
def lacking_room(ladder, references, assigned, command):
    """Which array might be too small for a new order; DONE if none."""
    pool = ladder.pool[0]
    if pool.free == 0:
        return NEEDS_SLOTS
    if assigned:
        if command.order_id - pool.first_order_id >= ladder.slot_of.size:
            return NEEDS_IDS
    elif 2 * pool.live + 2 > references.places.size:
        return NEEDS_REFERENCES
    return DONE


@inlined
def look_ahead(ladder, references, assigned, commands, index):
    """Fetch into the cache what the rows to come will touch: first where an order is noted, then the order."""
    later = index + 2 * AHEAD
    if later >= commands.size:
        return
    sooner, next_up = at(commands, index + AHEAD), at(commands, index + AHEAD // 2)
    if assigned:
        prefetch(ladder.slot_of, at(commands, later).order_id - ladder.pool[0].first_order_id)
        prefetch(ladder.orders, likely_slot(ladder, sooner.order_id))
        look_at(ladder, likely_slot(ladder, next_up.order_id))
    else:
        prefetch(references.places, home(references, at(commands, later).order_id))
        prefetch(ladder.orders, at(references.places, home(references, sooner.order_id)).slot)
        look_at(ladder, at(references.places, home(references, next_up.order_id)).slot)
    queue = at(ladder.queues, queue_of(np.uint64(INSTRUMENT), np.uint64(next_up.side & 1)))
    prefetch(ladder.levels, level_of(queue, next_up.price_ticks))


@entry
def play_rows(ladder, references, assigned, commands, start, left, events):
    """Play rows from `start` on, of whose first order `left` may still have to trade.

    Returns (why it stopped, first row not played to its end, `left` of that, events written).
    """
    n_events = 0
    pool = ladder.pool[0]
    for index in range(start, commands.size):
        if n_events + ROOM > events.size:
            return NEEDS_EVENTS, index, left, n_events
        look_ahead(ladder, references, assigned, commands, index)
        command = at(commands, index)
        event = at(events, n_events)
        if command.kind == CANCEL_ORDER:
            slot, place = slot_named(ladder, references, assigned, command.order_id)
            n_events += 1
            if slot == 0:
                emit(event, CANCEL_REFUSED, command, 0, 0, 0, UNKNOWN_ORDER)
                continue
            order = at(ladder.orders, slot)
            emit(event, CANCELLED, command, order.price_ticks, order.shown, 0, BY_REQUEST)
            event.side = order.side
            dequeue(ladder, slot)
            leave(ladder, references, assigned, slot, place)
            continue

        own = queue_of(INSTRUMENT, np.int64(command.side))
        slot = NOBODY
        if left == 0:
            if may_be_wrong(command) or not in_window(at(ladder.queues, own), command.price_ticks):
                reason = refuse(ladder, command)
                if reason == NONE:
                    return NEEDS_WINDOW, index, left, n_events
                emit(event, REFUSED, command, command.price_ticks, command.quantity, 0, reason)
                n_events += 1
                continue
            leaves = command.quantity
            slot, place = slot_named(ladder, references, assigned, command.order_id)
            if command.kind == PLACE_ORDER:
                if slot != 0 or (assigned and not 0 <= command.order_id - pool.next_order_id < ID_GAP_MAX):
                    reason = ORDER_EXISTS if slot != 0 else ORDER_ID_OUT_OF_SEQUENCE
                    emit(event, REFUSED, command, command.price_ticks, leaves, 0, reason)
                    n_events += 1
                    continue
                lacking = lacking_room(ladder, references, assigned, command)
                if lacking != DONE:
                    return lacking, index, left, n_events
                pool.next_order_id = command.order_id + 1 if assigned else pool.next_order_id + 1
                emit(event, ACCEPTED, command, command.price_ticks, leaves, leaves, NONE)
                n_events += 1
                if command.time_in_force == FOK and not fillable(ladder, at(ladder.queues, own ^ 1), command):
                    emit(at(events, n_events), CANCELLED, command, command.price_ticks, leaves, 0, IMMEDIATE)
                    n_events += 1
                    continue
            else:
                n_events += 1
                if slot == 0:
                    emit(event, AMEND_REFUSED, command, 0, 0, 0, UNKNOWN_ORDER)
                    continue
                order = at(ladder.orders, slot)
                if command.side != order.side:
                    emit(event, REFUSED, command, command.price_ticks, leaves, 0, INVALID_SIDE)
                    continue
                emit(event, AMENDED, command, command.price_ticks, leaves, leaves, NONE)
                if command.price_ticks == order.price_ticks and leaves < order.shown:
                    event.priority = KEPT
                    take_off(ladder, slot, order.shown - leaves)
                    continue
                event.priority = LOST
                dequeue(ladder, slot)
        else:
            leaves, left = left, np.int64(0)
            if command.kind == AMEND_ORDER:
                slot, place = slot_named(ladder, references, assigned, command.order_id)

        opposite = at(ladder.queues, own ^ 1)
        while leaves and crosses(opposite, command.price_ticks):
            if n_events + ROOM > events.size:
                return NEEDS_EVENTS, index, leaves, n_events
            maker_slot = at(ladder.levels, opposite.best).oldest
            maker = at(ladder.orders, maker_slot)
            quantity = min(leaves, maker.shown)
            event = at(events, n_events)
            n_events += 1
            if maker.owner == command.account and command.account != 0:
                emit(event, PREVENTED, command, maker.price_ticks, quantity, 0, SELF_TRADE)
                event.maker_order_id = maker.order_id
                event.maker_leaves = maker.shown
                leaves = np.int64(0)
                break
            leaves -= quantity
            emit(event, TRADED, command, maker.price_ticks, quantity, leaves, NONE)
            event.maker_order_id = maker.order_id
            event.maker_leaves = maker.shown - quantity
            if quantity == maker.shown:
                dequeue(ladder, maker_slot)
                leave_by_trade(ladder, references, assigned, maker_slot)
            else:
                take_off(ladder, maker_slot, quantity)

        if leaves == 0:
            if slot != 0:
                leave_by_trade(ladder, references, assigned, slot)
            continue
        if command.kind == PLACE_ORDER:
            if command.time_in_force >= IOC:
                emit(at(events, n_events), CANCELLED, command, command.price_ticks, leaves, 0, IMMEDIATE)
                n_events += 1
                continue
            slot = take_slot(ladder)
            order = at(ladder.orders, slot)
            order.order_id = command.order_id
            order.owner = command.account
            order.side = command.side
            if assigned:
                ladder.slot_of[np.uint64(command.order_id - pool.first_order_id)] = slot
            else:
                add(references, command.order_id, slot)
        order = at(ladder.orders, slot)
        order.price_ticks = command.price_ticks
        order.shown = leaves
        enqueue(ladder, slot, own, command.price_ticks)
    return DONE, commands.size, left, n_events


EVENTS_AT_ONCE = 1 << 16


def new_events(rows: int = EVENTS_AT_ONCE) -> type_of_rows:
    """Room for so many event rows."""
    return np.zeros(rows, EVENT)


class FlowPlayer:
    """A book and the room it works in; plays flow after flow, the book going on."""

    def __init__(self, assigned_ids: bool = False) -> None:
        self.assigned_ids = assigned_ids
        self.ladder: Ladder = book_of.new_ladder(instruments=1, slots=SLOTS, ids=IDS)
        self.references: References = references_of.new_references(bits=17)

    def play(self, commands: type_of_rows, events: type_of_rows) -> Iterator[type_of_rows]:
        """Play all rows, writing into `events`; yields the part of it that was filled, each time it is full.

        Each part must be used before the next is asked for, which overwrites it. ValueError if `events` is
        too short for what one row can say at once.
        """
        if events.size < ROOM:
            raise ValueError(f"events must have room for {ROOM} rows at least")
        index, left = 0, 0
        while index < commands.size:
            stopped, index, left, written = play_rows(
                self.ladder, self.references, self.assigned_ids, commands, index, left, events
            )
            if written:
                yield events[:written]
            if stopped != DONE:
                self._make_room(stopped, commands[index])

    def _make_room(self, stopped: int, command: Any) -> None:
        if stopped == NEEDS_SLOTS:
            self.ladder = book_of.with_slots(self.ladder, 2 * self.ladder.orders.size)
        elif stopped == NEEDS_IDS:
            self.ladder = book_of.with_ids(self.ladder)
        elif stopped == NEEDS_REFERENCES:
            self.references = references_of.with_room(self.references)
        elif stopped == NEEDS_WINDOW:
            queue = book_of.queue_index(INSTRUMENT, Side(int(command.side)))
            self.ladder = book_of.with_price(self.ladder, queue, int(command.price_ticks))

    def check(self) -> None:
        """Assert that book and references are sound and agree."""
        book_of.check(self.ladder, numbered=self.assigned_ids)
        if not self.assigned_ids:
            references_of.check(self.references)
            found = dict(references_of.entries(self.references))
            resting = {int(order.order_id) for order in book_of.orders_of(self.ladder, INSTRUMENT)}
            assert set(found) == resting, "references and resting orders disagree"


# ---------------------------------------------------------------- the same, to read


class ReadablePlayer:
    """The specification of :class:`FlowPlayer`: the same rows, the same events, on the readable book."""

    def __init__(self) -> None:
        self.book = Book(reach_ticks=book_of.REACH_TICKS)

    def play(self, commands: type_of_rows) -> Iterator[tuple[int, ...]]:
        """For each event: sequence, kind, order_id, maker_order_id, side, price, quantity, leaves, reason."""
        names = ("sequence", "kind", "order_id", "side", "price_ticks", "quantity", "time_in_force", "account")
        for row in zip(*(commands[name].tolist() for name in names), strict=True):
            yield from self._row(*row)

    def _row(
        self,
        sequence: int,
        kind: int,
        order_id: int,
        side: int,
        price_ticks: int,
        quantity: int,
        time_in_force: int,
        account: int,
    ) -> Iterator[tuple[int, ...]]:
        def said(what: int, about: tuple[int, int, int], reason: int = NONE, of_side: int = side) -> tuple[int, ...]:
            return (sequence, what, order_id, 0, of_side, *about, reason)

        resting = self.book.orders.get(order_id)
        if kind == CANCEL_ORDER:
            if resting is None:
                yield said(CANCEL_REFUSED, (0, 0, 0), UNKNOWN_ORDER)
            else:
                quantity = self.book.cancel(order_id).quantity
                yield said(CANCELLED, (resting.price_ticks, quantity, 0), BY_REQUEST, resting.side)
            return
        wrong = self._refusal(kind, side, price_ticks, quantity, time_in_force, resting)
        if wrong != NONE:
            yield said(REFUSED, (price_ticks, quantity, 0), wrong)
            return
        if kind == PLACE_ORDER:
            yield said(ACCEPTED, (price_ticks, quantity, quantity))
            prevention = SelfTradePrevention.CANCEL_NEWEST
            order = Order(
                order_id,
                Side(side),
                price_ticks,
                quantity,
                TimeInForce(time_in_force),
                self_trade=prevention,
                group=account,
            )
            happened = self.book.submit(order)
        elif resting is None:
            yield said(AMEND_REFUSED, (0, 0, 0), UNKNOWN_ORDER)
            return
        else:
            yield said(AMENDED, (price_ticks, quantity, quantity))
            happened = self.book.amend(order_id, price_ticks, quantity)
        for step in happened:
            if isinstance(step, Fill):
                yield self._met(TRADED, sequence, side, step)
            elif isinstance(step, Prevented):
                yield self._met(PREVENTED, sequence, side, step, SELF_TRADE)
            elif isinstance(step, Cancelled):
                yield said(CANCELLED, (price_ticks, step.quantity, 0), IMMEDIATE)

    @staticmethod
    def _met(kind: int, sequence: int, side: int, step: Fill | Prevented, reason: int = NONE) -> tuple[int, ...]:
        return (
            sequence, kind, step.taker, step.maker, side, step.price_ticks, step.quantity, step.taker_leaves, reason,
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
            (PRICE_OUT_OF_RANGE, side in (0, 1) and not self._in_reach(Side(side), price_ticks)),
            (AMOUNT_TOO_LARGE, quantity > QUANTITY_MAX),
            (ORDER_EXISTS, kind == PLACE_ORDER and resting is not None),
            (INVALID_SIDE, kind == AMEND_ORDER and resting is not None and side != resting.side),
        )
        return next((reason for reason, holds in faults if holds), NONE)

    def _in_reach(self, side: Side, price_ticks: int) -> bool:
        """Whether a further order could stand at a price; its number is none that a row can name."""
        return self.book.in_reach(Order(1 << 64, side, price_ticks, 1))


def warm_up() -> None:
    """Load the machine code from disk, or compile it."""
    for _ in FlowPlayer().play(np.zeros(1, COMMAND), new_events(ROOM)):
        pass
