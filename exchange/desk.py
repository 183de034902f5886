"""What the trading path works on: the desk, its arrays, and the few sums that everything there is made of.

A buy order reserves what it can cost at most,

    cost(turnover + limit x leaves) - cost(turnover),   cost(t) = t + fee(t)

where turnover is what it has traded already; each fill takes price x quantity + fee from that, a better
price than the limit gives the rest back, and so does a cancel. A sell order reserves its units. What a
fill leaves owing stays reserved until settlement consumes it, and is a claim of the other side.

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
from registry.holdings import CASH, new_balances
from settlement.fees import fee

inlined = njit(_nrt=False, forceinline=True)

BUY = int(Side.BUY)

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
    asset = instrument.asset
    return balance_of(desk, account, CASH if side == BUY else asset)


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
def cost(turnover, rate_ppm):
    """Fen that a buyer of this turnover pays, the fee included."""
    return turnover + fee(turnover, rate_ppm)


@inlined
def backing(instrument, side, price_ticks, leaves, turnover):
    """What an order must have reserved for its leaves: fen of a buyer, tonnes of a seller.

    Both are worked out, then one is taken: that costs less than a guess at the next order's side.
    """
    at_most = turnover + price_ticks * leaves * instrument.fen_per_tick
    money = cost(at_most, instrument.buyer_fee_ppm) - cost(turnover, instrument.buyer_fee_ppm)
    return money if side == BUY else leaves


@inlined
def backing_of_order(instrument, order):
    """What a resting or arriving order must have reserved."""
    return backing(instrument, order.side, order.price_ticks, order.shown + order.hidden, order.turnover)
