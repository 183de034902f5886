"""Who may ask: keys, signatures, roles, sessions, limits; what is refused, and that nothing leaks by how it is."""

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from api import signing
from api.access.bodies import BODY_MAX
from api.access.guard import REFUSED_SOCKET, Access
from api.access.keys import REFRESHED_NS, Given, KeyFile, KeyProblem, Limits, Role
from api.access.limits import Rates
from api.access.rules import MEMBERS, RULES, is_open, rule_of
from api.access.sessions import COOKIE, IDLE_NS, LASTS_NS, Sessions
from api.app import make_app
from api.client import ApiError, AsyncClient
from api.gateway import Gateway
from api.signing import WINDOW_NS, Ed25519Signer, HmacSigner
from api.timers import Clock
from exchange.cli import app as cli
from exchange.journal import MemoryJournal
from exchange.rules import load_rule_set
from tests.api.conftest import MORNING_NS

pytestmark = pytest.mark.anyio
URL = "http://exchange"
S = 1_000_000_000


class Wall:
    """A wall clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_ns = 1_800_000_000 * S

    def __call__(self) -> int:
        return self.now_ns


ACCOUNTS = {
    Role.TRADER: "STEEL", Role.COMPLIANCE_OFFICER: "STEEL", Role.BANK: "BANK", Role.OPERATOR: "EXCHANGE",
    Role.REGISTRY_ADMIN: "REG", Role.CLEARING_OFFICER: "EXCHANGE",
}  # fmt: skip


class Door:
    """A gateway behind a guard, with a key for each role and two enterprises, STEEL and HEAT."""

    def __init__(self, folder: Path, at_ns: int = 0, **options: Any) -> None:
        self.wall = Wall()
        self.wall.now_ns = at_ns or self.wall.now_ns
        self.gateway = Gateway(MemoryJournal(), load_rule_set("hubei"), Clock(MORNING_NS))
        self.keys = KeyFile(folder / "keys", self.wall)
        self.access = Access(self.keys, self.wall, **options)
        self.app = make_app(self.gateway, self.access)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=URL)
        self.signers: dict[str, HmacSigner] = {}

    async def enrol(self) -> None:
        client = AsyncClient(URL, transport=httpx.ASGITransport(self.app))
        await client.list_instrument("HBEA-2025", "allowance", 2025, "40.00")
        for account_id, of_class in (
            ("STEEL", "covered_enterprise"), ("HEAT", "covered_enterprise"), ("BANK", "clearing_bank"),
            ("REG", "registry_authority"),
        ):  # fmt: skip
            await client.open_account(account_id, account_id, of_class)
        await client.deposit("STEEL", "100000.00")
        await client.open_day("2026-01-05")
        await client.set_phase("continuous")
        for role in Role:
            self.wall.now_ns += 1  # keys are listed by their age
            self.signers[role] = self.signer(self.keys.create(role, ACCOUNTS.get(role, "")))
        self.wall.now_ns += 1
        self.signers["rival"] = self.signer(self.keys.create(Role.TRADER, "HEAT"))

    @staticmethod
    def signer(given: Given) -> HmacSigner:
        return HmacSigner(given.key.key_id, given.secret)

    async def ask(self, who: Any, method: str, target: str, body: Any = None, **headers: str) -> httpx.Response:
        """A signed request; each at a moment of its own."""
        self.wall.now_ns += 1000
        content = b"" if body is None else json.dumps(body).encode()
        signer = self.signers[who] if isinstance(who, str) else who
        signed = signing.headers(signer, self.wall.now_ns, method, target, content)
        if body is not None:
            signed["content-type"] = "application/json"
        return await self.http.request(method, target, content=content, headers=signed | headers)

    async def code(self, who: Any, method: str, target: str, body: Any = None) -> str:
        """The code of a refusal; "ok" if there is none."""
        answer = await self.ask(who, method, target, body)
        return answer.json()["code"] if answer.is_error else "ok"


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Door]:
    door = Door(folder)
    async with door.gateway.running(), door.http:
        await door.enrol()
        yield door
    door.keys.close()


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(tmp_path) as found:
        yield found


def order(account_id: str = "STEEL", price: str | None = "40.00", quantity: int = 100) -> dict[str, Any]:
    asked = {"account_id": account_id, "symbol": "HBEA-2025", "side": "buy", "quantity": quantity}
    return asked | ({"price": price} if price else {"type": "market"})


# ---------------------------------------------------------------- routes and roles


async def test_every_route_says_who_may_call_it_and_no_line_is_of_none(door):
    described = door.app.openapi()["paths"]
    routes = {(method.upper(), path) for path, verbs in described.items() for method in verbs}
    closed = {(method, path) for method, path in routes if not is_open(path)}
    assert set(RULES) - {("GET", "/v1/stream")} == closed


async def test_the_document_says_how_to_show_who_one_is_and_which_roles_a_route_is_open_to(door):
    said = (await door.http.get("/openapi.json")).json()
    schemes = said["components"]["securitySchemes"]
    signed = [{one["name"].lower() for one in map(schemes.get, way)} for way in _ways(said, "post", "/v1/orders")]
    assert signed == [{signing.KEY, signing.TIMESTAMP, signing.SIGNATURE}, {COOKIE}]
    assert _ways(said, "post", "/v1/session") == _ways(said, "get", "/health") == []
    assert {"metrics_token": []} in _ways(said, "get", "/metrics")
    for (method, path), rule in RULES.items():
        if path != "/v1/stream":
            about = said["paths"][path][method.lower()]
            assert about["x-roles"] == sorted(rule.roles)
            assert about["security"][:2] == _ways(said, "post", "/v1/orders")
    assert all(
        {*way} <= {*schemes} for verbs in said["paths"].values() for one in verbs.values() for way in one["security"]
    )


async def test_the_document_says_that_nobody_need_show_who_he_is_until_there_are_keys(tmp_path):
    door = Door(tmp_path)
    async with door.gateway.running(), door.http:
        before = (await door.http.get("/openapi.json")).json()
        door.keys.create(Role.AUDITOR)
        after = (await door.http.get("/openapi.json")).json()
    door.keys.close()
    assert _ways(before, "get", "/v1/market") == [{}, *_ways(after, "get", "/v1/market")]


def _ways(said: dict[str, Any], verb: str, path: str) -> list[dict[str, list[str]]]:
    """The ways to show who one is at a route."""
    return said["paths"][path][verb]["security"]


SAMPLES = {
    "account_id": "STEEL", "order_id": "1", "symbol": "HBEA-2025", "code": "HBEA-2025", "number": "1", "year": "2025",
    "lock_id": "1", "request_id": "1", "day": "2026-01-05", "project_id": "P", "reduction": "1", "batch": "1",
    "day_or_batch": "1", "deal_id": "D", "case": "1", "key_id": "nobody",
}  # fmt: skip


def sample(template: str) -> str:
    return re.sub(r"{(\w+)}", lambda found: SAMPLES[found[1]], template)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: f"{rule.method} {rule.template}")
def test_a_request_is_judged_by_the_line_of_its_route(rule):
    found, given = rule_of(rule.method, sample(rule.template))
    assert found == rule
    assert sample(rule.template) == re.sub(r"{(\w+)}", lambda name: given[name[1]], rule.template)


async def test_each_role_gets_through_exactly_where_its_line_says(door):
    """Every route with every role. Past the door, what is asked is mostly malformed, which the door does not say."""
    at_the_door = {"role_not_permitted", "key_missing", "rate_limited"}
    wrong = []
    for rule in RULES.values():
        if rule.template == "/v1/stream" or (rule.method in ("PUT", "DELETE") and "kill-switch" in rule.template):
            continue
        for role in Role:
            mine = ACCOUNTS.get(role, "")
            target = sample(rule.template).replace("STEEL", mine or "STEEL")
            if rule.part == "query":
                target += f"?{rule.field}={mine}"
            body = {rule.field: mine} if rule.part == "body" else {}
            code = await door.code(role, rule.method, target, None if rule.method == "GET" else body)
            if (code in at_the_door) == (role in rule.roles):
                wrong.append((rule.method, rule.template, role, code))
    assert wrong == []


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if rule.binds], ids=lambda rule: rule.template)
def test_what_binds_a_member_is_an_account(rule):
    assert rule.field in ("account_id", "by")
    assert rule.part in ("path", "query", "body")
    assert rule.roles


async def test_of_anothers_account_one_hears_what_one_hears_of_nobodys(door):
    """Every route that names an account, for every member: the same status, code and words."""
    for rule in RULES.values():
        if not rule.binds:
            continue
        for role in sorted(rule.roles & MEMBERS):
            heard = []
            for whose in ("HEAT", "GHOST"):
                target = re.sub("STEEL", whose, sample(rule.template)) + (
                    f"?{rule.field}={whose}" if rule.part == "query" else ""
                )
                body = {rule.field: whose} if rule.part == "body" else {}
                answer = await door.ask(role, rule.method, target, None if rule.method == "GET" else body)
                heard.append((answer.status_code, answer.text.replace(whose, "THEM")))
            assert heard[0] == heard[1], rule
            assert heard[0][0] == 404, rule


async def test_who_reads_everything_reads_of_everybody_and_changes_nothing(door):
    for whose in ("STEEL", "HEAT"):
        assert await door.code(Role.AUDITOR, "GET", f"/v1/accounts/{whose}") == "ok"
        assert await door.code(Role.AUDITOR, "GET", f"/v1/orders?account_id={whose}") == "ok"
    assert not [rule for rule in RULES.values() if rule.method != "GET" and Role.AUDITOR in rule.roles]


async def test_a_researcher_sees_no_account(door):
    may = {rule.template for rule in RULES.values() if Role.RESEARCHER in rule.roles}
    assert not [template for template in may if "account" in template or "order" in template]
    assert await door.code("researcher", "GET", "/v1/books/HBEA-2025") == "ok"


async def test_a_field_that_is_named_twice_does_not_open_anothers_account(door):
    terms = b'"symbol": "HBEA-2025", "side": "buy", "quantity": 1, "price": "40.00"'
    raw = b'{"account_id": "STEEL", "account_id": "HEAT", ' + terms + b"}"
    for content in (raw, raw.replace(b'"STEEL", "account_id": "HEAT"', b'"HEAT", "account_id": "STEEL"')):
        door.wall.now_ns += 1000
        signed = signing.headers(door.signers["trader"], door.wall.now_ns, "POST", "/v1/orders", content)
        answer = await door.http.post(
            "/v1/orders", content=content, headers=signed | {"content-type": "application/json"}
        )
        assert answer.is_error or answer.json()["account_id"] == "STEEL"
    for target in ("/v1/orders?account_id=STEEL&account_id=HEAT", "/v1/orders?account_id=HEAT&account_id=STEEL"):
        assert await door.code("trader", "GET", target) == "unknown_account"


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/accounts/HEAT/", "/v1//accounts/HEAT", "/V1/accounts/HEAT",
                                  "/v1/accounts/HEAT/%2e%2e/STEEL", "/v1/accounts/STEEL%2F..%2FHEAT"])  # fmt: skip
async def test_no_spelling_of_a_path_gets_around_its_rule(door, path):
    answer = await door.ask("trader", "GET", path)
    assert answer.status_code in (307, 404)
    assert '"HEAT"' not in answer.text or answer.json()["code"] == "unknown_account"


# ---------------------------------------------------------------- signatures


async def test_what_is_signed_is_taken_and_told_from_its_key(door):
    answer = await door.ask("trader", "GET", "/v1/me")
    assert answer.json() == {
        "keys_needed": True, "key_id": door.signers["trader"].key_id, "role": "trader", "account_id": "STEEL",
    }  # fmt: skip
    placed = await door.ask("trader", "POST", "/v1/orders", order())
    assert placed.status_code == 201


async def test_the_client_signs_what_it_sends(tmp_path):
    """By the clock on the wall, with a query, a body and a retry."""
    door = Door(tmp_path, at_ns=time.time_ns())
    door.access.now_ns = time.time_ns
    async with door.gateway.running(), door.http:
        await door.enrol()
        transport = httpx.ASGITransport(door.app)
        async with AsyncClient(URL, transport=transport, signer=door.signers["trader"]) as client:
            placed = await client.place_order("STEEL", "HBEA-2025", "buy", "40.00", 100)
            assert (await client.orders("STEEL"))[0].order_id == placed.order_id
            with pytest.raises(ApiError, match="role_not_permitted"):
                await client.accounts()
    door.keys.close()


async def test_an_ed25519_key_is_known_by_its_public_half_alone(door):
    private = Ed25519PrivateKey.generate()
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    given = door.keys.create(Role.TRADER, "STEEL", "robot", public)
    assert given.secret == ""
    signer = Ed25519Signer("robot", base64.b64encode(private.private_bytes_raw()).decode())
    assert await door.code(signer, "GET", "/v1/accounts/STEEL") == "ok"
    other = Ed25519Signer("robot", base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode())
    assert await door.code(other, "GET", "/v1/accounts/STEEL") == "signature_invalid"


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
async def test_whatever_is_altered_after_signing_is_refused(door, kind):
    signer: Any = door.signers["trader"]
    if kind == "ed25519":
        private = Ed25519PrivateKey.generate()
        door.keys.create(
            Role.TRADER, "STEEL", "robot", base64.b64encode(private.public_key().public_bytes_raw()).decode()
        )
        signer = Ed25519Signer("robot", base64.b64encode(private.private_bytes_raw()).decode())
    content = json.dumps(order()).encode()

    async def sent(method="POST", target="/v1/orders", body=content, **altered):
        door.wall.now_ns += 1000
        signed = signing.headers(signer, door.wall.now_ns, "POST", "/v1/orders", content)
        signed |= {"content-type": "application/json"} | altered
        answer = await door.http.request(method, target, content=body, headers=signed)
        return answer.json().get("code", "ok") if answer.is_error else "ok"

    assert await sent() == "ok"
    assert await sent(method="PUT") == "signature_invalid"
    assert await sent(target="/v1/orders?x=1") == "signature_invalid"
    assert await sent(body=content.replace(b"100", b"900")) == "signature_invalid"
    assert await sent(**{signing.TIMESTAMP: str(door.wall.now_ns + 1)}) == "signature_invalid"
    assert await sent(**{signing.KEY: door.signers["rival"].key_id}) == "signature_invalid"
    assert await sent(**{signing.SIGNATURE: base64.b64encode(bytes(32)).decode()}) == "signature_invalid"
    assert await sent(**{signing.SIGNATURE: "not base64!"}) == "signature_invalid"
    assert await sent(**{signing.KEY: "nobody"}) == "key_unknown"
    assert await sent(**{signing.TIMESTAMP: "soon"}) == "timestamp_invalid"
    assert await sent(**{signing.TIMESTAMP: "9" * 30}) == "timestamp_invalid"


@pytest.mark.parametrize(("late_by", "code"), [
    (0, "ok"), (WINDOW_NS, "ok"), (WINDOW_NS + 1, "timestamp_outside_window"), (-WINDOW_NS, "ok"),
    (-WINDOW_NS - 1, "timestamp_outside_window"),
])  # fmt: skip
async def test_a_signature_is_good_within_its_window(door, late_by, code):
    signed = signing.headers(door.signers["trader"], door.wall.now_ns, "GET", "/v1/me")
    door.wall.now_ns += late_by
    answer = await door.http.get("/v1/me", headers=signed)
    assert (answer.json()["code"] if answer.is_error else "ok") == code


async def test_a_signature_is_good_once(door):
    signed = signing.headers(door.signers["trader"], door.wall.now_ns, "GET", "/v1/me")
    assert (await door.http.get("/v1/me", headers=signed)).status_code == 200
    door.wall.now_ns += WINDOW_NS
    again = await door.http.get("/v1/me", headers=signed)
    assert (again.status_code, again.json()["code"]) == (401, "signature_used")


@pytest.mark.parametrize("ahead_ns", [0, S, WINDOW_NS], ids=["exact", "a second ahead", "ten seconds ahead"])
async def test_a_signature_that_was_used_before_a_restart_is_not_good_after_it(tmp_path, ahead_ns):
    """The clock of who signed may have been ahead of the exchange's."""
    async with opened(tmp_path) as door:
        signed = signing.headers(door.signers["trader"], door.wall.now_ns + ahead_ns, "GET", "/v1/me")
        assert (await door.http.get("/v1/me", headers=signed)).status_code == 200
    after = Door(tmp_path, at_ns=door.wall.now_ns + S // 10)
    async with after.gateway.running(), after.http:
        again = await after.http.get("/v1/me", headers=signed)
        assert (again.status_code, again.json()["code"]) == (401, "timestamp_before_start")
        after.wall.now_ns += ahead_ns
        after.signers["trader"] = door.signers["trader"]
        assert (await after.ask("trader", "GET", "/v1/me")).status_code == 200
    after.keys.close()


def test_used_signatures_are_forgotten_when_their_window_is_over():
    replays = signing.Replays()
    assert replays.is_new(b"a", 0)
    assert not replays.is_new(b"a", 2 * WINDOW_NS)
    assert replays.is_new(b"a", 2 * WINDOW_NS + 1)


async def test_without_a_key_only_the_way_in_is_open(door):
    for path in ("/health", "/openapi.json", "/docs", "/"):
        assert (await door.http.get(path)).status_code == 200
    answer = await door.http.get("/v1/market")
    assert (answer.status_code, answer.json()["code"]) == (401, "key_missing")
    assert answer.headers["www-authenticate"] == "Carbonex"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_that_is_too_large_is_not_read(door):
    answer = await door.http.post("/v1/orders", content=bytes(BODY_MAX + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")

    async def endless():
        for _ in range(BODY_MAX // 65_536 + 2):
            yield bytes(65_536)

    answer = await door.http.post("/v1/orders", content=endless())
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.examples
async def test_each_refused_attempt_is_noted(door, caplog):
    caplog.set_level("WARNING", "carbonex.access")
    await door.ask("rival", "GET", "/v1/accounts/STEEL")
    await door.http.get("/v1/market", headers={signing.KEY: "ghost"})
    noted = (await door.ask("auditor", "GET", "/v1/denials")).json()
    assert [(one["key_id"], one["path"], one["code"]) for one in noted] == [
        (door.signers["rival"].key_id, "/v1/accounts/STEEL", "unknown_account"),
        ("ghost", "/v1/market", "key_unknown"),
    ]
    assert caplog.text.count("denied") == 2


# ---------------------------------------------------------------- keys


@pytest.mark.examples
async def test_the_operator_makes_rotates_and_revokes_keys_over_the_wire(door):
    made = (
        await door.ask("operator", "POST", "/v1/keys", {"role": "trader", "account_id": "HEAT", "key_id": "k"})
    ).json()
    first = HmacSigner("k", made["secret"])
    assert await door.code(first, "GET", "/v1/accounts/HEAT") == "ok"

    rotated = (await door.ask("operator", "POST", "/v1/keys/k/rotation", {"grace_s": 60})).json()
    second = HmacSigner("k", rotated["secret"])
    assert rotated["key"]["version"] == 2
    assert [await door.code(one, "GET", "/v1/accounts/HEAT") for one in (first, second)] == ["ok", "ok"]
    door.wall.now_ns += 61 * S
    assert await door.code(first, "GET", "/v1/accounts/HEAT") == "signature_invalid"
    assert await door.code(second, "GET", "/v1/accounts/HEAT") == "ok"

    assert (await door.ask("operator", "POST", "/v1/keys/k/revocation")).json()["revoked_at"]
    assert await door.code(second, "GET", "/v1/accounts/HEAT") == "key_unknown"
    assert "secret" not in (await door.ask("operator", "GET", "/v1/keys")).text


@pytest.mark.parametrize(("asked", "code"), [
    ({"role": "trader"}, "wrong_account"),
    ({"role": "auditor", "account_id": "STEEL"}, "wrong_account"),
    ({"role": "trader", "account_id": "GHOST"}, "unknown_account"),
    ({"role": "trader", "account_id": "STEEL", "key_id": "taken"}, "key_exists"),
    ({"role": "trader", "account_id": "STEEL", "public_key": "AAAA"}, "invalid_public_key"),
    ({"role": "king"}, "invalid_request"),
    ({"role": "trader", "account_id": "STEEL", "limits": {"requests_per_second": 0}}, "invalid_request"),
])  # fmt: skip
async def test_a_key_that_can_not_be_is_refused(door, asked, code):
    door.keys.create(Role.TRADER, "STEEL", "taken")
    before = door.keys.all()
    assert await door.code("operator", "POST", "/v1/keys", asked) == code
    assert door.keys.all() == before


@pytest.mark.parametrize(("path", "body", "code"), [
    ("/v1/keys/ghost/rotation", {}, "unknown_key"),
    ("/v1/keys/gone/rotation", {}, "key_revoked"),
    ("/v1/keys/gone/revocation", None, "key_revoked"),
    ("/v1/keys/here/rotation", {"public_key": base64.b64encode(bytes(32)).decode()}, "wrong_kind"),
])  # fmt: skip
async def test_what_is_over_stays_so(door, path, body, code):
    door.keys.create(Role.TRADER, "STEEL", "here")
    door.keys.create(Role.TRADER, "STEEL", "gone")
    door.keys.revoke("gone")
    assert await door.code("operator", "POST", path, body) == code


def test_neither_file_of_the_keys_alone_can_sign(tmp_path):
    file = KeyFile(tmp_path / "keys", Wall())
    secret = file.create(Role.TRADER, "STEEL", "k").secret
    file.close()
    for path in tmp_path.iterdir():
        assert secret.encode() not in path.read_bytes()
    again = KeyFile(tmp_path / "keys", Wall())
    assert again.secrets_of(again.get("k")) == [secret]
    again.close()


def test_a_master_secret_that_others_can_read_is_not_used(tmp_path):
    KeyFile(tmp_path / "keys", Wall()).close()
    (tmp_path / "keys.master").chmod(0o640)
    with pytest.raises(KeyProblem, match="master_exposed"):
        KeyFile(tmp_path / "keys", Wall())
    (tmp_path / "keys.master").chmod(0o600)
    (tmp_path / "keys.master").write_bytes(b"short")
    with pytest.raises(KeyProblem, match="master_damaged"):
        KeyFile(tmp_path / "keys", Wall())


def test_what_another_process_does_to_the_keys_is_seen_soon(tmp_path):
    wall = Wall()
    serving, desk = (KeyFile(tmp_path / "keys", wall) for _ in range(2))
    desk.create(Role.TRADER, "STEEL", "k")
    desk.kill("HEAT")
    wall.now_ns += REFRESHED_NS
    serving.refresh()
    assert serving.get("k").role == Role.TRADER
    assert serving.killed == {"HEAT"}
    desk.revoke("k")
    desk.end_kill("HEAT")
    wall.now_ns += REFRESHED_NS
    serving.refresh()
    assert serving.get("k").revoked_ns is not None
    assert serving.killed == set()
    serving.close()
    desk.close()


def test_the_first_key_counts_at_once_though_the_exchange_runs(tmp_path):
    wall = Wall()
    access = Access(None, wall, tmp_path / "keys")
    assert not access.is_on
    desk = KeyFile(tmp_path / "keys", wall)
    desk.create(Role.AUDITOR, key_id="k")
    wall.now_ns += REFRESHED_NS
    assert access.is_on
    assert access.keys.get("k") is not None
    access.keys.close()
    desk.close()


async def test_keys_that_can_not_be_read_let_nobody_in(tmp_path):
    door = Door(tmp_path)
    door.keys.close()
    door.access.keys, door.access._path = None, tmp_path / "keys"
    (tmp_path / "keys.master").chmod(0o644)
    for _ in range(2):
        answer = await door.http.get("/v1/market")
        assert (answer.status_code, answer.json()["code"]) == (503, "master_exposed")


def test_keys_are_asked_for_from_the_first_one_on(tmp_path):
    wall = Wall()
    file = KeyFile(tmp_path / "keys", wall)
    access = Access(file, wall)
    assert not access.is_on
    file.create(Role.AUDITOR, key_id="k")
    assert access.is_on
    file.revoke("k")
    assert access.is_on  # nobody is let in by taking the last key away
    assert not Access(None).is_on
    file.close()


# ---------------------------------------------------------------- limits


async def test_a_key_that_asks_too_often_is_told_when_to_ask_again(door):
    door.keys.create(Role.AUDITOR, key_id="slow", limits=Limits(requests_per_second=1, burst=2))
    signer = HmacSigner("slow", door.keys.secrets_of(door.keys.get("slow"))[0])
    first, second, third = [await door.ask(signer, "GET", "/v1/market") for _ in range(3)]
    assert (first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == ("2", "1")
    assert second.headers["ratelimit-remaining"] == "0"
    assert (third.status_code, third.json()["code"], third.headers["retry-after"]) == (429, "rate_limited", "1")
    door.wall.now_ns += S
    assert (await door.ask(signer, "GET", "/v1/market")).status_code == 200
    assert (await door.ask("auditor", "GET", "/v1/market")).headers["ratelimit-remaining"] == "1999"


async def test_every_answer_to_a_key_says_how_it_stands_to_its_rate_refusals_too(door):
    left = 1999
    for method, path, body, status in (
        ("GET", "/v1/market", None, 200),
        ("GET", "/v1/market?a=1", None, 422),
        ("GET", "/v1/accounts/HEAT", None, 404),
        ("GET", "/v1/nothing", None, 404),
        ("POST", "/v1/settlements", None, 403),
        ("POST", "/v1/orders", order("HEAT"), 404),
        ("POST", "/v1/orders", order(price="1.00"), 422),
    ):
        door.wall.now_ns -= 1000  # no time passes, in which the key would have room again
        answer = await door.ask("trader", method, path, body)
        said = [answer.headers[f"ratelimit-{name}"] for name in ("limit", "remaining", "reset")]
        assert (answer.status_code, *said) == (status, "2000", str(left), "1"), path
        assert "retry-after" not in answer.headers
        left -= 1
    unknown = await door.ask(HmacSigner("ghost", "secret"), "GET", "/v1/market")
    assert (unknown.status_code, "ratelimit-limit" in unknown.headers) == (401, False)


def test_a_rate_lets_its_burst_through_and_then_its_pace():
    rates, limits = Rates(), Limits(requests_per_second=10, burst=5)
    asked = [rates.ask("k", limits, 0).allowed for _ in range(7)]
    assert asked == [True] * 5 + [False] * 2
    allowed = [rates.ask("k", limits, tenth * S // 20).allowed for tenth in range(1, 41)]
    assert sum(allowed) == 20  # ten a second over two seconds
    assert rates.ask("other", limits, 0).allowed


LIMITED = Limits(order_quantity=100, order_notional=400_000, open_orders=2)


@pytest.mark.parametrize(("asked", "code"), [
    (order(quantity=100), "ok"),  # 4,000.00
    (order(quantity=101), "order_too_large"),
    (order(price="40.01"), "order_too_large"),
    (order(price=None, quantity=91), "order_too_large"),  # at the band's upper end, 44.00
    (order(price=None, quantity=90), "ok"),
])  # fmt: skip
async def test_an_order_beyond_the_limits_of_its_key_is_refused(door, asked, code):
    signer = door.signer(door.keys.create(Role.TRADER, "STEEL", limits=LIMITED))
    before = door.gateway.exchange.digest()
    assert await door.code(signer, "POST", "/v1/orders", asked) == code
    assert (door.gateway.exchange.digest() == before) == (code != "ok")


async def test_no_more_orders_are_open_than_the_key_allows_and_none_grows_beyond_it(door):
    signer = door.signer(door.keys.create(Role.TRADER, "STEEL", limits=LIMITED))
    placed = [(await door.ask(signer, "POST", "/v1/orders", order(quantity=10))).json() for _ in range(2)]
    assert await door.code(signer, "POST", "/v1/orders", order(quantity=10)) == "too_many_open_orders"
    path = f"/v1/orders/{placed[0]['order_id']}"
    assert await door.code(signer, "PATCH", path, {"account_id": "STEEL", "quantity": 101}) == "order_too_large"
    assert await door.code(signer, "PATCH", path, {"account_id": "STEEL", "quantity": 100}) == "ok"
    assert (
        await door.code(signer, "PATCH", path, {"account_id": "STEEL", "price": "40.01", "quantity": 100})
        == "order_too_large"
    )
    assert await door.code(signer, "DELETE", f"{path}?account_id=STEEL") == "ok"
    assert await door.code(signer, "POST", "/v1/orders", order(quantity=10)) == "ok"


async def test_limits_that_are_not_named_stay_and_null_takes_one_away(door):
    asked = {"role": "trader", "account_id": "STEEL", "limits": {"burst": 7, "order_notional": "4000.00"}}
    made = (await door.ask("operator", "POST", "/v1/keys", asked)).json()
    path = f"/v1/keys/{made['key']['key_id']}/limits"
    limits = {"requests_per_second": 1000, "burst": 7, "open_orders": None, "order_quantity": None}
    assert made["key"]["limits"] == limits | {"order_notional": "4000.00"}

    changed = await door.ask("operator", "PATCH", path, {"order_quantity": 50})
    assert changed.json()["limits"] == limits | {"order_quantity": 50, "order_notional": "4000.00"}
    changed = await door.ask("operator", "PATCH", path, {"order_notional": "399.99", "order_quantity": None})
    assert changed.json()["limits"] == limits | {"order_notional": "399.99"}
    signer = HmacSigner(made["key"]["key_id"], made["secret"])
    refused = await door.ask(signer, "POST", "/v1/orders", order(quantity=10))
    assert (refused.json()["code"], refused.json()["detail"][-7:]) == ("order_too_large", "399.99.")
    assert (await door.ask("operator", "PATCH", path, {})).json() == changed.json()
    await door.ask("operator", "PATCH", path, {"order_notional": None})
    assert await door.code(signer, "POST", "/v1/orders", order(quantity=10)) == "ok"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"order_notional": 400_000}, "invalid_request"),
        ({"order_notional": "400.001"}, "amount_off_fen"),
        ({"order_notional": "0.00"}, "amount_not_positive"),
        ({"order_notional": "-1.00"}, "amount_not_positive"),
        ({"burst": None}, "invalid_request"),
        ({"order_size": 5}, "invalid_request"),
    ],
)
async def test_limits_that_can_not_be_change_nothing(door, limits, code):
    key_id = door.signers["trader"].key_id
    assert await door.code("operator", "PATCH", f"/v1/keys/{key_id}/limits", {"order_quantity": 1} | limits) == code
    assert door.keys.get(key_id).limits == Limits()


@pytest.mark.examples
async def test_the_kill_switch_cancels_all_orders_and_lets_none_in(door):
    await door.ask("trader", "POST", "/v1/orders", order())
    await door.ask("trader", "POST", "/v1/orders", order(price="39.00"))
    killed = (await door.ask("operator", "PUT", "/v1/accounts/STEEL/kill-switch")).json()
    assert killed == {"account_id": "STEEL", "is_on": True, "cancelled_orders": 2}
    assert await door.code("trader", "POST", "/v1/orders", order()) == "kill_switch_on"
    assert await door.code("trader", "DELETE", "/v1/accounts/STEEL/kill-switch") == "ok"
    assert await door.code("trader", "POST", "/v1/orders", order()) == "ok"


# ---------------------------------------------------------------- sessions


async def log_in(door: Door, who: str) -> httpx.Response:
    signer = door.signers[who]
    return await door.http.post("/v1/session", json={"key_id": signer.key_id, "secret": signer.secret})


@pytest.mark.examples
async def test_a_browser_logs_in_looks_around_and_logs_out(door):
    answer = await log_in(door, "trader")
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in (COOKIE, "HttpOnly", "SameSite=strict", "Path=/"))
    assert (await door.http.get("/v1/me")).json()["account_id"] == "STEEL"
    assert (await door.http.get("/v1/accounts/HEAT")).status_code == 404

    here = {"sec-fetch-site": "same-origin"}
    assert (await door.http.post("/v1/orders", json=order(), headers=here)).status_code == 201
    for elsewhere in ({}, {"sec-fetch-site": "cross-site"}, {"origin": "http://evil"}):
        refused = await door.http.post("/v1/orders", json=order(), headers=elsewhere)
        assert (refused.status_code, refused.json()["code"]) == (401, "foreign_page")

    token = door.http.cookies[COOKIE]
    assert (await door.http.delete("/v1/session")).status_code == 204
    after = await door.http.get("/v1/me", headers={"cookie": f"{COOKIE}={token}"})
    assert after.json()["code"] == "session_over"


@pytest.mark.parametrize("behind_tls", [False, True])
async def test_behind_a_proxy_that_speaks_tls_a_cookie_is_for_that_alone(tmp_path, behind_tls):
    door = Door(tmp_path, behind_tls=behind_tls)
    async with door.gateway.running(), door.http:
        given = door.keys.create(Role.AUDITOR)
        login = {"key_id": given.key.key_id, "secret": given.secret}
        answer = await door.http.post("/v1/session", json=login)
        assert (answer.status_code, "; Secure" in answer.headers["set-cookie"]) == (204, behind_tls)
    door.keys.close()


async def test_wrong_secrets_are_refused_and_soon_no_more_are_tried(door):
    asked = {"key_id": door.signers["trader"].key_id, "secret": "wrong"}
    said = [(await door.http.post("/v1/session", json=asked)).json()["code"] for _ in range(6)]
    assert said == ["login_failed"] * 5 + ["too_many_logins"]
    assert (await log_in(door, "trader")).status_code == 429
    door.wall.now_ns += 61 * S
    assert (await log_in(door, "trader")).status_code == 204
    ghost = await door.http.post("/v1/session", json={"key_id": "ghost", "secret": "wrong"})
    assert ghost.json()["code"] == "login_failed"


async def test_a_session_ends_with_its_key(door):
    for end in (door.keys.rotate, door.keys.revoke):
        await log_in(door, "trader")
        end(door.signers["trader"].key_id)
        assert (await door.http.get("/v1/me")).status_code == 401
        if end == door.keys.rotate:
            key = door.keys.get(door.signers["trader"].key_id)
            door.signers["trader"] = HmacSigner(key.key_id, door.keys.secrets_of(key)[0])


def test_a_session_ends_when_it_is_idle_and_after_its_time():
    sessions = Sessions()
    token = sessions.begin("k", 1, 0)
    assert sessions.whose(token, IDLE_NS - 1) == ("k", 1)
    assert sessions.whose(token, 2 * IDLE_NS - 2) == ("k", 1)
    assert sessions.whose(token, 4 * IDLE_NS) is None
    token, at = sessions.begin("k", 1, 0), 0
    while at < LASTS_NS:
        assert sessions.whose(token, at) == ("k", 1)
        at += IDLE_NS // 2
    assert sessions.whose(token, LASTS_NS) is None


# ---------------------------------------------------------------- the stream


async def talked(
    door: Door,
    headers: dict[str, str],
    *frames: dict[str, Any],
    before: Callable[[], object] = lambda: None,
    until: int | None = None,
) -> list[Any]:
    """What one hears who opens the stream and sends frames: messages, and the close code at the end if there is one.

    `before` is called when the socket is open. `until`: listen until it closes with this code.
    """
    sent = [{"type": "websocket.connect"}]
    sent += [{"type": "websocket.receive", "text": json.dumps(frame)} for frame in frames]
    heard: list[Any] = []
    all_heard = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if len(sent) == len(frames):
            before()
            door.wall.now_ns += REFRESHED_NS
        if not sent:
            await all_heard.wait()
            return {"type": "websocket.disconnect", "code": 1000}
        return sent.pop(0)

    async def send(message: Any) -> None:
        if message["type"] == "websocket.send":
            heard.extend(json.loads(message["text"]))
        elif message["type"] == "websocket.close":
            heard.append(message["code"])
        if len(heard) >= len(frames) if until is None else until in heard:
            all_heard.set()

    scope = {
        "type": "websocket", "path": "/v1/stream", "raw_path": b"/v1/stream", "query_string": b"", "scheme": "ws",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    await asyncio.wait_for(door.app(scope, receive, send), 10)
    return heard


async def test_the_stream_asks_for_a_key(door):
    error, closed = await talked(door, {})
    assert (error["code"], closed) == ("key_missing", REFUSED_SOCKET)


async def test_a_session_opens_the_stream_for_the_exchanges_own_pages_alone(door):
    await log_in(door, "trader")
    cookie = f"{COOKIE}={door.http.cookies[COOKIE]}"
    asked = {"op": "subscribe", "channel": "orders", "account_id": "STEEL"}
    error, _ = await talked(door, {"cookie": cookie, "host": "exchange", "origin": "http://evil"})
    assert error["code"] == "foreign_page"
    mine, *_ = await talked(door, {"cookie": cookie, "host": "exchange", "origin": "http://exchange"}, asked)
    assert mine["type"] == "subscribed"


async def asked_by(door: Door, who: str, *frames: dict[str, Any]) -> list[Any]:
    """The answers to frames of a key, each over a socket of its own."""
    answers = []
    for frame in frames:
        door.wall.now_ns += 1000
        signed = signing.headers(door.signers[who], door.wall.now_ns, "GET", "/v1/stream")
        answers.append((await talked(door, signed, frame))[0])
    return answers


async def test_the_stream_tells_nobody_of_anothers_matters(door):
    for channel in ("orders", "fills", "balances", "settlement"):
        asked = [{"op": "subscribe", "channel": channel, "account_id": whose} for whose in ("HEAT", "GHOST", "STEEL")]
        theirs, nobodys, mine = await asked_by(door, "trader", *asked)
        assert theirs == nobodys | {"detail": "There is no account 'HEAT'."}
        assert (nobodys["code"], nobodys["status"]) == ("unknown_account", 404)
        assert mine["type"] == "subscribed"
        [replayed] = await asked_by(door, "trader", asked[0] | {"op": "replay", "from_seq": 1, "to_seq": 2})
        assert replayed == theirs | {"op": "replay"}


async def test_only_those_who_watch_over_the_market_hear_the_drop_copy(door):
    asked = {"op": "subscribe", "channel": "drop_copy"}
    for role in Role:
        [answer] = await asked_by(door, role, asked)
        may = role in (Role.AUDITOR, Role.OPERATOR)
        assert (answer["type"], answer.get("code")) == (
            ("subscribed", None) if may else ("error", "role_not_permitted")
        )


async def test_orders_on_the_stream_are_opened_by_the_same_roles_as_over_http(door):
    whole = {"account_id": "STEEL", "order_id": 1}
    asked = {
        "place": order(), "amend": whole | {"quantity": 1}, "cancel": whole, "cancel_all": {"account_id": "STEEL"},
        "cancel_on_disconnect": {"account_id": "STEEL"}, "dead_man": {"account_id": "STEEL", "seconds": 60},
    }  # fmt: skip
    for op, fields in asked.items():
        own = {role: (await asked_by(door, role, {"op": op, **fields}))[0].get("code") for role in Role}
        may = {role for role, code in own.items() if code != "role_not_permitted"}
        assert may == ({Role.TRADER} if op in ("place", "amend") else {Role.TRADER, Role.OPERATOR}), op
        [rivals] = await asked_by(door, "rival", {"op": op, **fields})
        [nobodys] = await asked_by(door, "trader", {"op": op, **fields, "account_id": "GHOST"})
        assert rivals == nobodys | {"detail": "There is no account 'STEEL'."}
        assert nobodys["code"] == "unknown_account"


async def test_the_kill_switch_and_the_limits_of_a_key_hold_on_the_stream(door):
    key_id = door.signers["trader"].key_id
    limited = {"order_quantity": 50}
    assert (await door.ask("operator", "PATCH", f"/v1/keys/{key_id}/limits", limited)).is_success
    placing = {"op": "place", **order(quantity=51)}
    assert (await asked_by(door, "trader", placing))[0]["code"] == "order_too_large"
    assert (await door.ask("operator", "PUT", "/v1/accounts/STEEL/kill-switch", {"reason": "robot"})).is_success
    assert (await asked_by(door, "trader", placing | {"quantity": 1}))[0]["code"] == "kill_switch_on"


async def test_each_request_of_an_array_counts(door):
    door.keys.create(Role.AUDITOR, key_id="slow", limits=Limits(requests_per_second=0.001, burst=3))
    signer = HmacSigner("slow", door.keys.secrets_of(door.keys.get("slow"))[0])
    asked: Any = [{"op": "unsubscribe", "channel": "drop_copy"}] * 3
    heard = await talked(door, signing.headers(signer, door.wall.now_ns, "GET", "/v1/stream"), asked)
    assert [one["code"] for one in heard] == ["not_subscribed", "not_subscribed", "rate_limited"]


async def test_a_socket_that_was_opened_without_keys_ends_with_the_first_key(tmp_path):
    door = Door(tmp_path)
    async with door.gateway.running():
        asked = {"op": "subscribe", "channel": "drop_copy"}
        heard = await talked(door, {}, asked, before=lambda: door.keys.create(Role.AUDITOR, ""))
    door.keys.close()
    assert [one if isinstance(one, int) else one["code"] for one in heard] == ["key_missing", REFUSED_SOCKET]


async def test_a_socket_ends_with_its_key(door):
    signed = signing.headers(door.signers["trader"], door.wall.now_ns, "GET", "/v1/stream")
    heard = await talked(
        door,
        signed,
        {"op": "subscribe", "channel": "drop_copy"},
        before=lambda: door.keys.revoke(door.signers["trader"].key_id),
    )
    assert [one if isinstance(one, int) else one["code"] for one in heard] == ["key_unknown", REFUSED_SOCKET]


async def test_a_socket_of_a_browser_ends_with_its_session_and_with_its_key(door):
    key_id = door.signers["trader"].key_id
    ends = {
        "logged out": (lambda: door.access.sessions.end(door.http.cookies[COOKIE]), "session_over"),
        "rotated": (lambda: door.keys.rotate(key_id), "session_over"),
        "revoked": (lambda: door.keys.revoke(key_id), "key_unknown"),
    }
    for end, code in ends.values():
        key = door.keys.get(key_id)
        door.signers["trader"] = HmacSigner(key_id, door.keys.secrets_of(key)[0])
        await log_in(door, "trader")
        own_page = {
            "cookie": f"{COOKIE}={door.http.cookies[COOKIE]}", "host": "exchange", "origin": "http://exchange",
        }  # fmt: skip
        heard = await talked(door, own_page, {"op": "subscribe", "channel": "drop_copy"}, before=end)
        assert [one if isinstance(one, int) else one["code"] for one in heard] == [code, REFUSED_SOCKET]


async def test_a_socket_that_only_listens_hears_that_its_session_has_ended(door):
    await log_in(door, "trader")
    token = door.http.cookies[COOKIE]
    own_page = {"cookie": f"{COOKIE}={token}", "host": "exchange", "origin": "http://exchange"}
    asked = {"op": "subscribe", "channel": "orders", "account_id": "STEEL"}
    loop = asyncio.get_running_loop()
    heard = await talked(
        door,
        own_page,
        asked,
        until=REFUSED_SOCKET,
        before=lambda: loop.call_later(0.2, door.access.sessions.end, token),
    )
    assert heard[0]["type"] == "subscribed"
    assert (heard[-2]["code"], heard[-1]) == ("session_over", REFUSED_SOCKET)


# ---------------------------------------------------------------- the command line


def test_keys_from_the_command_line(tmp_path):
    file = str(tmp_path / "x.keys")

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, ["keys", *words, "--file", file])
        return done.output + done.stderr

    made = run("create", "trader", "--account", "STEEL", "--key", "k", "--order-notional", "4000.00")
    secret = re.search(r"secret (\S+)", made)[1]
    assert "k" in run("list")
    rotated = re.search(r"secret (\S+)", run("rotate", "k"))[1]
    assert rotated != secret
    assert "revoked" in run("revoke", "k")
    assert "key_revoked" in run("revoke", "k")
    assert "invalid_role" in run("create", "king")
    assert "wrong_account" in run("create", "trader")
    assert "no_key_file" in CliRunner().invoke(cli, ["keys", "list", "--file", str(tmp_path / "none")]).stderr


def test_an_address_that_others_reach_is_not_served_without_keys(tmp_path):
    done = CliRunner().invoke(cli, ["serve", "--host", "0.0.0.0", "--journal", str(tmp_path / "x.journal")])
    assert done.exit_code == 1
    assert "address_needs_keys" in done.stderr
    assert "carbonex keys create" in done.stderr
