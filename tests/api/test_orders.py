"""An order's journey over HTTP."""

import pytest

from api.client import ApiError

pytestmark = pytest.mark.anyio


async def test_an_order_rests_and_its_backing_is_reserved(open_desk):
    order = await open_desk.client.place_order("B", "HBEA-2025", "buy", "40.00", 100, client_order_id="b-1")

    assert (order.status, order.leaves, order.filled, order.client_order_id) == ("open", 100, 0, "b-1")
    cash = (await open_desk.client.account("B")).holdings[0]
    assert (cash.available, cash.reserved) == ("95980.00", "4020.00")  # 4,000.00 and 0.5 %
    book = await open_desk.client.book("HBEA-2025")
    assert [(level.price, level.quantity, level.orders) for level in book.bids] == [("40.00", 100, 1)]


@pytest.mark.examples
async def test_a_trade_answers_with_fills_price_and_fee(open_desk):
    resting = await open_desk.client.place_order("S", "HBEA-2025", "sell", "39.50", 60)
    order = await open_desk.client.place_order("B", "HBEA-2025", "buy", "41.00", 100)

    assert (order.status, order.filled, order.leaves, order.average_price) == ("open", 60, 40, "40.00")
    [fill] = order.fills
    assert (fill.price, fill.quantity, fill.fee, fill.liquidity) == ("40.00", 60, "12.00", "taker")
    made = await open_desk.client.order("S", resting.order_id)
    assert (made.status, made.fills[0].liquidity, made.fills[0].fee) == ("filled", "maker", "12.00")
    [trade] = [trade async for trade in open_desk.client.trades("HBEA-2025")]
    assert (trade.price, trade.quantity, trade.aggressor) == ("40.00", 60, "buy")


async def test_the_rest_of_an_immediate_order_is_cancelled(open_desk):
    await open_desk.client.place_order("S", "HBEA-2025", "sell", "40.00", 60)
    order = await open_desk.client.place_order("B", "HBEA-2025", "buy", "40.00", 100, "IOC")

    assert (order.status, order.filled, order.cancelled, order.reason) == ("cancelled", 60, 40, "immediate_or_cancel")


async def test_a_cancel_gives_back_what_was_reserved(open_desk):
    order = await open_desk.client.place_order("S", "HBEA-2025", "sell", "41.00", 70)
    cancelled = await open_desk.client.cancel_order("S", order.order_id)

    assert (cancelled.status, cancelled.reason, cancelled.leaves) == ("cancelled", "by_request", 0)
    units = (await open_desk.client.account("S")).holdings[1]
    assert (units.available, units.reserved) == (1000, 0)
    with pytest.raises(ApiError, match="unknown_order"):
        await open_desk.client.cancel_order("S", order.order_id)


@pytest.mark.examples
async def test_a_repeated_client_order_id_gets_the_first_answer(open_desk):
    body = {"account_id": "B", "symbol": "HBEA-2025", "side": "buy", "price": "40.00", "quantity": 10}
    first = await open_desk.http.post("/v1/orders", json=body | {"client_order_id": "x"})
    again = await open_desk.http.post("/v1/orders", json=body | {"client_order_id": "x"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    other = await open_desk.http.post("/v1/orders", json=body | {"client_order_id": "x", "quantity": 11})
    assert (other.status_code, other.json()["code"]) == (409, "client_order_id_used")
    assert len(await open_desk.client.orders("B")) == 1


async def test_another_accounts_order_is_unknown(open_desk):
    order = await open_desk.client.place_order("S", "HBEA-2025", "sell", "41.00", 70)

    with pytest.raises(ApiError, match="unknown_order"):
        await open_desk.client.order("B", order.order_id)
    with pytest.raises(ApiError, match="unknown_order"):
        await open_desk.client.cancel_order("B", order.order_id)
    assert (await open_desk.client.order("S", order.order_id)).status == "open"


async def test_orders_can_be_listed(open_desk):
    client = open_desk.client
    await client.place_order("S", "HBEA-2025", "sell", "41.00", 1, client_order_id="one")
    done = await client.place_order("S", "HBEA-2025", "sell", "41.00", 2, client_order_id="two")
    await client.cancel_order("S", done.order_id)

    assert [order.client_order_id for order in await client.orders("S")] == ["one", "two"]
    assert [order.client_order_id for order in await client.orders("S", open_only=True)] == ["one"]
    named = await open_desk.http.get("/v1/orders", params={"account_id": "S", "client_order_id": "two"})
    assert [order["order_id"] for order in named.json()] == [done.order_id]
