"""A drill: somebody cannot pay, somebody cannot deliver, and the procedure of :mod:`settlement.default` follows.

A script in memory, the same on every run. The market of the drill:

| account | does                                                                    | ends                       |
|---------|-------------------------------------------------------------------------|----------------------------|
| PLANT   | sells 1,000 t to TRADER and 100 t to SHOP, delivered on a later day     | paid in full               |
| TRADER  | cannot pay PLANT, although it sells 100 t on the book on that day       | covered; repays            |
| SHOP    | cannot pay PLANT                                                        | cures in time              |
| FARM    | cannot deliver the 500 t that it sold to MILL; sells 50 t on the book   | closed out; repays         |
| MILL    | buys from FARM, and on the book                                         | gets the rise in price     |
| FUND    | trades on the book only                                                 | as if nothing had happened |

The later legs are due on the second day; the deadline passes on the third. The reserve cannot pay all, so the house
lends the rest. A rule set without a risk reserve gets the drill's own. What every step did to the market is asked of
the invariants at once, and at the end everybody who did not fail must have what was due to it, to the fen and the
tonne.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from exchange import events as happened
from exchange.commands import (
    AgreeDelivery,
    CloseSession,
    Control,
    CoverFailure,
    CureFailure,
    DeliverBatch,
    DepositCash,
    DisposeSecurity,
    FixObligations,
    FundReserve,
    IssueStatements,
    IssueUnits,
    ListInstrument,
    OpenAccount,
    OpenDay,
    PayRecourse,
    StartTrading,
    TransferUnits,
    control,
    place_order,
)
from exchange.engine import Engine
from exchange.instruments import ticks_of
from exchange.invariants import CHECKS, check
from exchange.journal import MemoryJournal
from exchange.reasons import Reason
from exchange.rules import RuleSet
from exchange.sessions import local_moment, next_trading_day
from exchange.state import Exchange
from exchange.transition.step import HOUSE, RESERVE
from matching.orders import Side
from registry import holdings
from registry.accounts import ParticipantClass
from registry.holdings import CASH
from registry.serials import Origin
from registry.units import Species
from settlement.clearing import buyer_pays, obligations, seller_receives
from settlement.default import Case
from settlement.rules import Mode, ReserveRules

BEFORE = date(2026, 1, 4)  # the first trading day after it opens the drill
OPENING, LATER, CHEAP, RISEN = "50.00", "50.00", "48.00", "51.00"
OWN_RESERVE = ReserveRules(share="0.20", target="1000000", house_funds_max="100000")
RESERVE_AT_FIRST, HOUSE_AT_FIRST = 1_000_000, 10_000_000  # fen
STAKES = {  # cash in fen, tonnes on the trading side
    "PLANT": (0, 1_500),
    "TRADER": (3_500_000, 100),
    "SHOP": (300_000, 0),
    "FARM": (500_000, 150),
    "MILL": (6_000_000, 0),
    "FUND": (1_000_000, 400),
}
DEFAULTERS = ("TRADER", "SHOP", "FARM")


class DrillError(Exception):
    """A step of the script did not end as it must, or something does not reconcile."""


class Told(NamedTuple):
    """A step of the drill: local time, who asked for it, what came of it."""

    at: str
    who: str
    said: str


class Stand(NamedTuple):
    """What everybody has, settled: fen and tonnes by account id."""

    title: str
    cash: dict[str, int]
    tonnes: dict[str, int]


@dataclass
class Drill:
    """The script at work, and what there is to tell of it."""

    rules: RuleSet
    symbol: str
    engine: Engine = field(default_factory=lambda: Engine(MemoryJournal()))
    told: list[Told] = field(default_factory=list)
    stands: list[Stand] = field(default_factory=list)
    compensations: dict[str, int] = field(default_factory=dict)  # fen by account id
    now_ns: int = 0
    own_reserve: bool = False

    @property
    def exchange(self) -> Exchange:
        return self.engine.exchange

    # -- doing

    def at(self, day: date, local: str, minutes: int = 0) -> None:
        """It is so many minutes after a local time of a day."""
        moment = datetime.fromisoformat(f"{day} {local}").replace(tzinfo=ZoneInfo(self.rules.timezone))
        self.now_ns = max(self.now_ns + 1, int((moment + timedelta(minutes=minutes)).timestamp()) * 1_000_000_000)

    def do(self, command: Control, who: str = "", said: str = "") -> happened.Event:
        """A command that must not be refused; told if it says something. Everything must hold after it."""
        event = self._submit(command)
        if isinstance(event, happened.CommandRefused):
            raise DrillError(f"{type(command).__name__}: {event.reason.code}: {event.detail}")
        told = said or in_words(self, event)
        if told:
            self.tell(who, told)
        return event

    def refuse(self, command: Control, reason: Reason, who: str, said: str) -> None:
        """A command that must be refused, for this reason, and leave everything as it was."""
        before = self.exchange.digest()
        event = self._submit(command)
        if not isinstance(event, happened.CommandRefused) or event.reason != reason:
            raise DrillError(f"{type(command).__name__} was not refused as {reason.code}")
        if self.exchange.digest() != before:
            raise DrillError(f"{type(command).__name__} was refused and changed something")
        self.tell(who, f"{said}: refused, {event.reason.code} ({event.detail})")

    def _submit(self, command: Control) -> happened.Event:
        self.now_ns += 1
        _, outcome = self.engine.submit([control(command)], self.now_ns)
        check(self.exchange)
        return list(outcome.events.values())[-1]

    def trade(self, seller: str, buyer: str, tonnes: int, price: str) -> None:
        """Two orders that meet on the book."""
        self.now_ns += 1
        ticks, number = ticks_of(price, self.rules.tick_size), self.exchange.instruments.by_symbol[self.symbol].number
        sides = ((seller, Side.SELL), (buyer, Side.BUY))
        orders = [place_order(self.number(name), number, side, ticks, tonnes) for name, side in sides]
        _, outcome = self.engine.submit(orders, self.now_ns)
        check(self.exchange)
        if int(outcome.trades["quantity"].sum()) != tonnes:
            raise DrillError(f"{seller} did not sell {tonnes} t to {buyer}")
        self.tell(seller, f"sells {tonnes} t to {buyer} on the book at {price}")

    def agree(self, deal: str, seller: str, buyer: str, tonnes: int, price: str, due: date) -> None:
        ticks = ticks_of(price, self.rules.tick_size)
        self.do(AgreeDelivery(HOUSE, deal, seller, buyer, self.symbol, tonnes, ticks, due), seller)

    def settle(self) -> None:
        """The steps of a batch."""
        for command in (FixObligations(), DeliverBatch(), IssueStatements()):
            self.do(command, "clearing")

    # -- asking

    def number(self, name: str) -> int:
        return self.exchange.accounts.by_id[name].number

    def name(self, number: int) -> str:
        return self.exchange.accounts[number].account_id

    def amount(self, asset: int, amount: int) -> str:
        """So much of an asset."""
        return f"{_cny(amount)} {self.rules.currency}" if asset == CASH else f"{amount:,} t"

    def local(self, at_ns: int) -> str:
        """A moment in local time."""
        return f"{local_moment(self.rules, at_ns):%m-%d %H:%M}"

    def case_of(self, name: str) -> Case:
        return self.exchange.clearing.defaults.of(self.number(name))[-1]

    def tell(self, who: str, said: str) -> None:
        self.told.append(Told(self.local(self.now_ns), who, said))

    def stand(self, title: str) -> None:
        """Note what everybody has."""
        settled = holdings.settled(self.exchange.path.desk.balances)
        unit = self.exchange.units.by_code[self.symbol].number
        numbers = {account.account_id: account.number for account in self.exchange.accounts}
        cash = {name: int(settled[number, CASH]) for name, number in numbers.items()}
        self.stands.append(Stand(title, cash, {name: int(settled[number, unit]) for name, number in numbers.items()}))


# ---------------------------------------------------------------- the script


def run_drill(rules: RuleSet, mode: Mode | None = None) -> Drill:
    """Play the drill in a mode (default: the rule set's). DrillError or AssertionError if something is amiss."""
    reserve = rules.settlement.reserve
    settlement = msgspec.structs.replace(
        rules.settlement, mode=mode or rules.settlement.mode, bank=False, reserve=reserve or OWN_RESERVE
    )
    rules = msgspec.structs.replace(rules, settlement=settlement)
    first = next_trading_day(rules, BEFORE)
    drill = Drill(rules, f"{rules.compliance.allowance}-{first.year - 1}", own_reserve=reserve is None)
    for _ in drill.engine.open(rules, drill.now_ns):
        pass
    enrol(drill)
    drill.stand("at first")
    second = agree_and_trade(drill, first)
    fail(drill, second)
    drill.stand("trades failed")
    put_right(drill, next_trading_day(rules, second))
    drill.stand("at the end")
    reconcile(drill)
    return drill


def enrol(drill: Drill) -> None:
    """Everybody's account, and what it brings."""
    tick = drill.rules.tick_size
    vintage = int(drill.symbol.rpartition("-")[2])
    drill.do(ListInstrument(drill.symbol, Species.ALLOWANCE, vintage, ticks_of(OPENING, tick)))
    for name, (fen, tonnes) in STAKES.items():
        drill.do(OpenAccount(name, name.title(), ParticipantClass.INSTITUTION))
        if fen:
            drill.do(DepositCash(name, fen))
        if tonnes:
            drill.do(IssueUnits(name, drill.symbol, tonnes, Origin.FREE))
            drill.do(TransferUnits(name, drill.symbol, tonnes, to_trading=True))
    drill.do(DepositCash(HOUSE, HOUSE_AT_FIRST + RESERVE_AT_FIRST))
    drill.do(FundReserve(HOUSE, RESERVE_AT_FIRST))
    drill.told.clear()


def agree_and_trade(drill: Drill, day: date) -> date:
    """The first day: the later legs are agreed, the book trades, everything settles. Returns their day."""
    later = next_trading_day(drill.rules, day)
    begin(drill, day)
    drill.agree("L-1", "PLANT", "TRADER", 1_000, LATER, later)
    drill.agree("L-2", "FARM", "MILL", 500, CHEAP, later)
    drill.agree("L-3", "PLANT", "SHOP", 100, LATER, later)
    drill.trade("FUND", "MILL", 200, OPENING)
    end(drill, day)
    return later


def fail(drill: Drill, day: date) -> None:
    """The second day: the later legs are due."""
    begin(drill, day)
    drill.trade("TRADER", "MILL", 100, RISEN)
    drill.trade("FARM", "FUND", 50, RISEN)
    end(drill, day)
    for name in DEFAULTERS:
        if drill.exchange.clearing.restriction(drill.number(name)) is None:
            raise DrillError(f"{name} did not fail")


def put_right(drill: Drill, day: date) -> None:
    """The third day: one cures in time, two are covered, what failed settles, recourse is paid."""
    begin(drill, day)
    drill.at(day, "10:00")
    case_of = {name: drill.case_of(name).number for name in DEFAULTERS}
    shop, trader, farm = (case_of[name] for name in ("SHOP", "TRADER", "FARM"))
    drill.refuse(CureFailure("SHOP", shop), Reason.INSUFFICIENT_CASH, "SHOP", "says that it can pay")
    drill.do(DepositCash("SHOP", lacking(drill, "SHOP")), "SHOP")
    drill.do(CureFailure("SHOP", shop), "SHOP")
    drill.refuse(CoverFailure(HOUSE, trader), Reason.TOO_EARLY, "clearing", "covers TRADER")
    end(drill, day, settle=False)

    drill.now_ns = max(drill.now_ns, *(drill.case_of(name).deadline_ns for name in DEFAULTERS)) + 60_000_000_000
    drill.refuse(CureFailure("TRADER", trader), Reason.TOO_LATE, "TRADER", "would still cure")
    drill.do(CoverFailure(HOUSE, farm), "clearing")
    drill.do(CoverFailure(HOUSE, trader), "clearing")
    drill.settle()
    drill.stand("covered")
    recourse(drill, trader)


def recourse(drill: Drill, trader: int) -> None:
    """Who failed pays back what it can; the house buys the units that the reserve holds; the rest is brought."""
    for name in ("FARM", "TRADER"):
        drill.refuse(PayRecourse(name, _owed(drill, name) + 1), Reason.ABOVE_OBLIGATION, name, "pays more than it owes")
    drill.do(PayRecourse("FARM", _owed(drill, "FARM")), "FARM")
    drill.do(DepositCash("TRADER", 100_000), "TRADER")
    drill.do(PayRecourse("TRADER", 100_000), "TRADER")
    drill.do(DisposeSecurity(HOUSE, trader), "clearing")
    if left := _owed(drill, "TRADER"):
        drill.do(DepositCash("TRADER", left), "TRADER")
        drill.do(PayRecourse("TRADER", left), "TRADER")


def _owed(drill: Drill, name: str) -> int:
    return sum(claim.left for claim in drill.exchange.clearing.defaults.owed_by(drill.number(name)))


def begin(drill: Drill, day: date) -> None:
    """Open a day for trading."""
    drill.at(day, drill.rules.pre_open)
    drill.do(OpenDay(day))
    drill.at(day, drill.rules.sessions[0][0])
    drill.do(StartTrading())


def end(drill: Drill, day: date, settle: bool = True) -> None:
    """Close a day, and take the steps of its settlement."""
    drill.at(day, drill.rules.sessions[-1][1])
    drill.do(CloseSession())
    if settle:
        drill.at(day, drill.rules.settle_at)
        drill.settle()


def lacking(drill: Drill, name: str) -> int:
    """Fen that an account lacked when it failed."""
    return drill.case_of(name).lacked.get(CASH, 0)


# ---------------------------------------------------------------- does it add up?


def reconcile(drill: Drill) -> None:
    """Assert that nobody but who failed has lost anything, that all is repaid and nobody is restricted."""
    exchange, clearing = drill.exchange, drill.exchange.clearing
    due = dues_of_everybody(drill)
    before, after = drill.stands[0], drill.stands[-1]
    for name in STAKES.keys() - set(DEFAULTERS):
        fen, tonnes = due[name]
        fen += drill.compensations.get(name, 0)
        found = after.cash[name] - before.cash[name], after.tonnes[name] - before.tonnes[name]
        assert found == (fen, tonnes), f"{name} was due {fen} fen and {tonnes} t, and got {found}"
    assert not clearing.waiting and not clearing.returned and not clearing.kept, "a trade still waits"
    for name in DEFAULTERS:
        restriction = clearing.restriction(drill.number(name))
        assert restriction is None, f"{name}: {restriction}"
        assert not _owed(drill, name), f"{name} still owes"
    for batch in clearing.batches:
        assert batch.line is not None, f"batch {batch.number} has no statements"
        for statement in batch.line.statements(exchange.terms):
            statement.check()
    assert sum(after.tonnes.values()) == sum(before.tonnes.values()), "tonnes came or went"
    check(exchange)


def dues_of_everybody(drill: Drill) -> dict[str, tuple[int, int]]:
    """Fen and tonnes that all trades come to for each account, those left out that were closed out."""
    exchange, clearing = drill.exchange, drill.exchange.clearing
    closed_out = {one.trade for case in clearing.defaults.cases for one in case.closed_out}
    seen: set[int] = set()
    sums = dict.fromkeys(STAKES, (0, 0))
    for batch in clearing.batches:
        fresh = ~np.isin(batch.trades["trade_id"], sorted(seen | closed_out))
        owed = obligations(batch.trades[fresh], exchange.terms)
        seen |= set(batch.trades["trade_id"].tolist())
        for row, receives, pays in zip(owed, seller_receives(owed).tolist(), buyer_pays(owed).tolist(), strict=True):
            tonnes = int(row["quantity"])
            for number, fen, units in ((int(row["seller"]), receives, -tonnes), (int(row["buyer"]), -pays, tonnes)):
                cash, held = sums[drill.name(number)]
                sums[drill.name(number)] = cash + fen, held + units
    return sums


# ---------------------------------------------------------------- in words


def in_words(drill: Drill, event: happened.Event) -> str:
    """What an event says, as far as the drill is about it."""
    match event:
        case happened.DeliveryAgreed(deal=deal):
            price = drill.exchange.instruments[deal.instrument].price(deal.price_ticks)
            return f"agrees {deal.deal_id}: {deal.quantity:,} t for {drill.name(deal.buyer)} at {price} on {deal.due}"
        case happened.CashDeposited():
            return f"brings {drill.amount(CASH, event.amount)}"
        case happened.ObligationsFixed():
            named = "".join(f"; {deal} is trade {trade}" for deal, trade in event.due.items())
            return f"batch {event.batch} fixed: {_count(event.trades, 'trade')}, {event.mode}{named}"
        case happened.BatchDelivered():
            return "\n".join([_delivered(drill, event), *(_notified(drill, one) for one in event.failures)])
        case happened.StatementsIssued():
            return f"batch {event.batch} stated: {_count(event.accounts, 'statement')}"
        case happened.FailureCured():
            return f"case {event.case} cured: {_numbers(event.trades)} to come again"
        case happened.FailureCovered():
            return "\n".join(_covered(drill, event))
        case happened.RecoursePaid():
            paid = ", ".join(f"{_cny(one.amount)} to {drill.name(one.creditor)}" for one in event.payments)
            released = "".join(f"; {one.quantity:,} t are released" for one in event.released)
            return f"pays back {paid}; {_cny(event.left)} is left{released}"
        case happened.SecurityDisposed():
            sold = ", ".join(f"{one.quantity:,} t" for one in event.sold)
            paid = ", ".join(f"{_cny(one.amount)} to {drill.name(one.creditor)}" for one in event.payments)
            bought = f"{drill.name(event.buyer)} buys the security of case {event.case}, {sold}"
            return f"{bought}, for {_cny(event.proceeds)}: {paid}; {_cny(event.surplus)} to {drill.name(event.account)}"
        case _:
            return ""


def _delivered(drill: Drill, event: happened.BatchDelivered) -> str:
    provision = f", {_cny(event.provision)} of the fees to {RESERVE}" if event.provision else ""
    return f"batch {event.batch} delivered: {_count(event.report.trades, 'trade')}{provision}"


def _notified(drill: Drill, one: happened.FailureNotified) -> str:
    lacked = ", ".join(drill.amount(asset, amount) for asset, amount in one.lacked.items()) or "nothing more"
    return (
        f"case {one.case}: {drill.name(one.account)} lacks {lacked}; {_numbers(one.trades)} to wait; "
        f"notified, restricted, to cure until {drill.local(one.deadline_ns)}"
    )


def _covered(drill: Drill, event: happened.FailureCovered) -> Iterator[str]:
    yield f"case {event.case} of {drill.name(event.account)} {event.state}"
    for payment in event.payments:
        yield f"{drill.name(payment.payer)} gives {drill.amount(payment.asset, payment.quantity)}"
    for one in event.closed_out:
        buyer = drill.name(one.account)
        drill.compensations[buyer] = drill.compensations.get(buyer, 0) + one.amount
        yield f"trade {one.trade} is closed out: {buyer} gets {_cny(one.amount)}, what the price has risen"
    if event.trades:
        yield f"{_numbers(event.trades)} to come again"


def _cny(fen: int) -> str:
    return f"{Decimal(fen) / 100:,.2f}"


def _numbers(trades: list[int]) -> str:
    return f"trade{'s' if len(trades) > 1 else ''} {', '.join(map(str, trades))}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


# ---------------------------------------------------------------- shown


def show(drill: Drill, console: Console) -> None:
    """Print what happened, what everybody had and has, and what was owed."""
    rules = drill.rules
    if drill.own_reserve:
        console.print(f"The rules of {rules.title} have no risk reserve: the drill brings its own.")
    console.print(_steps_table(drill))
    console.print(_stands_table(drill, f"Cash, {rules.currency}", [one.cash for one in drill.stands], _cny))
    console.print(_stands_table(drill, "Units, t", [one.tonnes for one in drill.stands], "{:,}".format))
    console.print(_cases_table(drill))
    console.print(
        f"Everybody who did not fail has what was due: {len(CHECKS)} checks hold after each of "
        f"{drill.exchange.sequence} commands. {rules.settlement.mode}, digest {drill.exchange.digest()[:16]}."
    )


def _table(title: str, *headings: str, left: int = 1) -> Table:
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="left" if number < left else "right")
    return made


def _steps_table(drill: Drill) -> Table:
    made = _table(f"Default drill, {drill.rules.title}, {drill.rules.settlement.mode}", "at", "who", "step", left=3)
    for one in drill.told:
        made.add_row(*one)
    return made


def _stands_table(drill: Drill, title: str, held: list[dict[str, int]], written: Callable[[int], str]) -> Table:
    """What everybody had of one kind at each stand, and all together."""
    made = _table(f"Settled. {title}", "account", *(one.title for one in drill.stands))
    for name in drill.stands[-1].cash:
        made.add_row(name, *(written(one.get(name, 0)) for one in held))
    made.add_section()
    made.add_row("all", *(written(sum(one.values())) for one in held))
    return made


def _cases_table(drill: Drill) -> Table:
    defaults = drill.exchange.clearing.defaults
    made = _table(
        "Cases and recourse", "case", "account", "state", "lacked", "creditor", "paid", "repaid", "left", left=5
    )
    for case in defaults.cases:
        lacked = ", ".join(drill.amount(asset, amount) for asset, amount in case.lacked.items())
        claims = [claim for claim in defaults.claims if claim.case == case.number]
        head = [str(case.number), drill.name(case.account), str(case.state), lacked]
        for claim in claims:
            made.add_row(*head, drill.name(claim.creditor), _cny(claim.amount), _cny(claim.repaid), _cny(claim.left))
            head = ["", "", "", ""]
        if not claims:
            made.add_row(*head, "", "", "", "")
    return made
