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
    """How long an order lives (FIX tag 59)."""

    GTC = 0  # good till cancelled
    DAY = 1  # until the end of the trading day
    IOC = 2  # immediate or cancel: what does not trade at once is cancelled
    FOK = 3  # fill or kill: trades in full at once, or not at all
