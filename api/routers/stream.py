"""The stream over a WebSocket: one task reads frames and answers them, another sends what is on its way."""

import asyncio
import logging
from contextlib import suppress

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from api.access.guard import REFUSED_SOCKET
from api.life import GOING_AWAY, stopping
from api.problems import Problem
from api.stream.channels import TooSlow
from api.stream.desk import Desk, Gone
from api.stream.feed import Feed, Subscriber
from api.stream.messages import ErrorTold

router = APIRouter()
_log = logging.getLogger("carbonex.stream")

TICK_S = 0.05
HEARTBEAT_S = 1.0
SEND_S = 30.0  # how long a client may take no bytes at all
TOO_SLOW = 4008  # WebSocket close code


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """Each text frame from the client is a request; each from the server an array of messages."""
    feed: Feed = socket.app.state.feed
    life = feed.gateway.life
    await socket.accept()
    subscriber, woken = Subscriber(feed), asyncio.Event()
    desk = Desk(feed, subscriber, socket.app.state.access, socket.state.caller, woken.set)
    feed.subscribers.add(subscriber)
    feed.ticker.add(woken.set, TICK_S)
    life.streams += 1
    sends = asyncio.create_task(_send(socket, desk, woken))
    listens = asyncio.create_task(_listen(socket, desk))
    ends = asyncio.create_task(life.streams_end.wait())
    why = "client"
    try:
        done, _ = await asyncio.wait({sends, listens, ends}, return_when=asyncio.FIRST_COMPLETED)
        if ends in done:
            why = "stopping"
            with suppress(WebSocketDisconnect):
                await _take_leave(socket, desk, listens, sends)
        for task in done - {ends}:
            with suppress(WebSocketDisconnect):
                task.result()
    except Gone as gone:
        why = gone.problem.code
        await _close(socket, REFUSED_SOCKET, _error(gone.problem))
    except TooSlow as slow:
        why = "too_slow"
        said = f"{slow.channel} has gone on without you; its newest message is {slow.last_seq}."
        error = ErrorTold(status=408, code="too_slow", detail=said, channel=slow.channel, last_seq=slow.last_seq)
        _log.warning("slow subscriber", extra={"channel": slow.channel, "last_seq": slow.last_seq} | _who(socket))
        await _close(socket, TOO_SLOW, error)
    finally:
        feed.ticker.remove(woken.set)
        for task in (sends, listens, ends):
            task.cancel()
        await asyncio.gather(sends, listens, ends, return_exceptions=True)
        await desk.close()
        feed.subscribers.discard(subscriber)
        feed.ended[why] += 1
        life.streams -= 1


async def _listen(socket: WebSocket, desk: Desk) -> None:
    """Answer the client's frames until it is gone."""
    while True:
        frame = await socket.receive()
        if frame["type"] == "websocket.disconnect":
            return
        await desk.answer(frame)


async def _send(socket: WebSocket, desk: Desk, woken: asyncio.Event) -> None:
    """Send each tick's news, and answers at once, until cancelled, or all is said to one who leaves."""
    subscriber = desk.subscriber
    loop = asyncio.get_running_loop()
    beat_at = loop.time() + HEARTBEAT_S
    while True:
        is_last = subscriber.is_leaving
        woken.clear()
        subscriber.hear()
        if is_last or loop.time() >= beat_at:
            desk.require_good_key()
            subscriber.beat()
            beat_at = loop.time() + HEARTBEAT_S
        for frame in subscriber.frames():
            try:
                async with asyncio.timeout(SEND_S):
                    await socket.send_text(frame)
            except TimeoutError:
                key, listener = next(iter(subscriber.listeners.items()), (None, None))
                raise TooSlow(key.name if key else "", listener.last_seq() if listener else 0) from None
        if is_last:
            return
        await woken.wait()


async def _take_leave(socket: WebSocket, desk: Desk, listens: asyncio.Task[None], sends: asyncio.Task[None]) -> None:
    """The exchange stops: hear no more, answer what is under way, say how far all has come, and close."""
    listens.cancel()
    await desk.finish()
    desk.subscriber.is_leaving = True
    desk.wake()
    await sends
    error = _error(stopping()).model_copy(update={"last_seq": desk.gateway.exchange.sequence})
    await _close(socket, GOING_AWAY, error)


def _who(socket: WebSocket) -> dict[str, str]:
    return {"client": socket.client.host if socket.client else ""}


def _error(problem: Problem) -> ErrorTold:
    return ErrorTold(status=problem.status, code=problem.code, detail=problem.detail)


async def _close(socket: WebSocket, code: int, error: ErrorTold) -> None:
    """Say why, and close; whoever takes no bytes is left to the server."""
    reason = " ".join(str(one) for one in (error.code, error.channel, error.last_seq) if one is not None)
    with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
        await asyncio.wait_for(socket.send_text(f"[{error.model_dump_json()}]"), 1)
        await asyncio.wait_for(socket.close(code, reason), 1)
