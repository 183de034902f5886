"""A market for tests: people with names, steps of the day as sentences, what happened as text.

    market = Market(alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00")        -> "bob accepted"
    market.play("alice buys 60 @ 42.00")        -> "alice accepted\nalice takes 60 @ 42.00 from bob"

Sentences, one a line:

    NAME buys|sells QUANTITY [SYMBOL] @ PRICE [ioc] [as CLIENT-ORDER-ID]
    NAME cancels order NUMBER
    open YYYY-MM-DD | start | break | close | settle

It is a real engine with a journal in memory. After every line all invariants are checked. A name or symbol
that nobody has stands for a number that nobody has.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from exchange import events as happened
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
    WithdrawCash,
    cancel_order,
    control,
    place_order,
)
from exchange.engine import Engine, Receipt
from exchange.instruments import fen, money, ticks_of
from exchange.journal import Journal, MemoryJournal
from exchange.reasons import Reason, Refused
from exchange.rows import EventKind
from exchange.rules import RuleSet, load_rule_set
from exchange.transition import HOUSE, Outcome
from matching.orders import Side, TimeInForce
from registry import holdings
from registry.accounts import ParticipantClass
from registry.serials import Origin
from registry.units import Species

HBEA = "HBEA-2025"
CNY = "CNY"
DAY = "2026-01-05"  # a Monday, the first trading day of 2026
NOBODY = 99  # number of no account and of no instrument
SECOND = 1_000_000_000  # ns
FIRST_MOMENT = 1_767_576_600 * SECOND  # 2026-01-05 09:30 in Wuhan

ORDER = re.compile(
    r"(?P<name>\w+) (?P<verb>buys|sells) (?P<quantity>-?\d+)( (?P<symbol>[\w-]+))? @ (?P<price>\S+)"
    r"(?P<ioc> ioc)?( as (?P<client_order_id>\S+))?"
)
CANCEL = re.compile(r"(?P<name>\w+) cancels order (?P<order_id>\d+)")
STEPS = {"start": StartTrading(), "break": BreakSession(), "close": CloseSession(), "settle": SettleDay()}


@dataclass(frozen=True)
class Stake:
    """What somebody has at first: fen of cash, tonnes on the trading side."""

    fen: int = 0
    tonnes: int = 0
    participant_class: ParticipantClass = ParticipantClass.INSTITUTION

    def __add__(self, other: "Stake") -> "Stake":
        return Stake(self.fen + other.fen, self.tonnes + other.tonnes, self.participant_class)


def cash(amount: str) -> Stake:
    return Stake(fen=fen(amount))


def units(tonnes: int) -> Stake:
    return Stake(tonnes=tonnes)


nothing = Stake()
verifier = Stake(participant_class=ParticipantClass.VERIFIER)


class Holding(NamedTuple):
    """One balance: fen of cash, tonnes of a unit."""

    available: int
    reserved: int
    incoming: int
    registry: int
    unsettled: int

    @property
    def settled(self) -> int:
        return self.available + self.reserved + self.incoming + self.registry - self.unsettled


class Market:
    """One instrument with a first close of `opening`; open and trading, unless `until` says "listed" or "open"."""

    def __init__(
        self,
        rules: RuleSet | str = "hubei",
        /,
        opening: str = "42.00",
        until: str = "trading",
        journal: Journal | None = None,
        **people: Stake,
    ) -> None:
        self.rules = load_rule_set(rules) if isinstance(rules, str) else rules
        self.engine = Engine(journal or MemoryJournal())
        self.exchange = self.engine.exchange
        self.now_ns = FIRST_MOMENT
        self.receipts: list[Receipt] = []
        self.outcome = Outcome()
        for _ in self.engine.open(self.rules, self.now_ns):
            pass
        self.must(ListInstrument(HBEA, Species.ALLOWANCE, 2025, ticks_of(opening, self.rules.tick_size)))
        for name, stake in people.items():
            self.join(name, stake)
        if until != "listed":
            self.must(OpenDay(date.fromisoformat(DAY)))
        if until == "trading":
            self.must(StartTrading())

    def join(self, name: str, stake: Stake) -> None:
        """Somebody opens an account and brings what he has."""
        self.must(OpenAccount(name, name.title(), stake.participant_class))
        if stake.fen:
            self.must(DepositCash(name, stake.fen))
        if stake.tonnes:
            self.must(IssueUnits(name, HBEA, stake.tonnes, Origin.FREE))
            self.must(TransferUnits(name, HBEA, stake.tonnes, to_trading=True))

    # -- doing

    def play(self, story: str) -> str:
        """Play a story line by line; what happened, an event a line."""
        lines = [line.strip() for line in story.strip().splitlines()]
        return "\n".join(filter(None, (self.submit(self.command(line)) for line in lines)))

    def do(self, command: Control) -> str:
        """Submit a command off the trading path."""
        return self.submit(control(command))

    def must(self, command: Control) -> None:
        """Submit a command that the test takes for granted."""
        said = self.do(command)
        assert "refused" not in said, said

    def submit(self, *commands: Command) -> str:
        """Submit commands as one batch; what happened, an event a line."""
        self.now_ns += SECOND
        self.receipts, self.outcome = self.engine.submit(commands, self.now_ns)
        invariants.check(self.exchange)
        said = [f"refused: {receipt.reason.code}" for receipt in self.receipts if isinstance(receipt, Refused)]
        for sequence in self.receipts:
            rows = self.outcome.rows[self.outcome.rows["sequence"] == sequence] if isinstance(sequence, int) else []
            said += [self._say_row(row) for row in rows]
            if sequence in self.outcome.events:
                said.append(self._say(self.outcome.events[sequence]))
        return "\n".join(said)

    def command(self, line: str) -> Command:
        """The command that a sentence stands for."""
        if line in STEPS:
            return control(STEPS[line])
        if line.startswith("open "):
            return control(OpenDay(date.fromisoformat(line.removeprefix("open "))))
        if match := CANCEL.fullmatch(line):
            return cancel_order(self.number(match["name"]), int(match["order_id"]))
        match = ORDER.fullmatch(line)
        assert match, f"nobody understands {line!r}"
        return place_order(
            self.number(match["name"]),
            self.instrument(match["symbol"] or HBEA),
            Side.BUY if match["verb"] == "buys" else Side.SELL,
            ticks_of(match["price"], self.rules.tick_size),
            int(match["quantity"]),
            TimeInForce.IOC if match["ioc"] else TimeInForce.DAY,
            match["client_order_id"] or "",
        )

    def open_day(self, day: str) -> str:
        return self.play(f"open {day}")

    def start(self) -> str:
        return self.play("start")

    def take_break(self) -> str:
        return self.play("break")

    def close(self) -> str:
        return self.play("close")

    def settle(self) -> str:
        return self.play("settle")

    def next_day(self, day: str) -> None:
        """Close and settle this day, open the next one for trading."""
        self.play(f"close\nsettle\nopen {day}\nstart")

    def deposit(self, name: str, amount: str) -> str:
        return self.do(DepositCash(name, fen(amount)))

    def withdraw(self, name: str, amount: str) -> str:
        return self.do(WithdrawCash(name, fen(amount)))

    # -- asking

    def number(self, name: str) -> int:
        account = self.exchange.accounts.by_id.get(name)
        return account.number if account else NOBODY

    def instrument(self, symbol: str) -> int:
        listed = self.exchange.instruments.by_symbol.get(symbol)
        return listed.number if listed else NOBODY

    def asset(self, code: str) -> int:
        return holdings.CASH if code == CNY else self.exchange.units.by_code[code].number

    def holding(self, name: str, asset: str) -> Holding:
        row = self.exchange.path.desk.balances[self.number(name), self.asset(asset)]
        return Holding(*(int(value) for value in row))

    def money(self, name: str) -> str:
        """Available cash."""
        return money(self.holding(name, CNY).available)

    def fees_earned(self) -> str:
        """What the fee account has, claims included."""
        return self.money(HOUSE)

    def serials(self, name: str) -> list[tuple[int, int]]:
        """Serial numbers of somebody's allowances, as (first, last)."""
        blocks = self.exchange.serials.of(self.number(name), self.asset(HBEA))
        return [(block.first, block.last) for block in blocks]

    def band(self) -> tuple[str, str]:
        """Lowest and highest price of the day."""
        listed = self.exchange.instruments.by_symbol[HBEA]
        row = self.exchange.path.desk.instruments[listed.number]
        return listed.price(int(row.band_low_ticks)), listed.price(int(row.band_high_ticks))

    def digest(self) -> str:
        return self.exchange.digest()

    @property
    def event(self) -> happened.Event:
        """What came of the last command off the trading path."""
        return list(self.outcome.events.values())[-1]

    # -- saying

    def _say_row(self, row: object) -> str:
        name = self._name(int(row.account))
        reason = Reason(row.reason).code
        match EventKind(row.kind):
            case EventKind.ACCEPTED:
                return f"{name} accepted"
            case EventKind.TRADED:
                verb, towards = ("takes", "from") if row.side == Side.BUY else ("gives", "to")
                maker = self._name(int(row.maker_account))
                return f"{name} {verb} {row.quantity} @ {self._price(row)} {towards} {maker}"
            case EventKind.CANCELLED:
                return f"{name} loses {row.quantity} @ {self._price(row)}: {reason}"
            case EventKind.REFUSED:
                return f"{name} refused: {reason}"
            case EventKind.CANCEL_REFUSED:
                return f"{name}'s cancel refused: {reason}"

    def _say(self, event: happened.Event) -> str:
        match event:
            case happened.CommandRefused():
                return f"refused: {event.reason.code}"
            case happened.DayOpened():
                return f"day {event.date} opened"
            case happened.TradingStarted():
                return f"session {event.session} started"
            case happened.SessionBroken():
                return f"session {event.session} broken"
            case happened.SessionClosed():
                return f"day {event.date} closed at {self.exchange.instruments.by_symbol[HBEA].price(self.close_ticks)}"
            case happened.DaySettled():
                return f"day {event.report.date} settled, {event.report.trades} trades"
            case _:
                return type(event).__name__

    @property
    def close_ticks(self) -> int:
        return self.exchange.instruments.by_symbol[HBEA].close_ticks

    def _name(self, number: int) -> str:
        known = 0 < number <= len(self.exchange.accounts)
        return self.exchange.accounts[number].account_id if known else "nobody"

    def _price(self, row: object) -> str:
        return self.exchange.instruments[int(row.instrument)].price(int(row.price_ticks))
