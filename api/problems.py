"""Errors as clients see them: RFC 9457 problem details with a stable `code`.

| kind      | found by             | status                        | code                                      |
|-----------|----------------------|-------------------------------|-------------------------------------------|
| malformed | schemas              | 422 (400 if not JSON at all)  | malformed_json, invalid_request           |
| unknown   | the door             | 401                           | key_missing, signature_invalid, ...       |
| forbidden | the door             | 403, 429 with Retry-After     | role_not_permitted, rate_limited, ...     |
| repeated  | idempotency keys     | 409, 422                      | request_in_progress, answer_lost, ...     |
| refused   | the exchange         | 403, 404, 409, 422 by reason  | the reason's name (`exchange.reasons`)    |
| overload  | the inbox            | 503 with Retry-After          | inbox_full                                |
| broken    | journal, invariants  | 500, and the process stops    | journal_unwritable, internal_error        |
"""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from api.methods import methods_of
from exchange.reasons import Reason, Refused

MEDIA_TYPE = "application/problem+json"

# 404: it is not there. 403: not to you. 409: not as things stand now. 422: not like this, whatever stands.
_STATUS: dict[int, tuple[Reason, ...]] = {
    404: (
        Reason.UNKNOWN_ACCOUNT,
        Reason.UNKNOWN_INSTRUMENT,
        Reason.UNKNOWN_UNIT,
        Reason.UNKNOWN_ORDER,
        Reason.UNKNOWN_PERIOD,
        Reason.UNKNOWN_REPORT,
        Reason.UNKNOWN_FACTOR,
        Reason.UNKNOWN_SURRENDER,
        Reason.UNKNOWN_LOCK,
        Reason.UNKNOWN_METHODOLOGY,
        Reason.UNKNOWN_PROJECT,
        Reason.UNKNOWN_REDUCTION,
        Reason.UNKNOWN_CURRENCY,
        Reason.UNKNOWN_BATCH,
        Reason.UNKNOWN_STATEMENT,
        Reason.UNKNOWN_DEAL,
        Reason.UNKNOWN_CASE,
        Reason.UNKNOWN_TRADE,
    ),
    403: (Reason.NOT_PERMITTED, Reason.MAY_NOT_TRADE, Reason.IN_DEFAULT, Reason.SAME_VERIFIER),
    409: (
        Reason.ACCOUNT_EXISTS,
        Reason.INSTRUMENT_EXISTS,
        Reason.PERIOD_EXISTS,
        Reason.FACTOR_EXISTS,
        Reason.METHODOLOGY_EXISTS,
        Reason.PROJECT_EXISTS,
        Reason.CURRENCY_EXISTS,
        Reason.DEAL_EXISTS,
        Reason.ALREADY_FOUNDED,
        Reason.MARKET_CLOSED,
        Reason.MARKET_HALTED,
        Reason.WRONG_PHASE,
        Reason.WRONG_STATE,
        Reason.TOO_EARLY,
        Reason.TOO_LATE,
        Reason.DAY_NOT_SETTLED,
        Reason.DAY_ALREADY_SETTLED,
        Reason.DATE_NOT_LATER,
        Reason.CLIENT_ORDER_ID_USED,
        Reason.BATCH_STOPPED,
        Reason.ALREADY_HALTED,
        Reason.NOT_HALTED,
        Reason.NO_BANK,
        Reason.WITHDRAWAL_BLOCKED,
        Reason.ALREADY_BLOCKED,
        Reason.NOT_BLOCKED,
        Reason.LINE_ANSWERED,
        Reason.TRADE_BUSTED,
        Reason.REBATES_PAID,
        Reason.NO_RATE,
        Reason.NOT_IN_CALL,
        Reason.NOT_COVERED,
        Reason.NO_BASIS,
        Reason.ALREADY_CREDITED,
        Reason.ORDER_EXISTS,
        Reason.STOP_ALREADY_REACHED,
        Reason.POST_ONLY_WOULD_TRADE,
        Reason.POSITION_LIMIT,
        Reason.OFFSET_LIMIT,
        Reason.ABOVE_OBLIGATION,
        Reason.ACCOUNT_NOT_EMPTY,
        Reason.INSUFFICIENT_CASH,
        Reason.INSUFFICIENT_UNITS,
    ),
    422: (
        Reason.UNKNOWN_COMMAND,
        Reason.INVALID_SIDE,
        Reason.INVALID_TIME_IN_FORCE,
        Reason.INVALID_ORDER_TYPE,
        Reason.INVALID_SELF_TRADE_PREVENTION,
        Reason.TIME_IN_FORCE_NOT_ALLOWED,
        Reason.CONTRADICTORY_TERMS,
        Reason.LAST_DAY_PASSED,
        Reason.INVALID_DATE,
        Reason.INVALID_NUMBER,
        Reason.NOT_ELIGIBLE,
        Reason.EMPTY_TEXT,
        Reason.DUPLICATE_TRADE,
        Reason.NOTHING_TO_CORRECT,
        Reason.QUANTITY_NOT_POSITIVE,
        Reason.QUANTITY_OFF_LOT,
        Reason.INVALID_DISPLAY_QUANTITY,
        Reason.PRICE_OFF_TICK,
        Reason.PRICE_NOT_POSITIVE,
        Reason.PRICE_OUTSIDE_BAND,
        Reason.PRICE_OUT_OF_RANGE,
        Reason.AMOUNT_OFF_FEN,
        Reason.AMOUNT_NOT_POSITIVE,
        Reason.AMOUNT_TOO_LARGE,
        Reason.ORDER_ID_OUT_OF_SEQUENCE,
        Reason.WRONG_BATCH,
        Reason.WRONG_CHECKSUM,
        Reason.NEGATIVE_AMOUNT,
        Reason.LINE_UNKNOWN,
        Reason.LINE_DOUBLED,
        Reason.LINE_ALTERED,
        Reason.LINE_MISSING,
        Reason.PARTIAL_OUT_OF_RANGE,
    ),
}
_STATUS_OF = {reason: status for status, reasons in _STATUS.items() for reason in reasons}

_SAID = {
    Reason.UNKNOWN_ACCOUNT: "There is no such account.",
    Reason.UNKNOWN_INSTRUMENT: "There is no such instrument.",
    Reason.UNKNOWN_ORDER: "No order of this id rests in the book for this account.",
    Reason.MAY_NOT_TRADE: "The account may not trade: by its class or status, or since it failed in settlement.",
    Reason.MARKET_CLOSED: "The market is not open for this now; see GET /v1/market.",
    Reason.MARKET_HALTED: "Trading in this instrument is halted; see GET /v1/instruments.",
    Reason.TIME_IN_FORCE_NOT_ALLOWED: "The rule set lets no order outlive its day: GTC and GTD are not taken.",
    Reason.CONTRADICTORY_TERMS: "The terms of the order contradict one another: "
    "a market order has no price and is IOC or FOK; a stop order has no price, is DAY and needs a price band; "
    "a stop price belongs to orders that wait for one; a stop-limit, iceberg or post-only order is not IOC or FOK; "
    "an iceberg or post-only order is a limit order; an expire date belongs to GTD, and GTD needs one.",
    Reason.NOT_IN_CALL: "Nothing trades at once in a call auction: no IOC, FOK or post-only orders.",
    Reason.LAST_DAY_PASSED: "The expire date lies before the trading day.",
    Reason.QUANTITY_NOT_POSITIVE: "The quantity must be at least one tonne.",
    Reason.QUANTITY_OFF_LOT: "The quantity must be a multiple of the lot.",
    Reason.INVALID_DISPLAY_QUANTITY: "What an iceberg shows must be a multiple of the lot and at most its quantity, "
    "which is below 2,147,483,648 t.",
    Reason.PRICE_NOT_POSITIVE: "A price that the order needs is missing, or is not above zero.",
    Reason.PRICE_OUTSIDE_BAND: "The price lies outside the day's price band; see GET /v1/instruments.",
    Reason.PRICE_OUT_OF_RANGE: "The price lies too far from those of the other orders.",
    Reason.AMOUNT_TOO_LARGE: "Price times quantity is larger than can be booked.",
    Reason.BATCH_STOPPED: "An earlier order of the batch was refused; this one was not tried.",
    Reason.STOP_ALREADY_REACHED: "The last trade has reached the stop price already.",
    Reason.POST_ONLY_WOULD_TRADE: "The order would trade at once, and is post-only.",
    Reason.POSITION_LIMIT: "The account's position, with what its resting buy orders may add, would pass its limit.",
    Reason.INSUFFICIENT_CASH: "The account's available cash does not cover price, quantity and fee.",
    Reason.INSUFFICIENT_UNITS: "The account's available units do not cover the quantity.",
}


# The codes that are no reasons of the exchange: who finds them says why in detail.
OTHERS: dict[int, dict[str, str]] = {
    400: {
        "malformed_json": "The body is not valid JSON.",
        "disconnected": "The client is gone.",
    },
    401: {
        "key_missing": "Sign the request: carbonex-key, carbonex-timestamp, carbonex-signature.",
        "key_unknown": "There is no such key, or it has been revoked.",
        "timestamp_invalid": "Carbonex-Timestamp is nanoseconds since 1970.",
        "timestamp_outside_window": "The request was not signed within the window.",
        "timestamp_before_start": "The exchange has started since this was signed; sign it anew.",
        "signature_invalid": "The signature is not that of this request by this key.",
        "signature_used": "This request has been made already; sign it anew.",
        "session_over": "The session is over; log in again.",
        "foreign_page": "A session acts for pages of the exchange alone.",
        "login_failed": "There is no such key with this secret.",
    },
    403: {
        "role_not_permitted": "A key for a trader may not POST /v1/settlements.",
        "kill_switch_on": "The kill switch of E-001 is on: it places no orders.",
        "order_too_large": "The key places orders of 1000 t at most.",
        "too_many_open_orders": "100 orders of E-001 are open.",
    },
    404: {
        "not_found": "There is no such resource.",
        "no_reserve": "The rule set hubei has no risk reserve: none to ask, fund or draw on.",
        "unknown_settlement": "The day has not been settled.",
        "unknown_statement": "There is no such statement.",
        "unknown_key": "There is no such key.",
    },
    409: {
        "request_in_progress": "The first request under this key is still under way; ask again.",
        "request_outcome_unknown": "Whether the request was carried out can't be said; it is not done again.",
        "answer_lost": "The request was carried out, as command 1582; its answer was lost in a crash.",
        "answer_not_kept": "The request was carried out; its answer had a secret, which is shown once.",
        "no_key_file": "The exchange runs without keys; start it with --keys FILE.",
        "key_exists": "There is a key of this id.",
        "key_revoked": "The key has been revoked.",
        "real_clock": "The market follows the real time: its clock has no other speed.",
        "several_batches": "The day has several batches: name one of them.",
    },
    413: {"body_too_large": "A body has 8388608 bytes at most."},
    422: {
        "invalid_request": "quantity: Field required",
        "invalid_cursor": "The cursor is none of this list.",
        "idempotency_key_invalid": "A key is 1 to 200 visible ASCII characters without spaces.",
        "idempotency_key_reused": "The key stands for another request; use a new one.",
        "not_a_trading_day": "2026-01-04 is no trading day of the exchange's calendar.",
        "malformed_file": "The file is not as it should be.",
        "invalid_public_key": "The public key is not 32 bytes in base64.",
        "wrong_account": "A key of this role acts for an account.",
        "wrong_kind": "The key is of the other kind.",
    },
    429: {
        "rate_limited": "The key may ask 1000 times a second.",
        "too_many_logins": "Too many wrong secrets; try again later.",
    },
    500: {
        "internal_error": "The exchange hit an error of its own; nothing was lost.",
        "journal_unwritable": "The exchange has stopped; ask again after its restart.",
    },
    503: {
        "inbox_full": "More commands are waiting than the exchange takes in; nothing has happened.",
        "requests_unwritable": "The request could not be written down, so nothing has been done.",
        "starting": "The exchange is reading its journal; ask again soon.",
        "stopping": "The exchange is stopping; ask again after its restart.",
        "journal_unwritable": "The exchange has stopped; ask again after its restart.",
        "internal_error": "The exchange has stopped; ask again after its restart.",
    },
}


class ProblemDetails(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[dict[str, str]] | None = None


class Problem(Exception):
    """An error on its way to the client."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers

    @classmethod
    def of(cls, refused: Refused) -> "Problem":
        return cls(status_of(refused.reason), refused.reason.code, refused.detail)

    @classmethod
    def of_reason(cls, reason: Reason) -> "Problem":
        return cls(status_of(reason), reason.code, _SAID.get(reason, reason.code))

    def response(self) -> JSONResponse:
        details = details_of(self.status, self.code, self.detail, self.errors)
        return JSONResponse(details.model_dump(exclude_none=True), self.status, self.headers, MEDIA_TYPE)


def details_of(status: int, code: str, said: str, errors: list[dict[str, str]] | None = None) -> ProblemDetails:
    """An error as it goes over the wire."""
    title = code.replace("_", " ").capitalize()
    return ProblemDetails(
        type=f"urn:carbonex:problem:{code}", title=title, status=status, code=code, detail=said, errors=errors
    )


def said_by_status(status: int) -> dict[str, str]:
    """All codes of a status, each with a sentence such as clients get."""
    refusals = {
        one.code: _SAID.get(one, f"{one.code.replace('_', ' ').capitalize()}.") for one in _STATUS.get(status, ())
    }
    return refusals | OTHERS.get(status, {})


def no_account(account_id: str) -> Problem:
    """404, in the same words whether there is no such account or it is another's."""
    return Problem(404, Reason.UNKNOWN_ACCOUNT.code, f"There is no account {account_id!r}.")


def invalid(errors: list[dict[str, str]]) -> Problem:
    """422: a request that is not as its document says, with what is wrong, `field` and `message` of each."""
    return Problem(422, "invalid_request", "; ".join(f"{one['field']}: {one['message']}" for one in errors), errors)


def broken() -> Problem:
    """500: an error of ours."""
    return Problem(500, "internal_error", "The exchange hit an error of its own; nothing was lost.")


def status_of(reason: Reason) -> int:
    """The HTTP status of a refusal. KeyError of a reason that refuses nothing."""
    return _STATUS_OF[reason]


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDetails, "description": text, "content": {MEDIA_TYPE: {}}}
    for status, text in {
        400: "Not JSON",
        401: "The request is not signed by a key, or not as it should be",
        403: "Who asks may not do this: by the class of its account, or the status it is in",
        404: "There is no such account, unit, order, period ...",
        409: "Refused as things stand now",
        413: "The body is too large",
        422: "Malformed, or refused whatever the state",
        429: "The key has asked too often; try again after Retry-After seconds",
        500: "The exchange has broken and stops",
        503: "The inbox is full; try again after Retry-After seconds",
    }.items()
}


_CODES = {400: "malformed_json", 404: "not_found", 405: "method_not_allowed"}


def install(app: FastAPI) -> None:
    """Make every error of an app a problem."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return Problem.of(error).response()

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()
        if any(one["type"] == "json_invalid" for one in found):
            return Problem(400, "malformed_json", "The body is not valid JSON.").response()
        errors = [
            {"field": ".".join(str(part) for part in one["loc"][1:]) or str(one["loc"][0]), "message": one["msg"]}
            for one in found
        ]
        problem = invalid(errors)
        if request.headers.get("content-type", "").split(";")[0] != "application/json" and await request.body():
            problem.detail += "; send the body with Content-Type: application/json"
        return problem.response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "http_error")
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(methods_of(request.app.routes, request.scope)))
        return Problem(error.status_code, code, str(error.detail), headers=headers).response()

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return broken().response()
