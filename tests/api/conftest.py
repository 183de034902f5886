"""A gateway in this process, and a client that reaches it without a socket."""

import asyncio
from collections.abc import AsyncIterator, Iterator
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
from tests.api import noting

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


@pytest.fixture(autouse=True)
def answers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[noting.Answers]:
    """What is answered in a test that gives examples; afterwards they are compared, or renewed."""
    found: noting.Answers = {}
    if request.node.get_closest_marker("examples") is None:
        yield found
        return
    answer = httpx.ASGITransport.handle_async_request

    async def noted(self: httpx.ASGITransport, asked: httpx.Request) -> httpx.Response:
        response = await answer(self, asked)
        body = b"".join([part async for part in response.stream])  # type: ignore[union-attr]
        noting.note(found, asked, response.status_code, response.headers, body)
        return response

    monkeypatch.setattr(httpx.ASGITransport, "handle_async_request", noted)
    yield found
    examples, test = noting.of_file(), request.node.nodeid.rsplit("/", 1)[-1]
    if request.config.getoption("--renew-examples"):
        _renew(examples, test, found)
        return
    ours = {kind: value for kind, (its, value) in examples.items() if its == test}
    got = {kind: found.get(kind) for kind in ours}
    assert ours, "a test that gives no example need not be marked"
    changed = [kind for kind in ours if noting.masked(got[kind]) != noting.masked(ours[kind])]
    assert changed == [], "if it is to be so: pytest tests/api -m examples --renew-examples"


def _renew(examples: dict[noting.Kind, tuple[str, Any]], test: str, found: noting.Answers) -> None:
    """Put what a test got among the examples: its own that have changed, and what no other test gives."""
    for kind, value in found.items():
        its, old = examples.get(kind, ("", None))
        if (its == test and noting.masked(old) != noting.masked(value)) or (its != test and not old):
            examples[kind] = test, value
    gone = {kind for kind, (its, _) in examples.items() if its == test and kind not in found}
    noting.write({kind: one for kind, one in examples.items() if kind not in gone})


def hold_back(gateway: Gateway) -> asyncio.Event:
    """Make the inbox wait until the returned event is set: what arrives meanwhile queues up."""
    released = asyncio.Event()
    process = gateway.inbox._process

    async def waiting(group: list[Waiting]) -> None:
        await released.wait()
        await process(group)

    gateway.inbox._process = waiting  # type: ignore[method-assign]
    return released
