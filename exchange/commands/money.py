"""What may be asked about money: deposits and withdrawals, payments by the settlement bank, its books beside ours."""

from datetime import date

from exchange.commands.base import ControlCommand
from settlement.bank_files import BankBalance, LineAnswer


class DepositCash(ControlCommand, frozen=True):
    account_id: str
    amount: int
    currency: str = ""


class WithdrawCash(ControlCommand, frozen=True):
    account_id: str
    amount: int
    currency: str = ""


class BlockWithdrawals(ControlCommand, frozen=True):
    """Let an account withdraw nothing until it is unblocked."""

    by: str
    account_id: str
    reason: str


class UnblockWithdrawals(ControlCommand, frozen=True):
    """Take back an operator's block; others stand."""

    by: str
    account_id: str
    reason: str


class InstructBank(ControlCommand, frozen=True):
    """Tell the settlement bank what the batch under way pays. Where it pays nothing, nothing is to be confirmed."""


class ConfirmPayments(ControlCommand, frozen=True):
    """The bank's answer to lines of the instruction file; to all that are open unless more follows."""

    by: str
    batch: int
    answers_to: str  # checksum of the instruction file
    lines: tuple[LineAnswer, ...]
    more_follows: bool = False


class NoteLateBank(ControlCommand, frozen=True):
    """The time to confirm by is over and answers are missing: the batch under way is late."""


class ReconcileBank(ControlCommand, frozen=True):
    """Compare the bank's balances at the end of a settled day with the closing of that day's statements."""

    by: str
    date: date
    lines: tuple[BankBalance, ...]


MoneyCommand = (
    DepositCash
    | WithdrawCash
    | BlockWithdrawals
    | UnblockWithdrawals
    | InstructBank
    | ConfirmPayments
    | NoteLateBank
    | ReconcileBank
)
