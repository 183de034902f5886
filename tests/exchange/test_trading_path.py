"""The compiled trading path against its plain twin: every event in order, every trade, every holding.

Histories are random, with orders that must be refused, prices far apart and arrays that start too small.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from exchange import invariants
from exchange.commands import (
    BreakSession,
    CloseSession,
    Command,
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
from exchange.events import SessionClosed
from exchange.journal import MemoryJournal
from exchange.reasons import Reason
from exchange.rows import COMMAND, EVENT, TRADE, CommandKind, EventKind
from exchange.rules import RuleSet, load_rule_set
from exchange.sessions import Phase
from exchange.transition import Outcome
from matching import ladder as book_of
from matching.orders import Side, TimeInForce
from registry.accounts import ParticipantClass
from registry.serials import Origin
from registry.units import Species
from tests import plain

pytestmark = pytest.mark.kernels

FIRST_DAY = date(2025, 3, 3)
NOW_NS = 1_740_000_000_000_000_000
HOUSE = 1
FIRST_TRADER = 2  # accounts are numbered in the order of opening; 1 is the house
CLOSE_TICKS = 20_000
VAST = 1 << 62

HUBEI = load_rule_set("hubei")
GENERIC = load_rule_set("generic")
# Nobody's market: all that the other two leave out.
ODD = msgspec.structs.replace(
    HUBEI,
    name="odd",
    tick="0.05",
    lot=10,
    execution_price="maker",
    proceeds_usable_same_day=False,
    price_bands=[],
    fees=[msgspec.structs.replace(HUBEI.fees[0], buyer="0.000333", seller="0.0125")],
)


# ---------------------------------------------------------------- a market and its twin


@dataclass(frozen=True)
class Setting:
    """How a market begins. Cash in fen, units in tonnes; `room` is for slots, ids and events at first."""

    rules: RuleSet
    traders: int
    opening_ticks: tuple[int, ...]  # of each instrument; 0: by the rule set
    cash: int
    units: int
    room: tuple[int, int, int] = (1024, 4096, 8192)

    def founding(self) -> Iterator[Control]:
        for number in range(FIRST_TRADER, FIRST_TRADER + self.traders):
            yield OpenAccount(f"T{number}", f"Trader {number}", ParticipantClass.COVERED_ENTERPRISE)
            yield DepositCash(f"T{number}", self.cash)
        yield OpenAccount("V", "Verifier", ParticipantClass.VERIFIER)
        for instrument, opening in enumerate(self.opening_ticks, 1):
            yield ListInstrument(f"HBEA-{instrument}", Species.ALLOWANCE, 2020 + instrument, opening or None)
            for number in range(FIRST_TRADER, FIRST_TRADER + self.traders):
                yield IssueUnits(f"T{number}", f"HBEA-{instrument}", self.units, Origin.FREE)
                yield TransferUnits(f"T{number}", f"HBEA-{instrument}", self.units, to_trading=True)
        yield OpenDay(FIRST_DAY)
        yield StartTrading()

    def engine(self) -> Engine:
        engine = Engine(MemoryJournal())
        slots, ids, events = self.room
        path = engine.exchange.path
        path.desk = path.desk._replace(ladder=book_of.new_ladder(slots=slots, ids=ids))
        path._events, path._trades = np.zeros(events, EVENT), np.zeros(events // 2, TRADE)
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
        may_trade = {account.number: account.participant_class.may_trade for account in self.exchange.accounts}
        self.plain = plain.PlainExchange(setting.rules, may_trade, HOUSE)
        for number in range(FIRST_TRADER, FIRST_TRADER + setting.traders):
            self.plain.balances[number, plain.CASH].available = setting.cash
            for unit in self.exchange.units:
                self.plain.balances[number, unit.number].available = setting.units
        self.day = FIRST_DAY
        self.plain.open_day(self.day, {listed.number: listed.close_ticks for listed in self.exchange.instruments})
        self.plain.phase = Phase.CONTINUOUS
        self.said: Counter[str] = Counter()
        self.agree()

    def apply(self, step: "Step") -> None:
        if step == NEXT_DAY:
            self.next_day()
        elif step == PAUSE:
            self.pause()
        else:
            # The market is at work in most of a history, or there would be little to compare.
            if self.plain.phase == Phase.BREAK and self.exchange.sequence % 3 == 0:
                self.pause()
            self.trade(step)
        self.agree()

    def submit(self, *commands: Command) -> Outcome:
        return self.engine.submit(commands, NOW_NS)[1]

    def trade(self, command: Command) -> None:
        row = command.row.copy()
        row.sequence, row.now_ns = self.exchange.sequence + 1, NOW_NS
        before = self.exchange.digest()
        outcome = self.submit(command)
        events, trades = self.plain.apply(plain.Command(*row.item()))
        assert outcome.rows.tolist() == events
        assert outcome.trades.tolist() == trades
        if events[0].kind in (EventKind.REFUSED, EventKind.CANCEL_REFUSED):
            assert len(events) == 1
            assert self.exchange.digest() == before, "a refusal changed something"
        self.count(events)

    def count(self, events: list[plain.Event]) -> None:
        for said in events:
            reason = Reason(said.reason)
            self.said[EventKind(said.kind).label + (f": {reason.code}" if reason else "")] += 1

    def pause(self) -> None:
        """Break while trading, trade on after a break."""
        if self.plain.phase == Phase.CONTINUOUS:
            self.submit(control(BreakSession()))
            self.plain.phase = Phase.BREAK
        else:
            self.submit(control(StartTrading()))
            self.plain.phase = Phase.CONTINUOUS

    def next_day(self) -> None:
        """Close, settle, open the next day."""
        outcome = self.submit(control(CloseSession()))
        expired = self.plain.expire(self.exchange.sequence)
        assert outcome.rows.tolist() == expired
        self.count(expired)
        closed = outcome.events[self.exchange.sequence]
        assert isinstance(closed, SessionClosed)
        self.plain.phase = Phase.CLOSED
        self.agree()
        self.submit(control(SettleDay()))
        self.plain.settle()
        self.agree()
        self.day += timedelta(days=1)
        self.submit(control(OpenDay(self.day)), control(StartTrading()))
        self.plain.open_day(self.day, closed.closes_ticks)
        self.plain.phase = Phase.CONTINUOUS

    def agree(self) -> None:
        """Assert equal holdings and books, and what must always be true."""
        desk = self.exchange.path.desk
        assert self.exchange.phase == self.plain.phase
        for account in self.exchange.accounts:
            for asset in range(len(self.exchange.units) + 1):
                held, expected = desk.balances[account.number, asset], self.plain.balances[account.number, asset]
                found = plain.Balance(*(int(held[name]) for name in ("available", "reserved", "incoming", "unsettled")))
                assert found == expected, (account.account_id, asset)
        for number, listing in self.plain.listings.items():
            assert desk.instruments[number].last_ticks == listing.book.last_ticks
            resting = [(int(order.order_id), int(order.leaves)) for order in book_of.resting(desk.ladder, number)]
            assert resting == [(order.order_id, order.leaves) for order in listing.book.resting()]
            listing.book.check()
        invariants.check(self.exchange)


# ---------------------------------------------------------------- random histories

NEXT_DAY, PAUSE = "the next day", "a break, or its end"
Step = Command | str


def order(**fields: int) -> Command:
    """A row as it might reach the exchange; fields as in `exchange.rows.COMMAND`."""
    row = np.zeros(1, COMMAND)[0]
    for name, value in fields.items():
        row[name] = value
    return Command(row)


def place(account: int, side: Side, price_ticks: int, quantity: int, instrument: int = 1, ioc: bool = False) -> Command:
    return order(
        kind=CommandKind.PLACE_ORDER,
        account=account,
        instrument=instrument,
        side=side,
        price_ticks=price_ticks,
        quantity=quantity,
        time_in_force=TimeInForce.IOC if ioc else TimeInForce.DAY,
    )


@st.composite
def settings_of_markets(draw: st.DrawFn) -> Setting:
    rules = draw(st.sampled_from([HUBEI, GENERIC, ODD]))
    openings = st.sampled_from([CLOSE_TICKS] if rules is HUBEI else [CLOSE_TICKS, 0])
    return Setting(
        rules,
        traders=draw(st.integers(2, 4)),
        opening_ticks=tuple(draw(st.lists(openings, min_size=1, max_size=2))),
        cash=draw(st.sampled_from([3_000_000, 10_000_000, 1 << 50])),
        units=draw(st.sampled_from([60, 500])),
        room=draw(st.sampled_from([(1, 1, 4), (2, 3, 8), (1024, 4096, 8192)])),
    )


def mostly(usual: st.SearchStrategy[int], *odd: int) -> st.SearchStrategy[int]:
    """A usual value, and once in a while one that should be refused."""
    return st.integers(0, 24).flatmap(lambda one_in: st.sampled_from(odd) if one_in == 7 else usual)


@st.composite
def steps(draw: st.DrawFn, setting: Setting) -> Step:
    kind = draw(st.sampled_from(["place"] * 22 + ["cancel"] * 6 + [NEXT_DAY, PAUSE]))
    if kind in (NEXT_DAY, PAUSE):
        return kind
    last = FIRST_TRADER + setting.traders - 1
    account = draw(mostly(st.integers(FIRST_TRADER, last), 0, HOUSE, last + 1, last + 2, 2**32 - 1))
    if kind == "cancel":
        return order(
            kind=CommandKind.CANCEL_ORDER,
            account=account,
            order_id=draw(mostly(st.integers(1, 12), 0, -1, 4097, VAST, -VAST)),
            instrument=draw(st.integers(0, 3)),  # a cancel's other fields mean nothing
            price_ticks=draw(st.sampled_from([0, CLOSE_TICKS])),
        )
    lot = setting.rules.lot
    near = st.integers(CLOSE_TICKS - 4, CLOSE_TICKS + 4)
    far = st.one_of(st.integers(1, 3 * CLOSE_TICKS), st.sampled_from([18_000, 22_000, 17_999, 22_001]))
    return order(
        kind=CommandKind.PLACE_ORDER,
        account=account,
        instrument=draw(mostly(st.integers(1, len(setting.opening_ticks)), 0, 3, 2**16 - 1)),
        side=draw(mostly(st.integers(0, 1), 2, 255)),
        time_in_force=draw(mostly(st.sampled_from([0, 0, 0, 1]), 2, 255)),
        quantity=draw(mostly(st.integers(1, 12).map(lambda lots: lots * lot), 0, -1, -VAST, 7, VAST, 2**63 - 1)),
        price_ticks=draw(mostly(st.one_of(near, near, far), 0, -1, -VAST, 10**12, VAST, VAST + 1, 2**63 - 1)),
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[Setting, list[Step]]:
    setting = draw(settings_of_markets())
    return setting, draw(st.lists(steps(setting), min_size=20, max_size=45))


@given(histories())
def test_the_compiled_path_and_its_plain_twin_say_and_hold_the_same(history: tuple[Setting, list[Step]]) -> None:
    setting, taken = history
    twins = Twins(setting)
    for step in taken:
        twins.apply(step)
    for said in twins.said:
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


# ---------------------------------------------------------------- histories worth telling

TWO_TRADERS = Setting(GENERIC, traders=2, opening_ticks=(0,), cash=1 << 50, units=1000)
ANNE, BEN = FIRST_TRADER, FIRST_TRADER + 1


def last_events(twins: Twins) -> list[tuple[EventKind, Reason]]:
    return [(EventKind(said.kind), Reason(said.reason)) for said in twins.plain.events]


def test_an_order_that_sweeps_hundreds_of_others_finds_room_for_everything_it_says() -> None:
    setting = Setting(GENERIC, 2, (CLOSE_TICKS,), 1 << 50, 1000, room=(1, 1, 4))
    twins = Twins(setting)
    makers = [place(ANNE, Side.SELL, CLOSE_TICKS + number % 7, 1) for number in range(400)]
    for command in makers:
        row = command.row.copy()
        row.sequence, row.now_ns = twins.exchange.sequence + 1, NOW_NS
        assert twins.submit(command).rows.tolist() == twins.plain.apply(plain.Command(*row.item()))[0]
    twins.apply(place(BEN, Side.BUY, CLOSE_TICKS + 7, 500))
    assert len(twins.plain.trades) == 400


def test_one_may_trade_with_oneself_and_the_day_still_settles() -> None:
    twins = Twins(TWO_TRADERS)
    twins.apply(place(BEN, Side.SELL, CLOSE_TICKS, 10))
    twins.apply(place(ANNE, Side.BUY, CLOSE_TICKS, 10))
    twins.apply(NEXT_DAY)  # Anne has title to never-traded units and, behind them, to traded ones
    twins.apply(place(ANNE, Side.SELL, CLOSE_TICKS, 1005))
    twins.apply(place(ANNE, Side.BUY, CLOSE_TICKS, 1005))
    twins.apply(NEXT_DAY)


def test_prices_reach_so_far_from_the_days_reference_and_no_further() -> None:
    reference, reach = 3_000_000, book_of.REACH_TICKS
    twins = Twins(TWO_TRADERS)
    for price_ticks, answer in (
        (reference, (EventKind.ACCEPTED, Reason.NONE)),  # the first order sets the reference
        (reference + reach, (EventKind.ACCEPTED, Reason.NONE)),
        (reference + reach + 1, (EventKind.REFUSED, Reason.PRICE_OUT_OF_RANGE)),
        (reference - reach, (EventKind.ACCEPTED, Reason.NONE)),
        (reference - reach - 1, (EventKind.REFUSED, Reason.PRICE_OUT_OF_RANGE)),
    ):
        twins.apply(place(ANNE, Side.BUY if price_ticks < reference else Side.SELL, price_ticks, 1))
        assert last_events(twins) == [answer]
    twins.apply(place(BEN, Side.BUY, reference + reach, 2))  # from one end of the ladder to the other
    assert [trade.price_ticks for trade in twins.plain.trades] == [reference, reference + reach]


def test_a_price_of_yesterday_however_mad_takes_no_room_today() -> None:
    twins = Twins(TWO_TRADERS)
    twins.apply(place(ANNE, Side.SELL, 10**12, 1))
    twins.apply(place(BEN, Side.BUY, CLOSE_TICKS, 1))
    assert last_events(twins) == [(EventKind.REFUSED, Reason.PRICE_OUT_OF_RANGE)]
    twins.apply(NEXT_DAY)
    twins.apply(place(BEN, Side.BUY, CLOSE_TICKS, 1))
    twins.apply(place(ANNE, Side.SELL, CLOSE_TICKS, 1))
    assert len(twins.plain.trades) == 1
    assert twins.exchange.path.desk.ladder.levels.size <= 4 * book_of.WINDOW_STEP


def test_markets_that_would_answer_differently_have_different_digests() -> None:
    """The first order sets how far the day's prices may reach, even if nothing else is left of it."""
    digests = set()
    for first_ticks in (CLOSE_TICKS, 10**7):
        twins = Twins(TWO_TRADERS)
        twins.apply(place(ANNE, Side.SELL, first_ticks, 1, ioc=True))
        digests.add(twins.exchange.digest())
    assert len(digests) == 2
