"""The readable book and the compiled ladder, told the same: they must say the same and stay sound."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from matching import ladder as book_of
from matching.bits import highest_bit, lowest_bit
from matching.book import Book, Order
from matching.ladder import (
    NO_ASK,
    NO_BID,
    NO_LEVEL,
    WINDOW_STEP,
    Ladder,
    best_opposite,
    crosses,
    find,
    new_ladder,
    occupied_above,
    occupied_below,
    oldest_at,
    reduce,
    rest,
    tradable,
)
from matching.orders import Side, TimeInForce

pytestmark = pytest.mark.kernels

ONE = 1  # the only instrument that trades; a second one lies behind it in the arrays


# ---------------------------------------------------------------- the ladder with the verbs of the book


@njit(_nrt=False)
def submit(ladder, instrument, order_id, side, price_ticks, quantity, kill, rests, fills):
    """Match at the makers' prices, rest what is left; writes (maker, price, quantity) and returns how many."""
    book = ladder.books[instrument]
    n_fills = 0
    if kill and tradable(ladder, book, side, price_ticks, quantity) < quantity:
        return n_fills
    while quantity and crosses(book, side, price_ticks):
        slot = oldest_at(ladder, book, best_opposite(book, side))
        maker = ladder.orders[slot]
        traded = min(quantity, maker.leaves)
        fills[n_fills, 0] = maker.order_id
        fills[n_fills, 1] = maker.price_ticks
        fills[n_fills, 2] = traded
        n_fills += 1
        quantity -= traded
        reduce(ladder, book, slot, traded)
    if quantity and rests:
        rest(ladder, book, instrument, order_id, side, 0, 7, price_ticks, quantity, 0)
    return n_fills


@njit(_nrt=False)
def take_off(ladder, instrument, order_id, quantity):
    """Reduce a resting order; returns the leaves before, 0 if it does not rest."""
    slot = find(ladder, order_id)
    if slot == 0:
        return np.int64(0)
    leaves = ladder.orders[slot].leaves
    reduce(ladder, ladder.books[instrument], slot, min(quantity, leaves))
    return leaves


class LadderBook:
    """The ladder of one instrument; makes room where it lacks some."""

    def __init__(self, slots: int = 1, ids: int = 1) -> None:
        self.ladder = new_ladder(instruments=2, slots=slots, ids=ids)
        self.ladder = book_of.with_price(self.ladder, 2, 77)
        submit(self.ladder, 2, self.next_id(), Side.SELL, 77, 1, False, True, np.zeros((1, 3), np.int64))

    def next_id(self) -> int:
        pool = self.ladder.pool[0]
        if pool.free == 0:
            self.ladder = book_of.with_slots(self.ladder, 2 * self.ladder.orders.size)
        if pool.next_order_id - pool.first_order_id >= self.ladder.slot_of.size:
            self.ladder = book_of.with_ids(self.ladder)
        pool = self.ladder.pool[0]
        pool.next_order_id += 1
        return int(pool.next_order_id) - 1

    def submit(self, order: Order) -> list[tuple[int, int, int]]:
        book = self.ladder.books[ONE]
        if not book.low_ticks <= order.price_ticks < book.low_ticks + book.window:
            self.ladder = book_of.with_price(self.ladder, ONE, order.price_ticks)
        fills = np.zeros((int(self.ladder.pool[0].live), 3), np.int64)
        kill = order.time_in_force == TimeInForce.FOK
        rests = order.time_in_force < TimeInForce.IOC
        price_ticks, leaves = order.price_ticks, order.leaves
        made = submit(self.ladder, ONE, order.order_id, int(order.side), price_ticks, leaves, kill, rests, fills)
        return [tuple(fill) for fill in fills[:made].tolist()]

    def take_off(self, order_id: int, quantity: int) -> int:
        return int(take_off(self.ladder, ONE, order_id, quantity))

    def levels(self, side: Side) -> list[tuple[int, int]]:
        ladder, book = self.ladder, self.ladder.books[ONE]
        return [
            (int(book.low_ticks + level - book.first_level), int(ladder.levels[level].quantity))
            for level in book_of.side_levels(ladder, ONE, side)
        ]

    def best(self, side: Side) -> int | None:
        book = self.ladder.books[ONE]
        price, none = (book.best_bid, NO_BID) if side == Side.BUY else (book.best_ask, NO_ASK)
        return None if price == none else int(price)


class Pair:
    """Both books, told the same."""

    def __init__(self) -> None:
        self.plain, self.ladder = Book(), LadderBook()

    def submit(self, side: Side, price_ticks: int, quantity: int, time_in_force: TimeInForce = TimeInForce.DAY) -> int:
        order = Order(self.ladder.next_id(), side, price_ticks, quantity, time_in_force)
        fills = self.ladder.submit(order)
        expected = self.plain.submit(order)
        assert fills == [(fill.maker, fill.price_ticks, fill.quantity) for fill in expected]
        self.agree()
        return order.order_id

    def take_off(self, order_id: int, quantity: int) -> None:
        order = self.plain.orders.get(order_id)
        assert self.ladder.take_off(order_id, quantity) == (order.leaves if order else 0)
        if order and quantity < order.leaves:
            self.plain.reduce(order_id, quantity)
        elif order:
            self.plain.cancel(order_id)
        self.agree()

    def agree(self) -> None:
        self.plain.check()
        book_of.check(self.ladder.ladder)
        for side in Side:
            assert self.ladder.best(side) == self.plain.best(side)
            assert self.ladder.levels(side) == self.plain.levels(side)
        resting = [
            (int(order.order_id), Side(order.side), int(order.price_ticks), int(order.leaves))
            for order in book_of.resting(self.ladder.ladder, ONE)
        ]
        assert resting == [(o.order_id, o.side, o.price_ticks, o.leaves) for o in self.plain.resting()]


class Submit(NamedTuple):
    side: Side
    price_ticks: int
    quantity: int
    time_in_force: TimeInForce


class TakeOff(NamedTuple):
    nth: int  # of the orders so far
    quantity: int


# Neighbours, the next word, the next summary word, and further than the first window reaches.
OFFSETS = (0, 1, 2, 3, 62, 63, 64, 65, 4094, 4095, 4096, 4097, 9000, -1, -64, -4096, -9000, 30_000, -30_000)
prices = st.one_of(st.integers(50_000, 50_003), st.sampled_from(OFFSETS).map(lambda offset: 50_000 + offset))
submissions = st.builds(Submit, st.sampled_from(Side), prices, st.integers(1, 9), st.sampled_from(TimeInForce))
reductions = st.builds(TakeOff, st.integers(0, 25), st.integers(1, 9))


@given(st.lists(st.one_of(submissions, submissions, reductions), min_size=10, max_size=40))
def test_the_readable_book_and_the_ladder_agree_after_every_step(steps: list[Submit | TakeOff]) -> None:
    pair = Pair()
    ids = []
    for step in steps:
        if isinstance(step, Submit):
            ids.append(pair.submit(*step))
        elif step.nth < len(ids):
            pair.take_off(ids[step.nth], step.quantity)


def test_a_better_price_trades_first_and_at_one_price_the_older_order() -> None:
    pair = Pair()
    later_but_better = [pair.submit(Side.SELL, price, 10) for price in (42, 41, 41)]
    taker = Order(pair.ladder.next_id(), Side.BUY, 42, 25)
    oldest, first_at_41, second_at_41 = later_but_better
    assert pair.ladder.submit(taker) == [(first_at_41, 41, 10), (second_at_41, 41, 10), (oldest, 42, 5)]


def test_an_order_taken_out_of_the_middle_of_a_queue_leaves_no_gap() -> None:
    pair = Pair()
    queue = [pair.submit(Side.BUY, 42, 10) for _ in range(4)]
    for nth in (1, 3, 0, 2):
        pair.take_off(queue[nth], 10)


def test_reducing_an_order_keeps_its_place_in_the_queue() -> None:
    pair = Pair()
    older, newer = (pair.submit(Side.BUY, 42, 10) for _ in range(2))
    pair.take_off(older, 3)
    taker = Order(pair.ladder.next_id(), Side.SELL, 42, 8)
    assert pair.ladder.submit(taker) == [(older, 42, 7), (newer, 42, 1)]


@pytest.mark.parametrize("quantity", [0, -1, 11])
def test_the_readable_book_reduces_by_what_an_order_has_and_no_more(quantity: int) -> None:
    book = Book()
    book.submit(Order(1, Side.BUY, 42, 10))
    with pytest.raises(ValueError, match="order 1 has 10 leaves"):
        book.reduce(1, quantity)
    assert book.levels(Side.BUY) == [(42, 10)]
    book.check()


# ---------------------------------------------------------------- windows


@pytest.mark.parametrize("further", [57_000, 43_000, 350_000, 1])
def test_a_window_that_widens_keeps_every_order_and_the_neighbours_too(further: int) -> None:
    pair = Pair()
    for price in (50_000, 50_001, 49_999, 50_063, 49_900):
        pair.submit(Side.BUY if price <= 50_000 else Side.SELL, price, 5)
    before = int(pair.ladder.ladder.books[ONE].window)
    neighbours = [order.item() for order in book_of.resting(pair.ladder.ladder, 2)]
    pair.submit(Side.SELL if further > 50_000 else Side.BUY, further, 1)
    assert pair.ladder.ladder.books[ONE].window >= 1.5 * before
    assert pair.ladder.ladder.books[ONE].window % WINDOW_STEP == 0
    assert [order.item() for order in book_of.resting(pair.ladder.ladder, 2)] == neighbours


def test_a_window_holds_no_more_than_the_reach_of_the_reference_price() -> None:
    reference = 10 * book_of.REACH_TICKS
    ladder = new_ladder(instruments=1)
    ladder.books[ONE].reference_ticks = reference
    ladder = book_of.with_price(ladder, ONE, reference)
    for _ in range(5):
        book = ladder.books[ONE]
        ladder = book_of.with_price(ladder, ONE, int(book.low_ticks + book.window))
        book = ladder.books[ONE]
        ladder = book_of.with_price(ladder, ONE, int(book.low_ticks) - 1)
    ladder.books[ONE].reference_ticks = 20_000  # a new day, other prices
    ladder = book_of.with_price(ladder, ONE, 20_000)
    assert ladder.levels.size <= 2 * WINDOW_STEP
    book_of.check(ladder)


def bitmap(levels: set[int], size: int) -> Ladder:
    """A ladder of one window with these levels marked as occupied."""
    words, summary = np.zeros(size // 64, np.uint64), np.zeros(size // WINDOW_STEP, np.uint64)
    for level in levels:
        words[level >> 6] |= np.uint64(1 << (level & 63))
        summary[level >> 12] |= np.uint64(1 << (level >> 6 & 63))
    return new_ladder()._replace(words=words, summary=summary)


@given(
    st.sets(st.one_of(st.integers(0, 8 * WINDOW_STEP - 1), st.sampled_from([0, 63, 64, 4095, 4096])), max_size=8),
    st.integers(0, 8 * WINDOW_STEP - 1),
    st.integers(0, 7).map(lambda group: group * WINDOW_STEP),
)
def test_the_next_occupied_price_is_found_however_far_it_is(levels: set[int], level: int, edge: int) -> None:
    ladder = bitmap(levels, 8 * WINDOW_STEP)
    for start_at in {level, *levels}:
        if start_at >= edge:  # searching down, the window begins at the edge
            below = [other for other in levels if edge <= other < start_at]
            assert occupied_below(ladder, start_at, edge) == max(below, default=NO_LEVEL)
        end = edge + WINDOW_STEP
        if start_at < end:  # searching up, it ends there
            above = [other for other in levels if start_at < other < end]
            assert occupied_above(ladder, start_at, end) == min(above, default=NO_LEVEL)


# ---------------------------------------------------------------- bits


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
