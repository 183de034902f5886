"""An event loop whose time is virtual and whose order of wake-ups comes from a seed.

Nothing waits: when nobody is ready, the clock jumps to the next timer. Who is ready in the same turn is woken in an
order that is drawn, so that whatever leans on the order of wake-ups is found; all the same, a seed is one history.
"""

import asyncio
import heapq
from collections.abc import Callable
from random import Random
from typing import Any


class Stuck(Exception):
    """Everybody waits, and for nothing that could come."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Seconds of its clock begin at 0. `late`: by how many a timer that is set now goes off too late."""

    def __init__(self, random: Random, late: Callable[[], float]) -> None:
        super().__init__()
        self._now = 0.0
        self._random = random
        self._late = late
        self.turns = 0
        self.wakeups = 0
        self.errors: list[BaseException] = []  # that nobody caught
        self.set_exception_handler(self._note)

    def time(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        return super().call_at(when + self._late(), callback, *args, context=context)

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        return self.call_soon(callback, *args, context=context)  # there is one thread

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            self.errors.append(error)

    def _process_events(self, event_list: Any) -> None:
        """There are no sockets."""

    def _write_to_self(self) -> None:
        """There is no selector that would have to be woken."""

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not scheduled:
                raise Stuck(f"nobody will be woken any more at {self._now:.3f} s")
            self._now = max(self._now, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        turn = [handle for handle in ready if not handle._cancelled]
        ready.clear()
        self._random.shuffle(turn)
        self.turns += 1
        self.wakeups += len(turn)
        for handle in turn:
            if not handle._cancelled:
                handle._run()
