"""What the client asks of the market: orders, market data, accounts and their holdings, the operator's day.

Prices and money are decimal strings, quantities tonnes (tCO2e).
"""

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Protocol, cast

from api import schemas
from api.calls import ApiError, Wire, call, named, pages
from api.schemas import ClassName, OrderTypeName, SelfTradePreventionName, SideName, TimeInForceName

OnErrorName = Literal["stop", "continue", "rollback"]


class Desk(Wire, Protocol):
    """One who sends orders, and knows those that were sent before."""

    async def _place(self, order: dict[str, Any]) -> schemas.OrderView: ...
    async def _place_batch(self, batch: dict[str, Any]) -> schemas.OrderBatchView: ...


class MarketCalls:
    """The market's part of the client."""

    # -- orders

    @call
    async def place_order(
        self: Desk,
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

        Without a `client_order_id` of yours it gets a random one; :func:`api.outbox.derived_id` makes one of what you
        name. A client with an outbox has the order on disk before it is sent, and never sends one twice.

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
        return await self._place(body)

    @call
    async def place_orders(
        self: Desk, account_id: str, orders: Sequence[dict[str, Any]], on_error: OnErrorName = "stop"
    ) -> schemas.OrderBatchView:
        """Place up to 1,000 orders at once, each with the fields of `schemas.OrderTerms`; the answer tells of each.

        Tried again if the answer is lost: an order that names no client order id gets one.
        """
        named = [{"client_order_id": f"c-{uuid.uuid4().hex}"} | order for order in orders]
        body = {"account_id": account_id, "orders": named, "on_error": on_error}
        return await self._place_batch(body)

    @call
    async def amend_order(
        self: Wire,
        account_id: str,
        order_id: int,
        quantity: int,
        price: str | None = None,
        stop_price: str | None = None,
    ) -> schemas.OrderView:
        """Give an order new leaves, and another price if one is named; `priority` of the answer tells the rest.

        Not tried again if the answer is lost: fills that came between would be made up for. Ask for the order.
        """
        body = {"account_id": account_id, "quantity": quantity, "price": price, "stop_price": stop_price}
        return await self._one("PATCH", f"/v1/orders/{order_id}", schemas.OrderView, json=body)

    @call
    async def cancel_order(self: Wire, account_id: str, order_id: int) -> schemas.OrderView:
        """Cancel an order. ApiError `unknown_order` if it does not rest any more."""
        path, params = f"/v1/orders/{order_id}", {"account_id": account_id}
        try:
            return await self._one("DELETE", path, schemas.OrderView, params=params)
        except ApiError as error:
            if not (error.perhaps_done and error.code == "unknown_order"):
                raise
        return await self._one("GET", path, schemas.OrderView, params=params)  # it tells whether the lost try did it

    @call
    async def cancel_all(
        self: Wire, account_id: str, symbol: str | None = None, side: SideName | None = None
    ) -> schemas.CancelledOrders:
        """Cancel all orders of an account, or those of an instrument or side.

        Tried again if the answer is lost; the answer then has only what the last try found.
        """
        params = named(account_id=account_id, symbol=symbol, side=side)
        return await self._one("DELETE", "/v1/orders", schemas.CancelledOrders, params=params)

    @call
    async def order(self: Wire, account_id: str, order_id: int) -> schemas.OrderView:
        return await self._one("GET", f"/v1/orders/{order_id}", schemas.OrderView, params={"account_id": account_id})

    @call
    async def orders(
        self: Wire, account_id: str, open_only: bool = False, client_order_id: str | None = None
    ) -> list[schemas.OrderView]:
        """An account's orders, oldest first; or those of a client order id."""
        params = {"account_id": account_id, "open_only": open_only} | named(client_order_id=client_order_id)
        return await self._many("GET", "/v1/orders", schemas.OrderView, params=params)

    @call
    async def order_history(self: Wire, account_id: str, order_id: int) -> list[schemas.Execution]:
        """What has happened to an order, event by event."""
        path, params = f"/v1/orders/{order_id}/history", {"account_id": account_id}
        return await self._many("GET", path, schemas.Execution, params=params)

    @call
    async def fills(self: Wire, account_id: str, symbol: str | None = None) -> list[schemas.AccountFill]:
        """What an account has traded, as it stands, oldest first."""
        params = named(account_id=account_id, symbol=symbol)
        return await self._many("GET", "/v1/fills", schemas.AccountFill, params=params)

    # -- the market

    @call
    async def market(self: Wire) -> schemas.MarketView:
        return await self._one("GET", "/v1/market", schemas.MarketView)

    @call
    async def rules(self: Wire) -> dict[str, Any]:
        return cast(dict[str, Any], (await self._send("GET", "/v1/rules")).json())

    @call
    async def instruments(self: Wire) -> list[schemas.InstrumentView]:
        return await self._many("GET", "/v1/instruments", schemas.InstrumentView)

    @call
    async def book(self: Wire, symbol: str, depth: int = 10) -> schemas.BookView:
        return await self._one("GET", f"/v1/books/{symbol}", schemas.BookView, params={"depth": depth})

    @call
    async def order_book(self: Wire, symbol: str, depth: int = 10) -> schemas.OrderBookView:
        """The orders of the best price levels."""
        params = {"depth": depth, "level": "l3"}
        return await self._one("GET", f"/v1/books/{symbol}", schemas.OrderBookView, params=params)

    @call
    async def candles(
        self: Wire, symbol: str, interval: Literal["1m", "5m", "1h", "1d"], newest: int | None = None
    ) -> list[schemas.CandleView]:
        """The trades of an instrument by intervals of market time, oldest first; or the last so many."""
        params = {"symbol": symbol, "interval": interval} | ({} if newest is None else {"newest": newest})
        return await self._many("GET", "/v1/candles", schemas.CandleView, params=params)

    @call
    async def auction(self: Wire, symbol: str) -> schemas.AuctionView:
        """What a call auction would come to now. ApiError `wrong_phase` if there is none."""
        return await self._one("GET", f"/v1/instruments/{symbol}/auction", schemas.AuctionView)

    @pages
    async def trades(self: Wire, symbol: str) -> AsyncIterator[schemas.TradeView]:
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

    @call
    async def summary(self: Wire) -> list[schemas.DaySummary]:
        return await self._many("GET", "/v1/summary", schemas.DaySummary)

    @call
    async def process(self: Wire) -> int:
        """The process that answers. ApiError while the exchange takes no commands."""
        return int((await self._once("GET", "/health")).json()["process"])

    @call
    async def state(self: Wire) -> schemas.StateView:
        return await self._one("GET", "/v1/state", schemas.StateView)

    @call
    async def checks(self: Wire) -> list[schemas.CheckView]:
        return await self._many("GET", "/v1/checks", schemas.CheckView)

    @call
    async def reconciliation(self: Wire) -> list[schemas.Reconciliation]:
        return await self._many("GET", "/v1/reconciliation", schemas.Reconciliation)

    # -- accounts and units

    @call
    async def open_account(
        self: Wire,
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

    @call
    async def accounts(self: Wire) -> list[schemas.AccountView]:
        return await self._many("GET", "/v1/accounts", schemas.AccountView)

    @call
    async def account(self: Wire, account_id: str) -> schemas.AccountView:
        return await self._one("GET", f"/v1/accounts/{account_id}", schemas.AccountView)

    @call
    async def deposit(self: Wire, account_id: str, amount: str, currency: str | None = None) -> schemas.AccountView:
        """Pay cash in; without a currency of the market's own."""
        body = named(amount=amount, currency=currency)
        return await self._one("POST", f"/v1/accounts/{account_id}/deposits", schemas.AccountView, json=body)

    @call
    async def withdraw(self: Wire, account_id: str, amount: str, currency: str | None = None) -> schemas.AccountView:
        """Pay cash out, likewise."""
        body = named(amount=amount, currency=currency)
        return await self._one("POST", f"/v1/accounts/{account_id}/withdrawals", schemas.AccountView, json=body)

    @call
    async def issue(self: Wire, account_id: str, unit: str, quantity: int, origin: str = "free") -> schemas.AccountView:
        body = {"account_id": account_id, "unit": unit, "quantity": quantity, "origin": origin}
        return await self._one("POST", "/v1/issuances", schemas.AccountView, json=body)

    @call
    async def transfer(
        self: Wire, account_id: str, unit: str, quantity: int, to: str = "trading"
    ) -> schemas.AccountView:
        body = {"unit": unit, "quantity": quantity, "to": to}
        return await self._one("POST", f"/v1/accounts/{account_id}/transfers", schemas.AccountView, json=body)

    @call
    async def serials(self: Wire, account_id: str) -> list[schemas.SerialBlock]:
        return await self._many("GET", f"/v1/accounts/{account_id}/serials", schemas.SerialBlock)

    # -- the operator

    @call
    async def currencies(self: Wire) -> list[schemas.CurrencyView]:
        return await self._many("GET", "/v1/currencies", schemas.CurrencyView)

    @call
    async def register_currency(self: Wire, code: str) -> schemas.CurrencyView:
        return await self._one("POST", "/v1/currencies", schemas.CurrencyView, json={"code": code})

    @call
    async def list_instrument(
        self: Wire,
        symbol: str,
        species: str,
        vintage: int,
        opening_price: str | None = None,
        currency: str | None = None,
    ) -> schemas.InstrumentView:
        """Without a currency it is quoted in the market's own."""
        terms = named(opening_price=opening_price, currency=currency)
        body = {"symbol": symbol, "species": species, "vintage": vintage, **terms}
        return await self._one("POST", "/v1/instruments", schemas.InstrumentView, json=body)

    @call
    async def open_day(self: Wire, day: str) -> schemas.MarketView:
        return await self._one("POST", "/v1/trading-days", schemas.MarketView, json={"date": day})

    @call
    async def set_phase(self: Wire, phase: str) -> schemas.MarketChange:
        """To `call`, `continuous`, `break` or `closed`; the answer has the auctions that this ended."""
        return await self._one("PUT", "/v1/market/phase", schemas.MarketChange, json={"phase": phase})

    @call
    async def halt(self: Wire, reason: str, symbol: str | None = None) -> schemas.MarketChange:
        """Halt trading in an instrument, or in all."""
        body = {"reason": reason, "symbol": symbol}
        return await self._one("POST", "/v1/market/halts", schemas.MarketChange, json=body)

    @call
    async def resume(self: Wire, reason: str, symbol: str | None = None) -> schemas.MarketChange:
        """End the halt of an instrument, or all halts."""
        params = named(reason=reason, symbol=symbol)
        return await self._one("DELETE", "/v1/market/halts", schemas.MarketChange, params=params)

    @call
    async def settle(self: Wire) -> schemas.SettlementView:
        return await self._one("POST", "/v1/settlements", schemas.SettlementView)

    @call
    async def bust_trades(self: Wire, by: str, trade_ids: list[int], reason: str) -> schemas.TradesPutRight:
        """Undo trades, all or none of them."""
        body = {"by": by, "trade_ids": trade_ids, "reason": reason}
        return await self._one("POST", "/v1/trades/busts", schemas.TradesPutRight, json=body)

    @call
    async def correct_trades(
        self: Wire, by: str, corrections: list[schemas.NewTradeTerms], reason: str
    ) -> schemas.TradesPutRight:
        """Give trades another price or quantity, all or none of them."""
        body = {"by": by, "corrections": [one.model_dump() for one in corrections], "reason": reason}
        return await self._one("POST", "/v1/trades/corrections", schemas.TradesPutRight, json=body)

    @call
    async def corrections(self: Wire, trade_id: int | None = None) -> list[schemas.CorrectionView]:
        """What was put right, oldest first; or of one trade."""
        params = {} if trade_id is None else {"trade_id": trade_id}
        return await self._many("GET", "/v1/trades/corrections", schemas.CorrectionView, params=params)

    @call
    async def settlement(self: Wire, day: str) -> schemas.SettlementView:
        return await self._one("GET", f"/v1/settlements/{day}", schemas.SettlementView)

    @call
    async def run_timers(self: Wire, days: int | None = None, skip_idle: bool = False) -> schemas.MarketView:
        body = {"running": True, "days": days, "skip_idle": skip_idle}
        return await self._one("PUT", "/v1/timers", schemas.MarketView, json=body)

    @call
    async def set_speed(self: Wire, speed: float) -> schemas.MarketView:
        """Let the simulated clock run so many market seconds a second."""
        return await self._one("PUT", "/v1/clock", schemas.MarketView, json={"speed": speed})
