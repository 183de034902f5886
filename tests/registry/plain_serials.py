"""The plain twin of `registry.serials`: blocks and titles as objects, kept in order by sorted dicts.

A title is a list of movements, linked from the last one back to the issue; the parts of a split share what happened
before it. Slow and obvious: what a batch of transfers does here one by one, the compiled columns must do too.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace
from sortedcontainers import SortedDict, SortedList

from registry.serials import ENDS, BlockState, Cause, Movement, Origin


class Title(msgspec.Struct, frozen=True, eq=False):
    """The last movement of a block, and the title before it."""

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


class PlainSerials:
    """All blocks of each unit, and which of them each holder has.

    Both are kept by the last number of a block: what remains of one that is split stays where it is.
    """

    def __init__(self) -> None:
        self.next_serial: dict[int, int] = {}  # by unit
        self.blocks: dict[int, Any] = {}  # by unit, then last number
        self.holders: dict[tuple[int, int], Any] = {}  # last numbers of held blocks by (holder, unit)
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
        if cause in (Cause.ISSUED, *ENDS):
            raise ValueError(f"no transfer is {cause}")
        taken = self._take(unit, giver, quantity, wanted)

        movement = Movement(cause, giver, taker, sequence, now_ns, reference)
        traded = cause in (Cause.TRADED, Cause.NETTED)
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

    def held(self, holder: int, unit: int) -> int:
        """Tonnes of a unit to which somebody has title."""
        return self.holdings[holder, unit]

    def total(self, unit: int, state: BlockState) -> int:
        """Tonnes of a unit in a state."""
        return self.totals[unit, state]

    def ended(self, unit: int) -> int:
        """Tonnes of a unit that were surrendered, retired or cancelled."""
        return sum(self.totals[unit, state] for state in BlockState if state != BlockState.HELD)

    def __iter__(self) -> Iterator[Block]:
        """All blocks, by unit and serial number."""
        for unit in sorted(self.blocks):
            yield from self.blocks[unit].values()
