"""What differs between registries, as data: who is covered, and how much is allocated.

These structures are parts of a region's rule set, read from TOML. Rules that change are lists of entries,
each with the compliance year from which it holds; in force is the latest that has begun. Shares and
factors are decimal strings and become exact fractions in the formulas. A list may be empty: then its rule
does not exist in that market. What the domain sheet lists as unknown (section K) is a value here.
"""

from datetime import date
from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec

Share = Annotated[str, msgspec.Meta(pattern=r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$")]
NUMBER = r"^[0-9]{1,12}(\.[0-9]{1,9})?$"
Number = Annotated[str, msgspec.Meta(pattern=NUMBER)]
Tonnes = Annotated[int, msgspec.Meta(ge=0)]  # tCO2e
Year = Annotated[int, msgspec.Meta(ge=1990, le=2200)]
Money = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,2})?$")]  # CNY
Decimals = Annotated[int, msgspec.Meta(ge=0, le=9)]  # as many as a Number has


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule set's table; a name that nobody knows is an error."""


class Threshold(Rule, frozen=True):
    """Who enters, from a compliance year: `amount` of `unit` a year, reached in one of the years looked at.

    Compliance year Y looks at Y - `lag_years` and, of those not yet covered, at `entry_years` years ending
    there. An entry that names sectors holds for these alone; one that names none holds for all.
    """

    from_year: Year
    amount: Annotated[int, msgspec.Meta(ge=1)]
    unit: Literal["tce", "tCO2e"] = "tCO2e"
    sectors: list[str] = []
    lag_years: Annotated[int, msgspec.Meta(ge=1)] = 1
    entry_years: Annotated[int, msgspec.Meta(ge=1)] = 1


class CoverageRules(Rule, frozen=True):
    """Coverage (domain sheet C.1): thresholds, tCO2e per tce, and how enterprises leave.

    Who is covered leaves after `years_to_exit` consecutive years below the threshold, on closure, and, in
    a regional market, when the national market takes it over.
    """

    thresholds: list[Threshold] = []
    ef_tce: Number = "2.6"
    years_to_exit: Annotated[int, msgspec.Meta(ge=1)] = 2
    national_market_takes_over: bool = True


class DatedShare(Rule, frozen=True):
    """A share that holds from a compliance year."""

    from_year: Year
    share: Share


class PreAllocation(Rule, frozen=True):
    """Share allocated before the year is verified, and of which figure of the year before."""

    from_year: Year
    share: Share
    of: Literal["last_allocation", "last_emissions"]


class DoubleTwenty(Rule, frozen=True):
    """Named years in which gain and loss of an enterprise are limited: to a share of its allocation or to
    tonnes, whichever is less (domain sheet C.2)."""

    years: list[Year]
    share: Share = "0.20"
    tonnes: Tonnes = 200_000


class BenchmarkValue(Rule, frozen=True):
    """A published benchmark from a year, by name, in tCO2 per unit of output (t, MWh, GJ)."""

    from_year: Year
    name: str
    value: Number


class PowerOfLoad(Rule, frozen=True, tag_field="formula", tag="power"):
    """Load correction Ff = base ** (constant - slope x F) for a load factor F < `below`, else 1."""

    from_year: Year
    below: Share
    base: Number
    constant: Number
    slope: Number
    decimals: Decimals = 6


class DecayOfLoad(Rule, frozen=True, tag_field="formula", tag="decay"):
    """Load correction Ff = top - sum of height x (1 - exp(-F / scale)) for F < `below`, else 1.

    `decays` are pairs of height and scale; scales are in per cent, as F is in this formula.
    """

    from_year: Year
    below: Share
    top: Number
    decays: list[tuple[Number, Number]]
    decimals: Decimals = 6


class IndustryRule(Rule, frozen=True):
    """The national industry rule: alpha = slope x (BP - I) / BP, with (BP - I) / BP held within +-limit."""

    from_year: Year
    slope: Share
    limit: Share
    balance_point_decimals: Decimals = 4


class AllocationRules(Rule, frozen=True):
    """Allocation (domain sheet C.2, C.7, D.1). `paid` is the share of the initial allocation that is sold."""

    pre_allocation: list[PreAllocation] = []
    paid: list[DatedShare] = []
    reserve: list[DatedShare] = []
    shortage_cap: list[DatedShare] = []
    double_twenty: DoubleTwenty | None = None
    benchmarks: list[BenchmarkValue] = []
    load_correction: list[PowerOfLoad | DecayOfLoad] = []
    industry: list[IndustryRule] = []
    calendar_days: bool = False  # operating days are of 365 in every year, or of the year's own days


class _FromYear(Protocol):
    @property
    def from_year(self) -> int: ...


_Dated = TypeVar("_Dated", bound=_FromYear)


def in_force(entries: list[_Dated], year: int) -> _Dated | None:
    """The latest entry that took effect in or before a compliance year; the first of several of one year."""
    return max((entry for entry in entries if entry.from_year <= year), key=lambda entry: entry.from_year, default=None)


# ---------------------------------------------------------------- surrender


class Offset(Rule, frozen=True):
    """Credits that may cover emissions, from a compliance year: how much, and which (domain sheet C.5).

    The share is of the year's initial allocation or of what is due. Empty lists of schemes and regions admit all.
    """

    from_year: Year
    share: Share
    of: Literal["initial_allocation", "obligation"]
    schemes: list[str] = []
    regions: list[str] = []
    kinds: list[str] = []  # types of project; empty: all
    kinds_excluded: list[str] = []
    local_schemes: list[str] = []  # pay only for enterprises of the credit's own region
    registered_after: date | None = None  # the project was, later than this day
    tonnes_max: Tonnes | None = None  # of an enterprise and year


class OldestVintage(Rule, frozen=True):
    """From a compliance year, allowances of earlier vintages than this pay no more."""

    from_year: Year
    vintage: Year


class Penalty(Rule, frozen=True):
    """What a shortfall costs (domain sheet C.4): a flat sum, factor x mean price x shortfall, and tonnes off the next
    allocation. `fine_max` bounds the second.

    The mean price is the volume-weighted one of the calendar year, the six months or the month before the deadline.
    """

    from_year: Year
    mean_price: Literal["year", "six_months", "month"]
    factor: Number = "0"
    fine_max: Money | None = None
    flat: Money = "0"
    deduction: Number = "0"  # tonnes off the next allocation for a tonne of shortfall
    deduction_until: date | None = None  # deadlines from this day on lead to no deduction


class Lapse(Rule, frozen=True, tag_field="rule", tag="never_traded"):
    """Free allowances that were never traded lapse with their period, and what is left of the reserve (C.6)."""

    from_year: Year
    reserve_too: bool = True


class CarryOver(Rule, frozen=True, tag_field="rule", tag="carry_over"):
    """Allowances are carried into the next vintage up to `base` + `ratio` x net sales of the last years (C.6)."""

    from_year: Year
    base: Tonnes
    ratio: Number
    net_sales_years: Annotated[int, msgspec.Meta(ge=1)] = 2
    settled_years: Annotated[int, msgspec.Meta(ge=1)] = 2  # surrendered in time for so many years, this one included


class CalendarStep(Rule, frozen=True):
    """A date of the compliance calendar: in the year of compliance, or so many years after it."""

    step: Literal["open_reporting", "close_reporting", "open_surrender", "remind", "close_surrender", "expire"]
    month: Annotated[int, msgspec.Meta(ge=1, le=12)]
    day: Annotated[int, msgspec.Meta(ge=1, le=31)]
    years_after: Annotated[int, msgspec.Meta(ge=0, le=3)] = 1


class ComplianceRules(Rule, frozen=True):
    """The compliance cycle. `allowance` is the code of its units, before the vintage."""

    allowance: str = "HBEA"
    region: str = ""
    calendar: list[CalendarStep] = []
    offsets: list[Offset] = []
    oldest_vintages: list[OldestVintage] = []
    penalties: list[Penalty] = []
    expiry: list[Lapse | CarryOver] = []
    park_while_in_default: bool = True  # allocations of the frozen and of who owes a fine wait with the authority


class PositionRules(Rule, frozen=True):
    """How many allowances one account may hold, orders and unsettled trades included (domain sheet A.9).

    Covered enterprises: their allocation and `covered_beyond`, all others `other`; None: no limit. Who passes the
    figures of `report_` is a large holder.
    """

    covered_beyond: Tonnes | None = None
    other: Tonnes | None = None
    report_covered_beyond: Tonnes | None = None
    report_other: Tonnes | None = None


# ---------------------------------------------------------------- monitoring, reporting, verification

FactorUnit = Annotated[str, msgspec.Meta(pattern=r"^tCO2e?/[^/\s]+$")]  # tonnes per unit of activity
Rounding = Literal["half_up", "ceiling"]  # of a report's exact sum to whole tonnes


class EmissionFactor(Rule, frozen=True):
    """An emission factor that a registry starts with (domain sheet E.4); a name again is its next version."""

    name: str
    valid_from_year: Year
    value: Number
    unit: FactorUnit
    source: str


class DatedCut(Rule, frozen=True):
    """The least and the most by which an allocation may be cut, from a reported year."""

    from_year: Year
    least: Share
    most: Share


class ReportingRules(Rule, frozen=True):
    """Reporting (domain sheet B.5, C.4): how totals are rounded, and what follows from refusal and from fraud.

    `refusal`: who does not report or be verified gets this share of its last allocation in the next year.
    `fraud`: by what a sanction for false data may cut the allocation of the next year.
    """

    round: Rounding = "half_up"
    refusal: list[DatedShare] = []
    fraud: list[DatedCut] = []


def is_valid(value: object, kind: Any) -> bool:
    """Whether a value is of a kind with bounds or a pattern: `Number`, `Share`, `Year` ..."""
    if isinstance(value, str) and value != value.strip():
        return False  # a pattern's end would let a last newline pass
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


# ---------------------------------------------------------------- credits

WorkingDays = Annotated[int, msgspec.Meta(ge=0, le=1000)]
Years = Annotated[int, msgspec.Meta(ge=0, le=100)]


class CreditScheme(Rule, frozen=True):
    """How reductions of one scheme become credits (domain sheet E.1, numbers of articles from there).

    `credits` says what is registered in it: the batches of projects; green power, by MWh and factor; or the batches
    of a carbon-inclusion platform, in grams, of which whole tonnes are issued. Dates lie before what they allow.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Z0-9_]*$")]  # begins the codes of its units
    credits: Literal["projects", "green_power", "inclusion"] = "projects"
    started_after: date | None = None  # projects (Art 10)
    reductions_after: date | None = None  # (Art 17)
    publicity_working_days: WorkingDays = 20  # of projects and batches (Art 12, 19)
    registration_working_days: WorkingDays = 15  # from the end of publicity, or the filing where there is none (Art 15)
    decisions_lapse: bool = False  # what was not registered in time may only be rejected; else it is overdue
    batch_years: Years = 5  # reductions were made within so many years before they are reported (Art 17)
    verifier_differs: bool = True  # who validated a project does not verify its batches (Art 18)
    ban_years: Years = 3  # of who had a batch revoked, from filing (Art 43)
    replacement_working_days: WorkingDays = 20  # for what was revoked and is out of reach; not published
    replaced_by: list[Literal["allowance", "credit"]] = msgspec.field(default_factory=lambda: ["allowance", "credit"])


def _schemes() -> list[CreditScheme]:
    """CCER by its rule; for HBCER no rule is known, and CCER's stands in (domain sheet E.3)."""
    begun, made = date(2012, 11, 8), date(2020, 9, 22)
    return [
        CreditScheme("HBCER", started_after=begun, reductions_after=made),
        CreditScheme("CCER", started_after=begun, reductions_after=made),
        CreditScheme("INCLUSION", credits="inclusion"),
        CreditScheme("GREEN_POWER", credits="green_power"),
    ]


class CreditRules(Rule, frozen=True):
    """The schemes of a region, and the holidays that are not working days there (:mod:`registry.workdays`)."""

    schemes: list[CreditScheme] = msgspec.field(default_factory=_schemes)
    holidays: list[date] = []

    def scheme(self, name: str) -> CreditScheme | None:
        """A scheme by name; None if the region does not have it."""
        return next((scheme for scheme in self.schemes if scheme.name == name), None)
