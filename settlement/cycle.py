"""The clearing house: the batches of every day, and how far each has come.

| stage      | entered by        | means                                                                           |
|------------|-------------------|---------------------------------------------------------------------------------|
| fixed      | FixObligations    | these trades are to be settled: their rows are sealed and never change          |
| instructed | InstructBank      | the settlement bank has the file that says what everybody pays and receives     |
| confirmed  | ConfirmPayments   | it has answered every line; there may be none. If more is asked: back again     |
| delivered  | DeliverBatch      | units and cash have changed hands, irrevocably                                  |
| stated     | IssueStatements   | everybody can read what happened, and object                                    |
| final      | OpenDay           | the window for objections is over: silence was consent (rules, art. 11)         |

The window ends with the first opening that the timetable has after the statements. If they come so late that their
next day should have opened already, it may open, and they stay open to objections until the one after it does. That a
day does not open before its time, which would end the window before what the statements say, is for who has the clock.

Without a settlement bank a batch goes from fixed to delivered. If answers are missing when they should be there, the
batch is late: what they are about counts as not paid, and nobody in it may withdraw anything until it is delivered
(art. 10: notify, and restrict withdrawals; :mod:`settlement.bank`). One batch is under way at a time. A day usually has
one; trades that could not be settled wait for the procedure of :mod:`settlement.default`, and come again in a later
batch. What is wrong in a batch is put right by new entries (:mod:`settlement.corrections`), never by changing it.

A trade of the book is backed: both legs are reserved and both claims booked until it is delivered. A deal that has come
due (:mod:`settlement.deals`) is not, nor is a trade that has failed; of the latter the leg of who did not fail is kept
reserved.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Collection, Iterator
from datetime import date
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np

from settlement.answers import Answer, StatementState
from settlement.bank import Payments
from settlement.batch import BatchReport
from settlement.clearing import type_of_column, type_of_rows
from settlement.conversions import Conversions
from settlement.corrections import Corrections
from settlement.deals import Deal, DealState
from settlement.default import Case, CaseState, Defaults, Holding, Leg
from settlement.rebates import Rebate
from settlement.rules import Mode
from settlement.statements import Entry, Line


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
    unbacked: frozenset[int] = frozenset()  # ids of trades for which nothing is claimed, and not every leg reserved
    failed: frozenset[int] = frozenset()  # ids of trades that were taken out, since somebody did not pay or deliver
    stood_in: dict[Holding, int] = msgspec.field(default_factory=dict)  # fen: for what was not confirmed
    report: BatchReport | None = None  # of the delivery
    line: Line | None = None  # of its statements
    stated: str = ""  # the seal of this line
    stated_by: int = 0  # the sequence of the command that issued them
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
    def owes_answers(self) -> bool:
        """Whether its bank was late, and it is not delivered or waits for answers all the same."""
        if self.payments is None or not self.is_late:
            return False
        return not self.has_reached(Stage.DELIVERED) or bool(self.payments.open_lines)

    @property
    def settled(self) -> type_of_rows:
        """The trades that were settled, or are to be."""
        return without(self.trades, self.failed)

    def trade(self, trade_id: int) -> Any | None:
        """The row of a trade by its id, as it was fixed; None if it is not among them."""
        return row_of(self.trades, trade_id)

    def check(self) -> None:
        """Assert that nothing in it has changed since it was fixed, and that its steps lie in order."""
        assert self.seal == seal_of(self.trades), f"the trades of batch {self.number} have changed"
        times = [self.reached[stage] for stage in STAGES if stage in self.reached]
        assert times == sorted(times), f"batch {self.number} went back in time"
        assert (np.diff(self.trades["trade_id"]) > 0).all(), f"the trades of batch {self.number} are out of order"
        ids = set(self.trades["trade_id"].tolist()) if self.failed or self.unbacked else set()
        assert self.failed <= ids, f"batch {self.number} lost what it never had"
        assert self.unbacked <= ids, f"batch {self.number} does not have what is said to lack backing"
        is_instructed = self.has_reached(Stage.INSTRUCTED)
        assert is_instructed == (self.payments is not None), f"batch {self.number} and its payments differ"
        if self.payments is not None:
            self.payments.check()
            is_answered = not self.payments.open_lines
            came_late = self.is_late and self.has_reached(Stage.DELIVERED)
            is_confirmed = self.has_reached(Stage.CONFIRMED)
            assert is_answered == is_confirmed or came_late, f"batch {self.number} is confirmed and open"
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
        self.deals: dict[str, Deal] = {}  # by id, whatever their state
        self.defaults = Defaults()
        self.waiting: list[type_of_rows] = []  # trades that failed in a batch and wait for open cases
        self.returned: list[type_of_rows] = []  # those that waited and come again in the next batch
        self.kept: set[Leg] = set()  # legs of trades that failed which are reserved
        self.opening: type_of_column = np.zeros((1, 1), np.int64)  # settled holdings at the last statements
        self.entries: list[tuple[int, Entry]] = []  # movements since then, other than trades
        self.blocked: dict[int, str] = {}  # accounts that may not withdraw by an operator's order, and why
        self.in_break: dict[int, date] = {}  # accounts that may not withdraw since the bank's balance of a day differs
        self.late: list[Batch] = []  # those that owe answers of the bank, oldest first
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

    def stated(self, account: int) -> list[Batch]:
        """The batches of which an account has got a statement, oldest first."""
        return [batch for batch in self.batches if batch.line is not None and batch.line.concerns(account)]

    def delivered_late(self) -> list[Batch]:
        """The batches that were delivered and whose bank still owes answers, oldest first."""
        return [batch for batch in self.late if batch.has_reached(Stage.DELIVERED)]

    def forget_answered(self) -> None:
        """A batch was delivered, or the bank has answered: it may owe nothing any more."""
        self.late = [batch for batch in self.late if batch.owes_answers]

    @property
    def to_deliver(self) -> Batch | None:
        """The batch that is fixed and not delivered."""
        under_way = self.under_way
        return None if under_way is None or under_way.has_reached(Stage.DELIVERED) else under_way

    def owing(self) -> list[type_of_rows]:
        """Backed trades that are no longer of today and still owe: fixed and not delivered."""
        fixed = self.to_deliver
        return [] if fixed is None else [without(fixed.trades, fixed.unbacked)]

    def unbacked(self) -> list[type_of_rows]:
        """Trades that owe and are not backed: waiting, returned, or fixed and not delivered."""
        return [*self.waiting, *self.coming()]

    def coming(self) -> list[type_of_rows]:
        """Those of them that wait for no case: in the batch under way, or in the next."""
        fixed = self.to_deliver
        return [*self.returned, *([] if fixed is None else [only(fixed.trades, fixed.unbacked)])]

    def deal_of(self, trade_id: int) -> Deal | None:
        """The deal that became a trade."""
        return next((deal for deal in self.deals.values() if deal.trade_id == trade_id), None)

    def deals_due(self, day: date) -> list[Deal]:
        """The deals that are to be delivered on or before a day, in the order in which they were agreed."""
        return [deal for deal in self.deals.values() if deal.state == DealState.AGREED and deal.due <= day]

    def wait(self, rows: type_of_rows) -> None:
        """Trades failed: they wait until no open case names them."""
        self.waiting.append(rows)

    def end_case(self, case: Case, state: CaseState, now_ns: int) -> None:
        """What waited for a case that is over, and for no other, comes again in the next batch."""
        case.state, case.ended_ns = state, now_ns
        self.let_come()

    def let_come(self) -> None:
        """What waits for no case comes again in the next batch."""
        blocked = {trade for other in self.defaults.open_cases() for trade in other.trades}
        for rows in self.waiting:
            free = without(rows, blocked)
            if free.size:
                self.returned.append(free)
        self.waiting = [rows for rows in (only(rows, blocked) for rows in self.waiting) if rows.size]

    def drop(self, trades: Collection[int]) -> None:
        """Trades that waited are closed out: they will never be settled."""
        self.waiting = [rows for rows in (without(rows, trades) for rows in self.waiting) if rows.size]

    def to_settle(self, case: Case) -> list[int]:
        """Trades of a case that wait, or come again in the batch under way or the next."""
        unbacked = {trade for rows in self.unbacked() for trade in rows["trade_id"].tolist()}
        return [trade for trade in case.trades if trade in unbacked]

    def restriction(self, account: int) -> str | None:
        """Why an account may not trade nor take anything away, if so: it failed, and that is not over."""
        cases = self.defaults.of(account)
        coming = {trade for rows in self.coming() for trade in rows["trade_id"].tolist()} if cases else set()
        for case in cases:
            if case.is_open:
                return f"failure case {case.number} is open"
            if coming & set(case.trades):
                return f"trades of failure case {case.number} are still to settle"
            if not self.defaults.is_repaid(case.number):
                return f"recourse for failure case {case.number} is not paid"
        return None

    def concerns(self, account: int) -> str | None:
        """What an account still has to do with here: a deal, a trade that is not settled, recourse."""
        for deal in self.deals.values():
            if deal.state == DealState.AGREED and account in (deal.seller, deal.buyer):
                return f"deal {deal.deal_id} is to be delivered"
        for rows in self.unbacked():
            for trade in rows[(rows["seller"] == account) | (rows["buyer"] == account)]["trade_id"].tolist():
                return f"trade {trade} is to be settled"
        return self.restriction(account)

    def close_objections(self, now_ns: int, opening_ns: int) -> None:
        """A day begins that was to open at `opening_ns`: what was stated before and nobody objected to is accepted."""
        for batch in reversed(self.batches):
            if batch.has_reached(Stage.FINAL):
                break
            if batch.reached[Stage.STATED] < opening_ns:
                batch.reached[Stage.FINAL] = now_ns

    def content(self) -> Iterator[tuple[object, ...]]:
        """All that matters, for the digest."""
        for batch in self.batches:
            yield "batch", batch.number, batch.day, batch.mode, batch.stage, batch.seal, sorted(batch.failed)
            yield "stated", batch.stated
            yield "unbacked", sorted(batch.unbacked), sorted(batch.stood_in.items())
            if batch.payments is not None:
                answers = sorted(batch.payments.answers.items())
                told = [file.checksum for file in (batch.payments.file, *batch.payments.more)]
                yield "payments", batch.number, told, answers, batch.is_late, sorted(batch.payments.brought.items())
            for account, answer in sorted(batch.answers.items()):
                yield "answer", account, answer.state, answer.objection, answer.ruling, answer.ruled_by
        yield "deals", [*self.deals.values()]
        yield "waiting", [seal_of(rows) for rows in self.waiting]
        yield "returned", [seal_of(rows) for rows in self.returned]
        yield "kept", sorted(self.kept)
        yield from self.defaults.content()
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
        owing = [batch.number for batch in self.batches if batch.owes_answers]
        assert [batch.number for batch in self.late] == owing, (
            "a batch owes answers and is not known to, or the reverse"
        )
        self.defaults.check()
        for claim in self.defaults.claims:
            waits = claim.repaid and self.to_settle(self.defaults.cases[claim.case - 1])
            assert not waits, f"what was paid for case {claim.case} is paid back, and stands for trades {waits}"
        self._check_failed()
        self.corrections.check()
        self.conversions.check()

    def _check_failed(self) -> None:
        """Assert that every trade that failed waits for a case, comes again, has come again, or was closed out."""
        waiting, returned = (
            [trade for rows in parts for trade in rows["trade_id"].tolist()] for parts in (self.waiting, self.returned)
        )
        closed = [one.trade for case in self.defaults.cases for one in case.closed_out]
        blocked = {trade for case in self.defaults.open_cases() for trade in case.trades}
        assert set(waiting) == blocked, "trades wait for no case, or a case for no trade"
        whereabouts = [*waiting, *returned, *closed]
        assert len(whereabouts) == len(set(whereabouts)), "a trade that failed is in two places"
        failed = {trade for batch in self.batches for trade in batch.failed}
        came_again = {trade for batch in self.batches for trade in batch.unbacked - batch.failed}
        assert failed - came_again == set(whereabouts), "a trade that failed is nowhere, or never failed"
        unbacked = {trade for rows in self.unbacked() for trade in rows["trade_id"].tolist()}
        assert {trade for trade, _ in self.kept} <= unbacked, "a leg is reserved for a trade that owes nothing"


def only(rows: type_of_rows, trades: Collection[int]) -> type_of_rows:
    """The rows of these trades."""
    found: type_of_rows = rows[np.isin(rows["trade_id"], sorted(trades))]
    return found


def without(rows: type_of_rows, trades: Collection[int]) -> type_of_rows:
    """The rows of all but these trades."""
    found: type_of_rows = rows[~np.isin(rows["trade_id"], sorted(trades))] if trades else rows
    return found


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
