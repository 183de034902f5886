"""The engine: every command is stamped, journalled and applied once, and the journal alone brings it all back."""

from contextlib import closing
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import engine as engine_of
from exchange import invariants
from exchange.commands import (
    BreakSession,
    CloseSession,
    DepositCash,
    IssueUnits,
    ListInstrument,
    OpenAccount,
    OpenDay,
    SettleDay,
    StartTrading,
    TransferUnits,
    WithdrawCash,
    cancel_order,
    control,
    place_order,
)
from exchange.engine import Engine, read_batches, read_exchange
from exchange.journal import Batch, JournalError, MemoryJournal, SqliteJournal
from exchange.reasons import Reason, Refused
from exchange.rules import load_rule_set
from exchange.state import Exchange
from exchange.transition import apply
from matching.orders import TimeInForce
from registry.accounts import ParticipantClass
from registry.serials import Origin
from registry.units import Species
from tests.exchange.market import HBEA, SECOND, Market, cash, units

HUBEI, GENERIC = load_rule_set("hubei"), load_rule_set("generic")


def reopened(journal):
    """A new engine over the same journal."""
    engine = Engine(journal)
    for _ in engine.open(HUBEI, now_ns=0):
        pass
    return engine


def traders(journal=None):
    rich = cash("100000.00") + units(1000)
    return Market(journal=journal, alice=rich, bob=rich)


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


# ---------------------------------------------------------------- the journal brings it all back


def test_an_empty_journal_is_founded_with_the_rules():
    journal = MemoryJournal()
    engine = reopened(journal)

    assert engine.exchange.rules == HUBEI
    assert len(stamped(journal).rows) == 1


def test_a_journal_of_other_rules_is_refused():
    journal = MemoryJournal()
    traders(journal)
    with pytest.raises(Refused, match="founded with other rules") as refused:
        list(Engine(journal).open(GENERIC, now_ns=0))
    assert refused.value.reason == Reason.ALREADY_FOUNDED


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
        pytest.param("", "bob sells 10 @ 42.00\nbob buys 10 @ 42.00", id="a trade with oneself"),
        pytest.param("", "break\nstart", id="a session"),
        pytest.param("close", "close\nsettle", id="a settlement"),
    ],
)
def test_the_digest_tells_two_histories_apart_that_matter(one, other):
    first, second = traders(), traders()
    first.play(one)
    second.play(other)

    assert first.digest() != second.digest()


def test_the_digest_forgets_when_and_how_often_one_was_refused():
    market = traders()
    digest = market.digest()
    market.play("alice buys 10 @ 99.00\nstart\nbob cancels order 1")

    assert market.digest() == digest


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

NEW_DAY = "new day"
FIRST_DAY = date(2026, 1, 5)


def mostly(usual, *others):
    """The first strategy six times out of seven."""
    return st.sampled_from([usual] * 6 + [st.one_of(others)]).flatmap(lambda chosen: chosen)


names = mostly(st.sampled_from(["alice", "bob"]), st.sampled_from(["vera", "zoe", "EXCHANGE"]))
accounts = mostly(st.integers(2, 3), st.integers(0, 6))  # alice and bob are 2 and 3
amounts = st.integers(-1, 20_000)
places = st.builds(
    place_order,
    account=accounts,
    instrument=mostly(st.just(1), st.integers(0, 2)),
    side=st.integers(0, 1),
    price_ticks=mostly(st.integers(4198, 4202), st.integers(3700, 4700)),
    quantity=mostly(st.integers(1, 60), st.just(0)),
    time_in_force=st.sampled_from(TimeInForce),
    client_order_id=st.sampled_from(["", "", "", "a", "b", "订单"]),
)
cancels = st.builds(cancel_order, account=accounts, order_id=st.integers(1, 20))
controls = st.one_of(
    st.builds(DepositCash, names, amounts),
    st.builds(WithdrawCash, names, amounts),
    st.builds(IssueUnits, names, st.sampled_from([HBEA, "HBCER"]), amounts, st.sampled_from(Origin)),
    st.builds(TransferUnits, names, st.sampled_from([HBEA, "HBCER"]), st.integers(-1, 50), st.booleans()),
    st.builds(OpenAccount, names, st.text(max_size=5), st.sampled_from(ParticipantClass)),
    st.builds(ListInstrument, st.sampled_from([HBEA, "HBCER"]), st.just(Species.CREDIT), st.just(2025)),
    st.builds(OpenDay, st.dates(FIRST_DAY, FIRST_DAY + timedelta(days=1))),
    st.sampled_from([StartTrading(), BreakSession(), CloseSession(), SettleDay()]),
).map(control)
steps = st.sampled_from([places] * 5 + [cancels, controls, st.just(NEW_DAY)]).flatmap(lambda chosen: chosen)
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


@settings(max_examples=settings.default.max_examples // 4)
@given(history=histories, sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_a_journal_says_and_leaves_the_same_however_it_is_cut(history, sizes):
    journal = MemoryJournal()
    market = traders(journal)
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
