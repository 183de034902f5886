"""The engine: stamps sequence and time, journals a batch, applies it, returns what happened.

    prepare   stamp; recognise orders that came before (nothing is changed)
    record    one durable write                              <- from here it has happened
    apply     change the state, answer with events

`submit` does the three in a row. A server does them apart, so that it can go on listening while the
disk works; whatever arrives meanwhile makes the next batch. Only one batch may be under way.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from exchange.commands import Command, FoundExchange, control
from exchange.journal import Batch, Journal, JournalError, read_blocks
from exchange.reasons import Reason, Refused
from exchange.rows import COMMAND, CommandKind, joined, type_of_rows
from exchange.rules import RuleSet, load_rule_set
from exchange.state import Exchange
from exchange.trading import Written
from exchange.transition import Outcome, apply, apply_rows, content_of

COMMANDS_AT_ONCE = 65_536  # applied in one go when a journal is read

Receipt = int | Refused
"""Under which sequence number a command was (or had been) taken, or why it was not."""


class Prepared(NamedTuple):
    """A stamped batch and a receipt for each command taken, which may be fewer than were handed in."""

    batch: Batch
    receipts: list[Receipt]


class Engine:
    """One exchange and its journal; to be opened before use."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.exchange = Exchange()

    def open(self, rules: RuleSet | None, now_ns: int) -> Iterator[tuple[Batch, Outcome]]:
        """Apply what the journal holds, batch by batch; found an empty one with a rule set (default: Hubei's).

        JournalError if a block can't be read; Refused if the journal was founded with other rules.
        """
        for batch in read_batches(self.journal.blocks()):
            yield batch, _replayed(self.exchange, batch)
        if self.exchange.rules is None:
            rules = rules or load_rule_set("hubei")
            batch = self.prepare([control(FoundExchange(rules))], now_ns).batch
            self.record(batch).result()
            yield batch, self.apply(batch)
        elif rules is not None and self.exchange.rules != rules:
            raise Refused(
                Reason.ALREADY_FOUNDED, f"the journal was founded with other rules ({self.exchange.rules.name})"
            )

    def prepare(self, commands: Sequence[Command], now_ns: int) -> Prepared:
        """Stamp commands with sequence and time. A repeated order gets the receipt of the first one.

        Takes commands up to the first that begins a day: whether an order after it is a repeat can be said
        only when it has been applied. Hand in the rest then.
        """
        exchange = self.exchange
        now_ns = max(now_ns, exchange.now_ns)
        receipts: list[Receipt] = []
        rows = np.zeros(len(commands), COMMAND)
        details: list[bytes] = []
        seen: dict[tuple[int, bytes], tuple[int, bytes]] = {}
        for command in commands:
            row = command.row
            if command.detail and row.kind == CommandKind.PLACE_ORDER:
                key = int(row.account), command.detail
                content = content_of(row)
                placed = exchange.client_orders.get(key) or seen.get(key)
                if placed is not None:
                    receipts.append(placed[0] if placed[1] == content else _used(key))
                    continue
                seen[key] = exchange.sequence + len(details) + 1, content
            rows[len(details)] = row
            details.append(command.detail)
            receipts.append(exchange.sequence + len(details))
            if command.begins_day:
                break
        rows = rows[: len(details)]
        rows["sequence"] = np.arange(exchange.sequence + 1, exchange.sequence + rows.size + 1)
        rows["now_ns"] = now_ns
        return Prepared(Batch(rows, details), receipts)

    def record(self, batch: Batch) -> "Future[None]":
        """Journal a batch; done when it is durable."""
        return self.journal.append(batch.encode())

    def apply(self, batch: Batch) -> Outcome:
        """Apply a journalled batch."""
        return apply(self.exchange, batch)

    def submit_rows(self, rows: type_of_rows, now_ns: int) -> Written:
        """Stamp, record and apply rows of the trading path; returns the event rows and trade rows they cause.

        The short way for who has rows: the stamps are written into them, and they carry no client order ids.
        ValueError if there is none, or one of them is a CONTROL command; then nothing but the stamps has happened.
        """
        exchange = self.exchange
        first, last = exchange.sequence + 1, exchange.sequence + rows.size
        now_ns = max(now_ns, exchange.now_ns)
        rows["sequence"] = first if first == last else np.arange(first, last + 1)
        rows["now_ns"] = now_ns
        self.journal.append(Batch.encode_rows(rows.tobytes())).result()
        return apply_rows(exchange, rows, last, now_ns)

    def submit(self, commands: Sequence[Command], now_ns: int) -> tuple[list[Receipt], Outcome]:
        """Prepare, record and apply commands; returns their receipts and what happened."""
        receipts: list[Receipt] = []
        outcome = Outcome()
        while len(receipts) < len(commands):
            batch, taken = self.prepare(commands[len(receipts) :], now_ns)
            receipts.extend(taken)
            if batch.rows.size:
                self.record(batch).result()
                outcome += self.apply(batch)
        return receipts, outcome


def read_batches(blocks: Iterable[bytes]) -> Iterator[Batch]:
    """The commands of a journal in batches of many blocks each: quiet times journal one command a block.

    JournalError if a block can't be read or does not follow the one before.
    """
    rows: list[type_of_rows] = []
    details: list[bytes] = []
    sequence = 0
    for block in blocks:
        try:
            batch = Batch.decode(block)
        except ValueError as error:
            raise JournalError("journal_corrupt", str(error)) from error
        if int(batch.rows[0].sequence) != sequence + 1:
            raise JournalError("journal_corrupt", f"command {sequence + 1} is missing")
        sequence += batch.rows.size
        rows.append(batch.rows)
        details.extend(batch.details)
        if len(details) >= COMMANDS_AT_ONCE:
            yield Batch(joined(rows), details)
            rows, details = [], []
    if details:
        yield Batch(joined(rows), details)


def read_exchange(path: Path) -> Exchange:
    """The exchange that a journal file describes, read without locking it. JournalError if it can't be."""
    exchange = Exchange()
    for batch in read_batches(block for _, _, block in read_blocks(path)):
        _replayed(exchange, batch)
    return exchange


def _replayed(exchange: Exchange, batch: Batch) -> Outcome:
    try:
        return apply(exchange, batch)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JournalError("journal_version", f"command {exchange.sequence + 1}: {error}") from error


def _used(key: tuple[int, bytes]) -> Refused:
    return Refused(
        Reason.CLIENT_ORDER_ID_USED, f"client order id {key[1].decode()!r} stands for another order of today"
    )
