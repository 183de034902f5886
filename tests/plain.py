"""The plain exchange: what the compiled trading path must do, written to be read.

Dicts for balances, `matching.book.Book` for the books, `Decimal` for fees, Python's unbounded integers for
everything else. It answers a command with the same event rows and trade rows as `exchange.trading`, as
tuples of all fields in the order of `exchange.rows`, and leaves the same balances behind.

It follows orders only. Who has what at first, and at which prices a day closed, it is told.
"""

from collections import defaultdict, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import count

from exchange.instruments import UNLIMITED_TICKS
from exchange.reasons import Reason
from exchange.rows import COMMAND, EVENT, TRADE, CommandKind, EventKind
from exchange.rules import RuleSet, in_force
from exchange.sessions import Phase
from matching.book import Book, Fill, Order
from matching.ladder import REACH_TICKS
from matching.orders import Side, TimeInForce
from settlement.fees import TURNOVER_MAX

Command = namedtuple("Command", COMMAND.names)
Event = namedtuple("Event", EVENT.names, defaults=[0] * len(EVENT.names))
Trade = namedtuple("Trade", TRADE.names)
CASH = 0


def half_up(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


@dataclass
class Balance:
    """Of one account in one asset: fen of cash or tonnes of a unit."""

    available: int = 0
    reserved: int = 0
    incoming: int = 0
    unsettled: int = 0


@dataclass
class Listing:
    """An instrument on one day."""

    number: int
    asset: int
    band: tuple[int, int]
    rates: dict[Side, Decimal]  # fee as a share of turnover
    reference_ticks: int
    book: Book


class PlainExchange:
    """Accounts are numbers, `may_trade` says which of them may; the house earns the fees."""

    def __init__(self, rules: RuleSet, may_trade: dict[int, bool], house: int) -> None:
        self.rules, self.may_trade, self.house = rules, may_trade, house
        self.phase = Phase.CLOSED
        self.balances: dict[tuple[int, int], Balance] = defaultdict(Balance)  # by account and asset
        self.listings: dict[int, Listing] = {}
        self.placed: dict[int, tuple[Order, Listing]] = {}  # by order id
        self.backing: dict[int, int] = defaultdict(int)  # what is reserved for an order's leaves, by order id
        self.order_ids, self.trade_ids = count(1), count(1)
        self.events: list[Event] = []
        self.trades: list[Trade] = []
        self.owed: list[tuple[int, int, int, int, int, int]] = []  # buyer, pays, seller, receives, asset, quantity

    def open_day(self, day: date, closes_ticks: dict[int, int]) -> None:
        """A new day: what was bought may be sold, bands and fees are set, the books are empty."""
        for balance in self.balances.values():
            balance.available, balance.incoming = balance.available + balance.incoming, 0
        band, fees = in_force(self.rules.price_bands, day), in_force(self.rules.fees, day)
        for number, close in closes_ticks.items():
            self.listings[number] = Listing(
                number,
                asset=number,
                band=(half_up(close * (1 - Decimal(band.down))), half_up(close * (1 + Decimal(band.up))))
                if band
                else (1, UNLIMITED_TICKS),
                rates={Side.BUY: Decimal(fees.buyer if fees else 0), Side.SELL: Decimal(fees.seller if fees else 0)},
                reference_ticks=close,
                book=Book(self.rules.execution_price_rule, last_ticks=close),
            )

    def apply(self, command: Command) -> tuple[list[Event], list[Trade]]:
        """Place or cancel an order; returns what was said and traded."""
        self.events, self.trades = [], []
        if command.kind == CommandKind.PLACE_ORDER:
            self.place(command)
        else:
            self.cancel(command)
        return self.events, self.trades

    # -- refuse

    def against_order(self, c: Command) -> Iterator[tuple[Reason, bool]]:
        """The reasons against a new order in descending precedence, each with whether it holds."""
        yield Reason.UNKNOWN_ACCOUNT, c.account not in self.may_trade
        yield Reason.UNKNOWN_INSTRUMENT, c.instrument not in self.listings
        listing = self.listings[c.instrument]
        yield Reason.MAY_NOT_TRADE, not self.may_trade[c.account]
        yield Reason.MARKET_CLOSED, self.phase != Phase.CONTINUOUS
        yield Reason.INVALID_SIDE, c.side not in list(Side)
        yield Reason.INVALID_TIME_IN_FORCE, c.time_in_force not in (TimeInForce.DAY, TimeInForce.IOC)
        yield Reason.QUANTITY_NOT_POSITIVE, c.quantity <= 0
        yield Reason.QUANTITY_OFF_LOT, c.quantity % self.rules.lot != 0
        yield Reason.PRICE_NOT_POSITIVE, c.price_ticks <= 0
        yield Reason.PRICE_OUTSIDE_BAND, not listing.band[0] <= c.price_ticks <= listing.band[1]
        reference = listing.reference_ticks or c.price_ticks
        yield Reason.PRICE_OUT_OF_RANGE, abs(c.price_ticks - reference) > REACH_TICKS
        turnover = self.turnover(c.price_ticks, c.quantity)
        yield Reason.AMOUNT_TOO_LARGE, turnover > TURNOVER_MAX
        if c.side == Side.BUY:
            cost = self.cost(listing, turnover)
            yield Reason.INSUFFICIENT_CASH, self.balances[c.account, CASH].available < cost
        else:
            yield Reason.INSUFFICIENT_UNITS, self.balances[c.account, listing.asset].available < c.quantity

    def against_cancel(self, c: Command) -> Iterator[tuple[Reason, bool]]:
        yield Reason.UNKNOWN_ACCOUNT, c.account not in self.may_trade
        order, listing = self.placed.get(c.order_id, (None, None))
        rests = listing is not None and c.order_id in listing.book.orders
        yield Reason.UNKNOWN_ORDER, not rests or order.owner != c.account
        yield Reason.MARKET_CLOSED, self.phase == Phase.CLOSED

    # -- reserve

    def turnover(self, price_ticks: int, quantity: int) -> int:
        return price_ticks * quantity * self.rules.fen_per_tick

    def fee(self, listing: Listing, side: Side, turnover: int) -> int:
        return half_up(turnover * listing.rates[side])

    def cost(self, listing: Listing, turnover: int) -> int:
        return turnover + self.fee(listing, Side.BUY, turnover)

    def back(self, order: Order, listing: Listing) -> None:
        """Reserve for an order's leaves what they can cost at most; give back what is more than that."""
        asset, needed = listing.asset, order.leaves
        if order.side == Side.BUY:
            at_most = order.turnover + self.turnover(order.price_ticks, order.leaves)
            asset, needed = CASH, self.cost(listing, at_most) - self.cost(listing, order.turnover)
        more = needed - self.backing[order.order_id]
        self.backing[order.order_id] = needed
        self.balances[order.owner, asset].available -= more
        self.balances[order.owner, asset].reserved += more

    # -- place, match, oblige

    def place(self, c: Command) -> None:
        if reason := next((reason for reason, holds in self.against_order(c) if holds), Reason.NONE):
            self.say_of_command(EventKind.REFUSED, c, reason=reason)
            return
        listing = self.listings[c.instrument]
        listing.reference_ticks = listing.reference_ticks or c.price_ticks
        time_in_force = TimeInForce(c.time_in_force)
        order = Order(next(self.order_ids), Side(c.side), c.price_ticks, c.quantity, time_in_force, owner=c.account)
        self.placed[order.order_id] = order, listing
        self.say_of_command(EventKind.ACCEPTED, c, order_id=order.order_id, leaves=order.leaves)
        self.back(order, listing)

        fills = listing.book.submit(order)
        for fill in fills:
            self.oblige(c, listing, fill)
        if order.leaves and time_in_force == TimeInForce.IOC:
            left, order.leaves, reason = order.leaves, 0, Reason.IMMEDIATE_OR_CANCEL
            self.say_of_command(EventKind.CANCELLED, c, order_id=order.order_id, quantity=left, reason=reason)
        for order_id in {order.order_id, *(fill.maker for fill in fills)}:
            self.back(*self.placed[order_id])

    def oblige(self, c: Command, listing: Listing, fill: Fill) -> None:
        """Book one fill: what each side owes stays reserved, what each will get is a claim."""
        taker, maker = self.placed[fill.taker][0], self.placed[fill.maker][0]
        buy, sell = (taker, maker) if taker.side == Side.BUY else (maker, taker)
        turnover = self.turnover(fill.price_ticks, fill.quantity)
        fees = {}
        for order in (buy, sell):
            before, order.turnover = order.turnover, order.turnover + turnover
            fees[order.side] = self.fee(listing, order.side, order.turnover) - self.fee(listing, order.side, before)
        buyer_fee, seller_fee = fees[Side.BUY], fees[Side.SELL]
        trade_id = next(self.trade_ids)

        self.backing[buy.order_id] -= turnover + buyer_fee
        self.backing[sell.order_id] -= fill.quantity
        self.claim(buy.owner, listing.asset, fill.quantity, self.rules.resale_lag_days == 0)
        self.claim(sell.owner, CASH, turnover - seller_fee, self.rules.proceeds_usable_same_day)
        self.claim(self.house, CASH, buyer_fee + seller_fee, self.rules.proceeds_usable_same_day)
        pays, receives = turnover + buyer_fee, turnover - seller_fee
        self.owed.append((buy.owner, pays, sell.owner, receives, listing.asset, fill.quantity))
        self.trades.append(
            Trade(
                trade_id=trade_id,
                sequence=c.sequence,
                now_ns=c.now_ns,
                price_ticks=fill.price_ticks,
                quantity=fill.quantity,
                buy_order_id=buy.order_id,
                sell_order_id=sell.order_id,
                buyer_fee=buyer_fee,
                seller_fee=seller_fee,
                buyer=buy.owner,
                seller=sell.owner,
                instrument=listing.number,
                aggressor=taker.side,
            )
        )
        self.say_of_command(
            EventKind.TRADED,
            c,
            order_id=fill.taker,
            maker_order_id=fill.maker,
            maker_account=maker.owner,
            price_ticks=fill.price_ticks,
            quantity=fill.quantity,
            leaves=fill.taker_leaves,
            maker_leaves=fill.maker_leaves,
            trade_id=trade_id,
        )

    def claim(self, account: int, asset: int, amount: int, usable_now: bool) -> None:
        balance = self.balances[account, asset]
        balance.unsettled += amount
        if usable_now:
            balance.available += amount
        else:
            balance.incoming += amount

    # -- cancel, expire, settle

    def cancel(self, c: Command) -> None:
        if reason := next((reason for reason, holds in self.against_cancel(c) if holds), Reason.NONE):
            self.say_of_command(EventKind.CANCEL_REFUSED, c, order_id=c.order_id, reason=reason)
        else:
            self.take_out(c.order_id, c.sequence, Reason.BY_REQUEST)

    def expire(self, sequence: int) -> list[Event]:
        """The day ends: every resting order leaves, the oldest first."""
        self.events = []
        for order_id in sorted(order_id for listing in self.listings.values() for order_id in listing.book.orders):
            self.take_out(order_id, sequence, Reason.END_OF_DAY)
        return self.events

    def take_out(self, order_id: int, sequence: int, reason: Reason) -> None:
        order, listing = self.placed[order_id]
        listing.book.cancel(order_id)
        self.events.append(
            Event(
                sequence=sequence,
                order_id=order_id,
                price_ticks=order.price_ticks,
                quantity=order.leaves,
                account=order.owner,
                instrument=listing.number,
                kind=EventKind.CANCELLED,
                side=order.side,
                reason=reason,
            )
        )
        order.leaves = 0
        self.back(order, listing)

    def settle(self) -> None:
        """Delivery versus payment: what is owed leaves the reservations, claims are claims no more."""
        for buyer, pays, seller, receives, asset, quantity in self.owed:
            self.balances[buyer, CASH].reserved -= pays
            self.balances[seller, asset].reserved -= quantity
            self.balances[buyer, asset].unsettled -= quantity
            self.balances[seller, CASH].unsettled -= receives
            self.balances[self.house, CASH].unsettled -= pays - receives
        self.owed = []

    def say_of_command(self, kind: EventKind, c: Command, **fields: int) -> None:
        """Say something about the order that a command places or names."""
        about = {name: getattr(c, name) for name in ("sequence", "price_ticks", "quantity", "account", "instrument")}
        self.events.append(Event(**{**about, "kind": kind, "side": c.side, **fields}))
