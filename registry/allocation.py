"""Who gets how much: initial allocation, its parts before and after verification, and the fit to the cap.

An enterprise (or a generating unit) is allocated on a `Basis`, one structure a method (domain sheet C.2):

| basis               | exact tonnes                                                          |
|---------------------|-----------------------------------------------------------------------|
| Historical          | base emissions x sector factor x operating days / 365                 |
| HistoricalIntensity | own past intensity x output x sector factor                           |
| Benchmark           | benchmark x output                                                    |
| Power               | MWh x benchmark x load correction + GJ of heat x benchmark            |
| Industry            | emissions x (1 + alpha), alpha by the distance from the balance point |

each times the market adjustment factor M, which is 1 where a market has none (the national one). The
arithmetic is exact, in fractions; what is allocated is floored to a tonne. Transcendental functions occur
in the load correction alone; they are computed in decimals under one fixed context and rounded half-up to
the decimals that the rule names, so that the result is the same on each machine.

A year goes: `pre_allocation` of what is known; after verification `initial`, of which the `free_part`
is given and the rest sold; `double_twenty` or `shortage_cap` where the rules have them; `true_up` against
what was pre-allocated; and over all enterprises `within_cap`. Nothing here holds state.
"""

from collections.abc import Sequence
from datetime import date
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, localcontext
from fractions import Fraction
from math import ceil, floor
from typing import Annotated, assert_never

import msgspec

from registry.rules import (
    NUMBER,
    AllocationRules,
    DatedShare,
    DecayOfLoad,
    IndustryRule,
    Number,
    PowerOfLoad,
    Share,
    Tonnes,
    in_force,
    is_valid,
)

ONE = Fraction(1)
# A benchmark: the number itself, or the name under which the rules publish the year's value.
PublishedOrNumber = Annotated[str, msgspec.Meta(pattern=rf"{NUMBER}|^[A-Za-z][^\n]{{0,99}}$")]
_FIXED = Context(prec=50, rounding=ROUND_HALF_EVEN)


class Historical(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="method", tag="historical"):
    """Grandfathering: yearly base emissions in tCO2e; normal operating days, None for the whole year."""

    base_emissions: Tonnes
    sector_factor: Number
    operating_days: Annotated[int, msgspec.Meta(ge=0, le=366)] | None = None


class HistoricalIntensity(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="method", tag="historical_intensity"
):
    """The enterprise's own past intensity in tCO2e per unit of output, and this year's output."""

    intensity: Number
    output: Number
    sector_factor: Number


class Benchmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="method", tag="benchmark"):
    """The sector's benchmark in tCO2e per unit of output, and this year's output."""

    benchmark: PublishedOrNumber
    output: Number


class Power(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="method", tag="power"):
    """A generating unit: electricity in MWh, heat in GJ, benchmarks in tCO2 per MWh and per GJ.

    `load_factor` is the unit's yearly load (F, 负荷(出力)系数) as a share. None: nothing is corrected; nor is it
    for a gas unit.
    """

    electricity_mwh: Number
    power_benchmark: PublishedOrNumber
    load_factor: Share | None = None
    heat_gj: Number = "0"
    heat_benchmark: PublishedOrNumber = "0"
    gas: bool = False


class Industry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="method", tag="industry"):
    """A product line: verified emissions in tCO2e; intensity and balance point in tCO2e per unit of output."""

    emissions: Tonnes
    intensity: Number
    balance_point: Number


Basis = Historical | HistoricalIntensity | Benchmark | Power | Industry


class Adjustment(msgspec.Struct, frozen=True):
    """Tonnes given beyond, or taken back from, an allocation; one of them is 0."""

    top_up: int = 0
    claw_back: int = 0


class CapFit(msgspec.Struct, frozen=True):
    """Free allocations beside the room that the cap leaves them, and what is given: tonnes, in the order asked."""

    room: int
    wanted: int
    given: tuple[int, ...]

    @property
    def fits(self) -> bool:
        return self.wanted <= self.room

    @property
    def factor(self) -> Fraction:
        """What each allocation was multiplied by; 1 if all fit."""
        return ONE if self.fits else Fraction(self.room, self.wanted)

    @property
    def left(self) -> int:
        """Tonnes of the room that nobody gets."""
        return self.room - sum(self.given)


# ---------------------------------------------------------------- initial allocation


def initial(rules: AllocationRules, basis: Basis, year: int, market_factor: Fraction | Decimal = ONE) -> int:
    """Tonnes allocated on a basis for a compliance year: `exact`, floored. Errors as there."""
    return floor(exact(rules, basis, year, market_factor))


def exact(rules: AllocationRules, basis: Basis, year: int, market_factor: Fraction | Decimal = ONE) -> Fraction:
    """The formula of a basis in tCO2e, before flooring.

    ValueError if the year has fewer days than were worked, no industry rule or no benchmark of that name holds
    in it, or a balance point is 0.
    """
    return _formula(rules, basis, year) * Fraction(market_factor)


def _formula(rules: AllocationRules, basis: Basis, year: int) -> Fraction:
    match basis:
        case Historical():
            return basis.base_emissions * Fraction(basis.sector_factor) * _part_worked(rules, basis, year)
        case HistoricalIntensity():
            return Fraction(basis.intensity) * Fraction(basis.output) * Fraction(basis.sector_factor)
        case Benchmark():
            return _benchmark(rules, year, basis.benchmark) * Fraction(basis.output)
        case Power():
            electricity = Fraction(basis.electricity_mwh) * _benchmark(rules, year, basis.power_benchmark)
            heat = Fraction(basis.heat_gj) * _benchmark(rules, year, basis.heat_benchmark)
            return electricity * _unit_correction(rules, basis, year) + heat
        case Industry():
            return basis.emissions * (1 + alpha(_industry_rule(rules, year), basis.intensity, basis.balance_point))
        case _:
            assert_never(basis)


def market_factor(carried_surplus: int, initial_total: int) -> Fraction:
    """Market adjustment factor M = 1 - surplus carried over / the year's initial allocation, at least 0.

    Both in tonnes. ValueError if nothing is to be allocated.
    """
    if initial_total <= 0:
        raise ValueError("without an initial allocation there is no market factor")
    return max(Fraction(0), 1 - Fraction(carried_surplus, initial_total))


def benchmark_value(rules: AllocationRules, year: int, name: str) -> Number:
    """The published benchmark of a name in a year. ValueError if none holds."""
    value = in_force([entry for entry in rules.benchmarks if entry.name == name], year)
    if value is None:
        raise ValueError(f"no benchmark {name!r} in {year}")
    return value.value


def _benchmark(rules: AllocationRules, year: int, given: PublishedOrNumber) -> Fraction:
    return Fraction(given if is_valid(given, Number) else benchmark_value(rules, year, given))


def _part_worked(rules: AllocationRules, basis: Historical, year: int) -> Fraction:
    """Operating days as a part of the year: of 365 as the formula has it, or of the calendar's days."""
    if basis.operating_days is None:
        return ONE
    days = (date(year + 1, 1, 1) - date(year, 1, 1)).days
    if basis.operating_days > days:
        raise ValueError(f"{basis.operating_days} operating days in the {days} days of {year}")
    return Fraction(basis.operating_days, days if rules.calendar_days else 365)


# ---------------------------------------------------------------- power: the load correction


def load_correction(rules: AllocationRules, year: int, load_factor: Share) -> Fraction:
    """Load correction Ff of a unit that ran at `load_factor`; 1 from the rule's bound upwards or without a rule."""
    rule = in_force(rules.load_correction, year)
    if rule is None or Fraction(load_factor) >= Fraction(rule.below):
        return ONE
    with localcontext(_FIXED):
        correction = _correction(rule, Decimal(load_factor))
        return Fraction(correction.quantize(Decimal(1).scaleb(-rule.decimals), ROUND_HALF_UP))


def _correction(rule: PowerOfLoad | DecayOfLoad, load: Decimal) -> Decimal:
    match rule:
        case PowerOfLoad():
            return Decimal(rule.base) ** (Decimal(rule.constant) - Decimal(rule.slope) * load)
        case DecayOfLoad():
            per_cent = 100 * load
            parts = [Decimal(height) * (1 - (-per_cent / Decimal(scale)).exp()) for height, scale in rule.decays]
            return Decimal(rule.top) - sum(parts)
        case _:
            assert_never(rule)


def _unit_correction(rules: AllocationRules, unit: Power, year: int) -> Fraction:
    if unit.gas or unit.load_factor is None:
        return ONE
    return load_correction(rules, year, unit.load_factor)


# ---------------------------------------------------------------- industry: alpha and the balance point


def alpha(rule: IndustryRule, intensity: Number, balance_point: Number) -> Fraction:
    """Surplus (or shortage) as a share of emissions: slope x X with X = (BP - I) / BP held within +-limit.

    With slope 0.15 and limit 0.20 that is the rule's +-0.03 from +-20 % outwards. ValueError if BP is 0.
    """
    return _alpha(rule, Fraction(intensity), Fraction(balance_point))


def balance_point(rule: IndustryRule, lines: Sequence[tuple[int, Number]]) -> Number:
    """The balance point of one product: where allocations add up to emissions.

    `lines` are the product's (emissions in tCO2e, intensity). Allocation grows with the balance point, so it
    is found by bisection, over multiples of the rule's last decimal and with exact sums: the largest multiple
    at which no more is allocated than was emitted. One step higher the sum exceeds emissions; that step is
    the tolerance. Where several balance points will do (all lines at the limits), the allocations are the same
    at each. ValueError if none will do: nobody emitted, or most emissions stand at intensity 0.
    """
    steps = 10**rule.balance_point_decimals
    figures = [(emissions, Fraction(intensity)) for emissions, intensity in lines]

    def surplus(multiple: int) -> Fraction:
        point = Fraction(multiple, steps)
        return sum((emissions * _alpha(rule, intensity, point) for emissions, intensity in figures), Fraction(0))

    highest = max((intensity for _, intensity in figures), default=Fraction(0))
    low, high = 1, 1 + ceil(highest * steps)  # above the highest intensity everybody has a surplus
    if surplus(low) > 0 or surplus(high) <= 0:
        raise ValueError("no balance point: allocations add up to emissions nowhere")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if surplus(middle) <= 0 else (low, middle)
    return f"{_FIXED.scaleb(Decimal(low), -rule.balance_point_decimals):f}"


def _alpha(rule: IndustryRule, intensity: Fraction, point: Fraction) -> Fraction:
    if point == 0:
        raise ValueError("a balance point of 0")
    limit = Fraction(rule.limit)
    return Fraction(rule.slope) * min(max(1 - intensity / point, -limit), limit)


def _industry_rule(rules: AllocationRules, year: int) -> IndustryRule:
    rule = in_force(rules.industry, year)
    if rule is None:
        raise ValueError(f"no industry rule in force in {year}")
    return rule


# ---------------------------------------------------------------- before and after verification


def pre_allocation(rules: AllocationRules, year: int, amount: int) -> int:
    """Tonnes allocated before verification: the year's share of `amount`, floored; 0 where there is none.

    The rule's `of` says what amount is meant: last year's allocation or last year's verified emissions.
    """
    rule = in_force(rules.pre_allocation, year)
    return floor(amount * Fraction(rule.share)) if rule else 0


def paid_share(rules: AllocationRules, year: int) -> Fraction:
    """The share of a year's initial allocation that is sold; 0 where nothing is said."""
    return _share(rules.paid, year)


def free_part(rules: AllocationRules, year: int, amount: int) -> int:
    """Tonnes of an initial allocation that are free, floored; the rest is the paid part, so the two add up."""
    return floor(amount * (1 - paid_share(rules, year)))


def double_twenty(rules: AllocationRules, year: int, allocation: int, emissions: int) -> Adjustment:
    """Limit an enterprise's shortage and surplus to 20 % of its allocation or 200,000 t, whichever is less.

    In the years the rules name; else nothing is adjusted. The limit is floored, so that afterwards emissions
    and allocation never differ by more than the rule says. For a shortage the lesser limit is the kinder
    one; the same limit for a surplus is the reading of domain sheet C.2.
    """
    rule = rules.double_twenty
    if rule is None or year not in rule.years:
        return Adjustment()
    limit = min(floor(allocation * Fraction(rule.share)), rule.tonnes)
    gap = emissions - allocation
    return Adjustment(top_up=max(0, gap - limit), claw_back=max(0, -gap - limit))


def shortage_cap(rules: AllocationRules, year: int, allocation: int, emissions: int) -> int:
    """Final allocation of an entity whose shortage is limited to a share of its emissions (20 %: 0.8 E).

    max(allocation, (1 - share) x emissions), floored as every allocation is: the floor of the greater is the
    greater of the floors. So a shortage may pass the share by less than a tonne.
    """
    rule = in_force(rules.shortage_cap, year)
    return max(allocation, floor(emissions * (1 - Fraction(rule.share)))) if rule else allocation


def true_up(pre_allocated: int, final: int) -> int:
    """Tonnes still to give (positive) or to take back (negative) once the final allocation is known."""
    return final - pre_allocated


# ---------------------------------------------------------------- the cap


def reserve(rules: AllocationRules, year: int, cap: int) -> int:
    """Tonnes of the cap that the government keeps, floored."""
    return floor(cap * _share(rules.reserve, year))


def within_cap(cap: int, reserved: int, paid: int, free: Sequence[int]) -> CapFit:
    """Fit free allocations into what a cap leaves beside the reserve and the paid part; all in tonnes.

    If they do not fit, each is scaled by the same factor and floored. The tonnes this leaves over, fewer than
    there are enterprises, stay with the authority: whoever got them by largest remainder would owe them to the
    figures of others. `paid` is what is sold beyond the reserve; an auction out of the reserve is not
    counted twice. ValueError if reserve and paid part alone exceed the cap.
    """
    room, wanted = cap - reserved - paid, sum(free)
    if room < 0:
        raise ValueError(f"a reserve of {reserved} t and a paid part of {paid} t exceed the cap of {cap} t")
    given = tuple(free) if wanted <= room else tuple(tonnes * room // wanted for tonnes in free)
    return CapFit(room, wanted, given)


def _share(entries: list[DatedShare], year: int) -> Fraction:
    entry = in_force(entries, year)
    return Fraction(entry.share) if entry else Fraction(0)
