"""Random markets in which people fail: whatever happens, all invariants hold after every command, and replay agrees.

Four traders with little cash and few units trade on the book and agree later legs that they often cannot meet; the
bank refuses some pay-ins; then cases are cured, covered and paid in any order, refused or not.
"""

from datetime import date, timedelta

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from exchange.commands import (
    AgreeDelivery,
    CancelDelivery,
    CloseOutFailure,
    CoverFailure,
    CureFailure,
    DeliverBatch,
    DisposeSecurity,
    DrawReserve,
    FixObligations,
    FundReserve,
    IssueStatements,
    PayRecourse,
    SettleDay,
    TransferUnits,
    WriteOffRecourse,
)
from exchange.engine import Engine, read_batches
from exchange.instruments import fen
from exchange.invariants import check
from exchange.journal import MemoryJournal
from exchange.state import Exchange
from exchange.transition import apply
from exchange.transition.step import HOUSE, RESERVE
from settlement.bank import SimulatedBank
from settlement.default import CaseState
from tests.conftest import EXAMPLES
from tests.exchange.defaults import DUE, MODES, Failing
from tests.exchange.market import CNY, HBEA, cash, units

TRADERS = ("a", "b", "c", "d")
DAYS = 5

traders = st.sampled_from(TRADERS)
tonnes = st.integers(1, 60)
prices = st.sampled_from(["41.00", "42.00", "43.00"])
orders = st.tuples(traders, st.sampled_from(["buys", "sells"]), tonnes, prices, st.sampled_from(["", " gtc"]))
deals = st.tuples(traders, traders, tonnes, prices, st.integers(1, 2))
refused = st.dictionaries(traders, st.sampled_from([0, 50_000, 150_000]), max_size=2)
remedies = st.one_of(
    st.tuples(st.just("deposit"), traders, st.integers(1, 300_000)),
    st.tuples(st.just("units"), traders, tonnes),
    st.tuples(st.just("cure"), st.integers(1, 6), st.just(0)),
    st.tuples(st.just("cover"), st.integers(1, 6), st.integers(0, 2)),
    st.tuples(st.just("close out"), st.integers(1, 6), st.just(0)),
    st.tuples(st.just("pay"), traders, st.integers(1, 200_000)),
    st.tuples(st.just("write off"), traders, st.integers(1, 100_000)),
    st.tuples(st.just("dispose"), st.integers(1, 6), st.sampled_from(["", *TRADERS])),
    st.tuples(st.just("fund"), traders, st.integers(1, 400_000)),
    st.tuples(st.just("withdraw"), traders, st.integers(1, 200_000)),
    st.tuples(st.just("take"), traders, tonnes),
    st.tuples(st.just("again"), traders, st.integers(0, 2)),
)
days = st.lists(
    st.tuples(
        st.lists(orders, max_size=8),
        st.lists(deals, max_size=3),
        refused,
        st.lists(remedies, max_size=12),
        st.booleans(),
    ),
    min_size=2,
    max_size=DAYS,
)


@st.composite
def unpaid(draw):
    """Stories that begin with trades on the book for which the bank refuses the money, and others pay."""
    seller, buyer = draw(st.sampled_from([("a", "b"), ("b", "a"), ("b", "c"), ("d", "a"), ("d", "c")]))
    quantity, price = draw(st.integers(1, 20)), draw(prices)
    pair = [(seller, "sells", quantity, price, ""), (buyer, "buys", quantity, price, "")]
    confirmed = draw(st.integers(0, quantity * 4000))
    then = [("cover", 1, draw(st.integers(0, 2))), *draw(st.lists(remedies, max_size=4))]
    return [(pair, draw(st.lists(deals, max_size=2)), {buyer: confirmed}, then, True), *draw(days)]


def traded(market, number, of_the_day, later):
    """The orders and deals of a day."""
    for name, verb, quantity, price, lasting in of_the_day:
        market.play(f"{name} {verb} {quantity} @ {price}{lasting}")
    for index, (seller, buyer, quantity, price, ahead) in enumerate(later):
        ticks, due = fen(price), market.exchange.date + timedelta(days=ahead)
        market.do(AgreeDelivery(HOUSE, f"F-{number}-{index}", seller, buyer, HBEA, quantity, ticks, due))


def settled(market, paid):
    """A batch of which the bank confirms what some accounts pay in up to an amount."""
    if "refused" in market.do(FixObligations()):
        return
    before = {name: market.settled(name) for name in (*TRADERS, HOUSE, RESERVE)}
    used = {name: used_for(market, name) for name in TRADERS}
    for failure in market.deliver(SimulatedBank(partial=paid, late=dict.fromkeys(list(paid)[:1]))).failures:
        event("somebody fails")
        assert failure.trades
    assert sum(fen for fen, _ in before.values()) == sum(market.settled(name)[0] for name in before)
    nothing_settles_unpaid(market, used)
    market.must(IssueStatements())
    for statement in market.statements():
        statement.check()


def used_for(market, name):
    """Fen that have stood in for what the bank did not confirm."""
    return sum(case.used.get(0, 0) for case in market.exchange.clearing.defaults.of(market.number(name)))


def nothing_settles_unpaid(market, used):
    """What settles of who has not paid in full was confirmed by the bank, or paid by others, which counts once."""
    sums = market.exchange.positions(market.last.settled)
    payments = market.last.payments
    paid_in = payments.paid_in() if payments else {}
    for name in TRADERS if payments else ():
        account = market.number(name)
        settles = max(0, -sums.net[account, 0] if market.last.mode.nets_cash else sums.out[account, 0])
        stood_in = used_for(market, name) - used[name]
        assert settles <= paid_in.get((name, CNY), 0) + stood_in
        event(f"others stand in: {stood_in > 0}")
    event(f"files: {1 + len(payments.more) if payments else 0}")


def remedied(market, what, who, amount):
    """What somebody tries to put right: a case still open, by its place among those, or who owes."""
    defaults = market.exchange.clearing.defaults
    open_cases = [case.number for case in defaults.open_cases()] or [1]
    owing = [name for name in TRADERS if market.owed(name)] or ["a"]
    case = open_cases[who % len(open_cases)] if isinstance(who, int) else 0
    debtor = owing[len(owing) * TRADERS.index(who) // len(TRADERS)] if isinstance(who, str) else ""
    match what:
        case "deposit":
            market.deposit(who, f"{amount / 100:.2f}")
        case "units":
            market.give(who, HBEA, amount)
        case "cure":
            event(f"cure: {market.do(CureFailure(HOUSE, case)).splitlines()[-1]}")
        case "cover":
            if amount == 2:
                market.deposit(HOUSE, "9000.00")
                market.must(FundReserve(HOUSE, fen("9000.00")))
            said = market.do(CoverFailure(HOUSE, case))
            event(f"cover: {said}")
            if amount and "refused" not in said:  # the trades come again, and perhaps the money does not
                short = market.exchange.accounts[defaults.cases[case - 1].account].account_id
                settled(market, {short: 0} if amount == 2 and market.rules.settlement.bank else {})
        case "close out":
            is_over = market.now_ns >= defaults.cases[case - 1].deadline_ns if defaults.open_cases() else False
            said = market.do(CloseOutFailure(HOUSE, case))
            event(f"close out: {said}")
            assert not is_over or said == "FailureClosedOut"  # there is always a way out
        case "pay":
            owed = sum(market.owed(debtor).values())
            market.deposit(debtor, f"{amount / 200 + 0.01:.2f}")
            event(f"pay: {market.do(PayRecourse(debtor, min(amount, owed) or 1)).splitlines()[-1]}")
        case "write off":
            owed = sum(market.owed(debtor).values())
            event(f"write off: {market.do(WriteOffRecourse(HOUSE, debtor, min(amount, owed) or 1, 'lost'))}")
        case "dispose":
            secured = [number for number, _ in defaults.security] or [1]
            event(f"dispose: {market.do(DisposeSecurity(HOUSE, secured[who % len(secured)], amount))}")
        case "fund":
            market.deposit(HOUSE, f"{amount / 100:.2f}")
            market.do(FundReserve(HOUSE, amount))
        case "withdraw":
            market.withdraw(who, f"{amount / 100:.2f}")
        case "take":
            market.do(TransferUnits(who, HBEA, amount, to_trading=False))
        case "again":
            settled(market, {who: 0} if amount == 1 and market.rules.settlement.bank else {})


def played(mode, story, bank):
    """A market after a random story."""
    market = Failing(
        mode, bank=bank, share="0.5", target="100.00", house="200.00", house_funds_max="1500.00",
        a=cash("3000.00") + units(50), b=cash("1000.00") + units(100), c=cash("6000.00"), d=units(30),
    )  # fmt: skip
    market.give(HOUSE, HBEA, 20)
    for number, (of_the_day, later, paid, remedies, waits) in enumerate(story):
        traded(market, number, of_the_day, later)
        market.play("close")
        settled(market, paid if market.rules.settlement.bank else {})
        day = market.exchange.date + timedelta(days=1)
        if waits:
            market.at(f"{day + timedelta(days=5)} 16:00:00")
        else:
            market.at(f"{day} 09:00:00")
        for remedy in remedies:
            remedied(market, *remedy)
        market.play(f"open {day}\nstart")
    return market


@settings(max_examples=max(10, EXAMPLES // 3))
@given(st.sampled_from(MODES), days | unpaid(), st.booleans())
def test_whatever_fails_everything_adds_up(mode, story, bank):
    played(mode, story, bank)


@settings(max_examples=max(5, EXAMPLES // 10))
@given(st.sampled_from(MODES), days, st.booleans())
def test_a_replay_comes_to_the_same(mode, story, bank):
    market = played(mode, story, bank)

    again = Exchange()
    for batch in read_batches(market.engine.journal.blocks()):
        apply(again, batch)
    assert again.digest() == market.digest()
    check(again)


# ---------------------------------------------------------------- the end of the process, at any point


def default_of_two(market):
    """The commands of a default of a buyer and a seller from the agreement to the last recourse, one by one."""
    yield from (
        AgreeDelivery(HOUSE, "F-1", "bob", "alice", HBEA, 100, 4200, date.fromisoformat(DUE), "negotiated"),
        AgreeDelivery(HOUSE, "F-2", "carol", "dave", HBEA, 50, 4100, date.fromisoformat(DUE), "negotiated"),
        AgreeDelivery(HOUSE, "F-3", "bob", "dave", HBEA, 1, 4100, date.fromisoformat(DUE), "negotiated"),
        CancelDelivery(HOUSE, "F-3", "both filed"),
    )
    market.play("close\nsettle")
    market.play(f"open {DUE}\nstart\nbob sells 10 @ 42.00\ndave buys 10 @ 42.00\nclose")
    yield from (FixObligations(), DeliverBatch(), IssueStatements())
    market.at("2026-01-07 15:00:01")
    yield from (CoverFailure(HOUSE, 2), CoverFailure(HOUSE, 1))
    yield from (FixObligations(), DeliverBatch(), IssueStatements())
    yield DrawReserve(HOUSE, 100, "technical_failure", "bob", "a wire was late")
    yield from (PayRecourse("carol", fen("50.00")), DisposeSecurity(HOUSE, 1))
    market.play("open 2026-01-08\nstart\nclose")
    yield SettleDay()


@pytest.mark.parametrize("mode", MODES)
def test_the_end_of_the_process_after_any_step_changes_nothing(mode):
    """After every command the exchange is read again from its journal, and goes on from there."""
    market = Failing(
        mode, reserve="4000.00", house="6000.00",
        alice=cash("500.00"), bob=units(200), carol=cash("60.00"), dave=cash("5000.00"),
    )  # fmt: skip
    told = 0
    for command in default_of_two(market):
        said = market.do(command)
        assert "refused" not in said, (command, said)
        told += 1
        reopened = MemoryJournal()
        for block in market.engine.journal.blocks():
            reopened.append(block)
        engine = Engine(reopened)
        for _ in engine.open(None, 0):
            pass
        assert engine.exchange.digest() == market.digest()
        market.engine, market.exchange = engine, engine.exchange

    assert told == 16
    assert [market.case(number).state for number in (1, 2)] == [CaseState.COVERED, CaseState.CLOSED]
    assert market.owed("alice") == market.owed("carol") == {}
    assert market.holding("alice", CNY).settled == fen("4200.00") - fen("4221.00") + fen("500.00")
