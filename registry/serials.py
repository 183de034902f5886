"""Title: which serial numbers are whose.

Every unit issued has a number of its own; holders have blocks ``[first, last]``. A transfer takes the
oldest (lowest) blocks of the giver, splits the last of them where needed, and marks what moved as
traded: never-traded allowances may lapse at the end of a compliance period (domain sheet C.6).
Neighbouring blocks of one holder with the same attributes are merged again, so that trading back and
forth does not shatter title.

Complexity: a transfer O(blocks moved x log blocks of the account).
"""

from collections.abc import Iterator
from enum import StrEnum

import msgspec
from sortedcontainers import SortedDict


class Origin(StrEnum):
    """How a unit came into being."""

    FREE = "free"
    AUCTION = "auction"
    RESERVE = "reserve"
    CREDIT = "credit"


class Block(msgspec.Struct, frozen=True):
    """Consecutive serial numbers of one unit with one holder; both ends belong to it."""

    unit: int
    first: int
    last: int
    holder: int
    origin: Origin
    ever_traded: bool = False

    @property
    def quantity(self) -> int:
        """Tonnes in the block."""
        return self.last - self.first + 1


class Serials:
    """All blocks: per (holder, unit), by first serial number."""

    def __init__(self) -> None:
        self.next_serial: dict[int, int] = {}
        self.holders: dict[tuple[int, int], SortedDict[int, Block]] = {}

    def issue(self, unit: int, holder: int, quantity: int, origin: Origin) -> Block:
        """Create the next `quantity` serial numbers of a unit for a holder."""
        first = self.next_serial.get(unit, 1)
        self.next_serial[unit] = first + quantity
        block = Block(unit, first, first + quantity - 1, holder, origin)
        self._add(block)
        return block

    def transfer(self, unit: int, giver: int, taker: int, quantity: int) -> list[Block]:
        """Move the giver's oldest `quantity` serial numbers; returns the blocks as the taker got them.

        ValueError, before anything moved, if the giver has title to fewer.
        """
        blocks = self.holders.get((giver, unit), SortedDict())
        taken: list[Block] = []
        wanted = quantity
        for block in blocks.values():
            if not wanted:
                break
            taken.append(block)
            wanted -= min(wanted, block.quantity)
        if wanted:
            raise ValueError(f"account {giver} lacks title to {wanted} t of unit {unit}")
        for block in taken:
            del blocks[block.first]
        moved = []
        for block in taken:
            part = block
            if block.quantity > quantity:
                part = msgspec.structs.replace(block, last=block.first + quantity - 1)
                self._add(msgspec.structs.replace(block, first=part.last + 1))
            quantity -= part.quantity
            part = msgspec.structs.replace(part, holder=taker, ever_traded=True)
            self._add(part)
            moved.append(part)
        return moved

    def _add(self, block: Block) -> None:
        """Add a block and merge it with its neighbours of the same holder and attributes."""
        blocks = self.holders.setdefault((block.holder, block.unit), SortedDict())
        at = blocks.bisect_left(block.first)
        if at < len(blocks):
            behind: Block = blocks.peekitem(at)[1]
            if behind.first == block.last + 1 and self._alike(block, behind):
                del blocks[behind.first]
                block = msgspec.structs.replace(block, last=behind.last)
        if at > 0:
            ahead: Block = blocks.peekitem(at - 1)[1]
            if ahead.last == block.first - 1 and self._alike(ahead, block):
                del blocks[ahead.first]
                block = msgspec.structs.replace(block, first=ahead.first)
        blocks[block.first] = block

    @staticmethod
    def _alike(one: Block, other: Block) -> bool:
        return one.origin == other.origin and one.ever_traded == other.ever_traded

    def of(self, holder: int, unit: int) -> list[Block]:
        """A holder's blocks of a unit, oldest first."""
        return list(self.holders.get((holder, unit), SortedDict()).values())

    def held(self, holder: int, unit: int) -> int:
        """Tonnes of a unit to which a holder has title."""
        return sum(block.quantity for block in self.of(holder, unit))

    def __iter__(self) -> Iterator[Block]:
        """All blocks, by unit and first serial number."""
        every = (block for blocks in self.holders.values() for block in blocks.values())
        return iter(sorted(every, key=lambda block: (block.unit, block.first)))

    def check(self) -> None:
        """Assert that the blocks of each unit are disjoint and cover every number issued."""
        expected: dict[int, int] = {}
        for block in self:
            assert block.quantity > 0, "empty block"
            assert block.first == expected.get(block.unit, 1), "serial numbers overlap or are missing"
            expected[block.unit] = block.last + 1
        assert expected == self.next_serial, "serial numbers issued and held disagree"
