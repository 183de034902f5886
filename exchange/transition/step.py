"""A command off the trading path at work, and what all handlers need.

A handler first lists what could stop it, one to a line, in the order of `Reason`, by raising `Refused`; after that it
must succeed. A refused command leaves nothing behind.
"""

from dataclasses import dataclass, field

from exchange.reasons import Reason, Refused
from exchange.rows import type_of_rows
from exchange.state import Exchange
from exchange.trading import Written
from registry import holdings
from registry.accounts import Account
from registry.units import Unit


def noted(exchange: Exchange, written: Written) -> Written:
    """Trades wait for settlement from the moment they happen."""
    if written[1].size:
        exchange.unsettled_trades.append(written[1])
    return written


@dataclass
class Step:
    """A command off the trading path at work, and what it makes the trading path write."""

    exchange: Exchange
    row: type_of_rows  # (1,) COMMAND
    rows: list[type_of_rows] = field(default_factory=list)
    trades: list[type_of_rows] = field(default_factory=list)

    @property
    def sequence(self) -> int:
        return int(self.row[0].sequence)

    def say(self, written: Written) -> None:
        """Event rows and trade rows that the command causes."""
        events, trades = noted(self.exchange, written)
        self.rows.append(events)
        self.trades.append(trades)

    def say_events(self, events: type_of_rows) -> None:
        """Event rows without trades."""
        self.rows.append(events)


def require(condition: bool, reason: Reason, detail: str) -> None:
    if not condition:
        raise Refused(reason, detail)


def account_named(exchange: Exchange, account_id: str) -> Account:
    account = exchange.accounts.by_id.get(account_id)
    if account is None:
        raise Refused(Reason.UNKNOWN_ACCOUNT, f"no account {account_id!r}")
    return account


def unit_named(exchange: Exchange, code: str) -> Unit:
    unit = exchange.units.by_code.get(code)
    if unit is None:
        raise Refused(Reason.UNKNOWN_UNIT, f"no unit {code!r}")
    return unit


def fit_balances(exchange: Exchange) -> None:
    desk = exchange.path.desk
    balances = holdings.with_room(desk.balances, len(exchange.accounts), len(exchange.units))
    exchange.path.desk = desk._replace(balances=balances)
