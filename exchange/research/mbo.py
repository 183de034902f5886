"""Reads Databento's market by order (DBN): every order of a venue, in little-endian records of 56 bytes.

Metadata first, which Databento's own library reads (the optional extra `dbn`); then records, each beginning with its
length in words of four bytes, its type (160: market by order), publisher, instrument and time. An action adds
an order (A), cancels all or part of it (C), modifies it (M), clears the book (R), trades (T), fills (F) or does nothing
(N). T and F do not change the book: the C or M that follows a fill does, and is read as an execution as far as
the fill goes. A trade without a fill was with a hidden order. Source: databento.com, "Market by order".

What is read are MESSAGE rows of one instrument, prices in ten thousandths, times UTC: a whole flow if the file
begins with a snapshot or an empty book. A modification that keeps an order's place (less, at the same price) is a
partial cancel, any other a deletion and a new order.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from exchange.research.compiled import entry
from exchange.research.itch import BYTES_AT_ONCE, ROWS_AT_ONCE, chunks, tell
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
from matching import references as references_of
from matching.ladder import at
from matching.orders import Side
from matching.references import ABSENT, place_of

inlined = njit(_nrt=False, inline="always")

MARKET_BY_ORDER, RECORD_LENGTHS = 160, (56, 64)  # the longer one with the time of sending
PRICE_UNIT = 100_000  # of 1e-9: a ten thousandth
SNAPSHOT, BY_PRICE, LAST = 32, 16, 128  # flags
ADD, CANCEL, MODIFY, CLEAR, TRADE, FILL, NOTHING, ASK, BID = map(ord, "ACMRTFNAB")
BUY, SELL = int(Side.BUY), int(Side.SELL)
NEW_ORDER, PARTIAL_CANCEL = int(MessageType.NEW_ORDER), int(MessageType.PARTIAL_CANCEL)
DELETE, EXECUTION, HIDDEN = int(MessageType.DELETE), int(MessageType.EXECUTION), int(MessageType.HIDDEN_EXECUTION)

# Why the loop stopped, beside those of exchange.research.orders.
CLEARED, WRONG_LENGTH, UNKNOWN_ACTION, TIME_BACKWARDS, WRONG_SIDE, NO_SIZE, NO_PRICE = range(20, 27)
OFF_TICK, MIXED_INSTRUMENTS, NOT_BY_ORDER, OVERFILLED = range(27, 31)
FAULTS = {
    WRONG_LENGTH: ("length", "is not that of a market-by-order record"),
    UNKNOWN_ACTION: ("action", "is none of A, C, M, R, T, F and N"),
    TIME_BACKWARDS: ("ts_event", "is earlier than that of the record before"),
    WRONG_SIDE: ("side", "is neither A nor B"),
    NO_SIZE: ("size", "is zero"),
    NO_PRICE: ("price", "is not positive"),
    OFF_TICK: ("price", "is not a whole number of ten thousandths"),
    MIXED_INSTRUMENTS: ("instrument_id", "is another than before: say which symbol to read"),
    NOT_BY_ORDER: ("flags", "say market by price: there are no orders in it"),
    OVERFILLED: ("size", "fills more than the order has"),
    **{why: ("order_id", text) for why, text in CONTRADICTIONS.items()},
}
# What `known` remembers; of a trade whose fills are still to come its size, price and the side that rested.
TIME, READ, INSTRUMENT, CHOSEN, SIZE, PRICE, SIDE = range(7)


@inlined
def number(text, position, size):
    """A little-endian number of `size` bytes."""
    value = np.int64(0)
    for offset in range(size):
        value |= np.int64(text[np.uint64(position + offset)]) << (8 * offset)
    return value


@inlined
def hidden(known, rows, filled):
    """Tell of the last trade that nobody displayed has filled it; how many rows are filled then."""
    if known[SIZE]:
        tell(rows, filled, known[TIME], HIDDEN, 0, known[SIDE], known[PRICE], known[SIZE], 0)
        filled += 1
    known[SIZE] = 0
    return filled


@entry
def decode(text, position, end, known, orders, references, rows, filled):
    """Rows from the whole records between `position` and `end`: (why it stopped, next record, rows filled)."""
    while position < end:
        length = 4 * np.int64(text[np.uint64(position)])
        if length < 16:
            return WRONG_LENGTH, position, filled
        if end - position < length:
            break
        if filled + 4 > rows.size:
            return NEEDS_ROOM, position, filled
        if text[np.uint64(position + 1)] != MARKET_BY_ORDER:
            known[READ] += 1
            position += length
            continue
        if length != 56 and length != 64:
            return WRONG_LENGTH, position, filled
        instrument = number(text, position + 4, 4)
        if known[INSTRUMENT] == 0:
            known[INSTRUMENT] = instrument
        if instrument != known[INSTRUMENT]:
            if known[CHOSEN] == 0:
                return MIXED_INSTRUMENTS, position, filled
            known[READ] += 1
            position += length
            continue
        order_id, price, size = (
            number(text, position + 16, 8),
            number(text, position + 24, 8),
            number(text, position + 32, 4),
        )
        flags, action, side = (
            text[np.uint64(position + 36)],
            text[np.uint64(position + 38)],
            text[np.uint64(position + 39)],
        )
        time_ns = number(text, position + (40 if flags & SNAPSHOT else 8), 8)
        if time_ns < known[TIME]:
            return TIME_BACKWARDS, position, filled
        if flags & BY_PRICE:
            return NOT_BY_ORDER, position, filled
        place = np.int64(ABSENT)
        if action in (ADD, CANCEL, MODIFY, FILL):
            place = place_of(references, order_id)
            if size == 0:
                return NO_SIZE, position, filled
            if (action in (ADD, MODIFY)) and price <= 0:
                return NO_PRICE, position, filled
            if (action in (ADD, MODIFY)) and price % PRICE_UNIT:
                return OFF_TICK, position, filled
            if action == ADD and place != ABSENT:
                return ALREADY_RESTS, position, filled
            if action != ADD and place == ABSENT:
                return UNKNOWN_ORDER, position, filled
            if action == ADD and side != ASK and side != BID:
                return WRONG_SIDE, position, filled
            if action == ADD and is_full(orders):
                return NEEDS_SLOTS, position, filled
        if action == CLEAR:
            if orders.pool[1]:
                return CLEARED, position, filled
        elif action == ADD:
            code = SELL if side == ASK else BUY
            rest(orders, references, order_id, price // PRICE_UNIT, code, size)
            tell(rows, filled, time_ns, NEW_ORDER, order_id, code, price // PRICE_UNIT, size, size)
            filled += 1
        elif action == TRADE:
            filled = hidden(known, rows, filled)
            if price > 0 and size:
                known[SIZE], known[PRICE], known[SIDE] = size, price // PRICE_UNIT, BUY if side != BID else SELL
        elif action == FILL:
            order = at(orders.slots, at(references.places, place).slot)
            known[SIZE] = 0
            order.filled += size
            if order.filled > order.leaves:
                return OVERFILLED, position, filled
        elif action == CANCEL:
            order = at(orders.slots, at(references.places, place).slot)
            if size > order.leaves:
                return TAKES_TOO_MUCH, position, filled
            executed = min(order.filled, size)
            order.filled -= executed
            if executed:
                order.leaves -= executed
                tell(rows, filled, time_ns, EXECUTION, order_id, order.side, order.price, executed, order.leaves)
                filled += 1
            if size > executed:
                order.leaves -= size - executed
                what = DELETE if order.leaves == 0 else PARTIAL_CANCEL
                tell(rows, filled, time_ns, what, order_id, order.side, order.price, size - executed, order.leaves)
                filled += 1
            if order.leaves == 0:
                leave(orders, references, place)
        elif action == MODIFY:
            order = at(orders.slots, at(references.places, place).slot)
            executed, order.filled = order.filled, 0
            if executed:
                order.leaves -= executed
                tell(rows, filled, time_ns, EXECUTION, order_id, order.side, order.price, executed, order.leaves)
                filled += 1
            at_ticks = price // PRICE_UNIT
            if at_ticks == order.price and size < order.leaves:
                less, order.leaves = order.leaves - size, size
                tell(rows, filled, time_ns, PARTIAL_CANCEL, order_id, order.side, order.price, less, size)
                filled += 1
            elif at_ticks != order.price or size != order.leaves:
                if order.leaves:
                    tell(rows, filled, time_ns, DELETE, order_id, order.side, order.price, order.leaves, 0)
                    filled += 1
                order.price, order.leaves = at_ticks, size
                tell(rows, filled, time_ns, NEW_ORDER, order_id, order.side, order.price, size, size)
                filled += 1
        elif action != NOTHING:
            return UNKNOWN_ACTION, position, filled
        known[TIME] = time_ns
        if flags & LAST:
            filled = hidden(known, rows, filled)
        known[READ] += 1
        position += length
    return DONE, position, filled


def read(file: Path, symbol: str = "", size: int = ROWS_AT_ONCE) -> Iterator[type_of_rows]:
    """The MESSAGE rows of one instrument, at most `size` at a time. FormatError at the first fault.

    `symbol` (or an instrument's number) may be left out if the file has records of one instrument only. The file may
    be compressed (.zst). A record is named by its number, from 1, and the field.
    """
    known = np.zeros(7, np.int64)
    orders, references = new_orders()
    rows, filled, left = np.zeros(size, MESSAGE), 0, b""
    metadata: Any = None
    for more in chunks(file, BYTES_AT_ONCE):
        left += more
        if metadata is None:
            begin = _metadata_length(file, left)
            if len(left) < begin:
                continue
            metadata = _metadata(file, left[:begin])
            known[INSTRUMENT] = known[CHOSEN] = _instrument(file, metadata, symbol) if symbol else 0
            left = left[begin:]
        text, position = np.frombuffer(left, np.uint8), 0
        while True:
            stopped, position, filled = decode(text, position, text.size, known, orders, references, rows, filled)
            if stopped == DONE:
                break
            if stopped == NEEDS_ROOM:
                yield rows[:filled]
                rows, filled = np.zeros(size, MESSAGE), 0
            elif stopped == NEEDS_SLOTS:
                orders, references = with_room(orders, references)
            elif stopped == CLEARED:
                yield rows[:filled]
                yield _all_deleted(orders, references, int(known[TIME]))
                orders, references = new_orders()
                rows, filled = np.zeros(size, MESSAGE), 0
            else:
                column, fault = FAULTS[int(stopped)]
                raise FormatError(file, int(known[READ]) + 1, column, fault)
        left = text[position:].tobytes()
    if left or metadata is None:
        raise FormatError(file, int(known[READ]) + 1, "length", "the file ends before the record does")
    if filled:
        yield rows[:filled]


def _all_deleted(orders: Any, references: Any, time_ns: int) -> type_of_rows:
    """What clearing the book does to the orders in it."""
    found = sorted(references_of.entries(references))
    rows = np.zeros(len(found), MESSAGE)
    for row, (order_id, slot) in zip(rows, found, strict=True):
        order = orders.slots[slot]
        row["time_ns"], row["order_id"], row["kind"], row["side"] = time_ns, order_id, DELETE, order["side"]
        row["price"], row["quantity"] = order["price"], order["leaves"]
    return rows


def _metadata_length(file: Path, begin: bytes) -> int:
    """How long the metadata are, from the first bytes of a file; more than these if they do not say yet."""
    if not b"DBN".startswith(begin[:3]):
        raise FormatError(file, 0, 0, "is no DBN file")
    return 8 + int.from_bytes(begin[4:8], "little") if len(begin) >= 8 else 8


def _metadata(file: Path, begin: bytes) -> Any:
    try:
        from databento_dbn import DBNError, Metadata
    except ImportError as error:
        raise FormatError(file, 0, 0, "to read DBN install the extra: pip install 'carbonex[dbn]'") from error
    try:
        metadata = Metadata.decode(begin)
    except (DBNError, ValueError) as error:
        raise FormatError(file, 0, 0, f"has no metadata: {error}") from error
    if metadata.schema not in (None, "mbo"):
        raise FormatError(file, 0, 0, f"holds {metadata.schema}; only market by order (mbo) has orders")
    return metadata


def _instrument(file: Path, metadata: Any, symbol: str) -> int:
    """The number of an instrument by its symbol."""
    if symbol.isdecimal():
        return int(symbol)
    intervals = metadata.mappings.get(symbol, [])
    if not intervals:
        known = ", ".join(sorted(metadata.mappings)) or "none"
        raise FormatError(file, 0, "symbols", f"there is nothing about {symbol}; the symbols are: {known}")
    first = intervals[0]
    return int(first["symbol"] if isinstance(first, dict) else first.symbol)
