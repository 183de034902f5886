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
from exchange.reasons import Reason, Refused
from exchange.rows import TRADE, joined
from exchange.sessions import Phase
from exchange.state import Exchange
from exchange.transition import failing
from exchange.transition.defaults import come_due
from exchange.transition.objections import answer_objection, confirm_statement, object_to_statement
from exchange.transition.step import Step, batch_under_way, date_of, require
from exchange.transition.treasury import convert_proceeds
from registry import holdings
from registry.serials import Cause
from registry.units import Species
from settlement.batch import BatchReport, Discharge, discharge
from settlement.cycle import Batch, Stage, seal_of, without
from settlement.netting import Positions
from settlement.statements import CASH, Line
from settlement.totals import check_report


def handle(step: Step, command: SettlementCommand) -> happened.SettlementEvent:
    match command:
        case FixObligations():
            batch, due = fix_obligations(step)
            return happened.ObligationsFixed(batch.number, batch.day, batch.mode, len(batch.trades), due)
        case DeliverBatch():
            batch = _answered(step.exchange)
            return happened.BatchDelivered(batch.number, *deliver(step, batch), convert_proceeds(step, batch))
        case IssueStatements():
            batch = batch_under_way(step.exchange, Stage.DELIVERED)
            return happened.StatementsIssued(batch.number, state(step, batch))
        case SettleDay():
            batch, due = fix_obligations(step)
            report, failures, provision = deliver(step, batch)
            legs = convert_proceeds(step, batch)
            stated = state(step, batch)
            return happened.DaySettled(batch.number, batch.day, report, stated, due, failures, provision, legs)
        case ConfirmStatement():
            return confirm_statement(step, command)
        case ObjectToStatement():
            return object_to_statement(step, command)
        case AnswerObjection():
            return answer_objection(step, command)
        case _:
            assert_never(command)


def _answered(exchange: Exchange) -> Batch:
    """The batch under way, which may be delivered: the bank has answered, or is late, if there is one.

    What it has not confirmed has not been paid: who was to pay it fails.
    """
    if not exchange.market.settlement.bank:
        return batch_under_way(exchange, Stage.FIXED)
    batch = batch_under_way(exchange, Stage.CONFIRMED, Stage.INSTRUCTED)
    is_answered = batch.stage == Stage.CONFIRMED or batch.is_late
    is_answered = is_answered and not failing.besides(exchange, batch)
    require(is_answered, Reason.WRONG_STATE, f"batch {batch.number} waits for the settlement bank")
    return batch


def fix_obligations(step: Step) -> tuple[Batch, dict[str, int]]:
    """The next batch, and the deals that became trades in it."""
    exchange, house = step.exchange, step.exchange.clearing
    require(exchange.phase == Phase.CLOSED, Reason.WRONG_PHASE, "settlement follows the close")
    today = date_of(exchange)
    under_way = house.under_way
    if under_way is not None:
        detail = f"batch {under_way.number} is under way ({under_way.stage}): it is delivered and stated first"
        raise Refused(Reason.WRONG_STATE, detail)
    returned, due = joined([np.zeros(0, TRADE), *house.returned]), house.deals_due(today)
    waiting = returned.size + exchange.trades_today().size + len(due)
    is_first = not house.of_day(today)
    require(is_first or waiting > 0, Reason.DAY_ALREADY_SETTLED, f"the day {today} is settled")

    later = come_due(step)
    step.trades.append(later)
    trades = joined([returned, exchange.trades_today(), later])
    if returned.size:
        trades = trades[np.argsort(trades["trade_id"], kind="stable")]
    trades.flags.writeable = False
    unbacked = frozenset([*returned["trade_id"].tolist(), *later["trade_id"].tolist()])
    mode = exchange.market.settlement.mode
    number = len(house.batches) + 1
    batch = Batch(number, today, mode, trades, seal_of(trades), {Stage.FIXED: step.now_ns}, unbacked)
    house.batches.append(batch)
    house.returned, exchange.unsettled_trades = [], []
    return batch, {deal.deal_id: house.deals[deal.deal_id].trade_id for deal in due}


def deliver(step: Step, batch: Batch) -> tuple[BatchReport, list[happened.FailureNotified], int]:
    """Units against cash, for all trades of a batch that can be settled; title follows in the same moment.

    What the mode nets changes hands in one sum, but the holdings of everybody are the same in every mode: what was
    reserved for the trades goes, and what was a claim becomes theirs. Returns the report, who failed, and what of the
    fees went to the risk reserve.
    """
    exchange = step.exchange
    due, verdict = failing.judge(exchange, batch)
    failing.take_out(step, batch, due, verdict)
    desk = exchange.path.desk
    accounts, assets = desk.balances.shape
    made = discharge(batch.settled, exchange.terms, accounts - 1, assets - 1, exchange.house, batch.mode)
    backed = exchange.positions(without(batch.settled, batch.unbacked)) if batch.unbacked else made.positions
    assert (desk.balances["reserved"] >= backed.out).all(), "an obligation is not backed by a reservation"
    assert (desk.balances["unsettled"] >= backed.into).all(), "a claim was not booked when it arose"

    desk.balances["reserved"] -= backed.out
    desk.balances["unsettled"] -= backed.into
    failing.hand_over(step, batch, due, verdict)
    _move_title(step, batch, made)
    _count_net_sales(exchange, batch, made.positions)
    batch.report = made.report
    batch.reached[Stage.DELIVERED] = step.now_ns
    exchange.clearing.forget_answered()
    failures = failing.notify(step, batch, due, verdict)
    failing.secure(step, batch)
    provision = failing.provide(step, made.report.fees.get(CASH, 0))
    if exchange.clearing.defaults.cases:
        failing.lift_restrictions(step)
    return batch.report, failures, provision


def _move_title(step: Step, batch: Batch, made: Discharge) -> None:
    """Trade by trade in the order of trading, those first that are backed; or from net deliverers to net receivers."""
    for unit, moves in made.title_moves():
        givers, takers, quantities, references = moves
        if batch.mode.nets_units:
            references = np.full(references.size, batch.number)
        elif batch.unbacked:
            order = np.argsort(np.isin(moves.trades, sorted(batch.unbacked)), kind="stable")
            givers, takers, quantities, references = (column[order] for column in moves)
        cause = Cause.NETTED if batch.mode.nets_units else Cause.TRADED
        step.exchange.serials.transfer_all(
            unit, givers, takers, quantities, references, step.sequence, step.now_ns, cause
        )


def _count_net_sales(exchange: Exchange, batch: Batch, sums: Positions) -> None:
    """Allowances sold less bought, by account and calendar year: what may be carried over depends on it."""
    allowances = [unit.number for unit in exchange.units if unit.species == Species.ALLOWANCE]
    net = -sums.net[:, allowances].sum(axis=1)
    for account in np.flatnonzero(net).tolist():
        exchange.compliance.count_sale(account, batch.day.year, int(net[account]))


def state(step: Step, batch: Batch) -> int:
    """Draw the line under what has happened since the last statements; returns how many accounts get one."""
    exchange, house = step.exchange, step.exchange.clearing
    closing = holdings.settled(exchange.path.desk.balances)
    opening = np.zeros_like(closing)
    opening[: house.opening.shape[0], : house.opening.shape[1]] = house.opening
    batch.line = Line(str(batch.day), batch.number, exchange.house, batch.settled, house.entries, opening, closing)
    batch.line.check(exchange.terms)
    assert batch.report is not None
    check_report(batch.line, batch.report, exchange.terms)
    batch.stated, batch.stated_by = batch.line.seal(), step.sequence
    house.opening, house.entries = closing, []
    batch.reached[Stage.STATED] = step.now_ns
    return len(batch.line.concerned())
