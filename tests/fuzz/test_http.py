"""A running exchange asked at random, by its own OpenAPI document: no error of its own, no answer but documented ones.

Schemathesis makes the requests: examples, the limits of every field, random values, and walks along the links from what
a request has made to what names it. Afterwards the journal is sound, and its replay keeps every invariant.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.client import AsyncClient
from tests.system.server import Server

pytestmark = pytest.mark.fuzz
SECONDS = int(os.environ.get("CARBONEX_FUZZ", "60"))
SEED = os.environ.get("CARBONEX_SEED") or "1"  # what is asked still depends on the answers and the time
HERE = Path(__file__).parent


async def enrol(url: str) -> None:
    """The market that the document's examples are about."""
    async with AsyncClient(url) as client:
        await client.list_instrument("HBEA-2025", "allowance", 2025, "40.00")
        for account_id in ("E-001", "E-002"):
            await client.open_account(account_id, account_id)
            await client.deposit(account_id, "1000000.00")
            await client.issue(account_id, "HBEA-2025", 10_000)
            await client.transfer(account_id, "HBEA-2025", 5_000)
        await client.open_account("REG", "Registry", "registry_authority")
        await client.open_day("2026-01-05")
        await client.set_phase("continuous")
        await client.place_order("E-001", "HBEA-2025", "sell", "41.00", 100)


@pytest.mark.timeout(SECONDS + 900)
def test_every_route_answers_as_documented_whatever_it_is_asked(tmp_path):
    journal = tmp_path / "fuzzed.journal"
    with Server(journal) as server:
        asyncio.run(enrol(server.url))
        asked = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(HERE / "schemathesis.toml"),
                "run", f"{server.url}/openapi.json",
                "--max-examples", "3", "--max-time", str(SECONDS), "--seed", SEED,
                "--request-timeout", "60", "--no-color",
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent.parent}"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert server.process.poll() is None, "the exchange has stopped"
    assert asked.returncode == 0, "\n".join(line[:500] for line in (asked.stdout + asked.stderr).splitlines())
    command = [sys.executable, "-m", "exchange.cli", "check", str(journal)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
