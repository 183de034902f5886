"""The orders a robot has sent, kept in a file of its own: each on disk under its client order id before it is sent.

    kept | sent | taken by the exchange | answered | noted
       (1)    (2)                     (3)        (4)

A robot that dies finds its orders here when it starts again. One that is noted has its answer: the number the exchange
gave it, or why it was refused. One that is not may be anywhere from (1) to (4), and only the exchange can tell:
`Client.recover` asks for it by its client order id. Placing an order under an id that is kept never makes a second one:
one that was taken is shown as it is now, one that was refused is refused again, one without an answer is looked up at
the exchange, and only if that does not know it sent (once more) under the same id.
"""

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple, Self

from api.calls import ApiError

_TABLE = """
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY, account_id TEXT NOT NULL, client_order_id TEXT NOT NULL, asked TEXT NOT NULL,
    order_id INTEGER, status INTEGER, code TEXT, detail TEXT, UNIQUE (account_id, client_order_id)
)"""
_FIELDS = "account_id, client_order_id, asked, order_id, status, code, detail"


def derived_id(*names: object) -> str:
    """A client order id made of what you name: the same names, the same id.

    Name what makes the order one of a kind, the trading day among it: `derived_id("quoter", day, "sell", 17)`.
    """
    return "d-" + hashlib.sha256(json.dumps([str(name) for name in names]).encode()).hexdigest()[:32]


class AlreadySent(Exception):
    """Another order has been sent under this client order id."""


class Kept(NamedTuple):
    """An order in the outbox."""

    account_id: str
    client_order_id: str
    asked: dict[str, Any]  # its fields, as sent
    order_id: int | None  # once the exchange has taken it
    refusal: ApiError | None  # once the exchange has refused it

    @property
    def is_answered(self) -> bool:
        return self.order_id is not None or self.refusal is not None


class Outbox:
    """A file of orders. It belongs to one robot and one thread, and writing waits for the disk (milliseconds)."""

    def __init__(self, path: str | Path) -> None:
        self._rows = sqlite3.connect(path, isolation_level=None)
        self._rows.execute("PRAGMA synchronous = FULL")
        self._rows.execute(_TABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._rows.close()

    def keep(self, orders: list[dict[str, Any]]) -> None:
        """Have orders on disk, all or none. AlreadySent if the id of one is taken."""
        rows = [(order["account_id"], order["client_order_id"], _text(order)) for order in orders]
        self._rows.execute("BEGIN IMMEDIATE")
        try:
            self._rows.executemany("INSERT INTO orders (account_id, client_order_id, asked) VALUES (?, ?, ?)", rows)
        except sqlite3.IntegrityError:
            self._rows.execute("ROLLBACK")
            raise AlreadySent(", ".join(row[1] for row in rows)) from None
        except BaseException:
            self._rows.execute("ROLLBACK")
            raise
        self._rows.execute("COMMIT")

    def find(self, account_id: str, client_order_id: str) -> Kept | None:
        sql = f"SELECT {_FIELDS} FROM orders WHERE account_id = ? AND client_order_id = ?"
        row = self._rows.execute(sql, (account_id, client_order_id)).fetchone()
        return None if row is None else _kept(row)

    def sent_before(self, order: dict[str, Any]) -> Kept | None:
        """This order, if it is kept. AlreadySent if another one is kept under its id."""
        kept = self.find(order["account_id"], order["client_order_id"])
        if kept is not None and _text(kept.asked) != _text(order):
            raise AlreadySent(order["client_order_id"])
        return kept

    def note_taken(self, account_id: str, client_order_id: str, order_id: int) -> None:
        sql = "UPDATE orders SET order_id = ? WHERE account_id = ? AND client_order_id = ?"
        self._rows.execute(sql, (order_id, account_id, client_order_id))

    def note_refused(self, account_id: str, client_order_id: str, refusal: ApiError) -> None:
        sql = "UPDATE orders SET status = ?, code = ?, detail = ? WHERE account_id = ? AND client_order_id = ?"
        said = (refusal.status, refusal.code, refusal.detail)
        self._rows.execute(sql, (*said, account_id, client_order_id))

    def unanswered(self) -> list[Kept]:
        """What was perhaps sent, and perhaps taken; oldest first."""
        sql = f"SELECT {_FIELDS} FROM orders WHERE order_id IS NULL AND code IS NULL ORDER BY number"
        return [_kept(row) for row in self._rows.execute(sql)]

    def orders(self) -> list[Kept]:
        """All, oldest first."""
        return [_kept(row) for row in self._rows.execute(f"SELECT {_FIELDS} FROM orders ORDER BY number")]


def _text(order: dict[str, Any]) -> str:
    return json.dumps(order, sort_keys=True)


def _kept(row: tuple[Any, ...]) -> Kept:
    account_id, client_order_id, asked, order_id, status, code, detail = row
    refusal = None if code is None else ApiError(status, code, detail)
    return Kept(account_id, client_order_id, json.loads(asked), order_id, refusal)
