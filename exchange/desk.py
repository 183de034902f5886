"""What the trading path works on: the desk, its arrays, and the few sums that everything there is made of.

A buy order reserves what it can cost at most,

    limit x leaves + (rate x limit x leaves + rest) div 1,000,000

where rate is the higher of its owner's two, as maker and as taker, and rest what its earlier fills left of rounding
(:mod:`settlement.fees`). A fill takes price x quantity + fee from that, and what it takes and what must then be
reserved is never more than what was: fee and later reservation come to (rate of the fill x turnover + rate x what is
left + rest) div 1,000,000, whose terms are no greater than before. A better price than the limit gives the rest
back, and so does a cancel. A sell order reserves its units. What a fill leaves owing stays reserved until settlement
consumes it, and is a claim of the other side.

Zero is nobody and nothing in every number.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from exchange.instruments import INSTRUMENT
from exchange.rows import type_of_rows
from matching import ladder as book_of
from matching.ladder import QUEUES, Ladder, at
from matching.orders import Side
from registry.holdings import new_balances
from settlement.fees import charge

inlined = njit(_nrt=False, forceinline=True)

BUY, SELL = int(Side.BUY), int(Side.SELL)

# What an order's terms say besides.
POST_ONLY = 1
NO_LIMIT = 2  # a market order, or a stop order that will be one: it trades at once or not at all
WAITING = 4  # for a trade at its stop price
TRIGGERED = 8  # has been reached, and has not been heard of since
ALWAYS = (1 << 16) - 1  # last day of an order that is good till cancelled

PARTICIPANT = np.dtype(
    (
        np.record,
        [
            ("position", "i8"),  # allowances held or wanted: see exchange.positions, tCO2e
            ("position_limit", "i8"),  # that no buy order may pass
            ("group", "u4"),  # beneficial owner: the number of its first account
            # Fees of the day in parts per million of turnover: exchange.fees.
            ("buy_taker_ppm", "u4"),
            ("buy_maker_ppm", "u4"),
            ("sell_taker_ppm", "u4"),
            ("sell_maker_ppm", "u4"),
            ("may_trade", "u1"),
        ],
    )
)
PROGRESS = np.dtype(
    (
        np.record,
        [
            ("next_trade_id", "i8"),
            ("house", "i8"),  # the fee account
            # Of the command at work; nothing is arriving between commands.
            ("arriving", "u4"),  # slot of the order that comes in; behind it, by `newer`, the stops it triggered
            ("last_arriving", "u4"),
            ("under_way", "i8"),  # 1: the arriving order has begun to trade
            ("low_ticks", "i8"),  # lowest price at which it has traded; 0: none
            ("high_ticks", "i8"),  # highest
            ("stop_ticks", "i8"),  # where an arriving stop order shall wait
            ("scanned", "i8"),  # orders looked at by a mass cancel
            ("cancelled", "i8"),  # orders cancelled by it
            # Of the batch at work.
            ("batch_start", "i8"),  # id of its first order
            ("batch_refused", "i8"),  # 1: one of its orders was refused
            ("needed_queue", "i8"),  # whose window must cover
            ("needed_ticks", "i8"),  # this price
        ],
    )
)


class Desk(NamedTuple):
    """Everything the trading path reads and changes: arrays only."""

    ladder: Ladder
    instruments: type_of_rows  # (instruments + 1,) INSTRUMENT
    participants: type_of_rows  # (accounts + 1,) PARTICIPANT, by account
    balances: type_of_rows  # (accounts + 1, assets + 1) registry.holdings.BALANCE
    progress: type_of_rows  # (1,) PROGRESS


@njit(_nrt=False)
def laid_out(arrays):
    """The desk of its arrays in a row: Python hands these over faster than nested tuples."""
    return Desk(
        Ladder(arrays[0], arrays[1], arrays[2], arrays[3], arrays[4], arrays[5], arrays[6]),
        arrays[7],
        arrays[8],
        arrays[9],
        arrays[10],
    )


def new_desk(slots: int, ids: int) -> Desk:
    """A desk without instruments and accounts, with room for so many resting orders and order ids."""
    progress = np.zeros(1, PROGRESS)
    progress[0].next_trade_id = 1
    return Desk(
        ladder=book_of.new_ladder(slots=slots, ids=ids),
        instruments=np.zeros(1, INSTRUMENT),
        participants=np.zeros(1, PARTICIPANT),
        balances=new_balances(0, 0),
        progress=progress,
    )


def is_waiting(order: Any) -> bool:
    """Whether an order row stands outside the book, waiting for its stop price."""
    return bool(order.terms & WAITING)


@inlined
def instrument_of(order):
    """Number of the instrument of an order."""
    return np.int64(order.queue) // QUEUES


@inlined
def balance_of(desk, account, asset):
    """One balance of an account."""
    return desk.balances[np.uint64(account), np.uint64(asset)]


@inlined
def backing_of(desk, instrument, account, side):
    """The balance that backs an order of an account."""
    cash, asset = instrument.cash, instrument.asset
    return balance_of(desk, account, cash if side == BUY else asset)


@inlined
def owner_of(desk, order):
    """The participant whose order it is."""
    return at(desk.participants, order.owner)


@inlined
def group_of(desk, account):
    """Beneficial owner of an account."""
    return at(desk.participants, account).group


@inlined
def want(desk, instrument, account, side, tonnes):
    """A buy order may bring its account so many tonnes more, or fewer: allowances count in its position."""
    counts = instrument.counts != 0 and side == BUY
    at(desk.participants, account).position += np.int64(tonnes) if counts else np.int64(0)


@inlined
def buyer_rate(owner, aggressor):
    """What a participant pays for a fill of its buy order, ppm; in an auction nobody takes, and all pay as makers."""
    return owner.buy_taker_ppm if aggressor == BUY else owner.buy_maker_ppm


@inlined
def seller_rate(owner, aggressor):
    """What a participant pays for a fill of its sell order, ppm."""
    return owner.sell_taker_ppm if aggressor == SELL else owner.sell_maker_ppm


@inlined
def backing(instrument, owner, side, price_ticks, leaves, fee_rest):
    """What an order of a participant must have reserved for its leaves: fen of a buyer, tonnes of a seller.

    Both are worked out, then one is taken: that costs less than a guess at the next order's side.
    """
    at_most = price_ticks * leaves * instrument.fen_per_tick
    fee, _ = charge(at_most, max(owner.buy_taker_ppm, owner.buy_maker_ppm), fee_rest)
    return at_most + fee if side == BUY else leaves


@inlined
def backing_of_order(instrument, owner, order):
    """What a resting or arriving order must have reserved; `owner`: the row of whoever placed it."""
    return backing(instrument, owner, order.side, order.price_ticks, order.shown + order.hidden, order.fee_rest)
