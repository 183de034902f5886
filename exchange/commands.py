"""What may be asked of the exchange. Imperatives; quantities in tCO2e, amounts in fen, prices in ticks.

Orders and their cancellation are rows (:mod:`exchange.rows`), since they come by the million; here are
their builders. All other commands are the structs below, and travel as the detail of a CONTROL row.
"""

from datetime import date
from typing import Any

import msgspec
import numpy as np

from exchange.rows import COMMAND, CommandKind
from exchange.rules import RuleSet
from matching.orders import EITHER_SIDE, OrderType, SelfTradePrevention, Side, TimeInForce
from registry.accounts import ParticipantClass
from registry.serials import Origin
from registry.units import Species


class _Command(msgspec.Struct, frozen=True, tag_field="command", tag=True):
    pass


# -- founding and membership


class FoundExchange(_Command, frozen=True):
    """Begin: the first command of every journal. The rule set is carried whole."""

    rules: RuleSet


class OpenAccount(_Command, frozen=True):
    account_id: str
    name: str
    participant_class: ParticipantClass
    beneficial_owner: str = ""  # its accounts do not trade with one another, unless the rules allow it


class ListInstrument(_Command, frozen=True):
    """Register a unit and list it for trading under the same code; without opening_ticks: by rule set."""

    symbol: str
    species: Species
    vintage: int
    opening_ticks: int | None = None


# -- cash and units


class DepositCash(_Command, frozen=True):
    account_id: str
    amount: int


class WithdrawCash(_Command, frozen=True):
    account_id: str
    amount: int


class IssueUnits(_Command, frozen=True):
    """Create units on the registry side of an account."""

    account_id: str
    unit: str
    quantity: int
    origin: Origin


class TransferUnits(_Command, frozen=True):
    """Move units between the registry side and the trading side of one account."""

    account_id: str
    unit: str
    quantity: int
    to_trading: bool


# -- the trading day


class OpenDay(_Command, frozen=True):
    """Closed to pre-open: yesterday's purchases become resaleable, the bands are set."""

    date: date


class OpenCall(_Command, frozen=True):
    """Pre-open, break or continuous trading to a call auction: orders rest, nothing trades."""


class StartTrading(_Command, frozen=True):
    """Pre-open, break or call to continuous trading; a crossed book is uncrossed first."""


class HaltTrading(_Command, frozen=True):
    """Take no orders in an instrument, or in all; cancels are taken."""

    reason: str
    symbol: str | None = None


class ResumeTrading(_Command, frozen=True):
    """End the halt of an instrument, or all halts; a crossed book is uncrossed first."""

    reason: str
    symbol: str | None = None


class BreakSession(_Command, frozen=True):
    """Continuous trading to break; orders keep their place."""


class CloseSession(_Command, frozen=True):
    """End the day's trading: a call is uncrossed, orders whose last day it is expire, the closing price is fixed."""


class SettleDay(_Command, frozen=True):
    """Discharge the day's obligations, delivery versus payment."""


Control = (
    FoundExchange
    | OpenAccount
    | ListInstrument
    | DepositCash
    | WithdrawCash
    | IssueUnits
    | TransferUnits
    | OpenDay
    | OpenCall
    | StartTrading
    | HaltTrading
    | ResumeTrading
    | BreakSession
    | CloseSession
    | SettleDay
)

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)


class Command(msgspec.Struct, frozen=True):
    """One command on its way to the journal: its row, and what does not fit into a row.

    The detail of a CONTROL row is the command in JSON; that of an order is its client order id.
    """

    row: Any  # COMMAND record; sequence and time are still 0
    detail: bytes = b""
    begins_day: bool = False  # after it, client order ids may be used anew


def _row(kind: CommandKind, **fields: int) -> Any:
    row = np.zeros(1, COMMAND)[0]
    row.kind = kind
    for name, value in fields.items():
        row[name] = value
    return row


def control(command: Control) -> Command:
    """A command off the trading path."""
    return Command(_row(CommandKind.CONTROL), _encode(command), isinstance(command, OpenDay))


def decode_control(detail: bytes) -> Control:
    """The command in the detail of a CONTROL row."""
    return _decoder.decode(detail)


def place_order(
    account: int,
    instrument: int,
    side: Side,
    price_ticks: int,
    quantity: int,
    time_in_force: TimeInForce = TimeInForce.DAY,
    client_order_id: str = "",
    *,
    order_type: OrderType = OrderType.LIMIT,
    stop_ticks: int = 0,
    display_quantity: int = 0,
    last_day: date | None = None,
    post_only: bool = False,
    self_trade: SelfTradePrevention = SelfTradePrevention.BY_RULES,
) -> Command:
    """A new order. `price_ticks` is 0 of a market or stop order; `last_day` belongs to GTD."""
    row = _row(
        CommandKind.PLACE_ORDER,
        account=account,
        instrument=instrument,
        side=side,
        price_ticks=price_ticks,
        quantity=quantity,
        time_in_force=time_in_force,
        order_type=order_type,
        stop_ticks=stop_ticks,
        display_quantity=display_quantity,
        last_day=day_number(last_day) if last_day else 0,
        post_only=post_only,
        self_trade=self_trade,
    )
    return Command(row, client_order_id.encode())


def amend_order(account: int, order_id: int, price_ticks: int, leaves: int, stop_ticks: int = 0) -> Command:
    """Give an order another price or quantity; `stop_ticks` 0 leaves a stop price as it is."""
    return Command(
        _row(
            CommandKind.AMEND_ORDER,
            account=account,
            order_id=order_id,
            price_ticks=price_ticks,
            quantity=leaves,
            stop_ticks=stop_ticks,
        )
    )


def cancel_order(account: int, order_id: int) -> Command:
    """Take an order out of the book."""
    return Command(_row(CommandKind.CANCEL_ORDER, account=account, order_id=order_id))


def cancel_orders(account: int, instrument: int = 0, side: int = EITHER_SIDE) -> Command:
    """Take all orders of an account out of the books, or those of an instrument or side; account 0: everybody's."""
    return Command(_row(CommandKind.CANCEL_ORDERS, account=account, instrument=instrument, side=side))


def day_number(day: date) -> int:
    """A date as rows carry it: days since 1970-01-01."""
    return day.toordinal() - date(1970, 1, 1).toordinal()
