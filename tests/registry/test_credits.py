"""Projects, reductions and grams: their lives by table, and what is left over."""

from collections import deque
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.claims import batch, days
from registry.credits import (
    GRAMS,
    NEXT_PROJECT,
    NEXT_REDUCTION,
    Credits,
    Deadline,
    Inclusion,
    Project,
    ProjectState,
    ReductionState,
    display_serial,
    green_power_tonnes,
    is_decimal,
    publicity,
)
from registry.rules import CreditRules, CreditScheme
from registry.units import Species, Units

HBCER = CreditScheme("HBCER")
TODAY, TOMORROW = date(2026, 1, 5), date(2026, 1, 6)
YEAR = date(2025, 1, 1), date(2025, 12, 31)
OWNER, UNIT = 3, 7


def a_project(credits, state=ProjectState.FILED):
    project = Project(
        "P1", "HBCER", OWNER, "M1", "Forest", "forestry", "Enshi", (), date(2024, 1, 1), date(2024, 1, 1),
        date(2033, 12, 31), TODAY, state,
    )  # fmt: skip
    return credits.file(project)


def a_batch(credits, tonnes=100):
    number = len(credits.reductions)
    period = date(2025, 1, 1 + number), date(2025, 1, 1 + number)
    return credits.report("HBCER", "P1", OWNER, period, tonnes, TODAY, [days("P1", *period)])


def in_state(credits, reduction, state):
    """A batch that was led to a state by the shortest way."""
    if state == ReductionState.METERED:
        number, day = len(credits.reductions), YEAR[1]
        metered = Inclusion(f"{number}", 5 * GRAMS, "bus")
        spans = [batch("app", f"{number}")]
        return credits.report("INCLUSION", "app", OWNER, (day, day), 0, TODAY, spans, metered=metered)
    for step in way(NEXT_REDUCTION, ReductionState.REPORTED, state):
        if step == ReductionState.ISSUED:
            reduction = credits.issue(reduction, UNIT, [(1, reduction.tonnes)], TODAY)
        else:
            reduction = credits.move_reduction(reduction, step)
    return reduction


def way(table, start, goal):
    """Steps of the shortest way from one state to another; None if there is none."""
    queue = deque([(start, [])])
    seen = {start}
    while queue:
        state, steps = queue.popleft()
        if state == goal:
            return steps
        for following in sorted(table[state] - seen):
            seen.add(following)
            queue.append((following, [*steps, following]))
    return None


@pytest.mark.parametrize(
    ("table", "starts"),
    [
        (NEXT_PROJECT, [ProjectState.FILED]),
        (NEXT_REDUCTION, [ReductionState.REPORTED, ReductionState.METERED]),
    ],
)
def test_every_state_is_reached(table, starts):
    assert set(table) == set(type(starts[0]))
    assert all(any(way(table, start, state) is not None for start in starts) for state in table)


@pytest.mark.parametrize("state", ProjectState)
@pytest.mark.parametrize("following", ProjectState)
def test_a_project_goes_where_the_table_leads(state, following):
    credits = Credits()
    project = a_project(credits, state)
    if following in NEXT_PROJECT[state]:
        assert credits.move_project(project, following) == credits.projects["P1"]
        assert credits.projects["P1"].state == following
    else:
        with pytest.raises(ValueError, match=f"a project that is {state} does not become {following}"):
            credits.move_project(project, following)
        assert credits.projects["P1"] is project


@pytest.mark.parametrize("state", ReductionState)
@pytest.mark.parametrize("following", ReductionState)
def test_a_reduction_goes_where_the_table_leads(state, following):
    credits = Credits()
    reduction = in_state(credits, a_batch(credits), state)
    if following in NEXT_REDUCTION[state]:
        assert credits.move_reduction(reduction, following).state == following
    else:
        with pytest.raises(ValueError, match=f"a reduction that is {state} does not become {following}"):
            credits.move_reduction(reduction, following)
        assert credits.reductions[reduction.number] is reduction


def test_a_project_id_is_used_once():
    credits = Credits()
    a_project(credits)
    with pytest.raises(KeyError):
        a_project(credits)


def test_batches_of_a_project_are_numbered():
    credits = Credits()
    assert [a_batch(credits).batch for _ in range(3)] == [1, 2, 3]
    assert credits.batches == {("HBCER", "P1"): [1, 2, 3]}


def test_a_refused_report_leaves_nothing():
    credits = Credits()
    a_batch(credits)
    with pytest.raises(ValueError):
        credits.report("HBCER", "P1", OWNER, YEAR, 100, TODAY, [days("P1", *YEAR)])
    assert credits.batches == {("HBCER", "P1"): [1]}
    credits.check()


def test_only_a_rejected_batch_gives_its_days_back():
    credits = Credits()
    kept = {state: in_state(credits, a_batch(credits), state) for state in ReductionState}
    claimed = {state for state, reduction in kept.items() if credits.claims.of(reduction.number)}
    assert claimed == set(ReductionState) - {ReductionState.REJECTED}


# ---------------------------------------------------------------- time


def test_publicity_and_what_follows():
    holidays = [date(2026, 2, 2)]
    assert publicity(HBCER, TODAY, holidays) == {"public_until": date(2026, 2, 3), "decide_by": date(2026, 2, 24)}


def test_what_is_next_for_a_project_and_when():
    credits = Credits()
    project = a_project(credits, ProjectState.VALIDATED)
    status = credits.status("P1", TODAY)
    assert (status.next, status.not_before, status.due) == ([ProjectState.PUBLIC, ProjectState.REJECTED], None, None)

    credits.move_project(project, ProjectState.PUBLIC, **publicity(HBCER, TODAY, []))
    status = credits.status("P1", date(2026, 2, 23))
    assert status.next == [ProjectState.REGISTERED, ProjectState.REJECTED]
    assert (status.not_before, status.due, status.is_overdue) == (date(2026, 2, 3), date(2026, 2, 23), False)
    assert credits.status("P1", date(2026, 2, 24)).is_overdue


def test_what_is_overdue_and_what_is_not():
    credits = Credits()
    project = a_project(credits, ProjectState.VALIDATED)
    credits.move_project(project, ProjectState.PUBLIC, decide_by=TOMORROW)
    public = in_state(credits, a_batch(credits), ReductionState.VERIFIED)
    credits.move_reduction(public, ReductionState.PUBLIC, decide_by=TODAY)
    issued = in_state(credits, a_batch(credits), ReductionState.ISSUED)
    revoked = credits.revoke(issued, 40, HBCER, date(2025, 12, 1), [], "made up")

    assert credits.overdue(TODAY) == [Deadline(date(2025, 12, 29), f"replace 60 t for {revoked.title}")]
    assert [deadline.due for deadline in credits.overdue(date(2026, 1, 7))] == [date(2025, 12, 29), TODAY, TOMORROW]


# ---------------------------------------------------------------- serial numbers, green power, grams


def test_serial_numbers_as_people_write_them():
    unit = Units().register("HBCER-P1-2025", Species.CREDIT, 2025, scheme="HBCER", project="P1")
    assert display_serial(unit, 2, 101, 250) == "HBCER-P1-2025-2-00000101-00000250"


def test_a_batch_has_its_range_once_it_is_issued():
    credits = Credits()
    reduction = a_batch(credits)
    assert credits.reductions[reduction.number].first_serial == 0
    in_state(credits, reduction, ReductionState.ISSUED)
    issued = credits.reductions[reduction.number]
    assert (issued.first_serial, issued.last_serial) == (1, 100)


@pytest.mark.parametrize(
    ("mwh", "factor", "tonnes"),
    [
        ("1000", "0.4044", 404),
        ("2500", "0.4", 1000),
        ("2.472799", "0.4044", 0),
        ("999999999999.999999999", "999999999999.999999999", 999_999_999_999_999_999_998_000),
    ],
)
def test_green_power_is_floored_to_tonnes_exactly(mwh, factor, tonnes):
    assert green_power_tonnes(mwh, factor) == tonnes


@pytest.mark.parametrize("text", ["", "-1", "+1", "1e3", "1/3", ".5", "1.", " 1", "1_000", "NaN", "٣", "1" * 13])
def test_what_is_no_decimal(text):
    assert not is_decimal(text)


GRAM_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("register"), st.integers(1, 3 * GRAMS)),
        st.tuples(st.just("revoke"), st.integers(0, 20)),
    ),
    max_size=20,
)


@given(GRAM_STEPS)
def test_no_gram_is_lost_or_credited_twice(steps):
    """What circulates and what is left = the grams of the batches that stand, whatever was revoked meanwhile."""
    credits, circulating = Credits(), 0
    for step, amount in steps:
        if step == "register":
            number = len(credits.reductions) + 1
            metered = Inclusion(f"{number}", amount, "bus")
            reduction = credits.report(
                "INCLUSION", "app", OWNER, YEAR, 0, TODAY, [batch("app", f"{number}")], metered=metered
            )
            tonnes, _ = credits.to_issue(reduction)
            before = sum(one.tonnes for one in credits.reductions.values())
            serials = [(before + 1, before + tonnes)] if tonnes else []
            credits.issue(reduction, UNIT, serials, TODAY)
            circulating += tonnes
        else:
            issued = [one for one in credits.reductions.values() if one.state == ReductionState.ISSUED]
            if issued:
                reduction = issued[amount % len(issued)]
                credits.revoke(reduction, 0, HBCER, TODAY, [], "made up")
                duty = credits.duties.get(reduction.number)
                if duty:
                    circulating -= duty.tonnes
                    credits.replace(duty, duty.tonnes)
        credits.check()
        standing = [one for one in credits.reductions.values() if one.state == ReductionState.ISSUED]
        grams = sum(one.metered.grams for one in standing)
        assert circulating * GRAMS + sum(credits.grams.values()) == grams
        assert all(left >= 0 for left in credits.grams.values())


@pytest.mark.parametrize("tonnes", [0, -1, 101])
def test_no_more_is_replaced_than_is_owed(tonnes):
    credits = Credits()
    reduction = in_state(credits, a_batch(credits), ReductionState.ISSUED)
    credits.revoke(reduction, 0, HBCER, TODAY, [], "made up")
    with pytest.raises(ValueError, match="100 t are owed"):
        credits.replace(credits.duties[reduction.number], tonnes)


def test_a_longer_ban_is_not_cut_short_by_a_second():
    credits = Credits()
    one, other = (in_state(credits, a_batch(credits), ReductionState.ISSUED) for _ in range(2))
    credits.revoke(one, 100, HBCER, TODAY, [], "made up")
    credits.revoke(other, 100, CreditScheme("HBCER", ban_years=1), TODAY, [], "made up")

    assert credits.banned_until == {OWNER: date(2029, 1, 5)}
    assert credits.is_banned(OWNER, date(2029, 1, 4))
    assert not credits.is_banned(OWNER, date(2029, 1, 5))
    assert not credits.is_banned(OWNER + 1, TODAY)


def test_the_schemes_of_a_region():
    rules = CreditRules()
    assert [scheme.name for scheme in rules.schemes] == ["HBCER", "CCER", "INCLUSION", "GREEN_POWER"]
    assert rules.scheme("CCER").started_after == date(2012, 11, 8)
    assert rules.scheme("VCS") is None


# ---------------------------------------------------------------- what check() notices


def days_are_given_back(credits, reduction):
    credits.claims.free(reduction.number)


def a_batch_has_a_number_too_many(credits, reduction):
    in_state(credits, reduction, ReductionState.ISSUED)
    issued = credits.reductions[reduction.number]
    credits.reductions[reduction.number] = type(issued)(**{**fields(issued), "last_serial": 101})


def a_batch_is_issued_by_name_only(credits, reduction):
    changed = {**fields(reduction), "state": ReductionState.ISSUED}
    credits.reductions[reduction.number] = type(reduction)(**changed)


def a_duty_is_owed_for_nothing(credits, reduction):
    in_state(credits, reduction, ReductionState.ISSUED)
    revoked = credits.revoke(credits.reductions[reduction.number], 0, HBCER, TODAY, [], "made up")
    duty = credits.duties[revoked.number]
    credits.duties[revoked.number] = type(duty)(duty.reduction, duty.owner, 0, duty.replace_by)


def a_gram_appears(credits, reduction):
    credits.grams["INCLUSION", "app", 2025] += 1


def fields(struct):
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


@pytest.mark.parametrize(
    "break_it",
    [
        days_are_given_back,
        a_batch_has_a_number_too_many,
        a_batch_is_issued_by_name_only,
        a_duty_is_owed_for_nothing,
        a_gram_appears,
    ],
)
def test_what_is_broken_is_noticed(break_it):
    credits = Credits()
    reduction = a_batch(credits)
    credits.check()
    break_it(credits, reduction)
    with pytest.raises(AssertionError):
        credits.check()
