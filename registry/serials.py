"""Title: who held which serial number when, and what happened to it.

Every unit issued has a number of its own; title is kept for blocks of consecutive numbers ``[first, last]``. A
movement takes the oldest (lowest) numbers of the giver and splits the last block where needed. What was surrendered,
retired or cancelled keeps its block and never moves again, so the blocks of a unit always cover every number that
was issued, once.

What happened to a block is its title: a list of movements, linked from the last one back to the issue. The parts of
a split share what happened before it, so a split costs the same after a thousand movements as after one.

Everything is kept in columns, and moved by compiled loops: :mod:`registry.title`, which is loaded with the first unit
and so costs nobody anything who only wants the words. Blocks, titles and movements are made when somebody asks.

Blocks are never merged, for no two have the same history: of a block that is split, one part moves on and the other
stays. The price is that turnover shatters title. A transfer splits one block at most, but the oldest numbers move
first, so the same ones change hands again and again and are cut ever smaller, down to single tonnes. Of random trades
of up to 1,000 t among 2,000 holders of 100,000 t, each moved 37 blocks in the first million, 115 in the second, 254 in
the fifth and 339 in the tenth, when there were 5.7 million blocks. Merging what a holder has side by side, whatever its
history, would help little among so many (3 % fewer blocks after a million trades, 6 % after two; four fifths fewer
among 20 holders), and a history could no longer be told by block. What does help is to move less: ten days of a
million such trades each, delivered net, are 20,000 transfers that move 26,000 blocks and leave 22,000.

Never-traded allowances may lapse at the end of a compliance period (domain sheet C.6): a trade marks what it moves,
for good, even if the trade is undone later; a mere transfer between accounts (inheritance, enforcement, return of
what was allocated too much) does not.

Complexity: a movement O(blocks moved x log blocks of giver and taker), with a filter also O(blocks of the giver x
log); the block of a number O(log^2 blocks of the unit), after new blocks also the sorting of these; its history
O(movements x log movements of the unit); sums O(1).
"""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from registry.title import UnitTitle, type_of_rows


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


class Title:
    """The last movement of a block, and the title before it; made of the columns of a unit, which never forget."""

    __slots__ = ("_link", "_unit", "depth")

    def __init__(self, unit: "UnitTitle", link: int, depth: int) -> None:
        self._unit = unit
        self._link = link
        self.depth = depth  # movements in all

    @property
    def movement(self) -> Movement:
        """The last one."""
        unit = self._unit
        return _movement(unit.columns.movements.item(unit.movement_of(self._link)))

    @property
    def earlier(self) -> "Title | None":
        """The title before the last movement; none before the issue."""
        link = self._unit.columns.links.item(self._link)
        return Title(self._unit, link, self.depth - 1) if link else None

    def __iter__(self) -> Iterator[Movement]:
        """The movements, last one first."""
        return map(_movement, self._unit.history(self._link))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Title):
            return NotImplemented
        if self._unit is other._unit and self._link == other._link:
            return True
        return self.depth == other.depth and self._unit.history(self._link) == other._unit.history(other._link)

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
    """All blocks of each unit, and which of them each holder has. Holders are account numbers from 1 on, without
    great gaps: a unit has a row for each up to the highest."""

    def __init__(self) -> None:
        self._titles: dict[int, UnitTitle] = {}  # by unit

    def title_of(self, unit: int) -> "UnitTitle":
        """The columns of a unit; new ones, which are nobody's, if none of it was issued."""
        from registry.title import UnitTitle

        return self._titles[unit] if unit in self._titles else UnitTitle()

    def issue(self, unit: int, holder: int, quantity: int, origin: Origin, sequence: int, now_ns: int) -> Block:
        """Create the next `quantity` serial numbers of a unit for a holder. ValueError if that is none."""
        if quantity < 1:
            raise ValueError(f"{quantity} t cannot be issued")
        _require_account(holder)
        title = self._titles[unit] = self.title_of(unit)
        row = title.issue(holder, quantity, _ORIGINS.index(origin), sequence, now_ns)
        [block] = self._blocks(unit, [row])
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
        among: Iterable[int] | None = None,
    ) -> list[Block]:
        """Move the giver's oldest `quantity` serial numbers, of blocks that are `wanted`, or have one `among` these.

        Returns the blocks as the taker got them, oldest first. ValueError, before anything moved, if the giver has
        title to fewer or the cause is no transfer's.
        """
        _require_transfer(cause)
        _require_account(taker)
        return self._move(unit, giver, taker, quantity, reference, cause, sequence, now_ns, wanted, among)

    def transfer_all(
        self,
        unit: int,
        givers: "type_of_rows",
        takers: "type_of_rows",
        quantities: "type_of_rows",
        references: "type_of_rows",
        sequence: int,
        now_ns: int,
        cause: Cause = Cause.TRADED,
    ) -> int:
        """Many transfers in order, each of the giver's oldest serial numbers at its turn; columns of whole numbers.

        Returns how many blocks moved. ValueError, before anything moved, if a giver would have title to fewer at his
        turn, a quantity is negative or the cause is no transfer's.
        """
        import numpy as np

        _require_transfer(cause)
        giver, taker, tonnes, reference = (
            np.array(column, np.int64) for column in (givers, takers, quantities, references)
        )
        if giver.ndim != 1 or not giver.shape == taker.shape == tonnes.shape == reference.shape:
            raise ValueError("the columns of a batch differ in length")
        _require_quantity(int(tonnes.min(initial=0)))
        _require_account(int(taker.min(initial=1)))
        title = self.title_of(unit)
        at, missing = title.lacking(giver, taker, tonnes)
        if missing:
            raise _lacks(int(giver[at]), missing, unit)
        return title.move(giver, taker, tonnes, reference, _CAUSES.index(cause), sequence, now_ns)

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
        BlockState(cause)
        return self._move(unit, holder, NOBODY, quantity, 0, cause, sequence, now_ns, wanted)

    def _move(
        self,
        unit: int,
        giver: int,
        taker: int,
        quantity: int,
        reference: int,
        cause: Cause,
        sequence: int,
        now_ns: int,
        wanted: Callable[[Block], bool] | None,
        among: Iterable[int] | None = None,
    ) -> list[Block]:
        """One movement; refuses what the giver lacks."""
        _require_quantity(quantity)
        chosen: type_of_rows | None = None
        missing = quantity - self.held(giver, unit)
        if among is not None:
            chosen, missing = self._chosen(unit, self._rows_with(unit, giver, among), quantity, None)
        elif wanted is not None:
            chosen, missing = self._chosen(unit, self.title_of(unit).rows_of(giver), quantity, wanted)
        if missing > 0:
            raise _lacks(giver, missing, unit)
        if quantity == 0:
            return []

        title = self.title_of(unit)
        rows = title.move_one(giver, taker, quantity, reference, _CAUSES.index(cause), sequence, now_ns, chosen)
        return list(self._blocks(unit, rows.tolist()))

    def _rows_with(self, unit: int, holder: int, numbers: Iterable[int]) -> "type_of_rows":
        """The rows of somebody's blocks in which these numbers lie, oldest first."""
        import numpy as np

        title, blocks = self.title_of(unit), self.title_of(unit).columns.blocks
        rows = dict.fromkeys(title.row_of(number) for number in sorted(numbers) if 1 <= number < title.next_serial)
        return np.array([row for row in rows if (blocks[row].holder, blocks[row].state) == (holder, 0)], np.int64)

    def _chosen(
        self, unit: int, rows: "type_of_rows", quantity: int, wanted: Callable[[Block], bool] | None
    ) -> "tuple[type_of_rows, int]":
        """The oldest wanted of some rows that together have a quantity, and what is missing of it."""
        chosen: list[int] = []
        missing = quantity
        for place, block in enumerate(self._blocks(unit, rows.tolist()) if rows.size else ()):
            if missing <= 0:
                break
            if wanted is None or wanted(block):
                chosen.append(place)
                missing -= block.quantity
        return rows[chosen], missing

    def _blocks(self, unit: int, rows: Iterable[int]) -> Iterator[Block]:
        """What readers get of rows, made one by one."""
        title = self._titles[unit]
        for first, last, holder, link, depth, origin, state, ever_traded in map(title.columns.blocks.item, rows):
            yield Block(
                unit, first, last, holder, _ORIGINS[origin], Title(title, link, depth), ever_traded == 1,
                _STATES[state],
            )  # fmt: skip

    def at(self, unit: int, serial: int) -> Block:
        """The block of a serial number. KeyError if it was never issued."""
        title = self._titles.get(unit)
        if title is None or not 1 <= serial < title.next_serial:
            raise KeyError(f"number {serial} of unit {unit} was never issued")
        [block] = self._blocks(unit, [title.row_of(serial)])
        return block

    def history(self, unit: int, serial: int) -> list[Movement]:
        """What happened to a serial number, oldest first. KeyError if it was never issued."""
        return [*self.at(unit, serial).title][::-1]

    def of(self, holder: int, unit: int) -> list[Block]:
        """The blocks of a unit that somebody holds, oldest first."""
        return list(self._blocks(unit, self._titles[unit].rows_of(holder).tolist())) if unit in self._titles else []

    def ended_of(self, holder: int, unit: int) -> list[Block]:
        """The blocks of a unit that somebody was the last to hold, by serial number."""
        return list(self._blocks(unit, self._titles[unit].ended_of(holder).tolist())) if unit in self._titles else []

    def blocks_of(self, unit: int) -> Iterator[Block]:
        """All blocks of a unit, by serial number."""
        return self._blocks(unit, self._titles[unit].in_order().tolist()) if unit in self._titles else iter(())

    def held(self, holder: int, unit: int) -> int:
        """Tonnes of a unit to which somebody has title."""
        return self._titles[unit].held(holder) if unit in self._titles else 0

    def total(self, unit: int, state: BlockState) -> int:
        """Tonnes of a unit in a state."""
        if unit not in self._titles:
            return 0
        title = self._titles[unit]
        if state == BlockState.HELD:
            return title.next_serial - 1 - sum(title.gone)
        return title.gone[_STATES.index(state)]

    def ended(self, unit: int) -> int:
        """Tonnes of a unit that were surrendered, retired or cancelled."""
        return sum(self._titles[unit].gone) if unit in self._titles else 0

    def __iter__(self) -> Iterator[Block]:
        """All blocks, by unit and serial number."""
        for unit in sorted(self._titles):
            yield from self.blocks_of(unit)

    def content(self) -> "Iterator[tuple[int, type_of_rows]]":
        """By unit, what all blocks and their last movements say, by serial number: rows of `registry.title.CONTENT`.

        They depend on nothing but meaning, and not on the sequence and time of commands.
        """
        for unit in sorted(self._titles):
            yield unit, self._titles[unit].content()

    def check(self) -> None:
        """Assert that blocks cover every number once, each with a sound title, and that queues and sums agree."""
        for title in self._titles.values():
            title.check()


NOBODY = 0
_CAUSES, _ORIGINS, _STATES = tuple(Cause), tuple(Origin), tuple(BlockState)  # in columns, their places here


def _movement(row: tuple[int, int, int, int, int, int]) -> Movement:
    sequence, now_ns, reference, giver, taker, cause = row
    return Movement(_CAUSES[cause], giver, taker, sequence, now_ns, reference)


def _require_account(number: int) -> None:
    if number < 1:
        raise ValueError(f"there is no account {number} to take title")


def _require_quantity(tonnes: int) -> None:
    if tonnes < 0:
        raise ValueError(f"{tonnes} t cannot be moved")


def _require_transfer(cause: Cause) -> None:
    if cause in (Cause.ISSUED, *ENDS):
        raise ValueError(f"no transfer is {cause}")


def _lacks(giver: int, missing: int, unit: int) -> ValueError:
    return ValueError(f"account {giver} lacks title to {missing} t of unit {unit}")
