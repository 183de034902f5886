"""What can have happened at the clearing house."""

from datetime import date

from exchange.events.base import ControlEvent
from settlement.batch import BatchReport
from settlement.netting import Mode


class ObligationsFixed(ControlEvent, frozen=True):
    batch: int
    date: date
    mode: Mode
    trades: int


class BatchDelivered(ControlEvent, frozen=True):
    batch: int
    report: BatchReport


class StatementsIssued(ControlEvent, frozen=True):
    batch: int
    accounts: int


class DaySettled(ControlEvent, frozen=True):
    batch: int
    date: date
    report: BatchReport
    accounts: int


SettlementEvent = ObligationsFixed | BatchDelivered | StatementsIssued | DaySettled
