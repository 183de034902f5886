"""How fast the book is: messages a second, from command rows in memory to event rows in memory.

    command rows --> FlowPlayer (compiled ladder) --> event rows
                     ReadablePlayer (the same events, sorted containers)
                     row copy (a compiled loop that only writes an event row for each command row)

The row copy is the yardstick: no book in memory can be faster than it on this machine. Before a number
is printed, the compiled book's events equal the readable book's on the first CHECKED messages, in order
and in every field, and those of the whole flow with foreign references equal those with assigned ones.
"""

import gc
import platform
import statistics
from collections.abc import Callable
from time import perf_counter

import numpy as np
from numba import njit
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.flows import NAMES, make_flow, with_foreign_references
from exchange.flow import EVENTS_AT_ONCE, FlowPlayer, ReadablePlayer, new_events
from exchange.rows import type_of_rows

CHECKED = 100_000
FIELDS = ("sequence", "kind", "order_id", "maker_order_id", "side", "price_ticks", "quantity", "leaves", "reason")
NAMES_OF_ORDERS = ("order_id", "maker_order_id")


class WrongAnswer(Exception):
    """The book measured did not say what it must."""


@njit(_nrt=False)
def copy_rows(commands, events):
    """Write one event row for each command row, and nothing else."""
    last = events.size - 1
    for index in range(commands.size):
        command = commands[index]
        event = events[index & last]
        event.sequence = command.sequence
        event.order_id = command.order_id
        event.maker_order_id = 0
        event.maker_leaves = 0
        event.price_ticks = command.price_ticks
        event.quantity = command.quantity
        event.leaves = command.quantity
        event.kind = command.kind
        event.side = command.side
        event.reason = 0


def run(flows: dict[str, type_of_rows] | None, assigned_ids: bool, messages: int, runs: int) -> None:
    """Measure and print. `flows` of a user's own are timed as they are; else the five named ones both ways."""
    console = Console()
    console.print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {runs} runs each")
    table = Table(title="millions of messages a second", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading in ("flow", "refs", "copy", "readable", "ladder", "spread", "of copy", "x readable"):
        table.add_column(heading, justify="left" if heading in ("flow", "refs") else "right", no_wrap=True)
    if flows is None:
        for name in NAMES:
            rows = make_flow(name, messages)
            foreign = with_foreign_references(rows)
            _check_same(name, rows, foreign)
            _measure(table, name, foreign, False, runs)
            _measure(table, name, rows, True, runs)
    else:
        for name, rows in flows.items():
            _measure(table, name, rows, assigned_ids, runs)
    console.print(table)


def _measure(table: Table, name: str, rows: type_of_rows, assigned_ids: bool, runs: int) -> None:
    checked = rows[:CHECKED]
    began = perf_counter()
    said = list(ReadablePlayer().play(checked))
    readable = checked.size / (perf_counter() - began)
    if said != list(_events(FlowPlayer(assigned_ids), checked)):
        raise WrongAnswer(f"{name}: the ladder and the readable book differ")

    events = new_events(EVENTS_AT_ONCE)
    copies = _rates(rows.size, runs, lambda: lambda: copy_rows(rows, events))
    speeds = _rates(rows.size, runs, lambda: _played(FlowPlayer(assigned_ids), rows, events))
    speed, limit = statistics.median(speeds), statistics.median(copies)
    table.add_row(
        name,
        "assigned" if assigned_ids else "foreign",
        f"{limit / 1e6:.0f}",
        f"{readable / 1e6:.3f}",
        f"{speed / 1e6:.1f}",
        f"{min(speeds) / 1e6:.1f}-{max(speeds) / 1e6:.1f}",
        f"{speed / limit:.2f}",
        f"{speed / readable:.0f}",
    )


def _played(player: FlowPlayer, rows: type_of_rows, events: type_of_rows) -> Callable[[], None]:
    def play() -> None:
        for _ in player.play(rows, events):
            pass

    return play


def _rates(messages: int, runs: int, prepare: Callable[[], Callable[[], None]]) -> list[float]:
    """Messages a second of `runs` runs after one that does not count; what `prepare` does is not timed."""
    rates = []
    for _ in range(runs + 1):
        work = prepare()
        gc.collect()
        began = perf_counter()
        work()
        rates.append(messages / (perf_counter() - began))
    return rates[1:]


def _events(player: FlowPlayer, rows: type_of_rows) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for part in player.play(rows, new_events()):
        found.extend(zip(*(part[name].tolist() for name in FIELDS), strict=True))
    return found


def _check_same(name: str, rows: type_of_rows, foreign: type_of_rows) -> None:
    """The events of a flow do not depend on how its orders are called."""
    ours, theirs = FlowPlayer(True), FlowPlayer(False)
    one, other = (
        np.concatenate(
            [np.stack([part[field] for field in FIELDS if field not in NAMES_OF_ORDERS]) for part in played], axis=1
        )
        for played in (ours.play(rows, new_events()), theirs.play(foreign, new_events()))
    )
    if one.shape != other.shape or not (one == other).all():
        raise WrongAnswer(f"{name}: foreign and assigned references lead to different events")
