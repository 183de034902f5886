"""The settlement bank: what a batch pays there, how far that has come, and whether its books agree with ours.

Money lies in a special settlement account at a bank, in a sub-ledger for each participant (national settlement rules,
art. 5 and 6). A batch is paid by an instruction file; the bank answers it line by line, in one file or several:

    debit    a participant pays in    what it confirms is set aside for the batch; what it does not has not been paid
    credit   a participant is paid    is what will be paid; what it does not confirm stays in the sub-ledger

It accepts a line, rejects it, or confirms a part. A file is taken whole or not at all. What is set aside is paid when
the batch is delivered, as far as it is needed then: who fails is taken out, and takes less from others and brings them
less. Where cash is netted somebody may so have to pay more than it was asked for. Before delivery the bank is asked for
that in a supplementary file, with further debits alone, and answers it like the first; and so on, until nobody is asked
for more. A bank that is late is not asked again. Nobody settles more than the bank has confirmed for it in the batch,
besides money that truly came in from others to stand in for that (:mod:`settlement.default`).

What a batch has moved in the end is what its statements say, not its lines. At the end of a day the bank says what it
has in every sub-ledger; where that is not what we have, there is a break. :class:`SimulatedBank` stands in for a bank.
How files look is :mod:`settlement.bank_files`'s.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum

import msgspec
import numpy as np

from settlement.bank_files import (
    AnswerFile,
    BankBalance,
    BankFileError,
    Direction,
    Fault,
    InstructionFile,
    InstructionLine,
    LineAnswer,
    Reply,
    doubled,
)
from settlement.clearing import type_of_column
from settlement.rules import Mode, Policy

# ---------------------------------------------------------------- a batch at the bank


def instructions(
    batch: int,
    day: date,
    mode: Mode,
    out: type_of_column,
    into: type_of_column,
    account_ids: Sequence[str],
    currencies: Mapping[str, int],
) -> InstructionFile:
    """The instruction file of a batch: pay-ins, then pay-outs, each by currency and account number.

    Where cash settles gross, an account pays all its purchases with their fees and is paid all its sales less their
    fees (the house: the fees); where it settles net, it pays or is paid the difference.

    `out` and `into` are fen by (account, asset) that leave and reach an account trade by trade
    (:class:`settlement.netting.Positions`); `account_ids` are by account number, `currencies` asset numbers by code.
    """
    if mode.nets_cash:
        out, into = np.maximum(out - into, 0), np.maximum(into - out, 0)
    payments = [
        (account_ids[account], code, direction, int(amounts[account, asset]))
        for direction, amounts in ((Direction.DEBIT, out), (Direction.CREDIT, into))
        for code, asset in sorted(currencies.items(), key=lambda item: item[1])
        for account in np.flatnonzero(amounts[:, asset]).tolist()
    ]
    lines = tuple(InstructionLine(number, *payment) for number, payment in enumerate(payments, 1))
    return InstructionFile(batch, day, mode, lines)


class Payments(msgspec.Struct, eq=False):
    """How far the payments of a batch have come: what the bank was told and what it has said so far."""

    file: InstructionFile  # the first
    answers: dict[int, LineAnswer] = {}  # by line
    late_at: int | None = None  # when answers were missing, UTC nanoseconds
    more: tuple[InstructionFile, ...] = ()  # the supplementary ones; their lines are numbered on
    brought: dict[tuple[str, str], int] = {}  # fen deposited before delivery that no answer can have counted

    @property
    def last(self) -> InstructionFile:
        """The file that is to be answered: those before it have been."""
        return self.more[-1] if self.more else self.file

    @property
    def lines(self) -> list[InstructionLine]:
        """All lines, file by file."""
        return [line for file in (self.file, *self.more) for line in file.lines]

    @property
    def open_lines(self) -> list[InstructionLine]:
        """Lines that the bank has not answered."""
        return [line for line in self.lines if line.line not in self.answers]

    @property
    def account_ids(self) -> list[str]:
        """Everybody who pays or is paid."""
        return sorted({line.account_id for line in self.lines})

    def totals(self) -> dict[str, tuple[int, int]]:
        """Fen of all debits and of all credits, by currency."""
        return msgspec.structs.replace(self.file, lines=tuple(self.lines)).totals()

    def ask_more(self, debits: Mapping[tuple[str, str], int]) -> InstructionFile:
        """A supplementary file: what is to be paid in besides, fen by (account, currency). Every line was answered."""
        number = len(self.lines)
        lines = [
            InstructionLine(number + place, account_id, code, Direction.DEBIT, fen)
            for place, ((account_id, code), fen) in enumerate(sorted(debits.items()), 1)
        ]
        file = msgspec.structs.replace(self.file, lines=tuple(lines))
        self.more = (*self.more, file)
        return file

    def refuse(self, said: AnswerFile) -> None:
        """BankFileError if an answer file can not be taken, with the first fault in the order of `Fault`."""
        for fault, detail in self._faults(said):
            raise BankFileError(fault, detail)

    def _faults(self, said: AnswerFile) -> Iterator[tuple[Fault, str]]:
        lines = {line.line: line for line in self.last.lines}
        if said.batch != self.file.batch:
            yield Fault.WRONG_BATCH, f"batch {self.file.batch} waits for an answer, not batch {said.batch}"
        if said.answers_to != self.last.checksum:
            yield Fault.WRONG_CHECKSUM, f"the file of batch {self.file.batch} has the checksum {self.last.checksum}"
        for one in said.lines:
            if min(one.fen, one.paid) < 0:
                yield Fault.NEGATIVE_AMOUNT, f"line {one.line}: {min(one.fen, one.paid)} fen"
        for one in said.lines:
            if one.line not in lines:
                yield Fault.LINE_UNKNOWN, f"batch {self.file.batch} has no line {one.line}"
        for number in doubled(one.line for one in said.lines):
            yield Fault.LINE_DOUBLED, f"line {number} is answered twice"
        for one in said.lines:
            if not one.repeats(line := lines[one.line]):
                asked = f"{line.account_id} {line.direction} {line.fen} fen of {line.currency}"
                yield Fault.LINE_ALTERED, f"line {one.line} is: {asked}"
        for one in said.lines:
            if one.line in self.answers:
                yield Fault.LINE_ANSWERED, f"line {one.line} was {self.answers[one.line].reply} before"
        left = {line.line for line in self.open_lines} - {one.line for one in said.lines}
        if not said.lines:
            yield Fault.LINE_MISSING, "no line is answered"
        if left and not said.more_follows:
            yield Fault.LINE_MISSING, f"line {min(left)} is not answered, and no more is to follow"
        for one in said.lines:
            lowest, highest = (1, one.fen - 1) if one.reply == Reply.PARTIAL else (0, 0)
            if not lowest <= one.paid <= highest:
                yield Fault.PARTIAL_OUT_OF_RANGE, f"line {one.line}: {one.reply}, {one.paid} of {one.fen} fen"

    def take(self, said: AnswerFile) -> None:
        """Take an answer file that is not to be refused."""
        self.answers = self.answers | {one.line: one for one in said.lines}

    def note_deposit(self, account_id: str, currency: str, fen: int) -> None:
        """Somebody who is asked has brought money before delivery: it counts besides what the bank has confirmed."""
        holding = account_id, currency
        if holding in self.asked():
            self.brought = dict(sorted({**self.brought, holding: self.brought.get(holding, 0) + fen}.items()))

    def forget_deposits(self, said: AnswerFile) -> None:
        """The bank has answered: what was brought before is in what it says."""
        answered = {(line.account_id, line.currency) for line in said.lines if line.direction == Direction.DEBIT}
        self.brought = {holding: fen for holding, fen in self.brought.items() if holding not in answered}

    def confirmed(self, line: InstructionLine) -> int:
        """Fen that the bank has confirmed of a line; of one that it has not answered none."""
        answer = self.answers.get(line.line)
        return 0 if answer is None else answer.confirmed

    def asked(self) -> dict[tuple[str, str], int]:
        """Fen that each (account, currency) was to pay in."""
        return self._debits(lambda line: line.fen)

    def paid_in(self) -> dict[tuple[str, str], int]:
        """Fen confirmed of each (account, currency) that has to pay in, or brought since, at most what was asked."""
        counted = self._counted()
        return {holding: fen + counted.get(holding, 0) for holding, fen in self._debits(self.confirmed).items()}

    def counts(self, account_id: str, currency: str) -> int:
        """Fen that somebody has brought and that count as paid in, so that they must not be spent otherwise."""
        return self._counted().get((account_id, currency), 0)

    def _counted(self) -> dict[tuple[str, str], int]:
        if not self.brought:
            return {}
        asked, confirmed = self.asked(), self._debits(self.confirmed)
        return {holding: min(fen, asked[holding] - confirmed[holding]) for holding, fen in self.brought.items()}

    def _debits(self, amount: Callable[[InstructionLine], int]) -> dict[tuple[str, str], int]:
        sums: dict[tuple[str, str], int] = {}
        for line in self.lines:
            if line.direction == Direction.DEBIT:
                holding = line.account_id, line.currency
                sums[holding] = sums.get(holding, 0) + amount(line)
        return sums

    def pay_ins(self) -> dict[tuple[str, str], int] | None:
        """Fen confirmed of each (account, currency) that has to pay in; None if all is paid in full."""
        paid_in = self.paid_in()
        return None if paid_in == self.asked() else paid_in

    def kept(self) -> dict[tuple[str, str], int]:
        """Fen of pay-outs that the bank has not confirmed, by (account, currency): they stay in the sub-ledger."""
        credits = [line for line in self.lines if line.direction == Direction.CREDIT]
        return {
            (line.account_id, line.currency): line.fen - self.confirmed(line)
            for line in credits
            if self.confirmed(line) < line.fen
        }

    def check(self) -> None:
        """Assert that the file is sound, and that every answer is to one of its lines and in range."""
        self.file.check()
        lines = {line.line: line for line in self.lines}
        assert [*lines] == [*range(1, len(self.lines) + 1)], "lines are not numbered on from file to file"
        besides = [line for file in self.more for line in file.lines]
        sound = all(file.lines for file in self.more) and all(line.fen > 0 for line in besides)
        assert sound, "a supplementary file asks for nothing"
        assert all(line.direction == Direction.DEBIT for line in besides), "a supplementary file pays somebody"
        for number, answer in self.answers.items():
            said = f"the answer to line {number} of batch {self.file.batch}"
            assert number in lines and answer.repeats(lines[number]), f"{said} is to another line"
            assert 0 <= answer.confirmed <= answer.fen, f"{said} is out of range"


# ---------------------------------------------------------------- do the books agree?


class Finding(StrEnum):
    """What is wrong between the bank's balances and ours."""

    DIFFERS = "differs"
    MISSING = "missing"  # we have something, the bank says nothing
    DOUBLED = "doubled"  # the bank says it twice; its figure is the sum
    UNKNOWN = "unknown"  # we have no such account or currency


class Break(msgspec.Struct, frozen=True):
    """A balance of which the bank says something else than we; fen."""

    finding: Finding
    account_id: str
    currency: str
    ours: int
    banks: int
    difference: int  # the bank's less ours


def reconcile(
    ours: Mapping[tuple[str, str], int],
    account_ids: Collection[str],
    currencies: Collection[str],
    lines: Iterable[BankBalance],
) -> list[Break]:
    """Compare the bank's balances with ours by (account, currency); the breaks by account and currency.

    Who has nothing with us need not stand in the bank's file.
    """
    said: dict[tuple[str, str], list[int]] = {}
    for line in lines:
        said.setdefault((line.account_id, line.currency), []).append(line.fen)
    breaks = []
    for account_id, currency in sorted({*said, *(key for key, fen in ours.items() if fen)}):
        figures = said.get((account_id, currency), [])
        own, banks = ours.get((account_id, currency), 0), sum(figures)
        if account_id not in account_ids or currency not in currencies:
            finding = Finding.UNKNOWN
        elif not figures:
            finding = Finding.MISSING
        elif len(figures) > 1:
            finding = Finding.DOUBLED
        elif own != banks:
            finding = Finding.DIFFERS
        else:
            continue
        breaks.append(Break(finding, account_id, currency, own, banks, banks - own))
    return breaks


# ---------------------------------------------------------------- a bank that does as it is told


class SimulatedBank(msgspec.Struct, frozen=True):
    """A bank by policy. It accepts what nothing else is said of, and always says the same to the same."""

    reject: frozenset[str] = frozenset()  # accounts that can not pay in
    refuse: frozenset[str] = frozenset()  # accounts that can not be paid
    partial: dict[str, int | str] = {}  # what accounts pay in at most: fen, or a share as a decimal, floored
    late: dict[str, int | None] = {}  # minutes until it answers the lines of an account; None: never
    delay_minutes: int | None = 0  # until it answers all others

    def answer(self, file: InstructionFile, minutes: int = 0, answered: Collection[int] = ()) -> AnswerFile | None:
        """What it says so many minutes after it got a file, some lines of which it has answered; None: nothing."""
        waiting = [line for line in file.lines if line.line not in answered]
        due = [line for line in waiting if self._is_due(line, minutes)]
        if not due:
            return None
        said = tuple(self._answer(line) for line in due)
        return AnswerFile(file.batch, file.checksum, said, more_follows=len(due) < len(waiting))

    def minutes_until(self, lines: Iterable[InstructionLine]) -> int | None:
        """Minutes after it got a file at which it answers the first of some of its lines; None: never."""
        delays = {self._delay(line) for line in lines} - {None}
        return min(delays, default=None)  # type: ignore[type-var]

    def _delay(self, line: InstructionLine) -> int | None:
        return self.late.get(line.account_id, self.delay_minutes)

    def _is_due(self, line: InstructionLine, minutes: int) -> bool:
        delay = self._delay(line)
        return delay is not None and minutes >= delay

    def _answer(self, line: InstructionLine) -> LineAnswer:
        paid = self._paid(line)
        reply, reason = Reply.REJECTED, "no funds"
        if paid == line.fen:
            reply, reason = Reply.ACCEPTED, ""
        elif paid:
            reply, reason = Reply.PARTIAL, "not enough funds"
        elif line.direction == Direction.CREDIT:
            reason = "the account takes no payments"
        part = paid if reply == Reply.PARTIAL else 0
        return LineAnswer(**msgspec.structs.asdict(line), reply=reply, paid=part, reason=reason)

    def _paid(self, line: InstructionLine) -> int:
        """Fen of a line that are paid."""
        if line.direction == Direction.CREDIT:
            return 0 if line.account_id in self.refuse else line.fen
        if line.account_id in self.reject:
            return 0
        most = self.partial.get(line.account_id, line.fen)
        if isinstance(most, str):
            most = int(line.fen * Decimal(most))
        return max(0, min(line.fen, most))


MINUTE_NS = 60_000_000_000


def minutes_to_be_late(instructed_ns: int, confirm_by_ns: int | None) -> int:
    """Minutes after its instruction by which answers are half an hour late; times are UTC nanoseconds."""
    if confirm_by_ns is None:
        return 0
    return max(0, (confirm_by_ns - instructed_ns) // MINUTE_NS) + 30


def bank_by(policy: Policy, file: InstructionFile, minutes_late: int) -> SimulatedBank:
    """A bank that answers a file by a policy; a late one after so many minutes."""
    first = next((line.account_id for line in file.lines if line.direction == Direction.DEBIT), "")
    match policy:
        case Policy.ACCEPT:
            return SimulatedBank()
        case Policy.REJECT:
            return SimulatedBank(reject=frozenset({first}))
        case Policy.PARTIAL:
            return SimulatedBank(partial={first: "0.5"})
        case Policy.LATE:
            return SimulatedBank(delay_minutes=minutes_late)
