"""From the trades of a day to obligations, movements, title and statements.

trade 1   PLANT sells 100 t HBEA to MILL at 42.00, each pays 21.00 of fees
trade 2   MILL sells 40 t HBEA to FUND at 43.00, who pays 1.00, MILL nothing
trade 3   FUND sells 10 t HBCER to PLANT at 20.00 by the half dollar, without fees, in dollars
"""

import numpy as np
import pytest

from settlement.batch import move_title, movements, report
from settlement.clearing import Obligations, obligations
from settlement.statements import CASH, Entry, Statement, statements, trade_entries

HOUSE, PLANT, MILL, FUND = 1, 2, 3, 4
HBEA, HBCER = 1, 2  # units and instruments alike
USD = 3
SHAPE = (5, 4)  # accounts and assets
DAY = "2025-03-03"

TRADE = np.dtype(
    [
        (name, "i8")
        for name in ("instrument", "seller", "buyer", "price_ticks", "quantity", "buyer_fee", "seller_fee", "trade_id")
    ]
)


def owed_of(*trades: tuple[int, ...]) -> Obligations:
    rows = np.array(list(trades), TRADE)
    unit_of = np.array([0, HBEA, HBCER])
    cash_of = np.array([0, CASH, USD])
    fen_per_tick = np.array([0, 1, 50])
    return obligations(rows, unit_of, cash_of, fen_per_tick)


@pytest.fixture
def owed() -> Obligations:
    return owed_of(
        (HBEA, PLANT, MILL, 4200, 100, 2100, 2100, 1),
        (HBEA, MILL, FUND, 4300, 40, 100, 0, 2),
        (HBCER, FUND, PLANT, 40, 10, 0, 0, 3),
    )


def test_each_trade_is_an_obligation_of_units_against_cash(owed: Obligations) -> None:
    assert len(owed) == 3
    assert owed.turnover.tolist() == [420_000, 172_000, 20_000]
    assert owed.buyer_pays.tolist() == [422_100, 172_100, 20_000]
    assert owed.seller_receives.tolist() == [417_900, 172_000, 20_000]
    assert owed.unit.tolist() == [HBEA, HBEA, HBCER]
    assert owed.cash.tolist() == [CASH, CASH, USD]
    assert owed.fees.tolist() == [4200, 100, 0]


def test_what_buyers_pay_is_what_sellers_and_the_house_get(owed: Obligations) -> None:
    moves = movements(owed, SHAPE, HOUSE)
    assert moves.delivered.sum(axis=0).tolist() == moves.received.sum(axis=0).tolist() == [594_200, 140, 10, 20_000]
    assert moves.received[HOUSE].tolist() == [4300, 0, 0, 0]
    assert moves.delivered[MILL].tolist() == [422_100, 40, 0, 0]
    assert moves.received[MILL].tolist() == [172_000, 100, 0, 0]
    assert moves.received[FUND].tolist() == [0, 40, 0, 20_000]


def test_a_trade_with_oneself_delivers_and_receives() -> None:
    moves = movements(owed_of((HBEA, MILL, MILL, 4200, 5, 10, 20, 1)), SHAPE, HOUSE)
    assert moves.delivered[MILL].tolist() == [21_010, 5, 0, 0]
    assert moves.received[MILL].tolist() == [20_980, 5, 0, 0]
    assert moves.received[HOUSE].tolist() == [30, 0, 0, 0]


def test_title_moves_trade_by_trade_in_the_order_of_trading(owed: Obligations) -> None:
    moved: list[tuple[int, int, int, int, int]] = []
    move_title(owed, np.array([1, 2, 3]), lambda *leg: moved.append(leg))
    assert moved == [(HBEA, PLANT, MILL, 100, 1), (HBEA, MILL, FUND, 40, 2), (HBCER, FUND, PLANT, 10, 3)]


def test_the_batch_in_totals(owed: Obligations) -> None:
    batch = report(DAY, owed)
    assert (batch.date, batch.mode, batch.trades) == (DAY, "gross", 3)
    assert (batch.cash_moved, batch.fees) == (594_200, 4300)
    assert batch.other_currencies == {USD: (20_000, 0)}
    assert batch.units_moved == {HBEA: 140, HBCER: 10}


def test_a_day_without_trades_settles_nothing() -> None:
    nothing = owed_of()
    moves = movements(nothing, SHAPE, HOUSE)
    assert len(nothing) == 0 and not moves.delivered.any() and not moves.received.any()
    batch = report(DAY, nothing)
    assert (batch.trades, batch.cash_moved, batch.fees, batch.units_moved, batch.other_currencies) == (0, 0, 0, {}, {})


# ---------------------------------------------------------------- statements


@pytest.fixture
def day(owed: Obligations) -> dict[int, Statement]:
    """The statements of a day that began with 1,000.00 CNY, 500.00 USD and 200 t HBEA on PLANT's account."""
    opening = np.zeros(SHAPE, np.int64)
    opening[PLANT] = [100_000, 200, 0, 50_000]
    opening[FUND] = [0, 0, 10, 0]
    deposits = [(account, Entry(CASH, 1_000_000, "deposit", account)) for account in (MILL, FUND)]
    moves = movements(owed, SHAPE, HOUSE)
    closing = opening + moves.received - moves.delivered
    closing[[MILL, FUND], CASH] += 1_000_000
    entries = [*deposits, *trade_entries(owed, np.array([1, 2, 3]), HOUSE)]
    return {statement.account: statement for statement in statements(DAY, opening, iter(entries), closing)}


def test_everybody_who_holds_or_moved_something_gets_a_statement_that_adds_up(day: dict[int, Statement]) -> None:
    assert sorted(day) == [HOUSE, PLANT, MILL, FUND]
    for statement in day.values():
        statement.check()


def test_a_statement_names_every_movement_with_its_cause(day: dict[int, Statement]) -> None:
    mill = day[MILL]
    assert mill.opening == {}
    assert mill.entries == [
        Entry(CASH, 1_000_000, "deposit", MILL),
        Entry(HBEA, 100, "purchase", 1),
        Entry(CASH, -420_000, "purchase", 1),
        Entry(CASH, -2100, "fee", 1),
        Entry(HBEA, -40, "sale", 2),
        Entry(CASH, 172_000, "sale", 2),
    ]
    assert mill.closing == {CASH: 749_900, HBEA: 60}
    assert day[PLANT].closing == {CASH: 517_900, HBEA: 100, HBCER: 10, USD: 30_000}
    assert day[HOUSE].entries == [Entry(CASH, 4200, "fee_income", 1), Entry(CASH, 100, "fee_income", 2)]


def test_who_holds_something_and_did_nothing_gets_a_statement_without_entries() -> None:
    holding = np.zeros(SHAPE, np.int64)
    holding[PLANT, HBEA] = 7
    (statement,) = statements(DAY, holding, iter([]), holding)
    assert statement == Statement(DAY, PLANT, {HBEA: 7}, [], {HBEA: 7})


@pytest.mark.parametrize(
    "statement",
    [
        Statement(DAY, PLANT, {CASH: 100}, [], {CASH: 101}),
        Statement(DAY, PLANT, {CASH: 100}, [Entry(CASH, 1, "deposit", 1)], {CASH: 100}),
        Statement(DAY, PLANT, {}, [Entry(HBEA, 5, "purchase", 1)], {}),
        Statement(DAY, PLANT, {HBEA: 5}, [], {}),
    ],
)
def test_a_statement_that_does_not_add_up_is_noticed(statement: Statement) -> None:
    with pytest.raises(AssertionError, match=f"the statement of account {PLANT} does not add up"):
        statement.check()
