"""The client of the exchange: typed answers, errors with codes, requests that are safe to send again.

    with Client("http://127.0.0.1:8000") as client:
        order = client.place_order("E-001", "HBEA-2025", "buy", "42.00", 100)

    async with AsyncClient("http://127.0.0.1:8000") as client:
        order = await client.place_order("E-001", "HBEA-2025", "buy", "42.00", 100)

Both have the same calls (:mod:`api.calls`). Every order carries a client order id, every other POST an
`Idempotency-Key`, made here before the first attempt and kept over retries: an answer lost on the way never leads to a
second order or deposit. What is sent again, up to RETRIED_S in all:

| what happened                                  | is sent again                                               |
|------------------------------------------------|-------------------------------------------------------------|
| refused for what it is (4xx)                   | never                                                       |
| 429, 503 with Retry-After: nothing was done    | everything, after that time                                 |
| no connection was had                          | everything; the first GET is not: perhaps nobody is there   |
| 500, 502, 503, 504, the answer was lost        | GET, PUT, DELETE, and a POST under its name; never a PATCH  |

An amend is not repeated once the exchange may have it, since fills that came between would be made up for.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Generator
from typing import Any, NamedTuple, Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter

from api import schemas
from api.calls import CONNECTION_LOST, ApiError, Awaiting, Waiting, call
from api.currency_calls import CurrencyCalls
from api.market_calls import MarketCalls
from api.outbox import Kept, Outbox
from api.registry_calls import RegistryCalls
from api.settlement_calls import SettlementCalls
from api.signing import Signer, from_environment, headers

__all__ = ["CONNECTION_LOST", "ApiError", "AsyncClient", "Client", "DryRun", "NotSent", "Recovered", "Signed"]

CURSOR = "Carbonex-Cursor"  # header of an answer that is not the last page
RETRIED_S = 15.0  # a restart takes a few seconds
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_UNKNOWN = ("answer_lost", "request_outcome_unknown")  # codes of who can't say what became of a request

_Answer = TypeVar("_Answer", bound=BaseModel)


class Recovered(NamedTuple):
    """What became of an order whose answer its robot has not seen."""

    kept: Kept
    order: schemas.OrderView | None  # as it is now; None if the exchange does not know it


class NotSent(Exception):
    """A request that a dry run did not send."""

    def __init__(self, method: str, path: str, body: str) -> None:
        super().__init__(f"{method} {path} {body}".strip())
        self.method = method
        self.path = path
        self.body = body  # JSON, or empty


class DryRun(httpx.AsyncBaseTransport):
    """A way to the exchange on which nothing is sent: NotSent says what would have been."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise NotSent(request.method, request.url.raw_path.decode(), (await request.aread()).decode())


class Signed(httpx.Auth):
    """Signs each request, and anew if it is sent again."""

    requires_request_body = True

    def __init__(self, signer: Signer) -> None:
        self.signer = signer

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        target = request.url.raw_path.decode("ascii")
        request.headers.update(headers(self.signer, time.time_ns(), request.method, target, request.content))
        yield request


class _Core(MarketCalls, RegistryCalls, SettlementCalls, CurrencyCalls):
    """What both clients are: what to send, what to send again, and how to read the answers."""

    outbox: Outbox | None = None
    _met = False  # whether the exchange has ever answered

    # -- how they differ

    async def _exchange(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request, and get its answer."""
        raise NotImplementedError

    async def _pause(self, seconds: float) -> None:
        raise NotImplementedError

    # -- orders

    @call
    async def recover(self) -> list[Recovered]:
        """Ask after each order of the outbox that has no answer, and note what became of it; for a robot that starts.

        One that the exchange does not know never came there, or is still on its way: it stays without an answer. To
        place it under the same id is safe, to place the like of it under another is not.
        """
        assert self.outbox is not None, "a client with an outbox"
        return [Recovered(kept, await self._look_up(self.outbox, kept)) for kept in self.outbox.unanswered()]

    async def _place(self, order: dict[str, Any]) -> schemas.OrderView:
        if self.outbox is None:
            return await self._retried("POST", "/v1/orders", schemas.OrderView, json=order)
        kept = self.outbox.sent_before(order)
        if kept is None:
            self.outbox.keep([order])
        elif kept.refusal is not None:
            raise kept.refusal
        elif (found := await self._look_up(self.outbox, kept)) is not None:
            return found
        name = order["account_id"], order["client_order_id"]
        try:
            placed = await self._retried("POST", "/v1/orders", schemas.OrderView, json=order)
        except ApiError as error:
            if _is_refusal(error):
                self.outbox.note_refused(*name, error)
            raise
        self.outbox.note_taken(*name, placed.order_id)
        return placed

    async def _place_batch(self, batch: dict[str, Any]) -> schemas.OrderBatchView:
        """Likewise all at once; AlreadySent if one of them is in the outbox."""
        account_id = batch["account_id"]
        if self.outbox is not None:
            self.outbox.keep([{"account_id": account_id} | order for order in batch["orders"]])
        try:
            answer = await self._retried("POST", "/v1/orders/batch", schemas.OrderBatchView, json=batch)
        except ApiError as error:
            if self.outbox is not None and _is_refusal(error):
                for order in batch["orders"]:
                    self.outbox.note_refused(account_id, order["client_order_id"], error)
            raise
        if self.outbox is not None:
            for outcome in answer.orders:
                _note(self.outbox, account_id, outcome)
        return answer

    async def _look_up(self, outbox: Outbox, kept: Kept) -> schemas.OrderView | None:
        """An order that was perhaps taken, as it is now."""
        params: dict[str, Any] = {"account_id": kept.account_id}
        if kept.order_id is not None:
            return await self._one("GET", f"/v1/orders/{kept.order_id}", schemas.OrderView, params=params)
        params["client_order_id"] = kept.client_order_id
        found = await self._many("GET", "/v1/orders", schemas.OrderView, params=params)
        if not found:
            return None
        outbox.note_taken(kept.account_id, kept.client_order_id, found[-1].order_id)
        return found[-1]

    # -- on the wire

    async def _one(self, method: str, path: str, shape: type[_Answer], **request: Any) -> _Answer:
        return shape.model_validate_json((await self._send(method, path, **request)).content)

    async def _many(self, method: str, path: str, shape: type[_Answer], **request: Any) -> list[_Answer]:
        """A list, whole: page by page."""
        shapes: TypeAdapter[list[_Answer]] = TypeAdapter(list[shape])  # type: ignore[valid-type]
        response = await self._send(method, path, **request)
        found = shapes.validate_json(response.content)
        params = request.pop("params", {})
        while cursor := response.headers.get(CURSOR):
            response = await self._send(method, path, params=params | {"cursor": cursor}, **request)
            found += shapes.validate_json(response.content)
        return found

    async def _retried(self, method: str, path: str, shape: type[_Answer], **request: Any) -> _Answer:
        """For requests that the exchange recognises by what they say when they come again."""
        return shape.model_validate_json((await self._again(method, path, **request)).content)

    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        if method == "POST":
            request["headers"] = {"Idempotency-Key": uuid.uuid4().hex} | request.get("headers", {})
        return await self._again(method, path, **request)

    async def _again(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send until there is an answer that stands, with growing pauses; see the table above."""
        deadline, pause_s, perhaps_done = time.monotonic() + RETRIED_S, _FIRST_PAUSE_S, False
        while True:
            try:
                return await self._once(method, path, **request)
            except ApiError as error:
                error.perhaps_done = perhaps_done
                wait_s = max(error.wait_s, pause_s * random.uniform(0.5, 1.0))
                if not self._may_repeat(method, error) or time.monotonic() + wait_s > deadline:
                    raise
                perhaps_done = perhaps_done or not error.is_untouched
            await self._pause(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _may_repeat(self, method: str, error: ApiError) -> bool:
        if error.is_untouched:
            return self._met or method != "GET" or error.status != 0
        return error.passing and method != "PATCH"

    async def _once(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            response = await self._exchange(method, path, **request)
        except httpx.TransportError as error:
            said = f"{type(error).__name__} {error}".strip()
            raise ApiError(0, CONNECTION_LOST, said, is_untouched=isinstance(error, _NEVER_SENT)) from error
        self._met = True
        if response.is_error:
            raise _error(response)
        return response


class AsyncClient(_Core, Awaiting):
    """A connection to one exchange, for those who await. Prices and money are decimal strings, quantities tonnes.

    Where the exchange asks for keys, `signer` signs (:class:`api.signing.HmacSigner`); left out, what the environment
    names (:func:`api.signing.from_environment`). With an `outbox` its orders are on disk before they are sent; that is
    yours to close.
    """

    def __init__(
        self,
        base_url: str,
        timeout_s: float = 30.0,
        connections: int = 20,
        transport: httpx.AsyncBaseTransport | None = None,
        signer: Signer | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self.outbox = outbox
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            transport=transport,
            auth=_auth(signer),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.aclose()

    async def _exchange(self, method: str, path: str, **request: Any) -> httpx.Response:
        return await self._http.request(method, path, **request)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Client(_Core, Waiting):
    """The same connection for those who wait: every call of :class:`AsyncClient` without `await`.

    Not to be used in an event loop, which it would hold up.
    """

    def __init__(
        self,
        base_url: str,
        timeout_s: float = 30.0,
        connections: int = 20,
        transport: httpx.BaseTransport | None = None,
        signer: Signer | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self.outbox = outbox
        self._http = httpx.Client(
            base_url=base_url,
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            transport=transport,
            auth=_auth(signer),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    async def _exchange(self, method: str, path: str, **request: Any) -> httpx.Response:
        return self._http.request(method, path, **request)

    async def _pause(self, seconds: float) -> None:
        time.sleep(seconds)


def _auth(signer: Signer | None) -> Signed | None:
    signer = signer or from_environment()
    return Signed(signer) if signer else None


def _is_refusal(error: ApiError) -> bool:
    """Whether an order was refused for good: there is none under its id."""
    return 400 <= error.status < 500 and not error.passing and error.code not in _UNKNOWN


def _note(outbox: Outbox, account_id: str, outcome: schemas.BatchedOrder) -> None:
    if outcome.client_order_id is None:
        return
    if outcome.order_id is not None:
        outbox.note_taken(account_id, outcome.client_order_id, outcome.order_id)
    else:
        refusal = ApiError(422, outcome.code or outcome.status, outcome.detail or "")
        outbox.note_refused(account_id, outcome.client_order_id, refusal)


def _error(response: httpx.Response) -> ApiError:
    status = response.status_code
    try:
        problem = response.json()
        code, detail = problem["code"], problem["detail"]
    except (ValueError, KeyError, TypeError):
        code, detail = "unreadable_answer", response.text[:200]
    asked = response.headers.get("Retry-After", "")
    wait_s = float(asked) if asked.isdecimal() else 0.0  # it may be a date: then as long as we think
    return ApiError(status, code, detail, wait_s, is_untouched=status == 429 or (status == 503 and bool(asked)))
