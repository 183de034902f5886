"""Keys and who holds them, browser sessions, kill switches, refused attempts."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.access import TheAccess, TheCaller
from api.access.guard import Access, Denial
from api.access.keys import Given, Key, KeyFile, KeyProblem, Limits, Role
from api.access.sessions import COOKIE, LASTS_NS
from api.gateway import TheGateway
from api.order_entry import cancelled_by
from api.paging import ThePage
from api.problems import RESPONSES, Problem
from api.schemas import (
    CallerView,
    DenialView,
    GivenKey,
    Identifier,
    KeyLimits,
    KeyView,
    KillSwitchView,
    Login,
    NewKey,
    NewVersion,
)
from api.timers import iso
from exchange.commands import CancelCause, CancelOrders, control
from exchange.instruments import fen, money
from exchange.reasons import Reason, Refused

router = APIRouter(prefix="/v1", tags=["access"], responses=RESPONSES)

_STATUS = {"unknown_key": 404, "key_exists": 409, "key_revoked": 409}


# ---------------------------------------------------------------- who asks


@router.get("/me")
async def me(access: TheAccess, caller: TheCaller) -> CallerView:
    """Who asks, by key or session."""
    key = caller.key
    if key is None:
        return CallerView(keys_needed=access.is_on, key_id=None, role=None, account_id=None)
    return CallerView(keys_needed=True, key_id=key.key_id, role=key.role.value, account_id=key.account_id or None)


@router.post("/session", status_code=204)
async def log_in(login: Login, request: Request, response: Response, access: TheAccess) -> None:
    """Begin a browser session with an HMAC key's secret: a cookie that scripts can't read, for this site alone."""
    token = access.log_in(login.key_id, login.secret)
    is_secure = access.behind_tls or request.url.scheme == "https"
    response.set_cookie(
        COOKIE, token, max_age=LASTS_NS // 10**9, httponly=True, samesite="strict", secure=is_secure, path="/"
    )


@router.delete("/session", status_code=204)
async def log_out(request: Request, response: Response, access: TheAccess) -> None:
    """End the browser session."""
    access.sessions.end(request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE, path="/")


# ---------------------------------------------------------------- keys


def _file(access: Access) -> KeyFile:
    if access.keys is None:
        raise Problem(409, "no_key_file", "The exchange runs without keys; start it with --keys FILE.")
    return access.keys


def _problem(error: KeyProblem) -> Problem:
    return Problem(_STATUS.get(error.code, 422), error.code, f"{error.detail[0].upper()}{error.detail[1:]}.")


@router.get("/keys")
async def list_keys(access: TheAccess, page: ThePage) -> list[KeyView]:
    """All keys, revoked ones too, oldest first."""
    return [_view(key) for key in page.of_growing(_file(access).all())]


@router.post("/keys", status_code=201)
async def create_key(new: NewKey, access: TheAccess, gateway: TheGateway) -> GivenKey:
    """Make a key. Its secret is shown in this answer and never again."""
    if new.account_id is not None:
        gateway.account(new.account_id)
    try:
        given = _file(access).create(
            Role(new.role), new.account_id or "", new.key_id or "", new.public_key or "", Limits(**_named(new.limits))
        )
    except KeyProblem as error:
        raise _problem(error) from None
    return _given(given)


@router.post("/keys/{key_id}/rotation", status_code=201)
async def rotate_key(key_id: str, new: NewVersion, access: TheAccess) -> GivenKey:
    """Give a key a new secret, or a new public key."""
    try:
        return _given(_file(access).rotate(key_id, new.grace_s, new.public_key or ""))
    except KeyProblem as error:
        raise _problem(error) from None


@router.post("/keys/{key_id}/revocation", status_code=201)
async def revoke_key(key_id: str, access: TheAccess) -> KeyView:
    """End a key, at once and for good."""
    try:
        return _view(_file(access).revoke(key_id))
    except KeyProblem as error:
        raise _problem(error) from None


@router.patch("/keys/{key_id}/limits")
async def limit_key(key_id: str, limits: KeyLimits, access: TheAccess) -> KeyView:
    """Give a key other limits: those that are named; null takes one away. The others stay as they are."""
    try:
        return _view(_file(access).limit(key_id, _named(limits)))
    except KeyProblem as error:
        raise _problem(error) from None


def _named(limits: KeyLimits | None) -> dict[str, Any]:
    """The limits that a request names, as a key has them."""
    named = limits.model_dump(exclude_unset=True) if limits else {}
    if (notional := named.get("order_notional")) is not None:
        named["order_notional"] = fen(notional)
        if named["order_notional"] <= 0:
            raise Refused(Reason.AMOUNT_NOT_POSITIVE, f"an order of {notional} is none")
    return named


def _given(given: Given) -> GivenKey:
    return GivenKey(key=_view(given.key), secret=given.secret or None)


def _view(key: Key) -> KeyView:
    kind: Any = "ed25519" if key.is_ed25519 else "hmac"
    return KeyView(
        key_id=key.key_id,
        role=key.role.value,
        account_id=key.account_id or None,
        kind=kind,
        version=key.version,
        created_at=iso(key.created_ns, "UTC"),
        revoked_at=None if key.revoked_ns is None else iso(key.revoked_ns, "UTC"),
        limits=KeyLimits(
            requests_per_second=key.limits.requests_per_second,
            burst=key.limits.burst,
            open_orders=key.limits.open_orders,
            order_quantity=key.limits.order_quantity,
            order_notional=None if key.limits.order_notional is None else money(key.limits.order_notional),
        ),
    )


@router.get("/denials")
async def denials(access: TheAccess, page: ThePage) -> list[DenialView]:
    """The last attempts that were refused at the door, oldest first."""
    forgotten = access.denied - len(access.denials)
    found = page.of(enumerate(access.denials, forgotten), lambda numbered: numbered[0])
    return [DenialView(at=iso(one.at_ns, "UTC"), **_said(one)) for _, one in found]


def _said(denial: Denial) -> dict[str, str]:
    return {name: value for name, value in denial._asdict().items() if name != "at_ns"}


# ---------------------------------------------------------------- kill switch


@router.put("/accounts/{account_id}/kill-switch")
async def kill(account_id: Identifier, access: TheAccess, gateway: TheGateway) -> KillSwitchView:
    """Cancel all orders of an account, and let nobody place any for it until the switch is taken back."""
    gateway.account(account_id)
    _file(access).kill(account_id)
    cancels = control(CancelOrders(account_id, CancelCause.KILL_SWITCH))
    cancelled = cancelled_by(await gateway.inbox.offer(cancels)).count
    return KillSwitchView(account_id=account_id, is_on=True, cancelled_orders=cancelled)


@router.delete("/accounts/{account_id}/kill-switch")
async def end_kill(account_id: Identifier, access: TheAccess, gateway: TheGateway) -> KillSwitchView:
    """Let orders be placed for an account again."""
    gateway.account(account_id)
    _file(access).end_kill(account_id)
    return KillSwitchView(account_id=account_id, is_on=False, cancelled_orders=0)
