"""Files of order flow, whatever their format: recognised, opened, read as one whole flow of messages.

    source = open_source(Path("AAPL_2012-06-21_34200000_57600000_message_10.csv"))
    for messages in source.whole(): ...

A format is recognised by the file's name, else by its first bytes. A :class:`Source` says what it is about and
gives the flow as MESSAGE rows that begin with an empty book; our own flows also give the COMMAND rows they are made of.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from exchange.research import flows, itch, mbo, own_journal
from exchange.research.itch import chunks
from exchange.research.lobster import Sample, message_parts
from exchange.research.messages import FormatError, type_of_rows
from exchange.research.reported import ReplayReport
from exchange.research.told import told
from exchange.research.window import Seeds, unbroken, whole, window_of

SMALLEST = Decimal("0.0001")  # price of one tick of a message
NEW_YORK = "America/New_York"
OPENING_NS = 34_200_000_000_000  # 09:30, when a flow without times begins
STEP_NS = 1_000  # between two messages of it
ENOUGH_TIMES = 100  # rows, from which on times without nanoseconds are no chance
SPREADSHEET_DECIMALS = 5


class Format(StrEnum):
    """What a file of order flow can be."""

    LOBSTER = "lobster"
    ITCH = "itch"
    DBN = "dbn"
    FLOW = "flow"
    JOURNAL = "journal"


@dataclass(frozen=True)
class About:
    """What the caller knows of a flow; a file may know better."""

    symbol: str = ""
    day: date | None = None  # local
    zone: str = NEW_YORK
    tick: Decimal = SMALLEST  # price of one tick of our own flow

    @property
    def factor(self) -> int:
        """Ticks of messages in one tick of our own flow."""
        return int(self.tick / SMALLEST)

    def midnight_ns(self, file: Path) -> int:
        """UTC nanoseconds of the day's local midnight. FormatError if the day is not known."""
        if self.day is None:
            raise FormatError(file, 0, 0, "does not say of which day it is; give --date")
        noon = datetime(self.day.year, self.day.month, self.day.day, 12, tzinfo=ZoneInfo(self.zone))
        return (int(noon.astimezone(UTC).timestamp()) - 12 * 3600) * 1_000_000_000


def recognise(file: Path) -> Format:
    """The format of a file. FormatError if there is no such file or it is none of them."""
    if not file.is_file():
        raise FormatError(file, 0, 0, "there is no such file")
    begin = next(chunks(file, 64))
    name = file.name.lower()
    if "_message_" in name or "_orderbook_" in name:
        return Format.LOBSTER
    if begin.startswith(b"DBN") or ".dbn" in name:
        return Format.DBN
    if begin.startswith(b"SQLite format 3"):
        return Format.JOURNAL
    if "itch" in name or begin[:3] == b"\x00\x0cS":
        return Format.ITCH
    if file.suffix in flows.SUFFIXES and (file.suffix != ".csv" or not begin[:1].isdigit()):
        return Format.FLOW
    raise FormatError(file, 0, 0, "its format is not recognised; say it with --format")


class Source(ABC):
    """A file of order flow."""

    format: Format
    is_utc = False  # whether times of messages are UTC since 1970 instead of after local midnight

    def __init__(self, file: Path, about: About) -> None:
        self.file, self.about = file, about

    @abstractmethod
    def whole(self) -> Iterator[type_of_rows]:
        """MESSAGE rows of a flow that begins with an empty book, in parts. FormatError at the first fault."""

    def validate(self) -> int:
        """How many messages there are. FormatError for the first that is wrong."""
        return sum(rows.size for rows in self.whole())

    def header(self) -> dict[str, str]:
        """What the file is, for the head of a result."""
        day = {"date": self.about.day.isoformat()} if self.about.day else {}
        symbol = {"symbol": self.about.symbol} if self.about.symbol else {}
        return {"file": self.file.name, "format": self.format.value, **symbol, **day}


class LobsterSource(Source):
    """A sample: a message file with its order-book file."""

    format = Format.LOBSTER

    def __init__(self, file: Path, about: About) -> None:
        self.sample = Sample.of(file.with_name(file.name.replace("_orderbook_", "_message_")))
        super().__init__(self.sample.messages, replace(about, symbol=self.sample.ticker, day=self.sample.date))

    @cached_property
    def window(self) -> tuple[ReplayReport, Seeds]:
        """The proof against the book file, and what the messages do not say."""
        return window_of(self.sample)

    def whole(self) -> Iterator[type_of_rows]:
        return whole((messages for messages, _ in self.sample.parts()), self.window[1])

    def validate(self) -> int:
        report, _ = self.window
        for divergence in report.divergences:
            raise FormatError(self.sample.books, divergence.row, divergence.column, divergence.told())
        known = np.zeros(3, np.int64)
        rows = sum(part.size for part in message_parts(self.file, known=known))
        if rows >= ENOUGH_TIMES and 0 < known[2] <= SPREADSHEET_DECIMALS:
            fault = f"no time has more than {known[2]} decimals: a spreadsheet or editor has cut them"
            raise FormatError(self.file, 0, 1, fault)
        return rows

    def header(self) -> dict[str, str]:
        return {**super().header(), "levels": str(self.sample.levels)}


class ItchSource(Source):
    """One stock of an ITCH file."""

    format = Format.ITCH

    def whole(self) -> Iterator[type_of_rows]:
        return itch.read(self.file, self.about.symbol)


class MboSource(Source):
    """One instrument of a DBN file."""

    format = Format.DBN
    is_utc = True

    def whole(self) -> Iterator[type_of_rows]:
        return mbo.read(self.file, self.about.symbol)


class JournalSource(Source):
    """One instrument of a journal of the exchange."""

    format = Format.JOURNAL
    is_utc = True

    def whole(self) -> Iterator[type_of_rows]:
        return own_journal.read(self.file, self.about.symbol)


class FlowSource(Source):
    """Our own order flow, as a vendor would tell it."""

    format = Format.FLOW

    def commands(self) -> Iterator[type_of_rows]:
        """The COMMAND rows, in parts."""
        return flows.read(self.file)

    def whole(self) -> Iterator[type_of_rows]:
        return told(((rows, self._times(rows)) for rows in self.commands()), self.about.factor)

    def _times(self, rows: type_of_rows) -> type_of_rows:
        if not rows["now_ns"].any():
            return OPENING_NS + STEP_NS * rows["sequence"]
        times: type_of_rows = rows["now_ns"] - self.about.midnight_ns(self.file)
        return times

    def validate(self) -> int:
        wrong = flows.first_refused(self.file)
        if wrong is not None:
            raise wrong
        return sum(rows.size for rows in self.commands())


_SOURCES: dict[Format, type[Source]] = {
    one.format: one for one in (LobsterSource, ItchSource, MboSource, JournalSource, FlowSource)
}


def open_source(file: Path, about: About | None = None, of: Format | None = None) -> Source:
    """A file of order flow; `of` says its format, else it is recognised. FormatError if it can't be."""
    about = about or About()
    if of is not None and not file.is_file():
        raise FormatError(file, 0, 0, "there is no such file")
    return _SOURCES[of or recognise(file)](file, about)


def in_one_piece(source: Source) -> Iterator[type_of_rows]:
    """The whole flow in parts that cut no aggressor in two."""
    return unbroken(source.whole())
