"""The compiled ladder against lists: queues by price and time, windows that move, slots and ids that run out."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from matching import ladder as book_of
from matching.bits import highest_bit, lowest_bit
from matching.ladder import (
    NO_LEVEL,
    QUEUES,
    REACH_TICKS,
    SIGNS,
    WINDOW_STEP,
    at,
    crosses,
    dequeue,
    enqueue,
    find,
    forget,
    free_slot,
    in_window,
    new_ladder,
    next_occupied,
    out_of_reach,
    take_off,
    take_slot,
    worst_occupied,
    worst_price_for,
)
from matching.orders import Side

pytestmark = pytest.mark.kernels

LOW_FIRST, HIGH_FIRST = 5, 4  # asks and bids of instrument 1
INSTRUMENTS = 2


# ---------------------------------------------------------------- the verbs of the ladder, as Python calls them


@njit(_nrt=False)
def put(ladder, queue_index, price_ticks, shown, hidden):
    slot = take_slot(ladder)
    order = at(ladder.orders, slot)
    pool = ladder.pool[0]
    order.order_id = pool.next_order_id
    order.price_ticks, order.shown, order.hidden, order.display = price_ticks, shown, hidden, 0
    ladder.slot_of[np.uint64(order.order_id - pool.first_order_id)] = slot
    pool.next_order_id += 1
    enqueue(ladder, slot, queue_index, price_ticks)
    return order.order_id


@njit(_nrt=False)
def take_out(ladder, order_id):
    slot = find(ladder, order_id)
    if slot == 0:
        return False
    dequeue(ladder, slot)
    forget(ladder, order_id)
    free_slot(ladder, slot)
    return True


@njit(_nrt=False)
def reduce(ladder, order_id, quantity):
    take_off(ladder, find(ladder, order_id), quantity)


@njit(_nrt=False)
def would_cross(ladder, queue_index, limit_ticks):
    return crosses(at(ladder.queues, queue_index), limit_ticks)


@njit(_nrt=False)
def has_level(ladder, queue_index, price_ticks):
    return in_window(at(ladder.queues, queue_index), price_ticks)


@njit(_nrt=False)
def too_far(ladder, queue_index, price_ticks):
    return out_of_reach(ladder, at(ladder.queues, queue_index), price_ticks)


@njit(_nrt=False)
def price_for(ladder, queue_index, wanted):
    return worst_price_for(ladder, at(ladder.queues, queue_index), wanted)


class Resting(NamedTuple):
    order_id: int
    price_ticks: int
    shown: int
    hidden: int


class Twins:
    """A ladder that starts with too little room of every kind, and lists that say what it must hold."""

    def __init__(self) -> None:
        self.ladder = new_ladder(instruments=INSTRUMENTS, slots=1, ids=2)
        self.orders: dict[int, list[Resting]] = {queue: [] for queue in range((INSTRUMENTS + 1) * QUEUES)}

    def put(self, queue: int, price_ticks: int, shown: int, hidden: int = 0) -> int:
        if too_far(self.ladder, queue, price_ticks):
            return 0
        pool = self.ladder.pool[0]
        if pool.free == 0:
            self.ladder = book_of.with_slots(self.ladder, 2 * self.ladder.orders.size)
        if pool.next_order_id - pool.first_order_id >= self.ladder.slot_of.size:
            self.ladder = book_of.with_ids(self.ladder)
        if not has_level(self.ladder, queue, price_ticks):
            self.ladder = book_of.with_price(self.ladder, queue, price_ticks)
        order_id = int(put(self.ladder, queue, price_ticks, shown, hidden))
        self.orders[queue].append(Resting(order_id, price_ticks, shown, hidden))
        self.agree()
        return order_id

    def take_out(self, order_id: int) -> None:
        found = [(queue, order) for queue, orders in self.orders.items() for order in orders if order[0] == order_id]
        assert take_out(self.ladder, order_id) == bool(found)
        for queue, order in found:
            self.orders[queue].remove(order)
        self.agree()

    def expected(self, queue: int) -> list[Resting]:
        """By price, then in the order of arrival."""
        return sorted(self.orders[queue], key=lambda order: SIGNS[queue % QUEUES] * order.price_ticks)

    def agree(self) -> None:
        book_of.check(self.ladder)
        for queue in self.orders:
            expected = self.expected(queue)
            found = [
                Resting(int(order.order_id), int(order.price_ticks), int(order.shown), int(order.hidden))
                for order in book_of.orders_in(self.ladder, queue)
            ]
            assert found == expected
            levels: dict[int, int] = {}
            for order in expected:
                levels[order.price_ticks] = levels.get(order.price_ticks, 0) + order.shown + order.hidden
            assert book_of.depth(self.ladder, queue) == list(levels.items())
        for instrument in range(1, INSTRUMENTS + 1):
            for side in Side:
                own = self.expected(instrument * QUEUES + side)
                assert book_of.best_price(self.ladder, instrument, side) == (own[0].price_ticks if own else None)


# Neighbours, the next word, the next summary word, the edges of the first window, and far beyond.
OFFSETS = (0, 1, 2, 63, 64, 65, 4095, 4096, 8191, 8192, 8193, 30_000, 700_000, REACH_TICKS - 1, REACH_TICKS)
prices = st.one_of(
    st.integers(500_000, 500_004),
    st.tuples(st.sampled_from(OFFSETS), st.sampled_from((1, -1))).map(lambda pair: 500_000 + pair[0] * pair[1]),
)
puts = st.tuples(st.integers(QUEUES, 3 * QUEUES - 1), prices, st.integers(1, 9), st.sampled_from((0, 0, 0, 7)))
steps = st.lists(st.one_of(puts, puts, st.integers(0, 20)), min_size=5, max_size=30)


@given(steps)
def test_queues_keep_price_and_time_wherever_their_windows_lie(steps):
    twins = Twins()
    ids = []
    for step in steps:
        if isinstance(step, tuple):
            ids.append(twins.put(*step))
        elif step < len(ids):
            twins.take_out(ids[step])


@given(steps, prices, st.integers(1, 30))
def test_questions_about_depth_are_answered_as_by_lists(steps, limit, wanted):
    twins = Twins()
    for step in steps:
        if isinstance(step, tuple):
            twins.put(*step)
    for queue in (LOW_FIRST, HIGH_FIRST):
        sign = SIGNS[queue % QUEUES]
        orders = twins.expected(queue)
        met = [order for order in orders if sign * order.price_ticks <= sign * limit]
        assert would_cross(twins.ladder, queue, limit) == bool(met)
        reached, found = 0, 0
        for order in orders:
            if found >= wanted:
                break
            reached, found = order.price_ticks, found + order.shown + order.hidden
        assert price_for(twins.ladder, queue, wanted) == reached
        spread = [order.price_ticks for order in orders] + [limit]
        assert too_far(twins.ladder, queue, limit) == (max(spread) - min(spread) >= REACH_TICKS)


def test_an_order_taken_out_of_the_middle_of_a_queue_leaves_no_gap():
    twins = Twins()
    queue = [twins.put(HIGH_FIRST, 42, 10) for _ in range(4)]
    for nth in (1, 3, 0, 2):
        twins.take_out(queue[nth])


def test_reducing_an_order_keeps_its_place_in_the_queue():
    twins = Twins()
    older, newer = (twins.put(HIGH_FIRST, 42, 10) for _ in range(2))
    reduce(twins.ladder, older, 3)
    twins.orders[HIGH_FIRST] = [Resting(older, 42, 7, 0), Resting(newer, 42, 10, 0)]
    twins.agree()


def test_an_empty_queue_follows_the_market_wherever_it_goes():
    twins = Twins()
    for price_ticks in (100, 10 * REACH_TICKS, 5, 100 * REACH_TICKS):
        twins.take_out(twins.put(LOW_FIRST, price_ticks, 1))
    assert twins.ladder.levels.size <= 4 * book_of.LEVELS


def test_a_window_never_reaches_further_than_the_reach():
    twins = Twins()
    for offset in (0, REACH_TICKS - 1, 1, REACH_TICKS // 2):
        assert twins.put(LOW_FIRST, 7 + offset, 1)
    queue = twins.ladder.queues[LOW_FIRST]
    assert queue.end - queue.first == REACH_TICKS
    assert not twins.put(LOW_FIRST, 7 + REACH_TICKS, 1)
    assert not twins.put(LOW_FIRST, 6, 1)


# ---------------------------------------------------------------- bitmap and bits


def bitmap(levels: set[int], size: int):
    """A ladder of one window with these levels marked as occupied."""
    words, summary = np.zeros(size // 64, np.uint64), np.zeros(size // WINDOW_STEP, np.uint64)
    for level in levels:
        words[level >> 6] |= np.uint64(1 << (level & 63))
        summary[level >> 12] |= np.uint64(1 << (level >> 6 & 63))
    return new_ladder()._replace(words=words, summary=summary)


@njit(_nrt=False)
def next_level(ladder, level, end):
    return next_occupied(ladder, level, end)


@given(
    st.sets(st.one_of(st.integers(0, 8 * WINDOW_STEP - 1), st.sampled_from([0, 63, 64, 4095, 4096])), max_size=8),
    st.integers(0, 8 * WINDOW_STEP - 1),
    st.integers(1, 8).map(lambda group: group * WINDOW_STEP),
)
def test_the_next_occupied_price_is_found_however_far_it_is(levels, level, end):
    ladder = bitmap(levels, 8 * WINDOW_STEP)
    for start in {level, end, *levels, *(level + 1 for level in levels)}:
        later = [other for other in levels if start <= other < end]
        assert next_level(ladder, start, end) == min(later, default=NO_LEVEL)
    ladder.queues[0].end = end
    assert worst_occupied(ladder, ladder.queues[0]) == max((one for one in levels if one < end), default=NO_LEVEL)


@njit(_nrt=False)
def lowest(word):
    return lowest_bit(word)


@njit(_nrt=False)
def highest(word):
    return highest_bit(word)


@given(st.one_of(st.integers(1, (1 << 64) - 1), st.integers(0, 63).map(lambda bit: 1 << bit)))
def test_the_lowest_and_highest_set_bit_of_a_word(word: int) -> None:
    digits = f"{word:064b}"
    assert lowest(np.uint64(word)) == 63 - digits.rindex("1")
    assert highest(np.uint64(word)) == 63 - digits.index("1")
