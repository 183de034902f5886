"""A settlement bank from outside: a participant of its own that is asked and answers over HTTP.

It looks at the market again and again. A batch that has been instructed it answers by its policy, from the instruction
file that it gets, with an answer file; behind a day's statements it sends its balances, which are what it should have.
Whatever it has sent it can see at the exchange, so it goes on after a restart without remembering anything. What it
answers, and when by the market's clock, is decided where the bank inside the exchange has it from
(:func:`settlement.bank.bank_by`).
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, time
from pathlib import Path

from api.client import ApiError, AsyncClient
from api.schemas import BatchRow, MarketView
from settlement.bank import MINUTE_NS, Policy, bank_by, minutes_to_be_late
from settlement.bank_files import read_instructions

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

    async def enrol(self) -> None:
        """Have an account. BankError if the market settles without a bank, or if the account is not a bank's."""
        if not (await self.client.rules())["settlement"]["bank"]:
            raise BankError("no_bank", "this market settles without a bank: nobody will be asked")
        known = {account.account_id: account for account in await self.client.accounts()}
        if self.account_id not in known:
            await self.client.open_account(self.account_id, "Settlement bank", "clearing_bank")
        elif (found := known[self.account_id].participant_class) != "clearing_bank":
            raise BankError(
                "not_permitted", f"{self.account_id} is a {found}, not a clearing_bank; name another account"
            )
        compared = {report.date for report in await self.client.reconciliations()}
        self.reported = {batch.number for batch in await self.client.batches() if batch.date in compared}

    async def run(self, days: int | None = None) -> None:
        """Answer until so many days have been reported, without end if None. While the exchange is away it waits."""
        left, is_away = days, False
        while left is None or left > 0:
            try:
                if await self.look() and left is not None:
                    left -= 1
                is_away = False
            except ApiError as error:
                if not error.passing:
                    raise
                if not is_away:
                    self.say(f"waits for the exchange to come back ({error.code})")
                is_away = True
            await asyncio.sleep(_PAUSE_S)

    async def look(self) -> bool:
        """Do what is to be done now; returns whether a day has been reported for the first time."""
        market = await self.client.market()
        batches = await self.client.batches(str(market.date)) if market.date else []
        for batch in batches:
            if batch.stage == "instructed":
                await self._answer(batch, market)
        if not market.is_settled or not batches or batches[-1].number in self.reported:
            return False
        is_first = self.reported.isdisjoint(batch.number for batch in batches)
        await self._report(batches)
        return is_first

    async def _answer(self, batch: BatchRow, market: MarketView) -> None:
        text = await self.client.instructions_file(batch.number)
        file, shown = read_instructions(text), await self.client.instructions(batch.number)
        instructed = datetime.fromisoformat((await self.client.batch(batch.number)).stages[-1].at)
        confirm_by = (await self.client.rules())["settlement"]["confirm_by"]
        minutes_late = minutes_to_be_late(_ns(instructed), _confirm_by_ns(batch, instructed, confirm_by))
        minutes = (_ns(datetime.fromisoformat(market.now)) - _ns(instructed)) // MINUTE_NS
        answered = [line.line for line in shown.lines if line.reply]
        said = bank_by(self.policy, file, minutes_late).answer(file, minutes, answered)
        if said is None:
            return
        self._keep(f"payments-{batch.number}.csv", text)
        self._keep(f"answers-{batch.number}.csv", said.text())
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
        report = await self.client.reconcile_bank_file(self.account_id, text)
        self.reported |= {batch.number for batch in batches}
        self.say(f"{report.balances} balances of {day}: {len(report.breaks)} differ")

    def _keep(self, name: str, text: str) -> None:
        if self.files is not None:
            self.files.mkdir(parents=True, exist_ok=True)
            (self.files / name).write_bytes(text.encode())


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


def _confirm_by_ns(batch: BatchRow, instructed: datetime, confirm_by: str | None) -> int | None:
    """By when the bank has to answer a batch; in the market's zone, as all its times are."""
    if confirm_by is None:
        return None
    return _ns(datetime.combine(batch.date, time.fromisoformat(confirm_by), instructed.tzinfo))
