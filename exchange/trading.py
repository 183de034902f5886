"""The compiled trading path: refuse, reserve, match, oblige; row by row over a batch of command rows.

It composes the kernels of `matching.ladder` (the book), `registry.holdings` (the balances),
`settlement.fees` and `matching.pricing`, and is entered once per batch. The readable specification of what
it must do is the plain exchange in `tests/plain.py`.

An order is a slot of the ladder from its arrival to its end. Most orders meet nobody and rest at once; any
other that a command lets in is *arriving*: it trades, then rests or is cancelled. Stop orders whose price its
trades reached queue up behind it and arrive one after the other: first the buy stops it reached, the lowest
stop price first, then the sell stops, the highest first, equal prices by time; stops that these reach queue
up at the end.

The loop stops where an array may lack room, in the middle of an arrival too, and says which; the caller
makes room and calls again (:class:`TradingPath`). Making room never changes what is decided.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numba import njit

from exchange.compiled import entry
from exchange.desk import (
    ALWAYS,
    NO_LIMIT,
    POST_ONLY,
    TRIGGERED,
    WAITING,
    Desk,
    backing,
    backing_of,
    backing_of_order,
    balance_of,
    buyer_rate,
    group_of,
    instrument_of,
    laid_out,
    new_desk,
    owner_of,
    seller_rate,
    want,
)
from exchange.reasons import Reason
from exchange.refusals import (
    NOTHING,
    limit_of,
    refuse_amend,
    refuse_cancel,
    refuse_cancel_all,
    refuse_order,
)
from exchange.rows import COMMAND, EVENT, TRADE, CommandKind, EventKind, InBatch, copied, joined, type_of_rows
from exchange.sessions import Phase
from matching import ladder as book_of
from matching.ladder import (
    QUEUES,
    at,
    crosses,
    dequeue,
    enqueue,
    find,
    forget,
    free_slot,
    in_window,
    level_of,
    likely_slot,
    look_at,
    next_occupied,
    out_of_reach,
    price_of,
    queue_of,
    stop_queue_of,
    take_off,
    take_slot,
)
from matching.orders import EITHER_SIDE, OrderType, Priority, SelfTradePrevention, Side, TimeInForce
from matching.prefetch import prefetch, prefetch_cell
from matching.pricing import execution_price
from registry.holdings import CASH, claim, release, reserve
from settlement import clearing
from settlement.fees import HALF_FEN, charge

inlined = njit(_nrt=False, forceinline=True)

BUY, SELL, EITHER = int(Side.BUY), int(Side.SELL), EITHER_SIDE
IOC, FOK = int(TimeInForce.IOC), int(TimeInForce.FOK)
GTC, GTD = int(TimeInForce.GTC), int(TimeInForce.GTD)
MARKET = int(OrderType.MARKET)
STOP_ORDER, STOP_LIMIT = int(OrderType.STOP), int(OrderType.STOP_LIMIT)
CANCEL_NEWEST, CANCEL_OLDEST = int(SelfTradePrevention.CANCEL_NEWEST), int(SelfTradePrevention.CANCEL_OLDEST)
DECREMENT = int(SelfTradePrevention.DECREMENT)
KEPT, LOST = int(Priority.KEPT), int(Priority.LOST)
CLOSED, CONTINUOUS = int(Phase.CLOSED), int(Phase.CONTINUOUS)

PLACE_ORDER, CANCEL_ORDER = int(CommandKind.PLACE_ORDER), int(CommandKind.CANCEL_ORDER)
AMEND_ORDER, CANCEL_ORDERS = int(CommandKind.AMEND_ORDER), int(CommandKind.CANCEL_ORDERS)
ACCEPTED, TRADED, CANCELLED = int(EventKind.ACCEPTED), int(EventKind.TRADED), int(EventKind.CANCELLED)
REFUSED, CANCEL_REFUSED = int(EventKind.REFUSED), int(EventKind.CANCEL_REFUSED)
AMENDED, AMEND_REFUSED = int(EventKind.AMENDED), int(EventKind.AMEND_REFUSED)
PREVENTED, REFRESHED = int(EventKind.PREVENTED), int(EventKind.REFRESHED)
WAS_TRIGGERED, ORDERS_CANCELLED = int(EventKind.TRIGGERED), int(EventKind.ORDERS_CANCELLED)

NONE, UNKNOWN_COMMAND = int(Reason.NONE), int(Reason.UNKNOWN_COMMAND)
BY_REQUEST, IMMEDIATE = int(Reason.BY_REQUEST), int(Reason.IMMEDIATE_OR_CANCEL)
END_OF_DAY, SELF_TRADE, AUCTION = int(Reason.END_OF_DAY), int(Reason.SELF_TRADE), int(Reason.AUCTION)
PRICE_OUTSIDE_BAND, PRICE_OUT_OF_RANGE = int(Reason.PRICE_OUTSIDE_BAND), int(Reason.PRICE_OUT_OF_RANGE)
INSUFFICIENT_CASH, ACCOUNT_SUSPENDED = int(Reason.INSUFFICIENT_CASH), int(Reason.ACCOUNT_SUSPENDED)
BATCH_STOPPED, BATCH_UNDONE = int(Reason.BATCH_STOPPED), int(Reason.BATCH_UNDONE)
FIRST, NEXT = int(InBatch.FIRST), int(InBatch.NEXT)

# Why the loop stopped, and how many rows it must have room for to go on.
DONE, NEEDS_EVENTS, NEEDS_SLOTS, NEEDS_IDS, NEEDS_WINDOW = range(5)
ROOM = 4
AHEAD = 8  # rows


# ---------------------------------------------------------------- say


@inlined
def emit(event, kind, sequence, order_id, account, number, side, price_ticks, quantity, leaves, reason):
    """Write an event about one order of instrument `number`."""
    event.sequence = sequence
    event.order_id = order_id
    event.maker_order_id = 0
    event.price_ticks = price_ticks
    event.quantity = quantity
    event.leaves = leaves
    event.maker_leaves = 0
    event.trade_id = 0
    event.account = account
    event.maker_account = 0
    event.instrument = number
    event.kind = kind
    event.side = side
    event.reason = reason
    event.priority = 0


@inlined
def emit_about_command(event, kind, command, order_id, reason):
    """Write an event about a command that does nothing, or stands for no single order."""
    emit(
        event, kind, command.sequence, order_id, command.account, command.instrument, command.side,
        command.price_ticks, command.quantity, 0, reason,
    )  # fmt: skip


@inlined
def emit_about_order(event, kind, command, order, quantity, leaves, reason):
    """Write an event about an order as it stands."""
    emit(
        event, kind, command.sequence, order.order_id, order.owner, instrument_of(order), order.side,
        order.price_ticks, quantity, leaves, reason,
    )  # fmt: skip


# ---------------------------------------------------------------- leave


@inlined
def leave(desk, slot):
    """An order that stands in no queue is gone."""
    forget(desk.ladder, at(desk.ladder.orders, slot).order_id)
    free_slot(desk.ladder, slot)


@inlined
def give_back(desk, order):
    """What an order had reserved for its leaves is available again."""
    instrument = at(desk.instruments, instrument_of(order))
    needed = backing_of_order(instrument, owner_of(desk, order), order)
    release(backing_of(desk, instrument, order.owner, order.side), needed)
    want(desk, instrument, order.owner, order.side, -(order.shown + order.hidden))


@inlined
def take_out(desk, command, slot, event, reason):
    """Take an order out of its queue for good; nothing is reserved for it any more."""
    order = at(desk.ladder.orders, slot)
    emit_about_order(event, CANCELLED, command, order, order.shown + order.hidden, 0, reason)
    dequeue(desk.ladder, slot)
    leave(desk, slot)


@inlined
def cancel(desk, command, slot, event, reason):
    """Take an order out of its queue and give back what it had reserved."""
    give_back(desk, at(desk.ladder.orders, slot))
    take_out(desk, command, slot, event, reason)


# ---------------------------------------------------------------- trade


@inlined
def oblige(desk, instrument, trade, turnover):
    """Book what a trade brings: units to the buyer, money to the seller, fees to the house."""
    claim(balance_of(desk, trade.buyer, instrument.asset), trade.quantity, instrument.resale_at_once)
    claim(balance_of(desk, trade.seller, instrument.cash), turnover - trade.seller_fee, instrument.proceeds_at_once)
    fees = trade.buyer_fee + trade.seller_fee
    claim(balance_of(desk, desk.progress[0].house, instrument.cash), fees, instrument.proceeds_at_once)


@inlined
def write_trade(desk, command, instrument, buy, sell, price_ticks, quantity, aggressor, trade):
    """Book a trade of two orders, whose leaves are reduced by the caller."""
    turnover = price_ticks * quantity * instrument.fen_per_tick
    buyer, seller = owner_of(desk, buy), owner_of(desk, sell)
    reserved = backing_of_order(instrument, buyer, buy)
    trade.trade_id = desk.progress[0].next_trade_id
    trade.sequence = command.sequence
    trade.now_ns = command.now_ns
    trade.price_ticks = price_ticks
    trade.quantity = quantity
    trade.buy_order_id = buy.order_id
    trade.sell_order_id = sell.order_id
    trade.buyer_fee, buy.fee_rest = charge(turnover, buyer_rate(buyer, aggressor), buy.fee_rest)
    trade.seller_fee, sell.fee_rest = charge(turnover, seller_rate(seller, aggressor), sell.fee_rest)
    trade.buyer = buy.owner
    trade.seller = sell.owner
    trade.instrument = instrument_of(buy)
    trade.aggressor = aggressor
    desk.progress[0].next_trade_id += 1
    # The buyer may pay less than it had reserved for this fill.
    leaves = buy.shown + buy.hidden - quantity
    needed = backing(instrument, buyer, BUY, buy.price_ticks, leaves, buy.fee_rest)
    release(balance_of(desk, buy.owner, instrument.cash), reserved - (turnover + trade.buyer_fee) - needed)
    instrument.last_ticks = price_ticks
    if instrument.counts:
        seller.position -= quantity  # the buyer wanted before what it has now
    oblige(desk, instrument, trade, turnover)


@inlined
def emit_traded(event, command, order, other, price_ticks, quantity, trade_id, reason):
    """Write that two orders traded, whose leaves have been reduced."""
    emit_about_order(event, TRADED, command, order, quantity, order.shown + order.hidden, reason)
    event.price_ticks = price_ticks
    event.maker_order_id = other.order_id
    event.maker_account = other.owner
    event.maker_leaves = other.shown + other.hidden
    event.trade_id = trade_id


@inlined
def show_or_leave(desk, command, slot, events, n_events):
    """A resting order has used up what it shows: show the next slice, at the back of the queue, or leave."""
    order = at(desk.ladder.orders, slot)
    price_ticks, queue_index = order.price_ticks, order.queue
    dequeue(desk.ladder, slot)
    if order.hidden == 0:
        leave(desk, slot)
        return n_events
    order.shown = min(order.hidden, order.display)
    order.hidden -= np.int32(order.shown)
    enqueue(desk.ladder, slot, queue_index, price_ticks)
    emit_about_order(
        at(events, n_events), REFRESHED, command, order, order.shown, order.shown + order.hidden, NONE
    )  # fmt: skip
    return n_events + 1


@inlined
def decrease(ladder, order, quantity):
    """Take quantity off a resting order that has more: what it hides first. It keeps its place."""
    from_hidden = min(np.int64(order.hidden), quantity)
    order.hidden -= np.int32(from_hidden)
    order.shown -= quantity - from_hidden
    at(ladder.levels, order.level).quantity -= quantity


@njit(_nrt=False)
def prevent(desk, command, slot, maker_slot, event):
    """Two orders of one beneficial owner meet: they do not trade, and the taker's choice says who goes on."""
    taker, maker = at(desk.ladder.orders, slot), at(desk.ladder.orders, maker_slot)
    taker_leaves, maker_leaves = taker.shown, maker.shown + maker.hidden
    quantity = min(taker_leaves, maker_leaves)
    mode = taker.self_trade
    taker_loses = np.int64(0) if mode == CANCEL_OLDEST else quantity if mode == DECREMENT else taker_leaves
    maker_loses = np.int64(0) if mode == CANCEL_NEWEST else quantity if mode == DECREMENT else maker_leaves
    emit_about_order(event, PREVENTED, command, taker, quantity, taker_leaves - taker_loses, SELF_TRADE)
    event.price_ticks = maker.price_ticks
    event.maker_order_id = maker.order_id
    event.maker_account = maker.owner
    event.maker_leaves = maker_leaves - maker_loses

    give_back(desk, taker)
    give_back(desk, maker)
    taker.shown -= taker_loses
    if maker_loses == maker_leaves:
        dequeue(desk.ladder, maker_slot)
        leave(desk, maker_slot)
    else:
        if maker_loses:
            decrease(desk.ladder, maker, maker_loses)
        set_aside(desk, maker)
    set_aside(desk, taker)


@inlined
def set_aside(desk, order):
    """Reserve what an order needs for its leaves."""
    instrument = at(desk.instruments, instrument_of(order))
    needed = backing_of_order(instrument, owner_of(desk, order), order)
    reserve(backing_of(desk, instrument, order.owner, order.side), needed)
    want(desk, instrument, order.owner, order.side, order.shown + order.hidden)


@njit(_nrt=False)
def fillable(desk, order, opposite):
    """Whether a fill-or-kill order would trade in full, orders of its own beneficial owner left aside."""
    ladder = desk.ladder
    limit = level_of(opposite, order.price_ticks)
    group = group_of(desk, order.owner)
    found = np.int64(0)
    level = opposite.best
    while level <= limit:
        meets_own = False
        slot = at(ladder.levels, level).oldest
        in_sight, everything = np.int64(0), np.int64(0)
        while slot:
            maker = at(ladder.orders, slot)
            if order.self_trade and group_of(desk, maker.owner) == group:
                meets_own = meets_own or order.self_trade != CANCEL_OLDEST
            else:
                everything += maker.shown + maker.hidden
                if not meets_own:
                    in_sight += maker.shown
            slot = maker.newer
        if meets_own:
            return found + in_sight >= order.shown
        found += everything
        if found >= order.shown:
            return True
        level = next_occupied(ladder, level + 1, opposite.end)
    return False


# ---------------------------------------------------------------- arrive


@inlined
def let_in(desk, slot):
    """An order arrives, after those that arrive already."""
    progress = desk.progress[0]
    at(desk.ladder.orders, slot).newer = 0
    if progress.arriving == 0:
        progress.arriving = slot
    else:
        at(desk.ladder.orders, progress.last_arriving).newer = slot
    progress.last_arriving = slot


@njit(_nrt=False)
def trigger(desk, queue_index, price_ticks):
    """Let in the stop orders of a queue that a trade at this price reaches."""
    queue = at(desk.ladder.queues, queue_index)
    while crosses(queue, price_ticks):
        slot = at(desk.ladder.levels, queue.best).oldest
        dequeue(desk.ladder, slot)
        order = at(desk.ladder.orders, slot)
        order.terms = order.terms & ~np.uint8(WAITING) | np.uint8(TRIGGERED)
        let_in(desk, slot)


@inlined
def trigger_both(desk, number, low_ticks, high_ticks):
    """Let in the stop orders of an instrument that trades between two prices reach."""
    buy_stops, sell_stops = stop_queue_of(number, BUY), stop_queue_of(number, SELL)
    if crosses(at(desk.ladder.queues, buy_stops), high_ticks):
        trigger(desk, buy_stops, high_ticks)
    if crosses(at(desk.ladder.queues, sell_stops), low_ticks):
        trigger(desk, sell_stops, low_ticks)


@inlined
def settle_down(desk, order, price_ticks, queue_index, slot):
    """Put what is left of an order into a queue, an iceberg as its first slice; False if the window lacks room."""
    if not in_window(at(desk.ladder.queues, queue_index), price_ticks):
        desk.progress[0].needed_queue = queue_index
        desk.progress[0].needed_ticks = price_ticks
        return False
    if order.display != 0 and order.shown > order.display:
        order.hidden = np.int32(order.shown - order.display)
        order.shown = order.display
    enqueue(desk.ladder, slot, queue_index, price_ticks)
    return True


@inlined
def rests_at_once(desk, order, own, price_ticks):
    """Whether an order that comes in meets nobody and shows all it has: most do, and need not arrive at length."""
    queue, opposite = at(desk.ladder.queues, own), at(desk.ladder.queues, own ^ 1)
    lives = order.time_in_force
    rests = (order.terms & ~np.uint8(POST_ONLY) == 0) & (order.display == 0) & (lives != IOC) & (lives != FOK)
    return rests and in_window(queue, price_ticks) and not crosses(opposite, price_ticks)


@inlined
def come_in(desk, slot, own, price_ticks):
    """Put an order into the queue of its side at its limit, if nothing else happens to it; else let it in."""
    if rests_at_once(desk, at(desk.ladder.orders, slot), own, price_ticks):
        enqueue(desk.ladder, slot, own, price_ticks)
    else:
        let_in(desk, slot)


@inlined
def arrive(desk, command, events, n_events, trades, n_trades):
    """Let the arriving orders trade, then rest or be cancelled; returns (why it stopped, events, trades)."""
    progress = desk.progress[0]
    ladder = desk.ladder
    while progress.arriving != 0:
        if n_events + ROOM > events.size:
            return NEEDS_EVENTS, n_events, n_trades
        slot = progress.arriving
        order = at(ladder.orders, slot)
        number = instrument_of(order)
        instrument = at(desk.instruments, number)
        own = queue_of(number, np.int64(order.side))
        opposite = at(ladder.queues, own ^ 1)
        gone = NONE  # or why what is left of the order is cancelled
        if progress.under_way == 0:
            progress.under_way = 1
            if order.terms & TRIGGERED:
                order.terms = order.terms & ~np.uint8(TRIGGERED)
                emit_about_order(at(events, n_events), WAS_TRIGGERED, command, order, order.shown, order.shown, NONE)
                n_events += 1
            if order.time_in_force == FOK and not fillable(desk, order, opposite):
                gone = IMMEDIATE

        if gone == NONE and instrument.phase == CONTINUOUS and not order.terms & WAITING:
            group = group_of(desk, order.owner)
            while order.shown and crosses(opposite, order.price_ticks):
                if n_events + ROOM > events.size or n_trades == trades.size:
                    return NEEDS_EVENTS, n_events, n_trades
                maker_slot = at(ladder.levels, opposite.best).oldest
                maker = at(ladder.orders, maker_slot)
                if order.self_trade and group_of(desk, maker.owner) == group:
                    prevent(desk, command, slot, maker_slot, at(events, n_events))
                    n_events += 1
                    continue
                quantity = min(order.shown, maker.shown)
                # Who names no limit agrees to the maker's.
                limit_ticks = maker.price_ticks if order.terms & NO_LIMIT else order.price_ticks
                price_ticks = execution_price(
                    instrument.execution_price,
                    order.side == BUY,
                    limit_ticks,
                    maker.price_ticks,
                    instrument.last_ticks,
                )
                trade = at(trades, n_trades)
                n_trades += 1
                buy, sell = (order, maker) if order.side == BUY else (maker, order)
                write_trade(desk, command, instrument, buy, sell, price_ticks, quantity, order.side, trade)
                order.shown -= quantity
                take_off(ladder, maker_slot, quantity)
                emit_traded(
                    at(events, n_events), command, order, maker, price_ticks, quantity, trade.trade_id, NONE
                )  # fmt: skip
                n_events += 1
                if maker.shown == 0:
                    n_events = show_or_leave(desk, command, maker_slot, events, n_events)
                progress.low_ticks = min(progress.low_ticks, price_ticks) if progress.low_ticks else price_ticks
                progress.high_ticks = max(progress.high_ticks, price_ticks)

        later = order.newer
        if order.shown == 0:
            leave(desk, slot)
        else:
            waits = order.terms & WAITING
            if not waits:
                if order.terms & NO_LIMIT or order.time_in_force == IOC or order.time_in_force == FOK:
                    gone = IMMEDIATE
                elif out_of_reach(ladder, at(ladder.queues, own), order.price_ticks):
                    gone = PRICE_OUT_OF_RANGE
            if gone != NONE:
                give_back(desk, order)
                emit_about_order(at(events, n_events), CANCELLED, command, order, order.shown, 0, gone)
                n_events += 1
                leave(desk, slot)
            elif waits:
                waiting = stop_queue_of(number, np.int64(order.side))
                if not settle_down(desk, order, progress.stop_ticks, waiting, slot):
                    return NEEDS_WINDOW, n_events, n_trades
            elif not settle_down(desk, order, order.price_ticks, own, slot):
                return NEEDS_WINDOW, n_events, n_trades

        progress.arriving = later
        progress.under_way = 0
        if progress.high_ticks:
            trigger_both(desk, number, progress.low_ticks, progress.high_ticks)
            progress.low_ticks = progress.high_ticks = 0
    return DONE, n_events, n_trades


# ---------------------------------------------------------------- the commands


@inlined
def place(desk, command, needed, event):
    """Accept an order that nothing speaks against: number it, reserve what it needs, let it in."""
    ladder = desk.ladder
    instrument = at(desk.instruments, command.instrument)
    own = queue_of(np.int64(command.instrument), np.int64(command.side))
    limit_ticks = limit_of(desk, command)
    order_id = ladder.pool[0].next_order_id
    ladder.pool[0].next_order_id = order_id + 1
    reserve(backing_of(desk, instrument, command.account, command.side), needed)
    want(desk, instrument, command.account, command.side, command.quantity)
    emit(
        event, ACCEPTED, command.sequence, order_id, command.account, command.instrument, command.side,
        limit_ticks, command.quantity, command.quantity, NONE,
    )  # fmt: skip
    slot = take_slot(ladder)
    order = at(ladder.orders, slot)
    order.order_id = order_id
    order.price_ticks = limit_ticks
    order.shown = command.quantity
    order.fee_rest = HALF_FEN
    order.hidden = 0
    order.display = command.display_quantity
    order.owner = command.account
    order.queue = own
    order.side = command.side
    order.time_in_force = command.time_in_force
    order.last_day = instrument.today
    if command.time_in_force == GTC:
        order.last_day = ALWAYS
    elif command.time_in_force == GTD:
        order.last_day = command.last_day
    order.self_trade = command.self_trade if command.self_trade else instrument.self_trade
    order.terms = POST_ONLY if command.post_only else 0
    if command.order_type == STOP_ORDER:
        order.terms = NO_LIMIT | WAITING
    elif command.order_type == STOP_LIMIT:
        order.terms = WAITING
    elif command.order_type == MARKET:
        order.terms = NO_LIMIT
    desk.progress[0].stop_ticks = command.stop_ticks
    ladder.slot_of[np.uint64(order_id - ladder.pool[0].first_order_id)] = slot
    come_in(desk, slot, own, limit_ticks)


@inlined
def amend(desk, command, more, event):
    """Give an order another price or quantity: less of it at the same price keeps its place, else it arrives anew."""
    ladder = desk.ladder
    slot = find(ladder, command.order_id)
    order = at(ladder.orders, slot)
    waits, has_limit = order.terms & WAITING != 0, order.terms & NO_LIMIT == 0
    stop_ticks = price_of(at(ladder.queues, order.queue), np.int64(order.level)) if waits else np.int64(0)
    new_stop_ticks = np.int64(command.stop_ticks) if command.stop_ticks else stop_ticks
    limit_ticks = command.price_ticks if has_limit and command.price_ticks != 0 else order.price_ticks
    leaves = order.shown + order.hidden
    keeps = limit_ticks == order.price_ticks and new_stop_ticks == stop_ticks and command.quantity < leaves

    instrument = at(desk.instruments, instrument_of(order))
    reserve(backing_of(desk, instrument, order.owner, order.side), more)
    want(desk, instrument, order.owner, order.side, command.quantity - leaves)
    emit_about_order(event, AMENDED, command, order, command.quantity, command.quantity, NONE)
    event.price_ticks = limit_ticks
    event.priority = KEPT if keeps else LOST
    if keeps:
        decrease(ladder, order, leaves - command.quantity)
    else:
        dequeue(ladder, slot)
        order.price_ticks = limit_ticks
        order.shown = command.quantity
        order.hidden = 0
        desk.progress[0].stop_ticks = new_stop_ticks
        come_in(desk, slot, queue_of(instrument_of(order), np.int64(order.side)), limit_ticks)


@inlined
def is_meant(order, command):
    """Whether a mass cancel means an order."""
    return (
        (command.account == 0 or order.owner == command.account)
        and (command.instrument == 0 or instrument_of(order) == command.instrument)
        and (command.side == EITHER or order.side == command.side)
    )


@njit(_nrt=False)
def cancel_all(desk, command, events, n_events):
    """Cancel every order that is meant, the oldest first; returns (why it stopped, events written)."""
    progress, ladder = desk.progress[0], desk.ladder
    given_out = ladder.pool[0].next_order_id - ladder.pool[0].first_order_id  # ids that may find an order
    reason = BY_REQUEST
    if command.batch == NEXT:
        of_batch = progress.batch_start - ladder.pool[0].first_order_id
        progress.scanned = max(progress.scanned, of_batch if progress.batch_refused else given_out)
        reason = BATCH_UNDONE
    while progress.scanned < given_out:
        if n_events + ROOM > events.size:
            return NEEDS_EVENTS, n_events
        slot = ladder.slot_of[np.uint64(progress.scanned)]
        progress.scanned += 1
        if slot == 0:
            continue
        order = at(ladder.orders, slot)
        if is_meant(order, command) and at(desk.instruments, instrument_of(order)).phase != CLOSED:
            cancel(desk, command, slot, at(events, n_events), reason)
            n_events += 1
            progress.cancelled += 1
    event = at(events, n_events)
    emit_about_command(event, ORDERS_CANCELLED, command, 0, reason)
    event.price_ticks = 0
    event.quantity = progress.cancelled
    progress.scanned = progress.cancelled = 0
    return DONE, n_events + 1


@inlined
def lacking_room(desk):
    """Which array might be too small for a new order; DONE if none."""
    pool = desk.ladder.pool[0]
    if pool.free == 0:
        return NEEDS_SLOTS
    if pool.next_order_id - pool.first_order_id >= desk.ladder.slot_of.size:
        return NEEDS_IDS
    return DONE


@inlined
def look_ahead(desk, commands, index):
    """Fetch into the cache what the rows to come will touch: first where an order is noted, then it, and who pays.

    Nothing here depends on what a row asks for, since the machine can't guess that: one that places an order
    looks at any order, one that names an order at the level of any price.
    """
    if index + 2 * AHEAD >= commands.size:
        return
    ladder = desk.ladder
    later, sooner = at(commands, index + 2 * AHEAD), at(commands, index + AHEAD)
    prefetch(ladder.slot_of, later.order_id - ladder.pool[0].first_order_id)

    prefetch(ladder.orders, likely_slot(ladder, sooner.order_id))
    prefetch_cell(desk.balances, sooner.account, CASH)  # most pay in the usual currency

    next_up = at(commands, index + AHEAD // 2)
    slot = likely_slot(ladder, next_up.order_id)
    look_at(ladder, slot)
    is_new = next_up.kind == PLACE_ORDER
    number = np.uint64(next_up.instrument) if is_new else np.uint64(at(ladder.orders, slot).queue) // np.uint64(QUEUES)
    number = min(number, np.uint64(desk.instruments.size - 1))
    prefetch_cell(desk.balances, next_up.account, at(desk.instruments, number).asset)
    own = at(ladder.queues, queue_of(number, np.uint64(next_up.side & 1)))
    prefetch(ladder.levels, level_of(own, next_up.price_ticks))


@entry
def run(arrays, commands, start, events, trades):
    """Apply trading rows from `start` on, the first of which may be under way.

    Returns (why it stopped, index of the first row not applied to its end, events written, trades written).
    """
    desk = laid_out(arrays)
    n_events, n_trades = 0, 0
    progress = desk.progress[0]
    for index in range(start, commands.size):
        if n_events + ROOM > events.size:
            return NEEDS_EVENTS, index, n_events, n_trades
        look_ahead(desk, commands, index)
        prefetch(events, n_events + 2 * AHEAD)
        prefetch(trades, n_trades + 2)
        command = at(commands, index)
        if progress.arriving == 0:
            event = at(events, n_events)
            if command.kind == PLACE_ORDER:
                if command.batch == FIRST:
                    progress.batch_start, progress.batch_refused = desk.ladder.pool[0].next_order_id, 0
                reason, needed = BATCH_STOPPED, NOTHING
                if command.batch != NEXT or progress.batch_refused == 0:
                    reason, needed = refuse_order(desk, command)
                if reason != NONE:
                    progress.batch_refused = 1
                    emit_about_command(event, REFUSED, command, 0, reason)
                    n_events += 1
                    continue
                lacking = lacking_room(desk)
                if lacking != DONE:
                    return lacking, index, n_events, n_trades
                place(desk, command, needed, event)
            elif command.kind == CANCEL_ORDER:
                reason = refuse_cancel(desk, command)
                if reason != NONE:
                    emit_about_command(event, CANCEL_REFUSED, command, command.order_id, reason)
                else:
                    cancel(desk, command, find(desk.ladder, command.order_id), event, BY_REQUEST)
            elif command.kind == AMEND_ORDER:
                reason, more = refuse_amend(desk, command)
                if reason != NONE:
                    emit_about_command(event, AMEND_REFUSED, command, command.order_id, reason)
                else:
                    amend(desk, command, more, event)
            elif command.kind == CANCEL_ORDERS:
                reason = refuse_cancel_all(desk, command)
                if reason == NONE:
                    stopped, n_events = cancel_all(desk, command, events, n_events)
                    if stopped != DONE:
                        return stopped, index, n_events, n_trades
                    continue
                emit_about_command(event, CANCEL_REFUSED, command, 0, reason)
            else:
                emit_about_command(event, REFUSED, command, 0, UNKNOWN_COMMAND)
            n_events += 1
        stopped, n_events, n_trades = arrive(desk, command, events, n_events, trades, n_trades)
        if stopped != DONE:
            return stopped, index, n_events, n_trades
    return DONE, commands.size, n_events, n_trades


@entry
def uncross(arrays, command, number, price_ticks, left, events, trades):
    """Trade the best bids with the best asks of instrument `number` at one price until nothing of `left` is left.

    Returns (why it stopped, what is left, events written, trades written).
    """
    desk = laid_out(arrays)
    ladder = desk.ladder
    instrument = at(desk.instruments, number)
    bids, asks = at(ladder.queues, queue_of(number, BUY)), at(ladder.queues, queue_of(number, SELL))
    n_events, n_trades = 0, 0
    while left:
        if n_events + ROOM > events.size or n_trades == trades.size:
            return NEEDS_EVENTS, left, n_events, n_trades
        buy_slot, sell_slot = at(ladder.levels, bids.best).oldest, at(ladder.levels, asks.best).oldest
        buy, sell = at(ladder.orders, buy_slot), at(ladder.orders, sell_slot)
        quantity = min(left, buy.shown, sell.shown)
        left -= quantity
        trade = at(trades, n_trades)
        n_trades += 1
        write_trade(desk, command[0], instrument, buy, sell, price_ticks, quantity, EITHER, trade)
        take_off(ladder, buy_slot, quantity)
        take_off(ladder, sell_slot, quantity)
        emit_traded(at(events, n_events), command[0], buy, sell, price_ticks, quantity, trade.trade_id, AUCTION)
        n_events += 1
        if buy.shown == 0:
            n_events = show_or_leave(desk, command[0], buy_slot, events, n_events)
        if sell.shown == 0:
            n_events = show_or_leave(desk, command[0], sell_slot, events, n_events)
    return DONE, left, n_events, n_trades


@entry
def trigger_by_auction(arrays, number, price_ticks):
    """Let in the stop orders that an auction's price reaches."""
    desk = laid_out(arrays)
    trigger_both(desk, number, price_ticks, price_ticks)


@entry
def expire(arrays, command, start, events):
    """Cancel every order whose last day is over, the oldest first.

    Returns (why it stopped, how many ids were looked at, events written, no trades).
    """
    desk = laid_out(arrays)
    ladder = desk.ladder
    n_events = 0
    for index in range(start, ladder.slot_of.size):
        if n_events + ROOM > events.size:
            return NEEDS_EVENTS, index, n_events, 0
        slot = ladder.slot_of[np.uint64(index)]
        if slot:
            order = at(ladder.orders, slot)
            if order.last_day <= at(desk.instruments, instrument_of(order)).today:
                cancel(desk, command[0], slot, at(events, n_events), END_OF_DAY)
                n_events += 1
    return DONE, ladder.slot_of.size, n_events, 0


@entry
def suspend(arrays, account, reason, command, start, events):
    """Cancel every order of an account, whatever the phase, the oldest first. Returns like `expire`."""
    desk = laid_out(arrays)
    ladder = desk.ladder
    n_events = 0
    for index in range(start, ladder.slot_of.size):
        if n_events + ROOM > events.size:
            return NEEDS_EVENTS, index, n_events, 0
        slot = ladder.slot_of[np.uint64(index)]
        if slot and at(ladder.orders, slot).owner == account:
            cancel(desk, command[0], slot, at(events, n_events), reason)
            n_events += 1
    return DONE, ladder.slot_of.size, n_events, 0


@inlined
def still_valid(desk, order, instrument):
    """NONE if an order of an earlier day may stand under today's band, else why not."""
    if order.last_day < instrument.today:
        return END_OF_DAY  # the market was closed on it
    stop_ticks = price_of(at(desk.ladder.queues, order.queue), np.int64(order.level))
    for price_ticks in (order.price_ticks, stop_ticks):
        if not instrument.band_low_ticks <= price_ticks <= instrument.band_high_ticks:
            return PRICE_OUTSIDE_BAND
    needed = backing_of_order(instrument, owner_of(desk, order), order)
    if backing_of(desk, instrument, order.owner, order.side).available < needed:
        return INSUFFICIENT_CASH
    return NONE


@entry
def carry_over(arrays, before, command, start, events):
    """Take the orders of earlier days into a new one, the oldest first; `before`: the participants as they were.

    What was reserved at its owner's fee of yesterday is reserved at today's. Returns like `expire`.
    """
    desk = laid_out(arrays)
    ladder = desk.ladder
    n_events = 0
    for index in range(start, ladder.slot_of.size):
        if n_events + ROOM > events.size:
            return NEEDS_EVENTS, index, n_events, 0
        slot = ladder.slot_of[np.uint64(index)]
        if slot:
            order = at(ladder.orders, slot)
            instrument = at(desk.instruments, instrument_of(order))
            reserved = backing_of_order(instrument, at(before, order.owner), order)
            release(backing_of(desk, instrument, order.owner, order.side), reserved)
            want(desk, instrument, order.owner, order.side, -(order.shown + order.hidden))
            reason = still_valid(desk, order, instrument)
            if reason == NONE:
                set_aside(desk, order)
            else:
                take_out(desk, command[0], slot, at(events, n_events), reason)
                n_events += 1
    return DONE, ladder.slot_of.size, n_events, 0


# ---------------------------------------------------------------- the way in from Python


NO_TRADES = np.zeros(0, TRADE)
Written = tuple[type_of_rows, type_of_rows]
Stop = tuple[int, int, int, int]  # why a loop stopped, how far it came, events and trades written


class TradingPath:
    """The desk with the room it works in; grows what is too small."""

    def __init__(self, slots: int = 1024, ids: int = 4096, events: int = 8192) -> None:
        self.desk = new_desk(slots, ids)  # a desk with other arrays may be put in its place
        self._events = np.zeros(events, EVENT)
        self._trades = np.zeros(events, TRADE)

    @property
    def desk(self) -> Desk:
        """The arrays, by name."""
        return self._desk

    @desk.setter
    def desk(self, desk: Desk) -> None:
        self._desk, self._arrays = desk, (*desk.ladder, *desk[1:])

    def run(self, commands: type_of_rows) -> Written:
        """Apply trading rows; returns the event rows and the trade rows they caused, not to be written to."""
        events, trades = self._events, self._trades
        stopped, index, n_events, n_trades = run(self._arrays, commands, 0, events, trades)
        done = copied(events[:n_events]), copied(trades[:n_trades]) if n_trades else NO_TRADES
        if stopped == DONE:
            return done
        self._make_room(stopped)
        rest = _copied(
            self._parts(lambda index: run(self._arrays, commands, index, events, trades), events, trades, index)
        )
        return joined([done[0], rest[0]]), joined([done[1], rest[1]])

    def play(self, commands: type_of_rows, events: type_of_rows, trades: type_of_rows) -> Iterator[Written]:
        """Apply trading rows, writing into `events` and `trades`; yields what was filled, each time one is full.

        Each part must be used before the next is asked for, which overwrites it. ValueError if they are too
        short for what one order can say at once.
        """
        if events.size < ROOM or not trades.size:
            raise ValueError(f"events must have room for {ROOM} rows at least, trades for one")
        return self._parts(lambda index: run(self._arrays, commands, index, events, trades), events, trades)

    def uncross(self, command: type_of_rows, instrument: int, price_ticks: int, volume: int) -> Written:
        """Trade `volume` at the uncrossing price, in the name of one command row (1,)."""
        return self._until_done(
            lambda left: uncross(self._arrays, command, instrument, price_ticks, left, self._events, self._trades),
            volume,
        )

    def trigger(self, command: type_of_rows, instrument: int, price_ticks: int) -> Written:
        """Let the stop orders trade that an auction's price reaches."""
        trigger_by_auction(self._arrays, instrument, price_ticks)
        if self.desk.progress[0].arriving == 0:
            return copied(self._events[:0]), NO_TRADES
        # The command is under way, as when room was lacking: the loop only lets in what arrives.
        return self._until_done(lambda index: run(self._arrays, command, index, self._events, self._trades))

    def expire(self, command: type_of_rows) -> type_of_rows:
        """Cancel all orders whose last day is over; returns the event rows."""
        return self._until_done(lambda index: expire(self._arrays, command, index, self._events))[0]

    def suspend(self, command: type_of_rows, account: int, reason: int = ACCOUNT_SUSPENDED) -> type_of_rows:
        """Cancel all orders of an account; returns the event rows."""
        return self._until_done(lambda index: suspend(self._arrays, account, reason, command, index, self._events))[0]

    def carry_over(self, command: type_of_rows, before: type_of_rows) -> type_of_rows:
        """Take orders of earlier days into a new one, whose rules are set; returns the event rows.

        `before`: the participants as they were.
        """
        return self._until_done(lambda index: carry_over(self._arrays, before, command, index, self._events))[0]

    def _until_done(self, go_on: Callable[[int], Stop], start: int = 0) -> Written:
        return _copied(self._parts(go_on, self._events, self._trades, start))

    def _parts(
        self, go_on: Callable[[int], Stop], events: type_of_rows, trades: type_of_rows, start: int = 0
    ) -> Iterator[Written]:
        """Call a loop again and again from where it stopped, and make the room it lacked."""
        stopped = NEEDS_EVENTS
        while stopped != DONE:
            stopped, start, n_events, n_trades = go_on(start)
            yield events[:n_events], trades[:n_trades]
            self._make_room(stopped)

    def _make_room(self, stopped: int) -> None:
        ladder, progress = self.desk.ladder, self.desk.progress[0]
        if stopped == NEEDS_SLOTS:
            ladder = book_of.with_slots(ladder, 2 * ladder.orders.size)
        elif stopped == NEEDS_IDS:
            ladder = book_of.with_ids(ladder)
        elif stopped == NEEDS_WINDOW:
            ladder = book_of.with_price(ladder, int(progress.needed_queue), int(progress.needed_ticks))
            progress.needed_queue = progress.needed_ticks = 0
        self.desk = self.desk._replace(ladder=ladder)


def _copied(parts: Iterator[Written]) -> Written:
    """All parts behind one another, in memory of their own."""
    copies = [(copied(events), copied(trades)) for events, trades in parts]
    if len(copies) == 1:
        return copies[0]
    return joined([events for events, _ in copies]), joined([trades for _, trades in copies])


def warm_up() -> None:
    """Load the machine code from disk, or compile it: every entry point is called once on nothing."""
    path = TradingPath()
    command = np.zeros(1, COMMAND)
    path.run(command[:0])
    path.uncross(command, 0, 0, 0)
    path.trigger(command, 0, 0)
    path.expire(command)
    path.suspend(command, 0)
    path.carry_over(command, path.desk.participants)
    clearing.warm_up(np.zeros(0, TRADE))
