"""A client's book over a real socket: it follows, heals its gaps, proves itself, and raises where it can't."""

import asyncio

import pytest
from websockets.exceptions import ConnectionClosed

from api.local_book import BookGap, BookStream, StreamRefused, StreamStale
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
    return BookStream(str(web.base_url), SYMBOL, **options)


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
            await until(stream, lambda book: True)


async def test_a_stream_that_falls_silent_is_stale(web, monkeypatch):
    monkeypatch.setattr(socket_of, "HEARTBEAT_S", 60)
    async with at(web, quiet_s=0.3) as stream:
        with pytest.raises(StreamStale):
            await until(stream, lambda book: False)


async def test_an_unknown_instrument_is_refused(web):
    with pytest.raises(StreamRefused) as raised:
        async with BookStream(str(web.base_url), "GOLD"):
            pass
    assert raised.value.code == "unknown_instrument"


async def test_a_stream_that_is_closed_raises(web):
    async with at(web) as stream:
        await stream._socket.close()
        with pytest.raises(ConnectionClosed):
            await until(stream, lambda book: False)
