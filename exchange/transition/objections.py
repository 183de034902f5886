"""What accounts say to their statements before the next opening, and what they are told (:mod:`settlement.answers`)."""

from exchange import events as happened
from exchange.commands import AnswerObjection, ConfirmStatement, ObjectToStatement
from exchange.reasons import Reason, Refused
from exchange.state import Exchange
from exchange.transition.step import Step, account_named, require, require_right
from registry.accounts import Account, Right
from settlement.answers import Answer, StatementState
from settlement.cycle import Batch, Stage


def confirm_statement(step: Step, command: ConfirmStatement) -> happened.StatementConfirmed:
    account = account_named(step.exchange, command.account_id)
    batch = _stated(step.exchange, account, command.batch)
    _require_open(batch, account)

    batch.answers[account.number] = Answer.confirmed(step.now_ns)
    return happened.StatementConfirmed(batch.number, account.number)


def object_to_statement(step: Step, command: ObjectToStatement) -> happened.StatementObjected:
    account = account_named(step.exchange, command.account_id)
    batch = _stated(step.exchange, account, command.batch)
    _require_open(batch, account)
    require(bool(command.text.strip()), Reason.EMPTY_TEXT, "an objection says what is wrong")

    batch.answers[account.number] = Answer.objected(step.now_ns, command.text)
    return happened.StatementObjected(batch.number, account.number, command.text)


def answer_objection(step: Step, command: AnswerObjection) -> happened.ObjectionAnswered:
    exchange = step.exchange
    by, account = account_named(exchange, command.by), account_named(exchange, command.account_id)
    require_right(by, Right.CLEAR)
    own = by.group == account.group
    require(not own, Reason.NOT_PERMITTED, f"{by.account_id} does not answer an objection of its own")
    batch = _stated(exchange, account, command.batch)
    state = batch.state_of(account.number)
    is_objection = state == StatementState.OBJECTED
    require(is_objection, Reason.WRONG_STATE, f"{account.account_id}'s statement of batch {batch.number} is {state}")
    require(bool(command.answer.strip()), Reason.EMPTY_TEXT, "whoever objected is told why")

    objection = batch.answers[account.number]
    batch.answers[account.number] = objection.ruled(command.upheld, by.number, command.answer, step.now_ns)
    return happened.ObjectionAnswered(batch.number, account.number, by.number, command.upheld, command.answer)


def _stated(exchange: Exchange, account: Account, number: int) -> Batch:
    """A batch of which an account has got a statement. Refused otherwise."""
    batch = exchange.clearing.batch(number)
    if batch is None:
        raise Refused(Reason.UNKNOWN_BATCH, f"there is no batch {number}")
    if batch.line is None:
        raise Refused(Reason.TOO_EARLY, f"batch {number} is {batch.stage}: its statements are still to come")
    concerned = batch.line.concerns(account.number)
    require(concerned, Reason.UNKNOWN_STATEMENT, f"batch {number} has no statement for {account.account_id}")
    return batch


def _require_open(batch: Batch, account: Account) -> None:
    """Refused unless the account may still say something: once, before the next opening."""
    answer = batch.answers.get(account.number)
    require(answer is None, Reason.WRONG_STATE, f"the statement is {answer and answer.state}")
    is_open = not batch.has_reached(Stage.FINAL)
    require(is_open, Reason.TOO_LATE, f"batch {batch.number} is final: silence was acceptance")
