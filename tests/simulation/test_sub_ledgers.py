"""A bank's books: every file once, whole, in its turn."""

from datetime import date

import msgspec
import pytest

from exchange.journal import SqliteJournal
from settlement.bank_files import BankBalance, Booking, BookingFile, Reach
from simulation.sub_ledgers import BooksError, SubLedgers

EXTERNAL, INTERNAL = Reach
MONDAY, TUESDAY, WEDNESDAY = (date(2026, 1, day) for day in (5, 6, 7))
PAID_IN = (Booking(1, "MILL", "CNY", EXTERNAL, "deposit", 3, 900), Booking(1, "MILL", "USD", EXTERNAL, "deposit", 4, 7))
TRADED = (
    Booking(2, "MILL", "CNY", INTERNAL, "final_payment", 2, -100),
    Booking(2, "PLANT", "CNY", INTERNAL, "final_payment", 2, 100),
)
TAKEN_OUT = (
    Booking(3, "PLANT", "CNY", EXTERNAL, "withdrawal", 9, -100),
    Booking(3, "MILL", "CNY", EXTERNAL, "withdrawal", 10, -1),
)
FIRST = BookingFile(MONDAY, None, "", PAID_IN)
GONE_ON = msgspec.structs.replace(FIRST, lines=PAID_IN + TRADED)
SECOND = BookingFile(TUESDAY, MONDAY, GONE_ON.checksum, TAKEN_OUT)


@pytest.fixture
def books():
    made = SubLedgers()
    yield made
    made.close()


def all_of(books):
    return [*books.db.iterdump()]


def test_balances_are_what_was_booked_until_the_end_of_a_day(books):
    assert books.last is None and books.balances(MONDAY).lines == ()
    assert (books.book(FIRST), books.book(GONE_ON), books.book(SECOND)) == (2, 2, 2)

    assert books.last == (TUESDAY, SECOND.checksum, 2)
    assert books.balances(MONDAY).lines == (
        BankBalance("MILL", "CNY", 800), BankBalance("MILL", "USD", 7), BankBalance("PLANT", "CNY", 100),
    )  # fmt: skip
    assert books.balances(TUESDAY).lines == (BankBalance("MILL", "CNY", 799), BankBalance("MILL", "USD", 7))
    assert books.balances(WEDNESDAY).lines == books.balances(TUESDAY).lines
    books.check()


OTHER = msgspec.structs.replace(FIRST, lines=PAID_IN[:1])


@pytest.mark.parametrize(
    ("code", "booked", "file", "says"),
    [
        pytest.param("booked_before", [FIRST], FIRST, "the file of 2026-01-05 is booked", id="a day twice"),
        pytest.param("out_of_turn", [], SECOND, "follows on 2026-01-05", id="without the day before"),
        pytest.param("out_of_turn", [FIRST], SECOND, "but the books end with 2026-01-05", id="the day went on since"),
        pytest.param("out_of_turn", [OTHER], SECOND, "follows on 2026-01-05", id="another day before"),
        pytest.param("out_of_turn", [GONE_ON, SECOND], FIRST, "follows on nothing", id="a day that has passed"),
        pytest.param("out_of_turn", [GONE_ON], FIRST, "does not go on", id="less than was booked"),
        pytest.param(
            "out_of_turn",
            [FIRST],
            msgspec.structs.replace(FIRST, lines=(PAID_IN[1], PAID_IN[0], *TRADED)),
            "does not go on",
            id="another beginning",
        ),
        pytest.param(
            "out_of_turn",
            [GONE_ON, SECOND],
            BookingFile(WEDNESDAY, MONDAY, GONE_ON.checksum, TRADED),
            "but the books end with 2026-01-06",
            id="a day left out",
        ),
        pytest.param(
            "out_of_turn",
            [FIRST],
            BookingFile(TUESDAY, None, "", TAKEN_OUT),
            "follows on nothing",
            id="another market's beginning",
        ),
    ],
)
def test_what_is_not_to_be_booked_now_changes_nothing(books, code, booked, file, says):
    for one in booked:
        books.book(one)
    before = all_of(books)

    with pytest.raises(BooksError, match=says) as error:
        books.book(file)
    assert error.value.code == code and all_of(books) == before


def test_a_file_is_booked_whole_or_not_at_all(books):
    beyond = msgspec.structs.replace(PAID_IN[0], reference=1 << 63)
    before = all_of(books)
    with pytest.raises(BooksError, match="books_unwritable"):
        books.book(msgspec.structs.replace(FIRST, lines=(*PAID_IN, beyond)))
    assert all_of(books) == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DELETE FROM bookings WHERE line = 2", "not those of its file"),
        ("UPDATE bookings SET fen = fen + 1 WHERE reach = 'external'", "not those of its file"),
        ("UPDATE bookings SET fen = 2 * fen WHERE line = 3", "leave .* over"),
        ("INSERT INTO bookings SELECT day, 5, batch, account_id, currency, reach, cause, reference, fen "
         "FROM bookings WHERE line = 1", "not in the order"),
        ("DELETE FROM files WHERE day = '2026-01-05'", "does not follow"),
    ],
)  # fmt: skip
def test_books_that_were_altered_are_noticed(books, change, says):
    books.book(GONE_ON)
    books.book(SECOND)
    books.db.execute(change)
    with pytest.raises(AssertionError, match=says):
        books.check()


def test_books_in_a_file_are_there_again(tmp_path):
    for file in (FIRST, GONE_ON, SECOND):
        books = SubLedgers(tmp_path / "books")
        books.book(file)
        books.close()
    again = SubLedgers(tmp_path / "books")
    again.check()
    assert again.last == (TUESDAY, SECOND.checksum, 2)
    again.close()


def test_what_are_no_books_is_left_as_it_is(tmp_path):
    SqliteJournal(tmp_path / "journal").close()
    (tmp_path / "text").write_text("this is no database at all, but some text" * 50)
    (tmp_path / "folder").mkdir()
    for name in ("journal", "text", "folder"):
        before = (tmp_path / name).read_bytes() if name != "folder" else b""
        with pytest.raises(BooksError, match="no_books"):
            SubLedgers(tmp_path / name)
        assert name == "folder" or (tmp_path / name).read_bytes() == before


def test_books_are_one_banks(tmp_path):
    books = SubLedgers(tmp_path / "books")
    with pytest.raises(BooksError, match="is locked"):
        SubLedgers(tmp_path / "books")
    books.close()
    SubLedgers(tmp_path / "books").close()


def test_books_that_can_not_be_written_say_so(books):
    books.db.execute("PRAGMA query_only = ON")
    with pytest.raises(BooksError, match="books_unwritable"):
        books.book(FIRST)
