"""What the registry publishes: where all units are, and how a compliance year went. Tonnes; units by code.

The registry report has the layout of a compliance-instrument report as the Western Climate Initiative publishes it:
a row for each kind of unit, a column for each kind of account or end, and a total that is what was issued.

| column                  | here                                                              |
|-------------------------|-------------------------------------------------------------------|
| general                 | held by institutions, individuals and the market operator         |
| compliance              | held by covered enterprises                                       |
| limited use             | locked: pledged, frozen by a court, waiting for surrender         |
| voluntary               | retired by their holders' own will                                |
| auction and issuance    | with the authority, to be sold or given                           |
| retirement              | surrendered for emissions                                         |
| invalidation            | credits cancelled                                                 |
| reserve                 | with the authority, government reserve                            |
| environmental integrity | allowances cancelled: taken back, lapsed, exchanged for later ones|
"""

from fractions import Fraction

import msgspec

from exchange.state import Exchange
from registry.accounts import ParticipantClass
from registry.compliance import Outcome
from registry.holdings import LOCKED
from registry.serials import BlockState, Origin
from registry.units import Species, Unit


class UnitRow(msgspec.Struct):
    """Where the units of one kind are; tCO2e."""

    unit: str
    species: Species
    vintage: int
    general: int = 0
    compliance: int = 0
    limited_use: int = 0
    voluntary: int = 0
    auction_and_issuance: int = 0
    retirement: int = 0
    invalidation: int = 0
    reserve: int = 0
    environmental_integrity: int = 0
    total: int = 0


COLUMNS = tuple(field for field in UnitRow.__struct_fields__ if field not in ("unit", "species", "vintage"))


def registry_report(exchange: Exchange) -> list[UnitRow]:
    """A row for each kind of unit that was ever issued, by vintage and code. AssertionError if a total is off."""
    rows = []
    for unit in sorted(exchange.units, key=lambda one: (one.vintage, one.code)):
        if unit.issued:
            row = _unit_row(exchange, unit)
            added = sum(getattr(row, column) for column in COLUMNS if column != "total")
            assert added == row.total, f"{unit.code}: {row.total} t issued, {added} t found"
            rows.append(row)
    return rows


def total_row(rows: list[UnitRow]) -> UnitRow:
    """All rows in one."""
    summed = {column: sum(getattr(row, column) for row in rows) for column in COLUMNS}
    return UnitRow("all", Species.ALLOWANCE, 0, **summed)


_ENDS = {
    (BlockState.SURRENDERED, Species.ALLOWANCE): "retirement",
    (BlockState.SURRENDERED, Species.CREDIT): "retirement",
    (BlockState.RETIRED, Species.ALLOWANCE): "voluntary",
    (BlockState.RETIRED, Species.CREDIT): "voluntary",
    (BlockState.CANCELLED, Species.ALLOWANCE): "environmental_integrity",
    (BlockState.CANCELLED, Species.CREDIT): "invalidation",
}


def _unit_row(exchange: Exchange, unit: Unit) -> UnitRow:
    row = UnitRow(unit.code, unit.species, unit.vintage, total=unit.issued)

    def add(column: str, tonnes: int) -> None:
        setattr(row, column, getattr(row, column) + tonnes)

    for state in (BlockState.SURRENDERED, BlockState.RETIRED, BlockState.CANCELLED):
        add(_ENDS[state, unit.species], exchange.serials.total(unit.number, state))
    for account in exchange.accounts:
        held = exchange.serials.held(account.number, unit.number)
        if not held:
            continue
        balance = exchange.path.desk.balances[account.number, unit.number]
        locked = sum(int(balance[bucket]) for bucket in LOCKED)
        add("limited_use", locked)
        match account.participant_class:
            case ParticipantClass.COVERED_ENTERPRISE:
                add("compliance", held - locked)
            case ParticipantClass.REGISTRY_AUTHORITY:
                blocks = exchange.serials.of(account.number, unit.number)
                reserved = sum(block.quantity for block in blocks if block.origin == Origin.RESERVE)
                reserved = min(reserved, held - locked)
                add("reserve", reserved)
                add("auction_and_issuance", held - locked - reserved)
            case _:
                add("general", held - locked)
    return row


class ComplianceSummary(msgspec.Struct, frozen=True):
    """How a compliance year stands or went. Tonnes; fines in fen."""

    year: int
    stage: str
    cap: int
    covered: int
    reserve: int
    paid: int
    allocated: int  # free allowances, net of what was taken back
    taken_back: int  # issued before the final determination and cancelled by it
    carried_in: int  # issued in exchange for earlier vintages
    deducted: int  # not issued, for an earlier shortfall
    issued: int  # reserve + paid + allocated + taken back + carried in, and what was issued by hand before
    emissions: int
    owed_back: int  # pre-allocated too much and sold meanwhile
    surrendered_allowances: int
    surrendered_credits: int
    missing: int
    fines: int
    complied: int

    @property
    def rate(self) -> Fraction:
        """Share of the covered enterprises that complied; 0 before the end."""
        return Fraction(self.complied, self.covered) if self.covered else Fraction(0)


def compliance_summary(exchange: Exchange, year: int) -> ComplianceSummary:
    """A compliance year in figures. KeyError if it was not opened."""
    period = exchange.compliance.periods[year]
    covered = period.covered()
    return ComplianceSummary(
        year=year,
        stage=period.stage,
        cap=period.cap,
        covered=len(covered),
        reserve=period.reserve,
        paid=period.paid,
        allocated=sum(obligor.allocated for obligor in covered),
        taken_back=sum(obligor.taken_back for obligor in covered),
        carried_in=sum(
            block.quantity for block in exchange.serials.blocks_of(period.unit) if block.origin == Origin.CARRIED
        ),
        deducted=sum(obligor.deducted for obligor in covered),
        issued=exchange.units[period.unit].issued,
        emissions=sum(obligor.emissions or 0 for obligor in covered),
        owed_back=sum(obligor.owed_back for obligor in covered),
        surrendered_allowances=sum(obligor.tonnes_surrendered - obligor.offset for obligor in covered),
        surrendered_credits=sum(obligor.offset for obligor in covered),
        missing=sum(obligor.missing for obligor in covered),
        fines=sum(obligor.fine for obligor in covered),
        complied=sum(obligor.outcome == Outcome.COMPLIED for obligor in covered),
    )
