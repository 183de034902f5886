"""Who is covered: thresholds as they changed, and the ways out."""

import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.coverage import Activity, Decision, Why, decide
from registry.rules import CoverageRules, Threshold
from tests.registry.regions import HUBEI, NATIONAL

COVERED, OUTSIDE = True, False


def emitted(**tonnes: int) -> list[Activity]:
    """A history of emissions in tCO2e: emitted(y2023=14_000)."""
    return [Activity(int(year[1:]), emissions=amount) for year, amount in tonnes.items()]


def burnt(**tce: int) -> list[Activity]:
    """A history of energy in tce; emissions are not known."""
    return [Activity(int(year[1:]), energy_tce=amount) for year, amount in tce.items()]


def in_hubei(history: list[Activity], year: int, was_covered: bool, sector: str = "") -> Decision:
    return decide(HUBEI.coverage, history, year, was_covered, sector)


# ---------------------------------------------------------------- the reasons, in their order


@pytest.mark.parametrize(
    ("history", "was_covered", "covered", "why", "detail"),
    [
        pytest.param(
            [Activity(2023, 50_000), Activity(2024, 50_000, closed=True, in_national_market=True)],
            *(COVERED, False, Why.CLOSED, "closed in 2024"),
            id="who closed is out, whatever it emitted and whoever took it over",
        ),
        pytest.param(
            [Activity(2024, 50_000, in_national_market=True)],
            *(COVERED, False, Why.LEFT_FOR_NATIONAL_MARKET, "in the national market in 2024"),
            id="who went to the national market is out, above the threshold or not",
        ),
        pytest.param(
            emitted(y2024=13_000),
            *(OUTSIDE, True, Why.ABOVE_THRESHOLD, "13,000 tCO2e in 2024; threshold 13,000 tCO2e"),
            id="reached is covered",
        ),
        pytest.param(
            emitted(y2023=1, y2024=13_000),
            *(COVERED, True, Why.ABOVE_THRESHOLD, "13,000 tCO2e in 2024; threshold 13,000 tCO2e"),
            id="a good last year forgives the one before",
        ),
        pytest.param(
            emitted(y2022=1, y2023=1),
            *(COVERED, True, Why.NO_FIGURES, "no figure in 2024; threshold 13,000 tCO2e"),
            id="who reports nothing stays, even after years below",
        ),
        pytest.param(
            emitted(y2023=90_000),
            *(OUTSIDE, False, Why.NO_FIGURES, "no figure in 2024; threshold 13,000 tCO2e"),
            id="who reports nothing does not enter, even after a year above",
        ),
        pytest.param([], OUTSIDE, False, Why.NO_FIGURES, "no figure in 2024; threshold 13,000 tCO2e", id="a stranger"),
        pytest.param(
            emitted(y2024=12_999),
            *(OUTSIDE, False, Why.BELOW_THRESHOLD, "12,999 tCO2e in 2024; threshold 13,000 tCO2e"),
            id="a tonne short",
        ),
        pytest.param(
            emitted(y2023=13_000, y2024=12_999),
            COVERED,
            *(True, Why.BELOW_STILL_COVERED),
            "12,999 tCO2e in 2024, 13,000 tCO2e in 2023; threshold 13,000 tCO2e",
            id="one year below is not enough to leave",
        ),
        pytest.param(
            emitted(y2022=1, y2024=1),
            COVERED,
            *(True, Why.BELOW_STILL_COVERED),
            "1 tCO2e in 2024, no figure in 2023; threshold 13,000 tCO2e",
            id="two years below with an unknown one between are not consecutive",
        ),
        pytest.param(
            emitted(y2022=99_999, y2023=12_999, y2024=0),
            COVERED,
            *(False, Why.BELOW_TOO_LONG),
            "0 tCO2e in 2024, 12,999 tCO2e in 2023; threshold 13,000 tCO2e",
            id="two consecutive years below",
        ),
    ],
)
def test_coverage_in_2025(history, was_covered, covered, why, detail):
    assert in_hubei(history, 2025, was_covered) == Decision(covered, why, detail)


@pytest.mark.parametrize("was_covered", [COVERED, OUTSIDE])
def test_without_a_threshold_nobody_enters_and_nobody_leaves(was_covered):
    decision = in_hubei(emitted(y2011=1, y2012=1), 2013, was_covered)
    assert decision == Decision(was_covered, Why.NO_THRESHOLD, "no threshold in force in 2013; as before")


def test_the_codes_are_stable_and_stand_in_the_order_of_asking():
    assert [why.value for why in Why] == [
        *("closed", "left_for_national_market", "no_threshold", "above_threshold", "no_figures"),
        *("below_threshold", "below_still_covered", "below_too_long"),
    ]


# ---------------------------------------------------------------- thresholds in their time


@pytest.mark.parametrize(
    ("year", "sector", "history", "covered"),
    [
        pytest.param(2014, "cement", burnt(y2010=60_000, y2011=0), True, id="2014: 60,000 tce in 2010"),
        pytest.param(2014, "cement", burnt(y2010=0, y2011=60_000), True, id="2014: or in 2011"),
        pytest.param(
            2014, "cement", burnt(y2010=59_999, y2011=59_999, y2013=90_000), False, id="2014: in no other year"
        ),
        pytest.param(2016, "cement", burnt(y2015=10_000), True, id="2016: 10,000 tce in named sectors"),
        pytest.param(
            2016, "paper", burnt(y2012=10_000, y2013=59_999, y2015=59_999), False, id="2016: in others as before"
        ),
        pytest.param(2017, "paper", burnt(y2016=10_000), True, id="2017: 10,000 tce in all"),
        pytest.param(2023, "paper", burnt(y2022=9_999), False, id="2023: the eve of the rules of 2024"),
        pytest.param(2024, "paper", burnt(y2023=5_000), True, id="2024: 13,000 tCO2e are 5,000 tce"),
        pytest.param(2024, "paper", burnt(y2023=4_999), False, id="2024: and not a tonne of coal less"),
    ],
)
def test_who_enters_by_energy_in_hubei(year, sector, history, covered):
    assert in_hubei(history, year, OUTSIDE, sector).covered is covered


def test_of_two_thresholds_of_one_year_the_one_that_names_the_sector_counts():
    rules = CoverageRules([Threshold(2024, 13_000), Threshold(2024, 5_000, sectors=["water"])])
    assert decide(rules, emitted(y2023=5_000), 2024, OUTSIDE, "water").covered
    assert not decide(rules, emitted(y2023=5_000), 2024, OUTSIDE, "paper").covered
    assert not decide(rules, emitted(y2023=5_000), 2024, OUTSIDE).covered


def test_a_figure_in_the_unit_of_the_threshold_goes_before_one_that_must_be_converted():
    rules = CoverageRules([Threshold(2020, 10_000, "tce"), Threshold(2024, 26_000)])
    gas_works = [
        Activity(2022, emissions=20_000, energy_tce=10_000),
        Activity(2023, emissions=20_000, energy_tce=10_000),
    ]
    assert decide(rules, gas_works, 2023, OUTSIDE).covered
    assert not decide(rules, gas_works, 2024, OUTSIDE).covered


def test_a_converted_figure_says_at_what_rate():
    by_energy = decide(HUBEI.coverage, burnt(y2024=5_000), 2025, OUTSIDE)
    assert by_energy.detail == "5,000 tce in 2024; threshold 13,000 tCO2e at 2.6 tCO2e per tce"
    by_emissions = decide(HUBEI.coverage, emitted(y2019=26_000), 2020, OUTSIDE)
    assert by_emissions.covered
    assert by_emissions.detail == "26,000 tCO2e in 2019; threshold 10,000 tce at 2.6 tCO2e per tce"


def test_the_rate_is_exact_whatever_its_decimals():
    rules = CoverageRules([Threshold(2024, 3)], ef_tce="0.333333333")
    assert not decide(rules, burnt(y2023=9), 2024, OUTSIDE).covered
    assert decide(rules, burnt(y2023=10), 2024, OUTSIDE).covered


def test_the_national_market_covers_those_in_it_and_counts_from_26_000_t():
    plant = [Activity(2024, 26_000, in_national_market=True)]
    assert decide(NATIONAL.coverage, plant, 2025, OUTSIDE).why is Why.ABOVE_THRESHOLD
    assert decide(NATIONAL.coverage, emitted(y2024=25_999), 2025, OUTSIDE).why is Why.BELOW_THRESHOLD


def test_what_a_compliance_year_itself_brings_counts_from_the_next():
    history = [Activity(2023, 20_000), Activity(2024, 20_000), Activity(2025, 0, closed=True)]
    assert in_hubei(history, 2025, COVERED).why is Why.ABOVE_THRESHOLD
    assert in_hubei(history, 2026, COVERED).why is Why.CLOSED
    assert in_hubei(history, 2030, OUTSIDE).why is Why.CLOSED


def test_who_opens_again_is_judged_again():
    history = [Activity(2022, 20_000, closed=True), Activity(2023, 20_000)]
    assert in_hubei(history, 2024, OUTSIDE).why is Why.ABOVE_THRESHOLD


@pytest.mark.parametrize(("years_to_exit", "covered"), [(1, False), (3, False), (4, True)])
def test_how_long_one_must_be_below_is_a_parameter(years_to_exit, covered):
    rules = msgspec.structs.replace(HUBEI.coverage, years_to_exit=years_to_exit)
    history = emitted(y2021=13_000, y2022=1, y2023=1, y2024=1)
    assert decide(rules, history, 2025, COVERED).covered is covered


def test_the_order_of_the_history_does_not_matter_but_a_year_stands_in_it_once():
    history = emitted(y2024=1, y2022=90_000, y2023=1)
    assert in_hubei(history, 2025, COVERED).why is Why.BELOW_TOO_LONG
    with pytest.raises(ValueError, match="twice"):
        in_hubei([*history, Activity(2023, 90_000)], 2025, COVERED)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("treshold = []", "unknown field"),
        ("thresholds = [{from_year = 2024, amount = 13000, unit = 'kt'}]", "unit"),
        ("thresholds = [{from_year = 2024, amount = 0}]", "amount"),
        ("thresholds = [{from_year = 2024, amount = 1, lag_years = 0}]", "lag_years"),
        ("ef_tce = 2.6", "ef_tce"),
        ("years_to_exit = 0", "years_to_exit"),
    ],
)
def test_a_table_that_cannot_be_meant_is_an_error(table, complaint):
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert(tomllib.loads(table), CoverageRules)


# ---------------------------------------------------------------- of any history

figures = st.one_of(st.none(), st.integers(0, 26_000))
histories = st.lists(
    st.builds(Activity, st.integers(2015, 2027), figures, figures, st.booleans(), st.booleans()),
    max_size=8,
    unique_by=lambda activity: activity.year,
)
years = st.integers(2014, 2027)


@given(histories, years, st.booleans())
def test_one_is_removed_only_by_years_below_by_closure_or_by_departure(history, year, was_covered):
    decision = in_hubei(history, year, was_covered)
    if was_covered and not decision.covered:
        assert decision.why in {Why.BELOW_TOO_LONG, Why.CLOSED, Why.LEFT_FOR_NATIONAL_MARKET}
    if decision.why is Why.BELOW_TOO_LONG and year >= 2024:
        known = {activity.year: activity for activity in history}
        for below in (year - 1, year - 2):
            tonnes, tce = known[below].emissions, known[below].energy_tce
            assert (10 * tonnes if tonnes is not None else 26 * tce) < 130_000


@given(histories, years)
def test_one_enters_only_by_figures(history, year):
    decision = in_hubei(history, year, OUTSIDE)
    assert decision.covered == (decision.why is Why.ABOVE_THRESHOLD)


@given(histories, years, st.booleans(), st.data())
def test_emitting_more_never_leads_out(history, year, was_covered, data):
    more = [
        msgspec.structs.replace(
            activity,
            emissions=None if activity.emissions is None else activity.emissions + data.draw(st.integers(0, 9_000)),
            energy_tce=None if activity.energy_tce is None else activity.energy_tce + data.draw(st.integers(0, 9_000)),
        )
        for activity in history
    ]
    assert in_hubei(more, year, was_covered).covered >= in_hubei(history, year, was_covered).covered


@given(histories, years, st.booleans())
def test_what_is_not_reported_removes_nobody(history, year, was_covered):
    silent = [msgspec.structs.replace(activity, emissions=None, energy_tce=None) for activity in history]
    decision = in_hubei(silent, year, was_covered)
    if decision.why not in {Why.CLOSED, Why.LEFT_FOR_NATIONAL_MARKET}:
        assert decision.covered is was_covered
