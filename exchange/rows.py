"""The three row formats: command, event, trade. Wire batch, kernel input and output, journal and file alike.

Quantities are tCO2e, prices ticks of the instrument, money fen (0.01 CNY), times UTC nanoseconds since
1970. A number of 0 in an account, instrument, order or trade field means nobody, none.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np

type_of_rows = np.ndarray[Any, np.dtype[Any]]


class CommandKind(IntEnum):
    """What a command row asks for."""

    CONTROL = 0  # everything off the trading path; the command itself is the row's detail
    PLACE_ORDER = 1
    CANCEL_ORDER = 2
    AMEND_ORDER = 3  # foreign order flow only, so far


class EventKind(IntEnum):
    """What an event row says has happened."""

    ACCEPTED = 1  # an order came in
    TRADED = 2  # it met a resting order: `order_id` is the taker's, `maker_order_id` the maker's
    CANCELLED = 3  # what was left of an order is gone, `reason` says why
    REFUSED = 4
    CANCEL_REFUSED = 5
    AMENDED = 6  # an order has a new price or quantity, even if it then trades in full
    AMEND_REFUSED = 7

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
        ("price_ticks", "i8"),
        ("quantity", "i8"),
        ("account", "u4"),
        ("instrument", "u2"),
        ("kind", "u1"),  # CommandKind
        ("side", "u1"),  # matching.orders.Side
        ("time_in_force", "u1"),  # matching.orders.TimeInForce
    ],
)

EVENT = _records(
    [
        ("sequence", "i8"),  # of the command that caused it
        ("order_id", "i8"),
        ("maker_order_id", "i8"),  # TRADED
        ("price_ticks", "i8"),  # TRADED: the execution price; else the order's limit
        ("quantity", "i8"),  # TRADED: of this fill; CANCELLED: taken off; else of the order
        ("leaves", "i8"),  # of order_id, after the event
        ("maker_leaves", "i8"),  # TRADED: of maker_order_id, after the event
        ("trade_id", "i8"),  # TRADED
        ("account", "u4"),  # owner of order_id
        ("maker_account", "u4"),  # TRADED
        ("instrument", "u2"),
        ("kind", "u1"),  # EventKind
        ("side", "u1"),  # of order_id
        ("reason", "u1"),  # exchange.reasons.Reason
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
        ("aggressor", "u1"),  # side of the taker
    ],
)


def joined(parts: Sequence[type_of_rows]) -> type_of_rows:
    """Rows of one dtype, copied behind one another.

    As raw bytes: NumPy copies records field by field, which takes ten times as long.
    """
    dtype = parts[0].dtype
    return np.concatenate([part.view(np.uint8) for part in parts]).view(dtype)
