"""A strategy in Python that trades in a flow: called before each message, with the true book and its true place in it.

    class Patient(Strategy):
        def before_message(self, market):
            if market.row == 100:
                yield market.new("buy", 41_99, 50)

The flow and the strategy's orders are matched on the readable :class:`matching.book.Book`, message by message. What the
strategy sent is kept as a schedule of inserts, so that the same run can be had from the compiled book; that the two
say the same is checked each time. Look at the book as you like; whoever changes it is found out by that check.

Same flow, same strategy, same seed: the same answer. What a strategy draws, it draws from `market.rng`.
"""

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from exchange.flow import ReadablePlayer
from exchange.research.schedule import Action, Change, ScheduleError, apply_schedule
from exchange.rows import type_of_rows
from matching.book import Book, Order
from matching.orders import Side

FIRST_REFERENCE = 1 << 48  # of a strategy's orders, and on from there past any that the flow uses


class Place(NamedTuple):
    """An order's place in its queue: its leaves, and what trades before it, in tCO2e and in orders."""

    leaves: int
    ahead_quantity: int
    ahead_orders: int


class Event(NamedTuple):
    """What was said; as an event row, `kind` an EventKind."""

    sequence: int
    kind: int
    ref: int
    maker_ref: int
    side: int
    price_ticks: int
    quantity: int
    leaves: int
    reason: int


class Market:
    """What a strategy sees and may do between two messages."""

    def __init__(self, book: Book, seed: int, first_reference: int) -> None:
        self.book = book
        self.rng = np.random.default_rng(seed)
        self.row = 0  # of the flow: the message that comes next
        self.now_ns = 0  # its time
        self.events: list[Event] = []  # since the strategy was last asked, its own messages' included
        self.own: set[int] = set()  # references of all orders it ever sent
        self._next = first_reference

    def place(self, ref: int) -> Place | None:
        """Where an order stands; None if it does not rest. Walks along its queue."""
        order = self.book.orders.get(ref)
        if order is None:
            return None
        quantity, orders = 0, 0
        for other in self.book.sides[order.side][order.price_ticks].values():
            if other is order:
                break
            quantity, orders = quantity + other.leaves, orders + 1
        return Place(order.leaves, quantity, orders)

    def resting(self) -> list[Order]:
        """The strategy's own orders in the book, oldest first."""
        return [self.book.orders[ref] for ref in sorted(self.own) if ref in self.book.orders]

    def new(self, side: str, price_ticks: int, quantity: int, time_in_force: str = "GTC", account: int = 0) -> Change:
        """A new order, to be yielded; its reference is `.ref`."""
        ref, self._next = self._next, self._next + 1
        self.own.add(ref)
        return Change(
            Action.INSERT, self.row, op="new", ref=ref, side=side, price_ticks=price_ticks, quantity=quantity,
            time_in_force=time_in_force, account=account,
        )  # fmt: skip

    def cancel(self, ref: int) -> Change:
        """The cancel of an order."""
        return Change(Action.INSERT, self.row, op="cancel", ref=ref)

    def amend(self, ref: int, price_ticks: int, quantity: int) -> Change:
        """An amend of an order that rests; less quantity at the same price keeps its place. KeyError if none rests."""
        side = "sell" if self.book.orders[ref].side == Side.SELL else "buy"
        return Change(
            Action.INSERT, self.row, op="amend", ref=ref, side=side, price_ticks=price_ticks, quantity=quantity
        )


class Strategy:
    """To be subclassed."""

    def before_message(self, market: Market) -> Iterable[Change] | None:
        """Asked before each message of the flow and after the last; yields what it sends, each played at once."""
        raise NotImplementedError


class StrategyError(ValueError):
    """A strategy that can't be loaded, sent what is no message, or changed the book behind its back."""


def run_strategy(rows: type_of_rows, strategy: Strategy, seed: int) -> tuple[list[Change], list[tuple[int, ...]]]:
    """Play a flow with a strategy in it: (what it sent, as a schedule; all events of flow and strategy)."""
    player = ReadablePlayer()
    largest = int(rows["order_id"].max()) if rows.size else 0
    market = Market(player.book, seed, max(FIRST_REFERENCE, largest + 1))
    sent: list[Change] = []
    events: list[tuple[int, ...]] = []
    given = 0
    for row in range(rows.size + 1):
        market.row = row
        if rows.size:
            market.now_ns = int(rows["now_ns"][min(row, rows.size - 1)])
        market.events = [Event(*event) for event in events[given:]]
        given = len(events)
        for change in strategy.before_message(market) or ():
            try:
                message = apply_schedule(rows[:0], [_alone(change)]).rows
            except (ScheduleError, AttributeError, TypeError) as error:
                raise StrategyError(f"before row {row} the strategy sent {change!r}: {error}") from error
            message["sequence"] = row + len(sent)
            sent.append(change)
            events.extend(player.play(message))
        if row < rows.size:
            message = rows[row : row + 1].copy()
            message["sequence"] = row + len(sent)
            events.extend(player.play(message))
    return sent, events


def _alone(change: Change) -> Change:
    """A message as a change of a flow without rows."""
    return msgspec.structs.replace(change, at=0)


def load_strategy(where: str) -> Strategy:
    """A strategy by `file.py:Class`, made without arguments. StrategyError if there is none."""
    file, _, name = where.partition(":")
    path = Path(file)
    if not name or path.suffix != ".py" or not path.is_file():
        raise StrategyError(f"{where!r}: a strategy is given as file.py:Class")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
        made = getattr(module, name)()
    except Exception as error:
        raise StrategyError(f"{where}: {type(error).__name__}: {error}") from error
    if not isinstance(made, Strategy):
        raise StrategyError(f"{where}: {name} is no exchange.research.strategy.Strategy")
    return made
