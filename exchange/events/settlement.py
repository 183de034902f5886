"""What can have happened at the clearing house."""

from datetime import date

from exchange.events.base import ControlEvent
from exchange.events.defaults import FailureNotified
from settlement.batch import SettlementReport


class ObligationsFixed(ControlEvent, frozen=True):
    batch: int
    date: date
    mode: str
    trades: int
    due: dict[str, int]  # trade ids of the deals that became trades


class BatchDelivered(ControlEvent, frozen=True):
    batch: int
    report: SettlementReport
    failures: list[FailureNotified]  # of accounts whose trades were taken out
    provision: int  # fen of the fees that went to the risk reserve


class StatementsIssued(ControlEvent, frozen=True):
    batch: int
    accounts: int


class DaySettled(ControlEvent, frozen=True):
    batch: int
    report: SettlementReport
    accounts: int
    due: dict[str, int]
    failures: list[FailureNotified]
    provision: int


SettlementEvent = ObligationsFixed | BatchDelivered | StatementsIssued | DaySettled
