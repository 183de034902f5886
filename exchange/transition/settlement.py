"""The clearing house at work: a day's settlement, step by step (:mod:`settlement.cycle`)."""

from typing import assert_never

import numpy as np

from exchange import events as happened
from exchange.commands import DeliverBatch, FixObligations, IssueStatements, SettleDay, SettlementCommand
from exchange.reasons import Reason, Refused
from exchange.rows import TRADE, copied, joined
from exchange.sessions import Phase
from exchange.state import Exchange
from exchange.transition import failing
from exchange.transition.defaults import come_due
from exchange.transition.step import Step, house_of, require
from registry import holdings
from registry.units import Species
from settlement import batch as settlement_batch
from settlement.batch import SettlementReport
from settlement.clearing import Mode, Obligations, obligations
from settlement.cycle import Batch, Stage, only, seal_of, without
from settlement.statements import Line


def handle(step: Step, command: SettlementCommand) -> happened.SettlementEvent:
    match command:
        case FixObligations():
            batch, due = fix_obligations(step)
            return happened.ObligationsFixed(batch.number, batch.day, batch.mode, len(batch.trades), due)
        case DeliverBatch():
            batch = _under_way(step.exchange, Stage.FIXED)
            return happened.BatchDelivered(batch.number, *deliver(step, batch))
        case IssueStatements():
            batch = _under_way(step.exchange, Stage.DELIVERED)
            return happened.StatementsIssued(batch.number, state(step, batch))
        case SettleDay():
            batch, due = fix_obligations(step)
            report, failures, provision = deliver(step, batch)
            return happened.DaySettled(batch.number, report, state(step, batch), due, failures, provision)
        case _:
            assert_never(command)


def _under_way(exchange: Exchange, *stages: Stage) -> Batch:
    """The batch under way, which has come so far. Refused otherwise."""
    batch = exchange.clearing.under_way
    if batch is None:
        raise Refused(Reason.WRONG_STATE, "no batch is under way")
    require(batch.stage in stages, Reason.WRONG_STATE, f"batch {batch.number} is {batch.stage}")
    return batch


def fix_obligations(step: Step) -> tuple[Batch, dict[str, int]]:
    """The next batch, and the deals that became trades in it."""
    exchange, house = step.exchange, step.exchange.clearing
    require(exchange.phase == Phase.CLOSED, Reason.WRONG_PHASE, "settlement follows the close")
    if exchange.date is None:
        raise Refused(Reason.TOO_EARLY, "no trading day has been opened yet")
    under_way = house.under_way
    require(under_way is None, Reason.WRONG_STATE, f"batch {under_way and under_way.number} is under way")
    returned, due = joined([np.zeros(0, TRADE), *house.returned]), house.deals_due(exchange.date)
    waiting = returned.size + exchange.trades_today().size + len(due)
    is_first = not house.of_day(exchange.date)
    require(is_first or waiting > 0, Reason.DAY_ALREADY_SETTLED, f"the day {exchange.date} is settled")

    later = come_due(step)
    step.trades.append(later)
    rows = joined([returned, exchange.trades_today(), later])
    trades = copied(rows[np.argsort(rows["trade_id"], kind="stable")] if returned.size else rows)
    unbacked = frozenset([*returned["trade_id"].tolist(), *later["trade_id"].tolist()])
    mode = exchange.market.settlement.mode
    number = len(house.batches) + 1
    batch = Batch(number, exchange.date, mode, trades, seal_of(trades), {Stage.FIXED: step.now_ns}, unbacked)
    house.batches.append(batch)
    house.returned, exchange.unsettled_trades = [], []
    return batch, {deal.deal_id: house.deals[deal.deal_id].trade_id for deal in due}


def deliver(step: Step, batch: Batch) -> tuple[SettlementReport, list[happened.FailureNotified], int]:
    """Units against cash, for all trades of a batch that can be settled; title follows in the same moment.

    Returns the report, who failed, and what of the fees went to the risk reserve.
    """
    exchange = step.exchange
    house, earner = exchange.clearing, house_of(exchange).number
    due, verdict = failing.judge(exchange, batch)
    failing.take_out(step, batch, due, verdict)
    desk = exchange.path.desk
    backed = obligations(without(batch.settled, batch.unbacked), exchange.terms)
    moves = settlement_batch.movements(backed, desk.balances.shape, earner)
    assert (desk.balances["reserved"] >= moves.delivered).all(), "an obligation is not backed by a reservation"
    assert (desk.balances["unsettled"] >= moves.received).all(), "a claim was not booked when it arose"

    desk.balances["reserved"] -= moves.delivered
    desk.balances["unsettled"] -= moves.received
    failing.hand_over(step, batch, due, verdict)
    _move_title(step, batch)
    owed = obligations(batch.settled, exchange.terms)
    _count_net_sales(exchange, batch, owed)
    batch.report = settlement_batch.report(str(batch.day), owed)
    batch.reached[Stage.DELIVERED] = step.now_ns
    failures = failing.notify(step, batch, due, verdict)
    failing.secure(step, batch)
    provision = failing.provide(step, owed.fees)
    if house.defaults.cases:
        failing.lift_restrictions(step)
    return batch.report, failures, provision


def _move_title(step: Step, batch: Batch) -> None:
    """Trade by trade, those first that are backed; or by the net of all trades of a unit."""
    exchange = step.exchange

    def title(unit: int, seller: int, buyer: int, quantity: int, trade_id: int) -> None:
        exchange.serials.transfer(unit, seller, buyer, quantity, step.sequence, step.now_ns, reference=trade_id)

    settled = batch.settled
    if batch.mode == Mode.NET_NET:
        settlement_batch.move_net_title(obligations(settled, exchange.terms), 0, title)
        return
    for rows in (without(settled, batch.unbacked), only(settled, batch.unbacked)):
        settlement_batch.move_title(obligations(rows, exchange.terms), rows["trade_id"], title)


def _count_net_sales(exchange: Exchange, batch: Batch, owed: Obligations) -> None:
    """Allowances sold less bought, by account and calendar year: what may be carried over depends on it."""
    is_allowance = np.array([False, *(unit.species == Species.ALLOWANCE for unit in exchange.units)])[owed.unit]
    net = np.zeros(len(exchange.accounts) + 1, np.int64)
    np.add.at(net, owed.seller[is_allowance], owed.quantity[is_allowance])
    np.subtract.at(net, owed.buyer[is_allowance], owed.quantity[is_allowance])
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
    house.opening, house.entries = closing, []
    batch.reached[Stage.STATED] = step.now_ns
    return len(batch.line.concerned())
