"""Generated order flow: the processes are what they say, the year is like Hubei's, and no machine makes another."""

import hashlib
import math
from datetime import date

import numpy as np
import pytest

from exchange.flow import FlowPlayer, new_events
from exchange.flow_files import read_flow
from exchange.research import generator_kernels as loops
from exchange.research.generator import (
    Hawkes,
    HawkesFlow,
    MarketDays,
    ParameterError,
    Uniforms,
    ZeroIntelligence,
    clustered,
    whole,
)
from exchange.research.generator_days import DailyModel
from exchange.rows import EVENT, CommandKind, EventKind, joined
from matching.orders import TimeInForce
from tests.conftest import THOROUGH
from tests.system.desk import run

SEED = 2026
ONE_KIND = Hawkes((1.0,), ((1.2,),), ((2.0,),))  # n = 0.6


def events_of(rows, player=None):
    player = player or FlowPlayer(assigned_ids=True)
    return joined([np.zeros(0, EVENT), *(part.copy() for part in player.play(rows, new_events()))])


def content(rows):
    """A digest of all that a flow says."""
    found = hashlib.sha256()
    for name in ("kind", "order_id", "side", "price_ticks", "quantity", "time_in_force", "now_ns"):
        said = np.where(rows["kind"] == CommandKind.CANCEL_ORDER, 0, rows[name]) if name == "side" else rows[name]
        found.update(np.ascontiguousarray(said, rows.dtype[name]).tobytes())
    return found.hexdigest()[:16]


# ---------------------------------------------------------------- numbers


@pytest.mark.kernels
def test_exponential_and_logarithm_agree_with_the_library_to_the_last_bits():
    numbers = np.concatenate([-np.geomspace(1e-300, 690, 2000), [0.0, -1.0, -math.log(2)]])
    found = np.zeros(numbers.size)
    loops.exps(numbers, found)
    assert np.abs(found / np.exp(numbers) - 1).max() < 5e-16
    numbers = np.concatenate([np.geomspace(1e-300, 1e300, 2000), [1.0, 2.0, 0.5, 1 - 2**-53, 1 + 2**-52]])
    found = np.zeros(numbers.size)
    loops.logs(numbers, found)
    assert np.allclose(found, np.log(numbers), rtol=5e-16, atol=0)
    assert found[-5] == 0.0


def test_a_seed_makes_one_flow_on_every_machine():
    """If these change, then what was published under a seed can't be made again."""
    market = MarketDays()
    assert content(whole(ZeroIntelligence().flow(5000, 1))) == "2e9dada4fb2f6799"
    assert content(whole(HawkesFlow().flow(5000, 1))) == "f62a6bd8583aeda4"
    assert content(whole(market.flow(market.plan(5, 1, date(2025, 1, 2)), 1))) == "58080a73c6ba644a"
    assert content(whole(ZeroIntelligence().flow(5000, 2))) != content(whole(ZeroIntelligence().flow(5000, 1)))


def test_a_longer_flow_begins_with_the_shorter_one():
    for model in (ZeroIntelligence(), HawkesFlow()):
        long, short = whole(model.flow(70_000, 3)), whole(model.flow(2000, 3))
        assert content(long[:2000]) == content(short) and short.size == 2000 and long.size == 70_000


# ---------------------------------------------------------------- plain twins


class PlainMarket:
    """Zero intelligence in lists, every rate as in the paper; draws the same uniforms."""

    def __init__(self, terms):
        self.terms, self.resting, self.sides, self.orders, self.now = terms, {}, ([], []), 0, 0.0

    def best(self, side):
        prices = [self.resting[number][0] for number in self.sides[side]]
        return (max(prices) if side == 0 else min(prices)) if prices else None

    def leave(self, number):
        ranks = self.sides[self.resting.pop(number)[2]]
        ranks[ranks.index(number)] = ranks[-1]
        ranks.pop()

    def limit(self, side, u):
        behind = int(u * self.terms.window)
        bid, ask, centre = self.best(0), self.best(1), self.terms.centre
        if side == 0:
            price = (ask if ask is not None else max(centre, bid or 0) + 1) - 1 - behind
        else:
            price = (bid if bid is not None else (centre if ask is None else min(centre, ask)) - 1) + 1 + behind
        self.orders += 1
        self.resting[self.orders] = [price, self.terms.size, side]
        self.sides[side].append(self.orders)
        return ("new", self.orders, side, price, self.terms.size)

    def market(self, side):
        best = self.best(1 - side)
        if best is None:
            return None
        worst, left = best + (1 if side == 0 else -1) * self.terms.window, self.terms.size
        self.orders += 1
        sign = 1 if side == 0 else -1
        for number in sorted(self.sides[1 - side], key=lambda number: (sign * self.resting[number][0], number)):
            if left == 0 or sign * self.resting[number][0] > sign * worst:
                break
            traded = min(left, self.resting[number][1])
            self.resting[number][1] -= traded
            left -= traded
            if self.resting[number][1] == 0:
                self.leave(number)
        return ("market", self.orders, side, worst, self.terms.size)

    def cancel(self, side, u):
        number = self.sides[side][int(u * len(self.sides[side]))]
        self.leave(number)
        return ("cancel", number, side, 0, 0)

    def step(self, time, which, u):
        terms = self.terms
        rates = [terms.limit_rate * terms.window] * 2 + [terms.market_rate] * 2
        rates += [terms.cancel_rate * len(ranks) for ranks in self.sides]
        self.now -= math.log(1 - time) / sum(rates)
        kind = int(np.searchsorted(np.cumsum(rates), which * sum(rates), side="right"))
        acts = (self.limit, lambda side, _: self.market(side), self.cancel)
        return acts[kind // 2](kind % 2, u)


@pytest.mark.parametrize(
    "terms",
    [
        pytest.param(ZeroIntelligence(), marks=pytest.mark.kernels),
        ZeroIntelligence(window=3, market_rate=0.05, centre=40),
    ],
)
def test_zero_intelligence_does_what_its_plain_twin_does(terms):
    rows, plain, said, times = whole(terms.flow(1500, SEED)), PlainMarket(terms), [], []
    for time, which, u, _ in Uniforms(SEED, 1)(65536, 4).tolist():
        told = plain.step(time, which, u)
        if told:
            said.append(told)
            times.append(plain.now)
        if len(said) == rows.size:
            break
    words = {
        (CommandKind.PLACE_ORDER, TimeInForce.GTC): "new",
        (CommandKind.PLACE_ORDER, TimeInForce.IOC): "market",
        (CommandKind.CANCEL_ORDER, TimeInForce.GTC): "cancel",
    }
    names = ("kind", "time_in_force", "order_id", "side", "price_ticks", "quantity")
    found = [(words[kind, lives], *rest) for kind, lives, *rest in zip(*(rows[n].tolist() for n in names), strict=True)]
    assert found == said
    assert np.abs(rows["now_ns"] - terms.start_ns - np.array(times) * 1e9).max() < 10


def plain_intensity(process, kind, now, past):
    caused = (process.jumps[kind][j] * math.exp(-process.decays[kind][j] * (now - at)) for at, j in past)
    return process.base[kind] + sum(caused)


@pytest.mark.kernels
def test_thinning_does_what_its_plain_twin_does():
    process = Hawkes((0.5, 0.2), ((0.4, 0.1), (0.3, 0.2)), ((1.0, 2.0), (0.7, 0.9)))
    found = next(process.events(Uniforms(SEED), at_once=300))
    past, now = [], 0.0
    for time, which in Uniforms(SEED)(65536, 2).tolist():
        bound = sum(plain_intensity(process, kind, now, past) for kind in range(2))
        now -= math.log(1 - time) / bound
        at_once = np.cumsum([plain_intensity(process, kind, now, past) for kind in range(2)])
        kind = int(np.searchsorted(at_once, which * bound, side="right"))
        if kind < 2:
            past.append((now, kind))
        if len(past) == 300:
            break
    assert [kind for _, kind in past] == found.kinds.tolist()
    assert np.allclose([at for at, _ in past], found.times, rtol=1e-10)
    residuals = process.residuals(found)
    mine = [at for at, kind in past if kind == 1]
    steps = np.linspace(mine[3], mine[4], 20_001)
    heights = [plain_intensity(process, 1, at, [one for one in past if one[0] < at]) for at in steps[1:-1]]
    assert np.mean(heights) * (mine[4] - mine[3]) == pytest.approx(residuals[found.kinds == 1][4], rel=1e-3)


# ---------------------------------------------------------------- the processes


def test_the_mean_rate_of_a_hawkes_process_is_its_base_by_one_minus_what_it_causes():
    """Var N(T) is about base T / (1-n)^3 (Hawkes 1971, the spectrum at zero); three standard errors."""
    until = 40_000.0
    events = sum(part.times.size for part in ONE_KIND.events(Uniforms(SEED), until))
    assert ONE_KIND.radius == pytest.approx(0.6) and ONE_KIND.rates == pytest.approx(1 / 0.4)
    assert abs(events / until - 2.5) < 3 * math.sqrt(1 / 0.4**3 / until)


def test_each_type_of_message_comes_at_its_mean_rate():
    """Cov N(T) / T is (1-B)^-1 diag(rates) (1-B)^-T; three standard errors of each of the six."""
    process, until = clustered(), 20_000.0
    kinds = np.concatenate([part.kinds for part in process.events(Uniforms(SEED), until)])
    inverse = np.linalg.inv(np.eye(6) - process.branching)
    errors = np.sqrt(np.diag(inverse @ np.diag(process.rates) @ inverse.T) / until)
    assert process.rates == pytest.approx(10 * np.array([3, 3, 1, 1, 2, 2]) / 12)
    assert (np.abs(np.bincount(kinds, minlength=6) / until - process.rates) < 3 * errors).all()


def distance_from_exponential(numbers):
    """Kolmogorov's statistic against the exponential distribution of mean 1, times the root of how many there are."""
    ranks, cumulated = np.arange(numbers.size), -np.expm1(-np.sort(numbers))
    apart = max((cumulated - ranks / numbers.size).max(), ((ranks + 1) / numbers.size - cumulated).max())
    return apart * math.sqrt(numbers.size)


def test_time_changed_by_the_intensity_is_a_poisson_process():
    """Kolmogorov-Smirnov at one in a thousand (1.95); and the test sees half as many more events without a cause."""
    for process in (ONE_KIND, clustered()):
        events = next(process.events(Uniforms(SEED), at_once=40_000))
        residuals = process.residuals(events)
        assert residuals.mean() == pytest.approx(1, abs=3 / math.sqrt(residuals.size))
        for kind in range(len(process.base)):
            assert distance_from_exponential(residuals[events.kinds == kind]) < 1.95
    wrong = Hawkes(tuple(1.5 * one for one in process.base), process.jumps, process.decays)
    assert distance_from_exponential(wrong.residuals(events)[events.kinds == 0]) > 1.95


def test_the_rates_of_zero_intelligence_are_found_again_from_its_flow():
    """Each count is Poisson given the book, so its standard error is its root; three of them."""
    terms = ZeroIntelligence()
    rows = whole(terms.flow(200_000, SEED))
    events = events_of(rows)
    seconds = np.diff(rows["now_ns"], append=rows["now_ns"][-1]) / 1e9
    is_limit = (rows["kind"] == CommandKind.PLACE_ORDER) & (rows["time_in_force"] == TimeInForce.GTC)
    is_market, is_cancel = rows["time_in_force"] == TimeInForce.IOC, rows["kind"] == CommandKind.CANCEL_ORDER
    gone = events[(events["kind"] == EventKind.TRADED) & (events["maker_leaves"] == 0)]
    change = is_limit.astype(int) - is_cancel
    np.subtract.at(change, gone["sequence"], 1)
    exposures = {
        "limit_rate": (is_limit, 2 * terms.window * seconds.sum()),
        "market_rate": (is_market, 2 * seconds.sum()),
        "cancel_rate": (is_cancel, (np.cumsum(change) * seconds).sum()),
    }
    for name, (which, exposure) in exposures.items():
        count = int(which.sum())
        assert abs(count / exposure / getattr(terms, name) - 1) < 3 / math.sqrt(count), name


def test_limit_orders_lie_alike_at_every_tick_of_the_window():
    """Chi squared of 50 cells below its 99.9 % (85.4): distances from the opposite best price are uniform."""
    rows = whole(ZeroIntelligence().flow(4000, SEED))
    book, distances = PlainMarket(ZeroIntelligence()), []
    for time, which, u, _ in Uniforms(SEED, 1)(6000, 4).tolist():
        opposite = book.best(1), book.best(0)
        told = book.step(time, which, u)
        if told and told[0] == "new" and None not in opposite:
            distances.append(abs(opposite[told[2]] - told[3]))
    counts = np.bincount(distances, minlength=51)[1:]
    assert counts.size == 50 and rows.size == 4000
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 85.4


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (Hawkes((1.0,), ((2.0,),), ((2.0,),)), "spectral radius of the branching matrix is 1.000"),
        (Hawkes((1.0, 1.0), ((0.1, 3.0), (0.4, 0.1)), ((1.0, 1.0), (1.0, 1.0))), "spectral radius"),
        (Hawkes((1.0,), ((0.1, 0.1),), ((2.0,),)), "jumps: not a square"),
        (Hawkes((1.0,), ((0.1,),), ((0.0,),)), "decays"),
        (Hawkes((math.nan,), ((0.1,),), ((1.0,),)), "base"),
        (ZeroIntelligence(limit_rate=0), "limit_rate"),
        (ZeroIntelligence(cancel_rate=-1), "cancel_rate"),
        (ZeroIntelligence(window=0), "window"),
        (ZeroIntelligence(centre=20), "centre"),
        (ZeroIntelligence(size=0), "size"),
        (HawkesFlow(process=ONE_KIND), "six|6 types"),
        (MarketDays(orders=1), "orders"),
    ],
)
def test_parameters_that_can_not_be_are_named(parameters, said):
    with pytest.raises(ParameterError, match=said):
        parameters.check()


# ---------------------------------------------------------------- the book


@pytest.mark.parametrize("model", [ZeroIntelligence(), ZeroIntelligence(window=2, centre=5), HawkesFlow()])
def test_the_book_agrees_with_every_message(model):
    """No limit order trades, every cancel finds its order, nothing is refused."""
    rows = whole(model.flow(30_000, SEED))
    assert rows.size == 30_000 and (np.diff(rows["now_ns"]) >= 0).all()
    events = events_of(rows)
    assert {*np.unique(events["kind"])} == {EventKind.ACCEPTED, EventKind.TRADED, EventKind.CANCELLED}
    takers = rows["time_in_force"][events["sequence"][events["kind"] == EventKind.TRADED]]
    assert (takers == TimeInForce.IOC).all() and takers.size > 1000


# ---------------------------------------------------------------- a year


def autocorrelation(numbers):
    return float(np.corrcoef(numbers[1:], numbers[:-1])[0, 1])


def excess_kurtosis(numbers):
    return float(((numbers - numbers.mean()) ** 4).mean() / numbers.var() ** 2 - 3)


def traded_days(market, count, seed):
    """Closes (mean of the last five trades by volume) and volumes of a generated flow, as the book trades it."""
    days, player = market.plan(count, seed, date(2025, 1, 2)), FlowPlayer(assigned_ids=True)
    closes, volumes = [days[0].before], []
    for rows in market.flow(days, seed):
        events = events_of(rows, player)
        assert not np.isin(events["kind"], (EventKind.REFUSED, EventKind.CANCEL_REFUSED)).any()
        trades = events[events["kind"] == EventKind.TRADED]
        volumes.append(int(trades["quantity"].sum()))
        last = trades[-5:]
        closes.append(np.average(last["price_ticks"], weights=last["quantity"]) if last.size else closes[-1])
    return days, np.array(closes, float), np.array(volumes)


@pytest.mark.parametrize("model", ["zi", "hawkes"])
def test_a_generated_year_is_like_a_year_of_hubei_allowances(model):
    """Ranges from the series of 2014-2025 (figures in generator_days), for 243 days of one year:

    sd of log returns: the least and the greatest of its years, 1.5 % and 3.9 %.
    autocorrelation of returns: -0.12, three errors of sqrt((1 + 0.45 (4.9 + 2)) / 243) = 0.13, for variances cluster.
    tails: fatter than normal, and within the band b = 10.5 % no kurtosis of an sd s beyond b^2 / s^2.
    log volume: mean 8.88; its autocorrelation of 0.62 leaves 57 of 243 days, 2.39 / sqrt(57) = 0.32, three of them.
    sd of log volume: 2.39; 2.39 / sqrt(2 x 57) = 0.22, three of them, and its own autocorrelation 0.62 by
    sqrt((1 - 0.62^2) / 243) = 0.05, three of them.
    total: the least and the greatest of the whole years, 5.56 and 14.28 Mt, widened by a half of them, for one heavy
    month decides it. Untraded: 2.58 % of 243, 6.3 days; 0 to 14 within three roots.
    season: by the monthly means of 2021-24, 6.9 in April to 11.55 in December, December trades more than April.
    """
    market = MarketDays(model=model)
    days, closes, volumes = traded_days(market, 243, SEED)
    traded = volumes > 0
    returns, logs = np.diff(np.log(closes))[traded], np.log(volumes[traded])
    assert 0.015 <= returns.std() <= 0.039
    assert -0.12 - 0.39 <= autocorrelation(returns) <= -0.12 + 0.39
    assert 0 < excess_kurtosis(returns) <= (0.1054 / returns.std()) ** 2 - 3
    assert abs(logs.mean() - 8.88) <= 0.96
    assert abs(logs.std() - 2.39) <= 0.66
    assert abs(autocorrelation(logs) - 0.62) <= 0.15
    assert 5.56e6 / 1.5 <= volumes.sum() <= 14.28e6 * 1.5
    assert 0 <= (~traded).sum() <= 14
    months = np.array([day.date.month for day in days])[traded]
    assert logs[months == 12].mean() > logs[months == 4].mean()
    assert np.abs(np.diff(np.log(closes))).max() <= math.log(1.1) + 0.001 + 2 * 0.02  # closes lie off their goals
    goals = np.array([day.close for day in days])[traded]
    assert np.abs(closes[1:][traded] / goals - 1).mean() < 0.0278 / 3


def test_eleven_planned_years_have_the_moments_of_the_series():
    """Ranges for 2,610 days:

    sd 2.78 %: its years scatter by 0.75 %, 0.75 / sqrt(12) = 0.22, three of them; quantiles in that proportion (a
    quarter) about -4.4 and 4.8 % (5, 95).
    autocorrelation -0.12: sqrt((1 + 0.45 x 6.9) / 2610) = 0.04, three of them. Of |r|: above three errors of none
    (0.06), at most 0.45 and three errors of sqrt((1 + 2 x 0.97) / 2610) = 0.034.
    excess kurtosis 4.9, of which the three days beyond the band (-15.4, -17.9, +11.7 %: breaks of the rules) make
    sum r^4 / (2610 x 0.0278^4) = 1.6; the 3.3 left within a factor of two, for a few large days decide it.
    log volume: 2,610 days count for 612: 8.88 by 0.29, 2.39 by 0.21; autocorrelation 0.62 by 0.05.
    untraded: 2.58 % by 0.93 %. Mean day 38,800 t: 24 to 74 per cent of a year's volume lie in twenty days, so by half.
    """
    rng = Uniforms(SEED, 4)
    months = [1 + (day % 243) * 12 // 243 for day in range(2610)]
    closes, volumes = DailyModel().path(months, rng)
    traded = np.array(volumes) > 0
    returns = np.diff(np.log([DailyModel().start_ticks, *closes]))[traded]
    logs = np.log(np.array(volumes)[traded])
    assert abs(returns.std() - 0.0278) <= 0.0066
    assert np.quantile(returns, 0.05) == pytest.approx(-0.044, rel=0.25)
    assert np.quantile(returns, 0.95) == pytest.approx(0.048, rel=0.25)
    assert abs(autocorrelation(returns) + 0.12) <= 0.12
    assert 0.06 <= autocorrelation(np.abs(returns)) <= 0.55
    assert 1.65 <= excess_kurtosis(returns) <= 6.6
    assert abs(logs.mean() - 8.88) <= 0.29
    assert abs(logs.std() - 2.39) <= 0.21
    assert abs(autocorrelation(logs) - 0.62) <= 0.05
    assert abs((~traded).mean() - 0.0258) <= 0.0093
    assert np.mean(volumes) == pytest.approx(38_800, rel=0.5)


# ---------------------------------------------------------------- from the command line


@pytest.mark.parametrize("suffix", ["parquet", "csv", "npy"])
def test_what_is_generated_is_read_as_it_was(tmp_path, suffix):
    out = tmp_path / f"flow.{suffix}"
    made = run(f"generate --model zi --seed 5 --messages 3000 -o {out}")
    assert made.exit_code == 0 and "3,000 messages" in made.stdout, made.stderr
    assert content(read_flow(out)) == content(whole(ZeroIntelligence().flow(3000, 5)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-o flow.parquet", "invalid_length: say either --messages or --days"),
        ("--messages 5 --days 5 -o flow.parquet", "invalid_length"),
        ("--messages 5 -o flow.txt", "invalid_output: flow.txt"),
        ("--days 5 --from soon -o flow.csv", "invalid_date: --from"),
        ("--days 5 --from 2199-01-01 -o flow.csv", "invalid_parameter: the calendar XSHG knows 0"),
        ("--messages 5 -o there.csv", "output_exists: there.csv exists; --force overwrites it"),
    ],
)
def test_what_can_not_be_generated_is_said_in_a_line(tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").write_text("mine")
    ended = run(f"generate {options}")
    assert ended.exit_code == 1 and said in ended.stderr and len(ended.stderr.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["there.csv"]


@pytest.mark.skipif(not THOROUGH, reason="a million messages; CARBONEX_THOROUGH asks for them")
def test_a_million_messages_are_right_too():
    for model in (ZeroIntelligence(), HawkesFlow()):
        events = events_of(whole(model.flow(1_000_000, 9)))
        assert not np.isin(events["kind"], (EventKind.REFUSED, EventKind.CANCEL_REFUSED)).any()
