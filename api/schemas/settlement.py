"""The shapes of statements, of what is said to them, and of all of a batch together."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from api.schemas.base import Identifier, Model
from api.schemas.market import SettlementView
from api.schemas.registry import Happened
from settlement.answers import StatementState
from settlement.cycle import Stage
from settlement.default import CaseState

Amount = Annotated[str | int, Field(description="Money as a decimal string, units as whole tonnes")]
Format = Literal["json", "csv", "html"]


class StatementStanding(Model):
    """An account's statement of a batch: how the account and the clearing house agree on it."""

    account_id: str
    batch: int
    date: date
    state: StatementState
    issued_at: str
    object_until: str | None = Field(
        description="The first opening after the issue by the timetable, or the one that was; if known"
    )
    answered_at: str | None = Field(description="When it was confirmed or objected to")
    objection: str
    ruled_at: str | None
    ruled_by: str | None
    ruling: str = Field(description="What whoever objected was told")


class StatementEntry(Model):
    asset: str
    amount: Amount
    cause: str
    reference: int = Field(description="Trade id, number of the batch (of fee income), or sequence of the command")
    quantity: int | None = Field(None, description="tCO2e, of what a trade cost or brought: price x quantity")
    price: str | None = Field(None, description="Per tCO2e, likewise")


class StatementFailure(Model):
    """Trades of the account that were in a batch and did not settle with it."""

    case: int
    batch: int
    is_own: bool = Field(description="The account itself failed, and not the other side of its trades")
    trades: list[int]
    lacked: dict[str, Amount] = Field(description="By the account itself: of what somebody else lacked nothing is said")
    state: CaseState = Field(description="As the case stands now")
    ended_at: str | None


class StatementCorrection(Model):
    """A trade of the account that was busted or corrected."""

    trade_id: int
    cause: str = Field(examples=["trade_bust"])
    reason: str


class StatementView(Model):
    """Opening, every movement with its cause, closing; of settled holdings."""

    date: date
    batch: int = Field(description="The last, where a day has several")
    account_id: str
    opening: dict[str, Amount]
    entries: list[StatementEntry]
    closing: dict[str, Amount]
    batches: list[StatementStanding] = Field(description="What was said to it, batch by batch")
    failures: list[StatementFailure] = Field([], description="What was to settle and did not")
    corrections: list[StatementCorrection] = Field([], description="Trades put right since the last statement")


class StatementTotal(Model):
    """All entries of one cause in one asset, over all statements of a batch."""

    asset: str
    cause: str
    entries: int
    credited: Amount
    debited: Amount


class BatchStatements(Model):
    """All statements of a batch: their totals are its settlement report, and how each stands."""

    batch: int
    date: date
    stage: Stage
    settlement: SettlementView
    accounts: int
    states: dict[StatementState, int] = Field(description="How many statements stand in which state")
    totals: list[StatementTotal]
    statements: list[StatementStanding]


class NewObjection(Model):
    """An objection in writing."""

    text: str = Field(max_length=2000, examples=["Trade 17 was made for 100 t, not for 1,000 t."])


class StatementConfirmed(Happened):
    account_id: Identifier
    batch: int


class StatementObjected(Happened):
    account_id: Identifier
    batch: int
    text: str


class ObjectionAnswered(Happened):
    account_id: Identifier
    batch: int
    by: Identifier
    upheld: bool
    answer: str
