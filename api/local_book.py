"""A book of one's own, kept from the stream: it starts with the snapshot, follows every event, and proves itself.

    async with AsyncBookStream("http://127.0.0.1:8000", "HBEA-2025") as stream:
        async for book in stream:
            print(book.seq, book.best_bid, book.best_ask)

and the same without `async` for a `BookStream`. A message whose `prev_seq` is not where the book is shows a gap; the
stream then asks for what is missing, and goes on when it has it. What comes twice, or late, is left alone. Where the
connection is lost, or falls silent, the stream connects and subscribes anew, and the book begins with a new snapshot.

What can't be healed raises: BookGap if the exchange does not keep the messages any more, BookBroken if a checksum does
not fit or a record makes no sense, StreamRefused if the exchange does not let us in, and what lost the connection
(StreamStale if that is silence) if there is none again after `reconnect_s`. A book that has raised is not to be used.
"""

import asyncio
import json
import random
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from typing import Any, NamedTuple, Self

from websockets.asyncio import client as awaiting
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync import client as waiting

from api.calls import at_once
from api.signing import Signer, from_environment, headers

LAST = 128  # flag of the last record of an event
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0


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
        self._parts = self._part = 0  # of a snapshot: how many there are, how many have come
        self._event: list[dict[str, Any]] = []  # records of an event that is not all here yet

    def apply(self, message: dict[str, Any]) -> bool:
        """Take in a message of the channel; returns whether the book is another one now.

        Events are taken whole; what the book has been through already is left alone. BookGap if the message does not
        follow, BookBroken if it does not fit.
        """
        if message["type"] == "snapshot":
            return self._begin(message)
        seq, prev_seq = message["seq"], message["prev_seq"]
        if message["session_id"] != self.session_id or not self.is_whole:
            raise BookGap(self.seq, prev_seq)
        if message["type"] == "checksum":
            self._compare(message)
            return False
        if message["type"] != "book":
            raise BookBroken(f"{message['type']} is no message of a book")
        if seq <= self.seq:
            return False
        if prev_seq == self.seq:
            self._event = []
        elif not self._event or {prev_seq, self._event[0]["seq"]} != {seq}:
            raise BookGap(self.seq, prev_seq)
        self._event.append(message)
        if not message["flags"] & LAST:
            return False
        for record in self._event:
            self._record(record)
        self.seq, self._event = seq, []
        return True

    def forget(self) -> None:
        """Begin anew: a snapshot comes."""
        self.session_id, self._parts, self._part, self._event = "", 0, 0, []

    def _begin(self, message: dict[str, Any]) -> bool:
        if self.is_whole and message["part"] == 1 and message["seq"] > self.seq:
            self.forget()  # subscribed to once more
        if self.is_whole or message["part"] <= self._part:
            return False  # what it has already
        if message["part"] != self._part + 1:
            raise BookGap(self.seq, message["seq"])
        if message["part"] == 1:
            self._orders.clear()
        self._parts, self._part = message["parts"], message["part"]
        self.seq, self.session_id = message["seq"], message["session_id"]
        for record in message["records"]:
            self._record(record)
        return self.is_whole

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
        seq, prev_seq = message["seq"], message["prev_seq"]
        if seq < self.seq:
            return
        if seq > self.seq and (prev_seq != self.seq or self._event):
            raise BookGap(self.seq, prev_seq)
        if self.checksum() != message["checksum"]:
            raise BookBroken(f"after {seq} the checksum is {self.checksum()}, not {message['checksum']}")
        self.seq = seq
        self.checked += 1

    # -- asking it

    @property
    def is_whole(self) -> bool:
        """Whether it has had a snapshot, with all its parts."""
        return bool(self.session_id) and self._part == self._parts

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


class StreamStale(Exception):
    """Not even a heartbeat comes any more, or no answer: the connection counts as lost."""


class StreamRefused(Exception):
    """The exchange has refused, or closes the stream; `code` is stable, `status` that of HTTP."""

    def __init__(self, code: str, detail: str, status: int = 0) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.status = status


_LOST = (OSError, ConnectionClosed, InvalidHandshake, StreamStale, StreamRefused)  # OSError: also TimeoutError


def _is_passing(error: Exception) -> bool:
    """Whether what lost the connection may be over when we come again."""
    if isinstance(error, StreamRefused):
        return error.status in (408, 429, 503)  # too slow, too often, stopping
    if isinstance(error, InvalidStatus):
        return error.response.status_code in (429, 500, 502, 503, 504)
    return True


class _Stream:
    """What both streams are: what to ask, what to make of what is heard, and when to come again."""

    def __init__(
        self,
        base_url: str,
        symbol: str,
        signer: Signer | None = None,
        quiet_s: float = 5.0,
        reconnect_s: float = 15.0,
    ) -> None:
        self.book = LocalBook()
        self.healed = 0  # gaps that a replay has closed
        self.reconnected = 0
        self._url = base_url.replace("http", "ws", 1).rstrip("/") + "/v1/stream"
        self._symbol = symbol
        self._signer = signer or from_environment()
        self._quiet_s = quiet_s  # without so much as a heartbeat, or an answer, the connection counts as lost
        self._reconnect_s = reconnect_s
        self._heard: deque[dict[str, Any]] = deque()

    # -- how they differ

    async def _connect(self, signed: dict[str, str]) -> None:
        raise NotImplementedError

    async def _write(self, frame: str) -> None:
        raise NotImplementedError

    async def _read(self) -> str | bytes:
        """The next frame. TimeoutError if there is none for `quiet_s`."""
        raise NotImplementedError

    async def _close(self) -> None:
        raise NotImplementedError

    async def _pause(self, seconds: float) -> None:
        raise NotImplementedError

    # -- what they do

    async def _open(self) -> None:
        """Connect, subscribe, and have the snapshot."""
        signed = headers(self._signer, time.time_ns(), "GET", "/v1/stream") if self._signer else {}
        await self._connect(signed)
        self._heard.clear()
        self.book.forget()
        try:
            await self._ask(op="subscribe", channel="book.l3", symbol=self._symbol)
            deadline = time.monotonic() + self._quiet_s
            while not self.book.is_whole:
                if time.monotonic() > deadline:
                    raise StreamStale(f"no snapshot for {self._quiet_s} s")
                message = await self._next()
                if message["type"] in ("error", "snapshot"):
                    self._take(message)
        except BookGap as gap:
            await self._close()
            raise StreamStale("the snapshot lacks a part") from gap
        except BaseException:
            await self._close()
            raise

    async def _change(self) -> LocalBook:
        """The book after the next event that changes it, or after a new snapshot."""
        while True:
            try:
                message = await self._next()
                try:
                    changed = self._take(message)
                except BookGap as gap:
                    await self._heal(message, gap)
                    changed = True
            except _LOST as error:
                await self._reopen(error)
                changed = True
            if changed:
                return self.book

    async def _reopen(self, lost: Exception) -> None:
        """Connect and subscribe anew, with growing pauses; what lost the connection if that takes too long."""
        deadline, pause_s = time.monotonic() + self._reconnect_s, _FIRST_PAUSE_S
        await self._close()
        while True:
            if not _is_passing(lost) or time.monotonic() + pause_s > deadline:
                raise lost
            await self._pause(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                await self._open()
            except _LOST as error:
                lost = error
            else:
                self.reconnected += 1
                return

    def _take(self, message: dict[str, Any]) -> bool:
        """Take in a message; returns whether the book has changed."""
        match message["type"]:
            case "error":
                raise StreamRefused(message["code"], message["detail"], message["status"])
            case "heartbeat":
                [place] = message["channels"]
                if place["last_seq"] > self.book.seq:
                    raise BookGap(self.book.seq, place["last_seq"])
            case "snapshot" | "book" | "checksum":
                return self.book.apply(message)
        return False

    async def _heal(self, message: dict[str, Any], gap: BookGap) -> None:
        """Close a gap by what the exchange still keeps; BookGap if that is not enough."""
        to_seq, left = message.get("seq", gap.next_prev_seq), list[dict[str, Any]]()
        while self.book.seq < to_seq:
            frame = {"op": "replay", "channel": "book.l3", "symbol": self._symbol}
            await self._ask(**frame, from_seq=self.book.seq + 1, to_seq=to_seq)
            deadline = time.monotonic() + self._quiet_s
            while (answer := await self._next())["type"] not in ("replay", "error"):
                left.append(answer)
                if time.monotonic() > deadline:
                    raise StreamStale(f"no replay for {self._quiet_s} s")
            if answer["type"] == "error" or answer["session_id"] != self.book.session_id or not answer["messages"]:
                raise gap
            try:
                for missing in answer["messages"]:
                    self.book.apply(missing)
            except BookGap:
                raise gap from None
        self._heard.extendleft(reversed(left))
        self.healed += 1

    async def _ask(self, **frame: Any) -> None:
        await self._write(json.dumps(frame))

    async def _next(self) -> dict[str, Any]:
        while not self._heard:
            try:
                frame = await self._read()
            except TimeoutError:
                raise StreamStale(f"not a word for {self._quiet_s} s; the book is as of {self.book.seq}") from None
            self._heard.extend(json.loads(frame))
        return self._heard.popleft()


class AsyncBookStream(_Stream):
    """A local book and the socket that feeds it, for those who await."""

    _socket: awaiting.ClientConnection

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._close()

    async def __aiter__(self) -> AsyncIterator[LocalBook]:
        """The book as it is, then after each event that changes it."""
        yield self.book
        while True:
            yield await self._change()

    async def _connect(self, signed: dict[str, str]) -> None:
        self._socket = await awaiting.connect(self._url, additional_headers=signed, max_size=None)

    async def _write(self, frame: str) -> None:
        await self._socket.send(frame)

    async def _read(self) -> str | bytes:
        return await asyncio.wait_for(self._socket.recv(), self._quiet_s)

    async def _close(self) -> None:
        await self._socket.close()

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class BookStream(_Stream):
    """The same for those who wait."""

    _socket: waiting.ClientConnection
    _leave: ExitStack | None = None

    def __enter__(self) -> Self:
        at_once(self._open())
        return self

    def __exit__(self, *exc: object) -> None:
        at_once(self._close())

    def __iter__(self) -> Iterator[LocalBook]:
        """The book as it is, then after each event that changes it."""
        yield self.book
        while True:
            yield at_once(self._change())

    async def _connect(self, signed: dict[str, str]) -> None:
        self._leave = ExitStack()
        connection = waiting.connect(self._url, additional_headers=signed, max_size=None)
        self._socket = self._leave.enter_context(connection)

    async def _write(self, frame: str) -> None:
        self._socket.send(frame)

    async def _read(self) -> str | bytes:
        return self._socket.recv(timeout=self._quiet_s)

    async def _close(self) -> None:
        if self._leave is not None:
            self._leave.close()

    async def _pause(self, seconds: float) -> None:
        time.sleep(seconds)
