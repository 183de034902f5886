"""Who takes part: participant classes, and the account each participant has.

One account per participant holds its cash, its trading and its registry side (national registration
rules, art. 7). Verifiers, clearing banks and the registry may not trade (domain sheet A.9).
"""

from collections.abc import Iterator
from enum import IntEnum

import msgspec


class ParticipantClass(IntEnum):
    """What kind of participant holds an account."""

    COVERED_ENTERPRISE = 1
    INSTITUTION = 2
    INDIVIDUAL = 3
    MARKET_OPERATOR = 4
    REGISTRY_AUTHORITY = 5
    VERIFIER = 6
    CLEARING_BANK = 7

    @property
    def may_trade(self) -> bool:
        return self in TRADING_CLASSES


TRADING_CLASSES = frozenset(
    {ParticipantClass.COVERED_ENTERPRISE, ParticipantClass.INSTITUTION, ParticipantClass.INDIVIDUAL}
)


class Account(msgspec.Struct, frozen=True):
    """A participant's account; `number` is its row in the balances (0 is nobody)."""

    number: int
    account_id: str
    name: str
    participant_class: ParticipantClass
    beneficial_owner: str = ""
    group: int = 0  # the number of the beneficial owner's first account


class Accounts:
    """All accounts, by number and by id."""

    def __init__(self) -> None:
        self.by_number: list[Account | None] = [None]
        self.by_id: dict[str, Account] = {}
        self._groups: dict[str, int] = {}  # first account by beneficial owner

    def open(
        self, account_id: str, name: str, participant_class: ParticipantClass, beneficial_owner: str = ""
    ) -> Account:
        """Open an account. KeyError if the id is taken."""
        if account_id in self.by_id:
            raise KeyError(account_id)
        number = len(self.by_number)
        group = self._groups.setdefault(beneficial_owner, number) if beneficial_owner else number
        account = Account(number, account_id, name, participant_class, beneficial_owner, group)
        self.by_number.append(account)
        self.by_id[account_id] = account
        return account

    def __len__(self) -> int:
        return len(self.by_id)

    def __getitem__(self, number: int) -> Account:
        account = self.by_number[number]
        if account is None:
            raise IndexError("account 0 is nobody")
        return account

    def __iter__(self) -> Iterator[Account]:
        return iter(self.by_id.values())
