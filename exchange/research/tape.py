"""What events say about the book: best prices and depth after each message, trades, every order's place in its queue.

Nothing is matched here. An order's leaves follow from its events: what it came in with or was amended to, less what
it traded, until it is cancelled. Its price is the limit it last had, whatever it traded at. So any events will do,
those of this exchange or others in the same words, as long as they begin with an empty book; of an order that came
before the first event nothing is known, and its events are counted (`strangers`) and left out.

All is worked out column by column. Events are sorted by order, then time, into *touches*; a touch changes what an
order has at its price; these *changes*, in time order again, add up to the book. A change names the stay in the
queue that it belongs to, by the event that began it: an order is queued anew when it is amended to another price or
not less quantity, or an iceberg shows its next slice. What stands ahead of an order is the sum of the changes of
stays at its price that began before its own.

Quantities are tCO2e and include what icebergs hide; prices are ticks; 0 is no price.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from exchange.reasons import Reason
from exchange.research.compiled import entry
from exchange.rows import EventKind, type_of_rows

LEVELS = 5  # of the deeper measure of depth
BUY = 0
_SETS = (EventKind.ACCEPTED, EventKind.AMENDED, EventKind.TRIGGERED)  # these name a limit and leaves
_TOUCHES = (*_SETS, EventKind.TRADED, EventKind.CANCELLED, EventKind.PREVENTED, EventKind.REFRESHED)

type_of_numbers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Changes:
    """What the orders have in the book, as differences in the order in which they came about."""

    event: type_of_numbers  # which event
    side: type_of_numbers
    price_ticks: type_of_numbers
    quantity: type_of_numbers  # more or less of it
    orders: type_of_numbers  # 1: one more order, -1: one less
    stay: type_of_numbers  # event with which this stay in the queue began


@dataclass(frozen=True)
class BookPath:
    """The book after each message: best prices in ticks (0: none), depth in tCO2e at the best and the five best."""

    bid: type_of_numbers
    ask: type_of_numbers
    bid_depth: type_of_numbers
    ask_depth: type_of_numbers
    bid_depth_5: type_of_numbers
    ask_depth_5: type_of_numbers

    @property
    def mid(self) -> type_of_numbers:
        """Ticks; NaN where a side is empty."""
        return np.where((self.bid > 0) & (self.ask > 0), (self.bid + self.ask) / 2, np.nan)

    @property
    def spread(self) -> type_of_numbers:
        """Ticks; NaN where a side is empty."""
        return np.where((self.bid > 0) & (self.ask > 0), (self.ask - self.bid).astype(float), np.nan)


@dataclass(frozen=True)
class Trades:
    """Every fill. `sign` is 1 where a buyer took, -1 where a seller did, 0 in an auction.

    `mid_before` is that of the message before.
    """

    message: type_of_numbers  # place of the message that caused it
    price_ticks: type_of_numbers
    quantity: type_of_numbers
    sign: type_of_numbers
    taker: type_of_numbers
    maker: type_of_numbers
    mid_before: type_of_numbers


@dataclass(frozen=True)
class QueueHistory:
    """An order's place in its queue after each message that changed it, while it rests."""

    message: type_of_numbers
    price_ticks: type_of_numbers
    leaves: type_of_numbers
    ahead_quantity: type_of_numbers
    ahead_orders: type_of_numbers


class Tape:
    """Events of one instrument, to be asked. Pass EVENT rows that begin with an empty book.

    `times_ns` has the time of each message that said something, in order; without it a message is a unit of time.
    """

    def __init__(self, events: type_of_rows, times_ns: type_of_numbers | None = None) -> None:
        self.events = events
        self.sequences, self.message_of = np.unique(events["sequence"], return_inverse=True)
        if events.size and (np.diff(events["sequence"]) < 0).any():
            raise ValueError("events must be in the order of their messages")
        if times_ns is not None and times_ns.size != self.sequences.size:
            raise ValueError(f"{times_ns.size} times for {self.sequences.size} messages")
        self.times_ns = times_ns

    @property
    def messages(self) -> int:
        return int(self.sequences.size)

    def count(self, kind: EventKind) -> int:
        """How many events of a kind there are."""
        return int((self.events["kind"] == kind).sum())

    @cached_property
    def changes(self) -> Changes:
        return self._followed[0]

    @cached_property
    def strangers(self) -> int:
        """Events about orders that came before the first one."""
        return self._followed[1]

    @cached_property
    def _followed(self) -> tuple[Changes, int]:
        return _followed(self.events)

    @cached_property
    def path(self) -> BookPath:
        """The book after each message, in the order of `sequences`."""
        changes = self.changes
        prices, rank = np.unique(changes.price_ticks, return_inverse=True)
        found = np.zeros((6, self.messages), np.int64)
        follow_book(
            self.message_of[changes.event], changes.side.astype(np.int64), rank, changes.quantity,
            prices, np.array([-1, prices.size]), np.zeros((2, prices.size), np.int64), found,
        )  # fmt: skip
        return BookPath(*found)

    @cached_property
    def trades(self) -> Trades:
        where = np.flatnonzero(self.events["kind"] == EventKind.TRADED)
        traded = self.events[where]
        message = self.message_of[where]
        mid = np.concatenate([[np.nan], self.path.mid])  # nothing stands before the first message
        return Trades(
            message=message,
            price_ticks=traded["price_ticks"].copy(),
            quantity=traded["quantity"].copy(),
            sign=np.where(traded["reason"] == Reason.AUCTION, 0, np.where(traded["side"] == BUY, 1, -1)),
            taker=traded["order_id"].copy(),
            maker=traded["maker_order_id"].copy(),
            mid_before=mid[message],
        )

    def queue(self, order_id: int) -> QueueHistory:
        """Where an order stood, from its first message to its last; empty if it never rested."""
        touched = np.isin(self.events["kind"], _TOUCHES)
        its = touched & ((self.events["order_id"] == order_id) | (self.events["maker_order_id"] == order_id))
        of_order = Tape(self.events[its])
        began = np.flatnonzero(its)
        own = of_order.changes if began.size else None
        parts = []
        if own is not None:
            is_own = of_order.owner_of_changes == order_id
            for stay in np.unique(own.stay[is_own]):
                mine = is_own & (own.stay == stay)
                parts.append(self._stay(began[stay], began[own.event[mine]], own, mine))
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else [np.zeros(0, int)] * 5
        return QueueHistory(*columns)

    @cached_property
    def owner_of_changes(self) -> type_of_numbers:
        """Whose each change is: the order that the event at which its stay began names."""
        return self.events["order_id"][self.changes.stay]

    def _stay(
        self, stay: int, events: type_of_numbers, own: Changes, mine: type_of_numbers
    ) -> tuple[type_of_numbers, ...]:
        """One stay of an order: (message, price, leaves, quantity ahead, orders ahead) where one of them changes."""
        price, side = own.price_ticks[mine][0], own.side[mine][0]
        changes, message_of = self.changes, self.message_of
        ahead = (changes.price_ticks == price) & (changes.side == side) & (changes.stay < stay)
        at_message, own_message = message_of[changes.event[ahead]], message_of[events]
        leaves = np.cumsum(own.quantity[mine])
        last = own_message[-1] if leaves[-1] == 0 else self.messages
        points = np.unique(np.concatenate([own_message, at_message]))
        points = points[(points >= own_message[0]) & (points < last)]
        upto = np.searchsorted(at_message, points, side="right")
        quantity = np.concatenate([[0], np.cumsum(changes.quantity[ahead])])[upto]
        orders = np.concatenate([[0], np.cumsum(changes.orders[ahead])])[upto]
        own_leaves = leaves[np.searchsorted(own_message, points, side="right") - 1]
        return points, np.full(points.size, price), own_leaves, quantity, orders


def _followed(events: type_of_rows) -> tuple[Changes, int]:
    """The changes that events make to the book, and how many are about strangers."""
    kind = events["kind"]
    index = np.flatnonzero(np.isin(kind, _TOUCHES))
    named = events["order_id"][index]
    is_met = np.isin(kind[index], (EventKind.TRADED, EventKind.PREVENTED)) & (events["maker_order_id"][index] != 0)
    met = index[is_met]

    # One touch for the order that an event names, one for the maker it meets.
    event = np.concatenate([index, met])
    ref = np.concatenate([named, events["maker_order_id"][met]])
    of_maker = np.arange(event.size) >= index.size
    order = np.lexsort((event, ref))
    event, ref, of_maker = event[order], ref[order], of_maker[order]
    kind = kind[event]

    # A life begins when an order is accepted; a reference may have several.
    accepted = kind == EventKind.ACCEPTED
    begins = accepted.copy()
    begins[:1] = True
    begins[1:] |= ref[1:] != ref[:-1]
    place = np.arange(event.size)
    first = np.maximum.accumulate(np.where(begins, place, 0))
    known = accepted[first] if event.size else accepted
    strangers = int((~known).sum())
    event, of_maker, kind, begins = event[known], of_maker[known], kind[known], begins[known]
    place = np.arange(event.size)
    first = np.maximum.accumulate(np.where(begins, place, 0))

    # Leaves: told outright of the order an event names; a maker's are what it had, less what was traded.
    by_trade = of_maker & (kind == EventKind.TRADED)
    told = np.where(of_maker, events["maker_leaves"][event], events["leaves"][event])
    taken = np.where(by_trade, events["quantity"][event], 0)
    known_at = np.maximum.accumulate(np.where(by_trade, 0, place))
    taken_so_far = np.cumsum(taken)
    leaves = told[known_at] - (taken_so_far - taken_so_far[known_at])
    is_set = np.isin(kind, _SETS)
    price = events["price_ticks"][event][np.maximum.accumulate(np.where(is_set, place, 0))]
    side = events["side"][event][first]

    leaves_before = np.where(begins, 0, np.roll(leaves, 1))
    price_before = np.where(begins, price, np.roll(price, 1))
    anew = begins | (kind == EventKind.TRIGGERED) | (kind == EventKind.REFRESHED)
    anew |= (kind == EventKind.AMENDED) & ((price != price_before) | (leaves >= leaves_before))
    stay = event[np.maximum.accumulate(np.where(anew, place, 0))]
    stay_before = np.where(begins, stay, np.roll(stay, 1))

    # Who queues anew leaves one place and takes another; who does not has more or less at the same.
    left = anew & ~begins
    before = np.where(left, 0, leaves_before)
    came = (event, side, price, leaves - before, (leaves > 0).astype(int) - (before > 0), stay)
    went = (event, side, price_before, -leaves_before, -(leaves_before > 0).astype(int), stay_before)
    columns = [np.concatenate([gone[left], here]) for gone, here in zip(went, came, strict=True)]
    real = ((columns[3] != 0) | (columns[4] != 0)) & (columns[2] > 0)
    in_time = np.argsort(columns[0][real], kind="stable")
    return Changes(*(column[real][in_time] for column in columns)), strangers


@entry
def follow_book(message, side, rank, quantity, prices, best, level, found):
    """Add up changes in `level` [side, price]; note in `found` [what, message] best prices and depths.

    `best` [side] is the place of the best price among `prices`, beyond the worst where a side is empty.
    """
    change = 0
    for now in range(found.shape[1]):
        while change < message.size and message[change] == now:
            of = side[change]
            step = -1 if of == 0 else 1  # towards worse prices
            at = rank[change]
            level[of, at] += quantity[change]
            if level[of, at] > 0 and (at - best[of]) * step < 0:
                best[of] = at
            change += 1
        for of in range(2):
            step = -1 if of == 0 else 1
            at = best[of]
            while 0 <= at < prices.size and level[of, at] == 0:
                at += step
            best[of] = at
            seen = 0
            while 0 <= at < prices.size and seen < LEVELS:
                if level[of, at] > 0:
                    seen += 1
                    if seen == 1:
                        found[of, now] = prices[at]
                        found[2 + of, now] = level[of, at]
                    found[4 + of, now] += level[of, at]
                at += step
