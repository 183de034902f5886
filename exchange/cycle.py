"""Two compliance years of a whole market by commands: from allocation to the last surrendered serial number.

A script, not a model of behaviour: it shows that the cycle closes and reconciles under any rule set. The size is
that of Hubei (domain sheet C.1, H.4): some 340 covered enterprises under a cap of 182 Mt. Everything drawn is drawn
from one seed; figures of enterprises are invented, lognormal, and scaled so that what they emit fits the cap.

    year Y       open the period, decide coverage, pre-allocate on the figures of the years before
    year Y + 1   report and verify Y, determine the allocation, trade, surrender, close, expire;
                 the period of Y + 1 runs at the same time

Most enterprises buy what they lack and surrender in time. A few do not, each in a way of its own: no money, no
report, a court's freeze, closed, grown too small. Credits come from projects that are registered on the way.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
from rich.console import Console

from exchange import events as happened
from exchange.calendar import date_of
from exchange.commands import (
    ApproveMethodology,
    AssessEmissions,
    CarryOverUnits,
    ChangeAccountStatus,
    CloseReporting,
    CloseSession,
    CloseSurrender,
    Command,
    ConfirmSurrender,
    Control,
    DecideCoverage,
    DepositCash,
    DetermineAllocation,
    FileProject,
    FileReport,
    ForceSurrender,
    IssueReduction,
    LapseUnits,
    ListInstrument,
    OpenAccount,
    OpenDay,
    OpenPeriod,
    OpenReporting,
    OpenSurrender,
    PreAllocate,
    PublishFactor,
    PublishProject,
    PublishReduction,
    RecordActivity,
    RegisterProject,
    ReportReduction,
    RequestSurrender,
    SetBasis,
    SettleDay,
    StartTrading,
    SubmitReport,
    TransferUnits,
    ValidateProject,
    VerifyReduction,
    VerifyReport,
    control,
    place_order,
)
from exchange.engine import Engine
from exchange.instruments import ticks_of
from exchange.invariants import CHECKS, check
from exchange.journal import Journal
from exchange.reports import compliance_summary, registry_report
from exchange.rules import RuleSet
from exchange.sessions import next_trading_day
from exchange.state import Exchange
from exchange.tables import compliance_table, registry_table
from exchange.transition.compliance import usable_for, usable_of, whole_plan
from matching.orders import Side
from registry.accounts import AccountStatus, ParticipantClass
from registry.allocation import Basis, Benchmark, Historical, HistoricalIntensity
from registry.compliance import Obligor, Outcome, expiry_rule
from registry.coverage import Activity
from registry.emissions import Evidence, Output, SourceStream, Verdict
from registry.holdings import CASH, withdrawable
from registry.rules import CarryOver, Lapse
from registry.units import Species, Unit

AUTHORITY = "AUTHORITY"
FIRST_YEAR, YEARS = 2023, 2
ENTERPRISES, CAP = 340, 182_000_000
VERIFIERS, PROJECTS = 8, 4
TRADING_DAYS = 8  # before each deadline
SECTORS = ("power", "steel", "cement", "chemicals", "glass", "paper", "ceramics", "water supply")
OPENING = {"HBEA": "48.38", "CEA": "55.00"}  # closes of 2022 (domain sheet H.1, B.6)
PRICE_OF_CREDIT = "36.40"  # Wuhan carbon inclusion, December 2023 (E.2)


class CycleError(Exception):
    """A command of the script was refused, which none may be."""


@dataclass
class Enterprise:
    """One enterprise of the script: its size, and what is the matter with it."""

    account_id: str
    sector: str
    emissions: dict[int, int]  # tCO2e by year
    trouble: str = ""  # poor, silent, frozen, closed, small
    number: int = 0


@dataclass
class Cycle:
    """The script at work. `events` counts what happened, by name."""

    engine: Engine
    rules: RuleSet
    rng: np.random.Generator
    first_year: int = FIRST_YEAR
    enterprises: list[Enterprise] = field(default_factory=list)
    credits: list[str] = field(default_factory=list)  # codes of the units that projects earned
    now_ns: int = 0
    day: date | None = None

    @property
    def exchange(self) -> Exchange:
        return self.engine.exchange

    @property
    def allowance(self) -> str:
        return self.rules.compliance.allowance

    # -- doing

    def do(self, command: Control) -> happened.Event:
        """One command, which must not be refused."""
        return self.all([control(command)])[0]

    def all(self, commands: list[Command]) -> list[happened.Event]:
        """Commands as one batch; what came of those off the trading path."""
        self.now_ns += 1_000_000
        receipts, outcome = self.engine.submit(commands, self.now_ns)
        for receipt in receipts:
            event = outcome.events.get(receipt) if isinstance(receipt, int) else None
            if isinstance(event, happened.CommandRefused):
                raise CycleError(f"command {receipt}: {event.reason.code}: {event.detail}")
        return list(outcome.events.values())

    def open_day(self, on_or_after: date) -> date:
        """Close and settle the day that is open, and open the first trading day from a date on."""
        self.end_day()
        day = next_trading_day(self.rules, max(on_or_after - timedelta(days=1), self.day or date.min))
        self.now_ns = int(datetime(day.year, day.month, day.day, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
        self.do(OpenDay(day))
        self.day = day
        return day

    def end_day(self) -> None:
        """Close and settle."""
        if self.day is not None and not self.exchange.is_settled:
            self.do(CloseSession())
            self.do(SettleDay())


# ---------------------------------------------------------------- the whole script


def run_cycle(journal: Journal, rules: RuleSet, seed: int, enterprises: int = ENTERPRISES) -> Exchange:
    """Play two compliance years into a journal, which must be new. CycleError if a command is refused."""
    engine = Engine(journal)
    for _ in engine.open(rules, 0):
        pass
    cycle = Cycle(engine, rules, np.random.default_rng(seed))
    enrol(cycle, enterprises)
    years = range(cycle.first_year, cycle.first_year + YEARS)
    cycle.open_day(date(years[0], 1, 2))
    open_year(cycle, years[0])
    develop_projects(cycle)
    for year in years:
        after = year + 1
        cycle.open_day(date(after, 1, 4))
        if after in years:
            open_year(cycle, after)
        report(cycle, year)
        cycle.open_day(date(after, 10, 9))
        determine(cycle, year)
        if after in years:
            cycle.do(PreAllocate(AUTHORITY, after))
        trade_and_surrender(cycle, year)
    cycle.end_day()
    return cycle.exchange


def enrol(cycle: Cycle, count: int) -> None:
    """Open all accounts, give them cash, and draw what the enterprises emit."""
    rng, first = cycle.rng, cycle.first_year
    accounts = [OpenAccount(AUTHORITY, "Registry authority", ParticipantClass.REGISTRY_AUTHORITY)]
    accounts += [
        OpenAccount(f"V-{number}", f"Verifier {number}", ParticipantClass.VERIFIER)
        for number in range(1, VERIFIERS + 1)
    ]
    sizes = rng.lognormal(0.0, 1.4, count)
    share = Fraction(90, 100) * CAP * count // ENTERPRISES
    sizes = np.maximum(30_000, sizes / sizes.sum() * float(share)).astype(np.int64)
    troubles = ["poor"] * 3 + ["silent"] * 2 + ["frozen", "closed", "small", "small"]
    for index, size in enumerate(sizes.tolist()):
        trouble = troubles[index] if index < len(troubles) and count > 2 * len(troubles) else ""
        emissions, level = {}, float(size)
        for year in range(first - 2, first + YEARS):
            emissions[year] = 4_000 if trouble == "small" and year >= first - 1 else int(level)
            level *= rng.normal(0.995, 0.05)
        one = Enterprise(f"E-{index + 1:03d}", SECTORS[index % len(SECTORS)], emissions, trouble)
        cycle.enterprises.append(one)
        region = "Wuhan" if index % 3 == 0 else "Hubei"
        accounts.append(OpenAccount(one.account_id, one.account_id, ParticipantClass.COVERED_ENTERPRISE, region=region))
    accounts += [OpenAccount(f"P-{n}", f"Developer {n}", ParticipantClass.INSTITUTION) for n in range(1, PROJECTS + 1)]
    cycle.all([control(account) for account in accounts])
    for one in cycle.enterprises:
        one.number = cycle.exchange.accounts.by_id[one.account_id].number
    cycle.all(
        [
            control(DepositCash(one.account_id, 1_000 if one.trouble == "poor" else 3_000 * one.emissions[first]))
            for one in cycle.enterprises
        ]
    )
    cycle.do(PublishFactor(AUTHORITY, "energy use", 1, "2.6", "tCO2/tce", first - 2, "2.6 tCO2 per tce"))


def open_year(cycle: Cycle, year: int) -> None:
    """Cap, coverage by the figures of the years before, and a basis of allocation for everybody covered."""
    cap = CAP * len(cycle.enterprises) // ENTERPRISES
    cycle.do(OpenPeriod(AUTHORITY, year, cap))
    known = range(year - 2, year) if year == cycle.first_year else range(year - 1, year)
    cycle.all(
        [
            control(
                RecordActivity(
                    AUTHORITY,
                    one.account_id,
                    Activity(at, one.emissions[at], closed=one.trouble == "closed" and at >= cycle.first_year),
                    one.sector,
                )
            )
            for one in cycle.enterprises
            for at in known
        ]
    )
    cycle.do(DecideCoverage(AUTHORITY, year))
    set_bases(cycle, year, year - 1)
    cycle.end_day()
    opening = OPENING.get(cycle.allowance, "50.00")
    listed = cycle.exchange.instruments.by_symbol.get(f"{cycle.allowance}-{year - 1}")
    ticks = listed.close_ticks if listed else ticks_of(opening, cycle.rules.tick_size)
    cycle.do(ListInstrument(f"{cycle.allowance}-{year}", Species.ALLOWANCE, year, ticks))
    if year == cycle.first_year:
        cycle.do(PreAllocate(AUTHORITY, year))


def covered(cycle: Cycle, year: int) -> Iterator[tuple[Enterprise, Obligor]]:
    """The enterprises that are covered in a year."""
    for one in cycle.enterprises:
        obligor = cycle.exchange.compliance.obligor(year, one.number)
        if obligor is not None:
            yield one, obligor


def set_bases(cycle: Cycle, year: int, output_of: int) -> None:
    """A third of the enterprises each by grandfathering, own intensity and benchmark; output as of a year."""
    commands = []
    for index, (one, _) in enumerate(covered(cycle, year)):
        base, now = one.emissions[year - 1], one.emissions[output_of]
        output = str(2 * now)  # half a tonne of CO2 for a tonne of product
        basis: Basis
        match index % 3:
            case 0:
                basis = Historical(base, "0.995")
            case 1:
                basis = HistoricalIntensity("0.5", output, "1.0")
            case _:
                basis = Benchmark(["0.480", "0.503", "0.520"][index // 3 % 3], output)
        commands.append(control(SetBasis(AUTHORITY, one.account_id, year, [basis])))
    cycle.all(commands)


# ---------------------------------------------------------------- credits


def develop_projects(cycle: Cycle) -> None:
    """Take projects from filing to the issue of a first batch, within the first year."""
    scheme = next((name for name in ("HBCER", "CCER") if name in _schemes(cycle)), "CCER")
    year = cycle.first_year
    cycle.open_day(date(year, 2, 1))
    cycle.do(ApproveMethodology(AUTHORITY, "FOR-1", "Afforestation", "forestry", 20))
    projects = [f"{scheme[:2]}{number:03d}" for number in range(1, PROJECTS + 1)]
    for number, project in enumerate(projects, 1):
        cycle.do(
            FileProject(
                f"P-{number}", project, scheme, "FOR-1", f"Forest {number}", "forestry", "Hubei",
                date(2021, 3, 1), date(2021, 3, 1), date(2035, 2, 28),
            )
        )  # fmt: skip
        cycle.do(ValidateProject("V-1", project, positive=True))
        cycle.do(PublishProject(AUTHORITY, project))
    cycle.open_day(date(year, 4, 1))
    for project in projects:
        cycle.do(RegisterProject(AUTHORITY, project))
    cycle.open_day(date(year, 5, 6))
    batches = []
    for number, project in enumerate(projects, 1):
        tonnes = int(cycle.rng.integers(300_000, 700_000)) * len(cycle.enterprises) // ENTERPRISES
        event = cycle.do(ReportReduction(f"P-{number}", project, date(2021, 3, 1), date(year - 1, 12, 31), tonnes))
        batch = event.reduction.number  # type: ignore[union-attr]
        cycle.do(VerifyReduction("V-2", batch, tonnes))
        cycle.do(PublishReduction(AUTHORITY, batch))
        batches.append(batch)
    cycle.open_day(date(year, 7, 1))
    for batch in batches:
        cycle.do(IssueReduction(AUTHORITY, batch))
    cycle.end_day()
    for unit in [unit for unit in cycle.exchange.units if unit.species == Species.CREDIT]:
        cycle.do(
            ListInstrument(unit.code, unit.species, unit.vintage, ticks_of(PRICE_OF_CREDIT, cycle.rules.tick_size))
        )
        cycle.credits.append(unit.code)


def _schemes(cycle: Cycle) -> set[str]:
    return {scheme for offset in cycle.rules.compliance.offsets for scheme in offset.schemes}


# ---------------------------------------------------------------- reports


def report(cycle: Cycle, year: int) -> None:
    """Everybody reports the year by energy and power used; verifiers confirm; who stays silent is assessed."""
    cycle.open_day(date(year + 1, 2, 3))
    names = tuple(one.account_id for one, _ in covered(cycle, year))
    cycle.do(OpenReporting(AUTHORITY, year, date(year + 1, 3, 31), names))
    filed = [one for one, _ in covered(cycle, year) if one.trouble != "silent" or year > cycle.first_year]
    grid = Decimal("0.4044")
    commands: list[Control] = []
    for index, one in enumerate(filed):
        tonnes = one.emissions[year]
        mwh = int(Decimal(tonnes) / 5 / grid)
        tce = ((Decimal(tonnes) - mwh * grid) / Decimal("2.6")).quantize(Decimal("0.001"))
        lines = (
            SourceStream("fuels", str(tce), "tce", "energy use"),
            SourceStream("power bought", str(mwh), "MWh", "grid Hubei"),
        )
        evidence = (Evidence(f"energy balance {year}.pdf", f"{index:064x}"),)
        commands += [
            FileReport(one.account_id, year, lines, (Output("product", str(2 * tonnes), "t"),), evidence),
            SubmitReport(one.account_id, year),
            VerifyReport(f"V-{index % VERIFIERS + 1}", one.account_id, year, Verdict.CONFIRM),
        ]
    cycle.all([control(command) for command in commands])
    cycle.open_day(date(year + 1, 4, 1))
    cycle.do(CloseReporting(AUTHORITY, year))
    for one, _ in covered(cycle, year):
        if cycle.exchange.emissions.verified(one.number, year) is None:
            cautious = one.emissions[year - 1] * 12 // 10
            cycle.do(AssessEmissions(AUTHORITY, one.account_id, year, cautious, "no report: 120 % of the year before"))


def determine(cycle: Cycle, year: int) -> None:
    """The final allocation on actual output."""
    set_bases(cycle, year, year)
    cycle.do(DetermineAllocation(AUTHORITY, year))


# ---------------------------------------------------------------- trade, surrender, expire


def trade_and_surrender(cycle: Cycle, year: int) -> None:
    """Some trading days, the window, its end and what expires."""
    window = {step.step: date_of(step, year) for step in cycle.rules.compliance.calendar}
    opens = window.get("open_surrender", date(year + 1, 12, 1))
    deadline = window.get("close_surrender", date(year + 1, 12, 26))
    frozen = [one for one, _ in covered(cycle, year) if one.trouble == "frozen" and year == cycle.first_year]
    for one in frozen:
        cycle.do(ChangeAccountStatus(AUTHORITY, one.account_id, AccountStatus.FROZEN, "order of a court"))
    for number in range(TRADING_DAYS):
        trade(cycle, year, cycle.open_day(opens - timedelta(days=7 * (TRADING_DAYS - number))))
    cycle.open_day(opens)
    back_to_registry(cycle)
    cycle.do(OpenSurrender(AUTHORITY, year, deadline))
    for one, obligor in covered(cycle, year):
        holder = cycle.exchange.accounts[one.number]
        if holder.status == AccountStatus.FROZEN or not whole_plan(cycle.exchange, year, obligor, one.number).tonnes:
            continue
        event = cycle.do(RequestSurrender(one.account_id, year))
        cycle.do(ConfirmSurrender(AUTHORITY, event.request.request_id))  # type: ignore[union-attr]
    for one in frozen:
        cycle.do(ForceSurrender(AUTHORITY, one.account_id, year))
        cycle.do(ChangeAccountStatus(AUTHORITY, one.account_id, AccountStatus.ACTIVE, "released"))
    cycle.open_day(deadline + timedelta(days=1))
    cycle.do(CloseSurrender(AUTHORITY, year))
    expire(cycle, year)


def trade(cycle: Cycle, year: int, day: date) -> None:
    """Who has too little bids, who has too much offers, in random order about the last price."""
    exchange, rng = cycle.exchange, cycle.rng
    wanted = needs(cycle, year)
    moves, orders = [], []
    for symbol, account, tonnes in wanted:
        listed = exchange.instruments.by_symbol[symbol]
        row = exchange.path.desk.instruments[listed.number]
        low, high = int(row.band_low_ticks), int(row.band_high_ticks)
        last = int(row.last_ticks)
        number = exchange.accounts.by_id[account].number
        if tonnes < 0:
            moves.append(control(TransferUnits(account, symbol, -tonnes, to_trading=True)))
            price = max(low, min(high, int(last * rng.uniform(0.97, 1.02))))
            orders.append(place_order(number, listed.number, Side.SELL, price, -tonnes))
        else:
            price = max(low, min(high, int(last * rng.uniform(0.99, 1.05))))
            orders.append(place_order(number, listed.number, Side.BUY, price, tonnes))
    cycle.all(moves)
    cycle.do(StartTrading())
    cycle.all([orders[index] for index in rng.permutation(len(orders))])
    cycle.do(CloseSession())
    cycle.do(SettleDay())
    back_to_registry(cycle)


def needs(cycle: Cycle, year: int) -> list[tuple[str, str, int]]:
    """(symbol, account, tonnes to buy or, below zero, to sell) of everybody today."""
    exchange = cycle.exchange
    symbol = f"{cycle.allowance}-{year}"
    unit = exchange.units.by_code[symbol]
    found: list[tuple[str, str, int]] = []
    for one, obligor in covered(cycle, year):
        if exchange.accounts[one.number].status != AccountStatus.ACTIVE:
            continue
        held = sum(entry.tonnes for entry in usable_for(exchange, year, obligor, one.number))
        gap = obligor.due - held
        if gap > 0:
            price = exchange.instruments.by_symbol[symbol].close_ticks * cycle.rules.fen_per_tick
            cash = int(exchange.path.desk.balances[one.number, CASH].available)
            affordable = cash * 9 // 10 // (price * 11 // 10)
            credit = _credit_for(cycle, year, obligor, one)
            if credit and affordable:
                found.append((credit, one.account_id, min(gap // 2 + 1, affordable // 2 + 1)))
                gap, affordable = gap // 2, affordable // 2
            if gap and affordable:
                found.append((symbol, one.account_id, min(gap, affordable)))
        elif gap < 0:
            spare = min(-gap, int(exchange.path.desk.balances[one.number, unit.number].registry))
            if spare:
                found.append((symbol, one.account_id, -max(1, spare // 2)))
    for code in cycle.credits:
        credit_unit = exchange.units.by_code[code]
        for account in exchange.accounts:
            left = int(exchange.path.desk.balances[account.number, credit_unit.number].registry)
            if account.account_id.startswith("P-") and left:
                found.append((code, account.account_id, -max(1, left // 4)))
    return found


def _credit_for(cycle: Cycle, year: int, obligor: Obligor, one: Enterprise) -> str | None:
    """A credit that an enterprise may still use, if any; each one asks for another project's."""
    if not cycle.credits:
        return None
    code = cycle.credits[one.number % len(cycle.credits)]
    unit: Unit = cycle.exchange.units.by_code[code]
    [asked] = usable_of(cycle.exchange, year, obligor, [(unit, 1)])
    return code if asked.tonnes else None


def back_to_registry(cycle: Cycle) -> None:
    """Everybody moves what is free on the trading side back to the registry side."""
    exchange = cycle.exchange
    moves = []
    for account in exchange.accounts:
        for unit in exchange.units:
            free = withdrawable(exchange.path.desk.balances[account.number, unit.number])
            if free and account.status == AccountStatus.ACTIVE:
                moves.append(control(TransferUnits(account.account_id, unit.code, free, to_trading=False)))
    cycle.all(moves)


def expire(cycle: Cycle, year: int) -> None:
    """Lapse, or carry over what may be carried, as the rules have it."""
    match expiry_rule(cycle.rules.compliance, year):
        case Lapse():
            cycle.do(LapseUnits(AUTHORITY, year))
        case CarryOver():
            if year + 1 not in cycle.exchange.compliance.periods:
                return
            unit = cycle.exchange.compliance.periods[year].unit
            for one, obligor in covered(cycle, year):
                left = int(cycle.exchange.path.desk.balances[one.number, unit].registry)
                if left and obligor.outcome == Outcome.COMPLIED:
                    cycle.do(CarryOverUnits(AUTHORITY, one.account_id, year))


def show(exchange: Exchange, console: Console) -> None:
    """Print how the years went and where all units are. AssertionError if anything does not reconcile to the tonne."""
    check(exchange)
    summaries = [compliance_summary(exchange, year) for year in sorted(exchange.compliance.periods)]
    for one in summaries:
        parts = one.reserve + one.paid + one.allocated + one.taken_back + one.carried_in
        assert parts == one.issued, f"{one.year}: {one.issued} t issued, {parts} t explained"
        due, paid = one.emissions + one.owed_back, one.surrendered_allowances + one.surrendered_credits
        assert due == paid + one.missing, f"{one.year}: {due} t due, {paid} t surrendered, {one.missing} t missing"
    console.print(compliance_table(summaries, exchange.market.currency))
    console.print(registry_table(registry_report(exchange)))
    console.print(
        f"Every tonne is accounted for: {len(CHECKS)} checks hold, each row adds up to what was issued. "
        f"{exchange.sequence:,} commands, digest {exchange.digest()[:16]}."
    )
