"""`carbonex overload` for half a minute and `carbonex soak` for two."""

import pytest
from rich.console import Console

from simulation.reliability import overload, soak

pytestmark = pytest.mark.thorough

QUIET = Console(quiet=True)


def test_an_overloaded_exchange_refuses_and_keeps_its_word(tmp_path):
    found = overload.run(tmp_path, 30, 5.0, 2, 1000, QUIET)
    assert found.offered > 2 * found.capacity
    # Those turned away while it was measured how much it takes, or recovered, are not counted as refused.
    assert found.refused <= found.audited.turned_away and found.others == 0
    assert found.accepted > 0 and found.refused + found.unsent > 0


def test_an_exchange_at_half_its_load_goes_on_as_it_began(tmp_path):
    found = soak.run(tmp_path, 120, 1, QUIET)
    assert found.audited.acknowledged > 10 and all(part.answered for part in found.parts)
