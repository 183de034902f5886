"""Reads and writes NASDAQ TotalView-ITCH 5.0: every order of a market by its reference, in bytes.

A file is messages, each behind its length in two bytes; all numbers are big-endian. A message begins with its
type (1), stock locate (2), tracking number (2) and time (6, nanoseconds after midnight); prices have four implied
decimals. Of the displayed book speak A and F (add), E and C (executed), X (reduced), D (deleted), U (deleted and
added, the side inherited); of the rest P (execution of a hidden order), Q (cross) and H (halt). Source: Nasdaq
TotalView-ITCH 5.0 specification.

A file holds a market's every stock; messages are read of one, by its symbol. Without a symbol the file must be of
one stock. What is read are MESSAGE rows, a whole flow: U is a deletion and a new order. An execution that is not
printable (C with N) is part of a cross, which is reported by itself: it is read as a cancel. Ways back lose
as much: rows become A, X, D, E, P, Q and H.

The first message that breaks the format, or that contradicts the orders before it, ends the reading.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from numba import njit

from exchange.research.compiled import entry
from exchange.research.messages import MESSAGE, FormatError, MessageType, type_of_rows
from exchange.research.orders import (
    ALREADY_RESTS,
    CONTRADICTIONS,
    DONE,
    NEEDS_ROOM,
    NEEDS_SLOTS,
    TAKES_TOO_MUCH,
    UNKNOWN_ORDER,
    is_full,
    leave,
    new_orders,
    rest,
    with_room,
)
from matching.ladder import at
from matching.orders import Side
from matching.references import ABSENT, place_of

inlined = njit(_nrt=False, inline="always")

BYTES_AT_ONCE = 1 << 22
ROWS_AT_ONCE = 1 << 16
DAY_NS = 86_400_000_000_000
LENGTHS = {
    "S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "A": 36, "F": 40,
    "E": 31, "C": 36, "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19, "I": 50, "N": 20, "O": 48,
}  # fmt: skip
_LENGTH_OF = np.zeros(256, np.int64)
for _kind, _length in LENGTHS.items():
    _LENGTH_OF[ord(_kind)] = _length

S, R, H, A, F, E, C, X, D, U, P, Q, B, N, T = map(ord, "SRHAFECXDUPQBNT")
BUY, SELL = int(Side.BUY), int(Side.SELL)
NEW_ORDER, PARTIAL_CANCEL = int(MessageType.NEW_ORDER), int(MessageType.PARTIAL_CANCEL)
DELETE, EXECUTION = int(MessageType.DELETE), int(MessageType.EXECUTION)
HIDDEN, CROSS, HALT = int(MessageType.HIDDEN_EXECUTION), int(MessageType.CROSS_TRADE), int(MessageType.HALT)

OUR_LOCATE, LONGEST, NUMBER_MAX = 1, 64, (1 << 32) - 1
SPACE, QUOTATION, INTRADAY_CROSS = ord(" "), Q, ord("I")
NO_REASON = int.from_bytes(b"    ", "big")
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}

# Why the loop stopped, beside those of exchange.research.orders.
WRONG_LENGTH, UNKNOWN_TYPE, TIME_BACKWARDS, TIME_BEYOND, WRONG_SIDE = range(20, 25)
NO_SHARES, NO_PRICE, MIXED_SYMBOLS, OTHER_STOCK, WRONG_STATE = range(25, 30)
FAULTS = {
    WRONG_LENGTH: ("length", "is not that of a message of its type"),
    UNKNOWN_TYPE: ("type", "is none of ITCH 5.0"),
    TIME_BACKWARDS: ("timestamp", "is earlier than that of the message before"),
    TIME_BEYOND: ("timestamp", "is not within a day"),
    WRONG_SIDE: ("side", "is neither B nor S"),
    NO_SHARES: ("shares", "are none"),
    NO_PRICE: ("price", "is zero"),
    MIXED_SYMBOLS: ("stock", "is another than before: say which symbol to read"),
    OTHER_STOCK: ("stock", "is not the one of its locate code"),
    WRONG_STATE: ("state", "is none of H, P, Q and T"),
    **{why: ("order reference", text) for why, text in CONTRADICTIONS.items()},
}
# What `known` remembers: the time, messages read, the locate and symbol that are read (0: none yet), and whether the
# file has said which.
TIME, READ, LOCATE, STOCK, CHOSEN = range(5)


# ---------------------------------------------------------------- in


@inlined
def number(text, position, size):
    """A big-endian number of `size` bytes."""
    value = np.int64(0)
    for offset in range(size):
        value = (value << 8) | np.int64(text[np.uint64(position + offset)])
    return value


@inlined
def tell(rows, filled, time_ns, kind, order_id, side, price, quantity, leaves):
    """Write a row."""
    row = at(rows, filled)
    row.time_ns = time_ns
    row.order_id = order_id
    row.price = price
    row.quantity = quantity
    row.leaves = leaves
    row.kind = kind
    row.side = side


@entry
def decode(text, position, end, known, orders, references, rows, filled):
    """Rows from the whole messages between `position` and `end`: (why it stopped, next message, rows filled)."""
    while end - position >= 2:
        length = number(text, position, 2)
        if end - position < 2 + length:
            break
        if length == 0:
            return WRONG_LENGTH, position, filled
        start = position + 2
        kind = text[np.uint64(start)]
        if _LENGTH_OF[kind] != length:
            return (UNKNOWN_TYPE if _LENGTH_OF[kind] == 0 else WRONG_LENGTH), position, filled
        time_ns = number(text, start + 5, 6)
        if time_ns < known[TIME]:
            return TIME_BACKWARDS, position, filled
        if time_ns >= DAY_NS:
            return TIME_BEYOND, position, filled
        if filled + 2 > rows.size:
            return NEEDS_ROOM, position, filled
        locate = number(text, start + 1, 2)
        stock = np.int64(0)
        if kind in (A, F, P):
            stock = number(text, start + 24, 8)
        elif kind == Q:
            stock = number(text, start + 19, 8)
        elif kind in (R, H):
            stock = number(text, start + 11, 8)
        if known[STOCK] == 0 and kind in (A, F, P):
            known[STOCK], known[LOCATE] = stock, locate
            known[CHOSEN] = 1
        if stock != 0 and known[STOCK] != 0:
            if stock == known[STOCK]:
                if known[LOCATE] == 0:
                    known[LOCATE] = locate
                elif locate != known[LOCATE]:
                    return OTHER_STOCK, position, filled
            elif locate == known[LOCATE] and locate != 0:
                return OTHER_STOCK, position, filled
            elif known[CHOSEN] == 1 and kind in (A, F, P):
                return MIXED_SYMBOLS, position, filled

        if known[STOCK] != 0 and locate == known[LOCATE]:
            wrong = DONE
            if kind in (A, F):
                side, shares, price = (
                    text[np.uint64(start + 19)],
                    number(text, start + 20, 4),
                    number(text, start + 32, 4),
                )
                reference = number(text, start + 11, 8)
                if side != B and side != S:
                    wrong = WRONG_SIDE
                elif shares == 0:
                    wrong = NO_SHARES
                elif price == 0:
                    wrong = NO_PRICE
                elif place_of(references, reference) != ABSENT:
                    wrong = ALREADY_RESTS
                elif is_full(orders):
                    wrong = NEEDS_SLOTS
                else:
                    code = BUY if side == B else SELL
                    rest(orders, references, reference, price, code, shares)
                    tell(rows, filled, time_ns, NEW_ORDER, reference, code, price, shares, shares)
                    filled += 1
            elif kind in (E, C, X, D):
                reference = number(text, start + 11, 8)
                place = place_of(references, reference)
                if place == ABSENT:
                    return UNKNOWN_ORDER, position, filled
                order = at(orders.slots, at(references.places, place).slot)
                shares = order.leaves if kind == D else number(text, start + 19, 4)
                if shares == 0:
                    wrong = NO_SHARES
                elif shares > order.leaves:
                    wrong = TAKES_TOO_MUCH
                else:
                    order.leaves -= shares
                    executed = kind == E or (kind == C and text[np.uint64(start + 31)] != N)
                    what = EXECUTION if executed else (DELETE if order.leaves == 0 else PARTIAL_CANCEL)
                    tell(rows, filled, time_ns, what, reference, order.side, order.price, shares, order.leaves)
                    filled += 1
                    if order.leaves == 0:
                        leave(orders, references, place)
            elif kind == U:
                reference, later = number(text, start + 11, 8), number(text, start + 19, 8)
                shares, price = number(text, start + 27, 4), number(text, start + 31, 4)
                place = place_of(references, reference)
                if place == ABSENT:
                    wrong = UNKNOWN_ORDER
                elif shares == 0:
                    wrong = NO_SHARES
                elif price == 0:
                    wrong = NO_PRICE
                elif later != reference and place_of(references, later) != ABSENT:
                    wrong = ALREADY_RESTS
                else:
                    order = at(orders.slots, at(references.places, place).slot)
                    code = order.side
                    tell(rows, filled, time_ns, DELETE, reference, code, order.price, order.leaves, 0)
                    leave(orders, references, place)
                    rest(orders, references, later, price, code, shares)
                    tell(rows, filled + 1, time_ns, NEW_ORDER, later, code, price, shares, shares)
                    filled += 2
            elif kind == P:
                side, shares, price = (
                    text[np.uint64(start + 19)],
                    number(text, start + 20, 4),
                    number(text, start + 32, 4),
                )
                if side != B and side != S:
                    wrong = WRONG_SIDE
                elif shares == 0:
                    wrong = NO_SHARES
                elif price == 0:
                    wrong = NO_PRICE
                else:
                    code = BUY if side == B else SELL
                    tell(rows, filled, time_ns, HIDDEN, 0, code, price, shares, 0)
                    filled += 1
            elif kind == Q:
                shares, price = number(text, start + 11, 8), number(text, start + 27, 4)
                if shares != 0:  # a cross in which nothing traded is announced too
                    tell(rows, filled, time_ns, CROSS, 0, SELL, price, shares, 0)
                    filled += 1
            elif kind == H:
                state = text[np.uint64(start + 19)]
                if state != H and state != P and state != Q and state != T:
                    wrong = WRONG_STATE
                else:
                    code = 1 if state == T else (0 if state == Q else -1)
                    tell(rows, filled, time_ns, HALT, 0, SELL, code, 0, 0)
                    filled += 1
            if wrong != DONE:
                return wrong, position, filled
        known[TIME] = time_ns
        known[READ] += 1
        position += 2 + length
    return DONE, position, filled


def read(file: Path, symbol: str = "", size: int = ROWS_AT_ONCE) -> Iterator[type_of_rows]:
    """The MESSAGE rows of one stock, at most `size` at a time. FormatError at the first fault.

    `symbol` may be left out if the file has orders of one stock only. The file may be compressed (.gz, .zst).
    A message is named by its number, from 1, and the field.
    """
    known = np.zeros(5, np.int64)
    known[STOCK] = packed(symbol) if symbol else 0
    orders, references = new_orders()
    rows, filled, left = np.zeros(size, MESSAGE), 0, b""
    for more in chunks(file, BYTES_AT_ONCE):
        text, position = np.frombuffer(left + more, np.uint8), 0
        while True:
            stopped, position, filled = decode(text, position, text.size, known, orders, references, rows, filled)
            if stopped == DONE:
                break
            if stopped == NEEDS_ROOM:
                yield rows[:filled]
                rows, filled = np.zeros(size, MESSAGE), 0
            elif stopped == NEEDS_SLOTS:
                orders, references = with_room(orders, references)
            else:
                column, fault = FAULTS[int(stopped)]
                raise FormatError(file, int(known[READ]) + 1, column, fault)
        left = text[position:].tobytes()
    if left:
        raise FormatError(file, int(known[READ]) + 1, "length", "the file ends before the message does")
    if symbol and known[LOCATE] == 0:
        raise FormatError(file, 0, "stock", f"there is nothing about {symbol}")
    if filled:
        yield rows[:filled]


def packed(symbol: str) -> int:
    """A symbol as the number that its eight bytes are, padded with spaces. ValueError if it can't be one."""
    if not 0 < len(symbol) <= 8 or not symbol.isascii() or not symbol.isprintable():
        raise ValueError(f"{symbol!r} is not a symbol of up to eight letters")
    return int.from_bytes(symbol.encode().ljust(8), "big")


def chunks(file: Path, size: int) -> Iterator[bytes]:
    """The bytes of a file, which may be compressed, in parts. FormatError if it is empty or can't be read."""
    some = False
    try:
        with pa.input_stream(str(file), compression=_COMPRESSIONS.get(file.suffix)) as source:
            while more := source.read(size):
                some = True
                yield more
    except OSError as error:
        raise FormatError(file, 0, 0, f"can't be read: {error}") from error
    if not some:
        raise FormatError(file, 0, 0, "the file is empty")


# ---------------------------------------------------------------- out


@inlined
def put(text, position, size, value):
    """Write a big-endian number of `size` bytes."""
    for offset in range(size):
        text[np.uint64(position + offset)] = (value >> (8 * (size - 1 - offset))) & 255


@inlined
def head(text, position, kind, length, time_ns):
    """Write what every message begins with, behind its length; where its body begins."""
    put(text, position, 2, length)
    put(text, position + 2, 1, kind)
    put(text, position + 3, 2, OUR_LOCATE)
    put(text, position + 5, 2, 0)
    put(text, position + 7, 6, time_ns)
    return position + 2


@entry
def encode(messages, start, stock, matches, text):
    """Write messages from `start` on: (the first that is not written, bytes written). There is room for one at least.

    `matches` counts executions. A message that ITCH can't say ends it early.
    """
    position = 0
    for index in range(start, messages.size):
        if position + LONGEST > text.size:
            return index, position
        message = at(messages, index)
        kind, time_ns, shares, price = message.kind, message.time_ns, message.quantity, message.price
        fits = 0 <= time_ns < DAY_NS and 0 <= shares <= NUMBER_MAX and (kind == HALT or 0 < price <= NUMBER_MAX)
        if not fits:
            return index, position
        side = B if message.side == BUY else S
        if kind == NEW_ORDER:
            body = head(text, position, A, 36, time_ns)
            put(text, body + 11, 8, message.order_id)
            put(text, body + 19, 1, side)
            put(text, body + 20, 4, shares)
            put(text, body + 24, 8, stock)
            put(text, body + 32, 4, price)
            position = body + 36
        elif kind == PARTIAL_CANCEL:
            body = head(text, position, X, 23, time_ns)
            put(text, body + 11, 8, message.order_id)
            put(text, body + 19, 4, shares)
            position = body + 23
        elif kind == DELETE:
            body = head(text, position, D, 19, time_ns)
            put(text, body + 11, 8, message.order_id)
            position = body + 19
        elif kind == EXECUTION:
            matches[0] += 1
            body = head(text, position, E, 31, time_ns)
            put(text, body + 11, 8, message.order_id)
            put(text, body + 19, 4, shares)
            put(text, body + 23, 8, matches[0])
            position = body + 31
        elif kind == HIDDEN:
            matches[0] += 1
            body = head(text, position, P, 44, time_ns)
            put(text, body + 11, 8, 0)
            put(text, body + 19, 1, side)
            put(text, body + 20, 4, shares)
            put(text, body + 24, 8, stock)
            put(text, body + 32, 4, price)
            put(text, body + 36, 8, matches[0])
            position = body + 44
        elif kind == CROSS:
            matches[0] += 1
            body = head(text, position, Q, 40, time_ns)
            put(text, body + 11, 8, shares)
            put(text, body + 19, 8, stock)
            put(text, body + 27, 4, price)
            put(text, body + 31, 8, matches[0])
            put(text, body + 39, 1, INTRADAY_CROSS)
            position = body + 40
        else:
            body = head(text, position, H, 25, time_ns)
            put(text, body + 11, 8, stock)
            put(text, body + 19, 1, T if price == 1 else (QUOTATION if price == 0 else H))
            put(text, body + 20, 1, SPACE)
            put(text, body + 21, 4, NO_REASON)
            position = body + 25
    return messages.size, position


def write(file: BinaryIO, parts: Iterable[type_of_rows], symbol: str) -> int:
    """Write a whole flow of one stock, between its start and end of messages; returns how many rows.

    FormatError (of the rows, from 1) for one that ITCH can't say: a time not within a day, a size or price over
    32 bits.
    """
    stock, matches = packed(symbol), np.zeros(1, np.int64)
    text = np.zeros(BYTES_AT_ONCE, np.uint8)
    written, time_ns = 0, 0
    for messages in parts:
        if not written:
            time_ns = int(messages["time_ns"][0])
            file.write(_event(b"O", time_ns) + _directory(symbol, time_ns))
        done = 0
        while done < messages.size:
            later, position = encode(messages, done, stock, matches, text)
            if later == done:
                raise FormatError(
                    Path(file.name), written + done + 1, 0, "ITCH has no room for the time, size or price"
                )
            file.write(text[:position].tobytes())
            done = later
        written += messages.size
        time_ns = int(messages["time_ns"][-1])
    file.write(_event(b"C", time_ns))
    return written


def _event(code: bytes, time_ns: int) -> bytes:
    return _framed(b"S" + bytes(4) + time_ns.to_bytes(6, "big") + code)


def _directory(symbol: str, time_ns: int) -> bytes:
    head = b"R" + OUR_LOCATE.to_bytes(2, "big") + bytes(2) + time_ns.to_bytes(6, "big")
    stock = symbol.encode().ljust(8)
    return _framed(head + stock + b"Q" + b"N" + (100).to_bytes(4, "big") + b"NC" + b"Z P" + b"NN1N" + bytes(4) + b"N")


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message
