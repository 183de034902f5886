"""How fast real order flow is read and matched again, and our own journal replayed.

    LOBSTER message file --> MESSAGE rows          beside Arrow's CSV reader, which only makes columns
    ITCH file            --> MESSAGE rows          beside a plain copy of the file's bytes
    MESSAGE rows         --> commands --> ladder --> trades --> verdict on every execution
                                                   beside the ladder alone on the same commands

    a journal on disk --> blocks, verified --> trading path --> the exchange as it was
                                                   beside reading and verifying the blocks alone

The flow is one of :mod:`benchmarks.flows`, played and told as a vendor would: the files are made of it. Before a
number is printed, both files have been read back to the very rows they were made of, and matching again has hit the
maker and price of every execution.

The journal has the flow over 2,000 accounts and 8 instruments, in blocks as quiet and as busy times make them, and is
read from the system's cache of the disk. The first batch, in which the exchange is founded, is not timed. Before a
number is printed, the journal has made an exchange of the digest of the one that took the flow.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.csv
from rich.table import Table

from benchmarks import startup
from benchmarks.flows import make_flow
from benchmarks.matching import played, room_for
from benchmarks.measure import WrongAnswer, in_turn, millions, ratio, show, spread, table
from exchange.engine import read_exchange, recorded
from exchange.flow import FlowPlayer
from exchange.research import itch, lobster
from exchange.research.rematched import commands_of, replay_rematched, tick_of
from exchange.research.sources import OPENING_NS, STEP_NS
from exchange.research.told import told
from exchange.rows import CommandKind, joined, type_of_rows
from exchange.state import Exchange
from exchange.transition import apply

BLOCKS = (64, 1000)  # commands in one
FLOW, LEVELS, CENT = "calm", 10, 100
NAME = "FLOW_2026-01-05_34200000_57600000_message_10.csv"


def run(messages: int, runs: int) -> None:
    """Measure and print."""
    rows = flow_of(messages)
    made = table("millions of messages a second", "what", "beside", "beside it", "found", "spread", "ratio", left=2)
    with tempfile.TemporaryDirectory() as folder:
        text, binary = files_of(rows, Path(folder))
        _must_equal("LOBSTER", rows, lobster.message_parts(text), with_leaves=False)
        _must_equal("ITCH", rows, itch.read(binary))
        _add(made, "LOBSTER to rows", "Arrow's CSV", rows.size, runs, lambda: _arrow(text), lambda: _lobster(text))
        _add(made, "ITCH to rows", "byte copy", rows.size, runs, lambda: _copy(binary), lambda: _itch(binary))
    report = replay_rematched(rows)
    if report.same != report.executions or report.executions == 0 or report.unexpected:
        raise WrongAnswer(f"matched again, {report.executions - report.same} executions differ")
    commands = commands_of(rows, tick_of(rows))
    events = room_for(commands)
    _add(
        made, "rows matched again", "ladder alone", rows.size, runs,
        lambda: played(FlowPlayer(), commands, events), lambda: lambda: replay_rematched(rows),
    )  # fmt: skip
    show(runs, made, _own(messages, runs))


def _own(messages: int, runs: int) -> Table:
    """Replay of a journal, from disk to the final state."""
    made = table("millions of commands a second", "block", "reading alone", "replay", "spread", "ratio")
    with tempfile.TemporaryDirectory() as folder:
        for block in BLOCKS:
            path = Path(folder) / f"{block}.journal"
            digest = startup.build(path, messages, False, block)
            if read_exchange(path).digest() != digest:
                raise WrongAnswer("the journal makes another exchange than the flow")
            first = next(recorded(path))
            timed = messages - int((first.rows["kind"] != CommandKind.CONTROL).sum())
            reading, found = in_turn(timed, runs, partial(_read, path), partial(_replay, path))
            made.add_row(f"{block:,}", millions(reading), millions(found), spread(found), ratio(found, reading))
    return made


def _read(path: Path) -> Callable[[], object]:
    batches = recorded(path)
    next(batches)
    return lambda: sum(batch.rows.size for batch in batches)


def _replay(path: Path) -> Callable[[], object]:
    """All batches behind the first one, in which the exchange is founded."""
    exchange, batches = Exchange(), recorded(path)
    apply(exchange, next(batches))

    def work() -> None:
        for batch in batches:
            apply(exchange, batch)

    return work


def flow_of(messages: int) -> type_of_rows:
    """MESSAGE rows of a named flow."""
    flow = make_flow(FLOW, messages)
    return joined([*told([(flow, OPENING_NS + STEP_NS * np.arange(flow.size))], CENT)])


def files_of(rows: type_of_rows, folder: Path) -> tuple[Path, Path]:
    """The rows as a LOBSTER message file and an ITCH file."""
    text, binary = folder / NAME, folder / "flow.itch"
    with text.open("wb") as file, lobster.books_of(text).open("wb") as books:
        lobster.write(file, books, np.array_split(rows, max(rows.size >> 16, 1)), LEVELS)
    with binary.open("wb") as file:
        itch.write(file, [rows], "FLOW")
    return text, binary


def _must_equal(name: str, rows: type_of_rows, parts: Iterator[type_of_rows], with_leaves: bool = True) -> None:
    found = joined([*parts])
    names = [one for one in rows.dtype.names or () if with_leaves or one != "leaves"]
    if found.size != rows.size or not all((found[one] == rows[one]).all() for one in names):
        raise WrongAnswer(f"{name}: the rows read are not those that were written")


def _add(
    made: Table, what: str, beside: str, messages: int, runs: int, *both: Callable[[], Callable[[], object]]
) -> None:
    yardstick, found = in_turn(messages, runs, *both)
    made.add_row(what, beside, millions(yardstick), millions(found), spread(found), ratio(found, yardstick))


def _arrow(text: Path) -> Callable[[], object]:
    options = pyarrow.csv.ReadOptions(autogenerate_column_names=True, use_threads=False)
    return lambda: pyarrow.csv.read_csv(text, read_options=options)


def _lobster(text: Path) -> Callable[[], object]:
    return lambda: sum(part.size for part in lobster.message_parts(text))


def _itch(binary: Path) -> Callable[[], object]:
    return lambda: sum(part.size for part in itch.read(binary))


def _copy(binary: Path) -> Callable[[], object]:
    return lambda: bytearray(binary.read_bytes())
