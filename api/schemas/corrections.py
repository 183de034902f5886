"""The shapes of trades put right. A bust is FIX ExecType H (Trade Cancel), a correction G (Trade Correct)."""

from datetime import date
from typing import Annotated

from pydantic import Field

from api.schemas.base import INT64, DecimalText, Identifier, Model, Tonnes
from api.schemas.registry import Happened

TRADES_MAX = 1_000  # in one list: a settled one takes about a millisecond
TradeId = Annotated[int, Field(strict=True, ge=1, le=INT64, examples=[17])]

# ---------------------------------------------------------------- requests


class NewBusts(Model):
    """Trades that shall not stand."""

    by: Identifier = Field(description="Account id of who asks: the exchange or the authority", examples=["EXCHANGE"])
    trade_ids: list[TradeId] = Field(description="Each once", max_length=TRADES_MAX, examples=[[17, 18]])
    reason: str = Field(max_length=2000, description="Everybody can read it", examples=["Entered in the wrong book"])


class NewTradeTerms(Model):
    """What a trade should have said; what is left out stays."""

    trade_id: TradeId
    price: DecimalText | None = Field(
        default=None, description="Per t, in the currency of the instrument", examples=["42.00"]
    )
    quantity: Tonnes | None = None


class NewCorrections(Model):
    """Trades that shall say something else."""

    by: Identifier = Field(description="Account id of who asks: the exchange or the authority", examples=["EXCHANGE"])
    corrections: list[NewTradeTerms] = Field(description="Each trade once", max_length=TRADES_MAX)
    reason: str = Field(max_length=2000, description="Everybody can read it", examples=["Price mistyped"])


# ---------------------------------------------------------------- answers


class TradeTerms(Model):
    """What a trade says: price per t, tCO2e, money."""

    price: str
    quantity: int
    turnover: str
    buyer_fee: str
    seller_fee: str


class CorrectionView(Model):
    """One trade put right."""

    number: int = Field(description="Of the correction, from 1")
    trade_id: int
    symbol: str
    currency: str
    buyer: str
    seller: str
    buy_order_id: int
    sell_order_id: int
    day: date = Field(description="On which it was traded")
    batch: int | None = Field(description="In which it had settled; none: it had not")
    before: TradeTerms
    after: TradeTerms | None = Field(description="None: it was busted")
    reason: str
    by: str = Field(description="Account id of who asked")
    at: str
    sequence: int = Field(description="Of the command")


class TradesPutRight(Happened):
    """Trades put right together."""

    corrections: list[CorrectionView] = Field(description="In the order of the list")
    closes: dict[str, str] = Field(description="Closing prices of the day that were worked out again, by symbol")
