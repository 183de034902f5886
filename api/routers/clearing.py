"""The clearing house: batches step by step, what they move, the settlement bank's files, withdrawals."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query, Response

from api import clearing_views as views
from api.gateway import Gateway, TheGateway
from api.paging import ThePage
from api.problems import RESPONSES, Problem
from api.routers.settlement import AS_CSV
from api.schemas import (
    BalancesView,
    BatchRow,
    BatchView,
    BookingsView,
    BreakReport,
    Day,
    DeliveryView,
    Identifier,
    InstructionsView,
    NewConfirmation,
    NewReconciliation,
    ObligationView,
    PaymentsConfirmed,
    PositionView,
    WithdrawalBlock,
    WithdrawalsBlocked,
    WithdrawalsUnblocked,
)
from api.settlement_views import batch_named
from api.tables import csv_of
from api.verbs import Number, Verb, add_verbs
from exchange import events as happened
from exchange.commands import (
    BlockWithdrawals,
    ConfirmPayments,
    DeliverBatch,
    FixObligations,
    InstructBank,
    IssueStatements,
    NoteLateBank,
    ReconcileBank,
    SettlementCommand,
    UnblockWithdrawals,
)
from exchange.instruments import fen
from exchange.reasons import Reason, Refused
from settlement.bank_files import BankBalance, BankFileError, Fault, LineAnswer, read_answers, read_balances

router = APIRouter(prefix="/v1", tags=["clearing"], responses=RESPONSES)

JsonOrCsv = Literal["json", "csv"]
By = Annotated[Identifier, Query(description="Account id of the settlement bank", examples=["BANK"])]
CsvFile = Annotated[
    str, Body(media_type="text/csv", description="The file as it was written, with its trailer", max_length=10_000_000)
]

add_verbs(
    router,
    (
        Verb("/accounts/{account_id}/withdrawal-block", BlockWithdrawals, WithdrawalsBlocked),
        Verb("/accounts/{account_id}/withdrawal-block/end", UnblockWithdrawals, WithdrawalsUnblocked),
    ),
)


# ---------------------------------------------------------------- what there is


@router.get("/settlement/batches")
async def batches(gateway: TheGateway, page: ThePage, day: Day | None = None) -> list[BatchRow]:
    """All settlement batches, or those of a day, oldest first."""
    return page.of(views.batch_rows(gateway, day), lambda batch: batch.number)


@router.get("/settlement/batches/{batch}")
async def batch(batch: Number, gateway: TheGateway) -> BatchView:
    """A batch: its steps with their times, what its bank has said, which trades failed, what was settled."""
    return views.batch_view(gateway, batch_named(gateway, batch))


@router.get("/settlement/batches/{batch}/positions", responses=AS_CSV)
async def positions(
    batch: Number, gateway: TheGateway, page: ThePage, format: JsonOrCsv = "json"
) -> list[PositionView]:
    """What each account delivers and receives in a batch, gross and net; without trades that failed."""
    shown = views.positions(gateway, batch_named(gateway, batch))
    if format == "csv":
        return _csv(csv_of(shown, PositionView))  # type: ignore[return-value]
    return page.of_growing(shown)


@router.get("/settlement/batches/{batch}/deliveries", responses=AS_CSV)
async def deliveries(
    batch: Number, gateway: TheGateway, page: ThePage, format: JsonOrCsv = "json"
) -> list[DeliveryView]:
    """Who gave whom which serial numbers; where the batch nets units, from net deliverers to net receivers."""
    shown = views.deliveries(gateway, batch_named(gateway, batch))
    if format == "csv":
        return _csv(csv_of(shown, DeliveryView))  # type: ignore[return-value]
    return page.of_growing(shown)


@router.get("/accounts/{account_id}/obligations")
async def obligations(account_id: Identifier, gateway: TheGateway, page: ThePage) -> list[ObligationView]:
    """An account's sides of the trades that are not settled yet, oldest first."""
    owed = sorted(views.owed_by(gateway, gateway.account(account_id)), key=_trade_id)
    return page.of(owed, _trade_id)


def _trade_id(owed: ObligationView) -> int:
    return owed.trade_id


# ---------------------------------------------------------------- step by step


@router.post("/settlement/batches", status_code=201)
async def fix_obligations(gateway: TheGateway) -> BatchView:
    """After the close: fix what is owed; a batch begins. (`POST /v1/settlements` takes all its steps in one.)"""
    event = await gateway.inbox.ask(FixObligations())
    assert isinstance(event, happened.ObligationsFixed)
    return views.batch_view(gateway, batch_named(gateway, event.batch))


@router.post("/settlement/batches/{batch}/instructions", status_code=201)
async def instruct_bank(batch: Number, gateway: TheGateway) -> BatchView:
    """Tell the settlement bank what the batch under way pays; or, once it has answered, what is asked besides.

    Where cash is netted, others may have to pay in more than they were asked for once somebody has failed.
    """
    return await _step(gateway, batch, InstructBank())


@router.post("/settlement/batches/{batch}/late", status_code=201)
async def note_late_bank(batch: Number, gateway: TheGateway) -> BatchView:
    """The time to confirm by is over and answers are missing: the accounts of the batch withdraw nothing."""
    return await _step(gateway, batch, NoteLateBank())


@router.post("/settlement/batches/{batch}/delivery", status_code=201)
async def deliver_batch(batch: Number, gateway: TheGateway) -> BatchView:
    """Units against cash, irrevocably; where there is a bank, once it has answered or is late."""
    return await _step(gateway, batch, DeliverBatch())


@router.post("/settlement/batches/{batch}/statements", status_code=201)
async def issue_statements(batch: Number, gateway: TheGateway) -> BatchView:
    """Draw the line under a delivered batch: everybody can read its statement and object."""
    return await _step(gateway, batch, IssueStatements())


async def _step(gateway: Gateway, number: int, command: InstructBank | NoteLateBank | SettlementCommand) -> BatchView:
    batch = views.batch_under_way(gateway, number)
    await gateway.inbox.ask(command)
    return views.batch_view(gateway, batch)


# ---------------------------------------------------------------- the bank


@router.get("/settlement/batches/{batch}/instructions", responses=AS_CSV)
async def instructions(batch: Number, gateway: TheGateway, format: JsonOrCsv = "json") -> InstructionsView:
    """What the bank was told to pay, line by line, with its answers; by `format=csv` the last file that the bank got.

    A supplementary file asks for further debits; its lines are numbered on from those before it.
    """
    found = batch_named(gateway, batch)
    if format == "csv":
        return _csv(views.instructions_text(found))  # type: ignore[return-value]
    return views.instructions_view(found)


@router.post("/settlement/batches/{batch}/confirmations", status_code=201)
async def confirm_payments(batch: Number, new: NewConfirmation, gateway: TheGateway) -> PaymentsConfirmed:
    """The bank's answer: each line is repeated with `accepted`, `rejected`, or `partial` and what was `paid`.

    It is taken whole or not at all: a line that is missing, doubled, altered or answered before has its own code.
    """
    lines = tuple(
        LineAnswer(
            one.line, one.account_id, one.currency, one.direction, fen(one.amount), one.reply, fen(one.paid), one.reason
        )
        for one in new.lines
    )
    return await _confirm(gateway, ConfirmPayments(new.by, batch, new.answers_to, lines, new.more_follows))


@router.post("/settlement/batches/{batch}/confirmations/file", status_code=201)
async def confirm_payments_by_file(batch: Number, by: By, file: CsvFile, gateway: TheGateway) -> PaymentsConfirmed:
    """The bank's answer as its CSV file (`Content-Type: text/csv`)."""
    try:
        said = read_answers(file)
    except BankFileError as error:
        raise _fault(error) from error
    if said.batch != batch:
        raise Refused(Reason.WRONG_BATCH, f"The file answers for batch {said.batch}, not {batch}.")
    return await _confirm(gateway, ConfirmPayments(by, said.batch, said.answers_to, said.lines, said.more_follows))


async def _confirm(gateway: Gateway, command: ConfirmPayments) -> PaymentsConfirmed:
    sequence, event = await gateway.inbox.ask_numbered(command)
    assert isinstance(event, happened.PaymentsConfirmed)
    return PaymentsConfirmed(
        sequence=sequence,
        batch=event.batch,
        answered=event.answered,
        open_lines=event.open_lines,
        short=sorted(line.line for line in [*event.not_paid, *event.kept]),
        is_confirmed=event.is_confirmed,
    )


@router.get("/settlement/reconciliations")
async def reconciliations(gateway: TheGateway, page: ThePage) -> list[BreakReport]:
    """How the bank's balances compared with ours, file by file, oldest first."""
    found = page.of(gateway.history.reconciled.items(), lambda numbered: numbered[0])
    return [views.break_report(gateway, sequence, event) for sequence, event in found]


@router.post("/settlement/reconciliations", status_code=201)
async def reconcile_bank(new: NewReconciliation, gateway: TheGateway) -> BreakReport:
    """Compare the bank's balances at the end of a settled day with the closing of that day's statements."""
    lines = tuple(BankBalance(one.account_id, one.currency, fen(one.amount)) for one in new.lines)
    return await _reconcile(gateway, ReconcileBank(new.by, new.date, lines))


@router.post("/settlement/reconciliations/file", status_code=201)
async def reconcile_bank_by_file(by: By, file: CsvFile, gateway: TheGateway) -> BreakReport:
    """Likewise, by the bank's CSV file (`Content-Type: text/csv`)."""
    try:
        said = read_balances(file)
    except BankFileError as error:
        raise _fault(error) from error
    return await _reconcile(gateway, ReconcileBank(by, said.date, said.lines))


async def _reconcile(gateway: Gateway, command: ReconcileBank) -> BreakReport:
    sequence, event = await gateway.inbox.ask_numbered(command)
    assert isinstance(event, happened.BankReconciled)
    return views.break_report(gateway, sequence, event)


@router.get("/settlement/balances/{day}", responses=AS_CSV)
async def balances(day: Day, gateway: TheGateway, format: JsonOrCsv = "json") -> BalancesView:
    """What the bank should have in every sub-ledger at the end of a settled day; `format=csv`: as the bank's own file.

    It is the closing of the day's last statements; `POST /v1/settlement/reconciliations` compares the bank's with it.
    """
    if format == "csv":
        return _csv(views.balance_file(gateway, day).text())  # type: ignore[return-value]
    return views.balances_view(gateway, day)


@router.get("/settlement/bookings/{day}", responses=AS_CSV)
async def bookings(day: Day, gateway: TheGateway, format: JsonOrCsv = "json") -> BookingsView:
    """What the bank has to book of a settled day: every movement of cash, trades by batch; `format=csv`: its file.

    The file names the one that went before it. A day that gets further statements has a file that goes on.
    """
    if format == "csv":
        return _csv(views.booking_file(gateway, day).text())  # type: ignore[return-value]
    return views.bookings_view(gateway, day)


@router.get("/settlement/withdrawal-blocks")
async def withdrawal_blocks(gateway: TheGateway, page: ThePage) -> list[WithdrawalBlock]:
    """Accounts that may withdraw nothing at present: by an operator, a late bank, or a balance that differs."""
    blocks = views.withdrawal_blocks(gateway, gateway.exchange.accounts)
    return page.of(blocks, lambda block: gateway.account(block.account_id).number)


def _fault(error: BankFileError) -> Problem:
    if error.fault == Fault.MALFORMED_FILE:
        return Problem(422, error.fault, error.detail)
    return Problem.of(Refused(Reason[error.fault.name], error.detail))


def _csv(text: str) -> Response:
    return Response(text, media_type="text/csv")
