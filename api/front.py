"""The outermost application: it names each request, counts it, and lets nobody in while the exchange stops.

Every answer leaves with the headers by which browsers keep it safe (:mod:`api.pages`).

A request's id is the client's `X-Request-Id`, if it is one, else one made here; it stands in the answer and in every
log line of the request. What is counted as a problem is what the client is told: the `code` of the answer.
"""

import logging
import re
import secrets
from collections.abc import Iterable
from itertools import count
from time import perf_counter

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.rules import OPEN, RULES, rule_of
from api.life import GOING_AWAY, Life, stopping
from api.logs import REQUEST_ID
from api.metrics import Metrics
from api.pages import headers_for
from api.problems import broken

_log = logging.getLogger("carbonex.requests")

HEADER = b"x-request-id"
_ID = re.compile(rb"[!-~]{1,128}")
_STATIC = frozenset(key for key in RULES if "{" not in key[1])
_ALWAYS = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})  # answered to the end


class _Coded(msgspec.Struct):
    code: str = "none"


_code_in = msgspec.json.Decoder(_Coded).decode


class Front:
    """The application that stands before all others."""

    def __init__(self, app: ASGIApp, life: Life, metrics: Metrics) -> None:
        self._app, self._life, self._metrics = app, life, metrics
        self._numbers = count(1)
        self._process = secrets.token_hex(4)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = given_id(scope["headers"]) or f"{self._process}-{next(self._numbers)}".encode()
        REQUEST_ID.set(request_id.decode())
        if scope["type"] == "http":
            await self._answer(scope, receive, send, request_id)
        elif self._life.is_stopping:
            await receive()  # websocket.connect
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": GOING_AWAY, "reason": "stopping"})
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> None:
        status = 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id), *safe]
            elif status >= 400:
                self._metrics.problems[_code_of(message.get("body", b""))] += 1
            await send(message)

        method, path = scope["method"], scope["path"]
        safe = headers_for(path)
        app = stopping().response() if self._life.is_stopping and path not in _ALWAYS else self._app
        self._life.under_way += 1
        began = perf_counter()
        try:
            await app(scope, receive, told)
        except Exception:
            if not status:
                await broken().response()(scope, receive, told)
            raise
        finally:
            self._life.under_way -= 1
            key = (method, path) if (method, path) in _STATIC else _route_of(method, path)
            self._metrics.requests[*key, status] += 1
            if _log.isEnabledFor(logging.DEBUG):
                about = {
                    "method": key[0],
                    "route": key[1],
                    "status": status,
                    "seconds": round(perf_counter() - began, 6),
                }
                _log.debug("request", extra=about)


def given_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The id that the client has given its request; None if that can't be one."""
    for name, value in headers:
        if name == HEADER:
            return value if _ID.fullmatch(value) else None
    return None


def _route_of(method: str, path: str) -> tuple[str, str]:
    """Method and template of a route; what is none has one name, so that nobody makes up new ones."""
    if (found := rule_of(method, path)) is not None:
        return method, found[0].template
    return (method, path) if method == "GET" and path in OPEN else ("other", "other")


def _code_of(body: bytes) -> str:
    try:
        return _code_in(body).code
    except msgspec.MsgspecError:
        return "none"
