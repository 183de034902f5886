"""An evening at the settlement bank, and who may withdraw what.

bob has sold alice 100 t at 42.00, each pays 21.00 of fees: alice pays in 4,221.00, bob is paid 4,179.00, the house
42.00. carol has nothing to do with it.
"""

from datetime import date
from itertools import combinations, pairwise
from typing import NamedTuple, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import events as happened
from exchange.commands import (
    BlockWithdrawals,
    ChangeAccountStatus,
    Command,
    ConfirmPayments,
    DeliverBatch,
    DepositCash,
    FixObligations,
    InstructBank,
    IssueStatements,
    ListInstrument,
    MoneyCommand,
    NoteLateBank,
    OpenAccount,
    OpenDay,
    ReconcileBank,
    RegisterCurrency,
    SettleDay,
    UnblockWithdrawals,
    WithdrawCash,
)
from exchange.engine import Engine
from exchange.instruments import fen
from exchange.journal import Batch, MemoryJournal
from exchange.payments import closing_balances, confirmed, withdrawal_block
from exchange.reasons import Reason as R
from exchange.rules import load_rule_set
from exchange.sessions import moment_ns
from exchange.state import CASH_MAX
from exchange.transition.market import HOUSE
from registry.accounts import AccountStatus, ParticipantClass
from registry.units import Species
from settlement.bank import Break, Finding, SimulatedBank
from settlement.bank_files import AnswerFile, BankBalance, Direction, Fault, Reply
from settlement.cycle import Stage
from settlement.rules import Mode
from tests.exchange.cycle import replayed
from tests.exchange.market import CNY, HBEA, Market, Stake, cash, units

HUBEI = load_rule_set("hubei")
DAY, NEXT_DAY = date(2026, 1, 5), date(2026, 1, 6)
BANK = "bank"
clearing_bank = Stake(participant_class=ParticipantClass.CLEARING_BANK)


def rules(**settlement):
    """Hubei's rules with a bank, but for the changes."""
    return msgspec.structs.replace(HUBEI, settlement=msgspec.structs.replace(HUBEI.settlement, **settlement))


BLOCKING = rules(block_on_break=True)


PEOPLE = {"alice": cash("10000.00"), "bob": units(100), "carol": cash("500.00"), BANK: clearing_bank}


def a_market(found=HUBEI, **others):
    return Market(found, **PEOPLE, **others)


def traded(found=HUBEI):
    """The day is closed after its one trade."""
    market = a_market(found)
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose")
    return market


def fixed(found=HUBEI):
    market = traded(found)
    market.must(FixObligations())
    return market


def instructed(found=HUBEI):
    market = fixed(found)
    market.must(InstructBank())
    return market


def batch_of(market):
    return market.exchange.clearing.batches[-1]


def file_of(market):
    return batch_of(market).payments.file


def confirmation(said: AnswerFile, by=BANK):
    return ConfirmPayments(by, said.batch, said.answers_to, said.lines, said.more_follows)


def answer(market, bank=SimulatedBank(), minutes=0):  # noqa: B008, a policy does not change
    """Let the bank say what it says by now; what happened."""
    said = bank.answer(batch_of(market).payments.last, minutes, batch_of(market).payments.answers)
    return market.do(confirmation(said))


def confirmed_market(found=HUBEI):
    market = instructed(found)
    assert answer(market) == "PaymentsConfirmed"
    return market


def at(market, local, day=DAY):
    """The next command comes at a local time of a day."""
    market.now_ns = moment_ns(market.rules, day, local) - 1_000_000_000


def late(found=HUBEI, bank=SimulatedBank(delay_minutes=None)):  # noqa: B008, a policy does not change
    """The bank has said no more than its policy lets it; five o'clock is over."""
    market = instructed(found)
    if bank.answer(batch_of(market).payments.last):
        answer(market, bank)
    at(market, "17:00")
    market.must(NoteLateBank())
    return market


def deliver_and_state(market):
    market.must(DeliverBatch())
    market.must(IssueStatements())


def settled(found=HUBEI):
    market = confirmed_market(found)
    deliver_and_state(market)
    return market


def refused(market, command, reason):
    """The command is refused for a reason and changes nothing."""
    digest = market.digest()
    assert market.do(command) == f"refused: {reason.code}"
    assert market.digest() == digest


# ---------------------------------------------------------------- the evening, step by step


def test_a_batch_is_paid_before_it_is_delivered():
    market = fixed()
    market.must(InstructBank())
    assert msgspec.structs.asdict(market.event) == {
        "batch": 1,
        "lines": 3,
        "totals": {CNY: (fen("4221.00"), fen("4221.00"))},
        "checksum": file_of(market).checksum,
    }
    answer(market)
    assert market.event == happened.PaymentsConfirmed(1, 3, [], [], [], is_confirmed=True)
    market.must(DeliverBatch())
    market.must(IssueStatements())

    reached = batch_of(market).reached
    assert [*reached] == [Stage.FIXED, Stage.INSTRUCTED, Stage.CONFIRMED, Stage.DELIVERED, Stage.STATED]
    assert all(earlier < later for earlier, later in pairwise(reached.values()))
    assert market.money("bob") == "4179.00" and market.holding("alice", HBEA).settled == 100


@pytest.mark.parametrize("mode", Mode)
def test_the_bank_is_told_what_everybody_pays_and_receives(mode):
    market = instructed(rules(mode=mode))

    assert [msgspec.structs.astuple(line) for line in file_of(market).lines] == [
        (1, "alice", CNY, Direction.DEBIT, fen("4221.00")),
        (2, HOUSE, CNY, Direction.CREDIT, fen("42.00")),
        (3, "bob", CNY, Direction.CREDIT, fen("4179.00")),
    ]
    assert (file_of(market).batch, file_of(market).date, file_of(market).mode) == (1, DAY, mode)


def two_ways(mode):
    """alice buys 100 t of bob and sells him 40: gross 4,221.00 and 1,671.60 and back, net the difference."""
    found = msgspec.structs.replace(rules(mode=mode), resale_lag_days=0)
    market = Market(found, alice=cash("10000.00"), bob=cash("10000.00") + units(100), bank=clearing_bank)
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nalice sells 40 @ 42.00\nbob buys 40 @ 42.00\nclose")
    for step in (FixObligations(), InstructBank()):
        market.must(step)
    return market


@pytest.mark.parametrize(
    ("mode", "paid"),
    [
        (
            Mode.GROSS_GROSS,
            [("alice", "4221.00"), ("bob", "1688.40"), (HOUSE, "58.80"), ("alice", "1671.60"), ("bob", "4179.00")],
        ),
        (Mode.GROSS_NET, [("alice", "2549.40"), (HOUSE, "58.80"), ("bob", "2490.60")]),
        (Mode.NET_NET, [("alice", "2549.40"), (HOUSE, "58.80"), ("bob", "2490.60")]),
    ],
)
def test_who_buys_and_sells_pays_gross_or_net(mode, paid):
    market = two_ways(mode)

    assert [(line.account_id, line.fen) for line in file_of(market).lines] == [(who, fen(sum_)) for who, sum_ in paid]
    answer(market)
    deliver_and_state(market)
    assert market.money("alice") == "7450.60" and market.money("bob") == "12490.60"


def in_two_currencies():
    """The day is closed after its trade, and one of 10 t at 5.00 EUR from bob to alice; its batch is at the bank."""
    market = a_market()
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose\nsettle")
    market.must(RegisterCurrency("EUR"))
    market.must(ListInstrument("EUA", Species.ALLOWANCE, 2025, 500, "EUR"))
    market.give("bob", "EUA", 10)
    market.deposit("alice", "100.00", "EUR")
    market.play("open 2026-01-06\nstart\nbob sells 10 EUA @ 5.00\nalice buys 10 EUA @ 5.00")
    market.play("alice sells 100 @ 42.00\nbob buys 90 @ 42.00\nclose")
    for step in (FixObligations(), InstructBank()):
        market.must(step)
    return market


def test_each_currency_is_paid_by_itself():
    market = in_two_currencies()
    eur = market.exchange.currencies["EUR"]

    assert [(line.account_id, line.currency, line.fen) for line in file_of(market).lines] == [
        ("bob", CNY, fen("3798.90")),
        ("alice", "EUR", fen("50.25")),
        (HOUSE, CNY, fen("37.80")),
        ("alice", CNY, fen("3761.10")),
        (HOUSE, "EUR", fen("0.50")),
        ("bob", "EUR", fen("49.75")),
    ]
    answer(market, SimulatedBank(partial={"alice": fen("50.00")}))
    paid = {(market.number("bob"), 0): fen("3798.90"), (market.number("alice"), eur): fen("50.00")}
    assert confirmed(market.exchange, batch_of(market)) == paid


def test_the_books_are_compared_in_each_currency():
    market = in_two_currencies()
    answer(market)
    deliver_and_state(market)
    ours = closing_balances(market.exchange, NEXT_DAY)
    assert ours["bob", "EUR"] == fen("49.75") and ours[HOUSE, "EUR"] == fen("0.50")
    assert market.withdraw("bob", "49.75", "EUR") == "CashWithdrawn"
    lines = tuple(BankBalance(*key, amount + (key == ("alice", "EUR"))) for key, amount in ours.items())
    market.must(ReconcileBank(BANK, NEXT_DAY, lines))

    assert market.event.breaks == [Break(Finding.DIFFERS, "alice", "EUR", fen("49.75"), fen("49.76"), 1)]
    assert ("bob", "EUR") not in closing_balances(market.exchange, DAY)  # the euro came later


def test_without_a_bank_a_batch_is_delivered_at_once():
    market = fixed(rules(bank=False))
    market.must(DeliverBatch())

    assert [*batch_of(market).reached] == [Stage.FIXED, Stage.DELIVERED]
    assert confirmed(market.exchange, batch_of(market)) is None


def test_who_settles_the_whole_day_vouches_for_the_bank():
    market = traded()
    market.must(SettleDay())

    assert [*batch_of(market).reached] == [Stage.FIXED, Stage.DELIVERED, Stage.STATED]
    assert batch_of(market).payments is None and confirmed(market.exchange, batch_of(market)) is None


def test_a_day_on_which_nobody_pays_needs_no_answer():
    market = a_market()
    market.play("close")
    market.must(FixObligations())
    market.must(InstructBank())

    assert market.event.lines == 0 and batch_of(market).stage == Stage.CONFIRMED
    refused(market, confirmation(AnswerFile(1, file_of(market).checksum, ())), R.LINE_MISSING)
    deliver_and_state(market)


def test_the_bank_may_answer_in_several_files():
    market = instructed()
    bank = SimulatedBank(late={"alice": 30, HOUSE: 10})
    answer(market, bank)
    assert (market.event.answered, market.event.open_lines, market.event.is_confirmed) == (1, [1, 2], False)
    answer(market, bank, minutes=10)
    assert (market.event.answered, market.event.open_lines, market.event.is_confirmed) == (1, [1], False)
    refused(market, DeliverBatch(), R.WRONG_STATE)
    answer(market, bank, minutes=30)
    assert (market.event.answered, market.event.open_lines, market.event.is_confirmed) == (1, [], True)
    deliver_and_state(market)


def test_a_pay_in_that_is_not_confirmed_is_told_and_nothing_is_delivered_against_it():
    for bank, paid in (
        (SimulatedBank(partial={"alice": "0.5"}), "2110.50"),
        (SimulatedBank(frozenset({"alice"})), "0.00"),
    ):
        market = instructed()
        answer(market, bank)

        (short,) = market.event.not_paid
        assert (short.account_id, short.confirmed, market.event.kept) == ("alice", fen(paid), [])
        assert confirmed(market.exchange, batch_of(market)) == {(market.number("alice"), 0): fen(paid)}
        deliver_and_state(market)
        assert batch_of(market).failed == {1} and market.holding("alice", HBEA).settled == 0


def test_a_pay_out_that_is_rejected_stays_in_the_sub_ledger():
    market = instructed()
    answer(market, SimulatedBank(refuse=frozenset({"bob"})))

    (kept,) = market.event.kept
    assert (kept.account_id, kept.reply, market.event.not_paid) == ("bob", Reply.REJECTED, [])
    assert batch_of(market).payments.kept() == {("bob", CNY): fen("4179.00")}
    assert confirmed(market.exchange, batch_of(market)) is None
    deliver_and_state(market)
    assert market.money("bob") == "4179.00"


def test_what_was_confirmed_of_a_batch_is_known_when_it_is_final():
    market = settled()
    market.must(OpenDay(NEXT_DAY))

    assert batch_of(market).has_reached(Stage.FINAL)
    assert len(batch_of(market).payments.answers) == 3


# ---------------------------------------------------------------- late


def test_the_bank_has_until_the_time_that_the_rules_say():
    market = instructed()
    at(market, "16:59:59")
    refused(market, NoteLateBank(), R.TOO_EARLY)
    market.must(NoteLateBank())

    assert market.now_ns == moment_ns(HUBEI, DAY, "17:00")
    assert [line.line for line in market.event.lines] == [1, 2, 3]
    assert market.event.account_ids == [HOUSE, "alice", "bob"]
    refused(market, NoteLateBank(), R.WRONG_STATE)


def test_while_a_batch_is_late_nobody_in_it_withdraws():
    market = late()
    for name in ("alice", "bob", HOUSE):
        refused(market, WithdrawCash(name, 1), R.WITHDRAWAL_BLOCKED)
    assert market.withdraw("carol", "500.00") == "CashWithdrawn"
    answer(market)
    assert batch_of(market).stage == Stage.CONFIRMED
    refused(market, WithdrawCash("alice", 1), R.WITHDRAWAL_BLOCKED)
    market.must(DeliverBatch())

    for name in ("alice", "bob", HOUSE):
        assert withdrawal_block(market.exchange, market.exchange.accounts.by_id[name]) is None
    assert market.withdraw("bob", "4179.00") == "CashWithdrawn"


def test_before_it_is_late_what_is_settled_may_be_withdrawn():
    market = instructed()

    assert market.withdraw("alice", "5779.00") == "CashWithdrawn"
    refused(market, WithdrawCash("bob", 1), R.INSUFFICIENT_CASH)  # bob's proceeds are not settled


def test_a_batch_waits_for_pay_outs_too_until_it_is_late():
    market = instructed()
    answer(market, SimulatedBank(late={"bob": None}))

    refused(market, DeliverBatch(), R.WRONG_STATE)


def test_a_late_batch_is_delivered_if_only_pay_outs_are_missing():
    market = late(bank=SimulatedBank(late={"bob": None}))
    assert [line.account_id for line in market.event.lines] == ["bob"]
    deliver_and_state(market)

    assert batch_of(market).payments.kept() == {("bob", CNY): fen("4179.00")}
    assert [*batch_of(market).reached] == [Stage.FIXED, Stage.INSTRUCTED, Stage.DELIVERED, Stage.STATED]


def test_what_a_late_bank_has_not_answered_is_not_paid():
    market = late()

    assert confirmed(market.exchange, batch_of(market)) == {(market.number("alice"), 0): 0}
    deliver_and_state(market)
    assert batch_of(market).failed == {1} and market.holding("alice", HBEA).settled == 0


def test_a_bank_may_still_answer_late_and_in_parts():
    market = late(bank=SimulatedBank(late={"alice": None}))
    answer(market)

    assert market.event.is_confirmed and batch_of(market).is_late
    deliver_and_state(market)


def test_without_a_time_to_confirm_by_the_bank_is_late_whenever_one_says_so():
    market = instructed(rules(confirm_by=None))

    assert market.do(NoteLateBank()) == "BankLate"


# ---------------------------------------------------------------- withdrawals


def test_an_operator_blocks_withdrawals_and_takes_it_back():
    market = a_market()
    market.must(BlockWithdrawals(HOUSE, "carol", "under inquiry"))
    assert market.event == happened.WithdrawalsBlocked(market.number("carol"), "under inquiry")
    refused(market, WithdrawCash("carol", 1), R.WITHDRAWAL_BLOCKED)
    assert market.deposit("carol", "1.00") == "CashDeposited"
    market.must(UnblockWithdrawals(HOUSE, "carol", "cleared"))

    assert market.withdraw("carol", "501.00") == "CashWithdrawn"


@pytest.mark.parametrize("lag", [0, 1])
def test_what_a_day_has_brought_may_leave_when_the_rules_say(lag):
    market = settled(rules(withdrawal_lag_days=lag))
    market.deposit("bob", "1.00")
    if lag:
        refused(market, WithdrawCash("bob", fen("1.01")), R.INSUFFICIENT_CASH)
        assert market.withdraw("bob", "1.00") == "CashWithdrawn"
        market.must(OpenDay(NEXT_DAY))
        assert market.withdraw("bob", "4179.00") == "CashWithdrawn"
    else:
        assert market.withdraw("bob", "4180.00") == "CashWithdrawn"


def test_who_has_bought_for_more_than_it_sold_may_withdraw_what_is_left_that_day():
    market = two_ways(Mode.GROSS_GROSS)
    market.exchange.rules = rules(withdrawal_lag_days=1)
    answer(market)
    market.must(DeliverBatch())

    for name, too_much in (("alice", "7450.61"), ("bob", "10000.01")):
        refused(market, WithdrawCash(name, fen(too_much)), R.INSUFFICIENT_CASH)
    assert market.withdraw("alice", "7450.60") == market.withdraw("bob", "10000.00") == "CashWithdrawn"


# ---------------------------------------------------------------- the bank's books


CLOSING = {"alice": "5779.00", "bob": "4179.00", "carol": "500.00", HOUSE: "42.00"}


def balances(by=BANK, day=DAY, **changes):
    """The bank's file with the closing balances of the day, but for the changes; None: not in it."""
    figures = {**CLOSING, **changes}
    lines = tuple(BankBalance(name, CNY, fen(amount)) for name, amount in figures.items() if amount is not None)
    return ReconcileBank(by, day, lines)


def test_books_that_agree_match():
    market = settled()
    assert closing_balances(market.exchange, DAY) == {(name, CNY): fen(amount) for name, amount in CLOSING.items()}
    market.must(balances())

    assert market.event == happened.BankReconciled(DAY, 4, matched=True, breaks=[], blocked=[])


def test_what_comes_after_the_statements_belongs_to_the_next_day():
    market = settled()
    market.deposit("carol", "1.00")
    market.withdraw("bob", "100.00")
    market.must(OpenAccount("dora", "Dora", ParticipantClass.INSTITUTION))
    market.deposit("dora", "7.00")
    market.must(balances())
    assert market.event.matched

    market.play("open 2026-01-06\nclose\nsettle")
    market.must(balances(day=NEXT_DAY, carol="501.00", bob="4079.00", dora="7.00"))
    assert market.event.matched


def test_every_break_is_reported_with_both_figures():
    market = settled(BLOCKING)
    market.must(balances(alice="5779.01", bob=None, zoe="3.00"))

    assert not market.event.matched
    assert market.event.breaks == [
        Break(Finding.DIFFERS, "alice", CNY, fen("5779.00"), fen("5779.01"), 1),
        Break(Finding.MISSING, "bob", CNY, fen("4179.00"), 0, -fen("4179.00")),
        Break(Finding.UNKNOWN, "zoe", CNY, 0, fen("3.00"), fen("3.00")),
    ]
    assert market.event.blocked == [market.number("alice"), market.number("bob")]
    file = balances()
    market.must(msgspec.structs.replace(file, lines=(*file.lines, BankBalance("carol", CNY, 1))))
    assert [(one.finding, one.account_id, one.difference) for one in market.event.breaks] == [
        (Finding.DOUBLED, "carol", 1)
    ]


def test_a_break_blocks_withdrawals_until_a_later_file_agrees():
    market = settled(BLOCKING)
    market.must(balances(alice="5779.01", bob="4178.00"))
    for name in ("alice", "bob"):
        refused(market, WithdrawCash(name, 1), R.WITHDRAWAL_BLOCKED)
    assert market.withdraw("carol", "1.00") == "CashWithdrawn"
    market.must(balances(alice="5779.01"))  # bob's has been put right
    assert market.withdraw("bob", "1.00") == "CashWithdrawn"
    refused(market, WithdrawCash("alice", 1), R.WITHDRAWAL_BLOCKED)
    market.play("open 2026-01-06\nclose\nsettle")
    market.must(balances(day=NEXT_DAY, bob="4178.00", carol="499.00"))

    assert market.withdraw("alice", "5779.00") == "CashWithdrawn"


def test_a_break_blocks_nothing_where_the_rules_do_not_say_so():
    market = settled()
    market.must(balances(alice="5779.01"))

    assert not market.event.matched and market.event.blocked == []
    assert market.withdraw("alice", "5779.00") == "CashWithdrawn"


def test_the_operator_may_bring_the_banks_file():
    market = settled()

    assert market.do(balances(by=HOUSE)) == "BankReconciled"


# ---------------------------------------------------------------- refusals


class Case(NamedTuple):
    """A good command in a scene, and its faults in the order of the enum: changes of it, or another scene `at`."""

    good: object  # a command, or a function of the market
    at: object
    faults: list


def good_answer(market):
    return confirmation(SimulatedBank().answer(file_of(market)))


def with_line(number, **changes):
    """Of a good answer one line altered, as a change of the command."""
    return lambda market: {
        "lines": tuple(
            msgspec.structs.replace(line, **changes) if line.line == number else line
            for line in good_answer(market).lines
        )
    }


def with_lines(change):
    return lambda market: {"lines": tuple(change(good_answer(market).lines))}


def half_answered():
    market = instructed()
    answer(market, SimulatedBank(late={"alice": None, "bob": None}))
    return market


def half_settled():
    market = confirmed_market()
    market.must(DeliverBatch())
    return market


def blocked():
    market = a_market()
    market.must(BlockWithdrawals(HOUSE, "alice", "under inquiry"))
    return market


def in_break():
    market = settled(BLOCKING)
    market.must(balances(alice="0.01"))
    return market


def reconciled_later():
    market = settled()
    market.play("open 2026-01-06\nclose\nsettle")
    market.must(balances(day=NEXT_DAY))
    return market


def under_way():
    """A day that is fixed, after one that was settled with the bank."""
    market = settled()
    market.play("open 2026-01-06\nclose")
    market.must(FixObligations())
    return market


def without_a_bank():
    return fixed(rules(bank=False))


BY = [(R.UNKNOWN_ACCOUNT, {"by": "zoe"}), *((R.NOT_PERMITTED, {"by": name}) for name in ("alice", BANK))]
NOBODY_SUCH = (R.UNKNOWN_ACCOUNT, {"account_id": "zoe"})
NOT_UNDER_WAY = [(R.WRONG_STATE, {"at": at}) for at in (a_market, traded, settled)]
CASES = [
    Case(
        DepositCash("alice", 1),
        traded,
        [
            NOBODY_SUCH,
            (R.UNKNOWN_CURRENCY, {"currency": "USD"}),
            (R.AMOUNT_NOT_POSITIVE, {"amount": 0}),
            (R.AMOUNT_NOT_POSITIVE, {"amount": -1}),
            (R.AMOUNT_TOO_LARGE, {"amount": CASH_MAX}),
        ],
    ),
    Case(
        WithdrawCash("alice", 1),
        settled,
        [
            NOBODY_SUCH,
            (R.UNKNOWN_CURRENCY, {"currency": "USD"}),
            (R.WITHDRAWAL_BLOCKED, {"at": blocked}),
            (R.WITHDRAWAL_BLOCKED, {"at": in_break}),
            (R.WITHDRAWAL_BLOCKED, {"at": late}),
            (R.AMOUNT_NOT_POSITIVE, {"amount": 0}),
            (R.AMOUNT_NOT_POSITIVE, {"amount": -1}),
            (R.INSUFFICIENT_CASH, {"amount": fen("5779.01")}),
        ],
    ),
    Case(BlockWithdrawals(HOUSE, "alice", ""), traded, [*BY, NOBODY_SUCH, (R.ALREADY_BLOCKED, {"at": blocked})]),
    Case(UnblockWithdrawals(HOUSE, "alice", ""), blocked, [*BY, NOBODY_SUCH, (R.NOT_BLOCKED, {"at": traded})]),
    Case(
        InstructBank(),
        fixed,
        [
            (R.NO_BANK, {"at": without_a_bank}),
            *NOT_UNDER_WAY,
            *((R.WRONG_STATE, {"at": at}) for at in (instructed, confirmed_market, half_settled)),
        ],
    ),
    Case(
        good_answer,
        instructed,
        [
            (R.UNKNOWN_ACCOUNT, {"by": "zoe"}),
            *((R.NOT_PERMITTED, {"by": name}) for name in ("alice", HOUSE)),
            (R.NO_BANK, {"at": without_a_bank}),
            *NOT_UNDER_WAY,
            *((R.WRONG_STATE, {"at": at}) for at in (fixed, half_settled)),
            (R.WRONG_BATCH, {"batch": 2}),
            (R.WRONG_BATCH, {"batch": 0}),
            (R.WRONG_CHECKSUM, {"answers_to": "0" * 64}),
            (R.NEGATIVE_AMOUNT, with_line(1, fen=-1)),
            (R.NEGATIVE_AMOUNT, with_line(1, reply=Reply.PARTIAL, paid=-1)),
            (R.LINE_UNKNOWN, with_line(1, line=4)),
            (R.LINE_DOUBLED, with_lines(lambda lines: [*lines, lines[0]])),
            (R.LINE_ALTERED, with_line(1, fen=1)),
            (R.LINE_ALTERED, with_line(1, account_id="bob")),
            (R.LINE_ALTERED, with_line(1, currency="EUR")),
            (R.LINE_ALTERED, with_line(1, direction=Direction.CREDIT)),
            (R.LINE_ANSWERED, {"at": half_answered}),
            (R.LINE_ANSWERED, {"at": confirmed_market}),
            (R.LINE_MISSING, with_lines(lambda lines: lines[1:])),
            (R.PARTIAL_OUT_OF_RANGE, with_line(1, reply=Reply.PARTIAL, paid=fen("4221.00"))),
            (R.PARTIAL_OUT_OF_RANGE, with_line(1, reply=Reply.PARTIAL, paid=0)),
        ],
    ),
    Case(
        NoteLateBank(),
        late,
        [
            (R.NO_BANK, {"at": without_a_bank}),
            *NOT_UNDER_WAY,
            *((R.WRONG_STATE, {"at": at}) for at in (fixed, confirmed_market, half_settled, late)),
            (R.TOO_EARLY, {"at": instructed}),
        ],
    ),
    Case(
        balances(),
        settled,
        [
            (R.UNKNOWN_ACCOUNT, {"by": "zoe"}),
            (R.NOT_PERMITTED, {"by": "alice"}),
            (R.DAY_NOT_SETTLED, {"date": NEXT_DAY}),
            (R.DAY_NOT_SETTLED, {"at": half_settled}),
            (R.DATE_NOT_LATER, {"at": reconciled_later}),
            (R.NEGATIVE_AMOUNT, {"lines": (BankBalance("alice", CNY, -1),)}),
        ],
    ),
]
SHOWN = {reason for case in CASES for reason, _ in case.faults}


def made(command, market):
    return command(market) if callable(command) else command


def named(case):
    return case.good.__name__ if callable(case.good) else type(case.good).__name__


ALONE = [
    pytest.param(case, reason, fault, id=f"{named(case)}: {reason.code} {number}")
    for case in CASES
    for number, (reason, fault) in enumerate(case.faults)
]


def spoilt(case, *faults):
    """A case's command with faults, in the scene where they happen."""
    where = [fault["at"] for fault in faults if isinstance(fault, dict) and "at" in fault]
    scene = instructed() if callable(case.good) else None
    good = made(case.good, scene)
    for fault in faults:
        changes = dict(made(fault, scene))
        changes.pop("at", None)
        good = msgspec.structs.replace(good, **changes)
    return (where[0] if where else case.at)(), good


@pytest.mark.parametrize("case", [case for case in CASES if case.at is not late], ids=named)
def test_the_command_without_a_fault_is_taken(case):
    market, command = spoilt(case)
    assert "refused" not in market.do(command)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_faults_of_a_command_stand_in_the_order_of_the_enum(case):
    rest = [reason for reason, fault in case.faults if callable(fault) or "by" not in fault]
    assert rest == sorted(rest)


@pytest.mark.parametrize(("case", "reason", "fault"), ALONE)
def test_each_fault_by_itself_is_named_and_changes_nothing(case, reason, fault):
    market, command = spoilt(case, fault)
    refused(market, command, reason)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_of_two_faults_the_more_fundamental_is_named(case):
    for (one, first), (other, second) in combinations(case.faults, 2):
        if callable(first) or callable(second) or first.keys() & second.keys():
            continue  # faults of lines are told apart in tests/settlement/test_bank.py
        if {"at", "date"} <= {*first, *second}:
            continue  # a day that is nowhere settled
        market, command = spoilt(case, first, second)
        refused(market, command, min(one, other))


def test_every_command_of_this_room_is_in_the_table():
    market = instructed()
    assert {type(made(case.good, market)) for case in CASES} == set(get_args(MoneyCommand))


def test_who_has_closed_its_account_pays_nothing_in_or_out():
    market = a_market(office=Stake(participant_class=ParticipantClass.REGISTRY_AUTHORITY), dora=Stake())
    market.must(ChangeAccountStatus("office", "dora", AccountStatus.CLOSED, "left"))

    refused(market, DepositCash("dora", 1), R.NOT_PERMITTED)
    refused(market, WithdrawCash("dora", 1), R.NOT_PERMITTED)


def test_what_is_wrong_with_an_answer_is_a_reason():
    assert {fault.value for fault in Fault if fault != Fault.MALFORMED_FILE} <= {reason.code for reason in R}


@pytest.mark.parametrize(
    ("scene", "command"),
    [
        pytest.param(a_market, FixObligations(), id="fixed while trading"),
        pytest.param(a_market, SettleDay(), id="settled while trading"),
        pytest.param(traded, DeliverBatch(), id="delivered before it is fixed"),
        pytest.param(fixed, FixObligations(), id="fixed twice"),
        pytest.param(fixed, DeliverBatch(), id="delivered before the bank knows"),
        pytest.param(fixed, SettleDay(), id="settled in one when it is fixed"),
        pytest.param(instructed, DeliverBatch(), id="delivered before the bank has answered"),
        pytest.param(half_answered, DeliverBatch(), id="delivered before the bank has answered all"),
        pytest.param(confirmed_market, IssueStatements(), id="stated before it is delivered"),
        pytest.param(half_settled, DeliverBatch(), id="delivered twice"),
        pytest.param(half_settled, OpenDay(NEXT_DAY), id="a new day before the statements"),
        pytest.param(settled, FixObligations(), id="fixed again"),
        pytest.param(settled, SettleDay(), id="settled twice"),
        pytest.param(settled, IssueStatements(), id="stated twice"),
        pytest.param(under_way, confirmation(AnswerFile(1, "", ())), id="confirmed before the bank knows"),
    ],
)
def test_a_step_out_of_its_turn_is_refused_and_changes_nothing(scene, command):
    market = scene()
    digest = market.digest()

    assert market.do(command).removeprefix("refused: ") in {
        R.WRONG_PHASE.code, R.WRONG_STATE.code, R.DAY_NOT_SETTLED.code, R.DAY_ALREADY_SETTLED.code,
    }  # fmt: skip
    assert market.digest() == digest


def test_yesterdays_answer_confirms_nothing_today():
    market = settled()
    yesterdays = confirmation(SimulatedBank().answer(file_of(market)))
    market.play("open 2026-01-06\nstart\nalice sells 100 @ 42.00\nbob buys 90 @ 42.00\nclose")
    for step in (FixObligations(), InstructBank()):
        market.must(step)

    refused(market, yesterdays, R.WRONG_BATCH)
    refused(market, msgspec.structs.replace(yesterdays, batch=2), R.WRONG_CHECKSUM)
    answer(market)
    deliver_and_state(market)


# ---------------------------------------------------------------- any order

OPERATOR = [
    *(act(HOUSE, name, "") for act in (BlockWithdrawals, UnblockWithdrawals) for name in ("alice", "bob")),
    *(balances(day=day, **odd) for day in (DAY, NEXT_DAY) for odd in ({}, {"alice": "1.00"}, {"bob": None})),
]
STEPS = [FixObligations(), InstructBank(), NoteLateBank(), DeliverBatch(), IssueStatements(), SettleDay()]
BANKS = [
    SimulatedBank(),
    SimulatedBank(late={"alice": None}),
    SimulatedBank(late={"bob": None}),
    SimulatedBank(refuse=frozenset({"bob"})),
    SimulatedBank(reject=frozenset({"alice"})),
]
EVENING = "the clock strikes five"
orders = st.lists(
    st.one_of(
        st.sampled_from(STEPS[:5]),
        st.sampled_from(BANKS),
        st.sampled_from([*STEPS, *OPERATOR, EVENING, OpenDay(NEXT_DAY)]),
        st.builds(WithdrawCash, st.sampled_from(["alice", "bob", HOUSE]), st.integers(0, fen("2000.00"))),
    ),
    min_size=10,
    max_size=25,
)


@settings(max_examples=settings.default.max_examples // 6)
@given(orders)
def test_in_whatever_order_it_is_told_all_stays_sound(told):
    market = traded(BLOCKING)
    for one in told:
        digest = market.digest()
        if one == EVENING:
            at(market, "17:00", market.exchange.date)
        elif not isinstance(one, SimulatedBank):
            assert "refused" not in market.do(one) or market.digest() == digest
        elif (batch := batch_under_way(market)) and (said := one.answer(batch.payments.last)):
            assert "refused" not in market.do(confirmation(said)) or market.digest() == digest
    assert replayed(market).digest() == market.digest()


def batch_under_way(market):
    """The batch that is at the bank."""
    batch = market.exchange.clearing.under_way
    return batch if batch and batch.payments else None


# ---------------------------------------------------------------- crashes


class Watched(Market):
    """A market that notes its digest after every command."""

    def __init__(self, *arguments, **people):
        self.digests = []
        super().__init__(*arguments, **people)

    def submit(self, *commands):
        said = super().submit(*commands)
        self.digests.append(self.digest())
        return said


@pytest.fixture(scope="module")
def evenings():
    """Two days with everything: a bank that is late and answers in parts, a break, blocks, money in and out."""
    market = Watched(BLOCKING, **PEOPLE)
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\nclose")
    for step in (FixObligations(), InstructBank()):
        market.must(step)
    bank = SimulatedBank(late={"alice": 90}, refuse=frozenset({"bob"}))
    answer(market, bank)
    market.must(WithdrawCash("alice", 100))
    at(market, "17:00")
    market.must(NoteLateBank())
    refused(market, WithdrawCash("alice", 100), R.WITHDRAWAL_BLOCKED)
    answer(market, bank, minutes=90)
    deliver_and_state(market)
    market.must(balances(alice="5777.00", carol="1.00"))
    refused(market, WithdrawCash("carol", 100), R.WITHDRAWAL_BLOCKED)
    market.must(BlockWithdrawals(HOUSE, "bob", "under inquiry"))
    market.play("open 2026-01-06\nstart\nalice sells 60 @ 42.00\nbob buys 50 @ 42.00\nclose")
    for step in (FixObligations(), InstructBank()):
        market.must(step)
    answer(market)
    market.must(UnblockWithdrawals(HOUSE, "bob", ""))
    deliver_and_state(market)
    market.must(WithdrawCash("bob", 100))
    return market


def restarted(blocks):
    """An engine over the journal of a process that stopped after these blocks."""
    journal = MemoryJournal()
    for block in blocks:
        journal.append(block)
    engine = Engine(journal)
    for _ in engine.open(None, 0):
        pass
    return engine


def test_after_a_crash_between_any_two_steps_all_goes_on_as_if_nothing_had_been(evenings):
    founding, *blocks = evenings.engine.journal.blocks()
    assert len(blocks) == len(evenings.digests)
    for stop in range(1, len(blocks)):
        engine = restarted([founding, *blocks[:stop]])
        assert engine.exchange.digest() == evenings.digests[stop - 1]
        for block in blocks[stop:]:
            batch = Batch.decode(block)
            commands = [Command(row.tobytes(), detail) for row, detail in zip(batch.rows, batch.details, strict=True)]
            engine.submit(commands, int(batch.rows[0].now_ns))
        assert engine.exchange.digest() == evenings.digests[-1]


def test_the_digest_tells_apart_what_was_there_at_a_close():
    """What goes in and out after a day's last statements leaves the same holdings, and another day to compare."""
    markets = []
    for story in (("deposit", "settle", "withdraw"), ("settle", "deposit", "withdraw")):
        market = Market("hubei", alice=cash("100.00"))
        market.play("close")
        for act in story:
            _ = market.play(act) if act == "settle" else getattr(market, act)("alice", "50.00")
        market.play("open 2026-01-06\nstart\nclose\nsettle\nopen 2026-01-07")
        markets.append(market)

    one, other = (market.exchange for market in markets)
    assert closing_balances(one, date(2026, 1, 5)) != closing_balances(other, date(2026, 1, 5))
    assert one.digest() != other.digest()


def test_the_digest_remembers_every_step(evenings):
    assert len({*evenings.digests}) == len(evenings.digests) - 2  # those of the two withdrawals that were refused


def test_the_journal_makes_the_same_batches_again(evenings):
    again = replayed(evenings).clearing

    for one, other in zip(evenings.exchange.clearing.batches, again.batches, strict=True):
        assert one.reached == other.reached
        assert (one.payments.file, one.payments.answers) == (other.payments.file, other.payments.answers)
        assert one.payments.late_at == other.payments.late_at
    in_break = dict.fromkeys([evenings.number("alice"), evenings.number("carol")], DAY)
    assert (again.blocked, again.in_break, again.reconciled) == ({}, in_break, DAY)
