"""Reads LOBSTER samples: order-book messages and the book after each of them, as researchers hold them.

A sample is two files without header, row k of both belonging together:

    TICKER_YYYY-MM-DD_STARTms_ENDms_message_LEVEL.csv     time, type, order id, size, price, direction
    TICKER_YYYY-MM-DD_STARTms_ENDms_orderbook_LEVEL.csv   ask price, ask size, bid price, bid size; best level first

Prices are dollars x 10,000, sizes shares, times seconds after midnight with up to nine decimals. The
direction is that of the *resting* order, also of an execution. Newer message files have a seventh column
(a market participant or `null`), which is not read. Source: lobsterdata.com, "Output Structure".

Files go through many hands (a copy saved by a spreadsheet has lost its last digits), so everything the
format promises is checked, and the first fault ends the reading with a :class:`FormatError`.

Everything is read twice over: :meth:`Sample.parts` by compiled loops over the bytes, in parts of bounded
size; :meth:`Sample.rows` row by row, to be understood. The compiled loops know only that a row is wrong;
the readable reader then says what is.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numba import njit

from exchange.research.compiled import entry
from exchange.research.levels import apply, key_of, new_levels, with_room
from exchange.research.messages import ABOUT_AN_ORDER, MESSAGE, FormatError, MessageType, type_of_rows
from exchange.research.orders import Follower
from matching.orders import Side

inlined = njit(_nrt=False, inline="always")

NO_ASK = 9_999_999_999  # the price of an ask level that is not there
NO_BID = -9_999_999_999

NAME = re.compile(r"(?P<ticker>[^_]+)_(?P<date>\d{4}-\d\d-\d\d)_(\d+)_(\d+)_message_(?P<levels>\d+)\.csv")
_TIME = re.compile(r"(\d{1,6})(?:\.(\d{1,9}))?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,15}", re.ASCII)
_MESSAGE_COLUMNS = (6, 7)
COLUMNS_A_LEVEL = 4
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
ROWS_AT_ONCE = 1 << 14
_BYTES_AT_ONCE = 1 << 20
_SECOND = 1_000_000_000


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
        """The sample of a message file. FormatError if its name is none or its order-book file is missing."""
        name = NAME.fullmatch(messages.name)
        if name is None:
            raise FormatError(messages, 0, 0, "the name must read TICKER_YYYY-MM-DD_STARTms_ENDms_message_LEVEL.csv")
        books = books_of(messages)
        for file in (messages, books):
            if not file.is_file():
                raise FormatError(file, 0, 0, "there is no such file")
        try:
            day = date.fromisoformat(name["date"])
        except ValueError as error:
            raise FormatError(messages, 0, 0, f"the name has no date: {error}") from error
        return cls(messages, books, name["ticker"], day, int(name["levels"]))

    def parts(self, size: int = ROWS_AT_ONCE) -> Iterator[tuple[type_of_rows, type_of_rows]]:
        """MESSAGE rows and the books after them, (rows, 4 x levels) of i8 as in the file; `size` rows at a time.

        The messages have their leaves. FormatError at the first fault, and if orders contradict each other.
        """
        orders, row = Follower(whole=False), 0
        for messages, books in zip_longest(message_parts(self.messages, size), book_parts(self.books, self, size)):
            found = 0 if messages is None else messages.size
            shown = 0 if books is None else len(books)
            _must_pair(self, row + min(found, shown) + 1, found, shown)
            wrong = orders.follow(messages)
            if wrong is not None:
                index, fault = wrong
                raise FormatError(self.messages, row + index + 1, 3, f"order {messages[index].order_id}: {fault}")
            yield messages, books
            row += found

    def rows(self) -> Iterator[tuple[Message, BookRow]]:
        """Each message with the book after it, to read. FormatError at the first fault, or if one file is longer."""
        messages, books = read_messages(self.messages), read_books(self.books, self.levels)
        for row, (message, book) in enumerate(zip_longest(messages, books), 1):
            _must_pair(self, row, int(message is not None), int(book is not None))
            yield message, book


def books_of(messages: Path) -> Path:
    """The order-book file that belongs to a message file."""
    return messages.with_name(messages.name.replace("_message_", "_orderbook_"))


def _must_pair(sample: Sample, row: int, messages: int, books: int) -> None:
    if books < messages:
        raise FormatError(sample.books, row, 0, f"there is no book after message {row}")
    if messages < books:
        raise FormatError(sample.messages, row, 0, f"there is no message before book {row}")


# ---------------------------------------------------------------- row by row, to read


def read_messages(file: Path) -> Iterator[Message]:
    """The messages of a file in order. FormatError at the first fault."""
    before_ns = columns = 0
    for row, line in _lines(file):
        message, columns = _message(file, row, line, before_ns, columns)
        before_ns = message.time_ns
        yield message


def read_books(file: Path, levels: int) -> Iterator[BookRow]:
    """The books of a file in order, each of at most `levels` levels a side. FormatError at the first fault."""
    for row, line in _lines(file):
        yield _book(file, row, line, levels)


def _message(file: Path, row: int, line: str, before_ns: int, columns: int) -> tuple[Message, int]:
    """The message of a line, and how many columns it has; `columns` is what the file has had, 0 for nothing yet."""
    fields = line.split(",")
    columns = columns or len(fields)
    if len(fields) not in _MESSAGE_COLUMNS or len(fields) != columns:
        expected = "6 or 7" if row == 1 else str(columns)
        raise FormatError(file, row, 0, f"{len(fields)} columns instead of {expected}")
    time_ns = _nanoseconds(file, row, fields[0])
    if time_ns < before_ns:
        raise FormatError(file, row, 1, f"time {fields[0]} is earlier than the row before")
    kind, order_id, size, price, direction = _integers(file, row, fields[1:6], first_column=2)
    if kind not in list(MessageType):
        raise FormatError(file, row, 2, f"there is no message type {kind}")
    about_an_order, is_halt = kind in ABOUT_AN_ORDER, kind == MessageType.HALT
    if about_an_order and order_id <= 0:
        raise FormatError(file, row, 3, f"a message of type {kind} names no order")
    if size != 0 if is_halt else size <= 0:
        raise FormatError(file, row, 4, f"a message of type {kind} has size {size}")
    if price not in (-1, 0, 1) if is_halt else price <= 0:
        raise FormatError(file, row, 5, f"a message of type {kind} has price {price}")
    if direction not in (1, -1):
        raise FormatError(file, row, 6, f"direction {direction} is neither 1 nor -1")
    side = Side.BUY if direction == 1 else Side.SELL
    return Message(time_ns, MessageType(kind), order_id, size, price, side), columns


def _book(file: Path, row: int, line: str, levels: int) -> BookRow:
    fields = line.split(",")
    if len(fields) != COLUMNS_A_LEVEL * levels:
        raise FormatError(
            file, row, 0, f"{len(fields)} columns instead of {COLUMNS_A_LEVEL * levels} for {levels} levels"
        )
    values = _integers(file, row, fields, first_column=1)
    asks = _side(file, row, values, first_column=1, missing=NO_ASK)
    bids = _side(file, row, values, first_column=3, missing=NO_BID)
    return BookRow(bids, asks)


def _side(file: Path, row: int, values: list[int], first_column: int, missing: int) -> tuple[Level, ...]:
    """The levels of one side: each worse than the one before, and none behind one that is missing."""
    levels: list[Level] = []
    away = 1 if missing == NO_ASK else -1
    ended = False
    for column in range(first_column, len(values) + 1, COLUMNS_A_LEVEL):
        price, size = values[column - 1], values[column]
        if price == missing:
            if size != 0:
                raise FormatError(file, row, column + 1, f"a level that is not there has size {size}")
            ended = True
            continue
        if ended:
            raise FormatError(file, row, column, f"level at price {price} behind one that is not there")
        if price <= 0:
            raise FormatError(file, row, column, f"price {price} is not positive")
        if size <= 0:
            raise FormatError(file, row, column + 1, f"an occupied level has size {size}")
        if levels and (price - levels[-1][0]) * away <= 0:
            raise FormatError(file, row, column, f"price {price} is no worse than the level before")
        levels.append((price, size))
    return tuple(levels)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """(row number, line) of a file. FormatError if it can't be read or is empty."""
    row = 0
    try:
        with file.open("rb") as lines:
            for row, line in enumerate(lines, 1):
                yield row, _text(file, row, line)
    except OSError as error:
        raise FormatError(file, 0, 0, f"can't be read: {error.strerror}") from error
    if row == 0:
        raise FormatError(file, 0, 0, "the file is empty")


def _text(file: Path, row: int, line: bytes) -> str:
    if row == 1 and line.startswith(BYTE_ORDER_MARK):
        raise FormatError(file, 1, 1, "a byte order mark: the file was saved by a spreadsheet or editor")
    return line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "replace")


def _nanoseconds(file: Path, row: int, text: str) -> int:
    time = _TIME.fullmatch(text)
    if time is None:
        raise FormatError(file, row, 1, f"{text!r} is not a time in seconds with at most nine decimals")
    seconds, decimals = time.groups(default="")
    return int(seconds) * 1_000_000_000 + int(decimals.ljust(9, "0"))


def _integers(file: Path, row: int, fields: list[str], first_column: int) -> list[int]:
    for column, text in enumerate(fields, first_column):
        if not _INTEGER.fullmatch(text):
            raise FormatError(file, row, column, f"{text!r} is not an integer")
    return [int(text) for text in fields]


# ---------------------------------------------------------------- compiled, over the bytes

NEWLINE, RETURN, COMMA, MINUS, POINT, ZERO, NINE = (ord(one) for one in "\n\r,-.09")
DIGITS_MAX, SECONDS_DIGITS_MAX, DECIMALS = 15, 6, 9
EXECUTION = int(MessageType.EXECUTION)
LAST_ABOUT_AN_ORDER, HALT = int(max(ABOUT_AN_ORDER)), int(MessageType.HALT)
BUY, SELL = int(Side.BUY), int(Side.SELL)
DONE, FAULT = 0, 1  # all whole lines are read, or all rows filled; a line breaks the format


@inlined
def digits(text, position, most):
    """A number of at least one and at most `most` digits: (the number, where it ends; 0 if it is none)."""
    value = np.int64(0)
    start = position
    while ZERO <= text[np.uint64(position)] <= NINE:
        value = value * 10 + np.int64(text[np.uint64(position)]) - ZERO
        position += 1
        if position - start > most:
            return value, 0
    return value, position if position > start else 0


@inlined
def integer(text, position):
    """An integer: (its value, where it ends; 0 if it is none)."""
    negative = text[np.uint64(position)] == MINUS
    value, position = digits(text, position + np.int64(negative), DIGITS_MAX)
    return -value if negative else value, position


@inlined
def seconds(text, position):
    """Seconds with at most nine decimals: (nanoseconds, where they end; 0 if they are none, decimals)."""
    whole, position = digits(text, position, SECONDS_DIGITS_MAX)
    if position == 0 or text[np.uint64(position)] != POINT:
        return whole * _SECOND, position, 0
    start = position + 1
    part, position = digits(text, start, DECIMALS)
    decimals = position - start
    for _ in range(decimals, DECIMALS):
        part *= 10
    return whole * _SECOND + part, position, decimals


@inlined
def line_end(text, position):
    """Where the next line begins if this one ends here; 0 if it does not."""
    position += np.int64(text[np.uint64(position)] == RETURN)
    return position + 1 if text[np.uint64(position)] == NEWLINE else 0


@entry
def parse_messages(text, position, end, known, rows, filled):
    """Messages from the lines between `position` and `end`: (why it stopped, next line, rows filled).

    `known` is what the file has shown so far: the time of the last row, its columns, the most decimals.
    """
    while position < end and filled < rows.size:
        line = position
        time_ns, position, decimals = seconds(text, position)
        if position == 0 or time_ns < known[0] or text[np.uint64(position)] != COMMA:
            return FAULT, line, filled
        kind, position = integer(text, position + 1)
        if position == 0 or text[np.uint64(position)] != COMMA or not 1 <= kind <= HALT:
            return FAULT, line, filled
        order_id, position = integer(text, position + 1)
        if position == 0 or text[np.uint64(position)] != COMMA or (kind <= LAST_ABOUT_AN_ORDER and order_id <= 0):
            return FAULT, line, filled
        size, position = integer(text, position + 1)
        if position == 0 or text[np.uint64(position)] != COMMA or (size != 0 if kind == HALT else size <= 0):
            return FAULT, line, filled
        price, position = integer(text, position + 1)
        if (
            position == 0
            or text[np.uint64(position)] != COMMA
            or (not -1 <= price <= 1 if kind == HALT else price <= 0)
        ):
            return FAULT, line, filled
        direction, position = integer(text, position + 1)
        if position == 0 or direction * direction != 1:
            return FAULT, line, filled
        columns = 6
        if text[np.uint64(position)] == COMMA:
            columns = 7
            position += 1
            while text[np.uint64(position)] != NEWLINE and text[np.uint64(position)] != COMMA:
                position += 1
            position -= np.int64(text[np.uint64(position)] == NEWLINE and text[np.uint64(position - 1)] == RETURN)
        position = line_end(text, position)
        if position == 0 or (known[1] != 0 and known[1] != columns):
            return FAULT, line, filled
        known[0] = time_ns
        known[1] = columns
        known[2] = max(known[2], decimals)
        row = rows[np.uint64(filled)]
        row.time_ns = time_ns
        row.order_id = order_id
        row.price = price
        row.quantity = size
        row.leaves = 0
        row.kind = kind
        row.side = BUY if direction == 1 else SELL
        filled += 1
    return DONE, position, filled


@entry
def parse_books(text, position, end, known, books, filled):
    """Books from the lines between `position` and `end`: (why it stopped, next line, rows filled)."""
    columns = books.shape[1]
    while position < end and filled < books.shape[0]:
        line = position
        for column in range(columns):
            value, position = integer(text, position)
            if position == 0:
                return FAULT, line, filled
            books[np.uint64(filled), np.uint64(column)] = value
            if column + 1 < columns:
                if text[np.uint64(position)] != COMMA:
                    return FAULT, line, filled
                position += 1
        position = line_end(text, position)
        if position == 0:
            return FAULT, line, filled
        for first, missing, away in ((0, NO_ASK, 1), (2, NO_BID, -1)):
            ended = False
            for column in range(first, columns, COLUMNS_A_LEVEL):
                price = books[np.uint64(filled), np.uint64(column)]
                size = books[np.uint64(filled), np.uint64(column + 1)]
                if price == missing:
                    if size != 0:
                        return FAULT, line, filled
                    ended = True
                    continue
                if ended or price <= 0 or size <= 0:
                    return FAULT, line, filled
                if (
                    column > first
                    and (price - books[np.uint64(filled), np.uint64(column - COLUMNS_A_LEVEL)]) * away <= 0
                ):
                    return FAULT, line, filled
        filled += 1
    return DONE, position, filled


def message_parts(file: Path, size: int = ROWS_AT_ONCE, known: type_of_rows | None = None) -> Iterator[type_of_rows]:
    """The messages of a file as MESSAGE rows without leaves, `size` at a time. FormatError at the first fault.

    `known` takes what the file shows: the time of the last row, its columns, the most decimals of a time.
    """
    known = np.zeros(3, np.int64) if known is None else known

    def fault(row: int, line: bytes) -> None:
        _message(file, row, _text(file, row, line), int(known[0]), int(known[1]))

    return _parts(file, lambda: np.zeros(size, MESSAGE), parse_messages, known, fault)


def book_parts(file: Path, sample: Sample, size: int = ROWS_AT_ONCE) -> Iterator[type_of_rows]:
    """The books of a file, (rows, 4 x levels) of i8, `size` at a time. FormatError at the first fault."""

    def fault(row: int, line: bytes) -> None:
        _book(file, row, _text(file, row, line), sample.levels)

    columns = COLUMNS_A_LEVEL * sample.levels
    return _parts(file, lambda: np.zeros((size, columns), np.int64), parse_books, np.zeros(3, np.int64), fault)


def _parts(
    file: Path,
    new_rows: Callable[[], type_of_rows],
    parse: Any,
    known: type_of_rows,
    fault: Callable[[int, bytes], None],
) -> Iterator[type_of_rows]:
    """Rows of a file of lines; `fault` says of a row and its line what is wrong."""
    before, filled, rows = 0, 0, new_rows()
    for text in _whole_lines(file):
        position, end = 0, len(text)
        numbers = np.frombuffer(text, np.uint8)
        while position < end:
            stopped, position, filled = parse(numbers, position, end, known, rows, filled)
            if stopped == FAULT:
                row = before + filled + 1
                fault(row, text[position : text.index(b"\n", position) + 1])
                raise FormatError(file, row, 0, "breaks the format")
            if filled == len(rows):
                yield rows
                before, filled, rows = before + filled, 0, new_rows()
    if filled:
        yield rows[:filled]


def _whole_lines(file: Path) -> Iterator[bytes]:
    """The bytes of a file, cut behind ends of lines; the last line ends too. FormatError if it is empty."""
    try:
        with file.open("rb") as source:
            left, some = b"", False
            while read := source.read(_BYTES_AT_ONCE):
                some = True
                lines, found, rest = read.rpartition(b"\n")
                if found:
                    yield left + lines + found
                    left = rest
                else:
                    left += rest
            if left:
                yield left + b"\n"
    except OSError as error:
        raise FormatError(file, 0, 0, f"can't be read: {error.strerror}") from error
    if not some:
        raise FormatError(file, 0, 0, "the file is empty")


# ---------------------------------------------------------------- out


@entry
def show(levels, messages, start, books):
    """Write the book after each message from `start` on; where it stopped for want of room for levels."""
    for index in range(start, messages.size):
        if max(levels.counts[0], levels.counts[1]) + 1 > levels.keys.shape[1]:
            return index
        apply(levels, messages[np.uint64(index)])
        for side, first, missing in ((SELL, 0, NO_ASK), (BUY, 2, NO_BID)):
            for place in range(books.shape[1] // COLUMNS_A_LEVEL):
                column = first + COLUMNS_A_LEVEL * place
                there = place < levels.counts[side]
                books[index, column] = key_of(side, levels.keys[side, place]) if there else missing
                books[index, column + 1] = levels.sizes[side, place] if there else 0
    return messages.size


def write(messages: BinaryIO, books: BinaryIO, parts: Iterable[type_of_rows], levels: int) -> int:
    """Write a whole flow as the two files of a sample; returns how many rows.

    FormatError (of the rows, from 1) for an order id that LOBSTER has no room for.
    """
    book, written = new_levels(), 0
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    for rows in parts:
        named = rows["kind"] <= LAST_ABOUT_AN_ORDER
        unfit = np.flatnonzero(named & ((rows["order_id"] <= 0) | (rows["order_id"] >= 10**DIGITS_MAX)))
        if unfit.size:
            row = written + int(unfit[0]) + 1
            raise FormatError(Path(messages.name), row, 3, f"LOBSTER has no order {rows['order_id'][unfit[0]]}")
        pyarrow.csv.write_csv(_table(rows), messages, options)
        shown, index = np.zeros((rows.size, COLUMNS_A_LEVEL * levels), np.int64), 0
        while (index := show(book, rows, index, shown)) < rows.size:
            book = with_room(book)
        columns = [pa.array(column) for column in np.ascontiguousarray(shown.T)]
        pyarrow.csv.write_csv(pa.table(columns, [str(one) for one in range(len(columns))]), books, options)
        written += rows.size
    return written


def _table(rows: type_of_rows) -> pa.Table:
    """The columns of a message file."""
    whole, part = np.divmod(rows["time_ns"], _SECOND)
    times = pc.binary_join_element_wise(
        pa.array(whole).cast(pa.string()), pc.utf8_lpad(pa.array(part).cast(pa.string()), DECIMALS, "0"), "."
    )
    columns = {
        "time": pc.utf8_rtrim(pc.utf8_rtrim(times, "0"), "."),
        "type": pa.array(rows["kind"]),
        "order": pa.array(np.ascontiguousarray(rows["order_id"])),
        "size": pa.array(np.ascontiguousarray(rows["quantity"])),
        "price": pa.array(np.ascontiguousarray(rows["price"])),
        "direction": pa.array(np.where(rows["side"] == BUY, 1, -1)),
    }
    return pa.table(columns)
