"""How long title takes: random transfers that split blocks, and looking up what happened to random numbers.

    random transfers --> Serials.transfer (4 units, 1,000 holders) --> blocks with their titles
    the blocks moved --> a SortedDict of bare integers a unit      --> the same last numbers
    numbers of these --> Serials.at, Serials.history               --> block, movements
                         the SortedDict of bare integers           --> last number

    a day of trades  --> Serials.transfer_all (1 unit, 2,000 holders) --> blocks with their titles
    the first of them -> Serials.transfer, the plain twin, one by one --> the same

A hundred blocks are issued; then whoever holds a random number sells up to 1,000 t to a random holder, over and
over, until there are a million blocks. At each power of ten from a thousand on, and at the end, runs of transfers
(one for every hundred blocks, a hundred at least) are timed in turn with the same blocks entered into bare sorted
dicts, and with as many look-ups: the yardstick is what keeping numbers in order costs without title, holders and
sums. A transfer that reaches beyond the giver's oldest block moves more than one, the more the smaller trade has
cut them: so times are also given for each block moved.

Before a number is printed, the serials are checked (disjoint, complete, every title sound, sums and maps agree),
the bare dicts have the same numbers, everybody holds what the plan of transfers left them, each block found has
the number that was looked for, and each history ends with its holder.

The day of trades is one batch of a million transfers, of up to 1,000 t each, among holders of 100,000 t. Its first
transfers are also made one by one, by `Serials.transfer` and by the plain twin, each of which must say the same of
every block, with its whole title, before times are believed; a day must be sound and leave everybody what was
planned. The oldest numbers move first, so the same ones change hands all day and are cut ever smaller: a transfer is
the dearer the later it comes, and what lasts is the time of each block moved.
"""

import gc
import importlib.util
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import numpy as np
from sortedcontainers import SortedDict

from benchmarks.measure import WrongAnswer, show, table
from registry.serials import Block, Movement, Origin, Serials

UNITS, HOLDERS = 4, 1000
ISSUES = 25  # blocks of each unit at first
QUANTITY_MAX = 1000  # tonnes of a transfer
UNIT, DAY_HOLDERS, DAY_ISSUED = 1, 2000, 100_000  # a day's unit and holders, and what each has at first, tonnes

Transfer = tuple[int, int, int, int, int, int]  # unit, giver, taker, quantity, sequence, now_ns
Number = tuple[int, int]  # unit, serial number
Entry = tuple[int, int, int]  # unit, last and first number of a block


class Trade:
    """Serials under random trade, and bare sorted dicts of the same blocks."""

    def __init__(self, issued: int) -> None:
        self.issued = issued  # tonnes of each block at first
        self.random = random.Random(2026)
        self.serials = Serials()
        self.bare: dict[int, Any] = {unit: SortedDict() for unit in range(1, UNITS + 1)}
        self.owned: Counter[tuple[int, int]] = Counter()  # tonnes by (holder, unit), as planned
        self.moved: list[Entry] = []
        self.sequence = 0
        for unit in self.bare:
            for holder in range(1, ISSUES + 1):
                block = self.serials.issue(unit, holder, issued, Origin.FREE, 0, 0)
                self.bare[unit][block.last] = block.first
                self.owned[holder, unit] = issued

    def __len__(self) -> int:
        return sum(map(len, self.bare.values()))

    def numbers(self, count: int) -> list[Number]:
        """Random serial numbers of random blocks that were moved."""
        chosen = self.random.choices(self.moved, k=count)
        return [(unit, self.random.randint(first, last)) for unit, last, first in chosen]

    def plan(self, count: int) -> list[Transfer]:
        """The next so many transfers."""
        planned: list[Transfer] = []
        while len(planned) < count:
            unit, serial = self.random.randint(1, UNITS), self.random.randint(1, ISSUES * self.issued)
            giver, taker = self.serials.at(unit, serial).holder, self.random.randint(1, HOLDERS)
            quantity = min(self.random.randint(1, QUANTITY_MAX), self.owned[giver, unit])
            if quantity:
                self.sequence += 1
                self.owned[giver, unit] -= quantity
                self.owned[taker, unit] += quantity
                planned.append((unit, giver, taker, quantity, self.sequence, self.sequence))
        return planned

    def play(self, planned: list[Transfer]) -> list[Block]:
        """The blocks that transfers move."""
        transfer = self.serials.transfer
        return [block for each in planned for block in transfer(*each)]

    def noted(self, blocks: list[Block]) -> list[Entry]:
        """What is to be entered of blocks that were moved, and may be looked up from now on."""
        moved = [(block.unit, block.last, block.first) for block in blocks]
        self.moved += moved
        return moved

    def enter(self, moved: list[Entry]) -> None:
        """Enter what was moved into the bare dicts."""
        for unit, last, first in moved:
            self.bare[unit][last] = first

    def find(self, numbers: list[Number]) -> list[int]:
        """The last numbers of the blocks of numbers, from the bare dicts."""
        return [next(self.bare[unit].irange(serial)) for unit, serial in numbers]

    def check(self) -> None:
        """Assert that serials are sound; WrongAnswer if they and the plan or the bare dicts differ."""
        self.serials.check()
        if any(blocks["last"].tolist() != list(self.bare[unit]) for unit, blocks in self.serials.content()):
            raise WrongAnswer("serials and bare dicts have different blocks")
        if any(self.serials.held(*key) != tonnes for key, tonnes in self.owned.items()):
            raise WrongAnswer("somebody holds another quantity than planned")


def run(blocks: int, issued: int, runs: int, day: int, sample: int) -> None:
    """Measure and print."""
    transfers = table(
        "microseconds of a transfer, and of each block that it moves",
        "blocks", "transfer", "spread", "moves", "each", "bare", "x bare", left=0,
    )  # fmt: skip
    look_ups = table(
        "microseconds to find the block of a number, and to tell its history",
        "blocks", "find", "spread", "bare", "x bare", "history", "spread", "of", left=0,
    )  # fmt: skip
    trade = Trade(issued)
    for size in sizes(blocks):
        while len(trade) < size:
            trade.enter(trade.noted(trade.play(trade.plan(min(1000, size - len(trade))))))
        begun = f"{len(trade):,}"
        measured = [_measured(trade, max(100, size // 100)) for _ in range(runs + 1)][1:]
        trade.check()
        median = _Run(*map(statistics.median, zip(*measured, strict=True)))
        transfers.add_row(
            begun, f"{median.transfer:.1f}", _spread(run.transfer for run in measured), f"{median.moves:.2f}",
            f"{median.each:.1f}", f"{median.entry:.1f}", f"{median.each / median.entry:.1f}",
        )  # fmt: skip
        look_ups.add_row(
            begun, f"{median.at:.1f}", _spread(run.at for run in measured), f"{median.find:.1f}",
            f"{median.at / median.find:.1f}", f"{median.history:.1f}", _spread(run.history for run in measured),
            f"{median.movements:.1f}",
        )  # fmt: skip
    show(runs, *_day(day, min(sample, day), runs), transfers, look_ups)


def sizes(blocks: int) -> list[int]:
    """A thousand, ten thousand and so on, and at last so many blocks."""
    powers = (10**power for power in range(3, len(str(blocks))))
    return [*(size for size in powers if size < blocks), blocks]


# ---------------------------------------------------------------- a day of trades


class Day(NamedTuple):
    """Transfers in order, one column each."""

    givers: Any
    takers: Any
    quantities: Any
    references: Any

    def head(self, count: int) -> "Day":
        """The first so many."""
        return Day(*(column[:count] for column in self))


def planned_day(count: int) -> tuple[Day, list[int]]:
    """Random transfers none of whose givers lacks title at its turn, and what they leave everybody, by holder."""
    generator = np.random.default_rng(2026)
    givers, takers = generator.integers(1, DAY_HOLDERS + 1, (2, count))
    wanted = generator.integers(1, QUANTITY_MAX + 1, count).tolist()
    held, quantities = [0] + [DAY_ISSUED] * DAY_HOLDERS, []
    for giver, taker, most in zip(givers.tolist(), takers.tolist(), wanted, strict=True):
        quantity = min(most, held[giver])
        held[giver] -= quantity
        held[taker] += quantity
        quantities.append(quantity)
    return Day(givers, takers, np.array(quantities), np.arange(1, count + 1)), held


def _issued(serials: Any) -> Any:
    """Serials of either kind, in which every holder has been issued what he trades with."""
    for holder in range(1, DAY_HOLDERS + 1):
        serials.issue(UNIT, holder, DAY_ISSUED, Origin.FREE, 1, 1)
    return serials


def _batch(serials: Serials, day: Day) -> int:
    return serials.transfer_all(UNIT, *day, 2, 2)


def _one_by_one(serials: Any, day: Day) -> int:
    """Blocks moved."""
    legs = zip(*(column.tolist() for column in day), strict=True)
    return sum(
        len(serials.transfer(UNIT, giver, taker, quantity, 2, 2, reference=reference))
        for giver, taker, quantity, reference in legs
    )


def _plain_twin() -> Any:
    """The tests' plain twin of `Serials`; it is no part of any package."""
    file = Path(__file__).parent.parent / "tests" / "registry" / "plain_serials.py"
    spec = importlib.util.spec_from_file_location("plain_serials", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PlainSerials()


def _told(serials: Any) -> list[tuple[Any, ...]]:
    """What serials of either kind say of all blocks."""
    return [
        (block.first, block.last, block.holder, block.origin, block.ever_traded, block.state, [*block.title])
        for block in serials
    ]


def _day(count: int, sample: int, runs: int) -> list[Any]:
    """Tables of the first transfers of a day, made in three ways, and of the whole day."""
    day, left = planned_day(count)
    return [_in_three_ways(day.head(sample), runs), _in_one_batch(day, left, runs)]


def _in_three_ways(day: Day, runs: int) -> Any:
    ways: list[tuple[str, Callable[[], Any], Callable[[Any, Day], int]]] = [
        ("batch", Serials, _batch), ("one by one", Serials, _one_by_one), ("plain twin", _plain_twin, _one_by_one)
    ]  # fmt: skip
    found: dict[str, list[float]] = {name: [] for name, _, _ in ways}
    answers = []
    for run in range(runs + 1):
        for name, make, move in ways:
            each, moved, serials = _timed_day(make, move, day)
            found[name].append(each)
            if run == 0:
                answers.append((moved, _told(serials)))
        if answers[1:] != answers[:-1]:
            raise WrongAnswer("a batch, the same one by one and the plain twin leave different blocks")
    transfers = len(day.givers)
    made = table(
        f"microseconds of each block moved by a day's first {transfers:,} transfers", "made", "each", "spread",
        "a transfer", "x batch",
    )  # fmt: skip
    for name, times in found.items():
        each = statistics.median(times[1:])
        made.add_row(
            name, f"{each:.2f}", _fine_spread(times[1:]), f"{each * answers[0][0] / transfers:.2f}",
            f"{each / statistics.median(found['batch'][1:]):.1f}",
        )  # fmt: skip
    return made


def _in_one_batch(day: Day, left: list[int], runs: int) -> Any:
    transfers, times = len(day.givers), []
    for _ in range(runs + 1):
        each, moved, serials = _timed_day(Serials, _batch, day)
        times.append(each)
    checking, _ = _timed(Serials.check, serials)
    telling, _ = _timed(lambda serials: list(serials.content()), serials)
    if [serials.held(holder, UNIT) for holder in range(DAY_HOLDERS + 1)] != left:
        raise WrongAnswer("somebody holds another quantity than planned")
    title, each = serials.title_of(UNIT), statistics.median(times[1:])
    made = table(
        "a day in one batch: microseconds; bytes of the columns for each block and movement; seconds to check and tell",
        "transfers", "moves", "transfer", "each", "spread", "blocks", "bytes", "check", "tell", left=0,
    )  # fmt: skip
    made.add_row(
        f"{transfers:,}", f"{moved / transfers:.2f}", f"{each * moved / transfers:.2f}", f"{each:.3f}",
        _fine_spread(times[1:]), f"{len(title):,}",
        f"{title.bytes_used() / (len(title) + title.count('movements')):.0f}",
        f"{checking / 1e6:.2f}", f"{telling / 1e6:.2f}",
    )  # fmt: skip
    return made


class _TimedDay(NamedTuple):
    """Microseconds of each block moved, how many, and what came of it."""

    each: float
    moved: int
    serials: Any


def _timed_day(make: Callable[[], Any], move: Callable[[Any, Day], int], day: Day) -> _TimedDay:
    serials = _issued(make())
    took, moved = _timed(lambda planned: move(serials, planned), day)
    return _TimedDay(took / moved, moved, serials)


def _fine_spread(times: Iterable[float]) -> str:
    found = list(times)
    return f"{min(found):.3f}-{max(found):.3f}"


# ---------------------------------------------------------------- one by one, with ever more blocks


class _Run(NamedTuple):
    """Microseconds of one run, each the mean of many."""

    transfer: float
    each: float  # block moved
    entry: float  # of such a block into a bare dict
    at: float
    find: float  # in a bare dict
    history: float
    moves: float  # blocks a transfer
    movements: float  # a history


def _measured(trade: Trade, count: int) -> _Run:
    """So many transfers and look-ups."""
    serials, planned, numbers = trade.serials, trade.plan(count), trade.numbers(count)
    transfer, moved = _timed(trade.play, planned)
    entry, _ = _timed(trade.enter, trade.noted(moved))
    at, found = _timed(lambda wanted: [serials.at(*number) for number in wanted], numbers)
    find, lasts = _timed(trade.find, numbers)
    history, told = _timed(lambda wanted: [serials.history(*number) for number in wanted], numbers)
    _check_found(numbers, found, lasts, told)
    return _Run(
        transfer=transfer / count,
        each=transfer / len(moved),
        entry=entry / len(moved),
        at=at / count,
        find=find / count,
        history=history / count,
        moves=len(moved) / count,
        movements=sum(map(len, told)) / count,
    )


def _timed(work: Callable[[Any], Any], given: Any) -> tuple[float, Any]:
    """Microseconds of the processor that a piece of work took, which waits for nothing, and what it gave."""
    gc.collect()
    began = process_time()
    done = work(given)
    return (process_time() - began) * 1e6, done


def _check_found(numbers: list[Number], found: list[Block], lasts: list[int], told: list[list[Movement]]) -> None:
    for (unit, serial), block, last, history in zip(numbers, found, lasts, told, strict=True):
        if block.unit != unit or not block.first <= serial <= block.last or block.last != last:
            raise WrongAnswer(f"number {serial} of unit {unit} is not in {block}")
        if history[-1].taker != block.holder:
            raise WrongAnswer(f"number {serial} of unit {unit} went to another than {block.holder}")


def _spread(times: Iterable[float]) -> str:
    found = list(times)
    return f"{min(found):.1f}-{max(found):.1f}"
