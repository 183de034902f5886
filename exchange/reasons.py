"""Why a command is refused, in descending precedence: the first reason that holds is the one given.

One reason stands outside the order: CLIENT_ORDER_ID_USED is found by the engine before there is a
command at all.

The name in lower case is the stable code that clients see. A refused command changes nothing.
"""

from enum import IntEnum


class Reason(IntEnum):
    """Refusals, most fundamental first. 0 means that nothing speaks against the command."""

    NONE = 0
    # who and what
    UNKNOWN_ACCOUNT = 1
    UNKNOWN_INSTRUMENT = 2
    UNKNOWN_UNIT = 3
    UNKNOWN_ORDER = 4
    ACCOUNT_EXISTS = 5
    INSTRUMENT_EXISTS = 6
    MAY_NOT_TRADE = 7
    ALREADY_FOUNDED = 8
    UNKNOWN_COMMAND = 9
    # when
    MARKET_CLOSED = 10
    MARKET_HALTED = 11
    WRONG_PHASE = 12
    DAY_NOT_SETTLED = 13
    DAY_ALREADY_SETTLED = 14
    DATE_NOT_LATER = 15
    CLIENT_ORDER_ID_USED = 16
    ALREADY_HALTED = 17
    NOT_HALTED = 18
    # on which terms
    INVALID_SIDE = 20
    INVALID_TIME_IN_FORCE = 21
    INVALID_ORDER_TYPE = 22
    INVALID_SELF_TRADE_PREVENTION = 23
    TIME_IN_FORCE_NOT_ALLOWED = 24  # the rule set lets no order outlive its day
    CONTRADICTORY_TERMS = 25  # see exchange.refusals
    NOT_IN_CALL = 26  # IOC, FOK, post-only: nothing trades at once in a call auction
    LAST_DAY_PASSED = 27
    # how much and at what price
    QUANTITY_NOT_POSITIVE = 30
    QUANTITY_OFF_LOT = 31
    INVALID_DISPLAY_QUANTITY = 32
    PRICE_OFF_TICK = 33
    PRICE_NOT_POSITIVE = 34
    PRICE_OUTSIDE_BAND = 35
    PRICE_OUT_OF_RANGE = 36
    AMOUNT_OFF_FEN = 37
    AMOUNT_NOT_POSITIVE = 38
    AMOUNT_TOO_LARGE = 39
    ORDER_EXISTS = 40  # foreign flow: the reference of an order that still rests
    ORDER_ID_OUT_OF_SEQUENCE = 41  # foreign flow with assigned ids
    STOP_ALREADY_REACHED = 42
    POST_ONLY_WOULD_TRADE = 43
    # with what
    INSUFFICIENT_CASH = 50
    INSUFFICIENT_UNITS = 51
    # why something happened without a refusal
    BY_REQUEST = 60
    IMMEDIATE_OR_CANCEL = 61
    END_OF_DAY = 62
    SELF_TRADE = 63
    AUCTION = 64  # a trade of a call auction: neither order took

    @property
    def code(self) -> str:
        return self.name.lower()


class Refused(Exception):
    """A command is refused: raised by its handler before anything has changed."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.code}: {detail}")
        self.reason = reason
        self.detail = detail
