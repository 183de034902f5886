"""Call auctions and halts over HTTP, and the timers of days that have calls."""

import asyncio

import msgspec
import pytest

from api.client import ApiError
from api.gateway import Gateway
from api.timers import Clock, next_step
from exchange.commands import BreakSession, CloseSession, FixObligations, OpenCall, OpenDay, StartTrading
from exchange.journal import MemoryJournal
from exchange.rules import load_rule_set
from tests.api.conftest import MORNING_NS, Desk, running_desk

pytestmark = pytest.mark.anyio


@pytest.fixture
async def call_desk(desk):
    await desk.client.open_day("2026-01-05")
    assert (await desk.client.set_phase("call")).phase == "call"
    return desk


def told(auctions):
    return [(one.symbol, one.price, one.volume, one.imbalance) for one in auctions]


# ---------------------------------------------------------------- call auctions


async def test_orders_of_a_call_rest_even_where_they_cross(call_desk):
    seller = await call_desk.sell("39.00", 100)
    buyer = await call_desk.buy("41.00", 60)
    assert (seller.status, buyer.status, buyer.fills) == ("open", "open", [])
    assert await call_desk.book() == ([("41.00", 60, 1)], [("39.00", 100, 1)])
    [listed] = await call_desk.client.instruments()
    assert (listed.phase, listed.halt_reason) == ("call", None)


@pytest.mark.examples
async def test_the_auction_is_indicated_while_the_call_lasts(call_desk):
    empty = await call_desk.client.auction("HBEA-2025")
    assert told([empty]) == [("HBEA-2025", None, 0, 0)]
    await call_desk.sell("39.00", 100)
    await call_desk.buy("41.00", 60)
    # 39.00 to 41.00 trade 60 t alike; 40.00 is the reference.
    assert told([await call_desk.client.auction("HBEA-2025")]) == [("HBEA-2025", "40.00", 60, -40)]
    await call_desk.buy("40.50", 70)
    assert told([await call_desk.client.auction("HBEA-2025")]) == [("HBEA-2025", "40.00", 100, 30)]


@pytest.mark.parametrize("phase", ["pre_open", "continuous", "halted"])
async def test_outside_a_call_no_auction_is_indicated(call_desk, phase):
    if phase == "pre_open":
        await call_desk.client.set_phase("closed")
        await call_desk.client.settle()
        await call_desk.client.open_day("2026-01-06")
    elif phase == "continuous":
        await call_desk.client.set_phase("continuous")
    else:
        await call_desk.client.halt("news")
    with pytest.raises(ApiError, match=rf"wrong_phase \(409\).*{phase}"):
        await call_desk.client.auction("HBEA-2025")


async def test_an_auction_of_an_unknown_instrument(call_desk):
    with pytest.raises(ApiError, match=r"unknown_instrument \(404\)"):
        await call_desk.client.auction("CEA")


@pytest.mark.parametrize("phase", ["continuous", "closed"])
async def test_leaving_a_call_trades_at_one_price_and_tells_it(call_desk, phase):
    seller = await call_desk.sell("39.00", 100)
    buyer = await call_desk.buy("41.00", 60)
    change = await call_desk.client.set_phase(phase)

    assert (change.phase, told(change.auctions)) == (phase, [("HBEA-2025", "40.00", 60, -40)])
    [trade] = [trade async for trade in call_desk.client.trades("HBEA-2025")]
    assert (trade.price, trade.quantity, trade.aggressor) == ("40.00", 60, None)
    buyer = await call_desk.client.order("B", buyer.order_id)
    assert (buyer.status, [(fill.liquidity, fill.fee) for fill in buyer.fills]) == ("filled", [(None, "12.00")])
    seller = await call_desk.client.order("S", seller.order_id)
    assert (seller.filled, [(fill.liquidity, fill.fee) for fill in seller.fills]) == (60, [(None, "12.00")])
    assert (seller.leaves, seller.reason) == ((40, None) if phase == "continuous" else (0, "end_of_day"))


async def test_a_call_without_a_cross_ends_without_an_auction(call_desk):
    await call_desk.sell("41.00", 100)
    assert (await call_desk.client.set_phase("continuous")).auctions == []


async def test_a_call_can_interrupt_continuous_trading(open_desk):
    assert (await open_desk.client.set_phase("call")).phase == "call"
    with pytest.raises(ApiError, match=r"not_in_call \(409\)"):
        await open_desk.buy("40.00", 1, time_in_force="IOC")
    with pytest.raises(ApiError, match=r"wrong_phase \(409\)"):
        await open_desk.client.set_phase("break")


async def test_the_book_of_a_call_hides_what_icebergs_hide(call_desk):
    await call_desk.sell("39.00", 100, display_quantity=10)
    assert (await call_desk.book())[1] == [("39.00", 10, 1)]
    await call_desk.buy("39.00", 25)
    await call_desk.client.set_phase("continuous")
    assert await call_desk.book() == ([], [("39.00", 5, 1)])


# ---------------------------------------------------------------- halts


@pytest.mark.examples
async def test_a_halted_instrument_takes_cancels_only(open_desk):
    order = await open_desk.sell("41.00", 10)
    other = await open_desk.sell("41.00", 10)
    halted = await open_desk.client.halt("news pending", "HBEA-2025")
    assert (halted.phase, [(one.symbol, one.reason) for one in halted.halts]) == (
        "continuous", [("HBEA-2025", "news pending")],
    )  # fmt: skip
    [listed] = await open_desk.client.instruments()
    assert (listed.phase, listed.halt_reason) == ("halted", "news pending")
    for refused in (open_desk.buy("40.00", 1), open_desk.client.amend_order("S", order.order_id, 5)):
        with pytest.raises(ApiError, match=r"market_halted \(409\)"):
            await refused
    assert (await open_desk.client.cancel_order("S", order.order_id)).status == "cancelled"
    assert (await open_desk.client.cancel_all("S")).order_ids == [other.order_id]

    resumed = await open_desk.client.resume("news is out", "HBEA-2025")
    assert (resumed.halts, resumed.auctions) == ([], [])
    [listed] = await open_desk.client.instruments()
    assert (listed.phase, listed.halt_reason) == ("continuous", None)
    assert (await open_desk.buy("40.00", 1)).status == "open"


async def test_a_halt_may_be_of_one_instrument_or_of_all(desk):
    await desk.client.list_instrument("HBCER-2025", "credit", 2025, "36.00")
    await desk.open()
    await desk.client.halt("one", "HBCER-2025")
    assert [listed.phase for listed in await desk.client.instruments()] == ["continuous", "halted"]
    everything = await desk.client.halt("all")
    assert [(one.symbol, one.reason) for one in everything.halts] == [("HBEA-2025", "all"), ("HBCER-2025", "one")]
    await desk.client.resume("over")
    assert [listed.phase for listed in await desk.client.instruments()] == ["continuous", "continuous"]


async def test_a_book_halted_in_its_call_is_uncrossed_when_it_resumes(call_desk):
    await call_desk.sell("39.00", 100)
    await call_desk.buy("41.00", 100)
    await call_desk.client.halt("news", "HBEA-2025")
    assert (await call_desk.client.set_phase("continuous")).auctions == []
    resumed = await call_desk.client.resume("news is out", "HBEA-2025")
    assert told(resumed.auctions) == [("HBEA-2025", "40.00", 100, 0)]


HALTS = {
    "twice": ("post", {"json": {"reason": "again"}}, 409, "already_halted"),
    "of what is not listed": ("post", {"json": {"reason": "x", "symbol": "CEA"}}, 404, "unknown_instrument"),
    "without a reason": ("post", {"json": {"symbol": "HBEA-2025"}}, 422, "invalid_request"),
    "with an empty reason": ("post", {"json": {"reason": ""}}, 422, "invalid_request"),
    "ended without a reason": ("delete", {}, 422, "invalid_request"),
}


@pytest.mark.parametrize(("method", "request_", "status", "code"), HALTS.values(), ids=HALTS)
async def test_bad_halts_change_nothing(open_desk, method, request_, status, code):
    await open_desk.client.halt("first")
    before = await open_desk.digest()
    response = await open_desk.http.request(method, "/v1/market/halts", **request_)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert await open_desk.digest() == before


async def test_there_must_be_a_halt_to_end(open_desk):
    with pytest.raises(ApiError, match=r"not_halted \(409\)"):
        await open_desk.client.resume("nothing happened")


# ---------------------------------------------------------------- the timers


def desk_with_calls():
    """An opening call at 09:20 and a closing call at 14:57."""
    rules = msgspec.structs.replace(load_rule_set("generic"), opening_call="09:20", closing_call="14:57")
    return Desk(Gateway(MemoryJournal(), rules, Clock(MORNING_NS)))


async def test_the_timetable_has_calls(anyio_backend):
    desk = desk_with_calls()
    async with desk.gateway.running(), desk.client:
        await desk.enrol()
        due = []
        for phase in ("open", "call", "continuous", "break", "continuous", "call", "closed", "settle"):
            due.append(type(next_step(desk.gateway.exchange, MORNING_NS).command))
            if phase == "open":
                await desk.client.open_day("2026-01-05")
            elif phase == "settle":
                await desk.client.settle()
            else:
                await desk.client.set_phase(phase)
    assert due == [OpenDay, OpenCall, StartTrading, BreakSession, StartTrading, OpenCall, CloseSession, FixObligations]


async def test_a_call_between_sessions_ends_with_the_next_one(anyio_backend):
    desk = desk_with_calls()
    async with desk.gateway.running(), desk.client:
        await desk.enrol()
        await desk.open()
        await desk.client.set_phase("break")
        await desk.client.set_phase("call")
        step = next_step(desk.gateway.exchange, MORNING_NS)
        assert (type(step.command), step.at_ns) == (StartTrading, MORNING_NS + int(3.5 * 3600e9))


async def test_idle_hours_are_skipped_but_not_a_call():
    async with running_desk("generic") as desk:
        desk.gateway.clock._market_origin -= 3 * 3600 * 10**9  # 06:30
        await desk.enrol()
        await desk.client.run_timers(days=1, skip_idle=True)
        while (await desk.client.market()).phase != "call":
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        market = await desk.client.market()
        assert (market.phase, market.now[11:16], market.ended_by) == ("call", "09:20", "StartTrading")
