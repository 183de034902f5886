"""The stream over a WebSocket: subscribe, then listen."""

import asyncio
import json
from contextlib import suppress

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from api.access.guard import Caller
from api.feed import Feed, Subscribe, Subscriber, push
from api.problems import Problem
from exchange.reasons import Reason

router = APIRouter()


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """Each text frame from the client is a subscription; each from the server an array of messages."""
    feed: Feed = socket.app.state.feed
    await socket.accept()
    subscriber = Subscriber()
    listening = _listen(socket, feed, subscriber, socket.state.caller)
    tasks = {asyncio.create_task(push(socket, subscriber)), asyncio.create_task(listening)}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            with suppress(WebSocketDisconnect):
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listen(socket: WebSocket, feed: Feed, subscriber: Subscriber, caller: Caller) -> None:
    """Answer the client's frames until it is gone."""
    while True:
        frame = await socket.receive()
        if frame["type"] == "websocket.disconnect":
            return
        try:
            asked = Subscribe.model_validate_json(frame.get("text") or "")
            if asked.channel == "orders" and not caller.may_see(asked.account_id):
                raise Problem(404, Reason.UNKNOWN_ACCOUNT.code, f"There is no account {asked.account_id!r}.")
            channel = feed.channel(asked)
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'frame'}: {one['msg']}" for one in error.errors())
            await socket.send_text(json.dumps([{"type": "error", "code": "invalid_request", "detail": said}]))
        except Problem as problem:
            refusal = {"type": "error", "code": problem.code, "detail": problem.detail}
            await socket.send_text(json.dumps([refusal]))
        else:
            opening = json.dumps([channel.opening()])
            subscriber.listen(channel)
            await socket.send_text(opening)
