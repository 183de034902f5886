"""A gateway in this process, and a client that reaches it without a socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from api.app import make_app
from api.client import AsyncClient
from api.gateway import Gateway
from api.inbox import Waiting
from api.schemas import OrderView
from api.timers import Clock
from exchange.journal import Journal, MemoryJournal
from exchange.rules import RuleSet, load_rule_set

MORNING_NS = 1_767_576_600_000_000_000  # 2026-01-05 09:30 in Shanghai


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Desk:
    """A running gateway with its client, and short words for what tests do often."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.transport = httpx.ASGITransport(make_app(gateway), raise_app_exceptions=False)
        self.client = AsyncClient("http://exchange", transport=self.transport)
        self.http = httpx.AsyncClient(transport=self.transport, base_url="http://exchange")

    async def enrol(self) -> None:
        """HBEA-2025 at 40.00; seller S with 1,000 t in trading, buyer B with 100,000.00 CNY."""
        await self.client.list_instrument("HBEA-2025", "allowance", 2025, "40.00")
        await self.client.open_account("S", "Daye Steel")
        await self.client.open_account("B", "Wuhan Heat")
        await self.client.deposit("B", "100000.00")
        await self.client.issue("S", "HBEA-2025", 1000)
        await self.client.transfer("S", "HBEA-2025", 1000)

    async def enrol_seller(self, account_id: str, quantity: int = 1000) -> None:
        """A further account with units in trading."""
        await self.client.open_account(account_id, account_id)
        await self.client.issue(account_id, "HBEA-2025", quantity)
        await self.client.transfer(account_id, "HBEA-2025", quantity)

    async def sell(self, price: str | None, quantity: int, account_id: str = "S", **terms: Any) -> OrderView:
        return await self.client.place_order(account_id, "HBEA-2025", "sell", price, quantity, **terms)

    async def buy(self, price: str | None, quantity: int, account_id: str = "B", **terms: Any) -> OrderView:
        return await self.client.place_order(account_id, "HBEA-2025", "buy", price, quantity, **terms)

    async def book(self) -> tuple[list[tuple[str, int, int]], list[tuple[str, int, int]]]:
        """(price, quantity, orders) of all bids and all asks, best first."""
        shown = await self.client.book("HBEA-2025", depth=1000)
        bids, asks = (
            [(level.price, level.quantity, level.orders) for level in side] for side in (shown.bids, shown.asks)
        )
        return bids, asks

    async def open(self, day: str = "2026-01-05") -> None:
        await self.client.open_day(day)
        await self.client.set_phase("continuous")

    async def digest(self) -> str:
        return (await self.client.state()).digest


@asynccontextmanager
async def desk_on(journal: Journal, rules: RuleSet, clock: Clock, **options: int) -> AsyncIterator[Desk]:
    """A gateway on a journal, which goes on where that ends."""
    gateway = Gateway(journal, rules, clock, **options)
    desk = Desk(gateway)
    async with gateway.running(), desk.client, desk.http:
        yield desk


@asynccontextmanager
async def running_desk(rules: RuleSet | str = "hubei", **options: int) -> AsyncIterator[Desk]:
    found = load_rule_set(rules) if isinstance(rules, str) else rules
    async with desk_on(MemoryJournal(), found, Clock(MORNING_NS), **options) as desk:
        yield desk


@pytest.fixture
async def desk(anyio_backend: str) -> AsyncIterator[Desk]:
    async with running_desk() as made:
        await made.enrol()
        yield made


@pytest.fixture
async def open_desk(desk: Desk) -> Desk:
    await desk.open()
    return desk


@pytest.fixture
async def plain_desk(anyio_backend: str) -> AsyncIterator[Desk]:
    """A market by the generic rules: no band, no fees, orders may outlive their day."""
    async with running_desk("generic") as made:
        await made.enrol()
        await made.open()
        yield made


def hold_back(gateway: Gateway) -> asyncio.Event:
    """Make the inbox wait until the returned event is set: what arrives meanwhile queues up."""
    released = asyncio.Event()
    process = gateway.inbox._process

    async def waiting(group: list[Waiting]) -> None:
        await released.wait()
        await process(group)

    gateway.inbox._process = waiting  # type: ignore[method-assign]
    return released
