"""What can have happened to deals with a later leg, and when somebody failed. Accounts by number, cash in fen."""

import msgspec

from exchange.events.base import ControlEvent
from settlement.deals import Deal
from settlement.default import Compensation


class FailureNotified(msgspec.Struct, frozen=True):
    """An account failed in a batch that was delivered: what it lacked by asset, which trades wait, until when."""

    case: int
    account: int
    lacked: dict[int, int]
    trades: list[int]
    deadline_ns: int


class Payment(msgspec.Struct, frozen=True):
    """What one account pays, or delivers at its price, for another: in the order of the waterfall."""

    payer: int
    asset: int  # of what it gives
    quantity: int  # fen of cash, tonnes of a unit
    claim: int  # fen that are owed for it


class Repayment(msgspec.Struct, frozen=True):
    """What a creditor gets of a claim, or gives up."""

    case: int
    creditor: int
    amount: int  # fen


class Security(msgspec.Struct, frozen=True):
    """Units that the reserve held for a case."""

    case: int
    unit: int
    quantity: int


class DeliveryAgreed(ControlEvent, frozen=True):
    deal: Deal


class DeliveryCancelled(ControlEvent, frozen=True):
    deal: Deal
    reason: str


class FailureCured(ControlEvent, frozen=True):
    case: int
    account: int
    trades: list[int]


class FailureCovered(ControlEvent, frozen=True):
    """Payments in the order in which they were asked for; what could not be delivered was closed out."""

    case: int
    account: int
    state: str
    trades: list[int]
    payments: list[Payment]
    closed_out: list[Compensation]


class FailureClosedOut(ControlEvent, frozen=True):
    """All trades that waited for a case were dropped, in the order of trading; payments as they were asked for."""

    case: int
    account: int
    payments: list[Payment]
    closed_out: list[Compensation]


class RecoursePaid(ControlEvent, frozen=True):
    account: int
    amount: int
    payments: list[Repayment]
    left: int
    released: list[Security]


class RecourseWrittenOff(ControlEvent, frozen=True):
    account: int
    amount: int
    losses: list[Repayment]
    left: int
    note: str


class SecurityDisposed(ControlEvent, frozen=True):
    """At the closing price, to the buyer; what was left over when the claim was paid went to the account."""

    case: int
    account: int
    buyer: int
    sold: list[Security]
    proceeds: int
    payments: list[Repayment]
    surplus: int


class ReserveFunded(ControlEvent, frozen=True):
    amount: int
    balance: int


class ReserveDrawn(ControlEvent, frozen=True):
    account: int
    amount: int
    cause: str
    note: str
    balance: int


DefaultsEvent = (
    DeliveryAgreed
    | DeliveryCancelled
    | FailureCured
    | FailureCovered
    | FailureClosedOut
    | RecoursePaid
    | RecourseWrittenOff
    | SecurityDisposed
    | ReserveFunded
    | ReserveDrawn
)
