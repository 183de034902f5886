"""Answers as tables: nothing that counts is cut, on any screen; and every cell of a CSV is plain."""

import csv
import io

import pytest

from api import schemas
from api.layout import Column, laid_out
from api.tables import _label, csv_of, table_of
from registry.locks import LockKind

WIDTHS = (80, 100, 200)
CODES = [f"HBCER-FORESTRY-ENSHI-{year}" for year in (2024, 2025)]


def row(unit, **columns):
    empty = dict.fromkeys(schemas.UnitRow.model_fields, 0) | {"unit": unit, "species": "allowance", "vintage": 2024}
    return schemas.UnitRow.model_validate(empty | columns)


def report(*rows):
    total = row("all", total=sum(one.total for one in rows)).model_copy(update={"species": None, "vintage": None})
    return schemas.RegistryReport(market="A market", as_of=None, sequence=1582, rows=list(rows), total=total)


FULL = {
    name: 182_000_000 + number for number, name in enumerate(schemas.UnitRow.model_fields) if name not in
    ("unit", "species", "vintage")
}  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("columns", [FULL, {"compliance": 7, "total": 7}], ids=["every column", "few columns"])
def test_no_number_and_no_code_is_cut(width, columns):
    shown = table_of(report(*(row(code, **columns) for code in CODES)), width)
    assert max(map(len, shown.splitlines())) <= width
    for text in (*CODES, *(f"{tonnes:,}" for tonnes in columns.values())):
        assert shown.split().count(text) >= 2 or (text in CODES and text in shown.split()), text


def test_columns_in_which_nothing_stands_are_left_out():
    shown = table_of(report(row("HBEA-2024", compliance=7, total=7)))
    assert "compliance" in shown and "voluntary" not in shown and "reserve" not in shown


def test_a_table_that_is_too_wide_is_stacked_with_a_block_for_each_record():
    columns = [Column("unit", CODES), Column("held by the authority", ["1,000,000", "2"], is_number=True)]
    ruled, stacked = laid_out(columns, 80), laid_out(columns, 30)
    assert "──" in ruled and CODES[0] in ruled
    assert stacked.split("\n\n")[0].splitlines() == [
        f"unit                   {CODES[0]}", "held by the authority  1,000,000",
    ]  # fmt: skip


def test_a_shape_that_may_be_left_out_has_its_columns_all_the_same():
    names = csv_of([], schemas.CorrectionView).split()[0].split(",")
    assert [name for name in names if name.startswith("after_")] == [
        f"after_{name}" for name in schemas.TradeTerms.model_fields
    ]


def test_numbers_in_a_list_are_told_apart_from_a_count():
    assert [_label("failed", 2), _label("failed", [1234])] == ["failed", "failed trade ids"]


def test_headings_and_prose_wrap_at_words():
    why = "10,000 tce in 2024; threshold 13,000 tCO2e at 2.6 tCO2e per tce"
    shown = laid_out([Column("account of the payer", ["E"]), Column("detail", [why], is_prose=True)], 40)
    assert max(map(len, shown.splitlines())) <= 40
    assert set(why.split()) <= set(shown.split()) and "account of" not in shown


def test_a_code_in_prose_stays_whole():
    code = "HBCER-FORESTRY-ENSHI-2024-000017"
    shown = laid_out([Column("held by", ["x" * 30]), Column("why", [f"in place of {code}"], is_prose=True)], 60)
    assert code in shown.split()


def test_a_row_in_which_nothing_stands_is_shown_all_the_same():
    duty = schemas.DutyView(reduction=0, owner="", tonnes=0, replace_by="2026-01-05")
    nothing = schemas.UnitHolding(
        unit="", trading=0, registry=0, pledged=0, judicial=0, pending_surrender=0, settled=0
    )  # fmt: skip
    assert "2026-01-05" in table_of([duty]) and "tonnes" not in table_of([duty])
    assert "settled" in table_of([nothing])


def test_a_bracket_is_no_markup():
    lock = schemas.LockView(
        lock_id=1, account_id="E", unit="HBEA-2024", quantity=5, kind=LockKind.JUDICIAL, in_favour_of=None,
        reference="case [bold]7[/bold]",
    )  # fmt: skip
    assert "case [bold]7[/bold]" in table_of([lock])


def test_a_long_list_of_accounts_is_a_table_and_a_short_one_a_sentence():
    many = schemas.UnitsLapsed(sequence=7, year=2024, tonnes={f"E-{n:03}": n for n in range(1, 41)}, reserve=0)
    few = schemas.UnitsLapsed(sequence=7, year=2024, tonnes={"E-001": 1}, reserve=80_000)
    shown = table_of(many).splitlines()
    assert "820 t by 40 accounts" in shown[0] and "E-040     40" in shown
    assert table_of(few) == "2024: 1 t lapsed (E-001: 1 t), and 80,000 t of the reserve (command 7)\n"


SAID = {
    "F paid a fine of 150,000.00 CNY for 2024 (command 9)":
        schemas.FinePaid(sequence=9, account_id="F", year=2024, amount="150000.00"),
    "E got the 12,600 t that were parked for 2024 (numbers 1-12600) (command 9)":
        schemas.ParkedReleased(sequence=9, account_id="E", year=2024, quantity=12_600, serials=[(1, 12_600)]),
    "E gave 10 t CEA-2024 for CEA-2025 (numbers 7); the limit is 10,000 t (command 9)":
        schemas.UnitsCarriedOver(
            sequence=9, account_id="E", year=2024, limit=10_000, tonnes={"CEA-2024": 10}, unit="CEA-2025",
            serials=[(7, 7)],
        ),
    "E replaced 5 t by HBCER-1 (numbers 1, 3, 5, 7, 9, 11, 13, 15 and 2 more series); 3 t still to be replaced "
    "(command 9)":
        schemas.UnitsReplaced(
            sequence=9, reduction=2, account_id="E", unit="HBCER-1", quantity=5, still_to_replace=3,
            serials=[(number, number) for number in range(1, 21, 2)],
        ),
}  # fmt: skip


@pytest.mark.parametrize(("sentence", "answer"), SAID.items(), ids=lambda one: type(one).__name__)
def test_a_change_is_told_in_a_sentence(sentence, answer):
    assert table_of(answer, 200) == f"{sentence}\n"


def test_every_cell_of_a_csv_is_plain():
    request = schemas.SurrenderView(request_id=1, year=2024, payer="E", obligor="F", tonnes={"A": 5, "B": 7})
    answer = schemas.SurrenderConfirmed(sequence=3, request=request, serials={"A": [(1, 5)]}, missing=0)
    (found,) = csv.DictReader(io.StringIO(csv_of([answer])))
    assert (found["request_payer"], found["request_tonnes"], found["serials"]) == ("E", "A=5 B=7", "A=1-5")


def test_a_csv_without_rows_has_its_header():
    assert csv_of([], schemas.CoverageView) == "account_id,covered,why,detail\n"
    assert csv_of([]) == ""


def test_money_that_goes_out_is_written_like_money_that_comes_in_and_times_by_the_markets_clock():
    paid = schemas.StatementEntry(asset="CNY", amount="-5047806.95", cause="purchase", reference=1360)
    text = table_of([paid])
    assert "-5,047,806.95" in text and " 1360" in text
    stands = dict.fromkeys(schemas.StatementStanding.model_fields) | {
        "account_id": "I-01", "batch": 2, "date": "2026-01-06", "state": "issued", "objection": "", "ruling": "",
        "issued_at": "2026-01-06T09:16:44+08:00",
    }  # fmt: skip
    assert "2026-01-06 09:16:44" in table_of(schemas.StatementStanding.model_validate(stands))
