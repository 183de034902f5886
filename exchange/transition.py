"""apply(exchange, batch): the only door through which state changes.

Rows of the trading path go to the compiled loop in one run; every other command has a handler below.
A handler first lists what could stop it, one to a line, in the order of `Reason`, by raising `Refused`;
after that it must succeed. A refused command leaves nothing behind.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from exchange import events as happened
from exchange.commands import (
    BreakSession,
    CloseSession,
    Control,
    DepositCash,
    FoundExchange,
    HaltTrading,
    IssueUnits,
    ListInstrument,
    OpenAccount,
    OpenCall,
    OpenDay,
    ResumeTrading,
    SettleDay,
    StartTrading,
    TransferUnits,
    WithdrawCash,
    day_number,
    decode_control,
)
from exchange.desk import PARTICIPANT
from exchange.instruments import INSTRUMENT, UNLIMITED_TICKS, ticks_of
from exchange.journal import Batch
from exchange.reasons import Reason, Refused
from exchange.rows import COMMAND, EVENT, TRADE, CommandKind, EventKind, joined, type_of_rows
from exchange.sessions import Phase
from exchange.state import CASH_MAX, UNITS_MAX, Exchange
from exchange.trading import Written
from matching import ladder as book_of
from matching.auction import uncrossing
from matching.orders import Side
from matching.pricing import closing_price_ticks
from registry import holdings
from registry.accounts import Account, ParticipantClass
from registry.units import Unit
from settlement import batch as settlement_batch
from settlement.clearing import obligations
from settlement.statements import CASH, Entry, statements, trade_entries

HOUSE = "EXCHANGE"  # the market operator's own account, which earns the fees


@dataclass
class Outcome:
    """What a batch made happen: event rows and trade rows of the trading path, events of the rest."""

    rows: type_of_rows = field(default_factory=lambda: np.zeros(0, EVENT))
    trades: type_of_rows = field(default_factory=lambda: np.zeros(0, TRADE))
    events: dict[int, happened.Event] = field(default_factory=dict)  # by sequence of the command

    def __add__(self, later: "Outcome") -> "Outcome":
        return Outcome(
            joined([self.rows, later.rows]),
            joined([self.trades, later.trades]),
            self.events | later.events,
        )


def apply(exchange: Exchange, batch: Batch) -> Outcome:
    """Apply a batch of stamped commands in order."""
    rows, trades = [np.zeros(0, EVENT)], [np.zeros(0, TRADE)]
    outcome = Outcome()
    for start, end in _stretches(batch.rows):
        stretch = batch.rows[start:end]
        if stretch[0].kind == CommandKind.CONTROL:
            step = Step(exchange, stretch)
            outcome.events[step.sequence] = _apply_control(step, batch.details[start])
            rows.extend(step.rows)
            trades.extend(step.trades)
            exchange.sequence, exchange.now_ns = step.sequence, int(stretch[0].now_ns)
        else:
            last = stretch[-1]
            new_rows, new_trades = apply_rows(exchange, stretch, int(last.sequence), int(last.now_ns))
            _remember_client_orders(exchange, stretch, batch.details[start:end], new_rows)
            rows.append(new_rows)
            trades.append(new_trades)
    outcome.rows, outcome.trades = joined(rows), joined(trades)
    return outcome


def apply_rows(exchange: Exchange, rows: type_of_rows, sequence: int, now_ns: int) -> Written:
    """Apply rows of the trading path, the last of them stamped so; returns event rows and trade rows."""
    written = _noted(exchange, exchange.path.run(rows))
    exchange.sequence, exchange.now_ns = sequence, now_ns
    return written


def _noted(exchange: Exchange, written: Written) -> Written:
    """Trades wait for settlement from the moment they happen."""
    if written[1].size:
        exchange.unsettled_trades.append(written[1])
    return written


@dataclass
class Step:
    """A command off the trading path at work, and what it makes the trading path write."""

    exchange: Exchange
    row: type_of_rows  # (1,) COMMAND
    rows: list[type_of_rows] = field(default_factory=list)
    trades: list[type_of_rows] = field(default_factory=list)

    @property
    def sequence(self) -> int:
        return int(self.row[0].sequence)

    def say(self, written: Written) -> None:
        """Event rows and trade rows that the command causes."""
        events, trades = _noted(self.exchange, written)
        self.rows.append(events)
        self.trades.append(trades)

    def say_events(self, events: type_of_rows) -> None:
        """Event rows without trades."""
        self.rows.append(events)


def _stretches(rows: type_of_rows) -> Iterator[tuple[int, int]]:
    """Cut a batch into single CONTROL rows and unbroken stretches of trading rows."""
    start = 0
    for index in np.flatnonzero(rows["kind"] == CommandKind.CONTROL).tolist():
        if start < index:
            yield start, index
        yield index, index + 1
        start = index + 1
    if start < rows.size:
        yield start, rows.size


def _remember_client_orders(
    exchange: Exchange, rows: type_of_rows, details: list[bytes], new_rows: type_of_rows
) -> None:
    """Accepted orders' client order ids; a refused one may be used again."""
    if not any(details):
        return
    accepted = set(new_rows["sequence"][new_rows["kind"] == EventKind.ACCEPTED].tolist())
    for row, client_order_id in zip(rows, details, strict=True):
        if client_order_id and int(row.sequence) in accepted:
            exchange.client_orders[int(row.account), client_order_id] = (int(row.sequence), content_of(row))


def content_of(row: np.record) -> bytes:
    """What an order asks for, without its stamps: equal for a retry, different for another order."""
    return b"".join(row[name].tobytes() for name in COMMAND.names or () if name not in ("sequence", "now_ns"))


def _apply_control(step: Step, detail: bytes) -> happened.Event:
    command = decode_control(detail)
    try:
        if step.exchange.rules is None and not isinstance(command, FoundExchange):
            raise AssertionError("the first command of a journal founds the exchange")
        return _handle(step.exchange, command, step)
    except Refused as refused:
        return happened.CommandRefused(refused.reason, refused.detail)


def _handle(exchange: Exchange, command: Control, step: Step) -> happened.Event:
    match command:
        case FoundExchange():
            return found_exchange(exchange, command)
        case OpenAccount():
            return open_account(exchange, command)
        case ListInstrument():
            return list_instrument(exchange, command)
        case DepositCash():
            return deposit_cash(exchange, command, step.sequence)
        case WithdrawCash():
            return withdraw_cash(exchange, command, step.sequence)
        case IssueUnits():
            return issue_units(exchange, command, step.sequence)
        case TransferUnits():
            return transfer_units(exchange, command)
        case OpenDay():
            return open_day(exchange, command, step)
        case OpenCall():
            return open_call(exchange)
        case StartTrading():
            return start_trading(exchange, step)
        case HaltTrading():
            return halt_trading(exchange, command)
        case ResumeTrading():
            return resume_trading(exchange, command, step)
        case BreakSession():
            return break_session(exchange)
        case CloseSession():
            return close_session(exchange, step)
        case SettleDay():
            return settle_day(exchange)
        case _:
            assert_never(command)


def _require(condition: bool, reason: Reason, detail: str) -> None:
    if not condition:
        raise Refused(reason, detail)


def _account(exchange: Exchange, account_id: str) -> Account:
    account = exchange.accounts.by_id.get(account_id)
    if account is None:
        raise Refused(Reason.UNKNOWN_ACCOUNT, f"no account {account_id!r}")
    return account


def _unit(exchange: Exchange, code: str) -> Unit:
    unit = exchange.units.by_code.get(code)
    if unit is None:
        raise Refused(Reason.UNKNOWN_UNIT, f"no unit {code!r}")
    return unit


# ---------------------------------------------------------------- founding and membership


def found_exchange(exchange: Exchange, command: FoundExchange) -> happened.ExchangeFounded:
    _require(exchange.rules is None, Reason.ALREADY_FOUNDED, "the exchange has its rule set")

    exchange.rules = command.rules
    house = open_account(exchange, OpenAccount(HOUSE, command.rules.title, ParticipantClass.MARKET_OPERATOR)).account
    exchange.path.desk.progress[0].house = house.number
    return happened.ExchangeFounded(command.rules.name)


def open_account(exchange: Exchange, command: OpenAccount) -> happened.AccountOpened:
    taken = command.account_id in exchange.accounts.by_id
    _require(not taken, Reason.ACCOUNT_EXISTS, f"account {command.account_id!r} is open already")

    account = exchange.accounts.open(
        command.account_id, command.name, command.participant_class, command.beneficial_owner
    )
    _fit_balances(exchange)
    desk = exchange.path.desk
    participants = np.zeros(account.number + 1, PARTICIPANT)
    participants[:-1] = desk.participants
    participants[account.number].group = account.group
    participants[account.number].may_trade = account.participant_class.may_trade
    exchange.path.desk = desk._replace(participants=participants)
    return happened.AccountOpened(account)


def list_instrument(exchange: Exchange, command: ListInstrument) -> happened.InstrumentListed:
    symbol = command.symbol
    _require(
        symbol not in exchange.instruments.by_symbol,
        Reason.INSTRUMENT_EXISTS,
        f"instrument {symbol!r} is listed already",
    )
    _require(exchange.phase == Phase.CLOSED, Reason.WRONG_PHASE, "instruments are listed while the market is closed")
    rules = exchange.market
    opening_ticks = command.opening_ticks
    if opening_ticks is None:
        opening_ticks = ticks_of(rules.opening_price, rules.tick_size) if rules.opening_price else 0
        _require(opening_ticks > 0 or not rules.price_bands, Reason.PRICE_NOT_POSITIVE, "bands need an opening price")
    else:
        _require(opening_ticks > 0, Reason.PRICE_NOT_POSITIVE, "the opening price must be positive")
    _require(opening_ticks < book_of.PRICE_MAX_TICKS, Reason.PRICE_OUT_OF_RANGE, "the opening price is too high")

    unit = exchange.units.register(symbol, command.species, command.vintage)
    instrument = exchange.instruments.list(symbol, unit.number, rules.tick_size)
    instrument.close_ticks = opening_ticks
    _fit_balances(exchange)
    desk = exchange.path.desk
    rows = np.zeros(instrument.number + 1, INSTRUMENT)
    rows[:-1] = desk.instruments
    rows[instrument.number].last_ticks = opening_ticks
    rows[instrument.number].asset = unit.number
    rows[instrument.number].fen_per_tick = rules.fen_per_tick
    rows[instrument.number].lot = rules.lot
    rows[instrument.number].self_trade = rules.self_trade_rule
    rows[instrument.number].resale_at_once = rules.resale_lag_days == 0
    rows[instrument.number].proceeds_at_once = rules.proceeds_usable_same_day
    exchange.path.desk = desk._replace(instruments=rows, ladder=book_of.with_instrument(desk.ladder))
    return happened.InstrumentListed(symbol, unit.number, instrument.close_ticks)


def _fit_balances(exchange: Exchange) -> None:
    desk = exchange.path.desk
    balances = holdings.with_room(desk.balances, len(exchange.accounts), len(exchange.units))
    exchange.path.desk = desk._replace(balances=balances)


# ---------------------------------------------------------------- cash and units


def deposit_cash(exchange: Exchange, command: DepositCash, sequence: int) -> happened.CashDeposited:
    account = _account(exchange, command.account_id)
    _require(command.amount > 0, Reason.AMOUNT_NOT_POSITIVE, "a deposit must be positive")
    _require(
        exchange.cash_deposited + command.amount <= CASH_MAX, Reason.AMOUNT_TOO_LARGE, "more cash than can be booked"
    )

    exchange.cash_deposited += command.amount
    exchange.path.desk.balances[account.number, CASH].available += command.amount
    exchange.entries.append((account.number, Entry(CASH, command.amount, "deposit", sequence)))
    return happened.CashDeposited(account.number, command.amount)


def withdraw_cash(exchange: Exchange, command: WithdrawCash, sequence: int) -> happened.CashWithdrawn:
    account = _account(exchange, command.account_id)
    _require(command.amount > 0, Reason.AMOUNT_NOT_POSITIVE, "a withdrawal must be positive")
    balance = exchange.path.desk.balances[account.number, CASH]
    free = holdings.withdrawable(balance)
    _require(command.amount <= free, Reason.INSUFFICIENT_CASH, f"{free} fen are settled and available")

    exchange.cash_withdrawn += command.amount
    balance.available -= command.amount
    exchange.entries.append((account.number, Entry(CASH, -command.amount, "withdrawal", sequence)))
    return happened.CashWithdrawn(account.number, command.amount)


def issue_units(exchange: Exchange, command: IssueUnits, sequence: int) -> happened.UnitsIssued:
    account = _account(exchange, command.account_id)
    unit = _unit(exchange, command.unit)
    _require(command.quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "an issuance must be positive")
    _require(unit.issued + command.quantity <= UNITS_MAX, Reason.AMOUNT_TOO_LARGE, "more units than can be numbered")

    unit.issued += command.quantity
    block = exchange.serials.issue(unit.number, account.number, command.quantity, command.origin)
    exchange.path.desk.balances[account.number, unit.number].registry += command.quantity
    exchange.entries.append((account.number, Entry(unit.number, command.quantity, "issuance", sequence)))
    return happened.UnitsIssued(block)


def transfer_units(exchange: Exchange, command: TransferUnits) -> happened.UnitsTransferred:
    account = _account(exchange, command.account_id)
    unit = _unit(exchange, command.unit)
    _require(command.quantity > 0, Reason.QUANTITY_NOT_POSITIVE, "a transfer must be positive")
    balance = exchange.path.desk.balances[account.number, unit.number]
    free = int(balance.registry) if command.to_trading else holdings.withdrawable(balance)
    _require(command.quantity <= free, Reason.INSUFFICIENT_UNITS, f"{free} t can be transferred")

    signed = command.quantity if command.to_trading else -command.quantity
    balance.registry -= signed
    balance.available += signed
    return happened.UnitsTransferred(account.number, unit.number, command.quantity, command.to_trading)


# ---------------------------------------------------------------- the trading day


def _set_phase(exchange: Exchange, phase: Phase) -> None:
    exchange.phase = phase
    for instrument in exchange.instruments:
        halted = instrument.number in exchange.halts and phase in (Phase.CALL, Phase.CONTINUOUS)
        exchange.path.desk.instruments[instrument.number].phase = Phase.HALTED if halted else phase


def _phase(exchange: Exchange, number: int) -> Phase:
    return Phase(int(exchange.path.desk.instruments[number].phase))


def open_day(exchange: Exchange, command: OpenDay, step: Step) -> happened.DayOpened:
    _require(exchange.phase == Phase.CLOSED, Reason.WRONG_PHASE, f"the day {exchange.date} is still open")
    _require(exchange.is_settled, Reason.DAY_NOT_SETTLED, f"the day {exchange.date} has not been settled")
    later = exchange.date is None or command.date > exchange.date
    _require(later, Reason.DATE_NOT_LATER, f"the last trading day was {exchange.date}")

    rules, desk = exchange.market, exchange.path.desk
    exchange.date, exchange.session, exchange.is_settled = command.date, 0, False
    exchange.is_interrupted = False
    exchange.client_orders.clear()
    holdings.make_incoming_available(desk.balances)
    before = desk.instruments.copy()
    buyer_ppm, seller_ppm = rules.fee_ppm(command.date)
    for instrument in exchange.instruments:
        row = desk.instruments[instrument.number]
        row.today = day_number(command.date)
        row.execution_price = rules.execution_price_on(command.date)
        row.carries_over = rules.carry_over_on(command.date)
        row.last_ticks = instrument.close_ticks
        row.band_low_ticks, row.band_high_ticks = rules.band_ticks(command.date, instrument.close_ticks) or (
            1,
            UNLIMITED_TICKS,
        )
        row.buyer_fee_ppm, row.seller_fee_ppm = buyer_ppm, seller_ppm
    step.say_events(exchange.path.carry_over(step.row, before))
    _set_phase(exchange, Phase.PRE_OPEN)
    return happened.DayOpened(command.date)


def open_call(exchange: Exchange) -> happened.CallOpened:
    callable_from = exchange.phase in (Phase.PRE_OPEN, Phase.BREAK, Phase.CONTINUOUS)
    _require(callable_from, Reason.WRONG_PHASE, f"no call auction opens from {exchange.phase.label}")
    assert exchange.date is not None

    exchange.is_interrupted = exchange.phase == Phase.CONTINUOUS
    _set_phase(exchange, Phase.CALL)
    return happened.CallOpened(exchange.date)


def start_trading(exchange: Exchange, step: Step) -> happened.TradingStarted:
    startable = exchange.phase in (Phase.PRE_OPEN, Phase.BREAK, Phase.CALL)
    _require(startable, Reason.WRONG_PHASE, f"trading does not start from {exchange.phase.label}")

    if not exchange.is_interrupted:
        exchange.session += 1
    exchange.is_interrupted = False
    _set_phase(exchange, Phase.CONTINUOUS)
    trading = [listed.number for listed in exchange.instruments if listed.number not in exchange.halts]
    return happened.TradingStarted(exchange.session, _uncross(exchange, step, trading))


def _uncross(exchange: Exchange, step: Step, numbers: list[int]) -> list[happened.Auction]:
    """Hold the auction of each of these instruments whose book is crossed; where trading goes on, stops follow."""
    path, auctions = exchange.path, []
    for number in numbers:
        bids, asks = (book_of.depth(path.desk.ladder, book_of.queue_index(number, side)) for side in Side)
        found = uncrossing(bids, asks, int(path.desk.instruments[number].last_ticks))
        if found is None:
            continue
        auctions.append(happened.Auction(number, found.price_ticks, found.volume, found.imbalance))
        step.say(path.uncross(step.row, number, found.price_ticks, found.volume))
        if path.desk.instruments[number].phase == Phase.CONTINUOUS:
            step.say(path.trigger(step.row, number, found.price_ticks))
    return auctions


def _named(exchange: Exchange, symbol: str | None) -> list[int]:
    """Number of one instrument, or of all."""
    if symbol is None:
        return [listed.number for listed in exchange.instruments]
    listed = exchange.instruments.by_symbol.get(symbol)
    if listed is None:
        raise Refused(Reason.UNKNOWN_INSTRUMENT, f"no instrument {symbol!r}")
    return [listed.number]


def halt_trading(exchange: Exchange, command: HaltTrading) -> happened.TradingHalted:
    halted = [number for number in _named(exchange, command.symbol) if number not in exchange.halts]
    _require(bool(halted), Reason.ALREADY_HALTED, "there is nothing left to halt")

    exchange.halts.update(dict.fromkeys(halted, command.reason))
    _set_phase(exchange, exchange.phase)
    return happened.TradingHalted(halted, command.reason)


def resume_trading(exchange: Exchange, command: ResumeTrading, step: Step) -> happened.TradingResumed:
    resumed = [number for number in _named(exchange, command.symbol) if number in exchange.halts]
    _require(bool(resumed), Reason.NOT_HALTED, "there is no halt to end")

    for number in resumed:
        del exchange.halts[number]
    _set_phase(exchange, exchange.phase)
    uncrossed = resumed if exchange.phase == Phase.CONTINUOUS else []
    return happened.TradingResumed(resumed, command.reason, _uncross(exchange, step, uncrossed))


def break_session(exchange: Exchange) -> happened.SessionBroken:
    _require(exchange.phase == Phase.CONTINUOUS, Reason.WRONG_PHASE, "there is no trading to break")

    _set_phase(exchange, Phase.BREAK)
    return happened.SessionBroken(exchange.session)


def close_session(exchange: Exchange, step: Step) -> happened.SessionClosed:
    _require(exchange.phase != Phase.CLOSED, Reason.WRONG_PHASE, "the market is closed")
    assert exchange.date is not None

    called = [listed.number for listed in exchange.instruments if _phase(exchange, listed.number) == Phase.CALL]
    auctions = _uncross(exchange, step, called)
    step.say_events(exchange.path.expire(step.row))
    _set_phase(exchange, Phase.CLOSED)
    rule = exchange.market.closing_rule(exchange.date)
    trades = exchange.trades_today()
    for instrument in exchange.instruments:
        own = trades[trades["instrument"] == instrument.number]
        instrument.close_ticks = closing_price_ticks(rule, own["price_ticks"], own["quantity"], instrument.close_ticks)
    closes = {instrument.number: instrument.close_ticks for instrument in exchange.instruments}
    return happened.SessionClosed(exchange.date, closes, auctions)


def settle_day(exchange: Exchange) -> happened.DaySettled:
    _require(exchange.phase == Phase.CLOSED, Reason.WRONG_PHASE, "settlement follows the close")
    _require(not exchange.is_settled, Reason.DAY_ALREADY_SETTLED, f"the day {exchange.date} is settled")

    desk, day = exchange.path.desk, str(exchange.date)
    trades = exchange.trades_today()
    house = int(desk.progress[0].house)
    owed = obligations(trades, desk.instruments["asset"], desk.instruments["fen_per_tick"])
    moves = settlement_batch.movements(owed, desk.balances.shape, house)
    assert (desk.balances["reserved"] >= moves.delivered).all(), "an obligation is not backed by a reservation"
    assert (desk.balances["unsettled"] >= moves.received).all(), "a claim was not booked when it arose"

    desk.balances["reserved"] -= moves.delivered
    desk.balances["unsettled"] -= moves.received
    settlement_batch.move_title(owed, exchange.serials.transfer)
    entries = [*exchange.entries, *trade_entries(owed, trades["trade_id"], house)]
    closing = holdings.settled(desk.balances)
    opening = np.zeros_like(closing)
    opening[: exchange.opening.shape[0], : exchange.opening.shape[1]] = exchange.opening
    days_statements = statements(day, opening, iter(entries), closing)
    for statement in days_statements:
        statement.check()
    exchange.opening, exchange.entries = closing, []
    exchange.unsettled_trades, exchange.is_settled = [], True
    return happened.DaySettled(settlement_batch.report(day, owed), days_statements)
