"""Which tables a journal can be exported as; apart, since the command line asks before it loads anything."""

from enum import StrEnum


class What(StrEnum):
    """A table."""

    ORDERS = "orders"
    EVENTS = "events"
    TRADES = "trades"
    BOOK_L1 = "book_l1"
    BOOK_L2 = "book_l2"
    BOOK_L3 = "book_l3"
    BARS = "bars"
    AUCTIONS = "auctions"
    LEDGER = "ledger"
    SERIALS = "serials"
    SETTLEMENT = "settlement"
