"""The shapes of emission reports: factors, reports and their verification, what follows. tCO2e."""

from datetime import date

from pydantic import Field

from api.schemas.base import Model
from api.schemas.registry import Happened
from registry.emissions import Breach, ReportState, Verdict


class FactorView(Model):
    """One version of an emission factor."""

    name: str
    version: int
    value: str
    unit: str = Field(examples=["tCO2/MWh"])
    valid_from_year: int
    source: str


class ReportLine(Model):
    """A source stream worked out: emissions = activity x the version of the factor."""

    source: str
    activity: str
    activity_unit: str
    factor: str
    factor_version: int
    emissions: str = Field(description="Exact tCO2e")


class ReportOutput(Model):
    """What was produced."""

    name: str
    value: str
    unit: str


class ReportEvidence(Model):
    """A document by its digest."""

    name: str
    sha256: str


class VerificationView(Model):
    """A verifier's word."""

    verifier: str
    verdict: Verdict
    emissions: int | None = Field(description="None: rejected")
    difference: int | None = Field(description="The verifier's figure less the enterprise's total")
    reasons: str
    on: date


class AssessmentView(Model):
    """The authority's figure where the enterprise gave none."""

    by: str
    emissions: int
    reason: str
    on: date


class RestatementView(Model):
    """Who wanted a new version, and why."""

    by: str
    reason: str
    on: date


class EmissionReport(Model):
    """One version of an enterprise's report of a year."""

    account_id: str
    year: int
    version: int
    state: ReportState
    lines: list[ReportLine]
    outputs: list[ReportOutput]
    evidence: list[ReportEvidence]
    exact: str = Field(description="The sum of the lines, tCO2e")
    rounding: str
    total: int = Field(description="The rounded sum")
    figure: int | None = Field(description="The verified or assessed tonnes of this version")
    submitted_on: list[date] = Field(description="Again after each rejection")
    late: bool
    verifications: list[VerificationView]
    assessment: AssessmentView | None
    restatement: RestatementView | None = Field(description="What this version came from")


class ReportingView(Model):
    """The reporting of a year: until when in time, and whether it is over."""

    year: int
    deadline: date
    closed_on: date | None


class ReportingStanding(ReportingView):
    """Likewise, and whose figures are missing or came late."""

    outstanding: list[str] = Field(description="Accounts whose last version has no figure yet")
    late: list[str] = Field(description="Accounts that first submitted after the deadline")


class ConsequenceView(Model):
    """A share to which a breach cuts an account's allocation of a year."""

    account_id: str
    year: int = Field(description="Of the allocation; the breach was in the report of the year before")
    breach: Breach
    share: str
    reason: str
    on: date


class EmissionTrace(Model):
    """An enterprise's year with everything that its figure came from."""

    reporting: ReportingView
    emissions: int | None = Field(description="The figure that counts")
    version: int | None = Field(description="The version that it is of")
    versions: list[EmissionReport]
    factors: list[FactorView] = Field(description="All that the lines used")
    consequences: list[ConsequenceView] = Field(description="For the next year")


class FactorPublished(Happened):
    factor: FactorView


class ReportingOpened(Happened):
    reporting: ReportingView
    accounts: list[str] = Field(description="From whom a report is due")


class ReportChanged(Happened):
    report: EmissionReport


class ReportRestated(Happened):
    report: EmissionReport = Field(description="The new version")
    emissions: int = Field(description="Which still count")


class ReportingClosed(Happened):
    reporting: ReportingView
    refused: list[str]
    consequences: list[ConsequenceView]


class EmissionsAssessed(Happened):
    report: EmissionReport
    consequences: list[ConsequenceView] = Field(description="Of all that the enterprise did about this report")


class ReportSanctioned(Happened):
    consequence: ConsequenceView
