"""What the client asks about money in several currencies, and about rebates: a method for each route."""

from api import schemas
from api.calls import Wire, call


class CurrencyCalls:
    """Conversions and rebates, as a part of the client. Amounts and rates are decimal strings."""

    @call
    async def set_exchange_rate(self: Wire, by: str, currency: str, rate: str) -> schemas.RateView:
        body = {"by": by, "rate": rate}
        return await self._one("POST", f"/v1/currencies/{currency}/rates", schemas.RateView, json=body)

    @call
    async def exchange_rates(self: Wire, currency: str) -> list[schemas.RateView]:
        """All rates of a currency, oldest first."""
        return await self._many("GET", f"/v1/currencies/{currency}/rates", schemas.RateView)

    @call
    async def convert_cash(
        self: Wire, account_id: str, bank: str, from_currency: str, to_currency: str, amount: str
    ) -> schemas.ConversionView:
        body = {"bank": bank, "from_currency": from_currency, "to_currency": to_currency, "amount": amount}
        return await self._one("POST", f"/v1/accounts/{account_id}/conversions", schemas.ConversionView, json=body)

    @call
    async def conversions(self: Wire, account_id: str) -> list[schemas.ConversionView]:
        """All conversions of an account or a bank, oldest first."""
        return await self._many("GET", f"/v1/accounts/{account_id}/conversions", schemas.ConversionView)

    @call
    async def elect_currency(
        self: Wire, account_id: str, currency: str | None, bank: str | None = None
    ) -> schemas.ElectionView:
        """Let proceeds be converted into a currency; None: leave them as they come."""
        body = {"currency": currency, "bank": bank}
        return await self._one("POST", f"/v1/accounts/{account_id}/currency", schemas.ElectionView, json=body)

    @call
    async def elected_currency(self: Wire, account_id: str) -> schemas.ElectionView:
        return await self._one("GET", f"/v1/accounts/{account_id}/currency", schemas.ElectionView)

    @call
    async def pay_fee_rebates(self: Wire, by: str, year: int) -> schemas.RebatesView:
        """Pay back what the rules say of a year's fees."""
        body = {"by": by, "year": year}
        return await self._one("POST", "/v1/settlement/fee-rebates", schemas.RebatesView, json=body)
