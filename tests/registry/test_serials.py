"""Title: which serial numbers are whose, through issuance, sale and resale."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.serials import Block, Origin, Serials

HBEA, HBCER = 1, 2
PLANT, MILL, TRADER = 11, 12, 13


def blocks_of(serials: Serials, holder: int, unit: int = HBEA) -> list[tuple[int, int, bool]]:
    """(first, last, ever traded) of a holder's blocks."""
    return [(block.first, block.last, block.ever_traded) for block in serials.of(holder, unit)]


def issued(*amounts: tuple[int, int]) -> Serials:
    """Serials with these (holder, quantity) issued in turn."""
    serials = Serials()
    for holder, quantity in amounts:
        serials.issue(HBEA, holder, quantity, Origin.FREE)
    return serials


def test_numbers_are_issued_from_one_without_a_gap_and_for_each_unit_apart() -> None:
    serials = Serials()
    assert serials.issue(HBEA, PLANT, 100, Origin.FREE) == Block(HBEA, 1, 100, PLANT, Origin.FREE)
    assert serials.issue(HBEA, MILL, 50, Origin.AUCTION) == Block(HBEA, 101, 150, MILL, Origin.AUCTION)
    assert serials.issue(HBCER, MILL, 10, Origin.CREDIT).first == 1
    assert serials.held(MILL, HBEA) == 50
    assert serials.held(TRADER, HBEA) == 0
    serials.check()


def test_what_is_issued_twice_to_one_holder_is_one_block() -> None:
    serials = issued((PLANT, 100), (PLANT, 50))
    assert blocks_of(serials, PLANT) == [(1, 150, False)]


def test_units_of_another_origin_stay_apart() -> None:
    serials = issued((PLANT, 100))
    serials.issue(HBEA, PLANT, 50, Origin.AUCTION)
    assert blocks_of(serials, PLANT) == [(1, 100, False), (101, 150, False)]


def test_the_oldest_numbers_move_first_and_are_marked_as_traded() -> None:
    serials = issued((PLANT, 100))
    (moved,) = serials.transfer(HBEA, PLANT, MILL, 30)
    assert moved == Block(HBEA, 1, 30, MILL, Origin.FREE, ever_traded=True)
    assert blocks_of(serials, PLANT) == [(31, 100, False)]
    assert blocks_of(serials, MILL) == [(1, 30, True)]
    serials.check()


def test_a_transfer_takes_as_many_blocks_as_it_needs_and_splits_the_last() -> None:
    serials = issued((PLANT, 10), (MILL, 10), (PLANT, 10), (MILL, 10), (PLANT, 10))
    moved = serials.transfer(HBEA, PLANT, TRADER, 25)
    assert [(block.first, block.last) for block in moved] == [(1, 10), (21, 30), (41, 45)]
    assert blocks_of(serials, PLANT) == [(46, 50, False)]
    serials.check()


def test_neighbours_bought_from_different_sellers_become_one_block() -> None:
    serials = issued((PLANT, 10), (MILL, 10), (PLANT, 10))
    for seller, quantity in ((PLANT, 10), (PLANT, 10), (MILL, 10)):
        serials.transfer(HBEA, seller, TRADER, quantity)
    assert blocks_of(serials, TRADER) == [(1, 30, True)]
    serials.check()


def test_never_traded_units_do_not_merge_with_traded_ones() -> None:
    serials = issued((PLANT, 10), (MILL, 10))
    serials.transfer(HBEA, MILL, PLANT, 10)
    assert blocks_of(serials, PLANT) == [(1, 10, False), (11, 20, True)]


def test_one_may_transfer_to_oneself() -> None:
    serials = issued((PLANT, 10), (MILL, 10))
    serials.transfer(HBEA, MILL, PLANT, 10)
    serials.transfer(HBEA, PLANT, PLANT, 15)  # what moves first merges with what is still to move
    assert blocks_of(serials, PLANT) == [(1, 20, True)]
    serials.check()


@pytest.mark.parametrize("quantity", [21, 10**9])
def test_who_lacks_title_transfers_nothing(quantity: int) -> None:
    serials = issued((PLANT, 10), (MILL, 10), (PLANT, 10))
    before = list(serials)
    with pytest.raises(ValueError, match=f"account {PLANT} lacks title to {quantity - 20} t of unit {HBEA}"):
        serials.transfer(HBEA, PLANT, TRADER, quantity)
    assert list(serials) == before


def test_a_stranger_has_title_to_nothing() -> None:
    with pytest.raises(ValueError, match="lacks title to 1 t"):
        Serials().transfer(HBEA, TRADER, PLANT, 1)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda serials: serials.holders[PLANT, HBEA].popitem(), "serial numbers"),
        (lambda serials: serials.next_serial.update({HBEA: 7}), "issued and held disagree"),
        (lambda serials: serials.holders[PLANT, HBEA].update({5: Block(HBEA, 5, 9, PLANT, Origin.FREE)}), "overlap"),
    ],
)
def test_a_check_notices_numbers_lost_doubled_or_never_issued(spoil, complaint: str) -> None:
    serials = issued((PLANT, 10), (MILL, 10))
    serials.check()
    spoil(serials)
    with pytest.raises(AssertionError, match=complaint):
        serials.check()


holders = st.sampled_from([PLANT, MILL, TRADER])
issuances = st.tuples(st.just("issue"), holders, st.just(0), st.integers(1, 9))
transfers = st.tuples(st.just("transfer"), holders, holders, st.integers(1, 25))


@given(st.lists(st.one_of(issuances, transfers, transfers), min_size=5, max_size=40))
def test_however_units_change_hands_each_number_has_one_holder(steps: list[tuple[str, int, int, int]]) -> None:
    serials = Serials()
    owner: list[int] = []  # the plain twin: the holder of each number
    traded: list[bool] = []
    for verb, giver, taker, quantity in steps:
        if verb == "issue":
            serials.issue(HBEA, giver, quantity, Origin.FREE)
            owner += [giver] * quantity
            traded += [False] * quantity
        elif owner.count(giver) < quantity:
            before = list(serials)
            with pytest.raises(ValueError, match="lacks title"):
                serials.transfer(HBEA, giver, taker, quantity)
            assert list(serials) == before
        else:
            serials.transfer(HBEA, giver, taker, quantity)
            for number in [at for at, holder in enumerate(owner) if holder == giver][:quantity]:
                owner[number], traded[number] = taker, True
        serials.check()
        found = [(block.holder, block.ever_traded) for block in serials for _ in range(block.quantity)]
        assert found == list(zip(owner, traded, strict=True))
        blocks = list(serials)
        for one, behind in pairwise(blocks):
            alike = (one.holder, one.ever_traded) == (behind.holder, behind.ever_traded)
            assert not alike, "neighbours that are alike are one block"
