"""What all shapes have in common: strict models, and the kinds of text and number that go over the wire."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

INT32, INT64 = 2**31 - 1, 2**63 - 1
FIRST_DAY, LAST_DAY = date(1970, 1, 2), date(2149, 6, 6)  # that a row can hold

IDENTIFIER, DECIMAL = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", r"-?[0-9]{1,15}(\.[0-9]{1,8})?"

Identifier = Annotated[str, Field(pattern=f"^{IDENTIFIER}$")]
DecimalText = Annotated[str, Field(pattern=f"^{DECIMAL}$", examples=["42.00"])]
Tonnes = Annotated[int, Field(strict=True, ge=-INT64, le=INT64, description="tCO2e, whole tonnes", examples=[100])]
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


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
