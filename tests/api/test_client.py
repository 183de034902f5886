"""The client: an answer lost on the way never leads to a second order."""

import httpx
import pytest

from api import client as client_module
from api.client import ApiError, AsyncClient

pytestmark = pytest.mark.anyio


class LossyTransport(httpx.AsyncBaseTransport):
    """Reaches the exchange, but loses the answers to the first `lost` requests of a method."""

    def __init__(self, inner, method, lost):
        self.inner, self.method, self.lost, self.seen = inner, method, lost, []

    async def handle_async_request(self, request):
        response = await self.inner.handle_async_request(request)
        if request.method == self.method:
            self.seen.append(request.content)
            if self.lost > 0:
                self.lost -= 1
                await response.aread()
                raise httpx.ReadError("connection reset")
        return response

    async def aclose(self):
        await self.inner.aclose()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(client_module, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(client_module, "_LONGEST_PAUSE_S", 0.001)


async def test_a_lost_answer_is_fetched_with_the_same_id(open_desk):
    transport = LossyTransport(open_desk.transport, "POST", lost=2)
    async with AsyncClient("http://exchange", transport=transport) as client:
        order = await client.place_order("B", "HBEA-2025", "buy", "40.00", 10)

    assert len(transport.seen) == 3 and len(set(transport.seen)) == 1
    assert [one.order_id for one in await open_desk.client.orders("B")] == [order.order_id]


async def test_after_a_while_the_client_gives_up(open_desk, monkeypatch):
    monkeypatch.setattr(client_module, "RETRIED_S", 0.5)
    transport = LossyTransport(open_desk.transport, "POST", lost=10**9)
    async with AsyncClient("http://exchange", transport=transport) as client:
        with pytest.raises(ApiError, match="connection_lost"):
            await client.place_order("B", "HBEA-2025", "buy", "40.00", 10)
    assert len(transport.seen) > 1
    assert len(await open_desk.client.orders("B")) == 1


async def test_a_deposit_whose_answer_is_lost_is_made_once(open_desk):
    transport = LossyTransport(open_desk.transport, "POST", lost=2)
    async with AsyncClient("http://exchange", transport=transport) as client:
        account = await client.deposit("B", "1.00")
        assert (await client.deposit("B", "1.00")).holdings[0].settled == "100002.00"
    assert account.holdings[0].settled == "100001.00"
    assert len(transport.seen) == 4


async def test_a_refusal_is_not_tried_again(open_desk):
    transport = LossyTransport(open_desk.transport, "POST", lost=0)
    async with AsyncClient("http://exchange", transport=transport) as client:
        with pytest.raises(ApiError) as refused:
            await client.place_order("B", "HBEA-2025", "buy", "99.00", 10)
    assert (refused.value.status, refused.value.code, len(transport.seen)) == (422, "price_outside_band", 1)


async def test_a_lost_cancel_is_asked_about(open_desk):
    order = await open_desk.client.place_order("B", "HBEA-2025", "buy", "40.00", 10)
    transport = LossyTransport(open_desk.transport, "DELETE", lost=1)
    async with AsyncClient("http://exchange", transport=transport) as client:
        cancelled = await client.cancel_order("B", order.order_id)
    assert (cancelled.status, len(transport.seen)) == ("cancelled", 2)


async def test_a_lost_mass_cancel_is_sent_again(open_desk):
    await open_desk.buy("40.00", 10)
    transport = LossyTransport(open_desk.transport, "DELETE", lost=1)
    async with AsyncClient("http://exchange", transport=transport) as client:
        assert (await client.cancel_all("B")).count == 0
    assert len(transport.seen) == 2
    assert await open_desk.client.orders("B", open_only=True) == []


async def test_an_amend_is_never_repeated(open_desk):
    order = await open_desk.buy("40.00", 10)
    transport = LossyTransport(open_desk.transport, "PATCH", lost=1)
    async with AsyncClient("http://exchange", transport=transport) as client:
        with pytest.raises(ApiError, match="connection_lost"):
            await client.amend_order("B", order.order_id, 5)
    assert len(transport.seen) == 1
    assert (await open_desk.client.order("B", order.order_id)).leaves == 5


async def test_a_lost_answer_to_any_order_is_fetched_with_the_same_id(open_desk):
    transport = LossyTransport(open_desk.transport, "POST", lost=1)
    terms = {"order_type": "stop_limit", "stop_price": "41.00", "self_trade_prevention": "decrement"}
    async with AsyncClient("http://exchange", transport=transport) as client:
        order = await client.place_order("B", "HBEA-2025", "buy", "42.00", 10, client_order_id="x", **terms)
        assert (order.status, order.stop_price, order.self_trade_prevention) == ("waiting", "41.00", "decrement")
        terms["stop_price"] = "41.50"
        with pytest.raises(ApiError, match="client_order_id_used"):
            await client.place_order("B", "HBEA-2025", "buy", "42.00", 10, client_order_id="x", **terms)
    assert [one.order_id for one in await open_desk.client.orders("B")] == [order.order_id]


async def test_a_busy_exchange_is_asked_again():
    answers = [(503, {"code": "inbox_full", "detail": "busy"})] * 2 + [(409, {"code": "market_closed", "detail": "-"})]
    transport = httpx.MockTransport(lambda request: httpx.Response(answers[0][0], json=answers.pop(0)[1]))
    async with AsyncClient("http://exchange", transport=transport) as client:
        with pytest.raises(ApiError, match="market_closed"):
            await client.place_order("B", "HBEA-2025", "buy", "40.00", 10)
    assert answers == []


async def test_an_answer_that_is_no_problem_is_still_one_error(monkeypatch):
    monkeypatch.setattr(client_module, "RETRIED_S", 0.01)
    transport = httpx.MockTransport(lambda request: httpx.Response(502, text="<html>bad gateway</html>"))
    async with AsyncClient("http://exchange", transport=transport) as client:
        with pytest.raises(ApiError, match="unreadable_answer"):
            await client.market()
