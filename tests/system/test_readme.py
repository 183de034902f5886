"""The README's tour, word for word, against an exchange that has just traded its demonstration day."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.desk import run
from tests.system.server import Server
from tests.system.test_cli import carbonex

README = Path(__file__).parents[2] / "README.md"


def bash_blocks():
    return re.findall(r"```bash\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """The demonstration day."""
    made = tmp_path_factory.mktemp("readme") / "exchange.journal"
    demo = carbonex("demo", "--exit", "--seconds", 4, "--port", 0, "--journal", made)
    assert demo.returncode == 0, demo.stderr
    return made


def tour(server):
    """The answers to the five minutes with curl."""
    calls = [call for block in bash_blocks() if "curl" in block for call in re.split(r"\n(?=curl)", block.strip())]
    answers = []
    for call in calls[:10]:  # those of the section; settlement has some of its own
        local = call.replace("localhost:8000", f"127.0.0.1:{server.port}").replace("curl", "curl -s", 1)
        ended = subprocess.run(["bash", "-c", local], capture_output=True, text=True, check=True, timeout=20)
        answers.append(json.loads(ended.stdout))
        assert "code" not in answers[-1], f"{call}\n{ended.stdout}"
    return answers


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="the tour needs curl, which this machine lacks")


@needs_curl
def test_the_tour_works_as_written(journal):
    with Server(journal) as server:
        answers = tour(server)
    bought, statement, digest = answers[4], answers[7], answers[9]["digest"]
    assert bought["status"] == "filled" and bought["fills"][0]["liquidity"] == "taker"
    assert any(entry["cause"] == "purchase" for entry in statement["entries"])
    with Server(journal) as server:
        ended = subprocess.run(["curl", "-s", f"{server.url}/v1/state"], capture_output=True, text=True, check=True)
        assert json.loads(ended.stdout)["digest"] == digest


def test_a_year_in_small_works_as_written(journal):
    blocks = [block for block in bash_blocks() if "carbonex registry" in block and "settlement" not in block]
    export, *calls = [line for line in "".join(blocks).replace("\\\n", " ").splitlines() if line]
    assert export == "export CARBONEX_BY=REG" and len(blocks) == 2 and len(calls) == 22

    with Server(journal) as server:
        said = {}
        for call in calls:
            ended = run(call.removeprefix("carbonex "), CARBONEX_URL=server.url, CARBONEX_BY="REG")
            assert ended.exit_code == 0, f"{call}\n{ended.output}"
            said[call.removeprefix("carbonex registry ")] = ended.stdout
        year = run("registry obligor STEEL 2024 --json", CARBONEX_URL=server.url)
        figures = json.loads(year.stdout)
        assert (figures["allocated"], figures["surrendered"], figures["missing"]) == (18_000, {"HBEA-2024": 14_000}, 0)
        assert [(one["held"], one["tonnes"]) for one in figures["usable"]] == [(4000, 4000)]
    sums = "verified 14,000 - confirmed 14,000 - waiting 0 = still to offer 0"
    assert sums in said["obligor STEEL 2024"]
    assert "20,000 tCO2e in 2023" in said["coverage 2024"]
    assert "STEEL" in said["serial HBEA-2024 80001"] and "surrendered" in said["serial HBEA-2024 80001"]
    assert max(len(line) for text in said.values() for line in text.splitlines()) <= 100


@needs_curl
def test_settlement_works_as_written(journal, tmp_path, monkeypatch):
    calls = [call for block in bash_blocks() if "carbonex settlement" in block for call in block.splitlines()]
    monkeypatch.chdir(tmp_path)
    with Server(journal) as server:
        if run("settlement show 2", CARBONEX_URL=server.url).exit_code:
            tour(server)
        said = {}
        for call in calls:
            ended = run(call.removeprefix("carbonex "), CARBONEX_URL=server.url)
            assert ended.exit_code == (2 if "differing" in call and "reconcile" in call else 0), (
                f"{call}\n{ended.output}"
            )
            said[call] = ended.stdout
    assert "confirmed" in said["carbonex settlement show 1"]
    assert "dismissed" in said["carbonex settlement statements I-02"]
    assert "cured" in said["carbonex settlement cure 1 --by LATE"]
    assert "HBEA-2025: 100" in said["carbonex settlement statement LATE 2026-01-07"]
    assert "1 do not agree with ours" in said["carbonex settlement reconcile differing.csv"]
    assert "all agree" in said["carbonex settlement reconcile balances.csv"]
    assert "I-02" in said["carbonex settlement case 2"]
    assert "final_payment" in said["carbonex settlement bookings 2026-01-07"]
    assert "balances of 2026-01-08: 0 differ" in said["carbonex bank --books bank.books --days 1"]
    assert (tmp_path / "statement.html").read_text("utf-8").startswith("<!doctype html>")
    assert (tmp_path / "payments.csv").read_bytes().startswith(b"payments,1,")


def test_reliability_works_as_written(journal, tmp_path, monkeypatch):
    (block,) = [block for block in bash_blocks() if "carbonex faults" in block]
    monkeypatch.chdir(tmp_path)
    Path("var").mkdir()
    shutil.copy(journal, "var/exchange.journal")
    said = [run(call.removeprefix("carbonex ")) for call in block.splitlines()]
    assert [ended.exit_code for ended in said] == [0] * 5, [ended.output for ended in said]
    assert "nothing is lost and nothing was done twice" in said[0].stdout
    assert [ended.stdout for ended in said[2::2]] == ["", ""]
