"""The call auction: at which single price a crossed book trades the most.

All bids at or above the price buy, all asks at or below it sell, by priority, until one side has nothing
left. The price follows from the orders by four rules; each decides only what those before it left open:

| rule          | the better of two prices is the one          | because                                 |
|---------------|----------------------------------------------|-----------------------------------------|
| 1. volume     | at which more trades: min(demand, supply)    | as much as can be is served             |
| 2. imbalance  | with less left over: abs(demand - supply)    | it presses least on the next price      |
| 3. reference  | nearer the reference price, the last trade's | the market moves no more than it has to |
| 4. the higher | that is higher                               | something has to decide                 |

demand is the quantity of all bids at or above the price, supply that of all asks at or below it. A market
without a last price has a reference of 0, so that its third rule takes the lowest price.

The higher the price, the less the demand and the more the supply. So prices best by the first two rules
lie side by side: from the lowest to the highest of them there is no other, one alone is nearest the
reference, and the fourth rule never has to speak. Demand changes just above a bid, supply at an ask, neither
elsewhere: the lowest and the highest are limits or the neighbours of limits.

Volume, surplus and a reference price are principles of most call auctions; see Comerton-Forde and Rydge,
"The influence of call auction algorithm rules on market efficiency", Journal of Financial Markets 9, 2006.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

Level = tuple[int, int]  # price in ticks, quantity in tCO2e
_Integers = np.ndarray[Any, np.dtype[np.int64]]


class Uncrossing(NamedTuple):
    """What an auction comes to: price in ticks, quantities in tCO2e."""

    price_ticks: int
    volume: int  # what trades
    imbalance: int  # what is left over at the price: of buyers if positive, of sellers if negative


def uncrossing(bids: Iterable[Level], asks: Iterable[Level], reference_ticks: int) -> Uncrossing | None:
    """The price at which a call auction trades, and how much; None if no bid reaches an ask.

    Levels are (price in ticks, quantity > 0) in any order and may repeat a price; the reference is in ticks,
    0 for none. O(n log n) in the number of levels.
    """
    bid_ticks, bid_quantity = _columns(bids)
    ask_ticks, ask_quantity = _columns(asks)
    if not bid_ticks.size or not ask_ticks.size or bid_ticks.max() < ask_ticks.min():
        return None
    limits = np.concatenate([bid_ticks, ask_ticks])
    prices = np.unique(np.concatenate([limits - 1, limits, limits + 1]))
    prices = prices[(ask_ticks.min() <= prices) & (prices <= bid_ticks.max())]

    demand = _quantity_up_to(-prices, -bid_ticks, bid_quantity)
    supply = _quantity_up_to(prices, ask_ticks, ask_quantity)
    volume = np.minimum(demand, supply)
    left_over = np.where(volume == volume.max(), abs(demand - supply), np.iinfo(np.int64).max)
    best = prices[left_over == left_over.min()]
    price_ticks = min(max(reference_ticks, int(best[0])), int(best[-1]))

    demand_there = int(bid_quantity[bid_ticks >= price_ticks].sum())
    supply_there = int(ask_quantity[ask_ticks <= price_ticks].sum())
    return Uncrossing(price_ticks, min(demand_there, supply_there), demand_there - supply_there)


def _columns(levels: Iterable[Level]) -> tuple[_Integers, _Integers]:
    """The prices and the quantities of levels."""
    columns = np.array(list(levels), np.int64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]


def _quantity_up_to(prices: _Integers, limits: _Integers, quantity: _Integers) -> _Integers:
    """For each price the quantity of all orders whose limit is at most the price."""
    order = np.argsort(limits)
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(quantity[order])])
    found: _Integers = sums[np.searchsorted(limits[order], prices, side="right")]
    return found
