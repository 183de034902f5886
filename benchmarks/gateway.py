"""How many orders a second come through the gateway, on disk before they are answered.

    this process: bare sockets --HTTP on loopback--> `carbonex serve`: a journal on disk, an answer for each order
    the same client            --HTTP on loopback--> an ordinary FastAPI route: a pydantic model in and out, no more

Single orders on 64 connections, each of which waits for its answer; with client order ids, as the client of the
exchange sends them; without keys, and signed by HMAC. Batches of 1,000 orders on 4 connections, for each `on_error`.
The orders of 64 accounts are random about one price, so that more than half of them trade. The route is the
yardstick, measured in turn with the rest: it takes an order and gives it back.

Before a number is printed, every answer was a success, every order that was answered stands in the journal as it was
sent, and the exchange that the journal makes has the digest of the one that served.
"""

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np
import uvloop

from api import signing
from api.access.keys import KeyFile, Limits, Role
from api.history import History
from benchmarks.flows import START_TICKS
from benchmarks.measure import WrongAnswer, show, table
from benchmarks.trading_path import market
from exchange import invariants
from exchange.commands import OnError
from exchange.engine import read_batches
from exchange.instruments import money
from exchange.journal import SqliteJournal, read_blocks
from exchange.rows import EventKind
from exchange.state import Exchange
from exchange.transition import apply

CONNECTIONS, BATCH_CONNECTIONS, BATCH = 64, 4, 1000
ACCOUNTS = 64
MIDDLE_TICKS = START_TICKS
ROUTE, SIGNED = "ordinary route", "order, signed"


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def run(orders: int, batches: int, runs: int) -> None:
    """Measure and print."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers do not outlive us
    with tempfile.TemporaryDirectory(prefix="carbonex-") as name:
        folder = Path(name)
        path, signers = prepare(folder)
        signed_path = folder / "signed"
        signed_path.write_bytes(path.read_bytes())
        ports, keys = [free_port() for _ in range(3)], str(folder / "keys")
        serve = ("exchange.cli", "serve", "--manual", "--journal")
        sent = Orders()
        with (
            serving(ports[0], "benchmarks.gateway", str(ports[0])) as route,
            serving(ports[1], *serve, str(path), "--port", str(ports[1])) as open_to_all,
            serving(ports[2], *serve, str(signed_path), "--port", str(ports[2]), "--keys", keys) as closed,
        ):  # fmt: skip
            kinds: dict[str, Callable[[], Run]] = {
                ROUTE: lambda: load(route, sent.singles(orders), CONNECTIONS, orders),
                "order": lambda: load(open_to_all, sent.singles(orders), CONNECTIONS, orders),
                SIGNED: lambda: load(closed, sent.singles(orders, signers), CONNECTIONS, orders),
            }
            for on_error, with_ids in [*((one, False) for one in OnError), (OnError.CONTINUE, True)]:

                def batch(on_error: OnError = on_error, with_ids: bool = with_ids) -> Run:
                    requests = sent.batches(batches, on_error, with_ids)
                    return load(open_to_all, requests, BATCH_CONNECTIONS, batches * BATCH)

                kinds[f"batch, {on_error}{', with ids' if with_ids else ''}"] = batch
            found: dict[str, list[Run]] = {kind: [] for kind in kinds}
            for _ in range(runs + 1):
                for kind, measure in kinds.items():
                    found[kind].append(measure())
            digest = _digest(open_to_all.port)
        answers = [body for kind, made in found.items() if kind not in (ROUTE, SIGNED)
                   for one in made for body in one.answers]  # fmt: skip
        check(path, digest, answers, sent)
        check(signed_path, "", [body for one in found[SIGNED] for body in one.answers], sent)
    made = table(
        "orders a second; microseconds of the server's processor an order; milliseconds of all requests but one in 100",
        "what", "orders/s", "spread", "x route", "cpu us", "x route", "p99 ms",
    )  # fmt: skip
    yardstick = found[ROUTE][1:]
    for kind, (_, *every) in found.items():
        rates = sorted(one.rate for one in every)
        rate, cpu = statistics.median(rates), statistics.median(one.cpu_us for one in every)
        made.add_row(
            kind, f"{rate:,.0f}", f"{rates[0]:,.0f}-{rates[-1]:,.0f}",
            f"{rate / statistics.median(one.rate for one in yardstick):.2f}",
            f"{cpu:.1f}", f"{statistics.median(one.cpu_us for one in yardstick) / cpu:.2f}",
            f"{statistics.median(one.p99_ms for one in every):.1f}",
        )  # fmt: skip
    show(runs, made)


def _digest(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/state") as answer:
        return str(json.load(answer)["digest"])


def check(path: Path, digest: str, answers: list[bytes], sent: Orders) -> None:
    """Every order that was answered stands in the journal as it was sent; `digest`: of who served, if asked."""
    exchange, history = Exchange(), History()
    for batch in read_batches(block for _, _, block in read_blocks(path)):
        history.extend(batch, apply(exchange, batch))
    if digest and exchange.digest() != digest:
        raise WrongAnswer("the journal makes another exchange than the one that served")
    invariants.check(exchange)
    accepted = history.events[history.events["kind"] == EventKind.ACCEPTED]
    terms = zip(accepted["price_ticks"].tolist(), accepted["quantity"].tolist(), strict=True)
    booked = dict(zip(accepted["order_id"].tolist(), terms, strict=True))
    for body in answers:
        told = json.loads(body)
        for order in told.get("orders", [told]):
            name, order_id = order.get("client_order_id"), order.get("order_id")
            terms_booked = booked.pop(order_id, None)
            if terms_booked is None or (name and terms_booked != sent.terms[name]):
                raise WrongAnswer(f"{order} is not in the journal as it was sent")
            if name and history.client_order_ids[order_id] != name:
                raise WrongAnswer(f"{order} has another name in the journal")
    if booked:
        raise WrongAnswer(f"{len(booked)} orders of the journal were not answered")


if __name__ == "__main__":
    ordinary_route(int(sys.argv[1]))
