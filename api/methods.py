"""Methods that no route has of its own: HEAD, which is answered like GET without a body, and OPTIONS.

OPTIONS says which methods a path has, to everybody, key or not: the document says no less. There are no headers of
CORS in its answer, for pages of other sites have nothing to do here.
"""

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def methods_of(routes: Sequence[BaseRoute], scope: Scope) -> set[str]:
    """All methods that a path has, those of this module too; none of a path that is none."""
    asked = [{**scope, "method": method} for method in _METHODS]
    found = {one["method"] for one in asked for route in routes if route.matches(one)[0] == Match.FULL}
    if "GET" in found:
        found.add("HEAD")
    return found | {"OPTIONS"} if found else found


class Options:
    """The application that stands before the door and answers OPTIONS."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and (has := methods_of(self._routes, scope)):
            await Response(status_code=204, headers={"Allow": ", ".join(sorted(has))})(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class Heads:
    """The application that stands behind the door, where signatures have been checked, and makes a GET of each HEAD.

    The server sends no body to who has asked for none.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self._app({**scope, "method": "GET"} if is_head else scope, receive, send)
