"""The register of reductions: methodologies, projects, batches from report to issuance, and revocation for fraud."""

from fastapi import APIRouter

from api import registry_views as views
from api.gateway import TheGateway
from api.paging import ThePage
from api.problems import RESPONSES
from api.schemas import (
    DeadlineView,
    DutyView,
    Identifier,
    MethodologyChanged,
    MethodologyView,
    ProjectChanged,
    ProjectStanding,
    ProjectView,
    ReductionChanged,
    ReductionIssued,
    ReductionRevoked,
    ReductionView,
    UnitsReplaced,
)
from api.verbs import Verb, add_verbs
from exchange.commands import (
    ApproveMethodology,
    FileProject,
    IssueReduction,
    PublishProject,
    PublishReduction,
    RegisterGreenPower,
    RegisterInclusion,
    RegisterProject,
    ReinstateProject,
    RejectProject,
    RejectReduction,
    ReplaceUnits,
    ReportReduction,
    RevokeReduction,
    SuspendProject,
    ValidateProject,
    VerifyReduction,
    WithdrawMethodology,
)

router = APIRouter(prefix="/v1", tags=["credits"], responses=RESPONSES)

add_verbs(
    router,
    (
        Verb("/methodologies", ApproveMethodology, MethodologyChanged),
        Verb("/methodologies/{code}/withdrawal", WithdrawMethodology, MethodologyChanged),
        # projects
        Verb("/projects", FileProject, ProjectChanged),
        Verb("/projects/{project_id}/validation", ValidateProject, ProjectChanged),
        Verb("/projects/{project_id}/publication", PublishProject, ProjectChanged),
        Verb("/projects/{project_id}/registration", RegisterProject, ProjectChanged),
        Verb("/projects/{project_id}/rejection", RejectProject, ProjectChanged),
        Verb("/projects/{project_id}/suspension", SuspendProject, ProjectChanged),
        Verb("/projects/{project_id}/reinstatement", ReinstateProject, ProjectChanged),
        # batches of reductions
        Verb("/projects/{project_id}/reductions", ReportReduction, ReductionChanged),
        Verb("/reductions/green-power", RegisterGreenPower, ReductionChanged),
        Verb("/reductions/inclusion", RegisterInclusion, ReductionChanged),
        Verb("/reductions/{reduction}/verification", VerifyReduction, ReductionChanged),
        Verb("/reductions/{reduction}/publication", PublishReduction, ReductionChanged),
        Verb("/reductions/{reduction}/issuance", IssueReduction, ReductionIssued),
        Verb("/reductions/{reduction}/rejection", RejectReduction, ReductionChanged),
        Verb("/reductions/{reduction}/revocation", RevokeReduction, ReductionRevoked),
        Verb("/reductions/{reduction}/replacements", ReplaceUnits, UnitsReplaced),
    ),
)


@router.get("/methodologies")
async def methodologies(gateway: TheGateway, page: ThePage) -> list[MethodologyView]:
    """All methodologies, those withdrawn too."""
    return page.of_growing(views.methodology_views(gateway.exchange))


@router.get("/projects")
async def projects(gateway: TheGateway, page: ThePage) -> list[ProjectView]:
    """All projects, as they stand."""
    return page.of_growing(views.project_views(gateway.exchange))


@router.get("/projects/{project_id}")
async def project(project_id: Identifier, gateway: TheGateway) -> ProjectStanding:
    """A project, its batches, and what may come next: not before a day, and by which."""
    return views.project_standing(gateway.exchange, project_id)


@router.get("/reductions")
async def reductions(gateway: TheGateway, page: ThePage) -> list[ReductionView]:
    """All batches of reductions, as they stand."""
    return page.of_growing(views.reduction_views(gateway.exchange))


@router.get("/reductions/{reduction:number}")
async def reduction(reduction: int, gateway: TheGateway) -> ReductionView:
    """One batch of reductions."""
    return views.reduction_view(gateway.exchange, reduction)


@router.get("/credits/duties")
async def duties(gateway: TheGateway, page: ThePage) -> list[DutyView]:
    """What is still to be replaced for revoked reductions, by their numbers."""
    return page.of(sorted(views.duty_views(gateway.exchange), key=_reduction), _reduction)


@router.get("/credits/overdue")
async def overdue(gateway: TheGateway, page: ThePage) -> list[DeadlineView]:
    """What should have been decided or replaced before today, the oldest first."""
    return page.of(views.overdue_views(gateway.exchange), lambda one: (one.due, one.what))


def _reduction(duty: DutyView) -> int:
    return duty.reduction
