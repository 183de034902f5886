"""The market: instruments, book, trades, and the operator's verbs over the trading day."""

from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query

from api import views
from api.candles import Interval, candles
from api.gateway import TheGateway
from api.inbox import happened
from api.paging import ThePage
from api.problems import RESPONSES, Problem
from api.schemas import (
    AuctionView,
    BookView,
    CandleView,
    CheckView,
    ClockSettings,
    CurrencyView,
    Day,
    DaySummary,
    HaltReason,
    Identifier,
    InstrumentView,
    MarketChange,
    MarketView,
    NewCurrency,
    NewHalt,
    NewInstrument,
    NewPhase,
    NewTradingDay,
    OrderBookView,
    Reconciliation,
    SettlementView,
    StateView,
    TimerSettings,
    TradePage,
)
from exchange.commands import (
    BreakSession,
    CloseSession,
    HaltTrading,
    ListInstrument,
    OpenCall,
    OpenDay,
    RegisterCurrency,
    ResumeTrading,
    SettleDay,
    StartTrading,
    control,
)
from exchange.events import DaySettled, SessionClosed, TradingResumed, TradingStarted
from exchange.instruments import ticks_of
from exchange.invariants import CHECKS
from exchange.reasons import Reason, Refused
from exchange.sessions import Phase, opening_ns, trading_days

router = APIRouter(prefix="/v1", tags=["market"], responses=RESPONSES)
operator = APIRouter(prefix="/v1", tags=["operator"], responses=RESPONSES)

Limit = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[int, Query(ge=0, le=2**63 - 1)]


# ---------------------------------------------------------------- for everybody


@router.get("/market")
async def market(gateway: TheGateway) -> MarketView:
    """Where the market stands in its day, until when, and what ends it."""
    return views.market_view(gateway)


@router.get("/rules")
async def rules(gateway: TheGateway) -> dict[str, Any]:
    """The rule set, whole."""
    built: dict[str, Any] = msgspec.to_builtins(gateway.exchange.market)
    return built


@router.get("/calendar")
async def calendar(first: Day, last: Day, gateway: TheGateway, page: ThePage) -> list[date]:
    """The trading days between two dates."""
    return page.of(trading_days(gateway.exchange.market, first, last), lambda day: day)


@router.get("/currencies")
async def currencies(gateway: TheGateway) -> list[CurrencyView]:
    """The currencies in which accounts hold cash and instruments may be quoted, the market's own first."""
    own = gateway.exchange.market.currency
    return [CurrencyView(code=code, is_own=code == own) for code in gateway.exchange.currencies]


@router.get("/instruments")
async def instruments(gateway: TheGateway, page: ThePage) -> list[InstrumentView]:
    """All instruments with their prices and bands of the day."""
    return [views.instrument_view(gateway, listed) for listed in page.of_growing(gateway.exchange.instruments)]


@router.get("/instruments/{symbol}")
async def instrument(symbol: Identifier, gateway: TheGateway) -> InstrumentView:
    """One instrument."""
    return views.instrument_view(gateway, gateway.instrument(symbol))


@router.get("/instruments/{symbol}/auction")
async def auction(symbol: Identifier, gateway: TheGateway) -> AuctionView:
    """What the call auction of an instrument would come to if it ended now; `wrong_phase` if there is none."""
    listed = gateway.instrument(symbol)
    phase = Phase(int(gateway.exchange.path.desk.instruments[listed.number].phase))
    if phase != Phase.CALL:
        raise Refused(Reason.WRONG_PHASE, f"{symbol} is not in a call auction; its phase is {phase.label}")
    return views.indicative_auction(gateway, listed)


@router.get("/books/{symbol}")
async def book(
    symbol: Identifier, gateway: TheGateway, depth: Limit = 10, level: Literal["l1", "l2", "l3"] = "l2"
) -> BookView | OrderBookView:
    """The best price levels of both sides, without what icebergs hide; in a call auction they may cross.

    By `level`: `l1` the best one, `l2` the best `depth`, `l3` the orders of the best `depth`, one by one.
    """
    listed = gateway.instrument(symbol)
    if level == "l3":
        return views.order_book_view(gateway, listed, depth)
    return views.book_view(gateway, listed, 1 if level == "l1" else depth)


@router.get("/candles", summary="Candles")
async def show_candles(
    symbol: Identifier, interval: Interval, gateway: TheGateway, page: ThePage, newest: Limit | None = None
) -> list[CandleView]:
    """An instrument's trades as they stand by intervals of market time, oldest first.

    An interval without trades is left out. `newest` asks for the last so many instead of a page.
    """
    found = candles(gateway, gateway.instrument(symbol), interval)
    return page.of(found, lambda one: one.start) if newest is None else found[-newest:]


@router.get("/trades")
async def trades(
    symbol: Identifier, gateway: TheGateway, cursor: Cursor = 0, limit: Limit = 100, newest: Limit | None = None
) -> TradePage:
    """An instrument's trades as they stand, oldest first; `cursor` is the last trade id that you have.

    `newest` asks for the last so many instead. Busted trades are among them, with that `status`.
    """
    listed = gateway.instrument(symbol)
    rows = gateway.history.trades_of(listed.number, cursor)
    found = rows[:limit] if newest is None else rows[-newest:]
    last = int(found[-1].trade_id) if found.size else cursor
    latest = gateway.exchange.clearing.corrections.latest
    shown = [views.trade_view(gateway, trade, latest(int(trade.trade_id))) for trade in found]
    return TradePage(trades=shown, cursor=last)


@router.get("/summary")
async def summary(gateway: TheGateway) -> list[DaySummary]:
    """The day in figures, per instrument: the present one, or the last one after its settlement."""
    today = views.trades_of_the_day(gateway)
    return [views.day_summary(gateway, listed, today) for listed in gateway.exchange.instruments]


@router.get("/state")
async def state(gateway: TheGateway) -> StateView:
    """The sequence number of the last command and the digest of everything remembered."""
    return StateView(sequence=gateway.exchange.sequence, digest=gateway.exchange.digest())


@router.get("/checks")
async def checks(gateway: TheGateway) -> list[CheckView]:
    """Ask every invariant of the running exchange: conservation, backing, title, order of the books."""
    answers = []
    for one in CHECKS:
        try:
            one(gateway.exchange)
            answers.append(CheckView(name=one.__name__, ok=True))
        except AssertionError as error:
            answers.append(CheckView(name=one.__name__, ok=False, found=str(error)))
    return answers


@router.get("/reconciliation")
async def reconciliation(gateway: TheGateway) -> list[Reconciliation]:
    """What came in, what went out and what is held, per asset."""
    return views.reconciliation(gateway)


# ---------------------------------------------------------------- for the operator


@operator.post("/currencies", status_code=201)
async def register_currency(new: NewCurrency, gateway: TheGateway) -> CurrencyView:
    """Take cash of a further currency, and let instruments be quoted in it."""
    await gateway.inbox.ask(RegisterCurrency(new.code))
    return CurrencyView(code=new.code, is_own=False)


@operator.post("/instruments", status_code=201)
async def list_instrument(new: NewInstrument, gateway: TheGateway) -> InstrumentView:
    """Register a unit and list it for trading, while the market is closed."""
    tick = gateway.exchange.market.tick_size
    opening = ticks_of(new.opening_price, tick) if new.opening_price is not None else None
    await gateway.inbox.ask(ListInstrument(new.symbol, new.species, new.vintage, opening, new.currency or ""))
    return views.instrument_view(gateway, gateway.instrument(new.symbol))


@operator.post("/trading-days", status_code=201)
async def open_day(new: NewTradingDay, gateway: TheGateway) -> MarketView:
    """Open a trading day by hand: closed to pre-open. Bands are set, yesterday's purchases become resaleable."""
    if not trading_days(gateway.exchange.market, new.date, new.date):
        raise Problem(422, "not_a_trading_day", f"{new.date} is no trading day of the exchange's calendar.")
    exchange = gateway.exchange
    opens = exchange.is_settled and (exchange.date is None or new.date > exchange.date)
    answer = gateway.inbox.offer(control(OpenDay(new.date)))
    if opens:  # in its morning, unless the inbox did not take the command
        gateway.clock.advance_to(opening_ns(exchange.market, new.date))
    happened(await answer)
    return views.market_view(gateway)


@operator.put("/market/phase")
async def set_phase(new: NewPhase, gateway: TheGateway) -> MarketChange:
    """Open a call auction, start, break or close trading by hand. Leaving a call trades what crosses."""
    event = await gateway.inbox.ask(_PHASES[new.phase])
    auctions = event.auctions if isinstance(event, TradingStarted | SessionClosed) else []
    return views.market_change(gateway, auctions)


_PHASES: dict[str, OpenCall | StartTrading | BreakSession | CloseSession] = {
    "call": OpenCall(),
    "continuous": StartTrading(),
    "break": BreakSession(),
    "closed": CloseSession(),
}


@operator.post("/market/halts", status_code=201)
async def halt(new: NewHalt, gateway: TheGateway) -> MarketChange:
    """Halt trading in an instrument, or in all: no orders and amends are taken until it resumes, cancels are."""
    await gateway.inbox.ask(HaltTrading(new.reason, new.symbol))
    return views.market_change(gateway, [])


@operator.delete("/market/halts")
async def resume(reason: HaltReason, gateway: TheGateway, symbol: Identifier | None = None) -> MarketChange:
    """End the halt of an instrument, or all halts. A book that was halted in a call and is crossed trades first."""
    event = await gateway.inbox.ask(ResumeTrading(reason, symbol))
    assert isinstance(event, TradingResumed)
    return views.market_change(gateway, event.auctions)


@operator.post("/settlements", status_code=201)
async def settle(gateway: TheGateway) -> SettlementView:
    """Settle the closed day, delivery versus payment; statements are ready with the answer."""
    event = await gateway.inbox.ask(SettleDay())
    assert isinstance(event, DaySettled)
    batch = gateway.exchange.clearing.batch(event.batch)
    assert batch is not None
    return views.settlement_view(gateway, batch)


@operator.get("/settlements/{day}")
async def settlement(day: Day, gateway: TheGateway) -> SettlementView:
    """The settlement report of a day."""
    batches = [batch for batch in gateway.exchange.clearing.of_day(day) if batch.report is not None]
    if not batches:
        raise Problem(404, "unknown_settlement", f"The day {day} has not been settled.")
    return views.settlement_view(gateway, batches[-1])


@operator.put("/timers")
async def set_timers(settings: TimerSettings, gateway: TheGateway) -> MarketView:
    """Let the timers take the market through its days by the timetable, or stop them."""
    if settings.running:
        gateway.timers.start(settings.days, settings.skip_idle)
    else:
        gateway.timers.stop()
    return views.market_view(gateway)


@operator.put("/clock")
async def set_clock(settings: ClockSettings, gateway: TheGateway) -> MarketView:
    """Let the simulated clock run faster or slower. `real_clock` where the market follows the real time."""
    if gateway.clock.is_real:
        raise Problem(409, "real_clock", "The market follows the real time: its clock has no other speed.")
    gateway.clock.run_at(settings.speed)
    return views.market_view(gateway)
