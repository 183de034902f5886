"""Random histories of accounts, units, allocation, surrender and trading over two years, beside a plain registry.

After every command all invariants hold (:class:`tests.exchange.market.Market` sees to it), a refused command has left
everything as it was, and each bucket, each single tonne's title and each enterprise's figures are those of
:class:`tests.exchange.plain_registry.Plain`. At the end the journal makes the same exchange again.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from random import Random

import msgspec
import pytest

from exchange.commands import (
    CancelUnits,
    CarryOverUnits,
    ChangeAccountStatus,
    CloseSurrender,
    ConfirmSurrender,
    Control,
    DecideCoverage,
    DetermineAllocation,
    EnforceLock,
    ForceSurrender,
    GiveUnits,
    IssueUnits,
    LapseUnits,
    LockUnits,
    OpenPeriod,
    OpenSurrender,
    PayFine,
    PreAllocate,
    RecordActivity,
    RejectSurrender,
    ReleaseParked,
    ReleaseUnits,
    RequestSurrender,
    RetireUnits,
    SetBasis,
    TransferUnits,
)
from registry.accounts import AccountStatus, ParticipantClass
from registry.allocation import Historical
from registry.compliance import Stage
from registry.coverage import Activity
from registry.holdings import BUCKETS
from registry.locks import LockKind
from registry.rules import CarryOver, DatedShare
from registry.serials import BlockState, Origin
from tests.conftest import THOROUGH
from tests.exchange.cycle import HUBEI, NATIONAL, PROVINCE, Cycle, replayed, verify
from tests.exchange.market import cash
from tests.exchange.plain_registry import Plain, Rules, Year

HISTORIES = 50 if THOROUGH else 15
PLANTS = ("plant", "mill")
PEOPLE = (*PLANTS, "trader", PROVINCE)
UNITS = ("HBEA-2025", "HBEA-2026", "CCER")
YEARS = (2025, 2026)
PAID = [DatedShare(2014, "0.1")]


def with_paid_part(rules, **compliance):
    """A rule set in which a tenth is sold, and small amounts matter."""
    return msgspec.structs.replace(
        rules,
        allocation=msgspec.structs.replace(rules.allocation, paid=PAID),
        compliance=msgspec.structs.replace(rules.compliance, **compliance),
    )


MARKETS = {
    "hubei": (
        with_paid_part(HUBEI),
        Rules(Fraction(7, 10), False, Fraction(8, 100), Fraction(1, 10), Fraction(0), Fraction(1, 10), False, 2, True),
    ),
    "national": (
        with_paid_part(NATIONAL, expiry=[CarryOver(2021, 10, "1.5")]),
        Rules(Fraction(1, 2), True, Fraction(0), Fraction(1, 10), Fraction(1, 5), Fraction(5, 100), True, 1, False),
    ),
}


class History:
    """A market and its plain registry."""

    def __init__(self, market: str, in_turn: bool) -> None:
        self.in_turn = in_turn  # the second year begins when the first is over
        rules, numbers = MARKETS[market]
        rich = cash("100000.00")
        plant = replace(rich, participant_class=ParticipantClass.COVERED_ENTERPRISE)
        self.cycle = Cycle(rules, plant=plant, mill=plant, trader=rich)
        self.exchange = self.cycle.exchange
        self.cycle.register_credit("CCER", registered_on=date(2025, 1, 2))
        self.plain = Plain(numbers, PROVINCE)
        self.plain.tonnes = {unit: [] for unit in ("HBEA-2025", "CCER")}
        self.seen: Counter[str] = Counter()
        self.digest = self.cycle.digest()

    def do(self, command: Control, effect: Callable[[], object], expected: bool | None = None) -> bool:
        """Submit a command; whether it was taken, in which case `effect` is what it means."""
        said = self.cycle.ask(command)
        taken = "refused" not in said
        assert expected is None or taken == expected, f"{command}: {said}"
        if taken:
            effect()
            self.seen[type(command).__name__] += 1
            self.digest = self.cycle.digest()
        else:
            assert self.cycle.digest() == self.digest, f"{command} was refused and changed something"
        self.compare()
        return taken

    def play(self, line: str, effect: Callable[[], object]) -> bool:
        taken = "refused" not in self.cycle.play(line)
        if taken:
            effect()
            self.seen[line.split()[1 if line.startswith(PEOPLE) else 0]] += 1
        self.digest = self.cycle.digest()
        self.compare()
        return taken

    # -- the two must agree

    def compare(self) -> None:
        balances = self.exchange.path.desk.balances
        for unit in self.exchange.units:
            for name in PEOPLE:
                row = balances[self.cycle.number(name), unit.number]
                found = {bucket: int(row[bucket]) for bucket in (*BUCKETS, "unsettled")}
                expected = {bucket: self.plain.held[name, unit.code, bucket] for bucket in found}
                assert found == expected, f"{name}, {unit.code}"
        titles = {unit: [(one.holder, one.gone) for one in tonnes] for unit, tonnes in self.plain.tonnes.items()}
        found_titles = {unit: [] for unit in titles}
        for block in self.exchange.serials:
            holder = self.exchange.accounts[block.holder].account_id
            mark = holder, block.state != BlockState.HELD
            found_titles[self.exchange.units[block.unit].code] += [mark] * block.quantity
        assert found_titles == titles
        for year, names in self.plain.years.items():
            for name, one in names.items():
                obligor = self.cycle.obligor(name, year)
                figures = (obligor.allocated, obligor.parked, obligor.owed_back, obligor.deducted, obligor.missing)
                assert figures == (one.allocated, one.parked, one.owed_back, one.deducted, one.missing), (name, year)
                assert obligor.offset == one.offset
        deductions = {self.exchange.accounts[n].account_id: t for n, t in self.exchange.compliance.deductions.items()}
        assert deductions == +self.plain.deductions

    def free(self, name: str, unit: str) -> int:
        """Tonnes on the registry side that are not kept for others."""
        kept = 0
        if name == PROVINCE and unit.startswith("HBEA") and int(unit[-4:]) in self.plain.years:
            kept = sum(one.parked for one in self.plain.years[int(unit[-4:])].values())
        return self.plain.held[name, unit, "registry"] - kept

    # -- steps of a year

    def stage(self, year: int) -> Stage | None:
        period = self.exchange.compliance.periods.get(year)
        return period.stage if period else None

    def advance(self, year: int, amount: int, other: int) -> None:
        """The next step of a year."""
        plain, cap = self.plain, (0, 30, 90)[amount % 3]
        if self.in_turn and self.stage(2025) != Stage.CLOSED:
            year = 2025
        if self.stage(year) is None:
            self.do(OpenPeriod(PROVINCE, year, cap), lambda: self._opened(year, cap), True)
        elif self.stage(year) == Stage.OPEN and not plain.years[year]:
            for name in PLANTS:
                self.do(RecordActivity(PROVINCE, name, Activity(year - 1, 30_000)), lambda: None, True)
            self.do(DecideCoverage(PROVINCE, year), lambda: self._covered(year), True)
        elif self.stage(year) == Stage.OPEN and not all(one.initial for one in plain.years[year].values()):
            for name, tonnes in zip(PLANTS, (1 + amount, 1 + other), strict=True):
                self.set_basis(year, name, tonnes)
        elif self.stage(year) == Stage.OPEN:
            self.do(PreAllocate(PROVINCE, year), lambda: plain.pre_allocate(year), True)
        elif self.stage(year) == Stage.PRE_ALLOCATED:
            emissions = {"plant": amount, "mill": other}
            for name, tonnes in emissions.items():
                verify(self.cycle, name, year, tonnes)
            self.digest = self.cycle.digest()
            self.do(DetermineAllocation(PROVINCE, year), lambda: plain.determine(year, emissions), True)
        elif self.stage(year) == Stage.DETERMINED:
            deadline = self.exchange.date + timedelta(days=1 + amount % 2)
            self.do(OpenSurrender(PROVINCE, year, deadline), lambda: None, True)
        elif self.stage(year) == Stage.SURRENDERING and amount % 2:
            over = self.exchange.date > self.exchange.compliance.periods[year].deadline
            whole = all(one.missing == 0 for one in plain.years[year].values())
            if not self.do(CloseSurrender(PROVINCE, year), lambda: plain.close(year), over or whole):
                self.next_day()
        elif self.stage(year) == Stage.CLOSED and plain.rules.lapses:
            self.do(LapseUnits(PROVINCE, year), lambda: plain.lapse(year), True)
        elif self.stage(year) == Stage.CLOSED:
            self.carry(PEOPLE[other % 4], year, amount)

    def _opened(self, year: int, cap: int) -> None:
        self.plain.years[year], self.plain.caps[year] = {}, cap
        self.plain.tonnes.setdefault(f"HBEA-{year}", [])

    def _covered(self, year: int) -> None:
        self.plain.years[year] = {name: self.plain.years[year].get(name, Year()) for name in PLANTS}

    def set_basis(self, year: int, name: str, tonnes: int) -> None:
        def effect() -> None:
            self.plain.years[year][name].initial = tonnes

        self.do(SetBasis(PROVINCE, name, year, [Historical(tonnes, "1")]), effect)

    def carry(self, name: str, year: int, amount: int) -> None:
        quantity = amount if amount % 2 else None
        self.do(CarryOverUnits(PROVINCE, name, year, quantity), lambda: self.plain.carry(name, year, quantity))

    def next_day(self) -> None:
        self.play("close", lambda: self.plain.no_orders(*PEOPLE))
        self.play("settle", self.plain.settle)
        self.play(f"open {self.exchange.date + timedelta(days=1)}", self.plain.new_day)
        self.play("start", lambda: None)

    # -- wishes

    def wish(self, kind: str, a: int, b: int, unit: int, amount: int, other: int) -> None:
        """What somebody would like to do. One in five may be nonsense: then it is refused."""
        plain = self.plain
        one, two, code, year = PEOPLE[a], PEOPLE[b], UNITS[unit], YEARS[unit % 2]
        if other % 5:
            one, code, year, amount = self.sensible(kind, one, code, year, amount, a + 4 * unit)
        known = code in plain.tonnes
        in_favour = two if b else ""
        active = one not in plain.frozen
        match kind:
            case "advance":
                self.advance(2025 if a < 3 else 2026, amount, other)
            case "advance the later":
                self.advance(2026, amount, other)
            case "day":
                self.next_day()
            case "credits":
                self.do(
                    IssueUnits(one, "CCER", 1 + amount, Origin.CREDIT),
                    lambda: plain.issue(one, "CCER", 1 + amount, "credit"),
                    True,
                )
            case "to trading":
                fits = known and active and 0 < amount <= self.free(one, code)
                self.do(
                    TransferUnits(one, code, amount, True),
                    lambda: plain.move(one, code, "registry", "available", amount),
                    fits,
                )
            case "to registry":
                fits = known and active and 0 < amount <= plain.held[one, code, "available"]
                self.do(
                    TransferUnits(one, code, amount, False),
                    lambda: plain.move(one, code, "available", "registry", amount),
                    fits,
                )
            case "sell":
                here = one != two and {one, two}.isdisjoint(plain.frozen | {PROVINCE})
                if here and 0 < amount <= plain.held[one, "HBEA-2025", "available"]:
                    assert self.cycle.play(f"{one} sells {amount} @ 42.00") == f"{one} accepted"
                    self.play(f"{two} buys {amount} @ 42.00", lambda: plain.trade("HBEA-2025", one, two, amount))
            case "rest":
                self.play(f"{one} sells {amount} @ 46.00", lambda: plain.rest(one, "HBEA-2025", amount))
            case "give":
                self.do(
                    GiveUnits(PROVINCE, one, two, code, amount, "merger"),
                    lambda: plain.give(one, two, code, amount),
                    known and one != two and 0 < amount <= self.free(one, code),
                )
            case "lock":
                self.do(
                    LockUnits(PROVINCE, one, code, amount, (*LockKind,)[other % 2], "file 1", in_favour),
                    lambda: plain.lock(
                        self.exchange.locks.next_id - 1, one, code, amount, str((*LockKind,)[other % 2]), in_favour
                    ),
                    known and 0 < amount <= self.free(one, code),
                )
            case "release" | "enforce" if plain.locks:
                number = (*plain.locks,)[a % len(plain.locks)]
                tonnes, favoured = plain.locks[number][2], plain.locks[number][4]
                if kind == "release":
                    self.do(
                        ReleaseUnits(PROVINCE, number, amount),
                        lambda: plain.unlock(number, amount, False),
                        0 < amount <= tonnes,
                    )
                else:
                    amount = min(amount, tonnes)
                    self.do(
                        EnforceLock(PROVINCE, number, amount),
                        lambda: plain.unlock(number, amount, True),
                        amount > 0 and bool(favoured),
                    )
            case "retire":
                self.do(
                    RetireUnits(one, code, amount, "fair"),
                    lambda: plain.end(one, code, amount),
                    known and active and one != PROVINCE and 0 < amount <= self.free(one, code),
                )
            case "cancel":
                self.do(
                    CancelUnits(PROVINCE, one, code, amount, "error"),
                    lambda: plain.end(one, code, amount),
                    known and 0 < amount <= self.free(one, code),
                )
            case "offer some" | "offer all":
                units = {code: amount} if kind == "offer some" else {}
                whose = PLANTS[b % 2]
                if one == PROVINCE:
                    one = "trader"
                self.do(
                    RequestSurrender(one, year, units, whose),
                    lambda: plain.request(self.exchange.compliance.next_request - 1, one, whose, year, units),
                )
            case "confirm" | "reject" if plain.pending:
                number = (*plain.pending,)[a % len(plain.pending)]
                if kind == "confirm":
                    self.do(ConfirmSurrender(PROVINCE, number), lambda: plain.confirm(number), True)
                else:
                    self.do(RejectSurrender(PROVINCE, number, "papers"), lambda: plain.give_back(number), True)
            case "force":
                self.do(ForceSurrender(PROVINCE, one, year), lambda: plain.force(year, one))
            case "release parked":
                self.do(
                    ReleaseParked(PROVINCE, one, year),
                    lambda: plain.unpark(year, one, plain.years[year][one].parked),
                )
            case "pay fine":
                due = year in plain.years and one in plain.years[year] and plain.years[year][one].unpaid
                self.do(PayFine(one, year), lambda: self._fine_paid(year, one), due)
            case "lapse":
                self.do(
                    LapseUnits(PROVINCE, year),
                    lambda: plain.lapse(year),
                    plain.rules.lapses and self.stage(year) == Stage.CLOSED,
                )
            case "carry":
                self.carry(one, 2025, amount)
            case "cover again":
                self.do(DecideCoverage(PROVINCE, year), lambda: None, self.stage(year) == Stage.OPEN)
            case "basis again":
                self.set_basis(year, PLANTS[a % 2], amount)
            case "freeze" | "thaw" if one != PROVINCE:
                self._change_status(one, AccountStatus.FROZEN if kind == "freeze" else AccountStatus.ACTIVE)

    def sensible(self, kind: str, one: str, code: str, year: int, amount: int, pick: int) -> tuple[str, str, int, int]:
        """Who, unit, year and tonnes for a wish, so that it may come true, if that can be had."""
        plain = self.plain
        if kind in ("to trading", "give", "lock", "retire", "cancel", "offer some"):
            found = [(who, unit, self.free(who, unit)) for who in PEOPLE for unit in plain.tonnes]
        elif kind in ("to registry", "sell", "rest"):
            found = [(who, unit, plain.held[who, unit, "available"]) for who in PEOPLE for unit in plain.tonnes]
        else:
            found = []
        found = [entry for entry in found if entry[2]]
        if found:
            one, code, most = found[pick % len(found)]
            amount = 1 + amount % most
        owing = {
            "offer some": lambda one: one.missing,
            "offer all": lambda one: one.missing,
            "force": lambda one: one.missing,
            "release parked": lambda one: one.parked,
            "pay fine": lambda one: one.unpaid,
        }
        if kind in owing:
            years = plain.years.items()
            wanted = [(who, at) for at, names in years for who, figures in names.items() if owing[kind](figures)]
            if wanted:
                who, year = wanted[pick % len(wanted)]
                one = one if kind.startswith("offer") else who
        if kind == "thaw" and plain.frozen:
            one = sorted(plain.frozen)[pick % len(plain.frozen)]
        return one, code, year, amount

    def _fine_paid(self, year: int, name: str) -> None:
        self.plain.years[year][name].unpaid = False

    def _change_status(self, name: str, status: AccountStatus) -> None:
        def effect() -> None:
            if status == AccountStatus.FROZEN:
                self.plain.frozen.add(name)
                self.plain.no_orders(name)
            else:
                self.plain.frozen.discard(name)

        changes = (name in self.plain.frozen) != (status == AccountStatus.FROZEN)
        self.do(ChangeAccountStatus(PROVINCE, name, status, "court"), effect, changes)


WEIGHTS = {
    "advance": 26, "advance the later": 12, "day": 3, "credits": 3, "to trading": 8, "to registry": 3, "sell": 8,
    "rest": 2, "give": 3, "lock": 4, "release": 2, "enforce": 3, "retire": 2, "cancel": 2, "offer some": 7,
    "offer all": 8, "confirm": 10, "reject": 2, "force": 3, "release parked": 4, "pay fine": 2, "lapse": 2, "carry": 3,
    "cover again": 1, "basis again": 2, "freeze": 2, "thaw": 4,
}  # fmt: skip


def wishes_of(seed: int, count: int) -> list[tuple]:
    """So many wishes at random. Drawn from a seed, since Hypothesis by itself likes to repeat one wish all over."""
    chance = Random(seed)
    kinds = chance.choices([*WEIGHTS], [*WEIGHTS.values()], k=count)
    return [(kind, *(chance.randint(0, most) for most in (3, 3, 2, 20, 20))) for kind in kinds]


# What must have come about in some of the histories of each market, so that they are worth their time.
DEEP = {
    "ConfirmSurrender", "RejectSurrender", "ForceSurrender", "CloseSurrender", "PayFine", "ReleaseParked",
    "ReleaseUnits", "EnforceLock", "RetireUnits", "CancelUnits", "GiveUnits", "buys", "sells",
}  # fmt: skip


@pytest.mark.parametrize("market", MARKETS)
def test_any_history_goes_as_in_a_plain_registry(market):
    """Each from a seed of its own: Hypothesis would try small ones again and again."""
    seen: set[str] = set()
    for seed in range(HISTORIES):
        wishes = wishes_of(seed, count=70 + seed % 31)
        history = History(market, in_turn=seed % 2 == 0)
        for step, wish in enumerate(wishes):
            try:
                history.wish(*wish)
            except AssertionError as error:
                error.add_note(f"seed {seed}, step {step}: {wish}")
                raise
        assert replayed(history.cycle).digest() == history.digest, f"seed {seed}"
        seen |= history.seen.keys()
    if THOROUGH:
        assert seen >= DEEP | {"LapseUnits" if market == "hubei" else "CarryOverUnits"}
