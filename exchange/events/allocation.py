"""What can have happened to allocation. Accounts by number, quantities in tCO2e."""

import msgspec

from exchange.events.base import ControlEvent
from exchange.events.registry import SerialRange
from registry.allocation import Basis
from registry.coverage import Activity, Decision


class PeriodOpened(ControlEvent, frozen=True):
    year: int
    unit: int
    cap: int


class ActivityRecorded(ControlEvent, frozen=True):
    account: int
    activity: Activity


class CoverageDecided(ControlEvent, frozen=True):
    year: int
    decisions: dict[int, Decision]  # by account


class BasisSet(ControlEvent, frozen=True):
    account: int
    year: int
    bases: list[Basis]
    initial: int


class PreAllocation(msgspec.Struct, frozen=True):
    """How an enterprise's first part comes about."""

    account: int
    initial: int  # on its bases
    of: int  # the figure that the share is taken of: last year's, or the initial allocation
    free: int  # the share of it that is free
    deducted: int  # for an earlier shortfall
    issued: int
    parked: bool  # the authority keeps it
    serials: list[SerialRange]


class PreAllocated(ControlEvent, frozen=True):
    year: int
    allocations: list[PreAllocation]
    reserve: int
    paid: int


class FinalAllocation(msgspec.Struct, frozen=True):
    """How an enterprise's final allocation comes about."""

    account: int
    emissions: int
    initial: int  # on its bases
    free: int  # the free part of it
    adjusted: int  # after double-twenty and shortage cap
    final: int  # after the fit to the cap
    deducted: int
    true_up: int  # issued (positive) or to be given back (negative)
    taken_back: int
    owed_back: int
    serials: list[SerialRange]  # issued or cancelled


class AllocationDetermined(ControlEvent, frozen=True):
    year: int
    allocations: list[FinalAllocation]
    room: int  # under the cap for free allocation
    wanted: int  # by all enterprises


AllocationEvent = PeriodOpened | ActivityRecorded | CoverageDecided | BasisSet | PreAllocated | AllocationDetermined
