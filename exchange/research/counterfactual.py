"""What if: one thing changed in an order flow, everybody after it matched again, and the two runs side by side.

The flow is played twice through the compiled book (:mod:`exchange.flow`), as it is and as a schedule or a strategy
changes it. Both runs are re-matched, the original too, so that what differs is due to the change alone; whoever was
there goes on doing what the flow says, in the same order, and does not react. A message about an order that is no
longer as the flow had it is not mended: an amend or cancel of an order that does not rest any more is refused, and
counted in the summary.

Messages are paired by their row in the flow. The book after row r is compared with the book when the other run had
played all that was due up to row r. So an inserted order shows from the row on before which it came, and a removed one
is missing from its own row on.
"""

import hashlib
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet

from exchange.flow import FlowPlayer, new_events
from exchange.flow_files import EVENT_SCHEMA, events_table
from exchange.research import measures
from exchange.research.schedule import Change, ChangedFlow, apply_schedule
from exchange.research.strategy import Strategy, StrategyError, run_strategy
from exchange.research.tape import Tape
from exchange.rows import EVENT, EventKind, copied, joined, type_of_rows

MODE = "re-matched"
_SAID = ("kind", "order_id", "maker_order_id", "side", "price_ticks", "quantity", "leaves", "reason")
_GIVEN = ("kind", "order_id", "side", "price_ticks", "quantity", "time_in_force", "account", "now_ns")

type_of_numbers = np.ndarray[Any, np.dtype[Any]]


class CounterfactualError(ValueError):
    """A comparison that can't be written; says where and why."""


def played(rows: type_of_rows) -> type_of_rows:
    """All events of a flow, from an empty book."""
    return joined([np.zeros(0, EVENT), *(copied(part) for part in FlowPlayer().play(rows, new_events()))])


def digest(rows: type_of_rows) -> str:
    """SHA-256 of the messages of a flow, whatever file they came in."""
    content = hashlib.sha256()
    for name in _GIVEN:
        content.update(np.ascontiguousarray(rows[name]).tobytes())
    return content.hexdigest()


@dataclass(frozen=True)
class Comparison:
    """A flow and its counterfactual, paired. Tables are Arrow's; prices ticks, quantities tCO2e, times UTC ns."""

    rows: type_of_rows
    schedule: tuple[Change, ...]
    changed: ChangedFlow
    original_events: type_of_rows
    events: type_of_rows
    seed: int | None = None
    command: str = ""

    @cached_property
    def header(self) -> dict[str, Any]:
        """What this is and how to have it again."""
        plan = msgspec.json.encode(self.schedule)
        return {
            "mode": MODE,
            "about": "original and counterfactual are both matched from an empty book; nobody reacts to the change",
            "seed": self.seed,
            "versions": {
                **{name: version(name) for name in ("carbonex", "numpy", "numba", "pyarrow")},
                "python": platform.python_version(),
            },
            "inputs": {"flow_sha256": digest(self.rows), "schedule_sha256": hashlib.sha256(plan).hexdigest()},
            "messages": int(self.rows.size),
            "changes": len(self.schedule),
            "reproduce": self.command or "exchange.research.counterfactual.counterfactual(flow, schedule)",
        }

    @cached_property
    def original_tape(self) -> Tape:
        return Tape(self.original_events)

    @cached_property
    def tape(self) -> Tape:
        return Tape(self.events)

    @cached_property
    def paired(self) -> type_of_numbers:
        """For each row of the flow the last row that the counterfactual had played by then; -1: none."""
        return np.searchsorted(self.changed.before, np.arange(self.rows.size), side="right") - 1

    # -- tables

    def differences(self) -> pa.Table:
        """Every event that is in one run and not in the other, in the order of the flow; empty if nothing changed.

        The columns of an event file after `run` (original, counterfactual) and `base_row`, the message's row in the
        flow (null of an inserted one). `seq` is the message's row in its own run. A message's events differ as a whole.
        """
        mine, other = (
            _by_message(self.original_events, self.rows.size),
            _by_message(self.events, self.changed.rows.size),
        )
        where = np.full(self.rows.size, -1)  # row of the flow -> its row in the counterfactual
        kept = np.flatnonzero(self.changed.origin >= 0)
        where[self.changed.origin[kept]] = kept
        same = np.zeros(self.rows.size, bool)
        both = np.flatnonzero(where >= 0)
        both = both[mine.count[both] == other.count[where[both]]]
        same[both] = _say_the_same(self.original_events, self.events, mine, other, both, where[both])
        same_there = np.zeros(self.changed.rows.size, bool)
        same_there[kept] = same[self.changed.origin[kept]]

        left = self.original_events[~same[self.original_events["sequence"]]]
        right = self.events[~same_there[self.events["sequence"]]]
        left_row, right_row = left["sequence"].copy(), self.changed.origin[right["sequence"]]
        clock = np.concatenate([left_row.astype(float), self.changed.before[right["sequence"]]])
        is_right = np.arange(clock.size) >= left.size
        order = np.lexsort((np.arange(clock.size), is_right, clock))
        base = np.concatenate([left_row, right_row])
        table = pa.concat_tables([events_table(left), events_table(right)]).take(pa.array(order))
        run = pa.array(np.where(is_right, "counterfactual", "original")[order].tolist(), pa.string())
        return table.add_column(0, "run", run).add_column(1, "base_row", pa.array(base[order], mask=base[order] < 0))

    def path(self) -> pa.Table:
        """The book after each row of the flow in both runs, and the impact: mid of the counterfactual less original's.

        Prices of 0 (a side is empty) are null, and so is a mid or spread without both sides.
        """
        columns: dict[str, Any] = {"base_row": pa.array(np.arange(self.rows.size))}
        if self.rows["now_ns"].any():
            columns["ts_ns"] = pa.array(self.rows["now_ns"].copy())
        mids = []
        for name, tape, at in (
            ("original", self.original_tape, np.arange(self.rows.size)),
            ("counterfactual", self.tape, self.paired),
        ):
            book = tape.path
            for what in ("bid", "ask", "bid_depth", "ask_depth", "bid_depth_5", "ask_depth_5"):
                values = np.concatenate([getattr(book, what), [0]])[at]  # row -1: before any message
                columns[f"{name}_{what}"] = pa.array(values, mask=(values == 0) & (what in ("bid", "ask")))
            for what in ("mid", "spread"):
                values = np.concatenate([getattr(book, what), [np.nan]])[at]
                columns[f"{name}_{what}"] = pa.array(values, mask=np.isnan(values))
                if what == "mid":
                    mids.append(values)
        impact = mids[1] - mids[0]
        columns["impact"] = pa.array(impact, mask=np.isnan(impact))
        return pa.table(columns)

    def fills(self) -> pa.Table:
        """The fills, in both runs, of every order that the schedule inserts, delays, resizes or removes."""
        parts = []
        for name, tape, origin in (
            ("original", self.original_tape, None),
            ("counterfactual", self.tape, self.changed.origin),
        ):
            trades = tape.trades
            leaves = tape.events["leaves"][tape.events["kind"] == EventKind.TRADED]
            for role, ref, other in (("taker", trades.taker, trades.maker), ("maker", trades.maker, trades.taker)):
                own = np.isin(ref, self.changed.touched)
                message = trades.message[own]
                base = message if origin is None else origin[message]
                parts.append(
                    pa.table(
                        {
                            "run": pa.array([name] * message.size, pa.string()),
                            "base_row": pa.array(base, pa.int64(), mask=base < 0),
                            "seq": pa.array(message, pa.int64()),
                            "ref": _references(ref[own]),
                            "role": pa.array([role] * message.size, pa.string()),
                            "against": _references(other[own]),
                            "price_ticks": pa.array(trades.price_ticks[own]),
                            "quantity": pa.array(trades.quantity[own]),
                            "taker_leaves": pa.array(leaves[own]),
                        }
                    )
                )
        return pa.concat_tables(parts).sort_by([("run", "descending"), ("seq", "ascending")])

    def queue(self) -> pa.Table:
        """Where those orders stood in their queues, in both runs, after each message that changed it."""
        parts = []
        for name, tape, origin in (
            ("original", self.original_tape, None),
            ("counterfactual", self.tape, self.changed.origin),
        ):
            for ref in self.changed.touched:
                history = tape.queue(ref)
                base = history.message if origin is None else origin[history.message]
                size = history.message.size
                parts.append(
                    pa.table(
                        {
                            "run": pa.array([name] * size, pa.string()),
                            "base_row": pa.array(base, pa.int64(), mask=base < 0),
                            "seq": pa.array(history.message, pa.int64()),
                            "ref": _references(np.full(size, ref)),
                            "price_ticks": pa.array(history.price_ticks, pa.int64()),
                            "leaves": pa.array(history.leaves, pa.int64()),
                            "ahead_quantity": pa.array(history.ahead_quantity, pa.int64()),
                            "ahead_orders": pa.array(history.ahead_orders, pa.int64()),
                        }
                    )
                )
        return pa.concat_tables(parts) if parts else pa.table(_QUEUE_COLUMNS)

    def summary(self) -> pa.Table:
        """One line a measure: name, unit, original, counterfactual, difference; null where it has no value."""
        lines = []
        for one, other in zip(measures.summary(self.original_tape), measures.summary(self.tape), strict=True):
            lines.append((one.name, one.unit, one.value, other.value, other.value - one.value))
        names, units, *values = zip(*lines, strict=True)
        columns: dict[str, Any] = {"measure": pa.array(names), "unit": pa.array(units)}
        for name, numbers in zip(("original", "counterfactual", "difference"), values, strict=True):
            found = np.array(numbers, float)
            columns[name] = pa.array(found, mask=np.isnan(found))
        return pa.table(columns)

    # -- files

    def write(self, folder: Path, overwrite: bool = False, page: str | None = None) -> None:
        """Write header, tables, a page into a folder, which appears whole or not at all. CounterfactualError if not."""
        if folder.exists() and not overwrite:
            raise CounterfactualError(f"{folder} exists; --force overwrites it")
        if (
            folder.exists()
            and not (folder / "header.json").is_file()
            and (not folder.is_dir() or any(folder.iterdir()))
        ):
            raise CounterfactualError(f"{folder} is no earlier comparison; it is left alone")
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            (unfinished / "header.json").write_bytes(msgspec.json.format(msgspec.json.encode(self.header)) + b"\n")
            (unfinished / "schedule.toml").write_text(schedule_text(self.schedule), "utf-8")
            tables = ("summary", "differences", "path", "fills", "queue")
            for name, table in [
                *((name, getattr(self, name)()) for name in tables),
                ("events", events_table(self.events)),
            ]:
                pyarrow.parquet.write_table(self._told(table), unfinished / f"{name}.parquet", compression="zstd")
            if page is not None:
                (unfinished / "report.html").write_text(page, "utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(unfinished, folder)
        except OSError as error:
            raise CounterfactualError(f"{folder}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _told(self, table: pa.Table) -> pa.Table:
        """A table whose metadata carry the header."""
        return table.replace_schema_metadata({"carbonex": msgspec.json.encode(self.header).decode()})


def counterfactual(rows: type_of_rows, schedule: Sequence[Change], command: str = "") -> Comparison:
    """Play a flow as it is and as a schedule changes it. ScheduleError if a change does not fit the flow.

    `command` is what the header gives as the way to have the same again.
    """
    changed = apply_schedule(rows, schedule)
    original = rows.copy()
    original["sequence"] = np.arange(rows.size)
    return Comparison(original, tuple(schedule), changed, played(original), played(changed.rows), command=command)


def with_strategy(rows: type_of_rows, strategy: Strategy, seed: int, command: str = "") -> Comparison:
    """Play a flow as it is and with a strategy in it (:mod:`exchange.research.strategy`).

    The strategy runs on the readable book; what it sent is then played on the compiled one. StrategyError if the two
    do not say the same, which they do unless the strategy changes the book behind its back.
    """
    schedule, seen = run_strategy(rows, strategy, seed)
    made = counterfactual(rows, schedule, command)
    told = list(zip(*(made.events[name].tolist() for name in ("sequence", *_SAID)), strict=True))
    if told != seen:
        raise StrategyError("the strategy's run can't be repeated from what it sent: did it change the book?")
    return Comparison(
        made.rows, made.schedule, made.changed, made.original_events, made.events, seed,
        command or f"exchange.research.counterfactual.with_strategy(flow, {type(strategy).__name__}(), {seed})",
    )  # fmt: skip


def schedule_text(schedule: Sequence[Change]) -> str:
    """A schedule as TOML, to be read again."""
    lines = []
    for change in schedule:
        lines.append("[[change]]")
        for name, value in msgspec.to_builtins(change).items():
            lines.append(f"{name} = {msgspec.json.encode(value).decode()}")
        lines.append("")
    return "\n".join(lines)


# ---------------------------------------------------------------- pairing


@dataclass(frozen=True)
class _Messages:
    """Of each message: the first of its events, and how many there are."""

    first: type_of_numbers
    count: type_of_numbers


def _by_message(events: type_of_rows, messages: int) -> _Messages:
    numbers = np.arange(messages)
    first = np.searchsorted(events["sequence"], numbers)
    return _Messages(first, np.searchsorted(events["sequence"], numbers, side="right") - first)


def _say_the_same(
    events: type_of_rows, others: type_of_rows, mine: _Messages, other: _Messages, these: type_of_numbers,
    those: type_of_numbers,
) -> type_of_numbers:  # fmt: skip
    """Which of some messages have the same events as some of the other run, of which they have as many."""
    counts = mine.count[these]
    message = np.repeat(np.arange(these.size), counts)
    offset = np.arange(message.size) - np.repeat(np.cumsum(counts) - counts, counts)
    left, right = events[mine.first[these][message] + offset], others[other.first[those][message] + offset]
    differs = np.zeros(message.size, bool)
    for name in _SAID:
        differs |= left[name] != right[name]
    same = np.ones(these.size, bool)
    same[message[differs]] = False
    return same


def _references(numbers: type_of_numbers) -> pa.Array:
    return pa.array(np.ascontiguousarray(numbers, np.int64).view(np.uint64))


_QUEUE_COLUMNS = {
    "run": pa.array([], pa.string()),
    **{name: pa.array([], pa.int64()) for name in ("base_row", "seq")},
    "ref": pa.array([], EVENT_SCHEMA.field("ref").type),
    **{name: pa.array([], pa.int64()) for name in ("price_ticks", "leaves", "ahead_quantity", "ahead_orders")},
}
