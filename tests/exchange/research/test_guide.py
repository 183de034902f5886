"""The researcher's guide, word for word: its blocks in order, in a folder with a small sample."""

import re
import shlex
from pathlib import Path

import exchange.research
from tests.exchange.research.samples import flow, window
from tests.system.desk import run

GUIDE = Path(exchange.research.__file__).parent / "README.md"
SAMPLE = "HB_2012-06-21_34200000_57600000_message_5.csv"


def test_the_guide_works_as_written(tmp_path, monkeypatch, capsys):
    made = window(tmp_path, flow(8, 500), 5, 120)
    assert made.name == SAMPLE
    monkeypatch.chdir(tmp_path)
    names = {}
    said = {}
    for language, block in re.findall(r"```(bash|python)\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL):
        if language == "python":
            exec(compile(block, str(GUIDE), "exec"), names)
            continue
        for call in block.splitlines():
            ended = run(shlex.join(shlex.split(call)[1:]))
            assert ended.exit_code == 0, f"{call}\n{ended.output}"
            said[call.removeprefix("carbonex ").replace(SAMPLE, "HB")] = ended.stdout
    printed = capsys.readouterr().out
    assert "nothing wrong" in said["validate HB"]
    assert ", 0 divergences" in said["replay HB --mode as-reported"]
    assert "mode: rematched" in said["replay HB --mode rematched --report rematched.json"]
    assert re.search(r"adopted, 0 divergences\n(.*\n)*\d+ of \d+ executions hit the same maker", printed)
    assert names["again"].size > 100 and names["found"].same >= 0.9 * names["found"].executions > 20
    assert {path.name for path in tmp_path.iterdir()} >= {"rematched.json", "flow.parquet", "HB.itch", "events.parquet"}
