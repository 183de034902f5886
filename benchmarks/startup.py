"""How long an exchange takes to be ready again with a long journal, and what memory that takes.

    a flow's rows --> blocks of the size of busy groups --> a journal file
    the file --> read and verified, into batches            the yardstick
    the file --> the gateway: applied, with everything that clients may ask about the past

The flow `calm` of `flows.py` over 2,000 accounts and 8 instruments, in blocks of BLOCK commands, as a busy inbox makes
them; once without client order ids, once with one for each order. Each start has a process of its own, as in life; it
is ready when it would listen. Before a number is printed, every start has made the exchange that the flow itself makes.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.flows import make_flow
from benchmarks.measure import WrongAnswer, show, table
from benchmarks.trading_path import market, spread_out
from exchange.engine import recorded
from exchange.journal import Batch, SqliteJournal
from exchange.rows import CommandKind, type_of_rows
from exchange.transition import apply

BLOCK = 64
KINDS = {False: "orders without ids", True: "with client order ids"}
WAYS = ("read", "ready")


class Start(NamedTuple):
    """One start in a process of its own."""

    seconds: float
    cpu_seconds: float
    memory_gib: float  # of the process at most


def run(commands: int, runs: int) -> None:
    """Measure and print."""
    made = table(
        "seconds, those of the processor, and GiB of memory at most",
        "journal", "GiB", "read", "ready", "spread", "x read", "read, cpu", "ready, cpu", "x read", "memory",
    )  # fmt: skip
    for with_ids, kind in KINDS.items():
        with tempfile.TemporaryDirectory(prefix="carbonex-") as name:
            path = Path(name) / "journal"
            digest = build(path, commands, with_ids)
            found: dict[str, list[Start]] = {way: [] for way in WAYS}
            for _ in range(runs):
                for way in WAYS:
                    found[way].append(_in_a_process(way, path, digest))
            size = path.stat().st_size / 2**30
        read, ready = (statistics.median(one.seconds for one in found[way]) for way in WAYS)
        read_cpu, ready_cpu = (statistics.median(one.cpu_seconds for one in found[way]) for way in WAYS)
        took = sorted(one.seconds for one in found["ready"])
        made.add_row(
            kind, f"{size:.2f}", f"{read:.2f}", f"{ready:.2f}", f"{took[0]:.2f}-{took[-1]:.2f}", f"{ready / read:.2f}",
            f"{read_cpu:.2f}", f"{ready_cpu:.2f}", f"{ready_cpu / read_cpu:.2f}",
            f"{max(one.memory_gib for one in found['ready']):.2f}",
        )  # fmt: skip
    show(runs, made)


def build(path: Path, commands: int, with_ids: bool, block: int = BLOCK) -> str:
    """Write a journal of so many commands, and more that found the exchange; returns the digest of what it makes."""
    engine = market()
    journal = SqliteJournal(path, durable=False)
    for founding in engine.journal.blocks():
        journal.append(founding)
    exchange = engine.exchange
    for batch in _blocks(spread_out(make_flow("calm", commands)), exchange.sequence, exchange.now_ns, with_ids, block):
        journal.append(batch.encode()).result()
        apply(exchange, batch)
    journal.close()
    return exchange.digest()


def _blocks(rows: type_of_rows, sequence: int, now_ns: int, with_ids: bool, block: int) -> Iterator[Batch]:
    """The rows of a flow behind a sequence number, as they are journalled."""
    rows["sequence"] = np.arange(sequence + 1, sequence + 1 + rows.size)
    rows["now_ns"] = now_ns + np.arange(rows.size) // block * 1_000_000
    placed = (rows["kind"] == CommandKind.PLACE_ORDER).tolist()
    for start in range(0, rows.size, block):
        part = rows[start : start + block]
        named = [b"o-%d" % (start + place) if with_ids and placed[start + place] else b"" for place in range(part.size)]
        yield Batch(part, named)


def _in_a_process(way: str, path: Path, digest: str) -> Start:
    """A start in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.startup", way, str(path), digest]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise WrongAnswer(f"the start ({way}) ended with {done.returncode}")
    return Start(*json.loads(done.stdout))


def _start(way: str, path: Path, digest: str) -> Start:
    """Read the journal, or make the gateway ready."""
    from api.gateway import Gateway
    from api.timers import Clock
    from exchange.console import load_compiled

    load_compiled("trading")
    began, cpu_began = time.perf_counter(), time.process_time()
    gateway, journal = None, None
    if way == "read":
        for _ in recorded(path):
            pass
    else:
        journal = SqliteJournal(path)
        gateway = Gateway(journal, None, Clock(0, 1.0))
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    memory_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if gateway is not None and gateway.exchange.digest() != digest:
        raise WrongAnswer("the journal makes another exchange than the flow")
    if journal is not None:
        journal.close()
    return Start(seconds, cpu_seconds, memory_gib)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_start(sys.argv[1], Path(sys.argv[2]), sys.argv[3])))
