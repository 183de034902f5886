"""Answers as tables: CSV for programs, sentences and tables for people."""

import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from textwrap import wrap
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from api import schemas
from api.layout import Column, laid_out
from api.sentences import account_text, amount, next_commands, obligor_lines, said, serial_text, serials_text

PIPED = 100  # columns of a text that goes to a file or another program
_IDS = {"trades": "trade ids", "failed": "failed trade ids", "cases": "case numbers"}  # where they are lists
_NUMBERS = (  # that count nothing
    "year", "vintage", "first", "last", "serial", "first_serial", "last_serial", "number", "sequence", "trade_id",
    "lock_id", "request_id", "reference", "reduction", "reductions",
    "version", "factor_version", "valid_from_year", "batch",
)  # fmt: skip
_PROSE = {
    "name",
    "title",
    "detail",
    "reason",
    "status_reason",
    "reasons",
    "source",
    "what",
    "activity_unit",
    "purpose",
    "explanation",
}
_SHOWN = {  # of shapes that have more than a list of them should show
    schemas.AccountView: ("account_id", "name", "participant_class", "status", "beneficial_owner", "region"),
    schemas.ObligorRow: ("account_id", "due", "surrendered", "waiting", "missing", "outcome", "fine"),
    schemas.UnitRow: tuple(name for name in schemas.UnitRow.model_fields if name != "species"),
    schemas.UnitView: ("code", "species", "vintage", "issued", "held", "surrendered", "retired", "cancelled"),
    schemas.TitledBlock: (
        "unit",
        "first",
        "last",
        "quantity",
        "origin",
        "cause",
        "giver",
        "at",
        "sequence",
        "trade_id",
    ),
    schemas.PeriodView: ("year", "unit", "stage", "covered", "allocated", "emissions", "missing", "fines", "complied"),
    schemas.ProjectView: (
        "project_id",
        "scheme",
        "owner",
        "title",
        "kind",
        "region",
        "state",
        "public_until",
        "decide_by",
    ),
    schemas.ReductionView: (
        "number",
        "scheme",
        "project",
        "owner",
        "tonnes",
        "state",
        "unit",
        "first_serial",
        "last_serial",
    ),
    schemas.CaseView: ("number", "account_id", "batch", "state", "deadline", "overdue", "lacked", "trades", "owed"),
    schemas.EmissionReport: ("account_id", "year", "version", "state", "total", "figure", "submitted_on", "late"),
}
_LONG = 3  # entries beyond which a mapping is a table of its own


def rows_of(answer: BaseModel | Sequence[BaseModel]) -> Sequence[BaseModel]:
    """The rows of an answer: of a report its rows and totals, of a statement its blocks, of a history its movements."""
    match answer:
        case schemas.RegistryReport():
            return [*answer.rows, answer.total]
        case schemas.RegistryStatement():
            return [*answer.blocks, *answer.ended]
        case schemas.SerialHistory():
            return answer.movements
        case schemas.CoverageDecided():
            return answer.decisions
        case schemas.PreAllocated() | schemas.AllocationDetermined():
            return answer.allocations
        case schemas.SurrenderClosed():
            return answer.records
        case schemas.ObligorView():
            return [obligor_row(answer)]
        case BaseModel():
            return [answer]
        case _:
            return [obligor_row(one) if isinstance(one, schemas.ObligorView) else one for one in answer]


def obligor_row(obligor: schemas.ObligorView) -> schemas.ObligorRow:
    """An enterprise's year without the lists in it."""
    inside: dict[str, object] = {
        "covered": obligor.coverage.covered,
        "why": obligor.coverage.why,
        "detail": obligor.coverage.detail,
    }
    own = {name: getattr(obligor, name) for name in schemas.ObligorRow.model_fields if name not in inside}
    return schemas.ObligorRow.model_validate(own | inside)


# ---------------------------------------------------------------- for programs


def csv_of(rows: Sequence[BaseModel], kind: type[BaseModel] | None = None) -> str:
    """Shapes of one kind as CSV with a header; empty if there is no row and no kind is named.

    Every cell is plain: tonnes by unit stand as on the command line (HBEA-2024=100), serial numbers as 1-1000; lists
    of shapes are left out.
    """
    text = io.StringIO()
    kind = type(rows[0]) if rows else kind
    if kind:
        writer = csv.writer(text, lineterminator="\n")
        names = _plain_names(kind)
        writer.writerow(names)
        for row in rows:
            values = _plain(row)
            writer.writerow([values.get(name) for name in names])
    return text.getvalue()


def _plain_names(kind: type[BaseModel]) -> list[str]:
    names = []
    for name, field in kind.model_fields.items():
        if (shape := _shape_in(field.annotation)) is not None:
            names += [f"{name}_{inner}" for inner in _plain_names(shape)]
        elif not _holds_shapes(field.annotation):
            names.append(name)
    return names


def _shape_in(annotation: Any) -> type[BaseModel] | None:
    """The shape that a field is, or is unless it is left out."""
    kinds = [one for one in get_args(annotation) or (annotation,) if one is not NoneType]
    is_shape = len(kinds) == 1 and isinstance(kinds[0], type) and issubclass(kinds[0], BaseModel)
    return kinds[0] if is_shape and get_origin(annotation) in (None, Union, UnionType) else None


def _holds_shapes(annotation: Any) -> bool:
    """Whether a field is a list of shapes, perhaps none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    return any(_holds_shapes(one) for one in getattr(annotation, "__args__", ()))


def _plain(row: BaseModel) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in type(row).model_fields:
        value = getattr(row, name)
        if isinstance(value, BaseModel):
            values |= {f"{name}_{inner}": one for inner, one in _plain(value).items()}
        else:
            values[name] = _flat(value)
    return values


def _flat(value: Any) -> Any:
    match value:
        case dict():
            return " ".join(f"{key}={_flat(one)}" for key, one in value.items())
        case tuple():
            return "-".join(str(_flat(one)) for one in value)
        case list():
            return " ".join(str(_flat(one)) for one in value)
        case _:
            return value


# ---------------------------------------------------------------- for people


def table_of(answer: BaseModel | Sequence[BaseModel], width: int = PIPED) -> str:
    """An answer in words and tables no wider than so many columns: nothing that counts is ever cut."""
    parts = _parts(answer, width)
    return "\n".join(line.rstrip() for line in "".join(parts).lstrip("\n").split("\n"))


def _parts(answer: BaseModel | Sequence[BaseModel], width: int) -> list[str]:
    match answer:
        case schemas.RegistryReport():
            title = (
                f"{answer.market}, {answer.as_of or 'before its first day'}, after command {answer.sequence:,}; tCO2e"
            )
            return [_many([*answer.rows, answer.total], width, title, totals=True)]
        case schemas.ObligorView():
            lists: list[tuple[str, Sequence[BaseModel]]] = [
                ("requests that wait for the authority", answer.pending),
                ("what may be used", answer.usable),
            ]
            return [*_lines(obligor_lines(answer), width), *(_many(rows, width, name) for name, rows in lists if rows)]
        case schemas.AccountView():
            return [*_lines([("", account_text(answer))], width), *_lists(answer, width)]
        case schemas.SerialHistory():
            return [*_lines([("", serial_text(answer))], width), *_lists(answer, width)]
        case schemas.Happened():
            return [*_lines([("", said(answer))], width), *_lists(answer, width)]
        case BaseModel():
            return _one(answer, width)
        case _:
            return [_many(rows_of(answer), width)] if answer else ["none\n"]


def _lines(lines: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Names and values, a line each; a value without a name is a sentence."""
    text, margin = [], max((len(name) for name, _ in lines), default=0) + 2
    for name, value in lines:
        start = f"{name:<{margin}}" if name else ""
        text += wrap(
            value, width, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
    return [f"{line}\n" for line in text]


def _one(answer: BaseModel, width: int, title: str = "") -> list[str]:
    """The plain fields of a shape, then the shapes in it, then a table for each list in it."""
    inside: list[str] = []
    plain: list[tuple[str, str]] = []
    for name in type(answer).model_fields:
        value = getattr(answer, name)
        label = _label(name, value)
        if isinstance(value, BaseModel):
            inside += _one(value, width, label)
        elif not _is_listed(value):
            plain.append((label, _text(value, name)))
    plain = [(label, text) for label, text in plain if text]
    columns = [Column("", [name for name, _ in plain]), Column("", [text for _, text in plain], is_prose=True)]
    return [laid_out(columns, width, title), *inside, *_lists(answer, width), *_next(answer, width)]


def _next(answer: BaseModel, width: int) -> list[str]:
    """What to type next, if something is to be done."""
    commands = " | ".join(f"carbonex settlement {command}" for command in next_commands(answer))
    return ["\n", *_lines([("next:", commands)], width)] if commands else []


def _lists(answer: BaseModel, width: int) -> list[str]:
    """A table for each list of shapes, and for each long mapping, in a shape."""
    found = []
    for name in type(answer).model_fields:
        value, label = getattr(answer, name), _label(name)
        if isinstance(value, dict) and _is_listed(value):
            keys, amounts = Column("", list(value)), Column("tCO2e", [_text(one) for one in value.values()], True)
            found.append(laid_out([keys, amounts], width, label))
        elif _is_listed(value):
            if isinstance(value[0], schemas.Holding):
                value = [one for one in value if _counts(one)]
            found.append(_many(value, width, label) if value else f"{label}: none\n")
        elif isinstance(value, BaseModel) and isinstance(answer, schemas.Happened):
            found += _lists(value, width)
    return found


def _is_listed(value: Any) -> bool:
    """Whether a field has a table of its own."""
    if isinstance(value, dict):
        return len(value) > _LONG and all(type(one) is int for one in value.values())
    return isinstance(value, list) and bool(value) and isinstance(value[0], BaseModel)


def _counts(holding: schemas.Holding) -> bool:
    return any(_is_something(value) for name, value in holding if name != "asset")


def _is_something(value: Any) -> bool:
    """Whether a cell says anything: a zero does not, a no does."""
    if isinstance(value, bool):
        return True
    if isinstance(value, str):
        return bool(value) and value.strip("0.") != ""
    return bool(value)


def _many(rows: Sequence[BaseModel], width: int, title: str = "", totals: bool = False) -> str:
    """Shapes of one kind, a row each, without the columns in which nothing stands."""
    shown = _SHOWN.get(type(rows[0]), tuple(type(rows[0]).model_fields))
    names = [name for name in shown if any(_is_something(getattr(row, name)) for row in rows)] or list(shown)
    return laid_out([_column(rows, name) for name in names], width, title, totals)


def _column(rows: Sequence[BaseModel], name: str) -> Column:
    values = [getattr(row, name) for row in rows]
    is_number = all(type(value) in (int, type(None)) or _is_money(value) for value in values)
    is_nested = any(isinstance(value, dict | list | BaseModel) for value in values)
    return Column(
        _label(name, values[0]), [_text(value, name) for value in values], is_number, is_nested or name in _PROSE
    )


def _is_money(value: Any) -> bool:
    return isinstance(value, str) and value.removeprefix("-").replace(".", "", 1).isdecimal() and value[-3:-2] == "."


def _label(name: str, value: Any = None) -> str:
    """A field's name in words; numbers in a list are names, and no counts."""
    if isinstance(value, list) and name in _IDS:
        return _IDS[name]
    return name.replace("_", " ")


def _text(value: Any, name: str = "") -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return str(value) if name in _NUMBERS else f"{value:,}"
        case str() if _is_money(value):
            return amount(Decimal(value))
        case str() if name == "at" or name.endswith("_at") or name in ("deadline", "object_until"):
            return value[:19].replace("T", " ")  # by the market's clock
        case BaseModel():
            return ", ".join(f"{_label(key)} {_text(one, key)}" for key, one in value if one not in (None, "", [], {}))
        case dict():
            return ", ".join(f"{key}: {_text(one)}" for key, one in value.items())
        case tuple() if len(value) == 2:
            return serials_text([value])
        case list():  # numbers of a list are names of trades or cases: 1234, 1235
            return ", ".join(str(one) if type(one) is int else _text(one) for one in value)
        case _:
            return str(value)
