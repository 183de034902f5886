"""What has happened to orders, event by event; and what an account has traded. Reads only."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from api.gateway import Gateway
from api.order_views import fill_view
from api.schemas import AccountFill, Execution, SideName
from api.timers import iso
from api.views import liquidity_of
from exchange.instruments import Instrument
from exchange.reasons import Reason
from exchange.rows import EventKind, told
from matching.pricing import round_half_up
from registry.accounts import Account

_TYPES: dict[EventKind, Literal["new", "trade", "canceled", "replaced", "triggered", "restated"]] = {
    EventKind.ACCEPTED: "new",
    EventKind.TRADED: "trade",
    EventKind.CANCELLED: "canceled",
    EventKind.AMENDED: "replaced",
    EventKind.TRIGGERED: "triggered",
    EventKind.REFRESHED: "restated",  # an iceberg shows its next slice
    EventKind.PREVENTED: "restated",  # its quantity is less, for it met an order of its own owner
}


class _Side(NamedTuple):
    """One side of a trade."""

    trade: Any  # TRADE row, told
    side: SideName
    order_id: int


def sides_of(gateway: Gateway, account: Account) -> Iterator[_Side]:
    """An account's sides of the trades of the book, oldest first, buying before selling."""
    trades = gateway.history.trades
    mine = trades[(trades["buyer"] == account.number) | (trades["seller"] == account.number)]
    for trade in told(mine[mine["buy_order_id"] != 0]):
        if trade.buyer == account.number:
            yield _Side(trade, "buy", trade.buy_order_id)
        if trade.seller == account.number:
            yield _Side(trade, "sell", trade.sell_order_id)


def account_fill(gateway: Gateway, one: _Side) -> AccountFill:
    """A side of a trade as it stands."""
    exchange, trade = gateway.exchange, one.trade
    listed = exchange.instruments[trade.instrument]
    shown = fill_view(listed, trade, one.order_id, exchange.clearing.corrections.latest(trade.trade_id))
    return AccountFill(
        **dict(shown),
        order_id=one.order_id,
        symbol=listed.symbol,
        side=one.side,
        currency=exchange.asset_names[listed.cash],
        at=iso(trade.now_ns, exchange.market.timezone),
        ts_event=int(trade.now_ns),
        sequence=trade.sequence,
    )


def executions(gateway: Gateway, order_id: int) -> list[Execution]:
    """The life of an order from its acceptance, with what was corrected of its trades."""
    history = gateway.history
    places = history.places_of_order(order_id)
    trade_ids = [int(event.trade_id) for event in history.events[places] if event.kind == EventKind.TRADED]
    for trade_id in trade_ids:
        for one in gateway.exchange.clearing.corrections.of(trade_id):
            start, rows = history.answer_at(one.sequence)
            places += [start + index for index, row in enumerate(rows) if row.trade_id == trade_id]
    life = _Life(gateway, order_id, history.events[places[0]])
    return [life.told(place) for place in sorted(places)]


class _Life:
    """An order while its events are told in turn."""

    def __init__(self, gateway: Gateway, order_id: int, accepted: Any) -> None:
        self.gateway = gateway
        self.order_id = order_id
        self.listed: Instrument = gateway.exchange.instruments[int(accepted.instrument)]
        self.price_ticks = 0
        self.leaves = self.filled = self.value = 0
        self.is_cancelled = False

    def told(self, place: int) -> Execution:
        event = self.gateway.history.events[place]
        kind = EventKind(int(event.kind))
        trade = self.gateway.history.trade(int(event.trade_id)) if event.trade_id else None
        if kind in _TYPES:
            self._follow(kind, event)
        command = self.gateway.history.command(int(event.sequence))
        return Execution(
            exec_id=place + 1,
            exec_type=_TYPES[kind] if kind in _TYPES else _CORRECTED[kind],
            ord_status=self._status(),
            price=self._price(self.price_ticks),
            last_qty=int(event.quantity) if trade is not None else None,
            last_px=self._price(int(event.price_ticks)) if trade is not None else None,
            cum_qty=self.filled,
            leaves_qty=self.leaves,
            avg_px=self._price(round_half_up(self.value, self.filled)) if self.filled else None,
            trade_id=int(event.trade_id) or None,
            liquidity=liquidity_of(trade, self.order_id) if kind == EventKind.TRADED else None,
            reason=Reason(int(event.reason)).code if event.reason else None,
            at=iso(int(command.now_ns), self.gateway.exchange.market.timezone),
            ts_event=int(command.now_ns),
            sequence=int(event.sequence),
        )

    def _follow(self, kind: EventKind, event: Any) -> None:
        self.leaves = int(event.leaves if event.order_id == self.order_id else event.maker_leaves)
        if kind == EventKind.TRADED:
            self.filled += int(event.quantity)
            self.value += int(event.quantity) * int(event.price_ticks)
        elif kind in (EventKind.ACCEPTED, EventKind.AMENDED):
            self.price_ticks = int(event.price_ticks)
        self.is_cancelled = not self.leaves and kind in (EventKind.CANCELLED, EventKind.PREVENTED)

    def _status(self) -> Literal["new", "partially_filled", "filled", "canceled"]:
        if self.leaves:
            return "partially_filled" if self.filled else "new"
        return "canceled" if self.is_cancelled else "filled"

    def _price(self, ticks: int) -> str | None:
        return self.listed.price(ticks) if ticks else None


_CORRECTED: dict[EventKind, Literal["trade_correct", "trade_cancel"]] = {
    EventKind.TRADE_CORRECTED: "trade_correct",
    EventKind.TRADE_BUSTED: "trade_cancel",
}
