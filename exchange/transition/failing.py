"""Delivery when somebody may fail: who does, what stays reserved, what is handed over that nobody had reserved.

A backed trade that fails is unwound: claims are taken back, and the leg of who failed is available to it again. The leg
of who did not fail stays reserved, so that it can still perform when the other's failure is cured or covered. Resting
orders that counted on a claim which is gone are cancelled.

What the settlement bank has not confirmed has not been paid, however much the ledger shows. Who failed for that lacks

    what the bank has not confirmed, at most what it pays for the trades of the case
    - what others have paid for these trades in an earlier case, as far as it is not used
    - what it has deposited since it failed, as far as it is not used

or what the ledger lacks, if that is more. So it is cured by the bank's late confirmation or by new money, and covered
by reserve and house paying in truth. When the trades come again the bank is asked again; what others paid for them
stands in for what it then does not confirm, and is used by as much: it counts once. Whatever else somebody pays in the
meantime is taken to come out of this money too, since the bank has said that there is no other.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from exchange.events import FailureNotified
from exchange.instruments import fen, money
from exchange.payments import by_number, confirmed
from exchange.reasons import Reason
from exchange.rows import type_of_rows
from exchange.sessions import local_moment, moment_ns
from exchange.state import Exchange
from exchange.transition.step import Step, date_of, let_trade, move_cash, move_units, require, reserve_of, take
from registry import holdings
from registry.serials import Cause
from registry.workdays import after_working_days
from settlement import default
from settlement.clearing import obligations, type_of_column
from settlement.cycle import Batch, only, without
from settlement.default import BUYER, SELLER, Case, Dues, Means, Move, Verdict
from settlement.statements import CASH

_LEGS = ((SELLER, "seller_fails"), (BUYER, "buyer_fails"))


# ---------------------------------------------------------------- before: who fails


def judge(exchange: Exchange, batch: Batch) -> tuple[Dues, Verdict]:
    """What the trades of a batch move that can fail, and which of them settle.

    None can where all are backed and all has been paid in: those of a day of millions are not looked at.
    """
    can_fail = batch.unbacked or confirmed(exchange, batch) is not None
    trades = batch.trades if can_fail else batch.trades[:0]
    due = default.dues(trades, exchange.terms, batch.unbacked, exchange.clearing.kept)
    if not due.size:
        nobody = np.zeros(0, np.bool_)
        return due, Verdict(nobody, nobody, nobody)
    return due, _verdict(exchange, batch, due, is_final=True)


def _verdict(exchange: Exchange, batch: Batch, due: Dues, is_final: bool) -> Verdict:
    """What settles; before the end, as if whoever has paid in full could pay more."""
    others = None
    if is_final and batch.payments is not None and batch.mode.nets_cash:
        others = _confirmed_of_all(exchange, batch)
    return default.settling(due, _means(exchange), batch.mode, exchange.house, _caps(exchange, batch), others)


def besides(exchange: Exchange, batch: Batch) -> dict[tuple[int, int], int]:
    """Fen, by (account, cash asset), that the bank is still to be asked for once it has answered everything.

    Where cash is netted, who settles with less trades than it was asked for may have to pay more: it counted on who
    has failed. If the bank was late nobody is asked again.
    """
    if batch.payments is None or batch.payments.open_lines or batch.is_late or not batch.mode.nets_cash:
        return {}
    if not batch.unbacked and confirmed(exchange, batch) is None:
        return {}
    due = default.dues(batch.trades, exchange.terms, batch.unbacked, exchange.clearing.kept)
    verdict = _verdict(exchange, batch, due, is_final=False)
    needs = pay_ins(exchange, batch, batch.trades[verdict.settles]) - _confirmed_of_all(exchange, batch)
    cash = exchange.terms.currencies
    return {
        (account, cash[place]): int(needs[account, cash[place]])
        for account, place in np.argwhere(needs[:, cash] > 0).tolist()
    }


def _confirmed_of_all(exchange: Exchange, batch: Batch) -> type_of_column:
    """Fen that each (account, asset) can pay in: what the bank confirmed, and what others paid for it."""
    assert batch.payments is not None
    reach: type_of_column = np.zeros(exchange.path.desk.balances.shape, np.int64)
    for holding, amount in by_number(exchange, batch.payments.paid_in()).items():
        reach[holding] += amount
    for account in {case.account for case in exchange.clearing.defaults.cases if case.paid}:
        for cash in exchange.terms.currencies:
            reach[account, cash] += sum(part for _, part in _standing_in(exchange, batch, batch.trades, account, cash))
    return reach


def _means(exchange: Exchange) -> Means:
    balances = exchange.path.desk.balances
    held = balances["available"] + balances["reserved"] + balances["incoming"] - balances["unsettled"]
    kept = kept_legs(exchange)
    return Means(held, kept, balances["reserved"] - kept - exchange.positions(exchange.owing()).out)


def kept_legs(exchange: Exchange) -> type_of_column:
    """What is reserved for trades that failed, by (account, asset)."""
    kept: type_of_column = np.zeros(exchange.path.desk.balances.shape, np.int64)
    for rows in exchange.clearing.unbacked() if exchange.clearing.kept else []:
        due = default.dues(rows, exchange.terms, (), exchange.clearing.kept)
        kept += due.legs(due.seller_kept, due.buyer_kept, kept.shape)
    return kept


def _caps(exchange: Exchange, batch: Batch) -> dict[tuple[int, int], int]:
    """Fen that count as paid in, of who has not paid in full."""
    short = unconfirmed(exchange, batch)
    reach = _confirmed_of_all(exchange, batch) if short else None
    return {} if reach is None else {holding: int(reach[holding]) for holding in short}


def unconfirmed(exchange: Exchange, batch: Batch) -> dict[tuple[int, int], int]:
    """Fen of pay-ins, by (account, cash asset), that the bank has not confirmed."""
    paid_in = confirmed(exchange, batch)
    if paid_in is None:
        return {}
    assert batch.payments is not None
    asked = by_number(exchange, batch.payments.asked())
    return {holding: asked[holding] - fen for holding, fen in paid_in.items() if fen < asked[holding]}


def pay_ins(exchange: Exchange, batch: Batch, trades: type_of_rows) -> type_of_column:
    """Fen that accounts pay in for some trades of a batch, (accounts, assets)."""
    sums = exchange.positions(trades)
    return np.maximum(0, -sums.net) if batch.mode.nets_cash else sums.out


def _standing_in(
    exchange: Exchange, batch: Batch, trades: type_of_rows, account: int, cash: int
) -> list[tuple[Case, int]]:
    """What others have paid for an account's trades among these and is not used, by case; fen."""
    found = []
    for case in exchange.clearing.defaults.of(account):
        if left := case.unused(cash):
            due = pay_ins(exchange, batch, only(trades, case.trades))
            found.append((case, min(left, int(due[account, cash]))))
    return found


def _use(exchange: Exchange, batch: Batch) -> None:
    """What others paid is used as far as it stood in for what the bank did not confirm of what settles.

    Whatever else somebody pays who failed before is no longer there of what came in for it since.
    """
    defaults = exchange.clearing.defaults
    failed = {case.account for case in defaults.cases if case.deposited or case.paid}
    if batch.payments is None or not failed:
        return
    settles = pay_ins(exchange, batch, batch.settled)
    paid_in = by_number(exchange, batch.payments.paid_in())
    for account, cash in [(account, cash) for account in sorted(failed) for cash in exchange.terms.currencies]:
        needed = max(0, int(settles[account, cash]) - paid_in.get((account, cash), 0))
        for case, part in _standing_in(exchange, batch, batch.trades, account, cash):
            used = min(part, needed)
            needed -= used
            if used:
                case.used[cash] = case.used.get(cash, 0) + used
                batch.stood_in[account, cash] = batch.stood_in.get((account, cash), 0) + used
    for account in sorted(failed):
        for cash in exchange.terms.currencies:
            defaults.spend(account, cash, int(settles[account, cash]) - batch.stood_in.get((account, cash), 0))


def unpaid(exchange: Exchange, case: Case, dropped: Collection[int] = ()) -> dict[int, int]:
    """Fen by cash asset that the bank has not confirmed of the payments for a case's trades, `dropped` ones aside.

    Less what others have paid for them; what was deposited since is not looked at.
    """
    batch = exchange.clearing.batch(case.batch)
    assert batch is not None
    missing = {cash: fen for (account, cash), fen in unconfirmed(exchange, batch).items() if account == case.account}
    trades = without(only(batch.trades, case.trades), dropped)
    due = _sure_to_pay(exchange, batch, trades, case) if missing else np.zeros((0, 0), np.int64)
    found = {}
    for cash, amount in missing.items():
        stands_in = sum(part for _, part in _standing_in(exchange, batch, trades, case.account, cash))
        found[cash] = max(0, min(amount, int(due[case.account, cash])) - stands_in)
    return found


def _sure_to_pay(exchange: Exchange, batch: Batch, trades: type_of_rows, case: Case) -> type_of_column:
    """Fen to pay in for trades of a case, (accounts, assets): what waits for others too may bring nothing."""
    if not batch.mode.nets_cash:
        return pay_ins(exchange, batch, trades)
    open_cases = exchange.clearing.defaults.open_cases()
    others = {trade for other in open_cases if other.account != case.account for trade in other.trades}
    due: type_of_column = exchange.positions(trades).out - exchange.positions(without(trades, others)).into
    return np.maximum(0, due)


# ---------------------------------------------------------------- then: take out, hand over


def take_out(step: Step, batch: Batch, due: Dues, verdict: Verdict) -> None:
    """Unwind what does not settle, and let it wait."""
    exchange, house = step.exchange, step.exchange.clearing
    failed = np.flatnonzero(~verdict.settles).tolist()
    batch.failed = frozenset(batch.trades["trade_id"][failed].tolist())
    for row in failed:
        if due.is_backed[row]:
            _unwind(exchange, batch.trades[row], due, row)
    _cancel_what_counted_on_it(step)
    for row in failed:
        trade = int(batch.trades[row]["trade_id"])
        for leg, fails in _LEGS:
            if bool(getattr(verdict, fails)[row]):
                _let_go(exchange, trade, leg, due, row)
            elif due.is_backed[row]:
                _keep(exchange, trade, leg, due, row)
    if failed:
        house.wait(only(batch.trades, batch.failed))


def _given(due: Dues, leg: int, row: int) -> tuple[int, int, int]:
    """(account, asset, amount) of one leg of a trade."""
    account, asset, amount = (due.buyer, due.cash, due.pays) if leg == BUYER else (due.seller, due.unit, due.quantity)
    return int(account[row]), int(asset[row]), int(amount[row])


def _taken(exchange: Exchange, instrument: Any, due: Dues, row: int) -> list[tuple[int, int, int, bool]]:
    """(account, asset, amount, at once) of what a trade brings to buyer, seller and house."""
    at_once = bool(instrument.proceeds_at_once)
    cash = int(due.cash[row])
    return [
        (int(due.buyer[row]), int(due.unit[row]), int(due.quantity[row]), bool(instrument.resale_at_once)),
        (int(due.seller[row]), cash, int(due.receives[row]), at_once),
        (exchange.house, cash, int(due.fees[row]), at_once),
    ]


def _unwind(exchange: Exchange, trade: Any, due: Dues, row: int) -> None:
    """A backed trade is backed no more: its legs are available again, and nothing is claimed."""
    desk = exchange.path.desk
    for leg in (SELLER, BUYER):
        account, asset, amount = _given(due, leg, row)
        desk.balances[account, asset].reserved -= amount
        desk.balances[account, asset].available += amount
    instrument = desk.instruments[trade["instrument"]]
    for account, asset, amount, at_once in _taken(exchange, instrument, due, row):
        balance = desk.balances[account, asset]
        balance.unsettled -= amount
        if at_once:
            balance.available -= amount
        else:
            balance.incoming -= amount
    _count(exchange, trade, -1)


def _count(exchange: Exchange, trade: Any, times: int) -> None:
    """A trade changes what its parties hold of allowances."""
    desk = exchange.path.desk
    if desk.instruments["counts"][trade["instrument"]]:
        desk.participants["position"][trade["seller"]] -= times * trade["quantity"]
        desk.participants["position"][trade["buyer"]] += times * trade["quantity"]


def _cancel_what_counted_on_it(step: Step) -> None:
    """Who has less than nothing available had used a claim that is gone: it goes back, and its orders if need be."""
    desk = step.exchange.path.desk
    for account, asset in np.argwhere(desk.balances["available"] < 0).tolist():
        balance = desk.balances[account, asset]
        part = min(int(balance.incoming), -int(balance.available))
        balance.available += part
        balance.incoming -= part
        if balance.available < 0:
            step.say_events(step.exchange.path.suspend(step.row, account))
        assert desk.balances[account, asset].available >= 0, "somebody settles with what it does not have"


def _keep(exchange: Exchange, trade: int, leg: int, due: Dues, row: int) -> None:
    """Keep the leg of who did not fail, if it is there without the claims that are gone."""
    account, asset, amount = _given(due, leg, row)
    balance = exchange.path.desk.balances[account, asset]
    if balance.available >= amount:
        balance.available -= amount
        balance.reserved += amount
        exchange.clearing.kept.add((trade, leg))


def _let_go(exchange: Exchange, trade: int, leg: int, due: Dues, row: int) -> None:
    """A leg that was kept is available again."""
    if (trade, leg) in exchange.clearing.kept:
        exchange.clearing.kept.remove((trade, leg))
        account, asset, amount = _given(due, leg, row)
        exchange.path.desk.balances[account, asset].reserved -= amount
        exchange.path.desk.balances[account, asset].available += amount


def release_kept(exchange: Exchange, trades: Collection[int]) -> None:
    """Nothing is reserved for trades any more."""
    for rows in exchange.clearing.unbacked():
        dropped = only(rows, trades)
        due = default.dues(dropped, exchange.terms, (), ())
        for row, trade in enumerate(dropped["trade_id"].tolist()):
            for leg in (SELLER, BUYER):
                _let_go(exchange, trade, leg, due, row)


def hand_over(step: Step, batch: Batch, due: Dues, verdict: Verdict) -> None:
    """Deliver the trades that settle and are not backed: what comes in first, so that it can go out."""
    exchange, desk = step.exchange, step.exchange.path.desk
    _use(exchange, batch)
    rows = np.flatnonzero(verdict.settles & ~due.is_backed).tolist()
    for row in rows:
        instrument = desk.instruments[batch.trades[row]["instrument"]]
        for account, asset, amount, at_once in _taken(exchange, instrument, due, row):
            desk.balances[account, asset]["available" if at_once else "incoming"] += amount
        _count(exchange, batch.trades[row], 1)
    for row in rows:
        trade = int(batch.trades[row]["trade_id"])
        for leg in (SELLER, BUYER):
            account, asset, amount = _given(due, leg, row)
            if (trade, leg) in exchange.clearing.kept:
                exchange.clearing.kept.remove((trade, leg))
                desk.balances[account, asset].reserved -= amount
            else:
                take(desk.balances[account, asset], amount)


# ---------------------------------------------------------------- after: notify, secure, provide


def notify(step: Step, batch: Batch, due: Dues, verdict: Verdict) -> list[FailureNotified]:
    """Open a case for everybody who failed, and restrict its account."""
    exchange, house = step.exchange, step.exchange.clearing
    notes = []
    for account in verdict.failing(due):
        rows = (verdict.seller_fails & (due.seller == account)) | (verdict.buyer_fails & (due.buyer == account))
        trades = batch.trades["trade_id"][rows].tolist()
        case = house.defaults.open(account, batch.number, trades, step.now_ns, _deadline_ns(step))
        step.say_events(exchange.path.suspend(step.row, account))
        let_trade(exchange, exchange.accounts[account])
        notes.append(case)
    for case in notes:
        case.lacked = lacks(exchange, case)
    house.let_come()  # trades of who was not asked for all that they need
    return [
        FailureNotified(case.number, case.account, case.lacked, list(case.trades), case.deadline_ns) for case in notes
    ]


def _deadline_ns(step: Step) -> int:
    """The last moment to cure what is notified now, which may be days after the batch's own day."""
    rules = step.exchange.market
    procedure = rules.settlement.defaults
    notified = max(date_of(step.exchange), local_moment(rules, step.now_ns).date())
    last = after_working_days(notified, procedure.cure_working_days, rules.credits.holidays)
    return max(step.now_ns, moment_ns(rules, last, procedure.cure_by))


def secure(step: Step, batch: Batch) -> None:
    """The reserve takes what covered trades have brought to who failed, until what others paid is repaid."""
    exchange, defaults = step.exchange, step.exchange.clearing.defaults
    reserve = reserve_of(exchange)
    if reserve is None or not batch.unbacked:
        return
    settled = only(without(batch.trades, batch.failed), batch.unbacked)
    for case in defaults.cases:
        if not case.paid or defaults.is_repaid(case.number):
            continue
        bought = only(settled, case.trades)
        bought = bought[bought["buyer"] == case.account]
        owed = obligations(bought, exchange.terms)
        for number in np.unique(owed["unit"]).tolist():
            free = free_of(exchange, case.account, number)
            quantity = min(free, int(owed["quantity"][owed["unit"] == number].sum()))
            if quantity:
                unit = exchange.units[number]
                move_units(step, case.account, reserve.number, unit, quantity, "security", Cause.TRANSFERRED)
                held = defaults.security.get((case.number, number), 0)
                defaults.security[case.number, number] = held + quantity


def provide(step: Step, fees: int) -> int:
    """Put the reserve's share of a batch's fees aside; returns fen."""
    exchange, rules = step.exchange, step.exchange.market.settlement.reserve
    reserve = reserve_of(exchange)
    if reserve is None or rules is None:
        return 0
    house = exchange.house
    held = free_of(exchange, reserve.number, CASH)
    amount = default.provision(fees, rules.share, held, fen(rules.target))
    amount = min(amount, free_of(exchange, house, CASH))
    if amount:
        move_cash(step, house, reserve.number, CASH, amount, "reserve_provision")
    return amount


def lift_restrictions(step: Step) -> None:
    """Who has met everything may trade again."""
    for account in {case.account for case in step.exchange.clearing.defaults.cases}:
        let_trade(step.exchange, step.exchange.accounts[account])


# ---------------------------------------------------------------- what an account has, and lacks


def free_of(exchange: Exchange, account: int, asset: int) -> int:
    """What an account has on the trading side that is settled and reserved for nothing."""
    return holdings.returnable(exchange.path.desk.balances[account, asset])


def lacks(
    exchange: Exchange, case: Case, dropped: frozenset[int] = frozenset(), given: dict[int, int] | None = None
) -> dict[int, int]:
    """What the account of a case lacks now, by asset, so that the trades that wait for it could settle.

    If some of them were `dropped`, and some assets `given` to it.
    """
    waiting = _moves(exchange, case.account, set(case.trades))
    moves = [move for trade, sides in waiting if trade not in dropped for move in sides]
    assets = {asset for move in moves for asset in (move.gives, move.takes)}
    free = {asset: free_of(exchange, case.account, asset) for asset in assets}
    for asset, amount in (given or {}).items():
        free[asset] = free.get(asset, 0) + amount
    lacking = default.lacking(moves, free, _netted(exchange, assets))
    for cash, amount in unpaid(exchange, case, dropped).items():
        short = max(lacking.get(cash, 0), amount - case.deposited.get(cash, 0))
        if short:
            lacking[cash] = short
    return dict(sorted(lacking.items()))


def may_spare(exchange: Exchange, account: int, asset: int) -> int:
    """What of an asset an account does not need for its trades that are still to settle, nor to cure its cases.

    What these bring counts where it is netted only: trade by trade it may not come in time.
    """
    cases = [case for case in exchange.clearing.defaults.of(account) if case.is_open]
    waiting = {trade for case in cases for trade in case.trades}
    moves = [move for _, sides in _moves(exchange, account, waiting) for move in sides]
    given = sum(move.amount for move in moves if move.gives == asset)
    taken = sum(move.taken for move in moves if move.takes == asset) if _netted(exchange, {asset}) else 0
    free = free_of(exchange, account, asset)
    return max(0, min(free, free - given + taken) - brought(exchange, account, asset))


def brought(exchange: Exchange, account: int, asset: int) -> int:
    """Fen that an account has brought instead of what the bank has not confirmed, and that are still to count for it.

    In the batch at the bank, or to cure its cases: if they went elsewhere meanwhile they would count twice.
    """
    batch, fen_brought = exchange.clearing.to_deliver, 0
    if batch is not None and batch.payments is not None:
        fen_brought = batch.payments.counts(exchange.accounts[account].account_id, exchange.asset_names[asset])
    for case in exchange.clearing.defaults.of(account):
        if case.is_open and asset in case.deposited:
            fen_brought += min(case.deposited[asset], unpaid(exchange, case).get(asset, 0))
    return fen_brought


def require_not_due(exchange: Exchange, account: int, asset: int, amount: int) -> None:
    """Refused if what is to leave an account is needed for its trades that are not backed and still to settle.

    What the batch under way will bring by other trades does not count: it has not come yet.
    """
    spare = may_spare(exchange, account, asset)
    is_cash = asset in exchange.currencies.values()
    reason = Reason.INSUFFICIENT_CASH if is_cash else Reason.INSUFFICIENT_UNITS
    found = f"{money(spare) if is_cash else f'{spare} t'} {exchange.asset_names[asset]} can be spared"
    require(amount <= spare, reason, f"{found}, besides what is to settle")


def _netted(exchange: Exchange, assets: set[int]) -> set[int]:
    mode = exchange.market.settlement.mode
    cash = assets & {*exchange.terms.currencies} if mode.nets_cash else set()
    return assets if mode.nets_units else cash


def _moves(exchange: Exchange, account: int, waiting: set[int]) -> list[tuple[int, list[Move]]]:
    """An account's sides of some trades that wait, and of all that are not backed and come again, by trade id."""
    house = exchange.clearing
    others = {trade for case in house.defaults.open_cases() if case.account != account for trade in case.trades}
    wanted = [only(rows, waiting) for rows in house.waiting] + house.coming()
    found: list[tuple[int, list[Move]]] = []
    for rows in wanted:
        due = default.dues(rows, exchange.terms, (), house.kept)
        for row, trade in enumerate(rows["trade_id"].tolist()):
            comes = 0 if trade in others else 1
            unit, cash = int(due.unit[row]), int(due.cash[row])
            sides = []
            if due.seller[row] == account:
                gives = 0 if due.seller_kept[row] else int(due.quantity[row])
                sides.append(Move(unit, gives, cash, comes * int(due.receives[row])))
            if due.buyer[row] == account:
                gives = 0 if due.buyer_kept[row] else int(due.pays[row])
                sides.append(Move(cash, gives, unit, comes * int(due.quantity[row])))
            if sides:
                found.append((trade, sides))
    return sorted(found)


def trade_rows(exchange: Exchange, case: Case) -> type_of_rows:
    """The trades that wait for a case, in the order of trading."""
    rows = np.concatenate([only(rows, case.trades) for rows in exchange.clearing.waiting])
    return rows[np.argsort(rows["trade_id"])]
