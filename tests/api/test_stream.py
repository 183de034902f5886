"""The stream: a snapshot in band, then every event after it, in order and without a gap."""

import json
import threading
import time
from contextlib import suppress

import httpx
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from api import feed
from api.app import make_app
from api.gateway import Gateway
from api.timers import Clock
from exchange.journal import MemoryJournal
from exchange.rules import load_rule_set
from tests.api.conftest import MORNING_NS


class Web(httpx.Client):
    """HTTP and WebSocket to a server that runs in a thread of this process."""

    def listen(self):
        return connect(f"ws://{self.base_url.netloc.decode()}/v1/stream")


@pytest.fixture
def web():
    gateway = Gateway(MemoryJournal(), load_rule_set("hubei"), Clock(MORNING_NS))
    server = uvicorn.Server(uvicorn.Config(make_app(gateway), port=0, log_level="warning", ws="websockets-sansio"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with Web(base_url=f"http://127.0.0.1:{port}") as client:
        post(client, "/v1/instruments", symbol="HBEA-2025", species="allowance", vintage=2025, opening_price="40.00")
        for account_id in ("S", "B"):
            post(client, "/v1/accounts", account_id=account_id, name=account_id)
        post(client, "/v1/accounts/B/deposits", amount="100000.00")
        post(client, "/v1/issuances", account_id="S", unit="HBEA-2025", quantity=1000)
        post(client, "/v1/accounts/S/transfers", unit="HBEA-2025", quantity=1000)
        post(client, "/v1/trading-days", date="2026-01-05")
        assert client.put("/v1/market/phase", json={"phase": "continuous"}).is_success
        yield client
    server.should_exit = True
    thread.join()


def post(client, path, **body):
    response = client.post(path, json=body)
    assert response.is_success, response.text
    return response.json()


def order(client, account_id, side, price, quantity):
    return post(
        client, "/v1/orders", account_id=account_id, symbol="HBEA-2025", side=side, price=price, quantity=quantity
    )


def subscribe(socket, **request):
    socket.send(json.dumps({"op": "subscribe", **request}))
    [answer] = json.loads(socket.recv(timeout=10))
    return answer


def news(socket, count):
    messages = []
    while len(messages) < count:
        messages += json.loads(socket.recv(timeout=10))
    return messages


def test_trades_are_told_with_gapless_numbers(web):
    with web.listen() as socket:
        opening = subscribe(socket, channel="trades", symbol="HBEA-2025")
        for _ in range(3):
            order(web, "S", "sell", "40.00", 5)
            order(web, "B", "buy", "40.00", 5)
        messages = news(socket, 3)

    assert [message["prev_seq"] for message in messages] == [opening["seq"], *(m["seq"] for m in messages[:-1])]
    assert [(message["price"], message["quantity"], message["trade_id"]) for message in messages] == [
        ("40.00", 5, 1), ("40.00", 5, 2), ("40.00", 5, 3),
    ]  # fmt: skip
    assert "account" not in json.dumps(messages)


def test_a_book_kept_from_the_stream_equals_the_exchanges_book(web):
    order(web, "S", "sell", "41.00", 30)
    with web.listen() as socket:
        opening = subscribe(socket, channel="book.l3", symbol="HBEA-2025")
        book = {one["order_id"]: (one["side"], one["price"], one["quantity"]) for one in opening["orders"]}
        order(web, "S", "sell", "40.50", 20)
        gone = order(web, "B", "buy", "39.00", 7)
        order(web, "B", "buy", "40.50", 25)
        assert web.delete(f"/v1/orders/{gone['order_id']}", params={"account_id": "B"}).is_success
        for message in news(socket, 5):
            apply(book, message)

    shown = web.get("/v1/books/HBEA-2025").json()
    assert level(book, "sell") == {one["price"]: one["quantity"] for one in shown["asks"]}
    assert level(book, "buy") == {one["price"]: one["quantity"] for one in shown["bids"]}


def apply(book, message):
    match message["type"]:
        case "accepted":
            book[message["order_id"]] = (message["side"], message["price"], message["quantity"])
        case "traded":
            for order_id in (message["order_id"], message["maker_order_id"]):
                side, price, quantity = book.pop(order_id)
                if quantity > message["quantity"]:
                    book[order_id] = (side, price, quantity - message["quantity"])
        case "cancelled":
            del book[message["order_id"]]


def level(book, side):
    levels = {}
    for order_side, price, quantity in book.values():
        if order_side == side:
            levels[price] = levels.get(price, 0) + quantity
    return levels


def test_an_account_hears_of_its_own_orders_only(web):
    with web.listen() as socket:
        subscribe(socket, channel="orders", account_id="S")
        order(web, "B", "buy", "39.00", 1)
        order(web, "S", "sell", "39.00", 1)
        messages = news(socket, 2)
    assert [message["type"] for message in messages] == ["accepted", "traded"]


def test_a_maker_hears_of_a_fill_from_its_own_side(web):
    resting = order(web, "S", "sell", "40.00", 100)
    with web.listen() as socket:
        subscribe(socket, channel="orders", account_id="S")
        order(web, "B", "buy", "40.00", 30)
        [fill] = news(socket, 1)
    assert (fill["order_id"], fill["side"], fill["quantity"], fill["leaves"]) == (resting["order_id"], "sell", 30, 70)
    assert (fill["liquidity"], fill["aggressor"]) == ("maker", "buy")


def test_two_listeners_hear_the_same(web):
    with web.listen() as one, web.listen() as other:
        for socket in (one, other):
            subscribe(socket, channel="book.l3", symbol="HBEA-2025")
        order(web, "S", "sell", "40.00", 5)
        order(web, "B", "buy", "40.00", 5)
        assert news(one, 3) == news(other, 3)


def test_a_listener_who_falls_behind_is_told_and_closed(web, monkeypatch):
    monkeypatch.setattr(feed, "KEPT", 2)
    monkeypatch.setattr(feed, "TICK_S", 0.5)
    with web.listen() as socket:
        subscribe(socket, channel="trades", symbol="HBEA-2025")
        for _ in range(12):
            order(web, "S", "sell", "40.00", 1)
            order(web, "B", "buy", "40.00", 1)
            with web.listen() as hurried:  # another listener moves the channel on
                subscribe(hurried, channel="trades", symbol="HBEA-2025")
        heard = []
        with suppress(ConnectionClosed):
            for frame in socket:
                heard += json.loads(frame)
        assert heard[-1]["code"] == "too_slow" and socket.close_code == feed.TOO_SLOW


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("not json", "invalid_request"),
        (b"\x00\xff", "invalid_request"),
        ('{"op": "sing"}', "invalid_request"),
        ('{"op": "subscribe", "channel": "trades"}', "unknown_instrument"),
        ('{"op": "subscribe", "channel": "orders", "account_id": "X"}', "unknown_account"),
    ],
)
def test_bad_frames_get_an_error_and_the_socket_lives_on(web, frame, code):
    with web.listen() as socket:
        socket.send(frame)
        assert json.loads(socket.recv(timeout=10))[0]["code"] == code
        assert subscribe(socket, channel="trades", symbol="HBEA-2025")["type"] == "subscribed"
