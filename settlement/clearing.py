"""Clearing: what the trades of a day leave owing.

Trade-by-trade gross (national settlement rules, art. 8: 逐笔全额清算): each trade is one obligation,
units from seller to buyer against cash from buyer to seller, and both sides' fees to the house. Columns
are NumPy arrays, one row a trade, so that a day of millions is worked out in one pass.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

type_of_column = np.ndarray[Any, np.dtype[np.int64]]


class Mode(StrEnum):
    """How a batch settles (BIS models of delivery versus payment; domain sheet F.1)."""

    GROSS_GROSS = "gross_gross"  # model 1: trade by trade, the national rule
    GROSS_NET = "gross_net"  # model 2: units trade by trade, cash in one sum a participant
    NET_NET = "net_net"  # model 3: units and cash in one sum a participant


class Terms(NamedTuple):
    """What trades of each instrument move: arrays by instrument number."""

    unit: type_of_column  # asset number
    cash: type_of_column  # asset number of its currency
    fen_per_tick: type_of_column


@dataclass(frozen=True)
class Obligations:
    """One row a trade, in the order of trading. Cash in fen, quantities in tCO2e."""

    seller: type_of_column
    buyer: type_of_column
    unit: type_of_column
    quantity: type_of_column  # units the seller delivers and the buyer receives
    turnover: type_of_column  # price x quantity
    buyer_fee: type_of_column
    seller_fee: type_of_column

    def __len__(self) -> int:
        return int(self.seller.size)

    @property
    def buyer_pays(self) -> type_of_column:
        """Fen that leave the buyer."""
        return self.turnover + self.buyer_fee

    @property
    def seller_receives(self) -> type_of_column:
        """Fen that reach the seller; the difference to what the buyer pays is the house's fee."""
        return self.turnover - self.seller_fee

    @property
    def fees(self) -> int:
        """Fen due to the house."""
        return int(self.buyer_fee.sum() + self.seller_fee.sum())


def obligations(trades: np.ndarray[Any, np.dtype[Any]], terms: Terms) -> Obligations:
    """Obligations of trade rows."""
    instrument = trades["instrument"]
    return Obligations(
        seller=trades["seller"].astype(np.int64),
        buyer=trades["buyer"].astype(np.int64),
        unit=terms.unit[instrument],
        quantity=trades["quantity"].copy(),
        turnover=trades["price_ticks"] * trades["quantity"] * terms.fen_per_tick[instrument],
        buyer_fee=trades["buyer_fee"].copy(),
        seller_fee=trades["seller_fee"].copy(),
    )
