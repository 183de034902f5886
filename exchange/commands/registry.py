"""What may be asked of the registry: accounts, units, locks. `by` is who asks, where that is not the holder."""

from datetime import date
from typing import Literal

from exchange.commands.base import ControlCommand
from registry.accounts import AccountStatus, ParticipantClass
from registry.locks import LockKind
from registry.serials import Origin
from registry.units import Species


class OpenAccount(ControlCommand, frozen=True):
    account_id: str
    name: str
    participant_class: ParticipantClass
    beneficial_owner: str = ""  # its accounts do not trade with one another, unless the rules allow it
    region: str = ""  # where its installations are
    approved: bool = True  # else it is pending until its status changes


class ChangeAccountStatus(ControlCommand, frozen=True):
    """Activate, restrict, freeze or close an account. Whoever may no longer trade has no orders left."""

    by: str
    account_id: str
    status: AccountStatus
    reason: str


class RegisterUnit(ControlCommand, frozen=True):
    """Register a kind of unit that is not listed for trading, or not yet."""

    by: str
    code: str
    species: Species
    vintage: int
    scheme: str = ""
    project: str = ""
    kind: str = ""
    region: str = ""
    grade: str = ""
    registered_on: date | None = None  # of a credit: when its project was registered


class IssueUnits(ControlCommand, frozen=True):
    """Create units on the registry side of an account, outside of allocation: at most the cap of their year."""

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


class GiveUnits(ControlCommand, frozen=True):
    """Move title from one registry side to another without a trade (registration rules, art. 22 and 23)."""

    by: str
    giver: str
    taker: str
    unit: str
    quantity: int
    cause: Literal["inheritance", "merger", "enforcement", "correction"]


class LockUnits(ControlCommand, frozen=True):
    """Pledge units of an account's registry side, or freeze them for a court."""

    by: str
    account_id: str
    unit: str
    quantity: int
    kind: LockKind
    reference: str
    in_favour_of: str = ""  # account of the pledgee or creditor


class ReleaseUnits(ControlCommand, frozen=True):
    """End a lock, or part of it: the units are free again."""

    by: str
    lock_id: int
    quantity: int


class EnforceLock(ControlCommand, frozen=True):
    """Give locked units to the account in whose favour they are locked: judicial deduction, pledge realised."""

    by: str
    lock_id: int
    quantity: int


class RetireUnits(ControlCommand, frozen=True):
    """A holder gives units up for good, of its own will; the cap is lower by as much."""

    account_id: str
    unit: str
    quantity: int
    purpose: str


class CancelUnits(ControlCommand, frozen=True):
    """The authority takes units of a registry side out of the world."""

    by: str
    account_id: str
    unit: str
    quantity: int
    reason: str


RegistryCommand = (
    OpenAccount
    | ChangeAccountStatus
    | RegisterUnit
    | IssueUnits
    | TransferUnits
    | GiveUnits
    | LockUnits
    | ReleaseUnits
    | EnforceLock
    | RetireUnits
    | CancelUnits
)
