"""Replay re-matched: aggressors are inferred, and everything is matched again by the exchange's own book.

No vendor's flow tells who aggressed. Executions that follow one another at one time and on one side are
taken for one aggressor: an immediate-or-cancel order of their sum at the worst of their prices (what is left
of a real one comes to rest as a message of its own). Executions of hidden orders belong to the same
aggressor, but nobody displayed has to fill them: they are counted and left out.

Then each execution of the file is looked for among our trades: the same maker at the same price for the same
quantity, as part of the same aggressor. Those that are not found are exceptions, each with what happened
instead. Nothing is put right after an exception, since that would hide what it leads to.

The messages must be a whole flow, which begins with an empty book; :mod:`exchange.research.window` makes one of a
sample.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from exchange.flow import FlowPlayer, new_events
from exchange.research.compiled import entry
from exchange.research.messages import MessageType, type_of_rows
from exchange.research.window import Seeds, one_aggressor
from exchange.rows import COMMAND, CommandKind, EventKind, joined
from matching.ladder import at
from matching.orders import TimeInForce

NEW_ORDER, PARTIAL_CANCEL = int(MessageType.NEW_ORDER), int(MessageType.PARTIAL_CANCEL)
DELETE, EXECUTION = int(MessageType.DELETE), int(MessageType.EXECUTION)
HIDDEN = int(MessageType.HIDDEN_EXECUTION)
PLACE, CANCEL, AMEND = int(CommandKind.PLACE_ORDER), int(CommandKind.CANCEL_ORDER), int(CommandKind.AMEND_ORDER)
TRADED = int(EventKind.TRADED)
REFUSALS = tuple(int(one) for one in (EventKind.REFUSED, EventKind.CANCEL_REFUSED, EventKind.AMEND_REFUSED))
REFUSED, CANCEL_REFUSED, AMEND_REFUSED = REFUSALS
GTC, IOC = int(TimeInForce.GTC), int(TimeInForce.IOC)
CENT = 100  # ticks of a ten thousandth of a dollar
AT_ONCE = 1 << 13  # messages
EVENTS_AT_ONCE = 2 * AT_ONCE

MET = np.dtype(
    (
        np.record,
        [
            ("index", "i8"),  # of the message that caused the trade
            ("maker", "i8"),
            ("price", "i8"),  # in ticks of the commands
            ("quantity", "i8"),
            ("left", "i8"),  # of the quantity: what no execution of the file has been found to be
        ],
    )
)
EXCEPTION = np.dtype(
    (
        np.record,
        [
            ("index", "i8"),  # of the execution among the messages
            ("missing", "i8"),  # shares of it that did not happen alike
        ],
    )
)
TALLY = np.dtype(
    (
        np.record,
        [
            ("met", "i8"),  # trades
            ("refused", "i8"),  # commands
            ("executions", "i8"),
            ("same", "i8"),
            ("hidden", "i8"),
            ("aggressors", "i8"),
            ("several", "i8"),  # aggressors with several fills
            ("sweeping", "i8"),  # aggressors with fills at several prices
            ("exceptions", "i8"),
        ],
    )
)


class Why(IntEnum):
    """What became of an execution that did not happen as in the file."""

    ANOTHER_MAKER = 1  # at the same price: the maker was not first in our queue
    ANOTHER_PRICE = 2  # we had a better price, or not this one
    ANOTHER_QUANTITY = 3  # the same maker at the same price, but for less
    NOT_FILLED = 4  # the aggressor found nobody

    @property
    def label(self) -> str:
        return self.name.lower()


class Unmatched(NamedTuple):
    """An execution of the file that did not happen alike: its row, and what our book did instead."""

    row: int  # of the message, from 1
    why: Why
    order_id: int
    price: int
    quantity: int
    missing: int  # of the quantity
    older: bool  # whether the order is older than the window
    hit_order_id: int  # 0: nobody
    hit_price: int
    hit_quantity: int


@dataclass(frozen=True)
class RematchReport:
    """What came of matching again. Executions are rows of the file, of displayed orders."""

    messages: int
    executions: int
    same: int  # same maker, price and quantity
    of_older: int  # executions of orders older than the window
    hidden: int  # executions of orders that were not displayed: left out
    aggressors: int
    several_fills: int  # aggressors
    several_prices: int  # aggressors
    trades: int  # of our book
    unexpected: int  # trades that are part of no execution of the file
    refused: int  # commands: cancels and amends of orders that we have not, or prices out of reach
    seeded: int  # orders older than the window whose names are known
    nameless: int  # orders that stand for the rest of a level
    adopted: int  # orders that came, or went, out of view
    late: int  # orders of the seeded that no level had room for: placed just before they are first named
    exceptions: tuple[Unmatched, ...]

    def reasons(self) -> dict[str, int]:
        """Exceptions by why."""
        found = [one.why for one in self.exceptions]
        return {why.label: found.count(why) for why in Why if why in found}


# ---------------------------------------------------------------- compiled: commands, trades, verdicts


@entry
def in_cents(messages):
    """Whether all orders have prices in whole cents."""
    for index in range(messages.size):
        message = at(messages, index)
        if message.price % CENT and message.kind <= EXECUTION:
            return False
    return True


@entry
def infer(messages, begun, tick, commands):
    """The commands that would have caused messages, of which `begun` came before; how many."""
    written, index = 0, 0
    while index < messages.size:
        message = at(messages, index)
        kind = message.kind
        command = at(commands, written)
        if kind in (EXECUTION, HIDDEN):
            time_ns, side, first = message.time_ns, message.side, index
            quantity, worst = np.int64(0), np.int64(0)
            while index < messages.size:
                message = at(messages, index)
                if message.time_ns != time_ns or message.side != side:
                    break
                if message.kind == EXECUTION:
                    deeper = message.price > worst if side else message.price < worst
                    worst = message.price if quantity == 0 or deeper else worst
                    quantity += message.quantity
                elif message.kind != HIDDEN:
                    break
                index += 1
            if quantity == 0:
                continue
            command.sequence = begun + first
            command.order_id = -1 - begun - first
            command.price_ticks = worst // tick
            command.quantity = quantity
            command.kind = PLACE
            command.side = 1 - side
            command.time_in_force = IOC
            written += 1
            continue
        if kind <= DELETE:
            command.sequence = begun + index
            command.order_id = message.order_id
            command.price_ticks = message.price // tick
            command.quantity = message.quantity if kind == NEW_ORDER else message.leaves
            command.kind = PLACE if kind == NEW_ORDER else (AMEND if kind == PARTIAL_CANCEL else CANCEL)
            command.side = message.side
            command.time_in_force = GTC
            written += 1
        index += 1
    return written


@entry
def keep_trades(events, trades, tally):
    """Keep of events the trades; there is room for all."""
    for index in range(events.size):
        event = at(events, index)
        if event.kind == TRADED:
            trade = at(trades, tally.met)
            trade.index = event.sequence
            trade.maker = event.maker_order_id
            trade.price = event.price_ticks
            trade.quantity = event.quantity
            trade.left = event.quantity
            tally.met += 1
        elif event.kind == REFUSED or event.kind == CANCEL_REFUSED or event.kind == AMEND_REFUSED:
            tally.refused += 1


@entry
def compare(messages, tick, trades, tally, exceptions):
    """Look for each execution among the trades of its aggressor; there is room for all exceptions."""
    index, met = 0, 0
    while index < messages.size:
        message = at(messages, index)
        if message.kind != EXECUTION and message.kind != HIDDEN:
            index += 1
            continue
        first = index
        time_ns, side = message.time_ns, message.side
        while met < trades.size and at(trades, met).index < first:
            met += 1
        end = met
        while end < trades.size and at(trades, end).index == first:
            end += 1
        visible, several_prices, price = 0, False, message.price
        likely = met
        while index < messages.size:
            message = at(messages, index)
            if message.time_ns != time_ns or message.side != side:
                break
            if message.kind == HIDDEN:
                tally.hidden += 1
                index += 1
                continue
            if message.kind != EXECUTION:
                break
            several_prices = several_prices or (visible > 0 and message.price != price)
            price = message.price
            visible += 1
            wanted = message.quantity
            at_tick = price // tick
            while likely < end and at(trades, likely).left == 0:
                likely += 1
            other = likely
            while other < end and wanted > 0:
                trade = at(trades, other)
                if trade.maker == message.order_id and trade.price == at_tick and trade.left > 0:
                    taken = min(trade.left, wanted)
                    trade.left -= taken
                    wanted -= taken
                other += 1
            tally.executions += 1
            if wanted == 0:
                tally.same += 1
            else:
                exception = at(exceptions, tally.exceptions)
                tally.exceptions += 1
                exception.index = index
                exception.missing = wanted
            index += 1
        tally.aggressors += visible > 0
        tally.several += visible > 1
        tally.sweeping += several_prices
        met = end


# ---------------------------------------------------------------- the replay


def tick_of(messages: type_of_rows) -> int:
    """100, a cent, if all orders have prices in cents; else 1. Fewer ticks are fewer levels."""
    return CENT if in_cents(messages) else 1


def commands_of(messages: type_of_rows, tick: int, begun: int = 0) -> type_of_rows:
    """The commands that would have caused messages; the `sequence` of each is the index of its (first) message.

    `begun` messages of the flow came before. Aggressors get ids below zero.
    """
    commands = np.zeros(messages.size, COMMAND)
    return commands[: infer(messages, begun, tick, commands)]


def replay_rematched(messages: type_of_rows, seeds: Seeds | None = None, tick: int = 0) -> RematchReport:
    """Match messages, a whole flow, again. `tick` in ticks of the messages; 0: what they allow.

    `seeds` says which of the messages are not in the file.
    """
    tick = tick or tick_of(messages)
    tally: Any = np.zeros(1, TALLY)
    player, room = FlowPlayer(), _Room(messages)
    unmatched: list[Unmatched] = []
    trades = unexpected = begun = 0
    for piece in pieces(messages):
        commands = room.commands[: infer(piece, 0, tick, room.commands)]
        met = room.trades_of(player, commands, tally)
        compare(piece, tick, met, tally[0], room.exceptions)
        if tally["exceptions"][0]:
            unmatched += _unmatched(piece, begun, met, room.exceptions[: tally["exceptions"][0]], tick, seeds)
            tally["exceptions"] = 0
        trades += met.size
        unexpected += int(np.count_nonzero(met["left"]))
        begun += piece.size
    found = dict(zip(TALLY.names or (), tally.tolist()[0], strict=True))
    return RematchReport(
        messages=messages.size - (_made(seeds).size if seeds else 0),
        executions=found["executions"],
        same=found["same"],
        of_older=int(np.isin(_executed(messages), [*seeds.named]).sum()) if seeds else 0,
        hidden=found["hidden"],
        aggressors=found["aggressors"],
        several_fills=found["several"],
        several_prices=found["sweeping"],
        trades=trades,
        unexpected=unexpected,
        refused=found["refused"],
        seeded=len(seeds.named) if seeds else 0,
        nameless=seeds.nameless if seeds else 0,
        adopted=seeds.adopted if seeds else 0,
        late=seeds.late if seeds else 0,
        exceptions=tuple(unmatched),
    )


def pieces(messages: type_of_rows) -> Iterator[type_of_rows]:
    """The messages in pieces that stay in the cache and cut no aggressor in two."""
    start = 0
    while start < messages.size:
        end = min(start + AT_ONCE, messages.size)
        while end < messages.size and one_aggressor(messages[end - 1], messages[end]):
            end += 1
        yield messages[start:end]
        start = end


class _Room:
    """The arrays through which one piece after the other goes."""

    def __init__(self, messages: type_of_rows) -> None:
        longest = max((piece.size for piece in pieces(messages)), default=0)
        self.commands = np.zeros(longest, COMMAND)
        self.exceptions = np.zeros(longest, EXCEPTION)
        self.events = new_events(EVENTS_AT_ONCE)
        self.trades = np.zeros(EVENTS_AT_ONCE, MET)

    def trades_of(self, player: FlowPlayer, commands: type_of_rows, tally: Any) -> type_of_rows:
        """The trades that commands lead to."""
        tally["met"] = 0
        for events in player.play(commands, self.events):
            if self.trades.size < tally["met"][0] + events.size:
                self.trades = joined([self.trades, np.zeros_like(self.trades)])
            keep_trades(events, self.trades, tally[0])
        return self.trades[: tally["met"][0]]


def _executed(messages: type_of_rows) -> type_of_rows:
    """The order of each execution."""
    orders: type_of_rows = messages["order_id"][messages["kind"] == EXECUTION]
    return orders


def _made(seeds: Seeds) -> type_of_rows:
    """For each message that the file does not have, the index of the message behind which it stands."""
    later = [np.full(rows.size, index, np.int64) for index, rows in seeds.later]
    return np.concatenate([np.full(seeds.before.size, -1, np.int64), *later])


def _unmatched(
    messages: type_of_rows, begun: int, trades: type_of_rows, exceptions: type_of_rows, tick: int, seeds: Seeds | None
) -> Iterator[Unmatched]:
    """Each exception with what happened instead: a trade of its aggressor that no execution is."""
    for index, missing, *_ in exceptions.tolist():
        message = messages[index]
        order_id, price, quantity = int(message["order_id"]), int(message["price"]), int(message["quantity"])
        first = index
        while first and one_aggressor(messages[first - 1], message):
            first -= 1
        start, end = np.searchsorted(trades["index"], [first, first + 1])
        why, hit = (Why.ANOTHER_QUANTITY if missing < quantity else Why.NOT_FILLED), (0, 0, 0)
        for trade in trades[start:end]:
            if trade["left"] > 0:
                hit = int(trade["maker"]), int(trade["price"]) * tick, min(int(trade["left"]), missing)
                why = Why.ANOTHER_MAKER if hit[1] == price else Why.ANOTHER_PRICE
                trade["left"] -= hit[2]
                break
        older = seeds is not None and order_id in seeds.named
        yield Unmatched(_row_of(begun + index, seeds), why, order_id, price, quantity, missing, older, *hit)


def _row_of(index: int, seeds: Seeds | None) -> int:
    """The row in the file, from 1, of a message of the whole flow."""
    if seeds is None:
        return index + 1
    behind = _made(seeds)  # message k of the file, from 0, stands behind all that are behind an earlier one
    row, made = index + 1, 0
    while (now := int((behind < row - 1).sum())) != made:
        row, made = index + 1 - now, now
    return row
