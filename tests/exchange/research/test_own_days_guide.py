"""The guide to our own days, word for word, its blocks in order."""

import json
import re
import shlex
from pathlib import Path

import pyarrow.parquet
import pytest

import exchange.research
from exchange.engine import read_exchange
from tests.system.desk import run

GUIDE = Path(exchange.research.__file__).parent / "own_days.md"


def test_the_guide_works_as_written(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    names, said = {}, {}
    for language, block in re.findall(r"```(bash|python)\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL):
        if language == "python":
            exec(compile(block, str(GUIDE), "exec"), names)
            continue
        for call in block.splitlines():
            ended = run(shlex.join(shlex.split(call)[1:]))
            assert ended.exit_code == 0, f"{call}\n{ended.output}"
            said[call.removeprefix("carbonex replay own.journal").strip()] = ended.stdout

    assert names["day"].state in said[""]
    state = json.loads(said["--at-seq 500 --json"])
    assert state["sequence"] == 500
    book = pyarrow.parquet.read_table("book.parquet")
    assert book["seq"].to_pylist()[-1] <= 500
    assert read_exchange(Path("morning.journal")).digest() in said["--until 2026-01-05T10:30"]
    narrow = json.loads(Path("narrow.json").read_text("utf-8"))
    refused = {one["name"]: one["difference"] for one in narrow["refusals"]}
    assert refused["price_outside_band"] > 0 and narrow["kept_out"] > 0
    netted = {one.name: one.difference for one in names["compared"].measures()}
    assert netted["HBEA-2025: mean price"] != 0  # of the maker's price
    assert "settlement: cash moved" in said["--rules netting.toml -o netting.journal"]
    assert len(names["both"]) > 100
