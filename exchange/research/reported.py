"""Replay as reported: every message is taken at its word, and the book is proved against the vendor's.

Nothing is matched, since the file tells of resting orders only and says itself what was executed. The book
begins as the first book row shows it. From then on every level of every row must be what the messages have
made of it, best level first, with one exception that the format itself makes: a file shows the best levels
only, and no message tells what happens deeper. A level that comes into view at the deep end, that is, whose price
was not in view one row before, is not determined by the file. If the replayed book has it as it is shown,
it counts as compared; else it is *adopted* from the row, and so is the absence of one that went unseen.
Everything else that differs is a divergence.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit

from exchange.research.compiled import entry
from exchange.research.levels import Levels, apply, key_of, new_levels, put, size_at, with_room
from exchange.research.lobster import COLUMNS_A_LEVEL, NO_ASK, NO_BID, Level, Sample
from exchange.research.messages import type_of_rows
from matching.ladder import at
from matching.orders import Side

KEPT_DIVERGENCES = 1000  # of which a report tells; it counts them all
SELL = int(Side.SELL)
NOWHERE = (1 << 62) - 1  # a key worse than any

DIFFERENCE = np.dtype(
    (
        np.record,
        [
            ("row", "i8"),  # from 1
            ("side", "i8"),
            ("level", "i8"),  # from 1, best first
            ("expected_price", "i8"),  # what the file shows; size 0: no such level
            ("expected_size", "i8"),
            ("found_price", "i8"),  # what the replay has
            ("found_size", "i8"),
            ("time_ns", "i8"),  # of the message
        ],
    )
)
TALLY = np.dtype(
    (
        np.record,
        [
            ("compared", "i8"),  # levels
            ("least", "i8"),  # levels of a side of a row
            ("adopted", "i8"),  # levels that came into view otherwise than we had them
            ("vanished", "i8"),  # levels that we had and that were gone when their price came into view
            ("missing", "i8"),  # messages that take more than there is
            ("divergences", "i8"),
            ("adoptions", "i8"),  # adopted and vanished levels that are told
        ],
    )
)
DONE, NEEDS_LEVELS, NEEDS_ADOPTIONS = range(3)


@dataclass(frozen=True)
class Divergence:
    """The first level at which the replayed book and the file differ: row and level from 1, best level first.

    A level is (price in dollars x 10,000, size in shares); None where one of the two has none.
    """

    row: int
    side: Side
    level: int
    expected: Level | None
    found: Level | None

    @property
    def column(self) -> int:
        """Of the order-book file, from 1."""
        same_price = self.expected and self.found and self.expected[0] == self.found[0]
        return COLUMNS_A_LEVEL * (self.level - 1) + (1 if self.side == Side.SELL else 3) + bool(same_price)

    def told(self) -> str:
        """What differs, in words."""
        shown, made = (f"{one[1]} @ {one[0]}" if one else "nothing" for one in (self.expected, self.found))
        return f"{self.side.name.lower()} level {self.level}: the file shows {shown}, its messages make {made}"


@dataclass(frozen=True)
class Adoption:
    """A level that came into view otherwise than the messages had left it: sizes before and after; 0: none."""

    row: int
    time_ns: int
    side: Side
    price: int
    before: int
    after: int


@dataclass
class ReplayReport:
    """What a replay compared. `levels_least` is the least number of levels compared on a side of a row."""

    rows_compared: int = 0
    levels_compared: int = 0
    levels_least: int = 0
    adopted: int = 0  # levels that came into view at the deep end and were taken from the row
    vanished: int = 0  # levels that the replay had there and the row has not
    divergence_count: int = 0
    divergences: tuple[Divergence, ...] = ()  # the first KEPT_DIVERGENCES, at most one a side and row
    unknown_orders: int = 0  # messages that take more than stands at their price
    adoptions: tuple[Adoption, ...] = field(default=(), repr=False)


@entry
def prove(levels, messages, books, start, before, previous, tally, differences, adoptions):
    """Apply messages from `start` on and compare each row of books; (why it stopped, at which row).

    `before` rows were seen earlier, `previous` is the book row before `start`.
    """
    shown_at_most = books.shape[1] // COLUMNS_A_LEVEL
    for index in range(start, messages.size):
        if max(levels.counts[0], levels.counts[1]) + shown_at_most + 2 > levels.keys.shape[1]:
            return NEEDS_LEVELS, index
        if tally.adoptions + levels.counts[0] + levels.counts[1] + 2 * shown_at_most > adoptions.size:
            return NEEDS_ADOPTIONS, index
        if not apply(levels, at(messages, index)):
            tally.missing += 1
        row = books[index]
        for side in range(2):
            first = 0 if side == SELL else 2
            missing = NO_ASK if side == SELL else NO_BID
            limit, edge = NOWHERE, NOWHERE  # the deepest key in view before, and now
            last = previous[first + COLUMNS_A_LEVEL * (shown_at_most - 1)]
            if last != missing:
                limit = key_of(side, last)
            count = 0
            while count < shown_at_most and row[first + COLUMNS_A_LEVEL * count] != missing:
                count += 1
            if count == shown_at_most:
                edge = key_of(side, row[first + COLUMNS_A_LEVEL * (count - 1)])

            # What comes into view is as it is shown.
            if edge > limit:
                adopted = 0
                for place in range(count):
                    key = key_of(side, row[first + COLUMNS_A_LEVEL * place])
                    size = row[first + COLUMNS_A_LEVEL * place + 1]
                    if key <= limit:
                        continue
                    had = size_at(levels, side, key)
                    if had != size:
                        put(levels, side, key, size)
                        adopted += 1
                        note_adoption(
                            adoptions, tally, before + index + 1, at(messages, index).time_ns, side, key, had, size
                        )
                place, ours = 0, 0
                while ours < levels.counts[side] and levels.keys[side, ours] <= edge:
                    key = levels.keys[side, ours]
                    while place < count and key_of(side, row[first + COLUMNS_A_LEVEL * place]) < key:
                        place += 1
                    is_shown = place < count and key_of(side, row[first + COLUMNS_A_LEVEL * place]) == key
                    if key > limit and not is_shown:
                        gone = levels.sizes[side, ours]
                        note_adoption(
                            adoptions, tally, before + index + 1, at(messages, index).time_ns, side, key, gone, 0
                        )
                        tally.vanished += 1
                        put(levels, side, key, 0)
                    else:
                        ours += 1
                tally.adopted += adopted
                tally.compared -= adopted

            tally.compared += count
            tally.least = min(tally.least, count)
            for place in range(count):
                price, size = row[first + COLUMNS_A_LEVEL * place], row[first + COLUMNS_A_LEVEL * place + 1]
                same = place < levels.counts[side] and levels.keys[side, place] == key_of(side, price)
                if not same or levels.sizes[side, place] != size:
                    note_difference(differences, tally, levels, before + index + 1, side, place, price, size)
                    break
            else:
                if count < shown_at_most and levels.counts[side] > count:
                    note_difference(differences, tally, levels, before + index + 1, side, count, 0, 0)
        for column in range(previous.size):
            previous[column] = row[column]
    return DONE, messages.size


@njit(_nrt=False)
def note_adoption(adoptions, tally, row, time_ns, side, key, had, size):
    """Remember a level that the file did not determine."""
    adoption = at(adoptions, tally.adoptions)
    adoption.row = row
    adoption.time_ns = time_ns
    adoption.side = side
    adoption.level = 0
    adoption.expected_price = key_of(side, key)
    adoption.expected_size = size
    adoption.found_price = key_of(side, key)
    adoption.found_size = had
    tally.adoptions += 1


@njit(_nrt=False)
def note_difference(differences, tally, levels, row, side, place, price, size):
    """Remember where a side differs first, if there is room for it."""
    if tally.divergences < differences.size:
        difference = at(differences, tally.divergences)
        difference.row = row
        difference.side = side
        difference.level = place + 1
        difference.expected_price = price
        difference.expected_size = size
        there = place < levels.counts[side]
        difference.found_price = key_of(side, levels.keys[side, place]) if there else 0
        difference.found_size = levels.sizes[side, place] if there else 0
    tally.divergences += 1


def replay_as_reported(sample: Sample) -> ReplayReport:
    """Replay a sample as reported and compare the book with the file after every message but the first.

    FormatError if the files break the format.
    """
    return prove_parts(sample.parts())


def prove_parts(parts: Iterator[tuple[type_of_rows, type_of_rows]]) -> ReplayReport:
    """Replay messages and the books after them, part by part (see :meth:`Sample.parts`)."""
    levels = new_levels()
    tally: Any = np.zeros(1, TALLY)
    tally["least"] = NOWHERE
    differences, adoptions = np.zeros(KEPT_DIVERGENCES, DIFFERENCE), np.zeros(1 << 14, DIFFERENCE)
    told: list[Adoption] = []
    previous, before = None, 0
    for messages, books in parts:
        index = 0
        if previous is None:
            levels, previous, index = seeded(levels, books[0]), books[0].copy(), 1
        while True:
            stopped, index = prove(levels, messages, books, index, before, previous, tally[0], differences, adoptions)
            told += _adoptions(adoptions[: tally["adoptions"][0]])
            tally["adoptions"] = 0
            if stopped == DONE:
                break
            if stopped == NEEDS_LEVELS:
                levels = with_room(levels)
            elif levels.counts.sum() + books.shape[1] > adoptions.size:
                adoptions = np.zeros(2 * adoptions.size, DIFFERENCE)
        before += len(books)
    return ReplayReport(
        rows_compared=max(before - 1, 0),
        levels_compared=int(tally["compared"][0]),
        levels_least=int(tally["least"][0]) if before > 1 else 0,
        adopted=int(tally["adopted"][0]),
        vanished=int(tally["vanished"][0]),
        divergence_count=int(tally["divergences"][0]),
        divergences=tuple(_divergences(differences[: tally["divergences"][0]])),
        unknown_orders=int(tally["missing"][0]),
        adoptions=tuple(told),
    )


def seeded(levels: Levels, row: type_of_rows) -> Levels:
    """The levels of a book row."""
    for side, first, missing in ((int(Side.SELL), 0, NO_ASK), (int(Side.BUY), 2, NO_BID)):
        for column in range(first, row.size, COLUMNS_A_LEVEL):
            if row[column] != missing:
                put(levels, side, key_of(side, row[column]), row[column + 1])
    return levels


def _adoptions(rows: type_of_rows) -> Iterator[Adoption]:
    for row, side, _, price, after, _, before, time_ns in rows.tolist():
        yield Adoption(row, time_ns, Side(side), price, before, after)


def _divergences(rows: type_of_rows) -> Iterator[Divergence]:
    for row, side, level, expected_price, expected_size, found_price, found_size, _ in rows.tolist():
        expected = (expected_price, expected_size) if expected_size else None
        found = (found_price, found_size) if found_size else None
        yield Divergence(row, Side(side), level, expected, found)
