"""A served exchange, and somebody who listens to its stream."""

import json
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from api.app import make_app
from api.bounded import BoundedHttp
from api.gateway import Gateway
from api.timers import Clock
from exchange import trading
from exchange.journal import MemoryJournal
from exchange.rules import load_rule_set
from tests.api.conftest import MORNING_NS

SYMBOL = "HBEA-2025"
_ANSWERS = ("subscribed", "unsubscribed", "replay", "answer", "error")


class Web(httpx.Client):
    """HTTP to a server that runs in a thread of this process, and ears for its stream."""

    gateway: Gateway
    app: Any

    @contextmanager
    def listen(self):
        with connect(f"ws://{self.base_url.netloc.decode()}/v1/stream", max_size=None) as socket:
            yield Ear(socket)


class Ear:
    """One socket: asks, and hears in order; heartbeats apart."""

    def __init__(self, socket):
        self.socket = socket
        self.heartbeats = []
        self._heard = deque()

    def next(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            while not self._heard:
                self._heard.extend(json.loads(self.socket.recv(timeout=10)))
            message = self._heard.popleft()
            if message["type"] != "heartbeat":
                return message
            self.heartbeats.append(message)
        raise TimeoutError("nothing but heartbeats")

    def send(self, **frame):
        self.socket.send(json.dumps(frame))

    def ask(self, **frame):
        """Send a frame; returns its answer, and leaves what else was told for later."""
        self.send(**frame)
        others = []
        while (message := self.next())["type"] not in _ANSWERS:
            others.append(message)
        self._heard.extendleft(reversed(others))
        return message

    def subscribe(self, channel, symbol=SYMBOL, **about):
        """Subscribe; returns the opening. How things stand is then in `standing`."""
        named = about if about or channel == "drop_copy" else {"symbol": symbol}
        opening = self.ask(op="subscribe", channel=channel, **named)
        self.standing = []
        if opening["type"] == "subscribed" and channel not in ("trades", "fills", "drop_copy"):
            self.standing.append(self.next())
            self.standing += self.news(self.standing[0].get("parts", 1) - 1)
            assert {(one["seq"], one["prev_seq"]) for one in self.standing} == {(opening["seq"], opening["seq"])}
        return opening

    def news(self, count):
        return [self.next() for _ in range(count)]

    def left(self):
        """What has been heard and not asked for yet."""
        return list(self._heard)

    def beat(self):
        """The next heartbeat; what else is told meanwhile is left for later."""
        known, others = len(self.heartbeats), []
        while len(self.heartbeats) == known:
            while not self._heard:
                self._heard.extend(json.loads(self.socket.recv(timeout=10)))
            message = self._heard.popleft()
            (self.heartbeats if message["type"] == "heartbeat" else others).append(message)
        self._heard.extendleft(reversed(others))
        return self.heartbeats[-1]

    def until_closed(self):
        """All that is told until the socket ends, and its close code."""
        heard = list(self._heard)
        with suppress(ConnectionClosed):
            for frame in self.socket:
                heard += json.loads(frame)
        return heard, self.socket.close_code


@contextmanager
def served(access=None):
    """A market open for trading: seller S with 1,000 t, buyer B with 100,000.00 CNY."""
    trading.warm_up()  # a server that compiles its loops answers nobody for minutes
    gateway = Gateway(MemoryJournal(), load_rule_set("hubei"), Clock(MORNING_NS))
    app = make_app(gateway, access)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="websockets-sansio", http=BoundedHttp))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with Web(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            client.gateway, client.app = gateway, app
            enrol(client)
            yield client
    finally:
        server.should_exit = True
        thread.join()


def enrol(client):
    post(client, "/v1/instruments", symbol=SYMBOL, species="allowance", vintage=2025, opening_price="40.00")
    for account_id in ("S", "B"):
        post(client, "/v1/accounts", account_id=account_id, name=account_id)
    post(client, "/v1/accounts/B/deposits", amount="100000.00")
    post(client, "/v1/issuances", account_id="S", unit=SYMBOL, quantity=1000)
    post(client, "/v1/accounts/S/transfers", unit=SYMBOL, quantity=1000)
    post(client, "/v1/trading-days", date="2026-01-05")
    phase(client, "continuous")


def post(client, path, **body):
    response = client.post(path, json=body)
    assert response.is_success, response.text
    return response.json()


def order(client, account_id, side, price, quantity, **terms):
    body = {"account_id": account_id, "symbol": SYMBOL, "side": side, "price": price, "quantity": quantity}
    return post(client, "/v1/orders", **body, **terms)


def amend(client, placed, **terms):
    body = {"account_id": placed["account_id"], **terms}
    assert client.patch(f"/v1/orders/{placed['order_id']}", json=body).is_success


def cancel(client, placed):
    params = {"account_id": placed["account_id"]}
    assert client.delete(f"/v1/orders/{placed['order_id']}", params=params).is_success


def phase(client, name):
    assert client.put("/v1/market/phase", json={"phase": name}).is_success


def open_orders(client, account_id):
    return client.get("/v1/orders", params={"account_id": account_id, "open_only": True}).json()
