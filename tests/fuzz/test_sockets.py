"""Who opens sockets and does not behave: a running exchange goes on serving everybody else, and nothing changes."""

import os
import random
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest
from websockets.sync.client import connect

from tests.system.server import Server

pytestmark = pytest.mark.fuzz
GARBAGE = {
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no method": b" / HTTP/1.1\r\n\r\n",
    "a version to come": b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
    "a header without a name": b"GET /health HTTP/1.1\r\n: x\r\n\r\n",
    "a megabyte of headers": b"GET /health HTTP/1.1\r\n" + b"x: " + b"y" * 1_000_000 + b"\r\n\r\n",
    "two lengths": b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    "a length below nothing": b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\nhello",
    "a length and pieces": (
        b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a piece of no size": b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    "a body of ten terabytes": b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000000000\r\n\r\n{",
    "a target of a megabyte": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
}
UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
)


def frame(opcode: int, content: bytes, length: int | None = None, mask: bool = True, first: int = 0x80) -> bytes:
    """A frame of RFC 6455, as wrong as wanted; masked with zeros."""
    size = len(content) if length is None else length
    bit = 0x80 if mask else 0
    if size < 126:
        head = bytes([first | opcode, bit | size])
    elif size < 2**16:
        head = bytes([first | opcode, bit | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first | opcode, bit | 127]) + struct.pack("!Q", size)
    return head + (bytes(4) if mask else b"") + content


FRAMES = {
    "without a mask": frame(1, b"{}", mask=False),
    "an opcode that is none": frame(11, b"{}"),
    "a reserved bit": frame(1, b"{}", first=0xC0),
    "a length of 2**63": frame(1, b"{}", length=2**63),
    "a length of a gigabyte": frame(1, b"{}", length=2**30),
    "no UTF-8": frame(1, b'{"op": "\xff\xfe"}'),
    "half a surrogate": frame(1, b'{"op": "\\ud800"}'),
    "a continuation of nothing": frame(0, b"{}"),
    "a ping in pieces": frame(9, b"x", first=0),
    "a ping too long": frame(9, b"x" * 126),
    "a close without a reason's code": frame(8, b"x"),
    "a close with a code that is none": frame(8, struct.pack("!H", 999)),
    "no JSON": frame(1, b"subscribe please"),
    "a number": frame(1, b"1" * 5_000),
    "a depth without end": frame(1, b"[" * 30_000),
    "bytes instead of text": frame(2, bytes(range(256))),
    "an operation that is none": frame(1, b'{"op": "sell everything"}'),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("sockets") / "exchange.journal") as started:
        yield started


@pytest.fixture(autouse=True)
def nothing_changes(server: Server) -> Iterator[None]:
    before = digest(server)
    yield
    assert server.process.poll() is None, "the exchange has stopped"
    assert digest(server) == before


def digest(server: Server) -> str:
    return str(httpx.get(f"{server.url}/v1/state", timeout=30).json()["digest"])


def answer(server: Server, sent: bytes, seconds: float = 5) -> bytes:
    """What comes back before the other side closes, or for so long."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as one:
        return hear(one, sent, seconds)


def answer_to_frames(server: Server, sent: bytes, seconds: float = 5) -> bytes:
    """What comes back on a socket of the stream, once it is one."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as one:
        one.sendall(UPGRADE)
        heard = b""
        while b"\r\n\r\n" not in heard:
            heard += one.recv(65_536)
        assert heard.startswith(b"HTTP/1.1 101"), heard[:200]
        return heard.split(b"\r\n\r\n", 1)[1] + hear(one, sent, seconds)


def hear(one: socket.socket, sent: bytes, seconds: float) -> bytes:
    heard, until = b"", time.monotonic() + seconds
    one.settimeout(seconds)
    with suppress(TimeoutError, ConnectionError):
        one.sendall(sent)
        while time.monotonic() < until and (part := one.recv(65_536)):
            heard += part
    return heard


def resident(server: Server) -> int:
    """Bytes of memory of the exchange's process."""
    with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def slowest(server: Server, asked: int = 50) -> float:
    """Seconds of the slowest of some requests."""
    took = []
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for _ in range(asked):
            began = time.monotonic()
            assert client.get("/v1/market").status_code == 200
            took.append(time.monotonic() - began)
    return max(took)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_answered_with_an_error_or_with_nothing(server, garbage):
    heard = answer(server, GARBAGE[garbage], seconds=2)
    assert not heard or heard.split(b" ", 2)[1][:1] == b"4", heard[:300]


def test_noise_of_any_kind(server):
    noise = random.Random(7)
    for _ in range(200):
        heard = answer(server, noise.randbytes(noise.randrange(1, 4_000)) + b"\r\n\r\n", seconds=0.2)
        assert not heard or heard.split(b" ", 2)[1][:1] == b"4", heard[:300]


@pytest.mark.parametrize("wrong", FRAMES)
def test_a_malformed_frame_ends_its_own_socket_or_is_told_so(server, wrong):
    heard = answer_to_frames(server, FRAMES[wrong], seconds=3)
    assert b'"error"' in heard or b"\x88" in heard, heard[:300]


def test_noise_after_the_upgrade(server):
    noise = random.Random(11)
    for _ in range(100):
        answer_to_frames(server, noise.randbytes(noise.randrange(1, 4_000)), seconds=0.2)


def test_three_thousand_idle_sockets(server):
    """They cost memory in proportion, and nobody else waits for them."""
    before = resident(server)
    with ExitStack() as held:
        for _ in range(3_000):
            held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
        assert slowest(server) < 5
        each = (resident(server) - before) / 3_000
        assert each < 64_000, f"{each:.0f} bytes a socket"


def test_three_hundred_subscribers_that_say_nothing(server):
    before = resident(server)
    with ExitStack() as held:
        for _ in range(300):
            held.enter_context(connect(f"ws://127.0.0.1:{server.port}/v1/stream", open_timeout=30))
        assert slowest(server) < 5
        each = (resident(server) - before) / 300
        assert each < 512_000, f"{each:.0f} bytes a subscriber"


def test_who_sends_a_request_byte_by_byte_holds_up_nobody(server):
    request = b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"
    with ExitStack() as held:
        slow = [
            held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30)) for _ in range(300)
        ]
        for byte in request[:40]:
            for one in slow:
                one.sendall(bytes([byte]))
        assert slowest(server, 20) < 5
        for one in slow:
            one.sendall(request[40:])
        assert slowest(server, 20) < 5


def test_a_body_without_end_is_cut_off(server):
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    heard, sent = b"", 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
        one.sendall(b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            while sent < 1_000:
                one.sendall(piece)
                sent += 1
        except ConnectionError:
            pass
        with suppress(TimeoutError, ConnectionError):
            heard = one.recv(65_536)
    assert sent < 1_000 or heard.startswith(b"HTTP/1.1 413"), (sent, heard[:200])
    assert resident(server) < 2**30
