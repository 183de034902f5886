"""The book before the window of a sample, and what came into view unannounced: a sample made a whole flow.

A LOBSTER sample begins in the middle of a day. The book at its beginning is worked out from the first book
row. Its levels are sums; which orders made them up is learnt from the rest of the file: an order that
nobody placed and that is executed or cancelled later was there. At each price they stand in the order of
their ids, which vendors give in order of arrival, and behind them, as one nameless order, what is never heard
of again. What comes into view at the deep end of a file of few levels is treated alike when it comes into
view, and what has gone unseen is taken off. An order that fits nowhere comes late, just before it is first named.

:func:`whole` puts these orders among the messages as new orders and cancels of their own. Then nothing refers to
an order that was not placed, as in a flow that begins with an empty book.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exchange.research.lobster import COLUMNS_A_LEVEL, NO_ASK, NO_BID, Sample
from exchange.research.messages import ABOUT_AN_ORDER, MESSAGE, UNKNOWN_LEAVES, MessageType, type_of_rows
from exchange.research.reported import Adoption, ReplayReport, prove_parts
from exchange.rows import joined
from matching.orders import Side

NEW_ORDER, PARTIAL_CANCEL = int(MessageType.NEW_ORDER), int(MessageType.PARTIAL_CANCEL)
DELETE, EXECUTION = int(MessageType.DELETE), int(MessageType.EXECUTION)
EXECUTIONS = (EXECUTION, int(MessageType.HIDDEN_EXECUTION))
NAMELESS = 900_000_000_000_000  # the first id of an order that no message names: the vendor's are not that high


@dataclass
class Seeds:
    """Messages that the file does not have."""

    before: type_of_rows  # the book before the first message, as new orders
    later: list[tuple[int, type_of_rows]]  # (index of the message behind which they belong, messages), ascending
    leaves: dict[int, int]  # by index of a message about an older order: what it leaves
    named: frozenset[int] = frozenset()  # ids of orders that were not placed
    nameless: int = 0  # orders that stand for the rest of a level
    adopted: int = 0  # orders that came or went out of view
    late: int = 0  # orders that no level had room for


@dataclass
class _Older:
    """An order that nobody placed: where it stood and what messages took off it."""

    order_id: int
    side: int
    price: int
    first: int  # index of the first message about it, or of the first that is of one aggressor with it
    time_ns: int  # of the first message about it
    quantity: int = 0
    taken: list[tuple[int, int]] = field(default_factory=list)  # (index, quantity so far)


_Mention = tuple[int, int, int]  # index, order id, leaves
_Place = tuple[int, int]  # side, price


def window_of(sample: Sample) -> tuple[ReplayReport, Seeds]:
    """Prove a sample as reported, then work out what it does not say. Reads it twice. FormatError if malformed."""
    first: list[Any] = []

    def noting_first() -> Iterator[tuple[type_of_rows, type_of_rows]]:
        for messages, books in sample.parts():
            if not first:
                first.extend((messages[0].copy(), books[0].copy()))
            yield messages, books

    report = prove_parts(noting_first())
    return report, seeds_of(lambda: (messages for messages, _ in sample.parts()), first[0], first[1], report.adoptions)


def seeds_of(
    parts: Callable[[], Iterable[type_of_rows]], first: Any, book: type_of_rows, adoptions: Sequence[Adoption]
) -> Seeds:
    """What the messages of `parts` (with leaves) do not say; `book` is the book row after the `first` of them."""
    older, mentions = _older_and_mentioned(parts(), adoptions)
    waiting: dict[_Place, list[_Older]] = defaultdict(list)
    for one in sorted(older.values(), key=lambda one: one.first):
        waiting[one.side, one.price].append(one)

    maker = _Maker()
    before: list[type_of_rows] = []
    for place, size in _book_before(first, book).items():
        before += maker.orders(int(first["time_ns"]), place, size, waiting[place])
    later: list[tuple[int, type_of_rows]] = []
    for adoption in adoptions:
        place, more = (int(adoption.side), adoption.price), adoption.after - adoption.before
        index = adoption.row - 1
        if more > 0:
            rows = [*maker.orders(adoption.time_ns, place, more, waiting[place])]
        else:
            rows = [*maker.gone(adoption.time_ns, place, -more, mentions[place], index)]
        if rows:
            later.append((index, joined(rows)))
    adopted = sum(rows.size for _, rows in later)
    late = [one for named in waiting.values() for one in named]
    before += [maker.late(one) for one in late if one.first == 0]
    later += [(one.first - 1, maker.late(one)) for one in late if one.first > 0]
    leaves = {index: one.quantity - taken for one in older.values() for index, taken in one.taken}
    return Seeds(
        before=joined([np.zeros(0, MESSAGE), *before]),
        later=sorted(later, key=lambda one: one[0]),
        leaves=leaves,
        named=frozenset(maker.named),
        nameless=maker.nameless,
        adopted=adopted,
        late=len(late),
    )


def whole(parts: Iterable[type_of_rows], seeds: Seeds) -> Iterator[type_of_rows]:
    """The messages of `parts` with those of `seeds` among them; no aggressor is cut in two."""
    later = iter([*seeds.later, (1 << 62, np.zeros(0, MESSAGE))])
    index, rows = next(later)
    patches = sorted(seeds.leaves.items())
    begun = patched = 0
    if seeds.before.size:
        yield seeds.before
    for messages in unbroken(parts):
        while patched < len(patches) and patches[patched][0] < begun + messages.size:
            place, leaves = patches[patched]
            row = messages[place - begun]
            row["leaves"] = leaves
            if row["kind"] == PARTIAL_CANCEL and not leaves:
                row["kind"] = DELETE  # what it had more stands in the nameless order
            patched += 1
        done = 0
        while index < begun + messages.size:
            place = index - begun + 1
            while place < messages.size and one_aggressor(messages[place - 1], messages[place]):
                place += 1
            if place > done:
                yield messages[done:place]
                done = place
            yield rows
            index, rows = next(later)
        if done < messages.size:
            yield messages[done:]
        begun += messages.size


def unbroken(parts: Iterable[type_of_rows]) -> Iterator[type_of_rows]:
    """The same messages in parts that never end amid the executions of one aggressor."""
    kept = np.zeros(0, MESSAGE)
    for part in parts:
        messages = joined([kept, part]) if kept.size else part
        cut = messages.size - 1
        while cut > 0 and one_aggressor(messages[cut - 1], messages[cut]):
            cut -= 1
        kept = messages[cut:]
        if cut:
            yield messages[:cut]
    if kept.size:
        yield kept


def one_aggressor(message: Any, later: Any) -> bool:
    """Whether two neighbouring messages are taken for executions of one aggressor."""
    return (
        message["kind"] in EXECUTIONS
        and later["kind"] in EXECUTIONS
        and message["time_ns"] == later["time_ns"]
        and message["side"] == later["side"]
    )


def _older_and_mentioned(
    parts: Iterable[type_of_rows], adoptions: Sequence[Adoption]
) -> tuple[dict[int, _Older], dict[_Place, list[_Mention]]]:
    """The orders that nobody placed; and all messages at prices at which something was adopted."""
    prices = np.array(sorted({one.price for one in adoptions if one.after < one.before}), np.int64)
    older: dict[int, _Older] = {}
    mentions: dict[_Place, list[_Mention]] = defaultdict(list)
    begun = 0
    for messages in unbroken(parts):
        about_orders = messages["kind"] <= max(ABOUT_AN_ORDER)
        for index in np.flatnonzero((messages["leaves"] == UNKNOWN_LEAVES) & about_orders).tolist():
            _note_older(older, begun, index, messages)
        for index in np.flatnonzero(np.isin(messages["price"], prices) & about_orders).tolist() if prices.size else ():
            row = messages[index]
            place = int(row["side"]), int(row["price"])
            mentions[place].append((begun + index, int(row["order_id"]), int(row["leaves"])))
        begun += messages.size
    return older, mentions


def _note_older(older: dict[int, _Older], begun: int, index: int, messages: type_of_rows) -> None:
    row, order_id = messages[index], int(messages[index]["order_id"])
    if order_id not in older:
        first = index
        while first and one_aggressor(messages[first - 1], messages[first]):
            first -= 1
        place, time_ns = (int(row["side"]), int(row["price"])), int(messages[first]["time_ns"])
        older[order_id] = _Older(order_id, *place, begun + first, time_ns)
    one = older[order_id]
    one.quantity += int(row["quantity"])
    one.taken.append((begun + index, one.quantity))


def _book_before(message: Any, book: type_of_rows) -> dict[_Place, int]:
    """The levels before a message, by the row after it: their sizes."""
    levels: dict[_Place, int] = {}
    for side, first, missing in ((int(Side.SELL), 0, NO_ASK), (int(Side.BUY), 2, NO_BID)):
        for column in range(first, book.size, COLUMNS_A_LEVEL):
            if book[column] != missing:
                levels[side, int(book[column])] = int(book[column + 1])
    if message["kind"] in ABOUT_AN_ORDER:
        place, quantity = (int(message["side"]), int(message["price"])), int(message["quantity"])
        levels[place] = levels.get(place, 0) + (-quantity if message["kind"] == NEW_ORDER else quantity)
    return levels


class _Maker:
    """Makes the messages that the file does not have."""

    def __init__(self) -> None:
        self.named: list[int] = []
        self.nameless = 0
        self.unnamed: dict[_Place, list[tuple[int, int]]] = defaultdict(list)  # (order id, quantity)

    def orders(self, time_ns: int, place: _Place, size: int, waiting: list[_Older]) -> Iterator[type_of_rows]:
        """New orders that make up `size`: those of `waiting` that fit, which are taken from it, then the rest."""
        here = []
        for one in [*waiting]:
            if one.quantity <= size:
                here.append(one)
                waiting.remove(one)
                size -= one.quantity
        for one in sorted(here, key=lambda one: one.order_id):
            self.named.append(one.order_id)
            yield _message(time_ns, NEW_ORDER, one.order_id, place, one.quantity, one.quantity)
        if size > 0:
            order_id = NAMELESS + self.nameless
            self.nameless += 1
            self.unnamed[place].append((order_id, size))
            yield _message(time_ns, NEW_ORDER, order_id, place, size, size)

    def late(self, one: _Older) -> type_of_rows:
        """A new order just before it is first named."""
        self.named.append(one.order_id)
        return _message(one.time_ns, NEW_ORDER, one.order_id, (one.side, one.price), one.quantity, one.quantity)

    def gone(
        self, time_ns: int, place: _Place, size: int, mentions: list[_Mention], index: int
    ) -> Iterator[type_of_rows]:
        """Cancels of `size`, unseen: of nameless orders, then of those that are never mentioned again."""
        unnamed = self.unnamed[place]
        while size > 0 and unnamed:
            order_id, quantity = unnamed.pop()
            if quantity > size:
                unnamed.append((order_id, quantity - size))
                yield _message(time_ns, PARTIAL_CANCEL, order_id, place, size, quantity - size)
                return
            size -= quantity
            yield _message(time_ns, DELETE, order_id, place, quantity, 0)
        last = {order_id: (mentioned, leaves) for mentioned, order_id, leaves in mentions}
        for order_id, (mentioned, leaves) in last.items():
            if mentioned <= index and 0 < leaves <= size:
                size -= leaves
                yield _message(time_ns, DELETE, order_id, place, leaves, 0)


def _message(time_ns: int, kind: int, order_id: int, place: _Place, quantity: int, leaves: int) -> type_of_rows:
    row = np.zeros(1, MESSAGE)
    row["time_ns"], row["kind"], row["order_id"] = time_ns, kind, order_id
    row["side"], row["price"] = place
    row["quantity"], row["leaves"] = quantity, leaves
    return row
