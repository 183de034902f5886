"""What can have happened to accounts and units."""

from exchange.events.base import ControlEvent
from registry.accounts import Account
from registry.serials import Block


class AccountOpened(ControlEvent, frozen=True):
    account: Account


class UnitsIssued(ControlEvent, frozen=True):
    block: Block


class UnitsTransferred(ControlEvent, frozen=True):
    account: int
    unit: int
    quantity: int
    to_trading: bool


RegistryEvent = AccountOpened | UnitsIssued | UnitsTransferred
