"""What can have happened to money."""

from datetime import date

from exchange.events.base import ControlEvent
from settlement.bank import Break
from settlement.bank_files import InstructionLine, LineAnswer


class CashDeposited(ControlEvent, frozen=True):
    account: int
    amount: int
    asset: int


class CashWithdrawn(ControlEvent, frozen=True):
    account: int
    amount: int
    asset: int


class WithdrawalsBlocked(ControlEvent, frozen=True):
    account: int
    reason: str


class WithdrawalsUnblocked(ControlEvent, frozen=True):
    account: int
    reason: str


class BankInstructed(ControlEvent, frozen=True):
    """Totals: fen paid in and paid out, by currency."""

    batch: int
    lines: int
    totals: dict[str, tuple[int, int]]
    checksum: str


class PaymentsConfirmed(ControlEvent, frozen=True):
    """What the bank has answered now; `is_confirmed`: every line of the batch."""

    batch: int
    answered: int
    open_lines: list[int]
    not_paid: list[LineAnswer]  # pay-ins that it has not confirmed in full
    kept: list[LineAnswer]  # pay-outs: what is not confirmed stays in the participant's sub-ledger
    is_confirmed: bool


class BankLate(ControlEvent, frozen=True):
    """These lines count as rejected if the batch is delivered as it is; until then these accounts withdraw nothing."""

    batch: int
    lines: list[InstructionLine]
    account_ids: list[str]


class BankReconciled(ControlEvent, frozen=True):
    """What was compared and what differs; matched: nothing. `blocked` may not withdraw until a later file agrees."""

    date: date
    balances: int
    matched: bool
    breaks: list[Break]
    blocked: list[int]


MoneyEvent = (
    CashDeposited
    | CashWithdrawn
    | WithdrawalsBlocked
    | WithdrawalsUnblocked
    | BankInstructed
    | PaymentsConfirmed
    | BankLate
    | BankReconciled
)
