"""Requests that come again under their key: the same answer, and never the same thing twice."""

import asyncio
import sqlite3
from datetime import date

import pytest

from api.gateway import Gateway
from api.idempotency import RequestFile, marked, token_in
from api.timers import Clock
from exchange.commands import DepositCash, OpenDay, control, decode_control
from exchange.journal import MemoryJournal
from exchange.rules import load_rule_set
from tests.api.conftest import MORNING_NS, Desk, hold_back
from tests.api.test_access import Door, Wall, opened

pytestmark = pytest.mark.anyio
DAY_NS = 24 * 3_600_000_000_000
ORDER = {"account_id": "B", "symbol": "HBEA-2025", "side": "buy", "price": "40.00", "quantity": 10}


def key(name):
    return {"Idempotency-Key": name}


def deposit(desk, name, amount="1.00"):
    return desk.http.post("/v1/accounts/B/deposits", json={"amount": amount}, headers=key(name))


async def cash(desk, account_id="B"):
    return (await desk.client.account(account_id)).holdings[0].settled


def code(response):
    return response.status_code, response.json().get("code", "ok")


# ---------------------------------------------------------------- while it runs


async def test_a_request_that_comes_again_gets_the_first_answer_and_nothing_happens(desk):
    first, other = await deposit(desk, "k"), await deposit(desk, "other")
    digest = await desk.digest()
    again = await deposit(desk, "k")

    assert (again.status_code, again.content) == (201, first.content) != (201, other.content)
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
    assert again.headers["content-type"] == first.headers["content-type"]
    assert await desk.digest() == digest
    assert await cash(desk) == "100002.00"


async def test_without_a_key_every_request_is_a_new_one(desk):
    for _ in range(2):
        await desk.http.post("/v1/accounts/B/deposits", json={"amount": "1.00"})
    assert await cash(desk) == "100002.00"


async def test_a_refusal_is_an_answer_too(desk):
    asked = "/v1/accounts/B/withdrawals", {"amount": "500000.00"}
    first = await desk.http.post(asked[0], json=asked[1], headers=key("k"))
    await desk.client.deposit("B", "900000.00")
    again = await desk.http.post(asked[0], json=asked[1], headers=key("k"))
    assert code(first) == code(again) == (409, "insufficient_cash")
    assert await cash(desk) == "1000000.00"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/accounts/B/deposits", b'{"amount": "2.00"}'),
        ("/v1/accounts/S/deposits", b'{"amount": "1.00"}'),
        ("/v1/accounts/B/withdrawals", b'{"amount": "1.00"}'),
        ("/v1/accounts/B/deposits?x=1", b'{"amount": "1.00"}'),
    ],
)
async def test_a_key_stands_for_one_request(desk, path, body):
    await desk.http.post("/v1/accounts/B/deposits", content=b'{"amount": "1.00"}', headers=JSON | key("k"))
    other = await desk.http.post(path, content=body, headers=JSON | key("k"))
    assert code(other) == (422, "idempotency_key_reused")
    assert (await cash(desk), await cash(desk, "S")) == ("100001.00", "0.00")


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("name", ["", "a b", "x" * 201])
async def test_a_key_is_a_word(desk, name):
    assert code(await deposit(desk, name)) == (422, "idempotency_key_invalid")


async def test_while_the_first_is_under_way_the_second_is_told_to_wait(desk):
    held = hold_back(desk.gateway)
    first = asyncio.ensure_future(deposit(desk, "k"))
    await asyncio.sleep(0.05)
    second, other = await deposit(desk, "k"), await deposit(desk, "k", "2.00")
    assert (code(second), second.headers["Retry-After"]) == ((409, "request_in_progress"), "1")
    assert code(other) == (422, "idempotency_key_reused")
    held.set()
    assert (await first).content == (await deposit(desk, "k")).content
    assert await cash(desk) == "100001.00"


async def test_of_many_at_once_one_is_carried_out(desk):
    answers = await asyncio.gather(*(deposit(desk, "k") for _ in range(20)))
    assert {code(answer) for answer in answers} <= {(201, "ok"), (409, "request_in_progress")}
    assert await cash(desk) == "100001.00"


async def test_an_order_under_a_key_is_placed_once(open_desk):
    first = await open_desk.http.post("/v1/orders", json=ORDER, headers=key("k"))
    again = await open_desk.http.post("/v1/orders", json=ORDER, headers=key("k"))
    assert (first.status_code, again.content) == (201, first.content)
    assert len(await open_desk.client.orders("B")) == 1


async def test_what_was_refused_before_it_was_begun_may_be_asked_again(desk):
    desk.gateway.inbox.broken = "stopping"
    assert code(await deposit(desk, "k")) == (503, "stopping")
    desk.gateway.inbox.broken = None
    assert code(await deposit(desk, "k")) == (201, "ok")
    assert await cash(desk) == "100001.00"


async def test_an_answer_that_breaks_is_not_tried_again(desk, monkeypatch):
    monkeypatch.setattr("api.views.account_view", lambda *_: 1 / 0)
    assert code(await deposit(desk, "k")) == (500, "internal_error")
    monkeypatch.undo()
    assert code(await deposit(desk, "k")) == (409, "request_outcome_unknown")
    assert await cash(desk) == "100001.00"


async def test_what_cant_be_written_down_is_not_done(desk, monkeypatch):
    def full(*_):
        raise sqlite3.OperationalError("disk full")

    monkeypatch.setattr(desk.gateway.requests, "_ask", full)
    assert code(await deposit(desk, "k")) == (503, "requests_unwritable")
    monkeypatch.undo()
    monkeypatch.setattr(desk.gateway.requests, "_answer", full)
    assert code(await deposit(desk, "k")) == (201, "ok")
    assert code(await deposit(desk, "k")) == (409, "request_outcome_unknown")
    assert await cash(desk) == "100001.00"


async def test_each_caller_has_keys_of_its_own_and_a_secret_is_not_kept(tmp_path):
    async with opened(tmp_path) as door:
        named = {"Idempotency-Key": "k"}
        first = await door.ask("operator", "POST", "/v1/accounts/STEEL/deposits", {"amount": "1.00"}, **named)
        mine = await door.ask("trader", "POST", "/v1/orders", ORDER | {"account_id": "STEEL"}, **named)
        again = await door.ask("operator", "POST", "/v1/accounts/STEEL/deposits", {"amount": "1.00"}, **named)
        assert (first.status_code, mine.status_code, again.content) == (201, 201, first.content)
        assert again.headers["RateLimit-Limit"]

        named = {"Idempotency-Key": "new"}
        given = await door.ask("operator", "POST", "/v1/keys", {"role": "auditor"}, **named)
        assert given.json()["secret"]
        keys = len(door.keys.all())
        repeated = await door.ask("operator", "POST", "/v1/keys", {"role": "auditor"}, **named)
        assert code(repeated) == (409, "answer_not_kept")
        assert len(door.keys.all()) == keys
        assert given.json()["secret"].encode() not in b"".join(
            body or b"" for (body,) in door.gateway.requests._db.execute("SELECT body FROM request")
        )


async def test_who_may_not_ask_is_told_so_whatever_the_key(tmp_path):
    async with opened(tmp_path) as door:
        remembered = "SELECT count(*) FROM request"
        before = door.gateway.requests._db.execute(remembered).fetchone()
        for _ in range(2):
            answer = await door.ask(
                "trader", "POST", "/v1/accounts/HEAT/deposits", {"amount": "1.00"}, **{"Idempotency-Key": "k"}
            )
            assert code(answer) == (403, "role_not_permitted")
        assert door.gateway.requests._db.execute(remembered).fetchone() == before


# ---------------------------------------------------------------- after a crash


class Crash(BaseException):
    """The process dies."""


class Life:
    """An exchange that may die: its journal and its file of requests are all that is left of it."""

    def __init__(self, folder):
        self.journal, self.path = MemoryJournal(), folder / "requests"
        self.wall = Wall()

    async def __aenter__(self):
        await self.begin()
        await self.desk.enrol()
        await self.desk.open()
        return self

    async def __aexit__(self, *error):
        await self.end()

    async def begin(self):
        self.requests = RequestFile(self.path, self.wall)
        rules = load_rule_set("hubei") if not self.journal._blocks else None
        gateway = Gateway(self.journal, rules, Clock(MORNING_NS), requests=self.requests)
        self.desk = Desk(gateway)
        self.running = gateway.running()
        await self.running.__aenter__()

    async def end(self):
        await self.running.__aexit__(None, None, None)

    async def crash(self, monkeypatch, at, ask):
        """Die during a request, between writing `at` and what comes next; then begin again."""

        def dying(*_):
            raise Crash

        if at == "before":  # asked, and no more
            monkeypatch.setattr(self.desk.gateway.inbox, "offer", dying)
        elif at == "journalled":  # carried out, no answer written down
            monkeypatch.setattr(self.requests, "_answer", dying)
        with pytest.raises(Crash):
            await ask()
        monkeypatch.undo()
        await self.end()
        await self.begin()


@pytest.fixture
async def life(tmp_path, anyio_backend):
    async with Life(tmp_path) as made:
        yield made


async def test_an_answer_is_found_again_after_a_restart(life):
    first = await deposit(life.desk, "k")
    await life.end()
    await life.begin()
    again = await deposit(life.desk, "k")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert code(await deposit(life.desk, "k", "2.00")) == (422, "idempotency_key_reused")
    assert await cash(life.desk) == "100001.00"


async def test_what_was_asked_and_not_begun_before_a_crash_is_carried_out_by_the_repeat(life, monkeypatch):
    await life.crash(monkeypatch, "before", lambda: deposit(life.desk, "k"))
    assert await cash(life.desk) == "100000.00"
    await life.desk.client.deposit("S", "5.00")  # the journal goes on
    assert code(await deposit(life.desk, "k")) == (201, "ok")
    assert (await deposit(life.desk, "k")).headers["Idempotent-Replayed"] == "true"
    assert await cash(life.desk) == "100001.00"


async def test_what_was_journalled_and_not_answered_is_not_done_again(life, monkeypatch):
    await life.desk.client.deposit("S", "5.00")
    await life.crash(monkeypatch, "journalled", lambda: deposit(life.desk, "k"))
    sequence = (await life.desk.client.state()).sequence
    for _ in range(2):
        again = await deposit(life.desk, "k")
        assert code(again) == (409, "answer_lost")
        assert f"as command {sequence};" in again.json()["detail"]
    assert code(await deposit(life.desk, "k", "2.00")) == (422, "idempotency_key_reused")
    await life.end()
    await life.begin()
    assert code(await deposit(life.desk, "k")) == (409, "answer_lost")
    assert await cash(life.desk) == "100001.00"
    assert code(await deposit(life.desk, "another")) == (201, "ok")


async def test_a_refusal_without_an_answer_is_told_from_the_journal(life, monkeypatch):
    def withdraw():
        asked = {"amount": "900000.00"}
        return life.desk.http.post("/v1/accounts/B/withdrawals", json=asked, headers=key("k"))

    await life.crash(monkeypatch, "journalled", withdraw)
    await life.desk.client.deposit("B", "900000.00")
    again = await withdraw()
    assert (code(again), again.headers["Idempotent-Replayed"]) == ((409, "insufficient_cash"), "true")
    assert await cash(life.desk) == "1000000.00"


@pytest.mark.parametrize("named", [{}, {"client_order_id": "mine"}], ids=["without an id", "with an id of its own"])
async def test_an_order_is_known_by_its_id_after_a_crash(life, monkeypatch, named):
    def place():
        return life.desk.http.post("/v1/orders", json=ORDER | named, headers=key("k"))

    await life.crash(monkeypatch, "journalled", place)
    answers = [await place(), await place()]
    [order] = await life.desk.client.orders("B")
    assert [answer.json()["order_id"] for answer in answers] == [order.order_id] * 2
    assert all(answer.headers["Idempotent-Replayed"] == "true" for answer in answers)


@pytest.mark.parametrize("terms", [{}, {"display_quantity": 10}], ids=["in the fast lane", "by the route"])
async def test_the_orders_of_a_batch_are_known_after_a_crash(life, monkeypatch, terms):
    own = {name: ORDER[name] for name in ORDER if name != "account_id"} | terms
    batch = {"account_id": "B", "orders": [own, own | {"client_order_id": "mine"}, own]}

    def place():
        return life.desk.http.post("/v1/orders/batch", json=batch, headers=key("k"))

    await life.crash(monkeypatch, "journalled", place)
    orders = await life.desk.client.orders("B")
    assert len(orders) == 3
    again = await place()
    assert [one["order_id"] for one in again.json()["orders"]] == [order.order_id for order in orders]
    assert len(await life.desk.client.orders("B")) == 3


async def test_an_order_of_another_day_is_not_placed_after_a_crash(life, monkeypatch):
    def place():
        return life.desk.http.post("/v1/orders", json=ORDER, headers=key("k"))

    await life.crash(monkeypatch, "journalled", place)
    client = life.desk.client
    await client.set_phase("closed")
    await client.settle()
    await life.desk.open("2026-01-06")
    assert code(await place()) == (409, "request_outcome_unknown")
    assert len(await client.orders("B")) == 1


async def test_a_repeat_that_was_not_taken_in_does_not_make_the_first_be_forgotten(life, monkeypatch):
    """Placed, the answer lost in a crash; the repeat finds an exchange that stops. A day later it is no new order."""

    def place():
        return life.desk.http.post("/v1/orders", json=ORDER, headers=key("k"))

    await life.crash(monkeypatch, "journalled", place)
    monkeypatch.setattr(life.desk.gateway.inbox, "broken", "stopping")
    assert code(await place()) == (503, "stopping")
    monkeypatch.undo()
    client = life.desk.client
    await client.set_phase("closed")
    await client.settle()
    await life.desk.open("2026-01-06")
    assert code(await place()) == (409, "request_outcome_unknown")
    assert len(await client.orders("B")) == 1


async def test_a_repeat_whose_day_ends_while_it_waits_is_no_order_of_the_next_day(life, monkeypatch):
    """Placed, the answer lost in a crash; between the repeat's question and its turn in the inbox the day changes."""
    await life.crash(monkeypatch, "journalled", lambda: life.desk.http.post("/v1/orders", json=ORDER, headers=key("k")))
    client, inbox = life.desk.client, life.desk.gateway.inbox
    await client.set_phase("closed")
    await client.settle()
    taken_in = inbox._take_in

    def behind_the_next_day(*waiting):
        monkeypatch.undo()
        inbox._put(control(OpenDay(date(2026, 1, 6))), 1)
        taken_in(*waiting)

    monkeypatch.setattr(inbox, "_take_in", behind_the_next_day)
    repeated = await life.desk.http.post("/v1/orders", json=ORDER, headers=key("k"))
    assert life.desk.gateway.exchange.date == date(2026, 1, 6)
    assert code(repeated) == (409, "request_outcome_unknown")
    assert len(await client.orders("B")) == 1
    assert inbox._of_a_day == 0
    await client.set_phase("continuous")
    assert code(await life.desk.http.post("/v1/orders", json=ORDER, headers=key("another"))) == (201, "ok")


async def test_of_keys_no_journal_tells(tmp_path, monkeypatch):
    door = Door(tmp_path)
    async with door.gateway.running(), door.http:
        await door.enrol()

        def dying(*_):
            raise Crash

        monkeypatch.setattr(door.gateway.requests, "_answer", dying)
        named = {"Idempotency-Key": "k"}
        with pytest.raises(Crash):
            await door.ask("operator", "POST", "/v1/keys", {"role": "auditor"}, **named)
        monkeypatch.undo()
        keys = len(door.keys.all())
        door.gateway.requests.lost.clear()  # as a new process has it
        answer = await door.ask("operator", "POST", "/v1/keys", {"role": "auditor"}, **named)
        assert code(answer) == (409, "request_outcome_unknown")
        assert len(door.keys.all()) == keys
    door.keys.close()


async def test_a_key_outlives_its_day_and_the_next_but_not_the_one_after_that(life):
    async def next_day(day):
        await life.desk.client.set_phase("closed")
        await life.desk.client.settle()
        await life.desk.open(day)
        await deposit(life.desk, f"on {day}".replace(" ", "-"))

    await deposit(life.desk, "k")
    life.wall.now_ns += 2 * DAY_NS
    await next_day("2026-01-06")
    assert (await deposit(life.desk, "k")).headers.get("Idempotent-Replayed") == "true"
    await next_day("2026-01-07")
    assert (await deposit(life.desk, "k")).headers.get("Idempotent-Replayed") is None


async def test_a_fast_market_forgets_nothing_within_a_day_of_the_wall_clock(life):
    await deposit(life.desk, "k")
    for day in ("2026-01-06", "2026-01-07", "2026-01-08"):
        await life.desk.client.set_phase("closed")
        await life.desk.client.settle()
        await life.desk.open(day)
        assert (await deposit(life.desk, "k")).headers["Idempotent-Replayed"] == "true"


async def test_a_command_from_before_the_question_is_not_its_own(life, monkeypatch):
    """A key that was forgotten and is used anew."""
    await deposit(life.desk, "k")
    life.requests._db.execute("DELETE FROM request")
    await life.crash(monkeypatch, "before", lambda: deposit(life.desk, "k"))
    assert code(await deposit(life.desk, "k")) == (201, "ok")
    assert await cash(life.desk) == "100002.00"


async def test_what_was_asked_of_a_journal_that_is_gone_is_forgotten(life):
    await deposit(life.desk, "k")
    await life.end()
    life.journal = MemoryJournal()
    await life.begin()
    await life.desk.enrol()
    assert code(await deposit(life.desk, "k")) == (201, "ok")
    assert await cash(life.desk) == "100001.00"


async def test_the_process_may_die_again_and_again(life, monkeypatch):
    """Asked twice, carried out by the second, found by the third."""
    await life.crash(monkeypatch, "before", lambda: deposit(life.desk, "k"))
    await life.crash(monkeypatch, "journalled", lambda: deposit(life.desk, "k"))
    assert code(await deposit(life.desk, "k")) == (409, "answer_lost")
    assert await cash(life.desk) == "100001.00"


# ---------------------------------------------------------------- the token in the journal


def test_a_command_is_the_same_with_a_token_or_without():
    for command in (DepositCash("B", 100, ""), OpenDay(date(2026, 1, 5))):
        plain = control(command)
        assert marked(plain) == plain
        assert token_in(plain.detail) == ""


def test_no_text_of_a_command_looks_like_a_token():
    token = "f" * 32
    command = DepositCash(f'x","request":"{token}"', 1, f'","request":"{token}')
    detail = control(command).detail
    assert token_in(detail) == ""
    tagged = detail[:-1] + f',"request":"{token}"'.encode() + b"}"
    assert token_in(tagged) == token
    assert decode_control(tagged) == command
    assert token_in(b"") == token_in(b'"}') == ""
