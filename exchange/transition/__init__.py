"""apply(exchange, batch): the only door through which state changes.

Rows of the trading path go to the compiled loop in one run; every other command has a handler in the room of its
name: `market`, `registry`, `allocation`, `compliance`, `emissions`, `credits`, `settlement`, `money`, `corrections`,
`defaults`, `treasury`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

from exchange import events as happened
from exchange.commands import (
    AllocationCommand,
    ComplianceCommand,
    Control,
    CorrectionCommand,
    CreditsCommand,
    DefaultsCommand,
    EmissionsCommand,
    FoundExchange,
    MarketCommand,
    MoneyCommand,
    RegistryCommand,
    SettlementCommand,
    TreasuryCommand,
    decode_control,
)
from exchange.journal import Batch
from exchange.reasons import Refused
from exchange.rows import COMMAND, EVENT, TRADE, CommandKind, EventKind, joined, type_of_rows
from exchange.state import Exchange
from exchange.trading import Written
from exchange.transition import (
    allocation,
    compliance,
    corrections,
    credits,
    defaults,
    emissions,
    market,
    money,
    registry,
    settlement,
    treasury,
)
from exchange.transition.step import Step, noted


@dataclass
class Outcome:
    """What a batch made happen: event rows and trade rows of the trading path, events of the rest."""

    rows: type_of_rows = field(default_factory=lambda: np.zeros(0, EVENT))
    trades: type_of_rows = field(default_factory=lambda: np.zeros(0, TRADE))
    events: dict[int, happened.Event] = field(default_factory=dict)  # by sequence of the command

    def __add__(self, later: "Outcome") -> "Outcome":
        return Outcome(
            joined([self.rows, later.rows]),
            joined([self.trades, later.trades]),
            self.events | later.events,
        )


def apply(exchange: Exchange, batch: Batch) -> Outcome:
    """Apply a batch of stamped commands in order."""
    rows, trades = list[type_of_rows](), list[type_of_rows]()
    outcome = Outcome()
    for start, end in _stretches(batch.rows):
        stretch = batch.rows[start:end]
        if batch.rows["kind"][start] == CommandKind.CONTROL:
            step = Step(exchange, stretch)
            outcome.events[step.sequence] = _apply_control(step, batch.details[start])
            rows.extend(step.rows)
            trades.extend(step.trades)
            exchange.sequence, exchange.now_ns = step.sequence, step.now_ns
        else:
            last = stretch[-1]
            new_rows, new_trades = apply_rows(exchange, stretch, int(last.sequence), int(last.now_ns))
            _remember_client_orders(exchange, stretch, batch.details[start:end], new_rows)
            rows.append(new_rows)
            trades.append(new_trades)
    outcome.rows, outcome.trades = _in_one(rows, outcome.rows), _in_one(trades, outcome.trades)
    return outcome


def _in_one(parts: list[type_of_rows], none: type_of_rows) -> type_of_rows:
    """All rows behind one another; the longest run comes alone, and is not copied."""
    found = [part for part in parts if part.size]
    if len(found) == 1:
        return found[0]
    return joined(found) if found else none


def apply_rows(exchange: Exchange, rows: type_of_rows, sequence: int, now_ns: int) -> Written:
    """Apply rows of the trading path, the last of them stamped so; returns event rows and trade rows."""
    written = noted(exchange, exchange.path.run(rows))
    exchange.sequence, exchange.now_ns = sequence, now_ns
    return written


def _stretches(rows: type_of_rows) -> Iterator[tuple[int, int]]:
    """Cut a batch into single CONTROL rows and unbroken stretches of trading rows."""
    start = 0
    for index in np.flatnonzero(rows["kind"] == CommandKind.CONTROL).tolist():
        if start < index:
            yield start, index
        yield index, index + 1
        start = index + 1
    if start < rows.size:
        yield start, rows.size


def _remember_client_orders(
    exchange: Exchange, rows: type_of_rows, details: list[bytes], new_rows: type_of_rows
) -> None:
    """Accepted orders' client order ids; a refused one may be used again."""
    if not any(details):
        return
    sequences = new_rows["sequence"][new_rows["kind"] == EventKind.ACCEPTED]
    places = np.searchsorted(rows["sequence"], sequences)
    named = [details[place] for place in places.tolist()]
    exchange.client_orders.add(rows["account"][places], named, sequences, _contents(rows)[places])


_CONTENT = slice(COMMAND.fields["order_id"][1], COMMAND.fields["batch"][1])  # type: ignore[index]
_WITH_CONTENT = np.dtype(
    {
        "names": ["content"],
        "formats": [f"V{_CONTENT.stop - _CONTENT.start}"],
        "offsets": [_CONTENT.start],
        "itemsize": COMMAND.itemsize,
    }
)


def content_of(packed: bytes) -> bytes:
    """What a row asks for, without its stamps and its batch: equal for a retry, different for another order."""
    return packed[_CONTENT]


def contents_of(rows: type_of_rows) -> list[bytes]:
    """Likewise, of many rows."""
    contents: list[bytes] = _contents(rows).tolist()
    return contents


def _contents(rows: type_of_rows) -> type_of_rows:
    return rows.view(_WITH_CONTENT)["content"]


def _apply_control(step: Step, detail: bytes) -> happened.Event:
    command = decode_control(detail)
    try:
        if step.exchange.rules is None and not isinstance(command, FoundExchange):
            raise AssertionError("the first command of a journal founds the exchange")
        return _handle(step, command)
    except Refused as refused:
        return happened.CommandRefused(refused.reason, refused.detail)


def _handle(step: Step, command: Control) -> happened.Event:
    return _HANDLERS[type(command)](step, command)


_ROOMS: tuple[tuple[Any, Callable[[Step, Any], happened.Event]], ...] = (
    (MarketCommand, market.handle),
    (RegistryCommand, registry.handle),
    (AllocationCommand, allocation.handle),
    (ComplianceCommand, compliance.handle),
    (EmissionsCommand, emissions.handle),
    (CreditsCommand, credits.handle),
    (SettlementCommand, settlement.handle),
    (MoneyCommand, money.handle),
    (CorrectionCommand, corrections.handle),
    (DefaultsCommand, defaults.handle),
    (TreasuryCommand, treasury.handle),
)
_HANDLERS = {kind: handle for commands, handle in _ROOMS for kind in get_args(commands)}
