"""The shapes of the market: accounts, orders, instruments, the day. Requests first, then answers."""

from datetime import date
from typing import Literal

from pydantic import Field

from api.schemas.base import (
    FIRST_DAY,
    INT32,
    LAST_DAY,
    ClassName,
    CurrencyCode,
    Day,
    DecimalText,
    HaltReason,
    Identifier,
    Liquidity,
    Model,
    Moment,
    OrderTypeName,
    PhaseName,
    SelfTradePreventionName,
    SideName,
    TimeInForceName,
    Tonnes,
    TradeStatus,
)
from exchange.commands import OnError
from registry.accounts import AccountStatus, ParticipantClass
from registry.serials import Origin
from registry.units import Species

BATCH_MAX = 1000  # orders

# ---------------------------------------------------------------- requests


class NewAccount(Model):
    account_id: Identifier = Field(examples=["E-001"])
    name: str = Field(min_length=1, max_length=200, examples=["Daye Cement"])
    participant_class: ClassName = "covered_enterprise"
    beneficial_owner: Identifier | None = Field(
        default=None, description="Accounts that name the same one do not trade with one another", examples=[None]
    )
    region: str = Field(default="", max_length=200, description="Where its installations are", examples=["Hubei"])
    approved: bool = Field(default=True, strict=True, description="If not, it is pending until its status changes")

    @property
    def class_of(self) -> ParticipantClass:
        return ParticipantClass[self.participant_class.upper()]


class NewCurrency(Model):
    code: CurrencyCode = Field(examples=["USD"])


class NewInstrument(Model):
    symbol: Identifier = Field(examples=["HBEA-2025"])
    species: Species = Field(examples=["allowance"])
    vintage: int = Field(ge=2000, le=2100, strict=True, examples=[2025])
    opening_price: DecimalText | None = Field(default=None, description="Previous close before the first day")
    currency: CurrencyCode | None = Field(
        default=None, description="In which it is quoted; left out: the market's own", examples=[None]
    )


class CashMovement(Model):
    amount: DecimalText = Field(description="Of the currency", examples=["1000000.00"])
    currency: CurrencyCode | None = Field(default=None, description="Left out: the market's own", examples=[None])


class NewIssuance(Model):
    account_id: Identifier
    unit: Identifier = Field(examples=["HBEA-2025"])
    quantity: Tonnes
    origin: Origin = Origin.FREE


class NewTransfer(Model):
    unit: Identifier = Field(examples=["HBEA-2025"])
    quantity: Tonnes
    to: Literal["trading", "registry"] = "trading"


class OfAccount(Model):
    account_id: Identifier = Field(examples=["E-001"])


class OrderTerms(Model):
    symbol: Identifier = Field(examples=["HBEA-2025"])
    side: SideName
    type: OrderTypeName = "limit"
    price: DecimalText | None = Field(
        default=None,
        description="Limit per t, in the currency of the instrument; a market or stop order has none",
        examples=["42.00"],
    )
    stop_price: DecimalText | None = Field(
        default=None,
        description="A stop or stop-limit order waits for a trade at this price or beyond",
        examples=[None],
    )
    quantity: Tonnes
    time_in_force: TimeInForceName | None = Field(
        default=None, description="Left out: DAY, of a market order IOC", examples=["DAY"]
    )
    expire_date: Day | None = Field(
        default=None, ge=FIRST_DAY, le=LAST_DAY, description="GTD: the last day of its life", examples=[None]
    )
    display_quantity: int | None = Field(
        default=None, strict=True, ge=1, le=INT32, description="Iceberg: show at most so many t", examples=[None]
    )
    post_only: bool = Field(default=False, strict=True, description="Refused if it would trade at once")
    self_trade_prevention: SelfTradePreventionName | None = Field(
        default=None,
        description="What happens when it meets an order of its own beneficial owner; left out: by the rule set",
        examples=[None],
    )
    client_order_id: Identifier | None = Field(
        default=None, description="Yours, unique per account and day: a repeat gets the first answer", examples=["a-17"]
    )


class NewOrder(OrderTerms, OfAccount):
    pass


class NewBatch(OfAccount):
    orders: list[OrderTerms] = Field(min_length=1, max_length=BATCH_MAX, description="Placed in this order")
    on_error: OnError = Field(
        default=OnError.STOP,
        description="When an order is refused: stop: those behind it are not tried; continue: they are; rollback: they "
        "are not, and what is left of those before it is cancelled",
    )


class Amendment(Model):
    account_id: Identifier = Field(examples=["E-001"])
    quantity: Tonnes = Field(description="New leaves: how much shall still trade, tCO2e")
    price: DecimalText | None = Field(default=None, description="New limit; left out: as it is", examples=["42.00"])
    stop_price: DecimalText | None = Field(
        default=None, description="New stop price of a waiting order; left out: as it is", examples=[None]
    )


class NewTradingDay(Model):
    date: Day


class NewPhase(Model):
    phase: Literal["call", "continuous", "break", "closed"]


class NewHalt(Model):
    reason: HaltReason
    symbol: Identifier | None = Field(default=None, description="Left out: all instruments", examples=["HBEA-2025"])


class TimerSettings(Model):
    running: bool = Field(default=True, strict=True)
    days: int | None = Field(
        default=None, strict=True, ge=1, description="How many trading days to run; without end if left out"
    )
    skip_idle: bool = Field(default=False, strict=True, description="Set the clock forward outside trading hours")


class ClockSettings(Model):
    speed: float = Field(
        strict=True, ge=0.001, le=100_000, description="Market seconds a second, from now on", examples=[60]
    )


# ---------------------------------------------------------------- answers


class Holding(Model):
    """One asset of an account: what can be used, what is set aside, what is on its way."""

    asset: str = Field(description="Code of a currency, the market's own first, or of a unit")
    available: str | int
    reserved: str | int = Field(description="Backs live orders and unsettled sales and purchases")
    incoming: str | int = Field(description="Bought, not yet resaleable")
    registry: str | int = Field(description="Free on the registry side")
    pledged: str | int = Field(description="Locked on the registry side by a pledge")
    judicial: str | int = Field(description="Locked on the registry side by a court")
    pending_surrender: str | int = Field(description="Waits for the authority to confirm a surrender")
    settled: str | int = Field(description="What is owned after the last settlement: for units, title")


class AccountView(Model):
    account_id: str
    name: str
    participant_class: ClassName
    beneficial_owner: str | None
    status: AccountStatus
    status_reason: str = Field(description="Why it has this status; empty if it never had another")
    region: str
    holdings: list[Holding]


class Fill(Model):
    trade_id: int
    price: str
    quantity: int
    fee: str
    liquidity: Liquidity | None = Field(description="None in an auction: neither took")
    status: TradeStatus = Field(description="corrected: as it says now; busted: as it said last, its fee is given back")


class OrderView(Model):
    """An order; quantity = filled + leaves + cancelled + prevented."""

    order_id: int
    client_order_id: str | None
    account_id: str
    symbol: str
    side: SideName
    type: OrderTypeName
    time_in_force: TimeInForceName
    price: str | None = Field(description="Limit; none of a market or stop order")
    stop_price: str | None
    quantity: int
    display_quantity: int | None
    post_only: bool
    expire_date: date | None
    self_trade_prevention: SelfTradePreventionName | Literal["allow"]
    status: Literal["open", "waiting", "filled", "cancelled"] = Field(description="waiting: for its stop price")
    reason: str | None = Field(default=None, description="Why the rest was cancelled")
    priority: Literal["kept", "lost"] | None = Field(default=None, description="What the last amend did to its place")
    filled: int = Field(description="Traded, whatever was corrected later")
    leaves: int = Field(description="Still to trade, shown and hidden")
    cancelled: int
    prevented: int = Field(description="Lost to self-trade prevention")
    average_price: str | None = Field(description="Of the fills as they stand, without busted ones")
    fills: list[Fill]
    accepted_at: str
    ts_event: Moment
    sequence: int = Field(description="Of the command that placed it")


class CancelledOrders(Model):
    count: int
    order_ids: list[int] = Field(description="Oldest first")


class BatchedOrder(Model):
    """What became of an order of a batch, as the batch left it."""

    client_order_id: str | None = None
    order_id: int | None = Field(default=None, description="None of an order that was refused")
    status: Literal["open", "waiting", "filled", "cancelled", "refused"]
    filled: int = Field(default=0, description="Traded; that stands, whatever becomes of the batch")
    leaves: int = 0
    trade_ids: list[int] = Field(default=[])
    code: str | None = Field(default=None, description="Why it was refused, or its rest cancelled")
    detail: str | None = Field(default=None, description="Of a refusal, in words")
    repeated: bool = Field(default=False, description="It came before, and is shown as it is now")


class OrderBatchView(Model):
    on_error: OnError
    placed: int = Field(description="How many orders were taken")
    refused: int
    undone: bool = Field(description="Whether it was rolled back: nothing that it placed rests")
    orders: list[BatchedOrder] = Field(description="As they were sent")


class TradeView(Model):
    trade_id: int
    symbol: str
    price: str
    quantity: int
    aggressor: SideName | None = Field(description="Who took; none in an auction")
    status: TradeStatus = Field(description="corrected: as it says now; busted: undone, as it said last")
    at: str
    ts_event: Moment
    sequence: int


class TradePage(Model):
    trades: list[TradeView]
    cursor: int = Field(description="Give it as `cursor` for the next page")


class Level(Model):
    price: str
    quantity: int = Field(description="As shown: without what icebergs hide")
    orders: int


class BookView(Model):
    symbol: str
    seq: int = Field(description="The book is the state after this event of the stream")
    bids: list[Level]
    asks: list[Level]


class AuctionView(Model):
    """What the orders of a call auction come to, now or when it ended."""

    symbol: str
    price: str | None = Field(description="At which most would trade; none if no bid reaches an ask")
    volume: int
    imbalance: int = Field(description="Left over at the price: of buyers if positive, of sellers if negative")


class CurrencyView(Model):
    code: str
    is_own: bool = Field(description="Whether it is the market's own: what is meant where none is named")


class InstrumentView(Model):
    symbol: str
    currency: str = Field(description="Of its prices")
    phase: PhaseName | Literal["halted"]
    halt_reason: str | None
    unit: str
    species: Species
    vintage: int
    tick: str
    lot: int
    close: str | None = Field(description="Close of the last day")
    last: str | None = Field(description="Price of the last trade; before the first of a day the close")
    band_low: str | None
    band_high: str | None
    issued: int


class Halt(Model):
    symbol: str
    reason: str


class MarketView(Model):
    market: str
    phase: PhaseName
    halts: list[Halt] = Field(description="Instruments that take no orders, whatever the phase")
    date: date | None
    session: int
    is_settled: bool
    now: str
    speed: float
    timers_running: bool
    until: str | None = Field(description="When the phase ends by the timetable, if the timers run")
    ended_by: str | None = Field(description="The command that ends it")
    sequence: int


class MarketChange(MarketView):
    """The market after an operator's verb."""

    auctions: list[AuctionView] = Field(description="Call auctions that it ended, of books that were crossed")


class DaySummary(Model):
    """A day of one instrument in figures: corrected trades count as they stand, busted ones do not."""

    symbol: str
    currency: str
    trades: int
    volume: int
    turnover: str
    open: str | None
    high: str | None
    low: str | None
    vwap: str | None
    close: str | None
    band_low: str | None
    band_high: str | None
    fees: str


class CashMoved(Model):
    cash_moved: str
    fees: str


class SettlementView(Model):
    date: date
    mode: str
    trades: int
    cash_moved: str = Field(description="In the market's own currency")
    fees: str
    units_moved: dict[str, int]
    other_currencies: dict[str, CashMoved]
    failed: list[int] = Field(description="Ids of trades that were taken out, since somebody did not pay or deliver")
    cases: list[int] = Field(description="Numbers of the failure cases that were opened for it")


class StateView(Model):
    sequence: int
    digest: str


class Reconciliation(Model):
    """One asset over all accounts: what came in, what went out, what is held. In = held + out."""

    asset: str
    paid_in: str | int = Field(description="Cash deposited, units issued")
    paid_out: str | int = Field(description="Cash withdrawn; units surrendered, retired or cancelled")
    held: str | int = Field(description="Settled holdings of all accounts, the exchange's own among them")


class CheckView(Model):
    name: str
    ok: bool
    found: str | None = None


class RestingOrder(Model):
    order_id: int
    price: str
    quantity: int = Field(description="As shown: without what an iceberg hides")


class OrderBookView(Model):
    """A book order by order."""

    symbol: str
    seq: int = Field(description="The book is the state after this event of the stream")
    bids: list[RestingOrder] = Field(description="Best price first; at a price in the order in which they trade")
    asks: list[RestingOrder]


class CandleView(Model):
    """The trades of an instrument in one interval as they stand: corrected as corrected, without busted ones."""

    start: str = Field(description="Of the interval, in market time")
    open: str
    high: str
    low: str
    close: str = Field(description="Of the last trade")
    volume: int = Field(description="tCO2e")
    turnover: str
    trades: int


class AccountFill(Model):
    """An account's side of a trade, as it stands; a busted one as it said last."""

    trade_id: int
    order_id: int
    symbol: str
    side: SideName
    price: str
    quantity: int
    fee: str
    currency: str
    liquidity: Liquidity | None = Field(description="None in an auction: neither took")
    status: TradeStatus
    at: str
    ts_event: Moment
    sequence: int


class Execution(Model):
    """One event in the life of an order, in the words of FIX (35=8)."""

    exec_id: int = Field(description="The `seq` of the event in the stream")
    exec_type: Literal["new", "trade", "canceled", "replaced", "triggered", "restated", "trade_correct", "trade_cancel"]
    ord_status: Literal["new", "partially_filled", "filled", "canceled"]
    price: str | None = Field(description="The limit from now on; none of a market or stop order")
    last_qty: int | None = Field(description="Of this trade")
    last_px: str | None
    cum_qty: int = Field(description="Traded so far, whatever was corrected later")
    leaves_qty: int
    avg_px: str | None = Field(description="Of the trades so far as they were booked")
    trade_id: int | None
    liquidity: Liquidity | None = Field(description="None in an auction, or of what is no trade")
    reason: str | None
    at: str
    ts_event: Moment
    sequence: int = Field(description="Of the command that caused it")
