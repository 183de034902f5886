"""Rule sets: what is in force on a date, how it is rounded, and what is said of a file that can't be used."""

import csv
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import get_args

import msgspec
import pytest

from exchange.rules import ClassLabel, Fees, RuleSetError, half_up, load_rule_set
from matching.orders import SelfTradePrevention, Side
from matching.pricing import ExecutionPrice
from registry.accounts import ParticipantClass
from registry.units import Species

HUBEI, NATIONAL, GENERIC = (load_rule_set(name) for name in ("hubei", "national", "generic"))


# ---------------------------------------------------------------- what is in force


@pytest.mark.parametrize(
    ("day", "low", "high"),
    [
        pytest.param("2014-04-02", 1800, 2200, id="first day: 10 % either way"),
        pytest.param("2016-07-17", 1800, 2200, id="eve of the rule of 2016"),
        pytest.param("2016-07-18", 1980, 2200, id="first day of the rule of 2016: 1 % down"),
        pytest.param("2016-12-23", 1980, 2200, id="its last day"),
        pytest.param("2016-12-26", 1800, 2200, id="10 % either way again"),
        pytest.param("2026-01-05", 1800, 2200, id="today"),
    ],
)
def test_the_band_of_a_date_about_a_close_of_20_00(day, low, high):
    assert HUBEI.band_ticks(date.fromisoformat(day), 2000) == (low, high)


@pytest.mark.parametrize(
    ("method", "day", "low", "high"),
    [
        pytest.param("negotiated", "2026-01-05", 1800, 2200, id="negotiated: 10 %"),
        pytest.param("block", "2026-01-05", 1400, 2600, id="a block: 30 %"),
        pytest.param("block", "2016-08-01", 1400, 2600, id="a block while negotiated prices fell by 1 % at most"),
        pytest.param("forward", "2026-01-05", 1920, 2080, id="a forward: 4 %"),
        pytest.param("forward", "2016-04-27", 1920, 2080, id="the first day of forwards"),
    ],
)
def test_each_method_of_trading_has_a_band_of_its_own(method, day, low, high):
    assert HUBEI.band_ticks(date.fromisoformat(day), 2000, method) == (low, high)


@pytest.mark.parametrize(
    ("rules", "day", "method"),
    [
        pytest.param(HUBEI, "2014-04-01", "negotiated", id="before its first date"),
        pytest.param(HUBEI, "2016-04-26", "forward", id="before the first forward"),
        pytest.param(HUBEI, "2026-01-05", "auction", id="of a method that nobody knows"),
        pytest.param(GENERIC, "2026-01-05", "negotiated", id="in a plain market"),
    ],
)
def test_there_is_no_band(rules, day, method):
    assert rules.band_ticks(date.fromisoformat(day), 2000, method) is None


@pytest.mark.parametrize(
    ("close", "low", "high"),
    [
        pytest.param(4200, 3780, 4620, id="even"),
        pytest.param(4205, 3785, 4626, id="halves up: 3784.5 and 4625.5"),
        pytest.param(4204, 3784, 4624, id="3783.6 up, 4624.4 down"),
        pytest.param(4206, 3785, 4627, id="3785.4 down, 4626.6 up"),
        pytest.param(5, 5, 6, id="so cheap that the low is the close: 4.5 and 5.5"),
        pytest.param(1, 1, 1, id="a tick: nothing else is left"),
    ],
)
def test_a_band_is_rounded_half_up_to_the_tick(close, low, high):
    assert HUBEI.band_ticks(date(2026, 1, 5), close) == (low, high)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [("0", 0), ("0.49", 0), ("0.5", 1), ("1.5", 2), ("2.5", 3), ("2.4999999", 2), ("3784.5", 3785), ("7", 7)],
)
def test_half_up(value, rounded):
    assert half_up(Decimal(value)) == rounded


COVERED, INSTITUTION, INDIVIDUAL = list(ParticipantClass)[:3]
ALLOWANCE, CREDIT = Species.ALLOWANCE, Species.CREDIT


@pytest.mark.parametrize(
    ("rules", "day", "method", "of", "species", "buyer_ppm", "seller_ppm"),
    [
        pytest.param(HUBEI, "2014-03-27", "negotiated", COVERED, None, 0, 0, id="before the fee notice"),
        pytest.param(HUBEI, "2014-03-28", "negotiated", COVERED, None, 5000, 5000, id="0.5 % a side from its date"),
        pytest.param(HUBEI, "2026-01-05", "negotiated", INDIVIDUAL, None, 5000, 5000, id="today"),
        pytest.param(HUBEI, "2026-01-05", "negotiated", COVERED, CREDIT, 5000, 5000, id="credits too"),
        pytest.param(HUBEI, "2014-03-27", "fixed_price", COVERED, ALLOWANCE, 0, 0, id="fixed price: before the notice"),
        pytest.param(HUBEI, "2014-03-28", "fixed_price", COVERED, ALLOWANCE, 0, 40_000, id="the seller's 4 %"),
        pytest.param(HUBEI, "2023-04-02", "fixed_price", COVERED, CREDIT, 0, 40_000, id="eve of the exceptions"),
        pytest.param(HUBEI, "2023-04-03", "fixed_price", COVERED, CREDIT, 0, 0, id="credits free"),
        pytest.param(HUBEI, "2023-04-03", "fixed_price", INSTITUTION, CREDIT, 0, 0, id="for everybody"),
        pytest.param(HUBEI, "2023-06-30", "fixed_price", COVERED, ALLOWANCE, 0, 20_000, id="covered firms 2 %"),
        pytest.param(HUBEI, "2023-06-30", "fixed_price", INSTITUTION, ALLOWANCE, 0, 40_000, id="others as before"),
        pytest.param(HUBEI, "2023-07-01", "fixed_price", COVERED, ALLOWANCE, 0, 40_000, id="the exceptions are over"),
        pytest.param(HUBEI, "2023-07-01", "fixed_price", COVERED, CREDIT, 0, 40_000, id="those of credits too"),
        pytest.param(HUBEI, "2020-12-09", "auction", COVERED, ALLOWANCE, 0, 40_000, id="the auction of the reserve"),
        pytest.param(HUBEI, "2020-12-08", "auction", COVERED, ALLOWANCE, 0, 0, id="before it"),
        pytest.param(HUBEI, "2026-01-05", "block", COVERED, ALLOWANCE, 0, 0, id="nothing is known of blocks"),
        pytest.param(NATIONAL, "2026-01-05", "negotiated", COVERED, None, 600, 600, id="the national market"),
        pytest.param(GENERIC, "2026-01-05", "negotiated", COVERED, None, 0, 0, id="a plain market charges nothing"),
    ],
)
def test_the_fees_of_a_date(rules, day, method, of, species, buyer_ppm, seller_ppm):
    for liquidity in ("maker", "taker"):
        found = [rules.fee_ppm(date.fromisoformat(day), side, liquidity, of, method, species) for side in Side]
        assert found == [buyer_ppm, seller_ppm]


def fees_of(*entries):
    return msgspec.structs.replace(GENERIC, fees=list(entries))


def fees(day, buyer, seller="0", **more):
    return Fees(date(2026, 1, day), buyer, seller, **more)


# Entries that all might speak of a covered enterprise's credits; which one does, on which day.
LAYERS = fees_of(
    fees(1, "0.1", method="block"),
    fees(2, "0.2", method="block", classes=["covered_enterprise"], species=["credit"]),
    fees(2, "0.3", method="block", classes=["covered_enterprise", "institution"], species=["allowance"]),
    fees(2, "0.4", method="block"),
    fees(2, "0.5", method="block", classes=["individual"]),
    fees(3, "0.6", method="block", species=["credit"]),
    fees(4, "0.7", method="block"),
    fees(5, "0.8", method="auction"),
)


@pytest.mark.parametrize(
    ("day", "of", "species", "share"),
    [
        pytest.param(1, COVERED, CREDIT, "0.1", id="the only one in force"),
        pytest.param(2, COVERED, CREDIT, "0.2", id="of one date, the one that names class and species"),
        pytest.param(2, COVERED, ALLOWANCE, "0.3", id="the one that names this species"),
        pytest.param(2, INSTITUTION, ALLOWANCE, "0.3", id="and the class second"),
        pytest.param(2, INSTITUTION, CREDIT, "0.4", id="the one that names nobody"),
        pytest.param(2, INDIVIDUAL, CREDIT, "0.5", id="the one that names the class"),
        pytest.param(3, COVERED, CREDIT, "0.6", id="a later one that names less"),
        pytest.param(3, COVERED, ALLOWANCE, "0.3", id="a later one that names something else"),
        pytest.param(4, COVERED, ALLOWANCE, "0.7", id="a later one for all"),
        pytest.param(9, COVERED, ALLOWANCE, "0.7", id="a later one of another method"),
    ],
)
def test_of_the_fees_that_name_a_participant_the_latest_speaks_then_the_one_that_names_more(day, of, species, share):
    for entries in (LAYERS.fees, LAYERS.fees[::-1]):
        found = fees_of(*entries).fee_ppm(date(2026, 1, day), Side.BUY, "taker", of, "block", species)
        assert found == int(Decimal(share) * 1_000_000)


@pytest.mark.parametrize(
    ("entry", "shares"),
    [
        pytest.param(fees(1, "0.01", "0.02"), ("0.01", "0.01", "0.02", "0.02"), id="makers pay as takers"),
        pytest.param(
            fees(1, "0.01", "0.02", maker_buyer="0"), ("0.01", "0", "0.02", "0.02"), id="makers who buy pay nothing"
        ),
        pytest.param(
            fees(1, "0.01", "0.02", maker_buyer="0.03", maker_seller="0.000001"),
            ("0.01", "0.03", "0.02", "0.000001"),
            id="more of buyers, less of sellers",
        ),
    ],
)
def test_makers_may_pay_another_share_than_takers(entry, shares):
    rules = fees_of(entry)
    found = [rules.fee_ppm(date(2026, 1, 5), side, what, COVERED) for side in Side for what in ("taker", "maker")]
    assert found == [int(Decimal(share) * 1_000_000) for share in shares]


def test_every_class_of_participant_can_be_named_in_a_fee():
    assert get_args(ClassLabel) == tuple(one.label for one in ParticipantClass)


def test_institutions_get_fees_back_since_august_of_2024():
    assert HUBEI.fee_rebate(date(2024, 8, 12), INSTITUTION) is None
    assert HUBEI.fee_rebate(date(2024, 8, 13), COVERED) is None
    assert HUBEI.fee_rebate(date(2024, 8, 13), INSTITUTION, "fixed_price") is None
    found = HUBEI.fee_rebate(date(2024, 8, 13), INSTITUTION)
    assert [(tier.from_tonnes, tier.share, tier.on) for tier in found.tiers] == [
        (100_000, "0.5", "whole"),
        (500_000, "1", "part_above"),
    ]


@pytest.mark.parametrize(
    ("rules", "day", "rule"),
    [
        pytest.param(HUBEI, "2016-12-25", "last_trade", id="nothing published before 2016-12-26"),
        pytest.param(HUBEI, "2016-12-26", "last_5_vwap", id="last five trades"),
        pytest.param(HUBEI, "2023-10-17", "last_5_vwap", id="last day of it"),
        pytest.param(HUBEI, "2023-10-18", "day_vwap", id="all trades of the day"),
        pytest.param(GENERIC, "2026-01-05", "last_trade", id="a plain market"),
    ],
)
def test_the_closing_rule_of_a_date(rules, day, rule):
    assert rules.closing_rule(date.fromisoformat(day)) == rule


@pytest.mark.parametrize(
    ("rules", "day", "price"),
    [
        pytest.param(HUBEI, "2014-04-01", ExecutionPrice.MAKER, id="where no rule is named"),
        pytest.param(HUBEI, "2014-04-02", ExecutionPrice.SELLER_PRICE, id="the lower of two limits at first"),
        pytest.param(HUBEI, "2016-12-23", ExecutionPrice.SELLER_PRICE, id="its last day"),
        pytest.param(HUBEI, "2016-12-24", ExecutionPrice.MEDIAN_OF_THREE, id="the median from then on"),
        pytest.param(HUBEI, "2026-01-05", ExecutionPrice.MEDIAN_OF_THREE, id="today"),
        pytest.param(GENERIC, "2026-01-05", ExecutionPrice.MAKER, id="a plain market"),
    ],
)
def test_the_execution_price_of_a_date(rules, day, price):
    assert rules.execution_price_on(date.fromisoformat(day)) == price


@pytest.mark.parametrize(
    ("rules", "day", "allowed"),
    [
        pytest.param(HUBEI, "2014-04-01", True, id="where nothing is said"),
        pytest.param(HUBEI, "2014-04-02", True, id="unfilled orders stayed at first"),
        pytest.param(HUBEI, "2016-12-23", True, id="the last day of that"),
        pytest.param(HUBEI, "2016-12-24", False, id="for the day only from then on"),
        pytest.param(HUBEI, "2026-01-05", False, id="today"),
        pytest.param(GENERIC, "2026-01-05", True, id="a plain market"),
    ],
)
def test_whether_orders_may_outlive_a_date(rules, day, allowed):
    assert rules.carry_over_on(date.fromisoformat(day)) is allowed


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        pytest.param("allow", SelfTradePrevention.BY_RULES, id="they trade"),
        pytest.param("cancel_newest", SelfTradePrevention.CANCEL_NEWEST, id="the taker goes"),
        pytest.param("cancel_oldest", SelfTradePrevention.CANCEL_OLDEST, id="the maker goes"),
        pytest.param("cancel_both", SelfTradePrevention.CANCEL_BOTH, id="both go"),
        pytest.param("decrement", SelfTradePrevention.DECREMENT, id="both lose"),
    ],
)
def test_what_becomes_of_orders_of_one_owner_that_choose_nothing(said, rule):
    assert msgspec.structs.replace(HUBEI, self_trade_prevention=said).self_trade_rule == rule


def test_dated_rules_need_no_order():
    day = date(2016, 8, 1)
    dated = ("price_bands", "closing_prices", "execution_prices", "carry_over", "fees")
    rules = msgspec.structs.replace(HUBEI, **{name: getattr(HUBEI, name)[::-1] for name in dated})
    assert rules.price_bands != HUBEI.price_bands
    assert rules.band_ticks(day, 2000) == HUBEI.band_ticks(day, 2000) == (1980, 2200)
    assert rules.execution_price_on(day) == HUBEI.execution_price_on(day) == ExecutionPrice.SELLER_PRICE
    assert rules.carry_over_on(day) and HUBEI.carry_over_on(day)


def ticks(price):
    return int(Decimal(price) / HUBEI.tick_size)


def test_real_closes_of_2016_lie_at_the_lower_limit_as_often_as_the_domain_sheet_says(real_data):
    with (real_data / "hbea" / "HBEA_daily.csv").open(encoding="utf-8", newline="") as file:
        closes = [(date.fromisoformat(row["date"]), ticks(row["close_cny_per_t"])) for row in csv.DictReader(file)]
    at_limit = below = days = 0
    for (_, previous), (day, close) in pairwise(closes):
        if date(2016, 7, 18) <= day <= date(2016, 12, 23):
            low, _high = HUBEI.band_ticks(day, previous)
            days, at_limit, below = days + 1, at_limit + (close == low), below + (close < low)
    assert (days, at_limit, below) == (101, 41, 2)


# ---------------------------------------------------------------- files


def test_hubei():
    assert (HUBEI.opening_call, HUBEI.closing_call) == (None, None)
    assert HUBEI.self_trade_rule == SelfTradePrevention.CANCEL_NEWEST
    assert HUBEI.sessions == [("09:30", "11:30"), ("13:00", "15:00")]
    assert (HUBEI.fen_per_tick, HUBEI.lot, HUBEI.opening_price) == (1, 1, "20.00")
    assert (HUBEI.resale_lag_days, HUBEI.proceeds_usable_same_day) == (1, True)


def test_generic():
    assert (GENERIC.opening_call, GENERIC.closing_call) == ("09:20", None)
    assert GENERIC.self_trade_rule == SelfTradePrevention.CANCEL_NEWEST
    assert (GENERIC.fen_per_tick, GENERIC.lot, GENERIC.opening_price) == (1, 1, None)
    assert (GENERIC.resale_lag_days, GENERIC.price_bands, GENERIC.fees) == (0, [], [])


GOOD = """
name = "mine"
title = "My market"
calendar = "XSHG"
timezone = "Asia/Shanghai"
pre_open = "09:15"
sessions = [["09:30", "11:30"], ["13:00", "15:00"]]
settle_at = "15:30"
currency = "CNY"
tick = "0.05"
lot = 1
opening_price = "20.00"
opening_call = "09:20"
closing_call = "14:57"
self_trade_prevention = "decrement"
resale_lag_days = 0
proceeds_usable_same_day = true
[[closing_prices]]
effective_from = 1970-01-01
rule = "last_trade"
[[execution_prices]]
effective_from = 1970-01-01
rule = "seller_price"
[[carry_over]]
effective_from = 1970-01-01
allowed = false
[[price_bands]]
effective_from = 1970-01-01
up = "0.10"
down = "0.10"
[[fees]]
effective_from = 1970-01-01
buyer = "0.005"
seller = "0.005"
[settlement]
bank = true
confirm_by = "17:00"
withdrawal_lag_days = 1
"""


def test_who_settles_by_a_bank():
    assert all(load_rule_set(name).settlement.bank for name in ("hubei", "national"))
    assert GENERIC.settlement.bank is False


FEE = 'buyer = "0.005"\nseller = "0.005"'
AMBIGUOUS = FEE + "\n{}\n[[fees]]\neffective_from = 1970-01-01\n" + FEE
REBATE = """[[fee_rebates]]
effective_from = 1970-01-01
[[fee_rebates.tiers]]
from_tonnes = 0
share = "1"
on = "whole"
"""


def test_a_file_of_ones_own(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(GOOD, encoding="utf-8")
    rules = load_rule_set(str(file))

    assert (rules.name, rules.fen_per_tick) == ("mine", 5)
    day = date(2026, 1, 5)
    assert [rules.fee_ppm(day, side, "taker", COVERED) for side in Side] == [5000, 5000]
    assert (rules.opening_call, rules.closing_call) == ("09:20", "14:57")
    assert (rules.settlement.bank, rules.settlement.confirm_by, rules.settlement.mode) == (True, "17:00", "gross_gross")
    assert rules.execution_price_on(day) == ExecutionPrice.SELLER_PRICE
    assert rules.self_trade_rule == SelfTradePrevention.DECREMENT
    assert not rules.carry_over_on(day)


def test_what_a_file_may_leave_out(tmp_path):
    optional = ("opening_price", "opening_call", "closing_call", "self_trade_prevention")
    lines = GOOD[: GOOD.index("[[execution_prices]]")].splitlines()
    file = tmp_path / "mine.toml"
    file.write_text("\n".join(line for line in lines if not line.startswith(optional)), encoding="utf-8")
    rules = load_rule_set(str(file))

    day = date(2026, 1, 5)
    assert (rules.opening_price, rules.opening_call, rules.closing_call) == (None, None, None)
    assert rules.self_trade_rule == SelfTradePrevention.CANCEL_NEWEST
    assert rules.execution_price_on(day) == ExecutionPrice.MAKER
    assert rules.carry_over_on(day)
    assert rules.band_ticks(day, 2000) is None
    assert [rules.fee_ppm(day, side, "taker", COVERED) for side in Side] == [0, 0]


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        pytest.param('name = "mine"', "", "missing required field `name`", id="a field is missing"),
        pytest.param("lot = 1", "lot = 1\nlots = 2", "unknown field `lots`", id="a field is unknown"),
        pytest.param('name = "mine"', "name = mine", "Invalid value", id="not TOML"),
        pytest.param("lot = 1", "lot = 0", r"`int` >= 1 - at `\$.lot`", id="a lot of nothing"),
        pytest.param("lot = 1", 'lot = "1"', r"Expected `int`, got `str` - at `\$.lot`", id="a lot in words"),
        pytest.param('"0.05"', "0.05", r"Expected `str`, got `float` - at `\$.tick`", id="a float"),
        pytest.param('"0.05"', '"0"', "the tick must be a multiple of 0.01", id="a tick of nothing"),
        pytest.param('"0.05"', '"0.015"', "the tick must be a multiple of 0.01", id="a tick finer than a fen"),
        pytest.param('"0.05"', '"-0.05"', r"at `\$.tick`", id="a negative tick"),
        pytest.param(
            '"20.00"', '"20.01"', "the opening price must be a multiple of the tick", id="opening off the tick"
        ),
        pytest.param('"seller_price"', '"buyer_price"', r"'buyer_price' - at `\$.execution_prices", id="price rule"),
        pytest.param(
            "effective_from = 1970-01-01\nallowed = false",
            "effective_from = 1970-01-01",
            r"missing required field `allowed` - at `\$.carry_over\[0\]`",
            id="carry-over without a word",
        ),
        pytest.param("allowed = false", "allowed = 0", r"at `\$.carry_over\[0\].allowed`", id="carry-over as a number"),
        pytest.param('"decrement"', '"cancel"', r"'cancel' - at `\$.self_trade_prevention", id="self-trade prevention"),
        pytest.param(
            'opening_price = "20.00"',
            'opening_price = "20.00"\nexecution_price = "maker"',
            "unknown field `execution_price`",
            id="the execution price without its date",
        ),
        pytest.param(
            'up = "0.10"',
            'up = "0.10"\nmethod = "auction"',
            r"'auction' - at `\$.price_bands\[0\].method",
            id="a band of no method",
        ),
        pytest.param('"last_trade"', '"guess"', r"'guess' - at `\$.closing_prices", id="closing rule"),
        pytest.param("resale_lag_days = 0", "resale_lag_days = 2", r"at `\$.resale_lag_days`", id="T+2"),
        pytest.param('up = "0.10"', 'up = "10 %"', r"at `\$.price_bands\[0\].up`", id="a band in per cent"),
        pytest.param('down = "0.10"', 'down = "-0.10"', r"at `\$.price_bands\[0\].down`", id="a negative band"),
        pytest.param(
            'buyer = "0.005"', 'buyer = "0.0000001"', r"at `\$.fees\[0\].buyer`", id="a fee below a millionth"
        ),
        pytest.param(
            FEE, f'{FEE}\nclasses = ["banks"]', r"'banks' - at `\$.fees\[0\].classes", id="a fee of nobody known"
        ),
        pytest.param(FEE, f'{FEE}\nmethod = "barter"', r"'barter' - at `\$.fees\[0\].method", id="a fee for no method"),
        pytest.param(
            FEE, f'{FEE}\nmaker_seller = "-0.001"', r"at `\$.fees\[0\].maker_seller", id="a fee below nothing"
        ),
        pytest.param(
            FEE, f'{FEE}\nspecies = ["credit"]', "negotiated fees are the same for all species", id="a fee of a species"
        ),
        pytest.param(FEE, AMBIGUOUS.format(""), "two fees or rebates of one date", id="two fees for all"),
        pytest.param(
            FEE,
            AMBIGUOUS.format('classes = ["individual"]') + '\nclasses = ["institution", "individual"]',
            "two fees or rebates of one date",
            id="two fees of one class",
        ),
        pytest.param(
            FEE,
            AMBIGUOUS.format('method = "block"\nclasses = ["individual"]') + '\nmethod = "block"\nspecies = ["credit"]',
            "two fees or rebates of one date",
            id="a fee of a class and one of a species",
        ),
        pytest.param(FEE, f"{FEE}\n{REBATE}\n{REBATE}", "two fees or rebates of one date", id="two rebates"),
        pytest.param(
            FEE, f"{FEE}\n{REBATE}".replace('"whole"', '"half"'), r"'half' - at `\$.fee_rebates", id="half a rebate"
        ),
        pytest.param("effective_from = 1970-01-01", "effective_from = 1", r"effective_from`", id="a date that is none"),
        pytest.param('"15:30"', '"25:30"', "hour must be in 0..23", id="a time that is none"),
        pytest.param('"15:30"', '"half past"', "Invalid isoformat string", id="a time in words"),
        pytest.param('"15:30"', '"15:30+08:00"', "times are local to Asia/Shanghai", id="a time with an offset"),
        pytest.param('"15:30"', '"14:30"', "must follow one another", id="settlement before the close"),
        pytest.param('"17:00"', '"15:30"', "must follow one another", id="no time to confirm"),
        pytest.param('"17:00"', '"17:00Z"', "times are local to Asia/Shanghai", id="a time to confirm with an offset"),
        pytest.param('confirm_by = "17:00"\n', "", "needs a time to confirm by", id="a bank that is never late"),
        pytest.param("withdrawal_lag_days = 1", "withdrawal_lag_days = 2", r"withdrawal_lag_days`", id="two days' lag"),
        pytest.param('"09:20"', '"09:10"', "must follow one another", id="an opening call before the desk opens"),
        pytest.param('"09:20"', '"09:30"', "must follow one another", id="an opening call of no length"),
        pytest.param('"14:57"', '"15:00"', "must follow one another", id="a closing call of no length"),
        pytest.param('"14:57"', '"12:59"', "must follow one another", id="a closing call before the last session"),
        pytest.param('"09:20"', '"soon"', "Invalid isoformat string", id="a call in words"),
        pytest.param('"11:30"', '"13:00"', "must follow one another", id="no break between sessions"),
        pytest.param('"11:30"', '"09:30"', "must follow one another", id="a session of no length"),
        pytest.param(
            '[["09:30", "11:30"], ["13:00", "15:00"]]', "[]", r"length >= 1 - at `\$.sessions`", id="no session"
        ),
        pytest.param("Asia/Shanghai", "Asia/Wuhan", "No time zone found with key Asia/Wuhan", id="an unknown timezone"),
        pytest.param("Asia/Shanghai", "Asia", "Is a directory", id="half a timezone"),
    ],
)
def test_a_malformed_file_is_named_with_what_is_wrong(tmp_path, good, bad, said):
    assert good in GOOD
    file = tmp_path / "mine.toml"
    file.write_text(GOOD.replace(good, bad, 1), encoding="utf-8")

    with pytest.raises(RuleSetError, match=said) as error:
        load_rule_set(str(file))
    assert "mine" in str(error.value)


def test_a_file_that_is_no_text(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xff\xfe")

    with pytest.raises(RuleSetError, match="can't decode"):
        load_rule_set(str(file))


@pytest.mark.parametrize("name", ["atlantis", "atlantis.toml", "", "../rulesets"])
def test_a_rule_set_that_is_not_there(name):
    with pytest.raises(RuleSetError, match="no rule set"):
        load_rule_set(name)
