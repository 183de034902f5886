"""From any format of order flow to ours, to ITCH and to LOBSTER, part by part in bounded memory.

The file that is made appears whole or not at all: it is written beside its name and then renamed. Our own flow
has the aggressors that :mod:`exchange.research.rematched` infers, under references that count down from 2**64 - 1;
what came before the window of a LOBSTER sample is placed at its beginning.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from exchange.outputs import whole_file
from exchange.research import flows, itch, lobster
from exchange.research.messages import FormatError, type_of_rows
from exchange.research.rematched import commands_of
from exchange.research.sources import SMALLEST, FlowSource, Format, Source, in_one_piece


class OutputError(ValueError):
    """An output that can't be written; `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def convert(source: Source, out: Path, overwrite: bool = False) -> int:
    """Write a flow in the format that a name asks for; returns how many messages.

    FormatError if the source is malformed, OutputError if the output exists, can't be named so or can't be written.
    """
    to = target_of(out)
    if to == Format.LOBSTER:
        name = lobster.NAME.fullmatch(out.name)
        assert name is not None
        books = lobster.books_of(out)
        with unfinished([out, books], overwrite) as (messages, rows):
            return lobster.write(messages, rows, _local(source), int(name["levels"]))
    if to == Format.ITCH:
        symbol = source.about.symbol
        if not symbol:
            raise OutputError("symbol_needed", "ITCH names the stock of each order; give --symbol")
        with unfinished([out], overwrite) as (file,):
            return itch.write(file, _local(source), symbol)
    with unfinished([out], overwrite) as (file,):
        about = {**source.header(), "tick": str(source.about.tick), "mode": "aggressors inferred"}
        return flows.write(file, out.suffix, commands(source), about)


def target_of(out: Path) -> Format:
    """The format that a name asks for. OutputError if none can be told from it."""
    if lobster.NAME.fullmatch(out.name):
        return Format.LOBSTER
    if out.suffix in (".itch", ".itch50"):
        return Format.ITCH
    if out.suffix in flows.SUFFIXES:
        return Format.FLOW
    raise OutputError(
        "unknown_output",
        f"{out.name}: name it .parquet, .csv or .npy (order flow), .itch, or "
        "TICKER_YYYY-MM-DD_STARTms_ENDms_message_LEVEL.csv (LOBSTER)",
    )


def commands(source: Source) -> Iterator[type_of_rows]:
    """The COMMAND rows of a flow in ticks of `source.about`, times UTC. FormatError for a price off the tick."""
    if isinstance(source, FlowSource):
        yield from source.commands()
        return
    factor, begun = source.about.factor, 0
    midnight_ns = 0 if source.is_utc else source.about.midnight_ns(source.file)
    for messages in in_one_piece(source):
        off = np.flatnonzero((messages["price"] % factor != 0) & (messages["kind"] <= lobster.EXECUTION))
        if off.size:
            message = messages[off[0]]
            fault = (
                f"order {message['order_id']} at {message['price'] * SMALLEST} is off the tick of {source.about.tick}"
            )
            raise FormatError(source.file, 0, "price", fault)
        rows = commands_of(messages, factor, begun)
        rows["now_ns"] = messages["time_ns"][rows["sequence"] - begun] + midnight_ns
        begun += messages.size
        yield rows


def _local(source: Source) -> Iterator[type_of_rows]:
    """The messages of a flow with times after local midnight."""
    for messages in source.whole():
        if source.is_utc:
            messages["time_ns"] -= source.about.midnight_ns(source.file)
        yield messages


@contextmanager
def unfinished(outs: list[Path], overwrite: bool) -> Iterator[list[BinaryIO]]:
    """Files to be written under other names, which get theirs when all is well and vanish when it is not."""
    for out in outs:
        if out.exists() and not overwrite:
            raise OutputError("output_exists", f"{out} exists; --force overwrites it")
    try:
        with ExitStack() as all_or_none:
            beside = [all_or_none.enter_context(whole_file(out)) for out in outs]
            with ExitStack() as to_be_closed:
                yield [to_be_closed.enter_context(one.open("wb")) for one in beside]
    except OSError as error:
        raise OutputError("output_unwritable", f"{outs[0]}: {error.strerror or error}") from error
