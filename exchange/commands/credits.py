"""What may be asked of the register of reductions. `by` is who asks; both ends of a period belong to it."""

from datetime import date

from exchange.commands.base import ControlCommand


class ApproveMethodology(ControlCommand, frozen=True):
    by: str
    code: str
    title: str
    sector: str
    crediting_years: int


class WithdrawMethodology(ControlCommand, frozen=True):
    """Nothing more is filed by a methodology; what was goes on."""

    by: str
    code: str


class FileProject(ControlCommand, frozen=True):
    """An owner asks that a project be registered, and says what it is called elsewhere."""

    by: str
    project_id: str
    scheme: str
    methodology: str
    title: str
    kind: str
    region: str
    started_on: date
    crediting_from: date
    crediting_to: date
    also_known_as: tuple[str, ...] = ()  # in other schemes, or as a plant
    within_covered_installation: bool = False
    legally_obliged: bool = False


class ValidateProject(ControlCommand, frozen=True):
    """A verifier's opinion; a negative one ends the matter."""

    by: str
    project_id: str
    positive: bool
    opinion: str = ""


class PublishProject(ControlCommand, frozen=True):
    """Its publicity begins."""

    by: str
    project_id: str


class RegisterProject(ControlCommand, frozen=True):
    by: str
    project_id: str
    grade: str = ""  # quality of its credits, as the authority grades it


class RejectProject(ControlCommand, frozen=True):
    by: str
    project_id: str
    reason: str


class SuspendProject(ControlCommand, frozen=True):
    """Nothing of a project goes on while fraud is suspected, but a batch may be rejected or revoked."""

    by: str
    project_id: str
    reason: str


class ReinstateProject(ControlCommand, frozen=True):
    """A suspended project goes on."""

    by: str
    project_id: str


class ReportReduction(ControlCommand, frozen=True):
    """A project's owner reports a batch of what was monitored, and applies for its registration."""

    by: str
    project_id: str
    first_day: date
    last_day: date
    tonnes: int


class RegisterGreenPower(ControlCommand, frozen=True):
    """What a plant fed in, as a reduction of MWh x factor; certificates of the same MWh are used up by it."""

    by: str
    plant: str
    mwh: str  # decimal
    factor: str  # tCO2 per MWh, decimal
    first_day: date
    last_day: date
    certificates: tuple[tuple[str, str], ...] = ()  # first and last id of a series; twice the same for one
    also_known_as: tuple[str, ...] = ()  # the plant, as a project
    factor_source: str = ""
    region: str = ""
    scheme: str = "GREEN_POWER"


class RegisterInclusion(ControlCommand, frozen=True):
    """A carbon-inclusion platform enters a batch of what its users saved, in gCO2e."""

    by: str
    batch_ref: str
    grams: int
    first_day: date
    last_day: date
    scenario: str
    region: str = ""
    scheme: str = "INCLUSION"


class VerifyReduction(ControlCommand, frozen=True):
    """A verifier confirms a batch, or less of it."""

    by: str
    reduction: int
    tonnes: int


class PublishReduction(ControlCommand, frozen=True):
    """Its publicity begins."""

    by: str
    reduction: int


class IssueReduction(ControlCommand, frozen=True):
    """Register a reduction: its units come to the owner's registry side."""

    by: str
    reduction: int


class RejectReduction(ControlCommand, frozen=True):
    by: str
    reduction: int
    reason: str


class RevokeReduction(ControlCommand, frozen=True):
    """A batch was fraud: its units are cancelled, or owed where they are out of the owner's reach."""

    by: str
    reduction: int
    reason: str


class ReplaceUnits(ControlCommand, frozen=True):
    """Give other units in the place of revoked ones: by who owes them or, once overdue, by the authority's force."""

    by: str
    reduction: int
    unit: str
    quantity: int


CreditsCommand = (
    ApproveMethodology
    | WithdrawMethodology
    | FileProject
    | ValidateProject
    | PublishProject
    | RegisterProject
    | RejectProject
    | SuspendProject
    | ReinstateProject
    | ReportReduction
    | RegisterGreenPower
    | RegisterInclusion
    | VerifyReduction
    | PublishReduction
    | IssueReduction
    | RejectReduction
    | RevokeReduction
    | ReplaceUnits
)
