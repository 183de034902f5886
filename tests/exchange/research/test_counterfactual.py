"""One thing changed in a flow, and what differs; by hand, at random, and from a strategy."""

import json

import msgspec
import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.flow_files import events_table
from exchange.research.counterfactual import CounterfactualError, counterfactual, played, schedule_text, with_strategy
from exchange.research.schedule import Action, Change, ScheduleError, apply_schedule, read_schedule
from exchange.research.strategy import Strategy, StrategyError, load_strategy
from exchange.rows import COMMAND
from tests.exchange.research.play import FEW, flow, flows

HAND = (
    "new 1 sell 10 @ 45",  # 0
    "new 2 buy 10 @ 40",  # 1
    "new 3 buy 10 @ 41",  # 2
    "new 4 sell 15 @ 40",  # 3: takes 10 @ 41 from 3 and 5 @ 40 from 2
    "cancel 2",  # 4: takes off the 5 that are left
    "new 5 buy 20 @ 45",  # 5: takes 10 @ 45 from 1, the rest stands at 45
)


def insert(at, ref, side, quantity, price, **more):
    return Change(Action.INSERT, at, op="new", ref=ref, side=side, quantity=quantity, price_ticks=price, **more)


def told(table):
    lines = []
    for row in table.to_pylist():
        line = f"{row['run'][0]}{'' if row['base_row'] is None else row['base_row']}: {row['ref']} {row['event']}"
        traded = f" @ {row['price_ticks']} from {row['maker_ref']}" if row["event"] == "traded" else ""
        lines.append(f"{line} {row['quantity']}{traded}")
    return lines


# ---------------------------------------------------------------- by hand


def test_an_inserted_order_takes_the_fills_of_those_behind_it():
    made = counterfactual(flow(*HAND), [insert(1, 77, "buy", 7, 40)])
    assert told(made.differences()) == [
        "c: 77 accepted 7",
        "o3: 4 accepted 15",
        "o3: 4 traded 10 @ 41 from 3",
        "o3: 4 traded 5 @ 40 from 2",
        "c3: 4 accepted 15",
        "c3: 4 traded 10 @ 41 from 3",
        "c3: 4 traded 5 @ 40 from 77",
        "o4: 2 cancelled 5",
        "c4: 2 cancelled 10",
    ]
    (fill,) = made.fills().to_pylist()
    assert (fill["run"], fill["base_row"], fill["seq"], fill["role"]) == ("counterfactual", 3, 4, "maker")
    assert (fill["ref"], fill["against"], fill["price_ticks"], fill["quantity"]) == (77, 4, 40, 5)
    queue = made.queue().to_pylist()
    assert [(row["seq"], row["leaves"], row["ahead_quantity"]) for row in queue] == [(1, 7, 0), (4, 2, 0)]
    assert (queue[0]["base_row"], queue[1]["base_row"]) == (None, 3)


def test_the_path_pairs_the_books_and_tells_the_impact():
    path = counterfactual(flow(*HAND), [insert(2, 77, "buy", 1, 43)]).path().to_pydict()
    assert path["original_bid"] == [None, 40, 41, 40, None, 45]
    assert path["counterfactual_bid"] == [None, 40, 43, 40, None, 45]  # 77 came before row 2: it shows from there on
    assert path["original_mid"] == [None, 42.5, 43.0, 42.5, None, None]
    assert path["impact"] == [None, 0.0, 1.0, 0.0, None, None]
    assert path["counterfactual_bid_depth"] == [0, 10, 1, 6, 0, 10]


def test_a_cancel_of_an_order_that_was_removed_is_refused_and_counted():
    made = counterfactual(flow(*HAND), [Change(Action.REMOVE, 1)])
    assert "c4: 2 cancel_refused None" in told(made.differences())
    refused = {row["measure"]: row for row in made.summary().to_pylist()}["cancels refused"]
    assert (refused["original"], refused["counterfactual"], refused["difference"]) == (0, 1, 1)


def test_a_delayed_order_loses_its_place():
    made = counterfactual(flow(*HAND), [Change(Action.DELAY, 2, to=4)])
    assert [(row["run"], row["base_row"], row["leaves"]) for row in made.queue().to_pylist()] == [
        ("original", 2, 10), ("counterfactual", 2, 5),
    ]  # fmt: skip
    events = events_table(made.events).to_pylist()
    assert [(row["event"], row["maker_ref"]) for row in events if row["ref"] == 4] == [
        ("accepted", None),
        ("traded", 2),
    ]
    assert made.changed.origin.tolist() == [0, 1, 3, 2, 4, 5]


def test_a_resized_order_trades_and_rests_for_its_new_quantity():
    made = counterfactual(flow(*HAND), [Change(Action.RESIZE, 3, quantity=10)])
    assert [(row["run"], row["quantity"]) for row in made.fills().to_pylist()] == [
        ("original", 10), ("original", 5), ("counterfactual", 10),
    ]  # fmt: skip


def test_what_is_put_before_one_row_stands_in_the_order_of_the_table():
    changes = [insert(4, 77, "buy", 1, 30), Change(Action.DELAY, 1, to=4), insert(4, 78, "buy", 1, 30)]
    assert apply_schedule(flow(*HAND), changes).rows["order_id"].tolist() == [1, 3, 4, 77, 2, 78, 2, 5]


def test_a_delay_in_time_passes_all_that_comes_until_then():
    rows = flow(*HAND)
    rows["now_ns"] = [10, 20, 30, 40, 40, 50]
    changed = apply_schedule(rows, [Change(Action.DELAY, 1, by_ns=20)])
    assert changed.origin.tolist() == [0, 2, 3, 4, 1, 5]
    assert np.all(np.diff(changed.rows["now_ns"]) >= 0)


# ---------------------------------------------------------------- at random


@settings(max_examples=FEW)
@given(flows)
def test_nothing_changed_is_no_difference(rows):
    made = counterfactual(rows, [])
    assert made.differences().num_rows == made.fills().num_rows == made.queue().num_rows == 0
    assert {value for value in made.path()["impact"].to_pylist() if value is not None} <= {0.0}
    assert {row["difference"] for row in made.summary().to_pylist() if row["difference"] is not None} <= {0.0}


@st.composite
def flows_with_schedules(draw):
    rows = draw(flows)
    ends = st.integers(0, rows.size)
    changes = [
        insert(draw(ends), 100 + number, draw(st.sampled_from(["buy", "sell"])), draw(st.integers(1, 9)), price)
        for number, price in enumerate(draw(st.lists(st.integers(40, 46), max_size=4)))
    ]
    for at in draw(st.sets(st.integers(0, max(0, rows.size - 1)), max_size=4)) if rows.size else ():
        action = draw(st.sampled_from([Action.REMOVE, Action.DELAY, Action.RESIZE]))
        if action == Action.DELAY:
            changes.append(Change(action, at, to=draw(st.integers(at + 1, rows.size))))
        elif action == Action.RESIZE and rows["kind"][at] != 2:
            changes.append(Change(action, at, quantity=draw(st.integers(1, 9))))
        elif action == Action.REMOVE:
            changes.append(Change(action, at))
    return rows, draw(st.permutations(changes))


def plainly_changed(rows, changes):
    """The changed flow's (origin, reference, quantity), told row by row."""
    before = {at: [] for at in range(rows.size + 1)}
    gone, quantities = set(), rows["quantity"].tolist()
    for change in changes:
        if change.action == Action.INSERT:
            before[change.at].append((-1, change.ref, change.quantity))
        elif change.action == Action.RESIZE:
            quantities[change.at] = change.quantity
        else:
            gone.add(change.at)
            if change.action == Action.DELAY:
                before[change.to].append((change.at, int(rows["order_id"][change.at]), quantities[change.at]))
    lines = []
    for at in range(rows.size + 1):
        lines += before[at]
        if at < rows.size and at not in gone:
            lines.append((at, int(rows["order_id"][at]), quantities[at]))
    return lines


@given(flows_with_schedules())
def test_a_schedule_does_what_a_plain_list_would(drawn):
    rows, changes = drawn
    changed = apply_schedule(rows, changes)
    found = list(
        zip(changed.origin.tolist(), changed.rows["order_id"].tolist(), changed.rows["quantity"].tolist(), strict=True)
    )
    assert found == plainly_changed(rows, changes)


@settings(max_examples=FEW)
@given(flows_with_schedules())
def test_the_differences_lead_from_one_run_to_the_other(drawn):
    """What is in both runs, message by message, is what is left when the differences are taken out of each."""
    made = counterfactual(*drawn)
    differences = made.differences().to_pylist()
    rests = []
    for run, events, origin in (
        ("original", made.original_events, range(made.rows.size)),
        ("counterfactual", made.events, made.changed.origin.tolist()),
    ):
        different = {row["seq"] for row in differences if row["run"] == run}
        said = {}
        for row in events_table(events).to_pylist():
            if row["seq"] not in different:
                said.setdefault(origin[row.pop("seq")], []).append(row)
        rests.append(said)
    assert rests[0] == rests[1] and -1 not in rests[1]
    different = {(row["run"], row["base_row"]) for row in differences}
    assert all(("counterfactual", row) in different or row in {change.at for change in made.schedule}
               for run, row in different if run == "original")  # fmt: skip


# ---------------------------------------------------------------- strategies


class Joins(Strategy):
    """Joins the best bid now and then, and gives up what stands too far behind."""

    def before_message(self, market):
        best = market.book.best(0)
        for order in market.resting():
            place = market.place(order.order_id)
            assert place.leaves == order.leaves
            if place.ahead_quantity > 12:
                yield market.cancel(order.order_id)
            elif order.leaves > 1 and market.rng.random() < 0.2:
                yield market.amend(order.order_id, order.price_ticks, order.leaves - 1)
        if best and market.rng.random() < 0.4:
            yield market.new("buy", best, int(market.rng.integers(1, 9)))


@settings(max_examples=FEW)
@given(flows, st.integers(0, 5))
def test_a_strategy_and_its_schedule_give_the_same_events(rows, seed):
    made = with_strategy(rows, Joins(), seed)
    again = counterfactual(rows, made.schedule)
    assert made.events.tobytes() == again.events.tobytes()
    assert made.differences().equals(again.differences())
    assert with_strategy(rows, Joins(), seed).events.tobytes() == made.events.tobytes()


class Watches(Strategy):
    """Sends one order and notes where it stands."""

    def __init__(self):
        self.places, self.ref = {}, None

    def before_message(self, market):
        if self.ref is not None:
            self.places[market.row] = market.place(self.ref)
        if market.row == 3:
            order = market.new("buy", 43, 6)
            self.ref = order.ref
            yield order


@settings(max_examples=FEW)
@given(flows)
def test_the_queue_told_is_the_one_that_a_strategy_saw(rows):
    watching = Watches()
    made = with_strategy(rows, watching, 0)
    queue = made.queue().to_pylist()
    for row, place in watching.places.items():
        upto = [one for one in queue if one["base_row"] is None or one["base_row"] < row]
        if place is not None:
            assert (upto[-1]["leaves"], upto[-1]["ahead_quantity"], upto[-1]["ahead_orders"]) == place


def test_a_strategy_that_changes_the_book_is_found_out():
    class Cheats(Strategy):
        def before_message(self, market):
            if market.row == 3:
                market.book.cancel(3)

    with pytest.raises(StrategyError, match="did it change the book"):
        with_strategy(flow(*HAND), Cheats(), 0)


def test_a_strategy_that_sends_nonsense_is_named_with_its_row():
    class Errs(Strategy):
        def before_message(self, market):
            if market.row == 2:
                yield market.new("hold", 43, 6)

    with pytest.raises(StrategyError, match=r"before row 2 .* side is buy or sell"):
        with_strategy(flow(*HAND), Errs(), 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Other: pass", "no exchange.research.strategy.Strategy"),
        ("1 / 0", "ZeroDivisionError"),
        ("x = 1", "AttributeError"),
    ],
)
def test_a_file_without_the_strategy_is_named(tmp_path, text, said):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(StrategyError, match=said):
        load_strategy(f"{path}:Other")
    with pytest.raises(StrategyError, match=r"file\.py:Class"):
        load_strategy(str(path))


# ---------------------------------------------------------------- what can't be


WRONG = {
    "flow has rows 0 to 5": [Change(Action.REMOVE, 6)],
    "price_ticks must be positive": [insert(0, 77, "buy", 1, 0)],
    "quantity must be positive": [insert(0, 77, "buy", 0, 1)],
    "op is new, cancel or amend": [Change(Action.INSERT, 0, ref=1)],
    "ref is missing": [Change(Action.INSERT, 0, op="cancel")],
    "time_in_force is": [insert(0, 77, "buy", 1, 1, time_in_force="GTD")],
    "account is": [insert(0, 77, "buy", 1, 1, account=-1)],
    "a cancel has no quantity": [Change(Action.RESIZE, 4, quantity=5)],
    "needs one of to and by_ns": [Change(Action.DELAY, 2)],
    "to must be a later row": [Change(Action.DELAY, 2, to=2)],
    "by_ns must be positive": [Change(Action.DELAY, 2, by_ns=0)],
    "by_ns needs a flow with times": [Change(Action.DELAY, 2, by_ns=5)],
    "two changes remove row 2": [Change(Action.REMOVE, 2), Change(Action.REMOVE, 2)],
    "row 2 is removed and changed": [Change(Action.REMOVE, 2), Change(Action.DELAY, 2, to=4)],
    "reference 5 of an inserted order is used": [insert(0, 5, "buy", 1, 1)],
}


@pytest.mark.parametrize(("said", "changes"), WRONG.items(), ids=WRONG)
def test_a_change_that_does_not_fit_is_named(said, changes):
    with pytest.raises(ScheduleError, match=said):
        apply_schedule(flow(*HAND), changes)


CSV = "action,at,to,op,ref,side,price_ticks,quantity\ninsert,3,,new,18446744073709551615,buy,43,7\ndelay,1,4,,,,,\n"


def test_a_schedule_reads_the_same_from_csv_and_toml(tmp_path):
    table, text = tmp_path / "s.csv", tmp_path / "s.toml"
    table.write_text(CSV, "utf-8-sig")
    changes = read_schedule(table)
    assert changes == [insert(3, 2**64 - 1, "buy", 7, 43), Change(Action.DELAY, 1, to=4)]
    text.write_text(schedule_text(changes))
    assert read_schedule(text) == changes
    assert 2**64 - 1 in counterfactual(flow(*HAND), changes).queue()["ref"].to_pylist()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("s.csv", "action,at\ninsert,x\n", "change 1: at is 'x'"),
        ("s.csv", "action,at\nremove,1,2\n", "more values than columns"),
        ("s.csv", "action,at\nremove,1\nretire,1\n", "change 2: Invalid enum value 'retire'"),
        ("s.csv", "action,row\nremove,1\n", "unknown field `row`"),
        ("s.csv", "action,at\n,1\n", "missing required field `action`"),
        ("s.toml", "change = 3", r"\[\[change\]\]"),
        ("s.toml", "[[change]\n", "s.toml"),
        ("s.toml", "[[change]]\naction = 'remove'\nat = 'one'", "Expected `int`"),
        ("s.txt", "", ".csv or .toml"),
    ],
)
def test_a_malformed_schedule_is_named_with_its_line(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(ScheduleError, match=said):
        read_schedule(tmp_path / name)


# ---------------------------------------------------------------- on disk


def test_a_comparison_is_written_whole_with_its_header(tmp_path):
    made = counterfactual(flow(*HAND), [insert(1, 77, "buy", 7, 40)], command="carbonex counterfactual f.csv")
    out = tmp_path / "out"
    made.write(out)
    header = json.loads((out / "header.json").read_text())
    assert (header["mode"], header["seed"], header["reproduce"]) == (
        "re-matched",
        None,
        "carbonex counterfactual f.csv",
    )
    assert set(header["inputs"]) == {"flow_sha256", "schedule_sha256"} and "carbonex" in header["versions"]
    for name in ("summary", "differences", "path", "fills", "queue", "events"):
        table = pyarrow.parquet.read_table(out / f"{name}.parquet")
        assert json.loads(table.schema.metadata[b"carbonex"]) == header
    assert read_schedule(out / "schedule.toml") == list(made.schedule)
    with pytest.raises(CounterfactualError, match="--force"):
        made.write(out)
    made.write(out, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(CounterfactualError, match="left alone"):
        made.write(tmp_path / "mine", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_the_digest_is_that_of_the_messages():
    headers = [counterfactual(flow(*lines), []).header["inputs"]["flow_sha256"] for lines in (HAND, HAND, HAND[:-1])]
    assert headers[0] == headers[1] != headers[2]


def test_a_flow_without_messages_can_be_changed_too():
    made = counterfactual(np.zeros(0, COMMAND), [insert(0, 1, "buy", 5, 42)])
    assert told(made.differences()) == ["c: 1 accepted 5"]
    assert made.path().num_rows == 0 and made.queue().num_rows == 1
    assert msgspec.json.encode(made.header)
    assert played(made.rows).size == 0
