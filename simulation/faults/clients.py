"""Who uses the exchange: participants that ask again until they know, a subscriber that comes again."""

import asyncio
import hashlib
import json
from random import Random
from typing import TYPE_CHECKING, Any

from simulation.faults.auditor import Intent, parsed
from simulation.faults.model import require
from simulation.faults.plan import Fault

if TYPE_CHECKING:
    from simulation.faults.world import World

PAUSE_S = 0.15  # between two actions of a participant
TRIES = 40
MIDDLE, SPREAD = 4_000, 12  # fen a tonne

_JSON = (b"content-type", b"application/json")
_NONSENSE = (
    b"", b"{", b"[]", b"null", b'{"quantity": 1e400}', b"\xff\xfe", b'{"account_id": "P-1"}',
    b'{"account_id": "P-1", "symbol": "X", "side": "buy", "price": "-1", "quantity": 1}',
    b'{"account_id": "P-1", "symbol": "HBEA-2025", "side": "up", "price": "40.00", "quantity": 1}',
    b'{"account_id": "P-1", "symbol": "HBEA-2025", "side": "buy", "price": "40.001", "quantity": 1}',
    b'{"account_id": "P-1", "symbol": "HBEA-2025", "side": "buy", "price": "40.00", "quantity": 0}',
    b'{"account_id": "P-1", "symbol": "HBEA-2025", "side": "buy", "price": "40.00", "quantity": 99999999999999999999}',
    b'{"amount": "-5.00"}', b'{"amount": "1e3"}', b'{"amount": "0.001"}', b'{"amount": 5}',
)  # fmt: skip


def token_of(key: str) -> str:
    """What the journal knows a request under a key by, while the exchange has no API keys."""
    return hashlib.sha256(f"\n{key}".encode()).hexdigest()[:32]


class Participant:
    """Places orders and takes them out, pays in and takes out, and sends nonsense."""

    def __init__(self, world: "World", number: int) -> None:
        self.world, self.number = world, number
        self.account_id = f"P-{number}"
        self.random: Random = world.plan.source(self.account_id)
        self.order_ids: list[int] = []
        self.made = 0

    async def run(self) -> None:
        """Act as long as there are steps."""
        while self.world.take_step():
            await self.act()
            await asyncio.sleep(self.random.expovariate(1 / PAUSE_S))

    async def act(self) -> None:
        self.made += 1
        if self.world.plan.strikes(Fault.MALFORMED):
            await self.insist(self.nonsense())
        elif self.order_ids and self.random.random() < 0.15:
            await self.insist(self.cancel())
        elif self.random.random() < 0.12:
            await self.insist(self.movement())
        else:
            await self.insist(self.order())

    async def insist(self, intent: Intent) -> None:
        """Ask until there is an answer."""
        world = self.world
        world.auditor.intents.append(intent)
        day = world.day
        for attempt in range(TRIES):
            if intent.what == "place" and not intent.is_keyed and world.day != day:
                return  # the exchange would not know it again: without a key an order may be repeated on its day only
            reply = await world.network.ask(intent, patience_s=0.5 + 0.25 * attempt)
            if reply is not None:
                status, said = reply[0], parsed(reply[1])
                if world.auditor.heard(intent, status, said):
                    if intent.what == "place" and status < 300:
                        self.order_ids.append(said["order_id"])
                    return
                await asyncio.sleep(self.random.uniform(0.05, 0.3))

    # ------------------------------------------------------------ what there is to want

    def order(self) -> Intent:
        draw = self.random
        body: dict[str, Any] = {
            "account_id": self.account_id,
            "symbol": self.world.symbol,
            "side": draw.choice(("buy", "sell")),
            "price": f"{(MIDDLE + draw.randint(-SPREAD, SPREAD)) / 100:.2f}",
            "quantity": draw.choice((1, 5, draw.randint(1, 60), draw.randint(1, 4_000))),
            "time_in_force": draw.choice(("DAY", "DAY", "DAY", "IOC")),
        }
        named, is_keyed = f"{self.account_id}-{self.made}", draw.random() < 0.6
        key = f"order {named}".replace(" ", "-")
        name = f"{self.world.numbers[self.account_id]} r-{token_of(key)}-1"
        if not is_keyed or draw.random() < 0.3:
            body["client_order_id"] = named
            name = f"{self.world.numbers[self.account_id]} {named}"
        made = self._post(name, "place", "/v1/orders", body, key if is_keyed else "")
        made.quantity = body["quantity"]
        return made

    def movement(self) -> Intent:
        what = self.random.choice(("deposit", "deposit", "withdraw"))
        amount = self.random.randint(1, 2_000_000 if what == "deposit" else 30_000_000)
        key = f"{what}-{self.account_id}-{self.made}"
        path = f"/v1/accounts/{self.account_id}/{'deposits' if what == 'deposit' else 'withdrawals'}"
        return self._post(token_of(key), what, path, {"amount": f"{amount // 100}.{amount % 100:02}"}, key)

    def nonsense(self) -> Intent:
        key = f"nonsense-{self.account_id}-{self.made}"
        path = self.random.choice(("/v1/orders", f"/v1/accounts/{self.account_id}/deposits"))
        headers = [_JSON, (b"idempotency-key", key.encode())]
        return Intent(token_of(key), "malformed", "POST", path, self.random.choice(_NONSENSE), headers, is_keyed=True)

    def cancel(self) -> Intent:
        order_id = self.random.choice(self.order_ids[-5:])
        path = f"/v1/orders/{order_id}?account_id={self.account_id}"
        return Intent(f"cancel {order_id}", "cancel", "DELETE", path, b"", [])

    def _post(self, name: str, what: str, path: str, body: dict[str, Any], key: str) -> Intent:
        headers = [_JSON, *([(b"idempotency-key", key.encode())] if key else [])]
        return Intent(name, what, "POST", path, json.dumps(body).encode(), headers, is_keyed=bool(key))


class Listener:
    """Hears of trades over the stream, at times slowly, and comes again when the exchange has gone."""

    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.name = f"listener {number}"
        self.last_trade: int | None = None  # since the connection began
        self.last_seq: int | None = None
        self.is_slow = False

    async def run(self) -> None:
        while True:
            server = await self.world.serving()
            self.last_trade = self.last_seq = None
            await server.stream(self._hear)
            self.is_slow = False
            await asyncio.sleep(0.1)

    async def _hear(self, frame: str) -> None:
        """Take a frame; whoever is slow lets the exchange wait with the next one."""
        plan = self.world.plan
        if plan.strikes(Fault.SLOW_SUBSCRIBER):
            self.is_slow = True
            await asyncio.sleep(plan.amount(Fault.SLOW_SUBSCRIBER, 0.1, 6) ** 2)
            self.is_slow = False
        for message in json.loads(frame):
            self._read(message)

    def _read(self, message: Any) -> None:
        match message["type"]:
            case "subscribed":
                self.last_seq = message["seq"]
            case "traded":
                require(message["prev_seq"] == self.last_seq, f"{self.name}: {message} follows {self.last_seq}")
                self.last_seq = message["seq"]
                number = message["trade_id"]
                require(self.last_trade in (None, number - 1), f"trade {number} was told behind {self.last_trade}")
                self.last_trade = number
                self.world.auditor.traded(message)
            case "heartbeat":
                places = [one["last_seq"] for one in message["channels"]]
                require(
                    places in ([], [self.last_seq]), f"{self.name}: all was told up to {places}, not {self.last_seq}"
                )

    def finished(self) -> None:
        """All is quiet: the newest trade has been told."""
        trades = len(self.world.auditor.model.trades)
        require(self.last_trade in (None, trades), f"{self.name} has heard up to {self.last_trade} of {trades}")
