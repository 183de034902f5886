"""Feed one parser by atheris, whose mutations of a corpus are guided by the branches that they take.

python -m tests.fuzz.guided NAME SECONDS FOLDER CORPUS
"""

import sys
from pathlib import Path

import atheris

MODULES = [
    "exchange.research.lobster",
    "exchange.research.itch",
    "exchange.journal",
    "exchange.flow_files",
    "settlement.bank_files",
    "api.stream.frames",
]

BRIEF_S = 10

with atheris.instrument_imports(include=MODULES):
    from tests.fuzz.parsers import PARSERS


def main(name: str, seconds: str, folder: str, corpus: str) -> None:
    found = Path(folder) / "found"
    found.mkdir()
    options = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=60", "-rss_limit_mb=2000"]
    if int(seconds) <= BRIEF_S:
        options += ["-seed=1", "-runs=10000"]  # the same on every run
    if words := PARSERS[name].words:
        dictionary = Path(folder) / "words.dict"
        dictionary.write_text("".join(f'"{word}"\n' for word in words))
        options.append(f"-dict={dictionary}")
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(found), corpus], PARSERS[name].parse)
    atheris.Fuzz()


main(*sys.argv[1:])
