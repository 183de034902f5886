"""Rule sets: what is in force on a date, how it is rounded, and what is said of a file that can't be used."""

import csv
from datetime import date
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest

from exchange.rules import RuleSetError, half_up, load_rule_set
from matching.pricing import ExecutionPrice

HUBEI, GENERIC = load_rule_set("hubei"), load_rule_set("generic")


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


def test_before_its_first_date_a_band_does_not_bind():
    assert HUBEI.band_ticks(date(2014, 4, 1), 2000) is None


def test_a_plain_market_has_no_band():
    assert GENERIC.band_ticks(date(2026, 1, 5), 2000) is None


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


@pytest.mark.parametrize(
    ("rules", "day", "buyer_ppm", "seller_ppm"),
    [
        pytest.param(HUBEI, "2014-03-27", 0, 0, id="before the fee notice"),
        pytest.param(HUBEI, "2014-03-28", 5000, 5000, id="0.5 % a side from its date"),
        pytest.param(HUBEI, "2026-01-05", 5000, 5000, id="today"),
        pytest.param(GENERIC, "2026-01-05", 0, 0, id="a plain market charges nothing"),
    ],
)
def test_the_fees_of_a_date(rules, day, buyer_ppm, seller_ppm):
    assert rules.fee_ppm(date.fromisoformat(day)) == (buyer_ppm, seller_ppm)


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


def test_dated_rules_need_no_order():
    backwards = HUBEI.price_bands[::-1]
    assert [band.effective_from.year for band in backwards] == [2016, 2016, 2014]
    rules = msgspec.structs.replace(HUBEI, price_bands=backwards)
    assert rules.band_ticks(date(2016, 8, 1), 2000) == (1980, 2200)


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
    assert HUBEI.execution_price_rule == ExecutionPrice.MEDIAN_OF_THREE
    assert HUBEI.sessions == [("09:30", "11:30"), ("13:00", "15:00")]
    assert (HUBEI.fen_per_tick, HUBEI.lot, HUBEI.opening_price) == (1, 1, "20.00")
    assert (HUBEI.resale_lag_days, HUBEI.proceeds_usable_same_day) == (1, True)


def test_generic():
    assert GENERIC.execution_price_rule == ExecutionPrice.MAKER
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
execution_price = "maker"
resale_lag_days = 0
proceeds_usable_same_day = true
[[closing_prices]]
effective_from = 1970-01-01
rule = "last_trade"
[[price_bands]]
effective_from = 1970-01-01
up = "0.10"
down = "0.10"
[[fees]]
effective_from = 1970-01-01
buyer = "0.005"
seller = "0.005"
"""


def test_a_file_of_ones_own(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(GOOD, encoding="utf-8")
    rules = load_rule_set(str(file))

    assert (rules.name, rules.fen_per_tick) == ("mine", 5)
    assert rules.fee_ppm(date(2026, 1, 5)) == (5000, 5000)


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
        pytest.param('"maker"', '"taker"', r"Invalid enum value 'taker' - at `\$.execution_price`", id="price rule"),
        pytest.param('"last_trade"', '"guess"', r"'guess' - at `\$.closing_prices", id="closing rule"),
        pytest.param("resale_lag_days = 0", "resale_lag_days = 2", r"at `\$.resale_lag_days`", id="T+2"),
        pytest.param('up = "0.10"', 'up = "10 %"', r"at `\$.price_bands\[0\].up`", id="a band in per cent"),
        pytest.param('down = "0.10"', 'down = "-0.10"', r"at `\$.price_bands\[0\].down`", id="a negative band"),
        pytest.param(
            'buyer = "0.005"', 'buyer = "0.0000001"', r"at `\$.fees\[0\].buyer`", id="a fee below a millionth"
        ),
        pytest.param("effective_from = 1970-01-01", "effective_from = 1", r"effective_from`", id="a date that is none"),
        pytest.param('"15:30"', '"25:30"', "hour must be in 0..23", id="a time that is none"),
        pytest.param('"15:30"', '"half past"', "Invalid isoformat string", id="a time in words"),
        pytest.param('"15:30"', '"15:30+08:00"', "times are local to Asia/Shanghai", id="a time with an offset"),
        pytest.param('"15:30"', '"14:30"', "must follow one another", id="settlement before the close"),
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
