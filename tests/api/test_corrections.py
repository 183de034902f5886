"""Trades put right over HTTP: what everybody sees of them, and what the parties do."""

import pytest

from api.client import ApiError
from api.schemas import NewTradeTerms
from exchange.journal import MemoryJournal
from tests.api.test_settling import desk_on, trade

HOUSE = "EXCHANGE"
pytestmark = pytest.mark.anyio


@pytest.fixture
async def traded(open_desk):
    """Trades 1 and 2: B takes 100 t at 40.00 and 50 t at 41.00 from S, with one order."""
    await open_desk.sell("40.00", 100)
    await open_desk.sell("41.00", 50)
    await open_desk.buy("41.00", 200)
    return open_desk


async def shown(desk):
    return [(one.trade_id, one.price, one.quantity, one.status) async for one in desk.client.trades("HBEA-2025")]


async def test_the_list_of_trades_flags_what_was_put_right(traded):
    assert await shown(traded) == [(1, "40.00", 100, "regular"), (2, "41.00", 50, "regular")]
    answer = await traded.client.bust_trades(HOUSE, [1], "wrong book")
    await traded.client.correct_trades(HOUSE, [NewTradeTerms(trade_id=2, price="40.50", quantity=60)], "mistyped")

    assert await shown(traded) == [(1, "40.00", 100, "busted"), (2, "40.50", 60, "corrected")]
    assert answer.closes == {}
    (one,) = answer.corrections
    said = one.model_dump()
    assert {name: said[name] for name in ("trade_id", "symbol", "currency", "buyer", "seller", "batch", "by")} == {
        "trade_id": 1, "symbol": "HBEA-2025", "currency": "CNY", "buyer": "B", "seller": "S", "batch": None,
        "by": HOUSE,
    }  # fmt: skip
    assert (one.number, one.reason, one.sequence) == (1, "wrong book", answer.sequence)
    assert one.before.model_dump() == {
        "price": "40.00", "quantity": 100, "turnover": "4000.00", "buyer_fee": "20.00", "seller_fee": "20.00",
    }  # fmt: skip
    assert one.after is None


async def test_the_days_figures_count_trades_as_they_stand(traded):
    await traded.client.bust_trades(HOUSE, [1], "wrong book")
    await traded.client.correct_trades(HOUSE, [NewTradeTerms(trade_id=2, price="40.50", quantity=60)], "mistyped")
    (day,) = await traded.client.summary()

    assert (day.trades, day.volume, day.turnover, day.fees) == (1, 60, "2430.00", "24.30")
    assert {day.open, day.high, day.low, day.vwap} == {"40.50"}
    (instrument,) = await traded.client.instruments()
    assert instrument.last == "40.50"


async def test_an_order_shows_its_fills_as_they_stand(traded):
    (order,) = await traded.client.orders("B")
    assert [fill.status for fill in order.fills] == ["regular", "regular"]
    await traded.client.bust_trades(HOUSE, [1], "wrong book")
    await traded.client.correct_trades(HOUSE, [NewTradeTerms(trade_id=2, price="40.50")], "mistyped")
    (order,) = await traded.client.orders("B")

    assert [(fill.price, fill.quantity, fill.fee, fill.status) for fill in order.fills] == [
        ("40.00", 100, "0.00", "busted"), ("40.50", 50, "10.13", "corrected"),
    ]  # fmt: skip
    assert (order.filled, order.leaves, order.average_price, order.status) == (150, 50, "40.50", "open")
    await traded.client.bust_trades(HOUSE, [2], "wrong book")
    (order,) = await traded.client.orders("B")
    assert (order.filled, order.average_price) == (150, None)


async def test_statements_say_why_a_trade_was_put_right(traded):
    await traded.client.open_account("D", "Idle")
    await traded.client.deposit("D", "1.00")
    await traded.client.bust_trades(HOUSE, [1], "wrong <book>")
    await traded.client.set_phase("closed")
    await traded.client.settle()
    await traded.client.correct_trades(HOUSE, [NewTradeTerms(trade_id=2, price="40.50")], "mistyped")
    await traded.client.open_day("2026-01-06")
    await traded.client.set_phase("closed")
    await traded.client.settle()

    for name in "BS":
        first, second = [(await traded.client.statement(name, batch)).corrections for batch in (1, 2)]
        assert [(one.trade_id, one.cause, one.reason) for one in first] == [(1, "trade_bust", "wrong <book>")]
        assert [(one.trade_id, one.cause, one.reason) for one in second] == [(2, "trade_correction", "mistyped")]
    assert "wrong &lt;book&gt;" in await traded.client.statement_file("B", 1, "html")
    assert (await traded.client.statement("D", 1)).corrections == []
    entries = (await traded.client.statement("B", 1)).entries
    assert [(one.quantity, one.price) for one in entries if one.cause == "purchase"] == [(None, None), (50, "41.00")]


async def test_what_is_put_right_in_the_moment_of_the_statements_is_in_the_next_ones():
    async with desk_on(MemoryJournal(), None) as desk:  # its clock stands still
        await trade(desk)
        await desk.client.settle()
        said = await desk.client.statement("B", 1)
        await desk.client.bust_trades(HOUSE, [1], "not meant")
        assert await desk.client.statement("B", 1) == said and said.corrections == []
        await desk.open("2026-01-06")
        await desk.client.set_phase("closed")
        await desk.client.settle()
        assert [one.reason for one in (await desk.client.statement("B", 2)).corrections] == ["not meant"]


async def test_a_repeated_order_gets_its_first_answer_whatever_was_put_right_since(open_desk):
    await open_desk.sell("40.00", 100)
    first = await open_desk.buy("40.00", 100, client_order_id="a-1")
    await open_desk.client.bust_trades(HOUSE, [1], "wrong book")

    assert await open_desk.buy("40.00", 100, client_order_id="a-1") == first


async def test_after_settlement_units_money_and_fees_come_back(traded):
    before = {"B": "100000.00", "S": "0.00", HOUSE: "0.00"}
    await traded.client.cancel_all("B")
    await traded.client.set_phase("closed")
    answer = await traded.client.bust_trades(HOUSE, [2], "wrong book")
    assert answer.closes == {"HBEA-2025": "40.00"}
    assert [*traded.gateway.history.closes.values()] == [{1: 4000}]
    await traded.client.settle()
    answer = await traded.client.bust_trades(HOUSE, [1], "wrong book")

    assert (answer.corrections[0].batch, answer.closes) == (1, {})
    cash = {}
    for one in await traded.client.accounts():
        cash[one.account_id] = one.holdings[0].settled
    assert cash == before
    assert all(check.ok for check in await traded.client.checks())
    assert [one.trade_id for one in await traded.client.corrections()] == [2, 1]
    assert [one.number for one in await traded.client.corrections(1)] == [2]
    assert await traded.client.corrections(99) == []


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("busts", {"trade_ids": [9]}, 404, "unknown_trade"),
        ("busts", {"trade_ids": [1, 1]}, 422, "duplicate_trade"),
        ("busts", {"trade_ids": []}, 422, "nothing_to_correct"),
        ("busts", {"trade_ids": [1], "by": "S"}, 403, "not_permitted"),
        ("busts", {"trade_ids": [1], "by": "X"}, 404, "unknown_account"),
        ("busts", {"trade_ids": [0]}, 422, "invalid_request"),
        ("busts", {"trade_ids": ["1"]}, 422, "invalid_request"),
        ("busts", {"trade_ids": [1.5]}, 422, "invalid_request"),
        ("busts", {"trade_ids": [2**63]}, 422, "invalid_request"),
        ("busts", {"trade_ids": [1], "more": 1}, 422, "invalid_request"),
        ("corrections", {"corrections": []}, 422, "nothing_to_correct"),
        ("corrections", {"corrections": [{"trade_id": 1}]}, 422, "nothing_to_correct"),
        ("corrections", {"corrections": [{"trade_id": 1, "quantity": 0}]}, 422, "quantity_not_positive"),
        ("corrections", {"corrections": [{"trade_id": 1, "price": "0.00"}]}, 422, "price_not_positive"),
        ("corrections", {"corrections": [{"trade_id": 1, "price": "40.001"}]}, 422, "price_off_tick"),
        ("corrections", {"corrections": [{"trade_id": 1, "price": 40.0}]}, 422, "invalid_request"),
        ("corrections", {"corrections": [{"trade_id": 1, "quantity": 999_999}]}, 409, "insufficient_cash"),
        (
            "corrections",
            {"corrections": [{"trade_id": 1, "price": "0.01", "quantity": 1001}]},
            409,
            "insufficient_units",
        ),
    ],
)
async def test_a_refusal_has_its_status_and_changes_nothing(traded, path, body, status, code):
    digest = await traded.digest()
    response = await traded.http.post(f"/v1/trades/{path}", json={"by": HOUSE, "reason": "wrong book"} | body)

    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert await traded.digest() == digest


async def test_a_busted_trade_is_busted_once(traded):
    await traded.client.bust_trades(HOUSE, [1], "wrong book")
    with pytest.raises(ApiError, match=r"trade_busted \(409\)"):
        await traded.client.bust_trades(HOUSE, [1, 2], "wrong book")
    assert [status for *_, status in await shown(traded)] == ["busted", "regular"]
