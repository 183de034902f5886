"""The book in three grains: `book.l3` every order, `book.l2` the best levels, `book.l1` the best prices.

All three of an instrument are kept from the same events (:mod:`api.shown`), so that at every seq they are one book.
`book.l3` is told record by record, and every CHECKED events what all of it sums up to. The other two are conflated:
each subscriber gets the newest state that it does not have yet, whole, and how many states came and went in between.
"""

from typing import Any

from sortedcontainers import SortedDict

from api.gateway import Gateway
from api.local_book import checksum
from api.problems import Problem
from api.shown import Change, Shown, ShownBook
from api.stream import messages
from api.stream.channels import Channel, EventChannel, Key
from api.stream.messages import LevelTold, Mbo
from exchange.instruments import Instrument
from exchange.reasons import Reason
from exchange.rows import EventKind, type_of_rows
from matching.orders import Side

CHECKED = 100  # events of the book from one checksum to the next
PART = 1000  # records of a snapshot in one message
DEPTH = 20  # levels of a side that `book.l2` tells
LAST, SNAPSHOT = 128, 32  # flags
_SIDES = {Side.BUY: "B", Side.SELL: "A"}


class Levels:
    """Quantity and number of orders by price: both sides of a book, without the orders."""

    def __init__(self, book: ShownBook) -> None:
        # (quantity, orders) by price in ticks, negative for bids: the best price first
        self._sides: dict[int, SortedDict] = {side: SortedDict() for side in Side}
        for shown in book.orders.values():
            self._put(shown, shown.quantity, 1)

    def take(self, change: Change) -> None:
        """Follow a change of the book."""
        match change.type:
            case "added":
                self._put(change.shown, change.shown.quantity, 1)
            case "reduced":
                self._put(change.shown, -change.taken, 0)
            case "removed":
                self._put(change.shown, -change.taken, -1)

    def best(self, side: Side, count: int) -> list[tuple[int, int, int]]:
        """(price in ticks, quantity, orders) of the best levels."""
        return [(abs(ticks), *level) for ticks, level in self._sides[side].items()[:count]]

    def _put(self, shown: Shown, quantity: int, orders: int) -> None:
        levels = self._sides[shown.side]
        ticks = -shown.price_ticks if shown.side == Side.BUY else shown.price_ticks
        before = levels.get(ticks, (0, 0))
        after = before[0] + quantity, before[1] + orders
        if after[1]:
            levels[ticks] = after
        else:
            del levels[ticks]


class BookChannel(EventChannel):
    """`book.l3`: every order as the book shows it, in records of the MBO kind."""

    def __init__(self, gateway: Gateway, key: Key, session_id: str, listed: Instrument) -> None:
        super().__init__(gateway, key, session_id)
        self.listed = listed
        self.book = ShownBook(gateway.history, gateway.exchange.path.desk.ladder, listed.number)
        self.levels = Levels(self.book)
        self.top_seq = self.depth_seq = self.last_seq  # when the best prices, the levels, last changed
        self.tops = self.depths = 0  # how often they have
        self._unchecked = 0  # events since the last checksum
        self._shown: tuple[int, list[str]] = (-1, [])  # the snapshot after a seq

    def orders(self) -> list[tuple[int, Shown]]:
        """All orders in the order of the book: bids, then asks; the best price first, the oldest of a price first."""

        def place(one: tuple[int, Shown]) -> tuple[bool, int]:
            shown = one[1]
            return shown.side == Side.SELL, shown.price_ticks if shown.side == Side.SELL else -shown.price_ticks

        return sorted(self.book.orders.items(), key=place)

    def checksum(self) -> int:
        """What the book sums up to: see :class:`api.stream.messages.BookChecksum`."""
        price = self.listed.price
        return checksum((one, price(shown.price_ticks), shown.quantity) for one, shown in self.orders())

    def snapshot(self) -> list[str]:
        if self._shown[0] != self.last_seq:  # once for all who come between two events
            self._shown = self.last_seq, self._snapshot()
        return self._shown[1]

    def _snapshot(self) -> list[str]:
        orders = self.orders()
        history = self.gateway.history
        sequence = int(history.events[self.last_seq - 1].sequence) if self.last_seq else 1
        now_ns = int(history.command(sequence).now_ns)

        def record(flags: int, **said: Any) -> Mbo:
            return Mbo(
                ts_recv=now_ns,
                ts_event=now_ns,
                instrument_id=self.listed.number,
                sequence=sequence,
                flags=SNAPSHOT | flags,
                **said,
            )

        records = [record(0 if orders else LAST, action="R", side="N", price=None, size=0, order_id=0)]
        for number, (order_id, shown) in enumerate(orders, 1):
            records.append(
                record(
                    LAST if number == len(orders) else 0,
                    action="A",
                    side=_SIDES[shown.side],
                    price=self.listed.price(shown.price_ticks),
                    size=shown.quantity,
                    order_id=order_id,
                )
            )
        parts = [records[start : start + PART] for start in range(0, len(records), PART)]
        return [
            self.written(
                messages.BookSnapshot, self.last_seq, self.last_seq, part=number, parts=len(parts), records=part
            )
            for number, part in enumerate(parts, 1)
        ]

    def wanted(self, events: type_of_rows) -> type_of_rows:
        wanted: type_of_rows = events["instrument"] == self.listed.number
        return wanted

    def hear(self, seq: int, event: Any, later: Any | None) -> None:
        records = list(self._of_trade(event)) if event.kind == EventKind.TRADED else []
        top = self._top()
        changes = 0
        for change in self.book.changes(event, later):
            self.levels.take(change)
            records.append(self._of_change(change))
            changes += 1
        if records:
            self._tell_records(seq, event, records)
        if changes:
            self.depths, self.depth_seq = self.depths + 1, seq
            if self._top() != top:
                self.tops, self.top_seq = self.tops + 1, seq
            self._unchecked += 1
            if self._unchecked == CHECKED:
                self._unchecked = 0
                self.tell(messages.BookChecksum, seq, checksum=self.checksum(), orders=len(self.book.orders))

    def _top(self) -> list[list[tuple[int, int, int]]]:
        return [self.levels.best(side, 1) for side in Side]

    def _tell_records(self, seq: int, event: Any, records: list[dict[str, Any]]) -> None:
        sequence = int(event.sequence)
        now_ns = int(self.gateway.history.command(sequence).now_ns)
        number = self.listed.number
        for left, record in zip(range(len(records) - 1, -1, -1), records, strict=True):
            self.tell(
                messages.BookTold,
                seq,
                ts_recv=now_ns,
                ts_event=now_ns,
                instrument_id=number,
                flags=0 if left else LAST,
                sequence=sequence,
                **record,
            )

    def _of_trade(self, event: Any) -> list[dict[str, Any]]:
        """That a trade happened: T of the taker, unless it was an auction, and F of whoever rested."""
        price, size = self.listed.price(int(event.price_ticks)), int(event.quantity)
        side = Side(int(event.side))
        is_auction = event.reason == Reason.AUCTION
        taker = {"order_id": 0, "side": "N"} if is_auction else {"order_id": int(event.order_id), "side": _SIDES[side]}
        rested = [(int(event.maker_order_id), side.opposite)]
        if is_auction:
            rested.insert(0, (int(event.order_id), side))
        return [
            {"action": "T", "price": price, "size": size, **taker},
            *(
                {"action": "F", "price": price, "size": size, "order_id": order_id, "side": _SIDES[side]}
                for order_id, side in rested
            ),
        ]

    def _of_change(self, change: Change) -> dict[str, Any]:
        is_added = change.type == "added"
        return {
            "action": "A" if is_added else "C",
            "side": _SIDES[change.shown.side],
            "price": self.listed.price(change.shown.price_ticks),
            "size": change.shown.quantity if is_added else change.taken,
            "order_id": change.order_id,
        }


class ConflatedChannel(Channel):
    """The newest state of a book, for those who come for it; `version` counts the states."""

    def __init__(self, gateway: Gateway, key: Key, session_id: str, book: BookChannel) -> None:
        book.catch_up()
        super().__init__(gateway, key, session_id, 0)
        self.book = book
        self.last_seq = self.floor = self.state_seq
        self._said: tuple[int, dict[str, Any]] = (-1, {})
        self._newest: dict[tuple[int, int], str] = {}  # what the newest state is told as, by what was told before

    @property
    def version(self) -> int:
        raise NotImplementedError

    @property
    def state_seq(self) -> int:
        """After which event it has been as it is."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """The state itself, as its messages say it."""
        raise NotImplementedError

    shape: type[messages.TopTold] | type[messages.DepthTold]

    def _listen(self) -> None:
        self.book.catch_up()
        self.last_seq = self.state_seq

    def newest(self, prev_seq: int, told: int) -> str:
        """The newest state, for whoever has been told `told` states so far, the last of them as `prev_seq`."""
        if self._said[0] != self.version:
            self._said = self.version, self.state()
            self._newest.clear()
        if (prev_seq, told) not in self._newest:
            said: dict[str, Any] = {"conflated": max(0, self.version - told - 1), **self._said[1]}
            self._newest[prev_seq, told] = self.written(self.shape, self.state_seq, prev_seq, **said)
        return self._newest[prev_seq, told]

    def snapshot(self) -> list[str]:
        return [self.newest(self.last_seq, self.version)]

    def replay(self, from_seq: int, to_seq: int) -> tuple[list[str], int]:
        said = f"{self.key.name} keeps no messages: each is the whole state. Subscribe anew."
        raise Problem(422, "not_replayable", said)

    def _levels(self, side: Side, count: int) -> list[LevelTold]:
        price = self.book.listed.price
        return [
            LevelTold(price=price(ticks), quantity=quantity, orders=orders)
            for ticks, quantity, orders in self.book.levels.best(side, count)
        ]


class TopChannel(ConflatedChannel):
    """`book.l1`."""

    shape = messages.TopTold

    @property
    def version(self) -> int:
        return self.book.tops

    @property
    def state_seq(self) -> int:
        return self.book.top_seq

    def state(self) -> dict[str, Any]:
        bid, ask = (next(iter(self._levels(side, 1)), None) for side in (Side.BUY, Side.SELL))
        return {"bid": bid, "ask": ask}


class DepthChannel(ConflatedChannel):
    """`book.l2`."""

    shape = messages.DepthTold

    @property
    def version(self) -> int:
        return self.book.depths

    @property
    def state_seq(self) -> int:
        return self.book.depth_seq

    def state(self) -> dict[str, Any]:
        return {"bids": self._levels(Side.BUY, DEPTH), "asks": self._levels(Side.SELL, DEPTH)}
