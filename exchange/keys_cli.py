"""carbonex keys: who may ask the exchange. Works on the file of keys, whether the exchange runs or not."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from exchange.console import fail, say

if TYPE_CHECKING:
    from api.access.keys import Given, KeyFile

keys = typer.Typer(
    help="Keys: who may ask, in whose name. From the first key on nobody may without.", no_args_is_help=True
)

File = Annotated[Path, typer.Option("--file", help="Where the keys are kept: beside the journal, made if missing.")]
DEFAULT_FILE = Path("var/exchange.journal.keys")
KeyId = Annotated[str, typer.Argument(metavar="KEY", help="Id of the key.")]
PublicKey = Annotated[
    str, typer.Option(help="Ed25519 public key, 32 bytes in base64; left out: HMAC-SHA256, with a secret made here.")
]


@contextmanager
def _opened(path: Path, must_exist: bool = True) -> Iterator["KeyFile"]:
    from api.access.keys import KeyFile, KeyProblem
    from api.timers import real_now_ns

    if must_exist and not path.exists():
        fail("no_key_file", f"{path} does not exist; `carbonex keys create` makes it")
    try:
        file = KeyFile(path, real_now_ns)
        try:
            yield file
        finally:
            file.close()
    except KeyProblem as error:
        fail(error.code, error.detail)


@keys.command("create")
def create(
    role: Annotated[
        str,
        typer.Argument(
            help="trader, compliance_officer, registry_admin, clearing_officer, bank, operator, auditor or researcher."
        ),
    ],
    account: Annotated[str, typer.Option(help="Account in whose name it acts; none for auditor and researcher.")] = "",
    key: Annotated[str, typer.Option(help="Id; left out, one is made.")] = "",
    public_key: PublicKey = "",
    requests_per_second: Annotated[int, typer.Option(min=1, help="Rate that it may ask at.")] = 1000,
    open_orders: Annotated[int | None, typer.Option(min=1, help="Orders of its account that may be open.")] = None,
    order_quantity: Annotated[int | None, typer.Option(min=1, help="Largest order, t.")] = None,
    order_notional: Annotated[
        str | None, typer.Option(help="Largest price x quantity of an order, e.g. 500000.00.")
    ] = None,
    file: File = DEFAULT_FILE,
) -> None:
    """Make a key and print its secret, once."""
    from api.access.keys import Limits, Role
    from exchange.instruments import fen

    if role not in [*Role]:
        fail("invalid_role", f"{role!r} is none of {', '.join(Role)}")
    try:
        notional = fen(order_notional) if order_notional else None
    except ValueError as error:
        fail("invalid_amount", str(error))
    limits = Limits(requests_per_second, 2 * requests_per_second, open_orders, order_quantity, notional)
    with _opened(file, must_exist=False) as opened:
        _print(opened.create(Role(role), account, key, public_key, limits))


@keys.command("list")
def list_keys(file: File = DEFAULT_FILE) -> None:
    """All keys, revoked ones too."""
    with _opened(file) as opened:
        shown = Table(Column("key", overflow="fold"), "role", "account", "kind", "version", "made", "revoked")
        for key in opened.all():
            shown.add_row(
                key.key_id, key.role, key.account_id or "-", "ed25519" if key.is_ed25519 else "hmac", str(key.version),
                _at(key.created_ns), "-" if key.revoked_ns is None else _at(key.revoked_ns),
            )  # fmt: skip
        Console().print(shown)


@keys.command("rotate")
def rotate(
    key: KeyId,
    grace: Annotated[int, typer.Option(min=0, help="Seconds for which the secret before stays good.")] = 0,
    public_key: PublicKey = "",
    file: File = DEFAULT_FILE,
) -> None:
    """Give a key a new secret and print it, once."""
    with _opened(file) as opened:
        _print(opened.rotate(key, grace, public_key))


@keys.command("revoke")
def revoke(key: KeyId, file: File = DEFAULT_FILE) -> None:
    """End a key, at once and for good."""
    with _opened(file) as opened:
        opened.revoke(key)
    say(f"{key} is revoked")


def _print(given: "Given") -> None:
    say(f"key {given.key.key_id}, version {given.key.version}, {given.key.role} of {given.key.account_id or 'nobody'}")
    if given.secret:
        say(f"secret {given.secret}")
        say("keep it: it is not shown again")


def _at(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 10**9, UTC).isoformat(" ")
