"""The document of the stream says what the stream does: its examples are sent, and what is told fits its schemas."""

import json
import re

import pytest

from api.stream import books, frames
from api.stream.asyncapi import ANSWERS, ARRAY, ERRORS, EXAMPLES, TELLS, document
from api.stream.frames import FRAMES
from api.stream.messages import ABOUT, TOLD, BookSnapshot, OpenOrders
from tests.api import noting, test_stream
from tests.api.streaming import SYMBOL, amend, order, phase, post, served


@pytest.fixture
def web():
    with served() as client:
        yield client


def references(part):
    if isinstance(part, dict):
        for name, value in part.items():
            yield from [value] if name == "$ref" else references(value)
    elif isinstance(part, list):
        for one in part:
            yield from references(one)


def test_every_reference_leads_somewhere():
    said = document()
    for reference in set(references(said)):
        found = said
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        assert found


def test_the_document_knows_all_that_can_be_said():
    said = document()
    assert set(said["components"]["messages"]) == {one.__name__ for one in (*FRAMES, *TOLD, *ABOUT)} | {ARRAY}
    assert {shape for shapes in TELLS.values() for shape in shapes} == set(TOLD)
    assert set(ANSWERS) == set(EXAMPLES) == set(FRAMES)
    assert set(test_stream.REFUSED) <= set(ERRORS)


def test_the_document_and_its_page_are_served_and_need_nothing_from_elsewhere(web):
    assert web.get("/asyncapi.json").json() == json.loads(json.dumps(document()))
    page = web.get("/asyncapi").text
    assert re.findall(r"(?:src|href)=(\S+?)>", page) == ['"/asyncapi.json"'] and "<script" not in page
    for name in (*TELLS, *document()["components"]["messages"], *ERRORS):
        assert name in page
    assert "/asyncapi" not in web.get("/openapi.json").json()["paths"]


@pytest.mark.examples
def test_every_example_of_the_document_is_answered_as_it_says(web, answers):
    post(web, "/v1/accounts", account_id="E-001", name="Daye Cement")
    post(web, "/v1/issuances", account_id="E-001", unit=SYMBOL, quantity=1000)
    post(web, "/v1/accounts/E-001/transfers", unit=SYMBOL, quantity=1000)
    said = document()
    shapes = {one.__name__: one for one in (*FRAMES, *ABOUT)}
    executed = 0
    with web.listen() as ear:
        for name, operation in said["operations"].items():
            if operation["action"] != "receive" or name == "several":
                continue
            [frame], [answer, _] = (
                [one["$ref"].rsplit("/", 1)[1] for one in part["messages"]] for part in (operation, operation["reply"])
            )
            for example in said["components"]["messages"][frame]["examples"]:
                told = ear.ask(**example["payload"])
                assert told["id"] == example["payload"]["id"], told
                assert shapes[answer].model_validate(told).type == told["type"]
                heard(answers, answer, told)
                executed += 1
        [example] = said["components"]["messages"][ARRAY]["examples"]
        ear.socket.send(json.dumps(example["payload"]))
        for request, told in zip(example["payload"], ear.news(2), strict=True):
            assert (told["type"], told["id"], told["status"]) == ("answer", request["id"], 201)
        heard(answers, "ErrorTold", ear.ask(op="subscribe", id=4, channel="trades", symbol="HBEA-1999"))
        heard(answers, "Heartbeat", ear.beat())
    assert executed == len(FRAMES)


@pytest.mark.examples
def test_all_that_is_told_fits_its_schema(web, monkeypatch, answers):
    monkeypatch.setattr(books, "CHECKED", 2)
    post(web, "/v1/accounts/S/deposits", amount="10000.00")
    with web.listen() as ear:
        for channel in TELLS:
            about = {"account_id": "S"} if channel in ("orders", "fills", "balances", "settlement") else {}
            ear.subscribe(channel, **about)
            for message in ear.standing:
                heard(answers, check(message).__name__, message)
        resting = order(web, "S", "sell", "40.00", 50, display_quantity=10, client_order_id="c")
        amend(web, resting, quantity=40)
        order(web, "B", "buy", "40.00", 15)
        order(web, "S", "buy", "40.00", 5, self_trade_prevention="decrement")
        order(web, "S", "sell", "38.00", 5, type="stop_limit", stop_price="39.00")
        web.post(
            "/v1/orders", json={"account_id": "S", "symbol": SYMBOL, "side": "buy", "quantity": 1, "price": "70.00"}
        )
        post(web, "/v1/trades/corrections", by="EXCHANGE", corrections=[{"trade_id": 1, "quantity": 4}], reason="typo")
        post(web, "/v1/trades/busts", by="EXCHANGE", trade_ids=[1], reason="wrong book")
        phase(web, "call")
        order(web, "S", "sell", "39.00", 10)
        order(web, "B", "buy", "41.00", 8)
        phase(web, "continuous")
        web.delete("/v1/orders", params={"account_id": "S"})
        phase(web, "closed")
        post(web, "/v1/settlement/batches")
        seen = set[type]()
        while (message := ear.next())["type"] != "settlement":
            if message["type"] != "error":
                seen.add(check(message))
                heard(answers, check(message).__name__, message)
        beat = ear.beat()
        for one in (message, *ear.left()):
            seen.add(check(one))
            heard(answers, check(one).__name__, one)
    assert seen | {BookSnapshot, OpenOrders} == set(TOLD)
    assert {one["channel"] for one in beat["channels"]} == set(TELLS)


@pytest.mark.examples
def test_who_falls_silent_is_told_what_was_cancelled(web, answers):
    order(web, "S", "sell", "41.00", 50)
    with web.listen() as ear:
        ear.ask(op="dead_man", account_id="S", seconds=1)
        fired = ear.next()
    assert (fired["type"], fired["count"]) == ("dead_man_fired", 1)
    heard(answers, "DeadManFired", fired)


def test_every_message_has_an_example_that_fits_its_schema():
    shapes = {one.__name__: one for one in (*FRAMES, *TOLD, *ABOUT)}
    for name, message in document()["components"]["messages"].items():
        assert message["examples"], name
        for example in message["examples"]:
            for payload in example["payload"] if name == ARRAY else [example["payload"]]:
                shape = frames.PlaceOrder if name == ARRAY else shapes[name]
                shape.model_validate_json(json.dumps(payload))


def heard(answers, name, message):
    """Keep a message as an example of what it is."""
    noting.keep(answers, noting.Kind(name, 0, "application/json"), json.dumps(message))


def check(message):
    """The shape that a message fits."""
    [shape] = [one for one in TELLS[message["channel"]] if fits(one, message["type"])]
    shape.model_validate_json(json.dumps(message))
    return shape


def fits(shape, name):
    field = shape.model_json_schema()["properties"]["type"]
    if "const" in field:
        return field["const"] == name
    return name in field["enum"] if "enum" in field else name not in ("open_orders",)
