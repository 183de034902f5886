"""The shapes of a compliance year's answers: coverage, allocation, surrender, penalties. Tonnes; money in CNY."""

from datetime import date
from typing import Annotated, Any

from pydantic import Field

from api.schemas.base import Model
from api.schemas.emissions import ConsequenceView
from api.schemas.registry import Happened, SerialRange
from registry.compliance import Eligibility, Outcome, Stage
from registry.coverage import Why

ByAccount = dict[str, int]
ByUnit = Annotated[dict[str, int], Field(examples=[{"HBEA-2024": 14_000}])]
BASIS = {"method": "historical", "base_emissions": 20_000, "sector_factor": "0.9"}


class PeriodView(Model):
    """A compliance year as it stands, summed over its covered enterprises."""

    year: int
    unit: str = Field(description="Its allowances")
    stage: Stage
    cap: int = Field(description="0: none")
    market_factor: str
    authority: str = Field(description="Keeps the reserve and what is to be sold")
    deadline: date | None = Field(description="Last day of the surrender window, once it is open")
    covered: int = Field(description="Enterprises")
    reserve: int
    paid: int = Field(description="The part of the allocation that is sold")
    allocated: int = Field(description="Free allowances, net of what was taken back")
    taken_back: int = Field(description="Issued before the final determination and cancelled by it")
    carried_in: int = Field(description="Issued in exchange for earlier vintages")
    deducted: int = Field(description="Not issued, for an earlier shortfall")
    issued: int = Field(description="reserve + paid + allocated + taken_back + carried_in, and what was issued by hand")
    emissions: int
    owed_back: int = Field(description="Pre-allocated too much and no longer there to be taken back")
    surrendered_allowances: int
    surrendered_credits: int
    missing: int
    fines: str
    complied: int = Field(description="Enterprises")


class ActivityView(Model):
    """What an enterprise's coverage is decided by; none is not known."""

    year: int
    emissions: int | None
    energy_tce: int | None
    closed: bool
    in_national_market: bool


class PeriodOpened(Happened):
    year: int
    unit: str
    cap: int


class ActivityRecorded(Happened):
    account_id: str
    activity: ActivityView


class CoverageView(Model):
    """Whether an enterprise is covered, why, and the figures behind it."""

    account_id: str
    covered: bool
    why: Why
    detail: str = Field(examples=["20,000 tCO2e in 2023; threshold 13,000 tCO2e"])


class CoverageDecided(Happened):
    year: int
    decisions: list[CoverageView]


class BasisSet(Happened):
    account_id: str
    year: int
    bases: list[dict[str, Any]] = Field(description="As they were given", examples=[[BASIS]])
    initial: int = Field(description="What they come to")


class PreAllocation(Model):
    """How an enterprise's first part comes about."""

    account_id: str
    initial: int = Field(description="On its bases")
    of: int = Field(description="The figure that the share is taken of: last year's, or the initial allocation")
    free: int = Field(description="The share of it that is free")
    deducted: int = Field(description="For an earlier shortfall")
    issued: int
    parked: bool = Field(description="The authority keeps it")
    serials: list[SerialRange]


class PreAllocated(Happened):
    year: int
    allocations: list[PreAllocation]
    reserve: int
    paid: int


class FinalAllocation(Model):
    """How an enterprise's final allocation comes about."""

    account_id: str
    emissions: int
    initial: int = Field(description="On its bases")
    free: int = Field(description="The free part of it")
    adjusted: int = Field(description="After double-twenty and shortage cap")
    final: int = Field(description="After the fit to the cap")
    deducted: int
    true_up: int = Field(description="Issued if positive, to be given back if negative")
    taken_back: int
    owed_back: int
    serials: list[SerialRange] = Field(description="Issued or cancelled")


class AllocationDetermined(Happened):
    year: int
    allocations: list[FinalAllocation]
    room: int = Field(description="Under the cap for free allocation")
    wanted: int = Field(description="By all enterprises")


class SurrenderOpened(Happened):
    year: int
    deadline: date
    due: ByAccount


class ObligorsReminded(Happened):
    year: int
    deadline: date
    missing: ByAccount = Field(description="Who owes nothing is left out")


class SurrenderView(Model):
    """A request that waits for the authority."""

    request_id: int
    year: int
    payer: str
    obligor: str = Field(description="Whose emissions are paid for")
    tonnes: ByUnit


class SurrenderRequested(Happened):
    request: SurrenderView
    missing: int = Field(description="When it is confirmed, and all that waits besides")


class SurrenderConfirmed(Happened):
    request: SurrenderView
    serials: dict[str, list[SerialRange]] = Field(description="By unit")
    missing: int = Field(description="Still")


class SurrenderRejected(Happened):
    request: SurrenderView
    reason: str


class SurrenderForced(Happened):
    account_id: str
    year: int
    released: int = Field(description="Of what was parked; what does not pay now stays with the enterprise")
    tonnes: ByUnit
    serials: dict[str, list[SerialRange]] = Field(description="By unit")
    missing: int = Field(description="Still")


class ParkedReleased(Happened):
    account_id: str
    year: int
    quantity: int
    serials: list[SerialRange]


class YearEnded(Model):
    """How an enterprise's year ended."""

    account_id: str
    due: int
    surrendered: int
    offset: int = Field(description="Credits among the surrendered")
    shortfall: int
    fine: str
    outcome: Outcome


class Record(YearEnded):
    deduction: int = Field(description="Tonnes off the next allocation")


class ComplianceRecord(YearEnded):
    year: int
    fine_paid: str


class SurrenderClosed(Happened):
    year: int
    records: list[Record]
    mean_price: str = Field(description="CNY per t that the fines are worked out with, rounded half-up to a fen")
    complied: int = Field(description="Enterprises")


class FinePaid(Happened):
    account_id: str
    year: int
    amount: str


class UnitsLapsed(Happened):
    year: int
    tonnes: ByAccount
    reserve: int


class UnitsCarriedOver(Happened):
    account_id: str
    year: int
    limit: int
    tonnes: ByUnit = Field(description="Given up")
    unit: str = Field(description="Got")
    serials: list[SerialRange]


class UsableUnit(Model):
    """Of what an account holds of a unit, the tonnes that may pay now, and why not more."""

    unit: str
    held: int
    tonnes: int
    eligibility: Eligibility


class ObligorView(Model):
    """An enterprise's compliance year: every figure, what it may still use, what would make it whole."""

    account_id: str
    year: int
    stage: Stage
    deadline: date | None
    coverage: CoverageView
    bases: list[dict[str, Any]] = Field(examples=[[BASIS]])
    cuts: list[ConsequenceView] = Field(description="What cuts its allocation, and why")
    initial: int = Field(description="Allocation on its bases, before shares and deductions")
    allocated: int = Field(description="Free allowances got, net of what was taken back")
    deducted: int = Field(description="For an earlier shortfall")
    parked: int = Field(description="Of the allocated, what the authority still keeps for it")
    taken_back: int = Field(description="Of what was pre-allocated, cancelled at the final determination")
    owed_back: int = Field(description="Pre-allocated too much and no longer there to be taken back")
    emissions: int | None = Field(description="Verified or assessed; none before the allocation is determined")
    due: int = Field(description="emissions + owed_back")
    surrendered: ByUnit
    offset: int = Field(description="Credits among the surrendered")
    offset_cap: int = Field(description="Credits that may pay at most")
    missing: int = Field(description="Still to be surrendered; requests that wait count as missing")
    waiting: int = Field(description="Tonnes of the requests that wait for the authority")
    to_offer: int = Field(description="Still to be offered: missing less waiting")
    pending: list[SurrenderView] = Field(description="Requests that wait for the authority")
    usable: list[UsableUnit] = Field(description="Of what its payer holds, in the order of use")
    plan: ByUnit = Field(description="What would make it whole, out of the usable")
    plan_missing: int = Field(description="What would then still be missing")
    outcome: Outcome | None
    shortfall: int
    fine: str
    fine_paid: str
    to_deduct: int = Field(description="Tonnes that will be taken off its next allocation, for a shortfall")


class ObligorRow(Model):
    """An enterprise's compliance year in a row: the figures, without the lists behind them."""

    account_id: str
    year: int
    stage: Stage
    deadline: date | None
    covered: bool
    why: Why
    detail: str
    initial: int
    allocated: int
    deducted: int
    parked: int
    owed_back: int
    emissions: int | None
    due: int
    surrendered: ByUnit
    offset: int
    offset_cap: int
    waiting: int
    missing: int
    to_offer: int
    outcome: Outcome | None
    shortfall: int
    fine: str
    fine_paid: str
    to_deduct: int
