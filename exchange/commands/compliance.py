"""What may be asked of compliance: surrender, penalties, expiry. `units` are tonnes by unit code."""

from datetime import date

import msgspec

from exchange.commands.base import ControlCommand


class OpenSurrender(ControlCommand, frozen=True):
    """From now on a year's emissions may be paid for, until the deadline (that day included)."""

    by: str
    year: int
    deadline: date


class RemindObligors(ControlCommand, frozen=True):
    """Say what everybody still owes for a year."""

    by: str
    year: int


class RequestSurrender(ControlCommand, frozen=True):
    """Offer units for a year's emissions; without `units` whatever makes whole, oldest first.

    Others may pay too: `on_behalf_of` is then whose emissions.
    """

    account_id: str
    year: int
    units: dict[str, int] = msgspec.field(default_factory=dict)
    on_behalf_of: str = ""


class ConfirmSurrender(ControlCommand, frozen=True):
    by: str
    request_id: int


class RejectSurrender(ControlCommand, frozen=True):
    by: str
    request_id: int
    reason: str


class ForceSurrender(ControlCommand, frozen=True):
    """The authority pays an enterprise's year with what is parked for it and with what it has, oldest first."""

    by: str
    account_id: str
    year: int


class ReleaseParked(ControlCommand, frozen=True):
    """Give an enterprise the allowances that were parked with the authority."""

    by: str
    account_id: str
    year: int


class CloseSurrender(ControlCommand, frozen=True):
    """After the deadline: every covered enterprise has complied or is short, and pays for it."""

    by: str
    year: int


class PayFine(ControlCommand, frozen=True):
    account_id: str
    year: int


class LapseUnits(ControlCommand, frozen=True):
    """Cancel a closed year's free allowances that were never traded, and its reserve, where the rules say so."""

    by: str
    year: int


class CarryOverUnits(ControlCommand, frozen=True):
    """Exchange allowances of a closed year, or earlier, for as many of the next; at most what the rules admit."""

    by: str
    account_id: str
    year: int
    quantity: int | None = None  # None: as much as may be


ComplianceCommand = (
    OpenSurrender
    | RemindObligors
    | RequestSurrender
    | ConfirmSurrender
    | RejectSurrender
    | ForceSurrender
    | ReleaseParked
    | CloseSurrender
    | PayFine
    | LapseUnits
    | CarryOverUnits
)
