"""Surrender: with what, by whom, until when; what a shortfall costs; what expires. Numbers are worked out beside."""

from datetime import date
from fractions import Fraction

import msgspec
import pytest

from exchange.commands import (
    AgreeDelivery,
    CarryOverUnits,
    ChangeAccountStatus,
    CloseSurrender,
    ConfirmSurrender,
    CoverFailure,
    DecideCoverage,
    FileReport,
    ForceSurrender,
    FundReserve,
    GiveUnits,
    IssueUnits,
    LapseUnits,
    PayFine,
    PayRecourse,
    RegisterUnit,
    RejectSurrender,
    ReleaseParked,
    RemindObligors,
    RequestSurrender,
    RestateReport,
    SetBasis,
    SubmitReport,
    TransferUnits,
    VerifyReport,
)
from exchange.transition.compliance import usable_for, whole_plan
from exchange.transition.step import HOUSE, RESERVE
from registry.accounts import AccountStatus
from registry.allocation import Historical
from registry.compliance import Eligibility, Outcome
from registry.emissions import SourceStream, Verdict
from registry.rules import Penalty
from registry.serials import BlockState, Origin
from registry.units import Species
from settlement.rules import DefaultRules, ReserveRules
from tests.exchange.cycle import FUEL, HUBEI, INSPECTOR, NATIONAL, PROVINCE, Cycle, enterprise, replayed
from tests.exchange.market import CNY, HBEA, cash, nothing, units

TRADED = "trader sells 10 @ 42.00\nrich buys 10 @ 42.00"


def window(rules=HUBEI, initial=1_000, emissions=1_000, **people):
    """The plant's window of 2025 is open; it has its whole allocation."""
    cycle = Cycle(rules, plant=enterprise, **people)
    cycle.open_period(2025)
    cycle.record("plant", 2024, emissions=30_000)
    cycle.must(DecideCoverage(PROVINCE, 2025))
    cycle.set_basis("plant", 2025, initial)
    cycle.pre_allocate(2025)
    cycle.determine(2025, plant=emissions)
    cycle.open_window(2025)
    return cycle


def usable(cycle, name="plant", year=2025, whose="plant"):
    """What may pay for a year, by code: tonnes and why not more."""
    found = usable_for(cycle.exchange, year, cycle.obligor(whose, year), cycle.number(name))
    return {one.unit.code: (one.tonnes, str(one.eligibility)) for one in found}


# ---------------------------------------------------------------- what may be used


def test_what_waits_is_paid_when_it_is_confirmed_and_free_again_when_it_is_rejected():
    cycle = window()
    first, second = cycle.offer("plant", 2025, HBEA_2025=300), cycle.offer("plant", 2025, HBEA_2025=200)
    assert cycle.event.missing == 500
    assert cycle.holding("plant", HBEA)[3:] == (500, 0, 0, 0, 500)

    cycle.must(ConfirmSurrender(PROVINCE, first))
    assert (cycle.event.missing, cycle.event.serials) == (700, {1: [(1, 300)]})
    cycle.must(RejectSurrender(PROVINCE, second, "the form is wrong"))
    assert cycle.holding("plant", HBEA)[3:] == (700, 0, 0, 0, 0)
    assert cycle.exchange.serials.total(1, BlockState.SURRENDERED) == 300
    assert replayed(cycle).digest() == cycle.digest()


def test_the_default_is_the_oldest_first_allowances_before_credits_and_what_the_query_says():
    cycle = window(emissions=1_300)
    cycle.register_credit("CCER-2024", vintage=2024)
    cycle.register_credit("CCER-2025")
    cycle.open_period(2024)
    cycle.open_period(2026)
    for code, tonnes in (("HBEA-2024", 50), ("HBEA-2026", 400), ("CCER-2024", 30), ("CCER-2025", 400)):
        cycle.must(IssueUnits("plant", code, tonnes, Origin.FREE if "HBEA" in code else Origin.CREDIT))

    assert usable(cycle) == {
        "HBEA-2024": (50, "eligible"),
        "CCER-2024": (30, "eligible"),
        "HBEA-2025": (1_000, "eligible"),
        "CCER-2025": (70, "offset_cap_reached"),  # a tenth of 1,000, less 30
        "HBEA-2026": (0, "later_vintage"),
    }
    planned = whole_plan(cycle.exchange, 2025, cycle.obligor("plant"), cycle.number("plant"))
    assert planned.missing == 1_300 - 50 - 30 - 1_000 - 70
    cycle.offer("plant", 2025)
    assert cycle.event.request.tonnes == dict(sorted(planned.tonnes.items()))
    assert cycle.event.missing == planned.missing


def test_of_one_vintage_allowances_pay_before_credits():
    cycle = window(emissions=950)
    cycle.register_credit("CCER")
    cycle.give_credits("plant", "CCER", 100)
    cycle.offer("plant", 2025)
    assert cycle.event.request.tonnes == {1: 950}


def test_credits_count_against_the_cap_from_the_request_on():
    cycle = window()
    cycle.register_credit("CCER")
    cycle.give_credits("plant", "CCER", 200)
    waiting = cycle.offer("plant", 2025, CCER=60)

    assert usable(cycle)["CCER"] == (40, "offset_cap_reached")
    assert cycle.ask(RequestSurrender("plant", 2025, {"CCER": 41})) == "refused: offset_limit"
    cycle.pay("plant", 2025, CCER=40)
    assert cycle.ask(RequestSurrender("plant", 2025, {"CCER": 1})) == "refused: offset_limit"
    cycle.must(RejectSurrender(PROVINCE, waiting, "papers"))
    cycle.pay("plant", 2025, CCER=60)
    assert cycle.obligor("plant").offset == 100


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({}, Eligibility.ELIGIBLE),
        ({"vintage": 2026}, Eligibility.LATER_VINTAGE),
        ({"scheme": "VCS"}, Eligibility.SCHEME),
        ({"scheme": "INCLUSION", "region": "Wuhan"}, Eligibility.REGION),  # of a plant that is elsewhere
    ],
)
def test_a_credit_pays_only_if_the_rules_admit_it(attributes, why):
    cycle = window()
    cycle.register_credit("X", **attributes)
    cycle.give_credits("plant", "X", 10)
    assert usable(cycle)["X"] == (10 if why == "eligible" else 0, why)
    said = cycle.ask(RequestSurrender("plant", 2025, {"X": 10}))
    assert said == ("SurrenderRequested" if why == "eligible" else "refused: not_eligible")


def test_an_allowance_of_another_market_pays_nothing_here():
    cycle = window()
    cycle.must(RegisterUnit(PROVINCE, "CEA-2025", Species.ALLOWANCE, 2025, scheme="CEA"))
    cycle.must(IssueUnits("plant", "CEA-2025", 10, Origin.FREE))
    assert usable(cycle)["CEA-2025"] == (0, "scheme_not_accepted")
    assert cycle.ask(RequestSurrender("plant", 2025, {"CEA-2025": 10})) == "refused: not_eligible"


@pytest.mark.parametrize(("registered_on", "tonnes"), [(None, 0), (date(2024, 1, 22), 0), (date(2024, 1, 23), 50)])
def test_nationally_a_project_must_be_registered_late_enough(registered_on, tonnes):
    cycle = window(NATIONAL)
    cycle.register_credit("CCER", registered_on=registered_on)
    cycle.give_credits("plant", "CCER", 200)
    assert usable(cycle)["CCER"][0] == tonnes  # 5 % of the 1,000 that are due


def test_another_pays_for_an_enterprise_that_is_frozen():
    cycle = window(shop=nothing)
    cycle.must(IssueUnits("shop", HBEA, 1_000, Origin.AUCTION))
    cycle.must(ChangeAccountStatus(PROVINCE, "plant", AccountStatus.FROZEN, "court"))
    cycle.pay("shop", 2025, on_behalf_of="plant")

    assert cycle.obligor("plant").missing == 0
    assert (cycle.registry("shop"), cycle.registry("plant")) == (0, 1_000)


def test_the_deadline_belongs_to_the_window_and_what_was_offered_in_time_may_be_confirmed_later():
    cycle = window()
    cycle.next_day("2026-01-09")
    offered = cycle.offer("plant", 2025, HBEA_2025=1_000)
    cycle.next_day("2026-01-10")
    cycle.must(ConfirmSurrender(PROVINCE, offered))
    cycle.must(CloseSurrender(PROVINCE, 2025))
    assert cycle.event.records[0].outcome == Outcome.COMPLIED


def test_a_reminder_names_who_still_owes():
    cycle = window()
    cycle.pay("plant", 2025, HBEA_2025=400)
    cycle.must(RemindObligors(PROVINCE, 2025))
    assert cycle.event.missing == {cycle.number("plant"): 600}
    cycle.pay("plant", 2025)
    cycle.must(RemindObligors(PROVINCE, 2025))
    assert cycle.event.missing == {}


def test_units_on_the_trading_side_do_not_pay_before_they_come_back():
    cycle = window()
    cycle.must(TransferUnits("plant", HBEA, 900, True))
    cycle.offer("plant", 2025)
    assert cycle.event.request.tonnes == {1: 100}


# ---------------------------------------------------------------- force


def test_force_takes_what_is_parked_and_what_is_on_either_side_but_no_more_than_is_due():
    cycle = Cycle(plant=enterprise)
    cycle.cover(2025, plant=1_000)
    cycle.must(IssueUnits("plant", HBEA, 500, Origin.AUCTION))
    cycle.must(TransferUnits("plant", HBEA, 400, True))
    cycle.play("plant sells 50 @ 42.00")  # backs an order: out of reach
    cycle.must(ChangeAccountStatus(PROVINCE, "plant", AccountStatus.RESTRICTED, "papers"))  # the order is gone
    cycle.must(ChangeAccountStatus(PROVINCE, "plant", AccountStatus.FROZEN, "court"))
    cycle.pre_allocate(2025)
    cycle.determine(2025, plant=1_300)
    cycle.open_window(2025)
    cycle.must(ForceSurrender(PROVINCE, "plant", 2025))

    assert (cycle.event.released, cycle.event.tonnes, cycle.event.missing) == (1_000, {1: 1_300}, 0)
    held = cycle.holding("plant", HBEA)
    assert (held.registry, held.available) == (0, 200)  # 100 + 1,000 and 200 of 400
    assert cycle.obligor("plant").parked == 0


def test_force_leaves_what_backs_an_order():
    cycle = window(emissions=1_000)
    cycle.must(TransferUnits("plant", HBEA, 1_000, True))
    cycle.play("plant sells 300 @ 42.00")
    cycle.must(ForceSurrender(PROVINCE, "plant", 2025))
    assert (cycle.event.tonnes, cycle.event.missing) == ({1: 700}, 300)
    assert cycle.holding("plant", HBEA).reserved == 300


# ---------------------------------------------------------------- what a shortfall costs


def short(rules=HUBEI, by=100):
    """The plant is short of some tonnes; trades of 10 t at 42.00 make the mean price."""
    cycle = window(rules, emissions=1_000 + by, trader=nothing, rich=cash("100000.00"))
    cycle.give("trader", HBEA, 100)
    cycle.play(TRADED)
    cycle.pay("plant", 2025)
    cycle.close_window(2025)
    return cycle


def penal(**terms):
    penalty = Penalty(2014, **terms)
    return msgspec.structs.replace(HUBEI, compliance=msgspec.structs.replace(HUBEI.compliance, penalties=[penalty]))


@pytest.mark.parametrize(
    ("rules", "by", "shortfall", "fine", "deduction"),
    [
        pytest.param(HUBEI, 100, 100, 3 * 4200 * 100, 200, id="Hubei: three times the year's mean"),
        pytest.param(HUBEI, 2_000, 2_000, 15_000_000, 4_000, id="Hubei: at most 150,000"),
        # final allocation 0.8 x 1,300 = 1,040
        pytest.param(NATIONAL, 300, 260, 5 * 4200 * 260, 260, id="national: five times the month's mean"),
        pytest.param(penal(mean_price="month", flat="50000", deduction="2"), 100, 100, 5_000_000, 200, id="Guangdong"),
        pytest.param(penal(mean_price="six_months", factor="3"), 100, 100, 3 * 4200 * 100, 0, id="Shenzhen"),
        pytest.param(
            penal(mean_price="month", factor="1", deduction="1", deduction_until=date(2026, 1, 9)),
            100, 100, 4200 * 100, 0, id="no new deductions from the deadline's day on",
        ),
    ],
)  # fmt: skip
def test_a_shortfall_costs_by_regime(rules, by, shortfall, fine, deduction):
    cycle = short(rules, by)
    (record,) = cycle.event.records
    assert (record.shortfall, record.fine, record.deduction) == (shortfall, fine, deduction)
    assert (record.outcome, cycle.event.complied, Fraction(cycle.event.mean_price)) == (Outcome.SHORT, 0, 4200)
    assert cycle.exchange.compliance.deductions.get(cycle.number("plant"), 0) == deduction


def test_without_a_trade_the_last_close_is_the_mean_price():
    cycle = window(emissions=1_100)
    cycle.pay("plant", 2025)
    cycle.close_window(2025)
    assert cycle.event.mean_price == "4200"


def test_a_fine_is_paid_to_the_authority_and_until_then_the_next_allocation_is_parked():
    cycle = short()
    cycle.open_period(2026)
    cycle.record("plant", 2025, emissions=30_000)
    cycle.must(DecideCoverage(PROVINCE, 2026))
    cycle.must(SetBasis(PROVINCE, "plant", 2026, [Historical(1_000, "1")]))
    cycle.pre_allocate(2026)
    assert cycle.event.allocations[0].parked
    assert cycle.ask(ReleaseParked(PROVINCE, "plant", 2026)) == "refused: wrong_state"
    cycle.deposit("plant", "12600.00")
    cycle.must(PayFine("plant", 2025))
    assert cycle.event.amount == 1_260_000
    assert (cycle.money("plant"), cycle.money(PROVINCE)) == ("0.00", "12600.00")
    assert cycle.ask(PayFine("plant", 2025)) == "refused: amount_not_positive"
    cycle.must(ReleaseParked(PROVINCE, "plant", 2026))
    assert cycle.registry("plant", 2026) == 500  # 700 less 200
    cycle.play("close\nsettle")
    statement = next(one for one in cycle.statements() if one.account == cycle.number(PROVINCE))
    assert ("fine", 1_260_000) in [(entry.cause, entry.amount) for entry in statement.entries]
    assert cycle.asset(CNY) == 0


def test_proceeds_that_are_not_settled_pay_no_fine():
    cycle = short()
    cycle.must(IssueUnits("plant", HBEA, 400, Origin.AUCTION))
    cycle.must(TransferUnits("plant", HBEA, 400, True))
    cycle.play("plant sells 400 @ 42.00\nrich buys 400 @ 42.00")
    assert cycle.ask(PayFine("plant", 2025)) == "refused: insufficient_cash"
    cycle.play("close\nsettle")
    cycle.must(PayFine("plant", 2025))


def test_what_waits_when_the_window_closes_is_given_back_and_counts_as_missing():
    cycle = window()
    cycle.offer("plant", 2025)
    cycle.close_window(2025)
    assert cycle.event.records[0].shortfall == 1_000
    assert cycle.holding("plant", HBEA)[3:] == (1_000, 0, 0, 0, 0)


# ---------------------------------------------------------------- what expires


def test_free_allowances_that_were_never_traded_lapse_with_the_reserve_and_all_others_stay():
    cycle = Cycle(plant=enterprise, trader=nothing, rich=cash("100000.00"))
    cycle.run_to_window(2025, cap=10_000, plant=(1_000, 600))
    cycle.must(IssueUnits("trader", HBEA, 50, Origin.AUCTION))
    cycle.must(TransferUnits("plant", HBEA, 300, True))
    cycle.play("plant sells 100 @ 42.00\nrich buys 100 @ 42.00")
    cycle.pay("plant", 2025)  # of 700 on the registry side
    cycle.close_window(2025)
    cycle.play("plant sells 40 @ 42.00")  # an order: what backs it stays
    cycle.must(LapseUnits(PROVINCE, 2025))

    # the plant has 100 on the registry side, 160 free and 40 in an order; none of them was ever traded
    assert cycle.event.tonnes == {cycle.number("plant"): 260}
    assert cycle.event.reserve == 800
    assert cycle.holding("plant", HBEA)[:4] == (0, 40, 0, 0)
    assert cycle.holding("rich", HBEA).settled == 100
    assert cycle.registry("trader") == 50 and cycle.registry(PROVINCE) == 0


def test_what_the_reserve_holds_as_security_does_not_lapse():
    """poor has 100 t of its own, never traded, and cannot pay for 100 t more: the reserve gets the older numbers."""
    reserve = ReserveRules(share="0", target="0", house_funds_max="0")
    settlement = msgspec.structs.replace(HUBEI.settlement, reserve=reserve, defaults=DefaultRules(cure_working_days=0))
    cycle = Cycle(msgspec.structs.replace(HUBEI, settlement=settlement), plant=enterprise, poor=nothing)
    cycle.must(IssueUnits("poor", HBEA, 100, Origin.FREE))
    cycle.join("rich", units(100))
    cycle.run_to_window(2025, plant=(1_000, 0))
    cycle.deposit(HOUSE, "5000.00")
    cycle.must(FundReserve(HOUSE, 500_000))
    cycle.must(AgreeDelivery(HOUSE, "D", "rich", "poor", HBEA, 100, 4_200, date(2026, 1, 6)))
    cycle.next_day("2026-01-06")
    cycle.play("close\nsettle")
    cycle.now_ns = cycle.exchange.clearing.defaults.cases[0].deadline_ns
    cycle.must(CoverFailure(HOUSE, 1))
    cycle.play("settle")
    assert cycle.holding(RESERVE, HBEA).settled == 100

    cycle.close_window(2025)
    cycle.must(LapseUnits(PROVINCE, 2025))
    assert cycle.event.tonnes == {cycle.number("plant"): 1_000}
    cycle.deposit("poor", "5000.00")
    cycle.must(PayRecourse("poor", cycle.exchange.clearing.defaults.claims[0].left))
    assert (cycle.holding("poor", HBEA).settled, cycle.holding(RESERVE, HBEA).settled) == (200, 0)


def test_what_is_parked_lapses_as_the_enterprises_own():
    cycle = Cycle(plant=enterprise)
    cycle.cover(2025, cap=10_000, plant=1_000)
    cycle.must(ChangeAccountStatus(PROVINCE, "plant", AccountStatus.FROZEN, "court"))
    cycle.pre_allocate(2025)
    cycle.determine(2025, plant=0)
    cycle.open_window(2025)
    cycle.close_window(2025)
    cycle.must(LapseUnits(PROVINCE, 2025))
    assert cycle.event.tonnes == {cycle.number("plant"): 1_000}
    assert cycle.obligor("plant").parked == 0
    cycle.must(ChangeAccountStatus(PROVINCE, "plant", AccountStatus.ACTIVE, "court"))
    assert cycle.ask(ReleaseParked(PROVINCE, "plant", 2025)) == "refused: insufficient_units"


def test_ten_thousand_and_one_and_a_half_times_net_sales_are_carried_over():
    cycle = Cycle(NATIONAL, plant=enterprise, trader=nothing, rich=cash("1000000.00"))
    cycle.open_period(2025)
    cycle.record("plant", 2024, emissions=30_000)
    cycle.must(DecideCoverage(PROVINCE, 2025))
    cycle.set_basis("plant", 2025, 1_000)
    cycle.pre_allocate(2025)
    cycle.determine(2025, plant=1_000)
    cycle.open_window(2025)
    cycle.must(IssueUnits("trader", HBEA, 30_000, Origin.FREE))
    cycle.must(TransferUnits("trader", HBEA, 101, True))
    cycle.play("trader sells 101 @ 42.00\nrich buys 101 @ 42.00")
    cycle.pay("plant", 2025)
    cycle.close_window(2025)
    cycle.open_period(2026)
    cycle.must(CarryOverUnits(PROVINCE, "trader", 2025))

    # 10,000 + floor(1.5 x 101) = 10,151 of 29,899
    assert (cycle.event.limit, cycle.event.tonnes) == (10_151, {1: 10_151})
    assert (cycle.registry("trader"), cycle.registry("trader", 2026)) == (19_748, 10_151)
    assert cycle.origins("trader", 2026) == {"carried": 10_151}
    assert cycle.ask(CarryOverUnits(PROVINCE, "trader", 2025)) == "refused: insufficient_units"  # all is carried
    cycle.must(TransferUnits("rich", HBEA, 101, False))
    cycle.must(CarryOverUnits(PROVINCE, "rich", 2025, 60))  # who bought on balance has the ten thousand
    assert (cycle.event.limit, cycle.registry("rich")) == (10_000, 41)
    assert replayed(cycle).digest() == cycle.digest()


def test_who_bought_back_what_it_sold_has_no_more_to_carry_and_gives_nothing_up():
    cycle = Cycle(NATIONAL, plant=enterprise, trader=cash("1000000.00"), rich=cash("1000000.00"))
    cycle.open_period(2025)
    cycle.record("plant", 2024, emissions=30_000)
    cycle.must(DecideCoverage(PROVINCE, 2025))
    cycle.set_basis("plant", 2025, 10)
    cycle.pre_allocate(2025)
    cycle.determine(2025, plant=5)
    cycle.open_window(2025)
    cycle.pay("plant", 2025)
    cycle.must(CloseSurrender(PROVINCE, 2025))
    cycle.open_period(2026)
    cycle.must(IssueUnits("trader", HBEA, 30_000, Origin.FREE))
    cycle.must(TransferUnits("trader", HBEA, 100, True))
    cycle.play("trader sells 100 @ 42.00\nrich buys 100 @ 42.00")
    cycle.next_day("2026-01-06")
    cycle.must(CarryOverUnits(PROVINCE, "trader", 2025))
    assert cycle.event.limit == 10_150
    cycle.play("rich sells 100 @ 42.00\ntrader buys 100 @ 42.00")
    cycle.next_day("2026-01-07")
    assert cycle.ask(CarryOverUnits(PROVINCE, "trader", 2025)) == "refused: insufficient_units"


def test_who_was_short_in_the_year_before_carries_nothing_over():
    cycle = window(NATIONAL, emissions=1_300)
    cycle.pay("plant", 2025)
    cycle.close_window(2025)
    cycle.deposit("plant", "1000000.00")
    cycle.must(PayFine("plant", 2025))
    cycle.open_period(2026)
    cycle.open_period(2027)
    cycle.must(DecideCoverage(PROVINCE, 2026))
    cycle.set_basis("plant", 2026, 5_000)
    cycle.pre_allocate(2026)
    cycle.determine(2026, plant=1_000)
    cycle.open_window(2026, "2026-01-20")
    cycle.pay("plant", 2026)
    cycle.close_window(2026)
    assert cycle.event.records[0].outcome == Outcome.COMPLIED
    assert cycle.ask(CarryOverUnits(PROVINCE, "plant", 2026)) == "refused: not_eligible"
    cycle.must(GiveUnits(PROVINCE, "plant", "EXCHANGE", "HBEA-2026", 10, "correction"))
    cycle.must(CarryOverUnits(PROVINCE, "EXCHANGE", 2026))


# ---------------------------------------------------------------- what the digest covers


def changed(figures, key, value):
    figures[key] = value


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda one: changed(one.deductions, 3, 1), id="deductions"),
        pytest.param(lambda one: changed(one.net_sales, (3, 2026), 1), id="net sales"),
        pytest.param(lambda one: changed(one.carried, (3, 2025), 1), id="what was carried"),
        pytest.param(lambda one: changed(one.sectors, 3, "steel"), id="sectors"),
        pytest.param(lambda one: one.activities.popitem(), id="activities"),
        pytest.param(lambda one: one.requests.popitem(), id="requests"),
        pytest.param(lambda one: setattr(one, "next_request", 9), id="the number of the next request"),
        pytest.param(lambda one: setattr(one.periods[2025], "deadline", None), id="the deadline"),
        pytest.param(lambda one: one.periods[2025].obligors.popitem(), id="an obligation"),
        pytest.param(lambda one: changed(next(iter(one.periods[2025].obligors.values())).surrendered, 1, 1), id="paid"),
        pytest.param(lambda one: setattr(next(iter(one.periods[2025].obligors.values())), "fine", 1), id="a fine"),
    ],
)
def test_two_markets_that_differ_in_compliance_differ_in_their_digest(change):
    cycle = window()
    cycle.offer("plant", 2025, HBEA_2025=1)
    digest = cycle.digest()

    change(cycle.exchange.compliance)
    assert cycle.digest() != digest


def test_the_order_in_which_figures_came_is_not_in_the_digest():
    digests = set()
    for years in ((2023, 2024), (2024, 2023)):
        cycle = Cycle(plant=enterprise)
        for year in years:
            cycle.record("plant", year)
        digests.add(cycle.digest())
    assert len(digests) == 1


def restated(cycle, tonnes):
    """The plant's report of 2025 is restated and verified anew."""
    cycle.must(RestateReport(PROVINCE, "plant", 2025, "a scale was wrong"))
    cycle.must(FileReport("plant", 2025, (SourceStream("boiler", str(tonnes), "t", FUEL),)))
    cycle.must(SubmitReport("plant", 2025))
    cycle.must(VerifyReport(INSPECTOR, "plant", 2025, Verdict.CONFIRM))


def test_a_restated_figure_changes_what_is_due_until_the_year_is_closed():
    cycle = Cycle(plant=enterprise)
    cycle.run_to_window(2025, plant=(200, 100))
    obligor = cycle.exchange.compliance.obligor(2025, cycle.number("plant"))
    allocated = obligor.allocated

    restated(cycle, 150)
    assert (obligor.due, obligor.missing, obligor.allocated) == (150, 150, allocated)
    cycle.pay("plant", 2025)
    restated(cycle, 120)  # what was surrendered is not given back
    assert (obligor.due, obligor.missing) == (150, 0)
    restated(cycle, 160)
    assert (obligor.due, obligor.missing) == (160, 10)
    cycle.pay("plant", 2025)
    cycle.close_window(2025)
    restated(cycle, 400)
    assert (obligor.due, obligor.outcome) == (160, Outcome.COMPLIED)
