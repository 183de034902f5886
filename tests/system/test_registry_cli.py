"""`carbonex registry` against one running exchange, and against its journal."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import struct
import sys
import termios

import httpx
import pytest
import typer

from exchange.cli import app
from exchange.reports import COLUMNS
from tests.system.desk import run
from tests.system.server import Server
from tests.system.test_cli import carbonex

BASIS = '{"method": "historical", "base_emissions": 20000, "sector_factor": "0.9"}'
LINE = '{"source": "furnace", "activity": "7000", "activity_unit": "t", "factor": "coke"}'
FOREST = (
    "--scheme HBCER --methodology M1 --kind forestry --region Enshi "
    "--started-on 2023-12-01 --crediting-from 2024-01-01 --crediting-to 2033-12-31"
)

# A whole year; each line is what is typed, and something that is then said.
YEAR = f"""
open-account REG Authority --class registry_authority            | registry_authority
open-account VER Verifier --class verifier                       | VER
open-account E Steel --class covered_enterprise --region Hubei   | Hubei
open-account F Heat --class covered_enterprise                   | Heat
open-account I Trader --class institution --pending              | pending
status I active --reason papers                                  | active
accounts                                                         | covered_enterprise
allocate open-period 2025 1000000                                | HBEA-2025
allocate activity E 2024 --emissions 20000                       | E
allocate activity F 2024 --energy-tce 10000                      | 10,000
allocate coverage 2025                                           | above_threshold
allocate basis E 2025 '{BASIS}'                                  | 18,000
allocate basis F 2025 '{BASIS}'                                  | 18,000
allocate pre-allocate 2025                                       | 80001-92600
report-emissions publish-factor coke 1 2 tCO2/t --from-year 2025 --source scene | tCO2/t
report-emissions factors                                         | coke
report-emissions open 2025 2026-01-05 --account E --account F    | 2026-01-05
report-emissions file E 2025 '{LINE}'                            | draft
report-emissions submit E 2025                                   | submitted
verify E 2025 confirm --by VER                                   | verified
report-emissions restate E 2025 --reason again                   | 14,000
report-emissions submit E 2025                                   | submitted
verify E 2025 correct --by VER --tonnes 15000 --reasons found    | 15,000
NEXT DAY
report-emissions close 2025                                      | refused
report-emissions assess F 2025 20000 --reason guess              | assessed
report-emissions list 2025                                       | assessed
report-emissions trace E 2025                                    | coke
report-emissions sanction E 2025 0.5 --reason false              | false data in the report of 2025
allocate determine 2025                                          | 5,400
open-surrender 2025 2026-01-06                                   | 2026-01-06
remind 2025                                                      | F: 20,000
obligor F 2025                                                   | plan missing
surrender E 2025 HBEA-2025=15000                                 | 15,000
surrenders 2025                                                  | E
reject 1 --reason later                                          | later
surrender E 2025                                                 | request id
confirm 2                                                        | 80001-92600
surrender E 2025 HBEA-2025=1 --on-behalf-of F                    | of F
confirm 3                                                        | missing
force-surrender F 2025                                           | missing
NEXT DAY
close-surrender 2025                                             | short
records --year 2025                                              | complied
periods                                                          | closed
coverage 2025                                                    | 20,000 tCO2e in 2024
obligors 2025                                                    | short
obligor F 2025                                                   | come off the next allocation
deposit I 5000                                                   | 5,000.00
withdraw I 1000                                                  | 4,000.00
issue I HBEA-2025 100                                            | 100
transfer I HBEA-2025 7 --to trading                              | 93
transfer I HBEA-2025 7 --to registry                             | 100
lock I HBEA-2025 60 pledged --reference c-7 --in-favour-of E     | pledged
locks                                                            | c-7
release 1 20                                                     | 20
enforce 1 10                                                     | 10
give I E HBEA-2025 5 merger                                      | E
retire I HBEA-2025 3 --purpose wedding                           | wedding
cancel I HBEA-2025 2 --reason mistake                            | mistake
register-unit CCER-W credit 2024 --scheme CCER                   | CCER-W
units                                                            | CCER-W
statement I                                                      | pledged
serial HBEA-2025 80001                                           | surrendered
large-holders                                                    | none
lapse 2025                                                       | 80,000
report                                                           | environmental
credits approve-methodology M1 Afforestation --sector forestry --years 10 | M1
credits methodologies                                            | Afforestation
credits file-project P1 Forest --by E {FOREST} | filed
credits validate P1 --by VER --positive                          | validated
credits publish-project P1                                       | public
credits project P1                                               | registered
credits projects                                                 | Enshi
credits green-power WIND-7 2025-01-01 2025-12-31 2500.5 0.4044 --by E --certificates '["GEC-1", "GEC-9"]' | 1,011
credits reject 1 --reason dubious                                | dubious
credits inclusion R-1 2025-01-01 2025-12-31 2400000 rides --by E | INCLUSION
credits issue 2                                                  | INCLUSION
credits reductions                                               | issued
credits revoke 2 --reason fraud                                  | revoked
credits duties                                                   | none
credits overdue                                                  | none
credits withdraw-methodology M1                                  | withdrawn
"""
REFUSED = {  # what must be asked once, but comes to nothing here
    "release-parked E 2025": "insufficient_units",
    "pay-fine F 2025": "insufficient_cash",
    "carry-over E 2025": "unknown_period",
    "credits register-project P1": "too_early",
    "credits reject-project P1 --reason over": "too_early",
    "credits suspend P1 --reason tip": "wrong_state",
    "credits reinstate P1": "wrong_state",
    "credits report P1 2025-01-01 2025-12-31 10 --by E": "not_permitted",
    "credits verify 2 1 --by VER": "wrong_state",
    "credits publish 2": "wrong_state",
    "credits replace 2 HBEA-2025 1 --by E": "wrong_state",
}


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    """An exchange after that year, what was said in it, and its journal."""
    journal = tmp_path_factory.mktemp("registry") / "exchange.journal"
    with Server(journal) as server:
        days = iter(["2026-01-06", "2026-01-07"])
        listed = {"symbol": "HBEA-2024", "species": "allowance", "vintage": 2024, "opening_price": "40.00"}
        assert httpx.post(f"{server.url}/v1/instruments", json=listed).is_success
        assert httpx.post(f"{server.url}/v1/trading-days", json={"date": "2026-01-05"}).is_success
        for entry in YEAR.strip().splitlines():
            if entry == "NEXT DAY":
                for phase in ("continuous", "closed"):
                    assert httpx.put(f"{server.url}/v1/market/phase", json={"phase": phase}).is_success
                assert httpx.post(f"{server.url}/v1/settlements").is_success
                assert httpx.post(f"{server.url}/v1/trading-days", json={"date": next(days)}).is_success
                continue
            line, expected = (part.strip() for part in entry.rsplit("|", 1))
            ended = desk(server, line)
            assert ended.exit_code == 0, f"{line}\n{ended.output}"
            assert expected in ended.stdout, f"{line}\n{ended.stdout}"
        server.journal = journal
        yield server


def desk(server, line):
    return run(f"registry {line}", CARBONEX_URL=server.url, CARBONEX_BY="REG")


def state(server):
    return httpx.get(f"{server.url}/v1/state").json()["digest"]


def test_every_command_was_asked(exchange):
    for line, code in REFUSED.items():
        ended = desk(exchange, line)
        assert (ended.exit_code, f"carbonex: {code}: " in ended.stderr) == (1, True), ended.output
    asked = [*(entry.split("|")[0] for entry in YEAR.splitlines()), *(f"{line} " for line in REFUSED)]

    def names(command, path=()):
        for name, one in getattr(command, "commands", {}).items():
            yield from names(one, (*path, name)) if hasattr(one, "commands") else [" ".join((*path, name))]

    for name in names(typer.main.get_command(app).commands["registry"]):
        assert any(line.startswith(f"{name} ") for line in asked), name


def test_the_report_adds_up_in_every_format(exchange, tmp_path):
    as_json = json.loads(desk(exchange, "report --json").stdout)
    by_csv = list(csv.DictReader(io.StringIO(desk(exchange, "report --csv").stdout)))
    columns = [name for name in as_json["total"] if name not in ("unit", "species", "vintage")]
    for column in columns:
        assert as_json["total"][column] == sum(row[column] for row in as_json["rows"])
    for row in (*as_json["rows"], as_json["total"]):
        assert row["total"] == sum(row[column] for column in columns if column != "total") > 0
    assert [int(row["total"]) for row in by_csv] == [row["total"] for row in (*as_json["rows"], as_json["total"])]
    over_http = httpx.get(f"{exchange.url}/v1/registry/report", params={"format": "csv"})
    assert over_http.headers["content-type"].startswith("text/csv")
    assert over_http.text == desk(exchange, "report --csv").stdout

    table = desk(exchange, "report").stdout
    shown = re.findall(r"[\d,]+", re.search(r"^all .*", table, re.MULTILINE)[0])
    counted = [as_json["total"][column] for column in columns if as_json["total"][column]]
    assert [int(text.replace(",", "")) for text in shown] == counted

    for suffix in ("json", "csv"):
        file = tmp_path / f"report.{suffix}"
        assert desk(exchange, f"report -o {file}").stdout == ""
        assert file.read_text() == desk(exchange, f"report --{suffix}").stdout


@pytest.mark.parametrize("question", ["report", "statement I", "serial HBEA-2025 80001"])
def test_a_journal_answers_like_its_exchange(exchange, question):
    running = json.loads(desk(exchange, f"{question} --json").stdout)
    alone = run(f"registry {question} --json --journal {exchange.journal}")
    assert json.loads(alone.stdout[alone.stdout.index("{") :]) == running


def test_a_dry_run_prints_the_request_and_sends_nothing(exchange):
    before = state(exchange)
    ended = desk(exchange, "retire E HBEA-2025 5 --purpose wedding --dry-run")
    request, body = ended.stdout.splitlines()
    assert request == f"POST {exchange.url}/v1/accounts/E/retirements"
    assert json.loads(body) == {"unit": "HBEA-2025", "quantity": 5, "purpose": "wedding"}
    assert state(exchange) == before


ERRORS = {
    "serial HBEA-2025 999999999": "unknown_unit",
    "statement X": "unknown_account",
    "release 77 1": "unknown_lock",
    "lapse 2025 --by E": "not_permitted",
    "allocate basis E 2025 '{'": "malformed_json",
    "surrender E 2025 HBEA-2025": "invalid_option",
    "report --json --csv": "invalid_option",
    "report -o report.txt": "invalid_option",
    "report -o /nowhere/report.csv": "file_unwritable",
    "report --journal /nowhere/exchange.journal": "journal_missing",
    "report --url http://127.0.0.1:9": "connection_lost",
}


@pytest.mark.parametrize(("line", "code"), ERRORS.items())
def test_an_error_has_its_code_and_changes_nothing(exchange, line, code):
    before = state(exchange)
    ended = desk(exchange, line)
    assert (ended.exit_code, f"carbonex: {code}: " in ended.stderr) == (1, True), ended.output
    assert state(exchange) == before


def test_a_file_is_overwritten_only_by_force(exchange, tmp_path):
    file = tmp_path / "report.csv"
    file.write_text("mine")
    assert "file_exists" in desk(exchange, f"report -o {file}").stderr
    assert file.read_text() == "mine"
    assert desk(exchange, f"report -o {file} --force").exit_code == 0
    assert file.read_text().startswith("unit,")


def test_from_a_shell(exchange):
    ended = carbonex("registry", "report", "--csv", "--url", exchange.url)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == desk(exchange, "report --csv").stdout


def test_help_is_in_panels_and_defines_the_columns_of_the_report():
    listed = run("registry --help").stdout
    for panel in (
        "Reading",
        "Accounts",
        "Units",
        "Coverage and allocation",
        "Emission reports",
        "Surrender",
        "Credits",
    ):
        assert f"─ {panel}" in listed
    defined = run("registry report --help").stdout
    for column in COLUMNS:
        assert f"\n {column.replace('_', ' ')} " in defined, column


def test_where_no_exchange_runs_the_error_names_the_address_and_how_to_start_one():
    said = run("registry report --url http://127.0.0.1:9").stderr
    assert "http://127.0.0.1:9" in said and "carbonex serve" in said and "--url" in said


def test_accounts_are_sorted_and_hold_only_what_is_there(exchange):
    names = [one["account_id"] for one in json.loads(desk(exchange, "accounts --json").stdout)]
    assert names == sorted(names)
    moved = desk(exchange, "deposit VER 1").stdout
    assert "1.00" in moved and "HBEA" not in moved


@pytest.mark.parametrize("question", ["obligors 2025", "obligor F 2025", "coverage 2025", "statement E"])
def test_a_csv_has_no_json_in_its_cells(exchange, question):
    rows = list(csv.DictReader(io.StringIO(desk(exchange, f"{question} --csv").stdout)))
    assert rows and not any("{" in value or "[" in value for row in rows for value in row.values())


@pytest.mark.parametrize("columns", [80, 100])
def test_on_a_terminal_tables_fit_and_cut_nothing(exchange, columns):
    """By a pseudo-terminal of that width."""
    for question in ("report", "units", "statement E", "obligors 2025", "periods"):
        shown = on_terminal(columns, "registry", *question.split(), "--url", exchange.url)
        assert "…" not in shown and max(map(len, shown.splitlines())) <= columns, shown
        assert "HBEA-2025" in shown or "E" in shown.split()


def on_terminal(columns, *arguments):
    """What a command prints on a terminal of so many columns, as a fork of this process."""
    child, terminal = pty.fork()
    if not child:
        status = 70
        try:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
            for name in ("COLUMNS", "LINES"):
                os.environ.pop(name, None)
            sys.stdout = sys.stderr = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            status = app(arguments, standalone_mode=False) or 0
            sys.stdout.flush()
        finally:
            os._exit(status)
    shown = b""
    try:
        while found := os.read(terminal, 65536):
            shown += found
    except OSError:  # the terminal is gone with the command
        pass
    os.close(terminal)
    assert os.waitpid(child, 0)[1] == 0, shown
    return shown.decode().replace("\r\n", "\n")
