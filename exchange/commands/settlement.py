"""What may be asked of the clearing house: the steps of a day's settlement, and what is said to its statements."""

from exchange.commands.base import ControlCommand


class FixObligations(ControlCommand, frozen=True):
    """After the close: what has been traded makes the next batch; its obligations no longer change."""


class DeliverBatch(ControlCommand, frozen=True):
    """Discharge the obligations of the batch under way, delivery versus payment."""


class IssueStatements(ControlCommand, frozen=True):
    """Tell every account what the batch under way has done to it (national settlement rules, art. 10)."""


class SettleDay(ControlCommand, frozen=True):
    """All steps of a day's settlement in one. Who gives it vouches for the bank: its lines count as accepted."""


class ConfirmStatement(ControlCommand, frozen=True):
    """An account agrees with its statement of a batch. Whoever got one may, whatever the status of its account."""

    account_id: str
    batch: int


class ObjectToStatement(ControlCommand, frozen=True):
    """An account does not agree with its statement of a batch: in writing, before the next opening (art. 11)."""

    account_id: str
    batch: int
    text: str


class AnswerObjection(ControlCommand, frozen=True):
    """Uphold or dismiss an objection. The batch stays as it is: corrections put right what was wrong."""

    by: str
    account_id: str
    batch: int
    upheld: bool
    answer: str


SettlementCommand = (
    FixObligations | DeliverBatch | IssueStatements | SettleDay | ConfirmStatement | ObjectToStatement | AnswerObjection
)
