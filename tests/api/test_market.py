"""The market over HTTP: the day by hand, the day by the timers, statements, serial numbers."""

import asyncio
from datetime import date

import pytest

from api.client import ApiError
from api.timers import Clock, next_step
from exchange.commands import BreakSession, CloseSession, FixObligations, OpenDay, StartTrading
from tests.api.conftest import MORNING_NS, hold_back, running_desk

pytestmark = pytest.mark.anyio


@pytest.mark.examples
async def test_a_day_by_hand_settles_to_the_fen(open_desk):
    client = open_desk.client
    await client.place_order("S", "HBEA-2025", "sell", "40.00", 100)
    await client.place_order("B", "HBEA-2025", "buy", "40.00", 100)
    await client.set_phase("break")
    await client.set_phase("continuous")
    await client.set_phase("closed")
    settlement = await client.settle()

    assert (settlement.trades, settlement.cash_moved, settlement.fees) == (1, "4020.00", "40.00")
    assert settlement.units_moved == {"HBEA-2025": 100}
    statement = await client.statement("B", "2026-01-05")
    assert statement.opening == {}
    assert statement.closing == {"CNY": "95980.00", "HBEA-2025": 100}
    assert [(entry.asset, entry.amount, entry.cause) for entry in statement.entries] == [
        ("CNY", "100000.00", "deposit"),
        ("HBEA-2025", 100, "purchase"),
        ("CNY", "-4000.00", "purchase"),
        ("CNY", "-20.00", "fee"),
    ]
    [block] = await client.serials("B")
    assert (block.first, block.last, block.ever_traded) == (1, 100, True)
    [left] = await client.serials("S")
    assert (left.first, left.last, left.ever_traded) == (101, 1000, False)
    assert all(check.ok for check in await client.checks())
    assert all(line.paid_in == line.held for line in await client.reconciliation())


@pytest.mark.examples
async def test_the_days_figures(open_desk):
    client = open_desk.client
    for price, quantity in (("40.00", 100), ("41.00", 50)):
        await client.place_order("S", "HBEA-2025", "sell", price, quantity)
        await client.place_order("B", "HBEA-2025", "buy", price, quantity)
    await client.set_phase("closed")

    [day] = await client.summary()
    # The second trade: median of 41.00, 41.00 and the last price 40.00.
    assert (day.open, day.high, day.low, day.vwap, day.close) == ("40.00", "41.00", "40.00", "40.33", "40.33")
    assert (day.trades, day.volume, day.turnover, day.fees) == (2, 150, "6050.00", "60.50")


async def test_what_was_bought_can_be_sold_the_next_day(open_desk):
    client = open_desk.client
    await client.place_order("S", "HBEA-2025", "sell", "40.00", 100)
    await client.place_order("B", "HBEA-2025", "buy", "40.00", 100)
    units = (await client.account("B")).holdings[1]
    assert (units.available, units.incoming, units.settled) == (0, 100, 0)
    await client.set_phase("closed")
    await client.settle()
    await open_desk.open("2026-01-06")

    units = (await client.account("B")).holdings[1]
    assert (units.available, units.incoming, units.settled) == (100, 0, 100)


async def test_the_timers_take_the_market_through_its_day(desk):
    desk.gateway.clock.run_at(40_000.0)
    await desk.client.run_timers(days=1, skip_idle=True)
    seen = []
    while True:
        market = await desk.client.market()
        if not seen or seen[-1] != market.phase:
            seen.append(market.phase)
        if market.date is not None and market.is_settled:
            break
        await asyncio.sleep(0.002)

    assert str(market.date) == "2026-01-05"
    assert not market.timers_running and market.until is None
    assert {"continuous", "closed"} <= set(seen)
    assert desk.gateway.exchange.session == 2


async def test_market_status_says_until_when_and_what_ends_it(desk):
    desk.gateway.clock.run_at(1.0)
    await desk.client.open_day("2026-01-05")
    desk.gateway.timers.start(None, skip_idle=False)
    market = await desk.client.market()
    assert (market.phase, market.until, market.ended_by) == ("pre_open", "2026-01-05T09:30:00+08:00", "StartTrading")


async def test_the_clock_changes_its_speed_and_goes_on_from_where_it_is(desk):
    market = await desk.client.set_speed(60)
    assert (market.speed, market.now[:16]) == (60.0, "2026-01-05T09:30")
    assert (await desk.http.put("/v1/clock", json={"speed": 0})).status_code == 422

    desk.gateway.clock.is_real = True
    with pytest.raises(ApiError, match="real_clock"):
        await desk.client.set_speed(1)
    assert desk.gateway.clock.speed == 60.0


def test_a_clock_that_changes_its_speed_loses_no_time():
    wall = [0]
    clock = Clock(100, speed=60, wall_ns=lambda: wall[0])
    wall[0] = 10
    clock.run_at(1)
    assert clock.now_ns() == 700
    wall[0] = 15
    assert clock.now_ns() == 705


def test_a_clock_runs_faster_than_time_and_never_back():
    wall = [0]
    clock = Clock(100, speed=60, wall_ns=lambda: wall[0])
    wall[0] = 1_000
    assert clock.now_ns() == 100 + 60_000
    clock.advance_to(500_000)
    wall[0] = 2_000
    assert clock.now_ns() == 500_000 + 60_000
    clock.advance_to(1)
    assert clock.now_ns() == 560_000


async def test_the_timetable_goes_on_from_wherever_the_market_stands(desk):
    exchange, client, now = desk.gateway.exchange, desk.client, desk.gateway.clock.now_ns()
    due = []
    for verb in (
        lambda: client.open_day("2026-01-05"), lambda: client.set_phase("continuous"),
        lambda: client.set_phase("break"), lambda: client.set_phase("continuous"),
        lambda: client.set_phase("closed"), client.settle,
    ):  # fmt: skip
        due.append(type(next_step(exchange, now).command))
        await verb()
    assert due == [OpenDay, StartTrading, BreakSession, StartTrading, CloseSession, FixObligations]
    assert next_step(exchange, now).command.date.isoformat() == "2026-01-06"


async def test_pages_load_nothing_from_outside(desk):
    for path in ("/", "/docs", "/redoc"):
        page = (await desk.http.get(path)).text
        assert 'src="http' not in page and 'href="http' not in page, path
    schema = (await desk.http.get("/openapi.json")).json()
    assert {"get", "post", "delete"} == set(schema["paths"]["/v1/orders"])
    assert {"get", "patch", "delete"} == set(schema["paths"]["/v1/orders/{order_id}"])
    assert {"post", "delete"} == set(schema["paths"]["/v1/market/halts"])
    assert "/v1/instruments/{symbol}/auction" in schema["paths"]
    shapes = schema["components"]["schemas"]
    assert {"type", "stop_price", "display_quantity", "expire_date", "post_only", "self_trade_prevention"} <= set(
        shapes["NewOrder"]["properties"]
    )
    assert set(shapes["NewOrder"]["required"]) == {"account_id", "symbol", "side", "quantity"}


async def test_trades_come_in_pages(open_desk):
    client, http = open_desk.client, open_desk.http
    for _ in range(5):
        await client.place_order("S", "HBEA-2025", "sell", "40.00", 1)
        await client.place_order("B", "HBEA-2025", "buy", "40.00", 1)
    first = (await http.get("/v1/trades", params={"symbol": "HBEA-2025", "limit": 3})).json()
    rest = (await http.get("/v1/trades", params={"symbol": "HBEA-2025", "cursor": first["cursor"]})).json()
    newest = (await http.get("/v1/trades", params={"symbol": "HBEA-2025", "newest": 2})).json()

    assert [trade["trade_id"] for trade in first["trades"] + rest["trades"]] == [1, 2, 3, 4, 5]
    assert [trade["trade_id"] for trade in newest["trades"]] == [4, 5]
    assert [trade.trade_id async for trade in client.trades("HBEA-2025")] == [1, 2, 3, 4, 5]


async def test_an_instrument_that_has_not_been_opened_has_its_opening_price(desk):
    [listed] = await desk.client.instruments()
    assert (listed.last, listed.close, listed.band_low) == ("40.00", "40.00", None)


@pytest.mark.parametrize("price", ["0", "-1.00"])
async def test_an_opening_price_must_be_positive(desk, price):
    with pytest.raises(ApiError, match="price_not_positive"):
        await desk.client.list_instrument("HBCER-2025", "credit", 2025, price)


async def test_settling_answers_for_the_day_it_settled_whatever_comes_behind(desk):
    await desk.open()
    await desk.client.set_phase("closed")
    held = hold_back(desk.gateway)
    other = asyncio.ensure_future(desk.client.deposit("B", "1.00"))
    await asyncio.sleep(0.02)
    settling = asyncio.ensure_future(desk.client.settle())
    await asyncio.sleep(0.02)
    opening = asyncio.ensure_future(desk.client.open_day("2026-01-06"))
    await asyncio.sleep(0.02)
    held.set()
    await asyncio.gather(other, opening)
    assert str((await settling).date) == "2026-01-05"


async def test_the_timers_wait_until_something_is_listed():
    async with running_desk() as desk:
        desk.gateway.clock.run_at(1.0)
        await desk.client.run_timers(days=1, skip_idle=True)
        await asyncio.sleep(0.12)
        assert (await desk.client.market()).phase == "closed"
        await desk.client.list_instrument("HBEA-2025", "allowance", 2025, "40.00")
        while (await desk.client.market()).phase == "closed":
            await asyncio.sleep(0.01)


async def test_a_day_that_has_passed_is_not_caught_up(desk):
    evening = MORNING_NS + 11 * 3600 * 1_000_000_000
    step = next_step(desk.gateway.exchange, evening)
    assert step.command == OpenDay(date(2026, 1, 6))
    afternoon = MORNING_NS + 4 * 3600 * 1_000_000_000
    assert next_step(desk.gateway.exchange, afternoon).command == OpenDay(date(2026, 1, 5))


@pytest.mark.examples
async def test_an_instrument_in_another_currency_is_paid_for_in_it(desk):
    client = desk.client
    assert (await client.register_currency("USD")).is_own is False
    assert [(one.code, one.is_own) for one in await client.currencies()] == [("CNY", True), ("USD", False)]
    listed = await client.list_instrument("HBEA-2026", "allowance", 2026, "6.00", currency="USD")
    assert (listed.currency, listed.close) == ("USD", "6.00")
    assert [one.currency for one in await client.instruments()] == ["CNY", "USD"]
    await client.issue("S", "HBEA-2026", 100)
    await client.transfer("S", "HBEA-2026", 100)
    account = await client.deposit("B", "1000.00", "USD")
    held = {holding.asset: holding.available for holding in account.holdings}
    assert held == {"CNY": "100000.00", "HBEA-2025": 0, "USD": "1000.00", "HBEA-2026": 0}

    await desk.open()
    await client.place_order("S", "HBEA-2026", "sell", "6.00", 100)
    order = await client.place_order("B", "HBEA-2026", "buy", "6.00", 100)
    assert [(fill.price, fill.fee) for fill in order.fills] == [("6.00", "3.00")]
    await client.set_phase("closed")
    days = {day.symbol: (day.currency, day.turnover) for day in await client.summary()}
    assert days == {"HBEA-2025": ("CNY", "0.00"), "HBEA-2026": ("USD", "600.00")}
    settlement = await client.settle()
    assert (settlement.cash_moved, settlement.fees) == ("0.00", "0.00")
    moved = settlement.other_currencies["USD"]
    assert (moved.cash_moved, moved.fees) == ("603.00", "6.00")
    account = await client.withdraw("S", "597.00", "USD")
    assert {holding.asset: holding.settled for holding in account.holdings}["USD"] == "0.00"
    statement = await client.statement("B", "2026-01-05")
    assert statement.closing == {"CNY": "100000.00", "USD": "397.00", "HBEA-2026": 100}
    lines = {line.asset: (line.paid_in, line.paid_out, line.held) for line in await client.reconciliation()}
    assert lines["USD"] == ("1000.00", "597.00", "403.00")


async def test_a_currency_that_nobody_registered_is_not_found(desk):
    for asked in (
        desk.client.deposit("B", "1.00", "USD"),
        desk.client.withdraw("B", "1.00", "USD"),
        desk.client.list_instrument("HBEA-2026", "allowance", 2026, "6.00", "USD"),
    ):
        with pytest.raises(ApiError) as refused:
            await asked
        assert (refused.value.status, refused.value.code) == (404, "unknown_currency")
    with pytest.raises(ApiError) as refused:
        await desk.client.register_currency("CNY")
    assert (refused.value.status, refused.value.code) == (409, "currency_exists")
    with pytest.raises(ApiError) as refused:
        await desk.client.register_currency("dollars")
    assert refused.value.status == 422
