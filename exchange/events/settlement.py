"""What can have happened at the clearing house."""

from datetime import date

from exchange.events.base import ControlEvent
from exchange.events.defaults import FailureNotified
from exchange.events.treasury import CurrencyLeg
from settlement.batch import BatchReport
from settlement.rules import Mode


class ObligationsFixed(ControlEvent, frozen=True):
    batch: int
    date: date
    mode: Mode
    trades: int
    due: dict[str, int]  # trade ids of the deals that became trades


class BatchDelivered(ControlEvent, frozen=True):
    batch: int
    report: BatchReport
    failures: list[FailureNotified]  # of accounts whose trades were taken out
    provision: int  # fen of the fees that went to the risk reserve
    currency_legs: list[CurrencyLeg]  # of proceeds in other currencies than their owners elected


class StatementsIssued(ControlEvent, frozen=True):
    batch: int
    accounts: int


class DaySettled(ControlEvent, frozen=True):
    batch: int
    date: date
    report: BatchReport
    accounts: int
    due: dict[str, int]
    failures: list[FailureNotified]
    provision: int
    currency_legs: list[CurrencyLeg]


class StatementConfirmed(ControlEvent, frozen=True):
    batch: int
    account: int


class StatementObjected(ControlEvent, frozen=True):
    batch: int
    account: int
    text: str


class ObjectionAnswered(ControlEvent, frozen=True):
    batch: int
    account: int
    by: int
    upheld: bool
    answer: str


SettlementEvent = (
    ObligationsFixed
    | BatchDelivered
    | StatementsIssued
    | DaySettled
    | StatementConfirmed
    | StatementObjected
    | ObjectionAnswered
)
