"""Every refusal of accounts, units, locks, allocation and compliance: each by itself, and which of two is named.

A case is a command that would be taken, in a scene of the year, and the ways to spoil it: other fields, or another
scene (`at`). A refused command changes nothing, so all tests of a scene share one market.
"""

from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import combinations

import msgspec
import pytest

from exchange.commands import (
    CancelUnits,
    CarryOverUnits,
    ChangeAccountStatus,
    CloseSurrender,
    ConfirmSurrender,
    Control,
    DecideCoverage,
    DetermineAllocation,
    EnforceLock,
    ForceSurrender,
    GiveUnits,
    IssueUnits,
    LapseUnits,
    LockUnits,
    OpenAccount,
    OpenPeriod,
    OpenSurrender,
    PayFine,
    PreAllocate,
    RecordActivity,
    RegisterUnit,
    RejectSurrender,
    ReleaseParked,
    ReleaseUnits,
    RemindObligors,
    RequestSurrender,
    RetireUnits,
    SetBasis,
    TransferUnits,
    control,
)
from exchange.commands.allocation import AllocationCommand
from exchange.commands.compliance import ComplianceCommand
from exchange.commands.registry import RegistryCommand
from exchange.reasons import Reason
from exchange.state import UNITS_MAX
from registry.accounts import AccountStatus, ParticipantClass
from registry.allocation import Benchmark, Historical, Industry
from registry.coverage import Activity
from registry.locks import LockKind
from registry.rules import DatedShare
from registry.serials import Origin
from registry.units import Species
from tests.exchange.cycle import HUBEI, NATIONAL, PROVINCE, Cycle, authority, enterprise, verify
from tests.exchange.market import HBEA, cash, nothing, verifier

SOLD = msgspec.structs.replace(
    HUBEI, allocation=msgspec.structs.replace(HUBEI.allocation, paid=[DatedShare(2014, "0.1")])
)
TODAY, DEADLINE, AFTER = date(2026, 1, 5), date(2026, 1, 6), "2026-01-07"
BASE = Historical(20_000, "1")
R = Reason


# ---------------------------------------------------------------- scenes of a year


def listed(rules=SOLD):
    """Accounts of all kinds; units on the registry side of the trader: 100 HBEA-2025, 60 CCER, 10 of hydropower."""
    cycle = Cycle(
        rules,
        plant=enterprise, mill=enterprise, trader=cash("1000.00"), shop=nothing, vera=verifier,
        regent=authority,
    )  # fmt: skip
    cycle.must(OpenAccount("waiting", "", ParticipantClass.COVERED_ENTERPRISE, approved=False))
    cycle.must(OpenAccount("gone", "", ParticipantClass.INSTITUTION))
    cycle.must(ChangeAccountStatus(PROVINCE, "gone", AccountStatus.CLOSED, "merged"))
    cycle.register_credit("CCER")
    cycle.register_credit("HYDRO", kind="large_hydro", scheme="VCS")
    cycle.must(IssueUnits("trader", HBEA, 100, Origin.FREE))
    cycle.give_credits("trader", "CCER", 60)
    cycle.give_credits("trader", "HYDRO", 10)
    return cycle


def locked():
    """Lock 1: 50 t in favour of the shop; lock 2: 10 t in nobody's; lock 3: 5 t in favour of a verifier."""
    cycle = listed()
    for tonnes, favoured in ((50, "shop"), (10, ""), (5, "vera")):
        cycle.must(LockUnits(PROVINCE, "trader", HBEA, tonnes, LockKind.PLEDGED, "loan 7", favoured))
    return cycle


def opened(rules=SOLD, cap=1_000_000):
    """2025 is open under a cap, 2026 too; figures of the plant and the mill are known."""
    cycle = listed(rules)
    cycle.open_period(2025, cap)
    cycle.open_period(2026)
    cycle.record("plant", 2024, emissions=30_000)
    cycle.record("mill", 2024, emissions=100)
    return cycle


def decided(rules=SOLD, cap=1_000_000):
    """The plant is covered, the mill is not."""
    cycle = opened(rules, cap)
    cycle.must(DecideCoverage(PROVINCE, 2025))
    return cycle


def with_basis(rules=SOLD, cap=1_000_000, initial=20_000):
    cycle = decided(rules, cap)
    cycle.set_basis("plant", 2025, initial)
    return cycle


def nearly_numbered_out(cycle):
    """All but a few numbers of the year's allowances are given."""
    issued = cycle.exchange.units.by_code[HBEA].issued
    period = cycle.exchange.compliance.periods[2025]
    cap, period.cap = period.cap, 0  # by hand no more than the cap is issued
    cycle.must(IssueUnits("shop", HBEA, UNITS_MAX - issued - 10, Origin.FREE))
    period.cap = cap
    return cycle


def pre_allocated(rules=SOLD):
    cycle = with_basis(rules)
    cycle.pre_allocate(2025)
    return cycle


def verified():
    cycle = pre_allocated()
    verify(cycle, "plant", 2025, 21_000)
    return cycle


def determined(rules=SOLD):
    """The plant has 18,000 of the 20,000 t, and emitted 21,000 t."""
    cycle = pre_allocated(rules)
    cycle.determine(2025, plant=21_000)
    return cycle


def surrendering(rules=SOLD):
    cycle = determined(rules)
    cycle.open_window(2025, str(DEADLINE))
    return cycle


def requested():
    """Request 1: 100 t of the plant."""
    cycle = surrendering()
    cycle.offer("plant", 2025, HBEA_2025=100)
    return cycle


def nothing_due():
    cycle = surrendering()
    cycle.give("shop", HBEA, 3_000)
    cycle.must(TransferUnits("shop", HBEA, 3_000, to_trading=False))
    cycle.pay("plant", 2025)
    cycle.pay("shop", 2025, on_behalf_of="plant")
    return cycle


def without_units():
    cycle = surrendering()
    cycle.must(GiveUnits(PROVINCE, "plant", "shop", HBEA, 18_000, "merger"))
    return cycle


def too_late():
    cycle = surrendering()
    cycle.next_day(AFTER)
    return cycle


def closed(rules=SOLD):
    """The plant was 3,000 t short and owes a fine."""
    cycle = surrendering(rules)
    cycle.deposit("plant", "1000000.00")
    cycle.pay("plant", 2025)
    cycle.close_window(2025)
    return cycle


def closed_and_poor():
    cycle = closed()
    cycle.withdraw("plant", "1000000.00")
    return cycle


def fine_paid():
    cycle = closed()
    cycle.must(PayFine("plant", 2025))
    return cycle


def frozen(then=lambda cycle: cycle):
    """The plant's allowances are parked."""
    cycle = with_basis()
    cycle.must(ChangeAccountStatus(PROVINCE, "plant", AccountStatus.FROZEN, "court"))
    cycle.pre_allocate(2025)
    return then(cycle)


def thawed():
    cycle = frozen()
    cycle.must(ChangeAccountStatus(PROVINCE, "plant", AccountStatus.ACTIVE, "court"))
    return cycle


def nationally_closed():
    return closed(NATIONAL)


def nationally_settled():
    """By the national rules, and everything has been paid for."""
    cycle = surrendering(NATIONAL)
    cycle.give("shop", HBEA, 30_000)
    cycle.must(TransferUnits("shop", HBEA, 30_000, to_trading=False))
    cycle.pay("plant", 2025)
    if cycle.obligor("plant").missing:
        cycle.pay("shop", 2025, on_behalf_of="plant")
    cycle.close_window(2025)
    return cycle


def numbered_out_next_year():
    cycle = nationally_settled()
    cycle.must(IssueUnits("shop", "HBEA-2026", UNITS_MAX - 10, Origin.FREE))
    return cycle


def cared_for_by_regent():
    """Another authority cares for the year 2027."""
    cycle = determined()
    cycle.must(OpenPeriod("regent", 2027, 0))
    return cycle


def with_a_credit_of_that_code():
    cycle = opened()
    cycle.must(RegisterUnit(PROVINCE, "HBEA-2027", Species.CREDIT, 2027))
    return cycle


@cache
def scene(at):
    return at()


# ---------------------------------------------------------------- the table


@dataclass
class Case:
    """A good command in a scene, and its faults in the order of the enum."""

    good: Control
    at: object
    faults: list[tuple[Reason, dict]]


BY = [(R.UNKNOWN_ACCOUNT, {"by": "zoe"}), (R.NOT_PERMITTED, {"by": "trader"})]
NOBODY_SUCH = (R.UNKNOWN_ACCOUNT, {"account_id": "zoe"})
NO_SUCH_UNIT = (R.UNKNOWN_UNIT, {"unit": "HBEA-1999"})
NO_SUCH_YEAR = (R.UNKNOWN_PERIOD, {"year": 1999})
NOTHING = [(R.QUANTITY_NOT_POSITIVE, {"quantity": 0}), (R.QUANTITY_NOT_POSITIVE, {"quantity": -(10**30)})]
TOO_MUCH = [(R.INSUFFICIENT_UNITS, {"quantity": 101}), (R.INSUFFICIENT_UNITS, {"quantity": 10**30})]
SCHEMELESS = {"units": {"HYDRO": 1}}

CASES = [
    # accounts and units
    Case(
        OpenAccount("new", "New", ParticipantClass.INSTITUTION), listed, [(R.ACCOUNT_EXISTS, {"account_id": "plant"})]
    ),
    Case(
        ChangeAccountStatus(PROVINCE, "mill", AccountStatus.CLOSED, "sold"),
        determined,
        [
            *BY,
            NOBODY_SUCH,
            (R.NOT_PERMITTED, {"account_id": "EXCHANGE"}),
            (R.WRONG_STATE, {"account_id": "gone"}),
            (R.WRONG_STATE, {"status": AccountStatus.PENDING}),
            (R.ACCOUNT_NOT_EMPTY, {"account_id": "trader"}),  # units and cash
            (R.ACCOUNT_NOT_EMPTY, {"account_id": "plant", "at": without_units}),  # owes emissions
            (R.ACCOUNT_NOT_EMPTY, {"account_id": "regent", "at": cared_for_by_regent}),
            (R.ACCOUNT_NOT_EMPTY, {"account_id": "vera", "at": locked}),  # a lock in its favour
        ],
    ),
    Case(
        RegisterUnit(PROVINCE, "NEW", Species.CREDIT, 2025),
        listed,
        [*BY, (R.INSTRUMENT_EXISTS, {"code": "CCER"})],
    ),
    Case(
        IssueUnits("trader", HBEA, 1, Origin.FREE),
        listed,
        [
            NOBODY_SUCH,
            *((R.NOT_PERMITTED, {"account_id": name}) for name in ("vera", "waiting", "gone")),
            NO_SUCH_UNIT,
            *((R.NOT_ELIGIBLE, {"origin": origin}) for origin in (Origin.CREDIT, Origin.CARRIED)),
            *NOTHING,
            (R.AMOUNT_TOO_LARGE, {"quantity": UNITS_MAX}),
            (R.AMOUNT_TOO_LARGE, {"quantity": 10**30}),
        ],
    ),
    Case(
        TransferUnits("trader", HBEA, 100, to_trading=True),
        listed,
        [
            NOBODY_SUCH,
            (R.NOT_PERMITTED, {"account_id": "waiting"}),
            NO_SUCH_UNIT,
            *NOTHING,
            *TOO_MUCH,
            (R.INSUFFICIENT_UNITS, {"to_trading": False}),
        ],
    ),
    Case(
        GiveUnits(PROVINCE, "trader", "shop", HBEA, 100, "merger"),
        listed,
        [
            *BY,
            (R.UNKNOWN_ACCOUNT, {"giver": "zoe"}),
            (R.UNKNOWN_ACCOUNT, {"taker": "zoe"}),
            (R.NOT_PERMITTED, {"taker": "vera"}),
            (R.NOT_PERMITTED, {"taker": "trader"}),
            NO_SUCH_UNIT,
            *NOTHING,
            *TOO_MUCH,
        ],
    ),
    Case(
        RetireUnits("trader", HBEA, 100, "a fair"),
        listed,
        [NOBODY_SUCH, (R.NOT_PERMITTED, {"account_id": PROVINCE}), NO_SUCH_UNIT, *NOTHING, *TOO_MUCH],
    ),
    Case(
        CancelUnits(PROVINCE, "trader", HBEA, 100, "an error"),
        listed,
        [*BY, NOBODY_SUCH, NO_SUCH_UNIT, *NOTHING, *TOO_MUCH],
    ),
    # locks
    Case(
        LockUnits(PROVINCE, "trader", HBEA, 100, LockKind.JUDICIAL, "file 3", "shop"),
        listed,
        [
            *BY,
            NOBODY_SUCH,
            (R.UNKNOWN_ACCOUNT, {"in_favour_of": "zoe"}),
            (R.NOT_PERMITTED, {"in_favour_of": "gone"}),
            NO_SUCH_UNIT,
            *NOTHING,
            *TOO_MUCH,
        ],
    ),
    Case(
        ReleaseUnits(PROVINCE, 1, 50),
        locked,
        [*BY, (R.UNKNOWN_LOCK, {"lock_id": 9}), *NOTHING, (R.INSUFFICIENT_UNITS, {"quantity": 51})],
    ),
    Case(
        EnforceLock(PROVINCE, 1, 50),
        locked,
        [
            *BY,
            (R.NOT_PERMITTED, {"lock_id": 3}),
            (R.UNKNOWN_LOCK, {"lock_id": 9}),
            (R.WRONG_STATE, {"lock_id": 2}),
            *NOTHING,
            (R.INSUFFICIENT_UNITS, {"quantity": 51}),
        ],
    ),
    # allocation
    Case(
        OpenPeriod(PROVINCE, 2027, 1_000_000),
        opened,
        [
            *BY,
            (R.PERIOD_EXISTS, {"year": 2025}),
            (R.INVALID_DATE, {"year": 1989}),
            (R.INVALID_DATE, {"year": 2201}),
            (R.INVALID_NUMBER, {"cap": -1}),
            (R.INVALID_NUMBER, {"cap": 10**30}),
            *(
                (R.INVALID_NUMBER, {"market_factor": text})
                for text in ("much", "0", "-1", "2.1", "NaN", "Infinity", "1e-999999999", "1_0", "")
            ),
            (R.NOT_ELIGIBLE, {"at": with_a_credit_of_that_code}),
        ],
    ),
    Case(
        RecordActivity(PROVINCE, "plant", Activity(2024, 20_000)),
        opened,
        [
            *BY,
            NOBODY_SUCH,
            *((R.NOT_PERMITTED, {"account_id": name}) for name in ("trader", "waiting", "gone", PROVINCE)),
        ],
    ),
    Case(DecideCoverage(PROVINCE, 2025), opened, [*BY, NO_SUCH_YEAR, (R.WRONG_STATE, {"at": pre_allocated})]),
    Case(
        SetBasis(PROVINCE, "plant", 2025, [BASE]),
        decided,
        [
            *BY,
            NOBODY_SUCH,
            NO_SUCH_YEAR,
            (R.WRONG_STATE, {"at": determined}),
            (R.INVALID_NUMBER, {"bases": [Historical(1, "1", 366)]}),  # 2025 has 365 days
            (R.INVALID_NUMBER, {"bases": [Industry(1, "1", "1")]}),  # no such rule in Hubei
            (R.INVALID_NUMBER, {"bases": [Benchmark("coal heat", "1")]}),  # which publishes none
            (R.NOT_COVERED, {"account_id": "mill"}),
            (R.NOT_COVERED, {"account_id": "trader"}),
            (R.NO_BASIS, {"bases": []}),
            (R.AMOUNT_TOO_LARGE, {"bases": [Historical(UNITS_MAX, "1"), Historical(1, "1")]}),
            (R.AMOUNT_TOO_LARGE, {"bases": [Historical(10**30, "1")]}),
        ],
    ),
    Case(
        PreAllocate(PROVINCE, 2025),
        with_basis,
        [
            *BY,
            NO_SUCH_YEAR,
            (R.WRONG_STATE, {"at": pre_allocated}),
            (R.NOT_COVERED, {"at": opened}),
            (R.NO_BASIS, {"at": decided}),
            (R.AMOUNT_TOO_LARGE, {"at": lambda: with_basis(cap=2_000)}),  # 160 + 2,000 t
            (R.AMOUNT_TOO_LARGE, {"at": lambda: nearly_numbered_out(with_basis())}),
        ],
    ),
    Case(
        DetermineAllocation(PROVINCE, 2025),
        verified,
        [
            *BY,
            NO_SUCH_YEAR,
            (R.UNKNOWN_REPORT, {"at": pre_allocated}),
            (R.UNKNOWN_REPORT, {"at": decided}),
            (R.WRONG_STATE, {"at": determined}),
            (R.AMOUNT_TOO_LARGE, {"at": lambda: nearly_numbered_out(verified())}),
        ],
    ),
    # surrender
    Case(
        OpenSurrender(PROVINCE, 2025, DEADLINE),
        determined,
        [
            *BY,
            NO_SUCH_YEAR,
            (R.WRONG_STATE, {"at": pre_allocated}),
            (R.WRONG_STATE, {"at": surrendering}),
            (R.INVALID_DATE, {"deadline": date(2026, 1, 4)}),
            (R.INVALID_DATE, {"deadline": date.min}),
        ],
    ),
    Case(RemindObligors(PROVINCE, 2025), surrendering, [*BY, NO_SUCH_YEAR, (R.WRONG_STATE, {"at": determined})]),
    Case(
        RequestSurrender("trader", 2025, {HBEA: 10, "CCER": 10}, "plant"),
        surrendering,
        [
            NOBODY_SUCH,
            (R.UNKNOWN_ACCOUNT, {"on_behalf_of": "zoe"}),
            (R.NOT_PERMITTED, {"account_id": PROVINCE}),
            (R.UNKNOWN_UNIT, {"units": {"HBEA-1999": 1}}),
            NO_SUCH_YEAR,
            (R.WRONG_STATE, {"at": determined}),
            (R.TOO_LATE, {"at": too_late}),
            (R.NOT_COVERED, {"on_behalf_of": "mill"}),
            (R.NOT_COVERED, {"on_behalf_of": ""}),
            (R.NOT_ELIGIBLE, {"units": {"HYDRO": 1}}),
            (R.NOT_ELIGIBLE, {"units": {"HBEA-2026": 1}}),
            (R.QUANTITY_NOT_POSITIVE, {"units": {HBEA: 0}}),
            (R.QUANTITY_NOT_POSITIVE, {"units": {HBEA: 5, "CCER": -(10**30)}}),
            (R.OFFSET_LIMIT, {"units": {"CCER": 2_001}}),  # a tenth of 20,000 t
            (R.OFFSET_LIMIT, {"units": {"CCER": 10**30}}),
            (R.ABOVE_OBLIGATION, {"units": {HBEA: 21_001}}),
            (R.ABOVE_OBLIGATION, {"units": {HBEA: 10**30}}),
            (R.ABOVE_OBLIGATION, {"units": {}, "at": nothing_due}),
            (R.INSUFFICIENT_UNITS, {"units": {HBEA: 101}}),
            (R.INSUFFICIENT_UNITS, {"units": {}, "account_id": "shop"}),
        ],
    ),
    Case(ConfirmSurrender(PROVINCE, 1), requested, [*BY, (R.UNKNOWN_SURRENDER, {"request_id": 2})]),
    Case(RejectSurrender(PROVINCE, 1, "papers"), requested, [*BY, (R.UNKNOWN_SURRENDER, {"request_id": 2})]),
    Case(
        ForceSurrender(PROVINCE, "plant", 2025),
        surrendering,
        [
            *BY,
            NOBODY_SUCH,
            NO_SUCH_YEAR,
            (R.WRONG_STATE, {"at": determined}),
            (R.WRONG_STATE, {"at": requested}),
            (R.NOT_COVERED, {"account_id": "mill"}),
            (R.ABOVE_OBLIGATION, {"at": nothing_due}),
            (R.INSUFFICIENT_UNITS, {"at": without_units}),
        ],
    ),
    Case(
        ReleaseParked(PROVINCE, "plant", 2025),
        thawed,
        [
            *BY,
            NOBODY_SUCH,
            (R.NOT_PERMITTED, {"account_id": "vera"}),
            NO_SUCH_YEAR,
            (R.WRONG_STATE, {"at": frozen}),
            (R.WRONG_STATE, {"at": closed}),  # a fine is unpaid
            (R.NOT_COVERED, {"account_id": "mill"}),
            (R.INSUFFICIENT_UNITS, {"at": determined}),
        ],
    ),
    Case(
        CloseSurrender(PROVINCE, 2025),
        too_late,
        [*BY, NO_SUCH_YEAR, (R.WRONG_STATE, {"at": closed}), (R.TOO_EARLY, {"at": surrendering})],
    ),
    Case(
        PayFine("plant", 2025),
        closed,
        [
            NOBODY_SUCH,
            NO_SUCH_YEAR,
            (R.WRONG_STATE, {"at": too_late}),
            (R.NOT_COVERED, {"account_id": "mill"}),
            (R.AMOUNT_NOT_POSITIVE, {"at": fine_paid}),
            (R.INSUFFICIENT_CASH, {"at": closed_and_poor}),
        ],
    ),
    Case(
        LapseUnits(PROVINCE, 2025),
        closed,
        [*BY, NO_SUCH_YEAR, (R.WRONG_STATE, {"at": too_late}), (R.NOT_ELIGIBLE, {"at": nationally_closed})],
    ),
    Case(
        CarryOverUnits(PROVINCE, "trader", 2025, 100),
        nationally_settled,
        [
            *BY,
            NOBODY_SUCH,
            (R.NOT_PERMITTED, {"account_id": "gone"}),
            NO_SUCH_YEAR,
            (R.UNKNOWN_PERIOD, {"year": 2026}),  # 2027 is not open
            (R.WRONG_STATE, {"at": surrendering}),
            (R.NOT_ELIGIBLE, {"at": closed}),  # Hubei's rules
            (R.NOT_ELIGIBLE, {"at": nationally_closed, "account_id": "plant"}),  # it was short
            *NOTHING,
            (R.AMOUNT_TOO_LARGE, {"at": numbered_out_next_year}),
            *TOO_MUCH,
            (R.INSUFFICIENT_UNITS, {"account_id": "mill", "quantity": None}),
            (R.INSUFFICIENT_UNITS, {"account_id": "shop", "quantity": 10_001}),
        ],
    ),
]


def named(case):
    return type(case.good).__name__


ALONE = [
    pytest.param(case, reason, fault, id=f"{named(case)}: {reason.code} {number}")
    for case in CASES
    for number, (reason, fault) in enumerate(case.faults)
]
# Faults that together are another one: elsewhere, or of somebody else, it is not the fault that it was.
NOT_TOGETHER = {
    (OpenPeriod, frozenset({"at", "year"})),
    (ChangeAccountStatus, frozenset({"account_id", "status"})),
    (ForceSurrender, frozenset({"account_id", "at"})),
    (ReleaseParked, frozenset({"account_id", "at"})),
    (CarryOverUnits, frozenset({"account_id", "at", "quantity"})),
}


def spoilt(case, fault):
    """What is said to a case's command with a fault, and that nothing has changed."""
    fault = dict(fault)
    cycle = scene(fault.pop("at", case.at))
    digest = cycle.digest()
    said = cycle.submit(control(msgspec.structs.replace(case.good, **fault)))
    if "refused" not in said:
        scene.cache_clear()
    assert "refused" not in said or cycle.digest() == digest
    return said


@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_command_without_a_fault_is_taken(case):
    assert "refused" not in case.at().ask(case.good)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_faults_of_a_command_stand_in_the_order_of_the_enum(case):
    rest = [reason for reason, fault in case.faults if "by" not in fault]
    assert rest == sorted(rest)


@pytest.mark.parametrize(("case", "reason", "fault"), ALONE)
def test_each_fault_by_itself_is_named_and_changes_nothing(case, reason, fault):
    assert spoilt(case, fault) == f"refused: {reason.code}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_of_two_faults_the_more_fundamental_is_named(case):
    for (one, first), (other, second) in combinations(case.faults, 2):
        both = frozenset({*first, *second})
        if not first.keys() & second.keys() and (type(case.good), both) not in NOT_TOGETHER:
            said = spoilt(case, first | second)
            assert said == f"refused: {min(one, other).code}", f"{first}, {second}"


def test_every_command_of_these_rooms_is_in_the_table():
    commands = {kind.__name__ for kind in (RegistryCommand | AllocationCommand | ComplianceCommand).__args__}
    assert {named(case) for case in CASES} == commands


SHOWN = {reason for case in CASES for reason, _ in case.faults}
