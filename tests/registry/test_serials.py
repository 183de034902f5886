"""Title: who held which serial number when and what happened to it, through issue, sale, surrender and retirement.

Commands are numbered 1, 2, 3 ...; the time of each is its number in seconds.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.core import config

from registry.serials import ENDS, Block, BlockState, Cause, Movement, Origin, Serials

pytestmark = pytest.mark.kernels

HBEA, HBCER = 1, 2
PLANT, MILL, TRADER = 11, 12, 13
NOBODY = 0
SECOND = 1_000_000_000
YEARS = 500 if config.DISABLE_JIT else 50_000


class Registry:
    """Serial numbers of HBEA, with a command number for every movement."""

    def __init__(self, *issued: tuple[int, int]) -> None:
        self.serials = Serials()
        self.sequence = 0
        for holder, quantity in issued:
            self.issue(holder, quantity)

    def _now(self) -> tuple[int, int]:
        self.sequence += 1
        return self.sequence, self.sequence * SECOND

    def issue(self, holder: int, quantity: int, origin: Origin = Origin.FREE) -> Block:
        return self.serials.issue(HBEA, holder, quantity, origin, *self._now())

    def sell(self, giver: int, taker: int, quantity: int, trade: int = 0) -> list[Block]:
        return self.serials.transfer(HBEA, giver, taker, quantity, *self._now(), reference=trade)

    def move(self, giver: int, taker: int, quantity: int) -> list[Block]:
        """A transfer that is no trade."""
        return self.serials.transfer(HBEA, giver, taker, quantity, *self._now(), Cause.TRANSFERRED)

    def end(self, holder: int, quantity: int, cause: Cause, wanted=None) -> list[Block]:
        return self.serials.end(HBEA, holder, quantity, cause, *self._now(), wanted)

    def surrender(self, holder: int, quantity: int, wanted=None) -> list[Block]:
        return self.end(holder, quantity, Cause.SURRENDERED, wanted)

    def numbers_of(self, holder: int) -> list[tuple[int, int]]:
        return numbers(self.serials.of(holder, HBEA))

    def life_of(self, serial: int) -> list[tuple[Cause, int, int]]:
        """(what, giver, taker) of everything that happened to a number."""
        history = self.serials.history(HBEA, serial)
        return [(movement.cause, movement.giver, movement.taker) for movement in history]


def numbers(blocks: list[Block]) -> list[tuple[int, int]]:
    """(first, last) of blocks."""
    return [(block.first, block.last) for block in blocks]


# ---------------------------------------------------------------- issue


def test_numbers_are_issued_from_one_without_a_gap_and_for_each_unit_apart() -> None:
    serials = Serials()
    issued = serials.issue(HBEA, PLANT, 100, Origin.FREE, 1, SECOND)
    title = issued.title
    assert issued == Block(HBEA, 1, 100, PLANT, Origin.FREE, title, ever_traded=False, state=BlockState.HELD)
    assert [*title] == [title.movement] == [Movement(Cause.ISSUED, NOBODY, PLANT, 1, SECOND)]
    assert (title.depth, title.earlier) == (1, None)
    assert numbers([serials.issue(HBEA, MILL, 50, Origin.AUCTION, 2, SECOND)]) == [(101, 150)]
    assert numbers([serials.issue(HBCER, MILL, 10, Origin.CREDIT, 3, SECOND)]) == [(1, 10)]
    serials.check()


def test_nobody_takes_title() -> None:
    registry = Registry((PLANT, 10))
    for attempt in (lambda: registry.issue(NOBODY, 10), lambda: registry.sell(PLANT, NOBODY, 1)):
        with pytest.raises(ValueError, match="there is no account 0"):
            attempt()
    assert registry.numbers_of(PLANT) == [(1, 10)]
    assert registry.serials.held(NOBODY, HBEA) == 0 and registry.numbers_of(NOBODY) == []
    registry.serials.check()


@pytest.mark.parametrize("quantity", [0, -1])
def test_an_issue_is_of_something(quantity: int) -> None:
    registry = Registry()
    with pytest.raises(ValueError, match=f"{quantity} t cannot be issued"):
        registry.issue(PLANT, quantity)
    assert list(registry.serials) == []


def test_what_was_issued_apart_stays_apart() -> None:
    registry = Registry((PLANT, 100), (PLANT, 50))
    assert registry.numbers_of(PLANT) == [(1, 100), (101, 150)]


# ---------------------------------------------------------------- the chain of title


def test_the_oldest_numbers_move_first() -> None:
    registry = Registry((PLANT, 100))
    assert numbers(registry.sell(PLANT, MILL, 30)) == [(1, 30)]
    assert numbers(registry.sell(PLANT, MILL, 30)) == [(31, 60)]
    assert registry.numbers_of(PLANT) == [(61, 100)]
    assert registry.numbers_of(MILL) == [(1, 30), (31, 60)]


def test_the_oldest_number_is_the_lowest_one_and_not_the_one_held_longest() -> None:
    registry = Registry((PLANT, 10), (MILL, 10))
    registry.sell(PLANT, MILL, 10)
    assert numbers(registry.sell(MILL, TRADER, 5)) == [(1, 5)]


def test_a_sale_takes_as_many_blocks_as_it_needs_and_splits_the_last() -> None:
    registry = Registry((PLANT, 10), (MILL, 10), (PLANT, 10), (MILL, 10), (PLANT, 10))
    assert numbers(registry.sell(PLANT, TRADER, 25)) == [(1, 10), (21, 30), (41, 45)]
    assert registry.numbers_of(PLANT) == [(46, 50)]
    registry.serials.check()


def test_both_parts_of_a_split_remember_what_happened_before() -> None:
    registry = Registry((PLANT, 100))
    registry.sell(PLANT, MILL, 50)
    registry.sell(MILL, TRADER, 20)
    before = [(Cause.ISSUED, NOBODY, PLANT), (Cause.TRADED, PLANT, MILL)]
    assert registry.life_of(20) == [*before, (Cause.TRADED, MILL, TRADER)]
    assert registry.life_of(21) == before
    assert registry.life_of(51) == [(Cause.ISSUED, NOBODY, PLANT)]


def test_a_number_says_who_held_it_when_and_by_which_trade() -> None:
    registry = Registry((PLANT, 100))
    registry.sell(PLANT, TRADER, 10, trade=7)
    registry.sell(PLANT, MILL, 10, trade=8)
    registry.sell(TRADER, MILL, 10, trade=9)
    assert registry.serials.history(HBEA, 5) == [
        Movement(Cause.ISSUED, NOBODY, PLANT, 1, 1 * SECOND, reference=0),
        Movement(Cause.TRADED, PLANT, TRADER, 2, 2 * SECOND, reference=7),
        Movement(Cause.TRADED, TRADER, MILL, 4, 4 * SECOND, reference=9),
    ]


@pytest.mark.parametrize("serial", [0, 101, -1])
def test_a_number_never_issued_has_no_history(serial: int) -> None:
    registry = Registry((PLANT, 100))
    with pytest.raises(KeyError, match=f"number {serial} of unit {HBEA} was never issued"):
        registry.serials.history(HBEA, serial)
    with pytest.raises(KeyError, match=f"number 1 of unit {HBCER} was never issued"):
        registry.serials.at(HBCER, 1)


def test_neighbours_that_came_by_different_ways_stay_apart() -> None:
    registry = Registry((PLANT, 20))
    registry.sell(PLANT, TRADER, 10, trade=1)
    registry.sell(PLANT, TRADER, 10, trade=2)
    assert registry.numbers_of(TRADER) == [(1, 10), (11, 20)]


def test_a_title_is_read_one_movement_after_the_other() -> None:
    registry = Registry((PLANT, 10))
    registry.sell(PLANT, MILL, 10)
    [block] = registry.sell(MILL, TRADER, 10)
    title, takers = block.title, []
    while title is not None:
        takers.append((title.depth, title.movement.taker))
        title = title.earlier
    assert takers == [(3, TRADER), (2, MILL), (1, PLANT)]
    assert registry.sell(TRADER, MILL, 1)[0].title.earlier == block.title  # what was read stays as it was


def test_what_is_sold_to_oneself_moves_once() -> None:
    registry = Registry((PLANT, 10), (PLANT, 10))
    assert numbers(registry.sell(PLANT, PLANT, 15)) == [(1, 10), (11, 15)]
    assert registry.numbers_of(PLANT) == [(1, 10), (11, 15), (16, 20)]
    assert registry.life_of(11) == [(Cause.ISSUED, NOBODY, PLANT), (Cause.TRADED, PLANT, PLANT)]
    registry.serials.check()


# ---------------------------------------------------------------- ever traded


def test_a_sale_marks_what_it_moves_and_no_more() -> None:
    registry = Registry((PLANT, 100))
    registry.sell(PLANT, MILL, 30)
    assert [block.ever_traded for block in registry.serials] == [True, False]


def test_a_mere_transfer_does_not_mark_and_does_not_wipe_the_mark() -> None:
    registry = Registry((PLANT, 100))
    registry.move(PLANT, MILL, 100)
    assert [block.ever_traded for block in registry.serials] == [False]
    registry.sell(MILL, TRADER, 100)
    registry.move(TRADER, PLANT, 100)
    assert [block.ever_traded for block in registry.serials] == [True]
    assert [cause for cause, _, _ in registry.life_of(1)] == [
        Cause.ISSUED, Cause.TRANSFERRED, Cause.TRADED, Cause.TRANSFERRED
    ]  # fmt: skip


def test_the_mark_and_the_origin_outlive_the_end() -> None:
    registry = Registry()
    registry.issue(PLANT, 10, Origin.AUCTION)
    registry.sell(PLANT, MILL, 10)
    [block] = registry.surrender(MILL, 10)
    assert (block.origin, block.ever_traded) == (Origin.AUCTION, True)


# ---------------------------------------------------------------- ends


@pytest.mark.parametrize("cause", ENDS)
def test_what_has_ended_stays_with_who_ended_it_and_never_moves_again(cause: Cause) -> None:
    registry = Registry((PLANT, 100))
    [ended] = registry.end(PLANT, 40, cause)
    assert (ended.first, ended.last, ended.holder, ended.state) == (1, 40, PLANT, BlockState(cause))
    assert registry.life_of(40) == [(Cause.ISSUED, NOBODY, PLANT), (cause, PLANT, NOBODY)]
    assert registry.serials.held(PLANT, HBEA) == 60
    assert numbers(registry.sell(PLANT, MILL, 60)) == [(41, 100)]
    for again in (lambda: registry.sell(PLANT, MILL, 1), lambda: registry.surrender(PLANT, 1)):
        with pytest.raises(ValueError, match="lacks title to 1 t"):
            again()
    registry.serials.check()


def test_only_what_is_wanted_is_taken_oldest_first() -> None:
    registry = Registry((PLANT, 10), (MILL, 10), (PLANT, 10))
    registry.sell(MILL, PLANT, 10)
    lapsed = registry.end(PLANT, 15, Cause.CANCELLED, wanted=lambda block: not block.ever_traded)
    assert numbers(lapsed) == [(1, 10), (21, 25)]
    assert registry.numbers_of(PLANT) == [(11, 20), (26, 30)]
    registry.serials.check()


def test_who_has_too_little_that_is_wanted_keeps_everything() -> None:
    registry = Registry((PLANT, 10), (MILL, 10))
    registry.sell(MILL, PLANT, 10)
    before = list(registry.serials)
    with pytest.raises(ValueError, match=f"account {PLANT} lacks title to 1 t of unit {HBEA}"):
        registry.surrender(PLANT, 11, wanted=lambda block: block.ever_traded)
    assert list(registry.serials) == before
    registry.serials.check()


def test_totals_by_holder_and_by_state() -> None:
    registry = Registry((PLANT, 100), (MILL, 50))
    registry.sell(PLANT, MILL, 20)
    registry.surrender(MILL, 30)
    registry.end(PLANT, 5, Cause.RETIRED)
    registry.end(PLANT, 3, Cause.CANCELLED)
    registry.end(PLANT, 4, Cause.RETIRED)
    serials = registry.serials
    assert [serials.held(holder, HBEA) for holder in (PLANT, MILL, TRADER)] == [68, 40, 0]
    assert {state: serials.total(HBEA, state) for state in BlockState} == {
        BlockState.HELD: 108,
        BlockState.SURRENDERED: 30,
        BlockState.RETIRED: 9,
        BlockState.CANCELLED: 3,
    }
    assert (serials.ended(HBEA), serials.ended(HBCER)) == (42, 0)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("quantity", [21, 10**9])
@pytest.mark.parametrize(
    "verb", [Registry.sell, Registry.move, lambda registry, giver, _, t: registry.surrender(giver, t)]
)
def test_who_lacks_title_keeps_what_he_has(verb, quantity: int) -> None:
    registry = Registry((PLANT, 10), (MILL, 10), (PLANT, 10))
    before = list(registry.serials)
    with pytest.raises(ValueError, match=f"account {PLANT} lacks title to {quantity - 20} t of unit {HBEA}"):
        verb(registry, PLANT, TRADER, quantity)
    assert list(registry.serials) == before
    registry.serials.check()


def test_a_stranger_has_title_to_nothing() -> None:
    with pytest.raises(ValueError, match="lacks title to 1 t"):
        Registry().sell(TRADER, PLANT, 1)
    with pytest.raises(ValueError, match="lacks title to 1 t"):
        Registry((PLANT, 10)).surrender(TRADER, 1)


def test_nothing_may_move_and_less_than_nothing_may_not() -> None:
    registry = Registry((PLANT, 10))
    assert registry.sell(PLANT, MILL, 0) == registry.surrender(TRADER, 0) == Registry().surrender(PLANT, 0) == []
    with pytest.raises(ValueError, match="-1 t cannot be moved"):
        registry.sell(PLANT, MILL, -1)
    assert registry.numbers_of(PLANT) == [(1, 10)]
    registry.serials.check()


def test_named_numbers_move_with_their_blocks_as_far_as_they_are_needed() -> None:
    registry = Registry((PLANT, 10), (MILL, 10), (PLANT, 10), (PLANT, 10))
    named = {25, 40, 15, 99, 0, 27}
    back = registry.serials.transfer(HBEA, PLANT, MILL, 15, 9, 9 * SECOND, Cause.CORRECTED, 7, among=named)
    assert [(block.first, block.last) for block in back] == [(21, 30), (31, 35)]
    assert registry.numbers_of(PLANT) == [(1, 10), (36, 40)]
    registry.serials.check()


@pytest.mark.parametrize("unit", [HBEA, HBEA + 1])
def test_who_has_not_the_named_numbers_gives_nothing(unit: int) -> None:
    registry = Registry((PLANT, 10), (MILL, 10))
    for among in ((), (15,), (11, 20)):
        with pytest.raises(ValueError, match="lacks title to 1 t"):
            registry.serials.transfer(unit, PLANT, MILL, 1, 9, 9, among=among)
    assert registry.numbers_of(PLANT) == [(1, 10)]


@pytest.mark.parametrize("cause", [Cause.ISSUED, *ENDS])
def test_a_transfer_does_not_issue_or_end(cause: Cause) -> None:
    registry = Registry((PLANT, 10))
    with pytest.raises(ValueError, match=f"no transfer is {cause}"):
        registry.serials.transfer(HBEA, PLANT, MILL, 1, 2, 2, cause)
    assert registry.numbers_of(PLANT) == [(1, 10)]


@pytest.mark.parametrize("cause", [Cause.ISSUED, Cause.TRADED, Cause.TRANSFERRED])
def test_nothing_ends_by_changing_hands(cause: Cause) -> None:
    registry = Registry((PLANT, 10))
    with pytest.raises(ValueError, match=str(cause)):
        registry.end(PLANT, 1, cause)
    assert registry.numbers_of(PLANT) == [(1, 10)]


# ---------------------------------------------------------------- long titles


def test_a_title_may_be_as_long_as_a_number_has_years() -> None:
    registry, other = Registry((PLANT, 1)), Registry((PLANT, 1))
    for each in (registry, other):
        for _ in range(YEARS):
            each.sell(PLANT, MILL, 1)
            each.sell(MILL, PLANT, 1)
    [block] = registry.serials
    assert block.title.depth == len(registry.serials.history(HBEA, 1)) == 2 * YEARS + 1
    assert [block] == list(other.serials)
    assert hash(block) == hash(other.serials.at(HBEA, 1))
    assert f"{2 * YEARS} before it" in repr(block)
    registry.serials.check()


def test_titles_of_other_histories_are_not_equal() -> None:
    one, other, shorter = (Registry((PLANT, 1)) for _ in range(3))
    one.sell(PLANT, MILL, 1)
    one.sell(MILL, PLANT, 1)
    other.sell(PLANT, TRADER, 1)
    other.sell(TRADER, PLANT, 1)
    titles = [each.serials.at(HBEA, 1).title for each in (one, other, shorter)]
    assert all(title != another for title in titles for another in [*titles, "no title"] if title is not another)


# ---------------------------------------------------------------- soundness


def columns(serials: Serials):
    return serials.title_of(HBEA).columns


def row(serials: Serials, serial: int) -> int:
    return serials.title_of(HBEA).row_of(serial)


def altered(serial: int, **fields):
    """A way to spoil serials: the block of a number with other fields."""

    def spoil(serials: Serials) -> None:
        for name, value in fields.items():
            columns(serials).blocks[name][row(serials, serial)] = value

    return spoil


def retitled(serial: int, **fields):
    """A way to spoil serials: the last movement of a number with other fields."""

    def spoil(serials: Serials) -> None:
        title = serials.title_of(HBEA)
        movement = title.movement_of(title.columns.blocks["link"].item(row(serials, serial)))
        for name, value in fields.items():
            title.columns.movements[name][movement] = value

    return spoil


def relinked(serial: int, earlier: int):
    """A way to spoil serials: before the last movement of a number came another link."""

    def spoil(serials: Serials) -> None:
        columns(serials).links[columns(serials).blocks["link"][row(serials, serial)]] = earlier

    return spoil


def queued(holder: int, **fields):
    """A way to spoil serials: the queue of a holder with other fields."""

    def spoil(serials: Serials) -> None:
        for name, value in fields.items():
            columns(serials).queues[name][holder] = value

    return spoil


def counted(**fields):
    """A way to spoil serials: other counts."""

    def spoil(serials: Serials) -> None:
        for name, value in fields.items():
            columns(serials).counts[name] = value

    return spoil


def swapped(serials: Serials) -> None:
    """The plant's highest block is taken for its lowest."""
    begin = columns(serials).queues["begin"][PLANT]
    columns(serials).entries[begin : begin + 2] = columns(serials).entries[begin : begin + 2][::-1].copy()


def forget_the_index(serials: Serials) -> None:
    title = serials.title_of(HBEA)
    title._runs[0][1][:] = title._runs[0][1][::-1].copy()


def forget_an_end(serials: Serials) -> None:
    serials.title_of(HBEA).gone[2] += 1


def skip_a_link(serials: Serials) -> None:
    columns(serials).first_link[2] += 1


SPOILT = {
    "the first numbers are lost": (altered(1, first=2), "overlap or are missing"),
    "numbers are lost": (altered(11, first=12), "overlap or are missing"),
    "the last numbers are lost": (counted(next_serial=42), "issued and in blocks disagree"),
    "a number is doubled": (altered(11, first=10), "overlap or are missing"),
    "a block is empty": (altered(11, first=99), "empty block"),
    "a block can not be found": (forget_the_index, "index and blocks"),
    "a holder forgets": (queued(PLANT, length=1), "blocks and holders"),
    "a holder has a block twice": (queued(MILL, length=1), "blocks and holders"),
    "two hold a block": (altered(11, holder=MILL), "blocks and holders"),
    "somebody holds what has ended": (altered(30, state=0), "blocks and holders"),
    "nobody holds something": (queued(NOBODY, length=1, room=1), "nobody holds"),
    "a queue is longer than its window": (queued(PLANT, room=1), "overflows"),
    "a queue lies behind its end": (queued(PLANT, begin=10**6), "overflows"),
    "a queue is out of order": (swapped, "out of order"),
    "a holder's sum": (queued(PLANT, tonnes=1), "sums of holders"),
    "a state's sum": (forget_an_end, "sums of states"),
    "a mark is missing": (altered(1, ever_traded=0), "marked as traded"),
    "a mark is too much": (altered(11, ever_traded=1), "marked as traded"),
    "another took it": (retitled(1, taker=MILL), "not who took it last"),
    "another ended it": (retitled(30, giver=TRADER), "somebody gave what another had"),
    "another had it at the end": (altered(30, holder=PLANT), "not who ended it"),
    "it ended otherwise": (retitled(30, cause=6), "did not end as its title says"),
    "it ended and somebody has it": (retitled(30, taker=PLANT), "no holder, or the reverse"),
    "it was sold to nobody": (retitled(1, taker=NOBODY), "no holder, or the reverse"),
    "the seller never had it": (retitled(1, giver=MILL), "somebody gave what another had"),
    "nobody sold it": (retitled(1, giver=NOBODY), "nobody gave"),
    "it was issued by somebody": (retitled(11, giver=MILL), "nobody gave"),
    "it was never issued": (retitled(11, cause=1), "begin with its one issue"),
    "it was issued twice": (relinked(31, 1), "begin with its one issue"),
    "its issue is forgotten": (relinked(1, 0), "begin with its one issue"),
    "it happened before itself": (relinked(1, 99), "leads to itself"),
    "it went back to an earlier command": (retitled(1, sequence=0), "back in time"),
    "it went back in time": (retitled(1, now_ns=0), "back in time"),
    "it counts for two": (altered(1, depth=4), "not as long as it says"),
    "it has no title": (altered(1, link=0), "has no title"),
    "it has a title of the future": (altered(1, link=99), "has no title"),
    "a movement moved nothing": (skip_a_link, "movements and their links"),
    "a movement is forgotten": (counted(movements=7), "somebody gave what another had"),
    "a link is lost": (counted(links=8), "movements and their links"),
}


@pytest.mark.parametrize(("spoil", "complaint"), SPOILT.values(), ids=SPOILT)
def test_a_check_notices_when(spoil, complaint: str) -> None:
    registry = Registry((MILL, 10), (PLANT, 10), (MILL, 10), (TRADER, 10))
    registry.sell(MILL, TRADER, 5)
    registry.surrender(MILL, 15)
    registry.sell(TRADER, PLANT, 5)
    registry.serials.check()
    spoil(registry.serials)
    with pytest.raises(AssertionError, match=complaint):
        registry.serials.check()


# ---------------------------------------------------------------- against the plain twin

holders = st.sampled_from([PLANT, MILL, TRADER])
few, no = st.integers(1, 25), st.just(False)
issues = st.tuples(st.just(Cause.ISSUED), st.just(NOBODY), holders, st.integers(1, 9), no)
sales = st.tuples(st.just(Cause.TRADED), holders, holders, few, no)
moves = st.tuples(st.just(Cause.TRANSFERRED), holders, holders, few, no)
ends = st.tuples(
    st.sampled_from(ENDS), holders, st.just(NOBODY), few, st.booleans()
)  # of the never traded only, or all
steps = st.one_of(issues, sales, sales, moves, ends)


class Plain:
    """The plain twin: for every single number its holder, its state and its history."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, BlockState, list[Movement]]] = []

    def do(self, movement: Movement, quantity: int, untraded_only: bool) -> bool:
        """Whether a movement of so many tonnes took place."""
        cause, giver, taker = movement.cause, movement.giver, movement.taker
        if cause == Cause.ISSUED:
            self.rows += [(taker, BlockState.HELD, [movement])] * quantity
            return True
        may_move = [
            at
            for at, (holder, state, history) in enumerate(self.rows)
            if (holder, state) == (giver, BlockState.HELD) and not (untraded_only and was_traded(history))
        ]
        if len(may_move) < quantity:
            return False
        for at in may_move[:quantity]:
            history = [*self.rows[at][2], movement]
            self.rows[at] = (giver, BlockState(cause), history) if cause in ENDS else (taker, BlockState.HELD, history)
        return True


def was_traded(history: list[Movement]) -> bool:
    return any(movement.cause == Cause.TRADED for movement in history)


def done(serials: Serials, movement: Movement, quantity: int, untraded_only: bool) -> bool:
    """The same question to the serials."""
    cause, giver, taker, now = movement.cause, movement.giver, movement.taker, (movement.sequence, movement.now_ns)
    if cause == Cause.ISSUED:
        serials.issue(HBEA, taker, quantity, Origin.FREE, *now)
        return True
    before = list(serials)
    try:
        if cause in ENDS:
            wanted = (lambda block: not block.ever_traded) if untraded_only else None
            serials.end(HBEA, giver, quantity, cause, *now, wanted)
        else:
            serials.transfer(HBEA, giver, taker, quantity, *now, cause)
    except ValueError:
        assert list(serials) == before
        return False
    return True


@given(st.lists(steps, min_size=5, max_size=40))
def test_every_number_has_the_life_that_it_has_when_each_is_kept_by_itself(story) -> None:
    serials, plain = Serials(), Plain()
    for number, (cause, giver, taker, quantity, untraded_only) in enumerate(story, 1):
        movement = Movement(cause, giver, taker, number, number * SECOND)
        assert done(serials, movement, quantity, untraded_only) == plain.do(movement, quantity, untraded_only)
        serials.check()
    for serial, (holder, state, history) in enumerate(plain.rows, 1):
        block = serials.at(HBEA, serial)
        assert (block.holder, block.state, block.ever_traded) == (holder, state, was_traded(history))
        assert serials.history(HBEA, serial) == history
    for holder in (PLANT, MILL, TRADER):
        assert serials.held(holder, HBEA) == [row[:2] for row in plain.rows].count((holder, BlockState.HELD))
    for state in BlockState:
        assert serials.total(HBEA, state) == [row[1] for row in plain.rows].count(state)
