"""Commands of the registry as requests: a route for each, made of the command's own structure.

A room's router lists its commands in a table: path, command, answer. From the command come the body (all fields that
the path does not name), its documentation and its limits, so that the wire and the journal cannot disagree; a field
that nobody knows is an error, a number is never taken from text. The answer is what happened
(:func:`api.registry_views.told`), in a shape of :mod:`api.schemas`.

Who asks is named in the body (`by`, or the account itself); the exchange refuses with `not_permitted` (403) whoever's
class or status lacks the right (:mod:`registry.accounts`).
"""

import inspect
import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union

import msgspec
from fastapi import APIRouter, Path
from msgspec import inspect as shape_of
from pydantic import BaseModel, ConfigDict, Field, create_model
from starlette.requests import Request

from api.gateway import Gateway, gateway_of
from api.registry_views import told
from api.schemas.base import INT64, Day, Identifier, Model
from api.schemas.registry import Happened
from exchange.commands import ControlCommand
from exchange.events import ControlEvent

Number = Annotated[int, Path(ge=-INT64, le=INT64)]  # in a path
TEXT_MAX = 2000  # characters
_Answer = TypeVar("_Answer", bound=Happened)
MANY = 10_000  # entries of a list

# What fields are, where their name and type do not say it: description, example. A name may be that of one structure.
GLOSSARY: dict[str, tuple[str, Any]] = {
    "by": ("Account id of who asks", "REG"),
    "account_id": ("Account id", "STEEL"),
    "on_behalf_of": ("Whose emissions are paid for; left out: the payer's own", ""),
    "in_favour_of": ("Account id of pledgee or creditor; left out: nobody in the registry", ""),
    "unit": ("Code of the unit", "HBEA-2024"),
    "quantity": ("tCO2e, whole tonnes", 100),
    "PublishFactor.unit": ("tCO2 per unit of activity", "tCO2/MWh"),
    "Output.unit": ("In which it is measured", "t"),
    "units": ("Tonnes by code of the unit; left out: whatever makes whole, oldest first", {"HBEA-2024": 14_000}),
    "year": ("Compliance year", 2024),
    "Activity.year": ("Year of the figures", 2023),
    "cap": ("tCO2e; 0: none", 1_000_000),
    "deadline": ("The last day that is in time", "2026-12-26"),
    "emissions": ("tCO2e", 20_000),
    "tonnes": ("tCO2e", 1000),
    "bases": (
        "On what the allocation rests, one a generating unit or product line",
        [{"method": "historical", "base_emissions": 20_000, "sector_factor": "0.9"}],
    ),
}


# Names by which something is found again, in a path too.
IDENTIFIERS = {
    "by", "account_id", "giver", "taker", "on_behalf_of", "in_favour_of", "unit", "code", "scheme", "methodology",
    "project_id", "project", "plant", "batch_ref",
}  # fmt: skip
NOT_IDENTIFIERS = {"PublishFactor.unit", "Output.unit"}


class Verb(NamedTuple):
    """A command as a request: where it is posted, and the shape of the answer."""

    path: str
    command: type[ControlCommand]
    answer: type[Happened]


def add_verbs(router: APIRouter, verbs: Sequence[Verb]) -> None:
    """A documented route for each command."""
    for verb in verbs:
        router.add_api_route(
            verb.path,
            _endpoint(verb),
            methods=["POST"],
            status_code=201,
            response_model=verb.answer,
            summary=in_words(verb.command.__name__).capitalize(),
            description=_doc(verb.command),
        )


def in_words(name: str) -> str:
    """OpenSurrender: open surrender."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


def _doc(struct: type[msgspec.Struct]) -> str:
    doc = struct.__dict__.get("__doc__") or in_words(struct.__name__).capitalize() + "."
    return inspect.cleandoc(doc)


def _endpoint(verb: Verb) -> Callable[..., Any]:
    """A function with the parameters that FastAPI is to look for: the path's, the body, the gateway."""
    fields = {field.name: field for field in _fields(verb.command)}
    in_path = re.findall(r"{(\w+)}", verb.path)
    in_body = [field for name, field in fields.items() if name not in in_path]
    body = _model(verb.command.__name__, _doc(verb.command), in_body) if in_body else None

    async def endpoint(request: Request, **given: Any) -> Happened:
        content = given.pop("body", None)
        asked = given | (content.model_dump(exclude_unset=True) if content else {})
        command = msgspec.convert(asked, verb.command)
        gateway = await gateway_of(request)
        return await perform(gateway, command, verb.answer)

    parameters = [inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)]
    for name in in_path:
        is_number = isinstance(fields[name].type, shape_of.IntType)
        annotation: Any = Number if is_number else Identifier
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation))
    if body is not None:
        parameters.append(inspect.Parameter("body", inspect.Parameter.KEYWORD_ONLY, annotation=body))
    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    endpoint.__name__ = in_words(verb.command.__name__).replace(" ", "_")
    return endpoint


async def perform(gateway: Gateway, command: Any, answer: type[_Answer]) -> _Answer:
    """Hand in a command and tell what happened. Problem if it is refused."""
    sequence, event = await gateway.inbox.ask_numbered(command)
    assert isinstance(event, ControlEvent)
    return answer.model_validate({"sequence": sequence, **told(gateway.exchange, event)})


# ---------------------------------------------------------------- from structs to shapes


def _fields(struct: type[msgspec.Struct]) -> tuple[shape_of.Field, ...]:
    described = shape_of.type_info(struct)
    assert isinstance(described, shape_of.StructType)
    return described.fields


def _model(name: str, doc: str, fields: Sequence[shape_of.Field], tag: tuple[str, str] | None = None) -> type[Model]:
    """A strict shape of some fields of a struct."""
    definitions: dict[str, Any] = {}
    if tag:
        definitions[tag[0]] = (Literal[tag[1]], ...)
    for field in fields:
        about_all = GLOSSARY.get(field.name, (None, None))
        description, example = GLOSSARY.get(f"{name}.{field.name}", about_all)
        about = Field(default=_default(field), description=description)
        if example not in (None, ""):
            about = Field(default=_default(field), description=description, examples=[example])
        is_name = field.name in IDENTIFIERS and f"{name}.{field.name}" not in NOT_IDENTIFIERS
        annotation = (Identifier if field.required else Identifier | Literal[""]) if is_name else _type(field.type)
        definitions[field.name] = (annotation, about)
    return create_model(name, __base__=_Body, __doc__=doc, **definitions)


class _Body(Model):
    model_config = ConfigDict(extra="forbid", use_enum_values=True)


def _default(field: shape_of.Field) -> Any:
    if field.required:
        return ...
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default.value if isinstance(field.default, Enum) else field.default


@cache
def _struct_model(cls: type[msgspec.Struct]) -> type[BaseModel]:
    described = shape_of.type_info(cls)
    assert isinstance(described, shape_of.StructType)
    tag = (described.tag_field, str(described.tag)) if described.tag_field else None
    return _model(cls.__name__, _doc(cls), described.fields, tag)


def _type(described: shape_of.Type) -> Any:
    """What pydantic is told of a type that msgspec knows."""
    match described:
        case shape_of.IntType(ge=low, le=high):
            bounds = Field(strict=True, ge=-INT64 if low is None else low, le=INT64 if high is None else high)
            return Annotated[int, bounds]
        case shape_of.StrType(pattern=pattern, max_length=longest):
            return Annotated[str, Field(pattern=pattern, max_length=longest or TEXT_MAX)]
        case shape_of.BoolType():
            return Annotated[bool, Field(strict=True)]
        case shape_of.NoneType():
            return None
        case shape_of.DateType():
            return Day
        case shape_of.EnumType(cls=cls):
            return cls
        case shape_of.LiteralType(values=values):
            return Literal[values]
        case shape_of.ListType(item_type=item) | shape_of.VarTupleType(item_type=item):
            return Annotated[list[_type(item)], Field(max_length=MANY)]  # type: ignore[misc]
        case shape_of.TupleType(item_types=items):
            return tuple[tuple(_type(item) for item in items)]  # type: ignore[misc]
        case shape_of.DictType(key_type=key, value_type=value):
            return Annotated[dict[_type(key), _type(value)], Field(max_length=MANY)]  # type: ignore[misc]
        case shape_of.StructType(cls=cls):
            return _struct_model(cls)
        case shape_of.UnionType(types=types):
            tags = {one.tag_field for one in types if isinstance(one, shape_of.StructType)}
            union: Any = Union[tuple(_type(one) for one in types)]  # noqa: UP007
            return Annotated[union, Field(discriminator=tags.pop())] if len(tags) == 1 and None not in tags else union
        case _:
            raise NotImplementedError(f"no request has a field of {described}")
