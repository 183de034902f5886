"""What to change in an order flow: a few lines in a table, each about one message.

    insert   a message (new, cancel or amend) before row `at`; `at` = number of rows: after the last
    remove   row `at`
    delay    row `at` until just before row `to` (number of rows: after the last), or for `by_ns` nanoseconds
    resize   row `at`, a new order or an amend, to `quantity`

Rows are counted from 0, as in the events. What a change puts before one row stands in the order of the table.
The flow's own messages are otherwise left alone. Those that name an order which is no longer there (its new order
was removed, or it has traded meanwhile) come all the same and are refused, as an exchange would refuse them.
"""

import csv
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from exchange.rows import COMMAND, CommandKind, type_of_rows
from matching.orders import Side, TimeInForce


class Action(StrEnum):
    """What is done to a message."""

    INSERT = "insert"
    REMOVE = "remove"
    DELAY = "delay"
    RESIZE = "resize"


class Change(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line of a schedule. Of the fields from `op` on, an insert needs those that its message has."""

    action: Action
    at: int
    to: int | None = None
    by_ns: int | None = None
    op: str | None = None  # new, cancel, amend
    ref: int | None = None
    side: str | None = None  # buy, sell
    price_ticks: int | None = None
    quantity: int | None = None
    time_in_force: str = "GTC"
    account: int = 0


OPS = {"new": CommandKind.PLACE_ORDER, "cancel": CommandKind.CANCEL_ORDER, "amend": CommandKind.AMEND_ORDER}
_NUMBERS = ("at", "to", "by_ns", "ref", "price_ticks", "quantity", "account")


class ScheduleError(ValueError):
    """A schedule that can't be read or does not fit its flow; says which line and why."""


# ---------------------------------------------------------------- reading


def read_schedule(path: Path) -> list[Change]:
    """The changes of a .csv file with a header, or of a .toml file as tables [[change]]. ScheduleError if malformed."""
    try:
        if path.suffix == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                return _parsed(
                    path, [_of_text(path, number, row) for number, row in enumerate(csv.DictReader(file), 1)]
                )
        if path.suffix == ".toml":
            content = tomllib.loads(path.read_text("utf-8"))
            if set(content) - {"change"} or not isinstance(content.get("change", []), list):
                raise ScheduleError(f"{path}: a schedule is a list of tables [[change]]")
            return _parsed(path, content.get("change", []))
    except OSError as error:
        raise ScheduleError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, csv.Error) as error:
        raise ScheduleError(f"{path}: {error}") from error
    raise ScheduleError(f"{path}: a schedule is a .csv or .toml file")


def _of_text(path: Path, number: int, row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if None in row:
        raise ScheduleError(f"{path}: change {number}: there are more values than columns")
    for name, text in row.items():
        if not text:
            continue
        try:
            found[name] = int(text) if name in _NUMBERS else text.strip()
        except ValueError:
            raise ScheduleError(f"{path}: change {number}: {name} is {text!r}, not a whole number") from None
    return found


def _parsed(path: Path, rows: Sequence[object]) -> list[Change]:
    changes = []
    for number, row in enumerate(rows, 1):
        try:
            changes.append(msgspec.convert(row, Change))
        except msgspec.ValidationError as error:
            raise ScheduleError(f"{path}: change {number}: {error}") from error
    return changes


# ---------------------------------------------------------------- applying


@dataclass(frozen=True)
class ChangedFlow:
    """A flow with its changes. `origin` says which row of the flow each row was, -1 of an inserted one."""

    rows: type_of_rows
    origin: Any  # (rows,) i8
    before: Any  # (rows,) f8: where it is played on the clock of the flow's rows; an inserted one half a row before
    touched: tuple[int, ...]  # references of orders that the schedule inserts, delays, resizes or removes


def apply_schedule(rows: type_of_rows, changes: Iterable[Change]) -> ChangedFlow:
    """A flow as a schedule changes it. ScheduleError if a change does not fit."""
    listed = list(changes)
    for number, change in enumerate(listed, 1):
        wrong = next((text for text, holds in _faults(change, rows) if holds), None)
        if wrong:
            raise ScheduleError(f"change {number} ({change.action} at {change.at}): {wrong}")
    _check_together(rows, listed)
    kept = np.ones(rows.size, bool)
    changed, clock = rows.copy(), np.arange(rows.size, dtype=float)
    tie = np.zeros(rows.size)  # what is put before one row stands in the order of the table
    inserted, places, ties = [], [], []
    for number, change in enumerate(listed, 1):
        match change.action:
            case Action.INSERT:
                inserted.append(_row_of(change, rows))
                places.append(change.at - 0.5)
                ties.append(number)
            case Action.REMOVE:
                kept[change.at] = False
            case Action.RESIZE:
                changed["quantity"][change.at] = change.quantity
            case Action.DELAY:
                to = _delayed_to(change, rows)
                clock[change.at], tie[change.at] = to - 0.5, number
                if to < rows.size:
                    changed["now_ns"][change.at] = max(rows["now_ns"][change.at], rows["now_ns"][to])
    every = np.concatenate([changed, *inserted])
    origin = np.concatenate([np.arange(rows.size), np.full(len(inserted), -1)])
    clocks, ties_all = np.concatenate([clock, places]), np.concatenate([tie, ties])
    order = np.lexsort((ties_all, clocks))
    order = order[np.concatenate([kept, np.ones(len(inserted), bool)])[order]]
    played = every[order]
    played["sequence"] = np.arange(played.size)
    refs = [int(change.ref or 0) if change.action == Action.INSERT else int(rows["order_id"][change.at])
            for change in listed]  # fmt: skip
    return ChangedFlow(played, origin[order], clocks[order], tuple(dict.fromkeys(map(_signed, refs))))


def _signed(ref: int) -> int:
    """A reference as it stands in a row: 64 bits with a sign."""
    return ref - (1 << 64) if ref >= 1 << 63 else ref


def _faults(change: Change, rows: type_of_rows) -> Iterator[tuple[str, bool]]:
    """What may be wrong with a change, and whether it is; nothing after the first that is should be asked."""
    is_insert, is_delay = change.action == Action.INSERT, change.action == Action.DELAY
    yield f"the flow has rows 0 to {rows.size - 1}", not 0 <= change.at < rows.size + is_insert
    if is_insert:
        is_cancel = change.op == "cancel"
        yield "op is new, cancel or amend", change.op not in OPS
        yield "ref is missing, or no 64-bit number", change.ref is None or not 0 <= change.ref < 1 << 64
        yield "side is buy or sell", not is_cancel and change.side not in ("buy", "sell")
        yield "time_in_force is GTC, DAY, IOC or FOK", change.time_in_force not in ("GTC", "DAY", "IOC", "FOK")
        yield "price_ticks must be positive", not is_cancel and not 0 < (change.price_ticks or 0) < 1 << 62
        yield "quantity must be positive", not is_cancel and not 0 < (change.quantity or 0) < 1 << 62
        yield "account is a number below 2**32", not 0 <= change.account < 1 << 32
    if change.action == Action.RESIZE:
        yield "a cancel has no quantity", int(rows["kind"][change.at]) == CommandKind.CANCEL_ORDER
        yield "quantity must be positive", not 0 < (change.quantity or 0) < 1 << 62
    if is_delay:
        later = f"to must be a later row, or {rows.size} for the end"
        yield "a delay needs one of to and by_ns", (change.to is None) == (change.by_ns is None)
        yield later, change.to is not None and not change.at < change.to <= rows.size
        yield "by_ns must be positive", change.by_ns is not None and change.by_ns <= 0
        yield "by_ns needs a flow with times (ts_ns)", change.by_ns is not None and not rows["now_ns"].any()


def _check_together(rows: type_of_rows, changes: list[Change]) -> None:
    """ScheduleError where two changes contradict each other, or an inserted order has a reference of the flow's."""
    times = Counter((change.action, change.at) for change in changes if change.action != Action.INSERT)
    for (action, at), count in times.items():
        if count > 1:
            raise ScheduleError(f"two changes {action} row {at}")
        if action == Action.REMOVE and ((Action.DELAY, at) in times or (Action.RESIZE, at) in times):
            raise ScheduleError(f"row {at} is removed and changed")
    used = {_signed(change.ref) for change in changes if change.op == "new" and change.ref is not None}
    taken = used.intersection(rows["order_id"][np.isin(rows["order_id"], list(used))].tolist())
    if taken:
        raise ScheduleError(f"reference {min(taken)} of an inserted order is used in the flow")


def _row_of(change: Change, rows: type_of_rows) -> type_of_rows:
    row = np.zeros(1, COMMAND)
    row["kind"] = OPS[change.op or ""]
    row["order_id"] = _signed(change.ref or 0)
    row["side"] = Side.SELL if change.side == "sell" else Side.BUY
    row["price_ticks"], row["quantity"] = change.price_ticks or 0, change.quantity or 0
    row["time_in_force"], row["account"] = TimeInForce[change.time_in_force], change.account
    if rows.size:
        row["now_ns"] = rows["now_ns"][min(change.at, rows.size - 1)]
    return row


def _delayed_to(change: Change, rows: type_of_rows) -> int:
    """Before which row a delayed one is played: the first that came later than it does now."""
    if change.to is not None:
        return change.to
    until = int(rows["now_ns"][change.at]) + (change.by_ns or 0)
    return max(change.at + 1, int(np.searchsorted(rows["now_ns"], until, side="right")))
