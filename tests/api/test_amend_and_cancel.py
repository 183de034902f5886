"""Amends and mass cancels over HTTP."""

import asyncio

import pytest

from api.client import ApiError
from tests.api.conftest import hold_back

pytestmark = pytest.mark.anyio


@pytest.fixture
async def queue(open_desk):
    """Two sellers at 41.00: S with 100 t before C with 50 t."""
    await open_desk.enrol_seller("C")
    first = await open_desk.sell("41.00", 100)
    await open_desk.sell("41.00", 50, "C")
    return open_desk, first.order_id


async def sellers_of(desk, quantity):
    """Who sells to a buyer at 41.00, and how much."""
    before = {account: (await desk.client.account(account)).holdings[1].reserved for account in "SC"}
    order = await desk.buy("41.00", quantity)
    assert order.status == "filled"
    filled = {}
    for account in before:
        orders = await desk.client.orders(account)
        fills = [fill for one in orders for fill in one.fills if fill.trade_id in {f.trade_id for f in order.fills}]
        filled[account] = sum(fill.quantity for fill in fills)
    return filled


@pytest.mark.examples
async def test_less_at_the_same_price_keeps_its_place(queue):
    desk, order_id = queue
    order = await desk.client.amend_order("S", order_id, 60)
    assert (order.priority, order.price, order.quantity, order.leaves, order.status) == (
        "kept",
        "41.00",
        60,
        60,
        "open",
    )
    assert (await desk.client.account("S")).holdings[1].reserved == 60
    assert (await desk.book())[1] == [("41.00", 110, 2)]
    assert await sellers_of(desk, 60) == {"S": 60, "C": 0}


async def test_more_quantity_goes_to_the_back(queue):
    desk, order_id = queue
    order = await desk.client.amend_order("S", order_id, 101)
    assert (order.priority, order.quantity, order.leaves) == ("lost", 101, 101)
    assert await sellers_of(desk, 60) == {"S": 10, "C": 50}


async def test_another_price_takes_another_place(queue):
    desk, order_id = queue
    order = await desk.client.amend_order("S", order_id, 100, "41.50")
    assert (order.priority, order.price) == ("lost", "41.50")
    assert (await desk.book())[1] == [("41.00", 50, 1), ("41.50", 100, 1)]


async def test_an_order_amended_across_the_spread_trades_at_once(queue):
    desk, order_id = queue
    await desk.buy("40.00", 30)
    order = await desk.client.amend_order("S", order_id, 80, "40.00")
    assert (order.priority, order.status, order.filled, order.leaves, order.quantity) == ("lost", "open", 30, 50, 80)
    assert [(fill.quantity, fill.liquidity) for fill in order.fills] == [(30, "taker")]


async def test_the_new_quantity_counts_from_now_on(queue):
    desk, order_id = queue
    await desk.buy("41.00", 30)
    order = await desk.client.amend_order("S", order_id, 20)
    assert (order.filled, order.leaves, order.quantity, order.cancelled) == (30, 20, 50, 0)
    cancelled = await desk.client.cancel_order("S", order_id)
    assert (cancelled.quantity, cancelled.cancelled, cancelled.priority) == (50, 20, "kept")


async def test_an_iceberg_loses_what_it_hides_first(open_desk):
    iceberg = await open_desk.sell("41.00", 100, display_quantity=30)
    order = await open_desk.client.amend_order("S", iceberg.order_id, 40)
    assert (order.priority, order.leaves) == ("kept", 40)
    assert (await open_desk.book())[1] == [("41.00", 30, 1)]


async def test_a_waiting_order_gets_another_stop_price(open_desk):
    stop = await open_desk.sell(None, 100, order_type="stop", stop_price="39.50")
    order = await open_desk.client.amend_order("S", stop.order_id, 100, stop_price="39.00")
    assert (order.status, order.stop_price, order.price, order.priority) == ("waiting", "39.00", None, "lost")
    less = await open_desk.client.amend_order("S", stop.order_id, 70)
    assert (less.stop_price, less.leaves, less.priority) == ("39.00", 70, "kept")

    limited = await open_desk.sell("38.50", 10, order_type="stop_limit", stop_price="39.50")
    order = await open_desk.client.amend_order("S", limited.order_id, 10, stop_price="39.20")
    assert (order.status, order.stop_price, order.price) == ("waiting", "39.20", "38.50")


async def test_an_answer_tells_nothing_of_what_came_behind_the_amend(queue):
    desk, order_id = queue
    held = hold_back(desk.gateway)
    waiting = [asyncio.ensure_future(desk.buy("40.00", 1))]  # a group by itself
    await asyncio.sleep(0.02)
    waiting.append(asyncio.ensure_future(desk.client.amend_order("S", order_id, 60)))
    await asyncio.sleep(0.02)
    waiting.append(asyncio.ensure_future(desk.buy("41.00", 60)))
    await asyncio.sleep(0.02)
    held.set()
    _, amended, _ = [await one for one in waiting]
    assert (amended.leaves, amended.fills) == (60, [])
    assert (await desk.client.order("S", order_id)).status == "filled"


BAD_AMENDS = {
    "nothing left": ({"quantity": 0}, 422, "quantity_not_positive"),
    "no quantity at all": ({"quantity": None}, 422, "invalid_request"),
    "a price off the tick": ({"price": "41.005"}, 422, "price_off_tick"),
    "a price of nothing": ({"price": "0.00"}, 422, "price_not_positive"),
    "a price outside the band": ({"price": "44.01"}, 422, "price_outside_band"),
    "a stop price of an order that rests": ({"stop_price": "39.00"}, 422, "contradictory_terms"),
    "a stop price that no row holds": ({"stop_price": "99999999999.00"}, 422, "price_out_of_range"),
    "more than there is": ({"quantity": 1001}, 409, "insufficient_units"),
    "another account's order": ({"account_id": "B"}, 404, "unknown_order"),
    "an unknown account": ({"account_id": "X"}, 404, "unknown_account"),
    "an enormous quantity": ({"quantity": 2**62}, 422, "amount_too_large"),
    "a quantity beyond 64 bits": ({"quantity": 2**63}, 422, "invalid_request"),
    "a field nobody knows": ({"side": "buy"}, 422, "invalid_request"),
}


@pytest.mark.parametrize(("change", "status", "code"), BAD_AMENDS.values(), ids=BAD_AMENDS)
async def test_bad_amends_change_nothing(queue, change, status, code):
    desk, order_id = queue
    before = await desk.digest()
    response = await desk.http.patch(f"/v1/orders/{order_id}", json={"account_id": "S", "quantity": 60} | change)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert await desk.digest() == before


@pytest.mark.parametrize("order_id", [77, 0, 2**70])
async def test_an_unknown_order_can_not_be_amended(open_desk, order_id):
    with pytest.raises(ApiError, match=r"unknown_order \(404\)"):
        await open_desk.client.amend_order("S", order_id, 10)


async def test_an_order_that_is_gone_can_not_be_amended(queue):
    desk, order_id = queue
    await desk.client.cancel_order("S", order_id)
    with pytest.raises(ApiError, match=r"unknown_order \(404\)"):
        await desk.client.amend_order("S", order_id, 10)


async def test_a_stop_order_has_no_price_to_amend(open_desk):
    stop = await open_desk.sell(None, 100, order_type="stop", stop_price="39.50")
    with pytest.raises(ApiError, match=r"contradictory_terms \(422\)"):
        await open_desk.client.amend_order("S", stop.order_id, 100, "39.00")


# ---------------------------------------------------------------- mass cancel


@pytest.fixture
async def orders(desk):
    """Order ids of S: a bid, an ask and a waiting stop in HBEA-2025, an ask in HBCER-2025; B has a bid too."""
    client = desk.client
    await client.list_instrument("HBCER-2025", "credit", 2025, "36.00")
    await client.issue("S", "HBCER-2025", 10, "credit")
    await client.transfer("S", "HBCER-2025", 10)
    await client.deposit("S", "1000.00")
    await desk.open()
    made = {
        "bid": await desk.buy("39.00", 10, "S"),
        "ask": await desk.sell("41.00", 10),
        "stop": await desk.sell(None, 10, order_type="stop", stop_price="38.00"),
        "credits": await client.place_order("S", "HBCER-2025", "sell", "36.00", 10),
    }
    await desk.buy("38.00", 10)
    return desk, {name: order.order_id for name, order in made.items()}


SELECTIONS = {
    "all": ({}, ["bid", "ask", "stop", "credits"]),
    "one instrument": ({"symbol": "HBEA-2025"}, ["bid", "ask", "stop"]),
    "one side": ({"side": "sell"}, ["ask", "stop", "credits"]),
    "one side of one instrument": ({"symbol": "HBEA-2025", "side": "buy"}, ["bid"]),
    "nothing": ({"symbol": "HBCER-2025", "side": "buy"}, []),
}


@pytest.mark.parametrize(("selection", "meant"), SELECTIONS.values(), ids=SELECTIONS)
async def test_a_mass_cancel_takes_the_orders_that_are_meant(orders, selection, meant):
    desk, ids = orders
    answer = await desk.client.cancel_all("S", **selection)
    assert (answer.count, answer.order_ids) == (len(meant), [ids[name] for name in meant])
    for name, order_id in ids.items():
        order = await desk.client.order("S", order_id)
        assert (order.leaves, order.reason) == ((0, "by_request") if name in meant else (10, None)), name
    assert len(await desk.client.orders("B", open_only=True)) == 1


@pytest.mark.examples
async def test_a_mass_cancel_gives_back_everything(orders):
    desk, _ = orders
    await desk.client.cancel_all("S")
    assert [holding.reserved for holding in (await desk.client.account("S")).holdings] == ["0.00", 0, 0]
    assert (await desk.client.cancel_all("S")).count == 0


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"account_id": "X"}, 404, "unknown_account"),
        ({"account_id": "S", "symbol": "CEA"}, 404, "unknown_instrument"),
        ({"account_id": "S", "side": "both"}, 422, "invalid_request"),
        ({}, 422, "invalid_request"),
    ],
)
async def test_bad_mass_cancels_change_nothing(orders, params, status, code):
    desk, _ = orders
    before = await desk.digest()
    response = await desk.http.delete("/v1/orders", params=params)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert await desk.digest() == before


async def test_nothing_is_cancelled_while_the_market_is_closed(desk):
    with pytest.raises(ApiError, match=r"market_closed \(409\)"):
        await desk.client.cancel_all("S")
