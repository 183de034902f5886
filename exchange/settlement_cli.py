"""carbonex settlement: what the clearing house has done, on a running exchange."""

from typing import TYPE_CHECKING, Annotated

import typer

from exchange.registry_cli import AccountId, asks

if TYPE_CHECKING:
    from pydantic import BaseModel

    from api.client import AsyncClient

settlement = typer.Typer(help="The clearing house: statements.", no_args_is_help=True)

Day = Annotated[
    str, typer.Argument(metavar="DAY", help="Trading day, e.g. 2026-01-05, or number of a settlement batch.")
]


@asks(settlement, changes=False)
async def statement(client: "AsyncClient", account: AccountId, day: Day, format: str) -> "BaseModel | str":
    """An account's statement of a day: opening, every movement with its cause, closing."""
    match format:
        case "csv" | "html":
            return await client.statement_file(account, day, format)
        case _:
            return await client.statement(account, day)
