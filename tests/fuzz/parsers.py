"""Every parser of what comes from outside: whatever it is given, it may answer only with its own error.

`guided.py` feeds them by atheris. What is compiled (msgspec, pydantic-core, Arrow's readers) is fuzzed too, and does
not guide: coverage is that of this project's Python. A new parser is a line in PARSERS, and a folder of its name in
`corpus/`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from pydantic import ValidationError

from api import fast_lane, schemas
from api.problems import Problem
from api.stream import frames
from exchange import commands, engine, flow_files, journal
from exchange.research import itch, lobster
from exchange.research.messages import FormatError
from settlement import bank_files


def order(data: bytes) -> None:
    own = (msgspec.MsgspecError, UnicodeDecodeError, ValidationError)
    for read in (
        msgspec.json.Decoder(fast_lane.FastOrder).decode, msgspec.json.Decoder(fast_lane.FastBatch).decode,
        schemas.NewOrder.model_validate_json, schemas.NewBatch.model_validate_json,
    ):  # fmt: skip
        only(own, read, data)


def control(data: bytes) -> None:
    only((msgspec.MsgspecError, UnicodeDecodeError), commands.decode_control, data)


def frame(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for request in only((Problem,), frames.requests_of, {"text": text}) or ():
        only((Problem,), frames.read, request)


def bank_file(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for read in (
        bank_files.read_instructions, bank_files.read_answers, bank_files.read_bookings, bank_files.read_balances,
    ):  # fmt: skip
        only((bank_files.BankFileError,), read, text)


def block(data: bytes) -> None:
    only((ValueError,), journal.Batch.decode, data)
    only((journal.JournalError,), lambda blocks: list(engine.read_batches(blocks)), [data, data])


def of_file(name: str, read: Callable[[Path], object], *own: str) -> Callable[[bytes], None]:
    """A parser of a file that lies in memory."""

    def parse(data: bytes) -> None:
        path = Path("/dev/shm") / f"carbonex-fuzz-{name}"
        path.write_bytes(data)
        only((FormatError, flow_files.FlowFileError), read, path)

    return parse


class Parser(NamedTuple):
    """How it is fed, and with what dictionary of words."""

    parse: Callable[[bytes], None]
    words: tuple[str, ...] = ()


PARSERS = {
    "order": Parser(order, ("account_id", "symbol", "side", "price", "quantity", "orders", "on_error")),
    "control": Parser(control, ("command", "OpenAccount", "DepositCash", "OpenDay")),
    "frame": Parser(frame, ("op", "place", "cancel_all", "subscribe", "replay", "channel", "from_seq", "book.l3")),
    "bank_file": Parser(bank_file, ("payments", "answers", "bookings", "balances", "total", "end")),
    "block": Parser(block),
    "lobster_messages": Parser(of_file("a.csv", lambda path: list(lobster.read_messages(path)))),
    "lobster_books": Parser(of_file("b.csv", lambda path: list(lobster.read_books(path, 2)))),
    "itch": Parser(of_file("e.itch", lambda path: list(itch.read(path, size=16)))),
    "flow_csv": Parser(of_file("c.csv", flow_files.read_flow), ("op", "ref", "price_ticks", "cancel")),
    "flow_npy": Parser(of_file("d.npy", flow_files.read_flow)),
}


def only(own: tuple[type[Exception], ...], read: Callable[..., object], given: object):
    """What is read, or None if the parser says by an error of its own that it can't be."""
    try:
        return read(given)
    except own:
        return None
