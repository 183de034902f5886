"""The words of an order: side, type, time in force, self-trade prevention.

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


EITHER_SIDE = 2  # of a mass cancel: both sides; of an auction trade: neither took


class OrderType(IntEnum):
    """What an order asks for (FIX tag 40)."""

    LIMIT = 0
    MARKET = 1  # at any price inside the band; trades at once or not at all, so IOC or FOK
    STOP = 2  # waits for a trade at its stop price or beyond, then is a market order; for the day
    STOP_LIMIT = 3  # waits likewise, then is a limit order

    @property
    def waits(self) -> bool:
        """Whether it stands outside the book until a trade reaches its stop price."""
        return self in (OrderType.STOP, OrderType.STOP_LIMIT)


class TimeInForce(IntEnum):
    """How long an order lives (FIX tag 59)."""

    GTC = 0  # good till cancelled
    DAY = 1  # until the end of the trading day
    IOC = 2  # immediate or cancel: what does not trade at once is cancelled
    FOK = 3  # fill or kill: trades in full at once, or not at all
    GTD = 4  # until the end of a date

    @property
    def rests(self) -> bool:
        """Whether what does not trade at once stays in the book."""
        return self not in (TimeInForce.IOC, TimeInForce.FOK)


class SelfTradePrevention(IntEnum):
    """What happens when two orders of one beneficial owner meet; the taker's choice counts (FIX tag 7928)."""

    BY_RULES = 0  # of a command: whatever the rule set says; of a rule set: they trade
    CANCEL_NEWEST = 1  # the taker is cancelled
    CANCEL_OLDEST = 2  # the maker is cancelled, the taker goes on
    CANCEL_BOTH = 3
    DECREMENT = 4  # both lose the smaller of the two quantities


class Priority(IntEnum):
    """What an amend did to an order's place in its queue."""

    NONE = 0  # not an amend
    KEPT = 1
    LOST = 2

    @property
    def label(self) -> str:
        return self.name.lower()
