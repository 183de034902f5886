"""From deals, failure cases and the risk reserve to what goes over the wire. Reads only."""

from api import schemas
from api.gateway import Gateway
from api.problems import Problem
from api.timers import iso
from api.views import amount
from exchange.instruments import fen, money
from exchange.reasons import Reason, Refused
from exchange.transition.step import RESERVE
from registry.holdings import withdrawable
from settlement.deals import Deal
from settlement.default import Case, Claim, Compensation
from settlement.rules import ReserveRules


def deal_view(gateway: Gateway, deal: Deal) -> schemas.DealView:
    exchange = gateway.exchange
    listed = exchange.instruments[deal.instrument]
    return schemas.DealView(
        deal_id=deal.deal_id,
        seller=exchange.accounts[deal.seller].account_id,
        buyer=exchange.accounts[deal.buyer].account_id,
        symbol=listed.symbol,
        quantity=deal.quantity,
        price=listed.price(deal.price_ticks),
        due=deal.due,
        method=deal.method,
        state=deal.state,
        trade_id=deal.trade_id or None,
    )


def case_numbered(gateway: Gateway, number: int) -> Case:
    """A failure case by its number. Refused if there is none."""
    case = gateway.exchange.clearing.defaults.case(number)
    if case is None:
        raise Refused(Reason.UNKNOWN_CASE, f"There is no failure case {number}.")
    return case


def case_view(gateway: Gateway, case: Case) -> schemas.CaseView:
    exchange = gateway.exchange
    zone, called = exchange.market.timezone, exchange.asset_names
    claims = [claim for claim in exchange.clearing.defaults.claims if claim.case == case.number]
    return schemas.CaseView(
        number=case.number,
        account_id=exchange.accounts[case.account].account_id,
        batch=case.batch,
        state=case.state,
        notified_at=iso(case.notified_ns, zone),
        deadline=iso(case.deadline_ns, zone),
        overdue=case.is_open and gateway.clock.now_ns() > case.deadline_ns,
        ended_at=iso(case.ended_ns, zone) if case.ended_ns else None,
        lacked={called[asset]: amount(exchange, asset, lacked) for asset, lacked in case.lacked.items()},
        trades=case.trades,
        closed_out=[_compensation_view(gateway, case, one) for one in case.closed_out],
        owed=money(sum(claim.left for claim in claims)),
        claims=[_claim_view(gateway, claim) for claim in claims],
        security=[
            schemas.SecurityView(unit=called[unit], quantity=tonnes)
            for unit, tonnes in sorted(exchange.clearing.defaults.secured(case.number).items())
        ],
    )


def _compensation_view(gateway: Gateway, case: Case, one: Compensation) -> schemas.CompensationView:
    exchange = gateway.exchange
    batch = exchange.clearing.batch(case.batch)
    row = None if batch is None else batch.trade(one.trade)
    assert row is not None, f"trade {one.trade} is closed out and was in no batch"
    return schemas.CompensationView(
        trade_id=one.trade,
        account_id=exchange.accounts[one.account].account_id,
        close=exchange.instruments[int(row["instrument"])].price(one.close_ticks),
        currency=exchange.asset_names[one.asset],
        amount=money(one.amount),
        unpaid=money(one.unpaid),
    )


def _claim_view(gateway: Gateway, claim: Claim) -> schemas.ClaimView:
    return schemas.ClaimView(
        creditor=gateway.exchange.accounts[claim.creditor].account_id,
        amount=money(claim.amount),
        repaid=money(claim.repaid),
        written_off=money(claim.written_off),
        left=money(claim.left),
    )


def rule_of_reserve(gateway: Gateway) -> ReserveRules:
    """What the rule set says of the risk reserve. Problem 404 if it has none."""
    market = gateway.exchange.market
    if market.settlement.reserve is None:
        raise Problem(
            404, "no_reserve", f"The rule set {market.name} has no risk reserve: none to ask, fund or draw on."
        )
    return market.settlement.reserve


def reserve_view(gateway: Gateway) -> schemas.ReserveView:
    """The risk reserve. Problem 404 if the rule set has none."""
    exchange, rules = gateway.exchange, rule_of_reserve(gateway)
    account = exchange.accounts.by_id[RESERVE]
    balances = exchange.path.desk.balances[account.number]
    return schemas.ReserveView(
        account_id=account.account_id,
        cash={code: money(withdrawable(balances[asset])) for code, asset in exchange.currencies.items()},
        target=money(fen(rules.target)),
        share=rules.share,
        house_funds_max=money(fen(rules.house_funds_max)),
        owed=money(sum(claim.left for claim in exchange.clearing.defaults.claims)),
    )
