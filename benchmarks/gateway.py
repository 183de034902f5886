"""How many orders a second come through the gateway, on disk before they are answered; and who hears of them.

    this process: bare sockets --HTTP on loopback--> `carbonex serve`: a journal on disk, an answer for each order
    the same                ----WebSocket---------->
    the same client            --HTTP on loopback--> an ordinary FastAPI route: a pydantic model in and out, no more

Single orders on 64 connections, each of which waits for its answer; with client order ids, as the client of the
exchange sends them; without keys, and signed by HMAC. Orders on the stream, many on their way at once
(:mod:`benchmarks.pipeline`). Batches of 1,000 orders on 4 connections, for each `on_error`. The orders of 64 accounts
are random about one price, so that more than half of them trade. The route is the yardstick, measured in turn with the
rest: it takes an order and gives it back. Then market data to many subscribers (:mod:`benchmarks.market_data`).

Before a number is printed, every answer was a success, every order that was answered stands in the journal as it was
sent, and the exchange that the journal makes has the digest of the one that served.
"""

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np
import uvloop
from rich.table import Table

from api import signing
from api.access.keys import KeyFile, Limits, Role
from api.history import History
from benchmarks import market_data, pipeline
from benchmarks.flows import START_TICKS
from benchmarks.measure import WrongAnswer, show, table
from benchmarks.trading_path import market
from exchange import invariants
from exchange.commands import OnError
from exchange.engine import recorded
from exchange.instruments import money
from exchange.journal import SqliteJournal
from exchange.rows import EventKind
from exchange.state import Exchange
from exchange.transition import apply
from simulation.ports import free_port

CONNECTIONS, BATCH_CONNECTIONS, BATCH = 64, 4, 1000
ACCOUNTS = 64
MIDDLE_TICKS = START_TICKS
ROUTE, SIGNED = "ordinary route", "order, signed"
FEEDS = {"trades, book.l2": ["trades", "book.l2"], "book.l3": ["book.l3"]}


class Sizes(NamedTuple):
    """How much of everything."""

    orders: int  # single ones of each run
    batches: int
    runs: int
    rate: int  # orders a second while there are subscribers
    seconds: int  # for which they come
    subscribers: int


class Run(NamedTuple):
    """One timed run."""

    rate: float  # orders a second
    cpu_us: float  # of the server's processor, an order
    p99_ms: float
    answers: list[bytes]  # bodies


class Connection(asyncio.Protocol):
    """Sends a request, waits for its answer, sends the next."""

    def __init__(self, requests: list[Callable[[], bytes]], answers: list[bytes], took_ns: list[int]) -> None:
        self._requests, self._answers, self._took_ns = iter(requests), answers, took_ns
        self._buffer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            self.done.set_result(None)
            return
        self._sent_ns = time.perf_counter_ns()
        self._transport.write(request())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._buffer.find(b"content-length: ") + 16
        length = int(self._buffer[at : self._buffer.find(b"\r", at)])
        if len(self._buffer) < head + 4 + length:
            return
        self._took_ns.append(time.perf_counter_ns() - self._sent_ns)
        if not self._buffer.startswith(b"HTTP/1.1 20"):
            self.done.set_exception(WrongAnswer(self._buffer.decode()))
            return
        self._answers.append(self._buffer[head + 4 :])
        self._buffer = b""
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or WrongAnswer("the server has hung up"))


def load(server: "Server", requests: list[Callable[[], bytes]], connections: int, orders: int) -> Run:
    """Send requests over so many connections; each of them has its share."""

    async def all_of_them() -> Run:
        answers, took_ns = list[bytes](), list[int]()
        shares = [requests[number::connections] for number in range(connections)]
        loop = asyncio.get_running_loop()
        opened = []
        for share in shares:

            def made(share: list[Callable[[], bytes]] = share) -> Connection:
                return Connection(share, answers, took_ns)

            opened.append((await loop.create_connection(made, "127.0.0.1", server.port))[1])
        began, cpu_began_s = time.perf_counter(), server.cpu_s
        for one in opened:
            one.send()
        await asyncio.gather(*(one.done for one in opened))
        took_s = time.perf_counter() - began
        cpu_us = (server.cpu_s - cpu_began_s) / orders * 1e6
        return Run(orders / took_s, cpu_us, float(np.percentile(took_ns, 99)) / 1e6, answers)

    return uvloop.run(all_of_them())


def pipelined(server: "Server", orders: list[dict[str, object]], in_arrays: bool = False) -> Run:
    """Send orders over the stream, in a frame each or in arrays."""
    cpu_began_s = server.cpu_s
    pipes, took_s = uvloop.run(pipeline.all_through(server.port, orders, in_arrays))
    cpu_us = (server.cpu_s - cpu_began_s) / len(orders) * 1e6
    p99_ms = float(np.percentile([one for pipe in pipes for one in pipe.took_ns], 99)) / 1e6
    return Run(len(orders) / took_s, cpu_us, p99_ms, [body for pipe in pipes for body in pipe.answers])


# ---------------------------------------------------------------- what is sent


class Orders:
    """Random orders, and requests made of them."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(2026)
        self._count = 0
        self.terms: dict[str, tuple[int, int]] = {}  # price in ticks and quantity, by client order id

    def order(self, account: int | None, with_id: bool) -> dict[str, object]:
        """An order; of an account, or of whom a batch names."""
        self._count += 1
        side, away, quantity = self._random.integers(0, 2), self._random.integers(-5, 6), self._random.integers(1, 100)
        terms: dict[str, object] = {
            "symbol": "H0", "side": "sell" if side else "buy", "price": money(MIDDLE_TICKS + int(away)),
            "quantity": int(quantity),
        }  # fmt: skip
        if account is not None:
            terms["account_id"] = f"T{account}"
        if with_id:
            terms["client_order_id"] = f"o{self._count}"
            self.terms[f"o{self._count}"] = MIDDLE_TICKS + int(away), int(quantity)
        return terms

    def singles(self, count: int, signers: list[signing.Signer] | None = None) -> list[Callable[[], bytes]]:
        """Requests with an order each; of account n all those of connection n."""
        found: list[Callable[[], bytes]] = []
        for number in range(count):
            body = json.dumps(self.order(number % ACCOUNTS, True)).encode()
            if signers is None:
                found.append(_fixed(_request("/v1/orders", body)))
            else:
                found.append(_signed(signers[number % ACCOUNTS], "/v1/orders", body))
        return found

    def plain(self, count: int) -> list[dict[str, object]]:
        """Orders, those of each account in turn."""
        return [self.order(number % ACCOUNTS, True) for number in range(count)]

    def batches(self, count: int, on_error: OnError, with_ids: bool) -> list[Callable[[], bytes]]:
        """Requests with BATCH orders each."""
        found = []
        for number in range(count):
            orders = [self.order(None, with_ids) for _ in range(BATCH)]
            body = {"account_id": f"T{number % ACCOUNTS}", "on_error": on_error, "orders": orders}
            found.append(_fixed(_request("/v1/orders/batch", json.dumps(body).encode())))
        return found


def _fixed(request: bytes) -> Callable[[], bytes]:
    return lambda: request


def _signed(signer: signing.Signer, path: str, body: bytes) -> Callable[[], bytes]:
    """A request that is signed when it is sent."""

    def made() -> bytes:
        headers = signing.headers(signer, time.time_ns(), "POST", path, body)
        return _request(path, body, "".join(f"{name}: {value}\r\n" for name, value in headers.items()))

    return made


def _request(path: str, body: bytes, headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


# ---------------------------------------------------------------- what is measured


def ordinary_route(port: int) -> None:
    """Serve the yardstick."""
    import uvicorn
    from fastapi import FastAPI

    from api.schemas import NewOrder

    app = FastAPI()

    @app.post("/v1/orders", status_code=201)
    async def place(order: NewOrder) -> NewOrder:
        return order

    uvicorn.run(app, port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning")


class Server(NamedTuple):
    """A process that listens."""

    port: int
    process: int

    @property
    def cpu_s(self) -> float:
        """What it has had of the processors: all of its threads."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(port: int, *command: str) -> Iterator[Server]:
    """A server in a process of its own, ready."""
    process = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL)
    try:
        while not _answers(port):
            if process.poll() is not None:
                raise WrongAnswer(f"{command[0]} did not start")
            time.sleep(0.05)
        yield Server(port, process.pid)
        process.send_signal(signal.SIGINT)
        process.wait(60)
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    """Whether a server answers, and not only that it is starting."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as asked:
        try:
            asked.request("GET", "/health/ready")
            return asked.getresponse().status != 503
        except (OSError, HTTPException):
            return False


def prepare(folder: Path) -> tuple[Path, list[signing.Signer]]:
    """A journal of an exchange that trades, everybody rich; and a key for each account, not in use yet."""
    path, engine = folder / "journal", market(ACCOUNTS, 1)
    journal = SqliteJournal(path)
    for block in engine.journal.blocks():
        journal.append(block).result()
    journal.close()
    keys = KeyFile(folder / "keys", time.time_ns)
    unlimited = Limits(requests_per_second=10**9, burst=10**9)
    given = [keys.create(Role.TRADER, f"T{number}", limits=unlimited) for number in range(ACCOUNTS)]
    keys.close()
    return path, [signing.HmacSigner(one.key.key_id, one.secret) for one in given]


def run(sizes: Sizes, what: Collection[str]) -> None:
    """Measure and print; `what`: singles, signed, stream, batches, feed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers do not outlive us
    with tempfile.TemporaryDirectory(prefix="carbonex-") as name, ExitStack() as servers:
        folder, sent = Path(name), Orders()
        path, signers = prepare(folder)
        served = {}
        for one, journal, extra in (
            ("open", path, ()),
            ("closed", folder / "signed", ("--keys", str(folder / "keys"))),
        ):
            if one == "closed":
                journal.write_bytes(path.read_bytes())
            port = free_port()
            command = ("exchange.cli", "serve", "--manual", "--journal", str(journal), "--port", str(port), *extra)
            served[one] = servers.enter_context(serving(port, *command))
        port = free_port()
        route = servers.enter_context(serving(port, "benchmarks.gateway", str(port)))
        kinds = _kinds(sizes, what, sent, signers, route, served["open"], served["closed"])
        found: dict[str, list[Run]] = {kind: [] for kind in kinds}
        for _ in range(sizes.runs + 1 if len(kinds) > 1 else 0):
            for kind, measure in kinds.items():
                found[kind].append(measure())
        feeds: dict[str, list[market_data.Run]] = {name: [] for name in FEEDS if "feed" in what}
        for _ in range(sizes.runs):
            for channels in feeds:
                feeds[channels].append(_fed(sizes, sent, served["open"], FEEDS[channels]))
        answers = [body for kind, made in found.items() if kind not in (ROUTE, SIGNED)
                   for one in made for body in one.answers]  # fmt: skip
        answers += [body for made in feeds.values() for one in made for body in one.answers]
        check(path, _digest(served["open"].port), answers, sent)
        if SIGNED in found:
            check(folder / "signed", "", [body for one in found[SIGNED] for body in one.answers], sent)
    tables = []
    if len(kinds) > 1:
        tables.append(_orders_table({kind: made[1:] for kind, made in found.items()}))
    if feeds:
        tables.append(_feeds_table(sizes, feeds))
    show(sizes.runs, *tables)


def _kinds(
    sizes: Sizes,
    what: Collection[str],
    sent: Orders,
    signers: list[signing.Signer],
    route: "Server",
    open_to_all: "Server",
    closed: "Server",
) -> dict[str, Callable[[], Run]]:
    """What is measured of orders, in the order in which it is."""
    orders = sizes.orders
    kinds: dict[str, Callable[[], Run]] = {ROUTE: lambda: load(route, sent.singles(orders), CONNECTIONS, orders)}
    if "singles" in what:
        kinds["order"] = lambda: load(open_to_all, sent.singles(orders), CONNECTIONS, orders)
    if "signed" in what:
        kinds[SIGNED] = lambda: load(closed, sent.singles(orders, signers), CONNECTIONS, orders)
    if "stream" in what:
        kinds["orders on the stream"] = lambda: pipelined(open_to_all, sent.plain(2 * orders))
        kinds["the same, in arrays"] = lambda: pipelined(open_to_all, sent.plain(2 * orders), in_arrays=True)
    ways = [*((one, False) for one in OnError), (OnError.CONTINUE, True)] if "batches" in what else []
    for on_error, with_ids in ways:

        def batch(on_error: OnError = on_error, with_ids: bool = with_ids) -> Run:
            requests = sent.batches(sizes.batches, on_error, with_ids)
            return load(open_to_all, requests, BATCH_CONNECTIONS, sizes.batches * BATCH)

        kinds[f"batch, {on_error}{', with ids' if with_ids else ''}"] = batch
    return kinds


def _fed(sizes: Sizes, sent: Orders, server: "Server", channels: list[str]) -> market_data.Run:
    orders = sent.plain(sizes.rate * sizes.seconds)
    return market_data.measure(server.port, lambda: server.cpu_s, channels, orders, sizes.rate, sizes.subscribers)


def _orders_table(found: dict[str, list[Run]]) -> Table:
    made = table(
        "orders a second; microseconds of the server's processor an order; milliseconds of all requests but one in 100",
        "what", "orders/s", "spread", "x route", "cpu us", "x route", "p99 ms",
    )  # fmt: skip
    yardstick = found[ROUTE]
    for kind, every in found.items():
        rates = sorted(one.rate for one in every)
        rate, cpu = statistics.median(rates), statistics.median(one.cpu_us for one in every)
        made.add_row(
            kind, f"{rate:,.0f}", f"{rates[0]:,.0f}-{rates[-1]:,.0f}",
            f"{rate / statistics.median(one.rate for one in yardstick):.2f}",
            f"{cpu:.1f}", f"{statistics.median(one.cpu_us for one in yardstick) / cpu:.2f}",
            f"{statistics.median(one.p99_ms for one in every):.1f}",
        )  # fmt: skip
    return made


def _feeds_table(sizes: Sizes, feeds: dict[str, list[market_data.Run]]) -> Table:
    made = table(
        f"{sizes.rate:,} orders a second, told to {sizes.subscribers} subscribers; no gaps; milliseconds",
        "channels", "messages/s", "lag p50", "lag p99", "order p99", "conflated", "checksums", "server's cpu",
    )  # fmt: skip
    for channels, every in feeds.items():
        middle = {name: statistics.median(getattr(one, name) for one in every) for name in market_data.Run._fields[:-1]}
        made.add_row(
            channels, f"{middle['messages']:,.0f}", f"{middle['lag_p50_ms']:.0f}", f"{middle['lag_p99_ms']:.0f}",
            f"{middle['order_p99_ms']:.0f}", f"{middle['conflated']:,.0f}", f"{middle['checked']:,.0f}",
            f"{middle['cpu']:.2f}",
        )  # fmt: skip
    return made


def _digest(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/state") as answer:
        return str(json.load(answer)["digest"])


def check(path: Path, digest: str, answers: list[bytes], sent: Orders) -> None:
    """Every order that was answered stands in the journal as it was sent; `digest`: of who served, if asked."""
    exchange, history = Exchange(), History()
    for batch in recorded(path):
        history.extend(batch, apply(exchange, batch))
    if digest and exchange.digest() != digest:
        raise WrongAnswer("the journal makes another exchange than the one that served")
    invariants.check(exchange)
    accepted = history.events[history.events["kind"] == EventKind.ACCEPTED]
    terms = zip(accepted["price_ticks"].tolist(), accepted["quantity"].tolist(), strict=True)
    sequences = dict(zip(accepted["order_id"].tolist(), accepted["sequence"].tolist(), strict=True))
    booked = dict(zip(accepted["order_id"].tolist(), terms, strict=True))
    for body in answers:
        told = json.loads(body)
        for order in told.get("orders", [told]):
            name, order_id = order.get("client_order_id"), order.get("order_id")
            terms_booked = booked.pop(order_id, None)
            if terms_booked is None or (name and terms_booked != sent.terms[name]):
                raise WrongAnswer(f"{order} is not in the journal as it was sent")
            if name and history.client_order_id(sequences[order_id]) != name:
                raise WrongAnswer(f"{order} has another name in the journal")
    if booked:
        raise WrongAnswer(f"{len(booked)} orders of the journal were not answered")


if __name__ == "__main__":
    ordinary_route(int(sys.argv[1]))
