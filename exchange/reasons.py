"""Why a command is refused, in descending precedence: the first reason that holds is the one given.

Two reasons stand outside the order: CLIENT_ORDER_ID_USED is found by the engine before there is a
command at all, and BATCH_STOPPED before anything else of a command is looked at.

The name in lower case is the stable code that clients see. A refused command changes nothing.
"""

from enum import IntEnum


class Reason(IntEnum):
    """Refusals, most fundamental first. 0 means that nothing speaks against the command."""

    NONE = 0
    # who and what
    UNKNOWN_ACCOUNT = 1
    NOT_PERMITTED = 2  # to this class of participant, or in the status its account has
    UNKNOWN_INSTRUMENT = 3
    UNKNOWN_UNIT = 4
    UNKNOWN_ORDER = 5
    UNKNOWN_PERIOD = 6
    UNKNOWN_REPORT = 7
    UNKNOWN_FACTOR = 8
    UNKNOWN_SURRENDER = 9
    UNKNOWN_LOCK = 10
    UNKNOWN_METHODOLOGY = 11
    UNKNOWN_PROJECT = 12
    UNKNOWN_REDUCTION = 13
    UNKNOWN_CURRENCY = 14
    UNKNOWN_BATCH = 15
    UNKNOWN_STATEMENT = 16  # the batch has none for the account
    UNKNOWN_DEAL = 17
    UNKNOWN_TRADE = 18
    UNKNOWN_CASE = 19
    ACCOUNT_EXISTS = 20
    INSTRUMENT_EXISTS = 21
    PERIOD_EXISTS = 22
    FACTOR_EXISTS = 23
    METHODOLOGY_EXISTS = 24
    PROJECT_EXISTS = 25
    ALREADY_FOUNDED = 26
    UNKNOWN_COMMAND = 27
    CURRENCY_EXISTS = 28
    NO_BANK = 29  # the rule set settles without one
    MAY_NOT_TRADE = 30
    IN_DEFAULT = 31  # the account failed in settlement, and that is not over
    SAME_VERIFIER = 32  # who validated a project, or filed a report, does not verify it
    DEAL_EXISTS = 33
    # when
    MARKET_CLOSED = 40
    MARKET_HALTED = 41
    WRONG_PHASE = 42
    WRONG_STATE = 43  # of the life cycle of an account, a report, a project ...
    TOO_EARLY = 44
    TOO_LATE = 45
    DAY_NOT_SETTLED = 46
    DAY_ALREADY_SETTLED = 47
    DATE_NOT_LATER = 48
    CLIENT_ORDER_ID_USED = 49
    ALREADY_HALTED = 50
    NOT_HALTED = 51
    WITHDRAWAL_BLOCKED = 52
    ALREADY_BLOCKED = 53
    NOT_BLOCKED = 54
    TRADE_BUSTED = 57  # and so can't be put right any more
    REBATES_PAID = 58  # of a year
    BATCH_STOPPED = 59  # an earlier order of the batch was refused
    # on which terms
    INVALID_SIDE = 60
    INVALID_TIME_IN_FORCE = 61
    INVALID_ORDER_TYPE = 62
    INVALID_SELF_TRADE_PREVENTION = 63
    TIME_IN_FORCE_NOT_ALLOWED = 64  # the rule set lets no order outlive its day
    CONTRADICTORY_TERMS = 65  # of an order: see exchange.refusals
    NOT_IN_CALL = 66  # IOC, FOK, post-only: nothing trades at once in a call auction
    LAST_DAY_PASSED = 67
    INVALID_DATE = 70
    INVALID_NUMBER = 71  # a factor, a share, an amount that makes no sense
    NOT_COVERED = 72
    NO_BASIS = 73  # nothing says how much to allocate
    NOT_ELIGIBLE = 74  # a unit or a currency that may not be used for this
    ALREADY_CREDITED = 75  # the same tonne, megawatt hour or time of a project
    EMPTY_TEXT = 76  # an objection, or the answer to it, that says nothing
    WRONG_BATCH = 77  # of a bank's file, as what follows: see settlement.bank_files.Fault
    WRONG_CHECKSUM = 78
    NEGATIVE_AMOUNT = 79
    LINE_UNKNOWN = 80
    LINE_DOUBLED = 81
    LINE_ALTERED = 82
    LINE_ANSWERED = 83
    LINE_MISSING = 84
    DUPLICATE_TRADE = 85  # in one list
    NOTHING_TO_CORRECT = 86
    NO_RATE = 88  # of exchange, for a currency
    # how much and at what price
    QUANTITY_NOT_POSITIVE = 90
    QUANTITY_OFF_LOT = 91
    INVALID_DISPLAY_QUANTITY = 92
    PRICE_OFF_TICK = 93
    PRICE_NOT_POSITIVE = 94
    PRICE_OUTSIDE_BAND = 95
    PRICE_OUT_OF_RANGE = 96
    AMOUNT_OFF_FEN = 97
    AMOUNT_NOT_POSITIVE = 98
    AMOUNT_TOO_LARGE = 99
    ORDER_EXISTS = 100  # foreign flow: the reference of an order that still rests
    ORDER_ID_OUT_OF_SEQUENCE = 101  # foreign flow with assigned ids
    STOP_ALREADY_REACHED = 102
    POST_ONLY_WOULD_TRADE = 103
    PARTIAL_OUT_OF_RANGE = 104  # of a bank's answer
    # with what
    POSITION_LIMIT = 120  # holdings and what resting orders may add to them
    OFFSET_LIMIT = 121  # of credits that may cover emissions
    ABOVE_OBLIGATION = 122  # more than is due
    ACCOUNT_NOT_EMPTY = 123  # units, cash, orders, locks or obligations are left
    INSUFFICIENT_CASH = 124
    INSUFFICIENT_UNITS = 125
    # why something happened without a refusal
    BY_REQUEST = 200
    IMMEDIATE_OR_CANCEL = 201
    END_OF_DAY = 202
    SELF_TRADE = 203
    AUCTION = 204  # a trade of a call auction: neither order took
    ACCOUNT_SUSPENDED = 205
    BATCH_UNDONE = 206  # a later order of the batch was refused
    DEAD_MAN = 207  # its owner has given no sign of life for as long as he had said
    DISCONNECTED = 208  # the socket is gone that was to take its orders along
    KILL_SWITCH = 209  # the switch of its account was put on

    @property
    def code(self) -> str:
        return self.name.lower()


class Refused(Exception):
    """A command is refused: raised by its handler before anything has changed."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.code}: {detail}")
        self.reason = reason
        self.detail = detail
