"""What an order may say besides side, price and quantity: market, at once or never, only as maker, in slices, stops."""

import pytest

from exchange.instruments import fen
from matching.ladder import REACH_TICKS
from tests.exchange.market import CNY, HBEA, Market, cash, units

pytestmark = pytest.mark.kernels


# ---------------------------------------------------------------- at market


def test_a_market_order_takes_the_best_prices_one_after_the_other():
    market = Market("hubei", alice=cash("10000.00"), bob=units(40), carol=units(30))
    market.play("carol sells 30 @ 43.00\nbob sells 40 @ 42.00")

    assert market.play("alice buys 60 @ market ioc") == (
        "alice accepted\nalice takes 40 @ 42.00 from bob\nalice takes 20 @ 43.00 from carol"
    )
    assert market.holding("alice", CNY).reserved == fen("2552.70")  # 1680.00 + 860.00 and a fee of 12.70


@pytest.mark.parametrize("day", ["2015-01-05", "2026-01-05"], ids=["seller's price", "median of three"])
def test_who_names_no_limit_trades_at_the_makers(day):
    market = Market("hubei", day=day, alice=cash("10000.00"), bob=units(100), carol=units(9))
    market.play("alice buys 10 @ 41.00\ncarol sells 1 @ 43.00")

    assert market.play("bob sells 1 @ market ioc").endswith("bob gives 1 @ 41.00 to alice")
    assert market.play("alice buys 1 @ market ioc").endswith("alice takes 1 @ 43.00 from carol")


def test_what_a_market_order_does_not_get_at_once_is_cancelled():
    market = Market("hubei", alice=cash("10000.00"), bob=units(100))
    market.play("alice buys 40 @ 42.00")

    assert market.play("bob sells 60 @ market ioc") == (
        "bob accepted\nbob gives 40 @ 42.00 to alice\nbob loses 20 @ 37.80: immediate_or_cancel"
    )
    assert market.holding("bob", HBEA).available == 60


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        pytest.param("2785.86", "alice accepted", id="60 t at the highest price of the day, and the fee"),
        pytest.param("2785.85", "alice refused: insufficient_cash", id="a fen less"),
    ],
)
def test_a_buyer_at_market_must_have_what_it_can_cost_at_most(amount, said):
    market = Market("hubei", alice=cash(amount), bob=units(60))  # 60 x 46.20 = 2772.00, 13.86
    market.play("bob sells 60 @ 42.00")

    assert market.play("alice buys 60 @ market ioc").splitlines()[0] == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        pytest.param("2580.00", "alice accepted", id="60 t at the price of the last of them"),
        pytest.param("2579.99", "alice refused: insufficient_cash", id="a fen less"),
    ],
)
def test_without_a_band_that_is_the_worst_price_it_meets(amount, said):
    market = Market("generic", alice=cash(amount), bob=units(40), carol=units(60))
    market.play("bob sells 40 @ 42.00\ncarol sells 30 @ 43.00 show 1\ncarol sells 30 @ 50.00")

    assert market.play("alice buys 60 @ market ioc").splitlines()[0] == said
    if said == "alice accepted":
        assert market.money("alice") == "40.00"  # of 2580.00 it needed 1680.00 + 860.00


def test_without_a_band_a_market_order_takes_all_there_is_and_no_more():
    market = Market("generic", alice=cash("10000.00"), bob=units(40), carol=units(30))
    market.play("bob sells 40 @ 42.00\ncarol sells 30 @ 50.00")

    assert market.play("alice buys 100 @ market ioc") == (
        "alice accepted\nalice takes 40 @ 42.00 from bob\nalice takes 30 @ 50.00 from carol\n"
        "alice loses 30 @ 50.00: immediate_or_cancel"
    )
    assert market.holding("alice", CNY).reserved == fen("3180.00")


def test_a_market_order_that_meets_nobody_leaves_no_trace():
    market = Market("generic", alice=cash("0.01"), bob=units(10))

    assert market.play("alice buys 100 @ market ioc") == "alice accepted\nalice loses 100 @ 0.00: immediate_or_cancel"
    assert market.play("bob sells 10 @ market fok") == "bob accepted\nbob loses 10 @ 0.00: immediate_or_cancel"
    assert (market.money("alice"), market.holding("bob", HBEA).available) == ("0.01", 10)


def test_a_market_order_may_ask_for_all_or_nothing():
    market = Market("hubei", alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 40 @ 42.00\nbob sells 20 @ 43.00")

    assert market.play("alice buys 61 @ market fok") == "alice accepted\nalice loses 61 @ 46.20: immediate_or_cancel"
    assert market.play("alice buys 60 @ market fok") == (
        "alice accepted\nalice takes 40 @ 42.00 from bob\nalice takes 20 @ 43.00 from bob"
    )


# ---------------------------------------------------------------- all at once or not at all


@pytest.mark.parametrize(
    ("order", "trades"),
    [
        pytest.param("alice buys 30 @ 42.00 fok", ["30 @ 42.00 from bob"], id="a part of one order"),
        pytest.param("alice buys 40 @ 42.00 fok", ["40 @ 42.00 from bob"], id="the whole of it"),
        pytest.param("alice buys 41 @ 42.00 fok", [], id="a tonne too many"),
        pytest.param("alice buys 60 @ 43.00 fok", ["40 @ 42.00 from bob", "20 @ 43.00 from carol"], id="two prices"),
        pytest.param("alice buys 61 @ 43.00 fok", [], id="a tonne too many at two prices"),
        pytest.param("alice buys 61 @ 42.99 fok", [], id="the second price is beyond the limit"),
    ],
)
def test_fill_or_kill_trades_in_full_or_not_at_all(order, trades):
    market = Market("generic", alice=cash("10000.00"), bob=units(40), carol=units(20))
    market.play("bob sells 40 @ 42.00\ncarol sells 20 @ 43.00")
    book, said = market.book(), market.play(order)

    if trades:
        assert said == "\n".join(["alice accepted", *(f"alice takes {trade}" for trade in trades)])
    else:
        _, _, quantity, _, limit, _ = order.split()
        assert said == f"alice accepted\nalice loses {quantity} @ {limit}: immediate_or_cancel"
        assert (market.book(), market.money("alice")) == (book, "10000.00")


def test_fill_or_kill_counts_what_icebergs_hide():
    market = Market("generic", alice=cash("10000.00"), bob=units(40))
    market.play("bob sells 40 @ 42.00 show 15")

    assert "41 @ 42.00: immediate_or_cancel" in market.play("alice buys 41 @ 42.00 fok")
    assert market.play("alice buys 40 @ 42.00 fok") == (
        "alice accepted\n"
        "alice takes 15 @ 42.00 from bob\nbob shows 15 of 25 @ 42.00\n"
        "alice takes 15 @ 42.00 from bob\nbob shows 10 of 10 @ 42.00\n"
        "alice takes 10 @ 42.00 from bob"
    )


# ---------------------------------------------------------------- only as maker


@pytest.mark.parametrize(
    ("order", "said"),
    [
        pytest.param("alice buys 10 @ 41.99 post-only", "alice accepted", id="below the best ask"),
        pytest.param("alice buys 10 @ 42.00 post-only", "alice refused: post_only_would_trade", id="at the best ask"),
        pytest.param("alice buys 10 @ 42.01 post-only", "alice refused: post_only_would_trade", id="above it"),
        pytest.param("bob sells 10 @ 41.01 post-only", "bob accepted", id="above the best bid"),
        pytest.param("bob sells 10 @ 41.00 post-only", "bob refused: post_only_would_trade", id="at the best bid"),
    ],
)
def test_a_post_only_order_rests_or_is_refused(order, said):
    market = Market("generic", alice=cash("10000.00"), bob=units(100), carol=cash("100.00") + units(1))
    market.play("carol sells 1 @ 42.00\ncarol buys 1 @ 41.00")

    assert market.play(order) == said


def test_a_post_only_order_trades_as_maker():
    market = Market("generic", alice=cash("10000.00"), bob=units(100))
    market.play("alice buys 10 @ 42.00 post-only gtc")

    assert market.play("bob sells 4 @ 41.00") == "bob accepted\nbob gives 4 @ 42.00 to alice"


# ---------------------------------------------------------------- icebergs


def test_the_next_slice_of_an_iceberg_stands_behind_who_came_meanwhile():
    market = Market("generic", alice=cash("10000.00"), bob=units(50), carol=units(20))
    market.play("bob sells 50 @ 42.00 show 20\ncarol sells 20 @ 42.00")

    assert market.play("alice buys 30 @ 42.00") == (
        "alice accepted\nalice takes 20 @ 42.00 from bob\nbob shows 20 of 30 @ 42.00\nalice takes 10 @ 42.00 from carol"
    )
    assert market.book() == "carol sells 10 @ 42.00\nbob sells 20 of 30 @ 42.00"


def test_a_slice_is_not_refilled_before_it_is_used_up():
    market = Market("generic", alice=cash("10000.00"), bob=units(50), carol=units(20))
    market.play("bob sells 50 @ 42.00 show 20\ncarol sells 20 @ 42.00")

    assert market.play("alice buys 5 @ 42.00") == "alice accepted\nalice takes 5 @ 42.00 from bob"
    assert market.book() == "bob sells 15 of 45 @ 42.00\ncarol sells 20 @ 42.00"


def test_two_icebergs_take_turns():
    market = Market("generic", alice=cash("10000.00"), bob=units(20), carol=units(15))
    market.play("bob sells 20 @ 42.00 show 10\ncarol sells 15 @ 42.00 show 10")

    assert market.play("alice buys 40 @ 42.00") == (
        "alice accepted\n"
        "alice takes 10 @ 42.00 from bob\n"
        "bob shows 10 of 10 @ 42.00\n"
        "alice takes 10 @ 42.00 from carol\n"
        "carol shows 5 of 5 @ 42.00\n"
        "alice takes 10 @ 42.00 from bob\n"
        "alice takes 5 @ 42.00 from carol"
    )
    assert market.book() == "alice buys 5 @ 42.00"


def test_an_iceberg_trades_with_all_it_has_when_it_arrives_and_shows_a_slice_of_the_rest():
    market = Market("generic", alice=cash("10000.00"), bob=units(100))
    market.play("alice buys 35 @ 42.00")

    assert market.play("bob sells 100 @ 42.00 show 10") == "bob accepted\nbob gives 35 @ 42.00 to alice"
    assert market.book() == "bob sells 10 of 65 @ 42.00"


def test_an_iceberg_with_less_left_than_a_slice_shows_all_of_it():
    market = Market("generic", alice=cash("10000.00"), bob=units(100))
    market.play("alice buys 95 @ 42.00\nbob sells 100 @ 42.00 show 10")

    assert market.book() == "bob sells 5 of 5 @ 42.00"


@pytest.mark.parametrize("story", ["alice buys 100 @ 42.00 show 1", "alice buys 100 @ 42.00"])
def test_what_an_iceberg_hides_is_paid_for_too(story):
    market = Market("hubei", alice=cash("10000.00"), bob=units(30))
    market.play(story)
    assert market.holding("alice", CNY).reserved == fen("4221.00")

    market.play("bob sells 30 @ 42.00")
    assert market.play("alice cancels order 1") == "alice loses 70 @ 42.00: by_request"
    assert market.holding("alice", CNY).reserved == fen("1266.30")  # of 30 t


# ---------------------------------------------------------------- stops


def test_a_stop_waits_for_a_trade_at_its_price_and_then_is_a_market_order():
    market = Market("hubei", alice=cash("10000.00"), bob=units(100), carol=cash("1000.00"))
    assert market.play("alice buys 10 @ market stop 43.00") == "alice accepted"
    assert market.book() == "alice buys 10 @ 46.20 stop 43.00"
    assert market.holding("alice", CNY).reserved == fen("464.31")  # 462.00 at the highest price, and 2.31

    market.play("bob sells 1 @ 42.99\nbob sells 1 @ 43.00\nbob sells 6 @ 43.50\nbob sells 20 @ 44.00")
    assert market.play("carol buys 1 @ 42.99") == "carol accepted\ncarol takes 1 @ 42.99 from bob"
    assert market.play("carol buys 1 @ 43.00") == (
        "carol accepted\n"
        "carol takes 1 @ 43.00 from bob\n"
        "alice's stop reached: buys 10 @ 46.20\n"
        "alice takes 6 @ 43.50 from bob\n"
        "alice takes 4 @ 44.00 from bob"
    )
    assert market.holding("alice", CNY).reserved == fen("439.19")  # 261.00 + 176.00, 2.185 rounded


def test_a_sell_stop_waits_for_the_price_to_fall():
    market = Market("hubei", alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 10 @ market stop 41.00")
    market.play("alice buys 1 @ 41.01\nalice buys 1 @ 41.00\nalice buys 10 @ 40.00")

    assert market.play("bob sells 1 @ 41.01") == "bob accepted\nbob gives 1 @ 41.01 to alice"
    assert market.play("bob sells 1 @ 41.00") == (
        "bob accepted\n"
        "bob gives 1 @ 41.00 to alice\n"
        "bob's stop reached: sells 10 @ 37.80\n"
        "bob gives 10 @ 40.00 to alice"
    )


def test_what_a_stop_does_not_get_at_once_is_cancelled():
    market = Market("hubei", alice=cash("10000.00"), bob=units(100), carol=cash("1000.00"))
    market.play("alice buys 10 @ market stop 43.00\nbob sells 1 @ 43.00\nbob sells 4 @ 44.00")

    assert market.play("carol buys 1 @ 43.00").endswith(
        "alice's stop reached: buys 10 @ 46.20\n"
        "alice takes 4 @ 44.00 from bob\n"
        "alice loses 6 @ 46.20: immediate_or_cancel"
    )
    assert market.holding("alice", CNY).reserved == fen("176.88")


def test_a_stop_limit_order_rests_when_it_has_been_reached():
    market = Market("generic", alice=cash("10000.00"), bob=units(100), carol=cash("1000.00"))
    market.play("alice buys 10 @ 43.50 stop 43.00\nbob sells 1 @ 43.00\nbob sells 4 @ 43.50\nbob sells 4 @ 44.00")

    assert market.play("carol buys 1 @ 43.00").endswith(
        "alice's stop reached: buys 10 @ 43.50\nalice takes 4 @ 43.50 from bob"
    )
    assert market.book() == "alice buys 6 @ 43.50\nbob sells 4 @ 44.00"


def test_nobody_meets_a_stop_that_waits():
    market = Market("generic", alice=cash("10000.00"), bob=units(100))
    market.play("alice buys 10 @ 43.00 stop 42.50")

    assert market.play("bob sells 10 @ 41.00") == "bob accepted"
    assert market.play("bob sells 10 @ market ioc") == "bob accepted\nbob loses 10 @ 0.00: immediate_or_cancel"


def test_whoever_trades_comes_to_rest_before_the_stops_that_he_reached_arrive():
    market = Market("generic", opening="44.00", alice=cash("10000.00"), bob=units(10), carol=units(5))
    market.play("carol sells 5 @ 40.00 stop 43.00\nbob sells 10 @ 43.00")

    assert market.play("alice buys 15 @ 43.00") == (
        "alice accepted\n"
        "alice takes 10 @ 43.00 from bob\n"
        "carol's stop reached: sells 5 @ 40.00\n"
        "carol gives 5 @ 43.00 to alice"
    )


def everybody(*names):
    return {name: cash("1000.00") + units(10) for name in names}


def test_stops_reached_at_once_arrive_buyers_first_then_nearest_first_then_by_time():
    buyers, sellers = ("dave", "erin", "carol"), ("frank", "grace", "heidi")
    market = Market("generic", opening="43.00", **everybody("alice", "bob", *buyers, *sellers))
    market.play("""
        heidi sells 1 @ 30.00 stop 42.00
        carol buys 1 @ 50.00 stop 44.00
        frank sells 1 @ 30.00 stop 42.50
        dave buys 1 @ 50.00 stop 43.50
        erin buys 1 @ 50.00 stop 43.50
        grace sells 1 @ 30.00 stop 42.50
        bob sells 5 @ 42.00
        bob sells 5 @ 44.00
    """)

    assert market.play("alice buys 10 @ 44.00") == (
        "alice accepted\n"
        "alice takes 5 @ 42.00 from bob\n"
        "alice takes 5 @ 44.00 from bob\n"
        "dave's stop reached: buys 1 @ 50.00\n"
        "erin's stop reached: buys 1 @ 50.00\n"
        "carol's stop reached: buys 1 @ 50.00\n"
        "frank's stop reached: sells 1 @ 30.00\n"
        "frank gives 1 @ 50.00 to dave\n"
        "grace's stop reached: sells 1 @ 30.00\n"
        "grace gives 1 @ 50.00 to erin\n"
        "heidi's stop reached: sells 1 @ 30.00\n"
        "heidi gives 1 @ 50.00 to carol"
    )


def test_stops_that_a_stop_reaches_arrive_behind_those_that_were_reached_before():
    market = Market("generic", **everybody("alice", "bob", "carol", "dave", "erin"))
    market.play("""
        carol buys 1 @ 60.00 stop 44.00
        dave buys 1 @ 60.00 stop 43.00
        erin buys 1 @ 60.00 stop 43.00
        bob sells 1 @ 43.00
        bob sells 1 @ 44.00
        bob sells 1 @ 45.00
        bob sells 1 @ 46.00
    """)

    assert market.play("alice buys 1 @ 43.00") == (
        "alice accepted\n"
        "alice takes 1 @ 43.00 from bob\n"
        "dave's stop reached: buys 1 @ 60.00\n"
        "dave takes 1 @ 44.00 from bob\n"
        "erin's stop reached: buys 1 @ 60.00\n"
        "erin takes 1 @ 45.00 from bob\n"
        "carol's stop reached: buys 1 @ 60.00\n"
        "carol takes 1 @ 46.00 from bob"
    )
    sequences = market.outcome.rows["sequence"]
    assert (sequences == sequences[0]).all()  # all of it in the name of alice's order
    assert market.exchange.trades_today()["aggressor"].tolist() == [0, 0, 0, 0]


def test_a_cascade_may_turn_round():
    market = Market("generic", opening="42.50", **everybody("alice", "bob", "carol", "dave", "erin"))
    market.play("""
        carol buys 1 @ 50.00 stop 43.00
        dave sells 1 @ 30.00 stop 42.00
        erin buys 1 @ 60.00 stop 49.00
        bob sells 1 @ 42.00
        bob sells 1 @ 43.00
    """)

    assert market.play("alice buys 2 @ 43.00") == (
        "alice accepted\n"
        "alice takes 1 @ 42.00 from bob\n"
        "alice takes 1 @ 43.00 from bob\n"
        "carol's stop reached: buys 1 @ 50.00\n"
        "dave's stop reached: sells 1 @ 30.00\n"
        "dave gives 1 @ 50.00 to carol\n"
        "erin's stop reached: buys 1 @ 60.00"
    )
    assert market.book() == "erin buys 1 @ 60.00"


def test_a_stop_order_that_was_reached_keeps_its_choice_of_self_trade_prevention():
    people = {"alice": cash("1000.00").of("Li"), "ann": units(10).of("Li"), "bob": units(10), "carol": cash("100.00")}
    market = Market("generic", **people)
    market.play("alice buys 5 @ 44.00 stop 43.00 cancel-oldest\nbob sells 1 @ 43.00")
    market.play("ann sells 3 @ 43.50\nbob sells 9 @ 44.00")

    assert market.play("carol buys 1 @ 43.00").endswith(
        "alice's stop reached: buys 5 @ 44.00\n"
        "alice would take 3 @ 43.50 from ann: self_trade, 5 and 0 left\n"
        "alice takes 5 @ 44.00 from bob"
    )


def test_a_stop_waits_through_a_call_and_expires_with_the_day():
    market = Market("hubei", until="open", alice=cash("10000.00"), bob=units(10))
    market.play("call\nalice buys 10 @ market stop 43.00\nbob sells 10 @ 42.00")
    assert market.play("start") == "session 1 started"

    assert market.close() == (
        "alice loses 10 @ 46.20: end_of_day\nbob loses 10 @ 42.00: end_of_day\nday 2026-01-05 closed at 42.00"
    )
    assert market.money("alice") == "10000.00"


def test_a_stop_that_waits_is_cancelled_like_any_other():
    market = Market("hubei", alice=cash("10000.00"))
    market.play("alice buys 10 @ 44.00 stop 43.00")

    assert market.play("alice cancels order 1") == "alice loses 10 @ 44.00: by_request"
    assert market.money("alice") == "10000.00"


def test_before_the_first_trade_ever_no_stop_has_been_reached():
    market = Market("generic", opening=None, alice=cash("100.00"), bob=units(1))

    assert market.play("alice buys 1 @ 42.00 stop 0.01\nbob sells 1 @ 42.00 stop 99.00") == (
        "alice accepted\nbob accepted"
    )


def test_a_stop_that_is_reached_far_from_all_other_orders_of_its_side_does_not_rest():
    far = f"{REACH_TICKS // 100 + 100}.00"
    market = Market("generic", alice=cash("1000000.00"), bob=units(10), carol=cash("1000.00"))
    market.play(f"alice buys 2 @ {far} stop 43.00\ncarol buys 1 @ 41.00")  # nobody else bid when it came
    market.play("bob sells 1 @ 43.00\nbob sells 1 @ 44.00")

    assert market.play("carol buys 1 @ 43.00").endswith(
        f"alice's stop reached: buys 2 @ {far}\n"
        "alice takes 1 @ 44.00 from bob\n"
        f"alice loses 1 @ {far}: price_out_of_range"
    )
    assert market.holding("alice", CNY).reserved == fen("44.00")
