"""Accounts and units."""

from typing import assert_never

import numpy as np

from exchange import events as happened
from exchange.commands import IssueUnits, OpenAccount, RegistryCommand, TransferUnits
from exchange.desk import PARTICIPANT
from exchange.reasons import Reason
from exchange.state import UNITS_MAX
from exchange.transition.step import Step, account_named, fit_balances, require, unit_named
from registry import holdings
from settlement.statements import Entry


def handle(step: Step, command: RegistryCommand) -> happened.RegistryEvent:
    match command:
        case OpenAccount():
            return open_account(step, command)
        case IssueUnits():
            return issue_units(step, command)
        case TransferUnits():
            return transfer_units(step, command)
        case _:
            assert_never(command)


def open_account(step: Step, command: OpenAccount) -> happened.AccountOpened:
    exchange = step.exchange
    taken = command.account_id in exchange.accounts.by_id
    require(not taken, Reason.ACCOUNT_EXISTS, f"account {command.account_id!r} is open already")

    account = exchange.accounts.open(
        command.account_id, command.name, command.participant_class, command.beneficial_owner
    )
    fit_balances(exchange)
    desk = exchange.path.desk
    participants = np.zeros(account.number + 1, PARTICIPANT)
    participants[:-1] = desk.participants
    participants[account.number].group = account.group
    participants[account.number].may_trade = account.participant_class.may_trade
    exchange.path.desk = desk._replace(participants=participants)
    return happened.AccountOpened(account)


def issue_units(step: Step, command: IssueUnits) -> happened.UnitsIssued:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    unit = unit_named(exchange, command.unit)
    require(command.quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "an issuance must be positive")
    require(unit.issued + command.quantity <= UNITS_MAX, Reason.AMOUNT_TOO_LARGE, "more units than can be numbered")

    unit.issued += command.quantity
    block = exchange.serials.issue(unit.number, account.number, command.quantity, command.origin)
    exchange.path.desk.balances[account.number, unit.number].registry += command.quantity
    exchange.entries.append((account.number, Entry(unit.number, command.quantity, "issuance", step.sequence)))
    return happened.UnitsIssued(block)


def transfer_units(step: Step, command: TransferUnits) -> happened.UnitsTransferred:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    unit = unit_named(exchange, command.unit)
    require(command.quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "a transfer must be positive")
    balance = exchange.path.desk.balances[account.number, unit.number]
    free = int(balance.registry) if command.to_trading else holdings.withdrawable(balance)
    require(command.quantity <= free, Reason.INSUFFICIENT_UNITS, f"{free} t can be transferred")

    signed = command.quantity if command.to_trading else -command.quantity
    balance.registry -= signed
    balance.available += signed
    return happened.UnitsTransferred(account.number, unit.number, command.quantity, command.to_trading)
