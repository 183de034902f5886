"""Statements: read, confirmed, objected to, answered; and all of a batch together."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Response

from api import settlement_views as views
from api.gateway import TheGateway
from api.paging import ThePage
from api.problems import RESPONSES
from api.schemas import (
    BatchStatements,
    Format,
    Identifier,
    NewObjection,
    ObjectionAnswered,
    StatementConfirmed,
    StatementObjected,
    StatementStanding,
    StatementTotal,
    StatementView,
)
from api.tables import csv_of
from api.verbs import Number, Verb, add_verbs, perform
from exchange.commands import AnswerObjection, ConfirmStatement, ObjectToStatement

router = APIRouter(prefix="/v1", tags=["settlement"], responses=RESPONSES)
AS_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}
AS_FILES: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}, "text/html": {}}}}
MEDIA: dict[str, Format] = {"application/json": "json", "text/csv": "csv", "text/html": "html"}

DayOrBatch = Annotated[
    str,
    Path(
        pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,9})$",
        description="A trading day, or the number of a settlement batch",
        examples=["2026-01-05"],
    ),
]

add_verbs(
    router,
    (Verb("/settlement/batches/{batch}/objections/{account_id}/answer", AnswerObjection, ObjectionAnswered),),
)


@router.get("/accounts/{account_id}/statements", responses=AS_CSV)
async def statements(
    account_id: Identifier, gateway: TheGateway, page: ThePage, format: Literal["json", "csv"] = "json"
) -> list[StatementStanding]:
    """An account's statements and how each stands, oldest first. As CSV by `format=csv`."""
    shown = views.standings(gateway, gateway.account(account_id))
    if format == "csv":
        return Response(csv_of(shown, StatementStanding), media_type="text/csv")  # type: ignore[return-value]
    return page.of(shown, lambda one: one.batch)


@router.get("/accounts/{account_id}/statements/{day_or_batch}", summary="Statement of a day", responses=AS_FILES)
async def statement(
    account_id: Identifier,
    day_or_batch: DayOrBatch,
    gateway: TheGateway,
    response: Response,
    format: Format | None = None,
    accept: Annotated[str, Header()] = "*/*",
) -> StatementView:
    """An account's statement of a settled day, or of one batch: opening, every movement with its cause, closing.

    As JSON, CSV (a row a movement) or a page to be printed: by `format`, or else by what is accepted.
    """
    account = gateway.account(account_id)
    batches = views.stated(gateway, account, day_or_batch)
    response.headers["Vary"] = "Accept"
    match format or preferred(accept):
        case "json":
            return views.statement_view(gateway, batches, account)
        case "csv":
            text, media_type = views.statement_csv(gateway, batches, account), "text/csv"
        case "html":
            text, media_type = views.statement_page(gateway, batches, account), "text/html"
    return Response(text, media_type=media_type, headers=dict(response.headers))  # type: ignore[return-value]


def preferred(accept: str) -> Format:
    """The first of the formats with the highest weight in an Accept header; JSON if none is named."""
    best: tuple[float, Format] = (0.0, "json")
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights = [one.removeprefix("q=") for one in parameters if one.startswith("q=")]
        try:
            weight = float(weights[0]) if weights else 1.0
        except ValueError:
            weight = 0.0
        found = MEDIA.get(media)
        if found and weight > best[0]:
            best = weight, found
    return best[1]


@router.post("/accounts/{account_id}/statements/{day_or_batch}/confirmation", status_code=201)
async def confirm_statement(
    account_id: Identifier, day_or_batch: DayOrBatch, gateway: TheGateway
) -> StatementConfirmed:
    """Agree with a statement, before the next opening; whoever is silent until then agrees too.

    A day stands for its batch; if it has several, name one.
    """
    batch = views.batch_to_answer(gateway, gateway.account(account_id), day_or_batch)
    return await perform(gateway, ConfirmStatement(account_id, batch), StatementConfirmed)


@router.post("/accounts/{account_id}/statements/{day_or_batch}/objection", status_code=201)
async def object_to_statement(
    account_id: Identifier, day_or_batch: DayOrBatch, objection: NewObjection, gateway: TheGateway
) -> StatementObjected:
    """Object to a statement in writing, before the next opening (settlement rules, art. 11)."""
    batch = views.batch_to_answer(gateway, gateway.account(account_id), day_or_batch)
    return await perform(gateway, ObjectToStatement(account_id, batch, objection.text), StatementObjected)


@router.get("/settlement/batches/{batch}/statements", responses=AS_CSV)
async def batch_statements(
    batch: Number,
    gateway: TheGateway,
    format: Literal["json", "csv"] = "json",
    rows: Literal["totals", "states"] = "totals",
) -> BatchStatements:
    """All statements of a batch by asset and cause, which is its settlement report, and how each of them stands.

    By `format=csv` the totals as CSV, or with `rows=states` the states, a row a statement.
    """
    found = views.batch_statements(gateway, batch)
    if format == "csv":
        text = csv_of(found.totals, StatementTotal) if rows == "totals" else csv_of(found.statements, StatementStanding)
        return Response(text, media_type="text/csv")  # type: ignore[return-value]
    return found
