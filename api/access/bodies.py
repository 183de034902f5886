"""Bodies of requests: bounded for everybody, and read for who must read them before the application does."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem

BODY_MAX = 8 << 20  # bytes


async def body_of(receive: Receive, scope: Scope) -> bytes:
    """All of a request's body. Problem 413 if it is too large."""
    for name, claimed in scope["headers"]:
        if name.lower() == b"content-length" and claimed.isdigit() and int(claimed) > BODY_MAX:
            raise _too_large()
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "disconnected", "The client is gone.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_MAX:
            raise _too_large()
        more = message.get("more_body", False)
    return b"".join(parts)


def _too_large() -> Problem:
    return Problem(413, "body_too_large", f"A body has {BODY_MAX} bytes at most.")


def given(body: bytes, receive: Receive) -> Receive:
    """Hand on a body that has been read."""
    is_given = False

    async def handed_on() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return handed_on


class Bounded:
    """Lets the application read no body that is too large, whatever its type."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            try:
                receive = given(await body_of(receive, scope), receive)
            except Problem as problem:
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)
