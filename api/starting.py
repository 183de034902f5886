"""Who answers at the port while the journal is still being read: the process lives, and is not ready.

The listening socket is the one that the exchange serves later, so nobody is turned away between the two. A thread with
the simplest of servers is enough: it says the same to everybody, once a connection.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from api.problems import MEDIA_TYPE, details_of

_BODY_MAX = 1 << 20  # bytes that are read and thrown away, so that the client hears the answer
_PATIENCE_S = 2.0


class _Answer(BaseHTTPRequestHandler):
    timeout = _PATIENCE_S

    def _answer(self) -> None:
        self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _BODY_MAX))
        if self.path == "/health/live":
            status, kind = 200, "application/json"
            body = json.dumps({"status": "starting", "process": os.getpid()}).encode()
        else:
            said = "The exchange is reading its journal; ask again soon."
            status, kind = 503, MEDIA_TYPE
            body = details_of(status, "starting", said).model_dump_json(exclude_none=True).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 503:
            self.send_header("Retry-After", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Nobody wants to read it."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(("", 0), _Answer, bind_and_activate=False)
        self.socket.close()
        self.socket = listening

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is its own affair."""


@contextmanager
def answering(listening: socket.socket) -> Iterator[None]:
    """Answer at a socket for as long as the exchange can't."""
    listening.setblocking(False)  # a connection may be gone when it is taken
    server = _Server(listening)
    thread = Thread(target=server.serve_forever, args=(0.05,), name="starting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
