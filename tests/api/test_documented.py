"""The OpenAPI document against the exchange: each route's examples are asked, each code has its example."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from jsonschema_rs import Draft202012Validator

import api
from api.access.rules import is_open
from api.app import make_app
from api.problems import OTHERS, ProblemDetails, said_by_status, status_of
from api.stream import asyncapi
from exchange.reasons import Reason
from tests.api import noting
from tests.api.conftest import Desk

pytestmark = pytest.mark.anyio
WRONG_FORM = {
    "invalid_request",
    "malformed_json",
    "not_found",
    "method_not_allowed",
    "internal_error",
    "not_documented",
}


def routes(desk: Desk) -> list[tuple[str, str, dict[str, Any]]]:
    """(verb, path, operation); what is said once for all routes is put in its places."""
    said = make_app(desk.gateway).openapi()
    shared = {f"#/components/responses/{status}": one for status, one in said["components"]["responses"].items()}
    found = [(verb, path, {**about}) for path, verbs in said["paths"].items() for verb, about in verbs.items()]
    for _, _, about in found:
        about["responses"] = {status: shared.get(one.get("$ref"), one) for status, one in about["responses"].items()}
    return found


def request_of(path: str, about: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A request made of a route's examples."""
    query, headers = {}, {}
    for one in about["parameters"]:
        match one["in"]:
            case "path":
                path = path.replace(f"{{{one['name']}}}", str(one["example"]))
            case "query" if one["name"] != "cursor":
                query[one["name"]] = one["example"]
            case "header" if one["name"] != "Idempotency-Key":
                headers[one["name"]] = str(one["example"])
    sent: dict[str, Any] = {"headers": headers}
    for kind, content in about.get("requestBody", {}).get("content", {}).items():
        if kind == "application/json":
            sent["json"] = content["example"]
        else:
            sent |= {"content": content["example"].encode(), "headers": headers | {"content-type": kind}}
    return f"{path}?{urlencode(query)}" if query else path, sent


async def test_the_examples_of_every_route_are_well_formed_and_answered_as_documented(open_desk):
    """In a market where what they name is mostly missing: a refusal is an answer, if it is one that is documented."""
    await open_desk.client.open_account("E-001", "Daye Cement")
    await open_desk.client.open_account("E-002", "Wuhan Heat")
    await open_desk.client.open_account("REG", "Registry", "registry_authority")
    wrong, carried_out = [], 0
    for verb, path, about in routes(open_desk):
        target, sent = request_of(path, about)
        response = await open_desk.http.request(verb.upper(), target, **sent)
        documented = about["responses"].get(str(response.status_code))
        if response.is_success:
            carried_out += 1
            if documented is None:
                wrong.append((verb, path, response.status_code))
            continue
        code = response.json()["code"]
        examples = (documented or {}).get("content", {}).get("application/problem+json", {}).get("examples", {})
        if code in WRONG_FORM or code not in examples:
            wrong.append((verb, path, response.status_code, response.text))
    assert wrong == []
    assert carried_out > 50


async def test_every_parameter_and_every_body_has_an_example(desk):
    for verb, path, about in routes(desk):
        assert all(one.get("example") is not None for one in about["parameters"]), (verb, path)
        for content in about.get("requestBody", {}).get("content", {}).values():
            assert content["example"], (verb, path)


async def test_every_post_says_that_it_takes_a_key_and_every_get_after_which_command_it_is_true(desk):
    for verb, path, about in routes(desk):
        names = {one["name"] for one in about["parameters"]}
        success = next(one for status, one in about["responses"].items() if status.startswith("2"))
        assert ("Idempotency-Key" in names) == (verb == "post" and path != "/v1/session"), path
        counted = {"Carbonex-Sequence", "Carbonex-Event"} & {*success.get("headers", {})}
        assert len(counted) == (2 if verb == "get" else 0), path
        paged = {"cursor", "limit"} <= names and path != "/v1/trades"
        assert ("Carbonex-Cursor" in success.get("headers", {})) == paged, path


async def test_every_error_of_a_route_has_an_example_of_each_code(desk):
    for verb, path, about in routes(desk):
        if is_open(path):
            continue
        for status, response in about["responses"].items():
            if status.startswith("2"):
                continue
            examples = response["content"]["application/problem+json"]["examples"]
            assert set(examples) == set(said_by_status(int(status))) != set(), (verb, path, status)
            for code, example in examples.items():
                details = ProblemDetails.model_validate(example["value"])
                assert (details.code, details.status) == (code, int(status))
                assert details.detail.endswith((".", "required"))


WITHOUT_EXAMPLE = {("get", "/metrics")}  # which says what its lines mean itself


async def test_every_route_has_an_example_of_each_answer_and_it_fits_its_schema(desk):
    """Each of them is what a test has got: `answers` in conftest.py compares them anew."""
    said = make_app(desk.gateway).openapi()
    for verb, path, about in routes(desk):
        for status, response in about["responses"].items():
            if not status.startswith("2") or (verb, path) in WITHOUT_EXAMPLE:
                continue
            for kind, content in response.get("content", {}).items():
                assert content["example"], (verb, path, status, kind)
                if kind == "application/json":
                    schema = content["schema"] | {"components": said["components"]}
                    wrong = [str(one) for one in Draft202012Validator(schema).iter_errors(content["example"])]
                    assert wrong == [], (verb, path)
                else:
                    assert isinstance(content["example"], str)
    assert len(json.dumps(said)) < 1_200_000


async def test_every_example_of_an_answer_is_of_a_test_and_of_a_route_or_message(desk):
    operations = {f"{verb.upper()} {path}" for verb, path, _ in routes(desk)}
    stream = set(asyncapi.document()["components"]["messages"])
    folder = Path(__file__).parent
    for kind, (test, value) in noting.of_file().items():
        assert kind.of in operations | stream
        file, name = test.split("::")
        text = (folder / file).read_text("utf-8")
        assert f"def {name.split('[')[0]}(" in text
        assert len(json.dumps(value)) <= noting.LONGEST


async def test_what_a_route_has_made_is_linked_to_the_routes_that_name_it(desk):
    found = {(verb, path): about for verb, path, about in routes(desk)}
    links = found["post", "/v1/orders"]["responses"]["201"]["links"]
    taken = {link["operationId"]: link["parameters"] for link in links.values()}
    cancel = found["delete", "/v1/orders/{order_id}"]["operationId"]
    assert taken[cancel] == {"order_id": "$response.body#/order_id", "account_id": "$request.body#/account_id"}
    assert len(links) == 4


async def test_what_makes_requests_of_the_document_can_read_it(desk):
    assert "prefixItems" not in json.dumps(make_app(desk.gateway).openapi())


async def test_a_path_that_lacks_a_method_says_which_ones_it_has(desk):
    methods: dict[str, set[str]] = {}
    for verb, path, _ in routes(desk):
        methods.setdefault(path, set()).add(verb.upper())
    for path, has in methods.items():
        for verb in {"GET", "POST", "PUT", "PATCH", "DELETE"} - has:
            response = await desk.http.request(verb, re.sub(r"{\w+}", "1", path))
            assert response.status_code == 405, (verb, path)
            allowed = has | {"OPTIONS"} | ({"HEAD"} if "GET" in has else set())
            assert set(response.headers["allow"].split(", ")) == allowed, (verb, path)


def test_every_reason_that_refuses_is_documented_with_its_status():
    for reason in Reason:
        try:
            status = status_of(reason)
        except KeyError:
            continue
        assert reason.code in said_by_status(status)


def test_every_code_that_the_gateway_says_is_documented_with_its_status():
    documented = {(status, code) for status, codes in OTHERS.items() for code in codes}
    folder = Path(api.__file__).parent
    for file in {*folder.rglob("*.py")} - {*(folder / "stream").rglob("*.py")}:  # which has a document of its own
        text = file.read_text("utf-8")
        said = {(int(status), code) for status, code in re.findall(r'Problem\(\s*(\d{3}),\s*"([a-z_]+)"', text)}
        said |= {(401, code) for code in re.findall(r'_unknown\("([a-z_]+)"', text)}
        assert said <= documented, file
    keys = (Path(api.__file__).parent / "access" / "keys.py").read_text("utf-8")
    of_files = {"master_damaged", "master_exposed"}
    assert set(re.findall(r'KeyProblem\("([a-z_]+)"', keys)) - of_files <= {code for _, code in documented}
