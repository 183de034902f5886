"""What every benchmark needs: rates of repeated runs, and the table in which they are printed."""

import gc
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from rich import box
from rich.console import Console
from rich.table import Table


class WrongAnswer(Exception):
    """What was measured did not say what it must."""


def in_turn(messages: int, runs: int, *prepare: Callable[[], Callable[[], object]]) -> list[list[float]]:
    """Messages a second of several things: `runs` runs each, after one that does not count.

    They are measured in turn, so that a noisy moment of the machine strikes them all. What `prepare` does is
    not timed.
    """
    found: list[list[float]] = [[] for _ in prepare]
    for _ in range(runs + 1):
        for one, kept in zip(prepare, found, strict=True):
            work = one()
            gc.collect()
            began = perf_counter()
            work()
            kept.append(messages / (perf_counter() - began))
    return [kept[1:] for kept in found]


def millions(found: list[float]) -> str:
    """The median of rates, in millions."""
    return f"{statistics.median(found) / 1e6:.1f}"


def spread(found: list[float]) -> str:
    """The slowest and the fastest of rates, in millions."""
    return f"{min(found) / 1e6:.1f}-{max(found) / 1e6:.1f}"


def ratio(found: list[float], yardstick: list[float]) -> str:
    """The median of rates as a share of that of a yardstick."""
    return f"{statistics.median(found) / statistics.median(yardstick):.2f}"


def table(title: str, *headings: str, left: int = 1) -> Table:
    """A table whose first `left` columns are words and whose others are numbers."""
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="left" if number < left else "right", no_wrap=True)
    return made


def machine() -> str:
    """The machine in a line."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, Python {platform.python_version()}"


def show(runs: int, *made: Table) -> None:
    """Print tables under what they were measured on."""
    console = Console(width=max(120, Console().width))
    console.print(f"{machine()}, median of {runs} runs after a warm-up", *made)
