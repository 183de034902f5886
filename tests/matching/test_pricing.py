"""At which price two orders trade and a day closes: tables."""

import numpy as np
import pytest
from numba import njit

from matching.book import Book, Order
from matching.orders import Side
from matching.pricing import (
    ExecutionPrice,
    closing_price_ticks,
    execution_price,
    median_of_three,
    round_half_up,
)

pytestmark = pytest.mark.kernels


@njit(_nrt=False)
def price_of(rule, taker_buys, taker_ticks, maker_ticks, last_ticks):
    return execution_price(rule, taker_buys, taker_ticks, maker_ticks, last_ticks)


@njit(_nrt=False)
def median(bid_ticks, ask_ticks, last_ticks):
    return median_of_three(bid_ticks, ask_ticks, last_ticks)


@pytest.mark.parametrize(
    ("bid", "ask", "last", "price"),
    [
        (4200, 4100, 4150, 4150),  # the last price lies between the limits: both sides fare better
        (4200, 4100, 4300, 4200),  # above both: the buyer's limit
        (4200, 4100, 4000, 4100),  # below both: the seller's limit
        (4200, 4100, 4200, 4200),
        (4200, 4100, 4100, 4100),
        (4200, 4200, 4300, 4200),  # equal limits leave no choice
        (4200, 4200, 4000, 4200),
    ],
)
def test_hubei_trades_at_the_median_of_both_limits_and_the_last_price(
    bid: int, ask: int, last: int, price: int
) -> None:
    rule = ExecutionPrice.MEDIAN_OF_THREE
    assert median(bid, ask, last) == price == sorted((bid, ask, last))[1]
    assert price_of(int(rule), True, bid, ask, last) == price, "the buyer comes second"
    assert price_of(int(rule), False, ask, bid, last) == price, "the seller comes second"
    for taker, maker in ((Side.BUY, Side.SELL), (Side.SELL, Side.BUY)):
        limit = {Side.BUY: bid, Side.SELL: ask}
        book = Book(rule, last)
        book.submit(Order(1, maker, limit[maker], 10))
        (fill,) = book.submit(Order(2, taker, limit[taker], 10))
        assert fill.price_ticks == book.last_ticks == price


@pytest.mark.parametrize("taker_buys", [True, False])
@pytest.mark.parametrize("last", [0, 4150, 9999])
def test_elsewhere_the_resting_order_sets_the_price(taker_buys: bool, last: int) -> None:
    taker, maker = (4200, 4100) if taker_buys else (4100, 4200)
    assert price_of(int(ExecutionPrice.MAKER), taker_buys, taker, maker, last) == maker


def test_the_rules_have_the_numbers_of_the_instruments_rows() -> None:
    assert [(rule.name, rule.value) for rule in ExecutionPrice] == [
        ("MAKER", 0),
        ("MEDIAN_OF_THREE", 1),
        ("SELLER_PRICE", 2),
    ]


@pytest.mark.parametrize("last", [0, 4150, 9999])
@pytest.mark.parametrize(("bid", "ask"), [(4200, 4100), (4200, 4200), (9999, 1)])
def test_at_first_hubei_traded_at_the_lower_of_both_limits_whoever_came_first(bid: int, ask: int, last: int) -> None:
    rule = ExecutionPrice.SELLER_PRICE
    assert price_of(int(rule), True, bid, ask, last) == ask, "the buyer comes second"
    assert price_of(int(rule), False, ask, bid, last) == ask, "the seller comes second"
    for taker, maker in ((Side.BUY, Side.SELL), (Side.SELL, Side.BUY)):
        limit = {Side.BUY: bid, Side.SELL: ask}
        book = Book(rule, last)
        book.submit(Order(1, maker, limit[maker], 10))
        (fill,) = book.submit(Order(2, taker, limit[taker], 10))
        assert fill.price_ticks == book.last_ticks == ask


@pytest.mark.parametrize(
    ("rule", "trades", "close"),
    [
        ("day_vwap", [(4200, 100)], 4200),
        ("day_vwap", [(4200, 100), (4300, 300)], 4275),
        ("day_vwap", [(4200, 1), (4201, 1)], 4201),  # 4200.5 rounds up
        ("day_vwap", [(4200, 2), (4201, 1)], 4200),  # 4200.33 does not
        ("day_vwap", [(4200, 1), (4201, 2)], 4201),
        ("last_5_vwap", [(9000, 999), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)], 3),  # the sixth last has no say
        ("last_5_vwap", [(10, 1), (11, 1)], 11),  # fewer than five: all of them
        ("last_trade", [(4200, 100), (4300, 1)], 4300),
        ("day_vwap", [], 4000),  # no trade: the close before stands
        ("last_5_vwap", [], 4000),
        ("last_trade", [], 4000),
    ],
)
def test_the_closing_price_follows_from_the_days_trades(rule: str, trades: list[tuple[int, int]], close: int) -> None:
    columns = np.array(trades, np.int64).reshape(-1, 2)
    assert closing_price_ticks(rule, columns[:, 0], columns[:, 1], 4000) == close


def test_an_unknown_closing_rule_is_an_error() -> None:
    one = np.ones(1, np.int64)
    with pytest.raises(ValueError, match="no closing price rule 'guess'"):
        closing_price_ticks("guess", one, one, 4000)


@pytest.mark.parametrize(
    ("numerator", "denominator", "rounded"), [(1, 2, 1), (1, 3, 0), (2, 3, 1), (5, 2, 3), (7, 7, 1), (149, 100, 1)]
)
def test_halves_round_upwards(numerator: int, denominator: int, rounded: int) -> None:
    assert round_half_up(numerator, denominator) == rounded
