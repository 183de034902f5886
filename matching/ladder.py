"""The book compiled: a ladder of price levels, a FIFO of order slots at each, a bitmap of occupied levels.

How it works
------------
An instrument has four *queues* of orders: bids and asks, and outside the book the sell and buy stops that
wait for a trade to reach them. A queue is a window of ``levels``, one row a tick, **best price first**:
the level of a price is ``origin + sign * price``, where the sign of bids and sell stops (highest first) is
-1. So *better* is always a smaller level, whichever way an order goes: the best level of a queue is one
integer, the next best is found by scanning upwards, and nothing here asks whether somebody buys or sells.

Orders live in recycled slots of ``orders``; a level names its oldest and newest slot, and each order names
its older and newer neighbour. ``words`` has a bit per level and ``summary`` a bit per word: the next
occupied price is one or two bit scans away. ``slot_of`` finds an order's slot by arithmetic on its id,
since the exchange numbers orders in sequence.

All queues share the arrays; a window is a multiple of 4,096 levels long, so that no word or summary word
is shared. Slot 0, order 0 and instrument 0 are nobody. Slot 0 is also where a neighbour's link is written
when there is no neighbour: that costs less than asking.

What it leaves to others: whether an order may come in, who pays, what is said about it. Its plain twin
is :class:`matching.book.Book`.

A window that must widen moves behind all others and doubles; what it leaves behind lies idle until the
array is full. Python does that when a loop has stopped for it, never a loop.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from matching.bits import highest_bit, lowest_bit
from matching.orders import Side
from matching.prefetch import prefetch

inlined = njit(_nrt=False, inline="always")

type_of_rows = np.ndarray[Any, np.dtype[Any]]

NOBODY = np.uint32(0)  # the slot of no order
NO_LEVEL = 1 << 62  # worse than any level
WINDOW_STEP = 4096  # levels: one summary word
LEVELS = 1 << 20  # room for levels at first; memory that is not used costs nothing
FIRST_WINDOW = 16 * WINDOW_STEP
REACH_TICKS = 1 << 25  # the prices of one queue lie within so many ticks
PRICE_MAX_TICKS = 1 << 40
QUANTITY_MAX = 1 << 40  # tonnes of an order: no sum of a level's quantities can wrap

QUEUES = 4  # of an instrument: bids, asks, sell stops, buy stops
STOPS = 2  # added to the queue of the book that moves towards them
SIGNS = (-1, 1, -1, 1)

QUEUE = np.dtype(
    (
        np.record,
        [
            ("best", "i8"),  # level of the best price, or NO_LEVEL
            ("origin", "i8"),  # level of a price = origin + sign x price
            ("sign", "i8"),  # -1: the highest price is the best; 1: the lowest
            ("first", "i8"),  # the window's levels: from here
            ("end", "i8"),  # to before here
        ],
    )
)
LEVEL = np.dtype(
    (
        np.record,
        [
            ("quantity", "i8"),  # sum of what its orders show and hide, tCO2e
            ("oldest", "u4"),  # slot first in the queue
            ("newest", "u4"),  # slot last in the queue
        ],
    )
)
ORDER = np.dtype(  # 64 bytes: one line of the cache
    (
        np.record,
        [
            ("order_id", "i8"),
            ("price_ticks", "i8"),  # limit
            ("shown", "i8"),  # what of its leaves stands in the queue, tCO2e
            ("fee_rest", "i8"),  # what its fees so far were rounded down by, millionths of a fen: the caller's
            ("hidden", "i4"),  # what an iceberg holds back
            ("display", "i4"),  # slice that an iceberg shows; 0: no iceberg
            ("older", "u4"),  # slot one place ahead in the queue
            ("newer", "u4"),  # slot one place behind; of a free slot: the next free one
            ("level", "u4"),  # where it stands
            ("owner", "u4"),  # whoever the caller says
            ("queue", "u2"),  # which it stands in
            ("last_day", "u2"),  # of its life, days since 1970: the caller's
            ("side", "u1"),  # matching.orders.Side
            ("time_in_force", "u1"),  # matching.orders.TimeInForce
            ("self_trade", "u1"),  # matching.orders.SelfTradePrevention: the caller's
            ("terms", "u1"),  # the caller's
        ],
    )
)
POOL = np.dtype(
    (
        np.record,
        [
            ("live", "i8"),  # slots in use
            ("next_order_id", "i8"),
            ("first_order_id", "i8"),  # the id whose slot is slot_of[0]
            ("free", "u4"),  # a free slot; 0: none
        ],
    )
)


class Ladder(NamedTuple):
    """The books of all instruments: arrays only, so that kernels take it as one argument."""

    queues: type_of_rows  # (4 x (instruments + 1),) QUEUE
    levels: type_of_rows  # (sum of windows,) LEVEL
    words: type_of_rows  # (levels / 64,) u8, a bit per level
    summary: type_of_rows  # (words / 64,) u8, a bit per word
    orders: type_of_rows  # (slots + 1,) ORDER
    slot_of: type_of_rows  # (ids,) u4, slot of order first_order_id + i; 0: not resting
    pool: type_of_rows  # (1,) POOL


# ---------------------------------------------------------------- where


@inlined
def at(rows, index):
    """Row `index` >= 0 of an array; unsigned, or the machine asks each time whether to count from the end."""
    return rows[np.uint64(index)]


@inlined
def queue_of(instrument, side):
    """Index of the queue in which an order of this side rests; `^ 1` is the one that it meets."""
    return instrument * QUEUES + side


@inlined
def stop_queue_of(instrument, side):
    """Index of the queue in which a stop order of this side waits: a sell stop for the price to fall."""
    return instrument * QUEUES + STOPS + (1 - side)


@inlined
def level_of(queue, price_ticks):
    """Level of a price, inside the window or not."""
    return queue.origin + queue.sign * price_ticks


@inlined
def price_of(queue, level):
    """Price in ticks of a level."""
    return (level - queue.origin) * queue.sign


@inlined
def in_window(queue, price_ticks):
    """Whether the window has a level for this price."""
    return queue.first <= level_of(queue, price_ticks) < queue.end


@inlined
def crosses(opposite, limit_ticks):
    """Whether an order of this limit would trade with the best of the opposite queue."""
    return opposite.best <= level_of(opposite, limit_ticks)


@inlined
def find(ladder, order_id):
    """Slot of a resting order; 0 if there is none of this id."""
    index = order_id - ladder.pool[0].first_order_id
    if 0 <= index < ladder.slot_of.size:
        return ladder.slot_of[np.uint64(index)]
    return NOBODY


@inlined
def likely_slot(ladder, order_id):
    """Slot of a resting order, to look ahead; any slot if there is none of this id.

    Unlike `find` it does not branch: half the rows of a batch name no order, and the machine can't guess which.
    """
    index = np.uint64(order_id - ladder.pool[0].first_order_id)
    return at(ladder.slot_of, index if index < np.uint64(ladder.slot_of.size) else np.uint64(0))


@inlined
def next_occupied(ladder, level, end):
    """Nearest occupied level from one on, before `end`; NO_LEVEL if none."""
    if level >= end:
        return NO_LEVEL
    word = level >> 6
    bits = ladder.words[np.uint64(word)] & (~np.uint64(0) << np.uint64(level & 63))
    if bits != np.uint64(0):
        return (word << 6) + lowest_bit(bits)
    return _first_after(ladder.words, ladder.summary, word, end)


@njit(_nrt=False)
def _first_after(words, summary, word, end):
    """Nearest occupied level in a later word."""
    group = word >> 6
    bits = summary[np.uint64(group)] & ((~np.uint64(0) << np.uint64(word & 63)) << np.uint64(1))
    while bits == np.uint64(0):
        group += 1
        if group << 12 >= end:
            return NO_LEVEL
        bits = summary[np.uint64(group)]
    word = (group << 6) + lowest_bit(bits)
    return (word << 6) + lowest_bit(words[np.uint64(word)])


@njit(_nrt=False)
def worst_occupied(ladder, queue):
    """The last occupied level of a queue; NO_LEVEL if it is empty."""
    group = (queue.end >> 12) - 1
    while group >= queue.first >> 12:
        bits = ladder.summary[np.uint64(group)]
        if bits != np.uint64(0):
            word = (group << 6) + highest_bit(bits)
            return (word << 6) + highest_bit(ladder.words[np.uint64(word)])
        group -= 1
    return NO_LEVEL


@njit(_nrt=False)
def out_of_reach(ladder, queue, price_ticks):
    """Whether a price lies too far from others of its queue. A window never reaches further than that."""
    if in_window(queue, price_ticks) or queue.best == NO_LEVEL:
        return False
    level = level_of(queue, price_ticks)
    return max(worst_occupied(ladder, queue), level) - min(queue.best, level) >= REACH_TICKS


# ---------------------------------------------------------------- coming and going


@inlined
def take_slot(ladder):
    """A free slot, now in use; there must be one."""
    pool = ladder.pool[0]
    slot = pool.free
    pool.free = at(ladder.orders, slot).newer
    pool.live += 1
    return slot


@inlined
def free_slot(ladder, slot):
    """The order of a slot is gone."""
    pool = ladder.pool[0]
    at(ladder.orders, slot).newer = pool.free
    pool.free = slot
    pool.live -= 1


@inlined
def enqueue(ladder, slot, queue_index, price_ticks):
    """Put an order at the back of a price's queue. The window has a level for the price."""
    order = at(ladder.orders, slot)
    queue = at(ladder.queues, queue_index)
    level_index = level_of(queue, price_ticks)
    level = at(ladder.levels, level_index)
    newest = level.newest
    order.level = level_index
    order.queue = queue_index
    order.older = newest
    order.newer = 0
    at(ladder.orders, newest).newer = slot
    level.newest = slot
    level.oldest = slot if newest == 0 else level.oldest
    level.quantity += order.shown + order.hidden
    queue.best = min(queue.best, level_index)
    word = level_index >> 6
    ladder.words[np.uint64(word)] |= np.uint64(1) << np.uint64(level_index & 63)
    ladder.summary[np.uint64(word >> 6)] |= np.uint64(1) << np.uint64(word & 63)


@inlined
def _unlink(ladder, order, level):
    """Close the gap that an order leaves in its queue."""
    older, newer = order.older, order.newer
    at(ladder.orders, older).newer = newer
    at(ladder.orders, newer).older = older
    level.oldest = newer if older == 0 else level.oldest
    level.newest = older if newer == 0 else level.newest


@inlined
def vacate(ladder, queue_index, level_index):
    """Mark a level as empty; if it was the best, find the next."""
    word = level_index >> 6
    bits = ladder.words[np.uint64(word)] & ~(np.uint64(1) << np.uint64(level_index & 63))
    ladder.words[np.uint64(word)] = bits
    if bits == np.uint64(0):
        ladder.summary[np.uint64(word >> 6)] &= ~(np.uint64(1) << np.uint64(word & 63))
    queue = at(ladder.queues, queue_index)
    if level_index == queue.best:
        queue.best = next_occupied(ladder, level_index + 1, queue.end)


@inlined
def dequeue(ladder, slot):
    """Take an order out of its queue; the slot stays in use."""
    order = at(ladder.orders, slot)
    level = at(ladder.levels, order.level)
    level.quantity -= order.shown + order.hidden
    _unlink(ladder, order, level)
    if level.oldest == 0:
        vacate(ladder, order.queue, order.level)


@inlined
def take_off(ladder, slot, quantity):
    """Take `quantity` off what a resting order shows. If nothing is left of that, the caller dequeues it."""
    order = at(ladder.orders, slot)
    order.shown -= quantity
    at(ladder.levels, order.level).quantity -= quantity


@inlined
def forget(ladder, order_id):
    """An order is gone: its id finds nothing any more."""
    ladder.slot_of[np.uint64(order_id - ladder.pool[0].first_order_id)] = 0


@inlined
def look_at(ladder, slot):
    """Fetch into the cache what taking an order out of its queue will touch; its own row is there already."""
    order = at(ladder.orders, slot)
    prefetch(ladder.orders, order.older)
    prefetch(ladder.orders, order.newer)
    prefetch(ladder.levels, order.level)


@njit(_nrt=False)
def worst_price_for(ladder, opposite, wanted):
    """Price in ticks of the last level that an order without a limit would reach; 0 if there is none."""
    level = opposite.best
    if level == NO_LEVEL:
        return np.int64(0)
    found = at(ladder.levels, level).quantity
    while found < wanted:
        later = next_occupied(ladder, level + 1, opposite.end)
        if later == NO_LEVEL:
            break
        level = later
        found += at(ladder.levels, level).quantity
    return price_of(opposite, level)


# ---------------------------------------------------------------- making and widening


def new_ladder(instruments: int = 0, slots: int = 1024, ids: int = 4096) -> Ladder:
    """An empty ladder with room for `slots` resting orders and `ids` order ids."""
    pool = np.zeros(1, POOL)
    pool[0].next_order_id = pool[0].first_order_id = 1
    ladder = Ladder(
        queues=np.zeros(0, QUEUE),
        levels=np.zeros(LEVELS, LEVEL),
        words=np.zeros(LEVELS >> 6, np.uint64),
        summary=np.zeros(LEVELS >> 12, np.uint64),
        orders=np.zeros(1, ORDER),
        slot_of=np.zeros(ids, np.uint32),
        pool=pool,
    )
    ladder = with_slots(ladder, slots)
    for _ in range(instruments + 1):  # nobody's too
        ladder = with_instrument(ladder)
    return ladder


def with_instrument(ladder: Ladder) -> Ladder:
    """The ladder with one more instrument, whose windows are empty."""
    added = np.zeros(QUEUES, QUEUE)
    added["best"] = NO_LEVEL
    added["sign"] = SIGNS
    added["first"] = added["end"] = ladder.queues["end"].max(initial=0)
    queues = np.zeros(ladder.queues.size + QUEUES, QUEUE)
    queues[: ladder.queues.size] = ladder.queues
    queues[ladder.queues.size :] = added
    return ladder._replace(queues=queues)


def with_slots(ladder: Ladder, slots: int) -> Ladder:
    """The ladder with room for `slots` resting orders."""
    known = ladder.orders.size
    orders = np.zeros(slots + 1, ORDER)
    orders[:known] = ladder.orders
    # The new slots are handed out lowest first, before those that were free already.
    orders["newer"][known:] = np.arange(known + 1, slots + 2)
    orders["newer"][slots] = ladder.pool[0].free
    ladder.pool[0].free = known
    return ladder._replace(orders=orders)


def with_ids(ladder: Ladder) -> Ladder:
    """The ladder with room for more order ids, as many again: those below the oldest resting one are let go."""
    pool = ladder.pool[0]
    taken = ladder.slot_of != 0
    oldest = int(taken.argmax())
    skip = oldest if taken[oldest] else int(pool.next_order_id - pool.first_order_id)
    kept = ladder.slot_of[skip:]
    used = int(pool.next_order_id - pool.first_order_id) - skip
    slot_of = np.zeros(max(ladder.slot_of.size, 2 * used), np.uint32)
    slot_of[: kept.size] = kept
    pool.first_order_id += skip
    return ladder._replace(slot_of=slot_of)


def with_price(ladder: Ladder, queue_index: int, price_ticks: int) -> Ladder:
    """The ladder with a window of a queue that covers its orders and a further price, which is not out of reach.

    The window is at least twice as long as what it must cover, with as much room on either side; an empty
    queue's is laid about the price. So a market may drift as far as it likes.
    """
    queue = ladder.queues[queue_index]
    level = int(queue.origin) + int(queue.sign) * price_ticks
    best, worst = level, level
    if queue.best != NO_LEVEL:
        best, worst = min(int(queue.best), level), max(int(_occupied_in(ladder, queue)[-1]), level)
    covered = worst - best + 1
    levels = max(FIRST_WINDOW, min(-(-2 * covered // WINDOW_STEP) * WINDOW_STEP, REACH_TICKS))
    if int(ladder.queues["end"].max()) + levels > ladder.levels.size:
        return with_price(_with_levels(ladder, levels), queue_index, price_ticks)
    return _moved(ladder, queue_index, best - (levels - covered) // 2, levels)


def _with_levels(ladder: Ladder, needed: int) -> Ladder:
    """The ladder with room for a further window, its windows moved together."""
    lengths = ladder.queues["end"] - ladder.queues["first"]
    room = int(lengths.sum()) + needed
    wider = ladder._replace(
        levels=np.zeros(4 * room, LEVEL),
        words=np.zeros(4 * room >> 6, np.uint64),
        summary=np.zeros(4 * room >> 12, np.uint64),
        queues=ladder.queues.copy(),
    )
    end = 0
    for queue_index in np.argsort(ladder.queues["first"], kind="stable").tolist():
        _move(ladder, wider, queue_index, end)
        end += int(lengths[queue_index])
        wider.queues[queue_index].end = end
    return wider


def _moved(ladder: Ladder, queue_index: int, first: int, levels: int) -> Ladder:
    """The ladder, a queue's window now being what were `levels` levels from `first` on, behind all others."""
    end = int(ladder.queues["end"].max())
    moved = ladder._replace(queues=ladder.queues.copy())
    queue = moved.queues[queue_index]
    queue.first = first
    _move(ladder, moved, queue_index, end)
    queue.end = end + levels
    queue = ladder.queues[queue_index]
    moved.words[int(queue.first) >> 6 : int(queue.end) >> 6] = 0
    moved.summary[int(queue.first) >> 12 : int(queue.end) >> 12] = 0
    return moved


def _move(old: Ladder, new: Ladder, queue_index: int, first: int) -> None:
    """Move what a queue holds to where its window begins at level `first`."""
    was, queue = old.queues[queue_index], new.queues[queue_index]
    shift = first - int(queue.first)
    queue.first = first
    queue.origin += shift
    if was.best == NO_LEVEL:
        return
    queue.best += shift
    occupied = _occupied_in(old, was)
    here = occupied + shift
    best, worst = int(occupied[0]), int(occupied[-1])
    # As raw bytes: NumPy copies records field by field.
    new.levels[best + shift : worst + shift + 1].view(np.uint8)[:] = old.levels[best : worst + 1].view(np.uint8)
    np.bitwise_or.at(new.words, here >> 6, np.uint64(1) << (here & 63).astype(np.uint64))
    np.bitwise_or.at(new.summary, here >> 12, np.uint64(1) << (here >> 6 & 63).astype(np.uint64))
    standing = np.flatnonzero(new.orders["queue"] == queue_index)
    new.orders["level"][standing] += np.uint32(shift & 0xFFFFFFFF)


def _occupied(words: type_of_rows) -> type_of_rows:
    """The levels whose bit is set."""
    (full,) = words.nonzero()
    (bits,) = _bits_of(words[full]).nonzero()
    occupied: type_of_rows = full[bits >> 6] * 64 + (bits & 63)
    return occupied


def _occupied_in(ladder: Ladder, queue: Any) -> type_of_rows:
    """The occupied levels of a queue's window, best price first."""
    first, end = int(queue.first), int(queue.end)
    return first + _occupied(ladder.words[first >> 6 : end >> 6])


# ---------------------------------------------------------------- reading


def queue_index(instrument: int, side: Side) -> int:
    """Row of `queues` where a side of an instrument's book stands."""
    return instrument * QUEUES + side


def price_at(queue: Any, level: int) -> int:
    """Price in ticks of a level of a queue."""
    return (level - int(queue.origin)) * int(queue.sign)


def is_resting(ladder: Ladder, order_id: int) -> bool:
    """Whether an order is in a book, or waits for its stop price."""
    index = order_id - int(ladder.pool[0].first_order_id)
    return 0 <= index < ladder.slot_of.size and bool(ladder.slot_of[index])


def orders_at(ladder: Ladder, level: int) -> Iterator[Any]:
    """The order rows of a level, oldest first."""
    slot = int(ladder.levels[level].oldest)
    while slot:
        order = ladder.orders[slot]
        yield order
        slot = int(order.newer)


def levels_of(ladder: Ladder, queue_index: int) -> Iterator[int]:
    """The occupied levels of a queue, best price first."""
    queue = ladder.queues[queue_index]
    if queue["best"] != NO_LEVEL:
        yield from _occupied_in(ladder, queue).tolist()


def depth(ladder: Ladder, queue_index: int) -> list[tuple[int, int]]:
    """(price_ticks, quantity) of a queue's levels, best first; what icebergs hide is counted."""
    queue = ladder.queues[queue_index]
    return [(price_at(queue, at), int(ladder.levels[at].quantity)) for at in levels_of(ladder, queue_index)]


def orders_in(ladder: Ladder, queue_index: int) -> Iterator[Any]:
    """The order rows of a queue by price-time priority."""
    for level in levels_of(ladder, queue_index):
        yield from orders_at(ladder, level)


def orders_of(ladder: Ladder, instrument: int) -> Iterator[Any]:
    """All order rows of an instrument: bids, asks, sell stops, buy stops, each by price-time priority."""
    for queue_index in range(instrument * QUEUES, (instrument + 1) * QUEUES):
        yield from orders_in(ladder, queue_index)


def best_price(ladder: Ladder, instrument: int, side: Side) -> int | None:
    """Best price of a side of the book in ticks; None if it is empty."""
    queue = ladder.queues[queue_index(instrument, side)]
    return None if queue.best == NO_LEVEL else price_at(queue, int(queue.best))


def is_crossed(ladder: Ladder, instrument: int) -> bool:
    """Whether the best bid meets the best ask, as it may in a call auction."""
    bid, ask = (best_price(ladder, instrument, side) for side in Side)
    return bid is not None and ask is not None and bid >= ask


def check(ladder: Ladder, numbered: bool = True) -> None:
    """Assert that every structure of the ladder agrees with every other; `numbered`: its ids find its orders.

    Python follows the links from slot to slot, and NumPy asks the rest of all orders at once.
    """
    levels, orders, pool = ladder.levels, ladder.orders, ladder.pool[0]
    newer = orders["newer"].tolist()
    found: list[int] = []  # occupied levels
    queues: list[int] = []  # of each of them
    ends: list[int] = []  # how many orders stand on it and on all before it
    slots: list[int] = []  # of all orders, level by level, oldest first
    for queue_index, (best, _, _, first, end) in enumerate(ladder.queues.tolist()):
        assert first % WINDOW_STEP == end % WINDOW_STEP == 0, "a window shares a summary word"
        if best == NO_LEVEL:
            continue  # a bit that is set in its window nevertheless is noticed below
        occupied = (first + _occupied(ladder.words[first >> 6 : end >> 6])).tolist()
        assert best == min(occupied, default=NO_LEVEL), "best price"
        for level in occupied:
            slots += _linked(newer, int(levels["oldest"][level]))
            ends.append(len(slots))
        found += occupied
        queues += [queue_index] * len(occupied)
    assert sorted(found) == _occupied(ladder.words).tolist(), "bitmap and queues disagree"
    assert (_bits_of(ladder.summary) == (ladder.words != 0)).all(), "summary and words disagree"
    assert pool.live == len(slots), "count of live orders"
    assert not numbered or np.count_nonzero(ladder.slot_of) == len(slots), "ids of orders that do not rest"
    free = len(_linked(newer, int(pool.free)))
    assert free + len(slots) == orders.size - 1, "a slot is neither in use nor free"
    if found:
        _check_orders(ladder, np.array(found), np.array(queues), np.array(ends), np.array(slots), numbered)


def _linked(newer: list[int], slot: int) -> list[int]:
    """A slot and all that follow it."""
    found = []
    while slot:
        found.append(slot)
        assert len(found) < len(newer), "queue links"
        slot = newer[slot]
    return found


def _check_orders(
    ladder: Ladder,
    found: type_of_rows,
    queues: type_of_rows,
    ends: type_of_rows,
    slots: type_of_rows,
    numbered: bool,
) -> None:
    """Assert that the orders on the levels found, in their queues, are what and where they say they are."""
    counts = np.diff(ends, prepend=0)
    assert (counts > 0).all(), "a level of no orders"
    rows, standing = ladder.orders[slots], ladder.levels[found]
    level, queue_index = np.repeat(found, counts), np.repeat(queues, counts)
    assert (rows["level"] == level).all() and (rows["queue"] == queue_index).all(), "order off its level"
    older = np.concatenate([[0], slots[:-1]])
    older[ends - counts] = 0
    assert (rows["older"] == older).all(), "queue links"
    assert (standing["newest"] == slots[ends - 1]).all(), "newest"
    queue = ladder.queues[queue_index]
    off = rows["price_ticks"] != (level - queue["origin"]) * queue["sign"]
    assert not (off & (queue_index % QUEUES < STOPS)).any(), "order off its price"
    assert (rows["shown"] > 0).all() and (rows["hidden"] >= 0).all(), "an order of nothing"
    assert not ((rows["shown"] > rows["display"]) & (rows["display"] != 0)).any(), "an iceberg shows too much"
    assert (standing["quantity"] == np.add.reduceat(rows["shown"] + rows["hidden"], ends - counts)).all(), (
        "level quantity"
    )
    if numbered:
        index = rows["order_id"] - ladder.pool[0].first_order_id
        assert (ladder.slot_of[index] == slots).all(), "an id finds another order"


def _bits_of(words: type_of_rows) -> type_of_rows:
    """The bits of 64-bit words as zeros and ones, lowest bit first."""
    return np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little")
