"""Exports of a journal: worked by hand for a small day, and for random histories against the exchange itself."""

import json
from collections import Counter
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from exchange.cli import app
from exchange.commands import OnError, OrderBatch, WithdrawCash, place_order
from exchange.journal import SqliteJournal
from exchange.research.exports import USUAL, Asked, levels, tables
from exchange.research.history import History, moments
from exchange.research.what import What
from exchange.rows import EventKind
from matching.orders import Side
from registry import holdings
from tests.conftest import THOROUGH
from tests.exchange.market import CNY, HBEA, Market, cash, units

DAY = """
    bob sells 100 @ 42.00
    bob sells 50 @ 42.10
    carol sells 70 @ 42.10
    alice buys 120 @ 42.10 as first
    alice buys 10 @ 41.50
    alice buys 10 @ 99.00
    alice cancels order 5
    close
    settle
"""


@pytest.fixture
def market(tmp_path):
    journal = SqliteJournal(tmp_path / "day.journal", durable=False)
    made = Market("hubei", journal=journal, alice=cash("10000.00"), bob=units(200), carol=units(100))
    made.file = tmp_path / "day.journal"
    yield made
    journal.close()


def table(market, what, *options):
    """What the command line writes, a dict for each row."""
    return read(market, what, *options).to_pylist()


def read(market, what, *options):
    out = market.file.with_name(f"{what}.parquet")
    result = CliRunner().invoke(app, ["export", str(market.file), "--what", what, "-o", str(out), "--force", *options])
    assert result.exit_code == 0, result.output
    return pyarrow.parquet.read_table(out)


def codes(read_table, column):
    return {int(code): word for code, word in json.loads(read_table.schema.field(column).metadata[b"codes"]).items()}


# ---------------------------------------------------------------- a day by hand


def test_orders_are_all_that_was_asked_for(market):
    market.play(DAY)

    made = read(market, "orders")

    op = codes(made, "op")
    assert [
        (op[row["op"]], row["side"], row["price_ticks"], row["qty"], row["order_id"], row["client_order_id"])
        for row in made.to_pylist()
    ] == [
        ("place_order", -1, 4200, 100, 1, None),
        ("place_order", -1, 4210, 50, 2, None),
        ("place_order", -1, 4210, 70, 3, None),
        ("place_order", 1, 4210, 120, 4, "first"),
        ("place_order", 1, 4150, 10, 5, None),
        ("place_order", 1, 9900, 10, 0, None),
        ("cancel_order", None, 0, 0, 5, None),
    ]
    assert {row["session"] for row in made.to_pylist()} == {1}


def test_events_say_what_came_of_them(market):
    market.play(DAY)

    made = read(market, "events")

    action, reason = codes(made, "action"), codes(made, "reason")
    rows = made.to_pylist()
    traded = [row for row in rows if action[row["action"]] == "traded"]
    assert [(row["taker_order_id"], row["maker_order_id"], row["price_ticks"], row["qty"]) for row in traded] == [
        (4, 1, 4200, 100), (4, 2, 4210, 20)
    ]  # fmt: skip
    assert [row["match_id"] for row in traded] == [1, 2]
    [refused] = [row for row in rows if action[row["action"]] == "refused"]
    assert reason[refused["reason"]] == "price_outside_band"
    assert [row["prev_seq"] for row in rows] == [0, *(row["seq"] for row in rows[:-1])]


def test_trades_and_bars_add_up(market):
    market.play(DAY)

    trades, [bar] = table(market, "trades"), table(market, "bars", "--bar", "3600")

    assert [(row["price_ticks"], row["qty"], row["aggressor"]) for row in trades] == [(4200, 100, 1), (4210, 20, 1)]
    assert all(row["buyer_fee"] == row["price_ticks"] * row["qty"] // 200 for row in trades)
    assert (bar["open_ticks"], bar["high_ticks"], bar["low_ticks"], bar["close_ticks"]) == (4200, 4210, 4200, 4210)
    assert (bar["volume"], bar["turnover"], bar["trades"]) == (120, 4200 * 100 + 4210 * 20, 2)
    assert bar["ts_ns"] % bar["interval_ns"] == 0 and bar["ts_ns"] <= trades[0]["ts_ns"]


def test_books_are_told_side_by_side(market):
    market.play("\n".join(DAY.splitlines()[:6]))

    rows = table(market, "book_l2")
    first = rows[0]["seq"]

    assert [(row["seq"] - first, row["side"], row["level"], row["price_ticks"], row["qty"], row["orders"])
            for row in rows] == [
        (0, -1, 1, 4200, 100, 1),
        (1, -1, 1, 4200, 100, 1), (1, -1, 2, 4210, 50, 1),
        (2, -1, 1, 4200, 100, 1), (2, -1, 2, 4210, 120, 2),
        (3, -1, 1, 4210, 100, 2),
        (4, 1, 1, 4150, 10, 1),
    ]  # fmt: skip
    queue = [row for row in table(market, "book_l3") if row["seq"] == first + 3]
    assert [(row["place"], row["order_id"], row["qty"]) for row in queue] == [(1, 2, 30), (2, 3, 70)]
    quotes = table(market, "book_l1")
    assert [(row["bid_ticks"], row["bid_qty"], row["ask_ticks"], row["ask_qty"]) for row in quotes] == [
        (None, None, 4200, 100), (None, None, 4210, 100), (4150, 10, 4210, 100)
    ]  # fmt: skip


def test_the_close_empties_the_book(market):
    market.play(DAY)

    last = table(market, "book_l2")[-1]

    assert (last["level"], last["price_ticks"], last["qty"]) == (0, None, 0)


def test_serials_move_once_and_settlement_says_who_owes(market):
    market.play(DAY)

    moved = [row for row in table(market, "serials") if row["event"] == "traded"]
    owed = {(row["account_id"], row["asset_code"]): row["net"] for row in table(market, "settlement")}

    assert [(row["block_start"], row["block_end"], row["ref"]) for row in moved] == [(1, 100, 1), (101, 120, 2)]
    assert owed["alice", HBEA] == -owed["bob", HBEA] == 120
    assert owed["alice", CNY] == -(504200 + 504200 // 200)  # each trade's fee comes to whole fen here


def test_auctions_are_told(tmp_path):
    journal = SqliteJournal(tmp_path / "day.journal", durable=False)
    market = Market("generic", until="open", journal=journal, alice=cash("10000.00"), bob=units(200))
    market.file = tmp_path / "day.journal"
    market.play("call\nbob sells 100 @ 42.00\nalice buys 60 @ 42.00\nstart")

    [auction] = table(market, "auctions")

    journal.close()
    assert (auction["price_ticks"], auction["qty"], auction["imbalance"]) == (4200, 60, -40)


def test_metadata_say_units_and_where_a_table_comes_from(market):
    market.play(DAY)
    schema = read(market, "trades").schema

    told = {key.decode(): value.decode() for key, value in schema.metadata.items() if key.startswith(b"carbonex.")}
    assert told["carbonex.state"] == market.digest()
    assert (told["carbonex.tick"], told["carbonex.schema_version"], told["carbonex.rules"]) == ("0.01", "1", "hubei")
    assert json.loads(told["carbonex.instruments"])["1"]["symbol"] == HBEA
    assert schema.field("qty").metadata[b"unit"] == b"tCO2e"
    assert schema.field("price_ticks").metadata[b"unit"] == b"ticks per tCO2e"
    assert not any(pa.types.is_floating(kind) for kind in schema.types)


@pytest.mark.parametrize("what", What)
def test_arrow_files_hold_the_same(market, what):
    market.play(DAY)
    out = market.file.with_name("table.arrow")

    result = CliRunner().invoke(app, ["export", str(market.file), "--what", what, "-o", str(out)])

    assert result.exit_code == 0, result.output
    with pa.ipc.open_file(str(out)) as file:
        assert file.read_all().to_pylist() == table(market, what)


@pytest.mark.parametrize(
    ("journal", "out", "code", "status"),
    [("none.journal", "a.parquet", "journal_missing", 1), ("day.journal", "a.csv", "invalid_export", 1),
     ("day.journal", "taken.parquet", "invalid_export", 1), ("notes.txt", "a.parquet", "journal_corrupt", 2),
     ("day.journal", "no/where.parquet", "invalid_export", 1)],
)  # fmt: skip
def test_what_cannot_be_exported_is_said_in_a_line_and_leaves_nothing(market, journal, out, code, status):
    folder = market.file.parent
    folder.joinpath("taken.parquet").write_text("mine")
    folder.joinpath("notes.txt").write_text("no journal at all, but some words that are long enough")
    before = {*folder.iterdir()}

    result = CliRunner().invoke(app, ["export", str(folder / journal), "--what", "trades", "-o", str(folder / out)])

    assert (result.exit_code, result.stderr.count("\n"), result.stderr.split(": ")[1]) == (status, 1, code)
    assert {*folder.iterdir()} == before
    assert folder.joinpath("taken.parquet").read_text() == "mine"


def test_a_replay_command_by_command_knows_batches_and_their_undoing(market):
    """The parts of a batch come one by one here, and are still refused and taken back together."""
    number, instrument = market.number("bob"), market.instrument(HBEA)
    orders = [place_order(number, instrument, Side.SELL, ticks, 10) for ticks in (4300, 4310, 9900, 4320)]
    batch = OrderBatch(b"".join(one.packed for one in orders), [b""] * 4, OnError.ROLLBACK)
    prepared = market.engine.prepare([batch], market.now_ns).batch
    market.engine.record(prepared).result()
    market.engine.apply(prepared)
    market.play("alice buys 5 @ 41.00")

    *_, last = moments(History.of(market.file)(), one_by_one=True)

    assert last.exchange.digest() == market.digest()
    assert table(market, "book_l2")[-1]["price_ticks"] == 4100
    ledger_ends_in_the_balances(table(market, "ledger"), market.exchange)


# ---------------------------------------------------------------- any history


def history(seed, days):
    """Sentences of a random market: orders of all kinds, amends, cancels, halts, money and days."""
    drawn = Random(seed)
    names, placed = ("alice", "bob", "carol"), 0
    for day in ("2026-01-05", "2026-01-06")[:days]:
        yield f"open {day}"
        yield "start"
        for _ in range(drawn.randrange(5, 25)):
            name, kind = drawn.choice(names), drawn.random()
            price = f"{drawn.randrange(4150, 4250) / 100:.2f}"
            if kind < 0.7:
                placed += 1
                terms = drawn.choice(["", "", "", "ioc", "fok", "post-only", "show 5", f"stop {price}"])
                yield f"{name} {drawn.choice(['buys', 'sells'])} {drawn.randrange(1, 60)} @ {price} {terms}".strip()
            elif kind < 0.8:
                yield f"{name} cancels order {drawn.randrange(1, placed + 3)}"
            elif kind < 0.9:
                yield f"{name} amends order {drawn.randrange(1, placed + 3)} to {drawn.randrange(1, 60)} @ {price}"
            elif kind < 0.95:
                yield drawn.choice(["halt: a check", "resume: checked"])
            else:
                yield f"{drawn.choice([*names, 'everybody'])} cancels all"
        if day == "2026-01-05" and days > 1:
            yield "resume: the end"
            yield "close"
            yield "settle"


def played(path, seed, days, rules):
    journal = SqliteJournal(path, durable=False)
    try:
        market = Market(
            rules,
            until="listed",
            journal=journal,
            alice=cash("9000.00") + units(40),
            bob=units(300),
            carol=cash("5000.00"),
        )
        for line in history(seed, days):
            market.play(line)
        market.do(WithdrawCash("alice", 100))
    finally:
        journal.close()
    return market


def rows_of(path, what, asked=USUAL):
    return [row for part in tables(path, what, asked) for row in part.to_pylist()]


@settings(max_examples=60 if THOROUGH else 12)
@given(
    seed=st.integers(0, 2**32), days=st.sampled_from([1, 2]), rules=st.sampled_from(["hubei", "generic", "national"])
)
def test_tables_of_any_history_end_where_the_exchange_does(tmp_path_factory, seed, days, rules):
    path = tmp_path_factory.mktemp("history") / "exchange.journal"
    market = played(path, seed, days, rules)
    exchange = market.exchange

    ledger_ends_in_the_balances(rows_of(path, What.LEDGER), exchange)
    books_end_in_the_book(path, exchange)
    trades = rows_of(path, What.TRADES)
    bars = rows_of(path, What.BARS, Asked(bar_seconds=7))
    assert sum(row["volume"] for row in bars) == sum(row["qty"] for row in trades)
    assert sum(row["trades"] for row in bars) == len(trades)
    filled = Counter(row["match_id"] for row in rows_of(path, What.EVENTS) if row["action"] == EventKind.TRADED)
    assert filled == Counter(row["match_id"] for row in trades)
    accepted = {row["order_id"] for row in rows_of(path, What.EVENTS) if row["action"] == EventKind.ACCEPTED}
    assert accepted <= {row["order_id"] for row in rows_of(path, What.ORDERS)}
    title_ends_where_it_lies(rows_of(path, What.SERIALS), exchange)


def ledger_ends_in_the_balances(rows, exchange):
    """Sums of what changed are what is settled; the last row of each balance is the balance."""
    balances = exchange.path.desk.balances
    sums = np.zeros(balances.shape, np.int64)
    last = {}
    for row in rows:
        sums[row["account"], row["asset"]] += row["delta"]
        assert row["posted"] == sums[row["account"], row["asset"]]
        last[row["account"], row["asset"]] = row
    assert (sums == holdings.settled(balances)).all()
    for (account, asset), row in last.items():
        for bucket in ("available", "reserved", "incoming", "registry", "unsettled"):
            assert row[bucket] == balances[account, asset][bucket]
    nothing = np.zeros(1, balances.dtype)
    assert {(int(account), int(asset)) for account, asset in zip(*np.nonzero(balances != nothing), strict=True)} <= {
        *last
    }
    assert [row["txn"] for row in rows] == sorted(row["txn"] for row in rows)


def books_end_in_the_book(path, exchange):
    for what, take in (
        (What.BOOK_L2, lambda one: [(p, sum(q for _, q in orders), len(orders)) for p, orders in one]),
        (What.BOOK_L3, lambda one: [(p, q, number) for p, orders in one for number, q in orders]),
    ):
        rows = rows_of(path, what, Asked(depth=0))
        for side, sign in ((Side.BUY, 1), (Side.SELL, -1)):
            mine = [row for row in rows if row["side"] == sign]
            last = [row for row in mine if row["seq"] == mine[-1]["seq"] and row["level"]]
            third = "orders" if what == What.BOOK_L2 else "order_id"
            assert [(row["price_ticks"], row["qty"], row[third]) for row in last] == take(levels(exchange, 1, side))


def title_ends_where_it_lies(rows, exchange):
    holder = {}
    for row in rows:
        for serial in range(row["block_start"], row["block_end"] + 1):
            assert holder.get((row["unit"], serial), 0) == row["from"]
            holder[row["unit"], serial] = row["to"]
    held = Counter((number, unit) for (unit, _), number in holder.items())
    for account in exchange.accounts:
        for unit in exchange.units:
            assert held[account.number, unit.code] == exchange.serials.held(account.number, unit.number)
