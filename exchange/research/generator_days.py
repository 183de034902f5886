"""Closes and volumes of the days of a market like Hubei's, where only daily data exist.

    returns   r(t) = -0.12 r(t-1) + e(t), e GARCH(1,1) of Student's t with 5 degrees, stopped by the band of 10 %
    volumes   log v(t) = season(month) + bound - G(t), G gamma: a sum of squared autoregressive normal numbers;
              none on days without a trade

The figures are those of the HBEA series 2014-04-28 to 2025-05-06 (2,610 days with a trade):

    log returns         sd 2.78 % a day, first autocorrelation -0.12, of |r| 0.45, excess kurtosis 4.9
    GARCH(1,1)          alpha 0.32, beta 0.57 (2017-2025, variance targeted)
    log volume          mean 8.88, sd 2.39 (tonnes), first autocorrelation 0.62, after month effects 0.56
    mean day            101.2 Mt / 2,610 = 38,800 t
    open days untraded  2.58 %
    season              lowest in April, highest in December, before the deadline of surrender

With normal shocks the band leaves an excess kurtosis of 1.4, so they have fat tails themselves; and since it stops
some, the returns before it have an sd of 3.15 %. Still the autocorrelation of |r| is near 0.35 rather than 0.45: the
real years differed in their level (an sd from 1.5 to 3.9 %), which one stationary process does not. The excess
kurtosis is near 2.5: that of the series owes 1.6 to three days outside the band, when rules changed.

A lognormal volume of that mean and sd would come to 30 Mt a year, twice what was ever traded: the logarithm is skewed
to the left. With log v = bound - G, G gamma of shape k and mean kθ, mean and sd fix all but k, and the mean of v,
exp(bound) (1 + θ)^-k, gives k = 4.5; the bound is then 1.1 Mt, and the largest day of the eleven years had 1.18 Mt.
The sum of 2k = 9 squared AR(1) numbers is gamma of shape k with the autocorrelation of the square of theirs (the
autoregressive gamma process, Gouriéroux and Jasiak, J. Forecasting 25, 2006).

The season's share of the variance is what lifts an autocorrelation of 0.56 to 0.62: (0.62 - 0.56) / (1 - 0.56), for
months change slowly. Its shape is a straight way from April up to December and down again.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np

from exchange.research import generator_kernels as loops
from exchange.rules import load_rule_set
from exchange.sessions import moment_ns, trading_days

_SQUARES = 9  # twice the shape of the gamma distribution
_FREEDOM = 5  # of the returns' shocks
_LOWEST_MONTH = 4
_PLACES = [  # of each month on the way from the lowest, 0, to the highest, 1
    (month - _LOWEST_MONTH) / 8 if month >= _LOWEST_MONTH else 1 - month / 4 for month in range(1, 13)
]


class Day(NamedTuple):
    """What a day shall come to."""

    date: date
    start_ns: int
    seconds: float  # of trading
    before: int  # ticks: the last close
    low: int  # ticks: the band
    high: int
    close: int  # ticks
    volume: int  # tonnes; 0: nobody trades


class DailyModel(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters; what they are is said above."""

    start_ticks: int = 4000
    sd: float = 0.0315  # of log returns, before the band stops some
    return_autocorrelation: float = -0.12
    alpha: float = 0.32
    beta: float = 0.57
    band: float = 0.10
    volume_mean: float = 8.88
    volume_sd: float = 2.39
    volume_autocorrelation: float = 0.56  # after the season
    season_share: float = 0.06 / 0.44  # of the variance of log volume
    untraded: float = 0.0258  # share of days

    def days(self, count: int, first: date, uniforms: Callable[..., Any]) -> list[Day]:
        """So many trading days from a date on. ValueError if the calendar does not reach so far."""
        rules = load_rule_set("hubei")
        dates = trading_days(rules, first, first + timedelta(days=2 * count + 30))[:count]
        if len(dates) < count:
            raise ValueError(
                f"the calendar {rules.calendar} knows {len(dates)} trading days from {first} on, not {count}"
            )
        seconds = sum(
            (moment_ns(rules, first, end) - moment_ns(rules, first, start)) / 1e9 for start, end in rules.sessions
        )
        closes, volumes = self.path([day.month for day in dates], uniforms)
        made, before = list[Day](), self.start_ticks
        for day, close, volume in zip(dates, closes, volumes, strict=True):
            start = moment_ns(rules, day, rules.sessions[0][0])
            low, high = self.limits(before)
            made.append(Day(day, start, seconds, before, low, high, close, volume))
            before = close
        return made

    def limits(self, before: int) -> tuple[int, int]:
        """The band about a close, rounded half up, and within what prices the generator knows."""
        low, high = (int(before * (1 + way * self.band) + 0.5) for way in (-1, 1))
        return max(low, 10), min(high, loops.PRICES - 100)

    def path(self, months: list[int], uniforms: Callable[..., Any]) -> tuple[list[int], list[int]]:
        """Closes in ticks and volumes in tonnes of days in these months."""
        count = len(months)
        shocks, squares = self._shocks(count, uniforms), self._normals(_SQUARES * (count + 1), uniforms)
        volumes = self._volumes(months, squares.reshape(count + 1, _SQUARES), uniforms(count))
        closes, before = list[int](), self.start_ticks
        variance = target = self.sd**2 * (1 - self.return_autocorrelation**2)
        last = error = 0.0
        for shock, volume in zip(shocks.tolist(), volumes, strict=True):
            variance = target * (1 - self.alpha - self.beta) + self.alpha * error**2 + self.beta * variance
            wanted = self.return_autocorrelation * last + shock * variance**0.5
            low, high = self.limits(before)
            close = min(max(int(before * _exp(wanted) + 0.5), low), high) if volume else before
            last, error = _log(close / before), shock * variance**0.5
            closes.append(close)
            before = close
        return closes, volumes

    def _shocks(self, count: int, uniforms: Callable[..., Any]) -> Any:
        """Numbers of Student's t distribution with `_FREEDOM` degrees, scaled to variance 1."""
        normals = self._normals(count * (_FREEDOM + 1), uniforms).reshape(count, _FREEDOM + 1)
        squares = sum(normals[:, column] * normals[:, column] for column in range(1, _FREEDOM + 1))
        return normals[:, 0] * np.sqrt((_FREEDOM - 2) / squares)

    def _volumes(self, months: list[int], normals: Any, chances: Any) -> list[int]:
        spread = self.volume_sd * (1 - self.season_share) ** 0.5
        scale = spread / (_SQUARES / 2) ** 0.5  # θ
        middle = float(np.mean(_PLACES))
        steepness = self.volume_sd * self.season_share**0.5 / float(np.std(_PLACES))
        carry = self.volume_autocorrelation**0.5
        state, volumes = normals[0].copy(), list[int]()
        for month, fresh, chance in zip(months, normals[1:], chances.tolist(), strict=True):
            state = carry * state + (1 - carry**2) ** 0.5 * fresh
            gamma = scale * sum(float(one) * float(one) for one in state) / 2
            season = steepness * (_PLACES[month - 1] - middle)
            log_volume = self.volume_mean + season + scale * _SQUARES / 2 - gamma
            volumes.append(0 if chance < self.untraded else max(int(_exp(log_volume) + 0.5), 1))
        return volumes

    def _normals(self, count: int, uniforms: Callable[..., Any]) -> Any:
        found, filled = np.zeros(count + count % 2), 0
        while filled < found.size:
            filled += loops.normals(uniforms(found.size, 2), found[filled:])
        return found[:count]


def _exp(x: float) -> float:
    """e to the power of x, rounded alike on every machine."""
    found = np.zeros(1)
    loops.exps(np.array([-abs(x)]), found)
    return 1 / float(found[0]) if x > 0 else float(found[0])


def _log(x: float) -> float:
    found = np.zeros(1)
    loops.logs(np.array([x]), found)
    return float(found[0])
