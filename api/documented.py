"""What the OpenAPI document says beyond what the routes say themselves: headers, examples, every code of refusal, and
who may ask.

`Idempotency-Key` at each POST, `Carbonex-Sequence` and `Carbonex-Event` at each GET belong to no route, so the routes
do not know them.
Examples of parameters and bodies are made of the examples that fields have, else of the market of this package's tests;
each is well-formed, which is tried for every route. Examples of errors are the codes by status, each with its sentence.
Examples of answers are what tests got for theirs: `examples.json`. How one shows who one is, and the roles that a
route is open to (`x-roles`), are those of the table that the door goes by (:mod:`api.access.rules`); while there are no
keys, each route is open without any, which the document then says too.
"""

import re
from typing import Any

from fastapi import FastAPI

from api import signing
from api.access.guard import Access
from api.access.rules import RULES
from api.access.sessions import COOKIE
from api.examples import answers_of
from api.problems import MEDIA_TYPE, details_of, said_by_status

KEYLESS = "/v1/session"
EXAMPLE_KEY = "7f0c2b1e-order-17"
NAMED: dict[str, Any] = {  # what stands for a name or number that has no example of its own
    "account_id": "E-001", "by": "REG", "order_id": 1, "symbol": "HBEA-2025", "code": "HBEA-2025",
    "unit": "HBEA-2025", "number": 1, "year": 2025, "lock_id": 1, "request_id": 1, "day": "2026-01-05",
    "project_id": "P-1", "project": "P-1", "answers_to": "0" * 64, "reduction": 1, "batch": 1,
    "day_or_batch": "2026-01-05", "deal_id": "D-1", "case": 1, "key_id": "robot", "first": "2026-01-01",
    "last": "2026-01-31", "methodology": "WIND", "bank": "BANK", "currency": "USD", "seller": "E-001",
    "buyer": "E-002", "payer": "E-001", "giver": "E-001", "taker": "E-002", "role": "trader", "rate": "7.10",
    "amount": "100.00", "price": "42.00", "cursor": "WyI2YjUxZDQzMSIsMV0",
}  # fmt: skip
CODE_OF = {"/v1/currencies/{code}/rates": "USD"}
_CSV = "line,account_id,currency,direction,amount\n"

_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A name of your own for this request, 1 to 200 visible characters: sent again under it, the request "
    "gets the same answer, and nothing happens twice",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
    "example": EXAMPLE_KEY,
}
_REPLAYED = {
    "description": "true: this is the answer to an earlier request under the key",
    "schema": {"type": "string"},
}
_SEQUENCE = {
    "description": "The command after which the answer is true",
    "schema": {"type": "integer"},
    "example": 1582,
}
_EVENT = {
    "description": "The event after which the answer is true: `seq` of the stream's trades, books, orders, fills and "
    "drop_copy",
    "schema": {"type": "integer"},
    "example": 2047,
}
_CURSOR = {"description": "If there is more: `cursor` of the next page", "schema": {"type": "string"}}
_LINK = {"description": 'If there is more: the address of the next page, rel="next"', "schema": {"type": "string"}}


_SIGNED = {f"signed_{name}": name for name in (signing.KEY, signing.TIMESTAMP, signing.SIGNATURE)}
_SAID = {
    signing.KEY: "Id of an API key, whose kind says how it signs: by HMAC-SHA256 with its secret, or by Ed25519",
    signing.TIMESTAMP: "When the request was signed: nanoseconds since 1970, UTC, within "
    f"{signing.WINDOW_NS // 10**9} s of the server's clock",
    signing.SIGNATURE: "Base64 of the signature of four lines, with a line feed between them: timestamp; method; path "
    "with its query, as sent; SHA-256 of the body in hexadecimal. Good for one request",
}
SCHEMES: dict[str, Any] = {
    scheme: {"type": "apiKey", "in": "header", "name": name.title(), "description": _SAID[name]}
    for scheme, name in _SIGNED.items()
} | {
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "A browser session, from `POST /v1/session`. What changes something must come from a page of "
        "this server (`Sec-Fetch-Site`, else `Origin`)",
    },
    "metrics_token": {"type": "http", "scheme": "bearer", "description": "For programs that measure and can't sign"},
}
_BY_KEY: list[dict[str, list[str]]] = [{scheme: [] for scheme in _SIGNED}, {"session": []}]


def document(app: FastAPI, access: Access) -> None:
    """Have the app's OpenAPI document say it all."""
    plain = app.openapi

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            _add_to(plain())
        assert app.openapi_schema is not None
        _add_security(app.openapi_schema, access.is_on)
        return app.openapi_schema

    app.openapi = whole  # type: ignore[method-assign]


def _add_to(described: dict[str, Any]) -> None:
    shapes = described["components"]["schemas"]
    problems = described["components"]["responses"] = {}
    for path, verbs in described["paths"].items():
        for verb, about in verbs.items():
            parameters = about.setdefault("parameters", [])
            for one in parameters:
                one.setdefault("example", _example_of(one["name"], one["schema"], shapes, path))
            _add_headers(path, verb, about, parameters)
            for kind, content in about.get("requestBody", {}).get("content", {}).items():
                example = _CSV if kind == "text/csv" else _example(content["schema"], shapes)
                content.setdefault("example", example)
            for status, response in about["responses"].items():
                for kind, content in response.get("content", {}).items():
                    if (status, kind) in (answered := answers_of(f"{verb.upper()} {path}")):
                        content["example"] = answered[status, kind]
                if MEDIA_TYPE in response.get("content", {}):
                    problems[status] = _problem(int(status), response["description"])
                    about["responses"][status] = {"$ref": f"#/components/responses/{status}"}
    _add_links(described["paths"], shapes)
    _say_pairs_as_arrays(shapes)


def _add_security(described: dict[str, Any], is_on: bool) -> None:
    """How one shows who one is at each route, and which roles it is open to. `is_on`: there are keys."""
    described["components"]["securitySchemes"] = SCHEMES
    for path, verbs in described["paths"].items():
        for verb, about in verbs.items():
            rule = RULES.get((verb.upper(), path))
            if rule is None:
                about["security"] = []
                continue
            about["x-roles"] = sorted(rule.roles)
            token: list[dict[str, list[str]]] = [{"metrics_token": []}] if path == "/metrics" else []
            about["security"] = [*_BY_KEY, *token] if is_on else [{}, *_BY_KEY, *token]


def _add_headers(path: str, verb: str, about: dict[str, Any], parameters: list[dict[str, Any]]) -> None:
    success = next(one for status, one in about["responses"].items() if status.startswith("2"))
    if verb == "post" and path != KEYLESS:
        parameters.append(_KEY)
        success["headers"] = {"Idempotent-Replayed": _REPLAYED}
    if verb == "get":
        success["headers"] = {"Carbonex-Sequence": _SEQUENCE, "Carbonex-Event": _EVENT}
        if {"cursor", "limit"} <= {one["name"] for one in parameters} and path != "/v1/trades":
            success["headers"] |= {"Carbonex-Cursor": _CURSOR, "Link": _LINK}


def _problem(status: int, description: str) -> dict[str, Any]:
    """The refusals of a status, each with its example: said once for all routes."""
    examples = {
        code: {"value": details_of(status, code, said).model_dump(exclude_none=True)}
        for code, said in said_by_status(status).items()
    }
    shape = {"$ref": "#/components/schemas/ProblemDetails"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": shape, "examples": examples}}}


def _add_links(paths: dict[str, Any], shapes: dict[str, Any]) -> None:
    """From each POST to the routes below it that name what it has made, and from its body who asks."""
    for path, verbs in paths.items():
        if "post" not in verbs:
            continue
        made = next(one for status, one in verbs["post"]["responses"].items() if status.startswith("2"))
        answer = _fields(made, shapes)
        asked = _fields(verbs["post"].get("requestBody", {}), shapes)
        for target, others in paths.items():
            below = re.match(re.escape(path) + r"/{(\w+)}", target)
            if below is None or below[1] not in answer or target.count("{") > path.count("{") + 1:
                continue
            for about in others.values():
                taken = {below[1]: f"$response.body#/{below[1]}"}
                taken |= {
                    one["name"]: f"$request.body#/{one['name']}"
                    for one in about["parameters"]
                    if one["in"] == "query" and one["name"] in asked
                }
                link = {"operationId": about["operationId"], "parameters": taken}
                made.setdefault("links", {})[about["operationId"]] = link


def _fields(content: dict[str, Any], shapes: dict[str, Any]) -> set[str]:
    """The names in a body of JSON."""
    schema = content.get("content", {}).get("application/json", {}).get("schema")
    return set(_resolved(schema, shapes).get("properties", ())) if schema else set()


# ---------------------------------------------------------------- examples of what is asked


def _example_of(name: str, schema: dict[str, Any], shapes: dict[str, Any], path: str = "") -> Any:
    """An example of a parameter or field: its own, else what its name stands for, else what its type allows."""
    if name == "code" and path in CODE_OF:
        return CODE_OF[path]
    own = [one for one in schema.get("examples", ()) if one is not None]
    if own:
        return own[0]
    of_type = _example(schema, shapes)
    named = NAMED.get(name)
    return named if named is not None and type(named) is type(of_type) and not _enum(schema, shapes) else of_type


def _enum(schema: dict[str, Any], shapes: dict[str, Any]) -> bool:
    return bool({"enum", "const"} & set(_resolved(schema, shapes)))


def _resolved(schema: dict[str, Any], shapes: dict[str, Any]) -> dict[str, Any]:
    """A schema without references and without the choice of leaving it out."""
    if "$ref" in schema:
        return _resolved(shapes[schema["$ref"].split("/")[-1]], shapes)
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return _resolved(next(one for one in schema[choice] if one.get("type") != "null"), shapes)
    return schema


def _example(schema: dict[str, Any], shapes: dict[str, Any]) -> Any:
    """An example of what a schema allows: of an object what is required or has an example, else what has a default."""
    own = [one for one in schema.get("examples", ()) if one is not None]
    if own:
        return own[0]
    found = _resolved(schema, shapes)
    if found is not schema and [one for one in found.get("examples", ()) if one is not None]:
        return _example(found, shapes)
    match found:
        case {"enum": [first, *_]}:
            return first
        case {"const": value}:
            return value
        case {"type": "object", "properties": fields}:
            wanted = {*found.get("required", ())} | {
                name for name, one in fields.items() if any(value is not None for value in one.get("examples", ()))
            }
            wanted = wanted or {name for name, one in fields.items() if one.get("default") is not None}
            return {name: _example_of(name, one, shapes) for name, one in fields.items() if name in wanted}
        case {"type": "object"}:
            return {}
        case {"type": "array"}:
            return [_example(found["items"], shapes)] if "items" in found else []
        case {"type": "integer"}:
            return int(found.get("default") or max(1, found.get("minimum", 1)))
        case {"type": "number"}:
            return max(1, found.get("minimum", 1))
        case {"type": "boolean"}:
            return found.get("default", True)
        case {"format": "date"}:
            return "2026-01-05"
        case _:
            return found.get("default") or "x" * max(1, found.get("minLength", 1))


def _say_pairs_as_arrays(part: Any) -> None:
    """What holds so many of one kind is said by `items`: many readers of documents don't know `prefixItems`."""
    if isinstance(part, dict):
        match part.get("prefixItems"):
            case [first, *others] if all(other == first for other in others):
                part["items"] = first
                del part["prefixItems"]
        part = [*part.values()]
    if isinstance(part, list):
        for inner in part:
            _say_pairs_as_arrays(inner)
