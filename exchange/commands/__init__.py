"""What may be asked of the exchange. Imperatives; quantities in tCO2e, amounts in fen, prices in ticks.

Orders and their cancellation are rows (:mod:`exchange.rows`), since they come by the million; all other commands
are structs, a room of them for each part of the exchange, and travel as the detail of a CONTROL row.
"""

import msgspec

from exchange.commands.allocation import *
from exchange.commands.base import *
from exchange.commands.compliance import *
from exchange.commands.corrections import *
from exchange.commands.credits import *
from exchange.commands.defaults import *
from exchange.commands.emissions import *
from exchange.commands.market import *
from exchange.commands.money import *
from exchange.commands.orders import *
from exchange.commands.registry import *
from exchange.commands.settlement import *
from exchange.commands.treasury import *
from exchange.rows import CommandKind

Control = (
    MarketCommand
    | RegistryCommand
    | AllocationCommand
    | ComplianceCommand
    | EmissionsCommand
    | CreditsCommand
    | SettlementCommand
    | MoneyCommand
    | CorrectionCommand
    | DefaultsCommand
    | TreasuryCommand
)

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)


def control(command: Control) -> Command:
    """A command off the trading path. ValidationError if it could not be read again: the journal must not take it."""
    detail = _encode(command)
    decode_control(detail)
    return Command(row_of(CommandKind.CONTROL), detail, isinstance(command, OpenDay))


def decode_control(detail: bytes) -> Control:
    """The command in the detail of a CONTROL row."""
    return _decoder.decode(detail)
