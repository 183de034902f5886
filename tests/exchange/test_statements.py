"""What is said to statements: confirmed, objected to, accepted by silence; answered, and never changed."""

from functools import cache
from itertools import combinations
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from exchange.commands import (
    AnswerObjection,
    ChangeAccountStatus,
    ConfirmStatement,
    CureFailure,
    DepositCash,
    FixObligations,
    ListInstrument,
    ObjectToStatement,
    OpenAccount,
    TransferUnits,
)
from exchange.events import ObjectionAnswered, StatementConfirmed, StatementObjected
from exchange.instruments import fen
from exchange.reasons import Reason
from registry.accounts import AccountStatus, ParticipantClass
from registry.units import Species
from settlement.answers import StatementState
from settlement.statements import CASH, Statement, as_one
from settlement.totals import totals, totals_of
from tests.exchange.cycle import authority, replayed
from tests.exchange.defaults import DUE, Failing
from tests.exchange.market import DAY, HBEA, SECOND, Market, cash, nothing, units
from tests.exchange.test_engine import reopened

R = Reason
HOUSE = "EXCHANGE"
CONFIRM, OBJECT = ConfirmStatement("alice", 1), ObjectToStatement("alice", 1, "I bought 10 t, not 100 t")
ANSWER = AnswerObjection(HOUSE, "alice", 1, True, "so it is: the trade will be busted")


def traded() -> Market:
    """Alice bought 100 t from bob; carol has nothing."""
    market = Market(alice=cash("10000.00"), bob=units(100), carol=nothing, province=authority)
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00")
    return market


def stated() -> Market:
    market = traded()
    market.play("close\nsettle")
    return market


def objected() -> Market:
    market = stated()
    market.must(OBJECT)
    return market


def next_morning(market: Market) -> Market:
    market.play("open 2026-01-06")
    return market


def state(market: Market, name: str, batch: int = 1) -> StatementState:
    return market.exchange.clearing.batches[batch - 1].state_of(market.number(name))


# ---------------------------------------------------------------- the life of a statement


def test_a_statement_is_confirmed_once():
    market = stated()
    assert state(market, "alice") == StatementState.ISSUED

    assert market.do(CONFIRM) == "StatementConfirmed"
    assert market.event == StatementConfirmed(1, market.number("alice"))
    assert state(market, "alice") == StatementState.CONFIRMED
    assert state(market, "bob") == StatementState.ISSUED


def test_silence_until_the_next_opening_is_acceptance():
    market = stated()
    market.must(CONFIRM)
    next_morning(market)

    assert state(market, "bob") == StatementState.ACCEPTED
    assert state(market, "alice") == StatementState.CONFIRMED


def test_statements_that_come_days_late_are_open_until_the_first_opening_after_them():
    """Monday's come on Wednesday at 09:30; Tuesday and Wednesday should have opened by then, and open all the same."""
    market = traded()
    market.play("close")
    market.now_ns += 2 * 86_400 * SECOND
    market.play("settle")
    for day in ("2026-01-06", "2026-01-07"):
        market.play(f"open {day}")
        assert state(market, "bob") == StatementState.ISSUED
        market.play("close\nsettle")

    market.must(OBJECT)
    market.play("open 2026-01-08")
    assert (state(market, "alice"), state(market, "bob")) == (StatementState.OBJECTED, StatementState.ACCEPTED)
    assert market.do(ConfirmStatement("bob", 1)) == "refused: too_late"
    assert replayed(market).digest() == market.digest()


@pytest.mark.parametrize(("upheld", "then"), [(True, StatementState.UPHELD), (False, StatementState.DISMISSED)])
@pytest.mark.parametrize("when", [lambda market: market, next_morning], ids=["in the evening", "after the window"])
def test_an_objection_stands_until_it_is_answered(upheld, then, when):
    market = stated()
    market.must(OBJECT)
    assert market.event == StatementObjected(1, market.number("alice"), OBJECT.text)
    when(market)
    assert state(market, "alice") == StatementState.OBJECTED

    market.must(msgspec.structs.replace(ANSWER, upheld=upheld))
    house, alice = market.number(HOUSE), market.number("alice")
    assert market.event == ObjectionAnswered(1, alice, house, upheld, ANSWER.answer)
    assert state(market, "alice") == then
    answer = market.exchange.clearing.batches[0].answers[alice]
    assert (answer.objection, answer.ruling, answer.ruled_by) == (OBJECT.text, ANSWER.answer, house)


def test_the_batch_itself_stays_as_it_is():
    market = stated()
    batch = market.exchange.clearing.batches[0]
    before = batch.seal, batch.report, market.statements(), market.holding("alice", HBEA)
    market.must(OBJECT)
    market.must(ANSWER)

    assert (batch.seal, batch.report, market.statements(), market.holding("alice", HBEA)) == before


@pytest.mark.parametrize("status", [AccountStatus.RESTRICTED, AccountStatus.FROZEN])
def test_whoever_got_a_statement_may_object_whatever_its_status(status):
    market = stated()
    market.must(ChangeAccountStatus("province", "alice", status, "papers"))

    market.must(OBJECT)


def test_the_exchange_gets_a_statement_too_and_the_registry_answers_for_it():
    market = stated()
    market.must(ObjectToStatement(HOUSE, 1, "a fee is missing"))
    own = AnswerObjection(HOUSE, HOUSE, 1, True, "so it is")

    assert market.do(own) == "refused: not_permitted"
    market.must(msgspec.structs.replace(own, by="province"))


def test_answers_are_part_of_the_digest_and_of_the_journal():
    market = stated()
    digests = {market.digest()}
    for command in (OBJECT, ANSWER, ConfirmStatement("bob", 1)):
        market.must(command)
        digests.add(market.digest())
        assert replayed(market).digest() == reopened(market.engine.journal).exchange.digest() == market.digest()
    assert len(digests) == 4


# ---------------------------------------------------------------- who gets one


def test_who_holds_nothing_and_did_nothing_gets_no_statement():
    market = stated()
    house = market.exchange.clearing
    market.join("dora", nothing)  # after the line was drawn

    for name in ("carol", "dora"):
        assert house.stated(market.number(name)) == []
        assert market.do(ConfirmStatement(name, 1)) == "refused: unknown_statement"
    assert [batch.number for batch in house.stated(market.number("alice"))] == [1]


def test_what_is_listed_and_opened_later_leaves_a_statement_as_it_was():
    market = stated()
    before = market.statements()
    for number in range(10):
        market.must(ListInstrument(f"HBEA-{2026 + number}", Species.ALLOWANCE, 2026 + number, 4200))
        market.join(f"late{number}", cash("1.00"))

    assert market.statements() == before


def test_who_brought_and_took_its_money_on_one_day_gets_a_statement():
    market = stated()
    next_morning(market)
    market.must(DepositCash("carol", 500))
    market.withdraw("carol", "5.00")
    market.play("start\nclose\nsettle")

    [found] = [one for one in market.statements() if one.account == market.number("carol")]
    assert (found.opening, [entry.amount for entry in found.entries], found.closing) == ({}, [500, -500], {})
    market.must(ConfirmStatement("carol", 2))


def test_a_day_of_two_batches_has_one_statement_and_two_answers():
    """What bob agreed to deliver failed in the first batch, is cured, and settles with the second."""
    market = Failing(alice=cash("10000.00"), bob=units(100))
    market.agree("F-1", "bob", "alice", 70, "42.00")
    market.must(TransferUnits("bob", HBEA, 70, to_trading=False))
    market.evening()
    market.play(f"open {DUE}\nstart\nbob sells 30 @ 42.00\nalice buys 30 @ 42.00")
    market.evening()
    market.must(TransferUnits("bob", HBEA, 70, to_trading=True))
    market.must(CureFailure("bob", 1))
    market.batch()

    house, alice, terms = market.exchange.clearing, market.number("alice"), market.exchange.terms
    parts = [one.line.statement(alice, terms) for one in house.batches[1:]]
    whole = as_one(parts)
    whole.check()
    assert (whole.batch, whole.opening, whole.closing[market.asset(HBEA)]) == (3, {CASH: fen("10000.00")}, 100)
    assert [entry.reference for entry in whole.entries if entry.cause == "purchase"] == [1, 1, 2, 2]
    market.must(ConfirmStatement("alice", 3))
    market.must(ObjectToStatement("alice", 2, "late"))
    assert (state(market, "alice", 2), state(market, "alice", 3)) == ("objected", "confirmed")


# ---------------------------------------------------------------- all of a batch


def test_all_statements_of_a_batch_are_its_report():
    market = stated()
    batch, terms, hbea = market.exchange.clearing.batches[0], market.exchange.terms, market.asset(HBEA)
    assert batch.line is not None and batch.report is not None
    found = {(one.cause, one.asset): one for one in totals(batch.line, terms)}

    assert [*found.values()] == totals_of(market.statements())
    assert found["purchase", hbea].credited == found["sale", hbea].debited == batch.report.units[hbea].gross == 100
    assert found["fee", CASH].debited == found["fee_income", CASH].credited == batch.report.fees[CASH] == 42_00
    assert found["purchase", CASH].debited + 21_00 == batch.report.cash[CASH].gross == 4221_00
    assert (found["purchase", hbea].entries, batch.report.trades) == (1, 1)


@pytest.mark.parametrize("mode", ["gross_gross", "gross_net", "net_net"])
def test_so_they_are_in_every_mode(mode):
    rules = traded().rules
    rules = msgspec.structs.replace(rules, settlement=msgspec.structs.replace(rules.settlement, mode=mode, bank=False))
    market = Market(rules, alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose\nsettle")  # every invariant is asked

    batch = market.exchange.clearing.batches[0]
    assert batch.line is not None and batch.mode == mode
    assert totals(batch.line, market.exchange.terms) == totals_of(market.statements())


def test_an_accounts_trades_are_found_among_those_of_others():
    market = stated()
    line = market.exchange.clearing.batches[0].line
    assert line is not None
    others = np.repeat(line.trades, 1000)
    others["buyer"] = others["seller"] = market.number("carol")
    many = msgspec.structs.replace(line, trades=np.concatenate([others, line.trades]))

    alice = many.statement(market.number("alice"), market.exchange.terms)
    assert isinstance(alice, Statement)
    assert alice == line.statement(market.number("alice"), market.exchange.terms)


# ---------------------------------------------------------------- refusals


def confirmed() -> Market:
    market = stated()
    market.must(CONFIRM)
    return market


def fixed() -> Market:
    market = traded()
    market.play("close")
    market.must(FixObligations())
    return market


def over() -> Market:
    return next_morning(stated())


def answered() -> Market:
    market = objected()
    market.must(ANSWER)
    return market


def waiting() -> Market:
    market = objected()
    market.must(OpenAccount("vera", "", ParticipantClass.VERIFIER))
    return market


NOBODY = (R.UNKNOWN_ACCOUNT, {"account_id": "zoe"})
NO_BATCH = [(R.UNKNOWN_BATCH, {"batch": number}) for number in (0, -1, 2, 2**62)]
NOT_ITS = (R.UNKNOWN_STATEMENT, {"account_id": "carol"})
IN_TIME = [
    *((R.WRONG_STATE, {"at": scene}) for scene in (confirmed, objected, answered)),
    (R.TOO_EARLY, {"at": fixed}),
    (R.TOO_LATE, {"at": over}),
]
NO_WORDS = [(R.EMPTY_TEXT, text) for text in ("", "   ", "\n\t")]

CASES = [
    SimpleNamespace(good=CONFIRM, at=stated, faults=[NOBODY, *NO_BATCH, NOT_ITS, *IN_TIME]),
    SimpleNamespace(
        good=OBJECT,
        at=stated,
        faults=[NOBODY, *NO_BATCH, NOT_ITS, *IN_TIME, *((reason, {"text": text}) for reason, text in NO_WORDS)],
    ),
    SimpleNamespace(
        good=ANSWER,
        at=waiting,
        faults=[
            (R.UNKNOWN_ACCOUNT, {"by": "zoe"}),
            NOBODY,
            *((R.NOT_PERMITTED, {"by": name}) for name in ("bob", "alice", "vera")),
            *NO_BATCH,
            NOT_ITS,
            *((R.WRONG_STATE, {"at": scene}) for scene in (stated, confirmed, answered, over)),
            (R.WRONG_STATE, {"account_id": "bob"}),
            (R.TOO_EARLY, {"at": fixed}),
            *((reason, {"answer": text}) for reason, text in NO_WORDS),
        ],
    ),
]
NEVER_TOGETHER = {  # in another scene there is no verifier, and nobody has a statement yet
    frozenset({"by", "at"}), frozenset({"account_id", "at"}),
}  # fmt: skip


@cache
def scene(made) -> Market:
    return made()


def spoilt(case, fault):
    """What is said to a command with a fault, which changes nothing."""
    changes = dict(fault)
    market = scene(changes.pop("at", case.at))
    before = market.digest()
    said = market.do(msgspec.structs.replace(case.good, **changes))
    assert market.digest() == before
    return said


def named(case):
    return type(case.good).__name__


ALONE = [
    pytest.param(case, reason, fault, id=f"{named(case)}: {reason.code} {number}")
    for case in CASES
    for number, (reason, fault) in enumerate(case.faults)
]


@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_command_without_a_fault_is_taken(case):
    assert "refused" not in case.at().do(case.good)


@pytest.mark.parametrize(("case", "reason", "fault"), ALONE)
def test_each_fault_by_itself_is_named_and_changes_nothing(case, reason, fault):
    assert spoilt(case, fault) == f"refused: {reason.code}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_of_two_faults_the_more_fundamental_is_named(case):
    for (one, first), (other, second) in combinations(case.faults, 2):
        keys = frozenset({*first, *second})
        if not first.keys() & second.keys() and keys not in NEVER_TOGETHER:
            assert spoilt(case, first | second) == f"refused: {min(one, other).code}", f"{first}, {second}"


def test_a_batch_is_answered_on_the_day_of_its_number_only():
    market = over()
    market.play("start\nclose\nsettle")

    assert market.do(CONFIRM) == "refused: too_late"
    market.must(ConfirmStatement("alice", 2))
    assert [str(batch.day) for batch in market.exchange.clearing.batches] == [DAY, "2026-01-06"]
