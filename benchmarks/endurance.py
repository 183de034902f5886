"""Whether a long session costs what its first minute did: twenty million messages through one book.

    blocks of a million messages, each with references of its own --> one FlowPlayer that goes on
                                                                   --> one TradingPath that goes on

Each block is timed by itself. What still rests at its end is cancelled, not timed, as at the end of a day, so
that the blocks ask for the same; what grows would be the machine's fault, or ours. After each block every
structure is checked, and after the last one all invariants of the exchange. Memory is the most that the
process has had since its first block; the whole path keeps every trade (88 bytes), since all wait for the
day's settlement.
"""

import resource
from collections.abc import Iterator
from time import perf_counter

import numpy as np

from benchmarks.flows import make_flow, with_foreign_references
from benchmarks.matching import room_for
from benchmarks.measure import show, table
from benchmarks.trading_path import market, ready, spread_out
from exchange import invariants
from exchange.commands import cancel_orders
from exchange.flow import INSTRUMENT, FlowPlayer
from exchange.rows import COMMAND, TRADE, CommandKind, copied, type_of_rows
from matching import ladder as book_of

BLOCK = 1_000_000


def run(messages: int) -> None:
    """Measure and print."""
    blocks = max(2, messages // BLOCK)
    made = table(
        f"{blocks} blocks of a million messages, in millions a second",
        "what", "first", "last", "slowest", "fastest", "last/first", "+MiB",
    )  # fmt: skip
    for what, times in (("ladder, foreign refs", _ladder(blocks)), ("whole path", _path(blocks))):
        rates, before = [], 0
        for rate in times:
            rates.append(rate / 1e6)
            before = before or _memory()
        first, last = rates[0], rates[-1]
        made.add_row(
            what, f"{first:.1f}", f"{last:.1f}", f"{min(rates):.1f}", f"{max(rates):.1f}", f"{last / first:.2f}",
            f"{(_memory() - before) / 1024:.0f}",
        )  # fmt: skip
    show(1, made)


def _memory() -> int:
    """The most memory this process has had at once, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _ladder(blocks: int) -> Iterator[float]:
    """Messages a second of each block through one book."""
    player = FlowPlayer()
    flow = make_flow("calm", BLOCK)
    events = room_for(flow)
    for block in range(blocks):
        rows = with_foreign_references(flow, seed=block)
        began = perf_counter()
        for _ in player.play(rows, events):
            pass
        yield BLOCK / (perf_counter() - began)
        player.check()
        resting = [int(order.order_id) for order in book_of.orders_of(player.ladder, INSTRUMENT)]
        cancels = np.zeros(len(resting), COMMAND)
        cancels["kind"], cancels["order_id"] = CommandKind.CANCEL_ORDER, resting
        for _ in player.play(cancels, events):
            pass


def _path(blocks: int) -> Iterator[float]:
    """Messages a second of each block through one exchange."""
    exchange = market().exchange
    exchange.path = path = ready(exchange)
    flow = spread_out(make_flow("calm", BLOCK))
    events, trades = room_for(flow), np.zeros(flow.size, TRADE)
    everybody = np.array([cancel_orders(account=0).row], COMMAND)
    for _ in range(blocks):
        rows = _numbered_from(flow, int(path.desk.ladder.pool[0].next_order_id) - 1)
        began = perf_counter()
        exchange.unsettled_trades += [copied(made) for _, made in path.play(rows, events, trades)]
        yield BLOCK / (perf_counter() - began)
        path.run(everybody)
        book_of.check(path.desk.ladder)
    invariants.check(exchange)


def _numbered_from(rows: type_of_rows, placed: int) -> type_of_rows:
    """The same flow after so many orders have been placed before it."""
    later = rows.copy()
    later["order_id"][rows["kind"] != CommandKind.PLACE_ORDER] += placed
    return later
