"""Answers as tables: CSV for programs, ruled lines for people."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from api import schemas

_WIDE = 250  # columns of a text that goes to a file or another program
_NUMBERS = (  # that count nothing
    "year", "vintage", "first", "last", "serial", "first_serial", "last_serial", "number", "sequence", "trade_id",
    "lock_id", "request_id", "reduction", "version", "factor_version", "valid_from_year", "batch",
)  # fmt: skip
_IN_ACCOUNTS = ("account_id", "name", "participant_class", "status", "beneficial_owner", "region")


def rows_of(answer: BaseModel | Sequence[BaseModel]) -> Sequence[BaseModel]:
    """The rows of an answer: of a report its rows and totals, of a statement its blocks, of a history its movements."""
    match answer:
        case schemas.RegistryReport():
            return [*answer.rows, answer.total]
        case schemas.RegistryStatement():
            return answer.blocks
        case schemas.SerialHistory():
            return answer.movements
        case BaseModel():
            return [answer]
        case _:
            return answer


def csv_of(rows: Sequence[BaseModel]) -> str:
    """Shapes of one kind as CSV with a header; what is nested stands there as JSON. Empty without a row."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(type(rows[0]).model_fields), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _flat(value) for name, value in row.model_dump(mode="json").items()})
    return text.getvalue()


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def table_of(answer: BaseModel | Sequence[BaseModel], to_terminal: bool) -> str:
    """An answer as tables: many of a kind a row each, one a line a field."""
    console = Console(file=io.StringIO(), width=None if to_terminal else _WIDE, force_terminal=False)
    for table in _tables(answer):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().split("\n"))


def _tables(answer: BaseModel | Sequence[BaseModel]) -> list[Table | str]:
    match answer:
        case schemas.RegistryReport():
            title = (
                f"{answer.market}, {answer.as_of or 'before its first day'}, after command {answer.sequence:,}; tCO2e"
            )
            return [_many([*answer.rows, answer.total], title, totals=True)]
        case BaseModel():
            return _one(answer)
        case _:
            return [_many(answer)] if answer else ["none"]


def _one(answer: BaseModel, title: str | None = None) -> list[Table | str]:
    """The plain fields of a shape, then the shapes in it, then a table for each list of shapes in it."""
    plain, inside, lists = Table(title=title, title_justify="left", show_header=False), [], []
    for name in type(answer).model_fields:
        value, label = getattr(answer, name), name.replace("_", " ")
        if isinstance(value, BaseModel):
            inside += _one(value, label)
        elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
            lists.append(_many(value, label))
        else:
            plain.add_row(label, _text(value, name))
    return [plain, *inside, *lists]


def _many(rows: Sequence[BaseModel], title: str | None = None, totals: bool = False) -> Table:
    table = Table(title=title, title_justify="left")
    names = [name for name in type(rows[0]).model_fields if name in _IN_ACCOUNTS or not _is_account(rows[0])]
    for name in names:
        is_number = all(type(getattr(row, name)) in (int, type(None)) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if is_number else "left")
    for row in rows:
        if totals and row is rows[-1]:
            table.add_section()
        table.add_row(*(_text(getattr(row, name), name) for name in names))
    return table


def _is_account(row: BaseModel) -> bool:
    return isinstance(row, schemas.AccountView)


def _text(value: Any, name: str = "") -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return str(value) if name in _NUMBERS else f"{value:,}"
        case BaseModel():
            return ", ".join(f"{key} {_text(one, key)}" for key, one in value if one not in (None, ""))
        case dict():
            return ", ".join(f"{key}: {_text(one)}" for key, one in value.items())
        case tuple() if len(value) == 2:
            return f"{value[0]}-{value[1]}"
        case list():
            return ", ".join(_text(one) for one in value)
        case _:
            return str(value)
