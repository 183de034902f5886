"""The three row formats: command, event, trade. Wire batch, kernel input and output, journal and file alike.

Quantities are tCO2e, prices ticks of the instrument, money fen (0.01 of its currency), times UTC nanoseconds since
1970. A number of 0 in an account, instrument, order or trade field means nobody, none.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

import numpy as np

type_of_rows = np.ndarray[Any, np.dtype[Any]]


class CommandKind(IntEnum):
    """What a command row asks for."""

    CONTROL = 0  # everything off the trading path; the command itself is the row's detail
    PLACE_ORDER = 1
    CANCEL_ORDER = 2
    AMEND_ORDER = 3
    CANCEL_ORDERS = 4  # mass cancel: of an account (0: of everybody), an instrument (0: all), a side (2: both)


class InBatch(IntEnum):
    """How an order belongs to those around it, which all came in one block and are refused together."""

    ALONE = 0
    FIRST = 1  # a batch begins
    NEXT = 2  # of PLACE_ORDER: refused if an order of its batch was; of CANCEL_ORDERS: those of its batch, if one was


class EventKind(IntEnum):
    """What an event row says has happened."""

    ACCEPTED = 1  # an order came in
    TRADED = 2  # it met a resting order: `order_id` is the taker's, `maker_order_id` the maker's
    CANCELLED = 3  # what was left of an order is gone, `reason` says why
    REFUSED = 4
    CANCEL_REFUSED = 5
    AMENDED = 6  # an order has a new price or quantity, even if it then trades in full
    AMEND_REFUSED = 7
    PREVENTED = 8  # taker and maker have one beneficial owner: no trade, `leaves` says who is gone
    REFRESHED = 9  # an iceberg shows its next slice, at the back of its queue
    TRIGGERED = 10  # a trade reached the stop price of an order, which now enters the book
    ORDERS_CANCELLED = 11  # the end of a mass cancel
    TRADE_CORRECTED = (
        12  # a trade has another price or quantity; `order_id` is the buyer's, `maker_order_id` the seller's
    )
    TRADE_BUSTED = 13  # a trade is undone; of price and quantity those it had last

    @property
    def label(self) -> str:
        return self.name.lower()


def _records(fields: list[tuple[str, str]]) -> np.dtype[Any]:
    """A dtype whose rows have attributes, each field on its natural boundary."""
    return np.dtype((np.record, np.dtype(fields, align=True)))


COMMAND = _records(
    [
        ("sequence", "i8"),  # order of commands, from 1, stamped by the engine
        ("now_ns", "i8"),  # stamped by the engine
        ("order_id", "i8"),  # CANCEL_ORDER, AMEND_ORDER: which; in a foreign flow the external reference
        ("price_ticks", "i8"),  # limit; 0 of a market or stop order; of an amend 0: as it was
        ("quantity", "i8"),  # of an amend: the new leaves
        ("account", "u4"),
        ("stop_ticks", "i4"),  # stop price of a stop or stop-limit order; of an amend 0: as it was
        ("display_quantity", "i4"),  # slice that an iceberg shows; 0: all of it
        ("last_day", "u2"),  # GTD: the last day of its life, in days since 1970
        ("instrument", "u2"),
        ("kind", "u1"),  # CommandKind
        ("side", "u1"),  # matching.orders.Side
        ("order_type", "u1"),  # matching.orders.OrderType
        ("time_in_force", "u1"),  # matching.orders.TimeInForce
        ("self_trade", "u1"),  # matching.orders.SelfTradePrevention
        ("post_only", "u1"),  # 1: refused if it would trade at once
        ("batch", "u1"),  # InBatch
    ],
)

EVENT = _records(
    [
        ("sequence", "i8"),  # of the command that caused it
        ("order_id", "i8"),
        ("maker_order_id", "i8"),  # TRADED, PREVENTED; of an auction trade the sell order
        ("price_ticks", "i8"),  # TRADED: the execution price; else the order's limit
        ("quantity", "i8"),  # TRADED: of this fill; CANCELLED: taken off; REFRESHED: shown; else of the order
        ("leaves", "i8"),  # of order_id, after the event
        ("maker_leaves", "i8"),  # TRADED, PREVENTED: of maker_order_id, after the event
        ("trade_id", "i8"),  # TRADED, TRADE_CORRECTED, TRADE_BUSTED
        ("account", "u4"),  # owner of order_id
        ("maker_account", "u4"),  # TRADED, PREVENTED
        ("instrument", "u2"),
        ("kind", "u1"),  # EventKind
        ("side", "u1"),  # of order_id
        ("reason", "u1"),  # exchange.reasons.Reason
        ("priority", "u1"),  # AMENDED: matching.orders.Priority
    ],
)

TRADE = _records(
    [
        ("trade_id", "i8"),  # from 1, never reset
        ("sequence", "i8"),  # of the taker's command
        ("now_ns", "i8"),
        ("price_ticks", "i8"),
        ("quantity", "i8"),
        ("buy_order_id", "i8"),
        ("sell_order_id", "i8"),
        ("buyer_fee", "i8"),  # fen
        ("seller_fee", "i8"),  # fen
        ("buyer", "u4"),  # account
        ("seller", "u4"),  # account
        ("instrument", "u2"),
        ("aggressor", "u1"),  # side of the taker; EITHER_SIDE in an auction
    ],
)


def _shape_of(dtype: np.dtype[Any]) -> Callable[[tuple[int, ...]], Any]:
    shape: Any = namedtuple("Told", list(dtype.names or ()))  # type: ignore[misc]
    return shape._make


_SHAPES = {dtype.itemsize: _shape_of(dtype) for dtype in (COMMAND, EVENT, TRADE)}  # no two are of one size


_MANY = 16  # rows that are told faster column by column


def told(rows: type_of_rows) -> list[Any]:
    """Rows as named tuples of Python's integers: reading a field of a record takes many times as long."""
    made = _SHAPES[rows.dtype.itemsize]
    if rows.size < _MANY:
        return [*map(made, rows.tolist())]
    return [*map(made, zip(*(rows[name].tolist() for name in rows.dtype.names or ()), strict=True))]


def copied(rows: type_of_rows) -> type_of_rows:
    """Rows in memory of their own, which can't be written to. By way of bytes: see `joined`."""
    return np.frombuffer(rows.tobytes(), rows.dtype)


def joined(parts: Sequence[type_of_rows]) -> type_of_rows:
    """Rows of one dtype, copied behind one another.

    As raw bytes: NumPy copies records field by field, which takes ten times as long.
    """
    dtype = parts[0].dtype
    return np.concatenate([part.view(np.uint8) for part in parts]).view(dtype)
