"""The process that serves: its listening socket, its server, and how it ends.

A signal ends it in good order (:mod:`api.life`), in so many seconds at most; a second one at once: what the journal
holds has happened, nothing else has. Where systemd has started it, it says when it is ready and when it stops.
"""

import asyncio
import gc
import logging
import os
import socket
from contextlib import suppress
from threading import Timer
from types import FrameType

import uvicorn

from api.access.guard import Access
from api.app import make_app
from api.bounded import BoundedHttp
from api.gateway import Gateway
from api.life import LOOK_S

_log = logging.getLogger("carbonex")
TOO_LATE = 2  # exit code of an end that took too long
_COLLECTED = 10_000  # objects made, less those gone, between two looks of the garbage collector
_CLOSE_S = 1  # for the server to close its connections


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens on an address; port 0 takes a free one. OSError if it is taken or not ours."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048)


class Serving:
    """One gateway on one listening socket; its end takes `shutdown_s` at most."""

    def __init__(self, gateway: Gateway, access: Access, listening: socket.socket, shutdown_s: float) -> None:
        self._gateway, self._listening = gateway, listening
        config = uvicorn.Config(
            make_app(gateway, access),
            loop="uvloop",
            http=BoundedHttp,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=_CLOSE_S,
        )
        self._server = _Server(config, gateway, shutdown_s)
        gateway.inbox.stop = lambda: setattr(self._server, "should_exit", True)

    @property
    def url(self) -> str:
        host, port = self._listening.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self) -> None:
        """Serve until a signal ends it, or the exchange breaks."""
        exchange = self._gateway.exchange
        spare_what_stays()
        _log.info("start", extra={"url": self.url, "sequence": exchange.sequence, "pid": os.getpid()})
        self._server.run([self._listening])
        _log.info("stop", extra={"sequence": exchange.sequence, "code": self._gateway.inbox.broken})


class _Server(uvicorn.Server):
    """Ends as :mod:`api.life` says."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, shutdown_s: float) -> None:
        super().__init__(config)
        self._life, self._shutdown_s = gateway.life, shutdown_s
        self._watchdog = Timer(shutdown_s, _give_up)
        self._watchdog.daemon = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A first signal ends the process in good order, a second one at once."""
        if self._life.is_stopping:
            os._exit(128 + sig)
        self._life.stop()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _tell_systemd("READY=1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._life.stop()
        self._watchdog.start()
        _tell_systemd("STOPPING=1")
        _log.info("stopping", extra={"requests": self._life.under_way, "streams": self._life.streams})
        try:
            async with asyncio.timeout(max(self._shutdown_s - 2 * _CLOSE_S, self._shutdown_s / 2)):
                await self._life.drain()
                await self._say_goodbye()
        except TimeoutError:
            _log.warning("cut off", extra={"requests": self._life.under_way, "streams": self._life.streams})
        await super().shutdown(sockets)
        self._watchdog.cancel()

    async def _say_goodbye(self) -> None:
        """Wait until the other side has closed its sockets too.

        Whoever still sends would lose what he has not read yet, if his connection were ended before he has read it.
        """
        while any(getattr(one, "close_sent", False) for one in self.server_state.connections):
            await asyncio.sleep(LOOK_S)


def spare_what_stays() -> None:
    """Have the garbage collector leave alone what the journal has brought, and look less often at what comes and goes:
    a request makes hundreds of objects, and next to none of them are garbage that it is needed for.
    """
    gc.freeze()
    gc.set_threshold(_COLLECTED)


def _give_up() -> None:
    """The end takes too long, most likely because the disk does."""
    _log.critical("the end took too long: what was not answered is in the journal or has not happened")
    os._exit(TOO_LATE)


def _tell_systemd(said: str) -> None:
    """Tell who has started us, if it listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.sendto(said.encode(), f"\0{address[1:]}" if address.startswith("@") else address)
