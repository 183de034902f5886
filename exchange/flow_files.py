"""Order-flow files in, event files out: Parquet, CSV with a header, or `.npy` of the rows.

A flow has the columns ``op`` (new, cancel, amend), ``ref``, ``side`` (buy, sell), ``price_ticks``,
``quantity``, and where they matter ``time_in_force`` (GTC, DAY, IOC, FOK; GTC if left out), ``account``
and ``ts_ns``; one row a message, in time order. An `.npy` file may hold these as numbers (op, side and
time in force in the order just given, from 0) or be command rows already. What can't be read as numbers
is an error of the file; what makes no sense is a row that the exchange refuses.

Apache Arrow reads and writes the files: the library of its field, whose types do not round a 64-bit
reference.
"""

from collections.abc import Iterable
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from exchange.outputs import whole_file
from exchange.reasons import Reason
from exchange.rows import COMMAND, EVENT, CommandKind, EventKind, joined, type_of_rows
from matching.orders import Side, TimeInForce

_OPS: dict[str, int] = {
    "new": CommandKind.PLACE_ORDER,
    "cancel": CommandKind.CANCEL_ORDER,
    "amend": CommandKind.AMEND_ORDER,
}
_SIDES: dict[str, int] = {"buy": Side.BUY, "sell": Side.SELL}
_TIMES: dict[str, int] = {time.name: time for time in TimeInForce}
_NONSENSE = 255  # a code that the exchange refuses
REQUIRED = ("op", "ref")
NUMBERS = {
    "ref": pa.uint64(),
    "price_ticks": pa.int64(),
    "quantity": pa.int64(),
    "account": pa.uint32(),
    "ts_ns": pa.int64(),
}
CODES: dict[str, dict[str, int]] = {"op": _OPS, "side": _SIDES, "time_in_force": _TIMES}

EVENT_SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("event", pa.string()),
        ("ref", pa.uint64()),
        ("maker_ref", pa.uint64()),
        ("side", pa.string()),
        ("price_ticks", pa.int64()),
        ("quantity", pa.int64()),
        ("leaves", pa.int64()),
        ("reason", pa.string()),
    ]
)


class FlowFileError(ValueError):
    """A flow or event file that can't be read or written; says which, where and why."""


# ---------------------------------------------------------------- in


# What NumPy raises besides for the header of an array, which it reads as Python would.
_OF_A_HEADER = (EOFError, MemoryError, SyntaxError, TokenError, TypeError)


def read_flow(path: Path) -> type_of_rows:
    """The command rows (messages,) of a flow file; `sequence` is the row's index. FlowFileError if malformed."""
    try:
        if path.suffix == ".npy":
            return rows_of_array(np.load(path, allow_pickle=False), path)
        if path.suffix == ".csv":
            types: dict[str, pa.DataType] = {**NUMBERS, **dict.fromkeys(CODES, pa.string())}
            convert = pyarrow.csv.ConvertOptions(column_types=types)
            return rows_of_table(pyarrow.csv.read_csv(path, convert_options=convert), path)
        if path.suffix == ".parquet":
            return rows_of_table(pyarrow.parquet.read_table(path), path)
    except (OSError, ValueError, *_OF_A_HEADER) as error:  # Arrow's errors are ValueErrors
        if isinstance(error, FlowFileError):
            raise
        raise FlowFileError(f"{path}: {error}") from error
    raise FlowFileError(f"{path}: a flow is a .parquet, .csv or .npy file")


def rows_of_table(table: pa.Table, path: Path) -> type_of_rows:
    """The command rows of a table of flow columns. FlowFileError if one that is needed is missing."""
    for name in REQUIRED:
        if name not in table.column_names:
            raise FlowFileError(f"{path}: column {name!r} is missing; there are {', '.join(table.column_names)}")
    for name in (*NUMBERS, *CODES):
        if table.column_names.count(name) > 1:
            raise FlowFileError(f"{path}: there is more than one column {name!r}")
    columns: dict[str, Any] = {}
    for name, kind in NUMBERS.items():
        if name in table.column_names:
            columns[name] = pc.fill_null(table[name].cast(kind), 0).to_numpy()
    for name, codes in CODES.items():
        if name in table.column_names:
            columns[name] = _codes(table[name], codes)
    return _rows(columns, table.num_rows)


def _codes(column: pa.ChunkedArray, codes: dict[str, int]) -> type_of_rows:
    """Words, or their places in the list of words, as codes; what is neither is nonsense, nothing is the first."""
    places = np.array([*codes.values(), _NONSENSE], np.uint8)
    if pa.types.is_integer(column.type):
        found = pc.fill_null(column, 0).to_numpy()
    else:
        words = pc.index_in(column.cast(pa.string()), value_set=pa.array([*codes]))
        missing = pc.or_(pc.is_null(column), pc.equal(pc.fill_null(column.cast(pa.string()), ""), ""))
        found = pc.if_else(missing, 0, pc.fill_null(words, len(codes))).to_numpy()
    return places[np.where((found >= 0) & (found < len(codes)), found, len(codes))]


def rows_of_array(loaded: type_of_rows, path: Path) -> type_of_rows:
    """The command rows of an array of rows. FlowFileError if it has no such fields."""
    if loaded.dtype.names is None or loaded.ndim != 1:
        raise FlowFileError(f"{path}: not an array of rows with named fields")
    if {"kind", "order_id"} <= set(loaded.dtype.names):
        rows = np.zeros(loaded.size, COMMAND)
        for name in set(COMMAND.names or ()) & set(loaded.dtype.names):
            rows[name] = loaded[name]
        rows["sequence"] = np.arange(rows.size)
        return rows
    for name in REQUIRED:
        if name not in loaded.dtype.names:
            raise FlowFileError(f"{path}: field {name!r} is missing; there are {', '.join(loaded.dtype.names)}")
    columns = {name: loaded[name] for name in NUMBERS if name in loaded.dtype.names}
    for name, codes in CODES.items():
        if name in loaded.dtype.names:
            columns[name] = _codes(pa.chunked_array([pa.array(loaded[name])]), codes)
    return _rows(columns, loaded.size)


def _rows(columns: dict[str, Any], messages: int) -> type_of_rows:
    rows = np.zeros(messages, COMMAND)
    rows["sequence"] = np.arange(messages)
    rows["kind"] = columns["op"]
    rows["order_id"] = columns["ref"].astype(np.uint64).view(np.int64)
    for field, column in (("side", "side"), ("price_ticks", "price_ticks"), ("quantity", "quantity"),
                          ("time_in_force", "time_in_force"), ("account", "account"), ("now_ns", "ts_ns")):  # fmt: skip
        if column in columns:
            rows[field] = columns[column]
    return rows


# ---------------------------------------------------------------- out


def write_events(path: Path, parts: Iterable[type_of_rows], overwrite: bool = False) -> int:
    """Write event rows; returns how many. FlowFileError if the file exists or can't be written.

    The file appears whole or not at all.
    """
    if path.exists() and not overwrite:
        raise FlowFileError(f"{path} exists; --force overwrites it")
    if path.suffix not in (".parquet", ".csv", ".npy"):
        raise FlowFileError(f"{path}: events are written to a .parquet, .csv or .npy file")
    written = 0
    try:
        with whole_file(path) as beside:
            if path.suffix == ".npy":
                kept = [part.copy() for part in parts]
                events = joined([np.zeros(0, EVENT), *kept])
                with beside.open("wb") as file:
                    np.save(file, events, allow_pickle=False)
                return events.size
            writer: Any = (
                pyarrow.csv.CSVWriter(beside, EVENT_SCHEMA)
                if path.suffix == ".csv"
                else pyarrow.parquet.ParquetWriter(beside, EVENT_SCHEMA, compression="zstd")
            )
            with writer:
                for part in parts:
                    writer.write_table(events_table(part))
                    written += part.size
    except OSError as error:
        raise FlowFileError(f"{path}: {error}") from error
    return written


def events_table(events: type_of_rows) -> pa.Table:
    """Event rows as a table of `EVENT_SCHEMA`; what an event does not have is null."""
    kind, reason = events["kind"], events["reason"]
    traded = kind == EventKind.TRADED
    about_nothing = (kind == EventKind.CANCEL_REFUSED) | (kind == EventKind.AMEND_REFUSED)
    return pa.table(
        [
            pa.array(events["sequence"]),
            words_of(kind, {int(one): one.label for one in EventKind}),
            pa.array(np.ascontiguousarray(events["order_id"]).view(np.uint64)),
            pa.array(np.ascontiguousarray(events["maker_order_id"]).view(np.uint64), mask=~traded),
            words_of(events["side"], {int(side): word for word, side in _SIDES.items()}),
            pa.array(events["price_ticks"], mask=about_nothing),
            pa.array(events["quantity"], mask=about_nothing),
            pa.array(events["leaves"], mask=about_nothing),
            words_of(reason, {int(one): one.code for one in Reason if one != Reason.NONE}),
        ],
        schema=EVENT_SCHEMA,
    )


def words_of(numbers: type_of_rows, words: dict[int, str]) -> pa.Array:
    """Numbers as words; a number without a word is null."""
    found = [words.get(number) for number in range(256)]
    return pa.DictionaryArray.from_arrays(pa.array(numbers), pa.array(found, pa.string())).cast(pa.string())
