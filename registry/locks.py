"""Locks: units of an account that a pledge or a court keeps where they are, until released or enforced.

A lock moves tonnes from the account's registry side into a bucket of the same balance (:mod:`registry.holdings`);
what is locked can't be traded, surrendered, transferred or withdrawn. Judicial freeze and deduction: national
registration rules, art. 23; pledge: domain sheet F.5. What waits for the authority's word on a surrender is locked
too, by the request itself (:mod:`registry.compliance`).
"""

from collections.abc import Iterator
from enum import StrEnum

import msgspec


class LockKind(StrEnum):
    """Why units are locked; the name of the bucket they stand in."""

    PLEDGED = "pledged"
    JUDICIAL = "judicial"


class Lock(msgspec.Struct, frozen=True):
    """So many tonnes of a unit of an account, in favour of another account (0: of nobody in the registry)."""

    lock_id: int
    account: int
    unit: int
    quantity: int
    kind: LockKind
    in_favour_of: int
    reference: str  # file number of the court, contract of the pledge


class Locks:
    """All locks that hold, by id."""

    def __init__(self) -> None:
        self.by_id: dict[int, Lock] = {}
        self.next_id = 1

    def add(self, account: int, unit: int, quantity: int, kind: LockKind, in_favour_of: int, reference: str) -> Lock:
        """Note a new lock."""
        lock = Lock(self.next_id, account, unit, quantity, kind, in_favour_of, reference)
        self.by_id[lock.lock_id] = lock
        self.next_id += 1
        return lock

    def take_off(self, lock: Lock, quantity: int) -> None:
        """Part of a lock ends, or all of it."""
        if quantity == lock.quantity:
            del self.by_id[lock.lock_id]
        else:
            self.by_id[lock.lock_id] = msgspec.structs.replace(lock, quantity=lock.quantity - quantity)

    def of(self, account: int) -> list[Lock]:
        """The locks on an account's units, oldest first."""
        return [lock for lock in self if lock.account == account]

    def __iter__(self) -> Iterator[Lock]:
        return iter(self.by_id.values())
