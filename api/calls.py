"""Each call of the client once, for those who await and for those who wait.

A call is written as a coroutine that asks its client to send. `@call` makes a method of it that an asynchronous client
gives out as it is, while a synchronous one runs it to its end: below that client nothing ever suspends, so the first
step of the coroutine is the last. What type the method has follows from whose it is: editors and mypy see
`OrderView` or a coroutine of it, with the parameters as written, and there is no second list of calls to fall behind.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial, update_wrapper
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, cast, overload

import httpx
from pydantic import BaseModel

_Given = ParamSpec("_Given")
_Got = TypeVar("_Got")
_Answer = TypeVar("_Answer", bound=BaseModel)


CONNECTION_LOST = "connection_lost"  # the code of an ApiError when no answer came


class ApiError(Exception):
    """The exchange said no; `code` is stable, `status` the HTTP status (0: no answer)."""

    def __init__(self, status: int, code: str, detail: str, wait_s: float = 0.0, is_untouched: bool = False) -> None:
        super().__init__(f"{code} ({status}): {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.wait_s = wait_s  # how long the exchange wants to be left alone
        self.is_untouched = is_untouched  # whether nothing can have happened by the request
        self.perhaps_done = False  # whether an earlier try, whose answer was lost, may have been carried out

    @property
    def passing(self) -> bool:
        """Whether it is about the moment, so that the same request may be answered later."""
        passing = (429, 500, 502, 503, 504)
        return self.code in (CONNECTION_LOST, "request_in_progress") or self.status in passing


def named(**params: str | None) -> dict[str, str]:
    """The parameters that have a value."""
    return {name: value for name, value in params.items() if value is not None}


class Wire(Protocol):
    """How a client sends."""

    async def _one(self, method: str, path: str, shape: type[_Answer], **request: Any) -> _Answer: ...
    async def _many(self, method: str, path: str, shape: type[_Answer], **request: Any) -> list[_Answer]: ...
    async def _retried(self, method: str, path: str, shape: type[_Answer], **request: Any) -> _Answer: ...
    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response: ...
    async def _once(self, method: str, path: str, **request: Any) -> httpx.Response: ...


class Awaiting:
    """A client whose calls are awaited."""


class Waiting:
    """A client whose calls return when they are done; its coroutines must not suspend."""


def at_once(work: Coroutine[Any, Any, _Got]) -> _Got:
    """What a coroutine that never suspends comes to."""
    try:
        work.send(None)
    except StopIteration as ended:
        got: _Got = ended.value
        return got
    work.close()
    raise RuntimeError("a synchronous client has waited for an event loop")


class call(Generic[_Given, _Got]):
    """A method that is a coroutine of an asynchronous client, and an ordinary call of a synchronous one."""

    def __init__(self, ask: Callable[Concatenate[Any, _Given], Coroutine[Any, Any, _Got]]) -> None:
        self._ask = ask
        update_wrapper(cast(Any, self), ask)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[_Given, Coroutine[Any, Any, _Got]]: ...
    @overload
    def __get__(self, client: Waiting, owner: type) -> Callable[_Given, _Got]: ...
    def __get__(self, client: Awaiting | Waiting | None, owner: type) -> Any:
        if client is None:
            return self
        bound = MethodType(self._ask, client)
        return bound if isinstance(client, Awaiting) else partial(_run, bound)


class pages(Generic[_Given, _Got]):
    """Likewise of an asynchronous generator: rows as they come, page by page."""

    def __init__(self, ask: Callable[Concatenate[Any, _Given], AsyncIterator[_Got]]) -> None:
        self._ask = ask
        update_wrapper(cast(Any, self), ask)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[_Given, AsyncIterator[_Got]]: ...
    @overload
    def __get__(self, client: Waiting, owner: type) -> Callable[_Given, Iterator[_Got]]: ...
    def __get__(self, client: Awaiting | Waiting | None, owner: type) -> Any:
        if client is None:
            return self
        bound = MethodType(self._ask, client)
        return bound if isinstance(client, Awaiting) else partial(_drain, bound)


def _run(bound: Callable[..., Coroutine[Any, Any, _Got]], *given: Any, **named: Any) -> _Got:
    return at_once(bound(*given, **named))


def _drain(bound: Callable[..., AsyncIterator[_Got]], *given: Any, **named: Any) -> Iterator[_Got]:
    rows = bound(*given, **named)

    async def step() -> _Got:
        return await anext(rows)

    while True:
        try:
            row = at_once(step())
        except StopAsyncIteration:
            return
        yield row
