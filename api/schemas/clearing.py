"""The shapes of batches, of what they move, of what passes between the clearing house and its bank."""

from datetime import date
from typing import Annotated

from pydantic import Field

from api.schemas.base import CurrencyCode, DecimalText, Identifier, Model
from api.schemas.registry import Happened, SerialRange
from api.schemas.settlement import Amount
from settlement.bank import Finding
from settlement.bank_files import Direction, Reach, Reply
from settlement.cycle import Stage
from settlement.rules import Mode

LINES_MAX = 10_000  # of a bank's answer in JSON; its files may be longer
Checksum = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the instruction file")]
DayBefore = Annotated[date | None, Field(description="The day of the file that went before; None: this is the first")]
LineNumber = Annotated[int, Field(strict=True, ge=-(2**31), le=2**31 - 1, examples=[1])]

# ---------------------------------------------------------------- batches


class StageReached(Model):
    """A step of a batch, and when it was taken."""

    stage: Stage
    at: str


class AssetMoved(Model):
    """One asset in a batch; each amount is counted once, where it leaves an account."""

    asset: str
    gross: Amount = Field(description="Owed trade by trade; cash with the buyers' fees")
    net: Amount = Field(description="Left when each account's claims are offset")
    moved: Amount = Field(description="What does move, in the mode of the batch")
    efficiency: str = Field(description="Of netting: 1 - net / gross, whatever the mode; decimal, floored")
    fees: str | None = Field(description="To the house, of a currency")


class BatchFigures(Model):
    """What was settled."""

    trades: int
    obligations: int
    net_positions: int
    deliveries: int
    payments: int
    assets: list[AssetMoved]


class BankProgress(Model):
    """How far the settlement bank has come with a batch."""

    lines: int
    answered: int
    rejected: int = Field(description="Lines of which the bank has not confirmed all")
    is_late: bool
    late_at: str | None
    checksum: str


class CurrencyLegView(Model):
    """What became of an account's proceeds in a currency that it does not want."""

    account_id: str
    currency: str
    amount: str
    conversion: int | None = Field(description="Its number; None: the proceeds stay as they came")
    into: str | None
    taken: str | None
    kept_because: str | None = Field(description="The reason's name, of what was not converted")


class BatchView(Model):
    """A settlement batch: how far it has come and what it moved."""

    number: int
    date: date
    mode: Mode
    stage: Stage
    stages: list[StageReached] = Field(description="In order, with their times")
    trades: int = Field(description="That were fixed")
    failed: list[int] = Field(description="Ids of trades that were taken out, since somebody did not pay or deliver")
    cases: list[int] = Field(description="Numbers of the failure cases that were opened for it")
    bank: BankProgress | None = Field(description="None: not instructed, or no bank")
    figures: BatchFigures | None = Field(description="None: not delivered yet")
    currency_legs: list[CurrencyLegView] = Field(
        description="Proceeds in other currencies than their owners elected, by account"
    )


class BatchRow(Model):
    """A settlement batch in a list."""

    number: int
    date: date
    mode: Mode
    stage: Stage
    at: str = Field(description="When it came so far")
    trades: int
    failed: int
    late: bool


class PositionView(Model):
    """What the trades of a batch come to for an account and an asset."""

    account_id: str
    asset: str
    delivers: Amount = Field(description="Of each trade by itself; cash with the fee")
    receives: Amount
    net: Amount = Field(description="What it receives less what it delivers")


class DeliveryView(Model):
    """A delivery: who gave whom which serial numbers."""

    unit: str
    giver: str
    taker: str
    quantity: int
    trade_id: int | None = Field(description="None where the batch nets units")
    serials: list[SerialRange]


class ObligationView(Model):
    """An account's side of a trade that is not settled yet."""

    trade_id: int
    symbol: str
    side: str
    counterparty: str
    quantity: int
    currency: str
    turnover: str
    fee: str
    batch: int | None = Field(description="In which it is to settle; None: it is still to be fixed")


# ---------------------------------------------------------------- the bank


class InstructedLine(Model):
    """One payment at the bank, and what it has said to it."""

    line: int
    account_id: str
    currency: str
    direction: Direction = Field(description="debit: the participant pays in; credit: it is paid")
    amount: str
    reply: Reply | None
    confirmed: str | None
    reason: str


class CurrencyTotal(Model):
    currency: str
    debits: str
    credits: str


class InstructionsView(Model):
    """What the settlement bank was told to pay for a batch, and what it has answered."""

    batch: int
    date: date
    mode: Mode
    checksum: str
    totals: list[CurrencyTotal]
    lines: list[InstructedLine]


class NewAnswer(Model):
    """What the bank says to a line, which it repeats."""

    line: LineNumber
    account_id: Identifier
    currency: CurrencyCode
    direction: Direction
    amount: DecimalText = Field(examples=["4020.00"])
    reply: Reply
    paid: DecimalText = Field(default="0.00", description="Of a partial answer", examples=["0.00"])
    reason: str = Field(default="", max_length=200, examples=[""])


class NewConfirmation(Model):
    """The bank's answer to lines of the instruction file; to all that are open unless more follows."""

    by: Identifier = Field(description="Account id of the settlement bank", examples=["BANK"])
    answers_to: Checksum
    lines: list[NewAnswer] = Field(max_length=LINES_MAX)
    more_follows: bool = Field(default=False, strict=True)


class PaymentsConfirmed(Happened):
    """What the bank's answer changed."""

    batch: int
    answered: int
    open_lines: list[int]
    short: list[int] = Field(description="Lines that the bank has not confirmed in full")
    is_confirmed: bool = Field(description="Whether every line of the batch is answered")


class NewBalance(Model):
    account_id: Identifier
    currency: CurrencyCode
    amount: DecimalText = Field(examples=["95980.00"])


class NewReconciliation(Model):
    """What the bank has in every sub-ledger at the end of a settled day."""

    by: Identifier = Field(description="Account id of the settlement bank, or who clears", examples=["BANK"])
    date: date
    lines: list[NewBalance] = Field(max_length=LINES_MAX)


class BreakView(Model):
    """A balance of which the bank says something else."""

    finding: Finding
    account_id: str
    currency: str
    ours: str
    banks: str
    difference: str = Field(description="The bank's less ours")
    explanation: str = Field(description="Which side has more, and what to do about it")


class BalanceView(Model):
    """What the bank should have in a sub-ledger."""

    account_id: str
    currency: str
    amount: str


class BalancesView(Model):
    """What the bank should have in every sub-ledger at the end of a settled day; who has nothing is left out."""

    date: date
    lines: list[BalanceView]


class BookingView(Model):
    """One movement of settled cash."""

    line: int
    batch: int = Field(description="With whose statements it is told")
    account_id: str
    currency: str
    reach: Reach = Field(description="Whether the money crosses the bank's border: deposits and withdrawals alone do")
    cause: str = Field(description="As statements have it; all trades of a batch are one final_payment")
    reference: int = Field(description="Number of the command, trade or batch that caused it")
    amount: str = Field(description="Below zero: out of the account's sub-ledger")


class BookingsView(Model):
    """What the bank has to book of a day: all cash moved up to its last statements, since those of the day before."""

    date: date
    previous: DayBefore
    previous_checksum: str | None
    checksum: str = Field(description="SHA-256 of this file")
    lines: list[BookingView]


class BreakReport(Happened):
    """The bank's balances of a day beside ours."""

    date: date
    at: str
    balances: int
    matched: bool
    breaks: list[BreakView]
    blocked: list[str] = Field(description="Accounts that may not withdraw until a later file agrees")


# ---------------------------------------------------------------- withdrawals


class WithdrawalBlock(Model):
    """An account that may withdraw nothing at present."""

    account_id: str
    reason: str


class WithdrawalsBlocked(Happened):
    account_id: Identifier
    reason: str


class WithdrawalsUnblocked(Happened):
    account_id: Identifier
    reason: str
