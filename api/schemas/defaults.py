"""The shapes of deals with a later leg, of failures and who covers them, and of the risk reserve."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from api.schemas.base import Day, DecimalText, Identifier, Model, Tonnes
from api.schemas.settlement import Amount
from settlement.deals import DealState
from settlement.default import CaseState

Clearer = Annotated[
    Identifier, Field(description="Account id of who asks: who may clear, such as the exchange", examples=["EXCHANGE"])
]
Fen = Annotated[DecimalText, Field(description="Of the market's currency", examples=["50000.00"])]
Text = Annotated[str, Field(max_length=2000, examples=["by agreement of both parties"])]

# ---------------------------------------------------------------- requests


class NewDeal(Model):
    """A deal that both parties have filed: delivered and paid on a later day, nothing reserved until then."""

    by: Clearer
    deal_id: Identifier = Field(examples=["D-1"])
    seller: Identifier = Field(examples=["S"])
    buyer: Identifier = Field(examples=["B"])
    symbol: Identifier = Field(examples=["HBEA-2025"])
    quantity: Tonnes
    price: DecimalText
    due: Day = Field(description="The day of the later leg", examples=["2026-01-12"])
    method: Literal["negotiated", "block"] = "block"


class NewCancellation(Model):
    by: Clearer
    reason: Text


class AskedBy(Model):
    by: Clearer


class NewRepayment(Model):
    """What an account pays back, the oldest claims first."""

    amount: Fen


class NewWriteOff(Model):
    """What is given up of the claims on an account, the oldest first."""

    by: Clearer
    amount: Fen
    note: Text


class NewFunding(Model):
    """Cash of the house for the risk reserve."""

    by: Clearer
    amount: Fen


class NewDraw(Model):
    """A payment from the risk reserve, for one of the causes of the settlement rules (art. 15)."""

    by: Clearer
    amount: Fen
    cause: Literal["default", "technical_failure", "operating_error", "force_majeure"]
    account_id: Identifier = Field(description="Who is paid", examples=["S"])
    note: Text


# ---------------------------------------------------------------- answers


class DealView(Model):
    """A deal with a later leg."""

    deal_id: str
    seller: str
    buyer: str
    symbol: str
    quantity: int
    price: str
    due: date
    method: str
    state: DealState
    trade_id: int | None = Field(description="Once it is due; its batches say what becomes of it")


class ClaimView(Model):
    """Recourse: what somebody who paid may ask back."""

    creditor: str
    amount: str
    repaid: str
    written_off: str
    left: str


class CompensationView(Model):
    """A trade that was closed out in cash: it is never settled, and who did not fail gets what the price has moved."""

    trade_id: int
    account_id: str = Field(description="The other party; it is due nothing if it failed in the same trade")
    close: str = Field(description="The closing price that was compared with the trade's")
    currency: str
    amount: str = Field(description="What it is due")
    unpaid: str = Field(description="Of it: beyond the reach of reserve and house, a claim that it holds outside")


class SecurityView(Model):
    """Units that the reserve holds until a case is repaid."""

    unit: str
    quantity: int


class CaseView(Model):
    """An account failed in a batch: what it lacked, until when it may cure it, who paid for it."""

    number: int
    account_id: str
    batch: int
    state: CaseState
    notified_at: str
    deadline: str
    overdue: bool = Field(description="The deadline has passed and nobody has covered it")
    ended_at: str | None
    lacked: dict[str, Amount]
    trades: list[int] = Field(description="Ids of those that wait, or waited, for it")
    closed_out: list[CompensationView] = Field(description="Its trades that were closed out in cash")
    owed: str = Field(description="Recourse that is not paid yet")
    claims: list[ClaimView]
    security: list[SecurityView]


class ReserveView(Model):
    """The risk reserve and its rule."""

    account_id: str
    cash: dict[str, str] = Field(description="Free, by currency")
    target: str = Field(description="Up to which a share of each batch's fees is set aside")
    share: str = Field(description="Of the fees; decimal")
    house_funds_max: str = Field(description="What the house lends at most once the reserve is empty")
    owed: str = Field(description="Recourse that is not paid yet, to the reserve and to the house")
