"""A day at the exchange, as a market operator would tell it."""

from dataclasses import replace
from datetime import date

import msgspec
import pytest

from exchange.commands import TransferUnits
from exchange.events import DaySettled
from exchange.instruments import fen, money
from exchange.rules import Fees, load_rule_set
from exchange.transition.market import HOUSE
from registry.accounts import ParticipantClass
from registry.holdings import CASH
from settlement.fees import TURNOVER_MAX
from tests.exchange.market import CNY, HBEA, Market, Stake, cash, nothing, units

pytestmark = pytest.mark.kernels


# ---------------------------------------------------------------- who trades first


def test_a_better_price_trades_before_an_older_order():
    market = Market("generic", alice=units(100), bob=units(100), carol=cash("10000.00"))
    market.play("alice sells 100 @ 42.00")
    market.play("bob sells 100 @ 41.00")

    assert market.play("carol buys 100 @ 42.00") == "carol accepted\ncarol takes 100 @ 41.00 from bob"


def test_a_better_bid_trades_before_an_older_one():
    market = Market("generic", alice=cash("10000.00"), bob=cash("10000.00"), carol=units(100))
    market.play("alice buys 100 @ 41.00")
    market.play("bob buys 100 @ 42.00")

    assert market.play("carol sells 100 @ 41.00") == "carol accepted\ncarol gives 100 @ 42.00 to bob"


def test_at_one_price_the_older_order_trades_first():
    market = Market(alice=units(100), bob=units(100), carol=cash("10000.00"))
    market.play("alice sells 60 @ 42.00")
    market.play("bob sells 100 @ 42.00")

    assert market.play("carol buys 100 @ 42.00") == (
        "carol accepted\ncarol takes 60 @ 42.00 from alice\ncarol takes 40 @ 42.00 from bob"
    )


def test_orders_that_do_not_meet_rest():
    market = Market(alice=cash("10000.00"), bob=units(100))
    market.play("alice buys 100 @ 41.99")

    assert market.play("bob sells 100 @ 42.00") == "bob accepted"
    assert market.holding("alice", CNY).reserved == fen("4219.99") + 1  # 4199.00 and a fee of 20.995, half-up
    assert market.holding("bob", HBEA).reserved == 100


# ---------------------------------------------------------------- at which price


@pytest.mark.parametrize(
    ("ask", "bid", "price"),
    [
        pytest.param("41.00", "43.00", "42.00", id="the last price lies between: it is the price"),
        pytest.param("42.50", "43.00", "42.50", id="the last price is lower than both: the ask"),
        pytest.param("41.00", "41.50", "41.50", id="the last price is higher than both: the bid"),
        pytest.param("42.00", "42.00", "42.00", id="all three agree"),
    ],
)
@pytest.mark.parametrize("first", ["ask", "bid"])
def test_hubei_trades_at_the_median_of_bid_ask_and_last_price_whoever_came_first(ask, bid, price, first):
    market = Market("hubei", opening="42.00", alice=cash("10000.00"), bob=units(100))
    orders = [f"bob sells 100 @ {ask}", f"alice buys 100 @ {bid}"]
    said = market.play("\n".join(orders if first == "ask" else orders[::-1]))

    assert f"100 @ {price}" in said


def test_the_last_price_of_the_median_moves_with_every_trade():
    market = Market("hubei", opening="42.00", alice=cash("100000.00"), bob=units(300))
    market.play("bob sells 100 @ 43.00")
    assert "100 @ 43.00" in market.play("alice buys 100 @ 44.00")

    market.play("bob sells 100 @ 41.00")
    assert "100 @ 43.00" in market.play("alice buys 100 @ 44.00")


@pytest.mark.parametrize(
    ("story", "price"),
    [
        pytest.param("bob sells 100 @ 41.00\nalice buys 100 @ 43.00", "41.00", id="the ask came first"),
        pytest.param("alice buys 100 @ 43.00\nbob sells 100 @ 41.00", "43.00", id="the bid came first"),
    ],
)
def test_a_plain_market_trades_at_the_makers_price(story, price):
    market = Market("generic", alice=cash("10000.00"), bob=units(100))

    assert f"100 @ {price}" in market.play(story)


@pytest.mark.parametrize(
    ("day", "price"),
    [
        pytest.param("2014-04-02", "41.00", id="at first the lower of two limits"),
        pytest.param("2016-12-23", "41.60", id="until the end of 2016"),
        pytest.param("2016-12-26", "42.00", id="then the median"),
        pytest.param("2026-01-05", "42.00", id="to this day"),
    ],
)
@pytest.mark.parametrize("first", ["ask", "bid"])
def test_hubei_trades_by_the_rule_of_the_day(day, price, first):
    ask = "41.60" if price == "41.60" else "41.00"  # the band of 2016 ends 1 % below 42.00
    market = Market("hubei", day=day, opening="42.00", alice=cash("10000.00"), bob=units(100))
    orders = [f"bob sells 100 @ {ask}", "alice buys 100 @ 43.00"]
    said = market.play("\n".join(orders if first == "ask" else orders[::-1]))

    assert f"100 @ {price}" in said
    # The limit was 43.00: 4300.00 and 21.50.
    paid = 100 * fen(price) + fen(price) // 2
    assert market.holding("alice", CNY).reserved == paid
    assert market.holding("alice", CNY).available == fen("10000.00") - paid
    assert market.holding("bob", CNY).available == 100 * fen(price) - fen(price) // 2


def test_the_rule_of_2014_gives_each_buyer_what_lies_between_his_limit_and_the_sellers():
    market = Market("hubei", day="2014-04-02", opening=None, alice=cash("1000.00"), bob=units(30), carol=units(30))
    assert market.band() == ("18.00", "22.00")  # about the base price of that day
    market.play("alice buys 10 @ 22.00\nalice buys 10 @ 21.00")

    assert market.play("bob sells 15 @ 19.00") == (
        "bob accepted\nbob gives 10 @ 19.00 to alice\nbob gives 5 @ 19.00 to alice"
    )
    assert market.holding("alice", CNY).reserved == fen("285.00") + fen("105.00") + fen("1.95")  # 0.95 + 0.475 + 0.525


# ---------------------------------------------------------------- how much


def test_what_is_not_filled_rests_and_is_filled_later():
    market = Market(alice=cash("10000.00"), bob=units(100), carol=units(100))
    market.play("alice buys 100 @ 42.00")

    assert market.play("bob sells 30 @ 42.00") == "bob accepted\nbob gives 30 @ 42.00 to alice"
    assert market.play("carol sells 100 @ 42.00") == "carol accepted\ncarol gives 70 @ 42.00 to alice"
    assert market.holding("carol", HBEA).reserved == 100  # 70 sold, 30 in the book
    assert market.play("bob sells 1 @ 42.00") == "bob accepted"


def test_what_an_immediate_order_does_not_get_at_once_is_cancelled():
    market = Market(alice=cash("10000.00"), bob=units(60))
    market.play("bob sells 60 @ 42.00")

    assert market.play("alice buys 100 @ 42.00 ioc") == (
        "alice accepted\nalice takes 60 @ 42.00 from bob\nalice loses 40 @ 42.00: immediate_or_cancel"
    )
    assert market.holding("alice", CNY).reserved == fen("2532.60")  # 60 t and their fee, nothing for the rest


def test_an_immediate_order_that_meets_nobody_leaves_no_trace():
    market = Market(alice=cash("10000.00"))

    assert market.play("alice buys 100 @ 42.00 ioc") == "alice accepted\nalice loses 100 @ 42.00: immediate_or_cancel"
    assert market.money("alice") == "10000.00"


def test_a_cancelled_order_trades_no_more_and_its_reservation_comes_back():
    market = Market(alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00")
    market.play("alice buys 40 @ 42.00")

    assert market.play("bob cancels order 1") == "bob loses 60 @ 42.00: by_request"
    assert market.holding("bob", HBEA).available == 60
    assert market.play("alice buys 10 @ 42.00") == "alice accepted"
    assert market.play("bob cancels order 1") == "bob's cancel refused: unknown_order"


def test_nobody_cancels_another_ones_order():
    market = Market(alice=nothing, bob=units(100))
    market.play("bob sells 100 @ 42.00")

    assert market.play("alice cancels order 1") == "alice's cancel refused: unknown_order"


# ---------------------------------------------------------------- fees


@pytest.mark.parametrize(
    ("price", "tonnes", "fee"),
    [
        pytest.param("42.00", 100, "21.00", id="half a per cent"),
        pytest.param("41.00", 1, "0.21", id="20.5 fen are 21"),
        pytest.param("40.98", 1, "0.20", id="20.49 fen are 20"),
        pytest.param("39.00", 1, "0.20", id="19.5 fen are 20"),
    ],
)
def test_each_side_pays_half_a_per_cent_rounded_half_up(price, tonnes, fee):
    market = Market(alice=cash("10000.00"), bob=units(100))
    market.play(f"bob sells {tonnes} @ {price}\nalice buys {tonnes} @ {price}")

    (trade,) = market.outcome.trades
    assert (trade.buyer_fee, trade.seller_fee) == (fen(fee), fen(fee))
    assert market.fees_earned() == money(2 * fen(fee))


@pytest.mark.parametrize("side", ["maker", "taker"])
def test_the_fees_of_partial_fills_add_up_to_the_fee_of_the_whole(side):
    market = Market(alice=cash("10000.00"), bob=units(7))
    small, whole = "bob sells 1 @ 41.00\n" * 7, "alice buys 7 @ 41.00"
    market.play(small + whole if side == "taker" else f"{whole}\n{small}")

    trades = market.exchange.trades_today()
    assert trades["seller_fee"].tolist() == [21] * 7  # seven orders of 20.5 fen
    assert trades["buyer_fee"].tolist() == [21, 20, 21, 20, 21, 20, 21]  # one order
    assert trades["buyer_fee"].sum() == 144  # 0.5 % of 287.00 are 143.5 fen


def test_a_sale_far_above_its_limit_pays_the_fee_of_what_it_brought():
    # 4,200 times the turnover of the limit: in millionths of a fen the fee would not fit into 63 bits.
    rules = msgspec.structs.replace(load_rule_set("generic"), fees=load_rule_set("hubei").fees)
    market = Market(rules, alice=Stake(fen=1 << 59), bob=units(1 << 42))
    tonnes = TURNOVER_MAX // 4200
    market.submit(*[market.command(f"alice buys {tonnes} @ 42.00")] * 450)
    market.play(f"bob sells {450 * tonnes} @ 0.01")

    trades = market.exchange.trades_today()
    assert trades["seller_fee"].sum() == (450 * tonnes * 4200 * 5 + 500) // 1000
    assert trades["seller_fee"].min() > 0


INDIVIDUAL = ParticipantClass.INDIVIDUAL
# Takers pay 1 %, makers 0.1 %; institutions 0.5 % and 0.2 %.
BY_CLASS = [
    Fees(date(2026, 1, 1), "0.01", "0.01", maker_buyer="0.001", maker_seller="0.001"),
    Fees(date(2026, 1, 1), "0.005", "0.005", maker_buyer="0.002", maker_seller="0.002", classes=["institution"]),
]


def by_class(**people):
    """A plain market where individuals and institutions pay different fees, makers and takers too."""
    rules = msgspec.structs.replace(load_rule_set("generic"), fees=BY_CLASS)
    return Market(rules, **people)


@pytest.mark.parametrize(
    ("story", "buyer_fee", "seller_fee"),
    [
        pytest.param("bob sells 10 @ 40.00\nfrida buys 10 @ 40.00", "4.00", "0.80", id="an individual takes"),
        pytest.param("frida buys 10 @ 40.00\nbob sells 10 @ 40.00", "0.40", "2.00", id="an institution takes"),
        pytest.param(
            "call\nfrida buys 10 @ 40.00\nbob sells 10 @ 40.00\nstart", "0.40", "0.80", id="in an auction nobody takes"
        ),
    ],
)
def test_who_takes_pays_the_takers_fee_of_its_class_and_who_waited_the_makers(story, buyer_fee, seller_fee):
    market = by_class(frida=replace(cash("500.00"), participant_class=INDIVIDUAL), bob=units(10))
    market.play(story)

    (trade,) = market.exchange.trades_today()
    assert (money(int(trade.buyer_fee)), money(int(trade.seller_fee))) == (buyer_fee, seller_fee)


def test_a_buyer_reserves_the_higher_of_its_fees_and_gets_back_what_a_maker_does_not_pay():
    market = by_class(alice=cash("1000.00"), bob=units(10))
    market.play("alice buys 10 @ 40.00")
    assert market.holding("alice", CNY).reserved == fen("402.00")

    market.play("bob sells 4 @ 40.00")
    assert market.holding("alice", CNY).reserved == fen("160.32") + fen("241.20")


def test_an_order_pays_the_exact_sum_of_its_fees_as_taker_and_as_maker():
    market = by_class(alice=cash("1000.00"), bob=units(10))
    market.play("bob sells 1 @ 41.99\nalice buys 3 @ 41.99\nbob sells 1 @ 41.99\nbob sells 1 @ 41.99")

    # 20.995 fen as taker, twice 8.398 fen as maker: 37.791 fen.
    assert market.exchange.trades_today()["buyer_fee"].tolist() == [21, 8, 9]


def test_who_opens_an_account_in_the_middle_of_a_day_pays_the_fees_of_the_day():
    market = by_class(bob=units(10))
    market.join("frida", replace(cash("500.00"), participant_class=INDIVIDUAL))
    market.play("bob sells 10 @ 40.00\nfrida buys 10 @ 40.00")

    assert market.exchange.trades_today()["buyer_fee"].tolist() == [fen("4.00")]


def test_a_plain_market_charges_nothing():
    market = Market("generic", alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00")

    assert market.money("bob") == "4200.00"
    assert market.fees_earned() == "0.00"


# ---------------------------------------------------------------- only what one has


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        pytest.param("4221.00", "alice accepted", id="the price and the fee"),
        pytest.param("4220.99", "alice refused: insufficient_cash", id="a fen less"),
        pytest.param("4200.00", "alice refused: insufficient_cash", id="the price without the fee"),
    ],
)
def test_a_buyer_must_have_the_price_and_the_fee_beforehand(amount, said):
    market = Market(alice=cash(amount))

    assert market.play("alice buys 100 @ 42.00") == said


def test_a_seller_must_have_the_units_beforehand():
    market = Market(bob=units(100))

    assert market.play("bob sells 101 @ 42.00") == "bob refused: insufficient_units"
    assert market.play("bob sells 100 @ 42.00") == "bob accepted"
    assert market.play("bob sells 1 @ 42.00") == "bob refused: insufficient_units"


def test_units_on_the_registry_side_are_not_for_sale():
    market = Market(bob=units(100))
    market.must(TransferUnits("bob", HBEA, 40, to_trading=False))

    assert market.play("bob sells 61 @ 42.00") == "bob refused: insufficient_units"
    assert market.play("bob sells 60 @ 42.00") == "bob accepted"


# ---------------------------------------------------------------- when it may be used again


def test_hubei_units_may_be_resold_from_the_next_day_on():
    market = Market("hubei", alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00")
    assert market.play("alice sells 100 @ 42.00") == "alice refused: insufficient_units"

    market.play("close\nsettle")
    assert market.holding("alice", HBEA).incoming == 100
    market.play("open 2026-01-06\nstart")

    assert market.play("alice sells 100 @ 42.00") == "alice accepted"


def test_a_plain_market_lets_units_be_resold_at_once():
    market = Market("generic", alice=cash("10000.00"), bob=units(100), carol=cash("10000.00"))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nalice sells 100 @ 43.00\ncarol buys 100 @ 43.00")
    market.play("close\nsettle")

    assert market.serials("carol") == [(1, 100)]
    assert market.money("alice") == "10100.00"


def test_proceeds_buy_again_the_same_day():
    market = Market(alice=cash("10000.00"), bob=units(100), carol=units(50))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00")
    assert market.money("bob") == "4179.00"

    market.play("carol sells 50 @ 42.00")
    assert market.play("bob buys 50 @ 42.00") == "bob accepted\nbob takes 50 @ 42.00 from carol"


def test_proceeds_are_withdrawn_only_after_settlement():
    market = Market(alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00")

    assert market.withdraw("bob", "0.01") == "refused: insufficient_cash"
    market.play("close")
    assert market.withdraw("bob", "0.01") == "refused: insufficient_cash"
    market.play("settle")
    assert market.withdraw("bob", "4179.00") == "CashWithdrawn"


def test_bought_units_go_to_the_registry_side_only_after_settlement():
    market = Market("generic", alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00")
    home = TransferUnits("alice", HBEA, 100, to_trading=False)

    assert market.do(home) == "refused: insufficient_units"
    market.play("close\nsettle")
    assert market.do(home) == "UnitsTransferred"


# ---------------------------------------------------------------- the hours of the day


def test_orders_keep_their_place_over_lunch():
    market = Market(alice=units(10), bob=units(10), carol=cash("10000.00"))
    market.play("alice sells 10 @ 42.00\nbob sells 10 @ 42.00")

    assert market.take_break() == "session 1 broken"
    assert market.play("carol buys 10 @ 42.00") == "carol refused: market_closed"
    assert market.start() == "session 2 started"
    assert market.play("carol buys 10 @ 42.00") == "carol accepted\ncarol takes 10 @ 42.00 from alice"


def test_an_order_may_be_cancelled_over_lunch():
    market = Market(alice=units(10))
    market.play("alice sells 10 @ 42.00\nbreak")

    assert market.play("alice cancels order 1") == "alice loses 10 @ 42.00: by_request"


def test_orders_expire_at_the_close_and_their_reservations_come_back():
    market = Market(alice=cash("10000.00"), bob=units(100))
    market.play("alice buys 100 @ 41.00\nbob sells 30 @ 42.00\nbob sells 20 @ 43.00")

    assert market.close() == (
        "alice loses 100 @ 41.00: end_of_day\n"
        "bob loses 30 @ 42.00: end_of_day\n"
        "bob loses 20 @ 43.00: end_of_day\n"
        "day 2026-01-05 closed at 42.00"
    )
    assert market.money("alice") == "10000.00"
    assert market.holding("bob", HBEA).available == 100
    market.play("settle\nopen 2026-01-06\nstart")
    assert market.play("alice buys 50 @ 43.00") == "alice accepted"


def test_the_other_half_of_an_order_expires():
    market = Market(alice=cash("10000.00"), bob=units(40))
    market.play("alice buys 100 @ 42.00\nbob sells 40 @ 42.00")

    assert market.close().startswith("alice loses 60 @ 42.00: end_of_day")
    assert market.holding("alice", CNY).reserved == fen("1688.40")  # what settlement will take
    market.settle()
    assert market.holding("alice", CNY).reserved == 0


# ---------------------------------------------------------------- the close and the next day's band


@pytest.mark.parametrize(
    ("trades", "close"),
    [
        pytest.param([(100, "42.00"), (300, "42.04")], "42.03", id="weighted by tonnes"),
        pytest.param([(100, "42.00"), (100, "42.01")], "42.01", id="half a tick is rounded up"),
        pytest.param([(101, "42.00"), (100, "42.01")], "42.00", id="less than half a tick down"),
        pytest.param([(1, "42.00")] + [(1, "43.00")] * 6, "42.86", id="of all trades, not the last five"),
    ],
)
def test_the_day_closes_at_its_volume_weighted_average(trades, close):
    market = Market(alice=cash("1000000.00"), bob=units(1000))
    for tonnes, price in trades:
        market.play(f"bob sells {tonnes} @ {price}\nalice buys {tonnes} @ {price}")

    assert market.close() == f"day 2026-01-05 closed at {close}"


@pytest.mark.parametrize(
    ("trades", "close"),
    [
        pytest.param([], "42.00", id="no trade: the close before"),
        pytest.param([(100, "42.00")], "42.00", id="one"),
        pytest.param([(1, "42.00"), (3, "42.04")], "42.03", id="fewer than five: all of them"),
        pytest.param([(100, "43.00"), *[(1, f"42.0{cent}") for cent in range(5)]], "42.02", id="the last five"),
        pytest.param([(100, "43.00"), (3, "42.00"), *[(1, "42.04")] * 4], "42.02", id="weighted by tonnes: 42.0229"),
    ],
)
def test_until_2023_hubei_closed_at_the_average_of_its_last_five_trades(trades, close):
    market = Market("hubei", day="2023-10-17", alice=cash("1000000.00"), bob=units(1000))
    for tonnes, price in trades:
        market.play(f"bob sells {tonnes} @ {price}\nalice buys {tonnes} @ {price}")

    assert market.close() == f"day 2023-10-17 closed at {close}"


def test_the_closing_rule_changes_with_the_date():
    market = Market("hubei", day="2023-10-17", alice=cash("1000000.00"), bob=units(1000))
    trades = "".join(f"bob sells {t} @ {p}\nalice buys {t} @ {p}\n" for t, p in [(95, "43.00"), *[(1, "42.00")] * 5])
    assert market.play(f"{trades}close").endswith("closed at 42.00")
    market.play("settle\nopen 2023-10-18\nstart")

    assert market.play(f"{trades}close").endswith("closed at 42.95")


def test_before_anything_was_published_the_last_trade_is_the_close():
    market = Market("hubei", day="2014-04-02", alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 50 @ 43.00\nalice buys 50 @ 43.00\nbob sells 1 @ 41.00\nalice buys 1 @ 41.00")

    assert market.close() == "day 2014-04-02 closed at 41.00"


def test_a_day_without_a_trade_keeps_the_close_before():
    market = Market(opening="42.00", alice=cash("10000.00"))
    market.play("alice buys 100 @ 43.00")
    market.next_day("2026-01-06")

    assert market.close() == "day 2026-01-06 closed at 42.00"


def test_a_plain_market_closes_at_its_last_trade():
    market = Market("generic", alice=cash("100000.00"), bob=units(200))
    market.play("bob sells 100 @ 45.00\nalice buys 100 @ 45.00\nbob sells 1 @ 39.00\nalice buys 1 @ 39.00")

    assert market.close() == "day 2026-01-05 closed at 39.00"


def test_the_next_days_band_is_ten_per_cent_of_the_close_rounded_half_up():
    market = Market(opening="42.00", alice=cash("10000.00"), bob=units(100))
    assert market.band() == ("37.80", "46.20")
    market.play("bob sells 100 @ 42.05\nalice buys 100 @ 42.05")
    market.next_day("2026-01-06")

    assert market.band() == ("37.85", "46.26")  # of 37.845 and 46.255


def test_the_band_of_2016_lets_the_price_fall_by_one_per_cent_a_day():
    market = Market("hubei", day="2016-07-15", opening="20.00", alice=cash("10000.00"), bob=units(100))
    assert market.band() == ("18.00", "22.00")
    market.next_day("2016-07-18")
    assert market.band() == ("19.80", "22.00")
    assert market.play("bob sells 1 @ 19.79\nbob sells 1 @ 19.80\nalice buys 1 @ 19.80").splitlines()[::2] == [
        "bob refused: price_outside_band",
        "alice accepted",
    ]
    market.next_day("2016-07-19")
    assert market.band() == ("19.60", "21.78")


@pytest.mark.parametrize(
    ("order", "said"),
    [
        pytest.param("alice buys 1 @ 46.20", "alice accepted", id="the highest price"),
        pytest.param("alice buys 1 @ 46.21", "alice refused: price_outside_band", id="a tick above"),
        pytest.param("alice buys 1 @ 37.80", "alice accepted", id="the lowest price"),
        pytest.param("alice buys 1 @ 37.79", "alice refused: price_outside_band", id="a tick below"),
        pytest.param("bob sells 1 @ 46.20", "bob accepted", id="the highest price to sell"),
        pytest.param("bob sells 1 @ 46.21", "bob refused: price_outside_band", id="a tick above to sell"),
        pytest.param("bob sells 1 @ 37.80", "bob accepted", id="the lowest price to sell"),
        pytest.param("bob sells 1 @ 37.79", "bob refused: price_outside_band", id="a tick below to sell"),
    ],
)
def test_the_edges_of_the_band_are_inside_it(order, said):
    market = Market(opening="42.00", alice=cash("10000.00"), bob=units(100))

    assert market.play(order) == said


# ---------------------------------------------------------------- settlement


def test_settlement_delivers_the_lowest_serial_numbers_first():
    market = Market(alice=cash("10000.00"), bob=units(100), carol=units(50))
    market.play("bob sells 60 @ 42.00\nalice buys 60 @ 42.00\ncarol sells 10 @ 42.00\nalice buys 10 @ 42.00")
    assert market.serials("alice") == []  # title moves at the end of the day
    market.close()

    assert market.settle() == "day 2026-01-05 settled, 2 trades"
    assert market.serials("alice") == [(1, 60), (101, 110)]
    assert market.serials("bob") == [(61, 100)]
    assert market.serials("carol") == [(111, 150)]


def test_settlement_writes_each_trade_into_the_title_of_what_it_delivers():
    market = Market(alice=cash("10000.00"), bob=units(100), carol=units(50) + cash("10000.00"))
    market.play("bob sells 60 @ 42.00\nalice buys 60 @ 42.00")
    market.next_day("2026-01-06")
    market.play("carol sells 1 @ 42.00\nalice buys 1 @ 42.00\nalice sells 20 @ 42.00\ncarol buys 20 @ 42.00")
    market.next_day("2026-01-07")

    assert market.history(1) == [
        "issued to bob",
        "traded from bob to alice in trade 1",
        "traded from alice to carol in trade 3",
    ]
    assert market.history(21) == ["issued to bob", "traded from bob to alice in trade 1"]
    assert market.history(61) == ["issued to bob"]
    assert market.history(101) == ["issued to carol", "traded from carol to alice in trade 2"]


def test_title_moves_with_the_command_that_settles_and_at_its_time():
    market = Market(alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 60 @ 42.00\nalice buys 60 @ 42.00\nclose\nsettle")

    _, delivered = market.exchange.serials.history(market.asset(HBEA), 60)
    assert [delivered.sequence] == market.receipts
    assert delivered.now_ns == market.now_ns


def test_settlement_delivers_against_payment():
    market = Market(alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00")
    before = {name: market.holding(name, CNY).settled for name in ("alice", "bob", HOUSE)}
    assert before == {"alice": fen("10000.00"), "bob": 0, HOUSE: 0}  # nothing is settled yet
    market.play("close\nsettle")

    assert market.holding("alice", CNY).settled == fen("5779.00")
    assert market.holding("bob", CNY).settled == fen("4179.00")
    assert market.holding(HOUSE, CNY).settled == fen("42.00")
    assert (market.holding("alice", HBEA).settled, market.holding("bob", HBEA).settled) == (100, 0)
    report = market.event.report
    assert (report.trades, money(report.cash[CASH].moved), money(report.fees[CASH])) == (1, "4221.00", "42.00")
    assert {unit: amounts.moved for unit, amounts in report.units.items()} == {market.asset(HBEA): 100}


def test_the_days_statements_tell_every_movement_and_add_up():
    market = Market(alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00")
    market.deposit("alice", "5.00")
    market.play("close\nsettle")

    assert isinstance(market.event, DaySettled)
    of = {statement.account: statement for statement in market.statements()}
    assert len(of) == market.event.accounts
    for statement in of.values():
        statement.check()
    alice, hbea = of[market.number("alice")], market.asset(HBEA)
    assert [(entry.cause, entry.asset, entry.amount) for entry in alice.entries] == [
        ("deposit", CASH, fen("10000.00")),
        ("deposit", CASH, fen("5.00")),
        ("purchase", hbea, 100),
        ("purchase", CASH, -fen("4200.00")),
        ("fee", CASH, -fen("21.00")),
    ]
    assert (alice.opening, alice.closing) == ({}, {CASH: fen("5784.00"), hbea: 100})
    house = of[market.number(HOUSE)]
    assert [(entry.cause, entry.amount) for entry in house.entries] == [("fee_income", fen("42.00"))]


def test_a_statement_opens_where_the_last_one_closed():
    market = Market(alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose\nsettle")
    first = {statement.account: statement for statement in market.statements()}
    market.play("open 2026-01-06\nstart\nalice sells 40 @ 42.00\nbob buys 40 @ 42.00\nclose\nsettle")

    for statement in market.statements():
        assert statement.opening == first[statement.account].closing


def test_a_day_without_a_trade_settles_too():
    market = Market(alice=cash("10000.00"))
    market.close()

    assert market.settle() == "day 2026-01-05 settled, 0 trades"
