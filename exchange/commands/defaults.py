"""What may be asked for a deal with a later leg, and when somebody fails (:mod:`settlement.default`).

What only the clearing house may do says by whom it is asked: an account with the right to clear.
"""

from datetime import date
from typing import Literal

from exchange.commands.base import ControlCommand


class AgreeDelivery(ControlCommand, frozen=True):
    """Register a deal that two parties have filed: so many tonnes at a price, delivered and paid on a later day.

    Nothing is reserved. It becomes a trade in the first batch that is fixed on or after `due`.
    """

    by: str
    deal_id: str
    seller: str
    buyer: str
    symbol: str
    quantity: int
    price_ticks: int
    due: date
    method: Literal["negotiated", "block"] = "block"


class CancelDelivery(ControlCommand, frozen=True):
    """Drop a deal that is not due yet, as both parties have filed."""

    by: str
    deal_id: str
    reason: str


class CureFailure(ControlCommand, frozen=True):
    """Within the deadline: the account has what it lacked, and its trades come again in the next batch."""

    by: str  # the account itself, or who may clear
    case: int


class CoverFailure(ControlCommand, frozen=True):
    """After the deadline: the reserve, then the house pay or deliver what is lacking; all of it or nothing."""

    by: str
    case: int


class CloseOutFailure(ControlCommand, frozen=True):
    """After the deadline: all trades that wait for the case are dropped, and who did not fail is compensated.

    The way out where a cover is not to be had: it is never refused for want of money.
    """

    by: str
    case: int


class PayRecourse(ControlCommand, frozen=True):
    """Pay back what others paid; the oldest claims first."""

    account_id: str
    amount: int


class WriteOffRecourse(ControlCommand, frozen=True):
    """Give up part of what an account owes; the oldest claims first."""

    by: str
    account_id: str
    amount: int
    note: str


class DisposeSecurity(ControlCommand, frozen=True):
    """Sell all units that the reserve holds for a case at the last closing price, against the claim.

    They are what the covered trades brought, gross, also where the batch was netted; what is over goes back in cash.

    To the house, which pays no claim of its own; or to an account that has agreed to buy them, which needs the money.
    """

    by: str
    case: int
    buyer: str = ""  # the house


class FundReserve(ControlCommand, frozen=True):
    """Move cash of the house to the risk reserve."""

    by: str
    amount: int


class DrawReserve(ControlCommand, frozen=True):
    """Pay from the risk reserve to an account, for one of the causes of art. 15 of the settlement rules."""

    by: str
    amount: int
    cause: Literal["default", "technical_failure", "operating_error", "force_majeure"]
    account_id: str
    note: str


DefaultsCommand = (
    AgreeDelivery
    | CancelDelivery
    | CureFailure
    | CoverFailure
    | CloseOutFailure
    | PayRecourse
    | WriteOffRecourse
    | DisposeSecurity
    | FundReserve
    | DrawReserve
)
