"""Trading fees, rounded half-up to the fen.

The fee of an order is the rate times all it has traded; each fill pays the difference between the fee
after and before it. So the fills' fees always add up to the fee of the whole, however an order was cut
into fills; the fee of one trade may be a fen off half a per cent of it. The rounding is not published
(domain sheet A.7 suggests half-up for each trade alone, which would make the total depend on the cut).
Rates are in parts per million of turnover: 0.5 % a side is 5,000 (鄂价环资规[2014]41号: 1 %
of turnover, half from each side).
"""

import numpy as np
from numba import njit

inlined = njit(_nrt=False, forceinline=True)

PER_MILLION = 1_000_000
MILLION, HALF_MILLION = np.uint64(PER_MILLION), np.uint64(PER_MILLION // 2)  # unsigned divides twice as fast
TURNOVER_MAX = (1 << 62) // PER_MILLION  # fen; price limit x quantity of an order


@inlined
def fee(turnover, rate_ppm):
    """Fee in fen on a turnover in fen, rounded half-up.

    Millions and the rest apart, so that no product can wrap: a sale far above its limit turns over more than
    TURNOVER_MAX.
    """
    millions, rest = np.uint64(turnover) // MILLION, np.uint64(turnover) % MILLION
    rate = np.uint64(rate_ppm)
    return np.int64(millions * rate + (rest * rate + HALF_MILLION) // MILLION)
