"""From requests to commands: what is asked about orders, however it was sent, and what is answered to it.

A request becomes a command only if its account and instrument exist, its prices are prices, the kill switch of the
account is off and the limits of the key allow it. The exchange decides all the rest. Problem or Refused if it does not
come so far.
"""

from api.access.guard import Access, Caller
from api.gateway import Gateway
from api.inbox import Answer
from api.order_limits import require_alive, require_within
from api.order_views import order_view
from api.problems import Problem
from api.schemas import Amendment, CancelledOrders, NewOrder, OrderTerms
from exchange.commands import Command, amend_order, cancel_order, cancel_orders, day_number, packed_row
from exchange.instruments import Instrument
from exchange.reasons import Reason, Refused
from exchange.rows import CommandKind, EventKind, InBatch
from matching.orders import EITHER_SIDE, OrderType, SelfTradePrevention, Side, TimeInForce
from registry.accounts import Account

_STOP_MAX_TICKS = 2**31 - 1  # that a row can hold
SIDES = {side.name.lower(): int(side) for side in Side}
_TYPES = {kind.name.lower(): int(kind) for kind in OrderType}
LIVES = {lives.name: int(lives) for lives in TimeInForce}
_PREVENTIONS = {None: int(SelfTradePrevention.BY_RULES)} | {one.name.lower(): int(one) for one in SelfTradePrevention}

_REFUSALS = frozenset(map(int, (EventKind.REFUSED, EventKind.CANCEL_REFUSED, EventKind.AMEND_REFUSED)))


def placing(gateway: Gateway, access: Access, caller: Caller, order: NewOrder) -> Command:
    """The command that places an order."""
    account, listed = gateway.account(order.account_id), gateway.instrument(order.symbol)
    require_alive(access, account)
    packed = order_row(gateway, caller, account, listed, order, opens=True)
    return Command(packed, (order.client_order_id or "").encode())


def order_row(
    gateway: Gateway, caller: Caller, account: Account, listed: Instrument, order: OrderTerms, opens: bool
) -> bytes:
    """The COMMAND row that places an order, packed. `opens`: whether it counts as one more open order."""
    price_ticks = _ticks(listed, order.price) if order.price is not None else 0
    if caller.key is not None:
        require_within(caller, gateway, account, listed, price_ticks, order.quantity, opens)
    return packed_row(
        0, 0, 0, price_ticks, order.quantity, account.number,
        _stop_ticks(listed, order.stop_price) if order.stop_price is not None else 0,
        order.display_quantity or 0,
        day_number(order.expire_date) if order.expire_date else 0,
        listed.number, CommandKind.PLACE_ORDER, SIDES[order.side], _TYPES[order.type],
        LIVES[order.time_in_force or ("IOC" if order.type == "market" else "DAY")],
        _PREVENTIONS[order.self_trade_prevention], order.post_only, InBatch.ALONE,
    )  # fmt: skip


def amending(gateway: Gateway, access: Access, caller: Caller, order_id: int, amendment: Amendment) -> Command:
    """The command that gives an order another quantity or price."""
    account = owner_of(gateway, order_id, amendment.account_id)
    require_alive(access, account)
    present = order_view(gateway, order_id)
    listed = gateway.instrument(present.symbol)
    price_ticks = _ticks(listed, amendment.price)
    limit = price_ticks or _ticks(listed, present.price)
    require_within(caller, gateway, account, listed, limit, amendment.quantity, opens=False)
    return amend_order(
        account=account.number,
        order_id=order_id,
        price_ticks=price_ticks,
        leaves=amendment.quantity,
        stop_ticks=_stop_ticks(listed, amendment.stop_price),
    )


def cancelling(gateway: Gateway, account_id: str, order_id: int) -> Command:
    """The command that takes an order out."""
    account = gateway.account(account_id)
    _require_possible(order_id)
    return cancel_order(account.number, order_id)


def cancelling_all(gateway: Gateway, account_id: str, symbol: str | None = None, side: str | None = None) -> Command:
    """The command that takes out all orders of an account; or those of an instrument or side."""
    return cancel_orders(
        account=gateway.account(account_id).number,
        instrument=gateway.instrument(symbol).number if symbol else 0,
        side=Side[side.upper()] if side else EITHER_SIDE,
    )


def granted(answer: Answer) -> Answer:
    """The answer to an order command, unless it is a refusal."""
    first = answer.told[0]
    if first.kind in _REFUSALS:
        raise Problem.of_reason(Reason(first.reason))
    return answer


def cancelled_by(answer: Answer) -> CancelledOrders:
    """What a mass cancel took out."""
    events = answer.rows
    order_ids = events["order_id"][events["kind"] == EventKind.CANCELLED].tolist()
    return CancelledOrders(count=len(order_ids), order_ids=order_ids)


def owner_of(gateway: Gateway, order_id: int, account_id: str) -> Account:
    """The account, whose order it must be: another's is as unknown as one that never was."""
    account = gateway.account(account_id)
    _require_possible(order_id)
    events = gateway.history.events_of_order(order_id)
    if not events.size or events[0].account != account.number:
        raise Problem.of_reason(Reason.UNKNOWN_ORDER)
    return account


def _require_possible(order_id: int) -> None:
    """An id that no row can hold is no order's."""
    if not 0 < order_id < 2**63:
        raise Problem.of_reason(Reason.UNKNOWN_ORDER)


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
