"""Candles: the trades of an instrument by intervals of market time.

Trades count as they stand: corrected ones with what they say now, busted ones not at all; deals that come due are no
trades of the market. An interval without trades has no candle. Intervals begin at full minutes, hours and days of the
market's own time.
"""

from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from api.gateway import Gateway
from api.schemas import CandleView
from exchange.instruments import Instrument, money
from exchange.rows import type_of_rows
from settlement.corrections import applied

Interval = Literal["1m", "5m", "1h", "1d"]
_S = 1_000_000_000
LENGTHS: dict[Interval, int] = {"1m": 60 * _S, "5m": 300 * _S, "1h": 3600 * _S, "1d": 86_400 * _S}
_HOUR = LENGTHS["1h"]


def candles(gateway: Gateway, listed: Instrument, interval: Interval) -> list[CandleView]:
    """All candles of an instrument, oldest first."""
    booked = gateway.history.trades_of(listed.number, 0)
    trades = applied(booked, gateway.exchange.clearing.corrections.standing)
    if not trades.size:
        return []
    zone = ZoneInfo(gateway.exchange.market.timezone)
    local = trades["now_ns"] + _offsets(trades["now_ns"], zone)
    starts = local - local % LENGTHS[interval]
    firsts = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
    ends = np.append(firsts[1:], trades.size)
    fen_per_tick = int(gateway.exchange.path.desk.instruments[listed.number].fen_per_tick)
    return [
        _candle(listed, trades[first:end], int(starts[first]), zone, fen_per_tick)
        for first, end in zip(firsts.tolist(), ends.tolist(), strict=True)
    ]


def _candle(listed: Instrument, trades: type_of_rows, start: int, zone: ZoneInfo, fen_per_tick: int) -> CandleView:
    prices, quantities = trades["price_ticks"], trades["quantity"]
    return CandleView(
        start=datetime.fromtimestamp(start // _S, UTC).replace(tzinfo=zone).isoformat(),
        open=listed.price(int(prices[0])),
        high=listed.price(int(prices.max())),
        low=listed.price(int(prices.min())),
        close=listed.price(int(prices[-1])),
        volume=int(quantities.sum()),
        turnover=money(int((prices * quantities).sum()) * fen_per_tick),
        trades=int(trades.size),
    )


def _offsets(at_ns: type_of_rows, zone: ZoneInfo) -> type_of_rows:
    """What a zone's time is ahead of UTC, in ns; no zone changes it within an hour of UTC."""
    hours, which = np.unique(at_ns // _HOUR, return_inverse=True)
    ahead = [datetime.fromtimestamp(hour * 3600, zone).utcoffset() for hour in hours.tolist()]
    seconds = [int(one.total_seconds()) if one is not None else 0 for one in ahead]
    found: type_of_rows = np.array(seconds, np.int64)[which] * _S
    return found
