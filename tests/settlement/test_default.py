"""Who fails in a batch, who covers, what is owed: the arithmetic, without a market.

Accounts: the house 1, traders 2 to 5. Units 1 and 2, cash 0; instruments 1 and 2 trade the units at a fen a tick.
"""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from settlement.clearing import terms_of
from settlement.default import (
    BUYER,
    SELLER,
    CaseState,
    Claim,
    Compensation,
    Defaults,
    Means,
    Move,
    dues,
    lacking,
    moved_against,
    provision,
    settling,
    waterfall,
)
from settlement.rules import Mode
from settlement.statements import CASH
from tests.settlement.plain_clearing import Trade, rows_of

HOUSE, A, B, C, D = 1, 2, 3, 4, 5
SHAPE = (6, 3)
TERMS = terms_of(np.array([0, 1, 2]), np.zeros(3), np.array([0, 1, 1]))


def batch(*trades, backed=(), kept=()):
    """(seller, buyer, tonnes, ticks) each, of unit 1 or the one named; ids from 1; the `backed` ids are reserved."""
    made = [
        Trade(number, unit[0] if unit else 1, seller, buyer, ticks, quantity, 0, 0)
        for number, (seller, buyer, quantity, ticks, *unit) in enumerate(trades, 1)
    ]
    return dues(rows_of(made), TERMS, {trade.trade_id for trade in made} - set(backed), set(kept))


def means(held, kept=(), ordered=()):
    """(account, asset): amount each."""
    arrays = []
    for amounts in (held, kept, ordered):
        array = np.zeros(SHAPE, np.int64)
        for holding, amount in dict(amounts).items():
            array[holding] = amount
        arrays.append(array)
    return Means(*arrays)


def judged(mode, due, has, caps=()):
    verdict = settling(due, has, mode, HOUSE, dict(caps))
    return verdict.settles.tolist(), verdict.failing(due)


# ---------------------------------------------------------------- who fails

CHAIN = [(A, B, 10, 5), (B, C, 10, 6)]


@pytest.mark.parametrize("mode", Mode)
def test_who_has_what_it_owes_does_not_fail(mode):
    has = means({(A, 1): 10, (B, 0): 50, (C, 0): 60})
    assert judged(mode, batch(*CHAIN), has) == ([True, True], [])


@pytest.mark.parametrize(
    ("mode", "failing"), [(Mode.GROSS_GROSS, [B]), (Mode.GROSS_NET, []), (Mode.NET_NET, [])], ids=str
)
def test_netting_lets_pay_what_is_still_to_come(mode, failing):
    """B has no money for what it buys until it is paid for what it sells."""
    _, found = judged(mode, batch(*CHAIN), means({(A, 1): 10, (C, 0): 60}))
    assert found == failing


@pytest.mark.parametrize(
    ("mode", "failing"), [(Mode.GROSS_GROSS, [B]), (Mode.GROSS_NET, [B]), (Mode.NET_NET, [])], ids=str
)
def test_units_that_come_later_in_the_batch_serve_only_where_units_are_netted(mode, failing):
    _, found = judged(mode, batch(CHAIN[1], CHAIN[0]), means({(A, 1): 10, (B, 0): 60, (C, 0): 60}))
    assert found == failing


@pytest.mark.parametrize("mode", Mode)
def test_who_counted_on_a_seller_that_fails_fails_too(mode):
    assert judged(mode, batch(*CHAIN), means({(B, 0): 50, (C, 0): 60})) == ([False, False], [A, B])


@pytest.mark.parametrize("mode", Mode)
def test_a_member_that_fails_takes_its_other_trades_with_it_in_net_modes_only(mode):
    due = batch((A, B, 10, 5), (C, A, 10, 9), (C, D, 1, 5))
    settles, failing = judged(mode, due, means({(A, 1): 10, (B, 0): 50, (C, 1): 11, (D, 0): 5}))
    assert failing == [A]
    assert settles == ([True, False, True] if mode == Mode.GROSS_GROSS else [False, False, True])


@pytest.mark.parametrize("mode", Mode)
def test_what_is_reserved_for_orders_or_kept_for_others_is_not_free(mode):
    due = batch((A, B, 10, 5))
    assert judged(mode, due, means({(A, 1): 10, (B, 0): 50}, ordered={(A, 1): 1}))[1] == [A]
    assert judged(mode, due, means({(A, 1): 10, (B, 0): 50}, kept={(B, 0): 1}))[1] == [B]


@pytest.mark.parametrize("mode", Mode)
def test_a_leg_that_was_kept_is_met(mode):
    due = batch((A, B, 10, 5), kept=[(1, BUYER), (1, SELLER)])
    has = means({(A, 1): 10, (B, 0): 50}, kept={(A, 1): 10, (B, 0): 50})
    assert judged(mode, due, has) == ([True], [])


@pytest.mark.parametrize("mode", Mode)
def test_who_has_not_paid_in_in_full_fails_though_it_has_the_money(mode):
    due = batch((A, B, 4, 5), (A, B, 6, 5), backed=(1, 2))
    has = means({(A, 1): 10, (B, 0): 50})
    settles, failing = judged(mode, due, has, {(B, 0): 49})
    assert failing == [B]
    assert settles == ([True, False] if mode == Mode.GROSS_GROSS else [False, False])
    assert judged(mode, due, has, {(B, 0): 50}) == ([True, True], [])


@pytest.mark.parametrize("mode", Mode)
def test_without_later_legs_and_with_all_money_confirmed_nobody_is_looked_at(mode):
    due = batch(*CHAIN, backed=(1, 2))
    assert judged(mode, due, means({})) == ([True, True], [])


trades = st.lists(
    st.tuples(st.integers(A, D), st.integers(A, D), st.integers(1, 9), st.integers(1, 9), st.integers(1, 2)).filter(
        lambda trade: trade[0] != trade[1]
    ),
    min_size=1,
    max_size=12,
)
holdings = st.dictionaries(st.tuples(st.integers(A, D), st.integers(0, 2)), st.integers(0, 120))


def plain_gross(rows, held):
    """Trade by trade, with a dict."""
    left, settles = dict(held), []
    for seller, buyer, quantity, ticks, unit in rows:
        pays = quantity * ticks
        fits = left.get((seller, unit), 0) >= quantity and left.get((buyer, 0), 0) >= pays
        settles.append(fits)
        for holding, amount in (
            ((seller, unit), -quantity), ((buyer, 0), -pays), ((buyer, unit), quantity), ((seller, 0), pays),
        ) if fits else ():  # fmt: skip
            left[holding] = left.get(holding, 0) + amount
    return settles


def plain_net(rows, held, mode):
    """Take out who cannot meet its net, again and again, with dicts."""
    stays, failing = list(rows), set()
    while True:
        net, left, short = dict(held), dict(held), set()
        for seller, buyer, quantity, ticks, unit in stays:
            left[seller, unit] = left.get((seller, unit), 0) - quantity
            if mode == Mode.GROSS_NET and left[seller, unit] < 0:
                short.add(seller)
            left[buyer, unit] = left.get((buyer, unit), 0) + quantity
            for holding, amount in (
                ((seller, unit), -quantity), ((buyer, unit), quantity),
                ((buyer, 0), -quantity * ticks), ((seller, 0), quantity * ticks),
            ):  # fmt: skip
                net[holding] = net.get(holding, 0) + amount
        netted = (0, 1, 2) if mode == Mode.NET_NET else (0,)
        short |= {account for (account, asset), amount in net.items() if amount < 0 and asset in netted}
        if not short:
            return [not {row[0], row[1]} & failing for row in rows], sorted(failing)
        failing |= short
        stays = [row for row in rows if not {row[0], row[1]} & failing]


@given(trades, holdings)
def test_gross_is_what_it_is_by_hand(rows, held):
    assert judged(Mode.GROSS_GROSS, batch(*rows), means(held))[0] == plain_gross(rows, held)


@given(st.sampled_from([Mode.GROSS_NET, Mode.NET_NET]), trades, holdings)
def test_net_is_what_it_is_by_hand(mode, rows, held):
    assert judged(mode, batch(*rows), means(held)) == plain_net(rows, held, mode)


@given(st.sampled_from(Mode), trades, holdings, st.sets(st.integers(1, 12)), st.dictionaries(
    st.tuples(st.integers(A, D), st.just(0)), st.integers(0, 100), max_size=2
))  # fmt: skip
def test_nobody_ends_below_zero_whatever_is_backed_and_confirmed(mode, rows, held, backed, caps):
    """Trades are backed if they could all settle one after the other, as on a book."""
    has = dict(held)
    for number, (seller, buyer, quantity, ticks, unit) in enumerate(rows, 1):
        if number in backed:  # the book would not have taken the orders otherwise
            assume(has.get((seller, unit), 0) >= quantity and has.get((buyer, 0), 0) >= quantity * ticks)
            for holding, amount in (
                ((seller, unit), -quantity), ((buyer, 0), -quantity * ticks),
                ((buyer, unit), quantity), ((seller, 0), quantity * ticks),
            ):  # fmt: skip
                has[holding] = has.get(holding, 0) + amount
    due, stand = batch(*rows, backed=backed), means(held)
    verdict = settling(due, stand, mode, HOUSE, caps)

    assert (stand.held + due.net(verdict.settles, SHAPE, HOUSE) >= 0).all()
    assert (verdict.settles == ~(verdict.seller_fails | verdict.buyer_fails)).all()
    for (account, cash), cap in caps.items():
        bought = sum(
            row[2] * row[3] for row, keeps in zip(rows, verdict.settles, strict=True) if keeps and row[1] == account
        )
        netted = -int(due.net(verdict.settles, SHAPE, HOUSE)[account, cash])
        assert (netted if mode.nets_cash else bought) <= cap
    if not caps:
        assert verdict.settles[due.is_backed].all() or mode != Mode.GROSS_GROSS


# ---------------------------------------------------------------- what somebody lacks


def test_what_is_lacking_at_each_turn_or_in_one_sum():
    buys, sells = Move(0, 50, 1, 10), Move(1, 10, 0, 60)
    assert lacking([buys, sells], {}, netted=()) == {0: 50}
    assert lacking([sells, buys], {}, netted=()) == {1: 10}
    assert lacking([buys, sells], {}, netted=(0,)) == {}
    assert lacking([sells, buys], {}, netted=(0,)) == {1: 10}
    assert lacking([sells, buys], {}, netted=(0, 1)) == {}
    assert lacking([buys], {0: 20}, netted=(0, 1)) == {0: 30}


moves = st.lists(
    st.builds(Move, st.integers(0, 2), st.integers(0, 50), st.integers(0, 2), st.integers(0, 50)), max_size=8
)
free = st.dictionaries(st.integers(0, 2), st.integers(0, 100))
netted = st.sampled_from([(), (0,), (0, 1, 2)])


@given(moves, free, netted)
def test_with_what_it_lacks_nothing_lacks_and_with_a_fen_less_something_does(some, has, sums):
    lacks = lacking(some, has, sums)

    whole = {asset: has.get(asset, 0) + lacks.get(asset, 0) for asset in range(3)}
    assert lacking(some, whole, sums) == {}
    for asset in lacks:
        assert lacking(some, whole | {asset: whole[asset] - 1}, sums) == {asset: 1}


# ---------------------------------------------------------------- who covers

payers = st.lists(st.integers(0, 1000), max_size=6).map(lambda limits: list(enumerate(limits, 1)))


@given(st.integers(0, 3000), payers)
def test_the_waterfall_pays_exactly_what_is_needed_in_its_order_or_nothing(needed, each):
    paid = waterfall(needed, each)

    if sum(at_most for _, at_most in each) < needed:
        assert paid is None
        return
    assert sum(part for _, part in paid) == needed
    assert [payer for payer, _ in paid] == sorted(payer for payer, _ in paid)
    of = dict(paid)
    for payer, part in paid:
        assert 0 < part <= dict(each)[payer]
        assert all(of.get(before, 0) == at_most for before, at_most in each if before < payer)


def test_a_payer_that_has_less_than_nothing_is_passed_over():
    assert waterfall(5, [(1, -3), (2, 5)]) == [(2, 5)]


@given(st.integers(0, 10**12), st.sampled_from(["0", "0.2", "0.333333", "1"]), st.integers(0, 10**9))
def test_the_reserve_gets_its_share_and_never_more_than_its_target(fees, share, held):
    target = 10**8
    part = provision(fees, share, held, target)

    assert 0 <= part <= fees
    assert held + part <= max(held, target)
    if held + fees <= target:
        assert part == fees * int(float(share) * 1_000_000 + 0.5) // 1_000_000


# ---------------------------------------------------------------- what is remembered


def test_claims_are_repaid_in_the_order_in_which_they_were_made():
    defaults = Defaults()
    for case in (1, 2):
        defaults.open(A, 1, [case], 10, 20)
        defaults.claims.append(Claim(case, A, HOUSE, 100))
    defaults.claims[0].repaid = 100

    assert [claim.case for claim in defaults.owed_by(A)] == [2]
    assert (defaults.is_repaid(1), defaults.is_repaid(2)) == (True, False)
    assert defaults.case(3) is None and defaults.case(0) is None
    defaults.check()


acts = st.tuples(st.sampled_from(["fails", "brings", "ends"]), st.integers(0, 4), st.integers(0, 9))


@given(st.lists(acts, max_size=20))
def test_each_fen_that_is_brought_ends_one_case_at_most(acts):
    """Beside coins that are numbered as they come: a case that ends takes the oldest brought since it began."""
    defaults, coins, brought, began = Defaults(), list[int](), 0, dict[int, int]()
    for act, which, amount in acts:
        still_open = defaults.open_cases()
        if act == "fails":
            began[defaults.open(A, 1, [1], 10, 20).number] = brought
        elif act == "brings":
            coins += range(brought, brought + amount)
            brought += amount
            defaults.note_deposit(A, CASH, amount)
        elif still_open:
            case = still_open[which % len(still_open)]
            takes = min(amount, case.deposited.get(CASH, 0))
            if takes:
                defaults.take_up(case, CASH, takes)
            for coin in [coin for coin in coins if coin >= began[case.number]][:takes]:
                coins.remove(coin)
            case.state, case.ended_ns = CaseState.CURED, 30
        for case in defaults.open_cases():
            assert case.deposited.get(CASH, 0) == sum(coin >= began[case.number] for coin in coins)
        defaults.check()


@pytest.mark.parametrize(("is_buyer", "close", "ticks"), [(True, 4300, 100), (True, 4100, 0), (False, 4100, 100)])
def test_a_party_is_worse_off_by_what_the_price_has_moved_against_it(is_buyer, close, ticks):
    assert moved_against(is_buyer, 4200, close) == ticks
    assert moved_against(not is_buyer, 4200, close) == abs(close - 4200) - ticks


@pytest.mark.parametrize(
    "spoil",
    [
        lambda defaults: setattr(defaults.cases[0], "number", 2),
        lambda defaults: setattr(defaults.cases[0], "deadline_ns", 1),
        lambda defaults: setattr(defaults.cases[0], "ended_ns", 30),
        lambda defaults: setattr(defaults.cases[0], "used", {CASH: 101}),
        lambda defaults: setattr(defaults.cases[0], "deposited", {CASH: -1}),
        lambda defaults: setattr(defaults.cases[0], "closed_out", [Compensation(1, B, 4200, CASH, 10, 11)]),
        lambda defaults: setattr(defaults.claims[0], "amount", 0),
        lambda defaults: setattr(defaults.claims[0], "repaid", 101),
        lambda defaults: setattr(defaults.claims[0], "written_off", -1),
        lambda defaults: defaults.security.update({(1, 1): 0}),
        lambda defaults: (defaults.security.update({(1, 1): 5}), setattr(defaults.claims[0], "repaid", 100)),
    ],
)
def test_what_is_wrong_with_cases_and_claims_is_noticed(spoil):
    defaults = Defaults()
    defaults.open(A, 1, [1], 10, 20).paid = {CASH: 100}
    defaults.claims.append(Claim(1, A, HOUSE, 100))
    defaults.check()
    spoil(defaults)

    with pytest.raises(AssertionError):
        defaults.check()
