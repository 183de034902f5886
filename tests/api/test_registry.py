"""A compliance year over HTTP, by the client; accounts, units and serial numbers go by their names."""

import csv
import io
import re

import httpx
import pytest

from api.app import make_app
from api.client import ApiError, AsyncClient
from api.tables import table_of
from tests.api.conftest import running_desk

pytestmark = pytest.mark.anyio

REG, VER = "REG", "VER"
HISTORICAL = {"method": "historical", "base_emissions": 20_000, "sector_factor": "0.9"}


class Walked(httpx.AsyncBaseTransport):
    """Remembers which requests went through it."""

    def __init__(self, inner):
        self.inner, self.requests = inner, []

    async def handle_async_request(self, request):
        self.requests.append((request.method, request.url.path))
        return await self.inner.handle_async_request(request)


@pytest.fixture
async def registry(anyio_backend):
    """A market by Hubei's rules with an authority, a verifier, enterprises E and F, and an institution I."""
    async with running_desk() as desk:
        await desk.client.open_account(REG, "Authority", "registry_authority")
        await desk.client.open_account(VER, "Verifier", "verifier")
        await desk.client.open_account("E", "Daye Steel", region="Hubei")
        await desk.client.open_account("F", "Wuhan Heat", region="Hubei")
        await desk.client.open_account("I", "Trader", "institution")
        yield desk


async def allocate(client, emissions):
    """2025 as far as the final allocation: 18,000 t for everybody named, who emitted so much."""
    await client.open_period(REG, 2025, 1_000_000)
    for name in emissions:
        await client.record_activity(REG, name, {"year": 2024, "emissions": 20_000})
    await client.decide_coverage(REG, 2025)
    for name in emissions:
        await client.set_basis(REG, name, 2025, [HISTORICAL])
    await client.pre_allocate(REG, 2025)
    await client.publish_factor(REG, "coke", 1, "2", "tCO2/t", 2025, "a scene")
    await client.open_reporting(REG, 2025, "2026-09-30", list(emissions))
    for name, tonnes in emissions.items():
        line = {"source": "furnace", "activity": str(tonnes / 2), "activity_unit": "t", "factor": "coke"}
        await client.file_report(name, 2025, [line])
        await client.submit_report(name, 2025)
        await client.verify_report(VER, name, 2025, "confirm")
    await client.determine_allocation(REG, 2025)


async def refused(answer):
    with pytest.raises(ApiError) as error:
        await answer
    return error.value.status, error.value.code


@pytest.mark.examples
async def test_a_compliance_year_from_its_opening_to_the_lapse(registry):
    walked = Walked(registry.transport)
    app = make_app(registry.gateway)
    async with AsyncClient("http://exchange", transport=walked) as client:
        await registry.client.list_instrument("HBEA-2024", "allowance", 2024, "40.00")
        await registry.client.open_day("2026-01-05")

        # who is covered, and the first part
        opened = await client.open_period(REG, 2025, 1_000_000)
        assert (opened.unit, opened.cap) == ("HBEA-2025", 1_000_000)
        await client.record_activity(REG, "E", {"year": 2024, "emissions": 20_000})
        await client.record_activity(REG, "F", {"year": 2024, "energy_tce": 10_000}, "steel")
        assert [(one.year, one.energy_tce) for one in await client.activities("F")] == [(2024, 10_000)]
        decided = await client.decide_coverage(REG, 2025)
        assert decided.decisions == await client.coverage(2025)
        assert {one.account_id: one.why for one in decided.decisions} == {
            "E": "above_threshold", "F": "above_threshold",
        }  # fmt: skip
        for name in ("E", "F"):
            assert (await client.set_basis(REG, name, 2025, [HISTORICAL])).initial == 18_000
        first = await client.pre_allocate(REG, 2025)
        assert (first.reserve, [(one.account_id, one.issued) for one in first.allocations]) == (
            80_000, [("E", 12_600), ("F", 12_600)],
        )  # fmt: skip
        assert first.allocations[0].serials == [(80_001, 92_600)]

        # what was emitted
        published = await client.publish_factor(REG, "coke", 1, "2", "tCO2/t", 2025, "a scene")
        assert published.factor in await client.factors()
        due = await client.open_reporting(REG, 2025, "2026-09-30")
        assert (due.accounts, [one.year for one in await client.reportings()]) == (["E", "F"], [2025])
        line = {"source": "furnace", "activity": "7000", "activity_unit": "t", "factor": "coke"}
        drawn = await client.file_report("E", 2025, [line], [{"name": "steel", "value": "5000", "unit": "t"}])
        assert (drawn.report.state, drawn.report.total, drawn.report.lines[0].emissions) == ("draft", 14_000, "14000")
        await client.submit_report("E", 2025)
        corrected = await client.verify_report(VER, "E", 2025, "correct", 15_000, "a source was forgotten")
        assert (corrected.report.figure, corrected.report.verifications[0].verifier) == (15_000, VER)
        again = await client.restate_report("E", "E", 2025, "so it was")
        assert (again.report.version, again.emissions) == (2, 15_000)
        await client.submit_report("E", 2025)
        await client.verify_report(VER, "E", 2025, "confirm")
        await client.file_report("F", 2025, [line | {"activity": "10000"}])
        await client.submit_report("F", 2025)
        await client.verify_report(VER, "F", 2025, "confirm")
        assert [one.figure for one in await client.emission_reports(2025)] == [14_000, 20_000]
        trace = await client.emission_trace("E", 2025)
        assert (trace.emissions, trace.version, len(trace.versions), trace.factors) == (
            14_000, 2, 2, [published.factor],
        )  # fmt: skip
        await client.sanction_report(REG, "F", 2025, "0.5", "the scales were false")

        # the rest of the allocation, and what it has to pay
        final = await client.determine_allocation(REG, 2025)
        assert [(one.account_id, one.true_up) for one in final.allocations] == [("E", 5400), ("F", 5400)]
        window = await client.open_surrender(REG, 2025, "2026-12-26")
        assert window.due == {"E": 14_000, "F": 20_000}
        assert (await client.remind_obligors(REG, 2025)).missing == window.due
        assert [one.account_id for one in await client.obligors(2025)] == ["E", "F"]
        short = await client.obligor(2025, "F")
        assert (short.missing, short.plan, short.plan_missing, short.offset_cap) == (
            20_000, {"HBEA-2025": 18_000}, 2000, 1800,
        )  # fmt: skip

        # surrender: refused, by choice, by default, for another
        asked = await client.request_surrender("E", 2025, {"HBEA-2025": 14_000})
        assert await client.surrenders(2025) == [asked.request]
        assert (await client.obligor(2025, "E")).pending == [asked.request]
        await client.reject_surrender(REG, asked.request.request_id, "another time")
        asked = await client.request_surrender("E", 2025)
        done = await client.confirm_surrender(REG, asked.request.request_id)
        assert (done.request.tonnes, done.serials, done.missing) == (
            {"HBEA-2025": 14_000}, {"HBEA-2025": [(80_001, 92_600), (105_201, 106_600)]}, 0,
        )  # fmt: skip
        given = await client.give_units(REG, "E", "I", "HBEA-2025", 1000, "correction")
        assert (given.taker, given.serials) == ("I", [(106_601, 107_600)])
        assert (await client.obligor(2025, "F", payer="I")).plan == {"HBEA-2025": 1000}
        asked = await client.request_surrender("I", 2025, {"HBEA-2025": 400}, on_behalf_of="F")
        assert (asked.request.payer, asked.request.obligor) == ("I", "F")
        await client.confirm_surrender(REG, asked.request.request_id)
        forced = await client.force_surrender(REG, "F", 2025)
        assert (forced.tonnes, forced.missing) == ({"HBEA-2025": 18_000}, 1600)

        # the serial numbers tell it all
        life = await client.serial("HBEA-2025", 106_601)
        assert (life.holder, life.state) == ("I", "surrendered")
        assert [(one.cause, one.giver, one.taker) for one in life.movements] == [
            ("issued", None, "E"), ("transferred", "E", "I"), ("surrendered", "I", None),
        ]  # fmt: skip
        assert life.movements[1].sequence == given.sequence

        # the end: the price of 2026 is the close of the listed vintage
        await registry.client.set_phase("continuous")
        await registry.client.set_phase("closed")
        await registry.client.settle()
        await registry.client.open_day("2026-12-28")
        assert (await client.close_reporting(REG, 2025)).refused == []
        closed = await client.close_surrender(REG, 2025)
        assert (closed.mean_price, closed.complied) == ("40.00", 1)
        record = closed.records[1]
        assert (record.account_id, record.outcome, record.shortfall, record.fine, record.deduction) == (
            "F", "short", 1600, "150000.00", 3200,
        )  # fmt: skip
        await registry.client.deposit("F", "150000.00")
        assert (await client.pay_fine("F", 2025)).amount == "150000.00"
        records = await client.compliance_records(2025)
        assert [(one.account_id, one.outcome, one.fine_paid) for one in records] == [
            ("E", "complied", "0.00"), ("F", "short", "150000.00"),
        ]  # fmt: skip
        assert await client.compliance_records(2024) == []
        lapsed = await client.lapse_units(REG, 2025)
        assert (lapsed.tonnes, lapsed.reserve) == ({"E": 3000, "I": 600}, 80_000)
        year = (await client.periods())[0]
        assert year == await client.period(2025)
        assert (year.stage, year.complied, year.covered, year.missing, year.fines) == (
            "closed", 1, 2, 1600, "150000.00",
        )  # fmt: skip

        # where a rule or a state forbids it, the request is refused, but its route is there
        assert await refused(client.carry_over_units(REG, "E", 2025)) == (404, "unknown_period")
        assert await refused(client.release_parked(REG, "E", 2025)) == (409, "insufficient_units")
        assert await refused(client.assess_emissions(REG, "E", 2025, 1, "?")) == (409, "wrong_state")

        # units, locks, reports
        await client.register_unit(REG, "CCER-W", "credit", 2024, scheme="CCER", kind="wind", grade="A")
        await registry.client.issue("I", "CCER-W", 100, "credit")
        lock = (await client.lock_units(REG, "I", "CCER-W", 60, "pledged", "contract 7", in_favour_of="F")).lock
        assert await client.lock(lock.lock_id) == lock
        assert await client.locks() == await client.locks("I") == [lock]
        await client.release_units(REG, lock.lock_id, 20)
        assert (await client.enforce_lock(REG, lock.lock_id, 30)).serials == [(1, 30)]
        assert (await client.retire_units("F", "CCER-W", 5, "a wedding")).serials == [(1, 5)]
        await client.cancel_units(REG, "F", "CCER-W", 5, "counted twice")
        credit = await client.unit("CCER-W")
        assert credit in await client.units()
        assert (credit.issued, credit.held, credit.retired, credit.cancelled) == (100, 90, 5, 5)
        stated = await client.registry_statement("I")
        assert [(one.unit, one.registry, one.pledged, one.settled) for one in stated.holdings] == [
            ("CCER-W", 60, 10, 70),
        ]  # fmt: skip
        assert [(one.first, one.last, one.cause) for one in stated.blocks] == [(31, 100, "issued")]
        assert [one.quantity for one in stated.locks] == [10]
        report = await client.registry_report()
        assert [row.unit for row in report.rows] == ["CCER-W", "HBEA-2025"]
        assert report.total.total == 116_000 + 100
        lines = (await client.registry_report_csv()).splitlines()
        assert lines[-1].startswith("all,,,") and len(lines) == 4
        assert await client.large_holders() == []
        roles = {one.participant_class: one.rights for one in await client.roles()}
        assert roles["verifier"]["active"] == ["verify"] and roles["registry_authority"]["frozen"] == ["hold"]
        assert (await client.change_account_status(REG, "I", "frozen", "a court")).status == "frozen"
        assert (await registry.client.account("I")).status_reason == "a court"

    ours = [
        (method, path)
        for path, verbs in app.openapi()["paths"].items()
        for method, about in verbs.items()
        if {"registry", "compliance", "emissions"} & set(about["tags"])
    ]
    assert len(ours) > 50
    for method, path in ours:
        pattern = re.sub(r"{\w+}", "[^/]+", path)
        assert any(asked == method.upper() and re.fullmatch(pattern, at) for asked, at in walked.requests), path
    assert all(check.ok for check in await registry.client.checks())


async def test_an_enterprise_reads_what_it_has_offered_and_what_is_gone(registry):
    client = registry.client
    await client.list_instrument("HBEA-2024", "allowance", 2024, "40.00")
    await client.open_day("2026-01-05")
    await allocate(client, {"E": 14_000, "F": 20_000})
    await client.open_surrender(REG, 2025, "2026-12-26")
    await client.request_surrender("E", 2025, {"HBEA-2025": 9000})
    year = await client.obligor(2025, "E")
    assert (year.missing, year.waiting, year.to_offer, year.cuts, year.to_deduct) == (14_000, 9000, 5000, [], 0)
    assert (year.plan, year.plan_missing) == ({"HBEA-2025": 5000}, 0)
    assert "verified 14,000 - confirmed 0 - waiting 9,000 = still to offer 5,000" in table_of(year)

    await client.confirm_surrender(REG, 1)
    await client.retire_units("E", "HBEA-2025", 7, "a wedding")
    stated = await client.registry_statement("E")
    assert [(one.cause, one.quantity, one.giver) for one in stated.ended] == [
        ("surrendered", 9000, "E"), ("retired", 7, "E"),
    ]  # fmt: skip
    assert sum(one.quantity for one in (*stated.blocks, *stated.ended)) == 18_000
    gone = (await client.registry_statement("F")).ended
    assert gone == []

    await client.set_phase("continuous")
    await client.set_phase("closed")
    await client.settle()
    await client.open_day("2026-12-28")
    await client.close_surrender(REG, 2025)
    year = await client.obligor(2025, "E")
    assert (year.shortfall, year.fine, year.to_deduct) == (5000, "150000.00", 10_000)
    told = table_of(year)
    for line in ("= shortfall 5,000", "150,000.00 CNY, of which 0.00 paid", "10,000 t come off the next allocation"):
        assert line in told


async def test_a_year_without_a_report_explains_the_cut_of_the_next(registry):
    client = registry.client
    await client.open_day("2026-01-05")
    await client.open_reporting(REG, 2024, "2026-01-05", ["E"])
    await client.set_phase("continuous")
    await client.set_phase("closed")
    await client.settle()
    await client.open_day("2026-01-06")
    await client.close_reporting(REG, 2024)
    await client.open_period(REG, 2025, 0)
    await client.record_activity(REG, "E", {"year": 2024, "emissions": 20_000})
    await client.decide_coverage(REG, 2025)
    year = await client.obligor(2025, "E")
    assert [(one.breach, one.share) for one in year.cuts] == [("refusal", "0.5")]
    assert "cut to 0.5 of the last allocation: no report of 2024" in table_of(year)


async def test_coverage_and_obligors_come_as_csv(registry):
    await registry.client.open_period(REG, 2025, 0)
    before = (await registry.http.get("/v1/periods/2025/obligors", params={"format": "csv"})).text
    assert before.startswith("account_id,") and len(before.splitlines()) == 1
    await registry.client.record_activity(REG, "E", {"year": 2024, "emissions": 20_000})
    await registry.client.decide_coverage(REG, 2025)
    for path in ("coverage", "obligors"):
        answer = await registry.http.get(f"/v1/periods/2025/{path}", params={"format": "csv"})
        assert answer.headers["content-type"].startswith("text/csv")
        (found,) = csv.DictReader(io.StringIO(answer.text))
        assert (found["account_id"], found["why"]) == ("E", "above_threshold")
        assert not {"bases", "usable", "pending"} & set(found) and "{" not in answer.text


@pytest.mark.examples
async def test_carry_over_by_the_national_rules():
    async with running_desk("national") as desk:
        client = desk.client
        await client.open_account(REG, "Authority", "registry_authority")
        await client.open_account("E", "Power")
        for year in (2024, 2025):
            await client.open_period(REG, year, 0)
        await client.issue("E", "CEA-2024", 20_000)
        await client.record_activity(REG, "E", {"year": 2023, "emissions": 0})
        await client.decide_coverage(REG, 2024)
        await client.pre_allocate(REG, 2024)
        await client.determine_allocation(REG, 2024)
        await client.list_instrument("CEA-2024", "allowance", 2024, "70.00")
        await client.open_day("2025-12-30")
        await client.open_surrender(REG, 2024, "2025-12-31")
        await client.close_surrender(REG, 2024)
        carried = await client.carry_over_units(REG, "E", 2024)
        assert (carried.limit, carried.tonnes, carried.unit, carried.serials) == (
            10_000, {"CEA-2024": 10_000}, "CEA-2025", [(1, 10_000)],
        )  # fmt: skip


@pytest.mark.examples
async def test_what_is_parked_is_released(registry):
    client = registry.client
    await client.change_account_status(REG, "E", "frozen", "a court")
    await registry.client.open_day("2026-01-05")
    await client.open_period(REG, 2025, 0)
    await client.record_activity(REG, "E", {"year": 2024, "emissions": 20_000})
    await client.decide_coverage(REG, 2025)
    await client.set_basis(REG, "E", 2025, [HISTORICAL])
    assert (await client.pre_allocate(REG, 2025)).allocations[0].parked
    await client.change_account_status(REG, "E", "active", "over")
    released = await client.release_parked(REG, "E", 2025)
    assert (released.quantity, released.serials) == (12_600, [(1, 12_600)])


@pytest.mark.examples
async def test_who_does_not_report_is_assessed(registry):
    client = registry.client
    await client.open_day("2026-01-05")
    await client.open_reporting(REG, 2025, "2026-01-05", ["E"])
    await client.set_phase("continuous")
    await client.set_phase("closed")
    await client.settle()
    await client.open_day("2026-01-06")
    assert (await client.close_reporting(REG, 2025)).refused == ["E"]
    assessed = await client.assess_emissions(REG, "E", 2025, 30_000, "the last figure and a half")
    assert (assessed.report.state, assessed.report.assessment.by) == ("assessed", REG)
    assert assessed.consequences[0].account_id == "E"


@pytest.mark.examples
async def test_a_large_holder_is_reported(registry):
    await registry.client.open_period(REG, 2025, 0)
    await registry.client.issue("I", "HBEA-2025", 500_001)
    holders = await registry.client.large_holders()
    assert [(one.account_id, one.position, one.reported_above, one.limit) for one in holders] == [
        ("I", 500_001, 500_000, 1_000_000),
    ]  # fmt: skip


async def test_a_pending_account_does_nothing_until_it_is_active(registry):
    client = registry.client
    pending = await client.open_account("N", "New", "institution", approved=False)
    assert pending.status == "pending"
    await client.register_unit(REG, "CCER-W", "credit", 2024)
    assert await refused(client.issue("N", "CCER-W", 1, "credit")) == (403, "not_permitted")
    await client.change_account_status(REG, "N", "active", "papers are in order")
    await client.issue("N", "CCER-W", 1, "credit")


async def test_the_sum_of_the_report_is_what_was_issued(registry):
    client = registry.client
    await client.open_day("2026-01-05")
    await allocate(client, {"E": 14_000, "F": 20_000})
    await client.retire_units("E", "HBEA-2025", 7, "of its own will")
    await client.lock_units(REG, "E", "HBEA-2025", 11, "judicial", "case 4")
    await client.give_units(REG, "E", "I", "HBEA-2025", 13, "merger")
    report = await client.registry_report()
    row = report.rows[0]
    columns = {name: tonnes for name, tonnes in row.model_dump().items() if name not in ("unit", "species", "vintage")}
    assert columns == {
        "general": 13, "compliance": 36_000 - 31, "limited_use": 11, "voluntary": 7, "auction_and_issuance": 0,
        "retirement": 0, "invalidation": 0, "reserve": 80_000, "environmental_integrity": 0, "total": 116_000,
    }  # fmt: skip
    assert sum(columns.values()) == 2 * row.total
    assert report.total.total == (await client.unit("HBEA-2025")).issued


# ---------------------------------------------------------------- refusals and malformed requests

REFUSED = {
    "by nobody": ("units", {"by": "nobody", "code": "X", "species": "credit", "vintage": 1}, 404, "unknown_account"),
    "without the right": ("units", {"by": "E", "code": "X", "species": "credit", "vintage": 1}, 403, "not_permitted"),
    "of an unknown unit": (
        "accounts/E/retirements", {"unit": "X", "quantity": 1, "purpose": ""}, 404, "unknown_unit",
    ),
    "of nothing": ("accounts/E/retirements", {"unit": "U", "quantity": 0, "purpose": ""}, 422, "quantity_not_positive"),
    "of more than is there": (
        "accounts/E/retirements", {"unit": "U", "quantity": 2**62, "purpose": ""}, 409, "insufficient_units",
    ),
    "a unit twice": ("units", {"by": REG, "code": "U", "species": "credit", "vintage": 1}, 409, "instrument_exists"),
    "of an unknown lock": ("locks/7/release", {"by": REG, "quantity": 1}, 404, "unknown_lock"),
    "of an unknown year": ("periods/2019/reminders", {"by": REG}, 404, "unknown_period"),
    "of an unknown surrender": ("surrenders/7/confirmation", {"by": REG}, 404, "unknown_surrender"),
    "of an unknown factor's next version": (
        "emission-factors",
        {"by": REG, "name": "x", "version": 2, "value": "1", "unit": "tCO2/t", "valid_from_year": 2025, "source": ""},
        422,
        "invalid_number",
    ),
    "a year in a stage too far": ("periods/2025/determination", {"by": REG}, 409, "wrong_state"),
    "a year that is none": ("periods", {"by": REG, "year": 99, "cap": 0}, 422, "invalid_date"),
    "a year twice": ("periods", {"by": REG, "year": 2025, "cap": 0}, 409, "period_exists"),
    "an impossible cap": ("periods", {"by": REG, "year": 2026, "cap": -1}, 422, "invalid_number"),
    "a status that does not follow": (
        "accounts/E/status", {"by": REG, "status": "pending", "reason": ""}, 409, "wrong_state",
    ),
    "a field nobody knows": ("periods/2025/coverage", {"by": REG, "colour": "green"}, 422, "invalid_request"),
    "a field deep inside that nobody knows": (
        "accounts/E/activities", {"by": REG, "activity": {"year": 2024, "colour": 1}}, 422, "invalid_request",
    ),
    "a field that is missing": ("periods/2025/coverage", {}, 422, "invalid_request"),
    "a number as text": ("periods", {"by": REG, "year": "2026", "cap": 0}, 422, "invalid_request"),
    "a fraction of a tonne": (
        "accounts/E/retirements", {"unit": "U", "quantity": 0.5, "purpose": ""}, 422, "invalid_request",
    ),
    "a number beyond 64 bits": (
        "accounts/E/retirements", {"unit": "U", "quantity": 2**63, "purpose": ""}, 422, "invalid_request",
    ),
    "a lock beyond 64 bits": (f"locks/{2**70}/release", {"by": REG, "quantity": 1}, 422, "invalid_request"),
    "a date that is none": (
        "periods/2025/surrender-window", {"by": REG, "deadline": "2026-02-30"}, 422, "invalid_request",
    ),
    "a status of no kind": (
        "accounts/E/status", {"by": REG, "status": "happy", "reason": ""}, 422, "invalid_request",
    ),
    "a basis of no kind": (
        "periods/2025/obligors/E/bases", {"by": REG, "bases": [{"method": "guess"}]}, 422, "invalid_request",
    ),
    "a share that is none": (
        "periods/2025/obligors/E/bases",
        {"by": REG, "bases": [{"method": "power", "electricity_mwh": "1", "power_benchmark": "1", "load_factor": "2"}]},
        422,
        "invalid_request",
    ),
    "a text without end": (
        "accounts/E/status", {"by": REG, "status": "frozen", "reason": "x" * 2001}, 422, "invalid_request",
    ),
    "a path that is no id": (
        "accounts/@/status", {"by": REG, "status": "frozen", "reason": ""}, 422, "invalid_request",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "code"), REFUSED.values(), ids=REFUSED)
async def test_a_refusal_has_its_status_and_code_and_changes_nothing(registry, path, body, status, code):
    await registry.client.register_unit(REG, "U", "credit", 2024)
    await registry.client.open_period(REG, 2025, 0)
    before = await registry.digest()
    response = await registry.http.post(f"/v1/{path}", json=body)

    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert await registry.digest() == before


NOT_THERE = {
    "units/X": "unknown_unit",
    "units/X/serials/1": "unknown_unit",
    "units/U/serials/1": "unknown_unit",
    f"units/U/serials/{2**70}": "unknown_unit",
    "locks/1": "unknown_lock",
    "accounts/X/locks": "unknown_account",
    "accounts/X/activities": "unknown_account",
    "accounts/X/registry-statement": "unknown_account",
    "periods/2019": "unknown_period",
    "periods/2019/coverage": "unknown_period",
    "periods/2019/obligors": "unknown_period",
    "periods/2019/obligors/E": "unknown_period",
    "periods/2019/surrenders": "unknown_period",
    "periods/2025/obligors/E": "unknown_account",
    "emissions/2025/reports": "unknown_period",
    "emissions/2025/reports/E": "unknown_report",
}


@pytest.mark.parametrize(("path", "code"), NOT_THERE.items())
async def test_what_is_not_there_is_not_found(registry, path, code):
    await registry.client.register_unit(REG, "U", "credit", 2024)
    await registry.client.open_period(REG, 2025, 0)
    response = await registry.http.get(f"/v1/{path}")
    assert (response.status_code, response.json()["code"]) == (404, code)


async def test_no_lone_half_of_a_character_reaches_the_journal(registry):
    body = b'{"by": "REG", "status": "frozen", "reason": "\\ud800"}'
    response = await registry.http.post(
        "/v1/accounts/E/status", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code in (400, 422)


async def test_every_request_and_answer_of_the_registry_is_documented(registry):
    paths = make_app(registry.gateway).openapi()["paths"]
    for path, verbs in paths.items():
        for about in verbs.values():
            if {"registry", "compliance", "emissions", "credits"} & set(about["tags"]):
                success = about["responses"].get("200") or about["responses"]["201"]
                assert success["content"]["application/json"]["schema"], path
                assert about["description"] and about["summary"], path
                assert "403" in about["responses"], path


async def test_the_pages_tell_routes_apart_and_show_examples(registry):
    described = make_app(registry.gateway).openapi()
    routes = [about for verbs in described["paths"].values() for about in verbs.values()]
    summaries = [about["summary"] for about in routes]
    assert len(set(summaries)) == len(summaries)
    assert {tag for about in routes for tag in about["tags"]} == {
        "accounts", "market", "operator", "orders", "registry", "compliance", "emissions", "credits", "settlement",
        "clearing", "failures", "currencies", "access", "health",
    }  # fmt: skip
    shapes = described["components"]["schemas"]
    assert shapes["RequestSurrender"]["properties"]["units"]["examples"] == [{"HBEA-2024": 14_000}]
    assert shapes["SetBasis"]["properties"]["bases"]["examples"][0][0]["method"] == "historical"
    columns = shapes["UnitRow"]["properties"]
    assert all(columns[name].get("description") for name in columns if name not in ("unit", "vintage"))
