"""The stream: what happened, by sequence number, to whoever subscribed.

There is no queue per subscriber and nothing is ever dropped: the history's event rows are the ring, and
a subscriber is a cursor into it. Twenty times a second each subscriber gets, in one frame, a JSON array
of all messages since its cursor. The `seq` of a message is its event's number since the journal began;
`prev_seq` is that of the message before it in the same subscription, so that a gap can't hide.

Channels: `trades` and `book.l3` of a symbol, for everybody and without names; `orders` of an account.
"""

import asyncio
import json
from typing import Any, Literal

from fastapi import WebSocket
from pydantic import BaseModel, ConfigDict

from api.gateway import Gateway
from api.views import side_name
from exchange.instruments import Instrument
from exchange.reasons import Reason
from exchange.rows import EventKind, type_of_rows
from matching import ladder as book_of

TICK_S = 0.05
_BOOK_KINDS = (EventKind.ACCEPTED, EventKind.TRADED, EventKind.CANCELLED)


class Subscribe(BaseModel):
    """The request that a client sends as a JSON text frame."""

    model_config = ConfigDict(extra="forbid")
    op: Literal["subscribe"]
    channel: Literal["trades", "book.l3", "orders"]
    symbol: str | None = None
    account_id: str | None = None


class Subscription:
    """A cursor into the history, and what of it a client wants."""

    def __init__(self, gateway: Gateway, request: Subscribe) -> None:
        self.gateway = gateway
        self.channel = request.channel
        self.listed: Instrument | None = None
        self.account = 0
        if request.channel == "orders":
            self.account = gateway.account(request.account_id or "").number
        else:
            self.listed = gateway.instrument(request.symbol or "")
        self.cursor = gateway.history.events.size
        self.prev_seq = self.cursor

    def opening(self) -> dict[str, Any]:
        """The first message: the state after `seq`, from which the messages that follow go on."""
        message: dict[str, Any] = {"type": "subscribed", "channel": self.channel, "seq": self.cursor}
        if self.listed is not None:
            message["symbol"] = self.listed.symbol
        if self.channel == "book.l3" and self.listed is not None:
            ladder = self.gateway.exchange.path.desk.ladder
            message["orders"] = [
                {
                    "order_id": int(order.order_id),
                    "side": side_name(order.side),
                    "price": self.listed.price(int(order.price_ticks)),
                    "quantity": int(order.leaves),
                }
                for order in book_of.resting(ladder, self.listed.number)
            ]
        return message

    def news(self) -> list[dict[str, Any]]:
        """Messages since the last call."""
        events = self.gateway.history.events
        fresh = events[self.cursor :]
        wanted = self._wanted(fresh).nonzero()[0].tolist()
        messages = []
        for index in wanted:
            seq = self.cursor + index + 1
            messages.append({**self._message(fresh[index]), "seq": seq, "prev_seq": self.prev_seq})
            self.prev_seq = seq
        self.cursor = events.size
        return messages

    def _wanted(self, events: type_of_rows) -> type_of_rows:
        if self.listed is None:
            mine: type_of_rows = (events["account"] == self.account) | (events["maker_account"] == self.account)
            return mine
        kinds = (EventKind.TRADED,) if self.channel == "trades" else _BOOK_KINDS
        of_symbol: type_of_rows = events["instrument"] == self.listed.number
        wanted: type_of_rows = of_symbol & (events["kind"][:, None] == kinds).any(axis=1)
        return wanted

    def _message(self, event: Any) -> dict[str, Any]:
        instruments = self.gateway.exchange.instruments
        listed = self.listed or (instruments[int(event.instrument)] if event.instrument else None)
        kind = EventKind(int(event.kind))
        message: dict[str, Any] = {
            "type": kind.label,
            "channel": self.channel,
            "sequence": int(event.sequence),
            "order_id": int(event.order_id),
            "quantity": int(event.quantity),
            "leaves": int(event.leaves),
        }
        if listed is not None:
            message |= {
                "symbol": listed.symbol,
                "side": side_name(event.side),
                "price": listed.price(int(event.price_ticks)),
            }
        if kind == EventKind.TRADED:
            message |= {"trade_id": int(event.trade_id), "maker_order_id": int(event.maker_order_id)}
        if event.reason:
            message["reason"] = Reason(int(event.reason)).code
        return message


async def push(socket: WebSocket, subscriptions: list[Subscription]) -> None:
    """Send each tick's news until cancelled or the client is gone."""
    while True:
        news = [message for subscription in subscriptions for message in subscription.news()]
        if news:
            await socket.send_text(json.dumps(news))
        await asyncio.sleep(TICK_S)
