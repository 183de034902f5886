"""Instruments quoted in another currency than the rule set's: what is paid in it, and that the two never mix."""

from datetime import date

import msgspec
import pytest

from exchange.commands import ChangeAccountStatus, ListInstrument, RegisterCurrency, RegisterUnit, control
from exchange.events import CurrencyRegistered, DaySettled
from exchange.instruments import fen
from exchange.reasons import Reason
from exchange.state import CASH_MAX
from exchange.transition.compliance import mean_price
from exchange.transition.market import HOUSE
from registry.accounts import AccountStatus, ParticipantClass
from registry.holdings import CASH
from registry.units import Species
from tests.exchange.market import CNY, HBEA, Market, Stake, cash, units

pytestmark = pytest.mark.kernels

USD, ABROAD = "USD", "HBEA-2026"  # a second instrument, quoted in dollars
DAY = date(2026, 1, 5)


@pytest.fixture
def market():
    """Hubei and a second allowance in dollars: alice has 1,000.00 of each currency, bob 100 t of each allowance."""
    market = Market("hubei", until="listed", alice=cash("1000.00"), bob=units(100))
    market.must(RegisterCurrency(USD))
    market.must(ListInstrument(ABROAD, Species.ALLOWANCE, 2026, 600, USD))
    market.give("bob", ABROAD, 100)
    assert "refused" not in market.deposit("alice", "1000.00", USD)
    market.play("open 2026-01-05\nstart")
    return market


def test_a_currency_takes_a_number_between_those_of_the_units(market):
    assert market.exchange.asset_names == [CNY, HBEA, USD, ABROAD]
    assert [unit.code for unit in market.exchange.units] == [HBEA, ABROAD]
    market.must(RegisterCurrency("EUR"))
    assert market.event == CurrencyRegistered("EUR", 4)


def test_an_order_reserves_the_currency_of_its_instrument_with_the_fee(market):
    market.play(f"alice buys 100 {ABROAD} @ 6.00")
    assert market.holding("alice", USD).reserved == fen("603.00")
    assert market.holding("alice", CNY).reserved == 0

    market.play("alice cancels order 1")
    assert market.money("alice", USD) == "1000.00"


def test_cash_of_one_currency_does_not_pay_for_what_is_quoted_in_another(market):
    market.withdraw("alice", "1000.00", USD)
    assert market.play(f"alice buys 1 {ABROAD} @ 6.00") == f"alice refused: {Reason.INSUFFICIENT_CASH.code}"
    assert market.play(f"alice buys 1 {HBEA} @ 42.00") == "alice accepted"


def test_a_day_in_two_currencies_settles_each_by_itself(market):
    market.play(f"""
        bob sells 10 {HBEA} @ 42.00
        alice buys 10 {HBEA} @ 42.00
        bob sells 50 {ABROAD} @ 5.90
        alice buys 50 {ABROAD} @ 6.00
        close
        settle
    """)
    assert market.holding("alice", CNY).settled == fen("1000.00") - fen("422.10")
    assert market.holding("alice", USD).settled == fen("1000.00") - fen("301.50")  # the median of 5.90, 6.00, 6.00
    assert market.holding("bob", USD).settled == fen("298.50")
    assert (market.fees_earned(), market.fees_earned(USD)) == ("4.20", "3.00")
    settled = market.event
    assert isinstance(settled, DaySettled)
    dollars = market.asset(USD)
    assert {cash: paid.moved for cash, paid in settled.report.cash.items()} == {
        CASH: fen("422.10"), dollars: fen("301.50"),
    }  # fmt: skip
    assert settled.report.fees == {CASH: fen("4.20"), dollars: fen("3.00")}


def test_a_statement_tells_the_currencies_apart(market):
    market.play(f"bob sells 50 {ABROAD} @ 6.00\nalice buys 50 {ABROAD} @ 6.00\nclose\nsettle")

    dollars = market.asset(USD)
    statements = {statement.account: statement for statement in market.statements()}
    alice, house = statements[market.number("alice")], statements[market.number(HOUSE)]
    assert [(entry.asset, entry.amount, entry.cause) for entry in alice.entries] == [
        (CASH, fen("1000.00"), "deposit"),
        (dollars, fen("1000.00"), "deposit"),
        (market.asset(ABROAD), 50, "purchase"),
        (dollars, -fen("300.00"), "purchase"),
        (dollars, -fen("1.50"), "fee"),
    ]
    assert alice.closing == {CASH: fen("1000.00"), dollars: fen("698.50"), market.asset(ABROAD): 50}
    assert house.closing == {dollars: fen("3.00")}


def test_positions_count_units_and_no_money(market):
    market.play(f"alice buys 10 {ABROAD} @ 6.00")
    assert market.exchange.path.desk.participants[market.number("alice")].position == 10


def test_the_mean_price_of_fines_is_one_of_the_rule_sets_currency(market):
    market.play(f"""
        bob sells 10 {HBEA} @ 42.00
        alice buys 10 {HBEA} @ 42.00
        bob sells 50 {ABROAD} @ 6.00
        alice buys 50 {ABROAD} @ 6.00
        close
    """)
    assert mean_price(market.exchange, DAY, DAY) == 4200


def test_a_day_in_two_currencies_is_read_back_from_the_journal(market):
    market.play(f"bob sells 50 {ABROAD} @ 6.00\nalice buys 50 {ABROAD} @ 6.00\nclose\nsettle")
    again = type(market.engine)(market.engine.journal)
    for _ in again.open(None, 0):
        pass
    assert again.exchange.digest() == market.digest()


def test_as_much_of_each_currency_can_be_paid_in_as_of_one(market):
    half = str(CASH_MAX // 200)  # of what can be booked
    assert market.deposit("alice", half, CNY) == "CashDeposited"
    assert market.deposit("alice", half, USD) == "CashDeposited"
    assert market.deposit("alice", half, USD) == f"refused: {Reason.AMOUNT_TOO_LARGE.code}"


def test_the_rule_sets_opening_price_is_one_of_its_own_currency(market):
    market.play("close")
    listing = ListInstrument("HBEA-2027", Species.ALLOWANCE, 2027)
    assert market.do(msgspec.structs.replace(listing, currency=USD)) == f"refused: {Reason.PRICE_NOT_POSITIVE.code}"
    assert market.do(listing) == "InstrumentListed"


def test_an_account_with_dollars_is_not_empty(market):
    market.join("office", Stake(participant_class=ParticipantClass.REGISTRY_AUTHORITY))
    market.withdraw("alice", "1000.00")
    close = ChangeAccountStatus("office", "alice", AccountStatus.CLOSED, "it leaves")
    assert market.do(close) == f"refused: {Reason.ACCOUNT_NOT_EMPTY.code}"
    market.withdraw("alice", "1000.00", USD)
    assert market.do(close) == "AccountStatusChanged"


def test_a_currency_is_registered_once_and_shares_no_code_with_a_unit(market):
    market.join("office", Stake(participant_class=ParticipantClass.REGISTRY_AUTHORITY))
    assert market.do(RegisterCurrency(USD)) == f"refused: {Reason.CURRENCY_EXISTS.code}"
    unit = RegisterUnit("office", USD, Species.CREDIT, 2025)
    assert market.do(unit) == f"refused: {Reason.CURRENCY_EXISTS.code}"
    market.must(msgspec.structs.replace(unit, code="XCR"))
    assert market.do(RegisterCurrency("XCR")) == f"refused: {Reason.INSTRUMENT_EXISTS.code}"


@pytest.mark.parametrize("code", ["usd", "US", "USDT", "U5D", "", "USD\n"])
def test_what_is_no_code_of_a_currency_is_no_command(code):
    with pytest.raises(msgspec.ValidationError):
        control(RegisterCurrency(code))
