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
from matching.orders import Side, TimeInForce
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


class StartTrading(_Command, frozen=True):
    """Pre-open or break to continuous trading."""


class BreakSession(_Command, frozen=True):
    """Continuous trading to break; orders keep their place."""


class CloseSession(_Command, frozen=True):
    """End the day's trading: DAY orders expire, the closing price is fixed."""


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
    | StartTrading
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
) -> Command:
    """A limit order."""
    row = _row(
        CommandKind.PLACE_ORDER,
        account=account,
        instrument=instrument,
        side=side,
        price_ticks=price_ticks,
        quantity=quantity,
        time_in_force=time_in_force,
    )
    return Command(row, client_order_id.encode())


def cancel_order(account: int, order_id: int) -> Command:
    """Take an order out of the book."""
    return Command(_row(CommandKind.CANCEL_ORDER, account=account, order_id=order_id))
