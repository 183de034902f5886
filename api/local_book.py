"""A book of one's own, kept from the stream: it starts with the snapshot, follows every record, and proves itself.

    async with BookStream("http://127.0.0.1:8000", "HBEA-2025") as stream:
        async for book in stream:
            print(book.seq, book.best_bid, book.best_ask)

A message whose `prev_seq` is not the `seq` of the one before shows a gap; the stream then asks for what is missing, and
goes on when it has it. What can't be healed raises: BookGap if the exchange does not keep the messages any more,
BookBroken if a checksum does not fit or a record makes no sense. A book that has raised is not to be used.
"""

import asyncio
import json
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple, Self

from websockets.asyncio.client import ClientConnection, connect

from api.signing import Signer, from_environment, headers


class BookGap(Exception):
    """Messages are missing, from one seq to another, and can't be had any more."""

    def __init__(self, last_seq: int, next_prev_seq: int) -> None:
        super().__init__(f"the book ends at {last_seq}, what comes next begins after {next_prev_seq}")
        self.last_seq = last_seq
        self.next_prev_seq = next_prev_seq


class BookBroken(Exception):
    """The book is not what the exchange says it is."""


class Order(NamedTuple):
    """An order as shown; price a decimal string per t, size in tCO2e."""

    order_id: int
    side: str  # "B": bid, "A": ask
    price: str
    size: int


class Level(NamedTuple):
    price: str
    quantity: int
    orders: int


def checksum(orders: Iterable[tuple[int, str, int]]) -> int:
    """CRC-32 of orders in the order of the book, each as (order id, price, size): see the channel `book.l3`."""
    return zlib.crc32("".join(f"{order_id}:{price}:{size};" for order_id, price, size in orders).encode("ascii"))


class LocalBook:
    """The orders of one instrument, from the messages of `book.l3`."""

    def __init__(self) -> None:
        self.seq = 0  # the book is the state after this event
        self.session_id = ""
        self.checked = 0  # checksums that have fitted
        self._orders: dict[int, Order] = {}  # those of one price oldest first
        self._parts = 0  # of a snapshot, that are still to come

    def apply(self, message: dict[str, Any]) -> None:
        """Take in a message of the channel. BookGap if it does not follow, BookBroken if it does not fit."""
        if message["type"] == "snapshot":
            self._begin(message)
            return
        if message["session_id"] != self.session_id or message["prev_seq"] != self.seq or self._parts:
            raise BookGap(self.seq, message["prev_seq"])
        if message["type"] == "checksum":
            self._compare(message)
        elif message["type"] == "book":
            self._record(message)
        else:
            raise BookBroken(f"{message['type']} is no message of a book")
        self.seq = message["seq"]

    def _begin(self, message: dict[str, Any]) -> None:
        if message["part"] == 1:
            self._orders.clear()
            self._parts = message["parts"]
        self._parts -= 1
        self.seq, self.session_id = message["seq"], message["session_id"]
        for record in message["records"]:
            self._record(record)

    def _record(self, record: dict[str, Any]) -> None:
        order_id = record["order_id"]
        match record["action"]:
            case "R":
                self._orders.clear()
            case "A" if order_id not in self._orders:
                self._orders[order_id] = Order(order_id, record["side"], record["price"], record["size"])
            case "C" if order_id in self._orders and record["size"] <= self._orders[order_id].size:
                order = self._orders[order_id]
                if order.size == record["size"]:
                    del self._orders[order_id]
                else:
                    self._orders[order_id] = order._replace(size=order.size - record["size"])
            case "T" | "F":
                pass
            case action:
                raise BookBroken(f"{action} of order {order_id} does not fit the book")

    def _compare(self, message: dict[str, Any]) -> None:
        if self.checksum() != message["checksum"]:
            raise BookBroken(f"after {self.seq} the checksum is {self.checksum()}, not {message['checksum']}")
        self.checked += 1

    # -- asking it

    @property
    def is_whole(self) -> bool:
        """Whether it has had a snapshot, with all its parts."""
        return bool(self.session_id) and not self._parts

    def orders(self, side: str) -> list[Order]:
        """The orders of a side ("B" or "A"), the best price first, the oldest of a price first."""
        sign = -1 if side == "B" else 1
        return sorted(
            (one for one in self._orders.values() if one.side == side), key=lambda one: sign * Decimal(one.price)
        )

    def levels(self, side: str) -> list[Level]:
        """The price levels of a side, the best first."""
        found: dict[str, Level] = {}
        for one in self.orders(side):
            level = found.get(one.price, Level(one.price, 0, 0))
            found[one.price] = Level(one.price, level.quantity + one.size, level.orders + 1)
        return list(found.values())

    @property
    def best_bid(self) -> Level | None:
        return next(iter(self.levels("B")), None)

    @property
    def best_ask(self) -> Level | None:
        return next(iter(self.levels("A")), None)

    def checksum(self) -> int:
        """What the exchange would say the book sums up to."""
        orders = [*self.orders("B"), *self.orders("A")]
        return checksum((one.order_id, one.price, one.size) for one in orders)

    def __len__(self) -> int:
        return len(self._orders)

    def __iter__(self) -> Iterator[Order]:
        return iter([*self.orders("B"), *self.orders("A")])


class BookStream:
    """A local book and the socket that feeds it.

    BookGap, BookBroken, StreamRefused or StreamStale if it can't go on.
    """

    def __init__(self, base_url: str, symbol: str, signer: Signer | None = None, quiet_s: float = 5.0) -> None:
        self.book = LocalBook()
        self.healed = 0  # gaps that a replay has closed
        self._url = base_url.replace("http", "ws", 1).rstrip("/") + "/v1/stream"
        self._symbol = symbol
        self._signer = signer or from_environment()
        self._quiet_s = quiet_s  # without so much as a heartbeat the connection counts as lost
        self._socket: ClientConnection | None = None
        self._heard: deque[dict[str, Any]] = deque()

    async def __aenter__(self) -> Self:
        signed = headers(self._signer, time.time_ns(), "GET", "/v1/stream") if self._signer else {}
        self._socket = await connect(self._url, additional_headers=signed, max_size=None)
        try:
            await self._ask(op="subscribe", channel="book.l3", symbol=self._symbol)
            while not self.book.is_whole:
                self._take(await self._next())
        except BaseException:
            await self._socket.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def __aiter__(self) -> AsyncIterator[LocalBook]:
        """The book after each event that changed it."""
        while True:
            message = await self._next()
            try:
                changed = self._take(message)
            except BookGap as gap:
                await self._heal(message, gap)
                changed = True
            if changed:
                yield self.book

    def _take(self, message: dict[str, Any]) -> bool:
        """Take in a message; returns whether the book is after an event now."""
        match message["type"]:
            case "error":
                raise StreamRefused(message["code"], message["detail"])
            case "heartbeat":
                [place] = message["channels"]
                if place["last_seq"] != self.book.seq:
                    raise BookGap(self.book.seq, place["last_seq"])
            case "snapshot" | "book" | "checksum":
                self.book.apply(message)
        return message["type"] == "book" and bool(message["flags"] & 128)

    async def _heal(self, message: dict[str, Any], gap: BookGap) -> None:
        """Close a gap by what the exchange still keeps; BookGap if that is not enough."""
        if gap.next_prev_seq <= self.book.seq:
            raise gap
        to_seq, left = message.get("seq", gap.next_prev_seq), list[dict[str, Any]]()
        while self.book.seq < to_seq:
            frame = {"op": "replay", "channel": "book.l3", "symbol": self._symbol}
            await self._ask(**frame, from_seq=self.book.seq + 1, to_seq=to_seq)
            answer = await self._next()
            while answer["type"] not in ("replay", "error"):
                left.append(answer)
                answer = await self._next()
            if answer["type"] == "error" or answer["session_id"] != self.book.session_id or not answer["messages"]:
                raise gap
            for missing in answer["messages"]:
                self.book.apply(missing)
        self._heard.extendleft(reversed([one for one in left if one.get("seq", to_seq + 1) > to_seq]))
        self.healed += 1

    async def _ask(self, **frame: Any) -> None:
        assert self._socket is not None, "the stream is open"
        await self._socket.send(json.dumps(frame))

    async def _next(self) -> dict[str, Any]:
        assert self._socket is not None, "the stream is open"
        while not self._heard:
            try:
                frame = await asyncio.wait_for(self._socket.recv(), self._quiet_s)
            except TimeoutError:
                raise StreamStale(f"not a word for {self._quiet_s} s; the book is as of {self.book.seq}") from None
            self._heard.extend(json.loads(frame))
        return self._heard.popleft()


class StreamStale(Exception):
    """Not even a heartbeat comes any more: the connection counts as lost."""


class StreamRefused(Exception):
    """The exchange has refused, or closes the stream; `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
