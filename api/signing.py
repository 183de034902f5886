"""Signatures of requests: what is signed, and whether a signature stands.

A request carries three headers:

    Carbonex-Key         id of the key
    Carbonex-Timestamp   when it was signed, nanoseconds since 1970, UTC
    Carbonex-Signature   base64 of the signature of this text, in UTF-8, its lines ended by a line feed but the last:

        timestamp
        METHOD
        path with query, as sent
        SHA-256 of the body, hexadecimal

By HMAC-SHA256 with the key's secret, or by Ed25519 with its private key (RFC 8032). A signature is good for WINDOW_NS
around its timestamp by the server's own clock, which is not the market's, and for one request. For the handshake of the
stream the method is GET and the body is empty.
"""

import base64
import hashlib
import hmac
import os
from collections import deque
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY, TIMESTAMP, SIGNATURE = "carbonex-key", "carbonex-timestamp", "carbonex-signature"
WINDOW_NS = 10_000_000_000


def text_to_sign(at_ns: int, method: str, target: str, body: bytes) -> bytes:
    """What is signed; `target` is the path with its query."""
    return f"{at_ns}\n{method}\n{target}\n{hashlib.sha256(body).hexdigest()}".encode()


class Signer(Protocol):
    """One who can sign: a secret of an API key."""

    @property
    def key_id(self) -> str: ...

    def sign(self, text: bytes) -> bytes: ...


class HmacSigner(NamedTuple):
    """Signs by HMAC-SHA256 with the secret that the exchange gave out."""

    key_id: str
    secret: str

    def sign(self, text: bytes) -> bytes:
        return hmac.digest(self.secret.encode(), text, "sha256")


class Ed25519Signer(NamedTuple):
    """Signs with a private key that the exchange has never seen; 32 bytes in base64."""

    key_id: str
    private_key: str

    def sign(self, text: bytes) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(self.private_key)).sign(text)


def from_environment() -> Signer | None:
    """Who signs by the environment: CARBONEX_KEY, and CARBONEX_SECRET or (Ed25519) CARBONEX_PRIVATE_KEY."""
    key_id = os.environ.get("CARBONEX_KEY")
    if not key_id:
        return None
    if private_key := os.environ.get("CARBONEX_PRIVATE_KEY"):
        return Ed25519Signer(key_id, private_key)
    return HmacSigner(key_id, os.environ.get("CARBONEX_SECRET", ""))


def headers(signer: Signer, at_ns: int, method: str, target: str, body: bytes = b"") -> dict[str, str]:
    """The headers of a signed request."""
    signature = signer.sign(text_to_sign(at_ns, method, target, body))
    return {
        KEY: signer.key_id,
        TIMESTAMP: str(at_ns),
        SIGNATURE: base64.b64encode(signature).decode(),
    }


def decoded(signature: str) -> bytes:
    """A signature from its header. ValueError if it is none."""
    return base64.b64decode(signature, validate=True)


def is_hmac_of(secret: str, text: bytes, signature: bytes) -> bool:
    """Whether a signature is that of a secret; takes the same time whatever is wrong."""
    return hmac.compare_digest(hmac.digest(secret.encode(), text, "sha256"), signature)


def is_ed25519_of(public_key: bytes, text: bytes, signature: bytes) -> bool:
    """Whether a signature is that of the private key of a public one."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, text)
    except InvalidSignature:
        return False
    return True


class Replays:
    """The signatures that a process has seen within the window: none is good twice. What earlier processes may have
    seen is known by its timestamp (:mod:`api.access.keys`).
    """

    def __init__(self) -> None:
        self._used: set[bytes] = set()
        self._by_time: deque[tuple[int, bytes]] = deque()

    def is_new(self, signature: bytes, now_ns: int) -> bool:
        """Whether a signature comes for the first time; from now on it does not."""
        while self._by_time and self._by_time[0][0] < now_ns - 2 * WINDOW_NS:
            self._used.discard(self._by_time.popleft()[1])
        if signature in self._used:
            return False
        self._used.add(signature)
        self._by_time.append((now_ns, signature))
        return True
