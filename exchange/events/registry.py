"""What can have happened to accounts, units and locks. Accounts and units by number, quantities in tCO2e."""

from exchange.events.base import ControlEvent
from registry.accounts import Account
from registry.locks import Lock
from registry.units import Unit

SerialRange = tuple[int, int]  # first and last serial number


class AccountOpened(ControlEvent, frozen=True):
    account: Account


class AccountStatusChanged(ControlEvent, frozen=True):
    account: Account


class UnitRegistered(ControlEvent, frozen=True):
    unit: Unit


class UnitsIssued(ControlEvent, frozen=True):
    account: int
    unit: int
    quantity: int
    serials: list[SerialRange]


class UnitsTransferred(ControlEvent, frozen=True):
    account: int
    unit: int
    quantity: int
    to_trading: bool


class UnitsGiven(ControlEvent, frozen=True):
    giver: int
    taker: int
    unit: int
    quantity: int
    serials: list[SerialRange]


class UnitsLocked(ControlEvent, frozen=True):
    lock: Lock


class UnitsReleased(ControlEvent, frozen=True):
    lock: Lock  # as it was
    quantity: int


class LockEnforced(ControlEvent, frozen=True):
    lock: Lock  # as it was
    quantity: int
    serials: list[SerialRange]


class UnitsRetired(ControlEvent, frozen=True):
    account: int
    unit: int
    quantity: int
    purpose: str
    serials: list[SerialRange]


class UnitsCancelled(ControlEvent, frozen=True):
    account: int
    unit: int
    quantity: int
    reason: str
    serials: list[SerialRange]


RegistryEvent = (
    AccountOpened
    | AccountStatusChanged
    | UnitRegistered
    | UnitsIssued
    | UnitsTransferred
    | UnitsGiven
    | UnitsLocked
    | UnitsReleased
    | LockEnforced
    | UnitsRetired
    | UnitsCancelled
)
