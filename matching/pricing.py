"""At which price two crossing orders trade, and at which price a day closes.

Execution price (rule set key `execution_price`):

- ``maker``: the resting order's limit, the rule of most order books.
- ``seller_price``: the seller's limit, the lower of the two. Hubei 2014-04-02 to 2016-12-23 (A.4, row 1).
- ``median_of_three``: the median of the buyer's limit, the seller's limit and the previous trade
  price (before the first trade of a day: the previous close). Hubei, negotiated trading, notice in
  force by 2019-07-30 (domain sheet A.4). Both sides can fare better than their limit.

Closing price (rule set key `closing_price`): ``day_vwap`` (Hubei from 2023-10-18), ``last_5_vwap``
(Hubei 2016-12-26 to 2023-10-17) or ``last_trade``; a day without a trade keeps the previous close.
"""

from enum import IntEnum
from typing import Any

import numpy as np
from numba import njit

inlined = njit(_nrt=False, forceinline=True)


class ExecutionPrice(IntEnum):
    """How the price of a trade follows from the two limits."""

    MAKER = 0
    MEDIAN_OF_THREE = 1
    SELLER_PRICE = 2


MEDIAN_OF_THREE, SELLER_PRICE = int(ExecutionPrice.MEDIAN_OF_THREE), int(ExecutionPrice.SELLER_PRICE)


@inlined
def median_of_three(bid_ticks, ask_ticks, last_ticks):
    """The middle one of three prices in ticks, where bid >= ask."""
    if last_ticks > bid_ticks:
        return bid_ticks
    if last_ticks < ask_ticks:
        return ask_ticks
    return last_ticks


@inlined
def execution_price(rule, taker_buys, taker_ticks, maker_ticks, last_ticks):
    """Price in ticks at which a taker and a maker with crossing limits trade."""
    if rule == MEDIAN_OF_THREE:
        bid_ticks = taker_ticks if taker_buys else maker_ticks
        ask_ticks = maker_ticks if taker_buys else taker_ticks
        return median_of_three(bid_ticks, ask_ticks, last_ticks)
    if rule == SELLER_PRICE and not taker_buys:
        return taker_ticks
    return maker_ticks


def round_half_up(numerator: int, denominator: int) -> int:
    """The quotient of two positive integers, rounded to the nearest integer, halves upwards."""
    return (2 * numerator + denominator) // (2 * denominator)


def closing_price_ticks(
    rule: str,
    price_ticks: np.ndarray[Any, np.dtype[np.int64]],
    quantity: np.ndarray[Any, np.dtype[np.int64]],
    previous_close_ticks: int,
) -> int:
    """Closing price in ticks from a day's trades, oldest first; averages are rounded half-up to the tick."""
    if not price_ticks.size:
        return previous_close_ticks
    match rule:
        case "day_vwap":
            considered = slice(None)
        case "last_5_vwap":
            considered = slice(-5, None)
        case "last_trade":
            return int(price_ticks[-1])
        case _:
            raise ValueError(f"no closing price rule {rule!r}")
    turnover = int((price_ticks * quantity)[considered].sum())
    return round_half_up(turnover, int(quantity[considered].sum()))
