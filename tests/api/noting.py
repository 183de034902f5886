"""The examples of answers in the documents of the API and of the stream: what tests that are marked `examples` got.

Such a test gives the examples that stand under its name in `api/examples.json`, and fails if it gets other answers by
now. `pytest tests/api -m examples --renew-examples` writes the file anew: of every answer that a route gives, by its
status and media type, and of every message of the stream, the first one that is not empty.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import httpx

import api
from api.access.rules import rule_of

FILE = Path(api.__file__).parent / "examples.json"
LONGEST = 12_000  # characters of an example; a longer one is looked for elsewhere
_BY_LOT = {"secret", "session_id", "process", "version", "clock_behind_ns", "client_order_id", "speed"}
_LONG_AGO_NS = 10**18
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?")
_DIGEST = re.compile(r"\b[0-9a-f]{32,64}\b|(?<=-)[0-9a-f]{8}\b|\bc-[0-9a-f]{32}\b")


class Kind(NamedTuple):
    """What an example is of: an operation (`GET /v1/market`) with status and media type, or a message of the stream."""

    of: str
    status: int = 0
    media: str = ""


Answers = dict[Kind, Any]


def note(found: Answers, request: httpx.Request, status: int, headers: httpx.Headers, body: bytes) -> None:
    """Keep an answer, unless it is a refusal, or there is one already that says something."""
    rule = rule_of(request.method, request.url.path)
    template = rule[0].template if rule else request.url.path
    media = headers.get("content-type", "").split(";")[0]
    if body and 200 <= status < 300 and media in ("application/json", "text/csv", "text/html"):
        keep(found, Kind(f"{request.method} {template}", status, media), body.decode())


def keep(found: Answers, kind: Kind, text: str) -> None:
    """Likewise, of anything."""
    if not found.get(kind) and len(text) <= LONGEST:
        found[kind] = text if kind.media.startswith("text/") else json.loads(text)


def masked(value: Any) -> Any:
    """An example without what is different each time: moments, digests, what is drawn by lot."""
    match value:
        case dict():
            return {name: name if name in _BY_LOT else masked(one) for name, one in value.items()}
        case list():
            return [masked(one) for one in value]
        case int() if value > _LONG_AGO_NS:
            return "moment"
        case str():
            return _DIGEST.sub("digest", _TIME.sub("time", value))
    return value


def of_file() -> dict[Kind, tuple[str, Any]]:
    """The examples, each with the test that gives it."""
    if not FILE.exists():
        return {}
    rows = json.loads(FILE.read_text("utf-8"))
    return {Kind(one["of"], one["status"], one["media"]): (one["test"], one["value"]) for one in rows}


def write(examples: dict[Kind, tuple[str, Any]]) -> None:
    """Write the file, an example a line."""
    rows = [kind._asdict() | {"test": test, "value": value} for kind, (test, value) in sorted(examples.items())]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    FILE.write_text(f"[\n{lines}\n]\n", "utf-8")
