"""What all shapes have in common: strict models, and the kinds of text and number that go over the wire."""

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.convertors import Convertor, register_url_convertor

INT32, INT64 = 2**31 - 1, 2**63 - 1
FIRST_DAY, LAST_DAY = date(1970, 1, 2), date(2149, 6, 6)  # that a row can hold


def _as_written(day: Any) -> Any:
    """Pydantic by itself takes a number for the seconds since 1970."""
    if not isinstance(day, date) and not (isinstance(day, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day)):
        raise ValueError("a day is written like 2026-01-05")
    return day


IDENTIFIER, DECIMAL = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", r"-?[0-9]{1,15}(\.[0-9]{1,8})?"

Day = Annotated[date, BeforeValidator(_as_written)]
Identifier = Annotated[str, Field(pattern=f"^{IDENTIFIER}$")]
DecimalText = Annotated[str, Field(pattern=f"^{DECIMAL}$", examples=["42.00"])]
Tonnes = Annotated[int, Field(strict=True, ge=-INT64, le=INT64, description="tCO2e, whole tonnes", examples=[100])]
Moment = Annotated[int, Field(description="When that was, in nanoseconds since 1970, UTC")]
CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217", examples=["CNY"])]
ClassName = Literal[
    "covered_enterprise", "institution", "individual", "market_operator", "registry_authority", "verifier",
    "clearing_bank",
]  # fmt: skip
SideName = Literal["buy", "sell"]
OrderTypeName = Literal["limit", "market", "stop", "stop_limit"]
TimeInForceName = Literal["DAY", "GTC", "GTD", "IOC", "FOK"]
SelfTradePreventionName = Literal["cancel_newest", "cancel_oldest", "cancel_both", "decrement"]
Liquidity = Literal["maker", "taker"]
TradeStatus = Literal["regular", "corrected", "busted"]
PhaseName = Literal["closed", "pre_open", "call", "continuous", "break"]
HaltReason = Annotated[str, Field(min_length=1, max_length=200, examples=["News pending"])]


class Digits(Convertor[str]):
    """`{name:number}` in a path: what is no number is another path. The route reads it, so it may be too large."""

    regex = "-?[0-9]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("number", Digits())


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
