"""Trades that were wrong: busted, or given other terms; before and after they settled.

Where a trade stands decides what is undone:

| it                                     | then                                                                     |
|----------------------------------------|--------------------------------------------------------------------------|
| waits for a batch                      | its reservation and its claims are released or adjusted to the fen; the  |
|                                        | row that waits is replaced, so that the batch will settle what is right  |
| is in a batch that is not delivered    | refused: the obligations are fixed, the bank may have them already       |
| failed in a batch and has not settled  | refused: who failed in it has to be dealt with first                     |
| in a later one                         |                                                                          |
| has settled, and a party has closed    | refused: nobody can use what would come to a closed account              |
| its account since                      |                                                                          |
| has settled                            | units, cash and fees move back as new entries; the batch stays as it is  |

A list is put right as a whole: it is refused if what goes back is not there after all of it has, whatever the order.
What is not there has been spent, sold on, withdrawn or moved to the registry side; or it was brought for what the bank
has not confirmed, and is still to count for that. What was sold on counts as gone even if as much was bought
afterwards: trade by trade the sale would come up for settlement before its units. From settled trades only what is
settled itself is taken back: first what may not be resold yet, which is what was bought last, then what is available.
What a trade gives besides, since it was larger than it said, comes out of what is available, like that of any trade.

The orders of the trade are left alone: what they traded is not offered again, and if they rest their fees go on from
what they were charged. Limits bind orders and not corrections: a corrected price may lie off the band, and a position
may pass its limit when sold units come back. The quantity must be one that could have been traded, in whole lots.

Figures of the day. Busted trades do not count, corrected ones as they stand, in:

- the last price (which bounds the next execution price where the rule is a median), while no batch of the day is
  fixed. It triggers no stop orders: those wait for trades.
- the closing price, which is worked out again after the close while no batch of the day is fixed. It then stands:
  what was fixed rests on it, and so do the next day's bands.
- volume and turnover of the day of the trade, for good: they say what was traded, and fines reckon with them.

Bands of the running day do not change: they rest on the day before.

Title of settled units goes back newest trade first: the numbers that the trade moved as far as the buyer has them
still, or again, then its oldest. They stay marked as traded, for they were; so the lapse of never-traded allowances
spares them. Where units were netted no trade moved numbers of its own, and it is the oldest that go back.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple, assert_never

import msgspec
import numpy as np

from exchange import events as happened
from exchange.commands import BustTrades, CorrectionCommand, CorrectTrades, NewTerms
from exchange.fees import rates_of_trade
from exchange.instruments import money
from exchange.reasons import Reason, Refused
from exchange.rows import EVENT, EventKind
from exchange.sessions import Phase
from exchange.state import Exchange
from exchange.transition.failing import brought
from exchange.transition.step import Step, acting, require
from matching import ladder as book_of
from matching.orders import Side
from matching.pricing import closing_price_ticks
from registry import holdings
from registry.accounts import Account, AccountStatus, Right
from registry.serials import Block, Cause, Serials
from registry.units import Species
from settlement.clearing import type_of_column
from settlement.corrections import NOTHING, Correction, Version, applied, charged_anew, version_of
from settlement.cycle import Batch, Stage, row_of
from settlement.fees import TURNOVER_MAX
from settlement.netting import needed_at_turns
from settlement.statements import Entry


class Found(NamedTuple):
    """A trade and where it stands."""

    row: Any  # TRADE, as it was booked or waits
    now: Version  # as it stands
    day: date  # on which it was traded
    batch: Batch | None  # in which it settled; None: it waits for one


def handle(step: Step, command: CorrectionCommand) -> happened.CorrectionEvent:
    match command:
        case BustTrades():
            return bust_trades(step, command)
        case CorrectTrades():
            return correct_trades(step, command)
        case _:
            assert_never(command)


def bust_trades(step: Step, command: BustTrades) -> happened.TradesBusted:
    by = acting(step.exchange, command.by, Right.CLEAR)
    found = _looked_up(step.exchange, command.trade_ids)
    corrections = _drawn_up(step, by, command.reason, [(one, NOTHING) for one in found])
    return happened.TradesBusted(corrections, _put_right(step, corrections))


def correct_trades(step: Step, command: CorrectTrades) -> happened.TradesCorrected:
    by = acting(step.exchange, command.by, Right.CLEAR)
    found = _looked_up(step.exchange, [asked.trade_id for asked in command.corrections])
    asked_of = list(zip(found, command.corrections, strict=True))
    wanted = [_wanted(one, asked) for one, asked in asked_of]
    for (one, _), (price_ticks, quantity) in zip(asked_of, wanted, strict=True):
        changes = (price_ticks, quantity) != (one.now.price_ticks, one.now.quantity)
        require(changes, Reason.NOTHING_TO_CORRECT, f"trade {one.row.trade_id} says so already")
    instruments = step.exchange.path.desk.instruments
    rows = [instruments[one.row.instrument] for one in found]
    require(all(quantity > 0 for _, quantity in wanted), Reason.QUANTITY_NOT_POSITIVE, "to undo a trade, bust it")
    in_lots = all(quantity % int(row.lot) == 0 for (_, quantity), row in zip(wanted, rows, strict=True))
    require(in_lots, Reason.QUANTITY_OFF_LOT, "nothing trades but whole lots")
    require(all(ticks > 0 for ticks, _ in wanted), Reason.PRICE_NOT_POSITIVE, "a price must be positive")
    in_range = all(ticks < book_of.PRICE_MAX_TICKS for ticks, _ in wanted)
    require(in_range, Reason.PRICE_OUT_OF_RANGE, "no order can have such a price")
    turnovers = [ticks * quantity * int(row.fen_per_tick) for (ticks, quantity), row in zip(wanted, rows, strict=True)]
    require(max(turnovers) <= TURNOVER_MAX, Reason.AMOUNT_TOO_LARGE, "no trade can turn over as much")

    versions = [
        (one, _charged(step.exchange, one, *terms, turnover))
        for one, terms, turnover in zip(found, wanted, turnovers, strict=True)
    ]
    corrections = _drawn_up(step, by, command.reason, versions)
    return happened.TradesCorrected(corrections, _put_right(step, corrections))


# ---------------------------------------------------------------- which trades, and what they should say


def _looked_up(exchange: Exchange, trade_ids: Sequence[int]) -> list[Found]:
    """Trades that can be put right. Refused if any of them can't."""
    house = exchange.clearing
    places = [_place(exchange, trade_id) for trade_id in trade_ids]
    for trade_id, (row, _) in zip(trade_ids, places, strict=True):
        known = row is not None or bool(house.corrections.of(trade_id))
        require(known, Reason.UNKNOWN_TRADE, f"there is no trade {trade_id}")
    for trade_id, (row, batch) in zip(trade_ids, places, strict=True):
        if batch is not None:
            _require_settled(exchange, trade_id, row, batch)
    for trade_id in trade_ids:
        require(not house.corrections.is_busted(trade_id), Reason.TRADE_BUSTED, f"trade {trade_id} is busted")
    doubled = [trade_id for trade_id, times in Counter(trade_ids).items() if times > 1]
    require(not doubled, Reason.DUPLICATE_TRADE, f"the list names twice: {doubled[:10]}")
    require(bool(trade_ids), Reason.NOTHING_TO_CORRECT, "the list is empty")
    return [_found(exchange, row, batch) for row, batch in places]


def _require_settled(exchange: Exchange, trade_id: int, row: Any, batch: Batch) -> None:
    """Refused while a trade that a batch has taken up has not settled, or if a party has gone since."""
    where = f"batch {batch.number}"
    delivered, failed = batch.has_reached(Stage.DELIVERED), trade_id in batch.failed
    require(delivered, Reason.WRONG_STATE, f"trade {trade_id} is in {where}, which is to be delivered first")
    require(not failed, Reason.WRONG_STATE, f"trade {trade_id} failed in {where} and is not back")
    for number in (row.buyer, row.seller):
        party = exchange.accounts[int(number)]
        closed = party.status == AccountStatus.CLOSED
        require(not closed, Reason.WRONG_STATE, f"{party.account_id}, party to trade {trade_id}, is closed")


def _place(exchange: Exchange, trade_id: int) -> tuple[Any | None, Batch | None]:
    """The row of a trade, and the batch it was in last unless it waits for one."""
    if (row := row_of(exchange.trades_today(), trade_id)) is not None:
        return row, None
    batch = next(exchange.clearing.batches_with(trade_id), None)
    return (None, None) if batch is None else (batch.trade(trade_id), batch)


def _found(exchange: Exchange, row: Any, batch: Batch | None) -> Found:
    house, trade_id = exchange.clearing, int(row.trade_id)
    assert exchange.date is not None
    standing = house.corrections.standing.get(trade_id) or version_of(row, exchange.terms)
    failed_on = next((one.day for one in house.batches if trade_id in one.failed), None)
    return Found(row, standing, failed_on or (batch.day if batch else exchange.date), batch)


def _wanted(one: Found, asked: NewTerms) -> tuple[int, int]:
    """Price and quantity that a trade shall have."""
    return (
        one.now.price_ticks if asked.price_ticks is None else asked.price_ticks,
        one.now.quantity if asked.quantity is None else asked.quantity,
    )


def _charged(exchange: Exchange, one: Found, price_ticks: int, quantity: int, turnover: int) -> Version:
    """A trade with new terms, at the rates of its day."""
    buyer_ppm, seller_ppm = rates_of_trade(exchange, one.row, one.day)
    earlier = exchange.clearing.corrections.of(int(one.row.trade_id))
    first = earlier[0].before if earlier else one.now
    return Version(
        price_ticks,
        quantity,
        turnover,
        charged_anew(first.buyer_fee, first.turnover, turnover, buyer_ppm),
        charged_anew(first.seller_fee, first.turnover, turnover, seller_ppm),
    )


def _drawn_up(step: Step, by: Account, reason: str, versions: list[tuple[Found, Version]]) -> list[Correction]:
    """Corrections on paper; nothing has changed yet."""
    terms, done = step.exchange.terms, len(step.exchange.clearing.corrections)
    return [
        Correction(
            number=number,
            trade_id=int(one.row.trade_id),
            buy_order_id=int(one.row.buy_order_id),
            sell_order_id=int(one.row.sell_order_id),
            instrument=int(one.row.instrument),
            unit=int(terms.unit[one.row.instrument]),
            cash=int(terms.cash[one.row.instrument]),
            buyer=int(one.row.buyer),
            seller=int(one.row.seller),
            day=one.day,
            batch=one.batch.number if one.batch else 0,
            before=one.now,
            after=after,
            reason=reason,
            by=by.number,
            sequence=step.sequence,
            now_ns=step.now_ns,
        )
        for number, (one, after) in enumerate(versions, done + 1)
    ]


# ---------------------------------------------------------------- what goes back


Place = tuple[int, int]  # account, asset


class _Unwinding:
    """The balances after corrections, all of them at once: kept if nobody lacks anything, forgotten otherwise."""

    def __init__(self, exchange: Exchange, corrections: list[Correction]) -> None:
        self._exchange = exchange
        self._desk = exchange.path.desk
        self._house = exchange.house
        self._today = exchange.date
        self._balances: dict[Place, Any] = {}
        self._given: Counter[Place] = Counter()  # besides, by settled trades that were larger than they said
        self._taken_back: Counter[Place] = Counter()  # of what settled trades had brought
        for one in corrections:
            if one.batch:
                self._undo_settled(one)
            else:
                self._undo_waiting(one)

    def _at(self, place: Place) -> Any:
        if place not in self._balances:
            self._balances[place] = self._desk.balances[place].copy()
        return self._balances[place]

    def _brought(self, one: Correction) -> Iterator[tuple[Place, int, str]]:
        """What a trade brought and goes back, or comes besides if it is negative, and the bucket of what it brings."""
        instrument = self._desk.instruments[one.instrument]
        is_of_today = one.day == self._today
        units = "available" if instrument.resale_at_once or not is_of_today else "incoming"
        money = "available" if instrument.proceeds_at_once or not is_of_today else "incoming"
        yield (one.buyer, one.unit), one.quantity, units
        yield (one.seller, one.cash), one.turnover - one.seller_fee, money
        yield (self._house, one.cash), one.buyer_fee + one.seller_fee, money

    @staticmethod
    def _cost(one: Correction) -> Iterator[tuple[Place, int]]:
        """What a trade cost and comes back, or is still to be given if it is negative."""
        yield (one.buyer, one.cash), one.turnover + one.buyer_fee
        yield (one.seller, one.unit), one.quantity

    def _undo_waiting(self, one: Correction) -> None:
        for place, amount in self._cost(one):
            self._at(place).reserved -= amount
            self._at(place).available += amount
        for place, amount, bucket in self._brought(one):
            self._at(place).unsettled -= amount
            self._at(place)[bucket] -= amount

    def _undo_settled(self, one: Correction) -> None:
        for place, amount in self._cost(one):
            self._at(place).available += max(0, amount)
            self._given[place] += max(0, -amount)
        for place, amount, bucket in self._brought(one):
            self._at(place)[bucket] += max(0, -amount)
            self._taken_back[place] += max(0, amount)

    def missing(self) -> dict[Place, int]:
        """Take what is to be taken; what is lacking for it, by place."""
        lacking = {}
        for place, balance in self._balances.items():
            given, taken_back = self._given[place], self._taken_back[place]
            tied = brought(self._exchange, *place) if given or taken_back else 0
            too_much = given - holdings.withdrawable(balance)
            balance.available -= given
            gone = taken_back + tied - holdings.returnable(balance)
            missing = max(-balance.available, -balance.incoming, too_much, gone)
            if missing > 0:
                lacking[place] = int(missing)
            else:
                holdings.take_back(balance, taken_back)
        return lacking

    def settled(self) -> type_of_column:
        """Settled holdings, (accounts, assets), after the corrections."""
        after = holdings.settled(self._desk.balances)
        for place, balance in self._balances.items():
            after[place] = holdings.settled(balance)
        return after

    def keep(self) -> None:
        """The balances are so from now on."""
        for place, balance in self._balances.items():
            self._desk.balances[place] = balance


def _put_right(step: Step, corrections: list[Correction]) -> dict[int, int]:
    """Carry out corrections, all or none; returns the closing prices that follow. Refused if somebody lacks some."""
    exchange = step.exchange
    unwinding = _Unwinding(exchange, corrections)
    missing = unwinding.missing() or _missing_at_turns(exchange, corrections, unwinding)
    _require_nothing(exchange, missing, {one.cash for one in corrections})

    unwinding.keep()
    for one in corrections:
        exchange.clearing.corrections.add(one)
        _count_position(exchange, one)
    settled = [one for one in corrections if one.batch]
    _move_title(step, settled)
    for one in settled:
        _enter(exchange, one)
        _count_net_sales(exchange, one)
    _replace_waiting(exchange, corrections)
    _tell(step, corrections)
    return _work_out_again(exchange, corrections)


def _require_nothing(exchange: Exchange, missing: dict[Place, int], currencies: set[int]) -> None:
    """Refused if somebody lacks something, cash first."""
    for (account, asset), lacking in sorted(missing.items(), key=lambda item: item[0][1] not in currencies):
        is_cash = asset in currencies
        what = f"{money(lacking) if is_cash else f'{lacking} t'} {exchange.asset_names[asset]}"
        reason = Reason.INSUFFICIENT_CASH if is_cash else Reason.INSUFFICIENT_UNITS
        raise Refused(reason, f"{exchange.accounts[account].account_id} lacks {what} of what would go back")


def _missing_at_turns(exchange: Exchange, corrections: list[Correction], after: _Unwinding) -> dict[Place, int]:
    """Tonnes that sellers would lack when the trades that wait for a batch settle one after another, by place."""
    standing = {one.trade_id: one.after for one in corrections if not one.batch}
    if not standing:
        return {}
    held, trades = after.settled(), applied(exchange.trades_today(), standing)
    lacking = needed_at_turns(trades, exchange.terms, held.shape) - held
    return {(account, unit): int(lacking[account, unit]) for account, unit in np.argwhere(lacking > 0).tolist()}


def _count_position(exchange: Exchange, one: Correction) -> None:
    if exchange.path.desk.instruments[one.instrument].counts:
        exchange.path.desk.participants[one.buyer].position -= one.quantity
        exchange.path.desk.participants[one.seller].position += one.quantity


def _replace_waiting(exchange: Exchange, corrections: list[Correction]) -> None:
    """Rows that wait for their batch say what they should have said."""
    standing = {one.trade_id: one.after for one in corrections if not one.batch}
    exchange.unsettled_trades = [applied(exchange.trades_today(), standing)]


# ---------------------------------------------------------------- after settlement: title, statements, net sales


class _Move(msgspec.Struct):
    """Title of so many tonnes that is still to move because of a correction."""

    one: Correction
    giver: int
    taker: int
    quantity: int


def _move_title(step: Step, settled: list[Correction]) -> None:
    """Title follows the balances, newest trade first.

    Whoever gives on what it gets back in the same list waits for it. If at the end everybody waits for another, in a
    circle of people without a tonne, then what each gives is what it gets, and nothing moves.
    """
    moves = [
        _Move(one, *((one.buyer, one.seller) if one.quantity > 0 else (one.seller, one.buyer)), abs(one.quantity))
        for one in sorted(settled, key=lambda one: -one.trade_id)
    ]
    numbers = _Numbers(step.exchange.serials)
    while sum(_move(step, move, numbers) for move in moves if move.quantity):
        pass


def _move(step: Step, move: _Move, numbers: "_Numbers") -> int:
    """Move as much title as the giver has; how much it was."""
    one, serials = move.one, step.exchange.serials
    goes_back = move.giver == one.buyer
    possible = min(move.quantity, serials.held(move.giver, one.unit))
    cause = Cause.CORRECTED if goes_back else Cause.TRADED
    stamps = step.sequence, step.now_ns, cause, one.trade_id
    own = 0
    if goes_back:
        lasts = numbers.brought_by(one.trade_id, move.giver, one.unit)
        own = min(possible, sum(serials.at(one.unit, last).quantity for last in lasts))
        if own:
            moved = serials.transfer(one.unit, move.giver, move.taker, own, *stamps, among=lasts)
            lasts.difference_update(block.last for block in moved)
            numbers.note(move.taker, one.unit, moved)
    if possible > own:
        moved = serials.transfer(one.unit, move.giver, move.taker, possible - own, *stamps)
        numbers.forget(move.giver, one.unit)
        numbers.note(move.taker, one.unit, moved)
    move.quantity -= possible
    return possible


class _Numbers:
    """Which trade brought the numbers that somebody holds: looked at once, however long the list is."""

    def __init__(self, serials: Serials) -> None:
        self._serials = serials
        self._lasts: dict[Place, dict[int, set[int]]] = {}  # last numbers of blocks by trade, by holder and unit

    def brought_by(self, trade_id: int, holder: int, unit: int) -> set[int]:
        """The blocks that a trade brought somebody, by their last numbers."""
        if (holder, unit) not in self._lasts:
            self._lasts[holder, unit] = {}
            self.note(holder, unit, self._serials.of(holder, unit))
        return self._lasts[holder, unit].setdefault(trade_id, set())

    def note(self, holder: int, unit: int, blocks: list[Block]) -> None:
        """Somebody who was looked at holds these blocks."""
        lasts = self._lasts.get((holder, unit))
        if lasts is not None:
            for block in blocks:
                lasts.setdefault(brought_by(block), set()).add(block.last)

    def forget(self, holder: int, unit: int) -> None:
        """Somebody has given any of its blocks."""
        self._lasts.pop((holder, unit), None)


def brought_by(block: Block) -> int:
    """The trade that brought a block to its holder, what was undone since left aside; 0 if it was none."""
    undone: list[int] = []
    for movement in block.title:
        if movement.cause == Cause.CORRECTED:
            undone.append(movement.reference)
        elif movement.cause == Cause.TRADED and undone and undone[-1] == movement.reference:
            undone.pop()
        else:
            return movement.reference if movement.cause == Cause.TRADED and not undone else 0
    return 0


def _enter(exchange: Exchange, one: Correction) -> None:
    """What moved, for the statements: units, turnover and fees apart, as those of the trade were."""
    house = exchange.house
    moved = (
        (one.buyer, one.unit, -one.quantity),
        (one.buyer, one.cash, one.turnover),
        (one.buyer, one.cash, one.buyer_fee),
        (one.seller, one.unit, one.quantity),
        (one.seller, one.cash, -one.turnover),
        (one.seller, one.cash, one.seller_fee),
        (house, one.cash, -one.buyer_fee - one.seller_fee),
    )
    for account, asset, amount in moved:
        if amount:
            exchange.clearing.entries.append((account, Entry(asset, amount, one.cause, one.trade_id)))


def _count_net_sales(exchange: Exchange, one: Correction) -> None:
    """Sales count in the year in which they settled; so does what they were too large or too small."""
    if exchange.units[one.unit].species != Species.ALLOWANCE:
        return
    year = exchange.clearing.batches[one.batch - 1].day.year
    exchange.compliance.count_sale(one.seller, year, -one.quantity)
    exchange.compliance.count_sale(one.buyer, year, one.quantity)


# ---------------------------------------------------------------- what is said, and the figures of the day


def _tell(step: Step, corrections: list[Correction]) -> None:
    """An event row for each trade: the stream tells it to everybody, and to both parties."""
    rows = np.zeros(len(corrections), EVENT)
    ladder = step.exchange.path.desk.ladder
    for row, one in zip(rows, corrections, strict=True):
        said = one.before if one.is_bust else one.after
        row.sequence = step.sequence
        row.kind = EventKind.TRADE_BUSTED if one.is_bust else EventKind.TRADE_CORRECTED
        row.trade_id, row.instrument, row.side = one.trade_id, one.instrument, Side.BUY
        row.price_ticks, row.quantity = said.price_ticks, said.quantity
        row.order_id, row.account = one.buy_order_id, one.buyer
        row.maker_order_id, row.maker_account = one.sell_order_id, one.seller
        row.leaves, row.maker_leaves = (_leaves(ladder, order_id) for order_id in (one.buy_order_id, one.sell_order_id))
    step.say_events(rows)


def _leaves(ladder: book_of.Ladder, order_id: int) -> int:
    """What an order has still to trade; 0 if it rests no more, or there was none."""
    if not order_id or not book_of.is_resting(ladder, order_id):
        return 0
    order = ladder.orders[ladder.slot_of[order_id - int(ladder.pool[0].first_order_id)]]
    return int(order.shown + order.hidden)


def _work_out_again(exchange: Exchange, corrections: list[Correction]) -> dict[int, int]:
    """Volume and turnover of the days concerned, last and closing prices of this one; returns the closing prices.

    Of trades in the book: a deal that came due was never in the market's figures.
    """
    corrections = [one for one in corrections if one.buy_order_id]
    if not corrections:
        return {}
    volumes: Counter[tuple[date, int]] = Counter()
    turnovers: Counter[tuple[date, int]] = Counter()
    for one in corrections:
        volumes[one.day, one.instrument] += one.quantity
        turnovers[one.day, one.instrument] += one.turnover
    first = min(one.day for one in corrections)
    for place in range(len(exchange.days) - 1, -1, -1):
        figures = exchange.days[place]
        if figures.date < first:
            break
        key = figures.date, figures.instrument
        if key in volumes:
            exchange.days[place] = msgspec.structs.replace(
                figures, volume=figures.volume - volumes[key], turnover=figures.turnover - turnovers[key]
            )
    assert exchange.date is not None
    if exchange.clearing.of_day(exchange.date):
        return {}
    return _reprice(exchange, sorted({one.instrument for one in corrections if one.day == exchange.date}))


def _reprice(exchange: Exchange, numbers: list[int]) -> dict[int, int]:
    """Last prices from the trades of today as they stand, and after the close closing prices too."""
    assert exchange.date is not None
    trades, closes = exchange.trades_today(), {}
    for number in numbers:
        own = trades[trades["instrument"] == number]
        listed, previous = exchange.instruments[number], exchange.instruments[number].close_ticks
        if exchange.phase == Phase.CLOSED:
            place = next(
                place for place in range(len(exchange.days) - 1, -1, -1) if exchange.days[place].instrument == number
            )
            previous = exchange.days[place].previous_ticks
            rule = exchange.market.closing_rule(exchange.date)
            closes[number] = closing_price_ticks(rule, own["price_ticks"], own["quantity"], previous)
            listed.close_ticks = closes[number]
            exchange.days[place] = msgspec.structs.replace(exchange.days[place], close_ticks=closes[number])
        last = int(own["price_ticks"][-1]) if own.size else previous
        exchange.path.desk.instruments[number].last_ticks = last
    return closes
