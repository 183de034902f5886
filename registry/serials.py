"""Title: who held which serial number when, and what happened to it.

Every unit issued has a number of its own; title is kept for blocks of consecutive numbers ``[first, last]``. A
movement takes the oldest (lowest) numbers of the giver and splits the last block where needed. A block that was
surrendered, retired or cancelled stays where it is and never moves again, so the blocks of a unit always cover every
number that was issued, once.

What happened to a block is its title: a list of movements, linked from the last one back to the issue. The parts of
a split share what happened before it, so a split costs as much after a thousand movements as after one. Blocks are
never merged: no two have the same history, since of a block that is split one part moves on and the other stays.
The price is that numbers which change hands daily end up in small blocks, and a large transfer moves many of them.

Never-traded allowances may lapse at the end of a compliance period (domain sheet C.6): a trade marks what it moves,
for good; a mere transfer between accounts (inheritance, enforcement, a return of over-allocation) does not.

Complexity: a movement O(blocks moved x log blocks of the unit), with a filter also O(blocks of the giver); the block
of a number O(log blocks of the unit); sums O(1).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Self

import msgspec
from sortedcontainers import SortedDict


class Origin(StrEnum):
    """How a unit came into being."""

    FREE = "free"
    AUCTION = "auction"
    RESERVE = "reserve"
    CREDIT = "credit"
    CARRIED = "carried"  # in the place of one of an earlier vintage


class Cause(StrEnum):
    """Why title moved (national registration rules, art. 18-23)."""

    ISSUED = "issued"
    TRANSFERRED = "transferred"
    TRADED = "traded"
    SURRENDERED = "surrendered"
    RETIRED = "retired"
    CANCELLED = "cancelled"


class BlockState(StrEnum):
    """Held, or out of circulation for good. Each ending is called like its cause."""

    HELD = "held"
    SURRENDERED = "surrendered"
    RETIRED = "retired"
    CANCELLED = "cancelled"


ENDED = (BlockState.SURRENDERED, BlockState.RETIRED, BlockState.CANCELLED)


class Movement(msgspec.Struct, frozen=True, gc=False):
    """Title passes from one account to another; account 0 is nobody."""

    cause: Cause
    giver: int
    taker: int
    sequence: int  # of the command that moved it
    now_ns: int  # UTC
    reference: int = 0  # e.g. the trade; 0: none


class Title(msgspec.Struct, frozen=True, eq=False):
    """The last movement of a block and all that went before.

    It can be a million movements long, so nothing here may recurse. That is also why the garbage collector must
    know of it, unlike of blocks and movements: Python frees long chains of only such objects without recursion.
    """

    movement: Movement
    earlier: Self | None = None
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
        return f"Title({self.movement}, after {self.depth - 1} movements)"


class Block(msgspec.Struct, frozen=True, gc=False):
    """Consecutive serial numbers of one unit with one history; both ends belong to it."""

    unit: int
    first: int
    last: int
    holder: int  # of an ended block: the last one
    origin: Origin
    title: Title
    ever_traded: bool = False
    state: BlockState = BlockState.HELD

    @property
    def quantity(self) -> int:
        """Tonnes in the block."""
        return self.last - self.first + 1

    def cut(self, last: int) -> "tuple[Block, Block]":
        """The part up to a number and the part behind it; both keep the title."""
        part = Block(self.unit, self.first, last, self.holder, self.origin, self.title, self.ever_traded, self.state)
        rest = Block(self.unit, last + 1, self.last, self.holder, self.origin, self.title, self.ever_traded, self.state)
        return part, rest


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
    """All blocks per unit, and those held per (holder, unit), by first serial number."""

    def __init__(self) -> None:
        self.next_serial: dict[int, int] = {}  # by unit
        self.blocks: dict[int, SortedDict[int, Block]] = {}
        self.holders: dict[tuple[int, int], SortedDict[int, Block]] = {}
        self._held: Counter[tuple[int, int]] = Counter()  # tonnes by (holder, unit)
        self._totals: Counter[tuple[int, BlockState]] = Counter()  # tonnes by (unit, state)

    def issue(self, unit: int, holder: int, quantity: int, origin: Origin, sequence: int, now_ns: int) -> Block:
        """Create the next `quantity` serial numbers of a unit for a holder. ValueError if there are none to create."""
        if quantity < 1:
            raise ValueError(f"{quantity} t cannot be issued")
        first = self.next_serial.get(unit, 1)
        self.next_serial[unit] = first + quantity
        self.blocks.setdefault(unit, SortedDict())
        movement = Movement(Cause.ISSUED, 0, holder, sequence, now_ns)
        block = Block(unit, first, first + quantity - 1, holder, origin, Title(movement))
        self._totals[unit, BlockState.HELD] += quantity
        self._held[holder, unit] += quantity
        self._put(block)
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
        title to fewer.
        """
        if cause not in (Cause.TRANSFERRED, Cause.TRADED):
            raise ValueError(f"nothing is {cause} from account to account")
        taken = self._take(unit, giver, quantity, wanted)
        movement = Movement(cause, giver, taker, sequence, now_ns, reference)
        is_trade = cause is Cause.TRADED
        moved = [
            Block(
                unit, block.first, block.last, taker, block.origin, block.title.then(movement),
                is_trade or block.ever_traded,
            )
            for block in taken
        ]  # fmt: skip
        self._held[taker, unit] += quantity
        for block in moved:
            self._put(block)
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
        """Take a holder's oldest `quantity` serial numbers, of blocks that are `wanted`, out of circulation for good.

        The cause says how: surrendered, retired or cancelled. Returns the ended blocks, oldest first. ValueError,
        before anything moved, for another cause and if the holder has title to fewer.
        """
        state = BlockState(cause)
        movement = Movement(cause, holder, 0, sequence, now_ns)
        ended = [
            Block(
                unit, block.first, block.last, holder, block.origin, block.title.then(movement),
                block.ever_traded, state,
            )
            for block in self._take(unit, holder, quantity, wanted)
        ]  # fmt: skip
        self._totals[unit, BlockState.HELD] -= quantity
        self._totals[unit, state] += quantity
        for block in ended:
            self.blocks[unit][block.first] = block
        return ended

    def _take(
        self, unit: int, holder: int, quantity: int, wanted: Callable[[Block], bool] | None = None
    ) -> list[Block]:
        """A holder's oldest serial numbers, no longer among the held; the last block is split where needed."""
        if quantity < 0:
            raise ValueError(f"{quantity} t cannot be moved")
        missing = quantity
        taken: list[Block] = []
        blocks = self.holders.get((holder, unit), SortedDict())
        for block in filter(wanted, blocks.values()):  # no filter: all
            if missing <= 0:
                break
            taken.append(block)
            missing -= block.quantity
        if missing > 0:
            raise ValueError(f"account {holder} lacks title to {missing} t of unit {unit}")

        self._held[holder, unit] -= quantity
        for block in taken:
            del blocks[block.first]
        if missing < 0:
            taken[-1], rest = taken[-1].cut(taken[-1].last + missing)
            self._put(rest)
        return taken

    def _put(self, block: Block) -> None:
        """Enter a held block where it is looked for."""
        self.blocks[block.unit][block.first] = block
        held = self.holders.get((block.holder, block.unit))
        if held is None:
            held = self.holders[block.holder, block.unit] = SortedDict()
        held[block.first] = block

    def at(self, unit: int, serial: int) -> Block:
        """The block of a serial number. KeyError if it was never issued."""
        if not 1 <= serial < self.next_serial.get(unit, 1):
            raise KeyError(f"number {serial} of unit {unit} was never issued")
        blocks = self.blocks[unit]
        block: Block = blocks[next(blocks.irange(maximum=serial, reverse=True))]
        return block

    def history(self, unit: int, serial: int) -> list[Movement]:
        """What happened to a serial number, oldest first. KeyError if it was never issued."""
        return list(self.at(unit, serial).title)[::-1]

    def of(self, holder: int, unit: int) -> list[Block]:
        """The blocks of a unit that somebody holds, oldest first."""
        return list(self.holders.get((holder, unit), SortedDict()).values())

    def held(self, holder: int, unit: int) -> int:
        """Tonnes of a unit to which a holder has title."""
        return self._held[holder, unit]

    def total(self, unit: int, state: BlockState) -> int:
        """Tonnes of a unit that are in a state."""
        return self._totals[unit, state]

    def ended(self, unit: int) -> int:
        """Tonnes of a unit that were surrendered, retired or cancelled."""
        return sum(self._totals[unit, state] for state in ENDED)

    def __iter__(self) -> Iterator[Block]:
        """All blocks, by unit and first serial number."""
        for unit in sorted(self.blocks):
            yield from self.blocks[unit].values()

    def check(self) -> None:
        """Assert that the blocks cover every number issued once, and that sums, holders and titles agree with them."""
        expected: dict[int, int] = {}
        for block in self:
            assert block.first == expected.get(block.unit, 1), "serial numbers overlap or are missing"
            expected[block.unit] = block.last + 1
        assert expected == self.next_serial, "serial numbers issued and held disagree"
