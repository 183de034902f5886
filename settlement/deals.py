"""Deals with a later leg: agreed outside the book, delivered on a later day.

Nothing is reserved and nothing claimed for a deal before it is delivered: this is the one product here whose parties
can fail (domain sheet B.3: a pre-funded book knows no default on spot). The first batch that is fixed on or after its
due day takes it up as a trade; until then both parties may drop it by agreement.

| state     | means                                                           |
|-----------|-----------------------------------------------------------------|
| agreed    | waits for its day                                               |
| due       | is a trade: from here on its batches say what becomes of it     |
| cancelled | the parties dropped it                                          |
"""

from datetime import date
from enum import StrEnum
from typing import Literal

import msgspec


class DealState(StrEnum):
    """What has become of a deal."""

    AGREED = "agreed"
    DUE = "due"
    CANCELLED = "cancelled"


class Deal(msgspec.Struct, frozen=True):
    """A bilateral deal: seller and buyer by account, tCO2e at ticks a tonne."""

    deal_id: str
    seller: int
    buyer: int
    instrument: int
    quantity: int
    price_ticks: int
    due: date
    method: Literal["negotiated", "block"]  # of trading, which decides bands and fees
    state: DealState = DealState.AGREED
    trade_id: int = 0  # once due
