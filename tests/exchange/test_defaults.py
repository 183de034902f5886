"""Who fails with a later leg, and what follows: notify, cure, cover, recourse.

The deal of most scenes: 100 t at 42.00, 4,200.00 and a fee of 21.00 a side, so the buyer needs 4,221.00.
"""

from datetime import date

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from exchange.commands import (
    AgreeDelivery,
    BustTrades,
    CancelDelivery,
    ChangeAccountStatus,
    CloseOutFailure,
    ConvertCash,
    CoverFailure,
    CureFailure,
    DeliverBatch,
    DisposeSecurity,
    DrawReserve,
    FixObligations,
    FundReserve,
    InstructBank,
    IssueStatements,
    ListInstrument,
    PayRecourse,
    RegisterCurrency,
    SetExchangeRate,
    TransferUnits,
    WriteOffRecourse,
)
from exchange.instruments import fen
from exchange.reasons import Reason
from exchange.settling import next_of_bank, next_of_settlement
from exchange.transition.step import HOUSE, RESERVE
from registry.accounts import AccountStatus, ParticipantClass
from registry.units import Species
from settlement.bank import SimulatedBank
from settlement.cycle import Stage
from settlement.default import CaseState
from settlement.rules import Policy
from tests.conftest import EXAMPLES
from tests.exchange.cycle import replayed
from tests.exchange.defaults import BANK, DEADLINE, DUE, MODES, TOO_LATE, Failing
from tests.exchange.market import CNY, HBEA, Market, Stake, cash, nothing, units, verifier

NEEDED = fen("4221.00")  # by the buyer of 100 t at 42.00


def agreed(mode="gross_gross", price="42.00", **people):
    """bob has agreed to sell 100 t to alice, due tomorrow."""
    market = Failing(mode, **people)
    market.agree("F-1", "bob", "alice", 100, price)
    return market


# ---------------------------------------------------------------- deals


@pytest.mark.parametrize("mode", MODES)
def test_a_deal_reserves_nothing_and_is_delivered_against_payment_on_its_day(mode):
    market = agreed(mode, alice=cash("5000.00"), bob=units(100))
    assert market.holding("alice", CNY).reserved == market.holding("bob", HBEA).reserved == 0
    market.evening()
    assert market.last.trades.size == 0

    said = market.next_evening()

    assert (said.failures, said.report.trades) == ([], 1)
    assert market.settled("alice") == (fen("779.00"), 100)
    assert market.settled("bob") == (fen("4179.00"), 0)
    assert market.settled(HOUSE) == (fen("42.00"), 0)
    [trade] = market.last.settled
    assert (trade.trade_id, trade.buy_order_id, trade.sell_order_id, trade.buyer_fee) == (1, 0, 0, 2100)
    assert market.last.unbacked == {1}
    assert market.exchange.clearing.deals["F-1"].trade_id == 1
    assert "from bob to alice" in market.history(1)[-1]


def test_a_deal_comes_due_in_the_first_batch_after_a_day_that_was_no_trading_day():
    market = Failing(alice=cash("5000.00"), bob=units(100))
    market.agree("F-1", "bob", "alice", 100, "42.00", due="2026-01-10")  # a Saturday
    market.next_evening("2026-01-09")
    assert market.settled("alice") == (fen("5000.00"), 0)

    market.next_evening("2026-01-12")

    assert market.settled("alice") == (fen("779.00"), 100)


def test_a_deal_is_dropped_by_agreement_before_it_is_due():
    market = agreed(alice=nothing, bob=nothing)
    market.must(CancelDelivery(HOUSE, "F-1", "both filed"))

    assert market.next_evening().failures == []
    assert market.last.trades.size == 0
    assert market.do(CancelDelivery(HOUSE, "F-1", "again")) == "refused: wrong_state"
    assert market.do(CancelDelivery(HOUSE, "F-9", "never was")) == "refused: unknown_deal"
    assert market.do(CancelDelivery("alice", "F-1", "please")) == "refused: not_permitted"


@pytest.mark.parametrize("mode", MODES)
def test_what_an_order_has_reserved_is_not_free_for_a_later_leg(mode):
    market = agreed(mode, alice=cash("5000.00"), bob=units(120))
    market.evening()
    market.play(f"open {DUE}\nstart\nbob sells 30 @ 43.00 gtc")
    market.evening()

    assert market.lacked() == {}  # since his order has been cancelled: he may cure at once
    assert market.book() == ""
    assert market.cure(by="bob") == "FailureCured"
    assert market.batch().report.trades == 1


# ---------------------------------------------------------------- between the bank's word and the delivery


def exchange_dollars(market):
    """Dollars at 7 CNY, and a bank that has 9,000.00 of them."""
    market.must(RegisterCurrency("USD"))
    market.must(SetExchangeRate(HOUSE, "USD", "7"))
    market.deposit(BANK, "9000.00", "USD")


def list_in_dollars(market):
    """A second instrument, at 6.00 USD."""
    market.must(RegisterCurrency("USD"))
    market.must(ListInstrument("HBEA-2026", Species.ALLOWANCE, 2026, 600, "USD"))


def at_the_bank(mode, alice="5000.00", bob=100):
    """The bank has confirmed what alice pays bob for a deal that is due; nothing is delivered yet."""
    market = agreed(mode, bank=True, alice=cash(alice), bob=units(bob))
    market.play("close")
    market.batch()
    market.play(f"open {DUE}\nstart\nclose")
    market.must(FixObligations())
    market.must(InstructBank())
    market.answer()
    assert market.last.stage == Stage.CONFIRMED
    return market


@pytest.mark.parametrize("mode", MODES)
def test_what_a_deal_under_way_needs_is_not_taken_away(mode):
    market = at_the_bank(mode)
    before = market.digest()
    assert market.withdraw("alice", "779.01") == "refused: insufficient_cash"
    assert market.event.detail == "779.00 CNY can be spared, besides what is to settle"
    assert market.do(TransferUnits("bob", HBEA, 1, to_trading=False)) == "refused: insufficient_units"
    assert market.event.detail == f"0 t {HBEA} can be spared, besides what is to settle"
    assert market.digest() == before

    assert market.withdraw("alice", "779.00") == "CashWithdrawn"
    market.must(DeliverBatch())
    assert market.event.failures == []
    assert market.settled("alice") == (0, 100) and market.settled("bob") == (fen("4179.00"), 0)


@pytest.mark.parametrize("mode", MODES)
def test_who_needs_nothing_for_the_batch_takes_what_is_its_own(mode):
    market = at_the_bank(mode, bob=130)

    assert market.do(TransferUnits("bob", HBEA, 30, to_trading=False)) == "UnitsTransferred"
    market.must(DeliverBatch())
    assert market.withdraw("bob", "4179.00") == "CashWithdrawn"


@pytest.mark.parametrize("mode", MODES)
def test_what_a_deal_under_way_needs_is_not_converted(mode):
    market = at_the_bank(mode)
    exchange_dollars(market)
    before = market.digest()
    assert market.do(ConvertCash("alice", BANK, "CNY", "USD", fen("779.01"))) == "refused: insufficient_cash"
    assert market.digest() == before

    assert market.do(ConvertCash("alice", BANK, "CNY", "USD", fen("779.00"))) == "CashConverted"
    market.must(DeliverBatch())
    assert market.event.failures == []


@pytest.mark.parametrize("mode", MODES)
def test_what_a_trade_that_comes_again_needs_is_not_taken_away(mode):
    """alice's money went while bob could not deliver; now he can, and what she has brought anew stays."""
    market = agreed(mode, alice=cash("5000.00"), bob=nothing)
    market.next_evening()
    assert market.withdraw("alice", "5000.00") == "CashWithdrawn"  # nothing is reserved for a deal that waits
    market.give("bob", HBEA, 100)
    assert market.cure() == "FailureCured"
    market.deposit("alice", "4221.00")
    market.must(FixObligations())
    before = market.digest()
    assert market.withdraw("alice", "0.01") == "refused: insufficient_cash"
    assert market.digest() == before

    market.must(DeliverBatch())
    assert market.event.failures == []


@settings(max_examples=max(10, EXAMPLES // 6))
@example("gross_gross", [("sells", 30), ("buys", 1)], 10_000, 0, 10_000, 0)  # the sale fails, and brings nothing
@given(
    st.sampled_from(MODES),
    st.lists(st.tuples(st.sampled_from(["buys", "sells"]), st.integers(1, 30)), min_size=1, max_size=4),
    st.integers(0, 300_000),
    st.integers(0, 60),
    st.integers(0, 300_000),
    st.integers(0, 60),
)
def test_who_would_have_met_its_deals_meets_them_whatever_it_could_take(mode, deals, money, tonnes, asked, more):
    """What alice takes out between fixing and delivery never makes her fail, and she may take what is left over."""
    twins = []
    for takes in (False, True):
        market = Failing(mode, alice=cash(f"{money / 100:.2f}") + units(tonnes), bob=cash("9000.00") + units(200))
        for number, (what, quantity) in enumerate(deals):
            seller, buyer = ("alice", "bob") if what == "sells" else ("bob", "alice")
            market.agree(f"F-{number}", seller, buyer, quantity, "42.00")
        market.evening()
        market.play(f"open {DUE}\nstart\nclose")
        market.must(FixObligations())
        taken = [0, 0]
        if takes:
            if market.withdraw("alice", f"{asked / 100:.2f}") == "CashWithdrawn":
                taken[0] = asked
            if market.do(TransferUnits("alice", HBEA, more, to_trading=False)) == "UnitsTransferred":
                taken[1] = more
        market.must(DeliverBatch())
        twins.append(market)
    event(f"takes money: {taken[0] > 0}, units: {taken[1] > 0}, fails: {bool(market.last.failed)}")
    without, with_it = twins
    assert with_it.last.failed == without.last.failed
    left = without.holding("alice", CNY).settled, without.holding("alice", HBEA).available
    assert taken[0] <= left[0] and taken[1] <= left[1]


# ---------------------------------------------------------------- the buyer lacks money


def test_a_buyer_without_money_is_notified_and_its_trade_waits():
    market = agreed(alice=cash("1000.00"), bob=units(100))
    said = market.next_evening()

    [note] = said.failures
    assert (note.case, note.account, note.trades) == (1, market.number("alice"), [1])
    assert market.lacked() == {CNY: NEEDED - fen("1000.00")}
    assert said.report.trades == 0 and market.last.failed == {1}
    assert market.settled("alice") == (fen("1000.00"), 0) and market.settled("bob") == (0, 100)
    market.at(DEADLINE)
    assert note.deadline_ns == market.now_ns + 1_000_000_000


def test_a_deadline_runs_from_the_notice_though_the_batch_comes_days_late():
    market = agreed(alice=cash("1000.00"), bob=units(100))
    market.evening()
    market.play(f"open {DUE}\nstart\nclose")
    market.at("2026-01-08 16:00")
    [note] = market.batch().failures

    market.at("2026-01-09 15:00")
    assert note.deadline_ns == market.now_ns + 1_000_000_000


def test_who_failed_may_neither_trade_nor_take_anything_away_but_may_top_up():
    market = agreed(alice=cash("1000.00") + units(10), bob=units(100))
    market.next_evening()
    market.play("open 2026-01-07\nstart")

    before = market.digest()
    assert market.play("alice sells 1 @ 42.00") == "alice refused: may_not_trade"
    assert market.withdraw("alice", "1.00") == "refused: withdrawal_blocked"
    assert market.do(TransferUnits("alice", HBEA, 1, to_trading=False)) == "refused: in_default"
    assert market.digest() == before
    assert market.play("bob sells 1 @ 43.00") == "bob accepted"
    assert market.deposit("alice", "1.00") == "CashDeposited"


def test_resting_orders_of_who_failed_are_cancelled():
    market = Failing(alice=cash("1000.00") + units(10), bob=units(101))
    market.agree("F-1", "bob", "alice", 100, "42.00")
    market.evening()
    market.play(f"open {DUE}\nstart\nalice sells 10 @ 43.00 gtc\nbob sells 1 @ 43.00 gtc\nclose")
    market.must(FixObligations())

    assert market.do(DeliverBatch()) == "alice loses 10 @ 43.00: account_suspended\nBatchDelivered"
    assert market.book() == "bob sells 1 @ 43.00"


@pytest.mark.parametrize("mode", MODES)
def test_a_default_is_cured_in_time(mode):
    market = agreed(mode, alice=cash("1000.00"), bob=units(100))
    market.next_evening()
    market.deposit("alice", "3221.00")

    assert market.cure(by="alice") == "FailureCured"
    assert market.case().state == CaseState.CURED
    assert market.why_restricted("alice") == "trades of failure case 1 are still to settle"
    said = market.batch()  # the same evening

    assert (said.failures, said.report.trades) == ([], 1)
    assert market.settled("alice") == (0, 100) and market.settled("bob") == (fen("4179.00"), 0)
    assert market.why_restricted("alice") is None
    assert market.withdraw("bob", "4179.00") == "CashWithdrawn"


def test_a_default_is_cured_at_the_last_moment_and_settles_on_the_next_day():
    market = agreed(alice=nothing, bob=units(100))
    market.next_evening()
    market.deposit("alice", "4221.00")
    assert market.cure(at=DEADLINE) == "FailureCured"

    assert market.next_evening("2026-01-08").report.trades == 1
    assert market.settled("alice") == (0, 100)


def test_curing_with_a_fen_too_little_is_refused():
    market = agreed(alice=nothing, bob=units(100))
    market.next_evening()
    market.deposit("alice", "4220.99")
    before = market.digest()

    assert market.cure() == "refused: insufficient_cash"
    assert market.digest() == before
    market.deposit("alice", "0.01")
    assert market.cure() == "FailureCured"


def test_cured_too_late_is_refused():
    market = agreed(alice=nothing, bob=units(100))
    market.next_evening()
    market.deposit("alice", "4221.00")
    before = market.digest()

    assert market.cure(at=TOO_LATE) == "refused: too_late"
    assert market.digest() == before
    assert market.cover() == "FailureCovered"  # with its own money: nobody else pays
    assert (market.event.payments, market.event.state) == ([], "covered")
    assert market.batch().report.trades == 1
    assert market.owed("alice") == {} and market.why_restricted("alice") is None


# ---------------------------------------------------------------- covered by others


def test_the_reserve_covers_and_holds_the_units_until_it_is_repaid():
    market = agreed(reserve="5000.00", alice=cash("1000.00"), bob=units(100))
    market.next_evening()
    before = market.digest()
    assert market.cover(at=DEADLINE) == "refused: too_early"
    assert market.digest() == before

    assert market.cover() == "FailureCovered"
    lent = NEEDED - fen("1000.00")
    assert [(one.payer, one.quantity) for one in market.event.payments] == [(market.number(RESERVE), lent)]
    market.batch()

    assert market.settled("bob") == (fen("4179.00"), 0)
    assert market.settled("alice") == (0, 0)
    assert market.settled(RESERVE) == (fen("5000.00") - lent, 100)
    assert market.owed("alice") == {RESERVE: lent}
    assert market.why_restricted("alice") == "recourse for failure case 1 is not paid"

    market.deposit("alice", "3221.00")
    assert market.do(PayRecourse("alice", fen("3000.00"))) == "RecoursePaid"
    assert market.settled(RESERVE)[1] == 100 and market.event.left == fen("221.00")
    assert market.do(PayRecourse("alice", fen("221.00"))) == "RecoursePaid"
    assert market.settled("alice") == (0, 100) and market.settled(RESERVE) == (fen("5000.00"), 0)
    assert market.why_restricted("alice") is None
    assert market.do(TransferUnits("alice", HBEA, 100, to_trading=False)) == "UnitsTransferred"


@pytest.mark.parametrize("bank", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_the_money_of_the_reserve_is_not_paid_back_before_it_has_settled_the_trade(mode, bank):
    market = agreed(mode, bank=bank, reserve="5000.00", alice=cash("1000.00"), bob=units(100))
    market.next_evening()
    market.cover()
    market.deposit("alice", "1.00")
    before = market.digest()

    assert market.do(PayRecourse("alice", 1)) == "refused: wrong_state"
    assert market.digest() == before
    market.batch()
    assert market.do(PayRecourse("alice", fen("1.00"))) == "RecoursePaid"


def test_the_house_pays_when_the_reserve_is_exhausted():
    market = agreed(reserve="3000.00", house="2000.00", alice=cash("1000.00"), bob=units(100))
    market.next_evening()
    market.cover()

    paid = [(market.exchange.accounts[one.payer].account_id, one.quantity) for one in market.event.payments]
    assert paid == [(RESERVE, fen("3000.00")), (HOUSE, fen("221.00"))]
    market.batch()
    assert market.owed("alice") == {RESERVE: fen("3000.00"), HOUSE: fen("221.00")}
    market.deposit("alice", "3221.00")
    market.must(PayRecourse("alice", fen("3100.00")))
    assert market.owed("alice") == {HOUSE: fen("121.00")}


@pytest.mark.parametrize(("house", "most"), [("1000.00", "100000.00"), ("9000.00", "220.99")])
def test_what_reserve_and_house_cannot_pay_in_full_stays_open_until_somebody_funds_the_reserve(house, most):
    market = agreed(reserve="3000.00", house="100.00", house_funds_max=most, alice=cash("1000.00"), bob=units(100))
    if most != "100000.00":
        market.deposit(HOUSE, house)
    market.next_evening()
    before = market.digest()

    assert market.cover() == "refused: insufficient_cash"
    assert market.digest() == before and market.case().is_open
    market.deposit(HOUSE, "1000.00")
    market.must(FundReserve(HOUSE, fen("221.00")))
    assert market.cover() == "FailureCovered"
    assert market.batch().report.trades == 1


def test_the_house_buys_the_security_at_the_close_against_the_claim():
    market = agreed(reserve="5000.00", house="5000.00", alice=cash("1000.00"), bob=units(100))
    market.next_evening()
    market.cover()
    market.batch()
    before = market.digest()
    assert market.do(WriteOffRecourse(HOUSE, "alice", 1, "lost")) == "refused: wrong_state"
    assert market.digest() == before

    assert market.do(DisposeSecurity(HOUSE, 1)) == "SecurityDisposed"
    assert (market.event.proceeds, market.event.surplus) == (fen("4200.00"), fen("979.00"))
    assert market.settled("alice") == (fen("979.00"), 0)
    assert market.settled(RESERVE) == (fen("5000.00"), 0) and market.settled(HOUSE)[1] == 100
    assert market.why_restricted("alice") is None
    assert market.do(DisposeSecurity(HOUSE, 1)) == "refused: wrong_state"


def secured(house: str = "0.00", carol: str = "5000.00") -> Failing:
    """alice paid 3,221.00 of 4,221.00 too little; the reserve lent it, and holds her 100 t at 42.00 for it."""
    market = agreed(reserve="5000.00", house=house, alice=cash("1000.00"), bob=units(100), carol=cash(carol))
    market.next_evening()
    market.cover()
    market.batch()
    return market


def test_where_the_house_has_no_cash_whoever_is_willing_buys_the_security():
    market = secured()
    before = market.digest()
    assert market.do(DisposeSecurity(HOUSE, 1)) == "refused: insufficient_cash"
    assert "name a buyer that has it" in market.event.detail and market.digest() == before

    assert market.do(DisposeSecurity(HOUSE, 1, "carol")) == "SecurityDisposed"
    assert (market.event.proceeds, market.event.surplus) == (fen("4200.00"), fen("979.00"))
    assert market.event.buyer == market.number("carol")
    assert market.settled("carol") == (fen("800.00"), 100)
    assert market.settled("alice") == (fen("979.00"), 0) and market.settled(RESERVE) == (fen("5000.00"), 0)
    assert market.owed("alice") == {} and market.why_restricted("alice") is None
    assert market.serials("carol") == [(1, 100)]  # title and all
    assert replayed(market).digest() == market.digest()


def test_a_security_is_bought_like_anything_else_and_waits_as_the_rules_say():
    market = secured()
    market.must(DisposeSecurity(HOUSE, 1, "carol"))
    assert (market.holding("carol", HBEA).available, market.holding("carol", HBEA).incoming) == (0, 100)
    market.open_day("2026-01-12")
    assert (market.holding("carol", HBEA).available, market.holding("carol", HBEA).incoming) == (100, 0)


@pytest.mark.parametrize(
    ("buyer", "reason"),
    [
        ("zoe", "unknown_account"),
        ("alice", "in_default"),
        (RESERVE, "may_not_trade"),
        ("vera", "may_not_trade"),
        ("dora", "insufficient_cash"),
        ("full", "position_limit"),
    ],
)
def test_the_buyer_of_a_security_may_trade_is_not_in_default_and_has_the_money(buyer, reason):
    market = secured(house="5000.00")
    market.join("dora", cash("4199.99"))
    market.join("vera", verifier)
    market.join("full", cash("5000.00") + units(950_000))
    market.give(
        "full", HBEA, int(market.exchange.path.desk.participants[market.number("full")].position_limit) - 950_099
    )
    before = market.digest()

    assert market.do(DisposeSecurity(HOUSE, 1, buyer)) == f"refused: {reason}"
    assert market.digest() == before
    assert market.do(DisposeSecurity(HOUSE, 1)) == "SecurityDisposed"


def test_what_the_buyer_of_a_security_needs_for_its_own_trades_it_cannot_spend():
    market = secured(carol="4622.09")
    market.agree("F-2", "bob", "carol", 10, "42.00", due="2026-01-08")
    market.play("open 2026-01-08\nstart\nclose")
    market.must(FixObligations())  # it is to pay 422.10

    assert market.do(DisposeSecurity(HOUSE, 1, "carol")) == "refused: insufficient_cash"
    market.deposit("carol", "0.01")
    assert market.do(DisposeSecurity(HOUSE, 1, "carol")) == "SecurityDisposed"


def test_a_security_quoted_in_a_currency_without_a_rate_is_sold_once_somebody_sets_one():
    """alice had the dollars for 100 t of one kind, and not the money for 100 t of the other; netted, both failed."""
    market = Failing("gross_net", reserve="5000.00", alice=nothing, bob=units(100), carol=cash("5000.00"))
    market.play("close\nsettle")
    list_in_dollars(market)
    market.give("bob", "HBEA-2026", 100)
    market.deposit("alice", "603.00", "USD")
    market.play("open 2026-01-06")
    due = date(2026, 1, 7)
    market.must(AgreeDelivery(HOUSE, "F-1", "bob", "alice", HBEA, 10, 4200, due, "negotiated"))
    market.must(AgreeDelivery(HOUSE, "F-2", "bob", "alice", "HBEA-2026", 100, 600, due, "negotiated"))
    market.next_evening("2026-01-07")
    assert market.cover(at="2026-01-08 15:00:01") == "FailureCovered"
    market.batch()
    before = market.digest()

    assert market.do(DisposeSecurity(HOUSE, 1, "carol")) == "refused: no_rate"
    assert "set one first" in market.event.detail and market.digest() == before
    market.must(SetExchangeRate(HOUSE, "USD", "7"))
    assert market.do(DisposeSecurity(HOUSE, 1, "carol")) == "SecurityDisposed"
    assert market.event.proceeds == fen("420.00") + 7 * fen("600.00")
    assert market.holding("carol", "HBEA-2026").settled == 100


def test_what_the_security_does_not_bring_is_still_owed_and_may_be_written_off():
    market = agreed(price="46.00", reserve="5000.00", house="5000.00", alice=nothing, bob=units(100))
    market.next_evening()
    market.cover()
    market.batch()
    market.must(DisposeSecurity(HOUSE, 1))
    left = fen("4600.00") + fen("23.00") - fen("4200.00")
    assert market.owed("alice") == {RESERVE: left}

    before = market.digest()
    assert market.do(WriteOffRecourse("alice", "alice", left, "please")) == "refused: not_permitted"
    assert market.do(WriteOffRecourse(HOUSE, "alice", left + 1, "more")) == "refused: above_obligation"
    assert market.digest() == before
    market.must(WriteOffRecourse(HOUSE, "alice", left, "alice is bankrupt"))
    assert market.owed("alice") == {} and market.why_restricted("alice") is None


# ---------------------------------------------------------------- the seller lacks units


def test_a_seller_without_units_is_notified_and_cures_by_a_transfer():
    market = agreed(alice=cash("5000.00"), bob=units(100))
    market.must(TransferUnits("bob", HBEA, 40, to_trading=False))
    market.next_evening()
    assert market.lacked() == {HBEA: 40}
    assert market.cure() == "refused: insufficient_units"

    market.must(TransferUnits("bob", HBEA, 40, to_trading=True))
    assert market.cure(by="bob") == "FailureCured"
    assert market.batch().report.trades == 1


def test_the_house_delivers_what_a_seller_lacks_and_is_owed_its_price():
    market = agreed(price="44.00", alice=cash("5000.00"), bob=units(60))
    market.give(HOUSE, HBEA, 50)
    market.next_evening()

    assert market.cover() == "FailureCovered"
    [payment] = market.event.payments
    assert (payment.quantity, payment.claim) == (40, 40 * 4200)  # at the day's close
    market.batch()
    assert market.settled("alice") == (fen("5000.00") - fen("4422.00"), 100)
    assert market.settled(HOUSE)[1] == 10
    assert market.owed("bob") == {HOUSE: fen("1680.00")}
    market.must(PayRecourse("bob", fen("1680.00")))  # out of what it was paid
    assert market.why_restricted("bob") is None


@pytest.mark.parametrize("mode", MODES)
def test_what_is_quoted_in_another_currency_is_claimed_at_the_rate_in_force(mode):
    """40 t at 6.00 dollars, for 7.00 each, are 1,680.00 of what claims are in."""
    market = Failing(mode, reserve="5000.00", house="5000.00", alice=nothing, bob=cash("2000.00"))
    market.evening()
    list_in_dollars(market)
    market.give("bob", "HBEA-2026", 60)
    market.give(HOUSE, "HBEA-2026", 40)
    market.deposit("alice", "603.00", "USD")
    market.must(AgreeDelivery(HOUSE, "F-1", "bob", "alice", "HBEA-2026", 100, 600, date.fromisoformat(DUE)))
    market.next_evening()

    before = market.digest()
    assert market.cover() == "refused: no_rate"
    assert market.digest() == before
    market.must(SetExchangeRate(HOUSE, "USD", "7"))
    assert market.cover() == "FailureCovered"
    assert market.owed("bob") == {HOUSE: fen("1680.00")}


def test_what_nobody_can_deliver_is_closed_out_in_cash():
    """The price has risen from 40.00 to 42.00: alice gets 2.00 a tonne from the reserve, bob owes it."""
    market = agreed(price="40.00", reserve="500.00", alice=cash("5000.00"), bob=cash("500.00") + units(60))
    market.next_evening()

    assert market.cover() == "FailureCovered"
    [one] = market.event.closed_out
    assert (one.trade, one.amount, market.event.state) == (1, fen("200.00"), "closed")
    assert market.settled("alice") == (fen("5200.00"), 0) and market.settled("bob") == (fen("500.00"), 60)
    assert market.owed("bob") == {RESERVE: fen("200.00")}
    assert market.exchange.clearing.concerns(market.number("alice")) is None
    assert market.do(FixObligations()) == "refused: day_already_settled"  # nothing is left of it
    market.must(PayRecourse("bob", fen("200.00")))
    assert market.why_restricted("bob") is None


def test_a_buyer_is_not_asked_to_pay_when_the_price_has_fallen():
    market = agreed(price="44.00", alice=cash("5000.00"), bob=nothing)
    market.next_evening()
    market.cover()

    assert market.settled("alice") == (fen("5000.00"), 0)
    assert market.owed("bob") == {} and market.why_restricted("bob") is None


@pytest.mark.parametrize("mode", MODES)
def test_a_cover_too_pays_what_is_due_in_another_currency_at_the_rate_in_force(mode):
    """Nobody has the 100 t that bob sold at 5.00 dollars, and they close at 6.00: alice is due 100.00 of them."""
    market = Failing(mode, reserve="5000.00", alice=nothing, bob=nothing)
    market.evening()
    list_in_dollars(market)
    market.deposit("alice", "600.00", "USD")
    market.must(AgreeDelivery(HOUSE, "F-1", "bob", "alice", "HBEA-2026", 100, 500, date.fromisoformat(DUE)))
    market.next_evening()

    before = market.digest()
    assert market.cover() == "refused: insufficient_cash"
    assert "0.00 USD: close the case out" in market.event.detail and market.digest() == before
    market.must(SetExchangeRate(HOUSE, "USD", "7"))
    assert market.cover() == "FailureCovered"
    [one] = market.event.closed_out
    assert (market.exchange.asset_names[one.asset], one.amount, one.unpaid) == (CNY, fen("700.00"), 0)
    assert market.holding("alice", CNY).settled == fen("700.00")
    assert market.owed("bob") == {RESERVE: fen("700.00")}
    assert replayed(market).digest() == market.digest()


# ---------------------------------------------------------------- closed out in cash


def failed_in_dollars(mode, **people):
    """bob has agreed to sell 100 t to alice at 7.00 dollars, and she has none; it closes at 6.00."""
    market = Failing(mode, **people)
    market.evening()
    list_in_dollars(market)
    market.give("bob", "HBEA-2026", 100)
    market.must(AgreeDelivery(HOUSE, "F-1", "bob", "alice", "HBEA-2026", 100, 700, date.fromisoformat(DUE)))
    market.next_evening()
    return market


@pytest.mark.parametrize("mode", MODES)
def test_what_nobody_covers_is_closed_out_and_the_seller_has_its_units_again(mode):
    """The price has fallen from 44.00 to 42.00: bob is due 2.00 a tonne, of which the reserve has 150.00."""
    market = agreed(mode, price="44.00", reserve="150.00", alice=cash("1000.00"), bob=units(100))
    market.next_evening()
    before = market.digest()
    assert market.close_out(at=DEADLINE) == "refused: too_early"
    assert market.cover() == "refused: insufficient_cash"
    assert market.digest() == before

    assert market.close_out() == "FailureClosedOut"
    [one] = market.event.closed_out
    assert (one.trade, one.account, one.amount, one.unpaid) == (1, market.number("bob"), fen("200.00"), fen("50.00"))
    assert market.holding("bob", HBEA).available == 100
    assert market.settled("bob") == (fen("150.00"), 100) and market.settled("alice") == (fen("1000.00"), 0)
    assert market.case().state == CaseState.CLOSED and market.case().trades == []
    assert market.owed("alice") == {RESERVE: fen("150.00")}
    assert market.exchange.clearing.concerns(market.number("bob")) is None
    assert market.do(FixObligations()) == "refused: day_already_settled"  # nothing comes again
    market.must(PayRecourse("alice", fen("150.00")))
    assert market.why_restricted("alice") is None


@pytest.mark.parametrize("mode", MODES)
def test_reserve_then_house_pay_in_the_order_of_trading_while_they_can(mode):
    """alice bought three times above what it is now, and sold once below it: 200.00, 150.00, 100.00 and 20.00."""
    market = Failing(
        mode, reserve="250.00", house="9000.00", house_funds_max="160.00",
        alice=nothing, bob=units(100), carol=units(100), dave=cash("500.00"),
    )  # fmt: skip
    market.agree("F-1", "bob", "alice", 100, "44.00")
    market.agree("F-2", "carol", "alice", 50, "45.00")
    market.agree("F-3", "alice", "dave", 10, "40.00")
    market.agree("F-4", "carol", "alice", 50, "44.00")
    market.next_evening()

    market.close_out()
    amounts = [(one.trade, one.amount, one.unpaid) for one in market.event.closed_out]
    assert amounts == [
        (1, fen("200.00"), 0),
        (2, fen("150.00"), 0),
        (3, fen("20.00"), 0),
        (4, fen("100.00"), fen("60.00")),
    ]
    paid = [(market.exchange.accounts[one.payer].account_id, one.quantity) for one in market.event.payments]
    ofs = [(RESERVE, "200.00"), (RESERVE, "50.00"), (HOUSE, "100.00"), (HOUSE, "20.00"), (HOUSE, "40.00")]
    assert paid == [(who, fen(amount)) for who, amount in ofs]
    assert market.owed("alice") == {RESERVE: fen("250.00"), HOUSE: fen("160.00")}
    assert market.settled("carol") == (fen("190.00"), 100) and market.settled("dave")[0] == fen("520.00")
    assert market.exchange.clearing.kept == set()


@pytest.mark.parametrize("mode", MODES)
def test_nobody_is_compensated_where_the_price_has_moved_its_way(mode):
    market = agreed(mode, price="40.00", reserve="500.00", alice=nothing, bob=units(100))
    market.next_evening()

    market.close_out()
    assert [(one.amount, one.unpaid) for one in market.event.closed_out] == [(0, 0)]
    assert market.event.payments == [] and market.settled("bob") == (0, 100)
    assert market.why_restricted("alice") is None


@pytest.mark.parametrize("mode", MODES)
def test_what_is_due_in_another_currency_is_paid_at_the_rate_in_force(mode):
    """One dollar a tonne, 100.00 of them, at 7.1234 the dollar."""
    market = failed_in_dollars(mode, reserve="500.00", alice=cash("5000.00"), bob=nothing)
    market.must(SetExchangeRate(HOUSE, "USD", "7.1234"))
    assert market.cover() == "refused: insufficient_cash"

    assert market.close_out() == "FailureClosedOut"
    [one] = market.event.closed_out
    assert (one.asset, one.amount, one.unpaid) == (0, fen("712.34"), fen("212.34"))
    assert market.holding("bob", CNY).settled == fen("500.00")
    assert market.owed("alice") == {RESERVE: fen("500.00")}


@pytest.mark.parametrize("mode", MODES)
def test_who_sold_for_dollars_that_do_not_come_has_its_units_again(mode):
    """Nobody covers in dollars: bob's units, sold on the book, would wait for ever."""
    market = Failing(mode, bank=True, reserve="9000.00", alice=nothing, bob=nothing)
    market.evening()
    list_in_dollars(market)
    market.give("bob", "HBEA-2026", 100)
    market.deposit("alice", "603.00", "USD")
    market.play(f"open {DUE}\nstart\nbob sells 100 HBEA-2026 @ 6.00\nalice buys 100 HBEA-2026 @ 6.00\nclose")
    market.batch(SimulatedBank(reject=frozenset({"alice"})))
    assert market.holding("bob", "HBEA-2026").reserved == 100

    assert market.close_out() == "FailureClosedOut"
    assert market.holding("bob", "HBEA-2026").available == 100
    assert market.holding("alice", "USD").available == 60_300
    assert market.why_restricted("alice") is None


@pytest.mark.parametrize("mode", MODES)
def test_without_a_rate_what_is_due_stays_in_its_own_currency_and_nobody_pays(mode):
    market = failed_in_dollars(mode, reserve="500.00", alice=cash("5000.00"), bob=nothing)

    assert market.close_out() == "FailureClosedOut"
    [one] = market.event.closed_out
    assert (one.asset, one.amount, one.unpaid) == (market.asset("USD"), 10_000, 10_000)
    assert market.event.payments == [] and market.why_restricted("alice") is None


def test_a_market_without_a_reserve_closes_out_and_says_what_is_unpaid():
    market = Market("generic", alice=nothing, bob=units(100))
    market.must(AgreeDelivery(HOUSE, "F-1", "bob", "alice", HBEA, 100, 4300, date(2026, 1, 6)))
    market.play("close\nsettle\nopen 2026-01-06\nclose\nsettle")
    market.now_ns += 10 * 24 * 3600 * 1_000_000_000

    assert market.do(CloseOutFailure(HOUSE, 1)) == "FailureClosedOut"
    assert [(one.amount, one.unpaid) for one in market.event.closed_out] == [(fen("100.00"), fen("100.00"))]
    assert market.exchange.clearing.restriction(market.number("alice")) is None


@pytest.mark.parametrize("mode", MODES)
def test_who_fails_in_the_same_trade_is_due_nothing_and_its_own_case_goes_on(mode):
    """Neither alice nor bob can meet their trade; bob lacks the units for carol too, who still waits for him."""
    market = Failing(mode, reserve="900.00", alice=nothing, bob=nothing, carol=cash("5000.00"))
    market.agree("F-1", "bob", "alice", 100, "44.00")
    market.agree("F-2", "bob", "carol", 100, "40.00")
    market.next_evening()

    market.close_out(1)
    assert [(one.account, one.amount) for one in market.event.closed_out] == [(market.number("bob"), 0)]
    assert market.case(2).is_open and market.case(2).trades == [2]
    market.close_out(2)
    assert [(one.account, one.amount) for one in market.event.closed_out] == [(market.number("carol"), fen("200.00"))]
    assert market.settled("carol") == (fen("5200.00"), 0) and market.holding("carol", CNY).reserved == 0
    assert market.owed("bob") == {RESERVE: fen("200.00")} and market.owed("alice") == {}


@pytest.mark.parametrize("mode", MODES)
def test_trades_of_the_book_that_were_taken_out_with_a_case_are_closed_out_with_it(mode):
    """alice sells 10 t on the book to carol: netted, her sale waits for her too, and carol's money with it."""
    market = Failing(mode, house_funds_max="0", alice=units(10), bob=units(100), carol=cash("1000.00"))
    market.agree("F-1", "bob", "alice", 100, "42.00")
    market.evening()
    market.play(f"open {DUE}\nstart\nalice sells 10 @ 41.00\ncarol buys 10 @ 41.00")
    market.evening()
    market.close_out()

    gross = mode == "gross_gross"
    assert [one.trade for one in market.event.closed_out] == ([2] if gross else [1, 2])
    assert market.holding("carol", CNY).reserved == 0 and market.holding("bob", HBEA).available == 100
    assert market.settled("carol") == ((fen("587.95"), 10) if gross else (fen("1000.00"), 0))
    assert market.settled(HOUSE)[0] == (fen("4.10") if gross else 0)  # no fees of what is never settled
    market.next_evening("2026-01-08")
    assert market.last.report.trades == 0


def test_steps_of_a_close_out_in_the_wrong_order_are_refused():
    market = agreed(alice=nothing, bob=units(100))
    market.next_evening()
    market.at(TOO_LATE)
    before = market.digest()
    assert market.do(CloseOutFailure("nobody", 1)) == "refused: unknown_account"
    assert market.do(CloseOutFailure("bob", 1)) == "refused: not_permitted"
    assert market.do(CloseOutFailure(HOUSE, 2)) == "refused: unknown_case"
    assert market.digest() == before

    market.close_out()
    before = market.digest()
    assert market.do(CloseOutFailure(HOUSE, 1)) == "refused: wrong_state"
    assert market.do(CoverFailure(HOUSE, 1)) == "refused: wrong_state"
    assert market.digest() == before
    bust = BustTrades(HOUSE, (1,), "it is over")
    assert market.do(bust) == "refused: wrong_state"


closable = st.tuples(st.sampled_from(["bob", "carol"]), st.booleans(), st.integers(1, 20), st.integers(4000, 4400))


@settings(max_examples=max(10, EXAMPLES // 6))
@given(st.sampled_from(MODES), st.lists(closable, min_size=1, max_size=5), st.integers(0, 5000), st.integers(0, 3000))
def test_what_is_paid_and_what_is_not_come_to_what_is_due(mode, deals, reserve, house):
    """alice has nothing at all: each of her counterparties is due the move against it, the first traded first."""
    market = Failing(
        mode, reserve=f"{reserve / 100}", house="100.00", house_funds_max=f"{house / 100:.2f}",
        alice=nothing, bob=cash("9000.00") + units(200), carol=cash("9000.00") + units(200),
    )  # fmt: skip
    for number, (other, sells, tonnes, ticks) in enumerate(deals):
        seller, buyer = (other, "alice") if sells else ("alice", other)
        market.agree(f"F-{number}", seller, buyer, tonnes, f"{ticks / 100:.2f}")
    market.next_evening()
    if not market.exchange.clearing.defaults.cases:  # she sells on what she bought, at a price that pays for it
        return
    waits = market.case().trades

    assert market.close_out() == "FailureClosedOut"
    left, got = reserve + house, dict.fromkeys(("bob", "carol"), 0)
    for one in market.event.closed_out:
        other, sells, tonnes, ticks = deals[one.trade - 1]
        due = tonnes * max(0, ticks - 4200 if sells else 4200 - ticks)
        paid, left = min(due, left), max(0, left - due)
        got[other] += paid
        assert (market.number(other), due, due - paid) == (one.account, one.amount, one.unpaid)
    assert [one.trade for one in market.event.closed_out] == waits
    assert sum(market.owed("alice").values()) == sum(got.values())
    assert market.exchange.clearing.kept == set() and market.exchange.clearing.waiting == []
    compensated = dict.fromkeys(got, 0)
    for name in got:
        entries = [one for who, one in market.exchange.clearing.entries if who == market.number(name)]
        compensated[name] = sum(one.amount for one in entries if one.cause == "compensation")
    assert compensated == got


# ---------------------------------------------------------------- several at once


@pytest.mark.parametrize("mode", MODES)
def test_who_counted_on_a_delivery_that_fails_fails_too(mode):
    """A sells to B, B sells on to C; A has nothing."""
    market = Failing(mode, a=nothing, b=cash("4221.00"), c=cash("5000.00"))
    market.agree("AB", "a", "b", 100, "42.00")
    market.agree("BC", "b", "c", 100, "42.00")
    said = market.next_evening()

    assert [note.account for note in said.failures] == [market.number("a"), market.number("b")]
    assert said.report.trades == 0 and market.last.failed == {1, 2}
    assert market.settled("b") == (fen("4221.00"), 0) and market.settled("c") == (fen("5000.00"), 0)

    market.give("a", HBEA, 100)
    assert market.cure(1) == "FailureCured"
    assert market.cure(2) == "FailureCured"  # with what comes from a
    assert market.batch().report.trades == 2
    assert market.settled("c")[1] == 100


@pytest.mark.parametrize("mode", MODES)
def test_a_chain_of_deliveries_settles_when_its_first_giver_has_the_units(mode):
    market = Failing(mode, a=units(100), b=cash("43.00"), c=cash("5000.00"))
    market.agree("AB", "a", "b", 100, "42.00")
    market.agree("BC", "b", "c", 100, "42.00")
    said = market.next_evening()

    if mode == "gross_gross":  # b has to pay before it is paid
        assert [note.account for note in said.failures] == [market.number("b")]
    else:
        assert said.failures == []
        assert market.settled("b") == (fen("1.00"), 0)


@pytest.mark.parametrize("mode", MODES)
def test_two_members_fail_in_one_trade_and_both_have_to_cure(mode):
    market = agreed(mode, alice=nothing, bob=nothing)
    market.next_evening()
    assert [case.account for case in market.exchange.clearing.defaults.cases] == [
        market.number("alice"),
        market.number("bob"),
    ]

    market.deposit("alice", "4221.00")
    assert market.cure(1) == "FailureCured"
    before = market.digest()
    assert market.do(FixObligations()) == "refused: day_already_settled"  # the trade still waits for bob
    assert market.digest() == before
    assert market.why_restricted("alice") is None
    market.give("bob", HBEA, 100)
    assert market.cure(2) == "FailureCured"
    assert market.batch().report.trades == 1


def test_a_trade_that_is_closed_out_ends_the_case_of_the_other_side_too():
    """The price has risen, but alice could not have paid either: nobody compensates her."""
    market = agreed(price="40.00", reserve="500.00", alice=nothing, bob=nothing)
    market.next_evening()

    market.cover(2)
    assert market.settled("alice") == (0, 0) and market.owed("bob") == {}
    assert (market.case(1).state, market.case(2).state) == (CaseState.CLOSED, CaseState.CLOSED)
    assert market.why_restricted("alice") is market.why_restricted("bob") is None


@pytest.mark.parametrize("mode", MODES)
def test_spot_trades_of_who_fails(mode):
    """alice sells 10 t on the book and cannot pay a later leg: gross her sale settles, net all is taken out."""
    market = Failing(mode, alice=units(10), bob=units(100), carol=cash("1000.00"), dave=cash("500.00") + units(5))
    market.agree("F-1", "bob", "alice", 100, "42.00")
    market.evening()
    market.play(f"open {DUE}\nstart\nalice sells 10 @ 42.00\ncarol buys 10 @ 42.00")
    market.play("dave sells 5 @ 42.00\ncarol buys 5 @ 42.00")
    said = market.evening()

    gross = mode == "gross_gross"
    assert said.report.trades == (2 if gross else 1)
    assert market.last.failed == ({3} if gross else {1, 3})
    assert market.settled("carol") == (fen("1000.00") - (fen("633.15") if gross else fen("211.05")), 15 if gross else 5)
    assert market.holding("carol", CNY).reserved == (0 if gross else fen("422.10"))  # she stands by her purchase
    assert market.holding("alice", HBEA).available == (0 if gross else 10)
    market.deposit("alice", "4221.00")
    assert market.cure() == "FailureCured"
    assert market.batch().failures == []
    assert market.settled("carol")[1] == 15 and market.settled("alice")[1] == 100
    assert market.settled("bob") == (fen("4179.00"), 0)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_reserved_for_the_book_comes_before_a_later_leg(mode):
    """alice has spent her money on the book when the deal is due: the book's trade settles, the deal fails."""
    market = agreed(mode, alice=cash("4221.00"), bob=units(100), carol=units(100))
    market.evening()
    market.play(f"open {DUE}\nstart\ncarol sells 100 @ 42.00\nalice buys 100 @ 42.00")
    market.evening()

    settled = {"gross_gross": {1}}.get(mode, set())
    assert set(market.last.settled["trade_id"].tolist()) == settled
    assert market.lacked() == {CNY: NEEDED}


# ---------------------------------------------------------------- the bank says no


def sold_on_the_book(mode, alice="9000.00"):
    """bob has sold alice 100 t on the book, in a market with a bank: she pays in 4,221.00."""
    market = Failing(mode, bank=True, alice=cash(alice), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose")
    market.must(FixObligations())
    return market


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("paid", ["0.00", "4220.99"])
def test_who_has_not_paid_in_fails_with_trades_of_the_book_too(mode, paid):
    market = sold_on_the_book(mode)
    said = market.deliver(SimulatedBank(partial={"alice": fen(paid)}))

    [note] = said.failures
    assert note.account == market.number("alice") and market.last.failed == {1}
    assert market.lacked() == {CNY: NEEDED - fen(paid)}  # though her ledger shows more than that
    assert market.holding("bob", HBEA).reserved == 100  # bob stands by his sale
    assert market.holding("alice", CNY).unsettled == market.holding("bob", CNY).unsettled == 0


@pytest.mark.parametrize("mode", MODES)
def test_what_is_brought_between_the_banks_answer_and_the_delivery_counts_for_the_batch(mode):
    for brought, failed in (("4220.99", {1}), ("4221.00", set())):
        market = sold_on_the_book(mode)
        market.must(InstructBank())
        market.answer(SimulatedBank(reject=frozenset({"alice"})))
        market.deposit("alice", brought)
        market.must(DeliverBatch())
        assert market.last.failed == failed
    assert market.settled("alice") == (fen("9000.00"), 100)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_brought_for_a_batch_does_not_leave_before_it_is_delivered(mode):
    """The bank has refused 221.00 of what alice was to pay in; she brings 300.00, of which 79.00 are not for that."""
    market = sold_on_the_book(mode)
    exchange_dollars(market)
    market.must(InstructBank())
    market.answer(SimulatedBank(partial={"alice": fen("4000.00")}))
    market.withdraw("alice", market.money("alice"))
    market.deposit("alice", "300.00")
    before = market.digest()
    assert market.withdraw("alice", "79.01") == "refused: insufficient_cash"
    assert market.do(ConvertCash("alice", BANK, CNY, "USD", fen("79.01"))) == "refused: insufficient_cash"
    assert market.digest() == before

    assert market.withdraw("alice", "79.00") == "CashWithdrawn"
    market.must(DeliverBatch())
    assert market.last.failed == set()


@pytest.mark.parametrize("mode", MODES)
def test_what_was_brought_for_the_bank_is_not_there_for_a_bust(mode):
    """alice has sold 50 t, and buys 100 t for money that the bank has not: what she brings instead is for that."""
    market = Failing(mode, bank=True, alice=cash("3000.00") + units(50), bob=cash("4000.00") + units(100))
    market.play("alice sells 50 @ 42.00\nbob buys 50 @ 42.00")
    market.evening()
    market.play(f"open {DUE}\nstart\nbob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose")
    market.must(FixObligations())
    market.must(InstructBank())
    market.answer(SimulatedBank(reject=frozenset({"alice"})))
    market.withdraw("alice", market.money("alice"))
    market.deposit("alice", "4221.00")
    bust = BustTrades(HOUSE, [1], "mistyped")
    before = market.digest()
    assert market.do(bust) == "refused: insufficient_cash" and market.digest() == before

    market.must(DeliverBatch())
    assert market.last.failed == set()
    market.must(bust)


@pytest.mark.parametrize("mode", MODES)
def test_what_was_brought_before_the_bank_answers_is_in_its_answer(mode):
    market = sold_on_the_book(mode)
    market.must(InstructBank())
    market.deposit("alice", "4221.00")
    market.answer(SimulatedBank(reject=frozenset({"alice"})))
    market.must(DeliverBatch())
    assert market.last.failed == {1} and market.lacked() == {CNY: NEEDED}


@pytest.mark.parametrize("mode", MODES)
def test_who_is_to_be_paid_withdraws_once_the_bank_has_said_that_it_is(mode):
    market = sold_on_the_book(mode)
    market.deliver(SimulatedBank(late={"bob": None}))
    market.must(IssueStatements())
    before = market.digest()
    assert market.withdraw("bob", "1.00") == "refused: withdrawal_blocked"
    assert market.digest() == before

    step = next_of_bank(market.exchange, Policy.ACCEPT)  # the bank inside answers what was delivered without it
    market.must(step.command)
    assert market.withdraw("bob", "1.00") == "CashWithdrawn"
    assert next_of_bank(market.exchange, Policy.ACCEPT) is None


@pytest.mark.parametrize("mode", MODES)
def test_a_bank_that_confirms_late_cures(mode):
    market = sold_on_the_book(mode, alice="4221.00")
    market.deliver(SimulatedBank(late={"alice": None}))
    assert market.lacked() == {CNY: NEEDED}
    market.must(IssueStatements())
    before = market.digest()
    assert market.cure(at="2026-01-06 10:00:00") == "refused: insufficient_cash"
    assert market.digest() == before

    market.answer()
    assert market.cure(at="2026-01-06 10:00:00") == "FailureCured"
    assert market.batch().report.trades == 1
    assert market.settled("alice") == (0, 100)


@pytest.mark.parametrize("mode", MODES)
def test_money_that_the_bank_does_not_confirm_cures_nothing_however_much_is_booked(mode):
    """The ledger shows 9,000.00: what cures is what comes in after the failure, or what the bank says late."""
    market = sold_on_the_book(mode)
    market.deliver(SimulatedBank(reject=frozenset({"alice"})))
    market.must(IssueStatements())
    market.at("2026-01-06 10:00:00")
    before = market.digest()
    assert market.do(CureFailure("alice", 1)) == "refused: insufficient_cash"
    assert market.digest() == before

    market.deposit("alice", "4220.99")
    before = market.digest()
    assert market.do(CureFailure("alice", 1)) == "refused: insufficient_cash"
    assert market.digest() == before
    market.deposit("alice", "0.01")
    assert market.do(CureFailure("alice", 1)) == "FailureCured"
    assert market.batch().report.trades == 1
    assert market.settled("alice") == (fen("9000.00"), 100)


@pytest.mark.parametrize("mode", MODES)
def test_what_the_bank_says_late_cures_who_has_enough(mode):
    market = sold_on_the_book(mode)
    market.deliver(SimulatedBank(late={"alice": None}))
    market.must(IssueStatements())
    assert market.lacked() == {CNY: NEEDED}
    assert market.cure(at="2026-01-06 10:00:00") == "refused: insufficient_cash"

    market.answer(SimulatedBank(partial={"alice": fen("4000.00")}))
    assert market.cure(at="2026-01-06 10:00:00") == "refused: insufficient_cash"
    market.deposit("alice", "221.00")
    assert market.cure(at="2026-01-06 10:00:00") == "FailureCured"


@pytest.mark.parametrize("mode", MODES)
def test_one_deposit_does_not_cure_two_failures(mode):
    """The bank refuses alice's money on two evenings, which her ledger shows three times over."""
    market = Failing(mode, bank=True, alice=cash("9000.00"), bob=units(100))
    market.agree("F-1", "bob", "alice", 50, "42.00")
    market.agree("F-2", "bob", "alice", 50, "42.00", due="2026-01-07")
    market.play("close")
    market.batch()
    refusing = SimulatedBank(reject=frozenset({"alice"}))
    for day in (DUE, "2026-01-07"):
        market.play(f"open {day}\nstart\nclose")
        market.at(f"{day} 14:00:00")  # while the first may still be cured
        market.batch(refusing)
        if day == DUE:
            market.deposit("alice", "1000.00")
    half = fen("2110.50")
    assert market.lacked(1) == market.lacked(2) == {CNY: half}

    market.deposit("alice", "1110.50")
    assert market.do(CureFailure("alice", 2)) == "refused: insufficient_cash"
    assert market.do(CureFailure("alice", 1)) == "FailureCured"
    before = market.digest()
    assert market.do(CureFailure("alice", 2)) == "refused: insufficient_cash"
    assert market.digest() == before
    market.deposit("alice", "2110.49")
    assert market.do(CureFailure("alice", 2)) == "refused: insufficient_cash"
    market.deposit("alice", "0.01")
    assert market.do(CureFailure("alice", 2)) == "FailureCured"


@pytest.mark.parametrize("mode", MODES)
def test_recourse_is_not_paid_with_the_money_that_is_to_cure(mode):
    """bob bought in for alice once; her new money cures what the bank has refused since."""
    market = Failing(mode, bank=True, reserve="100.00", alice=cash("4221.00"), bob=units(110))
    market.agree("F-1", "alice", "bob", 10, "40.00")
    market.agree("F-2", "bob", "alice", 100, "42.00", due="2026-01-07")
    market.deposit("bob", "402.00")
    market.next_evening()
    market.cover()
    assert market.owed("alice") == {RESERVE: fen("20.00")}
    market.play("open 2026-01-08\nstart\nclose")
    market.batch(SimulatedBank(reject=frozenset({"alice"})))
    market.deposit("alice", "4221.00")
    before = market.digest()
    assert market.do(PayRecourse("alice", 1)) == "refused: insufficient_cash"
    assert market.digest() == before

    market.deposit("alice", "20.00")
    assert market.do(PayRecourse("alice", fen("20.00"))) == "RecoursePaid"
    assert market.cure(2, at="2026-01-08 18:00:00") == "FailureCured"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("confirmed", ["0.00", "1000.00"])
def test_who_has_not_paid_in_is_covered_with_money_though_its_ledger_shows_enough(mode, confirmed):
    market = Failing(mode, bank=True, reserve="5000.00", alice=cash("9000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose")
    market.batch(SimulatedBank(partial={"alice": fen(confirmed)}))
    market.cover()
    lent = NEEDED - fen(confirmed)
    assert [(one.payer, one.quantity) for one in market.event.payments] == [(market.number(RESERVE), lent)]

    market.batch(SimulatedBank(partial={"alice": fen(confirmed)}))
    assert market.last.failed == set() and market.case().used == {0: lent}
    assert market.settled("alice") == (fen("9000.00") - fen(confirmed), 0)
    assert market.settled("bob") == (fen("4179.00"), 0) and market.settled(RESERVE) == (fen("5000.00") - lent, 100)


def counted_on_alice(mode):
    """carol sells 60 t to alice and buys 40 t of bob: netted she pays nothing in, unless alice fails."""
    people = {"alice": cash("9000.00"), "bob": units(100), "carol": cash("3000.00") + units(60)}
    market = Failing(mode, bank=True, **people)
    market.play("carol sells 60 @ 42.00\nalice buys 60 @ 42.00\nbob sells 40 @ 42.00\ncarol buys 40 @ 42.00\nclose")
    market.must(FixObligations())
    return market


CAROL = fen("1688.40")


@pytest.mark.parametrize("mode", MODES[1:])
def test_who_has_to_pay_more_since_another_fails_is_asked_for_it(mode):
    market = counted_on_alice(mode)
    said = market.deliver(SimulatedBank(reject=frozenset({"alice"})))

    [besides] = market.last.payments.more
    assert [(one.line, one.account_id, one.fen) for one in besides.lines] == [(5, "carol", CAROL)]
    assert besides.checksum != market.last.payments.file.checksum
    assert [note.account for note in said.failures] == [market.number("alice")] and market.last.failed == {1}
    assert market.settled("carol") == (fen("3000.00") - CAROL, 100)


@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("paid", ["0.00", "1688.39"])
def test_who_does_not_pay_what_is_asked_besides_fails_too(mode, paid):
    market = counted_on_alice(mode)
    said = market.deliver(SimulatedBank(reject=frozenset({"alice"}), partial={"carol": fen(paid)}))

    assert [note.account for note in said.failures] == [market.number("alice"), market.number("carol")]
    assert market.last.failed == {1, 2} and market.lacked(2) == {CNY: CAROL - fen(paid)}


@pytest.mark.parametrize("mode", MODES)
def test_the_timetable_and_the_bank_inside_ask_and_answer_by_themselves(mode):
    market = counted_on_alice(mode)
    exchange = market.exchange
    while not market.last.has_reached(Stage.DELIVERED):
        step = next_of_bank(exchange, Policy.REJECT) or next_of_settlement(exchange)
        market.now_ns = max(market.now_ns, step.at_ns)
        market.must(step.command)

    assert len(market.last.payments.more) == (0 if mode == "gross_gross" else 1)
    assert market.last.failed == {1} and market.settled("bob")[1] == 60


def test_gross_nobody_is_asked_for_more():
    market = counted_on_alice("gross_gross")
    market.deliver(SimulatedBank(reject=frozenset({"alice"})))
    assert market.last.payments.more == () and market.last.failed == {1}


@pytest.mark.parametrize("mode", MODES[1:])
def test_who_was_not_asked_since_the_bank_is_late_has_not_failed(mode):
    """Its trade with bob is taken out and comes again: he is not to wait for money that nobody has asked for."""
    market = counted_on_alice(mode)
    said = market.deliver(SimulatedBank(late={"alice": None}))

    assert [note.account for note in said.failures] == [market.number("alice")] and market.last.failed == {1, 2}
    assert market.why_restricted("carol") is market.why_restricted("bob") is None
    assert market.holding("carol", CNY).reserved == CAROL and market.holding("bob", HBEA).reserved == 40
    market.must(IssueStatements())
    assert market.batch().report.trades == 1
    assert market.settled("carol")[0] == fen("3000.00") - CAROL and market.settled("bob") == (fen("1671.60"), 60)


@pytest.mark.parametrize("mode", MODES)
def test_the_bank_is_not_asked_twice_for_the_same(mode):
    market = counted_on_alice(mode)
    market.must(InstructBank())
    before = market.digest()
    assert market.do(InstructBank()) == "refused: wrong_state"
    assert market.digest() == before
    market.answer()
    before = market.digest()
    assert market.do(InstructBank()) == "refused: wrong_state"
    assert market.digest() == before
    market.must(DeliverBatch())
    assert market.last.failed == set()


def covered_by_the_reserve(mode):
    """The bank has refused alice's 4,221.00, the reserve has paid them, and her purchase is to come again."""
    market = Failing(mode, bank=True, reserve="4221.00", alice=cash("9000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose")
    market.batch(SimulatedBank(reject=frozenset({"alice"})))
    market.cover()
    return market


@pytest.mark.parametrize("mode", MODES)
def test_who_has_not_paid_in_repays_out_of_new_money_alone(mode):
    """Her ledger shows 9,000.00 that the bank does not have: neither before nor after her purchase do they repay."""
    market = covered_by_the_reserve(mode)
    refuses_recourse(market, NEEDED, "wrong_state")
    market.batch(SimulatedBank(reject=frozenset({"alice"})))
    assert market.last.failed == set() and market.settled("alice") == (fen("9000.00"), 0)
    refuses_recourse(market, 1, "insufficient_cash")

    market.deposit("alice", "4221.00")
    assert market.do(PayRecourse("alice", fen("4220.00"))) == "RecoursePaid"
    assert market.do(PayRecourse("alice", fen("1.00"))) == "RecoursePaid"
    assert market.why_restricted("alice") is None and market.settled("alice") == (fen("9000.00"), 100)


@pytest.mark.parametrize("mode", MODES)
def test_money_that_was_brought_and_then_paid_for_a_trade_does_not_repay(mode):
    """The bank confirms 1,000.00 of what alice has brought since; what she has left of it repays, and no more."""
    market = covered_by_the_reserve(mode)
    market.deposit("alice", "1500.00")
    market.batch(SimulatedBank(partial={"alice": fen("1000.00")}))
    assert market.last.failed == set() and market.last.stood_in == {(market.number("alice"), 0): fen("3221.00")}

    refuses_recourse(market, fen("1500.01"), "insufficient_cash")  # of the reserve's money 1,000.00 were not needed
    assert market.do(PayRecourse("alice", fen("1500.00"))) == "RecoursePaid"
    refuses_recourse(market, 1, "insufficient_cash")


@pytest.mark.parametrize("mode", MODES)
def test_what_others_paid_and_the_bank_confirms_is_used_too(mode):
    """It was the reserve's money that the bank found in alice's sub-ledger: she still has none of her own."""
    market = covered_by_the_reserve(mode)
    market.batch()
    assert market.last.failed == set() and market.last.stood_in == {}

    refuses_recourse(market, 1, "insufficient_cash")


@pytest.mark.parametrize("mode", MODES)
def test_what_others_paid_repays_itself_when_its_trade_is_closed_out(mode):
    """It failed again for another reason, and nothing needs the money any more: it is there."""
    market = Failing(mode, bank=True, reserve="5000.00", alice=cash("9000.00"), bob=units(100), dave=nothing)
    market.agree("F-1", "dave", "alice", 100, "42.00")
    market.play("close")
    market.batch()
    market.play(f"open {DUE}\nstart\nclose")
    market.batch(SimulatedBank(reject=frozenset({"alice"})))
    market.cover(2 if market.case(1).account == market.number("dave") else 1)
    refuses_recourse(market, NEEDED, "wrong_state")
    market.close_out(1 if market.case(1).is_open else 2)

    assert market.do(PayRecourse("alice", NEEDED)) == "RecoursePaid"
    assert market.settled("alice") == (fen("9000.00"), 0)


@pytest.mark.parametrize("mode", MODES)
def test_the_same_money_of_the_reserve_does_not_stand_for_two_trades(mode):
    market = Failing(mode, bank=True, reserve="4221.00", alice=cash("9000.00"), bob=units(200))
    market.agree("F-2", "bob", "alice", 100, "42.00", due="2026-01-07")
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose")
    refusing = SimulatedBank(reject=frozenset({"alice"}))
    market.batch(refusing)
    market.play("open 2026-01-07\nstart\nclose")
    market.batch(refusing)
    market.cover(1, at="2026-01-12 16:00:00")
    refuses_recourse(market, NEEDED, "wrong_state")
    assert market.cover(2, at="2026-01-12 16:00:00") == "refused: insufficient_cash"

    market.batch(refusing)
    assert market.settled("bob") == (fen("4179.00"), 100)


def test_who_may_end_a_case_of_the_bank_is_told_how():
    market = Failing(bank=True, reserve="1.00", alice=cash("9000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose")
    market.batch(SimulatedBank(reject=frozenset({"alice"})))
    assert market.cover(at="2026-01-06 10:00:00") == "refused: too_early"
    assert market.event.detail == "failure case 1 may be cured until 2026-01-06 15:00:00"
    assert market.cure(at="2026-01-06 10:00:00") == "refused: insufficient_cash"
    bank_said = "4221.00 CNY is still lacking, which the bank has not confirmed"
    assert market.event.detail == f"{bank_said}: what is deposited from now on counts for it"
    assert market.cover() == "refused: insufficient_cash"
    may_give = "4221.00 is needed; reserve and house may still give 1.00 CNY"
    assert market.event.detail == f"{may_give}: fund the reserve, or close the case out"


def refuses_recourse(market, amount, reason):
    before = market.digest()
    assert market.do(PayRecourse("alice", amount)) == f"refused: {reason}"
    assert market.digest() == before


@pytest.mark.parametrize("mode", MODES)
def test_what_was_paid_for_a_failure_counts_when_it_fails_again(mode):
    """The bank confirms 1,000.00 at first and nothing then: of what the reserve has paid nothing is used."""
    market = Failing(mode, bank=True, reserve="5000.00", alice=cash("9000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose")
    market.batch(SimulatedBank(partial={"alice": fen("1000.00")}))
    market.cover()
    market.batch(SimulatedBank(reject=frozenset({"alice"})))

    assert market.last.failed == {1} and market.case().used == {}
    assert market.lacked(2) == {CNY: fen("1000.00")}
    market.at("2026-01-12 16:00:00")
    market.cover(2, at="2026-01-12 16:00:00")
    assert market.owed("alice") == {RESERVE: NEEDED}
    market.batch(SimulatedBank(reject=frozenset({"alice"})))
    assert market.last.failed == set()
    assert (market.case(1).used, market.case(2).used) == ({0: fen("3221.00")}, {0: fen("1000.00")})


@pytest.mark.parametrize("mode", MODES)
def test_what_others_paid_counts_once_though_its_trades_come_in_two_batches(mode):
    """The reserve pays for two purchases of alice; one waits for dave too and comes with a third that is due then."""
    market = Failing(mode, bank=True, reserve="9000.00", alice=cash("99000.00"), bob=units(200), dave=nothing)
    market.agree("F-1", "bob", "alice", 100, "42.00")
    market.agree("F-2", "dave", "alice", 100, "42.00")
    market.agree("F-3", "bob", "alice", 100, "42.00", due="2026-01-08")
    market.play("close")
    market.batch()
    market.play(f"open {DUE}\nstart\nclose")
    refusing = SimulatedBank(reject=frozenset({"alice"}))
    market.batch(refusing)
    assert market.case(1).trades == [1, 2] and market.case(2).trades == [2]

    market.cover(1)
    assert market.owed("alice") == {RESERVE: 2 * NEEDED}
    market.batch(refusing)
    assert market.last.failed == set() and market.case(1).used == {0: NEEDED}

    market.give("dave", HBEA, 100)
    market.cover(2)
    market.play("open 2026-01-08\nstart\nclose")
    market.batch(refusing)
    gross = mode == "gross_gross"
    assert market.last.failed == ({3} if gross else {2, 3})  # nobody has paid for the third
    assert market.lacked(3) == {CNY: NEEDED}
    assert market.case(1).used == {0: 2 * NEEDED if gross else NEEDED}


@pytest.mark.parametrize("mode", MODES)
def test_what_others_paid_for_one_trade_does_not_pay_for_another(mode):
    """The reserve has paid for a purchase that still waits for dave: a new one of alice is not settled with that."""
    market = Failing(mode, bank=True, reserve="9000.00", alice=cash("99000.00"), bob=units(200), dave=nothing)
    market.agree("F-1", "bob", "alice", 100, "42.00")
    market.agree("F-2", "dave", "alice", 100, "42.00")
    market.agree("F-3", "bob", "alice", 100, "42.00", due="2026-01-08")
    market.play("close")
    market.batch()
    market.play(f"open {DUE}\nstart\nclose")
    refusing = SimulatedBank(reject=frozenset({"alice"}))
    market.batch(refusing)
    market.cover(1)
    market.play("open 2026-01-08\nstart\nclose")
    market.batch(refusing)

    gross = mode == "gross_gross"
    assert market.last.failed == ({3} if gross else {1, 3})
    assert market.lacked(3) == {CNY: NEEDED}


@pytest.mark.parametrize("mode", MODES)
def test_who_has_not_paid_in_cures_by_paying_in_anew(mode):
    market = sold_on_the_book(mode, alice="4221.00")
    market.deliver(SimulatedBank(partial={"alice": fen("1000.00")}))
    market.must(IssueStatements())
    assert market.lacked() == {CNY: NEEDED - fen("1000.00")}

    market.deposit("alice", "3221.00")
    assert market.cure(at="2026-01-06 10:00:00") == "FailureCured"
    assert market.batch().report.trades == 1


@pytest.mark.parametrize("mode", MODES)
def test_what_the_reserve_has_paid_counts_as_paid_in(mode):
    """The bank refuses alice's money again: what the reserve gave for her is there."""
    market = Failing(mode, bank=True, reserve="5000.00", alice=cash("4221.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose")
    refusing = SimulatedBank(reject=frozenset({"alice"}))
    market.batch(refusing)
    market.cover()

    assert market.batch(refusing).report.trades == 1
    assert market.owed("alice") == {RESERVE: NEEDED}
    assert market.settled("bob") == (fen("4179.00"), 0) and market.settled(RESERVE)[1] == 100


def test_gross_trades_settle_as_far_as_the_confirmed_money_reaches():
    market = Failing(bank=True, alice=cash("9000.00"), bob=units(100))
    market.play("bob sells 60 @ 42.00\nalice buys 60 @ 42.00\nbob sells 40 @ 42.00\nalice buys 40 @ 42.00\nclose")
    market.must(FixObligations())
    market.deliver(SimulatedBank(partial={"alice": fen("3000.00")}))

    assert market.last.failed == {2}
    assert market.settled("alice") == (fen("9000.00") - fen("2532.60"), 60)


def test_a_pay_out_that_is_refused_fails_nobody():
    market = sold_on_the_book("gross_gross")
    assert market.deliver(SimulatedBank(refuse=frozenset({"bob"}))).failures == []
    assert market.settled("bob") == (fen("4179.00"), 0)


@pytest.mark.parametrize("mode", MODES)
def test_an_order_that_counted_on_proceeds_that_fail_is_cancelled(mode):
    market = Failing(mode, bank=True, alice=cash("5000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nbob buys 90 @ 42.00 gtc\nclose")
    assert market.book() == "bob buys 90 @ 42.00"
    market.must(FixObligations())
    market.deliver(SimulatedBank(reject=frozenset({"alice"})))

    assert market.book() == ""
    assert market.settled("bob") == (0, 100)
    assert market.holding("bob", HBEA).reserved == 100


@pytest.mark.parametrize("mode", MODES)
def test_who_spent_the_proceeds_of_a_sale_that_fails_fails_too(mode):
    """alice's bank does not pay; bob has bought with what she owes him, and carol stands by her sale."""
    market = Failing(mode, bank=True, alice=cash("5000.00"), bob=units(100), carol=units(50))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\ncarol sells 50 @ 42.00\nbob buys 50 @ 42.00\nclose")
    market.must(FixObligations())
    said = market.deliver(SimulatedBank(late={"alice": None}))

    assert [note.account for note in said.failures] == [market.number("alice"), market.number("bob")]
    assert market.last.failed == {1, 2} and said.report.trades == 0
    assert market.holding("carol", HBEA).reserved == 50
    market.must(IssueStatements())
    market.answer()
    assert market.cure(1, at="2026-01-06 10:00:00") == "FailureCured"
    assert market.cure(2, at="2026-01-06 10:00:00") == "FailureCured"
    assert market.batch().report.trades == 2
    assert market.settled("bob") == (fen("4179.00") - fen("2110.50"), 50)


# ---------------------------------------------------------------- corrections


def test_a_trade_that_failed_is_put_right_once_it_has_settled():
    market = agreed(alice=nothing, bob=units(100))
    market.next_evening()
    bust = BustTrades(HOUSE, (1,), "agreed by mistake")
    assert market.do(bust) == "refused: wrong_state"
    market.deposit("alice", "4221.00")
    market.cure()
    before = market.digest()
    assert market.do(bust) == "refused: wrong_state"
    assert market.digest() == before

    market.batch()
    assert "TradesBusted" in market.do(bust)
    assert market.settled("alice") == (fen("4221.00"), 0) and market.settled("bob") == (0, 100)


# ---------------------------------------------------------------- the reserve


def test_a_share_of_the_fees_goes_to_the_reserve_until_its_target_is_held():
    market = Failing(share="0.25", target="15.00", alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00")
    said = market.evening()

    assert said.provision == fen("10.50")  # a quarter of 42.00
    assert market.settled(RESERVE) == (fen("10.50"), 0) and market.settled(HOUSE) == (fen("31.50"), 0)
    market.play(f"open {DUE}\nstart\nalice sells 100 @ 42.00\nbob buys 90 @ 42.00")
    assert market.evening().provision == fen("4.50")
    assert market.settled(RESERVE) == (fen("15.00"), 0)


def test_the_reserve_is_funded_and_drawn_by_the_clearing_house_alone():
    market = Failing(reserve="100.00", house="50.00", alice=nothing)
    before = market.digest()
    assert market.do(FundReserve("alice", 1)) == "refused: not_permitted"
    assert market.do(FundReserve(RESERVE, 1)) == "refused: not_permitted"
    assert market.do(FundReserve(HOUSE, 0)) == "refused: amount_not_positive"
    assert market.do(FundReserve(HOUSE, fen("50.01"))) == "refused: insufficient_cash"
    assert market.withdraw(RESERVE, "1.00") == "refused: not_permitted"
    draw = DrawReserve(HOUSE, fen("30.00"), "operating_error", "alice", "a statement was wrong")
    assert market.do(DrawReserve("alice", 1, "force_majeure", "alice", "")) == "refused: not_permitted"
    assert market.do(DrawReserve(HOUSE, 1, "default", RESERVE, "")) == "refused: not_permitted"
    assert market.do(DrawReserve(HOUSE, -1, "default", "alice", "")) == "refused: amount_not_positive"
    assert market.do(DrawReserve(HOUSE, fen("100.01"), "default", "alice", "")) == "refused: insufficient_cash"
    assert market.digest() == before

    market.must(draw)
    assert market.event.balance == fen("70.00")
    assert market.settled("alice") == (fen("30.00"), 0)
    market.evening()
    for statement in market.statements():
        statement.check()


def test_the_account_of_the_reserve_stays_as_it_is():
    market = Failing(reserve="1.00")
    market.join("registry", Stake(participant_class=ParticipantClass.REGISTRY_AUTHORITY))
    before = market.digest()

    for status in (AccountStatus.ACTIVE, AccountStatus.CLOSED):
        assert market.do(ChangeAccountStatus("registry", RESERVE, status, "please")) == "refused: not_permitted"
    assert market.do(an_agreement(seller=RESERVE, buyer=HOUSE)) == "refused: may_not_trade"
    assert market.digest() == before


def test_without_a_reserve_a_case_can_be_cured_and_a_sale_closed_out_but_nobody_pays():
    market = Market("generic", alice=nothing, bob=nothing, carol=cash("5000.00"))
    tomorrow = date(2026, 1, 6)
    market.must(AgreeDelivery(HOUSE, "F-1", "bob", "carol", HBEA, 100, 4200, tomorrow))
    market.must(AgreeDelivery(HOUSE, "F-2", "carol", "alice", HBEA, 100, 4300, tomorrow))
    assert RESERVE not in market.exchange.accounts.by_id
    assert market.do(FundReserve(HOUSE, 1)) == "refused: unknown_account"
    market.play("close\nsettle\nopen 2026-01-06\nclose\nsettle")
    market.now_ns += 10 * 24 * 3600 * 1_000_000_000

    before = market.digest()
    assert market.do(CoverFailure(HOUSE, 1)) == "refused: insufficient_cash"
    assert market.digest() == before
    assert market.do(CoverFailure(HOUSE, 2)) == "FailureCovered"
    assert [one.trade for one in market.event.closed_out] == [1]


def test_who_still_has_to_do_with_a_deal_or_a_failure_keeps_its_account():
    market = agreed(alice=nothing, bob=units(100))
    market.join("registry", Stake(participant_class=ParticipantClass.REGISTRY_AUTHORITY))
    close = ChangeAccountStatus("registry", "alice", AccountStatus.CLOSED, "asked for")
    assert market.do(close) == "refused: account_not_empty"
    market.next_evening()
    assert market.do(close) == "refused: account_not_empty"


# ---------------------------------------------------------------- refusals

SHOWN = {Reason.UNKNOWN_DEAL, Reason.UNKNOWN_CASE, Reason.DEAL_EXISTS, Reason.IN_DEFAULT}


def an_agreement(**changes):
    terms = {
        "by": HOUSE, "deal_id": "F-2", "seller": "bob", "buyer": "alice", "symbol": HBEA, "quantity": 10,
        "price_ticks": 4200, "due": date(2026, 1, 6), "method": "block",
    }  # fmt: skip
    return AgreeDelivery(**(terms | changes))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"by": "nobody"}, "unknown_account"),
        ({"by": "alice"}, "not_permitted"),
        ({"seller": "nobody"}, "unknown_account"),
        ({"buyer": "bob"}, "not_permitted"),
        ({"symbol": "HBEA-1999"}, "unknown_instrument"),
        ({"deal_id": "F-1"}, "deal_exists"),
        ({"buyer": HOUSE}, "may_not_trade"),
        ({"due": date(2026, 1, 5)}, "invalid_date"),
        ({"quantity": 0}, "quantity_not_positive"),
        ({"price_ticks": 0}, "price_not_positive"),
        ({"price_ticks": 9999}, "price_outside_band"),
        ({"quantity": 1 << 50}, "amount_too_large"),
        ({"quantity": 1_000_000_000}, "position_limit"),
    ],
)
def test_an_agreement_that_makes_no_sense_is_refused(change, reason):
    market = agreed(alice=nothing, bob=nothing)
    before = market.digest()

    assert market.do(an_agreement(**change)) == f"refused: {reason}"
    assert market.digest() == before


def test_who_is_in_default_agrees_nothing_further():
    market = agreed(alice=nothing, bob=units(200))
    market.next_evening()
    before = market.digest()

    assert market.do(an_agreement(due=date(2026, 1, 9))) == "refused: in_default"
    assert market.digest() == before


def test_steps_of_a_case_in_the_wrong_order_are_refused():
    market = agreed(reserve="5000.00", alice=nothing, bob=units(100))
    market.next_evening()
    before = market.digest()
    assert market.cure(2) == "refused: unknown_case"
    assert market.cure(by="bob") == "refused: not_permitted"
    assert market.do(CoverFailure("alice", 1)) == "refused: not_permitted"
    assert market.do(CoverFailure(HOUSE, 2)) == "refused: unknown_case"
    assert market.do(DisposeSecurity(HOUSE, 1)) == "refused: wrong_state"
    assert market.do(PayRecourse("alice", 1)) == "refused: above_obligation"
    assert market.do(PayRecourse("alice", 0)) == "refused: amount_not_positive"
    assert market.digest() == before

    market.cover()
    assert market.do(CoverFailure(HOUSE, 1)) == "refused: wrong_state"
    assert market.do(CureFailure(HOUSE, 1)) == "refused: wrong_state"
