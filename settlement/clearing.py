"""Clearing: what the trades of a day leave owing.

Trade-by-trade gross (national settlement rules, art. 8: 逐笔全额清算): each trade is one obligation,
units from seller to buyer against cash from buyer to seller, and both sides' fees to the house. Obligations
are rows of 56 bytes, one a trade, worked out in one compiled pass. What they come to when they are netted
is :mod:`settlement.netting`'s.
"""

from typing import Any, NamedTuple

import numpy as np

from settlement import loops

type_of_column = np.ndarray[Any, np.dtype[np.int64]]
type_of_rows = np.ndarray[Any, np.dtype[Any]]

OBLIGATION = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("trade_id", "i8"),
                ("quantity", "i8"),  # tonnes that the seller delivers and the buyer receives
                ("turnover", "i8"),  # price x quantity, fen of the currency
                ("buyer_fee", "i8"),  # fen
                ("seller_fee", "i8"),  # fen
                ("seller", "u4"),  # account
                ("buyer", "u4"),  # account
                ("unit", "u4"),  # asset number of what is delivered
                ("cash", "u4"),  # asset number of the currency; 0: the rule set's
            ],
            align=True,
        ),
    )
)


class Terms(NamedTuple):
    """What instruments deliver and are paid in; each column is indexed by instrument number, 0 is none."""

    unit: type_of_column  # asset number
    cash: type_of_column  # asset number of the currency; 0: the rule set's
    fen_per_tick: type_of_column

    @property
    def units(self) -> list[int]:
        """The assets that are delivered, ascending."""
        return sorted(set(self.unit[1:].tolist()))

    @property
    def currencies(self) -> list[int]:
        """The assets that are paid with, ascending."""
        return sorted(set(self.cash[1:].tolist()))

    def check(self) -> None:
        """Assert that the columns are alike and that no asset is both delivered and paid with."""
        assert self.unit.shape == self.cash.shape == self.fen_per_tick.shape, "an instrument lacks some of its terms"
        assert (self.unit >= 0).all() and (self.cash >= 0).all(), "assets are numbered from 0"
        both = {*self.units} & {*self.currencies}
        assert not both, f"assets {sorted(both)} are delivered and paid with"


def terms_of(unit: type_of_rows, cash: type_of_rows, fen_per_tick: type_of_rows) -> Terms:
    """Terms from columns of any integers, checked, in memory of their own."""
    terms = Terms(*(np.array(column, np.int64) for column in (unit, cash, fen_per_tick)))
    terms.check()
    return terms


def as_given(rows: type_of_rows) -> type_of_rows:
    """The same rows, contiguous and not to be written to: a loop is compiled for one kind of array only."""
    given = np.ascontiguousarray(rows).view()
    given.flags.writeable = False
    return given


def obligations(trades: type_of_rows, terms: Terms) -> type_of_rows:
    """OBLIGATION rows of trade rows, in the order of trading; ValueError if an instrument has no terms."""
    owed = np.empty(trades.size, OBLIGATION)
    loops.oblige(as_given(trades), terms, owed)
    return owed


def buyer_pays(owed: type_of_rows) -> type_of_column:
    """Fen that leave the buyer, of each obligation."""
    pays: type_of_column = owed["turnover"] + owed["buyer_fee"]
    return pays


def seller_receives(owed: type_of_rows) -> type_of_column:
    """Fen that reach the seller; the difference to what the buyer pays is the house's fees."""
    receives: type_of_column = owed["turnover"] - owed["seller_fee"]
    return receives


def warm_up(trades: type_of_rows) -> None:
    """Load the loops' machine code from disk, or compile it for trade rows like these."""
    terms, nothing = terms_of(np.zeros(1), np.zeros(1), np.zeros(1)), as_given(trades[:0])
    sums = np.zeros((1, 1), np.int64)
    loops.oblige(nothing, terms, np.empty(0, OBLIGATION))
    loops.add_up(nothing, terms, 0, sums, sums, sums[0], np.zeros(2, np.int64))
    loops.deepest(nothing, terms, sums, sums)
