"""Order-flow files in parts of bounded size, in and out: CSV with a header, Parquet, or `.npy` of command rows.

The columns are those of :mod:`exchange.flow_files`, which reads a file whole. Here the first cell that is no number is
named by its row and column. What can be read but makes no sense (a side that is neither, a quantity of none, the
reference of an order that rests already) is for the book to refuse; :func:`first_refused` plays the flow and says
which row that is.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from exchange.flow import FlowPlayer, new_events
from exchange.flow_files import CODES, NUMBERS, FlowFileError, rows_of_array, rows_of_table, words_of
from exchange.reasons import Reason
from exchange.research.messages import FormatError
from exchange.rows import COMMAND, CommandKind, EventKind, type_of_rows

ROWS_AT_ONCE = 1 << 16
SUFFIXES = (".csv", ".parquet", ".npy")
CANCEL = int(CommandKind.CANCEL_ORDER)
_COLUMN_OF = {
    Reason.UNKNOWN_COMMAND: "op",
    Reason.INVALID_SIDE: "side",
    Reason.INVALID_TIME_IN_FORCE: "time_in_force",
    Reason.QUANTITY_NOT_POSITIVE: "quantity",
    Reason.AMOUNT_TOO_LARGE: "quantity",
    Reason.PRICE_NOT_POSITIVE: "price_ticks",
    Reason.PRICE_OUT_OF_RANGE: "price_ticks",
    Reason.ORDER_EXISTS: "ref",
}
FLOW_COLUMNS = {
    "op": pa.string(),
    "ref": pa.uint64(),
    "side": pa.string(),
    "price_ticks": pa.int64(),
    "quantity": pa.int64(),
    "time_in_force": pa.string(),
    "ts_ns": pa.int64(),
}


# ---------------------------------------------------------------- in


def read(file: Path) -> Iterator[type_of_rows]:
    """The COMMAND rows of a flow file, in parts; `sequence` counts from 0. FormatError at the first fault."""
    begun, before_ns = 0, 0
    try:
        for rows in _PARTS[file.suffix](file):
            times = rows["now_ns"]
            earlier = np.flatnonzero(np.diff(times, prepend=before_ns) < 0)
            if earlier.size:
                raise FormatError(
                    file, row_of(file, begun + int(earlier[0])), "ts_ns", "is earlier than the row before"
                )
            rows["sequence"] += begun
            begun += rows.size
            before_ns = int(times[-1]) if rows.size else before_ns
            yield rows
    except FlowFileError as error:
        raise FormatError(file, 0, 0, str(error).removeprefix(f"{file}: ")) from error
    except (OSError, pa.ArrowInvalid, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(file, 0, 0, f"can't be read: {error}") from error
    if begun == 0:
        raise FormatError(file, 0, 0, "there are no messages")


def row_of(file: Path, index: int) -> int:
    """The row of a message, as one counts in the file: the header of a CSV file is its first."""
    return index + (2 if file.suffix == ".csv" else 1)


def first_refused(file: Path) -> FormatError | None:
    """What is wrong with the first row that the book refuses, if there is one. FormatError as :func:`read`."""
    player = FlowPlayer()
    for rows in read(file):
        for events in player.play(rows, new_events()):
            refused = np.flatnonzero(events["kind"] == EventKind.REFUSED)
            if refused.size:
                event = events[refused[0]]
                reason = Reason(int(event["reason"]))
                row = row_of(file, int(event["sequence"]))
                return FormatError(file, row, _COLUMN_OF.get(reason, 0), f"is refused: {reason.code}")
    return None


def _csv_parts(file: Path) -> Iterator[type_of_rows]:
    with file.open("rb") as lines:
        header = lines.readline().decode("utf-8", "replace")
    if header.startswith("\ufeff"):
        raise FormatError(file, 1, 1, "a byte order mark: the file was saved by a spreadsheet or editor")
    names = [name.strip().strip('"') for name in header.split(",")]
    bad: list[FormatError] = []

    def ragged(row: Any) -> str:
        bad.append(
            FormatError(file, 0, 0, f"{row.actual_columns} columns instead of {row.expected_columns}: {row.text}")
        )
        return "error"

    types = dict.fromkeys(names, pa.string())
    try:
        reader = pyarrow.csv.open_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(block_size=1 << 22),
            parse_options=pyarrow.csv.ParseOptions(invalid_row_handler=ragged),
            convert_options=pyarrow.csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True),
        )
        begun = 0
        for batch in reader:
            yield rows_of_table(_numbers(file, pa.Table.from_batches([batch]), begun), file)
            begun += batch.num_rows
    except pa.ArrowInvalid as error:
        if bad:
            row = _line_with(file, len(names))
            raise FormatError(file, row, 0, bad[0].fault) from error
        raise


def _line_with(file: Path, columns: int) -> int:
    """The first line that has not so many columns."""
    with file.open("rb") as lines:
        return next((row for row, line in enumerate(lines, 1) if line.strip() and line.count(b",") + 1 != columns), 0)


def _numbers(file: Path, table: pa.Table, begun: int) -> pa.Table:
    """The table with numbers where there should be some. FormatError for the first cell that is none."""
    wrong: list[tuple[int, str, str]] = []
    for name, kind in NUMBERS.items():
        if name not in table.column_names:
            continue
        try:
            numbers = table[name].cast(kind)
        except pa.ArrowInvalid:
            for index, text in enumerate(table[name].to_pylist()):
                if not _is_number(text, kind):
                    wrong.append((index, name, text))
                    break
            continue
        table = table.set_column(table.column_names.index(name), name, numbers)
    if wrong:
        index, name, text = min(wrong)
        raise FormatError(file, row_of(file, begun + index), name, f"{text!r} is not a number of type {NUMBERS[name]}")
    return table


def _is_number(text: str | None, kind: pa.DataType) -> bool:
    try:
        pa.scalar(text).cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _parquet_parts(file: Path) -> Iterator[type_of_rows]:
    with pyarrow.parquet.ParquetFile(file) as source:
        for batch in source.iter_batches(ROWS_AT_ONCE):
            yield rows_of_table(pa.Table.from_batches([batch]), file)


def _npy_parts(file: Path) -> Iterator[type_of_rows]:
    loaded = np.load(file, mmap_mode="r", allow_pickle=False)
    if loaded.ndim != 1:
        raise FormatError(file, 0, 0, "not an array of rows with named fields")
    edges = [*range(0, loaded.size, ROWS_AT_ONCE), loaded.size]
    for start, end in pairwise(edges):
        yield rows_of_array(np.array(loaded[start:end]), file)


_PARTS: dict[str, Callable[[Path], Iterator[type_of_rows]]] = {
    ".csv": _csv_parts,
    ".parquet": _parquet_parts,
    ".npy": _npy_parts,
}


# ---------------------------------------------------------------- out


def write(file: BinaryIO, suffix: str, parts: Iterable[type_of_rows], about: dict[str, str]) -> int:
    """Write COMMAND rows as a flow file of a format; returns how many. `about` is kept in Parquet's metadata."""
    if suffix == ".npy":
        return _write_npy(file, parts)
    schema = pa.schema(list(FLOW_COLUMNS.items()), metadata=about)
    writer: Any = (
        pyarrow.csv.CSVWriter(
            file, schema, write_options=pyarrow.csv.WriteOptions(quoting_style="none", quoting_header="none")
        )
        if suffix == ".csv"
        else pyarrow.parquet.ParquetWriter(file, schema, compression="zstd")
    )
    written = 0
    with writer:
        for rows in parts:
            writer.write_table(_table(rows, schema))
            written += rows.size
    return written


def _table(rows: type_of_rows, schema: pa.Schema) -> pa.Table:
    cancels = rows["kind"] == CANCEL
    words = {name: {code: word for word, code in codes.items()} for name, codes in CODES.items()}
    columns = [
        words_of(rows["kind"], words["op"]),
        pa.array(np.ascontiguousarray(rows["order_id"]).view(np.uint64)),
        words_of(rows["side"], words["side"]),
        pa.array(np.ascontiguousarray(rows["price_ticks"]), mask=cancels),
        pa.array(np.ascontiguousarray(rows["quantity"]), mask=cancels),
        words_of(rows["time_in_force"], words["time_in_force"]),
        pa.array(np.ascontiguousarray(rows["now_ns"])),
    ]
    for place in (2, 5):  # a cancel names its order and nothing else
        columns[place] = pc.if_else(pa.array(~cancels), columns[place], None)
    return pa.table(columns, schema=schema)


def _write_npy(file: BinaryIO, parts: Iterable[type_of_rows]) -> int:
    """NumPy leaves room in the header for the number of rows, which is known at the end."""

    def head(rows: int) -> None:
        file.seek(0)
        described = {"descr": np.lib.format.dtype_to_descr(COMMAND), "fortran_order": False, "shape": (rows,)}
        np.lib.format.write_array_header_1_0(file, described)

    head(0)
    written = 0
    for rows in parts:
        file.write(rows.tobytes())
        written += rows.size
    head(written)
    return written
