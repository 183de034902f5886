"""What may be asked about emissions: factors, reports, their verification. Enterprises ask for themselves."""

from datetime import date

from exchange.commands.base import ControlCommand
from registry.emissions import Evidence, Output, SourceStream, Verdict


class PublishFactor(ControlCommand, frozen=True):
    """Publish an emission factor or its next version, in tCO2 per unit of activity. Versions count from 1."""

    by: str
    name: str
    version: int
    value: str
    unit: str  # e.g. tCO2/MWh
    valid_from_year: int
    source: str


class OpenReporting(ControlCommand, frozen=True):
    """Make reports of a year due from the accounts named, or from all covered in it; later from more of them."""

    by: str
    year: int
    deadline: date  # the last day that is in time
    accounts: tuple[str, ...] = ()


class FileReport(ControlCommand, frozen=True):
    """File the draft of a report, in the place of an earlier draft."""

    account_id: str
    year: int
    lines: tuple[SourceStream, ...]
    outputs: tuple[Output, ...] = ()
    evidence: tuple[Evidence, ...] = ()


class SubmitReport(ControlCommand, frozen=True):
    """Hand the draft in for verification."""

    account_id: str
    year: int


class VerifyReport(ControlCommand, frozen=True):
    """A verifier confirms a report, corrects it to its own figure in tCO2e, or rejects it."""

    by: str
    account_id: str
    year: int
    verdict: Verdict
    emissions: int | None = None  # of a correction
    reasons: str = ""


class RestateReport(ControlCommand, frozen=True):
    """Begin a new version of a verified report; of an assessed one, the authority may."""

    by: str
    account_id: str
    year: int
    reason: str


class CloseReporting(ControlCommand, frozen=True):
    """End the reporting of a year. Who has not submitted by now has refused."""

    by: str
    year: int


class AssessEmissions(ControlCommand, frozen=True):
    """Set the tCO2e of an enterprise that refused to report or to be verified; a conservative figure."""

    by: str
    account_id: str
    year: int
    emissions: int
    reason: str


class SanctionReport(ControlCommand, frozen=True):
    """False data in the report of a year: a share is left of the next year's allocation ("0.5": half of it)."""

    by: str
    account_id: str
    year: int
    share: str
    reason: str


EmissionsCommand = (
    PublishFactor
    | OpenReporting
    | FileReport
    | SubmitReport
    | VerifyReport
    | RestateReport
    | CloseReporting
    | AssessEmissions
    | SanctionReport
)
