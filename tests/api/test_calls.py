"""What the type checker sees of the clients: one description of a call, two types."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

RIGHT = """
from collections.abc import AsyncIterator, Iterator
from typing import assert_type
from api import schemas
from api.client import AsyncClient, Client

def waits(client: Client) -> None:
    assert_type(client.place_order("B", "X", "buy", "1.00", 1, post_only=True), schemas.OrderView)
    assert_type(client.trades("X"), Iterator[schemas.TradeView])
    assert_type(client.units(), list[schemas.UnitView])

async def awaits(client: AsyncClient) -> None:
    assert_type(await client.place_order("B", "X", "buy", "1.00", 1, post_only=True), schemas.OrderView)
    assert_type(client.trades("X"), AsyncIterator[schemas.TradeView])
    assert_type(await client.units(), list[schemas.UnitView])
"""

WRONG = """
from api.client import AsyncClient, Client

def waits(client: Client) -> None:
    client.place_order("B", "X", "up", "1.00", 1)
    client.settle(day=1)

async def awaits(client: AsyncClient) -> None:
    client.units()
"""


def checked(path, text):
    path.write_text(text, "utf-8")
    line = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(path)]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=500, check=False).stdout


def test_each_call_has_the_type_of_its_client(tmp_path):
    assert checked(tmp_path / "right.py", RIGHT).startswith("Success")
    said = checked(tmp_path / "wrong.py", WRONG)
    assert all(f"[{code}]" in said for code in ("arg-type", "call-arg", "unused-coroutine"))
    assert "Found 3 errors" in said
