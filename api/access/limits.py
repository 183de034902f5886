"""How much a key may ask: requests a second, and orders.

The rate is one number a key, by the generic cell rate algorithm (ITU-T I.371): the moment up to which its requests have
used their time. A request takes 1/rate of a second; it is refused if that would lead more than the burst's time ahead.
"""

from typing import NamedTuple

from api.access.keys import Limits


class Rate(NamedTuple):
    """How a key stands to its rate after a request."""

    allowed: bool
    limit: int  # requests at once
    remaining: int  # that would be allowed now
    reset_s: int  # until all of `limit` are, or, if refused, until one is; whole seconds, rounded up

    def headers(self) -> list[tuple[bytes, bytes]]:
        """RateLimit-Limit, -Remaining, -Reset and, if refused, Retry-After."""
        found = [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % self.reset_s),
        ]
        return found if self.allowed else [*found, (b"retry-after", b"%d" % max(1, self.reset_s))]


class Rates:
    """The rates of all keys."""

    def __init__(self) -> None:
        self._used_until: dict[str, int] = {}  # ns

    def ask(self, key_id: str, limits: Limits, now_ns: int) -> Rate:
        """Count a request of a key; one that is refused does not count."""
        step = 1_000_000_000 // limits.requests_per_second
        room = step * limits.burst
        used_until = max(self._used_until.get(key_id, 0), now_ns) + step
        ahead = used_until - now_ns
        if ahead > room:
            return Rate(False, limits.burst, 0, -(-(ahead - room) // 1_000_000_000))
        self._used_until[key_id] = used_until
        return Rate(True, limits.burst, (room - ahead) // step, -(-ahead // 1_000_000_000))
