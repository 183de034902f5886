"""What may be asked of the market: its founding, listings, and the steps of its day."""

from datetime import date
from enum import StrEnum
from typing import Annotated

import msgspec

from exchange.commands.base import ControlCommand
from exchange.reasons import Reason
from exchange.rules import RuleSet
from registry.units import Species


class FoundExchange(ControlCommand, frozen=True):
    """Begin: the first command of every journal. The rule set is carried whole."""

    rules: RuleSet


class RegisterCurrency(ControlCommand, frozen=True):
    """Take cash of a further currency, by its ISO 4217 code, and let instruments be quoted in it."""

    code: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$", max_length=3)]


class ListInstrument(ControlCommand, frozen=True):
    """Register a unit and list it for trading under the same code; without opening_ticks: by rule set.

    A currency left out is the rule set's, here and below. The rule set's opening price is an amount of it.
    """

    symbol: str
    species: Species
    vintage: int
    opening_ticks: int | None = None
    currency: str = ""


class OpenDay(ControlCommand, frozen=True):
    """Closed to pre-open: yesterday's purchases become resaleable, bands and fees are set."""

    date: date


class OpenCall(ControlCommand, frozen=True):
    """Pre-open, break or continuous trading to a call auction: orders rest, nothing trades."""


class StartTrading(ControlCommand, frozen=True):
    """Pre-open, break or call to continuous trading; a crossed book is uncrossed first."""


class HaltTrading(ControlCommand, frozen=True):
    """Take no orders in an instrument, or in all; cancels are taken."""

    reason: str
    symbol: str | None = None


class ResumeTrading(ControlCommand, frozen=True):
    """End the halt of an instrument, or all halts; a crossed book is uncrossed first."""

    reason: str
    symbol: str | None = None


class BreakSession(ControlCommand, frozen=True):
    """Continuous trading to break; orders keep their place."""


class CancelCause(StrEnum):
    """Why orders are cancelled without their owner's asking."""

    DEAD_MAN = "dead_man"
    DISCONNECTED = "disconnected"
    KILL_SWITCH = "kill_switch"

    @property
    def reason(self) -> Reason:
        """What the events of the orders say."""
        return Reason[self.name]


class CancelOrders(ControlCommand, frozen=True):
    """Take all orders of an account out of the books for a cause; at its owner's request it is a row of its own."""

    account_id: str
    cause: CancelCause


class CloseSession(ControlCommand, frozen=True):
    """End the day's trading: a call is uncrossed, orders whose last day it is expire, the closing price is fixed."""


MarketCommand = (
    FoundExchange
    | RegisterCurrency
    | ListInstrument
    | OpenDay
    | OpenCall
    | StartTrading
    | HaltTrading
    | ResumeTrading
    | BreakSession
    | CancelOrders
    | CloseSession
)
