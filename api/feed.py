"""The stream: what happened, by sequence number, to whoever subscribed.

There is no queue per subscriber: a subscriber is a place in its channels. Each channel is put into words
once, however many listen; twenty times a second each subscriber gets, in one frame, a JSON array of all
messages since its place. Nothing is dropped in silence: whoever falls KEPT messages behind is told so by a
last message and close code 4008, and may subscribe again. The `seq` of a
message is its event's number since the journal began; `prev_seq` is that of the message before it in the
same channel, so that a gap can't hide.

Channels: `trades` and `book.l3` of a symbol, for everybody and without names; `orders` of an account, told
from that account's side. `book.l3` tells of each order as the book shows it (:mod:`api.shown`). A trade that is put
right is told once more, on `trades` and to both parties: `trade_corrected` as it says now, `trade_busted` as it said
last (FIX ExecType G and H).
"""

import asyncio
import json
from itertools import zip_longest
from typing import Any, Literal

import numpy as np
from fastapi import WebSocket
from pydantic import BaseModel, ConfigDict

from api.gateway import Gateway
from api.shown import Shown, ShownBook
from api.timers import iso
from api.views import aggressor_of, liquidity_of, price, side_name, trade_view
from exchange.instruments import Instrument, money
from exchange.reasons import Reason
from exchange.rows import EventKind, type_of_rows
from matching.orders import EITHER_SIDE, Priority, Side
from settlement.corrections import Correction

TICK_S = 0.05
KEPT = 100_000  # messages of a channel
TOO_SLOW = 4008  # WebSocket close code
_OF_TRADES = (EventKind.TRADED, EventKind.TRADE_CORRECTED, EventKind.TRADE_BUSTED)


class Subscribe(BaseModel):
    """The request that a client sends as a JSON text frame."""

    model_config = ConfigDict(extra="forbid")
    op: Literal["subscribe"]
    channel: Literal["trades", "book.l3", "orders"]
    symbol: str = ""
    account_id: str = ""


class TooSlow(Exception):
    """A subscriber has fallen too far behind."""

    def __init__(self, channel: str, last_seq: int) -> None:
        super().__init__(channel, last_seq)
        self.message = {"type": "error", "code": "too_slow", "channel": channel, "last_seq": last_seq}


class Channel:
    """One stream of messages, put into words as far as somebody has listened."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self.gateway = gateway
        self.name = name
        self.cursor = gateway.history.events.size  # event rows put into words
        self.last_seq = self.cursor
        self.messages: list[str] = []
        self.dropped = 0  # messages that are not kept any more

    def catch_up(self) -> int:
        """Put into words what has happened since the last time; returns how many messages there have been."""
        events = self.gateway.history.events
        fresh = events[self.cursor :]
        wanted = self.wanted(fresh).nonzero()[0].tolist()
        for index, next_index in zip_longest(wanted, wanted[1:]):
            seq = self.cursor + index + 1
            for message in self.messages_of(fresh[index], None if next_index is None else fresh[next_index]):
                head = {"channel": self.name, "seq": seq, "prev_seq": self.last_seq}
                self.messages.append(json.dumps(head | message))
                self.last_seq = seq
        self.cursor = events.size
        if len(self.messages) > 2 * KEPT:
            self.dropped += len(self.messages) - KEPT
            del self.messages[:-KEPT]
        return self.dropped + len(self.messages)

    def since(self, place: int) -> list[str]:
        """Messages from a place on. TooSlow if some of them are not kept any more."""
        if place < self.dropped:
            raise TooSlow(self.name, self.last_seq)
        return self.messages[place - self.dropped :]

    def opening(self) -> dict[str, Any]:
        """What a new subscriber is told first: the state after `seq`, from which the messages go on."""
        self.catch_up()
        return {"type": "subscribed", "channel": self.name, "seq": self.last_seq}

    def wanted(self, events: type_of_rows) -> type_of_rows:
        """Which event rows this channel tells."""
        raise NotImplementedError

    def messages_of(self, event: Any, later: Any | None) -> list[dict[str, Any]]:
        """What it tells of one; `later` is the next one that it tells of, None if that has not happened yet."""
        raise NotImplementedError

    def at(self, event: Any) -> str:
        """When an event happened, ISO 8601."""
        command = self.gateway.history.command(int(event.sequence))
        return iso(int(command.now_ns), self.gateway.exchange.market.timezone)


class TradesChannel(Channel):
    """The trades of one instrument."""

    def __init__(self, gateway: Gateway, listed: Instrument) -> None:
        super().__init__(gateway, "trades")
        self.listed = listed

    def opening(self) -> dict[str, Any]:
        return super().opening() | {"symbol": self.listed.symbol}

    def wanted(self, events: type_of_rows) -> type_of_rows:
        in_book = np.isin(events["kind"], _OF_TRADES) & (events["order_id"] != 0)
        wanted: type_of_rows = in_book & (events["instrument"] == self.listed.number)
        return wanted

    def messages_of(self, event: Any, later: Any | None) -> list[dict[str, Any]]:
        trade = self.gateway.history.trade(int(event.trade_id))
        orders = {"buy_order_id": int(trade.buy_order_id), "sell_order_id": int(trade.sell_order_id)}
        correction = correction_of(self.gateway, event)
        message = {"type": EventKind(int(event.kind)).label} | trade_view(self.gateway, trade, correction).model_dump()
        if correction is None:
            return [message | orders]
        return [message | orders | {"corrected_at": self.at(event), "reason": correction.reason}]


def correction_of(gateway: Gateway, event: Any) -> Correction | None:
    """What an event row says was put right of a trade; None if it tells of something else."""
    if event.kind not in (EventKind.TRADE_CORRECTED, EventKind.TRADE_BUSTED):
        return None
    made = gateway.exchange.clearing.corrections.of(int(event.trade_id))
    return next(one for one in made if one.sequence == event.sequence)


class BookChannel(Channel):
    """The book of one instrument, order by order, as everybody may see it."""

    def __init__(self, gateway: Gateway, listed: Instrument) -> None:
        super().__init__(gateway, "book.l3")
        self.listed = listed
        self.book = ShownBook(gateway.history, gateway.exchange.path.desk.ladder, listed.number)

    def opening(self) -> dict[str, Any]:
        opening = super().opening()
        orders = [self._order(order_id, shown) for order_id, shown in self.book.orders.items()]
        return opening | {"symbol": self.listed.symbol, "orders": orders}

    def wanted(self, events: type_of_rows) -> type_of_rows:
        wanted: type_of_rows = events["instrument"] == self.listed.number
        return wanted

    def messages_of(self, event: Any, later: Any | None) -> list[dict[str, Any]]:
        return [
            {"type": change.type, "symbol": self.listed.symbol, "at": self.at(event)}
            | self._order(change.order_id, change.shown)
            for change in self.book.changes(event, later)
        ]

    def _order(self, order_id: int, shown: Shown) -> dict[str, Any]:
        """An order as the book shows it. Price per t in the instrument's currency, quantity in tCO2e."""
        return {
            "order_id": order_id,
            "side": side_name(shown.side),
            "price": self.listed.price(shown.price_ticks),
            "quantity": shown.quantity,
        }


class PrivateChannel(Channel):
    """What happens to one account's orders, each fill from its own order's side."""

    def __init__(self, gateway: Gateway, account: int) -> None:
        super().__init__(gateway, "orders")
        self.account = account

    def wanted(self, events: type_of_rows) -> type_of_rows:
        mine: type_of_rows = (events["account"] == self.account) | (events["maker_account"] == self.account)
        return mine

    def messages_of(self, event: Any, later: Any | None) -> list[dict[str, Any]]:
        told = []
        if event.account == self.account:
            told.append(self._told(event, event.order_id, event.side, event.leaves))
        if event.maker_account == self.account:
            side = Side(int(event.side)).opposite
            told.append(self._told(event, event.maker_order_id, side, event.maker_leaves))
        return told

    def _told(self, event: Any, order_id: int, side: int, leaves: int) -> dict[str, Any]:
        """An event from the side of one order. Prices per t in the instrument's currency, quantities in tCO2e."""
        kind = EventKind(int(event.kind))
        message: dict[str, Any] = {
            "type": kind.label,
            "order_id": int(order_id),
            "quantity": int(event.quantity),
            "leaves": int(leaves),
            "at": self.at(event),
        }
        if event.instrument:
            listed = self.gateway.exchange.instruments[int(event.instrument)]
            message |= {"symbol": listed.symbol, "price": price(listed, int(event.price_ticks))}
            message["side"] = side_name(side) if side != EITHER_SIDE else None
        if event.maker_order_id:
            message["maker_order_id"] = int(event.maker_order_id)
        if kind == EventKind.TRADED:
            trade = self.gateway.history.trade(int(event.trade_id))
            message |= {"trade_id": int(event.trade_id), "aggressor": aggressor_of(trade)}
            message["liquidity"] = liquidity_of(trade, order_id)
        if correction := correction_of(self.gateway, event):
            fee = correction.after.buyer_fee if side == Side.BUY else correction.after.seller_fee
            message |= {"trade_id": correction.trade_id, "fee": money(fee), "reason": correction.reason}
        if kind == EventKind.AMENDED:
            message["priority"] = Priority(int(event.priority)).label
        if event.reason:
            message["reason"] = Reason(int(event.reason)).code
        return message


class Feed:
    """All channels that somebody listens to."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.channels: dict[tuple[str, str], Channel] = {}

    def channel(self, request: Subscribe) -> Channel:
        """The channel that a request names. Problem if its instrument or account is unknown."""
        key = request.channel, request.account_id if request.channel == "orders" else request.symbol
        if key not in self.channels:
            self.channels[key] = self._made(request)
        return self.channels[key]

    def _made(self, request: Subscribe) -> Channel:
        match request.channel:
            case "trades":
                return TradesChannel(self.gateway, self.gateway.instrument(request.symbol))
            case "book.l3":
                return BookChannel(self.gateway, self.gateway.instrument(request.symbol))
            case "orders":
                return PrivateChannel(self.gateway, self.gateway.account(request.account_id).number)


class Subscriber:
    """One socket's places in its channels."""

    def __init__(self) -> None:
        self.places: list[tuple[Channel, int]] = []

    def listen(self, channel: Channel) -> None:
        """Hear of a channel from now on."""
        self.places.append((channel, channel.catch_up()))

    def news(self) -> str:
        """A JSON array of all messages since the last call; empty text if there are none. TooSlow if too late."""
        fresh: list[str] = []
        for index, (channel, place) in enumerate(self.places):
            count = channel.catch_up()
            fresh += channel.since(place)
            self.places[index] = channel, count
        return f"[{','.join(fresh)}]" if fresh else ""


async def push(socket: WebSocket, subscriber: Subscriber) -> None:
    """Send each tick's news until cancelled or the client is gone."""
    try:
        while True:
            if news := subscriber.news():
                await socket.send_text(news)
            await asyncio.sleep(TICK_S)
    except TooSlow as slow:
        await socket.send_text(json.dumps([slow.message]))
        await socket.close(TOO_SLOW, "too_slow")
