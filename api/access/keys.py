"""API keys: given out once, kept so that who reads the file can sign nothing.

The keys lie in a SQLite file beside the journal, which they are no part of: who may ask is not what has happened. Of a
secret only its SHA-256 lies there. An HMAC can only be checked by who knows the secret; so the secret itself is worked
out anew from the key's id, its version, and a master secret in a file of its own that only its owner may read:

    secret = base64url(HMAC-SHA256(master, key id, version))

An Ed25519 key is known by its public half alone. A key may be rotated: it gets a new version, and the one before stays
good for a time that whoever rotates it says. A key that is revoked is over; its id is never given out again.

The same file remembers the accounts whose kill switch is on: nobody places orders for them.

A third file, `PATH.ahead`, has the latest timestamp, of those by a clock ahead of this machine's, under which a request
was let in. Which signatures were used only the process knows that saw them (:class:`api.signing.Replays`); the next one
takes none from before its start, nor up to that moment. It is written without waiting for the disk: a machine that has
lost its power is away for longer than clocks may differ.
"""

import base64
import hashlib
import hmac
import os
import secrets
import sqlite3
import struct
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

MASTER_BYTES = 32
REFRESHED_NS = 200_000_000  # how old what is known of the file may be
_MOMENT = struct.Struct("<q")  # ns since 1970


class Role(StrEnum):
    """What a key is for; which requests that opens is :mod:`api.access.rules`'."""

    TRADER = "trader"
    COMPLIANCE_OFFICER = "compliance_officer"
    REGISTRY_ADMIN = "registry_admin"
    CLEARING_OFFICER = "clearing_officer"
    BANK = "bank"
    OPERATOR = "operator"
    AUDITOR = "auditor"  # reads everything
    RESEARCHER = "researcher"  # reads what is anonymous


NAMELESS = frozenset({Role.AUDITOR, Role.RESEARCHER})  # who act in nobody's name


class Limits(msgspec.Struct, frozen=True):
    """What a key may ask at most; None: no limit."""

    requests_per_second: int = 1000
    burst: int = 2000  # requests at once, before the rate counts
    open_orders: int | None = None  # of its account
    order_quantity: int | None = None  # tCO2e of an order
    order_notional: int | None = None  # fen, price x quantity of an order; of one without a price the band's upper end

    @property
    def are_of_orders(self) -> bool:
        """Whether orders are to be looked at one by one."""
        return (self.order_quantity, self.order_notional) != (None, None)


class Key(msgspec.Struct, frozen=True):
    """A key as it stands."""

    key_id: str
    role: Role
    account_id: str  # in whose name it acts; empty: reads only
    is_ed25519: bool
    created_ns: int
    limits: Limits = Limits()
    version: int = 1
    checks: tuple[tuple[int, str, int | None], ...] = ()  # version, hash or public key, good until (ns; None: for good)
    revoked_ns: int | None = None


class KeyProblem(Exception):
    """A key can't be made or changed."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


class Given(NamedTuple):
    """A new key, or a new version of one, and its secret, which is shown this once; empty for Ed25519."""

    key: Key
    secret: str


class KeyFile:
    """The keys of an exchange, in files beside `PATH`, see above. KeyProblem if they can't be used."""

    def __init__(self, path: Path, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        path.parent.mkdir(parents=True, exist_ok=True)
        self._master = _master(path.with_name(path.name + ".master"))
        self._ahead = os.open(path.with_name(path.name + ".ahead"), os.O_RDWR | os.O_CREAT, 0o600)
        written = os.pread(self._ahead, _MOMENT.size, 0)
        self.taken_before_ns: int = _MOMENT.unpack(written)[0] if len(written) == _MOMENT.size else 0
        self._ahead_ns = self.taken_before_ns
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS keys (key_id TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT")
        self._db.execute("CREATE TABLE IF NOT EXISTS killed (account_id TEXT PRIMARY KEY) STRICT")
        self._seen, self._read_ns = -1, 0
        self._keys: dict[str, Key] = {}
        self._secrets: dict[tuple[str, int], str] = {}  # those that were asked for
        self.killed: set[str] = set()  # accounts whose kill switch is on
        self.refresh()

    def close(self) -> None:
        self._db.close()
        os.close(self._ahead)

    def note_ahead(self, stamp_ns: int) -> None:
        """A request was let in that was signed at a moment still to come."""
        if stamp_ns > self._ahead_ns:
            self._ahead_ns = stamp_ns
            os.pwrite(self._ahead, _MOMENT.pack(stamp_ns), 0)

    def refresh(self) -> None:
        """Read what another process has changed, if any has; it may take REFRESHED_NS until that is seen."""
        now_ns = self._now_ns()
        if 0 <= now_ns - self._read_ns < REFRESHED_NS:
            return
        self._read_ns = now_ns
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        if version != self._seen:
            rows = self._db.execute("SELECT content FROM keys").fetchall()
            keys = [msgspec.json.decode(content, type=Key) for (content,) in rows]
            self._keys, self._seen = {key.key_id: key for key in keys}, version
            self.killed = {name for (name,) in self._db.execute("SELECT account_id FROM killed")}

    def kill(self, account_id: str) -> None:
        """From now on nobody places orders for an account."""
        self._db.execute("INSERT OR IGNORE INTO killed VALUES (?)", (account_id,))
        self.killed.add(account_id)

    def end_kill(self, account_id: str) -> None:
        """Orders may be placed for an account again."""
        self._db.execute("DELETE FROM killed WHERE account_id = ?", (account_id,))
        self.killed.discard(account_id)

    def all(self) -> list[Key]:
        """All keys that there ever were, in the order in which they were made."""
        return sorted(self._keys.values(), key=lambda key: (key.created_ns, key.key_id))

    @property
    def is_empty(self) -> bool:
        """Whether there never was a key."""
        return not self._keys

    def get(self, key_id: str) -> Key | None:
        """A key, revoked ones too."""
        return self._keys.get(key_id)

    def create(
        self, role: Role, account_id: str = "", key_id: str = "", public_key: str = "", limits: Limits | None = None
    ) -> Given:
        """A new key; with a public key, 32 bytes in base64, it signs by Ed25519."""
        key_id = key_id or f"{role}-{secrets.token_hex(4)}"
        if key_id in self._keys:
            raise KeyProblem("key_exists", f"there is or was a key {key_id!r}")
        if (role in NAMELESS) != (not account_id):
            needs = "acts in nobody's name" if role in NAMELESS else "acts in the name of an account"
            raise KeyProblem("wrong_account", f"a key for a {role} {needs}")
        check, secret = self._check(key_id, 1, public_key)
        key = Key(
            key_id,
            role,
            account_id,
            bool(public_key),
            self._now_ns(),
            limits or Limits(),
            checks=((1, check, None),),
        )
        self._keep(key)
        return Given(key, secret)

    def rotate(self, key_id: str, grace_s: int = 0, public_key: str = "") -> Given:
        """A new version of a key; the one before is good for some seconds more, all others no longer."""
        key = self._usable(key_id)
        if key.is_ed25519 != bool(public_key):
            raise KeyProblem("wrong_kind", "an Ed25519 key is rotated with a new public key, an HMAC key without one")
        version, now_ns = key.version + 1, self._now_ns()
        check, secret = self._check(key_id, version, public_key)
        kept = [
            (one, value, now_ns + grace_s * 10**9) for one, value, _ in key.checks if one == key.version and grace_s
        ]
        key = msgspec.structs.replace(key, version=version, checks=(*kept, (version, check, None)))
        self._keep(key)
        return Given(key, secret)

    def revoke(self, key_id: str) -> Key:
        """End a key, at once and for good."""
        key = msgspec.structs.replace(self._usable(key_id), revoked_ns=self._now_ns(), checks=())
        self._keep(key)
        return key

    def limit(self, key_id: str, changes: dict[str, int | None]) -> Key:
        """Give a key other limits, by their names; the others stay."""
        key = self._usable(key_id)
        key = msgspec.structs.replace(key, limits=msgspec.structs.replace(key.limits, **changes))
        self._keep(key)
        return key

    def secrets_of(self, key: Key) -> list[str]:
        """The secrets of an HMAC key that are good now, the newest first."""
        return [self._secret(key.key_id, version) for version, _ in self._good(key)]

    def public_keys_of(self, key: Key) -> list[bytes]:
        """The public keys of an Ed25519 key that are good now, the newest first."""
        return [base64.b64decode(value) for _, value in self._good(key)]

    def is_secret_of(self, key: Key, secret: str) -> bool:
        """Whether a secret is one of a key's that are good now."""
        digest = hashlib.sha256(secret.encode()).hexdigest()
        return not key.is_ed25519 and any(hmac.compare_digest(digest, value) for _, value in self._good(key))

    def _good(self, key: Key) -> list[tuple[int, str]]:
        now_ns = self._now_ns()
        return [(version, value) for version, value, until in reversed(key.checks) if until is None or now_ns <= until]

    def _usable(self, key_id: str) -> Key:
        key = self._keys.get(key_id)
        if key is None:
            raise KeyProblem("unknown_key", f"there is no key {key_id!r}")
        if key.revoked_ns is not None:
            raise KeyProblem("key_revoked", f"key {key_id!r} has been revoked")
        return key

    def _secret(self, key_id: str, version: int) -> str:
        if (key_id, version) not in self._secrets:
            mac = hmac.digest(self._master, f"{key_id}\n{version}".encode(), "sha256")
            self._secrets[key_id, version] = base64.urlsafe_b64encode(mac).decode().rstrip("=")
        return self._secrets[key_id, version]

    def _check(self, key_id: str, version: int, public_key: str) -> tuple[str, str]:
        """What is kept of a version, and its secret."""
        if public_key:
            try:
                raw = base64.b64decode(public_key, validate=True)
            except ValueError:
                raw = b""
            if len(raw) != 32:
                raise KeyProblem("invalid_public_key", "an Ed25519 public key is 32 bytes in base64")
            return public_key, ""
        secret = self._secret(key_id, version)
        return hashlib.sha256(secret.encode()).hexdigest(), secret

    def _keep(self, key: Key) -> None:
        self._db.execute(
            "INSERT INTO keys VALUES (?, ?) ON CONFLICT (key_id) DO UPDATE SET content = excluded.content",
            (key.key_id, msgspec.json.encode(key)),
        )
        self._keys[key.key_id] = key


def _master(path: Path) -> bytes:
    """The master secret, made if there is none. KeyProblem if others may read it or it is damaged."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(MASTER_BYTES))
            file.flush()
            os.fsync(file.fileno())
    if path.stat().st_mode & 0o077:
        raise KeyProblem("master_exposed", f"{path} can be read by others; chmod 600 it, and rotate the keys")
    master = path.read_bytes()
    if len(master) != MASTER_BYTES:
        raise KeyProblem("master_damaged", f"{path} does not hold {MASTER_BYTES} bytes")
    return master
