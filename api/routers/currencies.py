"""Exchange rates, conversions from one currency into another, and fees that are paid back."""

from fastapi import APIRouter

from api.gateway import Gateway, TheGateway
from api.paging import ThePage
from api.problems import RESPONSES
from api.schemas import (
    ConversionView,
    CurrencyCode,
    ElectionView,
    Identifier,
    NewConversion,
    NewElection,
    NewRate,
    NewRebates,
    RateView,
    RebatesView,
    RebateView,
)
from exchange.commands import ConvertCash, ElectCurrency, PayFeeRebates, SetExchangeRate
from exchange.events import CashConverted, FeeRebatesPaid
from exchange.instruments import fen, money
from exchange.reasons import Reason, Refused
from settlement.conversions import Conversion, Rate

router = APIRouter(prefix="/v1", tags=["currencies"], responses=RESPONSES)


@router.post("/currencies/{code}/rates", status_code=201)
async def set_exchange_rate(code: CurrencyCode, new: NewRate, gateway: TheGateway) -> RateView:
    """Set what one of a foreign currency is worth in the market's own, from now on."""
    await gateway.inbox.ask(SetExchangeRate(new.by, code, new.rate))
    return _rate_view(gateway, code, _rates(gateway, code)[-1])


@router.get("/currencies/{code}/rates")
async def exchange_rates(code: CurrencyCode, gateway: TheGateway, page: ThePage) -> list[RateView]:
    """All rates of a currency, oldest first: the last one is in force."""
    return [_rate_view(gateway, code, rate) for rate in page.of_growing(_rates(gateway, code))]


@router.post("/accounts/{account_id}/conversions", status_code=201)
async def convert_cash(account_id: Identifier, new: NewConversion, gateway: TheGateway) -> ConversionView:
    """Convert settled, available cash at the rate in force, against a clearing bank that has what it is worth.

    Rounded half-up to 0.01. `no_rate` where none is set, `insufficient_cash` if the account or the bank has too little.
    """
    command = ConvertCash(account_id, new.bank, new.from_currency, new.to_currency, fen(new.amount))
    event = await gateway.inbox.ask(command)
    assert isinstance(event, CashConverted)
    return _conversion_view(gateway, event.conversion)


@router.get("/accounts/{account_id}/conversions")
async def conversions(account_id: Identifier, gateway: TheGateway, page: ThePage) -> list[ConversionView]:
    """All conversions of an account, or of a bank, oldest first; those of its proceeds among them."""
    number = gateway.account(account_id).number
    made = gateway.exchange.clearing.conversions.made
    found = page.of((one for one in made if number in (one.account, one.bank)), lambda one: one.number)
    return [_conversion_view(gateway, one) for one in found]


@router.post("/accounts/{account_id}/currency", status_code=201)
async def elect_currency(account_id: Identifier, new: NewElection, gateway: TheGateway) -> ElectionView:
    """Let what every batch brings in other currencies be converted into one when the batch is delivered.

    Where that can't be done, since there is no rate or the bank has too little, the money stays as it came.
    """
    await gateway.inbox.ask(ElectCurrency(account_id, new.currency, new.bank or ""))
    return _election_view(gateway, account_id)


@router.get("/accounts/{account_id}/currency")
async def elected_currency(account_id: Identifier, gateway: TheGateway) -> ElectionView:
    """Into which currency an account's proceeds are converted; null: they stay as they come."""
    return _election_view(gateway, account_id)


@router.post("/settlement/fee-rebates", status_code=201)
async def pay_fee_rebates(new: NewRebates, gateway: TheGateway) -> RebatesView:
    """Pay back what the rules say of the fees of a year that is over, out of the fees earned: once, and all or nothing.

    `too_early` before the first day of the next year, `rebates_paid` the second time, `no_basis` without a rule.
    """
    event = await gateway.inbox.ask(PayFeeRebates(new.by, new.year))
    assert isinstance(event, FeeRebatesPaid)
    accounts, names = gateway.exchange.accounts, gateway.exchange.asset_names
    paid = [
        RebateView(account_id=accounts[one.account].account_id, currency=names[one.asset], amount=money(one.amount))
        for one in event.rebates
    ]
    return RebatesView(year=event.year, rebates=paid)


def _rates(gateway: Gateway, code: str) -> list[Rate]:
    asset = gateway.exchange.currencies.get(code)
    if asset is None:
        raise Refused(Reason.UNKNOWN_CURRENCY, f"no currency {code!r}")
    return gateway.exchange.clearing.conversions.rates.get(asset, [])


def _rate_view(gateway: Gateway, code: str, rate: Rate) -> RateView:
    by = gateway.exchange.accounts[rate.by].account_id
    return RateView(currency=code, rate=rate.value, date=rate.day, by=by, sequence=rate.sequence)


def _conversion_view(gateway: Gateway, one: Conversion) -> ConversionView:
    accounts, names = gateway.exchange.accounts, gateway.exchange.asset_names
    return ConversionView(
        number=one.number,
        date=one.day,
        batch=one.batch or None,
        account_id=accounts[one.account].account_id,
        bank=accounts[one.bank].account_id,
        from_currency=names[one.gives],
        to_currency=names[one.takes],
        given=money(one.given),
        taken=money(one.taken),
        from_rate=one.gives_rate,
        to_rate=one.takes_rate,
        sequence=one.sequence,
    )


def _election_view(gateway: Gateway, account_id: str) -> ElectionView:
    exchange = gateway.exchange
    election = exchange.clearing.conversions.elected.get(gateway.account(account_id).number)
    if election is None:
        return ElectionView(account_id=account_id, currency=None, bank=None)
    bank = exchange.accounts[election.bank].account_id
    return ElectionView(account_id=account_id, currency=exchange.asset_names[election.asset], bank=bank)
