"""Corrections: trades that were wrong, put right by new entries.

A trade that should not stand is busted; one whose price or quantity should have been another is corrected (FIX calls
them ExecType H, Trade Cancel, and G, Trade Correct). A bust is a correction to nothing, so both are one record: what
the trade said `before`, what it says `after`, and the difference, which goes back to whoever gave it. What was first
written is never touched: neither the trade in the history of events nor the sealed batch in which it settled. How a
trade stands now is what its last correction says.

A trade may be corrected again and again, and busted once; after that it is over.

The fee of a corrected trade is the one it was charged, and what the rate of its day makes of the change in turnover:

    fee = first fee + fee_of(new turnover) - fee_of(first turnover), at least 0

A trade is one fill of an order, and the fee of the order is rounded as a whole (:mod:`settlement.fees`), so that a
trade's own fee may be a fen more or less than the rate says; this fen stays with it. Starting from the first fee and
not from the last makes the result depend on the terms alone: corrected back, a trade costs what it cost. The rate is
the schedule's and not the quotient of fee and turnover, in which a rounded fen of a small trade would grow with it.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import msgspec
import numpy as np

from settlement.clearing import Terms, type_of_rows
from settlement.fees import fee_of


class Version(msgspec.Struct, frozen=True):
    """What a trade says, at first or after a correction: ticks, tonnes, fen."""

    price_ticks: int
    quantity: int
    turnover: int
    buyer_fee: int
    seller_fee: int


NOTHING = Version(0, 0, 0, 0, 0)  # of a busted trade


class Correction(msgspec.Struct, frozen=True):
    """One trade put right. `number` counts from 1; amounts below are what goes back, or what is owed if negative."""

    number: int
    trade_id: int
    buy_order_id: int
    sell_order_id: int
    instrument: int
    unit: int  # asset number of what was delivered
    cash: int  # asset number of the currency
    buyer: int
    seller: int
    day: date  # on which it was traded
    batch: int  # in which it had settled; 0: it had not
    before: Version
    after: Version
    reason: str
    by: int  # account
    sequence: int  # of the command
    now_ns: int  # UTC

    @property
    def is_bust(self) -> bool:
        return self.after == NOTHING

    @property
    def cause(self) -> str:
        """What statements call it."""
        return "trade_bust" if self.is_bust else "trade_correction"

    @property
    def quantity(self) -> int:
        """Tonnes, from buyer to seller."""
        return self.before.quantity - self.after.quantity

    @property
    def turnover(self) -> int:
        """Fen, from seller to buyer."""
        return self.before.turnover - self.after.turnover

    @property
    def buyer_fee(self) -> int:
        """Fen, from the house to the buyer."""
        return self.before.buyer_fee - self.after.buyer_fee

    @property
    def seller_fee(self) -> int:
        """Fen, from the house to the seller."""
        return self.before.seller_fee - self.after.seller_fee


class Corrections:
    """All corrections, oldest first, and those of each trade."""

    def __init__(self) -> None:
        self._made: list[Correction] = []
        self._of: dict[int, list[Correction]] = {}  # by trade id
        self.standing: dict[int, Version] = {}  # what the trades that were put right say now

    def add(self, correction: Correction) -> None:
        """Note a correction, which has been carried out."""
        self._made.append(correction)
        self._of.setdefault(correction.trade_id, []).append(correction)
        self.standing[correction.trade_id] = correction.after

    def of(self, trade_id: int) -> list[Correction]:
        """The corrections of a trade, oldest first."""
        return self._of.get(trade_id, [])

    def latest(self, trade_id: int) -> Correction | None:
        """The last correction of a trade: as it says, the trade stands."""
        made = self._of.get(trade_id)
        return made[-1] if made else None

    def is_busted(self, trade_id: int) -> bool:
        """Whether a trade was put right for good."""
        return self.standing.get(trade_id) == NOTHING

    def __iter__(self) -> Iterator[Correction]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)

    def check(self) -> None:
        """Assert that each correction begins where the one before it ended, and that none follows a bust."""
        standing: dict[int, Version] = {}
        for number, one in enumerate(self._made, 1):
            assert one.number == number, f"correction {one.number} stands at place {number}"
            assert standing.get(one.trade_id, one.before) == one.before, f"trade {one.trade_id} was something else"
            assert one.before not in (NOTHING, one.after), f"nothing was put right of trade {one.trade_id}"
            assert one.is_bust or one.after.quantity > 0, f"nothing is left of trade {one.trade_id} without a bust"
            standing[one.trade_id] = one.after
        assert standing == self.standing, "trades stand otherwise than as their last corrections say"
        assert sum(map(len, self._of.values())) == len(self._made), "a correction belongs to no trade, or to two"


def version_of(trade: Any, terms: Terms) -> Version:
    """What a TRADE row says."""
    price_ticks, quantity = int(trade["price_ticks"]), int(trade["quantity"])
    turnover = price_ticks * quantity * int(terms.fen_per_tick[trade["instrument"]])
    return Version(price_ticks, quantity, turnover, int(trade["buyer_fee"]), int(trade["seller_fee"]))


def charged_anew(first_fee: int, first_turnover: int, turnover: int, rate_ppm: int) -> int:
    """Fee in fen of a trade that was charged `first_fee` on its first turnover and has another one now."""
    return max(0, first_fee + fee_of(turnover, rate_ppm) - fee_of(first_turnover, rate_ppm))


def applied(trades: type_of_rows, standing: Mapping[int, Version]) -> type_of_rows:
    """TRADE rows as they stand: corrected ones with their last terms, busted ones left out."""
    concerned = np.flatnonzero(np.isin(trades["trade_id"], list(standing))) if standing else ()
    if not len(concerned):
        return trades
    rows = trades.copy()
    for index in concerned:
        version = standing[int(rows[index]["trade_id"])]
        for name in ("price_ticks", "quantity", "buyer_fee", "seller_fee"):
            rows[name][index] = getattr(version, name)
    kept: type_of_rows = rows[rows["quantity"] > 0]
    return kept
