"""The readable book, told in the market's words: what each order does to the others, and what always holds.

A line is an order and what happens to it; the answer is what the last line made happen.

    2 buys 30 @ 42                      limit order number 2
    2 buys 30 @ 42 showing 10           iceberg
    2 buys 30 @ 42 stop 41              stop-limit; `... stop 41 then market` a stop order that pays at most 42
    2 buys 30 @ 42 IOC of ann cancel_oldest    time in force, beneficial owner, self-trade prevention
    2 amends to 20 @ 41, 2 cancels
"""

from collections import Counter
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.auction import uncrossing
from matching.book import Amended, Book, Cancelled, Fill, Order, Prevented, Refreshed, Triggered
from matching.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from matching.pricing import ExecutionPrice

OWNERS = {"ann": 1, "ben": 2}


class Market:
    """A book that understands lines of text; in a call auction orders rest without matching."""

    def __init__(self, *lines, call=False, **terms):
        self.book = Book(**terms)
        self.call = call
        self.play(*lines)

    def play(self, *lines):
        """What the last line made happen, as text."""
        happened = []
        for line in lines:
            happened = self.do(*line.split())
            self.book.check(may_be_crossed=self.call)
        return [told(step) for step in happened]

    def do(self, number, verb, *words):
        if verb == "cancels":
            return [self.book.cancel(int(number))]
        if verb == "amends":
            _, quantity, _, price_ticks, *stop = words
            stop_ticks = int(stop[1]) if stop else 0
            return self.book.amend(int(number), int(price_ticks), int(quantity), stop_ticks, not self.call)
        return self.book.submit(self.order(number, verb, *words), not self.call)

    def order(self, number, verb, quantity, _, price_ticks, *terms):
        order = Order(int(number), {"buys": Side.BUY, "sells": Side.SELL}[verb], int(price_ticks), int(quantity))
        terms = iter(terms)
        for term in terms:
            match term:
                case "showing":
                    order.display_quantity = int(next(terms))
                case "stop":
                    order.order_type, order.stop_ticks = OrderType.STOP_LIMIT, int(next(terms))
                case "then":
                    assert next(terms) == "market"
                    order.order_type = OrderType.STOP
                case "of":
                    order.group = OWNERS[next(terms)]
                case "IOC" | "FOK":
                    order.time_in_force = TimeInForce[term]
                case mode:
                    order.self_trade = SelfTradePrevention[mode.upper()]
        return order

    def queue(self, side):
        """Order numbers by priority."""
        return [order.order_id for order in self.book.resting() if order.side == side]


def told(step):
    match step:
        case Fill(taker, maker, price_ticks, quantity):
            return f"{taker} takes {quantity} @ {price_ticks} from {maker}"
        case Prevented(taker, maker, price_ticks, quantity, taker_leaves, maker_leaves):
            return f"{taker} and {maker} @ {price_ticks} spare {quantity}, leaves {taker_leaves} and {maker_leaves}"
        case Refreshed(order_id, shown, leaves):
            return f"{order_id} shows {shown} of {leaves}"
        case Triggered(order_id, leaves):
            return f"{order_id} triggered, leaves {leaves}"
        case Amended(order_id, price_ticks, leaves, priority):
            return f"{order_id} amended to {leaves} @ {price_ticks}, priority {priority.label}"
        case Cancelled(order_id, quantity, out_of_reach):
            return f"{order_id} cancelled {quantity}" + (", out of reach" if out_of_reach else "")


# ---------------------------------------------------------------- priority


def test_a_better_price_trades_before_an_older_order():
    market = Market("1 sells 100 @ 42", "2 sells 100 @ 41")
    assert market.play("3 buys 150 @ 42") == ["3 takes 100 @ 41 from 2", "3 takes 50 @ 42 from 1"]


def test_at_one_price_the_older_order_trades_first():
    market = Market("1 buys 100 @ 42", "2 buys 100 @ 42")
    assert market.play("3 sells 150 @ 42") == ["3 takes 100 @ 42 from 1", "3 takes 50 @ 42 from 2"]


def test_what_does_not_trade_rests_at_its_limit():
    market = Market("1 sells 100 @ 42", "2 sells 100 @ 44")
    assert market.play("3 buys 150 @ 43") == ["3 takes 100 @ 42 from 1"]
    assert market.book.levels(Side.BUY) == [(43, 50)]
    assert market.book.levels(Side.SELL) == [(44, 100)]


def test_a_fill_tells_what_both_orders_still_have():
    market = Market("1 sells 100 @ 42")
    (fill,) = market.book.submit(market.order("2", "buys", "30", "@", "42"))
    assert fill == Fill(taker=2, maker=1, price_ticks=42, quantity=30, taker_leaves=0, maker_leaves=70)


def test_under_the_sellers_price_a_seller_who_comes_second_gets_no_more_than_he_asked():
    market = Market("1 buys 10 @ 45", execution_price=ExecutionPrice.SELLER_PRICE)
    assert market.play("2 sells 10 @ 42") == ["2 takes 10 @ 42 from 1"]
    assert market.play("3 sells 10 @ 42", "4 buys 10 @ 45") == ["4 takes 10 @ 42 from 3"]


def test_a_cancelled_order_leaves_the_others_their_places():
    market = Market("1 sells 10 @ 42", "2 sells 10 @ 42", "3 sells 10 @ 42")
    assert market.play("2 cancels") == ["2 cancelled 10"]
    assert market.queue(Side.SELL) == [1, 3]


@pytest.mark.parametrize("asked", [lambda book: book.cancel(7), lambda book: book.amend(7, 42, 1)])
def test_an_order_that_is_not_there_is_an_error(asked):
    with pytest.raises(KeyError):
        asked(Book())


def test_an_order_can_be_reduced_by_what_it_has_and_no_more():
    market = Market("1 buys 10 @ 42")
    for quantity in (0, -1, 11):
        with pytest.raises(ValueError, match="order 1 has 10 leaves"):
            market.book.reduce(1, quantity)
    market.book.reduce(1, 10)
    assert not market.book.orders


# ---------------------------------------------------------------- time in force


def test_what_an_immediate_order_does_not_trade_is_cancelled():
    market = Market("1 sells 30 @ 42")
    assert market.play("2 buys 50 @ 42 IOC") == ["2 takes 30 @ 42 from 1", "2 cancelled 20"]
    assert not market.book.orders


def test_fill_or_kill_trades_in_full_or_not_at_all():
    market = Market("1 sells 30 @ 42", "2 sells 30 @ 43", "3 sells 30 @ 45")
    assert market.play("4 buys 61 @ 44 FOK") == ["4 cancelled 61"]
    assert market.play("5 buys 60 @ 44 FOK") == ["5 takes 30 @ 42 from 1", "5 takes 30 @ 43 from 2"]


def test_fill_or_kill_finds_what_icebergs_hide():
    market = Market("1 sells 30 @ 42 showing 10")
    assert market.play("2 buys 31 @ 42 FOK") == ["2 cancelled 31"]
    assert market.play("3 buys 30 @ 42 FOK")[-1] == "3 takes 10 @ 42 from 1"
    assert not market.book.orders


# ---------------------------------------------------------------- icebergs


def test_an_iceberg_shows_a_slice_and_counts_in_full():
    market = Market("1 sells 100 @ 42 showing 30", "2 sells 5 @ 42")
    assert market.book.shown_levels(Side.SELL) == [(42, 35)]
    assert market.book.levels(Side.SELL) == [(42, 105)]


def test_an_iceberg_goes_to_the_back_of_its_queue_with_every_new_slice():
    market = Market("1 sells 70 @ 42 showing 30", "2 sells 20 @ 42")
    assert market.play("3 buys 60 @ 42") == [
        "3 takes 30 @ 42 from 1",
        "1 shows 30 of 40",
        "3 takes 20 @ 42 from 2",
        "3 takes 10 @ 42 from 1",
    ]


def test_a_slice_that_is_not_used_up_keeps_its_place():
    market = Market("1 sells 70 @ 42 showing 30", "2 sells 20 @ 42", "3 buys 29 @ 42")
    assert market.queue(Side.SELL) == [1, 2]
    assert market.book.shown_levels(Side.SELL) == [(42, 21)]


def test_the_last_slice_of_an_iceberg_is_what_is_left():
    market = Market("1 sells 70 @ 42 showing 30")
    assert market.play("2 buys 100 @ 42") == [
        "2 takes 30 @ 42 from 1",
        "1 shows 30 of 40",
        "2 takes 30 @ 42 from 1",
        "1 shows 10 of 10",
        "2 takes 10 @ 42 from 1",
    ]


def test_an_iceberg_arrives_with_all_it_has_and_then_shows_a_slice():
    market = Market("1 sells 50 @ 42")
    assert market.play("2 buys 75 @ 42 showing 20") == ["2 takes 50 @ 42 from 1"]
    assert market.book.shown_levels(Side.BUY) == [(42, 20)]
    assert market.book.levels(Side.BUY) == [(42, 25)]


# ---------------------------------------------------------------- amend


def test_less_quantity_at_the_same_price_keeps_its_place():
    market = Market("1 sells 100 @ 42", "2 sells 100 @ 42")
    assert market.play("1 amends to 60 @ 42") == ["1 amended to 60 @ 42, priority kept"]
    assert market.play("3 buys 70 @ 42") == ["3 takes 60 @ 42 from 1", "3 takes 10 @ 42 from 2"]


@pytest.mark.parametrize("terms", ["100 @ 42", "101 @ 42", "60 @ 43", "100 @ 43"])
def test_any_other_change_goes_to_the_back_of_the_queue(terms):
    market = Market("1 sells 100 @ 42", "2 sells 100 @ 42", "3 sells 100 @ 43")
    assert market.play(f"1 amends to {terms}") == [f"1 amended to {terms}, priority lost"]
    assert market.queue(Side.SELL) == ([2, 1, 3] if terms.endswith("42") else [2, 3, 1])


def test_an_amended_price_may_trade():
    market = Market("1 sells 100 @ 42", "2 buys 70 @ 40")
    assert market.play("2 amends to 120 @ 43") == ["2 amended to 120 @ 43, priority lost", "2 takes 100 @ 42 from 1"]
    assert market.book.levels(Side.BUY) == [(43, 20)]


def test_in_a_call_an_amended_price_does_not_trade():
    market = Market("1 sells 100 @ 42", "2 buys 70 @ 40", call=True)
    assert market.play("2 amends to 120 @ 43") == ["2 amended to 120 @ 43, priority lost"]


def test_an_iceberg_gives_up_what_it_hides_first():
    market = Market("1 sells 100 @ 42 showing 30", "2 sells 10 @ 42", "1 amends to 40 @ 42")
    assert market.book.shown_levels(Side.SELL) == [(42, 40)]
    market.play("1 amends to 20 @ 42")
    assert market.book.shown_levels(Side.SELL) == [(42, 30)]
    assert market.queue(Side.SELL) == [1, 2]


def test_an_iceberg_that_loses_its_place_shows_a_whole_slice_again():
    market = Market("1 sells 100 @ 42 showing 30", "2 buys 25 @ 42", "1 amends to 75 @ 43")
    assert market.book.shown_levels(Side.SELL) == [(43, 30)]


# ---------------------------------------------------------------- stops


def test_a_stop_waits_beside_the_book_until_a_trade_reaches_it():
    market = Market("1 sells 10 @ 42", "2 sells 10 @ 43", "3 buys 10 @ 45 stop 43")
    assert market.book.best(Side.BUY) is None
    assert market.play("4 buys 5 @ 42") == ["4 takes 5 @ 42 from 1"]
    assert market.play("5 buys 10 @ 43") == [
        "5 takes 5 @ 42 from 1",
        "5 takes 5 @ 43 from 2",
        "3 triggered, leaves 10",
        "3 takes 5 @ 43 from 2",
    ]
    assert market.book.levels(Side.BUY) == [(45, 5)]


def test_a_stop_order_trades_at_once_and_what_is_left_is_cancelled():
    market = Market("1 buys 10 @ 42", "2 buys 10 @ 41", "3 sells 20 @ 41 stop 42 then market")
    assert market.play("4 sells 5 @ 42") == [
        "4 takes 5 @ 42 from 1",
        "3 triggered, leaves 20",
        "3 takes 5 @ 42 from 1",
        "3 takes 10 @ 41 from 2",
        "3 cancelled 5",
    ]


def test_one_trade_triggers_buyers_from_the_lowest_then_sellers_from_the_highest_and_the_older_first():
    stops = {"buys": (41, 42, 40, 42, 43), "sells": (43, 42, 44, 42, 41)}
    market = Market("1 sells 10 @ 42")
    for number, price in enumerate(stops["buys"], 10):
        market.play(f"{number} buys 1 @ 30 stop {price}")
    for number, price in enumerate(stops["sells"], 20):
        market.play(f"{number} sells 1 @ 50 stop {price}")
    _, *triggered = market.play("2 buys 10 @ 42")
    assert triggered == [f"{number} triggered, leaves 1" for number in (12, 10, 11, 13, 22, 20, 21, 23)]
    assert [stop.order_id for stop in market.book.waiting()] == [14, 24]


def test_a_cascade_triggers_behind_those_already_triggered():
    market = Market("1 sells 10 @ 42", "2 sells 10 @ 43", "3 sells 10 @ 44")
    market.play("11 buys 5 @ 43 stop 42", "12 buys 5 @ 30 stop 43", "13 buys 5 @ 30 stop 42", "14 buys 9 @ 44 stop 43")
    assert market.play("4 buys 10 @ 42") == [
        "4 takes 10 @ 42 from 1",
        "11 triggered, leaves 5",
        "11 takes 5 @ 43 from 2",
        "13 triggered, leaves 5",
        "12 triggered, leaves 5",
        "14 triggered, leaves 9",
        "14 takes 5 @ 43 from 2",
        "14 takes 4 @ 44 from 3",
    ]


def test_stops_arrive_when_the_order_that_reached_them_has_come_to_rest():
    market = Market("1 sells 10 @ 42", "2 sells 5 @ 41 stop 42")
    assert market.play("3 buys 30 @ 42") == [
        "3 takes 10 @ 42 from 1",
        "2 triggered, leaves 5",
        "2 takes 5 @ 42 from 3",
    ]


def test_an_arrival_reaches_as_far_as_its_worst_fill_not_its_last():
    market = Market("1 sells 10 @ 42", "2 sells 10 @ 44", "3 sells 1 @ 50 stop 42", "4 sells 1 @ 50 stop 41")
    assert market.play("5 buys 20 @ 44")[2:] == ["3 triggered, leaves 1"]


def test_a_triggered_stop_limit_may_be_amended_like_any_order():
    market = Market("1 sells 10 @ 42", "2 buys 5 @ 41 stop 42", "3 buys 10 @ 42")
    assert market.play("2 amends to 3 @ 41") == ["2 amended to 3 @ 41, priority kept"]
    assert market.book.levels(Side.BUY) == [(41, 3)]


def test_a_waiting_stop_keeps_its_turn_with_less_quantity_and_loses_it_with_another_price():
    market = Market("1 buys 5 @ 50 stop 45", "2 buys 5 @ 50 stop 45", "3 buys 5 @ 50 stop 45")
    assert market.play("1 amends to 4 @ 50") == ["1 amended to 4 @ 50, priority kept"]
    assert market.play("2 amends to 4 @ 51") == ["2 amended to 4 @ 51, priority lost"]
    assert [stop.order_id for stop in market.book.waiting()] == [1, 3, 2]
    assert market.play("3 amends to 4 @ 50 stop 44") == ["3 amended to 4 @ 50, priority lost"]
    assert [stop.order_id for stop in market.book.waiting()] == [3, 1, 2]


def test_a_waiting_stop_can_be_cancelled():
    market = Market("1 sells 10 @ 42", "2 buys 5 @ 41 stop 42")
    assert market.play("2 cancels") == ["2 cancelled 5"]
    assert market.play("3 buys 10 @ 42") == ["3 takes 10 @ 42 from 1"]


@pytest.mark.parametrize(
    ("side", "stop_ticks", "reached"),
    [
        (Side.BUY, 41, True),
        (Side.BUY, 42, True),
        (Side.BUY, 43, False),
        (Side.SELL, 41, False),
        (Side.SELL, 42, True),
        (Side.SELL, 43, True),
    ],
)
def test_whether_the_last_trade_has_reached_a_stop_already(side, stop_ticks, reached):
    stop = Order(1, side, 42, 1, order_type=OrderType.STOP_LIMIT, stop_ticks=stop_ticks)
    assert Book(last_ticks=42).is_reached(stop) == reached
    assert not Book().is_reached(stop), "without a trade nothing is reached"


# ---------------------------------------------------------------- self-trade prevention

OWN_AND_ANOTHER = ("1 sells 50 @ 42 of ann", "2 sells 50 @ 42 of ben")


@pytest.mark.parametrize(
    ("mode", "happened", "asks", "bids"),
    [
        ("by_rules", ["3 takes 50 @ 42 from 1", "3 takes 20 @ 42 from 2"], [(42, 30)], []),
        ("cancel_newest", ["3 and 1 @ 42 spare 50, leaves 0 and 50"], [(42, 100)], []),
        ("cancel_oldest", ["3 and 1 @ 42 spare 50, leaves 70 and 0", "3 takes 50 @ 42 from 2"], [], [(42, 20)]),
        ("cancel_both", ["3 and 1 @ 42 spare 50, leaves 0 and 0"], [(42, 50)], []),
        ("decrement", ["3 and 1 @ 42 spare 50, leaves 20 and 0", "3 takes 20 @ 42 from 2"], [(42, 30)], []),
    ],
)
def test_a_taker_that_meets_an_order_of_its_own_beneficial_owner(mode, happened, asks, bids):
    market = Market(*OWN_AND_ANOTHER)
    assert market.play(f"3 buys 70 @ 42 of ann {mode}") == happened
    assert market.book.levels(Side.SELL) == asks
    assert market.book.levels(Side.BUY) == bids


@pytest.mark.parametrize("owners", [("of ann", "of ben"), ("", ""), ("of ann", ""), ("", "of ann")])
def test_orders_of_different_or_unknown_beneficial_owners_trade(owners):
    market = Market(f"1 sells 10 @ 42 {owners[0]}")
    assert market.play(f"2 buys 10 @ 42 {owners[1]} cancel_both") == ["2 takes 10 @ 42 from 1"]


def test_the_takers_choice_counts_not_the_makers():
    market = Market("1 sells 10 @ 42 of ann cancel_both")
    assert market.play("2 buys 10 @ 42 of ann") == ["2 takes 10 @ 42 from 1"]


def test_a_maker_that_is_decremented_keeps_its_place_and_gives_up_what_it_hides_first():
    market = Market("1 sells 50 @ 42 showing 20 of ann", "2 sells 10 @ 42 of ben")
    assert market.play("3 buys 25 @ 42 of ann decrement") == ["3 and 1 @ 42 spare 25, leaves 0 and 25"]
    assert market.book.shown_levels(Side.SELL) == [(42, 30)]
    assert market.play("4 buys 10 @ 42 of ann decrement") == ["4 and 1 @ 42 spare 10, leaves 0 and 15"]
    assert market.book.shown_levels(Side.SELL) == [(42, 25)]
    assert market.queue(Side.SELL) == [1, 2]


def test_an_immediate_order_that_was_prevented_is_not_cancelled_besides():
    market = Market("1 sells 10 @ 42 of ann")
    assert market.play("2 buys 30 @ 42 IOC of ann cancel_newest") == ["2 and 1 @ 42 spare 10, leaves 0 and 10"]


# ---------------------------------------------------------------- fill or kill, with an own order in the way

OWN_IN_THE_WAY = (
    "1 sells 10 @ 41",
    "2 sells 30 @ 42 showing 10",
    "3 sells 10 @ 42 of ann",
    "4 sells 10 @ 42",
)


@pytest.mark.parametrize("mode", ["cancel_newest", "cancel_both", "decrement"])
def test_fill_or_kill_can_count_on_nothing_behind_an_own_order(mode):
    assert Market(*OWN_IN_THE_WAY).play(f"5 buys 21 @ 42 FOK of ann {mode}") == ["5 cancelled 21"]
    assert Market(*OWN_IN_THE_WAY).play(f"5 buys 20 @ 42 FOK of ann {mode}") == [
        "5 takes 10 @ 41 from 1",
        "5 takes 10 @ 42 from 2",
        "2 shows 10 of 20",
    ]


def test_fill_or_kill_passes_over_own_orders_that_it_cancels():
    assert Market(*OWN_IN_THE_WAY).play("5 buys 51 @ 42 FOK of ann cancel_oldest") == ["5 cancelled 51"]
    market = Market(*OWN_IN_THE_WAY)
    assert market.play("5 buys 50 @ 42 FOK of ann cancel_oldest")[-1] == "5 takes 10 @ 42 from 2"
    assert not market.book.orders


def test_fill_or_kill_counts_own_orders_where_they_trade():
    assert len(Market(*OWN_IN_THE_WAY).play("5 buys 60 @ 42 FOK of ann")) == 8


# ---------------------------------------------------------------- questions before an order


@pytest.mark.parametrize(("price", "trades"), [(41, False), (42, True), (43, True)])
def test_whether_a_post_only_order_would_trade(price, trades):
    market = Market("1 sells 10 @ 42")
    assert market.book.would_trade(Order(2, Side.BUY, price, 10, post_only=True)) == trades
    assert not market.book.would_trade(Order(3, Side.SELL, price, 10, post_only=True))


@pytest.mark.parametrize(("quantity", "bound"), [(1, 42), (10, 42), (11, 44), (40, 44), (41, 45), (99, 45)])
def test_a_market_orders_bound_is_the_worst_price_it_would_trade_at(quantity, bound):
    market = Market("1 sells 10 @ 42", "2 sells 30 @ 44 showing 5", "3 sells 10 @ 45")
    assert market.book.market_bound(Side.BUY, quantity) == bound


def test_a_market_order_into_an_empty_side_has_no_bound():
    assert Market("1 sells 10 @ 42").book.market_bound(Side.SELL, 10) == 0


def test_prices_of_a_side_lie_within_reach_of_one_another():
    market = Market("1 sells 10 @ 100", "2 sells 10 @ 105", reach_ticks=10)
    in_reach = {price for price in range(90, 120) if market.book.in_reach(Order(3, Side.SELL, price, 10))}
    assert in_reach == set(range(96, 110))
    assert market.book.in_reach(Order(3, Side.BUY, 1, 10)), "another side"
    assert market.book.in_reach(Order(3, Side.SELL, 0, 10, order_type=OrderType.MARKET)), "it never rests"


def test_a_stop_limit_must_be_in_reach_with_both_its_prices_and_a_stop_with_one():
    market = Market("1 buys 10 @ 100", "2 buys 10 @ 210 stop 200", reach_ticks=10)
    stops = {OrderType.STOP_LIMIT: ((209, 109), (210, 109), (209, 110)), OrderType.STOP: ((209, 999), (210, 999))}
    found = {
        kind: [
            market.book.in_reach(Order(3, Side.BUY, limit, 10, order_type=kind, stop_ticks=stop)) for stop, limit in at
        ]
        for kind, at in stops.items()
    }
    assert found == {OrderType.STOP_LIMIT: [True, False, False], OrderType.STOP: [True, False]}


def test_a_triggered_order_that_would_rest_out_of_reach_trades_and_is_cancelled():
    market = Market("1 sells 10 @ 42", "2 sells 3 @ 43", "3 buys 5 @ 49 stop 42", reach_ticks=10)
    market.play("4 buys 1 @ 39")
    assert market.play("5 buys 10 @ 42") == [
        "5 takes 10 @ 42 from 1",
        "3 triggered, leaves 5",
        "3 takes 3 @ 43 from 2",
        "3 cancelled 2, out of reach",
    ]


# ---------------------------------------------------------------- call auctions


def test_an_auction_trades_at_one_price_by_priority():
    market = Market("1 buys 10 @ 41", "2 buys 10 @ 43", "3 buys 10 @ 43", "4 sells 15 @ 40", last_ticks=40, call=True)
    assert [told(step) for step in market.book.uncross()] == ["2 takes 10 @ 42 from 4", "3 takes 5 @ 42 from 4"]
    assert market.book.last_ticks == 42
    market.book.check()


def test_an_auction_in_which_nobody_meets_comes_to_nothing():
    market = Market("1 buys 10 @ 41", "2 sells 10 @ 42", last_ticks=40, call=True)
    assert market.book.uncross() == []
    assert market.book.last_ticks == 40


def test_icebergs_queue_anew_in_an_auction_too():
    market = Market("1 buys 30 @ 42 showing 10", "2 buys 10 @ 42", "3 sells 40 @ 42 showing 25", call=True)
    assert [told(step) for step in market.book.uncross()] == [
        "1 takes 10 @ 42 from 3",
        "1 shows 10 of 20",
        "2 takes 10 @ 42 from 3",
        "1 takes 5 @ 42 from 3",
        "3 shows 15 of 15",
        "1 takes 5 @ 42 from 3",
        "1 shows 10 of 10",
        "1 takes 10 @ 42 from 3",
    ]


def test_where_both_slices_are_used_up_the_buyers_is_renewed_first():
    market = Market("1 buys 20 @ 42 showing 10", "2 sells 20 @ 42 showing 10", call=True)
    assert [told(step) for step in market.book.uncross()] == [
        "1 takes 10 @ 42 from 2",
        "1 shows 10 of 10",
        "2 shows 10 of 10",
        "1 takes 10 @ 42 from 2",
    ]


def test_in_an_auction_one_beneficial_owner_may_trade_with_itself():
    market = Market("1 buys 10 @ 42 of ann cancel_both", "2 sells 10 @ 42 of ann cancel_both", call=True)
    assert [told(step) for step in market.book.uncross()] == ["1 takes 10 @ 42 from 2"]


def test_stops_that_an_auction_reached_arrive_when_they_are_told_to():
    market = Market("1 buys 10 @ 42", "2 sells 10 @ 42", "3 sells 5 @ 43", "4 buys 5 @ 43 stop 42", call=True)
    uncrossed = market.book.uncross()
    assert [stop.order_id for stop in market.book.waiting()] == [4]
    assert [told(step) for step in market.book.trigger(uncrossed)] == ["4 triggered, leaves 5", "4 takes 5 @ 43 from 3"]


# ---------------------------------------------------------------- what always holds


TERMS = {
    OrderType.LIMIT: [TimeInForce.DAY, TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK],
    OrderType.MARKET: [TimeInForce.IOC, TimeInForce.FOK],
    OrderType.STOP: [TimeInForce.DAY],
    OrderType.STOP_LIMIT: [TimeInForce.DAY, TimeInForce.GTC],
}
prices = st.integers(40, 48)
quantities = st.integers(1, 12)
usual = [OrderType.LIMIT] * 4
resting = st.just((OrderType.LIMIT, TimeInForce.DAY))
any_terms = st.sampled_from([*usual, *OrderType]).flatmap(
    lambda kind: st.tuples(st.just(kind), st.sampled_from(TERMS[kind]))
)


@st.composite
def orders(draw, terms=any_terms):
    """An order without a number, near all others, so that much happens."""
    order_type, time_in_force = draw(terms)
    return Order(
        0,
        draw(st.sampled_from(Side)),
        draw(prices),
        draw(quantities),
        time_in_force,
        order_type,
        stop_ticks=draw(prices) if order_type.waits else 0,
        display_quantity=draw(st.sampled_from([0, 0, 1, 3, 5])) if time_in_force.rests and not order_type.waits else 0,
        self_trade=draw(st.sampled_from(SelfTradePrevention)),
        group=draw(st.integers(0, 2)),
    )


amends = st.tuples(st.just("amend"), st.integers(0, 30), prices, quantities)
cancels = st.tuples(st.just("cancel"), st.integers(0, 30))
rules = st.sampled_from(ExecutionPrice)


class Ledger:
    """Every order's leaves, kept from what the book says alone."""

    def __init__(self, book):
        self.book = book
        self.orders = {}
        self.leaves = {}

    def submit(self, order, matching=True):
        order.order_id = len(self.orders) + 1
        self.orders[order.order_id] = order
        self.leaves[order.order_id] = order.leaves
        return self.follow(self.book.submit(order, matching))

    def follow(self, happened):
        for step in happened:
            match step:
                case Fill(taker, maker, price_ticks, quantity, taker_leaves, maker_leaves):
                    assert quantity > 0
                    self.lose(taker, quantity, taker_leaves)
                    self.lose(maker, quantity, maker_leaves)
                    for order_id in (taker, maker):
                        self.within_limit(self.orders[order_id], price_ticks)
                case Prevented(taker, maker, _, quantity, taker_leaves, maker_leaves):
                    assert quantity == min(self.leaves[taker], self.leaves[maker])
                    lost = {taker: self.leaves[taker] - taker_leaves, maker: self.leaves[maker] - maker_leaves}
                    assert all(loss in (0, quantity, self.leaves[order_id]) for order_id, loss in lost.items())
                    self.leaves |= {taker: taker_leaves, maker: maker_leaves}
                case Amended(order_id, _, leaves, _):
                    self.leaves[order_id] = leaves
                case Refreshed(order_id, shown, leaves):
                    assert shown == min(self.orders[order_id].display_quantity, leaves)
                    assert leaves == self.leaves[order_id]
                case Triggered(order_id, leaves):
                    assert leaves == self.leaves[order_id]
                case Cancelled(order_id, quantity):
                    self.lose(order_id, quantity, 0)
        return happened

    def lose(self, order_id, quantity, leaves):
        self.leaves[order_id] -= quantity
        assert self.leaves[order_id] == leaves

    @staticmethod
    def within_limit(order, price_ticks):
        assert price_ticks <= order.price_ticks if order.side == Side.BUY else price_ticks >= order.price_ticks

    def agree(self):
        """What the book holds is what was submitted and neither traded nor cancelled nor prevented."""
        held = {order.order_id: order.leaves for order in self.book.orders.values()}
        assert held == {order_id: leaves for order_id, leaves in self.leaves.items() if leaves}


@given(rules, st.lists(st.one_of(orders(), orders(), orders(), amends, cancels), max_size=30))
def test_the_book_is_never_crossed_and_loses_no_quantity(rule, steps):
    ledger = Ledger(Book(rule, last_ticks=44, reach_ticks=7))
    for step in steps:
        match step:
            case Order():
                ledger.submit(step)
            case ("cancel", order_id) if order_id in ledger.book.orders:
                ledger.follow([ledger.book.cancel(order_id)])
            case ("amend", order_id, price_ticks, quantity) if order_id in ledger.book.orders:
                ledger.follow(ledger.book.amend(order_id, price_ticks, quantity))
        ledger.book.check()
        ledger.agree()


@given(rules, st.lists(orders(resting), max_size=20), orders())
def test_a_taker_meets_the_orders_of_the_other_side_in_their_order(rule, makers, taker):
    book = Book(rule)
    ledger = Ledger(book)
    for maker in makers:
        ledger.submit(maker)
    queue = [order.order_id for order in book.resting() if order.side == taker.side.opposite]
    met = list(dict.fromkeys(step.maker for step in ledger.submit(taker) if isinstance(step, Fill | Prevented)))
    assert met == queue[: len(met)]
    passed_by = [order_id for order_id in met[:-1] if order_id in book.orders and not taker.waits]
    assert all(book.orders[order_id].display_quantity for order_id in passed_by), "only icebergs come again"


@given(st.lists(orders(resting), max_size=12), orders())
def test_fill_or_kill_trades_if_and_only_if_it_could_trade_in_full(makers, taker):
    ledger = Ledger(Book())
    for maker in makers:
        ledger.submit(maker)
    taker.order_type, taker.display_quantity = OrderType.LIMIT, 0
    quantity = taker.leaves

    def traded(time_in_force):
        twin, order = deepcopy(ledger.book), deepcopy(taker)
        order.order_id, order.time_in_force = len(makers) + 1, time_in_force
        return sum(step.quantity for step in twin.submit(order) if isinstance(step, Fill))

    at_once = traded(TimeInForce.IOC)
    assert traded(TimeInForce.FOK) == (quantity if at_once == quantity else 0)


@given(st.integers(0, 50), st.lists(orders(resting), max_size=20))
def test_an_auction_trades_its_volume_at_its_price_and_leaves_nothing_crossed(last_ticks, called):
    ledger = Ledger(Book(last_ticks=last_ticks))
    for order in called:
        ledger.submit(order, matching=False)
    book = ledger.book
    expected = uncrossing(book.levels(Side.BUY), book.levels(Side.SELL), last_ticks)
    fills = [step for step in ledger.follow(book.uncross()) if isinstance(step, Fill)]
    assert sum(fill.quantity for fill in fills) == (expected.volume if expected else 0)
    assert {fill.price_ticks for fill in fills} == ({expected.price_ticks} if expected else set())
    book.check()
    ledger.agree()


@given(st.lists(orders(resting), max_size=12), orders())
def test_an_icebergs_slices_change_who_trades_but_not_how_much_at_which_price(makers, taker):
    def volumes(hiding):
        book, found = Book(), Counter()
        for order_id, order in enumerate(deepcopy([*makers, taker]), 1):
            order.order_id, order.group = order_id, 0
            order.display_quantity = order.display_quantity if hiding else 0
            for step in book.submit(order):
                if isinstance(step, Fill):
                    found[step.taker, step.price_ticks] += step.quantity
        return found

    assert volumes(hiding=True) == volumes(hiding=False)
