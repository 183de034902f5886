"""What every vendor's order flow is read into: rows that say what happened to resting orders.

A row is a message about one order, in the words of LOBSTER, the least that all vendors tell: an order came
to rest, lost some of its size, was deleted, was executed. The aggressor of an execution is never told.
What a vendor replaces is a deletion and a new order: a replaced order loses its place.

A file that breaks its format ends with a :class:`FormatError` that names the first bad row and column.
"""

from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

type_of_rows = np.ndarray[Any, np.dtype[Any]]


class MessageType(IntEnum):
    """What happened, by LOBSTER's numbers."""

    NEW_ORDER = 1
    PARTIAL_CANCEL = 2
    DELETE = 3
    EXECUTION = 4
    HIDDEN_EXECUTION = 5  # of an order that was never displayed
    CROSS_TRADE = 6
    HALT = 7


ABOUT_AN_ORDER = (MessageType.NEW_ORDER, MessageType.PARTIAL_CANCEL, MessageType.DELETE, MessageType.EXECUTION)
UNKNOWN_LEAVES = -1
HALTED, QUOTING, TRADING = -1, 0, 1  # the price of a HALT

MESSAGE = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("time_ns", "i8"),  # after local midnight (LOBSTER, ITCH), or UTC since 1970 (the others)
                ("order_id", "i8"),  # of the resting order; 0: hidden, a cross, a halt
                ("price", "i8"),  # of the resting order, in ticks of the file; of a HALT: -1, 0 or 1
                ("quantity", "i8"),  # of what happened, in shares
                ("leaves", "i8"),  # of the order after it; UNKNOWN_LEAVES if it is older than the window
                ("kind", "u1"),  # MessageType
                ("side", "u1"),  # matching.orders.Side of the resting order
            ],
            align=True,
        ),
    )
)


class FormatError(ValueError):
    """A file that breaks its format: which file, row and column (from 1, or by name; 0: the whole), and how."""

    def __init__(self, file: Path, row: int, column: int | str, fault: str) -> None:
        where = file.name + (f", row {row}" if row else "") + (f", column {column}" if column else "")
        super().__init__(f"{where}: {fault}")
        self.file, self.row, self.column, self.fault = file, row, column, fault
