"""The settlement bank: files written and read, answers taken or not, balances compared, a bank by policy.

PLANT has sold for 417,900 fen and bought for 20,000, MILL has bought for 422,100 and sold for 20,000, each with fees;
the house earns 4,200.
"""

from datetime import date
from itertools import combinations

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from settlement.bank import Break, Finding, Payments, SimulatedBank, instructions, reconcile
from settlement.bank_files import (
    AnswerFile,
    BalanceFile,
    BankBalance,
    BankFileError,
    Booking,
    BookingFile,
    Direction,
    Fault,
    InstructionFile,
    InstructionLine,
    LineAnswer,
    Reach,
    Reply,
    read_answers,
    read_balances,
    read_bookings,
    read_instructions,
)
from settlement.rules import Mode

HOUSE, PLANT, MILL = 1, 2, 3
NAMES = ["", "EXCHANGE", "PLANT", "MILL"]
CNY, TONNES, EUR = 0, 1, 2
CURRENCIES = {"CNY": CNY, "EUR": EUR}
DAY = date(2025, 3, 3)
DEBIT, CREDIT = Direction
ACCEPTED, REJECTED, PARTIAL = Reply

OUT = np.array([[0, 0, 0], [0, 0, 0], [20_000, 100, 0], [422_100, 10, 0]])
INTO = np.array([[0, 0, 0], [4_200, 0, 0], [417_900, 10, 0], [20_000, 100, 0]])


def file_of(mode=Mode.GROSS_GROSS, out=OUT, into=INTO):
    return instructions(7, DAY, mode, out, into, NAMES, CURRENCIES)


def accepted(line, /, **changes):
    """The answer that accepts a line, but for the changes."""
    return msgspec.structs.replace(LineAnswer(**msgspec.structs.asdict(line), reply=ACCEPTED), **changes)


def answer_to(file, *numbers, more=False, **changes):
    """An answer file that accepts these lines, or all."""
    lines = tuple(accepted(line) for line in file.lines if not numbers or line.line in numbers)
    said = AnswerFile(file.batch, file.checksum, lines, more)
    return msgspec.structs.replace(said, **changes)


def fault_of(act, *arguments):
    with pytest.raises(BankFileError) as error:
        act(*arguments)
    return error.value.fault


# ---------------------------------------------------------------- instructions


def test_gross_everybody_pays_what_it_bought_and_is_paid_what_it_sold():
    file = file_of()

    file.check()
    assert [msgspec.structs.astuple(line) for line in file.lines] == [
        (1, "PLANT", "CNY", DEBIT, 20_000),
        (2, "MILL", "CNY", DEBIT, 422_100),
        (3, "EXCHANGE", "CNY", CREDIT, 4_200),
        (4, "PLANT", "CNY", CREDIT, 417_900),
        (5, "MILL", "CNY", CREDIT, 20_000),
    ]
    assert file.totals() == {"CNY": (442_100, 442_100)}


@pytest.mark.parametrize("mode", [Mode.GROSS_NET, Mode.NET_NET])
def test_where_cash_nets_everybody_pays_or_is_paid_the_difference(mode):
    file = file_of(mode)

    file.check()
    assert [msgspec.structs.astuple(line) for line in file.lines] == [
        (1, "MILL", "CNY", DEBIT, 402_100),
        (2, "EXCHANGE", "CNY", CREDIT, 4_200),
        (3, "PLANT", "CNY", CREDIT, 397_900),
    ]


def test_currencies_do_not_net_against_each_other():
    out, into = OUT.copy(), INTO.copy()
    out[PLANT, EUR] = into[MILL, EUR] = 500
    file = file_of(Mode.NET_NET, out, into)

    file.check()
    assert file.totals() == {"CNY": (402_100, 402_100), "EUR": (500, 500)}
    assert [(line.account_id, line.currency) for line in file.lines if line.direction == DEBIT] == [
        ("MILL", "CNY"),
        ("PLANT", "EUR"),
    ]


def test_who_owes_as_much_as_it_gets_is_not_in_a_net_file():
    file = file_of(Mode.NET_NET, OUT, OUT)

    assert file.lines == () and file.totals() == {}
    assert read_instructions(file.text()) == file


amounts = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 10**12), st.integers(0, 100)))


@given(trades=amounts, mode=st.sampled_from(Mode))
def test_what_is_paid_in_is_paid_out(trades, mode):
    out, into = np.zeros((2, 4, 3), np.int64)
    for payer, taker, fen, fee in trades:
        out[payer, CNY] += fen + fee
        into[taker, CNY] += fen
        into[HOUSE, CNY] += fee
    file = file_of(mode, out, into)

    file.check()
    for account, name in enumerate(NAMES):
        paid = {line.direction: line.fen for line in file.lines if line.account_id == name}
        assert paid.get(CREDIT, 0) - paid.get(DEBIT, 0) == into[account, CNY] - out[account, CNY]
        if mode != Mode.GROSS_GROSS:
            assert len(paid) <= 1


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda lines: [lines[0], *lines], id="doubled"),
        pytest.param(lambda lines: lines[1:], id="missing"),
        pytest.param(lambda lines: [*lines, msgspec.structs.replace(lines[0], line=6)], id="paid twice"),
        pytest.param(lambda lines: [*lines[:-1], msgspec.structs.replace(lines[-1], fen=1)], id="out of balance"),
        pytest.param(lambda lines: [msgspec.structs.replace(line, fen=-line.fen) for line in lines], id="negative"),
    ],
)
def test_an_unsound_file_is_noticed(spoil):
    file = file_of()
    with pytest.raises(AssertionError):
        msgspec.structs.replace(file, lines=tuple(spoil(list(file.lines)))).check()


# ---------------------------------------------------------------- written and read

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
whole = st.integers(0, 10**18)
lines = st.lists(st.tuples(texts, texts, st.sampled_from(Direction), whole), max_size=6)
instruction_files = st.builds(
    lambda batch, day, mode, payments: InstructionFile(
        batch, day, mode, tuple(InstructionLine(number, *payment) for number, payment in enumerate(payments, 1))
    ),
    st.integers(1, 10**6),
    st.dates(),
    texts,
    lines.filter(lambda found: len({payment[:3] for payment in found}) == len(found)),
)
answer_files = st.builds(
    AnswerFile,
    st.integers(1, 10**6),
    texts,
    st.lists(
        st.builds(
            LineAnswer, whole, texts, texts, st.sampled_from(Direction), whole, st.sampled_from(Reply), whole, texts
        ),
        max_size=6,
        unique_by=lambda line: line.line,
    ).map(tuple),
    st.booleans(),
)
balance_files = st.builds(
    BalanceFile, st.dates(), st.lists(st.builds(BankBalance, texts, texts, whole), max_size=6).map(tuple)
)


@st.composite
def booking_files(draw):
    """Deposits and withdrawals, and transfers from one sub-ledger to another; after another file, or the first."""
    booked = []
    for batch in range(draw(st.integers(0, 3))):
        currency, cause, reference, fen = draw(texts), draw(texts), draw(whole), draw(st.integers(-(10**18), 10**18))
        booked.append(Booking(batch, draw(texts), currency, Reach.EXTERNAL, cause, reference, fen))
        for part in (fen, -fen):
            booked.append(Booking(batch, draw(texts), currency, Reach.INTERNAL, cause, reference, part))
    before = draw(st.one_of(st.none(), st.dates()))
    return BookingFile(draw(st.dates()), before, "" if before is None else draw(texts), tuple(booked))


files = st.one_of(
    st.tuples(st.just(read_bookings), booking_files()),
    st.tuples(st.just(read_instructions), instruction_files),
    st.tuples(st.just(read_answers), answer_files),
    st.tuples(st.just(read_balances), balance_files),
)


@given(files)
def test_what_is_written_is_read(pair):
    read, file = pair
    assert read(file.text()) == file


@given(files, st.data())
def test_a_file_of_which_anything_is_altered_is_not_taken(pair, data):
    read, file = pair
    text = file.text()
    at = data.draw(st.integers(0, len(text) - 1))
    until = data.draw(st.integers(at, min(len(text), at + 3)))
    put = data.draw(st.one_of(st.sampled_from(list("0123456789,\n\r\"' -+")), texts))
    altered = text[:at] + put + text[until:]
    assume(altered != text)

    with pytest.raises(BankFileError):
        read(altered)


@given(files, st.data())
def test_a_file_with_a_row_doubled_or_left_out_is_not_taken(pair, data):
    read, file = pair
    rows = file.text().splitlines(keepends=True)
    at = data.draw(st.integers(0, len(rows) - 1))
    left_out, doubled = "".join(rows[:at] + rows[at + 1 :]), "".join([*rows[: at + 1], *rows[at:]])

    for spoilt in (left_out, doubled):
        with pytest.raises(BankFileError):
            read(spoilt)


@given(st.one_of(st.text(max_size=60), st.lists(texts).map(",".join)))
def test_what_is_no_file_is_not_taken(text):
    for read in (read_instructions, read_answers, read_bookings, read_balances):
        with pytest.raises(BankFileError):
            read(text)


BALANCES = BalanceFile(DAY, (BankBalance("PLANT", "CNY", 100), BankBalance("MILL", "CNY", 200)))
WRITTEN = {
    read_instructions: file_of().text(),
    read_answers: answer_to(file_of()).text(),
    read_balances: BALANCES.text(),
}


def rows_of(read):
    header, *rows, total, trailer = WRITTEN[read].splitlines(keepends=True)
    return header, rows, total, trailer


@pytest.mark.parametrize("read", WRITTEN)
@pytest.mark.parametrize(
    ("fault", "spoil"),
    [
        pytest.param(Fault.MALFORMED_FILE, lambda h, rows, t, end: [], id="nothing"),
        pytest.param(Fault.MALFORMED_FILE, lambda h, rows, t, end: ["\n", *rows, t, end], id="no header"),
        pytest.param(Fault.MALFORMED_FILE, lambda h, rows, t, end: ["x" + h, *rows, t, end], id="of another kind"),
        pytest.param(Fault.MALFORMED_FILE, lambda h, rows, t, end: [h, *rows, t], id="without its trailer"),
        pytest.param(Fault.MALFORMED_FILE, lambda h, rows, t, end: [h, *rows, "\n", t, end], id="an empty line"),
        pytest.param(Fault.MALFORMED_FILE, lambda h, rows, t, end: [h, *rows, "1,2\n", t, end], id="half a line"),
        pytest.param(Fault.MALFORMED_FILE, lambda h, rows, t, end: [h, *rows, '"', t, end], id="an open quote"),
        pytest.param(
            Fault.MALFORMED_FILE,
            lambda h, rows, t, end: [h, rows[0].replace("00", "00.5", 1), *rows[1:], t, end],
            id="half a fen",
        ),
        pytest.param(
            Fault.NEGATIVE_AMOUNT,
            lambda h, rows, t, end: [h, ",".join(negative(rows[0].split(","))), *rows[1:], t, end],
            id="a negative amount",
        ),
        pytest.param(Fault.LINE_DOUBLED, lambda h, rows, t, end: [h, rows[0], *rows, t, end], id="a line twice"),
        pytest.param(
            Fault.LINE_DOUBLED, lambda h, rows, t, end: [h, rows[0], *rows[:-1], t, end], id="a line in another's place"
        ),
        pytest.param(Fault.LINE_MISSING, lambda h, rows, t, end: [h, *rows[1:], t, end], id="without a line"),
        pytest.param(Fault.WRONG_CHECKSUM, lambda h, rows, t, end: [h, *rows, end], id="without its total"),
        pytest.param(
            Fault.WRONG_CHECKSUM,
            lambda h, rows, t, end: [h, rows[0].replace("PLANT", "PLAnT"), *rows[1:], t, end],
            id="another account",
        ),
        pytest.param(
            Fault.WRONG_CHECKSUM, lambda h, rows, t, end: [h, *reversed(rows), t, end], id="in another order"
        ),
        pytest.param(
            Fault.WRONG_CHECKSUM, lambda h, rows, t, end: [h, *rows, t, end.replace("\r", "")], id="other line ends"
        ),
        pytest.param(
            Fault.WRONG_CHECKSUM, lambda h, rows, t, end: [h.replace("2025", "2026").replace("7", "8"), *rows, t, end],
            id="another header",
        ),
        pytest.param(Fault.WRONG_CHECKSUM, lambda h, rows, t, end: [h, *rows, t, end[:-3] + "x\r\n"], id="another sum"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_has_a_name(read, fault, spoil):
    assert fault_of(read, "".join(spoil(*rows_of(read)))) == fault


def negative(fields):
    """The same line with its first amount below zero."""
    at = next(at for at, field in enumerate(fields) if at and field.strip().isdigit())
    return [*fields[:at], f"-{fields[at]}", *fields[at + 1 :]]


def test_a_payment_that_is_to_be_made_twice_is_noticed_when_it_is_read():
    first = file_of().lines[0]
    twice = InstructionFile(7, DAY, "gross_gross", (first, msgspec.structs.replace(first, line=2)))

    assert fault_of(read_instructions, twice.text()) == Fault.LINE_DOUBLED


# ---------------------------------------------------------------- answers


def altered(number, **changes):
    """Answers of which one is altered."""
    return lambda said: msgspec.structs.replace(
        said,
        lines=tuple(msgspec.structs.replace(one, **changes) if one.line == number else one for one in said.lines),
    )


def without(number):
    return lambda said: msgspec.structs.replace(said, lines=tuple(one for one in said.lines if one.line != number))


def with_another(line):
    return lambda said: msgspec.structs.replace(said, lines=(*said.lines, accepted(line)))


LINES = file_of().lines
FAULTS = [
    (Fault.WRONG_BATCH, lambda said: msgspec.structs.replace(said, batch=6)),
    (Fault.WRONG_CHECKSUM, lambda said: msgspec.structs.replace(said, answers_to="0" * 64)),
    (Fault.NEGATIVE_AMOUNT, altered(1, fen=-20_000)),
    (Fault.NEGATIVE_AMOUNT, altered(1, reply=PARTIAL, paid=-1)),
    (Fault.LINE_UNKNOWN, with_another(msgspec.structs.replace(LINES[0], line=6))),
    (Fault.LINE_UNKNOWN, with_another(msgspec.structs.replace(LINES[0], line=0))),
    (Fault.LINE_DOUBLED, with_another(LINES[2])),
    (Fault.LINE_ALTERED, altered(2, fen=422_099)),
    (Fault.LINE_ALTERED, altered(2, account_id="PLANT")),
    (Fault.LINE_ALTERED, altered(2, currency="EUR")),
    (Fault.LINE_ALTERED, altered(2, direction=CREDIT)),
    (Fault.LINE_MISSING, without(5)),
    (Fault.PARTIAL_OUT_OF_RANGE, altered(4, reply=PARTIAL, paid=0)),
    (Fault.PARTIAL_OUT_OF_RANGE, altered(4, reply=PARTIAL, paid=417_900)),
    (Fault.PARTIAL_OUT_OF_RANGE, altered(4, reply=PARTIAL, paid=10**30)),
    (Fault.PARTIAL_OUT_OF_RANGE, altered(4, reply=ACCEPTED, paid=417_900)),
    (Fault.PARTIAL_OUT_OF_RANGE, altered(4, reply=REJECTED, paid=1)),
]


@pytest.mark.parametrize(("fault", "spoil"), FAULTS)
def test_an_answer_with_a_fault_is_not_taken(fault, spoil):
    payments = Payments(file_of())

    assert fault_of(payments.refuse, spoil(answer_to(payments.file))) == fault


def test_of_two_faults_the_more_fundamental_is_named():
    payments = Payments(file_of())
    for (one, first), (other, second) in combinations(FAULTS, 2):
        if one != other:
            said = second(first(answer_to(payments.file)))
            assert fault_of(payments.refuse, said) == min(one, other, key=list(Fault).index)


@pytest.mark.parametrize(("fault", "spoil"), FAULTS)
def test_that_a_line_was_answered_before_is_named_in_its_place(fault, spoil):
    payments = Payments(file_of())
    payments.take(answer_to(payments.file, 3, more=True))

    said = spoil(answer_to(payments.file))
    assert fault_of(payments.refuse, said) == min(fault, Fault.LINE_ANSWERED, key=list(Fault).index)


def test_a_file_without_a_line_is_no_answer():
    payments = Payments(file_of())

    assert fault_of(payments.refuse, answer_to(payments.file, lines=(), more_follows=True)) == Fault.LINE_MISSING


def test_a_line_is_answered_once():
    payments = Payments(file_of())
    payments.take(answer_to(payments.file, 1, 2, more=True))

    assert fault_of(payments.refuse, answer_to(payments.file, 2, 3, more=True)) == Fault.LINE_ANSWERED
    assert [line.line for line in payments.open_lines] == [3, 4, 5]


def test_the_bank_may_answer_in_several_files():
    payments = Payments(file_of())
    for numbers, more in (((5, 1), True), ((2,), True), ((3, 4), False)):
        said = answer_to(payments.file, *numbers, more=more)
        payments.refuse(said)
        payments.take(said)
        payments.check()

    assert payments.open_lines == [] and payments.pay_ins() is None and payments.kept() == {}


def test_what_is_not_confirmed_has_not_been_paid():
    payments = Payments(file_of())
    assert payments.pay_ins() == {("PLANT", "CNY"): 0, ("MILL", "CNY"): 0}
    bank = SimulatedBank(reject=frozenset({"PLANT"}), partial={"MILL": 400_000}, refuse=frozenset({"MILL"}))
    payments.take(bank.answer(payments.file))

    assert payments.pay_ins() == {("PLANT", "CNY"): 0, ("MILL", "CNY"): 400_000}
    assert payments.kept() == {("MILL", "CNY"): 20_000}


def test_a_pay_out_that_is_rejected_takes_nothing_from_what_was_paid_in():
    payments = Payments(file_of())
    payments.take(SimulatedBank(refuse=frozenset({"PLANT"})).answer(payments.file))

    assert payments.pay_ins() is None
    assert payments.kept() == {("PLANT", "CNY"): 417_900}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(accepted(LINES[0], line=2), id="to another line"),
        pytest.param(accepted(LINES[1], fen=1), id="altered"),
        pytest.param(accepted(LINES[1], reply=PARTIAL, paid=-1), id="less than nothing"),
        pytest.param(accepted(LINES[1], reply=PARTIAL, paid=422_101), id="more than all"),
        pytest.param(accepted(LINES[1], line=9), id="to no line"),
    ],
)
def test_an_answer_that_should_not_be_there_is_noticed(answer):
    payments = Payments(file_of(), {answer.line: answer})
    with pytest.raises(AssertionError):
        payments.check()


# ---------------------------------------------------------------- a bank by policy


def replies(said):
    return {line.line: (line.reply, line.confirmed) for line in said.lines}


def test_a_bank_accepts():
    file = file_of()
    said = SimulatedBank().answer(file)

    assert said == answer_to(file)
    assert read_answers(said.text()) == said


def test_a_bank_rejects_what_accounts_pay_in():
    said = SimulatedBank(reject=frozenset({"MILL"})).answer(file_of())

    assert replies(said)[2] == (REJECTED, 0) and said.lines[1].reason == "no funds"
    assert replies(said)[5] == (ACCEPTED, 20_000)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        pytest.param(400_000, (PARTIAL, 400_000), id="fen"),
        pytest.param("0.5", (PARTIAL, 211_050), id="a share"),
        pytest.param("0.9999999", (PARTIAL, 422_099), id="a share, floored"),
        pytest.param(0, (REJECTED, 0), id="nothing"),
        pytest.param("0.000001", (REJECTED, 0), id="next to nothing"),
        pytest.param("1", (ACCEPTED, 422_100), id="all"),
        pytest.param(10**9, (ACCEPTED, 422_100), id="more than all"),
    ],
)
def test_a_bank_pays_in_part(most, expected):
    assert replies(SimulatedBank(partial={"MILL": most}).answer(file_of()))[2] == expected


def test_a_bank_answers_late_or_never():
    file = file_of()
    bank = SimulatedBank(late={"MILL": None, "PLANT": 30}, delay_minutes=5)

    assert bank.answer(file) is None
    first = bank.answer(file, minutes=5)
    assert [*replies(first)] == [3] and first.more_follows
    assert bank.answer(file, 29, answered={3}) is None
    second = bank.answer(file, 30, answered={3})
    assert [*replies(second)] == [1, 4] and second.more_follows
    assert bank.answer(file, 10**6, answered={1, 3, 4}) is None


def test_the_last_of_its_files_says_so():
    file = file_of()
    bank = SimulatedBank(late={"MILL": 10})
    payments = Payments(file)
    for minutes in (0, 10):
        said = bank.answer(file, minutes, payments.answers)
        payments.refuse(said)
        payments.take(said)

    assert not said.more_follows and payments.open_lines == []


@given(
    st.sampled_from(Mode),
    st.dictionaries(st.sampled_from(NAMES), st.one_of(st.integers(0, 500_000), st.just("0.3"))),
    st.sets(st.sampled_from(NAMES)),
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3)),
)
def test_what_a_bank_says_is_always_taken(mode, partial, rejected, late):
    bank = SimulatedBank(frozenset(rejected), frozenset(rejected), partial, late)
    payments = Payments(file_of(mode))
    for minute in range(4):
        if said := bank.answer(payments.file, minute, payments.answers):
            assert read_answers(said.text()) == said
            payments.refuse(said)
            payments.take(said)
            payments.check()

    assert payments.open_lines == []


# ---------------------------------------------------------------- balances


OURS = {("PLANT", "CNY"): 100, ("MILL", "CNY"): 200, ("MILL", "EUR"): 5}


def breaks_of(*said):
    return reconcile(OURS, NAMES, ["CNY", "EUR"], [BankBalance(*line) for line in said])


def test_books_that_agree_have_no_break():
    assert breaks_of(*((*key, fen) for key, fen in OURS.items())) == []
    assert breaks_of(*((*key, fen) for key, fen in OURS.items()), ("PLANT", "EUR", 0)) == []
    assert reconcile({("PLANT", "CNY"): 0}, NAMES, ["CNY"], []) == []


def test_every_break_is_named_with_both_figures():
    found = breaks_of(
        ("PLANT", "CNY", 99), ("MILL", "EUR", 5), ("MILL", "EUR", 5), ("ZOE", "CNY", 1), ("PLANT", "USD", 0)
    )

    assert found == [
        Break(Finding.MISSING, "MILL", "CNY", 200, 0, -200),
        Break(Finding.DOUBLED, "MILL", "EUR", 5, 10, 5),
        Break(Finding.DIFFERS, "PLANT", "CNY", 100, 99, -1),
        Break(Finding.UNKNOWN, "PLANT", "USD", 0, 0, 0),
        Break(Finding.UNKNOWN, "ZOE", "CNY", 0, 1, 1),
    ]


keys = st.tuples(st.sampled_from(["PLANT", "MILL", "ZOE"]), st.sampled_from(["CNY", "EUR", "USD"]))


@given(
    st.dictionaries(keys.filter(lambda key: key[0] != "ZOE" and key[1] != "USD"), whole),
    st.lists(st.tuples(keys, whole)),
)
def test_differences_explain_the_difference_of_all(ours, said):
    lines = [BankBalance(*key, fen) for key, fen in said]
    found = reconcile(ours, NAMES, ["CNY", "EUR"], lines)

    assert sum(one.difference for one in found) == sum(fen for _, fen in said) - sum(ours.values())
    agrees = {key: fen for key, fen in ours.items() if fen} == {key: fen for key, fen in said if fen}
    is_plain = len({key for key, _ in said}) == len(said) and all(
        "ZOE" not in key and "USD" not in key for key, _ in said
    )
    assert (found == []) == (agrees and is_plain)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(("2,B,CNY,250", "2,B,CNY,2.50"), "line 2: invalid literal", id="half a fen"),
        pytest.param(("2,B,CNY,250", "2,B,CNY"), "line 2 has 3 fields, not 4", id="a field less"),
        pytest.param(("balances,", "payments,"), "this is no file of balances", id="of another kind"),
    ],
)
def test_what_can_not_be_read_is_named_by_its_line(spoil, said):
    file = BalanceFile(date(2026, 1, 5), (BankBalance("A", "CNY", 100), BankBalance("B", "CNY", 250)))
    text = file.text()
    assert spoil[0] in text
    with pytest.raises(BankFileError, match=said):
        read_balances(text.replace(*spoil))
