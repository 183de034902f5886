"""The book compiled: a ladder of price levels, a FIFO of order slots at each, a bitmap of occupied levels.

How it works
------------
Every price of an instrument's window is one row of ``levels``; a price holds bids or asks, never
both, so one ladder serves both sides and ``best_bid`` < ``best_ask`` always. Orders live in recycled
slots of ``orders``; a level names its oldest and newest slot, and each order names its older and newer
neighbour. ``words`` has a bit per level and ``summary`` a bit per word: the next occupied price is one
or two bit scans away. ``slot_of`` finds an order's slot by arithmetic on its id, since the exchange
numbers orders in sequence.

All instruments share the arrays; an instrument's window begins at ``books[i].first_level`` and is a
multiple of 4,096 levels long, so that no word or summary word is shared. Slot 0, order 0 and
instrument 0 are nobody.

What it leaves to others: whether an order may come in, who pays, what is said about it. Its plain twin
is :class:`matching.book.Book`.

Still not pretty: widening a window copies the arrays of all instruments. It is rare (the window
doubles) and happens between two commands, never inside one.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from matching.bits import highest_bit, lowest_bit
from matching.orders import Side

inlined = njit(_nrt=False, inline="always")

type_of_rows = np.ndarray[Any, np.dtype[Any]]

BUY = int(Side.BUY)
NO_BID = -(1 << 62)  # lower than any price
NO_ASK = 1 << 62  # higher than any price
NO_LEVEL = -1
WINDOW_STEP = 4096  # levels: one summary word
REACH_TICKS = 1 << 21  # a price further than this from the reference price is refused

BOOK = np.dtype(
    (
        np.record,
        [
            ("best_bid", "i8"),  # ticks, or NO_BID
            ("best_ask", "i8"),  # ticks, or NO_ASK
            ("low_ticks", "i8"),  # price of the window's first level
            ("first_level", "i8"),  # row of `levels` where the window begins
            ("window", "i8"),  # levels in the window
            ("reference_ticks", "i8"),  # prices must lie within REACH_TICKS of it; 0: none yet
        ],
    )
)
LEVEL = np.dtype(
    (
        np.record,
        [
            ("quantity", "i8"),  # sum of leaves, tCO2e
            ("oldest", "i4"),  # slot first in the queue
            ("newest", "i4"),  # slot last in the queue
        ],
    )
)
ORDER = np.dtype(
    (
        np.record,
        [
            ("order_id", "i8"),
            ("price_ticks", "i8"),
            ("leaves", "i8"),  # quantity still to trade, tCO2e
            ("turnover", "i8"),  # sum of price x quantity traded so far, fen: the caller's, for fees
            ("owner", "u4"),  # whoever the caller says
            ("older", "i4"),  # slot one place ahead in the queue
            ("newer", "i4"),  # slot one place behind; of a free slot: the next free one
            ("instrument", "u2"),
            ("side", "u1"),
            ("time_in_force", "u1"),
        ],
    )
)
POOL = np.dtype(
    (
        np.record,
        [
            ("free", "i8"),  # a free slot; 0: none
            ("live", "i8"),  # resting orders
            ("next_order_id", "i8"),
            ("first_order_id", "i8"),  # the id whose slot is slot_of[0]
        ],
    )
)


class Ladder(NamedTuple):
    """The books of all instruments: arrays only, so that kernels take it as one argument."""

    books: type_of_rows  # (instruments + 1,) BOOK
    levels: type_of_rows  # (sum of windows,) LEVEL
    words: type_of_rows  # (levels / 64,) u8, a bit per level
    summary: type_of_rows  # (words / 64,) u8, a bit per word
    orders: type_of_rows  # (slots,) ORDER
    slot_of: type_of_rows  # (ids,) i4, slot of order first_order_id + i; 0: not resting
    pool: type_of_rows  # (1,) POOL


# ---------------------------------------------------------------- the kernels


@inlined
def level_of(book, price_ticks):
    """Row of `levels` that holds a price of the window."""
    return book.first_level + price_ticks - book.low_ticks


@inlined
def in_window(book, price_ticks):
    """Whether the window has a level for this price."""
    return book.low_ticks <= price_ticks < book.low_ticks + book.window


@inlined
def find(ladder, order_id):
    """Slot of a resting order; 0 if there is none of this id."""
    index = order_id - ladder.pool[0].first_order_id
    if 0 <= index < ladder.slot_of.size:
        return np.int64(ladder.slot_of[index])
    return np.int64(0)


@inlined
def occupy(ladder, level):
    """Mark a level as holding orders."""
    word = level >> 6
    ladder.words[word] |= np.uint64(1) << np.uint64(level & 63)
    ladder.summary[word >> 6] |= np.uint64(1) << np.uint64(word & 63)


@inlined
def vacate(ladder, level):
    """Mark a level as empty."""
    word = level >> 6
    ladder.words[word] &= ~(np.uint64(1) << np.uint64(level & 63))
    if ladder.words[word] == np.uint64(0):
        ladder.summary[word >> 6] &= ~(np.uint64(1) << np.uint64(word & 63))


@njit(_nrt=False)
def occupied_above(ladder, level, end):
    """Nearest occupied level above one, below `end`; NO_LEVEL if none."""
    word = level >> 6
    bits = ladder.words[word] & (~np.uint64(1) << np.uint64(level & 63))
    if bits != np.uint64(0):
        return (word << 6) + lowest_bit(bits)
    group = word >> 6
    bits = ladder.summary[group] & (~np.uint64(1) << np.uint64(word & 63))
    while bits == np.uint64(0):
        group += 1
        if group << 12 >= end:
            return NO_LEVEL
        bits = ladder.summary[group]
    word = (group << 6) + lowest_bit(bits)
    return (word << 6) + lowest_bit(ladder.words[word])


@njit(_nrt=False)
def occupied_below(ladder, level, start):
    """Nearest occupied level below one, not below `start`; NO_LEVEL if none."""
    word = level >> 6
    bits = ladder.words[word] & ((np.uint64(1) << np.uint64(level & 63)) - np.uint64(1))
    if bits != np.uint64(0):
        return (word << 6) + highest_bit(bits)
    group = word >> 6
    bits = ladder.summary[group] & ((np.uint64(1) << np.uint64(word & 63)) - np.uint64(1))
    while bits == np.uint64(0):
        group -= 1
        if group << 12 < start:
            return NO_LEVEL
        bits = ladder.summary[group]
    word = (group << 6) + highest_bit(bits)
    return (word << 6) + highest_bit(ladder.words[word])


@inlined
def best_opposite(book, side):
    """Best price in ticks that an order of this side meets; NO_ASK or NO_BID if none."""
    return book.best_ask if side == BUY else book.best_bid


@inlined
def crosses(book, side, limit_ticks):
    """Whether an order of this side and limit would trade now."""
    if side == BUY:
        return book.best_ask <= limit_ticks
    return book.best_bid >= limit_ticks


@inlined
def step_away(ladder, book, side, level):
    """The best price of `side` was emptied at `level`: move to the next one."""
    if side == BUY:
        below = occupied_below(ladder, level, book.first_level)
        book.best_bid = NO_BID if below == NO_LEVEL else book.low_ticks + below - book.first_level
    else:
        above = occupied_above(ladder, level, book.first_level + book.window)
        book.best_ask = NO_ASK if above == NO_LEVEL else book.low_ticks + above - book.first_level


@inlined
def unlink(ladder, book, order, level_index):
    """Take an order out of its queue and close the gap."""
    level = ladder.levels[level_index]
    if order.older:
        ladder.orders[order.older].newer = order.newer
    else:
        level.oldest = order.newer
    if order.newer:
        ladder.orders[order.newer].older = order.older
    else:
        level.newest = order.older
    if level.oldest == 0:
        vacate(ladder, level_index)
        if order.price_ticks == (book.best_bid if order.side == BUY else book.best_ask):
            step_away(ladder, book, order.side, level_index)


@inlined
def take_off(ladder, book, slot, quantity):
    """Take `quantity` off a resting order; an order of nothing leaves the book and frees its slot."""
    order = ladder.orders[slot]
    level_index = level_of(book, order.price_ticks)
    ladder.levels[level_index].quantity -= quantity
    order.leaves -= quantity
    if order.leaves == 0:
        unlink(ladder, book, order, level_index)
        pool = ladder.pool[0]
        order.newer = pool.free
        pool.free = slot
        pool.live -= 1


@inlined
def forget(ladder, order_id):
    """The order does not rest any more."""
    ladder.slot_of[order_id - ladder.pool[0].first_order_id] = 0


@inlined
def reduce(ladder, book, slot, quantity):
    """`take_off` for orders that the exchange numbers."""
    take_off(ladder, book, slot, quantity)
    if ladder.orders[slot].leaves == 0:
        forget(ladder, ladder.orders[slot].order_id)


@inlined
def link(ladder, book, instrument, order_id, side, time_in_force, owner, price_ticks, leaves, turnover):
    """Put an order at the back of its price's queue; returns its slot. The window and the pool have room."""
    pool = ladder.pool[0]
    slot = pool.free
    order = ladder.orders[slot]
    pool.free = order.newer
    pool.live += 1
    level_index = level_of(book, price_ticks)
    level = ladder.levels[level_index]

    order.order_id = order_id
    order.price_ticks = price_ticks
    order.leaves = leaves
    order.turnover = turnover
    order.owner = owner
    order.older = level.newest
    order.newer = 0
    order.instrument = instrument
    order.side = side
    order.time_in_force = time_in_force

    if level.newest:
        ladder.orders[level.newest].newer = slot
    else:
        level.oldest = slot
        occupy(ladder, level_index)
        if side == BUY:
            book.best_bid = max(book.best_bid, price_ticks)
        else:
            book.best_ask = min(book.best_ask, price_ticks)
    level.newest = slot
    level.quantity += leaves
    return slot


@inlined
def rest(ladder, book, instrument, order_id, side, time_in_force, owner, price_ticks, leaves, turnover):
    """`link` for orders that the exchange numbers."""
    slot = link(ladder, book, instrument, order_id, side, time_in_force, owner, price_ticks, leaves, turnover)
    ladder.slot_of[order_id - ladder.pool[0].first_order_id] = slot


@njit(_nrt=False)
def tradable(ladder, book, side, limit_ticks, wanted):
    """How much of `wanted` an order of this side and limit would trade at once."""
    if not crosses(book, side, limit_ticks):
        return np.int64(0)
    found = np.int64(0)
    level = level_of(book, best_opposite(book, side))
    while True:
        found += ladder.levels[level].quantity
        if found >= wanted:
            return np.int64(wanted)
        if side == BUY:
            level = occupied_above(ladder, level, book.first_level + book.window)
        else:
            level = occupied_below(ladder, level, book.first_level)
        if level == NO_LEVEL:
            return found
        price_ticks = book.low_ticks + level - book.first_level
        if (price_ticks > limit_ticks) if side == BUY else (price_ticks < limit_ticks):
            return found


@inlined
def oldest_at(ladder, book, price_ticks):
    """Slot first in the queue at a price."""
    return np.int64(ladder.levels[level_of(book, price_ticks)].oldest)


# ---------------------------------------------------------------- making and widening


def new_ladder(instruments: int = 0, slots: int = 1024, ids: int = 4096) -> Ladder:
    """An empty ladder with room for `slots` resting orders and `ids` order ids."""
    pool = np.zeros(1, POOL)
    pool[0].next_order_id = pool[0].first_order_id = 1
    ladder = Ladder(
        books=np.zeros(1, BOOK),
        levels=np.zeros(0, LEVEL),
        words=np.zeros(0, np.uint64),
        summary=np.zeros(0, np.uint64),
        orders=np.zeros(1, ORDER),
        slot_of=np.zeros(ids, np.int32),
        pool=pool,
    )
    ladder = with_slots(ladder, slots)
    for _ in range(instruments):
        ladder = with_instrument(ladder)
    return ladder


def with_instrument(ladder: Ladder) -> Ladder:
    """The ladder with one more instrument, whose window is empty."""
    known = ladder.books.size
    books = np.zeros(known + 1, BOOK)
    books[:known] = ladder.books
    books[known].best_bid, books[known].best_ask = NO_BID, NO_ASK
    books[known].first_level = ladder.levels.size
    return ladder._replace(books=books)


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
    resting = np.flatnonzero(ladder.slot_of)
    skip = int(resting[0]) if resting.size else int(pool.next_order_id - pool.first_order_id)
    kept = ladder.slot_of[skip:]
    used = int(pool.next_order_id - pool.first_order_id) - skip
    slot_of = np.zeros(max(ladder.slot_of.size, 2 * used), np.int32)
    slot_of[: kept.size] = kept
    pool.first_order_id += skip
    return ladder._replace(slot_of=slot_of)


def with_price(ladder: Ladder, instrument: int, price_ticks: int) -> Ladder:
    """The ladder with a window of `instrument` that covers its resting orders and a further price.

    The window doubles at least. What it covers out of reach of the day's reference price is let go: no order
    rests there, and a window that kept every price ever seen would outgrow the memory.
    """
    book = ladder.books[instrument]
    reference_ticks = int(book.reference_ticks)
    low, high = int(book.low_ticks), int(book.low_ticks + book.window) - 1
    if reference_ticks:
        low, high = max(low, reference_ticks - REACH_TICKS), min(high, reference_ticks + REACH_TICKS)
    is_empty = book.best_bid == NO_BID and book.best_ask == NO_ASK
    slack = (high - low + 1) // 2
    if low > high or (is_empty and not reference_ticks):
        low, high = price_ticks - WINDOW_STEP // 2, price_ticks + WINDOW_STEP // 2
    elif price_ticks < low:
        low = price_ticks - slack
    else:
        high = price_ticks + slack
    levels = -(-(high - low + 1) // WINDOW_STEP) * WINDOW_STEP
    return _with_windows(ladder, {instrument: (low, levels)})


def _with_windows(ladder: Ladder, changed: dict[int, tuple[int, int]]) -> Ladder:
    """The ladder laid out anew, some instruments with another (low_ticks, levels)."""
    books = ladder.books.copy()
    first = 0
    for instrument in range(1, books.size):
        book = books[instrument]
        low, levels = changed.get(instrument, (int(book.low_ticks), int(book.window)))
        book.first_level, book.low_ticks, book.window = first, low, levels
        first += levels
    wider_levels = np.zeros(first, LEVEL)
    for instrument in range(1, books.size):
        old, new = ladder.books[instrument], books[instrument]
        low = max(int(old.low_ticks), int(new.low_ticks))
        end = min(int(old.low_ticks + old.window), int(new.low_ticks + new.window))
        if low < end:
            here, there = int(old.first_level + low - old.low_ticks), int(new.first_level + low - new.low_ticks)
            wider_levels[there : there + end - low] = ladder.levels[here : here + end - low]
    words = _words_of(wider_levels["oldest"] != 0)
    return ladder._replace(books=books, levels=wider_levels, words=words, summary=_words_of(words != 0))


def _words_of(bits: type_of_rows) -> type_of_rows:
    """Zeros and ones as 64-bit words, lowest bit first; the reverse of `_bits_of`."""
    return np.packbits(bits, bitorder="little").view("<u8").astype(np.uint64)


# ---------------------------------------------------------------- reading


def is_resting(ladder: Ladder, order_id: int) -> bool:
    """Whether an order is in a book."""
    index = order_id - int(ladder.pool[0].first_order_id)
    return 0 <= index < ladder.slot_of.size and bool(ladder.slot_of[index])


def queue(ladder: Ladder, level: int) -> Iterator[Any]:
    """The order rows of a level, oldest first."""
    slot = int(ladder.levels[level].oldest)
    while slot:
        order = ladder.orders[slot]
        yield order
        slot = int(order.newer)


def side_levels(ladder: Ladder, instrument: int, side: Side) -> Iterator[int]:
    """Rows of `levels` of one side, best price first."""
    book = ladder.books[instrument]
    first = int(book.first_level)
    best = first + int(book.best_bid if side == Side.BUY else book.best_ask) - int(book.low_ticks)
    words = ladder.words[first >> 6 : (first + int(book.window)) >> 6]
    occupied = np.flatnonzero(words).tolist()
    for word in reversed(occupied) if side == Side.BUY else occupied:
        bits = [bit for bit in range(64) if int(words[word]) >> bit & 1]
        for bit in reversed(bits) if side == Side.BUY else bits:
            level = first + (word << 6) + bit
            if level <= best if side == Side.BUY else level >= best:
                yield level


def resting(ladder: Ladder, instrument: int) -> Iterator[Any]:
    """All order rows of an instrument: bids then asks, each by price-time priority."""
    for side in Side:
        for level in side_levels(ladder, instrument, side):
            yield from queue(ladder, level)


def check(ladder: Ladder, numbered: bool = True) -> None:
    """Assert that every structure of the ladder agrees with every other; `numbered`: its ids find its orders."""
    live = 0
    for instrument in range(1, ladder.books.size):
        book = ladder.books[instrument]
        bids, asks = (list(side_levels(ladder, instrument, side)) for side in Side)
        price = {level: int(book.low_ticks + level - book.first_level) for level in bids + asks}
        assert book.best_bid == (price[bids[0]] if bids else NO_BID), "best bid"
        assert book.best_ask == (price[asks[0]] if asks else NO_ASK), "best ask"
        assert book.best_bid < book.best_ask, "the book is crossed"
        start, end = int(book.first_level), int(book.first_level + book.window)
        marked = start + np.flatnonzero(_bits_of(ladder.words[start >> 6 : end >> 6]))
        assert marked.tolist() == sorted(bids + asks), "bitmap and queues disagree"
        for level in bids + asks:
            older = 0
            quantity = 0
            for order in queue(ladder, level):
                slot = int(ladder.orders[order.newer].older) if order.newer else int(ladder.levels[level].newest)
                assert ladder.orders[slot].order_id == order.order_id, "queue links"
                assert not numbered or find(ladder, int(order.order_id)) == slot, "an id finds another order"
                assert order.price_ticks == price[level] and order.instrument == instrument, "order off its level"
                assert order.leaves > 0 and order.older == older, "queue links"
                older = slot
                quantity += int(order.leaves)
                live += 1
            assert ladder.levels[level].newest == older, "newest"
            assert ladder.levels[level].quantity == quantity, "level quantity"
    assert (_bits_of(ladder.summary) == (ladder.words != 0)).all(), "summary and words disagree"
    assert ladder.pool[0].live == live, "count of live orders"
    assert not numbered or np.count_nonzero(ladder.slot_of) == live, "ids of orders that do not rest"


def _bits_of(words: type_of_rows) -> type_of_rows:
    """The bits of 64-bit words as zeros and ones, lowest bit first."""
    return np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little")
