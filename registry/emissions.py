"""What was emitted: reports of enterprises, what verifiers made of them, and what follows where there is none.

A report belongs to an account and a year. It is the sum of source streams, each activity x factor
(:mod:`registry.factors`), exact; only the total is rounded, to whole tonnes. When a line is filed it names the version
of the factor that it used, by default the one in force for its year, so a factor published later changes nothing.

| state       | meaning                                                    | next                       |
|-------------|------------------------------------------------------------|----------------------------|
| outstanding | due, nothing filed                                         | draft, refused             |
| draft       | filed, may be filed anew                                   | draft, submitted, refused  |
| submitted   | waits for a verifier                                       | verified, rejected         |
| rejected    | the verifier sent it back                                  | draft, refused             |
| verified    | confirmed, or corrected to the verifier's own figure       | restated                   |
| refused     | not submitted when reporting closed, nor when it was over  | assessed                   |
| assessed    | the authority's own figure stands in                       | restated                   |
| restated    | a new version, which begins as a draft of the same content | none: the new one goes on  |

The figure that counts is the one of the latest version that has a figure: while a re-statement is under way the
earlier one holds. A report is late if its first version was first submitted after the deadline; to come back after a
rejection is not late, since the verifier's time is not the enterprise's. Reporting closes once; after that only what
was rejected or restated is filed, and who leaves it lying is refused when the authority assesses it.

Consequences are shares of a next allocation (domain sheet B.5, C.4). The share for refusal is of the last allocation
(Hubei 2014, art. 48), the one for fraud is what is left of the allocation itself (State Council order 775, art. 22).
Who allocates asks for them.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from enum import StrEnum
from fractions import Fraction
from functools import reduce
from math import ceil, floor
from typing import Annotated, Any

import msgspec

from registry.factors import EXACT, Factor, Factors
from registry.rules import Number, ReportingRules, Rounding, Share, Tonnes, Year, in_force

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class ReportState(StrEnum):
    """Where a version of a report stands in its life."""

    OUTSTANDING = "outstanding"
    DRAFT = "draft"
    SUBMITTED = "submitted"
    REJECTED = "rejected"
    VERIFIED = "verified"
    REFUSED = "refused"
    ASSESSED = "assessed"
    RESTATED = "restated"


NEXT_STATE = {
    ReportState.OUTSTANDING: frozenset({ReportState.DRAFT, ReportState.REFUSED}),
    ReportState.DRAFT: frozenset({ReportState.DRAFT, ReportState.SUBMITTED, ReportState.REFUSED}),
    ReportState.SUBMITTED: frozenset({ReportState.VERIFIED, ReportState.REJECTED}),
    ReportState.REJECTED: frozenset({ReportState.DRAFT, ReportState.REFUSED}),
    ReportState.VERIFIED: frozenset({ReportState.RESTATED}),
    ReportState.REFUSED: frozenset({ReportState.ASSESSED}),
    ReportState.ASSESSED: frozenset({ReportState.RESTATED}),
    ReportState.RESTATED: frozenset[ReportState](),
}


class Verdict(StrEnum):
    """What a verifier says of a report."""

    CONFIRM = "confirm"
    CORRECT = "correct"  # to a figure of its own
    REJECT = "reject"  # it cannot be verified as it is


class Breach(StrEnum):
    """Why an allocation is cut."""

    REFUSAL = "refusal"  # of the last allocation
    FRAUD = "fraud"  # of the allocation itself


class SourceStream(msgspec.Struct, frozen=True):
    """What an enterprise says of one source; its activity is a `Number`. No version: the one in force."""

    source: str
    activity: str
    activity_unit: str
    factor: str
    factor_version: int | None = None


class ReportLine(msgspec.Struct, frozen=True):
    """A source stream worked out: exact tCO2e = activity x the version of the factor that is named."""

    source: str
    activity: Number
    activity_unit: str
    factor: str
    factor_version: int
    emissions: str


class Output(msgspec.Struct, frozen=True):
    """What was produced, the basis of an allocation by intensity or benchmark; its value is a `Number`."""

    name: str
    value: str
    unit: str


class Evidence(msgspec.Struct, frozen=True):
    """A document behind the report by its digest, a `Sha256`; the document itself is kept elsewhere."""

    name: str
    sha256: str


class Verification(msgspec.Struct, frozen=True):
    """A verifier's word. `difference` = the verifier's figure - the enterprise's total."""

    verifier: int
    verdict: Verdict
    emissions: Tonnes | None  # None: rejected
    difference: int | None
    reasons: str
    on: date


class Assessment(msgspec.Struct, frozen=True):
    """The authority's figure where the enterprise gave none."""

    by: int
    emissions: Tonnes
    reason: str
    on: date


class Restatement(msgspec.Struct, frozen=True):
    """Who wanted a new version, and why."""

    by: int
    reason: str
    on: date


class Report(msgspec.Struct, frozen=True):
    """One version of an enterprise's report of a year. `exact` in tCO2e, `total` in whole tonnes."""

    account: int
    year: Year
    version: int = 1
    state: ReportState = ReportState.OUTSTANDING
    lines: tuple[ReportLine, ...] = ()
    outputs: tuple[Output, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    exact: str = "0"
    rounding: Rounding = "half_up"
    total: Tonnes = 0
    submitted_on: tuple[date, ...] = ()  # again after each rejection
    late: bool = False
    verifications: tuple[Verification, ...] = ()  # one for each submission that was answered
    assessment: Assessment | None = None
    restatement: Restatement | None = None  # what this version came from

    @property
    def figure(self) -> Tonnes | None:
        """The verified or assessed tonnes of this version, if it has any."""
        if self.assessment:
            return self.assessment.emissions
        return self.verifications[-1].emissions if self.verifications else None


class Reporting(msgspec.Struct, frozen=True):
    """The reporting of a year: until when in time, and whether it is over."""

    year: Year
    deadline: date
    closed_on: date | None = None


class Consequence(msgspec.Struct, frozen=True):
    """A share to which a breach cuts an account's allocation of a year."""

    account: int
    year: Year  # of the allocation; the breach was in the report of the year before
    breach: Breach
    share: Share
    reason: str
    on: date


class Trace(msgspec.Struct, frozen=True):
    """An enterprise's year with everything that its figure came from."""

    reporting: Reporting
    emissions: Tonnes | None  # the figure that counts
    version: int | None  # the version that it is of
    versions: tuple[Report, ...]
    factors: tuple[Factor, ...]  # all that the lines used, by name and version
    consequences: tuple[Consequence, ...]  # for the next year


def report_line(stream: SourceStream, factor: Factor) -> ReportLine:
    """A source stream worked out. ValueError if the factor is another one or not per that unit."""
    if (stream.factor, stream.activity_unit) != (factor.name, factor.per):
        raise ValueError(f"{stream.source}: {stream.activity_unit} of {stream.factor} x {factor.name} in {factor.unit}")
    return ReportLine(
        stream.source,
        stream.activity,
        stream.activity_unit,
        factor.name,
        factor.version,
        format(factor.emissions_of(stream.activity), "f"),
    )


def exact_sum(lines: Iterable[ReportLine]) -> Decimal:
    """Exact tCO2e of some lines."""
    return reduce(EXACT.add, (Decimal(line.emissions) for line in lines), Decimal(0))


def whole_tonnes(exact: Decimal, rounding: Rounding) -> Tonnes:
    """An exact sum in whole tonnes: to the nearest, halves upwards, or always upwards."""
    return int(exact.to_integral_value(ROUND_HALF_UP if rounding == "half_up" else ROUND_CEILING, EXACT))


class Emissions:
    """The factor table, and all reports with their consequences."""

    def __init__(self) -> None:
        self.factors = Factors()
        self.years: dict[int, Reporting] = {}
        self.reports: dict[tuple[int, int], list[Report]] = {}  # versions by (account, year), oldest first
        self.consequences: dict[tuple[int, int, Breach], Consequence] = {}  # by account and year of the allocation

    # -- what happens

    def open(self, year: Year, deadline: date, accounts: Iterable[int]) -> Reporting:
        """Reports of a year become due, or of more accounts. KeyError if one already was."""
        accounts = list(accounts)
        for account in accounts:
            if (account, year) in self.reports:
                raise KeyError(account, year)
        self.years.setdefault(year, Reporting(year, deadline))
        for account in accounts:
            self.reports[account, year] = [Report(account, year)]
        return self.years[year]

    def file(
        self,
        report: Report,
        lines: Iterable[ReportLine],
        outputs: Iterable[Output],
        evidence: Iterable[Evidence],
        rounding: Rounding,
    ) -> Report:
        """A draft, in the place of what was filed before. ValueError, as below, if the state does not allow it."""
        lines = tuple(lines)
        exact = exact_sum(lines)
        return self._step(
            report,
            ReportState.DRAFT,
            lines=lines,
            outputs=tuple(outputs),
            evidence=tuple(evidence),
            exact=format(exact, "f"),
            rounding=rounding,
            total=whole_tonnes(exact, rounding),
        )

    def submit(self, report: Report, on: date) -> Report:
        """A draft goes to the verifier."""
        late = report.late or (
            report.version == 1 and not report.submitted_on and on > self.years[report.year].deadline
        )
        return self._step(report, ReportState.SUBMITTED, submitted_on=(*report.submitted_on, on), late=late)

    def verify(
        self, report: Report, verifier: int, verdict: Verdict, corrected: Tonnes | None, reasons: str, on: date
    ) -> Report:
        """A verifier confirms a report, corrects it to a figure of its own, or sends it back."""
        rejected = verdict == Verdict.REJECT
        emissions = None if rejected else report.total if corrected is None else corrected
        difference = None if emissions is None else emissions - report.total
        verification = Verification(verifier, verdict, emissions, difference, reasons, on)
        state = ReportState.REJECTED if rejected else ReportState.VERIFIED
        return self._step(report, state, verifications=(*report.verifications, verification))

    def restate(self, report: Report, by: int, reason: str, on: date) -> Report:
        """A new version of a report that has its figure; it begins as a draft of the same content."""
        restated = self._step(report, ReportState.RESTATED)
        new = msgspec.structs.replace(
            restated,
            version=report.version + 1,
            state=ReportState.DRAFT,
            submitted_on=(),
            late=False,
            verifications=(),
            assessment=None,
            restatement=Restatement(by, reason, on),
        )
        self.reports[report.account, report.year].append(new)
        return new

    def close(self, year: Year, on: date, rules: ReportingRules) -> list[Report]:
        """The reporting of a year is over; returns who has not submitted. A re-statement may take its time."""
        self.years[year] = msgspec.structs.replace(self.years[year], closed_on=on)
        missing = [report for report in self.of(year) if report.version == 1 and is_refusable(report)]
        return [self._refuse(report, on, rules) for report in missing]

    def assess(
        self, report: Report, by: int, emissions: Tonnes, reason: str, on: date, rules: ReportingRules
    ) -> Report:
        """The authority's figure for who refused, also by leaving a rejected or restated report lying."""
        refused = report if report.state == ReportState.REFUSED else self._refuse(report, on, rules)
        return self._step(refused, ReportState.ASSESSED, assessment=Assessment(by, emissions, reason, on))

    def sanction(self, account: int, year: Year, share: Share, reason: str, on: date) -> Consequence:
        """False data in the report of a year leave a share of the next allocation; a later decision replaces one."""
        return self._follow(Consequence(account, year + 1, Breach.FRAUD, share, reason, on))

    def _step(self, report: Report, state: ReportState, **changes: Any) -> Report:
        if state not in NEXT_STATE[report.state]:
            raise ValueError(f"a report that is {report.state} does not become {state}")
        changed = msgspec.structs.replace(report, state=state, **changes)
        self.reports[report.account, report.year][-1] = changed
        return changed

    def _refuse(self, report: Report, on: date, rules: ReportingRules) -> Report:
        refused = self._step(report, ReportState.REFUSED)
        rule = in_force(rules.refusal, report.year)
        if rule:
            reason = f"no report of {report.year} to be verified: it was {report.state}"
            self._follow(Consequence(report.account, report.year + 1, Breach.REFUSAL, rule.share, reason, on))
        return refused

    def _follow(self, consequence: Consequence) -> Consequence:
        self.consequences[consequence.account, consequence.year, consequence.breach] = consequence
        return consequence

    # -- what is asked

    def report(self, account: int, year: Year) -> Report | None:
        """The last version of a report, if one is due."""
        versions = self.reports.get((account, year))
        return versions[-1] if versions else None

    def of(self, year: Year) -> list[Report]:
        """The last versions of all reports of a year, by account."""
        return [versions[-1] for versions in self._of_year(year)]

    def verified(self, account: int, year: Year) -> Tonnes | None:
        """The tonnes that count, verified or assessed; None while there are none."""
        counting = self._counting(account, year)
        return counting.figure if counting else None

    def outstanding(self, year: Year) -> list[Report]:
        """Reports whose last version has no figure yet, by account."""
        return [report for report in self.of(year) if report.figure is None]

    def late(self, year: Year) -> list[int]:
        """Accounts whose report came late, in order."""
        return [report.account for versions in self._of_year(year) for report in versions if report.late]

    def consequences_of(self, account: int, year: Year) -> list[Consequence]:
        """What cuts the allocation of a year."""
        found = (self.consequences.get((account, year, breach)) for breach in Breach)
        return [consequence for consequence in found if consequence]

    def trace(self, account: int, year: Year) -> Trace:
        """Every number of an enterprise's year with its inputs. KeyError if no report was due."""
        versions = self.reports[account, year]
        counting = self._counting(account, year)
        used = {(line.factor, line.factor_version) for report in versions for line in report.lines}
        return Trace(
            self.years[year],
            counting.figure if counting else None,
            counting.version if counting else None,
            tuple(versions),
            tuple(factor for factor in self.factors if (factor.name, factor.version) in used),
            tuple(self.consequences_of(account, year + 1)),
        )

    def _counting(self, account: int, year: Year) -> Report | None:
        """The latest version that has a figure."""
        versions = self.reports.get((account, year), [])
        return next((report for report in reversed(versions) if report.figure is not None), None)

    def _of_year(self, year: Year) -> Iterator[list[Report]]:
        for (_, of_year), versions in sorted(self.reports.items()):
            if of_year == year:
                yield versions

    def content(self) -> Iterator[object]:
        """Everything, in an order that does not depend on how it came about."""
        yield from self.factors
        for year in sorted(self.years):
            yield self.years[year]
        for key in sorted(self.reports):
            yield self.reports[key]
        for cut in sorted(self.consequences):
            yield self.consequences[cut]

    # -- whether it is sound

    def check(self) -> None:
        """Assert that totals follow from lines and factors, figures from totals, states from what happened."""
        self.factors.check()
        for (account, year), versions in self.reports.items():
            reporting = self.years[year]
            for number, report in enumerate(versions, 1):
                assert (report.account, report.year, report.version) == (account, year, number), "a version is missing"
                is_last = number == len(versions)
                assert (report.state == ReportState.RESTATED) != is_last, "a version and its successor both count"
                assert (report.restatement is None) == (number == 1), "a version came from nowhere"
                self._check_total(report)
                _check_life(report, reporting)
        for consequence in self.consequences.values():
            self._check_consequence(consequence)

    def _check_total(self, report: Report) -> None:
        """Work a report out again, in fractions."""
        what = f"report {report.version} of account {report.account} for {report.year}"
        total = Fraction(0)
        for line in report.lines:
            factor = self.factors.version(line.factor, line.factor_version)
            assert factor is not None, f"{what}: there is no {line.factor} {line.factor_version}"
            assert factor.per == line.activity_unit, f"{what}: {line.activity_unit} x {factor.unit}"
            emissions = Fraction(line.activity) * Fraction(factor.value)
            assert Fraction(line.emissions) == emissions, f"{what}: {line.source} is not activity x factor"
            total += emissions
        assert Fraction(report.exact) == total, f"{what}: the lines do not add up"
        rounded = floor(total + Fraction(1, 2)) if report.rounding == "half_up" else ceil(total)
        assert report.total == rounded, f"{what}: the total is not the rounded sum"

    def _check_consequence(self, consequence: Consequence) -> None:
        versions = self.reports.get((consequence.account, consequence.year - 1), [])
        if consequence.breach == Breach.FRAUD:
            assert any(report.submitted_on for report in versions), "nothing was submitted that could be false"
        else:
            gone = [report for report in versions if report.state == ReportState.REFUSED or report.assessment]
            assert gone, "nobody refused"


def is_refusable(report: Report) -> bool:
    """Whether a report waits for the enterprise."""
    return ReportState.REFUSED in NEXT_STATE[report.state]


def _check_life(report: Report, reporting: Reporting) -> None:
    """Assert that a version's state, its dates and its figures tell one story."""
    answered, submitted, state = len(report.verifications), len(report.submitted_on), report.state
    rejections = [given.verdict == Verdict.REJECT for given in report.verifications]
    assert all(rejections[:-1]), "a report was verified and went on"
    assert submitted - answered == (state == ReportState.SUBMITTED), "a verifier was asked once and answered twice"
    is_late = report.version == 1 and any(on > reporting.deadline for on in report.submitted_on[:1])
    assert report.late == is_late, "late is not what the dates say"
    for given in report.verifications:
        if given.verdict == Verdict.REJECT:
            assert given.emissions is None, "a rejected report has a figure"
    if report.verifications and not rejections[-1]:
        last = report.verifications[-1]
        assert last.emissions is not None, "a verified report lacks its figure"
        assert last.difference == last.emissions - report.total, "the verifier's difference is another"
        assert (last.difference == 0) == (last.verdict == Verdict.CONFIRM), "a verdict and its figure disagree"
    has_figure = state in (ReportState.VERIFIED, ReportState.ASSESSED, ReportState.RESTATED)
    assert (report.figure is not None) == has_figure, f"a {state} report has a figure, or lacks one"
    if state == ReportState.OUTSTANDING:
        assert not report.lines and reporting.closed_on is None, "a report was forgotten when reporting closed"
    if state == ReportState.REFUSED or report.assessment:
        assert reporting.closed_on is not None, "nobody has refused before reporting closes"
