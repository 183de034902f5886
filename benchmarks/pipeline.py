"""Orders over the WebSocket: so many on their way on each of a few sockets, whether answered yet or not."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from benchmarks.measure import WrongAnswer
from benchmarks.sockets import Socket, opened, text_frame

SOCKETS, WINDOW = 4, 128


class Message(msgspec.Struct):
    """What is read of a message before the time is taken."""

    type: str
    id: int | None = None
    status: int = 0
    body: msgspec.Raw = msgspec.Raw(b"null")


_messages = msgspec.json.Decoder(list[Message]).decode


class Pipe:
    """A socket on which at most `window` orders wait for their answers; it sends the next ones at once."""

    def __init__(self, orders: list[dict[str, Any]], window: int, first_id: int = 0) -> None:
        """Orders are known by their numbers from `first_id` on."""
        self.answers: list[bytes] = []  # bodies
        self.took_ns: list[int] = []
        self.sent_ns: dict[int, int] = {}  # of orders on their way, by id
        self._frames = iter(
            [
                (number, text_frame(json.dumps({"op": "place", "id": number} | order).encode()))
                for number, order in enumerate(orders, first_id)
            ]
        )
        self._left = len(orders)
        self._window = window

    async def open(self, port: int) -> None:
        self._socket: Socket = await opened(port, self._hear)
        self.done = self._socket.broken  # fails if the socket ends before all is answered

    def send(self) -> None:
        """Fill the window."""
        self.send_some(self._window - len(self.sent_ns))

    def send_some(self, count: int) -> None:
        now_ns = time.perf_counter_ns()
        fresh = list(_first(self._frames, count))
        self.sent_ns |= {number: now_ns for number, _ in fresh}
        if fresh:
            self._socket.write(b"".join([frame for _, frame in fresh]))

    def _hear(self, text: memoryview) -> None:
        now_ns = time.perf_counter_ns()
        for message in _messages(text):
            if message.type == "heartbeat":
                continue
            if message.type != "answer" or message.status != 201 or message.id is None:
                raise WrongAnswer(bytes(text).decode())
            self.answered(message.id, bytes(message.body), now_ns)
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)
            self._socket.close()
        self.refill()

    def answered(self, number: int, body: bytes, now_ns: int) -> None:
        self.took_ns.append(now_ns - self.sent_ns.pop(number))
        self.answers.append(body)
        self._left -= 1

    def refill(self) -> None:
        """Called when some were answered."""
        self.send()


def _first(frames: Iterator[tuple[int, bytes]], count: int) -> Iterator[tuple[int, bytes]]:
    for _, one in zip(range(count), frames, strict=False):
        yield one


async def all_through(port: int, orders: list[dict[str, Any]]) -> tuple[list[Pipe], float]:
    """Send orders over SOCKETS sockets until all are answered; returns the pipes and seconds."""
    pipes = [Pipe(orders[number::SOCKETS], WINDOW) for number in range(SOCKETS)]
    for pipe in pipes:
        await pipe.open(port)
    began = time.perf_counter()
    for pipe in pipes:
        pipe.send()
    await asyncio.gather(*(pipe.done for pipe in pipes))
    return pipes, time.perf_counter() - began
