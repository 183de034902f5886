"""A settlement bank of its own: it is asked and answers over HTTP, and a day settles with nobody else's help."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from api.client import ApiError, AsyncClient
from exchange.commands import DeliverBatch, FixObligations, InstructBank, IssueStatements, NoteLateBank
from exchange.journal import MemoryJournal
from exchange.sessions import moment_ns
from settlement.bank_files import read_answers, read_balances, read_instructions
from settlement.cycle import Stage
from settlement.rules import Policy
from simulation.bank import BankError, SettlementBank
from tests.api.conftest import running_desk
from tests.api.test_settling import desk_on, settled, times, trade

pytestmark = pytest.mark.anyio
DAY = "2026-01-05"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@asynccontextmanager
async def bank_beside(policy, files=None):
    """An exchange that leaves the bank to others, a closed day on which S sold 100 t to B, and a bank that looks on."""
    async with desk_on(MemoryJournal(), None) as desk, AsyncClient("http://exchange", transport=desk.transport) as own:
        await trade(desk)
        said = []
        bank = SettlementBank(own, "BANK", policy, said.append, files)
        await bank.enrol()
        yield desk, bank, said


async def settle_with(desk, bank):
    """Let the timers and the bank run until the day is settled and reported; waiting costs no time."""
    working = asyncio.create_task(bank.run(days=1))
    desk.gateway.timers.start(1, skip_idle=True)
    async with asyncio.timeout(20):
        while not working.done():
            batches = desk.gateway.exchange.clearing.batches
            if batches and batches[-1].stage == Stage.INSTRUCTED:
                desk.gateway.clock.advance_to(desk.gateway.clock.now_ns() + 60_000_000_000)
            await asyncio.sleep(0.005)
    await working
    return desk.gateway.exchange.clearing.batches[-1]


async def settle_two_days(desk):
    """Settle the day and the one after it by hand, without the bank."""
    await desk.client.settle()
    await desk.open("2026-01-06")
    await desk.client.set_phase("closed")
    await desk.client.settle()


@pytest.mark.parametrize(
    ("policy", "replies", "failed"),
    [
        (Policy.ACCEPT, ["accepted", "accepted", "accepted"], 0),
        (Policy.REJECT, ["rejected", "accepted", "accepted"], 1),
        (Policy.PARTIAL, ["partial", "accepted", "accepted"], 1),
    ],
)
async def test_a_day_settles_with_a_bank_beside_the_exchange_as_with_the_one_inside(policy, replies, failed):
    async with bank_beside(policy) as (desk, bank, said):
        batch = await settle_with(desk, bank)
        answers = sorted(batch.payments.answers.values(), key=lambda answer: answer.line)
        assert ([answer.reply for answer in answers], len(batch.failed)) == (replies, failed)
        (report,) = await desk.client.reconciliations()
        assert report.matched and not report.blocked
        assert said[0].startswith("batch 1 of 2026-01-05: 3 lines answered") and "balances" in said[-1]
        assert all(check.ok for check in await desk.client.checks())
    async with desk_on(MemoryJournal(), policy) as inside:
        await trade(inside)
        assert (await settled(inside)).payments.answers == batch.payments.answers


async def test_a_late_bank_answers_when_it_has_been_noted_as_late():
    async with bank_beside(Policy.LATE) as (desk, bank, _):
        batch = await settle_with(desk, bank)
        assert batch.is_late
        assert "17:30" <= times(batch)["confirmed"] <= "17:59"


@pytest.mark.parametrize("next_day", [None, "2026-01-06"])
async def test_a_batch_that_was_delivered_without_it_is_answered_later(next_day):
    """Though it is final by then: who waits for a pay-out may not withdraw until the bank has said something."""
    async with bank_beside(Policy.LATE) as (desk, bank, said):
        gateway = desk.gateway
        for command in (FixObligations(), InstructBank()):
            await gateway.inbox.ask(command)
        batch = gateway.exchange.clearing.batches[-1]
        gateway.clock.advance_to(moment_ns(gateway.exchange.market, batch.day, "17:00") + 1)
        for command in (NoteLateBank(), DeliverBatch(), IssueStatements()):
            await gateway.inbox.ask(command)
        if next_day is not None:
            await desk.open(next_day)
        gateway.clock.advance_to(gateway.clock.now_ns() + 3_600_000_000_000)
        await bank.look()
        assert batch.payments.open_lines == [] and said[0].startswith("batch 1 of 2026-01-05: 3 lines answered")
        told = len(said)
        assert not await bank.look() and len(said) == told


async def test_later_balances_that_somebody_else_has_sent_do_not_end_it():
    async with bank_beside(Policy.ACCEPT) as (desk, bank, said):
        await settle_two_days(desk)
        await desk.client.reconcile_bank_file("EXCHANGE", await desk.client.balances_file("2026-01-06"))
        await bank.look()
        assert said[0].startswith("balances of 2026-01-05: ")


async def test_what_it_gets_and_sends_is_kept_in_files(tmp_path):
    async with bank_beside(Policy.ACCEPT, tmp_path / "bank") as (desk, bank, _):
        await settle_with(desk, bank)
    told, said, held = (
        read((tmp_path / "bank" / name).read_bytes().decode())
        for read, name in (
            (read_instructions, "payments-1.csv"), (read_answers, "answers-1.csv"),
            (read_balances, f"balances-{DAY}.csv"),
        )
    )  # fmt: skip
    assert said.answers_to == told.checksum
    assert {line.account_id: line.fen for line in held.lines} == {"B": 95_980_00, "S": 3_980_00, "EXCHANGE": 40_00}


async def test_a_day_that_passed_between_two_looks_is_reported_too():
    async with bank_beside(Policy.ACCEPT) as (desk, bank, said):
        await settle_two_days(desk)
        assert (await bank.look(), await bank.look()) == (2, 0)
        assert [str(report.date) for report in await desk.client.reconciliations()] == [DAY, "2026-01-06"]
        assert len(said) == 2


async def test_a_bank_that_comes_back_says_nothing_twice():
    async with bank_beside(Policy.ACCEPT) as (desk, bank, said):
        await settle_with(desk, bank)
        again = SettlementBank(bank.client, "BANK", Policy.ACCEPT, said.append)
        await again.enrol()
        before = len(said), await desk.digest()
        assert not await again.look()
        assert (len(said), await desk.digest()) == before


async def test_while_the_exchange_is_away_it_waits(monkeypatch):
    async with bank_beside(Policy.ACCEPT) as (_, bank, said):
        looks = [ApiError(0, "connection_lost", "away"), ApiError(503, "inbox_full", "busy"), 1]

        async def look():
            outcome = looks.pop(0)
            if isinstance(outcome, ApiError):
                raise outcome
            return outcome

        monkeypatch.setattr(bank, "look", look)
        await bank.run(days=1)
        assert said == ["waits for the exchange to come back (connection_lost)"]

        looks.append(ApiError(403, "not_permitted", "no bank any more"))
        with pytest.raises(ApiError, match="not_permitted"):
            await bank.run()


async def test_an_account_that_is_no_banks_is_not_used(desk_of_others):
    bank = SettlementBank(desk_of_others.client, "B", Policy.ACCEPT, print)
    with pytest.raises(BankError, match="not a clearing_bank"):
        await bank.enrol()


async def test_where_no_bank_is_wanted_none_answers():
    async with running_desk("generic") as desk:
        with pytest.raises(BankError, match="no_bank"):
            await SettlementBank(desk.client, "BANK", Policy.ACCEPT, print).enrol()


@pytest.fixture
async def desk_of_others(anyio_backend):
    async with running_desk() as desk:
        await desk.enrol()
        yield desk
