"""Why an order command is refused: every rule of the trading path, the first that fails is the one named.

Terms that contradict one another, in a new order:

| terms                   | must have                                                        |
|-------------------------|------------------------------------------------------------------|
| market                  | no price; IOC or FOK                                             |
| stop                    | no price; DAY; a price band, which bounds what it may cost       |
| stop-limit              | a time in force that rests                                       |
| limit, market           | no stop price                                                    |
| iceberg, post-only      | a limit, and a time in force that rests                          |
| GTD                     | a last day; no other time in force has one                       |
"""

import numpy as np
from numba import njit

from exchange.desk import NO_LIMIT, POST_ONLY, WAITING, backing, backing_of, backing_of_order, instrument_of, owner_of
from exchange.instruments import UNLIMITED_TICKS
from exchange.reasons import Reason
from exchange.sessions import Phase
from matching.ladder import (
    PRICE_MAX_TICKS,
    QUANTITY_MAX,
    at,
    crosses,
    find,
    in_window,
    out_of_reach,
    queue_of,
    stop_queue_of,
    worst_price_for,
)
from matching.orders import EITHER_SIDE, OrderType, SelfTradePrevention, Side, TimeInForce
from settlement.fees import HALF_FEN, TURNOVER_MAX

inlined = njit(_nrt=False, forceinline=True)

BUY, SELL = int(Side.BUY), int(Side.SELL)
EITHER = EITHER_SIDE
LIMIT, MARKET = int(OrderType.LIMIT), int(OrderType.MARKET)
STOP_ORDER, STOP_LIMIT = int(OrderType.STOP), int(OrderType.STOP_LIMIT)
GTC, DAY, IOC = int(TimeInForce.GTC), int(TimeInForce.DAY), int(TimeInForce.IOC)
FOK, GTD = int(TimeInForce.FOK), int(TimeInForce.GTD)
LAST_PREVENTION = int(SelfTradePrevention.DECREMENT)
CLOSED, CONTINUOUS = int(Phase.CLOSED), int(Phase.CONTINUOUS)
CALL, HALTED = int(Phase.CALL), int(Phase.HALTED)
SLICES_MAX = (1 << 31) - 1  # tonnes of an iceberg
NOTHING = np.int64(0)  # is reserved for what is refused

NONE = int(Reason.NONE)
UNKNOWN_ACCOUNT = int(Reason.UNKNOWN_ACCOUNT)
UNKNOWN_INSTRUMENT = int(Reason.UNKNOWN_INSTRUMENT)
UNKNOWN_ORDER = int(Reason.UNKNOWN_ORDER)
MAY_NOT_TRADE = int(Reason.MAY_NOT_TRADE)
MARKET_CLOSED = int(Reason.MARKET_CLOSED)
MARKET_HALTED = int(Reason.MARKET_HALTED)
INVALID_SIDE = int(Reason.INVALID_SIDE)
INVALID_TIME_IN_FORCE = int(Reason.INVALID_TIME_IN_FORCE)
INVALID_ORDER_TYPE = int(Reason.INVALID_ORDER_TYPE)
INVALID_SELF_TRADE_PREVENTION = int(Reason.INVALID_SELF_TRADE_PREVENTION)
TIME_IN_FORCE_NOT_ALLOWED = int(Reason.TIME_IN_FORCE_NOT_ALLOWED)
CONTRADICTORY_TERMS = int(Reason.CONTRADICTORY_TERMS)
NOT_IN_CALL = int(Reason.NOT_IN_CALL)
LAST_DAY_PASSED = int(Reason.LAST_DAY_PASSED)
QUANTITY_NOT_POSITIVE = int(Reason.QUANTITY_NOT_POSITIVE)
QUANTITY_OFF_LOT = int(Reason.QUANTITY_OFF_LOT)
INVALID_DISPLAY_QUANTITY = int(Reason.INVALID_DISPLAY_QUANTITY)
PRICE_NOT_POSITIVE = int(Reason.PRICE_NOT_POSITIVE)
PRICE_OUTSIDE_BAND = int(Reason.PRICE_OUTSIDE_BAND)
PRICE_OUT_OF_RANGE = int(Reason.PRICE_OUT_OF_RANGE)
AMOUNT_TOO_LARGE = int(Reason.AMOUNT_TOO_LARGE)
STOP_ALREADY_REACHED = int(Reason.STOP_ALREADY_REACHED)
POST_ONLY_WOULD_TRADE = int(Reason.POST_ONLY_WOULD_TRADE)
POSITION_LIMIT = int(Reason.POSITION_LIMIT)
INSUFFICIENT_CASH = int(Reason.INSUFFICIENT_CASH)
INSUFFICIENT_UNITS = int(Reason.INSUFFICIENT_UNITS)


# ---------------------------------------------------------------- prices and amounts


@inlined
def is_plain(instrument, command):
    """Whether a new order is a limit order without further terms: most are, and need fewer questions."""
    lives = command.time_in_force
    terms = (
        command.order_type
        | command.self_trade
        | command.post_only
        | command.last_day
        | command.stop_ticks
        | command.display_quantity
    )
    return terms == 0 and (
        lives == DAY or (lives == IOC and instrument.phase == CONTINUOUS) or (lives == GTC and instrument.carries_over)
    )


@inlined
def in_band(instrument, price_ticks):
    """Whether a price lies within the day's band."""
    return instrument.band_low_ticks <= price_ticks <= instrument.band_high_ticks


@inlined
def too_large(instrument, price_ticks, quantity):
    """Whether what is left of an order can turn over more than can be booked.

    A float counts exactly up to 2**53, far beyond TURNOVER_MAX; what is larger is too large, exact or not.
    """
    at_most = np.float64(price_ticks) * np.float64(quantity) * np.float64(instrument.fen_per_tick)
    return quantity > QUANTITY_MAX or at_most > np.float64(TURNOVER_MAX)


@inlined
def is_reached(instrument, side, stop_ticks):
    """Whether the last trade has reached a stop price already."""
    if instrument.last_ticks == 0:
        return False
    return stop_ticks <= instrument.last_ticks if side == BUY else stop_ticks >= instrument.last_ticks


@njit(_nrt=False)
def bound_of(desk, command):
    """The limit in ticks of an order that names none: the edge of the band.

    Of a market order where there is no band: the worst price that it meets now, 0 if it meets nobody.
    """
    instrument = at(desk.instruments, command.instrument)
    if instrument.band_high_ticks < UNLIMITED_TICKS:
        return instrument.band_high_ticks if command.side == BUY else instrument.band_low_ticks
    opposite = at(desk.ladder.queues, queue_of(np.int64(command.instrument), np.int64(command.side)) ^ 1)
    return worst_price_for(desk.ladder, opposite, command.quantity)


@inlined
def limit_of(desk, command):
    """The limit in ticks of a new order, its own or its bound."""
    if command.order_type == MARKET or command.order_type == STOP_ORDER:
        return bound_of(desk, command)
    return command.price_ticks


@inlined
def refuse_phase(instrument):
    """Orders come in while the market calls or trades."""
    if instrument.phase == CONTINUOUS or instrument.phase == CALL:
        return NONE
    return MARKET_HALTED if instrument.phase == HALTED else MARKET_CLOSED


@inlined
def refuse_funds(side, needed, available):
    """Every order is paid for before it rests (full-payment principle, domain sheet A.8)."""
    if needed <= available:
        return NONE
    return INSUFFICIENT_CASH if side == BUY else INSUFFICIENT_UNITS


@inlined
def refuse_position(desk, instrument, account, side, more):
    """Nobody may come to hold more allowances than the limit, with all that its orders may bring (A.9)."""
    holder = at(desk.participants, account)
    passes = (instrument.counts != 0) & (side == BUY) & (more > 0) & (holder.position + more > holder.position_limit)
    return POSITION_LIMIT if passes else NONE


# ---------------------------------------------------------------- a new order


@njit(_nrt=False)
def refuse_terms(instrument, command):
    """What is wrong with the terms of a new order, whatever its price and quantity."""
    kind, lives = command.order_type, command.time_in_force
    if lives > GTD:
        return INVALID_TIME_IN_FORCE
    if kind > STOP_LIMIT:
        return INVALID_ORDER_TYPE
    if command.self_trade > LAST_PREVENTION:
        return INVALID_SELF_TRADE_PREVENTION
    if lives in (GTC, GTD) and not instrument.carries_over:
        return TIME_IN_FORCE_NOT_ALLOWED
    rests = lives != IOC and lives != FOK
    waits = kind in (STOP_ORDER, STOP_LIMIT)
    if command.post_only > 1:
        return CONTRADICTORY_TERMS
    if (command.post_only or command.display_quantity != 0) and (kind != LIMIT or not rests):
        return CONTRADICTORY_TERMS
    if not waits and command.stop_ticks != 0:
        return CONTRADICTORY_TERMS
    if kind == MARKET and (command.price_ticks != 0 or rests):
        return CONTRADICTORY_TERMS
    unlimited = instrument.band_high_ticks == UNLIMITED_TICKS
    if kind == STOP_ORDER and (command.price_ticks != 0 or lives != DAY or unlimited):
        return CONTRADICTORY_TERMS
    if kind == STOP_LIMIT and not rests:
        return CONTRADICTORY_TERMS
    if (command.last_day != 0) != (lives == GTD):
        return CONTRADICTORY_TERMS
    if instrument.phase == CALL and (not rests or command.post_only):
        return NOT_IN_CALL
    if lives == GTD and command.last_day < instrument.today:
        return LAST_DAY_PASSED
    return NONE


@inlined
def refuse_price(desk, instrument, queue_index, price_ticks):
    """What is wrong with a price at which an order shall stand."""
    if price_ticks <= 0:
        return PRICE_NOT_POSITIVE
    if not in_band(instrument, price_ticks):
        return PRICE_OUTSIDE_BAND
    if price_ticks > PRICE_MAX_TICKS:
        return PRICE_OUT_OF_RANGE
    queue = at(desk.ladder.queues, queue_index)
    if not in_window(queue, price_ticks) and out_of_reach(desk.ladder, queue, price_ticks):
        return PRICE_OUT_OF_RANGE
    return NONE


@njit(_nrt=False)
def refuse_prices(desk, instrument, command):
    """What is wrong with the limit and the stop price of a new order that is not plain."""
    number, side = np.int64(command.instrument), np.int64(command.side)
    has_limit = command.order_type == LIMIT or command.order_type == STOP_LIMIT
    waits = command.order_type == STOP_ORDER or command.order_type == STOP_LIMIT
    limit, stop = NONE, NONE
    if has_limit:
        limit = refuse_price(desk, instrument, queue_of(number, side), command.price_ticks)
    if waits:
        stop = refuse_price(desk, instrument, stop_queue_of(number, side), np.int64(command.stop_ticks))
    return earlier(limit, stop)


@inlined
def earlier(one, other):
    """Of two reasons the one that stands first; NONE stands last."""
    if one == NONE or other == NONE:
        return max(one, other)
    return min(one, other)


@inlined
def refuse_order(desk, command):
    """The first reason against a new order, in the order of `Reason`, NONE if it must be accepted; what it needs.

    What it needs is tonnes or fen, to be reserved when it is accepted.
    """
    if not 0 < command.account < desk.participants.size:
        return UNKNOWN_ACCOUNT, NOTHING
    if not 0 < command.instrument < desk.instruments.size:
        return UNKNOWN_INSTRUMENT, NOTHING
    instrument = at(desk.instruments, command.instrument)
    if not at(desk.participants, command.account).may_trade:
        return MAY_NOT_TRADE, NOTHING
    if instrument.phase != CONTINUOUS:
        reason = refuse_phase(instrument)
        if reason != NONE:
            return reason, NOTHING
    if command.side > SELL:
        return INVALID_SIDE, NOTHING
    plain = is_plain(instrument, command)
    if not plain:
        reason = refuse_terms(instrument, command)
        if reason != NONE:
            return reason, NOTHING
    if command.quantity <= 0:
        return QUANTITY_NOT_POSITIVE, NOTHING
    if instrument.lot != 1 and command.quantity % instrument.lot != 0:
        return QUANTITY_OFF_LOT, NOTHING
    if plain:
        own = queue_of(np.int64(command.instrument), np.int64(command.side))
        reason = refuse_price(desk, instrument, own, command.price_ticks)
    else:
        display = np.int64(command.display_quantity)
        fits = 0 < display <= command.quantity <= SLICES_MAX and display % instrument.lot == 0
        if display != 0 and not fits:
            return INVALID_DISPLAY_QUANTITY, NOTHING
        reason = refuse_prices(desk, instrument, command)
    if reason != NONE:
        return reason, NOTHING
    limit_ticks = command.price_ticks if plain else limit_of(desk, command)
    if too_large(instrument, limit_ticks, command.quantity):
        return AMOUNT_TOO_LARGE, NOTHING
    if not plain:
        if command.stop_ticks != 0 and is_reached(instrument, command.side, command.stop_ticks):
            return STOP_ALREADY_REACHED, NOTHING
        if command.post_only and would_trade(desk, instrument, command.instrument, command.side, limit_ticks):
            return POST_ONLY_WOULD_TRADE, NOTHING
    reason = refuse_position(desk, instrument, command.account, command.side, command.quantity)
    if reason != NONE:
        return reason, NOTHING
    owner = at(desk.participants, command.account)
    needed = backing(instrument, owner, command.side, limit_ticks, command.quantity, HALF_FEN)
    available = backing_of(desk, instrument, command.account, command.side).available
    return refuse_funds(command.side, needed, available), needed


@inlined
def would_trade(desk, instrument, number, side, limit_ticks):
    """Whether an order of this limit would trade now."""
    opposite = at(desk.ladder.queues, queue_of(np.int64(number), np.int64(side)) ^ 1)
    return instrument.phase == CONTINUOUS and crosses(opposite, limit_ticks)


# ---------------------------------------------------------------- amend, cancel


@inlined
def refuse_amend(desk, command):
    """The first reason against an amend, and how much more than now must be reserved; it may be less.

    Another account's order is as unknown as one that never was.
    """
    if not 0 < command.account < desk.participants.size:
        return UNKNOWN_ACCOUNT, NOTHING
    slot = find(desk.ladder, command.order_id)
    if slot == 0 or at(desk.ladder.orders, slot).owner != command.account:
        return UNKNOWN_ORDER, NOTHING
    order = at(desk.ladder.orders, slot)
    number, side = instrument_of(order), np.int64(order.side)
    instrument = at(desk.instruments, number)
    reason = refuse_phase(instrument)
    if reason != NONE:
        return reason, NOTHING
    waits, has_limit = order.terms & WAITING != 0, order.terms & NO_LIMIT == 0
    if (not has_limit and command.price_ticks != 0) or (not waits and command.stop_ticks != 0):
        return CONTRADICTORY_TERMS, NOTHING
    if command.quantity <= 0:
        return QUANTITY_NOT_POSITIVE, NOTHING
    if command.quantity % instrument.lot != 0:
        return QUANTITY_OFF_LOT, NOTHING
    if order.display != 0 and command.quantity > SLICES_MAX:
        return INVALID_DISPLAY_QUANTITY, NOTHING
    limit_ticks = command.price_ticks if has_limit and command.price_ticks != 0 else order.price_ticks
    limit, stop = NONE, NONE
    if has_limit:
        limit = refuse_price(desk, instrument, queue_of(number, side), limit_ticks)
    if command.stop_ticks != 0:
        stop = refuse_price(desk, instrument, stop_queue_of(number, side), np.int64(command.stop_ticks))
    reason = earlier(limit, stop)
    if reason != NONE:
        return reason, NOTHING
    if too_large(instrument, limit_ticks, command.quantity):
        return AMOUNT_TOO_LARGE, NOTHING
    if command.stop_ticks != 0 and is_reached(instrument, side, command.stop_ticks):
        return STOP_ALREADY_REACHED, NOTHING
    if order.terms & POST_ONLY and would_trade(desk, instrument, number, side, limit_ticks):
        return POST_ONLY_WOULD_TRADE, NOTHING
    reason = refuse_position(desk, instrument, order.owner, side, command.quantity - order.shown - order.hidden)
    if reason != NONE:
        return reason, NOTHING
    owner = owner_of(desk, order)
    needed = backing(instrument, owner, side, limit_ticks, command.quantity, order.fee_rest)
    more = needed - backing_of_order(instrument, owner, order)
    return refuse_funds(side, more, backing_of(desk, instrument, order.owner, side).available), more


@inlined
def refuse_cancel(desk, command):
    """The first reason against a cancel."""
    if not 0 < command.account < desk.participants.size:
        return UNKNOWN_ACCOUNT
    slot = find(desk.ladder, command.order_id)
    if slot == 0 or at(desk.ladder.orders, slot).owner != command.account:
        return UNKNOWN_ORDER
    if at(desk.instruments, instrument_of(at(desk.ladder.orders, slot))).phase == CLOSED:
        return MARKET_CLOSED
    return NONE


@njit(_nrt=False)
def refuse_cancel_all(desk, command):
    """The first reason against a mass cancel."""
    if command.account >= desk.participants.size:
        return UNKNOWN_ACCOUNT
    if command.instrument >= desk.instruments.size:
        return UNKNOWN_INSTRUMENT
    for number in range(1, desk.instruments.size):
        if (command.instrument == 0 or command.instrument == number) and at(desk.instruments, number).phase != CLOSED:
            return INVALID_SIDE if command.side > EITHER else NONE
    return MARKET_CLOSED
