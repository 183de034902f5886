"""SIGKILL during trading: everything acknowledged is there, exactly once, and the state is the same."""

import asyncio
import random

import pytest

from api.client import ApiError, AsyncClient
from api.schemas import OrderView
from exchange.commands import Command
from exchange.engine import Engine, read_exchange, recorded
from exchange.journal import MemoryJournal
from tests.system.server import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def enrol(client):
    await client.list_instrument("HBEA-2025", "allowance", 2025, "40.00")
    for account_id in ("S", "B"):
        await client.open_account(account_id, account_id)
        await client.deposit(account_id, "10000000.00")
        await client.issue(account_id, "HBEA-2025", 100_000)
        await client.transfer(account_id, "HBEA-2025", 100_000)
    await client.open_day("2026-01-05")
    await client.set_phase("continuous")


async def trade(client, number, sent, acknowledged):
    """Place, amend and cancel orders until the server is gone; note what was sent and what was answered."""
    rng = random.Random(number)
    for count in range(10_000):
        client_order_id = f"t{number}-{count}"
        order = {
            "account_id": rng.choice("SB"),
            "symbol": "HBEA-2025",
            "side": rng.choice(["buy", "sell"]),
            "price": f"{rng.randint(3950, 4050) / 100:.2f}",
            "quantity": rng.randint(1, 50),
            "client_order_id": client_order_id,
        }
        sent[client_order_id] = order
        try:
            placed = await client._one("POST", "/v1/orders", OrderView, json=order)
            acknowledged[client_order_id] = placed
            if placed.status == "open" and rng.random() < 0.3:
                await client.cancel_order(placed.account_id, placed.order_id)
            elif placed.status == "open" and rng.random() < 0.3:
                await client.amend_order(placed.account_id, placed.order_id, rng.randint(1, 50))
        except ApiError as error:
            if error.code == "connection_lost":
                return
            assert error.code in {"insufficient_units", "unknown_order"}


def uninterrupted(journal):
    """An engine that was given the journal's commands one at a time and never stopped."""
    engine = Engine(MemoryJournal())
    for batch in recorded(journal):
        for row, detail in zip(batch.rows, batch.details, strict=True):
            [receipt], _ = engine.submit([Command(row.tobytes(), detail)], int(row.now_ns))
            assert receipt == row.sequence
    return engine


async def test_a_killed_server_comes_back_as_it_was(tmp_path):
    journal = tmp_path / "exchange.journal"
    sent, acknowledged = {}, {}
    with Server(journal) as server:
        async with AsyncClient(server.url) as client:
            await enrol(client)
            traders = [asyncio.create_task(trade(client, number, sent, acknowledged)) for number in range(8)]
            while len(acknowledged) < 400:
                await asyncio.sleep(0.01)
            server.kill()
            await asyncio.gather(*traders)

    with Server(journal) as server:
        async with AsyncClient(server.url) as client:
            state = await client.state()
            assert state.digest == uninterrupted(journal).exchange.digest()
            assert state.digest == read_exchange(journal).digest()

            found = {o.client_order_id: o for account in "SB" for o in await client.orders(account)}
            for client_order_id, order in acknowledged.items():
                now = found[client_order_id]
                assert (now.order_id, now.sequence) == (order.order_id, order.sequence)
                assert now.fills[: len(order.fills)] == order.fills
            resting = {o.order_id: o.leaves for o in found.values() if o.status == "open"}
            book = await client.book("HBEA-2025", depth=1000)
            assert sum(level.quantity for level in book.bids + book.asks) == sum(resting.values())
            assert sum(level.orders for level in book.bids + book.asks) == len(resting)

            # What was sent and never answered is sent again: it is taken exactly once.
            unanswered = [order for key, order in sent.items() if key not in acknowledged]
            again = [await place_again(client, order) for order in unanswered]
            ids = [o.client_order_id for account in "SB" for o in await client.orders(account)]
            assert len(ids) == len(set(ids))
            assert {o.client_order_id for o in again if o} <= set(ids)

            await client.set_phase("closed")
            await client.settle()
            assert all(check.ok for check in await client.checks())
            digest = (await client.state()).digest
    assert uninterrupted(journal).exchange.digest() == digest


async def place_again(client, order):
    try:
        return await client.place_order(**order)
    except ApiError as error:
        assert error.code == "insufficient_units"
        return None
