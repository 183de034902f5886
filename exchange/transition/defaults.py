"""Deals with a later leg, and the procedure when somebody fails (:mod:`settlement.default`), by command."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, assert_never

import msgspec
import numpy as np

from exchange import events as happened
from exchange.commands import (
    AgreeDelivery,
    CancelDelivery,
    CloseOutFailure,
    CoverFailure,
    CureFailure,
    DefaultsCommand,
    DisposeSecurity,
    DrawReserve,
    FundReserve,
    PayRecourse,
    WriteOffRecourse,
)
from exchange.fees import rates_of_trade
from exchange.instruments import Instrument, fen, money
from exchange.reasons import Reason, Refused
from exchange.rows import TRADE, type_of_rows
from exchange.sessions import local_moment
from exchange.state import Exchange
from exchange.transition.failing import (
    free_of,
    lacks,
    lift_restrictions,
    may_spare,
    release_kept,
    require_not_due,
    trade_rows,
    unconfirmed,
    unpaid,
)
from exchange.transition.step import (
    HOUSE,
    Step,
    account_named,
    acting,
    date_of,
    move_cash,
    move_units,
    require,
    require_right,
    require_unrestricted,
    reserve_of,
)
from matching.ladder import PRICE_MAX_TICKS
from matching.orders import EITHER_SIDE
from registry.accounts import Account, AccountStatus, Right
from registry.serials import Cause
from registry.units import Species
from settlement.conversions import OWN_RATE, converted
from settlement.corrections import version_of
from settlement.deals import Deal, DealState
from settlement.default import Case, CaseState, Claim, Compensation, moved_against, waterfall
from settlement.fees import TURNOVER_MAX, fee_of
from settlement.statements import CASH


def handle(step: Step, command: DefaultsCommand) -> happened.DefaultsEvent:
    match command:
        case AgreeDelivery():
            return agree_delivery(step, command)
        case CancelDelivery():
            return cancel_delivery(step, command)
        case CureFailure():
            return cure_failure(step, command)
        case CoverFailure():
            return cover_failure(step, command)
        case CloseOutFailure():
            return close_out_failure(step, command)
        case PayRecourse():
            return pay_recourse(step, command)
        case WriteOffRecourse():
            return write_off_recourse(step, command)
        case DisposeSecurity():
            return dispose_security(step, command)
        case FundReserve():
            return fund_reserve(step, command)
        case DrawReserve():
            return draw_reserve(step, command)
        case _:
            assert_never(command)


# ---------------------------------------------------------------- deals


def agree_delivery(step: Step, command: AgreeDelivery) -> happened.DeliveryAgreed:
    exchange = step.exchange
    acting(exchange, command.by, Right.CLEAR)
    seller, buyer = account_named(exchange, command.seller), account_named(exchange, command.buyer)
    require(seller is not buyer, Reason.NOT_PERMITTED, f"{seller.account_id} deals with itself")
    listed = exchange.instruments.by_symbol.get(command.symbol)
    if listed is None:
        raise Refused(Reason.UNKNOWN_INSTRUMENT, f"no instrument {command.symbol!r}")
    for party in (seller, buyer):
        require(party.may(Right.TRADE), Reason.MAY_NOT_TRADE, f"{party.account_id} may not trade")
    for party in (seller, buyer):
        require_unrestricted(exchange, party)
    known = command.deal_id in exchange.clearing.deals
    require(not known, Reason.DEAL_EXISTS, f"deal {command.deal_id!r} has been agreed already")
    today = date_of(exchange)
    require(command.due > today, Reason.INVALID_DATE, f"a later leg is due after today, {today}")
    require(command.quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "the quantity must be positive")
    lot = exchange.market.lot
    require(command.quantity % lot == 0, Reason.QUANTITY_OFF_LOT, f"the lot is {lot} t")
    require(command.price_ticks > 0, Reason.PRICE_NOT_POSITIVE, "the price must be positive")
    band = exchange.market.band_ticks(today, listed.close_ticks, command.method)
    inside = band is None or band[0] <= command.price_ticks <= band[1]
    require(inside, Reason.PRICE_OUTSIDE_BAND, f"the band for {command.method} trades is {band} ticks")
    require(command.price_ticks < PRICE_MAX_TICKS, Reason.PRICE_OUT_OF_RANGE, "the price is too high")
    turnover = command.price_ticks * command.quantity * exchange.market.fen_per_tick
    require(turnover <= TURNOVER_MAX, Reason.AMOUNT_TOO_LARGE, "price times quantity is more than can be booked")
    _require_position(exchange, buyer, {listed.unit: command.quantity})

    deal = Deal(
        command.deal_id,
        seller.number,
        buyer.number,
        listed.number,
        command.quantity,
        command.price_ticks,
        command.due,
        command.method,
    )
    exchange.clearing.deals[deal.deal_id] = deal
    return happened.DeliveryAgreed(deal)


def _require_position(exchange: Exchange, buyer: Account, bought: dict[int, int]) -> None:
    """Refused if with these tonnes, by unit, and all it has agreed to buy later the buyer would pass its limit."""
    allowances = [tonnes for unit, tonnes in bought.items() if exchange.units[unit].species == Species.ALLOWANCE]
    if not allowances:
        return
    row = exchange.path.desk.participants[buyer.number]
    counts = exchange.path.desk.instruments["counts"]
    later = sum(
        deal.quantity
        for deal in exchange.clearing.deals.values()
        if deal.state == DealState.AGREED and deal.buyer == buyer.number and counts[deal.instrument]
    )
    comes_to = int(row.position) + later + sum(allowances)
    require(comes_to <= row.position_limit, Reason.POSITION_LIMIT, f"{buyer.account_id} would come to {comes_to} t")


def cancel_delivery(step: Step, command: CancelDelivery) -> happened.DeliveryCancelled:
    exchange = step.exchange
    acting(exchange, command.by, Right.CLEAR)
    deal = exchange.clearing.deals.get(command.deal_id)
    if deal is None:
        raise Refused(Reason.UNKNOWN_DEAL, f"no deal {command.deal_id!r}")
    require(deal.state == DealState.AGREED, Reason.WRONG_STATE, f"deal {deal.deal_id!r} is {deal.state}")

    cancelled = msgspec.structs.replace(deal, state=DealState.CANCELLED)
    exchange.clearing.deals[deal.deal_id] = cancelled
    return happened.DeliveryCancelled(cancelled, command.reason)


def come_due(step: Step) -> type_of_rows:
    """The deals whose day has come, as trades: nobody took, nothing is reserved, and fees are those of the day."""
    exchange, today = step.exchange, date_of(step.exchange)
    due = exchange.clearing.deals_due(today)
    rows = np.zeros(len(due), TRADE)
    progress = exchange.path.desk.progress[0]
    for row, deal in zip(rows, due, strict=True):
        row["trade_id"], row["sequence"], row["now_ns"] = progress.next_trade_id, step.sequence, step.now_ns
        row["price_ticks"], row["quantity"] = deal.price_ticks, deal.quantity
        row["buyer"], row["seller"], row["instrument"] = deal.buyer, deal.seller, deal.instrument
        row["aggressor"] = EITHER_SIDE
        became = msgspec.structs.replace(deal, state=DealState.DUE, trade_id=int(progress.next_trade_id))
        exchange.clearing.deals[deal.deal_id] = became
        turnover = version_of(row, exchange.terms).turnover
        buyer_ppm, seller_ppm = rates_of_trade(exchange, row, today)
        row["buyer_fee"], row["seller_fee"] = fee_of(turnover, buyer_ppm), fee_of(turnover, seller_ppm)
        progress.next_trade_id += 1
    return rows


# ---------------------------------------------------------------- cure


def _case_numbered(exchange: Exchange, number: int) -> Case:
    case = exchange.clearing.defaults.case(number)
    if case is None:
        raise Refused(Reason.UNKNOWN_CASE, f"no failure case {number}")
    return case


def _require_open(case: Case) -> None:
    require(case.is_open, Reason.WRONG_STATE, f"failure case {case.number} is {case.state}")


def _require_nothing_lacks(exchange: Exchange, lacking: dict[int, int]) -> None:
    """Refused if an account lacks cash or units."""
    for asset, amount in lacking.items():
        name = exchange.asset_names[asset]
        if asset in exchange.terms.currencies:
            raise Refused(Reason.INSUFFICIENT_CASH, f"{money(amount)} {name} is still lacking")
        raise Refused(Reason.INSUFFICIENT_UNITS, f"{amount} t of {name} are still lacking")


def cure_failure(step: Step, command: CureFailure) -> happened.FailureCured:
    exchange = step.exchange
    by = account_named(exchange, command.by)
    known = exchange.clearing.defaults.case(command.case)
    if known is None or by.number != known.account:
        require_right(by, Right.CLEAR)
    case = _case_numbered(exchange, command.case)
    _require_open(case)
    in_time = step.now_ns <= case.deadline_ns
    require(in_time, Reason.TOO_LATE, f"the deadline of failure case {case.number} has passed")
    lacking = lacks(exchange, case)
    for cash in sorted(lacking.keys() & unpaid(exchange, case).keys()):
        found = (
            f"{money(lacking[cash])} {exchange.asset_names[cash]} is still lacking, which the bank has not confirmed"
        )
        raise Refused(Reason.INSUFFICIENT_CASH, f"{found}: what is deposited from now on counts for it")
    _require_nothing_lacks(exchange, lacking)

    _take_up_deposits(exchange, case)
    exchange.clearing.end_case(case, CaseState.CURED, step.now_ns)
    lift_restrictions(step)
    return happened.FailureCured(case.number, case.account, list(case.trades))


def _take_up_deposits(exchange: Exchange, case: Case, dropped: Collection[int] = ()) -> None:
    """What an account has brought for a case that ends can't end another one too."""
    for cash, amount in unpaid(exchange, case, dropped).items():
        if brought := min(amount, case.deposited.get(cash, 0)):
            exchange.clearing.defaults.take_up(case, cash, brought)


# ---------------------------------------------------------------- cover


@dataclass
class _Plan:
    """How a case is to be ended: what is delivered and paid by whom, and what is closed out."""

    units: list[tuple[int, int, int, int]] = field(default_factory=list)  # payer, unit, tonnes, fen
    cash: list[tuple[int, int, int, int]] = field(default_factory=list)  # payer, asset, payee, fen
    closed_out: list[Compensation] = field(default_factory=list)
    lent: dict[int, int] = field(default_factory=dict)  # fen by cash asset that the account gets


def cover_failure(step: Step, command: CoverFailure) -> happened.FailureCovered:
    case = _overdue(step, command)
    plan = _cover(step.exchange, case)

    payments = _end(step, case, plan)
    return happened.FailureCovered(
        case.number, case.account, str(case.state), list(case.trades), payments, plan.closed_out
    )


def _overdue(step: Step, command: CoverFailure | CloseOutFailure) -> Case:
    """A case that may be ended for the account that failed. Refused while it may still do so itself."""
    acting(step.exchange, command.by, Right.CLEAR)
    case = _case_numbered(step.exchange, command.case)
    _require_open(case)
    too_early = step.now_ns <= case.deadline_ns
    until = local_moment(step.exchange.market, case.deadline_ns)
    require(not too_early, Reason.TOO_EARLY, f"failure case {case.number} may be cured until {until:%Y-%m-%d %H:%M:%S}")
    return case


def _end(step: Step, case: Case, plan: _Plan) -> list[happened.Payment]:
    """End a case as planned. What is closed out waits for nobody any more; the rest comes again."""
    exchange, house = step.exchange, step.exchange.clearing
    dropped = {one.trade for one in plan.closed_out}
    _take_up_deposits(exchange, case, dropped)
    payments = _carry_out(step, case, plan)
    release_kept(exchange, dropped)
    house.drop(dropped)
    case.closed_out, case.paid = sorted(plan.closed_out, key=lambda one: one.trade), plan.lent
    case.trades = [trade for trade in case.trades if trade not in dropped]
    house.end_case(case, CaseState.CLOSED if dropped else CaseState.COVERED, step.now_ns)
    for other in house.defaults.open_cases():
        other.trades = [trade for trade in other.trades if trade not in dropped]
        if not other.trades:
            house.end_case(other, CaseState.CLOSED, step.now_ns)
    lift_restrictions(step)
    return payments


def _cover(exchange: Exchange, case: Case) -> _Plan:
    """Work out the cover of a case. Refused if it cannot be covered in full: then nothing is."""
    plan, given = _Plan(), dict[int, int]()
    for unit, tonnes in lacks(exchange, case).items():
        if unit not in exchange.terms.currencies:
            bought = waterfall(tonnes, _who_has(exchange, unit))
            if bought is None:
                _close_out(exchange, case, unit, plan)
            else:
                listed = _listed(exchange, unit)
                plan.units += [(payer, unit, part, _value(exchange, listed, part)) for payer, part in bought]
                given[unit] = tonnes
    dropped = frozenset(one.trade for one in plan.closed_out)
    missing = lacks(exchange, case, dropped, given)
    plan.lent = {asset: amount for asset, amount in missing.items() if asset in exchange.terms.currencies}
    _require_nothing_lacks(exchange, {asset: missing[asset] for asset in missing.keys() - plan.lent.keys()})
    payees = [(asset, case.account, amount) for asset, amount in plan.lent.items()]
    payees += [(one.asset, one.account, one.amount) for one in plan.closed_out]
    for asset in sorted({asset for asset, _, _ in payees}):
        payers = _who_pays(exchange, asset)
        for payee, amount in [(payee, amount) for at, payee, amount in payees if at == asset and amount]:
            paid = waterfall(amount, payers)
            if paid is None:
                there = sum(at_most for _, at_most in payers)
                found = f"{money(amount)} is needed; reserve and house may still give {money(there)}"
                has_reserve = asset == CASH and reserve_of(exchange) is not None
                way_out = "fund the reserve, or close the case out" if has_reserve else "close the case out"
                raise Refused(Reason.INSUFFICIENT_CASH, f"{found} {exchange.asset_names[asset]}: {way_out}")
            plan.cash += [(payer, asset, payee, part) for payer, part in paid]
            payers = _less(payers, paid)
    return plan


def _who_has(exchange: Exchange, unit: int) -> list[tuple[int, int]]:
    """(account, tonnes) of who delivers in a defaulter's place: the reserve what is its own, then the house."""
    reserve, house = reserve_of(exchange), exchange.house
    held = [] if reserve is None else [(reserve.number, _own_units(exchange, reserve.number, unit))]
    return [*held, (house, free_of(exchange, house, unit))]


def _own_units(exchange: Exchange, reserve: int, unit: int) -> int:
    """Tonnes that the reserve holds and not as security."""
    return free_of(exchange, reserve, unit) - exchange.clearing.defaults.secured_by(unit)


def _who_pays(exchange: Exchange, asset: int) -> list[tuple[int, int]]:
    """(account, fen) of who pays for a defaulter: the reserve, then the house up to its limit for all together.

    In the rule set's currency: in others nobody does.
    """
    reserve, rules = reserve_of(exchange), exchange.market.settlement.reserve
    if reserve is None or rules is None or asset != CASH:
        return []
    house = exchange.house
    lent = sum(claim.left for claim in exchange.clearing.defaults.claims if claim.creditor == house)
    at_most = min(fen(rules.house_funds_max) - lent, free_of(exchange, house, CASH))
    return [(reserve.number, free_of(exchange, reserve.number, CASH)), (house, max(0, at_most))]


def _less(payers: list[tuple[int, int]], paid: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What payers may still give, (account, fen), once they have paid."""
    spent = dict(paid)
    return [(payer, at_most - spent.get(payer, 0)) for payer, at_most in payers]


def _close_out(exchange: Exchange, case: Case, unit: int, plan: _Plan) -> None:
    """Close out the latest sales of a unit until nothing of it lacks."""
    rows = trade_rows(exchange, case)
    units = exchange.terms.unit[rows["instrument"]]
    for row in rows[(rows["seller"] == case.account) & (units == unit)][::-1]:
        plan.closed_out.append(_compensation(exchange, case, row))
        if unit not in lacks(exchange, case, frozenset(one.trade for one in plan.closed_out)):
            return


def _compensation(exchange: Exchange, case: Case, row: Any) -> Compensation:
    """What the other side of a trade that waits for a case is due: nothing if it fails too.

    In the rule set's currency, at the rate in force; where nobody has set one, in the trade's own, and nobody can say
    how much of it to pay.
    """
    trade, listed = int(row["trade_id"]), exchange.instruments[int(row["instrument"])]
    is_buyer = int(row["seller"]) == case.account
    account = int(row["buyer"] if is_buyer else row["seller"])
    fails = any(other.account == account and trade in other.trades for other in exchange.clearing.defaults.open_cases())
    moved = 0 if fails else moved_against(is_buyer, int(row["price_ticks"]), listed.close_ticks)
    terms = exchange.path.desk.instruments[listed.number]
    asset, amount = int(terms.cash), moved * int(row["quantity"]) * int(terms.fen_per_tick)
    rate = exchange.clearing.conversions.rate(asset)
    if rate is not None:
        asset, amount = CASH, converted(amount, rate, OWN_RATE)
    return Compensation(trade, account, listed.close_ticks, asset, amount, unpaid=0)


def _listed(exchange: Exchange, unit: int) -> Instrument:
    return next(listed for listed in exchange.instruments if listed.unit == unit)


def _value(exchange: Exchange, listed: Instrument, tonnes: int) -> int:
    """Fen of the rule set's currency, in which claims are, of so many tonnes at the last closing price.

    What is quoted in another currency counts at the rate in force. Refused if there is none.
    """
    row = exchange.path.desk.instruments[listed.number]
    worth, cash = listed.close_ticks * tonnes * int(row.fen_per_tick), int(row.cash)
    rate = exchange.clearing.conversions.rate(cash)
    if rate is None:
        raise Refused(Reason.NO_RATE, f"nobody has set a rate for {exchange.asset_names[cash]}: set one first")
    return converted(worth, rate, OWN_RATE)


def _carry_out(step: Step, case: Case, plan: _Plan) -> list[happened.Payment]:
    """Deliver and pay as planned, and book what is owed for it; returns the payments in their order."""
    exchange, defaults = step.exchange, step.exchange.clearing.defaults
    payments = []
    for payer, unit, tonnes, value in plan.units:
        move_units(step, payer, case.account, exchange.units[unit], tonnes, "buy_in", Cause.TRADED)
        payments.append(happened.Payment(payer, unit, tonnes, value))
    for payer, asset, payee, amount in plan.cash:
        move_cash(step, payer, payee, asset, amount, "cover" if payee == case.account else "compensation")
        payments.append(happened.Payment(payer, asset, amount, amount))
    owed: dict[int, int] = {}
    for payment in payments:
        owed[payment.payer] = owed.get(payment.payer, 0) + payment.claim
    for payer, amount in owed.items():
        if amount:
            defaults.claims.append(Claim(case.number, case.account, payer, amount))
    return payments


# ---------------------------------------------------------------- close out


def close_out_failure(step: Step, command: CloseOutFailure) -> happened.FailureClosedOut:
    case = _overdue(step, command)

    plan = _all_closed_out(step.exchange, case)
    payments = _end(step, case, plan)
    return happened.FailureClosedOut(case.number, case.account, payments, plan.closed_out)


def _all_closed_out(exchange: Exchange, case: Case) -> _Plan:
    """Every trade that waits for a case is closed out; reserve and house pay in the order of trading while they can."""
    plan, payers = _Plan(), _who_pays(exchange, CASH)
    for row in trade_rows(exchange, case):
        due = _compensation(exchange, case, row)
        reach = sum(at_most for _, at_most in payers) if due.asset == CASH else 0
        paid = waterfall(min(due.amount, reach), payers)
        assert paid is not None, "more is asked for than there is"
        unpaid = due.amount - sum(part for _, part in paid)
        plan.closed_out.append(msgspec.structs.replace(due, unpaid=unpaid))
        plan.cash += [(payer, CASH, due.account, part) for payer, part in paid]
        payers = _less(payers, paid)
    return plan


# ---------------------------------------------------------------- recourse


def _repay(exchange: Exchange, claims: list[Claim], amount: int) -> list[tuple[Claim, int]]:
    """How an amount is spread over claims: the oldest first."""
    parts = waterfall(amount, [(index, claim.left) for index, claim in enumerate(claims)])
    assert parts is not None, "more is spread than is owed"
    return [(claims[index], part) for index, part in parts]


def _owed(claims: list[Claim]) -> int:
    return sum(claim.left for claim in claims)


def _require_settled(exchange: Exchange, cases: list[Case]) -> None:
    """Refused while what was paid for cases still stands for trades of them."""
    for case in cases:
        waits = [] if case.is_open else exchange.clearing.to_settle(case)
        require(not waits, Reason.WRONG_STATE, f"trades of failure case {case.number} are still to settle")


def _is_unpaid(exchange: Exchange, case: Case) -> bool:
    """Whether the bank has not confirmed what the account of a case was to pay in, in the currency of claims."""
    batch = exchange.clearing.batch(case.batch)
    return batch is not None and (case.account, CASH) in unconfirmed(exchange, batch)


def pay_recourse(step: Step, command: PayRecourse) -> happened.RecoursePaid:
    exchange, defaults = step.exchange, step.exchange.clearing.defaults
    account = account_named(exchange, command.account_id)
    require(command.amount > 0, Reason.AMOUNT_NOT_POSITIVE, "a repayment must be positive")
    claims = defaults.owed_by(account.number)
    owed = _owed(claims)
    require(command.amount <= owed, Reason.ABOVE_OBLIGATION, f"{money(owed)} is owed")
    _require_settled(exchange, defaults.of(account.number))
    require_not_due(exchange, account.number, CASH, command.amount)
    parts = _repay(exchange, claims, command.amount)
    refused = [(claim, part) for claim, part in parts if _is_unpaid(exchange, defaults.cases[claim.case - 1])]
    found = "the bank has not confirmed what was to be paid in: only what was deposited since then repays it"
    require(defaults.brought_for(refused, CASH), Reason.INSUFFICIENT_CASH, found)

    defaults.set_free(account.number, CASH)
    defaults.spend(account.number, CASH, command.amount)
    payments = []
    for claim, part in parts:
        move_cash(step, account.number, claim.creditor, CASH, part, "recourse")
        claim.repaid += part
        payments.append(happened.Repayment(claim.case, claim.creditor, part))
    released = _release_security(step, account.number)
    lift_restrictions(step)
    return happened.RecoursePaid(account.number, command.amount, payments, owed - command.amount, released)


def _release_security(step: Step, account: int) -> list[happened.Security]:
    """Give back what the reserve holds for cases that are repaid."""
    exchange, defaults = step.exchange, step.exchange.clearing.defaults
    reserve, released = reserve_of(exchange), []
    for case in defaults.of(account):
        if defaults.is_repaid(case.number) and reserve is not None:
            for unit, tonnes in sorted(defaults.secured(case.number).items()):
                move_units(
                    step, reserve.number, account, exchange.units[unit], tonnes, "security_released", Cause.TRANSFERRED
                )
                del defaults.security[case.number, unit]
                released.append(happened.Security(case.number, unit, tonnes))
    return released


def write_off_recourse(step: Step, command: WriteOffRecourse) -> happened.RecourseWrittenOff:
    exchange, defaults = step.exchange, step.exchange.clearing.defaults
    acting(exchange, command.by, Right.CLEAR)
    account = account_named(exchange, command.account_id)
    claims = defaults.owed_by(account.number)
    secured = [claim.case for claim in claims if defaults.secured(claim.case)]
    require(not secured, Reason.WRONG_STATE, f"the security for failure case {max(secured, default=0)} is still held")
    require(command.amount > 0, Reason.AMOUNT_NOT_POSITIVE, "what is written off must be positive")
    owed = _owed(claims)
    require(command.amount <= owed, Reason.ABOVE_OBLIGATION, f"{money(owed)} is owed")

    losses = []
    for claim, part in _repay(exchange, claims, command.amount):
        claim.written_off += part
        losses.append(happened.Repayment(claim.case, claim.creditor, part))
    lift_restrictions(step)
    return happened.RecourseWrittenOff(account.number, command.amount, losses, owed - command.amount, command.note)


def dispose_security(step: Step, command: DisposeSecurity) -> happened.SecurityDisposed:
    exchange, defaults = step.exchange, step.exchange.clearing.defaults
    by, buyer = account_named(exchange, command.by), account_named(exchange, command.buyer or HOUSE)
    require_right(by, Right.CLEAR)
    case = _case_numbered(exchange, command.case)
    _require_may_buy(exchange, buyer)
    secured, reserve = defaults.secured(case.number), reserve_of(exchange)
    if not secured or reserve is None:
        raise Refused(Reason.WRONG_STATE, f"nothing is held for failure case {case.number}")
    _require_settled(exchange, [case])
    proceeds = sum(_value(exchange, _listed(exchange, unit), tonnes) for unit, tonnes in secured.items())
    claims = [claim for claim in defaults.owed_by(case.account) if claim.case == case.number]
    parts = _repay(exchange, claims, min(proceeds, _owed(claims)))
    surplus = max(0, proceeds - _owed(claims))
    outlay = surplus + sum(part for claim, part in parts if claim.creditor != buyer.number)
    if buyer.number != exchange.house:
        _require_position(exchange, buyer, secured)
    free = may_spare(exchange, buyer.number, CASH)
    found = f"{buyer.account_id} needs {money(outlay)} and has {money(free)}: name a buyer that has it"
    require(outlay <= free, Reason.INSUFFICIENT_CASH, found)

    bucket = "incoming" if exchange.market.resale_lag_days else "available"  # it has been bought today
    for unit, tonnes in sorted(secured.items()):
        asset = exchange.units[unit]
        move_units(step, reserve.number, buyer.number, asset, tonnes, "security_sold", Cause.TRADED, bucket)
        del defaults.security[case.number, unit]
    for claim, part in parts:
        claim.repaid += part
        if claim.creditor != buyer.number:
            move_cash(step, buyer.number, claim.creditor, CASH, part, "security_sold")
    if surplus:
        move_cash(step, buyer.number, case.account, CASH, surplus, "security_sold")
    lift_restrictions(step)
    return happened.SecurityDisposed(
        case.number,
        case.account,
        buyer.number,
        [happened.Security(case.number, unit, tonnes) for unit, tonnes in sorted(secured.items())],
        proceeds,
        [happened.Repayment(case.number, claim.creditor, part) for claim, part in parts],
        surplus,
    )


def _require_may_buy(exchange: Exchange, buyer: Account) -> None:
    """Refused unless the buyer of a security is the house, or may trade: so it is not who failed."""
    if buyer.number != exchange.house:
        require(buyer.may(Right.TRADE), Reason.MAY_NOT_TRADE, f"{buyer.account_id} may not trade")
        require_unrestricted(exchange, buyer)


# ---------------------------------------------------------------- the reserve


def _reserve(exchange: Exchange) -> Account:
    reserve = reserve_of(exchange)
    if reserve is None:
        raise Refused(Reason.UNKNOWN_ACCOUNT, "the rule set has no risk reserve")
    return reserve


def fund_reserve(step: Step, command: FundReserve) -> happened.ReserveFunded:
    exchange = step.exchange
    reserve, house = _reserve(exchange).number, exchange.house
    acting(exchange, command.by, Right.CLEAR)
    require(command.amount > 0, Reason.AMOUNT_NOT_POSITIVE, "what is put aside must be positive")
    free = free_of(exchange, house, CASH)
    require(command.amount <= free, Reason.INSUFFICIENT_CASH, f"the house has {money(free)}")

    move_cash(step, house, reserve, CASH, command.amount, "reserve_funding")
    return happened.ReserveFunded(command.amount, free_of(exchange, reserve, CASH))


def draw_reserve(step: Step, command: DrawReserve) -> happened.ReserveDrawn:
    exchange = step.exchange
    reserve = _reserve(exchange)
    acting(exchange, command.by, Right.CLEAR)
    account = account_named(exchange, command.account_id)
    takes = account is not reserve and account.status != AccountStatus.CLOSED
    require(takes, Reason.NOT_PERMITTED, f"{account.account_id} cannot be paid from the reserve")
    require(command.amount > 0, Reason.AMOUNT_NOT_POSITIVE, "what is drawn must be positive")
    free = free_of(exchange, reserve.number, CASH)
    require(command.amount <= free, Reason.INSUFFICIENT_CASH, f"the reserve holds {money(free)}")

    move_cash(step, reserve.number, account.number, CASH, command.amount, "reserve_draw")
    return happened.ReserveDrawn(
        account.number, command.amount, command.cause, command.note, free_of(exchange, reserve.number, CASH)
    )
