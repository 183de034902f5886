"""Title to one unit in columns: who holds which serial numbers, and by which movements; compiled.

How it works
------------
A *movement* is a row of a log that is only ever added to. Each block that it moves gets a *link*: one integer, the
link of what happened to that block before, or 0 if that was nothing. The links of a movement lie together and
``first_link`` says where they begin, so a link need not name its movement: it is found by a binary search, and a
whole history costs four bytes for every block moved.

A *block* is ``[first, last]``, its holder, its last link and how many links there are in all. When it is split, the
lower part becomes a new row and what remains keeps the row: **the last number of a row never changes, and no row
ever goes**. So the blocks sorted by last number, which find the block of a number, are an index to which rows are
only added; it is made when somebody asks (`row_of`), in sorted runs that are merged as they grow.

What somebody holds is a *queue*: a binary heap of (last number, row) in a window of ``entries``, the lowest on top.
Taking the lowest and adding any other is O(log blocks held). A queue that must widen moves behind all others, half
as wide again; what it leaves behind lies idle until the array is full. Queue 0 is nobody's: what somebody sells to
himself waits there until all of it has been taken.

The loop stops where an array may lack room, in the middle of a transfer too; Python makes room and calls again.

What it leaves to others: the names of causes, origins and states (here they are their places in the enumerations of
:mod:`registry.serials`), and what readers get.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.core import config

inlined = njit(_nrt=False, forceinline=True)
entry = njit(_nrt=False)

type_of_rows = np.ndarray[Any, np.dtype[Any]]
type_of_column = np.ndarray[Any, np.dtype[np.int64]]

ISSUED, TRADED, NETTED, LAST = (
    0,
    2,
    3,
    4,
)  # of the causes; what comes after the last are the ends, in the order of the states
NOBODY = 0
LINKS_MAX = 1 << 32  # blocks moved of one unit, ever

MOVEMENT = np.dtype(
    (
        np.record,
        [
            ("sequence", "i8"),  # of the command
            ("now_ns", "i8"),  # UTC
            ("reference", "i8"),  # e.g. the trade; 0: none
            ("giver", "u4"),  # 0: nobody
            ("taker", "u4"),  # 0: nobody
            ("cause", "u4"),
        ],
    )
)
BLOCK = np.dtype(
    (
        np.record,
        [
            ("first", "i8"),
            ("last", "i8"),  # never changes
            ("holder", "u4"),
            ("link", "u4"),  # of the last movement
            ("depth", "u4"),  # links in all
            ("origin", "u1"),
            ("state", "u1"),  # 0: held
            ("ever_traded", "u2"),  # 0 or 1
        ],
    )
)
QUEUE = np.dtype(
    (
        np.record,
        [
            ("tonnes", "i8"),  # held
            ("begin", "i8"),  # its window of entries
            ("length", "i8"),  # blocks
            ("room", "i8"),
        ],
    )
)
ENTRY = np.dtype((np.record, [("last", "i8"), ("row", "i8")]))
COUNTS = np.dtype(
    (
        np.record,
        [
            *((name, "i8") for name in ("movements", "links", "blocks", "entries")),  # in use
            ("next_serial", "i8"),
            ("transfer", "i8"),  # of the batch: where the loop is
            ("begun", "i8"),  # whether that has its movement
            ("missing", "i8"),  # tonnes of it still to be moved
            ("moved", "i8"),  # blocks so far
        ],
    )
)


class Columns(NamedTuple):
    """Title to one unit: arrays only, so that kernels take it as one argument."""

    movements: type_of_rows  # MOVEMENT; 0: none
    first_link: type_of_rows  # u4 by movement
    links: type_of_rows  # u4, the link before; 0: none
    blocks: type_of_rows  # BLOCK
    queues: type_of_rows  # QUEUE by holder
    entries: type_of_rows  # ENTRY, windows of the queues
    counts: type_of_rows  # (1,) COUNTS


# ---------------------------------------------------------------- a queue


@inlined
def at(rows, index):
    """Row `index` >= 0 of an array; unsigned, or the machine asks each time whether to count from the end."""
    return rows[np.uint64(index)]


@inlined
def push(entries, queue, last, row):
    """Add a block to a queue that has room."""
    begin, hole = queue.begin, queue.length
    queue.length = hole + 1
    while hole > 0:
        above = (hole - 1) >> 1
        parent = at(entries, begin + above)
        if parent.last < last:
            break
        lower = at(entries, begin + hole)
        lower.last = parent.last
        lower.row = parent.row
        hole = above
    place = at(entries, begin + hole)
    place.last = last
    place.row = row


@inlined
def drop_lowest(entries, queue):
    """Take the lowest block out of a queue that has one."""
    begin, size = queue.begin, queue.length - 1
    queue.length = size
    end = at(entries, begin + size)
    last, row = end.last, end.row
    hole, below = 0, 1
    while below < size:
        child = at(entries, begin + below)
        if below + 1 < size:
            other = at(entries, begin + below + 1)
            if other.last < child.last:
                below += 1
                child = other
        if last < child.last:
            break
        place = at(entries, begin + hole)
        place.last = child.last
        place.row = child.row
        hole, below = below, 2 * below + 1
    place = at(entries, begin + hole)
    place.last = last
    place.row = row


@inlined
def widened(title, queue):
    """Whether a queue has room for another block; it moves behind all others if there is space."""
    if queue.length < queue.room:
        return True
    counts = title.counts[0]
    room = queue.length + (queue.length >> 1) + 4
    if counts.entries + room > title.entries.size:
        return False
    begin = counts.entries
    for offset in range(queue.length):
        old, new = at(title.entries, queue.begin + offset), at(title.entries, begin + offset)
        new.last = old.last
        new.row = old.row
    counts.entries = begin + room
    queue.begin = begin
    queue.room = room
    return True


# ---------------------------------------------------------------- movements

# Why the loop stopped.
DONE, NEEDS_LINKS, NEEDS_ENTRIES, NEEDS_TAKEN = range(4)


@entry
def lacking(tonnes, givers, takers, quantities):
    """The first of a batch of transfers whose giver has too little at its turn; their number if there is none.

    `tonnes` by holder are those held before, and will be those held then.
    """
    for transfer in range(givers.size):
        giver, quantity = np.uint64(givers[transfer]), quantities[transfer]
        if tonnes[giver] < quantity:
            return transfer
        tonnes[giver] -= quantity
        tonnes[np.uint64(takers[transfer])] += quantity
    return givers.size


@inlined
def begin(title, giver, taker, quantity, reference, cause, sequence, now_ns):
    """Write the movement of a transfer, to which links will follow."""
    counts = title.counts[0]
    movement = at(title.movements, counts.movements)
    movement.sequence = sequence
    movement.now_ns = now_ns
    movement.reference = reference
    movement.giver = giver
    movement.taker = taker
    movement.cause = cause
    title.first_link[np.uint64(counts.movements)] = counts.links
    counts.movements += 1
    counts.begun = 1
    counts.missing = quantity
    at(title.queues, giver).tonnes -= quantity
    at(title.queues, taker).tonnes += quantity


@inlined
def taken_whole(title, queue, row):
    """The row of the lowest block, out of its queue."""
    counts, block = title.counts[0], at(title.blocks, row)
    counts.missing -= block.last - block.first + 1
    drop_lowest(title.entries, queue)
    return row


@inlined
def taken_in_part(title, row):
    """A new row for the first numbers of a block, as many as are missing; the rest stays where it is."""
    counts, block = title.counts[0], at(title.blocks, row)
    part = at(title.blocks, counts.blocks)
    part.first = block.first
    part.last = block.first + counts.missing - 1
    part.link = block.link
    part.depth = block.depth
    part.origin = block.origin
    part.ever_traded = block.ever_traded
    part.holder = block.holder
    part.state = block.state
    block.first += counts.missing
    counts.missing = 0
    counts.blocks += 1
    return counts.blocks - 1


@inlined
def retitle(title, row):
    """The title of a block has one more link, to the movement of now. Returns the block."""
    counts, block = title.counts[0], at(title.blocks, row)
    title.links[np.uint64(counts.links)] = block.link
    block.link = counts.links
    block.depth += 1
    counts.links += 1
    return block


@entry
def move(title, givers, takers, quantities, references, cause, state, sequence, now_ns, taken):
    """Move the lowest numbers of givers, transfer by transfer, none of which lacks title.

    `state`: of what was moved; other than 0 it is held no longer, and the takers are nobody. There is room for as many
    movements and as many new blocks as there are transfers. The rows moved are written to `taken` if that has room for
    any. Returns why it stopped, which is DONE or in the middle of a transfer: whoever calls again goes on there.
    """
    counts = title.counts[0]
    if counts.begun == 0:
        counts.transfer = 0
        counts.moved = 0
    while counts.transfer < givers.size:
        giver, taker = givers[np.uint64(counts.transfer)], takers[np.uint64(counts.transfer)]
        if counts.begun == 0:
            quantity, reference = quantities[np.uint64(counts.transfer)], references[np.uint64(counts.transfer)]
            if quantity == 0:
                counts.transfer += 1
                continue
            begin(title, giver, taker, quantity, reference, cause, sequence, now_ns)
        source = at(title.queues, giver)
        into = at(title.queues, 0 if giver == taker else taker)
        while counts.missing > 0:
            if counts.links == title.links.size:
                return NEEDS_LINKS
            if taken.size > 0 and counts.moved == taken.size:
                return NEEDS_TAKEN
            if state == 0 and not widened(title, into):
                return NEEDS_ENTRIES
            row = at(title.entries, source.begin).row
            lowest = at(title.blocks, row)
            if lowest.last - lowest.first < counts.missing:
                row = taken_whole(title, source, row)
            else:
                row = taken_in_part(title, row)
            block = retitle(title, row)
            block.state = state
            if state == 0:
                block.holder = taker
                block.ever_traded |= cause in (TRADED, NETTED)
                push(title.entries, into, block.last, row)
            if taken.size > 0:
                taken[np.uint64(counts.moved)] = row
            counts.moved += 1
        if state == 0 and giver == taker:
            while into.length > 0:
                if not widened(title, source):
                    return NEEDS_ENTRIES
                into.length -= 1
                waiting = at(title.entries, into.begin + into.length)
                push(title.entries, source, waiting.last, waiting.row)
        counts.begun = 0
        counts.transfer += 1
    return DONE


# ---------------------------------------------------------------- soundness

FAULTS = (
    "",
    "movements and their links disagree",
    "a title leads to itself",
    "a title does not begin with its one issue",
    "nobody gave what had been issued",
    "what has not ended has no holder, or the reverse",
    "somebody gave what another had",
    "a title goes back in time",
)
(
    SOUND, LINKS_DISAGREE, LEADS_TO_ITSELF, NOT_ONE_ISSUE, NOBODY_GAVE, NO_HOLDER, ANOTHER_HAD_IT, BACK_IN_TIME
) = range(len(FAULTS))  # fmt: skip


@inlined
def fault_of_link(movement, earlier, before):
    """What is wrong with a movement that comes after the movement `before` of an earlier link; 0 is none."""
    if (movement.cause == ISSUED) != (earlier == 0):
        return NOT_ONE_ISSUE
    if (movement.giver == 0) != (earlier == 0):
        return NOBODY_GAVE
    if (movement.taker == 0) != (movement.cause > LAST):
        return NO_HOLDER
    if movement.giver != before.taker:
        return ANOTHER_HAD_IT
    if movement.sequence < before.sequence or movement.now_ns < before.now_ns:
        return BACK_IN_TIME
    return SOUND


@entry
def fault_of_titles(title, depths, traded, movement_of):
    """The first fault in what links say, 0 if there is none; fills in what is so of each link.

    `depths`: links in all; `traded`: whether a trade is among them; `movement_of`: its movement.
    """
    counts = title.counts[0]
    begins = 1
    for number in range(1, counts.movements):
        ends = counts.links
        if number + 1 < counts.movements:
            ends = np.int64(title.first_link[np.uint64(number + 1)])
        if title.first_link[np.uint64(number)] != begins or ends <= begins or ends > counts.links:
            return LINKS_DISAGREE
        movement = at(title.movements, number)
        for link in range(begins, ends):
            earlier = np.int64(title.links[np.uint64(link)])
            if earlier >= link:
                return LEADS_TO_ITSELF
            fault = fault_of_link(movement, earlier, at(title.movements, movement_of[np.uint64(earlier)]))
            if fault != SOUND:
                return fault
            depths[np.uint64(link)] = depths[np.uint64(earlier)] + 1
            traded[np.uint64(link)] = traded[np.uint64(earlier)] or movement.cause in (TRADED, NETTED)
            movement_of[np.uint64(link)] = number
        begins = ends
    return SOUND if begins == counts.links else LINKS_DISAGREE


# ---------------------------------------------------------------- the columns of a unit

CONTENT = np.dtype(
    [
        ("first", "<i8"),
        ("last", "<i8"),
        ("holder", "<u4"),
        ("origin", "u1"),
        ("state", "u1"),
        ("ever_traded", "u1"),
        ("depth", "<u4"),  # movements in all; of the last one:
        ("cause", "u1"),
        ("giver", "<u4"),
        ("taker", "<u4"),
        ("reference", "<i8"),
    ]
)
"""What a block says, whatever its row: packed, so that equal blocks are equal bytes."""

INDEX_FANOUT = 4  # a sorted run of the index is more than so many times as long as the next


def with_room(rows: type_of_rows, needed: int) -> type_of_rows:
    """The same rows with room for so many; grown by doubling."""
    if needed <= rows.size:
        return rows
    wider = np.zeros(max(needed, 2 * rows.size), rows.dtype)
    wider[: rows.size] = rows
    return wider


def with_entries(columns: Columns, spare: int = 0) -> Columns:
    """The columns with room in every queue that is not empty, and behind them as much again and what is to `spare`:
    what lay idle is left out."""
    queues, counts = columns.queues, columns.counts
    sizes, old = queues["length"], queues["begin"].copy()
    rooms = np.where(sizes > 0, sizes + (sizes >> 1) + 4, 0)
    new = rooms.cumsum() - rooms
    entries = np.zeros(2 * int(rooms.sum()) + 64 + spare, ENTRY)
    within = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)
    entries[np.repeat(new, sizes) + within] = columns.entries[np.repeat(old, sizes) + within]
    queues["begin"], queues["room"] = new, rooms
    counts["entries"] = rooms.sum()
    return columns._replace(entries=entries)


def with_window(columns: Columns, holder: int, length: int) -> Columns:
    """The columns with room for so many blocks in a queue."""
    queues, counts = columns.queues, columns.counts
    if length <= queues["room"].item(holder):
        return columns
    room = length + (length >> 1) + 4
    if counts["entries"].item() + room > columns.entries.size:
        columns = with_entries(columns, room)
    old, held, new = queues["begin"].item(holder), queues["length"].item(holder), counts["entries"].item()
    columns.entries[new : new + held] = columns.entries[old : old + held]
    queues["begin"][holder], queues["room"][holder] = new, room
    counts["entries"] = new + room
    return columns


def _keep_on_disk() -> None:
    """Have machine code kept where the exchange keeps its own (`exchange.compiled`); without it, nowhere."""
    if config.CACHE_DIR and not config.DISABLE_JIT:
        for loop in (lacking, move, fault_of_titles):
            if not loop.signatures:
                loop.enable_caching()


_NOTHING = np.zeros(0, np.uint32)


class UnitTitle:
    """The columns of one unit, and the verbs on them. Nothing here refuses: the caller has asked what there is."""

    def __init__(self) -> None:
        _keep_on_disk()
        counts = np.zeros(1, COUNTS)
        for name in ("movements", "links", "next_serial"):
            counts[name] = 1
        self.columns = Columns(
            movements=np.zeros(16, MOVEMENT),
            first_link=np.zeros(16, np.uint32),
            links=np.zeros(16, np.uint32),
            blocks=np.zeros(16, BLOCK),
            queues=np.zeros(16, QUEUE),
            entries=np.zeros(64, ENTRY),
            counts=counts,
        )
        self.gone = [0, 0, 0, 0]  # tonnes by state; of those held, none
        self._runs: list[tuple[type_of_column, type_of_rows]] = []  # the index: last numbers in order, and their rows
        self._indexed = 0  # rows
        self._batch_of_one = tuple(np.zeros(1, np.int64) for _ in range(4))

    def __len__(self) -> int:
        return self.count("blocks")

    @property
    def next_serial(self) -> int:
        """The number that will be issued next."""
        return self.count("next_serial")

    def count(self, name: str) -> int:
        """One of COUNTS."""
        return int(self.columns.counts[name].item())

    def bytes_used(self) -> int:
        """Of the columns: what is filled, and the windows of queues with the room they have."""
        return (
            (MOVEMENT.itemsize + 4) * self.count("movements")
            + 4 * self.count("links")
            + BLOCK.itemsize * self.count("blocks")
            + ENTRY.itemsize * self.count("entries")
            + QUEUE.itemsize * self.columns.queues.size
        )

    # -- verbs

    def issue(self, holder: int, quantity: int, origin: int, sequence: int, now_ns: int) -> int:
        """Create the next serial numbers for a holder. Returns the row of their block."""
        self._make_room(1, holder)
        self._make_links(1)
        length = self.columns.queues["length"].item(holder) + 1
        self.columns = with_window(self.columns, holder, length)
        columns, counts, queues = self.columns, self.columns.counts, self.columns.queues
        row, link, movement, first = map(self.count, ("blocks", "links", "movements", "next_serial"))
        last = first + quantity - 1
        columns.movements[movement] = (sequence, now_ns, 0, 0, holder, ISSUED)
        columns.first_link[movement] = link
        columns.links[link] = 0
        columns.blocks[row] = (first, last, holder, link, 1, origin, 0, 0)
        columns.entries[queues["begin"][holder] + length - 1] = (last, row)  # the highest number: its place is the last
        queues["length"][holder] = length
        queues["tonnes"][holder] += quantity
        counts["blocks"], counts["links"], counts["movements"] = row + 1, link + 1, movement + 1
        counts["next_serial"] = last + 1
        return row

    def lacking(self, givers: type_of_column, takers: type_of_column, quantities: type_of_column) -> tuple[int, int]:
        """The first transfer whose giver has too little at its turn, and what is missing; 0 if none has."""
        self._make_room(0, int(takers.max(initial=0)))
        tonnes = self.columns.queues["tonnes"].copy()
        known = np.where((givers > 0) & (givers < tonnes.size), givers, 0)  # others have what nobody has
        transfer = int(lacking(tonnes, known, takers, quantities))
        if transfer == givers.size:
            return transfer, 0
        return transfer, int(quantities[transfer] - tonnes[known[transfer]])

    def move(
        self,
        givers: type_of_column,
        takers: type_of_column,
        quantities: type_of_column,
        references: type_of_column,
        cause: int,
        sequence: int,
        now_ns: int,
    ) -> int:
        """Move the givers' lowest numbers, transfer by transfer; all of them have what they give. How many blocks."""
        self._make_room(givers.size, int(takers.max(initial=0)))
        self._run((givers, takers, quantities, references), cause, sequence, now_ns, _NOTHING)
        return self.count("moved")

    def move_one(
        self,
        giver: int,
        taker: int,
        quantity: int,
        reference: int,
        cause: int,
        sequence: int,
        now_ns: int,
        chosen: type_of_rows | None = None,
    ) -> type_of_rows:
        """Move a giver's lowest numbers, of `chosen` rows if these are given, to a taker, or to nobody if they end.

        Returns the rows moved, oldest first.
        """
        self._make_room(1, taker)
        aside = None if chosen is None else self._set_aside(giver, chosen)
        batch = self._batch_of_one
        for column, value in zip(batch, (giver, taker, quantity, reference), strict=True):
            column[0] = value
        taken = self._run(batch, cause, sequence, now_ns, np.zeros(8, np.uint32))
        if aside is not None:
            self._put_back(giver, aside)
        if cause > LAST:
            self.gone[cause - LAST] += quantity
            self.columns.queues["tonnes"][NOBODY] = 0
        return taken[: self.count("moved")]

    def _run(
        self, batch: tuple[type_of_column, ...], cause: int, sequence: int, now_ns: int, taken: type_of_rows
    ) -> type_of_rows:
        """The loop to its end; it gets the room it lacks. Returns `taken`, or what became of it."""
        terms = cause, max(0, cause - LAST), sequence, now_ns
        while (why := move(self.columns, *batch, *terms, taken)) != DONE:
            if why == NEEDS_LINKS:
                self._make_links(1)
            elif why == NEEDS_ENTRIES:
                self.columns = with_entries(self.columns)
            else:
                taken = with_room(taken, taken.size + 1)
        return taken

    def _set_aside(self, holder: int, wanted: type_of_rows) -> type_of_rows:
        """Leave only `wanted` rows in a queue, oldest first; returns the other entries, for `_put_back`."""
        window = self._window(holder)
        is_wanted = np.isin(window["row"], wanted)
        aside, kept = window[~is_wanted], np.sort(window[is_wanted], order="last")
        window[: kept.size] = kept
        self.columns.queues["length"][holder] = kept.size
        return aside

    def _put_back(self, holder: int, aside: type_of_rows) -> None:
        """Join a queue and what was set aside of it."""
        joined = np.sort(np.concatenate([self._window(holder), aside]), order="last")
        self.columns = with_window(self.columns, holder, joined.size)
        self.columns.queues["length"][holder] = joined.size
        self._window(holder)[:] = joined

    def _window(self, holder: int) -> type_of_rows:
        queues = self.columns.queues
        begin, length = queues["begin"].item(holder), queues["length"].item(holder)
        return self.columns.entries[begin : begin + length]

    def _make_room(self, movements: int, holder: int) -> None:
        """For so many movements, as many new blocks, and a holder."""
        columns = self.columns
        rows, needed = self.count("blocks") + movements, self.count("movements") + movements
        if rows > columns.blocks.size:
            columns = columns._replace(blocks=with_room(columns.blocks, rows))
        if needed > columns.movements.size:
            columns = columns._replace(
                movements=with_room(columns.movements, needed), first_link=with_room(columns.first_link, needed)
            )
        if holder >= columns.queues.size:
            columns = columns._replace(queues=with_room(columns.queues, holder + 1))
        self.columns = columns

    def _make_links(self, more: int) -> None:
        links = with_room(self.columns.links, self.count("links") + more)
        assert links.size <= LINKS_MAX, "a link has four bytes"
        self.columns = self.columns._replace(links=links)

    # -- what there is

    def held(self, holder: int) -> int:
        """Tonnes that somebody holds."""
        queues = self.columns.queues
        return int(queues["tonnes"].item(holder)) if 0 < holder < queues.size else 0

    def rows_of(self, holder: int) -> type_of_rows:
        """The rows that somebody holds, oldest first."""
        if not 0 < holder < self.columns.queues.size:
            return np.zeros(0, np.int64)
        window = self._window(holder)
        return window["row"][window["last"].argsort()]

    def ended_of(self, holder: int) -> type_of_rows:
        """The rows that somebody was the last to hold, by number."""
        blocks = self.columns.blocks[: len(self)]
        rows = np.flatnonzero((blocks["holder"] == holder) & (blocks["state"] > 0))
        return rows[blocks["last"][rows].argsort()]

    def row_of(self, serial: int) -> int:
        """The row of a number that was issued: that of the lowest last number which is not below."""
        self._index()
        wanted, found, row = np.int64(serial), self.next_serial, 0
        for lasts, rows in self._runs:
            place = lasts.searchsorted(wanted)
            if place < lasts.size and lasts[place] < found:
                found, row = lasts[place], rows[place]
        return int(row)

    def in_order(self) -> type_of_rows:
        """All rows by number."""
        self._index()
        while len(self._runs) > 1:
            self._merge_last_runs()
        return self._runs[0][1] if self._runs else np.zeros(0, np.uint32)

    def _index(self) -> None:
        """Bring the index up to date."""
        if self._indexed == len(self):
            return
        new = np.arange(self._indexed, len(self), dtype=np.uint32)
        lasts = self.columns.blocks["last"][self._indexed : len(self)]
        order = lasts.argsort()
        self._runs.append((lasts[order], new[order]))
        self._indexed = len(self)
        while len(self._runs) > 1 and self._runs[-2][0].size <= INDEX_FANOUT * self._runs[-1][0].size:
            self._merge_last_runs()

    def _merge_last_runs(self) -> None:
        pair = zip(*(self._runs.pop(-2), self._runs.pop()), strict=True)
        lasts, rows = map(np.concatenate, pair)
        order = lasts.argsort(kind="stable")  # merges what is sorted in parts
        self._runs.append((lasts[order], rows[order]))

    def movement_of(self, link: int) -> int:
        """The number of the movement that a link belongs to."""
        known = self.columns.first_link[: self.count("movements")]
        return int(known.searchsorted(np.uint32(link), "right")) - 1

    def history(self, link: int) -> list[tuple[int, int, int, int, int, int]]:
        """The MOVEMENT rows from a link back to the issue."""
        links, numbers = self.columns.links, []
        while link:
            numbers.append(link)
            link = links.item(link)
        known = self.columns.first_link[: self.count("movements")]
        movements = known.searchsorted(np.array(numbers, np.uint32), "right") - 1
        told: list[tuple[int, int, int, int, int, int]] = self.columns.movements[movements].tolist()
        return told

    def content(self) -> type_of_rows:
        """What all blocks say, by number: CONTENT."""
        rows = self.in_order()
        blocks, known = self.columns.blocks[rows], self.columns.first_link[: self.count("movements")]
        movements = self.columns.movements[known.searchsorted(blocks["link"], "right") - 1]
        told = np.zeros(rows.size, CONTENT)
        for name in ("first", "last", "holder", "origin", "state", "ever_traded", "depth"):
            told[name] = blocks[name]
        for name in ("cause", "giver", "taker", "reference"):
            told[name] = movements[name]
        return told

    # -- soundness

    def check(self) -> None:
        """Assert that blocks cover every number once, each with a sound title, and that queues and sums agree."""
        self._check_numbers()
        self._check_queues()
        self._check_sums()
        self._check_titles()

    def _check_numbers(self) -> None:
        blocks = self.columns.blocks[: len(self)]
        rows = blocks["last"].argsort(kind="stable")
        firsts, lasts = blocks["first"][rows], blocks["last"][rows]
        assert (firsts <= lasts).all(), "empty block"
        assert (firsts[1:] == lasts[:-1] + 1).all() and (firsts[:1] == 1).all(), "serial numbers overlap or are missing"
        assert lasts[-1:].sum() == self.next_serial - 1, "serial numbers issued and in blocks disagree"
        assert (self.in_order() == rows).all(), "the index and blocks disagree"
        assert all((found == blocks["last"][rows]).all() for found, rows in self._runs), "the index and blocks disagree"

    def _check_queues(self) -> None:
        blocks, queues, entries = self.columns.blocks[: len(self)], self.columns.queues, self.columns.entries
        sizes, begins = queues["length"], queues["begin"]
        assert sizes[0] == 0, "nobody holds something"
        assert (sizes <= queues["room"]).all() and (begins + queues["room"] <= entries.size).all(), "a queue overflows"
        own = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)  # place in its queue
        places = np.repeat(begins, sizes) + own
        held = entries[places]
        holders = np.repeat(np.arange(sizes.size), sizes)
        is_held = np.zeros(len(self), bool)
        is_held[held["row"]] = True
        assert held.size == is_held.sum() and (is_held == (blocks["state"] == 0)).all(), "blocks and holders disagree"
        assert (blocks["holder"][held["row"]] == holders).all(), "blocks and holders disagree"
        assert (blocks["last"][held["row"]] == held["last"]).all(), "blocks and holders disagree"
        below = own > 0
        above = np.repeat(begins, sizes) + ((own - 1) >> 1)
        assert (entries["last"][above[below]] < held["last"][below]).all(), "a queue is out of order"

    def _check_sums(self) -> None:
        blocks, queues = self.columns.blocks[: len(self)], self.columns.queues
        quantities, is_held = blocks["last"] - blocks["first"] + 1, blocks["state"] == 0
        tonnes = np.zeros(max(queues.size, int(blocks["holder"].max(initial=0)) + 1), np.int64)
        np.add.at(tonnes, blocks["holder"][is_held], quantities[is_held])
        assert (tonnes[: queues.size] == queues["tonnes"]).all(), "blocks and the sums of holders disagree"
        gone = [int(quantities[blocks["state"] == state].sum()) for state in range(1, len(self.gone))]
        assert gone == self.gone[1:], "blocks and the sums of states disagree"

    def _check_titles(self) -> None:
        blocks, count = self.columns.blocks[: len(self)], self.count("links")
        depths, traded, movement_of = np.zeros(count, np.uint32), np.zeros(count, np.uint8), np.zeros(count, np.uint32)
        fault = FAULTS[fault_of_titles(self.columns, depths, traded, movement_of)]
        assert not fault, fault
        links, state = blocks["link"], blocks["state"]
        assert ((links > 0) & (links < count)).all(), "a block has no title"
        assert (blocks["depth"] == depths[links]).all(), "a title is not as long as it says"
        assert (blocks["ever_traded"] == traded[links]).all(), "a block is marked as traded and was not, or the reverse"
        last = self.columns.movements[movement_of[links]]
        is_held = state == 0
        assert (last["taker"] == blocks["holder"])[is_held].all(), "the holder of a block is not who took it last"
        assert (last["giver"] == blocks["holder"])[~is_held].all(), "the holder of a block is not who ended it"
        ended = np.maximum(last["cause"], LAST) - LAST
        assert (ended == state).all(), "a block did not end as its title says"


def warm_up() -> None:
    """Load the machine code from disk, or compile it: every loop is called once on nothing."""
    title, nothing = UnitTitle(), np.zeros(0, np.int64)
    title.lacking(nothing, nothing, nothing)
    title.move(nothing, nothing, nothing, nothing, TRADED, 0, 0)
    title.check()
