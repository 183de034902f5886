"""The fast lane takes nothing that the route would not take, and makes the same of it."""

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api.access.guard import EVERYBODY
from api.fast_lane import FastBatch, FastOrder, packed_rows
from api.order_entry import order_row
from api.order_views import ToldFill, ToldOrder
from api.schemas import Fill, NewBatch, NewOrder, OrderView
from api.stream import frames
from api.stream.desk import FastAnswer
from api.stream.frames import FastPlace, PlaceOrder
from api.stream.messages import Answered
from exchange.instruments import Instrument
from registry.accounts import Account, ParticipantClass

pytestmark = pytest.mark.anyio

ORDER = {"account_id": "B", "symbol": "HBEA-2025", "side": "buy", "price": "40.00", "quantity": 10}

anything = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=8),
    st.sampled_from(["a-17", "B\n", "٤٠", "40.00", "40.00\n", "-1", "1e3", "0.123456789", "limit", "DAY", "buy",
                     "x" * 65, "2026-01-06", "cancel_newest", 10.0, 2**63 - 1, 2**63, 2**31, "stop"]),
    st.lists(st.integers(), max_size=1),
)  # fmt: skip
fields = st.sampled_from([*NewOrder.model_fields, "colour"])


def understood(shape, body):
    """What a decoder of the fast lane makes of a body; None if it leaves it to the route."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def as_the_route_has_it(model, body):
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise AssertionError("the fast lane takes what the route does not") from error


@given(st.dictionaries(fields, anything, max_size=4), st.sets(st.sampled_from([*ORDER])))
def test_what_the_fast_lane_takes_the_route_takes_alike(changes, left_out):
    body = json.dumps({name: value for name, value in (ORDER | changes).items() if name not in left_out}).encode()
    taken = understood(FastOrder, body)
    if taken is not None:
        route = as_the_route_has_it(NewOrder, body)
        assert {name: getattr(taken, name) for name in NewOrder.model_fields} == dict(route)


FRAME = ORDER | {"op": "place", "id": 7}


@given(
    st.dictionaries(st.sampled_from([*PlaceOrder.model_fields, "colour"]), anything | st.just("place"), max_size=4),
    st.sets(st.sampled_from([*FRAME])),
)
def test_and_so_it_is_with_frames_of_the_stream(changes, left_out):
    body = json.dumps({name: value for name, value in (FRAME | changes).items() if name not in left_out})
    taken = understood(FastPlace, body)
    if taken is not None:
        model = as_the_route_has_it(PlaceOrder, body)
        assert {name: getattr(taken, name) for name in PlaceOrder.model_fields} == dict(model)


def test_the_usual_frame_is_understood():
    assert isinstance(frames.read(json.dumps(FRAME)), FastPlace)


@pytest.mark.parametrize(("fast", "model"), [(ToldOrder, OrderView), (ToldFill, Fill), (FastAnswer, Answered)])
def test_fast_answers_have_the_fields_of_their_models(fast, model):
    assert [name for name in model.model_fields if name != "type" or model is OrderView] == [*fast.__struct_fields__]


LISTED = {"HBEA-2025": Instrument(3, "HBEA-2025", 1, Decimal("0.01"), 0), "B": Instrument(4, "B", 2, Decimal("0.1"), 0)}
BUYER = Account(7, "B", "", ParticipantClass.INSTITUTION)
in_batch = st.one_of(anything, st.sampled_from(["HBEA-2025", "B", "41.10", "41.1", "-0.00", "0.00", True, "GTC"]))


@given(st.dictionaries(fields, in_batch, max_size=3), st.one_of(anything, st.sampled_from(["stop", "rollback"])))
def test_and_so_it_is_with_batches(changes, on_error):
    terms = {name: value for name, value in ORDER.items() if name != "account_id"}
    body = json.dumps({"account_id": "B", "orders": [terms, terms | changes], "on_error": on_error}).encode()
    taken = understood(FastBatch, body)
    packed = taken and packed_rows(taken.orders, BUYER.number, LISTED)
    if packed:
        route = as_the_route_has_it(NewBatch, body)
        assert taken.on_error == route.on_error
        assert [one.client_order_id for one in taken.orders] == [one.client_order_id for one in route.orders]
        rows = [order_row(None, EVERYBODY, BUYER, LISTED[one.symbol], one, opens=False) for one in route.orders]
        assert packed == b"".join(rows)


def test_the_usual_batch_is_understood():
    terms = {name: value for name, value in ORDER.items() if name != "account_id"}
    body = json.dumps({"account_id": "B", "orders": [terms, terms | {"client_order_id": "a", "time_in_force": "IOC"}]})
    assert packed_rows(understood(FastBatch, body.encode()).orders, BUYER.number, LISTED)


@pytest.mark.parametrize("name", ["", "a\nb", "a\n", "\na", "x" * 65, "\u0661"])
@pytest.mark.parametrize("others", [[], ["a-17"]])
def test_a_batch_with_a_name_that_is_none_is_left_to_the_route(name, others):
    terms = {key: value for key, value in ORDER.items() if key != "account_id"}
    named = [terms | {"client_order_id": one} for one in (*others, name, *others)]
    taken = understood(FastBatch, json.dumps({"account_id": "B", "orders": named}).encode())
    assert packed_rows(taken.orders, BUYER.number, LISTED) is None


def test_the_usual_order_is_understood():
    body = json.dumps(ORDER | {"client_order_id": "a-17", "stop_price": None, "post_only": False}).encode()
    assert understood(FastOrder, body) is not None


@pytest.mark.parametrize("headers", [{}, {"content-type": "application/json; charset=utf-8"}])
async def test_both_ways_say_the_same(open_desk, headers):
    """Whatever else the content type says, the request is the route's."""
    await open_desk.sell("39.90", 4)
    usual = {"content-type": "application/json"} | headers
    answers = [
        await open_desk.http.post("/v1/orders", content=json.dumps(ORDER | {"client_order_id": "x"}), headers=usual)
        for _ in range(2)
    ]
    assert [one.status_code for one in answers] == [201, 200]
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert answers[0].json() == answers[1].json()
    assert answers[0].headers["content-type"] == "application/json"
    shown = await open_desk.http.get(f"/v1/orders/{answers[0].json()['order_id']}?account_id=B")
    assert shown.json() == answers[0].json()
    assert [one["quantity"] for one in shown.json()["fills"]] == [4]


async def test_a_body_in_parts_is_put_together(open_desk):
    async def parts():
        yield json.dumps(ORDER)[:20].encode()
        yield json.dumps(ORDER)[20:].encode()

    answer = await open_desk.http.post("/v1/orders", content=parts(), headers={"content-type": "application/json"})
    assert answer.status_code == 201


async def test_what_is_no_order_gets_the_words_of_the_route(open_desk):
    answer = await open_desk.http.post("/v1/orders", json=ORDER | {"quantity": "10"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "quantity"
