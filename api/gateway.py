"""The composition of a running exchange: engine, history, inbox, clock, timers."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Annotated

from fastapi import Depends, Request

from api.history import History
from api.idempotency import RequestFile
from api.inbox import Inbox
from api.life import Life
from api.problems import Problem, no_account
from api.timers import Clock, Timers
from exchange.bookings import BookingFiles
from exchange.commands import OpenAccount
from exchange.engine import Engine
from exchange.instruments import Instrument
from exchange.journal import Journal
from exchange.reasons import Reason
from exchange.rules import RuleSet
from exchange.settling import bank_account
from exchange.state import Exchange
from registry.accounts import Account, ParticipantClass
from settlement.rules import Policy

BANK = "BANK"  # account id of the simulated settlement bank


class Gateway:
    """One exchange, opened from its journal, ready to be served. JournalError, Refused if it can't be.

    Without `rules` it has those of its journal, or Hubei's if the journal is empty. `bank`: how a simulated settlement
    bank answers while the timers run, where the rules want one. `requests`: what was asked and answered under keys,
    left out: kept in memory.
    """

    def __init__(
        self,
        journal: Journal,
        rules: RuleSet | None,
        clock: Clock,
        inbox: int = 8192,
        bank: Policy | None = None,
        requests: RequestFile | None = None,
    ) -> None:
        self.life = Life()
        self.engine = Engine(journal)
        self.history = History()
        self.requests = requests or RequestFile()
        with _uncollected():
            for batch, outcome in self.engine.open(rules, clock.now_ns()):
                self.history.extend(batch, outcome)
                self.requests.note(batch, outcome)
            self.requests.read_to(self.engine.exchange.sequence)
            self.history.is_complete()
        self.clock = clock
        clock.advance_to(self.engine.exchange.now_ns)
        self.inbox = Inbox(self.engine, self.history, self.clock.now_ns, inbox)
        self.timers = Timers(self.exchange, self.inbox, self.clock, bank)
        self.bookings = BookingFiles(self.exchange)

    @property
    def exchange(self) -> Exchange:
        return self.engine.exchange

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Consume the inbox and run the timers; on leaving, finish what is in the inbox and close the journal."""
        consumer = asyncio.create_task(self.inbox.consume())
        await self._open_bank()
        timers = asyncio.create_task(self.timers.run())
        try:
            yield
        finally:
            try:
                timers.cancel()
                with suppress(asyncio.CancelledError):
                    await timers
                await self.inbox.close()
                await consumer
            finally:
                self.engine.journal.close()
                self.requests.close()

    async def _open_bank(self) -> None:
        """Give the simulated settlement bank its account, unless somebody may pay already."""
        exchange = self.exchange
        if self.timers.bank and exchange.market.settlement.bank and bank_account(exchange) is None:
            with suppress(Problem):  # the account id is taken: whoever may pay answers over the wire
                await self.inbox.ask(OpenAccount(BANK, "Settlement bank", ParticipantClass.CLEARING_BANK))

    def account(self, account_id: str) -> Account:
        """An account by its id. Problem 404 if there is none."""
        account = self.exchange.accounts.by_id.get(account_id)
        if account is None:
            raise no_account(account_id)
        return account

    def instrument(self, symbol: str) -> Instrument:
        """An instrument by its symbol. Problem 404 if there is none."""
        instrument = self.exchange.instruments.by_symbol.get(symbol)
        if instrument is None:
            raise Problem(404, Reason.UNKNOWN_INSTRUMENT.code, f"There is no instrument {symbol!r}.")
        return instrument


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: what a journal brings stays, and to look at it again and again takes longest."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


async def gateway_of(request: Request) -> Gateway:
    # async, for FastAPI runs plain functions in a thread
    gateway: Gateway = request.app.state.gateway
    return gateway


TheGateway = Annotated[Gateway, Depends(gateway_of)]
