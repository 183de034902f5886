"""A real exchange in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from simulation.ports import free_port


class Server:
    """`carbonex serve --manual` on a journal; starts on entering, is terminated on leaving."""

    def __init__(self, journal: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [
            sys.executable, "-m", "exchange.cli", "serve", "--manual", "--day", "2026-01-05",
            "--journal", str(journal), "--port", str(self.port), *options,
        ]  # fmt: skip

    def __enter__(self) -> "Server":
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        deadline = time.monotonic() + 180
        with httpx.Client(base_url=self.url) as client:  # to make one takes longer than to ask
            while time.monotonic() < deadline:
                assert self.process.poll() is None, self.process.communicate()[0]
                try:
                    if client.get("/health/ready").is_success:
                        return self
                except httpx.TransportError:
                    pass
                time.sleep(0.05)
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __exit__(self, *exc: object) -> None:
        self.process.terminate()
        self.output = self.process.communicate()[0]
