"""From external order references to slots: a hash table of what rests, compiled.

References are arbitrary 64-bit numbers. Open addressing with linear probing; a removal closes the gap it
leaves (Knuth, The Art of Computer Programming 3, 6.4, algorithm R), so that the table never holds more
than the resting orders and a session of any length costs what its first minute did. Multiplicative
hashing by the golden ratio (ibid.).

Complexity: expected O(1) at a load of at most one half.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.core import config

inlined = njit(_nrt=False, inline="always")

type_of_rows = np.ndarray[Any, np.dtype[Any]]

REFERENCE = np.dtype((np.record, [("reference", "i8"), ("slot", "u4"), ("padding", "u4")]))  # slot 0: an empty place
ABSENT = -1
_GOLDEN = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


class References(NamedTuple):
    """The table: arrays only, a power of two of places."""

    places: type_of_rows  # (2 ** bits,) REFERENCE
    shift: type_of_rows  # (1,) u8: 64 - bits


def _plain_home(references: References, reference: int) -> int:
    return ((int(reference) & _WORD) * _GOLDEN & _WORD) >> int(references.shift[0])


@inlined
def _compiled_home(references, reference):
    return np.int64((np.uint64(reference) * np.uint64(_GOLDEN)) >> references.shift[0])


# Python's integers do not wrap, NumPy's complain when they do.
home = _plain_home if config.DISABLE_JIT else _compiled_home


@inlined
def place_of(references, reference):
    """Where a reference stands in the table; ABSENT if nowhere."""
    last = references.places.size - 1
    place = home(references, reference)
    while references.places[np.uint64(place)].slot != 0:
        if references.places[np.uint64(place)].reference == reference:
            return np.int64(place)
        place = (place + 1) & last
    return np.int64(ABSENT)


@inlined
def add(references, reference, slot):
    """Add a reference that is not in the table; there must be room."""
    last = references.places.size - 1
    place = home(references, reference)
    while references.places[np.uint64(place)].slot != 0:
        place = (place + 1) & last
    references.places[np.uint64(place)].reference = reference
    references.places[np.uint64(place)].slot = slot


@inlined
def remove(references, gap):
    """Empty a place, and move up what would not be found behind the gap."""
    last = references.places.size - 1
    place = (gap + 1) & last
    while references.places[np.uint64(place)].slot != 0:
        entry = references.places[np.uint64(place)]
        distance = (place - home(references, entry.reference)) & last
        if distance >= ((place - gap) & last):
            references.places[np.uint64(gap)].reference = entry.reference
            references.places[np.uint64(gap)].slot = entry.slot
            gap = place
        place = (place + 1) & last
    references.places[np.uint64(gap)].slot = 0


@njit(_nrt=False)
def _move(old, new):
    for place in range(old.places.size):
        if old.places[place].slot != 0:
            add(new, old.places[place].reference, old.places[place].slot)


def new_references(bits: int = 12) -> References:
    """An empty table of 2 ** bits places."""
    return References(np.zeros(1 << bits, REFERENCE), np.array([64 - bits], np.uint64))


def with_room(references: References) -> References:
    """The same table with twice as many places."""
    wider = new_references(int(references.places.size).bit_length())
    _move(references, wider)
    return wider


def entries(references: References) -> Iterator[tuple[int, int]]:
    """(reference, slot) of everything in the table."""
    for place in references.places[references.places["slot"] != 0]:
        yield int(place.reference), int(place.slot)


def check(references: References) -> None:
    """Assert that every entry is found where it stands and that the table is at most half full."""
    taken = np.flatnonzero(references.places["slot"])
    assert 2 * taken.size <= references.places.size, "the table is too full"
    for place in taken.tolist():
        reference = int(references.places[place].reference)
        assert place_of(references, reference) == place, f"reference {reference} is not found"
