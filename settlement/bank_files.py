"""The files that pass between the clearing house and the settlement bank.

    payments   what the bank is told to pay for a batch
    answers    what it says to some of these lines, or to all
    bookings   all cash that a day has moved between sub-ledgers, into them from outside, and out of them
    balances   what it has in every participant's sub-ledger at the end of a day

They are CSV: a header, numbered lines, control totals by currency, and a trailer with the count of lines and the
SHA-256 of all that stands before it. There is one way to write a file, and nothing else is read: whatever byte of it
is altered, the trailer or the form no longer fits. What is wrong with a file has a stable name (:class:`Fault`).
Amounts are fen, 0.01 of the line's currency.

A file of bookings names the one that went before it by its day and checksum, so that one that is left out or comes
twice is noticed, and none can be altered later on. A day may get further statements until the next one opens: its file
then goes on where it ended, with the same beginning.
"""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

Row = Sequence[object]
_Line = TypeVar("_Line", bound=msgspec.Struct)

_END = "\r\n"  # of a row (RFC 4180); so the writer quotes either


class Fault(StrEnum):
    """What can be wrong with a bank's file, most fundamental first; but for the first they are reasons of refusal."""

    MALFORMED_FILE = "malformed_file"
    WRONG_BATCH = "wrong_batch"  # it answers for another one
    WRONG_CHECKSUM = "wrong_checksum"  # of the file itself, or of what it answers
    NEGATIVE_AMOUNT = "negative_amount"
    LINE_UNKNOWN = "line_unknown"  # there is no such line
    LINE_DOUBLED = "line_doubled"  # twice in one file
    LINE_ALTERED = "line_altered"  # account, currency, direction or amount are not those of the line
    LINE_ANSWERED = "line_answered"  # in an earlier file
    LINE_MISSING = "line_missing"
    PARTIAL_OUT_OF_RANGE = "partial_out_of_range"  # less than nothing, or no less than all


class BankFileError(ValueError):
    """A file that is not taken."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault
        self.detail = detail


class Direction(StrEnum):
    """Which way money goes, seen from the participant's sub-ledger."""

    DEBIT = "debit"
    CREDIT = "credit"


class Reply(StrEnum):
    """What the bank says to a line."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PARTIAL = "partial"


class Reach(StrEnum):
    """Where the money of a booking comes from, or goes to."""

    EXTERNAL = "external"  # outside of the bank
    INTERNAL = "internal"  # other sub-ledgers


class InstructionLine(msgspec.Struct, frozen=True):
    """One payment: from or to the sub-ledger of an account."""

    line: int  # from 1
    account_id: str
    currency: str
    direction: Direction
    fen: int


class LineAnswer(msgspec.Struct, frozen=True):
    """What the bank says to a line, which it repeats."""

    line: int
    account_id: str
    currency: str
    direction: Direction
    fen: int
    reply: Reply
    paid: int = 0  # fen, of a partial answer
    reason: str = ""

    @property
    def confirmed(self) -> int:
        """Fen that have been paid."""
        return {Reply.ACCEPTED: self.fen, Reply.REJECTED: 0, Reply.PARTIAL: self.paid}[self.reply]

    def repeats(self, line: InstructionLine) -> bool:
        said = self.line, self.account_id, self.currency, self.direction, self.fen
        return said == msgspec.structs.astuple(line)


class Booking(msgspec.Struct, frozen=True):
    """One movement of settled cash: in or out of the sub-ledger of an account."""

    batch: int  # with whose statements it is told
    account_id: str
    currency: str
    reach: Reach
    cause: str  # as statements have it; all trades of a batch are one `final_payment`
    reference: int  # of the cause: a command, a trade, a batch
    fen: int  # below zero: out


class BankBalance(msgspec.Struct, frozen=True):
    """What the bank has in the sub-ledger of an account at the end of a day."""

    account_id: str
    currency: str
    fen: int


# ---------------------------------------------------------------- files


class InstructionFile(msgspec.Struct, frozen=True):
    """What the bank is told to pay for a batch; pay-ins come first."""

    batch: int
    date: date
    mode: str
    lines: tuple[InstructionLine, ...]

    @property
    def checksum(self) -> str:
        return _checksum(self._content())

    def totals(self) -> dict[str, tuple[int, int]]:
        """Fen of all debits and of all credits, by currency."""
        return _totals((line.currency, line.direction, line.fen) for line in self.lines)

    def text(self) -> str:
        return _with_trailer(self._content(), len(self.lines))

    def _content(self) -> str:
        return _content(["payments", self.batch, self.date, self.mode], self.lines, self.totals())

    def check(self) -> None:
        """Assert that lines are numbered, positive, and one to an account, currency and direction; nothing is left."""
        assert [line.line for line in self.lines] == [*range(1, len(self.lines) + 1)], "lines are not numbered"
        assert all(line.fen > 0 for line in self.lines), "a line pays nothing, or less"
        assert not doubled(map(_payment, self.lines)), "a payment is to be made twice"
        for currency, (debits, credits) in self.totals().items():
            assert debits == credits, f"{debits} fen of {currency} are paid in and {credits} paid out"


class AnswerFile(msgspec.Struct, frozen=True):
    """What the bank says to some lines of an instruction file; to all that are open unless more follows."""

    batch: int
    answers_to: str  # checksum of the instruction file
    lines: tuple[LineAnswer, ...]
    more_follows: bool = False

    def totals(self) -> dict[str, tuple[int, int]]:
        """Fen confirmed of debits and of credits, by currency."""
        return _totals((line.currency, line.direction, line.confirmed) for line in self.lines)

    def text(self) -> str:
        ending = "more" if self.more_follows else "complete"
        header = ["answers", self.batch, self.answers_to, ending]
        return _with_trailer(_content(header, self.lines, self.totals()), len(self.lines))


class BookingFile(msgspec.Struct, frozen=True):
    """All cash that was moved up to a day's last statements, since those of the day before."""

    day: date
    previous: date | None  # the day of the file that went before; None: this is the first
    previous_checksum: str
    lines: tuple[Booking, ...]

    @property
    def checksum(self) -> str:
        return _checksum(self._content())

    def text(self) -> str:
        return _with_trailer(self._content(), len(self.lines))

    def upto(self, count: int) -> "BookingFile":
        """The beginning of the file, as it was written when it had so many lines."""
        return msgspec.structs.replace(self, lines=self.lines[:count])

    def left_over(self) -> dict[tuple[int, str], int]:
        """Fen by which internal bookings do not cancel out, by (batch, currency): there must be none."""
        sums: Counter[tuple[int, str]] = Counter()
        for line in self.lines:
            sums[line.batch, line.currency] += line.fen if line.reach == Reach.INTERNAL else 0
        return {key: fen for key, fen in sums.items() if fen}

    def _content(self) -> str:
        totals = _totals((line.currency, _direction(line.fen), abs(line.fen)) for line in self.lines)
        header = ["bookings", self.day, self.previous or "", self.previous_checksum]
        return _content(header, _numbered(self.lines), totals)

    def check(self) -> None:
        """Assert that it follows on an earlier file or on none, batch by batch, and that no money is made or lost."""
        assert (self.previous is None) == (not self.previous_checksum), "the file before has no day, or no checksum"
        assert self.previous is None or self.previous < self.day, f"{self.day} follows on {self.previous}"
        batches = [line.batch for line in self.lines]
        assert batches == sorted(batches), "bookings are not in the order of their batches"
        assert all(line.fen for line in self.lines), "a booking moves nothing"
        assert not self.left_over(), f"internal bookings leave {self.left_over()} over"


class BalanceFile(msgspec.Struct, frozen=True):
    """What the bank has in all sub-ledgers at the end of a day."""

    date: date
    lines: tuple[BankBalance, ...]

    def text(self) -> str:
        totals = _totals((line.currency, Direction.CREDIT, line.fen) for line in self.lines)
        return _with_trailer(_content(["balances", self.date], _numbered(self.lines), totals), len(self.lines))


def read_instructions(text: str) -> InstructionFile:
    """The instruction file that a text is. BankFileError if it is none, or not as it was written."""
    (batch, day, mode), rows, count = _parts(text, "payments", 3, 5)
    with _form_as_fault():
        lines = _read(rows, (int, str, str, Direction, int), InstructionLine)
        file = InstructionFile(int(batch), date.fromisoformat(day), mode, lines)
    _require_positive(line.fen for line in lines)
    _require_single([line.line for line in lines])
    _require_single([_payment(line) for line in lines])
    _require_all(lines, count)
    _require_as_written(file, text)
    return file


def read_answers(text: str) -> AnswerFile:
    """The answer file that a text is. BankFileError if it is none, or not as it was written."""
    (batch, answers_to, ending), rows, count = _parts(text, "answers", 3, 8)
    with _form_as_fault():
        lines = _read(rows, (int, str, str, Direction, int, Reply, int, str), LineAnswer)
        file = AnswerFile(int(batch), answers_to, lines, ending == "more")
    _require_positive(amount for line in lines for amount in (line.fen, line.paid))
    _require_single([line.line for line in lines])
    _require_all(lines, count)
    _require_as_written(file, text)
    return file


def read_bookings(text: str) -> BookingFile:
    """The bookings file that a text is. BankFileError if it is none, not as it was written, or makes or loses money."""
    (day, previous, checksum), rows, count = _parts(text, "bookings", 3, 8)
    with _form_as_fault():
        lines = _read(rows, (None, int, str, str, Reach, str, int, int), Booking)
        before = date.fromisoformat(previous) if previous else None
        file = BookingFile(date.fromisoformat(day), before, checksum, lines)
    _require_single([row[0] for row in rows])
    _require_all(lines, count)
    _require_as_written(file, text)
    for (batch, currency), fen in file.left_over().items():
        raise BankFileError(Fault.MALFORMED_FILE, f"internal bookings of batch {batch} leave {fen} fen of {currency}")
    return file


def read_balances(text: str) -> BalanceFile:
    """The balance file that a text is. BankFileError if it is none, or not as it was written.

    An account that stands in it twice is for :func:`reconcile` to report.
    """
    (day,), rows, count = _parts(text, "balances", 1, 4)
    with _form_as_fault():
        lines = _read(rows, (None, str, str, int), BankBalance)
        file = BalanceFile(date.fromisoformat(day), lines)
    _require_positive(line.fen for line in lines)
    _require_single([row[0] for row in rows])
    _require_all(lines, count)
    _require_as_written(file, text)
    return file


def _content(
    header: Row, lines: Iterable[msgspec.Struct | tuple[object, ...]], totals: dict[str, tuple[int, int]]
) -> str:
    """A file without its trailer."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator=_END, quoting=csv.QUOTE_MINIMAL)
    writer.writerow(header)
    writer.writerows(line if isinstance(line, tuple) else msgspec.structs.astuple(line) for line in lines)
    writer.writerows(("total", currency, *sums) for currency, sums in totals.items())
    return written.getvalue()


def _numbered(lines: Iterable[msgspec.Struct]) -> Iterator[tuple[object, ...]]:
    return ((number, *msgspec.structs.astuple(line)) for number, line in enumerate(lines, 1))


def _direction(fen: int) -> Direction:
    return Direction.DEBIT if fen < 0 else Direction.CREDIT


def _checksum(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _with_trailer(content: str, lines: int) -> str:
    return f"{content}end,{lines},{_checksum(content)}{_END}"


def _totals(amounts: Iterable[tuple[str, Direction, int]]) -> dict[str, tuple[int, int]]:
    """Debits and credits by currency."""
    sums: dict[str, dict[Direction, int]] = {}
    for currency, direction, fen in amounts:
        sums.setdefault(currency, dict.fromkeys(Direction, 0))[direction] += fen
    return {currency: (sums[currency][Direction.DEBIT], sums[currency][Direction.CREDIT]) for currency in sorted(sums)}


def _payment(line: InstructionLine) -> tuple[str, str, Direction]:
    return line.account_id, line.currency, line.direction


def doubled(keys: Iterable[Hashable]) -> list[Hashable]:
    """What comes more than once."""
    return [key for key, count in Counter(keys).items() if count > 1]


def _parts(text: str, kind: str, header_fields: int, fields: int) -> tuple[list[str], list[list[str]], int]:
    """Header, lines and count of lines of a file of a kind; what its numbers mean is for the caller."""
    with _form_as_fault():
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        first, last = (rows[0], rows[-1]) if rows else ([], [])
        if (first[:1], last[:1], len(first), len(last)) != ([kind], ["end"], header_fields + 1, 3):
            raise ValueError(f"this is no file of {kind}, or its last lines are missing")
        lines = [row for row in rows[1:-1] if row[:1] != ["total"]]
        for number, row in enumerate(lines, 1):
            if len(row) != fields:
                raise ValueError(f"line {number} has {len(row)} fields, not {fields}")
        return first[1:], lines, int(last[1])


def _read(
    rows: list[list[str]], kinds: Sequence[Callable[[str], Any] | None], line: Callable[..., _Line]
) -> tuple[_Line, ...]:
    """Lines made of their fields, each of its kind; None: a field that the line does not keep."""
    return tuple(line(*_fields(number, row, kinds)) for number, row in enumerate(rows, 1))


def _fields(number: int, row: list[str], kinds: Sequence[Callable[[str], Any] | None]) -> list[Any]:
    try:
        return [kind(field) for kind, field in zip(kinds, row, strict=True) if kind]
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None


@contextmanager
def _form_as_fault() -> Iterator[None]:
    """Whatever can not be read is malformed."""
    try:
        yield
    except (ValueError, csv.Error) as error:
        raise BankFileError(Fault.MALFORMED_FILE, str(error)) from error


def _require_positive(amounts: Iterable[int]) -> None:
    lowest = min(amounts, default=0)
    if lowest < 0:
        raise BankFileError(Fault.NEGATIVE_AMOUNT, f"{lowest} fen")


def _require_single(keys: list[Any]) -> None:
    for key in doubled(keys):
        raise BankFileError(Fault.LINE_DOUBLED, f"{key} comes twice")


def _require_all(lines: Sequence[object], count: int) -> None:
    if len(lines) < count:
        raise BankFileError(Fault.LINE_MISSING, f"{count} lines were written, {len(lines)} are here")


def _require_as_written(file: InstructionFile | AnswerFile | BookingFile | BalanceFile, found: str) -> None:
    with _form_as_fault():
        is_as_written = file.text() == found
    if not is_as_written:
        raise BankFileError(Fault.WRONG_CHECKSUM, "the file is not as it was written")
