"""Credits at work: scenes of a project's life, timers, double counting, fraud, and every refusal."""

from datetime import date
from importlib import resources

import msgspec
import pytest

from exchange.commands import (
    ApproveMethodology,
    ChangeAccountStatus,
    FileProject,
    IssueReduction,
    IssueUnits,
    ListInstrument,
    PublishProject,
    PublishReduction,
    RegisterGreenPower,
    RegisterInclusion,
    RegisterProject,
    RegisterUnit,
    ReinstateProject,
    RejectProject,
    RejectReduction,
    ReplaceUnits,
    ReportReduction,
    RetireUnits,
    RevokeReduction,
    SuspendProject,
    TransferUnits,
    ValidateProject,
    VerifyReduction,
    WithdrawMethodology,
)
from exchange.engine import Engine
from exchange.reasons import Reason
from exchange.rules import RuleSetError, load_rule_set
from exchange.state import UNITS_MAX
from registry.accounts import AccountStatus, ParticipantClass
from registry.credits import NEXT_PROJECT, NEXT_REDUCTION, ProjectState, ReductionState
from registry.rules import CreditRules, CreditScheme
from registry.serials import Origin
from registry.units import Species
from tests.exchange.market import HBEA, Market, Stake, cash, nothing, verifier

authority = Stake(participant_class=ParticipantClass.REGISTRY_AUTHORITY)

HUBEI = load_rule_set("hubei")
CODE = "HBCER-P1-2025"
JANUARY_FIRST, YEAR_END = date(2025, 1, 1), date(2025, 12, 31)
FILED_ON = "2026-01-05"
LAST_PUBLIC_DAY = "2026-02-02"  # 20 working days later
FIRST_DAY_TO_DECIDE = "2026-02-03"
LAST_DAY_TO_DECIDE = "2026-02-23"  # 15 more
TOO_LATE_TO_DECIDE = "2026-02-24"
REPORTED_ON = FIRST_DAY_TO_DECIDE
LAST_PUBLIC_DAY_OF_BATCH = "2026-03-03"
ISSUED_ON = "2026-03-04"


def with_schemes(*schemes, **others):
    return msgspec.structs.replace(HUBEI, credits=CreditRules(list(schemes), **others))


LAPSING = with_schemes(
    CreditScheme("HBCER", decisions_lapse=True),
    CreditScheme("GREEN_POWER", credits="green_power", decisions_lapse=True),
)
ONE_VERIFIER = with_schemes(CreditScheme("HBCER", verifier_differs=False))
CREDITS_ONLY = with_schemes(CreditScheme("HBCER", replaced_by=["credit"]))
RECENT = with_schemes(
    CreditScheme("INCLUSION", credits="inclusion", reductions_after=date(2025, 6, 30)),
    CreditScheme("GREEN_POWER", credits="green_power", reductions_after=date(2025, 6, 30)),
)


def market_of(rules=HUBEI, until="trading"):
    people = {"office": authority, "olga": nothing, "vera": verifier, "victor": verifier, "bob": cash("100000.00")}
    market = Market(rules, until=until, **people)
    if until != "listed":
        market.must(ApproveMethodology("office", "M1", "Afforestation", "forestry", 10))
    return market


# ---------------------------------------------------------------- what is asked, but for the changes


def asks(command, **usual):
    return lambda **changes: command(**{**usual, **changes})


file_project = asks(
    FileProject, by="olga", project_id="P1", scheme="HBCER", methodology="M1", title="Forest of Enshi", kind="forestry",
    region="Enshi", started_on=date(2023, 12, 1), crediting_from=date(2024, 1, 1), crediting_to=date(2033, 12, 31),
)  # fmt: skip
validate = asks(ValidateProject, by="vera", project_id="P1", positive=True)
publish = asks(PublishProject, by="office", project_id="P1")
register = asks(RegisterProject, by="office", project_id="P1", grade="A")
reject = asks(RejectProject, by="office", project_id="P1", reason="incomplete")
suspend = asks(SuspendProject, by="office", project_id="P1", reason="a tip")
reinstate = asks(ReinstateProject, by="office", project_id="P1")
report = asks(
    ReportReduction, by="olga", project_id="P1", first_day=JANUARY_FIRST, last_day=YEAR_END, tonnes=1000
)  # fmt: skip
verify = asks(VerifyReduction, by="victor", reduction=1, tonnes=900)
publish_batch = asks(PublishReduction, by="office", reduction=1)
issue_batch = asks(IssueReduction, by="office", reduction=1)
reject_batch = asks(RejectReduction, by="office", reduction=1, reason="not plausible")
revoke = asks(RevokeReduction, by="office", reduction=1, reason="the forest does not exist")
replace = asks(ReplaceUnits, by="olga", reduction=1, unit=HBEA, quantity=10)
green_power = asks(
    RegisterGreenPower, by="olga", plant="WIND-7", mwh="2500.5", factor="0.4044", first_day=JANUARY_FIRST,
    last_day=YEAR_END, factor_source="Hubei 2023", region="Suizhou",
)  # fmt: skip
inclusion = asks(
    RegisterInclusion, by="olga", batch_ref="2025-12", grams=2_400_000, first_day=JANUARY_FIRST, last_day=YEAR_END,
    scenario="bus rides", region="Wuhan",
)  # fmt: skip


# ---------------------------------------------------------------- a market at a stage


def a_project(market, state=ProjectState.REGISTERED, project_id="P1", **filed):
    """A project in a state; where that takes publicity, the market has gone on."""
    market.must(file_project(project_id=project_id, **filed))
    if state == ProjectState.FILED:
        return
    market.must(validate(project_id=project_id))
    if state == ProjectState.VALIDATED:
        return
    if state == ProjectState.REJECTED:
        market.must(reject(project_id=project_id))
        return
    market.must(publish(project_id=project_id))
    if state == ProjectState.PUBLIC:
        return
    market.next_day(FIRST_DAY_TO_DECIDE)
    market.must(register(project_id=project_id))
    if state == ProjectState.SUSPENDED:
        market.must(suspend(project_id=project_id))


def a_batch(market, state=ReductionState.ISSUED):
    """The project's first batch in a state; where that takes publicity, the market has gone on."""
    if state == ReductionState.METERED:
        market.must(green_power())
        return
    a_project(market)
    market.must(report())
    if state == ReductionState.REPORTED:
        return
    market.must(verify())
    if state == ReductionState.VERIFIED:
        return
    if state == ReductionState.REJECTED:
        market.must(reject_batch())
        return
    market.must(publish_batch())
    if state == ReductionState.PUBLIC:
        return
    market.next_day(ISSUED_ON)
    market.must(issue_batch())
    if state == ReductionState.REVOKED:
        market.must(revoke())


def project(market, project_id="P1"):
    return market.exchange.credits.projects[project_id]


def reduction(market, number=1):
    return market.exchange.credits.reductions[number]


def refused(market, command, reason):
    """A command is refused, and nothing has changed."""
    before = market.digest()
    said = market.do(command)
    assert said == f"refused: {reason.code}", (said, market.event)
    assert market.digest() == before
    return market.event.detail


# ---------------------------------------------------------------- scenes


def test_the_life_of_a_project():
    market = market_of()
    assert market.do(file_project()) == "ProjectFiled"
    assert market.do(validate(opinion="real, unique, additional")) == "ProjectValidated"
    assert market.do(publish()) == "ProjectPublished"
    assert str(market.event.project.public_until) == LAST_PUBLIC_DAY
    assert str(market.event.project.decide_by) == LAST_DAY_TO_DECIDE
    market.next_day(FIRST_DAY_TO_DECIDE)
    assert market.do(register()) == "ProjectRegistered"

    assert market.do(report()) == "ReductionReported"
    assert market.do(verify()) == "ReductionVerified"
    assert market.do(publish_batch()) == "ReductionPublished"
    market.next_day(ISSUED_ON)
    assert market.do(issue_batch()) == "ReductionIssued"
    issued = market.event
    assert (issued.unit, issued.serials) == (CODE, [(1, 900)])
    assert issued.display_serials == ["HBCER-P1-2025-1-00000001-00000900"]
    assert market.holding("olga", CODE).registry == 900

    unit = market.exchange.units.by_code[CODE]
    assert (unit.species, unit.vintage, unit.scheme, unit.project) == (Species.CREDIT, 2025, "HBCER", "P1")
    assert (unit.kind, unit.region, unit.grade) == ("forestry", "Enshi", "A")
    assert str(unit.registered_on) == FIRST_DAY_TO_DECIDE


def test_credits_are_traded_and_retired():
    market = market_of()
    a_batch(market)
    market.play("close\nsettle")
    market.must(ListInstrument(CODE, Species.CREDIT, 2025, 3600))
    market.must(TransferUnits("olga", CODE, 500, to_trading=True))
    market.play("open 2026-03-05\nstart")
    assert market.play(f"olga sells 500 {CODE} @ 36.00") == "olga accepted"
    assert "bob takes 300 @ 36.00 from olga" in market.play(f"bob buys 300 {CODE} @ 36.00")
    market.next_day("2026-03-06")
    market.must(TransferUnits("bob", CODE, 300, to_trading=False))
    assert market.do(RetireUnits("bob", CODE, 300, "an event")) == "UnitsRetired"
    assert market.event.serials == [(1, 300)]
    refused(market, report(), Reason.ALREADY_CREDITED)  # retired or not, these days are credited


def test_a_unit_may_be_listed_before_its_first_issue():
    market = market_of()
    a_batch(market, ReductionState.PUBLIC)
    market.play("close")
    market.must(ListInstrument(CODE, Species.CREDIT, 2025, 3600))
    market.play(f"settle\nopen {ISSUED_ON}\nstart")
    market.must(issue_batch())

    assert market.exchange.units.by_code[CODE].project == "P1"
    assert market.holding("olga", CODE).registry == 900


def test_the_second_batch_of_a_year_goes_on_where_the_first_ended():
    market = market_of()
    a_project(market)
    halves = (JANUARY_FIRST, date(2025, 6, 30)), (date(2025, 7, 1), YEAR_END)
    for number, (first, last) in enumerate(halves, 1):
        market.must(report(first_day=first, last_day=last))
        market.must(verify(reduction=number, tonnes=100))
        market.must(publish_batch(reduction=number))
    market.next_day(ISSUED_ON)
    market.must(issue_batch(reduction=2))
    market.must(issue_batch(reduction=1))

    assert market.event.display_serials == ["HBCER-P1-2025-1-00000101-00000200"]
    batches = [market.exchange.credits.reductions[number] for number in (1, 2)]
    assert [(batch.first_serial, batch.last_serial) for batch in batches] == [(101, 200), (1, 100)]


def test_green_power_is_credited_by_the_megawatt_hour():
    market = market_of()
    assert market.do(green_power(certificates=(("GEC-1", "GEC-2500"),))) == "GreenPowerRegistered"
    assert market.event.reduction.tonnes == 1011  # 2500.5 x 0.4044 = 1011.2
    market.must(issue_batch())

    assert market.holding("olga", "GREEN_POWER-WIND-7-2025").registry == 1011
    assert market.exchange.units.by_code["GREEN_POWER-WIND-7-2025"].kind == "green_power"


def test_grams_add_up_to_tonnes_and_the_rest_waits():
    market = market_of()
    issued = []
    for number, batch_ref in enumerate(("a", "b", "c"), 1):
        market.must(inclusion(batch_ref=batch_ref, grams=700_000))
        assert market.do(issue_batch(reduction=number)) == "ReductionIssued"
        issued.append((market.event.reduction.tonnes, market.event.serials, market.event.grams_left))

    assert issued == [(0, [], 700_000), (1, [(1, 1)], 400_000), (1, [(2, 2)], 100_000)]
    assert market.holding("olga", "INCLUSION-olga-2025").registry == 2


def test_units_of_a_platform_s_year_are_of_one_region():
    market = market_of()
    market.must(inclusion(batch_ref="a"))
    market.must(inclusion(batch_ref="b", region="Enshi"))
    market.must(issue_batch(reduction=1))
    refused(market, issue_batch(reduction=2), Reason.NOT_ELIGIBLE)


def test_grams_of_another_year_are_another_sum():
    market = market_of()
    market.must(inclusion(grams=900_000))
    market.must(inclusion(grams=900_000, batch_ref="old", first_day=date(2024, 1, 1), last_day=date(2024, 12, 31)))
    market.must(issue_batch(reduction=1))
    market.must(issue_batch(reduction=2))
    assert market.event.grams_left == 900_000


def test_a_negative_opinion_ends_the_matter():
    market = market_of()
    a_project(market, ProjectState.FILED)
    assert market.do(validate(positive=False, opinion="not additional")) == "ProjectRejected"
    assert (project(market).state, project(market).reason) == (ProjectState.REJECTED, "not additional")


def test_a_withdrawn_methodology_lets_filed_projects_go_on():
    market = market_of()
    a_project(market, ProjectState.FILED)
    assert market.do(WithdrawMethodology("office", "M1")) == "MethodologyWithdrawn"
    market.must(validate())
    refused(market, file_project(project_id="P2"), Reason.WRONG_STATE)


def test_a_suspended_project_stands_still_until_it_is_reinstated():
    market = market_of()
    a_project(market)
    market.must(report())
    market.must(suspend())
    refused(market, verify(), Reason.WRONG_STATE)
    refused(market, report(first_day=date(2024, 1, 1), last_day=date(2024, 1, 31)), Reason.WRONG_STATE)
    assert market.do(reinstate()) == "ProjectReinstated"
    market.must(verify())


@pytest.mark.parametrize("state", [ReductionState.VERIFIED, ReductionState.PUBLIC])
def test_no_step_of_a_batch_is_taken_while_its_project_is_suspended(state):
    market = market_of()
    a_batch(market, state)
    market.next_day(ISSUED_ON)
    market.must(suspend())
    refused(market, {"verified": publish_batch, "public": issue_batch}[state](), Reason.WRONG_STATE)
    assert market.do(reject_batch()) == "ReductionRejected"


def test_the_verifier_of_the_project_may_verify_where_the_scheme_does_not_mind():
    market = market_of(ONE_VERIFIER)
    a_project(market)
    market.must(report())
    assert market.do(verify(by="vera")) == "ReductionVerified"


# ---------------------------------------------------------------- timers, a day too early and on the day


@pytest.mark.parametrize("decision", [register, reject], ids=["register", "reject"])
def test_a_project_is_decided_on_after_twenty_working_days(decision):
    market = market_of()
    a_project(market, ProjectState.PUBLIC)
    market.next_day(LAST_PUBLIC_DAY)
    refused(market, decision(), Reason.TOO_EARLY)
    market.next_day(FIRST_DAY_TO_DECIDE)
    market.must(decision())


@pytest.mark.parametrize("decision", [issue_batch, reject_batch], ids=["issue", "reject"])
def test_a_batch_is_decided_on_after_twenty_working_days(decision):
    market = market_of()
    a_batch(market, ReductionState.PUBLIC)
    market.next_day(LAST_PUBLIC_DAY_OF_BATCH)
    refused(market, decision(), Reason.TOO_EARLY)
    market.next_day(ISSUED_ON)
    market.must(decision())


def test_holidays_are_not_working_days():
    market = market_of(with_schemes(CreditScheme("HBCER"), holidays=[date(2026, 1, 6)]))
    a_project(market, ProjectState.PUBLIC)
    assert str(project(market).public_until) == FIRST_DAY_TO_DECIDE


def test_a_late_registration_is_overdue_and_possible():
    market = market_of()
    a_project(market, ProjectState.PUBLIC)
    market.next_day(LAST_DAY_TO_DECIDE)
    assert market.exchange.credits.overdue(market.exchange.date) == []
    market.next_day(TOO_LATE_TO_DECIDE)
    assert [one.what for one in market.exchange.credits.overdue(market.exchange.date)] == ["decide on project P1"]
    market.must(register())
    assert market.exchange.credits.overdue(market.exchange.date) == []


def test_a_late_registration_lapses_where_the_scheme_says_so():
    market = market_of(LAPSING)
    a_project(market, ProjectState.PUBLIC)
    market.next_day(TOO_LATE_TO_DECIDE)
    refused(market, register(), Reason.TOO_LATE)
    market.must(reject())


def test_an_undecided_batch_lapses_where_the_scheme_says_so_and_not_a_day_earlier():
    market = market_of(LAPSING)
    market.must(green_power())
    market.must(green_power(plant="WIND-8"))
    market.next_day("2026-01-26")
    market.must(issue_batch())
    market.next_day("2026-01-27")
    refused(market, issue_batch(reduction=2), Reason.TOO_LATE)
    market.must(reject_batch(reduction=2))


@pytest.mark.parametrize(
    ("first_day", "reason"),
    [("2021-01-04", Reason.TOO_LATE), ("2021-01-05", None)],
    ids=["more than five years", "five years"],
)
def test_what_was_reduced_five_years_ago_is_no_longer_registered(first_day, reason):
    market = market_of()
    command = green_power(first_day=date.fromisoformat(first_day))
    refused(market, command, reason) if reason else market.must(command)


@pytest.mark.parametrize(
    ("last_day", "reason"),
    [("2026-01-05", Reason.TOO_EARLY), ("2026-01-04", None)],
    ids=["not over yet", "over"],
)
def test_a_period_is_over_before_it_is_reported(last_day, reason):
    market = market_of()
    command = inclusion(last_day=date.fromisoformat(last_day))
    refused(market, command, reason) if reason else market.must(command)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"started_on": date(2012, 11, 8)}, Reason.NOT_ELIGIBLE),
        ({"started_on": date(2012, 11, 9)}, None),
        ({"crediting_to": date(2034, 1, 1)}, Reason.INVALID_DATE),
        ({"crediting_to": date(2033, 12, 31)}, None),
    ],
    ids=["begun too early", "begun in time", "ten years and a day", "ten years"],
)
def test_when_a_project_begins_and_how_long_it_is_credited(changes, reason):
    market = market_of()
    command = file_project(**changes)
    refused(market, command, reason) if reason else market.must(command)


@pytest.mark.parametrize("command", [green_power, inclusion], ids=["green power", "inclusion"])
def test_reductions_are_made_after_the_date_of_the_scheme(command):
    market = market_of(RECENT)
    refused(market, command(first_day=date(2025, 6, 30)), Reason.NOT_ELIGIBLE)
    market.must(command(first_day=date(2025, 7, 1)))


# ---------------------------------------------------------------- nothing is credited twice


@pytest.mark.parametrize("first_day", [JANUARY_FIRST, YEAR_END], ids=["the same year", "its last day"])
def test_a_day_of_a_project_is_credited_once(first_day):
    market = market_of()
    a_batch(market)
    detail = refused(market, report(first_day=first_day, last_day=date(2026, 1, 31)), Reason.ALREADY_CREDITED)
    assert detail.endswith("overlaps reduction 1 (HBCER P1, 2025-01-01 to 2025-12-31)")
    market.must(report(first_day=date(2026, 1, 1), last_day=date(2026, 1, 31)))


def test_the_same_project_in_two_schemes_is_credited_once():
    market = market_of()
    market.must(file_project(project_id="P2", scheme="CCER", also_known_as=("P1",)))
    market.must(validate(project_id="P2"))
    market.must(publish(project_id="P2"))
    a_project(market)
    market.must(register(project_id="P2"))
    market.must(report())
    refused(market, report(project_id="P2"), Reason.ALREADY_CREDITED)


def test_two_projects_with_one_other_name_are_credited_once():
    market = market_of()
    market.must(file_project(project_id="P2", also_known_as=("WIND-7",)))
    market.must(validate(project_id="P2"))
    market.must(publish(project_id="P2"))
    a_project(market, also_known_as=("WIND-7",))
    market.must(register(project_id="P2"))
    market.must(report())
    refused(market, report(project_id="P2"), Reason.ALREADY_CREDITED)
    refused(market, green_power(), Reason.ALREADY_CREDITED)


def test_a_project_that_turns_out_to_be_a_credited_one_is_not_registered():
    market = market_of()
    market.must(green_power(plant="A"))
    market.must(green_power(plant="B"))
    detail = refused(market, file_project(also_known_as=("A", "B")), Reason.ALREADY_CREDITED)
    assert detail.startswith("P1 = A = B, but reduction 1 (GREEN_POWER A, ")
    market.must(reject_batch(reduction=2))
    market.must(file_project(also_known_as=("A", "B")))


def test_what_was_filed_clean_and_credited_since_is_not_registered():
    market = market_of()
    a_project(market, ProjectState.PUBLIC, also_known_as=("A", "B"))
    market.must(green_power(plant="A"))
    market.must(green_power(plant="B"))
    market.next_day(FIRST_DAY_TO_DECIDE)
    refused(market, register(), Reason.ALREADY_CREDITED)


def test_a_megawatt_hour_is_green_power_or_a_project_s_reduction():
    market = market_of()
    a_batch(market, ReductionState.REPORTED)
    refused(market, green_power(plant="P1"), Reason.ALREADY_CREDITED)
    refused(market, green_power(also_known_as=("P1",)), Reason.ALREADY_CREDITED)
    market.must(green_power())
    refused(market, green_power(last_day=JANUARY_FIRST), Reason.ALREADY_CREDITED)


def test_a_plant_credited_under_two_names_is_issued_once():
    market = market_of()
    first_half, second_half = {"last_day": date(2025, 6, 30)}, {"first_day": date(2025, 7, 1)}
    market.must(green_power(plant="A", also_known_as=("B",), **first_half))
    market.must(green_power(plant="B", **second_half))
    market.must(green_power(plant="A", **second_half))
    refused(market, issue_batch(), Reason.ALREADY_CREDITED)
    market.must(reject_batch(reduction=3))
    market.must(issue_batch())
    refused(market, green_power(plant="A", **second_half), Reason.ALREADY_CREDITED)


@pytest.mark.parametrize("again", [("GEC-500", "GEC-500"), ("GEC-0500", "GEC-0600"), ("GEC-1", "GEC-1000")])
def test_a_certificate_is_used_once(again):
    market = market_of()
    market.must(green_power(certificates=(("GEC-1", "GEC-500"),)))
    refused(market, green_power(plant="WIND-8", certificates=(again,)), Reason.ALREADY_CREDITED)
    market.must(green_power(plant="WIND-8", certificates=(("GEC-501", "GEC-600"),)))


def test_a_batch_of_a_platform_is_entered_once():
    market = market_of()
    market.must(inclusion())
    refused(market, inclusion(grams=1), Reason.ALREADY_CREDITED)
    market.must(inclusion(batch_ref="2026-01"))
    market.must(inclusion(by="bob"))


def test_a_rejected_batch_may_be_reported_anew_and_a_revoked_one_may_not():
    market = market_of()
    a_batch(market, ReductionState.REJECTED)
    market.must(report(tonnes=800))
    market.must(verify(reduction=2, tonnes=800))
    market.must(publish_batch(reduction=2))
    market.next_day(ISSUED_ON)
    market.must(issue_batch(reduction=2))
    assert reduction(market, 2).batch == 2
    market.must(revoke(reduction=2))
    market.next_day("2029-03-05")
    refused(market, report(), Reason.ALREADY_CREDITED)


def test_a_project_may_be_filed_anew_under_another_id_when_it_was_rejected():
    market = market_of()
    a_project(market, ProjectState.REJECTED, also_known_as=("WIND-7",))
    market.must(file_project(project_id="P2", also_known_as=("WIND-7",)))


def test_units_of_the_register_are_not_issued_by_hand():
    market = market_of()
    a_batch(market)
    refused(market, IssueUnits("olga", CODE, 1, Origin.CREDIT), Reason.NOT_ELIGIBLE)


# ---------------------------------------------------------------- fraud


def sold_in_part():
    """Of 900 t issued olga has sold 300 to bob, 200 stand on her trading side, 400 on her registry side."""
    market = market_of()
    a_batch(market)
    market.play("close\nsettle")
    market.must(ListInstrument(CODE, Species.CREDIT, 2025, 3600))
    market.must(TransferUnits("olga", CODE, 500, to_trading=True))
    market.play(f"open 2026-03-05\nstart\nolga sells 300 {CODE} @ 36.00\nbob buys 300 {CODE} @ 36.00")
    market.next_day("2026-03-06")
    return market


def test_a_revoked_batch_is_cancelled_where_it_is_and_owed_where_it_is_not():
    market = sold_in_part()
    assert market.do(revoke()) == "ReductionRevoked"
    revoked = market.event
    assert (revoked.cancelled, revoked.serials, revoked.to_replace) == (400, [(301, 700)], 500)
    assert (str(revoked.replace_by), str(revoked.banned_until)) == ("2026-04-03", "2029-03-06")
    assert market.holding("bob", CODE).settled == 300
    assert market.holding("olga", CODE).available == 200

    assert market.exchange.credits.owed_by(market.number("olga")).startswith("500 t for the revoked reduction 1")
    assert market.exchange.credits.owed_by(market.number("bob")) == ""


def test_what_is_owed_is_replaced_by_credits_and_allowances():
    market = sold_in_part()
    market.must(revoke())
    market.must(TransferUnits("olga", CODE, 200, to_trading=False))
    assert market.do(replace(unit=CODE, quantity=200)) == "UnitsReplaced"
    assert (market.event.serials, market.event.still_to_replace) == ([(701, 900)], 300)
    market.must(IssueUnits("olga", HBEA, 400, Origin.FREE))
    refused(market, replace(quantity=301), Reason.ABOVE_OBLIGATION)
    market.must(replace(quantity=300))
    assert market.event.still_to_replace == 0
    assert market.holding("olga", HBEA).registry == 100
    refused(market, replace(quantity=1), Reason.WRONG_STATE)


def test_what_is_not_replaced_in_time_is_taken_by_force():
    market = sold_in_part()
    market.must(revoke())
    market.must(IssueUnits("olga", HBEA, 500, Origin.FREE))
    market.next_day("2026-04-03")
    refused(market, replace(by="office"), Reason.TOO_EARLY)
    market.next_day("2026-04-04")
    overdue = [one.what for one in market.exchange.credits.overdue(market.exchange.date)]
    assert len(overdue) == 1 and overdue[0].startswith("replace 500 t")
    market.must(replace(by="office", quantity=500))
    assert market.holding("olga", HBEA).registry == 0


def test_only_numbers_of_the_revoked_batch_are_cancelled():
    market = market_of()
    market.must(green_power(last_day=date(2025, 6, 30), mwh="1000"))
    market.must(green_power(first_day=date(2025, 7, 1), mwh="1000"))
    market.must(issue_batch(reduction=1))
    market.must(issue_batch(reduction=2))
    market.must(revoke(reduction=2))

    assert (market.event.cancelled, market.event.serials, market.event.to_replace) == (404, [(405, 808)], 0)
    assert market.exchange.credits.duties == {}


def test_sold_and_not_yet_settled_is_gone():
    market = sold_in_part()
    market.play(f"olga sells 200 {CODE} @ 36.00\nbob buys 200 {CODE} @ 36.00")
    market.must(revoke())
    assert (market.event.cancelled, market.event.to_replace) == (400, 500)
    market.next_day("2026-03-09")
    assert market.holding("bob", CODE).settled == 500


def test_a_revoked_inclusion_batch_owes_the_tonne_that_stood_on_its_grams():
    market = market_of()
    market.must(inclusion(batch_ref="a", grams=1_500_000))
    market.must(inclusion(batch_ref="b", grams=500_000))
    market.must(issue_batch(reduction=1))
    market.must(issue_batch(reduction=2))
    market.must(revoke())

    assert (market.event.cancelled, market.event.to_replace, market.event.reduction.excess) == (1, 1, 1)
    market.must(replace(unit="INCLUSION-olga-2025", quantity=1))
    assert market.exchange.credits.grams["INCLUSION", "olga", 2025] == 500_000


def test_who_had_a_batch_revoked_files_nothing_for_three_years():
    market = market_of()
    a_batch(market, ReductionState.REVOKED)
    market.next_day("2029-03-02")
    later = {"first_day": date(2028, 1, 1), "last_day": date(2028, 12, 31)}
    for command in (file_project(project_id="P2"), report(**later), green_power(**later), inclusion(**later)):
        refused(market, command, Reason.NOT_PERMITTED)
    market.next_day("2029-03-04")
    for command in (file_project(project_id="P2"), report(**later), green_power(**later), inclusion(**later)):
        market.must(command)


def test_an_account_that_owes_replacement_is_not_closed():
    market = market_of()
    a_batch(market)
    market.must(TransferUnits("olga", CODE, 900, to_trading=True))
    market.must(revoke())
    market.must(TransferUnits("olga", CODE, 900, to_trading=False))
    market.must(RetireUnits("olga", CODE, 900, "to be rid of them"))
    closing = ChangeAccountStatus("office", "olga", AccountStatus.CLOSED, "by request")
    assert "still owes: 900 t for the revoked" in refused(market, closing, Reason.ACCOUNT_NOT_EMPTY)


# ---------------------------------------------------------------- refusals


BAD = date(2025, 12, 1), date(2025, 11, 1)


def closed(market):
    market.must(ChangeAccountStatus("office", "olga", AccountStatus.CLOSED, "by request"))


def code_taken(market):
    market.must(RegisterUnit("office", "GREEN_POWER-WIND-7-2025", Species.ALLOWANCE, 2025))


def code_issued(market):
    market.must(RegisterUnit("office", "GREEN_POWER-WIND-7-2025", Species.CREDIT, 2025))
    market.must(IssueUnits("bob", "GREEN_POWER-WIND-7-2025", 1, Origin.CREDIT))


R = Reason
P, S = ProjectState, ReductionState
# (reason, what there is already, the command): a project, a batch, a rule set, something done
REFUSALS = [
    pytest.param(R.UNKNOWN_ACCOUNT, None, ApproveMethodology("zoe", "M2", "", "", 10), id="methodology of nobody"),
    pytest.param(R.UNKNOWN_ACCOUNT, None, WithdrawMethodology("zoe", "M1"), id="withdrawal of nobody"),
    *(
        pytest.param(R.UNKNOWN_ACCOUNT, None, command(by="zoe"), id=f"{type(command()).__name__} of nobody")
        for command in (
            file_project,
            validate,
            publish,
            register,
            reject,
            suspend,
            reinstate,
            report,
            verify,
            publish_batch,
            issue_batch,
            reject_batch,
            revoke,
            replace,
            green_power,
            inclusion,
        )
    ),
    pytest.param(R.NOT_PERMITTED, None, ApproveMethodology("olga", "M2", "", "", 10), id="methodology by an owner"),
    pytest.param(R.NOT_PERMITTED, None, WithdrawMethodology("olga", "M1"), id="withdrawal by an owner"),
    *(
        pytest.param(R.NOT_PERMITTED, None, command(by="office"), id=f"{type(command()).__name__} by the authority")
        for command in (file_project, validate, report, verify, green_power, inclusion)
    ),
    *(
        pytest.param(R.NOT_PERMITTED, None, command(by="olga"), id=f"{type(command()).__name__} by the owner")
        for command in (
            validate,
            publish,
            register,
            reject,
            suspend,
            reinstate,
            verify,
            publish_batch,
            issue_batch,
            reject_batch,
            revoke,
        )
    ),
    pytest.param(R.NOT_PERMITTED, P.REGISTERED, report(by="bob"), id="another's project"),
    pytest.param(R.NOT_PERMITTED, S.REVOKED, replace(by="bob"), id="another's duty"),
    pytest.param(R.NOT_PERMITTED, S.REVOKED, replace(by="vera"), id="a verifier's replacement"),
    pytest.param(R.NOT_PERMITTED, (S.METERED, closed), issue_batch(), id="issued to a closed account"),
    pytest.param(R.UNKNOWN_UNIT, S.REVOKED, replace(unit="HBEA-1999"), id="replaced by no unit"),
    pytest.param(R.UNKNOWN_METHODOLOGY, None, WithdrawMethodology("office", "M9"), id="withdraw"),
    pytest.param(R.UNKNOWN_METHODOLOGY, None, file_project(methodology="M9"), id="project by no methodology"),
    *(
        pytest.param(R.UNKNOWN_PROJECT, None, command(), id=type(command()).__name__)
        for command in (validate, publish, register, reject, suspend, reinstate, report)
    ),
    *(
        pytest.param(R.UNKNOWN_REDUCTION, None, command(), id=type(command()).__name__)
        for command in (verify, publish_batch, issue_batch, reject_batch, revoke, replace)
    ),
    pytest.param(R.METHODOLOGY_EXISTS, None, ApproveMethodology("office", "M1", "", "", 10), id="approve twice"),
    pytest.param(R.PROJECT_EXISTS, P.REJECTED, file_project(), id="file twice"),
    pytest.param(R.SAME_VERIFIER, S.REPORTED, verify(by="vera"), id="who validated verifies"),
    pytest.param(R.WRONG_STATE, S.ISSUED, replace(), id="nothing to replace"),
    pytest.param(R.INVALID_DATE, None, file_project(started_on=date(2024, 1, 2)), id="credited before begun"),
    pytest.param(R.INVALID_DATE, None, file_project(crediting_to=date(2023, 12, 31)), id="credited backwards"),
    pytest.param(R.INVALID_DATE, P.REGISTERED, report(first_day=date(2023, 12, 31)), id="before the crediting period"),
    pytest.param(R.INVALID_DATE, P.REGISTERED, report(first_day=BAD[0], last_day=BAD[1]), id="a batch backwards"),
    pytest.param(R.INVALID_DATE, None, green_power(first_day=BAD[0], last_day=BAD[1]), id="green power backwards"),
    pytest.param(R.INVALID_DATE, None, inclusion(first_day=BAD[0], last_day=BAD[1]), id="inclusion backwards"),
    pytest.param(R.INVALID_NUMBER, None, ApproveMethodology("office", "M2", "", "", 0), id="credited for no year"),
    pytest.param(R.INVALID_NUMBER, None, ApproveMethodology("office", "M2", "", "", 101), id="credited for a century"),
    pytest.param(R.INVALID_NUMBER, None, green_power(mwh="1e3"), id="MWh in powers of ten"),
    pytest.param(R.INVALID_NUMBER, None, green_power(factor="-0.4"), id="a factor below zero"),
    pytest.param(R.INVALID_NUMBER, None, green_power(certificates=(("GEC-2", "GEC-1"),)), id="certificates backwards"),
    pytest.param(
        R.INVALID_NUMBER,
        None,
        green_power(certificates=(("GEC-1", "GEC-9"), ("GEC-9", "GEC-9"))),
        id="a certificate named twice",
    ),
    pytest.param(R.INVALID_NUMBER, S.REPORTED, verify(tonnes=1001), id="more confirmed than reported"),
    pytest.param(R.NOT_ELIGIBLE, None, file_project(scheme="VCS"), id="no such scheme"),
    pytest.param(R.NOT_ELIGIBLE, None, file_project(scheme="GREEN_POWER"), id="a scheme of another kind"),
    pytest.param(R.NOT_ELIGIBLE, None, green_power(scheme="HBCER"), id="green power as a project"),
    pytest.param(R.NOT_ELIGIBLE, None, inclusion(scheme="GREEN_POWER"), id="inclusion as green power"),
    pytest.param(R.NOT_ELIGIBLE, None, file_project(within_covered_installation=True), id="covered"),
    pytest.param(R.NOT_ELIGIBLE, None, file_project(legally_obliged=True), id="obliged by law"),
    pytest.param(R.NOT_ELIGIBLE, (S.METERED, code_taken), issue_batch(), id="the code of an allowance"),
    pytest.param(R.NOT_ELIGIBLE, (S.METERED, code_issued), issue_batch(), id="the code of units issued by hand"),
    pytest.param(R.QUANTITY_NOT_POSITIVE, P.REGISTERED, report(tonnes=0), id="a batch of nothing"),
    pytest.param(R.QUANTITY_NOT_POSITIVE, S.REPORTED, verify(tonnes=0), id="nothing confirmed"),
    pytest.param(R.QUANTITY_NOT_POSITIVE, None, green_power(mwh="2"), id="less than a tonne"),
    pytest.param(R.QUANTITY_NOT_POSITIVE, None, inclusion(grams=0), id="no grams"),
    pytest.param(R.QUANTITY_NOT_POSITIVE, (S.ISSUED, "sold"), replace(quantity=0), id="nothing replaced"),
    pytest.param(R.AMOUNT_TOO_LARGE, P.REGISTERED, report(tonnes=UNITS_MAX + 1), id="a batch of 2^53 and one"),
    pytest.param(R.AMOUNT_TOO_LARGE, None, green_power(mwh="999999999999", factor="99999"), id="green power of 10^17"),
    pytest.param(R.AMOUNT_TOO_LARGE, None, inclusion(grams=UNITS_MAX + 1), id="2^53 grams and one"),
    pytest.param(R.ABOVE_OBLIGATION, (S.ISSUED, "sold"), replace(quantity=901), id="more than is owed"),
    pytest.param(R.INSUFFICIENT_UNITS, (S.ISSUED, "sold"), replace(quantity=1), id="replaced by what is not there"),
]


def sell_all_and_revoke(market):
    market.must(TransferUnits("olga", CODE, 900, to_trading=True))
    market.must(revoke())


@pytest.mark.parametrize(("reason", "stage", "command"), REFUSALS)
def test_refusals(reason, stage, command):
    market = market_of()
    state, done = stage if isinstance(stage, tuple) else (stage, None)
    if isinstance(state, ProjectState):
        a_project(market, state)
    elif state:
        a_batch(market, state)
    if done == "sold":
        sell_all_and_revoke(market)
    elif done:
        done(market)
    refused(market, command, reason)


def test_refusals_are_told_in_the_order_of_their_reasons():
    reasons = [param.values[0] for param in REFUSALS]
    assert reasons == sorted(reasons)


@pytest.mark.parametrize(
    "command",
    [ApproveMethodology("office", "M1", "", "", 10), green_power(), inclusion()],
    ids=lambda c: type(c).__name__,
)
def test_nothing_is_filed_before_the_first_day_of_the_market(command):
    refused(market_of(until="listed"), command, Reason.TOO_EARLY)


def test_a_methodology_is_withdrawn_once():
    market = market_of()
    market.must(WithdrawMethodology("office", "M1"))
    refused(market, WithdrawMethodology("office", "M1"), Reason.WRONG_STATE)


def test_a_batch_is_from_before_what_the_scheme_registers():
    market = market_of(with_schemes(CreditScheme("HBCER", reductions_after=date(2025, 1, 1))))
    a_project(market)
    refused(market, report(), Reason.NOT_ELIGIBLE)
    market.must(report(first_day=date(2025, 1, 2)))


def test_allowances_do_not_replace_credits_where_the_scheme_says_so():
    market = market_of(CREDITS_ONLY)
    a_batch(market)
    sell_all_and_revoke(market)
    refused(market, replace(), Reason.NOT_ELIGIBLE)
    market.must(TransferUnits("olga", CODE, 10, to_trading=False))
    market.must(replace(unit=CODE))


def test_no_more_units_are_issued_than_can_be_numbered():
    market = market_of()
    market.must(green_power(mwh=str(UNITS_MAX)[:12], factor="10000", last_day=date(2025, 6, 30)))
    market.must(green_power(mwh=str(UNITS_MAX)[:12], factor="10000", first_day=date(2025, 7, 1)))
    market.must(issue_batch())
    refused(market, issue_batch(reduction=2), Reason.AMOUNT_TOO_LARGE)


# ---------------------------------------------------------------- life cycles, by table


PROJECT_ACTS = [  # what leads to which state, and from where
    (validate(), ProjectState.VALIDATED, {ProjectState.FILED}),
    (validate(positive=False), ProjectState.REJECTED, {ProjectState.FILED}),
    (publish(), ProjectState.PUBLIC, {ProjectState.VALIDATED}),
    (register(), ProjectState.REGISTERED, {ProjectState.PUBLIC}),
    (reject(), ProjectState.REJECTED, {ProjectState.FILED, ProjectState.VALIDATED, ProjectState.PUBLIC}),
    (suspend(), ProjectState.SUSPENDED, {ProjectState.REGISTERED}),
    (reinstate(), ProjectState.REGISTERED, {ProjectState.SUSPENDED}),
]
REDUCTION_ACTS = {
    ReductionState.VERIFIED: verify(),
    ReductionState.PUBLIC: publish_batch(),
    ReductionState.ISSUED: issue_batch(),
    ReductionState.REJECTED: reject_batch(),
    ReductionState.REVOKED: revoke(),
}


@pytest.mark.parametrize("state", ProjectState)
def test_every_state_of_a_project_is_reached(state):
    market = market_of()
    a_project(market, state)
    assert project(market).state == state


@pytest.mark.parametrize("state", ReductionState)
def test_every_state_of_a_reduction_is_reached(state):
    market = market_of()
    a_batch(market, state)
    assert reduction(market).state == state


def test_the_acts_are_all_that_the_table_of_a_project_has():
    led = {(state, following) for _, following, states in PROJECT_ACTS for state in states}
    assert led == {(state, following) for state in NEXT_PROJECT for following in NEXT_PROJECT[state]}


@pytest.mark.parametrize(
    ("state", "command"),
    [
        pytest.param(state, command, id=f"{state}: {type(command).__name__}, {following}")
        for command, following, states in PROJECT_ACTS
        for state in ProjectState
        if state not in states
    ],
)
def test_a_project_takes_no_step_that_its_table_lacks(state, command):
    market = market_of()
    a_project(market, state)
    refused(market, command, Reason.WRONG_STATE)


@pytest.mark.parametrize(
    ("state", "following"),
    [
        (state, following)
        for following in REDUCTION_ACTS
        for state in ReductionState
        if following not in NEXT_REDUCTION[state]
    ],
)
def test_a_reduction_takes_no_step_that_its_table_lacks(state, following):
    market = market_of()
    a_batch(market, state)
    refused(market, REDUCTION_ACTS[following], Reason.WRONG_STATE)


@pytest.mark.parametrize("state", [state for state in ProjectState if state != ProjectState.REGISTERED])
def test_only_a_registered_project_reports(state):
    market = market_of()
    a_project(market, state)
    refused(market, report(), Reason.WRONG_STATE)


# ---------------------------------------------------------------- rules, memory


def test_two_schemes_of_one_name_are_no_rule_set(tmp_path):
    file = tmp_path / "twice.toml"
    schemes = '[[credits.schemes]]\nname = "HBCER"\n' * 2
    file.write_text(hubei_text() + schemes, encoding="utf-8")
    with pytest.raises(RuleSetError, match="two credit schemes have one name"):
        load_rule_set(str(file))


def test_a_rule_set_names_its_schemes_and_holidays(tmp_path):
    file = tmp_path / "own.toml"
    own = '[credits]\nholidays = [2026-01-01]\n[[credits.schemes]]\nname = "GDPHCER"\nban_years = 1\n'
    file.write_text(hubei_text() + own, encoding="utf-8")
    rules = load_rule_set(str(file)).credits
    assert (rules.holidays, [scheme.name for scheme in rules.schemes]) == ([date(2026, 1, 1)], ["GDPHCER"])


def hubei_text():
    return resources.files("exchange.rulesets").joinpath("hubei.toml").read_text("utf-8")


def test_the_digest_notices_what_is_remembered():
    market = market_of()
    digests = [market.digest()]
    for command in (file_project(), validate(), publish(), green_power(), inclusion(), issue_batch(), revoke()):
        market.must(command)
        digests.append(market.digest())
    assert len(set(digests)) == len(digests)


def test_a_replayed_journal_remembers_the_same():
    market = sold_in_part()
    market.must(revoke())
    market.must(inclusion(by="bob"))
    replayed = Engine(market.engine.journal)
    for _ in replayed.open(HUBEI, market.now_ns):
        pass
    assert replayed.exchange.digest() == market.digest()
