"""From the registry's state and events to what goes over the wire. Reads only.

Inside, accounts and units are numbers and money is fen; outside they are ids, codes and decimal strings. `told` turns
any structure of state or event; which of its fields are what stands in the tables below, by name. What has a shape of
its own beyond that, has a function of its own further down.
"""

from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

import msgspec

from api import schemas
from api.timers import iso
from api.views import class_name
from exchange.events import AccountStatusChanged, UnitsLapsed
from exchange.instruments import money
from exchange.positions import large_holders
from exchange.reasons import Reason, Refused
from exchange.reports import UnitRow, compliance_summary, registry_report, total_row
from exchange.state import Exchange
from exchange.transition.compliance import usable_for, whole_plan
from registry.accounts import RIGHTS, RIGHTS_WHILE, Account, AccountStatus, ParticipantClass
from registry.compliance import Obligor, Period, offset_cap
from registry.coverage import Decision
from registry.emissions import Report
from registry.holdings import LOCKED
from registry.locks import Lock
from registry.serials import Block, BlockState
from registry.units import Unit

ACCOUNTS = {  # numbers of accounts, 0: nobody; lists of them; keys of amounts
    "account", "accounts", "giver", "taker", "payer", "obligor", "in_favour_of", "authority", "refused",
    "verifier", "validator", "owner", "by",
}  # fmt: skip
BY_ACCOUNT = {"due", "missing", "decisions"}
BY_UNIT = {"tonnes", "serials", "surrendered"}
MONEY = {"amount", "fine", "fine_paid", "fines"}  # fen


def told(exchange: Exchange, struct: msgspec.Struct) -> dict[str, Any]:
    """A structure with names in place of numbers, ready to be validated."""
    if isinstance(struct, AccountStatusChanged):
        account = struct.account
        return {"account_id": account.account_id, "status": account.status, "status_reason": account.status_reason}
    found: dict[str, Any] = {}
    for name in struct.__struct_fields__:
        by_account = name in BY_ACCOUNT or isinstance(struct, UnitsLapsed)  # whose tonnes are of one unit
        found["account_id" if name == "account" else name] = _told(exchange, name, getattr(struct, name), by_account)
    return found


def _told(exchange: Exchange, name: str, value: Any, by_account: bool) -> Any:
    match value:
        case bool() | None:
            return value
        case Enum():
            return value.value
        case int() if name in ACCOUNTS:
            return account_id(exchange, value)
        case int() if name == "unit":
            return exchange.units[value].code if value else None
        case int() if name in MONEY:
            return money(value)
        case str() if name == "mean_price":
            return price(value)
        case dict() if name == "decisions":
            return [coverage_view(exchange, account, decision) for account, decision in value.items()]
        case dict() if by_account:
            return {account_id(exchange, key): amount for key, amount in value.items()}
        case dict() if name in BY_UNIT:
            return {exchange.units[key].code: amount for key, amount in value.items()}
        case list() | tuple():
            return [_told(exchange, name, one, by_account) for one in value]
        case Unit():
            return unit_view(exchange, value)
        case Report():
            return told(exchange, value) | {"figure": value.figure}
        case msgspec.Struct():
            tag_field, tag = value.__struct_config__.tag_field, value.__struct_config__.tag
            return ({tag_field: tag} if tag_field else {}) | told(exchange, value)
        case _:
            return value


def account_id(exchange: Exchange, number: int) -> str | None:
    """The id of an account; None for 0, which is nobody."""
    return exchange.accounts[number].account_id if number else None


# ---------------------------------------------------------------- accounts, units, serial numbers, locks


def roles() -> list[schemas.RoleView]:
    """What each class may do in each status of its account."""
    return [
        schemas.RoleView(
            participant_class=class_name(one),
            rights={status: sorted(RIGHTS[one] & RIGHTS_WHILE[status]) for status in AccountStatus},
        )
        for one in ParticipantClass
    ]


def account_named(exchange: Exchange, account_id: str) -> Account:
    """An account by its id. Refused if there is none."""
    account = exchange.accounts.by_id.get(account_id)
    if account is None:
        raise Refused(Reason.UNKNOWN_ACCOUNT, f"There is no account {account_id!r}.")
    return account


def unit_named(exchange: Exchange, code: str) -> Unit:
    """A unit by its code. Refused if there is none."""
    unit = exchange.units.by_code.get(code)
    if unit is None:
        raise Refused(Reason.UNKNOWN_UNIT, f"There is no unit {code!r}.")
    return unit


def unit_view(exchange: Exchange, unit: Unit) -> schemas.UnitView:
    states = {state.value: exchange.serials.total(unit.number, state) for state in BlockState}
    described = {name: getattr(unit, name) for name in unit.__struct_fields__ if name != "number"}
    return schemas.UnitView.model_validate(described | states)


def serial_history(exchange: Exchange, unit: Unit, serial: int) -> schemas.SerialHistory:
    """A serial number's life. Refused if it was never issued."""
    try:
        block = exchange.serials.at(unit.number, serial)
    except KeyError as error:
        raise Refused(Reason.UNKNOWN_UNIT, f"{unit.code} number {serial} was never issued.") from error
    holder = exchange.accounts[block.holder].account_id
    return schemas.SerialHistory(
        unit=unit.code,
        serial=serial,
        first=block.first,
        last=block.last,
        quantity=block.quantity,
        origin=block.origin,
        ever_traded=block.ever_traded,
        state=block.state,
        holder=holder,
        movements=[
            schemas.SerialMovement(
                cause=movement.cause,
                giver=account_id(exchange, movement.giver),
                taker=account_id(exchange, movement.taker),
                at=iso(movement.now_ns, exchange.market.timezone),
                sequence=movement.sequence,
                trade_id=movement.reference or None,
            )
            for movement in exchange.serials.history(unit.number, serial)
        ],
    )


def lock_view(exchange: Exchange, lock: Lock) -> schemas.LockView:
    return schemas.LockView.model_validate(told(exchange, lock))


def statement_view(exchange: Exchange, account: Account) -> schemas.RegistryStatement:
    """An account's units with their serial blocks and locks."""
    holdings, blocks, ended = [], [], []
    for unit in exchange.units:
        balance = exchange.path.desk.balances[account.number, unit.number]
        kept = {name: int(balance[name]) for name in ("registry", *LOCKED)}
        title = exchange.serials.held(account.number, unit.number)
        if title or any(kept.values()):
            holdings.append(
                schemas.UnitHolding(unit=unit.code, trading=title - sum(kept.values()), settled=title, **kept)
            )
        blocks += [_titled(exchange, unit, block) for block in exchange.serials.of(account.number, unit.number)]
        ended += [_titled(exchange, unit, block) for block in exchange.serials.ended_of(account.number, unit.number)]
    return schemas.RegistryStatement(
        account_id=account.account_id,
        name=account.name,
        status=account.status,
        as_of=exchange.date,
        sequence=exchange.sequence,
        holdings=holdings,
        blocks=blocks,
        ended=sorted(ended, key=lambda block: block.sequence),
        locks=[lock_view(exchange, lock) for lock in exchange.locks.of(account.number)],
    )


def _titled(exchange: Exchange, unit: Unit, block: Block) -> schemas.TitledBlock:
    last = block.title.movement
    return schemas.TitledBlock(
        unit=unit.code,
        first=block.first,
        last=block.last,
        quantity=block.quantity,
        origin=block.origin,
        ever_traded=block.ever_traded,
        cause=last.cause,
        giver=account_id(exchange, last.giver),
        at=iso(last.now_ns, exchange.market.timezone),
        sequence=last.sequence,
        trade_id=last.reference or None,
    )


def report_view(exchange: Exchange) -> schemas.RegistryReport:
    """The registry report of this moment, with its totals."""
    rows = registry_report(exchange)
    return schemas.RegistryReport(
        market=exchange.market.title,
        as_of=exchange.date,
        sequence=exchange.sequence,
        rows=[_row(row) for row in rows],
        total=_row(total_row(rows)).model_copy(update={"species": None, "vintage": None}),
    )


def _row(row: UnitRow) -> schemas.UnitRow:
    return schemas.UnitRow.model_validate(msgspec.structs.asdict(row))


def large_holder_views(exchange: Exchange) -> list[schemas.LargeHolder]:
    return [schemas.LargeHolder.model_validate(told(exchange, one)) for one in large_holders(exchange)]


# ---------------------------------------------------------------- the compliance year


def period_of(exchange: Exchange, year: int) -> Period:
    """A compliance year. Refused if it was not opened."""
    period = exchange.compliance.periods.get(year)
    if period is None:
        raise Refused(Reason.UNKNOWN_PERIOD, f"The compliance year {year} has not been opened.")
    return period


def period_view(exchange: Exchange, period: Period) -> schemas.PeriodView:
    return schemas.PeriodView(
        unit=exchange.units[period.unit].code,
        market_factor=period.market_factor,
        authority=exchange.accounts[period.authority].account_id,
        deadline=period.deadline,
        **told(exchange, compliance_summary(exchange, period.year)),
    )


def activity_views(exchange: Exchange, account: Account) -> list[schemas.ActivityView]:
    found = exchange.compliance.activities.get(account.number, {})
    return [schemas.ActivityView.model_validate(told(exchange, found[year])) for year in sorted(found)]


def coverage_view(exchange: Exchange, account: int, decision: Decision) -> schemas.CoverageView:
    return schemas.CoverageView(
        account_id=exchange.accounts[account].account_id,
        covered=decision.covered,
        why=decision.why,
        detail=decision.detail,
    )


def obligor_of(period: Period, account: Account) -> Obligor:
    """An enterprise's year, covered or not. Refused if nothing was decided about it."""
    obligor = period.obligors.get(account.number)
    if obligor is None:
        raise Refused(Reason.UNKNOWN_ACCOUNT, f"Nothing was decided about {account.account_id} in {period.year}.")
    return obligor


def obligor_view(exchange: Exchange, period: Period, obligor: Obligor, payer: Account) -> schemas.ObligorView:
    """An enterprise's year, and with what a payer (it, or somebody for it) may pay."""
    figures = told(exchange, obligor)
    del figures["decision"]
    whole = whole_plan(exchange, period.year, obligor, payer.number)
    pending = exchange.compliance.pending_for(period.year, obligor.account)
    waiting = sum(one.total for one in pending)
    cuts = exchange.emissions.consequences_of(obligor.account, period.year)
    return schemas.ObligorView(
        **figures,
        year=period.year,
        stage=period.stage,
        deadline=period.deadline,
        coverage=coverage_view(exchange, obligor.account, obligor.decision),
        due=obligor.due,
        missing=obligor.missing,
        offset_cap=offset_cap(exchange.market.compliance, period.year, obligor),
        cuts=[schemas.ConsequenceView.model_validate(told(exchange, cut)) for cut in cuts],
        waiting=waiting,
        to_offer=obligor.missing - waiting,
        to_deduct=exchange.compliance.deductions.get(obligor.account, 0),
        pending=surrender_views(exchange, pending),
        usable=[
            schemas.UsableUnit(unit=one.unit.code, held=one.held, tonnes=one.tonnes, eligibility=one.eligibility)
            for one in usable_for(exchange, period.year, obligor, payer.number)
        ],
        plan={exchange.units[number].code: tonnes for number, tonnes in whole.tonnes.items()},
        plan_missing=whole.missing,
    )


def surrender_views(exchange: Exchange, requests: Iterable[msgspec.Struct]) -> list[schemas.SurrenderView]:
    return [schemas.SurrenderView.model_validate(told(exchange, one)) for one in requests]


def record_views(exchange: Exchange, year: int | None) -> list[schemas.ComplianceRecord]:
    """How closed years ended for everybody who was covered: all of them, or one."""
    periods = exchange.compliance.periods
    return [
        schemas.ComplianceRecord(
            account_id=exchange.accounts[obligor.account].account_id,
            year=period.year,
            due=obligor.due,
            surrendered=obligor.tonnes_surrendered,
            offset=obligor.offset,
            shortfall=obligor.shortfall,
            fine=money(obligor.fine),
            fine_paid=money(obligor.fine_paid),
            outcome=obligor.outcome,
        )
        for period in (periods[known] for known in sorted(periods) if year in (None, known))
        for obligor in period.covered()
        if obligor.outcome is not None
    ]


# ---------------------------------------------------------------- emissions


def factor_views(exchange: Exchange) -> list[schemas.FactorView]:
    return [schemas.FactorView.model_validate(told(exchange, one)) for one in exchange.emissions.factors]


def reporting_views(exchange: Exchange) -> list[schemas.ReportingStanding]:
    return [_reporting_standing(exchange, year) for year in sorted(exchange.emissions.years)]


def _reporting_standing(exchange: Exchange, year: int) -> schemas.ReportingStanding:
    emissions, accounts = exchange.emissions, exchange.accounts
    return schemas.ReportingStanding(
        **told(exchange, emissions.years[year]),
        outstanding=[accounts[report.account].account_id for report in emissions.outstanding(year)],
        late=[accounts[number].account_id for number in emissions.late(year)],
    )


def report_views(exchange: Exchange, year: int) -> list[schemas.EmissionReport]:
    """The last versions of a year's reports. Refused if none are due."""
    if year not in exchange.emissions.years:
        raise Refused(Reason.UNKNOWN_PERIOD, f"No reports of {year} are due.")
    reports = exchange.emissions.of(year)
    return [schemas.EmissionReport.model_validate(_told(exchange, "report", one, False)) for one in reports]


def trace_view(exchange: Exchange, account: Account, year: int) -> schemas.EmissionTrace:
    """Every number of an enterprise's year with its inputs. Refused if no report was due."""
    try:
        trace = exchange.emissions.trace(account.number, year)
    except KeyError as error:
        raise Refused(Reason.UNKNOWN_REPORT, f"No report of {year} is due from {account.account_id}.") from error
    return schemas.EmissionTrace.model_validate(told(exchange, trace))


# ---------------------------------------------------------------- credits


def methodology_views(exchange: Exchange) -> list[schemas.MethodologyView]:
    known = exchange.credits.methodologies.values()
    return [schemas.MethodologyView.model_validate(told(exchange, one)) for one in known]


def project_views(exchange: Exchange) -> list[schemas.ProjectView]:
    return [schemas.ProjectView.model_validate(told(exchange, one)) for one in exchange.credits.projects.values()]


def project_standing(exchange: Exchange, project_id: str) -> schemas.ProjectStanding:
    """A project and what may come next. Refused if there is none."""
    if project_id not in exchange.credits.projects:
        raise Refused(Reason.UNKNOWN_PROJECT, f"There is no project {project_id!r}.")
    standing = exchange.credits.status(project_id, exchange.date or date.min)
    return schemas.ProjectStanding.model_validate(told(exchange, standing))


def reduction_views(exchange: Exchange) -> list[schemas.ReductionView]:
    return [schemas.ReductionView.model_validate(told(exchange, one)) for one in exchange.credits.reductions.values()]


def reduction_view(exchange: Exchange, number: int) -> schemas.ReductionView:
    """A batch of reductions. Refused if there is none."""
    reduction = exchange.credits.reductions.get(number)
    if reduction is None:
        raise Refused(Reason.UNKNOWN_REDUCTION, f"There is no reduction {number}.")
    return schemas.ReductionView.model_validate(told(exchange, reduction))


def duty_views(exchange: Exchange) -> list[schemas.DutyView]:
    return [schemas.DutyView.model_validate(told(exchange, one)) for one in exchange.credits.duties.values()]


def overdue_views(exchange: Exchange) -> list[schemas.DeadlineView]:
    overdue = exchange.credits.overdue(exchange.date or date.min)
    return [schemas.DeadlineView.model_validate(told(exchange, one)) for one in overdue]


def price(fen: str) -> str:
    """A fraction of fen per tonne in CNY per tonne, rounded half-up to a fen."""
    fraction = Fraction(fen)
    return str((Decimal(fraction.numerator) / fraction.denominator / 100).quantize(Decimal("0.01"), ROUND_HALF_UP))
