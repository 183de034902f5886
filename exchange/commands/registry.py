"""What may be asked of the registry: accounts and units."""

from exchange.commands.base import ControlCommand
from registry.accounts import ParticipantClass
from registry.serials import Origin


class OpenAccount(ControlCommand, frozen=True):
    account_id: str
    name: str
    participant_class: ParticipantClass
    beneficial_owner: str = ""  # its accounts do not trade with one another, unless the rules allow it


class IssueUnits(ControlCommand, frozen=True):
    """Create units on the registry side of an account."""

    account_id: str
    unit: str
    quantity: int
    origin: Origin


class TransferUnits(ControlCommand, frozen=True):
    """Move units between the registry side and the trading side of one account."""

    account_id: str
    unit: str
    quantity: int
    to_trading: bool


RegistryCommand = OpenAccount | IssueUnits | TransferUnits
