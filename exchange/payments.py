"""What a batch pays at the bank, and who may withdraw how much: questions to the exchange that change nothing."""

from datetime import date

import numpy as np

from exchange.state import Exchange
from registry import holdings
from registry.accounts import Account
from settlement.bank import Payments
from settlement.bank import instructions as instructions_of
from settlement.bank_files import Direction, InstructionFile
from settlement.corrections import applied
from settlement.cycle import Batch, Stage


def instructions(exchange: Exchange, batch: Batch) -> InstructionFile:
    """The instruction file of a batch."""
    owed = exchange.positions(batch.trades)
    out, into, names = owed.out, owed.into, exchange.account_ids
    return instructions_of(batch.number, batch.day, batch.mode, out, into, names, exchange.currencies)


def confirmed(exchange: Exchange, batch: Batch) -> dict[tuple[int, int], int] | None:
    """Fen that the bank has confirmed of what each (account, cash asset) pays in; None if all is paid.

    So it is without a bank, or where who settled the day vouched for it. A line without an answer has not been paid.
    """
    paid = None if batch.payments is None else batch.payments.pay_ins()
    return None if paid is None else by_number(exchange, paid)


def by_number(exchange: Exchange, amounts: dict[tuple[str, str], int]) -> dict[tuple[int, int], int]:
    """Amounts by account number and cash asset instead of account id and currency."""
    accounts, assets = exchange.accounts.by_id, exchange.currencies
    return {(accounts[account_id].number, assets[code]): fen for (account_id, code), fen in amounts.items()}


def by_name(exchange: Exchange, amounts: dict[tuple[int, int], int]) -> dict[tuple[str, str], int]:
    """The reverse."""
    named = exchange.asset_names
    return {(exchange.accounts[account].account_id, named[cash]): fen for (account, cash), fen in amounts.items()}


def withdrawal_block(exchange: Exchange, account: Account) -> str | None:
    """Why an account may withdraw nothing at present; None: it may."""
    clearing = exchange.clearing
    if account.number in clearing.blocked:
        return f"blocked: {clearing.blocked[account.number]}"
    if account.number in clearing.in_break:
        return f"the bank's balance of {clearing.in_break[account.number]} differs"
    if why := clearing.restriction(account.number):
        return why
    for batch in clearing.late:
        if batch.payments is not None and _waits(batch, batch.payments, account):
            return f"batch {batch.number} waits for the settlement bank"
    return None


def _waits(batch: Batch, payments: Payments, account: Account) -> bool:
    """Whether an account is in a late batch that is to be delivered, or is to be paid by one and nobody knows if."""
    if not batch.has_reached(Stage.DELIVERED):
        return account.account_id in payments.account_ids
    credits = [line for line in payments.open_lines if line.direction == Direction.CREDIT]
    return any(line.account_id == account.account_id for line in credits)


def withdrawable(exchange: Exchange, account: Account, asset: int) -> int:
    """Fen that an account may withdraw: settled, available and, where the rules wait a day, not of today's batches."""
    free = holdings.withdrawable(exchange.path.desk.balances[account.number, asset])
    return max(0, free - _brought_today(exchange, account, asset))


def _brought_today(exchange: Exchange, account: Account, asset: int) -> int:
    """What the batches of the day have brought an account net, as far as the rules hold it back and trades stand."""
    if exchange.market.settlement.withdrawal_lag_days == 0 or exchange.date is None:
        return 0
    brought = 0
    for batch in exchange.clearing.of_day(exchange.date):
        if batch.has_reached(Stage.DELIVERED):
            stand = applied(batch.settled, exchange.clearing.corrections.standing)
            brought += int(exchange.positions(stand).net[account.number, asset])
    # What it was converted into waits like itself.
    brought += exchange.clearing.conversions.brought(exchange.date, account.number, asset)
    return max(0, brought)


def closing_balances(exchange: Exchange, day: date) -> dict[tuple[str, str], int] | None:
    """Settled cash by (account id, currency) at the close of a day's last statements, zeros left out.

    What is paid in or out after them belongs to the next day. None if the day has no statements yet.
    """
    lines = [batch.line for batch in exchange.clearing.of_day(day) if batch.line is not None]
    if not lines:
        return None
    closing = lines[-1].closing
    account_ids = exchange.account_ids
    return {
        (account_ids[account], code): int(closing[account, asset])
        for code, asset in exchange.currencies.items()
        if asset < closing.shape[1]
        for account in np.flatnonzero(closing[:, asset]).tolist()
    }
