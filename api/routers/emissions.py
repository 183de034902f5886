"""Emissions: the factor table, reports of enterprises, verification, and what follows where there is none."""

from fastapi import APIRouter

from api import registry_views as views
from api.gateway import TheGateway
from api.paging import ThePage
from api.problems import RESPONSES
from api.schemas import (
    EmissionReport,
    EmissionsAssessed,
    EmissionTrace,
    FactorPublished,
    FactorView,
    Identifier,
    ReportChanged,
    ReportingClosed,
    ReportingOpened,
    ReportingStanding,
    ReportRestated,
    ReportSanctioned,
)
from api.verbs import Verb, add_verbs
from exchange.commands import (
    AssessEmissions,
    CloseReporting,
    FileReport,
    OpenReporting,
    PublishFactor,
    RestateReport,
    SanctionReport,
    SubmitReport,
    VerifyReport,
)

router = APIRouter(prefix="/v1", tags=["emissions"], responses=RESPONSES)

add_verbs(
    router,
    (
        Verb("/emission-factors", PublishFactor, FactorPublished),
        Verb("/emissions/{year}/opening", OpenReporting, ReportingOpened),
        Verb("/emissions/{year}/reports/{account_id}/draft", FileReport, ReportChanged),
        Verb("/emissions/{year}/reports/{account_id}/submission", SubmitReport, ReportChanged),
        Verb("/emissions/{year}/reports/{account_id}/verification", VerifyReport, ReportChanged),
        Verb("/emissions/{year}/reports/{account_id}/restatement", RestateReport, ReportRestated),
        Verb("/emissions/{year}/reports/{account_id}/assessment", AssessEmissions, EmissionsAssessed),
        Verb("/emissions/{year}/reports/{account_id}/sanction", SanctionReport, ReportSanctioned),
        Verb("/emissions/{year}/closing", CloseReporting, ReportingClosed),
    ),
)


@router.get("/emission-factors")
async def factors(gateway: TheGateway, page: ThePage) -> list[FactorView]:
    """All versions of all emission factors, by name and number."""
    return page.of(views.factor_views(gateway.exchange), lambda one: (one.name, one.version))


@router.get("/emissions")
async def reportings(gateway: TheGateway, page: ThePage) -> list[ReportingStanding]:
    """The years of which reports are due, or were."""
    return page.of(views.reporting_views(gateway.exchange), lambda one: one.year)


@router.get("/emissions/{year}/reports", summary="Emission reports")
async def reports(year: int, gateway: TheGateway, page: ThePage) -> list[EmissionReport]:
    """The last versions of all reports of a year."""
    return page.of_growing(views.report_views(gateway.exchange, year))


@router.get("/emissions/{year}/reports/{account_id}", summary="Emission trace")
async def trace(year: int, account_id: Identifier, gateway: TheGateway) -> EmissionTrace:
    """An enterprise's year with everything that its figure came from: versions, lines, factors, verification."""
    return views.trace_view(gateway.exchange, gateway.account(account_id), year)
