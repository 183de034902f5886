"""How long one order takes from Python: `engine.submit` of a single row, journal in memory, fills and all.

    row --> Engine.submit: stamp, journal, apply --> event rows

A stranger's order now sells, now buys at one price, so that every second one trades. The yardstick is a call
of the compiled loop with nothing to do. Before a number is printed, the engine says the same as one that was
handed all rows at once, and has the same digest.
"""

import statistics
from time import perf_counter_ns

import numpy as np

from benchmarks.flows import START_TICKS
from benchmarks.measure import WrongAnswer, show, table
from benchmarks.trading_path import market
from exchange.rows import COMMAND, EVENT, TRADE, CommandKind, joined, type_of_rows
from exchange.trading import run as compiled_loop

ORDERS = 100_000


def run() -> None:
    """Measure and print."""
    rows = orders()
    one, whole = market(accounts=20, instruments=1), market(accounts=20, instruments=1)
    said, times = [], []
    for index in range(rows.size):
        row = rows[index : index + 1]
        began = perf_counter_ns()
        events, _ = one.submit_rows(row, 1)
        times.append(perf_counter_ns() - began)
        said.append(events)
    if (
        not (joined(said) == whole.submit_rows(rows.copy(), 1)[0]).all()
        or one.exchange.digest() != whole.exchange.digest()
    ):
        raise WrongAnswer("orders one by one and all at once lead to different events")
    calls = _empty_calls(one)
    made = table("microseconds of one order", "what", "median", "99 %", "slowest")
    for what, found in (("submit of one row", times), ("empty call of the compiled loop", calls)):
        percentile = np.percentile(found, 99) / 1000
        made.add_row(what, f"{statistics.median(found) / 1000:.2f}", f"{percentile:.2f}", f"{max(found) / 1000:.0f}")
    show(1, made)


def orders() -> type_of_rows:
    """Rows of orders that trade with one another by turns."""
    rows = np.zeros(ORDERS, COMMAND)
    rows["kind"], rows["instrument"], rows["price_ticks"], rows["quantity"] = CommandKind.PLACE_ORDER, 1, START_TICKS, 1
    rows["side"] = np.arange(ORDERS) % 2
    rows["account"] = 2 + np.arange(ORDERS) % 19
    rows["time_in_force"] = 1
    return rows


def _empty_calls(engine) -> list[int]:
    nothing, events, trades = np.zeros(0, COMMAND), np.zeros(8, EVENT), np.zeros(8, TRADE)
    arrays = (*engine.exchange.path.desk.ladder, *engine.exchange.path.desk[1:])
    found = []
    for _ in range(ORDERS):
        began = perf_counter_ns()
        compiled_loop(arrays, nothing, 0, events, trades)
        found.append(perf_counter_ns() - began)
    return found
