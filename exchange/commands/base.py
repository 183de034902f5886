"""What all commands have in common."""

from typing import Any

import msgspec
import numpy as np

from exchange.rows import COMMAND, CommandKind


class ControlCommand(msgspec.Struct, frozen=True, tag_field="command", tag=True):
    """A command off the trading path: it travels in JSON, tagged with its name."""


class Command(msgspec.Struct, frozen=True):
    """One command on its way to the journal: its row, and what does not fit into a row.

    The detail of a CONTROL row is the command in JSON; that of an order is its client order id.
    """

    row: Any  # COMMAND record; sequence and time are still 0
    detail: bytes = b""
    begins_day: bool = False  # after it, client order ids may be used anew


def row_of(kind: CommandKind, **fields: int) -> Any:
    """A command row with these fields; the others are 0."""
    row = np.zeros(1, COMMAND)[0]
    row.kind = kind
    for name, value in fields.items():
        row[name] = value
    return row
