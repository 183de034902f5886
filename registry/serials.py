"""Title: who held which serial number when, and what happened to it.

Every unit issued has a number of its own; title is kept for blocks of consecutive numbers ``[first, last]``. A
movement takes the oldest (lowest) numbers of the giver and splits the last block where needed. What was surrendered,
retired or cancelled keeps its block and never moves again, so the blocks of a unit always cover every number that
was issued, once.

What happened to a block is its title: a list of movements, linked from the last one back to the issue. The parts of
a split share what happened before it, so a split costs the same after a thousand movements as after one. Blocks are
never merged, for no two have the same history: of a block that is split, one part moves on and the other stays. The
price is that numbers which change hands often end up in small blocks, and a large transfer has many of them to move.

Never-traded allowances may lapse at the end of a compliance period (domain sheet C.6): a trade marks what it moves,
for good, even if the trade is undone later; a mere transfer between accounts (inheritance, enforcement, return of
what was allocated too much) does not.

Complexity: a movement O(blocks moved x log blocks of the unit), with a filter also O(blocks of the giver); the block
of a number O(log blocks of the unit); its history O(movements); sums O(1).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

import msgspec
from msgspec.structs import replace
from sortedcontainers import SortedDict, SortedList


class Origin(StrEnum):
    """How a unit came into being."""

    FREE = "free"
    AUCTION = "auction"
    RESERVE = "reserve"
    CREDIT = "credit"
    CARRIED = "carried"  # in the place of one of an earlier vintage


class Cause(StrEnum):
    """Why title moved: by a trade or sale, by many netted, back since a trade was wrong, or otherwise (B.2)."""

    ISSUED = "issued"
    TRANSFERRED = "transferred"
    TRADED = "traded"
    NETTED = "netted"  # the reference is a settlement batch: what is left of many trades when they are offset
    CORRECTED = "corrected"  # the reference is the trade that was wrong
    SURRENDERED = "surrendered"
    RETIRED = "retired"
    CANCELLED = "cancelled"


TRADES = (Cause.TRADED, Cause.NETTED)
ENDS = (Cause.SURRENDERED, Cause.RETIRED, Cause.CANCELLED)  # those that take out of circulation for good


class BlockState(StrEnum):
    """Held, or out of circulation for good; then it has the name of the cause."""

    HELD = "held"
    SURRENDERED = "surrendered"
    RETIRED = "retired"
    CANCELLED = "cancelled"


class Movement(msgspec.Struct, frozen=True, gc=False):
    """Title passes from account to account; account 0 is nobody."""

    cause: Cause
    giver: int
    taker: int
    sequence: int  # of the command that moved it
    now_ns: int  # UTC
    reference: int = 0  # e.g. the trade; 0: none


class Title(msgspec.Struct, frozen=True, eq=False):
    """The last movement of a block, and the title before it.

    A title may be very long, so whatever walks along it must not recurse. Python frees a long chain without
    recursion if the garbage collector knows its links: hence no ``gc=False``, as movements and blocks have.
    """

    movement: Movement
    earlier: "Title | None" = None
    depth: int = 1  # movements in all

    def then(self, movement: Movement) -> "Title":
        """This title after one more movement."""
        return Title(movement, self, self.depth + 1)

    def __iter__(self) -> Iterator[Movement]:
        """The movements, last one first."""
        title: Title | None = self
        while title is not None:
            yield title.movement
            title = title.earlier

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Title):
            return NotImplemented
        return self is other or (self.depth == other.depth and all(map(Movement.__eq__, self, other)))

    def __hash__(self) -> int:
        return hash((self.movement, self.depth))

    def __repr__(self) -> str:
        return f"Title({self.movement}, {self.depth - 1} before it)"


class Block(msgspec.Struct, frozen=True, gc=False):
    """Consecutive serial numbers of one unit with one history; both ends belong to it."""

    unit: int
    first: int
    last: int
    holder: int  # once ended: the last one
    origin: Origin
    title: Title
    ever_traded: bool = False
    state: BlockState = BlockState.HELD

    @property
    def quantity(self) -> int:
        """Tonnes in the block."""
        return self.last - self.first + 1


def ranges(blocks: Iterable[Block]) -> list[tuple[int, int]]:
    """First and last serial number of blocks; what adjoins is one."""
    found: list[tuple[int, int]] = []
    for block in blocks:
        if found and found[-1][1] + 1 == block.first:
            found[-1] = found[-1][0], block.last
        else:
            found.append((block.first, block.last))
    return found


class Serials:
    """All blocks of each unit, and which of them each holder has.

    Both are kept by the last number of a block: what remains of one that is split stays where it is.
    """

    def __init__(self) -> None:
        self.next_serial: dict[int, int] = {}  # by unit
        self.blocks: dict[int, SortedDict[int, Block]] = {}  # by unit, then last number
        self.holders: dict[tuple[int, int], SortedList[int]] = {}  # last numbers of held blocks by (holder, unit)
        self.holdings: Counter[tuple[int, int]] = Counter()  # tonnes by (holder, unit)
        self.totals: Counter[tuple[int, BlockState]] = Counter()  # tonnes by (unit, state)

    def issue(self, unit: int, holder: int, quantity: int, origin: Origin, sequence: int, now_ns: int) -> Block:
        """Create the next `quantity` serial numbers of a unit for a holder. ValueError if that is none."""
        if quantity < 1:
            raise ValueError(f"{quantity} t cannot be issued")

        first = self.next_serial.get(unit, 1)
        self.next_serial[unit] = first + quantity
        self.blocks.setdefault(unit, SortedDict())
        movement = Movement(Cause.ISSUED, 0, holder, sequence, now_ns)
        block = Block(unit, first, first + quantity - 1, holder, origin, Title(movement))
        self._give(holder, unit, [block])
        self.totals[unit, BlockState.HELD] += quantity
        return block

    def transfer(
        self,
        unit: int,
        giver: int,
        taker: int,
        quantity: int,
        sequence: int,
        now_ns: int,
        cause: Cause = Cause.TRADED,
        reference: int = 0,
        wanted: Callable[[Block], bool] | None = None,
    ) -> list[Block]:
        """Move the giver's oldest `quantity` serial numbers, of blocks that are `wanted`.

        Returns the blocks as the taker got them, oldest first. ValueError, before anything moved, if the giver has
        title to fewer or the cause is no transfer's.
        """
        if cause not in (Cause.TRANSFERRED, Cause.CORRECTED, *TRADES):
            raise ValueError(f"no transfer is {cause}")
        taken = self._take(unit, giver, quantity, wanted)

        movement = Movement(cause, giver, taker, sequence, now_ns, reference)
        traded = cause in TRADES
        moved = [
            replace(block, holder=taker, title=block.title.then(movement), ever_traded=traded or block.ever_traded)
            for block in taken
        ]
        self._give(taker, unit, moved)
        return moved

    def end(
        self,
        unit: int,
        holder: int,
        quantity: int,
        cause: Cause,
        sequence: int,
        now_ns: int,
        wanted: Callable[[Block], bool] | None = None,
    ) -> list[Block]:
        """Take a holder's oldest `quantity` serial numbers out of circulation for good; returns them, oldest first.

        The cause says how: surrendered, retired or cancelled. `wanted` says of a held block whether it may be taken.
        ValueError, before anything moved, if the holder has title to fewer that are wanted or the cause is no end.
        """
        state = BlockState(cause)
        taken = self._take(unit, holder, quantity, wanted)

        movement = Movement(cause, holder, 0, sequence, now_ns)
        ended = [replace(block, title=block.title.then(movement), state=state) for block in taken]
        for block in ended:
            self.blocks[unit][block.last] = block
        self.totals[unit, BlockState.HELD] -= quantity
        self.totals[unit, state] += quantity
        return ended

    def _take(self, unit: int, holder: int, quantity: int, wanted: Callable[[Block], bool] | None) -> list[Block]:
        """A holder's oldest wanted serial numbers, which are nobody's until given or ended."""
        if quantity < 0:
            raise ValueError(f"{quantity} t cannot be moved")
        missing = quantity
        taken: list[Block] = []
        for block in filter(wanted, self._held_by(holder, unit)):  # a filter of None passes all
            if missing <= 0:
                break
            taken.append(block)
            missing -= block.quantity
        if missing > 0:
            raise ValueError(f"account {holder} lacks title to {missing} t of unit {unit}")

        self.holdings[holder, unit] -= quantity
        split = taken.pop() if missing < 0 else None
        for block in taken:
            self.holders[holder, unit].remove(block.last)
        if split is not None:
            last = split.last + missing
            taken.append(replace(split, last=last))
            self.blocks[unit][split.last] = replace(split, first=last + 1)
        return taken

    def _give(self, holder: int, unit: int, given: list[Block]) -> None:
        """Enter blocks that somebody has come to hold."""
        held = self.holders.get((holder, unit))
        if held is None:
            held = self.holders[holder, unit] = SortedList()
        for block in given:
            self.blocks[unit][block.last] = block
            held.add(block.last)
            self.holdings[holder, unit] += block.quantity

    def _held_by(self, holder: int, unit: int) -> Iterator[Block]:
        held = self.holders.get((holder, unit))
        return map(self.blocks[unit].__getitem__, held) if held else iter(())

    def at(self, unit: int, serial: int) -> Block:
        """The block of a serial number. KeyError if it was never issued."""
        if not 1 <= serial < self.next_serial.get(unit, 1):
            raise KeyError(f"number {serial} of unit {unit} was never issued")
        blocks = self.blocks[unit]
        block: Block = blocks[next(blocks.irange(serial))]
        return block

    def history(self, unit: int, serial: int) -> list[Movement]:
        """What happened to a serial number, oldest first. KeyError if it was never issued."""
        return [*self.at(unit, serial).title][::-1]

    def of(self, holder: int, unit: int) -> list[Block]:
        """The blocks of a unit that somebody holds, oldest first."""
        return list(self._held_by(holder, unit))

    def blocks_of(self, unit: int) -> Iterator[Block]:
        """All blocks of a unit, by serial number."""
        return iter(self.blocks.get(unit, SortedDict()).values())

    def held(self, holder: int, unit: int) -> int:
        """Tonnes of a unit to which somebody has title."""
        return self.holdings[holder, unit]

    def total(self, unit: int, state: BlockState) -> int:
        """Tonnes of a unit in a state."""
        return self.totals[unit, state]

    def ended(self, unit: int) -> int:
        """Tonnes of a unit that were surrendered, retired or cancelled."""
        return sum(self.totals[unit, BlockState(cause)] for cause in ENDS)

    def __iter__(self) -> Iterator[Block]:
        """All blocks, by unit and serial number."""
        for unit in sorted(self.blocks):
            yield from self.blocks[unit].values()

    def check(self) -> None:
        """Assert that blocks cover every number once, each with a sound title, and that maps and sums agree."""
        self._check_numbers()
        self._check_holders()
        self._check_sums()
        traded: dict[int, bool] = {}
        for block in self:
            _check_title(block, traded)

    def _check_numbers(self) -> None:
        for unit, blocks in self.blocks.items():
            expected = 1
            for last, block in blocks.items():
                assert (block.unit, block.last) == (unit, last), "a block is not where it belongs"
                assert block.first <= block.last, "empty block"
                assert block.first == expected, "serial numbers overlap or are missing"
                expected = block.last + 1
            assert expected == self.next_serial.get(unit), "serial numbers issued and in blocks disagree"
        assert self.blocks.keys() == self.next_serial.keys(), "serial numbers issued and in blocks disagree"

    def _check_holders(self) -> None:
        held: dict[tuple[int, int], list[int]] = {}
        for block in self:
            if block.state == BlockState.HELD:
                held.setdefault((block.holder, block.unit), []).append(block.last)
        found = {key: list(lasts) for key, lasts in self.holders.items() if lasts}
        assert found == held, "blocks and their holders disagree"

    def _check_sums(self) -> None:
        holdings: Counter[tuple[int, int]] = Counter()
        totals: Counter[tuple[int, BlockState]] = Counter()
        for block in self:
            totals[block.unit, block.state] += block.quantity
            if block.state == BlockState.HELD:
                holdings[block.holder, block.unit] += block.quantity
        assert holdings == self.holdings, "blocks and the sums of holders disagree"
        assert totals == self.totals, "blocks and the sums of states disagree"


def _check_title(block: Block, traded: dict[int, bool]) -> None:
    """Assert that a title leads from an issue to the block; `traded` says of links seen before (by id) whether
    a trade is among their movements."""
    title: Title | None = block.title
    unseen: list[Title] = []
    while title is not None and id(title) not in traded:
        unseen.append(title)
        title = title.earlier
    for title in reversed(unseen):
        traded[id(title)] = title.movement.cause in TRADES or traded.get(id(title.earlier), False)
        _check_link(title)
    assert block.ever_traded == traded[id(block.title)], "a block is marked as traded and was not, or the reverse"
    movement = block.title.movement
    if block.state == BlockState.HELD:
        assert movement.taker == block.holder, "the holder of a block is not who took it last"
    else:
        assert movement.cause.value == block.state.value, "a block did not end as its title says"
        assert movement.giver == block.holder, "the holder of a block is not who ended it"


def _check_link(title: Title) -> None:
    movement, earlier = title.movement, title.earlier
    assert (movement.cause == Cause.ISSUED) == (earlier is None), "a title does not begin with its one issue"
    assert (movement.giver == 0) == (earlier is None), "nobody gave what had been issued"
    assert (movement.taker == 0) == (movement.cause in ENDS), "what has not ended has no holder, or the reverse"
    if earlier is None:
        assert title.depth == 1, "a title is longer than it says"
    else:
        assert title.depth == earlier.depth + 1, "a title is not as long as it says"
        assert movement.giver == earlier.movement.taker, "somebody gave what another had"
        assert movement.sequence >= earlier.movement.sequence, "a title goes back in time"
        assert movement.now_ns >= earlier.movement.now_ns, "a title goes back in time"
