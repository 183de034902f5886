"""A settlement bank from outside: a participant that is asked and answers over HTTP, and has books of its own.

It looks at the market again and again. A batch that has been instructed it answers by its policy, from the instruction
file that it gets, with an answer file. Behind a day's statements it books the day's bookings in its sub-ledgers
(:mod:`simulation.sub_ledgers`) and sends the balances that these come to: whatever is wrong in its books, or in what it
was told to book, is a break at the exchange. Books in a file go on after a restart where they ended; others are made
anew from the bookings of every day. What it has sent it can see at the exchange. What it answers, and when by the
market's clock, is decided where the bank inside the exchange has it from (:func:`settlement.bank.bank_by`).
"""

import asyncio
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

import msgspec

from api.client import ApiError, AsyncClient
from api.schemas import BatchRow, MarketView
from settlement.bank import MINUTE_NS, bank_by, minutes_to_be_late
from settlement.bank_files import BankFileError, Direction, InstructionLine, read_bookings, read_instructions
from settlement.rules import Policy
from simulation.sub_ledgers import BooksError, SubLedgers

_PAUSE_S = 0.1


class BankError(Exception):
    """It can not be the bank of this exchange; `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class SettlementBank:
    """A bank with an account at the exchange; `say` tells a person what it does, `files` keeps what it gets and sends.

    Without `books` it keeps them in memory.
    """

    def __init__(
        self,
        client: AsyncClient,
        account_id: str,
        policy: Policy,
        say: Callable[[str], None],
        files: Path | None = None,
        books: SubLedgers | None = None,
    ) -> None:
        self.client = client
        self.account_id = account_id
        self.policy = policy
        self.say = say
        self.files = files
        self.books = books or SubLedgers()
        self.confirm_by: str | None = None  # by the rules
        self.today: date | None = None  # of the market, when it last looked
        self.batches: dict[int, BatchRow] = {}  # as it last saw them, by number
        self.silent_until: dict[int, int] = {}  # when it has more to say to a batch, UTC nanoseconds
        self.answered: set[int] = set()  # late batches to which it has no more to say
        self.reported: set[int] = set()  # batches behind which its balances have been sent

    async def enrol(self) -> None:
        """Have an account, and books. BankError if the market settles without a bank, or the account is no bank's."""
        rules = (await self.client.rules())["settlement"]
        if not rules["bank"]:
            raise BankError("no_bank", "this market settles without a bank: nobody will be asked")
        self.confirm_by = rules["confirm_by"]
        try:
            found = (await self.client.account(self.account_id)).participant_class
        except ApiError as error:
            if error.code != "unknown_account":
                raise
            opened = await self.client.open_account(self.account_id, "Settlement bank", "clearing_bank")
            found = opened.participant_class
        if found != "clearing_bank":
            raise BankError(
                "not_permitted", f"{self.account_id} is a {found}, not a clearing_bank; name another account"
            )
        compared = [report.date for report in await self.client.reconciliations()]
        if compared:
            self.batches = {batch.number: batch for batch in await self.client.batches()}
            self.reported = {one for day, numbers in self._days().items() if day <= max(compared) for one in numbers}
            await self._book(max(compared))

    async def run(self, days: int | None = None) -> None:
        """Answer until so many days have been reported, without end if None. While the exchange is away it waits."""
        left, is_away = days, False
        while left is None or left > 0:
            try:
                reported = await self.look()
                left = None if left is None else left - reported
                is_away = False
            except ApiError as error:
                if not error.passing:
                    raise
                if not is_away:
                    self.say(f"waits for the exchange to come back ({error.code})")
                is_away = True
            await asyncio.sleep(_PAUSE_S)

    async def look(self) -> int:
        """Do what is to be done now; returns how many days have been reported that had not been before."""
        market = await self.client.market()
        await self._see_batches(market)
        for batch in self.batches.values():
            if self._is_waiting(batch):
                await self._answer(batch, _ns(datetime.fromisoformat(market.now)))
        new = 0
        for day, numbers in self._days().items():  # the last may have passed since the last look
            is_over = market.is_settled or day != market.date
            if is_over and numbers[-1] not in self.reported:
                new += self.reported.isdisjoint(numbers)
                await self._report(day)
                self.reported.update(numbers)
        return new

    async def _see_batches(self, market: MarketView) -> None:
        """Ask for the batches that may have changed: those of today and of days with answers to come.

        All, when it has not looked before on this day.
        """
        rows = []
        if market.date is None or market.date != self.today:
            rows = await self.client.batches()
        else:
            waiting = {batch.date for batch in self.batches.values() if self._is_waiting(batch)}
            for day in sorted({market.date, *waiting}):
                rows += await self.client.batches(str(day))
        self.today = market.date
        self.batches |= {batch.number: batch for batch in rows}

    def _is_waiting(self, batch: BatchRow) -> bool:
        is_open = batch.late and batch.number not in self.answered
        return batch.stage == "instructed" or is_open

    def _days(self) -> dict[date, list[int]]:
        """The numbers of the batches of every day that have statements, in order."""
        days: dict[date, list[int]] = {}
        for batch in self.batches.values():
            if batch.stage in ("stated", "final"):
                days.setdefault(batch.date, []).append(batch.number)
        return days

    async def _answer(self, batch: BatchRow, now_ns: int) -> None:
        if now_ns < self.silent_until.get(batch.number, 0):
            return
        text = await self.client.instructions_file(batch.number)
        file, shown = read_instructions(text), await self.client.instructions(batch.number)
        answered = [line.line for line in shown.lines if line.reply]
        told = [
            InstructionLine(one.line, one.account_id, one.currency, Direction(one.direction), _fen(one.amount))
            for one in shown.lines
        ]
        if len(answered) == len(told) and batch.stage != "instructed":
            self.answered.add(batch.number)
            return
        stages = {str(one.stage): one.at for one in (await self.client.batch(batch.number)).stages}
        instructed = datetime.fromisoformat(stages["instructed"])
        first = msgspec.structs.replace(file, lines=tuple(told))  # with what was asked in files before this one
        limit = minutes_to_be_late(_ns(instructed), _confirm_by_ns(batch, instructed, self.confirm_by))
        bank = bank_by(self.policy, first, limit)
        said = bank.answer(file, (now_ns - _ns(instructed)) // MINUTE_NS, answered)
        if said is None:
            self.silent_until[batch.number] = _ns(instructed) + (bank.minutes_until(file.lines) or 0) * MINUTE_NS
            return
        name = f"{batch.number}.csv" if file.lines[0].line == 1 else f"{batch.number}-from-{file.lines[0].line}.csv"
        self._keep(f"payments-{name}", text)
        self._keep(f"answers-{name}", said.text())
        try:
            taken = await self.client.confirm_payments_file(self.account_id, batch.number, said.text())
        except ApiError as error:
            if error.status != 409:
                raise
            self.say(f"batch {batch.number}: {error.detail}")  # somebody was faster
            return
        short = f", {len(taken.short)} not in full" if taken.short else ""
        self.say(f"batch {batch.number} of {batch.date}: {taken.answered} lines answered{short}")

    async def _report(self, day: date) -> None:
        """Book what the day has moved, and send what is in the sub-ledgers then; without the one not the other."""
        if not await self._book(day):
            return
        text = self.books.balances(day).text()
        self._keep(f"balances-{day}.csv", text)
        try:
            report = await self.client.reconcile_bank_file(self.account_id, text)
        except ApiError as error:
            if error.status not in (409, 422):
                raise
            self.say(f"balances of {day}: {error.detail}")  # somebody sent later ones, or a sub-ledger is overdrawn
            return
        self.say(f"{report.balances} balances of {day}: {len(report.breaks)} differ")

    async def _book(self, until: date) -> bool:
        """Book every day up to one that has not been booked to its end; whether that could be done."""
        last = self.books.last
        for day in self._days():
            if day > until or (last is not None and day < last.day):
                continue
            text = await self.client.bookings_file(str(day))
            self._keep(f"bookings-{day}.csv", text)
            try:
                file = read_bookings(text)
                if last is None or file.checksum != last.checksum:  # the last day may have gone on
                    self.books.book(file)
            except (BankFileError, BooksError) as error:
                self.say(f"bookings of {day} are not booked: {error.detail}")
                return False
        return True

    def _keep(self, name: str, text: str) -> None:
        if self.files is not None:
            self.files.mkdir(parents=True, exist_ok=True)
            (self.files / name).write_bytes(text.encode())


def _fen(amount: str) -> int:
    return int(Decimal(amount) * 100)


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


def _confirm_by_ns(batch: BatchRow, instructed: datetime, confirm_by: str | None) -> int | None:
    """By when the bank has to answer a batch; in the market's zone, as all its times are."""
    if confirm_by is None:
        return None
    return _ns(datetime.combine(batch.date, time.fromisoformat(confirm_by), instructed.tzinfo))
