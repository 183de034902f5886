"""Rows of text as ruled tables that cut nothing.

Numbers and codes stay on one line; headings and prose wrap at words. A table that is too wide even so is printed
stacked: a block for each record, a line for each field.
"""

import io
from collections.abc import Sequence
from textwrap import wrap
from typing import NamedTuple

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

_PROSE = 24  # columns that prose gets at least, if it is that long
_GAP = 2  # columns between two columns
_RULES = Box("    \n    \n ── \n    \n ── \n ── \n    \n    \n")  # below the headings and above the totals


class Column(NamedTuple):
    """A heading, empty or not, and what stands below it."""

    heading: str
    cells: Sequence[str]
    is_number: bool = False
    is_prose: bool = False  # may wrap at words

    @property
    def narrowest(self) -> int:
        """Columns of the screen without which something would be cut."""
        longest = max(map(cell_len, self.cells), default=0)
        words = [word for cell in self.cells for word in cell.split()] if self.is_prose else []
        least = max([min(longest, _PROSE), *map(cell_len, words)]) if self.is_prose else longest
        return max([least, *map(cell_len, self.heading.split())])

    @property
    def widest(self) -> int:
        """Columns of the screen beyond which it has no use for more."""
        return max([self.narrowest, *map(cell_len, self.cells)])


def laid_out(columns: Sequence[Column], width: int, title: str = "", totals: bool = False) -> str:
    """Columns of the same length as a table no wider than so many columns of the screen, or stacked.

    `totals`: the last row is set off. A single word that is wider than the screen overflows it. A title stands below
    an empty line.
    """
    spare = width + 1 - sum(column.narrowest + _GAP for column in columns)
    text = _ruled(columns, spare, width, totals) if spare >= 0 else _stacked(columns, width)
    heading = ["", *wrap(title, width)] if title else []
    return "".join(f"{line}\n" for line in heading) + text


def _ruled(columns: Sequence[Column], spare: int, width: int, totals: bool) -> str:
    has_headings = any(column.heading for column in columns)
    table = Table(box=_RULES, show_edge=False, padding=(0, _GAP - 1, 0, 0), show_header=has_headings)
    for column in columns:
        more = min(spare, column.widest - column.narrowest)
        spare -= more
        wide = column.narrowest + more
        heading = "\n".join(wrap(column.heading, wide, break_on_hyphens=False))
        table.add_column(heading, width=wide, justify="right" if column.is_number else "left", overflow="fold")
    rows = list(zip(*(column.cells for column in columns), strict=True))
    for number, row in enumerate(rows, 1):
        table.add_row(*row, end_section=totals and number == len(rows) - 1)
    console = Console(file=io.StringIO(), width=width, markup=False, emoji=False, highlight=False, force_terminal=False)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _stacked(columns: Sequence[Column], width: int) -> str:
    margin = max(cell_len(column.heading) for column in columns) + 2
    blocks = []
    for row in zip(*(column.cells for column in columns), strict=True):
        lines = []
        for column, cell in zip(columns, row, strict=True):
            if not cell:
                continue
            texts = wrap(cell, max(1, width - margin), break_long_words=False, break_on_hyphens=False)
            lines += [f"{column.heading if n == 0 else '':<{margin}}{text}" for n, text in enumerate(texts)]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)
