"""Answers of routes that no other test of this package asks for an example of."""

import csv
import io

import pytest

from tests.api.test_access import opened
from tests.api.test_registry import REG, allocate

pytestmark = [pytest.mark.anyio, pytest.mark.examples]
HOUSE = "EXCHANGE"


async def test_the_market_its_rules_and_its_calendar(open_desk):
    http = open_desk.http
    market = (await http.get("/v1/market")).json()
    assert (market["date"], market["phase"]) == ("2026-01-05", "continuous")
    assert (await http.get("/v1/rules")).json()["tick"]
    days = (await http.get("/v1/calendar?first=2026-01-05&last=2026-01-07")).json()
    assert len(days) == 3
    assert (await http.get("/v1/instruments/HBEA-2025")).json()["symbol"] == "HBEA-2025"
    assert (await http.get("/v1/state")).json()["sequence"] == open_desk.gateway.exchange.sequence
    assert (await http.get("/health")).json()["status"] == "ok"
    assert (await http.put("/v1/timers", json={"running": False})).json()["timers_running"] is False
    assert (await http.put("/v1/clock", json={"speed": 1})).json()["now"]


async def test_a_trade_that_was_put_right_is_listed(open_desk):
    await open_desk.sell("40.00", 10)
    await open_desk.buy("40.00", 10)
    await open_desk.client.bust_trades(HOUSE, [1], "wrong book")
    [corrected] = (await open_desk.http.get("/v1/trades/corrections")).json()
    assert corrected["reason"] == "wrong book"


async def test_a_day_that_has_been_settled(open_desk):
    await open_desk.sell("40.00", 10)
    await open_desk.buy("40.00", 10)
    await open_desk.client.set_phase("closed")
    await open_desk.client.settle()
    assert (await open_desk.http.get("/v1/settlements/2026-01-05")).json()["trades"] == 1
    [row] = rows((await open_desk.http.get("/v1/accounts/B/statements?format=csv")).text)
    assert row["batch"] == "1"


async def test_a_compliance_year_as_files(desk):
    client = desk.client
    for account_id, of_class in ((REG, "registry_authority"), ("VER", "verifier"), ("E", "covered_enterprise")):
        await client.open_account(account_id, account_id, of_class)
    await client.open_day("2026-01-05")
    await allocate(client, {"E": 14_000})
    await client.open_surrender(REG, 2025, "2026-12-26")
    for name in ("coverage", "obligors"):
        [row] = rows((await desk.http.get(f"/v1/periods/2025/{name}?format=csv")).text)
        assert row["account_id"] == "E"


async def test_who_asks_and_how_much_he_may(tmp_path):
    async with opened(tmp_path) as door:
        assert (await door.ask("trader", "GET", "/v1/me")).json()["role"] == "trader"
        limits = {"requests_per_second": 50, "burst": 100, "open_orders": 20}
        answer = await door.ask("operator", "PATCH", f"/v1/keys/{door.signers['trader'].key_id}/limits", limits)
        assert answer.json()["limits"]["burst"] == 100


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))
