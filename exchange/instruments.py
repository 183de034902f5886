"""What is traded: an instrument, its unit, its prices of the day. Decimals on the wire, ticks inside."""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from exchange.reasons import Reason, Refused
from registry.holdings import CASH
from settlement.clearing import Terms, terms_of

INSTRUMENT = np.dtype(
    (
        np.record,
        [
            ("last_ticks", "i8"),  # price of the last trade; before the first of the day the previous close
            ("band_low_ticks", "i8"),
            ("band_high_ticks", "i8"),
            ("fen_per_tick", "i8"),
            ("lot", "i8"),  # t
            ("asset", "i8"),  # unit number
            ("cash", "i8"),  # asset number of the currency in which it is quoted
            ("today", "u2"),  # days since 1970
            ("phase", "u1"),  # exchange.sessions.Phase
            ("execution_price", "u1"),  # matching.pricing.ExecutionPrice
            ("self_trade", "u1"),  # matching.orders.SelfTradePrevention of orders that choose none
            ("carries_over", "u1"),  # whether GTC and GTD orders are taken
            ("resale_at_once", "u1"),
            ("proceeds_at_once", "u1"),
            ("counts", "u1"),  # whether it counts in positions: an allowance does
        ],
    )
)
UNLIMITED_TICKS = (1 << 63) - 1


class Instrument(msgspec.Struct):
    """A listing: `number` is its row in the market's arrays; prices in ticks of `tick` per t, of its currency."""

    number: int
    symbol: str
    unit: int
    tick: Decimal
    close_ticks: int  # of the last closed day; 0: none yet
    cash: int = CASH  # asset number of the currency

    def ticks(self, price: str) -> int:
        """A decimal price in ticks. Refused if it lies off the tick."""
        return ticks_of(price, self.tick)

    def price(self, ticks: int) -> str:
        """Ticks as a decimal price."""
        return _price_of(ticks, self.tick)


class Instruments:
    """All listings, by number and by symbol."""

    def __init__(self) -> None:
        self.by_number: list[Instrument | None] = [None]
        self.by_symbol: dict[str, Instrument] = {}

    def list(self, symbol: str, unit: int, tick: Decimal, cash: int = CASH) -> Instrument:
        """List an instrument. KeyError if the symbol is taken."""
        if symbol in self.by_symbol:
            raise KeyError(symbol)
        instrument = Instrument(len(self.by_number), symbol, unit, tick, 0, cash)
        self.by_number.append(instrument)
        self.by_symbol[symbol] = instrument
        return instrument

    def __len__(self) -> int:
        return len(self.by_symbol)

    def __getitem__(self, number: int) -> Instrument:
        instrument = self.by_number[number]
        if instrument is None:
            raise IndexError("instrument 0 is nobody")
        return instrument

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self.by_symbol.values())


def terms_of_instruments(rows: np.ndarray[Any, np.dtype[Any]]) -> Terms:
    """What INSTRUMENT rows deliver and are paid in."""
    return terms_of(rows["asset"], rows["cash"], rows["fen_per_tick"])


@lru_cache(1 << 16)
def _price_of(ticks: int, tick: Decimal) -> str:
    return str(ticks * tick)


@lru_cache(1 << 16)
def ticks_of(price: str, tick: Decimal) -> int:
    """A decimal price in ticks. Refused if it is no multiple of the tick."""
    return _whole(price, tick, Reason.PRICE_OFF_TICK)


def fen(amount: str) -> int:
    """A decimal amount of the currency in fen. Refused if it is finer than a fen."""
    return _whole(amount, Decimal("0.01"), Reason.AMOUNT_OFF_FEN)


def _whole(text: str, step: Decimal, reason: Reason) -> int:
    try:
        steps = Decimal(text) / step
        whole = int(steps)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise Refused(reason, f"{text!r} is not a decimal number") from error
    if whole != steps:
        raise Refused(reason, f"{text} is not a multiple of {step}")
    return whole


def money(fen: int) -> str:
    """Fen as a decimal amount of the currency."""
    whole, rest = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{whole}.{rest:02d}"
