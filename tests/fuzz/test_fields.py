"""Every field of every route, filled with what nobody should send: refused as documented, or harmless."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.conftest import Desk, running_desk
from tests.api.test_documented import request_of, routes

pytestmark = [pytest.mark.fuzz, pytest.mark.anyio]

# As JSON text, for some of them no encoder would write.
NASTY = {
    "nothing": "null",
    "NUL": '"\\u0000"',
    "half a surrogate": '"\\ud800"',
    "another half": '"A\\udfffB"',
    "written backwards": '"\\u202eHBEA-2025"',
    "full width digits": '"\uff11\uff12.\uff10\uff10"',
    "Arabic digits": '"\u0661\u0662"',
    "a family": '"\U0001f468\u200d\U0001f469\u200d\U0001f467"',
    "an accent upon another": '"' + "e" + "\u0301" * 500 + '"',
    "a line of a file": '"a\\r\\nb,c;\\"=1+1"',
    "a path": '"../../etc/passwd"',
    "SQL": '"\'; DROP TABLE accounts; --"',
    "a page": '"<script>alert(1)</script>"',
    "a hundred thousand letters": '"' + "x" * 100_000 + '"',
    "2**63": str(2**63),
    "-2**63": str(-(2**63)),
    "2**64": str(2**64),
    "ten to the 400": "1" + "0" * 400,
    "five thousand digits": "9" * 5_000,
    "1e400": "1e400",
    "minus zero": "-0",
    "almost one": "0.9999999999999999999",
    "no number": "NaN",
    "infinity": "-Infinity",
    "digits in text": '"' + "9" * 5_000 + '"',
    "a list in a list": "[" * 200 + "]" * 200,
    "a deep object": '{"a":' * 200 + "1" + "}" * 200,
    "true": "true",
}
IN_A_PATH = ["%00", "%FF", "%2e%2e%2f", "9" * 5_000, "-1", "1e9", quote("\u0661"), quote("\u202eE-001"), "x" * 3_000]


def places(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where something stands in an example of a body."""
    yield at
    if isinstance(value, dict):
        for name, one in value.items():
            yield from places(one, (*at, name))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from places(one, (*at, number))


def with_nasty(value: Any, at: tuple[str | int, ...], nasty: str) -> str:
    """A body as JSON text, with something else at a place."""
    if not at:
        return nasty
    first, *rest = at
    if isinstance(value, dict):
        parts = [f"{json.dumps(k)}: {with_nasty(v, tuple(rest), nasty) if k == first else json.dumps(v)}"
                 for k, v in value.items()]  # fmt: skip
        return "{" + ", ".join(parts) + "}"
    return "[" + ", ".join(
        with_nasty(v, tuple(rest), nasty) if k == first else json.dumps(v) for k, v in enumerate(value)
    ) + "]"  # fmt: skip


async def ask(desk: Desk, verb: str, path: str, about: dict[str, Any], **sent: Any) -> str | None:
    """What is wrong with an answer; None if nothing is."""
    response = await desk.http.request(verb, path, **sent)
    if response.is_success:
        return None if str(response.status_code) in about["responses"] else f"{response.status_code}"
    code = response.json().get("code")
    known = about["responses"].get(str(response.status_code), {}).get("content", {})
    examples = known.get("application/problem+json", {}).get("examples", {})
    fits = code in examples or (response.status_code, code) in {(404, "not_found"), (405, "method_not_allowed")}
    return None if fits and response.status_code < 500 else f"{response.status_code} {response.text[:200]}"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("nasty", NASTY)
async def test_every_field_of_every_body(nasty):
    wrong = []
    async with running_desk() as desk:
        await desk.enrol()
        await desk.open()
        for verb, path, about in routes(desk):
            content = about.get("requestBody", {}).get("content", {}).get("application/json")
            if content is None:
                continue
            target, sent = request_of(path, about)
            for at in places(content["example"]):
                body = with_nasty(content["example"], at, NASTY[nasty]).encode()
                headers = sent["headers"] | {"content-type": "application/json"}
                if found := await ask(desk, verb, target, about, content=body, headers=headers):
                    wrong.append((verb, path, at, found))
        assert [one for one in await desk.client.checks() if not one.ok] == []
    assert wrong == []


@pytest.mark.timeout(1800)
async def test_every_parameter_of_every_route():
    wrong = []
    async with running_desk() as desk:
        await desk.enrol()
        await desk.open()
        for verb, path, about in routes(desk):
            target, sent = request_of(path, about)
            bare = target.split("?")[0]
            for one in about["parameters"]:
                for nasty in IN_A_PATH:
                    if one["in"] == "path":
                        address = target.replace(f"/{one['example']}", f"/{nasty}", 1)
                    elif one["in"] == "query":
                        address = f"{bare}?{one['name']}={nasty}"
                    else:
                        continue
                    if found := await ask(desk, verb, address, about, **sent):
                        wrong.append((verb, address[:200], found))
        assert [one for one in await desk.client.checks() if not one.ok] == []
    assert wrong == []
