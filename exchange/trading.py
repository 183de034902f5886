"""The compiled trading path: refuse, reserve, match, oblige; row by row over a batch of command rows.

It composes the kernels of `matching.ladder` (the book), `registry.holdings` (the balances),
`settlement.fees` and `matching.pricing`, and is entered once per batch. Zero is nobody and nothing in
every number. The readable specification of what it must do is the plain exchange in `tests/plain.py`.

A buy order reserves what it can cost at most,

    cost(turnover + price x leaves) - cost(turnover),   cost(t) = t + fee(t)

where turnover is what it has traded already; each fill takes price x quantity + fee from that, a better
price than the limit gives the rest back, and so does a cancel. A sell order reserves its units. What a
fill leaves owing stays reserved until settlement consumes it, and is a claim of the other side.

The loop stops before a row for which an array may lack room, and says which; the caller makes room and
goes on (:func:`run`). Making room never changes what is decided.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from exchange.compiled import entry
from exchange.instruments import INSTRUMENT
from exchange.reasons import Reason
from exchange.rows import COMMAND, EVENT, TRADE, CommandKind, EventKind, joined, type_of_rows
from exchange.sessions import Phase
from matching import ladder as book_of
from matching.ladder import Ladder, best_opposite, crosses, find, in_window, oldest_at, reduce, rest
from matching.orders import Side, TimeInForce
from matching.pricing import execution_price
from registry.holdings import CASH, claim, new_balances, release, reserve
from settlement.fees import TURNOVER_MAX, fee

inlined = njit(_nrt=False, inline="always")

BUY, SELL = int(Side.BUY), int(Side.SELL)
DAY, IOC = int(TimeInForce.DAY), int(TimeInForce.IOC)
PLACE_ORDER, CANCEL_ORDER = int(CommandKind.PLACE_ORDER), int(CommandKind.CANCEL_ORDER)
CLOSED, CONTINUOUS = int(Phase.CLOSED), int(Phase.CONTINUOUS)
REACH_TICKS = book_of.REACH_TICKS

ACCEPTED, TRADED, CANCELLED = int(EventKind.ACCEPTED), int(EventKind.TRADED), int(EventKind.CANCELLED)
REFUSED, CANCEL_REFUSED = int(EventKind.REFUSED), int(EventKind.CANCEL_REFUSED)

NONE = int(Reason.NONE)
UNKNOWN_ACCOUNT = int(Reason.UNKNOWN_ACCOUNT)
UNKNOWN_INSTRUMENT = int(Reason.UNKNOWN_INSTRUMENT)
UNKNOWN_COMMAND = int(Reason.UNKNOWN_COMMAND)
UNKNOWN_ORDER = int(Reason.UNKNOWN_ORDER)
MAY_NOT_TRADE = int(Reason.MAY_NOT_TRADE)
MARKET_CLOSED = int(Reason.MARKET_CLOSED)
INVALID_SIDE = int(Reason.INVALID_SIDE)
INVALID_TIME_IN_FORCE = int(Reason.INVALID_TIME_IN_FORCE)
QUANTITY_NOT_POSITIVE = int(Reason.QUANTITY_NOT_POSITIVE)
QUANTITY_OFF_LOT = int(Reason.QUANTITY_OFF_LOT)
PRICE_NOT_POSITIVE = int(Reason.PRICE_NOT_POSITIVE)
PRICE_OUTSIDE_BAND = int(Reason.PRICE_OUTSIDE_BAND)
PRICE_OUT_OF_RANGE = int(Reason.PRICE_OUT_OF_RANGE)
AMOUNT_TOO_LARGE = int(Reason.AMOUNT_TOO_LARGE)
INSUFFICIENT_CASH = int(Reason.INSUFFICIENT_CASH)
INSUFFICIENT_UNITS = int(Reason.INSUFFICIENT_UNITS)
BY_REQUEST = int(Reason.BY_REQUEST)
IMMEDIATE_OR_CANCEL = int(Reason.IMMEDIATE_OR_CANCEL)
END_OF_DAY = int(Reason.END_OF_DAY)

# Why the loop stopped.
DONE, NEEDS_EVENTS, NEEDS_SLOTS, NEEDS_IDS, NEEDS_WINDOW = range(5)

COUNTERS = np.dtype((np.record, [("next_trade_id", "i8"), ("house", "i8")]))  # house: the fee account


class Desk(NamedTuple):
    """Everything the trading path reads and changes: arrays only."""

    ladder: Ladder
    instruments: type_of_rows  # (instruments + 1,) INSTRUMENT
    may_trade: type_of_rows  # (accounts + 1,) u1
    balances: type_of_rows  # (accounts + 1, assets + 1) registry.holdings.BALANCE
    counters: type_of_rows  # (1,) COUNTERS


# ---------------------------------------------------------------- refuse


@inlined
def refuse_order(desk, command):
    """The first reason against a new order, in the order of the enum; NONE if it must be accepted."""
    if not 0 < command.account < desk.may_trade.size:
        return UNKNOWN_ACCOUNT
    if not 0 < command.instrument < desk.instruments.size:
        return UNKNOWN_INSTRUMENT
    instrument = desk.instruments[command.instrument]
    if not desk.may_trade[command.account]:
        return MAY_NOT_TRADE
    if instrument.phase != CONTINUOUS:
        return MARKET_CLOSED
    if command.side > SELL:
        return INVALID_SIDE
    if command.time_in_force != DAY and command.time_in_force != IOC:
        return INVALID_TIME_IN_FORCE
    if command.quantity <= 0:
        return QUANTITY_NOT_POSITIVE
    if command.quantity % instrument.lot != 0:
        return QUANTITY_OFF_LOT
    if command.price_ticks <= 0:
        return PRICE_NOT_POSITIVE
    if not instrument.band_low_ticks <= command.price_ticks <= instrument.band_high_ticks:
        return PRICE_OUTSIDE_BAND
    reference_ticks = desk.ladder.books[command.instrument].reference_ticks
    if reference_ticks and abs(command.price_ticks - reference_ticks) > REACH_TICKS:
        return PRICE_OUT_OF_RANGE
    if command.quantity > TURNOVER_MAX // instrument.fen_per_tick // command.price_ticks:
        return AMOUNT_TOO_LARGE
    if command.side == BUY:
        turnover = command.price_ticks * command.quantity * instrument.fen_per_tick
        if desk.balances[command.account, CASH].available < cost(turnover, instrument.buyer_fee_ppm):
            return INSUFFICIENT_CASH
    elif desk.balances[command.account, instrument.asset].available < command.quantity:
        return INSUFFICIENT_UNITS
    return NONE


@inlined
def refuse_cancel(desk, command):
    """The first reason against a cancel; another account's order is as unknown as one that never was."""
    if not 0 < command.account < desk.may_trade.size:
        return UNKNOWN_ACCOUNT
    slot = find(desk.ladder, command.order_id)
    if slot == 0 or desk.ladder.orders[slot].owner != command.account:
        return UNKNOWN_ORDER
    if desk.instruments[desk.ladder.orders[slot].instrument].phase == CLOSED:
        return MARKET_CLOSED
    return NONE


# ---------------------------------------------------------------- reserve


@inlined
def cost(turnover, rate_ppm):
    """Fen that a buyer of this turnover pays, the fee included."""
    return turnover + fee(turnover, rate_ppm)


@inlined
def backing(instrument, side, price_ticks, leaves, turnover):
    """What an order must have reserved for its leaves: fen of a buyer, tonnes of a seller."""
    if side == BUY:
        at_most = turnover + price_ticks * leaves * instrument.fen_per_tick
        return cost(at_most, instrument.buyer_fee_ppm) - cost(turnover, instrument.buyer_fee_ppm)
    return leaves


@inlined
def backing_of(desk, instrument, account, side):
    """The balance that backs an order of an account."""
    if side == BUY:
        return desk.balances[account, CASH]
    return desk.balances[account, instrument.asset]


# ---------------------------------------------------------------- say


@inlined
def emit(event, kind, command, order_id, account, instrument, side, price_ticks, quantity, leaves, reason):
    """Write an event about one order."""
    event.sequence = command.sequence
    event.order_id = order_id
    event.maker_order_id = 0
    event.price_ticks = price_ticks
    event.quantity = quantity
    event.leaves = leaves
    event.maker_leaves = 0
    event.trade_id = 0
    event.account = account
    event.maker_account = 0
    event.instrument = instrument
    event.kind = kind
    event.side = side
    event.reason = reason


@inlined
def emit_about_command(event, kind, command, order_id, leaves, reason):
    """Write an event about the order that a command places or names."""
    emit(
        event,
        kind,
        command,
        order_id,
        command.account,
        command.instrument,
        command.side,
        command.price_ticks,
        command.quantity,
        leaves,
        reason,
    )


@inlined
def emit_cancelled(event, command, order, reason):
    """Write that a resting order leaves the book."""
    emit(
        event,
        CANCELLED,
        command,
        order.order_id,
        order.owner,
        order.instrument,
        order.side,
        order.price_ticks,
        order.leaves,
        0,
        reason,
    )


# ---------------------------------------------------------------- match and oblige


@inlined
def oblige(desk, instrument, trade):
    """Book what a trade brings: units to the buyer, money to the seller, fees to the house."""
    turnover = trade.price_ticks * trade.quantity * instrument.fen_per_tick
    claim(desk.balances[trade.buyer, instrument.asset], trade.quantity, instrument.resale_at_once)
    claim(desk.balances[trade.seller, CASH], turnover - trade.seller_fee, instrument.proceeds_at_once)
    claim(desk.balances[desk.counters[0].house, CASH], trade.buyer_fee + trade.seller_fee, instrument.proceeds_at_once)


@inlined
def next_fee(instrument, side, turnover, added):
    """Fee in fen that a further turnover adds to an order's fee."""
    rate_ppm = instrument.buyer_fee_ppm if side == BUY else instrument.seller_fee_ppm
    return fee(turnover + added, rate_ppm) - fee(turnover, rate_ppm)


@inlined
def trade_with_oldest(desk, book, instrument, command, order_id, leaves, turnover, trade, event):
    """One fill of the taker with the oldest order at the best opposite price; returns its quantity."""
    slot = oldest_at(desk.ladder, book, best_opposite(book, command.side))
    maker = desk.ladder.orders[slot]
    quantity = min(leaves, maker.leaves)
    price_ticks = execution_price(
        instrument.execution_price, command.side == BUY, command.price_ticks, maker.price_ticks, instrument.last_ticks
    )
    added = price_ticks * quantity * instrument.fen_per_tick
    taker_fee = next_fee(instrument, command.side, turnover, added)
    maker_fee = next_fee(instrument, maker.side, maker.turnover, added)

    trade.trade_id = desk.counters[0].next_trade_id
    trade.sequence = command.sequence
    trade.now_ns = command.now_ns
    trade.price_ticks = price_ticks
    trade.quantity = quantity
    trade.instrument = command.instrument
    trade.aggressor = command.side
    if command.side == BUY:
        trade.buyer, trade.buy_order_id, trade.buyer_fee = command.account, order_id, taker_fee
        trade.seller, trade.sell_order_id, trade.seller_fee = maker.owner, maker.order_id, maker_fee
    else:
        trade.buyer, trade.buy_order_id, trade.buyer_fee = maker.owner, maker.order_id, maker_fee
        trade.seller, trade.sell_order_id, trade.seller_fee = command.account, order_id, taker_fee
    desk.counters[0].next_trade_id += 1

    emit_about_command(event, TRADED, command, order_id, leaves - quantity, NONE)
    event.maker_order_id = maker.order_id
    event.maker_account = maker.owner
    event.maker_leaves = maker.leaves - quantity
    event.price_ticks = price_ticks
    event.quantity = quantity
    event.trade_id = trade.trade_id

    if maker.side == BUY and price_ticks != maker.price_ticks:
        # The maker pays less than it had reserved for this fill.
        before = backing(instrument, BUY, maker.price_ticks, maker.leaves, maker.turnover)
        after = backing(instrument, BUY, maker.price_ticks, maker.leaves - quantity, maker.turnover + added)
        release(desk.balances[maker.owner, CASH], before - (added + maker_fee) - after)
    maker.turnover += added
    instrument.last_ticks = price_ticks
    oblige(desk, instrument, trade)
    reduce(desk.ladder, book, slot, quantity)
    return quantity


@inlined
def place(desk, command, events, n_events, trades, n_trades):
    """Accept an order that nothing speaks against: reserve, match, then rest or cancel what is left."""
    instrument = desk.instruments[command.instrument]
    book = desk.ladder.books[command.instrument]
    balance = backing_of(desk, instrument, command.account, command.side)
    order_id = desk.ladder.pool[0].next_order_id
    desk.ladder.pool[0].next_order_id += 1
    if book.reference_ticks == 0:
        book.reference_ticks = command.price_ticks

    leaves = command.quantity
    traded = np.int64(0)
    turnover = np.int64(0)
    reserved = backing(instrument, command.side, command.price_ticks, leaves, turnover)
    reserve(balance, reserved)
    emit_about_command(events[n_events], ACCEPTED, command, order_id, leaves, NONE)
    n_events += 1

    while leaves and crosses(book, command.side, command.price_ticks):
        trade = trades[n_trades]
        quantity = trade_with_oldest(
            desk, book, instrument, command, order_id, leaves, turnover, trade, events[n_events]
        )
        leaves -= quantity
        traded += quantity
        turnover += trade.price_ticks * quantity * instrument.fen_per_tick
        n_events += 1
        n_trades += 1

    if leaves and command.time_in_force == IOC:
        emit_about_command(events[n_events], CANCELLED, command, order_id, 0, IMMEDIATE_OR_CANCEL)
        events[n_events].quantity = leaves
        n_events += 1
        leaves = np.int64(0)
    elif leaves:
        rest(
            desk.ladder,
            book,
            command.instrument,
            order_id,
            command.side,
            command.time_in_force,
            command.account,
            command.price_ticks,
            leaves,
            turnover,
        )
    spent = cost(turnover, instrument.buyer_fee_ppm) if command.side == BUY else traded
    still = backing(instrument, command.side, command.price_ticks, leaves, turnover)
    release(balance, reserved - spent - still)
    return n_events, n_trades


@inlined
def cancel(desk, command, slot, event, reason):
    """Take a resting order out of the book and give back what it had reserved."""
    order = desk.ladder.orders[slot]
    instrument = desk.instruments[order.instrument]
    balance = backing_of(desk, instrument, order.owner, order.side)
    release(balance, backing(instrument, order.side, order.price_ticks, order.leaves, order.turnover))
    emit_cancelled(event, command, order, reason)
    reduce(desk.ladder, desk.ladder.books[order.instrument], slot, order.leaves)


# ---------------------------------------------------------------- the loops


@inlined
def lacking_room(desk, command, n_events, events, n_trades, trades):
    """Which array might be too small for this command; DONE if none. Never looks at whether it is valid."""
    pool = desk.ladder.pool[0]
    if events.size - n_events < pool.live + 2 or trades.size - n_trades < pool.live:
        return NEEDS_EVENTS
    if command.kind != PLACE_ORDER:
        return DONE
    if pool.free == 0:
        return NEEDS_SLOTS
    if pool.next_order_id - pool.first_order_id >= desk.ladder.slot_of.size:
        return NEEDS_IDS
    return DONE


@entry
def run(desk, commands, start, events, trades):
    """Apply PLACE_ORDER and CANCEL_ORDER rows from `start` on.

    Returns (why it stopped, index of the first row not applied, events written, trades written).
    """
    n_events, n_trades = 0, 0
    for index in range(start, commands.size):
        command = commands[index]
        lacking = lacking_room(desk, command, n_events, events, n_trades, trades)
        if lacking != DONE:
            return lacking, index, n_events, n_trades
        if command.kind == PLACE_ORDER:
            reason = refuse_order(desk, command)
            if reason != NONE:
                emit_about_command(events[n_events], REFUSED, command, 0, 0, reason)
                n_events += 1
            elif not in_window(desk.ladder.books[command.instrument], command.price_ticks):
                return NEEDS_WINDOW, index, n_events, n_trades
            else:
                n_events, n_trades = place(desk, command, events, n_events, trades, n_trades)
        elif command.kind == CANCEL_ORDER:
            reason = refuse_cancel(desk, command)
            if reason != NONE:
                emit_about_command(events[n_events], CANCEL_REFUSED, command, command.order_id, 0, reason)
            else:
                cancel(desk, command, find(desk.ladder, command.order_id), events[n_events], BY_REQUEST)
            n_events += 1
        else:
            emit_about_command(events[n_events], REFUSED, command, 0, 0, UNKNOWN_COMMAND)
            n_events += 1
    return DONE, commands.size, n_events, n_trades


@entry
def expire(desk, command, events):
    """Cancel every DAY order at the end of the day, oldest order first; returns the events written."""
    n_events = 0
    for index in range(desk.ladder.slot_of.size):
        slot = desk.ladder.slot_of[index]
        if slot and desk.ladder.orders[slot].time_in_force == DAY:
            cancel(desk, command[0], np.int64(slot), events[n_events], END_OF_DAY)
            n_events += 1
    return n_events


# ---------------------------------------------------------------- the way in from Python


class TradingPath:
    """The desk with the room it works in; grows what is too small."""

    def __init__(self) -> None:
        counters = np.zeros(1, COUNTERS)
        counters[0].next_trade_id = 1
        self.desk = Desk(
            ladder=book_of.new_ladder(),
            instruments=np.zeros(1, INSTRUMENT),
            may_trade=np.zeros(1, np.uint8),
            balances=new_balances(0, 0),
            counters=counters,
        )
        self._events = np.zeros(8192, EVENT)
        self._trades = np.zeros(4096, TRADE)

    def run(self, commands: type_of_rows) -> tuple[type_of_rows, type_of_rows]:
        """Apply trading rows; returns the event rows and the trade rows they caused."""
        events, trades = [], []
        index = 0
        while True:
            stopped, index, n_events, n_trades = run(self.desk, commands, index, self._events, self._trades)
            events.append(joined([self._events[:n_events]]))
            trades.append(joined([self._trades[:n_trades]]))
            if stopped == DONE:
                return joined(events), joined(trades)
            self._make_room(stopped, commands[index])

    def expire(self, command: type_of_rows) -> type_of_rows:
        """Cancel all DAY orders in the name of one command row (1,); returns the event rows."""
        self._make_events_room()
        written = expire(self.desk, command, self._events)
        return joined([self._events[:written]])

    def _make_room(self, stopped: int, command: Any) -> None:
        ladder = self.desk.ladder
        if stopped == NEEDS_EVENTS:
            self._make_events_room()
        elif stopped == NEEDS_SLOTS:
            ladder = book_of.with_slots(ladder, 2 * ladder.orders.size)
        elif stopped == NEEDS_IDS:
            ladder = book_of.with_ids(ladder)
        elif stopped == NEEDS_WINDOW:
            ladder = book_of.with_price(ladder, int(command.instrument), int(command.price_ticks))
        self.desk = self.desk._replace(ladder=ladder)

    def _make_events_room(self) -> None:
        """Room for an order that meets every resting order, or for all of them to expire."""
        live = int(self.desk.ladder.pool[0].live)
        if self._events.size < 2 * live + 2:
            self._events = np.zeros(4 * live, EVENT)
            self._trades = np.zeros(4 * live, TRADE)


def warm_up() -> None:
    """Load the machine code from disk, or compile it: every entry point is called once on nothing."""
    path = TradingPath()
    path.run(np.zeros(0, COMMAND))
    path.expire(np.zeros(1, COMMAND))
