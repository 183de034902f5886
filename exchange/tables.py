"""Reports as tables for people. Tonnes with thousands marked, money in the currency."""

from collections.abc import Iterable
from decimal import Decimal

from rich import box
from rich.table import Table

from exchange.reports import COLUMNS, ComplianceSummary, UnitRow, total_row


def _table(title: str, *headings: str) -> Table:
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number else "left", min_width=11 if number else 16)
    return made


def compliance_table(summaries: Iterable[ComplianceSummary], currency: str) -> Table:
    """Compliance years side by side."""
    years = list(summaries)
    made = _table("Compliance", "", *(str(one.year) for one in years))
    lines: list[tuple[str, list[str]]] = [
        ("covered enterprises", [f"{one.covered:,}" for one in years]),
        ("cap, t", [f"{one.cap:,}" for one in years]),
        ("government reserve, t", [f"{one.reserve:,}" for one in years]),
        ("paid allocation, t", [f"{one.paid:,}" for one in years]),
        ("free allocation, t", [f"{one.allocated:,}" for one in years]),
        ("+ taken back, t", [f"{one.taken_back:,}" for one in years]),
        ("+ carried in, t", [f"{one.carried_in:,}" for one in years]),
        ("= allowances issued, t", [f"{one.issued:,}" for one in years]),
        ("not issued: deductions, t", [f"{one.deducted:,}" for one in years]),
        ("verified emissions, t", [f"{one.emissions:,}" for one in years]),
        ("+ to be given back, t", [f"{one.owed_back:,}" for one in years]),
        ("surrendered allowances, t", [f"{one.surrendered_allowances:,}" for one in years]),
        ("surrendered credits, t", [f"{one.surrendered_credits:,}" for one in years]),
        ("shortfall, t", [f"{one.missing:,}" for one in years]),
        (f"fines, {currency}", [f"{Decimal(one.fines) / 100:,.2f}" for one in years]),
        ("complied", [f"{one.complied:,}" for one in years]),
        ("compliance rate", [f"{float(one.rate):.2%}" for one in years]),
    ]
    for label, values in lines:
        made.add_row(label, *values)
    return made


def registry_table(rows: list[UnitRow]) -> Table:
    """The registry report, with its totals; columns in which nothing stands are left out."""
    total = total_row(rows)
    shown = [column for column in COLUMNS if getattr(total, column)]
    made = _table("Registry report, tCO2e", "unit", *(column.replace("_", " ") for column in shown))
    for row in rows:
        made.add_row(row.unit, *(f"{getattr(row, column):,}" for column in shown), end_section=row is rows[-1])
    made.add_row(total.unit, *(f"{getattr(total, column):,}" for column in shown))
    return made
