"""The compiled columns of title against their plain twin: every block, title, history and sum after every step.

Quantities are small and numbers few, so that blocks are split, given back and forth, sold to oneself and ended often;
arrays begin with room for sixteen rows, so that they are widened in the middle of batches and of transfers.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry.serials import ENDS, BlockState, Cause, Origin, Serials
from tests.registry.plain_serials import PlainSerials

pytestmark = pytest.mark.kernels

ROOT = Path(__file__).parent.parent.parent
HBEA, HBCER = 1, 2
HOLDERS = range(1, 5)
SECOND = 1_000_000_000

units = st.sampled_from([HBEA, HBEA, HBEA, HBCER])
holders = st.sampled_from(HOLDERS)
few = st.integers(0, 25)
filters = st.sampled_from(["all", "never traded", "auctioned", "odd"])
WANTED = {
    "all": None,
    "never traded": lambda block: not block.ever_traded,
    "auctioned": lambda block: block.origin == Origin.AUCTION,
    "odd": lambda block: block.first % 2 == 1,
}

hands = st.sampled_from([Cause.TRADED, Cause.NETTED, Cause.TRANSFERRED, Cause.CORRECTED])
issues = st.tuples(st.just("issue"), units, holders, st.integers(1, 60), st.sampled_from([Origin.FREE, Origin.AUCTION]))
transfers = st.tuples(
    st.just("transfer"),
    units,
    holders,
    holders,
    few,
    hands,
    filters,
)
ends = st.tuples(st.just("end"), units, holders, few, st.sampled_from(ENDS), filters)
legs = st.lists(st.tuples(holders, holders, st.integers(0, 12), st.integers(0, 9)), max_size=30)
batches = st.tuples(st.just("transfer_all"), units, legs, hands)
steps = st.one_of(issues, transfers, ends, batches, batches)


def told(blocks):
    """All that blocks say, whichever twin they come from."""
    return [
        (
            block.unit, block.first, block.last, block.holder, block.origin, block.ever_traded, block.state,
            block.title.depth, list(block.title),
        )
        for block in blocks
    ]  # fmt: skip


def transfer_all(serials, unit, legs, sequence, now_ns, cause):
    """Blocks moved by a batch."""
    givers, takers, quantities, references = np.array(legs, np.int64).reshape(-1, 4).T
    return serials.transfer_all(unit, givers, takers, quantities, references, sequence, now_ns, cause)


def plain_transfer_all(plain, unit, legs, sequence, now_ns, cause):
    """The same one by one; ValueError, before anything moved, if one of them lacks title."""
    held = {holder: plain.held(holder, unit) for holder in HOLDERS}
    for giver, taker, quantity, _ in legs:
        if held[giver] < quantity:
            raise ValueError(f"account {giver} lacks title to {quantity - held[giver]} t of unit {unit}")
        held[giver] -= quantity
        held[taker] += quantity
    return sum(
        len(plain.transfer(unit, giver, taker, quantity, sequence, now_ns, cause, reference))
        for giver, taker, quantity, reference in legs
    )


def play(serials, step, number, transfer_all):
    """What one of the twins says to a step: what moved, or why nothing did."""
    now = number, number * SECOND
    try:
        match step:
            case "issue", unit, holder, quantity, origin:
                return told([serials.issue(unit, holder, quantity, origin, *now)])
            case "transfer", unit, giver, taker, quantity, cause, wanted:
                return told(serials.transfer(unit, giver, taker, quantity, *now, cause, number, WANTED[wanted]))
            case "end", unit, holder, quantity, cause, wanted:
                return told(serials.end(unit, holder, quantity, cause, *now, WANTED[wanted]))
            case "transfer_all", unit, legs, cause:
                return transfer_all(serials, unit, legs, *now, cause)
    except ValueError as refusal:
        return str(refusal)


def compare(serials, plain):
    """Assert that the twins say the same to every question."""
    serials.check()
    every = told(plain)
    assert told(serials) == every
    for unit in (HBEA, HBCER):
        own = [block for block in every if block[0] == unit]
        assert told(serials.blocks_of(unit)) == own
        for holder in HOLDERS:
            of_holder = [block for block in own if block[3] == holder]
            assert told(serials.of(holder, unit)) == [block for block in of_holder if block[6] == BlockState.HELD]
            assert told(serials.ended_of(holder, unit)) == [block for block in of_holder if block[6] != BlockState.HELD]
            assert serials.held(holder, unit) == plain.held(holder, unit)
        for state in BlockState:
            assert serials.total(unit, state) == plain.total(unit, state)
        assert serials.ended(unit) == plain.ended(unit)
    content = [(unit, *row) for unit, rows in serials.content() for row in rows.tolist()]
    assert content == [content_of(block) for block in every]


def content_of(block):
    unit, first, last, holder, origin, ever_traded, state, depth, title = block
    movement = title[0]
    return (
        unit, first, last, holder, [*Origin].index(origin), [*BlockState].index(state), ever_traded, depth,
        [*Cause].index(movement.cause), movement.giver, movement.taker, movement.reference,
    )  # fmt: skip


def all_numbers(serials, plain):
    """Assert that every number is found, with its whole history."""
    for block in plain:
        for serial in {block.first, (block.first + block.last) // 2, block.last}:
            assert told([serials.at(block.unit, serial)]) == told([block])
            assert serials.history(block.unit, serial) == list(block.title)[::-1]


@given(st.lists(steps, min_size=3, max_size=25), st.booleans())
@example(  # what is sold to oneself waits until all of it has been taken, however it is cut
    [("issue", HBEA, 1, 60, Origin.FREE), *[("transfer", HBEA, 1, 1, n, Cause.TRADED, "all") for n in range(1, 20)],
     ("transfer_all", HBEA, [(1, 1, 60, 1)] * 9, Cause.TRADED), ("transfer", HBEA, 1, 2, 59, Cause.TRADED, "odd")],
    True,
)  # fmt: skip
def test_the_columns_say_what_the_plain_twin_says(story, asks_in_between) -> None:
    serials, plain = Serials(), PlainSerials()
    for number, step in enumerate(story, 1):
        assert play(serials, step, number, transfer_all) == play(plain, step, number, plain_transfer_all)
        compare(serials, plain)
        if asks_in_between:  # the index then has more than one run
            all_numbers(serials, plain)
    all_numbers(serials, plain)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 12]))
def test_a_long_day_among_few_leaves_what_it_leaves_one_by_one(seed, quantity_max) -> None:
    random = np.random.default_rng(seed)
    serials, plain = Serials(), PlainSerials()
    for holder in HOLDERS:
        for twin in (serials, plain):
            twin.issue(HBEA, holder, 50, Origin.FREE, 1, SECOND)
    held, legs = dict.fromkeys(HOLDERS, 50), []
    for reference in range(150):
        giver, taker = random.choice(HOLDERS, 2).tolist()
        quantity = min(int(random.integers(0, quantity_max + 1)), held[giver])
        held[giver] -= quantity
        held[taker] += quantity
        legs.append((giver, taker, quantity, reference))
    moved = transfer_all(serials, HBEA, legs, 2, 2 * SECOND, Cause.TRADED)
    assert moved == plain_transfer_all(plain, HBEA, legs, 2, 2 * SECOND, Cause.TRADED)
    compare(serials, plain)
    all_numbers(serials, plain)


# ---------------------------------------------------------------- batches


def two_holders() -> Serials:
    serials = Serials()
    serials.issue(HBEA, 1, 10, Origin.FREE, 1, SECOND)
    serials.issue(HBEA, 2, 10, Origin.FREE, 1, SECOND)
    return serials


def holdings(serials):
    return [serials.held(holder, HBEA) for holder in HOLDERS]


def test_what_was_bought_in_a_batch_may_be_sold_in_it() -> None:
    serials = two_holders()
    assert transfer_all(serials, HBEA, [(1, 3, 10, 7), (3, 4, 4, 8)], 2, SECOND, Cause.TRADED) == 2
    assert [(block.first, block.last, block.holder) for block in serials] == [(1, 4, 4), (5, 10, 3), (11, 20, 2)]
    assert [(movement.taker, movement.reference) for movement in serials.history(HBEA, 4)] == [(1, 0), (3, 7), (4, 8)]
    serials.check()


@pytest.mark.parametrize(
    ("legs", "refusal"),
    [
        ([(1, 3, 5, 0), (1, 3, 6, 0)], "account 1 lacks title to 1 t of unit 1"),
        ([(3, 4, 1, 0), (1, 3, 5, 0)], "account 3 lacks title to 1 t of unit 1"),
        ([(1, 3, 5, 0), (99, 3, 6, 0)], "account 99 lacks title to 6 t of unit 1"),
        ([(1, 3, 5, 0), (-1, 3, 6, 0)], "account -1 lacks title to 6 t of unit 1"),
        ([(1, 3, 5, 0), (0, 3, 6, 0)], "account 0 lacks title to 6 t of unit 1"),
        ([(1, 3, 5, 0), (1, 3, 2**62, 0)], f"account 1 lacks title to {2**62 - 5} t of unit 1"),
        ([(1, 3, 5, 0), (1, 3, -6, 0)], "-6 t cannot be moved"),
        ([(1, 3, 5, 0), (1, 0, 1, 0)], "there is no account 0"),
    ],
)
def test_a_batch_moves_everything_or_nothing(legs, refusal) -> None:
    serials = two_holders()
    before = told(serials)
    with pytest.raises(ValueError, match=refusal):
        transfer_all(serials, HBEA, legs, 2, SECOND, Cause.TRADED)
    assert told(serials) == before and holdings(serials) == [10, 10, 0, 0]
    serials.check()


def test_a_batch_is_of_transfers_and_its_columns_belong_together() -> None:
    serials = two_holders()
    for cause in (Cause.ISSUED, *ENDS):
        with pytest.raises(ValueError, match=f"no transfer is {cause}"):
            transfer_all(serials, HBEA, [(1, 2, 1, 0)], 2, SECOND, cause)
    with pytest.raises(ValueError, match="differ in length"):
        serials.transfer_all(HBEA, [1], [2], [1, 1], [0], 2, SECOND)
    assert holdings(serials) == [10, 10, 0, 0]


def test_nothing_moves_of_a_unit_that_was_never_issued() -> None:
    serials = two_holders()
    assert transfer_all(serials, HBCER, [], 2, SECOND, Cause.TRADED) == 0
    assert transfer_all(serials, HBCER, [(1, 2, 0, 0)], 2, SECOND, Cause.TRADED) == 0
    with pytest.raises(ValueError, match="lacks title to 1 t of unit 2"):
        transfer_all(serials, HBCER, [(1, 2, 1, 0)], 2, SECOND, Cause.TRADED)
    assert [unit for unit, _ in serials.content()] == [HBEA]


def test_who_only_wants_the_words_loads_no_compiler() -> None:
    asked = "import sys, registry.serials; print('numba' in sys.modules, 'numpy' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]


def test_columns_grow_with_what_they_hold() -> None:
    serials = two_holders()
    title = serials.title_of(HBEA)
    first = title.bytes_used()
    transfer_all(serials, HBEA, [(1, 3, 1, 0)] * 10, 2, SECOND, Cause.TRADED)
    assert len(title) == 11  # the last tonne was a whole block
    assert 11 * 40 < title.bytes_used() - first < 11 * 150
