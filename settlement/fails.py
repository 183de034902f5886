"""When somebody cannot pay: which trades settle, and who fails.

A book that is fully pre-funded cannot fail. What is delivered later, or is not reserved when it is traded, can.
`able` says what each account can pay, (accounts, assets); what may happen then depends on the mode:

gross_gross   Trade by trade in the order of trading: a trade settles if its seller can deliver and its buyer can
              pay at its turn, else it fails alone. With `reuse` what earlier trades of the batch have brought
              may be passed on; without, only what was there before.
gross_net     An account fails if its net cash is more than it can pay, or if it cannot deliver at its turn what
              it sold: with `reuse` also out of what it has bought earlier in the batch, without all it sold must
              be there before.
net_net       An account fails if a net position, of units or cash, is more than it can pay. `reuse` makes no
              difference: netting is reuse.

In the net modes all trades of all members that fail are taken out and the rest is netted again, which may make
others fail, who had counted on them; so on until nobody fails. Each round is a pass over the trades and takes
at least one member out; a settlement bank's reserve would be asked before (it is part of `able`).
"""

import msgspec
import numpy as np

from settlement import loops
from settlement.clearing import Terms, as_given, type_of_column, type_of_rows
from settlement.netting import EVERYTHING, Mode, Positions, positions, require_assets


class Outcome(msgspec.Struct, frozen=True):
    """Which trades settle, and the members that could not pay, ascending."""

    settles: type_of_rows
    failing: tuple[int, ...]


def without(trades: type_of_rows, members: type_of_rows | tuple[int, ...]) -> type_of_rows:
    """Marks the trades in which none of these members has a side."""
    gone = np.array(members, np.uint32)
    return ~(np.isin(trades["seller"], gone) | np.isin(trades["buyer"], gone))


def renet(
    trades: type_of_rows, terms: Terms, accounts: int, assets: int, house: int, members: tuple[int, ...]
) -> Positions:
    """Positions of what is left when the trades of these members are taken out."""
    return positions(trades, terms, accounts, assets, house, without(trades, members))


def outcome(
    trades: type_of_rows, terms: Terms, able: type_of_column, mode: Mode, house: int, reuse: bool = False
) -> Outcome:
    """What settles of a batch if each account can pay what `able` says: tonnes and fen, none of them negative.

    ValueError if a trade or the terms name what `able` has no row or column for.
    """
    assert (able >= 0).all(), "nobody is able to pay less than nothing"
    require_assets(terms, able.shape[1] - 1)
    if mode == Mode.GROSS_GROSS:
        return _each_by_itself(trades, terms, able, house, reuse)
    settles, failing = EVERYTHING, np.zeros(able.shape[0], np.bool_)
    while True:
        needed = _needed(trades, terms, able.shape, mode, house, reuse, settles)
        short = (needed > able).any(axis=1)
        if not short.any():
            break
        assert not (short & failing).any(), "somebody whose trades are all out still owes"
        failing |= short
        settles = without(trades, _numbers(failing))
    return Outcome(settles if settles.size else np.ones(trades.size, np.bool_), _numbers(failing))


def _each_by_itself(trades: type_of_rows, terms: Terms, able: type_of_column, house: int, reuse: bool) -> Outcome:
    left, failing = np.array(able, np.int64), np.zeros(able.shape[0], np.bool_)
    settles = np.zeros(trades.size, np.bool_)
    loops.settle_each(as_given(trades), terms, house, reuse, left, settles, failing)
    return Outcome(settles, _numbers(failing))


def _needed(
    trades: type_of_rows,
    terms: Terms,
    shape: tuple[int, ...],
    mode: Mode,
    house: int,
    reuse: bool,
    settles: type_of_rows,
) -> type_of_column:
    """What each account must have of each asset when the batch begins."""
    sums = positions(trades, terms, shape[0] - 1, shape[1] - 1, house, settles)
    needed = np.maximum(-sums.net, 0)
    if not mode.nets_units:
        needed[:, terms.units] = _sold(trades, terms, shape, settles, reuse, sums)[:, terms.units]
    return needed


def _sold(
    trades: type_of_rows, terms: Terms, shape: tuple[int, ...], settles: type_of_rows, reuse: bool, sums: Positions
) -> type_of_column:
    """Tonnes that each account must have at first to deliver each of its sales at its turn."""
    return needed_at_turns(trades, terms, shape, settles) if reuse else sums.out


def needed_at_turns(
    trades: type_of_rows, terms: Terms, shape: tuple[int, ...], settles: type_of_rows = EVERYTHING
) -> type_of_column:
    """Tonnes, (accounts, assets), that each account must have at first if what it buys may be passed on at its turn."""
    left, lowest = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    loops.deepest(as_given(trades), terms, as_given(settles), left, lowest)
    return -lowest


def _numbers(members: type_of_rows) -> tuple[int, ...]:
    return tuple(np.flatnonzero(members).tolist())
