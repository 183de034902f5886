"""What can have happened to methodologies, projects and reductions, as they are now. Quantities in tCO2e."""

from datetime import date

from exchange.events.base import ControlEvent
from exchange.events.registry import SerialRange
from registry.credits import Methodology, Project, Reduction


class MethodologyApproved(ControlEvent, frozen=True):
    methodology: Methodology


class MethodologyWithdrawn(ControlEvent, frozen=True):
    methodology: Methodology


class ProjectFiled(ControlEvent, frozen=True):
    project: Project


class ProjectValidated(ControlEvent, frozen=True):
    project: Project


class ProjectPublished(ControlEvent, frozen=True):
    project: Project


class ProjectRegistered(ControlEvent, frozen=True):
    project: Project


class ProjectRejected(ControlEvent, frozen=True):
    project: Project


class ProjectSuspended(ControlEvent, frozen=True):
    project: Project


class ProjectReinstated(ControlEvent, frozen=True):
    project: Project


class ReductionReported(ControlEvent, frozen=True):
    reduction: Reduction


class GreenPowerRegistered(ControlEvent, frozen=True):
    reduction: Reduction


class InclusionRegistered(ControlEvent, frozen=True):
    reduction: Reduction


class ReductionVerified(ControlEvent, frozen=True):
    reduction: Reduction


class ReductionPublished(ControlEvent, frozen=True):
    reduction: Reduction


class ReductionIssued(ControlEvent, frozen=True):
    reduction: Reduction
    unit: str
    serials: list[SerialRange]
    display_serials: list[str]
    grams_left: int  # of a carbon-inclusion platform's vintage, not yet a tonne


class ReductionRejected(ControlEvent, frozen=True):
    reduction: Reduction


class ReductionRevoked(ControlEvent, frozen=True):
    reduction: Reduction
    cancelled: int
    serials: list[SerialRange]
    to_replace: int
    replace_by: date | None
    banned_until: date


class UnitsReplaced(ControlEvent, frozen=True):
    reduction: int
    account: int
    unit: int
    quantity: int
    serials: list[SerialRange]
    still_to_replace: int


CreditsEvent = (
    MethodologyApproved
    | MethodologyWithdrawn
    | ProjectFiled
    | ProjectValidated
    | ProjectPublished
    | ProjectRegistered
    | ProjectRejected
    | ProjectSuspended
    | ProjectReinstated
    | ReductionReported
    | GreenPowerRegistered
    | InclusionRegistered
    | ReductionVerified
    | ReductionPublished
    | ReductionIssued
    | ReductionRejected
    | ReductionRevoked
    | UnitsReplaced
)
