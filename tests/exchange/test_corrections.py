"""Trades that were wrong: undone or put right, before and after they settled, all of a list or none.

What a correction leaves is compared with a market in which nobody had been wrong, and in random histories with
settled holdings added up anew from the trades as they stand.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from exchange.commands import (
    BustTrades,
    ChangeAccountStatus,
    CorrectTrades,
    CureFailure,
    DeliverBatch,
    DepositCash,
    FixObligations,
    InstructBank,
    IssueStatements,
    ListInstrument,
    NewTerms,
    OpenDay,
    RegisterCurrency,
    TransferUnits,
    control,
)
from exchange.events import CommandRefused, TradesBusted, TradesCorrected
from exchange.instruments import fen
from exchange.rows import TRADE, EventKind
from exchange.rules import Fees, load_rule_set
from exchange.state import DayFigures
from exchange.transition.compliance import mean_price
from exchange.transition.corrections import brought_by
from exchange.transition.market import HOUSE
from matching.ladder import PRICE_MAX_TICKS
from registry.accounts import AccountStatus, ParticipantClass
from registry.holdings import settled
from registry.serials import ranges
from registry.units import Species
from settlement.corrections import NOTHING
from settlement.cycle import Stage
from settlement.fees import TURNOVER_MAX
from settlement.rules import Mode
from tests.exchange.cycle import authority, replayed
from tests.exchange.defaults import Failing
from tests.exchange.market import CNY, HBEA, Market, cash, units

pytestmark = pytest.mark.kernels

AT_A_BANK = load_rule_set("hubei")
GENERIC = load_rule_set("generic")


def settling(**terms):
    """Hubei's rules with other terms of settlement."""
    return msgspec.structs.replace(AT_A_BANK, settlement=msgspec.structs.replace(AT_A_BANK.settlement, **terms))


HUBEI = settling(bank=False)
PAID_OUT_NEXT_DAY = settling(bank=False, withdrawal_lag_days=1)
AT_ONCE = msgspec.structs.replace(HUBEI, resale_lag_days=0)  # what was bought may be sold on the same day
NETTED = msgspec.structs.replace(settling(bank=False, mode=Mode.NET_NET), resale_lag_days=0)
NEXT_DAY = msgspec.structs.replace(HUBEI, proceeds_usable_same_day=False)
TUESDAY = "2026-01-06"


def traders(rules=HUBEI, **more):
    people = {"alice": cash("100000.00"), "bob": units(1000), "carol": cash("100000.00")}
    return Market(rules, **{**people, **more})


def trade(market, buyer, seller, quantity, price="42.00"):
    """A trade between two; its id."""
    said = market.play(f"{seller} sells {quantity} @ {price}\n{buyer} buys {quantity} @ {price}")
    assert f"{buyer} takes {quantity} @ {price} from {seller}" in said, said
    return int(market.outcome.trades["trade_id"][-1])


def bust(market, *trade_ids, by=HOUSE):
    return market.do(BustTrades(by, list(trade_ids), "wrong book"))


def correct(market, trade_id, price=None, quantity=None, by=HOUSE):
    """Give a trade another price (in ticks) or quantity."""
    return market.do(CorrectTrades(by, [NewTerms(trade_id, price, quantity)], "mistyped"))


def everything(market):
    """Every bucket of every balance."""
    return market.exchange.path.desk.balances.tolist()


def owned(market):
    """Settled holdings of all accounts in all assets."""
    return settled(market.exchange.path.desk.balances).tolist()


def entries(market, name, cause):
    """What the last statement of somebody has of a cause: (asset, amount, reference)."""
    statement = next(one for one in market.statements() if one.account == market.number(name))
    return [(one.asset, one.amount, one.reference) for one in statement.entries if one.cause == cause]


# ---------------------------------------------------------------- before settlement


@pytest.mark.parametrize("rules", [HUBEI, AT_ONCE, NEXT_DAY, GENERIC], ids=["hubei", "at once", "next day", "generic"])
def test_a_bust_before_settlement_leaves_everybody_as_before_the_trade(rules):
    market = traders(rules)
    before = everything(market)
    number = trade(market, "alice", "bob", 100)

    assert bust(market, number) == "trade 1 busted: alice had 100 @ 42.00 from bob\nTradesBusted"
    assert everything(market) == before
    assert market.play("close\nsettle").endswith("0 trades")
    assert everything(market) == before


@pytest.mark.parametrize("rules", [HUBEI, AT_ONCE, NEXT_DAY], ids=["hubei", "at once", "next day"])
@pytest.mark.parametrize(("price", "quantity"), [(4300, None), (4100, None), (None, 60), (None, 140), (3900, 75)])
def test_a_correction_before_settlement_is_as_if_the_trade_had_said_so(rules, price, quantity):
    market, other = traders(rules), traders(rules)
    correct(market, trade(market, "alice", "bob", 100), price, quantity)
    trade(other, "alice", "bob", quantity or 100, f"{(price or 4200) / 100:.2f}")

    assert everything(market) == everything(other)
    assert market.play("close\nsettle") == other.play("close\nsettle")
    assert everything(market) == everything(other)
    assert market.serials("alice") == other.serials("alice")


def test_what_a_bust_frees_can_be_used_at_once():
    market = Market(alice=cash("4221.00"), bob=units(100))
    number = trade(market, "alice", "bob", 100)
    assert market.play("alice buys 1 @ 42.00") == "alice refused: insufficient_cash"
    bust(market, number)

    assert trade(market, "alice", "bob", 100) == number + 1


def test_orders_are_left_alone():
    market = traders()
    market.play("bob sells 100 @ 42.00\nalice buys 160 @ 42.00")
    bust(market, 1)

    assert market.book() == "alice buys 60 @ 42.00"
    assert market.outcome.rows["leaves"].tolist() == [60]
    assert market.outcome.rows["maker_leaves"].tolist() == [0]
    market.play("bob sells 60 @ 42.00")
    assert [int(row.quantity) for row in market.exchange.trades_today()] == [60]


def test_the_original_stays_and_the_correction_says_what_was_and_what_is():
    market = traders()
    number = trade(market, "alice", "bob", 100)
    correct(market, number, quantity=60)
    first = market.event
    correct(market, number, price=4300)
    bust(market, number)

    assert isinstance(first, TradesCorrected)
    made = list(market.exchange.clearing.corrections)
    assert made[0] == first.corrections[0]
    assert [(one.number, one.trade_id, one.batch, one.is_bust) for one in made] == [
        (1, 1, 0, False), (2, 1, 0, False), (3, 1, 0, True),
    ]  # fmt: skip
    assert [one.before for one in made[1:]] == [one.after for one in made[:-1]]
    assert (made[0].before.quantity, made[0].after.quantity, made[2].after) == (100, 60, NOTHING)
    assert (made[0].reason, made[0].by, made[0].sequence) == (
        "mistyped",
        market.number(HOUSE),
        first.corrections[0].sequence,
    )


@pytest.mark.parametrize("price", ["42.00", "41.99", "43.17"])
def test_corrected_back_a_trade_costs_what_it_cost(price):
    """Three fills of one order: their own fees are 21 fen or 20, since the order's fee is rounded as a whole."""
    market = traders(carol=units(10))
    market.play("bob sells 1 @ 41.99\ncarol sells 1 @ 41.99\nbob sells 1 @ 41.99\nalice buys 3 @ 41.99")
    before = everything(market)
    for number in (1, 2, 3):
        correct(market, number, fen(price) if price != "41.99" else 4200)
        correct(market, number, 4250, 3)
        correct(market, number, 4199, 1)

    assert everything(market) == before


def test_a_fee_of_nothing_is_nothing_again():
    """The first fill of alice's order pays 1 fen for its half and the second's; the second, for as much, pays none."""
    market = Market(msgspec.structs.replace(HUBEI, price_bands=[]), "1.00", alice=cash("100.00"), bob=units(10))
    market.play("bob sells 1 @ 1.00\nbob sells 1 @ 1.00\nalice buys 2 @ 1.00")
    assert market.exchange.trades_today()["buyer_fee"].tolist() == [1, 0]
    before = everything(market)
    correct(market, 2, 1)
    correct(market, 2, 100)

    assert everything(market) == before


def test_the_fee_follows_the_rate_and_not_the_rounded_fee_of_a_small_trade():
    market = Market(msgspec.structs.replace(HUBEI, price_bands=[]), "1.00", alice=cash("9000.00"), bob=units(1000))
    number = trade(market, "alice", "bob", 1, "1.00")  # 0.5 fen, rounded to 1
    correct(market, number, quantity=1000)

    after = market.event.corrections[0].after
    assert (after.turnover, after.buyer_fee, after.seller_fee) == (100_000, 500, 500)


def test_the_fee_is_that_of_the_class_and_of_who_took():
    fees = [
        Fees(date(2014, 3, 28), buyer="0.005", seller="0.005", maker_seller="0.001"),
        Fees(date(2014, 3, 28), buyer="0.003", seller="0.003", classes=["individual"]),
    ]
    rules = msgspec.structs.replace(HUBEI, fees=fees)
    market = traders(rules, carol=replace(cash("9000.00"), participant_class=ParticipantClass.INDIVIDUAL))
    trade(market, "alice", "bob", 10)
    trade(market, "carol", "bob", 10)
    for number, buyer_fee in ((1, 420), (2, 252)):
        correct(market, number, quantity=20)
        after = market.event.corrections[0].after
        assert (after.turnover, after.buyer_fee, after.seller_fee) == (84_000, buyer_fee, 84)


@pytest.mark.parametrize("is_settled", [False, True])
def test_in_another_currency_that_is_what_comes_back(is_settled):
    market = traders(until="listed", bob=units(1000) + cash("1000.00"))
    market.must(RegisterCurrency("EUR"))
    market.must(ListInstrument("EURO", Species.ALLOWANCE, 2025, 1000, "EUR"))
    market.must(DepositCash("alice", 100_000, "EUR"))
    market.give("bob", "EURO", 10)
    market.play("open 2026-01-05\nstart")
    before = owned(market)
    market.play("bob sells 10 EURO @ 10.00\nalice buys 10 EURO @ 10.00")
    if is_settled:
        market.next_day(TUESDAY)
    correct(market, 1, quantity=4)
    assert (market.event.corrections[0].cash, market.event.corrections[0].turnover) == (market.asset("EUR"), 6000)
    bust(market, 1)
    assert owned(market) == before
    assert market.holding("alice", "EUR").available == 100_000


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("put_right", [bust, lambda market, trade_id: correct(market, trade_id, quantity=90)])
def test_what_was_sold_on_does_not_go_back_though_as_much_was_bought_afterwards(mode, put_right):
    """Trade by trade alice would come to deliver to carol before dave has delivered to her."""
    rules = msgspec.structs.replace(AT_ONCE, settlement=msgspec.structs.replace(AT_ONCE.settlement, mode=mode))
    market = traders(rules, dave=units(100))
    first = trade(market, "alice", "bob", 100)
    trade(market, "carol", "alice", 100)
    last = trade(market, "alice", "dave", 100)
    before = market.digest()

    assert put_right(market, first) == "refused: insufficient_units"
    assert market.digest() == before
    assert "TradesBusted" in bust(market, last)
    assert market.play("close\nsettle").endswith("2 trades")


# ---------------------------------------------------------------- prices and figures of the day


def test_the_last_price_is_that_of_the_last_trade_that_stands():
    market = traders(carol=cash("100000.00") + units(100))
    row = market.exchange.path.desk.instruments[1:]
    first, second = trade(market, "alice", "bob", 10, "43.00"), trade(market, "carol", "bob", 10, "41.00")
    assert row["last_ticks"] == [4100]
    bust(market, second)
    assert row["last_ticks"] == [4300]
    correct(market, first, 4250)
    assert row["last_ticks"] == [4250]
    bust(market, first)
    assert row["last_ticks"] == [4200]  # the close of the day before


def test_a_corrected_price_triggers_no_stop():
    market = traders()
    number = trade(market, "alice", "bob", 10)
    market.play("carol buys 5 @ 45.00 stop 44.00")
    correct(market, number, 4450)

    assert market.book() == "carol buys 5 @ 45.00 stop 44.00"


def test_a_corrected_price_may_lie_off_the_band():
    market = traders()
    correct(market, trade(market, "alice", "bob", 10), 6000)

    assert market.close() == "day 2026-01-05 closed at 60.00"


def test_the_close_counts_trades_as_they_stand():
    market = traders()
    first, second = trade(market, "alice", "bob", 10, "43.00"), trade(market, "carol", "bob", 30, "41.00")
    bust(market, first)
    correct(market, second, 4000, 20)

    assert market.close() == "day 2026-01-05 closed at 40.00"
    assert market.exchange.days == [DayFigures(market.exchange.date, 1, 20, 80_000, 4000, 4200)]


def test_after_the_close_the_closing_price_is_worked_out_again():
    market = traders()
    first, second = trade(market, "alice", "bob", 10, "43.00"), trade(market, "carol", "bob", 30, "41.00")
    assert market.close() == "day 2026-01-05 closed at 41.50"
    bust(market, second)
    assert isinstance(market.event, TradesBusted)
    assert market.event.closes_ticks == {1: 4300}
    assert market.exchange.days == [DayFigures(market.exchange.date, 1, 10, 43_000, 4300, 4200)]
    bust(market, first)
    assert market.exchange.days == [DayFigures(market.exchange.date, 1, 0, 0, 4200, 4200)]
    market.play(f"settle\nopen {TUESDAY}")
    assert market.band() == ("37.80", "46.20")


def test_once_obligations_are_fixed_the_closing_price_stands_and_the_volume_follows():
    market = traders()
    first, _ = trade(market, "alice", "bob", 10, "43.00"), trade(market, "carol", "bob", 30, "41.00")
    market.play("close\nsettle")
    bust(market, first)

    day = market.exchange.date
    assert market.event.closes_ticks == {}
    assert market.exchange.days == [DayFigures(day, 1, 30, 123_000, 4150, 4200)]
    assert mean_price(market.exchange, day, day) == 4100
    market.play(f"open {TUESDAY}")
    correct(market, 2, 4000)
    assert market.exchange.days[0].turnover == 120_000
    assert market.exchange.path.desk.instruments["last_ticks"][1] == 4150


# ---------------------------------------------------------------- after settlement


def settle_in_steps(market):
    for step in (FixObligations(), DeliverBatch(), IssueStatements()):
        market.must(step)


@pytest.mark.parametrize("rules", [HUBEI, AT_ONCE, NEXT_DAY], ids=["hubei", "at once", "next day"])
@pytest.mark.parametrize("until", ["delivered", "stated", "final"])
def test_a_bust_after_settlement_brings_everything_back(rules, until):
    market = traders(rules)
    before, serials = owned(market), market.serials("bob")
    number = trade(market, "alice", "bob", 100)
    market.close()
    market.must(FixObligations())
    market.must(DeliverBatch())
    if until != "delivered":
        market.must(IssueStatements())
    if until == "final":
        market.play(f"open {TUESDAY}\nstart")
    batch = market.exchange.clearing.batches[0]
    assert batch.stage == Stage(until)
    seal = batch.seal

    bust(market, number)
    assert owned(market) == before
    assert market.serials("bob") == serials
    assert market.serials("alice") == []
    assert market.holding("bob", HBEA).available == 1000
    assert market.holding("alice", CNY).available == fen("100000.00")
    assert (batch.seal, len(batch.settled)) == (seal, 1)
    assert market.history(1) == [
        "issued to bob", "traded from bob to alice in trade 1", "corrected from alice to bob in trade 1",
    ]  # fmt: skip


def test_what_a_busted_trade_had_brought_today_holds_back_no_withdrawal():
    market = traders(PAID_OUT_NEXT_DAY, bob=units(1000) + cash("5000.00"))
    number = trade(market, "alice", "bob", 100)
    market.play("close\nsettle")
    bust(market, number)

    assert market.withdraw("bob", "5000.00") == "CashWithdrawn"


def test_the_statement_says_what_a_bust_moved():
    market = traders()
    number = trade(market, "alice", "bob", 100)
    market.next_day(TUESDAY)
    bust(market, number)
    market.play("close\nsettle")

    unit = market.asset(HBEA)
    assert entries(market, "alice", "trade_bust") == [(unit, -100, 1), (0, 420_000, 1), (0, 2100, 1)]
    assert entries(market, "bob", "trade_bust") == [(unit, 100, 1), (0, -420_000, 1), (0, 2100, 1)]
    assert entries(market, HOUSE, "trade_bust") == [(0, -4200, 1)]
    for statement in market.statements():
        statement.check()


def test_a_bust_between_delivery_and_statements_is_in_these_statements():
    market = traders()
    number = trade(market, "alice", "bob", 100)
    market.close()
    market.must(FixObligations())
    market.must(DeliverBatch())
    bust(market, number)
    market.must(IssueStatements())

    assert [one[1] for one in entries(market, "alice", "purchase") + entries(market, "alice", "trade_bust")] == [
        100, -420_000, -100, 420_000, 2100,
    ]  # fmt: skip


@pytest.mark.parametrize("rules", [HUBEI, AT_ONCE, NEXT_DAY], ids=["hubei", "at once", "next day"])
@pytest.mark.parametrize(("price", "quantity"), [(4300, None), (4100, None), (None, 60), (None, 140), (3900, 75)])
def test_a_correction_after_settlement_is_as_if_the_trade_had_said_so(rules, price, quantity):
    market, other = (traders(rules, bob=units(1000) + cash("1000.00")) for _ in range(2))
    number = trade(market, "alice", "bob", 100)
    trade(other, "alice", "bob", quantity or 100, f"{(price or 4200) / 100:.2f}")
    for one in (market, other):
        one.next_day(TUESDAY)
    correct(market, number, price, quantity)

    assert everything(market) == everything(other)
    assert sum(last - first + 1 for first, last in market.serials("alice")) == (quantity or 100)
    assert market.exchange.compliance.net_sales == other.exchange.compliance.net_sales


def test_more_of_a_trade_moves_as_traded_and_comes_back_with_it():
    market = traders()
    number = trade(market, "alice", "bob", 100)
    market.next_day(TUESDAY)
    correct(market, number, quantity=140)
    assert market.history(120) == ["issued to bob", "traded from bob to alice in trade 1"]
    bust(market, number)
    assert market.serials("bob") == [(1, 1000)]
    assert market.exchange.compliance.net_sales == {}


def test_on_the_evening_of_the_trade_more_of_it_is_not_resaleable_yet():
    market = traders()
    number = trade(market, "alice", "bob", 100)
    market.play("close\nsettle")
    correct(market, number, quantity=140)

    assert market.holding("alice", HBEA)[:3] == (0, 0, 140)
    market.play(f"open {TUESDAY}")
    assert market.holding("alice", HBEA)[:3] == (140, 0, 0)


def test_what_is_taken_back_is_settled_and_not_what_was_bought_today():
    market = traders()
    number = trade(market, "alice", "bob", 100)
    market.next_day(TUESDAY)
    trade(market, "alice", "bob", 50)
    assert market.holding("alice", HBEA)[:3] == (100, 0, 50)
    bust(market, number)

    assert market.holding("alice", HBEA)[:3] == (0, 0, 50)


def test_the_very_numbers_go_back_as_far_as_the_buyer_has_them_then_its_oldest():
    market = traders(dave=units(50), eve=cash("9000.00"))
    first = trade(market, "alice", "bob", 100)  # 1 to 100
    trade(market, "alice", "dave", 50)  # 1001 to 1050
    market.next_day(TUESDAY)
    trade(market, "eve", "alice", 40)  # 1 to 40 are gone
    market.next_day("2026-01-07")
    bust(market, first)

    assert market.serials("bob") == [(41, 1040)]
    assert market.serials("alice") == [(1041, 1050)]
    assert market.serials("eve") == [(1, 40)]


def test_the_lack_of_forty_tonnes_refuses_it_all():
    market = traders(eve=cash("9000.00"))
    first = trade(market, "alice", "bob", 100)
    market.next_day(TUESDAY)
    trade(market, "eve", "alice", 40)
    market.next_day("2026-01-07")
    digest = market.digest()

    assert bust(market, first) == "refused: insufficient_units"
    assert market.event == CommandRefused(market.event.reason, "alice lacks 40 t HBEA-2025 of what would go back")
    assert market.digest() == digest
    assert correct(market, first, quantity=40).startswith("trade 1 corrected: alice has 40 @ 42.00 from bob")


def test_a_busted_trade_was_a_trade_all_the_same_for_the_lapse():
    market = traders()
    number = trade(market, "alice", "bob", 100)
    market.next_day(TUESDAY)
    bust(market, number)

    held = market.exchange.serials.of(market.number("bob"), market.asset(HBEA))
    assert ranges(block for block in held if block.ever_traded) == [(1, 100)]


def test_of_what_was_netted_the_oldest_numbers_go_back():
    market = traders(NETTED, dave=units(50))
    trade(market, "alice", "dave", 30)  # 1001 to 1030
    market.next_day(TUESDAY)
    second = trade(market, "alice", "bob", 30)  # 1 to 30
    market.next_day("2026-01-07")
    assert market.history(1)[-1].startswith("netted from bob to alice")
    bust(market, second)
    assert market.serials("alice") == [(1001, 1030)]


# ---------------------------------------------------------------- a list is one


def test_a_chain_of_trades_is_undone_as_a_whole_and_not_in_parts():
    market = traders(AT_ONCE, bob=units(100))
    before, serials = everything(market), market.serials("bob")
    trade(market, "alice", "bob", 100)
    trade(market, "carol", "alice", 100)
    assert bust(market, 1) == "refused: insufficient_units"
    assert "refused" not in bust(market, 1, 2)
    assert everything(market) == before
    assert market.serials("bob") == serials


@pytest.mark.parametrize("order", [(3, 4), (4, 3)])
def test_a_chain_that_settled_is_undone_in_whatever_order_it_is_named(order):
    market = traders(AT_ONCE, dave=cash("50000.00"))
    before = owned(market)
    trade(market, "alice", "bob", 100)
    trade(market, "alice", "bob", 50, "42.50")
    bust(market, 1, 2)
    trade(market, "alice", "bob", 100)
    trade(market, "carol", "alice", 100)
    market.next_day(TUESDAY)
    assert bust(market, 3) == "refused: insufficient_units"
    assert "refused" not in bust(market, *order)
    assert owned(market) == before
    assert market.serials("bob") == [(1, 1000)]


def test_title_that_goes_round_in_a_circle_need_not_be_there():
    """Alice's tonnes went to carol, carol's to bob, bob's to alice, and all of them are gone to dave since."""
    people = {name: cash("100000.00") + units(100) for name in ("alice", "bob", "carol")}
    market = Market(AT_ONCE, **people, dave=cash("90000.00"))
    trade(market, "carol", "alice", 100)
    trade(market, "bob", "carol", 100)
    trade(market, "alice", "bob", 100)
    for name in people:
        trade(market, "dave", name, 100)
    market.next_day(TUESDAY)
    serials = market.serials("dave")

    assert "refused" not in bust(market, 1, 2, 3)
    assert market.serials("dave") == serials
    assert all(market.holding(name, HBEA).settled == 0 for name in people)


def test_who_has_a_part_gives_it_and_the_rest_when_it_comes_back():
    """Alice has sold 60 of the 100 t that she bought last, and gets 100 t back that she had sold before."""
    market = Market(AT_ONCE, alice=cash("90000.00") + units(100), bob=units(100), carol=cash("90000.00"))
    trade(market, "carol", "alice", 100)  # 1 to 100
    trade(market, "alice", "bob", 100)  # 101 to 200
    market.next_day(TUESDAY)
    trade(market, "carol", "alice", 60)
    market.next_day("2026-01-07")
    assert "refused" not in bust(market, 1, 2)

    assert market.serials("bob") == [(1, 60), (161, 200)]
    assert market.serials("alice") == [(61, 100)]
    assert market.serials("carol") == [(101, 160)]


def test_oldest_numbers_that_went_for_one_trade_do_not_go_for_another():
    """Alice has sold on what trade 2 brought; for it go the numbers of trade 1, and for trade 1 what there is."""
    market = Market(dave=units(50), bob=units(50), eve=units(50), alice=cash("90000.00"), carol=cash("90000.00"))
    trade(market, "alice", "bob", 50)  # 51 to 100
    trade(market, "alice", "dave", 50)  # 1 to 50
    trade(market, "alice", "eve", 50)  # 101 to 150
    market.next_day(TUESDAY)
    trade(market, "carol", "alice", 50)  # 1 to 50
    market.next_day("2026-01-07")
    bust(market, 1, 2)

    assert (market.serials("dave"), market.serials("bob")) == ([(51, 100)], [(101, 150)])
    assert market.serials("alice") == []


def test_settled_and_waiting_trades_go_together():
    market = traders(AT_ONCE)
    before = owned(market)
    first = trade(market, "alice", "bob", 100)
    market.next_day(TUESDAY)
    second = trade(market, "carol", "alice", 100)
    assert bust(market, first) == "refused: insufficient_units"
    assert "refused" not in bust(market, first, second)
    assert owned(market) == before
    assert [one.batch for one in market.exchange.clearing.corrections] == [1, 0]


def test_a_deal_that_was_delivered_is_undone_and_was_never_in_the_days_figures():
    market = Failing(alice=cash("9000.00"), bob=units(100))
    before = owned(market)
    market.agree("F-1", "bob", "alice", 100, "42.00")
    market.next_evening()
    days = [*market.exchange.days]
    correct(market, 1, quantity=60)
    assert (market.event.corrections[0].after.buyer_fee, market.event.closes_ticks) == (1260, {})
    bust(market, 1)

    assert owned(market) == before
    assert market.exchange.days == days


def test_a_trade_that_failed_is_undone_when_it_has_settled_later_under_the_day_of_its_trade():
    market = Failing(alice=cash("10.00"), bob=units(100))
    market.agree("F-1", "bob", "alice", 100, "42.00")
    market.next_evening()
    market.deposit("alice", "9000.00")
    market.must(CureFailure(HOUSE, 1))
    market.batch()
    before = market.holding("bob", HBEA).settled
    bust(market, 1)

    assert market.holding("bob", HBEA).settled == before + 100
    assert [(one.batch, str(one.day)) for one in market.exchange.clearing.corrections] == [(3, TUESDAY)]


# ---------------------------------------------------------------- refused


def a_day(market):
    """Trade 1 of 100 t between alice and bob, trade 2 of 10 t between carol and bob."""
    trade(market, "alice", "bob", 100)
    trade(market, "carol", "bob", 10)
    return market


def fixed():
    market = a_day(traders())
    market.close()
    market.must(FixObligations())
    return market


def at_the_bank():
    market = a_day(traders(AT_A_BANK))
    market.close()
    market.must(FixObligations())
    market.must(InstructBank())
    return market


def busted():
    market = a_day(traders())
    bust(market, 1)
    return market


def busted_and_settled():
    market = busted()
    market.next_day(TUESDAY)
    return market


def settled_day(**more):
    market = a_day(traders(**more))
    market.next_day(TUESDAY)
    return market


def bob_has_spent_the_proceeds():
    market = a_day(traders())
    market.play("bob buys 100 @ 41.00")
    return market


def bob_has_withdrawn_the_proceeds():
    market = settled_day()
    market.withdraw("bob", market.money("bob"))
    return market


def the_house_has_withdrawn_its_fees():
    market = settled_day(bob=units(1000) + cash("10000.00"))
    market.withdraw(HOUSE, market.fees_earned())
    return market


def bob_has_unsettled_proceeds_only():
    market = bob_has_withdrawn_the_proceeds()
    trade(market, "carol", "bob", 200)
    return market


def alice_has_unsettled_proceeds_only():
    market = a_day(traders(alice=cash("4221.00")))
    market.next_day(TUESDAY)
    trade(market, "carol", "alice", 90)
    return market


def alice_has_put_her_units_on_the_registry_side():
    market = settled_day()
    market.must(TransferUnits("alice", HBEA, 100, to_trading=False))
    return market


def alice_offers_what_she_bought():
    market = settled_day()
    market.play("alice sells 100 @ 42.00")
    return market


def alice_has_bought_new_units_which_have_not_settled():
    market = settled_day(eve=cash("90000.00"))
    trade(market, "eve", "alice", 100)
    trade(market, "alice", "bob", 100)
    return market


def dave_has_closed_his_account():
    market = a_day(traders(office=authority, dave=units(10)))
    trade(market, "alice", "dave", 10)
    market.next_day(TUESDAY)
    market.withdraw("dave", market.money("dave"))
    market.must(ChangeAccountStatus("office", "dave", AccountStatus.CLOSED, "merged"))
    return market


def one_suspended():
    market = a_day(traders(office=authority))
    market.must(ChangeAccountStatus("office", "office", AccountStatus.FROZEN, "investigated"))
    return market


def in_lots_of_ten():
    return a_day(traders(msgspec.structs.replace(HUBEI, lot=10)))


BUST = BustTrades(HOUSE, [1], "wrong book")


def corrected(*terms, by=HOUSE):
    return CorrectTrades(by, [NewTerms(*one) for one in terms], "mistyped")


def a_fresh_day():
    return a_day(traders())


REFUSED = [
    ("unknown_account", a_fresh_day, BustTrades("nobody", [1], "")),
    ("unknown_account", a_fresh_day, corrected((1, 4100), by="nobody")),
    ("not_permitted", a_fresh_day, BustTrades("bob", [1], "")),
    ("not_permitted", a_fresh_day, corrected((1, 4100), by="alice")),
    ("not_permitted", one_suspended, BustTrades("office", [1], "")),
    ("unknown_trade", a_fresh_day, BustTrades(HOUSE, [1, 3], "")),
    ("unknown_trade", a_fresh_day, BustTrades(HOUSE, [0], "")),
    ("unknown_trade", a_fresh_day, BustTrades(HOUSE, [-1], "")),
    ("unknown_trade", a_fresh_day, BustTrades(HOUSE, [2**70], "")),
    ("unknown_trade", settled_day, corrected((3, 4100))),
    ("unknown_trade", busted, BustTrades(HOUSE, [1, 3], "")),
    ("wrong_state", fixed, BUST),
    ("wrong_state", fixed, corrected((1, 4100))),
    ("wrong_state", at_the_bank, BUST),
    ("wrong_state", dave_has_closed_his_account, corrected((3, 4300))),
    ("trade_busted", busted, BUST),
    ("trade_busted", busted, corrected((2, 4100), (1, 4100))),
    ("trade_busted", busted_and_settled, BUST),
    ("duplicate_trade", a_fresh_day, BustTrades(HOUSE, [1, 2, 1], "")),
    ("duplicate_trade", a_fresh_day, corrected((1, 4100), (1, 4300))),
    ("nothing_to_correct", a_fresh_day, BustTrades(HOUSE, [], "")),
    ("nothing_to_correct", a_fresh_day, corrected()),
    ("nothing_to_correct", a_fresh_day, corrected((2, 4100), (1,))),
    ("nothing_to_correct", a_fresh_day, corrected((1, 4200, 100))),
    ("quantity_not_positive", a_fresh_day, corrected((1, None, 0))),
    ("quantity_not_positive", settled_day, corrected((2, 4100), (1, 4100, -5))),
    ("quantity_off_lot", in_lots_of_ten, corrected((1, 4100, 95))),
    ("price_not_positive", a_fresh_day, corrected((1, 0))),
    ("price_not_positive", settled_day, corrected((1, -4200))),
    ("price_out_of_range", a_fresh_day, corrected((1, PRICE_MAX_TICKS))),
    ("amount_too_large", a_fresh_day, corrected((1, 4200, TURNOVER_MAX // 4200 + 1))),
    ("amount_too_large", settled_day, corrected((1, PRICE_MAX_TICKS - 1, 2**62))),
    ("insufficient_cash", bob_has_spent_the_proceeds, BustTrades(HOUSE, [1, 2], "")),
    ("insufficient_cash", bob_has_spent_the_proceeds, corrected((1, 100))),
    ("insufficient_cash", bob_has_withdrawn_the_proceeds, BUST),
    ("insufficient_cash", bob_has_unsettled_proceeds_only, BUST),
    ("insufficient_cash", alice_has_unsettled_proceeds_only, corrected((1, 4210))),
    ("insufficient_cash", the_house_has_withdrawn_its_fees, BUST),
    ("insufficient_cash", a_fresh_day, corrected((1, 400_000))),
    ("insufficient_cash", settled_day, corrected((1, 400_000))),
    ("insufficient_units", a_fresh_day, corrected((1, None, 991))),
    ("insufficient_units", settled_day, corrected((1, 100, 991))),
    ("insufficient_units", alice_has_put_her_units_on_the_registry_side, BUST),
    ("insufficient_units", alice_offers_what_she_bought, BUST),
    ("insufficient_units", alice_has_bought_new_units_which_have_not_settled, BUST),
    # of two the more fundamental
    ("not_permitted", fixed, BustTrades("bob", [99], "")),
    ("unknown_trade", fixed, BustTrades(HOUSE, [1, 99], "")),
    ("trade_busted", busted, BustTrades(HOUSE, [2, 2, 1], "")),
    ("duplicate_trade", a_fresh_day, corrected((1,), (1,))),
    ("nothing_to_correct", a_fresh_day, corrected((2,), (1, -1, -1))),
    ("quantity_not_positive", a_fresh_day, corrected((1, -1), (2, None, 0))),
    ("insufficient_cash", bob_has_spent_the_proceeds, corrected((1, 1, 2000))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "scene", "command"),
    [pytest.param(*row, id=f"{row[0]}: {row[1].__name__}, {place}") for place, row in enumerate(REFUSED)],
)
def test_it_is_refused_and_nothing_has_changed(code, scene, command):
    market = scene()
    digest, said = market.digest(), len(market.exchange.clearing.corrections)

    assert market.do(command) == f"refused: {code}"
    assert market.digest() == digest
    assert len(market.exchange.clearing.corrections) == said


def test_a_trade_that_failed_and_is_not_back_in_a_batch_is_left_to_who_deals_with_that():
    market = Failing(alice=cash("10.00"), bob=units(100))
    market.agree("F-1", "bob", "alice", 100, "42.00")
    market.next_evening()
    digest = market.digest()
    receipts, outcome = market.engine.submit([control(BUST)], market.now_ns)

    assert outcome.events[receipts[0]].detail == "trade 1 failed in batch 2 and is not back"
    assert market.digest() == digest


def test_once_delivered_what_was_fixed_can_be_undone():
    market = fixed()
    assert bust(market, 1) == "refused: wrong_state"
    market.must(DeliverBatch())
    assert "refused" not in bust(market, 1)


def test_a_frozen_account_does_not_stand_in_the_way():
    market = a_day(traders(office=authority))
    market.must(ChangeAccountStatus("office", "alice", AccountStatus.FROZEN, "investigated"))

    assert "refused" not in bust(market, 1, by="office")


def test_auction_trades_can_be_undone():
    market = traders()
    market.play("call\nbob sells 10 @ 41.00\nalice buys 10 @ 43.00\nstart")
    assert "trade 1 busted: alice had 10 @" in bust(market, 1)
    assert market.outcome.rows["kind"].tolist() == [EventKind.TRADE_BUSTED]


def test_the_digest_tells_a_corrected_trade_from_one_that_said_so_at_once():
    market, other = traders(), traders()
    correct(market, trade(market, "alice", "bob", 100), quantity=60)
    trade(other, "alice", "bob", 60)

    assert market.exchange.trades_today()["quantity"] == other.exchange.trades_today()["quantity"]
    assert market.digest() != other.digest()


# ---------------------------------------------------------------- whose numbers


def test_undone_resales_do_not_hide_which_trade_brought_a_number():
    market = traders(AT_ONCE)
    trade(market, "alice", "bob", 100)
    trade(market, "carol", "alice", 60)
    trade(market, "alice", "carol", 20)
    market.next_day(TUESDAY)

    def brought(*numbers):
        return [brought_by(market.exchange.serials.at(market.asset(HBEA), number)) for number in numbers]

    assert brought(10, 40, 80, 500) == [3, 2, 1, 0]
    bust(market, 3)
    assert brought(10, 40, 80) == [2, 2, 1]
    bust(market, 2)
    assert brought(10, 40, 80) == [1, 1, 1]
    bust(market, 1)
    assert brought(10, 40, 80) == [0, 0, 0]
    assert market.serials("bob") == [(1, 1000)]


# ---------------------------------------------------------------- random histories

NAMES = ("alice", "bob", "carol", "dave")
RULES = {"hubei": HUBEI, "at once": AT_ONCE, "next day": NEXT_DAY, "netted": NETTED}


@dataclass
class Booked:
    """A trade in the plain ledger: who, and what it says now."""

    trade_id: int
    buyer: int
    seller: int
    price: int
    quantity: int
    buyer_fee: int
    seller_fee: int
    day: object
    is_settled: bool = False


class Ledger:
    """Settled holdings, net sales and volumes, added up from the trades as they stand: slow and obvious."""

    def __init__(self, market):
        self.market = market
        self.start = settled(market.exchange.path.desk.balances).copy()
        self.trades = {}

    def note_trades(self):
        for row in self.market.outcome.trades:
            fields = [int(row[name]) for name in ("trade_id", "buyer", "seller", "price_ticks", "quantity")]
            fees = int(row.buyer_fee), int(row.seller_fee)
            self.trades[fields[0]] = Booked(*fields, *fees, self.market.exchange.date)

    def note_corrections(self):
        for one in self.market.event.corrections:
            booked = self.trades[one.trade_id]
            assert (booked.price, booked.quantity) == (one.before.price_ticks, one.before.quantity)
            assert bool(one.batch) == booked.is_settled
            booked.price, booked.quantity = one.after.price_ticks, one.after.quantity
            booked.buyer_fee, booked.seller_fee = one.after.buyer_fee, one.after.seller_fee

    def compare(self):
        exchange = self.market.exchange
        expected, sales, volumes = self.start.copy(), Counter(), Counter()
        house = self.market.number(HOUSE)
        for booked in self.trades.values():
            volumes[booked.day] += booked.quantity
            if booked.is_settled:
                turnover = booked.price * booked.quantity
                expected[booked.buyer, :2] += [-turnover - booked.buyer_fee, booked.quantity]
                expected[booked.seller, :2] += [turnover - booked.seller_fee, -booked.quantity]
                expected[house, 0] += booked.buyer_fee + booked.seller_fee
                sales[booked.seller, booked.day.year] += booked.quantity
                sales[booked.buyer, booked.day.year] -= booked.quantity
        assert owned(self.market) == expected.tolist()
        assert exchange.compliance.net_sales == {key: tonnes for key, tonnes in sales.items() if tonnes}
        assert [one.volume for one in exchange.days] == [volumes[one.date] for one in exchange.days]
        last = [int(row.price_ticks) for row in exchange.trades_today()][-1:]
        if last:
            assert exchange.path.desk.instruments["last_ticks"][1] == last[0]


def random_market(rules):
    people = {name: cash("12000.00") + units(150) for name in NAMES}
    return Market(rules, **people)


def random_step(market, ledger, random):
    """One command or two; returns a word for what happened."""
    exchange = market.exchange
    batch = exchange.clearing.under_way
    what = random.choice(["trade"] * 4 + ["bust", "correct", "correct", "move", "settle", "settle"])
    if what == "trade" and exchange.phase.label == "continuous":
        seller, buyer = random.sample(NAMES, 2)
        price = random.choice(["41.00", "41.37", "42.00", "43.99"])
        market.play(f"{seller} sells {random.randint(1, 90)} @ {price}")
        ledger.note_trades()
        market.play(f"{buyer} buys {random.randint(1, 90)} @ {price}")
        ledger.note_trades()
        return "trade"
    if what in ("bust", "correct"):
        standing = sorted(one.trade_id for one in ledger.trades.values() if one.quantity or random.random() < 0.05)
        chosen = random.sample(standing, min(len(standing), random.randint(1, 4)))
        if what == "bust":
            command = BustTrades(HOUSE, chosen, "")
        else:
            terms = [
                NewTerms(one, random.choice([None, 4000, 4311]), random.choice([None, 1, 40, 120])) for one in chosen
            ]
            command = CorrectTrades(HOUSE, terms, "")
        digest = market.digest()
        said = market.do(command)
        if "refused" in said:
            assert market.digest() == digest
            return said
        ledger.note_corrections()
        return f"{what}, {'settled' if any(one.batch for one in market.event.corrections) else 'waiting'}"
    if what == "move":
        return market.do(TransferUnits(random.choice(NAMES), HBEA, random.randint(1, 60), random.random() < 0.3))
    if exchange.phase.label == "continuous":
        market.play("everybody cancels all\nclose" if random.random() < 0.5 else "close")
    elif exchange.is_settled:
        market.do(OpenDay(exchange.date + timedelta(days=1)))
        market.play("start")
    elif batch is None:
        market.must(FixObligations())
    elif batch.stage == Stage.FIXED:
        market.must(DeliverBatch())
        for row in batch.trades:
            ledger.trades[int(row.trade_id)].is_settled = True
    else:
        market.must(IssueStatements())
    return "a step"


@settings(max_examples=settings.default.max_examples // 4)
@given(rules=st.sampled_from(sorted(RULES)), seed=st.integers(0, 2**32), length=st.integers(5, 45))
def test_random_corrections_leave_what_the_trades_as_they_stand_add_up_to(rules, seed, length):
    random = Random(seed)
    market = random_market(RULES[rules])
    ledger = Ledger(market)
    for _ in range(length):
        event(random_step(market, ledger, random))
        ledger.compare()

    again = replayed(market)
    assert again.digest() == market.digest()
    assert [*again.clearing.corrections] == [*market.exchange.clearing.corrections]


@settings(max_examples=settings.default.max_examples // 8)
@given(rules=st.sampled_from(sorted(RULES)), seed=st.integers(0, 2**32), at_once=st.booleans())
def test_when_every_trade_is_undone_everybody_has_what_it_had_to_the_number(rules, seed, at_once):
    """In one list whatever was sold on; one by one the newest first. What was netted comes back in other numbers."""
    random = Random(seed)
    market = Market(RULES[rules], **{name: cash("60000.00") + units(300) for name in NAMES})
    before, serials = owned(market), {name: market.serials(name) for name in NAMES}
    for _ in range(25):
        if random.random() < 0.85:
            seller, buyer = random.sample(NAMES, 2)
            market.play(f"{seller} sells {random.randint(1, 90)} @ 42.00\n{buyer} buys {random.randint(1, 90)} @ 42.00")
        else:
            market.play(f"everybody cancels all\nclose\nsettle\nopen {market.exchange.date + timedelta(days=1)}\nstart")
    market.play("everybody cancels all")
    traded = int(market.exchange.path.desk.progress[0].next_trade_id) - 1
    named = random.sample(range(1, traded + 1), traded) if at_once else sorted(range(1, traded + 1), reverse=True)
    for ids in [named] if at_once else [[one] for one in named]:
        if ids:
            assert "refused" not in bust(market, *ids)

    assert owned(market) == before
    assert rules == "netted" or {name: market.serials(name) for name in NAMES} == serials
    assert market.exchange.compliance.net_sales == {}
    assert not market.exchange.trades_today().size
    assert all(one.volume == one.turnover == 0 for one in market.exchange.days)
    assert replayed(market).digest() == market.digest()


def test_a_long_list_is_put_right_at_once():
    market = traders()
    market.play("\n".join(["bob sells 1 @ 42.00\nalice buys 1 @ 42.00"] * 60))
    before = everything(traders())
    assert market.exchange.trades_today().dtype == TRADE
    bust(market, *range(60, 0, -1))

    assert everything(market) == before
