"""Order flow made from a seed: zero intelligence, Hawkes, and whole days of a market like Hubei's.

    ZeroIntelligence   limit, market and cancel orders at constant rates (Smith, Farmer, Gillemot, Krishnamurthy 2003)
    HawkesFlow         the six types of message excite one another (Hawkes 1971), prices as above
    MarketDays         days of either, whose closes and volumes follow `generator_days`

Each is a frozen value with `flow(..., seed)`, which yields COMMAND rows in parts, references 1, 2, 3 ... by arrival,
times in UTC nanoseconds. The same value and seed give the same rows on every machine: `generator_kernels` says how.

Prices are ticks (1 to 65,535), quantities tonnes, times seconds. ParameterError if parameters make no sense.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from exchange.research import generator_kernels as loops
from exchange.research.generator_days import DailyModel, Day
from exchange.rows import COMMAND, joined, type_of_rows

type_of_numbers = np.ndarray[Any, np.dtype[Any]]
AT_ONCE = 1 << 16  # messages of a part
START_NS = 1_767_576_600_000_000_000  # 2026-01-05 09:30 in Shanghai
FOREVER = 1e18  # seconds
TYPE_NAMES = ("limit buy", "limit sell", "market buy", "market sell", "cancel buy", "cancel sell")


class ParameterError(ValueError):
    """A parameter of a generator that can't be; says which and why."""


class Uniforms:
    """Uniform numbers in [0, 1), 53 bits of PCG64 each, whose stream NumPy promises not to change."""

    def __init__(self, *seed: int) -> None:
        self._source = np.random.PCG64(np.random.SeedSequence(seed))

    def __call__(self, *shape: int) -> type_of_numbers:
        numbers = self._source.random_raw(int(np.prod(shape))) >> np.uint64(11)
        return (numbers.astype(np.float64) * 2.0**-53).reshape(shape)


class Steps:
    """Rows of uniforms, handed out again from where a loop has stopped."""

    def __init__(self, uniforms: Uniforms, width: int) -> None:
        self._uniforms, self._left = uniforms, np.zeros((0, width))

    def some(self, used: int = 0) -> type_of_numbers:
        """What is left after `used` rows of what was handed out last; anew if that is nothing."""
        self._left = self._left[used:]
        if not len(self._left):
            self._left = self._uniforms(AT_ONCE, self._left.shape[1])
        return self._left


def _require(is_well: bool, what: str) -> None:
    if not is_well:
        raise ParameterError(what)


class ZeroIntelligence(msgspec.Struct, frozen=True, kw_only=True):
    """Smith, Farmer, Gillemot and Krishnamurthy, Quantitative Finance 3 (2003), section 2.

    Limit orders come at `limit_rate` a second at each of the `window` ticks behind the opposite best price (in the
    paper at all of them: those farther away are of no effect), market orders at `market_rate` a second on each side,
    and each order that rests is cancelled at `cancel_rate` a second. All are of one `size`.
    """

    limit_rate: float = 0.02  # orders a second, tick and side
    market_rate: float = 0.15  # orders a second and side
    cancel_rate: float = 0.01  # a second
    window: int = 50  # ticks
    size: int = 100  # tonnes
    centre: int = 4000  # ticks: about which the first prices lie
    start_ns: int = START_NS

    def check(self) -> None:
        """ParameterError if something can't be."""
        for name in ("limit_rate", "market_rate", "cancel_rate"):
            _require(0 <= getattr(self, name) < 1e6, f"{name}: {getattr(self, name)} is not a rate from 0 to a million")
        _require(self.limit_rate > 0, "limit_rate: without limit orders there is no market")
        _require(1 <= self.window <= 10_000, f"window: {self.window} is not between 1 and 10,000 ticks")
        _require(self.size >= 1, f"size: {self.size} is not a quantity")
        _require(
            self.window < self.centre < loops.PRICES - self.window,
            f"centre: {self.centre} is nearer than the window to the ends of prices, 0 and {loops.PRICES} ticks",
        )

    def flow(self, messages: int, seed: int) -> Iterator[type_of_rows]:
        """So many messages."""
        self.check()
        steps = Steps(Uniforms(seed, 1), 4)
        pad, used = loops.new_pad(0), 0
        set_terms(pad, self)
        while messages:
            rows = np.zeros(min(AT_ONCE, messages), COMMAND)
            pad = loops.with_room(pad, int(pad.tally["orders"][0]) + rows.size)
            written = 0
            while written < rows.size:
                more, used = loops.zero_intelligence(pad, steps.some(used), rows[written:])
                written += more
            messages -= rows.size
            yield rows


def set_terms(pad: loops.Pad, terms: ZeroIntelligence, **more: float) -> None:
    """How a pad goes on."""
    room = pad.terms[0]
    room["start_ns"], room["centre"], room["window"] = terms.start_ns, terms.centre, terms.window
    room["low"], room["high"], room["tonnes"] = 1, loops.PRICES - 1, terms.size
    room["limit_rate"], room["market_rate"], room["cancel_rate"] = (
        terms.limit_rate,
        terms.market_rate,
        terms.cancel_rate,
    )
    room["until"], room["now"] = FOREVER, 0.0
    for name, value in more.items():
        room[name] = value


class Events(NamedTuple):
    """Events of a Hawkes process: seconds from 0, kinds by number."""

    times: type_of_numbers
    kinds: type_of_numbers


class Hawkes(msgspec.Struct, frozen=True):
    """A multivariate Hawkes process with exponential kernels (Hawkes, Biometrika 58, 1971).

    Kind i has the intensity base[i] + sum of jumps[i][j] exp(-decays[i][j] (t - s)) over all earlier events s of each
    kind j. An event of kind j causes branching[i][j] = jumps[i][j] / decays[i][j] events of kind i in the mean; the
    process is stationary if the spectral radius of that matrix is below 1 (Brémaud and Massoulié 1996), else refused.
    """

    base: tuple[float, ...]  # events a second
    jumps: tuple[tuple[float, ...], ...]  # events a second, by kind caused and kind that causes
    decays: tuple[tuple[float, ...], ...]  # a second

    @property
    def branching(self) -> type_of_numbers:
        shares: type_of_numbers = np.array(self.jumps) / np.array(self.decays)
        return shares

    @property
    def radius(self) -> float:
        """Spectral radius of the branching matrix."""
        return float(np.abs(np.linalg.eigvals(self.branching)).max())

    @property
    def rates(self) -> type_of_numbers:
        """Events a second of each kind in the long run: (1 - branching)^-1 base; of one kind base / (1 - n)."""
        return np.asarray(np.linalg.solve(np.eye(len(self.base)) - self.branching, np.array(self.base)))

    def check(self) -> None:
        """ParameterError if something can't be."""
        kinds = len(self.base)
        for name in ("jumps", "decays"):
            matrix = getattr(self, name)
            is_square = len(matrix) == kinds and all(len(line) == kinds for line in matrix)
            _require(kinds > 0 and is_square, f"{name}: not a square of {kinds} kinds")
        _require(all(0 <= one < np.inf for one in self.base) and sum(self.base) > 0, "base: rates from 0, not all 0")
        _require(all(0 <= one < np.inf for line in self.jumps for one in line), "jumps: numbers from 0")
        _require(all(0 < one < np.inf for line in self.decays for one in line), "decays: numbers above 0")
        _require(self.radius < 1, f"the spectral radius of the branching matrix is {self.radius:.3f}, not below 1")

    def events(self, uniforms: Uniforms, until: float = FOREVER, at_once: int = AT_ONCE) -> Iterator[Events]:
        """Events from an empty past on, in parts, by Ogata's thinning (IEEE Trans. Inf. Theory 27, 1981)."""
        self.check()
        kinds = len(self.base)
        steps, used, now = Steps(uniforms, 2), 0, 0.0
        excited = np.zeros((kinds, kinds))
        while now < until:
            times, types, found = np.zeros(at_once), np.zeros(at_once, np.int64), 0
            while found < at_once and now < until:
                more, used, now = loops.thin(
                    *self._arrays(), excited, steps.some(used), now, until, times[found:], types[found:]
                )
                found += more
            yield Events(times[:found], types[:found])

    def residuals(self, events: Events) -> type_of_numbers:
        """What each event's intensity came to since the last of its kind: exponential, mean 1, if the process is right.

        The random time change of Papangelou (1972), as Ogata tests with it (JASA 83, 1988).
        """
        kinds, found = len(self.base), np.zeros(events.times.size)
        room = np.zeros((kinds, kinds)), np.zeros(kinds)
        loops.compensate(*self._arrays(), *room, events.times, events.kinds, found)
        return found

    def _arrays(self) -> tuple[type_of_numbers, ...]:
        return np.array(self.base), np.array(self.jumps), np.array(self.decays)


def clustered(branching: float = 0.7, seconds: float = 2.0, rate: float = 10.0) -> Hawkes:
    """A Hawkes process of the six types of message, symmetric in buying and selling.

    Half of what a message causes is of its own type; the rest, in equal parts, what follows it: a limit order is
    followed by the cancel of one on its side and by market orders against it, a market order by limit orders on both
    sides, a cancel by limit orders on its side. `branching` (below 1) messages are caused by each, in `seconds` in the
    mean; `rate` messages a second in the long run, of which half are limit orders, a sixth market orders, a third
    cancels. This is a shape, not a fit: no order-level data of a carbon market is public.
    """
    _require(0 <= branching < 1, f"branching: {branching} is not from 0 to below 1")
    _require(seconds > 0 and rate > 0, "seconds and rate are above 0")
    follows = {0: (4, 3), 1: (5, 2), 2: (0, 1), 3: (0, 1), 4: (0,), 5: (1,)}
    matrix = 0.5 * branching * np.eye(loops.TYPES)
    for cause, effects in follows.items():
        for effect in effects:
            matrix[effect, cause] += 0.5 * branching / len(effects)
    wanted = rate * np.array([1 / 4, 1 / 4, 1 / 12, 1 / 12, 1 / 6, 1 / 6])
    base = wanted - matrix @ wanted
    _require(bool((base >= 0).all()), f"branching: {branching} leaves no message that nothing has caused")
    decay = 1 / seconds
    return Hawkes(
        tuple(base.tolist()), tuple(map(tuple, (matrix * decay).tolist())), ((decay,) * loops.TYPES,) * loops.TYPES
    )


class HawkesFlow(msgspec.Struct, frozen=True, kw_only=True):
    """Messages at the times and of the types of a Hawkes process, with the prices of zero intelligence.

    Limit orders lie anywhere in the window, a cancel names any order of its side, sizes are exponential with the mean
    `book.size`. A market order or cancel that would find nobody is left out. The rates of `book` are not used.
    """

    process: Hawkes = msgspec.field(default_factory=clustered)
    book: ZeroIntelligence = msgspec.field(default_factory=ZeroIntelligence)

    def check(self) -> None:
        """ParameterError if something can't be."""
        self.book.check()
        self.process.check()
        _require(len(self.process.base) == loops.TYPES, f"base: a flow has {loops.TYPES} types: {TYPE_NAMES}")

    def flow(self, messages: int, seed: int) -> Iterator[type_of_rows]:
        """So many messages."""
        self.check()
        uniforms, pad = Uniforms(seed, 3), loops.new_pad(0)
        set_terms(pad, self.book, is_spread=1)
        for events in self.process.events(Uniforms(seed, 2)):
            pad = loops.with_room(pad, int(pad.tally["orders"][0]) + events.times.size)
            rows = np.zeros(events.times.size, COMMAND)
            written = loops.dress(pad, *events, uniforms(rows.size, 2), rows)
            rows = rows[: min(written, messages)]
            messages -= rows.size
            yield rows
            if not messages:
                return


class MarketDays(msgspec.Struct, frozen=True, kw_only=True):
    """Trading days of a thin market whose closes and volumes follow a daily model, with a flow within the day.

    About `orders` market orders trade a day's volume, fewer on days of a few tonnes and none on days without a trade;
    twice as many limit orders come, and what rests at the close is cancelled, for orders lived for the day. The
    price finds the day's close because market orders prefer the side that leads to a straight line from the last close
    to it, which arrives when a fifth of the day is left. What is not modelled: the range within a day, and days whose
    close is that of the day before.
    """

    model: Literal["zi", "hawkes"] = "zi"
    daily: DailyModel = msgspec.field(default_factory=DailyModel)
    orders: int = 120
    process: Hawkes = msgspec.field(default_factory=clustered)

    def check(self) -> None:
        """ParameterError if something can't be."""
        _require(self.model in ("zi", "hawkes"), f"model: {self.model!r} is neither zi nor hawkes")
        _require(10 <= self.orders <= 100_000, f"orders: {self.orders} is not between 10 and 100,000")
        HawkesFlow(process=self.process).check()

    def plan(self, days: int, seed: int, first: date = date(2026, 1, 5)) -> list[Day]:
        """What each day shall close at and trade. ParameterError beyond the calendar's end."""
        self.check()
        try:
            return self.daily.days(days, first, Uniforms(seed, 4))
        except ValueError as error:
            raise ParameterError(str(error)) from error

    def flow(self, days: list[Day], seed: int) -> Iterator[type_of_rows]:
        """The messages of each day, one part a day."""
        self.check()
        pad = loops.new_pad(0)
        for number, day in enumerate(days):
            pad = self._begin(pad, day)
            rows = self._hawkes(pad, seed, number) if self.model == "hawkes" else self._rates(pad, seed, number)
            left = np.zeros(int(pad.tally["bids"][0] + pad.tally["asks"][0]), COMMAND)
            pad.terms[0]["now"] = pad.terms[0]["until"]
            loops.clear(pad, left)
            yield joined([rows, left])

    def _begin(self, pad: loops.Pad, day: Day) -> loops.Pad:
        """The book of a day: as many market orders as tonnes at most, limit orders within 2 % of the price."""
        trades = min(self.orders, day.volume)
        window = max(day.before // 50, 2)
        limits = max(2 * trades, 20)
        book = ZeroIntelligence(
            limit_rate=limits / (2 * window * day.seconds),
            market_rate=trades / (2 * day.seconds),
            cancel_rate=4 / day.seconds,
            window=window,
            centre=day.before,
            start_ns=day.start_ns,
        )
        pad = loops.with_room(pad, int(pad.tally["orders"][0]) + 40 * self.orders + 10_000)
        size = max(day.volume / trades, 1.0) if trades else 1.0
        set_terms(pad, book, until=day.seconds, low=day.low, high=day.high, goal=day.close, reach=window / 8,
                  tonnes=size, is_spread=int(trades == self.orders))  # fmt: skip
        return pad

    def _rates(self, pad: loops.Pad, seed: int, number: int) -> type_of_rows:
        rows = np.zeros(20 * self.orders + 2000, COMMAND)
        written, _ = loops.zero_intelligence(pad, Uniforms(seed, 5, number)(2 * rows.size, 4), rows)
        return rows[:written]

    def _hawkes(self, pad: loops.Pad, seed: int, number: int) -> type_of_rows:
        """The process in its own time, of which a day has as much as its messages take in the mean."""
        terms = pad.terms[0]
        trades = 2.0 * float(terms["market_rate"]) * float(terms["until"])
        length = max(trades, 5.0) / (self.process.rates[2:4].sum())
        parts = [*self.process.events(Uniforms(seed, 6, number), length)]
        times = np.concatenate([part.times for part in parts]) * (float(terms["until"]) / length)
        kinds = np.concatenate([part.kinds for part in parts])
        if not trades:
            times, kinds = times[kinds // 2 != 1], kinds[kinds // 2 != 1]
        rows = np.zeros(times.size, COMMAND)
        written = loops.dress(pad, times, kinds, Uniforms(seed, 7, number)(times.size, 2), rows)
        return rows[:written]


def numbered(parts: Iterator[type_of_rows]) -> Iterator[type_of_rows]:
    """The same rows, `sequence` counting from 0 as in a file."""
    begun = 0
    for rows in parts:
        rows["sequence"] = np.arange(begun, begun + rows.size)
        begun += rows.size
        yield rows


def whole(parts: Iterator[type_of_rows]) -> type_of_rows:
    """All rows of a flow in one array."""
    return joined([np.zeros(0, COMMAND), *numbered(parts)])
