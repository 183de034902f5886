"""The registry once more, as plainly as can be: dicts of tonnes, and a list with an entry for every single tonne.

It is told the commands that the exchange took, and does by itself what they mean. Nothing here is shared with the
packages; names of accounts and units stand for themselves.
"""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor


@dataclass
class Tonne:
    """One serial number: who has title (the last one, if it is gone), how it came, what became of it."""

    holder: str
    origin: str
    traded: bool = False
    gone: bool = False


@dataclass
class Year:
    """What an enterprise is given and owes for a year."""

    initial: int = 0
    allocated: int = 0
    deducted: int = 0
    parked: int = 0
    owed_back: int = 0
    emissions: int | None = None
    surrendered: int = 0
    offset: int = 0
    unpaid: bool = False
    short: bool = False

    @property
    def missing(self) -> int:
        return (self.emissions or 0) + self.owed_back - self.surrendered


@dataclass
class Rules:
    """The few numbers in which the two markets differ here."""

    share: Fraction
    of_emissions: bool
    reserve: Fraction
    paid: Fraction
    shortage: Fraction  # 0: no cap on it
    offset: Fraction
    offset_of_due: bool
    deduction: int
    lapses: bool


@dataclass
class Plain:
    """Everybody's tonnes. Buckets as in the exchange; `keeper` is the authority."""

    rules: Rules
    keeper: str
    held: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    tonnes: dict[str, list[Tonne]] = field(default_factory=dict)
    years: dict[int, dict[str, Year]] = field(default_factory=dict)
    caps: dict[int, int] = field(default_factory=dict)
    reserved: dict[int, int] = field(default_factory=dict)
    deductions: Counter[str] = field(default_factory=Counter)
    sold: list[tuple[str, str, str, int]] = field(default_factory=list)  # unsettled: unit, seller, buyer, tonnes
    net_sales: Counter[str] = field(default_factory=Counter)
    carried: Counter[tuple[str, int]] = field(default_factory=Counter)
    frozen: set[str] = field(default_factory=set)
    pending: dict[int, tuple[str, str, int, dict[str, int]]] = field(default_factory=dict)
    locks: dict[int, tuple[str, str, int, str, str]] = field(default_factory=dict)
    resting: Counter[tuple[str, str]] = field(default_factory=Counter)

    # -- tonnes come, move and go

    def move(self, who: str, unit: str, source: str, target: str, tonnes: int) -> None:
        self.held[who, unit, source] -= tonnes
        self.held[who, unit, target] += tonnes

    def issue(self, who: str, unit: str, tonnes: int, origin: str) -> None:
        self.held[who, unit, "registry"] += tonnes
        self.tonnes.setdefault(unit, []).extend(Tonne(who, origin) for _ in range(tonnes))

    def owned(self, who: str, unit: str) -> list[Tonne]:
        return [one for one in self.tonnes.get(unit, []) if one.holder == who and not one.gone]

    def give(self, giver: str, taker: str, unit: str, tonnes: int, origin: str = "") -> None:
        self.held[giver, unit, "registry"] -= tonnes
        self.held[taker, unit, "registry"] += tonnes
        for one in sorted(self.owned(giver, unit), key=lambda one: one.origin != origin)[:tonnes]:
            one.holder = taker

    def end(self, who: str, unit: str, tonnes: int, bucket: str = "registry") -> None:
        self.held[who, unit, bucket] -= tonnes
        for one in self.owned(who, unit)[:tonnes]:
            one.gone = True

    def fetch(self, who: str, unit: str, tonnes: int) -> None:
        """From the trading side, what the registry side lacks."""
        lacking = max(0, tonnes - self.held[who, unit, "registry"])
        self.move(who, unit, "available", "registry", lacking)

    # -- locks

    def lock(self, number: int, who: str, unit: str, tonnes: int, kind: str, favoured: str) -> None:
        self.move(who, unit, "registry", kind, tonnes)
        self.locks[number] = who, unit, tonnes, kind, favoured

    def unlock(self, number: int, tonnes: int, enforce: bool) -> None:
        who, unit, locked, kind, favoured = self.locks.pop(number)
        self.move(who, unit, kind, "registry", tonnes)
        if enforce:
            self.give(who, favoured, unit, tonnes)
        if tonnes < locked:
            self.locks[number] = who, unit, locked - tonnes, kind, favoured

    # -- trading

    def rest(self, who: str, unit: str, tonnes: int) -> None:
        self.move(who, unit, "available", "reserved", tonnes)
        self.resting[who, unit] += tonnes

    def no_orders(self, *names: str) -> None:
        for who, unit in [key for key in self.resting if key[0] in names]:
            self.move(who, unit, "reserved", "available", self.resting.pop((who, unit)))

    def trade(self, unit: str, seller: str, buyer: str, tonnes: int) -> None:
        self.move(seller, unit, "available", "reserved", tonnes)
        self.held[buyer, unit, "incoming"] += tonnes
        self.held[buyer, unit, "unsettled"] += tonnes
        self.sold.append((unit, seller, buyer, tonnes))

    def settle(self) -> None:
        for unit, seller, buyer, tonnes in self.sold:
            self.held[seller, unit, "reserved"] -= tonnes
            self.held[buyer, unit, "unsettled"] -= tonnes
            for one in self.owned(seller, unit)[:tonnes]:
                one.holder, one.traded = buyer, True
            self.net_sales[seller] += tonnes
            self.net_sales[buyer] -= tonnes
        self.sold.clear()

    def new_day(self) -> None:
        for (who, unit, bucket), tonnes in list(self.held.items()):
            if bucket == "incoming":
                self.move(who, unit, "incoming", "available", tonnes)

    # -- a year

    def parks(self, who: str) -> bool:
        return who in self.frozen or any(year[who].unpaid for year in self.years.values() if who in year)

    def get(self, year: int, who: str, tonnes: int) -> None:
        one, parked = self.years[year][who], self.parks(who)
        one.allocated += tonnes
        one.parked += tonnes if parked else 0
        self.issue(self.keeper if parked else who, f"HBEA-{year}", tonnes, "free")

    def unpark(self, year: int, who: str, tonnes: int) -> None:
        self.years[year][who].parked -= tonnes
        self.give(self.keeper, who, f"HBEA-{year}", tonnes, "free")

    def deduct(self, who: str, one: Year, most: int) -> None:
        tonnes = min(most, self.deductions[who])
        self.deductions[who] -= tonnes
        one.deducted += tonnes

    def pre_allocate(self, year: int) -> None:
        rules, cap = self.rules, self.caps[year]
        self.reserved[year] = floor(rules.reserve * cap)
        paid = sum(one.initial - floor(one.initial * (1 - rules.paid)) for one in self.years[year].values())
        self.issue(self.keeper, f"HBEA-{year}", self.reserved[year], "reserve")
        self.issue(self.keeper, f"HBEA-{year}", paid, "auction")
        self.reserved[year] += paid
        for who, one in self.years[year].items():
            last = self.years.get(year - 1, {}).get(who)
            of = one.initial
            if last and last.emissions is not None:
                of = last.emissions if rules.of_emissions else last.allocated + last.deducted - last.owed_back
            free = floor(floor(of * rules.share) * (1 - rules.paid))
            self.deduct(who, one, free)
            self.get(year, who, free - one.deducted)

    def determine(self, year: int, emissions: dict[str, int]) -> None:
        wanted = {}
        for who, one in self.years[year].items():
            one.emissions = emissions[who]
            least = floor(emissions[who] * (1 - self.rules.shortage)) if self.rules.shortage else 0
            wanted[who] = max(floor(one.initial * (1 - self.rules.paid)), least)
        room, total = (self.caps[year] or 10**15) - self.reserved[year], sum(wanted.values())
        for who, one in self.years[year].items():
            final = wanted[who] * room // total if total > room else wanted[who]
            self.deduct(who, one, final - one.deducted)
            more = final - one.deducted - one.allocated
            if more >= 0:
                self.get(year, who, more)
                continue
            if one.parked:
                self.unpark(year, who, -more)
            back = min(-more, self.held[who, f"HBEA-{year}", "registry"])
            self.end(who, f"HBEA-{year}", back)
            one.allocated -= back
            one.owed_back = -more - back

    # -- surrender

    def wait_for(self, year: int, whose: str) -> tuple[int, int]:
        """Tonnes that are offered for somebody's year, and how many are credits."""
        offered = [tonnes for _, name, at, tonnes in self.pending.values() if (name, at) == (whose, year)]
        return sum(sum(one.values()) for one in offered), sum(one.get("CCER", 0) for one in offered)

    def plan(self, year: int, whose: str, have: dict[str, int]) -> dict[str, int]:
        """What of `have` makes somebody whole: the oldest first, allowances before credits."""
        one, (offered, credits) = self.years[year][whose], self.wait_for(year, whose)
        base = one.missing + one.surrendered if self.rules.offset_of_due else one.initial
        room = max(0, floor(base * self.rules.offset) - one.offset - credits)
        missing, chosen = one.missing - offered, {}
        for unit in ("HBEA-2025", "CCER", "HBEA-2026"):
            old_enough = unit == "CCER" or int(unit[-4:]) <= year
            most = min(have.get(unit, 0), missing, room if unit == "CCER" else missing)
            if old_enough and most > 0:
                chosen[unit], missing = most, missing - most
        return chosen

    def request(self, number: int, payer: str, whose: str, year: int, units: dict[str, int]) -> None:
        have = {unit: self.held[payer, unit, "registry"] for unit in self.tonnes}
        tonnes = units or self.plan(year, whose, have)
        for unit, quantity in tonnes.items():
            self.move(payer, unit, "registry", "pending_surrender", quantity)
        self.pending[number] = payer, whose, year, tonnes

    def give_back(self, number: int) -> None:
        payer, _, _, tonnes = self.pending.pop(number)
        for unit, quantity in tonnes.items():
            self.move(payer, unit, "pending_surrender", "registry", quantity)

    def pay(self, payer: str, whose: str, year: int, tonnes: dict[str, int], bucket: str) -> None:
        one = self.years[year][whose]
        for unit, quantity in tonnes.items():
            self.end(payer, unit, quantity, bucket)
            one.surrendered += quantity
            one.offset += quantity if unit == "CCER" else 0

    def confirm(self, number: int) -> None:
        payer, whose, year, tonnes = self.pending.pop(number)
        self.pay(payer, whose, year, tonnes, "pending_surrender")

    def force(self, year: int, who: str) -> None:
        one = self.years[year][who]
        if one.parked:
            self.unpark(year, who, one.parked)
        have = {unit: self.held[who, unit, "registry"] + self.held[who, unit, "available"] for unit in self.tonnes}
        chosen = self.plan(year, who, have)
        for unit, quantity in chosen.items():
            self.fetch(who, unit, quantity)
        self.pay(who, who, year, chosen, "registry")

    def close(self, year: int) -> None:
        for number in [number for number, request in self.pending.items() if request[2] == year]:
            self.give_back(number)
        for who, one in self.years[year].items():
            one.short = one.unpaid = one.missing > 0
            self.deductions[who] += self.rules.deduction * one.missing

    # -- the end

    def lapse(self, year: int) -> None:
        unit = f"HBEA-{year}"
        for who in sorted({one.holder for one in self.tonnes[unit]}):
            gone = self._lapse(who, unit, "free")
            for one in self.years[year].values() if who == self.keeper else ():
                lost = min(gone, one.parked)
                one.parked, gone = one.parked - lost, gone - lost
        self._lapse(self.keeper, unit, "reserve")

    def _lapse(self, who: str, unit: str, origin: str) -> int:
        never = [one for one in self.owned(who, unit) if one.origin == origin and not one.traded]
        tonnes = min(len(never), self.held[who, unit, "registry"] + self.held[who, unit, "available"])
        self.fetch(who, unit, tonnes)
        self.held[who, unit, "registry"] -= tonnes
        for one in never[:tonnes]:
            one.gone = True
        return tonnes

    def carry(self, who: str, year: int, quantity: int | None) -> None:
        limit = 10 + floor(Fraction(3, 2) * max(0, self.net_sales[who])) - self.carried[who, year]
        left = carried = min(limit, 10**15 if quantity is None else quantity)
        for unit in ("HBEA-2025", "HBEA-2026"):
            if int(unit[-4:]) <= year:
                kept = sum(one.parked for one in self.years[int(unit[-4:])].values()) if who == self.keeper else 0
                tonnes = min(left, self.held[who, unit, "registry"] - kept)
                self.end(who, unit, tonnes)
                left -= tonnes
        carried -= left
        self.carried[who, year] += carried
        self.issue(who, f"HBEA-{year + 1}", carried, "carried")
