"""The shapes of the registry's answers: units, serial numbers, locks, the registry report."""

from datetime import date
from typing import Annotated

from pydantic import Field

from api.schemas.base import ClassName, Model
from registry.accounts import AccountStatus, Right
from registry.locks import LockKind
from registry.serials import BlockState, Cause, Origin
from registry.units import Species

SerialRange = Annotated[
    tuple[int, int], Field(description="First and last serial number, both included", examples=[[1, 1000]])
]


class Happened(Model):
    """The answer of a command: what it made happen."""

    sequence: int = Field(description="Of the command: its address in the journal, and in the histories of serials")


class RoleView(Model):
    """What a class of participants may do, in each status of its account."""

    participant_class: ClassName
    rights: dict[AccountStatus, list[Right]]


class AccountStatusChanged(Happened):
    account_id: str
    status: AccountStatus
    status_reason: str


class UnitView(Model):
    """A kind of unit, and what became of all that were issued: issued = held + surrendered + retired + cancelled."""

    code: str
    species: Species
    vintage: int
    scheme: str
    project: str
    kind: str
    region: str
    grade: str
    registered_on: date | None = Field(description="When the project of a credit was registered")
    issued: int
    held: int
    surrendered: int
    retired: int
    cancelled: int


class UnitRegistered(Happened):
    unit: UnitView


class SerialBlock(Model):
    unit: str
    first: int
    last: int
    quantity: int
    origin: Origin
    ever_traded: bool


class SerialMovement(Model):
    """Title passes from one account to another; none is nobody."""

    cause: Cause
    giver: str | None
    taker: str | None
    at: str
    sequence: int = Field(description="Of the command that moved it")
    trade_id: int | None


class SerialHistory(SerialBlock):
    """One serial number: the block that it lies in, and what happened to it, oldest first."""

    serial: int
    state: BlockState
    holder: str = Field(description="Of an ended number: its last holder")
    movements: list[SerialMovement]


class UnitsGiven(Happened):
    giver: str
    taker: str
    unit: str
    quantity: int
    serials: list[SerialRange]


class UnitsRetired(Happened):
    account_id: str
    unit: str
    quantity: int
    purpose: str
    serials: list[SerialRange]


class UnitsCancelled(Happened):
    account_id: str
    unit: str
    quantity: int
    reason: str
    serials: list[SerialRange]


class LockView(Model):
    """So many tonnes of an account that stay where they are."""

    lock_id: int
    account_id: str
    unit: str
    quantity: int
    kind: LockKind
    in_favour_of: str | None
    reference: str = Field(description="File number of the court, contract of the pledge")


class UnitsLocked(Happened):
    lock: LockView


class UnitsReleased(Happened):
    lock: LockView = Field(description="As it was before")
    quantity: int


class LockEnforced(Happened):
    lock: LockView = Field(description="As it was before")
    quantity: int
    serials: list[SerialRange]


class UnitHolding(Model):
    """One unit of an account; the parts add up to the settled. tCO2e."""

    unit: str
    trading: int = Field(description="On the trading side: available, reserved and incoming, less what is unsettled")
    registry: int = Field(description="Free on the registry side")
    pledged: int
    judicial: int
    pending_surrender: int
    settled: int = Field(description="Title: the serial blocks add up to it")


class TitledBlock(SerialBlock):
    """A serial block and what brought it to its holder, or ended it."""

    cause: Cause
    giver: str | None = Field(description="Nobody: it was issued; of an ended block its last holder")
    at: str
    sequence: int = Field(description="Of the command that did")
    trade_id: int | None


class RegistryStatement(Model):
    """What an account has in the registry: balances, the serial numbers behind them, the locks on them."""

    account_id: str
    name: str
    status: AccountStatus
    as_of: date | None = Field(description="The last trading day opened")
    sequence: int = Field(description="The statement is the state after this command")
    holdings: list[UnitHolding]
    blocks: list[TitledBlock] = Field(description="By unit, oldest first")
    ended: list[TitledBlock] = Field(
        description="What it held last and is gone: surrendered, retired or cancelled (taken back and lapsed too), "
        "by the command that ended it"
    )
    locks: list[LockView]


class UnitRow(Model):
    """Where the units of one kind are; the columns add up to the total, which is what was issued. tCO2e."""

    unit: str
    species: Species | None = Field(description="None in the row of totals")
    vintage: int | None
    general: int = Field(description="Held by institutions, individuals and the market operator")
    compliance: int = Field(description="Held by covered enterprises")
    limited_use: int = Field(description="Pledged, frozen by a court, or waiting for surrender")
    voluntary: int = Field(description="Retired by their holders' own will")
    auction_and_issuance: int = Field(description="With the authority, to be sold or given")
    retirement: int = Field(description="Surrendered for emissions")
    invalidation: int = Field(description="Credits cancelled")
    reserve: int = Field(description="With the authority, government reserve")
    environmental_integrity: int = Field(description="Allowances cancelled: taken back, lapsed, carried over")
    total: int = Field(description="All that was issued: the sum of the columns before it")


class RegistryReport(Model):
    """The layout of a compliance-instrument report: a row a kind of unit, a column a kind of account or end."""

    market: str
    as_of: date | None = Field(description="The last trading day opened")
    sequence: int = Field(description="The report is the state after this command")
    rows: list[UnitRow]
    total: UnitRow


class LargeHolder(Model):
    """An account whose position in allowances passes the figure from which it is reported. tCO2e."""

    account_id: str
    position: int
    reported_above: int
    limit: int | None
