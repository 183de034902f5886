"""The scenario `market`: a seeded day of random orders on the real engine, under a rule set with keys changed.

Participants begin with the same cash and tonnes. In each of 48 intervals of five minutes the value that orders lie
about moves by a normal step (`swing`, as a share); of an interval's messages nearly one in six cancels an order that
came before, one in six is immediate-or-cancel and goes through the value, the others lie mostly behind it. The market
refuses what its rules do not allow: prices beyond the band, what is not covered. The day is closed and settled.

The orders of a seed are the same whatever the rules, so runs of one seed are pairs. (Cancels name orders that the
market accepted: where it refuses another order, they name others.)

- volatility: realised, the root of the sum of squared log returns from interval to interval (Andersen & Bollerslev,
  International Economic Review 39, 1998), of the last price in each; 0 with fewer than two intervals that traded.
- gross and net: fen that all payers would pay trade by trade, fees among them, and if each paid its balance;
  efficiency = 1 - net / gross. What the settlement mode truly moved is in `cash_moved` and `units_moved`.
"""

import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from exchange.commands import (
    BreakSession,
    CloseSession,
    Control,
    DepositCash,
    IssueUnits,
    ListInstrument,
    OpenAccount,
    OpenDay,
    SettleDay,
    StartTrading,
    TransferUnits,
    control,
)
from exchange.engine import Engine
from exchange.events import CommandRefused
from exchange.invariants import check
from exchange.journal import Journal, MemoryJournal, SqliteJournal
from exchange.reasons import Reason
from exchange.rows import COMMAND, TRADE, CommandKind, EventKind, joined, type_of_rows
from exchange.rules import RuleSet
from exchange.sessions import moment_ns
from matching.orders import Side, TimeInForce
from registry.accounts import ParticipantClass
from registry.holdings import CASH
from registry.serials import Origin
from registry.units import Species
from settlement.batch import Amounts
from simulation.studies.overrides import overridden

DAY = date(2026, 1, 5)  # a Monday, the first trading day of 2026
SYMBOL = "HBEA-2025"
OPENING_TICKS = 4_200
INTERVALS = 48  # of five minutes, in two sessions
INTERVAL_NS = 300 * 1_000_000_000
_NOTHING = Amounts(0, 0, 0)
CASH_EACH, TONNES_EACH = 50_000_000, 10_000  # fen, tonnes


class MarketDay(NamedTuple):
    """What came of a day."""

    trades: int
    volume: int  # tonnes
    turnover: int  # fen
    vwap: float | None  # ticks; none without a trade
    close: int  # ticks
    volatility: float
    accepted: int
    refused: int
    refused_by_reason: str  # JSON, reasons by name
    fees: int  # fen
    gross: int  # fen
    net: int  # fen
    efficiency: float
    cash_moved: int  # fen
    units_moved: int  # tonnes
    state: str  # digest of the exchange in the end


def market(
    seed: int,
    base: str = "hubei",
    orders: int = 2000,
    participants: int = 20,
    swing: float = 0.01,
    rules: dict[str, str | int | bool] | None = None,
) -> MarketDay:
    """Play a day. `rules` are changed keys of the rule set `base`; `swing` is the value's step in five minutes."""
    return _played(MemoryJournal(), seed, base, orders, participants, swing, rules or {})


def write_day(
    file: Path, seed: int, base: str = "hubei", orders: int = 2000, participants: int = 20, swing: float = 0.01
) -> MarketDay:
    """Play such a day into a journal's file that is still to be made, as a day of an exchange to try things on."""
    if file.exists():
        raise ValueError(f"{file} exists")
    journal = SqliteJournal(file, durable=False)
    try:
        return _played(journal, seed, base, orders, participants, swing, {})
    finally:
        journal.close()


def _played(
    journal: Journal,
    seed: int,
    base: str,
    orders: int,
    participants: int,
    swing: float,
    rules: dict[str, str | int | bool],
) -> MarketDay:
    if orders < 1 or participants < 2 or not 0 <= swing <= 1:
        raise ValueError("a day needs an order, two participants and a swing from 0 to 1")
    day = _Day(overridden(base, rules, DAY), participants, journal)
    flow = _Flow(seed, orders, participants, swing)
    for interval in range(INTERVALS):
        if interval in (0, INTERVALS // 2):
            day.do(StartTrading())
        day.trade(flow.messages(interval, day))
        if interval == INTERVALS // 2 - 1:
            day.do(BreakSession())
    day.do(CloseSession())
    day.do(SettleDay())
    check(day.engine.exchange)
    return day.figures()


class _Day:
    """An exchange, and what happened on it."""

    def __init__(self, rules: RuleSet, participants: int, journal: Journal) -> None:
        self.engine = Engine(journal)
        self.now_ns = moment_ns(rules, DAY, "00:00")
        for _ in self.engine.open(rules, self.now_ns):
            pass
        self.do(ListInstrument(SYMBOL, Species.ALLOWANCE, 2025, OPENING_TICKS))
        self.first = len(self.engine.exchange.accounts) + 1  # number of the first participant
        for number in range(1, participants + 1):
            name = f"P{number:04}"
            self.do(OpenAccount(name, name, ParticipantClass.INSTITUTION))
            self.do(DepositCash(name, CASH_EACH))
            self.do(IssueUnits(name, SYMBOL, TONNES_EACH, Origin.FREE))
            self.do(TransferUnits(name, SYMBOL, TONNES_EACH, to_trading=True))
        self.now_ns = moment_ns(rules, DAY, rules.pre_open)
        self.do(OpenDay(DAY))
        self.resting: list[tuple[int, int]] = []  # (account, order id) accepted so far
        self.trades: list[type_of_rows] = [np.zeros(0, TRADE)]
        self.lasts: list[int] = []  # the last price of each interval that traded, ticks
        self.accepted = 0
        self.refused: Counter[str] = Counter()

    def do(self, command: Control) -> None:
        """A command that must be taken."""
        self.now_ns += 1
        _, outcome = self.engine.submit([control(command)], self.now_ns)
        for event in outcome.events.values():
            if isinstance(event, CommandRefused):
                raise ValueError(f"{type(command).__name__} was refused: {event.reason.code}: {event.detail}")

    def trade(self, rows: type_of_rows) -> None:
        """The messages of an interval."""
        self.now_ns += INTERVAL_NS
        if not rows.size:
            return
        events, trades = self.engine.submit_rows(rows, self.now_ns)
        kinds = events["kind"]
        accepted = events[kinds == EventKind.ACCEPTED]
        self.accepted += accepted.size
        self.resting += zip(accepted["account"].tolist(), accepted["order_id"].tolist(), strict=True)
        is_refused = (kinds == EventKind.REFUSED) | (kinds == EventKind.CANCEL_REFUSED)
        self.refused.update(Reason(code).code for code in events["reason"][is_refused].tolist())
        if trades.size:
            self.trades.append(trades.copy())
            self.lasts.append(int(trades["price_ticks"][-1]))

    def figures(self) -> MarketDay:
        exchange, trades = self.engine.exchange, joined(self.trades)
        instrument = exchange.instruments.by_symbol[SYMBOL]
        ticks, volume = int((trades["price_ticks"] * trades["quantity"]).sum()), int(trades["quantity"].sum())
        report = exchange.clearing.batches[-1].report
        assert report is not None, "the day is settled"
        cash, units = report.cash.get(CASH, _NOTHING), report.units.get(instrument.unit, _NOTHING)
        returns = np.diff(np.log(np.array(self.lasts, float)))
        return MarketDay(
            trades=trades.size,
            volume=volume,
            turnover=ticks * exchange.market.fen_per_tick,
            vwap=ticks / volume if volume else None,
            close=instrument.close_ticks,
            volatility=float(np.sqrt((returns**2).sum())),
            accepted=self.accepted,
            refused=self.refused.total(),
            refused_by_reason=json.dumps(dict(sorted(self.refused.items()))),
            fees=report.fees.get(CASH, 0),
            gross=cash.gross,
            net=cash.net,
            efficiency=1 - cash.net / cash.gross if cash.gross else 0.0,
            cash_moved=cash.moved,
            units_moved=units.moved,
            state=exchange.digest(),
        )


class _Flow:
    """The messages of a seed. All is drawn beforehand, so that no rule can change what is drawn later."""

    def __init__(self, seed: int, orders: int, participants: int, swing: float) -> None:
        rng = np.random.default_rng([seed, orders, participants])
        self.values = OPENING_TICKS * np.exp(np.cumsum(rng.normal(0, swing, INTERVALS)))
        self.cuts = np.linspace(0, orders, INTERVALS + 1).astype(int)
        self.chance, self.which = rng.random(orders), rng.random(orders)
        self.who = rng.integers(0, participants, orders)
        self.side = rng.integers(0, 2, orders)
        self.away = rng.geometric(0.05, orders) - 4  # ticks behind the value; a few through it
        self.size = rng.integers(1, 100, orders)

    def messages(self, interval: int, day: _Day) -> type_of_rows:
        """COMMAND rows of an interval."""
        part = slice(self.cuts[interval], self.cuts[interval + 1])
        rows: Any = np.zeros(part.stop - part.start, COMMAND)
        is_taker = self.chance[part] < 1 / 6
        away = np.where(is_taker, -self.away[part], self.away[part])
        side = self.side[part]
        rows["kind"] = CommandKind.PLACE_ORDER
        rows["instrument"] = day.engine.exchange.instruments.by_symbol[SYMBOL].number
        rows["account"] = day.first + self.who[part]
        rows["side"] = side
        behind = np.where(side == Side.BUY, -away, away)
        rows["price_ticks"] = np.maximum(1, np.rint(self.values[interval] + behind).astype(np.int64))
        rows["quantity"] = self.size[part]
        rows["time_in_force"] = np.where(is_taker, TimeInForce.IOC, TimeInForce.DAY)
        if day.resting:
            for place in np.flatnonzero(self.chance[part] > 5 / 6).tolist():
                account, order_id = day.resting[int(self.which[part][place] * len(day.resting))]
                rows[place] = np.zeros(1, COMMAND)[0]
                rows[place]["kind"], rows[place]["account"] = CommandKind.CANCEL_ORDER, account
                rows[place]["order_id"] = order_id
        made: type_of_rows = rows
        return made
