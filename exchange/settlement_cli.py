"""carbonex settlement: what the clearing house has done and does, on a running exchange."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from exchange.console import fail
from exchange.registry_cli import AccountId, Amount, Because, Quantity, UnitCode, asks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from api.client import AsyncClient

DAY, READING, STEPS = "The trading day", "Reading", "Step by step"
BANK, FAILURES, STATEMENTS = "The settlement bank", "Deals with a later leg, and when somebody fails", "Statements"
RIGHT, CURRENCIES = "Trades that were wrong", "Currencies and fees"

settlement = typer.Typer(
    help=(
        "The clearing house: batches, the settlement bank, failures, statements. After the close of a day: fix (what is"
        " owed), instruct (the bank is told who pays), confirm (what it answers), deliver (units against cash), state"
        " (everybody gets a statement); settle takes all of them at once, without the bank."
    ),
    no_args_is_help=True,
)

By = Annotated[str, typer.Option(envvar="CARBONEX_BY", help="Account id of who asks: who may clear, such as EXCHANGE.")]
Day = Annotated[
    str, typer.Argument(metavar="DAY", help="Trading day, e.g. 2026-01-05, or number of a settlement batch.")
]
BatchNumber = Annotated[int, typer.Argument(metavar="BATCH", help="Number of the batch.")]
CaseNumber = Annotated[int, typer.Argument(metavar="CASE", help="Number of the failure case.")]
BankFile = Annotated[Path, typer.Argument(metavar="FILE", help="The bank's CSV file.")]
DealId = Annotated[str, typer.Argument(metavar="DEAL", help="What the deal is called, e.g. D-1.")]
Price = Annotated[str, typer.Argument(metavar="PRICE", help="Per t, in the currency of the instrument, e.g. 41.00.")]
TradeId = Annotated[int, typer.Argument(metavar="TRADE", help="Trade id.")]
Code = Annotated[str, typer.Argument(metavar="CURRENCY", help="ISO 4217 code, e.g. USD.")]
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


# ---------------------------------------------------------------- the day by hand


@asks(settlement, panel=DAY)
async def open_day(
    client: "AsyncClient", day: Annotated[str, typer.Argument(metavar="DAY", help="e.g. 2026-01-06.")]
) -> "BaseModel":
    """Open a trading day; the clock is set forward to it."""
    return await client.open_day(day)


@asks(settlement, panel=DAY)
async def phase(
    client: "AsyncClient", phase: Annotated[Literal["call", "continuous", "break", "closed"], typer.Argument()]
) -> "BaseModel":
    """Begin the day's next phase: a call auction, trading, a break, or the close."""
    return await client.set_phase(phase)


@asks(settlement, panel=DAY)
async def settle(client: "AsyncClient") -> "BaseModel":
    """Settle a closed day in one step, without asking the bank."""
    return await client.settle()


# ---------------------------------------------------------------- step by step


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
    """Units against cash, irrevocably. Who has not paid in by then, as far as the bank has confirmed, has failed."""
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


@asks(settlement, changes=False, panel=BANK, formats=("json", "csv"))
async def balances(
    client: "AsyncClient",
    day: Annotated[str, typer.Argument(metavar="DAY", help="A settled trading day.")],
    format: str,
    differ: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ACCOUNT[/CUR]=AMOUNT",
            help="In CSV the bank has so much more of an account, or less: -1.00. It may name a currency: B/USD=1.00.",
        ),
    ] = None,
) -> "BaseModel | str":
    """What the bank should have at the end of a day; as CSV the file that `reconcile` reads."""
    if format == "csv":
        return _differing(await client.balances_file(day), differ or [])
    if differ:
        fail("invalid_option", "--differ is for the bank's file: say --csv, or -o FILE.csv")
    return await client.balances(day)


@asks(settlement, changes=False, panel=BANK, formats=("json", "csv"))
async def bookings(
    client: "AsyncClient",
    day: Annotated[str, typer.Argument(metavar="DAY", help="A settled trading day.")],
    format: str,
) -> "BaseModel | str":
    """What the bank has to book of a day: every movement of cash; as CSV the file that the bank gets."""
    if format == "csv":
        return await client.bookings_file(day)
    return await client.bookings(day)


def _differing(text: str, differ: "Sequence[str]") -> str:
    """A file of balances in which some accounts have more, or less, than they should."""
    from exchange.instruments import fen
    from settlement.bank_files import read_balances

    said = read_balances(text)
    lines = list(said.lines)
    for one in differ:
        named, _, amount = one.rpartition("=")
        names = [(line.account_id, f"{line.account_id}/{line.currency}") for line in lines]
        at = next((at for at, called in enumerate(names) if named in called), None)
        if at is None:
            fail("invalid_option", f"{one!r} is not like B=1.00 with an account that has a balance; see `balances`")
        lines[at] = msgspec.structs.replace(lines[at], fen=lines[at].fen + fen(amount))
    return msgspec.structs.replace(said, lines=tuple(lines)).text()


@asks(
    settlement,
    panel=BANK,
    formats=("json", "csv"),
    fails=lambda told: bool(told if isinstance(told, list) else told.breaks),
)
async def reconcile(
    client: "AsyncClient", file: BankFile, format: str, by: ByBank = "BANK"
) -> "BaseModel | Sequence[BaseModel]":
    """Compare the bank's balances at the end of a day with ours: what differs is listed, and is exit code 2."""
    found = await client.reconcile_bank_file(by, _read(file))
    return found.breaks if format == "csv" else found


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
    from settlement.bank import bank_by
    from settlement.bank_files import BankFileError, read_instructions
    from settlement.rules import Policy

    if policy not in ("accept", "reject", "partial"):
        fail("invalid_option", "--policy is accept, reject, or partial")
    if out.exists():
        fail("file_exists", f"{out} is there already; name another")
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
        text = file.read_bytes().decode()
    except OSError as error:
        fail("file_unreadable", f"{file}: {error.strerror}")
    except UnicodeDecodeError:
        fail("malformed_file", f"{file} is no text")
    if not text:
        fail("malformed_file", f"{file} is empty")
    return text


# ---------------------------------------------------------------- deals and failures


@asks(settlement, changes=False, panel=FAILURES)
async def deals(client: "AsyncClient") -> "Sequence[BaseModel]":
    """All deals with a later leg; one that is due has become a trade, and its batches say what came of it."""
    return await client.deals()


@asks(settlement, panel=FAILURES)
async def deal(
    client: "AsyncClient",
    deal: DealId,
    seller: AccountId,
    buyer: AccountId,
    unit: UnitCode,
    quantity: Quantity,
    price: Price,
    due: Annotated[str, typer.Argument(metavar="DUE", help="Day of the later leg, e.g. 2026-01-12.")],
    by: By,
    method: Annotated[
        Literal["negotiated", "block"], typer.Option(help="Whose price band and fees are its.")
    ] = "block",
) -> "BaseModel":
    """Register a deal that both parties have filed: it is delivered and paid on a later day."""
    terms = {"seller": seller, "buyer": buyer, "symbol": unit, "quantity": quantity, "price": price, "due": due}
    return await client.agree_delivery(by, deal, **terms, method=method)


@asks(settlement, panel=FAILURES)
async def cancel_deal(client: "AsyncClient", deal: DealId, by: By, reason: Because) -> "BaseModel":
    """Drop a deal that is not due yet, as both parties have filed."""
    return await client.cancel_delivery(by, deal, reason)


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
async def close_out(client: "AsyncClient", case: CaseNumber, by: By) -> "BaseModel":
    """After the deadline: its trades are dropped; who did not fail is compensated as far as reserve and house reach."""
    return await client.close_out_failure(by, case)


@asks(settlement, panel=FAILURES)
async def repay(client: "AsyncClient", account: AccountId, amount: Amount) -> "Sequence[BaseModel]":
    """Pay back what others paid for an account."""
    return await client.pay_recourse(account, amount)


@asks(settlement, panel=FAILURES)
async def sell_security(
    client: "AsyncClient",
    case: CaseNumber,
    by: By,
    to: Annotated[
        str | None, typer.Option(help="Account id of who has agreed to buy them; default: the house.")
    ] = None,
) -> "BaseModel":
    """Sell all units that the reserve holds for a case at the last closing price; what is over goes back in cash.

    They are what the covered trades brought, gross, also where the batch was netted.
    """
    return await client.dispose_security(by, case, to)


@asks(settlement, panel=FAILURES)
async def write_off(
    client: "AsyncClient", account: AccountId, amount: Amount, by: By, reason: Because
) -> "Sequence[BaseModel]":
    """Give up part of what an account owes for its failures."""
    return await client.write_off_recourse(by, account, amount, reason)


@asks(settlement, panel=FAILURES)
async def fund_reserve(client: "AsyncClient", amount: Amount, by: By) -> "BaseModel":
    """Move cash of the house to the risk reserve."""
    return await client.fund_reserve(by, amount)


@asks(settlement, panel=FAILURES)
async def draw_reserve(
    client: "AsyncClient",
    account: AccountId,
    amount: Amount,
    by: By,
    reason: Because,
    cause: Annotated[
        Literal["default", "technical_failure", "operating_error", "force_majeure"],
        typer.Option(help="One of those for which there is a reserve (art. 15)."),
    ],
) -> "BaseModel":
    """Pay an account from the risk reserve."""
    return await client.draw_reserve(by, amount, cause, account, reason)


@asks(settlement, changes=False, panel=FAILURES)
async def reserve(client: "AsyncClient") -> "BaseModel":
    """The risk reserve: what it holds, its rule, what is owed to it."""
    return await client.reserve()


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


# ---------------------------------------------------------------- trades that were wrong


@asks(settlement, panel=RIGHT)
async def bust(
    client: "AsyncClient",
    trades: Annotated[list[int], typer.Argument(metavar="TRADE...", help="Trade ids.")],
    by: By,
    reason: Because,
) -> "BaseModel":
    """Undo trades, settled or not: all of them or none."""
    return await client.bust_trades(by, trades, reason)


@asks(settlement, panel=RIGHT)
async def correct(
    client: "AsyncClient",
    trade: TradeId,
    by: By,
    reason: Because,
    price: Annotated[str | None, typer.Option(help="What it should have been, per t; left out: it stays.")] = None,
    quantity: Annotated[int | None, typer.Option(help="tCO2e; left out: it stays.")] = None,
) -> "BaseModel":
    """Give a trade, settled or not, another price or quantity."""
    from api.schemas import NewTradeTerms

    terms = NewTradeTerms.model_construct(trade_id=trade, price=price, quantity=quantity)  # the exchange judges it
    return await client.correct_trades(by, [terms], reason)


@asks(settlement, changes=False, panel=RIGHT)
async def corrections(
    client: "AsyncClient", trade: Annotated[int | None, typer.Option(help="Only of this trade.")] = None
) -> "Sequence[BaseModel]":
    """All trades that were put right."""
    return await client.corrections(trade)


# ---------------------------------------------------------------- currencies and fees


@asks(settlement, panel=CURRENCIES)
async def add_currency(client: "AsyncClient", currency: Code) -> "BaseModel":
    """Take cash of a further currency, and let instruments be quoted in it."""
    return await client.register_currency(currency)


@asks(settlement, panel=CURRENCIES)
async def set_rate(
    client: "AsyncClient",
    currency: Code,
    rate: Annotated[str, typer.Argument(help="What one of it is worth in the market's own, e.g. 7.1012.")],
    by: By,
) -> "BaseModel":
    """Set what a foreign currency is worth, from now on."""
    return await client.set_exchange_rate(by, currency, rate)


@asks(settlement, changes=False, panel=CURRENCIES)
async def rates(client: "AsyncClient", currency: Code) -> "Sequence[BaseModel]":
    """All rates of a currency; the last one is in force."""
    return await client.exchange_rates(currency)


@asks(settlement, panel=CURRENCIES)
async def convert(
    client: "AsyncClient",
    account: AccountId,
    amount: Annotated[str, typer.Argument(help="Of the currency that is given, e.g. 1000.00.")],
    given: Annotated[str, typer.Argument(metavar="FROM", help="Currency that is given, e.g. USD.")],
    taken: Annotated[str, typer.Argument(metavar="TO", help="Currency that is taken, e.g. CNY.")],
    bank: ByBank = "BANK",
) -> "BaseModel":
    """Convert settled, available cash at the rate in force, against a clearing bank."""
    return await client.convert_cash(account, bank, given, taken, amount)


@asks(settlement, changes=False, panel=CURRENCIES)
async def conversions(client: "AsyncClient", account: AccountId) -> "Sequence[BaseModel]":
    """All conversions of an account or a bank."""
    return await client.conversions(account)


@asks(settlement, panel=CURRENCIES)
async def rebates(
    client: "AsyncClient", year: Annotated[int, typer.Argument(help="A year that is over.")], by: By
) -> "BaseModel":
    """Pay back what the rules say of a year's fees."""
    return await client.pay_fee_rebates(by, year)
