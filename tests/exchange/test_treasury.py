"""Money from one currency into another, at request and when proceeds come in; and fees that are paid back.

alice has 1,000.00 of each currency, bob 100 t of each allowance; the second is quoted in dollars. The bank has
5,000.00 and 500.00 dollars. A dollar is 7.10.
"""

from collections import Counter
from datetime import date
from fractions import Fraction
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import events as happened
from exchange.commands import (
    BustTrades,
    ChangeAccountStatus,
    ConfirmPayments,
    ConvertCash,
    CorrectTrades,
    CoverFailure,
    DeliverBatch,
    ElectCurrency,
    FixObligations,
    InstructBank,
    IssueStatements,
    ListInstrument,
    NewTerms,
    PayFeeRebates,
    RegisterCurrency,
    SetExchangeRate,
    TreasuryCommand,
    WithdrawCash,
    control,
)
from exchange.instruments import fen
from exchange.payments import withdrawable
from exchange.reasons import Reason as R
from exchange.rules import FeeRebate, load_rule_set
from exchange.transition.market import HOUSE
from registry.accounts import AccountStatus, ParticipantClass
from registry.holdings import CASH
from registry.units import Species
from settlement.bank import SimulatedBank
from settlement.conversions import Conversion
from settlement.rebates import Rebate, Tier
from settlement.rules import Mode, ReserveRules, SettlementRules
from tests.exchange.cycle import replayed
from tests.exchange.defaults import Failing
from tests.exchange.market import CNY, HBEA, Market, Stake, cash, units

pytestmark = pytest.mark.kernels

HUBEI = load_rule_set("hubei")
USD, ABROAD, BANK = "USD", "HBEA-2026", "bank"
DAY = date(2026, 1, 5)
clearing_bank = Stake(participant_class=ParticipantClass.CLEARING_BANK)
authority = Stake(participant_class=ParticipantClass.REGISTRY_AUTHORITY)


def rules(found=HUBEI, **settlement):
    return msgspec.structs.replace(found, settlement=msgspec.structs.replace(found.settlement, **settlement))


def a_market(found=HUBEI, rate="7.10"):
    market = Market(
        found, until="listed", alice=cash("1000.00"), bob=units(100), bank=clearing_bank + cash("5000.00"),
        office=authority, dora=Stake(),
    )  # fmt: skip
    market.must(RegisterCurrency(USD))
    market.must(ListInstrument(ABROAD, Species.ALLOWANCE, 2026, 600, USD))
    market.give("bob", ABROAD, 100)
    market.deposit("alice", "1000.00", USD)
    market.deposit("bank", "500.00", USD)
    market.play("open 2026-01-05\nstart")
    if rate:
        market.must(SetExchangeRate(HOUSE, USD, rate))
    return market


@pytest.fixture
def market():
    return a_market()


def refused(market, command, reason):
    """The command is refused for a reason and changes nothing."""
    digest = market.digest()
    assert market.do(command) == f"refused: {reason.code}"
    assert market.digest() == digest


def dollars_to_yuan(name, amount):
    return ConvertCash(name, BANK, USD, CNY, fen(amount))


def yuan_to_dollars(name, amount):
    return ConvertCash(name, BANK, CNY, USD, fen(amount))


# ---------------------------------------------------------------- at request


def test_cash_is_converted_at_the_last_rate_against_the_bank(market):
    market.must(dollars_to_yuan("alice", "100.00"))
    assert market.event.conversion == Conversion(
        1, DAY, 0, market.number("alice"), market.number(BANK), market.asset(USD), CASH, 10_000, 71_000, "7.10", "1",
        market.exchange.sequence,
    )  # fmt: skip
    assert (market.money("alice"), market.money("alice", USD)) == ("1710.00", "900.00")
    assert (market.money(BANK), market.money(BANK, USD)) == ("4290.00", "600.00")

    market.must(SetExchangeRate(HOUSE, USD, "7.20"))
    market.must(yuan_to_dollars("alice", "720.00"))
    assert (market.money("alice"), market.money("alice", USD)) == ("990.00", "1000.00")


def test_two_foreign_currencies_meet_by_their_rates(market):
    market.must(RegisterCurrency("EUR"))
    market.must(SetExchangeRate("office", "EUR", "7.81"))
    market.deposit(BANK, "100.00", "EUR")
    market.must(ConvertCash("alice", BANK, USD, "EUR", fen("100.00")))
    assert market.money("alice", "EUR") == "90.91"


def test_a_currency_left_out_is_the_rule_sets(market):
    market.must(ConvertCash("alice", BANK, USD, "", fen("1.00")))
    assert market.money("alice") == "1007.10"


def test_who_may_withdraw_nothing_may_convert(market):
    market.exchange.clearing.blocked[market.number("alice")] = "papers are missing"
    assert market.do(dollars_to_yuan("alice", "100.00")) == "CashConverted"


def test_what_is_reserved_or_a_mere_claim_is_not_converted(market):
    market.play(f"alice buys 100 {ABROAD} @ 6.00")  # reserves 603.00
    refused(market, dollars_to_yuan("alice", "397.01"), R.INSUFFICIENT_CASH)
    market.play(f"bob sells 50 {ABROAD} @ 6.00")  # proceeds of 298.50 that wait for settlement, and may be spent
    assert market.money("bob", USD) == "298.50"
    refused(market, dollars_to_yuan("bob", "0.01"), R.INSUFFICIENT_CASH)


def test_the_bank_gives_no_more_than_it_has(market):
    refused(market, yuan_to_dollars("alice", "3550.04"), R.INSUFFICIENT_CASH)
    market.deposit("alice", "3000.00")
    refused(market, yuan_to_dollars("alice", "3550.04"), R.INSUFFICIENT_CASH)  # 500.01 dollars
    assert market.do(yuan_to_dollars("alice", "3550.03")) == "CashConverted"  # 500.00
    assert market.money(BANK, USD) == "0.00"


def test_statements_say_conversion_on_both_sides(market):
    market.must(dollars_to_yuan("alice", "100.00"))
    at = market.exchange.sequence
    market.play("close\nsettle")
    said = {
        statement.account: [
            (entry.asset, entry.amount, entry.reference) for entry in statement.entries if entry.cause == "conversion"
        ]
        for statement in market.statements()
    }
    dollars = market.asset(USD)
    assert said[market.number("alice")] == [(dollars, -10_000, at), (CASH, 71_000, at)]
    assert said[market.number(BANK)] == [(dollars, 10_000, at), (CASH, -71_000, at)]


def test_where_proceeds_wait_a_day_what_they_became_waits_too():
    market = a_market(rules(withdrawal_lag_days=1))
    market.play(f"bob sells 50 {ABROAD} @ 6.00\nalice buys 50 {ABROAD} @ 6.00\nclose\nsettle")
    bob = market.exchange.accounts.by_id["bob"]
    market.must(dollars_to_yuan("bob", "298.50"))
    assert [withdrawable(market.exchange, bob, asset) for asset in (CASH, market.asset(USD))] == [0, 0]
    assert market.withdraw("bob", "0.01") == f"refused: {R.INSUFFICIENT_CASH.code}"

    market.play("open 2026-01-06")
    assert market.withdraw("bob", "2119.35") == "CashWithdrawn"


def test_all_of_it_is_read_back_from_the_journal(market):
    market.must(ElectCurrency("bob", CNY, BANK))
    market.must(dollars_to_yuan("alice", "100.00"))
    market.play(f"bob sells 50 {ABROAD} @ 6.00\nalice buys 50 {ABROAD} @ 6.00\nclose\nsettle")
    assert replayed(market).digest() == market.digest()


# ---------------------------------------------------------------- when proceeds come in


def sold_abroad(market):
    """bob has sold alice 50 t for 300.00 dollars and keeps 298.50; a trade at home brings him 417.90."""
    market.play(f"""
        bob sells 50 {ABROAD} @ 6.00
        alice buys 50 {ABROAD} @ 6.00
        bob sells 10 {HBEA} @ 42.00
        alice buys 10 {HBEA} @ 42.00
        close
    """)


def leg_of(market):
    (leg,) = market.event.currency_legs
    return leg


@pytest.mark.parametrize("mode", Mode)
def test_proceeds_are_converted_into_the_elected_currency_when_they_come(mode):
    market = a_market(rules(mode=mode))
    market.must(ElectCurrency("bob", CNY, BANK))
    sold_abroad(market)
    market.play("settle")
    leg = leg_of(market)
    assert (leg.account, leg.asset, leg.amount, leg.reason) == (
        market.number("bob"), market.asset(USD), fen("298.50"), R.NONE,
    )  # fmt: skip
    assert (leg.conversion.batch, leg.conversion.taken) == (1, fen("2119.35"))
    assert (market.money("bob"), market.money("bob", USD)) == ("2537.25", "0.00")  # 2,119.35 and 417.90
    assert market.money(BANK, USD) == "798.50"


def test_with_a_bank_they_are_converted_at_the_delivery_and_in_the_statement_of_the_batch():
    market = a_market()
    market.must(ElectCurrency("bob", CNY, BANK))
    sold_abroad(market)
    market.must(FixObligations())
    assert market.exchange.clearing.conversions.made == []
    market.must(InstructBank())
    said = SimulatedBank().answer(market.exchange.clearing.batches[-1].payments.file)
    market.must(ConfirmPayments(BANK, said.batch, said.answers_to, said.lines))
    market.must(DeliverBatch())
    assert leg_of(market).conversion.taken == fen("2119.35")
    market.must(IssueStatements())
    (bob,) = (one for one in market.statements() if one.account == market.number("bob"))
    assert [(one.asset, one.amount) for one in bob.entries if one.cause == "conversion"] == [
        (market.asset(USD), -fen("298.50")), (CASH, fen("2119.35")),
    ]  # fmt: skip


def test_the_house_may_have_its_fees_in_one_currency(market):
    market.must(ElectCurrency(HOUSE, CNY, BANK))
    sold_abroad(market)
    market.play("settle")
    assert leg_of(market).amount == fen("3.00")
    assert (market.fees_earned(), market.fees_earned(USD)) == ("25.50", "0.00")  # 4.20 and 21.30


def test_what_a_batch_takes_is_not_bought(market):
    market.must(ElectCurrency("alice", CNY, BANK))
    sold_abroad(market)
    market.play("settle")
    assert market.event.currency_legs == []
    assert market.money("alice", USD) == "698.50"


def test_who_takes_its_proceeds_as_they_come_again_is_left_alone(market):
    market.must(ElectCurrency("bob", CNY, BANK))
    market.must(ElectCurrency("bob", None))
    assert market.event == happened.CurrencyElected(market.number("bob"), None, 0)
    sold_abroad(market)
    market.play("settle")
    assert market.event.currency_legs == []


@pytest.mark.parametrize(
    ("rate", "meanwhile", "reason"),
    [
        (None, SetExchangeRate(HOUSE, "EUR", "7.81"), R.NO_RATE),
        ("7.10", WithdrawCash(BANK, fen("2880.66")), R.INSUFFICIENT_CASH),  # 2,119.34 are left
        ("7.10", ChangeAccountStatus("office", BANK, AccountStatus.RESTRICTED, "papers"), R.NOT_PERMITTED),
        ("7.10", SetExchangeRate(HOUSE, USD, "0.00001"), R.AMOUNT_NOT_POSITIVE),
    ],
)
def test_what_can_not_be_converted_stays_as_it_came_and_the_batch_stands(rate, meanwhile, reason):
    market = a_market(rate=rate)
    market.must(RegisterCurrency("EUR"))
    market.must(ElectCurrency("bob", CNY, BANK))
    market.must(meanwhile)
    sold_abroad(market)
    market.play("settle")
    assert leg_of(market) == happened.CurrencyLeg(
        market.number("bob"), market.asset(USD), fen("298.50"), None, reason
    )  # fmt: skip
    assert (market.money("bob"), market.money("bob", USD)) == ("417.90", "298.50")


def test_proceeds_that_are_spent_already_are_converted_as_far_as_they_are_left():
    lasting = msgspec.structs.replace(HUBEI, carry_over=[], price_bands=[])
    market = a_market(lasting)
    market.must(ElectCurrency("bob", CNY, BANK))
    market.play(f"""
        bob sells 50 {ABROAD} @ 6.00
        alice buys 50 {ABROAD} @ 6.00
        bob buys 10 {ABROAD} @ 5.00 gtc
        close
        settle
    """)
    assert leg_of(market).amount == fen("248.25")
    assert (market.money("bob", USD), market.holding("bob", USD).reserved) == ("0.00", fen("50.25"))


def test_what_may_be_spent_tomorrow_may_be_spent_tomorrow_in_any_currency():
    market = a_market(msgspec.structs.replace(HUBEI, proceeds_usable_same_day=False))
    market.must(ElectCurrency("bob", CNY, BANK))
    sold_abroad(market)
    market.play("settle")
    assert market.holding("bob", CNY).incoming == fen("2537.25")
    assert market.holding("bob", USD) == (0,) * 8


def test_a_bank_pays_in_the_order_of_accounts_as_long_as_it_can(market):
    market.withdraw(BANK, "4990.00")
    market.must(ElectCurrency("bob", CNY, BANK))
    market.must(ElectCurrency(HOUSE, CNY, BANK))
    market.deposit(BANK, "15.00")
    sold_abroad(market)
    market.play("settle")
    assert [(leg.account, leg.reason) for leg in market.event.currency_legs] == [
        (market.number(HOUSE), R.NONE), (market.number("bob"), R.INSUFFICIENT_CASH),
    ]  # fmt: skip


# ---------------------------------------------------------------- no cash is made or lost


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.decimals("0.01", "99.99", places=2).map(str), st.booleans(), st.integers(1, 30_000), st.integers(0, 30)
        ),
        max_size=8,
    )
)
def test_whatever_is_converted_everybody_together_has_what_was_paid_in(story):
    """Invariants are checked after every command: conservation per currency, and what is stated is what was done."""
    market = a_market()
    market.must(ElectCurrency("bob", CNY, BANK))
    for rate, buys_dollars, amount, tonnes in story:
        market.must(SetExchangeRate(HOUSE, USD, rate))
        codes = (CNY, USD) if buys_dollars else (USD, CNY)
        worth = sum(market.holding("alice", code).settled * value(code, rate) for code in (CNY, USD))
        market.do(ConvertCash("alice", BANK, *codes, amount))
        market.do(ConvertCash("alice", BANK, *reversed(codes), amount))
        gained = sum(market.holding("alice", code).settled * value(code, rate) for code in (CNY, USD)) - worth
        assert abs(gained) <= (1 + Fraction(rate)) / 2  # half a hundredth of either currency
        if tonnes:
            market.play(f"bob sells {tonnes} {ABROAD} @ 6.00\nalice buys {tonnes} {ABROAD} @ 6.00")
    market.play("close\nsettle")
    paid_in = {CNY: fen("6000.00"), USD: fen("1500.00")}
    for code, amount in paid_in.items():
        assert sum(market.holding(name, code).settled for name in market.exchange.accounts.by_id) == amount
    assert replayed(market).digest() == market.digest()


def value(code, rate):
    return Fraction(rate) if code == USD else 1


# ---------------------------------------------------------------- refusals

CONVERT = dollars_to_yuan("alice", "100.00")
RATE = SetExchangeRate(HOUSE, USD, "7.00")
ELECT = ElectCurrency("alice", CNY, BANK)
SHOWN = [
    (R.UNKNOWN_ACCOUNT, RATE, {"by": "nobody"}),
    (R.NOT_PERMITTED, RATE, {"by": "alice"}),
    (R.NOT_PERMITTED, RATE, {"by": BANK}),
    (R.UNKNOWN_CURRENCY, RATE, {"currency": "XXX"}),
    (R.INVALID_NUMBER, RATE, {"rate": "0.000"}),
    (R.NOT_ELIGIBLE, RATE, {"currency": CNY}),
    (R.UNKNOWN_ACCOUNT, CONVERT, {"account_id": "nobody"}),
    (R.UNKNOWN_ACCOUNT, CONVERT, {"bank": "nobody"}),
    (R.NOT_PERMITTED, CONVERT, {"bank": "bob"}),
    (R.UNKNOWN_CURRENCY, CONVERT, {"from_currency": "XXX"}),
    (R.UNKNOWN_CURRENCY, CONVERT, {"to_currency": HBEA}),
    (R.NOT_ELIGIBLE, CONVERT, {"account_id": BANK}),
    (R.NOT_ELIGIBLE, CONVERT, {"to_currency": USD}),
    (R.NO_RATE, CONVERT, {"from_currency": "EUR"}),
    (R.NO_RATE, CONVERT, {"to_currency": "EUR"}),
    (R.AMOUNT_NOT_POSITIVE, CONVERT, {"amount": 0}),
    (R.AMOUNT_NOT_POSITIVE, CONVERT, {"amount": -5}),
    (R.AMOUNT_NOT_POSITIVE, CONVERT, {"from_currency": CNY, "to_currency": USD, "amount": 3}),  # 0.42 of a cent
    (R.INSUFFICIENT_CASH, CONVERT, {"amount": 100_001}),
    (R.INSUFFICIENT_CASH, CONVERT, {"amount": 1 << 62}),
    (R.UNKNOWN_ACCOUNT, ELECT, {"account_id": "nobody"}),
    (R.UNKNOWN_ACCOUNT, ELECT, {"bank": ""}),
    (R.NOT_PERMITTED, ELECT, {"bank": HOUSE}),
    (R.UNKNOWN_CURRENCY, ELECT, {"currency": "XXX"}),
    (R.NOT_ELIGIBLE, ELECT, {"account_id": BANK}),
    (R.WRONG_STATE, ELECT, {"currency": None}),
    (R.UNKNOWN_ACCOUNT, PayFeeRebates("nobody", 2025), {}),
    (R.NOT_PERMITTED, PayFeeRebates("alice", 2025), {}),
    (R.TOO_EARLY, PayFeeRebates(HOUSE, 2026), {}),
    (R.NO_BASIS, PayFeeRebates(HOUSE, 2023), {}),
    (R.NO_BASIS, PayFeeRebates(HOUSE, 0), {}),
    (R.NO_BASIS, PayFeeRebates(HOUSE, -(2**63)), {}),
]


@pytest.mark.parametrize(("reason", "good", "fault"), SHOWN)
def test_what_can_not_be_is_refused_and_changes_nothing(market, reason, good, fault):
    market.must(RegisterCurrency("EUR"))
    refused(market, msgspec.structs.replace(good, **fault), reason)


def test_before_the_first_day_there_is_no_date_for_a_rate():
    market = Market(until="listed")
    market.must(RegisterCurrency(USD))
    refused(market, RATE, R.TOO_EARLY)
    refused(market, PayFeeRebates(HOUSE, 2025), R.TOO_EARLY)


def test_who_is_frozen_converts_nothing(market):
    market.must(ChangeAccountStatus("office", "alice", AccountStatus.FROZEN, "court"))
    refused(market, CONVERT, R.NOT_PERMITTED)
    refused(market, ELECT, R.NOT_PERMITTED)


@pytest.mark.parametrize("rate", ["-1", "7,1", "7.", "1e3", "", "NaN", "7.1234567891"])
def test_what_is_no_decimal_is_no_rate(rate):
    with pytest.raises(msgspec.ValidationError):
        control(SetExchangeRate(HOUSE, USD, rate))


def test_every_command_of_this_room_is_refused_somewhere():
    assert {type(good) for _, good, _ in SHOWN} == set(get_args(TreasuryCommand))


# ---------------------------------------------------------------- rebates

REBATING = msgspec.structs.replace(
    HUBEI,
    fee_rebates=[
        FeeRebate(date(2026, 1, 1), [Tier(50, "0.5", "whole"), Tier(80, "1", "part_above")], classes=["institution"])
    ],
)


def a_year_of_trade(found=REBATING):
    """alice buys 40 t and 60 t of bob on two days at 42.00; each pays 8.40 and 12.60. dora is idle."""
    market = Market(found, alice=cash("5000.00"), bob=units(100), dora=cash("1.00"), office=authority)
    market.play("bob sells 40 @ 42.00\nalice buys 40 @ 42.00")
    market.next_day("2026-01-06")
    market.play("bob sells 60 @ 42.00\nalice buys 60 @ 42.00\nclose\nsettle")
    return market


def paid_to(market):
    return {market.exchange.accounts[one.account].account_id: one.amount for one in market.event.rebates}


def test_a_years_fees_are_paid_back_by_the_tiers_out_of_those_earned():
    market = a_year_of_trade()
    assert market.fees_earned() == "42.00"
    refused(market, PayFeeRebates(HOUSE, 2026), R.TOO_EARLY)
    market.play("open 2027-01-04")
    market.must(PayFeeRebates(HOUSE, 2026))
    # Half of the first 80 t, 8.40 and two thirds of 12.60, and all of the last 20.
    assert paid_to(market) == {"alice": 1260, "bob": 1260}
    assert market.fees_earned() == "16.80"
    assert market.money("bob") == "4191.60"  # 4,200.00 less 21.00, and 12.60

    at = market.exchange.sequence
    refused(market, PayFeeRebates(HOUSE, 2026), R.REBATES_PAID)
    market.play("start\nclose\nsettle")
    said = {
        one.account: [(entry.amount, entry.reference) for entry in one.entries if entry.cause == "fee_rebate"]
        for one in market.statements()
    }
    assert said[market.number("alice")] == [(1260, at)]
    assert said[market.number(HOUSE)] == [(-1260, at), (-1260, at)]
    assert replayed(market).digest() == market.digest()


def test_trades_count_as_they_stand_after_corrections():
    market = a_year_of_trade()
    market.must(CorrectTrades(HOUSE, [NewTerms(2, quantity=20)], "mistyped"))  # fees of 4.20 each are left for it
    market.play("open 2027-01-04")
    market.must(PayFeeRebates(HOUSE, 2026))
    assert paid_to(market) == {"alice": 630, "bob": 630}  # half of 12.60 for 60 t

    market = a_year_of_trade()
    market.must(BustTrades(HOUSE, [2], "mistyped"))
    market.play("open 2027-01-04")
    market.must(PayFeeRebates(HOUSE, 2026))
    assert market.event == happened.FeeRebatesPaid(2026, [])
    refused(market, PayFeeRebates(HOUSE, 2026), R.REBATES_PAID)


def test_a_years_fees_wait_for_its_last_trade_to_settle():
    """alice's bank pays for her purchase of New Year's Eve only when her day to top up is over."""
    settlement = SettlementRules(bank=True, reserve=ReserveRules("0", "0.00", "5000.00"))
    market = Market(
        msgspec.structs.replace(REBATING, settlement=settlement),
        alice=cash("5000.00"), bob=units(100), bank=clearing_bank,
    )  # fmt: skip
    market.deposit(HOUSE, "5000.00")
    market.play("close\nsettle\nopen 2026-12-31\nstart\nbob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose")

    def settle(bank):
        market.must(FixObligations())
        market.must(InstructBank())
        said = bank.answer(market.exchange.clearing.batches[-1].payments.file)
        market.must(ConfirmPayments(BANK, said.batch, said.answers_to, said.lines))
        market.must(DeliverBatch())
        market.must(IssueStatements())

    settle(SimulatedBank(reject=frozenset({"alice"})))
    market.play("open 2027-01-04")
    refused(market, PayFeeRebates(HOUSE, 2026), R.WRONG_STATE)
    market.play("start\nclose")
    market.now_ns += 400 * 86_400 * 10**9
    market.must(CoverFailure(HOUSE, 1))
    refused(market, PayFeeRebates(HOUSE, 2026), R.WRONG_STATE)
    settle(SimulatedBank())
    market.must(PayFeeRebates(HOUSE, 2026))
    assert paid_to(market) == {"alice": 1260, "bob": 1260}  # half of 16.80 for 80 t, all of 4.20 for 20


def test_only_trades_of_the_year_and_of_days_with_a_rule_count():
    late = msgspec.structs.replace(
        REBATING, fee_rebates=[msgspec.structs.replace(REBATING.fee_rebates[0], effective_from=date(2026, 1, 6))]
    )
    market = a_year_of_trade(late)
    market.play("open 2027-01-04")
    market.must(PayFeeRebates(HOUSE, 2026))
    assert paid_to(market) == {"alice": 630, "bob": 630}  # half of 12.60 for 60 t
    market.play("start\nbob buys 10 @ 42.00\nalice sells 10 @ 42.00\nclose\nsettle\nopen 2028-01-04")
    market.must(PayFeeRebates(HOUSE, 2027))
    assert market.event == happened.FeeRebatesPaid(2027, [])


def test_only_the_classes_of_the_rule_are_paid():
    only = [msgspec.structs.replace(REBATING.fee_rebates[0], classes=["individual"])]
    market = a_year_of_trade(msgspec.structs.replace(REBATING, fee_rebates=only))
    market.play("open 2027-01-04")
    market.must(PayFeeRebates(HOUSE, 2026))
    assert market.event.rebates == []


def test_who_has_closed_its_account_is_paid_nothing():
    market = a_year_of_trade()
    market.withdraw("bob", "4179.00")
    market.must(ChangeAccountStatus("office", "bob", AccountStatus.CLOSED, "left"))
    market.play("open 2027-01-04")
    market.must(PayFeeRebates("office", 2026))
    assert paid_to(market) == {"alice": 1260}


def test_all_are_paid_or_nobody():
    market = a_year_of_trade()
    market.withdraw(HOUSE, "16.81")
    market.play("open 2027-01-04")
    refused(market, PayFeeRebates(HOUSE, 2026), R.INSUFFICIENT_CASH)
    market.deposit(HOUSE, "0.01")
    market.must(PayFeeRebates(HOUSE, 2026))
    assert market.fees_earned() == "0.00"


def test_each_currency_is_paid_back_in_itself_and_tonnes_count_in_all():
    market = a_market(REBATING)
    market.play(f"""
        bob sells 50 {ABROAD} @ 6.00
        alice buys 50 {ABROAD} @ 6.00
        bob sells 10 {HBEA} @ 42.00
        alice buys 10 {HBEA} @ 42.00
        close
        settle
        open 2027-01-04
    """)
    market.must(PayFeeRebates(HOUSE, 2026))
    paid = Counter({(one.account, one.asset): one.amount for one in market.event.rebates})
    alice, bob, dollars = market.number("alice"), market.number("bob"), market.asset(USD)
    assert paid == {(alice, CASH): 105, (bob, CASH): 105, (alice, dollars): 75, (bob, dollars): 75}
    assert isinstance(market.event.rebates[0], Rebate)


@pytest.mark.parametrize("mode", Mode)
def test_proceeds_that_a_trade_still_to_settle_needs_are_not_converted(mode):
    """bob fails alice, and makes it good while a batch is under way in which she is paid for something else."""
    bank = Stake(participant_class=ParticipantClass.CLEARING_BANK)
    market = Failing(mode, alice=cash("4221.00"), bob=Stake(), carol=cash("9000.00"), changer=bank)
    market.evening()
    market.must(RegisterCurrency(USD))
    market.must(ListInstrument(ABROAD, Species.ALLOWANCE, 2026, 600, USD))
    market.must(SetExchangeRate(HOUSE, USD, "7"))
    market.deposit("changer", "9000.00", USD)
    market.give("alice", HBEA, 10)
    market.must(ElectCurrency("alice", USD, "changer"))
    market.agree("F-1", "bob", "alice", 100, "42.00")
    market.next_evening()
    market.play("open 2026-01-07\nstart\nalice sells 10 @ 42.00\ncarol buys 10 @ 42.00\nclose")
    market.must(FixObligations())
    market.give("bob", HBEA, 100)
    market.withdraw("alice", "417.00")
    assert market.cure() == "FailureCured"
    market.must(DeliverBatch())
    [leg] = market.event.currency_legs
    assert leg.conversion is None or leg.conversion.given == 90  # of 417.90
    market.must(IssueStatements())
    assert market.batch().failures == []


def test_who_is_in_default_converts_nothing():
    market = Failing(alice=cash("10.00"), bob=units(100), payer=clearing_bank + cash("100.00"))
    market.must(RegisterCurrency(USD))
    market.must(SetExchangeRate(HOUSE, USD, "7.10"))
    market.deposit("alice", "10.00", USD)
    market.agree("F-1", "bob", "alice", 100, "42.00")
    market.next_evening()
    refused(market, ConvertCash("alice", "payer", USD, CNY, fen("1.00")), R.IN_DEFAULT)
