"""From the trades of a day to obligations, movements, title and statements.

trade 1   PLANT sells 100 t HBEA to MILL at 42.00, each pays 21.00 of fees
trade 2   MILL sells 40 t HBEA to FUND at 43.00, who pays 1.00, MILL nothing
trade 3   FUND sells 10 t HBCER to PLANT at 20.00 by the half yuan, without fees
"""

import numpy as np
import pytest

from exchange.rows import type_of_rows
from settlement.batch import Discharge, discharge
from settlement.clearing import buyer_pays, seller_receives, terms_of
from settlement.rules import Mode
from settlement.statements import CASH, Entry, Line, Statement
from tests.settlement.plain_clearing import Trade, rows_of

pytestmark = pytest.mark.kernels

HOUSE, PLANT, MILL, FUND = 1, 2, 3, 4
HBEA, HBCER = 1, 2  # units and instruments alike
SHAPE = (5, 3)  # accounts and assets
TERMS = terms_of(np.array([0, HBEA, HBCER]), np.zeros(3), np.array([0, 1, 50]))
DAY = "2025-03-03"


TRADES = (
    Trade(1, HBEA, PLANT, MILL, 4200, 100, 2100, 2100),
    Trade(2, HBEA, MILL, FUND, 4300, 40, 100, 0),
    Trade(3, HBCER, FUND, PLANT, 40, 10, 0, 0),
)


def batch_of(*trades: Trade) -> Discharge:
    return discharge(rows_of(trades), TERMS, SHAPE[0] - 1, SHAPE[1] - 1, HOUSE, Mode.GROSS_GROSS)


@pytest.fixture
def settled() -> Discharge:
    return batch_of(*TRADES)


@pytest.fixture
def owed(settled: Discharge) -> type_of_rows:
    return settled.obligations


def test_each_trade_is_an_obligation_of_units_against_cash(owed: type_of_rows) -> None:
    assert owed["trade_id"].tolist() == [1, 2, 3]
    assert owed["turnover"].tolist() == [420_000, 172_000, 20_000]
    assert buyer_pays(owed).tolist() == [422_100, 172_100, 20_000]
    assert seller_receives(owed).tolist() == [417_900, 172_000, 20_000]
    assert owed["unit"].tolist() == [HBEA, HBEA, HBCER]
    assert owed["cash"].tolist() == [CASH, CASH, CASH]


def test_what_buyers_pay_is_what_sellers_and_the_house_get(settled: Discharge) -> None:
    moves = settled.positions
    assert moves.out.sum(axis=0).tolist() == moves.into.sum(axis=0).tolist() == [614_200, 140, 10]
    assert moves.into[HOUSE].tolist() == [4300, 0, 0]
    assert moves.out[MILL].tolist() == [422_100, 40, 0]
    assert moves.into[MILL].tolist() == [172_000, 100, 0]


def test_a_trade_with_oneself_delivers_and_receives() -> None:
    moves = batch_of(Trade(1, HBEA, MILL, MILL, 4200, 5, 10, 20)).positions
    assert moves.out[MILL].tolist() == [21_010, 5, 0]
    assert moves.into[MILL].tolist() == [20_980, 5, 0]
    assert moves.into[HOUSE].tolist() == [30, 0, 0]


def test_the_batch_in_totals(settled: Discharge) -> None:
    told = settled.report
    assert (told.mode, told.trades, told.fees) == (Mode.GROSS_GROSS, 3, {CASH: 4300})
    assert told.cash[CASH].moved == 614_200
    assert {unit: amounts.moved for unit, amounts in told.units.items()} == {HBEA: 140, HBCER: 10}


def test_a_day_without_trades_settles_nothing() -> None:
    nothing = batch_of()
    assert not nothing.obligations.size and not nothing.positions.out.any() and not nothing.positions.into.any()
    assert (nothing.report.trades, nothing.report.cash, nothing.report.units, nothing.report.fees) == (0, {}, {}, {})


# ---------------------------------------------------------------- statements


@pytest.fixture
def line(settled: Discharge) -> Line:
    """The line under a day that began with 1,000.00 CNY and 200 t HBEA on PLANT's account."""
    opening = np.zeros(SHAPE, np.int64)
    opening[PLANT] = [100_000, 200, 0]
    opening[FUND] = [0, 0, 10]
    deposits = [(account, Entry(CASH, 1_000_000, "deposit", account)) for account in (MILL, FUND)]
    closing = opening + settled.positions.net
    closing[[MILL, FUND], CASH] += 1_000_000
    return Line(DAY, 1, HOUSE, rows_of(TRADES), deposits, opening, closing)


@pytest.fixture
def day(line: Line) -> dict[int, Statement]:
    return {statement.account: statement for statement in line.statements(TERMS)}


def test_everybody_who_holds_or_moved_something_gets_a_statement_that_adds_up(
    line: Line, day: dict[int, Statement]
) -> None:
    assert [*day] == [HOUSE, PLANT, MILL, FUND]
    for statement in day.values():
        statement.check()
    line.check(TERMS)


def test_a_statement_names_every_movement_with_its_cause(day: dict[int, Statement]) -> None:
    mill = day[MILL]
    assert mill.opening == {}
    assert mill.entries == [
        Entry(CASH, 1_000_000, "deposit", MILL),
        Entry(HBEA, 100, "purchase", 1),
        Entry(CASH, -420_000, "purchase", 1, 100),
        Entry(CASH, -2100, "fee", 1),
        Entry(HBEA, -40, "sale", 2),
        Entry(CASH, 172_000, "sale", 2, 40),
    ]
    assert mill.closing == {CASH: 749_900, HBEA: 60}
    assert day[HOUSE].entries == [Entry(CASH, 4300, "fee_income", 1)]


def test_who_holds_something_and_did_nothing_gets_a_statement_without_entries() -> None:
    holding = np.zeros(SHAPE, np.int64)
    holding[PLANT, HBEA] = 7
    (statement,) = Line(DAY, 1, HOUSE, rows_of(()), [], holding, holding).statements(TERMS)
    assert statement == Statement(DAY, 1, PLANT, {HBEA: 7}, [], {HBEA: 7})


def test_a_line_of_which_a_movement_is_missing_is_noticed(line: Line) -> None:
    line.entries.pop()
    with pytest.raises(
        AssertionError, match=rf"statements do not add up for \(account, asset\) \[\[{FUND}, {CASH}\]\]"
    ):
        line.check(TERMS)


@pytest.mark.parametrize(
    "statement",
    [
        Statement(DAY, 1, PLANT, {CASH: 100}, [], {CASH: 101}),
        Statement(DAY, 1, PLANT, {CASH: 100}, [Entry(CASH, 1, "deposit", 1)], {CASH: 100}),
        Statement(DAY, 1, PLANT, {}, [Entry(HBEA, 5, "purchase", 1)], {}),
        Statement(DAY, 1, PLANT, {HBEA: 5}, [], {}),
    ],
)
def test_a_statement_that_does_not_add_up_is_noticed(statement: Statement) -> None:
    with pytest.raises(AssertionError, match=f"the statement of account {PLANT} does not add up"):
        statement.check()
