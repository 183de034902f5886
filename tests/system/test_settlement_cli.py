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


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """An exchange with a closed day on which S sold 100 t to B; nothing is settled."""
    with Server(tmp_path_factory.mktemp("by_hand") / "exchange.journal") as server:
        order = {"symbol": "HBEA-2025", "price": "40.00", "quantity": 100}
        listing = {"symbol": "HBEA-2025", "species": "allowance", "vintage": 2025, "opening_price": "40.00"}
        asked = [
            ("POST", "instruments", listing),
            ("POST", "accounts", {"account_id": "B", "name": "Wuhan Heat"}),
            ("POST", "accounts", {"account_id": "S", "name": "Daye Steel"}),
            ("POST", "accounts/B/deposits", {"amount": "5000.00"}),
            ("POST", "issuances", {"account_id": "S", "unit": "HBEA-2025", "quantity": 100}),
            ("POST", "accounts/S/transfers", {"unit": "HBEA-2025", "quantity": 100, "to": "trading"}),
            ("POST", "trading-days", {"date": DAY}),
            ("PUT", "market/phase", {"phase": "continuous"}),
            ("POST", "orders", order | {"account_id": "S", "side": "sell", "client_order_id": "1"}),
            ("POST", "orders", order | {"account_id": "B", "side": "buy", "client_order_id": "1"}),
            ("PUT", "market/phase", {"phase": "closed"}),
        ]
        for method, path, body in asked:
            answer = httpx.request(method, f"{server.url}/v1/{path}", json=body)
            assert answer.is_success, f"{path}: {answer.text}"
        yield server


def test_a_day_is_settled_by_hand_with_files_for_the_bank(by_hand, tmp_path):
    def must(line):
        ended = desk(by_hand, line)
        assert ended.exit_code == 0, f"{line}\n{ended.output}"
        assert max(map(len, ended.stdout.splitlines()), default=0) <= 100
        return ended.stdout

    payments, answers = tmp_path / "payments.csv", tmp_path / "answers.csv"
    assert "S" in must("obligations B")
    assert "fixed" in must("fix")
    must("instruct 1")
    assert "4,020.00" in must("instructions 1")
    must(f"instructions 1 -o {payments}")
    early = desk(by_hand, "deliver 1")
    assert (early.exit_code, "wrong_state" in early.stderr) == (1, True)
    must(f"reply {payments} -o {answers}")
    assert "file_exists" in desk(by_hand, f"reply {payments} -o {answers}").stderr
    assert "has answered 3 lines of batch 1" in must(f"confirm 1 {answers}")
    assert "line_answered" in desk(by_hand, f"confirm 1 {answers}").stderr
    must("deliver 1")
    assert "stated" in must("state 1")
    assert "stated" in must("batches") and "4,020.00" in must("show 1")
    assert json.loads(must("deliveries 1 --json"))[0]["serials"] == [[1, 100]]
    assert "B,CNY,4020.00,0.00,-4020.00" in must("positions 1 --csv")
    assert must("blocks").strip() == "none"
    must("block B --by EXCHANGE --reason 'papers are missing'")
    assert "papers are missing" in must("blocks")
    must("unblock B --by EXCHANGE --reason 'papers came'")
    assert "confirmed its statement" in must(f"agree B {DAY}")
    must(f"object S {DAY} 'I sold 10 t'")
    assert "dismissed" in must("answer S 1 'the order was for 100 t' --by EXCHANGE")
    assert "dismissed" in must("statements S")
    assert "none" in must("reconciliations")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("show 7", "unknown_batch"),
        ("confirm 1 nowhere.csv", "file_unreadable"),
        ("reconcile README.md", "malformed_file"),
        ("reply README.md -o answers.csv", "malformed_file"),
        ("reply README.md -o answers.csv --policy late", "invalid_option"),
    ],
)
def test_what_is_asked_wrongly_has_its_code(exchange, line, code):
    ended = desk(exchange, line)
    assert (ended.exit_code, f"carbonex: {code}: " in ended.stderr) == (1, True), ended.output
