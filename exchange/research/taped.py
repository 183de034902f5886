"""Where a tape comes from: an order flow, which is matched; a file of events; a journal of this exchange."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from exchange.flow_files import EVENT_SCHEMA, FlowFileError, read_flow
from exchange.journal import read_blocks
from exchange.reasons import Reason
from exchange.research.counterfactual import digest, played
from exchange.research.tape import Tape
from exchange.rows import EVENT, EventKind, joined, type_of_rows
from matching.orders import OrderType, Side

Facts = list[tuple[str, str]]
Loader = Callable[[Literal["trading", "flow", "title"]], None]


class TapedError(ValueError):
    """A source that holds no market's events; says why."""


def taped(source: Path, symbol: str, load: Loader) -> tuple[str, Facts, Tape]:
    """Title, facts and tape of a source. FlowFileError, TapedError or JournalError if it can't be read.

    `load` is asked to load the loops that are needed.
    """
    if source.suffix not in (".parquet", ".csv", ".npy"):
        next(read_blocks(source), None)  # refuses what is no journal before anything is compiled
        load("trading")
        return _of_journal(source, symbol)
    if _holds_events(source):
        events = read_events(source)
        load("flow")
        return f"Events of {source.name}", [("mode", "as the events say"), ("events", f"{events.size:,}")], Tape(events)
    rows = read_flow(source)
    rows["sequence"] = np.arange(rows.size)
    load("flow")
    tape = Tape(played(rows), rows["now_ns"] if rows["now_ns"].any() else None)
    facts = [("mode", "re-matched"), ("messages", f"{rows.size:,}"), ("SHA-256 of the flow", digest(rows))]
    return f"Order flow {source.name}", facts, tape


# ---------------------------------------------------------------- events


def _holds_events(path: Path) -> bool:
    """Whether a file is of events rather than of order flow, by its columns."""
    try:
        if path.suffix == ".npy":
            return bool(np.load(path, mmap_mode="r", allow_pickle=False).dtype == EVENT)
        if path.suffix == ".parquet":
            return "event" in pyarrow.parquet.read_schema(path).names
        with path.open(encoding="utf-8-sig") as file:
            return "event" in file.readline().replace('"', "").strip().split(",")
    except (OSError, ValueError) as error:
        raise FlowFileError(f"{path}: {error}") from error


def read_events(path: Path) -> type_of_rows:
    """The event rows of an event file. FlowFileError if malformed.

    What such a file does not tell (who owned an order, a maker's leaves) is 0.
    """
    try:
        if path.suffix == ".npy":
            loaded: type_of_rows = np.load(path, allow_pickle=False)
            return loaded
        if path.suffix == ".csv":
            types = {field.name: field.type for field in EVENT_SCHEMA}
            convert = pyarrow.csv.ConvertOptions(column_types=types)
            table = pyarrow.csv.read_csv(path, convert_options=convert)
        else:
            table = pyarrow.parquet.read_table(path)
    except (OSError, ValueError) as error:
        raise FlowFileError(f"{path}: {error}") from error
    for field in EVENT_SCHEMA:
        if field.name not in table.column_names and field.name not in ("maker_ref", "reason"):
            raise FlowFileError(f"{path}: column {field.name!r} is missing; there are {', '.join(table.column_names)}")
    events = np.zeros(table.num_rows, EVENT)
    for column, name in (("seq", "sequence"), ("price_ticks", "price_ticks"), ("quantity", "quantity"),
                         ("leaves", "leaves"), ("ref", "order_id"), ("maker_ref", "maker_order_id")):  # fmt: skip
        if column in table.column_names:
            values = pc.fill_null(table[column], 0).to_numpy()
            events[name] = values.view(np.int64) if values.dtype == np.uint64 else values
    events["kind"] = _numbers(table["event"], {kind.label: int(kind) for kind in EventKind}, path)
    events["side"] = _numbers(table["side"], {"buy": int(Side.BUY), "sell": int(Side.SELL)}, path, missing=0)
    if "reason" in table.column_names:
        events["reason"] = _numbers(table["reason"], {one.code: int(one) for one in Reason}, path, missing=0)
    if (np.diff(events["sequence"]) < 0).any():
        row = int(np.flatnonzero(np.diff(events["sequence"]) < 0)[0]) + 2
        raise FlowFileError(f"{path}: row {row}: seq is less than that of the row before")
    return events


def _numbers(column: Any, words: dict[str, int], path: Path, missing: int | None = None) -> Any:
    """Words as their numbers. FlowFileError at the first that is none."""
    found = pc.index_in(column.cast(pa.string()), value_set=pa.array([*words]))
    unknown = pc.is_null(found)
    if missing is not None:
        unknown = pc.and_(unknown, pc.not_equal(pc.fill_null(column.cast(pa.string()), ""), ""))
    at = pc.index(unknown, True).as_py()
    if at >= 0:
        raise FlowFileError(f"{path}: row {at + 1}: {column[at].as_py()!r} is none of {', '.join(words)}")
    numbers = np.array([*words.values(), missing or 0])
    return numbers[pc.fill_null(found, len(words)).to_numpy()]


# ---------------------------------------------------------------- journals


def _of_journal(path: Path, symbol: str) -> tuple[str, Facts, Tape]:
    """What an instrument's orders did, by applying the journal anew. Stops count from when a trade reached them."""
    from exchange.engine import recorded
    from exchange.state import Exchange
    from exchange.transition import apply

    exchange = Exchange()
    parts: list[type_of_rows] = [np.zeros(0, EVENT)]
    stops, times, sequences = ([np.zeros(0, np.int64)] for _ in range(3))
    for batch in recorded(path):
        parts.append(apply(exchange, batch).rows)
        rows = batch.rows
        waits = np.isin(rows["order_type"], [OrderType.STOP, OrderType.STOP_LIMIT])
        stops.append(rows["sequence"][waits])
        times.append(rows["now_ns"])
        sequences.append(rows["sequence"])
    symbols = {instrument.symbol: instrument.number for instrument in exchange.instruments}
    if not symbol and len(symbols) == 1:
        (symbol,) = symbols
    if symbol not in symbols:
        raise TapedError(f"{path}: give --symbol, one of {', '.join(symbols)}")
    events = joined(parts)
    of_it = events["instrument"] == symbols[symbol]
    # A mass cancel in all instruments ends with an event of none; it belongs to whatever it has cancelled.
    is_end = (events["kind"] == EventKind.ORDERS_CANCELLED) & np.isin(events["sequence"], events["sequence"][of_it])
    events = events[of_it | is_end]
    waiting = np.isin(events["sequence"], np.concatenate(stops)) & (events["kind"] == EventKind.ACCEPTED)
    events = events[~waiting]
    came = np.unique(events["sequence"])
    clock = np.concatenate(times)[np.searchsorted(np.concatenate(sequences), came)]
    facts = [("mode", "the journal applied anew"), ("last command", f"{exchange.sequence:,}")]
    return f"{symbol} in {path.name}", facts, Tape(events, clock)
