"""Surrender, what a shortfall costs, and what becomes of allowances when their year is over."""

from datetime import date
from fractions import Fraction
from typing import assert_never

import numpy as np

from exchange import events as happened
from exchange.commands import (
    CarryOverUnits,
    CloseSurrender,
    ComplianceCommand,
    ConfirmSurrender,
    ForceSurrender,
    LapseUnits,
    OpenSurrender,
    PayFine,
    RejectSurrender,
    ReleaseParked,
    RemindObligors,
    RequestSurrender,
)
from exchange.events import Record
from exchange.instruments import money
from exchange.reasons import Reason, Refused
from exchange.state import UNITS_MAX, Exchange
from exchange.transition.failing import require_not_due
from exchange.transition.step import (
    Step,
    account_named,
    acting,
    date_of,
    free_on_registry,
    is_parked,
    issue,
    move_cash,
    period_in,
    period_of,
    require,
    require_right,
    reserve_of,
    set_position_limit,
    take_out_of_the_world,
    unit_named,
    unpark,
)
from registry import holdings
from registry.accounts import Account, Right
from registry.compliance import (
    Eligibility,
    Obligor,
    Outcome,
    Period,
    Plan,
    Stage,
    Surrender,
    Usable,
    carry_over_limit,
    deduction,
    eligibility,
    expiry_rule,
    fine,
    plan,
    price_window,
    usable,
)
from registry.holdings import CASH
from registry.rules import CarryOver, Lapse, in_force
from registry.serials import Block, Cause, Origin
from registry.units import Species, Unit


def handle(step: Step, command: ComplianceCommand) -> happened.ComplianceEvent:
    match command:
        case OpenSurrender():
            return open_surrender(step, command)
        case RemindObligors():
            return remind_obligors(step, command)
        case RequestSurrender():
            return request_surrender(step, command)
        case ConfirmSurrender():
            return confirm_surrender(step, command)
        case RejectSurrender():
            return reject_surrender(step, command)
        case ForceSurrender():
            return force_surrender(step, command)
        case ReleaseParked():
            return release_parked(step, command)
        case CloseSurrender():
            return close_surrender(step, command)
        case PayFine():
            return pay_fine(step, command)
        case LapseUnits():
            return lapse_units(step, command)
        case CarryOverUnits():
            return carry_over_units(step, command)
        case _:
            assert_never(command)


# ---------------------------------------------------------------- the window


def open_surrender(step: Step, command: OpenSurrender) -> happened.SurrenderOpened:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    period = period_in(exchange, command.year, Stage.DETERMINED)
    to_come = command.deadline >= max(date_of(exchange), date(command.year, 1, 1))
    require(to_come, Reason.INVALID_DATE, f"the deadline {command.deadline} lies before {exchange.date} or its year")

    period.enter(Stage.SURRENDERING)
    period.deadline = command.deadline
    due = {obligor.account: obligor.due for obligor in period.covered()}
    return happened.SurrenderOpened(command.year, command.deadline, due)


def remind_obligors(step: Step, command: RemindObligors) -> happened.ObligorsReminded:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    period = period_in(exchange, command.year, Stage.SURRENDERING)
    assert period.deadline is not None

    period.reminded_on = exchange.date
    missing = {obligor.account: obligor.missing for obligor in period.covered() if obligor.missing}
    return happened.ObligorsReminded(command.year, period.deadline, missing)


# ---------------------------------------------------------------- what may be used


def held_on_registry(exchange: Exchange, account: int) -> list[tuple[Unit, int]]:
    """(unit, tonnes) free on an account's registry side."""
    there = np.flatnonzero(exchange.path.desk.balances["registry"][account]).tolist()
    held = [(exchange.units[number], free_on_registry(exchange, account, number)) for number in there]
    return [(unit, tonnes) for unit, tonnes in held if tonnes]


def usable_for(exchange: Exchange, year: int, obligor: Obligor, payer: int) -> list[Usable]:
    """What an account may still use for an enterprise's year: what a surrender would take, in its order."""
    return usable_of(exchange, year, obligor, held_on_registry(exchange, payer))


def usable_of(exchange: Exchange, year: int, obligor: Obligor, held: list[tuple[Unit, int]]) -> list[Usable]:
    """The same of (unit, tonnes) that somebody may have."""
    region = exchange.accounts[obligor.account].region
    return usable(exchange.market.compliance, year, obligor, held, region, _pending_offset(exchange, year, obligor))


def whole_plan(exchange: Exchange, year: int, obligor: Obligor, payer: int) -> Plan:
    """What would make an enterprise whole, out of what an account may use; and what would then still be missing."""
    return plan(usable_for(exchange, year, obligor, payer), still_due(exchange, year, obligor))


def still_due(exchange: Exchange, year: int, obligor: Obligor) -> int:
    """Tonnes that an enterprise's year lacks and nobody has offered yet."""
    return obligor.missing - exchange.compliance.waiting_for(year, obligor.account)


def _pending_offset(exchange: Exchange, year: int, obligor: Obligor) -> int:
    """Tonnes of credits that wait to be confirmed for an enterprise's year."""
    return sum(
        tonnes
        for request in exchange.compliance.pending_for(year, obligor.account)
        for number, tonnes in request.tonnes.items()
        if exchange.units[number].species == Species.CREDIT
    )


# ---------------------------------------------------------------- request, confirm


def request_surrender(step: Step, command: RequestSurrender) -> happened.SurrenderRequested:
    exchange, compliance = step.exchange, step.exchange.compliance
    payer = account_named(exchange, command.account_id)
    whose = account_named(exchange, command.on_behalf_of) if command.on_behalf_of else payer
    require_right(payer, Right.SURRENDER)
    for code in command.units:
        unit_named(exchange, code)
    period = period_in(exchange, command.year, Stage.SURRENDERING)
    _require_in_time(exchange, period)
    obligor = _obligor(exchange, whose, command.year)
    tonnes = _chosen(exchange, command, obligor, payer) if command.units else None
    if tonnes is None:
        due = still_due(exchange, command.year, obligor)
        require(due > 0, Reason.ABOVE_OBLIGATION, f"nothing is due for {command.year}")
        tonnes = whole_plan(exchange, command.year, obligor, payer.number).tonnes
        require(bool(tonnes), Reason.INSUFFICIENT_UNITS, f"{payer.account_id} has nothing that pays for {command.year}")

    tonnes = dict(sorted(tonnes.items()))
    for number, quantity in tonnes.items():
        balance = exchange.path.desk.balances[payer.number, number]
        balance.registry -= quantity
        balance.pending_surrender += quantity
    request = Surrender(compliance.next_request, command.year, payer.number, whose.number, tonnes)
    compliance.requests[request.request_id] = request
    compliance.next_request += 1
    return happened.SurrenderRequested(request, still_due(exchange, command.year, obligor))


def _require_in_time(exchange: Exchange, period: Period) -> None:
    assert period.deadline is not None and exchange.date is not None
    require(exchange.date <= period.deadline, Reason.TOO_LATE, f"the deadline was {period.deadline}")


def _obligor(exchange: Exchange, account: Account, year: int) -> Obligor:
    obligor = exchange.compliance.obligor(year, account.number)
    if obligor is None:
        raise Refused(Reason.NOT_COVERED, f"{account.account_id} is not covered in {year}")
    return obligor


def _chosen(exchange: Exchange, command: RequestSurrender, obligor: Obligor, payer: Account) -> dict[int, int]:
    """The tonnes that a request names, by unit number. Refused if they may not be used so."""
    tonnes = {exchange.units.by_code[code].number: quantity for code, quantity in command.units.items()}
    wished = [(exchange.units[number], quantity) for number, quantity in tonnes.items()]
    region = exchange.accounts[obligor.account].region
    for unit, _ in wished:
        why = eligibility(exchange.market.compliance, command.year, unit, region)
        require(why == Eligibility.ELIGIBLE, Reason.NOT_ELIGIBLE, f"{unit.code}: {why}")
    for _, quantity in wished:
        require(quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "what is surrendered must be positive")
    asked = sum(quantity for unit, quantity in wished if unit.species == Species.CREDIT)
    fits = sum(
        one.tonnes for one in usable_of(exchange, command.year, obligor, wished) if one.unit.species == Species.CREDIT
    )
    require(asked <= fits, Reason.OFFSET_LIMIT, f"{fits} t of them may still be credits")
    due = still_due(exchange, command.year, obligor)
    require(sum(tonnes.values()) <= due, Reason.ABOVE_OBLIGATION, f"{due} t are still due")
    for unit, quantity in wished:
        held = free_on_registry(exchange, payer.number, unit.number)
        require(quantity <= held, Reason.INSUFFICIENT_UNITS, f"{held} t of {unit.code} are free")
    return tonnes


def _request(exchange: Exchange, request_id: int) -> Surrender:
    request = exchange.compliance.requests.get(request_id)
    if request is None:
        raise Refused(Reason.UNKNOWN_SURRENDER, f"no surrender {request_id} waits")
    return request


def confirm_surrender(step: Step, command: ConfirmSurrender) -> happened.SurrenderConfirmed:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    request = _request(exchange, command.request_id)

    del exchange.compliance.requests[request.request_id]
    obligor = exchange.compliance.periods[request.year].obligors[request.obligor]
    serials = _surrender(step, obligor, request.payer, request.tonnes, "pending_surrender")
    return happened.SurrenderConfirmed(request, serials, obligor.missing)


def _surrender(
    step: Step, obligor: Obligor, payer: int, tonnes: dict[int, int], bucket: str
) -> dict[int, list[happened.SerialRange]]:
    """Take units out of a bucket for an enterprise's year."""
    serials = {}
    for number, quantity in tonnes.items():
        unit = step.exchange.units[number]
        serials[number] = take_out_of_the_world(step, payer, unit, quantity, Cause.SURRENDERED, bucket)
        obligor.surrendered[number] = obligor.surrendered.get(number, 0) + quantity
        obligor.offset += quantity if unit.species == Species.CREDIT else 0
    return serials


def reject_surrender(step: Step, command: RejectSurrender) -> happened.SurrenderRejected:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    request = _request(exchange, command.request_id)

    _give_back(exchange, request)
    return happened.SurrenderRejected(request, command.reason)


def _give_back(exchange: Exchange, request: Surrender) -> None:
    """A request is over; its units are free again."""
    del exchange.compliance.requests[request.request_id]
    for number, quantity in request.tonnes.items():
        balance = exchange.path.desk.balances[request.payer, number]
        balance.pending_surrender -= quantity
        balance.registry += quantity


# ---------------------------------------------------------------- force, park


def force_surrender(step: Step, command: ForceSurrender) -> happened.SurrenderForced:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    acting(exchange, command.by, Right.ADMINISTER)
    period = period_in(exchange, command.year, Stage.SURRENDERING)
    waits = exchange.compliance.pending_for(command.year, account.number)
    require(not waits, Reason.WRONG_STATE, f"surrenders {[one.request_id for one in waits]} wait to be confirmed")
    obligor = _obligor(exchange, account, command.year)
    require(obligor.missing > 0, Reason.ABOVE_OBLIGATION, f"{account.account_id} owes nothing for {command.year}")
    found = usable_of(exchange, command.year, obligor, _within_reach(exchange, period, obligor))
    chosen = plan(found, obligor.missing).tonnes
    require(bool(chosen), Reason.INSUFFICIENT_UNITS, f"{account.account_id} has nothing that pays for {command.year}")

    released = obligor.parked
    if released:
        unpark(step, period, obligor, released)
    for number, tonnes in chosen.items():
        _bring_to_registry(exchange, account.number, number, tonnes)
    serials = _surrender(step, obligor, account.number, chosen, "registry")
    return happened.SurrenderForced(account.number, command.year, released, chosen, serials, obligor.missing)


def _within_reach(exchange: Exchange, period: Period, obligor: Obligor) -> list[tuple[Unit, int]]:
    """(unit, tonnes) free on an enterprise's registry side and trading side, and parked for it."""
    row, held = exchange.path.desk.balances[obligor.account], []
    for unit in exchange.units:
        parked = obligor.parked if unit.number == period.unit else 0
        free = free_on_registry(exchange, obligor.account, unit.number) + holdings.withdrawable(row[unit.number])
        held.append((unit, free + parked))
    return held


def _bring_to_registry(exchange: Exchange, account: int, unit: int, tonnes: int) -> None:
    """Move what the registry side lacks of some tonnes there from the trading side, where they are free."""
    balance = exchange.path.desk.balances[account, unit]
    lacking = max(0, tonnes - int(balance.registry))
    balance.available -= lacking
    balance.registry += lacking


def release_parked(step: Step, command: ReleaseParked) -> happened.ParkedReleased:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    acting(exchange, command.by, Right.ADMINISTER)
    require_right(account, Right.HOLD)
    period = period_of(exchange, command.year)
    require(not is_parked(exchange, account), Reason.WRONG_STATE, f"{account.account_id} is frozen or owes a fine")
    obligor = _obligor(exchange, account, command.year)
    require(obligor.parked > 0, Reason.INSUFFICIENT_UNITS, "nothing is parked for it")

    quantity = obligor.parked
    return happened.ParkedReleased(account.number, command.year, quantity, unpark(step, period, obligor, quantity))


# ---------------------------------------------------------------- the end of the window


def close_surrender(step: Step, command: CloseSurrender) -> happened.SurrenderClosed:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    period = period_in(exchange, command.year, Stage.SURRENDERING)
    assert period.deadline is not None
    over = exchange.date is not None and exchange.date > period.deadline
    made_whole = not any(obligor.missing for obligor in period.covered())
    require(over or made_whole, Reason.TOO_EARLY, f"the deadline is {period.deadline}")

    for request in [one for one in exchange.compliance.requests.values() if one.year == period.year]:
        _give_back(exchange, request)
    period.enter(Stage.CLOSED)
    penalty = in_force(exchange.market.compliance.penalties, period.year)
    mean = mean_price(exchange, *price_window(penalty, period.deadline)) if penalty else Fraction(0)
    records = []
    for obligor in period.covered():
        obligor.shortfall = obligor.missing
        obligor.outcome = Outcome.SHORT if obligor.shortfall else Outcome.COMPLIED
        obligor.fine = fine(penalty, obligor.shortfall, mean)
        taken = deduction(penalty, obligor.shortfall, period.deadline)
        if taken:
            exchange.compliance.deductions[obligor.account] = (
                exchange.compliance.deductions.get(obligor.account, 0) + taken
            )
        set_position_limit(exchange, obligor.account)
        records.append(
            Record(
                obligor.account, obligor.due, obligor.tonnes_surrendered, obligor.offset, obligor.shortfall,
                obligor.fine, taken, obligor.outcome,
            )
        )  # fmt: skip
    return happened.SurrenderClosed(period.year, records, str(mean), period.rate()[0])


def mean_price(exchange: Exchange, first: date, last: date) -> Fraction:
    """Volume-weighted price of allowances in fen per tonne over the days from first to last, in the market's currency.

    Without a trade: the last close of an allowance before the end of them; 0 if there never was a price.
    """
    allowances = [
        one
        for one in exchange.instruments
        if exchange.units[one.unit].species == Species.ALLOWANCE and one.cash == CASH
    ]
    numbers = {one.number for one in allowances}
    days = [one for one in exchange.days if one.instrument in numbers and one.date <= last and one.close_ticks]
    traded = [one for one in days if one.date >= first]
    volume = sum(one.volume for one in traded)
    if volume:
        return Fraction(sum(one.turnover for one in traded), volume)
    fen_per_tick = exchange.market.fen_per_tick
    if days:
        return Fraction(days[-1].close_ticks * fen_per_tick)
    return Fraction(max((one.close_ticks for one in allowances), default=0) * fen_per_tick)


def pay_fine(step: Step, command: PayFine) -> happened.FinePaid:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    period = period_in(exchange, command.year, Stage.CLOSED)
    obligor = _obligor(exchange, account, command.year)
    amount = obligor.fine - obligor.fine_paid
    require(amount > 0, Reason.AMOUNT_NOT_POSITIVE, f"{account.account_id} owes no fine for {command.year}")
    free = holdings.withdrawable(exchange.path.desk.balances[account.number, CASH])
    require(
        amount <= free, Reason.INSUFFICIENT_CASH, f"the fine is {money(amount)}; {money(free)} is settled and available"
    )
    require_not_due(exchange, account.number, CASH, amount)

    obligor.fine_paid += amount
    move_cash(step, account.number, period.authority, CASH, amount, "fine")
    return happened.FinePaid(account.number, command.year, amount)


# ---------------------------------------------------------------- what expires


def lapse_units(step: Step, command: LapseUnits) -> happened.UnitsLapsed:
    exchange = step.exchange
    acting(exchange, command.by, Right.ADMINISTER)
    period = period_in(exchange, command.year, Stage.CLOSED)
    rule = expiry_rule(exchange.market.compliance, command.year)
    if not isinstance(rule, Lapse):
        raise Refused(Reason.NOT_ELIGIBLE, f"allowances of {command.year} do not lapse by these rules")

    unit = exchange.units[period.unit]
    period.has_lapsed = True
    tonnes = {account.number: _lapse(step, account.number, unit, Origin.FREE) for account in exchange.accounts}
    for _, obligor in sorted(period.obligors.items()):
        gone = min(obligor.parked, tonnes[period.authority])
        obligor.parked -= gone
        tonnes[obligor.account] += gone
        tonnes[period.authority] -= gone
    lapsed = {account: quantity for account, quantity in tonnes.items() if quantity}
    parked = exchange.compliance.parked_with(period.authority, unit.number)  # lapses only as what it is: free
    reserve = _lapse(step, period.authority, unit, Origin.RESERVE, parked) if rule.reserve_too else 0
    return happened.UnitsLapsed(command.year, lapsed, reserve)


def _lapse(step: Step, account: int, unit: Unit, origin: Origin, kept: int = 0) -> int:
    """Cancel never-traded units of an origin that are free: on the registry side first, then on the trading side.

    So many tonnes are `kept` on the registry side, and on the trading side what the reserve holds as security.
    Returns tonnes.
    """
    exchange, reserve = step.exchange, reserve_of(step.exchange)
    is_reserve = reserve is not None and account == reserve.number
    secured = exchange.clearing.defaults.secured_by(unit.number) if is_reserve else 0

    def lapses(block: Block) -> bool:
        return block.origin == origin and not block.ever_traded

    titled = sum(block.quantity for block in exchange.serials.of(account, unit.number) if lapses(block))
    balance = exchange.path.desk.balances[account, unit.number]
    quantity = min(titled, int(balance.registry) - kept + holdings.withdrawable(balance) - secured)
    if quantity:
        _bring_to_registry(exchange, account, unit.number, quantity + kept)
        take_out_of_the_world(step, account, unit, quantity, Cause.CANCELLED, wanted=lapses)
    return quantity


def carry_over_units(step: Step, command: CarryOverUnits) -> happened.UnitsCarriedOver:
    exchange = step.exchange
    account = account_named(exchange, command.account_id)
    acting(exchange, command.by, Right.ADMINISTER)
    require_right(account, Right.HOLD)
    period_of(exchange, command.year)
    into = period_of(exchange, command.year + 1)
    period_in(exchange, command.year, Stage.CLOSED)
    rule = expiry_rule(exchange.market.compliance, command.year)
    if not isinstance(rule, CarryOver):
        raise Refused(Reason.NOT_ELIGIBLE, f"allowances of {command.year} are not carried over by these rules")
    for year in range(command.year, command.year - rule.settled_years, -1):
        settled = exchange.compliance.complied(year, account.number)
        require(settled, Reason.NOT_ELIGIBLE, f"{account.account_id} has not surrendered in time for {year}")
    quantity = command.quantity
    require(quantity is None or quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "what is carried must be positive")
    limit = _carry_limit(exchange, rule, command, account.number)
    old = [(u, t) for u, t in held_on_registry(exchange, account.number) if _carries(u, command.year)]
    chosen = plan([Usable(u, t, t, Eligibility.ELIGIBLE) for u, t in sorted(old, key=lambda one: one[0].vintage)],
                  limit if quantity is None else min(limit, quantity))  # fmt: skip
    carried = sum(chosen.tonnes.values())
    unit = exchange.units[into.unit]
    require(unit.issued + carried <= UNITS_MAX, Reason.AMOUNT_TOO_LARGE, "more units than can be numbered")
    require(carried >= (quantity or 1), Reason.INSUFFICIENT_UNITS, f"{carried} t can be carried, the limit is {limit}")

    for number, tonnes in chosen.tonnes.items():
        take_out_of_the_world(step, account.number, exchange.units[number], tonnes, Cause.CANCELLED)
    exchange.compliance.carried[account.number, command.year] = (
        exchange.compliance.carried.get((account.number, command.year), 0) + carried
    )
    serials = issue(step, account.number, unit, carried, Origin.CARRIED)
    return happened.UnitsCarriedOver(account.number, command.year, limit, chosen.tonnes, unit.number, serials)


def _carries(unit: Unit, year: int) -> bool:
    return unit.species == Species.ALLOWANCE and unit.vintage <= year


def _carry_limit(exchange: Exchange, rule: CarryOver, command: CarryOverUnits, account: int) -> int:
    """Tonnes that an account may still carry out of a year; what it bought since may make that 0."""
    years = range(command.year, command.year + rule.net_sales_years)
    sold = sum(exchange.compliance.net_sales.get((account, year), 0) for year in years)
    return max(0, carry_over_limit(rule, sold) - exchange.compliance.carried.get((account, command.year), 0))
