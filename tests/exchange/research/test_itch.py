"""ITCH 5.0: what was written is read, other vendors' messages are understood, and what breaks the format is named."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.research import itch
from exchange.research.lobster import Sample
from exchange.research.messages import FormatError, MessageType
from exchange.research.sources import open_source
from exchange.rows import joined
from matching.orders import Side
from tests.conftest import EXAMPLES
from tests.exchange.research.samples import flow, itch_file, same
from tests.exchange.research.test_lobster import APPLE, MICROSOFT, real_sample

NOON = 43_200_000_000_000


# ---------------------------------------------------------------- messages by hand


def head(kind, time_ns, locate):
    return kind + struct.pack(">HH", locate, 7) + time_ns.to_bytes(6, "big")


def add(reference, side="B", shares=100, price=1_000_000, time_ns=NOON, locate=1, stock="HB", kind=b"A"):
    body = struct.pack(">QcI8sI", reference, side.encode(), shares, stock.encode().ljust(8), price)
    return head(kind, time_ns, locate) + body + (b"MPID" if kind == b"F" else b"")


def executed(reference, shares=10, time_ns=NOON, locate=1):
    return head(b"E", time_ns, locate) + struct.pack(">QIQ", reference, shares, 1)


def executed_at(reference, shares=10, printable="Y", time_ns=NOON):
    return head(b"C", time_ns, 1) + struct.pack(">QIQcI", reference, shares, 1, printable.encode(), 990_000)


def reduced(reference, shares=10, time_ns=NOON):
    return head(b"X", time_ns, 1) + struct.pack(">QI", reference, shares)


def deleted(reference, time_ns=NOON, locate=1):
    return head(b"D", time_ns, locate) + struct.pack(">Q", reference)


def replaced(reference, later, shares=40, price=1_000_100, time_ns=NOON):
    return head(b"U", time_ns, 1) + struct.pack(">QQII", reference, later, shares, price)


def traded(shares=5, price=1_000_050, side="S"):
    return head(b"P", NOON, 1) + struct.pack(">QcI8sIQ", 0, side.encode(), shares, b"HB      ", price, 1)


def crossed(shares, price=1_000_000):
    return head(b"Q", NOON, 1) + struct.pack(">Q8sIQc", shares, b"HB      ", price, 1, b"O")


def halted(state):
    return head(b"H", NOON, 1) + struct.pack(">8scc4s", b"HB      ", state.encode(), b" ", b"    ")


def other(kind, length):
    return head(kind.encode(), NOON, 0).ljust(length, b" ")


def written(tmp_path, *messages):
    file = tmp_path / "day.itch"
    file.write_bytes(b"".join(len(one).to_bytes(2, "big") + one for one in messages))
    return file


def read(file, symbol="", **options):
    return joined([*itch.read(file, symbol, **options)])


def told(rows):
    """(kind, order, side, price, quantity, leaves) of each row."""
    names = ("kind", "order_id", "side", "price", "quantity", "leaves")
    return [*zip(*(rows[name].tolist() for name in names), strict=True)]


NEW, CANCEL, DELETE, EXECUTED, HIDDEN, CROSS, HALT = map(int, MessageType)
BUY, SELL = int(Side.BUY), int(Side.SELL)


def test_each_message_changes_the_order_that_it_names(tmp_path):
    file = written(
        tmp_path,
        other("S", 12), other("R", 39), other("h", 21), other("I", 50),
        add(1), add(2, "S", 50, 1_000_200, kind=b"F"), executed(1, 30), executed_at(1, 20), executed_at(1, 5, "N"),
        reduced(1, 15), replaced(1, 3), deleted(3), executed(2, 50), traded(), crossed(0), crossed(900),
        halted("P"), halted("Q"), halted("T"), head(b"B", NOON, 1) + bytes(8),
    )  # fmt: skip
    assert told(read(file)) == [
        (NEW, 1, BUY, 1_000_000, 100, 100),
        (NEW, 2, SELL, 1_000_200, 50, 50),
        (EXECUTED, 1, BUY, 1_000_000, 30, 70),
        (EXECUTED, 1, BUY, 1_000_000, 20, 50),
        (CANCEL, 1, BUY, 1_000_000, 5, 45),
        (CANCEL, 1, BUY, 1_000_000, 15, 30),
        (DELETE, 1, BUY, 1_000_000, 30, 0),
        (NEW, 3, BUY, 1_000_100, 40, 40),
        (DELETE, 3, BUY, 1_000_100, 40, 0),
        (EXECUTED, 2, SELL, 1_000_200, 50, 0),
        (HIDDEN, 0, SELL, 1_000_050, 5, 0),
        (CROSS, 0, SELL, 1_000_000, 900, 0),
        (HALT, 0, SELL, -1, 0, 0),
        (HALT, 0, SELL, 0, 0, 0),
        (HALT, 0, SELL, 1, 0, 0),
    ]


def test_one_stock_of_many_is_read_by_its_symbol(tmp_path):
    file = written(tmp_path, add(1), add(2, stock="AAPL", locate=9), executed(2, locate=9), deleted(1))
    assert [order for _, order, *_ in told(read(file, "AAPL"))] == [2, 2]
    assert [order for _, order, *_ in told(read(file, "HB"))] == [1, 1]
    with pytest.raises(FormatError, match="row 2, column stock: is another than before: say which symbol"):
        read(file)
    with pytest.raises(FormatError, match="nothing about MSFT"):
        read(file, "MSFT")


# ---------------------------------------------------------------- there and back


@settings(max_examples=EXAMPLES // 5)
@given(seed=st.integers(0, 10**6))
def test_a_flow_written_as_itch_is_read_as_it_was(tmp_path_factory, seed):
    rows = flow(seed, 120)
    assert same(read(itch_file(tmp_path_factory.mktemp("itch"), rows)), rows)


@pytest.mark.parametrize("name", [APPLE, MICROSOFT])
def test_real_flow_written_as_itch_is_read_as_it_was(real_data, tmp_path, name):
    source = open_source(real_sample(real_data, name).messages)
    rows = joined([*source.whole()])
    assert same(read(itch_file(tmp_path, rows)), rows)
    messages = joined([part for part, _ in Sample.of(source.file).parts()])
    made = rows.size - messages.size
    assert 0 < made == source.window[1].before.size + source.window[1].adopted
    assert np.isin(messages["order_id"], rows["order_id"]).all()


def test_parts_and_chunks_of_any_size_give_the_same_rows(tmp_path, monkeypatch):
    rows = flow(1)
    file = itch_file(tmp_path, rows)
    for size in (50, 61, 1000):
        monkeypatch.setattr(itch, "BYTES_AT_ONCE", size)
        assert same(read(file, size=7), rows)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_is_read_as_it_is(tmp_path, suffix):
    import pyarrow as pa

    rows = flow(2)
    plain = itch_file(tmp_path, rows)
    packed = tmp_path / f"flow.itch{suffix}"
    with pa.output_stream(str(packed), compression={".gz": "gzip", ".zst": "zstd"}[suffix]) as out:
        out.write(plain.read_bytes())
    assert same(read(packed), rows)
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(FormatError, match=r"flow\.itch"):
        read(packed)


def test_more_orders_than_there_was_room_for(tmp_path, monkeypatch):
    from exchange.research import orders

    rows = flow(3)
    monkeypatch.setattr(orders.new_orders, "__defaults__", (2,))
    assert same(read(itch_file(tmp_path, rows)), rows)


# ---------------------------------------------------------------- what breaks the format

FAULTS = [
    (["A", b"A" * 12], "length", "not that of a message of its type"),
    (["A", other("z", 20)], "type", "none of ITCH 5.0"),
    (["A", b""], "length", "not that of a message"),
    (["A", add(2, time_ns=NOON - 1)], "timestamp", "earlier than that of the message before"),
    (["A", add(2, time_ns=86_400_000_000_000)], "timestamp", "not within a day"),
    (["A", add(2, side="Z")], "side", "neither B nor S"),
    (["A", add(2, shares=0)], "shares", "are none"),
    (["A", add(2, price=0)], "price", "is zero"),
    (["A", "A"], "order reference", "rests already"),
    (["A", add(2, stock="AAPL")], "stock", "not the one of its locate code"),
    (["A", add(2, stock="AAPL", locate=2)], "stock", "say which symbol to read"),
    (["A", executed(5)], "order reference", "does not rest"),
    (["A", deleted(5)], "order reference", "does not rest"),
    (["A", replaced(5, 6)], "order reference", "does not rest"),
    (["A", executed(1, 101)], "order reference", "takes more than the order has"),
    (["A", reduced(1, 0)], "shares", "are none"),
    (["A", halted("x")], "state", "none of H, P, Q and T"),
    (["A", traded(side="b")], "side", "neither B nor S"),
]


@pytest.mark.parametrize(("messages", "column", "fault"), FAULTS)
def test_the_first_message_that_is_wrong_is_named_with_its_field(tmp_path, messages, column, fault):
    file = written(tmp_path, *(add(1) if one == "A" else one for one in messages))
    with pytest.raises(FormatError) as caught:
        read(file)
    assert (caught.value.row, caught.value.column) == (len(messages), column)
    assert fault in caught.value.fault


def test_a_file_cut_short_or_empty_is_named(tmp_path):
    file = written(tmp_path, add(1), add(2))
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(FormatError, match=r"day\.itch, row 2, column length: the file ends before the message does"):
        read(file)
    file.write_bytes(b"")
    with pytest.raises(FormatError, match=r"day\.itch: the file is empty"):
        read(file)


def test_what_itch_has_no_room_for_is_not_written(tmp_path):
    rows = flow(1, 50)
    rows["quantity"][7] = 1 << 32
    with pytest.raises(FormatError, match="row 8: ITCH has no room"):
        itch_file(tmp_path, rows)


@pytest.mark.parametrize("symbol", ["", "NINELETTE", "ÄÖ"])
def test_a_symbol_has_up_to_eight_letters(symbol):
    with pytest.raises(ValueError, match="is not a symbol"):
        itch.packed(symbol)
