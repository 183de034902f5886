"""Five named order flows of any length, the same on every machine for the same seed.

Half of the messages are new orders, of which 15 % are IOC; two fifths cancels, of which four in five name
one of the last few orders; one tenth amends, which reprice by a tick or raise the quantity. Prices lie
about a middle that

    static      does not move
    calm        wanders by a few ticks
    swing_25    swings by 25 % up and down, twice in the flow
    swing_40    swings by 40 %
    crash       falls from 60,000 to 20,000 ticks in the middle fifth of the flow

The generator does not match: some cancels and amends name orders that have traded meanwhile, as in life.
References are the exchange's own numbers 1, 2, 3 ...; :func:`with_foreign_references` replaces them by
random 64-bit numbers.
"""

from typing import Any

import numpy as np
from numba import njit

from exchange.rows import COMMAND, CommandKind, type_of_rows
from matching.orders import TimeInForce

PLACE, CANCEL, AMEND = int(CommandKind.PLACE_ORDER), int(CommandKind.CANCEL_ORDER), int(CommandKind.AMEND_ORDER)
GTC, IOC = int(TimeInForce.GTC), int(TimeInForce.IOC)
MESSAGES = 2_000_000
START_TICKS = 20_000

type_of_numbers = np.ndarray[Any, np.dtype[Any]]


def middle(name: str, messages: int, rng: np.random.Generator) -> type_of_numbers:
    """The price in ticks about which each message of a flow lies. KeyError for an unknown name."""
    part = np.linspace(0.0, 1.0, messages)
    paths = {
        "static": lambda: np.full(messages, START_TICKS),
        "calm": lambda: START_TICKS + np.cumsum(rng.random(messages) < 0.001) % 41 - 20,
        "swing_25": lambda: START_TICKS * (1 + 0.25 * np.sin(4 * np.pi * part)),
        "swing_40": lambda: START_TICKS * (1 + 0.40 * np.sin(4 * np.pi * part)),
        "crash": lambda: 60_000 - 40_000 * np.clip((part - 0.4) / 0.2, 0.0, 1.0),
    }
    return paths[name]().astype(np.int64)


NAMES = ("static", "calm", "swing_25", "swing_40", "crash")


@njit(cache=False)
def _fill(rows, middles, chance, which, distance, size, alive):
    """Write the messages; `alive` lists the orders that a cancel or amend may name, the youngest last."""
    count, placed = 0, 0
    for index in range(rows.size):
        row = rows[index]
        row.sequence = index
        if chance[index] < 0.5 or count == 0:
            placed += 1
            row.kind = PLACE
            row.order_id = placed
            row.side = 0 if which[index] < 0.5 else 1
            away = distance[index]
            if chance[index] < 0.075:
                row.time_in_force = IOC
                away = -away
            else:
                row.time_in_force = GTC
                alive[count] = index
                count += 1
            row.price_ticks = middles[index] - away if row.side == 0 else middles[index] + away
            row.quantity = size[index]
            continue
        if which[index] < 0.8:
            place = count - 1 - int(which[index] / 0.8 * min(count, 8))
        else:
            place = int((which[index] - 0.8) / 0.2 * count)
        named = rows[alive[place]]
        row.order_id = named.order_id
        row.side = named.side
        if chance[index] < 0.9:
            row.kind = CANCEL
            count -= 1
            alive[place] = alive[count]
        else:
            row.kind = AMEND
            if size[index] % 2:
                row.price_ticks = named.price_ticks + (1 if distance[index] % 2 else -1)
                row.quantity = named.quantity
            else:
                row.price_ticks = named.price_ticks
                row.quantity = named.quantity + size[index]


def make_flow(name: str, messages: int = MESSAGES, seed: int = 2026) -> type_of_rows:
    """Command rows (messages,) of a named flow with assigned references."""
    rng = np.random.default_rng([seed, NAMES.index(name)])
    rows = np.zeros(messages, COMMAND)
    _fill(
        rows,
        middle(name, messages, rng),
        rng.random(messages),
        rng.random(messages),
        rng.geometric(0.12, messages) - 2,  # mostly behind the middle, at times through it
        rng.integers(1, 200, messages),
        np.zeros(messages, np.int64),
    )
    return rows


def with_foreign_references(rows: type_of_rows, seed: int = 2026) -> type_of_rows:
    """The same flow, its orders named by random 64-bit numbers."""
    numbers = np.random.default_rng(seed).integers(-(2**63), 2**63 - 1, int(rows["order_id"].max()) + 1)
    foreign = rows.copy()
    foreign["order_id"] = numbers[rows["order_id"]]
    return foreign
