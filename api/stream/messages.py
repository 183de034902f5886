"""What a client is told. Every message has a `type`; a frame is a JSON array of messages.

Prices per t in the currency of the instrument, as decimal strings; quantities and sizes in tCO2e; `ts_...` in UTC
nanoseconds since 1970, `at` in ISO 8601, both of the market's clock.
"""

from typing import Any, Literal

from pydantic import Field

from api.schemas import Holding, Liquidity, OrderView, SideName, TradeStatus
from api.schemas.base import Model

ChannelName = Literal[
    "trades", "book.l1", "book.l2", "book.l3", "status", "auction",
    "orders", "fills", "balances", "settlement", "drop_copy",
]  # fmt: skip
RequestId = str | int | None


class Told(Model):
    """A message of a channel."""

    type: str
    channel: ChannelName
    symbol: str | None = Field(default=None, description="Instrument, where it is about one")
    account_id: str | None = Field(default=None, description="Of a private channel")
    session_id: str = Field(description="Life of the serving process: what it has told can be replayed in it only")
    seq: int = Field(description="The state after it is the state of the exchange after the event of this number")
    prev_seq: int = Field(description="`seq` of the message before in this channel")


# ---------------------------------------------------------------- channels of events


class TradeTold(Told):
    """A trade, or what became of it: `trade_corrected` as it says now, `trade_busted` as it said last."""

    type: Literal["traded", "trade_corrected", "trade_busted"]
    trade_id: int
    price: str
    quantity: int
    aggressor: SideName | None = Field(description="Who took; none in an auction")
    status: TradeStatus
    buy_order_id: int
    sell_order_id: int
    at: str
    ts_event: int
    sequence: int = Field(description="Of the command that made it")
    corrected_at: str | None = None
    reason: str | None = Field(default=None, description="Why it was put right")


class OrderTold(Told):
    """An event from the side of one order."""

    type: str = Field(description="accepted, traded, cancelled, amended, prevented, refreshed, triggered, refused, ...")
    order_id: int
    client_order_id: str | None
    side: SideName | None
    price: str | None = Field(description="Of the execution; else the limit")
    quantity: int = Field(description="Of this fill, this cancellation, this slice; else of the order")
    leaves: int
    maker_order_id: int | None = None
    trade_id: int | None = None
    aggressor: SideName | None = None
    liquidity: Liquidity | None = None
    fee: str | None = Field(default=None, description="Of a corrected trade, as it is now")
    priority: Literal["kept", "lost"] | None = Field(default=None, description="What an amend did to its place")
    reason: str | None = None
    at: str
    ts_event: int
    sequence: int


class FillTold(Told):
    """A fill of one order, after FIX's execution report. G: corrected, H: undone."""

    type: Literal["fill"] = "fill"
    exec_id: str
    exec_type: Literal["F", "G", "H"]
    trade_id: int
    order_id: int
    client_order_id: str | None
    side: SideName
    last_qty: int
    last_px: str
    cum_qty: int = Field(description="Traded so far, whatever was corrected later")
    leaves_qty: int
    liquidity: Liquidity | None = Field(description="None in an auction: neither took")
    fee: str
    reason: str | None = None
    at: str
    ts_event: int
    sequence: int


class DropCopy(Told):
    """An event of anybody's orders, with the accounts."""

    type: str
    owner: str = Field(description="Account of `order_id`; empty of nobody")
    order_id: int
    client_order_id: str | None
    side: SideName | None
    instrument: str | None
    price: str | None
    quantity: int
    leaves: int
    maker: str | None = Field(description="Account of `maker_order_id`")
    maker_order_id: int | None
    maker_client_order_id: str | None
    maker_leaves: int | None
    trade_id: int | None
    reason: str | None
    at: str
    ts_event: int
    sequence: int


# ---------------------------------------------------------------- the book


class Mbo(Model):
    """A record of the book, order by order: the fields of a market-by-order record (DBN), prices as decimal strings.

    A adds an order at the back of its price's queue; C takes `size` off an order where it stands, and what has nothing
    left is gone; R clears the book. T (the taker) and F (whoever rested) say that a trade happened and change nothing:
    the C that follows does.
    """

    ts_recv: int
    ts_event: int
    rtype: Literal[160] = 160
    publisher_id: int = 1
    instrument_id: int
    action: Literal["A", "C", "R", "T", "F"]
    side: Literal["A", "B", "N"]
    price: str | None
    size: int
    channel_id: int = 0
    order_id: int
    flags: int = Field(description="128: last of its event; 32: of a snapshot")
    ts_in_delta: int = 0
    sequence: int = Field(description="Of the command that caused it")


class BookTold(Told, Mbo):
    """A record of the book."""

    type: Literal["book"] = "book"


class BookSnapshot(Told):
    """The book after `seq`, in parts: R, then an A for each order, in the order of the book."""

    type: Literal["snapshot"] = "snapshot"
    part: int
    parts: int
    records: list[Mbo]


class BookChecksum(Told):
    """What the book after `seq` sums up to; it changes nothing, so that its `prev_seq` is its `seq`.

    CRC-32 (as in zlib) of `order_id:price:size;` for each order, one after another in ASCII: bids from the best price
    on, the oldest order of a price first, then asks likewise.
    """

    type: Literal["checksum"] = "checksum"
    checksum: int
    orders: int


class LevelTold(Model):
    price: str
    quantity: int = Field(description="As shown")
    orders: int


class TopTold(Told):
    """The best prices after `seq`."""

    type: Literal["l1"] = "l1"
    bid: LevelTold | None
    ask: LevelTold | None
    conflated: int = Field(description="How many states in between you were not told")


class DepthTold(Told):
    """The best levels after `seq`, at most 20 of a side, the best first."""

    type: Literal["l2"] = "l2"
    bids: list[LevelTold]
    asks: list[LevelTold]
    conflated: int = Field(description="How many states in between you were not told")


# ---------------------------------------------------------------- channels of states


class StatusTold(Told):
    """Where an instrument stands in its day, why, until when, and what ends it."""

    type: Literal["status"] = "status"
    phase: str
    reason: str | None = Field(description="Of a halt")
    date: str | None
    session: int
    until: str | None = Field(description="By the timetable, if the timers run and it is not halted")
    exit_condition: str | None = Field(description="The command that ends it")


class AuctionTold(Told):
    """What a call auction would come to if it ended now."""

    type: Literal["auction"] = "auction"
    phase: str
    price: str | None = Field(description="None if no bid reaches an ask, or there is no call")
    volume: int
    imbalance: int = Field(description="Left over at the price: of buyers if positive, of sellers if negative")


class BalancesTold(Told):
    """What an account holds."""

    type: Literal["balances"] = "balances"
    holdings: list[Holding]


class SettlementTold(Told):
    """How far the last batch has come, and what of the account is in it."""

    type: Literal["settlement"] = "settlement"
    batch: int | None = Field(description="None: there was none yet")
    date: str | None
    stage: str | None
    trade_ids: list[int] = Field(description="The account's trades in it")
    failed: list[int] = Field(description="Those of them that were taken out")


# ---------------------------------------------------------------- about the stream itself


class Subscribed(Model):
    """A channel is open: what follows are the messages after `seq`, first of all how things stand, where they do."""

    type: Literal["subscribed"] = "subscribed"
    id: RequestId = None
    channel: ChannelName
    symbol: str | None = None
    account_id: str | None = None
    session_id: str
    seq: int


class Unsubscribed(Model):
    """Nothing more follows of a channel."""

    type: Literal["unsubscribed"] = "unsubscribed"
    id: RequestId = None
    channel: ChannelName
    symbol: str | None = None
    account_id: str | None = None


class OpenOrders(Told):
    """An account's open orders after `seq`, oldest first."""

    type: Literal["open_orders"] = "open_orders"
    orders: list[OrderView]


class Replayed(Model):
    """What a channel has told, once more; all of it with `from_seq` <= seq <= `to_seq`."""

    type: Literal["replay"] = "replay"
    id: RequestId = None
    channel: ChannelName
    symbol: str | None = None
    account_id: str | None = None
    session_id: str
    from_seq: int
    to_seq: int = Field(description="Less than was asked for if that were too many: ask again from the next one on")
    messages: list[dict[str, Any]]


class Place(Model):
    """How far a channel has come."""

    channel: ChannelName
    symbol: str | None = None
    account_id: str | None = None
    last_seq: int


class Heartbeat(Model):
    """Once a second: how far the channels have come, all of which has been sent before this."""

    type: Literal["heartbeat"] = "heartbeat"
    session_id: str
    at: str
    channels: list[Place]
    queue_depth: int = Field(description="How many messages were waiting for you when this was written")


class Answered(Model):
    """The answer to an order frame: what REST would have answered."""

    type: Literal["answer"] = "answer"
    id: RequestId = None
    op: str
    status: int
    body: dict[str, Any]


class DeadManFired(Model):
    """The timer ran out: these orders were cancelled."""

    type: Literal["dead_man_fired"] = "dead_man_fired"
    account_id: str
    count: int
    order_ids: list[int]


class ErrorTold(Model):
    """A frame was refused, or the socket is about to be closed; `code` is stable."""

    type: Literal["error"] = "error"
    id: RequestId = None
    op: str | None = None
    status: int
    code: str
    detail: str
    channel: str | None = None
    last_seq: int | None = Field(
        default=None, description="too_slow: the newest that there is; stopping: the last command"
    )
    oldest_seq: int | None = Field(default=None, description="too_old: the oldest that is kept")


TOLD: tuple[type[Told], ...] = (
    TradeTold, BookTold, BookSnapshot, BookChecksum, TopTold, DepthTold, StatusTold, AuctionTold, OpenOrders, OrderTold,
    FillTold, BalancesTold, SettlementTold, DropCopy,
)  # fmt: skip
ABOUT: tuple[type[Model], ...] = (Subscribed, Unsubscribed, Replayed, Heartbeat, Answered, DeadManFired, ErrorTold)
