"""Orders on the stream: the same shapes and refusals as over HTTP; orders that go when their owner has gone."""

import time

import pytest

from api.stream import desk
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


def commands_of(web):
    return [int(row.kind) for row in web.gateway.history._commands.rows]


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
        before = len(commands_of(web))
    assert eventually(lambda: open_orders(web, "S") == [])
    assert open_orders(web, "B") == [kept]
    assert commands_of(web)[before:] == [4], "one mass cancel, journalled"
    view = web.get(f"/v1/orders/{resting['order_id']}", params={"account_id": "S"}).json()
    assert (view["status"], view["reason"]) == ("cancelled", "by_request")


def test_an_order_that_was_under_way_when_the_socket_ended_goes_too(web):
    with web.listen() as ear:
        ear.ask(op="cancel_on_disconnect", account_id="S")
        for _ in range(20):
            ear.send(**placing("S", "sell", "41.50", 1))
    assert eventually(lambda: commands_of(web)[-1] == 4)
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
    assert open_orders(web, "S") == [] and commands_of(web)[-1] == 4


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
    assert eventually(lambda: commands_of(web)[-1] == 4)


def test_an_exchange_that_stops_in_good_order_cancels_before_it_stops():
    with served() as web:
        order(web, "S", "sell", "41.00", 5)
        gateway = web.gateway
        socket = web.listen()
        socket.__enter__().ask(op="cancel_on_disconnect", account_id="S")
    assert int(gateway.history._commands.rows[-1].kind) == 4
    socket.__exit__(None, None, None)
