"""The README's section on running it, and the files to begin with, against what they speak of."""

import configparser
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from api.app import make_app
from api.gateway import Gateway
from api.settings import PREFIX, ServeSettings, as_toml, load
from api.timers import Clock
from exchange.journal import MemoryJournal
from exchange.serve_cli import EXAMPLES
from tests.system.desk import run
from tests.system.server import Server

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SECTION = README.split("\n## Running it\n")[1].split("\n## ")[0]
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL) for line in block.splitlines()]


def example(name):
    ended = run(f"serve --example {name}")
    assert ended.exit_code == 0
    return ended.stdout


def rows(heading):
    """The rows of a table of the section, as their cells."""
    table = SECTION.split(f"| {heading} |")[1].split("\n\n")[0]
    return [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in table.splitlines()[2:]]


# ---------------------------------------------------------------- the README


def test_the_table_of_settings_is_that_of_the_model():
    assert rows("setting") == [
        (f"`{name}`", "unset" if field.default is None else f"`{as_toml(field.default)}`", field.description)
        for name, field in ServeSettings.model_fields.items()
    ]


def test_the_table_of_metrics_is_what_metrics_tells():
    measured = make_app(Gateway(MemoryJournal(), None, Clock(1))).state.metrics
    labels = {f"{one.name}_total" if one.type == "counter" else one.name: one._labelnames for one in measured.collect()}
    told = measured.text().decode()
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", told, re.MULTILINE))
    kinds = dict(re.findall(r"^# TYPE (\S+) (.*)$", told, re.MULTILINE))
    own = [name for name in kinds if name.startswith("carbonex_") and not name.endswith("_created")]
    assert {name.split("_")[0] for name in kinds} == {"carbonex", "process"}
    assert rows("metric") == [
        (f"`{name}{{{', '.join(labels[name])}}}`" if labels.get(name) else f"`{name}`", kinds[name], helps[name])
        for name in own
    ]


def test_the_commands_of_the_section_work_as_written(tmp_path, monkeypatch):
    first, shown, install = COMMANDS
    monkeypatch.chdir(tmp_path)
    command, target = first.removeprefix("carbonex ").split(" > ")
    Path(target).write_text(run(command).stdout)
    [variable, command] = shown.split(" ", 1)
    ended = run(command.removeprefix("carbonex "), **dict([variable.split("=")]))
    assert ended.exit_code == 0
    for line in (
        "port = 8001  # CARBONEX_SERVE_PORT",
        'log_level = "warning"  # --log-level',
        'clock = "real"  # carbonex.toml: clock',
    ):
        assert line in ended.stdout.splitlines()
    assert f"RUN {install.replace('pip install', 'pip install --no-cache-dir')}" in example("container")


# ---------------------------------------------------------------- files to begin with


@pytest.mark.thorough
def test_the_example_of_a_configuration_serves(tmp_path):
    file = tmp_path / "carbonex.toml"
    file.write_text(example("config"))
    named = set(tomllib.loads(file.read_text()))
    assert {name for name, place in load({}, file).places.items() if place == f"{file}: {name}"} == named
    with Server(tmp_path / "exchange.journal", "--config", str(file), "--clock", "simulated") as server:
        pass
    assert server.process.returncode == 0
    assert '"event":"start"' in server.output  # log_level and log_format are the file's


def unit():
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read_string(example("systemd"))
    return parser


def test_the_unit_starts_what_there_is_and_gives_it_the_time_it_takes():
    service = unit()["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert (Path(program).name, arguments[:2]) == ("carbonex", ["serve", "--config"])
    shutdown_s = tomllib.loads(example("config"))["shutdown_seconds"]
    assert float(service["TimeoutStopSec"]) > shutdown_s
    journal = Path(tomllib.loads(example("config"))["journal"])
    assert journal.parent == Path("/var/lib") / service["StateDirectory"] == Path(service["WorkingDirectory"])
    hardened = {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes"}
    assert hardened.items() <= dict(service).items()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_has_nothing_against_the_unit(tmp_path):
    file = tmp_path / "carbonex.service"
    program = shutil.which("true")
    file.write_text(example("systemd").replace("/opt/carbonex/.venv/bin/carbonex", program))
    ended = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    said = [line for line in ended.stderr.splitlines() if str(file) in line or "carbonex.service" in line]
    assert (ended.returncode, said) == (0, [])


@pytest.mark.thorough
def test_systemd_is_told_when_it_is_ready_and_when_it_stops(tmp_path, monkeypatch):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(address)
        heard.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        with Server(tmp_path / "exchange.journal"):
            assert heard.recv(100) == b"READY=1"
        assert heard.recv(100) == b"STOPPING=1"


@pytest.mark.thorough
def test_the_container_runs_the_command_with_settings_that_are_some(tmp_path):
    said = example("container").replace("\\\n", " ")
    variables = dict(re.findall(r"(CARBONEX_\w+)=(\S+)", said))
    settings = run("serve --show-settings", **variables)
    assert settings.exit_code == 0, settings.stderr
    for name in variables:
        assert f"# {name}" in settings.stdout or not name.startswith(PREFIX)
    assert 'ENTRYPOINT ["carbonex"]' in said and 'CMD ["serve"]' in said
    refused = run("serve", **variables | {"CARBONEX_SERVE_JOURNAL": str(tmp_path / "exchange.journal")})
    assert "address_needs_keys" in refused.stderr
    [keys] = re.findall(r"carbonex (keys create .*?--file) (\S+)", " ".join(said.replace("#", "").split()))
    assert keys[1] == variables["CARBONEX_SERVE_JOURNAL"] + ".keys"
    assert run(f"{keys[0]} {tmp_path / 'k.keys'}").exit_code == 0
    [check] = re.findall(r"HEALTHCHECK .*?CMD \[(.*?)\]", said)
    program = check.split(", ", 1)[1].strip().removeprefix('"-c",').strip().strip('"')
    with Server(tmp_path / "other.journal") as server:
        ready = [sys.executable, "-c", program.replace(":8000", f":{server.port}")]
        assert subprocess.run(ready, check=False, timeout=20).returncode == 0
    assert subprocess.run(ready, check=False, timeout=20, capture_output=True).returncode != 0


def test_the_files_are_in_the_package():
    said = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(said["tool"]["setuptools"]["package-data"]["api.deploy"]) == set(EXAMPLES.values())
    assert {*os.listdir(ROOT / "api" / "deploy")} >= set(EXAMPLES.values())
