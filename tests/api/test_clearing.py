"""Batches and their bank over HTTP, by the client: step by step, what moved, the bank's files, withdrawals."""

import csv
import io
import re
from datetime import date

import msgspec
import pytest

from api.app import make_app
from api.client import AsyncClient
from api.tables import table_of
from exchange.rules import load_rule_set
from settlement.bank import SimulatedBank
from settlement.bank_files import BalanceFile, BankBalance, read_bookings, read_instructions
from settlement.rules import SettlementRules
from tests.api.conftest import running_desk
from tests.api.test_registry import Walked
from tests.api.test_settlement import code_of

pytestmark = pytest.mark.anyio

HOUSE, BANK, DAY = "EXCHANGE", "BANK", "2026-01-05"


@pytest.fixture
async def closed(open_desk):
    """S sold 100 t to B; the day is closed. BANK is the settlement bank."""
    await open_desk.client.open_account(BANK, "Settlement bank", "clearing_bank")
    await open_desk.sell("40.00", 100)
    await open_desk.buy("40.00", 100)
    await open_desk.client.set_phase("closed")
    return open_desk


@pytest.fixture
async def instructed(closed):
    await closed.client.fix_obligations()
    await closed.client.settlement_step(1, "instructions")
    return closed


def answers(lines):
    """An accepting answer to lines of instructions."""
    return [
        {name: getattr(line, name) for name in ("line", "account_id", "currency", "direction", "amount")}
        | {"reply": "accepted"}
        for line in lines
    ]


@pytest.mark.examples
async def test_a_batch_goes_step_by_step_from_obligations_to_statements(closed):
    walked = Walked(closed.transport)
    async with AsyncClient("http://exchange", transport=walked) as client:
        (mine,) = await client.obligations("B")
        assert (mine.side, mine.counterparty, mine.turnover, mine.fee, mine.batch) == (
            "buy",
            "S",
            "4000.00",
            "20.00",
            None,
        )
        fixed = await client.fix_obligations()
        assert (fixed.number, fixed.stage, fixed.trades, fixed.figures) == (1, "fixed", 1, None)
        assert (await client.obligations("S"))[0].batch == 1
        assert (await client.settlement_step(1, "instructions")).bank.answered == 0

        told = await client.instructions(1)
        assert [(line.account_id, line.direction, line.amount) for line in told.lines] == [
            ("B", "debit", "4020.00"), (HOUSE, "credit", "40.00"), ("S", "credit", "3980.00"),
        ]  # fmt: skip
        assert told.totals[0].debits == told.totals[0].credits == "4020.00"
        closed.gateway.clock.advance_to(closed.gateway.clock.now_ns() + 10 * 3600 * 10**9)
        late = await client.settlement_step(1, "late")
        assert late.bank.is_late and late.bank.late_at
        assert {one.account_id for one in await client.withdrawal_blocks()} == {"B", "S", HOUSE}

        part = await client.confirm_payments(BANK, 1, told.checksum, answers(told.lines[:1]), more_follows=True)
        assert (part.answered, part.open_lines, part.is_confirmed) == (1, [2, 3], False)
        assert "has answered 1 lines of batch 1, 2 are open" in table_of(part)
        file = read_instructions(await client.instructions_file(1))
        rest = SimulatedBank().answer(file, answered=[1])
        assert (await client.confirm_payments_file(BANK, 1, rest.text())).is_confirmed
        assert (await client.settlement_step(1, "delivery")).figures.trades == 1
        stated = await client.settlement_step(1, "statements")
        assert [one.stage for one in stated.stages] == ["fixed", "instructed", "confirmed", "delivered", "stated"]
        assert await client.batch(1) == stated
        (row,) = await client.batches(DAY)
        assert (row.stage, row.trades, row.failed, row.late) == ("stated", 1, 0, True)
        assert await client.batches("2026-01-06") == [] and await client.obligations("B") == []
        cash, units = stated.figures.assets
        assert (cash.asset, cash.gross, cash.net, cash.fees, cash.efficiency) == (
            "CNY", "4020.00", "4020.00", "40.00", "0.0000",
        )  # fmt: skip
        assert (units.asset, units.moved, units.fees) == ("HBEA-2025", 100, None)

        shown = {(one.account_id, one.asset): one.net for one in await client.positions(1)}
        assert shown == {
            (HOUSE, "CNY"): "40.00", ("S", "CNY"): "3980.00", ("S", "HBEA-2025"): -100,
            ("B", "CNY"): "-4020.00", ("B", "HBEA-2025"): 100,
        }  # fmt: skip
        (delivery,) = await client.deliveries(1)
        assert (delivery.giver, delivery.taker, delivery.quantity) == ("S", "B", 100)
        assert (delivery.trade_id, delivery.serials) == (1, [(1, 100)])

        await client.block_withdrawals(HOUSE, "B", "papers are missing")
        assert [(one.account_id, one.reason) for one in await client.withdrawal_blocks()] == [
            ("B", "blocked: papers are missing")
        ]
        assert await code_of(client.withdraw("B", "1.00")) == (409, "withdrawal_blocked")
        assert "papers came" in table_of(await client.unblock_withdrawals(HOUSE, "B", "papers came"))

        ours = {account.account_id: account for account in await client.accounts()}
        lines = [
            {"account_id": name, "currency": "CNY", "amount": ours[name].holdings[0].settled}
            for name in ("B", HOUSE, "S")
        ]
        report = await client.reconcile_bank(BANK, DAY, lines)
        assert report.matched and "all agree" in table_of(report)
        assert [one.model_dump() for one in (await client.balances(DAY)).lines] == lines
        report = await client.reconcile_bank_file(BANK, await client.balances_file(DAY))
        assert report.matched and await code_of(client.balances("2026-01-06")) == (409, "day_not_settled")
        booked = await client.bookings(DAY)
        assert (booked.previous, booked.previous_checksum) == (None, None)
        assert [(one.account_id, one.reach, one.cause, one.amount) for one in booked.lines] == [
            ("B", "external", "deposit", "100000.00"), (HOUSE, "internal", "final_payment", "40.00"),
            ("S", "internal", "final_payment", "3980.00"), ("B", "internal", "final_payment", "-4020.00"),
        ]  # fmt: skip
        file = read_bookings(await client.bookings_file(DAY))
        assert file.checksum == booked.checksum and len(file.lines) == 4
        assert "final payment" in table_of(booked).lower().replace("_", " ")
        assert await code_of(client.bookings("2026-01-06")) == (409, "day_not_settled")
        wrong = BalanceFile(report.date, (BankBalance("B", "CNY", 1), BankBalance("X", "CNY", 5)))
        report = await client.reconcile_bank_file(BANK, wrong.text())
        assert [(one.account_id, one.finding, one.banks) for one in report.breaks] == [
            ("B", "differs", "0.01"), (HOUSE, "missing", "0.00"), ("S", "missing", "0.00"), ("X", "unknown", "0.05"),
        ]  # fmt: skip
        assert [one.matched for one in await client.reconciliations()] == [True, True, False]

    for path, verbs in make_app(closed.gateway).openapi()["paths"].items():
        for method, about in verbs.items():
            if "clearing" in about["tags"]:
                pattern = re.sub(r"{\w+}", "[^/]+", path)
                asked = [one for one in walked.requests if one[0] == method.upper()]
                assert any(re.fullmatch(pattern, at) for _, at in asked), f"{method} {path}"
    assert all(check.ok for check in await closed.client.checks())


@pytest.mark.parametrize(
    ("lines", "who", "said"),
    [
        ([("B", 99_000_00), ("S", 1)], "B", "has 1,000.00 CNY less than we for B: look for a withdrawal"),
        ([("B", 100_000_01)], "B", "has 0.01 CNY more than we for B: look for a deposit"),
        ([("S", 1)], "B", "We have 100,000.00 CNY for B, the bank's file does not name it"),
        ([("B", 50_000_00), ("B", 50_000_00)], "B", "names B more than once"),
        ([("B", 100_000_00), ("X", 5_00)], "X", "keeps 5.00 CNY for X, which we do not know"),
    ],
)
async def test_a_break_says_who_has_more_and_what_to_do(open_desk, lines, who, said):
    client = open_desk.client
    await client.set_phase("closed")
    await client.settle()
    told = BalanceFile(date.fromisoformat(DAY), tuple(BankBalance(name, "CNY", fen) for name, fen in lines))
    report = await client.reconcile_bank_file(HOUSE, told.text())
    assert said in next(one.explanation for one in report.breaks if one.account_id == who)
    assert "do not agree with ours" in table_of(report)


async def test_what_is_netted_is_delivered_net_and_its_numbers_are_shown(anyio_backend):

    rules = msgspec.structs.replace(
        load_rule_set("generic"), settlement=SettlementRules(mode="net_net"), resale_lag_days=0
    )
    async with running_desk(rules) as desk:
        await desk.enrol()
        await desk.client.open_account("M", "Middle")
        await desk.client.deposit("M", "100000.00")
        await desk.open(DAY)
        await desk.sell("40.00", 100)
        await desk.buy("40.00", 100, "M")
        await desk.sell("41.00", 60, "M")
        await desk.buy("41.00", 60)
        await desk.client.set_phase("closed")
        await desk.client.settle()
        given = [(one.giver, one.taker, one.quantity, one.trade_id) for one in await desk.client.deliveries(1)]
        assert given == [("S", "B", 60, None), ("S", "M", 40, None)]
        units = (await desk.client.batch(1)).figures.assets[1]
        assert (units.gross, units.net, units.moved, units.efficiency) == (160, 100, 100, "0.3750")
        serials = [number for one in await desk.client.deliveries(1) for number in one.serials]
        assert sorted(serials) in ([(1, 40), (41, 100)], [(1, 60), (61, 100)])


@pytest.mark.parametrize(
    ("spoiled", "code"),
    [
        (lambda text: "hello", "malformed_file"),
        (lambda text: text.replace("accepted", "rejected", 1), "wrong_checksum"),
        (lambda text: text.replace("answers,1,", "answers,2,", 1), "wrong_checksum"),
    ],
)
async def test_a_spoiled_file_of_the_bank_is_refused_and_changes_nothing(instructed, spoiled, code):
    client = instructed.client
    text = SimulatedBank().answer(read_instructions(await client.instructions_file(1))).text()
    before = await instructed.digest()
    assert await code_of(client.confirm_payments_file(BANK, 1, spoiled(text))) == (422, code)
    assert await code_of(client.confirm_payments_file(BANK, 2, text)) == (422, "wrong_batch")
    assert await code_of(client.reconcile_bank_file(BANK, spoiled(text)))
    assert await instructed.digest() == before
    await client.confirm_payments_file(BANK, 1, text)


async def test_answers_that_do_not_fit_have_their_codes(instructed):
    client = instructed.client
    told = await client.instructions(1)
    lines, before = answers(told.lines), await instructed.digest()
    refused = [
        ("S", 1, told.checksum, lines, (403, "not_permitted")),
        (BANK, 1, "0" * 64, lines, (422, "wrong_checksum")),
        (BANK, 2, told.checksum, lines, (422, "wrong_batch")),
        (BANK, 1, told.checksum, lines[:2], (422, "line_missing")),
        (BANK, 1, told.checksum, [*lines, lines[0]], (422, "line_doubled")),
        (BANK, 1, told.checksum, [lines[0] | {"amount": "4020.01"}, *lines[1:]], (422, "line_altered")),
        (BANK, 1, told.checksum, [lines[0] | {"amount": "-1.00"}, *lines[1:]], (422, "negative_amount")),
        (BANK, 1, told.checksum, [lines[0] | {"extra": 1}, *lines[1:]], (422, "invalid_request")),
    ]
    for by, batch, checksum, given, expected in refused:
        assert await code_of(client.confirm_payments(by, batch, checksum, given)) == expected
    assert await instructed.digest() == before


async def test_steps_that_are_not_next_are_refused(closed):
    client = closed.client
    assert await code_of(client.batch(1)) == (404, "unknown_batch")
    assert await code_of(client.settlement_step(1, "delivery")) == (404, "unknown_batch")
    await client.fix_obligations()
    for step in ("late", "delivery", "statements"):
        assert await code_of(client.settlement_step(1, step)) == (409, "wrong_state")
    assert await code_of(client.instructions(1)) == (409, "too_early")
    assert await code_of(client.instructions_file(1)) == (409, "too_early")
    assert await code_of(client.deliveries(1)) == (409, "too_early")
    assert await code_of(client.fix_obligations()) == (409, "wrong_state")


@pytest.mark.examples
async def test_lists_are_csv_too_and_say_the_same(closed):
    await closed.client.settle()
    for name, shown in (
        ("positions", await closed.client.positions(1)),
        ("deliveries", await closed.client.deliveries(1)),
    ):
        answer = await closed.http.get(f"/v1/settlement/batches/1/{name}", params={"format": "csv"})
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(rows) == len(shown) and set(rows[0]) == set(type(shown[0]).model_fields)
