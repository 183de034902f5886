"""What random requests need of their own: a new Idempotency-Key each, and no cursor of another list."""

import uuid
from typing import Any

import schemathesis

from api.documented import EXAMPLE_KEY, NAMED


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    if case.headers and case.headers.get("Idempotency-Key") == EXAMPLE_KEY:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if case.query and case.query.get("cursor") == NAMED["cursor"]:
        del case.query["cursor"]
