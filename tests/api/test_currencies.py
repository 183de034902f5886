"""Money from one currency into another over HTTP, and fees that are paid back."""

import pytest

from api.client import ApiError

HOUSE = "EXCHANGE"
pytestmark = pytest.mark.anyio


@pytest.fixture
async def abroad(open_desk):
    """B has 100,000.00 and 1,000.00 dollars, the bank 8,000.00; a dollar is 7.10."""
    client = open_desk.client
    await client.open_account("BANK", "A Bank", "clearing_bank")
    await client.deposit("BANK", "8000.00")
    await client.register_currency("USD")
    await client.deposit("B", "1000.00", "USD")
    await client.set_exchange_rate(HOUSE, "USD", "7.10")
    return open_desk


@pytest.mark.examples
async def test_dollars_become_yuan_at_the_rate_that_was_set(abroad):
    client = abroad.client
    made = await client.convert_cash("B", "BANK", "USD", "CNY", "100.00")
    assert made.model_dump(exclude={"sequence", "date"}) == {
        "number": 1, "batch": None, "account_id": "B", "bank": "BANK", "from_currency": "USD", "to_currency": "CNY",
        "given": "100.00", "taken": "710.00", "from_rate": "7.10", "to_rate": "1",
    }  # fmt: skip
    assert await client.conversions("B") == await client.conversions("BANK") == [made]
    assert await client.conversions("S") == []


@pytest.mark.examples
async def test_all_rates_are_kept(abroad):
    await abroad.client.set_exchange_rate(HOUSE, "USD", "7.2")
    rates = await abroad.client.exchange_rates("USD")
    assert [(one.currency, one.rate, one.by) for one in rates] == [("USD", "7.10", HOUSE), ("USD", "7.2", HOUSE)]


@pytest.mark.examples
async def test_a_currency_is_elected_and_given_up(abroad):
    client = abroad.client
    assert (await client.elected_currency("S")).currency is None
    elected = await client.elect_currency("S", "CNY", "BANK")
    assert elected == await client.elected_currency("S")
    assert (elected.currency, elected.bank) == ("CNY", "BANK")
    assert (await client.elect_currency("S", None)).currency is None


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/currencies/XXX/rates", {"by": HOUSE, "rate": "1"}, 404, "unknown_currency"),
        ("/v1/currencies/USD/rates", {"by": "B", "rate": "1"}, 403, "not_permitted"),
        ("/v1/currencies/USD/rates", {"by": HOUSE, "rate": "-1"}, 422, "invalid_request"),
        ("/v1/currencies/USD/rates", {"by": HOUSE, "rate": "0"}, 422, "invalid_number"),
        ("/v1/accounts/B/currency", {"currency": None}, 409, "wrong_state"),
        ("/v1/settlement/fee-rebates", {"by": HOUSE, "year": 2026}, 409, "too_early"),
        ("/v1/settlement/fee-rebates", {"by": HOUSE, "year": 2020}, 409, "no_basis"),
    ],
)
async def test_what_can_not_be_is_refused(abroad, path, body, status, code):
    response = await abroad.http.post(path, json=body)
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_a_bank_that_has_too_little_and_an_amount_finer_than_a_fen(abroad):
    client = abroad.client
    await client.deposit("B", "1000.00", "USD")
    with pytest.raises(ApiError, match="insufficient_cash"):
        await client.convert_cash("B", "BANK", "USD", "CNY", "1126.77")
    with pytest.raises(ApiError, match="amount_off_fen"):
        await client.convert_cash("B", "BANK", "USD", "CNY", "0.001")
    with pytest.raises(ApiError, match="unknown_currency"):
        await client.exchange_rates("XXX")


async def test_a_batch_says_what_became_of_proceeds_in_a_currency_that_is_not_wanted(abroad):
    """S wants dollars for its sale: of 7.10 CNY the bank has none to give on the first day."""
    client = abroad.client
    await client.elect_currency("S", "USD", "BANK")
    days = ("2026-01-05", "2026-01-06")
    for day, dollars in zip(days, ("0", "1000.00"), strict=True):
        if day != days[0]:
            await client.deposit("BANK", dollars, "USD")
            await abroad.open(day)
        await abroad.sell("40.00", 10)
        await abroad.buy("40.00", 10)
        await client.set_phase("closed")
        await client.settle()
    kept, converted = [(await client.batch(number)).currency_legs[0] for number in (1, 2)]
    assert kept.model_dump() == {
        "account_id": "S", "currency": "CNY", "amount": "398.00",
        "conversion": None, "into": None, "taken": None, "kept_because": "insufficient_cash",
    }  # fmt: skip
    assert (converted.conversion, converted.into, converted.taken) == (1, "USD", "56.06")
    assert (converted.amount, converted.kept_because) == ("398.00", None)


@pytest.mark.examples
async def test_rebates_of_a_year_in_which_nobody_traded(abroad):
    assert (await abroad.client.pay_fee_rebates(HOUSE, 2025)).rebates == []
    with pytest.raises(ApiError, match="rebates_paid"):
        await abroad.client.pay_fee_rebates(HOUSE, 2025)
