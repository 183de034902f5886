"""What may be asked of allocation: who is covered in a compliance year, and who gets how much."""

from exchange.commands.base import ControlCommand
from registry.allocation import Basis
from registry.coverage import Activity


class OpenPeriod(ControlCommand, frozen=True):
    """Begin a compliance year under a cap in tCO2e (0: none). Its allowances are registered if they are not yet."""

    by: str
    year: int
    cap: int
    market_factor: str = "1"  # decimal: carried-over surplus makes it less


class RecordActivity(ControlCommand, frozen=True):
    """An enterprise's figures of a year, by which coverage is decided; they replace earlier ones of that year."""

    by: str
    account_id: str
    activity: Activity
    sector: str = ""


class DecideCoverage(ControlCommand, frozen=True):
    """Decide for every enterprise with figures whether it is covered in a year, and say why."""

    by: str
    year: int


class SetBasis(ControlCommand, frozen=True):
    """On what an enterprise's allocation rests, one entry a unit or product line; with actual output after the year."""

    by: str
    account_id: str
    year: int
    bases: list[Basis]


class PreAllocate(ControlCommand, frozen=True):
    """Issue the first part to every covered enterprise, and the reserve and the paid part to the authority."""

    by: str
    year: int


class DetermineAllocation(ControlCommand, frozen=True):
    """Fix every covered enterprise's final allocation, and issue or take back the difference."""

    by: str
    year: int


AllocationCommand = OpenPeriod | RecordActivity | DecideCoverage | SetBasis | PreAllocate | DetermineAllocation
