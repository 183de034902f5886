"""What clients were told, beside what the journal holds.

    acknowledged       in the journal exactly once, with the terms that were sent and the numbers that were told
    refused for good   not accepted
    503, Retry-After   not in the journal: nothing has happened
    not answered       wholly there, once, or wholly absent: a batch with all of its orders, or with none
    never sent         not there

The journal is read by the exchange's own reader and applied to an exchange of the auditor's own, whose invariants must
hold; its digest is what the exchange that serves has to have. This is the one module of the simulation that knows the
exchange from within.
"""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import msgspec

from exchange import invariants
from exchange.engine import recorded
from exchange.rows import CommandKind, EventKind, told
from exchange.state import Exchange
from exchange.transition import apply
from simulation.reliability import Unsound
from simulation.reliability.clients import deposit_of, names_of, terms

TAKEN = (200, 201)
_SIDES = ("buy", "sell")


class Sent(NamedTuple):
    """A request, as the log has it."""

    account: str
    number: int
    kind: str
    target: int
    sent_ns: int

    @property
    def names(self) -> list[str]:
        return names_of(self.account, self.number, self.kind, self.target)


class Told(NamedTuple):
    """Its answer."""

    status: int
    took_ns: int
    retry_after: str
    body: bytes


class Log:
    """What one client has sent and been told, as far as its log has been read."""

    def __init__(self, account: str, path: Path) -> None:
        self.account, self._path = account, path
        self._at = 0
        self.sent: dict[int, Sent] = {}
        self.told: dict[int, Told] = {}

    def read(self) -> list[Sent]:
        """Read on; returns the requests that are new."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            lines = file.read().splitlines()
            self._at = file.tell()
        fresh = []
        for line in lines:
            if line.startswith(b"S "):
                _, number, kind, target, at = line.split(b" ")
                sent = Sent(self.account, int(number), kind.decode(), int(target), int(at))
                self.sent[sent.number] = sent
                fresh.append(sent)
            else:
                _, number, status, took, retry, body = line.split(b" ", 5)
                self.told[int(number)] = Told(int(status), int(took), retry.decode(), body)
        return fresh

    def is_acknowledged(self, sent: Sent) -> bool:
        told = self.told.get(sent.number)
        return told is not None and told.status in TAKEN and sent.kind != "read"


class _Deposit(msgspec.Struct, tag="DepositCash", tag_field="command"):
    account_id: str
    amount: int


_is_deposit = re.compile(rb'"command":\s*"DepositCash"').search


class Row(NamedTuple):
    """An order in the journal."""

    sequence: int
    side: str
    price: int
    quantity: int


class Found:
    """What a journal holds of the clients' doing, and the exchange that it makes."""

    def __init__(self, path: Path) -> None:
        self.exchange = Exchange()
        self.orders: dict[str, list[Row]] = {}  # by client order id
        self.deposits: Counter[tuple[str, int]] = Counter()  # by account and fen
        self.cancels: Counter[tuple[str, int]] = Counter()  # by account and order
        self.accepted: dict[int, int] = {}  # order by sequence
        for batch in recorded(path):
            events = apply(self.exchange, batch).rows
            of_orders = events[events["kind"] == EventKind.ACCEPTED]
            self.accepted |= dict(zip(of_orders["sequence"].tolist(), of_orders["order_id"].tolist(), strict=True))
            accounts = {one.number: one.account_id for one in self.exchange.accounts}
            for row, detail in zip(told(batch.rows), batch.details, strict=True):
                if row.kind == CommandKind.PLACE_ORDER:
                    order = Row(row.sequence, _SIDES[row.side], row.price_ticks, row.quantity)
                    self.orders.setdefault(detail.decode(), []).append(order)
                elif row.kind == CommandKind.CANCEL_ORDER:
                    self.cancels[accounts[row.account], row.order_id] += 1
                elif row.kind == CommandKind.CONTROL and _is_deposit(detail):
                    deposit = msgspec.json.decode(detail, type=_Deposit)
                    self.deposits[deposit.account_id, deposit.amount] += 1
        invariants.check(self.exchange)
        self.digest = self.exchange.digest()


class _Outcome(msgspec.Struct):
    client_order_id: str | None = None
    order_id: int | None = None


class _Outcomes(msgspec.Struct):
    orders: list[_Outcome]


class _Order(msgspec.Struct):
    order_id: int
    sequence: int


class Audited(NamedTuple):
    """How much was compared."""

    acknowledged: int  # requests
    orders: int  # in those
    unanswered: int
    unanswered_present: int
    refused: int  # for good
    turned_away: int  # 503 with Retry-After


def audit(logs: list[Log], found: Found) -> Audited:
    """Compare all that was ever sent with a journal. Unsound with the first fault."""
    counts: Counter[str] = Counter()
    known: set[str] = set()
    for log in logs:
        for sent in log.sent.values():
            known.update(sent.names)
            if sent.kind != "read":
                _one(sent, log.told.get(sent.number), found, counts)
    if stray := [name for name in found.orders if name not in known]:
        raise Unsound(f"{len(stray)} orders in the journal were never sent, the first is {stray[0]!r}")
    return Audited(*(counts[name] for name in Audited._fields))


def _one(sent: Sent, told: Told | None, found: Found, counts: Counter[str]) -> None:
    present = _present(sent, found)
    whole = len(sent.names) or 1
    what = f"{sent.kind} {sent.account}-{sent.number}"
    if told is None or told.status == 500:
        counts["unanswered"] += 1
        counts["unanswered_present"] += present > 0
        if present not in (0, whole):
            raise Unsound(f"{what} was not answered, and {present} of {whole} of it are in the journal")
        return
    if told.status == 503 and told.retry_after != "-":
        counts["turned_away"] += 1
        if present:
            raise Unsound(f"{what} was turned away and is in the journal")
        return
    if told.status not in TAKEN:
        counts["refused"] += 1
        if any(row.sequence in found.accepted for name in sent.names for row in found.orders.get(name, [])):
            raise Unsound(f"{what} was refused ({told.status}) and accepted")
        return
    counts["acknowledged"] += 1
    counts["orders"] += len(sent.names)
    if sent.kind == "order":
        placed = msgspec.json.decode(told.body, type=_Order)
        _require_order(sent.names[0], placed.order_id, found, placed.sequence)
    elif sent.kind == "batch":
        outcomes = msgspec.json.decode(told.body, type=_Outcomes).orders
        if [one.client_order_id for one in outcomes] != sent.names:
            raise Unsound(f"{what}: the answer is about other orders")
        for outcome in outcomes:
            if outcome.order_id is not None:
                _require_order(outcome.client_order_id or "", outcome.order_id, found)
    elif present != 1:
        raise Unsound(f"{what} was acknowledged and is in the journal {present} times")


def _present(sent: Sent, found: Found) -> int:
    """How many parts of a request are in the journal. Unsound if one is there twice, or otherwise than it was sent."""
    if sent.kind == "deposit":
        return found.deposits[sent.account, deposit_of(sent.number)]
    if sent.kind == "cancel":
        return found.cancels[sent.account, sent.target]
    for name in sent.names:
        rows = found.orders.get(name, [])
        if len(rows) > 1:
            raise Unsound(f"order {name} is in the journal {len(rows)} times")
        if rows and rows[0][1:] != terms(name):
            raise Unsound(f"order {name} was sent as {terms(name)} and is in the journal as {rows[0]}")
    return sum(name in found.orders for name in sent.names)


def _require_order(name: str, order_id: int, found: Found, sequence: int | None = None) -> None:
    rows = found.orders.get(name, [])
    if len(rows) != 1:
        raise Unsound(f"order {name} was acknowledged and is in the journal {len(rows)} times")
    if found.accepted.get(rows[0].sequence) != order_id or sequence not in (None, rows[0].sequence):
        raise Unsound(f"order {name} was told to be number {order_id} and is another in the journal")
