"""HTTP as uvicorn reads it, with a bound to what a client may make it keep before there is a request.

uvicorn bounds neither how long the head of a request may be nor how long a client may take over it. Bodies are bounded
by the application (:mod:`api.access.bodies`), frames of the stream by the stream.

And an answer leaves in one piece where uvicorn writes its head and its body apart: each write goes through the kernel
and wakes the client.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_MAX = 64 << 10  # bytes of a request line and headers, besides what came with its first byte
HEAD_S = 60  # from the connection, or the first byte of a further request, to the end of its head


class _InOnePiece:
    """The transport of one answer: its head waits for the first of its body."""

    __slots__ = ("_cycle", "_head", "_transport")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle, self._transport = cycle, cycle.transport
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        if not self._cycle.response_started:
            self._transport.write(data)  # 100 Continue
        elif self._head is None:
            self._head = data
        elif self._head:
            self._transport.writelines((self._head, data))
            self._head = b""
        else:
            self._transport.write(data)

    def close(self) -> None:
        if self._head:
            self._transport.write(self._head)
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class BoundedHttp(HttpToolsProtocol):
    """Ends a connection whose next request's head is too long, or too long on its way."""

    _in_head = True
    _head = 0  # bytes of a head that has not ended
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before and self.scope["method"] != "HEAD":  # whose answer has no body
            transport: Any = _InOnePiece(self.cycle)
            self.cycle.transport = transport

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if not self._in_head:
            self._wait_no_more()
        elif self._head > HEAD_MAX:
            self.send_400_response(f"The head of a request has {HEAD_MAX} bytes at most.")
        elif self._patience is None:
            self._wait_for_head()

    def _wait_for_head(self) -> None:
        self._patience = self.loop.call_later(HEAD_S, self._give_up)

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        self.transport.close()
