"""The scenario `flow`: an order flow matched again by the compiled book (generic rules, no accounts), and counted.

The flow is a file (.parquet, .csv or .npy, see `carbonex replay`), the same for every seed, or one of the named
synthetic flows that the benchmarks use, another for every seed.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import flows
from exchange.flow import FlowPlayer, new_events
from exchange.flow_files import read_flow
from exchange.rows import EventKind

NAMES = flows.NAMES


class FlowCounts(NamedTuple):
    """What came of a flow."""

    rows: int
    accepted: int
    trades: int
    volume: int  # sum of traded quantities
    cancelled: int
    amended: int
    refused: int  # messages that make no sense
    not_resting: int  # cancels and amends of orders that were gone, or never there
    input: str  # SHA-256 of the rows
    events: str  # SHA-256 of what happened


def flow(seed: int, flow: str = "calm", file: Path | None = None, messages: int = 100_000) -> FlowCounts:
    """Match a flow again. `file` goes before `flow`; `messages` is the length of a named one."""
    if file is None and flow not in NAMES:
        raise KeyError(flow)
    rows = read_flow(file) if file is not None else flows.make_flow(flow, messages, seed)
    said = hashlib.sha256()
    counts, volume = np.zeros(256, np.int64), 0
    for part in FlowPlayer(file is None).play(rows, new_events()):
        said.update(part.tobytes())
        counts += np.bincount(part["kind"], minlength=256)
        volume += int(part["quantity"][part["kind"] == EventKind.TRADED].sum())
    return FlowCounts(
        rows=rows.size,
        accepted=int(counts[EventKind.ACCEPTED]),
        trades=int(counts[EventKind.TRADED]),
        volume=volume,
        cancelled=int(counts[EventKind.CANCELLED]),
        amended=int(counts[EventKind.AMENDED]),
        refused=int(counts[EventKind.REFUSED]),
        not_resting=int(counts[EventKind.CANCEL_REFUSED] + counts[EventKind.AMEND_REFUSED]),
        input=hashlib.sha256(rows.tobytes()).hexdigest(),
        events=said.hexdigest(),
    )
