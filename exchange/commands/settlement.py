"""What may be asked of the clearing house: the steps of a day's settlement."""

from exchange.commands.base import ControlCommand


class FixObligations(ControlCommand, frozen=True):
    """After the close: what has been traded makes the next batch; its obligations no longer change."""


class DeliverBatch(ControlCommand, frozen=True):
    """Discharge the obligations of the batch under way, delivery versus payment."""


class IssueStatements(ControlCommand, frozen=True):
    """Tell every account what the batch under way has done to it (national settlement rules, art. 10)."""


class SettleDay(ControlCommand, frozen=True):
    """All steps of a day's settlement in one. Who gives it vouches for the bank: its lines count as accepted."""


SettlementCommand = FixObligations | DeliverBatch | IssueStatements | SettleDay
