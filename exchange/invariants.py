"""What is always true across the packages. `carbonex check` asks it of any journal, tests after every step.

Each check is a named function that raises AssertionError with what it found; :func:`check` runs them all.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np

from exchange import fees, positions
from exchange.desk import backing_of_order
from exchange.payments import by_number, instructions
from exchange.sessions import Phase
from exchange.state import Exchange
from exchange.transition.failing import kept_legs, pay_ins
from exchange.transition.step import reserve_of
from matching import ladder as book_of
from matching.orders import Side
from registry import holdings
from registry.accounts import Right
from registry.serials import BlockState, Origin
from registry.units import Species
from settlement.corrections import version_of
from settlement.cycle import Stage
from settlement.totals import check_report


def cash_is_conserved(exchange: Exchange) -> None:
    """Cash paid in = cash held by all accounts (the fee account among them) + cash paid out, per currency."""
    all_held = holdings.settled(exchange.path.desk.balances).sum(axis=0)
    for code, asset in exchange.currencies.items():
        held, paid_in, paid_out = int(all_held[asset]), exchange.cash_deposited[asset], exchange.cash_withdrawn[asset]
        assert paid_in == held + paid_out, f"{code}: {paid_in} fen paid in, {held} held, {paid_out} paid out"


def units_are_conserved(exchange: Exchange) -> None:
    """Units issued = held + surrendered + retired + cancelled, per unit."""
    held = holdings.settled(exchange.path.desk.balances).sum(axis=0)
    for unit in exchange.units:
        gone = exchange.serials.ended(unit.number)
        found = f"{unit.issued} issued, {held[unit.number]} held, {gone} gone"
        assert unit.issued == held[unit.number] + gone, f"{unit.code}: {found}"


def title_equals_holdings(exchange: Exchange) -> None:
    """The serial blocks that each account holds add up to its settled holding."""
    settled = holdings.settled(exchange.path.desk.balances)
    titles = np.zeros_like(settled)
    for number, blocks in exchange.serials.content():
        held = blocks[blocks["state"] == 0]
        np.add.at(titles[:, number], held["holder"], held["last"] - held["first"] + 1)
    for unit in exchange.units:
        wrong = np.flatnonzero(titles[:, unit.number] != settled[:, unit.number]).tolist()
        assert not wrong, f"title and holding of {unit.code} differ for accounts {wrong}"


def locks_are_backed(exchange: Exchange) -> None:
    """What is pledged or frozen = the locks that hold, and what waits for surrender = the requests that do."""
    balances = exchange.path.desk.balances
    for bucket in holdings.LOCKED:
        locked = np.zeros(balances.shape, np.int64)
        for lock in exchange.locks:
            if lock.kind == bucket:
                locked[lock.account, lock.unit] += lock.quantity
        if bucket == "pending_surrender":
            for account, unit, quantity in exchange.compliance.pending():
                locked[account, unit] += quantity
        assert (balances[bucket] == locked).all(), f"{bucket} units and their locks differ"


def positions_are_counted(exchange: Exchange) -> None:
    """The position that the trading path keeps for each account = what it holds and what its buy orders may bring."""
    counted = positions.counted(exchange)
    for account in exchange.accounts:
        kept, limit = exchange.path.desk.participants[account.number], positions.limit(exchange, account)
        found = counted[account.number]
        assert kept.position == found, f"{account.account_id}: {kept.position} t kept, {found} t counted"
        assert kept.position_limit == limit, (
            f"{account.account_id}: limit {kept.position_limit} t kept, {limit} t by rule"
        )


def fees_follow_the_rules(exchange: Exchange) -> None:
    """Every participant pays the fees of its class on the present day."""
    by_rule = {one: fees.rates(exchange, one) for one in {account.participant_class for account in exchange.accounts}}
    for account in exchange.accounts:
        row = exchange.path.desk.participants[account.number]
        for name, rate_ppm in by_rule[account.participant_class].items():
            assert row[name] == rate_ppm, f"{account.account_id}: {name} is {row[name]}, {rate_ppm} by rule"


def compliance_is_sound(exchange: Exchange) -> None:
    """What was allocated, parked and surrendered makes sense for every enterprise and year.

    Every unit surrendered by title has paid for an enterprise's year, once; what of it was credits counts as offset.
    """
    exchange.compliance.check()
    paid: Counter[int] = Counter()
    for period in exchange.compliance.periods.values():
        for obligor in period.obligors.values():
            paid.update(obligor.surrendered)
            credits = [unit for unit in obligor.surrendered if exchange.units[unit].species == Species.CREDIT]
            offset = sum(obligor.surrendered[unit] for unit in credits)
            assert obligor.offset == offset, f"{obligor.offset} t of credits are counted in {period.year}, not {offset}"
    for unit in exchange.units:
        ended = exchange.serials.total(unit.number, BlockState.SURRENDERED)
        found = f"{ended} t surrendered by title, {paid[unit.number]} t paid"
        assert ended == paid[unit.number], f"{unit.code}: {found}"
    for period in exchange.compliance.periods.values():
        parked = exchange.compliance.parked_with(period.authority, period.unit)
        kept = int(exchange.path.desk.balances[period.authority, period.unit].registry)
        assert parked <= kept, f"{parked} t of {period.year} are parked, {kept} t are there"


def serial_numbers_are_disjoint(exchange: Exchange) -> None:
    """Every serial number issued is in exactly one block, whose title leads from its issue to its holder."""
    exchange.serials.check()


def balances_are_not_negative(exchange: Exchange) -> None:
    """No bucket of any balance is below zero, and nobody has delivered what it never had."""
    holdings.check(exchange.path.desk.balances)
    assert (holdings.settled(exchange.path.desk.balances) >= 0).all(), "somebody holds less than nothing"


def reservations_are_backed(exchange: Exchange) -> None:
    """What is reserved = what live orders need + what unsettled trades owe; nothing more, nothing less.

    For a deal that is due nothing is; of a trade that failed the leg that was kept.
    """
    desk = exchange.path.desk
    needed = kept_legs(exchange)
    for listed in exchange.instruments:
        instrument = desk.instruments[listed.number]
        for order in book_of.orders_of(desk.ladder, listed.number):
            asset = int(instrument.cash if order.side == Side.BUY else instrument.asset)
            needed[order.owner, asset] += backing_of_order(instrument, desk.participants[order.owner], order)
    needed += exchange.positions(exchange.owing()).out
    assert (desk.balances["reserved"] == needed).all(), "reserved holdings and their reasons differ"


def claims_are_owed(exchange: Exchange) -> None:
    """What counts as unsettled = what unsettled trades will bring."""
    desk = exchange.path.desk
    claims = exchange.positions(exchange.owing()).into
    assert (desk.balances["unsettled"] == claims).all(), "claims and the trades behind them differ"


def books_are_sound(exchange: Exchange) -> None:
    """Queues, bitmap, best prices and counts agree, and no book is crossed while it trades."""
    desk = exchange.path.desk
    book_of.check(desk.ladder)
    assert desk.progress[0].arriving == 0, "an order is still arriving"
    for listed in exchange.instruments:
        if desk.instruments[listed.number].phase == Phase.CONTINUOUS:
            assert not book_of.is_crossed(desk.ladder, listed.number), f"the book of {listed.symbol} is crossed"


def prices_are_within_the_band(exchange: Exchange) -> None:
    """Every resting order and every trade of the day that was not corrected lies inside its instrument's price band."""
    desk = exchange.path.desk
    trades = exchange.trades_today()
    trades = trades[~np.isin(trades["trade_id"], list(exchange.clearing.corrections.standing))]
    for listed in exchange.instruments:
        row = desk.instruments[listed.number]
        prices = trades["price_ticks"][trades["instrument"] == listed.number].tolist()
        for order in book_of.orders_of(desk.ladder, listed.number):
            prices += [int(order.price_ticks), book_of.price_at(desk.ladder.queues[order.queue], int(order.level))]
        for price in prices:
            assert row.band_low_ticks <= price <= row.band_high_ticks, f"{listed.symbol}: {price} ticks"


def emissions_trace_to_their_inputs(exchange: Exchange) -> None:
    """Every reported total = its lines x factors, worked out again; figures and states follow from what happened."""
    exchange.emissions.check()


def credits_are_issued_once(exchange: Exchange) -> None:
    """Claims are disjoint, and the serial numbers of a credit = those of the batches it was issued for."""
    exchange.credits.check()
    found: dict[int, list[tuple[int, int]]] = {unit: [] for unit in exchange.credits.units}
    for reduction in exchange.credits.reductions.values():
        if reduction.first_serial:
            found[reduction.unit].append((reduction.first_serial, reduction.last_serial))
    for unit, batches in found.items():
        expected = 1
        for first, last in sorted(batches):
            assert first == expected, f"{exchange.units[unit].code}: number {expected} belongs to no batch, or to two"
            expected = last + 1
        assert exchange.units[unit].issued == expected - 1, f"{exchange.units[unit].code} was issued for no reduction"
        blocks = exchange.serials.blocks_of(unit)
        are_credits = all(block.origin == Origin.CREDIT for block in blocks)
        assert are_credits, f"{exchange.units[unit].code} was issued as something else"


def batches_never_change(exchange: Exchange) -> None:
    """What was fixed stands as it was fixed, step followed step, and all statements add up."""
    exchange.clearing.check()
    for batch in exchange.clearing.batches:
        if batch.line is not None:
            batch.line.check(exchange.terms)
            assert batch.stated == batch.line.seal(), f"the statements of batch {batch.number} have changed"


def payments_are_as_instructed(exchange: Exchange) -> None:
    """What the bank was told to pay is what the batch owes; who may not withdraw has an account."""
    for batch in exchange.clearing.batches:
        if batch.payments is not None:
            owed = instructions(exchange, batch)
            assert batch.payments.file == owed, f"the bank was told something else than batch {batch.number} owes"
    for account in (*exchange.clearing.blocked, *exchange.clearing.in_break):
        assert 0 < account <= len(exchange.accounts), f"account {account} is blocked and does not exist"


def what_settles_is_paid(exchange: Exchange) -> None:
    """Nobody has settled more of a batch than the bank confirmed for it, besides what truly stood in for that."""
    stood_in: Counter[tuple[int, int]] = Counter()
    for batch in exchange.clearing.batches:
        stood_in.update(batch.stood_in)
        if batch.payments is not None and batch.has_reached(Stage.DELIVERED):
            left = pay_ins(exchange, batch, batch.settled)
            for holding, fen in by_number(exchange, batch.payments.paid_in()).items():
                left[holding] -= fen
            for holding, fen in batch.stood_in.items():
                left[holding] -= fen
            assert (left[:, exchange.terms.currencies] <= 0).all(), f"more settles in batch {batch.number} than is paid"
    used: Counter[tuple[int, int]] = Counter()
    for case in exchange.clearing.defaults.cases:
        used.update({(case.account, cash): amount for cash, amount in case.used.items()})
    assert used == stood_in, "what others paid has been used for something else"


def statements_are_the_report(exchange: Exchange) -> None:
    """All statements of a batch together = its report = the change of all holdings, by asset."""
    for batch in exchange.clearing.batches:
        if batch.line is not None:
            assert batch.report is not None, f"batch {batch.number} is stated and was not delivered"
            check_report(batch.line, batch.report, exchange.terms)


def defaulters_are_restricted(exchange: Exchange) -> None:
    """Who failed may not trade until that is over, and the reserve holds what is booked as security."""
    for account in exchange.accounts:
        why = exchange.clearing.restriction(account.number)
        may = account.may(Right.TRADE) and why is None
        found = bool(exchange.path.desk.participants[account.number].may_trade)
        assert found == may, f"{account.account_id} {'trades' if found else 'may not trade'}: {why}"
    reserve = reserve_of(exchange)
    for unit in {unit for _, unit in exchange.clearing.defaults.security}:
        booked = exchange.clearing.defaults.secured_by(unit)
        held = 0 if reserve is None else int(exchange.path.desk.balances[reserve.number, unit].available)
        assert held >= booked, f"{booked} t of {exchange.units[unit].code} are security, the reserve has {held}"


def corrections_stand(exchange: Exchange) -> None:
    """A trade that waits says what its last correction says, no busted one waits, and a settled one is in its batch."""
    house = exchange.clearing
    for rows in (exchange.trades_today(), *house.returned):
        for index in np.flatnonzero(np.isin(rows["trade_id"], list(house.corrections.standing))):
            said = house.corrections.standing[int(rows[index]["trade_id"])]
            assert version_of(rows[index], exchange.terms) == said, f"trade {rows[index]['trade_id']} is not corrected"
    for trade_id in house.corrections.standing:
        made = house.corrections.of(trade_id)
        for one in made:
            row = house.batches[one.batch - 1].trade(trade_id) if one.batch else None
            assert not one.batch or row is not None, f"trade {trade_id} is not in batch {one.batch}"
        settled = next((one for one in made if one.batch), None)
        if settled is not None:
            row = house.batches[settled.batch - 1].trade(trade_id)
            assert version_of(row, exchange.terms) == settled.before, f"trade {trade_id} settled with other terms"


def treasury_is_stated(exchange: Exchange) -> None:
    """Every conversion and every rebate is in the statements, both sides of it, and nothing else is called so."""
    house = exchange.clearing
    fee_account = exchange.house
    done = Counter(
        ("conversion", account, asset, amount, one.sequence)
        for one in house.conversions.made
        for account, asset, amount in one.entries()
    )
    for one in (one for rebates in house.rebates.values() for one in rebates):
        done["fee_rebate", one.account, one.asset, one.amount, one.sequence] += 1
        done["fee_rebate", fee_account, one.asset, -one.amount, one.sequence] += 1
    lines = [batch.line.entries for batch in house.batches if batch.line is not None]
    stated = Counter(
        (entry.cause, account, entry.asset, entry.amount, entry.reference)
        for entries in (*lines, house.entries)
        for account, entry in entries
        if entry.cause in ("conversion", "fee_rebate")
    )
    wrong = (done - stated) + (stated - done)
    assert not wrong, f"done and not stated, or stated and not done: {sorted(wrong)[:3]}"


def client_orders_are_found(exchange: Exchange) -> None:
    """Today's orders are found by their client order ids."""
    exchange.client_orders.check()


CHECKS: tuple[Callable[[Exchange], None], ...] = (
    cash_is_conserved,
    units_are_conserved,
    balances_are_not_negative,
    reservations_are_backed,
    claims_are_owed,
    title_equals_holdings,
    locks_are_backed,
    compliance_is_sound,
    positions_are_counted,
    fees_follow_the_rules,
    serial_numbers_are_disjoint,
    books_are_sound,
    prices_are_within_the_band,
    emissions_trace_to_their_inputs,
    credits_are_issued_once,
    batches_never_change,
    statements_are_the_report,
    payments_are_as_instructed,
    what_settles_is_paid,
    corrections_stand,
    defaulters_are_restricted,
    treasury_is_stated,
    client_orders_are_found,
)


def check(exchange: Exchange) -> None:
    """Run every check; AssertionError at the first that fails."""
    for one in CHECKS:
        one(exchange)
