"""The AsyncAPI 3 document of the stream, made from the models that read and write its frames; and a page that shows it.

One address, `/v1/stream`; an operation for each thing that a client may send, with what may answer it, and one for each
channel that it may subscribe to. Frames of the server are arrays of the messages described here.
"""

import json
import re
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.examples import answers_of
from api.stream import frames, messages
from api.stream.messages import ChannelName, Told

TELLS: dict[ChannelName, tuple[type[Told], ...]] = {
    "trades": (messages.TradeTold,),
    "book.l1": (messages.TopTold,),
    "book.l2": (messages.DepthTold,),
    "book.l3": (messages.BookSnapshot, messages.BookTold, messages.BookChecksum),
    "status": (messages.StatusTold,),
    "auction": (messages.AuctionTold,),
    "orders": (messages.OpenOrders, messages.OrderTold),
    "fills": (messages.FillTold,),
    "balances": (messages.BalancesTold,),
    "settlement": (messages.SettlementTold,),
    "drop_copy": (messages.DropCopy,),
}
ANSWERS: dict[type[BaseModel], type[BaseModel]] = {
    frames.Subscribe: messages.Subscribed,
    frames.Unsubscribe: messages.Unsubscribed,
    frames.Replay: messages.Replayed,
    frames.PlaceOrder: messages.Answered,
    frames.AmendOrder: messages.Answered,
    frames.CancelOrder: messages.Answered,
    frames.CancelAll: messages.Answered,
    frames.CancelOnDisconnect: messages.Answered,
    frames.DeadMan: messages.Answered,
}
_OF_STOCK = {"account_id": "E-001", "symbol": "HBEA-2025"}
EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    frames.Subscribe: {"op": "subscribe", "id": 1, "channel": "trades", "symbol": "HBEA-2025"},
    frames.Unsubscribe: {"op": "unsubscribe", "id": 2, "channel": "trades", "symbol": "HBEA-2025"},
    frames.Replay: {
        "op": "replay", "id": 3, "channel": "book.l3", "symbol": "HBEA-2025", "from_seq": 17, "to_seq": 42,
    },
    frames.PlaceOrder: {
        "op": "place", "id": "a", **_OF_STOCK, "side": "sell", "price": "42.00", "quantity": 100,
        "client_order_id": "a-17",
    },
    frames.AmendOrder: {"op": "amend", "id": "b", "account_id": "E-001", "order_id": 1, "quantity": 60},
    frames.CancelOrder: {"op": "cancel", "id": "c", "account_id": "E-001", "order_id": 1},
    frames.CancelAll: {"op": "cancel_all", "id": "d", **_OF_STOCK, "side": "sell"},
    frames.CancelOnDisconnect: {"op": "cancel_on_disconnect", "id": "e", "account_id": "E-001"},
    frames.DeadMan: {"op": "dead_man", "id": "f", "account_id": "E-001", "seconds": 60},
}  # fmt: skip
ARRAY = "Requests"
_ARRAY_SAID = (
    f"Up to {frames.REQUESTS_MAX} requests in one frame, each taken in its turn and answered for itself, as if it had "
    "come alone. It saves most of what a frame costs."
)
_ARRAY_EXAMPLE = [EXAMPLES[frames.PlaceOrder] | {"id": number, "client_order_id": f"a-{number}"} for number in (18, 19)]
ERRORS = {
    "malformed_json": "The frame is not JSON.",
    "frame_not_text": "The frame is binary.",
    "frame_too_large": f"The frame has more than {frames.FRAME_MAX} bytes.",
    "unknown_op": "There is no such op.",
    "unknown_channel": "There is no such channel.",
    "invalid_request": "A request does not fit its schema; `detail` says where. Or an array is empty or too long, "
    "or the address of the handshake has a query.",
    "already_subscribed": "One socket hears a channel once.",
    "not_subscribed": "What is not heard can't be left.",
    "too_many_subscriptions": "One socket listens to so many channels only.",
    "not_replayable": "Conflated channels keep no messages.",
    "too_old": "What is asked for is not kept any more; `oldest_seq` says what is.",
    "too_slow": "The subscriber has fallen too far behind; the socket closes with 4008.",
    "unknown_account": "There is no such account, or it is another's.",
    "unknown_instrument": "There is no such instrument.",
    "role_not_permitted": "The key's role may not do this.",
    "rate_limited": "The key asks too often.",
    "stopping": "The exchange is stopping; when all is said that is under way, the socket closes with 1001.",
    "key_unknown": "The key has been revoked; the socket closes with 4003.",
    "session_over": "The browser session is over, or its key has been rotated; the socket closes with 4003.",
    "key_missing": "The handshake is not signed; the socket closes with 4003.",
}
_DESCRIPTION = f"""A WebSocket. A client sends JSON objects in text frames, by their `op`, or arrays of up to
{frames.REQUESTS_MAX} of them, each taken in its turn and answered for itself, as if it had come alone; the server sends
JSON arrays of messages, by their `type`. Orders are refused with the codes of the HTTP routes that do the same. Close
codes: 1001 the exchange stops (a heartbeat has said how far each channel has come, the error `stopping` after it the
number of the last command), 4003 the key is missing, or it or the browser session is not good any more, or the address
has a query, which the stream does not read, 4008 too slow.
`seq` counts events of the exchange in trades, book, orders, fills and drop_copy, and commands in status, auction,
balances and settlement; it goes on over restarts, while `session_id` is the life of a serving process, within which
what was told can be replayed."""


@cache
def document() -> dict[str, Any]:
    """The document."""
    told = {shape for shapes in TELLS.values() for shape in shapes}
    known = [*frames.FRAMES, *sorted(told, key=lambda one: one.__name__), *messages.ABOUT]
    _, schemas = models_json_schema(
        [(shape, "validation" if shape in frames.FRAMES else "serialization") for shape in known],
        ref_template="#/components/schemas/{model}",
    )
    array = {
        "type": "array", "minItems": 1, "maxItems": frames.REQUESTS_MAX, "title": ARRAY,
        "items": {"oneOf": [{"$ref": f"#/components/schemas/{shape.__name__}"} for shape in frames.FRAMES]},
    }  # fmt: skip
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "carbonex stream", "version": "1", "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {
            "stream": {
                "address": "/v1/stream",
                "messages": {
                    name: {"$ref": f"#/components/messages/{name}"}
                    for name in (*[one.__name__ for one in known], ARRAY)
                },
            }
        },
        "operations": _requests() | _channels(),
        "components": {
            "messages": {one.__name__: _message(one) for one in known} | {ARRAY: _array_message()},
            "schemas": schemas["$defs"] | {ARRAY: array},
        },
        "x-errors": ERRORS,
    }


def _message(shape: type[BaseModel]) -> dict[str, Any]:
    summary = (shape.__doc__ or "").strip()
    found: dict[str, Any] = {
        "name": shape.__name__,
        "summary": summary,
        "payload": {"$ref": f"#/components/schemas/{shape.__name__}"},
    }
    if shape in EXAMPLES:
        found["examples"] = [{"name": EXAMPLES[shape]["op"], "payload": EXAMPLES[shape]}]
    else:
        told = answers_of(shape.__name__).values()
        found["examples"] = [{"name": shape.__name__, "payload": one} for one in told]
    return found


def _array_message() -> dict[str, Any]:
    return {
        "name": ARRAY,
        "summary": _ARRAY_SAID,
        "payload": {"$ref": f"#/components/schemas/{ARRAY}"},
        "examples": [{"name": "two orders", "payload": _ARRAY_EXAMPLE}],
    }


def _operation(action: str, shapes: Sequence[type[BaseModel]], summary: str) -> dict[str, Any]:
    """`action` is the server's: it receives what a client sends."""
    return {
        "action": action,
        "channel": {"$ref": "#/channels/stream"},
        "summary": summary,
        "messages": [_of_stream(shape) for shape in shapes],
    }


def _of_stream(shape: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/channels/stream/messages/{shape.__name__}"}


def _requests() -> dict[str, Any]:
    found = {}
    for shape, answer in ANSWERS.items():
        replies = [_of_stream(answer), _of_stream(messages.ErrorTold)]
        reply = {"channel": {"$ref": "#/channels/stream"}, "messages": replies}
        found[frames.op_of(shape)] = _operation("receive", [shape], (shape.__doc__ or "").strip()) | {"reply": reply}
    every: list[type[BaseModel]] = [*dict.fromkeys(ANSWERS.values()), messages.ErrorTold]
    found["several"] = {
        "action": "receive",
        "channel": {"$ref": "#/channels/stream"},
        "summary": "Ask for several things at once.",
        "messages": [{"$ref": f"#/channels/stream/messages/{ARRAY}"}],
        "reply": {"channel": {"$ref": "#/channels/stream"}, "messages": [_of_stream(shape) for shape in every]},
    }
    return found


def _channels() -> dict[str, Any]:
    assert set(TELLS) == set(get_args(ChannelName)), "every channel says what it tells"
    found = {
        f"channel {name}": _operation("send", shapes, " ".join((one.__doc__ or "").split("\n")[0] for one in shapes))
        for name, shapes in TELLS.items()
    }
    return found | {"heartbeat": _operation("send", (messages.Heartbeat,), "Once a second.")}


@cache
def page() -> str:
    """The document as a page without scripts or anything from elsewhere."""
    said = document()
    schemas = said["components"]["schemas"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>carbonex stream</title>",
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #8884;padding:.2rem .5rem;"
        "text-align:left;vertical-align:top}:root{color-scheme:light dark}code,pre{background:#8882}"
        "pre{padding:.5rem;white-space:pre-wrap;overflow-wrap:anywhere}</style>",
        f"<h1>{escape(said['info']['title'])}</h1><p>{_prose(said['info']['description'])}</p>",
        '<p>As a document: <a href="/asyncapi.json">asyncapi.json</a></p>',
    ]
    for title, action in (("What you may send", "receive"), ("What you are told", "send")):
        parts.append(f"<h2>{title}</h2>")
        for name, operation in said["operations"].items():
            if operation["action"] == action:
                shapes = [one["$ref"].rsplit("/", 1)[1] for one in operation["messages"]]
                parts.append(f"<h3><code>{escape(name)}</code></h3>")
                parts += [_shape_shown(said["components"]["messages"][shape], schemas[shape]) for shape in shapes]
    parts.append("<h2>Answers</h2>")
    parts += [
        _shape_shown(said["components"]["messages"][one.__name__], schemas[one.__name__]) for one in messages.ABOUT
    ]
    rows = "".join(f"<tr><td><code>{code}</code><td>{_prose(text)}" for code, text in ERRORS.items())
    parts.append(f"<h2>Error codes</h2><table>{rows}</table></html>")
    return "\n".join(parts)


def _shape_shown(message: dict[str, Any], schema: dict[str, Any]) -> str:
    required, fields = set(schema.get("required", ())), schema.get("properties", {})
    explains = any("description" in field for field in fields.values())
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(_kind(field))}{'' if name in required else ', optional'}"
        + (f"<td>{_prose(field.get('description', ''))}" if explains else "")
        for name, field in fields.items()
    )
    examples = "".join(f"<pre>{escape(json.dumps(one['payload']))}</pre>" for one in message.get("examples", ()))
    head = f"<h4>{escape(message['name'])}</h4><p>{_prose(message['summary'])}</p>"
    return f"{head}{examples}<table><tr><th>Field<th>Is{'<th>Means' if explains else ''}{rows}</table>"


def _prose(text: str) -> str:
    """Text with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _kind(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"].rsplit("/", 1)[1])
    if "const" in field:
        return repr(field["const"])
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(_kind(one) for one in field["anyOf"])
    if field.get("type") == "array":
        return f"array of {_kind(field.get('items', {}))}"
    return str(field.get("type", "anything"))
