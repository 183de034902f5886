"""All statements of a batch in sums: the same by the column as statement by statement, and the same as the report."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.batch import Amounts, BatchReport, discharge
from settlement.clearing import Terms, terms_of
from settlement.rules import Mode
from settlement.statements import CASH, Entry, Line
from settlement.totals import Total, check_report, totals, totals_of
from tests.settlement.plain_clearing import Trade, rows_of

ACCOUNTS, ASSETS = 5, 5
HOUSE, PLANT, MILL, FUND = 1, 2, 3, 4
HBEA, HBCER, EURO = 1, 2, 3  # assets; 4 is a unit that is not traded
TERMS: Terms = terms_of(np.array([0, HBEA, HBCER]), np.array([CASH, CASH, EURO]), np.array([0, 1, 50]))
CAUSES = ("deposit", "withdrawal", "fine", "issuance", "fee", "purchase_of_a_kind")

accounts = st.integers(1, ACCOUNTS - 1)
fees = st.integers(0, 3)
trades = st.tuples(st.integers(1, 2), accounts, accounts, st.integers(1, 90), st.integers(1, 9), fees, fees)
entries = st.builds(Entry, st.integers(0, ASSETS - 1), st.integers(-9, 9), st.sampled_from(CAUSES), st.integers(1, 9))
holdings = st.lists(st.integers(0, 100), min_size=ACCOUNTS * ASSETS, max_size=ACCOUNTS * ASSETS)


def line_of(traded: list[tuple[int, ...]], moved: list[tuple[int, Entry]], held: list[int]) -> Line:
    """A line whose closing is what its statements say."""
    rows = rows_of(Trade(number, *one) for number, one in enumerate(traded, 1))
    opening = np.array(held, np.int64).reshape(ACCOUNTS, ASSETS)
    closing = opening.copy()
    line = Line("2026-01-05", 1, HOUSE, rows, moved, opening, closing)
    for account in range(ACCOUNTS):
        for entry in line.statement(account, TERMS).entries:
            closing[account, entry.asset] += entry.amount
    return line


@given(st.lists(trades, max_size=12), st.lists(st.tuples(accounts, entries), max_size=6), holdings)
def test_totals_by_the_column_are_those_of_statement_after_statement(traded, moved, held):
    line = line_of(traded, moved, held)

    assert totals(line, TERMS) == totals_of(line.statements(TERMS))
    assert line.concerned() == [account for account in range(ACCOUNTS) if line.concerns(account)]
    for statement in line.statements(TERMS):
        statement.check()


def reported_of(line: Line, mode: Mode = Mode.GROSS_GROSS) -> BatchReport:
    return discharge(line.trades, TERMS, ACCOUNTS - 1, ASSETS - 1, HOUSE, mode).report


own_causes = entries.filter(lambda one: one.cause != "fee")


@given(st.lists(trades, max_size=12), st.lists(st.tuples(accounts, own_causes)), st.sampled_from(Mode))
def test_all_statements_together_are_the_report_in_every_mode(traded, moved, mode):
    line = line_of(traded, moved, [50] * ACCOUNTS * ASSETS)

    check_report(line, reported_of(line, mode), TERMS)


SOLD = (HBEA, PLANT, MILL, 4200, 100, 2100, 2000)
AGAIN = (HBEA, MILL, FUND, 4300, 40, 100, 0)
IN_EURO = (HBCER, FUND, PLANT, 40, 10, 7, 0)


@pytest.fixture
def line() -> Line:
    deposits = [(account, Entry(CASH, 1_000_000, "deposit", account)) for account in (MILL, FUND)]
    return line_of([SOLD, AGAIN, IN_EURO], deposits, [500_000] * ACCOUNTS * ASSETS)


def test_totals_name_each_cause_in_each_asset(line: Line) -> None:
    assert totals(line, TERMS) == [
        Total(CASH, "deposit", 2, 2_000_000, 0),
        Total(CASH, "fee", 3, 0, 4200),
        Total(CASH, "fee_income", 1, 4200, 0),
        Total(CASH, "purchase", 2, 0, 592_000),
        Total(CASH, "sale", 2, 592_000, 0),
        Total(HBEA, "purchase", 2, 140, 0),
        Total(HBEA, "sale", 2, 0, 140),
        Total(HBCER, "purchase", 1, 10, 0),
        Total(HBCER, "sale", 1, 0, 10),
        Total(EURO, "fee", 1, 0, 7),
        Total(EURO, "fee_income", 1, 7, 0),
        Total(EURO, "purchase", 1, 0, 20_000),
        Total(EURO, "sale", 1, 20_000, 0),
    ]


def gross(amount: int) -> Amounts:
    return Amounts(amount, amount, amount)


@pytest.mark.parametrize(
    "change",
    [
        {"trades": 2},
        {"fees": {CASH: 4200, EURO: 8}},
        {"cash": {CASH: gross(594_201), EURO: gross(20_007)}},
        {"units": {HBEA: gross(140), HBCER: gross(11)}},
        {"units": {HBEA: gross(140)}},
        {"units": {HBEA: gross(140), HBCER: gross(10), 4: gross(1)}},
        {"units": {HBEA: Amounts(140, 100, 100), HBCER: gross(10)}},
        {"units": {HBEA: Amounts(140, 141, 140), HBCER: gross(10)}},
        {"mode": Mode.NET_NET},
        {"mode": Mode.GROSS_NET},
    ],
    ids=str,
)
def test_a_report_of_something_else_is_noticed(line: Line, change) -> None:
    reported = reported_of(line)
    check_report(line, reported, TERMS)

    with pytest.raises(AssertionError):
        check_report(line, msgspec.structs.replace(reported, **change), TERMS)


def test_a_sale_without_a_purchase_is_noticed(line: Line) -> None:
    line.entries.append((PLANT, Entry(HBEA, 1, "purchase", 9)))
    line.closing[PLANT, HBEA] += 1

    with pytest.raises(AssertionError, match="what is sold and what is bought differ in asset 1"):
        check_report(line, reported_of(line), TERMS)


def test_a_fen_that_no_statement_explains_is_noticed(line: Line) -> None:
    line.closing[FUND, EURO] += 1

    with pytest.raises(AssertionError, match=r"\[0, 0, 0, 1, 0\] more than statements say"):
        check_report(line, reported_of(line), TERMS)
