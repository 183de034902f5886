"""The clearing house: the batches of every day, and how far each has come.

| stage      | entered by        | means                                                                           |
|------------|-------------------|---------------------------------------------------------------------------------|
| fixed      | FixObligations    | these trades are to be settled: their rows are sealed and never change          |
| instructed | InstructBank      | the settlement bank has the file that says what everybody pays and receives     |
| confirmed  | ConfirmPayments   | it has answered every line; there may be none                                   |
| delivered  | DeliverBatch      | units and cash have changed hands, irrevocably                                  |
| stated     | IssueStatements   | everybody can read what happened, and object                                    |
| final      | OpenDay           | the window for objections is over: silence was consent (rules, art. 11)         |

Without a settlement bank a batch goes from fixed to delivered. If answers are missing when they should be there, the
batch is late: what they are about counts as not paid, and nobody in it may withdraw anything until it is delivered
(art. 10: notify, and restrict withdrawals; :mod:`settlement.bank`). One batch is under way at a time. A day usually has
one; trades that could not be settled come again in a later one. What is wrong in a batch is put right by new entries
(:mod:`settlement.corrections`), never by changing it.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np

from settlement.answers import Answer, StatementState
from settlement.bank import Payments
from settlement.batch import BatchReport
from settlement.clearing import Terms, type_of_column, type_of_rows
from settlement.conversions import Conversions
from settlement.corrections import Corrections
from settlement.netting import Mode
from settlement.rebates import Rebate
from settlement.statements import Entry, Line, Statement, as_one


class Stage(StrEnum):
    """How far a batch has come."""

    FIXED = "fixed"
    INSTRUCTED = "instructed"
    CONFIRMED = "confirmed"
    DELIVERED = "delivered"
    STATED = "stated"
    FINAL = "final"


STAGES = tuple(Stage)


class Batch(msgspec.Struct, eq=False):
    """Trades that settle together. `number` counts from 1, over all days."""

    number: int
    day: date
    mode: Mode
    trades: type_of_rows  # in the order of trading; read only
    seal: str  # SHA-256 of them
    reached: dict[Stage, int]  # when, UTC nanoseconds
    failed: frozenset[int] = frozenset()  # ids of trades that were taken out, since somebody did not pay or deliver
    report: BatchReport | None = None  # of the delivery
    line: Line | None = None  # of its statements
    payments: Payments | None = None  # what the bank was told and has answered
    answers: dict[int, Answer] = msgspec.field(default_factory=dict)  # to them, by account

    @property
    def stage(self) -> Stage:
        return max(self.reached, key=STAGES.index)

    def has_reached(self, stage: Stage) -> bool:
        return stage in self.reached

    def state_of(self, account: int) -> StatementState:
        """How an account stands to its statement, which has been issued."""
        if answer := self.answers.get(account):
            return answer.state
        return StatementState.ACCEPTED if self.has_reached(Stage.FINAL) else StatementState.ISSUED

    @property
    def is_late(self) -> bool:
        """Whether answers of the bank were missing in the evening."""
        return self.payments is not None and self.payments.late_at is not None

    @property
    def settled(self) -> type_of_rows:
        """The trades that were settled, or are to be."""
        if not self.failed:
            return self.trades
        kept: type_of_rows = self.trades[~np.isin(self.trades["trade_id"], sorted(self.failed))]
        return kept

    def trade(self, trade_id: int) -> Any | None:
        """The row of a trade by its id, as it was fixed; None if it is not among them."""
        return row_of(self.trades, trade_id)

    def check(self) -> None:
        """Assert that nothing in it has changed since it was fixed, and that its steps lie in order."""
        assert self.seal == seal_of(self.trades), f"the trades of batch {self.number} have changed"
        times = [self.reached[stage] for stage in STAGES if stage in self.reached]
        assert times == sorted(times), f"batch {self.number} went back in time"
        assert (np.diff(self.trades["trade_id"]) > 0).all(), f"the trades of batch {self.number} are out of order"
        assert self.failed <= set(self.trades["trade_id"].tolist()), f"batch {self.number} lost what it never had"
        is_instructed = self.has_reached(Stage.INSTRUCTED)
        assert is_instructed == (self.payments is not None), f"batch {self.number} and its payments differ"
        if self.payments is not None:
            self.payments.check()
            is_answered = not self.payments.open_lines
            assert is_answered == self.has_reached(Stage.CONFIRMED), f"batch {self.number} is confirmed and open"
        for account, answer in self.answers.items():
            asked = self.line is not None and self.line.concerns(account)
            assert asked, f"account {account} answers a statement of batch {self.number} that it never got"
            final_ns = self.reached.get(Stage.FINAL, answer.at_ns)
            in_time = self.reached[Stage.STATED] <= answer.at_ns <= final_ns
            assert in_time, f"account {account} answered batch {self.number} outside of the window"
            answer.check()


class ClearingHouse:
    """Everything that settlement remembers."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.returned: list[type_of_rows] = []  # trades that failed in a batch and come again in the next
        self.opening: type_of_column = np.zeros((1, 1), np.int64)  # settled holdings at the last statements
        self.entries: list[tuple[int, Entry]] = []  # movements since then, other than trades
        self.blocked: dict[int, str] = {}  # accounts that may not withdraw by an operator's order, and why
        self.in_break: dict[int, date] = {}  # accounts that may not withdraw since the bank's balance of a day differs
        self.reconciled: date | None = None  # the last day whose balances the bank has sent
        self.corrections = Corrections()
        self.conversions = Conversions()
        self.rebates: dict[int, list[Rebate]] = {}  # paid back, by year

    @property
    def under_way(self) -> Batch | None:
        """The batch whose statements are still to come."""
        if self.batches and not self.batches[-1].has_reached(Stage.STATED):
            return self.batches[-1]
        return None

    def batch(self, number: int) -> Batch | None:
        """A batch by its number."""
        return self.batches[number - 1] if 1 <= number <= len(self.batches) else None

    def batches_with(self, trade_id: int) -> Iterator[Batch]:
        """The batches that a trade was in, the last one first."""
        return (batch for batch in reversed(self.batches) if batch.trade(trade_id) is not None)

    def of_day(self, day: date) -> list[Batch]:
        """The batches of a day, oldest first."""
        return [batch for batch in self.batches if batch.day == day]

    def statement(self, day: date, account: int, terms: Terms) -> Statement | None:
        """An account's statement of a day, of all its batches in one; None if none is stated that concerns it."""
        lines = [batch.line for batch in self.of_day(day) if batch.line is not None and batch.line.concerns(account)]
        return as_one([line.statement(account, terms) for line in lines]) if lines else None

    def stated(self, account: int) -> list[Batch]:
        """The batches of which an account has got a statement, oldest first."""
        return [batch for batch in self.batches if batch.line is not None and batch.line.concerns(account)]

    def owing(self) -> list[type_of_rows]:
        """Trades that are no longer of today and still owe: fixed and not delivered, or failed."""
        under_way = self.under_way
        fixed = [] if under_way is None or under_way.has_reached(Stage.DELIVERED) else [under_way.trades]
        return [*self.returned, *fixed]

    def close_objections(self, now_ns: int) -> None:
        """A new day begins: what nobody objected to is accepted."""
        for batch in reversed(self.batches):
            if batch.has_reached(Stage.FINAL):
                break
            batch.reached[Stage.FINAL] = now_ns

    def content(self) -> Iterator[tuple[object, ...]]:
        """All that matters, for the digest."""
        for batch in self.batches:
            yield "batch", batch.number, batch.day, batch.mode, batch.stage, batch.seal, sorted(batch.failed)
            if batch.payments is not None:
                answers = sorted(batch.payments.answers.items())
                yield "payments", batch.number, batch.payments.file.checksum, answers, batch.is_late
            for account, answer in sorted(batch.answers.items()):
                yield "answer", account, answer.state, answer.objection, answer.ruling, answer.ruled_by
        yield "returned", [seal_of(rows) for rows in self.returned]
        yield "withdrawals", sorted(self.blocked.items()), sorted(self.in_break.items()), self.reconciled
        yield "entries", self.entries
        yield "corrections", [*self.corrections]
        yield from self.conversions.content()
        yield "rebates", sorted(self.rebates.items())

    def check(self) -> None:
        """Assert that every batch is as it was fixed, and that they follow one another."""
        for number, batch in enumerate(self.batches, 1):
            assert batch.number == number, f"batch {batch.number} stands at place {number}"
            batch.check()
        days = [batch.day for batch in self.batches]
        assert days == sorted(days), "batches are not in the order of their days"
        self.corrections.check()
        self.conversions.check()


def row_of(trades: type_of_rows, trade_id: int) -> Any | None:
    """The row of a trade among rows in the order of their ids; None if it is not there."""
    ids = trades["trade_id"]
    place = bisect_left(ids, trade_id)
    return trades[place] if place < ids.size and ids[place] == trade_id else None


_STAMPS = ("sequence", "now_ns")


def seal_of(trades: type_of_rows) -> str:
    """SHA-256 of trade rows, their stamps left out."""
    content = hashlib.sha256()
    for name in trades.dtype.names or ():
        if name not in _STAMPS:
            content.update(np.ascontiguousarray(trades[name]).tobytes())
    return content.hexdigest()
