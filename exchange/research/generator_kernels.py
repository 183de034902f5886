"""The compiled loops of the order-flow generator: numbers, two point processes, and the book that gives them prices.

    uniforms --> when and what: `zero_intelligence` (rates), `thin` (Hawkes)
             --> `act`: which price, which order, how much --> command rows

Nothing but sums, products, quotients and comparisons of doubles is used, which IEEE 754 rounds alike everywhere;
the exponential and the logarithm are made of these here, because libraries differ in the last bit of theirs. The
uniforms come from outside. So the rows are the same on every machine.

The book here is no second exchange. It knows which orders rest, so that a cancel names one that does and a limit order
does not trade: tests play every flow through the exchange's book, which must refuse nothing. Orders are numbered 1, 2,
3 ... as an exchange would number them. All loops are in this one file, for Numba keeps their code by its age.
"""

import math
from collections import namedtuple

import numpy as np
from numba import njit

from exchange.research.compiled import entry
from exchange.rows import CommandKind, joined, type_of_rows
from matching.orders import Side, TimeInForce

inlined = njit(_nrt=False)

BUY, SELL = int(Side.BUY), int(Side.SELL)
PLACE, CANCEL = int(CommandKind.PLACE_ORDER), int(CommandKind.CANCEL_ORDER)
GTC, IOC = int(TimeInForce.GTC), int(TimeInForce.IOC)
LIMIT_ORDER, MARKET_ORDER, CANCEL_ORDER = range(3)  # what a message does; twice that plus the side is its type
TYPES = 6
PRICES = 1 << 16  # ticks; prices lie below

_PER_LN2 = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10  # the high part has zeros at its end
_ROOT_HALF = 0.7071067811865476


# ---------------------------------------------------------------- numbers


@inlined
def exp_of(x):
    """e to the power of x <= 0, to two units in the last place."""
    if x < -700.0:
        return 0.0
    power = math.floor(x * _PER_LN2 + 0.5)
    rest = (x - power * _LN2_HIGH) - power * _LN2_LOW
    total = 1.0
    for n in range(14, 0, -1):
        total = 1.0 + rest * total / n
    return math.ldexp(total, int(power))


@inlined
def log_of(x):
    """Natural logarithm of x > 0, to two units in the last place: log((1+s)/(1-s)) = 2 (s + s^3/3 + s^5/5 ...)."""
    mantissa, power = math.frexp(x)
    if mantissa < _ROOT_HALF:
        mantissa *= 2.0
        power -= 1
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square = s * s
    total = 0.0
    for n in range(23, 0, -2):
        total = total * square + 1.0 / n
    return power * _LN2_HIGH + (2.0 * s * total + power * _LN2_LOW)


@entry
def exps(numbers, found):
    """`exp_of` each of some numbers."""
    for index in range(numbers.size):
        found[index] = exp_of(numbers[index])


@entry
def logs(numbers, found):
    """`log_of` each of some numbers."""
    for index in range(numbers.size):
        found[index] = log_of(numbers[index])


@entry
def normals(uniforms, found):
    """Standard normal numbers by the polar method (Marsaglia and Bray 1964), two of two; returns how many were found.

    `uniforms` (pairs, 2).
    """
    count = 0
    for index in range(uniforms.shape[0]):
        x, y = 2.0 * uniforms[index, 0] - 1.0, 2.0 * uniforms[index, 1] - 1.0
        s = x * x + y * y
        if 0.0 < s < 1.0 and count + 2 <= found.size:
            factor = math.sqrt(-2.0 * log_of(s) / s)
            found[count], found[count + 1] = x * factor, y * factor
            count += 2
    return count


@inlined
def exponential(u):
    """An exponential number of mean 1 from a uniform in [0, 1)."""
    return -log_of(1.0 - u)


# ---------------------------------------------------------------- the book

ORDER = np.dtype((np.record, np.dtype([(name, "i8") for name in (
    "price", "leaves", "older", "newer", "place", "side")])))  # fmt: skip
LEVEL = np.dtype((np.record, np.dtype([("oldest", "i8"), ("newest", "i8")])))
TALLY = np.dtype(
    (np.record, np.dtype([("bids", "i8"), ("asks", "i8"), ("bid", "i8"), ("ask", "i8"), ("orders", "i8")]))
)
"""How many orders rest on each side, the best price of each (0: none; PRICES: none), how many orders there were."""

TERMS = np.dtype((np.record, np.dtype([
    ("start_ns", "i8"),
    ("centre", "i8"),  # ticks: about which prices lie while a side is empty
    ("window", "i8"),  # ticks: how far from the opposite best price a limit order may lie
    ("low", "i8"), ("high", "i8"),  # ticks: the band
    ("tonnes", "f8"),  # of each order, or in the mean (a record's `size` is NumPy's)
    ("is_spread", "i8"),  # 1: sizes are exponential numbers, rounded up
    ("limit_rate", "f8"),  # a second, tick and side
    ("market_rate", "f8"),  # a second and side
    ("cancel_rate", "f8"),  # a second and order
    ("until", "f8"),  # seconds: when it ends
    ("now", "f8"),  # seconds
    ("goal", "f8"),  # ticks: where the price goes in the first four fifths of that time
    ("reach", "f8"),  # ticks: so far from its way all market orders go one way; 0: each way alike
])))  # fmt: skip

Pad = namedtuple("Pad", "orders levels alive tally terms")
"""The generator's book: orders by number, levels by price, who rests on each side, and how it goes on."""


def new_pad(orders: int) -> Pad:
    """An empty book with room for so many orders."""
    pad = Pad(np.zeros(orders + 1, ORDER), np.zeros(PRICES + 1, LEVEL), np.zeros((2, orders + 1), np.int64),
              np.zeros(1, TALLY), np.zeros(1, TERMS))  # fmt: skip
    pad.tally["ask"] = PRICES
    return pad


def with_room(pad: Pad, orders: int) -> Pad:
    """The same book with room for so many orders."""
    more = orders + 1 - pad.orders.size
    if more <= 0:
        return pad
    wider: type_of_rows = np.concatenate([pad.alive, np.zeros((2, more), np.int64)], axis=1)
    return pad._replace(orders=joined([pad.orders, np.zeros(more, ORDER)]), alive=wider)


@inlined
def rest(pad, side, price, quantity):
    """A new order rests; returns its number."""
    tally = pad.tally[0]
    tally.orders += 1
    number = tally.orders
    order, level = pad.orders[number], pad.levels[price]
    order.price, order.leaves, order.side = price, quantity, side
    order.older, order.newer = level.newest, 0
    if level.newest:
        pad.orders[level.newest].newer = number
    else:
        level.oldest = number
    level.newest = number
    if side == BUY:
        order.place = tally.bids
        tally.bids += 1
        tally.bid = max(tally.bid, price)
    else:
        order.place = tally.asks
        tally.asks += 1
        tally.ask = min(tally.ask, price)
    pad.alive[side, order.place] = number
    return number


@inlined
def leave(pad, number):
    """An order is gone."""
    tally, order = pad.tally[0], pad.orders[number]
    level = pad.levels[order.price]
    if order.older:
        pad.orders[order.older].newer = order.newer
    else:
        level.oldest = order.newer
    if order.newer:
        pad.orders[order.newer].older = order.older
    else:
        level.newest = order.older
    if order.side == BUY:
        tally.bids -= 1
        last = tally.bids
    else:
        tally.asks -= 1
        last = tally.asks
    moved = pad.alive[order.side, last]
    pad.alive[order.side, order.place] = moved
    pad.orders[moved].place = order.place
    if level.oldest:
        return
    if order.side == BUY and order.price == tally.bid:
        while tally.bid > 0 and pad.levels[tally.bid].oldest == 0:
            tally.bid -= 1
    elif order.side == SELL and order.price == tally.ask:
        while tally.ask < PRICES and pad.levels[tally.ask].oldest == 0:
            tally.ask += 1


@inlined
def take(pad, side, limit, quantity):
    """An order trades with the oldest at the best prices, as far as its limit reaches."""
    tally = pad.tally[0]
    while quantity > 0:
        best = tally.ask if side == BUY else tally.bid
        if (best > limit or best == PRICES) if side == BUY else (best < limit or best == 0):
            return
        number = pad.levels[best].oldest
        traded = min(quantity, pad.orders[number].leaves)
        pad.orders[number].leaves -= traded
        quantity -= traded
        if pad.orders[number].leaves == 0:
            leave(pad, number)


@inlined
def write(row, kind, number, side, price, quantity, time_in_force, now_ns):
    """A message."""
    row.kind, row.order_id, row.side = kind, number, side
    row.price_ticks, row.quantity, row.time_in_force = price, quantity, time_in_force
    row.now_ns = now_ns


@inlined
def side_of_market_order(pad, side, u):
    """Its own side, or, where the price has somewhere to go, the side that takes it there with some likelihood."""
    tally, terms = pad.tally[0], pad.terms[0]
    if terms.reach == 0.0 or tally.bid == 0 or tally.ask == PRICES:
        return side
    way = terms.centre + (terms.goal - terms.centre) * min(terms.now / (0.8 * terms.until), 1.0)
    off = (way - 0.5 * (tally.bid + tally.ask)) / terms.reach
    return BUY if u < 0.5 + 0.5 * min(max(off, -1.0), 1.0) else SELL


@inlined
def act(pad, kind, side, u, v, row):
    """Do what a message of a kind does, with two uniforms; 1 if there is one, 0 if it would do nothing."""
    tally, terms = pad.tally[0], pad.terms[0]
    now_ns = terms.start_ns + np.int64(terms.now * 1e9)
    quantity = np.int64(terms.tonnes)
    if terms.is_spread:
        quantity = 1 + np.int64(exponential(v) * (terms.tonnes - 0.5))
    if kind == LIMIT_ORDER:
        if side == BUY:
            top = tally.ask if tally.ask < PRICES else max(terms.centre, tally.bid) + 1
            price = min(top - 1 - np.int64(u * terms.window), terms.high)
            if price < terms.low:
                return 0
        else:
            bottom = tally.bid if tally.bid > 0 else min(terms.centre, tally.ask) - 1
            price = max(bottom + 1 + np.int64(u * terms.window), terms.low)
            if price > terms.high:
                return 0
        write(row, PLACE, rest(pad, side, price, quantity), side, price, quantity, GTC, now_ns)
        return 1
    if kind == MARKET_ORDER:
        side = side_of_market_order(pad, side, u)
        best = tally.ask if side == BUY else tally.bid
        if best == 0 or best == PRICES:
            return 0
        limit = min(best + terms.window, terms.high) if side == BUY else max(best - terms.window, terms.low)
        tally.orders += 1
        write(row, PLACE, tally.orders, side, limit, quantity, IOC, now_ns)
        take(pad, side, limit, quantity)
        return 1
    count = tally.bids if side == BUY else tally.asks
    if count == 0:
        return 0
    number = pad.alive[side, np.int64(u * count)]
    leave(pad, number)
    write(row, CANCEL, number, side, 0, 0, GTC, now_ns)
    return 1


@entry
def clear(pad, rows):
    """Cancel all that rests, the last who came to a list first; returns how many did."""
    tally, terms = pad.tally[0], pad.terms[0]
    now_ns = terms.start_ns + np.int64(terms.now * 1e9)
    written = 0
    for side in range(2):
        while (tally.bids if side == BUY else tally.asks) > 0:
            number = pad.alive[side, (tally.bids if side == BUY else tally.asks) - 1]
            leave(pad, number)
            write(rows[written], CANCEL, number, side, 0, 0, GTC, now_ns)
            written += 1
    return written


# ---------------------------------------------------------------- when and what


@entry
def zero_intelligence(pad, uniforms, rows):
    """Messages of independent Poisson processes, each drawn from the sum of the rates (Gillespie 1977).

    `uniforms` (steps, 4), one row for each step; returns how many messages there are and how many steps they took. It
    ends where the rows are full, the uniforms used up, or the time is over.
    """
    terms, tally = pad.terms[0], pad.tally[0]
    written, step = 0, 0
    limits, markets = 2.0 * terms.limit_rate * terms.window, 2.0 * terms.market_rate
    while written < rows.size and step < uniforms.shape[0]:
        cancels = terms.cancel_rate * (tally.bids + tally.asks)
        total = limits + markets + cancels
        then = terms.now + exponential(uniforms[step, 0]) / total
        if then >= terms.until:
            terms.now = terms.until
            return written, step
        terms.now = then
        which = uniforms[step, 1] * total
        u, v = uniforms[step, 2], uniforms[step, 3]
        if which < limits:
            written += act(pad, LIMIT_ORDER, BUY if which < 0.5 * limits else SELL, u, v, rows[written])
        elif which < limits + markets:
            side = BUY if which < limits + 0.5 * markets else SELL
            written += act(pad, MARKET_ORDER, side, u, v, rows[written])
        else:
            side = BUY if which < limits + markets + terms.cancel_rate * tally.bids else SELL
            written += act(pad, CANCEL_ORDER, side, u, v, rows[written])
        step += 1
    return written, step


@entry
def thin(base, jumps, decays, excited, uniforms, now, until, times, types):
    """Events of a Hawkes process by Ogata's thinning; returns how many, how many steps they took, and the time.

    Between events the intensities fall, so that their sum at one moment bounds them until the next event. `base` (D,);
    `jumps`, `decays` (D, D): by how much an event of the second kind raises the intensity of the first, and how fast
    that decays; `excited` (D, D): what is left of it now, changed; `uniforms` (steps, 2).
    """
    count = base.size
    found, step = 0, 0
    while found < times.size and step < uniforms.shape[0]:
        bound = 0.0
        for i in range(count):
            bound += base[i]
            for j in range(count):
                bound += excited[i, j]
        waited = exponential(uniforms[step, 0]) / bound
        if now + waited >= until:
            return found, step, until
        now += waited
        for i in range(count):
            for j in range(count):
                if excited[i, j] > 0.0:
                    excited[i, j] *= exp_of(-decays[i, j] * waited)
        which, kind = uniforms[step, 1] * bound, 0
        step += 1
        while kind < count:
            which -= base[kind]
            for j in range(count):
                which -= excited[kind, j]
            if which < 0.0:
                break
            kind += 1
        if kind == count:
            continue
        for i in range(count):
            excited[i, kind] += jumps[i, kind]
        times[found], types[found] = now, kind
        found += 1
    return found, step, now


@entry
def compensate(base, jumps, decays, excited, since, times, types, found):
    """What each event's intensity has come to since the last one of its kind: `found` (events,).

    `excited` (D, D) and `since` (D,) are room, all zero at first.
    """
    count, before = base.size, 0.0
    for event in range(times.size):
        waited = times[event] - before
        before = times[event]
        for i in range(count):
            since[i] += base[i] * waited
            for j in range(count):
                if excited[i, j] > 0.0:
                    left = exp_of(-decays[i, j] * waited)
                    since[i] += excited[i, j] * (1.0 - left) / decays[i, j]
                    excited[i, j] *= left
        kind = types[event]
        found[event] = since[kind]
        since[kind] = 0.0
        for i in range(count):
            excited[i, kind] += jumps[i, kind]


@entry
def dress(pad, times, types, uniforms, rows):
    """Messages at given times, of given types; `uniforms` (events, 2). Returns how many: some would do nothing."""
    written = 0
    for event in range(times.size):
        pad.terms[0].now = times[event]
        kind, side = types[event] // 2, types[event] % 2
        written += act(pad, kind, side, uniforms[event, 0], uniforms[event, 1], rows[written])
    return written
