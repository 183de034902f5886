"""What goes over the wire. Prices and money are decimal strings, quantities whole tonnes, times ISO 8601.

Shapes only: whether a well-formed request is granted is for the exchange to say.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from registry.accounts import ParticipantClass
from registry.serials import Origin
from registry.units import Species

_INT64 = 2**63 - 1

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
DecimalText = Annotated[str, Field(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,8})?$", examples=["42.00"])]
Tonnes = Annotated[int, Field(strict=True, ge=-_INT64, le=_INT64, description="tCO2e, whole tonnes", examples=[100])]
ClassName = Literal[
    "covered_enterprise", "institution", "individual", "market_operator", "registry_authority", "verifier",
    "clearing_bank",
]  # fmt: skip
SideName = Literal["buy", "sell"]
TimeInForceName = Literal["DAY", "IOC"]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


# ---------------------------------------------------------------- requests


class NewAccount(Model):
    account_id: Identifier = Field(examples=["E-001"])
    name: str = Field(min_length=1, max_length=200, examples=["Daye Cement"])
    participant_class: ClassName = "covered_enterprise"

    @property
    def class_of(self) -> ParticipantClass:
        return ParticipantClass[self.participant_class.upper()]


class NewInstrument(Model):
    symbol: Identifier = Field(examples=["HBEA-2025"])
    species: Species = Field(examples=["allowance"])
    vintage: int = Field(ge=2000, le=2100, strict=True, examples=[2025])
    opening_price: DecimalText | None = Field(default=None, description="Previous close before the first day")


class CashMovement(Model):
    amount: DecimalText = Field(description="CNY", examples=["1000000.00"])


class NewIssuance(Model):
    account_id: Identifier
    unit: Identifier = Field(examples=["HBEA-2025"])
    quantity: Tonnes
    origin: Origin = Origin.FREE


class NewTransfer(Model):
    unit: Identifier = Field(examples=["HBEA-2025"])
    quantity: Tonnes
    to: Literal["trading", "registry"] = "trading"


class NewOrder(Model):
    account_id: Identifier = Field(examples=["E-001"])
    symbol: Identifier = Field(examples=["HBEA-2025"])
    side: SideName
    price: DecimalText = Field(description="CNY per t")
    quantity: Tonnes
    type: Literal["limit"] = "limit"
    time_in_force: TimeInForceName = "DAY"
    client_order_id: Identifier | None = Field(
        default=None, description="Yours, unique per account and day: a repeat gets the first answer", examples=["a-17"]
    )


class NewTradingDay(Model):
    date: date


class NewPhase(Model):
    phase: Literal["continuous", "break", "closed"]


class TimerSettings(Model):
    running: bool = True
    days: int | None = Field(default=None, ge=1, description="How many trading days to run; without end if left out")
    skip_idle: bool = Field(default=False, description="Set the clock forward outside trading hours")


# ---------------------------------------------------------------- answers


class Holding(Model):
    """One asset of an account: what can be used, what is set aside, what is on its way."""

    asset: str = Field(description="CNY or the code of a unit")
    available: str | int
    reserved: str | int = Field(description="Backs live orders and unsettled sales and purchases")
    incoming: str | int = Field(description="Bought, not yet resaleable")
    registry: str | int = Field(description="On the registry side")
    settled: str | int = Field(description="What is owned after the last settlement: for units, title")


class AccountView(Model):
    account_id: str
    name: str
    participant_class: ClassName
    holdings: list[Holding]


class Fill(Model):
    trade_id: int
    price: str
    quantity: int
    fee: str
    liquidity: Literal["maker", "taker"]


class OrderView(Model):
    order_id: int
    client_order_id: str | None
    account_id: str
    symbol: str
    side: SideName
    type: Literal["limit"] = "limit"
    time_in_force: TimeInForceName
    price: str
    quantity: int
    status: Literal["open", "filled", "cancelled"]
    reason: str | None = Field(default=None, description="Why the rest was cancelled")
    filled: int
    leaves: int
    cancelled: int
    average_price: str | None
    fills: list[Fill]
    accepted_at: str
    sequence: int = Field(description="Of the command that placed it")


class TradeView(Model):
    trade_id: int
    symbol: str
    price: str
    quantity: int
    aggressor: SideName
    at: str
    sequence: int


class TradePage(Model):
    trades: list[TradeView]
    cursor: int = Field(description="Give it as `cursor` for the next page")


class Level(Model):
    price: str
    quantity: int
    orders: int


class BookView(Model):
    symbol: str
    seq: int = Field(description="The book is the state after this event of the stream")
    bids: list[Level]
    asks: list[Level]


class InstrumentView(Model):
    symbol: str
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


class MarketView(Model):
    market: str
    phase: Literal["closed", "pre_open", "continuous", "break"]
    date: date | None
    session: int
    is_settled: bool
    now: str
    speed: float
    timers_running: bool
    until: str | None = Field(description="When the phase ends by the timetable, if the timers run")
    ended_by: str | None = Field(description="The command that ends it")
    sequence: int


class DaySummary(Model):
    """A day of one instrument in figures."""

    symbol: str
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


class SettlementView(Model):
    date: date
    mode: str
    trades: int
    cash_moved: str
    fees: str
    units_moved: dict[str, int]


class StatementEntry(Model):
    asset: str
    amount: str | int
    cause: str
    reference: int = Field(description="Trade id, or sequence of the command")


class StatementView(Model):
    date: date
    account_id: str
    opening: dict[str, str | int]
    entries: list[StatementEntry]
    closing: dict[str, str | int]


class SerialBlock(Model):
    unit: str
    first: int
    last: int
    quantity: int
    origin: Origin
    ever_traded: bool


class StateView(Model):
    sequence: int
    digest: str


class Reconciliation(Model):
    """One asset over all accounts: what came in, what went out, what is held. In = held + out."""

    asset: str
    paid_in: str | int = Field(description="Cash deposited, units issued")
    paid_out: str | int = Field(description="Cash withdrawn")
    held: str | int = Field(description="Settled holdings of all accounts, the exchange's own among them")


class CheckView(Model):
    name: str
    ok: bool
    found: str | None = None
