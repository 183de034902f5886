"""Who takes part: participant classes and what each may do; the account each has, and its life.

One account per participant holds its cash, its trading and its registry side (national registration
rules, art. 7). What an account may do follows from the class of its participant and the status it is in
(domain sheet A.9, C.8):

| class              | trade | move | hold | report | surrender | develop | verify | administer | clear | pay |
|--------------------|-------|------|------|--------|-----------|---------|--------|------------|-------|-----|
| covered enterprise | x     | x    | x    | x      | x         | x       |        |            |       |     |
| institution        | x     | x    | x    |        | x         | x       |        |            |       |     |
| individual         | x     | x    | x    |        | x         | x       |        |            |       |     |
| market operator    |       | x    | x    |        |           |         |        |            | x     |     |
| registry authority |       | x    | x    |        |           |         |        | x          | x     |     |
| verifier           |       |      |      |        |           |         | x      |            |       |     |
| clearing bank      |       | x    |      |        |           |         |        |            |       | x   |

`surrender` without being covered is supply for a third party, or retirement. Verifiers, clearing banks and the
registry may not trade.

| status     | rights left of the class                    | next                               |
|------------|---------------------------------------------|------------------------------------|
| pending    | none                                        | active, closed                     |
| active     | all                                         | restricted, frozen, closed         |
| restricted | hold, report, surrender                     | active, frozen, closed             |
| frozen     | hold, report                                | active, restricted                 |
| closed     | none                                        | none: it is over                   |

Restricted is whose papers do not match (registration rules, art. 7); frozen by a court, or in default.
"""

from collections.abc import Iterator
from enum import IntEnum, StrEnum

import msgspec


class Right(StrEnum):
    """What an account may be allowed to do."""

    TRADE = "trade"
    MOVE = "move"  # cash out, units between its sides and to others
    HOLD = "hold"  # be given units
    REPORT = "report"  # file emissions of its own
    SURRENDER = "surrender"
    DEVELOP = "develop"  # projects that earn credits
    VERIFY = "verify"  # what others report
    ADMINISTER = "administer"  # the registry
    CLEAR = "clear"  # run the clearing house: defaults, corrections, objections, blocks
    PAY = "pay"  # carry out the clearing house's payments and confirm them


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
    def label(self) -> str:
        return self.name.lower()


class AccountStatus(StrEnum):
    """Where an account stands in its life."""

    PENDING = "pending"
    ACTIVE = "active"
    RESTRICTED = "restricted"
    FROZEN = "frozen"
    CLOSED = "closed"


_INVESTOR = frozenset({Right.TRADE, Right.MOVE, Right.HOLD, Right.SURRENDER, Right.DEVELOP})
RIGHTS = {
    ParticipantClass.COVERED_ENTERPRISE: _INVESTOR | {Right.REPORT},
    ParticipantClass.INSTITUTION: _INVESTOR,
    ParticipantClass.INDIVIDUAL: _INVESTOR,
    ParticipantClass.MARKET_OPERATOR: frozenset({Right.MOVE, Right.HOLD, Right.CLEAR}),
    ParticipantClass.REGISTRY_AUTHORITY: frozenset({Right.MOVE, Right.HOLD, Right.ADMINISTER, Right.CLEAR}),
    ParticipantClass.VERIFIER: frozenset({Right.VERIFY}),
    ParticipantClass.CLEARING_BANK: frozenset({Right.MOVE, Right.PAY}),
}
RIGHTS_WHILE = {
    AccountStatus.PENDING: frozenset[Right](),
    AccountStatus.ACTIVE: frozenset(Right),
    AccountStatus.RESTRICTED: frozenset({Right.HOLD, Right.REPORT, Right.SURRENDER}),
    AccountStatus.FROZEN: frozenset({Right.HOLD, Right.REPORT}),
    AccountStatus.CLOSED: frozenset[Right](),
}
NEXT_STATUS = {
    AccountStatus.PENDING: frozenset({AccountStatus.ACTIVE, AccountStatus.CLOSED}),
    AccountStatus.ACTIVE: frozenset({AccountStatus.RESTRICTED, AccountStatus.FROZEN, AccountStatus.CLOSED}),
    AccountStatus.RESTRICTED: frozenset({AccountStatus.ACTIVE, AccountStatus.FROZEN, AccountStatus.CLOSED}),
    AccountStatus.FROZEN: frozenset({AccountStatus.ACTIVE, AccountStatus.RESTRICTED}),
    AccountStatus.CLOSED: frozenset[AccountStatus](),
}


class Account(msgspec.Struct, frozen=True):
    """A participant's account; `number` is its row in the balances (0 is nobody)."""

    number: int
    account_id: str
    name: str
    participant_class: ParticipantClass
    beneficial_owner: str = ""
    group: int = 0  # the number of the beneficial owner's first account
    status: AccountStatus = AccountStatus.ACTIVE
    status_reason: str = ""
    region: str = ""  # where its installations are

    def may(self, right: Right) -> bool:
        """Whether its class has a right, and its status leaves it."""
        return right in RIGHTS[self.participant_class] and right in RIGHTS_WHILE[self.status]


class Accounts:
    """All accounts, by number and by id."""

    def __init__(self) -> None:
        self.by_number: list[Account | None] = [None]
        self.by_id: dict[str, Account] = {}
        self._groups: dict[str, int] = {}  # first account by beneficial owner

    def open(
        self,
        account_id: str,
        name: str,
        participant_class: ParticipantClass,
        beneficial_owner: str = "",
        status: AccountStatus = AccountStatus.ACTIVE,
        region: str = "",
    ) -> Account:
        """Open an account. KeyError if the id is taken."""
        if account_id in self.by_id:
            raise KeyError(account_id)
        number = len(self.by_number)
        group = self._groups.setdefault(beneficial_owner, number) if beneficial_owner else number
        account = Account(
            number, account_id, name, participant_class, beneficial_owner, group, status=status, region=region
        )
        self.by_number.append(account)
        self.by_id[account_id] = account
        return account

    def change_status(self, account: Account, status: AccountStatus, reason: str) -> Account:
        """The account in another status. ValueError if its life does not lead there."""
        if status not in NEXT_STATUS[account.status]:
            raise ValueError(f"an account that is {account.status} does not become {status}")
        changed = msgspec.structs.replace(account, status=status, status_reason=reason)
        self.by_number[account.number] = self.by_id[account.account_id] = changed
        return changed

    def __len__(self) -> int:
        return len(self.by_id)

    def __getitem__(self, number: int) -> Account:
        account = self.by_number[number]
        if account is None:
            raise IndexError("account 0 is nobody")
        return account

    def __iter__(self) -> Iterator[Account]:
        return iter(self.by_id.values())
