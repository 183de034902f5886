"""The shapes of exchange rates, conversions and rebates of fees."""

from datetime import date
from typing import Annotated

from pydantic import Field

from api.schemas.base import CurrencyCode, DecimalText, Identifier, Model

RateText = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$",
        description="Units of the market's own currency for one of the foreign one",
        examples=["7.1012"],
    ),
]
Year = Annotated[int, Field(strict=True, ge=1, le=9999, examples=[2025])]

# ---------------------------------------------------------------- requests


class NewRate(Model):
    by: Identifier = Field(description="Account id of who asks: the exchange or the authority", examples=["EXCHANGE"])
    rate: RateText


class NewConversion(Model):
    """Cash for what it is worth in another currency."""

    bank: Identifier = Field(description="The clearing bank that gives it", examples=["BANK"])
    from_currency: CurrencyCode = Field(examples=["USD"])
    to_currency: CurrencyCode
    amount: DecimalText = Field(description="Of the currency that is given", examples=["1000.00"])


class NewElection(Model):
    """A currency for the proceeds of every batch; null: as they come."""

    currency: CurrencyCode | None
    bank: Identifier | None = Field(default=None, description="The clearing bank that converts", examples=["BANK"])


class NewRebates(Model):
    by: Identifier = Field(description="Account id of who asks: the exchange or the authority", examples=["EXCHANGE"])
    year: Year


# ---------------------------------------------------------------- answers


class RateView(Model):
    """A rate, which is in force until the next."""

    currency: str
    rate: RateText
    date: date
    by: str
    sequence: int = Field(description="Of the command that set it")


class ConversionView(Model):
    """Cash of an account against a bank's in another currency."""

    number: int
    date: date
    batch: int | None = Field(description="Whose proceeds they were; null: it was asked for")
    account_id: str
    bank: str
    from_currency: str
    to_currency: str
    given: str
    taken: str
    from_rate: RateText
    to_rate: RateText
    sequence: int = Field(description="Of the command")


class ElectionView(Model):
    account_id: str
    currency: str | None
    bank: str | None


class RebateView(Model):
    account_id: str
    currency: str
    amount: str


class RebatesView(Model):
    """What was paid back of a year's fees, by account and currency."""

    year: int
    rebates: list[RebateView]
