"""Synthetic order flow for tests of readers and replays: small, seeded, and of every kind of message."""

from pathlib import Path

import numpy as np

from exchange.research import itch, lobster
from exchange.research.messages import MESSAGE, MessageType
from exchange.research.told import told
from exchange.rows import COMMAND, CommandKind, joined
from matching.orders import TimeInForce

OPENING_NS = 34_200_000_000_000
CENT = 100


def commands(seed, messages=400):
    """New orders about a middle of 100.00, cancels and amends of those that may still rest; some take at once."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(messages, COMMAND)
    placed = []
    for index, row in enumerate(rows):
        row["sequence"] = index
        if len(placed) < 5 or rng.random() < 0.55:
            row["kind"], row["order_id"] = CommandKind.PLACE_ORDER, 1000 + 7 * index
            row["side"] = rng.integers(2)
            away = int(rng.geometric(0.15)) - 2
            row["price_ticks"] = 10_000 + (away if row["side"] else -away)
            row["quantity"] = rng.integers(1, 300)
            row["time_in_force"] = TimeInForce.IOC if rng.random() < 0.15 else TimeInForce.GTC
            placed.append(row.copy())
            continue
        named = placed.pop(int(rng.integers(len(placed))))
        for field in ("order_id", "side", "price_ticks"):
            row[field] = named[field]
        row["kind"] = CommandKind.AMEND_ORDER if rng.random() < 0.4 else CommandKind.CANCEL_ORDER
        row["quantity"] = rng.integers(1, 300)
        if rng.random() < 0.3:
            row["price_ticks"] += rng.integers(-3, 4)
        if row["kind"] == CommandKind.AMEND_ORDER:
            placed.append(row.copy())
    return rows


def times(size):
    return OPENING_NS + np.cumsum(np.random.default_rng(size).integers(1, 10**9, size))


def flow(seed, messages=400):
    """MESSAGE rows of a whole flow, some hidden executions, crosses and halts among them."""
    rows = commands(seed, messages)
    shown = joined([*told([(rows, times(rows.size))], CENT)])
    return with_others(renamed(shown), seed)


def renamed(rows):
    """The same, an order that is placed anew under a new name, as vendors have it."""
    names, placed = {}, 0
    for row in rows:
        order_id = int(row["order_id"])
        if row["kind"] == MessageType.NEW_ORDER:
            placed += 1
            names[order_id] = 100_000 + placed
        row["order_id"] = names[order_id]
    return rows


def with_others(rows, seed):
    """The same with what does not touch the displayed book."""
    rng = np.random.default_rng(seed)
    parts, done = [], 0
    for place in sorted(rng.choice(rows.size, 5, replace=False).tolist()):
        kind = [MessageType.HIDDEN_EXECUTION, MessageType.CROSS_TRADE, MessageType.HALT][int(rng.integers(3))]
        one = np.zeros(1, MESSAGE)
        one["kind"], one["time_ns"] = kind, rows["time_ns"][place]
        one["quantity"] = 0 if kind == MessageType.HALT else 100
        one["price"] = rng.integers(-1, 2) if kind == MessageType.HALT else 1_000_050
        one["side"] = rng.integers(2) if kind == MessageType.HIDDEN_EXECUTION else 1
        parts += [rows[done : place + 1], one]
        done = place + 1
    return joined([*parts, rows[done:]])


def sample(folder, rows, levels=10, name="HB"):
    """The rows as a LOBSTER sample; its message file."""
    file = Path(folder) / f"{name}_2012-06-21_34200000_57600000_message_{levels}.csv"
    with file.open("wb") as messages, lobster.books_of(file).open("wb") as books:
        lobster.write(messages, books, [rows], levels)
    return file


def window(folder, rows, levels, first):
    """A sample as a vendor cuts it: from message `first` on, and only what its levels show; its message file."""
    file = sample(folder, rows, levels)
    texts = [path.read_text().splitlines() for path in (file, lobster.books_of(file))]
    kept = [
        index
        for index in range(max(first, 1), rows.size)
        if texts[1][index] != texts[1][index - 1] or rows["kind"][index] > MessageType.EXECUTION
    ]
    for path, lines in zip((file, lobster.books_of(file)), texts, strict=True):
        path.write_text("".join(f"{lines[index]}\n" for index in kept))
    return file


def itch_file(folder, rows, symbol="HB", name="flow.itch"):
    """The rows as an ITCH file."""
    file = Path(folder) / name
    with file.open("wb") as out:
        itch.write(out, [rows], symbol)
    return file


def same(one, other, *, leaves=True):
    """Whether two arrays of MESSAGE rows say the same."""
    names = [name for name in MESSAGE.names if leaves or name != "leaves"]
    return one.size == other.size and all((one[name] == other[name]).all() for name in names)
