"""Order types, times in force, icebergs, post-only and self-trade prevention, over HTTP."""

import pytest

from api.client import ApiError

pytestmark = pytest.mark.anyio


def figures(order):
    return order.status, order.filled, order.leaves, order.cancelled, order.prevented


# ---------------------------------------------------------------- market orders, at once or not at all


async def test_a_market_order_takes_what_there_is_and_the_rest_is_cancelled(open_desk):
    await open_desk.sell("40.00", 60)
    await open_desk.sell("41.00", 40)
    order = await open_desk.buy(None, 150, order_type="market")

    assert (order.type, order.time_in_force, order.price) == ("market", "IOC", None)
    assert [(fill.price, fill.quantity) for fill in order.fills] == [("40.00", 60), ("41.00", 40)]
    assert (*figures(order), order.reason) == ("cancelled", 100, 0, 50, 0, "immediate_or_cancel")
    assert await open_desk.book() == ([], [])


async def test_a_market_order_must_be_paid_at_the_edge_of_the_band(open_desk):
    # 100,000.00 CNY pay for 2,261 t at 44.00 with 0.5 % fee, not for 2,262.
    with pytest.raises(ApiError, match="insufficient_cash"):
        await open_desk.buy(None, 2262, order_type="market")
    order = await open_desk.buy(None, 2261, order_type="market", time_in_force="FOK")
    assert (order.time_in_force, order.status) == ("FOK", "cancelled")


async def test_fill_or_kill_trades_in_full_or_not_at_all(open_desk):
    await open_desk.sell("40.00", 60)
    killed = await open_desk.buy("40.00", 61, time_in_force="FOK")
    assert (*figures(killed), killed.reason) == ("cancelled", 0, 0, 61, 0, "immediate_or_cancel")
    filled = await open_desk.buy("40.00", 60, time_in_force="FOK")
    assert (filled.time_in_force, *figures(filled)) == ("FOK", "filled", 60, 0, 0, 0)


# ---------------------------------------------------------------- stop orders


async def test_a_stop_order_waits_unseen_until_a_trade_reaches_its_price(open_desk):
    bid = await open_desk.buy("39.00", 50)
    stop = await open_desk.sell(None, 100, order_type="stop", stop_price="39.50")
    assert (stop.type, stop.stop_price, stop.price, stop.status, stop.leaves) == ("stop", "39.50", None, "waiting", 100)
    assert await open_desk.book() == ([("39.00", 50, 1)], [])
    assert [one.order_id for one in await open_desk.client.orders("S", open_only=True)] == [stop.order_id]

    first = await open_desk.sell("39.00", 10)
    assert figures(first) == ("filled", 10, 0, 0, 0)  # what it triggered is another order's affair
    triggered = await open_desk.client.order("S", stop.order_id)
    assert (*figures(triggered), triggered.reason) == ("cancelled", 40, 0, 60, 0, "immediate_or_cancel")
    assert (await open_desk.client.order("B", bid.order_id)).status == "filled"


async def test_a_stop_limit_order_rests_once_triggered(open_desk):
    await open_desk.buy("39.00", 50)
    stop = await open_desk.sell("38.50", 100, order_type="stop_limit", stop_price="39.50")
    assert (stop.type, stop.price, stop.stop_price, stop.status) == ("stop_limit", "38.50", "39.50", "waiting")
    await open_desk.sell("39.00", 10)

    triggered = await open_desk.client.order("S", stop.order_id)
    assert figures(triggered) == ("open", 40, 60, 0, 0)
    assert await open_desk.book() == ([], [("38.50", 60, 1)])


async def test_a_stop_price_that_has_been_reached_is_refused(open_desk):
    with pytest.raises(ApiError, match=r"stop_already_reached \(409\)"):
        await open_desk.buy("41.00", 10, order_type="stop_limit", stop_price="40.00")
    assert (await open_desk.buy("41.00", 10, order_type="stop_limit", stop_price="40.01")).status == "waiting"


async def test_without_a_band_there_are_no_stop_orders_but_stop_limits(plain_desk):
    with pytest.raises(ApiError, match=r"contradictory_terms \(422\)"):
        await plain_desk.buy(None, 10, order_type="stop", stop_price="41.00")
    assert (await plain_desk.buy("42.00", 10, order_type="stop_limit", stop_price="41.00")).status == "waiting"


# ---------------------------------------------------------------- icebergs, post-only


async def test_an_iceberg_shows_a_slice_and_queues_anew_with_the_next(open_desk):
    await open_desk.enrol_seller("C")
    iceberg = await open_desk.sell("41.00", 100, display_quantity=30)
    other = await open_desk.sell("41.00", 20, "C")
    assert (iceberg.display_quantity, iceberg.leaves, iceberg.quantity) == (30, 100, 100)
    assert (await open_desk.book())[1] == [("41.00", 50, 2)]

    await open_desk.buy("41.00", 35)  # the slice, then 5 t of the order behind it
    assert (await open_desk.client.order("C", other.order_id)).leaves == 15
    iceberg = await open_desk.client.order("S", iceberg.order_id)
    assert (iceberg.leaves, iceberg.filled) == (70, 30)
    assert (await open_desk.book())[1] == [("41.00", 45, 2)]

    swept = await open_desk.buy("41.00", 85)
    assert (swept.status, swept.leaves) == ("filled", 0)
    assert (await open_desk.book())[1] == []


async def test_an_iceberg_that_took_rests_with_a_slice(open_desk):
    await open_desk.buy("40.00", 25)
    iceberg = await open_desk.sell("40.00", 100, display_quantity=30)
    assert figures(iceberg) == ("open", 25, 75, 0, 0)
    assert await open_desk.book() == ([], [("40.00", 30, 1)])


async def test_a_post_only_order_rests_or_is_refused(open_desk):
    await open_desk.sell("41.00", 10)
    with pytest.raises(ApiError, match=r"post_only_would_trade \(409\)"):
        await open_desk.buy("41.00", 10, post_only=True)
    order = await open_desk.buy("40.99", 10, post_only=True)
    assert (order.post_only, order.status) == (True, "open")
    assert not (await open_desk.buy("40.99", 10)).post_only


# ---------------------------------------------------------------- orders that outlive their day


async def next_day(desk, day):
    await desk.client.set_phase("closed")
    await desk.client.settle()
    await desk.open(day)


async def test_good_till_cancelled_and_good_till_date(plain_desk):
    day_order = await plain_desk.buy("39.00", 1)
    standing = await plain_desk.buy("39.00", 2, time_in_force="GTC")
    dated = await plain_desk.buy("39.00", 3, time_in_force="GTD", expire_date="2026-01-06")
    assert (standing.time_in_force, standing.expire_date) == ("GTC", None)
    assert (dated.time_in_force, str(dated.expire_date)) == ("GTD", "2026-01-06")

    await next_day(plain_desk, "2026-01-06")
    ended = await plain_desk.client.order("B", day_order.order_id)
    assert (*figures(ended), ended.reason) == ("cancelled", 0, 0, 1, 0, "end_of_day")
    assert await plain_desk.book() == ([("39.00", 5, 2)], [])

    await next_day(plain_desk, "2026-01-07")
    assert (await plain_desk.client.order("B", dated.order_id)).reason == "end_of_day"
    assert (await plain_desk.client.order("B", standing.order_id)).status == "open"
    with pytest.raises(ApiError, match=r"last_day_passed \(422\)"):
        await plain_desk.buy("39.00", 3, time_in_force="GTD", expire_date="2026-01-06")


async def test_a_good_till_cancelled_order_trades_on_a_later_day(plain_desk):
    standing = await plain_desk.sell("41.00", 10, time_in_force="GTC")
    await plain_desk.buy("41.00", 4)
    await next_day(plain_desk, "2026-01-06")
    await plain_desk.buy("41.00", 6)
    view = await plain_desk.client.order("S", standing.order_id)
    assert (view.status, [fill.quantity for fill in view.fills]) == ("filled", [4, 6])


@pytest.mark.parametrize("terms", [{"time_in_force": "GTC"}, {"time_in_force": "GTD", "expire_date": "2026-01-06"}])
async def test_hubei_lets_no_order_outlive_its_day(open_desk, terms):
    with pytest.raises(ApiError, match=r"time_in_force_not_allowed \(422\)"):
        await open_desk.buy("40.00", 1, **terms)


# ---------------------------------------------------------------- self-trade prevention

MEETINGS = {  # what the taker chose: (taker, maker) after a buy of 60 met a sale of 100
    "cancel_newest": (("cancelled", 0, 0, 0, 60), ("open", 0, 100, 0, 0)),
    "cancel_oldest": (("open", 0, 60, 0, 0), ("cancelled", 0, 0, 0, 100)),
    "cancel_both": (("cancelled", 0, 0, 0, 60), ("cancelled", 0, 0, 0, 100)),
    "decrement": (("cancelled", 0, 0, 0, 60), ("open", 0, 40, 0, 60)),
}


@pytest.mark.parametrize(("mode", "ends"), MEETINGS.items())
async def test_orders_of_one_account_do_not_trade(open_desk, mode, ends):
    await open_desk.client.deposit("S", "10000.00")
    maker = await open_desk.sell("40.00", 100)
    taker = await open_desk.buy("40.00", 60, "S", self_trade_prevention=mode)
    maker = await open_desk.client.order("S", maker.order_id)

    assert (figures(taker), figures(maker)) == ends
    assert (taker.self_trade_prevention, maker.self_trade_prevention) == (mode, "cancel_newest")
    for order in (taker, maker):
        assert order.reason == ("self_trade" if order.status == "cancelled" else None)
        assert order.quantity == order.filled + order.leaves + order.cancelled + order.prevented
    assert [trade async for trade in open_desk.client.trades("HBEA-2025")] == []


async def test_hubeis_rule_cancels_the_whole_rest_of_the_newer_order(open_desk):
    await open_desk.client.deposit("S", "10000.00")
    await open_desk.enrol_seller("C")
    await open_desk.sell("39.90", 30, "C")
    await open_desk.sell("40.00", 50)
    taker = await open_desk.buy("40.00", 200, "S")
    assert (*figures(taker), taker.reason) == ("cancelled", 30, 0, 0, 170, "self_trade")


async def test_a_decremented_order_that_trades_its_rest_is_filled(open_desk):
    await open_desk.client.deposit("S", "10000.00")
    maker = await open_desk.sell("40.00", 100)
    await open_desk.buy("40.00", 60, "S", self_trade_prevention="decrement")
    await open_desk.buy("40.00", 40)
    maker = await open_desk.client.order("S", maker.order_id)
    assert (*figures(maker), maker.reason, maker.quantity) == ("filled", 40, 0, 0, 60, None, 100)


async def test_accounts_of_one_beneficial_owner_do_not_trade_with_one_another(desk):
    for account_id, owner in (("G1", "G"), ("G2", "G"), ("H", "H")):
        account = await desk.client.open_account(account_id, account_id, beneficial_owner=owner)
        assert account.beneficial_owner == owner
        await desk.client.deposit(account_id, "10000.00")
    assert (await desk.client.account("S")).beneficial_owner is None
    await desk.client.issue("G1", "HBEA-2025", 100)
    await desk.client.transfer("G1", "HBEA-2025", 100)
    await desk.open()

    await desk.sell("40.00", 100, "G1")
    assert (await desk.buy("40.00", 10, "G2")).reason == "self_trade"
    assert (await desk.buy("40.00", 10, "H")).status == "filled"
