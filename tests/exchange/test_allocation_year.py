"""A compliance year up to its final allocation. Each number is worked out beside it."""

from datetime import date

import msgspec
import pytest

from exchange.commands import (
    CancelUnits,
    ChangeAccountStatus,
    CloseSurrender,
    DecideCoverage,
    DetermineAllocation,
    GiveUnits,
    IssueUnits,
    LapseUnits,
    OpenReporting,
    OpenSurrender,
    PayFine,
    PreAllocate,
    ReleaseParked,
    SetBasis,
    TransferUnits,
)
from registry.accounts import AccountStatus
from registry.allocation import Benchmark, Historical
from registry.compliance import NEXT_STAGE, Stage
from registry.rules import DatedShare
from registry.serials import Origin
from tests.exchange.cycle import HUBEI, NATIONAL, PROVINCE, Cycle, enterprise, replayed, verify
from tests.exchange.market import HBEA, nothing

SOLD = msgspec.structs.replace(
    HUBEI, allocation=msgspec.structs.replace(HUBEI.allocation, paid=[DatedShare(2014, "0.025")])
)


def freeze(name, status=AccountStatus.FROZEN):
    return ChangeAccountStatus(PROVINCE, name, status, "court")


# ---------------------------------------------------------------- the stages

STEPS = {
    Stage.OPEN: lambda cycle: cycle.cover(2025, plant=100),
    Stage.PRE_ALLOCATED: lambda cycle: cycle.pre_allocate(2025),
    Stage.DETERMINED: lambda cycle: cycle.determine(2025, plant=100),
    Stage.SURRENDERING: lambda cycle: cycle.open_window(2025),
    Stage.CLOSED: lambda cycle: (cycle.pay("plant", 2025), cycle.close_window(2025)),
}
COMMANDS = {
    Stage.PRE_ALLOCATED: PreAllocate(PROVINCE, 2025),
    Stage.DETERMINED: DetermineAllocation(PROVINCE, 2025),
    Stage.SURRENDERING: OpenSurrender(PROVINCE, 2025, date(2026, 12, 31)),
    Stage.CLOSED: CloseSurrender(PROVINCE, 2025),
}


@pytest.mark.parametrize("stage", Stage)
def test_every_stage_is_reached_and_no_step_is_skipped_or_taken_twice(stage):
    cycle = Cycle(plant=enterprise)
    verify(cycle, "plant", 2025, 100)
    for reached, step in STEPS.items():
        step(cycle)
        assert cycle.exchange.compliance.periods[2025].stage == reached
        if reached == stage:
            break
    digest = cycle.digest()

    for target, command in COMMANDS.items():
        if target != NEXT_STAGE.get(stage):
            assert cycle.ask(command) == "refused: wrong_state", target
    assert cycle.digest() == digest


# ---------------------------------------------------------------- coverage


def test_coverage_decided_again_keeps_the_bases_and_what_they_come_to():
    cycle = Cycle(plant=enterprise, mill=enterprise)
    cycle.cover(2025, plant=1_000)
    cycle.record("mill", 2024, emissions=13_000)  # on the threshold
    cycle.must(DecideCoverage(PROVINCE, 2025))

    assert cycle.event.decisions[cycle.number("mill")].why == "above_threshold"
    cycle.set_basis("mill", 2025, 500)
    cycle.pre_allocate(2025)
    assert (cycle.registry("plant"), cycle.registry("mill")) == (700, 350)  # 70 %


def test_who_was_covered_leaves_after_two_years_below_even_if_a_year_was_never_opened():
    cycle = Cycle(plant=enterprise)
    cycle.cover(2024, plant=100)
    for year in (2024, 2025):
        cycle.record("plant", year, emissions=12_999)
    cycle.open_period(2026)  # 2025 is left out
    cycle.must(DecideCoverage(PROVINCE, 2026))
    assert cycle.event.decisions[cycle.number("plant")].why == "below_too_long"
    assert cycle.ask(SetBasis(PROVINCE, "plant", 2026, [Historical(1, "1")])) == "refused: not_covered"


def test_a_year_that_was_opened_and_not_decided_does_not_let_anybody_go():
    cycle = Cycle(plant=enterprise)
    cycle.cover(2024, plant=100)
    cycle.open_period(2025)
    cycle.open_period(2026)
    cycle.record("plant", 2025, emissions=1)
    cycle.must(DecideCoverage(PROVINCE, 2026))

    assert cycle.event.decisions[cycle.number("plant")].why == "below_still_covered"


# ---------------------------------------------------------------- the first part


def test_the_first_part_is_a_share_of_the_initial_allocation_and_reserve_and_paid_part_go_to_the_authority():
    cycle = Cycle(SOLD, plant=enterprise, mill=enterprise)
    cycle.cover(2025, cap=10_000, plant=1_001, mill=3_000)
    cycle.pre_allocate(2025)

    # 8 % of 10,000 = 800; paid: 1001 - floor(975.975) = 26 and 3000 - 2925 = 75
    # free: floor(0.7 x 1001) = 700, floor(0.975 x 700) = 682; floor(0.975 x 2100) = 2047
    assert (cycle.event.reserve, cycle.event.paid) == (800, 101)
    assert (cycle.registry("plant"), cycle.registry("mill")) == (682, 2047)
    assert cycle.origins(PROVINCE) == {"reserve": 800, "auction": 101}
    assert cycle.origins("plant") == {"free": 682}


def test_several_bases_add_up_each_floored():
    cycle = Cycle(plant=enterprise)
    cycle.cover(2025, plant=1)
    cycle.must(SetBasis(PROVINCE, "plant", 2025, [Historical(1_001, "0.99"), Benchmark("0.79", "101")]))
    assert cycle.event.initial == 990 + 79  # 990.99, 79.79


def test_the_next_years_first_part_is_a_share_of_the_last_allocation():
    cycle = Cycle(plant=enterprise)
    cycle.run_to_window(2025, plant=(1_000, 900))
    cycle.cover(2026, plant=5_000)
    cycle.pre_allocate(2026)
    (part,) = cycle.event.allocations
    assert (part.initial, part.of, part.issued) == (5_000, 1_000, 700)


def test_what_is_owed_back_was_not_allocated():
    cycle = Cycle(plant=enterprise, shop=nothing)
    cycle.cover(2025, plant=1_000)
    cycle.pre_allocate(2025)  # 700
    cycle.must(GiveUnits(PROVINCE, "plant", "shop", HBEA, 600, "merger"))
    cycle.set_basis("plant", 2025, 400)
    cycle.determine(2025, plant=390)  # 300 too much, 100 still there
    (final,) = cycle.event.allocations
    assert (final.final, final.true_up, final.taken_back, final.owed_back) == (400, -300, 100, 200)
    assert cycle.obligor("plant").due == 390 + 200
    cycle.cover(2026, plant=5_000)
    cycle.pre_allocate(2026)
    assert cycle.event.allocations[0].of == 400


def test_while_the_last_year_is_not_determined_the_initial_allocation_counts():
    cycle = Cycle(plant=enterprise)
    cycle.cover(2025, plant=1_000)
    cycle.pre_allocate(2025)
    cycle.cover(2026, plant=2_000)
    cycle.pre_allocate(2026)
    assert cycle.event.allocations[0].of == 2_000


def test_the_national_first_part_is_half_of_last_years_emissions():
    cycle = Cycle(NATIONAL, plant=enterprise)
    cycle.open_period(2025)
    cycle.record("plant", 2024, emissions=30_000)
    cycle.must(DecideCoverage(PROVINCE, 2025))
    cycle.set_basis("plant", 2025, 1_000)
    cycle.pre_allocate(2025)
    assert cycle.event.allocations[0].issued == 500  # of the initial one: there is no last year
    cycle.determine(2025, plant=901)
    cycle.open_period(2026)
    cycle.must(DecideCoverage(PROVINCE, 2026))
    cycle.set_basis("plant", 2026, 1_000)
    cycle.pre_allocate(2026)
    assert (cycle.event.allocations[0].of, cycle.event.allocations[0].issued) == (901, 450)


# ---------------------------------------------------------------- the final allocation


def test_too_little_is_topped_up_and_too_much_taken_back():
    cycle = Cycle(plant=enterprise, mill=enterprise)
    cycle.cover(2025, plant=1_000, mill=1_000)
    cycle.pre_allocate(2025)  # 700 each
    cycle.set_basis("mill", 2025, 600)
    cycle.determine(2025, plant=1_200, mill=650)

    plant, mill = cycle.event.allocations
    assert (plant.true_up, plant.serials) == (300, [(1401, 1700)])
    assert (mill.true_up, mill.taken_back, mill.serials) == (-100, 100, [(701, 800)])
    assert (cycle.registry("plant"), cycle.registry("mill")) == (1_000, 600)
    assert replayed(cycle).digest() == cycle.digest()


def test_double_twenty_tops_up_and_claws_back_beyond_a_fifth():
    cycle = Cycle(day="2015-05-04", plant=enterprise, mill=enterprise)
    cycle.open_period(2014)
    for name in ("plant", "mill"):
        cycle.record(name, 2011, energy_tce=60_000)
    cycle.must(DecideCoverage(PROVINCE, 2014))
    for name in ("plant", "mill"):
        cycle.set_basis(name, 2014, 1_000)
    cycle.pre_allocate(2014)  # no share in 2014: nothing
    assert (cycle.registry("plant", 2014), cycle.registry("mill", 2014)) == (0, 0)
    cycle.determine(2014, plant=1_300, mill=700)
    # gap 300 - 200 = 100 more; gap -300 + 200 = 100 less
    assert (cycle.registry("plant", 2014), cycle.registry("mill", 2014)) == (1_100, 900)


def test_nationally_a_shortage_is_a_fifth_of_emissions_at_most():
    cycle = Cycle(NATIONAL, plant=enterprise)
    cycle.open_period(2025)
    cycle.record("plant", 2024, emissions=30_000)
    cycle.must(DecideCoverage(PROVINCE, 2025))
    cycle.set_basis("plant", 2025, 1_000)
    cycle.pre_allocate(2025)
    cycle.determine(2025, plant=2_001)
    assert cycle.event.allocations[0].final == 1_600  # floor(0.8 x 2001)


def test_allocations_are_fitted_into_what_the_cap_leaves():
    cycle = Cycle(plant=enterprise, mill=enterprise)
    cycle.cover(2025, cap=1_000, plant=600, mill=900)
    cycle.pre_allocate(2025)
    cycle.determine(2025, plant=600, mill=900)
    # room 1000 - 80 = 920 for 1500: floor(600 x 920 / 1500) = 368, floor(900 x 920 / 1500) = 552
    assert (cycle.event.room, cycle.event.wanted) == (920, 1_500)
    assert [one.final for one in cycle.event.allocations] == [368, 552]
    assert (cycle.registry("plant"), cycle.registry("mill")) == (368, 552)


# ---------------------------------------------------------------- deductions


def short_by_100(rules=HUBEI):
    """The plant was 100 t short in 2025: 200 t come off its next allocation; its fine is paid."""
    cycle = Cycle(rules, plant=enterprise)
    cycle.run_to_window(2025, plant=(1_000, 1_100))
    cycle.pay("plant", 2025)
    cycle.close_window(2025)
    cycle.deposit("plant", "1000000.00")
    cycle.must(PayFine("plant", 2025))
    return cycle


def test_an_earlier_shortfall_comes_off_the_first_part():
    cycle = short_by_100()
    cycle.cover(2026, plant=1_000)
    cycle.pre_allocate(2026)
    (part,) = cycle.event.allocations
    assert (part.free, part.deducted, part.issued) == (700, 200, 500)
    assert cycle.exchange.compliance.deductions == {}
    cycle.determine(2026, plant=1_000)
    assert cycle.registry("plant", 2026) == 800
    assert cycle.obligor("plant", 2026).deducted == 200


def test_what_the_first_part_can_not_bear_comes_off_the_rest():
    cycle = short_by_100()
    cycle.cover(2026, plant=1)
    cycle.set_basis("plant", 2026, 260)
    cycle.pre_allocate(2026)  # 700 of last year's 1,000, less 200
    cycle.determine(2026, plant=10)
    # 260 - 200 = 60 are due to it; 440 of 500 are taken back
    assert cycle.event.allocations[0].true_up == -440
    assert cycle.registry("plant", 2026) == 60


def test_a_deduction_that_the_final_allocation_can_not_bear_stays_for_the_year_after():
    cycle = short_by_100()
    cycle.cover(2026, plant=50)
    cycle.pre_allocate(2026)  # 700 less 200
    cycle.determine(2026, plant=10)
    # of the 200 only 50 can be deducted; 150 stay
    assert (cycle.obligor("plant", 2026).deducted, cycle.registry("plant", 2026)) == (50, 0)
    assert cycle.exchange.compliance.deductions == {cycle.number("plant"): 150}


# ---------------------------------------------------------------- parked


def parked():
    """700 t are parked for the plant, between a reserve of 800 t and another 50 t of the authority's own."""
    cycle = Cycle(plant=enterprise)
    cycle.cover(2025, cap=10_000, plant=1_000)
    cycle.must(freeze("plant"))
    cycle.pre_allocate(2025)
    return cycle


def test_the_allocation_of_a_frozen_enterprise_waits_with_the_authority_until_it_is_active_again():
    cycle = parked()
    assert (cycle.registry("plant"), cycle.registry(PROVINCE)) == (0, 1_500)
    assert cycle.ask(ReleaseParked(PROVINCE, "plant", 2025)) == "refused: wrong_state"
    cycle.must(freeze("plant", AccountStatus.ACTIVE))
    cycle.must(ReleaseParked(PROVINCE, "plant", 2025))

    assert cycle.event.quantity == 700
    assert cycle.origins("plant") == {"free": 700}  # and not the reserve's
    assert cycle.origins(PROVINCE) == {"reserve": 800}


def test_what_is_parked_is_not_the_authoritys_to_move():
    cycle = parked()
    for command in (
        TransferUnits(PROVINCE, HBEA, 801, True),
        GiveUnits(PROVINCE, PROVINCE, "plant", HBEA, 801, "correction"),
        CancelUnits(PROVINCE, PROVINCE, HBEA, 801, "error"),
    ):
        assert cycle.ask(command) == "refused: insufficient_units"
    cycle.must(CancelUnits(PROVINCE, PROVINCE, HBEA, 800, "error"))


def test_parked_units_are_there_even_if_the_authority_gave_away_the_oldest_of_that_origin():
    cycle = Cycle(plant=enterprise, shop=nothing)
    cycle.cover(2025, plant=100)
    cycle.must(freeze("plant"))
    cycle.pre_allocate(2025)  # 70 parked, no reserve
    cycle.must(IssueUnits(PROVINCE, HBEA, 30, Origin.RESERVE))
    cycle.must(GiveUnits(PROVINCE, PROVINCE, "shop", HBEA, 30, "correction"))  # numbers 1 to 30, free ones
    cycle.must(freeze("plant", AccountStatus.ACTIVE))
    cycle.must(ReleaseParked(PROVINCE, "plant", 2025))
    assert cycle.origins("plant") == {"free": 40, "reserve": 30}


def test_what_is_parked_does_not_lapse_with_the_reserve():
    cycle = Cycle(plant=enterprise, shop=nothing)
    cycle.cover(2025, plant=100)
    cycle.must(freeze("plant"))
    cycle.pre_allocate(2025)
    cycle.determine(2025, plant=0)  # 100 parked, no reserve
    cycle.must(IssueUnits(PROVINCE, HBEA, 30, Origin.RESERVE))
    cycle.must(GiveUnits(PROVINCE, PROVINCE, "shop", HBEA, 30, "correction"))  # free ones
    cycle.open_window(2025)
    cycle.must(CloseSurrender(PROVINCE, 2025))
    cycle.must(LapseUnits(PROVINCE, 2025))

    assert cycle.exchange.compliance.obligor(2025, cycle.number("plant")).parked == 30
    assert cycle.registry(PROVINCE) == 30
    cycle.must(freeze("plant", AccountStatus.ACTIVE))
    cycle.must(ReleaseParked(PROVINCE, "plant", 2025))
    assert cycle.origins("plant") == {"reserve": 30}


def test_too_much_is_taken_back_from_what_is_parked():
    cycle = parked()
    cycle.set_basis("plant", 2025, 500)
    cycle.determine(2025, plant=500)
    assert cycle.event.allocations[0].taken_back == 200
    assert cycle.obligor("plant").parked == 500
    assert cycle.registry(PROVINCE) == 800 + 500


def test_who_is_merely_restricted_gets_its_allocation():
    cycle = Cycle(plant=enterprise)
    cycle.cover(2025, plant=1_000)
    cycle.must(freeze("plant", AccountStatus.RESTRICTED))
    cycle.pre_allocate(2025)
    assert cycle.registry("plant") == 700


def test_by_hand_no_more_is_issued_than_the_cap_of_the_year():
    cycle = Cycle(plant=enterprise)
    cycle.open_period(2025, cap=1_000)
    assert cycle.ask(IssueUnits("plant", HBEA, 1_001, Origin.FREE)) == "refused: amount_too_large"
    cycle.must(IssueUnits("plant", HBEA, 1_000, Origin.FREE))
    assert cycle.ask(IssueUnits("plant", HBEA, 1, Origin.FREE)) == "refused: amount_too_large"


def test_reports_are_due_from_those_who_are_covered_and_from_nobody_else():
    cycle = Cycle(plant=enterprise, mill=enterprise)
    cycle.open_period(2025)
    cycle.record("plant", 2024)
    cycle.record("mill", 2024, emissions=12_999)
    cycle.must(DecideCoverage(PROVINCE, 2025))
    cycle.must(OpenReporting(PROVINCE, 2025, date(2026, 3, 31)))
    assert cycle.event.accounts == [cycle.number("plant")]
