"""A gateway in this process, and a client that reaches it without a socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from api.app import make_app
from api.client import AsyncClient
from api.gateway import Gateway
from api.inbox import Waiting
from api.timers import Clock
from exchange.journal import MemoryJournal
from exchange.rules import load_rule_set

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

    async def open(self, day: str = "2026-01-05") -> None:
        await self.client.open_day(day)
        await self.client.set_phase("continuous")

    async def digest(self) -> str:
        return (await self.client.state()).digest


@asynccontextmanager
async def running_desk(**options: int) -> AsyncIterator[Desk]:
    gateway = Gateway(MemoryJournal(), load_rule_set("hubei"), Clock(MORNING_NS), **options)
    desk = Desk(gateway)
    async with gateway.running(), desk.client, desk.http:
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


def hold_back(gateway: Gateway) -> asyncio.Event:
    """Make the inbox wait until the returned event is set: what arrives meanwhile queues up."""
    released = asyncio.Event()
    process = gateway.inbox._process

    async def waiting(group: list[Waiting]) -> None:
        await released.wait()
        await process(group)

    gateway.inbox._process = waiting  # type: ignore[method-assign]
    return released
