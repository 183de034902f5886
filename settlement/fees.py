"""Trading fees, exact over all fills of an order, whatever the rate of each.

A fill pays rate x turnover in whole fen and leaves the rest, in millionths of a fen, to the order's next fill:

    fee = (rate x turnover + rest) div 1,000,000      rest = (rate x turnover + rest) mod 1,000,000

An order begins with a rest of half a fen. So its fills together always pay the sum of rate x turnover, rounded
half-up once, however the order was cut and at whatever rates, as maker, as taker or on another day, it traded;
the fee of one trade may be a fen off its own share. The rounding is not published (domain sheet A.7 suggests
half-up for each trade alone, which would make the total depend on the cut). Rates are in parts per million of
turnover: 0.5 % a side is 5,000 (鄂价环资规[2014]41号: 1 % of turnover, half from each side).
"""

import numpy as np
from numba import njit

inlined = njit(_nrt=False, forceinline=True)

PER_MILLION = 1_000_000
MILLION = np.uint64(PER_MILLION)  # unsigned divides twice as fast
HALF_FEN = PER_MILLION // 2  # the rest that an order begins with
TURNOVER_MAX = (1 << 62) // PER_MILLION  # fen; price limit x what is left of an order


@inlined
def charge(turnover, rate_ppm, rest):
    """(fee in fen, rest left for the next fill) of a turnover in fen, at most TURNOVER_MAX, and a rate up to a million.

    So that rate x turnover stays below 2**62 and nothing wraps. A fill turns over no more than its buyer's limit x
    leaves, however far above its own limit the seller sells.
    """
    due = np.uint64(turnover) * np.uint64(rate_ppm) + np.uint64(rest)
    fee = due // MILLION
    return np.int64(fee), np.int64(due - fee * MILLION)


def fee_of(turnover: int, rate_ppm: int) -> int:
    """Fee in fen on a turnover by itself, rounded half-up."""
    return (turnover * rate_ppm + PER_MILLION // 2) // PER_MILLION
