"""Reads LOBSTER samples: order-book messages and the book after each of them, as researchers hold them.

A sample is two files without header, row k of both belonging together:

    TICKER_YYYY-MM-DD_STARTms_ENDms_message_LEVEL.csv     time, type, order id, size, price, direction
    TICKER_YYYY-MM-DD_STARTms_ENDms_orderbook_LEVEL.csv   ask price, ask size, bid price, bid size; best level first

Prices are dollars x 10,000, sizes shares, times seconds after midnight with up to nine decimals. The
direction is that of the *resting* order, also of an execution. Newer message files have a seventh column
(a market participant or `null`), which is not read. Source: lobsterdata.com, "Output Structure".

Files go through many hands (a copy saved by a spreadsheet has lost its last digits), so everything the
format promises is checked, and the first fault ends the reading with a :class:`LobsterError`.
"""

import re
from collections.abc import Iterator
from datetime import date
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, Self

from matching.orders import Side

NO_ASK = 9_999_999_999  # the price of an ask level that is not there
NO_BID = -9_999_999_999

_NAME = re.compile(r"(?P<ticker>[^_]+)_(?P<date>\d{4}-\d\d-\d\d)_(\d+)_(\d+)_message_(?P<levels>\d+)\.csv")
_TIME = re.compile(r"(\d{1,6})(?:\.(\d{1,9}))?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,15}", re.ASCII)
_MESSAGE_COLUMNS = (6, 7)
_COLUMNS_A_LEVEL = 4


class LobsterError(ValueError):
    """A file that breaks the format: which file, row and column (from 1; column 0: the whole row), and how."""

    def __init__(self, file: Path, row: int, column: int, fault: str) -> None:
        where = f"{file.name}, row {row}" + (f", column {column}" if column else "")
        super().__init__(f"{where}: {fault}")
        self.file, self.row, self.column, self.fault = file, row, column, fault


class MessageType(IntEnum):
    """What happened."""

    NEW_ORDER = 1
    PARTIAL_CANCEL = 2
    DELETE = 3
    EXECUTION = 4
    HIDDEN_EXECUTION = 5
    CROSS_TRADE = 6
    HALT = 7


_ABOUT_AN_ORDER = (MessageType.NEW_ORDER, MessageType.PARTIAL_CANCEL, MessageType.DELETE, MessageType.EXECUTION)


class Message(NamedTuple):
    """A row of the message file: `size` in shares, `price` in dollars x 10,000, `side` of the resting order.

    A halt has size 0 and, as price, -1 (trading halts), 0 (quoting resumes) or 1 (trading resumes).
    """

    time_ns: int  # after midnight
    type: MessageType
    order_id: int
    size: int
    price: int
    side: Side


Level = tuple[int, int]  # price, size


class BookRow(NamedTuple):
    """A row of the order-book file: the occupied levels of each side, best first."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    def side(self, side: Side) -> tuple[Level, ...]:
        return self.bids if side == Side.BUY else self.asks


class Sample(NamedTuple):
    """The two files of a sample. Nothing is read before :meth:`rows`."""

    messages: Path
    books: Path
    ticker: str
    date: date
    levels: int

    @classmethod
    def of(cls, messages: Path) -> Self:
        """The sample of a message file. LobsterError if its name is none or its order-book file is missing."""
        name = _NAME.fullmatch(messages.name)
        if name is None:
            raise LobsterError(messages, 0, 0, "the name must read TICKER_YYYY-MM-DD_STARTms_ENDms_message_LEVEL.csv")
        books = messages.with_name(messages.name.replace("_message_", "_orderbook_"))
        for file in (messages, books):
            if not file.is_file():
                raise LobsterError(file, 0, 0, "there is no such file")
        try:
            day = date.fromisoformat(name["date"])
        except ValueError as error:
            raise LobsterError(messages, 0, 0, f"the name has no date: {error}") from error
        return cls(messages, books, name["ticker"], day, int(name["levels"]))

    def rows(self) -> Iterator[tuple[Message, BookRow]]:
        """Each message with the book after it. LobsterError at the first fault, or if one file is longer."""
        messages, books = read_messages(self.messages), read_books(self.books, self.levels)
        row = 0
        for row, message in enumerate(messages, 1):
            book = next(books, None)
            if book is None:
                raise LobsterError(self.books, row, 0, f"there is no book after message {row}")
            yield message, book
        if next(books, None) is not None:
            raise LobsterError(self.messages, row + 1, 0, f"there is no message before book {row + 1}")


def read_messages(file: Path) -> Iterator[Message]:
    """The messages of a file in order. LobsterError at the first fault."""
    before_ns = columns = 0
    for row, fields in _rows(file):
        columns = columns or len(fields)
        if len(fields) not in _MESSAGE_COLUMNS or len(fields) != columns:
            expected = "6 or 7" if row == 1 else str(columns)
            raise LobsterError(file, row, 0, f"{len(fields)} columns instead of {expected}")
        time_ns = _nanoseconds(file, row, fields[0])
        if time_ns < before_ns:
            raise LobsterError(file, row, 1, f"time {fields[0]} is earlier than the row before")
        before_ns = time_ns
        kind, order_id, size, price, direction = _integers(file, row, fields[1:6], first_column=2)
        if kind not in list(MessageType):
            raise LobsterError(file, row, 2, f"there is no message type {kind}")
        about_an_order, is_halt = kind in _ABOUT_AN_ORDER, kind == MessageType.HALT
        if about_an_order and order_id <= 0:
            raise LobsterError(file, row, 3, f"a message of type {kind} names no order")
        if size != 0 if is_halt else size <= 0:
            raise LobsterError(file, row, 4, f"a message of type {kind} has size {size}")
        if price not in (-1, 0, 1) if is_halt else price <= 0:
            raise LobsterError(file, row, 5, f"a message of type {kind} has price {price}")
        if direction not in (1, -1):
            raise LobsterError(file, row, 6, f"direction {direction} is neither 1 nor -1")
        side = Side.BUY if direction == 1 else Side.SELL
        yield Message(time_ns, MessageType(kind), order_id, size, price, side)


def read_books(file: Path, levels: int) -> Iterator[BookRow]:
    """The books of a file in order, each of at most `levels` levels a side. LobsterError at the first fault."""
    for row, fields in _rows(file):
        if len(fields) != _COLUMNS_A_LEVEL * levels:
            raise LobsterError(
                file, row, 0, f"{len(fields)} columns instead of {_COLUMNS_A_LEVEL * levels} for {levels} levels"
            )
        values = _integers(file, row, fields, first_column=1)
        asks = _side(file, row, values, first_column=1, missing=NO_ASK)
        bids = _side(file, row, values, first_column=3, missing=NO_BID)
        yield BookRow(bids, asks)


def _side(file: Path, row: int, values: list[int], first_column: int, missing: int) -> tuple[Level, ...]:
    """The levels of one side: each worse than the one before, and none behind one that is missing."""
    levels: list[Level] = []
    away = 1 if missing == NO_ASK else -1
    ended = False
    for column in range(first_column, len(values) + 1, _COLUMNS_A_LEVEL):
        price, size = values[column - 1], values[column]
        if price == missing:
            if size != 0:
                raise LobsterError(file, row, column + 1, f"a level that is not there has size {size}")
            ended = True
            continue
        if ended:
            raise LobsterError(file, row, column, f"level at price {price} behind one that is not there")
        if price <= 0:
            raise LobsterError(file, row, column, f"price {price} is not positive")
        if size <= 0:
            raise LobsterError(file, row, column + 1, f"an occupied level has size {size}")
        if levels and (price - levels[-1][0]) * away <= 0:
            raise LobsterError(file, row, column, f"price {price} is no worse than the level before")
        levels.append((price, size))
    return tuple(levels)


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """(row number, fields) of a file. LobsterError if it can't be read or is empty."""
    row = 0
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for row, line in enumerate(lines, 1):
                if row == 1 and line.startswith("\ufeff"):
                    raise LobsterError(file, 1, 1, "a byte order mark: the file was saved by a spreadsheet or editor")
                yield row, line.rstrip("\n").split(",")
    except OSError as error:
        raise LobsterError(file, row, 0, f"can't be read: {error.strerror}") from error
    if row == 0:
        raise LobsterError(file, 0, 0, "the file is empty")


def _nanoseconds(file: Path, row: int, text: str) -> int:
    time = _TIME.fullmatch(text)
    if time is None:
        raise LobsterError(file, row, 1, f"{text!r} is not a time in seconds with at most nine decimals")
    seconds, decimals = time.groups(default="")
    return int(seconds) * 1_000_000_000 + int(decimals.ljust(9, "0"))


def _integers(file: Path, row: int, fields: list[str], first_column: int) -> list[int]:
    for column, text in enumerate(fields, first_column):
        if not _INTEGER.fullmatch(text):
            raise LobsterError(file, row, column, f"{text!r} is not an integer")
    return [int(text) for text in fields]
