"""The readable book: price-time priority in sorted containers. The specification of the compiled ladder.

A side is a ``SortedDict`` from price to a dict of orders: the dict keeps arrival order and gives up any
order without a search. Every side is sorted best price first, so buying and selling are one text; the
directions differ in one comparison, :func:`reaches`.

    >>> book = Book()
    >>> book.submit(Order(1, Side.SELL, 4200, 100))
    []
    >>> book.submit(Order(2, Side.BUY, 4210, 30))
    [Fill(taker=2, maker=1, price_ticks=4200, quantity=30, taker_leaves=0, maker_leaves=70)]

Every change answers with what it made happen, in order: fills and the other classes below.

What an order goes through:

1. A stop waits beside the book, in queues of its own; all others *arrive*. In a call auction nothing
   arrives: an order rests at once, the book may be crossed, and :meth:`Book.uncross` ends that.
2. Arriving, a fill-or-kill order is gone if it can't trade in full. Then the order trades with the oldest
   orders at the best prices, as far as its limit reaches; two orders of one beneficial owner do not trade
   but lose what the taker's self-trade prevention says.
3. What is left rests at the back of its price's queue, or is cancelled if it was to trade at once. An iceberg
   shows a slice; when the slice has traded, the next one is shown at the back of the queue.
4. When the order has come to rest or is gone, the stops that its trades reached arrive one after the other,
   and those that their trades reach behind them.

The book knows orders and prices. Accounts, money, price bands and phases of the day are left to others, and
so is whether an order's terms make sense; :meth:`Book.would_trade`, :meth:`Book.in_reach` and
:meth:`Book.market_bound` answer what they need to ask. Subclass it, step through it, print it. The exchange
itself trades on :mod:`matching.ladder`.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, takewhile
from operator import neg
from typing import TypeAlias

from sortedcontainers import SortedDict

from matching.auction import uncrossing
from matching.orders import OrderType, Priority, SelfTradePrevention, Side, TimeInForce
from matching.pricing import ExecutionPrice


@dataclass(slots=True)
class Order:
    """An order; prices in ticks, quantities in tCO2e. One that has left the book has no leaves."""

    order_id: int
    side: Side
    price_ticks: int  # its limit; of a market or stop order the worst price it may trade at
    leaves: int  # all of it, what an iceberg hides included
    time_in_force: TimeInForce = TimeInForce.DAY
    order_type: OrderType = OrderType.LIMIT
    stop_ticks: int = 0
    display_quantity: int = 0  # slice that an iceberg shows; 0: all of it
    post_only: bool = False  # for who asks before an order is submitted; the book does not refuse
    self_trade: SelfTradePrevention = SelfTradePrevention.BY_RULES  # BY_RULES: it trades with its own kind
    group: int = 0  # beneficial owner; 0: nobody
    shown: int = field(default=0, init=False)  # of a resting order: what may trade before it queues anew

    @property
    def waits(self) -> bool:
        """Whether it is a stop that no trade has reached."""
        return self.order_type.waits

    def lose(self, quantity: int) -> None:
        """Give up quantity without trading it: what is hidden first."""
        self.leaves -= quantity
        self.shown = min(self.shown, self.leaves)


# ---------------------------------------------------------------- what can happen


@dataclass(frozen=True, slots=True)
class Fill:
    """Two orders trade: one step of a match. In an auction the buyer stands for the taker.

    Leaves are those after the fill; an order without leaves has left the book.
    """

    taker: int
    maker: int
    price_ticks: int
    quantity: int
    taker_leaves: int
    maker_leaves: int


@dataclass(frozen=True, slots=True)
class Prevented:
    """Two orders of one beneficial owner met and did not trade `quantity`, the lesser of their leaves before."""

    taker: int
    maker: int
    price_ticks: int  # the maker's limit
    quantity: int
    taker_leaves: int
    maker_leaves: int


@dataclass(frozen=True, slots=True)
class Refreshed:
    """An iceberg's slice has traded; the next stands at the back of the queue."""

    order_id: int
    shown: int
    leaves: int


@dataclass(frozen=True, slots=True)
class Triggered:
    """A trade reached a stop price; the order arrives as a market or limit order."""

    order_id: int
    leaves: int


@dataclass(frozen=True, slots=True)
class Amended:
    """An order has new terms, before it trades by them."""

    order_id: int
    price_ticks: int
    leaves: int
    priority: Priority


@dataclass(frozen=True, slots=True)
class Cancelled:
    """An order has left the book untraded: on request, because it was not to rest, or out of reach."""

    order_id: int
    quantity: int
    out_of_reach: bool = False  # a triggered order that would rest too far from the others of its side


Happening = Fill | Prevented | Refreshed | Triggered | Amended | Cancelled
Queues: TypeAlias = "SortedDict[int, dict[int, Order]]"  # by price, best first; then by order id, oldest first


def reaches(side: Side, price_ticks: int, other_ticks: int) -> bool:
    """Whether a buyer's price is as high as another, a seller's as low."""
    return price_ticks >= other_ticks if side == Side.BUY else price_ticks <= other_ticks


class Book:
    """One instrument's orders by price, then time of arrival.

    `last_ticks` is the last trade's price, 0 for none. `reach_ticks` bounds how far apart the prices of one
    side may lie, lowest and highest included; None sets no bound.

    Complexity: the best price and a fill O(1) amortised once a level is found; coming, going and finding a level
    O(log levels); whatever counts quantities O(orders).
    """

    def __init__(
        self,
        execution_price: ExecutionPrice = ExecutionPrice.MAKER,
        last_ticks: int = 0,
        reach_ticks: int | None = None,
    ) -> None:
        self.execution_price = execution_price
        self.last_ticks = last_ticks
        self.reach_ticks = reach_ticks
        self.sides: dict[Side, Queues] = {Side.BUY: SortedDict(neg), Side.SELL: SortedDict()}
        self.stops: dict[Side, Queues] = {Side.BUY: SortedDict(), Side.SELL: SortedDict(neg)}
        self.orders: dict[int, Order] = {}  # all that rest or wait

    # -- changing the book

    def submit(self, order: Order, matching: bool = True) -> list[Happening]:
        """Take in an order. It arrives and may trigger stops; a stop waits; without `matching` it rests."""
        if order.waits or not matching:
            self.rest(order)
            return []
        happened = self.arrive(order)
        return happened + self.trigger(happened)

    def amend(
        self, order_id: int, price_ticks: int, quantity: int, stop_ticks: int = 0, matching: bool = True
    ) -> list[Happening]:
        """Give an order another limit, other leaves, another stop price (0: as it was). KeyError if there is none.

        Less quantity at the same prices keeps its place in the queue; anything else is submitted anew.
        """
        order = self.orders[order_id]
        stop_ticks = stop_ticks or order.stop_ticks
        if (price_ticks, stop_ticks) == (order.price_ticks, order.stop_ticks) and quantity < order.leaves:
            order.lose(order.leaves - quantity)
            return [Amended(order_id, price_ticks, quantity, Priority.KEPT)]
        self._leave(order)
        order.price_ticks, order.stop_ticks, order.leaves = price_ticks, stop_ticks, quantity
        return [Amended(order_id, price_ticks, quantity, Priority.LOST), *self.submit(order, matching)]

    def cancel(self, order_id: int) -> Cancelled:
        """Take out an order that rests or waits. KeyError if there is none of this id."""
        order = self.orders[order_id]
        self._leave(order)
        return self._cancelled(order)

    def reduce(self, order_id: int, quantity: int) -> None:
        """Take `quantity` (at most its leaves) off an order, hidden first; an order of nothing leaves the book."""
        order = self.orders[order_id]
        if not 0 < quantity <= order.leaves:
            raise ValueError(f"order {order_id} has {order.leaves} leaves, not {quantity}")
        order.lose(quantity)
        if order.leaves == 0:
            self._leave(order)

    def rest(self, order: Order) -> None:
        """Put an order at the back of its queue without matching it: in the book, or beside it while it waits."""
        order.shown = min(order.display_quantity or order.leaves, order.leaves)
        queues, price = self._place_of(order)
        queues.setdefault(price, {})[order.order_id] = order
        self.orders[order.order_id] = order

    def uncross(self) -> list[Happening]:
        """End a call auction: trade all that crosses at the one price of :mod:`matching.auction`.

        Here nobody is taker or maker, and orders of one beneficial owner trade. Triggers nothing by itself.
        """
        found = uncrossing(self.levels(Side.BUY), self.levels(Side.SELL), self.last_ticks)
        if found is None:
            return []
        self.last_ticks, left = found.price_ticks, found.volume
        happened: list[Happening] = []
        while left:
            bid, ask = self._first(Side.BUY), self._first(Side.SELL)
            quantity = min(bid.shown, ask.shown, left)
            left -= quantity
            refreshed = self._execute(bid, quantity) + self._execute(ask, quantity)
            fill = Fill(bid.order_id, ask.order_id, found.price_ticks, quantity, bid.leaves, ask.leaves)
            happened += [fill, *refreshed]
        return happened

    # -- the steps of an arrival

    def arrive(self, order: Order) -> list[Happening]:
        """Match an order; what is left rests, unless it was to trade at once or not at all."""
        if order.time_in_force == TimeInForce.FOK and self.tradable(order) < order.leaves:
            return [self._cancelled(order)]
        happened = self.match(order)
        if not order.leaves:
            return happened
        if not order.time_in_force.rests:
            return [*happened, self._cancelled(order)]
        if not self.in_reach(order):
            return [*happened, self._cancelled(order, out_of_reach=True)]
        self.rest(order)
        return happened

    def match(self, taker: Order) -> list[Happening]:
        """Let an order meet the oldest orders at the best opposite prices while it crosses."""
        happened: list[Happening] = []
        while taker.leaves and (maker := self.oldest_opposite(taker)):
            meet = self.prevent if self.prevents(taker, maker) else self.trade
            happened += meet(taker, maker)
        return happened

    def trade(self, taker: Order, maker: Order) -> list[Happening]:
        """One fill: at most what the maker shows."""
        quantity = min(taker.leaves, maker.shown)
        self.last_ticks = price_ticks = self.price_of(taker, maker)
        taker.leaves -= quantity
        refreshed = self._execute(maker, quantity)
        fill = Fill(taker.order_id, maker.order_id, price_ticks, quantity, taker.leaves, maker.leaves)
        return [fill, *refreshed]

    def prevent(self, taker: Order, maker: Order) -> list[Happening]:
        """Instead of a fill: taker and maker lose what the taker's self-trade prevention says."""
        quantity = min(taker.leaves, maker.leaves)
        taker_loses, maker_loses = {
            SelfTradePrevention.CANCEL_NEWEST: (taker.leaves, 0),
            SelfTradePrevention.CANCEL_OLDEST: (0, maker.leaves),
            SelfTradePrevention.CANCEL_BOTH: (taker.leaves, maker.leaves),
            SelfTradePrevention.DECREMENT: (quantity, quantity),
        }[taker.self_trade]
        taker.leaves -= taker_loses
        if maker_loses:
            self.reduce(maker.order_id, maker_loses)
        return [Prevented(taker.order_id, maker.order_id, maker.price_ticks, quantity, taker.leaves, maker.leaves)]

    def trigger(self, happened: Iterable[Happening]) -> list[Happening]:
        """Let the stops arrive that the trades among `happened` reached, and those that their trades reach."""
        triggered: list[Happening] = []
        queue = deque(self._take_reached(happened))
        while queue:
            order = queue.popleft()
            if order.order_type == OrderType.STOP:
                order.order_type, order.time_in_force = OrderType.MARKET, TimeInForce.IOC
            else:
                order.order_type = OrderType.LIMIT
            triggered.append(Triggered(order.order_id, order.leaves))
            arrival = self.arrive(order)
            triggered += arrival
            queue.extend(self._take_reached(arrival))
        return triggered

    def _take_reached(self, happened: Iterable[Happening]) -> list[Order]:
        """Take out the stops that trades reached: of buyers the lowest price first, then of sellers the highest."""
        prices = [fill.price_ticks for fill in happened if isinstance(fill, Fill)]
        if not prices:
            return []
        furthest = {Side.BUY: max(prices), Side.SELL: min(prices)}
        reached = [stop for stop in self.waiting() if reaches(stop.side, furthest[stop.side], stop.stop_ticks)]
        for stop in reached:
            self._leave(stop)
        return reached

    def _execute(self, order: Order, quantity: int) -> list[Happening]:
        """Take a fill off what a resting order shows; then it may be gone, or show its next slice."""
        order.leaves -= quantity
        order.shown -= quantity
        if order.shown:
            return []
        self._leave(order)
        if not order.leaves:
            return []
        self.rest(order)
        return [Refreshed(order.order_id, order.shown, order.leaves)]

    def _leave(self, order: Order) -> None:
        queues, price = self._place_of(order)
        del queues[price][order.order_id]
        if not queues[price]:
            del queues[price]
        del self.orders[order.order_id]

    @staticmethod
    def _cancelled(order: Order, out_of_reach: bool = False) -> Cancelled:
        quantity, order.leaves = order.leaves, 0
        return Cancelled(order.order_id, quantity, out_of_reach)

    # -- asking about an order

    @staticmethod
    def prevents(taker: Order, maker: Order) -> bool:
        """Whether two orders must not trade: they have one beneficial owner, and the taker minds."""
        return taker.self_trade != SelfTradePrevention.BY_RULES and taker.group == maker.group != 0

    def oldest_opposite(self, taker: Order) -> Order | None:
        """The order that `taker` would meet next; None if it does not cross."""
        best = self.best(taker.side.opposite)
        if best is None or not reaches(taker.side, taker.price_ticks, best):
            return None
        return self._first(taker.side.opposite)

    def would_trade(self, order: Order) -> bool:
        """Whether an order would meet another at once."""
        return self.oldest_opposite(order) is not None

    def tradable(self, taker: Order) -> int:
        """How much an order would trade at once, at most its leaves.

        An order of the same beneficial owner that stays in the way ends it, and with it what icebergs before
        it in its queue hide: their next slices come behind it.
        """
        found = 0
        for price, queue in self.sides[taker.side.opposite].items():
            if not reaches(taker.side, taker.price_ticks, price):
                break
            makers = list(queue.values())
            ahead = list(takewhile(lambda maker: not self.prevents(taker, maker), makers))
            if len(ahead) < len(makers) and taker.self_trade != SelfTradePrevention.CANCEL_OLDEST:
                found += sum(maker.shown for maker in ahead)
                break
            found += sum(maker.leaves for maker in makers if not self.prevents(taker, maker))
        return min(found, taker.leaves)

    def price_of(self, taker: Order, maker: Order) -> int:
        """Execution price in ticks of two crossing orders, by the book's rule (see `matching.pricing`).

        A market order names no limit: it agrees to the maker's.
        """
        if taker.order_type == OrderType.MARKET:
            return maker.price_ticks
        match self.execution_price:
            case ExecutionPrice.MEDIAN_OF_THREE:
                return sorted((taker.price_ticks, maker.price_ticks, self.last_ticks))[1]
            case ExecutionPrice.SELLER_PRICE:
                return min(taker.price_ticks, maker.price_ticks)
            case _:
                return maker.price_ticks

    def market_bound(self, side: Side, quantity: int) -> int:
        """The worst price in ticks that a quantity would trade at now, whoever owns the other side; 0 if empty.

        Where the other side has less than the quantity, its last price.
        """
        bound = 0
        for price, available in self.levels(side.opposite):
            if quantity <= 0:
                break
            bound = price
            quantity -= available
        return bound

    def is_reached(self, stop: Order) -> bool:
        """Whether the last trade lies at a stop's price or beyond already."""
        return self.last_ticks > 0 and reaches(stop.side, self.last_ticks, stop.stop_ticks)

    def in_reach(self, order: Order) -> bool:
        """Whether an order would stand near enough to all others of the queues it may come to stand in.

        Those are the stops of its side, where it waits, and its side of the book, where it has a limit. An
        order to be amended counts where it stands.
        """
        if self.reach_ticks is None:
            return True
        stands_at = [(self.stops[order.side], order.stop_ticks)] if order.waits else []
        if order.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
            stands_at.append((self.sides[order.side], order.price_ticks))
        return all(self._spread(queues, price) < self.reach_ticks for queues, price in stands_at)

    @staticmethod
    def _spread(queues: Queues, price: int) -> int:
        """How far apart the prices of queues lie with a further one."""
        ends = price, next(iter(queues), price), next(reversed(queues), price)
        return max(ends) - min(ends)

    # -- asking about the book

    def best(self, side: Side) -> int | None:
        """Best price of a side in ticks; None if it is empty."""
        return next(iter(self.sides[side]), None)

    def levels(self, side: Side) -> list[tuple[int, int]]:
        """(price_ticks, quantity) of a side, best first, what icebergs hide included."""
        return [(price, sum(order.leaves for order in queue.values())) for price, queue in self.sides[side].items()]

    def shown_levels(self, side: Side) -> list[tuple[int, int]]:
        """(price_ticks, quantity) of a side, best first, as the market sees it."""
        return [(price, sum(order.shown for order in queue.values())) for price, queue in self.sides[side].items()]

    def resting(self) -> Iterator[Order]:
        """All resting orders: bids then asks, each by price-time priority."""
        return chain.from_iterable(map(_by_priority, self.sides.values()))

    def waiting(self) -> Iterator[Order]:
        """All stops: of buyers then of sellers, each in the order in which one trade would reach them."""
        return chain.from_iterable(map(_by_priority, self.stops.values()))

    def _place_of(self, order: Order) -> tuple[Queues, int]:
        """The queues in which an order stands and its price there."""
        if order.waits:
            return self.stops[order.side], order.stop_ticks
        return self.sides[order.side], order.price_ticks

    def _first(self, side: Side) -> Order:
        """The oldest order at the best price of a side that is not empty."""
        return next(_by_priority(self.sides[side]))

    def check(self, may_be_crossed: bool = False) -> None:
        """Assert that the book is sound: not crossed outside a call auction, no empty order or level, all findable."""
        bid, ask = self.best(Side.BUY), self.best(Side.SELL)
        assert may_be_crossed or bid is None or ask is None or bid < ask, "the book is crossed"
        queued = 0
        for queues in (*self.sides.values(), *self.stops.values()):
            for price, queue in queues.items():
                assert queue, "empty level"
                for order_id, order in queue.items():
                    stands_in, stands_at = self._place_of(order)
                    assert stands_in is queues and stands_at == price, "an order stands where it does not belong"
                    assert self.orders[order_id] is order, "an order is queued and not listed"
                    assert 0 < order.shown <= order.leaves, "an order shows nothing, or more than it has"
                    assert order.shown <= (order.display_quantity or order.leaves), "a slice is too large"
                    queued += 1
        assert queued == len(self.orders), "an order is listed and not queued"


def _by_priority(queues: Queues) -> Iterator[Order]:
    """The orders of queues, best price first, then the oldest."""
    return chain.from_iterable(queue.values() for queue in queues.values())
