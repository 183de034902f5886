"""SIGKILL under load, many times on one journal; after each restart everything that was ever acknowledged is audited.

    load from several client processes --> SIGKILL at a random moment --> start; meanwhile the journal is audited -->
    the digest that is served is the journal's; each order of the round is asked for by its client order id; what was
    acknowledged is sent again and gets the same answer, what was not is sent again and then is there once

Now and then the exchange is killed once more while it starts. Most starts are forks of a process that has loaded the
modules before (:mod:`simulation.reliability.starter`), one in COLD_EVERY is from scratch; those are timed.
"""

import json
import random
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from simulation.reliability import Unsound
from simulation.reliability.audit import Audited, Found, Log, Sent, Told, audit
from simulation.reliability.clients import Task, request_of
from simulation.reliability.server import Answer, Asker, Crew, Server, Starter, crew, enrol

CONNECTIONS = 6  # of each client
LOAD_S = 0.15, 0.6  # of a round, at least and at most
KILLED_IN_THE_START = 0.15  # of all restarts
START_S = 1.0
COLD_EVERY = 10  # starts
LIST_EVERY = 20  # rounds, and at the end: all orders of all accounts are asked for, page by page


class Restart(NamedTuple):
    """How long a start took with how long a journal."""

    commands: int
    seconds: float
    cpu_s: float


class Killed(NamedTuple):
    """What came of it."""

    kills: int  # under load
    kills_in_the_start: int
    comparisons: int  # of an acknowledgement with the journal, over all restarts
    repeated: int  # acknowledged requests that were sent again, and got the same answer
    finished: int  # unanswered ones that were sent again
    last: Audited
    restarts: list[Restart]
    seconds: float


def run(folder: Path, kills: int, clients: int, seed: int, console: Console) -> Killed:
    """Kill so often. Unsound with the first fault; the folder then has the journal and what the clients noted."""
    began, drawn = time.monotonic(), random.Random(seed)
    accounts = [f"K{number}" for number in range(clients)]
    logs = [Log(account, folder / f"{account}.log") for account in accounts]
    restarts, in_the_start, comparisons = list[Restart](), 0, 0
    by_account = {log.account: log for log in logs}
    again = _Again()
    with Server(folder / "exchange.journal") as server, crew(folder, accounts) as clients_at_work, Starter() as starter:
        server.begin()
        server.until_ready()
        enrol(server.url, accounts)
        for number in range(1, kills + 1):
            _load_and_kill(server, clients_at_work, drawn)
            fresh = [sent for log in logs for sent in log.read()]
            while drawn.random() < KILLED_IN_THE_START:
                server.begin(starter)
                time.sleep(drawn.uniform(0, START_S))
                server.kill()
                in_the_start += 1
            is_cold = number % COLD_EVERY == 0 or number == kills
            server.begin(None if is_cold else starter)
            found = Found(server.journal)
            audited = audit(logs, found)
            comparisons += audited.acknowledged
            took_s = server.until_ready()
            if is_cold:
                restarts.append(Restart(found.exchange.sequence, took_s, server.cpu_s))
            if server.asker.get("/v1/state").json()["digest"] != found.digest:
                raise Unsound("the exchange that serves is another than the journal makes")
            if number % LIST_EVERY == 0 or number == kills:
                for log in logs:
                    _require_all_listed(server.asker, log, found)
            for sent in fresh:
                again.ask(server.asker, by_account[sent.account], sent, found)
            if number % 10 == 0 or number == kills:
                console.print(f"{number} kills: {audited.acknowledged:,} acknowledged requests are in the journal")
        last = _end(server, logs)
    took = time.monotonic() - began
    return Killed(kills, in_the_start, comparisons, again.repeated, again.finished, last, restarts, took)


def _load_and_kill(server: Server, clients: Crew, drawn: random.Random) -> None:
    clients.begin(Task(server.port, 60, "kills", CONNECTIONS))
    time.sleep(drawn.uniform(*LOAD_S))
    server.kill()
    clients.end()


def _end(server: Server, logs: list[Log]) -> Audited:
    """Stop the exchange in good order and audit once more."""
    digest = server.asker.get("/v1/state").json()["digest"]
    if broken := [one["name"] for one in server.asker.get("/v1/checks").json() if not one["ok"]]:
        raise Unsound(f"invariants that do not hold: {', '.join(broken)}")
    if status := server.stop():
        raise Unsound(f"the exchange ended with status {status}: {server.said()}")
    found = Found(server.journal)
    if found.digest != digest:
        raise Unsound("the journal makes another exchange than the one that served")
    return audit(logs, found)


def _require_all_listed(http: Asker, log: Log, found: Found) -> None:
    """All orders of an account as the exchange tells them: those that the journal has, each once."""
    listed: list[tuple[str, int]] = []
    params = {"account_id": log.account}
    while True:
        answer = http.get("/v1/orders", **params)
        listed += [(one["client_order_id"], one["order_id"]) for one in answer.json()]
        if not (cursor := answer.headers.get("carbonex-cursor")):
            break
        params["cursor"] = cursor
    mine = f"{log.account}-"
    booked = {
        (name, found.accepted[row.sequence])
        for name, rows in found.orders.items()
        for row in rows
        if name.startswith(mine) and row.sequence in found.accepted
    }
    if len(listed) != len(set(listed)) or set(listed) != booked:
        raise Unsound(f"{log.account} is told of {len(listed)} orders, and the journal has {len(booked)}")


class _Again:
    """Requests of the last round, asked after and sent again."""

    def __init__(self) -> None:
        self.repeated = self.finished = 0

    def ask(self, http: Asker, log: Log, sent: Sent, found: Found) -> None:
        told = log.told.get(sent.number)
        if sent.kind in ("read", "cancel") or (told is not None and told.status not in (200, 201, 500)):
            return
        self._require_known(http, sent, found)
        asked = request_of(sent.account, sent.number, sent.kind, sent.target)
        answer = http.ask(asked.method, asked.path, asked.body, asked.headers)
        what = f"{sent.kind} {sent.account}-{sent.number}"
        if told is not None and told.status != 500:
            self.repeated += 1
            if not _is_same(sent.kind, answer, told):
                raise Unsound(f"{what} got another answer when it came again: {told.body!r}, then {answer.body!r}")
            return
        self.finished += 1
        if not (answer.is_success or _was_lost(sent, answer, found)):
            raise Unsound(f"{what} was not answered, came again and was refused: {answer.body!r}")
        if answer.is_success:
            log.told[sent.number] = Told(answer.status, 0, "-", answer.body)

    def _require_known(self, http: Asker, sent: Sent, found: Found) -> None:
        """Each order of a request is told by its client order id, as the journal has it."""
        for name in sent.names[:1]:
            told = http.get("/v1/orders", account_id=sent.account, client_order_id=name).json()
            rows = [row for row in found.orders.get(name, []) if row.sequence in found.accepted]
            if [one["order_id"] for one in told] != [found.accepted[row.sequence] for row in rows]:
                raise Unsound(f"order {name} is told as {told}, and in the journal as {rows}")


def _is_same(kind: str, answer: Answer, told: Told) -> bool:
    """Whether a repeat got the answer of the first time; of a batch, the same orders."""
    if kind == "batch":
        first, second = json.loads(told.body), answer.json()
        return answer.is_success and _numbers(first) == _numbers(second)
    is_marked = answer.headers.get("idempotent-replayed") == "true"
    return answer.is_success and is_marked and answer.body.replace(b"\n", b" ") == told.body


def _numbers(batch: Any) -> list[tuple[str, int | None]]:
    return [(one["client_order_id"], one.get("order_id")) for one in batch["orders"]]


def _was_lost(sent: Sent, answer: Answer, found: Found) -> bool:
    """Whether a deposit is in the journal, and its answer can't be had any more: the exchange says so."""
    return sent.kind == "deposit" and answer.status == 409 and answer.json()["code"] == "answer_lost"


def show(killed: Killed, console: Console) -> None:
    """Print what came of it."""
    last = killed.last
    console.print(
        f"{killed.kills} kills under load and {killed.kills_in_the_start} more during a start, in "
        f"{killed.seconds / 60:.1f} minutes: {last.acknowledged:,} requests acknowledged ({last.orders:,} orders), "
        f"each in the journal once; {killed.comparisons:,} comparisons in all"
    )
    console.print(
        f"sent again after the restart: {killed.repeated:,} with the same answer as before, {killed.finished:,} that "
        f"had none; {last.refused:,} refused for good"
    )
    table = Table(box=box.SIMPLE, title="From the start of the process until it takes commands, seconds")
    for column in ("starts", "commands in the journal", "least", "middle", "most", "of the processor, middle"):
        table.add_column(column, justify="right")
    quarter = -(-len(killed.restarts) // 4)
    for start in range(0, len(killed.restarts), quarter):
        part = killed.restarts[start : start + quarter]
        took = sorted(one.seconds for one in part)
        table.add_row(
            f"{start + 1}-{start + len(part)}", f"{part[0].commands:,}-{part[-1].commands:,}",
            f"{took[0]:.2f}", f"{median(took):.2f}", f"{took[-1]:.2f}", f"{median(one.cpu_s for one in part):.2f}",
        )  # fmt: skip
    console.print(table)
