"""What can have happened. Past participles.

Orders, trades and cancellations are rows (:class:`exchange.rows.EventKind`); the events of all other
commands are the structs below. Amounts in fen, quantities in tCO2e, prices in ticks.
"""

from datetime import date

import msgspec

from exchange.reasons import Reason
from registry.accounts import Account
from registry.serials import Block
from settlement.batch import SettlementReport
from settlement.statements import Statement


class _Event(msgspec.Struct, frozen=True, tag_field="event", tag=True):
    pass


class CommandRefused(_Event, frozen=True):
    reason: Reason
    detail: str


class ExchangeFounded(_Event, frozen=True):
    rules: str


class AccountOpened(_Event, frozen=True):
    account: Account


class InstrumentListed(_Event, frozen=True):
    symbol: str
    unit: int
    opening_ticks: int


class CashDeposited(_Event, frozen=True):
    account: int
    amount: int


class CashWithdrawn(_Event, frozen=True):
    account: int
    amount: int


class UnitsIssued(_Event, frozen=True):
    block: Block


class UnitsTransferred(_Event, frozen=True):
    account: int
    unit: int
    quantity: int
    to_trading: bool


class DayOpened(_Event, frozen=True):
    date: date


class Auction(msgspec.Struct, frozen=True):
    """How a call auction of an instrument ended; imbalance: demand - supply at its price."""

    instrument: int
    price_ticks: int
    volume: int
    imbalance: int


class CallOpened(_Event, frozen=True):
    date: date


class TradingStarted(_Event, frozen=True):
    session: int
    auctions: list[Auction]


class TradingHalted(_Event, frozen=True):
    instruments: list[int]
    reason: str


class TradingResumed(_Event, frozen=True):
    instruments: list[int]
    reason: str
    auctions: list[Auction]


class SessionBroken(_Event, frozen=True):
    session: int


class SessionClosed(_Event, frozen=True):
    date: date
    closes_ticks: dict[int, int]
    auctions: list[Auction]


class DaySettled(_Event, frozen=True):
    report: SettlementReport
    statements: list[Statement]


Event = (
    CommandRefused
    | ExchangeFounded
    | AccountOpened
    | InstrumentListed
    | CashDeposited
    | CashWithdrawn
    | UnitsIssued
    | UnitsTransferred
    | DayOpened
    | CallOpened
    | TradingStarted
    | TradingHalted
    | TradingResumed
    | SessionBroken
    | SessionClosed
    | DaySettled
)
