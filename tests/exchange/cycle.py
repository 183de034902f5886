"""A compliance cycle for tests: a market with a registry authority, and the steps of a year as one call each.

    cycle = Cycle(plant=enterprise, mill=enterprise, trader=cash("1000000.00"))
    cycle.cover(2025, plant=20_000, mill=30_000)      # figures, coverage, one basis each
    cycle.pre_allocate(2025)
    cycle.determine(2025, plant=21_000, mill=25_000)  # verified emissions, final allocation
    cycle.open_window(2025, "2026-01-09")
    cycle.pay("plant", 2025)                          # request and confirm what makes whole

What a step says is the event; a step that is refused fails the test, but for `ask`.
"""

from datetime import date, timedelta

import msgspec

from exchange.commands import (
    CloseSurrender,
    ConfirmSurrender,
    Control,
    DecideCoverage,
    DetermineAllocation,
    FileReport,
    IssueUnits,
    OpenPeriod,
    OpenReporting,
    OpenSurrender,
    PreAllocate,
    PublishFactor,
    RecordActivity,
    RegisterUnit,
    RequestSurrender,
    SetBasis,
    SubmitReport,
    VerifyReport,
)
from exchange.engine import read_batches
from exchange.rules import RuleSet, load_rule_set
from exchange.state import Exchange
from exchange.transition import apply
from registry.accounts import AccountStatus, ParticipantClass
from registry.allocation import Historical
from registry.compliance import Obligor
from registry.coverage import Activity
from registry.emissions import SourceStream, Verdict
from registry.serials import Origin
from registry.units import Species
from tests.exchange.market import DAY, Market, Stake, verifier

PROVINCE = "province"
INSPECTOR = "inspector"
FUEL = "fuel"  # a tonne of it is a tonne of CO2
enterprise = Stake(participant_class=ParticipantClass.COVERED_ENTERPRISE)
authority = Stake(participant_class=ParticipantClass.REGISTRY_AUTHORITY)

HUBEI = load_rule_set("hubei")
# The national rules for units of the same code, so that the listed instrument is theirs.
NATIONAL = load_rule_set("national")
NATIONAL = msgspec.structs.replace(NATIONAL, compliance=msgspec.structs.replace(NATIONAL.compliance, allowance="HBEA"))


def verify(market: Market, name: str, year: int, tonnes: int) -> None:
    """Let an enterprise report so many tonnes for a year and the inspector confirm them, unless that is done."""
    emissions = market.exchange.emissions
    if year not in emissions.years:
        market.must(OpenReporting(PROVINCE, year, date(year + 1, 12, 31)))
    if emissions.verified(market.number(name), year) != tonnes:
        market.must(FileReport(name, year, (SourceStream("boiler", str(tonnes), "t", FUEL),)))
        market.must(SubmitReport(name, year))
        market.must(VerifyReport(INSPECTOR, name, year, Verdict.CONFIRM))


def replayed(market: Market) -> Exchange:
    """The exchange that a market's journal describes."""
    exchange = Exchange()
    for batch in read_batches(market.engine.journal.blocks()):
        apply(exchange, batch)
    return exchange


def allowance(year: int) -> str:
    return f"HBEA-{year}"


class Cycle(Market):
    """A trading market with the authority `province`."""

    def __init__(self, rules: RuleSet = HUBEI, /, day: str = DAY, until: str = "trading", **people: Stake) -> None:
        super().__init__(rules, day=day, until=until, province=authority, inspector=verifier, **people)
        self.must(PublishFactor(PROVINCE, FUEL, 1, "1", "tCO2/t", 2010, "assumed"))

    def ask(self, command: Control) -> str:
        """What is said to a command that may be refused."""
        return self.do(command)

    # -- the steps of a year

    def record(self, name: str, year: int, **figures: int | bool) -> None:
        """An enterprise's figures; of 20,000 t if none are named."""
        self.must(RecordActivity(PROVINCE, name, Activity(year, **(figures or {"emissions": 20_000}))))

    def open_period(self, year: int, cap: int = 0) -> None:
        self.must(OpenPeriod(PROVINCE, year, cap))

    def cover(self, year: int, cap: int = 0, **initial: int) -> None:
        """Open a year; cover those named and allocate them these tonnes on their basis."""
        self.open_period(year, cap)
        for name in initial:
            self.record(name, year - 1)
        self.must(DecideCoverage(PROVINCE, year))
        for name, tonnes in initial.items():
            self.set_basis(name, year, tonnes)

    def set_basis(self, name: str, year: int, tonnes: int) -> None:
        self.must(SetBasis(PROVINCE, name, year, [Historical(tonnes, "1")]))

    def pre_allocate(self, year: int) -> None:
        self.must(PreAllocate(PROVINCE, year))

    def determine(self, year: int, **emissions: int) -> None:
        for name, tonnes in emissions.items():
            verify(self, name, year, tonnes)
        self.must(DetermineAllocation(PROVINCE, year))

    def open_window(self, year: int, deadline: str = "2026-01-09") -> None:
        self.must(OpenSurrender(PROVINCE, year, date.fromisoformat(deadline)))

    def run_to_window(self, year: int, cap: int = 0, **figures: tuple[int, int]) -> None:
        """A year from its opening to the window: (initial allocation, verified emissions) of each."""
        self.cover(year, cap, **{name: initial for name, (initial, _) in figures.items()})
        self.pre_allocate(year)
        self.determine(year, **{name: emissions for name, (_, emissions) in figures.items()})
        self.open_window(year)

    def offer(self, name: str, year: int, on_behalf_of: str = "", **units: int) -> int:
        """Ask to surrender units (HBEA_2025=10) or whatever makes whole; the number of the request."""
        named = {code.replace("_", "-"): tonnes for code, tonnes in units.items()}
        self.must(RequestSurrender(name, year, named, on_behalf_of))
        return self.exchange.compliance.next_request - 1

    def pay(self, name: str, year: int, on_behalf_of: str = "", **units: int) -> None:
        self.must(ConfirmSurrender(PROVINCE, self.offer(name, year, on_behalf_of, **units)))

    def close_window(self, year: int) -> None:
        """Close a year's window, on the day after its deadline if that is still to come."""
        deadline = self.exchange.compliance.periods[year].deadline
        assert deadline and self.exchange.date
        if self.exchange.date <= deadline:
            self.next_day(str(deadline + timedelta(days=1)))
        self.must(CloseSurrender(PROVINCE, year))

    # -- units

    def register_credit(self, code: str, vintage: int = 2025, scheme: str = "CCER", **attributes: object) -> None:
        self.must(RegisterUnit(PROVINCE, code, Species.CREDIT, vintage, scheme, **attributes))

    def give_credits(self, name: str, code: str, tonnes: int) -> None:
        self.must(IssueUnits(name, code, tonnes, Origin.CREDIT))

    # -- asking

    def obligor(self, name: str, year: int = 2025) -> Obligor:
        return self.exchange.compliance.periods[year].obligors[self.number(name)]

    def status(self, name: str) -> AccountStatus:
        return self.exchange.accounts.by_id[name].status

    def registry(self, name: str, year: int = 2025) -> int:
        """Tonnes of a year's allowances on somebody's registry side."""
        return self.holding(name, allowance(year)).registry

    def origins(self, name: str, year: int = 2025) -> dict[str, int]:
        """Tonnes of a year's allowances to which somebody has title, by origin."""
        tonnes: dict[str, int] = {}
        for block in self.exchange.serials.of(self.number(name), self.asset(allowance(year))):
            tonnes[str(block.origin)] = tonnes.get(str(block.origin), 0) + block.quantity
        return tonnes
