"""The words of an order: side, time in force.

The numbers are those of the command row, of the order-flow file and of the journal.
"""

from enum import IntEnum


class Side(IntEnum):
    """Which way an order goes (FIX tag 54)."""

    BUY = 0
    SELL = 1

    @property
    def opposite(self) -> "Side":
        return Side(1 - self)


class TimeInForce(IntEnum):
    """How long an order lives (FIX tag 59): for the trading day, or only for this instant."""

    DAY = 0
    IOC = 1
