"""What all commands have in common."""

import struct
from typing import Any

import msgspec
import numpy as np

from exchange.rows import COMMAND, CommandKind

_PACKED = struct.Struct("<5qI2i2H7Bx")  # a COMMAND row
assert _PACKED.size == COMMAND.itemsize, "the rows have other fields"
_NOTHING = dict.fromkeys(COMMAND.names or (), 0)


class ControlCommand(msgspec.Struct, frozen=True, tag_field="command", tag=True):
    """A command off the trading path: it travels in JSON, tagged with its name."""


class Command(msgspec.Struct, frozen=True):
    """One command on its way to the journal: its row, and what does not fit into a row.

    The detail of a CONTROL row is the command in JSON; that of an order is its client order id.
    """

    packed: bytes  # a COMMAND row; sequence and time are still 0
    detail: bytes = b""
    begins_day: bool = False  # after it, client order ids may be used anew

    @property
    def row(self) -> Any:
        """The COMMAND record, which can't be written to."""
        return np.frombuffer(self.packed, COMMAND)[0]


def row_of(kind: CommandKind, **fields: int) -> bytes:
    """A command row with these fields; the others are 0. struct.error if one of them does not fit."""
    return packed_row(*(_NOTHING | fields | {"kind": kind}).values())


packed_row = _PACKED.pack
"""A command row of all its fields in order; struct.error if one of them does not fit."""
