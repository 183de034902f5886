"""Netting: what is left of a day's trades when claims are offset, and who gives to whom.

trade 1   PLANT sells 100 t HBEA to MILL at 42.00, each pays 21.00 of fees
trade 2   MILL sells 40 t HBEA to FUND at 43.00, who pays 1.00, MILL nothing
trade 3   FUND sells 30 t HBEA to PLANT at 10.00 in euros, without fees
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.batch import Amounts, discharge
from settlement.clearing import buyer_pays, obligations, seller_receives, terms_of
from settlement.netting import Positions, deliveries, needed_at_turns, payments, positions
from settlement.rules import Mode
from tests.settlement import plain_clearing as plain
from tests.settlement.plain_clearing import ACCOUNTS, ASSETS, EURO, HBCER, HBEA, HOUSE, TERMS, Trade, rows_of

pytestmark = pytest.mark.kernels

PLANT, MILL, FUND = 2, 3, 4
CASH = 0
DAY = [
    Trade(1, 1, PLANT, MILL, 4200, 100, 2100, 2100),
    Trade(2, 1, MILL, FUND, 4300, 40, 100, 0),
    Trade(3, 3, FUND, PLANT, 1000, 30),
]


@st.composite
def random_trades(draw: st.DrawFn) -> list[Trade]:
    """Any few accounts in any instruments; the house and trades with oneself among them."""
    sides, fees = st.integers(HOUSE, ACCOUNTS), st.integers(0, 5)
    terms = st.tuples(st.integers(1, 3), sides, sides, st.integers(10, 30), st.integers(1, 9), fees, fees)
    return [Trade(number, *each) for number, each in enumerate(draw(st.lists(terms, max_size=12)), 1)]


def summed(trades: list[Trade]) -> Positions:
    return positions(rows_of(trades), TERMS, ACCOUNTS, ASSETS, HOUSE)


def net_of(**amounts: int) -> np.ndarray:
    """Net positions in HBEA of accounts a2, a3, ..."""
    net = np.zeros((ACCOUNTS + 1, ASSETS + 1), np.int64)
    for name, amount in amounts.items():
        net[int(name[1:]), HBEA] = amount
    return net


# ---------------------------------------------------------------- positions


def test_claims_are_offset_per_account_and_asset() -> None:
    net = summed(DAY).net
    assert net[PLANT].tolist() == [417_900, -70, 0, 0, -30_000]
    assert net[MILL].tolist() == [172_000 - 422_100, 60, 0, 0, 0]
    assert net[FUND].tolist() == [-172_100, 10, 0, 0, 30_000]
    assert net[HOUSE].tolist() == [4300, 0, 0, 0, 0]


def test_gross_positions_keep_what_is_sold_and_bought_apart() -> None:
    sums = summed(DAY)
    assert sums.out[MILL].tolist() == [422_100, 40, 0, 0, 0]
    assert sums.into[MILL].tolist() == [172_000, 100, 0, 0, 0]
    assert (sums.trades, sums.trades_with_fee, sums.fees.tolist()) == (3, 2, [4300, 0, 0, 0, 0])


def test_a_trade_with_oneself_nets_to_its_fees() -> None:
    assert summed([Trade(1, 1, MILL, MILL, 4200, 5, 10, 20)]).net[MILL].tolist() == [-30, 0, 0, 0, 0]


@pytest.mark.parametrize("broken", [
    Trade(1, 4, PLANT, MILL, 1, 1),  # an instrument without terms
    Trade(1, 1, ACCOUNTS + 1, MILL, 1, 1),
    Trade(1, 1, PLANT, ACCOUNTS + 1, 1, 1),
])  # fmt: skip
def test_a_trade_of_somebody_or_something_unknown_is_refused(broken: Trade) -> None:
    with pytest.raises(ValueError, match="not there"):
        summed([DAY[0], broken])


def test_an_obligation_needs_terms() -> None:
    with pytest.raises(ValueError, match="without terms"):
        obligations(rows_of([Trade(1, 4, PLANT, MILL, 1, 1)]), TERMS)


@pytest.mark.parametrize(
    ("assets", "house", "complaint"),
    [
        (EURO - 1, HOUSE, "asset 4 of the terms is beyond 3"),
        (ASSETS, ACCOUNTS + 1, "house 7 is not one of 6 accounts"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(assets: int, house: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        positions(rows_of(DAY), TERMS, ACCOUNTS, assets, house)


def test_no_asset_is_both_delivered_and_paid_with() -> None:
    with pytest.raises(AssertionError, match=r"assets \[1\] are delivered and paid with"):
        terms_of(np.array([0, HBEA, HBCER]), np.array([0, HBCER + 1, HBEA]), np.array([0, 1, 1]))


def test_a_position_that_leaves_something_over_is_noticed() -> None:
    sums = summed(DAY)
    sums.check()
    sums.net[PLANT, HBEA] += 1
    with pytest.raises(AssertionError, match="leave"):
        sums.check()
    sums.net[MILL, HBEA] -= 1
    with pytest.raises(AssertionError, match="comes in"):
        sums.check()


@given(random_trades())
def test_obligations_and_positions_are_those_of_the_plain_twin(trades: list[Trade]) -> None:
    sums, owed = summed(trades), obligations(rows_of(trades), TERMS)
    out, into = plain.out_and_into(trades, TERMS)
    sums.check()
    assert owed.tolist() == plain.obligations(trades, TERMS)
    assert (sums.out == plain.array_of(out)).all() and (sums.into == plain.array_of(into)).all()
    assert sums.out[:, CASH].sum() == buyer_pays(owed)[owed["cash"] == CASH].sum()
    assert (buyer_pays(owed) - seller_receives(owed)).sum() == sums.fees.sum()


# ---------------------------------------------------------------- deliveries and payments


@pytest.mark.parametrize(
    ("net", "rows"),
    [
        ({}, []),
        ({"a2": -5, "a3": 5}, [(2, 3, 5)]),
        ({"a2": 5, "a3": -5}, [(3, 2, 5)]),
        ({"a2": -5, "a3": -3, "a4": 8}, [(2, 4, 5), (3, 4, 3)]),  # two give to one
        ({"a2": -8, "a3": 5, "a4": 3}, [(2, 3, 5), (2, 4, 3)]),  # one gives to two
        ({"a2": -5, "a3": -3, "a4": 6, "a5": 2}, [(2, 4, 5), (3, 4, 1), (3, 5, 2)]),  # D + R - 1
        ({"a2": -5, "a3": 5, "a4": -3, "a5": 3}, [(2, 3, 5), (4, 5, 3)]),  # a cut for both at once
    ],
)
def test_net_deliverers_give_to_net_receivers_in_the_order_of_accounts(net: dict, rows: list) -> None:
    assert deliveries(net_of(**net), HBEA).tolist() == rows


def test_the_clearing_house_is_paid_before_it_pays() -> None:
    assert payments(summed(DAY).net, CASH).tolist() == [
        (MILL, -250_100), (FUND, -172_100), (HOUSE, 4300), (PLANT, 417_900),
    ]  # fmt: skip
    assert payments(summed(DAY).net, EURO).tolist() == [(PLANT, -30_000), (FUND, 30_000)]


@given(random_trades())
def test_what_is_needed_at_each_turn_is_as_by_the_plain_twin(trades: list[Trade]) -> None:
    needed = needed_at_turns(rows_of(trades), TERMS, (ACCOUNTS + 1, ASSETS + 1))
    assert (needed == plain.array_of(plain.needed_at_turns(trades, TERMS))).all()


def test_what_was_bought_can_be_passed_on_from_its_turn_on() -> None:
    there, back = Trade(1, 1, PLANT, MILL, 10, 10), Trade(2, 1, MILL, FUND, 10, 8)
    shape = (ACCOUNTS + 1, ASSETS + 1)
    assert needed_at_turns(rows_of([there, back]), TERMS, shape)[MILL, HBEA] == 0
    assert needed_at_turns(rows_of([back, there]), TERMS, shape)[MILL, HBEA] == 8


@given(random_trades())
def test_deliveries_and_payments_are_those_of_the_plain_twin(trades: list[Trade]) -> None:
    net, expected = summed(trades).net, plain.net(trades, TERMS)
    for unit in (HBEA, HBCER):
        found = deliveries(net, unit)
        sides = np.count_nonzero(net[:, unit])
        assert found.tolist() == plain.deliveries(expected, unit)
        assert len(found) <= max(sides - 1, 0)
    for cash in (CASH, EURO):
        assert payments(net, cash).tolist() == plain.payments(expected, cash)


# ---------------------------------------------------------------- the batch


@pytest.mark.parametrize(
    ("mode", "tonnes", "fen", "euro_cents", "transfers"),
    [
        (Mode.GROSS_GROSS, 170, 594_200, 30_000, (3, 5)),  # two trades bear a fee
        (Mode.GROSS_NET, 170, 422_200, 30_000, (3, 6)),
        (Mode.NET_NET, 70, 422_200, 30_000, (2, 6)),
    ],
)
def test_what_each_mode_moves(mode: Mode, tonnes: int, fen: int, euro_cents: int, transfers: tuple[int, int]) -> None:
    told = discharge(rows_of(DAY), TERMS, ACCOUNTS, ASSETS, HOUSE, mode).report
    assert told.units == {HBEA: Amounts(gross=170, net=70, moved=tonnes)}
    assert told.cash == {CASH: Amounts(594_200, 422_200, fen), EURO: Amounts(30_000, 30_000, euro_cents)}
    assert (told.deliveries, told.payments) == transfers
    assert (told.trades, told.obligations, told.net_positions, told.fees) == (3, 6, 9, {CASH: 4300, EURO: 0})


@pytest.mark.parametrize("mode", Mode)
@given(trades=random_trades())
def test_a_batch_is_told_as_by_the_plain_twin(mode: Mode, trades: list[Trade]) -> None:
    one = discharge(rows_of(trades), TERMS, ACCOUNTS, ASSETS, HOUSE, mode)
    one.check()
    assert one.report == plain.report(trades, TERMS, mode)
    assert set(one.deliveries) == ({HBEA, HBCER} if mode == Mode.NET_NET else set())
    assert set(one.payments) == (set() if mode == Mode.GROSS_GROSS else {CASH, EURO})


@pytest.mark.parametrize("kind", ["deliveries", "payments"])
def test_a_transfer_that_goes_astray_is_noticed(kind: str) -> None:
    one = discharge(rows_of(DAY), TERMS, ACCOUNTS, ASSETS, HOUSE, Mode.NET_NET)
    rows = getattr(one, kind)[HBEA if kind == "deliveries" else CASH]
    rows["quantity" if kind == "deliveries" else "amount"][0] += 1
    with pytest.raises(AssertionError, match=f"{kind} of .* are not its net positions"):
        one.check()
