"""What all events have in common."""

import msgspec

from exchange.reasons import Reason


class ControlEvent(msgspec.Struct, frozen=True, tag_field="event", tag=True):
    """What a command off the trading path made happen."""


class CommandRefused(ControlEvent, frozen=True):
    """Nothing happened, and why."""

    reason: Reason
    detail: str
