"""Whether the exchange lives and takes commands, and what it measures of itself."""

import os
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.gateway import TheGateway
from api.life import require_ready
from api.metrics import Metrics
from api.problems import RESPONSES

router = APIRouter(tags=["health"])
UNPROCESSABLE: dict[int | str, dict[str, Any]] = {422: RESPONSES[422]}


@router.get("/health", responses=UNPROCESSABLE)
async def health(response: Response, gateway: TheGateway) -> dict[str, str | int]:
    """Whether the exchange takes commands, and which process it is; status 503 if it does not."""
    response.status_code = 503 if gateway.inbox.broken else 200
    return {"status": gateway.inbox.broken or "ok", "process": os.getpid()}


@router.get("/health/live", responses=UNPROCESSABLE)
async def live() -> dict[str, str | int]:
    """Whether the process lives, whatever it is busy with."""
    return {"status": "ok", "process": os.getpid()}


@router.get("/health/ready", responses=UNPROCESSABLE | {503: RESPONSES[503]})
async def ready(gateway: TheGateway) -> dict[str, str | int]:
    """Whether commands are taken now; else a problem that says why not.

    `starting` while the journal is read, `stopping` towards the end, `inbox_full`, or what has stopped the exchange.
    """
    require_ready(gateway.life, gateway.inbox)
    return {"status": "ok", "process": os.getpid(), "sequence": gateway.exchange.sequence}


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **RESPONSES})
async def metrics(request: Request) -> Response:
    """Measurements for Prometheus: names with units, and without names of accounts."""
    measured: Metrics = request.app.state.metrics
    return Response(measured.text(), media_type=CONTENT_TYPE_LATEST)
