"""No route overlooks what its query says: a parameter that it does not document, or one that comes twice, is refused.

`DELETE /v1/orders?account_id=E-001&symbl=HBEA-2025` would else cancel all orders of the account. What a route takes is
read from the declarations that its document is made of. Whatever has no query passes untouched, as does what no route
answers: that is told so further on.
"""

from collections import Counter
from collections.abc import Iterable
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.guard import refuse
from api.access.rules import rule_of
from api.problems import Problem, invalid


class Queries:
    """The application that stands before the routes."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._taken: dict[tuple[str, str], frozenset[str]] = {}
        for route in routes:
            if isinstance(route, APIWebSocketRoute):
                self._taken["GET", route.path_format] = _query_of(route.dependant)
            elif isinstance(route, APIRoute) and route.include_in_schema:
                for method in route.methods or ():
                    self._taken[method, route.path_format] = _query_of(route.dependant)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope.get("query_string", b"")
        if query and (problem := self._overlooked(scope.get("method", "GET"), scope["path"], query)):
            await refuse(scope, receive, send, problem)
        else:
            await self._app(scope, receive, send)

    def _overlooked(self, method: str, path: str, query: bytes) -> Problem | None:
        """422 if a route would not read all of its query."""
        method = "GET" if method == "HEAD" else method
        found = rule_of(method, path)
        taken = self._taken.get((method, found[0].template if found else path))
        if taken is None:
            return None
        named = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        wrong = {name: "There is no such parameter" for name in named if name not in taken}
        wrong |= {name: "Is given more than once" for name, times in named.items() if name in taken and times > 1}
        return invalid([{"field": name, "message": said} for name, said in wrong.items()]) if wrong else None


def _query_of(dependant: Dependant) -> frozenset[str]:
    """The names of all parameters that a route, or what it depends on, reads from the query."""
    own = frozenset(field.alias for field in dependant.query_params)
    return own.union(*map(_query_of, dependant.dependencies))
