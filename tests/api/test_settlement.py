"""Statements over HTTP, by the client: read in three formats, confirmed, objected to, answered, added up."""

import csv
import io
import re
from datetime import date
from decimal import Decimal

import msgspec
import pytest

from api.app import make_app
from api.client import ApiError, AsyncClient
from api.routers.settlement import preferred
from api.settlement_views import names
from api.tables import table_of
from api.timers import Clock
from exchange.commands import AgreeDelivery, CureFailure, DeliverBatch, FixObligations, IssueStatements
from exchange.journal import MemoryJournal
from exchange.rules import load_rule_set
from exchange.sessions import opening_ns
from settlement.rules import SettlementRules
from settlement.statement_files import read_csv
from tests.api.conftest import MORNING_NS, desk_on, running_desk
from tests.api.test_registry import Walked

pytestmark = pytest.mark.anyio

HOUSE, DAY = "EXCHANGE", "2026-01-05"
ONE = f"/v1/accounts/B/statements/{DAY}"


@pytest.fixture
async def stated(open_desk):
    """S sold 100 t to B; the day is settled. D has an account and nothing in it."""
    await open_desk.client.open_account("D", "Idle <Ltd>")
    await open_desk.sell("40.00", 100)
    await open_desk.buy("40.00", 100)
    await open_desk.client.set_phase("closed")
    await open_desk.client.settle()
    return open_desk


async def code_of(answer):
    with pytest.raises(ApiError) as error:
        await answer
    return error.value.status, error.value.code


@pytest.mark.examples
async def test_statements_from_their_issue_to_the_answered_objection(stated):
    walked = Walked(stated.transport)
    async with AsyncClient("http://exchange", transport=walked) as client:
        (mine,) = await client.statements("B")
        assert (mine.batch, str(mine.date), mine.state, mine.issued_at[:10]) == (1, DAY, "issued", DAY)
        assert mine.object_until.startswith("2026-01-06T0") and mine.answered_at is None
        confirmed = await client.confirm_statement("B", DAY)
        assert (confirmed.account_id, confirmed.batch) == ("B", 1)
        assert table_of(confirmed).startswith("B confirmed its statement of batch 1")
        text = "I sold 10 t, not 100 t: 十吨"
        objected = await client.object_to_statement("S", 1, text)
        assert table_of(objected, 200).startswith(f"S objects to its statement of batch 1: {text}")
        (theirs,) = await client.statements("S")
        assert (theirs.state, theirs.objection, theirs.ruled_by, theirs.ruled_at) == ("objected", text, None, None)
        assert (await client.statement("S", DAY)).batches == [theirs]
        assert text in await client.statement_file("S", DAY, "html")

        await stated.open("2026-01-06")
        (late,) = await client.statements("S")
        assert late.state == "objected" and late.object_until == mine.object_until  # as foretold
        answered = await client.answer_objection(HOUSE, "S", 1, False, "the order was for 100 t")
        assert (answered.by, answered.upheld) == (HOUSE, False)
        assert "is dismissed by EXCHANGE: the order was for 100 t" in table_of(answered, 200)
        (done,) = await client.statements("S")
        assert (done.state, done.ruled_by, done.ruling) == ("dismissed", HOUSE, "the order was for 100 t")

        page = await client.statement_file("S", DAY, "html")
        assert f"Answer of {done.ruled_at[:16].replace('T', ' ')} by {HOUSE}:" in page

        batch = await client.batch_statements(1)
        assert (batch.accounts, batch.stage) == (3, "final")
        assert batch.states == {"confirmed": 1, "dismissed": 1, "accepted": 1}
        assert "state" in await client.batch_statements_csv(1, "states")
        assert "credited" in await client.batch_statements_csv(1)

    for path, verbs in make_app(stated.gateway).openapi()["paths"].items():
        for method, about in verbs.items():
            if "settlement" in about["tags"]:
                pattern = re.sub(r"{\w+}", "[^/]+", path)
                asked = [one for one in walked.requests if one[0] == method.upper()]
                assert any(re.fullmatch(pattern, at) for _, at in asked), f"{method} {path}"
    assert all(check.ok for check in await stated.client.checks())


class RealClock(Clock):
    """A clock that nobody sets, but the test does."""

    def __init__(self, at_ns: int) -> None:
        super().__init__(at_ns, wall_ns=lambda: 0)
        self.is_real = True

    def pass_until(self, at_ns: int) -> None:
        self._market_origin = at_ns


async def test_by_the_real_time_no_day_opens_before_the_window_for_objections_is_over():
    """S sold 100 t to B on Monday, whose statements say: until Tuesday at 09:15."""
    journal, rules = MemoryJournal(), load_rule_set("hubei")
    clock = RealClock(MORNING_NS)
    foretold_ns = opening_ns(rules, date(2026, 1, 6))
    early = "too_early .409.: 2026-01-06 opens at 09:15: until then statements may be objected to"

    async with desk_on(journal, rules, clock) as desk:
        await desk.enrol()
        await desk.open()  # at 09:30, which is later than its opening; and before the first day nothing was stated
        await desk.sell("40.00", 100)
        await desk.buy("40.00", 100)
        await desk.client.set_phase("closed")
        await desk.client.settle()
        (foretold,) = {one.object_until for one in await desk.client.statements("B")}
        with pytest.raises(ApiError, match=early):
            await desk.client.open_day("2026-01-06")
    clock.pass_until(foretold_ns - 1)
    async with desk_on(journal, rules, clock) as desk:  # after a restart, to the last moment
        with pytest.raises(ApiError, match=early):
            await desk.client.open_day("2026-01-06")
        assert await code_of(desk.client.open_day("2026-01-07")) == (409, "too_early")
        assert (await desk.client.object_to_statement("B", DAY, "10 t, not 100 t")).batch == 1

        clock.pass_until(foretold_ns)
        await desk.client.open_day("2026-01-06")
        assert await code_of(desk.client.confirm_statement("S", DAY)) == (409, "too_late")
        assert [(await desk.client.statements(name))[0].state for name in "BS"] == ["objected", "accepted"]
        assert {one.object_until for one in await desk.client.statements("B")} == {foretold}
        digest = await desk.digest()
    async with desk_on(journal, rules, clock) as desk:
        assert await desk.digest() == digest


@pytest.mark.examples
async def test_a_statement_says_the_same_in_every_format(stated):
    client = stated.client
    shown = await client.statement("B", DAY)
    assert (shown.batch, shown.closing) == (1, {"CNY": "95980.00", "HBEA-2025": 100})
    assert await client.statement("B", 1) == shown

    rows = list(csv.DictReader(io.StringIO(await client.statement_file("B", DAY, "csv"))))
    moved = [(row["asset"], row["amount"], row["cause"]) for row in rows if row["kind"] == "movement"]
    assert moved == [(entry.asset, str(entry.amount), entry.cause) for entry in shown.entries]
    closing = {row["asset"]: row["amount"] for row in rows if row["kind"] == "closing"}
    assert closing == {asset: str(held) for asset, held in shown.closing.items()}
    exchange = stated.gateway.exchange
    (read,) = read_csv(await client.statement_file("B", 1, "csv"), names(stated.gateway))
    assert read == exchange.clearing.batches[0].line.statement(exchange.accounts.by_id["B"].number, exchange.terms)

    page = await client.statement_file("B", DAY, "html")
    for figure in ("Wuhan Heat", "100,000.00", "4,000.00", "20.00", "95,980.00", "HBEA-2025", "the next opening"):
        assert figure in page, figure


@pytest.mark.parametrize(
    ("accept", "type_"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"),
    ],
)
async def test_the_format_is_what_is_accepted(stated, accept, type_):
    response = await stated.http.get(ONE, headers={"accept": accept} if accept else {})
    assert (response.status_code, response.headers["content-type"]) == (200, type_)
    assert response.headers["vary"] == "Accept"
    assert len(response.content) == int(response.headers["content-length"])


async def test_what_is_asked_for_by_name_goes_before_what_is_accepted(stated):
    response = await stated.http.get(ONE, params={"format": "csv"}, headers={"accept": "text/html"})
    assert response.headers["content-type"].startswith("text/csv")
    assert (await stated.http.get(ONE, params={"format": "pdf"})).status_code == 422


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        ("", "json"),
        ("image/png", "json"),
        ("text/csv, text/html", "csv"),
        ("text/csv;q=0.5, text/html", "html"),
        ("TEXT/HTML ; level=1 ; q=0.3, application/json;q=0.2", "html"),
        ("text/csv;q=0", "json"),
        ("text/csv;q=much", "json"),
    ],
)
def test_what_is_preferred(accept, format):
    assert preferred(accept) == format


async def test_the_totals_of_a_batch_are_its_settlement(stated):
    found = await stated.client.batch_statements(1)
    assert found.settlement == await stated.client.settlement(DAY)
    assert [(one.asset, one.cause, one.entries, one.credited, one.debited) for one in found.totals] == [
        ("CNY", "deposit", 1, "100000.00", "0.00"),
        ("CNY", "fee", 2, "0.00", "40.00"),
        ("CNY", "fee_income", 1, "40.00", "0.00"),
        ("CNY", "purchase", 1, "0.00", "4000.00"),
        ("CNY", "sale", 1, "4000.00", "0.00"),
        ("HBEA-2025", "issuance", 1, 1000, 0),
        ("HBEA-2025", "purchase", 1, 100, 0),
        ("HBEA-2025", "sale", 1, 0, 100),
    ]
    rows = list(csv.DictReader(io.StringIO(await stated.client.batch_statements_csv(1))))
    assert len(rows) == len(found.totals)

    sums: dict[tuple[str, str], Decimal] = {}
    for one in found.statements:
        for entry in (await stated.client.statement(one.account_id, 1)).entries:
            key = entry.asset, entry.cause
            sums[key] = sums.get(key, Decimal(0)) + Decimal(entry.amount)
    assert sums == {(one.asset, one.cause): Decimal(one.credited) - Decimal(one.debited) for one in found.totals}


async def test_another_currency_has_statements_and_totals_of_its_own(desk):
    client = desk.client
    await client.register_currency("USD")
    await client.list_instrument("HBEA-2026", "allowance", 2026, "6.00", currency="USD")
    await client.issue("S", "HBEA-2026", 10)
    await client.transfer("S", "HBEA-2026", 10)
    await client.deposit("B", "100.00", "USD")
    await desk.open()
    await client.place_order("S", "HBEA-2026", "sell", "6.00", 10)
    await client.place_order("B", "HBEA-2026", "buy", "6.00", 10)
    await client.set_phase("closed")
    await client.settle()

    assert (await client.statement("B", DAY)).closing == {"CNY": "100000.00", "USD": "39.70", "HBEA-2026": 10}
    assert "B,USD,movement,-60.00,purchase,1" in await client.statement_file("B", DAY, "csv")
    assert "39.70" in await client.statement_file("B", DAY, "html")
    found = {(one.asset, one.cause): one for one in (await client.batch_statements(1)).totals}
    assert found["USD", "purchase"].debited == found["USD", "sale"].credited == "60.00"
    assert found["USD", "fee_income"].credited == "0.60"
    assert ("CNY", "purchase") not in found
    assert all(check.ok for check in await client.checks())


async def test_what_is_not_there_or_comes_too_late(stated):
    client = stated.client
    before = await stated.digest()
    objection = client.object_to_statement
    for answer, expected in (
        (client.statement("X", DAY), (404, "unknown_account")),
        (client.statement("D", DAY), (404, "unknown_statement")),
        (client.statement("B", "2026-01-06"), (404, "unknown_statement")),
        (client.statement("B", 9), (404, "unknown_statement")),
        (client.statement("B", "2026-13-01"), (422, "invalid_request")),
        (client.statement("B", "today"), (422, "invalid_request")),
        (client.statements("X"), (404, "unknown_account")),
        (client.confirm_statement("D", DAY), (404, "unknown_statement")),
        (client.confirm_statement("B", 9), (404, "unknown_batch")),
        (client.confirm_statement("B", "2026-01-06"), (404, "unknown_statement")),
        (client.confirm_statement("B", "2026-02-30"), (422, "invalid_request")),
        (objection("B", 1, " "), (422, "empty_text")),
        (objection("B", 1, "x" * 2001), (422, "invalid_request")),
        (client.answer_objection(HOUSE, "B", 1, True, "yes"), (409, "wrong_state")),
        (client.answer_objection("S", "B", 1, True, "yes"), (403, "not_permitted")),
        (client.batch_statements(2), (404, "unknown_batch")),
    ):
        assert await code_of(answer) == expected
    assert await client.statements("D") == []
    assert await stated.digest() == before

    await client.confirm_statement("B", 1)
    assert await code_of(client.confirm_statement("B", DAY)) == (409, "wrong_state")
    await stated.open("2026-01-06")
    assert await code_of(objection("S", DAY, "no")) == (409, "too_late")


@pytest.fixture
async def desk_without_a_bank(anyio_backend):
    rules = msgspec.structs.replace(load_rule_set("hubei"), settlement=SettlementRules())
    async with running_desk(rules) as made:
        await made.enrol()
        await made.open()
        yield made


async def test_a_day_of_two_batches_is_read_in_one_and_answered_one_by_one(desk_without_a_bank):
    """What S agreed to deliver failed in the first batch of the day, is cured, and settles with the second."""
    desk, client, gateway = desk_without_a_bank, desk_without_a_bank.client, desk_without_a_bank.gateway
    later = date(2026, 1, 6)
    await gateway.inbox.ask(AgreeDelivery(HOUSE, "F-1", "S", "B", "HBEA-2025", 70, 4000, later))
    await client.set_phase("closed")
    await client.settle()
    await desk.open(str(later))
    await desk.sell("40.00", 30)
    await desk.buy("40.00", 30)
    await client.transfer("S", "HBEA-2025", 970, to="registry")
    await client.set_phase("closed")
    await gateway.inbox.ask(FixObligations())
    assert await code_of(client.confirm_statement("B", str(later))) == (409, "too_early")
    assert await code_of(client.batch_statements(2)) == (409, "too_early")
    for command in (DeliverBatch(), IssueStatements()):
        await gateway.inbox.ask(command)
    await client.transfer("S", "HBEA-2025", 970)
    for command in (CureFailure("S", 1), FixObligations(), DeliverBatch(), IssueStatements()):
        await gateway.inbox.ask(command)

    whole = await client.statement("B", str(later))
    assert ([one.batch for one in whole.batches], whole.closing["HBEA-2025"]) == ([2, 3], 100)
    assert (await client.statement("B", 2)).closing["HBEA-2025"] == 30
    parts = read_csv(await client.statement_file("B", str(later), "csv"), names(gateway))
    assert [one.batch for one in parts] == [2, 3]
    assert "Batch 3" in await client.statement_file("B", str(later), "html")
    assert await code_of(client.confirm_statement("B", str(later))) == (409, "several_batches")
    await client.confirm_statement("B", 3)
    assert [one.state for one in await client.statements("B")] == ["accepted", "issued", "confirmed"]


async def test_who_gets_its_statement_days_late_is_told_an_opening_that_is_still_to_come(open_desk):
    client, clock = open_desk.client, open_desk.gateway.clock
    await client.set_phase("closed")
    clock.advance_to(clock.now_ns() + 4 * 86_400_000_000_000)  # from Monday to Friday
    await client.settle()
    (late,) = await client.statements("B")
    assert (late.issued_at[:10], late.object_until[:13]) == ("2026-01-09", "2026-01-12T09")

    await open_desk.open("2026-01-06")
    assert (await client.statements("B"))[0] == late
    await client.object_to_statement("B", 1, "I was away")


async def test_beyond_the_end_of_the_calendar_no_deadline_is_named():
    async with running_desk() as desk:
        await desk.enrol()
        await desk.open()
        await desk.client.set_phase("closed")
        await desk.client.settle()
        batch = desk.gateway.exchange.clearing.batches[0]
        batch.day = batch.day.replace(year=2140)

        (one,) = await desk.client.statements("B")
        assert one.object_until is None
        assert "until the next opening;" in await desk.client.statement_file("B", 1, "html")
