"""Who gets how much: enterprises worked by hand, the rules after verification, and the cap."""

import math
import tomllib
from decimal import Decimal, getcontext, localcontext
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.allocation import (
    Adjustment,
    Basis,
    Benchmark,
    Historical,
    HistoricalIntensity,
    Industry,
    Power,
    alpha,
    balance_point,
    benchmark_value,
    double_twenty,
    exact,
    free_part,
    initial,
    load_correction,
    market_factor,
    paid_share,
    pre_allocation,
    reserve,
    shortage_cap,
    true_up,
    within_cap,
)
from registry.rules import AllocationRules, IndustryRule
from tests.registry.regions import HUBEI, NATIONAL

PILOT, NATION = HUBEI.allocation, NATIONAL.allocation
M = Decimal("0.985")
NO_M = Fraction(1)
INDUSTRY = IndustryRule(2026, slope="0.15", limit="0.20")


def number(text: str) -> Fraction:
    """12.5 or 12.5/365."""
    top, _, bottom = text.partition("/")
    return Fraction(top) / Fraction(bottom or 1)


# ---------------------------------------------------------------- enterprises worked by hand

THOUSAND_MW = Power("4000000", "0.7910", "0.70", "1500000", "0.1033")
THREE_HUNDRED_MW = Power("1000000", "0.8049", "0.60", "250000.5", "0.1033")
GAS = Power("2000000", "0.3288", "0.30", "300000", "0.0533", gas=True)

WORKED = [
    # (who, market, year, M, basis, product before flooring, tonnes); the steps of the product stand above each
    # -- Hubei: base x F x M / 365 x D
    # 45,678 x 0.95 = 43,394.1; x 0.985 = 42,743.1885; x 300 = 12,822,956.55; / 365 = 35,131.387...
    ("ceramics, 300 days", PILOT, 2024, M, Historical(45_678, "0.95", 300), "12822956.55/365", 35_131),
    # 120,000 x 0.9724 = 116,688; x 0.985 = 114,937.68
    ("glass, the whole year", PILOT, 2024, M, Historical(120_000, "0.9724"), "114937.68", 114_937),
    # 1,000,000 x 0.987654 = 987,654; x 0.985 = 972,839.19
    ("food, a factor of six decimals", PILOT, 2023, M, Historical(1_000_000, "0.987654", 365), "972839.19", 972_839),
    # 36,500 x 366 / 365 = 36,600: the formula divides a leap year by 365 as well
    ("textiles, 366 days of a leap year", PILOT, 2024, NO_M, Historical(36_500, "1", 366), "36600", 36_600),
    # 88,000 x 0.93 x 0.985 x 0 days
    ("brewery, closed all year", PILOT, 2024, M, Historical(88_000, "0.93", 0), "0", 0),
    # -- Hubei: past intensity x output x F x M
    # 1.2345 x 80,000.5 = 98,760.61725; x 0.96 = 94,810.19256; x 0.985 = 93,388.0396716
    ("chemicals", PILOT, 2024, M, HistoricalIntensity("1.2345", "80000.5", "0.96"), "93388.0396716", 93_388),
    # 0.61 x 500,000 = 305,000; x 0.98 = 298,900; x 0.985 = 294,416.5: a half is floored like the rest
    ("paper", PILOT, 2024, M, HistoricalIntensity("0.61", "500000", "0.98"), "294416.5", 294_416),
    # -- Hubei: benchmark x output x M
    # 0.8534 x 1,250,000 = 1,066,750; x 0.985 = 1,050,748.75
    ("cement", PILOT, 2024, M, Benchmark("0.8534", "1250000"), "1050748.75", 1_050_748),
    # 1.789 x 3,333,333 = 5,963,332.737; x 0.985 = 5,873,882.745945
    ("steel", PILOT, 2024, M, Benchmark("1.789", "3333333"), "5873882.745945", 5_873_882),
    ("kiln without output", PILOT, 2024, M, Benchmark("0.8534", "0"), "0", 0),
    # -- national power: MWh x benchmark x Ff + GJ x benchmark
    # 4,000,000 x 0.7910 = 3,164,000; F = 0.70 is not below 0.65: Ff = 1; 1,500,000 x 0.1033 = 154,950
    ("1,000 MW coal at 70 %", NATION, 2024, NO_M, THOUSAND_MW, "3318950", 3_318_950),
    # F = 0.60: 1.015^(16 - 12) = 1.015^4 = 1.061363550625, to six decimals 1.061364
    # 1,000,000 x 0.8049 = 804,900; x 1.061364 = 854,291.8836; 250,000.5 x 0.1033 = 25,825.05165
    ("300 MW coal at 60 %", NATION, 2024, NO_M, THREE_HUNDRED_MW, "880116.93525", 880_116),
    # F = 0.625: 1.015^3.5; 1.015^3 = 1.045678375, root of 1.015 = 1.007472084, product 1.0534917716: 1.053492
    # 600,000 x 0.8049 = 482,940; x 1.053492 = 508,773.42648
    ("300 MW coal at 62.5 %", NATION, 2024, NO_M, Power("600000", "0.8049", "0.625"), "508773.42648", 508_773),
    # 2,000,000 x 0.3288 = 657,600, whatever its load; 300,000 x 0.0533 = 15,990
    ("gas at 30 %", NATION, 2024, NO_M, GAS, "673590", 673_590),
    # F = 45: exp(-45 / 29.822) = 0.2211414; 0.633 x 0.7788586 = 0.4930175; exp(-45 / 6.871) = 0.0014312;
    # 5.643 x 0.9985688 = 5.6349239; 7.254 - 0.4930175 - 5.6349239 = 1.1260586, to six decimals 1.126059
    # 1,000,000 x 0.7902 = 790,200; x 1.126059 = 889,811.8218
    ("coal at 45 %, draft of 2025", NATION, 2025, NO_M, Power("1000000", "0.7902", "0.45"), "889811.8218", 889_811),
    ("coal at 50 %, draft of 2025", NATION, 2025, NO_M, Power("1000000", "0.7902", "0.50"), "790200", 790_200),
    # -- national industry: E x (1 + alpha)
    # X = (2 - 1.8) / 2 = 0.1; alpha = 0.015; 1,000,001 x 1.015 = 1,015,001.015
    ("steel, 10 % better", NATION, 2026, NO_M, Industry(1_000_001, "1.8", "2"), "1015001.015", 1_015_001),
    # X = 0.2: 0.15 x 0.2 = 0.03 on the bound; 777,777 x 1.03 = 801,110.31
    ("steel, 20 % better exactly", NATION, 2026, NO_M, Industry(777_777, "1.6", "2"), "801110.31", 801_110),
    # X = 0.5: 0.03 beyond the bound too
    ("steel, 50 % better", NATION, 2026, NO_M, Industry(777_777, "1", "2"), "801110.31", 801_110),
    # X = -0.2: 777,777 x 0.97 = 754,443.69
    ("aluminium, 20 % worse exactly", NATION, 2026, NO_M, Industry(777_777, "2.4", "2"), "754443.69", 754_443),
    ("aluminium, twice the balance point", NATION, 2026, NO_M, Industry(777_777, "4", "2"), "754443.69", 754_443),
    # X = (0.82 - 0.85) / 0.82 = -0.03 / 0.82; 1,230,000 x 0.15 x 0.03 / 0.82 = 6,750
    ("cement, 3.7 % worse", NATION, 2026, NO_M, Industry(1_230_000, "0.85", "0.82"), "1223250", 1_223_250),
    # X = -0.01 / 0.83: 100,000 x 0.15 x 0.01 / 0.83 = 150 / 0.83 = 180.72...
    ("cement, 1.2 % worse", NATION, 2026, NO_M, Industry(100_000, "0.84", "0.83"), "82850/0.83", 99_819),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "year", "factor", "basis", "product", "tonnes"), [
    pytest.param(*row[1:], id=row[0]) for row in WORKED
])  # fmt: skip
def test_an_enterprise_worked_by_hand(rules, year, factor, basis, product, tonnes):
    assert exact(rules, basis, year, factor) == number(product)
    assert initial(rules, basis, year, factor) == tonnes


def test_operating_days_may_be_of_the_years_own_days():
    calendar = AllocationRules(calendar_days=True)
    assert initial(calendar, Historical(36_600, "1", 366), 2024) == 36_600
    assert initial(calendar, Historical(36_600, "1", 365), 2024) == 36_500
    assert initial(calendar, Historical(36_500, "1", 365), 2023) == 36_500


def test_nobody_works_366_days_of_365():
    with pytest.raises(ValueError, match="366 operating days in the 365 days of 2023"):
        initial(PILOT, Historical(1, "1", 366), 2023)


def test_a_basis_travels_as_a_table_with_its_method():
    basis = {"method": "benchmark", "benchmark": "0.8534", "output": "1250000"}
    assert msgspec.convert(basis, Basis) == Benchmark("0.8534", "1250000")
    for method in (Historical(1, "1"), HistoricalIntensity("1", "1", "1"), Power("1", "1"), Industry(1, "1", "1")):
        assert msgspec.json.decode(msgspec.json.encode(method), type=Basis) == method


@pytest.mark.parametrize(
    "basis",
    [
        {"method": "benchmark", "benchmark": 0.8534, "output": "1250000"},  # a float
        {"method": "benchmark", "benchmark": "-1", "output": "1"},
        {"method": "benchmark", "benchmark": "1e3", "output": "1"},
        {"method": "benchmark", "benchmark": "1", "output": "1", "days": 3},
        {"method": "historical", "base_emissions": -1, "sector_factor": "1"},
        {"method": "historical", "base_emissions": 1, "sector_factor": "1", "operating_days": 367},
        {"method": "power", "electricity_mwh": "1", "power_benchmark": "1", "load_factor": "1.1"},
        {"method": "auction"},
    ],
)
def test_a_basis_that_cannot_be_meant_is_an_error(basis):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(basis, Basis)


def test_a_published_benchmark_holds_until_the_next():
    assert benchmark_value(NATION, 2024, "coal above 300 MW") == "0.7910"
    assert benchmark_value(NATION, 2027, "coal above 300 MW") == "0.7902"
    assert benchmark_value(NATION, 2027, "coal heat") == "0.1033"
    with pytest.raises(ValueError, match="coal heat"):
        benchmark_value(NATION, 2023, "coal heat")


def test_a_basis_names_its_benchmark_or_the_number():
    unit = Power("1000", "coal above 300 MW", heat_gj="100", heat_benchmark="coal heat")
    assert exact(NATION, unit, 2024) == exact(NATION, Power("1000", "0.7910", None, "100", "0.1033"), 2024)
    assert exact(NATION, Benchmark("coal heat", "1000"), 2026) == exact(NATION, Benchmark("0.1033", "1000"), 2026)
    with pytest.raises(ValueError, match="no benchmark 'peat' in 2024"):
        exact(NATION, Benchmark("peat", "1000"), 2024)


# ---------------------------------------------------------------- market factor


@pytest.mark.parametrize(
    ("carried", "total", "factor"),
    [
        (0, 240_000_000, "1"),
        (3_600_000, 240_000_000, "0.985"),
        (1, 3, "2/3"),
        (240_000_000, 240_000_000, "0"),
        (250_000_000, 240_000_000, "0"),
    ],
)
def test_a_surplus_carried_over_lowers_what_is_allocated(carried, total, factor):
    assert market_factor(carried, total) == number(factor)


def test_there_is_no_market_factor_where_nothing_is_allocated():
    with pytest.raises(ValueError, match="market factor"):
        market_factor(0, 0)


# ---------------------------------------------------------------- the load correction


@pytest.mark.parametrize(
    ("year", "load", "correction"),
    [
        pytest.param(2022, "0.30", "1", id="before its first year"),
        pytest.param(2024, "1", "1", id="at full load"),
        pytest.param(2024, "0.65", "1", id="on the bound of 2023"),
        pytest.param(2024, "0.649999", "1.045679", id="just below it: 1.015 ^ 3.00002"),
        pytest.param(2024, "0.40", "1.126493", id="1.015 ^ 8 = 1.12649259"),
        pytest.param(2024, "0", "1.268986", id="1.015 ^ 16 = 1.26898555"),
        pytest.param(2025, "0.50", "1", id="on the bound of the draft of 2025"),
        pytest.param(2026, "0", "7.254", id="the draft without load"),
    ],
)
def test_load_correction(year, load, correction):
    assert load_correction(NATION, year, load) == Fraction(correction)


@given(st.integers(0, 10**6), st.sampled_from([2023, 2024, 2025, 2026]))
def test_the_correction_is_the_formula_to_six_decimals(millionths, year):
    """Against floating point, which is near enough to show a wrong formula."""
    load = Decimal(millionths).scaleb(-6)
    if year < 2025:
        near = 1.015 ** (16 - 20 * float(load)) if load < Decimal("0.65") else 1
    else:
        percent = 100 * float(load)
        near = 7.254 - 0.633 * (1 - math.exp(-percent / 29.822)) - 5.643 * (1 - math.exp(-percent / 6.871))
        near = near if load < Decimal("0.50") else 1
    correction = load_correction(NATION, year, f"{load:f}")
    assert abs(float(correction) - near) < 0.6e-6
    assert correction * 10**6 == int(correction * 10**6)


@given(st.integers(0, 999_999), st.sampled_from([2024, 2025]))
def test_less_load_never_means_less_allocation(millionths, year):
    lower, higher = (f"{Decimal(at).scaleb(-6):f}" for at in (millionths, millionths + 1))
    assert load_correction(NATION, year, lower) >= load_correction(NATION, year, higher) >= 1


def test_the_callers_decimal_settings_do_not_matter():
    with localcontext() as context:
        context.prec = 3
        assert load_correction(NATION, 2024, "0.60") == Fraction("1.061364")
        assert load_correction(NATION, 2025, "0.45") == Fraction("1.126059")
        assert getcontext().prec == 3
        assert balance_point(INDUSTRY, [(10, "123.4567")]) == "123.4567"


# ---------------------------------------------------------------- industry: alpha and the balance point


@pytest.mark.parametrize(
    ("intensity", "share"),
    [
        ("0", "0.03"), ("0.799999", "0.03"), ("0.8", "0.03"), ("0.800001", "0.02999985"), ("1", "0"),
        ("1.199999", "-0.02999985"), ("1.2", "-0.03"), ("1.200001", "-0.03"), ("9", "-0.03"),
    ],
)  # fmt: skip
def test_alpha_about_a_balance_point_of_1(intensity, share):
    assert alpha(INDUSTRY, intensity, "1") == Fraction(share)


def test_the_industry_rule_begins_in_2026_and_knows_no_balance_point_of_0():
    with pytest.raises(ValueError, match="no industry rule in force in 2025"):
        initial(NATION, Industry(1, "1", "1"), 2025)
    with pytest.raises(ValueError, match="a balance point of 0"):
        initial(NATION, Industry(1, "1", "0"), 2026)


@pytest.mark.parametrize(
    ("lines", "point"),
    [
        pytest.param([(1_000_000, "0.8512")], "0.8512", id="alone one is the measure"),
        # 1 x (1 - 0.9 / BP) + 1 x (1 - 1.1 / BP) = 0 at BP = 1
        pytest.param([(500, "0.9"), (500, "1.1")], "1.0000", id="two alike in size meet in the middle"),
        # 3 x (1 - 0.9 / BP) + 1 x (1 - 1.1 / BP) = 0 at BP = 3.8 / 4
        pytest.param([(300, "0.9"), (100, "1.1")], "0.9500", id="weighted by emissions"),
        # 2 x (1 - 0.9 / BP) + 1 x (1 - 1.1 / BP) = 0 at BP = 2.9 / 3 = 0.96666...
        pytest.param([(200, "0.9"), (100, "1.1")], "0.9666", id="rounded so that no more is allocated than emitted"),
        # the cleaner is at +0.03 from BP = 0.5 / 0.8 = 0.625, the other at -0.03 up to BP = 2 / 1.2 = 1.6666...
        pytest.param([(100, "0.5"), (100, "2")], "1.6666", id="anywhere between two at the limits, so at the end"),
    ],
)
def test_the_balance_point_is_where_allocations_add_up_to_emissions(lines, point):
    assert balance_point(INDUSTRY, lines) == point


@pytest.mark.parametrize("lines", [[], [(0, "1")], [(100, "0")], [(200, "0"), (100, "1")]])
def test_some_products_have_no_balance_point(lines):
    with pytest.raises(ValueError, match="no balance point"):
        balance_point(INDUSTRY, lines)


intensities = st.integers(1, 30_000).map(lambda ten_thousandths: f"{Decimal(ten_thousandths).scaleb(-4):f}")
products = st.lists(st.tuples(st.integers(1, 5_000_000), intensities), min_size=1, max_size=12)


@given(products, st.randoms(use_true_random=False))
def test_a_balance_point_gives_away_nothing_and_is_the_highest_that_does(lines, random):
    point = balance_point(INDUSTRY, lines)
    one_step_up = str(Decimal(point) + Decimal("0.0001"))
    emitted = sum(emissions for emissions, _ in lines)
    allocated, too_much = (
        sum(exact(NATION, Industry(emissions, intensity, at), 2026) for emissions, intensity in lines)
        for at in (point, one_step_up)
    )
    assert allocated <= emitted < too_much
    assert (
        sum(initial(NATION, Industry(emissions, intensity, point), 2026) for emissions, intensity in lines) <= emitted
    )
    random.shuffle(lines)
    assert balance_point(INDUSTRY, lines) == point


# ---------------------------------------------------------------- before and after verification


@pytest.mark.parametrize(
    ("rules", "year", "amount", "tonnes"),
    [
        pytest.param(PILOT, 2016, 1_000_001, 0, id="Hubei before its first rule"),
        pytest.param(PILOT, 2022, 1_000_001, 500_000, id="Hubei 2022: half of 1,000,001"),
        pytest.param(PILOT, 2023, 1_000_001, 700_000, id="Hubei 2023: 700,000.7"),
        pytest.param(NATION, 2024, 8_765_432, 6_135_802, id="national 2024: 6,135,802.4"),
        pytest.param(NATION, 2025, 8_765_433, 4_382_716, id="national 2025: 4,382,716.5"),
    ],
)
def test_pre_allocation(rules, year, amount, tonnes):
    assert pre_allocation(rules, year, amount) == tonnes


def test_the_paid_share_grows_and_the_two_parts_add_up():
    assert [paid_share(PILOT, year) for year in (2025, 2026, 2027, 2028)] == [
        *(0, Fraction("0.01"), Fraction("0.01"), Fraction("0.025")),
    ]
    assert free_part(PILOT, 2025, 99_999) == 99_999
    assert free_part(PILOT, 2026, 99_999) == 98_999  # 98,999.01
    assert free_part(PILOT, 2028, 99_999) == 97_499  # 97,499.025


@pytest.mark.parametrize(
    ("allocation", "emissions", "top_up", "claw_back"),
    [
        pytest.param(100_000, 120_000, 0, 0, id="short by 20 % exactly"),
        pytest.param(100_000, 120_001, 1, 0, id="short by a tonne more"),
        pytest.param(100_000, 80_000, 0, 0, id="long by 20 % exactly"),
        pytest.param(100_000, 79_999, 0, 1, id="long by a tonne more"),
        pytest.param(1_000_000, 1_250_000, 50_000, 0, id="20 % and 200,000 t meet at a million tonnes"),
        pytest.param(5_000_000, 5_200_000, 0, 0, id="short by 200,000 t, far within 20 %"),
        pytest.param(5_000_000, 5_300_000, 100_000, 0, id="beyond 200,000 t the gap is filled, though within 20 %"),
        pytest.param(5_000_000, 4_700_000, 0, 100_000, id="and the same on the other side"),
        pytest.param(7, 9, 1, 0, id="20 % of 7 t is 1.4 t: a gap of 2 t would exceed it"),
        pytest.param(0, 500, 500, 0, id="who was allocated nothing gets all"),
        pytest.param(100_000, 0, 0, 80_000, id="who stood still keeps 20 %"),
    ],
)
def test_double_twenty_in_2014(allocation, emissions, top_up, claw_back):
    assert double_twenty(PILOT, 2014, allocation, emissions) == Adjustment(top_up, claw_back)


@pytest.mark.parametrize(("rules", "year"), [(PILOT, 2013), (PILOT, 2015), (NATION, 2014)])
def test_double_twenty_is_for_the_years_it_names(rules, year):
    assert double_twenty(rules, year, 100_000, 900_000) == Adjustment()


@pytest.mark.parametrize(
    ("rules", "year", "allocation", "emissions", "tonnes"),
    [
        pytest.param(NATION, 2024, 900_000, 1_000_000, 900_000, id="short by 10 %"),
        pytest.param(NATION, 2024, 800_000, 1_000_000, 800_000, id="short by 20 %"),
        pytest.param(NATION, 2024, 799_999, 1_000_000, 800_000, id="short by more"),
        pytest.param(NATION, 2024, 0, 1_000_003, 800_002, id="0.8 x 1,000,003 = 800,002.4"),
        pytest.param(NATION, 2024, 1_200_000, 1_000_000, 1_200_000, id="a surplus is kept"),
        pytest.param(NATION, 2022, 0, 1_000_000, 0, id="before its first year"),
        pytest.param(PILOT, 2024, 0, 1_000_000, 0, id="in a market without it"),
    ],
)
def test_the_cap_on_shortage(rules, year, allocation, emissions, tonnes):
    assert shortage_cap(rules, year, allocation, emissions) == tonnes


@pytest.mark.parametrize(("before", "final", "due"), [(700, 1_000, 300), (700, 600, -100), (700, 700, 0)])
def test_what_is_due_after_verification(before, final, due):
    assert true_up(before, final) == due


# ---------------------------------------------------------------- the cap


def test_hubei_keeps_8_per_cent_of_its_cap():
    assert reserve(PILOT, 2014, 324_000_000) == 25_920_000
    assert reserve(PILOT, 2021, 182_000_012) == 14_560_000  # 14,560,000.96
    assert reserve(PILOT, 2013, 324_000_000) == 0


def test_what_fits_the_cap_is_given_in_full():
    fit = within_cap(324_000_000, 25_920_000, 0, [200_000_000, 92_200_000])
    assert fit.fits
    assert (fit.given, fit.factor, fit.left) == ((200_000_000, 92_200_000), 1, 5_880_000)
    assert within_cap(100, 8, 2, [40, 50]).fits


def test_what_does_not_fit_is_scaled_by_one_factor_and_floored():
    fit = within_cap(100, 8, 2, [50, 30, 20, 0])
    assert not fit.fits
    assert (fit.room, fit.wanted, fit.factor) == (90, 100, Fraction(9, 10))
    assert (fit.given, fit.left) == ((45, 27, 18, 0), 0)
    thirds = within_cap(100, 0, 0, [50, 50, 50])
    assert (thirds.given, thirds.factor, thirds.left) == ((33, 33, 33), Fraction(2, 3), 1)


def test_nothing_is_given_where_reserve_and_sale_take_all_and_they_cannot_take_more():
    assert within_cap(100, 60, 40, [5, 6]).given == (0, 0)
    assert within_cap(100, 60, 40, []).fits
    with pytest.raises(ValueError, match="exceed the cap of 100 t"):
        within_cap(100, 60, 41, [])


# ---------------------------------------------------------------- of any enterprise

tonnes = st.integers(0, 10**9)
numbers = st.decimals(0, 10**6, places=6).map(lambda value: f"{value:f}")
shares = st.decimals(0, 1, places=6).map(lambda value: f"{value:f}")
bases = st.one_of(
    st.builds(Historical, tonnes, numbers, st.one_of(st.none(), st.integers(0, 365))),
    st.builds(HistoricalIntensity, numbers, numbers, numbers),
    st.builds(Benchmark, numbers, numbers),
    st.builds(Power, numbers, numbers, st.one_of(st.none(), shares), numbers, numbers, st.booleans()),
    st.builds(Industry, tonnes, numbers, numbers.filter(lambda text: Fraction(text) > 0)),
)


@given(bases, st.integers(2026, 2030), st.fractions(0, 1))
def test_what_is_allocated_is_the_formula_less_a_part_of_a_tonne(basis, year, factor):
    product = exact(NATION, basis, year, factor)
    assert 0 <= product - initial(NATION, basis, year, factor) < 1
    assert product == exact(NATION, basis, year) * factor


@given(tonnes, tonnes)
def test_after_double_twenty_emissions_and_allocation_differ_by_the_limit_at_most(allocation, emissions):
    adjusted = double_twenty(PILOT, 2014, allocation, emissions)
    after = allocation + adjusted.top_up - adjusted.claw_back
    limit = min(Fraction(allocation, 5), 200_000)
    assert abs(emissions - after) <= limit
    assert 0 in (adjusted.top_up, adjusted.claw_back)
    if abs(emissions - allocation) <= limit:
        assert after == allocation
    else:
        assert abs(emissions - after) > limit - 1, "no more than the rule asks"


@given(tonnes, tonnes)
def test_a_shortage_passes_20_per_cent_by_less_than_a_tonne_and_nobody_loses(allocation, emissions):
    final = shortage_cap(NATION, 2024, allocation, emissions)
    assert emissions - final < Fraction(emissions, 5) + 1
    assert allocation <= final <= max(allocation, emissions)


@given(tonnes, tonnes, st.sampled_from([2022, 2023]))
def test_pre_allocation_and_true_up_make_the_final_allocation(last, final, year):
    before = pre_allocation(PILOT, year, last)
    assert before <= last
    assert before + true_up(before, final) == final


@given(st.lists(tonnes, max_size=30), tonnes, st.integers(0, 10**6), st.integers(0, 10**6))
def test_scaled_allocations_never_exceed_the_cap(asked, free_room, reserved, paid):
    fit = within_cap(free_room + reserved + paid, reserved, paid, asked)
    assert reserved + paid + sum(fit.given) <= free_room + reserved + paid
    assert fit.fits == (sum(asked) <= free_room)
    for want, given_ in zip(asked, fit.given, strict=True):
        assert 0 <= want * fit.factor - given_ < 1
    if not fit.fits:
        assert fit.left < len(asked)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("paid = [{from_year = 2026, share = 0.03}]", "share"),
        ("paid = [{from_year = 2026, share = '1.01'}]", "share"),
        ("paid = [{from_year = 2026, share = '0.03', of = 'cap'}]", "unknown field"),
        ("pre_allocation = [{from_year = 2026, share = '0.7', of = 'wishes'}]", "of"),
        ("load_correction = [{from_year = 2026, below = '0.65'}]", "formula"),
        (
            "load_correction = [{from_year = 2026, formula = 'decay', below = '0.5', top = '7', decays = ['1']}]",
            "decays",
        ),
        ("double_twenty = {years = [2014], tonnes = -1}", "tonnes"),
    ],
)
def test_a_table_that_cannot_be_meant_is_an_error(table, complaint):
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert(tomllib.loads(table), AllocationRules)
