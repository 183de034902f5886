"""Orders on the stream: the same shapes and refusals as over HTTP; orders that go when their owner has gone."""

import json
import time

import pytest

from api.stream import desk, frames
from exchange.engine import read_batches
from exchange.reasons import Reason
from tests.api.streaming import SYMBOL, cancel, open_orders, order, served


@pytest.fixture
def web():
    with served() as client:
        yield client


@pytest.fixture(scope="module")
def quiet():
    with served() as client:
        yield client


def placing(account_id, side, price, quantity, **terms):
    asked = {"op": "place", "account_id": account_id, "symbol": SYMBOL, "side": side, "price": price}
    return asked | {"quantity": quantity} | terms


def eventually(said):
    """Whether something becomes true within ten seconds."""
    deadline = time.monotonic() + 10
    while not said():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def causes_of(web):
    """Why orders were cancelled without their owner's asking, one by one, as the journal has it."""
    details = [detail for batch in read_batches(web.gateway.inbox.engine.journal.blocks()) for detail in batch.details]
    commands = [json.loads(detail) for detail in details if detail.startswith(b"{")]
    return [(one["account_id"], one["cause"]) for one in commands if one["command"] == "CancelOrders"]


# ---------------------------------------------------------------- place, amend, cancel


def test_an_orders_life_on_the_stream_is_answered_as_over_http(web):
    with web.listen() as ear:
        placed = ear.ask(**placing("S", "sell", "41.00", 100, client_order_id="c-1"), id="a")
        assert (placed["id"], placed["op"], placed["status"]) == ("a", "place", 201)
        order_id = placed["body"]["order_id"]
        params = {"account_id": "S"}
        assert placed["body"] == web.get(f"/v1/orders/{order_id}", params=params).json()
        amended = ear.ask(op="amend", account_id="S", order_id=order_id, quantity=60, id=2)
        assert (amended["id"], amended["status"]) == (2, 200)
        assert (amended["body"]["leaves"], amended["body"]["priority"]) == (60, "kept")
        gone = ear.ask(op="cancel", account_id="S", order_id=order_id)
        assert (gone["id"], gone["body"]["status"], gone["body"]["cancelled"]) == (None, "cancelled", 60)
        assert gone["body"] == web.get(f"/v1/orders/{order_id}", params=params).json()


def test_the_same_order_again_gets_the_first_ones_answer(web):
    with web.listen() as ear:
        first = ear.ask(**placing("S", "sell", "41.00", 5, client_order_id="c-1"))
        again = ear.ask(**placing("S", "sell", "41.00", 5, client_order_id="c-1"))
        other = ear.ask(**placing("S", "sell", "41.00", 6, client_order_id="c-1"))
    assert (first["status"], again["status"]) == (201, 200)
    assert first["body"] == again["body"]
    assert other["type"] == "error" and other["status"] == 409


def test_all_orders_are_cancelled_on_one_side_or_on_both(web):
    with web.listen() as ear:
        for price in ("41.00", "41.10"):
            ear.ask(**placing("S", "sell", price, 1))
        none = ear.ask(op="cancel_all", account_id="S", side="buy")
        both = ear.ask(op="cancel_all", account_id="S", symbol=SYMBOL)
    assert (none["body"]["count"], both["body"]["count"]) == (0, 2)
    assert open_orders(web, "S") == []


def over_http(client, frame):
    """What REST says to a frame."""
    fields = {name: value for name, value in frame.items() if name not in ("op", "order_id")}
    match frame["op"]:
        case "place":
            return client.post("/v1/orders", json=fields)
        case "amend":
            return client.patch(f"/v1/orders/{frame['order_id']}", json=fields)
        case "cancel":
            return client.delete(f"/v1/orders/{frame['order_id']}", params=fields)
        case _:
            return client.delete("/v1/orders", params=fields)


REFUSED = [
    placing("S", "sell", "41.001", 1), placing("S", "sell", "0", 1), placing("S", "sell", "60.00", 1),
    placing("S", "sell", "41.00", 10**6), placing("S", "sell", "41.00", 0), placing("GHOST", "sell", "41.00", 1),
    placing("S", "sell", "41.00", 1) | {"symbol": "GOLD"}, placing("B", "buy", "44.00", 5000),
    placing("S", "sell", None, 1), placing("S", "give", "41.00", 1), placing("S", "sell", "41.00", 1.5),
    {"op": "amend", "account_id": "S", "order_id": 999, "quantity": 1},
    {"op": "amend", "account_id": "S", "order_id": 2**70, "quantity": 1},
    {"op": "cancel", "account_id": "S", "order_id": 999}, {"op": "cancel", "account_id": "S", "order_id": -1},
    {"op": "cancel", "account_id": "GHOST", "order_id": 1}, {"op": "cancel_all", "account_id": "GHOST"},
    {"op": "cancel_all", "account_id": "S", "symbol": "GOLD"}, {"op": "cancel_all", "account_id": "S", "side": "up"},
]  # fmt: skip


@pytest.mark.parametrize("frame", REFUSED)
def test_what_is_refused_over_http_is_refused_on_the_stream_for_the_same_reason(quiet, frame):
    with quiet.listen() as ear:
        error = ear.ask(**frame, id="x")
    problem = over_http(quiet, frame).json()
    assert (error["type"], error["id"], error["op"]) == ("error", "x", frame["op"])
    assert (error["status"], error["code"]) == (problem["status"], problem["code"])
    if problem["code"] != "invalid_request":
        assert error["detail"] == problem["detail"]


def test_frames_are_taken_in_their_order_without_waiting_for_answers(web):
    with web.listen() as ear:
        for number in range(50):
            ear.send(**placing("S", "sell", "41.00", 1), id=number)
        answers = ear.news(50)
    assert [one["id"] for one in answers] == list(range(50))
    ids = [one["body"]["order_id"] for one in answers]
    assert ids == sorted(ids)


def test_an_array_of_requests_is_answered_as_they_would_be_one_by_one(web):
    named = placing("S", "sell", "41.00", 1, client_order_id="c-1")
    asked = [
        placing("S", "sell", "41.00", 1), placing("S", "sell", "60.00", 1), {"op": "sing"}, 7, [], None,
        named, named, {"op": "cancel", "account_id": "S", "order_id": 999}, placing("B", "buy", "41.00", 2),
        {"op": "cancel_on_disconnect", "account_id": "B"},
    ]  # fmt: skip
    numbered = [one | {"id": number} if isinstance(one, dict) else one for number, one in enumerate(asked)]
    with web.listen() as ear:
        ear.socket.send(" \n" + json.dumps(numbered))
        answers = ear.news(len(asked))
    told = {one["id"]: (one["type"], one["status"], one.get("code")) for one in answers if one["id"] is not None}
    assert told.pop(7)[0] == "answer"
    assert told == {
        0: ("answer", 201, None), 1: ("error", 422, "price_outside_band"), 2: ("error", 422, "unknown_op"),
        6: ("answer", 201, None), 8: ("error", 404, "unknown_order"),
        9: ("answer", 201, None), 10: ("answer", 200, None),
    }  # fmt: skip
    assert [one["code"] for one in answers if one["id"] is None] == ["invalid_request"] * 3
    by_id = {one["id"]: one for one in answers}
    assert by_id[6]["body"]["order_id"] == by_id[7]["body"]["order_id"]
    assert by_id[9]["body"]["filled"] == 2


def test_an_array_takes_so_many_requests_and_none_of_a_longer_one(web):
    beat = {"op": "dead_man", "account_id": "S", "seconds": 0}
    with web.listen() as ear:
        ear.socket.send(json.dumps([beat] * frames.REQUESTS_MAX))
        assert {one["status"] for one in ear.news(frames.REQUESTS_MAX)} == {200}
        ear.socket.send(json.dumps([beat] * (frames.REQUESTS_MAX + 1)))
        assert ear.next()["code"] == "invalid_request"
        ear.send(**placing("S", "sell", "41.00", 1))
        assert ear.next()["type"] == "answer"


def test_an_array_waits_while_too_many_of_its_orders_do(web, monkeypatch):
    monkeypatch.setattr(desk, "UNDER_WAY", 2)
    with web.listen() as ear:
        ear.socket.send(json.dumps([placing("S", "sell", "41.00", 1) | {"id": number} for number in range(20)]))
        assert [one["id"] for one in ear.news(20)] == list(range(20))


def test_no_more_frames_are_read_while_too_many_wait_for_answers(web, monkeypatch):
    monkeypatch.setattr(desk, "UNDER_WAY", 2)
    with web.listen() as ear:
        for number in range(20):
            ear.send(**placing("S", "sell", "41.00", 1), id=number)
        assert [one["id"] for one in ear.news(20)] == list(range(20))


def test_one_hears_of_ones_own_order_on_the_socket_that_placed_it(web):
    with web.listen() as ear:
        ear.subscribe("orders", account_id="S")
        answer = ear.ask(**placing("S", "sell", "41.00", 1))
        told = ear.next()
    assert (told["type"], told["order_id"]) == ("accepted", answer["body"]["order_id"])


def test_a_full_inbox_refuses_on_the_stream_too(web, monkeypatch):
    with web.listen() as ear:
        monkeypatch.setattr(web.gateway.inbox, "room", 0)
        error = ear.ask(**placing("S", "sell", "41.00", 1))
        monkeypatch.undo()
    assert (error["code"], error["status"]) == ("inbox_full", 503)


def test_an_answer_that_can_not_be_told_is_no_matter_of_the_exchange(web, monkeypatch, caplog):
    with web.listen() as ear:
        monkeypatch.setattr(desk, "told_at_first", lambda *_: 1 / 0)
        error = ear.ask(**placing("S", "sell", "41.00", 1), id="a")
        monkeypatch.undo()
        placed = ear.ask(**placing("S", "sell", "41.00", 1))
    assert (error["id"], error["code"], error["status"]) == ("a", "internal_error", 500)
    assert "could not be told" in caplog.text
    assert placed["status"] == 201
    assert len(open_orders(web, "S")) == 2


# ---------------------------------------------------------------- when the owner has gone


def test_orders_go_with_the_socket_that_was_to_take_them_along(web):
    resting = order(web, "S", "sell", "41.00", 5)
    kept = order(web, "B", "buy", "39.00", 5)
    with web.listen() as ear:
        said = ear.ask(op="cancel_on_disconnect", account_id="S", id="cod")
        assert (said["id"], said["body"]) == ("cod", {"account_id": "S", "on": True})
        ear.ask(**placing("S", "sell", "41.50", 5))
    assert eventually(lambda: open_orders(web, "S") == [])
    assert open_orders(web, "B") == [kept]
    assert causes_of(web) == [("S", "disconnected")]
    view = web.get(f"/v1/orders/{resting['order_id']}", params={"account_id": "S"}).json()
    assert (view["status"], view["reason"]) == ("cancelled", "disconnected")


def test_an_order_that_was_under_way_when_the_socket_ended_goes_too(web):
    with web.listen() as ear:
        ear.ask(op="cancel_on_disconnect", account_id="S")
        for _ in range(20):
            ear.send(**placing("S", "sell", "41.50", 1))
    assert eventually(lambda: causes_of(web) == [("S", "disconnected")])
    assert open_orders(web, "S") == []


def test_orders_stay_where_that_was_taken_back_or_never_said(web):
    order(web, "S", "sell", "41.00", 5)
    with web.listen() as ear:
        ear.ask(op="cancel_on_disconnect", account_id="S")
        ear.ask(op="cancel_on_disconnect", account_id="S", on=False)
    time.sleep(0.3)
    assert len(open_orders(web, "S")) == 1


def test_nobody_need_close_the_socket_properly(web):
    order(web, "S", "sell", "41.00", 5)
    with web.listen() as ear:
        ear.ask(op="cancel_on_disconnect", account_id="S")
        ear.socket.socket.close()
        assert eventually(lambda: open_orders(web, "S") == [])


def test_the_dead_mans_orders_are_cancelled_and_he_is_told(web):
    resting = order(web, "S", "sell", "41.00", 5)
    with web.listen() as ear:
        said = ear.ask(op="dead_man", account_id="S", seconds=0.2)
        assert said["body"] == {"account_id": "S", "seconds": 0.2}
        fired = ear.next()
    assert (fired["type"], fired["account_id"], fired["order_ids"]) == (
        "dead_man_fired", "S", [resting["order_id"]],
    )  # fmt: skip
    assert open_orders(web, "S") == [] and causes_of(web) == [("S", "dead_man")]


def test_why_orders_went_is_told_on_every_channel_and_in_the_history(web):
    placed = order(web, "S", "sell", "41.00", 5)
    with web.listen() as ear, web.listen() as watcher:
        ear.subscribe("orders", account_id="S")
        watcher.subscribe("drop_copy")
        ear.ask(op="dead_man", account_id="S", seconds=0.05)
        mine, all_of_it = [one for one in ear.news(3) if one["type"] != "dead_man_fired"], watcher.news(2)
    assert [(one["type"], one["order_id"], one["quantity"], one["reason"]) for one in mine] == [
        ("cancelled", placed["order_id"], 5, "dead_man"), ("orders_cancelled", 0, 1, "dead_man"),
    ]  # fmt: skip
    assert [(one["type"], one["owner"], one["reason"]) for one in all_of_it] == [
        ("cancelled", "S", "dead_man"), ("orders_cancelled", "S", "dead_man"),
    ]  # fmt: skip
    history = web.get(f"/v1/orders/{placed['order_id']}/history", params={"account_id": "S"}).json()
    assert (history[-1]["exec_type"], history[-1]["reason"]) == ("canceled", "dead_man")


def test_the_timer_runs_on_when_the_socket_has_ended(web):
    order(web, "S", "sell", "41.00", 5)
    with web.listen() as ear:
        ear.ask(op="dead_man", account_id="S", seconds=0.5)
    assert len(open_orders(web, "S")) == 1
    assert eventually(lambda: open_orders(web, "S") == [])


def test_who_says_again_that_he_is_there_keeps_his_orders(web):
    order(web, "S", "sell", "41.00", 5)
    with web.listen() as ear:
        ear.ask(op="dead_man", account_id="S", seconds=0.3)
        ear.ask(op="dead_man", account_id="S", seconds=3600)
        time.sleep(0.5)
        assert len(open_orders(web, "S")) == 1
        ear.ask(op="dead_man", account_id="S", seconds=0.3)
        ear.ask(op="dead_man", account_id="S", seconds=0)
        time.sleep(0.5)
    assert len(open_orders(web, "S")) == 1
    assert len(web.app.state.feed.dead_men) == 0


def test_a_socket_that_ends_where_there_is_nothing_to_cancel_harms_nobody(web):
    placed = order(web, "S", "sell", "41.00", 5)
    with web.listen() as ear:
        ear.ask(op="cancel_on_disconnect", account_id="S")
        cancel(web, placed)
    assert eventually(lambda: causes_of(web) == [("S", "disconnected")])


def test_an_exchange_that_stops_in_good_order_cancels_before_it_stops():
    with served() as web:
        order(web, "S", "sell", "41.00", 5)
        gateway = web.gateway
        socket = web.listen()
        socket.__enter__().ask(op="cancel_on_disconnect", account_id="S")
    assert gateway.history.events[-1].reason == Reason.DISCONNECTED
    socket.__exit__(None, None, None)
