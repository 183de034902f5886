"""Reductions over HTTP, by the client: from the methodology to the units, and back for fraud."""

import re

import pytest

from api.app import make_app
from api.client import ApiError, AsyncClient
from tests.api.conftest import running_desk
from tests.api.test_registry import REG, Walked

pytestmark = pytest.mark.anyio

FOREST = {
    "scheme": "HBCER", "methodology": "M1", "title": "Forest of Enshi", "kind": "forestry", "region": "Enshi",
    "started_on": "2023-12-01", "crediting_from": "2024-01-01", "crediting_to": "2033-12-31",
}  # fmt: skip


async def next_day(client, day):
    await client.set_phase("continuous")
    await client.set_phase("closed")
    await client.settle()
    await client.open_day(day)


@pytest.mark.examples
async def test_a_forest_earns_credits_until_it_turns_out_not_to_exist():
    async with running_desk() as desk:
        market, walked = desk.client, Walked(desk.transport)
        await market.open_account(REG, "Authority", "registry_authority")
        for verifier in ("VERA", "VICTOR"):
            await market.open_account(verifier, verifier, "verifier")
        await market.open_account("OLGA", "Owner")
        await market.open_day("2026-01-05")
        async with AsyncClient("http://exchange", transport=walked) as client:
            approved = await client.approve_methodology(REG, "M1", "Afforestation", "forestry", 10)
            assert await client.methodologies() == [approved.methodology]
            filed = await client.file_project("OLGA", "P1", also_known_as=["VCS-7"], **FOREST)
            assert (filed.project.owner, filed.project.validator, filed.project.state) == ("OLGA", None, "filed")
            assert (await client.validate_project("VERA", "P1", True, "it grows")).project.validator == "VERA"
            public = await client.publish_project(REG, "P1")
            assert str(public.project.public_until) == "2026-02-02"
            with pytest.raises(ApiError, match=r"too_early \(409\)"):
                await client.register_project(REG, "P1")
            await client.file_project("OLGA", "P2", **FOREST | {"title": "Another"})
            assert (await client.reject_project(REG, "P2", "incomplete")).project.reason == "incomplete"
            await next_day(market, "2026-02-03")
            assert (await client.register_project(REG, "P1", "A")).project.grade == "A"

            reported = await client.report_reduction("OLGA", "P1", "2025-01-01", "2025-12-31", 1000)
            assert (reported.reduction.number, reported.reduction.metered, reported.reduction.unit) == (1, None, None)
            with pytest.raises(ApiError, match=r"same_verifier \(403\)"):
                await client.verify_reduction("VERA", 1, 900)
            assert (await client.verify_reduction("VICTOR", 1, 900)).reduction.verifier == "VICTOR"
            await client.publish_reduction(REG, 1)
            await client.suspend_project(REG, "P1", "a tip")
            await client.reinstate_project(REG, "P1")
            power = await client.register_green_power(
                "OLGA", "WIND-7", "2500.5", "0.4044", "2025-01-01", "2025-12-31",
                factor_source="Hubei 2023", region="Suizhou", certificates=[["GEC-1", "GEC-2500"]],
            )  # fmt: skip
            assert power.reduction.metered["certificates"] == [["GEC-1", "GEC-2500"]]
            assert (power.reduction.number, power.reduction.tonnes) == (2, 1011)
            await client.reject_reduction(REG, 2, "not plausible")
            rides = await client.register_inclusion(
                "OLGA", "2025-12", 2_400_000, "2025-01-01", "2025-12-31", "bus rides", region="Wuhan"
            )
            await next_day(market, "2026-03-04")
            issued = await client.issue_reduction(REG, 1)
            assert (issued.unit, issued.serials, issued.reduction.unit) == (
                "HBCER-P1-2025",
                [(1, 900)],
                "HBCER-P1-2025",
            )
            assert issued.display_serials == ["HBCER-P1-2025-1-00000001-00000900"]
            assert (await client.issue_reduction(REG, rides.reduction.number)).grams_left == 400_000
            standing = await client.project("P1")
            assert (standing.project in await client.projects(), standing.reductions) == (True, [1])

            await client.retire_units("OLGA", "HBCER-P1-2025", 100, "a wedding")
            revoked = await client.revoke_reduction(REG, 1, "the forest does not exist")
            assert (revoked.cancelled, revoked.to_replace) == (800, 100)
            assert [(one.owner, one.tonnes) for one in await client.duties()] == [("OLGA", 100)]
            await client.open_period(REG, 2025, 0)
            await market.issue("OLGA", "HBEA-2025", 200)
            replaced = await client.replace_units("OLGA", 1, "HBEA-2025", 60)
            assert (replaced.unit, replaced.serials, replaced.still_to_replace) == ("HBEA-2025", [(1, 60)], 40)
            assert await client.reduction(1) in await client.reductions()
            assert await client.overdue() == []
            assert (await client.withdraw_methodology(REG, "M1")).methodology.withdrawn_on is not None

            for path in ("projects/X", "reductions/9"):
                response = await desk.http.get(f"/v1/{path}")
                assert response.status_code == 404

        for path, verbs in make_app(desk.gateway).openapi()["paths"].items():
            for method, about in verbs.items():
                if "credits" in about["tags"]:
                    pattern = re.sub(r"{\w+}", "[^/]+", path)
                    asked = [one for one in walked.requests if one[0] == method.upper()]
                    assert any(re.fullmatch(pattern, at) for _, at in asked), f"{method} {path}"
        assert all(check.ok for check in await market.checks())


@pytest.mark.examples
async def test_what_is_decided_too_late_is_overdue():
    async with running_desk() as desk:
        client = desk.client
        for account_id, of_class in ((REG, "registry_authority"), ("VERA", "verifier"), ("OLGA", "covered_enterprise")):
            await client.open_account(account_id, account_id, of_class)
        await client.open_day("2026-01-05")
        await client.approve_methodology(REG, "M1", "Afforestation", "forestry", 10)
        await client.file_project("OLGA", "P1", **FOREST)
        await client.validate_project("VERA", "P1", True, "it grows")
        await client.publish_project(REG, "P1")
        await next_day(client, "2026-06-01")
        assert [one.what for one in await client.overdue()] == ["decide on project P1"]
