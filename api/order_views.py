"""What has become of an order: its events, one after another, and the view of it that clients get."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

from api import schemas
from api.gateway import Gateway
from api.inbox import Answer
from api.timers import iso
from api.views import liquidity_of, side_name, status_of
from exchange.instruments import Instrument, money
from exchange.reasons import Reason
from exchange.rows import EventKind, told, type_of_rows
from matching.orders import OrderType, Priority, SelfTradePrevention, TimeInForce
from matching.pricing import round_half_up
from settlement.corrections import Correction, Corrections

NO_CORRECTIONS = Corrections()
# By their numbers in a row.
_TYPES = tuple(OrderType)
_TYPE_NAMES: Any = [one.name.lower() for one in OrderType]
_LIFE_NAMES: Any = [one.name for one in TimeInForce]
_PREVENTION_NAMES: Any = ["allow", *(one.name.lower() for one in SelfTradePrevention if one)]


@dataclass
class Course:
    """An order after some of its events; prices in ticks, quantities in tCO2e."""

    price_ticks: int
    stop_ticks: int
    waits: bool
    leaves: int
    cancelled: int = 0
    prevented: int = 0
    reason: Reason = Reason.NONE  # why the rest is gone
    priority: Priority = Priority.NONE
    trades: list[Any] = field(default_factory=list)  # TRADE rows, told

    @property
    def filled(self) -> int:
        return sum(int(trade.quantity) for trade in self.trades)

    @property
    def status(self) -> Literal["open", "waiting", "filled", "cancelled"]:
        if self.leaves:
            return "waiting" if self.waits else "open"
        return "cancelled" if self.reason else "filled"


def order_view(gateway: Gateway, order_id: int, until: int | None = None) -> schemas.OrderView:
    """An order as it is now, or as the command of sequence number `until` left it."""
    said = told_now(gateway, order_id) if until is None else told_until(gateway, order_id, until)
    return schemas.OrderView(**said)


def order_after(gateway: Gateway, events: type_of_rows, corrections: Corrections = NO_CORRECTIONS) -> schemas.OrderView:
    """An order as some events left it, the first of which accepted it; those of other orders do not matter.

    Its fills are shown as they were booked, or as corrections left them.
    """
    return schemas.OrderView(**told_after(gateway, events, corrections))


def told_now(gateway: Gateway, order_id: int) -> dict[str, Any]:
    """An order as it is now, as the fields of an OrderView, for who does without the model."""
    return told_after(gateway, gateway.history.events_of_order(order_id), gateway.exchange.clearing.corrections)


def told_until(gateway: Gateway, order_id: int, until: int) -> dict[str, Any]:
    """Likewise, as a command left it."""
    events = gateway.history.events_of_order(order_id)
    return told_after(gateway, events[events["sequence"] <= until])


def told_after(gateway: Gateway, events: type_of_rows, corrections: Corrections = NO_CORRECTIONS) -> dict[str, Any]:
    """Likewise, as some events left it."""
    happened = told(events)
    return _fields(gateway, gateway.history.command(happened[0].sequence), happened, corrections)


def told_at_first(gateway: Gateway, answer: Answer) -> dict[str, Any]:
    """Likewise, as the command that placed it left it."""
    return _fields(gateway, answer.command, answer.told, NO_CORRECTIONS)


def _fields(gateway: Gateway, command: Any, happened: Sequence[Any], corrections: Corrections) -> dict[str, Any]:
    accepted = happened[0]
    order_id = accepted.order_id
    course = _course(gateway, command, order_id, happened)
    listed = gateway.exchange.instruments[accepted.instrument]
    order_type = _TYPES[command.order_type]
    has_limit = order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
    filled = course.filled
    fills = [(trade, corrections.latest(trade.trade_id)) for trade in course.trades]
    standing = [trade if correction is None else correction.after for trade, correction in fills]
    value = sum(said.price_ticks * said.quantity for said in standing)
    stands = sum(said.quantity for said in standing)
    return {
        "order_id": order_id,
        "client_order_id": gateway.history.client_order_ids.get(order_id),
        "account_id": gateway.exchange.accounts[accepted.account].account_id,
        "symbol": listed.symbol,
        "side": side_name(accepted.side),
        "type": _TYPE_NAMES[order_type],
        "time_in_force": _LIFE_NAMES[command.time_in_force],
        "price": listed.price(course.price_ticks) if has_limit else None,
        "stop_price": listed.price(course.stop_ticks) if order_type.waits else None,
        "quantity": filled + course.leaves + course.cancelled + course.prevented,
        "display_quantity": command.display_quantity or None,
        "post_only": bool(command.post_only),
        "expire_date": date(1970, 1, 1) + timedelta(command.last_day) if command.last_day else None,
        "self_trade_prevention": _self_trade_prevention_name(gateway, command),
        "status": course.status,
        "reason": course.reason.code if course.reason else None,
        "priority": _priority_name(course.priority),
        "filled": filled,
        "leaves": course.leaves,
        "cancelled": course.cancelled,
        "prevented": course.prevented,
        "average_price": listed.price(round_half_up(value, stands)) if stands else None,
        "fills": [_told_fill(listed, trade, order_id, correction) for trade, correction in fills],
        "accepted_at": iso(command.now_ns, gateway.exchange.market.timezone),
        "sequence": accepted.sequence,
    }


def _course(gateway: Gateway, command: Any, order_id: int, events: Iterable[Any]) -> Course:
    """The events of an order in turn; `command` placed it."""
    history = gateway.history
    course = Course(0, command.stop_ticks, _TYPES[command.order_type].waits, 0)
    for event in events:
        if order_id not in (event.order_id, event.maker_order_id):
            continue
        leaves = event.leaves if event.order_id == order_id else event.maker_leaves
        match event.kind:
            case EventKind.ACCEPTED:
                course.price_ticks = event.price_ticks
            case EventKind.TRADED:
                course.trades.append(history.trade(event.trade_id))
            case EventKind.TRIGGERED:
                course.waits = False
            case EventKind.AMENDED:
                course.price_ticks = event.price_ticks
                course.stop_ticks = history.command(event.sequence).stop_ticks or course.stop_ticks
                course.priority = Priority(event.priority)
            case EventKind.PREVENTED:
                course.prevented += course.leaves - leaves
                course.reason = Reason.NONE if leaves else Reason.SELF_TRADE
            case EventKind.CANCELLED:
                course.cancelled = course.leaves
                course.reason = Reason(event.reason)
        course.leaves = leaves
    return course


def fill_view(listed: Instrument, trade: Any, order_id: int, correction: Correction | None) -> schemas.Fill:
    """A trade from the side of one of its orders, as it was booked, or as a correction left it."""
    return schemas.Fill(**_told_fill(listed, trade, order_id, correction))


def _told_fill(listed: Instrument, trade: Any, order_id: int, correction: Correction | None) -> dict[str, Any]:
    bought = trade.buy_order_id == order_id
    charged = trade if correction is None else correction.after
    said = correction.before if correction and correction.is_bust else charged
    return {
        "trade_id": int(trade.trade_id),
        "price": listed.price(int(said.price_ticks)),
        "quantity": int(said.quantity),
        "fee": money(int(charged.buyer_fee if bought else charged.seller_fee)),
        "liquidity": liquidity_of(trade, order_id),
        "status": status_of(correction),
    }


def _priority_name(priority: Priority) -> Literal["kept", "lost"] | None:
    name: Any = priority.label if priority else None
    return name  # type: ignore[no-any-return]


def _self_trade_prevention_name(gateway: Gateway, command: Any) -> Any:
    """The order's own choice, else the rule set's."""
    return _PREVENTION_NAMES[command.self_trade or gateway.exchange.market.self_trade_rule]
