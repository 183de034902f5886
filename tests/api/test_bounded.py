"""The head of a request: how long it may be, and how long on its way."""

import socket
import time

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
