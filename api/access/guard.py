"""The door: an ASGI application around the other, which lets in who has a key for what it asks.

In turn: is the path open to all; is there a key, and does its signature stand (or is there a browser session); is the
key within its rate; may its role call the route; is the account its own. What is refused is logged with its reason.
Where there are no keys yet everybody may do everything, which only a loopback address is served for.
"""

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import signing
from api.access.bodies import body_of, given
from api.access.keys import REFRESHED_NS, Key, KeyFile, KeyProblem, Role
from api.access.limits import Rate, Rates
from api.access.rules import READERS, Rule, is_open, rule_of
from api.access.sessions import COOKIE, Sessions
from api.problems import Problem, no_account

_log = logging.getLogger("carbonex.access")

DENIALS_KEPT = 10_000
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
REFUSED_SOCKET = 4003  # WebSocket close code: no key, or not for this


class Caller(NamedTuple):
    """Who asks."""

    key: Key | None  # None: there are no keys, and everybody may do everything
    token: str = ""  # of the browser session, where it is one

    def is_role(self, *roles: Role) -> bool:
        return self.key is None or self.key.role in roles

    def may_see(self, account_id: str) -> bool:
        """Whether the account is its own, or it reads everything."""
        return self.key is None or self.key.role in READERS or account_id == self.key.account_id != ""


EVERYBODY = Caller(None)


class Denial(NamedTuple):
    """An attempt that was refused."""

    at_ns: int  # of the wall clock
    client: str
    key_id: str  # as claimed
    method: str
    path: str
    code: str
    detail: str


class Access:
    """Who may ask: the keys, and what the guard remembers. Without keys: everybody.

    `path`: where the keys will be, if there is no file of them yet. `metrics_token`: who bears it may measure, for
    programs that do so can't sign. `behind_tls`: a proxy speaks TLS, so cookies are for that alone.
    """

    def __init__(
        self,
        keys: KeyFile | None,
        now_ns: Callable[[], int] = time.time_ns,
        path: Path | None = None,
        metrics_token: str = "",
        behind_tls: bool = False,
    ) -> None:
        self.keys = keys
        self.behind_tls = behind_tls
        self._since_ns = now_ns()  # what was signed before may have been used in a process before this one
        self._bearer = f"Bearer {metrics_token}".encode() if metrics_token else None
        self.now_ns = now_ns
        self._path = path
        self._looked_ns = 0
        self.sessions = Sessions()
        self.rates = Rates()
        self.replays = signing.Replays()
        self.denials: deque[Denial] = deque(maxlen=DENIALS_KEPT)
        self.denied = 0  # attempts, those forgotten too

    @property
    def is_on(self) -> bool:
        """Whether keys are asked for: as soon as there is one, and for good."""
        if self.keys is None:
            self._look()
        if self.keys is None:
            return False
        self.keys.refresh()
        return not self.keys.is_empty

    def may_measure(self, scope: Scope) -> bool:
        """Whether a request asks for the measurements and bears their token."""
        if self._bearer is None or scope["path"] != "/metrics" or scope.get("method") != "GET":
            return False
        return any(name == b"authorization" and compare_digest(it, self._bearer) for name, it in scope["headers"])

    def _look(self) -> None:
        """Take up the file of keys once there is one. Problem 503 if it can't be used: nobody is let in by that."""
        now_ns = self.now_ns()
        if self._path is None or 0 <= now_ns - self._looked_ns < REFRESHED_NS:
            return
        if self._path.exists():
            try:
                self.keys = KeyFile(self._path, self.now_ns)
            except KeyProblem as error:
                raise Problem(503, error.code, error.detail) from None
        self._looked_ns = now_ns

    def caller(self, headers: dict[str, str], method: str, target: str, body: bytes, changes: bool) -> Caller:
        """Who has signed a request, or opened the session. Problem 401 if nobody has who may.

        `changes`: it may do more than read, so that a session counts only for the exchange's own pages.
        """
        if signing.KEY in headers:
            return Caller(self._signer(headers, method, target, body))
        token = _cookie(headers.get("cookie", ""))
        if token:
            if changes and not _is_of_own_page(headers):
                raise _unknown("foreign_page", "A session acts for pages of the exchange alone.")
            return self._of_session(token)
        raise _unknown("key_missing", f"Sign the request: {signing.KEY}, {signing.TIMESTAMP}, {signing.SIGNATURE}.")

    def _signer(self, headers: dict[str, str], method: str, target: str, body: bytes) -> Key:
        assert self.keys is not None
        key, now_ns = self._key(headers[signing.KEY]), self.now_ns()
        stamp = headers.get(signing.TIMESTAMP, "")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 20):
            raise _unknown("timestamp_invalid", "Carbonex-Timestamp is nanoseconds since 1970.")
        if abs(int(stamp) - now_ns) > signing.WINDOW_NS:
            seconds = signing.WINDOW_NS // 10**9
            raise _unknown("timestamp_outside_window", f"The request was not signed within {seconds} s of {now_ns}.")
        if int(stamp) <= max(self._since_ns, self.keys.taken_before_ns):
            raise _unknown("timestamp_before_start", "The exchange has started since this was signed; sign it anew.")
        try:
            signature = signing.decoded(headers.get(signing.SIGNATURE, ""))
        except ValueError:
            raise _unknown("signature_invalid", "Carbonex-Signature is not base64.") from None
        if not self._stands(key, signing.text_to_sign(int(stamp), method, target, body), signature):
            raise _unknown("signature_invalid", "The signature is not that of this request by this key.")
        if not self.replays.is_new(signature, now_ns):
            raise _unknown("signature_used", "This request has been made already; sign it anew.")
        if int(stamp) > now_ns:
            self.keys.note_ahead(int(stamp))
        return key

    def _stands(self, key: Key, text: bytes, signature: bytes) -> bool:
        assert self.keys is not None
        if key.is_ed25519:
            return any(signing.is_ed25519_of(one, text, signature) for one in self.keys.public_keys_of(key))
        return any(signing.is_hmac_of(one, text, signature) for one in self.keys.secrets_of(key))

    def _key(self, key_id: str) -> Key:
        assert self.keys is not None
        key = self.keys.get(key_id)
        if key is None or key.revoked_ns is not None:
            raise _unknown("key_unknown", "There is no such key, or it has been revoked.")
        return key

    def _of_session(self, token: str) -> Caller:
        found = self.sessions.whose(token, self.now_ns())
        if found is None:
            raise _unknown("session_over", "The session is over; log in again.")
        key_id, version = found
        key = self._key(key_id)
        if key.version != version:
            raise _unknown("session_over", "The key has been rotated; log in again.")
        return Caller(key, token)

    def still(self, caller: Caller) -> Caller:
        """Who has opened a socket, as his key stands now. Problem 401 if it or his session is not good any more.

        Who listens is not idle: a session lasts while its socket is open, up to its hours.
        """
        if not self.is_on:
            return caller
        if caller.key is None:
            raise _unknown("key_missing", "The exchange has keys by now; sign the handshake.")
        return self._of_session(caller.token) if caller.token else Caller(self._key(caller.key.key_id))

    def require_rate(self, key: Key) -> Rate:
        """Count a request of a key. Problem 429 if it asks too often."""
        rate = self.rates.ask(key.key_id, key.limits, self.now_ns())
        if not rate.allowed:
            said = f"The key may ask {key.limits.requests_per_second} times a second."
            raise Problem(429, "rate_limited", said, headers=_as_text(rate.headers()))
        return rate

    def log_in(self, key_id: str, secret: str) -> str:
        """The token of a new session. Problem 401 if the secret is wrong, 429 if it was so too often."""
        now_ns = self.now_ns()
        if not self.sessions.may_try(key_id, now_ns):
            raise Problem(429, "too_many_logins", "Too many wrong secrets; try again later.", headers=_RETRY)
        key = self.keys.get(key_id) if self.keys else None
        if self.keys is None or key is None or key.revoked_ns is not None or not self.keys.is_secret_of(key, secret):
            self.sessions.fail(key_id, now_ns)
            raise _unknown("login_failed", "There is no such key with this secret.")
        return self.sessions.begin(key.key_id, key.version, now_ns)

    def deny(self, denial: Denial) -> None:
        """Note an attempt that was refused."""
        self.denials.append(denial)
        self.denied += 1
        _log.warning("denied", extra=denial._asdict())


def _unknown(code: str, detail: str) -> Problem:
    return Problem(401, code, detail, headers={"WWW-Authenticate": "Carbonex"})


_RETRY = {"Retry-After": "60"}


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _is_of_own_page(headers: dict[str, str]) -> bool:
    """Whether a browser says that the request comes from a page of this server (Fetch Metadata, else Origin)."""
    if site := headers.get("sec-fetch-site"):
        return site == "same-origin"
    return headers.get("origin", "").split("://")[-1] == headers.get("host", "-")


def permit(key: Key, rule: Rule, in_path: dict[str, str], query: str, body: bytes) -> None:
    """Problem 403 if a key's role may not call a route; 404 if the account is another's."""
    match rule.part:
        case "path":
            named = [in_path[rule.field]]
        case "query":
            named = parse_qs(query, keep_blank_values=True).get(rule.field, [])
        case "body" if key.role in rule.roles and rule.is_bound(key.role):
            named = _in_body(body, rule.field)
        case _:
            named = []
    permit_named(key, rule, named)


def permit_named(key: Key, rule: Rule, named: list[str]) -> None:
    """Likewise, of the accounts that are named."""
    if key.role not in rule.roles:
        raise Problem(403, "role_not_permitted", f"A key for a {key.role} may not {rule.method} {rule.template}.")
    if not rule.is_bound(key.role):
        return
    if not named:
        raise Problem(422, "invalid_request", f"{rule.field}: is required")
    for account_id in named:
        if account_id != key.account_id:
            raise no_account(account_id)


def _in_body(body: bytes, field: str) -> list[str]:
    try:
        content = _fields_of(body)
        found = msgspec.json.decode(content[field]) if field in content else None
    except msgspec.ValidationError:
        return []  # not an object
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "malformed_json", "The body is not valid JSON.") from None
    return [found] if isinstance(found, str) else []


_fields_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode  # a batch has a thousand orders that nobody needs here


class Guard:
    """The application that stands before the other."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = EVERYBODY
        try:
            is_on = self.access.is_on
        except Problem as problem:
            await refuse(scope, receive, send, problem)
            return
        if not is_on or is_open(scope["path"]) or self.access.may_measure(scope):
            await self.app(scope, receive, send)
            return
        method = scope.get("method", "GET")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            body = b"" if scope["type"] == "websocket" else await body_of(receive, scope)
            caller, rate = self._admit(scope, method, headers, body)
        except Problem as problem:
            client = scope.get("client") or ("", 0)
            claimed = headers.get(signing.KEY, "")
            denial = Denial(
                self.access.now_ns(), client[0], claimed, method, scope["path"], problem.code, problem.detail
            )
            self.access.deny(denial)
            await refuse(scope, receive, send, problem)
            return
        scope["state"]["caller"] = caller
        limits = rate.headers()

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *limits]
            await send(message)

        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self.app(scope, given(body, receive), told)

    def _admit(self, scope: Scope, method: str, headers: dict[str, str], body: bytes) -> tuple[Caller, Rate]:
        query = scope.get("query_string", b"").decode("latin-1")
        raw = scope.get("raw_path", scope["path"].encode()).decode("latin-1").split("?")[0]
        changes = scope["type"] == "websocket" or method not in _SAFE
        caller = self.access.caller(headers, method, f"{raw}?{query}" if query else raw, body, changes)
        assert caller.key is not None
        rate = self.access.require_rate(caller.key)
        try:
            found = rule_of(method, scope["path"])
            if found is None:
                raise Problem(404, "not_found", "There is no such resource.")
            permit(caller.key, *found, query, body)
        except Problem as problem:
            problem.headers = (problem.headers or {}) | _as_text(rate.headers())
            raise
        return caller, rate


def _as_text(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


async def refuse(scope: Scope, receive: Receive, send: Send, problem: Problem) -> None:
    """Answer a request with a problem; a handshake by a message that says it, and REFUSED_SOCKET."""
    if scope["type"] == "http":
        await problem.response()(scope, receive, send)
        return
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    said: Any = {"type": "error", "code": problem.code, "detail": problem.detail}
    await send({"type": "websocket.send", "text": json.dumps([said])})
    await send({"type": "websocket.close", "code": REFUSED_SOCKET, "reason": problem.code})
