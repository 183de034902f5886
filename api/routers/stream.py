"""The stream over a WebSocket: subscribe, then listen."""

import asyncio
import json
from contextlib import suppress

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from api.feed import Subscribe, Subscription, push
from api.gateway import gateway_of_socket
from api.problems import Problem

router = APIRouter()


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """Each text frame from the client is a subscription; each from the server an array of messages."""
    gateway = gateway_of_socket(socket)
    await socket.accept()
    subscriptions: list[Subscription] = []
    pushing = asyncio.create_task(push(socket, subscriptions))
    try:
        while True:
            text = await socket.receive_text()
            try:
                subscription = Subscription(gateway, Subscribe.model_validate_json(text))
            except ValidationError as error:
                said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
                await socket.send_text(json.dumps([{"type": "error", "code": "invalid_request", "detail": said}]))
            except Problem as problem:
                refusal = {"type": "error", "code": problem.code, "detail": problem.detail}
                await socket.send_text(json.dumps([refusal]))
            else:
                await socket.send_text(json.dumps([subscription.opening()]))
                subscriptions.append(subscription)
    except WebSocketDisconnect:
        pass
    finally:
        pushing.cancel()
        with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
            await pushing
