"""What can have happened to compliance. Accounts and units by number, quantities in tCO2e, money in fen."""

from datetime import date

import msgspec

from exchange.events.base import ControlEvent
from exchange.events.registry import SerialRange
from registry.compliance import Outcome, Surrender

Serials = dict[int, list[SerialRange]]  # by unit number


class SurrenderOpened(ControlEvent, frozen=True):
    year: int
    deadline: date
    due: dict[int, int]  # by account


class ObligorsReminded(ControlEvent, frozen=True):
    year: int
    deadline: date
    missing: dict[int, int]  # by account; who owes nothing is left out


class SurrenderRequested(ControlEvent, frozen=True):
    request: Surrender
    missing: int  # when it is confirmed, and all that waits besides


class SurrenderConfirmed(ControlEvent, frozen=True):
    request: Surrender
    serials: Serials
    missing: int  # still


class SurrenderRejected(ControlEvent, frozen=True):
    request: Surrender
    reason: str


class SurrenderForced(ControlEvent, frozen=True):
    account: int
    year: int
    released: int  # of what was parked; what does not pay now stays with the enterprise
    tonnes: dict[int, int]  # by unit number
    serials: Serials
    missing: int  # still


class ParkedReleased(ControlEvent, frozen=True):
    account: int
    year: int
    quantity: int
    serials: list[SerialRange]


class Record(msgspec.Struct, frozen=True):
    """An enterprise's compliance record of a year."""

    account: int
    due: int
    surrendered: int
    offset: int
    shortfall: int
    fine: int
    deduction: int  # tonnes off the next allocation
    outcome: Outcome


class SurrenderClosed(ControlEvent, frozen=True):
    year: int
    records: list[Record]
    mean_price: str  # fen per tonne, of the penalty; a fraction
    complied: int  # enterprises


class FinePaid(ControlEvent, frozen=True):
    account: int
    year: int
    amount: int


class UnitsLapsed(ControlEvent, frozen=True):
    year: int
    tonnes: dict[int, int]  # by account
    reserve: int


class UnitsCarriedOver(ControlEvent, frozen=True):
    account: int
    year: int
    limit: int
    tonnes: dict[int, int]  # given up, by unit number
    unit: int  # got
    serials: list[SerialRange]


ComplianceEvent = (
    SurrenderOpened
    | ObligorsReminded
    | SurrenderRequested
    | SurrenderConfirmed
    | SurrenderRejected
    | SurrenderForced
    | ParkedReleased
    | SurrenderClosed
    | FinePaid
    | UnitsLapsed
    | UnitsCarriedOver
)
