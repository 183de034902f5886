"""LOBSTER samples: real order flow replayed as reported, and files that break the format."""

from pathlib import Path

import pytest

from exchange.research.lobster import BookRow, Message, Sample, read_books, read_messages
from exchange.research.messages import FormatError, MessageType
from exchange.research.reported import Divergence, replay_as_reported
from matching.orders import Side

MICROSOFT = "lobster/MSFT_2012-06-21_34200000_37800000_message_50.csv"
APPLE = "lobster/AAPL_2012-06-21_34200000_57600000_message_10.csv"


# ---------------------------------------------------------------- real order flow


def real_sample(real_data: Path, name: str) -> Sample:
    if not (real_data / name).is_file():
        pytest.skip(f"no {name} in {real_data}")
    return Sample.of(real_data / name)


def test_a_thousand_messages_of_microsoft_make_the_book_that_the_file_shows(real_data: Path) -> None:
    report = replay_as_reported(real_sample(real_data, MICROSOFT))
    assert report.divergences == ()
    assert report.rows_compared == 999
    assert report.levels_least == 50
    assert (report.levels_compared, report.adopted, report.vanished) == (99_895, 5, 0)
    assert report.unknown_orders == 0


def test_ten_levels_of_apple_agree_but_where_a_level_came_into_view_unannounced(real_data: Path) -> None:
    report = replay_as_reported(real_sample(real_data, APPLE))
    assert report.divergences == ()
    assert (report.rows_compared, report.levels_least) == (998, 10)
    assert (report.levels_compared, report.adopted, report.vanished) == (19_948, 12, 2)
    assert report.unknown_orders == 0


def test_one_wrong_share_in_the_real_book_is_found(real_data: Path, tmp_path: Path) -> None:
    sample = real_sample(real_data, MICROSOFT)
    books = sample.books.read_text().splitlines()
    columns = books[500].split(",")
    columns[3] = str(int(columns[3]) + 1)  # best bid's size
    books[500] = ",".join(columns)
    (tmp_path / sample.books.name).write_text("\n".join(books))
    (tmp_path / sample.messages.name).write_text(sample.messages.read_text())
    (divergence,) = replay_as_reported(Sample.of(tmp_path / sample.messages.name)).divergences
    assert (divergence.row, divergence.side, divergence.level) == (501, Side.BUY, 1)


# ---------------------------------------------------------------- a day one can follow by hand

MESSAGES = """\
34200.5,1,11,100,1000000,1
34200.5,1,12,50,1000200,-1
34201.000000001,4,11,30,1000000,1
34202,2,7,10,1000100,-1
34203.25,3,12,50,1000200,-1
34204,5,0,40,1000050,1
34205,6,0,500,1000100,-1
34206,7,0,0,-1,-1
34207,4,11,70,1000000,1
34208,3,8,20,999900,1
"""
NO_BID = "-9999999999,0"
BOOKS = f"""\
1000100,60,1000000,100,1000300,5,999900,20
1000100,60,1000000,100,1000200,50,999900,20
1000100,60,1000000,70,1000200,50,999900,20
1000100,50,1000000,70,1000200,50,999900,20
1000100,50,1000000,70,1000300,5,999900,20
1000100,50,1000000,70,1000300,5,999900,20
1000100,50,1000000,70,1000300,5,999900,20
1000100,50,1000000,70,1000300,5,999900,20
1000100,50,999900,20,1000300,5,{NO_BID}
1000100,50,{NO_BID},1000300,5,{NO_BID}
"""


def written(folder: Path, messages: str = MESSAGES, books: str = BOOKS) -> Path:
    """A sample of two levels; its message file."""
    file = folder / "HB_2012-06-21_34200000_57600000_message_2.csv"
    file.write_text(messages, encoding="utf-8")
    (folder / "HB_2012-06-21_34200000_57600000_orderbook_2.csv").write_text(books, encoding="utf-8")
    return file


def test_a_sample_reads_as_it_is_written(tmp_path: Path) -> None:
    sample = Sample.of(written(tmp_path))
    assert (sample.ticker, str(sample.date), sample.levels) == ("HB", "2012-06-21", 2)
    rows = list(sample.rows())
    assert rows[0] == (
        Message(34_200_500_000_000, MessageType.NEW_ORDER, 11, 100, 1_000_000, Side.BUY),
        BookRow(bids=((1_000_000, 100), (999_900, 20)), asks=((1_000_100, 60), (1_000_300, 5))),
    )
    assert rows[2][0].time_ns == 34_201_000_000_001
    assert rows[-1][1].bids == ()


def test_new_orders_cancels_deletes_and_executions_make_the_book_of_the_file(tmp_path: Path) -> None:
    report = replay_as_reported(Sample.of(written(tmp_path)))
    assert report.divergences == ()
    assert report.rows_compared == 9
    assert report.levels_least == 0  # at the end no bid is left


@pytest.mark.parametrize(
    ("row", "was", "becomes", "divergence"),
    [
        (3, "1000000,70", "1000000,71", Divergence(3, Side.BUY, 1, (1_000_000, 71), (1_000_000, 70))),
        (2, "1000200,50", "1000250,50", Divergence(2, Side.SELL, 2, (1_000_250, 50), (1_000_200, 50))),
        (9, "999900,20", NO_BID, Divergence(9, Side.BUY, 1, None, (999_900, 20))),
        (10, f"1000100,50,{NO_BID}", "1000100,50,999950,1", Divergence(10, Side.BUY, 1, (999_950, 1), None)),
    ],
)
def test_a_wrong_book_row_is_reported(tmp_path: Path, row: int, was: str, becomes: str, divergence: Divergence) -> None:
    books = BOOKS.splitlines()
    assert was in books[row - 1]
    books[row - 1] = books[row - 1].replace(was, becomes)
    report = replay_as_reported(Sample.of(written(tmp_path, books="\n".join(books))))
    assert report.divergences == (divergence,)


def test_a_message_left_out_shows_in_every_row_from_there(tmp_path: Path) -> None:
    messages = MESSAGES.replace("34201.000000001,4,11,30,", "34201.000000001,5,11,30,")
    report = replay_as_reported(Sample.of(written(tmp_path, messages=messages)))
    assert [divergence.row for divergence in report.divergences] == [3, 4, 5, 6, 7, 8, 9, 10]


def test_a_message_about_an_order_nobody_has_seen_is_counted(tmp_path: Path) -> None:
    messages = MESSAGES.replace("34204,5,0,40,1000050,1", "34204,3,5,40,1000050,1")
    assert replay_as_reported(Sample.of(written(tmp_path, messages=messages))).unknown_orders == 1


# ---------------------------------------------------------------- files that break the format


@pytest.mark.parametrize(
    ("line", "column", "fault"),
    [
        ("34200.1,1,11,100,1000000", 0, "5 columns instead of 6 or 7"),
        ("34200.1,1,11,100,1000000,1,null,x", 0, "8 columns instead of 6 or 7"),
        ("", 0, "1 columns"),
        ("noon,1,11,100,1000000,1", 1, "is not a time"),
        ("3.42E+04,1,11,100,1000000,1", 1, "is not a time"),
        ("34200.1234567890,1,11,100,1000000,1", 1, "at most nine decimals"),
        ("\ufeff34200.1,1,11,100,1000000,1", 1, "byte order mark"),
        ("34200.1,8,11,100,1000000,1", 2, "no message type 8"),
        ("34200.1,1.0,11,100,1000000,1", 2, "'1.0' is not an integer"),
        ("34200.1,1,0,100,1000000,1", 3, "names no order"),
        ("34200.1,1,11,1_0,1000000,1", 4, "'1_0' is not an integer"),
        ("34200.1,3,11,0,1000000,1", 4, "has size 0"),
        ("34200.1,7,0,1,-1,-1", 4, "has size 1"),
        ("34200.1,4,11,100,-5,1", 5, "has price -5"),
        ("34200.1,7,0,0,2,-1", 5, "has price 2"),
        ("34200.1,1,11,100,1000000,0", 6, "neither 1 nor -1"),
        ("34200.1,1,11,100,1000000, 1", 6, "' 1' is not an integer"),
    ],
)
def test_a_message_that_breaks_the_format_is_named_by_file_row_and_column(
    tmp_path: Path, line: str, column: int, fault: str
) -> None:
    file = written(tmp_path, messages=f"{line}\n")
    with pytest.raises(FormatError, match=r"message_2\.csv, row 1") as caught:
        list(read_messages(file))
    assert (caught.value.file, caught.value.row, caught.value.column) == (file, 1, column)
    assert fault in caught.value.fault


@pytest.mark.parametrize(
    ("line", "column", "fault"),
    [
        ("1000100,60,1000000,100", 0, "4 columns instead of 8 for 2 levels"),
        ("1000100,60,1000000,100,1000300,5,999900,", 8, "'' is not an integer"),
        ("1000100,60,1000000,100,1000100,5,999900,20", 5, "no worse than the level before"),
        ("1000100,60,1000000,100,1000300,5,1000000,20", 7, "no worse than the level before"),
        ("1000100,0,1000000,100,1000300,5,999900,20", 2, "has size 0"),
        ("1000100,60,-3,100,1000300,5,-4,20", 3, "price -3 is not positive"),
        ("1000100,60,-9999999999,0,1000300,5,999900,20", 7, "behind one that is not there"),
        ("1000100,60,1000000,100,9999999999,5,999900,20", 6, "not there has size 5"),
    ],
)
def test_a_book_that_breaks_the_format_is_named_by_file_row_and_column(
    tmp_path: Path, line: str, column: int, fault: str
) -> None:
    good = BOOKS.splitlines()[0]
    file = written(tmp_path, books=f"{good}\n{line}\n").with_name("HB_2012-06-21_34200000_57600000_orderbook_2.csv")
    with pytest.raises(FormatError, match=r"orderbook_2\.csv, row 2") as caught:
        list(read_books(file, 2))
    assert (caught.value.row, caught.value.column) == (2, column)
    assert fault in caught.value.fault


@pytest.mark.parametrize(
    ("messages", "books", "fault"),
    [
        (MESSAGES.replace("34202,", "34199,"), BOOKS, "row 4, column 1: time 34199 is earlier than the row before"),
        (MESSAGES, BOOKS.rsplit("\n", 2)[0], "orderbook_2.csv, row 10: there is no book after message 10"),
        (MESSAGES.rsplit("\n", 2)[0], BOOKS, "message_2.csv, row 10: there is no message before book 10"),
        (MESSAGES.replace("1000050,1", "1000050,1,null"), BOOKS, "row 6: 7 columns instead of 6"),
        ("", BOOKS, "message_2.csv: the file is empty"),
        (MESSAGES, "", "orderbook_2.csv: the file is empty"),
    ],
)
def test_files_must_be_in_order_and_belong_together(tmp_path: Path, messages: str, books: str, fault: str) -> None:
    with pytest.raises(FormatError, match=fault.replace(".", r"\.")):
        replay_as_reported(Sample.of(written(tmp_path, messages, books)))


def test_a_seventh_column_is_allowed_throughout(tmp_path: Path) -> None:
    messages = "".join(f"{line},null\n" for line in MESSAGES.splitlines())
    assert replay_as_reported(Sample.of(written(tmp_path, messages=messages))).divergences == ()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("HB.csv", "the name must read"),
        ("HB_2012-02-30_0_1_message_2.csv", "the name has no date"),
        ("HB_2012-06-21_0_1_message_2.csv", "orderbook_2.csv: there is no such file"),
    ],
)
def test_a_file_by_another_name_is_no_sample(tmp_path: Path, name: str, fault: str) -> None:
    (tmp_path / name).write_text(MESSAGES)
    (tmp_path / name.replace("message", "orderbook").replace("06-21", "02-30")).write_text(BOOKS)
    with pytest.raises(FormatError, match=fault):
        Sample.of(tmp_path / name)
