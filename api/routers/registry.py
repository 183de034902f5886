"""The registry: what participants may do, kinds of unit, serial numbers, locks, the registry report."""

from typing import Literal

from fastapi import APIRouter, Response

from api import registry_views as views
from api.gateway import TheGateway
from api.paging import ThePage
from api.problems import RESPONSES
from api.schemas import (
    AccountStatusChanged,
    Identifier,
    LargeHolder,
    LockEnforced,
    LockView,
    RegistryReport,
    RegistryStatement,
    RoleView,
    SerialHistory,
    UnitRegistered,
    UnitsCancelled,
    UnitsGiven,
    UnitsLocked,
    UnitsReleased,
    UnitsRetired,
    UnitView,
)
from api.tables import csv_of
from api.verbs import Verb, add_verbs
from exchange.commands import (
    CancelUnits,
    ChangeAccountStatus,
    EnforceLock,
    GiveUnits,
    LockUnits,
    RegisterUnit,
    ReleaseUnits,
    RetireUnits,
)
from exchange.reasons import Reason, Refused

router = APIRouter(prefix="/v1", tags=["registry"], responses=RESPONSES)

add_verbs(
    router,
    (
        Verb("/accounts/{account_id}/status", ChangeAccountStatus, AccountStatusChanged),
        Verb("/units", RegisterUnit, UnitRegistered),
        Verb("/title-transfers", GiveUnits, UnitsGiven),
        Verb("/accounts/{account_id}/retirements", RetireUnits, UnitsRetired),
        Verb("/accounts/{account_id}/cancellations", CancelUnits, UnitsCancelled),
        Verb("/accounts/{account_id}/locks", LockUnits, UnitsLocked),
        Verb("/locks/{lock_id}/release", ReleaseUnits, UnitsReleased),
        Verb("/locks/{lock_id}/enforcement", EnforceLock, LockEnforced),
    ),
)


@router.get("/roles")
async def roles() -> list[RoleView]:
    """What each class of participants may do, by the status of its account."""
    return views.roles()


@router.get("/units")
async def units(gateway: TheGateway, page: ThePage) -> list[UnitView]:
    """All kinds of unit, and what became of what was issued."""
    return [views.unit_view(gateway.exchange, unit) for unit in page.of_growing(gateway.exchange.units)]


@router.get("/units/{code}")
async def unit(code: Identifier, gateway: TheGateway) -> UnitView:
    """One kind of unit."""
    return views.unit_view(gateway.exchange, views.unit_named(gateway.exchange, code))


@router.get("/units/{code}/serials/{number}")
async def serial(code: Identifier, number: int, gateway: TheGateway) -> SerialHistory:
    """Who held a serial number when, and what happened to it."""
    return views.serial_history(gateway.exchange, views.unit_named(gateway.exchange, code), number)


@router.get("/locks")
async def locks(gateway: TheGateway, page: ThePage) -> list[LockView]:
    """All locks that hold, oldest first."""
    found = page.of(gateway.exchange.locks, lambda lock: lock.lock_id)
    return [views.lock_view(gateway.exchange, lock) for lock in found]


@router.get("/locks/{lock_id}")
async def lock(lock_id: int, gateway: TheGateway) -> LockView:
    """One lock that holds."""
    found = gateway.exchange.locks.by_id.get(lock_id)
    if found is None:
        raise Refused(Reason.UNKNOWN_LOCK, f"no lock {lock_id} holds")
    return views.lock_view(gateway.exchange, found)


@router.get("/accounts/{account_id}/locks")
async def locks_of(account_id: Identifier, gateway: TheGateway, page: ThePage) -> list[LockView]:
    """The locks on an account's units, oldest first."""
    found = page.of(gateway.exchange.locks.of(gateway.account(account_id).number), lambda lock: lock.lock_id)
    return [views.lock_view(gateway.exchange, lock) for lock in found]


@router.get("/accounts/{account_id}/registry-statement", summary="Registry statement")
async def statement(account_id: Identifier, gateway: TheGateway) -> RegistryStatement:
    """All units of an account as they stand: balances, the serial numbers behind them and what brought them, what
    of it was surrendered, retired or cancelled, locks."""
    return views.statement_view(gateway.exchange, gateway.account(account_id))


@router.get("/registry/report", summary="Registry report", responses={200: {"content": {"text/csv": {}}}})
async def report(gateway: TheGateway, format: Literal["json", "csv"] = "json") -> RegistryReport:
    """Where all units are: vintage by kind of account, with totals that add up. As CSV by `format=csv`.

    The fields of a row say what each column counts; together they are all that was issued.
    """
    shown = views.report_view(gateway.exchange)
    if format == "csv":
        return Response(csv_of([*shown.rows, shown.total]), media_type="text/csv")  # type: ignore[return-value]
    return shown


@router.get("/registry/large-holders")
async def large_holders(gateway: TheGateway, page: ThePage) -> list[LargeHolder]:
    """Accounts whose position in allowances is to be reported, the largest first."""
    number = {account.account_id: account.number for account in gateway.exchange.accounts}
    return page.of(
        views.large_holder_views(gateway.exchange), lambda holder: (-holder.position, number[holder.account_id])
    )
