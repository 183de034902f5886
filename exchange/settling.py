"""What the clearing house has to do next after a day's close, and when (:mod:`settlement.cycle`).

| the day's batch                | next                                              | at                   |
|--------------------------------|---------------------------------------------------|----------------------|
| is still to come               | FixObligations                                    | settle_at            |
| fixed                          | InstructBank; without a bank DeliverBatch         | settle_at            |
| instructed, answers missing    | NoteLateBank                                      | confirm_by           |
| instructed, noted as late      | nothing: it waits for the bank or for an operator |                      |
| confirmed, more is asked       | InstructBank, for what is asked besides           | settle_at            |
| confirmed                      | DeliverBatch                                      | settle_at            |
| delivered                      | IssueStatements                                   | settle_at            |

It follows from the state alone, so settlement goes on after a restart between any two steps. A late batch is not
delivered without the bank by itself: what the bank has not answered would count as not paid.
"""

from exchange.commands import (
    ConfirmPayments,
    Control,
    DeliverBatch,
    FixObligations,
    InstructBank,
    IssueStatements,
    NoteLateBank,
)
from exchange.sessions import Step, moment_ns
from exchange.state import Exchange
from exchange.transition.failing import besides
from registry.accounts import Account, Right
from settlement.bank import MINUTE_NS, bank_by, minutes_to_be_late
from settlement.cycle import Batch, Stage
from settlement.rules import Policy


def next_of_settlement(exchange: Exchange) -> Step | None:
    """The next step of the settlement of a day that is closed and not settled; None: somebody else has to act."""
    assert exchange.date is not None, "no day has been opened yet"
    rules = exchange.market
    settle_ns = moment_ns(rules, exchange.date, rules.settle_at)
    batch, confirm_by = exchange.clearing.under_way, rules.settlement.confirm_by
    if batch is None:
        return Step(settle_ns, FixObligations())
    command: Control
    match batch.stage:
        case Stage.FIXED:
            command = InstructBank() if rules.settlement.bank else DeliverBatch()
        case Stage.INSTRUCTED:
            if batch.is_late or confirm_by is None:
                return None
            return Step(moment_ns(rules, batch.day, confirm_by), NoteLateBank())
        case Stage.CONFIRMED:
            command = InstructBank() if besides(exchange, batch) else DeliverBatch()
        case _:
            command = IssueStatements()
    return Step(settle_ns, command)


def waiting_for_bank(exchange: Exchange) -> Batch | None:
    """The batch that waits for answers of the settlement bank."""
    batch = exchange.clearing.under_way
    return batch if batch is not None and batch.stage == Stage.INSTRUCTED else None


def bank_account(exchange: Exchange) -> Account | None:
    """The first account that may confirm payments."""
    return next((account for account in exchange.accounts if account.may(Right.PAY)), None)


def next_of_bank(exchange: Exchange, policy: Policy) -> Step | None:
    """What a simulated bank says next to the batch that waits for it, and when; None if it has nothing to say.

    Of those that were delivered without some answers it answers the first; then these may cure who failed.
    """
    bank, delivered = bank_account(exchange), exchange.clearing.delivered_late()
    batch = waiting_for_bank(exchange) or (delivered[0] if delivered else None)
    if batch is None or bank is None or batch.payments is None:
        return None
    rules, instructed_ns = exchange.market, batch.reached[Stage.INSTRUCTED]
    confirm_by = rules.settlement.confirm_by
    confirm_by_ns = None if confirm_by is None else moment_ns(rules, batch.day, confirm_by)
    simulated = bank_by(policy, batch.payments.file, minutes_to_be_late(instructed_ns, confirm_by_ns))
    minutes = simulated.minutes_until(batch.payments.open_lines)
    if minutes is None:
        return None
    said = simulated.answer(batch.payments.last, minutes, batch.payments.answers)
    assert said is not None, "a bank that has something to say says it"
    command = ConfirmPayments(bank.account_id, said.batch, said.answers_to, said.lines, said.more_follows)
    return Step(instructed_ns + minutes * MINUTE_NS, command)
