"""A command off the trading path at work, and what all handlers need.

A handler first lists what could stop it, one to a line, in the order of `Reason`, by raising `Refused`; after that it
must succeed. A refused command leaves nothing behind.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from exchange.events import SerialRange
from exchange.positions import limit
from exchange.reasons import Reason, Refused
from exchange.rows import type_of_rows
from exchange.state import Exchange
from exchange.trading import Written
from registry import holdings
from registry.accounts import Account, AccountStatus, Right
from registry.compliance import Obligor, Period, Stage
from registry.serials import Block, Cause, Origin, ranges
from registry.units import Species, Unit
from settlement.cycle import Batch
from settlement.cycle import Stage as BatchStage
from settlement.statements import CASH, Entry

HOUSE = "EXCHANGE"  # the market operator's own account, which earns the fees
RESERVE = "RESERVE"  # the risk reserve, where the rule set has one


def noted(exchange: Exchange, written: Written) -> Written:
    """Trades wait for settlement from the moment they happen."""
    if written[1].size:
        exchange.unsettled_trades.append(written[1])
    return written


@dataclass
class Step:
    """A command off the trading path at work, and what it makes the trading path write."""

    exchange: Exchange
    row: type_of_rows  # (1,) COMMAND
    rows: list[type_of_rows] = field(default_factory=list)
    trades: list[type_of_rows] = field(default_factory=list)
    sequence: int = field(init=False)
    now_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self.sequence, self.now_ns = int(self.row["sequence"][0]), int(self.row["now_ns"][0])

    def say(self, written: Written) -> None:
        """Event rows and trade rows that the command causes."""
        events, trades = noted(self.exchange, written)
        self.rows.append(events)
        self.trades.append(trades)

    def say_events(self, events: type_of_rows) -> None:
        """Event rows without trades."""
        self.rows.append(events)


def require(condition: bool, reason: Reason, detail: str) -> None:
    if not condition:
        raise Refused(reason, detail)


def account_named(exchange: Exchange, account_id: str) -> Account:
    account = exchange.accounts.by_id.get(account_id)
    if account is None:
        raise Refused(Reason.UNKNOWN_ACCOUNT, f"no account {account_id!r}")
    return account


def unit_named(exchange: Exchange, code: str) -> Unit:
    unit = exchange.units.by_code.get(code)
    if unit is None:
        raise Refused(Reason.UNKNOWN_UNIT, f"no unit {code!r}")
    return unit


def currency_named(exchange: Exchange, code: str) -> int:
    """Asset number of a currency; without a code of the rule set's own."""
    if not code:
        return CASH
    asset = exchange.currencies.get(code)
    if asset is None:
        raise Refused(Reason.UNKNOWN_CURRENCY, f"no currency {code!r}")
    return asset


def fit_balances(exchange: Exchange) -> None:
    desk = exchange.path.desk
    balances = holdings.with_room(desk.balances, len(exchange.accounts), exchange.units.last_number)
    exchange.path.desk = desk._replace(balances=balances)


def require_right(account: Account, right: Right) -> None:
    """Refused if the account's class or status does not give it a right."""
    may = account.may(right)
    require(
        may,
        Reason.NOT_PERMITTED,
        f"{account.account_id}, {account.participant_class.label}, {account.status}, has no right to {right}",
    )


def acting(exchange: Exchange, account_id: str, right: Right) -> Account:
    """Who asks for something that only some may do."""
    account = account_named(exchange, account_id)
    require_right(account, right)
    return account


def reserve_of(exchange: Exchange) -> Account | None:
    """The risk reserve, if the rule set has one."""
    return exchange.accounts.by_id.get(RESERVE) if exchange.market.settlement.reserve else None


def let_trade(exchange: Exchange, account: Account) -> None:
    """Tell the trading path whether an account may trade: by class and status, and unless it failed in settlement."""
    restricted = exchange.clearing.restriction(account.number) is not None
    exchange.path.desk.participants[account.number].may_trade = account.may(Right.TRADE) and not restricted


def require_unrestricted(exchange: Exchange, account: Account) -> None:
    """Refused while an account is in default: it may neither trade nor take anything away."""
    why = exchange.clearing.restriction(account.number)
    require(why is None, Reason.IN_DEFAULT, f"{account.account_id}: {why}")


def period_in(exchange: Exchange, year: int, *stages: Stage) -> Period:
    """A compliance year that stands in one of these stages."""
    period = period_of(exchange, year)
    require(period.stage in stages, Reason.WRONG_STATE, f"the compliance year {year} is {period.stage}")
    return period


def date_of(exchange: Exchange) -> date:
    """The last trading day that was opened. Refused before the first."""
    if exchange.date is None:
        raise Refused(Reason.TOO_EARLY, "no trading day has been opened yet")
    return exchange.date


def period_of(exchange: Exchange, year: int) -> Period:
    """A compliance year in any stage."""
    period = exchange.compliance.periods.get(year)
    if period is None:
        raise Refused(Reason.UNKNOWN_PERIOD, f"the compliance year {year} has not been opened")
    return period


def batch_under_way(exchange: Exchange, *stages: BatchStage) -> Batch:
    """The settlement batch under way, which has come so far. Refused otherwise."""
    batch = exchange.clearing.under_way
    if batch is None:
        raise Refused(Reason.WRONG_STATE, "no batch is under way")
    said = f"batch {batch.number} is {batch.stage}, not {' or '.join(stages)}"
    require(batch.stage in stages, Reason.WRONG_STATE, said)
    return batch


def is_parked(exchange: Exchange, account: Account) -> bool:
    """Whether an enterprise's allowances wait with the authority: it is frozen, or owes a fine (domain sheet C.8)."""
    in_default = exchange.compliance.unpaid_fine(account.number) > 0
    return account.status == AccountStatus.FROZEN or (in_default and exchange.market.compliance.park_while_in_default)


def free_on_registry(exchange: Exchange, account: int, unit: int) -> int:
    """Tonnes on an account's registry side that are neither locked nor kept for somebody else."""
    held = int(exchange.path.desk.balances[account, unit].registry)
    return held - exchange.compliance.parked_with(account, unit)


# ---------------------------------------------------------------- units and cash: balance, title, statement


def _count(exchange: Exchange, account: int, unit: Unit, tonnes: int) -> None:
    """An account has so many tonnes more in its position, if they are allowances."""
    if unit.species == Species.ALLOWANCE:
        exchange.path.desk.participants[account].position += tonnes


def set_position_limit(exchange: Exchange, account: int) -> None:
    """An account's limit has changed, since it was opened or got an allocation."""
    exchange.path.desk.participants[account].position_limit = limit(exchange, exchange.accounts[account])


def issue(step: Step, account: int, unit: Unit, quantity: int, origin: Origin) -> list[SerialRange]:
    """Create units on the registry side of an account."""
    exchange = step.exchange
    unit.issued += quantity
    exchange.path.desk.balances[account, unit.number].registry += quantity
    _count(exchange, account, unit, quantity)
    exchange.clearing.entries.append((account, Entry(unit.number, quantity, "issuance", step.sequence)))
    return ranges([exchange.serials.issue(unit.number, account, quantity, origin, step.sequence, step.now_ns)])


def take(balance: Any, amount: int) -> None:
    """Take off a balance what is available, then what will be tomorrow."""
    from_available = min(amount, max(0, int(balance.available)))
    balance.available -= from_available
    balance.incoming -= amount - from_available


def _enter(step: Step, giver: int, taker: int, asset: int, amount: int, cause: str) -> None:
    """What the statements of both say of an asset that moved."""
    step.exchange.clearing.entries += [
        (giver, Entry(asset, -amount, cause, step.sequence)),
        (taker, Entry(asset, amount, cause, step.sequence)),
    ]


def move_cash(step: Step, giver: int, taker: int, asset: int, amount: int, cause: str) -> None:
    """Move cash from the trading side of one account to that of another; `cause` is what the statements say."""
    exchange = step.exchange
    take(exchange.path.desk.balances[giver, asset], amount)
    exchange.path.desk.balances[taker, asset].available += amount
    _enter(step, giver, taker, asset, amount, cause)


def move_units(
    step: Step, giver: int, taker: int, unit: Unit, quantity: int, cause: str, title: Cause, bucket: str = "available"
) -> None:
    """Move units from the trading side of one account to that of another, and title; what is bought may wait."""
    exchange = step.exchange
    take(exchange.path.desk.balances[giver, unit.number], quantity)
    exchange.path.desk.balances[taker, unit.number][bucket] += quantity
    _count(exchange, giver, unit, -quantity)
    _count(exchange, taker, unit, quantity)
    _enter(step, giver, taker, unit.number, quantity, cause)
    exchange.serials.transfer(unit.number, giver, taker, quantity, step.sequence, step.now_ns, title)


def give_title(
    step: Step,
    giver: int,
    taker: int,
    unit: Unit,
    quantity: int,
    cause: str,
    wanted: Callable[[Block], bool] | None = None,
) -> list[SerialRange]:
    """Move units from one registry side to another; `cause` is what the statements say."""
    exchange = step.exchange
    exchange.path.desk.balances[giver, unit.number].registry -= quantity
    exchange.path.desk.balances[taker, unit.number].registry += quantity
    _count(exchange, giver, unit, -quantity)
    _count(exchange, taker, unit, quantity)
    _enter(step, giver, taker, unit.number, quantity, cause)
    return ranges(
        exchange.serials.transfer(
            unit.number, giver, taker, quantity, step.sequence, step.now_ns, Cause.TRANSFERRED, wanted=wanted
        )
    )


def unpark(step: Step, period: Period, obligor: Obligor, quantity: int) -> list[SerialRange]:
    """Give an enterprise what the authority keeps for it: units of free origin, as far as the authority has such."""
    exchange, unit = step.exchange, step.exchange.units[period.unit]

    def is_free(block: Block) -> bool:
        return block.origin == Origin.FREE

    titled = exchange.serials.of(period.authority, unit.number)
    free = min(quantity, sum(block.quantity for block in titled if is_free(block)))
    obligor.parked -= quantity
    serials = give_title(step, period.authority, obligor.account, unit, free, "allocation", is_free) if free else []
    if free < quantity:
        serials += give_title(step, period.authority, obligor.account, unit, quantity - free, "allocation")
    return serials


_ENTRIES = {Cause.SURRENDERED: "surrender", Cause.RETIRED: "retirement", Cause.CANCELLED: "cancellation"}


def take_out_of_the_world(
    step: Step,
    account: int,
    unit: Unit,
    quantity: int,
    cause: Cause,
    bucket: str = "registry",
    wanted: Callable[[Block], bool] | None = None,
) -> list[SerialRange]:
    """Surrender, retire or cancel units of a bucket: they are nobody's any more."""
    exchange = step.exchange
    exchange.path.desk.balances[account, unit.number][bucket] -= quantity
    _count(exchange, account, unit, -quantity)
    exchange.clearing.entries.append((account, Entry(unit.number, -quantity, _ENTRIES[cause], step.sequence)))
    return ranges(exchange.serials.end(unit.number, account, quantity, cause, step.sequence, step.now_ns, wanted))
