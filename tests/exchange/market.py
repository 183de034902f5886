"""A market for tests: people with names, steps of the day as sentences, what happened as text.

    market = Market(alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00")        -> "bob accepted"
    market.play("alice buys 60 @ 42.00")        -> "alice accepted\nalice takes 60 @ 42.00 from bob"

Sentences, one a line:

    NAME buys|sells QUANTITY [SYMBOL] @ PRICE|market [TERM ...] [as CLIENT-ORDER-ID]
    NAME amends order NUMBER to QUANTITY @ PRICE|market [stop PRICE]
    NAME cancels order NUMBER
    NAME|everybody cancels all [SYMBOL] [buys|sells]
    open YYYY-MM-DD | call | start | break | close | settle
    halt|resume [SYMBOL]: REASON

with the terms `ioc`, `fok`, `gtc`, `until YYYY-MM-DD`, `post-only`, `show QUANTITY` (of an iceberg), `stop PRICE`,
and of self-trade prevention `cancel-newest`, `cancel-oldest`, `cancel-both`, `decrement`.

It is a real engine with a journal in memory. Its trading path has hardly any room to work in, so that it has to
stop and go on in the midst of most commands. After every line all invariants are checked. A name or symbol
that nobody has stands for a number that nobody has.
"""

import re
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple

from exchange import events as happened
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
    ResumeTrading,
    SettleDay,
    StartTrading,
    TransferUnits,
    WithdrawCash,
    amend_order,
    cancel_order,
    cancel_orders,
    control,
    place_order,
)
from exchange.desk import is_waiting
from exchange.engine import Engine, Receipt
from exchange.instruments import fen, money, ticks_of
from exchange.journal import Journal, MemoryJournal
from exchange.reasons import Reason, Refused
from exchange.rows import EventKind
from exchange.rules import RuleSet, load_rule_set
from exchange.trading import ROOM, TradingPath
from exchange.transition import Outcome
from exchange.transition.market import HOUSE
from matching import ladder as book_of
from matching.orders import EITHER_SIDE, OrderType, Priority, SelfTradePrevention, Side, TimeInForce
from registry.accounts import ParticipantClass
from registry.serials import Origin, ranges
from registry.units import Species
from settlement.statements import Statement

HBEA = "HBEA-2025"
HBCER = "HBCER-2025"
CNY = "CNY"
DAY = "2026-01-05"  # a Monday, the first trading day of 2026
NOBODY = 99  # number of no account and of no instrument
SECOND = 1_000_000_000  # ns
FIRST_MOMENT = 1_767_576_600 * SECOND  # 2026-01-05 09:30 in Wuhan

ORDER = re.compile(
    r"(?P<name>\w+) (?P<verb>buys|sells) (?P<quantity>-?\d+)( (?P<symbol>[\w-]+))? @ (?P<price>\S+)(?P<terms>.*)"
)
AMEND = re.compile(
    r"(?P<name>\w+) amends order (?P<order_id>\d+) to (?P<quantity>-?\d+) @ (?P<price>\S+)( stop (?P<stop>\S+))?"
)
CANCEL = re.compile(r"(?P<name>\w+) cancels order (?P<order_id>\d+)")
CANCEL_ALL = re.compile(r"(?P<name>\w+) cancels all( (?P<symbol>(?!buys|sells)[\w-]+))?( (?P<verb>buys|sells))?")
HALT = re.compile(r"(?P<verb>halt|resume)( (?P<symbol>[\w-]+))?: (?P<reason>.+)")
STEPS = {
    "call": OpenCall(),
    "start": StartTrading(),
    "break": BreakSession(),
    "close": CloseSession(),
    "settle": SettleDay(),
}
SIDES = {"buys": Side.BUY, "sells": Side.SELL}


@dataclass(frozen=True)
class Stake:
    """What somebody has at first: fen of cash, tonnes on the trading side; and for whom."""

    fen: int = 0
    tonnes: int = 0
    participant_class: ParticipantClass = ParticipantClass.INSTITUTION
    owner: str = ""

    def __add__(self, other: "Stake") -> "Stake":
        return replace(self, fen=self.fen + other.fen, tonnes=self.tonnes + other.tonnes)

    def of(self, owner: str) -> "Stake":
        """The same for a beneficial owner."""
        return replace(self, owner=owner)


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
    pledged: int = 0
    judicial: int = 0
    pending_surrender: int = 0

    @property
    def settled(self) -> int:
        locked = self.pledged + self.judicial + self.pending_surrender
        return self.available + self.reserved + self.incoming + self.registry + locked - self.unsettled


class Market:
    """One instrument with a first close of `opening`, or the rule set's own where that is None.

    Open and trading, unless `until` says "listed" or "open".
    """

    def __init__(
        self,
        rules: RuleSet | str = "hubei",
        /,
        opening: str | None = "42.00",
        until: str = "trading",
        day: str = DAY,
        journal: Journal | None = None,
        **people: Stake,
    ) -> None:
        self.rules = load_rule_set(rules) if isinstance(rules, str) else rules
        self.engine = Engine(journal or MemoryJournal())
        self.exchange = self.engine.exchange
        self.exchange.path = TradingPath(slots=1, ids=1, events=ROOM)
        self.now_ns = FIRST_MOMENT
        self.receipts: list[Receipt] = []
        self.outcome = Outcome()
        for _ in self.engine.open(self.rules, self.now_ns):
            pass
        opening_ticks = ticks_of(opening, self.rules.tick_size) if opening else None
        self.must(ListInstrument(HBEA, Species.ALLOWANCE, 2025, opening_ticks))
        for name, stake in people.items():
            self.join(name, stake)
        if until != "listed":
            self.must(OpenDay(date.fromisoformat(day)))
        if until == "trading":
            self.must(StartTrading())

    def join(self, name: str, stake: Stake) -> None:
        """Somebody opens an account and brings what he has."""
        self.must(OpenAccount(name, name.title(), stake.participant_class, stake.owner))
        if stake.fen:
            self.must(DepositCash(name, stake.fen))
        if stake.tonnes:
            self.give(name, HBEA, stake.tonnes)

    def give(self, name: str, symbol: str, tonnes: int) -> None:
        """Units for the trading side of somebody."""
        is_credit = self.exchange.units.by_code[symbol].species == Species.CREDIT
        self.must(IssueUnits(name, symbol, tonnes, Origin.CREDIT if is_credit else Origin.FREE))
        self.must(TransferUnits(name, symbol, tonnes, to_trading=True))

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
        if match := CANCEL_ALL.fullmatch(line):
            everybody = match["name"] == "everybody"
            instrument = self.instrument(match["symbol"]) if match["symbol"] else 0
            side = SIDES[match["verb"]] if match["verb"] else EITHER_SIDE
            return cancel_orders(0 if everybody else self.number(match["name"]), instrument, side)
        if match := AMEND.fullmatch(line):
            stop_ticks = self._ticks(match["stop"]) if match["stop"] else 0
            new = self._ticks(match["price"]), int(match["quantity"]), stop_ticks
            return amend_order(self.number(match["name"]), int(match["order_id"]), *new)
        if match := HALT.fullmatch(line):
            act = HaltTrading if match["verb"] == "halt" else ResumeTrading
            return control(act(match["reason"], match["symbol"]))
        match = ORDER.fullmatch(line)
        assert match, f"nobody understands {line!r}"
        return place_order(
            self.number(match["name"]),
            self.instrument(match["symbol"] or HBEA),
            SIDES[match["verb"]],
            self._ticks(match["price"]),
            int(match["quantity"]),
            **self._terms(match["terms"].split(), at_market=match["price"] == "market"),
        )

    def _ticks(self, price: str) -> int:
        return 0 if price == "market" else ticks_of(price, self.rules.tick_size)

    def _terms(self, words: list[str], at_market: bool) -> dict[str, Any]:
        """What an order's further words ask for."""
        terms: dict[str, Any] = {"order_type": OrderType.MARKET if at_market else OrderType.LIMIT}
        said = iter(words)
        for word in said:
            match word:
                case "ioc" | "fok" | "gtc":
                    terms["time_in_force"] = TimeInForce[word.upper()]
                case "until":
                    terms["time_in_force"], terms["last_day"] = TimeInForce.GTD, date.fromisoformat(next(said))
                case "post-only":
                    terms["post_only"] = True
                case "show":
                    terms["display_quantity"] = int(next(said))
                case "stop":
                    terms["order_type"] = OrderType.STOP if at_market else OrderType.STOP_LIMIT
                    terms["stop_ticks"] = self._ticks(next(said))
                case "as":
                    terms["client_order_id"] = next(said)
                case "cancel-newest" | "cancel-oldest" | "cancel-both" | "decrement":
                    terms["self_trade"] = SelfTradePrevention[word.replace("-", "_").upper()]
                case _:
                    raise AssertionError(f"nobody understands {word!r} of an order")
        return terms

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

    def deposit(self, name: str, amount: str, currency: str = "") -> str:
        return self.do(DepositCash(name, fen(amount), currency))

    def withdraw(self, name: str, amount: str, currency: str = "") -> str:
        return self.do(WithdrawCash(name, fen(amount), currency))

    # -- asking

    def number(self, name: str) -> int:
        account = self.exchange.accounts.by_id.get(name)
        return account.number if account else NOBODY

    def instrument(self, symbol: str) -> int:
        listed = self.exchange.instruments.by_symbol.get(symbol)
        return listed.number if listed else NOBODY

    def asset(self, code: str) -> int:
        return self.exchange.asset_names.index(code)

    def holding(self, name: str, asset: str) -> Holding:
        row = self.exchange.path.desk.balances[self.number(name), self.asset(asset)]
        return Holding(**{name: int(row[name]) for name in Holding._fields})

    def money(self, name: str, currency: str = CNY) -> str:
        """Available cash."""
        return money(self.holding(name, currency).available)

    def fees_earned(self, currency: str = CNY) -> str:
        """What the fee account has, claims included."""
        return self.money(HOUSE, currency)

    def serials(self, name: str) -> list[tuple[int, int]]:
        """Serial numbers of somebody's allowances, as (first, last)."""
        return ranges(self.exchange.serials.of(self.number(name), self.asset(HBEA)))

    def history(self, serial: int) -> list[str]:
        """What happened to one of the allowances, oldest first."""
        said = []
        for movement in self.exchange.serials.history(self.asset(HBEA), serial):
            giver = f" from {self._name(movement.giver)}" if movement.giver else ""
            trade = f" in trade {movement.reference}" if movement.reference else ""
            said.append(f"{movement.cause}{giver} to {self._name(movement.taker)}{trade}")
        return said

    def band(self) -> tuple[str, str]:
        """Lowest and highest price of the day."""
        listed = self.exchange.instruments.by_symbol[HBEA]
        row = self.exchange.path.desk.instruments[listed.number]
        return listed.price(int(row.band_low_ticks)), listed.price(int(row.band_high_ticks))

    def book(self, symbol: str = HBEA) -> str:
        """The orders of an instrument, an order a line: bids, asks, sell stops, buy stops, by price and time."""
        listed = self.exchange.instruments.by_symbol[symbol]
        ladder = self.exchange.path.desk.ladder
        return "\n".join(self._say_order(ladder, order) for order in book_of.orders_of(ladder, listed.number))

    def statements(self) -> list[Statement]:
        """The statements of the last batch."""
        line = self.exchange.clearing.batches[-1].line
        assert line is not None, "no statements have been issued"
        return [*line.statements(self.exchange.terms)]

    def digest(self) -> str:
        return self.exchange.digest()

    @property
    def event(self) -> happened.Event:
        """What came of the last command off the trading path."""
        return list(self.outcome.events.values())[-1]

    # -- saying

    def _say_row(self, row: Any) -> str:
        name = self._name(int(row.account))
        price = self._price(int(row.instrument), int(row.price_ticks))
        reason = Reason(row.reason).code
        maker = self._name(int(row.maker_account))
        take, towards = ("take", "from") if row.side == Side.BUY else ("give", "to")
        match EventKind(row.kind):
            case EventKind.ACCEPTED:
                return f"{name} accepted"
            case EventKind.TRADED if row.reason == Reason.AUCTION:
                return f"{name} buys {row.quantity} @ {price} from {maker}"
            case EventKind.TRADED:
                return f"{name} {take}s {row.quantity} @ {price} {towards} {maker}"
            case EventKind.PREVENTED:
                left = f"{row.leaves} and {row.maker_leaves} left"
                return f"{name} would {take} {row.quantity} @ {price} {towards} {maker}: {reason}, {left}"
            case EventKind.REFRESHED:
                return f"{name} shows {row.quantity} of {row.leaves} @ {price}"
            case EventKind.TRIGGERED:
                return f"{name}'s stop reached: {self._verb(row)} {row.leaves} @ {price}"
            case EventKind.CANCELLED:
                return f"{name} loses {row.quantity} @ {price}: {reason}"
            case EventKind.AMENDED:
                return f"{name} amends to {row.leaves} @ {price}, place {Priority(row.priority).label}"
            case EventKind.ORDERS_CANCELLED:
                return f"{row.quantity} cancelled"
            case EventKind.TRADE_BUSTED:
                return f"trade {row.trade_id} busted: {name} had {row.quantity} @ {price} from {maker}"
            case EventKind.TRADE_CORRECTED:
                return f"trade {row.trade_id} corrected: {name} has {row.quantity} @ {price} from {maker}"
            case EventKind.REFUSED:
                return f"{name} refused: {reason}"
            case EventKind.CANCEL_REFUSED:
                return f"{name}'s cancel refused: {reason}"
            case EventKind.AMEND_REFUSED:
                return f"{name}'s amend refused: {reason}"

    def _say(self, event: happened.Event) -> str:
        match event:
            case happened.CommandRefused():
                return f"refused: {event.reason.code}"
            case happened.DayOpened():
                return f"day {event.date} opened"
            case happened.CallOpened():
                return "call opened"
            case happened.TradingStarted():
                return self._with_auctions(f"session {event.session} started", event.auctions)
            case happened.TradingHalted():
                return f"{self._symbols(event.instruments)} halted: {event.reason}"
            case happened.TradingResumed():
                return self._with_auctions(
                    f"{self._symbols(event.instruments)} resumed: {event.reason}", event.auctions
                )
            case happened.SessionBroken():
                return f"session {event.session} broken"
            case happened.SessionClosed():
                close = self.exchange.instruments.by_symbol[HBEA].price(self.close_ticks)
                return self._with_auctions(f"day {event.date} closed at {close}", event.auctions)
            case happened.DaySettled():
                return f"day {event.date} settled, {event.report.trades} trades"
            case _:
                return type(event).__name__

    def _with_auctions(self, said: str, auctions: list[happened.Auction]) -> str:
        """Auctions, then what they were part of."""
        lines = [
            f"{self._symbols([auction.instrument])} uncrossed: {auction.volume} @ "
            f"{self._price(auction.instrument, auction.price_ticks)}, imbalance {auction.imbalance}"
            for auction in auctions
        ]
        return "\n".join([*lines, said])

    def _say_order(self, ladder: book_of.Ladder, order: Any) -> str:
        leaves = int(order.shown + order.hidden)
        quantity = f"{order.shown} of {leaves}" if order.display else f"{leaves}"
        said = f"{self._name(int(order.owner))} {self._verb(order)} {quantity}"
        instrument = int(order.queue) // book_of.QUEUES
        said += f" @ {self._price(instrument, int(order.price_ticks))}"
        if is_waiting(order):
            stands_at = book_of.price_of(ladder.queues[order.queue], int(order.level))
            said += f" stop {self._price(instrument, int(stands_at))}"
        return said

    @staticmethod
    def _verb(row: Any) -> str:
        return "buys" if row.side == Side.BUY else "sells"

    def _symbols(self, numbers: list[int]) -> str:
        return ", ".join(self.exchange.instruments[number].symbol for number in numbers)

    @property
    def close_ticks(self) -> int:
        return self.exchange.instruments.by_symbol[HBEA].close_ticks

    def _name(self, number: int) -> str:
        known = 0 < number <= len(self.exchange.accounts)
        return self.exchange.accounts[number].account_id if known else "nobody"

    def _price(self, instrument: int, ticks: int) -> str:
        """Ticks as a decimal price; of a row about no instrument as they are."""
        known = 0 < instrument <= len(self.exchange.instruments)
        return self.exchange.instruments[instrument].price(ticks) if known else str(ticks)
