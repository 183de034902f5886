"""The FastAPI application around a gateway: routers, errors, documentation that needs no outside assets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from api import problems
from api.access.bodies import Bounded
from api.access.guard import Access, Guard
from api.documented import document
from api.fast_lane import FastLane
from api.front import Front
from api.gateway import Gateway
from api.idempotency import Idempotency
from api.methods import Heads, Options
from api.metrics import Metrics
from api.pages import STATIC, add_pages
from api.queries import Queries
from api.routers import (
    access as access_routes,
)
from api.routers import (
    accounts,
    clearing,
    compliance,
    corrections,
    credits,
    currencies,
    defaults,
    emissions,
    executions,
    health,
    market,
    orders,
    registry,
    settlement,
    stream,
)  # fmt: skip
from api.sequence import Sequenced
from api.stream.feed import Feed
from api.watching import Watch

DESCRIPTION = """
A simulated regional carbon-allowance exchange. Prices are decimal strings per tonne in the currency of the
instrument, quantities whole tonnes of CO2 equivalent. Errors are problem details (RFC 9457) with a stable `code`.
The stream is a WebSocket at `/v1/stream`: `{"op": "subscribe", "channel": "trades", "symbol": "HBEA-2025"}` as a text
frame, and arrays of messages come back, each with its `seq` and the `prev_seq` of the one before. Channels, orders on
the stream, replays and error codes: [/asyncapi](/asyncapi), as an AsyncAPI 3 document [/asyncapi.json](/asyncapi.json).

Any POST may bear an `Idempotency-Key`: sent again under it, the same request gets the first answer, and nothing happens
twice. Lists come in pages of at most 1,000 rows: the headers `Link` (`rel="next"`) and `Carbonex-Cursor` tell the way
to the next one. Every GET says in `Carbonex-Sequence` after which command its answer is true, in `Carbonex-Event` after
which event of the stream. A query parameter that a route does not know, or that comes twice, is refused: nothing that
you say is overlooked.

Who asks: while the exchange has no keys, which only a loopback address is served for, everybody. With keys each request
is signed (`carbonex-key`, `carbonex-timestamp` and `carbonex-signature`; the README shows how), or comes from a browser
that has logged in. A key has a role and acts in the name of one account: what names another's is answered as what
names nobody's. What an account may do follows from the class of its participant and its status: `GET /v1/roles`;
whoever lacks the right is refused with `not_permitted` (403).
"""


def make_app(gateway: Gateway, access: Access | None = None) -> FastAPI:
    """The application that serves one gateway to whom `access` admits; the gateway runs while the application does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with gateway.running():
            yield
            app.state.feed.dead_men.stop()

    app: FastAPI = FastAPIOffline(
        title="carbonex",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # measured by api.metrics, not per request
        docs_url=None,
        redoc_url=None,
        static_url=STATIC,
    )
    app.state.gateway = gateway
    app.state.feed = Feed(gateway)
    app.state.access = access or Access(None)
    app.state.metrics = metrics = Metrics(gateway, app.state.feed, app.state.access)
    gateway.inbox.watch = Watch(gateway, metrics)
    # Orders first: the router tries routes in turn.
    for router in (
        orders.router,
        executions.router,
        market.router,
        health.router,
        access_routes.router,
        accounts.router,
        market.operator,
        corrections.router,
        registry.router,
        compliance.router,
        emissions.router,
        credits.router,
        currencies.router,
        settlement.router,
        clearing.router,
        defaults.router,
        stream.router,
    ):
        app.router.routes.extend(router.routes)  # which are whole as they are: nothing is built anew for each app
    problems.install(app)
    document(app, app.state.access)
    add_pages(app)
    app.middleware_stack = _doors(app, gateway)
    return app


def _doors(app: FastAPI, gateway: Gateway) -> ASGIApp:
    """The application behind our own doors: they stand before what FastAPI does for every request, so that an order
    gets its answer without that.
    """
    access: Access = app.state.access
    lane = FastLane(Queries(Bounded(app.build_middleware_stack()), app.routes), gateway, access)
    known = Idempotency(Sequenced(lane, gateway.exchange, gateway.history), gateway.requests, gateway.exchange)
    guarded = Guard(Heads(known), access)
    return Front(Options(guarded, app.routes), gateway.life, app.state.metrics)
