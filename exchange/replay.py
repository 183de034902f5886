"""Replays foreign order flow into the readable book and asks whether the same book comes out.

As reported: every message of a LOBSTER sample (:mod:`exchange.lobster`) is taken at its word; nothing is
matched, since the file tells of resting orders only and says itself what was executed.

The book begins as the first book row shows it, one synthetic order a level: which orders stand there, and
in which order, no file says. Later messages about an order that came before the window take their size off
the synthetic order at their price. What stood deeper than the first row shows is unknown, and no message
announces it when it comes into view. So a row is compared on every level inside the price window of the
first row, that is, up to its worst price on each side; fewer where a file shows few levels.
"""

from dataclasses import dataclass

from exchange.lobster import BookRow, Level, Message, MessageType, Sample
from matching.book import Book, Order
from matching.orders import Side


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


@dataclass(frozen=True)
class ReplayReport:
    """What a replay compared. `levels_least` is the least number of levels compared on a side of a row."""

    rows_compared: int
    levels_compared: int
    levels_least: int
    divergences: tuple[Divergence, ...]
    unknown_orders: int  # messages about orders that neither the file nor the first book row shows


class AsReported:
    """A book that follows messages at their word. Prices in dollars x 10,000, quantities in shares."""

    def __init__(self, first: BookRow) -> None:
        self.book = Book()
        self.seeded: dict[tuple[Side, int], int] = {}  # id of the synthetic order at each price
        self.unknown_orders = 0
        for side in Side:
            for price, size in first.side(side):
                order_id = -len(self.seeded) - 1  # negative, so that no order of the file has it
                self.seeded[side, price] = order_id
                self.book.rest(Order(order_id, side, price, size))

    def apply(self, message: Message) -> None:
        """Do what a message says; executions of hidden orders, crosses and halts leave the book as it is."""
        match message.type:
            case MessageType.NEW_ORDER:
                self.book.rest(Order(message.order_id, message.side, message.price, message.size))
            case MessageType.PARTIAL_CANCEL | MessageType.DELETE | MessageType.EXECUTION:
                self._take_off(message)
            case MessageType.HIDDEN_EXECUTION | MessageType.CROSS_TRADE | MessageType.HALT:
                pass

    def _take_off(self, message: Message) -> None:
        """Take a message's size off its order, or off those of its price that came before the window.

        A file that takes more than there is will differ at this price; nothing is made up to go on.
        """
        order_id = message.order_id
        if order_id not in self.book.orders:
            order_id = self.seeded.get((message.side, message.price), 0)
        if order_id in self.book.orders:
            self.book.reduce(order_id, min(message.size, self.book.orders[order_id].leaves))
        else:
            self.unknown_orders += 1


def replay_as_reported(sample: Sample, always_in_view: bool = False) -> ReplayReport:
    """Replay a sample as reported and compare the book with the file after every message but the first.

    `always_in_view` compares only prices that every row so far could show. Files of few levels need it: an
    order that has left the best ten levels is never cancelled in a ten-level file, and so may come back
    into view otherwise than it left. LobsterError if the files break the format.
    """
    rows = sample.rows()
    _, first = next(rows)
    replayed = AsReported(first)
    worst = {side: first.side(side)[-1][0] for side in Side if first.side(side)}
    compared = 0
    counts: list[int] = []
    divergences = []
    for row, (message, shown) in enumerate(rows, 2):
        replayed.apply(message)
        compared += 1
        for side in worst:
            levels = shown.side(side)
            if always_in_view and len(levels) == sample.levels and _is_worse(side, worst[side], levels[-1][0]):
                worst[side] = levels[-1][0]
            expected = [level for level in levels if not _is_worse(side, level[0], worst[side])]
            found = [level for level in replayed.book.levels(side) if not _is_worse(side, level[0], worst[side])]
            found = found[: sample.levels]
            counts.append(len(expected))
            if expected != found:
                divergences.append(_divergence(row, side, expected, found))
    return ReplayReport(compared, sum(counts), min(counts, default=0), tuple(divergences), replayed.unknown_orders)


def _is_worse(side: Side, price: int, limit: int) -> bool:
    """Whether a price lies deeper in the book than another."""
    return price < limit if side == Side.BUY else price > limit


def _divergence(row: int, side: Side, expected: list[Level], found: list[Level]) -> Divergence:
    """Where two sides that differ differ first."""
    level = next(
        (index for index, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]),
        min(len(expected), len(found)),
    )
    return Divergence(
        row,
        side,
        level + 1,
        expected[level] if level < len(expected) else None,
        found[level] if level < len(found) else None,
    )
