"""Channels: streams of messages, put into words as far as somebody has listened.

`trades` tells everybody of an instrument's trades, without names; `orders` and `fills` tell an account of its own, each
event from its own order's side; `drop_copy` tells whoever watches over the market of all orders, with their accounts. A
trade that is put right is told once more: `trade_corrected` as it says now, `trade_busted` as it said last (FIX
ExecType G and H).
"""

from bisect import bisect_left, bisect_right
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel

from api.gateway import Gateway
from api.order_views import order_view
from api.problems import Problem
from api.stream import messages
from api.stream.messages import ChannelName, Told
from api.timers import iso
from api.views import aggressor_of, liquidity_of, price, side_name, trade_view
from exchange.instruments import Instrument, money
from exchange.reasons import Reason
from exchange.rows import EventKind, type_of_rows
from matching.ladder import is_resting
from matching.orders import EITHER_SIDE, Priority, Side
from settlement.corrections import Correction

KEPT = 100_000  # messages of a channel
REPLAYED = 1000  # messages that one replay brings
_ABOUT = ("symbol", "account_id")
_OF_TRADES = (EventKind.TRADED, EventKind.TRADE_CORRECTED, EventKind.TRADE_BUSTED)


class Key(NamedTuple):
    """What a channel is known by."""

    name: ChannelName
    symbol: str = ""
    account_id: str = ""

    @property
    def about(self) -> dict[str, Any]:
        """The parts that say whose or of what it is."""
        return {name: text for name, text in (("symbol", self.symbol), ("account_id", self.account_id)) if text}


class TooSlow(Exception):
    """A subscriber has fallen too far behind."""

    def __init__(self, channel: str, last_seq: int) -> None:
        super().__init__(channel, last_seq)
        self.channel = channel
        self.last_seq = last_seq


class TooOld(Problem):
    """What was asked for is not kept any more."""

    def __init__(self, said: str, oldest_seq: int) -> None:
        super().__init__(409, "too_old", said)
        self.oldest_seq = oldest_seq


def as_json(message: BaseModel) -> str:
    """A message on the wire: without a symbol or an account where it has none."""
    return message.model_dump_json(exclude={name for name in _ABOUT if getattr(message, name, "") is None})


class Channel:
    """A stream of messages, the newest of which are kept."""

    def __init__(self, gateway: Gateway, key: Key, session_id: str, begins_at: int) -> None:
        self.gateway = gateway
        self.key = key
        self.session_id = session_id
        self.last_seq = begins_at
        self.floor = begins_at  # all messages after this seq are kept
        self.dropped = 0  # messages that are not kept any more
        self._seqs: list[int] = []
        self._texts: list[str] = []

    # -- what a channel says

    def catch_up(self) -> int:
        """Put into words what has happened since the last time; returns how many messages there have been."""
        self._listen()
        if len(self._texts) > 2 * KEPT:
            self._forget(len(self._texts) - KEPT)
        return self.dropped + len(self._texts)

    def snapshot(self) -> list[str]:
        """How things stand after `last_seq`, where there is something that stands."""
        return []

    def since(self, place: int) -> list[str]:
        """Messages from a place on. TooSlow if some of them are not kept any more."""
        if place < self.dropped:
            raise TooSlow(self.key.name, self.last_seq)
        return self._texts[place - self.dropped :]

    def replay(self, from_seq: int, to_seq: int) -> tuple[list[str], int]:
        """What was told from one seq to another, and how far it goes. Problem if that is not kept.

        At most REPLAYED messages, but all of an event.
        """
        self.catch_up()
        if from_seq <= self.floor:
            said = f"What {self.key.name} told up to {self.floor} is not kept; subscribe anew."
            raise TooOld(said, self.floor + 1)
        first, end = bisect_left(self._seqs, from_seq), bisect_right(self._seqs, to_seq)
        if end - first > REPLAYED:
            end = bisect_right(self._seqs, self._seqs[first + REPLAYED - 1])
            to_seq = self._seqs[end - 1]
        return self._texts[first:end], min(to_seq, max(self.last_seq, from_seq))

    # -- for those who say it

    def tell(self, shape: type[Told], seq: int, **fields: Any) -> None:
        """Add a message."""
        self._texts.append(self.written(shape, seq, self.last_seq, **fields))
        self._seqs.append(seq)
        self.last_seq = seq

    def written(self, shape: type[Told], seq: int, prev_seq: int, **fields: Any) -> str:
        """A message of this channel as JSON."""
        name, about = self.key.name, self.key.about
        said = shape(channel=name, session_id=self.session_id, seq=seq, prev_seq=prev_seq, **about, **fields)
        return as_json(said)

    def iso(self, at_ns: int) -> str:
        return iso(at_ns, self.gateway.exchange.market.timezone)

    def _listen(self) -> None:
        raise NotImplementedError

    def _forget(self, count: int) -> None:
        """Keep the oldest messages no more; those of an event go together."""
        count = bisect_right(self._seqs, self._seqs[count - 1])
        self.floor = self._seqs[count - 1]
        self.dropped += count
        del self._seqs[:count], self._texts[:count]


class EventChannel(Channel):
    """A channel that tells of event rows; `seq` is the number of a row since the journal began."""

    def __init__(self, gateway: Gateway, key: Key, session_id: str) -> None:
        self.cursor = gateway.history.events.size  # event rows put into words
        super().__init__(gateway, key, session_id, self.cursor)

    def _listen(self) -> None:
        events = self.gateway.history.events
        if self.cursor == events.size:
            return
        fresh = events[self.cursor :]
        wanted = self.wanted(fresh).nonzero()[0].tolist()
        for index, next_index in zip_longest(wanted, wanted[1:]):
            later = None if next_index is None else fresh[next_index]
            self.hear(self.cursor + index + 1, fresh[index], later)
        self.cursor = events.size

    def wanted(self, events: type_of_rows) -> type_of_rows:
        """Which event rows this channel tells."""
        raise NotImplementedError

    def hear(self, seq: int, event: Any, later: Any | None) -> None:
        """Tell of one; `later` is the next one that is wanted, None if that has not happened yet."""
        raise NotImplementedError

    def when(self, event: Any) -> dict[str, Any]:
        """When an event happened, and by which command."""
        sequence = int(event.sequence)
        now_ns = int(self.gateway.history.command(sequence).now_ns)
        return {"at": self.iso(now_ns), "ts_event": now_ns, "sequence": sequence}

    def name_of(self, event: Any, order_id: int, account: int) -> str | None:
        """What the account calls its order that an event is about, also of one that was refused."""
        history = self.gateway.history
        if event.kind in (EventKind.ACCEPTED, EventKind.REFUSED):
            return history.client_order_id(int(event.sequence))
        return history.name_of_order(order_id, account)


# ---------------------------------------------------------------- for everybody


class TradesChannel(EventChannel):
    """The trades of one instrument."""

    def __init__(self, gateway: Gateway, key: Key, session_id: str, listed: Instrument) -> None:
        super().__init__(gateway, key, session_id)
        self.listed = listed

    def wanted(self, events: type_of_rows) -> type_of_rows:
        in_book = np.isin(events["kind"], _OF_TRADES) & (events["order_id"] != 0)
        wanted: type_of_rows = in_book & (events["instrument"] == self.listed.number)
        return wanted

    def hear(self, seq: int, event: Any, later: Any | None) -> None:
        trade = self.gateway.history.trade(int(event.trade_id))
        correction = correction_of(self.gateway, event)
        said = trade_view(self.gateway, trade, correction).model_dump(exclude={"symbol"})
        if correction is not None:
            said |= {"corrected_at": self.when(event)["at"], "reason": correction.reason}
        self.tell(
            messages.TradeTold,
            seq,
            type=EventKind(int(event.kind)).label,
            buy_order_id=int(trade.buy_order_id),
            sell_order_id=int(trade.sell_order_id),
            **said,
        )


def correction_of(gateway: Gateway, event: Any) -> Correction | None:
    """What an event row says was put right of a trade; None if it tells of something else."""
    if event.kind not in (EventKind.TRADE_CORRECTED, EventKind.TRADE_BUSTED):
        return None
    made = gateway.exchange.clearing.corrections.of(int(event.trade_id))
    return next(one for one in made if one.sequence == event.sequence)


# ---------------------------------------------------------------- for an account


class PrivateChannel(EventChannel):
    """What happens to one account's orders, each event from its own order's side."""

    def __init__(self, gateway: Gateway, key: Key, session_id: str, account: int) -> None:
        super().__init__(gateway, key, session_id)
        self.account = account

    def wanted(self, events: type_of_rows) -> type_of_rows:
        mine: type_of_rows = (events["account"] == self.account) | (events["maker_account"] == self.account)
        return mine

    def hear(self, seq: int, event: Any, later: Any | None) -> None:
        if event.account == self.account:
            self.hear_side(seq, event, int(event.order_id), int(event.side), int(event.leaves))
        if event.maker_account == self.account:
            side = Side(int(event.side)).opposite
            self.hear_side(seq, event, int(event.maker_order_id), side, int(event.maker_leaves))

    def hear_side(self, seq: int, event: Any, order_id: int, side: int, leaves: int) -> None:
        """Tell of an event from the side of one order."""
        raise NotImplementedError


class OrdersChannel(PrivateChannel):
    """All that becomes of an account's orders."""

    def snapshot(self) -> list[str]:
        ladder = self.gateway.exchange.path.desk.ladder
        resting = [one for one in self.gateway.history.orders_of(self.account) if is_resting(ladder, one)]
        orders = [order_view(self.gateway, one) for one in resting]
        return [self.written(messages.OpenOrders, self.last_seq, self.last_seq, orders=orders)]

    def hear_side(self, seq: int, event: Any, order_id: int, side: int, leaves: int) -> None:
        kind = EventKind(int(event.kind))
        fields: dict[str, Any] = {"side": None, "price": None}
        if event.instrument:
            listed = self.gateway.exchange.instruments[int(event.instrument)]
            fields["price"] = price(listed, int(event.price_ticks))
            fields["side"] = side_name(side) if side != EITHER_SIDE else None
        if event.maker_order_id:
            fields["maker_order_id"] = int(event.maker_order_id)
        if kind == EventKind.TRADED:
            trade = self.gateway.history.trade(int(event.trade_id))
            fields |= {"trade_id": int(event.trade_id), "aggressor": aggressor_of(trade)}
            fields["liquidity"] = liquidity_of(trade, order_id)
        if correction := correction_of(self.gateway, event):
            fee = correction.after.buyer_fee if side == Side.BUY else correction.after.seller_fee
            fields |= {"trade_id": correction.trade_id, "fee": money(fee), "reason": correction.reason}
        if kind == EventKind.AMENDED:
            fields["priority"] = Priority(int(event.priority)).label
        if event.reason:
            fields["reason"] = Reason(int(event.reason)).code
        if event.instrument:
            fields["symbol"] = listed.symbol
        name = self.name_of(event, order_id, self.account)
        fields |= {"order_id": order_id, "client_order_id": name, "quantity": int(event.quantity), "leaves": leaves}
        self.tell(messages.OrderTold, seq, type=kind.label, **fields, **self.when(event))


class FillsChannel(PrivateChannel):
    """An account's fills, and what became of them."""

    def __init__(self, gateway: Gateway, key: Key, session_id: str, account: int) -> None:
        super().__init__(gateway, key, session_id, account)
        self._filled: dict[int, int] = {}  # so far, by order id

    def wanted(self, events: type_of_rows) -> type_of_rows:
        # Deals that came due and were put right later have no orders.
        wanted: type_of_rows = super().wanted(events) & np.isin(events["kind"], _OF_TRADES) & (events["order_id"] != 0)
        return wanted

    def hear_side(self, seq: int, event: Any, order_id: int, side: int, leaves: int) -> None:
        history = self.gateway.history
        trade, correction = history.trade(int(event.trade_id)), correction_of(self.gateway, event)
        listed = self.gateway.exchange.instruments[int(event.instrument)]
        said = trade if correction is None else correction.after
        name = side_name(side)
        filled = self._filled_before(order_id, event)
        if event.kind == EventKind.TRADED:
            filled += int(event.quantity)
        self._filled[order_id] = filled
        self.tell(
            messages.FillTold,
            seq,
            symbol=listed.symbol,
            exec_id=f"{seq}-{name}",
            exec_type={EventKind.TRADED: "F", EventKind.TRADE_CORRECTED: "G", EventKind.TRADE_BUSTED: "H"}[event.kind],
            trade_id=int(event.trade_id),
            order_id=order_id,
            client_order_id=history.name_of_order(order_id, self.account),
            side=name,
            last_qty=int(event.quantity),
            last_px=listed.price(int(event.price_ticks)),
            cum_qty=filled,
            leaves_qty=leaves,
            liquidity=liquidity_of(trade, order_id),
            fee=money(int(said.buyer_fee if side == Side.BUY else said.seller_fee)),
            reason=correction.reason if correction else None,
            **self.when(event),
        )

    def _filled_before(self, order_id: int, event: Any) -> int:
        """What an order had filled before an event; trades are numbered in sequence."""
        if order_id not in self._filled:
            rows = self.gateway.history.events_of_order(order_id)
            of_command = (rows["sequence"] == event.sequence) & (rows["trade_id"] < event.trade_id)
            before = (rows["sequence"] < event.sequence) | of_command
            self._filled[order_id] = int(rows["quantity"][before & (rows["kind"] == EventKind.TRADED)].sum())
        return self._filled[order_id]


# ---------------------------------------------------------------- for those who watch over the market


class DropCopyChannel(EventChannel):
    """All events of all orders, with their accounts."""

    def wanted(self, events: type_of_rows) -> type_of_rows:
        return np.ones(events.size, bool)

    def hear(self, seq: int, event: Any, later: Any | None) -> None:
        exchange = self.gateway.exchange
        listed = exchange.instruments[int(event.instrument)] if event.instrument else None
        history, maker_order_id = self.gateway.history, int(event.maker_order_id)
        with_maker = maker_order_id != 0
        self.tell(
            messages.DropCopy,
            seq,
            type=EventKind(int(event.kind)).label,
            owner=exchange.accounts[int(event.account)].account_id if event.account else "",
            order_id=int(event.order_id),
            client_order_id=self.name_of(event, int(event.order_id), int(event.account)),
            side=side_name(event.side) if listed and event.side != EITHER_SIDE else None,
            instrument=listed.symbol if listed else None,
            price=price(listed, int(event.price_ticks)) if listed else None,
            quantity=int(event.quantity),
            leaves=int(event.leaves),
            maker=exchange.accounts[int(event.maker_account)].account_id if event.maker_account else None,
            maker_order_id=maker_order_id if with_maker else None,
            maker_client_order_id=history.name_of_order(maker_order_id, int(event.maker_account)),
            maker_leaves=int(event.maker_leaves) if with_maker else None,
            trade_id=int(event.trade_id) or None,
            reason=Reason(int(event.reason)).code if event.reason else None,
            **self.when(event),
        )
