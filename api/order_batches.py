"""Batches of orders: one request, one durable write, one crossing into the compiled path.

The orders of a batch are placed one after another with nothing between them. What `on_error` asks for is decided where
each order is decided, in the exchange, so that a replay decides it again:

    continue   each order stands for itself
    stop       the orders behind one that is refused are refused too (`batch_stopped`)
    rollback   likewise, and the last row of the batch cancels what rests of its orders (`batch_undone`)

A trade has two sides, and the other one keeps its own: what orders of a batch have traded before it was rolled back
stands, and the answer names it. An order that can't become a row at all (an unknown instrument, a price off the tick,
above a limit of the key, a client order id of another order) is refused before the journal: then nothing of a batch to
be rolled back has happened.

Orders that came before, by their client order ids, are not placed again, nor undone with a batch that they come in.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from api.access.guard import Access, Caller
from api.gateway import Gateway
from api.inbox import BatchAnswer
from api.order_entry import order_row
from api.order_limits import require_alive, require_room
from api.order_views import order_view
from api.problems import Problem
from api.schemas import NewBatch, OrderTerms
from exchange.commands import OnError, OrderBatch
from exchange.engine import BatchReceipt, Receipt
from exchange.reasons import Reason, Refused
from exchange.rows import COMMAND, EVENT, EventKind, type_of_rows

_WAIT = ("stop", "stop_limit")
_NONE: list[int] = []  # trades of an order that has none
_NOTHING_SAID = BatchAnswer(BatchReceipt([], 0, 0), np.zeros(0, EVENT))
_CODES = {int(reason): reason.code for reason in Reason}

Status = Literal["open", "waiting", "filled", "cancelled", "refused"]


class Outcome(msgspec.Struct, omit_defaults=True, gc=False):
    """`api.schemas.BatchedOrder`, made fast."""

    status: Status
    client_order_id: str | None = None
    order_id: int | None = None
    filled: int = 0
    leaves: int = 0
    trade_ids: list[int] = []
    code: str | None = None
    detail: str | None = None
    repeated: bool = False


class Outcomes(msgspec.Struct):
    """`api.schemas.OrderBatchView`, made fast."""

    on_error: OnError
    placed: int
    refused: int
    undone: bool
    orders: list[Outcome]


async def place_batch(gateway: Gateway, access: Access, caller: Caller, asked: NewBatch) -> Outcomes:
    """Place a batch of orders. Problem if the account is unknown, killed, or may not have so many orders open."""
    account, rows, refused = gateway.account(asked.account_id), list[bytes](), dict[int, Problem]()
    for place, order in enumerate(asked.orders):
        try:
            listed = gateway.instrument(order.symbol)
            rows.append(order_row(gateway, caller, account, listed, order, opens=False))
        except (Problem, Refused) as error:
            refused[place] = Problem.of(error) if isinstance(error, Refused) else error
            if asked.on_error != OnError.CONTINUE:
                break
    if refused and asked.on_error == OnError.ROLLBACK:
        rows = []
    return await place_rows(gateway, access, caller, asked, b"".join(rows), refused)


async def place_rows(
    gateway: Gateway,
    access: Access,
    caller: Caller,
    asked: NewBatch,
    packed: bytes,
    refused: Mapping[int, Problem] = MappingProxyType({}),
) -> Outcomes:
    """Place a batch whose orders have become rows, but for those that are refused already, by place. Problem likewise.

    If the rows are fewer than the others, the last orders are not tried.
    """
    account, orders = gateway.account(asked.account_id), asked.orders
    require_alive(access, account)
    require_room(caller, gateway, account, len(orders))
    taken = [order for place, order in enumerate(orders) if place not in refused] if refused else orders
    taken = taken[: len(packed) // COMMAND.itemsize]
    details = [order.client_order_id.encode() if order.client_order_id else b"" for order in taken]
    said = await gateway.inbox.offer_batch(OrderBatch(packed, details, asked.on_error)) if packed else _NOTHING_SAID
    outcomes = _placed(said.rows, _fresh(taken, said.receipt))
    if len(outcomes) < len(orders):
        outcomes = _among_others(gateway, orders, outcomes, said.receipt, refused)
    failed = [one for one in outcomes if one.status == "refused"]
    undone = asked.on_error == OnError.ROLLBACK and not all(one.repeated for one in failed)
    return Outcomes(asked.on_error, len(outcomes) - len(failed), len(failed), undone, outcomes)


def _fresh(orders: Sequence[OrderTerms], receipt: BatchReceipt) -> Sequence[OrderTerms]:
    """The new ones among the orders of a batch."""
    if receipt.fresh == len(orders):
        return orders
    found = list[OrderTerms]()
    for order, one in zip(orders, receipt.orders, strict=True):
        if one == receipt.first + len(found):
            found.append(order)
    return found


def _among_others(
    gateway: Gateway,
    orders: Sequence[OrderTerms],
    placed: Iterable[Outcome],
    receipt: BatchReceipt,
    refused: Mapping[int, Problem],
) -> list[Outcome]:
    """What became of each order of a batch, of which not all were new."""
    placed, receipts, sequence = iter(placed), iter(receipt.orders), receipt.first
    found = []
    for place, order in enumerate(orders):
        problem = refused.get(place)
        one: Receipt | None = None if problem else next(receipts, None)
        if isinstance(one, int) and one == sequence:
            outcome = next(placed)
            sequence += 1
        elif isinstance(one, int):
            outcome = _of_earlier(gateway, one)
        elif problem:
            outcome = Outcome("refused", code=problem.code, detail=problem.detail)
        elif one:
            outcome = Outcome("refused", code=one.reason.code, detail=one.detail)
        else:
            outcome = _refused(Reason.BATCH_STOPPED)
        outcome.client_order_id = order.client_order_id
        found.append(outcome)
    return found


class _Columns(NamedTuple):
    """What is known of the orders that a batch has placed, an entry for each."""

    order_ids: type_of_rows
    refused: type_of_rows  # bool
    waits: type_of_rows  # bool: for its stop price
    leaves: type_of_rows  # tCO2e
    filled: type_of_rows  # tCO2e
    reasons: type_of_rows  # why it was refused, or its rest cancelled; 0: neither
    trade_ids: list[list[int]]


def _placed(rows: type_of_rows, orders: Sequence[OrderTerms]) -> list[Outcome]:
    """What became of the new orders of a batch, by the event rows of their commands.

    Made column by column: one order after another takes several times as long.
    """
    kinds = rows["kind"]
    is_first = (kinds == EventKind.ACCEPTED) | (kinds == EventKind.REFUSED)  # of the events of its order
    first, later = np.flatnonzero(is_first), np.flatnonzero(~is_first)
    refused = kinds[first] == EventKind.REFUSED
    orders_of = _Columns(
        rows["order_id"][first],
        refused,
        np.array([order.type in _WAIT for order in orders], bool),
        np.where(refused, 0, rows["leaves"][first]),
        np.zeros(first.size, np.int64),
        rows["reason"][first],
        [_NONE] * first.size,
    )
    if later.size:
        _go_on(orders_of, rows, later)
    return _told(orders_of, [order.client_order_id for order in orders])


def _go_on(orders: _Columns, rows: type_of_rows, later: type_of_rows) -> None:
    """The events after the orders have come in; what they say of others' orders is left out."""
    accepted = np.flatnonzero(~orders.refused)
    if not accepted.size:
        return

    def of_both(taker: str, maker: str) -> type_of_rows:
        return np.column_stack((rows[taker][later], rows[maker][later])).ravel()

    # Ids of accepted orders follow one another; 0, which is nobody's, is below them.
    nth = of_both("order_id", "maker_order_id") - orders.order_ids[accepted[0]]
    own = np.flatnonzero((nth >= 0) & (nth < accepted.size))
    order, event = accepted[nth[own]], later[own // 2]
    kinds, leaves = rows["kind"][event], of_both("leaves", "maker_leaves")[own]
    orders.leaves[order] = leaves  # the last of each counts
    orders.waits[order[kinds == EventKind.TRIGGERED]] = False
    gone = (kinds == EventKind.CANCELLED) | ((kinds == EventKind.PREVENTED) & (leaves == 0))
    orders.reasons[order[gone]] = rows["reason"][event[gone]]
    traded = kinds == EventKind.TRADED
    order, event = order[traded], event[traded]
    np.add.at(orders.filled, order, rows["quantity"][event])
    trade_ids: dict[int, list[int]] = {}
    for place, trade_id in zip(order.tolist(), rows["trade_id"][event].tolist(), strict=True):
        trade_ids.setdefault(place, []).append(trade_id)
    for place, found in trade_ids.items():
        orders.trade_ids[place] = found


def _told(orders: _Columns, names: Sequence[str | None]) -> list[Outcome]:
    rests = orders.leaves > 0
    statuses = np.full(rests.size, "filled", object)
    statuses[orders.reasons != 0] = "cancelled"
    statuses[rests] = "open"
    statuses[rests & orders.waits] = "waiting"
    statuses[orders.refused] = "refused"
    order_ids: list[int | None] = orders.order_ids.tolist()
    codes: list[str | None] = [None] * rests.size
    details = codes.copy()
    for place in np.flatnonzero(orders.reasons).tolist():
        codes[place] = _CODES[orders.reasons[place]]
    for place in np.flatnonzero(orders.refused).tolist():
        order_ids[place], details[place] = None, _detail(int(orders.reasons[place]))
    filled, leaves = orders.filled.tolist(), orders.leaves.tolist()
    return [*map(Outcome, statuses.tolist(), names, order_ids, filled, leaves, orders.trade_ids, codes, details)]


def _refused(reason: Reason) -> Outcome:
    return Outcome("refused", code=reason.code, detail=_detail(reason))


@cache
def _detail(reason: int) -> str:
    """A refusal in words."""
    return Problem.of_reason(Reason(reason)).detail


def _of_earlier(gateway: Gateway, sequence: int) -> Outcome:
    """An order that came before, as it is now; perhaps in the same durable write, and then it may have been refused."""
    first = gateway.history.answer(sequence)[0]
    if first.kind == EventKind.REFUSED:
        outcome = _refused(Reason(first.reason))
        outcome.repeated = True
        return outcome
    view = order_view(gateway, int(first.order_id))
    trade_ids = [fill.trade_id for fill in view.fills]
    return Outcome(view.status, None, view.order_id, view.filled, view.leaves, trade_ids, view.reason, repeated=True)
