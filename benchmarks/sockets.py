"""A bare WebSocket client: it measures servers, so it costs next to nothing itself.

Frames go out masked with a key of zeros (RFC 6455 wants a mask, and takes any), so that they can be made beforehand.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import cast

from benchmarks.measure import WrongAnswer

_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA


def text_frame(payload: bytes) -> bytes:
    """A frame of text, as a client sends it."""
    return _frame(_TEXT, payload)


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    head = (
        struct.pack("!BB", 0x80 | opcode, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x80 | opcode, 254, size)
    )
    return head + bytes(4) + payload


class Socket(asyncio.Protocol):
    """One connection to `/v1/stream`. `opened` is done once it is open, and fails if it ends before `close`."""

    def __init__(self, heard: Callable[[memoryview], None]) -> None:
        self._heard = heard  # is given the text of each frame, which it may not keep
        self._buffer = bytearray()
        self._is_open = self._is_closed = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(
            b"GET /v1/stream HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )

    def write(self, frames: bytes) -> None:
        self._transport.write(frames)

    def close(self) -> None:
        self._is_closed = True
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            if not self._buffer.startswith(b"HTTP/1.1 101"):
                self._break(self._buffer.decode())
                return
            del self._buffer[: head + 4]
            self._is_open = True
            self.opened.set_result(None)
        try:
            self._read()
        except Exception as error:
            self._break(repr(error))

    def _read(self) -> None:
        """Hand on all frames that are whole."""
        start, end = 0, len(self._buffer)
        with memoryview(self._buffer) as view:
            while end - start >= 2:
                size, head = view[start + 1], start + 2
                if size > 125:
                    head += 2 if size == 126 else 8
                    size = int.from_bytes(view[start + 2 : head])
                if end < head + size:
                    break
                self._take(view[start] & 15, view[head : head + size])
                start = head + size
        del self._buffer[:start]

    def _take(self, opcode: int, payload: memoryview) -> None:
        with payload:
            if opcode == _TEXT:
                self._heard(payload)
            elif opcode == _PING:
                self._transport.write(_frame(_PONG, bytes(payload)))
            elif opcode == _CLOSE:
                self._break(f"closed: {bytes(payload[2:]).decode()}")

    def connection_lost(self, error: Exception | None) -> None:
        if not self._is_closed:
            self._break(str(error or "the server has hung up"))

    def _break(self, why: str) -> None:
        for one in (self.opened, self.broken):
            if not one.done():
                one.set_exception(WrongAnswer(why))


async def opened(port: int, heard: Callable[[memoryview], None]) -> Socket:
    """A socket that is open. WrongAnswer if it can't be."""
    _, socket = await asyncio.get_running_loop().create_connection(lambda: Socket(heard), "127.0.0.1", port)
    await socket.opened
    return socket
