"""The readable book: price-time priority in sorted containers. The specification of the compiled ladder.

A side is a ``SortedDict`` from price to a dict of orders: the dict keeps arrival order and gives up any
order without a search. Buying and selling are one text; the directions differ in one comparison.

    >>> book = Book()
    >>> book.submit(Order(1, Side.SELL, 4200, 100))
    []
    >>> book.submit(Order(2, Side.BUY, 4210, 30))
    [Fill(taker=2, maker=1, price_ticks=4200, quantity=30, maker_leaves=70, taker_leaves=0)]

Subclass it, step through it, print it. The exchange itself trades on :mod:`matching.ladder`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sortedcontainers import SortedDict

from matching.orders import Side, TimeInForce
from matching.pricing import ExecutionPrice


@dataclass(slots=True)
class Order:
    """An order; prices in ticks, quantities in tCO2e."""

    order_id: int
    side: Side
    price_ticks: int
    leaves: int
    time_in_force: TimeInForce = TimeInForce.DAY
    owner: int = 0
    turnover: int = 0


@dataclass(frozen=True, slots=True)
class Fill:
    """One step of a match; a maker_leaves of 0 means that the maker has left the book."""

    taker: int
    maker: int
    price_ticks: int
    quantity: int
    maker_leaves: int
    taker_leaves: int


class Book:
    """One instrument's orders by price, then time of arrival.

    Complexity: best price and a fill O(1) amortised after finding a level in O(log levels); cancel
    O(log levels).
    """

    def __init__(self, execution_price: ExecutionPrice = ExecutionPrice.MAKER, last_ticks: int = 0) -> None:
        self.execution_price = execution_price
        self.last_ticks = last_ticks
        self.sides: dict[Side, SortedDict[int, dict[int, Order]]] = {side: SortedDict() for side in Side}
        self.orders: dict[int, Order] = {}

    # -- changing the book

    def submit(self, order: Order) -> list[Fill]:
        """Match an order; what is left rests, unless it was to trade at once or not at all."""
        if order.time_in_force == TimeInForce.FOK and self.tradable(order) < order.leaves:
            return []
        fills = self.match(order)
        if order.leaves and order.time_in_force in (TimeInForce.GTC, TimeInForce.DAY):
            self.rest(order)
        return fills

    def amend(self, order_id: int, price_ticks: int, leaves: int) -> list[Fill]:
        """Give a resting order another price or quantity. KeyError if there is none of this id.

        Less quantity at the same price keeps its place in the queue; anything else is a new arrival and
        may trade.
        """
        order = self.orders[order_id]
        if price_ticks == order.price_ticks and leaves < order.leaves:
            order.leaves = leaves
            return []
        self._unlink(order)
        order.price_ticks, order.leaves = price_ticks, leaves
        return self.submit(order)

    def match(self, taker: Order) -> list[Fill]:
        """Trade an order with the oldest orders at the best opposite prices while it crosses."""
        fills = []
        while taker.leaves and (maker := self.oldest_opposite(taker)):
            quantity = min(taker.leaves, maker.leaves)
            self.last_ticks = price_ticks = self.price_of(taker, maker)
            taker.leaves -= quantity
            self.reduce(maker.order_id, quantity)
            fills.append(Fill(taker.order_id, maker.order_id, price_ticks, quantity, maker.leaves, taker.leaves))
        return fills

    def rest(self, order: Order) -> None:
        """Put an order at the back of its price's queue without matching it."""
        self.orders[order.order_id] = order
        self.sides[order.side].setdefault(order.price_ticks, {})[order.order_id] = order

    def reduce(self, order_id: int, quantity: int) -> None:
        """Take `quantity` (at most its leaves) off a resting order; an order of nothing leaves the book."""
        order = self.orders[order_id]
        if not 0 < quantity <= order.leaves:
            raise ValueError(f"order {order_id} has {order.leaves} leaves, not {quantity}")
        order.leaves -= quantity
        if order.leaves == 0:
            self._unlink(order)

    def cancel(self, order_id: int) -> Order:
        """Take a resting order out of the book. KeyError if there is none of this id."""
        order = self.orders[order_id]
        self._unlink(order)
        return order

    def _unlink(self, order: Order) -> None:
        queue = self.sides[order.side][order.price_ticks]
        del queue[order.order_id]
        if not queue:
            del self.sides[order.side][order.price_ticks]
        del self.orders[order.order_id]

    # -- asking the book

    def oldest_opposite(self, taker: Order) -> Order | None:
        """The order that `taker` would trade with next; None if it does not cross."""
        best = self.best(taker.side.opposite)
        if best is None or not self.crosses(taker, best):
            return None
        queue: dict[int, Order] = self.sides[taker.side.opposite][best]
        return next(iter(queue.values()))

    def tradable(self, taker: Order) -> int:
        """How much an order would trade at once, at most its leaves."""
        found = 0
        for price, quantity in self.levels(taker.side.opposite):
            if found >= taker.leaves or not self.crosses(taker, price):
                break
            found += quantity
        return min(found, taker.leaves)

    @staticmethod
    def crosses(taker: Order, opposite_ticks: int) -> bool:
        """Whether an order would trade at an opposite price."""
        if taker.side == Side.BUY:
            return taker.price_ticks >= opposite_ticks
        return taker.price_ticks <= opposite_ticks

    def price_of(self, taker: Order, maker: Order) -> int:
        """Execution price in ticks of two crossing orders, by the book's rule (see `matching.pricing`)."""
        if self.execution_price == ExecutionPrice.MEDIAN_OF_THREE:
            return sorted((taker.price_ticks, maker.price_ticks, self.last_ticks))[1]
        return maker.price_ticks

    def best(self, side: Side) -> int | None:
        """Best price of a side in ticks; None if it is empty."""
        prices = self.sides[side]
        if not prices:
            return None
        return int(prices.peekitem(-1 if side == Side.BUY else 0)[0])

    def levels(self, side: Side) -> list[tuple[int, int]]:
        """(price_ticks, quantity) of a side, best first."""
        levels = [(price, sum(o.leaves for o in queue.values())) for price, queue in self.sides[side].items()]
        return levels[::-1] if side == Side.BUY else levels

    def resting(self) -> Iterator[Order]:
        """All orders: bids then asks, each by price-time priority."""
        for side in Side:
            prices = self.sides[side]
            for price in reversed(prices) if side == Side.BUY else prices:
                yield from prices[price].values()

    def check(self) -> None:
        """Assert that the book is sound: never crossed, no empty order or level, every order findable."""
        bid, ask = self.best(Side.BUY), self.best(Side.SELL)
        assert bid is None or ask is None or bid < ask, "the book is crossed"
        found = 0
        for side, prices in self.sides.items():
            for price, queue in prices.items():
                assert queue, "empty level"
                for order_id, order in queue.items():
                    found += 1
                    assert order.leaves > 0 and order.price_ticks == price and order.side == side
                    assert self.orders[order_id] is order
        assert found == len(self.orders), "an order is listed and not queued, or the reverse"
