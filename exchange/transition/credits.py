"""Methodologies, projects, and the reductions that become credits.

Dates are those of the last trading day opened. A step before its time is refused as too early; one after its time is
possible and reported as overdue, unless the scheme lets it lapse.
"""

from datetime import date
from typing import assert_never

import msgspec

from exchange import events as happened
from exchange.commands import (
    ApproveMethodology,
    CreditsCommand,
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
from exchange.reasons import Reason, Refused
from exchange.state import UNITS_MAX, Exchange
from exchange.transition.step import (
    Step,
    account_named,
    acting,
    date_of,
    fit_balances,
    free_on_registry,
    issue,
    require,
    require_right,
    take_out_of_the_world,
    unit_named,
)
from registry.accounts import Account, Right
from registry.claims import Span, batch, certificates, days, overlap_among
from registry.credits import (
    NEXT_PROJECT,
    NEXT_REDUCTION,
    GreenPower,
    Inclusion,
    Methodology,
    Project,
    ProjectState,
    Reduction,
    ReductionState,
    display_serial,
    green_power_tonnes,
    is_decimal,
    publicity,
)
from registry.rules import CreditScheme
from registry.serials import Block, Cause, Origin
from registry.units import Species, Unit
from registry.workdays import after_working_days, years_later

CREDITING_YEARS_MAX = 100


def handle(step: Step, command: CreditsCommand) -> happened.CreditsEvent:
    match command:
        case ApproveMethodology():
            return approve_methodology(step, command)
        case WithdrawMethodology():
            return withdraw_methodology(step, command)
        case FileProject():
            return file_project(step, command)
        case ValidateProject():
            return validate_project(step, command)
        case PublishProject():
            return publish_project(step, command)
        case RegisterProject():
            return register_project(step, command)
        case RejectProject():
            return reject_project(step, command)
        case SuspendProject():
            return suspend_project(step, command)
        case ReinstateProject():
            return reinstate_project(step, command)
        case ReportReduction():
            return report_reduction(step, command)
        case RegisterGreenPower():
            return register_green_power(step, command)
        case RegisterInclusion():
            return register_inclusion(step, command)
        case VerifyReduction():
            return verify_reduction(step, command)
        case PublishReduction():
            return publish_reduction(step, command)
        case IssueReduction():
            return issue_reduction(step, command)
        case RejectReduction():
            return reject_reduction(step, command)
        case RevokeReduction():
            return revoke_reduction(step, command)
        case ReplaceUnits():
            return replace_units(step, command)
        case _:
            assert_never(command)


# ---------------------------------------------------------------- who, what, when


def _methodology(exchange: Exchange, code: str) -> Methodology:
    methodology = exchange.credits.methodologies.get(code)
    if methodology is None:
        raise Refused(Reason.UNKNOWN_METHODOLOGY, f"no methodology {code!r}")
    return methodology


def _project(exchange: Exchange, project_id: str) -> Project:
    project = exchange.credits.projects.get(project_id)
    if project is None:
        raise Refused(Reason.UNKNOWN_PROJECT, f"no project {project_id!r}")
    return project


def _reduction(exchange: Exchange, number: int) -> Reduction:
    reduction = exchange.credits.reductions.get(number)
    if reduction is None:
        raise Refused(Reason.UNKNOWN_REDUCTION, f"no reduction {number}")
    return reduction


def _scheme_for(exchange: Exchange, name: str, credits: str) -> CreditScheme:
    scheme = exchange.market.credits.scheme(name)
    if scheme is None or scheme.credits != credits:
        raise Refused(Reason.NOT_ELIGIBLE, f"no scheme {name!r} registers {credits.replace('_', ' ')} here")
    return scheme


def _scheme_of(exchange: Exchange, of: Project | Reduction) -> CreditScheme:
    scheme = exchange.market.credits.scheme(of.scheme)
    assert scheme is not None, "something was filed in a scheme that does not exist"
    return scheme


def _require_may_file(exchange: Exchange, owner: Account) -> None:
    banned = exchange.date is not None and exchange.credits.is_banned(owner.number, exchange.date)
    until = exchange.credits.banned_until.get(owner.number)
    require(not banned, Reason.NOT_PERMITTED, f"{owner.account_id} may file nothing until {until}")


def _require_leads_to(project: Project, state: ProjectState) -> None:
    leads_there = state in NEXT_PROJECT[project.state]
    require(leads_there, Reason.WRONG_STATE, f"a project that is {project.state} does not become {state}")


def _require_goes_to(exchange: Exchange, reduction: Reduction, state: ReductionState) -> None:
    goes_there = state in NEXT_REDUCTION[reduction.state]
    require(goes_there, Reason.WRONG_STATE, f"a reduction that is {reduction.state} does not become {state}")
    if reduction.metered is None and state in (ReductionState.VERIFIED, ReductionState.PUBLIC, ReductionState.ISSUED):
        _require_registered(exchange.credits.projects[reduction.project])


def _require_registered(project: Project) -> None:
    is_registered = project.state == ProjectState.REGISTERED
    require(is_registered, Reason.WRONG_STATE, f"project {project.project_id} is {project.state}")


def _require_publicity_over(exchange: Exchange, of: Project | Reduction) -> None:
    over = of.public_until is None or date_of(exchange) > of.public_until
    require(over, Reason.TOO_EARLY, f"it is public until {of.public_until}")


def _require_not_lapsed(exchange: Exchange, of: Project | Reduction) -> None:
    lapsed = _scheme_of(exchange, of).decisions_lapse and of.decide_by is not None and date_of(exchange) > of.decide_by
    require(not lapsed, Reason.TOO_LATE, f"it had to be decided by {of.decide_by}")


def _require_period(scheme: CreditScheme, first_day: date, last_day: date, today: date) -> None:
    """A batch's period is over, was not long ago, and has an order."""
    require(last_day < today, Reason.TOO_EARLY, f"the period lasts until {last_day}")
    earliest = years_later(today, -scheme.batch_years)
    require(first_day >= earliest, Reason.TOO_LATE, f"what was reduced before {earliest} is no longer registered")
    require(first_day <= last_day, Reason.INVALID_DATE, f"a period from {first_day} to {last_day}")


def _require_recent(scheme: CreditScheme, first_day: date) -> None:
    after = scheme.reductions_after
    recent = after is None or first_day > after
    require(recent, Reason.NOT_ELIGIBLE, f"{scheme.name} registers reductions made after {after}")


def _require_unclaimed(exchange: Exchange, spans: list[Span]) -> None:
    found = exchange.credits.claims.taken(spans)
    if found:
        span, claim = found
        title = exchange.credits.reductions[claim.reduction].title
        raise Refused(Reason.ALREADY_CREDITED, f"{span} overlaps {title}")


def _require_one_thing(exchange: Exchange, names: list[str]) -> None:
    """Names may only mean one thing if it was not credited twice under them."""
    found = exchange.credits.claims.clash(names)
    if found:
        one, other = (exchange.credits.reductions[claim.reduction].title for claim in found)
        raise Refused(Reason.ALREADY_CREDITED, f"{' = '.join(names)}, but {one} overlaps {other}")


# ---------------------------------------------------------------- methodologies


def approve_methodology(step: Step, command: ApproveMethodology) -> happened.MethodologyApproved:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    taken = command.code in exchange.credits.methodologies
    require(not taken, Reason.METHODOLOGY_EXISTS, f"methodology {command.code!r} exists already")
    today = date_of(exchange)
    years = command.crediting_years
    require(0 < years <= CREDITING_YEARS_MAX, Reason.INVALID_NUMBER, f"a crediting period of {years} years")

    methodology = Methodology(command.code, command.title, command.sector, command.crediting_years, today)
    exchange.credits.methodologies[command.code] = methodology
    return happened.MethodologyApproved(methodology)


def withdraw_methodology(step: Step, command: WithdrawMethodology) -> happened.MethodologyWithdrawn:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    methodology = _methodology(exchange, command.code)
    in_use = methodology.withdrawn_on is None
    require(in_use, Reason.WRONG_STATE, f"it was withdrawn on {methodology.withdrawn_on}")

    withdrawn = msgspec.structs.replace(methodology, withdrawn_on=date_of(exchange))
    exchange.credits.methodologies[command.code] = withdrawn
    return happened.MethodologyWithdrawn(withdrawn)


# ---------------------------------------------------------------- projects


def file_project(step: Step, command: FileProject) -> happened.ProjectFiled:
    exchange = step.exchange
    owner = acting(exchange, command.by, Right.DEVELOP)
    _require_may_file(exchange, owner)
    methodology = _methodology(exchange, command.methodology)
    taken = command.project_id in exchange.credits.projects
    require(not taken, Reason.PROJECT_EXISTS, f"project {command.project_id!r} exists already")
    withdrawn = methodology.withdrawn_on is not None
    require(not withdrawn, Reason.WRONG_STATE, f"methodology {methodology.code} was withdrawn")
    today = date_of(exchange)
    _require_crediting_period(command, methodology)
    scheme = _scheme_for(exchange, command.scheme, "projects")
    begun = scheme.started_after is None or command.started_on > scheme.started_after
    require(begun, Reason.NOT_ELIGIBLE, f"{scheme.name} registers projects begun after {scheme.started_after}")
    require(not command.within_covered_installation, Reason.NOT_ELIGIBLE, "a covered installation has its allowances")
    require(not command.legally_obliged, Reason.NOT_ELIGIBLE, "what the law demands is not additional")
    _require_one_thing(exchange, [command.project_id, *command.also_known_as])

    project = Project(
        command.project_id, command.scheme, owner.number, command.methodology, command.title, command.kind,
        command.region, command.also_known_as, command.started_on, command.crediting_from, command.crediting_to,
        filed_on=today,
    )  # fmt: skip
    return happened.ProjectFiled(exchange.credits.file(project))


def _require_crediting_period(command: FileProject, methodology: Methodology) -> None:
    first, last = command.crediting_from, command.crediting_to
    in_order = command.started_on <= first <= last
    require(in_order, Reason.INVALID_DATE, f"begun on {command.started_on}, credited from {first} to {last}")
    short = last < years_later(first, methodology.crediting_years)
    require(short, Reason.INVALID_DATE, f"{methodology.code} credits {methodology.crediting_years} years")


def validate_project(step: Step, command: ValidateProject) -> happened.ProjectValidated | happened.ProjectRejected:
    exchange = step.exchange
    validator = acting(exchange, command.by, Right.VERIFY)
    project = _project(exchange, command.project_id)
    _require_leads_to(project, ProjectState.VALIDATED)

    judged = msgspec.structs.replace(project, validator=validator.number, validated_on=exchange.date)
    if command.positive:
        return happened.ProjectValidated(exchange.credits.move_project(judged, ProjectState.VALIDATED))
    rejected = exchange.credits.move_project(
        judged, ProjectState.REJECTED, decided_on=exchange.date, reason=command.opinion
    )
    return happened.ProjectRejected(rejected)


def publish_project(step: Step, command: PublishProject) -> happened.ProjectPublished:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    project = _project(exchange, command.project_id)
    _require_leads_to(project, ProjectState.PUBLIC)

    dates = publicity(_scheme_of(exchange, project), date_of(exchange), exchange.market.credits.holidays)
    return happened.ProjectPublished(exchange.credits.move_project(project, ProjectState.PUBLIC, **dates))


def register_project(step: Step, command: RegisterProject) -> happened.ProjectRegistered:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    project = _project(exchange, command.project_id)
    is_public = project.state == ProjectState.PUBLIC
    require(is_public, Reason.WRONG_STATE, f"a project that is {project.state} is not registered")
    _require_publicity_over(exchange, project)
    _require_not_lapsed(exchange, project)
    _require_one_thing(exchange, project.names)

    exchange.credits.claims.identify(project.names)
    registered = exchange.credits.move_project(
        project, ProjectState.REGISTERED, decided_on=exchange.date, grade=command.grade
    )
    return happened.ProjectRegistered(registered)


def reject_project(step: Step, command: RejectProject) -> happened.ProjectRejected:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    project = _project(exchange, command.project_id)
    _require_leads_to(project, ProjectState.REJECTED)
    _require_publicity_over(exchange, project)

    rejected = exchange.credits.move_project(
        project, ProjectState.REJECTED, decided_on=exchange.date, reason=command.reason
    )
    return happened.ProjectRejected(rejected)


def suspend_project(step: Step, command: SuspendProject) -> happened.ProjectSuspended:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    project = _project(exchange, command.project_id)
    _require_leads_to(project, ProjectState.SUSPENDED)

    suspended = exchange.credits.move_project(project, ProjectState.SUSPENDED, reason=command.reason)
    return happened.ProjectSuspended(suspended)


def reinstate_project(step: Step, command: ReinstateProject) -> happened.ProjectReinstated:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    project = _project(exchange, command.project_id)
    is_suspended = project.state == ProjectState.SUSPENDED
    require(is_suspended, Reason.WRONG_STATE, f"a project that is {project.state} is not reinstated")

    reinstated = exchange.credits.move_project(project, ProjectState.REGISTERED, reason="")
    return happened.ProjectReinstated(reinstated)


# ---------------------------------------------------------------- reductions are reported


def report_reduction(step: Step, command: ReportReduction) -> happened.ReductionReported:
    exchange = step.exchange
    owner = acting(exchange, command.by, Right.DEVELOP)
    _require_may_file(exchange, owner)
    project = _project(exchange, command.project_id)
    owns_it = project.owner == owner.number
    require(owns_it, Reason.NOT_PERMITTED, f"project {project.project_id} is not {owner.account_id}'s")
    _require_registered(project)
    today, scheme = date_of(exchange), _scheme_of(exchange, project)
    first, last = command.first_day, command.last_day
    _require_period(scheme, first, last, today)
    credited = project.crediting_from <= first and last <= project.crediting_to
    crediting = f"{project.crediting_from} to {project.crediting_to}"
    require(credited, Reason.INVALID_DATE, f"project {project.project_id} is credited from {crediting}")
    _require_recent(scheme, first)
    spans = [days(project.project_id, first, last)]
    _require_unclaimed(exchange, spans)
    require(command.tonnes > 0, Reason.QUANTITY_NOT_POSITIVE, "a reduction must be positive")
    require(command.tonnes <= UNITS_MAX, Reason.AMOUNT_TOO_LARGE, "more units than can be numbered")

    reduction = exchange.credits.report(
        project.scheme, project.project_id, owner.number, (first, last), command.tonnes, today, spans,
        region=project.region,
    )  # fmt: skip
    return happened.ReductionReported(reduction)


def register_green_power(step: Step, command: RegisterGreenPower) -> happened.GreenPowerRegistered:
    exchange = step.exchange
    owner = acting(exchange, command.by, Right.DEVELOP)
    _require_may_file(exchange, owner)
    today, scheme = date_of(exchange), _scheme_for(exchange, command.scheme, "green_power")
    first, last = command.first_day, command.last_day
    _require_period(scheme, first, last, today)
    decimals = is_decimal(command.mwh) and is_decimal(command.factor)
    require(decimals, Reason.INVALID_NUMBER, f"{command.mwh!r} MWh at {command.factor!r} t each")
    power = GreenPower(command.mwh, command.factor, command.factor_source, command.certificates, command.also_known_as)
    names = list(dict.fromkeys([command.plant, *command.also_known_as]))
    spans = [*(days(name, first, last) for name in names), *_certificates(command)]
    _require_recent(scheme, first)
    _require_unclaimed(exchange, spans)
    _require_one_thing(exchange, names)
    tonnes = green_power_tonnes(command.mwh, command.factor)
    require(tonnes > 0, Reason.QUANTITY_NOT_POSITIVE, "it comes to less than a tonne")
    require(tonnes <= UNITS_MAX, Reason.AMOUNT_TOO_LARGE, "more units than can be numbered")

    reduction = exchange.credits.report(
        scheme.name, command.plant, owner.number, (first, last), tonnes, today, spans,
        metered=power, decide_by=_decide_metered_by(exchange, scheme), region=command.region,
    )  # fmt: skip
    return happened.GreenPowerRegistered(reduction)


def _certificates(command: RegisterGreenPower) -> list[Span]:
    spans = [certificates(first, last) for first, last in command.certificates]
    numbered = [span for span in spans if span]
    require(len(numbered) == len(spans), Reason.INVALID_NUMBER, "certificates are numbered at the end of their ids")
    require(overlap_among(numbered) is None, Reason.INVALID_NUMBER, "a certificate is named twice")
    return numbered


def _decide_metered_by(exchange: Exchange, scheme: CreditScheme) -> date:
    holidays = exchange.market.credits.holidays
    return after_working_days(date_of(exchange), scheme.registration_working_days, holidays)


def register_inclusion(step: Step, command: RegisterInclusion) -> happened.InclusionRegistered:
    exchange = step.exchange
    platform = acting(exchange, command.by, Right.DEVELOP)
    _require_may_file(exchange, platform)
    today, scheme = date_of(exchange), _scheme_for(exchange, command.scheme, "inclusion")
    first, last = command.first_day, command.last_day
    _require_period(scheme, first, last, today)
    _require_recent(scheme, first)
    spans = [batch(platform.account_id, command.batch_ref)]
    _require_unclaimed(exchange, spans)
    require(command.grams > 0, Reason.QUANTITY_NOT_POSITIVE, "a reduction must be positive")
    require(command.grams <= UNITS_MAX, Reason.AMOUNT_TOO_LARGE, "more grams than can be booked")

    reduction = exchange.credits.report(
        scheme.name, platform.account_id, platform.number, (first, last), 0, today, spans,
        metered=Inclusion(command.batch_ref, command.grams, command.scenario),
        decide_by=_decide_metered_by(exchange, scheme), region=command.region,
    )  # fmt: skip
    return happened.InclusionRegistered(reduction)


# ---------------------------------------------------------------- reductions become credits


def verify_reduction(step: Step, command: VerifyReduction) -> happened.ReductionVerified:
    exchange = step.exchange
    verifier = acting(exchange, command.by, Right.VERIFY)
    reduction = _reduction(exchange, command.reduction)
    validated = reduction.metered is None and verifier.number == exchange.credits.projects[reduction.project].validator
    differs = not (validated and _scheme_of(exchange, reduction).verifier_differs)
    require(differs, Reason.SAME_VERIFIER, f"{verifier.account_id} validated the project")
    _require_goes_to(exchange, reduction, ReductionState.VERIFIED)
    no_more = command.tonnes <= reduction.tonnes
    require(no_more, Reason.INVALID_NUMBER, f"{reduction.tonnes} t were reported")
    require(command.tonnes > 0, Reason.QUANTITY_NOT_POSITIVE, "what is confirmed must be positive")

    verified = exchange.credits.move_reduction(
        reduction, ReductionState.VERIFIED,
        tonnes=command.tonnes, verifier=verifier.number, verified_on=exchange.date,
    )  # fmt: skip
    return happened.ReductionVerified(verified)


def publish_reduction(step: Step, command: PublishReduction) -> happened.ReductionPublished:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    reduction = _reduction(exchange, command.reduction)
    _require_goes_to(exchange, reduction, ReductionState.PUBLIC)

    dates = publicity(_scheme_of(exchange, reduction), date_of(exchange), exchange.market.credits.holidays)
    return happened.ReductionPublished(exchange.credits.move_reduction(reduction, ReductionState.PUBLIC, **dates))


def issue_reduction(step: Step, command: IssueReduction) -> happened.ReductionIssued:
    exchange, credits = step.exchange, step.exchange.credits
    acting(exchange, command.by, Right.ADMINISTER)
    reduction = _reduction(exchange, command.reduction)
    require_right(exchange.accounts[reduction.owner], Right.HOLD)
    _require_goes_to(exchange, reduction, ReductionState.ISSUED)
    _require_publicity_over(exchange, reduction)
    _require_not_lapsed(exchange, reduction)
    known = exchange.units.by_code.get(reduction.unit_code)
    same = known is None or _is_free(known, reduction)
    if known and known.number in credits.units:
        same = known.region == reduction.region
    require(same, Reason.NOT_ELIGIBLE, f"the code {reduction.unit_code} stands for other units")
    if isinstance(reduction.metered, GreenPower):
        _require_one_thing(exchange, reduction.names)
    tonnes, grams_left = credits.to_issue(reduction)
    numbered = known.issued if known else 0
    require(numbered + tonnes <= UNITS_MAX, Reason.AMOUNT_TOO_LARGE, "more units than can be numbered")

    unit = known if known and known.number in credits.units else _describe_unit(exchange, reduction)
    serials = issue(step, reduction.owner, unit, tonnes, Origin.CREDIT) if tonnes else []
    if isinstance(reduction.metered, GreenPower):
        credits.claims.identify(reduction.names)
    issued = credits.issue(reduction, unit.number, serials, date_of(exchange))
    shown = [display_serial(unit, issued.batch, first, last) for first, last in serials]
    return happened.ReductionIssued(issued, unit.code, serials, shown, grams_left)


def _is_free(unit: Unit, reduction: Reduction) -> bool:
    """Whether a unit was listed ahead of its first issue."""
    return unit.issued == 0 and unit.species == Species.CREDIT and unit.vintage == reduction.vintage


def _describe_unit(exchange: Exchange, reduction: Reduction) -> Unit:
    """The unit of a batch, registered unless it was listed before, with what is known of its credits."""
    unit = exchange.units.by_code.get(reduction.unit_code)
    if unit is None:
        unit = exchange.units.register(reduction.unit_code, Species.CREDIT, reduction.vintage)
        fit_balances(exchange)
    unit.scheme, unit.project, unit.region = reduction.scheme, reduction.project, reduction.region
    if reduction.metered is None:
        project = exchange.credits.projects[reduction.project]
        unit.kind, unit.grade, unit.registered_on = project.kind, project.grade, project.decided_on
    else:
        unit.kind = "green_power" if isinstance(reduction.metered, GreenPower) else "carbon_inclusion"
        unit.registered_on = exchange.date
    return unit


def reject_reduction(step: Step, command: RejectReduction) -> happened.ReductionRejected:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    reduction = _reduction(exchange, command.reduction)
    _require_goes_to(exchange, reduction, ReductionState.REJECTED)
    _require_publicity_over(exchange, reduction)

    rejected = exchange.credits.move_reduction(
        reduction, ReductionState.REJECTED, decided_on=exchange.date, reason=command.reason
    )
    return happened.ReductionRejected(rejected)


# ---------------------------------------------------------------- fraud


def revoke_reduction(step: Step, command: RevokeReduction) -> happened.ReductionRevoked:
    exchange, credits = step.exchange, step.exchange.credits
    acting(exchange, command.by, Right.ADMINISTER)
    reduction = _reduction(exchange, command.reduction)
    _require_goes_to(exchange, reduction, ReductionState.REVOKED)

    def of_the_batch(block: Block) -> bool:
        return reduction.first_serial <= block.first <= reduction.last_serial

    unit = exchange.units[reduction.unit]
    held = sum(block.quantity for block in exchange.serials.of(reduction.owner, unit.number) if of_the_batch(block))
    cancelled = min(held, free_on_registry(exchange, reduction.owner, unit.number))
    serials = (
        take_out_of_the_world(step, reduction.owner, unit, cancelled, Cause.CANCELLED, wanted=of_the_batch)
        if cancelled
        else []
    )
    scheme, holidays = _scheme_of(exchange, reduction), exchange.market.credits.holidays
    revoked = credits.revoke(reduction, cancelled, scheme, date_of(exchange), holidays, command.reason)
    duty, banned_until = credits.duties.get(reduction.number), credits.banned_until[reduction.owner]
    if duty is None:
        return happened.ReductionRevoked(revoked, cancelled, serials, 0, None, banned_until)
    return happened.ReductionRevoked(revoked, cancelled, serials, duty.tonnes, duty.replace_by, banned_until)


def replace_units(step: Step, command: ReplaceUnits) -> happened.UnitsReplaced:
    exchange, credits = step.exchange, step.exchange.credits
    asking = account_named(exchange, command.by)
    unit = unit_named(exchange, command.unit)
    reduction = _reduction(exchange, command.reduction)
    by_force = asking.number != reduction.owner
    require_right(asking, Right.ADMINISTER if by_force else Right.SURRENDER)
    duty = credits.duties.get(reduction.number)
    if duty is None:
        raise Refused(Reason.WRONG_STATE, f"nothing is owed for {reduction.title}")
    in_time = date_of(exchange) <= duty.replace_by
    require(not (by_force and in_time), Reason.TOO_EARLY, f"its owner has until {duty.replace_by}")
    replaceable = unit.species in _scheme_of(exchange, reduction).replaced_by
    require(replaceable, Reason.NOT_ELIGIBLE, f"{reduction.scheme} is not replaced by {unit.species}s")
    require(command.quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "what is replaced must be positive")
    require(command.quantity <= duty.tonnes, Reason.ABOVE_OBLIGATION, f"{duty.tonnes} t are owed")
    free = free_on_registry(exchange, duty.owner, unit.number)
    require(command.quantity <= free, Reason.INSUFFICIENT_UNITS, f"{free} t are free on the registry side")

    serials = take_out_of_the_world(step, duty.owner, unit, command.quantity, Cause.CANCELLED)
    credits.replace(duty, command.quantity)
    left = duty.tonnes - command.quantity
    return happened.UnitsReplaced(reduction.number, duty.owner, unit.number, command.quantity, serials, left)
