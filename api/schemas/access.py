"""Keys, sessions, limits: who may ask."""

from typing import Annotated, Literal

from pydantic import Field

from api.schemas.base import INT64, DecimalText, Identifier, Model

RoleName = Literal[
    "trader", "compliance_officer", "registry_admin", "clearing_officer", "bank", "operator", "auditor", "researcher"
]
KeyId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["steel-robot-1"])]
PublicKey = Annotated[str, Field(max_length=64, description="Ed25519 public key, 32 bytes in base64")]
Count = Annotated[int, Field(strict=True, ge=1, le=INT64)]
PerSecond = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]


class KeyLimits(Model):
    """What a key may ask at most; null: no limit. The defaults are those of a new key."""

    requests_per_second: PerSecond = 1000
    burst: PerSecond = 2000
    open_orders: Count | None = None
    order_quantity: Count | None = Field(None, description="tCO2e of an order")
    order_notional: DecimalText | None = Field(
        None, description="Price x quantity of an order, an amount of its currency", examples=["400000.00"]
    )


class NewKey(Model):
    role: RoleName
    account_id: Identifier | None = Field(None, description="In whose name it acts; none for auditors and researchers")
    key_id: KeyId | None = Field(None, description="Left out: one is made")
    public_key: PublicKey | None = Field(None, description="Of an Ed25519 key; left out: HMAC-SHA256")
    limits: KeyLimits | None = None


class NewVersion(Model):
    grace_s: Annotated[int, Field(strict=True, ge=0, le=30 * 86_400)] = Field(
        0, description="For how many seconds the version before stays good", examples=[3600]
    )
    public_key: PublicKey | None = None


class KeyView(Model):
    """A key, without what it is checked by."""

    key_id: str
    role: RoleName
    account_id: str | None
    kind: Literal["hmac", "ed25519"]
    version: int
    created_at: str
    revoked_at: str | None
    limits: KeyLimits


class GivenKey(Model):
    """A key and its secret, which is shown this once; null for Ed25519."""

    key: KeyView
    secret: str | None


class Login(Model):
    key_id: KeyId
    secret: Annotated[str, Field(max_length=200)]


class CallerView(Model):
    """Who asks, as the exchange knows it. Without keys: everybody may do everything."""

    keys_needed: bool
    key_id: str | None
    role: RoleName | None
    account_id: str | None


class DenialView(Model):
    """An attempt that was refused; key as claimed."""

    at: str
    client: str
    key_id: str
    method: str
    path: str
    code: str
    detail: str


class KillSwitchView(Model):
    """Whether an account's kill switch is on: nobody places orders for it."""

    account_id: str
    is_on: bool
    cancelled_orders: int
