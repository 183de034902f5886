"""The levels of a book and nothing else, compiled: what a vendor's book row shows is sums, not orders.

A side is two arrays, keys and sizes, best first; the key of a price is the price for asks and its negative for
bids, so that *better* is always smaller. Changes are near the best price, where little has to be moved.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from exchange.research.messages import ABOUT_AN_ORDER, MessageType, type_of_rows
from matching.orders import Side

inlined = njit(_nrt=False, inline="always")

SELL = int(Side.SELL)
ROOM = 1 << 12
NEW_ORDER, LAST_ABOUT_AN_ORDER = int(MessageType.NEW_ORDER), int(max(ABOUT_AN_ORDER))


class Levels(NamedTuple):
    """Both sides. Arrays only, so that loops take them as one argument."""

    keys: type_of_rows  # (2, room) i8: bids, asks; best first
    sizes: type_of_rows  # (2, room) i8
    counts: type_of_rows  # (2,) i8


def new_levels(room: int = ROOM) -> Levels:
    """No level is occupied."""
    return Levels(np.zeros((2, room), np.int64), np.zeros((2, room), np.int64), np.zeros(2, np.int64))


def with_room(levels: Levels) -> Levels:
    """The same levels with room for twice as many."""
    wider = new_levels(2 * levels.keys.shape[1])
    wider.keys[:, : levels.keys.shape[1]] = levels.keys
    wider.sizes[:, : levels.sizes.shape[1]] = levels.sizes
    wider.counts[:] = levels.counts
    return wider


@inlined
def key_of(side, price):
    """What a price is sorted by; also the price of a key."""
    return price if side == SELL else -price


@njit(_nrt=False)
def place_of(levels, side, key):
    """Where a level stands, or would."""
    first, end = 0, levels.counts[side]
    while first < end:
        middle = (first + end) >> 1
        if levels.keys[side, middle] < key:
            first = middle + 1
        else:
            end = middle
    return first


@njit(_nrt=False)
def size_at(levels, side, key):
    """The size of a level; 0 if it is not occupied."""
    place = place_of(levels, side, key)
    if place < levels.counts[side] and levels.keys[side, place] == key:
        return levels.sizes[side, place]
    return np.int64(0)


@njit(_nrt=False)
def put(levels, side, key, size):
    """Give a level a size; 0 empties it. There must be room for one more."""
    place = place_of(levels, side, key)
    count = levels.counts[side]
    found = place < count and levels.keys[side, place] == key
    if found and size != 0:
        levels.sizes[side, place] = size
    elif found:
        for other in range(place, count - 1):
            levels.keys[side, other] = levels.keys[side, other + 1]
            levels.sizes[side, other] = levels.sizes[side, other + 1]
        levels.counts[side] = count - 1
    elif size != 0:
        for other in range(count, place, -1):
            levels.keys[side, other] = levels.keys[side, other - 1]
            levels.sizes[side, other] = levels.sizes[side, other - 1]
        levels.keys[side, place] = key
        levels.sizes[side, place] = size
        levels.counts[side] = count + 1


@njit(_nrt=False)
def apply(levels, message):
    """Do what a message says to the levels; whether there was as much to take as it takes."""
    if message.kind > LAST_ABOUT_AN_ORDER:  # hidden executions, crosses, halts
        return True
    key = key_of(message.side, message.price)
    there = size_at(levels, message.side, key)
    if message.kind == NEW_ORDER:
        put(levels, message.side, key, there + message.quantity)
        return True
    put(levels, message.side, key, max(there - message.quantity, np.int64(0)))
    return there >= message.quantity
