"""A compliance year: coverage, allocation, surrender, penalties, expiry; and what stands in it for whom."""

from typing import Any, Literal

from fastapi import APIRouter, Response

from api import registry_views as views
from api.gateway import TheGateway
from api.paging import ThePage
from api.problems import RESPONSES
from api.schemas import (
    ActivityRecorded,
    ActivityView,
    AllocationDetermined,
    BasisSet,
    ComplianceRecord,
    CoverageDecided,
    CoverageView,
    FinePaid,
    Identifier,
    ObligorRow,
    ObligorsReminded,
    ObligorView,
    ParkedReleased,
    PeriodOpened,
    PeriodView,
    PreAllocated,
    SurrenderClosed,
    SurrenderConfirmed,
    SurrenderForced,
    SurrenderOpened,
    SurrenderRejected,
    SurrenderRequested,
    SurrenderView,
    UnitsCarriedOver,
    UnitsLapsed,
)
from api.tables import csv_of, rows_of
from api.verbs import Verb, add_verbs
from exchange.commands import (
    CarryOverUnits,
    CloseSurrender,
    ConfirmSurrender,
    DecideCoverage,
    DetermineAllocation,
    ForceSurrender,
    LapseUnits,
    OpenPeriod,
    OpenSurrender,
    PayFine,
    PreAllocate,
    RecordActivity,
    RejectSurrender,
    ReleaseParked,
    RemindObligors,
    RequestSurrender,
    SetBasis,
)

router = APIRouter(prefix="/v1", tags=["compliance"], responses=RESPONSES)
AS_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}

add_verbs(
    router,
    (
        # who is covered, and who gets how much
        Verb("/periods", OpenPeriod, PeriodOpened),
        Verb("/accounts/{account_id}/activities", RecordActivity, ActivityRecorded),
        Verb("/periods/{year}/coverage", DecideCoverage, CoverageDecided),
        Verb("/periods/{year}/obligors/{account_id}/bases", SetBasis, BasisSet),
        Verb("/periods/{year}/pre-allocation", PreAllocate, PreAllocated),
        Verb("/periods/{year}/determination", DetermineAllocation, AllocationDetermined),
        # surrender
        Verb("/periods/{year}/surrender-window", OpenSurrender, SurrenderOpened),
        Verb("/periods/{year}/reminders", RemindObligors, ObligorsReminded),
        Verb("/periods/{year}/surrenders", RequestSurrender, SurrenderRequested),
        Verb("/surrenders/{request_id}/confirmation", ConfirmSurrender, SurrenderConfirmed),
        Verb("/surrenders/{request_id}/rejection", RejectSurrender, SurrenderRejected),
        Verb("/periods/{year}/obligors/{account_id}/enforcement", ForceSurrender, SurrenderForced),
        Verb("/periods/{year}/obligors/{account_id}/parked-release", ReleaseParked, ParkedReleased),
        # the end of it
        Verb("/periods/{year}/closing", CloseSurrender, SurrenderClosed),
        Verb("/periods/{year}/obligors/{account_id}/fine-payment", PayFine, FinePaid),
        Verb("/periods/{year}/expiry", LapseUnits, UnitsLapsed),
        Verb("/periods/{year}/carry-overs", CarryOverUnits, UnitsCarriedOver),
    ),
)


@router.get("/periods")
async def periods(gateway: TheGateway, page: ThePage) -> list[PeriodView]:
    """All compliance years in figures, by year."""
    known = gateway.exchange.compliance.periods
    return [views.period_view(gateway.exchange, known[year]) for year in page.of(sorted(known), lambda year: year)]


@router.get("/periods/{year}")
async def period(year: int, gateway: TheGateway) -> PeriodView:
    """One compliance year in figures."""
    return views.period_view(gateway.exchange, views.period_of(gateway.exchange, year))


@router.get("/accounts/{account_id}/activities")
async def activities(account_id: Identifier, gateway: TheGateway, page: ThePage) -> list[ActivityView]:
    """The figures by which an enterprise's coverage is decided, by year."""
    return page.of(views.activity_views(gateway.exchange, gateway.account(account_id)), lambda one: one.year)


@router.get("/periods/{year}/coverage", responses=AS_CSV)
async def coverage(
    year: int, gateway: TheGateway, page: ThePage, format: Literal["json", "csv"] = "json"
) -> list[CoverageView]:
    """Who is covered in a year and who is not, and why. As CSV by `format=csv`."""
    found = views.period_of(gateway.exchange, year)
    shown = [views.coverage_view(gateway.exchange, one.account, one.decision) for one in found.obligors.values()]
    if format == "csv":
        return Response(csv_of(shown, CoverageView), media_type="text/csv")  # type: ignore[return-value]
    return page.of_growing(shown)


@router.get("/periods/{year}/obligors", responses=AS_CSV)
async def obligors(
    year: int, gateway: TheGateway, page: ThePage, format: Literal["json", "csv"] = "json"
) -> list[ObligorView]:
    """The covered enterprises of a year, each with all its figures. By `format=csv` as CSV, a row each."""
    found = views.period_of(gateway.exchange, year)
    accounts = gateway.exchange.accounts
    covered = [*found.covered()] if format == "csv" else page.of_growing(found.covered())
    shown = [views.obligor_view(gateway.exchange, found, one, accounts[one.account]) for one in covered]
    if format == "csv":
        return Response(csv_of(rows_of(shown), ObligorRow), media_type="text/csv")  # type: ignore[return-value]
    return shown


@router.get("/periods/{year}/obligors/{account_id}")
async def obligor(
    year: int, account_id: Identifier, gateway: TheGateway, payer: Identifier | None = None
) -> ObligorView:
    """An enterprise's year: all figures, what it may still use, what would make it whole.

    With `payer`: what that account might surrender on its behalf.
    """
    account, found = gateway.account(account_id), views.period_of(gateway.exchange, year)
    who_pays = gateway.account(payer) if payer else account
    return views.obligor_view(gateway.exchange, found, views.obligor_of(found, account), who_pays)


@router.get("/periods/{year}/surrenders")
async def surrenders(year: int, gateway: TheGateway, page: ThePage) -> list[SurrenderView]:
    """The requests of a year that wait for the authority, oldest first."""
    views.period_of(gateway.exchange, year)
    waiting = gateway.exchange.compliance.requests.values()
    found = page.of((one for one in waiting if one.year == year), lambda one: one.request_id)
    return views.surrender_views(gateway.exchange, found)


@router.get("/compliance/records")
async def records(gateway: TheGateway, page: ThePage, year: int | None = None) -> list[ComplianceRecord]:
    """How closed years ended for everybody who was covered: all of them, or one."""
    return page.of_growing(views.record_views(gateway.exchange, year))
