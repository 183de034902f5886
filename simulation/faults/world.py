"""A whole exchange and all who use it, in one process on virtual time, from one seed.

The exchange is the gateway's own application: its door, idempotency, routes, inbox, engine, timers, settlement bank,
feed. What stands around it is simulated: the disks (:mod:`simulation.faults.disk`), the network, the clock. A process
that dies hears nothing any more and nothing of it reaches disk or network; another one opens what it has left.
"""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import msgspec
from fastapi import FastAPI

from api.app import make_app
from api.gateway import Gateway
from api.timers import Clock, simulated_clock
from exchange.commands import Command, DepositCash, IssueUnits, ListInstrument, OpenAccount, TransferUnits, control
from exchange.journal import JournalError
from exchange.rules import RuleSet, load_rule_set
from matching.orders import TimeInForce
from registry.accounts import ParticipantClass
from registry.serials import Origin
from registry.units import Species
from settlement.rules import Mode, Policy
from simulation.faults.auditor import Auditor, Intent
from simulation.faults.clients import Listener, Participant
from simulation.faults.disk import Crashed, Disk, MemoryDisk, SimulatedJournal, SimulatedRequests, SqliteDisk
from simulation.faults.loop import Stuck, VirtualLoop
from simulation.faults.model import require
from simulation.faults.plan import EVERY, Fault, Plan

SYMBOL = "HBEA-2025"
PARTICIPANTS, LISTENERS = 4, 2
SPEED = 3600.0  # market seconds a second
FIRST_DAY = date(2026, 1, 5)
TONNES, FEN = 5_000, 30_000_000  # of each participant at first
QUIET_S = 3.0  # until all have heard everything
SQLITE_SHARE = 0.4  # of the seeds keep the exchange's own journal
LONGEST_S = 20_000.0
_HOST = (b"host", b"exchange")


@dataclass
class Run:
    """What came of one seed."""

    seed: int
    steps: int
    enabled: frozenset[Fault]
    wrong: str | None  # what the auditor found
    failed_at: int  # steps that had been taken
    wakeups: int
    commands: int
    trades: int
    days: int
    lives: int
    faults: dict[str, int]
    digest: str  # of all commands
    took_s: float


class Server:
    """One life of the exchange's process."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.ended = asyncio.Event()
        self.is_alive = True
        self._tasks: dict[asyncio.Task[Any], None] = {}  # in order: a set has another one in each process
        self.journal = SimulatedJournal(world.disk, world.plan, world.loop, self.die)
        self.requests = SimulatedRequests(world.folder / "requests", world.plan, world.loop, world.wall_ns)
        clock = Clock(0, SPEED, world.wall_ns)
        self.gateway = gateway = Gateway(self.journal, world.rules, clock, bank=world.policy, requests=self.requests)
        gateway.clock.advance_to(simulated_clock(gateway.exchange, FIRST_DAY, manual=False))
        for command in SETUP[gateway.exchange.sequence - 1 :]:
            gateway.history.extend(*self._done(command))
        self.journal.is_opening = False
        self.app = make_app(gateway)
        self.app.router = _routes_of(self.app)
        self._watch = gateway.inbox.watch
        gateway.inbox.watch = self._passed
        gateway.inbox.stop = self.ended.set
        if not world.plan.is_quiet:
            gateway.timers.start(days=None, skip_idle=True)

    def _done(self, command: Command) -> tuple[Any, Any]:
        engine = self.gateway.engine
        batch = engine.prepare([command], self.gateway.clock.now_ns()).batch
        engine.record(batch).result()
        return batch, engine.apply(batch)

    def _passed(self, passed: Any) -> None:
        self._watch(passed)
        if self.is_alive:
            self.world.attempt(lambda: self.world.auditor.passed(self.gateway, passed))

    def die(self) -> None:
        """End here and now."""
        self.is_alive = False
        self.requests.is_dead = True
        self.journal.die()
        self.ended.set()
        for task in [*self._tasks]:
            task.cancel()

    async def live(self) -> None:
        """Serve until it ends."""
        async with self.gateway.running():
            await self.ended.wait()
            if self.is_alive:
                await self.gateway.life.drain()
        self.is_alive = False
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def do(self, work: Awaitable[Any]) -> "asyncio.Task[Any]":
        """Have something done in this life."""
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    async def answer(self, intent: Intent) -> tuple[int, bytes] | None:
        """What the application answers to a request; None if it dies before."""
        target = urlsplit(intent.path)
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": intent.method,
            "scheme": "http", "path": target.path, "raw_path": target.path.encode(),
            "query_string": target.query.encode(), "root_path": "", "headers": [_HOST, *intent.headers],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000), "state": {},
        }  # fmt: skip
        parts, status = list[bytes](), 0

        async def receive() -> Any:
            return {"type": "http.request", "body": intent.body, "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                parts.append(message.get("body", b""))

        await self.app(scope, receive, send)
        return (status, b"".join(parts)) if self.is_alive else None

    async def stream(self, hear: Callable[[str], Awaitable[None]]) -> None:
        """Listen to the trades until the connection ends."""
        scope = {
            "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws",
            "path": "/v1/stream", "raw_path": b"/v1/stream", "query_string": b"", "root_path": "",
            "headers": [_HOST], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
            "subprotocols": [], "state": {},
        }  # fmt: skip
        said = asyncio.Queue[Any]()
        said.put_nowait({"type": "websocket.connect"})
        subscribe = f'{{"op": "subscribe", "channel": "trades", "symbol": "{SYMBOL}"}}'
        said.put_nowait({"type": "websocket.receive", "text": subscribe})

        async def send(message: Any) -> None:
            if message["type"] == "websocket.send" and self.is_alive:
                await hear(message["text"])

        connection = self.do(self.app(scope, said.get, send))
        await asyncio.wait({connection})
        if self.is_alive and not connection.cancelled() and (error := connection.exception()) is not None:
            raise error


class Network:
    """Brings requests and answers: late, twice or not at all."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self._latency = world.plan.source("latency of the network")

    async def ask(self, intent: Intent, patience_s: float) -> tuple[int, bytes] | None:
        """The first answer to a request; None if none comes."""
        heard: asyncio.Future[tuple[int, bytes]] = self.world.loop.create_future()
        plan = self.world.plan
        for _ in range(2 if plan.strikes(Fault.DOUBLED_REQUEST) else 1):
            if not plan.strikes(Fault.LOST_REQUEST):
                self.world.loop.call_later(self._seconds(), self._arrive, intent, heard)
        await asyncio.wait({heard}, timeout=patience_s)
        if heard.done():
            return heard.result()
        heard.cancel()
        return None

    def _seconds(self) -> float:
        return self._latency.uniform(0.0002, 0.005)

    def _arrive(self, intent: Intent, heard: "asyncio.Future[tuple[int, bytes]]") -> None:
        server = self.world.server
        if server is not None and server.is_alive:
            server.do(self._served(server, intent, heard))

    async def _served(self, server: Server, intent: Intent, heard: "asyncio.Future[tuple[int, bytes]]") -> None:
        try:
            reply = await server.answer(intent)
        except Exception as error:
            if server.is_alive:
                self.world.fail(f"{intent.method} {intent.path} raised {error!r}")
            return
        if reply is not None and not self.world.plan.strikes(Fault.LOST_ANSWER):
            self.world.loop.call_later(self._seconds(), lambda: None if heard.done() else heard.set_result(reply))


class World:
    """Everything of one seed."""

    def __init__(self, seed: int, steps: int, enabled: Collection[Fault], folder: Path) -> None:
        self.plan = plan = Plan(seed, enabled)
        self.steps, self.folder = steps, folder
        self.loop = VirtualLoop(plan.source("wake-ups"), self._late)
        draw = plan.source("world")
        self.policy = draw.choice((Policy.ACCEPT, Policy.ACCEPT, Policy.LATE))
        mode = draw.choice([*Mode])
        self.rules = _rules(mode)
        self.symbol = SYMBOL
        self.disk: Disk = SqliteDisk(folder) if draw.random() < SQLITE_SHARE else MemoryDisk()
        self.auditor = Auditor(self.disk, int(TimeInForce.DAY), mode.nets_cash, SYMBOL)
        self.network = Network(self)
        self.server: Server | None = None
        self.numbers = {f"P-{number}": number + 1 for number in range(1, PARTICIPANTS + 1)}
        self.taken = self.lives = 0
        self.wrong: str | None = None
        self._skew_ns = 0
        self._mischief = plan.source("mischief")
        self._is_over = asyncio.Event()
        self._began = asyncio.Event()  # a server serves

    def _late(self) -> float:
        late = self.plan.strikes(Fault.DELAYED_TIMER)
        return self.plan.amount(Fault.DELAYED_TIMER, 0.05, 2) if late else 0.0

    def wall_ns(self) -> int:
        """The clock of the machine, which somebody sets now and then."""
        return int(self.loop.time() * 1e9) + self._skew_ns

    @property
    def day(self) -> str:
        """The trading day that is, or was the last."""
        return self.auditor.model.day

    def take_step(self) -> bool:
        """Whether there is a step left."""
        if self.taken >= self.steps or self.wrong is not None:
            return False
        self.taken += 1
        return True

    def attempt(self, check: Callable[[], None]) -> None:
        """Look at something; what is wrong ends the run."""
        try:
            check()
        except AssertionError as error:
            self.fail(str(error))

    def fail(self, said: str) -> None:
        self.wrong = self.wrong or said
        self._is_over.set()

    async def serving(self) -> Server:
        """A server that lives."""
        while self.server is None or not self.server.is_alive:
            self._began.clear()
            await self._began.wait()
        return self.server

    # ------------------------------------------------------------ the course of things

    async def run(self) -> None:
        """All steps, then quiet, then the last look."""
        participants = [Participant(self, number) for number in range(1, PARTICIPANTS + 1)]
        listeners = [Listener(self, number) for number in range(1, LISTENERS + 1)]
        around = [self._task(work) for work in (self._keep_serving(), self._mischievous())]
        around += [self._task(one.run()) for one in listeners]
        acting = [self._task(one.run()) for one in participants]
        over = asyncio.ensure_future(self._is_over.wait())
        await asyncio.wait({over, asyncio.ensure_future(asyncio.wait(acting))}, return_when=asyncio.FIRST_COMPLETED)
        if self.wrong is None:
            self.plan.is_quiet = True
            if self.server is not None:
                self.server.gateway.timers.stop()  # the market stands still while all hear the rest
            while any(one.is_slow for one in listeners):
                await asyncio.sleep(1)
            await asyncio.sleep(QUIET_S)
            server = await self.serving()
            self.attempt(lambda: self.auditor.finished(server.gateway))
            for one in listeners:
                self.attempt(one.finished)
        if self.server is not None:
            self.server.die()
        for task in (*acting, *around, over):
            task.cancel()
        await asyncio.gather(*acting, *around, over, return_exceptions=True)

    def _task(self, work: Any) -> "asyncio.Task[Any]":
        async def watched() -> None:
            try:
                await work
            except AssertionError as error:
                self.fail(str(error))
            except Exception as error:
                self.fail(f"{type(error).__name__}: {error}")
                raise

        return asyncio.ensure_future(watched())

    async def _keep_serving(self) -> None:
        while True:
            require(self.loop.time() < LONGEST_S, "the run does not come to its end")
            try:
                self.server = server = Server(self)
            except (Crashed, JournalError):  # as soon as it would write
                await asyncio.sleep(0.1)
                continue
            self.lives += 1
            self.attempt(lambda: self.auditor.opened(server.gateway))  # noqa: B023
            self._began.set()
            await server.live()
            await asyncio.sleep(self._mischief.uniform(0.01, 1.0))

    async def _mischievous(self) -> None:
        """Kills at any moment, and clocks that are set."""
        while True:
            await asyncio.sleep(self._mischief.expovariate(1 / 0.1))
            if self.plan.strikes(Fault.CRASH) and self.server is not None and self.server.is_alive:
                self.server.die()
            if self.plan.strikes(Fault.CLOCK_STEP):
                self._skew_ns += int(self.plan.amount(Fault.CLOCK_STEP, -2, 2) * 1e9)


_routes: list[Any] = []


def _routes_of(app: FastAPI) -> Any:
    """The routes of the first application that was made: they find the gateway by the one that is asked.

    FastAPI works each out anew for every application, which takes a hundred times as long as opening an exchange.
    """
    if not _routes:
        _routes.append(app.router)
    return _routes[0]


def _rules(mode: Mode) -> RuleSet:
    """A plain market whose money goes by way of a bank."""
    rules = load_rule_set("generic")
    settlement = msgspec.structs.replace(rules.settlement, mode=mode, bank=True, confirm_by="16:00")
    return msgspec.structs.replace(rules, opening_call=None, settlement=settlement)


def _setup() -> list[Command]:
    names = [f"P-{number}" for number in range(1, PARTICIPANTS + 1)]
    commands: list[Any] = [ListInstrument(SYMBOL, Species.ALLOWANCE, 2025, 4_000)]
    commands += [OpenAccount(name, name, ParticipantClass.INSTITUTION) for name in names]
    for name in names:
        commands.append(DepositCash(name, FEN))
        commands.append(IssueUnits(name, SYMBOL, TONNES, Origin.FREE))
        commands.append(TransferUnits(name, SYMBOL, TONNES, to_trading=True))
    return [control(command) for command in commands]


SETUP = _setup()


def run(seed: int, steps: int, enabled: Collection[Fault] = EVERY) -> Run:
    """Play one seed; what is wrong stands in the answer."""
    began, memory = perf_counter(), Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir=memory if memory.is_dir() else None))
    world = World(seed, steps, enabled, folder)
    try:
        with _silent():
            world.loop.run_until_complete(world.run())
    except Stuck as stuck:
        world.fail(str(stuck))
    finally:
        world.disk.close()
        world.loop.close()
        shutil.rmtree(folder, ignore_errors=True)
    model = world.auditor.model
    return Run(
        seed=seed, steps=steps, enabled=frozenset(enabled), wrong=world.wrong, failed_at=world.taken,
        wakeups=world.loop.wakeups, commands=model.sequence, trades=len(model.trades),
        days=sum(one.row.detail.startswith(b'{"command":"OpenDay"') for one in model.predicted), lives=world.lives,
        faults={str(fault): count for fault, count in world.plan.happened.items()},
        digest=model.digest.hexdigest(), took_s=perf_counter() - began,
    )  # fmt: skip


@contextmanager
def _silent() -> Iterator[None]:
    """Without the log of an exchange that dies all the time."""
    names = ("carbonex", "asyncio")
    before = [logging.getLogger(name).level for name in names]
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in zip(names, before, strict=True):
            logging.getLogger(name).setLevel(level)
