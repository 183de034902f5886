"""The exchange's own journal read as order flow."""

import pytest

from exchange.journal import SqliteJournal
from exchange.research import own_journal
from exchange.research.messages import FormatError, MessageType
from exchange.research.orders import Follower
from exchange.research.rematched import replay_rematched
from exchange.research.sources import Format, open_source, recognise
from exchange.rows import joined
from matching.orders import Side
from tests.exchange.market import HBEA, Market, cash, units

NEW, CANCEL, DELETE, EXECUTED, _, CROSS = map(int, [*MessageType][:6])
BUY, SELL = int(Side.BUY), int(Side.SELL)
PRICE = 10_000  # ticks of a message in a yuan


def journal_of(folder, story, until="trading"):
    """The journal of a market that has played a story."""
    file = folder / "exchange.journal"
    journal = SqliteJournal(file)
    people = {name: cash("9000000.00") + units(9000) for name in ("alice", "bob", "carol")}
    Market("generic", None, until, journal=journal, **people).play(story)
    journal.close()
    return file


def told(file):
    rows = joined([*own_journal.read(file)])
    assert Follower(whole=True).follow(rows.copy()) is None
    names = ("kind", "order_id", "side", "price", "quantity", "leaves")
    return rows, [*zip(*(rows[name].tolist() for name in names), strict=True)]


def test_what_rests_trades_and_goes_is_told_of_the_resting_side(tmp_path):
    file = journal_of(
        tmp_path,
        """bob sells 100 @ 42.00
        carol sells 50 @ 42.10
        alice buys 120 @ 42.10
        bob sells 10 @ 43.00 ioc
        alice buys 90 @ 41.00
        alice amends order 5 to 40 @ 41.00
        alice amends order 5 to 60 @ 41.00
        alice cancels order 5""",
    )
    rows, said = told(file)
    assert recognise(file) == Format.JOURNAL
    assert said == [
        (NEW, 1, SELL, 42 * PRICE, 100, 100),
        (NEW, 2, SELL, 421_000, 50, 50),
        (EXECUTED, 1, SELL, 42 * PRICE, 100, 0),
        (EXECUTED, 2, SELL, 421_000, 20, 30),
        (NEW, 5, BUY, 41 * PRICE, 90, 90),
        (CANCEL, 5, BUY, 41 * PRICE, 50, 40),
        (DELETE, 5, BUY, 41 * PRICE, 40, 0),
        (NEW, 5, BUY, 41 * PRICE, 60, 60),
        (DELETE, 5, BUY, 41 * PRICE, 60, 0),
    ]
    report = replay_rematched(rows)
    assert (report.executions, report.same) == (2, 2)
    assert open_source(file).validate() == len(said)


def test_icebergs_stops_and_self_trades_are_told_as_others_see_them(tmp_path):
    file = journal_of(
        tmp_path,
        """bob sells 100 @ 42.00 show 40
        carol sells 30 @ 42.50 stop 42.00
        alice buys 50 @ 42.00
        bob buys 20 @ 42.00 cancel-oldest""",
    )
    _, said = told(file)
    assert said == [
        (NEW, 1, SELL, 42 * PRICE, 40, 40),
        (EXECUTED, 1, SELL, 42 * PRICE, 40, 0),
        (NEW, 1, SELL, 42 * PRICE, 40, 40),
        (EXECUTED, 1, SELL, 42 * PRICE, 10, 30),
        (NEW, 2, SELL, 425_000, 30, 30),
        (DELETE, 1, SELL, 42 * PRICE, 30, 0),
        (NEW, 4, BUY, 42 * PRICE, 20, 20),
    ]


def test_a_call_auction_is_a_cross_and_what_it_takes_off(tmp_path):
    file = journal_of(tmp_path, "call\nbob sells 100 @ 42.00\nalice buys 60 @ 42.00\nstart", until="open")
    _, said = told(file)
    assert said == [
        (NEW, 1, SELL, 42 * PRICE, 100, 100),
        (NEW, 2, BUY, 42 * PRICE, 60, 60),
        (CROSS, 0, SELL, 42 * PRICE, 60, 0),
        (DELETE, 2, BUY, 42 * PRICE, 60, 0),
        (CANCEL, 1, SELL, 42 * PRICE, 60, 40),
    ]


def test_a_journal_of_others_or_nobody_is_named(tmp_path):
    file = journal_of(tmp_path, "bob sells 100 @ 42.00")
    with pytest.raises(FormatError, match="there is nothing about EUA"):
        [*own_journal.read(file, "EUA")]
    assert joined([*own_journal.read(file, HBEA)]).size == 1
    file.write_bytes(b"SQLite format 3\x00 and then nothing")
    with pytest.raises(FormatError, match=r"exchange\.journal"):
        [*own_journal.read(file)]
