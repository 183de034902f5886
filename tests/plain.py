"""The plain exchange: what the compiled trading path must do, written to be read.

Dicts for balances, `matching.book.Book` for the books, `Decimal` for fees, Python's unbounded integers for
everything else. It answers a command with the same event rows and trade rows as `exchange.trading`, as
tuples of all fields in the order of `exchange.rows`, and leaves the same balances behind.

It follows orders only. Who has what at first, in which phase the market is, which instruments are halted and
at which prices a day closed, it is told.
"""

from collections import defaultdict, namedtuple
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import count

from exchange.reasons import Reason
from exchange.rows import COMMAND, EVENT, TRADE, CommandKind, EventKind, InBatch
from exchange.rules import Liquidity, RuleSet
from exchange.sessions import Phase
from matching.book import Amended, Book, Cancelled, Fill, Happening, Order, Prevented, Refreshed, Triggered
from matching.ladder import PRICE_MAX_TICKS, QUANTITY_MAX, REACH_TICKS
from matching.orders import EITHER_SIDE, OrderType, SelfTradePrevention, Side, TimeInForce
from registry.accounts import ParticipantClass
from settlement.fees import TURNOVER_MAX

Command = namedtuple("Command", COMMAND.names)
Event = namedtuple("Event", EVENT.names, defaults=[0] * len(EVENT.names))
Trade = namedtuple("Trade", TRADE.names)
Faults = Iterator[tuple[Reason, bool]]  # reasons against a command in descending precedence; whether each holds

ICEBERG_MAX = 2**31 - 1  # tonnes of an order that shows slices
AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)
OUTLIVES_THE_DAY = (TimeInForce.GTC, TimeInForce.GTD)
TAKES_ORDERS = (Phase.CALL, Phase.CONTINUOUS, Phase.HALTED)


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
    """An instrument on one day; its orders outlive the day."""

    number: int
    asset: int
    cash: int  # asset number of its currency
    book: Book
    band: tuple[int, int] | None = None  # lowest and highest valid price


@dataclass(slots=True, kw_only=True)
class Placed(Order):
    """An order with who placed it, where, and what it has moved."""

    account: int
    listing: Listing
    last_day: int = 0  # GTD: the last day of its life, in days since 1970
    fees: Decimal = Decimal(0)  # of all its fills, exact: fen
    backing: int = 0  # fen of a buyer, tonnes of a seller: reserved for its leaves

    @property
    def chosen_ticks(self) -> list[int]:
        """The prices that its owner named: a limit, and a stop price while it waits."""
        limit = [self.price_ticks] if self.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT) else []
        return limit + ([self.stop_ticks] if self.waits else [])

    @property
    def is_outside_band(self) -> bool:
        if self.listing.band is None:
            return False
        low, high = self.listing.band
        return any(not low <= price <= high for price in self.chosen_ticks)


class PlainExchange:
    """Accounts are numbers, `may_trade` says which of them may, `group` who is one beneficial owner, `classes` who
    holds them; `assets` has the unit and the currency of each instrument.

    The house earns the fees. The market has a `phase`; an instrument in `halted` is HALTED while the market
    takes orders.
    """

    def __init__(
        self,
        rules: RuleSet,
        may_trade: dict[int, bool],
        house: int,
        group: dict[int, int],
        classes: dict[int, ParticipantClass],
        assets: dict[int, tuple[int, int]],
    ) -> None:
        self.rules, self.may_trade, self.house, self.group, self.classes = rules, may_trade, house, group, classes
        self.assets = assets
        self.phase = Phase.CLOSED
        self.halted: set[int] = set()  # instruments
        self.day = date.min
        self.balances: dict[tuple[int, int], Balance] = defaultdict(Balance)  # by account and asset
        self.listings: dict[int, Listing] = {}
        self.placed: dict[int, Placed] = {}  # all that ever were accepted, by order id
        self.order_ids, self.trade_ids = count(1), count(1)
        self.batch: list[int] = []  # ids of the orders that came since the last batch began
        self.batch_is_refused = False
        self.owed: list[
            tuple[int, int, int, int, Listing, int]
        ] = []  # buyer, pays, seller, receives, of what, quantity
        self.begin(sequence=0)

    def phase_of(self, number: int) -> Phase:
        """The phase of an instrument."""
        if number in self.halted and self.phase in (Phase.CALL, Phase.CONTINUOUS):
            return Phase.HALTED
        return self.phase

    # -- commands of the trading path

    def apply(self, command: Command) -> tuple[list[Event], list[Trade]]:
        """Do what a command row asks for, or refuse it; returns what was said and traded."""
        self.begin(command.sequence, command.now_ns)
        match command.kind:
            case CommandKind.PLACE_ORDER:
                if command.batch == InBatch.FIRST:
                    self.batch, self.batch_is_refused = [], False
                self.answer(command, self.against_order, self.place, EventKind.REFUSED)
            case CommandKind.CANCEL_ORDER:
                self.answer(command, self.against_cancel, self.cancel, EventKind.CANCEL_REFUSED)
            case CommandKind.AMEND_ORDER:
                self.answer(command, self.against_amend, self.amend, EventKind.AMEND_REFUSED)
            case CommandKind.CANCEL_ORDERS:
                self.answer(command, self.against_mass_cancel, self.mass_cancel, EventKind.CANCEL_REFUSED)
            case _:
                self.refuse(command, EventKind.REFUSED, Reason.UNKNOWN_COMMAND)
        return self.events, self.trades

    def answer(
        self, c: Command, against: Callable[[Command], Faults], act: Callable[[Command], None], refusal: EventKind
    ) -> None:
        reason = next((reason for reason, holds in against(c) if holds), None)
        if reason is None:
            act(c)
        else:
            self.refuse(c, refusal, reason)

    # -- refuse

    def against_order(self, c: Command) -> Faults:
        """The reasons against a new order."""
        yield Reason.BATCH_STOPPED, c.batch == InBatch.NEXT and self.batch_is_refused
        yield Reason.UNKNOWN_ACCOUNT, c.account not in self.may_trade
        yield Reason.UNKNOWN_INSTRUMENT, c.instrument not in self.listings
        phase = self.phase_of(c.instrument)
        yield Reason.MAY_NOT_TRADE, not self.may_trade[c.account]
        yield Reason.MARKET_CLOSED, phase not in TAKES_ORDERS
        yield Reason.MARKET_HALTED, phase == Phase.HALTED
        yield Reason.INVALID_SIDE, c.side not in list(Side)
        yield Reason.INVALID_TIME_IN_FORCE, c.time_in_force not in list(TimeInForce)
        yield Reason.INVALID_ORDER_TYPE, c.order_type not in list(OrderType)
        yield Reason.INVALID_SELF_TRADE_PREVENTION, c.self_trade not in list(SelfTradePrevention)
        outlives_the_day = c.time_in_force in OUTLIVES_THE_DAY
        yield Reason.TIME_IN_FORCE_NOT_ALLOWED, outlives_the_day and not self.rules.carry_over_on(self.day)
        yield Reason.CONTRADICTORY_TERMS, any(self.contradictions(c))
        yield Reason.NOT_IN_CALL, phase == Phase.CALL and (c.time_in_force in AT_ONCE or c.post_only)
        yield Reason.LAST_DAY_PASSED, c.time_in_force == TimeInForce.GTD and c.last_day < self.today
        order, display = self.order_of(c), c.display_quantity
        odd_slice = display < 0 or display > c.quantity or display % self.rules.lot != 0
        yield from self.against_terms(order, odd_slice, is_new_stop=order.waits)

    def contradictions(self, c: Command) -> Iterator[bool]:
        """What does not go together in a new order."""
        at_once, is_limit = c.time_in_force in AT_ONCE, c.order_type == OrderType.LIMIT
        yield c.post_only > 1
        yield c.post_only and (not is_limit or at_once)
        yield c.stop_ticks != 0 and not OrderType(c.order_type).waits
        yield c.order_type == OrderType.MARKET and (c.price_ticks != 0 or not at_once)
        yield c.order_type == OrderType.STOP and (c.price_ticks != 0 or c.time_in_force != TimeInForce.DAY)
        yield c.order_type == OrderType.STOP and self.listings[c.instrument].band is None
        yield c.order_type == OrderType.STOP_LIMIT and at_once
        yield c.display_quantity != 0 and (not is_limit or at_once)
        yield (c.last_day != 0) != (c.time_in_force == TimeInForce.GTD)

    def against_amend(self, c: Command) -> Faults:
        """The reasons against new terms of an order."""
        yield Reason.UNKNOWN_ACCOUNT, c.account not in self.may_trade
        order = self.named(c)
        yield Reason.UNKNOWN_ORDER, order is None
        phase = self.phase_of(order.listing.number)
        yield Reason.MARKET_CLOSED, phase not in TAKES_ORDERS
        yield Reason.MARKET_HALTED, phase == Phase.HALTED
        is_stop = order.order_type == OrderType.STOP
        yield Reason.CONTRADICTORY_TERMS, (is_stop and c.price_ticks != 0) or (c.stop_ticks != 0 and not order.waits)
        price_ticks, stop_ticks = self.amended_ticks(c, order)
        amended = replace(order, price_ticks=price_ticks, stop_ticks=stop_ticks, leaves=c.quantity)
        yield from self.against_terms(amended, odd_slice=False, is_new_stop=c.stop_ticks != 0)

    def against_terms(self, order: Placed, odd_slice: bool, is_new_stop: bool) -> Faults:
        """The reasons against the quantity and the prices that an order, new or amended, would have."""
        book, lot = order.listing.book, self.rules.lot
        yield Reason.QUANTITY_NOT_POSITIVE, order.leaves <= 0
        yield Reason.QUANTITY_OFF_LOT, order.leaves % lot != 0
        too_large_to_slice = order.display_quantity != 0 and order.leaves > ICEBERG_MAX
        yield Reason.INVALID_DISPLAY_QUANTITY, odd_slice or too_large_to_slice
        yield Reason.PRICE_NOT_POSITIVE, any(price <= 0 for price in order.chosen_ticks)
        yield Reason.PRICE_OUTSIDE_BAND, order.is_outside_band
        yield Reason.PRICE_OUT_OF_RANGE, any(price > PRICE_MAX_TICKS for price in order.chosen_ticks)
        yield Reason.PRICE_OUT_OF_RANGE, not book.in_reach(order)
        at_most = self.turnover(order.price_ticks, order.leaves)
        yield Reason.AMOUNT_TOO_LARGE, order.leaves > QUANTITY_MAX or at_most > TURNOVER_MAX
        yield Reason.STOP_ALREADY_REACHED, is_new_stop and book.is_reached(order)
        continuous = self.phase_of(order.listing.number) == Phase.CONTINUOUS
        yield Reason.POST_ONLY_WOULD_TRADE, order.post_only and continuous and book.would_trade(order)
        yield Reason.POSITION_LIMIT, order.side == Side.BUY and self.passes_limit(order)
        lacking = Reason.INSUFFICIENT_CASH if order.side == Side.BUY else Reason.INSUFFICIENT_UNITS
        yield lacking, not self.can_back(order)

    def passes_limit(self, order: Placed) -> bool:
        """Whether an order of allowances, new or amended, may bring its account above its position limit."""
        positions, owner = self.rules.positions, self.classes[order.account]
        covered = owner == ParticipantClass.COVERED_ENTERPRISE  # nobody here was allocated anything
        limit = positions.covered_beyond if covered else positions.other
        more = order.leaves - (self.placed[order.order_id].leaves if order.order_id else 0)
        return limit is not None and more > 0 and self.position(order.account) + more > limit

    def position(self, account: int) -> int:
        """What an account has of all allowances, less what it has sold, plus what its buy orders may still bring."""
        assets = {listing.asset for listing in self.listings.values()}
        balances = [self.balances[account, asset] for asset in assets]
        held = sum(balance.available + balance.reserved + balance.incoming for balance in balances)
        sold = sum(quantity for _, _, seller, _, _, quantity in self.owed if seller == account)
        return held - sold + sum(o.leaves for o in self.live() if o.account == account and o.side == Side.BUY)

    def against_cancel(self, c: Command) -> Faults:
        """The reasons against a cancel."""
        yield Reason.UNKNOWN_ACCOUNT, c.account not in self.may_trade
        order = self.named(c)
        yield Reason.UNKNOWN_ORDER, order is None
        yield Reason.MARKET_CLOSED, self.phase_of(order.listing.number) == Phase.CLOSED

    def against_mass_cancel(self, c: Command) -> Faults:
        """The reasons against a mass cancel."""
        yield Reason.UNKNOWN_ACCOUNT, c.account not in (0, *self.may_trade)
        yield Reason.UNKNOWN_INSTRUMENT, c.instrument not in (0, *self.listings)
        asked = [number for number in self.listings if c.instrument in (0, number)]
        yield Reason.MARKET_CLOSED, all(self.phase_of(number) == Phase.CLOSED for number in asked)
        yield Reason.INVALID_SIDE, c.side not in (*Side, EITHER_SIDE)

    def refuse(self, c: Command, refusal: EventKind, reason: Reason) -> None:
        """Say that nothing was done; a refusal repeats the command."""
        if c.kind == CommandKind.PLACE_ORDER:
            self.batch_is_refused = True
        names_an_order = c.kind in (CommandKind.CANCEL_ORDER, CommandKind.AMEND_ORDER)
        self.events.append(
            Event(
                sequence=c.sequence,
                order_id=c.order_id if names_an_order else 0,
                price_ticks=c.price_ticks,
                quantity=c.quantity,
                account=c.account,
                instrument=c.instrument,
                kind=refusal,
                side=c.side,
                reason=reason,
            )
        )

    # -- what a command is about

    @property
    def today(self) -> int:
        """The day in days since 1970."""
        return (self.day - date(1970, 1, 1)).days

    def order_of(self, c: Command) -> Placed:
        """The order that a command asks for; it has no number yet."""
        listing = self.listings[c.instrument]
        return Placed(
            order_id=0,
            side=Side(c.side),
            price_ticks=self.bound(c, listing),
            leaves=c.quantity,
            time_in_force=TimeInForce(c.time_in_force),
            order_type=OrderType(c.order_type),
            stop_ticks=c.stop_ticks,
            display_quantity=c.display_quantity,
            post_only=bool(c.post_only),
            self_trade=SelfTradePrevention(c.self_trade or self.rules.self_trade_rule),
            group=self.group.get(c.account, 0),
            account=c.account,
            listing=listing,
            last_day=c.last_day,
        )

    @staticmethod
    def bound(c: Command, listing: Listing) -> int:
        """The worst price that a new order may trade at: its limit; without one what the band or the book says."""
        if c.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
            return c.price_ticks
        if listing.band is None:
            return listing.book.market_bound(Side(c.side), c.quantity)
        low, high = listing.band
        return high if c.side == Side.BUY else low

    @staticmethod
    def amended_ticks(c: Command, order: Placed) -> tuple[int, int]:
        """Limit and stop price that an amend asks for."""
        is_stop = order.order_type == OrderType.STOP
        return order.price_ticks if is_stop else c.price_ticks or order.price_ticks, c.stop_ticks or order.stop_ticks

    def named(self, c: Command) -> Placed | None:
        """The order that a command names, if it rests or waits and is the account's own."""
        order = self.placed.get(c.order_id)
        return order if order and order.leaves and order.account == c.account else None

    def live(self) -> list[Placed]:
        """All orders that rest or wait, the oldest first."""
        return [order for order_id, order in sorted(self.placed.items()) if order.leaves]

    # -- reserve

    def turnover(self, price_ticks: int, quantity: int) -> int:
        return price_ticks * quantity * self.rules.fen_per_tick

    def rate(self, order: Placed, liquidity: Liquidity) -> Decimal:
        """What the owner of an order pays for its fills today, as a share of turnover."""
        owner = self.classes[order.account]
        return Decimal(self.rules.fee_ppm(self.day, order.side, liquidity, owner)) / 1_000_000

    def needed(self, order: Placed) -> int:
        """What backs an order's leaves: a seller's units, what they may cost a buyer at most."""
        if order.side == Side.SELL:
            return order.leaves
        more = self.turnover(order.price_ticks, order.leaves)
        return more + self.next_fee(order, more * max(self.rate(order, "maker"), self.rate(order, "taker")))

    @staticmethod
    def next_fee(order: Placed, exact: Decimal) -> int:
        """What an order's fee in whole fen grows by when its exact fee does by so much."""
        return half_up(order.fees + exact) - half_up(order.fees)

    def charge(self, order: Placed, turnover: int, liquidity: Liquidity) -> int:
        """The fee of a fill."""
        exact = turnover * self.rate(order, liquidity)
        fee = self.next_fee(order, exact)
        order.fees += exact
        return fee

    def balance_behind(self, order: Placed) -> Balance:
        return self.balances[order.account, order.listing.cash if order.side == Side.BUY else order.listing.asset]

    def can_back(self, order: Placed) -> bool:
        return self.needed(order) - order.backing <= self.balance_behind(order).available

    def back(self, order: Placed) -> None:
        """Reserve what an order needs; give back what is more than that."""
        balance, more = self.balance_behind(order), self.needed(order) - order.backing
        order.backing += more
        balance.available -= more
        balance.reserved += more

    # -- act

    def place(self, c: Command) -> None:
        order = self.order_of(c)
        order.order_id = next(self.order_ids)
        self.batch.append(order.order_id)
        self.placed[order.order_id] = order
        self.say(EventKind.ACCEPTED, order, quantity=order.leaves, leaves=order.leaves)
        self.back(order)
        self.tell(order.listing.book.submit(order, self.is_matching(order.listing)))

    def amend(self, c: Command) -> None:
        order = self.placed[c.order_id]
        price_ticks, stop_ticks = self.amended_ticks(c, order)
        matching = self.is_matching(order.listing)
        self.tell(order.listing.book.amend(order.order_id, price_ticks, c.quantity, stop_ticks, matching))

    def cancel(self, c: Command) -> None:
        self.take_out(self.placed[c.order_id], Reason.BY_REQUEST)

    def mass_cancel(self, c: Command) -> None:
        undoes = c.batch == InBatch.NEXT
        reason = Reason.BATCH_UNDONE if undoes else Reason.BY_REQUEST
        cancelled = [
            order
            for order in self.live()
            if c.account in (0, order.account)
            and c.instrument in (0, order.listing.number)
            and c.side in (EITHER_SIDE, order.side)
            and self.phase_of(order.listing.number) != Phase.CLOSED
            and (not undoes or (self.batch_is_refused and order.order_id in self.batch))
        ]
        for order in cancelled:
            self.take_out(order, reason)
        self.events.append(
            Event(
                sequence=c.sequence,
                quantity=len(cancelled),
                account=c.account,
                instrument=c.instrument,
                kind=EventKind.ORDERS_CANCELLED,
                side=c.side,
                reason=reason,
            )
        )

    def is_matching(self, listing: Listing) -> bool:
        """Whether orders trade as they arrive."""
        return self.phase_of(listing.number) == Phase.CONTINUOUS

    def take_out(self, order: Placed, reason: Reason) -> None:
        self.tell([order.listing.book.cancel(order.order_id)], reason)

    # -- the trading day

    def open_day(self, day: date, closes_ticks: dict[int, int], sequence: int = 0) -> list[Event]:
        """A new day: what was bought may be sold, bands and fees are set, orders are carried over."""
        self.begin(sequence)
        self.day = day
        for balance in self.balances.values():
            balance.available, balance.incoming = balance.available + balance.incoming, 0
        for number, close in closes_ticks.items():
            if number not in self.listings:
                self.listings[number] = Listing(number, *self.assets[number], Book(reach_ticks=REACH_TICKS))
            listing = self.listings[number]
            listing.band = self.rules.band_ticks(day, close)
            listing.book.execution_price = self.rules.execution_price_on(day)
            listing.book.last_ticks = close
        for order in self.live():
            self.carry_over(order)
        return self.events

    def carry_over(self, order: Placed) -> None:
        """Back an order anew at the new day's fee; it goes if its price has become invalid or its owner too poor."""
        balance = self.balance_behind(order)
        balance.available += order.backing
        balance.reserved -= order.backing
        order.backing = 0
        if order.time_in_force == TimeInForce.GTD and order.last_day < self.today:
            self.take_out(order, Reason.END_OF_DAY)
        elif order.is_outside_band:
            self.take_out(order, Reason.PRICE_OUTSIDE_BAND)
        elif not self.can_back(order):
            self.take_out(order, Reason.INSUFFICIENT_CASH)
        else:
            self.back(order)

    def uncross(self, sequence: int, now_ns: int, number: int, triggers: bool) -> tuple[list[Event], list[Trade]]:
        """End an instrument's call auction; `triggers` where continuous trading follows it."""
        self.begin(sequence, now_ns)
        book = self.listings[number].book
        traded = book.uncross()
        self.tell(traded, auction=True)
        if triggers:
            self.tell(book.trigger(traded))
        return self.events, self.trades

    def expire(self, sequence: int) -> list[Event]:
        """The day ends: orders leave that were not to outlive it, the oldest first."""
        self.begin(sequence)
        for order in self.live():
            last = order.time_in_force == TimeInForce.GTD and order.last_day <= self.today
            if order.time_in_force == TimeInForce.DAY or last:
                self.take_out(order, Reason.END_OF_DAY)
        return self.events

    def settle(self) -> None:
        """Delivery versus payment: what is owed leaves the reservations, claims are claims no more."""
        for buyer, pays, seller, receives, listing, quantity in self.owed:
            self.balances[buyer, listing.cash].reserved -= pays
            self.balances[seller, listing.asset].reserved -= quantity
            self.balances[buyer, listing.asset].unsettled -= quantity
            self.balances[seller, listing.cash].unsettled -= receives
            self.balances[self.house, listing.cash].unsettled -= pays - receives
        self.owed = []

    # -- tell what a book made happen, and book it

    def begin(self, sequence: int, now_ns: int = 0) -> None:
        """From here on everything is said and traded in the name of one command."""
        self.sequence, self.now_ns = sequence, now_ns
        self.events: list[Event] = []
        self.trades: list[Trade] = []

    def tell(
        self, happened: Iterable[Happening], reason: Reason = Reason.IMMEDIATE_OR_CANCEL, auction: bool = False
    ) -> None:
        """Say what happened, and keep every order that took part backed by what it needs. `reason`: of a cancel."""
        first = len(self.events)
        for step in happened:
            match step:
                case Fill():
                    self.oblige(step, auction)
                case Prevented():
                    self.say(
                        EventKind.PREVENTED,
                        self.placed[step.taker],
                        maker_order_id=step.maker,
                        maker_account=self.placed[step.maker].account,
                        price_ticks=step.price_ticks,
                        quantity=step.quantity,
                        leaves=step.taker_leaves,
                        maker_leaves=step.maker_leaves,
                        reason=Reason.SELF_TRADE,
                    )
                case Refreshed(order_id, shown, leaves):
                    self.say(EventKind.REFRESHED, self.placed[order_id], quantity=shown, leaves=leaves)
                case Triggered(order_id, leaves):
                    self.say(EventKind.TRIGGERED, self.placed[order_id], quantity=leaves, leaves=leaves)
                case Amended(order_id, _, leaves, priority):
                    order = self.placed[order_id]
                    self.say(EventKind.AMENDED, order, quantity=leaves, leaves=leaves, priority=priority)
                case Cancelled(order_id, quantity, out_of_reach):
                    why = Reason.PRICE_OUT_OF_RANGE if out_of_reach else reason
                    self.say(EventKind.CANCELLED, self.placed[order_id], quantity=quantity, reason=why)
        said = self.events[first:]
        for order_id in ({event.order_id for event in said} | {event.maker_order_id for event in said}) - {0}:
            self.back(self.placed[order_id])

    def say(self, kind: EventKind, order: Placed, **fields: int) -> None:
        """Say something about an order."""
        about = {
            "sequence": self.sequence,
            "order_id": order.order_id,
            "price_ticks": order.price_ticks,
            "account": order.account,
            "instrument": order.listing.number,
            "kind": kind,
            "side": order.side,
        }
        self.events.append(Event(**{**about, **fields}))

    def oblige(self, fill: Fill, auction: bool) -> None:
        """Book one fill: what each side owes stays reserved, what each will get is a claim."""
        taker, maker = self.placed[fill.taker], self.placed[fill.maker]
        buy, sell = (taker, maker) if taker.side == Side.BUY else (maker, taker)
        listing, trade_id = taker.listing, next(self.trade_ids)
        turnover = self.turnover(fill.price_ticks, fill.quantity)
        taker_fee = self.charge(taker, turnover, "maker" if auction else "taker")  # in an auction nobody takes
        maker_fee = self.charge(maker, turnover, "maker")
        buyer_fee, seller_fee = (taker_fee, maker_fee) if taker is buy else (maker_fee, taker_fee)

        buy.backing -= turnover + buyer_fee
        sell.backing -= fill.quantity
        self.claim(buy.account, listing.asset, fill.quantity, self.rules.resale_lag_days == 0)
        self.claim(sell.account, listing.cash, turnover - seller_fee, self.rules.proceeds_usable_same_day)
        self.claim(self.house, listing.cash, buyer_fee + seller_fee, self.rules.proceeds_usable_same_day)
        pays, receives = turnover + buyer_fee, turnover - seller_fee
        self.owed.append((buy.account, pays, sell.account, receives, listing, fill.quantity))
        self.trades.append(
            Trade(
                trade_id=trade_id,
                sequence=self.sequence,
                now_ns=self.now_ns,
                price_ticks=fill.price_ticks,
                quantity=fill.quantity,
                buy_order_id=buy.order_id,
                sell_order_id=sell.order_id,
                buyer_fee=buyer_fee,
                seller_fee=seller_fee,
                buyer=buy.account,
                seller=sell.account,
                instrument=listing.number,
                aggressor=EITHER_SIDE if auction else taker.side,
            )
        )
        self.say(
            EventKind.TRADED,
            taker,
            maker_order_id=fill.maker,
            maker_account=maker.account,
            price_ticks=fill.price_ticks,
            quantity=fill.quantity,
            leaves=fill.taker_leaves,
            maker_leaves=fill.maker_leaves,
            trade_id=trade_id,
            reason=Reason.AUCTION if auction else Reason.NONE,
        )

    def claim(self, account: int, asset: int, amount: int, usable_now: bool) -> None:
        balance = self.balances[account, asset]
        balance.unsettled += amount
        if usable_now:
            balance.available += amount
        else:
            balance.incoming += amount
