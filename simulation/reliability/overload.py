"""Several times as much as the exchange can take, for a while: what it refuses, what it keeps, and how soon it is well.

    capacity    a closed loop of few connections from all clients: what comes through
    overload    an open loop at `times` that rate, on many connections: requests come whether or not answers do
    recovery    the closed loop of before: until its latency is back within RECOVERED of what it was

A request for which no connection is free at its time is offered and can't even be sent: it counts as offered, not as
refused. Memory may grow by what is kept of each command (the history that clients may ask about), and by a bound.
"""

import time
from collections import Counter
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from rich.console import Console

from simulation.reliability import Unsound
from simulation.reliability.audit import Audited, Found, Log, Told, audit
from simulation.reliability.clients import Done, Task
from simulation.reliability.server import Crew, Server, crew, enrol

FEW, MANY = 4, 96  # connections of each client
BATCH = 200  # orders, of each third request
KEPT = 4096  # bytes of memory that a command may take for good
ALLOWANCE = 512 << 20  # bytes of memory beyond that, for all that is under way
RECOVERED = 3.0  # times the latency of before
RECOVERY_S = 30
MEASURED_S = 3.0


class Latency(NamedTuple):
    """Milliseconds from sending a request to its answer."""

    p50: float
    p99: float


class Overloaded(NamedTuple):
    """What came of it."""

    capacity: float  # requests a second
    offered: float  # likewise
    unsent: int
    accepted: int
    refused: int  # with Retry-After
    others: int  # any other answer
    before: Latency
    during: Latency  # of what was accepted
    recovered_s: float
    memory: list[int]  # bytes: before, at most, after
    audited: Audited


class Watch:
    """Memory of a server, looked at ten times a second."""

    def __init__(self, server: Server) -> None:
        self.seen: list[tuple[float, int]] = []  # seconds, bytes
        self._server, self._ended = server, Event()
        self._thread = Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            self.seen.append((time.monotonic(), self._server.memory))

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()


def latency(told: list[Told]) -> Latency:
    """Of answered requests. Unsound if there is none."""
    if not told:
        raise Unsound("nothing was answered")
    took = sorted(one.took_ns for one in told)
    return Latency(took[len(took) // 2] / 1e6, took[len(took) * 99 // 100] / 1e6)


def answers(logs: list[Log]) -> list[Told]:
    """The answers to what was sent since the logs were last read."""
    return [log.told[sent.number] for log in logs for sent in log.read() if sent.number in log.told]


def run(folder: Path, seconds: float, times: float, clients: int, inbox: int, console: Console) -> Overloaded:
    """Overload an exchange. Unsound if it does not behave."""
    accounts = [f"K{number}" for number in range(clients)]
    logs = [Log(account, folder / f"{account}.log") for account in accounts]
    with Server(folder / "exchange.journal", "--inbox", str(inbox)) as server, crew(folder, accounts) as at_work:
        server.begin()
        server.until_ready()
        enrol(server.url, accounts)
        work(at_work, Task(server.port, MEASURED_S, "overload", FEW, batch=BATCH))  # warm
        answers(logs)
        work(at_work, Task(server.port, MEASURED_S, "overload", FEW, batch=BATCH))
        found = answers(logs)
        capacity, before = len(found) / MEASURED_S, latency(found)
        console.print(f"capacity {capacity:,.0f} requests/s from {clients * FEW} connections")
        started = server.memory
        with Watch(server) as watch:
            rate = times * capacity / clients
            done = work(at_work, Task(server.port, seconds, "overload", MANY, rate, BATCH))
        kinds = Counter[str]()
        accepted = list[Told]()
        for one in answers(logs):
            kind = "accepted" if one.status in (200, 201) else "refused" if one.retry_after != "-" else "others"
            kinds[kind] += 1
            if kind == "accepted":
                accepted.append(one)
        recovered_s = _recovery(server, at_work, logs, before)
        ended = server.memory
        found_there = Found(server.journal)
        if server.asker.get("/v1/state").json()["digest"] != found_there.digest:
            raise Unsound("the exchange that serves is another than the journal makes")
        audited = audit(logs, found_there)
        most = max(one for _, one in watch.seen)
        allowed = started + ALLOWANCE + KEPT * found_there.exchange.sequence
        if most > allowed:
            raise Unsound(f"memory grew from {started >> 20} to {most >> 20} MiB; {allowed >> 20} were allowed")
        server.stop()
    sent, unsent = sum(one.sent for one in done), sum(one.unsent for one in done)
    return Overloaded(
        capacity, (sent + unsent) / seconds, unsent, kinds["accepted"], kinds["refused"], kinds["others"],
        before, latency(accepted), recovered_s, [started, most, ended], audited,
    )  # fmt: skip


def work(clients: Crew, task: Task) -> list[Done]:
    """Have all clients do a task."""
    clients.begin(task)
    return clients.end()


def _recovery(server: Server, clients: Crew, logs: list[Log], before: Latency) -> float:
    """Seconds until it has answered about as fast as before, for half a second. Unsound if that takes too long."""
    began = time.monotonic()
    while time.monotonic() < began + RECOVERY_S:
        work(clients, Task(server.port, 0.5, "overload", FEW, batch=BATCH))
        if latency(answers(logs)).p50 <= RECOVERED * before.p50:
            return time.monotonic() - began
    raise Unsound(f"{RECOVERY_S} s after the overload an answer still takes {RECOVERED} times as long as before")


def show(found: Overloaded, console: Console) -> None:
    """Print what came of it."""
    memory = " / ".join(f"{one >> 20:,}" for one in found.memory)
    console.print(f"offered {found.offered:,.0f} requests/s, {found.offered / found.capacity:.1f} times the capacity")
    console.print(
        f"accepted {found.accepted:,}, refused with Retry-After {found.refused:,}, other answers {found.others:,}, "
        f"not sent for want of a free connection {found.unsent:,}"
    )
    console.print(
        f"milliseconds of what was accepted: p50 {found.during.p50:.1f}, p99 {found.during.p99:.1f} "
        f"(before: {found.before.p50:.1f}, {found.before.p99:.1f})"
    )
    console.print(
        f"well again within {found.recovered_s:.1f} s after the last request; "
        f"memory before / most / after: {memory} MiB"
    )
    audited = found.audited
    console.print(
        f"{audited.acknowledged:,} acknowledged requests ({audited.orders:,} orders) are in the journal once, "
        f"{audited.turned_away:,} that were turned away are not"
    )
