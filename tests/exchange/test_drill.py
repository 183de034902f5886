"""The drill: it tells every step, it reconciles in every mode, and it says so if it does not."""

import io

import pytest
from rich.console import Console
from typer.testing import CliRunner

from exchange import drill as drills
from exchange.cli import app
from exchange.drill import DEFAULTERS, DrillError, reconcile, run_drill, show
from exchange.rules import load_rule_set
from exchange.transition.step import HOUSE, RESERVE
from settlement.default import CaseState
from settlement.rules import Mode


@pytest.fixture(scope="module", params=list(Mode), ids=str)
def drill(request):
    return run_drill(load_rule_set("national"), request.param)


def shown(drill):
    console = Console(file=io.StringIO(), width=200)
    show(drill, console)
    return console.file.getvalue()


def test_one_is_covered_one_cures_one_is_closed_out(drill):
    states = {name: drill.case_of(name).state for name in DEFAULTERS}
    assert states == {"TRADER": CaseState.COVERED, "SHOP": CaseState.CURED, "FARM": CaseState.CLOSED}
    assert drill.compensations == {"MILL": 150_000}


def test_the_reserve_pays_before_the_house_and_all_is_repaid(drill):
    claims = [claim for claim in drill.exchange.clearing.defaults.claims if drill.name(claim.account) == "TRADER"]
    assert [drill.name(claim.creditor) for claim in claims] == [RESERVE, HOUSE]
    assert all(claim.repaid == claim.amount for claim in claims)
    covered, end = drill.stands[-2:]
    assert covered.tonnes[RESERVE] == 1_000 and end.tonnes[RESERVE] == 0


def test_every_step_is_told(drill):
    text = shown(drill)
    for said in (
        "TRADER lacks 9,933.06", "FARM lacks 400 t", "notified, restricted", "refused, too_early", "refused, too_late",
        "case 2 cured", "RESERVE gives", "EXCHANGE gives", "closed out: MILL gets 1,500.00", "buys the security",
        "Cases and recourse", "Everybody who did not fail has what was due",
    ):  # fmt: skip
        assert said in text
    assert drill.rules.settlement.mode in text


def test_the_drill_is_the_same_on_every_run(drill):
    again = run_drill(load_rule_set("national"), Mode(drill.rules.settlement.mode))
    assert again.exchange.digest() == drill.exchange.digest()
    assert shown(again) == shown(drill)


def test_a_rule_set_without_a_reserve_gets_the_drills_own():
    drill = run_drill(load_rule_set("generic"))
    assert drill.own_reserve and "brings its own" in shown(drill)


def test_what_does_not_reconcile_is_an_error():
    drill = run_drill(load_rule_set("generic"))
    drill.stands[-1].cash["PLANT"] += 1
    with pytest.raises(AssertionError, match="PLANT was due"):
        reconcile(drill)


def test_the_command_line_shows_it_and_fails_with_2_if_a_step_does_not_end_as_it_must(monkeypatch):
    ran = CliRunner().invoke(app, ["drill", "default", "--mode", "net_net", "--rules", "hubei"])
    assert ran.exit_code == 0, ran.output
    assert "net_net" in ran.output and "has what was due" in ran.output

    monkeypatch.setitem(drills.STAKES, "TRADER", (100_000_000, 100))
    ran = CliRunner().invoke(app, ["drill", "default"])
    assert ran.exit_code == 2 and "drill_failed: TRADER did not fail" in ran.output
    with pytest.raises(DrillError):
        run_drill(load_rule_set("national"))
