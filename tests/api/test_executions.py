"""Fills, the lives of orders, candles, books by level; and after which command a read is true."""

import asyncio

import pytest

from api.client import ApiError
from api.schemas import NewTradeTerms
from tests.api.conftest import MORNING_NS

pytestmark = pytest.mark.anyio
HOUSE = "EXCHANGE"
S = 1_000_000_000


@pytest.fixture
async def traded(open_desk):
    """Trades 1 and 2: B takes 100 t at 40.00 and 50 t at 41.00 from S, with one order."""
    await open_desk.sell("40.00", 100)
    await open_desk.sell("41.00", 50)
    await open_desk.buy("41.00", 200)
    return open_desk


# ---------------------------------------------------------------- fills


@pytest.mark.examples
async def test_an_account_sees_its_side_of_its_trades(traded):
    bought, sold = await traded.client.fills("B"), await traded.client.fills("S")
    assert [(one.trade_id, one.side, one.price, one.quantity, one.liquidity) for one in bought] == [
        (1, "buy", "40.00", 100, "taker"), (2, "buy", "41.00", 50, "taker"),
    ]  # fmt: skip
    assert [(one.trade_id, one.side, one.order_id, one.liquidity) for one in sold] == [
        (1, "sell", 1, "maker"), (2, "sell", 2, "maker"),
    ]  # fmt: skip
    assert [(one.order_id, one.fee, one.currency, one.status) for one in bought] == [
        (3, "20.00", "CNY", "regular"), (3, "10.25", "CNY", "regular"),
    ]  # fmt: skip
    assert await traded.client.fills(HOUSE) == []


async def test_a_fill_is_shown_as_it_stands(traded):
    await traded.client.bust_trades(HOUSE, [1], "wrong book")
    await traded.client.correct_trades(HOUSE, [NewTradeTerms(trade_id=2, price="40.50", quantity=60)], "mistyped")
    assert [(one.price, one.quantity, one.fee, one.status) for one in await traded.client.fills("B")] == [
        ("40.00", 100, "0.00", "busted"), ("40.50", 60, "12.15", "corrected"),
    ]  # fmt: skip


async def test_fills_come_in_pages_while_the_account_trades_on(traded):
    first = await traded.http.get("/v1/fills", params={"account_id": "B", "limit": 1})
    await traded.sell("41.00", 10)
    await traded.sell("41.00", 20)
    asked = {"account_id": "B", "cursor": first.headers["Carbonex-Cursor"]}
    rest = await traded.http.get("/v1/fills", params=asked)
    assert [one["trade_id"] for one in first.json() + rest.json()] == [1, 2, 3, 4]
    of_symbol = await traded.client.fills("B", "HBEA-2025")
    assert [one.trade_id for one in of_symbol] == [1, 2, 3, 4]


async def test_fills_of_one_instrument(traded):
    await traded.client.set_phase("closed")
    await traded.client.list_instrument("HBEA-2026", "allowance", 2026, "40.00")
    assert await traded.client.fills("B", "HBEA-2026") == []
    with pytest.raises(ApiError, match="unknown_instrument"):
        await traded.client.fills("B", "NONE")
    with pytest.raises(ApiError, match="unknown_account"):
        await traded.client.fills("NOBODY")


# ---------------------------------------------------------------- the lives of orders


def life(found):
    return [(one.exec_type, one.ord_status, one.last_qty, one.cum_qty, one.leaves_qty) for one in found]


@pytest.mark.examples
async def test_the_life_of_an_order_event_by_event(traded):
    await traded.client.amend_order("B", 3, 30, "40.00")
    await traded.client.cancel_order("B", 3)
    found = await traded.client.order_history("B", 3)
    assert life(found) == [
        ("new", "new", None, 0, 200),
        ("trade", "partially_filled", 100, 100, 100),
        ("trade", "partially_filled", 50, 150, 50),
        ("replaced", "partially_filled", None, 150, 30),
        ("canceled", "canceled", None, 150, 0),
    ]
    assert [(one.last_px, one.avg_px, one.price) for one in found] == [
        (None, None, "41.00"), ("40.00", "40.00", "41.00"), ("41.00", "40.33", "41.00"), (None, "40.33", "40.00"),
        (None, "40.33", "40.00"),
    ]  # fmt: skip
    assert found[-1].reason == "by_request"
    exec_ids = [one.exec_id for one in found]
    assert exec_ids == sorted(set(exec_ids))
    assert [one.sequence for one in found] == sorted(one.sequence for one in found)


async def test_the_maker_lives_too(traded):
    found = await traded.client.order_history("S", 1)
    assert life(found) == [("new", "new", None, 0, 100), ("trade", "filled", 100, 100, 0)]
    assert [one.liquidity for one in found] == [None, "maker"]


async def test_what_was_put_right_is_told_after_it_happened(traded):
    await traded.client.bust_trades(HOUSE, [1], "wrong book")
    await traded.client.correct_trades(HOUSE, [NewTradeTerms(trade_id=2, price="40.50", quantity=60)], "mistyped")
    found = await traded.client.order_history("B", 3)
    assert [(one.exec_type, one.trade_id, one.last_px, one.last_qty) for one in found[3:]] == [
        ("trade_cancel", 1, "40.00", 100), ("trade_correct", 2, "40.50", 60),
    ]  # fmt: skip
    assert {(one.cum_qty, one.leaves_qty) for one in found[3:]} == {(150, 50)}


async def test_an_order_of_somebody_else_has_no_life(traded):
    for account_id, order_id in (("S", 3), ("B", 99), ("B", 0), ("B", 2**70)):
        with pytest.raises(ApiError, match="unknown_order"):
            await traded.client.order_history(account_id, order_id)


async def test_the_last_event_says_what_the_order_says(plain_desk):
    """Of orders of several kinds."""
    await plain_desk.sell("40.00", 100, display_quantity=30)
    await plain_desk.buy("40.00", 70)
    await plain_desk.buy("40.00", 100, time_in_force="IOC")
    for account_id in ("S", "B"):
        for order in await plain_desk.client.orders(account_id):
            last = (await plain_desk.client.order_history(account_id, order.order_id))[-1]
            assert (last.cum_qty, last.leaves_qty, last.avg_px) == (order.filled, order.leaves, order.average_price)
            assert last.ord_status == {"cancelled": "canceled"}.get(order.status, order.status)


# ---------------------------------------------------------------- candles


@pytest.fixture
async def timed(open_desk):
    """Trades at minutes 0, 0, 4, 5 and 61 of the session."""
    clock = open_desk.gateway.clock
    clock.run_at(0.001)
    for minute, price, quantity in (
        (0, "40.00", 10),
        (0, "41.00", 20),
        (4, "39.00", 30),
        (5, "40.50", 5),
        (61, "42.00", 1),
    ):
        clock.advance_to(MORNING_NS + (minute * 60 + 1) * S)
        await open_desk.sell(price, quantity)
        await open_desk.buy(price, quantity)
    return open_desk


def shown(candles):
    return [(one.start[11:16], one.open, one.high, one.low, one.close, one.volume, one.trades) for one in candles]


@pytest.mark.examples
async def test_candles_by_the_minute_leave_out_what_is_empty(timed):
    assert shown(await timed.client.candles("HBEA-2025", "1m")) == [
        ("09:30", "40.00", "41.00", "40.00", "41.00", 30, 2), ("09:34", "39.00", "39.00", "39.00", "39.00", 30, 1),
        ("09:35", "40.50", "40.50", "40.50", "40.50", 5, 1), ("10:31", "42.00", "42.00", "42.00", "42.00", 1, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("interval", "starts"),
    [("5m", ["09:30", "09:35", "10:30"]), ("1h", ["09:00", "10:00"]), ("1d", ["00:00"])],
)
async def test_longer_candles_begin_at_full_intervals_of_market_time(timed, interval, starts):
    found = await timed.client.candles("HBEA-2025", interval)
    assert [one.start[11:16] for one in found] == starts
    assert all(one.start.startswith("2026-01-05T") and one.start.endswith("+08:00") for one in found)
    assert sum(one.volume for one in found) == 66
    assert sum(one.trades for one in found) == 5


async def test_a_candle_of_the_day_is_its_summary(timed):
    [candle], [day] = await timed.client.candles("HBEA-2025", "1d"), await timed.client.summary()
    for name in ("open", "high", "low", "volume", "turnover", "trades"):
        assert getattr(candle, name) == getattr(day, name), name


async def test_candles_count_trades_as_they_stand(timed):
    await timed.client.bust_trades(HOUSE, [2, 5], "wrong book")
    await timed.client.correct_trades(HOUSE, [NewTradeTerms(trade_id=3, price="38.00", quantity=10)], "mistyped")
    found = await timed.client.candles("HBEA-2025", "1h")
    assert shown(found) == [("09:00", "40.00", "40.50", "38.00", "40.50", 25, 3)]
    assert found[0].turnover == "982.50"
    assert (
        await timed.client.candles("HBEA-2025", "1m", newest=1) == (await timed.client.candles("HBEA-2025", "1m"))[-1:]
    )


async def test_without_trades_there_are_no_candles(desk):
    assert await desk.client.candles("HBEA-2025", "1d") == []
    with pytest.raises(ApiError, match="unknown_instrument"):
        await desk.client.candles("NONE", "1d")
    with pytest.raises(ApiError, match="invalid_request"):
        await desk.client.candles("HBEA-2025", "2d")


# ---------------------------------------------------------------- books


async def test_a_book_by_level(open_desk):
    await open_desk.enrol_seller("T")
    await open_desk.sell("41.00", 10)
    await open_desk.sell("41.00", 20, "T")
    await open_desk.sell("41.50", 60, display_quantity=25)
    await open_desk.buy("40.00", 5)
    best = (await open_desk.http.get("/v1/books/HBEA-2025", params={"level": "l1"})).json()
    assert [(one["price"], one["quantity"], one["orders"]) for one in best["asks"]] == [("41.00", 30, 2)]
    levels = await open_desk.client.book("HBEA-2025")
    assert [(one.price, one.quantity, one.orders) for one in levels.asks] == [("41.00", 30, 2), ("41.50", 25, 1)]
    orders = await open_desk.client.order_book("HBEA-2025")
    assert [(one.order_id, one.price, one.quantity) for one in orders.asks] == [
        (1, "41.00", 10), (2, "41.00", 20), (3, "41.50", 25),
    ]  # fmt: skip
    assert [(one.order_id, one.quantity) for one in orders.bids] == [(4, 5)]
    assert orders.seq == levels.seq == best["seq"]
    assert len((await open_desk.client.order_book("HBEA-2025", depth=1)).asks) == 2
    assert (await open_desk.http.get("/v1/books/HBEA-2025?level=l4")).status_code == 422


async def test_each_time_is_also_told_to_the_nanosecond(open_desk):
    resting = await open_desk.sell("40.00", 10)
    taker = await open_desk.buy("40.00", 10)
    for path, sequence in (
        (f"/v1/orders/{resting.order_id}?account_id=S", resting.sequence),
        ("/v1/orders?account_id=B", taker.sequence),
        ("/v1/fills?account_id=S", taker.sequence),
        (f"/v1/orders/{resting.order_id}/history?account_id=S&limit=1", resting.sequence),
        ("/v1/trades?symbol=HBEA-2025", taker.sequence),
    ):
        said = (await open_desk.http.get(path)).json()
        said = said.get("trades", [said]) if isinstance(said, dict) else said
        assert [one["ts_event"] for one in said] == [open_desk.gateway.history.command(sequence).now_ns], path
    assert resting.ts_event < taker.ts_event


# ---------------------------------------------------------------- after which command


async def test_every_read_says_after_which_command_it_is_true(open_desk):
    for path in ("/v1/accounts/B", "/v1/books/HBEA-2025", "/v1/accounts/NOBODY", "/health"):
        response = await open_desk.http.get(path)
        assert int(response.headers["Carbonex-Sequence"]) == open_desk.gateway.exchange.sequence
    assert "Carbonex-Sequence" not in (await open_desk.http.post("/v1/trading-days", json={})).headers


async def test_what_is_read_while_others_trade_is_what_was_then(desk):
    """Each deposit is one command of 1.00: the balance and the sequence go together."""
    first, base = desk.gateway.exchange.sequence, 100_000

    async def pay():
        for _ in range(30):
            await desk.client.deposit("B", "1.00")

    paying = asyncio.ensure_future(pay())
    seen = set()
    while not paying.done():
        response = await desk.http.get("/v1/accounts/B")
        paid = int(response.json()["holdings"][0]["settled"].split(".")[0]) - base
        assert int(response.headers["Carbonex-Sequence"]) - first == paid
        seen.add(paid)
        await asyncio.sleep(0)
    assert len(seen) > 5
