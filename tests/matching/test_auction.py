"""The price of a call auction: a table of cases worked by hand, and every price tried."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.auction import Uncrossing, uncrossing

# Bids, asks and reference price; then price, volume and imbalance.
CASES = {
    "a bid and an ask at one price": ([(42, 10)], [(42, 10)], 42, (42, 10, 0)),
    "volume decides": ([(43, 10), (42, 20)], [(41, 10), (42, 15)], 43, (42, 25, 5)),
    "volume decides, wherever the reference is": ([(50, 5), (42, 95)], [(42, 100)], 50, (42, 100, 0)),
    "imbalance decides: just above a bid of too many": ([(50, 10), (42, 20)], [(40, 10)], 40, (43, 10, 0)),
    "imbalance decides: just below an ask of too many": ([(50, 10)], [(40, 10), (48, 20)], 60, (47, 10, 0)),
    "imbalance decides: buyers left over": ([(50, 12), (42, 20)], [(40, 10)], 40, (43, 10, 2)),
    "imbalance decides: sellers left over": ([(50, 10)], [(40, 12), (48, 20)], 60, (47, 10, -2)),
    "reference decides: above all equal prices": ([(50, 10)], [(40, 10)], 55, (50, 10, 0)),
    "reference decides: below all equal prices": ([(50, 10)], [(40, 10)], 35, (40, 10, 0)),
    "reference decides: in a gap it is the price itself": ([(50, 10)], [(40, 10)], 46, (46, 10, 0)),
    "as much left over on either side, reference above": ([(50, 10), (44, 5)], [(40, 10), (45, 5)], 60, (50, 10, -5)),
    "as much left over on either side, reference below": ([(50, 10), (44, 5)], [(40, 10), (45, 5)], 30, (40, 10, 5)),
    "as much left over on either side, reference between": ([(50, 10), (44, 5)], [(40, 10), (45, 5)], 44, (44, 10, 5)),
    "no last price: the lowest of equal prices": ([(50, 10)], [(40, 10)], 0, (40, 10, 0)),
    "a buyer at any price": ([(1_000, 30)], [(42, 10), (43, 10)], 42, (43, 20, 10)),
    "a seller at any price": ([(42, 10), (41, 10)], [(1, 30)], 42, (41, 20, -10)),
    "orders of one price add up": ([(42, 4), (42, 6)], [(41, 3), (41, 7)], 42, (42, 10, 0)),
    "no cross": ([(41, 10)], [(42, 10)], 42, None),
    "no buyer": ([], [(42, 10)], 42, None),
    "no seller": ([(42, 10)], [], 42, None),
    "nobody": ([], [], 0, None),
}


@pytest.mark.parametrize(("bids", "asks", "reference", "expected"), CASES.values(), ids=CASES)
def test_an_auction_comes_to(bids, asks, reference, expected):
    assert uncrossing(bids, asks, reference) == expected


def tried_at_every_price(bids, asks, reference):
    """The four rules as they are told, price by price."""

    def at(price):
        demand = sum(quantity for limit, quantity in bids if limit >= price)
        supply = sum(quantity for limit, quantity in asks if limit <= price)
        return Uncrossing(price, min(demand, supply), demand - supply)

    def by_rules(found):
        return -found.volume, abs(found.imbalance), abs(found.price_ticks - reference), -found.price_ticks

    best = min(map(at, range(1, 40)), key=by_rules)
    return best if best.volume else None


levels = st.lists(st.tuples(st.integers(10, 30), st.integers(1, 4)), max_size=8)


@given(levels, levels, st.one_of(st.just(0), st.integers(5, 35)))
def test_no_other_price_is_better_by_the_rules(bids, asks, reference):
    assert uncrossing(bids, asks, reference) == tried_at_every_price(bids, asks, reference)


def lines_run(levels: int) -> int:
    """How many lines of Python an auction of so many levels a side takes."""
    bids = [(20_000 + level, 1 + level % 7) for level in range(levels)]
    asks = [(20_000 - levels // 2 + level, 1 + level % 5) for level in range(levels)]
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found = uncrossing(bids, asks, 20_000)
    finally:
        sys.settrace(before)
    assert found is not None and found.volume > 0
    return count


def test_no_line_is_run_for_each_level():
    lines_run(10)  # NumPy loads some of itself when it is first needed
    assert lines_run(10_000) == lines_run(1000) < 1000
