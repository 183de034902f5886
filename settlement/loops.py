"""The loops over trade rows, compiled: what each trade leaves owing, and what they add up to.

Each goes over the rows once, in the order of trading, and is bare: the modules beside it give the arrays and
say what the sums mean. A row is known by the names of its fields alone. `terms` are the three columns of
:class:`settlement.clearing.Terms`.

All loops and what they share stand in this one file, since Numba, which keeps their machine code on disk, looks
at no other to see whether it is still that of the source. Nor does it look at whether indexes are checked; so
code that checks them is never kept.
"""

from numba import njit
from numba.core import config

entry = njit(_nrt=False, cache=not config.BOUNDSCHECK)
inlined = njit(_nrt=False, forceinline=True)

TRADES, FEES = 0, 1  # what `add_up` counts: rows, and rows that bear a fee


@inlined
def turnover_of(trade, terms):
    """Price x quantity in fen. Cannot wrap: the product is bounded where orders are."""
    return trade.price_ticks * trade.quantity * terms.fen_per_tick[trade.instrument]


@inlined
def fits(trade, terms, accounts):
    """Whether a row names accounts and an instrument that there are."""
    return trade.instrument < terms.unit.size and trade.buyer < accounts and trade.seller < accounts


@entry
def oblige(trades, terms, owed):
    """Write a row of `owed` for each trade."""
    for row in range(trades.size):
        trade, due = trades[row], owed[row]
        if trade.instrument >= terms.unit.size:
            raise ValueError("a trade in an instrument without terms")
        due.trade_id = trade.trade_id
        due.quantity = trade.quantity
        due.turnover = turnover_of(trade, terms)
        due.buyer_fee = trade.buyer_fee
        due.seller_fee = trade.seller_fee
        due.seller = trade.seller
        due.buyer = trade.buyer
        due.unit = terms.unit[trade.instrument]
        due.cash = terms.cash[trade.instrument]


@entry
def add_up(trades, terms, house, out, into, fees, counts):
    """Add each trade to what accounts must deliver and shall receive, (accounts, assets), and to fees by asset."""
    for row in range(trades.size):
        trade = trades[row]
        if not fits(trade, terms, out.shape[0]):
            raise ValueError("a trade of an account or instrument that is not there")
        unit, cash = terms.unit[trade.instrument], terms.cash[trade.instrument]
        turnover = turnover_of(trade, terms)
        fee = trade.buyer_fee + trade.seller_fee
        out[trade.seller, unit] += trade.quantity
        into[trade.buyer, unit] += trade.quantity
        out[trade.buyer, cash] += turnover + trade.buyer_fee
        into[trade.seller, cash] += turnover - trade.seller_fee
        into[house, cash] += fee
        fees[cash] += fee
        counts[TRADES] += 1
        counts[FEES] += fee != 0


@entry
def deepest(trades, terms, left, lowest):
    """How low each holding of units falls if every trade delivers at its turn and receipts can be passed on."""
    for row in range(trades.size):
        trade = trades[row]
        if not fits(trade, terms, left.shape[0]):
            raise ValueError("a trade of an account or instrument that is not there")
        unit = terms.unit[trade.instrument]
        left[trade.seller, unit] -= trade.quantity
        lowest[trade.seller, unit] = min(lowest[trade.seller, unit], left[trade.seller, unit])
        left[trade.buyer, unit] += trade.quantity
