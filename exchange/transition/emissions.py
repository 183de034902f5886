"""Emission factors, reports and their verification."""

from fractions import Fraction
from typing import assert_never

from exchange import events as happened
from exchange.commands import (
    AssessEmissions,
    CloseReporting,
    EmissionsCommand,
    FileReport,
    OpenReporting,
    PublishFactor,
    RestateReport,
    SanctionReport,
    SubmitReport,
    VerifyReport,
)
from exchange.reasons import Reason, Refused
from exchange.state import UNITS_MAX, Exchange
from exchange.transition.step import Step, account_named, acting, date_of, require
from registry.accounts import Account, ParticipantClass, Right
from registry.compliance import Stage
from registry.emissions import (
    NEXT_STATE,
    Report,
    Reporting,
    ReportState,
    Sha256,
    SourceStream,
    Verdict,
    exact_sum,
    is_refusable,
    report_line,
    whole_tonnes,
)
from registry.factors import Factor
from registry.rules import FactorUnit, Number, Share, Year, in_force, is_valid


def handle(step: Step, command: EmissionsCommand) -> happened.EmissionsEvent:
    match command:
        case PublishFactor():
            return publish_factor(step, command)
        case OpenReporting():
            return open_reporting(step, command)
        case FileReport():
            return file_report(step, command)
        case SubmitReport():
            return submit_report(step, command)
        case VerifyReport():
            return verify_report(step, command)
        case RestateReport():
            return restate_report(step, command)
        case CloseReporting():
            return close_reporting(step, command)
        case AssessEmissions():
            return assess_emissions(step, command)
        case SanctionReport():
            return sanction_report(step, command)
        case _:
            assert_never(command)


def _reporting_of(exchange: Exchange, year: int) -> Reporting:
    reporting = exchange.emissions.years.get(year)
    if reporting is None:
        raise Refused(Reason.UNKNOWN_PERIOD, f"no reports of {year} are due")
    return reporting


def _report_of(exchange: Exchange, account: Account, year: int) -> Report:
    _reporting_of(exchange, year)
    report = exchange.emissions.report(account.number, year)
    if report is None:
        raise Refused(Reason.UNKNOWN_REPORT, f"no report of {year} is due from {account.account_id}")
    return report


def _require_next(report: Report, state: ReportState) -> None:
    leads_there = state in NEXT_STATE[report.state]
    require(leads_there, Reason.WRONG_STATE, f"a report that is {report.state} does not become {state}")


# ---------------------------------------------------------------- factors


def publish_factor(step: Step, command: PublishFactor) -> happened.FactorPublished:
    factors = step.exchange.emissions.factors
    acting(step.exchange, command.by, Right.ADMINISTER)
    latest = factors.latest(command.name)
    version, unit = (latest.version, latest.unit) if latest else (0, command.unit)
    require(command.version > version, Reason.FACTOR_EXISTS, f"{command.name} has {version} versions already")
    require(is_valid(command.valid_from_year, Year), Reason.INVALID_DATE, f"no year: {command.valid_from_year}")
    require(command.version == version + 1, Reason.INVALID_NUMBER, f"the next version is {version + 1}")
    require(is_valid(command.value, Number), Reason.INVALID_NUMBER, f"no number: {command.value!r}")
    require(is_valid(command.unit, FactorUnit), Reason.INVALID_NUMBER, f"not tCO2 per unit: {command.unit!r}")
    require(command.unit == unit, Reason.INVALID_NUMBER, f"{command.name} is in {unit}")

    return happened.FactorPublished(
        factors.publish(command.name, command.value, command.unit, command.valid_from_year, command.source)
    )


# ---------------------------------------------------------------- the reporting of a year


def open_reporting(step: Step, command: OpenReporting) -> happened.ReportingOpened:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    named = [account_named(exchange, account_id) for account_id in command.accounts]
    due = named or _covered_in(exchange, command.year)
    known = exchange.emissions.years.get(command.year)
    new = [account for account in due if exchange.emissions.report(account.number, command.year) is None]
    has_more = known is None or bool(new)
    require(has_more, Reason.PERIOD_EXISTS, f"reports of {command.year} are due already")
    closed_on = known.closed_on if known else None
    require(closed_on is None, Reason.WRONG_STATE, f"the reporting of {command.year} was closed on {closed_on}")
    as_before = known is None or command.deadline == known.deadline
    require(as_before, Reason.INVALID_DATE, f"reports of {command.year} are due on {known and known.deadline}")
    is_later = is_valid(command.year, Year) and command.deadline.year > command.year
    require(is_later, Reason.INVALID_DATE, f"{command.deadline} is not after the end of {command.year}")
    require(bool(due), Reason.NOT_COVERED, "there is no covered enterprise")
    for account in due:
        require(_is_covered(account), Reason.NOT_COVERED, f"{account.account_id} has nothing to report")

    numbers = list(dict.fromkeys(account.number for account in new))
    reporting = exchange.emissions.open(command.year, command.deadline, numbers)
    return happened.ReportingOpened(reporting, numbers)


def _covered_in(exchange: Exchange, year: int) -> list[Account]:
    """Who is covered in a compliance year; while that has not been decided, every enterprise that can report."""
    period = exchange.compliance.periods.get(year)
    if period is not None and period.obligors:
        accounts = [exchange.accounts[obligor.account] for obligor in period.covered()]
    else:
        accounts = list(exchange.accounts)
    return [account for account in accounts if _is_covered(account)]


def _is_covered(account: Account) -> bool:
    """Whether an account is of a covered enterprise that can report: neither pending nor closed."""
    return account.participant_class == ParticipantClass.COVERED_ENTERPRISE and account.may(Right.REPORT)


def close_reporting(step: Step, command: CloseReporting) -> happened.ReportingClosed:
    exchange = step.exchange
    emissions = exchange.emissions
    acting(exchange, command.by, Right.ADMINISTER)
    reporting = _reporting_of(exchange, command.year)
    require(reporting.closed_on is None, Reason.WRONG_STATE, f"closed on {reporting.closed_on} already")
    today = date_of(exchange)
    require(today > reporting.deadline, Reason.TOO_EARLY, f"reports are in time until {reporting.deadline}")

    refused = [report.account for report in emissions.close(command.year, today, exchange.market.reporting)]
    cuts = [cut for account in refused for cut in emissions.consequences_of(account, command.year + 1)]
    return happened.ReportingClosed(emissions.years[command.year], refused, cuts)


# ---------------------------------------------------------------- an enterprise's report


def file_report(step: Step, command: FileReport) -> happened.ReportFiled:
    exchange = step.exchange
    account = acting(exchange, command.account_id, Right.REPORT)
    report = _report_of(exchange, account, command.year)
    factors = [_factor_of(exchange, stream, command.year) for stream in command.lines]
    _require_next(report, ReportState.DRAFT)
    for stream, factor in zip(command.lines, factors, strict=True):
        _require_sense(stream, factor, command.year)
    for output in command.outputs:
        require(is_valid(output.value, Number), Reason.INVALID_NUMBER, f"{output.name}: no number: {output.value!r}")
    for document in command.evidence:
        require(is_valid(document.sha256, Sha256), Reason.INVALID_NUMBER, f"{document.name}: no SHA-256")
    require(bool(command.lines), Reason.NO_BASIS, "a report names at least one source, be it of nothing")
    lines = [report_line(stream, factor) for stream, factor in zip(command.lines, factors, strict=True)]
    rounding = exchange.market.reporting.round
    total = whole_tonnes(exact_sum(lines), rounding)
    require(total <= UNITS_MAX, Reason.AMOUNT_TOO_LARGE, "more tonnes than there can be units")

    return happened.ReportFiled(exchange.emissions.file(report, lines, command.outputs, command.evidence, rounding))


def _factor_of(exchange: Exchange, stream: SourceStream, year: int) -> Factor:
    """The version of a factor that a line names, or else the one in force for the year."""
    factors, version = exchange.emissions.factors, stream.factor_version
    factor = factors.in_force(stream.factor, year) if version is None else factors.version(stream.factor, version)
    if factor is None:
        raise Refused(Reason.UNKNOWN_FACTOR, f"{stream.source}: no {stream.factor!r}, version {version or 'in force'}")
    return factor


def _require_sense(stream: SourceStream, factor: Factor, year: int) -> None:
    """Refused if a line is no activity in the factor's unit, or the factor not valid yet."""
    is_number = is_valid(stream.activity, Number)
    require(is_number, Reason.INVALID_NUMBER, f"{stream.source}: no number: {stream.activity!r}")
    fits = stream.activity_unit == factor.per
    require(fits, Reason.INVALID_NUMBER, f"{stream.source}: {stream.activity_unit} x {factor.unit}")
    has_begun = factor.valid_from_year <= year
    require(has_begun, Reason.INVALID_NUMBER, f"{stream.source}: {factor.name} {factor.version} is not valid in {year}")


def submit_report(step: Step, command: SubmitReport) -> happened.ReportSubmitted:
    exchange = step.exchange
    account = acting(exchange, command.account_id, Right.REPORT)
    report = _report_of(exchange, account, command.year)
    _require_next(report, ReportState.SUBMITTED)
    today = date_of(exchange)

    return happened.ReportSubmitted(exchange.emissions.submit(report, today))


def verify_report(step: Step, command: VerifyReport) -> happened.ReportVerified | happened.ReportRejected:
    exchange = step.exchange
    verifier = acting(exchange, command.by, Right.VERIFY)
    account = account_named(exchange, command.account_id)
    report = _report_of(exchange, account, command.year)
    own = verifier.group == account.group
    require(not own, Reason.SAME_VERIFIER, f"{command.by} and {command.account_id} have one beneficial owner")
    _require_next(report, ReportState.VERIFIED)
    today = date_of(exchange)
    corrects = command.verdict == Verdict.CORRECT
    figure = command.emissions
    differs = figure is not None and figure >= 0 and figure != report.total
    require(not corrects or differs, Reason.INVALID_NUMBER, f"no correction of {report.total} t: {figure}")
    require(corrects or figure is None, Reason.INVALID_NUMBER, "only a correction has a figure of its own")
    is_reasoned = bool(command.reasons) or command.verdict == Verdict.CONFIRM
    require(is_reasoned, Reason.NO_BASIS, "a correction and a rejection need reasons")
    require((figure or 0) <= UNITS_MAX, Reason.AMOUNT_TOO_LARGE, "more tonnes than there can be units")

    answered = exchange.emissions.verify(report, verifier.number, command.verdict, figure, command.reasons, today)
    if answered.state == ReportState.REJECTED:
        return happened.ReportRejected(answered)
    _answer_for(exchange, account, command.year)
    return happened.ReportVerified(answered)


def _answer_for(exchange: Exchange, account: Account, year: int) -> None:
    """A figure that comes after the final allocation changes what is due, until the year is closed.

    Never below what was surrendered already, or waits to be: that is not given back. The allocation stays.
    """
    period, obligor = exchange.compliance.periods.get(year), exchange.compliance.obligor(year, account.number)
    figure = exchange.emissions.verified(account.number, year)
    if (
        period is None
        or obligor is None
        or figure is None
        or period.stage not in (Stage.DETERMINED, Stage.SURRENDERING)
    ):
        return
    offered = obligor.tonnes_surrendered + exchange.compliance.waiting_for(year, account.number)
    obligor.emissions = max(figure, offered - obligor.owed_back)


def restate_report(step: Step, command: RestateReport) -> happened.ReportRestated:
    exchange = step.exchange
    is_own = command.by == command.account_id
    by = acting(exchange, command.by, Right.REPORT if is_own else Right.ADMINISTER)
    account = account_named(exchange, command.account_id)
    report = _report_of(exchange, account, command.year)
    assessed = report.state == ReportState.ASSESSED
    require(not (is_own and assessed), Reason.NOT_PERMITTED, "only the authority reopens what it has assessed")
    _require_next(report, ReportState.RESTATED)
    today = date_of(exchange)

    new = exchange.emissions.restate(report, by.number, command.reason, today)
    figure = exchange.emissions.verified(account.number, command.year)
    assert figure is not None, "the earlier version has its figure"
    return happened.ReportRestated(new, figure)


# ---------------------------------------------------------------- what the authority decides


def assess_emissions(step: Step, command: AssessEmissions) -> happened.EmissionsAssessed:
    exchange = step.exchange
    emissions = exchange.emissions
    by = acting(exchange, command.by, Right.ADMINISTER)
    account = account_named(exchange, command.account_id)
    report = _report_of(exchange, account, command.year)
    lies = report.state == ReportState.REFUSED or is_refusable(report)
    require(lies, Reason.WRONG_STATE, f"a report that is {report.state} is not assessed")
    closed = emissions.years[command.year].closed_on is not None
    require(closed, Reason.TOO_EARLY, f"the reporting of {command.year} is not closed")
    today = date_of(exchange)
    require(command.emissions >= 0, Reason.INVALID_NUMBER, f"{command.emissions} t cannot be emitted")
    require(command.emissions <= UNITS_MAX, Reason.AMOUNT_TOO_LARGE, "more tonnes than there can be units")

    rules = exchange.market.reporting
    assessed = emissions.assess(report, by.number, command.emissions, command.reason, today, rules)
    _answer_for(exchange, account, command.year)
    return happened.EmissionsAssessed(assessed, emissions.consequences_of(account.number, command.year + 1))


def sanction_report(step: Step, command: SanctionReport) -> happened.ReportSanctioned:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    account = account_named(exchange, command.account_id)
    _report_of(exchange, account, command.year)
    versions = exchange.emissions.reports[account.number, command.year]
    submitted = any(report.submitted_on for report in versions)
    require(submitted, Reason.WRONG_STATE, "nothing was submitted that could be false")
    today = date_of(exchange)
    rule = in_force(exchange.market.reporting.fraud, command.year)
    require(is_valid(command.share, Share), Reason.INVALID_NUMBER, f"no share: {command.share!r}")
    cut = 1 - Fraction(command.share)
    allowed = rule is None or Fraction(rule.least) <= cut <= Fraction(rule.most)
    require(allowed, Reason.INVALID_NUMBER, f"false data cut an allocation by {rule and (rule.least, rule.most)}")
    require(rule is not None, Reason.NO_BASIS, f"no rule of {command.year} cuts allocations for false data")

    return happened.ReportSanctioned(
        exchange.emissions.sanction(account.number, command.year, command.share, command.reason, today)
    )
