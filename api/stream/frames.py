"""What a client may send: a JSON object in a text frame, by its `op`, or an array of them.

An `id` comes back with the answer. The requests of an array are taken in their order, each as if it had come in a frame
of its own: one that is refused stops none of the others. Who has many orders saves both sides most of what a frame
costs.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from api.fast_lane import FastOrder
from api.problems import Problem, invalid
from api.schemas import Amendment, Identifier, NewOrder, SideName
from api.schemas.base import INT64, Model
from api.stream.messages import ChannelName

FRAME_MAX = 64 << 10  # bytes of a frame
REQUESTS_MAX = 256  # of an array

Id = Annotated[str, Field(max_length=64)] | Annotated[int, Field(ge=-INT64, le=INT64)] | None
Seq = Annotated[int, Field(strict=True, ge=0, le=INT64)]


class OfChannel(Model):
    """What names a channel: public ones have a symbol, private ones an account; `drop_copy` has neither."""

    id: Id = None
    channel: ChannelName = Field(examples=["trades"])
    symbol: str = Field(default="", max_length=64, examples=["HBEA-2025"])
    account_id: str = Field(default="", max_length=64, examples=[""])


class Subscribe(OfChannel):
    """Hear of a channel from now on: how things stand first."""

    op: Literal["subscribe"]


class Unsubscribe(OfChannel):
    """Hear no more of it."""

    op: Literal["unsubscribe"]


class Replay(OfChannel):
    """Hear again what was told, both ends included."""

    op: Literal["replay"]
    channel: ChannelName = Field(examples=["book.l3"])
    from_seq: Seq = Field(examples=[1])
    to_seq: Seq = Field(examples=[100])


class PlaceOrder(NewOrder):
    """Place an order: the fields of `POST /v1/orders`."""

    op: Literal["place"]
    id: Id = None


class AmendOrder(Amendment):
    """Give an order another quantity or price: the fields of `PATCH /v1/orders/{order_id}`."""

    op: Literal["amend"]
    id: Id = None
    order_id: int = Field(strict=True, examples=[1])


class CancelOrder(Model):
    """Take an order out of the book."""

    op: Literal["cancel"]
    id: Id = None
    account_id: Identifier = Field(examples=["E-001"])
    order_id: int = Field(strict=True, examples=[1])


class CancelAll(Model):
    """Cancel all orders of an account, or those of an instrument or side."""

    op: Literal["cancel_all"]
    id: Id = None
    account_id: Identifier = Field(examples=["E-001"])
    symbol: Identifier | None = Field(default=None, examples=["HBEA-2025"])
    side: SideName | None = None


class CancelOnDisconnect(Model):
    """When this socket ends, however it ends, cancel all orders of an account; or no more."""

    op: Literal["cancel_on_disconnect"]
    id: Id = None
    account_id: Identifier = Field(examples=["E-001"])
    on: bool = Field(default=True, strict=True)


class DeadMan(Model):
    """Cancel all orders of an account unless this is said again within so many seconds of real time; 0: no more."""

    op: Literal["dead_man"]
    id: Id = None
    account_id: Identifier = Field(examples=["E-001"])
    seconds: float = Field(ge=0, le=86_400, allow_inf_nan=False, examples=[60])


FRAMES: tuple[type[Model], ...] = (
    Subscribe, Unsubscribe, Replay, PlaceOrder, AmendOrder, CancelOrder, CancelAll, CancelOnDisconnect, DeadMan,
)  # fmt: skip
Frame = (
    Subscribe | Unsubscribe | Replay | PlaceOrder | AmendOrder | CancelOrder | CancelAll | CancelOnDisconnect | DeadMan
)


class FastPlace(FastOrder):
    """`PlaceOrder` as it usually comes."""

    op: Literal["place"]
    id: Annotated[str, msgspec.Meta(max_length=64)] | Annotated[int, msgspec.Meta(ge=-INT64, le=INT64)] | None = None


_FAST_MAX = 4096  # characters
_fast = msgspec.json.Decoder(FastPlace).decode
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_FRAME: TypeAdapter[Frame] = TypeAdapter(Annotated[Frame, Field(discriminator="op")])


def requests_of(received: Mapping[str, Any]) -> Sequence[str | msgspec.Raw]:
    """The requests in what a socket has received, still to be read. Problem if it is no frame."""
    text = received.get("text")
    if text is None:
        raise Problem(422, "frame_not_text", "Frames are text.")
    if text[:1] == "{" and len(text) <= FRAME_MAX // 4:  # a character has four bytes at most
        return (text,)
    if len(text) > FRAME_MAX or (len(text) > FRAME_MAX // 4 and len(text.encode("utf-8", "replace")) > FRAME_MAX):
        raise Problem(413, "frame_too_large", f"A frame has {FRAME_MAX} bytes at most.")
    if text[:1] == "{" or not text.lstrip(" \t\r\n").startswith("["):
        return (text,)
    try:
        found = _array(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise _MALFORMED from None
    if not 0 < len(found) <= REQUESTS_MAX:
        raise Problem(422, "invalid_request", f"An array has 1 to {REQUESTS_MAX} requests.")
    return found


def read(request: str | msgspec.Raw) -> Frame | FastPlace:
    """What a request asks for. Problem if that can't be said."""
    if len(request) <= _FAST_MAX:
        try:
            return _fast(request)
        except (msgspec.MsgspecError, UnicodeError):
            pass  # the models say what is wrong, if anything is
    try:
        return _FRAME.validate_json(request if isinstance(request, str) else bytes(request))
    except ValidationError as error:
        raise _problem(error) from None


_MALFORMED = Problem(400, "malformed_json", "The frame is not valid JSON.")


def _problem(error: ValidationError) -> Problem:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    first = found[0]
    if first["type"] == "json_invalid":
        return _MALFORMED
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        known = ", ".join(op_of(frame) for frame in FRAMES)
        return Problem(422, "unknown_op", f"`op` is one of {known}.")
    if any(one["loc"][-1:] == ("channel",) and one["type"] == "literal_error" for one in found):
        return Problem(422, "unknown_channel", f"channel: {first['msg']}")
    return invalid([{"field": ".".join(map(str, one["loc"][1:])) or "frame", "message": one["msg"]} for one in found])


def op_of(frame: type[BaseModel]) -> str:
    """The word that a frame is known by."""
    name: str = frame.model_fields["op"].annotation.__args__[0]  # type: ignore[union-attr]
    return name
