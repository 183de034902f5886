"""What the bank has to book of a day, and the file that says it. Whole histories are in tests/exchange."""

from datetime import date

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.bank_files import BankFileError, Booking, BookingFile, Fault, Reach, read_bookings
from settlement.bookings import FINAL_PAYMENT, bookings
from settlement.statements import CASH, Entry
from tests.settlement.test_totals import (
    ACCOUNTS,
    ASSETS,
    EURO,
    FUND,
    HBEA,
    MILL,
    PLANT,
    TERMS,
    entries,
    line_of,
    trades,
)

CURRENCIES = {"CNY": CASH, "EUR": EURO}
NAMES = ["NOBODY", "EXCHANGE", "PLANT", "MILL", "FUND"]
EXTERNAL, INTERNAL = Reach
MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)

accounts = st.integers(1, ACCOUNTS - 1)


def booked(*lines):
    return bookings(lines, TERMS, NAMES, CURRENCIES)


def test_a_days_bookings_name_every_movement_of_cash_and_offset_its_trades():
    moved = [
        (MILL, Entry(CASH, 900, "deposit", 3)),
        (PLANT, Entry(HBEA, 50, "issuance", 4)),
        (FUND, Entry(EURO, -7, "withdrawal", 5)),
        (MILL, Entry(CASH, -60, "fine", 9)),
        (FUND, Entry(CASH, 60, "fine", 9)),
    ]
    traded = [(1, PLANT, MILL, 41, 2, 1, 1), (1, MILL, PLANT, 40, 1, 1, 1)]  # of what, from whom, to whom
    line = line_of(traded, moved, [100] * ACCOUNTS * ASSETS)

    assert [msgspec.structs.astuple(one) for one in booked(line)] == [
        (1, "MILL", "CNY", EXTERNAL, "deposit", 3, 900),
        (1, "FUND", "EUR", EXTERNAL, "withdrawal", 5, -7),
        (1, "MILL", "CNY", INTERNAL, "fine", 9, -60),
        (1, "FUND", "CNY", INTERNAL, "fine", 9, 60),
        (1, "EXCHANGE", "CNY", INTERNAL, FINAL_PAYMENT, 1, 4),
        (1, "PLANT", "CNY", INTERNAL, FINAL_PAYMENT, 1, 82 - 40 - 2),
        (1, "MILL", "CNY", INTERNAL, FINAL_PAYMENT, 1, 40 - 82 - 2),
    ]


@given(st.lists(trades, max_size=12), st.lists(st.tuples(accounts, entries), max_size=6))
def test_bookings_are_what_the_closing_has_more_than_the_opening(traded, moved):
    line = line_of(traded, moved, [50] * ACCOUNTS * ASSETS)
    found = booked(line)

    sums = np.zeros_like(line.opening)
    for one in found:
        sums[NAMES.index(one.account_id), CURRENCIES[one.currency]] += one.fen
    cash = [*CURRENCIES.values()]
    assert (sums == line.closing - line.opening)[:, cash].all()
    payments = [(one.account_id, one.currency) for one in found if one.cause == FINAL_PAYMENT]
    assert len(payments) == len(set(payments)) and all(one.fen for one in found)


def test_a_currency_that_came_after_the_statements_is_in_none_of_their_bookings():
    line = line_of([(1, MILL, PLANT, 41, 2, 1, 1)], [], [100] * ACCOUNTS * ASSETS)

    assert bookings([line], TERMS, NAMES, {**CURRENCIES, "USD": ASSETS}) == booked(line)


# ---------------------------------------------------------------- the file

LINES = (
    Booking(1, "MILL", "CNY", EXTERNAL, "deposit", 3, 900),
    Booking(1, "MILL", "CNY", INTERNAL, "fine", 9, -60),
    Booking(1, "FUND", "CNY", INTERNAL, "fine", 9, 60),
    Booking(2, "FUND", "EUR", EXTERNAL, "withdrawal", 12, -7),
)
FIRST = BookingFile(MONDAY, None, "", LINES)
SECOND = BookingFile(TUESDAY, MONDAY, FIRST.checksum, LINES[:1])


def test_a_file_says_which_went_before_it():
    FIRST.check()
    SECOND.check()
    header, first, *_ = SECOND.text().splitlines()
    assert header == f"bookings,2026-01-06,2026-01-05,{FIRST.checksum}"
    assert first == "1,1,MILL,CNY,external,deposit,3,900"
    assert "total,CNY,60,960" in FIRST.text() and FIRST.text().splitlines()[0] == "bookings,2026-01-05,,"


def test_whoever_alters_an_earlier_file_alters_the_sum_of_the_later():
    other = msgspec.structs.replace(FIRST, lines=LINES[:1])
    assert msgspec.structs.replace(SECOND, previous_checksum=other.checksum).checksum != SECOND.checksum


def test_a_file_that_goes_on_has_the_same_beginning():
    assert FIRST.upto(3) == msgspec.structs.replace(FIRST, lines=LINES[:3])


UNSOUND = [
    pytest.param({"lines": LINES[:2]}, id="money is lost"),
    pytest.param({"lines": (*LINES[:2], msgspec.structs.replace(LINES[2], batch=2))}, id="lost and found"),
    pytest.param({"lines": (*LINES[:2], msgspec.structs.replace(LINES[2], currency="EUR"))}, id="in another currency"),
]


@pytest.mark.parametrize("changes", UNSOUND)
def test_a_file_that_makes_or_loses_money_is_not_taken(changes):
    with pytest.raises(BankFileError, match="internal bookings of batch 1 leave -60 fen of CNY") as error:
        read_bookings(msgspec.structs.replace(FIRST, **changes).text())
    assert error.value.fault == Fault.MALFORMED_FILE


@pytest.mark.parametrize(
    "changes",
    [
        *UNSOUND,
        pytest.param({"lines": LINES[::-1]}, id="batches out of order"),
        pytest.param({"lines": (msgspec.structs.replace(LINES[0], fen=0),)}, id="nothing is moved"),
        pytest.param({"previous": TUESDAY, "previous_checksum": "x"}, id="before itself"),
        pytest.param({"previous": date(2026, 1, 4)}, id="without the checksum"),
        pytest.param({"previous_checksum": "x"}, id="without the day"),
    ],
)
def test_an_unsound_file_is_noticed(changes):
    with pytest.raises(AssertionError):
        msgspec.structs.replace(FIRST, **changes).check()


@pytest.mark.parametrize(
    ("fault", "old", "new"),
    [
        (Fault.MALFORMED_FILE, "bookings,", "balances,"),
        (Fault.MALFORMED_FILE, "external", "elsewhere"),
        (Fault.MALFORMED_FILE, "2026-01-05", "yesterday"),
        (Fault.LINE_DOUBLED, "\n2,", "\n1,"),
        (Fault.LINE_MISSING, "4,2,FUND,EUR,external,withdrawal,12,-7\r\n", ""),
        (Fault.WRONG_CHECKSUM, "900", "901"),
        (Fault.WRONG_CHECKSUM, "900", "-900"),
        (Fault.WRONG_CHECKSUM, "external,deposit", "internal,deposit"),
        (Fault.WRONG_CHECKSUM, "2026-01-05", "2026-01-06"),
    ],
)
def test_what_is_wrong_with_a_file_has_a_name(fault, old, new):
    with pytest.raises(BankFileError) as error:
        read_bookings(FIRST.text().replace(old, new, 1))
    assert error.value.fault == fault
