"""`carbonex serve` in a process of its own, the clients' processes, and the market they meet on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPConnection, HTTPException, RemoteDisconnected
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

import msgspec

from api.client import Client
from simulation.ports import free_port
from simulation.reliability import Unsound
from simulation.reliability.clients import SYMBOL, Done, Task

DAY = "2026-01-05"
CASH, UNITS = "1000000000.00", 20_000_000
READY_S = 300


class Forked:
    """A process that is nobody's child; how it ended is not known."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        return None if Path(f"/proc/{self.pid}").exists() else -1

    def wait(self, timeout: float = 60) -> int:
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("carbonex serve", timeout)
            time.sleep(0.005)
        return -1

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)


class Starter:
    """Starts exchanges quickly (:mod:`simulation.reliability.starter`)."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "simulation.reliability.starter"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, options: Sequence[str], output: Path) -> Forked:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([*options, str(output)]) + "\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise Unsound("the process that starts exchanges has ended")
        return Forked(int(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()


class Server:
    """One exchange on one port, started and ended as often as wanted."""

    def __init__(self, journal: Path, *options: str) -> None:
        self.journal = journal
        self.port = free_port()
        self.asker = Asker(self.port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | Forked
        self.options = [
            "serve", "--manual", "--rules", "generic", "--day", DAY,
            "--journal", str(journal), "--port", str(self.port), *options,
        ]  # fmt: skip
        self.command = [sys.executable, "-m", "exchange.cli", *self.options]
        self.output = journal.with_name("server.log")

    def begin(self, starter: "Starter | None" = None) -> None:
        """Start the process, from scratch or as a fork; it is not ready yet."""
        self._began = time.monotonic()
        if starter is not None:
            self.process = starter.start(self.options, self.output)
            return
        with self.output.open("ab") as said:
            self.process = subprocess.Popen(self.command, stdout=said, stderr=said, process_group=0)

    def until_ready(self) -> float:
        """Wait until it takes commands; returns the seconds since its start. Unsound if it ends, or takes too long."""
        while time.monotonic() < self._began + READY_S:
            if self.process.poll() is not None:
                raise Unsound(f"the exchange did not start: {self.said()}")
            if self.asker.is_ready():
                return time.monotonic() - self._began
            time.sleep(0.05)
        raise Unsound(f"the exchange is not ready after {READY_S} s")

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(60)

    def said(self) -> str:
        """The last that it has said."""
        return self.output.read_text("utf-8", "replace")[-500:] if self.output.exists() else ""

    @property
    def memory(self) -> int:
        """Bytes of memory that the process has."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def cpu_s(self) -> float:
        """Seconds that the process has had of the processors."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc: object) -> None:
        self.asker.close()
        if self.process.poll() is None:
            self.kill()


class Answer(NamedTuple):
    """What an exchange answers."""

    status: int
    headers: Message
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        return json.loads(self.body)


class Asker:
    """One plain connection, made anew when the exchange has been: the programs here must cost little themselves."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """OSError or HTTPException if there is no answer."""
        try:
            kind = {"content-type": "application/json"}
            self._connection.request(method, path, body or None, kind | dict(headers or {}))
            answer = self._connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except (OSError, HTTPException):
            self.close()
            raise

    def get(self, path: str, **params: object) -> Answer:
        """What may be asked twice: a connection that has idled too long may have been closed meanwhile."""
        asked = f"{path}?{urlencode(params)}" if params else path
        try:
            return self.ask("GET", asked)
        except RemoteDisconnected:
            return self.ask("GET", asked)

    def is_ready(self) -> bool:
        try:
            return self.get("/health/ready").is_success
        except (OSError, HTTPException):
            return False
        finally:
            self.close()

    def close(self) -> None:
        self._connection.close()


def enrol(url: str, accounts: Sequence[str]) -> None:
    """Open the market for some accounts, with more than they can spend."""
    with Client(url) as client:
        client.list_instrument(SYMBOL, "allowance", 2025, "40.00")
        for account in accounts:
            client.open_account(account, account, "institution")
            client.deposit(account, CASH)
            client.issue(account, SYMBOL, UNITS)
            client.transfer(account, SYMBOL, UNITS)
        client.open_day(DAY)
        client.set_phase("continuous")


class Crew:
    """The client processes, one an account."""

    def __init__(self, folder: Path, accounts: Sequence[str]) -> None:
        self.logs = {account: folder / f"{account}.log" for account in accounts}
        self._processes = [_client(account, log) for account, log in self.logs.items()]

    def begin(self, task: Task) -> None:
        """Give all the same task."""
        line = msgspec.json.encode(task) + b"\n"
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(line)
            process.stdin.flush()

    def end(self) -> list[Done]:
        """Wait until all have done it."""
        lines = [process.stdout.readline() for process in self._processes if process.stdout is not None]
        if not all(lines):
            raise Unsound("a client process has ended")
        return [msgspec.json.decode(line, type=Done) for line in lines]

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


def _client(account: str, log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "simulation.reliability.clients", account, str(log)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@contextmanager
def crew(folder: Path, accounts: Sequence[str]) -> Iterator[Crew]:
    """Client processes, ended with the block."""
    made = Crew(folder, accounts)
    try:
        yield made
    finally:
        made.close()
