"""How fast the book is: messages a second, from command rows in memory to event rows in memory.

    command rows --> FlowPlayer (compiled ladder) --> event rows
                     ReadablePlayer (the same events, sorted containers)
                     row copy (a compiled loop that only copies each command row into an event row)

*plain* is the readable book, timed once on the first CHECKED messages. The row copy is the yardstick: no book in
memory can be faster than it on this machine. It and the ladder write into the same array, which holds the events
of the whole flow and whose memory has been touched before. Before a number is printed, the compiled book's
events equal the readable book's on the first CHECKED messages, in order and in every field, and those of the
whole flow with foreign references equal those with assigned ones.
"""

from collections.abc import Callable
from time import perf_counter

import numpy as np
from numba import njit
from rich.table import Table

from benchmarks.flows import NAMES, make_flow, with_foreign_references
from benchmarks.measure import WrongAnswer, in_turn, millions, ratio, show, spread, table
from exchange.flow import FlowPlayer, ReadablePlayer, new_events
from exchange.rows import EVENT, type_of_rows

CHECKED = 100_000
FIELDS = ("sequence", "kind", "order_id", "maker_order_id", "side", "price_ticks", "quantity", "leaves", "reason")
NAMES_OF_ORDERS = ("order_id", "maker_order_id")


@njit(_nrt=False)
def copy_rows(commands, events):
    """Write one event row for each command row, in every field that a command fills, and nothing else."""
    for index in range(commands.size):
        command = commands[np.uint64(index)]
        event = events[np.uint64(index)]
        event.sequence = command.sequence
        event.order_id = command.order_id
        event.maker_order_id = 0
        event.price_ticks = command.price_ticks
        event.quantity = command.quantity
        event.leaves = command.quantity
        event.maker_leaves = 0
        event.account = command.account
        event.instrument = command.instrument
        event.kind = command.kind
        event.side = command.side
        event.reason = 0
        event.priority = 0


def room_for(rows: type_of_rows) -> type_of_rows:
    """Event rows for whatever a flow can say, their memory touched."""
    events = np.empty(2 * rows.size + 64, EVENT)
    events.view(np.uint8).fill(0)
    return events


def run(flows: dict[str, type_of_rows] | None, assigned_ids: bool, messages: int, runs: int) -> None:
    """Measure and print. `flows` of a user's own are timed as they are; else the five named ones both ways."""
    headings = ("flow", "refs", "copy", "plain", "ladder", "spread", "of copy", "x plain")
    made = table("millions of messages a second", *headings, left=2)
    if flows is None:
        for name in NAMES:
            rows = make_flow(name, messages)
            foreign = with_foreign_references(rows)
            _check_same(name, rows, foreign)
            _measure(made, name, foreign, False, runs)
            _measure(made, name, rows, True, runs)
    else:
        for name, rows in flows.items():
            _measure(made, name, rows, assigned_ids, runs)
    show(runs, made)


def _measure(made: Table, name: str, rows: type_of_rows, assigned_ids: bool, runs: int) -> None:
    checked = rows[:CHECKED]
    began = perf_counter()
    said = list(ReadablePlayer().play(checked))
    readable = checked.size / (perf_counter() - began)
    if said != list(_events(FlowPlayer(assigned_ids), checked)):
        raise WrongAnswer(f"{name}: the ladder and the readable book differ")

    events = room_for(rows)
    copies, speeds = in_turn(
        rows.size, runs, lambda: lambda: copy_rows(rows, events), lambda: played(FlowPlayer(assigned_ids), rows, events)
    )
    made.add_row(
        name,
        "assigned" if assigned_ids else "foreign",
        millions(copies),
        f"{readable / 1e6:.3f}",
        millions(speeds),
        spread(speeds),
        ratio(speeds, copies),
        f"{np.median(speeds) / readable:.0f}",
    )


def played(player: FlowPlayer, rows: type_of_rows, events: type_of_rows) -> Callable[[], None]:
    """A run that plays a flow into one array."""

    def play() -> None:
        for _ in player.play(rows, events):
            pass

    return play


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
            [np.stack([part[field] for field in FIELDS if field not in NAMES_OF_ORDERS]) for part in parts], axis=1
        )
        for parts in (ours.play(rows, new_events()), theirs.play(foreign, new_events()))
    )
    if one.shape != other.shape or not (one == other).all():
        raise WrongAnswer(f"{name}: foreign and assigned references lead to different events")
