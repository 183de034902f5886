"""Accounts live and die, units come, move, are locked and go."""

import pytest

from exchange.commands import (
    CancelUnits,
    ChangeAccountStatus,
    DecideCoverage,
    EnforceLock,
    GiveUnits,
    IssueUnits,
    LockUnits,
    OpenAccount,
    ReleaseUnits,
    RequestSurrender,
    RetireUnits,
    TransferUnits,
)
from registry.accounts import NEXT_STATUS, AccountStatus, ParticipantClass
from registry.locks import LockKind
from registry.serials import BlockState, Origin
from tests.exchange.cycle import PROVINCE, Cycle, enterprise, replayed
from tests.exchange.market import HBEA, cash, nothing, units

PENDING, ACTIVE, RESTRICTED, FROZEN, CLOSED = AccountStatus
# How an account comes into each status.
WAYS = {
    PENDING: [],
    ACTIVE: [ACTIVE],
    RESTRICTED: [ACTIVE, RESTRICTED],
    FROZEN: [ACTIVE, FROZEN],
    CLOSED: [ACTIVE, CLOSED],
}


def change(name, status):
    return ChangeAccountStatus(PROVINCE, name, status, "so decided")


def account_in(status):
    cycle = Cycle()
    cycle.must(OpenAccount("mill", "", ParticipantClass.COVERED_ENTERPRISE, approved=False))
    for step in WAYS[status]:
        cycle.must(change("mill", step))
    return cycle


@pytest.mark.parametrize("status", AccountStatus)
def test_every_status_is_reached_and_every_illegal_step_from_it_changes_nothing(status):
    cycle = account_in(status)
    assert cycle.status("mill") == status
    digest = cycle.digest()

    for target in set(AccountStatus) - NEXT_STATUS[status]:
        assert cycle.ask(change("mill", target)) == "refused: wrong_state"
    assert cycle.digest() == digest
    for target in NEXT_STATUS[status]:
        cycle = account_in(status)
        cycle.must(change("mill", target))
        assert cycle.status("mill") == target


@pytest.mark.parametrize("status", [RESTRICTED, FROZEN])
def test_who_is_restricted_or_frozen_loses_orders_and_trades_again_when_active(status):
    market = Cycle(bob=units(100), alice=cash("10000.00"))
    market.play("bob sells 40 @ 42.00\nalice buys 10 @ 42.00")

    assert market.ask(change("bob", status)) == "bob loses 30 @ 42.00: account_suspended\nAccountStatusChanged"
    assert market.play("bob sells 1 @ 42.00") == "bob refused: may_not_trade"
    market.next_day("2026-01-06")  # the 10 t that he owed are settled all the same
    assert market.holding("bob", HBEA).settled == 90
    market.must(change("bob", ACTIVE))
    assert market.play("bob sells 1 @ 42.00") == "bob accepted"


def test_a_restricted_account_may_be_given_units_and_surrender_but_not_move_them():
    cycle = Cycle(plant=enterprise)
    cycle.run_to_window(2025, plant=(100, 50))
    cycle.must(change("plant", RESTRICTED))

    assert cycle.ask(TransferUnits("plant", HBEA, 1, True)) == "refused: not_permitted"
    cycle.must(IssueUnits("plant", HBEA, 1, Origin.FREE))
    cycle.pay("plant", 2025)


def test_a_frozen_account_may_be_given_units_but_not_surrender():
    cycle = Cycle(plant=enterprise)
    cycle.run_to_window(2025, plant=(100, 50))
    cycle.must(change("plant", FROZEN))

    cycle.must(IssueUnits("plant", HBEA, 1, Origin.FREE))
    assert cycle.ask(RequestSurrender("plant", 2025)) == "refused: not_permitted"


@pytest.mark.parametrize(
    ("what", "before"),
    [
        pytest.param("cash", lambda m: m.deposit("mill", "0.01"), id="cash"),
        pytest.param("units", lambda m: m.must(IssueUnits("mill", HBEA, 1, Origin.FREE)), id="units"),
        pytest.param("an order", lambda m: (m.deposit("mill", "50.00"), m.play("mill buys 1 @ 42.00")), id="an order"),
        pytest.param(
            "a trade to be settled",
            lambda m: (m.give("mill", HBEA, 1), m.play("mill sells 1 @ 42.00\nrich buys 1 @ 42.00")),
            id="a trade",
        ),
        pytest.param(
            "a pledge",
            lambda m: (
                m.must(IssueUnits("mill", HBEA, 1, Origin.FREE)),
                m.must(LockUnits(PROVINCE, "mill", HBEA, 1, LockKind.PLEDGED, "loan")),
            ),
            id="a pledge",
        ),
        pytest.param("a year to pay for", lambda m: m.cover(2025, mill=100), id="an obligation"),
    ],
)
def test_an_account_with_anything_left_is_not_closed(what, before):
    cycle = Cycle(mill=enterprise, rich=cash("1000.00"))
    before(cycle)
    digest = cycle.digest()

    assert cycle.ask(change("mill", CLOSED)) == "refused: account_not_empty", what
    assert cycle.digest() == digest


def test_the_account_that_earns_the_fees_is_not_closed():
    assert Cycle().ask(change("EXCHANGE", CLOSED)) == "refused: not_permitted"


def test_an_authority_stays_until_its_years_are_over():
    cycle = Cycle(plant=enterprise)
    cycle.run_to_window(2025, plant=(100, 100))
    cycle.must(CancelUnits(PROVINCE, "plant", HBEA, 40, "error"))
    cycle.pay("plant", 2025)
    cycle.close_window(2025)

    assert cycle.ask(change(PROVINCE, CLOSED)) == "refused: account_not_empty"  # a fine is to come


def test_a_closed_enterprise_is_not_covered_whatever_its_figures():
    cycle = Cycle(plant=enterprise)
    cycle.open_period(2025)
    cycle.record("plant", 2024)
    cycle.must(change("plant", CLOSED))
    cycle.must(DecideCoverage(PROVINCE, 2025))
    assert not cycle.obligor("plant").decision.covered
    assert cycle.obligor("plant").decision.why == "closed"


# ---------------------------------------------------------------- units


def test_given_units_take_their_numbers_with_them_oldest_first_and_never_count_as_traded():
    market = Cycle(mill=nothing, heir=nothing)
    market.must(IssueUnits("mill", HBEA, 100, Origin.FREE))
    market.must(GiveUnits(PROVINCE, "mill", "heir", HBEA, 30, "inheritance"))

    assert market.event.serials == [(1, 30)]
    assert market.serials("heir") == [(1, 30)] and market.serials("mill") == [(31, 100)]
    assert not market.exchange.serials.at(market.asset(HBEA), 1).ever_traded


@pytest.mark.parametrize(
    ("command", "state"),
    [
        pytest.param(RetireUnits("mill", HBEA, 30, "a fair"), BlockState.RETIRED, id="retired"),
        pytest.param(CancelUnits(PROVINCE, "mill", HBEA, 30, "an error"), BlockState.CANCELLED, id="cancelled"),
    ],
)
def test_what_is_retired_or_cancelled_is_gone_for_good(command, state):
    market = Cycle(mill=nothing)
    market.must(IssueUnits("mill", HBEA, 100, Origin.FREE))
    market.must(command)

    assert market.event.serials == [(1, 30)]
    assert market.exchange.serials.at(market.asset(HBEA), 30).state == state
    assert market.exchange.serials.total(market.asset(HBEA), state) == 30
    assert market.registry("mill") == 70
    assert replayed(market).digest() == market.digest()


# ---------------------------------------------------------------- locks

WAYS_OUT = [
    pytest.param(TransferUnits("mill", HBEA, 1, True), id="traded"),
    pytest.param(GiveUnits(PROVINCE, "mill", "bank", HBEA, 1, "merger"), id="given"),
    pytest.param(RetireUnits("mill", HBEA, 1, "a fair"), id="retired"),
    pytest.param(CancelUnits(PROVINCE, "mill", HBEA, 1, "an error"), id="cancelled"),
    pytest.param(LockUnits(PROVINCE, "mill", HBEA, 1, LockKind.JUDICIAL, "file 2"), id="locked again"),
    pytest.param(RequestSurrender("mill", 2025, {HBEA: 1}), id="surrendered"),
    pytest.param(TransferUnits("mill", HBEA, 1, False), id="withdrawn"),
]


@pytest.mark.parametrize("kind", LockKind)
@pytest.mark.parametrize("command", WAYS_OUT)
def test_what_is_locked_can_not_be(command, kind):
    cycle = Cycle(mill=enterprise, bank=nothing)
    cycle.run_to_window(2025, mill=(100, 60))
    cycle.must(LockUnits(PROVINCE, "mill", HBEA, 100, kind, "file 1", "bank"))
    digest = cycle.digest()

    assert cycle.ask(command) == "refused: insufficient_units"
    assert cycle.digest() == digest
    assert cycle.exchange.compliance.periods[2025].stage == "surrendering"


def test_a_lock_is_released_and_enforced_in_parts_until_nothing_is_left():
    market = Cycle(mill=nothing, bank=nothing)
    market.must(IssueUnits("mill", HBEA, 100, Origin.FREE))
    market.must(LockUnits(PROVINCE, "mill", HBEA, 80, LockKind.PLEDGED, "loan", "bank"))
    assert market.holding("mill", HBEA).pledged == 80

    market.must(ReleaseUnits(PROVINCE, 1, 30))
    assert (market.event.lock.quantity, market.event.quantity) == (80, 30)
    market.must(EnforceLock(PROVINCE, 1, 20))
    assert market.event.serials == [(1, 20)]
    assert market.holding("mill", HBEA)[3:6] == (50, 0, 30)  # registry, unsettled, pledged
    assert market.registry("bank") == 20 and market.serials("bank") == [(1, 20)]
    market.must(EnforceLock(PROVINCE, 1, 30))
    assert market.ask(EnforceLock(PROVINCE, 1, 1)) == "refused: unknown_lock"
    assert market.registry("bank") == 50


def test_locks_of_two_kinds_stand_apart():
    market = Cycle(mill=nothing)
    market.must(IssueUnits("mill", HBEA, 100, Origin.FREE))
    market.must(LockUnits(PROVINCE, "mill", HBEA, 10, LockKind.PLEDGED, "loan"))
    market.must(LockUnits(PROVINCE, "mill", HBEA, 20, LockKind.JUDICIAL, "court"))

    held = market.holding("mill", HBEA)
    assert (held.registry, held.pledged, held.judicial) == (70, 10, 20)
    market.must(ReleaseUnits(PROVINCE, 2, 20))
    held = market.holding("mill", HBEA)
    assert (held.registry, held.pledged, held.judicial) == (90, 10, 0)
