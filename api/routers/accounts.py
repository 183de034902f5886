"""Accounts: open, fund, hold, move units, serial numbers."""

from fastapi import APIRouter

from api import views
from api.gateway import TheGateway
from api.paging import ThePage
from api.problems import RESPONSES
from api.schemas import (
    AccountView,
    CashMovement,
    Identifier,
    NewAccount,
    NewIssuance,
    NewTransfer,
    SerialBlock,
)
from exchange.commands import DepositCash, IssueUnits, OpenAccount, TransferUnits, WithdrawCash
from exchange.instruments import fen

router = APIRouter(prefix="/v1", tags=["accounts"], responses=RESPONSES)


@router.post("/accounts", status_code=201)
async def open_account(account: NewAccount, gateway: TheGateway) -> AccountView:
    """Open a participant's account: cash, trading side and registry side in one."""
    owner = account.beneficial_owner or ""
    await gateway.inbox.ask(
        OpenAccount(account.account_id, account.name, account.class_of, owner, account.region, account.approved)
    )
    return views.account_view(gateway, gateway.account(account.account_id))


@router.get("/accounts")
async def list_accounts(gateway: TheGateway, page: ThePage) -> list[AccountView]:
    """All accounts with their holdings, oldest first."""
    found = page.of(gateway.exchange.accounts, lambda account: account.number)
    return [views.account_view(gateway, account) for account in found]


@router.get("/accounts/{account_id}")
async def show_account(account_id: Identifier, gateway: TheGateway) -> AccountView:
    """One account with its holdings."""
    return views.account_view(gateway, gateway.account(account_id))


@router.post("/accounts/{account_id}/deposits", status_code=201)
async def deposit(account_id: Identifier, movement: CashMovement, gateway: TheGateway) -> AccountView:
    """Pay cash in."""
    await gateway.inbox.ask(DepositCash(account_id, fen(movement.amount), movement.currency or ""))
    return views.account_view(gateway, gateway.account(account_id))


@router.post("/accounts/{account_id}/withdrawals", status_code=201)
async def withdraw(account_id: Identifier, movement: CashMovement, gateway: TheGateway) -> AccountView:
    """Pay cash out: only what is available and settled."""
    await gateway.inbox.ask(WithdrawCash(account_id, fen(movement.amount), movement.currency or ""))
    return views.account_view(gateway, gateway.account(account_id))


@router.post("/accounts/{account_id}/transfers", status_code=201)
async def transfer(account_id: Identifier, move: NewTransfer, gateway: TheGateway) -> AccountView:
    """Move units between the registry side and the trading side of an account."""
    await gateway.inbox.ask(TransferUnits(account_id, move.unit, move.quantity, move.to == "trading"))
    return views.account_view(gateway, gateway.account(account_id))


@router.post("/issuances", status_code=201)
async def issue(issuance: NewIssuance, gateway: TheGateway) -> AccountView:
    """Issue units to the registry side of an account; they get the next serial numbers of their kind."""
    await gateway.inbox.ask(IssueUnits(issuance.account_id, issuance.unit, issuance.quantity, issuance.origin))
    return views.account_view(gateway, gateway.account(issuance.account_id))


@router.get("/accounts/{account_id}/serials")
async def serials(account_id: Identifier, gateway: TheGateway, page: ThePage) -> list[SerialBlock]:
    """The serial blocks to which an account has title, by unit, oldest first."""
    by_code = gateway.exchange.units.by_code
    found = views.serial_blocks(gateway, gateway.account(account_id))
    return page.of(found, lambda block: (by_code[block.unit].number, block.last))
