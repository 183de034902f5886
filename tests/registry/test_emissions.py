"""What was emitted: factors in versions, totals of lines, a report's life, what follows from refusal and fraud."""

from datetime import date
from fractions import Fraction
from math import ceil, floor

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from registry.emissions import (
    NEXT_STATE,
    Breach,
    Emissions,
    Evidence,
    Output,
    Report,
    ReportState,
    SourceStream,
    Verdict,
    exact_sum,
    report_line,
    whole_tonnes,
)
from registry.factors import Factor, Factors
from registry.rules import DatedCut, DatedShare, Number, ReportingRules, Share, Year, is_valid

MILL, KILN, VERIFIER, AUTHORITY = 1, 2, 3, 4
DEADLINE, IN_TIME, TOO_LATE = date(2026, 3, 31), date(2026, 3, 31), date(2026, 4, 1)
RULES = ReportingRules(refusal=[DatedShare(2014, "0.5")], fraud=[DatedCut(2024, "0.5", "1")])
COAL = Factor("coal", 1, "2.5", "tCO2/t", 2020, "a laboratory")


def share_left(emissions, account, year):
    """The least share to which an allocation is cut; 1 if nothing cuts it."""
    return min((Fraction(cut.share) for cut in emissions.consequences_of(account, year)), default=1)


def stream(activity="100.2", source="boiler"):
    return SourceStream(source, activity, "t", "coal")


def year_of(*accounts):
    """The reporting of 2025, due from some accounts, with a factor of coal."""
    emissions = Emissions()
    emissions.factors.publish("coal", "2.5", "tCO2/t", 2020, "a laboratory")
    emissions.open(2025, DEADLINE, accounts or (MILL,))
    return emissions


def filed(emissions, account=MILL, activity="100.2"):
    report = emissions.report(account, 2025)
    return emissions.file(report, [report_line(stream(activity), COAL)], [], [], "half_up")


def submitted(emissions, account=MILL, on=IN_TIME):
    return emissions.submit(filed(emissions, account), on)


def verified(emissions, account=MILL, corrected=None):
    verdict = Verdict.CONFIRM if corrected is None else Verdict.CORRECT
    return emissions.verify(submitted(emissions, account), VERIFIER, verdict, corrected, "seen", TOO_LATE)


# ---------------------------------------------------------------- factors


def test_a_version_once_published_stays_as_it_was():
    factors = Factors()
    first = factors.publish("grid", "0.5", "tCO2/MWh", 2023, "yearbook")
    second = factors.publish("grid", "0.4", "tCO2/MWh", 2024, "next yearbook")
    assert (first.version, second.version) == (1, 2)
    assert factors.version("grid", 1) is first
    assert factors.latest("grid") is second
    assert list(factors) == [first, second]
    factors.check()


def test_in_force_is_the_version_of_the_latest_year_begun_and_of_one_year_the_last_published():
    factors = Factors()
    for value, year in [("0.5", 2023), ("0.4", 2025), ("0.6", 2023), ("0.7", 2021)]:
        factors.publish("grid", value, "tCO2/MWh", year, "yearbook")

    in_force = {year: factors.in_force("grid", year) for year in (2020, 2021, 2022, 2023, 2024, 2025, 2026)}
    assert {year: factor and factor.version for year, factor in in_force.items()} == {
        2020: None, 2021: 4, 2022: 4, 2023: 3, 2024: 3, 2025: 2, 2026: 2,
    }  # fmt: skip


def test_what_nobody_published_is_not_found():
    factors = Factors()
    factors.publish("grid", "0.5", "tCO2/MWh", 2023, "yearbook")
    assert factors.latest("coal") is factors.version("coal", 1) is factors.in_force("coal", 2025) is None
    assert factors.version("grid", 0) is factors.version("grid", -1) is factors.version("grid", 2) is None


def test_a_factor_keeps_its_unit():
    factors = Factors()
    factors.publish("grid", "0.5", "tCO2/MWh", 2023, "yearbook")
    with pytest.raises(ValueError, match="grid is in tCO2/MWh, not in tCO2/GJ"):
        factors.publish("grid", "0.14", "tCO2/GJ", 2024, "yearbook")
    assert [factor.version for factor in factors] == [1]


@pytest.mark.parametrize("tampered", [{"version": 3}, {"unit": "tCO2/GJ"}, {"name": "coal"}])
def test_a_table_that_was_tampered_with_is_noticed(tampered):
    factors = Factors()
    factors.publish("grid", "0.5", "tCO2/MWh", 2023, "yearbook")
    second = factors.publish("grid", "0.4", "tCO2/MWh", 2024, "yearbook")
    factors.by_name["grid"][1] = msgspec.structs.replace(second, **tampered)
    with pytest.raises(AssertionError, match="grid"):
        factors.check()


# ---------------------------------------------------------------- totals


def test_a_line_is_exactly_activity_times_factor():
    line = report_line(stream("100.2"), COAL)
    assert (line.factor, line.factor_version, line.emissions) == ("coal", 1, "250.50")


def test_a_line_of_the_longest_numbers_is_still_exact():
    longest = msgspec.structs.replace(COAL, value="999999999999.999999999")
    line = report_line(stream("999999999999.999999999"), longest)
    assert Fraction(line.emissions) == Fraction("999999999999.999999999") ** 2
    assert Fraction(exact_sum([line] * 1000)) == 1000 * Fraction(line.emissions)


@pytest.mark.parametrize("other", [{"activity_unit": "MWh"}, {"factor": "gas"}])
def test_an_activity_in_another_unit_or_of_another_factor_is_not_worked_out(other):
    with pytest.raises(ValueError, match="boiler"):
        report_line(msgspec.structs.replace(stream(), **other), COAL)


@pytest.mark.parametrize(
    ("exact", "half_up", "ceiling"),
    [("0", 0, 0), ("0.000000001", 0, 1), ("2.499999999", 2, 3), ("2.5", 3, 3), ("3.5", 4, 4), ("7", 7, 7)],
)
def test_a_total_is_rounded_by_the_rule(exact, half_up, ceiling):
    line = report_line(stream(exact), msgspec.structs.replace(COAL, value="1"))
    assert whole_tonnes(exact_sum([line]), "half_up") == half_up
    assert whole_tonnes(exact_sum([line]), "ceiling") == ceiling


def test_the_total_is_rounded_and_the_lines_are_not():
    emissions = year_of()
    lines = [report_line(stream("0.16"), COAL)] * 3  # 0.4 t each
    assert emissions.file(emissions.report(MILL, 2025), lines, [], [], "half_up").total == 1


numbers = some.decimals("0", "999999999999.999999999", places=9).map(str).map(lambda text: text.rstrip("0").rstrip("."))
numbers = numbers.map(lambda text: text if is_valid(text, Number) else "0")


@given(some.data())
def test_a_total_is_the_sum_in_fractions_whatever_the_order_of_the_lines(data):
    rows = data.draw(some.lists(some.tuples(numbers, numbers), max_size=12))
    factors = [msgspec.structs.replace(COAL, value=value) for _, value in rows]
    lines = [report_line(stream(row[0]), factor) for row, factor in zip(rows, factors, strict=True)]
    shuffled = data.draw(some.permutations(lines))

    plain = sum((Fraction(activity) * Fraction(value) for activity, value in rows), Fraction(0))
    assert Fraction(exact_sum(shuffled)) == plain
    assert whole_tonnes(exact_sum(shuffled), "half_up") == floor(plain + Fraction(1, 2))
    assert whole_tonnes(exact_sum(shuffled), "ceiling") == ceil(plain)


# ---------------------------------------------------------------- the life of a report

# A story that ends with the last version in a state, and the steps that can be tried from there.
STORIES = {
    ReportState.OUTSTANDING: lambda emissions: emissions.report(MILL, 2025),
    ReportState.DRAFT: filed,
    ReportState.SUBMITTED: submitted,
    ReportState.REJECTED: lambda emissions: emissions.verify(
        submitted(emissions), VERIFIER, Verdict.REJECT, None, "no meter", TOO_LATE
    ),
    ReportState.VERIFIED: verified,
    ReportState.REFUSED: lambda emissions: emissions.close(2025, TOO_LATE, RULES)[0],
    ReportState.ASSESSED: lambda emissions: emissions.assess(
        emissions.close(2025, TOO_LATE, RULES)[0], AUTHORITY, 300, "by its output", TOO_LATE, RULES
    ),
}
STEPS = {
    "file": lambda emissions, report: emissions.file(report, [], [], [], "half_up"),
    "submit": lambda emissions, report: emissions.submit(report, TOO_LATE),
    "verify": lambda emissions, report: emissions.verify(report, VERIFIER, Verdict.CONFIRM, None, "", TOO_LATE),
    "reject": lambda emissions, report: emissions.verify(report, VERIFIER, Verdict.REJECT, None, "no meter", TOO_LATE),
    "restate": lambda emissions, report: emissions.restate(report, MILL, "a meter was wrong", TOO_LATE),
}
LEADS_TO = {
    "file": ReportState.DRAFT,
    "submit": ReportState.SUBMITTED,
    "verify": ReportState.VERIFIED,
    "reject": ReportState.REJECTED,
    "restate": ReportState.RESTATED,
}


@pytest.mark.parametrize("state", STORIES)
@pytest.mark.parametrize("name", STEPS)
def test_a_report_goes_only_where_the_table_leads(state, name):
    emissions = year_of()
    report = STORIES[state](emissions)
    assert emissions.report(MILL, 2025) is report
    assert report.state == state
    before = msgspec.json.encode([*emissions.content()])

    if LEADS_TO[name] in NEXT_STATE[state]:
        STEPS[name](emissions, report)
        reached = [version.state for version in emissions.reports[MILL, 2025]]
        assert LEADS_TO[name] in reached
        assert msgspec.json.encode([*emissions.content()]) != before
        emissions.check()
    else:
        with pytest.raises(ValueError, match=f"a report that is {state} does not become"):
            STEPS[name](emissions, report)
        assert msgspec.json.encode([*emissions.content()]) == before


def test_every_state_is_reached_and_only_the_restated_is_never_left():
    assert set(STORIES) | {ReportState.RESTATED} == set(ReportState) == set(NEXT_STATE)
    assert set().union(*NEXT_STATE.values()) == set(ReportState) - {ReportState.OUTSTANDING}
    assert [state for state in ReportState if not NEXT_STATE[state]] == [ReportState.RESTATED]


def test_reports_of_a_year_become_due_once():
    emissions = year_of()
    with pytest.raises(KeyError, match="2025"):
        emissions.open(2025, DEADLINE, [KILN, MILL])
    assert emissions.report(KILN, 2025) is None
    emissions.open(2025, DEADLINE, [KILN])
    assert [report.account for report in emissions.of(2025)] == [MILL, KILN]


def test_a_report_is_late_by_the_day_of_its_first_submission():
    emissions = year_of(MILL, KILN)
    assert not submitted(emissions, MILL, on=DEADLINE).late
    assert submitted(emissions, KILN, on=TOO_LATE).late
    assert emissions.late(2025) == [KILN]


def test_to_come_back_after_a_rejection_is_not_late():
    emissions = year_of()
    emissions.verify(submitted(emissions), VERIFIER, Verdict.REJECT, None, "no meter", TOO_LATE)
    again = submitted(emissions, on=TOO_LATE)
    assert again.submitted_on == (IN_TIME, TOO_LATE)
    assert not again.late
    emissions.check()


def test_a_late_report_that_was_rejected_stays_late():
    emissions = year_of()
    emissions.verify(submitted(emissions, on=TOO_LATE), VERIFIER, Verdict.REJECT, None, "no meter", TOO_LATE)
    assert submitted(emissions, on=TOO_LATE).late


def test_a_correction_keeps_the_enterprises_total_and_the_difference():
    report = verified(year_of(), corrected=260)
    assert (report.total, report.figure) == (251, 260)
    assert report.verifications[-1].difference == 9


def test_the_earlier_figure_counts_until_the_new_version_has_one():
    emissions = year_of()
    emissions.restate(verified(emissions), MILL, "a meter was wrong", TOO_LATE)
    filed(emissions, activity="200")
    assert emissions.verified(MILL, 2025) == 251
    assert [report.version for report in emissions.outstanding(2025)] == [2]

    report = emissions.submit(emissions.report(MILL, 2025), TOO_LATE)
    emissions.verify(report, VERIFIER, Verdict.CONFIRM, None, "", TOO_LATE)
    assert emissions.verified(MILL, 2025) == 500
    assert emissions.outstanding(2025) == []
    assert emissions.late(2025) == []
    emissions.check()


def test_a_new_version_begins_with_the_content_of_the_old_and_none_of_its_verdicts():
    emissions = year_of()
    old = verified(emissions)
    new = emissions.restate(old, MILL, "a meter was wrong", TOO_LATE)
    assert (new.version, new.state, new.lines, new.total) == (2, ReportState.DRAFT, old.lines, old.total)
    assert new.figure is None
    assert (new.restatement.by, new.restatement.reason) == (MILL, "a meter was wrong")


def test_what_nobody_reported_has_no_figure():
    emissions = year_of()
    assert emissions.verified(MILL, 2025) is emissions.verified(KILN, 2025) is emissions.verified(MILL, 2024) is None
    assert emissions.outstanding(2024) == []
    with pytest.raises(KeyError):
        emissions.trace(KILN, 2025)


# ---------------------------------------------------------------- refusal and fraud


def test_closing_refuses_who_has_not_submitted_and_nobody_else():
    emissions = year_of(1, 2, 3, 4, 5)
    filed(emissions, 2)
    emissions.verify(submitted(emissions, 3), VERIFIER, Verdict.REJECT, None, "no meter", IN_TIME)
    submitted(emissions, 4)
    verified(emissions, 5)

    assert [report.account for report in emissions.close(2025, TOO_LATE, RULES)] == [1, 2, 3]
    assert [report.state for report in emissions.of(2025)] == ["refused"] * 3 + ["submitted", "verified"]
    assert emissions.consequences_of(3, 2026)[0].reason == "no report of 2025 to be verified: it was rejected"
    emissions.check()


def test_closing_leaves_a_restatement_under_way():
    emissions = year_of()
    new = emissions.restate(verified(emissions), MILL, "a meter was wrong", IN_TIME)
    assert emissions.close(2025, TOO_LATE, RULES) == []
    assert emissions.report(MILL, 2025) is new
    assert share_left(emissions, MILL, 2026) == 1


def test_who_refuses_gets_half_of_the_last_allocation_in_the_next_year_only():
    emissions = year_of()
    emissions.close(2025, TOO_LATE, RULES)
    assert emissions.consequences_of(MILL, 2026)[0].breach == Breach.REFUSAL
    shares = [share_left(emissions, MILL, year) for year in (2025, 2026, 2027)]
    assert shares == [1, Fraction(1, 2), 1]
    assert share_left(emissions, KILN, 2026) == 1


def test_where_no_rule_says_so_refusal_cuts_nothing():
    emissions = year_of()
    emissions.close(2025, TOO_LATE, ReportingRules())
    assert emissions.report(MILL, 2025).state == ReportState.REFUSED
    assert share_left(emissions, MILL, 2026) == 1
    emissions.check()


def test_a_rejected_report_that_is_left_lying_is_refused_when_it_is_assessed():
    emissions = year_of()
    submitted(emissions)
    emissions.close(2025, TOO_LATE, RULES)
    report = emissions.verify(emissions.report(MILL, 2025), VERIFIER, Verdict.REJECT, None, "no meter", TOO_LATE)
    assert share_left(emissions, MILL, 2026) == 1

    emissions.assess(report, AUTHORITY, 400, "by its output", TOO_LATE, RULES)
    assert emissions.verified(MILL, 2025) == 400
    assert share_left(emissions, MILL, 2026) == Fraction(1, 2)
    emissions.check()


def test_of_two_cuts_the_deeper_one_counts_and_a_later_sanction_replaces_the_first():
    emissions = year_of()
    report = emissions.verify(submitted(emissions), VERIFIER, Verdict.REJECT, None, "invented", TOO_LATE)
    emissions.close(2025, TOO_LATE, RULES)
    assert emissions.report(MILL, 2025).lines == report.lines
    emissions.sanction(MILL, 2025, "0", "invented", TOO_LATE)
    assert share_left(emissions, MILL, 2026) == 0
    emissions.sanction(MILL, 2025, "0.25", "on appeal", TOO_LATE)
    assert share_left(emissions, MILL, 2026) == Fraction(1, 4)
    assert [cut.breach for cut in emissions.consequences_of(MILL, 2026)] == [Breach.REFUSAL, Breach.FRAUD]
    emissions.check()


# ---------------------------------------------------------------- the trace


def test_a_trace_names_every_input_of_the_figure():
    emissions = year_of()
    emissions.factors.publish("gas", "2.1", "tCO2/kNm3", 2020, "not used")
    output, document = Output("clinker", "90", "t"), Evidence("weighbridge", "0" * 64)
    lines = [report_line(stream(), COAL)]
    report = emissions.file(emissions.report(MILL, 2025), lines, [output], [document], "half_up")
    emissions.verify(emissions.submit(report, IN_TIME), VERIFIER, Verdict.CORRECT, 260, "a second scale", TOO_LATE)

    trace = emissions.trace(MILL, 2025)
    assert (trace.emissions, trace.version, trace.reporting.deadline) == (260, 1, DEADLINE)
    assert trace.factors == (COAL,)
    told = trace.versions[0]
    assert (told.lines, told.outputs, told.evidence) == (tuple(lines), (output,), (document,))
    assert (told.exact, told.rounding, told.total) == ("250.50", "half_up", 251)
    assert (told.verifications[0].verifier, told.verifications[0].difference) == (VERIFIER, 9)
    assert msgspec.json.decode(msgspec.json.encode(trace), type=type(trace)) == trace


def test_what_is_remembered_does_not_depend_on_the_order_of_enterprises():
    one, other = year_of(MILL, KILN), year_of(KILN, MILL)
    for emissions, order in ((one, (MILL, KILN)), (other, (KILN, MILL))):
        for account in order:
            verified(emissions, account)
    assert msgspec.json.encode([*one.content()]) == msgspec.json.encode([*other.content()])


# ---------------------------------------------------------------- it checks itself


def line_changes(report, **changes):
    return {"lines": (msgspec.structs.replace(report.lines[0], **changes),)}


def verdict_changes(report, **changes):
    return {"verifications": (msgspec.structs.replace(report.verifications[0], **changes),)}


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda report: {"total": report.total - 1}, id="a tonne less"),
        pytest.param(lambda report: {"exact": "250.49"}, id="another sum"),
        pytest.param(lambda report: {"lines": report.lines * 2}, id="a line twice"),
        pytest.param(lambda report: {"lines": ()}, id="no line"),
        pytest.param(lambda report: line_changes(report, activity="100"), id="another activity"),
        pytest.param(lambda report: line_changes(report, emissions="250"), id="another product"),
        pytest.param(lambda report: line_changes(report, factor_version=2), id="a version nobody published"),
        pytest.param(lambda report: line_changes(report, activity_unit="MWh"), id="another unit"),
        pytest.param(lambda report: verdict_changes(report, emissions=250), id="another verified figure"),
        pytest.param(lambda report: verdict_changes(report, difference=1), id="another difference"),
        pytest.param(lambda report: verdict_changes(report, verdict=Verdict.CORRECT), id="another verdict"),
        pytest.param(lambda report: verdict_changes(report, verdict=Verdict.REJECT), id="verified though rejected"),
        pytest.param(lambda report: verdict_changes(report, emissions=None), id="verified without a figure"),
        pytest.param(lambda report: {"verifications": ()}, id="verified by nobody"),
        pytest.param(lambda report: {"verifications": report.verifications * 2}, id="verified twice"),
        pytest.param(lambda report: {"submitted_on": ()}, id="never submitted"),
        pytest.param(lambda report: {"late": True}, id="late in time"),
        pytest.param(lambda report: {"submitted_on": (TOO_LATE,)}, id="in time though late"),
        pytest.param(lambda report: {"state": ReportState.DRAFT}, id="a draft with a figure"),
        pytest.param(lambda report: {"state": ReportState.RESTATED}, id="restated without a successor"),
        pytest.param(lambda report: {"state": ReportState.OUTSTANDING}, id="outstanding with lines"),
        pytest.param(lambda report: {"version": 2}, id="another version"),
        pytest.param(lambda report: {"account": KILN}, id="another account"),
        pytest.param(lambda report: {"year": 2024}, id="another year"),
    ],
)
def test_a_report_that_was_tampered_with_is_noticed(tamper):
    emissions = year_of()
    report = verified(emissions)
    emissions.check()
    emissions.reports[MILL, 2025][-1] = msgspec.structs.replace(report, **tamper(report))
    with pytest.raises(AssertionError):
        emissions.check()


def test_a_total_by_another_rounding_is_noticed():
    emissions = year_of()
    lines = [report_line(stream("100.1"), COAL)]  # 250.25 t
    report = emissions.file(emissions.report(MILL, 2025), lines, [], [], "ceiling")
    emissions.check()
    emissions.reports[MILL, 2025][-1] = msgspec.structs.replace(report, rounding="half_up")
    with pytest.raises(AssertionError, match="the total is not the rounded sum"):
        emissions.check()


def test_a_version_that_came_from_nowhere_is_noticed():
    emissions = year_of()
    new = emissions.restate(verified(emissions), MILL, "a meter was wrong", TOO_LATE)
    emissions.reports[MILL, 2025][-1] = msgspec.structs.replace(new, restatement=None)
    with pytest.raises(AssertionError, match="a version came from nowhere"):
        emissions.check()


def test_a_refusal_before_the_close_is_noticed():
    emissions = year_of()
    emissions.reports[MILL, 2025][-1] = Report(MILL, 2025, state=ReportState.REFUSED)
    with pytest.raises(AssertionError, match="nobody has refused before reporting closes"):
        emissions.check()


def test_a_report_forgotten_at_the_close_is_noticed():
    emissions = year_of()
    emissions.close(2025, TOO_LATE, RULES)
    emissions.reports[MILL, 2025][-1] = Report(MILL, 2025)
    with pytest.raises(AssertionError, match="a report was forgotten"):
        emissions.check()


def test_a_consequence_without_a_breach_is_noticed():
    emissions = year_of()
    emissions.sanction(MILL, 2025, "0.5", "for nothing", TOO_LATE)
    with pytest.raises(AssertionError, match="nothing was submitted that could be false"):
        emissions.check()

    emissions = year_of()
    cut = emissions.sanction(MILL, 2025, "0.5", "for nothing", TOO_LATE)
    emissions.consequences = {(MILL, 2026, Breach.REFUSAL): msgspec.structs.replace(cut, breach=Breach.REFUSAL)}
    with pytest.raises(AssertionError, match="nobody refused"):
        emissions.check()


@pytest.mark.parametrize(
    ("value", "kind", "valid"),
    [
        ("12.5", Number, True), ("12.5\n", Number, False), ("-1", Number, False), ("1e3", Number, False),
        ("", Number, False), ("1234567890123", Number, False), ("1.1234567891", Number, False), (12, Number, False),
        ("1.0", Share, True), ("1.1", Share, False), (2025, Year, True), (1989, Year, False), ("2025", Year, False),
    ],
)  # fmt: skip
def test_a_value_is_of_its_kind_or_not(value, kind, valid):
    assert is_valid(value, kind) is valid
