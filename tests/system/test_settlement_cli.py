"""`carbonex settlement` against a running exchange."""

import json

import httpx
import pytest

from tests.system.desk import run
from tests.system.server import Server

DAY = "2026-01-05"


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    """An exchange with a settled day on which B paid 50.00 in."""
    with Server(tmp_path_factory.mktemp("settlement") / "exchange.journal") as server:
        asked = [
            ("POST", "accounts", {"account_id": "B", "name": "Wuhan Heat"}),
            ("POST", "accounts/B/deposits", {"amount": "50.00"}),
            ("POST", "trading-days", {"date": DAY}),
            ("PUT", "market/phase", {"phase": "continuous"}),
            ("PUT", "market/phase", {"phase": "closed"}),
            ("POST", "settlements", None),
        ]
        for method, path, body in asked:
            assert httpx.request(method, f"{server.url}/v1/{path}", json=body).is_success, path
        yield server


def desk(server, line):
    return run(f"settlement {line}", CARBONEX_URL=server.url)


def test_a_statement_is_read_and_filed_in_every_format(exchange, tmp_path):
    shown = desk(exchange, f"statement B {DAY}")
    assert shown.exit_code == 0 and "50.00" in shown.stdout and "deposit" in shown.stdout
    assert json.loads(desk(exchange, f"statement B {DAY} --json").stdout)["closing"] == {"CNY": "50.00"}
    assert f"{DAY},1,B,CNY,movement,50.00,deposit," in desk(exchange, "statement B 1 --csv").stdout
    assert desk(exchange, f"statement B {DAY} --html").stdout.startswith("<!doctype html>")

    for suffix in ("json", "csv", "html"):
        file = tmp_path / f"statement.{suffix}"
        assert desk(exchange, f"statement B {DAY} -o {file}").stdout == ""
        assert file.read_text(encoding="utf-8") == desk(exchange, f"statement B {DAY} --{suffix}").stdout
        assert "file_exists" in desk(exchange, f"statement B {DAY} -o {file}").stderr


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("statement X 2026-01-05", "unknown_account"),
        ("statement B 2026-01-06", "unknown_statement"),
        ("statement B yesterday", "invalid_request"),
        ("statement B 1 --csv --html", "invalid_option"),
        ("statement B 1 -o statement.pdf", "invalid_option"),
        ("statement B 1 --url http://127.0.0.1:9", "connection_lost"),
    ],
)
def test_an_error_has_its_code(exchange, line, code):
    ended = desk(exchange, line)
    assert (ended.exit_code, f"carbonex: {code}: " in ended.stderr) == (1, True), ended.output
