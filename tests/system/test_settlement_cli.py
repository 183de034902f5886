"""`carbonex settlement` against a running exchange."""

import json
import signal
import subprocess
import sys
import time
from ast import literal_eval

import httpx
import pytest

from settlement.bank_files import read_bookings
from simulation.sub_ledgers import SubLedgers
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


REQUESTS = {
    "open-day 2026-01-06": "POST /v1/trading-days {'date': '2026-01-06'}",
    "phase closed": "PUT /v1/market/phase {'phase': 'closed'}",
    "settle": "POST /v1/settlements",
    "deal D-1 S B HBEA-2025 100 41.00 2026-01-12 --by EXCHANGE": "POST /v1/settlement/deals {'by': 'EXCHANGE', "
    "'deal_id': 'D-1', 'seller': 'S', 'buyer': 'B', 'symbol': 'HBEA-2025', 'quantity': 100, 'price': '41.00', "
    "'due': '2026-01-12', 'method': 'block'}",
    "cancel-deal D-1 --by EXCHANGE --reason both": "POST /v1/settlement/deals/D-1/cancellation "
    "{'by': 'EXCHANGE', 'reason': 'both'}",
    "cure 1 --by B": "POST /v1/settlement/cases/1/cure {'by': 'B'}",
    "cover 1 --by EXCHANGE": "POST /v1/settlement/cases/1/cover {'by': 'EXCHANGE'}",
    "sell-security 1 --by EXCHANGE": "POST /v1/settlement/cases/1/security-sale {'by': 'EXCHANGE'}",
    "repay B 50.00": "POST /v1/accounts/B/recourse {'amount': '50.00'}",
    "write-off B 1.00 --by EXCHANGE --reason gone": "POST /v1/accounts/B/recourse/write-off "
    "{'by': 'EXCHANGE', 'amount': '1.00', 'note': 'gone'}",
    "fund-reserve 50.00 --by EXCHANGE": "POST /v1/settlement/reserve/funding {'by': 'EXCHANGE', 'amount': '50.00'}",
    "draw-reserve S 1.00 --cause operating_error --by EXCHANGE --reason twice": "POST /v1/settlement/reserve/draw "
    "{'by': 'EXCHANGE', 'amount': '1.00', 'cause': 'operating_error', 'account_id': 'S', 'note': 'twice'}",
    "bust 1 2 --by EXCHANGE --reason wrong": "POST /v1/trades/busts "
    "{'by': 'EXCHANGE', 'trade_ids': [1, 2], 'reason': 'wrong'}",
    "correct 1 --price 41.00 --by EXCHANGE --reason mistyped": "POST /v1/trades/corrections {'by': 'EXCHANGE', "
    "'corrections': [{'trade_id': 1, 'price': '41.00', 'quantity': None}], 'reason': 'mistyped'}",
    "add-currency USD": "POST /v1/currencies {'code': 'USD'}",
    "set-rate USD 7.10 --by EXCHANGE": "POST /v1/currencies/USD/rates {'by': 'EXCHANGE', 'rate': '7.10'}",
    "convert B 10.00 USD CNY": "POST /v1/accounts/B/conversions {'bank': 'BANK', 'from_currency': 'USD', "
    "'to_currency': 'CNY', 'amount': '10.00'}",
    "rebates 2025 --by EXCHANGE": "POST /v1/settlement/fee-rebates {'by': 'EXCHANGE', 'year': 2025}",
}


@pytest.mark.parametrize("line", REQUESTS)
def test_a_verb_asks_for_what_it_says(line):
    ended = run(f"settlement {line} --dry-run", CARBONEX_URL="http://nowhere")
    assert ended.exit_code == 0, ended.output
    request, _, body = ended.stdout.partition("\n")
    method, path, *asked = REQUESTS[line].split(" ", 2)
    assert request == f"{method} http://nowhere{path}"
    assert (json.loads(body) if body.strip() else None) == (literal_eval(asked[0]) if asked else None)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("reserve", "no_reserve"),
        ("fund-reserve 1.00 --by EXCHANGE", "no_reserve"),
        ("bust 9 --by EXCHANGE --reason wrong", "unknown_trade"),
        ("correct 9 --price 41.x --by EXCHANGE --reason wrong", "invalid_request"),
        ("cover 9 --by EXCHANGE", "unknown_case"),
        ("balances 2026-01-06", "day_not_settled"),
        ("bookings 2026-01-06", "day_not_settled"),
        ("balances 2026-01-05 --differ B=1.00", "invalid_option"),
        ("balances 2026-01-05 --csv --differ X=1.00", "invalid_option"),
        ("balances 2026-01-05 --csv --differ B/USD=1.00", "invalid_option"),
        ("balances 2026-01-05 --csv --differ B=x", "amount_off_fen"),
        ("rates USD", "unknown_currency"),
    ],
)
def test_a_verb_that_can_not_be_says_why(exchange, line, code):
    ended = desk(exchange, line)
    assert (ended.exit_code, f"carbonex: {code}: " in ended.stderr) == (1, True), ended.output


def test_what_the_bank_has_to_book_is_read_and_filed(exchange, tmp_path):
    file = tmp_path / "bookings.csv"
    assert desk(exchange, f"bookings {DAY} -o {file}").exit_code == 0
    assert [line.fen for line in read_bookings(file.read_bytes().decode()).lines] == [50_00]
    assert "deposit" in desk(exchange, f"bookings {DAY}").stdout
    assert json.loads(desk(exchange, f"bookings {DAY} --json").stdout)["lines"][0]["reach"] == "external"


def test_the_banks_balances_are_tried_with_a_file_of_our_own(exchange, tmp_path):
    whole, short = tmp_path / "balances.csv", tmp_path / "short.csv"
    assert desk(exchange, f"balances {DAY} -o {whole}").exit_code == 0
    assert desk(exchange, f"balances {DAY} --differ B/CNY=-0.50 -o {short}").exit_code == 0
    assert "50.00" in desk(exchange, f"balances {DAY}").stdout
    compared = desk(exchange, f"reconcile {short} --by EXCHANGE")
    assert "1 balances of 2026-01-05: 1 do not agree with ours" in compared.stdout
    assert compared.exit_code == 2
    listed = desk(exchange, f"reconcile {short} --by EXCHANGE --csv").stdout.splitlines()
    assert listed[0].startswith("finding,account_id,currency,ours,banks,difference")
    assert "B,CNY,50.00,49.50,-0.50" in listed[1]
    assert "The bank has 0.50 CNY less than we for B" in " ".join(
        desk(exchange, "reconciliations --json").stdout.split()
    )
    agreed = desk(exchange, f"reconcile {whole} --by EXCHANGE")
    assert "all agree with ours" in agreed.stdout
    assert agreed.exit_code == 0


def test_a_deal_fails_on_its_day_is_cured_and_settles_by_hand(tmp_path):
    """National rules, which have a reserve: B has no cash on the day of the later leg."""
    with Server(tmp_path / "exchange.journal", "--rules", "national") as server:

        def must(line, room="settlement"):
            ended = run(f"{room} {line}", CARBONEX_URL=server.url, CARBONEX_BY="EXCHANGE")
            assert ended.exit_code == 0, f"{line}\n{ended.output}"
            return ended.stdout

        listing = {"symbol": "CEA-2025", "species": "allowance", "vintage": 2025, "opening_price": "40.00"}
        assert httpx.post(f"{server.url}/v1/instruments", json=listing).is_success
        for account in ("S", "B"):
            must(f"open-account {account} {account} --class covered_enterprise", "registry")
        unit = {"account_id": "S", "unit": "CEA-2025", "quantity": 100}
        assert httpx.post(f"{server.url}/v1/issuances", json=unit).is_success
        must("transfer S CEA-2025 100 --to trading", "registry")
        must("deposit EXCHANGE 100.00", "registry")

        must(f"open-day {DAY}")
        must("deal D-1 S B CEA-2025 10 40.00 2026-01-06")
        must("deal D-2 S B CEA-2025 10 40.00 2026-01-07")
        assert "cancelled" in must("cancel-deal D-2 --reason 'both want to'")
        for line in ("phase continuous", "phase closed", "settle", "open-day 2026-01-06", "phase continuous"):
            must(line)
        must("phase closed")
        assert json.loads(must("settle --json"))["failed"] == [1]
        assert "CNY: 400" in must("case 1")
        assert "99.00" in must("fund-reserve 99.00") and "98.00" in must(
            "draw-reserve S 1.00 --cause technical_failure --reason 'a day late'"
        )
        must("deposit B 500.00", "registry")
        assert "cured" in must("cure 1")
        must("settle")
        assert json.loads(must("deliveries 3 --json"))[0]["trade_id"] == 1
        assert "trade 1 is undone: the deal was void" in must("bust 1 --reason 'the deal was void'")
        assert json.loads(must("corrections --trade 1 --json"))[0]["after"] is None
        must("add-currency USD")
        assert "7.10" in must("set-rate USD 7.10") and "7.10" in must("rates USD")


def test_a_bank_in_a_process_of_its_own_answers_and_sends_its_balances(by_hand, tmp_path):
    """On the day after, when B sells 10 t back to S; the operator takes the steps, the bank does the rest."""

    def ask(method, path, body=None):
        return httpx.request(method, f"{by_hand.url}/v1/{path}", json=body)

    def until(is_so):
        deadline = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < deadline and bank.poll() is None, bank.communicate()[0]
            time.sleep(0.05)

    ask("POST", "settlements")  # unless it is settled
    order = {"symbol": "HBEA-2025", "price": "40.00", "quantity": 10, "client_order_id": "2"}
    for method, path, body in (
        ("POST", "trading-days", {"date": "2026-01-06"}),
        ("PUT", "market/phase", {"phase": "continuous"}),
        ("POST", "orders", order | {"account_id": "B", "side": "sell"}),
        ("POST", "orders", order | {"account_id": "S", "side": "buy"}),
        ("PUT", "market/phase", {"phase": "closed"}),
        ("POST", "settlement/batches", None),
        ("POST", "settlement/batches/2/instructions", None),
    ):
        answer = ask(method, path, body)
        assert answer.is_success, f"{path}: {answer.text}"
    command = [sys.executable, "-m", "exchange.cli", "bank", "--url", by_hand.url, "--books", str(tmp_path / "books")]
    bank = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    until(lambda: ask("GET", "settlement/batches/2").json()["stage"] == "confirmed")
    for step in ("delivery", "statements"):
        assert ask("POST", f"settlement/batches/2/{step}").is_success
    until(lambda: "2026-01-06" in [one["date"] for one in ask("GET", "settlement/reconciliations").json()])
    bank.send_signal(signal.SIGINT)
    said, _ = bank.communicate(timeout=30)
    assert "batch 2 of 2026-01-06: 3 lines answered" in said and said.endswith("stopped\n"), said
    kept = SubLedgers(tmp_path / "books")
    kept.check()
    assert str(kept.last.day) == "2026-01-06"
    kept.close()


def test_a_bank_without_books_that_it_can_use_says_so(tmp_path):
    (tmp_path / "books").write_text("these are no books at all" * 50)
    ended = run(f"bank --url http://127.0.0.1:9 --books {tmp_path / 'books'}")
    assert (ended.exit_code, "no_books: " in ended.stderr) == (1, True)


def test_a_bank_without_an_exchange_says_what_to_do():
    ended = run("bank --url http://127.0.0.1:9")
    assert (ended.exit_code, "connection_lost: no exchange answers" in ended.stderr) == (1, True)
