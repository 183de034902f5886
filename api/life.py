"""Whether a serving process is ready, and its end in good order.

serving --signal--> stopping: nothing new is let in, what is under way is answered
        --> streams are told how far they have heard, and close with 1001
        --> the inbox is finished, the journal closed
"""

import asyncio
from typing import TYPE_CHECKING

from api.problems import Problem

if TYPE_CHECKING:
    from api.inbox import Inbox

GOING_AWAY = 1001  # WebSocket close code
RETRY_S = 5  # after which a restarted exchange may be back
LOOK_S = 0.01


class Life:
    """Where a serving process stands between its start and its end."""

    def __init__(self) -> None:
        self.is_stopping = False
        self.streams_end = asyncio.Event()
        self.under_way = 0  # requests
        self.streams = 0

    def stop(self) -> None:
        """From now on nothing new is let in."""
        self.is_stopping = True

    async def drain(self) -> None:
        """Have what is under way answered and the streams closed."""
        self.streams_end.set()
        while self.under_way or self.streams:
            await asyncio.sleep(LOOK_S)

    def require_open(self) -> None:
        """Problem 503 if nothing new is let in any more."""
        if self.is_stopping:
            raise stopping()


def stopping() -> Problem:
    said = "The exchange is stopping; ask again after its restart."
    return Problem(503, "stopping", said, headers={"Retry-After": str(RETRY_S), "Connection": "close"})


def require_ready(life: Life, inbox: "Inbox") -> None:
    """Problem 503 if commands would not be taken now."""
    life.require_open()
    if inbox.broken is not None:
        raise Problem(503, inbox.broken, "The exchange has stopped; ask again after its restart.")
    if inbox.room <= 0:
        said = "More commands are waiting than the exchange takes in."
        raise Problem(503, "inbox_full", said, headers={"Retry-After": "1"})
