"""One whole day: from the first order to the last statement, in each mode of settlement.

    2 orders a trade --> Engine.submit_rows --> trade rows                          trading
    CloseSession, FixObligations            --> a sealed batch                      fix
    InstructBank, ConfirmPayments           --> the bank has accepted every line    bank
    DeliverBatch                            --> units, cash and title have moved    deliver
    IssueStatements                         --> every statement adds up             state

2,000 participants, 8 instruments, Hubei's fees and median price, a settlement bank that accepts. The same random orders
in each mode: a sale rests, a purchase of the same size takes it. How long trading took is the yardstick in the same
run. Before a number is printed every invariant of the exchange holds, and the three modes have left everybody with the
same cash and the same tonnes of everything.
"""

import resource
import statistics
from collections.abc import Callable
from datetime import date
from time import perf_counter

import msgspec
import numpy as np

from benchmarks.flows import START_TICKS
from benchmarks.measure import WrongAnswer, show, table
from benchmarks.trading_path import ACCOUNTS, CASH, INSTRUMENTS, UNITS, rules
from exchange import invariants
from exchange.commands import (
    CloseSession,
    ConfirmPayments,
    Control,
    DeliverBatch,
    DepositCash,
    FixObligations,
    InstructBank,
    IssueStatements,
    IssueUnits,
    ListInstrument,
    OpenAccount,
    OpenDay,
    StartTrading,
    TransferUnits,
    control,
)
from exchange.engine import Engine
from exchange.events import CommandRefused
from exchange.journal import MemoryJournal
from exchange.rows import COMMAND, CommandKind, type_of_rows
from matching.orders import OrderType, Side, TimeInForce
from registry import holdings
from registry.accounts import ParticipantClass
from registry.serials import Origin
from registry.units import Species
from settlement.bank import SimulatedBank
from settlement.rules import Mode, SettlementRules

BANK = "BANK"
TRADERS = [f"T{number}" for number in range(ACCOUNTS)]
FIRST_TRADER = 3  # account number; before it come the exchange's own and the bank's
DAY = date(2026, 1, 5)
ROWS_AT_ONCE = 65_536


def run(trades: int, runs: int) -> None:
    """Measure and print."""
    made = table(
        f"a day of {trades:,} trades: seconds of each step, trades settled a second, blocks of title moved",
        "mode", "trading", "fix", "bank", "deliver", "state", "trades/s", "spread", "blocks", "netted", "MiB",
    )  # fmt: skip
    rows, ends = orders(trades), []
    for mode in Mode:
        took, engine = [], market(mode)
        for _ in range(runs + 1):
            engine = market(mode)
            took.append([_timed(_trade, engine, rows), *_settled(engine)])
        exchange = engine.exchange
        report = exchange.clearing.batches[-1].report
        if report is None or report.trades != trades:
            raise WrongAnswer(f"{mode}: {report} instead of {trades} trades")
        invariants.check(exchange)
        ends.append(holdings.settled(exchange.path.desk.balances))
        sums = [*report.units.values()]
        netted = 1 - sum(one.moved for one in sums) / sum(one.gross for one in sums)
        rates = sorted(trades / sum(steps[1:]) for steps in took[1:])
        blocks = sum(exchange.serials.title_of(unit.number).count("links") for unit in exchange.units)
        made.add_row(
            mode, *(f"{statistics.median(step):.2f}" for step in zip(*took[1:], strict=True)),
            thousands(statistics.median(rates)), f"{thousands(rates[0])}-{thousands(rates[-1])}",
            f"{blocks - ACCOUNTS * INSTRUMENTS:,}", f"{netted:.1%}",
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:,}",
        )  # fmt: skip
    if not all((end == ends[0]).all() for end in ends):
        raise WrongAnswer("the modes leave different holdings")
    show(runs, made)


def thousands(rate: float) -> str:
    return f"{rate / 1000:,.0f}k"


def orders(trades: int) -> type_of_rows:
    """Two orders a trade: a random sale, and a purchase by somebody else that takes it whole."""
    random = np.random.default_rng(2026)
    rows = np.zeros(2 * trades, COMMAND)
    rows["kind"], rows["order_type"] = CommandKind.PLACE_ORDER, OrderType.LIMIT
    seller = random.integers(0, ACCOUNTS, trades)
    buyer = (seller + random.integers(1, ACCOUNTS, trades)) % ACCOUNTS
    shared = {
        "instrument": random.integers(1, INSTRUMENTS + 1, trades),
        "quantity": random.integers(1, 1001, trades),
        "price_ticks": random.integers(START_TICKS - 200, START_TICKS + 200, trades),
    }
    for start, side, account, lives in ((0, Side.SELL, seller, TimeInForce.DAY), (1, Side.BUY, buyer, TimeInForce.IOC)):
        for name, column in shared.items():
            rows[name][start::2] = column
        rows["side"][start::2], rows["time_in_force"][start::2] = side, lives
        rows["account"][start::2] = account + FIRST_TRADER
    return rows


def market(mode: Mode) -> Engine:
    """An exchange that trades, everybody rich, with a bank, settling in a mode."""
    engine = Engine(MemoryJournal())
    settled = SettlementRules(mode=mode, bank=True, confirm_by="17:00")
    for _ in engine.open(msgspec.structs.replace(rules(), settlement=settled), 1):
        pass
    commands: list[Control] = [OpenAccount(BANK, "", ParticipantClass.CLEARING_BANK)]
    commands += [OpenAccount(name, "", ParticipantClass.INSTITUTION) for name in TRADERS]
    commands += [DepositCash(name, CASH) for name in TRADERS]
    for number in range(INSTRUMENTS):
        commands.append(ListInstrument(f"H{number}", Species.ALLOWANCE, 2020 + number, START_TICKS))
        for name in TRADERS:
            commands.append(IssueUnits(name, f"H{number}", UNITS, Origin.FREE))
            commands.append(TransferUnits(name, f"H{number}", UNITS, to_trading=True))
    _do(engine, *commands, OpenDay(DAY), StartTrading())
    if engine.exchange.accounts.by_id[TRADERS[0]].number != FIRST_TRADER:
        raise WrongAnswer("the accounts have other numbers")
    return engine


def _trade(engine: Engine, rows: type_of_rows) -> None:
    for start in range(0, rows.size, ROWS_AT_ONCE):
        engine.submit_rows(rows[start : start + ROWS_AT_ONCE].copy(), 1)


def _settled(engine: Engine) -> list[float]:
    """Settle the day; seconds of its steps."""
    took = [_timed(_do, engine, CloseSession(), FixObligations()), _timed(_pay, engine)]
    return [*took, _timed(_do, engine, DeliverBatch()), _timed(_do, engine, IssueStatements())]


def _pay(engine: Engine) -> None:
    """The bank gets the file and accepts every line."""
    _do(engine, InstructBank())
    payments = engine.exchange.clearing.batches[-1].payments
    answer = SimulatedBank().answer(payments.file) if payments else None
    if answer:
        _do(engine, ConfirmPayments(BANK, answer.batch, answer.answers_to, answer.lines))


def _do(engine: Engine, *commands: Control) -> None:
    _, outcome = engine.submit([control(command) for command in commands], 1)
    for event in outcome.events.values():
        if isinstance(event, CommandRefused):
            raise WrongAnswer(f"{event.reason.code}: {event.detail}")


def _timed(work: Callable[..., None], *given: object) -> float:
    began = perf_counter()
    work(*given)
    return perf_counter() - began
