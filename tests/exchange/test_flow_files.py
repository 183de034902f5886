"""Flow files in three formats, event files in three formats, and what is wrong with a file."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from exchange.flow import FlowPlayer, new_events
from exchange.flow_files import EVENT_SCHEMA, FlowFileError, read_flow, write_events
from exchange.rows import COMMAND, EVENT

CSV = """op,ref,side,price_ticks,quantity,time_in_force
new,18446744073709551615,sell,4200,100,GTC
new,17,buy,4210,30,IOC
cancel,5,,,,
amend,18446744073709551615,sell,4190,60,
new,18,hold,4200,1,GTC
"""
EVENTS = [
    (0, "accepted", 2**64 - 1, None, "sell", 4200, 100, 100, None),
    (1, "accepted", 17, None, "buy", 4210, 30, 30, None),
    (1, "traded", 17, 2**64 - 1, "buy", 4200, 30, 0, None),
    (2, "cancel_refused", 5, None, "buy", None, None, None, "unknown_order"),
    (3, "amended", 2**64 - 1, None, "sell", 4190, 60, 60, None),
    (4, "refused", 18, None, None, 4200, 1, 0, "invalid_side"),
]


@pytest.fixture
def flow(tmp_path):
    path = tmp_path / "flow.csv"
    path.write_text(CSV)
    return path


def parquet_of(path):
    table = pyarrow.csv.read_csv(path, convert_options=pyarrow.csv.ConvertOptions(column_types={"ref": pa.uint64()}))
    made = path.with_suffix(".parquet")
    pyarrow.parquet.write_table(table, made)
    return made


def numbers_of(path):
    rows = np.zeros(
        5,
        [
            ("op", "u1"),
            ("ref", "u8"),
            ("side", "u1"),
            ("price_ticks", "i8"),
            ("quantity", "i8"),
            ("time_in_force", "u1"),
        ],
    )
    rows["op"] = [0, 0, 1, 2, 0]
    rows["ref"] = [2**64 - 1, 17, 5, 2**64 - 1, 18]
    rows["side"] = [1, 0, 0, 1, 7]
    rows["price_ticks"], rows["quantity"] = [4200, 4210, 0, 4190, 4200], [100, 30, 0, 60, 1]
    rows["time_in_force"] = [0, 2, 0, 0, 0]
    made = path.with_suffix(".npy")
    np.save(made, rows)
    return made


def command_rows_of(path):
    made = path.with_name("commands.npy")
    np.save(made, read_flow(path))
    return made


def played(path):
    return FlowPlayer().play(read_flow(path), new_events())


@pytest.mark.parametrize("made", [lambda path: path, parquet_of, numbers_of, command_rows_of])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_flow_of_any_format_gives_the_same_events_in_any_format(flow, tmp_path, made, suffix):
    out = tmp_path / f"events{suffix}"
    assert write_events(out, played(made(flow))) == len(EVENTS)
    if suffix == ".csv":
        types = {field.name: field.type for field in EVENT_SCHEMA}
        options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True)
        table = pyarrow.csv.read_csv(out, convert_options=options)
    else:
        table = pyarrow.parquet.read_table(out)
    assert table.column_names == EVENT_SCHEMA.names
    assert [tuple(row.values()) for row in table.to_pylist()] == EVENTS


def test_events_as_rows(flow, tmp_path):
    out = tmp_path / "events.npy"
    write_events(out, played(flow))
    rows = np.load(out)
    assert rows.dtype == EVENT and rows.size == len(EVENTS)


def test_a_flow_without_the_optional_columns_is_good_till_cancelled(tmp_path):
    path = tmp_path / "flow.csv"
    path.write_text("op,ref,side,price_ticks,quantity\nnew,1,buy,42,10\ncancel,1,buy,0,0\n")
    rows = read_flow(path)
    assert rows.dtype == COMMAND and rows["time_in_force"].tolist() == [0, 0]
    assert [event["event"] for event in as_dicts(path, tmp_path)] == ["accepted", "cancelled"]


def as_dicts(path, tmp_path):
    out = tmp_path / "out.parquet"
    write_events(out, played(path), overwrite=True)
    return pyarrow.parquet.read_table(out).to_pylist()


def test_an_empty_flow_leads_to_an_empty_file(tmp_path):
    path = tmp_path / "flow.csv"
    path.write_text("op,ref,side,price_ticks,quantity\n")
    assert as_dicts(path, tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("flow.csv", "ref,side\n1,buy\n", "column 'op' is missing"),
        ("flow.csv", "op,ref,quantity\nnew,1,1.5\n", "1.5"),
        ("flow.csv", "op,ref,quantity\nnew,x,1\n", "'x'"),
        ("flow.csv", "op,ref\nnew,1,2\n", "Expected 2 columns, got 3"),
        ("flow.csv", "", "Empty CSV file"),
        ("flow.parquet", "not parquet", "Parquet"),
        ("flow.npy", "not numpy", "pickle"),
        ("flow.txt", CSV, ".parquet, .csv or .npy"),
    ],
)
def test_a_file_that_is_no_flow_is_named_with_the_reason(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(FlowFileError) as error:
        read_flow(path)
    assert str(path) in str(error.value) and said in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FlowFileError, match=r"none\.csv"):
        read_flow(tmp_path / "none.csv")


def test_an_event_file_is_not_overwritten_unasked_and_never_half_written(flow, tmp_path):
    out = tmp_path / "events.csv"
    out.write_text("mine")
    with pytest.raises(FlowFileError, match="--force"):
        write_events(out, played(flow))
    assert out.read_text() == "mine"

    def broken():
        yield from played(flow)
        raise OSError("disk full")

    with pytest.raises(FlowFileError, match="disk full"):
        write_events(out, broken(), overwrite=True)
    assert out.read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir() if "unfinished" in file.name] == []
