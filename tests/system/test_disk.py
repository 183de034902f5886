"""A disk that fails under a live exchange: one message, an exit code, and nothing acknowledged that is not there.

The disk is full: a file-size limit set on the running process (RLIMIT_FSIZE), and a file system of two megabytes where
this machine lets one be mounted. The disk fails: `fdatasync` returns EIO from a moment on, by a preloaded library where
there is a compiler. The disk may not be written: the journal's file permissions, for a process that has to obey them.
"""

import os
import resource
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from exchange.journal import SqliteJournal
from simulation.reliability.audit import Found, Log, audit
from simulation.reliability.clients import Task
from simulation.reliability.server import Server, crew, enrol
from tests.system.desk import run

pytestmark = pytest.mark.thorough

ACCOUNTS = ["K0", "K1"]
FAILING_SYNC = """
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int fails(void) { const char *sign = getenv("FAILING_DISK"); return sign && access(sign, F_OK) == 0; }
int fsync(int file) { if (fails()) { errno = EIO; return -1; } return 0; }
int fdatasync(int file) { return fsync(file); }
"""


def break_under_load(folder, server, break_it):
    """Load an exchange from two processes, break its disk, and see it end; returns what was acknowledged before."""
    server.begin()
    server.until_ready()
    enrol(server.url, ACCOUNTS)
    before = Found(server.journal).exchange.sequence
    with crew(folder, ACCOUNTS) as clients:
        clients.begin(Task(server.port, 30, "kills", 4))
        while httpx.get(f"{server.url}/v1/state").json()["sequence"] < before + 200:
            pass
        break_it()
        assert server.process.wait(30) == 2  # by itself, and at once
        clients.end()
    said = server.said()
    *_, why, last = said.splitlines()
    assert "carbonex: the exchange stops: journal_unwritable: " in why and "Traceback" not in said
    assert last == "carbonex: journal_unwritable: the exchange broke and stopped; the journal holds what happened"
    logs = [Log(account, folder / f"{account}.log") for account in ACCOUNTS]
    for log in logs:
        log.read()
    return logs


def restart_and_audit(server, logs):
    server.begin()
    server.until_ready()
    found = Found(server.journal)
    assert httpx.get(f"{server.url}/v1/state").json()["digest"] == found.digest
    audited = audit(logs, found)
    assert audited.acknowledged > 10 and audited.orders > 50
    assert server.stop() == 0
    return audited


@pytest.fixture
def server(tmp_path):
    with Server(tmp_path / "exchange.journal") as made:
        yield made


def test_a_full_disk_stops_the_exchange_and_loses_nothing(tmp_path, server):
    def fill():
        largest = max(Path(f"{server.journal}{end}").stat().st_size for end in ("", "-wal"))
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (largest + 50_000,) * 2)

    logs = break_under_load(tmp_path, server, fill)
    restart_and_audit(server, logs)


def test_a_disk_that_fails_to_sync_stops_the_exchange_and_loses_nothing(tmp_path, server, monkeypatch):
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler to make the failing disk with")
    library, sign = tmp_path / "failing.so", tmp_path / "the disk fails"
    source = tmp_path / "failing.c"
    source.write_text(FAILING_SYNC)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(library))
        patch.setenv("FAILING_DISK", str(sign))
        logs = break_under_load(tmp_path, server, sign.touch)
    sign.unlink()
    restart_and_audit(server, logs)


@contextmanager
def small_disk(folder):
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine lets no file system be mounted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_small_file_system_that_is_full(tmp_path):
    with small_disk(tmp_path / "small") as folder, Server(folder / "exchange.journal") as server:
        server.output = tmp_path / "server.log"
        logs = break_under_load(tmp_path, server, lambda: None)
        subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True)
        restart_and_audit(server, logs)


def refused(*command):
    ended = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=100)
    [said] = ended.stderr.splitlines()
    return ended.returncode, said


def test_a_journal_that_may_not_be_written_is_refused_at_the_start(tmp_path):
    server = Server(tmp_path / "exchange.journal")
    SqliteJournal(server.journal).close()
    server.journal.chmod(0o444)
    obeying = []
    if os.geteuid() == 0:
        if (setpriv := shutil.which("setpriv")) is None:
            pytest.skip("nothing keeps this user from writing what it may not")
        obeying = [setpriv, "--bounding-set=-dac_override"]
    status, said = refused(*obeying, *server.command)
    assert (status, said) == (
        1,
        f"carbonex: journal_unwritable: {server.journal}: attempt to write a readonly database",
    )


def test_a_file_of_requests_that_is_none_is_refused_at_the_start(tmp_path):
    requests = tmp_path / "exchange.journal.requests"
    requests.write_bytes(b"garbage" * 1000)
    ended = run(f"serve --journal {tmp_path / 'exchange.journal'} --port 0")
    assert ended.exit_code == 1
    assert ended.stderr == f"carbonex: requests_unusable: {requests}: file is not a database\n"
