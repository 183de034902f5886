"""Parameters of queries: what a route does not know is refused, whatever the route, before anything happens."""

import json
import re

import httpx
import pytest

from api.app import make_app

pytestmark = pytest.mark.anyio
ORDER = {"account_id": "S", "symbol": "HBEA-2025", "side": "sell", "price": "41.00", "quantity": 100}


def documented(desk):
    """(method, path, names that it reads from the query) of each operation of the document."""
    for path, verbs in make_app(desk.gateway).openapi()["paths"].items():
        for verb, about in verbs.items():
            names = [one["name"] for one in about.get("parameters", ()) if one["in"] == "query"]
            assert "422" in about["responses"], (verb, path)
            yield verb.upper(), re.sub(r"{\w+}", "1", path), names


async def test_every_route_refuses_a_parameter_that_it_does_not_document_and_one_that_comes_twice(open_desk):
    before = await open_desk.digest()
    for method, path, names in documented(open_desk):
        answer = await open_desk.http.request(method, f"{path}?simbol=1")
        said = answer.json()
        assert (answer.status_code, said["code"]) == (422, "invalid_request"), (method, path)
        assert said["errors"] == [{"field": "simbol", "message": "There is no such parameter"}], (method, path)
        for name in names:
            twice = (await open_desk.http.request(method, f"{path}?{name}=1&{name}=1")).json()
            assert twice["errors"] == [{"field": name, "message": "Is given more than once"}], (method, path)
    assert await open_desk.digest() == before


async def test_a_misspelt_symbol_cancels_nothing(open_desk):
    await open_desk.sell("41.00", 100)
    answer = await open_desk.http.delete("/v1/orders?account_id=S&symbl=HBEA-2025&symbol[]=HBEA-2025")
    assert [one["field"] for one in answer.json()["errors"]] == ["symbl", "symbol[]"]
    assert answer.json()["detail"].startswith("symbl: There is no such parameter")
    assert await open_desk.book() == ([], [("41.00", 100, 1)])
    assert (await open_desk.http.delete("/v1/orders?account_id=S&symbol=HBEA-2025&side=sell")).json()["count"] == 1


async def test_an_order_with_a_query_is_not_placed_also_where_orders_have_a_way_of_their_own(open_desk):
    for path, body in (("/v1/orders", ORDER), ("/v1/orders/batch", {"account_id": "S", "orders": [ORDER]})):
        answer = await open_desk.http.post(f"{path}?dry_run=true", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "dry_run")
    assert await open_desk.book() == ([], [])


@pytest.mark.parametrize("query", ["a", "a=", "%FF=1", "=", "a=1&" * 1000])
async def test_whatever_it_is_called(open_desk, query):
    assert (await open_desk.http.get(f"/v1/market?{query}")).status_code == 422


async def test_what_has_no_route_is_told_that_and_a_page_may_be_asked_for_with_anything(open_desk):
    assert (await open_desk.http.get("/v1/nothing?a=1")).status_code == 404
    assert (await open_desk.http.put("/v1/orders?a=1")).status_code == 405
    assert (await open_desk.http.get("/docs?a=1")).status_code == 200
    assert (await open_desk.http.get("/v1/market?")).status_code == 200


async def test_the_stream_reads_no_query(open_desk):
    assert isinstance(open_desk.transport, httpx.ASGITransport)
    heard = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        heard.append(message)

    scope = {"type": "websocket", "path": "/v1/stream", "query_string": b"cancel_on_disconnect=1", "headers": []}
    await open_desk.transport.app(scope, receive, send)
    [error] = json.loads(heard[1]["text"])
    assert (error["code"], heard[2]["code"]) == ("invalid_request", 4003)
    assert error["detail"] == "cancel_on_disconnect: There is no such parameter"
