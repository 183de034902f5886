"""Files: recognised, converted into one another, validated; what is wrong is named and leaves nothing behind."""

import re

import numpy as np
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from exchange.cli import app
from exchange.flow_files import read_flow
from exchange.research import flows, lobster
from exchange.research.convert import convert
from exchange.research.lobster import Sample, message_parts, read_books, read_messages
from exchange.research.messages import FormatError, MessageType
from exchange.research.rematched import commands_of, replay_rematched
from exchange.research.reported import replay_as_reported
from exchange.research.sources import About, Format, open_source, recognise
from exchange.rows import joined
from tests.exchange.research.samples import CENT, commands, flow, itch_file, same, sample, window

LOBSTER_NAME = "HB_2012-06-21_34200000_57600000_message_10.csv"


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def our_flow(folder, rows=None, name="flow.csv"):
    """An order-flow file."""
    file = folder / name
    with file.open("wb") as out:
        flows.write(out, file.suffix, [commands(1) if rows is None else rows], {})
    return file


# ---------------------------------------------------------------- reading in parts


@pytest.mark.parametrize("seed", range(20))
def test_the_compiled_reader_finds_what_the_readable_one_finds(tmp_path, seed):
    rng = np.random.default_rng(seed)
    file = sample(tmp_path, flow(seed, 60), 2)
    for path in (file, lobster.books_of(file)):
        text = bytearray(path.read_bytes())
        for _ in range(int(rng.integers(0, 3))):
            text[int(rng.integers(len(text)))] = b"0123456789,.-\n\r xE"[int(rng.integers(18))]
        path.write_bytes(bytes(text))

    def outcome(read):
        try:
            return read()
        except FormatError as error:
            return str(error)

    def fast_messages():
        names = ("time_ns", "kind", "order_id", "quantity", "price", "side")
        rows = joined([*message_parts(file, 7)])
        return [*zip(*(rows[name].tolist() for name in names), strict=True)]

    assert outcome(fast_messages) == outcome(lambda: [tuple(map(int, one)) for one in read_messages(file)])
    books, made = lobster.books_of(file), Sample.of(file)
    fast = outcome(lambda: np.concatenate([*lobster.book_parts(books, made, 7)]).tolist())
    assert fast == outcome(lambda: [as_row(one, 2) for one in read_books(books, 2)])


def as_row(book, levels):
    row = []
    for level in range(levels):
        for side, missing in ((book.asks, lobster.NO_ASK), (book.bids, lobster.NO_BID)):
            row += side[level] if level < len(side) else (missing, 0)
    return row


def test_lines_that_end_as_on_windows_and_no_newline_at_the_end(tmp_path):
    file = sample(tmp_path, flow(1, 80))
    expected = joined([*message_parts(file)])
    for change in (lambda text: text.replace(b"\n", b"\r\n"), lambda text: text.rstrip(b"\r\n")):
        file.write_bytes(change(file.read_bytes()))
        assert same(joined([*message_parts(file)]), expected)


@pytest.mark.parametrize("name", ["flow.csv", "flow.parquet", "flow.npy"])
def test_our_own_flow_is_read_in_parts_as_it_is_read_whole(tmp_path, monkeypatch, name):
    monkeypatch.setattr(flows, "ROWS_AT_ONCE", 30)
    file = our_flow(tmp_path, name=name)
    rows = joined([*flows.read(file)])
    assert (rows == read_flow(file)).all()
    assert rows.size == 400


# ---------------------------------------------------------------- converting


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_a_sample_becomes_a_flow_that_leads_to_its_trades(tmp_path, suffix):
    source = open_source(window(tmp_path, flow(3, 500), 30, 100))
    out = tmp_path / f"flow{suffix}"
    convert(source, out)
    rows = joined([*source.whole()])
    expected, found = commands_of(rows, 1), read_flow(out)
    placed = expected["kind"] == 1
    assert (found["order_id"] == expected["order_id"]).all() and (found["kind"] == expected["kind"]).all()
    assert (found["price_ticks"] == expected["price_ticks"])[placed].all()
    midnight_ns = found["now_ns"][0] - rows["time_ns"][0]
    assert midnight_ns == 1_340_251_200_000_000_000  # 2012-06-21 00:00 in New York is 04:00 UTC


def test_lobster_becomes_itch_and_itch_lobster(tmp_path):
    rows = flow(7)
    file = sample(tmp_path, rows)
    convert(open_source(file), tmp_path / "day.itch")
    (tmp_path / "back").mkdir()
    back = tmp_path / "back" / file.name
    convert(open_source(tmp_path / "day.itch"), back)
    for one in (lambda path: path, lobster.books_of):
        assert one(back).read_bytes() == one(file).read_bytes()


def test_our_own_flow_becomes_a_sample_and_is_matched_again(tmp_path):
    file, out = our_flow(tmp_path), tmp_path / LOBSTER_NAME
    source = open_source(file, About(tick=CENT * About().tick))
    convert(source, out)
    rows = joined([*source.whole()])
    assert replay_as_reported(Sample.of(out)).divergence_count == 0
    report = replay_rematched(joined([*open_source(out).whole()]))
    assert report.same == report.executions == np.count_nonzero(rows["kind"] == MessageType.EXECUTION) > 0


def test_a_flow_in_parquet_says_of_what_it_was_made(tmp_path):
    out = tmp_path / "flow.parquet"
    convert(open_source(sample(tmp_path, flow(3))), out)
    about = pyarrow.parquet.read_schema(out).metadata
    assert (about[b"symbol"], about[b"tick"], about[b"mode"]) == (b"HB", b"0.0001", b"aggressors inferred")


# ---------------------------------------------------------------- the commands


def test_files_are_recognised_by_name_or_content(tmp_path):
    rows = flow(1, 50)
    assert recognise(sample(tmp_path, rows)) == Format.LOBSTER
    assert recognise(itch_file(tmp_path, rows)) == Format.ITCH
    assert recognise(itch_file(tmp_path, rows, name="today.bin")) == Format.ITCH
    assert recognise(our_flow(tmp_path)) == Format.FLOW
    (tmp_path / "x.bin").write_bytes(b"DBN\x03")
    assert recognise(tmp_path / "x.bin") == Format.DBN


def test_replay_says_its_mode_and_its_verdict(tmp_path):
    file, report = window(tmp_path, flow(2, 500), 30, 100), tmp_path / "report.json"
    said = run("replay", file, "--mode", "as-reported", "--report", report)
    assert said.exit_code == 0, said.output
    assert "mode: as-reported" in said.stdout and ", 0 divergences" in said.stdout
    assert '"mode": "as-reported"' in report.read_text() and '"divergence_count": 0' in report.read_text()
    again = run("replay", file, "--report", report)
    assert (again.exit_code, "output_exists" in again.stderr) == (1, True)
    said = run("replay", file, "--mode", "rematched", "--report", report, "--force")
    assert said.exit_code == 0 and "mode: rematched" in said.stdout
    assert '"reasons"' in report.read_text() and '"mode": "rematched"' in report.read_text()


def test_our_own_flow_is_matched_again_too(tmp_path):
    file = our_flow(tmp_path, with_times(commands(1)))
    said = run("replay", file, "--mode", "rematched", "--date", "2012-06-21")
    assert said.exit_code == 0 and ", 0 did not;" in said.stdout
    assert "give --date" in run("replay", file, "--mode", "rematched").stderr


def test_a_book_that_differs_is_told_with_its_place_and_exit_code_2(tmp_path):
    file = sample(tmp_path, flow(2, 100), 3)
    books = lobster.books_of(file)
    lines = books.read_text().splitlines()
    fields = lines[50].split(",")
    fields[5] = str(int(fields[5]) + 1)  # size of the second ask
    lines[50] = ",".join(fields)
    books.write_text("\n".join(lines))
    said = run("replay", file, "--mode", "as-reported")
    assert said.exit_code == 2
    assert "orderbook_3.csv, row 51, column 6: sell level 2: the file shows" in said.stdout
    wrong = run("validate", file)
    assert (wrong.exit_code, "row 51, column 6" in wrong.stderr) == (1, True)


def test_what_was_made_is_not_overwritten_unasked(tmp_path):
    file, out = sample(tmp_path, flow(1, 50)), tmp_path / "flow.csv"
    assert run("convert", file, "-o", out).exit_code == 0
    before = out.read_bytes()
    again = run("convert", file, "-o", out)
    assert (again.exit_code, "output_exists" in again.stderr) == (1, True)
    assert run("convert", file, "-o", out, "--force", "--tick", "0.01").exit_code == 0
    assert out.read_bytes() != before
    off = run("convert", file, "-o", out, "--force", "--tick", "0.0300")
    assert (off.exit_code, "off the tick of 0.0300" in off.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["convert", "{itch}", "-o", "{dir}/out.csv"], "does not say of which day it is; give --date"),
        (["convert", "{itch}", "-o", "{dir}/flow.xls"], "unknown_output"),
        (["convert", "{flow}", "-o", "{dir}/flow.itch"], "symbol_needed"),
        (["convert", "{itch}", "-o", "{dir}/out.csv", "--date", "2012-02-30"], "invalid_date"),
        (["convert", "{itch}", "-o", "{dir}/out.csv", "--zone", "Mars/Olympus"], "invalid_zone"),
        (["convert", "{itch}", "-o", "{dir}/out.csv", "--tick", "0.00005"], "invalid_tick"),
        (["convert", "{itch}", "-o", "{dir}/none/flow.itch", "--symbol", "HB"], "output_unwritable"),
        (["validate", "{dir}/none.csv"], "there is no such file"),
        (["validate", "{dir}/strange.bin"], "is not recognised; say it with --format"),
        (["replay", "{flow}"], "output_needed"),
        (["replay", "{itch}", "--mode", "as-reported"], "no_books"),
        (["replay", "{itch}", "--out", "{dir}/events.csv"], "no_events"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_line(tmp_path, arguments, code):
    places = {"dir": tmp_path, "itch": itch_file(tmp_path, flow(1, 50)), "flow": our_flow(tmp_path)}
    (tmp_path / "strange.bin").write_bytes(b"strange")
    before = sorted(tmp_path.iterdir())
    said = run(*(one.format(**places) for one in arguments))
    assert said.exit_code == 1
    assert code in said.stderr and said.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


# ---------------------------------------------------------------- what is wrong with a file


def line(row, change):
    """Changes a line of a file of text, counted from 1."""

    def changed(text):
        lines = text.split(b"\n")
        lines[row - 1 : row] = change(lines[row - 1])
        return b"\n".join(lines)

    return changed


def column(row, place, value):
    """Changes a column of a line, both counted from 1."""

    def changed(fields):
        fields = fields.split(b",")
        fields[place - 1] = value
        return [b",".join(fields)]

    return line(row, changed)


LOBSTER = [
    (lambda text: b"", r"message_10.csv: the file is empty"),
    (lambda text: b"\xef\xbb\xbf" + text, r"row 1, column 1: a byte order mark"),
    (lambda text: text[:-30], r"row \d+: \d columns instead of 6|no message before book"),
    (lambda text: text.rsplit(b"\n", 2)[0] + b"\n", r"there is no message before book"),
    (line(40, lambda one: [one, one]), r"message_10.csv, row \d+|orderbook_10.csv, row \d+"),
    (line(40, lambda one: []), r"message_10.csv, row \d+|orderbook_10.csv, row \d+"),
    (column(40, 1, b"34199.5"), r"row 40, column 1: time 34199.5 is earlier"),
    (column(40, 1, b"3.42E+04"), r"row 40, column 1: '3.42E\+04' is not a time"),
    (column(40, 2, b"9"), r"row 40, column 2: there is no message type 9"),
    (column(40, 4, b"ten"), r"row 40, column 4: 'ten' is not an integer"),
    (column(40, 5, b"99.5"), r"row 40, column 5: '99.5' is not an integer"),
    (column(40, 6, b"0"), r"row 40, column 6: direction 0"),
    (line(40, lambda one: [b"34200.5,1,5,10,1000000"]), r"row 40: 5 columns instead of 6"),
    (lambda text: b"\n".join(reversed(text.strip().split(b"\n"))), r"row 2, column 1: .* is earlier"),
]
FLOW = [
    (lambda text: b"", r"flow.csv: the file is empty|Empty CSV"),
    (lambda text: text.split(b"\n")[0] + b"\n", r"flow.csv: there are no messages"),
    (lambda text: b"\xef\xbb\xbf" + text, r"row 1, column 1: a byte order mark"),
    (lambda text: text.replace(b"op,", b"operation,"), r"column 'op' is missing"),
    (column(40, 2, b"x1"), r"row 40, column ref: 'x1' is not a number"),
    (column(40, 4, b"99.5"), r"row 40, column price_ticks: '99.5' is not a number"),
    (column(40, 7, b"5"), r"row 40, column ts_ns: is earlier than the row before"),
    (line(40, lambda one: [b"new,1,buy"]), r"row 40: 3 columns instead of 7"),
    (line(3, lambda one: [b"new,5,hold,9,1,GTC,1340287200000000001"]), r"row 3, column side: is refused: invalid_side"),
    (
        line(3, lambda one: [b"new,5,buy,9,0,GTC,1340287200000000001"]),
        r"row 3, column quantity: is refused: quantity_not_positive",
    ),
    (
        line(3, lambda one: [b"new,5,buy,0,9,GTC,1340287200000000001"]),
        r"row 3, column price_ticks: is refused: price_not_positive",
    ),
    (
        line(3, lambda one: [b"new,5,buy,9,9,GTX,1340287200000000001"]),
        r"row 3, column time_in_force: is refused: invalid_time_in_force",
    ),
    (line(3, lambda one: [b"buy,5,buy,9,9,GTC,1340287200000000001"]), r"row 3, column op: is refused: unknown_command"),
    (
        line(3, lambda one: [b"new,5,buy,9,9,GTC,1340287200000000001"] * 2),
        r"row 4, column ref: is refused: order_exists",
    ),
]
ITCH = [
    (lambda text: b"", r"flow.itch: the file is empty"),
    (lambda text: text[:-5], r"row \d+, column length: the file ends before the message does"),
    (lambda text: text[:700] + text[701:], r"row \d+, column (length|type|timestamp|order reference)"),
    (lambda text: text[:14] + b"\x00\x27Z" + text[17:], r"row 2, column type: is none of ITCH 5.0"),
    (lambda text: text + text[14:55], r"row \d+, column timestamp: is earlier"),
]


WRONG = {"lobster": LOBSTER, "flow": FLOW, "itch": ITCH}
WAYS = [
    (of, format_, change, fault)
    for format_, faults in WRONG.items()
    for change, fault in faults
    for of in ("validate", "convert", "replay")
    if of == "validate" or "is refused" not in fault  # what the book refuses is among the events of a replay
]


@pytest.mark.parametrize(("of", "format_", "change", "fault"), WAYS)
def test_the_first_bad_row_is_named_and_nothing_is_left_behind(tmp_path, of, format_, change, fault):
    rows = flow(5, 120)
    rows = rows[rows["kind"] != MessageType.CROSS_TRADE]
    made = {"lobster": lambda: sample(tmp_path, rows), "itch": lambda: itch_file(tmp_path, rows)}
    file = made[format_]() if format_ in made else our_flow(tmp_path, with_times(commands(5, 120)))
    file.write_bytes(change(file.read_bytes()))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    out = {"validate": [], "convert": ["-o", tmp_path / "out.npy"], "replay": ["--report", tmp_path / "r.json"]}[of]
    said = run(of, file, *out, "--format", format_, *(["--date", "2012-06-21"] if of == "convert" else []))
    assert said.exit_code == 1, said.output
    assert said.stderr.startswith("carbonex: malformed_file: ") and said.stderr.count("\n") == 1
    assert re.search(fault, said.stderr), said.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def with_times(rows):
    rows["now_ns"] = 1_340_287_200_000_000_000 + np.arange(rows.size)
    return rows


def test_times_that_a_spreadsheet_has_cut_are_noticed(tmp_path):
    file = sample(tmp_path, flow(5, 200))
    cut = [f"{one.split('.')[0]}.{one.split('.')[1][:5]}" if "." in one else one for one in
           (text.split(",")[0] for text in file.read_text().splitlines())]  # fmt: skip
    rows = [
        ",".join([time, *text.split(",")[1:]]) for time, text in zip(cut, file.read_text().splitlines(), strict=True)
    ]
    file.write_text("\n".join(rows) + "\n")
    said = run("validate", file)
    assert (said.exit_code, "no time has more than 5 decimals" in said.stderr) == (1, True)


def test_a_book_file_of_another_depth_is_named(tmp_path):
    file = sample(tmp_path, flow(5, 60), 3)
    other = file.with_name(file.name.replace("_3.csv", "_5.csv"))
    file.rename(other)
    lobster.books_of(file).rename(lobster.books_of(other))
    said = run("validate", other)
    assert "orderbook_5.csv, row 1: 12 columns instead of 20 for 5 levels" in said.stderr


def test_one_bad_line_in_a_million_is_found(tmp_path):
    good = b"".join(b"34200.%06d,5,0,10,1000000,1\n" % index for index in range(1_000_000))
    book = b"1000100,10,999900,10\n"
    file = tmp_path / "HB_2012-06-21_0_1_message_1.csv"
    lines = good.split(b"\n")
    lines[765_431] = lines[765_431].replace(b",10,", b",1O,")
    file.write_bytes(b"\n".join(lines))
    lobster.books_of(file).write_bytes(book * 1_000_000)
    said = run("validate", file)
    assert (said.exit_code, "row 765432, column 4: '1O' is not an integer" in said.stderr) == (1, True)
    text = b"op,ref,side,price_ticks,quantity\n" + b"new,1,buy,9,1\ncancel,1,,,\n" * 500_000
    flow_file = tmp_path / "flow.csv"
    flow_file.write_bytes(text[:-12] + b"xcancel,1,,,\n"[-12:].replace(b"1", b"l"))
    said = run("convert", flow_file, "-o", tmp_path / "out.parquet")
    assert "row 1000001, column ref: 'l' is not a number" in said.stderr
    assert not (tmp_path / "out.parquet").exists()
