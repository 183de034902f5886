"""Orders that go when their owner has gone: on disconnect, or when nobody has said for a while that he is there.

Both hand in a command that cancels all orders of the account and says why: it is journalled with its cause, which each
cancelled order bears as its reason (`dead_man`, `disconnected`), to its owner, to the drop copy and in all that is made
of the journal; it is refused where cancels are refused. What arms them is not journalled. It changes nothing that the
exchange decides by, a robot says it anew every few seconds, and it is a promise of this process about a clock and a
socket of its own, neither of which a replay has: replaying an arming could fire nothing, and the cancel that came of it
stands in the journal itself. So after a restart nobody is connected, no timer runs, and orders rest until somebody
cancels them. While the exchange stops in good order, sockets end before the inbox does.
"""

import asyncio
import logging
from collections.abc import Callable

from api.gateway import Gateway
from api.inbox import happened
from api.order_entry import cancelled_by
from api.problems import Problem
from api.schemas import CancelledOrders
from exchange.commands import CancelCause, CancelOrders, control

_log = logging.getLogger("carbonex")
_TRIES, _PAUSE_S = 100, 0.1  # while the inbox is full


async def cancel_for(gateway: Gateway, account_id: str, cause: CancelCause) -> CancelledOrders | None:
    """Cancel all orders of an account in its absence; None if the exchange takes no cancels now."""
    for _ in range(_TRIES):
        try:
            answer = await gateway.inbox.offer(control(CancelOrders(account_id, cause)))
            happened(answer)
            done = cancelled_by(answer)
        except Problem as problem:
            if problem.code != "inbox_full":
                _log.warning("%s of %s cancels nothing: %s", cause, account_id, problem)
                return None
            await asyncio.sleep(_PAUSE_S)
        else:
            _log.info("%s of %s cancels %d orders", cause, account_id, done.count)
            return done
    _log.error("%s of %s: the inbox stays full", cause, account_id)
    return None


class DeadMen:
    """The dead-man timers of all accounts. They run in real time, whatever becomes of the socket that set them."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._firing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._timers)

    def set(self, account_id: str, seconds: float, told: Callable[[CancelledOrders], None]) -> None:
        """Cancel an account's orders so many seconds from now, unless this is called again before; 0: never.

        `told` hears what was cancelled.
        """
        if account_id in self._timers:
            self._timers.pop(account_id).cancel()
        if seconds:
            loop = asyncio.get_running_loop()
            self._timers[account_id] = loop.call_later(seconds, self._fire, account_id, told)

    def stop(self) -> None:
        """End all timers: the process ends."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _fire(self, account_id: str, told: Callable[[CancelledOrders], None]) -> None:
        del self._timers[account_id]
        task = asyncio.create_task(self._cancel(account_id, told))
        self._firing.add(task)
        task.add_done_callback(self._firing.discard)

    async def _cancel(self, account_id: str, told: Callable[[CancelledOrders], None]) -> None:
        done = await cancel_for(self._gateway, account_id, CancelCause.DEAD_MAN)
        if done is not None:
            told(done)
