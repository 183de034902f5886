"""What the client asks of the registry and of a compliance year: a method for each route, under the command's name.

`by` is the account id of who asks, `units` are tonnes by unit code, dates are ISO 8601. A command's answer has its
`sequence`; ApiError `not_permitted` if the class or status of who asks does not admit it.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from api import schemas
from api.calls import Wire, call

_Answer = TypeVar("_Answer", bound=BaseModel)


async def _post(wire: Wire, path: str, shape: type[_Answer], **body: Any) -> _Answer:
    """Ask for something; what is None is left out."""
    given = {name: value for name, value in body.items() if value is not None}
    return await wire._one("POST", f"/v1{path}", shape, json=given)


class RegistryCalls:
    """The registry's part of the client."""

    # -- participants

    @call
    async def roles(self: Wire) -> list[schemas.RoleView]:
        """What each class of participants may do, by the status of its account."""
        return await self._many("GET", "/v1/roles", schemas.RoleView)

    @call
    async def change_account_status(
        self: Wire, by: str, account_id: str, status: str, reason: str
    ) -> schemas.AccountStatusChanged:
        """To `active`, `restricted`, `frozen` or `closed`."""
        path = f"/accounts/{account_id}/status"
        return await _post(self, path, schemas.AccountStatusChanged, by=by, status=status, reason=reason)

    # -- units and serial numbers

    @call
    async def units(self: Wire) -> list[schemas.UnitView]:
        return await self._many("GET", "/v1/units", schemas.UnitView)

    @call
    async def unit(self: Wire, code: str) -> schemas.UnitView:
        return await self._one("GET", f"/v1/units/{code}", schemas.UnitView)

    @call
    async def register_unit(
        self: Wire, /, by: str, code: str, species: str, vintage: int, **described: str
    ) -> schemas.UnitRegistered:
        """`described`: scheme, project, kind, region, grade."""
        return await _post(
            self, "/units", schemas.UnitRegistered, by=by, code=code, species=species, vintage=vintage, **described
        )

    @call
    async def serial(self: Wire, code: str, number: int) -> schemas.SerialHistory:
        """Who held a serial number when, and what happened to it."""
        return await self._one("GET", f"/v1/units/{code}/serials/{number}", schemas.SerialHistory)

    @call
    async def give_units(
        self: Wire, by: str, giver: str, taker: str, unit: str, quantity: int, cause: str
    ) -> schemas.UnitsGiven:
        """`cause`: inheritance, merger, enforcement or correction."""
        return await _post(
            self, "/title-transfers", schemas.UnitsGiven,
            by=by, giver=giver, taker=taker, unit=unit, quantity=quantity, cause=cause,
        )  # fmt: skip

    @call
    async def retire_units(self: Wire, account_id: str, unit: str, quantity: int, purpose: str) -> schemas.UnitsRetired:
        path = f"/accounts/{account_id}/retirements"
        return await _post(self, path, schemas.UnitsRetired, unit=unit, quantity=quantity, purpose=purpose)

    @call
    async def cancel_units(
        self: Wire, by: str, account_id: str, unit: str, quantity: int, reason: str
    ) -> schemas.UnitsCancelled:
        path = f"/accounts/{account_id}/cancellations"
        return await _post(self, path, schemas.UnitsCancelled, by=by, unit=unit, quantity=quantity, reason=reason)

    # -- locks

    @call
    async def locks(self: Wire, account_id: str | None = None) -> list[schemas.LockView]:
        """All locks that hold, or those on an account's units."""
        path = f"/v1/accounts/{account_id}/locks" if account_id else "/v1/locks"
        return await self._many("GET", path, schemas.LockView)

    @call
    async def lock(self: Wire, lock_id: int) -> schemas.LockView:
        return await self._one("GET", f"/v1/locks/{lock_id}", schemas.LockView)

    @call
    async def lock_units(
        self: Wire,
        by: str,
        account_id: str,
        unit: str,
        quantity: int,
        kind: str,
        reference: str,
        in_favour_of: str | None = None,
    ) -> schemas.UnitsLocked:
        """`kind`: pledged or judicial."""
        return await _post(
            self, f"/accounts/{account_id}/locks", schemas.UnitsLocked,
            by=by, unit=unit, quantity=quantity, kind=kind, reference=reference, in_favour_of=in_favour_of,
        )  # fmt: skip

    @call
    async def release_units(self: Wire, by: str, lock_id: int, quantity: int) -> schemas.UnitsReleased:
        return await _post(self, f"/locks/{lock_id}/release", schemas.UnitsReleased, by=by, quantity=quantity)

    @call
    async def enforce_lock(self: Wire, by: str, lock_id: int, quantity: int) -> schemas.LockEnforced:
        return await _post(self, f"/locks/{lock_id}/enforcement", schemas.LockEnforced, by=by, quantity=quantity)

    # -- statements and reports

    @call
    async def registry_statement(self: Wire, account_id: str) -> schemas.RegistryStatement:
        """All units of an account, with the serial numbers and what brought them."""
        return await self._one("GET", f"/v1/accounts/{account_id}/registry-statement", schemas.RegistryStatement)

    @call
    async def registry_report(self: Wire) -> schemas.RegistryReport:
        """Where all units are, with totals that add up."""
        return await self._one("GET", "/v1/registry/report", schemas.RegistryReport)

    @call
    async def registry_report_csv(self: Wire) -> str:
        return (await self._send("GET", "/v1/registry/report", params={"format": "csv"})).text

    @call
    async def large_holders(self: Wire) -> list[schemas.LargeHolder]:
        return await self._many("GET", "/v1/registry/large-holders", schemas.LargeHolder)

    @call
    async def compliance_records(self: Wire, year: int | None = None) -> list[schemas.ComplianceRecord]:
        params = {} if year is None else {"year": year}
        return await self._many("GET", "/v1/compliance/records", schemas.ComplianceRecord, params=params)

    # -- a compliance year: who is covered, and who gets how much

    @call
    async def periods(self: Wire) -> list[schemas.PeriodView]:
        return await self._many("GET", "/v1/periods", schemas.PeriodView)

    @call
    async def period(self: Wire, year: int) -> schemas.PeriodView:
        return await self._one("GET", f"/v1/periods/{year}", schemas.PeriodView)

    @call
    async def open_period(
        self: Wire, by: str, year: int, cap: int, market_factor: str | None = None
    ) -> schemas.PeriodOpened:
        """Begin a compliance year under a cap in tCO2e (0: none)."""
        return await _post(
            self, "/periods", schemas.PeriodOpened, by=by, year=year, cap=cap, market_factor=market_factor
        )

    @call
    async def record_activity(
        self: Wire, by: str, account_id: str, activity: dict[str, Any], sector: str | None = None
    ) -> schemas.ActivityRecorded:
        """`activity`: year, and emissions (tCO2e), energy_tce, closed, in_national_market."""
        path = f"/accounts/{account_id}/activities"
        return await _post(self, path, schemas.ActivityRecorded, by=by, activity=activity, sector=sector)

    @call
    async def activities(self: Wire, account_id: str) -> list[schemas.ActivityView]:
        return await self._many("GET", f"/v1/accounts/{account_id}/activities", schemas.ActivityView)

    @call
    async def decide_coverage(self: Wire, by: str, year: int) -> schemas.CoverageDecided:
        return await _post(self, f"/periods/{year}/coverage", schemas.CoverageDecided, by=by)

    @call
    async def coverage(self: Wire, year: int) -> list[schemas.CoverageView]:
        """Who is covered and who is not, and why."""
        return await self._many("GET", f"/v1/periods/{year}/coverage", schemas.CoverageView)

    @call
    async def set_basis(
        self: Wire, by: str, account_id: str, year: int, bases: Sequence[dict[str, Any]]
    ) -> schemas.BasisSet:
        """Bases of allocation, each with its `method` and figures."""
        path = f"/periods/{year}/obligors/{account_id}/bases"
        return await _post(self, path, schemas.BasisSet, by=by, bases=list(bases))

    @call
    async def pre_allocate(self: Wire, by: str, year: int) -> schemas.PreAllocated:
        return await _post(self, f"/periods/{year}/pre-allocation", schemas.PreAllocated, by=by)

    @call
    async def determine_allocation(self: Wire, by: str, year: int) -> schemas.AllocationDetermined:
        return await _post(self, f"/periods/{year}/determination", schemas.AllocationDetermined, by=by)

    @call
    async def obligors(self: Wire, year: int) -> list[schemas.ObligorView]:
        return await self._many("GET", f"/v1/periods/{year}/obligors", schemas.ObligorView)

    @call
    async def obligor(self: Wire, year: int, account_id: str, payer: str | None = None) -> schemas.ObligorView:
        """An enterprise's year: all figures, what it (or a payer for it) may use, what would make it whole."""
        params = {"payer": payer} if payer else {}
        path = f"/v1/periods/{year}/obligors/{account_id}"
        return await self._one("GET", path, schemas.ObligorView, params=params)

    # -- a compliance year: surrender, and its end

    @call
    async def open_surrender(self: Wire, by: str, year: int, deadline: str) -> schemas.SurrenderOpened:
        path = f"/periods/{year}/surrender-window"
        return await _post(self, path, schemas.SurrenderOpened, by=by, deadline=deadline)

    @call
    async def remind_obligors(self: Wire, by: str, year: int) -> schemas.ObligorsReminded:
        return await _post(self, f"/periods/{year}/reminders", schemas.ObligorsReminded, by=by)

    @call
    async def request_surrender(
        self: Wire, account_id: str, year: int, units: dict[str, int] | None = None, on_behalf_of: str | None = None
    ) -> schemas.SurrenderRequested:
        """Offer units for a year's emissions; without `units` whatever makes whole, oldest first."""
        return await _post(
            self, f"/periods/{year}/surrenders", schemas.SurrenderRequested,
            account_id=account_id, units=units, on_behalf_of=on_behalf_of,
        )  # fmt: skip

    @call
    async def surrenders(self: Wire, year: int) -> list[schemas.SurrenderView]:
        """The requests that wait for the authority."""
        return await self._many("GET", f"/v1/periods/{year}/surrenders", schemas.SurrenderView)

    @call
    async def confirm_surrender(self: Wire, by: str, request_id: int) -> schemas.SurrenderConfirmed:
        return await _post(self, f"/surrenders/{request_id}/confirmation", schemas.SurrenderConfirmed, by=by)

    @call
    async def reject_surrender(self: Wire, by: str, request_id: int, reason: str) -> schemas.SurrenderRejected:
        path = f"/surrenders/{request_id}/rejection"
        return await _post(self, path, schemas.SurrenderRejected, by=by, reason=reason)

    @call
    async def force_surrender(self: Wire, by: str, account_id: str, year: int) -> schemas.SurrenderForced:
        path = f"/periods/{year}/obligors/{account_id}/enforcement"
        return await _post(self, path, schemas.SurrenderForced, by=by)

    @call
    async def release_parked(self: Wire, by: str, account_id: str, year: int) -> schemas.ParkedReleased:
        path = f"/periods/{year}/obligors/{account_id}/parked-release"
        return await _post(self, path, schemas.ParkedReleased, by=by)

    @call
    async def close_surrender(self: Wire, by: str, year: int) -> schemas.SurrenderClosed:
        return await _post(self, f"/periods/{year}/closing", schemas.SurrenderClosed, by=by)

    @call
    async def pay_fine(self: Wire, account_id: str, year: int) -> schemas.FinePaid:
        path = f"/v1/periods/{year}/obligors/{account_id}/fine-payment"
        return await self._one("POST", path, schemas.FinePaid)

    @call
    async def lapse_units(self: Wire, by: str, year: int) -> schemas.UnitsLapsed:
        return await _post(self, f"/periods/{year}/expiry", schemas.UnitsLapsed, by=by)

    @call
    async def carry_over_units(
        self: Wire, by: str, account_id: str, year: int, quantity: int | None = None
    ) -> schemas.UnitsCarriedOver:
        """Into the next vintage; without a quantity as much as may be."""
        path = f"/periods/{year}/carry-overs"
        return await _post(self, path, schemas.UnitsCarriedOver, by=by, account_id=account_id, quantity=quantity)

    # -- emissions

    @call
    async def publish_factor(
        self: Wire, by: str, name: str, version: int, value: str, unit: str, valid_from_year: int, source: str
    ) -> schemas.FactorPublished:
        """An emission factor or its next version, e.g. of "0.5568" in "tCO2/MWh"."""
        return await _post(
            self, "/emission-factors", schemas.FactorPublished,
            by=by, name=name, version=version, value=value, unit=unit, valid_from_year=valid_from_year, source=source,
        )  # fmt: skip

    @call
    async def factors(self: Wire) -> list[schemas.FactorView]:
        return await self._many("GET", "/v1/emission-factors", schemas.FactorView)

    @call
    async def open_reporting(
        self: Wire, by: str, year: int, deadline: str, accounts: Sequence[str] | None = None
    ) -> schemas.ReportingOpened:
        """Make reports of a year due from the accounts named, or from all covered enterprises."""
        path = f"/emissions/{year}/opening"
        named = None if accounts is None else list(accounts)
        return await _post(self, path, schemas.ReportingOpened, by=by, deadline=deadline, accounts=named)

    @call
    async def close_reporting(self: Wire, by: str, year: int) -> schemas.ReportingClosed:
        return await _post(self, f"/emissions/{year}/closing", schemas.ReportingClosed, by=by)

    @call
    async def reportings(self: Wire) -> list[schemas.ReportingStanding]:
        return await self._many("GET", "/v1/emissions", schemas.ReportingStanding)

    @call
    async def file_report(
        self: Wire,
        account_id: str,
        year: int,
        lines: Sequence[dict[str, Any]],
        outputs: Sequence[dict[str, Any]] = (),
        evidence: Sequence[dict[str, Any]] = (),
    ) -> schemas.ReportChanged:
        """File the draft of a report: `lines` of source, activity, activity_unit and factor."""
        path = f"/emissions/{year}/reports/{account_id}/draft"
        body = {"lines": list(lines), "outputs": list(outputs), "evidence": list(evidence)}
        return await _post(self, path, schemas.ReportChanged, **body)

    @call
    async def submit_report(self: Wire, account_id: str, year: int) -> schemas.ReportChanged:
        path = f"/v1/emissions/{year}/reports/{account_id}/submission"
        return await self._one("POST", path, schemas.ReportChanged)

    @call
    async def verify_report(
        self: Wire, by: str, account_id: str, year: int, verdict: str, emissions: int | None = None, reasons: str = ""
    ) -> schemas.ReportChanged:
        """`verdict`: confirm, correct (to `emissions`) or reject."""
        path = f"/emissions/{year}/reports/{account_id}/verification"
        return await _post(
            self, path, schemas.ReportChanged, by=by, verdict=verdict, emissions=emissions, reasons=reasons
        )

    @call
    async def restate_report(self: Wire, by: str, account_id: str, year: int, reason: str) -> schemas.ReportRestated:
        path = f"/emissions/{year}/reports/{account_id}/restatement"
        return await _post(self, path, schemas.ReportRestated, by=by, reason=reason)

    @call
    async def assess_emissions(
        self: Wire, by: str, account_id: str, year: int, emissions: int, reason: str
    ) -> schemas.EmissionsAssessed:
        path = f"/emissions/{year}/reports/{account_id}/assessment"
        return await _post(self, path, schemas.EmissionsAssessed, by=by, emissions=emissions, reason=reason)

    @call
    async def sanction_report(
        self: Wire, by: str, account_id: str, year: int, share: str, reason: str
    ) -> schemas.ReportSanctioned:
        """`share`: what is left of the next year's allocation, e.g. "0.5"."""
        path = f"/emissions/{year}/reports/{account_id}/sanction"
        return await _post(self, path, schemas.ReportSanctioned, by=by, share=share, reason=reason)

    @call
    async def emission_reports(self: Wire, year: int) -> list[schemas.EmissionReport]:
        """The last versions of all reports of a year."""
        return await self._many("GET", f"/v1/emissions/{year}/reports", schemas.EmissionReport)

    @call
    async def emission_trace(self: Wire, account_id: str, year: int) -> schemas.EmissionTrace:
        """An enterprise's year with everything that its figure came from."""
        return await self._one("GET", f"/v1/emissions/{year}/reports/{account_id}", schemas.EmissionTrace)

    # -- credits

    @call
    async def approve_methodology(
        self: Wire, by: str, code: str, title: str, sector: str, crediting_years: int
    ) -> schemas.MethodologyChanged:
        return await _post(
            self, "/methodologies", schemas.MethodologyChanged,
            by=by, code=code, title=title, sector=sector, crediting_years=crediting_years,
        )  # fmt: skip

    @call
    async def withdraw_methodology(self: Wire, by: str, code: str) -> schemas.MethodologyChanged:
        return await _post(self, f"/methodologies/{code}/withdrawal", schemas.MethodologyChanged, by=by)

    @call
    async def methodologies(self: Wire) -> list[schemas.MethodologyView]:
        return await self._many("GET", "/v1/methodologies", schemas.MethodologyView)

    @call
    async def file_project(self: Wire, /, by: str, project_id: str, **described: Any) -> schemas.ProjectChanged:
        """`described`: scheme, methodology, title, kind, region, started_on, crediting_from, crediting_to, and perhaps
        also_known_as, within_covered_installation, legally_obliged."""
        return await _post(self, "/projects", schemas.ProjectChanged, by=by, project_id=project_id, **described)

    @call
    async def validate_project(
        self: Wire, by: str, project_id: str, positive: bool, opinion: str = ""
    ) -> schemas.ProjectChanged:
        path = f"/projects/{project_id}/validation"
        return await _post(self, path, schemas.ProjectChanged, by=by, positive=positive, opinion=opinion)

    @call
    async def publish_project(self: Wire, by: str, project_id: str) -> schemas.ProjectChanged:
        return await _post(self, f"/projects/{project_id}/publication", schemas.ProjectChanged, by=by)

    @call
    async def register_project(self: Wire, by: str, project_id: str, grade: str = "") -> schemas.ProjectChanged:
        return await _post(self, f"/projects/{project_id}/registration", schemas.ProjectChanged, by=by, grade=grade)

    @call
    async def reject_project(self: Wire, by: str, project_id: str, reason: str) -> schemas.ProjectChanged:
        return await _post(self, f"/projects/{project_id}/rejection", schemas.ProjectChanged, by=by, reason=reason)

    @call
    async def suspend_project(self: Wire, by: str, project_id: str, reason: str) -> schemas.ProjectChanged:
        return await _post(self, f"/projects/{project_id}/suspension", schemas.ProjectChanged, by=by, reason=reason)

    @call
    async def reinstate_project(self: Wire, by: str, project_id: str) -> schemas.ProjectChanged:
        return await _post(self, f"/projects/{project_id}/reinstatement", schemas.ProjectChanged, by=by)

    @call
    async def projects(self: Wire) -> list[schemas.ProjectView]:
        return await self._many("GET", "/v1/projects", schemas.ProjectView)

    @call
    async def project(self: Wire, project_id: str) -> schemas.ProjectStanding:
        """A project, its batches, and what may come next."""
        return await self._one("GET", f"/v1/projects/{project_id}", schemas.ProjectStanding)

    @call
    async def report_reduction(
        self: Wire, by: str, project_id: str, first_day: str, last_day: str, tonnes: int
    ) -> schemas.ReductionChanged:
        path = f"/projects/{project_id}/reductions"
        body = {"by": by, "first_day": first_day, "last_day": last_day, "tonnes": tonnes}
        return await _post(self, path, schemas.ReductionChanged, **body)

    @call
    async def register_green_power(
        self: Wire, /, by: str, plant: str, mwh: str, factor: str, first_day: str, last_day: str, **further: Any
    ) -> schemas.ReductionChanged:
        """`further`: certificates, also_known_as, factor_source, region, scheme."""
        return await _post(
            self, "/reductions/green-power", schemas.ReductionChanged,
            by=by, plant=plant, mwh=mwh, factor=factor, first_day=first_day, last_day=last_day, **further,
        )  # fmt: skip

    @call
    async def register_inclusion(
        self: Wire, /, by: str, batch_ref: str, grams: int, first_day: str, last_day: str, scenario: str, **further: Any
    ) -> schemas.ReductionChanged:
        """`further`: region, scheme."""
        return await _post(
            self, "/reductions/inclusion", schemas.ReductionChanged,
            by=by, batch_ref=batch_ref, grams=grams, first_day=first_day, last_day=last_day, scenario=scenario,
            **further,
        )  # fmt: skip

    @call
    async def verify_reduction(self: Wire, by: str, reduction: int, tonnes: int) -> schemas.ReductionChanged:
        path = f"/reductions/{reduction}/verification"
        return await _post(self, path, schemas.ReductionChanged, by=by, tonnes=tonnes)

    @call
    async def publish_reduction(self: Wire, by: str, reduction: int) -> schemas.ReductionChanged:
        return await _post(self, f"/reductions/{reduction}/publication", schemas.ReductionChanged, by=by)

    @call
    async def issue_reduction(self: Wire, by: str, reduction: int) -> schemas.ReductionIssued:
        return await _post(self, f"/reductions/{reduction}/issuance", schemas.ReductionIssued, by=by)

    @call
    async def reject_reduction(self: Wire, by: str, reduction: int, reason: str) -> schemas.ReductionChanged:
        path = f"/reductions/{reduction}/rejection"
        return await _post(self, path, schemas.ReductionChanged, by=by, reason=reason)

    @call
    async def revoke_reduction(self: Wire, by: str, reduction: int, reason: str) -> schemas.ReductionRevoked:
        path = f"/reductions/{reduction}/revocation"
        return await _post(self, path, schemas.ReductionRevoked, by=by, reason=reason)

    @call
    async def replace_units(self: Wire, by: str, reduction: int, unit: str, quantity: int) -> schemas.UnitsReplaced:
        path = f"/reductions/{reduction}/replacements"
        return await _post(self, path, schemas.UnitsReplaced, by=by, unit=unit, quantity=quantity)

    @call
    async def reductions(self: Wire) -> list[schemas.ReductionView]:
        return await self._many("GET", "/v1/reductions", schemas.ReductionView)

    @call
    async def reduction(self: Wire, number: int) -> schemas.ReductionView:
        return await self._one("GET", f"/v1/reductions/{number}", schemas.ReductionView)

    @call
    async def duties(self: Wire) -> list[schemas.DutyView]:
        """What is still to be replaced for revoked reductions."""
        return await self._many("GET", "/v1/credits/duties", schemas.DutyView)

    @call
    async def overdue(self: Wire) -> list[schemas.DeadlineView]:
        """What should have been decided or replaced before today."""
        return await self._many("GET", "/v1/credits/overdue", schemas.DeadlineView)
