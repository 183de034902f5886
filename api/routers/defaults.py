"""Deals with a later leg, failures and who covers them, the risk reserve (settlement rules, art. 15 and 20)."""

from fastapi import APIRouter

from api import defaults_views as views
from api.gateway import Gateway, TheGateway
from api.paging import ThePage
from api.problems import RESPONSES
from api.schemas import (
    AskedBy,
    CaseView,
    DealView,
    Identifier,
    NewCancellation,
    NewDeal,
    NewDraw,
    NewFunding,
    NewRepayment,
    NewSecuritySale,
    NewWriteOff,
    ReserveView,
)
from api.verbs import Number
from exchange.commands import (
    AgreeDelivery,
    CancelDelivery,
    CloseOutFailure,
    CoverFailure,
    CureFailure,
    DisposeSecurity,
    DrawReserve,
    FundReserve,
    PayRecourse,
    WriteOffRecourse,
)
from exchange.instruments import fen, ticks_of

router = APIRouter(prefix="/v1", tags=["failures"], responses=RESPONSES)


# ---------------------------------------------------------------- deals


@router.get("/settlement/deals")
async def deals(gateway: TheGateway, page: ThePage) -> list[DealView]:
    """All deals with a later leg, in the order in which they were agreed."""
    return [views.deal_view(gateway, deal) for deal in page.of_growing(gateway.exchange.clearing.deals.values())]


@router.post("/settlement/deals", status_code=201)
async def agree_delivery(new: NewDeal, gateway: TheGateway) -> DealView:
    """Register a deal that both parties have filed. It becomes a trade in the first batch on or after its day."""
    price = ticks_of(new.price, gateway.exchange.market.tick_size)
    terms = (new.by, new.deal_id, new.seller, new.buyer, new.symbol, new.quantity, price, new.due, new.method)
    await gateway.inbox.ask(AgreeDelivery(*terms))
    return views.deal_view(gateway, gateway.exchange.clearing.deals[new.deal_id])


@router.post("/settlement/deals/{deal_id}/cancellation", status_code=201)
async def cancel_delivery(deal_id: Identifier, asked: NewCancellation, gateway: TheGateway) -> DealView:
    """Drop a deal that is not due yet, as both parties have filed."""
    await gateway.inbox.ask(CancelDelivery(asked.by, deal_id, asked.reason))
    return views.deal_view(gateway, gateway.exchange.clearing.deals[deal_id])


# ---------------------------------------------------------------- failures


@router.get("/settlement/cases")
async def cases(gateway: TheGateway, page: ThePage, account_id: Identifier | None = None) -> list[CaseView]:
    """All failures in settlement, or an account's, oldest first."""
    defaults = gateway.exchange.clearing.defaults
    found = defaults.cases if account_id is None else defaults.of(gateway.account(account_id).number)
    return [views.case_view(gateway, one) for one in page.of_growing(found)]


@router.get("/settlement/cases/{case}")
async def case(case: Number, gateway: TheGateway) -> CaseView:
    """A failure: what was lacking, until when it may be cured, who paid for it and what is still owed."""
    return views.case_view(gateway, views.case_numbered(gateway, case))


@router.post("/settlement/cases/{case}/cure", status_code=201)
async def cure_failure(case: Number, asked: AskedBy, gateway: TheGateway) -> CaseView:
    """Within the deadline: the account has what it lacked, and its trades come again in the next batch.

    Asked by the account itself, or by who may clear.
    """
    await gateway.inbox.ask(CureFailure(asked.by, case))
    return _case(gateway, case)


@router.post("/settlement/cases/{case}/cover", status_code=201)
async def cover_failure(case: Number, asked: AskedBy, gateway: TheGateway) -> CaseView:
    """After the deadline: the reserve, then the house pay or deliver what is lacking; all of it or nothing."""
    await gateway.inbox.ask(CoverFailure(asked.by, case))
    return _case(gateway, case)


@router.post("/settlement/cases/{case}/close-out", status_code=201)
async def close_out_failure(case: Number, asked: AskedBy, gateway: TheGateway) -> CaseView:
    """After the deadline, in place of a cover: all trades that wait for the case are dropped, never to be settled.

    Who did not fail gets what the price has moved against it, as far as the reserve and the house reach.
    """
    await gateway.inbox.ask(CloseOutFailure(asked.by, case))
    return _case(gateway, case)


@router.post("/settlement/cases/{case}/security-sale", status_code=201)
async def dispose_security(case: Number, new: NewSecuritySale, gateway: TheGateway) -> CaseView:
    """Sell the units held for a case at the last closing price, against the claim: to the house, or to who has agreed.

    `insufficient_cash` if the buyer has too little: name one who has it. `no_rate` where the price is in a currency for
    which nobody has set a rate: set one.
    """
    await gateway.inbox.ask(DisposeSecurity(new.by, case, new.buyer or ""))
    return _case(gateway, case)


@router.post("/accounts/{account_id}/recourse", status_code=201)
async def pay_recourse(account_id: Identifier, new: NewRepayment, gateway: TheGateway) -> list[CaseView]:
    """Pay back what others paid; the oldest claims first. Answers with the account's cases."""
    await gateway.inbox.ask(PayRecourse(account_id, fen(new.amount)))
    return _cases_of(gateway, account_id)


@router.post("/accounts/{account_id}/recourse/write-off", status_code=201)
async def write_off_recourse(account_id: Identifier, new: NewWriteOff, gateway: TheGateway) -> list[CaseView]:
    """Give up part of what an account owes; the oldest claims first. Answers with the account's cases."""
    await gateway.inbox.ask(WriteOffRecourse(new.by, account_id, fen(new.amount), new.note))
    return _cases_of(gateway, account_id)


def _cases_of(gateway: Gateway, account_id: str) -> list[CaseView]:
    found = gateway.exchange.clearing.defaults.of(gateway.account(account_id).number)
    return [views.case_view(gateway, one) for one in found]


def _case(gateway: Gateway, number: int) -> CaseView:
    return views.case_view(gateway, views.case_numbered(gateway, number))


# ---------------------------------------------------------------- the reserve


@router.get("/settlement/reserve")
async def reserve(gateway: TheGateway) -> ReserveView:
    """The risk reserve: what it holds, its rule, and what is owed to it."""
    return views.reserve_view(gateway)


@router.post("/settlement/reserve/funding", status_code=201)
async def fund_reserve(new: NewFunding, gateway: TheGateway) -> ReserveView:
    """Move cash of the house to the risk reserve."""
    views.rule_of_reserve(gateway)
    await gateway.inbox.ask(FundReserve(new.by, fen(new.amount)))
    return views.reserve_view(gateway)


@router.post("/settlement/reserve/draw", status_code=201)
async def draw_reserve(new: NewDraw, gateway: TheGateway) -> ReserveView:
    """Pay from the risk reserve to an account."""
    views.rule_of_reserve(gateway)
    await gateway.inbox.ask(DrawReserve(new.by, fen(new.amount), new.cause, new.account_id, new.note))
    return views.reserve_view(gateway)
