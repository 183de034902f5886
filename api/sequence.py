"""`Carbonex-Sequence` and `Carbonex-Event`: every answer to a GET says after which command and event it is true.

They are the two counts that the stream has: `seq` of its channels of states, and of its channels of events. So whoever
subscribes first and asks then knows which messages the answer has in it already.

Nothing waits between a route's reading and the head of its answer, so no command comes between them.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.history import History
from exchange.state import Exchange

COMMAND, EVENT = b"carbonex-sequence", b"carbonex-event"


class Sequenced:
    """The application that stands before the other and adds the headers."""

    def __init__(self, app: ASGIApp, exchange: Exchange, history: History) -> None:
        self.app = app
        self.exchange = exchange
        self.history = history

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                counts = ((COMMAND, self.exchange.sequence), (EVENT, self.history.events.size))
                message["headers"] = [*message.get("headers", ()), *((name, b"%d" % count) for name, count in counts)]
            await send(message)

        await self.app(scope, receive, told)
