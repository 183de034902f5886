"""The guides of studies and exports do as they say: files are made, commands run, Python runs, one after another."""

import re
import shlex
import sys
from pathlib import Path

from typer.testing import CliRunner

from exchange.cli import app
from exchange.journal import SqliteJournal
from tests.exchange.market import Market, cash, units

GUIDES = Path(__file__).parent.parent.parent / "exchange" / "research"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:toml|py))\n")


def follow(guide):
    """Do what every block says, in this folder."""
    for language, text in BLOCK.findall(GUIDES.joinpath(guide).read_text(encoding="utf-8")):
        if named := FILE.match(text):
            Path(named[1]).write_text(text)
        elif language == "sh":
            for line in text.splitlines():
                program, *arguments = shlex.split(line, comments=True)
                assert program == "carbonex"
                result = CliRunner().invoke(app, arguments)
                assert result.exit_code == 0, f"{line}: {result.output}"
        else:
            assert language == "python"
            exec(compile(text, guide, "exec"), {})


def test_the_guide_of_sweeps_does_as_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    follow("sweeps.md")

    assert "net_net" in capsys.readouterr().out
    sys.modules.pop("tosses")


def test_the_guide_of_exports_does_as_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    journal = SqliteJournal(tmp_path / "exchange.journal", durable=False)
    market = Market("hubei", journal=journal, alice=cash("10000.00"), bob=units(200))
    market.play("bob sells 100 @ 42.00\nalice buys 60 @ 42.00\nalice buys 10 @ 99.00\nclose\nsettle")
    journal.close()

    follow("exports.md")

    assert "price_outside_band" in capsys.readouterr().out
