"""How many allowances one may hold: resting orders, unsettled trades and registry holdings in one number."""

import msgspec
import pytest

from exchange.commands import CancelUnits, CloseSurrender, IssueUnits, ListInstrument
from exchange.positions import NO_LIMIT, LargeHolder, large_holders
from exchange.reasons import Reason
from exchange.rules import load_rule_set
from registry.accounts import ParticipantClass
from registry.rules import PositionRules
from registry.serials import Origin
from registry.units import Species
from tests.exchange.cycle import PROVINCE, Cycle, enterprise
from tests.exchange.market import HBCER, HBEA, Market, Stake, cash, units

pytestmark = pytest.mark.kernels

LIMITED = PositionRules(covered_beyond=100, other=100, report_covered_beyond=50, report_other=50)
RULES = msgspec.structs.replace(load_rule_set("hubei"), positions=LIMITED, carry_over=[])
rich = cash("1000000.00")


def position(market, name):
    return int(market.exchange.path.desk.participants[market.number(name)].position)


@pytest.fixture
def market():
    """Alice has 60 t of allowances and may hold 100."""
    return Market(RULES, alice=rich + units(60), bob=rich + units(100), carol=rich)


def test_a_buy_order_counts_as_if_it_had_traded(market):
    assert market.play("alice buys 30 @ 41.00") == "alice accepted"
    assert position(market, "alice") == 90
    assert market.play("alice buys 11 @ 40.00") == "alice refused: position_limit"
    assert market.play("alice buys 10 @ 40.00") == "alice accepted"


def test_who_stands_at_the_limit_may_still_sell_and_then_buy_again(market):
    market.play("alice buys 40 @ 41.00")
    assert market.play("alice sells 60 @ 43.00") == "alice accepted"
    assert market.play("alice buys 1 @ 41.00") == "alice refused: position_limit"  # nothing is sold yet

    assert market.play("carol buys 25 @ 43.00") == "carol accepted\ncarol takes 25 @ 43.00 from alice"
    assert position(market, "alice") == 75
    assert market.play("alice buys 25 @ 41.00") == "alice accepted"


def test_a_trade_moves_what_was_wanted_into_what_is_held(market):
    market.play("bob sells 20 @ 42.00\nalice buys 40 @ 42.00")
    assert (position(market, "alice"), position(market, "bob")) == (100, 80)

    market.play("close\nsettle")
    assert (position(market, "alice"), position(market, "bob")) == (80, 80)  # the rest of the order has expired


def test_what_is_cancelled_or_amended_down_makes_room_again(market):
    market.play("alice buys 40 @ 41.00")
    market.play("alice amends order 1 to 30 @ 41.00")
    assert market.play("alice buys 10 @ 40.00") == "alice accepted"
    assert market.play("alice amends order 1 to 31 @ 41.00") == "alice's amend refused: position_limit"
    market.play("alice cancels all")
    assert position(market, "alice") == 60


def test_an_order_that_is_carried_into_the_next_day_still_counts(market):
    market.play("alice buys 40 @ 41.00 gtc")
    market.next_day("2026-01-06")
    assert position(market, "alice") == 100
    assert market.play("alice buys 1 @ 41.00") == "alice refused: position_limit"


def test_an_auction_moves_positions_as_trading_does(market):
    market.play("call\nbob sells 30 @ 41.00\nalice buys 40 @ 42.00\nstart")
    assert (position(market, "alice"), position(market, "bob")) == (100, 70)


def test_units_on_the_registry_side_count_and_those_that_are_gone_do_not(market):
    market.must(IssueUnits("alice", HBEA, 40, Origin.FREE))
    assert market.play("alice buys 1 @ 41.00") == "alice refused: position_limit"
    market.join(PROVINCE, Stake(participant_class=ParticipantClass.REGISTRY_AUTHORITY))
    market.must(CancelUnits(PROVINCE, "alice", HBEA, 40, "issued in error"))
    assert market.play("alice buys 40 @ 41.00") == "alice accepted"


def test_credits_do_not_count():
    market = Market(RULES, until="listed", alice=rich, bob=rich)
    market.must(ListInstrument(HBCER, Species.CREDIT, 2025, 4200))
    market.give("bob", HBCER, 500)
    market.play("open 2026-01-05\nstart\nbob sells 500 HBCER-2025 @ 42.00")
    assert market.play(f"alice buys 500 {HBCER} @ 42.00").startswith("alice accepted\nalice takes 500")
    assert position(market, "alice") == 0


def test_a_covered_enterprise_may_hold_its_allocation_and_as_much_again():
    cycle = Cycle(RULES, plant=enterprise)
    plant = cycle.exchange.path.desk.participants[cycle.number("plant")]
    assert plant.position_limit == 100
    cycle.cover(2025, plant=20_000)
    cycle.pre_allocate(2025)
    allocated = cycle.exchange.compliance.obligor(2025, cycle.number("plant")).allocated
    assert allocated > 0
    assert cycle.exchange.path.desk.participants[cycle.number("plant")].position_limit == allocated + 100


def test_allocations_of_two_years_that_overlap_both_count_until_the_first_is_surrendered():
    cycle = Cycle(RULES, plant=enterprise)

    def limit():
        return int(cycle.exchange.path.desk.participants[cycle.number("plant")].position_limit)

    cycle.cover(2025, plant=20_000)
    cycle.pre_allocate(2025)
    cycle.determine(2025, plant=20_000)
    assert limit() == 20_000 + 100
    cycle.cover(2026, plant=20_000)
    cycle.pre_allocate(2026)
    assert limit() == 20_000 + 14_000 + 100
    cycle.open_window(2025, "2026-01-09")
    cycle.pay("plant", 2025)
    cycle.must(CloseSurrender(PROVINCE, 2025))
    assert limit() == 14_000 + 100


def test_who_holds_more_than_the_figure_of_the_report_is_reported_largest_first(market):
    market.must(IssueUnits("carol", HBEA, 51, Origin.FREE))
    assert large_holders(market.exchange) == [
        LargeHolder(market.number("bob"), 100, 50, 100),
        LargeHolder(market.number("alice"), 60, 50, 100),
        LargeHolder(market.number("carol"), 51, 50, 100),
    ]


def test_without_a_rule_nobody_is_limited_nor_reported():
    market = Market("generic", alice=rich + units(60))
    assert market.exchange.path.desk.participants[market.number("alice")].position_limit == NO_LIMIT
    assert large_holders(market.exchange) == []


def test_the_position_limit_comes_before_the_money():
    market = Market(RULES, alice=units(60))
    assert market.play("alice buys 41 @ 41.00") == f"alice refused: {Reason.POSITION_LIMIT.code}"
    assert market.play("alice buys 40 @ 41.00") == f"alice refused: {Reason.INSUFFICIENT_CASH.code}"
