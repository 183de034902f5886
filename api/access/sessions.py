"""Browser sessions: who has shown a key's secret once is known by a cookie for a while."""

import hashlib
import secrets
from typing import NamedTuple

COOKIE = "carbonex_session"
LASTS_NS = 8 * 3_600_000_000_000
IDLE_NS = 1_800_000_000_000
TRIES, TRIES_NS = 5, 60_000_000_000  # failed logins of a key, and how long they count


class _Session(NamedTuple):
    key_id: str
    version: int
    ends_ns: int
    idle_ns: int


class Sessions:
    """The sessions of one process; a restart ends them. Tokens are kept as SHA-256."""

    def __init__(self) -> None:
        self._open: dict[str, _Session] = {}
        self._failed: dict[str, list[int]] = {}

    def may_try(self, key_id: str, now_ns: int) -> bool:
        """Whether a key has not failed to log in too often of late."""
        recent = [at for at in self._failed.get(key_id, ()) if now_ns - at < TRIES_NS]
        if recent:
            self._failed[key_id] = recent
        else:
            self._failed.pop(key_id, None)
        return len(recent) < TRIES

    def fail(self, key_id: str, now_ns: int) -> None:
        """Somebody gave a wrong secret."""
        if len(self._failed) > 10_000:  # of keys that never were
            self._failed.clear()
        self._failed.setdefault(key_id, []).append(now_ns)

    def begin(self, key_id: str, version: int, now_ns: int) -> str:
        """A new session; returns its token."""
        self._open = {name: one for name, one in self._open.items() if now_ns < min(one.ends_ns, one.idle_ns)}
        token = secrets.token_urlsafe(32)
        self._open[_name(token)] = _Session(key_id, version, now_ns + LASTS_NS, now_ns + IDLE_NS)
        return token

    def whose(self, token: str, now_ns: int) -> tuple[str, int] | None:
        """The key and its version that a token stands for; None if its session is over."""
        found = self._open.get(_name(token))
        if found is None or now_ns >= min(found.ends_ns, found.idle_ns):
            return None
        self._open[_name(token)] = found._replace(idle_ns=now_ns + IDLE_NS)
        return found.key_id, found.version

    def end(self, token: str) -> None:
        """Log out."""
        self._open.pop(_name(token), None)


def _name(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
