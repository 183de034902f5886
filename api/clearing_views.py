"""From the clearing house's batches and its bank to what goes over the wire. Reads only."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import ROUND_FLOOR, Decimal

import numpy as np

from api import schemas
from api.gateway import Gateway
from api.sentences import amount as in_groups
from api.settlement_views import batch_named, names
from api.timers import iso
from api.views import amount
from exchange.events import BankReconciled, CurrencyLeg
from exchange.instruments import money
from exchange.payments import closing_balances, withdrawal_block
from exchange.reasons import Reason, Refused
from exchange.rows import joined
from registry.accounts import Account
from registry.serials import Block, Cause, ranges
from settlement.bank import Break, Finding
from settlement.bank_files import BalanceFile, BankBalance, BookingFile
from settlement.batch import Amounts
from settlement.clearing import obligations
from settlement.cycle import Batch, Stage

_SHARE = Decimal("0.0001")


def batch_under_way(gateway: Gateway, number: int) -> Batch:
    """The batch under way, which must have this number. Refused otherwise."""
    batch = batch_named(gateway, number)
    if batch is not gateway.exchange.clearing.under_way:
        raise Refused(Reason.WRONG_STATE, f"Batch {number} is {batch.stage} and no longer under way.")
    return batch


# ---------------------------------------------------------------- batches


def batch_rows(gateway: Gateway, day: date | None) -> list[schemas.BatchRow]:
    """All batches, or those of a day, oldest first."""
    clearing, zone = gateway.exchange.clearing, gateway.exchange.market.timezone
    return [
        schemas.BatchRow(
            number=batch.number,
            date=batch.day,
            mode=batch.mode,
            stage=batch.stage,
            at=iso(batch.reached[batch.stage], zone),
            trades=len(batch.trades),
            failed=len(batch.failed),
            late=batch.is_late,
        )
        for batch in (clearing.batches if day is None else clearing.of_day(day))
    ]


def batch_view(gateway: Gateway, batch: Batch) -> schemas.BatchView:
    zone = gateway.exchange.market.timezone
    return schemas.BatchView(
        number=batch.number,
        date=batch.day,
        mode=batch.mode,
        stage=batch.stage,
        stages=[schemas.StageReached(stage=stage, at=iso(at, zone)) for stage, at in batch.reached.items()],
        trades=len(batch.trades),
        failed=sorted(batch.failed),
        bank=_bank_progress(batch, zone),
        figures=_figures(gateway, batch),
        currency_legs=[_leg_view(gateway, leg) for leg in gateway.history.currency_legs.get(batch.number, [])],
    )


def _leg_view(gateway: Gateway, leg: CurrencyLeg) -> schemas.CurrencyLegView:
    called, conversion = gateway.exchange.asset_names, leg.conversion
    return schemas.CurrencyLegView(
        account_id=gateway.exchange.accounts[leg.account].account_id,
        currency=called[leg.asset],
        amount=money(leg.amount),
        conversion=conversion.number if conversion else None,
        into=called[conversion.takes] if conversion else None,
        taken=money(conversion.taken) if conversion else None,
        kept_because=None if conversion else leg.reason.code,
    )


def _bank_progress(batch: Batch, zone: str) -> schemas.BankProgress | None:
    payments = batch.payments
    if payments is None:
        return None
    return schemas.BankProgress(
        lines=len(payments.lines),
        answered=len(payments.answers),
        rejected=sum(answer.confirmed < answer.fen for answer in payments.answers.values()),
        is_late=batch.is_late,
        late_at=None if payments.late_at is None else iso(payments.late_at, zone),
        checksum=payments.last.checksum,
    )


def _figures(gateway: Gateway, batch: Batch) -> schemas.BatchFigures | None:
    made = batch.report
    if made is None:
        return None
    called = gateway.exchange.asset_names
    units = [_moved(called[unit], amounts, None) for unit, amounts in sorted(made.units.items())]
    cash = [_moved(called[asset], amounts, made.fees[asset]) for asset, amounts in sorted(made.cash.items())]
    return schemas.BatchFigures(
        trades=made.trades,
        obligations=made.obligations,
        net_positions=made.net_positions,
        deliveries=made.deliveries,
        payments=made.payments,
        assets=cash + units,
    )


def _moved(asset: str, amounts: Amounts, fees: int | None) -> schemas.AssetMoved:
    """One asset of a batch; `fees` in fen, of a currency."""

    def told(value: int) -> str | int:
        return value if fees is None else money(value)

    saved = 1 - Decimal(amounts.net) / amounts.gross
    return schemas.AssetMoved(
        asset=asset,
        gross=told(amounts.gross),
        net=told(amounts.net),
        moved=told(amounts.moved),
        efficiency=str(saved.quantize(_SHARE, ROUND_FLOOR)),
        fees=None if fees is None else money(fees),
    )


def positions(gateway: Gateway, batch: Batch) -> list[schemas.PositionView]:
    """What each account delivers and receives in a batch, by account and asset."""
    exchange = gateway.exchange
    called, sums = names(gateway).assets, exchange.positions(batch.settled)

    touched = np.argwhere((sums.out != 0) | (sums.into != 0)).tolist()
    return [
        schemas.PositionView(
            account_id=exchange.accounts[account].account_id,
            asset=called[asset].name,
            delivers=amount(exchange, asset, int(sums.out[account, asset])),
            receives=amount(exchange, asset, int(sums.into[account, asset])),
            net=amount(exchange, asset, int(sums.net[account, asset])),
        )
        for account, asset in touched
    ]


def deliveries(gateway: Gateway, batch: Batch) -> list[schemas.DeliveryView]:
    """Who gave whom which serial numbers in a batch, by unit, in the order of the trades where units settle gross.

    Read from title itself: numbers that were split since, or have ended, are found by their history.
    """
    delivered_ns = batch.reached.get(Stage.DELIVERED)
    if delivered_ns is None:
        raise Refused(Reason.TOO_EARLY, f"Batch {batch.number} is {batch.stage}: its deliveries are still to come.")
    exchange = gateway.exchange
    nets = batch.mode.nets_units
    cause = Cause.NETTED if nets else Cause.TRADED
    references = {batch.number} if nets else set(batch.settled["trade_id"].tolist())
    found: defaultdict[tuple[int, int, int, int], list[Block]] = defaultdict(list)
    for unit in exchange.units:
        for block in exchange.serials.blocks_of(unit.number):
            for moved in block.title:
                if moved.now_ns < delivered_ns:
                    break
                if moved.now_ns == delivered_ns and moved.cause == cause and moved.reference in references:
                    key = unit.number, 0 if nets else moved.reference, moved.giver, moved.taker
                    found[key].append(block)
    return [
        schemas.DeliveryView(
            unit=exchange.units[unit].code,
            giver=exchange.accounts[giver].account_id,
            taker=exchange.accounts[taker].account_id,
            quantity=sum(block.quantity for block in blocks),
            trade_id=reference or None,
            serials=ranges(blocks),
        )
        for (unit, reference, giver, taker), blocks in sorted(found.items())
    ]


def owed_by(gateway: Gateway, account: Account) -> list[schemas.ObligationView]:
    """An account's sides of the trades that are not settled, oldest first."""
    exchange = gateway.exchange
    trades = joined([exchange.owing(), *exchange.clearing.unbacked()])
    mine = trades[(trades["buyer"] == account.number) | (trades["seller"] == account.number)]
    called, under_way = exchange.asset_names, exchange.clearing.under_way
    shown = []
    for row, owed in zip(mine, obligations(mine, exchange.terms), strict=True):
        buys = int(owed["buyer"]) == account.number
        trade_id = int(owed["trade_id"])
        shown.append(
            schemas.ObligationView(
                trade_id=trade_id,
                symbol=exchange.instruments[int(row["instrument"])].symbol,
                side="buy" if buys else "sell",
                counterparty=exchange.accounts[int(owed["seller"] if buys else owed["buyer"])].account_id,
                quantity=int(owed["quantity"]),
                currency=called[int(owed["cash"])],
                turnover=money(int(owed["turnover"])),
                fee=money(int(owed["buyer_fee"] if buys else owed["seller_fee"])),
                batch=under_way.number if under_way is not None and under_way.trade(trade_id) is not None else None,
            )
        )
    return sorted(shown, key=lambda one: one.trade_id)


# ---------------------------------------------------------------- the bank


def instructions_text(batch: Batch) -> str:
    """The instruction file of a batch as the bank gets it. Refused before the bank is instructed."""
    if batch.payments is None:
        raise Refused(Reason.TOO_EARLY, f"Batch {batch.number} is {batch.stage}: the bank was told nothing.")
    return batch.payments.last.text()


def instructions_view(batch: Batch) -> schemas.InstructionsView:
    """What the bank was told of a batch, and its answers. Refused before it is instructed."""
    payments = batch.payments
    if payments is None:
        raise Refused(Reason.TOO_EARLY, f"Batch {batch.number} is {batch.stage}: the bank was told nothing.")
    lines = []
    for line in payments.lines:
        answer = payments.answers.get(line.line)
        lines.append(
            schemas.InstructedLine(
                line=line.line,
                account_id=line.account_id,
                currency=line.currency,
                direction=line.direction,
                amount=money(line.fen),
                reply=answer.reply if answer else None,
                confirmed=money(answer.confirmed) if answer else None,
                reason=answer.reason if answer else "",
            )
        )
    totals = [
        schemas.CurrencyTotal(currency=code, debits=money(debits), credits=money(credits))
        for code, (debits, credits) in payments.totals().items()
    ]
    return schemas.InstructionsView(
        batch=batch.number,
        date=batch.day,
        mode=batch.mode,
        checksum=payments.last.checksum,
        totals=totals,
        lines=lines,
    )


def break_report(gateway: Gateway, sequence: int, event: BankReconciled) -> schemas.BreakReport:
    exchange = gateway.exchange
    at_ns = int(gateway.history.command(sequence).now_ns)
    return schemas.BreakReport(
        sequence=sequence,
        date=event.date,
        at=iso(at_ns, exchange.market.timezone),
        balances=event.balances,
        matched=event.matched,
        breaks=[
            schemas.BreakView(
                finding=one.finding,
                account_id=one.account_id,
                currency=one.currency,
                ours=money(one.ours),
                banks=money(one.banks),
                difference=money(one.difference),
                explanation=_explained(one),
            )
            for one in event.breaks
        ],
        blocked=[exchange.accounts[number].account_id for number in event.blocked],
    )


def _explained(one: Break) -> str:
    """What a treasurer should know of a break: who has more, and what to look for."""
    gap, holder = f"{in_groups(money(abs(one.difference)))} {one.currency}", one.account_id
    match one.finding:
        case Finding.UNKNOWN:
            return f"The bank keeps {gap} for {holder}, which we do not know: ask the bank whose money it is."
        case Finding.MISSING:
            return f"We have {gap} for {holder}, the bank's file does not name it: ask the bank for its balance."
        case Finding.DOUBLED:
            return f"The bank names {holder} more than once: ask for a file that has one balance for it."
        case Finding.DIFFERS if one.difference > 0:
            look_for = "a deposit that is not booked here, or a payment that the bank has not made"
            return f"The bank has {gap} more than we for {holder}: look for {look_for}."
        case _:
            look_for = "a withdrawal that is not booked here, or a deposit that never reached the bank"
            return f"The bank has {gap} less than we for {holder}: look for {look_for}."


def balances_view(gateway: Gateway, day: date) -> schemas.BalancesView:
    """What the bank should have at the end of a settled day. Refused if the day has no statements yet."""
    lines = [
        schemas.BalanceView(account_id=one.account_id, currency=one.currency, amount=money(one.fen))
        for one in balance_file(gateway, day).lines
    ]
    return schemas.BalancesView(date=day, lines=lines)


def balance_file(gateway: Gateway, day: date) -> BalanceFile:
    """The same as the bank would write it."""
    held = closing_balances(gateway.exchange, day)
    if held is None:
        raise Refused(Reason.DAY_NOT_SETTLED, f"The day {day} has no statements.")
    lines = (BankBalance(account_id, currency, fen) for (account_id, currency), fen in sorted(held.items()))
    return BalanceFile(day, tuple(lines))


def bookings_view(gateway: Gateway, day: date) -> schemas.BookingsView:
    """What the bank has to book of a settled day. Refused if the day has no statements yet."""
    file = booking_file(gateway, day)
    lines = [
        schemas.BookingView(
            line=number,
            batch=one.batch,
            account_id=one.account_id,
            currency=one.currency,
            reach=one.reach,
            cause=one.cause,
            reference=one.reference,
            amount=money(one.fen),
        )
        for number, one in enumerate(file.lines, 1)
    ]
    return schemas.BookingsView(
        date=day,
        previous=file.previous,
        previous_checksum=file.previous_checksum or None,
        checksum=file.checksum,
        lines=lines,
    )


def booking_file(gateway: Gateway, day: date) -> BookingFile:
    """The same as the bank gets it."""
    file = gateway.bookings.of(day)
    if file is None:
        raise Refused(Reason.DAY_NOT_SETTLED, f"The day {day} has no statements.")
    return file


def withdrawal_blocks(gateway: Gateway, accounts: Iterable[Account]) -> list[schemas.WithdrawalBlock]:
    """Who may withdraw nothing at present, and why."""
    reasons = [(account, withdrawal_block(gateway.exchange, account)) for account in accounts]
    return [
        schemas.WithdrawalBlock(account_id=account.account_id, reason=reason) for account, reason in reasons if reason
    ]
