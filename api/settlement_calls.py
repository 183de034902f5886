"""What the client asks of the clearing house: a method for each route, under the command's name.

A statement is named by its trading day (ISO 8601) or by the number of its settlement batch.
"""

from typing import Literal

from api import schemas
from api.registry_calls import Wire


class SettlementCalls:
    """The clearing house's part of the client."""

    async def statements(self: Wire, account_id: str) -> list[schemas.StatementStanding]:
        """An account's statements and how each stands, oldest first."""
        return await self._many("GET", f"/v1/accounts/{account_id}/statements", schemas.StatementStanding)

    async def statement(self: Wire, account_id: str, day: str | int) -> schemas.StatementView:
        params = {"format": "json"}
        path = f"/v1/accounts/{account_id}/statements/{day}"
        return await self._one("GET", path, schemas.StatementView, params=params)

    async def statement_file(self: Wire, account_id: str, day: str | int, format: Literal["csv", "html"]) -> str:
        """A statement as CSV, a row a movement, or as a page to be printed."""
        path, params = f"/v1/accounts/{account_id}/statements/{day}", {"format": format}
        return (await self._send("GET", path, params=params)).text

    async def confirm_statement(self: Wire, account_id: str, day: str | int) -> schemas.StatementConfirmed:
        path = f"/v1/accounts/{account_id}/statements/{day}/confirmation"
        return await self._one("POST", path, schemas.StatementConfirmed)

    async def object_to_statement(self: Wire, account_id: str, day: str | int, text: str) -> schemas.StatementObjected:
        path = f"/v1/accounts/{account_id}/statements/{day}/objection"
        return await self._one("POST", path, schemas.StatementObjected, json={"text": text})

    async def answer_objection(
        self: Wire, by: str, account_id: str, batch: int, upheld: bool, answer: str
    ) -> schemas.ObjectionAnswered:
        path = f"/v1/settlement/batches/{batch}/objections/{account_id}/answer"
        body = {"by": by, "upheld": upheld, "answer": answer}
        return await self._one("POST", path, schemas.ObjectionAnswered, json=body)

    async def batch_statements(self: Wire, batch: int) -> schemas.BatchStatements:
        """All statements of a batch in totals, and how each stands."""
        return await self._one("GET", f"/v1/settlement/batches/{batch}/statements", schemas.BatchStatements)

    async def batch_statements_csv(self: Wire, batch: int, rows: Literal["totals", "states"] = "totals") -> str:
        path, params = f"/v1/settlement/batches/{batch}/statements", {"format": "csv", "rows": rows}
        return (await self._send("GET", path, params=params)).text
