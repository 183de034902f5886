"""The head of a request, how long it may be and how long on its way; and an answer, which leaves in one piece."""

import socket
import time
from types import SimpleNamespace

import pytest

from api import bounded
from tests.api.streaming import served

REQUEST = b"GET /health/live HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture(scope="module")
def web():
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(bounded, "HEAD_S", 0.5)
        with served() as client:
            yield client


def connected(web):
    return socket.create_connection((web.base_url.host, web.base_url.port), timeout=5)


def test_who_does_not_send_a_request_in_time_is_let_go(web):
    with connected(web) as silent, connected(web) as slow:
        slow.sendall(REQUEST)
        assert (silent.recv(1), slow.recv(1)) == (b"", b"")


def test_so_is_who_does_not_finish_a_second_one(web):
    with connected(web) as one:
        one.sendall(REQUEST + b"\r\n" + REQUEST)
        heard = b""
        while part := one.recv(65_536):
            heard += part
        assert heard.count(b"HTTP/1.1 200") == 1


def test_a_body_and_a_socket_of_the_stream_may_take_their_time(web):
    with web.listen() as ear, connected(web) as one:
        body = b'{"account_id": "C", "name": "C"}'
        head = b"POST /v1/accounts HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        one.sendall(head + b"content-length: %d\r\n\r\n" % len(body))
        time.sleep(1)
        one.sendall(body)
        assert one.recv(65_536).startswith(b"HTTP/1.1 201")
        assert ear.ask(op="subscribe", channel="trades", symbol="HBEA-2025")["type"] == "subscribed"


@pytest.mark.parametrize("length", [1_000, 60_000])
def test_a_head_within_bounds_is_read(web, length):
    with connected(web) as one:
        one.sendall(REQUEST + b"x: " + b"y" * length + b"\r\n\r\n")
        assert one.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_head_without_end_ends_the_connection(web):
    with connected(web) as one:
        one.sendall(REQUEST)
        with pytest.raises(ConnectionError):
            send_for_ever(one, b"x: " + b"y" * 10_000)


def send_for_ever(one, piece):
    while True:
        one.sendall(piece)


# ---------------------------------------------------------------- answers


class Wire:
    """A transport that keeps what it is given, piece by piece."""

    def __init__(self):
        self.pieces = []

    def write(self, data):
        self.pieces.append(data)

    def writelines(self, parts):
        self.pieces.append(b"".join(parts))

    def close(self):
        self.pieces.append("closed")


def test_a_head_leaves_with_the_first_of_its_body():
    cycle = SimpleNamespace(transport=Wire(), response_started=False)
    answer = bounded._InOnePiece(cycle)
    answer.write(b"100 Continue")
    cycle.response_started = True
    for part in (b"head.", b"body", b", more of it"):
        answer.write(part)
    answer.close()
    assert cycle.transport.pieces == [b"100 Continue", b"head.body", b", more of it", "closed"]


def test_a_head_without_a_body_leaves_when_the_connection_is_closed():
    cycle = SimpleNamespace(transport=Wire(), response_started=True)
    answer = bounded._InOnePiece(cycle)
    answer.write(b"head")
    answer.close()
    assert cycle.transport.pieces == [b"head", "closed"]


def test_who_asks_first_whether_to_go_on_and_who_wants_the_head_alone_are_answered(web):
    with connected(web) as one:
        body = b'{"account_id": "D", "name": "D"}'
        head = b"POST /v1/accounts HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n"
        one.sendall(head + b"content-length: %d\r\n\r\n" % len(body))
        assert one.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        one.sendall(body)
        assert one.recv(65_536).startswith(b"HTTP/1.1 201")
        one.sendall(REQUEST.replace(b"GET", b"HEAD") + b"\r\n")
        assert one.recv(65_536).startswith(b"HTTP/1.1 ")
        one.sendall((REQUEST + b"\r\n") * 2)  # both at once
        heard = b""
        while heard.count(b"HTTP/1.1 200") < 2:
            heard += one.recv(65_536)
