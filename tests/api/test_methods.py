"""HEAD and OPTIONS, of every path."""

import http.client

import pytest

from tests.api.streaming import order, served
from tests.api.test_access import opened

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def web():
    with served() as client:
        order(client, "S", "sell", "41.00", 5)
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "/v1/market",
        "/v1/orders?account_id=S&limit=1",
        "/v1/accounts/NOBODY",
        "/v1/nothing",
        "/v1/orders/1?a=1",
        "/docs",
    ],
)
def test_head_is_answered_like_get_without_a_body(web, path):
    full, head = web.get(path), web.head(path)
    assert head.status_code == full.status_code
    same = (
        "content-type",
        "content-length",
        "carbonex-sequence",
        "carbonex-event",
        "carbonex-cursor",
        "content-security-policy",
    )
    assert [head.headers.get(name) for name in same] == [full.headers.get(name) for name in same]
    assert head.content == b"" != full.content


def test_nothing_follows_the_head_on_the_connection(web):
    """A client that keeps its connection would take a body for the next answer."""
    connection = http.client.HTTPConnection(web.base_url.host, web.base_url.port, timeout=30)
    for method in ("HEAD", "GET", "HEAD"):
        connection.request(method, "/v1/market")
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, method == "GET")
    connection.close()


def test_what_has_no_get_has_no_head(web):
    answer = web.head("/v1/settlements")
    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")


def test_options_says_what_a_path_has(web):
    answer = web.options("/v1/orders")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, POST"
    assert web.options("/v1/orders/1").headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
    assert web.options("/v1/nothing").status_code == 404
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_options_needs_no_key_and_head_is_signed_as_what_it_is(tmp_path):
    async with opened(tmp_path) as door:
        assert (await door.http.options("/v1/orders")).status_code == 204
        assert (await door.http.head("/v1/market")).status_code == 401
        assert (await door.ask("trader", "HEAD", "/v1/market")).status_code == 200
        assert (await door.ask("trader", "HEAD", "/v1/accounts/HEAT")).status_code == 404
        assert (await door.ask("trader", "HEAD", "/v1/keys")).status_code == 403
        assert [(one.method, one.code) for one in door.access.denials] == [
            ("HEAD", "key_missing"), ("HEAD", "unknown_account"), ("HEAD", "role_not_permitted"),
        ]  # fmt: skip
