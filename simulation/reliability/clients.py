"""One client process: sends orders, batches, deposits, cancels and reads, and notes each request and each answer.

    python -m simulation.reliability.clients ACCOUNT LOG      one Task a line on standard input, one Done a line back

What a request says follows from its name alone (:func:`terms`), so that whoever reads the log knows what was sent.
The log has a line for each request, written before it is sent, and one for each answer:

    S number kind target sent_ns            target: the order of a cancel, the size of a batch
    A number status took_ns retry body      retry: Retry-After, - if there is none

A loop is closed (each connection sends when its answer has come) or open (so many requests a second, whatever the
answers do; one for which no connection is free is counted and not sent).
"""

import asyncio
import json
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple, cast
from zlib import crc32

import msgspec
import uvloop

SYMBOL = "HBEA-2025"
MIDDLE = 4000  # fen
BATCH = 50  # orders, unless a mix says another number

Mix = Mapping[str, int]
MIXES: dict[str, Mix] = {
    "kills": {"order": 60, "batch": 8, "cancel": 20, "deposit": 8, "read": 4},
    "soak": {"order": 55, "batch": 2, "cancel": 30, "deposit": 3, "read": 10},
    "overload": {"order": 70, "batch": 30},
}
READS = (
    f"/v1/books/{SYMBOL}", "/v1/market", "/v1/accounts/{account}",
    "/v1/orders?account_id={account}&open=true&limit=20",
)  # fmt: skip


class Task(msgspec.Struct):
    """What to do next."""

    port: int
    seconds: float
    mix: str
    connections: int
    rate: float = 0.0  # requests a second of an open loop; 0: a closed one
    batch: int = BATCH


class Done(msgspec.Struct):
    """What was done."""

    sent: int
    answered: int
    unsent: int = 0  # of an open loop, for want of a free connection


class Terms(NamedTuple):
    """What an order says."""

    side: str
    price: int  # fen
    quantity: int


def terms(name: str) -> Terms:
    """What the order of a client order id says."""
    drawn = crc32(name.encode())
    return Terms("sell" if drawn & 1 else "buy", MIDDLE - 5 + (drawn >> 1) % 11, 1 + (drawn >> 8) % 20)


def deposit_of(number: int) -> int:
    """Fen of a client's deposit: another amount each time."""
    return number + 1


def names_of(account: str, number: int, kind: str, target: int) -> list[str]:
    """The client order ids of a request."""
    if kind == "batch":
        return [f"{account}-{number}-{place}" for place in range(target)]
    return [f"{account}-{number}"] if kind == "order" else []


class Asked(NamedTuple):
    """A request."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]


def request_of(account: str, number: int, kind: str, target: int) -> Asked:
    """What the log's line of a request stands for."""
    if kind == "order":
        order = {"account_id": account} | _order(f"{account}-{number}")
        return Asked("POST", "/v1/orders", json.dumps(order).encode(), {})
    if kind == "batch":
        orders = [_order(name) for name in names_of(account, number, kind, target)]
        body = {"account_id": account, "on_error": "continue", "orders": orders}
        return Asked("POST", "/v1/orders/batch", json.dumps(body).encode(), {})
    if kind == "deposit":
        amount = deposit_of(number)
        body = {"amount": f"{amount // 100}.{amount % 100:02}"}
        key = {"idempotency-key": f"{account}-{number}"}
        return Asked("POST", f"/v1/accounts/{account}/deposits", json.dumps(body).encode(), key)
    if kind == "cancel":
        return Asked("DELETE", f"/v1/orders/{target}?account_id={account}", b"", {})
    return Asked("GET", READS[number % len(READS)].format(account=account), b"", {})


def _order(name: str) -> dict[str, Any]:
    said = terms(name)
    price = f"{said.price // 100}.{said.price % 100:02}"
    return {"symbol": SYMBOL, "side": said.side, "price": price, "quantity": said.quantity, "client_order_id": name}


def on_the_wire(asked: Asked) -> bytes:
    """A request as HTTP/1.1."""
    more = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items())
    head = f"{asked.method} {asked.path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{more}"
    return f"{head}content-length: {len(asked.body)}\r\n\r\n".encode() + asked.body


class Reply(NamedTuple):
    """An answer."""

    status: int
    retry_after: str
    body: bytes


class Wire(asyncio.Protocol):
    """One connection, a request at a time; `heard` is told the answer, or None when the connection is gone."""

    def __init__(self, heard: "Callable[[Wire, Reply | None], None]") -> None:
        self._heard = heard
        self._buffer = b""
        self.number, self.sent_ns = -1, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, number: int, request: bytes) -> None:
        self.number, self.sent_ns = number, time.perf_counter_ns()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._buffer[:head_end].lower()
        body_end = head_end + 4 + int(_header(head, b"content-length") or 0)
        if len(self._buffer) < body_end:
            return
        body, self._buffer = self._buffer[head_end + 4 : body_end], b""
        retry = _header(head, b"retry-after").decode()
        self._heard(self, Reply(int(head[9:12]), retry or "-", body.replace(b"\n", b" ")))

    def connection_lost(self, error: Exception | None) -> None:
        self._heard(self, None)


def _header(head: bytes, name: bytes) -> bytes:
    start = head.find(b"\r\n" + name + b": ")
    if start < 0:
        return b""
    start += len(name) + 4
    end = head.find(b"\r", start)
    return head[start : end if end >= 0 else None]


class _Placed(msgspec.Struct):
    """What is read of an answer."""

    order_id: int
    status: str


_placed = msgspec.json.Decoder(_Placed).decode


class Client:
    """The requests of one account, numbered from 0 over all tasks."""

    def __init__(self, account: str, log: BinaryIO) -> None:
        self._account, self._log = account, log
        self._random = random.Random(account)
        self._next = 0
        self._open: list[int] = []  # orders of its own that may rest
        self._kinds: dict[int, str] = {}  # of requests under way

    async def run(self, task: Task) -> Done:
        """Do what a task says, until its time is over or all connections are gone."""
        self._task, self._done = task, Done(0, 0)
        mix = MIXES[task.mix]
        self._kinds_drawn, self._weights = [*mix], [*mix.values()]
        self._wires = set[Wire]()
        self._free = deque[Wire]()
        self._is_over, self._ended = False, asyncio.Event()
        self._kinds.clear()
        await self._connect()
        if task.rate:
            await self._open_loop(asyncio.get_running_loop().time())
        else:
            for wire in [*self._wires]:
                self._send(wire)
            await self._wait(task.seconds)
        self._is_over = True
        await self._drain()
        for wire in self._wires:
            wire.transport.abort()
        self._log.flush()
        return self._done

    async def _connect(self) -> None:
        """Have as many connections as the task says, unless the server has been killed."""
        loop = asyncio.get_running_loop()
        while len(self._wires) < self._task.connections:
            try:
                _, wire = await loop.create_connection(lambda: Wire(self._heard), "127.0.0.1", self._task.port)
            except OSError:
                break
            self._wires.add(wire)
            self._free.append(wire)
        if not self._wires:
            self._ended.set()

    async def _open_loop(self, began: float) -> None:
        loop, issued = asyncio.get_running_loop(), 0
        while (now := loop.time()) < began + self._task.seconds and not self._ended.is_set():
            await self._connect()  # a server lets go of connections that were idle for long
            due = int((now - began) * self._task.rate)
            for _ in range(due - issued):
                wire = self._free_wire()
                if wire is not None:
                    self._send(wire)
                else:
                    self._done.unsent += 1
            issued = due
            await asyncio.sleep(0.002)

    def _free_wire(self) -> Wire | None:
        """That which has been idle longest."""
        while self._free:
            wire = self._free.popleft()
            if not wire.transport.is_closing():
                return wire
        return None

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._ended.wait(), seconds)
        except TimeoutError:
            return

    async def _drain(self) -> None:
        """Let what is under way be answered."""
        deadline = time.monotonic() + 30
        while self._kinds and not self._ended.is_set() and time.monotonic() < deadline:
            await asyncio.sleep(0.005)

    def _send(self, wire: Wire) -> None:
        number, self._next = self._next, self._next + 1
        [kind] = self._random.choices(self._kinds_drawn, self._weights)
        target = self._task.batch if kind == "batch" else 0
        if kind == "cancel":
            if self._open:
                target = self._open.pop(self._random.randrange(len(self._open)))
            else:
                kind = "order"
        request = on_the_wire(request_of(self._account, number, kind, target))
        self._kinds[number] = kind
        self._log.write(b"S %d %b %d %d\n" % (number, kind.encode(), target, time.time_ns()))
        self._done.sent += 1
        wire.send(number, request)

    def _heard(self, wire: Wire, reply: Reply | None) -> None:
        if reply is None:
            self._wires.discard(wire)
            self._kinds.pop(wire.number, None)
            if wire in self._free:
                self._free.remove(wire)
            if not self._wires and not self._task.rate:
                self._ended.set()
            return
        took_ns = time.perf_counter_ns() - wire.sent_ns
        kind = self._kinds.pop(wire.number)
        body = reply.body if kind != "read" else b""
        line = (wire.number, reply.status, took_ns, reply.retry_after.encode(), body)
        self._log.write(b"A %d %d %d %b %b\n" % line)
        self._done.answered += 1
        if kind == "order" and reply.status in (200, 201):
            placed = _placed(reply.body)
            if placed.status == "open":
                self._open.append(placed.order_id)
        if self._is_over:
            return
        if self._task.rate:
            self._free.append(wire)
        else:
            self._send(wire)


def main(account: str, log: str) -> None:
    """Do the tasks of standard input until it ends."""
    with open(log, "ab", buffering=1 << 16) as file:
        client = Client(account, file)
        for line in sys.stdin:
            done = uvloop.run(client.run(msgspec.json.decode(line, type=Task)))
            sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
