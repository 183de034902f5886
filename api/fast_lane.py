"""The fast lane: orders as they usually come are understood before the application's routes are asked.

An ordinary route takes as long for finding its parameters and checking them as the exchange does for an order with its
journal. So `POST /v1/orders` and `/v1/orders/batch` are read here, by a decoder that takes nothing which their routes
would not take and makes the same of it. Whatever it does not understand goes on to the route: that says what is wrong.
What is documented, and what a request means, stays there (:mod:`api.routers.orders`).
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from starlette.types import ASGIApp, Receive, Scope, Send

from api import order_entry
from api.access.bodies import body_of, given
from api.access.guard import Access, Caller
from api.gateway import Gateway
from api.inbox import Answer
from api.order_batches import place_rows
from api.order_entry import LIVES, SIDES
from api.order_views import told_at_first
from api.problems import Problem, broken
from api.schemas import (
    BATCH_MAX,
    DECIMAL,
    IDENTIFIER,
    INT32,
    INT64,
    OrderTypeName,
    SelfTradePreventionName,
    SideName,
    TimeInForceName,
)
from exchange.commands import OnError, packed_row
from exchange.instruments import Instrument
from exchange.reasons import Refused
from exchange.rows import COMMAND, CommandKind, InBatch
from matching.orders import OrderType, SelfTradePrevention

_JSON = (b"content-type", b"application/json")
_REPLAYED = (b"idempotent-replayed", b"true")
_Reply = tuple[int, bytes, bool]  # status, body, whether it is the answer to an earlier request

_IDENTIFIER, _DECIMAL = re.compile(IDENTIFIER), re.compile(DECIMAL)
_IDENTIFIERS = re.compile(rf"{IDENTIFIER}(?:\n{IDENTIFIER})*")
_Identifier = Annotated[str, msgspec.Meta(pattern=rf"^{IDENTIFIER}\Z")]
_Tonnes = Annotated[int, msgspec.Meta(ge=-INT64, le=INT64)]
_Shown = Annotated[int, msgspec.Meta(ge=1, le=INT32)]


@lru_cache(1 << 12)
def _require_identifier(text: str) -> None:
    """ValueError if it is none. Which ones are is remembered, for few make up most orders."""
    if not _IDENTIFIER.fullmatch(text):
        raise ValueError("no identifier")


@lru_cache(1 << 12)
def _require_decimal(text: str) -> None:
    """Likewise."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError("no decimal number")


class FastOrder(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """`api.schemas.NewOrder`. A pattern in each field's type would take longer than all the rest."""

    account_id: str
    symbol: str
    side: SideName
    type: OrderTypeName = "limit"
    price: str | None = None
    stop_price: str | None = None
    quantity: _Tonnes
    time_in_force: TimeInForceName | None = None
    expire_date: None = None  # a date has bounds of its own
    display_quantity: _Shown | None = None
    post_only: bool = False
    self_trade_prevention: SelfTradePreventionName | None = None
    client_order_id: str | None = None

    def __post_init__(self) -> None:
        _require_identifier(self.account_id)
        _require_identifier(self.symbol)
        if self.price is not None:
            _require_decimal(self.price)
        if self.stop_price is not None:
            _require_decimal(self.stop_price)
        if self.client_order_id is not None and not _IDENTIFIER.fullmatch(self.client_order_id):
            raise ValueError("no identifier")


class FastTerms(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """`api.schemas.OrderTerms` of a limit order; its texts are still to be looked at."""

    symbol: str
    side: SideName
    type: Literal["limit"] = "limit"
    price: str
    quantity: _Tonnes
    time_in_force: TimeInForceName = "DAY"
    post_only: bool = False
    client_order_id: str | None = None


class FastBatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`api.schemas.NewBatch` of limit orders."""

    account_id: _Identifier
    orders: Annotated[list[FastTerms], msgspec.Meta(min_length=1, max_length=BATCH_MAX)]
    on_error: OnError = OnError.STOP


_but_quantity = attrgetter("symbol", "price", "side", "time_in_force", "post_only")


def packed_rows(orders: list[FastTerms], account: int, instruments: dict[str, Instrument]) -> bytes | None:
    """The COMMAND rows that place the orders of an account; None if one of them is unusual.

    Those that differ in quantity alone are made together.
    """
    named = [one.client_order_id for one in orders if one.client_order_id is not None]
    together = "\n".join(named)
    if named and not (_IDENTIFIERS.fullmatch(together) and together.count("\n") == len(named) - 1):
        return None
    kinds = [*map(_but_quantity, orders)]
    packed = {each: _row_of(account, instruments, *each) for each in set(kinds)}
    if None in packed.values():
        return None
    rows = np.frombuffer(bytearray(b"".join([packed[each] for each in kinds])), COMMAND)  # type: ignore[misc]
    rows["quantity"] = [one.quantity for one in orders]
    return rows.tobytes()


def _row_of(
    account: int,
    instruments: dict[str, Instrument],
    symbol: str,
    price: str,
    side: SideName,
    lives: TimeInForceName,
    post_only: bool,
) -> bytes | None:
    """The row of an order without its quantity; None if there is no such instrument or price."""
    listed = instruments.get(symbol)
    if listed is None or not _DECIMAL.fullmatch(price):
        return None
    try:
        ticks = listed.ticks(price)
    except Refused:
        return None
    if not 0 < ticks <= INT64:
        return None
    return packed_row(
        0, 0, 0, ticks, 0, account, 0, 0, 0, listed.number, CommandKind.PLACE_ORDER, SIDES[side], OrderType.LIMIT,
        LIVES[lives], SelfTradePrevention.BY_RULES, post_only, InBatch.ALONE,
    )  # fmt: skip


class _Unusual(Exception):
    """A request that the route must look at; nothing has happened."""


class FastLane:
    """The application before the routes; what it can't answer it hands on."""

    def __init__(self, app: ASGIApp, gateway: Gateway, access: Access) -> None:
        self._app, self._gateway, self._access = app, gateway, access
        self._lanes: dict[str, tuple[Callable[[bytes], Any], Callable[[Caller, Any], Awaitable[_Reply]]]] = {
            "/v1/orders": (msgspec.json.Decoder(FastOrder).decode, self._place),
            "/v1/orders/batch": (msgspec.json.Decoder(FastBatch).decode, self._place_batch),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_plain = scope["type"] == "http" and scope["method"] == "POST" and not scope["query_string"]
        lane = self._lanes.get(scope["path"]) if is_plain else None
        if lane is None or _JSON not in scope["headers"]:
            await self._app(scope, receive, send)
            return
        decode, answer = lane
        body = b""
        try:
            body = await body_of(receive, scope)
            status, content, is_repeat = await answer(scope["state"]["caller"], decode(body))
        except (msgspec.MsgspecError, UnicodeDecodeError, _Unusual):
            await self._app(scope, given(body, receive), send)
        except Refused as refused:
            await Problem.of(refused).response()(scope, receive, send)
        except Problem as problem:
            await problem.response()(scope, receive, send)
        else:
            headers = [_JSON, (b"content-length", b"%d" % len(content))]
            if is_repeat:
                headers.append(_REPLAYED)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": content})

    async def _place(self, caller: Caller, order: Any) -> _Reply:
        command = order_entry.placing(self._gateway, self._access, caller, order)
        reply: asyncio.Future[_Reply] = asyncio.get_running_loop().create_future()
        self._gateway.inbox.offer_for(command, partial(self._tell, reply))
        return await reply

    def _tell(self, reply: "asyncio.Future[_Reply]", answer: Answer | None, problem: Problem | None) -> None:
        """The exchange has answered. Told at once, with the others of its group: by itself each takes twice as long."""
        if reply.done():
            return  # whoever asked is gone
        try:
            if answer is None:
                raise problem or broken()
            content = msgspec.json.encode(told_at_first(self._gateway, order_entry.granted(answer)))
            reply.set_result((200 if answer.repeated else 201, content, answer.repeated))
        except Exception as error:
            reply.set_exception(error)

    async def _place_batch(self, caller: Caller, batch: Any) -> _Reply:
        if caller.key is not None and caller.key.limits.are_of_orders:
            raise _Unusual
        account = self._gateway.account(batch.account_id)
        rows = packed_rows(batch.orders, account.number, self._gateway.exchange.instruments.by_symbol)
        if rows is None:
            raise _Unusual
        outcomes = await place_rows(self._gateway, self._access, caller, batch, rows)
        return 200, msgspec.json.encode(outcomes), False
