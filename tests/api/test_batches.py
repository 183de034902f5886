"""Batches of orders over HTTP: one durable write, a line for each order, and what `on_error` leaves."""

import asyncio
from random import Random

import pytest

from api.client import ApiError
from api.gateway import Gateway
from api.order_views import order_view
from api.timers import Clock
from exchange.rules import load_rule_set
from tests.api.conftest import MORNING_NS, Desk, hold_back
from tests.api.test_inbox import WatchedJournal

pytestmark = pytest.mark.anyio

SLOW = {"content-type": "application/json; charset=utf-8"}  # which the fast lane leaves to the route


def buy(price="40.00", quantity=10, **terms):
    return {"symbol": "HBEA-2025", "side": "buy", "price": price, "quantity": quantity} | terms


TOO_MUCH = buy(quantity=2487)


async def place(desk, *orders, on_error="stop", headers=None, account_id="B"):
    body = {"account_id": account_id, "on_error": on_error, "orders": list(orders)}
    answer = await desk.http.post("/v1/orders/batch", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def lines(told):
    return [(one["status"], one.get("code")) for one in told["orders"]]


@pytest.mark.parametrize("headers", [None, SLOW], ids=["fast lane", "route"])
@pytest.mark.parametrize(
    ("on_error", "found", "rests"),
    [
        ("continue", [("open", None), ("refused", "insufficient_cash"), ("open", None)], [1, 2]),
        ("stop", [("open", None), ("refused", "insufficient_cash"), ("refused", "batch_stopped")], [1]),
        (
            "rollback",
            [("cancelled", "batch_undone"), ("refused", "insufficient_cash"), ("refused", "batch_stopped")],
            [],
        ),
    ],
)  # fmt: skip
async def test_a_refused_order_and_those_around_it(open_desk, headers, on_error, found, rests):
    told = await place(open_desk, buy(), TOO_MUCH, buy(), on_error=on_error, headers=headers)
    assert lines(told) == found
    refused = sum(status == "refused" for status, _ in found)
    assert (told["placed"], told["refused"]) == (3 - refused, refused)
    assert told["undone"] == (on_error == "rollback")
    assert [order.order_id for order in await open_desk.client.orders("B", open_only=True)] == rests


@pytest.mark.parametrize("headers", [None, SLOW], ids=["fast lane", "route"])
@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (buy(symbol="CEA"), "unknown_instrument"),
        (buy("40.005"), "price_off_tick"),
        (buy("0.00"), "price_not_positive"),
        (buy("44.00", type="stop_limit", stop_price="30000000.00"), "price_out_of_range"),
    ],
)
async def test_what_can_not_become_a_row_is_refused_before_anything_is_journalled(open_desk, headers, bad, code):
    before = await open_desk.digest()
    told = await place(open_desk, buy(), bad, buy(), on_error="rollback", headers=headers)
    assert lines(told) == [("refused", "batch_stopped"), ("refused", code), ("refused", "batch_stopped")]
    assert await open_desk.digest() == before
    told = await place(open_desk, buy(), bad, buy(), headers=headers)
    assert lines(told) == [("open", None), ("refused", code), ("refused", "batch_stopped")]
    told = await place(open_desk, bad, buy(), on_error="continue", headers=headers)
    assert lines(told) == [("refused", code), ("open", None)]


async def test_the_fills_of_a_batch_that_was_rolled_back_stand_and_are_named(open_desk):
    resting = await open_desk.sell("40.00", 6)
    told = await place(open_desk, buy(), TOO_MUCH, on_error="rollback")
    [order, _] = told["orders"]
    assert (order["status"], order["filled"], order.get("leaves", 0)) == ("cancelled", 6, 0)
    [trade] = [trade async for trade in open_desk.client.trades("HBEA-2025")]
    assert order["trade_ids"] == [trade.trade_id]
    assert (await open_desk.client.order("S", resting.order_id)).status == "filled"


async def test_every_end_that_an_order_of_a_batch_can_have(open_desk):
    await open_desk.sell("40.00", 6)
    sell = {"symbol": "HBEA-2025", "side": "sell"}
    told = await place(
        open_desk,
        buy(quantity=4),
        buy(quantity=4, time_in_force="IOC"),
        buy("39.90", 3),
        buy(None, 5, type="stop", stop_price="43.00"),
        buy(None, 1, type="market"),
        on_error="continue",
    )
    assert lines(told) == [
        ("filled", None), ("cancelled", "immediate_or_cancel"), ("open", None), ("waiting", None),
        ("cancelled", "immediate_or_cancel"),
    ]  # fmt: skip
    assert [one.get("filled", 0) for one in told["orders"]] == [4, 2, 0, 0, 0]
    told = await place(open_desk, sell | {"price": "39.90", "quantity": 3}, account_id="S")
    assert lines(told) == [("filled", None)]
    for one in told["orders"]:
        shown = await open_desk.client.order("S", one["order_id"])
        assert (shown.status, shown.filled, shown.leaves) == (one["status"], one["filled"], one.get("leaves", 0))


@pytest.mark.parametrize("seed", range(4))
async def test_what_a_batch_is_told_is_how_its_orders_then_stand(open_desk, seed):
    random = Random(seed)
    await open_desk.client.issue("B", "HBEA-2025", 1000)
    await open_desk.client.transfer("B", "HBEA-2025", 1000)
    await open_desk.client.deposit("S", "100000.00")
    kinds = [{}, {}, {"time_in_force": "IOC"}, {"post_only": True}, {"display_quantity": 2},
             {"type": "stop_limit", "stop_price": "40.30"}, {"type": "market", "price": None}]  # fmt: skip
    ends = set()
    for number in range(12):
        orders = [
            buy(f"{random.randrange(3950, 4060) // 10 / 10:.2f}", random.randrange(1, 120))
            | {"side": random.choice(["buy", "sell"])} | random.choice(kinds)
            for _ in range(random.randrange(1, 12))
        ]  # fmt: skip
        orders = [one for one in orders if one.get("type") != "stop_limit" or one["side"] == "buy"] or [buy()]
        on_error = random.choice(["continue", "stop", "rollback"])
        told = await place(open_desk, *orders, on_error=on_error, account_id="SB"[number % 2])
        for one in told["orders"]:
            ends.add(one["status"])
            if one["status"] == "refused":
                assert "order_id" not in one and one["code"] and one["detail"]
                continue
            view = order_view(open_desk.gateway, one["order_id"])
            assert one["status"] == view.status
            assert (one.get("filled", 0), one.get("leaves", 0)) == (view.filled, view.leaves)
            assert one.get("trade_ids", []) == [fill.trade_id for fill in view.fills]
            assert one.get("code") == view.reason
    assert ends == {"open", "waiting", "filled", "cancelled", "refused"}


async def test_orders_of_one_account_that_meet_do_not_trade(open_desk):
    await open_desk.client.issue("B", "HBEA-2025", 10)
    await open_desk.client.transfer("B", "HBEA-2025", 10)
    told = await place(open_desk, buy(), {"symbol": "HBEA-2025", "side": "sell", "price": "40.00", "quantity": 10})
    assert [one["status"] for one in told["orders"]] == ["open", "cancelled"]
    assert told["orders"][1]["code"] == "self_trade"


async def test_a_batch_is_one_durable_write():
    journal = WatchedJournal()
    gateway = Gateway(journal, load_rule_set("hubei"), Clock(MORNING_NS))
    desk = Desk(gateway)
    async with gateway.running(), desk.client, desk.http:
        await desk.enrol()
        await desk.open()
        before = journal.writes
        told = await place(desk, *[buy(quantity=1)] * 1000)
        assert (told["placed"], journal.writes - before) == (1000, 1)


async def test_a_batch_that_is_sent_again_is_not_placed_again(open_desk):
    orders = [buy(client_order_id=name) for name in "abc"]
    first = await place(open_desk, *orders)
    await open_desk.client.cancel_order("B", first["orders"][1]["order_id"])
    again = await place(open_desk, *orders)
    assert [one["order_id"] for one in again["orders"]] == [one["order_id"] for one in first["orders"]]
    assert [one["repeated"] for one in again["orders"]] == [True] * 3
    assert [one["status"] for one in again["orders"]] == ["open", "cancelled", "open"]
    assert len(await open_desk.client.orders("B")) == 3
    other = await place(open_desk, buy(quantity=11, client_order_id="a"))
    assert lines(other) == [("refused", "client_order_id_used")]


async def together(desk, *asked):
    """Place batches that go through the inbox in one group."""
    released = hold_back(desk.gateway)
    tasks = [asyncio.create_task(place(desk, buy(quantity=1), on_error="continue"))]
    await asyncio.sleep(0.05)  # the first is a group by itself, which waits; the others queue up behind it
    for orders, on_error in asked:
        tasks.append(asyncio.create_task(place(desk, *orders, on_error=on_error)))
        await asyncio.sleep(0.01)
    released.set()
    return (await asyncio.gather(*tasks))[1:]


async def test_a_batch_that_names_orders_of_one_in_the_same_durable_write(open_desk):
    a, b, c, d = (buy(client_order_id=name) for name in "abcd")
    first, second = await together(open_desk, ([a, b], "stop"), ([c, b, d, a], "stop"))
    assert lines(first) == [("open", None)] * 2
    assert lines(second) == [("open", None)] * 4
    assert [one.get("repeated", False) for one in second["orders"]] == [False, True, False, True]
    a_id, b_id = (one["order_id"] for one in first["orders"])
    c_id, d_id = (second["orders"][place]["order_id"] for place in (0, 2))
    assert [one["order_id"] for one in second["orders"]] == [c_id, b_id, d_id, a_id]
    named = {order.order_id: order.client_order_id for order in await open_desk.client.orders("B")}
    assert [named[one] for one in (a_id, b_id, c_id, d_id)] == [*"abcd"]


async def test_a_batch_that_repeats_all_of_one_in_the_same_durable_write(open_desk):
    orders = [buy(client_order_id="a"), TOO_MUCH | {"client_order_id": "b"}, buy(client_order_id="c")]
    first, second = await together(open_desk, (orders, "continue"), (orders, "continue"))
    assert lines(second) == lines(first) == [("open", None), ("refused", "insufficient_cash"), ("open", None)]
    assert [one.get("repeated", False) for one in first["orders"]] == [False] * 3
    assert [one.get("repeated", False) for one in second["orders"]] == [True] * 3
    assert (second["placed"], second["refused"]) == (2, 1)
    assert len(await open_desk.client.orders("B")) == 3, "the two, and that of the group before"


async def test_a_refused_order_of_another_batch_does_not_undo_this_one(open_desk):
    refused = TOO_MUCH | {"client_order_id": "a"}
    _, second = await together(open_desk, ([refused], "continue"), ([refused, buy()], "rollback"))
    assert lines(second) == [("refused", "insufficient_cash"), ("open", None)]
    assert second["undone"] is False


async def test_an_order_that_a_batch_names_twice_is_placed_once(open_desk):
    order = buy(client_order_id="a")
    told = await place(open_desk, order, buy(), order)
    assert [one.get("repeated", False) for one in told["orders"]] == [False, False, True]
    assert told["orders"][2]["order_id"] == told["orders"][0]["order_id"]
    assert len(await open_desk.client.orders("B")) == 2


async def test_an_order_that_comes_twice_in_one_durable_write(open_desk):
    released = hold_back(open_desk.gateway)
    order = buy(account_id="B", client_order_id="a")
    tasks = [asyncio.create_task(open_desk.http.post("/v1/orders", json=buy(account_id="B")))]
    await asyncio.sleep(0.05)
    tasks += [asyncio.create_task(open_desk.http.post("/v1/orders", json=order)) for _ in range(2)]
    await asyncio.sleep(0.05)
    released.set()
    _, first, second = await asyncio.gather(*tasks)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"account_id": "B", "orders": []}, 422, "invalid_request"),
        ({"account_id": "B", "orders": [buy()] * 1001}, 422, "invalid_request"),
        ({"account_id": "B", "orders": [buy(quantity=1.5)]}, 422, "invalid_request"),
        ({"account_id": "B", "orders": [buy(account_id="S")]}, 422, "invalid_request"),
        ({"account_id": "B", "orders": [buy()], "on_error": "hope"}, 422, "invalid_request"),
        ({"account_id": "nobody", "orders": [buy()]}, 404, "unknown_account"),
    ],
)
async def test_a_batch_that_can_not_be_taken_changes_nothing(open_desk, body, status, code):
    before = await open_desk.digest()
    answer = await open_desk.http.post("/v1/orders/batch", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await open_desk.digest() == before


@pytest.mark.examples
async def test_the_client_places_batches(open_desk):
    told = await open_desk.client.place_orders("B", [buy(), TOO_MUCH], "continue")
    assert [order.status for order in told.orders] == ["open", "refused"]
    assert all(order.client_order_id for order in told.orders), "so that it may be sent again"
    with pytest.raises(ApiError, match="unknown_account"):
        await open_desk.client.place_orders("nobody", [buy()])
