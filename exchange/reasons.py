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
    WRONG_PHASE = 11
    DAY_NOT_SETTLED = 12
    DAY_ALREADY_SETTLED = 13
    DATE_NOT_LATER = 14
    CLIENT_ORDER_ID_USED = 15
    # how much and at what price
    INVALID_SIDE = 20
    INVALID_TIME_IN_FORCE = 21
    QUANTITY_NOT_POSITIVE = 22
    QUANTITY_OFF_LOT = 23
    PRICE_OFF_TICK = 24
    PRICE_NOT_POSITIVE = 25
    PRICE_OUTSIDE_BAND = 26
    PRICE_OUT_OF_RANGE = 27
    AMOUNT_OFF_FEN = 28
    AMOUNT_NOT_POSITIVE = 29
    AMOUNT_TOO_LARGE = 30
    ORDER_EXISTS = 31  # foreign flow: the reference of an order that still rests
    ORDER_ID_OUT_OF_SEQUENCE = 32  # foreign flow with assigned ids
    # with what
    INSUFFICIENT_CASH = 40
    INSUFFICIENT_UNITS = 41
    # why an order ended without a refusal
    BY_REQUEST = 60
    IMMEDIATE_OR_CANCEL = 61
    END_OF_DAY = 62

    @property
    def code(self) -> str:
        return self.name.lower()


class Refused(Exception):
    """A command is refused: raised by its handler before anything has changed."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.code}: {detail}")
        self.reason = reason
        self.detail = detail
