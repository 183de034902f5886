"""After the close the timers settle the day step by step, with a simulated bank that does as it is told."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from api.gateway import BANK, Gateway
from api.timers import Clock, iso
from exchange.journal import MemoryJournal
from exchange.rules import load_rule_set
from settlement.cycle import Stage
from settlement.rules import Policy
from tests.api.conftest import MORNING_NS, Desk

pytestmark = pytest.mark.anyio

DAY = "2026-01-05"


@asynccontextmanager
async def desk_on(journal, bank=Policy.ACCEPT, rules="hubei"):
    """A desk on a journal, with a simulated bank, and a clock that stands still unless it is set forward."""
    found = load_rule_set(rules) if isinstance(rules, str) else rules
    gateway = Gateway(journal, found, Clock(MORNING_NS, wall_ns=lambda: 0), bank=bank)
    desk = Desk(gateway)
    async with gateway.running(), desk.client, desk.http:
        yield desk


async def trade(desk):
    """S sold 100 t to B on a day that is closed by hand."""
    await desk.enrol()
    await desk.open(DAY)
    await desk.sell("40.00", 100, client_order_id="sold")
    await desk.buy("40.00", 100, client_order_id="bought")
    await desk.client.set_phase("closed")


async def settled(desk):
    """Let the timers run until the day is settled."""
    desk.gateway.timers.start(1, skip_idle=True)
    async with asyncio.timeout(20):
        while desk.gateway.timers.running:
            await asyncio.sleep(0.002)
    return desk.gateway.exchange.clearing.batches[-1]


def times(batch):
    """Local times at which a batch reached its stages."""
    return {str(stage): iso(at, "Asia/Shanghai")[11:16] for stage, at in batch.reached.items()}


async def test_a_day_settles_step_by_step_with_the_bank(anyio_backend):
    async with desk_on(MemoryJournal()) as desk:
        await trade(desk)
        batch = await settled(desk)
        assert times(batch) == dict.fromkeys(["fixed", "instructed", "confirmed", "delivered", "stated"], "15:30")
        assert {answer.reply for answer in batch.payments.answers.values()} == {"accepted"}
        bank = await desk.client.account(BANK)
        assert bank.participant_class == "clearing_bank"
        assert desk.gateway.exchange.is_settled and not desk.gateway.timers.running


async def test_without_a_bank_in_the_rules_none_is_asked_and_none_has_an_account(anyio_backend):
    async with desk_on(MemoryJournal(), rules="generic") as desk:
        await trade(desk)
        assert [*times(await settled(desk))] == ["fixed", "delivered", "stated"]
        assert BANK not in desk.gateway.exchange.accounts.by_id


async def test_a_bank_that_is_late_is_noted_and_then_answers(anyio_backend):
    async with desk_on(MemoryJournal(), Policy.LATE) as desk:
        await trade(desk)
        batch = await settled(desk)
        late = iso(batch.payments.late_at, "Asia/Shanghai")[11:16]
        assert (late, times(batch)["confirmed"], times(batch)["stated"]) == ("17:00", "17:30", "17:30")


async def test_where_no_bank_answers_the_timers_wait_for_somebody_who_does(anyio_backend):
    async with desk_on(MemoryJournal(), None) as desk:
        await trade(desk)
        desk.gateway.timers.start(1, skip_idle=True)
        async with asyncio.timeout(20):
            while not desk.gateway.exchange.clearing.batches or not desk.gateway.exchange.clearing.batches[0].payments:
                await asyncio.sleep(0.002)
        assert not desk.gateway.timers.may_skip  # who answers needs the time
        desk.gateway.clock.advance_to(desk.gateway.timers.due().at_ns)
        async with asyncio.timeout(20):
            while not desk.gateway.exchange.clearing.batches[0].is_late:
                await asyncio.sleep(0.002)
        assert desk.gateway.timers.due() is None and desk.gateway.timers.running
        desk.gateway.timers.bank = Policy.ACCEPT
        await desk.client.open_account(BANK, "Settlement bank", "clearing_bank")
        assert (await settled(desk)).stage == Stage.STATED


@pytest.mark.parametrize("bank", [Policy.ACCEPT, Policy.LATE])
async def test_settlement_goes_on_after_a_restart_behind_any_step(anyio_backend, bank):
    digests = set()
    for stopped_after in range(7):
        journal = MemoryJournal()
        async with desk_on(journal, bank) as desk:
            await trade(desk)
            for _ in range(stopped_after):
                desk.gateway.timers.start(1, skip_idle=True)
                if (step := desk.gateway.timers.due()) is None or desk.gateway.exchange.is_settled:
                    break
                desk.gateway.clock.advance_to(step.at_ns)
                desk.gateway.timers.stop()
                await desk.gateway.inbox.ask(step.command)
            desk.gateway.timers.stop()
        async with desk_on(journal, bank) as desk:
            if not desk.gateway.exchange.is_settled:
                await settled(desk)
            digests.add(await desk.digest())
            assert len(desk.gateway.exchange.clearing.batches) == 1
    assert len(digests) == 1


async def test_a_restart_opens_no_second_account_for_the_bank(anyio_backend):
    journal = MemoryJournal()
    for _ in range(2):
        async with desk_on(journal) as desk:
            assert [account.account_id for account in desk.gateway.exchange.accounts] == ["EXCHANGE", BANK]
