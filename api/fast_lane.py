"""The fast lane: orders as they usually come are understood before the application's routes are asked.

An ordinary route takes as long for finding its parameters and checking them as the exchange does for an order with its
journal. So `POST /v1/orders` and `/v1/orders/batch` are read here, by a decoder that takes nothing which their routes
would not take and makes the same of it. Whatever it does not understand goes on to the route: that says what is wrong.
What is documented, and what a request means, stays there (:mod:`api.routers.orders`).
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import order_entry
from api.access.guard import Access, Caller, given_again
from api.gateway import Gateway
from api.order_batches import place_batch
from api.order_views import order_after
from api.problems import Problem
from api.schemas import BATCH_MAX, INT32, INT64, OrderTypeName, SelfTradePreventionName, SideName, TimeInForceName
from exchange.commands import OnError
from exchange.reasons import Refused

_JSON = (b"content-type", b"application/json")
_REPLAYED = (b"idempotent-replayed", b"true")
_KEY = b"idempotency-key"
_Reply = tuple[int, bytes, bool]  # status, body, whether it is the answer to an earlier request

_Identifier = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")]
_Decimal = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,8})?\Z")]
_Tonnes = Annotated[int, msgspec.Meta(ge=-INT64, le=INT64)]
_Shown = Annotated[int, msgspec.Meta(ge=1, le=INT32)]


class FastTerms(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """`api.schemas.OrderTerms`."""

    symbol: _Identifier
    side: SideName
    type: OrderTypeName = "limit"
    price: _Decimal | None = None
    stop_price: _Decimal | None = None
    quantity: _Tonnes
    time_in_force: TimeInForceName | None = None
    expire_date: None = None  # a date has bounds of its own
    display_quantity: _Shown | None = None
    post_only: bool = False
    self_trade_prevention: SelfTradePreventionName | None = None
    client_order_id: _Identifier | None = None


class FastOrder(FastTerms, forbid_unknown_fields=True, kw_only=True, gc=False):
    """`api.schemas.NewOrder`."""

    account_id: _Identifier


class FastBatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`api.schemas.NewBatch`."""

    account_id: _Identifier
    orders: Annotated[list[FastTerms], msgspec.Meta(min_length=1, max_length=BATCH_MAX)]
    on_error: OnError = OnError.STOP


class FastLane:
    """The application before the routes; what it can't answer it hands on."""

    def __init__(self, app: ASGIApp, gateway: Gateway, access: Access) -> None:
        self._app, self._gateway, self._access = app, gateway, access
        self._lanes: dict[str, tuple[Callable[[bytes], Any], Callable[[Caller, Any], Awaitable[_Reply]]]] = {
            "/v1/orders": (msgspec.json.Decoder(FastOrder).decode, self._place),
            "/v1/orders/batch": (msgspec.json.Decoder(FastBatch).decode, self._place_batch),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lane = self._lanes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if lane is None or not _is_usual(scope):
            await self._app(scope, receive, send)
            return
        decode, answer = lane
        body = await _body(receive)
        if body is None:
            return  # the client is gone
        try:
            asked = decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            await self._app(scope, given_again(body, receive), send)
            return
        try:
            status, content, is_repeat = await answer(scope["state"]["caller"], asked)
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
        answer = order_entry.granted(await self._gateway.inbox.offer(command))
        view = order_after(self._gateway, answer.rows)
        return 200 if answer.repeated else 201, view.model_dump_json().encode(), answer.repeated

    async def _place_batch(self, caller: Caller, batch: Any) -> _Reply:
        outcomes = await place_batch(self._gateway, self._access, caller, batch)
        return 200, msgspec.json.encode(outcomes), False


def _is_usual(scope: Scope) -> bool:
    """Whether a request brings JSON, and no key by which its answer is to be found again."""
    is_json = False
    for header in scope["headers"]:
        if header == _JSON:
            is_json = True
        elif header[0] == _KEY:
            return False
    return is_json


async def _body(receive: Receive) -> bytes | None:
    """All of a request's body; None if its end never comes."""
    message: Message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return message.get("body", b"")  # type: ignore[no-any-return]
    parts = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return None if message["type"] == "http.disconnect" else b"".join(parts)
