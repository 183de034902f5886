"""carbonex settlement: what the clearing house has done and does, on a running exchange."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exchange.console import fail
from exchange.registry_cli import AccountId, Amount, Because, By, asks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from api.client import AsyncClient

READING, STEPS, BANK, FAILURES = "Reading", "Step by step", "The settlement bank", "When somebody fails"
STATEMENTS = "Statements"

settlement = typer.Typer(
    help="The clearing house: batches, the settlement bank, failures, statements.", no_args_is_help=True
)

Day = Annotated[
    str, typer.Argument(metavar="DAY", help="Trading day, e.g. 2026-01-05, or number of a settlement batch.")
]
BatchNumber = Annotated[int, typer.Argument(metavar="BATCH", help="Number of the batch.")]
CaseNumber = Annotated[int, typer.Argument(metavar="CASE", help="Number of the failure case.")]
BankFile = Annotated[Path, typer.Argument(metavar="FILE", help="The bank's CSV file.")]
ByBank = Annotated[str, typer.Option(envvar="CARBONEX_BANK", help="Account id of the settlement bank.")]


# ---------------------------------------------------------------- what there is


@asks(settlement, changes=False, panel=READING)
async def batches(
    client: "AsyncClient", day: Annotated[str | None, typer.Option(help="Only of this trading day.")] = None
) -> "Sequence[BaseModel]":
    """All settlement batches and how far each has come."""
    return await client.batches(day)


@asks(settlement, changes=False, panel=READING)
async def show(client: "AsyncClient", batch: BatchNumber) -> "BaseModel":
    """A batch: its steps with their times, its bank, what was settled and what netting saves."""
    return await client.batch(batch)


@asks(settlement, changes=False, panel=READING)
async def positions(client: "AsyncClient", batch: BatchNumber) -> "Sequence[BaseModel]":
    """What each account delivers and receives in a batch."""
    return await client.positions(batch)


@asks(settlement, changes=False, panel=READING)
async def deliveries(client: "AsyncClient", batch: BatchNumber) -> "Sequence[BaseModel]":
    """Who gave whom which serial numbers in a batch."""
    return await client.deliveries(batch)


@asks(settlement, changes=False, panel=READING)
async def obligations(client: "AsyncClient", account: AccountId) -> "Sequence[BaseModel]":
    """An account's sides of the trades that are not settled yet."""
    return await client.obligations(account)


# ---------------------------------------------------------------- by hand


@asks(settlement, panel=STEPS)
async def fix(client: "AsyncClient") -> "BaseModel":
    """After the close: fix what is owed; a batch begins."""
    return await client.fix_obligations()


@asks(settlement, panel=STEPS)
async def instruct(client: "AsyncClient", batch: BatchNumber) -> "BaseModel":
    """Tell the settlement bank what the batch pays."""
    return await client.settlement_step(batch, "instructions")


@asks(settlement, panel=STEPS)
async def late(client: "AsyncClient", batch: BatchNumber) -> "BaseModel":
    """Note that the bank's time is over: nobody in the batch may withdraw until it is delivered."""
    return await client.settlement_step(batch, "late")


@asks(settlement, panel=STEPS)
async def deliver(client: "AsyncClient", batch: BatchNumber) -> "BaseModel":
    """Units against cash, irrevocably."""
    return await client.settlement_step(batch, "delivery")


@asks(settlement, panel=STEPS)
async def state(client: "AsyncClient", batch: BatchNumber) -> "BaseModel":
    """Issue the statements of a delivered batch."""
    return await client.settlement_step(batch, "statements")


# ---------------------------------------------------------------- the bank


@asks(settlement, changes=False, panel=BANK, formats=("json", "csv"))
async def instructions(client: "AsyncClient", batch: BatchNumber, format: str) -> "BaseModel | str":
    """What the bank was told to pay, and its answers; as CSV the file that the bank gets."""
    if format == "csv":
        return await client.instructions_file(batch)
    return await client.instructions(batch)


@asks(settlement, panel=BANK)
async def confirm(client: "AsyncClient", batch: BatchNumber, file: BankFile, by: ByBank = "BANK") -> "BaseModel":
    """Hand in the bank's answers to a batch. They are taken whole or not at all."""
    return await client.confirm_payments_file(by, batch, _read(file))


@asks(settlement, panel=BANK)
async def reconcile(client: "AsyncClient", file: BankFile, by: ByBank = "BANK") -> "BaseModel":
    """Compare the bank's balances at the end of a day with ours: what differs is listed."""
    return await client.reconcile_bank_file(by, _read(file))


@asks(settlement, changes=False, panel=BANK)
async def reconciliations(client: "AsyncClient") -> "Sequence[BaseModel]":
    """All comparisons with the bank's balances."""
    return await client.reconciliations()


@asks(settlement, changes=False, panel=BANK)
async def blocks(client: "AsyncClient") -> "Sequence[BaseModel]":
    """Accounts that may withdraw nothing at present, and why."""
    return await client.withdrawal_blocks()


@asks(settlement, panel=BANK)
async def block(client: "AsyncClient", account: AccountId, by: By, reason: Because) -> "BaseModel":
    """Let an account withdraw nothing until it is unblocked."""
    return await client.block_withdrawals(by, account, reason)


@asks(settlement, panel=BANK)
async def unblock(client: "AsyncClient", account: AccountId, by: By, reason: Because) -> "BaseModel":
    """End an operator's block."""
    return await client.unblock_withdrawals(by, account, reason)


@settlement.command(rich_help_panel=BANK)
def reply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An instruction file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Write the answers to this file.")],
    policy: Annotated[str, typer.Option(help="accept, reject, or partial.")] = "accept",
) -> None:
    """Answer an instruction file as a simulated bank does; `confirm` hands the answers in."""
    from settlement.bank import Policy, bank_by
    from settlement.bank_files import BankFileError, read_instructions

    if policy not in ("accept", "reject", "partial"):
        fail("invalid_option", "--policy is accept, reject, or partial")
    if out.exists():
        fail("file_exists", f"{out} is there already")
    try:
        told = read_instructions(_read(file))
    except BankFileError as error:
        fail(str(error.fault), error.detail)
    said = bank_by(Policy(policy), told, 0).answer(told)
    if said is None:
        fail("line_missing", f"{file} asks for no payment: there is nothing to answer")
    try:
        out.write_bytes(said.text().encode())
    except OSError as error:
        fail("file_unwritable", f"{out}: {error.strerror}")


def _read(file: Path) -> str:
    """A file's text, byte by byte: its checksum counts the ends of lines."""
    try:
        return file.read_bytes().decode()
    except OSError as error:
        fail("file_unreadable", f"{file}: {error.strerror}")
    except UnicodeDecodeError:
        fail("malformed_file", f"{file} is no text")


# ---------------------------------------------------------------- failures


@asks(settlement, changes=False, panel=FAILURES)
async def cases(
    client: "AsyncClient", account: Annotated[str | None, typer.Option(help="Only of this account.")] = None
) -> "Sequence[BaseModel]":
    """Who failed in settlement, what was lacking, and how far the procedure has come."""
    return await client.cases(account)


@asks(settlement, changes=False, panel=FAILURES)
async def case(client: "AsyncClient", case: CaseNumber) -> "BaseModel":
    """A failure, with what others paid and what is owed for it."""
    return await client.case(case)


@asks(settlement, panel=FAILURES)
async def cure(client: "AsyncClient", case: CaseNumber, by: By) -> "BaseModel":
    """Within the deadline: the account has what it lacked, and its trades come again in the next batch."""
    return await client.cure_failure(by, case)


@asks(settlement, panel=FAILURES)
async def cover(client: "AsyncClient", case: CaseNumber, by: By) -> "BaseModel":
    """After the deadline: the reserve, then the house pay or deliver what is lacking."""
    return await client.cover_failure(by, case)


@asks(settlement, panel=FAILURES)
async def repay(client: "AsyncClient", account: AccountId, amount: Amount) -> "Sequence[BaseModel]":
    """Pay back what others paid for an account."""
    return await client.pay_recourse(account, amount)


@asks(settlement, changes=False, panel=FAILURES)
async def reserve(client: "AsyncClient") -> "BaseModel":
    """The risk reserve: what it holds, its rule, what is owed to it."""
    return await client.reserve()


@asks(settlement, changes=False, panel=FAILURES)
async def deals(client: "AsyncClient") -> "Sequence[BaseModel]":
    """All deals with a later leg."""
    return await client.deals()


# ---------------------------------------------------------------- statements


@asks(settlement, changes=False, panel=STATEMENTS)
async def statement(client: "AsyncClient", account: AccountId, day: Day, format: str) -> "BaseModel | str":
    """An account's statement of a day: opening, every movement with its cause, closing."""
    match format:
        case "csv" | "html":
            return await client.statement_file(account, day, format)
        case _:
            return await client.statement(account, day)


@asks(settlement, changes=False, panel=STATEMENTS)
async def statements(client: "AsyncClient", account: AccountId) -> "Sequence[BaseModel]":
    """An account's statements and how each stands."""
    return await client.statements(account)


@asks(settlement, panel=STATEMENTS)
async def agree(client: "AsyncClient", account: AccountId, day: Day) -> "BaseModel":
    """Confirm a statement, before the next opening."""
    return await client.confirm_statement(account, day)


@asks(settlement, "object", panel=STATEMENTS)
async def object_(
    client: "AsyncClient", account: AccountId, day: Day, text: Annotated[str, typer.Argument(help="What is wrong.")]
) -> "BaseModel":
    """Object to a statement in writing, before the next opening."""
    return await client.object_to_statement(account, day, text)


@asks(settlement, panel=STATEMENTS)
async def answer(
    client: "AsyncClient",
    account: AccountId,
    batch: BatchNumber,
    text: Annotated[str, typer.Argument(help="What the account is told.")],
    by: By,
    upheld: Annotated[bool, typer.Option("--upheld", help="It is right; left out: it is dismissed.")] = False,
) -> "BaseModel":
    """Answer an objection."""
    return await client.answer_objection(by, account, batch, upheld, text)
