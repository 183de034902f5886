"""Requests that may be sent again: `Idempotency-Key`, a name that the client gives to a POST.

The same key with the same request (method, target, content type, body) gets the first one's answer, whatever it said,
with the header `Idempotent-Replayed: true`. With another request: `idempotency_key_reused` (422). While the first is
under way: `request_in_progress` (409). Keys belong to who asks, by the id of its API key; without API keys all share
one space. A key is remembered until the trading day after the one it was used on is over, and for 24 hours at least.

What is asked is written durably into a file beside the journal before anything is done, the answer before it is sent:

    asked   | carried out: command journalled | answered | sent
          (1)                               (2)        (3)

Where the process may die, and what a repeat then finds:

(3) The answer, which is sent again.
(1) Nothing but the question. The request is carried out, for the first time.
(2) A command in the journal and no answer. Each command carries a token of its request into the journal, in the one
    durable write that makes it happen: a command off the trading path as a field that its transition does not know.
    On opening, the journal's end is searched for the tokens of the questions without an answer. Who is found there is
    never carried out again: if the exchange refused it, the repeat gets that refusal; else `answer_lost` (409) with the
    number of the command, since views of that moment can't be had any more.

An order has its own way: one without a client order id gets one that is made of the token, and the exchange knows an
order by its client order id until the day is over. So an order may be repeated after a crash, and gets its answer; if a
new day has begun meanwhile, or the matter is one that no journal holds (API keys), or the answer broke without a crash,
nobody can say: `request_outcome_unknown` (409), and it is not done again.

What is not kept: answers of 503, before which nothing has happened; secrets of API keys, which are shown once: a repeat
gets `answer_not_kept` (409). A question whose answer was lost in a crash stays one when its repeat gets a 503: what
came of the first is still to be said. Logging in takes no key.
"""

import asyncio
import hashlib
import re
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.bodies import body_of, given
from api.problems import Problem
from exchange.commands import Command, OrderBatch
from exchange.events import CommandRefused
from exchange.journal import Batch
from exchange.reasons import Refused
from exchange.rows import CommandKind
from exchange.state import Exchange
from exchange.transition import Outcome

HEADER = b"idempotency-key"
REPLAYED = b"idempotent-replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_WITHOUT = frozenset({"/v1/session"})
_SECRET = re.compile(r"/v1/keys(/[^/]+/rotation)?")
_KEPT_NS = 24 * 3_600_000_000_000
_MARK, _TOKEN_LENGTH = b',"request":"', 32
_Given = ParamSpec("_Given")
_Got = TypeVar("_Got")


class Mark:
    """The request in whose name commands are handed in.

    `day`: the trading day after which its commands must not be taken any more, as its ordinal; 0: they may be.
    """

    def __init__(self, token: str, day: int = 0) -> None:
        self.token = token
        self.day = day
        self.orders = 0


_asking: ContextVar[Mark | None] = ContextVar("asking", default=None)


def last_day() -> int:
    """The trading day on which alone what is handed in now may be taken; 0: any."""
    mark = _asking.get()
    return mark.day if mark else 0


def outcome_unknown() -> Problem:
    """Nobody can say whether a request was carried out."""
    said = "Whether the request was carried out can't be said; it is not done again. Look, and use another key."
    return Problem(409, "request_outcome_unknown", said)


def marked(command: Command) -> Command:
    """A command with the token of the request that hands it in, if that bears a key."""
    mark = _asking.get()
    if mark is None:
        return command
    if command.row.kind == CommandKind.CONTROL:
        detail = b"".join((command.detail[:-1], _MARK, mark.token.encode(), b'"}'))
        return msgspec.structs.replace(command, detail=detail)
    if command.row.kind == CommandKind.PLACE_ORDER and not command.detail:
        mark.orders += 1
        return msgspec.structs.replace(command, detail=f"r-{mark.token}-{mark.orders}".encode())
    return command


def marked_batch(batch: OrderBatch) -> OrderBatch:
    """A batch of orders likewise: those without a client order id get one of the token and their place."""
    mark = _asking.get()
    if mark is None:
        return batch
    details = [detail or f"r-{mark.token}-{place}".encode() for place, detail in enumerate(batch.details, 1)]
    return msgspec.structs.replace(batch, details=details)


def token_in(detail: bytes) -> str:
    """The token that the detail of a CONTROL row carries; empty if it has none."""
    start = len(detail) - _TOKEN_LENGTH - 2
    return detail[start:-2].decode() if detail[max(0, start - len(_MARK)) : max(0, start)] == _MARK else ""


# ---------------------------------------------------------------- what is remembered


class Asked(NamedTuple):
    """A request under a key, before anything is done."""

    token: str  # of who asks and the key
    digest: bytes  # of the request
    path: str
    sequence: int  # of the last command then
    day: int  # the trading day then, as its ordinal; 0 before the first


class Answered(NamedTuple):
    """What was answered; without a body if that is not kept."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | None


class Found(NamedTuple):
    """What the journal says of a request without an answer: its command, and the refusal if it was refused."""

    sequence: int
    refused: Refused | None


class RequestFile:
    """Questions and answers under keys, in one SQLite file that one process uses; without a path in memory.

    All reading and writing takes place in a thread of its own; sqlite3.Error if it fails.
    """

    def __init__(self, path: Path | None = None, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS request (token TEXT PRIMARY KEY, digest BLOB NOT NULL, path TEXT NOT NULL,"
            " sequence INTEGER NOT NULL, day INTEGER NOT NULL, at_ns INTEGER NOT NULL,"
            " status INTEGER, headers BLOB, body BLOB) STRICT"
        )
        unanswered = self._db.execute("SELECT token, sequence FROM request WHERE status IS NULL")
        self._open: dict[str, int] = dict(unanswered)  # with the last command when they were asked
        self.found: dict[str, Found] = {}  # of those, the ones in the journal
        self.lost: set[str] = set()  # whose answer broke in this process
        self._swept = -1
        self._thread = ThreadPoolExecutor(1, "requests")

    def note(self, batch: Batch, outcome: Outcome) -> None:
        """Look for open questions among commands that are read from the journal."""
        if not self._open or int(batch.rows[-1].sequence) <= min(self._open.values()):
            return
        kinds = (batch.rows["kind"] == CommandKind.CONTROL).tolist()
        for sequence, is_control, detail in zip(batch.rows["sequence"].tolist(), kinds, batch.details, strict=True):
            token = token_in(detail) if is_control else ""
            if token in self._open and sequence > self._open[token]:
                event = outcome.events.get(sequence)
                refused = Refused(event.reason, event.detail) if isinstance(event, CommandRefused) else None
                self.found[token] = Found(sequence, refused)

    def read_to(self, sequence: int) -> None:
        """The journal ends here. A file that was asked something later is another journal's: it begins anew."""
        (last,) = self._db.execute("SELECT max(sequence) FROM request").fetchone()
        if last is not None and last > sequence:
            self._db.execute("DELETE FROM request")
            self.found.clear()
        self._open.clear()

    async def ask(self, asked: Asked) -> tuple[Asked, Answered | None] | None:
        """Write down what is asked; or what was asked under the same token before, and what was answered."""
        return await self._in_thread(self._ask, asked)

    async def answer(self, token: str, answered: Answered) -> None:
        """Write down an answer."""
        await self._in_thread(self._answer, token, answered)

    async def forget(self, token: str) -> None:
        """Nothing has happened: what was asked may be asked anew."""
        await self._in_thread(self._forget, token)

    def close(self) -> None:
        self._thread.shutdown()
        self._db.close()

    async def _in_thread(self, work: Callable[_Given, _Got], *given: _Given.args, **named: _Given.kwargs) -> _Got:
        return await asyncio.wrap_future(self._thread.submit(work, *given, **named))

    def _ask(self, asked: Asked) -> tuple[Asked, Answered | None] | None:
        if asked.day != self._swept:
            self._sweep(asked.day)
        row = self._db.execute(
            "SELECT token, digest, path, sequence, day, status, headers, body FROM request WHERE token = ?",
            (asked.token,),
        ).fetchone()
        if row is None:
            self._db.execute(
                "INSERT INTO request (token, digest, path, sequence, day, at_ns) VALUES (?, ?, ?, ?, ?, ?)",
                (*asked, self._now_ns()),
            )
            return None
        *first, status, headers, body = row
        if status is None:
            return Asked(*first), None
        return Asked(*first), Answered(status, msgspec.msgpack.decode(headers, type=list[tuple[bytes, bytes]]), body)

    def _answer(self, token: str, answered: Answered) -> None:
        self._db.execute(
            "UPDATE request SET status = ?, headers = ?, body = ? WHERE token = ?",
            (answered.status, msgspec.msgpack.encode(answered.headers), answered.body, token),
        )

    def _forget(self, token: str) -> None:
        self._db.execute("DELETE FROM request WHERE token = ?", (token,))

    def _sweep(self, day: int) -> None:
        """Drop what is older than the day before on which somebody asked, and than 24 hours."""
        self._db.execute(
            "DELETE FROM request WHERE at_ns < ? AND day < (SELECT max(day) FROM request WHERE day < ?)",
            (self._now_ns() - _KEPT_NS, day),
        )
        self._swept = day


# ---------------------------------------------------------------- on the wire


class Idempotency:
    """The application that stands before the other, behind the guard."""

    def __init__(self, app: ASGIApp, file: RequestFile, exchange: Exchange) -> None:
        self.app = app
        self.file = file
        self.exchange = exchange
        self.under_way: dict[str, bytes] = {}  # digests of requests by their tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key_of(scope)
        if key is None:
            await self.app(scope, receive, send)
            return
        try:
            await self._under(key, scope, receive, send)
        except Problem as problem:
            await problem.response()(scope, receive, send)

    async def _under(self, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry out a request under a key, or say what it was answered. Problem if neither can be."""
        if not _KEY.fullmatch(key):
            raise Problem(422, "idempotency_key_invalid", "A key is 1 to 200 visible ASCII characters without spaces.")
        body = await body_of(receive, scope)
        asked = Asked(_token(scope, key), _digest(scope, body), scope["path"], self.exchange.sequence, self._day)
        if asked.token in self.under_way:
            _require_same(asked.digest, self.under_way[asked.token])
            said = "The first request under this key is still under way; ask again."
            raise Problem(409, "request_in_progress", said, headers={"Retry-After": "1"})
        self.under_way[asked.token] = asked.digest
        try:
            answered, is_replay = await self._answered(asked, scope, body, receive)
        finally:
            del self.under_way[asked.token]
        await _send(answered, is_replay, send)

    @property
    def _day(self) -> int:
        return self.exchange.date.toordinal() if self.exchange.date else 0

    async def _answered(self, asked: Asked, scope: Scope, body: bytes, receive: Receive) -> tuple[Answered, bool]:
        """The answer to a request, and whether it is one that was given before."""
        try:
            before = await self.file.ask(asked)
        except sqlite3.Error as error:
            said = "The request could not be written down, so nothing has been done."
            raise Problem(503, "requests_unwritable", said, headers={"Retry-After": "1"}) from error
        if before is None:
            return await self._carried_out(asked, scope, body, receive), False
        first, answered = before
        _require_same(asked.digest, first.digest)
        if answered is None:
            return await self._after_crash(first, scope, body, receive)
        if answered.body is None:
            said = "The request was carried out; its answer had a secret, which is shown once."
            raise Problem(409, "answer_not_kept", said)
        return answered, True

    async def _after_crash(self, first: Asked, scope: Scope, body: bytes, receive: Receive) -> tuple[Answered, bool]:
        """What to say to the repeat of a request that was asked and not answered: see the module's head."""
        if found := self.file.found.get(first.token):
            if found.refused is None:
                said = f"The request was carried out, as command {found.sequence}; its answer was lost in a crash."
                raise Problem(409, "answer_lost", said)
            response = Problem.of(found.refused).response()
            return Answered(response.status_code, response.raw_headers, bytes(response.body)), True
        if first.token in self.file.lost or not self._may_be_done(first):
            raise outcome_unknown()
        return await self._carried_out(first, scope, body, receive, is_first=False), False

    def _may_be_done(self, first: Asked) -> bool:
        """Whether a request that is not in the journal under its token has not been done, or is known if it has."""
        if first.path.startswith("/v1/orders"):
            return first.day == self._day
        return not first.path.startswith("/v1/keys")

    async def _carried_out(
        self, asked: Asked, scope: Scope, body: bytes, receive: Receive, is_first: bool = True
    ) -> Answered:
        """Let the application answer; its answer is written down before anybody gets it.

        Not `is_first`: it was asked before a crash, and may have been carried out then.
        """
        status, headers, parts = 500, list[tuple[bytes, bytes]](), list[bytes]()

        async def kept(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], [(bytes(name), bytes(value)) for name, value in message["headers"]]
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        # An order is known to the exchange on its day only, and that may end while it waits in the inbox.
        is_of_today = not is_first and asked.path.startswith("/v1/orders")
        mark = _asking.set(Mark(asked.token, asked.day if is_of_today else 0))
        try:
            await self.app(scope, given(body, receive), kept)
        except BaseException:
            self.file.lost.add(asked.token)
            raise
        finally:
            _asking.reset(mark)
        answered = Answered(status, headers, b"".join(parts))
        await self._keep(asked, answered, is_first)
        return answered

    async def _keep(self, asked: Asked, answered: Answered, is_first: bool) -> None:
        """Write down an answer, if it is one; what can't be written down is no reason not to give it."""
        try:
            if answered.status == 503:
                if is_first:
                    await self.file.forget(asked.token)
            elif answered.status >= 500:
                self.file.lost.add(asked.token)
            elif answered.status < 300 and _SECRET.fullmatch(asked.path):
                await self.file.answer(asked.token, answered._replace(body=None))
            else:
                await self.file.answer(asked.token, answered)
        except sqlite3.Error:
            self.file.lost.add(asked.token)


def _key_of(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] in _WITHOUT:
        return None
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == HEADER), None)


def _token(scope: Scope, key: str) -> str:
    who = scope["state"]["caller"].key
    named = f"{who.key_id if who else ''}\n{key}"
    return hashlib.sha256(named.encode()).hexdigest()[:_TOKEN_LENGTH]


def _digest(scope: Scope, body: bytes) -> bytes:
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    target = scope["path"].encode(), scope.get("query_string", b""), kind
    return hashlib.sha256(b"\n".join((*target, body))).digest()


def _require_same(digest: bytes, first: bytes) -> None:
    if digest != first:
        raise Problem(422, "idempotency_key_reused", "The key stands for another request; use a new one.")


async def _send(answered: Answered, is_replay: bool, send: Send) -> None:
    headers = dict(answered.headers) | ({REPLAYED: b"true"} if is_replay else {})
    await send({"type": "http.response.start", "status": answered.status, "headers": [*headers.items()]})
    await send({"type": "http.response.body", "body": answered.body or b""})
