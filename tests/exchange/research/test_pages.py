"""The commands, their pages, and the guide word for word."""

import json
import re
import shlex
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import exchange.research
from benchmarks.flows import make_flow
from exchange.flow_files import FlowFileError, write_events
from exchange.journal import SqliteJournal
from exchange.research.counterfactual import played
from exchange.research.page import number, tape_page
from exchange.research.tape import Tape
from exchange.research.taped import TapedError, read_events, taped
from exchange.rows import COMMAND, EVENT
from tests.exchange.market import HBEA, Market, cash, units
from tests.exchange.research.play import flow
from tests.system.desk import run

GUIDE = Path(exchange.research.__file__).parent / "measuring.md"


def write_flow(path, rows, **more):
    words = {
        "op": ["", "new", "cancel", "amend"],
        "side": ["buy", "sell"],
        "time_in_force": ["GTC", "DAY", "IOC", "FOK"],
    }
    fields = {"op": "kind", "side": "side", "time_in_force": "time_in_force"}
    columns = {name: pa.array(np.array(words[name])[rows[field]]) for name, field in fields.items()}
    columns |= {"ref": rows["order_id"], "price_ticks": rows["price_ticks"], "quantity": rows["quantity"], **more}
    pyarrow.csv.write_csv(pa.table(columns), path)


@pytest.fixture(scope="module")
def rows():
    return make_flow("calm", 3000)


def needs_nothing_else(page):
    outside = re.findall(r'(?:src|href)="(?!#)[^"]*"|url\((?!#)[^)]*\)|@import|<script', page)
    return [one for one in outside if "data:image/png;base64" not in one] == []


def test_the_guide_works_as_written(tmp_path, monkeypatch, capsys, rows):
    monkeypatch.chdir(tmp_path)
    write_flow(tmp_path / "flow.csv", rows)
    names, said = {}, []
    for language, block in re.findall(r"```(bash|python|toml)\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL):
        if language == "toml":
            Path(block.split("\n")[0].removeprefix("# ")).write_text(block)
        elif language == "python":
            exec(compile(block, str(GUIDE), "exec"), names)
        else:
            ended = run(block.removeprefix("carbonex "))
            assert ended.exit_code == 0, ended.output
            said.append(ended.stdout)
    printed = capsys.readouterr().out
    assert "mode: re-matched; 3,000 messages, 2 changes, seed None" in said[0]
    assert "again: carbonex counterfactual flow.csv --schedule changes.toml" in said[0]
    assert {path.name for path in Path("what-if").iterdir()} == {
        "header.json", "schedule.toml", "report.html", "summary.parquet", "differences.parquet", "path.parquet",
        "fills.parquet", "queue.parquet", "events.parquet",
    }  # fmt: skip
    assert "messages sent" in printed and "quoted spread" in printed
    for page in ("page.html", "what-if/report.html"):
        text = Path(page).read_text("utf-8")
        assert needs_nothing_else(text) and text.count("<svg") >= 6 and "nothing to show" not in text
        ids = re.findall(r'\bid="([^"]*)"', text)
        assert len(ids) == len(set(ids)) > 50
    assert "carbonex counterfactual flow.csv" in Path("what-if/report.html").read_text("utf-8")


def test_a_strategy_from_a_file_and_its_answer_for_machines(tmp_path, rows):
    write_flow(tmp_path / "flow.csv", rows)
    (tmp_path / "mine.py").write_text(
        "from exchange.research.strategy import Strategy\n\n"
        "class Mine(Strategy):\n"
        "    def before_message(self, market):\n"
        "        if market.rng.random() < 0.01:\n"
        "            yield market.new('buy', 20000, 5)\n"
    )
    line = f"counterfactual {tmp_path}/flow.csv --strategy {tmp_path}/mine.py:Mine --seed 4 --json"
    first, again = (json.loads(run(line).stdout) for _ in range(2))
    assert first == again and first["header"]["seed"] == 4 and first["header"]["changes"] > 10
    assert {line["measure"] for line in first["summary"]} >= {"trades", "quoted spread"}
    assert json.loads(run(line.replace("--seed 4", "--seed 5")).stdout) != first
    assert run(shlex.join(shlex.split(first["header"]["reproduce"])[1:])).exit_code == 0


def test_a_page_of_events_says_what_that_of_their_flow_says(tmp_path, rows):
    events = played(rows)
    for suffix in ("csv", "parquet", "npy"):
        write_events(tmp_path / f"events.{suffix}", [events])
        read = read_events(tmp_path / f"events.{suffix}")
        tape, other = Tape(read), Tape(events)
        assert all((getattr(tape.path, name) == getattr(other.path, name)).all() for name in vars(other.path))
        assert run(f"report {tmp_path}/events.{suffix} -o {tmp_path}/{suffix}.html").exit_code == 0
    pages = {(tmp_path / f"{suffix}.html").read_text("utf-8").split("</dl>")[1] for suffix in ("csv", "parquet", "npy")}
    assert len(pages) == 1


def test_a_page_of_a_day_with_times_counts_in_hours(tmp_path):
    day = flow("new 1 sell 9 @ 44", "new 2 buy 5 @ 40", "new 3 buy 4 @ 44")
    write_flow(tmp_path / "flow.csv", day, ts_ns=np.array([0, 10, 3600]) * 10**9)
    assert run(f"report {tmp_path}/flow.csv -o {tmp_path}/page.html").exit_code == 0
    assert "hours since the first message" in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.parametrize(
    "lines", [(), ("new 1 sell 9 @ 44",), ("cancel 7",), ("new 1 sell 9 @ 44", "new 2 buy 9 @ 44")], ids=len
)
def test_a_page_of_next_to_nothing_says_so(lines):
    text = tape_page("small", [], Tape(played(flow(*lines)) if lines else np.zeros(0, EVENT)))
    assert "nothing to show" in text and "nan" not in text and "–" in text


def test_names_in_a_page_are_text():
    assert "<b>" not in tape_page("<b>", [("<b>", "<b>")], Tape(np.zeros(0, EVENT)))


@pytest.mark.parametrize(
    ("value", "shown"), [(float("nan"), "–"), (3.0, "3"), (1234567.0, "1,234,567"), (0.00123456, "0.001235")]
)
def test_numbers_for_people(value, shown):
    assert number(value) == shown


WRONG = {
    "neither schedule nor strategy": ("counterfactual flow.csv", "invalid_option"),
    "a report without a folder": ("counterfactual flow.csv --schedule s.toml --report", "invalid_option"),
    "no flow": ("counterfactual none.csv --schedule s.toml", "invalid_flow_file"),
    "no schedule": ("counterfactual flow.csv --schedule none.toml", "invalid_schedule"),
    "no strategy": ("counterfactual flow.csv --strategy none.py:Mine", "invalid_strategy"),
    "a folder that is there": ("counterfactual flow.csv --schedule s.toml -o mine", "output_unwritable"),
    "a page that is there": ("report flow.csv -o mine.html", "output_unwritable"),
    "a page that is none": ("report flow.csv -o page.pdf", "invalid_option"),
    "no source": ("report none.csv -o page.html", "invalid_flow_file"),
    "no journal": ("report none.journal -o page.html", "journal_missing"),
}


@pytest.mark.parametrize(("line", "code"), WRONG.values(), ids=WRONG)
def test_what_can_not_be_done_is_one_line_with_a_code(tmp_path, monkeypatch, line, code):
    monkeypatch.chdir(tmp_path)
    write_flow(tmp_path / "flow.csv", flow("new 1 sell 9 @ 44"))
    (tmp_path / "s.toml").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine.html").write_text("mine")
    before = sorted(tmp_path.iterdir())
    ended = run(line)
    assert (ended.exit_code, ended.stderr.count("\n")) == (1, 1), ended.output
    assert ended.stderr.startswith(f"carbonex: {code}: ")
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "mine.html").read_text() == "mine"


def test_plots_without_their_library_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_flow(tmp_path / "flow.csv", flow("new 1 sell 9 @ 44", "new 2 buy 4 @ 44"))
    for name in [*sys.modules]:
        if name.split(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ended = run("report flow.csv -o page.html")
    assert ended.exit_code == 1
    assert "plots_unavailable: plots need Matplotlib: pip install 'carbonex[research]'" in ended.stderr
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seq,event,ref\n0,accepted,1\n", "column 'side' is missing"),
        ("seq,event,ref,side,price_ticks,quantity,leaves\n0,took,1,buy,4,5,5\n", "row 1: 'took' is none of"),
        (
            "seq,event,ref,side,price_ticks,quantity,leaves\n1,accepted,1,buy,4,5,5\n0,accepted,2,buy,4,5,5\n",
            "row 2: seq",
        ),
        ("seq,event,ref,side,price_ticks,quantity,leaves\n0,accepted,x,buy,4,5,5\n", "x"),
    ],
)
def test_a_malformed_event_file_is_named_with_its_row(tmp_path, text, said):
    (tmp_path / "events.csv").write_text(text)
    with pytest.raises(FlowFileError, match=said):
        read_events(tmp_path / "events.csv")


def test_an_empty_flow_has_a_page(tmp_path):
    write_flow(tmp_path / "flow.csv", np.zeros(0, COMMAND))
    assert run(f"report {tmp_path}/flow.csv -o {tmp_path}/page.html").exit_code == 0


JOURNAL_DAY = """bob sells 100 @ 42.00
cid buys 30 @ 43.00 stop 42.50
alice buys 60 @ 42.00
alice buys 10 @ 41.00
bob sells 50 @ 42.50 show 10
alice buys 45 @ 42.50
close
settle"""


def test_a_journal_is_a_tape_of_one_instrument(tmp_path):
    path = tmp_path / "exchange.journal"
    with closing(SqliteJournal(path, durable=False)) as journal:
        market = Market(journal=journal, alice=cash("100000.00"), bob=units(500), cid=cash("100000.00"))
        market.play(JOURNAL_DAY)
    with pytest.raises(TapedError, match=r"give --symbol, one of .*HBEA-2025"):
        taped(path, "HBEA-1999", lambda loops: None)
    title, _, tape = taped(path, HBEA, lambda loops: None)
    assert title.startswith(HBEA) and tape.times_ns is not None
    traded = list(zip(tape.trades.price_ticks.tolist(), tape.trades.quantity.tolist(), strict=True))
    slices = [(4250, quantity) for quantity in (5, 5, 10, 10, 5)]  # alice, then the stop that she set off
    assert traded == [(4200, 60), (4200, 40), *slices]
    before_close = np.flatnonzero(tape.path.bid_depth)[-1]
    assert (tape.path.bid[before_close], tape.path.bid_depth[before_close]) == (4100, 10)
    assert tape.path.bid_depth[-1] == tape.path.ask_depth[-1] == 0, "a day order outlived its day"
    assert run(f"report {path} --symbol {HBEA} -o {tmp_path}/page.html").exit_code == 0
