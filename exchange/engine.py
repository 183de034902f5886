"""The engine: stamps sequence and time, journals a batch, applies it, returns what happened.

    prepare   stamp; recognise orders that came before (nothing is changed)
    record    one durable write                              <- from here it has happened
    apply     change the state, answer with events

`submit` does the three in a row. A server does them apart, so that it can go on listening while the
disk works; whatever arrives meanwhile makes the next batch. Only one batch may be under way.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from exchange.commands import Command, FoundExchange, control
from exchange.journal import Batch, Journal, JournalError
from exchange.reasons import Reason, Refused
from exchange.rows import COMMAND, CommandKind
from exchange.rules import RuleSet
from exchange.state import Exchange
from exchange.transition import Outcome, apply, content_of

Receipt = int | Refused
"""Under which sequence number a command was (or had been) taken, or why it was not."""


class Prepared(NamedTuple):
    """A stamped batch and, for each command handed in, its receipt."""

    batch: Batch
    receipts: list[Receipt]


class Engine:
    """One exchange and its journal. Opening it replays the journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.exchange = Exchange()

    def replay(self) -> Iterable[tuple[Batch, Outcome]]:
        """Apply what the journal holds, batch by batch. JournalError if a block can't be read."""
        for block in self.journal.blocks():
            try:
                batch = Batch.decode(block)
            except ValueError as error:
                raise JournalError("journal_corrupt", str(error)) from error
            yield batch, self.apply(batch)

    def found(self, rules: RuleSet, now_ns: int) -> Outcome:
        """Give a new exchange its rule set; an exchange that has one must have the same. Refused if not."""
        if self.exchange.rules is None:
            return self.submit([control(FoundExchange(rules))], now_ns)[1]
        if self.exchange.rules != rules:
            raise Refused(
                Reason.ALREADY_FOUNDED, f"the journal was founded with other rules ({self.exchange.rules.name})"
            )
        return Outcome()

    def prepare(self, commands: Sequence[Command], now_ns: int) -> Prepared:
        """Stamp commands with sequence and time. A repeated order gets the receipt of the first one."""
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
        rows = rows[: len(details)]
        rows["sequence"] = np.arange(exchange.sequence + 1, exchange.sequence + rows.size + 1)
        rows["now_ns"] = now_ns
        return Prepared(Batch(rows, details), receipts)

    def record(self, batch: Batch) -> "Future[None]":
        """Journal a batch; done when it is durable."""
        return self.journal.append(batch.encode())

    def apply(self, batch: Batch) -> Outcome:
        """Apply a journalled batch."""
        if batch.rows.size and int(batch.rows[0].sequence) != self.exchange.sequence + 1:
            raise JournalError("journal_corrupt", f"command {self.exchange.sequence + 1} is missing")
        return apply(self.exchange, batch)

    def submit(self, commands: Sequence[Command], now_ns: int) -> tuple[list[Receipt], Outcome]:
        """Prepare, record and apply commands; returns their receipts and what happened."""
        prepared = self.prepare(commands, now_ns)
        if prepared.batch.rows.size:
            self.record(prepared.batch).result()
        return prepared.receipts, self.apply(prepared.batch)


def _used(key: tuple[int, bytes]) -> Refused:
    return Refused(
        Reason.CLIENT_ORDER_ID_USED, f"client order id {key[1].decode()!r} stands for another order of today"
    )
