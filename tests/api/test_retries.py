"""What is sent again, by both clients: a row for each way to fail. No exchange is needed to fail."""

import asyncio
import inspect
import time

import httpx
import pytest

from api import client as client_module
from api.client import ApiError, AsyncClient, Client

ORDER = {
    "order_id": 7, "account_id": "B", "symbol": "HBEA-2025", "side": "buy", "type": "limit", "price": "40.00",
    "stop_price": None, "quantity": 10, "display_quantity": None, "leaves": 10,
    "filled": 0, "cancelled": 0, "prevented": 0, "average_price": None,
    "time_in_force": "DAY",
    "expire_date": None, "post_only": False, "self_trade_prevention": "cancel_newest", "status": "open", "reason": None,
    "priority": None, "client_order_id": "x", "fills": [], "accepted_at": "2026-01-05T09:30:00+08:00",
    "ts_event": 1767576600000000000, "sequence": 1,
}  # fmt: skip

BUSY = httpx.Response(503, json={"code": "inbox_full", "detail": "-"}, headers={"Retry-After": "3"})
OFTEN = httpx.Response(429, json={"code": "rate_limited", "detail": "-"}, headers={"Retry-After": "7"})
BROKEN = httpx.Response(503, json={"code": "journal_failed", "detail": "-"})
PROXY = httpx.Response(502, text="<html>bad gateway</html>")
INTERNAL = httpx.Response(500, json={"code": "internal_error", "detail": "-"})
UNDER_WAY = httpx.Response(409, json={"code": "request_in_progress", "detail": "-"}, headers={"Retry-After": "1"})
REFUSED = httpx.Response(422, json={"code": "price_outside_band", "detail": "-"})
NOBODY, LOST, SILENT = httpx.ConnectError("refused"), httpx.ReadError("reset"), httpx.ReadTimeout("silence")
HALF = httpx.RemoteProtocolError("closed in the middle")

CALLS = {
    "GET": lambda client: client.order("B", 7),
    "POST": lambda client: client.place_order("B", "HBEA-2025", "buy", "40.00", 10),
    "DELETE": lambda client: client.cancel_order("B", 7),
    "PATCH": lambda client: client.amend_order("B", 7, 10),
}
EVERYTHING, ALL_BUT_AMENDS, NOTHING = set(CALLS), set(CALLS) - {"PATCH"}, set()


class Failing:
    """Fails in one way, then answers."""

    def __init__(self, *failures):
        self.failures, self.seen = list(failures), []

    def __call__(self, request):
        self.seen.append(request)
        if not self.failures:
            return httpx.Response(200, json=ORDER)
        failure = self.failures.pop(0)
        if isinstance(failure, Exception):
            raise failure
        return httpx.Response(failure.status_code, content=failure.content, headers=failure.headers)


@pytest.fixture(params=[Client, AsyncClient])
def ask(request, monkeypatch):
    """Asks by either client; its pauses are noted, and take no time."""

    async def pause(client, seconds):
        ask.pauses.append(seconds)

    def ask(exchange, call):
        transport = httpx.MockTransport(exchange)
        if request.param is Client:
            with Client("http://exchange", transport=transport) as client:
                return call(client)

        async def awaited():
            async with AsyncClient("http://exchange", transport=transport) as client:
                return await call(client)

        return asyncio.run(awaited())

    ask.pauses = []
    monkeypatch.setattr(request.param, "_pause", pause)
    return ask


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(
    ("failure", "repeated", "waits_s"),
    [
        (BUSY, EVERYTHING, 3),
        (OFTEN, EVERYTHING, 7),
        (NOBODY, EVERYTHING - {"GET"}, 0),  # a first question: perhaps nobody is there
        (BROKEN, ALL_BUT_AMENDS, 0),
        (PROXY, ALL_BUT_AMENDS, 0),
        (INTERNAL, ALL_BUT_AMENDS, 0),
        (UNDER_WAY, ALL_BUT_AMENDS, 1),
        (LOST, ALL_BUT_AMENDS, 0),
        (SILENT, ALL_BUT_AMENDS, 0),
        (HALF, ALL_BUT_AMENDS, 0),
        (REFUSED, NOTHING, 0),
    ],
)
def test_only_what_is_safe_is_sent_again(ask, method, failure, repeated, waits_s):
    exchange = Failing(failure)
    if method not in repeated:
        with pytest.raises(ApiError):
            ask(exchange, CALLS[method])
        assert (len(exchange.seen), ask.pauses) == (1, [])
        return
    assert ask(exchange, CALLS[method]).order_id == 7
    first, second = exchange.seen
    assert (first.method, first.url, first.content) == (second.method, second.url, second.content)
    [pause] = ask.pauses
    assert pause == waits_s or (not waits_s and 0.025 <= pause <= 0.05)


def test_a_question_to_an_exchange_that_has_answered_is_asked_again(ask):
    exchange = Failing(BUSY, NOBODY)
    assert ask(exchange, CALLS["GET"]).order_id == 7
    assert len(exchange.seen) == 3


def test_a_deposit_is_sent_again_under_its_name(ask):
    exchange = Failing(LOST, REFUSED)
    with pytest.raises(ApiError) as raised:
        ask(exchange, lambda client: client.deposit("B", "1.00"))
    names = {request.headers["Idempotency-Key"] for request in exchange.seen}
    assert len(exchange.seen) == 2 and len(names) == 1
    assert raised.value.perhaps_done


def test_pauses_grow_up_to_a_second(ask):
    exchange = Failing(*[LOST] * 10)
    ask(exchange, CALLS["POST"])
    bounds = [min(0.05 * 2**number, 1.0) for number in range(10)]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(ask.pauses, bounds, strict=True))
    assert len({pause / bound for pause, bound in zip(ask.pauses, bounds, strict=True)}) > 1


def test_who_shall_wait_too_long_is_told_at_once(ask):
    later = httpx.Response(429, json={"code": "too_many_logins", "detail": "-"}, headers={"Retry-After": "60"})
    exchange = Failing(later)
    with pytest.raises(ApiError) as raised:
        ask(exchange, CALLS["POST"])
    assert (raised.value.wait_s, ask.pauses) == (60, [])


def test_after_a_while_it_gives_up(ask, monkeypatch):
    now = iter(range(1000))
    monkeypatch.setattr(client_module.time, "monotonic", lambda: float(next(now)))
    with pytest.raises(ApiError, match="connection_lost"):
        ask(Failing(*[LOST] * 1000), CALLS["DELETE"])
    assert 5 < len(ask.pauses) < 20


def test_a_cancel_whose_answer_was_lost_is_asked_about(ask):
    gone = httpx.Response(404, json={"code": "unknown_order", "detail": "-"})
    exchange = Failing(LOST, gone)
    ask(exchange, CALLS["DELETE"])
    assert [request.method for request in exchange.seen] == ["DELETE", "DELETE", "GET"]
    with pytest.raises(ApiError, match="unknown_order"):
        ask(Failing(BUSY, gone), CALLS["DELETE"])  # nothing can have happened by the first


def test_both_clients_have_the_same_calls():
    def calls(kind):
        return {name for name in dir(kind) if not name.startswith("_")}

    assert calls(Client) == calls(AsyncClient) and len(calls(Client)) > 150
    with Client("http://exchange") as client:
        for name in calls(Client) - {"outbox"}:
            call = getattr(client, name)
            assert not inspect.iscoroutinefunction(call) and call.args[0].__self__ is client, name


def test_trades_come_page_by_page(ask):
    trade = {
        "trade_id": 1, "symbol": "X", "price": "40.00", "quantity": 1, "aggressor": "buy", "status": "regular",
        "at": "2026-01-05T09:30:00+08:00", "ts_event": 1767576600000000000, "sequence": 1,
    }  # fmt: skip
    pages = [[1, 2], [3], []]

    def exchange(request):
        page = pages.pop(0)
        return httpx.Response(200, json={"trades": [trade | {"trade_id": one} for one in page], "cursor": 9})

    with Client("http://exchange", transport=httpx.MockTransport(exchange)) as client:
        assert [one.trade_id for one in client.trades("X")] == [1, 2, 3]


def test_a_synchronous_client_that_would_suspend_says_so():
    async def suspends(client, seconds):
        await asyncio.sleep(0)

    with Client("http://exchange", transport=httpx.MockTransport(Failing(BUSY))) as client:
        client._pause = suspends.__get__(client)
        with pytest.raises(RuntimeError, match="event loop"):
            client.order("B", 7)


def test_a_real_pause_is_slept(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with Client("http://exchange", transport=httpx.MockTransport(Failing(BUSY))) as client:
        client.order("B", 7)
    assert slept == [3.0]
