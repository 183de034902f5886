"""Money: deposits and withdrawals, payments by the settlement bank, its books beside ours (:mod:`settlement.bank`)."""

from typing import assert_never

from exchange import events as happened
from exchange.commands import (
    BlockWithdrawals,
    ConfirmPayments,
    DepositCash,
    InstructBank,
    MoneyCommand,
    NoteLateBank,
    ReconcileBank,
    UnblockWithdrawals,
    WithdrawCash,
)
from exchange.instruments import money
from exchange.payments import by_name, closing_balances, instructions, withdrawable, withdrawal_block
from exchange.reasons import Reason, Refused
from exchange.sessions import moment_ns
from exchange.state import CASH_MAX, Exchange
from exchange.transition.failing import besides, require_not_due
from exchange.transition.step import (
    Step,
    account_named,
    acting,
    batch_under_way,
    currency_named,
    require,
    require_right,
)
from registry.accounts import Account, AccountStatus, Right
from settlement.bank import Payments, reconcile
from settlement.bank_files import AnswerFile, BankFileError, Direction
from settlement.cycle import Batch, Stage
from settlement.statements import Entry


def handle(step: Step, command: MoneyCommand) -> happened.MoneyEvent:
    match command:
        case DepositCash():
            return deposit_cash(step, command)
        case WithdrawCash():
            return withdraw_cash(step, command)
        case BlockWithdrawals():
            return block_withdrawals(step, command)
        case UnblockWithdrawals():
            return unblock_withdrawals(step, command)
        case InstructBank():
            return instruct_bank(step)
        case ConfirmPayments():
            return confirm_payments(step, command)
        case NoteLateBank():
            return note_late_bank(step)
        case ReconcileBank():
            return reconcile_bank(step, command)
        case _:
            assert_never(command)


# ---------------------------------------------------------------- in and out


def deposit_cash(step: Step, command: DepositCash) -> happened.CashDeposited:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    closed = account.status == AccountStatus.CLOSED
    require(not closed, Reason.NOT_PERMITTED, f"account {account.account_id} is closed")
    cash = currency_named(exchange, command.currency)
    require(command.amount > 0, Reason.AMOUNT_NOT_POSITIVE, "a deposit must be positive")
    fits = exchange.cash_deposited[cash] + command.amount <= CASH_MAX
    require(fits, Reason.AMOUNT_TOO_LARGE, "more cash than can be booked")

    exchange.cash_deposited[cash] += command.amount
    exchange.path.desk.balances[account.number, cash].available += command.amount
    exchange.clearing.entries.append((account.number, Entry(cash, command.amount, "deposit", step.sequence)))
    _note_deposit(exchange, account, cash, command.amount)
    return happened.CashDeposited(account.number, command.amount, cash)


def _note_deposit(exchange: Exchange, account: Account, cash: int, amount: int) -> None:
    """New money cures what is open, or repays it; of who has no such case it counts for the batch at the bank."""
    house = exchange.clearing
    batch = house.to_deliver
    if house.defaults.live(account.number):
        house.defaults.note_deposit(account.number, cash, amount)
    elif batch is not None and batch.payments is not None:
        batch.payments.note_deposit(account.account_id, exchange.asset_names[cash], amount)


def withdraw_cash(step: Step, command: WithdrawCash) -> happened.CashWithdrawn:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    require_right(account, Right.MOVE)
    cash = currency_named(exchange, command.currency)
    block = withdrawal_block(exchange, account)
    require(block is None, Reason.WITHDRAWAL_BLOCKED, f"{account.account_id}: {block}")
    require(command.amount > 0, Reason.AMOUNT_NOT_POSITIVE, "a withdrawal must be positive")
    free = withdrawable(exchange, account, cash)
    require(command.amount <= free, Reason.INSUFFICIENT_CASH, f"{money(free)} is settled and available")
    require_not_due(exchange, account.number, cash, command.amount)

    exchange.cash_withdrawn[cash] += command.amount
    exchange.path.desk.balances[account.number, cash].available -= command.amount
    exchange.clearing.entries.append((account.number, Entry(cash, -command.amount, "withdrawal", step.sequence)))
    return happened.CashWithdrawn(account.number, command.amount, cash)


def block_withdrawals(step: Step, command: BlockWithdrawals) -> happened.WithdrawalsBlocked:
    exchange = step.exchange
    account = _concerned(exchange, command)
    is_blocked = account.number in exchange.clearing.blocked
    require(not is_blocked, Reason.ALREADY_BLOCKED, f"{account.account_id} may not withdraw anything as it is")

    exchange.clearing.blocked[account.number] = command.reason
    return happened.WithdrawalsBlocked(account.number, command.reason)


def unblock_withdrawals(step: Step, command: UnblockWithdrawals) -> happened.WithdrawalsUnblocked:
    exchange = step.exchange
    account = _concerned(exchange, command)
    is_blocked = account.number in exchange.clearing.blocked
    require(is_blocked, Reason.NOT_BLOCKED, f"nobody has blocked {account.account_id}")

    del exchange.clearing.blocked[account.number]
    return happened.WithdrawalsUnblocked(account.number, command.reason)


def _concerned(exchange: Exchange, command: BlockWithdrawals | UnblockWithdrawals) -> Account:
    account = account_named(exchange, command.account_id)
    acting(exchange, command.by, Right.CLEAR)
    return account


# ---------------------------------------------------------------- the batch under way at the bank


def _at_the_bank(exchange: Exchange, *stages: Stage) -> Batch:
    """The batch under way, which has come so far. Refused otherwise, or without a bank."""
    require(exchange.market.settlement.bank, Reason.NO_BANK, f"{exchange.market.name} settles without a bank")
    return batch_under_way(exchange, *stages)


def _waits_for_the_bank(exchange: Exchange, number: int) -> Batch:
    """The batch under way; or one that was delivered without some answers, which may still cure who failed in it."""
    late = exchange.clearing.batch(number)
    if late is not None and late.is_late and late.has_reached(Stage.DELIVERED) and _payments(late).open_lines:
        return late
    return _at_the_bank(exchange, Stage.INSTRUCTED, Stage.CONFIRMED)


def _payments(batch: Batch) -> Payments:
    assert batch.payments is not None, f"batch {batch.number} is {batch.stage} and has no payments"
    return batch.payments


def instruct_bank(step: Step) -> happened.BankInstructed:
    exchange = step.exchange
    batch = _at_the_bank(exchange, Stage.FIXED, Stage.CONFIRMED)
    more = by_name(exchange, besides(exchange, batch))
    is_due = batch.payments is None or more
    require(bool(is_due), Reason.WRONG_STATE, f"batch {batch.number} is confirmed, and nobody is asked for more")
    file = instructions(exchange, batch) if batch.payments is None else batch.payments.ask_more(more)

    batch.payments = batch.payments or Payments(file)
    batch.reached.pop(Stage.CONFIRMED, None)
    batch.reached[Stage.INSTRUCTED] = step.now_ns
    _note_confirmed(step, batch, batch.payments)
    return happened.BankInstructed(batch.number, len(file.lines), file.totals(), file.checksum)


def confirm_payments(step: Step, command: ConfirmPayments) -> happened.PaymentsConfirmed:
    acting(step.exchange, command.by, Right.PAY)
    batch = _waits_for_the_bank(step.exchange, command.batch)
    payments = _payments(batch)
    said = AnswerFile(command.batch, command.answers_to, command.lines, command.more_follows)
    try:
        payments.refuse(said)
    except BankFileError as error:
        raise Refused(Reason[error.fault.name], error.detail) from None

    payments.take(said)
    if not batch.has_reached(Stage.DELIVERED):
        payments.forget_deposits(said)
    _note_confirmed(step, batch, payments)
    step.exchange.clearing.forget_answered()
    short = [line for line in said.lines if line.confirmed < line.fen]
    return happened.PaymentsConfirmed(
        batch.number,
        len(said.lines),
        [line.line for line in payments.open_lines],
        [line for line in short if line.direction == Direction.DEBIT],
        [line for line in short if line.direction == Direction.CREDIT],
        batch.has_reached(Stage.CONFIRMED),
    )


def _note_confirmed(step: Step, batch: Batch, payments: Payments) -> None:
    if not payments.open_lines and not batch.has_reached(Stage.DELIVERED):
        batch.reached[Stage.CONFIRMED] = step.now_ns


def note_late_bank(step: Step) -> happened.BankLate:
    exchange = step.exchange
    batch = _at_the_bank(exchange, Stage.INSTRUCTED)
    require(not batch.is_late, Reason.WRONG_STATE, f"batch {batch.number} is late already")
    confirm_by = exchange.market.settlement.confirm_by
    is_over = confirm_by is None or step.now_ns >= moment_ns(exchange.market, batch.day, confirm_by)
    require(is_over, Reason.TOO_EARLY, f"the bank has until {confirm_by} on {batch.day}")

    payments = _payments(batch)
    payments.late_at = step.now_ns
    exchange.clearing.late.append(batch)
    return happened.BankLate(batch.number, payments.open_lines, payments.account_ids)


# ---------------------------------------------------------------- the bank's books


def reconcile_bank(step: Step, command: ReconcileBank) -> happened.BankReconciled:
    exchange, house = step.exchange, step.exchange.clearing
    bank = account_named(exchange, command.by)
    may = bank.may(Right.PAY) or bank.may(Right.CLEAR)
    require(may, Reason.NOT_PERMITTED, f"{bank.account_id} neither pays nor clears")
    ours = closing_balances(exchange, command.date)
    if ours is None:
        raise Refused(Reason.DAY_NOT_SETTLED, f"the day {command.date} has no statements")
    is_late = house.reconciled is not None and command.date < house.reconciled
    require(not is_late, Reason.DATE_NOT_LATER, f"the balances of {house.reconciled} have been compared")
    negative = next((line for line in command.lines if line.fen < 0), None)
    require(negative is None, Reason.NEGATIVE_AMOUNT, f"{negative and negative.account_id} has less than nothing")

    accounts = exchange.accounts.by_id
    breaks = reconcile(ours, accounts, exchange.currencies, command.lines)
    blocks = exchange.market.settlement.block_on_break
    blocked = sorted({accounts[one.account_id].number for one in breaks if blocks and one.account_id in accounts})
    house.reconciled, house.in_break = command.date, dict.fromkeys(blocked, command.date)
    return happened.BankReconciled(command.date, len(command.lines), not breaks, breaks, blocked)
