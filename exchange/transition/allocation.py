"""Coverage and allocation of a compliance year."""

import re
from fractions import Fraction
from math import floor
from typing import assert_never

from exchange import events as happened
from exchange.commands import (
    AllocationCommand,
    DecideCoverage,
    DetermineAllocation,
    OpenPeriod,
    PreAllocate,
    RecordActivity,
    SetBasis,
)
from exchange.events import FinalAllocation, PreAllocation, SerialRange
from exchange.reasons import Reason, Refused
from exchange.state import UNITS_MAX, Exchange
from exchange.transition.step import (
    Step,
    account_named,
    acting,
    fit_balances,
    free_on_registry,
    is_parked,
    issue,
    period_in,
    period_of,
    require,
    require_right,
    set_position_limit,
    take_out_of_the_world,
    unpark,
)
from registry.accounts import AccountStatus, Right
from registry.allocation import (
    Adjustment,
    double_twenty,
    free_part,
    initial,
    pre_allocation,
    reserve,
    shortage_cap,
    true_up,
    within_cap,
)
from registry.compliance import Obligor, Period, Stage
from registry.coverage import Activity, Decision, Why, decide
from registry.emissions import Breach
from registry.rules import NUMBER, in_force
from registry.serials import Cause, Origin
from registry.units import Species

CAP_MAX = UNITS_MAX


def handle(step: Step, command: AllocationCommand) -> happened.AllocationEvent:
    match command:
        case OpenPeriod():
            return open_period(step, command)
        case RecordActivity():
            return record_activity(step, command)
        case DecideCoverage():
            return decide_coverage(step, command)
        case SetBasis():
            return set_basis(step, command)
        case PreAllocate():
            return pre_allocate(step, command)
        case DetermineAllocation():
            return determine_allocation(step, command)
        case _:
            assert_never(command)


# ---------------------------------------------------------------- who is covered


def open_period(step: Step, command: OpenPeriod) -> happened.PeriodOpened:
    exchange = step.exchange
    authority = acting(exchange, command.by, Right.ADMINISTER)
    year, code = command.year, f"{exchange.market.compliance.allowance}-{command.year}"
    require(year not in exchange.compliance.periods, Reason.PERIOD_EXISTS, f"the year {year} is open already")
    require(1990 <= year <= 2200, Reason.INVALID_DATE, f"{year} is no compliance year")
    require(0 <= command.cap <= CAP_MAX, Reason.INVALID_NUMBER, f"{command.cap} t is no cap")
    require(_is_factor(command.market_factor), Reason.INVALID_NUMBER, f"{command.market_factor!r} is no market factor")
    known = exchange.units.by_code.get(code)
    fits = known is None or (known.species, known.vintage) == (Species.ALLOWANCE, year)
    require(fits, Reason.NOT_ELIGIBLE, f"unit {code!r} is registered with another species or vintage")

    unit = known or exchange.units.register(
        code,
        Species.ALLOWANCE,
        year,
        scheme=exchange.market.compliance.allowance,
        region=exchange.market.compliance.region,
    )
    fit_balances(exchange)
    exchange.compliance.periods[year] = Period(year, unit.number, command.cap, command.market_factor, authority.number)
    return happened.PeriodOpened(year, unit.number, command.cap)


def _is_factor(text: str) -> bool:
    return re.fullmatch(NUMBER, text) is not None and 0 < Fraction(text) <= 2


def record_activity(step: Step, command: RecordActivity) -> happened.ActivityRecorded:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    acting(exchange, command.by, Right.ADMINISTER)
    require_right(account, Right.REPORT)

    exchange.compliance.activities.setdefault(account.number, {})[command.activity.year] = command.activity
    if command.sector:
        exchange.compliance.sectors[account.number] = command.sector
    return happened.ActivityRecorded(account.number, command.activity)


def decide_coverage(step: Step, command: DecideCoverage) -> happened.CoverageDecided:
    exchange, compliance = step.exchange, step.exchange.compliance
    acting(exchange, command.by, Right.ADMINISTER)
    period = period_in(exchange, command.year, Stage.OPEN)

    decisions = {}
    for number, activities in sorted(compliance.activities.items()):
        decisions[number] = _decision(exchange, period.year, number, list(activities.values()))
    for number, decision in decisions.items():
        period.obligors.setdefault(number, Obligor(number, decision)).decision = decision
    return happened.CoverageDecided(period.year, decisions)


def _decision(exchange: Exchange, year: int, number: int, activities: list[Activity]) -> Decision:
    account, compliance = exchange.accounts[number], exchange.compliance
    if account.status == AccountStatus.CLOSED:
        return Decision(False, Why.CLOSED, f"account {account.account_id} is closed")
    was_covered, sector = compliance.was_covered(number, year), compliance.sectors.get(number, "")
    return decide(exchange.market.coverage, activities, year, was_covered, sector)


# ---------------------------------------------------------------- how much


def set_basis(step: Step, command: SetBasis) -> happened.BasisSet:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    acting(exchange, command.by, Right.ADMINISTER)
    period = period_in(exchange, command.year, Stage.OPEN, Stage.PRE_ALLOCATED)
    tonnes = _initial(exchange, period, command)
    obligor = exchange.compliance.obligor(command.year, account.number)
    if obligor is None:
        raise Refused(Reason.NOT_COVERED, f"{account.account_id} is not covered in {command.year}")
    require(bool(command.bases), Reason.NO_BASIS, "there must be one basis at least")
    require(tonnes <= CAP_MAX, Reason.AMOUNT_TOO_LARGE, f"{tonnes} t are more than can be numbered")

    obligor.bases, obligor.initial = command.bases, tonnes
    return happened.BasisSet(account.number, command.year, command.bases, tonnes)


def _initial(exchange: Exchange, period: Period, command: SetBasis) -> int:
    """Whole allocation on some bases, each floored. Refused if a formula can't be worked out."""
    factor = Fraction(period.market_factor)
    try:
        return sum(initial(exchange.market.allocation, basis, period.year, factor) for basis in command.bases)
    except ValueError as error:
        raise Refused(Reason.INVALID_NUMBER, str(error)) from error


def pre_allocate(step: Step, command: PreAllocate) -> happened.PreAllocated:
    exchange, rules = step.exchange, step.exchange.market.allocation
    acting(exchange, command.by, Right.ADMINISTER)
    period = period_in(exchange, command.year, Stage.OPEN)
    covered = period.covered()
    require(bool(period.obligors), Reason.NOT_COVERED, f"who is covered in {period.year} has not been decided")
    for obligor in covered:
        name = exchange.accounts[obligor.account].account_id
        require(bool(obligor.bases), Reason.NO_BASIS, f"{name} has no basis of allocation in {period.year}")
    reserved = reserve(rules, period.year, period.cap)
    paid = sum(obligor.initial - free_part(rules, period.year, obligor.initial) for obligor in covered)
    below_cap = not period.cap or reserved + paid <= period.cap
    require(below_cap, Reason.AMOUNT_TOO_LARGE, f"reserve {reserved} t and paid part {paid} t pass the cap")
    first_parts = sum(_first_part(exchange, period, obligor)[1] for obligor in covered)
    _require_room(exchange, period, reserved + paid + first_parts)

    unit = exchange.units[period.unit]
    period.enter(Stage.PRE_ALLOCATED)
    period.reserve, period.paid = reserved, paid
    for quantity, origin in ((reserved, Origin.RESERVE), (paid, Origin.AUCTION)):
        if quantity:
            issue(step, period.authority, unit, quantity, origin)
    allocations = [_pre_allocate(step, period, obligor) for obligor in covered]
    for obligor in covered:
        set_position_limit(exchange, obligor.account)
    return happened.PreAllocated(period.year, allocations, reserved, paid)


def _pre_allocate(step: Step, period: Period, obligor: Obligor) -> PreAllocation:
    exchange = step.exchange
    of, free = _first_part(exchange, period, obligor)
    deducted = min(free, exchange.compliance.deductions.get(obligor.account, 0))
    _deduct(exchange, obligor, deducted)
    issued = free - deducted
    serials, parked = _issue_or_park(step, period, obligor, issued)
    return PreAllocation(obligor.account, obligor.initial, of, free, deducted, issued, parked, serials)


def _first_part(exchange: Exchange, period: Period, obligor: Obligor) -> tuple[int, int]:
    """The figure whose share is pre-allocated, and the free part of that share before deductions."""
    rules = exchange.market.allocation
    of = _share_of(exchange, period, obligor)
    return of, _cut(exchange, period, obligor, free_part(rules, period.year, pre_allocation(rules, period.year, of)))


def _share_of(exchange: Exchange, period: Period, obligor: Obligor) -> int:
    """Last year's figure by rule; the initial allocation of who has none, or whose last year is not determined."""
    rule = in_force(exchange.market.allocation.pre_allocation, period.year)
    last = exchange.compliance.obligor(period.year - 1, obligor.account)
    if rule is None or last is None or last.emissions is None:
        return obligor.initial
    return last.emissions if rule.of == "last_emissions" else last.allocation


def _deduct(exchange: Exchange, obligor: Obligor, tonnes: int) -> None:
    """Take tonnes off an enterprise's deductions and its allocation; less than 0: the other way round."""
    left = exchange.compliance.deductions.pop(obligor.account, 0) - tonnes
    obligor.deducted += tonnes
    if left:
        exchange.compliance.deductions[obligor.account] = left


def _issue_or_park(step: Step, period: Period, obligor: Obligor, tonnes: int) -> tuple[list[SerialRange], bool]:
    """Issue free allowances to an enterprise, or to the authority for it."""
    exchange = step.exchange
    parked = is_parked(exchange, exchange.accounts[obligor.account])
    obligor.allocated += tonnes
    obligor.parked += tonnes if parked else 0
    holder = period.authority if parked else obligor.account
    if not tonnes:
        return [], parked
    return issue(step, holder, exchange.units[period.unit], tonnes, Origin.FREE), parked


def determine_allocation(step: Step, command: DetermineAllocation) -> happened.AllocationDetermined:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    covered = period_of(exchange, command.year).covered()
    emissions = {obligor.account: _verified(exchange, obligor.account, command.year) for obligor in covered}
    period = period_in(exchange, command.year, Stage.PRE_ALLOCATED)
    adjusted = [_adjusted(exchange, period, obligor, emissions[obligor.account]) for obligor in covered]
    fit = within_cap(period.cap or UNITS_MAX, period.reserve, period.paid, adjusted)
    more = (final - obligor.allocated for obligor, final in zip(covered, fit.given, strict=True))
    _require_room(exchange, period, sum(tonnes for tonnes in more if tonnes > 0))

    period.enter(Stage.DETERMINED)
    allocations = []
    for obligor, before, final in zip(covered, adjusted, fit.given, strict=True):
        obligor.emissions = emissions[obligor.account]
        allocations.append(_true_up(step, period, obligor, before, final))
        set_position_limit(exchange, obligor.account)
    return happened.AllocationDetermined(period.year, allocations, fit.room, fit.wanted)


def _verified(exchange: Exchange, account: int, year: int) -> int:
    tonnes = exchange.emissions.verified(account, year)
    if tonnes is None:
        name = exchange.accounts[account].account_id
        raise Refused(Reason.UNKNOWN_REPORT, f"the emissions of {name} in {year} are not verified")
    return tonnes


def _adjusted(exchange: Exchange, period: Period, obligor: Obligor, emissions: int) -> int:
    """The free allocation on actual figures, after the rules that limit gain and shortage."""
    rules, year = exchange.market.allocation, period.year
    free = free_part(rules, year, obligor.initial)
    adjustment: Adjustment = double_twenty(rules, year, free, emissions)
    adjusted = shortage_cap(rules, year, free + adjustment.top_up - adjustment.claw_back, emissions)
    return _cut(exchange, period, obligor, adjusted)


def _cut(exchange: Exchange, period: Period, obligor: Obligor, tonnes: int) -> int:
    """What is left of an allocation after what followed from the last year's report, floored.

    Who refused to be verified gets at most a share of its last allocation; who gave false data a share of this one
    (domain sheet B.5, C.4).
    """
    last = exchange.compliance.obligor(period.year - 1, obligor.account)
    for cut in exchange.emissions.consequences_of(obligor.account, period.year):
        share = Fraction(cut.share)
        if cut.breach == Breach.FRAUD:
            tonnes = floor(tonnes * share)
        elif last is not None:
            tonnes = min(tonnes, floor(last.allocation * share))
    return tonnes


def _true_up(step: Step, period: Period, obligor: Obligor, adjusted: int, final: int) -> FinalAllocation:
    """Give an enterprise what it has too little, or take back what it has too much and still holds."""
    exchange, unit = step.exchange, step.exchange.units[period.unit]
    deductions = exchange.compliance.deductions.get(obligor.account, 0)
    _deduct(exchange, obligor, min(final - obligor.deducted, deductions))  # less than 0: deducted too much before
    difference = true_up(obligor.allocated, final - obligor.deducted)
    taken_back = 0
    if difference >= 0:
        serials, _ = _issue_or_park(step, period, obligor, difference)
    else:
        if obligor.parked:  # then all that it has got
            unpark(step, period, obligor, -difference)
        taken_back = min(-difference, free_on_registry(exchange, obligor.account, unit.number))
        serials = []
        if taken_back:
            serials = take_out_of_the_world(step, obligor.account, unit, taken_back, Cause.CANCELLED)
        obligor.allocated -= taken_back
        obligor.taken_back = taken_back
        obligor.owed_back = -difference - taken_back
    free = free_part(exchange.market.allocation, period.year, obligor.initial)
    return FinalAllocation(
        obligor.account, obligor.emissions or 0, obligor.initial, free, adjusted, final, obligor.deducted,
        difference, taken_back, obligor.owed_back, serials,
    )  # fmt: skip


def _require_room(exchange: Exchange, period: Period, tonnes: int) -> None:
    """Refused if so many more allowances can't be numbered."""
    issued = exchange.units[period.unit].issued
    require(issued + tonnes <= UNITS_MAX, Reason.AMOUNT_TOO_LARGE, "more units than can be numbered")
