"""Each statistic against a value worked by hand, and against nothing at all."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.journal import SqliteJournal
from exchange.research import measures as m
from exchange.research.counterfactual import played
from exchange.research.tape import Tape
from exchange.research.taped import taped
from exchange.rows import EVENT
from tests.exchange.market import Market, cash, units
from tests.exchange.research.play import FEW, flow, flows


def a(*values):
    return np.array(values, float)


def i(*values):
    return np.array(values, np.int64)


NOTHING = a()
DAYS = np.array(["2024-11-01", "2024-12-01", "2024-12-20", "2025-01-02"], "M8[D]")
DEADLINE = np.datetime64("2024-12-31")

BY_HAND = {
    # (2 x 3 + 4 x 1) / 4; the third state has no bid
    "quoted spread": (m.quoted_spread(i(99, 98, 0), i(101, 102, 103), a(3, 1, 9)), 2.5),
    # 10,000 x 2 / 100
    "relative spread": (m.relative_spread(i(99), i(101), a(1)), 200),
    # (2 x 1 x 10 + 2 x 3 x 30) / 40
    "effective spread": (m.effective_spread(i(101, 97), a(100, 100), i(1, -1), i(10, 30)), 5),
    # the mid has followed the buyer by 2: 2 x (101 - 102) = -2; the seller by 1: 2 x (99 - 97) = 4
    "realised spread": (m.realised_spread(i(101, 97), a(102, 99), i(1, -1), i(10, 30)), (-2 * 10 + 4 * 30) / 40),
    "price impact": (m.price_impact(a(100, 100), a(102, 99), i(1, -1), i(10, 30)), (4 * 10 + 2 * 30) / 40),
    # changes 1 -1 1 -1: pairs (-1, 1) (1, -1) (-1, 1), covariance -8/3 / 2 = -4/3
    "Roll spread": (m.roll_spread(i(100, 101, 100, 101, 100)), 2 * math.sqrt(4 / 3)),
    "depth": (m.depth(i(10, 0), i(20, 6), a(1, 3)), (15 * 1 + 3 * 3) / 4),
    "imbalance": (m.imbalance(i(30, 0, 0), i(10, 6, 0), a(1, 1, 5)), (0.5 - 1) / 2),
    # an amend is a cancellation and a new order: 60 + 2 x 10 + 30, over 20, less 1
    "order-to-trade": (m.order_to_trade(60, 10, 30, 20), 4.5),
    "cancel ratio": (m.cancel_ratio(60, 30), 0.5),
    "time to fill": (m.time_to_fill(a(0, 1, 2, 3), a(5, np.nan, 3, 10)), 5),
    # the four-firm example of the US merger guidelines: 30, 30, 20, 20 per cent is 2,600
    "concentration": (10_000 * m.concentration(a(30, 30, 20, 20)), 2600),
    # ln 1.1 twice, up and down
    "realised volatility": (m.realised_volatility(a(100, 110, 100)), math.sqrt(2) * math.log(1.1)),
    # 0.01 / 2 and 0.03 / 1; the third day had no turnover
    "Amihud": (m.amihud(a(0.01, -0.03, 0.0), a(2, 1, 0)), 0.0175),
    # changes (1, 2, 6) on volumes (0, 10, 20): (10 x 5) / 200
    "Kyle lambda": (m.kyle_lambda(a(1, 2, 6), a(0, 10, 20)), 0.25),
    "turnover ratio": (m.turnover_ratio(5.57e6, 180e6), 5.57 / 180),
    "zero-trade days": (m.zero_trade_day_share(i(0, 5, 0, 7)), 0.5),
    "limit hits": (m.limit_hit_share(a(110, 105, np.nan), a(100, 90, np.nan), a(90, 90, 90), a(110, 110, 110)), 1.0),
    "deadline": (m.deadline_share(DAYS, a(1, 2, 4, 3), DEADLINE), 0.4),
    "blocks": (m.block_share(30, 120), 0.25),
    "cover ratio": (m.cover_ratio(250, 100), 2.5),
    "settlement efficiency": (m.settlement_efficiency(97, 100), 0.97),
    # three members: 100 - 60, 60 - 80, 80 - 100
    "netting efficiency": (m.netting_efficiency(a(40, -20, -20), a(160, 140, 180)), 1 - 80 / 480),
}


@pytest.mark.parametrize(("found", "expected"), BY_HAND.values(), ids=BY_HAND)
def test_a_statistic_is_what_a_hand_works_out(found, expected):
    assert found == pytest.approx(expected, rel=1e-12)


NOT_A_NUMBER = {
    "no trade": m.effective_spread(NOTHING, NOTHING, NOTHING, NOTHING),
    "no mid before the only trade": m.effective_spread(i(100), a(np.nan), i(1), i(5)),
    "a side that was always empty": m.quoted_spread(i(0, 0), i(5, 6), a(1, 1)),
    "an empty book": m.imbalance(i(0), i(0), a(1)),
    "three prices": m.roll_spread(i(1, 2, 1)),
    "prices that trend": m.roll_spread(i(1, 2, 4, 7, 11, 16)),
    "one price": m.realised_volatility(a(100)),
    "as many returns as steps": m.variance_ratio(a(1, 2, 3), 2),
    "prices that never move": m.variance_ratio(a(5, 5, 5, 5, 5), 2),
    "the z of too few": m.variance_ratio_z(a(1, 2, 3), 2),
    "the z of prices that never move": m.variance_ratio_z(a(5, 5, 5, 5, 5), 2),
    "one day": m.amihud(m.log_returns(a(100)), NOTHING),
    "no day with turnover": m.amihud(a(0.1), a(0)),
    "two intervals": m.kyle_lambda(a(1, 2), a(3, 4)),
    "volume that never differs": m.kyle_lambda(a(1, 2, 3), a(3, 3, 3)),
    "no trades": m.order_to_trade(5, 0, 0, 0),
    "no orders": m.cancel_ratio(0, 0),
    "nobody filled": m.time_to_fill(a(1), a(np.nan)),
    "no buyers": m.concentration(NOTHING),
    "nothing bought": m.concentration(a(0, 0)),
    "no cap": m.turnover_ratio(5, 0),
    "no days": m.zero_trade_day_share(NOTHING),
    "days without trades": m.limit_hit_share(a(np.nan), a(np.nan), a(1), a(2)),
    "no volume": m.deadline_share(DAYS, a(0, 0, 0, 0), DEADLINE),
    "no volume to be blocks": m.block_share(0, 0),
    "nothing offered": m.cover_ratio(5, 0),
    "nothing due": m.settlement_efficiency(0, 0),
    "nothing to net": m.netting_efficiency(NOTHING, NOTHING),
}


@pytest.mark.parametrize("found", NOT_A_NUMBER.values(), ids=NOT_A_NUMBER)
def test_what_does_not_exist_is_not_a_number(found):
    assert math.isnan(found)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: m.log_returns(a(1, 0)),
        lambda: m.variance_ratio(a(1, 2, 3), 1),
        lambda: m.concentration(a(1, -1)),
    ],
)
def test_what_makes_no_sense_is_an_error(wrong):
    with pytest.raises(ValueError):
        wrong()


def test_the_variance_ratio_is_lo_and_mackinlays():
    """Log prices 0 1 0 2 1 2: returns 1 -1 2 -1 1, mean 0.4, and with T = 5, q = 2

    s1 = (0.36 + 1.96 + 2.56 + 1.96 + 0.36) / 4 = 1.8
    two steps 0 1 1 0 less 0.8: 0.64 + 0.04 + 0.04 + 0.64 = 1.36; m = 2 x 4 x 0.6 = 4.8; s2 = 0.28333
    """
    prices = np.exp(a(0, 1, 0, 2, 1, 2))
    assert m.variance_ratio(prices, 2) == pytest.approx(1.36 / 4.8 / 1.8)


def test_the_z_of_a_variance_ratio_is_lo_and_mackinlays():
    """The same five returns: squared deviations 0.36 1.96 2.56 1.96 0.36, sum 7.2.

    delta_1 = 5 (0.36 x 1.96 + 1.96 x 2.56 + 2.56 x 1.96 + 1.96 x 0.36) / 7.2^2 = 5 x 11.4464 / 51.84, and with q = 2
    theta is (2 x 1 / 2)^2 delta_1; for independent returns of one variance it is 2 x 3 x 1 / 6 = 1.
    """
    prices, ratio = np.exp(a(0, 1, 0, 2, 1, 2)), 1.36 / 4.8 / 1.8
    delta = 5 * 11.4464 / 51.84
    assert m.variance_ratio_z(prices, 2) == pytest.approx(math.sqrt(5) * (ratio - 1) / math.sqrt(delta))
    assert m.variance_ratio_z(prices, 2, robust=False) == pytest.approx(math.sqrt(5) * (ratio - 1))


def test_the_z_of_random_walks_is_standard_normal():
    """Of 400 walks whose volatility doubles half way about 5 % are beyond 1.96."""
    rng = np.random.default_rng(9)
    scale = np.repeat([0.01, 0.02], 500)
    found = np.array([m.variance_ratio_z(np.exp(np.cumsum(rng.normal(0, scale))), 4) for _ in range(400)])
    assert abs(found.mean()) < 0.2 and found.std() == pytest.approx(1, abs=0.1)
    assert 0.02 < (np.abs(found) > 1.96).mean() < 0.09


def test_the_variance_ratio_of_a_random_walk_is_one_and_of_a_bounce_below():
    rng = np.random.default_rng(7)
    walk = np.cumsum(rng.normal(0, 0.01, 100_000))
    assert m.variance_ratio(np.exp(walk), 5) == pytest.approx(1, abs=0.02)
    assert m.variance_ratio(np.exp(walk + rng.choice([-0.01, 0.01], walk.size)), 5) < 0.6


def test_roll_finds_the_spread_that_made_the_bounce():
    """A random walk traded at random at bid or ask of a spread of 4: Roll's own model."""
    rng = np.random.default_rng(8)
    prices = 1000 + np.cumsum(rng.normal(0, 1, 100_000)) + rng.choice([-2, 2], 100_000)
    assert m.roll_spread(prices) == pytest.approx(4, rel=0.02)


@given(st.lists(st.tuples(st.integers(90, 110), st.integers(90, 110), st.integers(90, 110), st.sampled_from([1, -1]),
                          st.integers(1, 9)), min_size=1))  # fmt: skip
def test_the_effective_spread_is_the_realised_one_and_the_impact(trades):
    price, mid, later, sign, quantity = map(np.array, zip(*trades, strict=True))
    mid, later = mid.astype(float), later.astype(float)
    parts = m.realised_spread(price, later, sign, quantity) + m.price_impact(mid, later, sign, quantity)
    assert m.effective_spread(price, mid, sign, quantity) == pytest.approx(parts, abs=1e-9)


@given(st.lists(st.integers(1, 10**9), min_size=1))
def test_concentration_lies_between_one_share_each_and_one_for_all(amounts):
    assert 1 / len(amounts) - 1e-12 <= m.concentration(np.array(amounts)) <= 1


# ---------------------------------------------------------------- of events

LINES = (
    "new 1 sell 10 @ 44",
    "new 2 buy 10 @ 40",
    "new 3 buy 4 @ 44",  # takes 4 from 1
    "new 4 buy 2 @ 43 IOC",
    "cancel 2",
    "cancel 2",
    "new 5 buy 9 @ 44",  # takes 6 from 1, rests with 3
    "new 6 sell 3 @ 44",  # takes 3 from 5
)


def figures(tape, **options):
    return {figure.name: figure.value for figure in m.summary(tape, **options)}


def test_a_short_day_by_hand():
    found = figures(Tape(played(flow(*LINES))), horizon=1)
    assert (found["messages"], found["orders accepted"], found["trades"], found["volume"]) == (8, 6, 3, 13)
    assert (found["cancels refused"], found["VWAP"], found["last price"]) == (1, 44, 44)
    assert found["quoted spread"] == 4  # rows 1 to 3
    assert found["effective spread"] == 4  # row 2; before the others one side was empty
    assert found["cancel ratio"] == pytest.approx(2 / 6) and found["order-to-trade"] == pytest.approx(8 / 6 - 1)
    assert found["median time to fill"] == 2  # order 1 waited from row 0 to row 2; 5 took before it rested
    assert math.isnan(found["variance ratio of trade prices, q = 5"])


def test_orders_to_transactions_are_counted_as_the_regulation_does(tmp_path):
    """Of a journal: alice 2 orders, one of them IOC that is cancelled in part; bob 3, an amend and a cancel; carol 2.

    Not counted: bob's refused order, his mass cancel, what ends with the day.
    """
    journal = SqliteJournal(tmp_path / "own.journal", durable=False)
    people = {name: cash("90000.00") + units(1000) for name in ("alice", "bob", "carol")}
    made = Market("hubei", journal=journal, **people)
    made.play(
        """bob sells 10 @ 42.00
        alice buys 15 @ 42.00 ioc
        bob sells 20 @ 42.10
        bob amends order 3 to 30 @ 42.10
        bob sells 5 @ 99.00
        bob sells 5 @ 42.20
        bob cancels order 4
        carol sells 8 @ 42.10
        alice buys 6 @ 42.10
        carol sells 7 @ 42.30
        bob cancels all
        close"""
    )
    _, _, tape = taped(tmp_path / "own.journal", "", lambda loops: None)
    alice, bob, carol = (m.order_messages(tape, made.number(name)) for name in people)
    assert alice == (2, 0, 1, 2)
    assert bob == (3, 1, 1, 2)
    assert carol == (2, 0, 0, 0)
    assert m.order_messages(tape) == (7, 1, 2, 4)
    assert m.order_to_trade(*bob) == (3 + 2 + 1) / 2 - 1
    assert figures(tape)["order-to-trade"] == (7 + 2 + 2) / 4 - 1


def test_concentration_is_of_traders_and_not_of_trades(tmp_path):
    """alice buys 30 and 10, carol 40: half each. bob sells 60 of them and dave 20."""
    journal = SqliteJournal(tmp_path / "own.journal", durable=False)
    people = {name: cash("90000.00") + units(1000) for name in ("alice", "bob", "carol", "dave")}
    made = Market("hubei", journal=journal, **people)
    made.play(
        """bob sells 60 @ 42.00
        alice buys 30 @ 42.00
        carol buys 30 @ 42.00
        alice buys 10 @ 42.00
        carol buys 10 @ 42.00
        dave sells 20 @ 42.00"""
    )
    _, _, tape = taped(tmp_path / "own.journal", "", lambda loops: None)
    bought, sold = m.traded_by(tape)
    assert sorted(bought) == [0, 0, 40, 40] and sorted(sold) == [0, 0, 20, 60]
    found = figures(tape)
    assert found["concentration of buyers"] == pytest.approx(0.5)
    assert found["concentration of sellers"] == pytest.approx(0.75**2 + 0.25**2)
    assert math.isnan(figures(Tape(played(flow(*LINES))))["concentration of buyers"])  # nobody has a name


def test_time_weights_what_lasted():
    rows = flow(*LINES[:3], "new 7 sell 1 @ 42", "cancel 7")
    times = np.array([0, 10, 20, 30, 110])
    assert figures(Tape(played(rows), times))["quoted spread"] == pytest.approx((20 * 4 + 80 * 2) / 100)
    assert figures(Tape(played(rows), times))["median time to fill"] == pytest.approx(20e-9)
    assert figures(Tape(played(rows)))["quoted spread"] == pytest.approx((3 * 4 + 2) / 4)


def test_no_events_give_no_numbers_but_counts():
    found = figures(Tape(np.zeros(0, EVENT)))
    assert {name for name, value in found.items() if not math.isnan(value)} == {
        "messages", "orders accepted", "refused", "cancels refused", "amends refused", "trades", "volume",
    }  # fmt: skip


@settings(max_examples=FEW)
@given(flows)
def test_every_flow_has_a_summary(rows):
    found = figures(Tape(played(rows)))
    assert found["trades"] >= 0 and not math.isinf(sum(value for value in found.values() if not math.isnan(value)))
