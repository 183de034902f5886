"""The guide to generated flow, word for word."""

import re
from pathlib import Path

import pytest

from tests.system.desk import run

GUIDE = (Path(__file__).parents[3] / "exchange" / "research" / "generating.md").read_text("utf-8")


def test_the_commands_of_the_guide_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls = [call for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL) for call in block.splitlines()]
    assert len(calls) >= 4
    for call in calls:
        if "bench" not in call and call.startswith("carbonex"):
            ended = run(call.removeprefix("carbonex "))
            assert ended.exit_code == 0, f"{call}\n{ended.output}"


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL))
def test_the_python_of_the_guide_works(block):
    if "gymnasium" in block or "pettingzoo" in block:
        pytest.importorskip("pettingzoo")
    exec(block, {})
