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
from typing import NamedTuple, cast

import msgspec
import numpy as np

from exchange.client_orders import Key, Placed
from exchange.commands import UNDO_BATCH, Command, FoundExchange, OnError, OrderBatch, control
from exchange.journal import Batch, Journal, JournalError, read_blocks
from exchange.reasons import Reason, Refused
from exchange.rows import COMMAND, CommandKind, InBatch, type_of_rows
from exchange.rules import RuleSet, load_rule_set
from exchange.state import Exchange
from exchange.trading import Written
from exchange.transition import Outcome, apply, apply_rows, content_of, contents_of

COMMANDS_AT_ONCE = 65_536  # about so many are applied in one go when a journal is read
_SIZE = COMMAND.itemsize
_KIND_AT, _ACCOUNT_AT, _BATCH_AT = (COMMAND.fields[name][1] for name in ("kind", "account", "batch"))  # type: ignore[index]

_PLACE_ORDER = int(CommandKind.PLACE_ORDER)

Receipt = int | Refused
"""Under which sequence number a command was (or had been) taken, or why it was not."""


class BatchReceipt(NamedTuple):
    """What became of the orders of a batch. The new ones follow one another; all others came before."""

    orders: list[Receipt]
    first: int  # sequence of the first new one
    fresh: int  # how many are new
    undo: int = 0  # sequence of the command that cancels them if one is refused; 0: none does

    @property
    def end(self) -> int:
        """The sequence behind its commands."""
        return self.first + self.fresh + (self.undo > 0)


class Prepared(NamedTuple):
    """A stamped batch and a receipt for each command taken, which may be fewer than were handed in."""

    batch: Batch
    receipts: list[Receipt | BatchReceipt]


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
            yield batch, replayed(self.exchange, batch)
        self.exchange.client_orders.is_complete()
        if self.exchange.rules is None:
            rules = rules or load_rule_set("hubei")
            batch = self.prepare([control(FoundExchange(rules))], now_ns).batch
            self.record(batch).result()
            yield batch, self.apply(batch)
        elif rules is not None and self.exchange.rules != rules:
            raise Refused(
                Reason.ALREADY_FOUNDED, f"the journal was founded with other rules ({self.exchange.rules.name})"
            )

    def prepare(self, commands: Sequence[Command | OrderBatch], now_ns: int) -> Prepared:
        """Stamp commands with sequence and time. A repeated order gets the receipt of the first one.

        Takes commands up to the first that begins a day: whether an order after it is a repeat can be said
        only when it has been applied. Hand in the rest then.
        """
        sheet, receipts = _Sheet(self.exchange), list[Receipt | BatchReceipt]()
        for command in commands:
            if isinstance(command, OrderBatch):
                receipts.append(sheet.take_batch(command))
                continue
            receipts.append(sheet.take(command))
            if command.begins_day:
                break
        return Prepared(sheet.stamped(max(now_ns, self.exchange.now_ns)), receipts)

    def record(self, batch: Batch) -> "Future[None]":
        """Journal a batch; done when it is durable."""
        return self.journal.append(batch.encode())

    def apply(self, batch: Batch) -> Outcome:
        """Apply a journalled batch. A day that it settles is sealed: one that can't be sealed is none the less so."""
        was_settled = self.exchange.is_settled
        outcome = apply(self.exchange, batch)
        if self.exchange.is_settled and not was_settled:
            self.journal.seal()
        return outcome

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
            receipts.extend(cast(list[Receipt], taken))
            if batch.rows.size:
                self.record(batch).result()
                outcome += self.apply(batch)
        return receipts, outcome


class _Sheet:
    """Commands on their way into one block: the rows of those that are new, one behind another."""

    def __init__(self, exchange: Exchange) -> None:
        self._known = exchange.client_orders
        self._first = exchange.sequence + 1
        self._rows: list[bytes] = []
        self._details: list[bytes] = []
        self._seen: dict[Key, Placed] = {}  # orders on the sheet

    @property
    def _next(self) -> int:
        return self._first + len(self._details)

    def take(self, command: Command) -> Receipt:
        """Put a command on the sheet, unless it is an order that came before."""
        packed, detail, sequence = command.packed, command.detail, self._next
        if detail and packed[_KIND_AT] == _PLACE_ORDER:
            key = _account_of(packed), detail
            content = content_of(packed)
            placed = self._known.get(key) or self._seen.get(key)
            if placed is not None:
                return placed[0] if placed[1] == content else _used(key)
            self._seen[key] = sequence, content
        self._rows.append(packed)
        self._details.append(detail)
        return sequence

    def take_batch(self, batch: OrderBatch) -> BatchReceipt:
        """Put the orders of a batch on the sheet that are new, as far as `on_error` lets them come."""
        receipts, fresh, seen = self._sort_out(batch)
        first = self._next
        is_stopped = batch.on_error != OnError.CONTINUE and any(isinstance(one, Refused) for one in receipts)
        if is_stopped and batch.on_error == OnError.ROLLBACK:
            fresh = []
            receipts = [_STOPPED if isinstance(one, int) and one >= first else one for one in receipts]
        if not fresh:
            return BatchReceipt(receipts, first, 0)
        packed, details = bytearray(batch.packed), batch.details
        if len(fresh) < len(details):
            packed = bytearray(b"".join(_row_at(batch, place) for place in fresh))
            details = [details[place] for place in fresh]
        if batch.on_error != OnError.CONTINUE:
            packed[_BATCH_AT::_SIZE] = bytes([InBatch.FIRST, *[InBatch.NEXT] * (len(fresh) - 1)])
        self._rows.append(bytes(packed))
        self._details += details
        self._seen |= seen
        if batch.on_error != OnError.ROLLBACK:
            return BatchReceipt(receipts, first, len(fresh))
        undo = self.take(Command(UNDO_BATCH))
        assert isinstance(undo, int), "a mass cancel is never a repeat"
        return BatchReceipt(receipts, first, len(fresh), undo)

    def _sort_out(self, batch: OrderBatch) -> tuple[list[Receipt], list[int], dict[Key, Placed]]:
        """A receipt for each order of a batch, the places of those that are new, and which may come again."""
        first, details = self._next, batch.details
        if not any(details):
            return [*range(first, first + len(details))], [*range(len(details))], {}
        rows = np.frombuffer(batch.packed, COMMAND)
        keys, contents = [*zip(rows["account"].tolist(), details, strict=True)], contents_of(rows)
        numbers = range(first, first + len(details))
        placed_anew = dict(zip(keys, zip(numbers, contents, strict=True), strict=True))
        if all(details) and len(placed_anew) == len(keys) and self._are_new(placed_anew):
            return [*numbers], [*range(len(details))], placed_anew
        receipts, fresh, seen = list[Receipt](), list[int](), dict[Key, Placed]()
        for place, detail in enumerate(details):
            sequence = first + len(fresh)
            if detail:
                key, content = keys[place], contents[place]
                placed = self._known.get(key) or self._seen.get(key) or seen.get(key)
                if placed is not None:
                    receipts.append(placed[0] if placed[1] == content else _used(key))
                    if placed[1] != content and batch.on_error != OnError.CONTINUE:
                        receipts += [_STOPPED] * (len(details) - len(receipts))
                        break
                    continue
                seen[key] = sequence, content
            receipts.append(sequence)
            fresh.append(place)
        return receipts, fresh, seen

    def _are_new(self, orders: dict[Key, Placed]) -> bool:
        """Whether none of these orders came before."""
        return self._seen.keys().isdisjoint(orders.keys()) and not self._known.has_any(orders.keys())

    def stamped(self, now_ns: int) -> Batch:
        """All that stands on the sheet."""
        rows = np.frombuffer(bytearray(b"".join(self._rows)), COMMAND)  # a bytearray, for they must be writable
        rows["sequence"] = np.arange(self._first, self._next)
        rows["now_ns"] = now_ns
        return Batch(rows, self._details)


def _row_at(batch: OrderBatch, place: int) -> bytes:
    return batch.packed[place * _SIZE : (place + 1) * _SIZE]


def _account_of(packed: bytes) -> int:
    return int.from_bytes(packed[_ACCOUNT_AT : _ACCOUNT_AT + 4], "little")


def read_batches(blocks: Iterable[bytes]) -> Iterator[Batch]:
    """The commands of a journal in batches of many blocks each: quiet times journal one command a block.

    JournalError if a block can't be read or does not follow the one before.
    """
    sequence, size = 0, 0
    taken: list[bytes] = []
    for block in blocks:
        taken.append(block)
        size += len(block)
        if size >= COMMANDS_AT_ONCE * _SIZE:
            yield (batch := _batch_of(taken, sequence))
            sequence += batch.rows.size
            taken, size = [], 0
    if taken:
        yield _batch_of(taken, sequence)


def recorded(path: Path) -> Iterator[Batch]:
    """The batches of a journal's file, in order; JournalError where it is not what was written."""
    return read_batches(block for _, _, block in read_blocks(path))


def _batch_of(blocks: Sequence[bytes], sequence: int) -> Batch:
    """The batch of blocks behind a sequence number."""
    try:
        batch = Batch.decode_all(blocks)
    except ValueError as error:
        raise JournalError("journal_corrupt", str(error)) from error
    is_next = batch.rows["sequence"] == np.arange(sequence + 1, sequence + 1 + batch.rows.size)
    if not is_next.all():
        raise JournalError("journal_corrupt", f"command {sequence + 1 + int(is_next.argmin())} is missing")
    return batch


def read_exchange(path: Path) -> Exchange:
    """The exchange that a journal file describes, read without locking it. JournalError if it can't be."""
    return exchange_of(recorded(path))


def exchange_of(batches: Iterable[Batch]) -> Exchange:
    """The exchange that batches from the first one on make. JournalError if one can't be read."""
    exchange = Exchange()
    for batch in batches:
        replayed(exchange, batch)
    return exchange


def replayed(exchange: Exchange, batch: Batch) -> Outcome:
    """Apply a batch of a journal. JournalError if one of its commands can't be read."""
    try:
        return apply(exchange, batch)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JournalError("journal_version", f"command {exchange.sequence + 1}: {error}") from error


_STOPPED = Refused(Reason.BATCH_STOPPED, "an earlier order of the batch was refused; this one was not tried")


def _used(key: Key) -> Refused:
    return Refused(
        Reason.CLIENT_ORDER_ID_USED, f"client order id {key[1].decode()!r} stands for another order of today"
    )
