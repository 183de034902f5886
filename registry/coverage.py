"""Who is covered: a yearly decision on each enterprise, from its figures and the rules.

An enterprise enters when its figures reach the threshold and leaves after consecutive years below it, on
closure, or for the national market (domain sheet C.1). The reasons are asked in the order of `Why`; the
first that holds decides. Silence decides nothing: figures that are missing neither cover an enterprise nor
remove it.

A threshold is written in tCO2e or in tce. The figure in the threshold's own unit counts where it is given,
otherwise the other one, at the rule set's tCO2e per tce. The threshold of the compliance year is the
measure of all years looked at.
"""

from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction
from typing import Literal, NamedTuple

import msgspec

from registry.rules import CoverageRules, Threshold, Tonnes, Year, in_force


class Activity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An enterprise's year: verified emissions in tCO2e, energy used in tce; None is not known, 0 is nothing.

    `closed` and `in_national_market` say how it stood at the end of the year; they count from the next.
    """

    year: Year
    emissions: Tonnes | None = None
    energy_tce: Tonnes | None = None
    closed: bool = False
    in_national_market: bool = False


class Why(StrEnum):
    """Why an enterprise is covered or not, in the order of asking. The values are stable codes."""

    CLOSED = "closed"
    LEFT_FOR_NATIONAL_MARKET = "left_for_national_market"
    NO_THRESHOLD = "no_threshold"  # none in force for the sector: nobody enters and nobody leaves
    ABOVE_THRESHOLD = "above_threshold"  # or on it
    NO_FIGURES = "no_figures"  # stays as it was
    BELOW_THRESHOLD = "below_threshold"  # was not covered, is not covered
    BELOW_STILL_COVERED = "below_still_covered"  # for fewer years than it takes to leave
    BELOW_TOO_LONG = "below_too_long"  # removed


class Decision(msgspec.Struct, frozen=True):
    """Whether an enterprise is covered in a compliance year, why, and the figures behind it."""

    covered: bool
    why: Why
    detail: str


class _Figure(NamedTuple):
    """A yearly amount in tCO2e or tce."""

    amount: int
    unit: Literal["tce", "tCO2e"]

    def __str__(self) -> str:
        return f"{self.amount:,} {self.unit}"

    def tonnes(self, ef_tce: str) -> Fraction:
        """The amount in tCO2e."""
        return self.amount * Fraction(ef_tce if self.unit == "tce" else 1)


class _Measure(NamedTuple):
    """The threshold and the figures that are held against it."""

    threshold: Threshold
    ef_tce: str
    figures: dict[int, _Figure | None]

    def reached(self, year: int) -> bool | None:
        """Whether a year's figure reaches the threshold; None without a figure."""
        figure = self.figures.get(year)
        if figure is None:
            return None
        threshold = _Figure(self.threshold.amount, self.threshold.unit)
        return figure.tonnes(self.ef_tce) >= threshold.tonnes(self.ef_tce)

    def detail(self, years: Sequence[int]) -> str:
        """The figures of some years and the threshold, in words."""
        shown = [f"{self.figures.get(year) or 'no figure'} in {year}" for year in years]
        converted = any(figure and figure.unit != self.threshold.unit for figure in map(self.figures.get, years))
        rate = f" at {self.ef_tce} tCO2e per tce" if converted else ""
        return f"{', '.join(shown)}; threshold {_Figure(self.threshold.amount, self.threshold.unit)}{rate}"


def decide(
    rules: CoverageRules, history: Sequence[Activity], year: int, was_covered: bool, sector: str = ""
) -> Decision:
    """Whether an enterprise is covered in compliance year `year`; only what lies before that year counts.

    ValueError if a year stands in the history twice: the caller says which of its figures hold.
    """
    past = {activity.year: activity for activity in history if activity.year < year}
    if len(past) < sum(activity.year < year for activity in history):
        raise ValueError("a year stands twice in the history")
    if past:
        latest = past[max(past)]
        if latest.closed:
            return Decision(False, Why.CLOSED, f"closed in {latest.year}")
        if latest.in_national_market and rules.national_market_takes_over:
            return Decision(False, Why.LEFT_FOR_NATIONAL_MARKET, f"in the national market in {latest.year}")
    threshold = threshold_of(rules, year, sector)
    if threshold is None:
        return Decision(was_covered, Why.NO_THRESHOLD, f"no threshold in force in {year}; as before")
    figures = {at: _figure(activity, threshold.unit) for at, activity in past.items()}
    measure = _Measure(threshold, rules.ef_tce, figures)
    newest = year - threshold.lag_years
    return _stays(measure, newest, rules.years_to_exit) if was_covered else _enters(measure, newest)


def threshold_of(rules: CoverageRules, year: int, sector: str = "") -> Threshold | None:
    """The latest threshold begun by a compliance year that names the sector, or none at all.

    Of two of one year, the one that names the sector.
    """
    for_sector = [entry for entry in rules.thresholds if sector in entry.sectors]
    for_all = [entry for entry in rules.thresholds if not entry.sectors]
    return in_force([*for_sector, *for_all], year)


def _enters(measure: _Measure, newest: int) -> Decision:
    years = range(newest, newest - measure.threshold.entry_years, -1)
    reached = [year for year in years if measure.reached(year)]
    if reached:
        return Decision(True, Why.ABOVE_THRESHOLD, measure.detail(reached[:1]))
    missing = any(measure.reached(year) is None for year in years)
    return Decision(False, Why.NO_FIGURES if missing else Why.BELOW_THRESHOLD, measure.detail(years))


def _stays(measure: _Measure, newest: int, years_to_exit: int) -> Decision:
    if measure.reached(newest):
        return Decision(True, Why.ABOVE_THRESHOLD, measure.detail([newest]))
    if measure.reached(newest) is None:
        return Decision(True, Why.NO_FIGURES, measure.detail([newest]))
    years = range(newest, newest - years_to_exit, -1)
    if all(measure.reached(year) is False for year in years):
        return Decision(False, Why.BELOW_TOO_LONG, measure.detail(years))
    return Decision(True, Why.BELOW_STILL_COVERED, measure.detail(years))


def _figure(activity: Activity, unit: str) -> _Figure | None:
    emissions = None if activity.emissions is None else _Figure(activity.emissions, "tCO2e")
    energy = None if activity.energy_tce is None else _Figure(activity.energy_tce, "tce")
    own, other = (energy, emissions) if unit == "tce" else (emissions, energy)
    return other if own is None else own
