"""What can have happened to the market."""

from datetime import date

import msgspec

from exchange.events.base import ControlEvent


class ExchangeFounded(ControlEvent, frozen=True):
    rules: str


class CurrencyRegistered(ControlEvent, frozen=True):
    code: str
    asset: int


class InstrumentListed(ControlEvent, frozen=True):
    symbol: str
    unit: int
    opening_ticks: int


class DayOpened(ControlEvent, frozen=True):
    date: date


class Auction(msgspec.Struct, frozen=True):
    """How a call auction of an instrument ended; imbalance: demand - supply at its price."""

    instrument: int
    price_ticks: int
    volume: int
    imbalance: int


class CallOpened(ControlEvent, frozen=True):
    date: date


class TradingStarted(ControlEvent, frozen=True):
    session: int
    auctions: list[Auction]


class TradingHalted(ControlEvent, frozen=True):
    instruments: list[int]
    reason: str


class TradingResumed(ControlEvent, frozen=True):
    instruments: list[int]
    reason: str
    auctions: list[Auction]


class SessionBroken(ControlEvent, frozen=True):
    session: int


class OrdersCancelled(ControlEvent, frozen=True):
    """The account's orders are gone, each by an event row of its own."""

    account: int
    cause: str
    count: int


class SessionClosed(ControlEvent, frozen=True):
    date: date
    closes_ticks: dict[int, int]
    auctions: list[Auction]


MarketEvent = (
    ExchangeFounded
    | CurrencyRegistered
    | InstrumentListed
    | DayOpened
    | CallOpened
    | TradingStarted
    | TradingHalted
    | TradingResumed
    | SessionBroken
    | OrdersCancelled
    | SessionClosed
)
