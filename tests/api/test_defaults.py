"""Deals with a later leg, failures and the risk reserve over HTTP, by the client."""

import re

import msgspec
import pytest

from api.app import make_app
from api.client import AsyncClient
from api.tables import table_of
from exchange.rules import load_rule_set
from settlement.rules import DefaultRules, ReserveRules, SettlementRules
from tests.api.conftest import running_desk
from tests.api.test_registry import Walked
from tests.api.test_settlement import code_of

pytestmark = pytest.mark.anyio

HOUSE, DEADLINE = "EXCHANGE", "2026-01-07T15:00:00+08:00"
FIRST, DUE, NEXT, LAST = "2026-01-05", "2026-01-06", "2026-01-08", "2026-01-09"
HOUR_NS = 3600 * 10**9
TERMS = {"seller": "S", "buyer": "P", "symbol": "HBEA-2025", "quantity": 100, "price": "40.00", "due": DUE}


@pytest.fixture
async def desk(anyio_backend):
    """A market without a bank, with a risk reserve of 50,000.00 CNY; P has no money, S has units."""
    settling = SettlementRules(
        reserve=ReserveRules(share="0.20", target="100000", house_funds_max="1000"),
        defaults=DefaultRules(cure_working_days=1, cure_by="15:00"),
    )
    rules = msgspec.structs.replace(load_rule_set("generic"), settlement=settling)
    async with running_desk(rules) as made:
        await made.enrol()
        await made.client.open_account("P", "Poor & Co", "institution")
        await made.client.deposit(HOUSE, "60000.00")
        yield made


async def whole_day(desk, day):
    """A day on which nobody trades."""
    await desk.open(day)
    await desk.client.set_phase("closed")
    await desk.client.settle()


async def test_a_failure_from_the_deal_to_the_last_fen_of_recourse(desk):
    walked = Walked(desk.transport)
    async with AsyncClient("http://exchange", transport=walked) as client:
        assert (await client.fund_reserve(HOUSE, "50000.00")).cash == {"CNY": "50000.00"}
        await desk.open(FIRST)
        deal = await client.agree_delivery(HOUSE, "D-1", **TERMS)
        assert (deal.state, deal.price, deal.trade_id) == ("agreed", "40.00", None)
        await client.agree_delivery(HOUSE, "D-2", **TERMS)
        assert (await client.cancel_delivery(HOUSE, "D-2", "both agree")).state == "cancelled"
        await client.set_phase("closed")
        await client.settle()
        await whole_day(desk, DUE)

        assert [(one.state, one.trade_id) for one in await client.deals()] == [("due", 1), ("cancelled", None)]
        (case,) = await client.cases()
        assert (case.account_id, case.state, case.lacked, case.trades) == ("P", "notified", {"CNY": "4000.00"}, [1])
        assert case.deadline == DEADLINE and not case.overdue
        assert [one.trade_id for one in await client.obligations("P")] == [1]
        assert "P" in table_of([case]) and "4,000.00" in table_of([case], 80)
        assert await code_of(client.cure_failure("P", 1)) == (409, "insufficient_cash")
        assert await code_of(client.cover_failure(HOUSE, 1)) == (409, "too_early")

        desk.gateway.clock.advance_to(desk.gateway.clock.now_ns() + 60 * HOUR_NS)
        assert (await client.case(1)).overdue
        covered = await client.cover_failure(HOUSE, 1)
        assert (covered.state, covered.owed) == ("covered", "4000.00")
        assert [(one.creditor, one.left) for one in covered.claims] == [("RESERVE", "4000.00")]
        await whole_day(desk, NEXT)
        assert [(one.unit, one.quantity) for one in (await client.case(1)).security] == [("HBEA-2025", 100)]
        reserve = await client.reserve()
        assert (reserve.cash, reserve.owed, reserve.target) == ({"CNY": "46000.00"}, "4000.00", "100000.00")

        await client.deposit("P", "500.00")
        (paid,) = await client.pay_recourse("P", "500.00")
        assert (paid.owed, paid.claims[0].repaid) == ("3500.00", "500.00")
        assert await code_of(client.dispose_security(HOUSE, 1, "P")) == (403, "in_default")
        assert await code_of(client.dispose_security(HOUSE, 1, "nobody")) == (404, "unknown_account")
        await client.deposit("S", "4000.00")
        sold = await client.dispose_security(HOUSE, 1, "S")
        assert sold.security == [] and sold.owed == "0.00"
        assert await code_of(client.write_off_recourse(HOUSE, "P", "1.00", "gone")) == (409, "above_obligation")
        drawn = await client.draw_reserve(HOUSE, "10.00", "operating_error", "S", "paid twice")
        assert drawn.cash["CNY"] == "49990.00"
        assert [one.number for one in await client.cases("P")] == [1] and await client.cases("S") == []

        await client.agree_delivery(HOUSE, "D-3", **TERMS | {"due": LAST, "price": "42.00"})
        await whole_day(desk, LAST)
        desk.gateway.clock.advance_to(desk.gateway.clock.now_ns() + 100 * HOUR_NS)
        ended = await client.close_out_failure(HOUSE, 2)
        assert (ended.state, ended.trades, ended.owed) == ("closed", [], "200.00")
        (one,) = ended.closed_out
        assert (one.trade_id, one.account_id, one.close) == (2, "S", "40.00")
        assert (one.currency, one.amount, one.unpaid) == ("CNY", "200.00", "0.00")
        assert "200.00" in table_of([ended])

    for path, verbs in make_app(desk.gateway).openapi()["paths"].items():
        for method, about in verbs.items():
            if "failures" in about["tags"]:
                pattern = re.sub(r"{\w+}", "[^/]+", path)
                asked = [one for one in walked.requests if one[0] == method.upper()]
                assert any(re.fullmatch(pattern, at) for _, at in asked), f"{method} {path}"
    assert all(check.ok for check in await desk.client.checks())


async def test_the_statements_of_both_sides_say_what_failed_and_what_became_of_it(desk):
    client = desk.client
    await client.fund_reserve(HOUSE, "50000.00")
    await client.deposit("P", "100.00")
    await desk.open(FIRST)
    await client.agree_delivery(HOUSE, "D-1", **TERMS)
    await client.set_phase("closed")
    await client.settle()
    await whole_day(desk, DUE)

    (own,) = (await client.statement("P", DUE)).failures
    assert (own.case, own.batch, own.is_own, own.trades, own.lacked) == (1, 2, True, [1], {"CNY": "3900.00"})
    (theirs,) = (await client.statement("S", 2)).failures
    assert (theirs.is_own, theirs.trades, theirs.lacked, theirs.state) == (False, [1], {}, "notified")
    assert "this account lacked 3,900.00 CNY" in await client.statement_file("P", DUE, "html")
    assert "the other side" in await client.statement_file("S", DUE, "html")
    assert (await client.statement("P", FIRST)).failures == []

    desk.gateway.clock.advance_to(desk.gateway.clock.now_ns() + 60 * HOUR_NS)
    await client.close_out_failure(HOUSE, 1)
    (closed,) = (await client.statement("S", DUE)).failures
    assert (closed.trades, closed.state, closed.ended_at is None) == ([1], "closed", False)


async def test_what_is_not_there_or_not_allowed_has_its_code(desk):
    client = desk.client
    await desk.open(FIRST)
    before = await desk.digest()
    assert await code_of(client.case(7)) == (404, "unknown_case")
    assert await code_of(client.cover_failure(HOUSE, 7)) == (404, "unknown_case")
    assert await code_of(client.close_out_failure(HOUSE, 7)) == (404, "unknown_case")
    assert await code_of(client.agree_delivery("S", "D-1", **TERMS)) == (403, "not_permitted")
    assert await code_of(client.agree_delivery(HOUSE, "D-1", **TERMS | {"price": "40.001"})) == (422, "price_off_tick")
    assert await code_of(client.agree_delivery(HOUSE, "D-1", **TERMS | {"extra": 1})) == (422, "invalid_request")
    assert await code_of(client.cancel_delivery(HOUSE, "D-9", "?")) == (404, "unknown_deal")
    assert await code_of(client.fund_reserve(HOUSE, "60000.01")) == (409, "insufficient_cash")
    assert await code_of(client.draw_reserve(HOUSE, "1.00", "default", "S", "?")) == (409, "insufficient_cash")
    assert await desk.digest() == before


async def test_a_market_without_a_reserve_says_so(plain_desk):
    client, digest = plain_desk.client, await plain_desk.digest()
    for asked in (
        client.reserve(),
        client.fund_reserve(HOUSE, "1.00"),
        client.draw_reserve(HOUSE, "1.00", "default", "S", "?"),
    ):
        assert await code_of(asked) == (404, "no_reserve")
    assert await plain_desk.digest() == digest


async def test_an_answer_says_which_case_was_opened_and_what_to_type_next(desk):
    client = desk.client
    await desk.open(FIRST)
    await client.agree_delivery(HOUSE, "D-1", **TERMS)
    await client.set_phase("closed")
    fine = await client.settle()
    assert fine.cases == [] and "next" not in table_of(fine)
    await desk.open(DUE)
    await client.set_phase("closed")
    settled = await client.settle()

    assert (settled.failed, settled.cases) == ([1], [1])
    assert table_of(settled).endswith("next:  carbonex settlement case 1\n")
    assert table_of(await client.batch(2)).endswith("next:  carbonex settlement case 1\n")
    assert table_of(await client.case(1)).endswith("next:  carbonex settlement cure 1 --by P\n")
    desk.gateway.clock.advance_to(desk.gateway.clock.now_ns() + 60 * HOUR_NS)
    assert "settlement cover 1 | carbonex settlement close-out 1" in table_of(await client.case(1))
    await client.fund_reserve(HOUSE, "50000.00")
    assert "next:  carbonex settlement repay P 4000.00" in table_of(await client.cover_failure(HOUSE, 1))
