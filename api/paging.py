"""Lists in pages, for every list that grows.

A list stays an array. `limit` says how many rows at most come at once, 1 to 1,000, which is also how many come where
none is named. If there are more, the answer has two headers: `Carbonex-Cursor`, to be given as `cursor` for what
follows, and `Link` with `rel="next"`, the address of it.

A cursor names the last row that was given, by what it has in the order of the list: not how many rows stood before it.
So rows that come or go meanwhile make no other row come twice or not at all. It belongs to its list and parameters
(`limit` may change from page to page); what is no cursor of this list is refused with `invalid_cursor`. Files (CSV)
come whole. `GET /v1/trades` has a cursor of its own in the body: the last trade id.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable
from datetime import date
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

import msgspec
from fastapi import Depends, Query, Request, Response

from api.problems import Problem

LIMIT_MAX = 1000
CURSOR = "Carbonex-Cursor"
_SCOPE_LENGTH = 8
_OWN = frozenset({"limit", "cursor"})

Row = TypeVar("Row")
Key = tuple[Any, ...]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Rows at most", examples=[100])]
Cursor = Annotated[
    str | None,
    Query(max_length=1000, description="From the header Carbonex-Cursor of the page before; left out: the first page"),
]


class Page:
    """Which page of a list is asked for, and where the answer says how to get the next."""

    def __init__(self, request: Request, response: Response, limit: int, cursor: str | None) -> None:
        self._request = request
        self._response = response
        self._limit = limit
        self._after = None if cursor is None else self._decoded(cursor)

    def of(self, rows: Iterable[Row], key: Callable[[Row], Any]) -> list[Row]:
        """The rows of this page, of a list that rises by a key of numbers, texts and dates that no two rows share."""
        after, found = self._after, list[Row]()
        for row in rows:
            if after is None or self._is_behind(_as_key(key(row)), after):
                found.append(row)
            if len(found) > self._limit:
                found.pop()
                self._tell(_as_key(key(found[-1])))
                break
        return found

    def of_growing(self, rows: Iterable[Row]) -> list[Row]:
        """The rows of this page, of a list that only ever grows at its end."""
        return [row for _, row in self.of(enumerate(rows), lambda numbered: numbered[0])]

    def _is_behind(self, key: Key, after: Key) -> bool:
        if [type(part) for part in key] != [type(part) for part in after]:
            raise _no_cursor()
        return key > after

    def _tell(self, last: Key) -> None:
        """Say where the next page is."""
        content = msgspec.json.encode([self._scope(), *last])
        cursor = base64.urlsafe_b64encode(content).rstrip(b"=").decode()
        asked = [(name, value) for name, value in self._request.query_params.multi_items() if name not in _OWN]
        query = urlencode([*asked, ("limit", self._limit), ("cursor", cursor)])
        self._response.headers[CURSOR] = cursor
        self._response.headers["Link"] = f'<{self._request.url.path}?{query}>; rel="next"'

    def _decoded(self, cursor: str) -> Key:
        try:
            scope, *key = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=list)
        except (ValueError, binascii.Error, msgspec.DecodeError):
            raise _no_cursor() from None
        if scope != self._scope() or not key:
            raise _no_cursor()
        return tuple(key)

    def _scope(self) -> str:
        """What the list and its parameters are known by."""
        asked = sorted(pair for pair in self._request.query_params.multi_items() if pair[0] not in _OWN)
        named = msgspec.json.encode([self._request.url.path, asked])
        return hashlib.sha256(named).hexdigest()[:_SCOPE_LENGTH]


def _as_key(found: Any) -> Key:
    parts = found if isinstance(found, tuple) else (found,)
    return tuple(part.isoformat() if isinstance(part, date) else part for part in parts)


def _no_cursor() -> Problem:
    return Problem(422, "invalid_cursor", f"The cursor is none of this list; take it from the header {CURSOR}.")


async def page_of(request: Request, response: Response, limit: Limit = LIMIT_MAX, cursor: Cursor = None) -> Page:
    # async, for FastAPI runs plain functions in a thread
    return Page(request, response, limit, cursor)


ThePage = Annotated[Page, Depends(page_of)]
