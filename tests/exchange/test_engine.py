"""The engine: every command is stamped, journalled and applied once, and the journal alone brings it all back."""

import shutil
import sqlite3
from contextlib import closing
from datetime import date, timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import engine as engine_of
from exchange import invariants
from exchange.commands import (
    BreakSession,
    CancelCause,
    CancelOrders,
    CloseSession,
    DepositCash,
    HaltTrading,
    IssueUnits,
    ListInstrument,
    OpenAccount,
    OpenCall,
    OpenDay,
    ResumeTrading,
    SettleDay,
    StartTrading,
    TransferUnits,
    WithdrawCash,
    amend_order,
    cancel_order,
    cancel_orders,
    control,
    place_order,
)
from exchange.engine import Engine, read_batches, read_exchange
from exchange.instruments import INSTRUMENT
from exchange.journal import Batch, JournalError, MemoryJournal, SqliteJournal
from exchange.reasons import Reason, Refused
from exchange.rows import COMMAND, CommandKind
from exchange.rules import Fees, PriceBand, load_rule_set
from exchange.state import Exchange
from exchange.transition import apply
from matching.ladder import ORDER
from matching.orders import OrderType, SelfTradePrevention, TimeInForce
from registry.accounts import ParticipantClass
from registry.holdings import BALANCE
from registry.serials import Cause, Origin
from registry.units import Species
from tests.exchange.market import HBEA, SECOND, Market, cash, nothing, units

HUBEI, GENERIC = load_rule_set("hubei"), load_rule_set("generic")
# Hubei, but that orders may outlive their day; and from the second day on the band is narrower, the fee higher.
LASTING = msgspec.structs.replace(
    HUBEI,
    carry_over=[],
    price_bands=[*HUBEI.price_bands, PriceBand(date(2026, 1, 6), up="0.02", down="0.02")],
    fees=[*HUBEI.fees, Fees(date(2026, 1, 6), "0.01", "0.01")],
)


def reopened(journal):
    """A new engine over the same journal."""
    engine = Engine(journal)
    for _ in engine.open(None, now_ns=0):
        pass
    return engine


def traders(journal=None, rules="hubei"):
    rich = cash("100000.00") + units(1000)
    return Market(rules, journal=journal, alice=rich, bob=rich)


def stamped(journal):
    """All commands of a journal: rows and details."""
    batches = [Batch.decode(block) for block in journal.blocks()]
    return Batch(np.concatenate([batch.rows for batch in batches]), [d for batch in batches for d in batch.details])


# ---------------------------------------------------------------- orders that come twice


def test_a_repeated_order_gets_the_first_receipt_and_is_not_placed_again():
    market = traders()
    assert market.play("alice buys 10 @ 42.00 as a-17") == "alice accepted"
    first, digest = market.receipts, market.digest()

    assert market.play("alice buys 10 @ 42.00 as a-17") == ""
    assert market.receipts == first
    assert market.digest() == digest


def test_a_repeated_order_gets_the_first_receipt_within_one_batch_too():
    market = traders()
    order = market.command("alice buys 10 @ 42.00 as a-17")
    market.submit(order, market.command("bob buys 1 @ 42.00"), order)

    first, second, third = market.receipts
    assert (second, third) == (first + 1, first)
    assert market.outcome.rows["sequence"].tolist() == [first, second]


def test_a_repeated_order_gets_the_first_receipt_after_a_restart():
    journal = MemoryJournal()
    market = traders(journal)
    order = market.command("alice buys 10 @ 42.00 as a-17")
    market.submit(order)

    receipts, outcome = reopened(journal).submit([order], now_ns=0)
    assert receipts == market.receipts
    assert outcome.rows.size == 0


def test_a_repeated_order_is_not_journalled():
    journal = MemoryJournal()
    market = traders(journal)
    market.play("alice buys 10 @ 42.00 as a-17")
    blocks = list(journal.blocks())
    market.play("alice buys 10 @ 42.00 as a-17")

    assert list(journal.blocks()) == blocks


def test_a_filled_order_is_recognised_too():
    market = traders()
    market.play("bob sells 10 @ 42.00")
    market.play("alice buys 10 @ 42.00 as a-17")

    assert market.play("alice buys 10 @ 42.00 as a-17") == ""


@pytest.mark.parametrize(
    "other",
    [
        pytest.param("alice buys 11 @ 42.00 as a-17", id="another quantity"),
        pytest.param("alice buys 10 @ 41.99 as a-17", id="another price"),
        pytest.param("alice sells 10 @ 42.00 as a-17", id="another side"),
        pytest.param("alice buys 10 @ 42.00 ioc as a-17", id="another time in force"),
        pytest.param("alice buys 10 HBCER @ 42.00 as a-17", id="another instrument"),
    ],
)
def test_another_order_under_the_same_id_is_refused(other):
    market = traders()
    market.play("alice buys 10 @ 42.00 as a-17")

    assert market.play(other) == "refused: client_order_id_used"
    (receipt,) = market.receipts
    assert receipt.reason == Reason.CLIENT_ORDER_ID_USED and "'a-17'" in receipt.detail


def test_another_order_under_the_same_id_is_refused_within_one_batch_too():
    market = traders()
    market.submit(market.command("alice buys 10 @ 42.00 as a-17"), market.command("alice buys 11 @ 42.00 as a-17"))

    first, second = market.receipts
    assert isinstance(first, int)
    assert isinstance(second, Refused) and second.reason == Reason.CLIENT_ORDER_ID_USED


def test_a_used_id_is_noticed_before_anything_else_that_is_wrong():
    # The engine looks before the command becomes one; the order of reasons holds for what it lets through.
    market = traders()
    market.play("alice buys 10 @ 42.00 as a-17\nclose")

    assert market.play("alice buys 10 @ 41.00 as a-17") == "refused: client_order_id_used"


def test_two_accounts_may_use_the_same_id():
    market = traders()

    assert market.play("alice buys 10 @ 41.00 as a-17\nbob buys 10 @ 41.00 as a-17") == "alice accepted\nbob accepted"


def test_orders_without_an_id_are_all_different():
    market = traders()

    assert market.play("alice buys 10 @ 41.00\nalice buys 10 @ 41.00") == "alice accepted\nalice accepted"


def test_the_id_of_a_refused_order_may_be_used_again():
    market = traders()
    assert market.play("alice buys 10 @ 99.00 as a-17") == "alice refused: price_outside_band"

    assert market.play("alice buys 10 @ 42.00 as a-17") == "alice accepted"


def test_ids_are_free_again_the_next_day():
    market = traders()
    market.play("alice buys 10 @ 42.00 as a-17")
    market.next_day("2026-01-06")

    assert market.play("alice buys 10 @ 42.00 as a-17") == "alice accepted"


# ---------------------------------------------------------------- stamps


def test_an_order_in_one_batch_with_the_opening_of_its_day_is_no_repeat_of_yesterdays():
    market = traders()
    market.play("alice buys 10 @ 42.00 as a-17")
    market.play("close")
    market.play("settle")
    order = market.command("alice buys 10 @ 42.00 as a-17")
    receipts, outcome = market.engine.submit(
        [control(OpenDay(date(2026, 1, 6))), control(StartTrading()), order], now_ns=0
    )

    assert receipts[2] == receipts[0] + 2
    assert outcome.rows["sequence"].tolist() == [receipts[2]]


def test_time_never_runs_backwards():
    market = traders()
    before = market.exchange.now_ns
    market.engine.submit([market.command("alice buys 10 @ 42.00")], before - SECOND)
    assert market.exchange.now_ns == before

    market.engine.submit([market.command("alice buys 10 @ 42.00")], before + SECOND)
    assert market.exchange.now_ns == before + SECOND


def test_a_trade_bears_the_time_of_the_takers_command():
    market = traders()
    market.play("bob sells 10 @ 42.00\nalice buys 10 @ 42.00")

    assert market.outcome.trades["now_ns"].tolist() == [market.now_ns]


def test_commands_are_numbered_without_a_hole():
    journal = MemoryJournal()
    market = traders(journal)
    market.play(
        "alice buys 10 @ 42.00 as a\nalice buys 10 @ 42.00 as a\nalice buys 10 @ 99.00\nbob cancels order 9\nsettle"
    )
    commands = [market.command("bob sells 1 @ 42.00 as b"), market.command("break"), market.command("start")]
    market.submit(commands[0], commands[0], *commands)

    rows = stamped(journal).rows
    assert rows["sequence"].tolist() == list(range(1, market.exchange.sequence + 1))
    assert (np.diff(rows["now_ns"]) >= 0).all()


def test_preparing_changes_nothing():
    market = traders()
    digest, sequence = market.digest(), market.exchange.sequence
    prepared = market.engine.prepare([market.command("alice buys 10 @ 42.00 as a-17")], market.now_ns)

    assert prepared.receipts == [sequence + 1]
    assert (market.digest(), market.exchange.sequence) == (digest, sequence)


# ---------------------------------------------------------------- rows instead of commands


def rows_of(market, *lines):
    """The rows of some sentences."""
    return np.array([market.command(line).row for line in lines], COMMAND)


STORY = ("bob sells 10 @ 42.00", "alice buys 15 @ 42.00", "alice amends order 2 to 3 @ 41.00", "alice cancels all")


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_rows_do_the_same_as_commands(at_once):
    journal = MemoryJournal()
    one, other = traders(), traders(journal)
    one.submit(*map(one.command, STORY))
    told, traded = [], []
    for start in range(0, 4, at_once):
        written = other.engine.submit_rows(rows_of(other, *STORY[start : start + at_once]), one.now_ns)
        told += written[0].tolist()
        traded += written[1].tolist()

    assert (told, traded) == (one.outcome.rows.tolist(), one.outcome.trades.tolist())
    assert other.digest() == one.digest() == reopened(journal).exchange.digest()
    assert (other.exchange.sequence, other.exchange.now_ns) == (one.exchange.sequence, one.exchange.now_ns)


def test_rows_are_stamped_like_commands():
    market = traders()
    sequence, now_ns = market.exchange.sequence, market.exchange.now_ns
    rows = rows_of(market, *STORY)
    market.engine.submit_rows(rows, now_ns - SECOND)

    assert rows["sequence"].tolist() == list(range(sequence + 1, sequence + 5))
    assert rows["now_ns"].tolist() == [now_ns] * 4


def test_a_control_command_among_rows_is_an_error_and_nothing_has_happened():
    journal = MemoryJournal()
    market = traders(journal)
    rows = rows_of(market, *STORY)
    rows["kind"][2] = CommandKind.CONTROL
    before = market.digest(), market.exchange.sequence, list(journal.blocks())

    with pytest.raises(ValueError, match="a CONTROL command has a detail"):
        market.engine.submit_rows(rows, market.now_ns)
    assert (market.digest(), market.exchange.sequence, list(journal.blocks())) == before


def test_no_rows_are_an_error_and_nothing_has_happened():
    journal = MemoryJournal()
    market = traders(journal)
    with pytest.raises(ValueError, match="at least one command"):
        market.engine.submit_rows(np.zeros(0, COMMAND), market.now_ns)
    assert reopened(journal).exchange.digest() == market.digest()


# ---------------------------------------------------------------- the journal brings it all back


def test_an_empty_journal_is_founded_with_the_rules():
    journal = MemoryJournal()
    engine = Engine(journal)
    ((batch, outcome),) = engine.open(GENERIC, now_ns=7)

    assert engine.exchange.rules == GENERIC
    assert (batch.rows["sequence"].tolist(), list(outcome.events)) == ([1], [1])
    assert len(stamped(journal).rows) == 1


def test_an_empty_journal_is_hubeis_if_nobody_says_otherwise():
    assert reopened(MemoryJournal()).exchange.rules == HUBEI


def test_a_journal_of_other_rules_is_refused():
    journal = MemoryJournal()
    traders(journal)
    with pytest.raises(Refused, match="founded with other rules") as refused:
        list(Engine(journal).open(GENERIC, now_ns=0))
    assert refused.value.reason == Reason.ALREADY_FOUNDED


def test_a_day_that_is_settled_is_sealed(tmp_path):
    path = tmp_path / "exchange.journal"
    with closing(SqliteJournal(path)) as journal:
        market = traders(journal)
        market.play("bob sells 10 @ 42.00\nalice buys 10 @ 42.00")
        assert seals(path) == []
        market.play("close\nsettle")
        settled = market.engine.exchange.sequence
        market.play("alice buys 5 @ 42.00")
        shutil.copy(path, tmp_path / "without log")
    assert seals(tmp_path / "without log") == seals(path)[:1]
    assert read_exchange(tmp_path / "without log").sequence == settled


def seals(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT number FROM seal").fetchall()


def test_an_exchange_goes_on_after_a_restart_as_if_nothing_had_been(tmp_path):
    path = tmp_path / "exchange.journal"
    with closing(SqliteJournal(path)) as journal:
        market = traders(journal)
        market.play("bob sells 10 @ 42.00\nbob sells 10 @ 42.00\nalice buys 15 @ 42.00")
        digest = market.digest()
    assert read_exchange(path).digest() == digest

    with closing(SqliteJournal(path)) as journal:
        engine = reopened(journal)
        assert engine.exchange.digest() == digest
        order = market.command("alice buys 5 @ 42.00")
        engine.submit([order], market.now_ns)
    market.engine.journal = MemoryJournal()
    market.submit(order)  # the one that never stopped
    assert read_exchange(path).digest() == market.digest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("", "alice buys 10 @ 42.00", id="an order"),
        pytest.param("", "alice buys 10 @ 42.00\nalice cancels order 1", id="an order that came and went"),
        pytest.param("alice buys 10 @ 42.00", "alice buys 10 @ 42.00 as a-17", id="a client order id"),
        pytest.param(
            "alice buys 10 @ 42.00\nbob buys 10 @ 42.00",
            "bob buys 10 @ 42.00\nalice buys 10 @ 42.00",
            id="who was first",
        ),
        pytest.param("", "break\nstart", id="a session"),
        pytest.param("close", "close\nsettle", id="a settlement"),
        pytest.param("", "call", id="the phase"),
        pytest.param("call", "halt: x", id="a call and a halt"),
        pytest.param("call", "break\ncall", id="whether a call interrupts a session"),
        pytest.param("halt: an accident", "halt: an inquiry", id="why trading is halted"),
        pytest.param("halt: x\nbreak", "break", id="a halt that shows only when trading starts again"),
        pytest.param("alice buys 10 @ 42.00", "alice buys 10 @ 42.00 gtc", id="a time in force"),
        pytest.param(
            "alice buys 10 @ 42.00 until 2026-01-06", "alice buys 10 @ 42.00 until 2026-01-07", id="a last day"
        ),
        pytest.param("alice buys 10 @ 42.00", "alice buys 10 @ 42.00 show 10", id="an iceberg that hides nothing"),
        pytest.param("alice buys 10 @ 42.00 show 4", "alice buys 10 @ 42.00 show 5", id="what an iceberg hides"),
        pytest.param(
            "bob sells 10 @ 42.00 show 5\nalice buys 3 @ 42.00",
            "bob sells 10 @ 42.00 show 5\nalice buys 3 @ 42.00\nbob amends order 1 to 7 @ 42.00",
            id="how much of a slice is left",
        ),
        pytest.param("alice buys 10 @ 42.00", "alice buys 10 @ 42.00 post-only", id="only as maker"),
        pytest.param("alice buys 10 @ 42.00", "alice buys 10 @ 42.00 cancel-both", id="self-trade prevention"),
        pytest.param("alice buys 10 @ 44.00 stop 43.00", "alice buys 10 @ 44.00 stop 43.01", id="where an order waits"),
        pytest.param("alice buys 10 @ 44.00", "alice buys 10 @ 44.00 stop 43.00", id="whether an order waits"),
        pytest.param(
            "alice buys 10 @ 44.00 stop 43.00\nbob buys 10 @ 44.00 stop 43.00",
            "alice buys 10 @ 44.00 stop 43.00\nbob buys 10 @ 44.00 stop 43.00\nalice amends order 1 to 10 @ 44.00",
            id="who waits first",
        ),
        pytest.param(
            "alice buys 10 @ 42.00\nbob buys 10 @ 42.00",
            "alice buys 10 @ 42.00\nbob buys 10 @ 42.00\nalice amends order 1 to 10 @ 42.00",
            id="an amend that loses its place",
        ),
    ],
)
def test_the_digest_tells_two_histories_apart_that_matter(one, other):
    first, second = traders(rules=LASTING), traders(rules=LASTING)
    assert "refused" not in first.play(one) + second.play(other)

    assert first.digest() != second.digest()


def test_the_digest_tells_a_stop_order_from_a_stop_limit_at_the_edge_of_the_band():
    first, second = traders(), traders()
    first.play("alice buys 10 @ market stop 43.00")
    second.play("alice buys 10 @ 46.20 stop 43.00")

    assert first.book() == second.book() == "alice buys 10 @ 46.20 stop 43.00"
    assert first.digest() != second.digest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("", "Li", id="an owner"),
        pytest.param("Li", "Wu", id="another owner"),
    ],
)
def test_the_digest_tells_beneficial_owners_apart(one, other):
    first, second = (Market(alice=nothing.of("Li"), ann=nothing.of(owner)) for owner in (one, other))

    assert first.digest() != second.digest()


PLACE = {"level", "queue", "older", "newer"}  # where an order's slot lies; what counts is who stands before whom


@pytest.mark.parametrize(
    ("rows", "fields"),
    [
        pytest.param(lambda desk: desk.instruments[1:], set(INSTRUMENT.names), id="instrument"),
        pytest.param(lambda desk: desk.ladder.orders[1:], set(ORDER.names) - PLACE, id="order"),
        pytest.param(lambda desk: desk.balances[2:, 1:], set(BALANCE.names), id="balance"),
        pytest.param(lambda desk: desk.progress, {"next_trade_id", "house"}, id="progress"),
        pytest.param(lambda desk: desk.ladder.pool, {"next_order_id"}, id="order ids"),
    ],
)
def test_the_digest_changes_with_every_field_of(rows, fields):
    market = traders()
    market.play("bob sells 10 @ 43.00 show 4")
    digest = market.digest()
    for name in fields:
        column = rows(market.exchange.path.desk)[name]
        column += 1
        assert market.digest() != digest, name
        column -= 1
    assert market.digest() == digest


def title_of_bob(market):
    return market.exchange.serials, market.asset(HBEA), market.number("bob")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda serials, unit, bob: serials.end(unit, bob, 1, Cause.RETIRED, 9, 9), id="a tonne is retired"
        ),
        pytest.param(lambda serials, unit, bob: serials.issue(unit, bob, 1, Origin.FREE, 9, 9), id="a tonne is issued"),
        pytest.param(lambda serials, unit, bob: serials.transfer(unit, bob, bob, 100, 9, 9), id="traded with oneself"),
        pytest.param(
            lambda serials, unit, bob: serials.transfer(unit, bob, bob, 100, 9, 9, Cause.TRANSFERRED),
            id="moved to oneself",
        ),
    ],
)
def test_the_digest_changes_with_title(change):
    market = traders()
    digest = market.digest()
    change(*title_of_bob(market))

    assert market.digest() != digest


def test_the_digest_tells_title_apart_that_moved_in_another_trade():
    first, second = traders(), traders()
    for trade, market in enumerate((first, second), 1):
        serials, unit, bob = title_of_bob(market)
        serials.transfer(unit, bob, bob, 100, 9, 9, Cause.TRADED, trade)

    assert first.digest() != second.digest()


def test_the_digest_forgets_when_and_how_often_one_was_refused():
    market = traders()
    digest = market.digest()
    market.play("""
        alice buys 10 @ 99.00
        alice buys 10 @ 42.00 gtc
        start
        bob cancels order 1
        bob amends order 1 to 5 @ 42.00
        zoe cancels all
        resume: nothing
        halt HBEA-1999: nothing
    """)

    assert market.digest() == digest


def test_the_digest_forgets_a_mass_cancel_of_nothing_and_a_halt_that_is_over():
    market = traders()
    digest = market.digest()
    market.play("alice cancels all\nhalt: x\nresume: y")

    assert market.digest() == digest


# Where an exchange may be killed: what has happened by then, and what a restarted one must go on with alike.
IN_THE_MIDST = {
    "a call with a crossed book": (
        "call\nalice buys 10 @ 43.00 show 3\nbob sells 20 @ 42.00\nalice buys 5 @ 44.00 stop 43.00",
        "bob sells 5 @ 42.50\nstart",
    ),
    "a halt": (
        "alice buys 10 @ 42.00\nhalt HBEA-2025: an inquiry",
        "bob sells 1 @ 42.00\nresume: done\nbob sells 10 @ 42.00",
    ),
    "a halt in a call": (
        "call\nalice buys 10 @ 43.00\nbob sells 20 @ 42.00\nhalt: an inquiry\nstart",
        "resume: done\nalice buys 10 @ 42.00",
    ),
    "stops that wait": (
        "alice buys 5 @ 46.00 stop 43.00 gtc\nalice buys 5 @ market stop 43.00\nalice buys 5 @ 46.00 stop 43.50\n"
        "bob sells 5 @ 43.00\nbob sells 5 @ 44.00\nbob sells 5 @ 45.00",
        "alice amends order 1 to 4 @ 46.00\nalice buys 2 @ 43.00 cancel-oldest\nalice cancels all",
    ),
    "icebergs half shown": (
        "bob sells 50 @ 42.00 show 20\nalice sells 20 @ 42.00\nalice buys 10 @ 42.00 cancel-oldest",
        "bob amends order 1 to 30 @ 42.00\nalice buys 70 @ 42.00",
    ),
    "orders of days before": (
        "alice buys 10 @ 42.00 gtc\nbob sells 5 @ 42.00\nbob sells 9 @ 43.00 until 2026-01-07\n"
        "close\nsettle\nopen 2026-01-06\ncall",
        "bob sells 9 @ 42.00 gtc\nstart\nclose\nsettle\nopen 2026-01-07\nstart\nclose\nsettle",
    ),
}


@pytest.mark.parametrize(("before", "after"), IN_THE_MIDST.values(), ids=IN_THE_MIDST)
def test_an_exchange_restarted_in_the_midst_is_the_same_and_goes_on_the_same(before, after):
    journal = MemoryJournal()
    market = traders(journal, LASTING)
    assert "refused" not in market.play(before)

    engine = reopened(journal)
    assert engine.exchange.digest() == market.digest()
    invariants.check(engine.exchange)
    copy = Engine(MemoryJournal())
    copy.exchange = engine.exchange
    for line in after.splitlines():
        command = market.command(line)
        market.submit(command)
        _, outcome = copy.submit([command], market.now_ns)
        assert outcome.rows.tolist() == market.outcome.rows.tolist()
        assert outcome.trades.tolist() == market.outcome.trades.tolist()
        assert outcome.events == market.outcome.events
    assert copy.exchange.digest() == market.digest()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda blocks: blocks[:2] + blocks[3:], "command 3 is missing", id="a block is lost"),
        pytest.param(lambda blocks: blocks[1:], "command 1 is missing", id="the first block is lost"),
        pytest.param(lambda blocks: [*blocks, blocks[-1]], "is missing", id="a block comes twice"),
        pytest.param(lambda blocks: [blocks[0], b"", *blocks[1:]], "holds no command", id="an empty block"),
        pytest.param(lambda blocks: [blocks[0][:-1], *blocks[1:]], "not as long", id="a block is cut"),
    ],
)
def test_blocks_that_do_not_follow_one_another_are_refused(spoil, said):
    journal = MemoryJournal()
    traders(journal)
    with pytest.raises(JournalError, match=said) as error:
        list(read_batches(spoil(list(journal.blocks()))))
    assert error.value.code == "journal_corrupt"


# ---------------------------------------------------------------- any history, cut in any way

# What stands in the book when a history begins: orders 1 to 8.
BEFOREHAND = """
    bob sells 20 @ 42.01 show 5
    alice sells 10 @ 42.01
    bob sells 30 @ 42.02
    bob buys 20 @ 41.99 show 3
    alice buys 10 @ 41.99
    ann buys 30 @ 41.98
    ann buys 5 @ 42.03 stop 42.01
    bob sells 5 @ 41.97 stop 41.99
"""
NEW_DAY = "new day"
FIRST_DAY = date(2026, 1, 5)


def mostly(usual, *others):
    """The first strategy six times out of seven."""
    return st.sampled_from([usual] * 6 + [st.one_of(others)]).flatmap(lambda chosen: chosen)


names = mostly(st.sampled_from(["alice", "ann", "bob"]), st.sampled_from(["vera", "zoe", "EXCHANGE"]))
accounts = mostly(st.integers(2, 4), st.integers(0, 6))  # alice, ann and bob are 2, 3 and 4
amounts = st.integers(-1, 20_000)
prices = mostly(st.integers(4198, 4202), st.integers(3700, 4700))
quantities = mostly(st.integers(1, 60), st.just(0))
reasons = st.sampled_from(["an accident", ""])
symbols = st.sampled_from([None, HBEA, "HBCER"])
TERMS = [
    *[{}] * 4,
    *({"time_in_force": lives} for lives in TimeInForce),
    {"time_in_force": TimeInForce.GTD, "last_day": FIRST_DAY + timedelta(days=1)},
    {"time_in_force": TimeInForce.GTC, "display_quantity": 7},
    {"display_quantity": 2},
    {"post_only": True},
    {"order_type": OrderType.MARKET, "price_ticks": 0, "time_in_force": TimeInForce.IOC},
    {"order_type": OrderType.STOP, "price_ticks": 0, "stop_ticks": 1},
    *({"order_type": OrderType.STOP_LIMIT, "stop_ticks": beyond, "time_in_force": 0} for beyond in (0, 1, 2)),
    *({"self_trade": choice} for choice in SelfTradePrevention),
]


def worded(terms, side, **fields):
    """An order with further terms; its stop price is so many ticks beyond 42.00."""
    order = {"side": side, **fields, **terms}
    if "stop_ticks" in order:
        order["stop_ticks"] = 4200 + order["stop_ticks"] * (1 - 2 * side)
    return place_order(**order)


places = st.builds(
    worded,
    terms=st.sampled_from(TERMS),
    account=accounts,
    instrument=mostly(st.just(1), st.integers(0, 2)),
    side=st.integers(0, 1),
    price_ticks=prices,
    quantity=quantities,
    client_order_id=st.sampled_from(["", "", "", "a", "b", "订单"]),
)
order_ids = st.integers(1, 12)
amends = st.builds(amend_order, accounts, order_ids, prices, quantities, st.sampled_from([0, 0, 0, 4199, 4201]))
cancels = mostly(
    st.builds(cancel_order, accounts, order_ids),
    st.builds(cancel_orders, accounts, st.integers(0, 2), st.integers(0, 3)),
)
controls = st.one_of(
    st.builds(DepositCash, names, amounts),
    st.builds(WithdrawCash, names, amounts),
    st.builds(IssueUnits, names, st.sampled_from([HBEA, "HBCER"]), amounts, st.sampled_from(Origin)),
    st.builds(TransferUnits, names, st.sampled_from([HBEA, "HBCER"]), st.integers(-1, 50), st.booleans()),
    st.builds(OpenAccount, names, st.text(max_size=5), st.sampled_from(ParticipantClass), st.sampled_from(["", "Li"])),
    st.builds(ListInstrument, st.sampled_from([HBEA, "HBCER"]), st.just(Species.CREDIT), st.just(2025)),
    st.builds(OpenDay, st.dates(FIRST_DAY, FIRST_DAY + timedelta(days=1))),
    st.builds(HaltTrading, reasons, symbols),
    st.builds(ResumeTrading, reasons, symbols),
    st.builds(CancelOrders, names, st.sampled_from(CancelCause)),
    st.sampled_from([OpenCall(), StartTrading(), BreakSession(), CloseSession(), SettleDay()]),
).map(control)
phases = st.sampled_from([NEW_DAY, NEW_DAY, *map(control, [OpenCall(), StartTrading(), ResumeTrading("")])])
steps = st.sampled_from([places] * 6 + [amends, cancels, controls, phases]).flatmap(lambda chosen: chosen)
histories = st.lists(steps, min_size=20, max_size=50)


def as_commands(history):
    """The history with each new day spelled out."""
    day = FIRST_DAY
    for item in history:
        if item is NEW_DAY:
            day += timedelta(days=1)
            for step in (CloseSession(), SettleDay(), OpenDay(day), StartTrading()):
                yield control(step)
        else:
            yield item


@pytest.fixture
def joined_in_batches_of_seven(monkeypatch):
    monkeypatch.setattr(engine_of, "COMMANDS_AT_ONCE", 7)


@settings(max_examples=settings.default.max_examples // 8)
@given(
    rules=st.sampled_from([HUBEI, LASTING, GENERIC]),
    history=histories,
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6),
)
def test_a_journal_says_and_leaves_the_same_however_it_is_cut(rules, history, sizes):
    journal = MemoryJournal()
    rich = cash("100000.00") + units(1000)
    market = Market(rules, journal=journal, alice=rich.of("Li"), ann=rich.of("Li"), bob=rich)
    market.play(BEFOREHAND)
    for command in as_commands(history):
        market.submit(command)
    whole = stamped(journal)

    told = {}
    for cut in (sizes, [1], [len(whole.details)]):
        exchange, rows, trades, events = Exchange(), [], [], {}
        start = 0
        while start < len(whole.details):
            end = start + cut[len(rows) % len(cut)]
            outcome = apply(exchange, Batch(whole.rows[start:end], whole.details[start:end]))
            rows.append(outcome.rows)
            trades.append(outcome.trades)
            events |= outcome.events
            start = end
        invariants.check(exchange)
        assert exchange.digest() == market.digest()
        told[tuple(cut)] = np.concatenate(rows).tolist(), np.concatenate(trades).tolist(), events
    first, *others = told.values()
    assert all(other == first for other in others)

    again = reopened(journal).exchange
    assert again.digest() == market.digest()
    assert (again.sequence, again.now_ns) == (market.exchange.sequence, market.exchange.now_ns)


@pytest.mark.usefixtures("joined_in_batches_of_seven")
def test_a_long_journal_is_read_in_several_batches():
    journal = MemoryJournal()
    market = traders(journal)
    market.play("bob sells 10 @ 42.00\nbreak\nstart\nalice buys 15 @ 42.00\n" * 5)

    assert len(list(read_batches(journal.blocks()))) > 3
    assert reopened(journal).exchange.digest() == market.digest()
