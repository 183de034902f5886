"""The market: founding, listings, and the steps of its day."""

from typing import assert_never

import numpy as np

from exchange import events as happened
from exchange.client_orders import ClientOrders
from exchange.commands import (
    BreakSession,
    CancelOrders,
    CloseSession,
    FoundExchange,
    HaltTrading,
    ListInstrument,
    MarketCommand,
    OpenAccount,
    OpenCall,
    OpenDay,
    RegisterCurrency,
    ResumeTrading,
    StartTrading,
    day_number,
)
from exchange.desk import ALWAYS
from exchange.fees import set_fees
from exchange.instruments import INSTRUMENT, UNLIMITED_TICKS, ticks_of
from exchange.reasons import Reason, Refused
from exchange.rows import EVENT, EventKind
from exchange.sessions import Phase, opening_ns
from exchange.state import DayFigures, Exchange
from exchange.transition.registry import open_account
from exchange.transition.step import HOUSE, RESERVE, Step, account_named, currency_named, fit_balances, require
from matching import ladder as book_of
from matching.auction import uncrossing
from matching.orders import EITHER_SIDE, Side
from matching.pricing import closing_price_ticks
from registry import holdings
from registry.accounts import AccountStatus, ParticipantClass
from registry.units import Species
from settlement.statements import CASH


def handle(step: Step, command: MarketCommand) -> happened.MarketEvent:
    match command:
        case FoundExchange():
            return found_exchange(step, command)
        case RegisterCurrency():
            return register_currency(step, command)
        case ListInstrument():
            return list_instrument(step, command)
        case OpenDay():
            return open_day(step, command)
        case OpenCall():
            return open_call(step)
        case StartTrading():
            return start_trading(step)
        case HaltTrading():
            return halt_trading(step, command)
        case ResumeTrading():
            return resume_trading(step, command)
        case BreakSession():
            return break_session(step)
        case CancelOrders():
            return cancel_orders(step, command)
        case CloseSession():
            return close_session(step)
        case _:
            assert_never(command)


def found_exchange(step: Step, command: FoundExchange) -> happened.ExchangeFounded:
    exchange = step.exchange
    require(exchange.rules is None, Reason.ALREADY_FOUNDED, "the exchange has its rule set")

    exchange.rules = command.rules
    exchange.currencies[command.rules.currency] = CASH
    for factor in command.rules.emission_factors:
        exchange.emissions.factors.publish(
            factor.name, factor.value, factor.unit, factor.valid_from_year, factor.source
        )
    house = open_account(step, OpenAccount(HOUSE, command.rules.title, ParticipantClass.MARKET_OPERATOR)).account
    exchange.path.desk.progress[0].house = house.number
    if command.rules.settlement.reserve is not None:
        _open_reserve(step)
    return happened.ExchangeFounded(command.rules.name)


def _open_reserve(step: Step) -> None:
    """The risk reserve: an operator's account that nobody acts for; only the clearing house moves what it holds."""
    reserve = open_account(step, OpenAccount(RESERVE, "Settlement risk reserve", ParticipantClass.MARKET_OPERATOR))
    step.exchange.accounts.change_status(reserve.account, AccountStatus.RESTRICTED, "moved by the clearing house alone")


def register_currency(step: Step, command: RegisterCurrency) -> happened.CurrencyRegistered:
    exchange, code = step.exchange, command.code
    require(code not in exchange.units.by_code, Reason.INSTRUMENT_EXISTS, f"{code} is a unit")
    require(code not in exchange.currencies, Reason.CURRENCY_EXISTS, f"currency {code} is registered already")

    asset = exchange.currencies[code] = exchange.units.pass_over()
    fit_balances(exchange)
    return happened.CurrencyRegistered(code, asset)


def list_instrument(step: Step, command: ListInstrument) -> happened.InstrumentListed:
    exchange = step.exchange
    symbol = command.symbol
    cash = currency_named(exchange, command.currency)
    require(
        symbol not in exchange.instruments.by_symbol,
        Reason.INSTRUMENT_EXISTS,
        f"instrument {symbol!r} is listed already",
    )
    require(symbol not in exchange.currencies, Reason.CURRENCY_EXISTS, f"{symbol} is a currency")
    require(exchange.phase == Phase.CLOSED, Reason.WRONG_PHASE, "instruments are listed while the market is closed")
    rules = exchange.market
    opening_ticks = command.opening_ticks
    if opening_ticks is None:
        by_rules = rules.opening_price if cash == CASH else None
        opening_ticks = ticks_of(by_rules, rules.tick_size) if by_rules else 0
        require(opening_ticks > 0 or not rules.price_bands, Reason.PRICE_NOT_POSITIVE, "bands need an opening price")
    else:
        require(opening_ticks > 0, Reason.PRICE_NOT_POSITIVE, "the opening price must be positive")
    known = exchange.units.by_code.get(symbol)
    fits = known is None or (known.species, known.vintage) == (command.species, command.vintage)
    require(fits, Reason.NOT_ELIGIBLE, f"unit {symbol!r} is registered with another species or vintage")
    require(opening_ticks < book_of.PRICE_MAX_TICKS, Reason.PRICE_OUT_OF_RANGE, "the opening price is too high")

    unit = known or exchange.units.register(symbol, command.species, command.vintage)
    instrument = exchange.instruments.list(symbol, unit.number, rules.tick_size, cash)
    instrument.close_ticks = opening_ticks
    fit_balances(exchange)
    desk = exchange.path.desk
    rows = np.zeros(instrument.number + 1, INSTRUMENT)
    rows[:-1] = desk.instruments
    rows[instrument.number].last_ticks = opening_ticks
    rows[instrument.number].asset = unit.number
    rows[instrument.number].cash = cash
    rows[instrument.number].fen_per_tick = rules.fen_per_tick
    rows[instrument.number].lot = rules.lot
    rows[instrument.number].self_trade = rules.self_trade_rule
    rows[instrument.number].resale_at_once = rules.resale_lag_days == 0
    rows[instrument.number].proceeds_at_once = rules.proceeds_usable_same_day
    rows[instrument.number].counts = unit.species == Species.ALLOWANCE
    exchange.path.desk = desk._replace(instruments=rows, ladder=book_of.with_instrument(desk.ladder))
    return happened.InstrumentListed(symbol, unit.number, instrument.close_ticks)


def _set_phase(exchange: Exchange, phase: Phase) -> None:
    exchange.phase = phase
    for instrument in exchange.instruments:
        halted = instrument.number in exchange.halts and phase in (Phase.CALL, Phase.CONTINUOUS)
        exchange.path.desk.instruments[instrument.number].phase = Phase.HALTED if halted else phase


def _phase(exchange: Exchange, number: int) -> Phase:
    return Phase(int(exchange.path.desk.instruments[number].phase))


def open_day(step: Step, command: OpenDay) -> happened.DayOpened:
    exchange = step.exchange
    require(exchange.phase == Phase.CLOSED, Reason.WRONG_PHASE, f"the day {exchange.date} is still open")
    require(exchange.is_settled, Reason.DAY_NOT_SETTLED, f"the day {exchange.date} has not been settled")
    later = exchange.date is None or command.date > exchange.date
    require(later, Reason.DATE_NOT_LATER, f"the last trading day was {exchange.date}")
    fits = 0 < day_number(command.date) < ALWAYS
    require(fits, Reason.INVALID_DATE, f"orders cannot carry the day {command.date}")

    rules, desk = exchange.market, exchange.path.desk
    exchange.date, exchange.session = command.date, 0
    exchange.clearing.close_objections(step.now_ns, opening_ns(exchange.market, command.date))
    exchange.is_interrupted = False
    exchange.client_orders = ClientOrders()
    holdings.make_incoming_available(desk.balances)
    before = desk.participants.copy()
    set_fees(exchange, *exchange.accounts)
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
    step.say_events(exchange.path.carry_over(step.row, before))
    _set_phase(exchange, Phase.PRE_OPEN)
    return happened.DayOpened(command.date)


def open_call(step: Step) -> happened.CallOpened:
    exchange = step.exchange
    callable_from = exchange.phase in (Phase.PRE_OPEN, Phase.BREAK, Phase.CONTINUOUS)
    require(callable_from, Reason.WRONG_PHASE, f"no call auction opens from {exchange.phase.label}")
    assert exchange.date is not None

    exchange.is_interrupted = exchange.phase == Phase.CONTINUOUS
    _set_phase(exchange, Phase.CALL)
    return happened.CallOpened(exchange.date)


def start_trading(step: Step) -> happened.TradingStarted:
    exchange = step.exchange
    startable = exchange.phase in (Phase.PRE_OPEN, Phase.BREAK, Phase.CALL)
    require(startable, Reason.WRONG_PHASE, f"trading does not start from {exchange.phase.label}")

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


def halt_trading(step: Step, command: HaltTrading) -> happened.TradingHalted:
    exchange = step.exchange
    halted = [number for number in _named(exchange, command.symbol) if number not in exchange.halts]
    require(bool(halted), Reason.ALREADY_HALTED, "there is nothing left to halt")

    exchange.halts.update(dict.fromkeys(halted, command.reason))
    _set_phase(exchange, exchange.phase)
    return happened.TradingHalted(halted, command.reason)


def resume_trading(step: Step, command: ResumeTrading) -> happened.TradingResumed:
    exchange = step.exchange
    resumed = [number for number in _named(exchange, command.symbol) if number in exchange.halts]
    require(bool(resumed), Reason.NOT_HALTED, "there is no halt to end")

    for number in resumed:
        del exchange.halts[number]
    _set_phase(exchange, exchange.phase)
    uncrossed = resumed if exchange.phase == Phase.CONTINUOUS else []
    return happened.TradingResumed(resumed, command.reason, _uncross(exchange, step, uncrossed))


def break_session(step: Step) -> happened.SessionBroken:
    exchange = step.exchange
    require(exchange.phase == Phase.CONTINUOUS, Reason.WRONG_PHASE, "there is no trading to break")

    _set_phase(exchange, Phase.BREAK)
    return happened.SessionBroken(exchange.session)


def cancel_orders(step: Step, command: CancelOrders) -> happened.OrdersCancelled:
    exchange = step.exchange
    account = account_named(exchange, command.account_id).number
    require(exchange.phase != Phase.CLOSED, Reason.MARKET_CLOSED, "the market is closed")

    reason = int(command.cause.reason)
    cancelled = exchange.path.suspend(step.row, account, reason)
    end = np.zeros(1, EVENT)  # as that of a mass cancel which its owner asks for
    end["sequence"], end["kind"], end["account"] = step.sequence, EventKind.ORDERS_CANCELLED, account
    end["side"], end["quantity"], end["reason"] = EITHER_SIDE, cancelled.size, reason
    step.say_events(cancelled)
    step.say_events(end)
    return happened.OrdersCancelled(account, command.cause, cancelled.size)


def close_session(step: Step) -> happened.SessionClosed:
    exchange = step.exchange
    require(exchange.phase != Phase.CLOSED, Reason.WRONG_PHASE, "the market is closed")
    assert exchange.date is not None

    called = [listed.number for listed in exchange.instruments if _phase(exchange, listed.number) == Phase.CALL]
    auctions = _uncross(exchange, step, called)
    step.say_events(exchange.path.expire(step.row))
    _set_phase(exchange, Phase.CLOSED)
    rule = exchange.market.closing_rule(exchange.date)
    trades = exchange.trades_today()
    for instrument in exchange.instruments:
        own = trades["instrument"] == instrument.number
        price_ticks, quantity = trades["price_ticks"][own], trades["quantity"][own]
        previous = instrument.close_ticks
        instrument.close_ticks = closing_price_ticks(rule, price_ticks, quantity, previous)
        turnover = int((price_ticks * quantity).sum()) * exchange.market.fen_per_tick
        volume = int(quantity.sum())
        exchange.days.append(
            DayFigures(exchange.date, instrument.number, volume, turnover, instrument.close_ticks, previous)
        )
    closes = {instrument.number: instrument.close_ticks for instrument in exchange.instruments}
    return happened.SessionClosed(exchange.date, closes, auctions)
