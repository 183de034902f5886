"""One durable write for what has arrived; nothing acknowledged that was not journalled."""

import asyncio
from concurrent.futures import Future

import pytest

from api.gateway import Gateway
from api.timers import Clock
from exchange.journal import JournalError, MemoryJournal
from exchange.rules import load_rule_set
from tests.api.conftest import MORNING_NS, Desk, hold_back

pytestmark = pytest.mark.anyio


class WatchedJournal(MemoryJournal):
    """Counts its writes, and fails on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.fails = False

    def append(self, block: bytes) -> "Future[None]":
        self.writes += 1
        if self.fails:
            failed: Future[None] = Future()
            failed.set_exception(JournalError("journal_unwritable", "disk full"))
            return failed
        return super().append(block)


async def watched_desk(journal):
    gateway = Gateway(journal, load_rule_set("hubei"), Clock(MORNING_NS))
    return gateway, Desk(gateway)


def buy(desk, quantity):
    return desk.client.place_order("B", "HBEA-2025", "buy", "40.00", quantity)


async def test_what_arrives_together_is_journalled_in_one_write():
    journal = WatchedJournal()
    gateway, desk = await watched_desk(journal)
    async with gateway.running(), desk.client:
        await desk.enrol()
        await desk.open()
        before = journal.writes
        orders = await asyncio.gather(*(buy(desk, quantity) for quantity in range(1, 41)))

    assert journal.writes - before < 20
    assert sorted(order.quantity for order in orders) == list(range(1, 41))
    assert len({order.order_id for order in orders}) == 40


async def test_each_answer_is_that_of_its_own_command():
    gateway, desk = await watched_desk(WatchedJournal())
    async with gateway.running(), desk.client:
        await desk.enrol()
        await desk.open()
        sells = [desk.client.place_order("S", "HBEA-2025", "sell", "40.00", quantity) for quantity in range(1, 11)]
        buys = [buy(desk, quantity) for quantity in range(1, 11)]
        orders = await asyncio.gather(*sells, *buys)

    for order in orders:
        assert order.filled == sum(fill.quantity for fill in order.fills)
        assert order.quantity == order.filled + order.leaves
    assert sum(order.filled for order in orders) > 0


async def test_an_answer_tells_nothing_of_the_commands_behind_it():
    gateway, desk = await watched_desk(WatchedJournal())
    async with gateway.running(), desk.client:
        await desk.enrol()
        await desk.open()
        held = hold_back(gateway)
        waiting = [asyncio.ensure_future(buy(desk, 1))]  # a group by itself
        await asyncio.sleep(0.02)
        waiting += [asyncio.ensure_future(desk.client.place_order("S", "HBEA-2025", "sell", "41.00", 10))]
        await asyncio.sleep(0.02)
        waiting += [asyncio.ensure_future(desk.client.place_order("B", "HBEA-2025", "buy", "41.00", 10))]
        await asyncio.sleep(0.02)
        held.set()
        _, seller, buyer = [await one for one in waiting]
        assert (seller.status, seller.fills) == ("open", [])
        assert buyer.status == "filled"
        again = await desk.client.place_order(
            "S", "HBEA-2025", "sell", "41.00", 10, client_order_id=seller.client_order_id
        )
        assert again == seller  # the first answer, not what has become of the order
        assert (await desk.client.order("S", seller.order_id)).status == "filled"


async def test_nothing_is_taken_once_the_inbox_closes():
    gateway, desk = await watched_desk(WatchedJournal())
    async with desk.client, desk.http:
        async with gateway.running():
            await desk.enrol()
        response = await desk.http.get("/health")
        assert (response.status_code, response.json()["status"]) == (503, "stopping")
        response = await desk.http.post("/v1/accounts/B/deposits", json={"amount": "1.00"})
        assert (response.status_code, response.json()["code"]) == (503, "stopping")


async def test_an_error_in_the_timers_stops_the_exchange(caplog):
    gateway, desk = await watched_desk(WatchedJournal())
    stopped = []
    gateway.inbox.stop = lambda: stopped.append(True)
    async with gateway.running(), desk.client:
        await desk.enrol()
        gateway.timers.start(1, skip_idle=True)
        gateway.timers.due = lambda: 1 / 0
        while not stopped:
            await asyncio.sleep(0.01)
    assert gateway.inbox.broken == "internal_error"


async def test_a_failing_journal_fails_every_waiting_command_and_stops_the_exchange(caplog):
    journal = WatchedJournal()
    gateway, desk = await watched_desk(journal)
    stopped = []
    gateway.inbox.stop = lambda: stopped.append(True)
    async with gateway.running(), desk.http, desk.client:
        await desk.enrol()
        await desk.open()
        before = gateway.exchange.digest()
        journal.fails = True
        body = {"account_id": "B", "symbol": "HBEA-2025", "side": "buy", "price": "40.00", "quantity": 1}
        answers = await asyncio.gather(*(desk.http.post("/v1/orders", json=body) for _ in range(5)))
        later = await desk.http.post("/v1/orders", json=body)

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} <= {
        (500, "journal_unwritable"), (503, "journal_unwritable"),
    }  # fmt: skip
    assert (later.status_code, later.json()["code"]) == (503, "journal_unwritable")
    assert stopped and gateway.exchange.digest() == before


async def test_leaving_finishes_what_has_arrived():
    gateway, desk = await watched_desk(WatchedJournal())
    async with desk.client:
        async with gateway.running():
            await desk.enrol()
            await desk.open()
            held = hold_back(gateway)
            waiting = [asyncio.ensure_future(buy(desk, 1)) for _ in range(5)]
            await asyncio.sleep(0.05)
            held.set()
        assert [(await one).status for one in waiting] == ["open"] * 5
