"""Bad input to settlement: every step of the day at every stage, a bank's file with each of its lines spoilt in turn.

What else each room refuses stands in its own table: money in :mod:`tests.exchange.test_money`, statements in
:mod:`tests.exchange.test_statements`, corrections in :mod:`tests.exchange.test_corrections`. Here it is made sure that
between them no reason is left out that the code of these rooms can give.
"""

import ast
import inspect
from functools import cache

import msgspec
import pytest

from exchange import payments
from exchange.commands import (
    ConfirmPayments,
    DeliverBatch,
    FixObligations,
    InstructBank,
    IssueStatements,
    NoteLateBank,
    OpenDay,
    SettleDay,
)
from exchange.instruments import fen
from exchange.reasons import Reason
from exchange.transition import corrections, money, objections, settlement
from settlement.bank import SimulatedBank
from settlement.bank_files import AnswerFile, BankBalance, Direction, Fault, Reply
from tests.exchange import test_corrections, test_money, test_statements
from tests.exchange.market import CNY
from tests.exchange.test_money import (
    BANK,
    DAY,
    NEXT_DAY,
    a_market,
    answer,
    confirmation,
    confirmed_market,
    file_of,
    fixed,
    instructed,
    late,
    settled,
    traded,
)

R = Reason

# ---------------------------------------------------------------- every step at every stage


def founded():
    """No day has been opened yet."""
    return a_market(until="listed")


def on_a_break():
    market = a_market()
    market.play("break")
    return market


def half_answered():
    market = instructed()
    answer(market, SimulatedBank(late={"alice": None}))
    return market


def unpaid():
    """The bank has rejected what alice pays in."""
    market = instructed()
    answer(market, SimulatedBank(reject=frozenset({"alice"})))
    return market


def delivered():
    market = confirmed_market()
    market.must(DeliverBatch())
    return market


def next_morning():
    market = settled()
    market.must(OpenDay(NEXT_DAY))
    return market


COMMANDS = {
    "fix": FixObligations(),
    "instruct": InstructBank(),
    "late": NoteLateBank(),
    "deliver": DeliverBatch(),
    "state": IssueStatements(),
    "settle": SettleDay(),
    "open": OpenDay(NEXT_DAY),
}
NO_BATCH = {"instruct": R.WRONG_STATE, "late": R.WRONG_STATE, "deliver": R.WRONG_STATE, "state": R.WRONG_STATE}
TRADING = NO_BATCH | {"fix": R.WRONG_PHASE, "settle": R.WRONG_PHASE, "open": R.WRONG_PHASE}
UNDER_WAY = NO_BATCH | {"fix": R.WRONG_STATE, "settle": R.WRONG_STATE, "open": R.DAY_NOT_SETTLED}
TAKEN = None
STAGES = {
    founded: NO_BATCH | {"fix": R.TOO_EARLY, "settle": R.TOO_EARLY, "open": TAKEN},
    a_market: TRADING,
    on_a_break: TRADING,
    traded: NO_BATCH | {"fix": TAKEN, "settle": TAKEN, "open": R.DAY_NOT_SETTLED},
    fixed: UNDER_WAY | {"instruct": TAKEN},
    instructed: UNDER_WAY | {"late": R.TOO_EARLY},
    half_answered: UNDER_WAY | {"late": R.TOO_EARLY},
    late: UNDER_WAY | {"deliver": TAKEN},  # without what has not been paid
    unpaid: UNDER_WAY | {"deliver": TAKEN},
    confirmed_market: UNDER_WAY | {"deliver": TAKEN},
    delivered: UNDER_WAY | {"state": TAKEN},
    settled: NO_BATCH | {"fix": R.DAY_ALREADY_SETTLED, "settle": R.DAY_ALREADY_SETTLED, "open": TAKEN},
    next_morning: TRADING,
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_a_step_is_taken_at_its_stage_and_refused_at_all_others(stage, name):
    market, reason = stage(), STAGES[stage][name]
    digest = market.digest()
    said = market.do(COMMANDS[name])

    assert said == f"refused: {reason.code}" if reason else "refused" not in said
    assert (market.digest() == digest) == (reason is not None)


# ---------------------------------------------------------------- a bank's file, line by line


@cache
def asked():
    """A market whose bank has three lines to answer."""
    return instructed()


def answers():
    return SimulatedBank().answer(file_of(asked()))


ALTERED = {
    "account_id": lambda line: "carol",
    "currency": lambda line: "EUR",
    "direction": lambda line: {Direction.DEBIT: Direction.CREDIT, Direction.CREDIT: Direction.DEBIT}[line.direction],
    "fen": lambda line: line.fen + 1,
}
SPOILT = {
    "missing": (R.LINE_MISSING, lambda lines, at: [*lines[:at], *lines[at + 1 :]]),
    "doubled": (R.LINE_DOUBLED, lambda lines, at: [*lines, lines[at]]),
    "of another batch": (R.LINE_UNKNOWN, lambda lines, at: with_line(lines, at, line=lines[at].line + len(lines))),
    "numbered zero": (R.LINE_UNKNOWN, lambda lines, at: with_line(lines, at, line=0)),
    "negative": (R.NEGATIVE_AMOUNT, lambda lines, at: with_line(lines, at, fen=-lines[at].fen)),
    "paid in part in full": (
        R.PARTIAL_OUT_OF_RANGE,
        lambda lines, at: with_line(lines, at, reply=Reply.PARTIAL, paid=lines[at].fen),
    ),
    "accepted in part": (R.PARTIAL_OUT_OF_RANGE, lambda lines, at: with_line(lines, at, paid=1)),
    **{
        f"altered in {name}": (
            R.LINE_ALTERED,
            lambda lines, at, name=name, value=value: with_line(lines, at, **{name: value(lines[at])}),
        )
        for name, value in ALTERED.items()
    },
}


def with_line(lines, at, **changes):
    return [msgspec.structs.replace(line, **changes) if place == at else line for place, line in enumerate(lines)]


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("at", range(3))
def test_a_file_with_a_line_spoilt_is_not_taken_at_all(how, at):
    market, (reason, spoil) = asked(), SPOILT[how]
    whole = confirmation(answers())
    digest = market.digest()

    said = market.do(msgspec.structs.replace(whole, lines=tuple(spoil(list(whole.lines), at))))
    assert said == f"refused: {reason.code}"
    assert market.digest() == digest


@pytest.mark.parametrize("at", range(3))
def test_a_line_that_was_answered_is_not_answered_again(at):
    market, whole = instructed(), confirmation(answers())
    one = msgspec.structs.replace(whole, lines=(whole.lines[at],), more_follows=True)
    market.must(one)
    digest = market.digest()

    assert market.do(one) == "refused: line_answered"
    assert market.do(whole) == "refused: line_answered"
    assert market.digest() == digest
    market.must(msgspec.structs.replace(whole, lines=(*whole.lines[:at], *whole.lines[at + 1 :])))


def test_an_answer_for_another_batch_or_another_file_is_not_taken():
    market, said = asked(), answers()
    digest = market.digest()
    for spoilt, reason in (
        (AnswerFile(2, said.answers_to, said.lines), R.WRONG_BATCH),
        (AnswerFile(-1, said.answers_to, said.lines), R.WRONG_BATCH),
        (AnswerFile(1, said.answers_to[::-1], said.lines), R.WRONG_CHECKSUM),
    ):
        assert market.do(confirmation(spoilt)) == f"refused: {reason.code}"
    assert market.digest() == digest


# ---------------------------------------------------------------- the bank's balances, line by line

BOOKS = {"alice": "5779.00", "bob": "4179.00", "carol": "500.00", "EXCHANGE": "42.00"}


def test_each_line_of_the_balances_that_is_missing_doubled_or_altered_is_a_break_and_blocks_its_account():
    market = settled(test_money.BLOCKING)
    whole = [BankBalance(name, CNY, fen(amount)) for name, amount in BOOKS.items()]
    for at, line in enumerate(whole):
        for finding, lines in {
            "missing": [*whole[:at], *whole[at + 1 :]],
            "doubled": [*whole, line],
            "differs": with_line(whole, at, fen=line.fen + 1),
        }.items():
            market.must(test_money.ReconcileBank(BANK, DAY, tuple(lines)))
            assert [(one.finding, one.account_id) for one in market.event.breaks] == [(finding, line.account_id)]
            assert market.event.blocked == [market.number(line.account_id)]
    market.must(test_money.ReconcileBank(BANK, DAY, tuple(whole)))
    assert (market.event.breaks, market.exchange.clearing.in_break) == ([], {})


# ---------------------------------------------------------------- no reason is left out


def reasons_in(module):
    """The reasons that the code of a module names."""
    return {
        Reason[node.attr]
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason"
    }


OF_STEPS = {reason for stage in STAGES.values() for reason in stage.values() if reason}
OF_STATEMENTS = {reason for case in test_statements.CASES for reason, _ in case.faults}
OF_CORRECTIONS = {Reason[row[0].upper()] for row in test_corrections.REFUSED}


@pytest.mark.parametrize(
    ("modules", "shown"),
    [
        pytest.param([settlement], OF_STEPS, id="steps"),
        pytest.param([objections], OF_STATEMENTS, id="statements"),
        pytest.param([money, payments], test_money.SHOWN, id="money"),
        pytest.param([corrections], OF_CORRECTIONS, id="corrections"),
    ],
)
def test_every_reason_that_a_room_can_give_is_in_its_table(modules, shown):
    assert set().union(*map(reasons_in, modules)) - {R.NONE} <= shown


def test_every_fault_of_a_file_is_a_reason_that_is_shown():
    faults = {Reason[fault.name] for fault in Fault if fault is not Fault.MALFORMED_FILE}
    shown = {reason for reason, _ in SPOILT.values()} | {R.WRONG_BATCH, R.WRONG_CHECKSUM, R.LINE_ANSWERED}
    assert shown == faults


def test_an_answer_is_never_taken_out_of_its_turn():
    said = confirmation(answers())
    assert isinstance(said, ConfirmPayments)
    for stage in STAGES:
        if stage not in (instructed, half_answered, late):
            market = stage()
            digest = market.digest()
            refusal = market.do(said)
            assert refusal in ("refused: wrong_state", "refused: line_answered"), stage.__name__
            assert market.digest() == digest
