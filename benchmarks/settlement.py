"""How fast a day's batch is worked out: obligations, positions, deliveries, payments and report, in each mode.

    trade rows (2,000 participants, 8 instruments, 2 currencies) --> batch    --> what is owed, moved and told
    the same rows                                                --> a copy   --> rows, over older ones
    the same rows                                                --> np.add.at over columns --> obligations, sums
    the first of them                                            --> dicts in plain Python  --> sums

From trade rows in memory to the whole batch in memory; the second table adds the moving of title, once, beginning
with one large block a participant and unit (`title.py` looks closer). Participants, instruments, prices and
quantities are random; one instrument in eight is quoted in a second currency. Copy and NumPy's sums are
measured in turn with the rest.

Before a number is printed: gross sums are those of np.add.at, and of the first trades those of plain dicts; what
leaves accounts arrives; deliveries and payments add up to the net positions; the modes agree about what is owed.
"""

import tracemalloc
from collections import Counter
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.measure import WrongAnswer, in_turn, millions, ratio, show, spread, table
from exchange.rows import TRADE, type_of_rows
from registry import title
from registry.serials import Cause, Origin, Serials
from settlement.batch import Discharge, discharge
from settlement.clearing import Terms, obligations, terms_of, type_of_column, warm_up
from settlement.netting import positions
from settlement.rules import Mode

PARTICIPANTS, INSTRUMENTS = 2000, 8
HOUSE, ACCOUNTS = 1, PARTICIPANTS + 1  # participants are 2 and on
ASSETS = INSTRUMENTS + 1  # units are 1 to 8; currencies 0 and 9
FEE_PPM = 5000
FIRST = 2  # participant
PLENTY = 1 << 24  # tonnes of each unit that each has at first
CHECKED = 100_000  # trades that plain Python goes over

Sums = tuple[type_of_column, type_of_column]  # out and into


def market() -> Terms:
    """Eight instruments, each of a unit of its own, the last in another currency."""
    numbers = np.arange(INSTRUMENTS + 1)
    return terms_of(numbers, np.where(numbers == INSTRUMENTS, ASSETS, 0), np.minimum(numbers, 1))


def make_trades(count: int) -> type_of_rows:
    """So many random trades, always the same: some 42.00, up to 1,000 t, half a per cent of fees from each side."""
    random = np.random.default_rng(2026)
    trades = np.zeros(count, TRADE)
    trades["trade_id"] = np.arange(1, count + 1)
    trades["price_ticks"] = random.integers(4000, 4400, count)
    trades["quantity"] = random.integers(1, 1001, count)
    trades["buyer"] = random.integers(2, ACCOUNTS + 1, count)
    trades["seller"] = random.integers(2, ACCOUNTS + 1, count)
    trades["instrument"] = random.integers(1, INSTRUMENTS + 1, count)
    fee = (trades["price_ticks"] * trades["quantity"] * FEE_PPM + 500_000) // 1_000_000
    trades["buyer_fee"] = trades["seller_fee"] = fee
    return trades


def run(trades: int, runs: int) -> None:
    """Measure and print."""
    warm_up(np.zeros(0, TRADE))
    title.warm_up()
    batches = table(
        "batches: millions of trades a second",
        "mode", "trades", "copy", "NumPy", "plain", "batch", "spread", "of copy", "x NumPy", "x plain", "memory",
    )  # fmt: skip
    titles = table(
        "batches with their title: millions of trades a second",
        "mode", "trades", "transfers", "blocks moved", "title, s", "us/transfer", "us/block", "with batch", "MiB",
    )  # fmt: skip
    terms, rows = market(), make_trades(trades)
    for size in (trades // 4, trades // 2, trades):
        _measure_batches(batches, rows[:size], terms, runs)
        _measure_title(titles, rows[:size], terms)
    show(runs, batches, titles)


def _measure_batches(made: Table, rows: type_of_rows, terms: Terms, runs: int) -> None:
    memory = {mode: _memory(rows, partial(_batch, rows, terms, mode)) for mode in Mode}
    _check(rows, terms)
    began = perf_counter()
    _plain_sums(rows[:CHECKED], terms)
    plain = min(CHECKED, rows.size) / (perf_counter() - began)
    copies, numpy, *modes = in_turn(
        rows.size,
        runs,
        _copier(rows),
        _ready(_sums_by_column, rows, terms),
        *(_ready(_batch, rows, terms, mode) for mode in Mode),
    )
    for mode, found in zip(Mode, modes, strict=True):
        made.add_row(
            mode, f"{rows.size:,}", millions(copies), millions(numpy), f"{plain / 1e6:.2f}", millions(found),
            spread(found), ratio(found, copies), ratio(found, numpy), f"{np.median(found) / plain:.0f}", memory[mode],
        )  # fmt: skip


def _measure_title(made: Table, rows: type_of_rows, terms: Terms) -> None:
    """A batch and then its title, once: everybody begins with one block of each unit that no day uses up."""
    for mode in Mode:
        serials = Serials()
        for account in range(FIRST, ACCOUNTS + 1):
            for unit in terms.units:
                serials.issue(unit, account, PLENTY, Origin.FREE, 1, 1)
        blocks = [sum(serials.title_of(unit).count("links") for unit in terms.units)]
        began = perf_counter()
        one = _batch(rows, terms, mode)
        worked_out = perf_counter()
        transfers = 0
        for unit, moves in one.title_moves():
            serials.transfer_all(unit, *moves, 2, 2, Cause.NETTED if mode.nets_units else Cause.TRADED)
            transfers += moves.trades.size
        done = perf_counter()
        for unit in terms.units:
            held = np.array([serials.held(account, unit) for account in range(ACCOUNTS + 1)])
            if (held[FIRST:] != PLENTY + one.positions.net[FIRST:, unit]).any():
                raise WrongAnswer(f"{mode}: title is not where the batch says")
        blocks += [sum(serials.title_of(unit).count("links") for unit in terms.units)]
        moved, took = blocks[1] - blocks[0], done - worked_out
        nbytes = sum(serials.title_of(unit).bytes_used() for unit in terms.units)
        made.add_row(
            mode, f"{rows.size:,}", f"{transfers:,}", f"{moved:,}",
            f"{took:.2f}",
            f"{1e6 * took / transfers:.2f}", f"{1e6 * took / moved:.2f}", f"{rows.size / (done - began) / 1e6:.2f}",
            f"{nbytes >> 20:,}",
        )  # fmt: skip


def _batch(rows: type_of_rows, terms: Terms, mode: Mode) -> Discharge:
    return discharge(rows, terms, ACCOUNTS, ASSETS, HOUSE, mode)


def _ready(work: Callable[..., object], *given: Any) -> Callable[[], Callable[[], object]]:
    """Nothing to prepare: a run is the work itself."""
    return lambda: partial(work, *given)


def _copier(rows: type_of_rows) -> Callable[[], Callable[[], object]]:
    """Copies as raw bytes, into memory that has been touched: the least that reading and writing rows can take."""
    source = rows.view(np.uint8)
    target = source.copy()
    return _ready(np.copyto, target, source)


def _memory(rows: type_of_rows, work: Callable[[], object]) -> str:
    """The most that a piece of work and the rows it is given take, in sizes of these rows."""
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return f"{(rows.nbytes + peak) / rows.nbytes:.2f}"


# ---------------------------------------------------------------- the yardsticks


def _sums_by_column(rows: type_of_rows, terms: Terms) -> Sums:
    """Obligations as columns and what they add up to, by NumPy alone."""
    instrument, seller, buyer = rows["instrument"], rows["seller"], rows["buyer"]
    unit, cash = terms.unit[instrument], terms.cash[instrument]
    quantity, buyer_fee, seller_fee = (rows[name].copy() for name in ("quantity", "buyer_fee", "seller_fee"))
    turnover = rows["price_ticks"] * quantity * terms.fen_per_tick[instrument]
    out, into = (np.zeros((ACCOUNTS + 1, ASSETS + 1), np.int64) for _ in range(2))
    np.add.at(out, (seller, unit), quantity)
    np.add.at(into, (buyer, unit), quantity)
    np.add.at(out, (buyer, cash), turnover + buyer_fee)
    np.add.at(into, (seller, cash), turnover - seller_fee)
    np.add.at(into[HOUSE], cash, buyer_fee + seller_fee)
    return out, into


def _plain_sums(rows: type_of_rows, terms: Terms) -> tuple[Counter[tuple[int, int]], Counter[tuple[int, int]]]:
    """What trades add up to, one by one in dicts."""
    out: Counter[tuple[int, int]] = Counter()
    into: Counter[tuple[int, int]] = Counter()
    names = ("instrument", "seller", "buyer", "price_ticks", "quantity", "buyer_fee", "seller_fee")
    units, currencies, fen_per_tick = (column.tolist() for column in terms)
    columns = (rows[name].tolist() for name in names)
    for instrument, seller, buyer, price, quantity, buyer_fee, seller_fee in zip(*columns, strict=True):
        unit, cash, turnover = units[instrument], currencies[instrument], price * quantity * fen_per_tick[instrument]
        out[seller, unit] += quantity
        into[buyer, unit] += quantity
        out[buyer, cash] += turnover + buyer_fee
        into[seller, cash] += turnover - seller_fee
        into[HOUSE, cash] += buyer_fee + seller_fee
    return out, into


# ---------------------------------------------------------------- the answers


def _check(rows: type_of_rows, terms: Terms) -> None:
    """WrongAnswer if modes or yardsticks differ; AssertionError if a batch is not sound."""
    made = [_batch(rows, terms, mode) for mode in Mode]
    for one in made:
        one.check()
    gross = [({asset: amounts.gross for asset, amounts in one.report.units.items()}, one.report.fees) for one in made]
    if gross.count(gross[0]) != len(gross):
        raise WrongAnswer("the modes differ about what is owed")
    out, into = _sums_by_column(rows, terms)
    sums = made[0].positions
    if (sums.out != out).any() or (sums.into != into).any():
        raise WrongAnswer("positions are not the sums that np.add.at makes")
    some = positions(rows[:CHECKED], terms, ACCOUNTS, ASSETS, HOUSE)
    for found, plain in zip((some.out, some.into), _plain_sums(rows[:CHECKED], terms), strict=True):
        if Counter({place: int(found[place]) for place in zip(*np.nonzero(found), strict=True)}) != plain:
            raise WrongAnswer("positions are not the sums that plain dicts make")
    if (obligations(rows, terms)["turnover"] != rows["price_ticks"] * rows["quantity"]).any():
        raise WrongAnswer("an obligation is not price times quantity")
