"""Batches of orders: what becomes of the others when one is refused, and that a replay decides it again."""

import pytest

from exchange import invariants
from exchange.commands import OnError, OrderBatch
from exchange.engine import BatchReceipt, Engine
from exchange.reasons import Reason, Refused
from exchange.rows import CommandKind, EventKind, InBatch, told
from tests.exchange.market import Market, cash, units

TOO_MUCH = "alice buys 1000 @ 42.00"  # for her cash


@pytest.fixture
def market() -> Market:
    return Market(alice=cash("10000.00"), bob=units(100))


def place(market: Market, on_error: OnError, *lines: str) -> BatchReceipt:
    """Place the orders of some sentences as one batch."""
    commands = [market.command(line) for line in lines]
    batch = OrderBatch(b"".join(one.packed for one in commands), [one.detail for one in commands], on_error)
    block, [receipt] = market.engine.prepare([batch], market.now_ns)
    if block.rows.size:
        market.engine.record(block).result()
        market.outcome = market.engine.apply(block)
    invariants.check(market.exchange)
    assert isinstance(receipt, BatchReceipt)
    return receipt


def said(market: Market) -> list[str]:
    """What happened: kind, reason where there is one, and to which order."""
    return [
        " ".join(filter(None, [EventKind(row.kind).label, Reason(row.reason).code if row.reason else "",
                               str(row.order_id) if row.order_id else ""]))
        for row in told(market.outcome.rows)
    ]  # fmt: skip


def resting(market: Market) -> list[int]:
    ladder = market.exchange.path.desk.ladder
    first = int(ladder.pool[0].first_order_id)
    return [first + int(index) for index in ladder.slot_of.nonzero()[0]]


BATCH = ("alice buys 10 @ 41.00", TOO_MUCH, "alice buys 20 @ 41.00")


def test_orders_that_stand_for_themselves_are_placed_whatever_is_refused(market):
    place(market, OnError.CONTINUE, *BATCH)
    assert said(market) == ["accepted 1", "refused insufficient_cash", "accepted 2"]
    assert resting(market) == [1, 2]


def test_a_batch_that_stops_does_not_try_the_orders_behind_a_refused_one(market):
    place(market, OnError.STOP, *BATCH, "alice buys 30 @ 41.00")
    assert said(market) == ["accepted 1", "refused insufficient_cash", "refused batch_stopped", "refused batch_stopped"]
    assert resting(market) == [1]


def test_a_batch_that_is_rolled_back_leaves_nothing_in_the_book(market):
    before = market.money("alice")
    receipt = place(market, OnError.ROLLBACK, *BATCH)
    assert said(market) == [
        "accepted 1", "refused insufficient_cash", "refused batch_stopped", "cancelled batch_undone 1",
        "orders_cancelled batch_undone",
    ]  # fmt: skip
    assert (resting(market), market.money("alice")) == ([], before)
    assert receipt.undo == market.exchange.sequence


def test_a_batch_without_a_refusal_is_not_rolled_back(market):
    place(market, OnError.ROLLBACK, "alice buys 10 @ 41.00", "alice buys 20 @ 41.00")
    assert said(market) == ["accepted 1", "accepted 2", "orders_cancelled batch_undone"]
    assert resting(market) == [1, 2]


def test_what_has_traded_before_a_batch_is_rolled_back_has_traded(market):
    market.play("bob sells 10 @ 42.00")
    place(market, OnError.ROLLBACK, "alice buys 15 @ 42.00", TOO_MUCH)
    assert said(market) == [
        "accepted 2", "traded 2", "refused insufficient_cash", "cancelled batch_undone 2",
        "orders_cancelled batch_undone",
    ]  # fmt: skip
    assert resting(market) == []
    assert market.outcome.trades["quantity"].tolist() == [10]


def test_only_the_orders_of_the_batch_are_taken_out(market):
    market.play("alice buys 5 @ 40.00\nbob sells 5 @ 43.00")
    place(market, OnError.ROLLBACK, *BATCH)
    assert resting(market) == [1, 2]


def test_a_refused_batch_is_forgotten_when_the_next_one_begins(market):
    place(market, OnError.STOP, *BATCH)
    place(market, OnError.STOP, "alice buys 1 @ 41.00", "alice buys 2 @ 41.00")
    assert said(market) == ["accepted 2", "accepted 3"]


def test_single_orders_are_none_of_a_batchs_business(market):
    place(market, OnError.STOP, *BATCH)
    assert market.play("alice buys 1 @ 41.00") == "alice accepted"


def test_a_journal_of_batches_makes_the_same_exchange_again(market):
    market.play("bob sells 10 @ 42.00")
    for on_error in OnError:
        place(market, on_error, "alice buys 15 @ 42.00", *BATCH)
    again = Engine(market.engine.journal)
    for _ in again.open(None, market.now_ns):
        pass
    assert again.exchange.digest() == market.exchange.digest()


# ---------------------------------------------------------------- orders that came before


NAMED = ("alice buys 10 @ 41.00 as a", "alice buys 20 @ 41.00 as b")


def test_a_batch_sent_again_gets_the_receipts_of_the_first(market):
    first = place(market, OnError.STOP, *NAMED)
    before = market.exchange.sequence
    again = place(market, OnError.STOP, *NAMED)
    assert again.orders == first.orders
    assert market.exchange.sequence == before, "nothing was journalled"


def test_orders_that_are_new_are_placed_beside_those_that_came_before(market):
    first = place(market, OnError.ROLLBACK, *NAMED)
    again = place(market, OnError.ROLLBACK, NAMED[0], "alice buys 5 @ 41.00 as c", NAMED[1], TOO_MUCH)
    assert [again.orders[0], again.orders[2]] == first.orders
    assert resting(market) == [1, 2], "what came before is not undone"


def test_an_order_that_stands_twice_in_a_batch_is_placed_once(market):
    receipt = place(market, OnError.STOP, NAMED[0], NAMED[0])
    assert receipt.orders[0] == receipt.orders[1]
    assert said(market) == ["accepted 1"]


@pytest.mark.parametrize(
    ("on_error", "fresh"), [(OnError.CONTINUE, [1, 2]), (OnError.STOP, [1]), (OnError.ROLLBACK, [])]
)
def test_the_name_of_another_order_is_a_refusal_before_the_journal(market, on_error, fresh):
    receipt = place(market, on_error, NAMED[0], "alice buys 11 @ 41.00 as a", NAMED[1])
    refused = [one.reason.code for one in receipt.orders if isinstance(one, Refused)]
    assert "client_order_id_used" in refused
    assert resting(market) == fresh
    placed = place(market, OnError.STOP, NAMED[0])  # its name is free if it was not placed
    assert isinstance(placed.orders[0], int)


def test_a_batch_may_come_with_other_commands(market):
    one = market.command("bob sells 10 @ 43.00")
    named = [market.command(line) for line in NAMED]
    batch = OrderBatch(b"".join(one.packed for one in named), [one.detail for one in named], OnError.STOP)
    block, receipts = market.engine.prepare([one, batch, named[0], one], market.now_ns)
    first = market.exchange.sequence + 1
    assert receipts == [first, BatchReceipt([first + 1, first + 2], first + 1, 2), first + 1, first + 3]
    assert block.rows["kind"].tolist() == [CommandKind.PLACE_ORDER] * 4
    assert block.rows["batch"].tolist() == [InBatch.ALONE, InBatch.FIRST, InBatch.NEXT, InBatch.ALONE]
