"""The client of the exchange: typed answers, errors with codes, orders that are safe to send again.

    async with AsyncClient("http://127.0.0.1:8000") as client:
        order = await client.place_order("E-001", "HBEA-2025", "buy", "42.00", 100)

Every order carries a client order id, every other POST an `Idempotency-Key`, made here before the first
attempt and kept over retries: an answer lost on the way never leads to a second order or deposit. An
amend is not repeated after a failure on the way, since fills that came between would be made up for.
"""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Generator, Sequence
from typing import Any, Literal, Self, TypeVar, cast

import httpx
from pydantic import BaseModel, TypeAdapter

from api import schemas
from api.currency_calls import CurrencyCalls
from api.registry_calls import RegistryCalls
from api.schemas import ClassName, OrderTypeName, SelfTradePreventionName, SideName, TimeInForceName
from api.settlement_calls import SettlementCalls
from api.signing import Signer, from_environment, headers

CURSOR = "Carbonex-Cursor"  # header of an answer that is not the last page
CONNECTION_LOST = "connection_lost"  # the code of an ApiError when no answer came
RETRIED_S = 15.0  # a restart takes a few seconds
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0

_Answer = TypeVar("_Answer", bound=BaseModel)
OnErrorName = Literal["stop", "continue", "rollback"]


class ApiError(Exception):
    """The exchange said no; `code` is stable, `status` the HTTP status."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{code} ({status}): {detail}")
        self.status = status
        self.code = code
        self.detail = detail

    @property
    def passing(self) -> bool:
        """Whether it is about the moment, so that the same request may be answered later."""
        return self.code in (CONNECTION_LOST, "request_in_progress") or self.status in (429, 500, 503)


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


class AsyncClient(RegistryCalls, SettlementCalls, CurrencyCalls):
    """A connection to one exchange. Prices and money are decimal strings, quantities tonnes.

    Where the exchange asks for keys, `signer` signs (:class:`api.signing.HmacSigner`); left out, what the environment
    names (:func:`api.signing.from_environment`).
    """

    def __init__(
        self,
        base_url: str,
        timeout_s: float = 30.0,
        connections: int = 20,
        transport: httpx.AsyncBaseTransport | None = None,
        signer: Signer | None = None,
    ) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        signer = signer or from_environment()
        auth = Signed(signer) if signer else None
        self._http = httpx.AsyncClient(
            base_url=base_url, timeout=timeout_s, limits=limits, transport=transport, auth=auth
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.aclose()

    # -- orders

    async def place_order(
        self,
        account_id: str,
        symbol: str,
        side: SideName,
        price: str | None,
        quantity: int,
        time_in_force: TimeInForceName | None = None,
        client_order_id: str | None = None,
        *,
        order_type: OrderTypeName = "limit",
        stop_price: str | None = None,
        display_quantity: int | None = None,
        expire_date: str | None = None,
        post_only: bool = False,
        self_trade_prevention: SelfTradePreventionName | None = None,
    ) -> schemas.OrderView:
        """Place an order; tried again if the answer is lost or the inbox full. ApiError if refused.

        A market or stop order has no `price`. `time_in_force` is DAY unless named, of a market order IOC.
        `expire_date` (ISO 8601) belongs to GTD.
        """
        body = {
            "account_id": account_id,
            "symbol": symbol,
            "side": side,
            "type": order_type,
            "price": price,
            "stop_price": stop_price,
            "quantity": quantity,
            "display_quantity": display_quantity,
            "time_in_force": time_in_force,
            "expire_date": expire_date,
            "post_only": post_only,
            "self_trade_prevention": self_trade_prevention,
            "client_order_id": client_order_id or f"c-{uuid.uuid4().hex}",
        }
        return await self._retried("POST", "/v1/orders", schemas.OrderView, json=body)

    async def place_orders(
        self, account_id: str, orders: Sequence[dict[str, Any]], on_error: OnErrorName = "stop"
    ) -> schemas.OrderBatchView:
        """Place up to 1,000 orders at once, each with the fields of `schemas.OrderTerms`; the answer tells of each.

        Tried again if the answer is lost: an order that names no client order id gets one.
        """
        named = [{"client_order_id": f"c-{uuid.uuid4().hex}"} | order for order in orders]
        body = {"account_id": account_id, "orders": named, "on_error": on_error}
        return await self._retried("POST", "/v1/orders/batch", schemas.OrderBatchView, json=body)

    async def amend_order(
        self, account_id: str, order_id: int, quantity: int, price: str | None = None, stop_price: str | None = None
    ) -> schemas.OrderView:
        """Give an order new leaves, and another price if one is named; `priority` of the answer tells the rest.

        Not tried again if the answer is lost: fills that came between would be made up for. Ask for the order.
        """
        body = {"account_id": account_id, "quantity": quantity, "price": price, "stop_price": stop_price}
        return await self._one("PATCH", f"/v1/orders/{order_id}", schemas.OrderView, json=body)

    async def cancel_order(self, account_id: str, order_id: int) -> schemas.OrderView:
        """Cancel an order. ApiError `unknown_order` if it does not rest any more."""
        path, params = f"/v1/orders/{order_id}", {"account_id": account_id}
        tries = 0
        async for _ in self._attempts():
            tries += 1
            try:
                return await self._one("DELETE", path, schemas.OrderView, params=params)
            except ApiError as error:
                if tries > 1 and error.code == "unknown_order":
                    break  # perhaps the cancel whose answer was lost: the order itself will tell
                if not error.passing:
                    raise
        return await self.order(account_id, order_id)

    async def cancel_all(
        self, account_id: str, symbol: str | None = None, side: SideName | None = None
    ) -> schemas.CancelledOrders:
        """Cancel all orders of an account, or those of an instrument or side.

        Tried again if the answer is lost; the answer then has only what the last try found.
        """
        params = _named(account_id=account_id, symbol=symbol, side=side)
        return await self._retried("DELETE", "/v1/orders", schemas.CancelledOrders, params=params)

    async def order(self, account_id: str, order_id: int) -> schemas.OrderView:
        return await self._one("GET", f"/v1/orders/{order_id}", schemas.OrderView, params={"account_id": account_id})

    async def orders(self, account_id: str, open_only: bool = False) -> list[schemas.OrderView]:
        params = {"account_id": account_id, "open_only": open_only}
        return await self._many("GET", "/v1/orders", schemas.OrderView, params=params)

    async def order_history(self, account_id: str, order_id: int) -> list[schemas.Execution]:
        """What has happened to an order, event by event."""
        path, params = f"/v1/orders/{order_id}/history", {"account_id": account_id}
        return await self._many("GET", path, schemas.Execution, params=params)

    async def fills(self, account_id: str, symbol: str | None = None) -> list[schemas.AccountFill]:
        """What an account has traded, as it stands, oldest first."""
        params = _named(account_id=account_id, symbol=symbol)
        return await self._many("GET", "/v1/fills", schemas.AccountFill, params=params)

    # -- the market

    async def market(self) -> schemas.MarketView:
        return await self._one("GET", "/v1/market", schemas.MarketView)

    async def rules(self) -> dict[str, Any]:
        return cast(dict[str, Any], (await self._send("GET", "/v1/rules")).json())

    async def instruments(self) -> list[schemas.InstrumentView]:
        return await self._many("GET", "/v1/instruments", schemas.InstrumentView)

    async def book(self, symbol: str, depth: int = 10) -> schemas.BookView:
        return await self._one("GET", f"/v1/books/{symbol}", schemas.BookView, params={"depth": depth})

    async def order_book(self, symbol: str, depth: int = 10) -> schemas.OrderBookView:
        """The orders of the best price levels."""
        params = {"depth": depth, "level": "l3"}
        return await self._one("GET", f"/v1/books/{symbol}", schemas.OrderBookView, params=params)

    async def candles(
        self, symbol: str, interval: Literal["1m", "5m", "1h", "1d"], newest: int | None = None
    ) -> list[schemas.CandleView]:
        """The trades of an instrument by intervals of market time, oldest first; or the last so many."""
        params = {"symbol": symbol, "interval": interval} | ({} if newest is None else {"newest": newest})
        return await self._many("GET", "/v1/candles", schemas.CandleView, params=params)

    async def auction(self, symbol: str) -> schemas.AuctionView:
        """What a call auction would come to now. ApiError `wrong_phase` if there is none."""
        return await self._one("GET", f"/v1/instruments/{symbol}/auction", schemas.AuctionView)

    async def trades(self, symbol: str) -> AsyncIterator[schemas.TradeView]:
        """All trades of an instrument, oldest first, page by page."""
        cursor = 0
        while True:
            params = {"symbol": symbol, "cursor": cursor, "limit": 1000}
            page = await self._one("GET", "/v1/trades", schemas.TradePage, params=params)
            for trade in page.trades:
                yield trade
            if not page.trades:
                return
            cursor = page.cursor

    async def summary(self) -> list[schemas.DaySummary]:
        return await self._many("GET", "/v1/summary", schemas.DaySummary)

    async def process(self) -> int:
        """The process that answers. ApiError while the exchange takes no commands."""
        return int((await self._send("GET", "/health")).json()["process"])

    async def state(self) -> schemas.StateView:
        return await self._one("GET", "/v1/state", schemas.StateView)

    async def checks(self) -> list[schemas.CheckView]:
        return await self._many("GET", "/v1/checks", schemas.CheckView)

    async def reconciliation(self) -> list[schemas.Reconciliation]:
        return await self._many("GET", "/v1/reconciliation", schemas.Reconciliation)

    # -- accounts and units

    async def open_account(
        self,
        account_id: str,
        name: str,
        participant_class: ClassName = "covered_enterprise",
        beneficial_owner: str | None = None,
        region: str = "",
        approved: bool = True,
    ) -> schemas.AccountView:
        """Open an account; those that name the same beneficial owner do not trade with one another.

        One that is not approved is pending until its status changes.
        """
        body = {
            "account_id": account_id,
            "name": name,
            "participant_class": participant_class,
            "beneficial_owner": beneficial_owner,
            "region": region,
            "approved": approved,
        }
        return await self._one("POST", "/v1/accounts", schemas.AccountView, json=body)

    async def accounts(self) -> list[schemas.AccountView]:
        return await self._many("GET", "/v1/accounts", schemas.AccountView)

    async def account(self, account_id: str) -> schemas.AccountView:
        return await self._one("GET", f"/v1/accounts/{account_id}", schemas.AccountView)

    async def deposit(self, account_id: str, amount: str, currency: str | None = None) -> schemas.AccountView:
        """Pay cash in; without a currency of the market's own."""
        body = _named(amount=amount, currency=currency)
        return await self._one("POST", f"/v1/accounts/{account_id}/deposits", schemas.AccountView, json=body)

    async def withdraw(self, account_id: str, amount: str, currency: str | None = None) -> schemas.AccountView:
        """Pay cash out, likewise."""
        body = _named(amount=amount, currency=currency)
        return await self._one("POST", f"/v1/accounts/{account_id}/withdrawals", schemas.AccountView, json=body)

    async def issue(self, account_id: str, unit: str, quantity: int, origin: str = "free") -> schemas.AccountView:
        body = {"account_id": account_id, "unit": unit, "quantity": quantity, "origin": origin}
        return await self._one("POST", "/v1/issuances", schemas.AccountView, json=body)

    async def transfer(self, account_id: str, unit: str, quantity: int, to: str = "trading") -> schemas.AccountView:
        body = {"unit": unit, "quantity": quantity, "to": to}
        return await self._one("POST", f"/v1/accounts/{account_id}/transfers", schemas.AccountView, json=body)

    async def serials(self, account_id: str) -> list[schemas.SerialBlock]:
        return await self._many("GET", f"/v1/accounts/{account_id}/serials", schemas.SerialBlock)

    # -- the operator

    async def currencies(self) -> list[schemas.CurrencyView]:
        return await self._many("GET", "/v1/currencies", schemas.CurrencyView)

    async def register_currency(self, code: str) -> schemas.CurrencyView:
        return await self._one("POST", "/v1/currencies", schemas.CurrencyView, json={"code": code})

    async def list_instrument(
        self,
        symbol: str,
        species: str,
        vintage: int,
        opening_price: str | None = None,
        currency: str | None = None,
    ) -> schemas.InstrumentView:
        """Without a currency it is quoted in the market's own."""
        terms = _named(opening_price=opening_price, currency=currency)
        body = {"symbol": symbol, "species": species, "vintage": vintage, **terms}
        return await self._one("POST", "/v1/instruments", schemas.InstrumentView, json=body)

    async def open_day(self, day: str) -> schemas.MarketView:
        return await self._one("POST", "/v1/trading-days", schemas.MarketView, json={"date": day})

    async def set_phase(self, phase: str) -> schemas.MarketChange:
        """To `call`, `continuous`, `break` or `closed`; the answer has the auctions that this ended."""
        return await self._one("PUT", "/v1/market/phase", schemas.MarketChange, json={"phase": phase})

    async def halt(self, reason: str, symbol: str | None = None) -> schemas.MarketChange:
        """Halt trading in an instrument, or in all."""
        body = {"reason": reason, "symbol": symbol}
        return await self._one("POST", "/v1/market/halts", schemas.MarketChange, json=body)

    async def resume(self, reason: str, symbol: str | None = None) -> schemas.MarketChange:
        """End the halt of an instrument, or all halts."""
        params = _named(reason=reason, symbol=symbol)
        return await self._one("DELETE", "/v1/market/halts", schemas.MarketChange, params=params)

    async def settle(self) -> schemas.SettlementView:
        return await self._one("POST", "/v1/settlements", schemas.SettlementView)

    async def bust_trades(self, by: str, trade_ids: list[int], reason: str) -> schemas.TradesPutRight:
        """Undo trades, all or none of them."""
        body = {"by": by, "trade_ids": trade_ids, "reason": reason}
        return await self._one("POST", "/v1/trades/busts", schemas.TradesPutRight, json=body)

    async def correct_trades(
        self, by: str, corrections: list[schemas.NewTradeTerms], reason: str
    ) -> schemas.TradesPutRight:
        """Give trades another price or quantity, all or none of them."""
        body = {"by": by, "corrections": [one.model_dump() for one in corrections], "reason": reason}
        return await self._one("POST", "/v1/trades/corrections", schemas.TradesPutRight, json=body)

    async def corrections(self, trade_id: int | None = None) -> list[schemas.CorrectionView]:
        """What was put right, oldest first; or of one trade."""
        params = {} if trade_id is None else {"trade_id": trade_id}
        return await self._many("GET", "/v1/trades/corrections", schemas.CorrectionView, params=params)

    async def settlement(self, day: str) -> schemas.SettlementView:
        return await self._one("GET", f"/v1/settlements/{day}", schemas.SettlementView)

    async def run_timers(self, days: int | None = None, skip_idle: bool = False) -> schemas.MarketView:
        body = {"running": True, "days": days, "skip_idle": skip_idle}
        return await self._one("PUT", "/v1/timers", schemas.MarketView, json=body)

    async def set_speed(self, speed: float) -> schemas.MarketView:
        """Let the simulated clock run so many market seconds a second."""
        return await self._one("PUT", "/v1/clock", schemas.MarketView, json={"speed": speed})

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
        """For requests that the exchange recognises when they come again."""
        return shape.model_validate_json((await self._again(method, path, **request)).content)

    async def _again(self, method: str, path: str, **request: Any) -> httpx.Response:
        last: ApiError | None = None
        async for _ in self._attempts():
            try:
                return await self._once(method, path, **request)
            except ApiError as error:
                if not error.passing:
                    raise
                last = error
        assert last is not None
        raise last

    async def _attempts(self) -> AsyncIterator[None]:
        """One after another with growing pauses, until RETRIED_S have passed."""
        loop = asyncio.get_running_loop()
        deadline, pause_s = loop.time() + RETRIED_S, _FIRST_PAUSE_S
        while True:
            yield
            if loop.time() + pause_s > deadline:
                return
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        if method != "POST":
            return await self._once(method, path, **request)
        request["headers"] = {"Idempotency-Key": uuid.uuid4().hex} | request.get("headers", {})
        return await self._again(method, path, **request)

    async def _once(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            response = await self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise ApiError(0, CONNECTION_LOST, f"{type(error).__name__} {error}".strip()) from error
        if response.is_error:
            raise _error(response)
        return response


def _named(**params: str | None) -> dict[str, str]:
    """The parameters that have a value."""
    return {name: value for name, value in params.items() if value is not None}


def _error(response: httpx.Response) -> ApiError:
    try:
        problem = response.json()
        return ApiError(response.status_code, problem["code"], problem["detail"])
    except (ValueError, KeyError, TypeError):
        return ApiError(response.status_code, "unreadable_answer", response.text[:200])
