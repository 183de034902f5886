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
        phase(client, "continuous")
        yield client
    server.should_exit = True
    thread.join()


def post(client, path, **body):
    response = client.post(path, json=body)
    assert response.is_success, response.text
    return response.json()


def order(client, account_id, side, price, quantity, **terms):
    body = {"account_id": account_id, "symbol": "HBEA-2025", "side": side, "price": price, "quantity": quantity}
    return post(client, "/v1/orders", **body, **terms)


def amend(client, placed, **terms):
    body = {"account_id": placed["account_id"], **terms}
    assert client.patch(f"/v1/orders/{placed['order_id']}", json=body).is_success


def phase(client, name):
    assert client.put("/v1/market/phase", json={"phase": name}).is_success


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
    assert {message["aggressor"] for message in messages} == {"buy"}
    assert "account" not in json.dumps(messages)


class Follower:
    """A book kept from the stream, as a client would."""

    def __init__(self, socket):
        self.socket = socket
        opening = subscribe(socket, channel="book.l3", symbol="HBEA-2025")
        self.orders = {one["order_id"]: one for one in opening["orders"]}
        self.seq = opening["seq"]
        self.heard = []

    def follow(self, seq):
        """Hear everything up to a message."""
        while self.seq < seq:
            for message in json.loads(self.socket.recv(timeout=10)):
                assert message["prev_seq"] == self.seq
                self.seq = message["seq"]
                self.heard.append(message)
                if message["type"] != "reduced":
                    self.orders.pop(message["order_id"], None)
                if message["type"] != "removed":
                    self.orders[message["order_id"]] = message

    def queue(self):
        """The orders side by side and price by price, the oldest first."""
        orders = [(one["side"], one["price"], one["order_id"], one["quantity"]) for one in self.orders.values()]
        return sorted(orders, key=lambda one: one[:2])

    def levels(self, side):
        found = {}
        for one in self.orders.values():
            if one["side"] == side:
                found[one["price"]] = found.get(one["price"], 0) + one["quantity"]
        return found


def check(follower, client):
    """The book kept from the stream is the exchange's, and what a newcomer is told at first."""
    with client.listen() as socket:
        newcomer = Follower(socket)
    follower.follow(newcomer.seq)
    assert follower.queue() == newcomer.queue()
    shown = client.get("/v1/books/HBEA-2025").json()
    for side, levels in (("buy", shown["bids"]), ("sell", shown["asks"])):
        assert follower.levels(side) == {one["price"]: one["quantity"] for one in levels}


def test_a_book_kept_from_the_stream_equals_the_exchanges_book(web):
    order(web, "S", "sell", "41.00", 30)
    with web.listen() as socket:
        book = Follower(socket)
        order(web, "S", "sell", "40.50", 20)
        gone = order(web, "B", "buy", "39.00", 7)
        check(book, web)
        order(web, "B", "buy", "40.50", 25)
        check(book, web)
        assert web.delete(f"/v1/orders/{gone['order_id']}", params={"account_id": "B"}).is_success
        check(book, web)
    assert book.levels("buy") == {"40.50": 5} and book.levels("sell") == {"41.00": 30}
    assert [message["type"] for message in book.heard] == ["added", "added", "removed", "added", "removed"]
    assert "account" not in json.dumps(book.heard)


def test_the_streams_book_follows_amends_icebergs_and_prevented_trades(web):
    post(web, "/v1/accounts/S/deposits", amount="10000.00")
    with web.listen() as socket:
        book = Follower(socket)
        iceberg = order(web, "S", "sell", "41.00", 100, display_quantity=10)
        check(book, web)
        order(web, "B", "buy", "41.00", 15)
        check(book, web)
        assert book.levels("sell") == {"41.00": 5}
        amend(web, iceberg, quantity=60)
        check(book, web)
        assert book.levels("sell") == {"41.00": 5}
        amend(web, iceberg, quantity=60, price="40.80")
        check(book, web)
        assert book.levels("sell") == {"40.80": 10}
        order(web, "S", "buy", "40.80", 55, self_trade_prevention="decrement")
        check(book, web)
        assert book.levels("sell") == {"40.80": 5}


def test_the_streams_book_shows_a_stop_order_once_it_is_triggered(web):
    with web.listen() as socket:
        book = Follower(socket)
        order(web, "B", "buy", "39.00", 50)
        order(web, "S", "sell", "38.50", 100, type="stop_limit", stop_price="39.50")
        check(book, web)
        assert book.levels("sell") == {}
        order(web, "S", "sell", "39.00", 10)
        check(book, web)
    assert (book.levels("buy"), book.levels("sell")) == ({}, {"38.50": 60})


def test_the_streams_book_follows_a_call_and_its_auction(web):
    with web.listen() as socket:
        book = Follower(socket)
        phase(web, "call")
        order(web, "S", "sell", "39.00", 100, display_quantity=30)
        order(web, "B", "buy", "41.00", 80)
        check(book, web)
        assert (book.levels("buy"), book.levels("sell")) == ({"41.00": 80}, {"39.00": 30})
        phase(web, "continuous")
        check(book, web)
        assert (book.levels("buy"), book.levels("sell")) == ({}, {"39.00": 10})


def test_nobody_hears_of_what_is_hidden(web):
    with web.listen() as socket:
        subscribe(socket, channel="book.l3", symbol="HBEA-2025")
        subscribe(socket, channel="trades", symbol="HBEA-2025")
        iceberg = order(web, "S", "sell", "41.00", 777, display_quantity=10)
        stop = order(web, "S", "sell", "38.88", 99, type="stop_limit", stop_price="39.50")
        order(web, "B", "buy", "44.00", 20, time_in_force="IOC")
        amend(web, stop, quantity=98)
        amend(web, iceberg, quantity=707)
        order(web, "B", "buy", "38.00", 1)
        heard = news(socket, 8)
    told = [message["type"] for message in heard if message["channel"] == "book.l3"]
    assert told == ["added", "removed", "added", "removed", "added", "added"]
    said = json.dumps(heard)
    for hidden in ("777", "767", "757", "707", "38.88", "39.50", "99", "98", "leaves", "44.00"):
        assert hidden not in said, hidden


def test_everybody_hears_what_becomes_of_a_trade_and_its_parties_hear_their_fee(web):
    with web.listen() as socket, web.listen() as private:
        opening = subscribe(socket, channel="trades", symbol="HBEA-2025")
        subscribe(private, channel="orders", account_id="S")
        order(web, "S", "sell", "40.00", 5)
        order(web, "B", "buy", "40.00", 5)
        post(web, "/v1/trades/corrections", by="EXCHANGE", corrections=[{"trade_id": 1, "quantity": 4}], reason="typo")
        post(web, "/v1/trades/busts", by="EXCHANGE", trade_ids=[1], reason="wrong book")
        messages, told = news(socket, 3), news(private, 4)

    assert [(one["type"], one["quantity"], one["status"], one.get("reason")) for one in messages] == [
        ("traded", 5, "regular", None), ("trade_corrected", 4, "corrected", "typo"),
        ("trade_busted", 4, "busted", "wrong book"),
    ]  # fmt: skip
    assert [one["prev_seq"] for one in messages] == [opening["seq"], *(one["seq"] for one in messages[:-1])]
    assert [(one["type"], one["side"], one["trade_id"], one["fee"], one["leaves"]) for one in told[2:]] == [
        ("trade_corrected", "sell", 1, "0.80", 0), ("trade_busted", "sell", 1, "0.00", 0),
    ]  # fmt: skip


def test_a_book_kept_from_the_stream_does_not_mind_corrections(web):
    with web.listen() as socket:
        follower = Follower(socket)
        order(web, "S", "sell", "40.00", 10)
        order(web, "B", "buy", "40.00", 4)
        post(web, "/v1/trades/busts", by="EXCHANGE", trade_ids=[1], reason="wrong book")
        order(web, "B", "buy", "39.00", 3)
        follower.follow(5)

        assert [(one["side"], one["quantity"]) for one in follower.orders.values()] == [("sell", 6), ("buy", 3)]


def test_an_auctions_trades_have_no_aggressor(web):
    with web.listen() as public, web.listen() as private:
        subscribe(public, channel="trades", symbol="HBEA-2025")
        subscribe(private, channel="orders", account_id="S")
        phase(web, "call")
        seller = order(web, "S", "sell", "39.00", 100)
        buyer = order(web, "B", "buy", "41.00", 80)
        phase(web, "continuous")
        [trade] = news(public, 1)
        _, fill = news(private, 2)
    assert (trade["price"], trade["quantity"], trade["aggressor"]) == ("40.00", 80, None)
    assert (trade["buy_order_id"], trade["sell_order_id"]) == (buyer["order_id"], seller["order_id"])
    assert (fill["order_id"], fill["side"], fill["leaves"]) == (seller["order_id"], "sell", 20)
    assert (fill["aggressor"], fill["liquidity"], fill["reason"]) == (None, None, "auction")


def test_an_account_hears_what_becomes_of_its_orders(web):
    post(web, "/v1/accounts/S/deposits", amount="10000.00")
    with web.listen() as socket:
        subscribe(socket, channel="orders", account_id="S")
        resting = order(web, "S", "sell", "41.00", 100, display_quantity=10)
        amend(web, resting, quantity=60)
        order(web, "S", "buy", "41.00", 20, self_trade_prevention="decrement")
        order(web, "B", "buy", "41.00", 10)
        web.delete("/v1/orders", params={"account_id": "S", "symbol": "HBEA-2025"})
        messages = news(socket, 9)

    told = [(message["type"], message["quantity"], message["leaves"]) for message in messages]
    assert told == [
        ("accepted", 100, 100), ("amended", 60, 60), ("accepted", 20, 20), ("prevented", 20, 0), ("prevented", 20, 40),
        ("traded", 10, 30), ("refreshed", 10, 30), ("cancelled", 30, 0), ("orders_cancelled", 1, 0),
    ]  # fmt: skip
    assert messages[1]["priority"] == "kept"
    assert (messages[8]["side"], messages[8]["price"]) == (None, None)
    assert [(message["side"], message["reason"]) for message in messages[3:5]] == [
        ("buy", "self_trade"), ("sell", "self_trade"),
    ]  # fmt: skip


def test_an_account_hears_of_its_own_orders_only(web):
    with web.listen() as socket:
        subscribe(socket, channel="orders", account_id="S")
        order(web, "B", "buy", "39.00", 1)
        order(web, "S", "sell", "39.00", 1)
        messages = news(socket, 2)
    assert [message["type"] for message in messages] == ["accepted", "traded"]


def test_a_symbol_named_besides_does_not_open_anothers_channel(web):
    with web.listen() as first, web.listen() as second:
        subscribe(first, channel="orders", symbol="B", account_id="S")
        subscribe(second, channel="orders", account_id="B")
        order(web, "S", "sell", "39.00", 1)
        order(web, "B", "buy", "38.00", 1)
        messages = news(second, 1)
    assert [(message["type"], message["side"]) for message in messages] == [("accepted", "buy")]


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
        assert news(one, 2) == news(other, 2)


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
