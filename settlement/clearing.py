"""Clearing: what the trades of a day leave owing.

Trade-by-trade gross (national settlement rules, art. 8: 逐笔全额清算): each trade is one obligation,
units from seller to buyer against cash from buyer to seller, and both sides' fees to the house. Columns
are NumPy arrays, one row a trade, so that a day of millions is worked out in one pass.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

type_of_column = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Obligations:
    """One row a trade, in the order of trading. Cash in fen, quantities in tCO2e."""

    seller: type_of_column
    buyer: type_of_column
    unit: type_of_column
    cash: type_of_column  # asset number of the currency that is paid
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
    def fees(self) -> type_of_column:
        """Fen due to the house."""
        return self.buyer_fee + self.seller_fee


def obligations(
    trades: np.ndarray[Any, np.dtype[Any]],
    unit_of: type_of_column,
    cash_of: type_of_column,
    fen_per_tick: type_of_column,
) -> Obligations:
    """Obligations of trade rows; `unit_of`, `cash_of` and `fen_per_tick` are indexed by instrument."""
    instrument = trades["instrument"]
    return Obligations(
        seller=trades["seller"].astype(np.int64),
        buyer=trades["buyer"].astype(np.int64),
        unit=unit_of[instrument],
        cash=cash_of[instrument],
        quantity=trades["quantity"].copy(),
        turnover=trades["price_ticks"] * trades["quantity"] * fen_per_tick[instrument],
        buyer_fee=trades["buyer_fee"].copy(),
        seller_fee=trades["seller_fee"].copy(),
    )
