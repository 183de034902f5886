"""Bad input: one clear error with a stable code, and the state as it was."""

import asyncio

import pytest

from api.access.bodies import BODY_MAX
from api.problems import Problem, status_of
from exchange import refusals
from exchange.reasons import Reason
from tests.api.conftest import hold_back, running_desk

pytestmark = pytest.mark.anyio

ORDER = {"account_id": "B", "symbol": "HBEA-2025", "side": "buy", "price": "40.00", "quantity": 10}

BAD_ORDERS = {
    "unknown account": ({"account_id": "nobody"}, 404, "unknown_account"),
    "unknown instrument": ({"symbol": "CEA"}, 404, "unknown_instrument"),
    "zero tonnes": ({"quantity": 0}, 422, "quantity_not_positive"),
    "negative tonnes": ({"quantity": -5}, 422, "quantity_not_positive"),
    "fractional tonnes": ({"quantity": 1.5}, 422, "invalid_request"),
    "tonnes as text": ({"quantity": "10"}, 422, "invalid_request"),
    "tonnes beyond 64 bits": ({"quantity": 2**63}, 422, "invalid_request"),
    "enormous tonnes": ({"quantity": 2**62}, 422, "amount_too_large"),
    "price off the tick": ({"price": "40.005"}, 422, "price_off_tick"),
    "price as a float": ({"price": 40.0}, 422, "invalid_request"),
    "price in foreign digits": ({"price": "٤٠.00"}, 422, "invalid_request"),
    "price not a number": ({"price": "NaN"}, 422, "invalid_request"),
    "price zero": ({"price": "0.00"}, 422, "price_not_positive"),
    "price above the band": ({"price": "44.01"}, 422, "price_outside_band"),
    "price below the band": ({"price": "35.99"}, 422, "price_outside_band"),
    "insufficient cash": ({"quantity": 2488}, 409, "insufficient_cash"),  # 2,487 t are affordable with the fee
    "insufficient units": ({"account_id": "S", "side": "sell", "quantity": 1001}, 409, "insufficient_units"),
    "a limit order without a price": ({"price": None}, 422, "price_not_positive"),
    "a market order with a price": ({"type": "market"}, 422, "contradictory_terms"),
    "a market order for the day": (
        {"type": "market", "price": None, "time_in_force": "DAY"},
        422,
        "contradictory_terms",
    ),
    "a market order at a price of nothing": ({"type": "market", "price": "0.00"}, 422, "price_not_positive"),
    "a limit order with a stop price": ({"stop_price": "41.00"}, 422, "contradictory_terms"),
    "a stop order without a stop price": ({"type": "stop", "price": None}, 422, "price_not_positive"),
    "a stop price off the tick": ({"type": "stop_limit", "stop_price": "41.005"}, 422, "price_off_tick"),
    "a stop price above the band": ({"type": "stop_limit", "stop_price": "44.01"}, 422, "price_outside_band"),
    "a stop price that no row holds": ({"type": "stop_limit", "stop_price": "21474836.48"}, 422, "price_out_of_range"),
    "the largest stop price": ({"type": "stop_limit", "stop_price": "21474836.47"}, 422, "price_outside_band"),
    "a price of 15 digits": ({"price": "999999999999999.00"}, 422, "price_outside_band"),
    "an iceberg that shows more than it has": ({"display_quantity": 11}, 422, "invalid_display_quantity"),
    "an iceberg that shows nothing": ({"display_quantity": 0}, 422, "invalid_request"),
    "an iceberg slice that no row holds": ({"quantity": 2**31, "display_quantity": 2**31}, 422, "invalid_request"),
    "an iceberg too large": ({"quantity": 2**31, "display_quantity": 2**31 - 1}, 422, "invalid_display_quantity"),
    "an iceberg that does not rest": ({"display_quantity": 5, "time_in_force": "IOC"}, 422, "contradictory_terms"),
    "post-only and at once": ({"post_only": True, "time_in_force": "FOK"}, 422, "contradictory_terms"),
    "post-only as text": ({"post_only": "yes"}, 422, "invalid_request"),
    "an expire date of a day order": ({"expire_date": "2026-01-06"}, 422, "contradictory_terms"),
    "an expire date that no row holds": ({"time_in_force": "GTD", "expire_date": "2149-06-07"}, 422, "invalid_request"),
    "an expire date before time": ({"time_in_force": "GTD", "expire_date": "1970-01-01"}, 422, "invalid_request"),
    "good till a date that is none": ({"time_in_force": "GTD"}, 422, "time_in_force_not_allowed"),
    "good till cancelled": ({"time_in_force": "GTC"}, 422, "time_in_force_not_allowed"),
    "a time in force of no kind": ({"time_in_force": "GFA"}, 422, "invalid_request"),
    "a type of no kind": ({"type": "pegged"}, 422, "invalid_request"),
    "self-trade prevention of no kind": ({"self_trade_prevention": "hope"}, 422, "invalid_request"),
    "side of neither kind": ({"side": "hold"}, 422, "invalid_request"),
    "a field nobody knows": ({"colour": "green"}, 422, "invalid_request"),
}


@pytest.mark.parametrize(("change", "status", "code"), BAD_ORDERS.values(), ids=BAD_ORDERS)
async def test_bad_orders(open_desk, change, status, code):
    before = await open_desk.digest()
    response = await open_desk.http.post("/v1/orders", json=ORDER | change)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status and response.json()["detail"]
    assert await open_desk.digest() == before


# The schemas let none of these through.
MALFORMED = {
    Reason.INVALID_SIDE, Reason.INVALID_TIME_IN_FORCE, Reason.INVALID_ORDER_TYPE, Reason.INVALID_SELF_TRADE_PREVENTION,
}  # fmt: skip


def test_every_refusal_of_the_trading_path_is_said_in_words():
    refused = {Reason[name] for name in vars(refusals) if name in Reason.__members__} - {Reason.NONE}
    assert MALFORMED | {Reason.STOP_ALREADY_REACHED, Reason.INSUFFICIENT_UNITS} <= refused
    for reason in refused - MALFORMED:
        assert Problem.of_reason(reason).detail != reason.code, reason


# Why something happened that nobody refused.
EXPLANATIONS = {
    Reason.BY_REQUEST, Reason.IMMEDIATE_OR_CANCEL, Reason.END_OF_DAY, Reason.SELF_TRADE, Reason.AUCTION,
    Reason.ACCOUNT_SUSPENDED, Reason.BATCH_UNDONE, Reason.DEAD_MAN, Reason.DISCONNECTED, Reason.KILL_SWITCH,
}  # fmt: skip


@pytest.mark.parametrize("reason", sorted(set(Reason) - EXPLANATIONS - {Reason.NONE}), ids=lambda reason: reason.code)
def test_every_refusal_has_a_status_of_its_kind(reason):
    status = status_of(reason)
    if reason.code.startswith("unknown_") and reason != Reason.UNKNOWN_COMMAND:
        assert status == 404
    elif reason.code.endswith("_exists") or reason.code.startswith("insufficient_"):
        assert status == 409
    elif reason.code.startswith("invalid_"):
        assert status == 422
    else:
        assert status in (403, 409, 422)


@pytest.mark.parametrize("reason", sorted({Reason.NONE, *EXPLANATIONS}), ids=lambda reason: reason.code)
def test_what_is_no_refusal_has_no_status(reason):
    with pytest.raises(KeyError):
        status_of(reason)


async def test_the_largest_affordable_order_is_accepted(open_desk):
    response = await open_desk.http.post("/v1/orders", json=ORDER | {"quantity": 2487})
    assert response.status_code == 201


BAD_REQUESTS = {
    "malformed JSON": ("POST", "/v1/orders", b'{"account_id": ', 400, "malformed_json"),
    "not an object": ("POST", "/v1/orders", b"[1, 2]", 422, "invalid_request"),
    "empty body": ("POST", "/v1/orders", b"", 422, "invalid_request"),
    "invalid UTF-8": ("POST", "/v1/orders", b'{"symbol": "\xff"}', 400, "malformed_json"),
    "cancel of an unknown order": ("DELETE", "/v1/orders/77?account_id=B", b"", 404, "unknown_order"),
    "cancel of a huge order id": ("DELETE", f"/v1/orders/{2**70}?account_id=B", b"", 404, "unknown_order"),
    "cancel for an unknown account": ("DELETE", "/v1/orders/1?account_id=X", b"", 404, "unknown_account"),
    "account that exists": ("POST", "/v1/accounts", b'{"account_id": "B", "name": "B"}', 409, "account_exists"),
    "deposit of nothing": ("POST", "/v1/accounts/B/deposits", b'{"amount": "0"}', 422, "amount_not_positive"),
    "deposit finer than a fen": ("POST", "/v1/accounts/B/deposits", b'{"amount": "0.001"}', 422, "amount_off_fen"),
    "withdrawal beyond the cash": (
        "POST", "/v1/accounts/B/withdrawals", b'{"amount": "100000.01"}', 409, "insufficient_cash",
    ),
    "issue of an unknown unit": (
        "POST", "/v1/issuances", b'{"account_id": "S", "unit": "X", "quantity": 1}', 404, "unknown_unit",
    ),
    "transfer of more than there is": (
        "POST", "/v1/accounts/S/transfers", b'{"unit": "HBEA-2025", "quantity": 1}', 409, "insufficient_units",
    ),
    "a second opening": ("POST", "/v1/trading-days", b'{"date": "2026-01-06"}', 409, "wrong_phase"),
    "a Saturday": ("POST", "/v1/trading-days", b'{"date": "2026-01-10"}', 422, "not_a_trading_day"),
    "settlement during trading": ("POST", "/v1/settlements", b"", 409, "wrong_phase"),
    "a settlement that never was": ("GET", "/v1/settlements/2026-01-05", b"", 404, "unknown_settlement"),
    "a statement that never was": ("GET", "/v1/accounts/B/statements/2026-01-05", b"", 404, "unknown_statement"),
    "a page that is not there": ("GET", "/v1/nothing", b"", 404, "not_found"),
    "a verb that is not there": ("DELETE", "/v1/market", b"", 405, "method_not_allowed"),
}  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
async def test_bad_requests(open_desk, method, path, body, status, code):
    before = await open_desk.digest()
    headers = {"content-type": "application/json"} if body else {}
    response = await open_desk.http.request(method, path, content=body, headers=headers)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert await open_desk.digest() == before


async def test_a_form_instead_of_json_is_told_what_to_send(open_desk):
    response = await open_desk.http.post("/v1/orders", content=b'{"price": "1"}')
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert "Content-Type: application/json" in response.json()["detail"]


async def test_orders_outside_trading_hours_are_refused(desk):
    before = await desk.digest()
    response = await desk.http.post("/v1/orders", json=ORDER)
    assert (response.status_code, response.json()["code"]) == (409, "market_closed")
    assert await desk.digest() == before

    await desk.client.open_day("2026-01-05")
    response = await desk.http.post("/v1/orders", json=ORDER)
    assert (response.status_code, response.json()["code"]) == (409, "market_closed")


async def test_a_full_inbox_refuses_at_once_and_says_when_to_come_back():
    async with running_desk(inbox=2) as desk:
        await desk.enrol()
        await desk.open()
        before = await desk.digest()
        held = hold_back(desk.gateway)
        waiting = []
        for _ in range(3):  # one in the consumer's hands, two in the queue
            waiting.append(asyncio.ensure_future(desk.http.post("/v1/orders", json=ORDER)))
            await asyncio.sleep(0.05)
        response = await desk.http.post("/v1/orders", json=ORDER)

        assert (response.status_code, response.json()["code"]) == (503, "inbox_full")
        assert int(response.headers["Retry-After"]) >= 1
        assert desk.gateway.exchange.digest() == before
        held.set()
        assert [(await one).status_code for one in waiting] == [201, 201, 201]


async def test_a_body_that_is_too_large_is_refused_whatever_its_type_and_route(open_desk):
    async def endless():
        for _ in range(BODY_MAX // 65_536 + 2):
            yield bytes(65_536)

    for path in ("/v1/orders", "/v1/accounts", "/nowhere"):
        for kind in ("text/plain", "application/json"):
            response = await open_desk.http.post(path, content=endless(), headers={"content-type": kind})
            assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
