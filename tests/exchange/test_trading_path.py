"""The compiled trading path against its plain twin: every event in order, every trade, every holding.

Histories are random: every type of order and time in force, in every phase, with terms that contradict one
another, prices far apart and arrays that start too small. `make explore` looks for new ones for as long as
you like; a failure prints the shortest history it found as Python text, and the line that replays it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st

from exchange import invariants
from exchange.commands import (
    BreakSession,
    CloseSession,
    Command,
    Control,
    DepositCash,
    HaltTrading,
    IssueUnits,
    ListInstrument,
    OpenAccount,
    OpenCall,
    OpenDay,
    RegisterCurrency,
    ResumeTrading,
    SettleDay,
    StartTrading,
    TransferUnits,
    control,
    day_number,
)
from exchange.desk import WAITING
from exchange.engine import Engine
from exchange.events import SessionClosed
from exchange.journal import MemoryJournal
from exchange.reasons import Reason
from exchange.rows import COMMAND, CommandKind, EventKind
from exchange.rules import Fees, RuleSet, load_rule_set
from exchange.sessions import Phase
from exchange.trading import TradingPath
from exchange.transition import Outcome
from matching import ladder as book_of
from matching.book import Order
from matching.orders import EITHER_SIDE, OrderType, SelfTradePrevention, Side, TimeInForce
from registry import holdings
from registry.accounts import ParticipantClass, Right
from registry.rules import PositionRules
from registry.serials import Origin
from registry.units import Species
from tests import plain
from tests.conftest import EXAMPLES, HISTORIES

pytestmark = pytest.mark.kernels

FIRST_DAY = date(2025, 3, 3)
LONG_HISTORIES = 20 if EXAMPLES == 300 else 2
NOW_NS = 1_740_000_000_000_000_000
HOUSE = 1
FIRST_TRADER = 2  # accounts are numbered in the order of opening; 1 is the house
CLASSES = (ParticipantClass.COVERED_ENTERPRISE, ParticipantClass.INSTITUTION, ParticipantClass.INDIVIDUAL)  # in turn
CLOSE_TICKS = 20_000
VAST = 1 << 62

HUBEI = load_rule_set("hubei")
GENERIC = load_rule_set("generic")
# Fees of several classes, some lower, some higher for makers than for takers, and others from the second day on.
SECOND_DAY = FIRST_DAY + timedelta(1)
SOME_FEES = [
    Fees(FIRST_DAY, buyer="0.000333", seller="0.0125", maker_buyer="0.3", maker_seller="0"),
    Fees(FIRST_DAY, buyer="0.01", seller="0.004", maker_buyer="0.002", classes=["institution"]),
    Fees(SECOND_DAY, buyer="0.3", seller="0", maker_seller="0.000001", classes=["covered_enterprise", "institution"]),
    Fees(SECOND_DAY, buyer="0", seller="1", maker_buyer="0.007777", classes=["individual"]),
]
# Hubei as it was at first, for orders that outlive their day under a band.
EARLY = msgspec.structs.replace(
    HUBEI,
    name="early",
    carry_over=[],
    self_trade_prevention="allow",
    fees=[Fees(FIRST_DAY, buyer="0.005", seller="0.005", maker_buyer="0.0005", maker_seller="0.0011")],
)
# Nobody's market: all that the others leave out.
ODD = msgspec.structs.replace(
    HUBEI,
    name="odd",
    tick="0.05",
    lot=10,
    execution_prices=[msgspec.structs.replace(HUBEI.execution_prices[0], rule="seller_price")],
    carry_over=[],
    self_trade_prevention="decrement",
    proceeds_usable_same_day=False,
    price_bands=[],
    fees=SOME_FEES,  # orders are carried over into the second day
)


# ---------------------------------------------------------------- a market and its twin


@dataclass(frozen=True)
class Setting:
    """How a market begins. Cash in fen of every currency, units in tonnes; `room` is for slots, ids, events at first.

    The second instrument is quoted in dollars.
    """

    region: RuleSet
    traders: int
    opening_ticks: tuple[int, ...]  # of each instrument; 0: by the rule set
    cash: int
    units: int
    room: tuple[int, int, int] = (1024, 4096, 8192)
    owners: int = 99  # beneficial owners, to whom the traders belong in turn
    limit: int | None = None  # of a position, tonnes; None: the region's own

    @property
    def rules(self) -> RuleSet:
        """The rules of the region, perhaps with another position limit."""
        if self.limit is None:
            return self.region
        positions = PositionRules(covered_beyond=self.limit, other=self.limit)
        return msgspec.structs.replace(self.region, positions=positions)

    def founding(self) -> Iterator[Control]:
        if len(self.opening_ticks) > 1:
            yield RegisterCurrency("USD")
        for number in range(FIRST_TRADER, FIRST_TRADER + self.traders):
            owner = f"Owner {number % self.owners}"
            yield OpenAccount(f"T{number}", f"Trader {number}", CLASSES[number % len(CLASSES)], owner)
            yield DepositCash(f"T{number}", self.cash)
            if len(self.opening_ticks) > 1:
                yield DepositCash(f"T{number}", self.cash, "USD")
        yield OpenAccount("V", "Verifier", ParticipantClass.VERIFIER)
        for instrument, opening in enumerate(self.opening_ticks, 1):
            terms = 2020 + instrument, opening or None, "USD" if instrument == 2 else ""
            yield ListInstrument(f"HBEA-{instrument}", Species.ALLOWANCE, *terms)
            for number in range(FIRST_TRADER, FIRST_TRADER + self.traders):
                yield IssueUnits(f"T{number}", f"HBEA-{instrument}", self.units, Origin.FREE)
                yield TransferUnits(f"T{number}", f"HBEA-{instrument}", self.units, to_trading=True)
        yield OpenDay(FIRST_DAY)
        yield StartTrading()

    def engine(self) -> Engine:
        engine = Engine(MemoryJournal())
        engine.exchange.path = TradingPath(*self.room)
        for _ in engine.open(self.rules, NOW_NS):
            pass
        outcome = engine.submit([control(command) for command in self.founding()], NOW_NS)[1]
        assert not [event for event in outcome.events.values() if hasattr(event, "reason")]
        return engine


class Twins:
    """The exchange and the plain exchange, told the same and asked whether they agree."""

    def __init__(self, setting: Setting) -> None:
        self.engine = setting.engine()
        self.exchange = self.engine.exchange
        may_trade = {account.number: account.may(Right.TRADE) for account in self.exchange.accounts}
        group = {account.number: account.group for account in self.exchange.accounts}
        classes = {account.number: account.participant_class for account in self.exchange.accounts}
        assets = {listed.number: (listed.unit, listed.cash) for listed in self.exchange.instruments}
        self.plain = plain.PlainExchange(setting.rules, may_trade, HOUSE, group, classes, assets)
        for number in range(FIRST_TRADER, FIRST_TRADER + setting.traders):
            for currency in self.exchange.currencies.values():
                self.plain.balances[number, currency].available = setting.cash
            for unit in self.exchange.units:
                self.plain.balances[number, unit.number].available = setting.units
        self.day = FIRST_DAY
        self.plain.open_day(self.day, {listed.number: listed.close_ticks for listed in self.exchange.instruments})
        self.plain.phase = Phase.CONTINUOUS
        self.said: Counter[str] = Counter()
        self.agree()

    def apply(self, step: "Step") -> None:
        if isinstance(step, Command):
            # The market is at work in most of a history, or there would be little to compare.
            if self.exchange.sequence % 4 == 0 and self.plain.phase != Phase.CALL:
                self.start()
                self.resume()
            self.trade(step)
        else:
            {
                "next day": self.next_day,
                "call": self.call,
                "start": self.start,
                "break": self.pause,
                "halt": self.halt,
                "resume": self.resume,
            }[step]()
            invariants.check(self.exchange)
        self.agree()

    def submit(self, *commands: Command) -> Outcome:
        return self.engine.submit(commands, NOW_NS)[1]

    def control(self, command: Control, *expected: tuple[list[plain.Event], list[plain.Trade]]) -> Outcome:
        """A command that both can follow, and what it must say and trade."""
        outcome = self.submit(control(command))
        events = [event for said, _ in expected for event in said]
        assert outcome.rows.tolist() == events
        assert outcome.trades.tolist() == [trade for _, trades in expected for trade in trades]
        self.count(events)
        return outcome

    def trade(self, command: Command) -> None:
        row = command.row.copy()
        live = self.plain.live()
        if row.account == OWNER and live:
            meant = live[row.order_id % len(live)]
            row.order_id, row.account = meant.order_id, meant.account
            command = Command(row.tobytes())
        row.sequence, row.now_ns = self.sequence, NOW_NS
        before = self.exchange.digest() if self.sequence % 4 == 0 else ""  # it takes as long as all the rest
        outcome = self.submit(command)
        events, trades = self.plain.apply(plain.Command(*row.item()))
        assert outcome.rows.tolist() == events
        assert outcome.trades.tolist() == trades
        if events[0].kind in (EventKind.REFUSED, EventKind.CANCEL_REFUSED, EventKind.AMEND_REFUSED):
            assert len(events) == 1
            assert not before or self.exchange.digest() == before, "a refusal changed something"
        self.count(events)

    @property
    def sequence(self) -> int:
        """Of the next command."""
        return self.exchange.sequence + 1

    def count(self, events: list[plain.Event]) -> None:
        for said in events:
            reason = Reason(said.reason)
            self.said[EventKind(said.kind).label + (f": {reason.code}" if reason else "")] += 1

    # -- phases

    def call(self) -> None:
        if self.plain.phase in (Phase.PRE_OPEN, Phase.BREAK, Phase.CONTINUOUS):
            self.plain.phase = Phase.CALL
            self.control(OpenCall())

    def start(self) -> None:
        if self.plain.phase in (Phase.PRE_OPEN, Phase.BREAK, Phase.CALL):
            self.plain.phase = Phase.CONTINUOUS
            trading = [number for number in self.plain.listings if number not in self.plain.halted]
            self.control(StartTrading(), *self.uncrossed(trading))

    def uncrossed(self, numbers: list[int], triggers: bool = True) -> list[tuple[list[plain.Event], list[plain.Trade]]]:
        return [self.plain.uncross(self.sequence, NOW_NS, number, triggers) for number in numbers]

    def pause(self) -> None:
        if self.plain.phase == Phase.CONTINUOUS:
            self.plain.phase = Phase.BREAK
            self.control(BreakSession())

    def halt(self) -> None:
        if 1 not in self.plain.halted:
            self.plain.halted.add(1)
            self.control(HaltTrading("a rumour", "HBEA-1"))

    def resume(self) -> None:
        if 1 in self.plain.halted:
            self.plain.halted.remove(1)
            resumed = [1] if self.plain.phase == Phase.CONTINUOUS else []
            self.control(ResumeTrading("denied", "HBEA-1"), *self.uncrossed(resumed))

    def next_day(self) -> None:
        """Close, settle, open the next day."""
        called = [number for number in self.plain.listings if self.plain.phase_of(number) == Phase.CALL]
        uncrossed = self.uncrossed(called, triggers=False)
        expired = self.plain.expire(self.sequence), []
        outcome = self.control(CloseSession(), *uncrossed, expired)
        closed = outcome.events[self.exchange.sequence]
        assert isinstance(closed, SessionClosed)
        self.plain.phase = Phase.CLOSED
        self.agree()
        self.control(SettleDay())
        self.plain.settle()
        self.agree()
        self.day += timedelta(days=1 + self.exchange.sequence % 3)  # some last days pass while the market is closed
        carried = self.plain.open_day(self.day, closed.closes_ticks, self.sequence)
        self.control(OpenDay(self.day), (carried, []))
        self.plain.phase = Phase.PRE_OPEN
        self.agree()
        self.start()

    def agree(self) -> None:
        """Assert equal holdings and books, and that every structure is sound."""
        desk = self.exchange.path.desk
        assert self.exchange.phase == self.plain.phase
        assets = len(self.exchange.asset_names)
        for account, held in enumerate(desk.balances.tolist()):
            for asset, (available, reserved, incoming, *_, unsettled) in enumerate(held[:assets]):
                expected = self.plain.balances[account, asset]
                assert available == expected.available, (account, asset)
                assert reserved == expected.reserved, (account, asset)
                assert incoming == expected.incoming, (account, asset)
                assert unsettled == expected.unsettled, (account, asset)
        for number, listing in self.plain.listings.items():
            instrument, book = desk.instruments[number], listing.book
            assert instrument.last_ticks == book.last_ticks
            assert instrument.phase == self.plain.phase_of(number)
            found = [
                (int(row.order_id), int(row.shown), int(row.hidden), bool(row.terms & WAITING))
                for row in book_of.orders_of(desk.ladder, number)
            ]
            waiting = sorted(book.waiting(), key=lambda order: order.side, reverse=True)  # sell stops come first
            assert found == [self.place_of(order) for order in (*book.resting(), *waiting)]
            book.check(may_be_crossed=instrument.phase != Phase.CONTINUOUS)
        book_of.check(desk.ladder)
        holdings.check(desk.balances)

    @staticmethod
    def place_of(order: Order) -> tuple[int, int, int, bool]:
        hidden = 0 if order.waits else order.leaves - order.shown
        return order.order_id, order.leaves - hidden, hidden, order.waits


# ---------------------------------------------------------------- random histories

NEXT_DAY = "next day"
OWNER = 2**32 - 2  # of an amend or cancel: whoever placed the order; its id counts the live orders
PHASES = [NEXT_DAY, "call", "start", "start", "start", "break", "halt", "resume", "resume", "resume"]
Step = Command | str


def order(**fields: int) -> Command:
    """A row as it might reach the exchange; fields as in `exchange.rows.COMMAND`."""
    row = np.zeros(1, COMMAND)[0]
    for name, value in fields.items():
        row[name] = value
    return Command(row.tobytes())


def place(account: int, side: Side, price_ticks: int, quantity: int, instrument: int = 1, **terms: int) -> Command:
    given = {"time_in_force": TimeInForce.DAY, **terms}
    return order(
        kind=CommandKind.PLACE_ORDER,
        account=account,
        instrument=instrument,
        side=side,
        price_ticks=price_ticks,
        quantity=quantity,
        **given,
    )


@st.composite
def settings_of_markets(draw: st.DrawFn) -> Setting:
    rules = draw(st.sampled_from([HUBEI, GENERIC, ODD, EARLY]))
    openings = st.sampled_from([CLOSE_TICKS] if rules.price_bands else [CLOSE_TICKS, 0])
    opening_ticks = tuple(draw(st.lists(openings, min_size=1, max_size=2)))
    units = draw(st.sampled_from([60, 500])) * rules.lot
    room_to_buy = draw(st.sampled_from([None, None, None, -1, 0, 12, 40]))
    return Setting(
        rules,
        traders=draw(st.integers(2, 4)),
        opening_ticks=opening_ticks,
        cash=draw(st.sampled_from([4_000_000, 20_000_000, 1 << 50])),
        units=units,
        room=draw(st.sampled_from([(1, 1, 4), (2, 3, 8), (1024, 4096, 8192)])),
        owners=draw(st.sampled_from([2, 3, 99])),
        limit=None if room_to_buy is None else units * len(opening_ticks) + room_to_buy * rules.lot,
    )


def often(*weighed: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of some strategies, each as often as its weight says; `one_of` forgets what it is given twice."""
    return st.sampled_from([strategy for weight, strategy in weighed for _ in range(weight)]).flatmap(lambda one: one)


def mostly(usual: st.SearchStrategy[int], *odd: int) -> st.SearchStrategy[int]:
    """A usual value, and once in a while one that should be refused."""
    return st.integers(0, 49).flatmap(lambda one_in: st.sampled_from(odd) if one_in == 7 else usual)


NEAR = st.integers(CLOSE_TICKS - 3, CLOSE_TICKS + 3)
FAR = st.one_of(st.integers(1, 3 * CLOSE_TICKS), st.sampled_from([18_000, 22_000, 17_999, 22_001]))
PRICES = mostly(often((12, NEAR), (1, FAR)), 0, -1, -VAST, 10**12, VAST, VAST + 1, 2**63 - 1, book_of.REACH_TICKS)
STOPS = mostly(often((12, NEAR), (1, FAR)), 0, -1, 2**31 - 1, -(2**31))
SHORT, LONG = st.sampled_from([2, 3]), st.sampled_from([0, 1, 1, 1, 1, 1, 4])  # times in force
ORDER_IDS = mostly(st.integers(1, 14), 0, -1, 4097, VAST, -VAST)


QUANTITIES = {
    lot: mostly(st.integers(1, 12).map(lambda lots, lot=lot: lots * lot), 0, -1, -VAST, 7, VAST, 2**63 - 1)
    for lot in (1, 10)
}
SLICES = {lot: mostly(st.integers(1, 3).map(lambda lots, lot=lot: lots * lot), -1, 7, 2**31 - 1) for lot in (1, 10)}
ANY_LIFE = often((4, LONG), (1, SHORT))
KINDS = st.sampled_from(["limit"] * 6 + ["iceberg", "post-only", "market", "stop"] * 2 + ["stop-limit"] * 3)
PREVENTIONS = mostly(st.sampled_from([0, 0, 1, 2, 3, 4]), 5, 255)
LAST_DAYS = mostly(st.integers(0, 3), -1).map(lambda days: day_number(FIRST_DAY) + days)
ODD_TERMS = st.tuples(
    st.sampled_from(["order_type", "time_in_force", "post_only", "last_day", "display_quantity", "stop_ticks"]),
    st.integers(0, 6),
)
SIDES = mostly(st.integers(0, 1), 2, 255)
STOPS_AWAY = st.integers(0, 4)  # ticks from where the market began; 0: anywhere
IN_BATCH = mostly(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2]), 3)
ONE_IN_THIRTY = st.integers(0, 30).map(lambda number: number == 7)


@st.composite
def terms(draw: st.DrawFn, lot: int) -> dict[str, int]:
    """The terms of an order that fit together, one of them at times replaced by something odd."""
    kind, side = draw(KINDS), draw(SIDES)
    found = {"side": side, "order_type": 0, "price_ticks": draw(PRICES), "self_trade": draw(PREVENTIONS)}
    found["time_in_force"] = draw(ANY_LIFE if kind == "limit" else SHORT if kind == "market" else LONG)
    if kind == "iceberg":
        found["display_quantity"] = draw(SLICES[lot])
    elif kind == "post-only":
        found["post_only"] = 1
    elif kind == "market":
        found |= {"order_type": OrderType.MARKET, "price_ticks": 0}
    elif kind == "stop":
        found |= {"order_type": OrderType.STOP, "time_in_force": 1, "price_ticks": 0}
    elif kind == "stop-limit":
        found |= {"order_type": OrderType.STOP_LIMIT}
    if kind in ("stop", "stop-limit"):
        away = draw(STOPS_AWAY)
        found["stop_ticks"] = draw(STOPS) if away == 0 else CLOSE_TICKS + (away if side == Side.BUY else -away)
    if found["time_in_force"] == TimeInForce.GTD:
        found["last_day"] = draw(LAST_DAYS)
    if draw(ONE_IN_THIRTY):
        name, value = draw(ODD_TERMS)
        found[name] = value
    return found


@cache
def steps(lot: int, traders: int, listed: int) -> st.SearchStrategy[Step]:
    """What may happen in a market with so many traders and instruments."""
    last = FIRST_TRADER + traders - 1
    accounts = mostly(st.integers(FIRST_TRADER, last), 0, HOUSE, last + 1, last + 2, 2**32 - 1)
    owners = often((5, st.just(OWNER)), (1, accounts))
    placed = st.builds(
        lambda fields, terms: order(kind=CommandKind.PLACE_ORDER, **fields, **terms),
        st.fixed_dictionaries(
            {
                "account": accounts,
                "instrument": mostly(st.integers(1, listed), 0, 3, 2**16 - 1),
                "quantity": QUANTITIES[lot],
                "batch": IN_BATCH,
            }
        ),
        terms(lot),
    )
    amended = st.builds(
        order,
        kind=st.just(CommandKind.AMEND_ORDER),
        account=owners,
        order_id=ORDER_IDS,
        price_ticks=often((5, PRICES), (1, st.just(0))),
        quantity=QUANTITIES[lot],
        stop_ticks=often((4, st.just(0)), (1, STOPS)),
        side=st.integers(0, 3),  # what an amend or a cancel says besides means nothing
    )
    cancelled = st.builds(
        order,
        kind=st.just(CommandKind.CANCEL_ORDER),
        account=owners,
        order_id=ORDER_IDS,
        instrument=st.integers(0, 3),
        price_ticks=st.sampled_from([0, CLOSE_TICKS]),
    )
    mass = st.builds(
        order,
        kind=mostly(st.just(CommandKind.CANCEL_ORDERS), 7, 255),
        account=often((3, accounts), (1, st.just(0))),
        instrument=mostly(st.integers(0, 1), 2, 2**16 - 1),
        side=mostly(st.sampled_from([0, 1, EITHER_SIDE, EITHER_SIDE]), 3),
        batch=IN_BATCH,
    )
    return often((30, placed), (6, amended), (4, cancelled), (1, mass), (4, st.sampled_from(PHASES)))


@st.composite
def histories(draw: st.DrawFn) -> tuple[Setting, list[Step]]:
    setting = draw(settings_of_markets())
    likely = steps(setting.rules.lot, setting.traders, len(setting.opening_ticks))
    return setting, draw(st.lists(likely, min_size=8, max_size=18))


def told(setting: Setting, taken: list[Step]) -> str:
    """A history as Python text that plays it again."""
    lines = []
    for step in taken:
        if isinstance(step, str):
            lines.append(f"    {step!r},")
        else:
            fields = ", ".join(f"{name}={step.row[name]}" for name in COMMAND.names or () if step.row[name])
            lines.append(f"    order({fields}),")
    names = {
        id(rules): name for name, rules in (("HUBEI", HUBEI), ("GENERIC", GENERIC), ("ODD", ODD), ("EARLY", EARLY))
    }
    rules = names[id(setting.region)]
    fields = ", ".join(f"{name}={getattr(setting, name)!r}" for name in list(Setting.__dataclass_fields__)[1:])
    return "\n".join(["play(", f"    Setting({rules}, {fields}),", *lines, ")"])


def play(setting: Setting, *taken: Step) -> Twins:
    """Tell both exchanges a history, asking after each step whether they agree."""
    twins = Twins(setting)
    for step in taken:
        twins.apply(step)
    invariants.check(twins.exchange)
    return twins


@settings(max_examples=HISTORIES)
@given(histories())
def test_the_compiled_path_and_its_plain_twin_say_and_hold_the_same(history: tuple[Setting, list[Step]]) -> None:
    setting, taken = history
    note(told(setting, taken))
    for said in play(setting, *taken).said:
        event(said)


@given(histories(), st.lists(st.integers(1, 7), max_size=20))
def test_how_commands_are_cut_into_batches_changes_nothing(
    history: tuple[Setting, list[Step]], sizes: list[int]
) -> None:
    setting, taken = history
    one_day = [step for step in taken if not isinstance(step, str)]
    commands = [*one_day, control(CloseSession()), control(SettleDay())]

    def outcome_of(sizes: list[int]) -> tuple[Engine, list[tuple[int, ...]], list[tuple[int, ...]]]:
        engine, start, events, trades = setting.engine(), 0, [], []
        for size in [*sizes, len(commands)]:
            outcome = engine.submit(commands[start : start + size], NOW_NS)[1]
            events += outcome.rows.tolist()
            trades += outcome.trades.tolist()
            start += size
        return engine, events, trades

    singly = outcome_of([1] * len(commands))
    for cut in ([], sizes):
        engine, events, trades = outcome_of(cut)
        assert (events, trades) == singly[1:]
        assert engine.exchange.digest() == singly[0].exchange.digest()
        again = Engine(engine.journal)
        for _ in again.open(setting.rules, NOW_NS):
            pass
        assert again.exchange.digest() == engine.exchange.digest(), "the journal replays to something else"


# ---------------------------------------------------------------- long histories


def likely_step(random: Random, traders: int) -> Step:
    """A step of a busy market: nothing odd, orders that meet, stops within reach, icebergs, every phase."""
    fate = random.random()
    if fate < 0.02:
        return random.choice(PHASES)
    if fate < 0.20:
        kind = random.choice([CommandKind.CANCEL_ORDER, CommandKind.AMEND_ORDER])
        price_ticks = CLOSE_TICKS + random.randint(-4, 4)
        fields = {"price_ticks": price_ticks, "quantity": random.randint(1, 9) * 10}
        return order(kind=kind, account=OWNER, order_id=random.randint(0, 99), **fields)
    side = random.choice(list(Side))
    away = random.randint(-1, 5)
    found = {"time_in_force": random.choice([0, 1, 1, 1, 2, 3]), "self_trade": random.randint(0, 4)}
    price_ticks = CLOSE_TICKS - away if side == Side.BUY else CLOSE_TICKS + away
    if fate < 0.35:
        found |= {"display_quantity": 10, "time_in_force": 1}
    elif fate < 0.45:
        stop_ticks = CLOSE_TICKS + (1 if side == Side.BUY else -1) * random.randint(1, 5)
        found |= {"order_type": OrderType.STOP_LIMIT, "stop_ticks": stop_ticks, "time_in_force": 1}
        price_ticks = stop_ticks + (1 if side == Side.BUY else -1) * random.randint(0, 3)
    elif fate < 0.50:
        found |= {"order_type": OrderType.MARKET, "time_in_force": random.choice([2, 3])}
        price_ticks = 0
    account = FIRST_TRADER + random.randrange(traders)
    return place(account, side, price_ticks, random.randint(1, 9) * 10, random.randint(1, 2), **found)


@pytest.mark.parametrize("seed", range(LONG_HISTORIES))
def test_long_histories_of_a_busy_market_and_its_plain_twin(seed: int) -> None:
    random = Random(seed)
    rules = random.choice([GENERIC, ODD, EARLY])
    setting = Setting(rules, 6, (CLOSE_TICKS, CLOSE_TICKS), 1 << 50, 10_000, room=(1, 1, 4), owners=4)
    twins = Twins(setting)
    for _ in range(300):
        twins.apply(likely_step(random, setting.traders))
    invariants.check(twins.exchange)
    for word in ("traded", "refreshed", "prevented: self_trade", "amended"):
        assert twins.said[word], f"{word}: a market less busy than it was meant to be"


# ---------------------------------------------------------------- histories worth telling

TWO_TRADERS = Setting(GENERIC, traders=2, opening_ticks=(0,), cash=1 << 50, units=1000)
ANNE, BEN = FIRST_TRADER, FIRST_TRADER + 1


def last_events(twins: Twins) -> list[tuple[EventKind, Reason]]:
    return [(EventKind(said.kind), Reason(said.reason)) for said in twins.plain.events]


def test_an_order_that_sweeps_hundreds_of_others_finds_room_for_everything_it_says() -> None:
    setting = Setting(GENERIC, 2, (CLOSE_TICKS,), 1 << 50, 1000, room=(1, 1, 4))
    twins = Twins(setting)
    makers = [place(ANNE, Side.SELL, CLOSE_TICKS + number % 7, 2, display_quantity=number % 2) for number in range(400)]
    for command in makers:
        row = command.row.copy()
        row.sequence, row.now_ns = twins.sequence, NOW_NS
        assert twins.submit(command).rows.tolist() == twins.plain.apply(plain.Command(*row.item()))[0]
    twins.apply(place(BEN, Side.BUY, CLOSE_TICKS + 7, 900))
    assert len(twins.plain.trades) == 600  # icebergs show their two tonnes one by one


def test_who_chooses_nothing_does_not_trade_with_themselves() -> None:
    twins = play(TWO_TRADERS, place(ANNE, Side.SELL, CLOSE_TICKS, 10), place(ANNE, Side.BUY, CLOSE_TICKS, 10))
    assert last_events(twins)[1:] == [(EventKind.PREVENTED, Reason.SELF_TRADE)]


def test_one_may_trade_with_oneself_where_the_rules_allow_it_and_the_day_still_settles() -> None:
    allowing = msgspec.structs.replace(GENERIC, self_trade_prevention="allow")
    twins = play(
        Setting(allowing, traders=2, opening_ticks=(0,), cash=1 << 50, units=1000),
        place(BEN, Side.SELL, CLOSE_TICKS, 10),
        place(ANNE, Side.BUY, CLOSE_TICKS, 10),
        NEXT_DAY,  # Anne has title to never-traded units and, behind them, to traded ones
        place(ANNE, Side.SELL, CLOSE_TICKS, 1005),
        place(ANNE, Side.BUY, CLOSE_TICKS, 1005),
        NEXT_DAY,
    )
    assert not twins.plain.owed


def test_prices_of_a_side_reach_so_far_from_one_another_and_no_further() -> None:
    reach = book_of.REACH_TICKS
    twins = Twins(Setting(GENERIC, traders=2, opening_ticks=(0,), cash=1 << 50, units=1000))
    for side, price_ticks, answer in (
        (Side.SELL, 3 * reach, (EventKind.ACCEPTED, Reason.NONE)),  # the first sell order may ask anything
        (Side.SELL, 4 * reach - 1, (EventKind.ACCEPTED, Reason.NONE)),
        (Side.SELL, 4 * reach, (EventKind.REFUSED, Reason.PRICE_OUT_OF_RANGE)),
        (Side.SELL, 3 * reach - 1, (EventKind.REFUSED, Reason.PRICE_OUT_OF_RANGE)),
        (Side.BUY, 7, (EventKind.ACCEPTED, Reason.NONE)),  # the other side is free to bid what it likes
    ):
        twins.apply(place(ANNE, side, price_ticks, 1))
        assert last_events(twins) == [answer]
    twins.apply(place(BEN, Side.BUY, reach, 1))
    twins.apply(place(BEN, Side.BUY, reach + 7, 1))
    assert last_events(twins) == [(EventKind.REFUSED, Reason.PRICE_OUT_OF_RANGE)]


def test_a_mad_price_is_out_of_the_way_as_soon_as_its_order_is_gone() -> None:
    twins = Twins(TWO_TRADERS)
    twins.apply(place(ANNE, Side.SELL, 10**10, 1))
    twins.apply(place(ANNE, Side.SELL, CLOSE_TICKS, 1))
    assert last_events(twins) == [(EventKind.REFUSED, Reason.PRICE_OUT_OF_RANGE)]
    twins.apply(order(kind=CommandKind.CANCEL_ORDER, account=ANNE, order_id=1))
    twins.apply(place(ANNE, Side.SELL, CLOSE_TICKS, 1))
    twins.apply(place(BEN, Side.BUY, CLOSE_TICKS, 1))
    assert len(twins.plain.trades) == 1


def test_a_cascade_of_stops_and_icebergs_over_both_sides() -> None:
    def stop(side: Side, stop_ticks: int, quantity: int, account: int = BEN) -> Command:
        return place(account, side, 0, quantity, order_type=OrderType.STOP, stop_ticks=stop_ticks)

    setting = Setting(HUBEI, 4, (CLOSE_TICKS,), 1 << 50, 1000, room=(1, 1, 4))
    third, fourth = ANNE + 2, ANNE + 3
    twins = play(
        setting,
        *(place(ANNE, Side.SELL, CLOSE_TICKS + up, 6, display_quantity=2) for up in (1, 2, 3, 4)),
        *(place(third, Side.BUY, CLOSE_TICKS - down, 6, display_quantity=4) for down in (1, 2, 3)),
        stop(Side.BUY, CLOSE_TICKS + 2, 5),
        stop(Side.BUY, CLOSE_TICKS + 1, 5),
        stop(Side.BUY, CLOSE_TICKS + 1, 3, fourth),
        stop(Side.SELL, CLOSE_TICKS - 2, 5),
        stop(Side.SELL, CLOSE_TICKS - 1, 5, fourth),
        place(fourth, Side.BUY, CLOSE_TICKS + 1, 1),
        place(fourth, Side.SELL, CLOSE_TICKS - 1, 1),
    )
    assert twins.said["triggered"] >= 3
    assert twins.said["refreshed"] >= 3


SELF_TRADES = [mode for mode in SelfTradePrevention if mode]


@pytest.mark.parametrize("mode", SELF_TRADES)
@pytest.mark.parametrize("lives", [TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK])
@pytest.mark.parametrize("quantity", [3, 12, 17, 30, 40])
def test_every_way_to_keep_two_accounts_of_one_owner_apart(mode, lives, quantity) -> None:
    play(
        Setting(GENERIC, 3, (CLOSE_TICKS,), 1 << 50, 1000, owners=2),  # the first and the third are one
        place(BEN, Side.SELL, CLOSE_TICKS, 8, display_quantity=3),
        place(ANNE, Side.SELL, CLOSE_TICKS, 12, display_quantity=5),
        place(BEN, Side.SELL, CLOSE_TICKS + 1, 15),
        place(ANNE + 2, Side.BUY, CLOSE_TICKS + 1, quantity, self_trade=mode, time_in_force=lives),
    )
