"""What happened, and how an enterprise's year stands, in words for people."""

from collections.abc import Iterable
from decimal import Decimal

from api import schemas
from registry.emissions import Breach
from registry.serials import BlockState
from settlement.default import CaseState

_SERIES = 8  # of serial numbers that a sentence tells


def tonnes(quantity: int) -> str:
    return f"{quantity:,} t"


def amount(money: Decimal | str) -> str:
    """Money with its thousands marked; the currency is the market's."""
    return f"{Decimal(money):,.2f}"


def serials_text(serials: Iterable[tuple[int, int]]) -> str:
    """Serial numbers as they are asked for, without marks between the thousands."""
    return ", ".join(f"{first}-{last}" if first < last else str(first) for first, last in serials)


def of_units(amounts: dict[str, int]) -> str:
    """Tonnes by unit."""
    return ", ".join(f"{tonnes(quantity)} {unit}" for unit, quantity in amounts.items()) or "nothing"


def _some(serials: list[tuple[int, int]]) -> str:
    """The first of many series of numbers; JSON has them all."""
    more = len(serials) - _SERIES
    return serials_text(serials[:_SERIES]) + (f" and {more:,} more series" if more > 0 else "")


def _numbered(serials: list[tuple[int, int]]) -> str:
    return f" (numbers {_some(serials)})" if serials else ""


def _by_unit(serials: dict[str, list[tuple[int, int]]]) -> str:
    return "".join(f"; {unit} numbers {_some(ranges)}" for unit, ranges in serials.items())


def _still(missing: int) -> str:
    return f"{tonnes(missing)} still missing" if missing else "nothing is missing"


def account_text(one: schemas.AccountView) -> str:
    """Who an account is."""
    owner = f", owned by {one.beneficial_owner}" if one.beneficial_owner else ""
    region = f", {one.region}" if one.region else ""
    return f"{one.account_id}, {one.name}{region}: {one.participant_class}, {one.status.value}{owner}" + _why(
        one.status_reason
    )


def serial_text(one: schemas.SerialHistory) -> str:
    """Where a serial number is."""
    state = f"held by {one.holder}" if one.state == BlockState.HELD else f"{one.state.value}, held last by {one.holder}"
    block = f"{tonnes(one.quantity)}, numbers {one.first}-{one.last}, have the same history"
    return f"number {one.serial} of {one.unit} ({one.origin.value}): {state}; {block}"


def said(answer: schemas.Happened) -> str:
    """What a command made happen, and the command's address in the journal."""
    return f"{_said(answer)} (command {answer.sequence:,})"


def _said(answer: schemas.Happened) -> str:
    return (
        _of_statements(answer) or _of_units(answer) or _of_a_year(answer) or _of_reports(answer) or _of_credits(answer)
    )


def _of_statements(answer: schemas.Happened) -> str:
    match answer:
        case schemas.StatementConfirmed(account_id=who, batch=batch):
            return f"{who} confirmed its statement of batch {batch}"
        case schemas.StatementObjected(account_id=who, batch=batch, text=text):
            return f"{who} objects to its statement of batch {batch}: {text}"
        case schemas.ObjectionAnswered(account_id=who, batch=batch, by=by, upheld=upheld, answer=told):
            ruled = "upheld" if upheld else "dismissed"
            return f"{who}'s objection to its statement of batch {batch} is {ruled} by {by}: {told}"
        case schemas.PaymentsConfirmed(batch=batch, answered=answered, open_lines=left, short=short):
            unpaid = f"; not in full: lines {', '.join(map(str, short))}" if short else ""
            return f"the bank has answered {answered:,} lines of batch {batch}, {len(left):,} are open{unpaid}"
        case schemas.BreakReport(date=day, balances=balances, breaks=breaks, blocked=blocked):
            found = f"{len(breaks):,} do not agree with ours" if breaks else "all agree with ours"
            until = "; until a later file agrees, no withdrawals of " + ", ".join(blocked) if blocked else ""
            return f"the bank's {balances:,} balances of {day}: {found}{until}"
        case schemas.TradesPutRight(corrections=made):
            undone = [one.trade_id for one in made if one.after is None]
            ids, what = (undone, "undone") if undone else ([one.trade_id for one in made], "corrected")
            return f"{_trades(ids)} {what}: {made[0].reason}"
        case schemas.WithdrawalsBlocked(account_id=who, reason=why):
            return f"{who} may withdraw nothing: {why}"
        case schemas.WithdrawalsUnblocked(account_id=who, reason=why):
            return f"the block of {who}'s withdrawals ends: {why}"
        case _:
            return ""


def next_commands(answer: object) -> list[str]:
    """What to type next where somebody has failed, by `carbonex settlement`."""
    match answer:
        case schemas.SettlementView(cases=cases) | schemas.BatchView(cases=cases):
            return [f"case {number}" for number in cases]
        case schemas.CaseView(state=CaseState.NOTIFIED, number=number, account_id=who, overdue=False):
            return [f"cure {number} --by {who}"]
        case schemas.CaseView(state=CaseState.NOTIFIED, number=number):
            return [f"cover {number}", f"close-out {number}"]
        case schemas.CaseView(account_id=who, owed=owed) if Decimal(owed):
            return [f"repay {who} {owed}"]
        case _:
            return []


def _trades(ids: list[int]) -> str:
    named = f"{len(ids):,} trades" if len(ids) > 10 else f"trade{'s' * (len(ids) > 1)} {', '.join(map(str, ids))}"
    return f"{named} {'are' if len(ids) > 1 else 'is'}"


def _of_units(answer: schemas.Happened) -> str:
    match answer:
        case schemas.AccountStatusChanged(account_id=who, status=status, status_reason=why):
            return f"{who} is {status.value}: {why}"
        case schemas.UnitRegistered(unit=unit):
            return f"{unit.code} is registered: {unit.species.value} of {unit.vintage}"
        case schemas.UnitsGiven(giver=giver, taker=taker, unit=unit, quantity=quantity, serials=serials):
            return f"{giver} gave {taker} {tonnes(quantity)} {unit}{_numbered(serials)}"
        case schemas.UnitsRetired(account_id=who, unit=unit, quantity=quantity, purpose=why, serials=serials):
            return f"{who} retired {tonnes(quantity)} {unit}{_numbered(serials)}: {why}"
        case schemas.UnitsCancelled(account_id=who, unit=unit, quantity=quantity, reason=why, serials=serials):
            return f"{tonnes(quantity)} {unit} of {who} are cancelled{_numbered(serials)}: {why}"
        case schemas.UnitsLocked(lock=lock):
            favoured = f" in favour of {lock.in_favour_of}" if lock.in_favour_of else ""
            return (
                f"lock {lock.lock_id}: {tonnes(lock.quantity)} {lock.unit} of {lock.account_id} are {lock.kind.value}"
                f"{favoured} ({lock.reference})"
            )
        case schemas.UnitsReleased(lock=lock, quantity=quantity):
            left = tonnes(lock.quantity - quantity)
            return f"lock {lock.lock_id}: {tonnes(quantity)} {lock.unit} of {lock.account_id} are free, {left} locked"
        case schemas.LockEnforced(lock=lock, quantity=quantity, serials=serials):
            return (
                f"lock {lock.lock_id}: {tonnes(quantity)} {lock.unit} of {lock.account_id} went to "
                f"{lock.in_favour_of}{_numbered(serials)}"
            )
        case _:
            return ""


def _of_a_year(answer: schemas.Happened) -> str:
    match answer:
        case schemas.PeriodOpened(year=year, unit=unit, cap=cap):
            return f"{year} is open: its allowances are {unit}, " + (f"cap {tonnes(cap)}" if cap else "without a cap")
        case schemas.ActivityRecorded(account_id=who, activity=one):
            figures = [f"{tonnes(one.emissions)}CO2e" if one.emissions is not None else ""]
            figures += [f"{one.energy_tce:,} tce" if one.energy_tce is not None else "", "closed" * one.closed]
            figures += ["in the national market" * one.in_national_market]
            return f"{who} in {one.year}: {', '.join(filter(None, figures)) or 'nothing known'}"
        case schemas.CoverageDecided(year=year, decisions=decisions):
            return f"{year}: {sum(one.covered for one in decisions):,} of {len(decisions):,} enterprises are covered"
        case schemas.BasisSet(account_id=who, year=year, initial=initial):
            return f"{who} in {year}: its bases come to {tonnes(initial)}"
        case schemas.PreAllocated(year=year, allocations=given, reserve=reserve, paid=paid):
            issued = tonnes(sum(one.issued for one in given))
            return f"{year}: {issued} pre-allocated, {tonnes(reserve)} in reserve, {tonnes(paid)} to be sold"
        case schemas.AllocationDetermined(year=year, room=room, wanted=wanted):
            return f"{year} is determined: {tonnes(wanted)} wanted, room for {tonnes(room)}"
        case schemas.SurrenderOpened(year=year, deadline=deadline, due=due):
            return f"the surrender for {year} is open until {deadline}: due {_each(due)}"
        case schemas.ObligorsReminded(year=year, deadline=deadline, missing=missing):
            return f"{year}, until {deadline}: missing {_each(missing)}"
        case schemas.SurrenderRequested(request=one, missing=missing):
            return (
                f"request id {one.request_id}: {one.payer} offers {of_units(one.tonnes)} for {one.year} of "
                f"{one.obligor}; it waits for the authority; once confirmed {_still(missing)}"
            )
        case schemas.SurrenderConfirmed(request=one, serials=serials, missing=missing):
            return (
                f"request id {one.request_id} is confirmed: {one.payer} surrendered {of_units(one.tonnes)} for "
                f"{one.year} of {one.obligor}; {_still(missing)}{_by_unit(serials)}"
            )
        case schemas.SurrenderRejected(request=one, reason=why):
            return f"request id {one.request_id} of {one.payer} is rejected, {of_units(one.tonnes)} are free: {why}"
        case schemas.SurrenderForced(account_id=who, year=year, tonnes=taken, serials=serials, missing=missing):
            return f"{who} in {year}: surrendered {of_units(taken)} by force; {_still(missing)}{_by_unit(serials)}"
        case schemas.ParkedReleased(account_id=who, year=year, quantity=quantity, serials=serials):
            return f"{who} got the {tonnes(quantity)} that were parked for {year}{_numbered(serials)}"
        case schemas.SurrenderClosed(year=year, records=records, complied=complied, mean_price=price):
            short = len(records) - complied
            return f"{year} is closed: {complied:,} complied, {short:,} short; mean price {amount(price)} CNY/t"
        case schemas.FinePaid(account_id=who, year=year, amount=paid):
            return f"{who} paid a fine of {amount(paid)} CNY for {year}"
        case schemas.UnitsLapsed(year=year, tonnes=lapsed, reserve=reserve):
            total = tonnes(sum(lapsed.values()))
            return f"{year}: {total} lapsed ({_each(lapsed)}), and {tonnes(reserve)} of the reserve"
        case schemas.UnitsCarriedOver(account_id=who, tonnes=given, unit=unit, limit=limit, serials=serials):
            return f"{who} gave {of_units(given)} for {unit}{_numbered(serials)}; the limit is {tonnes(limit)}"
        case _:
            return ""


def _each(amounts: dict[str, int]) -> str:
    """Tonnes by account; of many their sum, for the rest stands in a table."""
    if len(amounts) > 3:
        return f"{tonnes(sum(amounts.values()))} by {len(amounts):,} accounts"
    return ", ".join(f"{who}: {tonnes(quantity)}" for who, quantity in amounts.items()) or "nothing"


def _of_reports(answer: schemas.Happened) -> str:
    match answer:
        case schemas.FactorPublished(factor=one):
            return f"{one.name}, version {one.version}: {one.value} {one.unit} from {one.valid_from_year}"
        case schemas.ReportingOpened(reporting=one, accounts=accounts):
            return f"reports of {one.year} are due until {one.deadline} from {_names(accounts)}"
        case schemas.ReportChanged(report=one) | schemas.EmissionsAssessed(report=one):
            return _report(one)
        case schemas.ReportRestated(report=one, emissions=emissions):
            return f"{_report(one)}; until it is verified {tonnes(emissions)} count"
        case schemas.ReportingClosed(reporting=one, refused=refused):
            return f"the reporting of {one.year} is closed; refused: {_names(refused)}"
        case schemas.ReportSanctioned(consequence=one):
            return f"{one.account_id} in {one.year}: {cut_text(one)}"
        case _:
            return ""


def _names(accounts: list[str]) -> str:
    return f"{len(accounts):,} accounts" if len(accounts) > 10 else ", ".join(accounts) or "nobody"


def _report(report: schemas.EmissionReport) -> str:
    figure = f", figure {tonnes(report.figure)}" if report.figure is not None else ""
    return (
        f"{report.account_id}'s report of {report.year}, version {report.version}, is {report.state.value}: "
        f"{tonnes(report.total)}{figure}{', late' if report.late else ''}"
    )


def _of_credits(answer: schemas.Happened) -> str:
    match answer:
        case schemas.MethodologyChanged(methodology=one):
            state = f"withdrawn on {one.withdrawn_on}" if one.withdrawn_on else f"approved on {one.approved_on}"
            return f"methodology {one.code}, {one.title}: {state}"
        case schemas.ProjectChanged(project=one):
            return f"project {one.project_id}, {one.title}: {one.state.value}{_until(one)}{_why(one.reason)}"
        case schemas.ReductionChanged(reduction=one):
            return f"{_batch(one)}: {one.state.value}{_until(one)}{_why(one.reason)}"
        case schemas.ReductionIssued(reduction=one, unit=unit, serials=serials, grams_left=grams):
            left = f"; {grams:,} g are left for later" if grams else ""
            return f"{_batch(one)}: {one.state.value} as {unit}{_numbered(serials)}{left}"
        case schemas.ReductionRevoked(reduction=one, cancelled=cancelled, to_replace=left, replace_by=by):
            duty = f"; {tonnes(left)} to be replaced by {by}" if left else ""
            return f"{_batch(one)}: {one.state.value}; {tonnes(cancelled)} cancelled{duty}{_why(one.reason)}"
        case schemas.UnitsReplaced(
            account_id=who, unit=unit, quantity=quantity, serials=serials, still_to_replace=left
        ):
            return (
                f"{who} replaced {tonnes(quantity)} by {unit}{_numbered(serials)}; {tonnes(left)} still to be replaced"
            )
        case _:
            return "done"


def _batch(one: schemas.ReductionView) -> str:
    return f"reduction {one.number}, {one.scheme} {one.project} batch {one.batch}, {tonnes(one.tonnes)} of {one.owner}"


def _until(one: schemas.ProjectView | schemas.ReductionView) -> str:
    return f", public until {one.public_until}" if one.public_until and not one.decided_on else ""


def _why(reason: str) -> str:
    return f": {reason}" if reason else ""


# ---------------------------------------------------------------- an enterprise's year


def cut_text(cut: schemas.ConsequenceView) -> str:
    """How and why an allocation is cut."""
    if cut.breach == Breach.REFUSAL:
        return f"cut to {cut.share} of the last allocation: {cut.reason}"
    return f"cut to {cut.share} of itself: false data in the report of {cut.year - 1} ({cut.reason})"


def obligor_lines(one: schemas.ObligorView) -> list[tuple[str, str]]:
    """An enterprise's year as names and sums that explain themselves."""
    covered = "covered" if one.coverage.covered else "not covered"
    until = f", surrender until {one.deadline}" if one.deadline else ""
    lines = [
        ("year", f"{one.account_id} in {one.year}: {one.stage.value.replace('_', ' ')}{until}"),
        ("coverage", f"{covered} ({one.coverage.why.value}): {one.coverage.detail}"),
        *_allocation_lines(one),
    ]
    if one.emissions is None:
        return [*lines, ("emissions", "known when the allocation is determined")]
    emitted = f"verified {one.emissions:,}" + (f" + owed back {one.owed_back:,}" if one.owed_back else "")
    confirmed = sum(one.surrendered.values())
    if one.outcome:
        lines.append(("to pay", f"{emitted} - confirmed {confirmed:,} = shortfall {one.shortfall:,}"))
    else:
        left = f"waiting {one.waiting:,} = still to offer {one.to_offer:,}"
        lines.append(("to pay", f"{emitted} - confirmed {confirmed:,} - {left}"))
    if one.surrendered:
        lines.append(("surrendered", of_units(one.surrendered)))
    lines.append(("credits", f"{tonnes(one.offset)} used of {tonnes(one.offset_cap)} that may pay"))
    return [*lines, *(_end_lines(one) if one.outcome else _plan_lines(one))]


def _allocation_lines(one: schemas.ObligorView) -> list[tuple[str, str]]:
    lines = [("allocation", f"initial {tonnes(one.initial)}, of which allocated {tonnes(one.allocated)}")]
    lines += [("", f"allocation {cut_text(cut)}") for cut in one.cuts]
    if one.deducted:
        lines.append(("deducted", f"{tonnes(one.deducted)} for an earlier shortfall"))
    if one.parked:
        lines.append(("parked", f"{tonnes(one.parked)} of it the authority keeps for now"))
    if one.owed_back:
        lines.append(("owed back", f"{tonnes(one.owed_back)}: pre-allocated too much and no longer there to be taken"))
    return lines


def _plan_lines(one: schemas.ObligorView) -> list[tuple[str, str]]:
    if not one.to_offer:
        return []
    return [("plan", f"{of_units(one.plan)} would pay; plan missing {tonnes(one.plan_missing)}")]


def _end_lines(one: schemas.ObligorView) -> list[tuple[str, str]]:
    assert one.outcome is not None
    lines = [("outcome", one.outcome.value)]
    if one.shortfall:
        paid = f"{amount(one.fine)} CNY, of which {amount(one.fine_paid)} paid"
        lines.append(("fine", paid))
    if one.to_deduct:
        lines.append(("deduction", f"{tonnes(one.to_deduct)} come off the next allocation"))
    return lines
