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

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import msgspec
import numpy as np

from api.access.guard import Access, Caller
from api.gateway import Gateway
from api.inbox import BatchAnswer
from api.order_entry import order_row
from api.order_limits import require_alive, require_room
from api.order_views import order_view
from api.problems import Problem
from api.schemas import NewBatch, OrderTerms, OrderTypeName
from exchange.commands import OnError, OrderBatch
from exchange.engine import BatchReceipt, Receipt
from exchange.reasons import Reason, Refused
from exchange.rows import COMMAND, EVENT, EventKind, type_of_rows

TRADED = int(EventKind.TRADED)
_TOLD_LATER = ("kind", "reason", "quantity", "trade_id", "order_id", "leaves", "maker_order_id", "maker_leaves")
_WAIT = ("stop", "stop_limit")
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
    details = [order.client_order_id.encode() if order.client_order_id else b"" for order in taken]
    batch = OrderBatch(packed, details[: len(packed) // COMMAND.itemsize], asked.on_error)
    said = await gateway.inbox.offer_batch(batch) if packed else _NOTHING_SAID
    outcomes = _outcomes(gateway, orders, said, refused)
    failed = [one for one in outcomes if one.status == "refused"]
    undone = asked.on_error == OnError.ROLLBACK and not all(one.repeated for one in failed)
    return Outcomes(asked.on_error, len(outcomes) - len(failed), len(failed), undone, outcomes)


def _outcomes(
    gateway: Gateway, orders: Sequence[OrderTerms], said: BatchAnswer, refused: Mapping[int, Problem]
) -> list[Outcome]:
    """What became of each order of a batch."""
    fresh, receipts, sequence = _Fresh(said.rows), iter(said.receipt.orders), said.receipt.first
    found = []
    for place, order in enumerate(orders):
        problem = refused.get(place)
        receipt: Receipt | None = None if problem else next(receipts, None)
        if isinstance(receipt, int) and receipt == sequence:
            outcome = fresh.outcome(receipt, order.type)
            sequence += 1
        elif isinstance(receipt, int):
            outcome = _of_earlier(gateway, receipt)
        elif problem:
            outcome = Outcome("refused", code=problem.code, detail=problem.detail)
        elif receipt:
            outcome = Outcome("refused", code=receipt.reason.code, detail=receipt.detail)
        else:
            outcome = _refused(Reason.BATCH_STOPPED)
        outcome.client_order_id = order.client_order_id
        found.append(outcome)
    return found


class _Fresh:
    """What event rows say of the orders that were placed by them: their ids follow one another."""

    def __init__(self, rows: type_of_rows) -> None:
        accepted, refused = rows["kind"] == EventKind.ACCEPTED, rows["kind"] == EventKind.REFUSED
        self._ids = _dict_of(rows[accepted], "sequence", "order_id")
        self._refused = _dict_of(rows[refused], "sequence", "reason")
        self._leaves = _dict_of(rows[accepted], "order_id", "leaves")
        self._filled: dict[int, int] = {}
        self._trade_ids: dict[int, list[int]] = {}
        self._reasons: dict[int, int] = {}
        self._touched: set[int] = set()
        self._triggered: set[int] = set()
        later = rows[~(accepted | refused)]
        for row in zip(*(later[name].tolist() for name in _TOLD_LATER), strict=True):
            self._go_on(*row)

    def _go_on(
        self, kind: int, reason: int, quantity: int, trade_id: int, taker: int, left: int, maker: int, maker_left: int
    ) -> None:
        """An event after an order has come in. Of others' orders is kept what nobody asks for."""
        self._leaves[taker], self._leaves[maker] = left, maker_left
        self._touched |= {taker, maker}
        if kind == TRADED:
            for order_id in (taker, maker):
                self._filled[order_id] = self._filled.get(order_id, 0) + quantity
                self._trade_ids.setdefault(order_id, []).append(trade_id)
        elif kind == EventKind.CANCELLED:
            self._reasons[taker] = reason
        elif kind == EventKind.PREVENTED:
            self._reasons |= {one: reason for one, leaves in ((taker, left), (maker, maker_left)) if leaves == 0}
        elif kind == EventKind.TRIGGERED:
            self._triggered.add(taker)

    def outcome(self, sequence: int, kind: OrderTypeName) -> Outcome:
        """What became of the order that a command placed, of a kind."""
        order_id = self._ids.get(sequence)
        if order_id is None:
            return _refused(Reason(self._refused[sequence]))
        leaves = self._leaves[order_id]
        if order_id not in self._touched:
            return Outcome("waiting" if kind in _WAIT else "open", None, order_id, 0, leaves)
        reason = self._reasons.get(order_id)
        status: Status = "cancelled" if reason else "filled"
        if leaves:
            status = "waiting" if kind in _WAIT and order_id not in self._triggered else "open"
        trade_ids, code = self._trade_ids.get(order_id, []), _CODES[reason] if reason else None
        return Outcome(status, None, order_id, self._filled.get(order_id, 0), leaves, trade_ids, code)


def _dict_of(rows: type_of_rows, key: str, value: str) -> dict[int, int]:
    return dict(zip(rows[key].tolist(), rows[value].tolist(), strict=True))


def _refused(reason: Reason) -> Outcome:
    return Outcome("refused", code=reason.code, detail=Problem.of_reason(reason).detail)


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
