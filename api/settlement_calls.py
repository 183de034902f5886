"""What the client asks of the clearing house: a method for each route, under the command's name.

A statement is named by its trading day (ISO 8601) or by the number of its settlement batch.
"""

from typing import Any, Literal

from api import schemas
from api.calls import Wire, call


class SettlementCalls:
    """The clearing house's part of the client."""

    @call
    async def statements(self: Wire, account_id: str) -> list[schemas.StatementStanding]:
        """An account's statements and how each stands, oldest first."""
        return await self._many("GET", f"/v1/accounts/{account_id}/statements", schemas.StatementStanding)

    @call
    async def statement(self: Wire, account_id: str, day: str | int) -> schemas.StatementView:
        params = {"format": "json"}
        path = f"/v1/accounts/{account_id}/statements/{day}"
        return await self._one("GET", path, schemas.StatementView, params=params)

    @call
    async def statement_file(self: Wire, account_id: str, day: str | int, format: Literal["csv", "html"]) -> str:
        """A statement as CSV, a row a movement, or as a page to be printed."""
        path, params = f"/v1/accounts/{account_id}/statements/{day}", {"format": format}
        return (await self._send("GET", path, params=params)).text

    @call
    async def confirm_statement(self: Wire, account_id: str, day: str | int) -> schemas.StatementConfirmed:
        path = f"/v1/accounts/{account_id}/statements/{day}/confirmation"
        return await self._one("POST", path, schemas.StatementConfirmed)

    @call
    async def object_to_statement(self: Wire, account_id: str, day: str | int, text: str) -> schemas.StatementObjected:
        path = f"/v1/accounts/{account_id}/statements/{day}/objection"
        return await self._one("POST", path, schemas.StatementObjected, json={"text": text})

    @call
    async def answer_objection(
        self: Wire, by: str, account_id: str, batch: int, upheld: bool, answer: str
    ) -> schemas.ObjectionAnswered:
        path = f"/v1/settlement/batches/{batch}/objections/{account_id}/answer"
        body = {"by": by, "upheld": upheld, "answer": answer}
        return await self._one("POST", path, schemas.ObjectionAnswered, json=body)

    @call
    async def batch_statements(self: Wire, batch: int) -> schemas.BatchStatements:
        """All statements of a batch in totals, and how each stands."""
        return await self._one("GET", f"/v1/settlement/batches/{batch}/statements", schemas.BatchStatements)

    @call
    async def batch_statements_csv(self: Wire, batch: int, rows: Literal["totals", "states"] = "totals") -> str:
        path, params = f"/v1/settlement/batches/{batch}/statements", {"format": "csv", "rows": rows}
        return (await self._send("GET", path, params=params)).text

    # -- batches

    @call
    async def batches(self: Wire, day: str | None = None) -> list[schemas.BatchRow]:
        """All settlement batches, or those of a day, oldest first."""
        params = {} if day is None else {"day": day}
        return await self._many("GET", "/v1/settlement/batches", schemas.BatchRow, params=params)

    @call
    async def batch(self: Wire, number: int) -> schemas.BatchView:
        return await self._one("GET", f"/v1/settlement/batches/{number}", schemas.BatchView)

    @call
    async def positions(self: Wire, batch: int) -> list[schemas.PositionView]:
        return await self._many("GET", f"/v1/settlement/batches/{batch}/positions", schemas.PositionView)

    @call
    async def deliveries(self: Wire, batch: int) -> list[schemas.DeliveryView]:
        return await self._many("GET", f"/v1/settlement/batches/{batch}/deliveries", schemas.DeliveryView)

    @call
    async def obligations(self: Wire, account_id: str) -> list[schemas.ObligationView]:
        """An account's sides of the trades that are not settled yet."""
        return await self._many("GET", f"/v1/accounts/{account_id}/obligations", schemas.ObligationView)

    @call
    async def fix_obligations(self: Wire) -> schemas.BatchView:
        return await self._one("POST", "/v1/settlement/batches", schemas.BatchView)

    @call
    async def settlement_step(
        self: Wire, batch: int, step: Literal["instructions", "late", "delivery", "statements"]
    ) -> schemas.BatchView:
        """Take the next step of the batch under way, by its name in the path."""
        return await self._one("POST", f"/v1/settlement/batches/{batch}/{step}", schemas.BatchView)

    # -- the bank

    @call
    async def instructions(self: Wire, batch: int) -> schemas.InstructionsView:
        return await self._one("GET", f"/v1/settlement/batches/{batch}/instructions", schemas.InstructionsView)

    @call
    async def instructions_file(self: Wire, batch: int) -> str:
        """The file that the bank gets."""
        path = f"/v1/settlement/batches/{batch}/instructions"
        return (await self._send("GET", path, params={"format": "csv"})).content.decode()

    @call
    async def confirm_payments(
        self: Wire, by: str, batch: int, answers_to: str, lines: list[dict[str, Any]], more_follows: bool = False
    ) -> schemas.PaymentsConfirmed:
        path = f"/v1/settlement/batches/{batch}/confirmations"
        body = {"by": by, "answers_to": answers_to, "lines": lines, "more_follows": more_follows}
        return await self._one("POST", path, schemas.PaymentsConfirmed, json=body)

    @call
    async def confirm_payments_file(self: Wire, by: str, batch: int, text: str) -> schemas.PaymentsConfirmed:
        """The bank's answer as the CSV file that it wrote."""
        path = f"/v1/settlement/batches/{batch}/confirmations/file"
        sent: dict[str, Any] = {"content": text.encode(), "headers": {"content-type": "text/csv"}}
        return await self._one("POST", path, schemas.PaymentsConfirmed, params={"by": by}, **sent)

    @call
    async def reconciliations(self: Wire) -> list[schemas.BreakReport]:
        return await self._many("GET", "/v1/settlement/reconciliations", schemas.BreakReport)

    @call
    async def reconcile_bank(self: Wire, by: str, day: str, lines: list[dict[str, Any]]) -> schemas.BreakReport:
        """Compare the bank's balances of a day, each with account_id, currency and amount, with ours."""
        body = {"by": by, "date": day, "lines": lines}
        return await self._one("POST", "/v1/settlement/reconciliations", schemas.BreakReport, json=body)

    @call
    async def reconcile_bank_file(self: Wire, by: str, text: str) -> schemas.BreakReport:
        sent: dict[str, Any] = {"content": text.encode(), "headers": {"content-type": "text/csv"}}
        path = "/v1/settlement/reconciliations/file"
        return await self._one("POST", path, schemas.BreakReport, params={"by": by}, **sent)

    @call
    async def balances(self: Wire, day: str) -> schemas.BalancesView:
        """What the bank should have at the end of a settled day."""
        return await self._one("GET", f"/v1/settlement/balances/{day}", schemas.BalancesView)

    @call
    async def balances_file(self: Wire, day: str) -> str:
        """The same as the bank's file."""
        return (await self._send("GET", f"/v1/settlement/balances/{day}", params={"format": "csv"})).content.decode()

    @call
    async def bookings(self: Wire, day: str) -> schemas.BookingsView:
        """What the bank has to book of a settled day."""
        return await self._one("GET", f"/v1/settlement/bookings/{day}", schemas.BookingsView)

    @call
    async def bookings_file(self: Wire, day: str) -> str:
        """The file that the bank books."""
        return (await self._send("GET", f"/v1/settlement/bookings/{day}", params={"format": "csv"})).content.decode()

    @call
    async def withdrawal_blocks(self: Wire) -> list[schemas.WithdrawalBlock]:
        """Who may withdraw nothing at present, and why."""
        return await self._many("GET", "/v1/settlement/withdrawal-blocks", schemas.WithdrawalBlock)

    @call
    async def block_withdrawals(self: Wire, by: str, account_id: str, reason: str) -> schemas.WithdrawalsBlocked:
        path, body = f"/v1/accounts/{account_id}/withdrawal-block", {"by": by, "reason": reason}
        return await self._one("POST", path, schemas.WithdrawalsBlocked, json=body)

    @call
    async def unblock_withdrawals(self: Wire, by: str, account_id: str, reason: str) -> schemas.WithdrawalsUnblocked:
        path, body = f"/v1/accounts/{account_id}/withdrawal-block/end", {"by": by, "reason": reason}
        return await self._one("POST", path, schemas.WithdrawalsUnblocked, json=body)

    # -- deals, failures, the reserve

    @call
    async def deals(self: Wire) -> list[schemas.DealView]:
        return await self._many("GET", "/v1/settlement/deals", schemas.DealView)

    @call
    async def agree_delivery(self: Wire, /, by: str, deal_id: str, **terms: Any) -> schemas.DealView:
        """`terms`: seller, buyer, symbol, quantity, price, due, perhaps method."""
        body = {"by": by, "deal_id": deal_id, **terms}
        return await self._one("POST", "/v1/settlement/deals", schemas.DealView, json=body)

    @call
    async def cancel_delivery(self: Wire, by: str, deal_id: str, reason: str) -> schemas.DealView:
        path, body = f"/v1/settlement/deals/{deal_id}/cancellation", {"by": by, "reason": reason}
        return await self._one("POST", path, schemas.DealView, json=body)

    @call
    async def cases(self: Wire, account_id: str | None = None) -> list[schemas.CaseView]:
        """All failures in settlement, or an account's."""
        params = {} if account_id is None else {"account_id": account_id}
        return await self._many("GET", "/v1/settlement/cases", schemas.CaseView, params=params)

    @call
    async def case(self: Wire, number: int) -> schemas.CaseView:
        return await self._one("GET", f"/v1/settlement/cases/{number}", schemas.CaseView)

    @call
    async def cure_failure(self: Wire, by: str, case: int) -> schemas.CaseView:
        return await self._one("POST", f"/v1/settlement/cases/{case}/cure", schemas.CaseView, json={"by": by})

    @call
    async def cover_failure(self: Wire, by: str, case: int) -> schemas.CaseView:
        return await self._one("POST", f"/v1/settlement/cases/{case}/cover", schemas.CaseView, json={"by": by})

    @call
    async def close_out_failure(self: Wire, by: str, case: int) -> schemas.CaseView:
        return await self._one("POST", f"/v1/settlement/cases/{case}/close-out", schemas.CaseView, json={"by": by})

    @call
    async def dispose_security(self: Wire, by: str, case: int, buyer: str | None = None) -> schemas.CaseView:
        """To the house, or to who has agreed to buy."""
        asked = {"by": by} if buyer is None else {"by": by, "buyer": buyer}
        return await self._one("POST", f"/v1/settlement/cases/{case}/security-sale", schemas.CaseView, json=asked)

    @call
    async def pay_recourse(self: Wire, account_id: str, amount: str) -> list[schemas.CaseView]:
        path = f"/v1/accounts/{account_id}/recourse"
        return await self._many("POST", path, schemas.CaseView, json={"amount": amount})

    @call
    async def write_off_recourse(
        self: Wire, by: str, account_id: str, amount: str, note: str
    ) -> list[schemas.CaseView]:
        path, body = f"/v1/accounts/{account_id}/recourse/write-off", {"by": by, "amount": amount, "note": note}
        return await self._many("POST", path, schemas.CaseView, json=body)

    @call
    async def reserve(self: Wire) -> schemas.ReserveView:
        """The risk reserve."""
        return await self._one("GET", "/v1/settlement/reserve", schemas.ReserveView)

    @call
    async def fund_reserve(self: Wire, by: str, amount: str) -> schemas.ReserveView:
        body = {"by": by, "amount": amount}
        return await self._one("POST", "/v1/settlement/reserve/funding", schemas.ReserveView, json=body)

    @call
    async def draw_reserve(
        self: Wire, by: str, amount: str, cause: str, account_id: str, note: str
    ) -> schemas.ReserveView:
        body = {"by": by, "amount": amount, "cause": cause, "account_id": account_id, "note": note}
        return await self._one("POST", "/v1/settlement/reserve/draw", schemas.ReserveView, json=body)
