"""Half of what the exchange can take, for long: does an answer cost at the end what it did at the start?

Orders, cancels, batches, deposits and reads in an open loop at half of the measured capacity. Latency is compared, the
last quarter with the first. Memory grows by what is kept of each command, which clients may ask about: what is looked
for is more than that, bytes for each command of the second half beside those of the first.
"""

from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from simulation.reliability import Unsound
from simulation.reliability.audit import Audited, Found, Log, audit
from simulation.reliability.clients import Task
from simulation.reliability.overload import FEW, KEPT, MEASURED_S, Latency, Watch, answers, latency, work
from simulation.reliability.server import Crew, Server, crew, enrol

PARTS = 8  # tasks of the same length; a quarter is two of them
GROWTH = 2.0  # times the latency of the first quarter
SHORT_S = 60.0  # what is shorter is shown and not judged by its latency: the machine has moments


class Part(NamedTuple):
    """An eighth of it."""

    answered: int
    latency: Latency
    memory: int  # bytes at its end
    commands: int


class Soaked(NamedTuple):
    """What came of it."""

    rate: float  # requests a second
    seconds: float
    parts: list[Part]
    bytes_a_command: tuple[float, float]  # of each half
    slope: float  # MiB of memory a minute, over the second half
    audited: Audited

    @property
    def quarters(self) -> tuple[float, float]:
        """Median latency of the first and the last quarter, milliseconds."""
        first, last = self.parts[:2], self.parts[-2:]
        return sum(one.latency.p50 for one in first) / 2, sum(one.latency.p50 for one in last) / 2


def run(folder: Path, seconds: float, clients: int, console: Console) -> Soaked:
    """Let an exchange run. Unsound if it slows down, grows, or is not what its journal makes."""
    accounts = [f"K{number}" for number in range(clients)]
    logs = [Log(account, folder / f"{account}.log") for account in accounts]
    parts = list[Part]()
    with Server(folder / "exchange.journal") as server, crew(folder, accounts) as at_work:
        server.begin()
        server.until_ready()
        enrol(server.url, accounts)
        rate = _half(server, at_work, logs)
        console.print(f"{rate:,.0f} requests/s for {seconds / 60:.1f} minutes")
        began = _part(server, logs, 0)
        with Watch(server) as watch:
            for _ in range(PARTS):
                work(at_work, Task(server.port, seconds / PARTS, "soak", 4 * FEW, rate / clients))
                parts.append(_part(server, logs))
        found = Found(server.journal)
        if server.asker.get("/v1/state").json()["digest"] != found.digest:
            raise Unsound("the exchange that serves is another than the journal makes")
        audited = audit(logs, found)
        if status := server.stop():
            raise Unsound(f"the exchange ended with status {status}")
    middle, end = parts[PARTS // 2 - 1], parts[-1]
    halves = _growth(began, middle), _growth(middle, end)
    soaked = Soaked(rate, seconds, parts, halves, _slope(watch.seen), audited)
    first, last = soaked.quarters
    if seconds >= SHORT_S and last > GROWTH * first:
        raise Unsound(f"an answer took {first:.1f} ms in the first quarter and {last:.1f} ms in the last")
    if halves[1] > KEPT:
        raise Unsound(f"memory grew by {halves[1]:,.0f} bytes a command in the second half; {KEPT} were allowed")
    return soaked


def _half(server: Server, clients: Crew, logs: list[Log]) -> float:
    """Half of the requests a second that come through a closed loop, measured after a warm-up."""
    for _ in range(2):
        work(clients, Task(server.port, MEASURED_S, "soak", FEW))
        answered = len(answers(logs))
    return answered / MEASURED_S / 2


def _part(server: Server, logs: list[Log], answered: int | None = None) -> Part:
    """How things stand."""
    found = answers(logs) if answered is None else []
    commands = int(server.asker.get("/v1/state").json()["sequence"])
    return Part(len(found), latency(found) if found else Latency(0, 0), server.memory, commands)


def _growth(start: Part, end: Part) -> float:
    """Bytes of memory for each command between the two."""
    return (end.memory - start.memory) / max(1, end.commands - start.commands)


def _slope(seen: list[tuple[float, int]]) -> float:
    """MiB a minute over the second half, by least squares."""
    half = seen[len(seen) // 2 :]
    count = len(half)
    if count < 2:
        return 0.0
    mean_at, mean = sum(at for at, _ in half) / count, sum(size for _, size in half) / count
    spread = sum((at - mean_at) ** 2 for at, _ in half)
    return sum((at - mean_at) * (size - mean) for at, size in half) / spread * 60 / 2**20


def show(found: Soaked, console: Console) -> None:
    """Print what came of it."""
    answered = sum(one.answered for one in found.parts)
    first, last = found.quarters
    early, late = found.bytes_a_command
    console.print(
        f"{answered:,} requests answered at {found.rate:,.0f}/s; {found.audited.acknowledged:,} acknowledged ones are "
        "in the journal once; the digest is that of a replay"
    )
    console.print(
        f"median latency of the first quarter {first:.2f} ms, of the last {last:.2f} ms; p99 "
        f"{found.parts[0].latency.p99:.1f} and {found.parts[-1].latency.p99:.1f} ms"
    )
    console.print(
        f"memory {found.parts[0].memory >> 20} to {found.parts[-1].memory >> 20} MiB: {early:,.0f} bytes a command in "
        f"the first half, {late:,.0f} in the second; {found.slope:.2f} MiB a minute in the second"
    )
