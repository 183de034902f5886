"""The clearing house at work: a day's settlement, step by step (:mod:`settlement.cycle`)."""

from typing import assert_never

import numpy as np

from exchange import events as happened
from exchange.commands import (
    AnswerObjection,
    ConfirmStatement,
    DeliverBatch,
    FixObligations,
    IssueStatements,
    ObjectToStatement,
    SettleDay,
    SettlementCommand,
)
from exchange.payments import confirmed
from exchange.reasons import Reason, Refused
from exchange.rows import TRADE, copied, joined
from exchange.sessions import Phase
from exchange.state import Exchange
from exchange.transition.objections import answer_objection, confirm_statement, object_to_statement
from exchange.transition.step import Step, require
from registry import holdings
from registry.serials import Cause
from registry.units import Species
from settlement.batch import BatchReport, Discharge, discharge
from settlement.cycle import Batch, Stage, seal_of
from settlement.netting import Positions
from settlement.statements import Line
from settlement.totals import check_report


def handle(step: Step, command: SettlementCommand) -> happened.SettlementEvent:
    match command:
        case FixObligations():
            batch = fix_obligations(step)
            return happened.ObligationsFixed(batch.number, batch.day, batch.mode, len(batch.trades))
        case DeliverBatch():
            batch = _paid(step.exchange)
            return happened.BatchDelivered(batch.number, deliver(step, batch))
        case IssueStatements():
            batch = _under_way(step.exchange, Stage.DELIVERED)
            return happened.StatementsIssued(batch.number, state(step, batch))
        case SettleDay():
            batch = fix_obligations(step)
            report = deliver(step, batch)
            return happened.DaySettled(batch.number, batch.day, report, state(step, batch))
        case ConfirmStatement():
            return confirm_statement(step, command)
        case ObjectToStatement():
            return object_to_statement(step, command)
        case AnswerObjection():
            return answer_objection(step, command)
        case _:
            assert_never(command)


def _under_way(exchange: Exchange, *stages: Stage) -> Batch:
    """The batch under way, which has come so far. Refused otherwise."""
    batch = exchange.clearing.under_way
    if batch is None:
        raise Refused(Reason.WRONG_STATE, "no batch is under way")
    require(batch.stage in stages, Reason.WRONG_STATE, f"batch {batch.number} is {batch.stage}")
    return batch


def _paid(exchange: Exchange) -> Batch:
    """The batch under way, which may be delivered: the bank has answered, or is late, if there is one.

    A batch of which pay-ins are missing is not delivered against nothing.
    """
    if not exchange.market.settlement.bank:
        return _under_way(exchange, Stage.FIXED)
    batch = _under_way(exchange, Stage.CONFIRMED, Stage.INSTRUCTED)
    is_answered = batch.stage == Stage.CONFIRMED or batch.is_late
    require(is_answered, Reason.WRONG_STATE, f"batch {batch.number} waits for the settlement bank")
    is_paid = confirmed(exchange, batch) is None
    require(is_paid, Reason.WRONG_STATE, f"the bank has not confirmed all that batch {batch.number} is to be paid with")
    return batch


def fix_obligations(step: Step) -> Batch:
    exchange, house = step.exchange, step.exchange.clearing
    require(exchange.phase == Phase.CLOSED, Reason.WRONG_PHASE, "settlement follows the close")
    if exchange.date is None:
        raise Refused(Reason.TOO_EARLY, "no trading day has been opened yet")
    under_way = house.under_way
    require(under_way is None, Reason.WRONG_STATE, f"batch {under_way and under_way.number} is under way")
    trades = copied(joined([np.zeros(0, TRADE), *house.returned, exchange.trades_today()]))
    is_first = not house.of_day(exchange.date)
    require(is_first or trades.size > 0, Reason.DAY_ALREADY_SETTLED, f"the day {exchange.date} is settled")

    mode = exchange.market.settlement.mode
    number = len(house.batches) + 1
    batch = Batch(number, exchange.date, mode, trades, seal_of(trades), {Stage.FIXED: step.now_ns})
    house.batches.append(batch)
    house.returned, exchange.unsettled_trades = [], []
    return batch


def deliver(step: Step, batch: Batch) -> BatchReport:
    """Units against cash, for all trades of a batch that can be settled; title follows in the same moment.

    What the mode nets changes hands in one sum, but the holdings of everybody are the same in every mode: what was
    reserved for the trades goes, and what was a claim becomes theirs.
    """
    exchange, desk = step.exchange, step.exchange.path.desk
    accounts, assets = desk.balances.shape
    house = int(desk.progress[0].house)
    made = discharge(batch.settled, exchange.terms, accounts - 1, assets - 1, house, batch.mode)
    assert (desk.balances["reserved"] >= made.positions.out).all(), "an obligation is not backed by a reservation"
    assert (desk.balances["unsettled"] >= made.positions.into).all(), "a claim was not booked when it arose"

    desk.balances["reserved"] -= made.positions.out
    desk.balances["unsettled"] -= made.positions.into
    _move_title(step, batch, made)
    _count_net_sales(exchange, batch, made.positions)
    batch.report = made.report
    batch.reached[Stage.DELIVERED] = step.now_ns
    return batch.report


def _move_title(step: Step, batch: Batch, made: Discharge) -> None:
    cause = Cause.NETTED if batch.mode.nets_units else Cause.TRADED
    for unit, (givers, takers, quantities, trades) in made.title_moves():
        references = np.full(trades.size, batch.number) if batch.mode.nets_units else trades
        step.exchange.serials.transfer_all(
            unit, givers, takers, quantities, references, step.sequence, step.now_ns, cause
        )


def _count_net_sales(exchange: Exchange, batch: Batch, sums: Positions) -> None:
    """Allowances sold less bought, by account and calendar year: what may be carried over depends on it."""
    allowances = [unit.number for unit in exchange.units if unit.species == Species.ALLOWANCE]
    net = -sums.net[:, allowances].sum(axis=1)
    sales = exchange.compliance.net_sales
    for account in np.flatnonzero(net).tolist():
        sold = sales.pop((account, batch.day.year), 0) + int(net[account])
        if sold:
            sales[account, batch.day.year] = sold


def state(step: Step, batch: Batch) -> int:
    """Draw the line under what has happened since the last statements; returns how many accounts get one."""
    exchange, house = step.exchange, step.exchange.clearing
    closing = holdings.settled(exchange.path.desk.balances)
    opening = np.zeros_like(closing)
    opening[: house.opening.shape[0], : house.opening.shape[1]] = house.opening
    earner = int(exchange.path.desk.progress[0].house)
    batch.line = Line(str(batch.day), batch.number, earner, batch.settled, house.entries, opening, closing)
    batch.line.check(exchange.terms)
    assert batch.report is not None
    check_report(batch.line, batch.report, exchange.terms)
    house.opening, house.entries = closing, []
    batch.reached[Stage.STATED] = step.now_ns
    return len(batch.line.concerned())
