"""The command line as a person meets it: two commands, clear errors with codes, exit codes."""

import os
import re
import shlex
import sqlite3
import subprocess
import sys

import httpx
import pytest

from tests.system.desk import run
from tests.system.server import Server


def carbonex(*arguments, timeout=110, **environment):
    return subprocess.run(
        [sys.executable, "-m", "exchange.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | environment,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    journal = tmp_path_factory.mktemp("demo") / "exchange.journal"
    return journal, carbonex("demo", "--exit", "--seconds", 4, "--port", 0, "--journal", journal)


def test_a_demo_day_ends_well_and_reconciles(demo):
    journal, ended = demo
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for said in ("HBEA-2025", "HBCER-2025", "VWAP", "close", "band", "fees", "delivery versus payment", "reconcile"):
        assert said in ended.stdout
    assert "FAILED" not in ended.stdout
    totals = {
        label: re.findall(r"[\d,.]+", re.search(rf"│\s+{label}\s+│(.*)", ended.stdout)[1])
        for label in ("all", "paid in or issued", "paid out")
    }
    assert totals["all"] == totals["paid in or issued"]
    assert carbonex("check", journal).returncode == 0


@pytest.mark.thorough
def test_a_second_demo_trades_the_next_day(demo):
    journal, _ = demo
    ended = carbonex("demo", "--exit", "--seconds", 2, "--port", 0, "--journal", journal)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2026-01-06 settled" in ended.stdout


def test_check_says_nothing_when_all_is_well_and_names_a_damaged_block(demo, tmp_path):
    journal, _ = demo
    well = carbonex("check", journal)
    assert (well.returncode, well.stdout, well.stderr) == (0, "", "")

    damaged = tmp_path / "damaged.journal"
    with sqlite3.connect(journal) as source, sqlite3.connect(damaged) as copy:
        source.backup(copy)
        (payload,) = copy.execute("SELECT payload FROM block WHERE number = 20").fetchone()
        flipped = bytes([payload[0] ^ 1]) + payload[1:]
        copy.execute("UPDATE block SET payload = ? WHERE number = 20", (flipped,))
    source.close()
    copy.close()
    ended = carbonex("check", damaged)
    assert ended.returncode == 2
    assert "journal_corrupt" in ended.stderr and "block 20" in ended.stderr
    served = carbonex("serve", "--journal", damaged, "--port", 0)
    assert (served.returncode, "journal_corrupt" in served.stderr) == (1, True)


def other_version(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE block (number INTEGER PRIMARY KEY, chain BLOB, payload BLOB)")
        connection.execute("PRAGMA application_id = 0x63617262")
        connection.execute("PRAGMA user_version = 99")
    connection.close()


REFUSALS = {
    "journal of another version": (other_version, [], "journal_version"),
    "journal that is no database": (lambda path: path.write_bytes(b"garbage" * 1000), [], "journal_corrupt"),
    "rule set that does not exist": (None, ["--rules", "mars"], "invalid_rule_set"),
    "a port that is none": (None, ["--port", "99999"], "invalid_setting"),
    "a speed that is none": (None, ["--speed", "inf"], "invalid_setting"),
    "a real clock with a speed": (None, ["--clock", "real", "--speed", "2"], "invalid_setting"),
    "an option that is none": (None, ["--sped", "2"], None),
    "address that others can reach": (None, ["--host", "0.0.0.0"], "address_needs_keys"),
    "a day that is none": (None, ["--day", "tomorrow"], "invalid_setting"),
    "a day beyond the calendar": (None, ["--day", "2031-01-01"], "calendar_ends"),
}


@pytest.mark.parametrize(("prepare", "options", "code"), REFUSALS.values(), ids=REFUSALS)
def test_serve_refuses_with_a_code(tmp_path, prepare, options, code):
    journal = tmp_path / "exchange.journal"
    if prepare:
        prepare(journal)
        before = journal.read_bytes()
    ended = run(shlex.join(["serve", "--journal", str(journal), "--port", "0", *options]))
    assert ended.exit_code == (2 if code in (None, "invalid_setting") else 1), ended.stderr
    assert isinstance(ended.exception, SystemExit)
    assert f"carbonex: {code}: " in ended.stderr or not code
    if prepare:
        assert journal.read_bytes() == before


def test_check_of_a_missing_journal(tmp_path):
    ended = carbonex("check", tmp_path / "none.journal")
    assert (ended.returncode, "journal_missing" in ended.stderr) == (1, True)


def test_a_journal_has_one_server_and_a_port_too(tmp_path):
    journal = tmp_path / "exchange.journal"
    with Server(journal) as server:
        second = carbonex("serve", "--journal", journal, "--port", 0)
        assert second.returncode == 1
        assert f"journal_in_use: {journal} is held by process {server.process.pid}" in second.stderr
        third = carbonex("serve", "--journal", tmp_path / "other.journal", "--port", server.port)
        assert (third.returncode, "address_in_use" in third.stderr) == (1, True)
    assert "serving" in server.output and "/docs" in server.output


@pytest.mark.thorough
def test_a_demo_leaves_another_exchange_alone(tmp_path):
    with Server(tmp_path / "exchange.journal") as server:
        before = httpx.get(f"{server.url}/v1/state").json()
        ended = carbonex("demo", "--exit", "--port", server.port, "--journal", tmp_path / "other.journal")
        assert (ended.returncode, "address_in_use" in ended.stderr) == (1, True)
        assert httpx.get(f"{server.url}/v1/state").json() == before
    assert not (tmp_path / "other.journal").exists()


@pytest.mark.thorough
def test_a_demo_finishes_a_day_that_was_left_closed(tmp_path):
    journal = tmp_path / "exchange.journal"
    with Server(journal) as server:
        for path, body in (
            ("instruments", {"symbol": "HBEA-2025", "species": "allowance", "vintage": 2025, "opening_price": "40.00"}),
            ("trading-days", {"date": "2026-01-05"}),
        ):
            assert httpx.post(f"{server.url}/v1/{path}", json=body).is_success
        assert httpx.put(f"{server.url}/v1/market/phase", json={"phase": "closed"}).is_success
    ended = carbonex("demo", "--exit", "--seconds", 2, "--port", 0, "--journal", journal)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2026-01-06 settled" in ended.stdout


@pytest.mark.thorough
def test_an_interrupted_demo_takes_its_exchange_with_it(tmp_path):
    journal = tmp_path / "exchange.journal"
    command = [sys.executable, "-m", "exchange.cli", "demo", "--port", "0", "--journal", str(journal)]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in demo.stdout:
        if "serving" in line:
            break
    demo.terminate()
    demo.communicate(timeout=60)
    assert carbonex("check", journal).returncode == 0
    with Server(journal):  # nobody holds the journal
        pass


def test_a_journal_keeps_its_rules_and_a_free_port_is_told(tmp_path):
    journal = tmp_path / "exchange.journal"
    with Server(journal, "--rules", "generic"):
        pass
    with Server(journal) as server:
        assert httpx.get(f"{server.url}/v1/rules").json()["name"] == "generic"


def test_another_rule_set_than_the_journals_is_refused(tmp_path):
    journal = tmp_path / "exchange.journal"
    with Server(journal):
        pass
    ended = carbonex("serve", "--journal", journal, "--rules", "generic", "--port", 0)
    assert (ended.returncode, "rule_set_differs" in ended.stderr) == (1, True)


def test_the_first_start_says_that_it_compiles(tmp_path):
    flow = tmp_path / "flow.csv"
    flow.write_text("op,ref,side,price_ticks,quantity\nnew,1,buy,42,5\n")
    cache = {"CARBONEX_CACHE": str(tmp_path / "cache")}
    first, again = (carbonex("replay", flow, "--out", tmp_path / "events.csv", **cache) for _ in range(2))
    assert "compiling the flow path" in first.stdout
    assert "compiling" not in again.stdout
