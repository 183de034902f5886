"""Databento's market by order: records made by the vendor's own library, and what is wrong with some."""

from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest

from exchange.research import mbo
from exchange.research.messages import FormatError, MessageType
from exchange.research.rematched import replay_rematched
from exchange.rows import joined
from matching.orders import Side
from tests.exchange.research.samples import flow, same

dbn = pytest.importorskip("databento_dbn", reason="needs the extra dbn")

NOON = 1_767_600_000_000_000_000
NEW, CANCEL, DELETE, EXECUTED, HIDDEN = map(int, [*MessageType][:5])
BUY, SELL = int(Side.BUY), int(Side.SELL)
LAST, SNAPSHOT, BY_PRICE = 128, 32, 16


def record(action, order=0, side="B", size=0, price=0, *, at=0, flags=LAST, instrument=7):
    """A record; the price in ten thousandths."""
    what = next(one for one in dbn.Action.variants() if one.value == action)
    which = next(one for one in dbn.Side.variants() if one.value == side)
    return bytes(
        dbn.MBOMsg(
            1, instrument, NOON + at, order, price * 100_000, size, what, which, NOON + at, flags=flags, channel_id=0
        )
    )


def metadata(schema="mbo"):
    """As the head of a file."""
    days = {"start_date": date(2026, 1, 5), "end_date": date(2026, 1, 6)}
    mapping = SimpleNamespace(raw_symbol="HB", intervals=[SimpleNamespace(**days, symbol="7")])
    made = dbn.Metadata("XNAS.ITCH", NOON, dbn.SType.RAW_SYMBOL, dbn.SType.INSTRUMENT_ID, _schema(schema), ["HB"],
                        [], [], [mapping])  # fmt: skip
    return bytes(made)


def _schema(name):
    return next(one for one in dbn.Schema.variants() if str(one) == name)


def written(folder, *records, schema="mbo", name="day.dbn"):
    file = folder / name
    file.write_bytes(metadata(schema) + b"".join(records))
    return file


def read(file, symbol="", **options):
    return joined([*mbo.read(file, symbol, **options)])


def told(rows):
    names = ("kind", "order_id", "side", "price", "quantity", "leaves")
    return [*zip(*(rows[name].tolist() for name in names), strict=True)]


def test_fills_change_the_book_by_the_cancel_or_modification_behind_them(tmp_path):
    file = written(
        tmp_path,
        record("R", side="N"),
        record("A", 1, "B", 100, 1_000_000, flags=SNAPSHOT | LAST),
        record("A", 2, "B", 60, 1_000_000),
        record("A", 3, "A", 40, 1_000_200),
        record("T", 0, "A", 130, 1_000_000, flags=0),
        record("F", 1, "B", 100, 1_000_000, flags=0),
        record("F", 2, "B", 30, 1_000_000, flags=0),
        record("C", 1, "B", 100, 1_000_000, flags=0),
        record("M", 2, "B", 30, 1_000_000),
        record("T", 0, "B", 5, 1_000_100),
        record("C", 2, "B", 10, 1_000_000),
        record("M", 3, "A", 25, 1_000_200),
        record("M", 3, "A", 25, 1_000_300),
        record("M", 3, "A", 25, 1_000_300),
        record("R", side="N"),
        record("N", side="N"),
    )
    assert told(read(file)) == [
        (NEW, 1, BUY, 1_000_000, 100, 100),
        (NEW, 2, BUY, 1_000_000, 60, 60),
        (NEW, 3, SELL, 1_000_200, 40, 40),
        (EXECUTED, 1, BUY, 1_000_000, 100, 0),
        (EXECUTED, 2, BUY, 1_000_000, 30, 30),
        (HIDDEN, 0, SELL, 1_000_100, 5, 0),
        (CANCEL, 2, BUY, 1_000_000, 10, 20),
        (CANCEL, 3, SELL, 1_000_200, 15, 25),
        (DELETE, 3, SELL, 1_000_200, 25, 0),
        (NEW, 3, SELL, 1_000_300, 25, 25),
        (DELETE, 2, BUY, 1_000_000, 20, 0),
        (DELETE, 3, SELL, 1_000_300, 25, 0),
    ]


def as_records(rows):
    """The messages as Databento would tell them."""
    sides = {BUY: ("B", "A"), SELL: ("A", "B")}
    for row in rows:
        kind, side, size, price = int(row["kind"]), int(row["side"]), int(row["quantity"]), int(row["price"])
        resting, taking = sides[side]
        at = int(row["time_ns"])
        if kind == NEW:
            yield record("A", int(row["order_id"]), resting, size, price, at=at)
        elif kind in (CANCEL, DELETE):
            yield record("C", int(row["order_id"]), resting, size, price, at=at)
        elif kind == EXECUTED:
            yield record("T", 0, taking, size, price, at=at, flags=0)
            yield record("F", int(row["order_id"]), resting, size, price, at=at, flags=0)
            yield record("C", int(row["order_id"]), resting, size, price, at=at)
        elif kind == HIDDEN:
            yield record("T", 0, taking, size, price, at=at)


@pytest.mark.parametrize("seed", range(3))
def test_a_flow_told_by_databento_is_the_same_flow(tmp_path, monkeypatch, seed):
    rows = flow(seed)
    rows = rows[rows["kind"] <= HIDDEN]
    file = written(tmp_path, *as_records(rows))
    monkeypatch.setattr(mbo, "BYTES_AT_ONCE", 100)
    found = read(file, "HB", size=9)
    found["time_ns"] -= NOON
    assert same(found, rows)
    report = replay_rematched(found)
    assert report.executions == report.same > 0


def test_a_compressed_file_and_one_instrument_of_two(tmp_path):
    import pyarrow as pa

    ours, others = record("A", 1, "B", 100, 1_000_000), record("A", 1, "B", 50, 990_000, instrument=8)
    file = written(tmp_path, ours, others)
    packed = tmp_path / "day.dbn.zst"
    with pa.output_stream(str(packed), compression="zstd") as out:
        out.write(file.read_bytes())
    for one in (file, packed):
        assert told(read(one, "HB")) == [(NEW, 1, BUY, 1_000_000, 100, 100)]
        assert told(read(one, "8")) == [(NEW, 1, BUY, 990_000, 50, 50)]
    with pytest.raises(FormatError, match="row 2, column instrument_id: is another than before"):
        read(file)
    with pytest.raises(FormatError, match="nothing about AAPL; the symbols are: HB"):
        read(file, "AAPL")


ONE = record("A", 1, "B", 100, 1_000_000)


@pytest.mark.parametrize(
    ("records", "column", "fault"),
    [
        ([ONE, ONE], "order_id", "rests already"),
        ([ONE, record("C", 2, "B", 5, 1_000_000)], "order_id", "does not rest"),
        ([ONE, record("F", 2, "B", 5, 1_000_000)], "order_id", "does not rest"),
        ([ONE, record("C", 1, "B", 101, 1_000_000)], "order_id", "takes more"),
        ([ONE, record("F", 1, "B", 101, 1_000_000)], "size", "fills more"),
        ([ONE, record("A", 2, "N", 5, 1_000_000)], "side", "neither A nor B"),
        ([ONE, record("A", 2, "B", 0, 1_000_000)], "size", "is zero"),
        ([ONE, record("A", 2, "B", 5, -1)], "price", "not positive"),
        ([ONE, record("A", 2, "B", 5, 1_000_000)[:24] + (10**9 + 1).to_bytes(8, "little") +
          record("A", 2, "B", 5, 1_000_000)[32:]], "price", "ten thousandths"),
        ([ONE, record("A", 2, "B", 5, 1_000_000, at=-1)], "ts_event", "earlier"),
        ([ONE, record("A", 2, "B", 5, 1_000_000, flags=BY_PRICE)], "flags", "market by price"),
        ([ONE, record("A", 2, "B", 5, 1_000_000)[:38] + b"Z" + ONE[39:]], "action", "none of A, C"),
        ([ONE, b"\x0d" + ONE[1:52]], "length", "not that of a market-by-order record"),
        ([ONE, b"\x00" + ONE[1:]], "length", "not that of a market-by-order record"),
        ([ONE, ONE[:-1]], "length", "ends before the record does"),
    ],
)  # fmt: skip
def test_the_first_record_that_is_wrong_is_named_with_its_field(tmp_path, records, column, fault):
    with pytest.raises(FormatError) as caught:
        read(written(tmp_path, *records))
    assert (caught.value.row, caught.value.column) == (len(records), column)
    assert fault in caught.value.fault


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"", "empty"), (b"DBX\x03", "is no DBN file"), (b"DBN\x03\xff\xff\x00\x00", "ends before"),
     (b"DBN\x63" + np.uint32(4).tobytes() + b"1234", "no metadata")],
)  # fmt: skip
def test_what_is_no_dbn_file_is_named(tmp_path, content, fault):
    file = tmp_path / "day.dbn"
    file.write_bytes(content)
    with pytest.raises(FormatError, match=fault):
        read(file)


def test_other_schemas_have_no_orders(tmp_path):
    with pytest.raises(FormatError, match="holds trades; only market by order"):
        read(written(tmp_path, schema="trades"))
