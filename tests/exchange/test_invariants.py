"""Each invariant can fail: the state is broken on purpose, and the check that is meant to notice does.

Conservation alone does not notice everything; what the two conservation checks say nothing about is marked.
"""

from datetime import date

import msgspec
import numpy as np
import pytest

from exchange import invariants
from exchange.client_orders import MANY, ClientOrders
from exchange.commands import (
    AgreeDelivery,
    CorrectTrades,
    FixObligations,
    InstructBank,
    IssueReduction,
    NewTerms,
    ObjectToStatement,
    OpenPeriod,
    RegisterCurrency,
    RegisterGreenPower,
)
from exchange.invariants import CHECKS
from exchange.sessions import Phase
from exchange.transition.step import HOUSE
from matching import ladder as book_of
from matching.orders import Side
from registry.accounts import ParticipantClass
from registry.compliance import Obligor
from registry.coverage import Decision, Why
from registry.holdings import CASH
from registry.serials import Cause, Origin
from settlement.answers import Answer
from settlement.bank import Payments
from settlement.bank_files import LineAnswer, Reply
from settlement.conversions import Conversion, Rate
from settlement.cycle import Stage
from settlement.default import SELLER, Claim
from settlement.rebates import Rebate
from settlement.statements import Entry
from tests.exchange.market import HBEA, Market, Stake, cash, nothing, units


@pytest.fixture
def market():
    """A bid at 41.00, an ask at 43.00 that shows 4 of 10, a stop at 44.00, a trade at 42.00, yesterday's settled."""
    market = Market(alice=cash("100000.00"), bob=units(1000))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00")
    market.next_day("2026-01-06")
    market.play("bob sells 50 @ 42.00\nalice buys 50 @ 42.00")
    market.play("bob sells 10 @ 43.00 show 4\nalice buys 10 @ 41.00\nalice buys 5 @ 45.00 stop 44.00")
    invariants.check(market.exchange)
    return market


def balance(market, name, asset=CASH):
    return market.exchange.path.desk.balances[market.number(name), asset]


def participant(market, name):
    return market.exchange.path.desk.participants[market.number(name)]


def ladder(market):
    return market.exchange.path.desk.ladder


def orders(market):
    """The bid, the ask, the waiting stop."""
    return list(book_of.orders_of(ladder(market), market.instrument(HBEA)))


def asks(market):
    return ladder(market).queues[book_of.queue_of(market.instrument(HBEA), int(Side.SELL))]


def a_fen_appears(market):
    balance(market, "alice").available += 1


def a_fen_is_paid_out_twice(market):
    market.exchange.cash_withdrawn[CASH] += 1


def a_cent_appears(market):
    market.must(RegisterCurrency("USD"))
    balance(market, "alice", market.exchange.currencies["USD"]).available += 1


def a_tonne_appears(market):
    balance(market, "alice", market.asset(HBEA)).registry += 1


def a_tonne_is_issued_to_nobody(market):
    next(iter(market.exchange.units)).issued += 1


def an_account_is_overdrawn(market):
    balance(market, "bob", market.asset(HBEA)).available -= 1000
    balance(market, "bob", market.asset(HBEA)).reserved += 1000


def nobody_holds_something(market):
    market.exchange.path.desk.balances[0, CASH].available += 1


def a_reservation_has_no_reason(market):
    balance(market, "alice").available -= 1
    balance(market, "alice").reserved += 1


def an_order_lacks_its_reservation(market):
    balance(market, "bob", market.asset(HBEA)).reserved -= 1
    balance(market, "bob", market.asset(HBEA)).available += 1


def an_iceberg_has_not_reserved_what_it_hides(market):
    _, ask, _ = orders(market)
    balance(market, "bob", market.asset(HBEA)).reserved -= ask.hidden
    balance(market, "bob", market.asset(HBEA)).available += ask.hidden


def a_waiting_stop_has_reserved_nothing(market):
    needed = 5 * 4500 + 113  # 5 t at 45.00 and a fee of 112.5 fen
    balance(market, "alice").reserved -= needed
    balance(market, "alice").available += needed


def a_claim_has_no_trade(market):
    balance(market, "alice").available += 1
    balance(market, "alice").unsettled += 1


def a_trade_is_forgotten(market):
    market.exchange.unsettled_trades = [market.exchange.trades_today()[:0]]


def now(market):
    """The sequence and time of the last command."""
    return market.exchange.sequence, market.exchange.now_ns


def title_moves_and_holdings_do_not(market):
    serials, bob, alice = market.exchange.serials, market.number("bob"), market.number("alice")
    serials.transfer(market.asset(HBEA), bob, alice, 1, *now(market))


def a_tonne_is_surrendered(market):
    serials, bob = market.exchange.serials, market.number("bob")
    serials.end(market.asset(HBEA), bob, 1, Cause.SURRENDERED, *now(market))


def holdings_move_and_title_does_not(market):
    balance(market, "bob", market.asset(HBEA)).available -= 1
    balance(market, "alice", market.asset(HBEA)).available += 1


def a_number_is_lost(market):
    market.exchange.serials.title_of(market.asset(HBEA)).columns.blocks["first"][0] += 1


def a_block_has_two_holders(market):
    columns = market.exchange.serials.title_of(market.asset(HBEA)).columns
    columns.queues[market.number("bob")] = columns.queues[market.number("alice")]


def a_block_forgets_who_had_it(market):
    columns = market.exchange.serials.title_of(market.asset(HBEA)).columns
    row = market.exchange.serials.title_of(market.asset(HBEA)).row_of(1)
    columns.blocks["link"][row] = columns.links[columns.blocks["link"][row]]


def the_book_is_crossed(market):
    market.play("call\nbob sells 10 @ 40.00")
    market.exchange.path.desk.instruments["phase"][1:] = Phase.CONTINUOUS


def the_best_price_is_forgotten(market):
    asks(market).best += 1


def an_order_is_cut_and_its_level_is_not(market):
    orders(market)[0].shown -= 1


def an_iceberg_shows_more_than_its_slice(market):
    _, ask, _ = orders(market)
    ask.shown, ask.hidden = ask.shown + 1, ask.hidden - 1


def an_order_waits_in_the_book(market):
    bid, _, stop = orders(market)
    bid.queue, stop.queue = stop.queue, bid.queue


def an_order_is_still_on_its_way(market):
    market.exchange.path.desk.progress[0].arriving = 1


def a_price_is_not_marked(market):
    ladder(market).words[:] = 0


def an_order_can_not_be_found(market):
    ladder(market).slot_of[:] = 0


def an_order_lies_outside_the_band(market):
    market.exchange.path.desk.instruments[market.instrument(HBEA)].band_high_ticks = 4299


def a_trade_lies_outside_the_band(market):
    market.exchange.trades_today()["price_ticks"][0] = 1


def a_settled_batch_is_rewritten(market):
    market.play("close\nsettle")
    batch = market.exchange.clearing.batches[-1]
    rewritten = batch.trades.copy()
    rewritten["quantity"] += 1
    batch.trades = rewritten


def a_statement_calls_a_movement_something_else(market):
    entries = market.exchange.clearing.batches[0].line.entries
    account, entry = entries[0]
    entries[0] = account, msgspec.structs.replace(entry, cause="gift")


def at_the_bank(market):
    """The payments of today's batch, as the bank was told."""
    market.play("close")
    for step in (FixObligations(), InstructBank()):
        market.must(step)
    return market.exchange.clearing.batches[-1].payments


def the_bank_answers_another_line(market):
    payments = at_the_bank(market)
    line = msgspec.structs.asdict(payments.file.lines[0]) | {"fen": 1}
    payments.answers = {1: LineAnswer(**line, reply=Reply.ACCEPTED)}


def a_batch_is_confirmed_and_nobody_answered(market):
    at_the_bank(market)
    market.exchange.clearing.batches[-1].reached[Stage.CONFIRMED] = market.now_ns


def a_batch_is_late_at_a_bank_that_knows_nothing(market):
    payments = at_the_bank(market)
    batch = market.exchange.clearing.batches[-1]
    batch.payments = Payments(payments.file, late_at=market.now_ns)
    del batch.reached[Stage.INSTRUCTED]


def the_bank_is_told_to_pay_a_fen_more(market):
    payments = at_the_bank(market)
    first, *others, last = payments.file.lines
    dearer = [msgspec.structs.replace(line, fen=line.fen + 1) for line in (first, last)]
    payments.file = msgspec.structs.replace(payments.file, lines=(dearer[0], *others, dearer[1]))
    payments.check()


def nobody_may_not_withdraw(market):
    market.exchange.clearing.blocked[99] = "under inquiry"


def correct(market, trade_id, quantity):
    market.must(CorrectTrades(HOUSE, [NewTerms(trade_id, quantity=quantity)], "mistyped"))


def a_correction_is_forgotten(market):
    correct(market, 2, 40)
    correct(market, 2, 30)
    del market.exchange.clearing.corrections.standing[2]


def a_corrected_trade_waits_as_it_was(market):
    before = market.exchange.trades_today().copy()
    correct(market, 2, 40)
    market.exchange.unsettled_trades = [before]


def a_settled_trade_was_never_in_its_batch(market):
    correct(market, 1, 90)
    batch = market.exchange.clearing.batches[0]
    batch.trades = batch.trades[:0]


def a_trade_settled_with_other_terms(market):
    correct(market, 1, 90)
    batch = market.exchange.clearing.batches[0]
    batch.trades = batch.trades.copy()
    batch.trades["price_ticks"] += 1


def an_objection_loses_its_words(market):
    market.play("close\nsettle")
    batch = market.exchange.clearing.batches[-1]
    market.must(ObjectToStatement("bob", batch.number, "not mine"))
    answer = batch.answers[market.number("bob")]
    batch.answers[market.number("bob")] = msgspec.structs.replace(answer, objection="")


def somebody_answers_what_it_never_got(market):
    market.join("carol", nothing)
    market.play("close\nsettle")
    batch = market.exchange.clearing.batches[-1]
    batch.answers[market.number("carol")] = Answer.confirmed(market.now_ns)


def an_answer_comes_after_the_window(market):
    batch = market.exchange.clearing.batches[0]
    assert batch.has_reached(Stage.FINAL)
    batch.answers[market.number("bob")] = Answer.confirmed(market.now_ns + 1)


def a_report_tells_of_more_than_was_stated(market):
    batch = market.exchange.clearing.batches[0]
    batch.report = msgspec.structs.replace(batch.report, trades=batch.report.trades + 1)


def a_version_of_a_factor_is_lost(market):
    factors = market.exchange.emissions.factors
    factors.publish("grid Hubei", "0.4", "tCO2/MWh", 2024, "invented")
    del factors.by_name["grid Hubei"][0]


def a_batch_is_credited(market):
    """Green power of bob's, as it should be."""
    market.join("office", Stake(participant_class=ParticipantClass.REGISTRY_AUTHORITY))
    period = date(2025, 1, 1), date(2025, 12, 31)
    market.must(RegisterGreenPower("bob", "WIND-7", "1000", "0.4", *period))
    market.must(IssueReduction("office", 1))
    return market.exchange.units.by_code["GREEN_POWER-WIND-7-2025"]


def credits_are_issued_for_nothing(market):
    unit = a_batch_is_credited(market)
    unit.issued += 1
    balance(market, "bob", unit.number).registry += 1
    market.exchange.serials.issue(unit.number, market.number("bob"), 1, Origin.CREDIT, 0, 0)


def credits_pass_for_allowances(market):
    unit = a_batch_is_credited(market)
    market.exchange.serials.title_of(unit.number).columns.blocks["origin"] = [*Origin].index(Origin.FREE)


def a_credited_day_is_forgotten(market):
    a_batch_is_credited(market)
    market.exchange.credits.claims.free(1)


def a_lock_is_forgotten(market):
    units_of_bob = balance(market, "bob", market.asset(HBEA))
    units_of_bob.available -= 10
    units_of_bob.pledged += 10


def a_position_is_miscounted(market):
    participant(market, "alice").position += 1


def a_position_limit_is_another(market):
    participant(market, "alice").position_limit += 1


def a_maker_pays_another_fee(market):
    participant(market, "bob").sell_maker_ppm -= 1


def an_allocation_is_parked_nowhere(market):
    market.join("office", Stake(participant_class=ParticipantClass.REGISTRY_AUTHORITY))
    market.must(OpenPeriod("office", 2025, 0))
    obligor = Obligor(market.number("bob"), Decision(True, Why.ABOVE_THRESHOLD, ""), allocated=1, parked=1)
    market.exchange.compliance.periods[2025].obligors[obligor.account] = obligor


def a_surrender_is_forgotten(market):
    an_allocation_is_parked_nowhere(market)
    obligor = market.exchange.compliance.periods[2025].obligors[market.number("bob")]
    obligor.parked, obligor.emissions, obligor.surrendered = 0, 1, {market.asset(HBEA): 1}


def somebody_failed(market):
    """carol has no money for a deal that is due, which waits for her; bob could deliver."""
    market.join("carol", nothing)
    market.play("close\nsettle")
    market.must(AgreeDelivery(HOUSE, "F-1", "bob", "carol", HBEA, 10, 4200, date(2026, 1, 7)))
    market.play("open 2026-01-07\nclose\nsettle")
    assert market.exchange.clearing.restriction(market.number("carol"))
    invariants.check(market.exchange)


def who_failed_trades_again(market):
    somebody_failed(market)
    participant(market, "carol").may_trade = 1


def who_did_not_fail_may_not_trade(market):
    participant(market, "bob").may_trade = 0


def a_security_is_not_there(market):
    somebody_failed(market)
    defaults = market.exchange.clearing.defaults
    defaults.claims.append(Claim(1, market.number("carol"), market.number(HOUSE), 1))
    defaults.security[1, market.asset(HBEA)] = 10


def a_trade_that_failed_is_forgotten(market):
    somebody_failed(market)
    market.exchange.clearing.waiting.clear()


def a_trade_that_failed_waits_and_comes_again(market):
    somebody_failed(market)
    market.exchange.clearing.returned = [*market.exchange.clearing.waiting]


def more_is_repaid_than_was_owed(market):
    somebody_failed(market)
    claim = Claim(1, market.number("carol"), market.number(HOUSE), 100, repaid=101)
    market.exchange.clearing.defaults.claims.append(claim)


def what_was_paid_for_a_trade_is_paid_back_before_it_settles(market):
    somebody_failed(market)
    claim = Claim(1, market.number("carol"), market.number(HOUSE), 100, repaid=1)
    market.exchange.clearing.defaults.claims.append(claim)


def a_case_is_lost(market):
    somebody_failed(market)
    market.exchange.clearing.defaults.cases.clear()


def a_leg_is_kept_and_not_reserved(market):
    somebody_failed(market)
    [rows] = market.exchange.clearing.waiting
    market.exchange.clearing.kept.add((int(rows[0]["trade_id"]), SELLER))


def somebody_delivers_what_is_only_claimed(market):
    """Settled holdings below zero: bob's sale of today took place before his units were there."""
    balance(market, "alice", market.asset(HBEA)).incoming -= 50
    balance(market, "bob", market.asset(HBEA)).unsettled += 1_000


MONEY, TONNES = invariants.cash_is_conserved, invariants.units_are_conserved


def a_conversion_is_not_stated(market):
    """What alice gave the bank is what it gave her, and nobody is told."""
    house, day = market.exchange.clearing, market.exchange.date
    house.conversions.set_rate(Rate(9, "1", day, 1, 1))
    house.conversions.made.append(Conversion(1, day, 0, 2, 3, 9, CASH, 5, 5, "1", "1", 2))


def a_conversion_is_stated_that_was_not(market):
    for account, amount in (("alice", -5), ("bob", 5)):
        market.exchange.clearing.entries.append((market.number(account), Entry(CASH, amount, "conversion", 1)))


def a_rebate_is_not_stated(market):
    market.exchange.clearing.rebates[2025] = [Rebate(market.number("alice"), CASH, 5, 1)]


def a_conversion_has_another_rate(market):
    a_conversion_is_not_stated(market)
    market.exchange.clearing.conversions.rates[9][0] = Rate(9, "2", market.exchange.date, 1, 1)


def what_settled_was_not_paid(market):
    payments = at_the_bank(market)
    payments.answers = {
        line.line: LineAnswer(**msgspec.structs.asdict(line), reply=Reply.REJECTED) for line in payments.file.lines
    }
    batch = market.exchange.clearing.batches[-1]
    batch.reached[Stage.CONFIRMED] = batch.reached[Stage.DELIVERED] = market.now_ns


def what_stood_in_was_never_used(market):
    market.exchange.clearing.batches[0].stood_in[1, 0] = 1


def orders_lie_elsewhere_than_their_index_says(market):
    known = market.exchange.client_orders = ClientOrders()
    accounts, sequences = np.arange(MANY, dtype=np.uint32), np.arange(MANY)
    known.add(accounts, [b"x"] * MANY, sequences, np.zeros(MANY, "V2"))
    known.is_complete()
    known.check()
    known._index = known._index[::-1]


CONSERVATION = {MONEY, TONNES}
BREAKS = [
    (orders_lie_elsewhere_than_their_index_says, invariants.client_orders_are_found),
    (a_conversion_is_not_stated, invariants.treasury_is_stated),
    (a_conversion_is_stated_that_was_not, invariants.treasury_is_stated),
    (a_rebate_is_not_stated, invariants.treasury_is_stated),
    (a_conversion_has_another_rate, invariants.batches_never_change),
    (a_settled_batch_is_rewritten, invariants.batches_never_change),
    (a_statement_calls_a_movement_something_else, invariants.batches_never_change),
    (a_trade_that_failed_is_forgotten, invariants.batches_never_change),
    (a_trade_that_failed_waits_and_comes_again, invariants.batches_never_change),
    (more_is_repaid_than_was_owed, invariants.batches_never_change),
    (a_case_is_lost, invariants.batches_never_change),
    (a_leg_is_kept_and_not_reserved, invariants.reservations_are_backed),
    (who_failed_trades_again, invariants.defaulters_are_restricted),
    (who_did_not_fail_may_not_trade, invariants.defaulters_are_restricted),
    (a_security_is_not_there, invariants.defaulters_are_restricted),
    (somebody_delivers_what_is_only_claimed, invariants.balances_are_not_negative),
    (the_bank_answers_another_line, invariants.batches_never_change),
    (a_batch_is_confirmed_and_nobody_answered, invariants.batches_never_change),
    (a_batch_is_late_at_a_bank_that_knows_nothing, invariants.batches_never_change),
    (the_bank_is_told_to_pay_a_fen_more, invariants.payments_are_as_instructed),
    (nobody_may_not_withdraw, invariants.payments_are_as_instructed),
    (what_settled_was_not_paid, invariants.what_settles_is_paid),
    (what_stood_in_was_never_used, invariants.what_settles_is_paid),
    (what_was_paid_for_a_trade_is_paid_back_before_it_settles, invariants.batches_never_change),
    (a_correction_is_forgotten, invariants.batches_never_change),
    (a_corrected_trade_waits_as_it_was, invariants.corrections_stand),
    (a_settled_trade_was_never_in_its_batch, invariants.corrections_stand),
    (a_trade_settled_with_other_terms, invariants.corrections_stand),
    (an_objection_loses_its_words, invariants.batches_never_change),
    (somebody_answers_what_it_never_got, invariants.batches_never_change),
    (an_answer_comes_after_the_window, invariants.batches_never_change),
    (a_report_tells_of_more_than_was_stated, invariants.statements_are_the_report),
    (a_fen_appears, MONEY),
    (a_fen_is_paid_out_twice, MONEY),
    (a_cent_appears, MONEY),
    (a_tonne_appears, TONNES),
    (a_tonne_is_issued_to_nobody, TONNES),
    (an_account_is_overdrawn, invariants.balances_are_not_negative),
    (nobody_holds_something, invariants.balances_are_not_negative),
    (a_reservation_has_no_reason, invariants.reservations_are_backed),
    (an_order_lacks_its_reservation, invariants.reservations_are_backed),
    (an_iceberg_has_not_reserved_what_it_hides, invariants.reservations_are_backed),
    (a_waiting_stop_has_reserved_nothing, invariants.reservations_are_backed),
    (a_claim_has_no_trade, invariants.claims_are_owed),
    (a_trade_is_forgotten, invariants.claims_are_owed),
    (title_moves_and_holdings_do_not, invariants.title_equals_holdings),
    (holdings_move_and_title_does_not, invariants.title_equals_holdings),
    (a_tonne_is_surrendered, invariants.title_equals_holdings),
    (a_tonne_is_surrendered, TONNES),
    (a_number_is_lost, invariants.title_equals_holdings),
    (a_number_is_lost, invariants.serial_numbers_are_disjoint),
    (a_block_has_two_holders, invariants.serial_numbers_are_disjoint),
    (a_block_forgets_who_had_it, invariants.serial_numbers_are_disjoint),
    (the_book_is_crossed, invariants.books_are_sound),
    (the_best_price_is_forgotten, invariants.books_are_sound),
    (an_order_is_cut_and_its_level_is_not, invariants.books_are_sound),
    (an_iceberg_shows_more_than_its_slice, invariants.books_are_sound),
    (an_order_waits_in_the_book, invariants.books_are_sound),
    (an_order_is_still_on_its_way, invariants.books_are_sound),
    (a_price_is_not_marked, invariants.books_are_sound),
    (an_order_can_not_be_found, invariants.books_are_sound),
    (an_order_lies_outside_the_band, invariants.prices_are_within_the_band),
    (a_trade_lies_outside_the_band, invariants.prices_are_within_the_band),
    (a_version_of_a_factor_is_lost, invariants.emissions_trace_to_their_inputs),
    (a_lock_is_forgotten, invariants.locks_are_backed),
    (a_position_is_miscounted, invariants.positions_are_counted),
    (a_position_limit_is_another, invariants.positions_are_counted),
    (a_maker_pays_another_fee, invariants.fees_follow_the_rules),
    (an_allocation_is_parked_nowhere, invariants.compliance_is_sound),
    (a_tonne_is_surrendered, invariants.compliance_is_sound),
    (a_surrender_is_forgotten, invariants.compliance_is_sound),
    (credits_are_issued_for_nothing, invariants.credits_are_issued_once),
    (credits_pass_for_allowances, invariants.credits_are_issued_once),
    (a_credited_day_is_forgotten, invariants.credits_are_issued_once),
]


@pytest.mark.parametrize(
    ("break_it", "noticed_by"), [pytest.param(*row, id=f"{row[0].__name__}: {row[1].__name__}") for row in BREAKS]
)
def test_what_is_broken_is_noticed_by_its_check(market, break_it, noticed_by):
    break_it(market)

    with pytest.raises(AssertionError):
        noticed_by(market.exchange)
    with pytest.raises(AssertionError):
        invariants.check(market.exchange)


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(break_it, id=break_it.__name__)
        for break_it, noticed_by in BREAKS
        if noticed_by not in CONSERVATION
        and break_it not in (nobody_holds_something, a_tonne_is_surrendered, somebody_delivers_what_is_only_claimed)
    ],
)
def test_conservation_alone_does_not_notice(market, break_it):
    break_it(market)

    for check in CONSERVATION:
        check(market.exchange)


def test_the_crossed_book_is_noticed_as_such(market):
    the_book_is_crossed(market)

    with pytest.raises(AssertionError, match="the book of HBEA-2025 is crossed"):
        invariants.books_are_sound(market.exchange)


def test_what_is_retired_in_title_and_in_holding_is_conserved(market):
    unit, bob = market.asset(HBEA), market.number("bob")
    market.exchange.serials.end(unit, bob, 1, Cause.RETIRED, *now(market))
    balance(market, "bob", market.asset(HBEA)).available -= 1
    participant(market, "bob").position -= 1

    invariants.check(market.exchange)


def test_every_check_has_a_way_to_fail():
    assert {noticed_by for _, noticed_by in BREAKS} == set(CHECKS)
