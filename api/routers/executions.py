"""What an account has traded, and the life of an order event by event."""

from fastapi import APIRouter

from api import executions as views
from api.gateway import TheGateway
from api.order_entry import owner_of
from api.paging import ThePage
from api.problems import RESPONSES
from api.schemas import AccountFill, Execution, Identifier

router = APIRouter(prefix="/v1", tags=["orders"], responses=RESPONSES)


@router.get("/fills")
async def fills(
    account_id: Identifier, gateway: TheGateway, page: ThePage, symbol: Identifier | None = None
) -> list[AccountFill]:
    """An account's trades of the book as they stand, oldest first; or those of an instrument."""
    found = views.sides_of(gateway, gateway.account(account_id))
    if symbol is not None:
        number = gateway.instrument(symbol).number
        found = (one for one in found if one.trade.instrument == number)
    shown = page.of(found, lambda one: (int(one.trade.trade_id), one.side))
    return [views.account_fill(gateway, one) for one in shown]


@router.get("/orders/{order_id}/history", summary="Life of an order")
async def order_history(order_id: int, account_id: Identifier, gateway: TheGateway, page: ThePage) -> list[Execution]:
    """What has happened to an order, event by event, in the words of FIX execution reports.

    A trade that was put right later has a further event, `trade_correct` or `trade_cancel`.
    """
    owner_of(gateway, order_id, account_id)
    return page.of(views.executions(gateway, order_id), lambda one: one.exec_id)
