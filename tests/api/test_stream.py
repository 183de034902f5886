"""The stream: how things stand, in band, then every event after it, in order and without a gap."""

import json

import pytest

from api.local_book import LocalBook
from api.routers import stream
from api.stream import books, channels, feed, frames
from tests.api.streaming import SYMBOL, amend, cancel, open_orders, order, phase, post, served


@pytest.fixture
def web():
    with served() as client:
        yield client


def is_chain(opening, messages):
    """Whether no message is missing after an opening."""
    seqs = [opening["seq"], *(one["seq"] for one in messages)]
    sessions = {one["session_id"] for one in [opening, *messages]}
    return [one["prev_seq"] for one in messages] == seqs[:-1] and len(sessions) == 1


def test_trades_are_told_with_gapless_numbers(web):
    with web.listen() as ear:
        opening = ear.subscribe("trades")
        for _ in range(3):
            order(web, "S", "sell", "40.00", 5)
            order(web, "B", "buy", "40.00", 5)
        messages = ear.news(3)

    assert is_chain(opening, messages)
    assert [(message["price"], message["quantity"], message["trade_id"]) for message in messages] == [
        ("40.00", 5, 1), ("40.00", 5, 2), ("40.00", 5, 3),
    ]  # fmt: skip
    assert {message["aggressor"] for message in messages} == {"buy"}
    assert "account" not in json.dumps(messages)


class Follower:
    """A book kept from the stream, as a client would."""

    def __init__(self, ear):
        self.ear = ear
        self.opening = ear.subscribe("book.l3")
        self.book = LocalBook()
        self.heard = []
        for part in ear.standing:
            self.book.apply(part)
        assert self.book.seq == self.opening["seq"]

    def follow(self, seq):
        """Hear everything up to an event."""
        while self.book.seq < seq or (self.heard and not self.heard[-1].get("flags", 128) & 128):
            self.heard.append(self.ear.next())
            self.book.apply(self.heard[-1])

    def levels(self, side):
        return {one.price: one.quantity for one in self.book.levels(side)}

    def told(self):
        return [one["action"] for one in self.heard if one["type"] == "book"]


def check(follower, client):
    """The book kept from the stream is the exchange's, and what a newcomer is told at first."""
    with client.listen() as ear:
        newcomer = Follower(ear)
    follower.follow(newcomer.book.seq)
    assert list(follower.book) == list(newcomer.book)
    shown = client.get(f"/v1/books/{SYMBOL}").json()
    for side, levels in (("B", shown["bids"]), ("A", shown["asks"])):
        assert [one._asdict() for one in follower.book.levels(side)] == levels


def test_a_book_kept_from_the_stream_equals_the_exchanges_book(web):
    order(web, "S", "sell", "41.00", 30)
    with web.listen() as ear:
        book = Follower(ear)
        order(web, "S", "sell", "40.50", 20)
        gone = order(web, "B", "buy", "39.00", 7)
        check(book, web)
        order(web, "B", "buy", "40.50", 25)
        check(book, web)
        cancel(web, gone)
        check(book, web)
    assert book.levels("B") == {"40.50": 5} and book.levels("A") == {"41.00": 30}
    assert book.told() == ["A", "A", "T", "F", "C", "A", "C"]
    assert [one["flags"] for one in book.heard] == [128, 128, 0, 0, 0, 128, 128]
    assert "account" not in json.dumps(book.heard)


def test_the_streams_book_follows_amends_icebergs_and_prevented_trades(web):
    post(web, "/v1/accounts/S/deposits", amount="10000.00")
    with web.listen() as ear:
        book = Follower(ear)
        iceberg = order(web, "S", "sell", "41.00", 100, display_quantity=10)
        check(book, web)
        order(web, "B", "buy", "41.00", 15)
        check(book, web)
        assert book.levels("A") == {"41.00": 5}
        amend(web, iceberg, quantity=60)
        check(book, web)
        assert book.levels("A") == {"41.00": 5}
        amend(web, iceberg, quantity=60, price="40.80")
        check(book, web)
        assert book.levels("A") == {"40.80": 10}
        order(web, "S", "buy", "40.80", 55, self_trade_prevention="decrement")
        check(book, web)
        assert book.levels("A") == {"40.80": 5}


def test_the_streams_book_shows_a_stop_order_once_it_is_triggered(web):
    with web.listen() as ear:
        book = Follower(ear)
        order(web, "B", "buy", "39.00", 50)
        order(web, "S", "sell", "38.50", 100, type="stop_limit", stop_price="39.50")
        check(book, web)
        assert book.levels("A") == {}
        order(web, "S", "sell", "39.00", 10)
        check(book, web)
    assert (book.levels("B"), book.levels("A")) == ({}, {"38.50": 60})


def test_the_streams_book_follows_a_call_and_its_auction(web):
    with web.listen() as ear:
        book = Follower(ear)
        phase(web, "call")
        order(web, "S", "sell", "39.00", 100, display_quantity=30)
        order(web, "B", "buy", "41.00", 80)
        check(book, web)
        assert (book.levels("B"), book.levels("A")) == ({"41.00": 80}, {"39.00": 30})
        phase(web, "continuous")
        check(book, web)
        assert (book.levels("B"), book.levels("A")) == ({}, {"39.00": 10})


def test_nobody_hears_of_what_is_hidden(web):
    with web.listen() as ear:
        ear.subscribe("book.l3")
        ear.subscribe("trades")
        iceberg = order(web, "S", "sell", "41.00", 777, display_quantity=10)
        stop = order(web, "S", "sell", "38.88", 99, type="stop_limit", stop_price="39.50")
        order(web, "B", "buy", "44.00", 20, time_in_force="IOC")
        amend(web, stop, quantity=98)
        amend(web, iceberg, quantity=707)
        order(web, "B", "buy", "38.00", 1)
        heard = ear.news(12)
    told = [message["action"] for message in heard if message["channel"] == "book.l3"]
    assert told == ["A", "T", "F", "C", "A", "T", "F", "C", "A", "A"]
    said = {str(value) for message in heard for value in message.values()}
    assert not said & {"777", "767", "757", "707", "38.88", "39.50", "99", "98", "44.00"}
    assert "leaves" not in json.dumps(heard)


def test_everybody_hears_what_becomes_of_a_trade_and_its_parties_hear_their_fee(web):
    with web.listen() as ear, web.listen() as private:
        opening = ear.subscribe("trades")
        private.subscribe("orders", account_id="S")
        order(web, "S", "sell", "40.00", 5)
        order(web, "B", "buy", "40.00", 5)
        post(web, "/v1/trades/corrections", by="EXCHANGE", corrections=[{"trade_id": 1, "quantity": 4}], reason="typo")
        post(web, "/v1/trades/busts", by="EXCHANGE", trade_ids=[1], reason="wrong book")
        messages, told = ear.news(3), private.news(4)

    assert [(one["type"], one["quantity"], one["status"], one.get("reason")) for one in messages] == [
        ("traded", 5, "regular", None), ("trade_corrected", 4, "corrected", "typo"),
        ("trade_busted", 4, "busted", "wrong book"),
    ]  # fmt: skip
    assert is_chain(opening, messages)
    assert [(one["type"], one["side"], one["trade_id"], one["fee"], one["leaves"]) for one in told[2:]] == [
        ("trade_corrected", "sell", 1, "0.80", 0), ("trade_busted", "sell", 1, "0.00", 0),
    ]  # fmt: skip


def test_a_book_kept_from_the_stream_does_not_mind_corrections(web):
    with web.listen() as ear:
        follower = Follower(ear)
        order(web, "S", "sell", "40.00", 10)
        order(web, "B", "buy", "40.00", 4)
        post(web, "/v1/trades/busts", by="EXCHANGE", trade_ids=[1], reason="wrong book")
        order(web, "B", "buy", "39.00", 3)
        follower.follow(5)

    assert [(one.side, one.size) for one in follower.book] == [("B", 3), ("A", 6)]


def test_an_auctions_trades_have_no_aggressor(web):
    with web.listen() as public, web.listen() as private:
        public.subscribe("trades")
        private.subscribe("orders", account_id="S")
        phase(web, "call")
        seller = order(web, "S", "sell", "39.00", 100)
        buyer = order(web, "B", "buy", "41.00", 80)
        phase(web, "continuous")
        [trade] = public.news(1)
        _, fill = private.news(2)
    assert (trade["price"], trade["quantity"], trade["aggressor"]) == ("40.00", 80, None)
    assert (trade["buy_order_id"], trade["sell_order_id"]) == (buyer["order_id"], seller["order_id"])
    assert (fill["order_id"], fill["side"], fill["leaves"]) == (seller["order_id"], "sell", 20)
    assert (fill["aggressor"], fill["liquidity"], fill["reason"]) == (None, None, "auction")


def test_an_account_hears_what_becomes_of_its_orders(web):
    post(web, "/v1/accounts/S/deposits", amount="10000.00")
    with web.listen() as ear:
        ear.subscribe("orders", account_id="S")
        resting = order(web, "S", "sell", "41.00", 100, display_quantity=10)
        amend(web, resting, quantity=60)
        order(web, "S", "buy", "41.00", 20, self_trade_prevention="decrement")
        order(web, "B", "buy", "41.00", 10)
        web.delete("/v1/orders", params={"account_id": "S", "symbol": "HBEA-2025"})
        messages = ear.news(9)

    told = [(message["type"], message["quantity"], message["leaves"]) for message in messages]
    assert told == [
        ("accepted", 100, 100), ("amended", 60, 60), ("accepted", 20, 20), ("prevented", 20, 0), ("prevented", 20, 40),
        ("traded", 10, 30), ("refreshed", 10, 30), ("cancelled", 30, 0), ("orders_cancelled", 1, 0),
    ]  # fmt: skip
    assert messages[1]["priority"] == "kept"
    assert (messages[8]["side"], messages[8]["price"]) == (None, None)
    assert [(message["side"], message["reason"]) for message in messages[3:5]] == [
        ("buy", "self_trade"), ("sell", "self_trade"),
    ]  # fmt: skip


def test_an_account_hears_of_its_own_orders_only(web):
    with web.listen() as ear:
        ear.subscribe("orders", account_id="S")
        order(web, "B", "buy", "39.00", 1)
        order(web, "S", "sell", "39.00", 1)
        messages = ear.news(2)
    assert [message["type"] for message in messages] == ["accepted", "traded"]


def test_each_event_of_an_order_says_what_its_owner_calls_it(web):
    with web.listen() as ear, web.listen() as watcher:
        ear.subscribe("orders", account_id="S")
        watcher.subscribe("drop_copy")
        resting = order(web, "S", "sell", "41.00", 100, client_order_id="s-1")
        amend(web, resting, quantity=60)
        order(web, "B", "buy", "41.00", 10, client_order_id="b-1")
        order(web, "B", "buy", "41.00", 10)
        web.post("/v1/orders", json={
            "account_id": "S", "symbol": "HBEA-2025", "side": "sell", "price": "99.00", "quantity": 1,
            "client_order_id": "s-2",
        })  # fmt: skip
        assert web.delete(f"/v1/orders/{resting['order_id']}", params={"account_id": "B"}).status_code == 404
        cancel(web, resting)
        mine, all_of_it = ear.news(6), watcher.news(9)
    assert [(one["type"], one["client_order_id"]) for one in mine] == [
        ("accepted", "s-1"), ("amended", "s-1"), ("traded", "s-1"), ("traded", "s-1"), ("refused", "s-2"),
        ("cancelled", "s-1"),
    ]  # fmt: skip
    assert [(one["type"], one["owner"], one["client_order_id"], one["maker_client_order_id"]) for one in all_of_it] == [
        ("accepted", "S", "s-1", None), ("amended", "S", "s-1", None), ("accepted", "B", "b-1", None),
        ("traded", "B", "b-1", "s-1"), ("accepted", "B", None, None), ("traded", "B", None, "s-1"),
        ("refused", "S", "s-2", None), ("cancel_refused", "B", None, None), ("cancelled", "S", "s-1", None),
    ]  # fmt: skip


def test_a_symbol_named_besides_does_not_open_anothers_channel(web):
    with web.listen() as first, web.listen() as second:
        first.ask(op="subscribe", channel="orders", symbol="B", account_id="S")
        second.subscribe("orders", account_id="B")
        order(web, "S", "sell", "39.00", 1)
        order(web, "B", "buy", "38.00", 1)
        messages = second.news(1)
    assert [(message["type"], message["side"]) for message in messages] == [("accepted", "buy")]


def test_a_maker_hears_of_a_fill_from_its_own_side(web):
    resting = order(web, "S", "sell", "40.00", 100)
    with web.listen() as ear:
        ear.subscribe("orders", account_id="S")
        order(web, "B", "buy", "40.00", 30)
        [fill] = ear.news(1)
    assert (fill["order_id"], fill["side"], fill["quantity"], fill["leaves"]) == (resting["order_id"], "sell", 30, 70)
    assert (fill["liquidity"], fill["aggressor"]) == ("maker", "buy")


def test_two_listeners_hear_the_same(web):
    with web.listen() as one, web.listen() as other:
        for ear in (one, other):
            ear.subscribe("book.l3")
        order(web, "S", "sell", "40.00", 5)
        order(web, "B", "buy", "40.00", 5)
        assert one.news(4) == other.news(4)


# ---------------------------------------------------------------- slow consumers


def test_a_listener_who_falls_behind_is_told_and_closed(web, monkeypatch, caplog):
    monkeypatch.setattr(channels, "KEPT", 2)
    monkeypatch.setattr(stream, "TICK_S", 0.5)
    with web.listen() as ear:
        ear.subscribe("trades")
        for _ in range(12):
            order(web, "S", "sell", "40.00", 1)
            order(web, "B", "buy", "40.00", 1)
            with web.listen() as hurried:  # another listener moves the channel on
                hurried.subscribe("trades")
        heard, code = ear.until_closed()
        last = web.get("/v1/trades", params={"symbol": SYMBOL, "newest": 1}).json()["trades"][0]
    assert code == stream.TOO_SLOW
    error = heard[-1]
    assert (error["code"], error["channel"]) == ("too_slow", "trades")
    assert ear.socket.close_reason == f"too_slow trades {error['last_seq']}"
    assert last["trade_id"] <= 12 and error["last_seq"] > 0
    measured = web.get("/metrics").text
    assert 'carbonex_stream_disconnects_total{why="too_slow"} 1.0' in measured
    assert "carbonex_stream_subscribers 0.0" in measured
    [line] = [one for one in caplog.records if one.getMessage() == "slow subscriber"]
    assert (line.channel, line.last_seq, line.levelname) == ("trades", error["last_seq"], "WARNING")


def test_who_listens_and_what_he_is_refused_is_measured(web):
    with web.listen() as ear:
        ear.subscribe("trades")
        ear.subscribe("book.l2")
        assert ear.ask(op="subscribe", channel="trades", symbol="NONE")["code"] == "unknown_instrument"
        measured = web.get("/metrics").text
    assert "carbonex_stream_subscribers 1.0" in measured
    assert 'carbonex_stream_subscriptions{channel="trades"} 1.0' in measured
    assert 'carbonex_problems_total{code="unknown_instrument"} 1.0' in measured


def test_heartbeats_tell_how_far_each_channel_has_come_and_how_much_waits(web):
    with web.listen() as ear:
        ear.subscribe("trades")
        ear.subscribe("orders", account_id="S")
        order(web, "S", "sell", "40.00", 1)
        order(web, "B", "buy", "40.00", 1)
        _, fill, trade = sorted(ear.news(3), key=lambda one: (one["channel"], one["seq"]))
        beat = ear.beat()
    assert [(one["channel"], one["last_seq"]) for one in beat["channels"]] == [
        ("trades", trade["seq"]), ("orders", fill["seq"]),
    ]  # fmt: skip
    assert (beat["channels"][0]["symbol"], beat["channels"][1]["account_id"]) == (SYMBOL, "S")
    assert beat["queue_depth"] == 0 and beat["session_id"] == trade["session_id"]


# ---------------------------------------------------------------- subscriptions


def test_who_unsubscribes_hears_no_more_and_may_subscribe_again(web):
    with web.listen() as ear:
        ear.subscribe("trades")
        order(web, "S", "sell", "40.00", 2)
        order(web, "B", "buy", "40.00", 1)
        assert ear.next()["quantity"] == 1
        assert ear.ask(op="unsubscribe", channel="trades", symbol=SYMBOL, id="u")["type"] == "unsubscribed"
        order(web, "B", "buy", "40.00", 1)
        assert ear.beat()["channels"] == []
        opening = ear.subscribe("trades")
        order(web, "S", "sell", "40.00", 3)
        order(web, "B", "buy", "40.00", 3)
        [trade] = ear.news(1)
    assert (trade["quantity"], trade["prev_seq"]) == (3, opening["seq"])


REFUSED = {
    "malformed_json": "not json",
    "frame_not_text": b"\x00\xff",
    "unknown_op": '{"op": "sing"}',
    "unknown_channel": '{"op": "subscribe", "channel": "gossip"}',
    "invalid_request": '{"op": "subscribe", "channel": "trades", "louder": true}',
    "unknown_instrument": '{"op": "subscribe", "channel": "trades"}',
    "unknown_account": '{"op": "subscribe", "channel": "orders", "account_id": "X"}',
    "not_subscribed": '{"op": "unsubscribe", "channel": "trades", "symbol": "HBEA-2025"}',
    "not_replayable": '{"op": "replay", "channel": "book.l2", "symbol": "HBEA-2025", "from_seq": 1, "to_seq": 2}',
    "frame_too_large": '{"op": "' + "x" * frames.FRAME_MAX + '"}',
}


@pytest.fixture(scope="module")
def quiet():
    with served() as client:
        yield client


@pytest.mark.parametrize("code", REFUSED)
def test_bad_frames_get_an_error_and_the_socket_lives_on(quiet, code):
    with quiet.listen() as ear:
        ear.socket.send(REFUSED[code])
        error = ear.next()
        assert (error["type"], error["code"]) == ("error", code)
        assert ear.subscribe("trades")["type"] == "subscribed"


@pytest.mark.parametrize(
    "frame",
    [
        "[]",
        "[{]",
        "[7",
        '["\\ud800"]',
        "null",
        '"op"',
        "{}",
        "[" * 5000,
        '{"op": "cancel", "order_id": 1e400}',
        '"\\ud800"',
    ],
)
def test_nonsense_gets_an_error_and_the_socket_lives_on(quiet, frame):
    with quiet.listen() as ear:
        ear.socket.send(frame)
        assert ear.next()["type"] == "error"
        assert ear.subscribe("trades")["type"] == "subscribed"


def test_an_error_names_the_frame_that_it_answers(quiet):
    with quiet.listen() as ear:
        error = ear.ask(op="subscribe", channel="gossip", id="q-1")
        assert (error["id"], error["op"], error["status"]) == ("q-1", "subscribe", 422)
        assert "'trades'" in error["detail"]


def test_a_channel_is_subscribed_once(quiet):
    with quiet.listen() as ear:
        ear.subscribe("book.l3")
        assert ear.ask(op="subscribe", channel="book.l3", symbol=SYMBOL)["code"] == "already_subscribed"


def test_a_socket_listens_to_so_many_channels(quiet, monkeypatch):
    monkeypatch.setattr("api.stream.desk.CHANNELS", 1)
    with quiet.listen() as ear:
        ear.subscribe("book.l3")
        assert ear.ask(op="subscribe", channel="trades", symbol=SYMBOL)["code"] == "too_many_subscriptions"


# ---------------------------------------------------------------- replays


def test_what_was_missed_can_be_heard_again(web):
    with web.listen() as ear:
        opening = ear.subscribe("book.l3")
        for price in ("40.10", "40.20", "40.30"):
            order(web, "S", "sell", price, 1)
        order(web, "B", "buy", "40.10", 1)
        heard = ear.news(6)
        first, last = heard[1]["seq"], heard[-1]["seq"]
        again = ear.ask(op="replay", channel="book.l3", symbol=SYMBOL, from_seq=first, to_seq=last, id=7)
        whole = ear.ask(op="replay", channel="book.l3", symbol=SYMBOL, from_seq=opening["seq"] + 1, to_seq=last + 99)
        nothing = ear.ask(op="replay", channel="book.l3", symbol=SYMBOL, from_seq=last + 1, to_seq=last + 9)
    assert (again["id"], again["messages"], again["to_seq"]) == (7, heard[1:], last)
    assert (whole["messages"], whole["to_seq"]) == (heard, last)
    assert nothing["messages"] == []


def test_a_long_replay_comes_in_parts(web, monkeypatch):
    monkeypatch.setattr(channels, "REPLAYED", 2)
    with web.listen() as ear:
        opening = ear.subscribe("book.l3")
        order(web, "S", "sell", "40.10", 2)
        order(web, "B", "buy", "40.10", 1)
        order(web, "S", "sell", "40.20", 1)
        heard, again, seq = ear.news(5), [], opening["seq"]
        while seq < heard[-1]["seq"]:
            part = ear.ask(op="replay", channel="book.l3", symbol=SYMBOL, from_seq=seq + 1, to_seq=10**9)
            again += part["messages"]
            seq = part["to_seq"]
    assert again == heard


def test_a_replay_goes_forward(quiet):
    with quiet.listen() as ear:
        asked = {"op": "replay", "channel": "trades", "symbol": SYMBOL, "from_seq": 2, "to_seq": 1}
        assert ear.ask(**asked)["code"] == "invalid_request"


# ---------------------------------------------------------------- the other channels


def test_the_book_sums_up_every_so_many_events(web, monkeypatch):
    monkeypatch.setattr(books, "CHECKED", 2)
    with web.listen() as ear:
        book = Follower(ear)
        for price in ("40.10", "40.20", "40.30", "40.40"):
            order(web, "S", "sell", price, 1)
        check(book, web)
        book.heard.append(ear.next())
        book.book.apply(book.heard[-1])
    sums = [one for one in book.heard if one["type"] == "checksum"]
    assert [one["orders"] for one in sums] == [2, 4] and book.book.checked == 2
    assert all(one["seq"] == one["prev_seq"] for one in sums)


def test_an_account_hears_of_its_fills(web):
    with web.listen() as ear:
        opening = ear.subscribe("fills", account_id="S")
        resting = order(web, "S", "sell", "40.00", 10, client_order_id="mine")
        order(web, "B", "buy", "40.00", 4)
        order(web, "B", "buy", "40.00", 6)
        post(web, "/v1/trades/busts", by="EXCHANGE", trade_ids=[1], reason="wrong book")
        fills = ear.news(3)
    assert is_chain(opening, fills)
    assert [(one["exec_type"], one["last_qty"], one["cum_qty"], one["leaves_qty"], one["fee"]) for one in fills] == [
        ("F", 4, 4, 6, "0.80"), ("F", 6, 10, 0, "1.20"), ("H", 4, 10, 0, "0.00"),
    ]  # fmt: skip
    assert {(one["order_id"], one["client_order_id"], one["last_px"], one["side"]) for one in fills} == {
        (resting["order_id"], "mine", "40.00", "sell")
    }
    assert (fills[0]["liquidity"], fills[2]["reason"]) == ("maker", "wrong book")


def test_who_subscribes_to_its_orders_hears_first_which_are_open(web):
    order(web, "S", "sell", "40.00", 1)
    resting = order(web, "S", "sell", "41.00", 10)
    order(web, "B", "buy", "40.00", 1)
    with web.listen() as ear:
        ear.subscribe("orders", account_id="S")
        assert ear.standing[0]["orders"] == open_orders(web, "S") == [resting]


def test_an_account_hears_what_it_holds(web):
    def held():
        return web.get("/v1/accounts/B").json()["holdings"]

    with web.listen() as ear:
        opening = ear.subscribe("balances", account_id="B")
        assert ear.standing[0]["holdings"] == held()
        order(web, "S", "sell", "41.00", 1)
        order(web, "B", "buy", "40.00", 10)
        [told] = ear.news(1)
        assert told["holdings"] == held()
        assert is_chain(opening, [told]) and told["seq"] == web.get("/v1/state").json()["sequence"]


def test_everybody_hears_why_an_instrument_is_halted_and_what_ends_it(web):
    with web.listen() as ear:
        opening = ear.subscribe("status")
        assert (ear.standing[0]["phase"], ear.standing[0]["until"]) == ("continuous", None)
        post(web, "/v1/market/halts", symbol=SYMBOL, reason="News pending")
        halted = ear.next()
        web.delete("/v1/market/halts", params={"symbol": SYMBOL, "reason": "no news"})
        resumed = ear.next()
        web.put("/v1/timers", json={"running": True})
        timed = ear.next()
        web.put("/v1/timers", json={"running": False})
    assert (halted["phase"], halted["reason"], halted["exit_condition"]) == ("halted", "News pending", "ResumeTrading")
    assert (resumed["phase"], resumed["reason"]) == ("continuous", None)
    assert (timed["until"], timed["exit_condition"]) == ("2026-01-05T11:30:00+08:00", "BreakSession")
    assert is_chain(opening, [halted, resumed, timed])


def test_everybody_hears_what_an_auction_would_come_to(web):
    with web.listen() as ear:
        ear.subscribe("auction")
        assert (ear.standing[0]["phase"], ear.standing[0]["price"]) == ("continuous", None)
        phase(web, "call")
        assert (ear.next()["phase"]) == "call"
        order(web, "S", "sell", "39.00", 100)
        order(web, "B", "buy", "41.00", 80)
        crossed = ear.next()
        shown = web.get(f"/v1/instruments/{SYMBOL}/auction").json()
        phase(web, "continuous")
        over = ear.next()
    assert {name: crossed[name] for name in shown} == shown
    assert (crossed["price"], crossed["volume"], crossed["imbalance"]) == ("40.00", 80, -20)
    assert (over["phase"], over["price"], over["volume"]) == ("continuous", None, 0)


def test_an_account_hears_how_its_settlement_goes(web):
    order(web, "S", "sell", "40.00", 10)
    order(web, "B", "buy", "40.00", 10)
    with web.listen() as ear:
        ear.subscribe("settlement", account_id="B")
        assert ear.standing[0]["batch"] is None
        phase(web, "closed")
        post(web, "/v1/settlement/batches")
        fixed = ear.next()
        post(web, "/v1/settlement/batches/1/instructions")
        instructed = ear.next()
    assert (fixed["batch"], fixed["stage"], fixed["trade_ids"]) == (1, "fixed", [1])
    assert (instructed["stage"], instructed["failed"]) == ("instructed", [])


def test_what_is_read_over_http_can_be_joined_with_the_stream(web):
    with web.listen() as ear:
        opening = ear.subscribe("orders", account_id="S")
        first = order(web, "S", "sell", "41.00", 1)
        read = web.get("/v1/orders", params={"account_id": "S", "open_only": True})
        second = order(web, "S", "sell", "42.00", 1)
        told = ear.news(2)
    at_seq = int(read.headers["carbonex-event"])
    assert at_seq == web.get(f"/v1/books/{SYMBOL}").json()["seq"] - 1 > opening["seq"]
    assert read.json() == [first]
    assert [one["order_id"] for one in told if one["seq"] <= at_seq] == [first["order_id"]]
    assert [one["order_id"] for one in told if one["seq"] > at_seq] == [second["order_id"]]


def test_the_drop_copy_tells_of_everybodys_orders_with_their_accounts(web):
    with web.listen() as ear:
        opening = ear.subscribe("drop_copy")
        order(web, "S", "sell", "40.00", 1)
        order(web, "B", "buy", "40.00", 1)
        told = ear.news(3)
    assert is_chain(opening, told)
    assert [(one["type"], one["owner"], one["maker"]) for one in told] == [
        ("accepted", "S", None), ("accepted", "B", None), ("traded", "B", "S"),
    ]  # fmt: skip


def test_a_large_book_comes_in_parts(web, monkeypatch):
    monkeypatch.setattr(books, "PART", 2)
    for price in ("40.10", "40.20", "40.30", "40.40"):
        order(web, "S", "sell", price, 1)
    with web.listen() as ear:
        book = Follower(ear)
        check(book, web)
    assert [len(one["records"]) for one in ear.standing] == [2, 2, 1]
    assert len(book.book) == 4


def test_much_news_comes_in_several_frames(web, monkeypatch):
    monkeypatch.setattr(feed, "FRAME_MESSAGES", 2)
    monkeypatch.setattr(stream, "TICK_S", 0.5)
    with web.listen() as ear:
        ear.subscribe("orders", account_id="S")
        for _ in range(5):
            order(web, "S", "sell", "41.00", 1)
        sizes = [len(json.loads(ear.socket.recv(timeout=10))) for _ in range(2)]
    assert max(sizes) == 2
