"""A settlement bank from outside: a participant of its own that is asked and answers over HTTP.

It looks at the market again and again. A batch that has been instructed it answers by its policy, from the instruction
file that it gets, with an answer file; behind a day's statements it sends its balances, which are what it should have.
Whatever it has sent it can see at the exchange, so it goes on after a restart without remembering anything. What it
answers, and when by the market's clock, is decided where the bank inside the exchange has it from
(:func:`settlement.bank.bank_by`).
"""

import asyncio
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

import msgspec

from api.client import ApiError, AsyncClient
from api.schemas import BatchRow, MarketView
from settlement.bank import MINUTE_NS, Policy, bank_by, minutes_to_be_late
from settlement.bank_files import Direction, InstructionLine, read_instructions

_PAUSE_S = 0.1


class BankError(Exception):
    """It can not be the bank of this exchange; `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class SettlementBank:
    """A bank with an account at the exchange; `say` tells a person what it does, `files` keeps what it sends."""

    def __init__(
        self,
        client: AsyncClient,
        account_id: str,
        policy: Policy,
        say: Callable[[str], None],
        files: Path | None = None,
    ) -> None:
        self.client = client
        self.account_id = account_id
        self.policy = policy
        self.say = say
        self.files = files
        self.reported: set[int] = set()  # batches behind which its balances have been sent
        self.answered: set[int] = set()  # late batches to which it has no more to say

    async def enrol(self) -> None:
        """Have an account. BankError if the market settles without a bank, or if the account is not a bank's."""
        if not (await self.client.rules())["settlement"]["bank"]:
            raise BankError("no_bank", "this market settles without a bank: nobody will be asked")
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
        batches = await self.client.batches() if compared else []
        self.reported = {batch.number for batch in batches if batch.date <= max(compared)}

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
        days: dict[date, list[BatchRow]] = {}
        for batch in await self.client.batches():
            days.setdefault(batch.date, []).append(batch)
            is_open = batch.late and batch.stage != "final" and batch.number not in self.answered
            if batch.stage == "instructed" or is_open:
                await self._answer(batch, market)
        new = 0
        for day, batches in days.items():  # the last may have passed since the last look
            is_over = market.is_settled or day != market.date
            if is_over and batches[-1].number not in self.reported:
                new += self.reported.isdisjoint(batch.number for batch in batches)
                await self._report(batches)
        return new

    async def _answer(self, batch: BatchRow, market: MarketView) -> None:
        text = await self.client.instructions_file(batch.number)
        file, shown = read_instructions(text), await self.client.instructions(batch.number)
        stages = {str(one.stage): one.at for one in (await self.client.batch(batch.number)).stages}
        instructed = datetime.fromisoformat(stages["instructed"])
        confirm_by = (await self.client.rules())["settlement"]["confirm_by"]
        minutes_late = minutes_to_be_late(_ns(instructed), _confirm_by_ns(batch, instructed, confirm_by))
        minutes = (_ns(datetime.fromisoformat(market.now)) - _ns(instructed)) // MINUTE_NS
        answered = [line.line for line in shown.lines if line.reply]
        told = [
            InstructionLine(one.line, one.account_id, one.currency, Direction(one.direction), _fen(one.amount))
            for one in shown.lines
        ]
        first = msgspec.structs.replace(file, lines=tuple(told))  # with what was asked in files before this one
        if len(answered) == len(told) and batch.stage != "instructed":
            self.answered.add(batch.number)
            return
        said = bank_by(self.policy, first, minutes_late).answer(file, minutes, answered)
        if said is None:
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

    async def _report(self, batches: list[BatchRow]) -> None:
        day = batches[-1].date
        text = await self.client.balances_file(str(day))
        self._keep(f"balances-{day}.csv", text)
        try:
            report = await self.client.reconcile_bank_file(self.account_id, text)
        except ApiError as error:
            if error.status != 409:
                raise
            self.reported |= {batch.number for batch in batches}
            self.say(f"balances of {day}: {error.detail}")  # somebody has sent later ones
            return
        self.reported |= {batch.number for batch in batches}
        self.say(f"{report.balances} balances of {day}: {len(report.breaks)} differ")

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
