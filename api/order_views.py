"""What has become of an order: its events, one after another, and the view of it that clients get."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Literal

import msgspec

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
ACCEPTED, TRADED = int(EventKind.ACCEPTED), int(EventKind.TRADED)
# By their numbers in a row.
_TYPE_NAMES = [one.name.lower() for one in OrderType]
_HAVE_LIMIT = [one in (OrderType.LIMIT, OrderType.STOP_LIMIT) for one in OrderType]
_WAIT = [one.waits for one in OrderType]
_LIFE_NAMES = [one.name for one in TimeInForce]
_PREVENTION_NAMES = [one.name.lower() for one in SelfTradePrevention]


class ToldFill(msgspec.Struct, gc=False):
    """`api.schemas.Fill`, made fast."""

    trade_id: int
    price: str
    quantity: int
    fee: str
    liquidity: schemas.Liquidity | None
    status: schemas.TradeStatus


class ToldOrder(msgspec.Struct, gc=False):
    """`api.schemas.OrderView`, made fast."""

    order_id: int
    client_order_id: str | None
    account_id: str
    symbol: str
    side: schemas.SideName
    type: str
    time_in_force: str
    price: str | None
    stop_price: str | None
    quantity: int
    display_quantity: int | None
    post_only: bool
    expire_date: date | None
    self_trade_prevention: str
    status: str
    reason: str | None
    priority: str | None
    filled: int
    leaves: int
    cancelled: int
    prevented: int
    average_price: str | None
    fills: list[ToldFill]
    accepted_at: str
    ts_event: int
    sequence: int


class Course(msgspec.Struct, gc=False):
    """An order after some of its events; prices in ticks, quantities in tCO2e."""

    price_ticks: int
    stop_ticks: int
    waits: bool
    leaves: int
    filled: int = 0
    cancelled: int = 0
    prevented: int = 0
    reason: Reason = Reason.NONE  # why the rest is gone
    priority: Priority = Priority.NONE
    trade_ids: list[int] = []

    @property
    def status(self) -> Literal["open", "waiting", "filled", "cancelled"]:
        if self.leaves:
            return "waiting" if self.waits else "open"
        return "cancelled" if self.reason else "filled"


def order_view(gateway: Gateway, order_id: int, until: int | None = None) -> schemas.OrderView:
    """An order as it is now, or as the command of sequence number `until` left it."""
    return _model(told_now(gateway, order_id) if until is None else told_until(gateway, order_id, until))


def order_after(gateway: Gateway, events: type_of_rows) -> schemas.OrderView:
    """An order as some events left it, the first of which accepted it; those of other orders do not matter.

    Its fills are shown as they were booked.
    """
    return _model(told_after(gateway, events))


def _model(order: ToldOrder) -> schemas.OrderView:
    return schemas.OrderView.model_validate(order, from_attributes=True)


def told_now(gateway: Gateway, order_id: int) -> ToldOrder:
    """An order as it is now, for who does without the model."""
    return told_after(gateway, gateway.history.events_of_order(order_id), gateway.exchange.clearing.corrections)


def told_until(gateway: Gateway, order_id: int, until: int) -> ToldOrder:
    """Likewise, as a command left it."""
    events = gateway.history.events_of_order(order_id)
    return told_after(gateway, events[events["sequence"] <= until])


def told_after(gateway: Gateway, events: type_of_rows, corrections: Corrections = NO_CORRECTIONS) -> ToldOrder:
    """Likewise, as some events left it; its fills as they were booked, or as corrections left them."""
    happened, history = told(events), gateway.history
    return _told(gateway, history.command(happened[0].sequence), happened, history.trade, corrections)


def told_at_first(gateway: Gateway, answer: Answer) -> ToldOrder:
    """Likewise, as the command that placed it left it."""
    assert answer.trade is not None, "an order command has been answered"
    return _told(gateway, answer.command, answer.told, answer.trade, NO_CORRECTIONS)


def _told(
    gateway: Gateway,
    command: Any,
    happened: Sequence[Any],
    trade_of: Callable[[int], Any],
    corrections: Corrections,
) -> ToldOrder:
    exchange, accepted = gateway.exchange, happened[0]
    market, order_id = exchange.market, accepted.order_id
    course = _course(gateway, command, order_id, happened)
    listed = exchange.instruments[accepted.instrument]
    fills, average_price = list[ToldFill](), None
    if course.trade_ids:
        latest = corrections.latest
        trades = [(trade_of(one), latest(one)) for one in course.trade_ids]
        fills = [_told_fill(listed, trade, order_id, correction) for trade, correction in trades]
        average_price = _average_price(listed, trades)
    return ToldOrder(
        order_id,
        gateway.history.client_order_id(accepted.sequence),
        exchange.accounts[accepted.account].account_id,
        listed.symbol,
        side_name(accepted.side),
        _TYPE_NAMES[command.order_type],
        _LIFE_NAMES[command.time_in_force],
        listed.price(course.price_ticks) if _HAVE_LIMIT[command.order_type] else None,
        listed.price(course.stop_ticks) if _WAIT[command.order_type] else None,
        course.filled + course.leaves + course.cancelled + course.prevented,
        command.display_quantity or None,
        bool(command.post_only),
        date(1970, 1, 1) + timedelta(command.last_day) if command.last_day else None,
        # The order's own choice, else the rule set's.
        _PREVENTION_NAMES[command.self_trade] if command.self_trade else market.self_trade_prevention,
        course.status,
        course.reason.code if course.reason else None,
        course.priority.label if course.priority else None,
        course.filled,
        course.leaves,
        course.cancelled,
        course.prevented,
        average_price,
        fills,
        iso(command.now_ns, market.timezone),
        command.now_ns,
        accepted.sequence,
    )


def _course(gateway: Gateway, command: Any, order_id: int, events: Iterable[Any]) -> Course:
    """The events of an order in turn; `command` placed it."""
    course = Course(0, command.stop_ticks, _WAIT[command.order_type], 0)
    for event in events:
        kind = event.kind
        if event.order_id == order_id:
            leaves = event.leaves
        elif event.maker_order_id == order_id:
            leaves = event.maker_leaves
        else:
            continue
        if kind == ACCEPTED:
            course.price_ticks = event.price_ticks
        elif kind == TRADED:
            course.trade_ids.append(event.trade_id)
            course.filled += event.quantity
        elif kind == EventKind.TRIGGERED:
            course.waits = False
        elif kind == EventKind.AMENDED:
            course.price_ticks = event.price_ticks
            course.stop_ticks = gateway.history.command(event.sequence).stop_ticks or course.stop_ticks
            course.priority = Priority(event.priority)
        elif kind == EventKind.PREVENTED:
            course.prevented += course.leaves - leaves
            course.reason = Reason.NONE if leaves else Reason.SELF_TRADE
        elif kind == EventKind.CANCELLED:
            course.cancelled = course.leaves
            course.reason = Reason(event.reason)
        course.leaves = leaves
    return course


def _average_price(listed: Instrument, trades: list[tuple[Any, Correction | None]]) -> str | None:
    """Of trades as they stand; None if all are busted."""
    standing = [trade if correction is None else correction.after for trade, correction in trades]
    quantity = sum([said.quantity for said in standing])
    value = sum([said.price_ticks * said.quantity for said in standing])
    return listed.price(round_half_up(value, quantity)) if quantity else None


def fill_view(listed: Instrument, trade: Any, order_id: int, correction: Correction | None) -> schemas.Fill:
    """A trade, told, from the side of one of its orders, as it was booked, or as a correction left it."""
    return schemas.Fill.model_validate(_told_fill(listed, trade, order_id, correction), from_attributes=True)


def _told_fill(listed: Instrument, trade: Any, order_id: int, correction: Correction | None) -> ToldFill:
    bought = trade.buy_order_id == order_id
    charged = trade if correction is None else correction.after
    said = correction.before if correction and correction.is_bust else charged
    return ToldFill(
        trade.trade_id,
        listed.price(said.price_ticks),
        said.quantity,
        money(charged.buyer_fee if bought else charged.seller_fee),
        liquidity_of(trade, order_id),
        status_of(correction),
    )
