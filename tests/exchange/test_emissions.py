"""Emission reports on the exchange: an enterprise's year, every refusal, every step of a report's life."""

from datetime import date
from fractions import Fraction
from importlib import resources
from typing import get_args

import msgspec
import pytest

from exchange.commands import (
    AssessEmissions,
    ChangeAccountStatus,
    CloseReporting,
    EmissionsCommand,
    FileReport,
    OpenAccount,
    OpenReporting,
    PublishFactor,
    RestateReport,
    SanctionReport,
    SubmitReport,
    VerifyReport,
)
from exchange.engine import Engine
from exchange.journal import MemoryJournal
from exchange.reasons import Reason
from exchange.rules import RuleSetError, load_rule_set
from exchange.state import UNITS_MAX
from registry.accounts import AccountStatus, ParticipantClass
from registry.emissions import Evidence, Output, ReportState, SourceStream, Verdict
from registry.rules import EmissionFactor, ReportingRules
from tests.exchange.market import Market, Stake, nothing, verifier

enterprise = Stake(participant_class=ParticipantClass.COVERED_ENTERPRISE)
authority = Stake(participant_class=ParticipantClass.REGISTRY_AUTHORITY)

DEADLINE, DAY_AFTER, LATER = "2026-03-31", "2026-04-01", "2026-06-30"
GRID = SourceStream("purchased electricity", "1000.5", "MWh", "grid Hubei")  # x 0.4044 = 404.6022 t
COAL = SourceStream("boiler", "100.2", "t", "coal")  # x 2.5 = 250.5 t
SCALE = Evidence("weighbridge log", "ab" * 32)
CLINKER = Output("clinker", "90000.5", "t")


def share_left(emissions, account, year):
    """The least share to which an allocation is cut; 1 if nothing cuts it."""
    return min((Fraction(cut.share) for cut in emissions.consequences_of(account, year)), default=1)


def registry(**people):
    """A market on its first day, with a mill, a kiln, two verifiers and a factor of coal; one is the mill's own."""
    usual = {
        "mill": enterprise.of("Li"),
        "kiln": enterprise,
        "vera": verifier,
        "vito": verifier.of("Li"),
        "bureau": authority,
        "fund": nothing,
    }
    market = Market(until="open", **usual, **people)
    market.must(PublishFactor("bureau", "coal", 1, "2.5", "tCO2/t", 2020, "a laboratory"))
    return market


def reporting(**people):
    """The same, where the mill and the kiln have to report 2025."""
    market = registry(**people)
    market.must(OpenReporting("bureau", 2025, date.fromisoformat(DEADLINE)))
    return market


def on(market, day):
    market.play(f"close\nsettle\nopen {day}")


def emissions(market):
    return market.exchange.emissions


def report(market, name="mill"):
    return emissions(market).report(market.number(name), 2025)


def states(market, name="mill"):
    return [version.state for version in emissions(market).reports[market.number(name), 2025]]


def file(name="mill", *lines):
    return FileReport(name, 2025, lines or (GRID, COAL), (CLINKER,), (SCALE,))


def confirm(name="mill"):
    return VerifyReport("vera", name, 2025, Verdict.CONFIRM)


def correct(tonnes, name="mill", reasons="a second scale"):
    return VerifyReport("vera", name, 2025, Verdict.CORRECT, tonnes, reasons)


def reject(name="mill"):
    return VerifyReport("vera", name, 2025, Verdict.REJECT, reasons="no meter readings")


def restate(by="mill"):
    return RestateReport(by, "mill", 2025, "a meter was wrong")


def assess(tonnes=900, name="mill"):
    return AssessEmissions("bureau", name, 2025, tonnes, "by its output")


def sanction(share="0.5"):
    return SanctionReport("bureau", "mill", 2025, share, "invented readings")


CLOSE = CloseReporting("bureau", 2025)
SUBMIT = SubmitReport("mill", 2025)


# ---------------------------------------------------------------- an enterprise's year


def test_an_enterprise_reports_and_is_verified():
    market = reporting()

    assert market.do(file()) == "ReportFiled"
    on(market, DEADLINE)
    assert market.do(SUBMIT) == "ReportSubmitted"
    on(market, LATER)
    assert market.do(confirm()) == "ReportVerified"

    verified = market.event.report
    assert [line.emissions for line in verified.lines] == ["404.60220", "250.50"]
    assert (Fraction(verified.exact), verified.total, verified.late) == (Fraction("655.1022"), 655, False)
    assert emissions(market).verified(market.number("mill"), 2025) == 655
    assert [waiting.account for waiting in emissions(market).outstanding(2025)] == [market.number("kiln")]


def test_every_number_traces_to_its_inputs():
    market = reporting()
    market.must(file())
    market.must(SUBMIT)
    market.must(correct(700))
    market.must(restate("bureau"))
    market.must(file("mill", GRID))
    market.must(SUBMIT)
    market.must(confirm())

    trace = emissions(market).trace(market.number("mill"), 2025)
    first, second = trace.versions
    assert (trace.emissions, trace.version) == (405, 2)
    assert (first.total, first.verifications[0].emissions, first.verifications[0].difference) == (655, 700, 45)
    assert first.verifications[0].reasons == "a second scale"
    assert (first.outputs, first.evidence) == ((CLINKER,), (SCALE,))
    assert second.restatement.by == market.number("bureau")
    assert [(factor.name, factor.version, factor.value) for factor in trace.factors] == [
        ("coal", 1, "2.5"),
        ("grid Hubei", 1, "0.4044"),
    ]
    factors = {(factor.name, factor.version): factor for factor in trace.factors}
    for version in trace.versions:
        plain = [
            Fraction(line.activity) * Fraction(factors[line.factor, line.factor_version].value)
            for line in version.lines
        ]
        assert sum(plain) == Fraction(version.exact)


def test_a_factor_published_later_changes_no_report_until_it_is_filed_anew():
    market = reporting()
    market.must(file("mill", COAL))
    market.must(PublishFactor("bureau", "coal", 2, "3", "tCO2/t", 2025, "another laboratory"))
    market.must(SUBMIT)
    assert (report(market).lines[0].factor_version, report(market).total) == (1, 251)
    market.must(confirm())

    market.must(restate())
    market.must(file("mill", COAL))
    assert (report(market).lines[0].factor_version, report(market).total) == (2, 301)
    market.must(file("mill", msgspec.structs.replace(COAL, factor_version=1)))
    assert (report(market).lines[0].factor_version, report(market).total) == (1, 251)


def test_a_rejected_report_comes_back_corrected():
    market = reporting()
    market.must(file("mill", GRID))
    market.must(SUBMIT)
    assert market.do(reject()) == "ReportRejected"
    assert emissions(market).verified(market.number("mill"), 2025) is None

    market.must(file())
    market.must(SUBMIT)
    market.must(confirm())
    assert [given.verdict for given in report(market).verifications] == [Verdict.REJECT, Verdict.CONFIRM]
    assert emissions(market).verified(market.number("mill"), 2025) == 655


def test_who_submits_on_the_deadline_is_in_time_and_the_day_after_late():
    market = reporting()
    market.must(file("mill"))
    market.must(file("kiln"))
    on(market, DEADLINE)
    market.must(SUBMIT)
    on(market, DAY_AFTER)
    market.must(SubmitReport("kiln", 2025))
    market.must(CLOSE)
    assert (report(market, "mill").late, report(market, "kiln").late) == (False, True)
    assert emissions(market).late(2025) == [market.number("kiln")]
    assert share_left(emissions(market), market.number("kiln"), 2026) == 1


def test_who_refuses_is_assessed_and_gets_half_of_the_last_allocation():
    market = reporting()
    market.must(file("mill"))
    market.must(SUBMIT)
    on(market, DAY_AFTER)
    assert market.do(CLOSE) == "ReportingClosed"
    kiln = market.number("kiln")
    assert (market.event.refused, [cut.share for cut in market.event.consequences]) == ([kiln], ["0.5"])

    assert market.do(assess(900, "kiln")) == "EmissionsAssessed"
    assert emissions(market).verified(kiln, 2025) == 900
    assert share_left(emissions(market), kiln, 2026) == Fraction(1, 2)
    assert share_left(emissions(market), market.number("mill"), 2026) == 1


def test_verification_goes_on_after_the_close():
    market = reporting()
    market.must(file())
    market.must(SUBMIT)
    on(market, LATER)
    market.must(CLOSE)
    market.must(reject())
    market.must(file())
    market.must(SUBMIT)
    market.must(confirm())
    assert not report(market).late
    assert emissions(market).verified(market.number("mill"), 2025) == 655


def test_the_authority_reopens_what_it_assessed():
    market = reporting()
    on(market, DAY_AFTER)
    market.must(CLOSE)
    market.must(assess(900))
    market.must(restate("bureau"))
    market.must(file())
    assert emissions(market).verified(market.number("mill"), 2025) == 900
    market.must(SUBMIT)
    market.must(confirm())
    assert emissions(market).verified(market.number("mill"), 2025) == 655
    assert share_left(emissions(market), market.number("mill"), 2026) == Fraction(1, 2)


def test_false_data_cut_the_next_allocation_and_the_true_figure_is_found():
    market = reporting()
    market.must(file())
    market.must(SUBMIT)
    market.must(confirm())
    assert market.do(sanction("0.25")) == "ReportSanctioned"
    market.must(restate("bureau"))
    on(market, DAY_AFTER)
    market.must(CLOSE)
    market.must(assess(1200))

    mill = market.number("mill")
    assert emissions(market).verified(mill, 2025) == 1200
    assert share_left(emissions(market), mill, 2026) == Fraction(1, 4)
    cuts = emissions(market).trace(mill, 2025).consequences
    assert [(cut.breach, cut.share, cut.year) for cut in cuts] == [("refusal", "0.5", 2026), ("fraud", "0.25", 2026)]
    assert states(market) == [ReportState.RESTATED, ReportState.ASSESSED]


@pytest.mark.parametrize(("share", "left"), [("0", 0), ("0.5", Fraction(1, 2))])
def test_false_data_cut_an_allocation_by_half_at_least_and_by_all_of_it_at_most(share, left):
    market = reporting()
    verified(market)
    market.must(sanction(share))
    assert share_left(emissions(market), market.number("mill"), 2026) == left


def test_a_report_is_due_from_all_covered_enterprises_that_can_report_or_from_those_named():
    market = registry(frozen=enterprise)
    market.must(OpenAccount("waiting", "Waiting", ParticipantClass.COVERED_ENTERPRISE, approved=False))
    market.must(ChangeAccountStatus("bureau", "frozen", AccountStatus.FROZEN, "a court says so"))

    market.must(OpenReporting("bureau", 2025, date.fromisoformat(DEADLINE)))
    assert market.event.accounts == [market.number(name) for name in ("mill", "kiln", "frozen")]
    market.must(OpenReporting("bureau", 2024, date(2026, 3, 31), ("kiln", "kiln")))
    assert market.event.accounts == [market.number("kiln")]
    market.must(file("frozen"))


def test_who_was_forgotten_or_came_later_reports_as_well_until_reporting_closes():
    market = registry()
    market.must(OpenReporting("bureau", 2024, date(2026, 3, 31), ("kiln",)))
    assert market.do(changed(OPEN_2024, deadline=date(2026, 3, 30))) == "refused: invalid_date"
    market.must(OpenReporting("bureau", 2024, date(2026, 3, 31)))
    assert market.event.accounts == [market.number("mill")]
    assert market.do(OpenReporting("bureau", 2024, date(2026, 3, 31))) == "refused: period_exists"


def test_a_market_that_rounds_up():
    rules = msgspec.structs.replace(load_rule_set("hubei"), reporting=ReportingRules(round="ceiling"))
    market = Market(rules, until="open", mill=enterprise, bureau=authority)
    market.must(OpenReporting("bureau", 2025, date.fromisoformat(DEADLINE)))
    market.must(file("mill", GRID))
    assert (report(market).exact, report(market).rounding, report(market).total) == ("404.60220", "ceiling", 405)
    market.must(file("mill", msgspec.structs.replace(GRID, activity="1000")))
    assert report(market).total == 405  # 404.4 t


def test_the_journal_brings_back_the_same_reports():
    journal = MemoryJournal()
    market = Market(until="open", journal=journal, mill=enterprise, vera=verifier, bureau=authority)
    market.must(OpenReporting("bureau", 2025, date.fromisoformat(DEADLINE)))
    for command in (file("mill", GRID), SUBMIT, correct(700), restate("bureau"), sanction()):
        market.must(command)

    again = Engine(journal)
    for _ in again.open(market.rules, market.now_ns):
        pass
    assert again.exchange.digest() == market.digest()
    assert [*again.exchange.emissions.content()] == [*emissions(market).content()]


def test_the_digest_tells_factors_deadlines_and_consequences_apart():
    digests = []
    for extra in ((), (FACTOR,), (sanction("0"),), (sanction("0.5"),)):
        market = reporting()
        verified(market)
        for command in extra:
            market.must(command)
        digests.append(market.digest())
    for deadline in (date(2026, 3, 31), date(2026, 4, 30)):
        market = registry()
        market.must(OpenReporting("bureau", 2025, deadline))
        digests.append(market.digest())
    assert len(set(digests)) == len(digests)


# ---------------------------------------------------------------- the factor table of the rule set


def test_the_grid_factors_of_2023_are_there_from_the_first_day():
    factors = emissions(registry()).factors
    assert {factor.name: (factor.value, factor.unit) for factor in factors if factor.name != "coal"} == {
        "grid national": ("0.5306", "tCO2/MWh"),
        "grid Hubei": ("0.4044", "tCO2/MWh"),
        "grid Central China": ("0.5271", "tCO2/MWh"),
        "grid national without traded non-fossil": ("0.6096", "tCO2/MWh"),
        "grid national fossil": ("0.8273", "tCO2/MWh"),
    }
    assert factors.in_force("grid Hubei", 2022) is None
    assert factors.in_force("grid Hubei", 2025) == factors.version("grid Hubei", 1)


def test_a_market_without_a_table_begins_with_none():
    market = Market("generic", until="open", bureau=authority)
    assert [*emissions(market).factors] == []
    market.must(PublishFactor("bureau", "grid", 1, "0.5", "tCO2/MWh", 2020, "invented"))
    assert [factor.name for factor in emissions(market).factors] == ["grid"]


@pytest.mark.parametrize(
    ("unit", "said"), [("tCO2/GJ", "emission factor 'grid' is in two units"), ("kgCO2/kWh", "emission_factors")]
)
def test_a_rule_set_with_a_wrong_unit_is_not_loaded(tmp_path, unit, said):
    generic = resources.files("exchange.rulesets").joinpath("generic.toml").read_text("utf-8")
    grid = '[[emission_factors]]\nname = "grid"\nvalid_from_year = 2023\nvalue = "0.5"\nsource = "invented"\nunit = '
    file = tmp_path / "mine.toml"
    file.write_text(f'{generic}\n{grid}"tCO2/MWh"\n{grid}"{unit}"\n', encoding="utf-8")
    with pytest.raises(RuleSetError, match=said):
        load_rule_set(str(file))


def test_a_factor_named_twice_in_a_rule_set_has_two_versions():
    grid = EmissionFactor("grid", 2023, "0.5", "tCO2/MWh", "invented")
    rules = msgspec.structs.replace(
        load_rule_set("generic"), emission_factors=[grid, msgspec.structs.replace(grid, valid_from_year=2024)]
    )
    market = Market(rules, until="open")
    assert [(factor.version, factor.valid_from_year) for factor in emissions(market).factors] == [(1, 2023), (2, 2024)]


# ---------------------------------------------------------------- every refusal

FACTOR = PublishFactor("bureau", "coal", 2, "3", "tCO2/t", 2025, "another laboratory")
OPEN_2024 = OpenReporting("bureau", 2024, date(2025, 3, 31))
HUGE = msgspec.structs.replace(COAL, activity="999999999999", factor="huge")


def changed(command, **changes):
    return msgspec.structs.replace(command, **changes)


def line(**changes):
    return file("mill", changed(COAL, **changes))


def submitted(market):
    market.must(file())
    market.must(SUBMIT)


def verified(market):
    submitted(market)
    market.must(confirm())


def closed(market):
    on(market, DAY_AFTER)
    market.must(CLOSE)


def assessed(market):
    closed(market)
    market.must(assess())


def with_huge(market):
    market.must(PublishFactor("bureau", "huge", 1, "999999999999", "tCO2/t", 2020, "invented"))


def with_next(market):
    market.must(PublishFactor("bureau", "coal", 2, "3", "tCO2/t", 2026, "of next year"))


def one_joins(market):
    market.join("newcomer", enterprise)


def one_joins_too_late(market):
    closed(market)
    one_joins(market)


def one_waits(market):
    market.must(OpenAccount("waiting", "Waiting", ParticipantClass.COVERED_ENTERPRISE, approved=False))


def vera_is_restricted(market):
    submitted(market)
    market.must(ChangeAccountStatus("bureau", "vera", AccountStatus.RESTRICTED, "its papers do not match"))


def at_first(market):
    pass


# (reason, what happened before, the command): by command, in the order of `Reason`
REFUSALS = [
    (Reason.UNKNOWN_ACCOUNT, at_first, changed(FACTOR, by="zoe")),
    (Reason.NOT_PERMITTED, at_first, changed(FACTOR, by="vera")),
    (Reason.FACTOR_EXISTS, at_first, changed(FACTOR, version=1)),
    (Reason.FACTOR_EXISTS, at_first, changed(FACTOR, version=0)),
    (Reason.INVALID_DATE, at_first, changed(FACTOR, valid_from_year=1)),
    (Reason.INVALID_NUMBER, at_first, changed(FACTOR, version=3)),
    (Reason.INVALID_NUMBER, at_first, changed(FACTOR, name="gas")),
    (Reason.INVALID_NUMBER, at_first, changed(FACTOR, value="-3")),
    (Reason.INVALID_NUMBER, at_first, changed(FACTOR, value="3\n")),
    (Reason.INVALID_NUMBER, at_first, changed(FACTOR, name="gas", version=1, unit="kgCO2/kWh")),
    (Reason.INVALID_NUMBER, at_first, changed(FACTOR, unit="tCO2/GJ")),
    (Reason.UNKNOWN_ACCOUNT, at_first, changed(OPEN_2024, by="zoe")),
    (Reason.UNKNOWN_ACCOUNT, at_first, changed(OPEN_2024, accounts=("mill", "zoe"))),
    (Reason.NOT_PERMITTED, at_first, changed(OPEN_2024, by="mill")),
    (Reason.PERIOD_EXISTS, at_first, changed(OPEN_2024, year=2025, deadline=date(2026, 5, 1))),
    (Reason.WRONG_STATE, one_joins_too_late, changed(OPEN_2024, year=2025, accounts=())),
    (Reason.INVALID_DATE, one_joins, changed(OPEN_2024, year=2025, accounts=(), deadline=date(2026, 5, 1))),
    (Reason.INVALID_DATE, at_first, changed(OPEN_2024, deadline=date(2024, 12, 31))),
    (Reason.INVALID_DATE, at_first, changed(OPEN_2024, year=-1)),
    (Reason.NOT_COVERED, at_first, changed(OPEN_2024, accounts=("mill", "fund"))),
    (Reason.NOT_COVERED, one_waits, changed(OPEN_2024, accounts=("mill", "waiting"))),
    (Reason.UNKNOWN_ACCOUNT, at_first, file("zoe")),
    (Reason.NOT_PERMITTED, at_first, file("fund")),
    (Reason.NOT_PERMITTED, one_waits, file("waiting")),
    (Reason.UNKNOWN_PERIOD, at_first, changed(file(), year=2024)),
    (Reason.UNKNOWN_REPORT, one_joins, file("newcomer")),
    (Reason.UNKNOWN_FACTOR, at_first, line(factor="gas")),
    (Reason.UNKNOWN_FACTOR, at_first, line(factor_version=2)),
    (Reason.UNKNOWN_FACTOR, at_first, line(factor_version=0)),
    (Reason.WRONG_STATE, submitted, file()),
    (Reason.WRONG_STATE, verified, file()),
    (Reason.WRONG_STATE, closed, file()),
    (Reason.INVALID_NUMBER, at_first, line(activity="-1")),
    (Reason.INVALID_NUMBER, at_first, line(activity="1e3")),
    (Reason.INVALID_NUMBER, at_first, line(activity_unit="MWh")),
    (Reason.INVALID_NUMBER, with_next, line(factor_version=2)),
    (Reason.INVALID_NUMBER, at_first, changed(file(), outputs=(changed(CLINKER, value="many"),))),
    (Reason.INVALID_NUMBER, at_first, changed(file(), evidence=(changed(SCALE, sha256="AB" * 32),))),
    (Reason.NO_BASIS, at_first, changed(file(), lines=())),
    (Reason.AMOUNT_TOO_LARGE, with_huge, file("mill", HUGE)),
    (Reason.UNKNOWN_ACCOUNT, at_first, changed(SUBMIT, account_id="zoe")),
    (Reason.NOT_PERMITTED, at_first, changed(SUBMIT, account_id="fund")),
    (Reason.UNKNOWN_PERIOD, at_first, changed(SUBMIT, year=2024)),
    (Reason.UNKNOWN_REPORT, one_joins, changed(SUBMIT, account_id="newcomer")),
    (Reason.WRONG_STATE, at_first, SUBMIT),
    (Reason.UNKNOWN_ACCOUNT, submitted, changed(confirm(), by="zoe")),
    (Reason.UNKNOWN_ACCOUNT, submitted, confirm("zoe")),
    (Reason.NOT_PERMITTED, submitted, changed(confirm(), by="bureau")),
    (Reason.NOT_PERMITTED, submitted, changed(confirm(), by="mill")),
    (Reason.NOT_PERMITTED, vera_is_restricted, confirm()),
    (Reason.UNKNOWN_PERIOD, submitted, changed(confirm(), year=2024)),
    (Reason.UNKNOWN_REPORT, submitted, confirm("fund")),
    (Reason.SAME_VERIFIER, submitted, changed(confirm(), by="vito")),
    (Reason.WRONG_STATE, at_first, confirm()),
    (Reason.WRONG_STATE, verified, confirm()),
    (Reason.INVALID_NUMBER, submitted, correct(None)),
    (Reason.INVALID_NUMBER, submitted, correct(-1)),
    (Reason.INVALID_NUMBER, submitted, correct(655)),
    (Reason.INVALID_NUMBER, submitted, changed(confirm(), emissions=655)),
    (Reason.INVALID_NUMBER, submitted, changed(reject(), emissions=0)),
    (Reason.NO_BASIS, submitted, correct(700, reasons="")),
    (Reason.NO_BASIS, submitted, changed(reject(), reasons="")),
    (Reason.AMOUNT_TOO_LARGE, submitted, correct(UNITS_MAX + 1)),
    (Reason.UNKNOWN_ACCOUNT, verified, changed(restate(), by="zoe")),
    (Reason.UNKNOWN_ACCOUNT, verified, changed(restate("bureau"), account_id="zoe")),
    (Reason.NOT_PERMITTED, verified, restate("kiln")),
    (Reason.NOT_PERMITTED, verified, restate("vera")),
    (Reason.NOT_PERMITTED, assessed, restate("mill")),
    (Reason.UNKNOWN_PERIOD, verified, changed(restate(), year=2024)),
    (Reason.UNKNOWN_REPORT, verified, changed(restate("bureau"), account_id="fund")),
    (Reason.WRONG_STATE, submitted, restate()),
    (Reason.UNKNOWN_ACCOUNT, at_first, changed(CLOSE, by="zoe")),
    (Reason.NOT_PERMITTED, at_first, changed(CLOSE, by="mill")),
    (Reason.UNKNOWN_PERIOD, at_first, changed(CLOSE, year=2024)),
    (Reason.WRONG_STATE, closed, CLOSE),
    (Reason.TOO_EARLY, lambda market: on(market, DEADLINE), CLOSE),
    (Reason.UNKNOWN_ACCOUNT, closed, changed(assess(), by="zoe")),
    (Reason.UNKNOWN_ACCOUNT, closed, assess(900, "zoe")),
    (Reason.NOT_PERMITTED, closed, changed(assess(), by="vera")),
    (Reason.UNKNOWN_PERIOD, closed, changed(assess(), year=2024)),
    (Reason.UNKNOWN_REPORT, closed, assess(900, "fund")),
    (Reason.WRONG_STATE, assessed, assess()),
    (Reason.WRONG_STATE, verified, assess()),
    (Reason.TOO_EARLY, at_first, assess()),
    (Reason.INVALID_NUMBER, closed, assess(-1)),
    (Reason.AMOUNT_TOO_LARGE, closed, assess(UNITS_MAX + 1)),
    (Reason.UNKNOWN_ACCOUNT, verified, changed(sanction(), by="zoe")),
    (Reason.UNKNOWN_ACCOUNT, verified, changed(sanction(), account_id="zoe")),
    (Reason.NOT_PERMITTED, verified, changed(sanction(), by="vera")),
    (Reason.UNKNOWN_PERIOD, verified, changed(sanction(), year=2024)),
    (Reason.UNKNOWN_REPORT, verified, changed(sanction(), account_id="fund")),
    (Reason.WRONG_STATE, at_first, sanction()),
    (Reason.INVALID_NUMBER, verified, sanction("half")),
    (Reason.INVALID_NUMBER, verified, sanction("0.500001")),
    (Reason.INVALID_NUMBER, verified, sanction("1")),
]


@pytest.mark.parametrize(
    ("reason", "before", "command"),
    [pytest.param(*row, id=f"{number} {type(row[2]).__name__}: {row[0].code}") for number, row in enumerate(REFUSALS)],
)
def test_a_refusal_has_its_reason_and_changes_nothing(reason, before, command):
    market = reporting()
    before(market)
    digest = market.digest()
    assert market.do(command) == f"refused: {reason.code}"
    assert market.digest() == digest


def test_the_refusals_of_each_command_are_listed_in_the_order_of_the_reasons():
    commands = {type(command) for _, _, command in REFUSALS}
    assert commands == set(get_args(EmissionsCommand))
    for kind in commands:
        reasons = [reason for reason, _, command in REFUSALS if type(command) is kind]
        assert reasons == sorted(reasons), kind.__name__


def test_nobody_covered_has_nothing_to_report():
    market = Market(until="open", bureau=authority, fund=nothing)
    digest = market.digest()
    assert market.do(OPEN_2024) == "refused: not_covered"
    assert market.digest() == digest


def test_where_no_rule_cuts_for_false_data_none_is_sanctioned():
    market = registry()
    market.must(OpenReporting("bureau", 2023, date(2026, 3, 31)))
    market.must(changed(file(), year=2023))
    market.must(changed(SUBMIT, year=2023))
    digest = market.digest()
    assert market.do(changed(sanction(), year=2023)) == "refused: no_basis"
    assert market.digest() == digest


def test_before_the_first_day_nothing_is_submitted():
    market = Market(until="listed", mill=enterprise, bureau=authority)
    market.must(OpenReporting("bureau", 2025, date.fromisoformat(DEADLINE)))
    market.must(file("mill", GRID))
    digest = market.digest()
    assert market.do(SUBMIT) == market.do(CLOSE) == "refused: too_early"
    assert market.digest() == digest


# ---------------------------------------------------------------- every state, every step


def rejected(market):
    submitted(market)
    market.must(reject())


STORIES = {
    ReportState.OUTSTANDING: at_first,
    ReportState.DRAFT: lambda market: market.must(file()),
    ReportState.SUBMITTED: submitted,
    ReportState.REJECTED: rejected,
    ReportState.VERIFIED: verified,
    ReportState.REFUSED: closed,
    ReportState.ASSESSED: assessed,
}
OPEN, UNDER_WAY = ReportState.OUTSTANDING, {ReportState.DRAFT, ReportState.REJECTED}
# What a step makes of a report, and from where.
TRIES = {
    "file": (file("mill", GRID), ReportState.DRAFT, {OPEN, *UNDER_WAY}),
    "submit": (SUBMIT, ReportState.SUBMITTED, {ReportState.DRAFT}),
    "confirm": (confirm(), ReportState.VERIFIED, {ReportState.SUBMITTED}),
    "correct": (correct(700), ReportState.VERIFIED, {ReportState.SUBMITTED}),
    "reject": (reject(), ReportState.REJECTED, {ReportState.SUBMITTED}),
    "restate": (restate("bureau"), ReportState.DRAFT, {ReportState.VERIFIED, ReportState.ASSESSED}),
    "close": (CLOSE, ReportState.REFUSED, {OPEN, *UNDER_WAY}),
    "assess": (assess(), ReportState.ASSESSED, {ReportState.REFUSED}),
}


@pytest.mark.parametrize("state", STORIES)
def test_from_every_state_only_the_steps_of_the_table_are_taken(state):
    for name, (command, end, starts) in TRIES.items():
        market = reporting()
        STORIES[state](market)
        if name == "close":
            on(market, LATER)
        assert report(market).state == state
        closes = name == "close" and emissions(market).years[2025].closed_on is None
        digest, said = market.digest(), market.do(command)
        if state in starts:
            assert "refused" not in said, (name, said)
            assert report(market).state == end
            assert market.digest() != digest
        elif closes:  # it waits for its verifier, or has its figure
            assert (said, report(market).state) == ("ReportingClosed", state)
        else:
            expected = "too_early" if name == "assess" and state in {OPEN, *UNDER_WAY} else "wrong_state"
            assert said == f"refused: {expected}", name
            assert market.digest() == digest


def test_every_state_is_reached():
    assert {*STORIES, ReportState.RESTATED} == set(ReportState)
    market = reporting()
    verified(market)
    market.must(restate())
    assert states(market) == [ReportState.RESTATED, ReportState.DRAFT]
