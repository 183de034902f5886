"""Orders on disk before they are sent: who dies on the way finds what became of them, and sends nothing twice."""

import os
import subprocess
import sys
import textwrap

import httpx
import pytest

from api.client import ApiError, AsyncClient, Client
from api.outbox import AlreadySent, Outbox, derived_id
from tests.api.streaming import SYMBOL, order, served
from tests.api.test_client import LossyTransport


@pytest.fixture(scope="module")
def web():
    with served() as client:
        yield client


@pytest.fixture
def outbox(tmp_path):
    with Outbox(tmp_path / "orders") as made:
        yield made


def orders_of(web, client_order_id):
    return web.get("/v1/orders", params={"account_id": "B", "client_order_id": client_order_id}).json()


ROBOT = """
    import os, sys
    import httpx
    from api.client import Client
    from api.outbox import Outbox

    url, path, client_order_id, dies = sys.argv[1:]

    class Dies(httpx.HTTPTransport):
        def handle_request(self, request):
            if dies == "before":
                os._exit(9)
            super().handle_request(request)
            os._exit(9)

    client = Client(url, transport=Dies(), outbox=Outbox(path))
    client.place_order("B", "HBEA-2025", "buy", "39.00", 5, client_order_id=client_order_id)
"""


@pytest.mark.parametrize("dies", ["before", "after"])
def test_a_robot_that_dies_on_the_way_finds_its_order_again(web, tmp_path, dies):
    path, name = tmp_path / "orders", derived_id("robot", dies)
    line = [sys.executable, "-c", textwrap.dedent(ROBOT), str(web.base_url), str(path), name, dies]
    ended = subprocess.run(line, timeout=60, check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert ended.returncode == 9
    came = dies == "after"
    assert len(orders_of(web, name)) == came

    with Outbox(path) as outbox, Client(str(web.base_url), outbox=outbox) as client:
        [recovered] = client.recover()
        assert (recovered.kept.client_order_id, recovered.kept.asked["price"]) == (name, "39.00")
        assert (recovered.order is not None) == came
        assert len(outbox.unanswered()) == (not came)
        for _ in range(2):
            placed = client.place_order("B", SYMBOL, "buy", "39.00", 5, client_order_id=name)
        assert [one["order_id"] for one in orders_of(web, name)] == [placed.order_id]
        assert client.recover() == [] and outbox.unanswered() == []


def test_it_is_on_disk_before_it_is_sent(tmp_path, outbox):
    def exchange(request):
        with Outbox(tmp_path / "orders") as read:
            seen.extend(read.unanswered())
        return httpx.Response(422, json={"code": "price_outside_band", "detail": "-"})

    seen = []
    with Client("http://exchange", transport=httpx.MockTransport(exchange), outbox=outbox) as client:
        with pytest.raises(ApiError, match="price_outside_band"):
            client.place_order("B", SYMBOL, "buy", "99.00", 5, client_order_id="one")
        assert [kept.client_order_id for kept in seen] == ["one"] and outbox.unanswered() == []
        with pytest.raises(ApiError, match="price_outside_band"):  # and is not asked again
            client.place_order("B", SYMBOL, "buy", "99.00", 5, client_order_id="one")
        assert len(seen) == 1
        with pytest.raises(ApiError):
            client.place_order("B", SYMBOL, "buy", "99.00", 5)
        assert seen[1].client_order_id.startswith("c-")


def test_an_id_is_for_one_order(web, outbox):
    with Client(str(web.base_url), outbox=outbox) as client:
        client.place_order("B", SYMBOL, "buy", "39.00", 5, client_order_id="mine")
        with pytest.raises(AlreadySent):
            client.place_order("B", SYMBOL, "buy", "39.00", 6, client_order_id="mine")
        terms = {"symbol": SYMBOL, "side": "buy", "price": "39.00", "quantity": 1}
        with pytest.raises(AlreadySent):
            client.place_orders("B", [terms | {"client_order_id": "new"}, terms | {"client_order_id": "mine"}])
    assert outbox.find("B", "new") is None and orders_of(web, "new") == []
    assert [kept.client_order_id for kept in outbox.orders()] == ["mine"]


def test_a_filled_order_is_shown_as_it_is_now(web, outbox):
    with Client(str(web.base_url), outbox=outbox) as client:
        bid = client.place_order("B", SYMBOL, "buy", "40.00", 5, client_order_id="bid")
        assert bid.status == "open"
        order(web, "S", "sell", "40.00", 5)
        assert client.place_order("B", SYMBOL, "buy", "40.00", 5, client_order_id="bid").status == "filled"


def test_a_batch_is_kept_too(web, outbox):
    orders = [
        {"symbol": SYMBOL, "side": "buy", "price": price, "quantity": 1, "client_order_id": price}
        for price in ("38.50", "99.00", "38.60")
    ]
    with Client(str(web.base_url), outbox=outbox) as client:
        client.place_orders("B", orders, on_error="continue")
        with pytest.raises(ApiError, match="unknown_account"):
            client.place_orders("NOBODY", orders)
    kept = {(one.account_id, one.client_order_id): one for one in outbox.orders()}
    assert kept["B", "38.50"].order_id and kept["B", "38.60"].order_id
    assert kept["B", "99.00"].refusal.code == "price_outside_band"
    assert all(one.refusal for one in kept.values() if one.account_id == "NOBODY")
    assert outbox.unanswered() == []


@pytest.mark.anyio
async def test_who_awaits_has_the_same(web, outbox, monkeypatch):
    transport = LossyTransport(httpx.AsyncHTTPTransport(), "POST", lost=1)
    monkeypatch.setattr("api.client.RETRIED_S", 0.0)
    async with AsyncClient(str(web.base_url), transport=transport, outbox=outbox) as client:
        with pytest.raises(ApiError, match="connection_lost"):
            await client.place_order("B", SYMBOL, "buy", "39.10", 5, client_order_id="lost")
        [recovered] = await client.recover()
        assert recovered.order.status == "open"
        placed = await client.place_order("B", SYMBOL, "buy", "39.10", 5, client_order_id="lost")
    assert placed.order_id == recovered.order.order_id and len(transport.seen) == 1


def test_the_same_names_make_the_same_id():
    assert derived_id("quoter", "2026-01-05", 1) == derived_id("quoter", "2026-01-05", 1)
    assert len({derived_id("a", "bc"), derived_id("ab", "c"), derived_id("a", "b", "c")}) == 3
