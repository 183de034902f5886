"""The timers take the dated steps of a compliance year, once each, restart or not."""

import asyncio
from datetime import date

import pytest

from api import timers
from api.gateway import Gateway
from api.timers import Clock
from exchange.commands import RemindObligors
from exchange.journal import MemoryJournal
from exchange.rules import load_rule_set
from tests.api.conftest import MORNING_NS, Desk
from tests.api.test_registry import REG, VER, allocate

pytestmark = pytest.mark.anyio


async def determined(desk):
    """The year 2025 with E, who emitted 14,000 t of its 18,000 t, as far as the final allocation."""
    client = desk.client
    await client.list_instrument("HBEA-2024", "allowance", 2024, "40.00")
    await client.open_account(REG, "Authority", "registry_authority")
    await client.open_account(VER, "Verifier", "verifier")
    await client.open_account("E", "Daye Steel")
    await client.open_day("2026-01-05")
    await allocate(client, {"E": 14_000})


async def through(desk, day):
    """One day by the timers, from pre-open to settlement; a day that is under way is brought to its end."""
    desk.gateway.clock.run_at(1e7)
    if desk.gateway.exchange.is_settled:
        await desk.client.open_day(day)
    desk.gateway.timers.start(1, skip_idle=True)
    async with asyncio.timeout(20):
        while not desk.gateway.exchange.is_settled:
            await asyncio.sleep(0.002)
    desk.gateway.timers.stop()
    assert desk.gateway.exchange.date == date.fromisoformat(day)


def period(desk):
    """The compliance year 2025 as it stands."""
    return desk.gateway.exchange.compliance.periods[2025]


async def test_a_year_goes_by_its_calendar_and_a_restart_neither_repeats_nor_loses_a_step(anyio_backend):
    journal = MemoryJournal()

    def gateway():
        return Gateway(journal, load_rule_set("hubei"), Clock(MORNING_NS))

    desk = Desk(gateway())
    async with desk.gateway.running(), desk.client, desk.http:
        await determined(desk)
        await through(desk, "2026-01-05")
        await through(desk, "2026-11-30")
        assert period(desk).stage == "determined"
        assert desk.gateway.exchange.emissions.years[2025].closed_on == date(2026, 11, 30)
        await through(desk, "2026-12-01")
        assert (period(desk).stage, period(desk).deadline) == ("surrendering", date(2026, 12, 26))
        await desk.client.open_day("2026-12-16")  # and stops before the timers come to it

    desk = Desk(gateway())
    async with desk.gateway.running(), desk.client, desk.http:
        await through(desk, "2026-12-16")
        assert period(desk).reminded_on == date(2026, 12, 16)
        before = desk.gateway.exchange.sequence
        await through(desk, "2026-12-17")
        steps_of_a_day = desk.gateway.exchange.sequence - before
        asked = await desk.client.request_surrender("E", 2025)
        await desk.client.confirm_surrender(REG, asked.request.request_id)
        await through(desk, "2026-12-28")
        year = period(desk)
        assert (year.stage, year.rate(), year.has_lapsed) == ("closed", (1, 1), True)
        before = desk.gateway.exchange.sequence
        await through(desk, "2026-12-29")
        assert desk.gateway.exchange.sequence - before == steps_of_a_day
        assert (await desk.client.unit("HBEA-2025")).held == 0


async def test_a_step_that_is_refused_waits_for_another_day(anyio_backend, monkeypatch, caplog):
    monkeypatch.setattr(timers, "due_steps", lambda exchange, today: [RemindObligors(REG, 2019)])
    desk = Desk(Gateway(MemoryJournal(), load_rule_set("hubei"), Clock(MORNING_NS)))
    async with desk.gateway.running(), desk.client, desk.http:
        await desk.client.list_instrument("HBEA-2024", "allowance", 2024, "40.00")
        await desk.client.open_account(REG, "Authority", "registry_authority")
        await through(desk, "2026-01-05")
        await through(desk, "2026-01-06")
    warned = [record.getMessage() for record in caplog.records if "RemindObligors" in record.getMessage()]
    assert len(warned) == 2 and "unknown_period" in warned[0]
