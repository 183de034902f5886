"""Lists in pages: whatever their size, page by page they are the list, and rows that come meanwhile change nothing."""

import re
from typing import Any

import pytest

from api import client as client_module
from api.app import make_app
from api.gateway import Gateway
from api.paging import LIMIT_MAX
from api.timers import Clock
from exchange.cycle import run_cycle
from exchange.drill import run_drill
from exchange.journal import MemoryJournal
from exchange.rules import load_rule_set
from tests.api.conftest import Desk
from tests.api.test_access import opened

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def lived() -> dict[str, MemoryJournal]:
    """The journals of a market with two compliance years behind it, and of one with failures in settlement."""
    rules, years = load_rule_set("hubei"), MemoryJournal()
    run_cycle(years, rules, 7, enterprises=12)
    failures = run_drill(rules).engine.journal
    assert isinstance(failures, MemoryJournal)
    return {"years": years, "failures": failures}


def described(gateway: Gateway) -> dict[str, Any]:
    paths: dict[str, Any] = make_app(gateway).openapi()["paths"]
    return paths


def lists_of(gateway: Gateway) -> list[str]:
    """The routes that answer with an array in pages."""
    found = []
    for path, verbs in described(gateway).items():
        named = {one["name"] for one in verbs.get("get", {}).get("parameters", ())}
        if {"cursor", "limit"} <= named:
            found.append(path)
    return found


UNPAGED = {  # which do not grow with what happens, or not beyond the currencies and what is listed
    "/v1/currencies", "/v1/summary", "/v1/checks", "/v1/reconciliation", "/v1/roles",
}  # fmt: skip


async def test_every_list_that_grows_comes_in_pages(desk):
    in_pages = lists_of(desk.gateway)
    for path, verbs in described(desk.gateway).items():
        answer = verbs.get("get", {}).get("responses", {}).get("200", {}).get("content", {}).get("application/json", {})
        if answer.get("schema", {}).get("type") == "array" and path not in UNPAGED:
            assert path in in_pages, path


def samples(gateway: Gateway) -> dict[str, list[str]]:
    exchange = gateway.exchange
    return {
        "account_id": [account.account_id for account in exchange.accounts],
        "year": [str(year) for year in exchange.compliance.periods],
        "batch": [str(batch.number) for batch in exchange.clearing.batches[-3:]],
        "code": ["CNY"],
    }


def targets(gateway: Gateway, path: str) -> list[str]:
    """Addresses of a list, for everything that its path may name."""
    named = re.findall(r"{(\w+)}", path)
    found = [path]
    for name in named:
        found = [one.replace(f"{{{name}}}", value) for one in found for value in samples(gateway)[name]]
    if path == "/v1/calendar":
        return [f"{path}?first=2026-01-01&last=2026-01-20"]
    return found


async def pages(desk: Desk, target: str, limit: int) -> list[Any]:
    """A list by following its links."""
    found, link = [], f"{target}{'&' if '?' in target else '?'}limit={limit}"
    while True:
        response = await desk.http.get(link)
        assert response.status_code == 200, (link, response.text)
        assert len(response.json()) <= limit
        found += response.json()
        if "Link" not in response.headers:
            assert "Carbonex-Cursor" not in response.headers
            return found
        assert len(response.json()) == limit
        link = re.fullmatch(r'<(.*)>; rel="next"', response.headers["Link"])[1]
        assert response.headers["Carbonex-Cursor"] in link


ELSEWHERE = {  # tried in tests of their own
    "/v1/keys", "/v1/denials", "/v1/trades", "/v1/orders", "/v1/fills", "/v1/candles", "/v1/orders/{order_id}/history",
}  # fmt: skip
EMPTY = {  # of which these two markets have none, or one
    "/v1/accounts/{account_id}/obligations", "/v1/methodologies",
    "/v1/credits/duties",
    "/v1/trades/corrections", "/v1/currencies/{code}/rates", "/v1/accounts/{account_id}/conversions",
    "/v1/settlement/reconciliations", "/v1/settlement/withdrawal-blocks", "/v1/credits/overdue", "/v1/locks",
    "/v1/accounts/{account_id}/locks", "/v1/registry/large-holders", "/v1/periods/{year}/surrenders",
}  # fmt: skip


async def test_page_by_page_is_the_list(lived):
    longest: dict[str, int] = {}
    for journal in lived.values():
        gateway = Gateway(journal, None, Clock(0))
        async with Desk(gateway).http as http:
            desk = Desk(gateway)
            desk.http = http
            for path in lists_of(gateway):
                if path in ELSEWHERE:
                    continue
                for target in targets(gateway, path):
                    response = await http.get(target)
                    if response.status_code != 200:
                        continue
                    whole = response.json()
                    longest[path] = max(longest.get(path, 0), len(whole))
                    for limit in {1, 2, len(whole) or 1}:
                        if len(whole) < 400 or limit > 2:
                            assert await pages(desk, target, limit) == whole, (target, limit)
    assert {path for path, length in longest.items() if length < 2} <= EMPTY
    assert set(longest) | EMPTY | ELSEWHERE == set(lists_of(gateway)) | EMPTY


async def test_rows_that_come_meanwhile_make_none_come_twice_or_not_at_all(desk):
    first = await desk.http.get("/v1/accounts", params={"limit": 2})
    await desk.client.open_account("A", "Opened meanwhile")
    rest = await desk.http.get("/v1/accounts", params={"cursor": first.headers["Carbonex-Cursor"]})
    found = [one["account_id"] for one in first.json() + rest.json()]
    assert found == [account.account_id for account in await desk.client.accounts()]
    assert len(set(found)) == len(found)


async def test_a_row_that_goes_meanwhile_takes_no_other_with_it(desk):
    await desk.client.open_account("REG", "Registry", "registry_authority")
    for _ in range(3):
        await desk.client.issue("S", "HBEA-2025", 10)
    locks = [(await desk.client.lock_units("REG", "S", "HBEA-2025", 10, "pledged", "x")).lock for _ in range(3)]
    first = await desk.http.get("/v1/locks", params={"limit": 1})
    await desk.client.release_units("REG", locks[0].lock_id, 10)
    rest = await desk.http.get("/v1/locks", params={"cursor": first.headers["Carbonex-Cursor"]})
    assert [one["lock_id"] for one in first.json() + rest.json()] == [lock.lock_id for lock in locks]


async def test_orders_come_in_pages_all_of_them_or_those_that_are_open(open_desk):
    placed = [(await open_desk.sell("41.00", 1)).order_id for _ in range(7)]
    gone = {placed[0], placed[3], placed[6]}
    for order_id in gone:
        await open_desk.client.cancel_order("S", order_id)
    for asked, wanted in (("", placed), ("&open_only=true", [one for one in placed if one not in gone])):
        for limit in (1, 2, 4, 7):
            found = await pages(open_desk, f"/v1/orders?account_id=S{asked}", limit)
            assert [one["order_id"] for one in found] == wanted, (asked, limit)

    first = await open_desk.http.get("/v1/orders?account_id=S&open_only=true&limit=2")
    await open_desk.client.cancel_order("S", placed[2])  # the last row that was given
    await open_desk.sell("41.00", 1)
    rest = await open_desk.http.get(
        "/v1/orders", params={"account_id": "S", "open_only": "true", "cursor": first.headers["Carbonex-Cursor"]}
    )
    assert [one["order_id"] for one in first.json() + rest.json()] == [*placed[1:3], *placed[4:6], placed[6] + 1]


async def test_what_is_no_cursor_of_the_list_is_refused(desk):
    cursor = (await desk.http.get("/v1/accounts?limit=1")).headers["Carbonex-Cursor"]
    of_days = "/v1/calendar?first=2026-01-01&last=2026-01-20"
    of_other_days = of_days.replace("20", "21")
    day = (await desk.http.get(f"{of_days}&limit=1")).headers["Carbonex-Cursor"]
    assert (
        await desk.http.get(of_days, params={"cursor": day, "limit": 5, "first": "2026-01-01", "last": "2026-01-20"})
    ).json()
    for path, wrong in (
        ("/v1/accounts", "nonsense"), ("/v1/accounts", ""), ("/v1/accounts", "5"), ("/v1/accounts", "é"),
        ("/v1/accounts", cursor[:-2]), ("/v1/accounts", "W10"), ("/v1/units", cursor), ("/v1/accounts", day),
        (of_other_days, day), ("/v1/accounts", "WyIwMDAwMDAwMCIsMV0"),
    ):  # fmt: skip
        response = await desk.http.get(f"{path}{'&' if '?' in path else '?'}cursor={wrong}")
        assert (response.status_code, response.json()["code"]) == (422, "invalid_cursor"), (path, wrong)


@pytest.mark.parametrize("limit", ["0", "-1", str(LIMIT_MAX + 1), "many"])
async def test_a_page_has_one_row_at_least_and_a_thousand_at_most(desk, limit):
    response = await desk.http.get("/v1/accounts", params={"limit": limit})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


async def test_the_client_brings_the_whole_list(desk, monkeypatch):
    """Also the last page of which is full, and one with parameters of its own."""
    sent = []
    once = client_module.AsyncClient._once

    async def of_two(self, method, path, **request):
        sent.append(path)
        params = request.pop("params", {}) | {"limit": 2}
        return await once(self, method, path, params=params, **request)

    monkeypatch.setattr(client_module.AsyncClient, "_once", of_two)
    held = [account.account_id for account in desk.gateway.exchange.accounts]
    assert [account.account_id for account in await desk.client.accounts()] == held
    assert len(sent) == (len(held) + 1) // 2


async def test_attempts_that_were_refused_come_in_pages_while_more_are_made(tmp_path):
    async with opened(tmp_path) as door:
        for _ in range(5):
            await door.ask("trader", "GET", "/v1/accounts")
        first = await door.ask("auditor", "GET", "/v1/denials?limit=3")
        await door.ask("trader", "GET", "/v1/state")
        door.access.denials.popleft()  # as when there are too many
        rest = await door.ask("auditor", "GET", f"/v1/denials?cursor={first.headers['Carbonex-Cursor']}")
        assert [one["path"] for one in first.json() + rest.json()] == ["/v1/accounts"] * 5 + ["/v1/state"]
