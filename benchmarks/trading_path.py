"""How fast the whole trading path is: accounts, reservations, bands, fees, self-trade check, obligations.

    command rows --> TradingPath.play (2,000 accounts, 8 instruments) --> event rows and trade rows
    the same flow --> FlowPlayer (the ladder alone, one instrument)   --> event rows

The five named flows of `flows.py`, each order given to a random account and instrument. The ladder alone, with
assigned ids, is the yardstick, measured in turn. Before a number is printed, all invariants hold after the
flow (cash and units conserved, every reservation backed, books sound), and a second run has said the same.
"""

import copy
from collections.abc import Callable
from datetime import date

import msgspec
import numpy as np

from benchmarks.flows import NAMES, START_TICKS, make_flow
from benchmarks.matching import played, room_for
from benchmarks.measure import WrongAnswer, in_turn, millions, ratio, show, spread, table
from exchange import invariants
from exchange.commands import (
    Control,
    DepositCash,
    IssueUnits,
    ListInstrument,
    OpenAccount,
    OpenDay,
    StartTrading,
    TransferUnits,
    control,
)
from exchange.engine import Engine
from exchange.flow import FlowPlayer
from exchange.journal import MemoryJournal
from exchange.rows import TRADE, CommandKind, EventKind, joined, type_of_rows
from exchange.rules import RuleSet, load_rule_set
from exchange.state import Exchange
from exchange.trading import TradingPath
from matching.ladder import new_ladder
from registry.accounts import ParticipantClass
from registry.rules import PositionRules
from registry.serials import Origin
from registry.units import Species

ACCOUNTS, INSTRUMENTS = 2000, 8
CASH, UNITS = 1 << 42, 1 << 30  # fen and tonnes of each account: enough for any flow
DAY = date(2026, 1, 5)


def rules() -> RuleSet:
    """Hubei's rules, fees and median price among them, with a band that a crash fits into and GTC orders.

    Positions are counted, against a limit that nobody reaches.
    """
    hubei = load_rule_set("hubei")
    wide = msgspec.structs.replace(hubei.price_bands[0], up="9", down="1")
    far = PositionRules(covered_beyond=1 << 50, other=1 << 50)
    return msgspec.structs.replace(hubei, name="wide", price_bands=[wide], carry_over=[], positions=far)


def market(accounts: int = ACCOUNTS, instruments: int = INSTRUMENTS) -> Engine:
    """An exchange that trades, everybody rich."""
    engine = Engine(MemoryJournal())
    for _ in engine.open(rules(), 1):
        pass
    commands: list[Control] = []
    for number in range(accounts):
        commands += [OpenAccount(f"T{number}", "", ParticipantClass.INSTITUTION), DepositCash(f"T{number}", CASH)]
    for number in range(instruments):
        commands.append(ListInstrument(f"H{number}", Species.ALLOWANCE, 2020 + number, START_TICKS))
        for account in range(accounts):
            commands.append(IssueUnits(f"T{account}", f"H{number}", UNITS, Origin.FREE))
            commands.append(TransferUnits(f"T{account}", f"H{number}", UNITS, to_trading=True))
    engine.submit([control(command) for command in (*commands, OpenDay(DAY), StartTrading())], 1)
    return engine


def spread_out(rows: type_of_rows, accounts: int = ACCOUNTS, instruments: int = INSTRUMENTS) -> type_of_rows:
    """A flow of one instrument, each order given to a random account (2 and on: 1 is the house) and instrument."""
    rng = np.random.default_rng(2026)
    spread_rows, orders = rows.copy(), int(rows["order_id"].max()) + 1
    spread_rows["account"] = rng.integers(2, accounts + 2, orders)[rows["order_id"]]
    spread_rows["instrument"] = rng.integers(1, instruments + 1, orders)[rows["order_id"]]
    spread_rows["sequence"] = np.arange(1, rows.size + 1)
    spread_rows["order_id"][rows["kind"] == CommandKind.PLACE_ORDER] = 0
    return spread_rows


def ready(exchange: Exchange) -> TradingPath:
    """The exchange's trading path before the flow, with room for it."""
    path = TradingPath()
    ladder = new_ladder(len(exchange.instruments), slots=1 << 15, ids=1 << 22)
    path.desk = copy.deepcopy(exchange.path.desk)._replace(ladder=ladder)
    return path


def run(messages: int, runs: int) -> None:
    """Measure and print."""
    exchange = market().exchange
    made = table("millions of messages a second", "flow", "trades", "ladder alone", "whole path", "spread", "of ladder")
    for name in NAMES:
        flow = make_flow(name, messages)
        traded, ladder, path = _measure(name, exchange, flow, runs)
        made.add_row(name, f"{traded:,}", millions(ladder), millions(path), spread(path), ratio(path, ladder))
    show(runs, made)


def _measure(name: str, exchange: Exchange, flow: type_of_rows, runs: int) -> tuple[int, list[float], list[float]]:
    """How many trades a flow leads to, and the rates of the ladder alone and of the whole path."""
    rows = spread_out(flow)
    traded = _check(name, exchange, rows)
    events, trades = room_for(rows), np.zeros(rows.size, TRADE)

    def ladder_alone() -> Callable[[], None]:
        return played(FlowPlayer(assigned_ids=True), flow, events)

    def whole_path() -> Callable[[], None]:
        return _played(ready(exchange), rows, events, trades)

    ladder, path = in_turn(rows.size, runs, ladder_alone, whole_path)
    return traded, ladder, path


def _played(path: TradingPath, rows: type_of_rows, events: type_of_rows, trades: type_of_rows) -> Callable[[], None]:
    def play() -> None:
        for _ in path.play(rows, events, trades):
            pass

    return play


def _check(name: str, exchange: Exchange, rows: type_of_rows) -> int:
    """Play a flow in small batches and in one: the same is said, and all that must hold does. Trades there were."""
    whole, cut = copy.copy(exchange), copy.copy(exchange)
    whole.path, cut.path = ready(exchange), ready(exchange)
    events, trades = whole.path.run(rows)
    parts = [cut.path.run(rows[start : start + 1000]) for start in range(0, rows.size, 1000)]
    if not (joined([part for part, _ in parts]) == events).all() or cut.digest() != whole.digest():
        raise WrongAnswer(f"{name}: how a flow is cut into batches changes what happens")
    if np.isin(events["kind"], EventKind.REFUSED).any():
        raise WrongAnswer(f"{name}: an order of the flow was refused")
    whole.unsettled_trades = [trades]
    invariants.check(whole)
    return int(trades.size)
