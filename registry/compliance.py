"""Compliance: what an enterprise is allocated for a year, what it owes, and with what it may pay.

A compliance period is one year of one cap. Its stages:

| stage         | what happens in it                                        | next          |
|---------------|-----------------------------------------------------------|---------------|
| open          | figures, coverage, bases of allocation                    | pre-allocated |
| pre-allocated | part of the allowances is out; reports, verification      | determined    |
| determined    | final allocation, trued up                                | surrendering  |
| surrendering  | requests to surrender, confirmed or rejected; reminders   | closed        |
| closed        | shortfalls have their penalty; what expires, expires      | none          |

What an enterprise owes for a year, in tonnes:

    due = verified emissions + pre-allocation that it should have given back and no longer had

and `usable` says of everything it holds how much may pay that, by the same rules by which a surrender is
taken: allowances of the year's vintage or earlier ones (a later vintage cannot pay an earlier year), and
credits up to the offset cap (domain sheet C.5, C.6). The default order is oldest vintage first, allowances
before credits.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from math import floor
from typing import NamedTuple

import msgspec

from registry.allocation import Basis
from registry.coverage import Activity, Decision
from registry.rules import CarryOver, ComplianceRules, Lapse, Offset, Penalty, in_force
from registry.units import Species, Unit


class Stage(StrEnum):
    """Where a compliance period stands."""

    OPEN = "open"
    PRE_ALLOCATED = "pre_allocated"
    DETERMINED = "determined"
    SURRENDERING = "surrendering"
    CLOSED = "closed"


NEXT_STAGE = {
    Stage.OPEN: Stage.PRE_ALLOCATED,
    Stage.PRE_ALLOCATED: Stage.DETERMINED,
    Stage.DETERMINED: Stage.SURRENDERING,
    Stage.SURRENDERING: Stage.CLOSED,
}


class Outcome(StrEnum):
    """How a covered enterprise's year ended."""

    COMPLIED = "complied"
    SHORT = "short"


class Obligor(msgspec.Struct):
    """An enterprise's compliance year. Tonnes, but the fine, which is in fen."""

    account: int
    decision: Decision
    bases: list[Basis] = []
    initial: int = 0  # whole allocation on its bases, before shares and deductions
    allocated: int = 0  # free allowances that it has got, net of what was taken back
    deducted: int = 0  # for the shortfall of an earlier year
    parked: int = 0  # of the allocated, what the authority still keeps for it
    taken_back: int = 0  # of what was pre-allocated, cancelled at the final determination
    owed_back: int = 0  # pre-allocated too much and no longer there to be taken back
    emissions: int | None = None  # verified, or assessed
    surrendered: dict[int, int] = {}  # by unit number, whoever supplied it
    offset: int = 0  # of the surrendered, credits
    outcome: Outcome | None = None
    shortfall: int = 0
    fine: int = 0
    fine_paid: int = 0

    @property
    def allocation(self) -> int:
        """Its whole free allocation so far, deductions and what is owed back aside."""
        return self.allocated + self.deducted - self.owed_back

    @property
    def due(self) -> int:
        """What it must surrender in all; 0 before its emissions are known."""
        return (self.emissions or 0) + self.owed_back

    @property
    def missing(self) -> int:
        """What of that is still to come."""
        return max(0, self.due - self.tonnes_surrendered)

    @property
    def tonnes_surrendered(self) -> int:
        """What has come, of all units."""
        return sum(self.surrendered.values())


class Period(msgspec.Struct):
    """A compliance year. `unit` is the number of its allowances."""

    year: int
    unit: int
    cap: int  # t; 0: none
    market_factor: str
    authority: int  # account that keeps the reserve and what is sold
    stage: Stage = Stage.OPEN
    reserve: int = 0
    paid: int = 0
    deadline: date | None = None
    reminded_on: date | None = None  # for the last time
    has_lapsed: bool = False  # what lapses with it is cancelled
    obligors: dict[int, Obligor] = {}

    def covered(self) -> list[Obligor]:
        """The enterprises that are covered, by account number."""
        return [self.obligors[number] for number in sorted(self.obligors) if self.obligors[number].decision.covered]

    def enter(self, stage: Stage) -> None:
        """The next stage begins. ValueError if it is another."""
        if NEXT_STAGE.get(self.stage) != stage:
            raise ValueError(f"a compliance year that is {self.stage} does not become {stage}")
        self.stage = stage

    @property
    def is_under_way(self) -> bool:
        """Whether its authority still has to take or give something."""
        left = any(obligor.parked or obligor.fine > obligor.fine_paid for obligor in self.obligors.values())
        return self.stage != Stage.CLOSED or left

    def rate(self) -> tuple[int, int]:
        """How many complied, of how many covered."""
        covered = self.covered()
        return sum(obligor.outcome == Outcome.COMPLIED for obligor in covered), len(covered)


class Surrender(msgspec.Struct, frozen=True):
    """A request that waits for the authority: which tonnes, by unit number, whose, and for whose obligation."""

    request_id: int
    year: int
    payer: int
    obligor: int
    tonnes: dict[int, int]

    @property
    def total(self) -> int:
        """Tonnes of all its units."""
        return sum(self.tonnes.values())


class Compliance:
    """All periods, what enterprises reported before, and what is pending between them."""

    def __init__(self) -> None:
        self.periods: dict[int, Period] = {}
        self.activities: dict[int, dict[int, Activity]] = {}  # by account and year
        self.sectors: dict[int, str] = {}  # by account
        self.requests: dict[int, Surrender] = {}
        self.next_request = 1
        self.deductions: dict[int, int] = {}  # tonnes off the next allocation, by account
        self.net_sales: dict[tuple[int, int], int] = {}  # allowances sold less bought, by account and calendar year
        self.carried: dict[tuple[int, int], int] = {}  # into the next vintage, by account and year

    def count_sale(self, account: int, year: int, tonnes: int) -> None:
        """An account has sold so many allowances more than it bought in a calendar year; less, if negative."""
        sold = self.net_sales.pop((account, year), 0) + tonnes
        if sold:
            self.net_sales[account, year] = sold

    def obligor(self, year: int, account: int) -> Obligor | None:
        """A covered enterprise's year; None if it is not covered."""
        period = self.periods.get(year)
        obligor = period.obligors.get(account) if period else None
        return obligor if obligor and obligor.decision.covered else None

    def was_covered(self, account: int, year: int) -> bool:
        """Whether an enterprise was covered in the last period before a year that decided on it."""
        earlier = [known for known, period in self.periods.items() if known < year and account in period.obligors]
        return bool(earlier) and self.obligor(max(earlier), account) is not None

    def complied(self, year: int, account: int) -> bool:
        """Whether an account surrendered for a year in time, or did not have to."""
        obligor = self.obligor(year, account)
        return obligor is None or obligor.outcome == Outcome.COMPLIED

    def parked_with(self, account: int, unit: int) -> int:
        """Tonnes of a unit that an account keeps, as an authority, for others."""
        years = (period for period in self.periods.values() if (period.authority, period.unit) == (account, unit))
        return sum(obligor.parked for period in years for obligor in period.obligors.values())

    def unpaid_fine(self, account: int) -> int:
        """Fen of fines that an enterprise has not paid."""
        years = (period.obligors.get(account) for period in self.periods.values())
        return sum(obligor.fine - obligor.fine_paid for obligor in years if obligor)

    def pending(self) -> Iterator[tuple[int, int, int]]:
        """(account, unit, tonnes) of all that waits for the authority's word."""
        for request in self.requests.values():
            for unit, tonnes in request.tonnes.items():
                yield request.payer, unit, tonnes

    def pending_for(self, year: int, account: int) -> list[Surrender]:
        """The requests that wait to pay an enterprise's year."""
        return [one for one in self.requests.values() if (one.year, one.obligor) == (year, account)]

    def waiting_for(self, year: int, account: int) -> int:
        """Tonnes that wait to pay an enterprise's year."""
        return sum(request.total for request in self.pending_for(year, account))

    def owed_by(self, account: int) -> str:
        """What an account still owes to anybody here; empty if nothing."""
        if any(account in (request.payer, request.obligor) for request in self.requests.values()):
            return "a surrender waits for the authority"
        if self.unpaid_fine(account):
            return "a fine"
        if self.deductions.get(account):
            return f"{self.deductions[account]} t off the next allocation"
        for period in self.periods.values():
            if period.stage != Stage.CLOSED and self.obligor(period.year, account):
                return f"the surrender for {period.year}"
            if period.authority == account and period.is_under_way:
                return f"the care of the compliance year {period.year}"
        return ""

    def content(self) -> Iterator[tuple[object, ...]]:
        """Everything remembered, in an order that does not depend on how it came about."""
        for _, period in sorted(self.periods.items()):
            yield "period", msgspec.structs.replace(period, obligors={})
            for _, obligor in sorted(period.obligors.items()):
                yield "obligor", msgspec.structs.replace(obligor, surrendered={}), sorted(obligor.surrendered.items())
        for number, activities in sorted(self.activities.items()):
            yield "activities", number, sorted(activities.items())
        yield "sectors", sorted(self.sectors.items())
        yield "surrenders", self.next_request, sorted(self.requests.items())
        for one in (self.deductions, self.net_sales, self.carried):
            yield "compliance", sorted(one.items())

    def check(self) -> None:
        """Assert that what was surrendered, given and parked makes sense for every enterprise and year."""
        for period in self.periods.values():
            for number, obligor in period.obligors.items():
                assert number == obligor.account, "an obligation stands under another account"
                figures = (obligor.allocated, obligor.parked, obligor.owed_back, obligor.offset, obligor.shortfall)
                assert min(figures) >= 0 and obligor.parked <= obligor.allocated, "a negative allocation"
                offered = self.waiting_for(period.year, number)
                assert obligor.tonnes_surrendered + offered <= obligor.due, "more surrendered than due"
                assert (obligor.outcome is not None) == (period.stage == Stage.CLOSED and obligor.decision.covered), (
                    "an outcome before the end, or none after it"
                )
                assert 0 <= obligor.fine_paid <= obligor.fine, "a fine paid twice"


# ---------------------------------------------------------------- with what may it pay?


class Eligibility(StrEnum):
    """Whether a unit may pay for a year, or the first thing that speaks against it. Stable codes."""

    ELIGIBLE = "eligible"
    LATER_VINTAGE = "later_vintage"
    VINTAGE_EXPIRED = "vintage_expired"
    NO_OFFSETS = "no_offsets"
    SCHEME = "scheme_not_accepted"
    REGION = "region_not_accepted"
    KIND = "kind_not_accepted"
    REGISTERED_TOO_EARLY = "registered_too_early"
    OFFSET_CAP = "offset_cap_reached"


class Usable(NamedTuple):
    """Of what somebody holds of a unit, the tonnes that may pay now, and why not more."""

    unit: Unit
    held: int
    tonnes: int
    eligibility: Eligibility


class Plan(NamedTuple):
    """Which units pay, in order, and what is then still missing; tonnes."""

    tonnes: dict[int, int]
    missing: int


def eligibility(rules: ComplianceRules, year: int, unit: Unit, region: str = "") -> Eligibility:
    """Whether a unit may pay for the compliance year of an enterprise of a region, whatever the amounts."""
    if unit.vintage > year:
        return Eligibility.LATER_VINTAGE
    if unit.species == Species.ALLOWANCE:
        if unit.scheme not in ("", rules.allowance):
            return Eligibility.SCHEME
        oldest = in_force(rules.oldest_vintages, year)
        return Eligibility.VINTAGE_EXPIRED if oldest and unit.vintage < oldest.vintage else Eligibility.ELIGIBLE
    offset = in_force(rules.offsets, year)
    if offset is None:
        return Eligibility.NO_OFFSETS
    if offset.schemes and unit.scheme not in offset.schemes:
        return Eligibility.SCHEME
    if offset.regions and unit.region not in offset.regions:
        return Eligibility.REGION
    if unit.scheme in offset.local_schemes and unit.region != region:
        return Eligibility.REGION
    if unit.kind in offset.kinds_excluded or (offset.kinds and unit.kind not in offset.kinds):
        return Eligibility.KIND
    early = offset.registered_after and (unit.registered_on is None or unit.registered_on <= offset.registered_after)
    return Eligibility.REGISTERED_TOO_EARLY if early else Eligibility.ELIGIBLE


def offset_cap(rules: ComplianceRules, year: int, obligor: Obligor) -> int:
    """Tonnes of credits that may cover an enterprise's year, floored."""
    offset: Offset | None = in_force(rules.offsets, year)
    if offset is None:
        return 0
    base = obligor.initial if offset.of == "initial_allocation" else obligor.due
    cap = floor(base * Fraction(offset.share))
    return cap if offset.tonnes_max is None else min(cap, offset.tonnes_max)


def usable(
    rules: ComplianceRules,
    year: int,
    obligor: Obligor,
    held: Iterable[tuple[Unit, int]],
    region: str = "",
    pending_offset: int = 0,
) -> list[Usable]:
    """What may pay for an enterprise's year, of what somebody holds, in the default order of use.

    `region`: the enterprise's; `pending_offset`: tonnes of credits that wait to be confirmed for it.
    """
    room = max(0, offset_cap(rules, year, obligor) - obligor.offset - pending_offset)
    found = []
    for unit, tonnes in sorted(
        held, key=lambda one: (one[0].vintage, one[0].species != Species.ALLOWANCE, one[0].code)
    ):
        why = eligibility(rules, year, unit, region)
        usable_tonnes = tonnes if why == Eligibility.ELIGIBLE else 0
        if unit.species == Species.CREDIT and usable_tonnes > room:
            usable_tonnes, why = room, Eligibility.OFFSET_CAP
        if unit.species == Species.CREDIT:
            room -= usable_tonnes
        found.append(Usable(unit, tonnes, usable_tonnes, why))
    return found


def plan(found: Iterable[Usable], missing: int) -> Plan:
    """Pay what is missing with what is usable, in its order."""
    tonnes: dict[int, int] = {}
    for one in found:
        taken = min(one.tonnes, missing)
        if taken:
            tonnes[one.unit.number] = taken
            missing -= taken
    return Plan(tonnes, missing)


# ---------------------------------------------------------------- what a shortfall costs, what expires


def fine(penalty: Penalty | None, shortfall: int, mean_price: Fraction) -> int:
    """Fen that a shortfall costs at a mean price in fen per tonne, rounded half-up; 0 without a rule or a shortfall."""
    if penalty is None or not shortfall:
        return 0
    proportional = floor(Fraction(penalty.factor) * mean_price * shortfall + Fraction(1, 2))
    if penalty.fine_max is not None:
        proportional = min(proportional, _fen(penalty.fine_max))
    return _fen(penalty.flat) + proportional


def _fen(amount: str) -> int:
    return int(Decimal(amount) * 100)


def deduction(penalty: Penalty | None, shortfall: int, deadline: date) -> int:
    """Tonnes that a shortfall takes off the next allocation, floored."""
    if penalty is None or (penalty.deduction_until is not None and deadline >= penalty.deduction_until):
        return 0
    return floor(Fraction(penalty.deduction) * shortfall)


def price_window(penalty: Penalty, deadline: date) -> tuple[date, date]:
    """First and last day whose trades make the mean price: up to the day before the deadline, or that whole year."""
    last = date.fromordinal(deadline.toordinal() - 1)
    match penalty.mean_price:
        case "year":
            return date(deadline.year, 1, 1), last
        case "six_months":
            return _months_before(deadline, 6), last
        case "month":
            return _months_before(deadline, 1), last


def _months_before(day: date, months: int) -> date:
    """The same day of an earlier month, or that month's last."""
    index = day.year * 12 + day.month - 1 - months
    year, month = divmod(index, 12)
    first_of_next = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    last = date.fromordinal(first_of_next.toordinal() - 1).day
    return date(year, month + 1, min(day.day, last))


def carry_over_limit(rule: CarryOver, net_sales: int) -> int:
    """Tonnes that may be carried into the next vintage: base + ratio x net sales, floored (domain sheet C.6)."""
    return rule.base + floor(Fraction(rule.ratio) * max(0, net_sales))


def expiry_rule(rules: ComplianceRules, year: int) -> Lapse | CarryOver | None:
    """What happens to the allowances of a year when its period is over; None: they stay as they are."""
    return in_force(rules.expiry, year)
