"""Orders: place, amend, cancel, ask. The journey of an order starts and ends here."""

from fastapi import APIRouter, Response

from api.access import TheAccess, TheCaller
from api.gateway import Gateway, TheGateway
from api.inbox import Answer
from api.order_limits import require_alive, require_within
from api.order_views import order_after, order_view
from api.problems import RESPONSES, Problem
from api.schemas import Amendment, CancelledOrders, Identifier, NewOrder, OrderView, SideName
from exchange.commands import amend_order, cancel_order, cancel_orders, place_order
from exchange.instruments import Instrument
from exchange.reasons import Reason, Refused
from exchange.rows import EventKind
from matching.ladder import is_resting
from matching.orders import EITHER_SIDE, OrderType, SelfTradePrevention, Side, TimeInForce
from registry.accounts import Account

router = APIRouter(prefix="/v1/orders", tags=["orders"], responses=RESPONSES)

_STOP_MAX_TICKS = 2**31 - 1  # that a row can hold


@router.post("", status_code=201)
async def place(
    order: NewOrder, gateway: TheGateway, response: Response, access: TheAccess, caller: TheCaller
) -> OrderView:
    """Place an order.

    A `client_order_id` makes the request safe to repeat: the same order again, also after a crash, gets
    the first one's answer with status 200 and the header `Idempotent-Replayed: true`.
    """
    account, listed = gateway.account(order.account_id), gateway.instrument(order.symbol)
    order_type, mode = OrderType[order.type.upper()], order.self_trade_prevention or "by_rules"
    require_alive(access, account)
    price_ticks = _ticks(listed, order.price)
    require_within(caller, gateway, account, listed, price_ticks, order.quantity, opens=True)
    command = place_order(
        account=account.number,
        instrument=listed.number,
        side=Side[order.side.upper()],
        price_ticks=price_ticks,
        quantity=order.quantity,
        time_in_force=TimeInForce[order.time_in_force or ("IOC" if order_type == OrderType.MARKET else "DAY")],
        client_order_id=order.client_order_id or "",
        order_type=order_type,
        stop_ticks=_stop_ticks(listed, order.stop_price),
        display_quantity=order.display_quantity or 0,
        last_day=order.expire_date,
        post_only=order.post_only,
        self_trade=SelfTradePrevention[mode.upper()],
    )
    answer = _granted(await gateway.inbox.offer(command))
    if answer.repeated:
        response.status_code = 200
        response.headers["Idempotent-Replayed"] = "true"
    return order_after(gateway, answer.rows)


@router.patch("/{order_id}")
async def amend(
    order_id: int, amendment: Amendment, gateway: TheGateway, access: TheAccess, caller: TheCaller
) -> OrderView:
    """Give an order another quantity or price.

    Less quantity at the same price keeps its place in the queue; otherwise it goes to the back and may trade
    at once: `priority` says which. The answer is the order as the amend left it.
    """
    account = _owner(gateway, order_id, amendment.account_id)
    require_alive(access, account)
    present = order_view(gateway, order_id)
    listed = gateway.instrument(present.symbol)
    price_ticks = _ticks(listed, amendment.price)
    limit = price_ticks or _ticks(listed, present.price)
    require_within(caller, gateway, account, listed, limit, amendment.quantity, opens=False)
    command = amend_order(
        account=account.number,
        order_id=order_id,
        price_ticks=price_ticks,
        leaves=amendment.quantity,
        stop_ticks=_stop_ticks(listed, amendment.stop_price),
    )
    answer = _granted(await gateway.inbox.offer(command))
    return order_view(gateway, order_id, until=answer.sequence)


@router.delete("")
async def cancel_all(
    account_id: Identifier, gateway: TheGateway, symbol: Identifier | None = None, side: SideName | None = None
) -> CancelledOrders:
    """Cancel all orders of an account, those that wait for a stop price too; or those of an instrument or side."""
    command = cancel_orders(
        account=gateway.account(account_id).number,
        instrument=gateway.instrument(symbol).number if symbol else 0,
        side=Side[side.upper()] if side else EITHER_SIDE,
    )
    events = _granted(await gateway.inbox.offer(command)).rows
    order_ids = events["order_id"][events["kind"] == EventKind.CANCELLED].tolist()
    return CancelledOrders(count=len(order_ids), order_ids=order_ids)


@router.delete("/{order_id}")
async def cancel(order_id: int, account_id: Identifier, gateway: TheGateway) -> OrderView:
    """Take an order out of the book. What it had reserved is available again with the answer."""
    account = gateway.account(account_id)
    _possible(order_id)
    _granted(await gateway.inbox.offer(cancel_order(account.number, order_id)))
    return order_view(gateway, order_id)


@router.get("/{order_id}")
async def show(order_id: int, account_id: Identifier, gateway: TheGateway) -> OrderView:
    """One order of an account, whatever has become of it."""
    _owner(gateway, order_id, account_id)
    return order_view(gateway, order_id)


@router.get("")
async def list_orders(
    account_id: Identifier, gateway: TheGateway, client_order_id: Identifier | None = None, open_only: bool = False
) -> list[OrderView]:
    """An account's orders, oldest first; `open_only`: those that rest, or wait for their stop price."""
    found = gateway.history.orders_of(gateway.account(account_id).number)
    if client_order_id is not None:
        found = [one for one in found if gateway.history.client_order_ids.get(one) == client_order_id]
    if open_only:
        found = [one for one in found if is_resting(gateway.exchange.path.desk.ladder, one)]
    return [order_view(gateway, one) for one in found]


def _granted(answer: Answer) -> Answer:
    """The answer of an order command, unless it is a refusal."""
    first = answer.rows[0]
    if first.kind in (EventKind.REFUSED, EventKind.CANCEL_REFUSED, EventKind.AMEND_REFUSED):
        raise Problem.of_reason(Reason(int(first.reason)))
    return answer


def _possible(order_id: int) -> None:
    """An id that no row can hold is no order's."""
    if not 0 < order_id < 2**63:
        raise Problem.of_reason(Reason.UNKNOWN_ORDER)


def _owner(gateway: Gateway, order_id: int, account_id: str) -> Account:
    """The account, whose order it must be: another's is as unknown as one that never was."""
    account = gateway.account(account_id)
    _possible(order_id)
    events = gateway.history.events_of_order(order_id)
    if not events.size or events[0].account != account.number:
        raise Problem.of_reason(Reason.UNKNOWN_ORDER)
    return account


def _ticks(listed: Instrument, price: str | None) -> int:
    """A price in ticks; 0, which a row takes for none, or for as it was, only if none is named."""
    if price is None:
        return 0
    ticks = listed.ticks(price)
    if ticks <= 0:
        raise Refused(Reason.PRICE_NOT_POSITIVE, f"{price} is not above zero")
    return ticks


def _stop_ticks(listed: Instrument, price: str | None) -> int:
    ticks = _ticks(listed, price)
    if ticks > _STOP_MAX_TICKS:
        raise Refused(Reason.PRICE_OUT_OF_RANGE, f"no order waits for a price as high as {price}")
    return ticks
