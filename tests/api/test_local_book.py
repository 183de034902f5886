"""A client's book over a real socket: it follows, heals its gaps, proves itself, and raises where it can't."""

import asyncio
import random
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve

from api.local_book import AsyncBookStream, BookBroken, BookGap, BookStream, StreamRefused, StreamStale
from api.routers import stream as socket_of
from api.stream import books
from api.stream.channels import Key
from tests.api.streaming import SYMBOL, order, served

pytestmark = pytest.mark.anyio


@pytest.fixture
def web():
    with served() as client:
        yield client


def at(web, **options):
    return AsyncBookStream(str(web.base_url), SYMBOL, **options)


async def until(stream, said):
    async with asyncio.timeout(20):
        async for book in stream:
            if said(book):
                return book
        raise AssertionError("a stream does not end by itself")


def lose(stream, count):
    """Have the stream lose so many of the book's messages that come next, on the way."""
    take, left = stream._next, [count]

    async def lossy():
        message = await take()
        while left[0] and message["type"] == "book":
            left[0] -= 1
            message = await take()
        return message

    stream._next = lossy


async def test_a_local_book_follows_the_exchanges(web):
    order(web, "S", "sell", "41.00", 5)
    async with at(web) as stream:
        assert stream.book.best_ask == ("41.00", 5, 1)
        order(web, "S", "sell", "40.50", 5)
        order(web, "B", "buy", "40.50", 8)
        book = await until(stream, lambda book: book.best_bid)
        shown = web.get(f"/v1/books/{SYMBOL}").json()
        for side, levels in (("B", shown["bids"]), ("A", shown["asks"])):
            assert [one._asdict() for one in book.levels(side)] == levels
        assert book.seq == shown["seq"]


async def test_a_gap_is_healed_by_a_replay(web, monkeypatch):
    monkeypatch.setattr(books, "CHECKED", 4)
    async with at(web) as stream:
        lose(stream, 2)
        for price in ("40.10", "40.20", "40.30", "40.40"):
            order(web, "S", "sell", price, 1)
        book = await until(stream, lambda book: len(book) == 4)
        assert stream.healed >= 1
        order(web, "B", "buy", "39.90", 1)
        await until(stream, lambda book: book.best_bid)
        assert book.checked == 1


async def test_a_heartbeat_shows_that_the_last_message_is_missing(web):
    async with at(web) as stream:
        lose(stream, 1)
        order(web, "S", "sell", "40.10", 1)
        await until(stream, lambda book: len(book) == 1)
        assert stream.healed == 1


async def test_a_gap_that_can_not_be_healed_raises(web):
    async with at(web) as stream:
        lose(stream, 1)
        web.app.state.feed.channels[Key("book.l3", SYMBOL)].floor = 10**9  # as if nothing were kept
        order(web, "S", "sell", "40.10", 1)
        with pytest.raises(BookGap):
            await until(stream, lambda book: len(book) == 1)


async def test_a_stream_that_falls_silent_is_stale(web, monkeypatch):
    monkeypatch.setattr(socket_of, "HEARTBEAT_S", 60)
    async with at(web, quiet_s=0.3, reconnect_s=0) as stream:
        with pytest.raises(StreamStale):
            await until(stream, lambda book: False)


async def test_an_unknown_instrument_is_refused(web):
    with pytest.raises(StreamRefused) as raised:
        async with AsyncBookStream(str(web.base_url), "GOLD"):
            pass
    assert raised.value.code == "unknown_instrument"


async def test_a_stream_that_is_closed_raises_if_it_shall_not_come_again(web):
    async with at(web, reconnect_s=0) as stream:
        await stream._socket.close()
        with pytest.raises(ConnectionClosed):
            await until(stream, lambda book: False)


async def test_a_connection_that_is_lost_is_made_anew(web):
    async with at(web) as stream:
        await stream._socket.close()
        order(web, "S", "sell", "40.10", 1)
        await until(stream, lambda book: len(book) == 1)
        assert stream.reconnected == 1
        order(web, "S", "sell", "40.20", 1)
        await until(stream, lambda book: len(book) == 2)


async def test_a_book_that_does_not_sum_up_is_broken(web, monkeypatch):
    monkeypatch.setattr(books, "CHECKED", 2)
    order(web, "S", "sell", "40.10", 1)
    async with at(web) as stream:
        stream.book._orders.clear()
        order(web, "S", "sell", "40.20", 1)
        order(web, "S", "sell", "40.30", 1)
        with pytest.raises(BookBroken):
            await until(stream, lambda book: False)


def test_who_waits_has_the_same_book(web):
    order(web, "S", "sell", "41.00", 5)
    with BookStream(str(web.base_url), SYMBOL) as stream:
        assert stream.book.best_ask == ("41.00", 5, 1)
        stream._socket.close()
        order(web, "S", "sell", "40.50", 5)
        assert next(book for book in stream if len(book) == 2).best_ask == ("40.50", 5, 1)
        assert stream.reconnected == 1
        order(web, "B", "buy", "40.50", 8)
        book = next(book for book in stream if book.best_bid)
        assert (book.best_bid, book.best_ask) == (("40.50", 3, 1), ("41.00", 5, 1))
    with pytest.raises(StreamRefused), BookStream(str(web.base_url), "GOLD"):
        pass


# ---------------------------------------------------------------- a way on which frames go astray


class Meddler:
    """Passes frames on between a client and the exchange; some of the exchange's it drops, doubles or holds back."""

    def __init__(self, url, seed):
        self.url, self.rng, self.done = url.replace("http", "ws"), random.Random(seed), Counter()
        self.next: list[str] = []  # every kind of harm comes to pass, however few frames there are
        self.cuts = 0  # connections to be cut

    def __enter__(self):
        self.server = serve(self.pass_on, "127.0.0.1", 0, max_size=None)
        self.base_url = f"http://127.0.0.1:{self.server.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.thread.join()

    def pass_on(self, client):
        with connect(f"{self.url}/v1/stream", max_size=None) as exchange, suppress(ConnectionClosed):
            threading.Thread(target=self.ask, args=(client, exchange), daemon=True).start()
            held = None
            for number, frame in enumerate(exchange):
                if number < 2:
                    what = "passed"
                elif '"replay"' in frame or '"snapshot"' in frame:
                    what = self.rng.choice(["passed", "doubled"])
                else:
                    what = self.drawn()
                if self.cuts:
                    self.cuts -= 1
                    client.close()
                self.done[what] += 1
                for one in {"passed": [frame], "dropped": [], "doubled": [frame, frame], "held": []}[what]:
                    client.send(one)
                if held is not None:
                    client.send(held)
                held = frame if what == "held" else None

    def drawn(self):
        if not self.next:
            self.next = self.rng.sample(["passed", "passed", "dropped", "doubled", "held"], 5)
        return self.next.pop()

    def ask(self, client, exchange):
        with suppress(ConnectionClosed):
            for frame in client:
                exchange.send(frame)
        exchange.close()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("waits", [True, False])
async def test_a_book_stays_right_while_frames_are_lost_doubled_and_out_of_order(web, monkeypatch, seed, waits):
    monkeypatch.setattr(books, "CHECKED", 5)
    rng = random.Random(seed)

    def trade(meddler):
        for number in range(60):
            price = f"{rng.randint(3950, 4050) / 100:.2f}"
            order(web, *rng.choice([("S", "sell"), ("B", "buy")]), price, rng.randint(1, 3))
            time.sleep(0.02)
            meddler.cuts += number == 30
        order(web, "B", "buy", "36.66", 1)  # the last

    def is_last(book):
        return any(level.price == "36.66" for level in book.levels("B"))

    with Meddler(str(web.base_url), seed) as meddler:
        trades = asyncio.create_task(asyncio.to_thread(trade, meddler))
        if waits:

            def follow():
                with BookStream(meddler.base_url, SYMBOL) as stream:
                    next(book for book in stream if is_last(book))
                    return stream

            stream = await asyncio.wait_for(asyncio.to_thread(follow), 60)
        else:
            async with AsyncBookStream(meddler.base_url, SYMBOL) as stream:
                await until(stream, is_last)
        await trades
    shown = web.get(f"/v1/books/{SYMBOL}", params={"depth": 1000}).json()
    for side, levels in (("B", shown["bids"]), ("A", shown["asks"])):
        assert [one._asdict() for one in stream.book.levels(side)] == levels
    assert stream.reconnected >= 1 and stream.healed and stream.book.checked
    assert all(meddler.done[what] for what in ("passed", "dropped", "doubled", "held"))
