"""The README's robot, word for word, against a real exchange: it quotes, is killed, and goes on with nothing twice."""

import os
import re
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.client import Client
from api.outbox import Outbox
from tests.system.server import Server

ROOT = Path(__file__).parents[2]
SYMBOL = "HBEA-2025"


def robot():
    readme = (ROOT / "README.md").read_text("utf-8")
    [found] = [one for one in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "Outbox(" in one]
    return found


def awaiting(text):
    """The same for asyncio, by the README's own recipe."""
    imports, program = text.split("\nURL", 1)
    for plain, other in (
        (r"\bClient\(", "AsyncClient("),
        (r"\bBookStream\(", "AsyncBookStream("),
        ("with AsyncClient", "async with AsyncClient"),
        ("for book in stream", "async for book in stream"),
        (r"\bclient\.", "await client."),
        (r"\((await client\.place_order\(.*\))\.order_id\)", r"((\1).order_id)"),
    ):
        program = re.sub(plain, other, program)
    imports = re.sub(r"\b(Client|BookStream)\b", r"Async\1", imports)
    main = textwrap.indent("URL" + program, "    ")
    return f"import asyncio\n{imports}\n\nasync def main():\n{main}\n\nasyncio.run(main())\n"


@contextmanager
def running(text, server, folder):
    text = text.replace("http://localhost:8000", server.url)
    process = subprocess.Popen(
        [sys.executable, "-c", text], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=-1
    )
    try:
        yield process
        assert process.poll() is None, process.communicate()[1].decode()
    finally:
        process.kill()
        process.communicate()


def quotes(client):
    found = client.orders("I-01", open_only=True)
    return sorted((one.side, one.price) for one in found)


def until(client, wanted):
    deadline = time.monotonic() + 60
    while (now := quotes(client)) != wanted:
        assert time.monotonic() < deadline, now
        time.sleep(0.05)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("robot") / "exchange.journal") as made:
        with Client(made.url) as client:
            client.list_instrument(SYMBOL, "allowance", 2025, "40.00")
            for account_id in ("I-01", "S", "B"):
                client.open_account(account_id, account_id)
                client.deposit(account_id, "1000000.00")
                client.issue(account_id, SYMBOL, 1000)
                client.transfer(account_id, SYMBOL, 1000)
            client.open_day("2026-01-05")
            client.set_phase("continuous")
        yield made


def test_it_has_twenty_lines():
    assert len([line for line in robot().splitlines() if line.strip()]) <= 20


@pytest.mark.parametrize("form", [str, awaiting])
def test_the_robot_quotes_around_the_book_and_survives_its_death(server, tmp_path, form):
    text = form(robot())
    with Client(server.url) as client:
        for account_id in ("S", "B", "I-01"):
            client.cancel_all(account_id)
        known = {one.order_id for one in client.orders("I-01")}
        with running(text, server, tmp_path):
            client.place_order("B", SYMBOL, "buy", "39.50", 5)
            client.place_order("S", SYMBOL, "sell", "40.50", 5)
            until(client, [("buy", "39.49"), ("sell", "40.51")])
            client.place_order("B", SYMBOL, "buy", "39.60", 5)
            until(client, [("buy", "39.59"), ("sell", "40.51")])
        client.place_order("S", SYMBOL, "sell", "40.40", 5)  # nobody is there to see it
        with running(text, server, tmp_path):
            until(client, [("buy", "39.59"), ("sell", "40.41")])
        orders = [one for one in client.orders("I-01") if one.order_id not in known]
    with Outbox(tmp_path / "robot.orders") as outbox, Client(server.url, outbox=outbox) as client:
        client.recover()  # it may have been killed before it had the last answer
        kept = {one.client_order_id: one.order_id for one in outbox.orders()}
        assert kept == {one.client_order_id: one.order_id for one in orders}
        assert len(kept) == len(orders) >= 4
