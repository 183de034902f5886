"""Accounts, units and locks."""

from typing import assert_never

import numpy as np

from exchange import events as happened
from exchange.commands import (
    CancelUnits,
    ChangeAccountStatus,
    EnforceLock,
    GiveUnits,
    IssueUnits,
    LockUnits,
    OpenAccount,
    RegisterUnit,
    RegistryCommand,
    ReleaseUnits,
    RetireUnits,
    TransferUnits,
)
from exchange.desk import PARTICIPANT
from exchange.fees import set_fees
from exchange.reasons import Reason, Refused
from exchange.state import UNITS_MAX, Exchange
from exchange.transition.failing import require_not_due
from exchange.transition.step import (
    Step,
    account_named,
    acting,
    fit_balances,
    free_on_registry,
    give_title,
    issue,
    let_trade,
    require,
    require_right,
    require_unrestricted,
    reserve_of,
    set_position_limit,
    take_out_of_the_world,
    unit_named,
)
from registry import holdings
from registry.accounts import NEXT_STATUS, Account, AccountStatus, Right
from registry.locks import Lock
from registry.serials import Cause, Origin
from registry.units import Species


def handle(step: Step, command: RegistryCommand) -> happened.RegistryEvent:
    match command:
        case OpenAccount():
            return open_account(step, command)
        case ChangeAccountStatus():
            return change_account_status(step, command)
        case RegisterUnit():
            return register_unit(step, command)
        case IssueUnits():
            return issue_units(step, command)
        case TransferUnits():
            return transfer_units(step, command)
        case GiveUnits():
            return give_units(step, command)
        case LockUnits():
            return lock_units(step, command)
        case ReleaseUnits():
            return release_units(step, command)
        case EnforceLock():
            return enforce_lock(step, command)
        case RetireUnits():
            return retire_units(step, command)
        case CancelUnits():
            return cancel_units(step, command)
        case _:
            assert_never(command)


# ---------------------------------------------------------------- accounts


def open_account(step: Step, command: OpenAccount) -> happened.AccountOpened:
    exchange = step.exchange
    taken = command.account_id in exchange.accounts.by_id
    require(not taken, Reason.ACCOUNT_EXISTS, f"account {command.account_id!r} is open already")

    account = exchange.accounts.open(
        command.account_id,
        command.name,
        command.participant_class,
        command.beneficial_owner,
        AccountStatus.ACTIVE if command.approved else AccountStatus.PENDING,
        command.region,
    )
    fit_balances(exchange)
    desk = exchange.path.desk
    participants = np.zeros(account.number + 1, PARTICIPANT)
    participants[:-1] = desk.participants
    participants[account.number].group = account.group
    exchange.path.desk = desk._replace(participants=participants)
    set_position_limit(exchange, account.number)
    set_fees(exchange, account)
    let_trade(exchange, account)
    return happened.AccountOpened(account)


def change_account_status(step: Step, command: ChangeAccountStatus) -> happened.AccountStatusChanged:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    acting(exchange, command.by, Right.ADMINISTER)
    closing = command.status == AccountStatus.CLOSED
    earns_fees = account.number == exchange.house
    require(not (closing and earns_fees), Reason.NOT_PERMITTED, "the account that earns the fees stays open")
    require(account is not reserve_of(exchange), Reason.NOT_PERMITTED, "the risk reserve stays as it is")
    leads_there = command.status in NEXT_STATUS[account.status]
    require(leads_there, Reason.WRONG_STATE, f"an account that is {account.status} does not become {command.status}")
    if closing:
        _require_empty(exchange, account)

    changed = exchange.accounts.change_status(account, command.status, command.reason)
    let_trade(exchange, changed)
    if not changed.may(Right.TRADE):
        step.say_events(exchange.path.suspend(step.row, account.number))
    return happened.AccountStatusChanged(changed)


def _require_empty(exchange: Exchange, account: Account) -> None:
    """Closing needs zero units, cash, orders, pledges and obligations (domain sheet C.8)."""
    for name, balance in zip(
        exchange.asset_names, exchange.path.desk.balances[account.number], strict=False
    ):  # there is spare room
        require(not any(balance), Reason.ACCOUNT_NOT_EMPTY, f"{account.account_id} still holds {name}")
    favoured = any(lock.in_favour_of == account.number for lock in exchange.locks)
    require(not favoured, Reason.ACCOUNT_NOT_EMPTY, f"units are locked in favour of {account.account_id}")
    owed = exchange.compliance.owed_by(account.number) or exchange.credits.owed_by(account.number)
    require(not owed, Reason.ACCOUNT_NOT_EMPTY, f"{account.account_id} still owes: {owed}")
    settles = exchange.clearing.concerns(account.number)
    require(settles is None, Reason.ACCOUNT_NOT_EMPTY, f"{account.account_id}: {settles}")


# ---------------------------------------------------------------- units


def register_unit(step: Step, command: RegisterUnit) -> happened.UnitRegistered:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    taken = command.code in exchange.units.by_code
    require(not taken, Reason.INSTRUMENT_EXISTS, f"unit {command.code!r} is registered already")
    is_currency = command.code in exchange.currencies
    require(not is_currency, Reason.CURRENCY_EXISTS, f"{command.code} is a currency")

    unit = exchange.units.register(
        command.code,
        command.species,
        command.vintage,
        scheme=command.scheme,
        project=command.project,
        kind=command.kind,
        region=command.region,
        grade=command.grade,
        registered_on=command.registered_on,
    )
    fit_balances(exchange)
    return happened.UnitRegistered(unit)


# How units come into being by an issuance; carried allowances do in the place of others.
_ORIGINS = {
    Species.ALLOWANCE: (Origin.FREE, Origin.AUCTION, Origin.RESERVE),
    Species.CREDIT: (Origin.CREDIT,),
}


def issue_units(step: Step, command: IssueUnits) -> happened.UnitsIssued:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    require_right(account, Right.HOLD)
    unit = unit_named(exchange, command.unit)
    by_hand = unit.number not in exchange.credits.units
    require(by_hand, Reason.NOT_ELIGIBLE, f"{unit.code} is issued for registered reductions only")
    fits = command.origin in _ORIGINS[unit.species]
    require(fits, Reason.NOT_ELIGIBLE, f"{unit.species}s are not issued as {command.origin}")
    require(command.quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "an issuance must be positive")
    require(unit.issued + command.quantity <= UNITS_MAX, Reason.AMOUNT_TOO_LARGE, "more units than can be numbered")
    caps = [period.cap for period in exchange.compliance.periods.values() if period.unit == unit.number and period.cap]
    within = all(unit.issued + command.quantity <= cap for cap in caps)
    require(within, Reason.AMOUNT_TOO_LARGE, f"the cap of {unit.vintage} is {caps[0] if caps else 0} t")

    serials = issue(step, account.number, unit, command.quantity, command.origin)
    return happened.UnitsIssued(account.number, unit.number, command.quantity, serials)


def transfer_units(step: Step, command: TransferUnits) -> happened.UnitsTransferred:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    require_right(account, Right.MOVE)
    unit = unit_named(exchange, command.unit)
    if not command.to_trading:
        require_unrestricted(exchange, account)
    require(command.quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "a transfer must be positive")
    balance = exchange.path.desk.balances[account.number, unit.number]
    registry = free_on_registry(exchange, account.number, unit.number)
    free = registry if command.to_trading else holdings.withdrawable(balance)
    require(command.quantity <= free, Reason.INSUFFICIENT_UNITS, f"{free} t can be transferred")
    if not command.to_trading:
        require_not_due(exchange, account.number, unit.number, command.quantity)

    signed = command.quantity if command.to_trading else -command.quantity
    balance.registry -= signed
    balance.available += signed
    return happened.UnitsTransferred(account.number, unit.number, command.quantity, command.to_trading)


def give_units(step: Step, command: GiveUnits) -> happened.UnitsGiven:
    exchange = step.exchange
    giver, taker = account_named(exchange, command.giver), account_named(exchange, command.taker)
    acting(exchange, command.by, Right.ADMINISTER)
    require_right(taker, Right.HOLD)
    require(giver is not taker, Reason.NOT_PERMITTED, f"{giver.account_id} gives to itself")
    unit = unit_named(exchange, command.unit)
    require(command.quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "what is given must be positive")
    free = free_on_registry(exchange, giver.number, unit.number)
    require(command.quantity <= free, Reason.INSUFFICIENT_UNITS, f"{free} t are free on the registry side")

    serials = give_title(step, giver.number, taker.number, unit, command.quantity, command.cause)
    return happened.UnitsGiven(giver.number, taker.number, unit.number, command.quantity, serials)


def retire_units(step: Step, command: RetireUnits) -> happened.UnitsRetired:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    require_right(account, Right.SURRENDER)
    unit = unit_named(exchange, command.unit)
    require(command.quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "what is retired must be positive")
    free = free_on_registry(exchange, account.number, unit.number)
    require(command.quantity <= free, Reason.INSUFFICIENT_UNITS, f"{free} t are free on the registry side")

    serials = take_out_of_the_world(step, account.number, unit, command.quantity, Cause.RETIRED)
    return happened.UnitsRetired(account.number, unit.number, command.quantity, command.purpose, serials)


def cancel_units(step: Step, command: CancelUnits) -> happened.UnitsCancelled:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    acting(exchange, command.by, Right.ADMINISTER)
    unit = unit_named(exchange, command.unit)
    require(command.quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "what is cancelled must be positive")
    free = free_on_registry(exchange, account.number, unit.number)
    require(command.quantity <= free, Reason.INSUFFICIENT_UNITS, f"{free} t are free on the registry side")

    serials = take_out_of_the_world(step, account.number, unit, command.quantity, Cause.CANCELLED)
    return happened.UnitsCancelled(account.number, unit.number, command.quantity, command.reason, serials)


# ---------------------------------------------------------------- locks


def lock_units(step: Step, command: LockUnits) -> happened.UnitsLocked:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    favoured = account_named(exchange, command.in_favour_of) if command.in_favour_of else None
    acting(exchange, command.by, Right.ADMINISTER)
    gone = favoured is not None and favoured.status == AccountStatus.CLOSED
    require(not gone, Reason.NOT_PERMITTED, f"account {command.in_favour_of} is closed")
    unit = unit_named(exchange, command.unit)
    require(command.quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "what is locked must be positive")
    free = free_on_registry(exchange, account.number, unit.number)
    require(command.quantity <= free, Reason.INSUFFICIENT_UNITS, f"{free} t are free on the registry side")

    balance = exchange.path.desk.balances[account.number, unit.number]
    balance.registry -= command.quantity
    balance[command.kind] += command.quantity
    whose = favoured.number if favoured else 0
    return happened.UnitsLocked(
        exchange.locks.add(account.number, unit.number, command.quantity, command.kind, whose, command.reference)
    )


def _lock_numbered(exchange: Exchange, lock_id: int) -> Lock:
    lock = exchange.locks.by_id.get(lock_id)
    if lock is None:
        raise Refused(Reason.UNKNOWN_LOCK, f"no lock {lock_id} holds")
    return lock


def _require_locked(lock: Lock, quantity: int) -> None:
    require(quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "the quantity must be positive")
    require(quantity <= lock.quantity, Reason.INSUFFICIENT_UNITS, f"{lock.quantity} t are locked")


def _unlock(exchange: Exchange, lock: Lock, quantity: int) -> None:
    balance = exchange.path.desk.balances[lock.account, lock.unit]
    balance[lock.kind] -= quantity
    balance.registry += quantity
    exchange.locks.take_off(lock, quantity)


def release_units(step: Step, command: ReleaseUnits) -> happened.UnitsReleased:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    lock = _lock_numbered(exchange, command.lock_id)
    _require_locked(lock, command.quantity)

    _unlock(exchange, lock, command.quantity)
    return happened.UnitsReleased(lock, command.quantity)


def enforce_lock(step: Step, command: EnforceLock) -> happened.LockEnforced:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    lock = _lock_numbered(exchange, command.lock_id)
    if lock.in_favour_of:
        require_right(exchange.accounts[lock.in_favour_of], Right.HOLD)
    require(lock.in_favour_of != 0, Reason.WRONG_STATE, "the lock is in nobody's favour; release it and give the units")
    _require_locked(lock, command.quantity)

    _unlock(exchange, lock, command.quantity)
    unit = exchange.units[lock.unit]
    serials = give_title(step, lock.account, lock.in_favour_of, unit, command.quantity, "enforcement")
    return happened.LockEnforced(lock, command.quantity, serials)
