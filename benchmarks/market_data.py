"""Market data to many subscribers: does everybody hear everything, and how late.

    this process: one socket that places RATE orders a second  --> `carbonex serve`
    a second process: so many sockets, each with the same channels <-- `carbonex serve`

Every subscriber checks each `prev_seq` against the `seq` before: a gap is an error. What `book.l2` leaves out and says
so (`conflated`) is counted. Of `book.l3` a few subscribers keep a book of their own and compare each checksum. Lag is
from the moment an order goes out until a subscriber has the trade, or the record of the book, that it caused; it holds
the journal's write and the tick of the stream (50 ms).
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import uvloop

from api.local_book import LocalBook
from benchmarks.measure import WrongAnswer
from benchmarks.pipeline import Pipe
from benchmarks.sockets import opened, text_frame

SUBSCRIBERS, SYMBOL = 500, "H0"
KEEPERS, TIMED = 3, 20  # subscribers that keep a book; every so many notes when it heard of what
STEP_S = 0.01  # between the orders that go out together
QUIET_S = 1.5  # after the last order, until everybody has heard everything


class Run(NamedTuple):
    """What subscribers heard of one flow of orders."""

    messages: float  # a second, all subscribers
    lag_p50_ms: float
    lag_p99_ms: float
    order_p99_ms: float
    conflated: int  # states of a book that were left out
    checked: int  # checksums that fitted
    cpu: float  # seconds of the server's processor a second
    answers: list[bytes]


class Paced(Pipe):
    """Orders at a rate, however the answers come."""

    def __init__(self, orders: list[dict[str, Any]]) -> None:
        super().__init__(orders, 0)
        self.sent_at_ns: dict[int, int] = {}  # by sequence of the command

    def answered(self, number: int, body: bytes, now_ns: int) -> None:
        self.sent_at_ns[_sequence(body).sequence] = self.sent_ns[number]
        super().answered(number, body, now_ns)

    def refill(self) -> None:
        """The clock sends, not the answers."""


class _Placed(msgspec.Struct):
    sequence: int
    filled: int = 0


_sequence = msgspec.json.Decoder(_Placed).decode


def measure(
    port: int, cpu_s: Callable[[], float], channels: list[str], orders: list[dict[str, Any]], rate: int, count: int
) -> Run:
    """Send orders at a rate while `count` subscribers listen to channels. WrongAnswer if one misses anything."""
    command = [sys.executable, "-m", "benchmarks.market_data", str(port), str(count), *channels]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as listeners:
        assert listeners.stdin and listeners.stdout
        if listeners.stdout.readline() != b"ready\n":
            raise WrongAnswer("the subscribers could not subscribe")
        cpu_began_s = cpu_s()
        pipe, took_s = uvloop.run(_send(port, orders, rate))
        cpu = (cpu_s() - cpu_began_s) / took_s
        time.sleep(QUIET_S)
        said = json.loads(listeners.communicate(b"\n")[0])
    if "broken" in said:
        raise WrongAnswer(said["broken"])
    lags_ms = np.array([(at - pipe.sent_at_ns[one]) / 1e6 for one, at in said["heard"] if one in pipe.sent_at_ns])
    p50, p99 = np.percentile(lags_ms, (50, 99))
    order_p99_ms = float(np.percentile(pipe.took_ns, 99)) / 1e6
    rate_heard = said["messages"] / took_s
    return Run(rate_heard, float(p50), float(p99), order_p99_ms, said["conflated"], said["checked"], cpu, pipe.answers)


async def _send(port: int, orders: list[dict[str, Any]], rate: int) -> tuple[Paced, float]:
    """Send orders at a rate, and wait for all answers; returns seconds."""
    pipe = Paced(orders)
    await pipe.open(port)
    began = time.perf_counter()
    sent = 0
    while sent < len(orders):
        due = min(len(orders), int((time.perf_counter() - began) * rate) + 1)
        pipe.send_some(due - sent)
        sent = due
        await asyncio.sleep(STEP_S)
    await pipe.done
    return pipe, time.perf_counter() - began


# ---------------------------------------------------------------- the subscribers' process


class Heard(msgspec.Struct):
    """What is read of each message."""

    type: str
    channel: str = ""
    seq: int = 0
    prev_seq: int = 0
    sequence: int = 0
    conflated: int = 0
    code: str = ""
    detail: str = ""


_heard = msgspec.json.Decoder(list[Heard]).decode


class Subscriber:
    """One socket, and how far it has come in each channel."""

    def __init__(self, number: int, channels: list[str]) -> None:
        self.places: dict[str, int] = {}
        self.messages = self.conflated = 0
        self.books = {"book.l3": LocalBook()} if number < KEEPERS else {}
        self.is_timed = number % TIMED == 0
        self.heard: list[tuple[int, int]] = []  # sequence of a command, when
        self._channels = channels

    async def open(self, port: int) -> None:
        self.socket = await opened(port, self.hear)
        for channel in self._channels:
            asked = {"op": "subscribe", "channel": channel, "symbol": SYMBOL}
            self.socket.write(text_frame(json.dumps(asked).encode()))

    def hear(self, text: memoryview) -> None:
        now_ns = time.perf_counter_ns()
        for one in _heard(text):
            if one.type == "error":
                raise WrongAnswer(f"{one.code}: {one.detail}")
            if one.type in ("subscribed", "snapshot"):
                self.places[one.channel] = one.seq
            elif one.channel:
                if one.prev_seq != self.places[one.channel]:
                    raise WrongAnswer(f"{one.channel} has a gap: {self.places[one.channel]}, then {one.prev_seq}")
                self.places[one.channel] = one.seq
                self.messages += 1
                self.conflated += one.conflated
                if self.is_timed and one.sequence:
                    self.heard.append((one.sequence, now_ns))
        if self.books:
            for message in json.loads(bytes(text)):
                if message.get("channel") in self.books and message["type"] in ("snapshot", "book", "checksum"):
                    self.books[message["channel"]].apply(message)


async def listen(port: int, count: int, channels: list[str]) -> dict[str, Any]:
    """Subscribe, say so, and listen until somebody writes a line."""
    subscribers = [Subscriber(number, channels) for number in range(count)]
    for one in subscribers:
        await one.open(port)
    while any(len(one.places) < len(channels) for one in subscribers):
        await asyncio.sleep(0.05)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    began = [one.messages for one in subscribers]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for one in subscribers:
        if one.socket.broken.done():
            return {"broken": str(one.socket.broken.exception())}
        if one.places != subscribers[0].places:
            return {"broken": f"one has come to {one.places}, another to {subscribers[0].places}"}
        one.socket.close()
    return {
        "messages": sum(one.messages for one in subscribers) - sum(began),
        "conflated": sum(one.conflated for one in subscribers),
        "checked": sum(book.checked for one in subscribers for book in one.books.values()),
        "heard": [one for each in subscribers for one in each.heard],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(listen(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))))
