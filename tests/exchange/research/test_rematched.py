"""Matching again: what was told of a flow leads back to its trades, and what does not is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.flow import FlowPlayer, new_events
from exchange.research import itch
from exchange.research.lobster import Sample
from exchange.research.messages import MESSAGE, MessageType
from exchange.research.orders import Follower
from exchange.research.rematched import Why, commands_of, replay_rematched, tick_of
from exchange.research.sources import open_source
from exchange.research.window import whole, window_of
from exchange.rows import CommandKind, EventKind, joined
from matching.orders import Side
from tests.conftest import EXAMPLES
from tests.exchange.research.samples import flow, itch_file, same, window

NEW, CANCEL, DELETE, EXECUTED, HIDDEN = MessageType.NEW_ORDER, *[*MessageType][1:5]
BUY, SELL = Side.BUY, Side.SELL


def messages(*told):
    """Rows of (time, type, order, size, price, side, leaves)."""
    rows = np.zeros(len(told), MESSAGE)
    for row, one in zip(rows, told, strict=True):
        for name, value in zip(
            ("time_ns", "kind", "order_id", "quantity", "price", "side", "leaves"), one, strict=True
        ):
            row[name] = value
    return rows


@settings(max_examples=EXAMPLES // 5)
@given(seed=st.integers(0, 10**6))
def test_every_execution_of_a_flow_hits_the_same_maker_at_the_same_price_again(seed):
    rows = flow(seed, 200)
    report = replay_rematched(rows)
    executed = rows["kind"] == EXECUTED
    assert report.executions == report.same == report.trades == np.count_nonzero(executed)
    assert report.hidden == np.count_nonzero(rows["kind"] == HIDDEN)
    assert (report.exceptions, report.unexpected, report.refused) == ((), 0, 0)


def test_executions_of_one_moment_and_side_are_one_aggressor():
    rows = messages(
        (1, NEW, 11, 50, 1000, SELL, 50),
        (2, NEW, 12, 70, 1000, SELL, 70),
        (3, NEW, 13, 30, 1100, SELL, 30),
        (9, EXECUTED, 11, 50, 1000, SELL, 0),
        (9, HIDDEN, 0, 10, 1050, SELL, 0),
        (9, EXECUTED, 12, 70, 1000, SELL, 0),
        (9, EXECUTED, 13, 5, 1100, SELL, 25),
    )
    (aggressor,) = commands_of(rows, 100)[3:]
    assert (aggressor["kind"], aggressor["side"], aggressor["sequence"]) == (CommandKind.PLACE_ORDER, BUY, 3)
    assert (aggressor["quantity"], aggressor["price_ticks"]) == (125, 11)
    report = replay_rematched(rows)
    assert (report.aggressors, report.several_fills, report.several_prices) == (1, 1, 1)
    assert (report.executions, report.same, report.hidden) == (3, 3, 1)


@pytest.mark.parametrize(
    ("second", "aggressors"),
    [
        ((9, EXECUTED, 12, 70, 1000, SELL, 0), 1),
        ((10, EXECUTED, 12, 70, 1000, SELL, 0), 2),
        ((9, EXECUTED, 21, 70, 900, BUY, 0), 2),
    ],
)
def test_another_time_or_side_is_another_aggressor(second, aggressors):
    rows = messages(
        (1, NEW, 11, 50, 1000, SELL, 50),
        (2, NEW, 12, 70, 1000, SELL, 70),
        (3, NEW, 21, 70, 900, BUY, 70),
        (9, EXECUTED, 11, 50, 1000, SELL, 0),
        second,
    )
    report = replay_rematched(rows)
    assert (report.aggressors, report.same, report.executions) == (aggressors, 2, 2)


@pytest.mark.parametrize(
    ("executed", "why", "hit"),
    [
        ((9, EXECUTED, 12, 20, 1000, SELL, 50), Why.ANOTHER_MAKER, (11, 1000, 20)),
        ((9, EXECUTED, 13, 20, 1100, SELL, 10), Why.ANOTHER_PRICE, (11, 1000, 20)),
        ((9, EXECUTED, 11, 60, 1000, SELL, 0), Why.ANOTHER_MAKER, (12, 1000, 10)),
        ((9, EXECUTED, 99, 20, 900, SELL, 0), Why.NOT_FILLED, (0, 0, 0)),
    ],
)
def test_an_execution_that_our_book_would_not_make_is_named_with_what_it_makes(executed, why, hit):
    rows = messages(
        (1, NEW, 11, 50, 1000, SELL, 50),
        (2, NEW, 12, 70, 1000, SELL, 70),
        (3, NEW, 13, 30, 1100, SELL, 30),
        executed,
    )
    report = replay_rematched(rows)
    assert (report.executions, report.same) == (1, 0)
    (one,) = report.exceptions
    assert (one.row, one.why, one.hit_order_id, one.hit_price, one.hit_quantity) == (4, why, *hit)
    assert report.reasons() == {why.label: 1}


def test_an_order_without_its_queue_before_it_is_filled_for_less():
    rows = messages((1, NEW, 11, 50, 1000, SELL, 50), (9, EXECUTED, 11, 60, 1000, SELL, 0))
    (one,) = replay_rematched(rows).exceptions
    assert (one.why, one.missing) == (Why.ANOTHER_QUANTITY, 10)


def test_pieces_end_between_aggressors(monkeypatch):
    from exchange.research import rematched

    rows = flow(4, 400)
    expected = replay_rematched(rows)
    monkeypatch.setattr(rematched, "AT_ONCE", 1)
    assert replay_rematched(rows) == expected
    assert max(piece.size for piece in rematched.pieces(rows)) > 1


def test_prices_in_cents_are_matched_in_cents():
    assert tick_of(messages((1, NEW, 11, 50, 1000, SELL, 50), (2, HIDDEN, 0, 5, 1050, SELL, 0))) == 100
    assert tick_of(messages((1, NEW, 11, 50, 1001, SELL, 50))) == 1


# ---------------------------------------------------------------- windows


@pytest.mark.parametrize("levels", [2, 5, 60])
@pytest.mark.parametrize("first", [1, 100, 250])
def test_a_window_leads_to_the_same_trades_where_the_file_shows_who_was_there(tmp_path, levels, first):
    made = Sample.of(window(tmp_path, flow(first, 500), levels, first))
    reported, seeds = window_of(made)
    rows = joined([*whole((part for part, _ in made.parts()), seeds)])
    report = replay_rematched(rows, seeds)
    assert reported.divergence_count == 0
    assert Follower(whole=False).follow(rows.copy()) is None
    assert (rows["leaves"] >= 0).all()
    assert report.late == 0 or levels < 60
    assert report.messages == sum(1 for _ in made.rows())
    assert report.seeded > 0
    assert report.of_older > 0 or first == 1
    assert report.executions > 20
    assert report.same >= {60: 1.0, 5: 0.9, 2: 0.8}[levels] * report.executions
    for one in report.exceptions:
        shown = [*made.rows()][one.row - 1][0]
        assert (shown.order_id, shown.price, shown.size) == (one.order_id, one.price, one.quantity)


def test_orders_older_than_the_window_stand_where_the_first_row_shows_them(tmp_path):
    file = tmp_path / "HB_2012-06-21_0_1_message_2.csv"
    file.write_text("1,1,50,10,1000,1\n2,4,7,30,1000,1\n3,2,8,5,1100,-1\n4,3,8,35,1100,-1\n")
    (tmp_path / "HB_2012-06-21_0_1_orderbook_2.csv").write_text(
        "1100,60,1000,110,9999999999,0,900,20\n1100,60,1000,80,9999999999,0,900,20\n"
        "1100,55,1000,80,9999999999,0,900,20\n1100,20,1000,80,9999999999,0,900,20\n"
    )
    reported, seeds = window_of(Sample.of(file))
    assert reported.divergence_count == 0
    before = sorted(tuple(row) for row in seeds.before[["side", "price", "quantity"]].tolist())
    assert before == [(0, 900, 20), (0, 1000, 30), (0, 1000, 70), (1, 1100, 20), (1, 1100, 40)]
    assert seeds.named == {7, 8} and seeds.nameless == 3
    assert seeds.leaves == {1: 0, 2: 35, 3: 0}
    rows = joined([*open_source(file).whole()])
    assert [int(row["leaves"]) for row in rows[-3:]] == [0, 35, 0]
    events = joined([part.copy() for part in FlowPlayer().play(commands_of(rows, 1), new_events())])
    assert (events["kind"] == EventKind.CANCEL_REFUSED).sum() == 0


def test_an_order_that_no_level_had_room_for_comes_just_before_it_is_named(tmp_path):
    source = open_source(window(tmp_path, flow(8, 500), 5, 120))
    rows, seeds = joined([*source.whole()]), source.window[1]
    assert seeds.late > 0
    assert same(joined([*itch.read(itch_file(tmp_path, rows))]), rows, leaves=False)
