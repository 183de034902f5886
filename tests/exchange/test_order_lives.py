"""How long an order lives: for the day, until it is cancelled, until a date; and how it comes into a new day."""

from datetime import date

import msgspec
import pytest

from exchange.instruments import fen
from exchange.rules import Fees, PriceBand, load_rule_set
from tests.exchange.market import CNY, HBEA, Market, cash, units

pytestmark = pytest.mark.kernels

GENERIC = load_rule_set("generic")
SOME_DAY = date(2014, 1, 1)


def with_fees(today, tomorrow):
    """A plain market whose fee a side is another one from 2026-01-06 on."""
    fees = [Fees(SOME_DAY, today, today), Fees(date(2026, 1, 6), tomorrow, tomorrow)]
    return msgspec.structs.replace(GENERIC, fees=fees)


def with_band(up, down):
    """A plain market with a band."""
    return msgspec.structs.replace(GENERIC, price_bands=[PriceBand(SOME_DAY, up=up, down=down)])


def overnight(market, day="2026-01-06"):
    """Close, settle and open the next day; what the opening says."""
    market.play("close\nsettle")
    return market.open_day(day)


# ---------------------------------------------------------------- until when


def test_an_order_lives_until_the_end_of_the_day_if_it_says_nothing():
    market = Market("generic", alice=cash("10000.00"))
    market.play("alice buys 10 @ 42.00\nalice buys 10 @ 41.00 gtc")

    assert market.close() == "alice loses 10 @ 42.00: end_of_day\nday 2026-01-05 closed at 42.00"
    assert market.book() == "alice buys 10 @ 41.00"


def test_an_order_good_till_cancelled_lives_for_days():
    market = Market("generic", alice=cash("10000.00"), bob=units(100))
    market.play("alice buys 100 @ 42.00 gtc\nbob sells 30 @ 42.00")
    for day in ("2026-01-06", "2026-01-07", "2026-01-08"):
        assert overnight(market, day) == f"day {day} opened"
        assert market.start() == "session 1 started"
        assert market.holding("alice", CNY).reserved == fen("2940.00")  # the 30 t of the first day are paid for

    assert market.play("bob sells 50 @ 42.00") == "bob accepted\nbob gives 50 @ 42.00 to alice"
    assert market.play("alice cancels order 1") == "alice loses 20 @ 42.00: by_request"
    assert market.holding("alice", CNY).reserved == fen("2100.00")


def test_orders_keep_their_place_overnight():
    market = Market("generic", alice=cash("10000.00"), bob=units(50), carol=units(50))
    market.play("bob sells 50 @ 42.00 show 10 gtc\ncarol sells 20 @ 42.00 gtc\nalice buys 4 @ 42.00")
    overnight(market)
    assert market.book() == "bob sells 6 of 46 @ 42.00\ncarol sells 20 @ 42.00"
    market.start()

    assert market.play("alice buys 20 @ 42.00") == (
        "alice accepted\nalice takes 6 @ 42.00 from bob\nbob shows 10 of 40 @ 42.00\nalice takes 14 @ 42.00 from carol"
    )


def test_a_cancel_is_taken_before_trading_starts():
    market = Market("generic", alice=cash("10000.00"))
    market.play("alice buys 10 @ 42.00 gtc\nalice buys 10 @ 41.00 gtc")
    overnight(market)

    assert market.play("alice cancels order 2\nalice cancels all") == (
        "alice loses 10 @ 41.00: by_request\nalice loses 10 @ 42.00: by_request\n1 cancelled"
    )


def test_an_order_lives_to_the_end_of_its_last_day():
    market = Market("generic", alice=cash("10000.00"), bob=units(100))
    market.play("alice buys 10 @ 42.00 until 2026-01-06\nalice buys 10 @ 41.00 until 2026-01-05")
    assert market.close() == "alice loses 10 @ 41.00: end_of_day\nday 2026-01-05 closed at 42.00"
    market.play("settle\nopen 2026-01-06\nstart")

    assert market.play("bob sells 4 @ 42.00") == "bob accepted\nbob gives 4 @ 42.00 to alice"
    assert market.close() == "alice loses 6 @ 42.00: end_of_day\nday 2026-01-06 closed at 42.00"
    assert market.holding("alice", CNY).reserved == fen("168.00")


def test_orders_expire_the_oldest_first_whichever_their_side_and_kind():
    market = Market("generic", alice=cash("10000.00"), bob=units(100))
    market.play("""
        bob sells 10 @ 45.00 stop 41.00
        alice buys 10 @ 41.00 until 2026-01-05
        bob sells 10 @ 44.00 gtc
        bob sells 10 @ 43.00 show 2
        alice buys 10 @ 41.50
    """)

    assert market.close() == (
        "bob loses 10 @ 45.00: end_of_day\n"
        "alice loses 10 @ 41.00: end_of_day\n"
        "bob loses 10 @ 43.00: end_of_day\n"
        "alice loses 10 @ 41.50: end_of_day\n"
        "day 2026-01-05 closed at 42.00"
    )


def test_an_order_does_not_outlive_a_last_day_on_which_nobody_trades():
    market = Market("generic", day="2026-01-09", alice=cash("10000.00"))
    market.play("alice buys 10 @ 42.00 until 2026-01-10")  # a Saturday

    said = overnight(market, "2026-01-12")
    assert said == "alice loses 10 @ 42.00: end_of_day\nday 2026-01-12 opened"


def test_hubei_let_orders_stay_until_2016_and_then_for_the_day_only():
    market = Market("hubei", day="2016-12-23", alice=cash("10000.00"))
    assert market.play("alice buys 10 @ 42.00 gtc") == "alice accepted"
    assert overnight(market, "2016-12-26") == "day 2016-12-26 opened"
    market.start()

    assert market.play("alice buys 10 @ 42.00 gtc") == "alice refused: time_in_force_not_allowed"
    assert market.play("alice buys 10 @ 42.00 until 2016-12-26") == "alice refused: time_in_force_not_allowed"
    assert market.book() == "alice buys 10 @ 42.00"  # what was taken under the old rule


# ---------------------------------------------------------------- into a day with another band


def test_an_order_outside_the_new_band_is_cancelled_as_the_day_opens():
    market = Market(with_band("0.10", "0.10"), opening="40.00", alice=cash("10000.00"), bob=units(300))
    assert market.band() == ("36.00", "44.00")
    market.play("""
        alice buys 10 @ 39.59 gtc
        alice buys 10 @ 39.60 gtc
        bob sells 10 @ 44.00 gtc
        bob sells 100 @ 44.00
        alice buys 110 @ 44.00
        bob sells 5 @ 44.00 gtc
    """)
    market.play("close\nsettle")  # at 44.00
    before = market.holding("alice", CNY).available

    assert market.open_day("2026-01-06") == "alice loses 10 @ 39.59: price_outside_band\nday 2026-01-06 opened"
    assert market.band() == ("39.60", "48.40")
    assert market.book() == "alice buys 10 @ 39.60\nbob sells 5 @ 44.00"
    assert market.holding("alice", CNY).available == before + fen("395.90")


def test_of_a_waiting_order_both_prices_must_lie_in_the_new_band():
    market = Market(with_band("0.10", "0.10"), opening="40.00", alice=cash("10000.00"), bob=units(100))
    market.play("""
        bob sells 10 @ 36.89 stop 38.00 gtc
        bob sells 11 @ 37.00 stop 36.89 gtc
        bob sells 12 @ 36.90 stop 36.90 gtc
        bob sells 1 @ 41.00
        alice buys 1 @ 41.00
    """)

    assert overnight(market) == (
        "bob loses 10 @ 36.89: price_outside_band\nbob loses 11 @ 37.00: price_outside_band\nday 2026-01-06 opened"
    )
    assert market.band() == ("36.90", "45.10")
    assert market.book() == "bob sells 12 @ 36.90 stop 36.90"
    assert market.holding("bob", HBEA).reserved == 12


def test_the_band_of_2016_cuts_off_what_the_one_before_it_let_in():
    market = Market("hubei", opening="20.00", day="2016-07-15", alice=cash("10000.00"))
    market.play("alice buys 10 @ 19.79 gtc\nalice buys 10 @ 19.80 gtc")

    assert overnight(market, "2016-07-18") == "alice loses 10 @ 19.79: price_outside_band\nday 2016-07-18 opened"
    assert market.band() == ("19.80", "22.00")
    assert market.holding("alice", CNY).reserved == fen("198.99")


# ---------------------------------------------------------------- into a day with another fee


def test_what_a_higher_fee_needs_is_reserved_as_the_day_opens():
    market = Market(with_fees("0", "0.01"), alice=cash("10000.00"))
    market.play("alice buys 100 @ 42.00 gtc")
    assert market.holding("alice", CNY).reserved == fen("4200.00")

    assert overnight(market) == "day 2026-01-06 opened"
    assert market.holding("alice", CNY).reserved == fen("4242.00")


def test_what_a_lower_fee_does_not_need_is_given_back_as_the_day_opens():
    market = Market(with_fees("0.01", "0.005"), alice=cash("10000.00"))
    market.play("alice buys 100 @ 42.00 stop 43.00 gtc")
    assert market.money("alice") == "5758.00"

    overnight(market)
    assert market.money("alice") == "5779.00"


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        pytest.param("4241.99", "alice loses 100 @ 42.00: insufficient_cash\nday 2026-01-06 opened", id="a fen less"),
        pytest.param("4242.00", "day 2026-01-06 opened", id="just enough"),
    ],
)
def test_an_order_that_its_owner_can_not_pay_for_any_more_is_cancelled(amount, said):
    market = Market(with_fees("0", "0.01"), alice=cash(amount))
    market.play("alice buys 100 @ 42.00 gtc")

    assert overnight(market) == said
    if "loses" in said:
        assert market.money("alice") == amount


def test_the_oldest_order_has_the_first_claim_on_what_there_is():
    market = Market(with_fees("0", "0.01"), alice=cash("4221.00"))
    market.play("alice buys 50 @ 42.00 gtc\nalice buys 50 @ 42.00 gtc")

    # 21.00 more are needed for each, and 21.00 are there.
    assert overnight(market) == "alice loses 50 @ 42.00: insufficient_cash\nday 2026-01-06 opened"
    assert market.play("alice cancels order 1") == "alice loses 50 @ 42.00: by_request"
    assert market.money("alice") == "4221.00"


def test_what_an_order_traded_yesterday_is_not_charged_again():
    market = Market(with_fees("0.005", "0.01"), alice=cash("10000.00"), bob=units(100))
    market.play("alice buys 3 @ 41.00 gtc\nbob sells 1 @ 41.00")
    assert market.holding("alice", CNY).reserved == fen("41.21") + fen("82.41")  # 0.62 in all, 0.21 of it now
    overnight(market)
    assert market.holding("alice", CNY).reserved == fen("82.82")
    market.play("start\nbob sells 2 @ 41.00\nclose\nsettle")

    assert market.holding("alice", CNY).settled == fen("10000.00") - fen("41.21") - fen("82.82")


def test_a_sellers_order_needs_no_cash_whatever_the_fee():
    market = Market(with_fees("0", "0.01"), bob=units(100))
    market.play("bob sells 100 @ 42.00 gtc")

    assert overnight(market) == "day 2026-01-06 opened"
    assert market.holding("bob", HBEA).reserved == 100


def test_the_band_speaks_before_the_fee():
    rules = msgspec.structs.replace(with_fees("0", "0.01"), price_bands=with_band("0.10", "0.01").price_bands)
    market = Market(rules, opening="40.00", alice=cash("39.90"), bob=units(10), carol=cash("100.00"))
    market.play("alice buys 1 @ 39.90 gtc\nbob sells 1 @ 41.00\ncarol buys 1 @ 41.00")

    assert overnight(market) == "alice loses 1 @ 39.90: price_outside_band\nday 2026-01-06 opened"
