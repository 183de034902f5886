"""What a journal has to tell, as tables: Parquet or Arrow, integers throughout, units and codes in the metadata.

    orders      every message of the trading path as it came in, accepted or not
    events      what came of them, order by order (market by order)
    trades      each trade with both sides and fees
    book_l1     best bid and ask after each command that changed them
    book_l2     price levels of a side after each command that changed it, best first, up to `depth`
    book_l3     orders of a side likewise, by priority
    bars        trades in equal intervals of UTC time
    auctions    how each call auction ended
    ledger      each change of a balance: who, what, how much, and what the balance was then
    serials     each movement of title, as ranges of serial numbers
    settlement  what each batch came to for each account and asset

The journal is replayed, so a table holds what happened and not what somebody noted about it. `price_ticks` are ticks
of the instrument, `qty` tonnes, money fen, `ts_ns` UTC nanoseconds, `seq` the journal's sequence of the command. A
book is told by side: the side at some `seq` is the rows of the latest `seq` up to it; a side that is empty is one row
of level 0. Books show what is shown (of an iceberg the slice) and leave out stop orders that wait.
"""

import json
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from exchange.commands import decode_control
from exchange.engine import exchange_of
from exchange.outputs import whole_file
from exchange.reasons import Reason
from exchange.research.history import History, Moment, moments
from exchange.research.what import What
from exchange.rows import TRADE, CommandKind, EventKind, joined, type_of_rows
from exchange.state import Exchange
from matching import ladder as book_of
from matching.orders import OrderType, Side, TimeInForce
from registry import holdings
from settlement.clearing import type_of_column

SCHEMA_VERSION = 1
ROWS_AT_ONCE = 65_536
NANOSECONDS = 1_000_000_000


_SIDES = {1: "buy", -1: "sell", 0: "either"}
_COMMANDS = {int(kind): kind.name.lower() for kind in CommandKind if kind != CommandKind.CONTROL}
_CODES: dict[str, dict[int, str]] = {
    "side": _SIDES,
    "aggressor": _SIDES,
    "op": _COMMANDS,
    "type": {int(one): one.name.lower() for one in OrderType},
    "tif": {int(one): one.name for one in TimeInForce},
    "action": {int(one): one.label for one in EventKind},
    "reason": {int(one): one.code for one in Reason},
    "flags": {1: "post_only", 2: "in_batch"},
}
_UNITS = {
    **dict.fromkeys(("qty", "display_qty", "leaves", "volume", "bid_qty", "ask_qty"), "tCO2e"),
    **dict.fromkeys(("buyer_fee", "seller_fee", "turnover"), "fen (0.01 of the currency)"),
    "ts_ns": "UTC nanoseconds",
    "interval_ns": "nanoseconds",
}
_AMOUNTS = (
    "delta", "posted", "reserved", "available", "incoming", "registry", "locked", "unsettled", "out",
    "into", "net",
)  # fmt: skip
_WORD = pa.dictionary(pa.int32(), pa.string())
_WHEN = [("seq", pa.int64()), ("ts_ns", pa.int64())]
_FIELDS: dict[What, list[tuple[str, pa.DataType]]] = {
    What.ORDERS: [
        *_WHEN, ("session", pa.uint32()), ("instrument", pa.uint16()), ("account", pa.uint32()), ("op", pa.uint8()),
        ("order_id", pa.uint64()), ("client_order_id", pa.string()), ("side", pa.int8()), ("type", pa.uint8()),
        ("tif", pa.uint8()), ("price_ticks", pa.int64()), ("qty", pa.int64()), ("display_qty", pa.int64()),
        ("stop_ticks", pa.int64()), ("flags", pa.uint16()),
    ],
    What.EVENTS: [
        ("seq", pa.int64()), ("prev_seq", pa.int64()), ("ts_ns", pa.int64()), ("instrument", pa.uint16()),
        ("action", pa.uint8()), ("side", pa.int8()), ("order_id", pa.uint64()), ("price_ticks", pa.int64()),
        ("qty", pa.int64()), ("leaves", pa.int64()), ("match_id", pa.uint64()), ("maker_order_id", pa.uint64()),
        ("taker_order_id", pa.uint64()), ("reason", pa.uint16()), ("flags", pa.uint8()),
    ],
    What.TRADES: [
        *_WHEN, ("instrument", pa.uint16()), ("match_id", pa.uint64()), ("price_ticks", pa.int64()),
        ("qty", pa.int64()), ("aggressor", pa.int8()),
        ("buy_order_id", pa.uint64()), ("sell_order_id", pa.uint64()), ("buyer", pa.uint32()),
        ("seller", pa.uint32()), ("buyer_fee", pa.int64()), ("seller_fee", pa.int64()),
    ],
    What.BOOK_L1: [
        *_WHEN, ("instrument", pa.uint16()), ("bid_ticks", pa.int64()), ("bid_qty", pa.int64()),
        ("ask_ticks", pa.int64()), ("ask_qty", pa.int64()),
    ],
    What.BOOK_L2: [
        *_WHEN, ("instrument", pa.uint16()), ("side", pa.int8()), ("level", pa.uint32()), ("price_ticks", pa.int64()),
        ("qty", pa.int64()), ("orders", pa.uint32()),
    ],
    What.BOOK_L3: [
        *_WHEN, ("instrument", pa.uint16()), ("side", pa.int8()), ("level", pa.uint32()), ("place", pa.uint32()),
        ("price_ticks", pa.int64()), ("qty", pa.int64()), ("order_id", pa.uint64()),
    ],
    What.BARS: [
        ("ts_ns", pa.int64()), ("interval_ns", pa.int64()), ("instrument", pa.uint16()), ("open_ticks", pa.int64()),
        ("high_ticks", pa.int64()), ("low_ticks", pa.int64()), ("close_ticks", pa.int64()), ("volume", pa.int64()),
        ("turnover", pa.int64()), ("trades", pa.int64()),
    ],
    What.AUCTIONS: [
        *_WHEN, ("instrument", pa.uint16()), ("price_ticks", pa.int64()), ("qty", pa.int64()),
        ("imbalance", pa.int64()),
    ],
    What.LEDGER: [
        *_WHEN, ("txn", pa.uint64()), ("account", pa.uint32()), ("account_id", _WORD), ("asset", pa.uint32()),
        ("asset_code", _WORD), ("delta", pa.int64()), ("posted", pa.int64()), ("reserved", pa.int64()),
        ("available", pa.int64()), ("incoming", pa.int64()), ("registry", pa.int64()), ("locked", pa.int64()),
        ("unsettled", pa.int64()), ("code", _WORD), ("ref", pa.uint64()),
    ],
    What.SERIALS: [
        *_WHEN, ("unit", _WORD), ("event", _WORD), ("block_start", pa.int64()), ("block_end", pa.int64()),
        ("vintage", pa.int32()), ("from", pa.uint32()), ("to", pa.uint32()), ("ref", pa.int64()),
    ],
    What.SETTLEMENT: [
        ("batch", pa.int64()), ("day", pa.date32()), ("mode", _WORD), ("stage", _WORD), ("account", pa.uint32()),
        ("account_id", _WORD), ("asset", pa.uint32()), ("asset_code", _WORD), ("out", pa.int64()), ("into", pa.int64()),
        ("net", pa.int64()),
    ],
}  # fmt: skip

Line = tuple[Any, ...]


class ExportError(ValueError):
    """A table that can't be written; says which and why."""


# ---------------------------------------------------------------- the tables


def _signed(sides: type_of_rows) -> type_of_rows:
    """1 for buy, -1 for sell, 0 for either."""
    return np.array([1, -1, 0], np.int8)[np.minimum(sides, 2)]


def _u64(column: type_of_rows) -> type_of_rows:
    return np.ascontiguousarray(column).astype(np.int64).view(np.uint64)


def _orders(history: History, _: "Asked") -> Iterator[pa.RecordBatch]:
    for moment in moments(history()):
        rows = moment.batch.rows
        if rows["kind"][0] == CommandKind.CONTROL:
            continue
        events = moment.outcome.rows
        answers = events[events["kind"] == EventKind.ACCEPTED]
        ids = rows["order_id"].copy()
        ids[np.searchsorted(rows["sequence"], answers["sequence"])] = answers["order_id"]
        instruments = rows["instrument"].copy()
        flags = rows["post_only"].astype(np.uint16) | ((rows["batch"] != 0).astype(np.uint16) << 1)
        is_place = rows["kind"] == CommandKind.PLACE_ORDER
        columns = [
            rows["sequence"], rows["now_ns"], np.full(rows.size, moment.exchange.session, np.uint32), instruments,
            rows["account"], rows["kind"], _u64(ids),
            pa.array([detail.decode() or None for detail in moment.batch.details], pa.string()), _signed(rows["side"]),
            rows["order_type"], rows["time_in_force"], rows["price_ticks"], rows["quantity"],
            rows["display_quantity"].astype(np.int64), rows["stop_ticks"].astype(np.int64), flags,
        ]  # fmt: skip
        nulls = {"side": ~is_place & (rows["kind"] != CommandKind.CANCEL_ORDERS), "type": ~is_place, "tif": ~is_place}
        yield _batch(What.ORDERS, columns, nulls)


def _events(history: History, _: "Asked") -> Iterator[pa.RecordBatch]:
    last: dict[int, int] = {}
    for moment in moments(history()):
        rows = moment.outcome.rows
        if not rows.size:
            continue
        commands = moment.batch.rows
        places = np.searchsorted(commands["sequence"], rows["sequence"])
        before = np.zeros(rows.size, np.int64)
        for place, (instrument, seq) in enumerate(
            zip(rows["instrument"].tolist(), rows["sequence"].tolist(), strict=True)
        ):
            before[place], last[instrument] = last.get(instrument, 0), seq
        has_maker = np.isin(rows["kind"], (EventKind.TRADED, EventKind.PREVENTED))
        columns = [
            rows["sequence"], before, commands["now_ns"][places], rows["instrument"], rows["kind"],
            _signed(rows["side"]), _u64(rows["order_id"]), rows["price_ticks"], rows["quantity"], rows["leaves"],
            _u64(rows["trade_id"]), _u64(rows["maker_order_id"]), _u64(rows["order_id"]),
            rows["reason"].astype(np.uint16), rows["priority"].astype(np.uint8),
        ]  # fmt: skip
        nulls = {"match_id": rows["trade_id"] == 0, "maker_order_id": rows["maker_order_id"] == 0}
        yield _batch(What.EVENTS, columns, nulls | {"taker_order_id": ~has_maker})


def _trades(history: History, _: "Asked") -> Iterator[pa.RecordBatch]:
    for moment in moments(history()):
        rows = moment.outcome.trades
        if rows.size:
            ids = [_u64(rows[name]) for name in ("buy_order_id", "sell_order_id")]
            columns = [
                rows["sequence"], rows["now_ns"], rows["instrument"], _u64(rows["trade_id"]), rows["price_ticks"],
                rows["quantity"], _signed(rows["aggressor"]), *ids, rows["buyer"], rows["seller"], rows["buyer_fee"],
                rows["seller_fee"],
            ]  # fmt: skip
            yield _batch(What.TRADES, columns, {})


def _batch(what: What, columns: list[Any], nulls: dict[str, type_of_rows]) -> pa.RecordBatch:
    """Columns as the table wants them, with nulls where a mask says so."""
    arrays = []
    for (name, kind), column in zip(_FIELDS[what], columns, strict=True):
        is_made = isinstance(column, pa.Array)
        given = column if is_made else np.ascontiguousarray(column)
        arrays.append(given if is_made else pa.array(given, kind, mask=nulls.get(name)))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(_FIELDS[what]))


def levels(exchange: Exchange, instrument: int, side: Side, depth: int = 0) -> list[tuple[int, list[tuple[int, int]]]]:
    """What a side shows, best first: price in ticks, and (order id, shown) by priority; 0 levels: all of them."""
    ladder, queue = exchange.path.desk.ladder, book_of.queue_index(instrument, side)
    found: list[tuple[int, list[tuple[int, int]]]] = []
    for level in book_of.levels_of(ladder, queue):
        if depth and len(found) == depth:
            break
        orders = [(int(order.order_id), int(order.shown)) for order in book_of.orders_at(ladder, level)]
        found.append((book_of.price_at(ladder.queues[queue], level), orders))
    return found


def _sides_changed(history: History, depth: int) -> Iterator[tuple[Moment, int, Side, list[Any]]]:
    """(moment, instrument, side, its levels) each time that a side shows something else."""
    shown: dict[tuple[int, Side], list[Any]] = {}
    for moment in moments(history(), one_by_one=True):
        is_control = moment.batch.rows["kind"][0] == CommandKind.CONTROL
        touched = range(1, len(moment.exchange.instruments) + 1) if is_control else moment.outcome.rows["instrument"]
        for instrument in sorted({int(number) for number in touched} - {0}):
            if instrument > len(moment.exchange.instruments):
                continue  # of a refusal
            for side in Side:
                now = levels(moment.exchange, instrument, side, depth)
                if now != shown.get((instrument, side), []):
                    shown[instrument, side] = now
                    yield moment, instrument, side, now


def _when(moment: Moment) -> tuple[int, int]:
    return int(moment.batch.rows["sequence"][0]), int(moment.batch.rows["now_ns"][0])


def _book_l1(history: History, _: "Asked") -> Iterator[Line]:
    best: dict[int, list[int | None]] = {}
    before: dict[int, list[int | None]] = {}
    pending: tuple[int, int, int] | None = None
    for moment, instrument, side, now in _sides_changed(history, 1):
        if pending is not None and pending != (*_when(moment), instrument):
            yield from _changed_best(pending, best, before)
        pending = (*_when(moment), instrument)
        quote = best.setdefault(instrument, [None] * 4)
        top = now[0] if now else None
        quote[2 * side : 2 * side + 2] = [top[0], sum(shown for _, shown in top[1])] if top else [None, None]
    if pending is not None:
        yield from _changed_best(pending, best, before)


def _changed_best(
    at: tuple[int, int, int], best: dict[int, list[int | None]], before: dict[int, list[int | None]]
) -> Iterator[Line]:
    if best[at[2]] != before.get(at[2]):
        before[at[2]] = [*best[at[2]]]
        yield (*at, *best[at[2]])


def _book_l2(history: History, asked: "Asked") -> Iterator[Line]:
    said: dict[tuple[int, Side], list[Any]] = {}
    for moment, instrument, side, now in _sides_changed(history, asked.depth):
        at = (*_when(moment), instrument, 1 if side == Side.BUY else -1)
        told_now = [(price, sum(shown for _, shown in orders), len(orders)) for price, orders in now]
        if told_now == said.get((instrument, side), []):
            continue  # another order, the same sums
        said[instrument, side] = told_now
        yield from ((*at, level, *one) for level, one in enumerate(told_now, 1))
        if not now:
            yield (*at, 0, None, 0, 0)


def _book_l3(history: History, asked: "Asked") -> Iterator[Line]:
    for moment, instrument, side, now in _sides_changed(history, asked.depth):
        at = (*_when(moment), instrument, 1 if side == Side.BUY else -1)
        for level, (price, orders) in enumerate(now, 1):
            yield from ((*at, level, place, price, shown, number) for place, (number, shown) in enumerate(orders, 1))
        if not now:
            yield (*at, 0, 0, None, 0, None)


def _bars(history: History, asked: "Asked") -> Iterator[Line]:
    exchange = Exchange()
    parts = [np.zeros(0, TRADE)]
    for moment in moments(history()):
        exchange = moment.exchange
        parts.append(moment.outcome.trades)
    trades, interval = joined(parts), asked.bar_seconds * NANOSECONDS
    starts = trades["now_ns"] // interval * interval
    order = np.lexsort((np.arange(trades.size), trades["instrument"], starts))
    trades, starts = trades[order], starts[order]
    is_new = (np.diff(starts, prepend=-1) != 0) | (np.diff(trades["instrument"].astype(int), prepend=-1) != 0)
    cuts = np.flatnonzero(is_new).tolist()
    for first, end in zip(cuts, [*cuts, trades.size][1:], strict=True):
        part = trades[first:end]
        prices, quantities, instrument = part["price_ticks"], part["quantity"], int(part["instrument"][0])
        fen_per_tick = int(exchange.path.desk.instruments[instrument].fen_per_tick)
        yield (
            int(starts[first]), interval, instrument, int(prices[0]), int(prices.max()), int(prices.min()),
            int(prices[-1]), int(quantities.sum()), int((prices * quantities).sum()) * fen_per_tick, part.size,
        )  # fmt: skip


def _auctions(history: History, _: "Asked") -> Iterator[Line]:
    for moment in moments(history()):
        for event in moment.outcome.events.values():
            for one in getattr(event, "auctions", ()):
                yield (*_when(moment), one.instrument, one.price_ticks, one.volume, one.imbalance)


def _ledger(history: History, _: "Asked") -> Iterator[Line]:
    before: Any = np.zeros((0, 0), holdings.BALANCE)
    txn = 0
    for moment in moments(history(), one_by_one=True):
        after = moment.exchange.path.desk.balances
        assets = moment.exchange.units.last_number + 1
        if before.shape != after.shape:  # there are more accounts or assets
            larger = np.zeros(after.shape, holdings.BALANCE)
            larger[: before.shape[0], : before.shape[1]] = before
            before = larger
        changed = _changed(before, after, moment)
        if not changed:
            continue
        txn += 1
        row = moment.batch.rows[0]
        code = _COMMANDS.get(int(row["kind"])) or _tag(moment.batch.details[0])
        events = moment.outcome.rows
        ref = int(events["order_id"][0]) if events.size and row["kind"] != CommandKind.CONTROL else None
        account_ids, codes = moment.exchange.account_ids, moment.exchange.asset_names
        for account, asset in changed:
            assert asset < assets, "a balance of an asset that there is not"
            was, now = before[account, asset], after[account, asset]
            posted = _settled(now)
            locked = sum(int(now[name]) for name in holdings.LOCKED)
            yield (
                *_when(moment), txn, account, account_ids[account], asset, codes[asset], posted - _settled(was), posted,
                *(int(now[name]) for name in ("reserved", "available", "incoming", "registry")), locked,
                int(now["unsettled"]), code, ref,
            )  # fmt: skip
            before[account, asset] = now


def _changed(before: Any, after: Any, moment: Moment) -> list[tuple[int, int]]:
    """(account, asset) of the balances that a command has changed; one of the trading path only those it names."""
    if moment.batch.rows["kind"][0] == CommandKind.CONTROL:
        accounts = np.arange(after.shape[0])
    else:
        events = moment.outcome.rows
        named = np.concatenate([moment.batch.rows["account"], events["account"], events["maker_account"]])
        accounts = np.unique(np.append(named[named < after.shape[0]], moment.exchange.house)).astype(np.int64)
    old, new = (np.ascontiguousarray(rows[accounts]).view(np.int64) for rows in (before, after))
    differ = (old != new).reshape(accounts.size, after.shape[1], -1).any(axis=2)
    return [(int(accounts[place]), int(asset)) for place, asset in zip(*np.nonzero(differ), strict=True)]


def _settled(balance: Any) -> int:
    return sum(int(balance[name]) for name in holdings.BUCKETS) - int(balance["unsettled"])


def _tag(detail: bytes) -> str:
    name = type(decode_control(detail)).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _serials(history: History, _: "Asked") -> Iterator[Line]:
    """A movement of a block that was split later is told once, for all the numbers that it moved."""
    exchange = exchange_of(history())
    found: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
    for unit in exchange.units:
        for block in exchange.serials.blocks_of(unit.number):
            for one in block.title:
                key = one.sequence, one.now_ns, unit.number, str(one.cause), one.giver, one.taker, one.reference
                ranges = found.setdefault(key, [])
                if ranges and ranges[-1][1] + 1 == block.first:
                    ranges[-1] = ranges[-1][0], block.last
                else:
                    ranges.append((block.first, block.last))
    for key in sorted(found):
        sequence, now_ns, number, cause, giver, taker, reference = key
        unit = exchange.units[number]
        for first, last in found[key]:
            yield sequence, now_ns, unit.code, cause, first, last, unit.vintage, giver, taker, reference


def _settlement(history: History, _: "Asked") -> Iterator[Line]:
    exchange = exchange_of(history())
    account_ids, codes = exchange.account_ids, exchange.asset_names
    for batch in exchange.clearing.batches:
        owed = exchange.positions(batch.settled)
        for account, asset in zip(*np.nonzero((owed.out != 0) | (owed.into != 0)), strict=True):
            amounts: list[type_of_column] = [owed.out, owed.into, owed.net]
            yield (
                batch.number, batch.day, str(batch.mode), str(batch.stage), int(account), account_ids[account],
                int(asset), codes[asset], *(int(one[account, asset]) for one in amounts),
            )  # fmt: skip


_IN_COLUMNS: dict[What, Callable[[History, "Asked"], Iterator[pa.RecordBatch]]] = {
    What.ORDERS: _orders, What.EVENTS: _events, What.TRADES: _trades,
}  # fmt: skip
_IN_LINES: dict[What, Callable[[History, "Asked"], Iterator[Line]]] = {
    What.BOOK_L1: _book_l1, What.BOOK_L2: _book_l2, What.BOOK_L3: _book_l3, What.BARS: _bars,
    What.AUCTIONS: _auctions, What.LEDGER: _ledger, What.SERIALS: _serials, What.SETTLEMENT: _settlement,
}  # fmt: skip


# ---------------------------------------------------------------- writing


class Asked(NamedTuple):
    """What may be chosen of a table."""

    depth: int = 10  # levels of a book; 0: all
    bar_seconds: int = 300


USUAL = Asked()


def schema_of(what: What, exchange: Exchange, asked: Asked) -> pa.Schema:
    """The columns of a table of this exchange, with units and codes, and where it comes from."""
    fields = []
    for name, kind in _FIELDS[what]:
        said = {}
        if name in _UNITS:
            said["unit"] = _UNITS[name]
        elif name.endswith("_ticks"):
            said["unit"] = "ticks per tCO2e"
        elif name in _AMOUNTS:
            said["unit"] = "fen of a currency, tCO2e of a unit"
        if name in _CODES and not (name == "flags" and what == What.EVENTS):
            said["codes"] = json.dumps(_CODES[name])
        if name == "flags" and what == What.EVENTS:
            said["codes"] = json.dumps({1: "priority kept", 2: "priority lost"})
        fields.append(pa.field(name, kind, metadata=said))
    rules = exchange.market
    told_of = {
        "schema_version": SCHEMA_VERSION,
        "what": what,
        "engine_version": metadata.version("carbonex"),
        "rules": rules.name,
        "currency": rules.currency,
        "tick": rules.tick,
        "lot": rules.lot,
        "depth": asked.depth,
        "last_seq": exchange.sequence,
        "state": exchange.digest(),
        "instruments": {one.number: {"symbol": one.symbol, "tick": str(one.tick)} for one in exchange.instruments},
    }
    return pa.schema(fields, {f"carbonex.{key}": _text(value) for key, value in told_of.items()})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def tables(journal: Path | History, what: What, asked: Asked = USUAL) -> Iterator[pa.RecordBatch]:
    """A table in parts. JournalError if the journal can't be read."""
    history = _history(journal)
    if what in _IN_COLUMNS:
        yield from _IN_COLUMNS[what](history, asked)
        return
    lines: list[Line] = []
    for line in _IN_LINES[what](history, asked):
        lines.append(line)
        if len(lines) == ROWS_AT_ONCE:
            yield _from_lines(what, lines)
            lines = []
    if lines:
        yield _from_lines(what, lines)


def _history(journal: Path | History) -> History:
    return History.of(journal) if isinstance(journal, Path) else journal


def _from_lines(what: What, lines: list[Line]) -> pa.RecordBatch:
    columns = zip(*lines, strict=True)
    arrays = [
        pa.array(column, pa.string()).dictionary_encode() if kind == _WORD else pa.array(column, kind)
        for (_, kind), column in zip(_FIELDS[what], columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(_FIELDS[what]))


def export(journal: Path | History, what: What, out: Path, asked: Asked = USUAL, overwrite: bool = False) -> int:
    """Write a table of a journal, or a part of it, to a .parquet or .arrow file, whole or not at all; returns its rows.

    ExportError if the file exists or can't be written, JournalError if the journal can't be read.
    """
    if out.suffix not in (".parquet", ".arrow"):
        raise ExportError(f"{out}: a table is written to a .parquet or .arrow file")
    if out.exists() and not overwrite:
        raise ExportError(f"{out} exists; --force overwrites it")
    exchange = exchange_of(_history(journal)())
    if exchange.rules is None:
        raise ExportError("the journal holds nothing: no exchange has been founded in it")
    schema = schema_of(what, exchange, asked)
    written = 0
    try:
        with whole_file(out) as beside:
            writer: Any = (
                pyarrow.parquet.ParquetWriter(beside, schema, compression="zstd")
                if out.suffix == ".parquet"
                else pa.ipc.new_file(
                    str(beside), schema, options=pa.ipc.IpcWriteOptions(compression="zstd", unify_dictionaries=True)
                )
            )
            with writer:
                for part in tables(journal, what, asked):
                    writer.write_batch(pa.RecordBatch.from_arrays(part.columns, schema=schema))
                    written += part.num_rows
    except OSError as error:
        raise ExportError(f"{out}: {error}") from error
    return written
