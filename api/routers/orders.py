"""Orders: place, amend, cancel, ask. The journey of an order starts and ends here."""

from typing import Any

import msgspec
from fastapi import APIRouter, Response

from api import order_batches, order_entry
from api.access import TheAccess, TheCaller
from api.gateway import TheGateway
from api.order_views import order_after, order_view
from api.paging import ThePage
from api.problems import RESPONSES
from api.schemas import Amendment, CancelledOrders, Identifier, NewBatch, NewOrder, OrderBatchView, OrderView, SideName
from matching.ladder import is_resting

router = APIRouter(prefix="/v1/orders", tags=["orders"], responses=RESPONSES)


REPEATED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": OrderView,
        "description": "The order came before under its client_order_id, and is shown as it is now",
    }
}


@router.post("", status_code=201, responses=REPEATED)
async def place(
    order: NewOrder, gateway: TheGateway, response: Response, access: TheAccess, caller: TheCaller
) -> OrderView:
    """Place an order.

    A `client_order_id` makes the request safe to repeat: the same order again, also after a crash, gets
    the first one's answer with status 200 and the header `Idempotent-Replayed: true`.
    """
    command = order_entry.placing(gateway, access, caller, order)
    answer = order_entry.granted(await gateway.inbox.offer(command))
    if answer.repeated:
        response.status_code = 200
        response.headers["Idempotent-Replayed"] = "true"
    return order_after(gateway, answer.rows)


@router.post("/batch", response_model=OrderBatchView)
async def place_batch(batch: NewBatch, gateway: TheGateway, access: TheAccess, caller: TheCaller) -> Response:
    """Place up to 1,000 orders of an account at once, in one durable write.

    The answer has a line for each order, placed or refused; its status is 200 unless the request itself can't be
    taken. `rollback` cancels what rests of a batch's orders when one of them is refused; what they have traded by
    then stands, as it does for the other side, and is named. Orders with a `client_order_id` are safe to send again.
    """
    outcomes = await order_batches.place_batch(gateway, access, caller, batch)
    return Response(msgspec.json.encode(outcomes), media_type="application/json")


@router.patch("/{order_id:number}")
async def amend(
    order_id: int, amendment: Amendment, gateway: TheGateway, access: TheAccess, caller: TheCaller
) -> OrderView:
    """Give an order another quantity or price.

    Less quantity at the same price keeps its place in the queue; otherwise it goes to the back and may trade
    at once: `priority` says which. The answer is the order as the amend left it.
    """
    command = order_entry.amending(gateway, access, caller, order_id, amendment)
    answer = order_entry.granted(await gateway.inbox.offer(command))
    return order_view(gateway, order_id, until=answer.sequence)


@router.delete("")
async def cancel_all(
    account_id: Identifier, gateway: TheGateway, symbol: Identifier | None = None, side: SideName | None = None
) -> CancelledOrders:
    """Cancel all orders of an account, those that wait for a stop price too; or those of an instrument or side."""
    command = order_entry.cancelling_all(gateway, account_id, symbol, side)
    return order_entry.cancelled_by(order_entry.granted(await gateway.inbox.offer(command)))


@router.delete("/{order_id:number}")
async def cancel(order_id: int, account_id: Identifier, gateway: TheGateway) -> OrderView:
    """Take an order out of the book. What it had reserved is available again with the answer."""
    command = order_entry.cancelling(gateway, account_id, order_id)
    order_entry.granted(await gateway.inbox.offer(command))
    return order_view(gateway, order_id)


@router.get("/{order_id:number}")
async def show(order_id: int, account_id: Identifier, gateway: TheGateway) -> OrderView:
    """One order of an account, whatever has become of it."""
    order_entry.owner_of(gateway, order_id, account_id)
    return order_view(gateway, order_id)


@router.get("")
async def list_orders(
    account_id: Identifier,
    gateway: TheGateway,
    page: ThePage,
    client_order_id: Identifier | None = None,
    open_only: bool = False,
) -> list[OrderView]:
    """An account's orders, oldest first; `open_only`: those that rest, or wait for their stop price."""
    account, history = gateway.account(account_id).number, gateway.history
    found = history.orders_of(account) if client_order_id is None else history.orders_named(account, client_order_id)
    ladder = gateway.exchange.path.desk.ladder
    shown = (one for one in found if not open_only or is_resting(ladder, one))
    return [order_view(gateway, one) for one in page.of(shown, lambda order_id: order_id)]
