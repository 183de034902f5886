"""Orders: place, cancel, ask. The journey of an order starts and ends here."""

from fastapi import APIRouter, Response

from api import views
from api.gateway import Gateway, TheGateway
from api.inbox import Answer
from api.problems import RESPONSES, Problem
from api.schemas import Identifier, NewOrder, OrderView
from exchange.commands import cancel_order, place_order
from exchange.reasons import Reason
from exchange.rows import EventKind
from matching.ladder import is_resting
from matching.orders import Side, TimeInForce

router = APIRouter(prefix="/v1/orders", tags=["orders"], responses=RESPONSES)


@router.post("", status_code=201)
async def place(order: NewOrder, gateway: TheGateway, response: Response) -> OrderView:
    """Place a limit order.

    A `client_order_id` makes the request safe to repeat: the same order again, also after a crash, gets
    the first one's answer with status 200 and the header `Idempotent-Replayed: true`.
    """
    command = place_order(
        account=gateway.account(order.account_id).number,
        instrument=(listed := gateway.instrument(order.symbol)).number,
        side=Side[order.side.upper()],
        price_ticks=listed.ticks(order.price),
        quantity=order.quantity,
        time_in_force=TimeInForce[order.time_in_force],
        client_order_id=order.client_order_id or "",
    )
    answer = _granted(await gateway.inbox.offer(command))
    if answer.repeated:
        response.status_code = 200
        response.headers["Idempotent-Replayed"] = "true"
    return views.order_after(gateway, answer.rows)


@router.delete("/{order_id}")
async def cancel(order_id: int, account_id: Identifier, gateway: TheGateway) -> OrderView:
    """Take an order out of the book. What it had reserved is available again with the answer."""
    account = gateway.account(account_id)
    _possible(order_id)
    _granted(await gateway.inbox.offer(cancel_order(account.number, order_id)))
    return views.order_view(gateway, order_id)


@router.get("/{order_id}")
async def show(order_id: int, account_id: Identifier, gateway: TheGateway) -> OrderView:
    """One order of an account, resting or not."""
    _known(gateway, order_id, account_id)
    return views.order_view(gateway, order_id)


@router.get("")
async def list_orders(
    account_id: Identifier, gateway: TheGateway, client_order_id: Identifier | None = None, open_only: bool = False
) -> list[OrderView]:
    """An account's orders, oldest first."""
    found = gateway.history.orders_of(gateway.account(account_id).number)
    if client_order_id is not None:
        found = [one for one in found if gateway.history.client_order_ids.get(one) == client_order_id]
    if open_only:
        found = [one for one in found if is_resting(gateway.exchange.path.desk.ladder, one)]
    return [views.order_view(gateway, one) for one in found]


def _granted(answer: Answer) -> Answer:
    """The answer of an order command, unless it is a refusal."""
    first = answer.rows[0]
    if first.kind in (EventKind.REFUSED, EventKind.CANCEL_REFUSED):
        raise Problem.of_reason(Reason(int(first.reason)))
    return answer


def _possible(order_id: int) -> None:
    """An id that no row can hold is no order's."""
    if not 0 < order_id < 2**63:
        raise Problem.of_reason(Reason.UNKNOWN_ORDER)


def _known(gateway: Gateway, order_id: int, account_id: str) -> None:
    """Another account's order is as unknown as one that never was."""
    account = gateway.account(account_id)
    _possible(order_id)
    events = gateway.history.events_of_order(order_id)
    if not events.size or events[0].account != account.number:
        raise Problem.of_reason(Reason.UNKNOWN_ORDER)
