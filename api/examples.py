"""Examples of answers: what tests got for their requests, and heard from the stream (`examples.json`)."""

import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def answers_of(asked: str) -> dict[tuple[str, str], Any]:
    """What an operation (`GET /v1/market`) is answered, by status and media type; or a message of the stream by its
    name, which has status 0.
    """
    return {(str(one["status"]), one["media"]): one["value"] for one in _examples() if one["of"] == asked}


@cache
def _examples() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(resources.files("api").joinpath("examples.json").read_text("utf-8"))
    return found
