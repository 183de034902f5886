"""`Carbonex-Sequence`: every answer to a GET says after which command it is true.

Nothing waits between a route's reading and the head of its answer, so no command comes between them.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exchange.state import Exchange

HEADER = b"carbonex-sequence"


class Sequenced:
    """The application that stands before the other and adds the header."""

    def __init__(self, app: ASGIApp, exchange: Exchange) -> None:
        self.app = app
        self.exchange = exchange

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (HEADER, str(self.exchange.sequence).encode())]
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, told)
