"""Statistics of market quality, each with its formula, its unit and where it comes from.

Every function takes columns (NumPy) and answers with one number. **NaN means that the number does not exist**: no
trade, a single day, a side that was always empty, a variance of nothing. It never stands for 0, and no function
drops a day or a trade without saying so here. Prices are ticks and quantities tCO2e unless said otherwise, so that a
spread is in ticks; `basis points` are 1/10,000 of the mid price.

What is averaged over time is weighted with how long it lasted, in nanoseconds where messages have times, else in
messages. `sign` is 1 of a trade that a buyer began, -1 of a seller's.
"""

from typing import Any, NamedTuple

import numpy as np

from exchange.reasons import Reason
from exchange.research.tape import Tape
from exchange.rows import EventKind
from matching.orders import Side

type_of_numbers = np.ndarray[Any, np.dtype[Any]]
NAN = float("nan")
HORIZON = 100  # messages after which a realised spread looks at the mid again


class Figure(NamedTuple):
    """A named number; NaN if it does not exist."""

    name: str
    unit: str
    value: float


# ---------------------------------------------------------------- means


def _mean(values: type_of_numbers, weights: type_of_numbers | None = None) -> float:
    """Mean of what is a number; NaN of nothing."""
    there = ~np.isnan(values)
    if weights is None:
        return float(values[there].mean()) if there.any() else NAN
    total = float(weights[there].sum())
    return float((values[there] * weights[there]).sum()) / total if total > 0 else NAN


def durations(tape: Tape) -> type_of_numbers:
    """How long the book after each message stood: ns, or 1 a message where there are no times.

    The last state has no end and counts 0 ns.
    """
    if tape.times_ns is None:
        return np.ones(tape.messages)
    return np.diff(tape.times_ns, append=tape.times_ns[-1:]).astype(float)


# ---------------------------------------------------------------- spreads


def quoted_spread(bid: type_of_numbers, ask: type_of_numbers, lasted: type_of_numbers) -> float:
    """Time-weighted quoted spread in ticks: sum of (ask - bid) x time / time, while both sides have orders.

    Huang & Stoll (1996), Dealer versus auction markets, J. Financial Economics 41, 313-357, section 3.1.
    NaN if the two sides never stood at once.
    """
    both = (bid > 0) & (ask > 0)
    return _mean(np.where(both, ask - bid, np.nan), lasted)


def relative_spread(bid: type_of_numbers, ask: type_of_numbers, lasted: type_of_numbers) -> float:
    """The same in basis points of the mid: 10,000 (ask - bid) / ((ask + bid) / 2), time-weighted."""
    both = (bid > 0) & (ask > 0)
    middle = np.where(both, (bid + ask) / 2, np.nan)
    return _mean(10_000 * (ask - bid) / middle, lasted)


def effective_spread(
    price: type_of_numbers, mid: type_of_numbers, sign: type_of_numbers, quantity: type_of_numbers
) -> float:
    """Quantity-weighted effective spread in ticks: 2 x sign x (price - mid before the trade).

    Huang & Stoll (1996), section 3.2, with the sign known instead of inferred. NaN if no trade had a mid before it.
    """
    return _mean(2.0 * sign * (price - mid), quantity)


def realised_spread(
    price: type_of_numbers, mid_later: type_of_numbers, sign: type_of_numbers, quantity: type_of_numbers
) -> float:
    """What makers keep after the price has moved, in ticks: 2 x sign x (price - mid some time after the trade).

    Huang & Stoll (1996), section 3.3. Trades without a mid afterwards are left out; NaN if that is all of them.
    """
    return _mean(2.0 * sign * (price - mid_later), quantity)


def price_impact(
    mid: type_of_numbers, mid_later: type_of_numbers, sign: type_of_numbers, quantity: type_of_numbers
) -> float:
    """How far a trade moved the mid, in ticks: 2 x sign x (mid later - mid before).

    For the same trades effective spread = realised spread + price impact (Bessembinder & Kaufman 1997, J. Financial
    and Quantitative Analysis 32, 287-310).
    """
    return _mean(2.0 * sign * (mid_later - mid), quantity)


def roll_spread(prices: type_of_numbers) -> float:
    """Effective spread implied by the bounce of trade prices: 2 sqrt(-cov(dp_t, dp_t-1)), in the unit of the prices.

    Roll (1984), A simple implicit measure of the effective bid-ask spread, J. Finance 39, 1127-1139. NaN with fewer
    than three price changes, and where the covariance is positive: the model has no spread for that.
    """
    changes = np.diff(prices.astype(float))
    if changes.size < 3:
        return NAN
    covariance = float(np.cov(changes[1:], changes[:-1], ddof=1)[0, 1])
    return 2 * float(np.sqrt(-covariance)) if covariance <= 0 else NAN


# ---------------------------------------------------------------- depth


def depth(bid_depth: type_of_numbers, ask_depth: type_of_numbers, lasted: type_of_numbers) -> float:
    """Time-weighted mean of both sides' depth, (bid + ask) / 2, in tCO2e; an empty side counts as 0."""
    return _mean((bid_depth + ask_depth) / 2, lasted)


def imbalance(bid_depth: type_of_numbers, ask_depth: type_of_numbers, lasted: type_of_numbers) -> float:
    """Time-weighted (bid - ask) / (bid + ask) of depths: 1 only buyers, -1 only sellers; NaN if nobody ever was.

    Cao, Hansch & Wang (2009), The information content of an open limit-order book, J. Futures Markets 29, 16-41.
    """
    both = bid_depth + ask_depth
    with np.errstate(invalid="ignore", divide="ignore"):
        return _mean(np.where(both > 0, (bid_depth - ask_depth) / both, np.nan), lasted)


# ---------------------------------------------------------------- orders


class OrderMessages(NamedTuple):
    """What counts in a ratio of orders to transactions."""

    orders: int
    amends: int
    cancels: int
    transactions: int


def order_to_trade(orders: int, amends: int, cancels: int, transactions: int) -> float:
    """(orders + 2 amends + cancels) / transactions - 1, the ratio of unexecuted orders by number. NaN without any.

    Commission Delegated Regulation (EU) 2017/566 (RTS 9), article 3(1)(b): an amend counts as a cancellation and a new
    order (annex), and a transaction is a totally or partially executed order (article 1(b)), so that a trade, which
    executes two, is two transactions of the market. :func:`order_messages` counts.
    """
    return (orders + 2 * amends + cancels) / transactions - 1 if transactions else NAN


def cancel_ratio(orders: int, cancels: int) -> float:
    """Cancelled orders / accepted orders. What an IOC or FOK leaves counts as cancelled. NaN without orders."""
    return cancels / orders if orders else NAN


def time_to_fill(began: type_of_numbers, filled: type_of_numbers) -> float:
    """Median time from an order's acceptance to its first fill, in the unit given; NaN in `filled`: it never was.

    Only orders that were filled are seen, so it is shorter than the time that an order should expect to wait (Lo,
    MacKinlay & Zhang 2002, Econometric models of limit-order executions, J. Financial Economics 65, 31-71).
    """
    waited = (filled - began)[~np.isnan(filled)]
    return float(np.median(waited)) if waited.size else NAN


def concentration(amounts: type_of_numbers) -> float:
    """Herfindahl-Hirschman index of shares: sum of (amount / total) squared, from 1/n to 1. NaN if the total is 0.

    Of traders give the amount of each, not of each trade: :func:`traded_by`.

    Hirschman (1964), The paternity of an index, American Economic Review 54, 761-762. Times 10,000 it is the index
    of competition authorities, who count shares in per cent.
    """
    if (amounts < 0).any():
        raise ValueError("amounts of a share can't be negative")
    total = float(amounts.sum())
    return float(((amounts / total) ** 2).sum()) if total > 0 else NAN


# ---------------------------------------------------------------- prices and volume


def log_returns(prices: type_of_numbers) -> type_of_numbers:
    """ln(p_t / p_t-1), one fewer than prices. ValueError for a price that is not positive."""
    if (prices <= 0).any():
        raise ValueError("a price must be positive")
    return np.diff(np.log(prices.astype(float)))


def realised_volatility(prices: type_of_numbers) -> float:
    """sqrt(sum of squared log returns) of the whole span: not annualised, 0.02 is 2 %. NaN with fewer than two prices.

    Andersen, Bollerslev, Diebold & Labys (2003), Modeling and forecasting realized volatility, Econometrica 71,
    579-625. Of trade prices it contains the bounce between bid and ask; give mids to be without.
    """
    return float(np.sqrt((log_returns(prices) ** 2).sum())) if prices.size > 1 else NAN


def variance_ratio(prices: type_of_numbers, q: int = 2) -> float:
    """VR(q) = variance of overlapping q-step log returns / (q x variance of one-step ones); 1 of a random walk.

    The unbiased estimator of Lo & MacKinlay (1988), Stock market prices do not follow random walks, Review of
    Financial Studies 1, 41-66: with T returns of mean mu, s1 = sum (r - mu)^2 / (T - 1) and
    sq = sum (r_t + .. + r_t-q+1 - q mu)^2 / m, m = q (T - q + 1)(1 - q / T). NaN with no more than q returns, or if
    prices never move. ValueError for q below 2.
    """
    if q < 2:
        raise ValueError("q is 2 or more")
    returns = log_returns(prices)
    size = returns.size
    if size <= q:
        return NAN
    mean = returns.mean()
    one = float(((returns - mean) ** 2).sum()) / (size - 1)
    sums = np.convolve(returns, np.ones(q), "valid")
    many = float(((sums - q * mean) ** 2).sum()) / (q * (size - q + 1) * (1 - q / size))
    return many / one if one > 0 else NAN


def variance_ratio_z(prices: type_of_numbers, q: int = 2, robust: bool = True) -> float:
    """How many standard errors VR(q) is from 1, standard normal for many returns of a random walk.

    Lo & MacKinlay (1988) with T returns: sqrt(T) (VR(q) - 1) / sqrt(theta). `robust` to variance that changes with time
    (z*, their section 1.2): theta = sum over j = 1 .. q-1 of (2 (q - j) / q)^2 delta_j, where delta_j =
    T sum_t (r_t - mu)^2 (r_t-j - mu)^2 / (sum_t (r_t - mu)^2)^2; else (z, section 1.1, independent returns of one
    variance) theta = 2 (2q - 1)(q - 1) / (3q). NaN and ValueError as :func:`variance_ratio`.
    """
    ratio = variance_ratio(prices, q)
    if np.isnan(ratio):
        return NAN
    returns = log_returns(prices)
    squares = (returns - returns.mean()) ** 2
    size, theta = returns.size, 2 * (2 * q - 1) * (q - 1) / (3 * q)
    if robust:
        deltas = [size * float((squares[j:] * squares[:-j]).sum()) / float(squares.sum()) ** 2 for j in range(1, q)]
        theta = sum((2 * (q - j) / q) ** 2 * delta for j, delta in enumerate(deltas, 1))
    return float(np.sqrt(size)) * (ratio - 1) / float(np.sqrt(theta)) if theta > 0 else NAN


def amihud(returns: type_of_numbers, turnover: type_of_numbers) -> float:
    """Illiquidity: mean of |return| / turnover over days with turnover, per unit of money that turnover is in.

    Amihud (2002), Illiquidity and stock returns, J. Financial Markets 5, 31-56, equation 1. A day without turnover
    has no ratio and is left out, as there. Give turnover in CNY million to have the usual size. NaN if no day is left.
    """
    there = (turnover > 0) & ~np.isnan(returns)
    return _mean(np.abs(returns[there]) / turnover[there])


def kyle_lambda(price_changes: type_of_numbers, signed_volume: type_of_numbers) -> float:
    """Slope of the least-squares line (with intercept) of price changes on signed volume: ticks per tCO2e.

    The price rule of Kyle (1985), Continuous auctions and insider trading, Econometrica 53, 1315-1335, fitted over
    intervals. NaN with fewer than three intervals, or if volume never differs.
    """
    there = ~np.isnan(price_changes) & ~np.isnan(signed_volume)
    change, volume = price_changes[there], signed_volume[there].astype(float)
    if volume.size < 3:
        return NAN
    deviation = volume - volume.mean()
    spread = float((deviation**2).sum())
    return float((deviation * (change - change.mean())).sum()) / spread if spread > 0 else NAN


# ---------------------------------------------------------------- of days and years


def turnover_ratio(annual_volume: float, cap: float) -> float:
    """Traded in a year / cap of the year, both tCO2e. NaN without a cap."""
    return annual_volume / cap if cap > 0 else NAN


def zero_trade_day_share(daily_volume: type_of_numbers) -> float:
    """Days without a trade / trading days; give 0 for those. NaN without days.

    Lesmond, Ogden & Trzcinka (1999), A new estimate of transaction costs, Review of Financial Studies 12, 1113-1141,
    use days without a return; here it is days without volume.
    """
    return float((daily_volume == 0).mean()) if daily_volume.size else NAN


def limit_hit_share(
    high: type_of_numbers, low: type_of_numbers, lower: type_of_numbers, upper: type_of_numbers
) -> float:
    """Days that traded at a limit of their price band / days that traded (high and low not NaN). NaN if none did."""
    traded = ~np.isnan(high) & ~np.isnan(low)
    hit = (high >= upper) | (low <= lower)
    return float(hit[traded].mean()) if traded.any() else NAN


def deadline_share(days: type_of_numbers, volume: type_of_numbers, deadline: np.datetime64, window: int = 30) -> float:
    """Share of volume in the `window` days up to and with a deadline. NaN without volume. `days` are datetime64[D]."""
    near = (days <= deadline) & (days > deadline - np.timedelta64(window, "D"))
    total = float(volume.sum())
    return float(volume[near].sum()) / total if total > 0 else NAN


def block_share(block_volume: float, volume: float) -> float:
    """Volume traded in blocks or negotiated / all volume. NaN without volume."""
    return block_volume / volume if volume > 0 else NAN


def cover_ratio(bid_quantity: float, offered: float) -> float:
    """Of an auction: quantity bid for, bids below the reserve included / quantity offered. NaN if nothing was."""
    return bid_quantity / offered if offered > 0 else NAN


def settlement_efficiency(settled: float, due: float) -> float:
    """Value (or number) settled on the intended day / due on it. NaN if nothing was due.

    The settlement rate of Regulation (EU) 909/2014 (CSDR), article 7 reports, the other way round.
    """
    return settled / due if due > 0 else NAN


def netting_efficiency(net: type_of_numbers, gross: type_of_numbers) -> float:
    """1 - sum |net| / sum gross over participants: 0 nothing netted, 1 all. NaN if nothing was to be settled."""
    total = float(np.abs(gross).sum())
    return 1 - float(np.abs(net).sum()) / total if total > 0 else NAN


# ---------------------------------------------------------------- of events


def order_messages(tape: Tape, account: int = 0) -> OrderMessages:
    """What counts in :func:`order_to_trade`, of one account or (0) of the whole market.

    Cancels are those asked for one by one, and what an IOC or FOK order leaves (annex of RTS 9: "if cancelled 2"). Not
    counted is what was refused and so never entered, and what the market cancels: at the end of a day, to prevent a
    trade with oneself, by a mass cancel (article 1(a)(iii): a kill functionality). Events that do not say why an order
    was cancelled count as asked for.
    """
    events = tape.events
    kind = events["kind"]
    at_once = events["sequence"][kind == EventKind.ORDERS_CANCELLED]
    asked = np.isin(events["reason"], (Reason.NONE, Reason.BY_REQUEST, Reason.IMMEDIATE_OR_CANCEL))
    asked &= ~np.isin(events["sequence"], at_once)
    own = (events["account"] == account) | (account == 0)
    others = (events["maker_account"] == account) | (account == 0)
    traded = kind == EventKind.TRADED
    return OrderMessages(
        orders=int((own & (kind == EventKind.ACCEPTED)).sum()),
        amends=int((own & (kind == EventKind.AMENDED)).sum()),
        cancels=int((own & asked & (kind == EventKind.CANCELLED)).sum()),
        transactions=int((traded & own).sum() + (traded & others).sum()),
    )


def traded_by(tape: Tape) -> tuple[type_of_numbers, type_of_numbers]:
    """(bought, sold) in tCO2e by account that traded, 0 of one that did not buy or sell; empty if none is known.

    A flow without accounts, or with some trades of nobody's, has no concentration of traders.
    """
    events = tape.events[tape.events["kind"] == EventKind.TRADED]
    pairs = events["account"].astype(np.int64), events["maker_account"].astype(np.int64)
    is_buy = events["side"] == Side.BUY
    buyers, sellers = np.where(is_buy, *pairs), np.where(is_buy, *pairs[::-1])
    if not (buyers.all() and sellers.all()):
        return np.zeros(0), np.zeros(0)
    accounts, places = np.unique(np.concatenate([buyers, sellers]), return_inverse=True)
    bought, sold = (
        np.bincount(place, weights=events["quantity"], minlength=accounts.size) for place in np.split(places, 2)
    )
    return bought, sold


def fill_times(tape: Tape) -> tuple[type_of_numbers, type_of_numbers]:
    """(when accepted, when first filled or NaN) of each order that came to rest: ns with times, else messages.

    An order that trades on arrival takes and does not wait: it is left out, also if the rest of it waits.
    """
    events, message = tape.events, tape.message_of
    clock = message.astype(float) if tape.times_ns is None else tape.times_ns[message].astype(float)
    began = np.flatnonzero(events["kind"] == EventKind.ACCEPTED)
    traded = np.flatnonzero(events["kind"] == EventKind.TRADED)
    # Sorted by reference, then event, an order's first fill as a maker stands behind its acceptance.
    which = np.concatenate([began, traded])
    ref = np.concatenate([events["order_id"][began], events["maker_order_id"][traded]])
    is_fill = np.arange(which.size) >= began.size
    order = np.lexsort((which, ref))
    which, ref, is_fill = which[order], ref[order], is_fill[order]
    filled = np.full(which.size, np.nan)
    if which.size > 1:
        follows = ~is_fill[:-1] & is_fill[1:] & (ref[1:] == ref[:-1])
        filled[:-1][follows] = clock[which[1:][follows]]
    takers = np.isin(message[which], np.unique(message[traded]))
    changes = tape.changes
    rested = np.zeros(events.size, bool)
    stands = np.bincount(changes.stay, minlength=events.size) > 0
    rested[stands] = True
    own = ~is_fill & ~takers & rested[which]
    gone = _gone_at_once(tape)
    own &= ~gone[which]
    return clock[which[own]], filled[own]


def _gone_at_once(tape: Tape) -> type_of_numbers:
    """Of each event whether it accepts an order that is cancelled by the same message (IOC, FOK)."""
    events = tape.events
    cancelled = events["kind"] == EventKind.CANCELLED
    pairs = set(zip(events["sequence"][cancelled].tolist(), events["order_id"][cancelled].tolist(), strict=True))
    found = np.zeros(events.size, bool)
    accepted = np.flatnonzero(events["kind"] == EventKind.ACCEPTED)
    named = zip(events["sequence"][accepted].tolist(), events["order_id"][accepted].tolist(), strict=True)
    found[accepted] = [pair in pairs for pair in named]
    return found


def intervals(tape: Tape, count: int) -> tuple[type_of_numbers, type_of_numbers]:
    """(change of the mid, signed volume) over `count` equal stretches of messages."""
    if tape.messages == 0:
        return np.zeros(0), np.zeros(0)
    edges = np.unique(np.linspace(0, tape.messages, count + 1).astype(int))
    mid = np.concatenate([[np.nan], tape.path.mid])
    trades = tape.trades
    place = np.searchsorted(edges, trades.message, side="right") - 1
    volume = np.bincount(place, weights=trades.sign * trades.quantity, minlength=edges.size - 1)
    return np.diff(mid[edges]), volume[: edges.size - 1]


def summary(tape: Tape, horizon: int = HORIZON) -> list[Figure]:
    """What one instrument's events say about its market. Realised spread and impact look `horizon` messages ahead."""
    path, trades, lasted = tape.path, tape.trades, durations(tape)
    price, quantity, sign = trades.price_ticks, trades.quantity, trades.sign
    mids = path.mid
    later = np.full(price.size, np.nan)
    ahead = trades.message + horizon
    later[ahead < tape.messages] = mids[ahead[ahead < tape.messages]]
    kind = tape.events["kind"]
    orders, cancels = tape.count(EventKind.ACCEPTED), tape.count(EventKind.CANCELLED)
    volume = float(quantity.sum())
    bought, sold = traded_by(tape)
    began, filled = fill_times(tape)
    wait = time_to_fill(began, filled)
    standing = mids[~np.isnan(mids)]
    moves, signed = intervals(tape, 200)
    pair = (path.bid_depth, path.ask_depth)
    figures = [
        ("messages", "", tape.messages),
        ("orders accepted", "", orders),
        ("refused", "messages", int((kind == EventKind.REFUSED).sum())),
        ("cancels refused", "messages", tape.count(EventKind.CANCEL_REFUSED)),
        ("amends refused", "messages", tape.count(EventKind.AMEND_REFUSED)),
        ("trades", "fills", price.size),
        ("volume", "tCO2e", volume),
        ("VWAP", "ticks", float((price * quantity.astype(float)).sum()) / volume if volume else NAN),
        ("last price", "ticks", float(price[-1]) if price.size else NAN),
        ("quoted spread", "ticks", quoted_spread(path.bid, path.ask, lasted)),
        ("relative spread", "bp", relative_spread(path.bid, path.ask, lasted)),
        ("effective spread", "ticks", effective_spread(price, trades.mid_before, sign, quantity)),
        (f"realised spread, {horizon} messages", "ticks", realised_spread(price, later, sign, quantity)),
        (f"price impact, {horizon} messages", "ticks", price_impact(trades.mid_before, later, sign, quantity)),
        ("Roll spread", "ticks", roll_spread(price)),
        ("Kyle lambda, 200 intervals", "ticks/tCO2e", kyle_lambda(moves, signed)),
        ("depth at the best price", "tCO2e", depth(*pair, lasted)),
        ("depth at 5 prices", "tCO2e", depth(path.bid_depth_5, path.ask_depth_5, lasted)),
        ("imbalance at the best price", "", imbalance(*pair, lasted)),
        ("order-to-trade", "", order_to_trade(*order_messages(tape))),
        ("cancel ratio", "", cancel_ratio(orders, cancels)),
        ("median time to fill", *(("messages", wait) if tape.times_ns is None else ("s", wait / 1e9))),
        ("realised volatility of the mid", "", realised_volatility(standing)),
        ("variance ratio of trade prices, q = 5", "", variance_ratio(price, 5)),
        ("its z, robust", "", variance_ratio_z(price, 5)),
        ("concentration of buyers", "", concentration(bought)),
        ("concentration of sellers", "", concentration(sold)),
    ]  # fmt: skip
    return [Figure(name, unit, float(value)) for name, unit, value in figures]
