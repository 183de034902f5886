"""The front: names of requests, what is counted, health, and who is let in towards the end."""

import asyncio
import base64
import hashlib
import json
import re

import pytest

from api.access.guard import Access
from api.access.keys import KeyFile
from api.app import make_app
from api.inbox import Inbox
from api.life import Life, require_ready
from api.problems import Problem
from exchange.journal import JournalError
from tests.api.conftest import hold_back, running_desk

pytestmark = pytest.mark.anyio
ORDER = {"account_id": "B", "symbol": "HBEA-2025", "side": "buy", "price": "40.00", "quantity": 1}


async def measured(desk):
    """The samples of /metrics by name and labels."""
    answer = await desk.http.get("/metrics")
    assert answer.status_code == 200
    lines = [line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


# ---------------------------------------------------------------- names of requests


async def test_a_request_keeps_the_name_that_its_client_gave_it(desk):
    answer = await desk.http.get("/v1/market", headers={"X-Request-Id": "mine-17"})
    assert answer.headers["x-request-id"] == "mine-17"


@pytest.mark.parametrize("given", [None, "", "two words", "x" * 129, "tüte".encode()])
async def test_else_it_gets_one_of_its_own(desk, given):
    headers = {} if given is None else {"X-Request-Id": given}
    first, second = [(await desk.http.get("/v1/market", headers=headers)).headers["x-request-id"] for _ in range(2)]
    assert first != second
    assert given not in (first, second)


async def test_refusals_and_orders_have_a_name_too(open_desk):
    for path, body in (("/v1/orders", ORDER), ("/v1/orders", {}), ("/nowhere", {})):
        answer = await open_desk.http.post(path, json=body, headers={"X-Request-Id": "n"})
        assert answer.headers["x-request-id"] == "n"


# ---------------------------------------------------------------- health


@pytest.mark.examples
async def test_a_running_exchange_is_ready(desk):
    live, ready = await desk.http.get("/health/live"), await desk.http.get("/health/ready")
    assert (live.status_code, live.json()["status"]) == (200, "ok")
    assert (ready.status_code, ready.json()["sequence"]) == (200, desk.gateway.exchange.sequence)
    assert (await measured(desk))["carbonex_ready"] == 1


async def test_a_full_inbox_is_not_ready_until_there_is_room():
    async with running_desk(inbox=2) as desk:
        await desk.enrol()
        await desk.open()
        held = hold_back(desk.gateway)
        first = [asyncio.create_task(desk.http.post("/v1/orders", json=ORDER))]
        await asyncio.sleep(0.05)  # taken, and held back
        waiting = [*first, *(asyncio.create_task(desk.http.post("/v1/orders", json=ORDER)) for _ in range(2))]
        while desk.gateway.inbox.room:
            await asyncio.sleep(0.001)
        answer = await desk.http.get("/health/ready")
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "inbox_full", "1")
        samples = await measured(desk)
        assert (samples["carbonex_inbox_commands"], samples["carbonex_ready"]) == (2, 0)
        held.set()
        assert {(await one).status_code for one in waiting} == {201}
        assert (await desk.http.get("/health/ready")).status_code == 200


async def test_a_journal_that_cannot_be_written_is_not_ready_and_says_so(desk):
    def fail(batch):
        raise JournalError("journal_unwritable", "the disk is full")

    desk.gateway.engine.record = fail
    refused = await desk.http.post("/v1/accounts/B/deposits", json={"amount": "1.00"})
    assert (refused.status_code, refused.json()["code"]) == (500, "journal_unwritable")
    answer = await desk.http.get("/health/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "journal_unwritable")
    assert (await desk.http.get("/health/live")).status_code == 200


async def test_an_exchange_that_stops_lets_nobody_in_but_those_who_watch_it(open_desk):
    open_desk.gateway.life.stop()
    sequence = open_desk.gateway.exchange.sequence
    for method, path in (("POST", "/v1/orders"), ("GET", "/v1/market"), ("GET", "/")):
        answer = await open_desk.http.request(method, path, json=ORDER)
        assert (answer.status_code, answer.json()["code"]) == (503, "stopping")
        assert answer.headers["retry-after"] == "5" and answer.headers["connection"] == "close"
    assert open_desk.gateway.exchange.sequence == sequence
    ready = await open_desk.http.get("/health/ready")
    assert (ready.status_code, ready.json()["code"]) == (503, "stopping")
    assert (await open_desk.http.get("/health/live")).status_code == 200
    assert (await measured(open_desk))['carbonex_problems_total{code="stopping"}'] == 4


async def test_what_is_under_way_is_answered_before_the_end(open_desk):
    held = hold_back(open_desk.gateway)
    order = asyncio.create_task(open_desk.http.post("/v1/orders", json=ORDER))
    await asyncio.sleep(0.05)
    life = open_desk.gateway.life
    life.stop()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(life.drain(), 0.05)
    drained = asyncio.create_task(life.drain())
    held.set()
    await drained
    assert order.done() and order.result().status_code == 201


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
async def test_an_error_of_ours_is_a_problem_on_either_way(open_desk, monkeypatch, content_type):
    """Orders are answered before the routes, unless their content type says more than usual."""

    def fail(*given):
        raise ValueError("of ours")

    for name in ("offer", "offer_for"):
        monkeypatch.setattr(open_desk.gateway.inbox, name, fail)
    headers = {"content-type": content_type, "x-request-id": "mine"}
    answer = await open_desk.http.post("/v1/orders", content=json.dumps(ORDER), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["x-request-id"] == "mine"
    samples = await measured(open_desk)
    assert samples['carbonex_requests_total{method="POST",route="/v1/orders",status="500"}'] == 1
    assert samples['carbonex_problems_total{code="internal_error"}'] == 1


def test_readiness_names_the_first_reason():
    life, inbox = Life(), Inbox(None, None, lambda: 0, 1)
    require_ready(life, inbox)
    inbox.room = 0
    for code, change in (
        ("inbox_full", lambda: None),
        ("internal_error", lambda: setattr(inbox, "broken", "internal_error")),
        ("stopping", life.stop),
    ):
        change()
        with pytest.raises(Problem) as problem:
            require_ready(life, inbox)
        assert (problem.value.status, problem.value.code) == (503, code)


# ---------------------------------------------------------------- what is counted


async def test_requests_are_counted_by_route_and_nobody_makes_up_new_ones(open_desk):
    for _ in range(3):
        await open_desk.http.get("/v1/accounts/B")
    await open_desk.http.get("/v1/accounts/NOBODY")
    await open_desk.http.post("/v1/orders", json=ORDER)
    await open_desk.http.get("/made/up")
    await open_desk.http.request("MAKEUP", "/v1/market")
    samples = await measured(open_desk)
    route = 'carbonex_requests_total{{method="{}",route="{}",status="{}"}}'
    assert samples[route.format("GET", "/v1/accounts/{account_id}", 200)] == 3
    assert samples[route.format("GET", "/v1/accounts/{account_id}", 404)] == 1
    assert samples[route.format("POST", "/v1/orders", 201)] == 1
    assert samples[route.format("other", "other", 404)] == 1
    assert samples[route.format("other", "other", 405)] == 1
    assert samples['carbonex_problems_total{code="unknown_account"}'] == 1
    assert samples['carbonex_problems_total{code="not_found"}'] == 1
    assert not [name for name in samples if "made" in name or "MAKEUP" in name or "NOBODY" in name]


async def test_groups_refusals_and_the_market_are_measured(open_desk):
    before = await measured(open_desk)
    assert (await open_desk.sell("41.00", 10)).status == "open"
    assert (await open_desk.http.post("/v1/orders", json=ORDER | {"price": "90.00"})).status_code == 422
    assert (await open_desk.http.post("/v1/orders", json=ORDER | {"quantity": 999_999})).status_code == 409
    samples = await measured(open_desk)
    for name in ("batch_commands", "inbox_wait_seconds", "journal_write_seconds", "apply_seconds", "answer_seconds"):
        assert samples[f"carbonex_{name}_count"] - before[f"carbonex_{name}_count"] == 3
        assert samples[f"carbonex_{name}_sum"] > before[f"carbonex_{name}_sum"] >= 0
    assert samples["carbonex_batch_commands_sum"] - before["carbonex_batch_commands_sum"] == 3
    assert samples['carbonex_orders_refused_total{reason="price_outside_band"}'] == 1
    assert samples['carbonex_orders_refused_total{reason="insufficient_cash"}'] == 1
    assert samples["carbonex_open_orders"] == 1
    assert samples["carbonex_last_sequence"] == open_desk.gateway.exchange.sequence
    assert samples["carbonex_journal_bytes"] > before["carbonex_journal_bytes"] > 0
    assert [name for name, value in samples.items() if "market_phase" in name and value] == [
        'carbonex_market_phase{phase="continuous"}'
    ]
    assert (await measured(open_desk))['carbonex_orders_refused_total{reason="insufficient_cash"}'] == 1


async def test_who_measures_has_a_key_for_it_or_the_token(desk, tmp_path):
    keys = KeyFile(tmp_path / "keys", lambda: 1)
    keys.create("operator", "EXCHANGE", "desk")
    access = Access(keys, lambda: 1, metrics_token="0123456789abcdef")
    desk.transport.app = make_app(desk.gateway, access)
    assert (await desk.http.get("/metrics")).json()["code"] == "key_missing"
    for token, status in (("0123456789abcdef", 200), ("0123456789abcdeF", 401), ("", 401)):
        headers = {"Authorization": f"Bearer {token}"}
        assert (await desk.http.get("/metrics", headers=headers)).status_code == status
        assert (await desk.http.get("/v1/market", headers=headers)).status_code == 401
        assert (await desk.http.post("/metrics", headers=headers)).status_code in (401, 404)
    keys.close()


# ---------------------------------------------------------------- what browsers are told


async def test_answers_are_kept_by_nobody_and_framed_by_nobody(open_desk):
    answers = [
        await open_desk.http.get("/v1/market"),
        await open_desk.http.post("/v1/orders", json=ORDER),
        await open_desk.http.post("/v1/orders", json={}),
        await open_desk.http.get("/nowhere"),
        await open_desk.http.get("/health"),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy


async def test_a_page_runs_the_scripts_that_stand_in_it_and_no_others(desk):
    for path in ("/", "/docs", "/redoc", "/asyncapi"):
        answer = await desk.http.get(path)
        [policy] = answer.headers.get_list("content-security-policy")
        parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        assert parts["frame-ancestors"] == parts["form-action"] == parts["base-uri"] == "'none'"
        assert "unsafe" not in parts["script-src"] and "http" not in policy
        scripts = re.findall(r"<script>(.*?)</script>", answer.text, re.S)
        assert len(scripts) == answer.text.count("<script>") == parts["script-src"].count("'sha256-")
        for script in scripts:
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in parts["script-src"]
        for loaded in re.findall(r'(?:src|href)="(/static[^"]+)"', answer.text):
            file = await desk.http.get(loaded)
            assert file.status_code == 200 and file.headers["x-content-type-options"] == "nosniff"
