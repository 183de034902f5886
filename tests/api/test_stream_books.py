"""Whoever subscribes whenever, and however slowly he reads: what he holds is the book as it was after its seq."""

import asyncio
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.access.guard import EVERYBODY, Access
from api.local_book import BookBroken, BookGap, LocalBook, checksum
from api.problems import Problem
from api.routers import stream as socket_of
from api.stream import books, channels
from api.stream.channels import Key, TooSlow
from api.stream.desk import Desk
from api.stream.feed import Feed, Subscriber, Ticker
from api.views import book_view
from exchange import commands
from exchange.rows import EventKind
from matching.orders import Side
from tests.api.test_shown import SYMBOL, Market, some_order, two_days

TOP, DEPTH, BOOK, TRADES = (Key(name, SYMBOL) for name in ("book.l1", "book.l2", "book.l3", "trades"))


class Reader:
    """One who subscribes and takes what is there when he comes for it."""

    def __init__(self, feed, *keys):
        self.subscriber = Subscriber(feed)
        self.seqs, self.told = {}, {}
        self.book = LocalBook()
        for key in keys:
            channel = feed.channel(key)
            self.seqs[key.name] = channel.last_seq
            self.subscriber.listen(channel)
        self.keep(opening=True)

    def read(self):
        self.subscriber.hear()
        return self.keep()

    def keep(self, opening=False):
        """Take what is on its way; returns the messages."""
        heard = [message for frame in self.subscriber.frames() for message in json.loads(frame)]
        for message in heard:
            name = message["channel"]
            assert message["prev_seq"] == self.seqs[name]
            self.seqs[name] = message["seq"]
            if name == "book.l3":
                self.book.apply(message)
            else:
                self.told[name] = message
        return heard


class Truth:
    """The exchange's own book, as it was after each command."""

    def __init__(self, market):
        self.market = market
        self.listed = market.exchange.instruments[1]
        self.after = {}  # levels and orders by number of events
        self.note()

    def note(self):
        view = book_view(self.market.gateway, self.listed, 10_000).model_dump()
        orders = [
            (one, "B" if shown.side == Side.BUY else "A", self.listed.price(shown.price_ticks), shown.quantity)
            for one, shown in self.market.shown().orders.items()
        ]
        self.after[self.market.gateway.history.events.size] = view["bids"], view["asks"], orders

    def at(self, seq):
        """The book after an event that was the last to change it: nothing changes it until the end of its command."""
        return self.after[min(size for size in self.after if size >= seq)]


def check(reader, truth):
    bids, asks, orders = truth.at(reader.seqs["book.l3"])
    held = reader.book.orders("B") + reader.book.orders("A")
    assert [tuple(one) for one in held] == sorted(orders, key=lambda one: (one[1] == "A", sign(one) * float(one[2])))
    assert [one._asdict() for one in reader.book.levels("B")] == bids
    assert [one._asdict() for one in reader.book.levels("A")] == asks
    depth, top = reader.told["book.l2"], reader.told["book.l1"]
    bids, asks, _ = truth.at(depth["seq"])
    assert (depth["bids"], depth["asks"]) == (bids[: books.DEPTH], asks[: books.DEPTH])
    bids, asks, _ = truth.at(top["seq"])
    assert (top["bid"], top["ask"]) == (next(iter(bids), None), next(iter(asks), None))


def sign(order):
    return -1 if order[1] == "B" else 1


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rules=st.sampled_from(["hubei", "generic"]),
    seed=st.integers(0, 2**32),
    haste=st.lists(st.floats(0.005, 1), min_size=1, max_size=4),
    checked=st.integers(1, 20),
)
def test_snapshot_and_messages_are_the_true_book_whenever_one_subscribes(rules, seed, haste, checked):
    """`haste`: how often each of the readers comes for his news."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(books, "CHECKED", checked)
        market, rng, owners = Market(rules), random.Random(seed), {}
        feed, truth, readers = Feed(market.gateway), Truth(market), []
        for count, command in two_days():
            for _ in range(count // 3):
                rows = market.play(some_order(rng, list(owners.items())[-40:]))
                owners |= {int(row.order_id): int(row.account) for row in rows if row.kind == EventKind.ACCEPTED}
                truth.note()
                if len(readers) < len(haste) and rng.random() < 0.05:
                    readers.append(Reader(feed, BOOK, DEPTH, TOP))
                    check(readers[-1], truth)
                for reader, often in zip(readers, haste, strict=False):
                    if rng.random() < often:
                        reader.read()
                        check(reader, truth)
            market.control(command)
            truth.note()
        for reader in readers:
            reader.read()
            check(reader, truth)
            assert reader.book.seq == feed.channels[BOOK].last_seq
        assert not readers or max(reader.book.checked for reader in readers) > 0


# ---------------------------------------------------------------- scenes


@pytest.fixture
def market():
    found = Market("hubei")
    found.control(commands.OpenDay(some_day()))
    found.control(commands.StartTrading())
    return found


def some_day():
    return next(command for _, command in two_days()).date


def sell(market, ticks, quantity=1):
    market.play(commands.place_order(2, 1, Side.SELL, ticks, quantity))


def buy(market, ticks, quantity=1):
    market.play(commands.place_order(3, 1, Side.BUY, ticks, quantity))


def test_the_conflated_book_leaps_over_what_a_slow_reader_missed(market):
    feed = Feed(market.gateway)
    reader = Reader(feed, TOP, DEPTH)
    for ticks in (4050, 4040, 4030, 4100):
        sell(market, ticks)
    top, depth = reader.read()
    assert (top["bid"], top["ask"]) == (None, {"price": "40.30", "quantity": 1, "orders": 1})
    assert [one["price"] for one in depth["asks"]] == ["40.30", "40.40", "40.50", "41.00"]
    assert (top["conflated"], depth["conflated"]) == (2, 3)
    assert feed.conflated == {"book.l1": 2, "book.l2": 3}
    assert depth["seq"] == top["seq"] + 1
    sell(market, 4100)
    [depth] = reader.read()
    assert (depth["type"], depth["conflated"]) == ("l2", 0)
    assert reader.read() == []


def test_a_heartbeat_tells_how_much_was_waiting(market):
    reader = Reader(Feed(market.gateway), TRADES)
    sell(market, 4000, 5)
    for _ in range(5):
        buy(market, 4000)
    reader.subscriber.beat()
    *trades, beat = [one for frame in reader.subscriber.frames() for one in json.loads(frame)]
    assert len(trades) == beat["queue_depth"] == 5
    assert beat["channels"][0]["last_seq"] == trades[-1]["seq"]


def test_who_falls_behind_what_is_kept_is_too_slow(market, monkeypatch):
    monkeypatch.setattr(channels, "KEPT", 2)
    feed = Feed(market.gateway)
    slow, quick = Reader(feed, TRADES), Reader(feed, TRADES)
    sell(market, 4000, 10)
    for _ in range(6):
        buy(market, 4000)
        quick.read()
    with pytest.raises(TooSlow) as raised:
        slow.subscriber.hear()
    assert raised.value.last_seq == quick.seqs["trades"]


def test_what_is_not_kept_can_not_be_heard_again(market, monkeypatch):
    monkeypatch.setattr(channels, "KEPT", 2)
    channel = Feed(market.gateway).channel(TRADES)
    opened_at, seqs = channel.last_seq, []
    sell(market, 4000, 10)
    for _ in range(5):
        buy(market, 4000)
        channel.catch_up()
        seqs.append(channel.last_seq)
    for from_seq in (0, opened_at, opened_at + 1, seqs[2]):
        with pytest.raises(Problem) as raised:
            channel.replay(from_seq, 10**9)
        assert (raised.value.code, raised.value.oldest_seq) == ("too_old", seqs[2] + 1)
    told, to_seq = channel.replay(seqs[2] + 1, 10**9)
    assert ([json.loads(one)["seq"] for one in told], to_seq) == (seqs[3:], seqs[-1])


def test_nobody_is_told_what_went_on_while_nobody_listened_for_long(market, monkeypatch):
    monkeypatch.setattr("api.stream.feed.KEPT", 2)
    feed = Feed(market.gateway)
    first = feed.channel(TRADES)
    for _ in range(3):
        sell(market, 4000)
        buy(market, 4000)
    assert feed.channel(TRADES) is not first
    assert feed.channel(TRADES).last_seq == market.gateway.history.events.size


def test_the_checksum_is_the_crc_of_the_orders_as_the_documentation_says(market):
    feed = Feed(market.gateway)
    sell(market, 4010, 3)
    sell(market, 4005, 2)
    buy(market, 3990, 7)
    buy(market, 3995, 5)
    buy(market, 3995, 6)
    text = b"4:39.95:5;5:39.95:6;3:39.90:7;2:40.05:2;1:40.10:3;"
    table = [0] * 256
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        table[byte] = value
    crc = 0xFFFFFFFF
    for byte in text:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    channel = feed.channel(BOOK)
    assert channel.checksum() == crc ^ 0xFFFFFFFF
    assert Reader(feed, BOOK).book.checksum() == channel.checksum()


@pytest.mark.anyio
async def test_who_takes_no_bytes_at_all_is_too_slow(market, monkeypatch):
    class Stuck:
        async def send_text(self, text):
            await asyncio.Event().wait()

    monkeypatch.setattr(socket_of, "SEND_S", 0.05)
    feed = Feed(market.gateway)
    subscriber = Subscriber(feed)
    subscriber.listen(feed.channel(BOOK))
    desk = Desk(feed, subscriber, Access(None), EVERYBODY, lambda: None)
    with pytest.raises(TooSlow) as raised:
        await asyncio.wait_for(socket_of._send(Stuck(), desk, asyncio.Event()), 10)
    assert (raised.value.channel, raised.value.last_seq) == ("book.l3", feed.channel(BOOK).last_seq)


@pytest.mark.anyio
async def test_everybody_is_woken_once_a_tick_until_he_leaves():
    ticker, woken = Ticker(), [0] * 25
    wakes = [lambda number=number: woken.__setitem__(number, woken[number] + 1) for number in range(25)]
    for wake in wakes:
        ticker.add(wake, 0.02)
    await asyncio.sleep(0.1)
    assert min(woken) >= 1 and max(woken) - min(woken) <= 1
    ticker.remove(wakes[0])
    gone = woken[0]
    await asyncio.sleep(0.1)
    assert woken[0] == gone and woken[1] > gone
    for wake in wakes:
        ticker.remove(wake)
    await asyncio.sleep(0.05)
    before = list(woken)
    ticker.add(wakes[3], 0.02)
    await asyncio.sleep(0.1)
    assert woken[3] > before[3] and woken[4] == before[4], "the clock goes on for whoever comes later"


def test_the_best_prices_are_not_caught_up_with_after_long_either(market, monkeypatch):
    feed = Feed(market.gateway)
    first = feed.channel(TOP)
    sell(market, 4000, 2)
    monkeypatch.setattr("api.stream.feed.KEPT", 0)
    later = Reader(feed, TOP)
    assert feed.channels[TOP] is not first
    assert later.told["book.l1"]["ask"] == {"price": "40.00", "quantity": 2, "orders": 1}


# ---------------------------------------------------------------- a book of one's own


@pytest.fixture
def told(market):
    """A book, and messages that follow it: two orders, then a trade."""
    feed = Feed(market.gateway)
    reader = Reader(feed, BOOK)
    sell(market, 4010, 3)
    sell(market, 4005, 2)
    buy(market, 4005, 1)
    reader.subscriber.hear()
    return reader.book, [one for frame in reader.subscriber.frames() for one in json.loads(frame)]


def test_a_local_book_raises_where_a_message_is_missing(told):
    book, [first, second, *trade] = told
    book.apply(first)
    with pytest.raises(BookGap) as raised:
        book.apply(trade[0])
    assert (raised.value.last_seq, raised.value.next_prev_seq) == (first["seq"], second["seq"])


def test_a_local_book_leaves_alone_what_comes_twice(told):
    book, messages = told
    for number, message in enumerate(messages):
        book.apply(message)
        before = book.seq, list(book)
        for earlier in messages[: number + 1]:
            if earlier["seq"] <= book.seq:
                assert not book.apply(earlier)
        assert (book.seq, list(book)) == before
    assert book.best_ask == ("40.05", 1, 1) and len(book) == 2


def test_a_local_book_raises_where_a_message_is_from_another_session(told):
    book, [first, second, *_] = told
    book.apply(first)
    with pytest.raises(BookGap):
        book.apply(second | {"session_id": "another"})


def test_an_event_is_taken_whole_or_again(told):
    book, [first, second, taker, maker, taken] = told
    assert book.apply(first) and book.apply(second)
    with pytest.raises(BookGap):
        book.apply(maker)  # the first part is missing
    assert [book.apply(one) for one in (taker, maker)] == [False, False]
    with pytest.raises(BookGap):  # the last part is missing
        book.apply(taken | {"seq": taken["seq"] + 1})
    assert book.seq == second["seq"] and book.best_ask == ("40.05", 2, 1)
    assert [book.apply(one) for one in (taker, maker, taken)] == [False, False, True]
    assert book.seq == taken["seq"] and book.best_ask == ("40.05", 1, 1)


def test_a_local_book_raises_where_its_checksum_does_not_fit(told):
    book, messages = told
    for message in messages:
        book.apply(message)
    said = messages[-1] | {"type": "checksum", "prev_seq": book.seq, "checksum": book.checksum()}
    book.apply(said)
    with pytest.raises(BookBroken):
        book.apply(said | {"checksum": said["checksum"] ^ 1})


@pytest.mark.parametrize("wrong", [{"action": "C"}, {"action": "M"}, {"type": "gossip"}])
def test_a_local_book_raises_where_a_record_makes_no_sense(told, wrong):
    book, [first, *_] = told
    with pytest.raises(BookBroken):
        book.apply(first | wrong)


def test_a_trade_alone_changes_no_book(told):
    book, [first, second, taker, maker, taken] = told
    for message in (first, second):
        book.apply(message)
    before = list(book)
    for message in (taker, maker):
        book.apply(message)
    assert list(book) == before and (taker["action"], maker["action"]) == ("T", "F")
    assert (taker["side"], maker["side"], taker["size"]) == ("B", "A", 1)
    book.apply(taken)
    assert book.best_ask == ("40.05", 1, 1) and book.best_bid is None and len(book) == 2


def test_the_checksum_of_an_empty_book_is_zero():
    assert checksum([]) == LocalBook().checksum() == 0
