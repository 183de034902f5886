"""The shapes of the register of reductions: methodologies, projects, batches of reductions. tCO2e."""

from datetime import date
from typing import Any

from pydantic import Field

from api.schemas.base import Model
from api.schemas.registry import Happened, SerialRange
from registry.credits import ProjectState, ReductionState


class MethodologyView(Model):
    """How reductions of one kind are reckoned."""

    code: str
    title: str
    sector: str
    crediting_years: int
    approved_on: date
    withdrawn_on: date | None


class ProjectView(Model):
    """A project with the dates of its life. Both ends of the crediting period belong to it."""

    project_id: str
    scheme: str
    owner: str
    methodology: str
    title: str
    kind: str
    region: str
    also_known_as: list[str] = Field(description="In other schemes, or as a plant")
    started_on: date
    crediting_from: date
    crediting_to: date
    filed_on: date
    state: ProjectState
    validator: str | None
    validated_on: date | None
    public_until: date | None = Field(description="The last day")
    decide_by: date | None
    decided_on: date | None = Field(description="Registered or rejected")
    grade: str
    reason: str = Field(description="Why it was rejected or suspended")


class ProjectStanding(Model):
    """A project, its batches, and what may come next."""

    project: ProjectView
    reductions: list[int]
    next: list[ProjectState]
    not_before: date | None
    due: date | None
    is_overdue: bool


class ReductionView(Model):
    """A batch of reductions with the dates of its life. Both ends of its period belong to it."""

    number: int
    scheme: str
    project: str = Field(description="Or plant, or platform")
    batch: int = Field(description="Of the project")
    owner: str
    first_day: date
    last_day: date
    tonnes: int = Field(description="Reported, then verified, then issued")
    state: ReductionState
    reported_on: date
    metered: dict[str, Any] | None = Field(description="What a plant fed in, or the users of a platform saved")
    region: str
    verifier: str | None
    verified_on: date | None
    public_until: date | None = Field(description="The last day")
    decide_by: date | None
    decided_on: date | None = Field(description="Issued, rejected or revoked")
    unit: str | None
    first_serial: int = Field(description="0: nothing was issued")
    last_serial: int
    excess: int
    reason: str


class DutyView(Model):
    """So many tonnes of a revoked reduction are still to be replaced by its owner."""

    reduction: int
    owner: str
    tonnes: int
    replace_by: date


class DeadlineView(Model):
    """A day by which somebody had to act."""

    due: date
    what: str


class MethodologyChanged(Happened):
    methodology: MethodologyView


class ProjectChanged(Happened):
    project: ProjectView


class ReductionChanged(Happened):
    reduction: ReductionView


class ReductionIssued(Happened):
    reduction: ReductionView
    unit: str
    serials: list[SerialRange]
    display_serials: list[str] = Field(description="As people write them")
    grams_left: int = Field(description="Of a carbon-inclusion platform's vintage, not yet a tonne")


class ReductionRevoked(Happened):
    reduction: ReductionView
    cancelled: int
    serials: list[SerialRange]
    to_replace: int
    replace_by: date | None
    banned_until: date


class UnitsReplaced(Happened):
    reduction: int
    account_id: str
    unit: str
    quantity: int
    serials: list[SerialRange]
    still_to_replace: int
