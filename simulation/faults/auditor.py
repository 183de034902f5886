"""Who looks at everything and believes nobody: the plain market beside the exchange, and what all were told.

It reads the journal's bytes from the disk itself and does what they say in :mod:`simulation.faults.model`. Before an
answer leaves, its command must be on the disk and have done what the model says. After a restart the exchange must
stand where the model does. Nobody may be told anything else, and no request may have been carried out twice.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from api.gateway import Gateway
from api.inbox import Passed
from exchange import invariants
from exchange.events import CommandRefused
from exchange.reasons import Reason
from exchange.rows import EventKind, told
from exchange.state import Exchange
from matching.ladder import orders_of, price_at
from registry import holdings
from registry.holdings import CASH
from simulation.faults.disk import Disk
from simulation.faults.model import Model, Order, Predicted, Wrong, require

CHECK_EVERY = 16  # groups between two looks at the whole exchange
_UNSURE = frozenset({"request_in_progress", "answer_lost", "request_outcome_unknown"})
_REFUSALS = {EventKind.REFUSED, EventKind.CANCEL_REFUSED}


@dataclass
class Intent:
    """Something that a client wants once, however often it asks."""

    name: str  # by which the journal knows it
    what: str  # place, deposit, withdraw, cancel or malformed
    method: str
    path: str
    body: bytes
    headers: list[tuple[bytes, bytes]]
    is_keyed: bool = False
    quantity: int = 0
    answers: list[tuple[int, Any]] = field(default_factory=list)  # those that were heard


class Auditor:
    """Raises :class:`Wrong` as soon as something is."""

    def __init__(self, disk: Disk, day_lives: int, nets_cash: bool, symbol: str) -> None:
        self.model = Model(day_lives, nets_cash)
        self.symbol = symbol
        self._disk = disk
        self._end, self._chain = 0, bytes(32)
        self._groups = 0
        self.intents: list[Intent] = []
        self.told_trades = 0

    # ------------------------------------------------------------ what the exchange does

    def _from_disk(self) -> list[tuple[bytes, list[Predicted]]]:
        """What has come to the disk since the last time, and what must have come of it."""
        found = []
        for end, chain, block in self._disk.records(self._end, self._chain):
            self._end, self._chain = end, chain
            found.append((block, self.model.apply(block)))
        return found

    def opened(self, gateway: Gateway) -> None:
        """An exchange was opened from the disk, which the crash may have left one more block on."""
        self._from_disk()
        self.stands(gateway.exchange)

    def passed(self, gateway: Gateway, passed: Passed) -> None:
        """A group has been applied, and its answers are about to go."""
        if passed.batch.rows.size:
            fresh = self._from_disk()
            require(len(fresh) == 1, f"{len(fresh)} blocks came to the disk before one was answered")
            block, predicted = fresh[0]
            require(block == passed.batch.encode(), "another block is on the disk than the one that is answered")
            self._compare(predicted, passed)
        self._groups += 1
        if self._groups % CHECK_EVERY == 0:
            self.stands(gateway.exchange)

    def _compare(self, predicted: Sequence[Predicted], passed: Passed) -> None:
        rows = told(passed.outcome.rows)
        trades = told(passed.outcome.trades)
        found = [(one.trade_id, one.price_ticks, one.quantity, one.buyer, one.seller) for one in trades]
        expected = [
            (fill.trade_id, fill.price, fill.quantity, fill.buyer, fill.seller)
            for one in predicted
            for fill in one.fills
        ]
        require(found == expected, f"trades {found} instead of {expected}")
        for one in predicted:
            sequence = one.row.sequence
            if (event := passed.outcome.events.get(sequence)) is not None:
                reason = event.reason.code if isinstance(event, CommandRefused) else ""
                require(
                    reason == one.reason, f"command {sequence}: {reason or 'taken'} instead of {one.reason or 'taken'}"
                )
                continue
            own = [row for row in rows if row.sequence == sequence]
            require(bool(own), f"nothing is said of command {sequence}")
            reason = Reason(own[0].reason).code if own[0].kind in _REFUSALS else ""
            require(reason == one.reason, f"order {sequence}: {reason or 'taken'} instead of {one.reason or 'taken'}")
            if one.is_taken:
                require(own[0].order_id == one.order_id, f"order {own[0].order_id} instead of {one.order_id}")
                makers = [row.maker_order_id for row in own if row.kind == EventKind.TRADED]
                expected_makers = [fill.maker_order_id for fill in one.fills]
                require(makers == expected_makers, f"order {one.order_id} met {makers} instead of {expected_makers}")

    def stands(self, exchange: Exchange) -> None:
        """The whole exchange is where the model is, and sound."""
        model = self.model
        model.check()
        require(exchange.sequence == model.sequence, f"command {exchange.sequence}, and {model.sequence} on the disk")
        require(exchange.account_ids[1:] == [*model.accounts.values()], "other accounts")
        require(exchange.phase.label == model.phase, f"{exchange.phase.label} instead of {model.phase}")
        unit = exchange.units.by_code[self.symbol].number
        balances, settled = exchange.path.desk.balances, holdings.settled(exchange.path.desk.balances)
        for number, name in model.accounts.items():
            held = [int(value) for value in (
                balances[number, CASH].available, balances[number, unit].available,
                settled[number, CASH], settled[number, unit],
            )]  # fmt: skip
            expected = [
                model.free_cash(number), model.free_units(number),
                model.settled_cash(number), model.settled_units(number),
            ]  # fmt: skip
            require(
                held == expected, f"{name} has {held} instead of {expected}: free fen, free t, settled fen, settled t"
            )
        ladder, listed = exchange.path.desk.ladder, exchange.instruments.by_symbol[self.symbol]
        book = [
            Order(int(row.order_id), int(row.owner), int(row.side), price_at(ladder.queues[row.queue], int(row.level)),
                  int(row.shown) + int(row.hidden))
            for row in orders_of(ladder, listed.number)
        ]  # fmt: skip
        bids = sorted((one for one in model.book if one.side == 0), key=lambda one: (-one.price, one.order_id))
        asks = sorted((one for one in model.book if one.side == 1), key=lambda one: (one.price, one.order_id))
        require(book == bids + asks, f"the book has {book} instead of {bids + asks}")
        final = [row.trade_id for batch in exchange.clearing.batches for row in told(batch.trades)]
        require(
            final[: len(model.settled)] == [one.trade_id for one in model.settled], "trades that were settled are not"
        )
        try:
            invariants.check(exchange)
        except AssertionError as error:
            raise Wrong(str(error)) from error

    # ------------------------------------------------------------ what clients are told

    def heard(self, intent: Intent, status: int, said: Any) -> bool:
        """A client was answered; returns whether it need not ask again."""
        code = said.get("code", "") if isinstance(said, dict) else ""
        if status >= 500 or code == "request_in_progress":
            require(status in (500, 503) or code == "request_in_progress", f"{intent.what}: {status} {said}")
            return False
        intent.answers.append((status, said))
        taken = self.model.taken.get(intent.name, [])
        if code == "answer_lost":
            require(len(taken) == 1, f"{intent.what} {intent.name}: carried out it is said, found {taken}")
            require(f"command {taken[0][0]};" in said["detail"], f"{said['detail']} It was {taken[0]}.")
        elif intent.what == "malformed":
            require(400 <= status < 500, f"what made no sense was answered {status}: {said}")
        elif intent.what == "place" and status < 300:
            self._placed(intent, said, taken)
        elif intent.what in ("deposit", "withdraw") and status < 300:
            require(len(taken) == 1, f"{intent.what} {intent.name} was acknowledged and taken {len(taken)} times")
        elif intent.what != "cancel" and code not in _UNSURE and intent.is_keyed:
            require(not taken, f"{intent.what} {intent.name} was refused as {code} and taken as {taken}")
        return True

    def _placed(self, intent: Intent, said: Any, taken: list[tuple[int, str]]) -> None:
        sequence = said["sequence"]
        require(
            sequence in [one for one, _ in taken], f"order {intent.name} was acknowledged as {sequence}, found {taken}"
        )
        made = self.model.predicted[sequence - 1]
        fills = [(fill["trade_id"], fill["price"], fill["quantity"]) for fill in said["fills"]]
        expected = [(fill.trade_id, f"{fill.price / 100:.2f}", fill.quantity) for fill in made.fills]
        found = said["order_id"], fills, said["leaves"]
        require(
            found == (made.order_id, expected, made.leaves), f"order {sequence}: {found} was told instead of {made}"
        )

    # ------------------------------------------------------------ what subscribers are told

    def traded(self, message: Any) -> None:
        """A subscriber was told of a trade."""
        self.told_trades += 1
        number = message["trade_id"]
        require(number <= len(self.model.trades), f"trade {number} was told before it was on the disk")
        trade = self.model.trades[number - 1]
        found = message["price"], message["quantity"]
        require(found == (f"{trade.price / 100:.2f}", trade.quantity), f"trade {number} was told as {found}")

    # ------------------------------------------------------------ the end

    def finished(self, gateway: Gateway) -> None:
        """All is quiet: nothing is lost and nothing was done twice."""
        require(not self._from_disk(), "something came to the disk and was not answered")
        self.stands(gateway.exchange)
        for intent in self.intents:
            taken = self.model.taken.get(intent.name, [])
            said = f"{intent.what} {intent.name} was carried out as {taken}"
            # An order without a key is known by its client order id until the day is over, and no longer.
            days = {day for _, day in taken}
            require(len(taken) <= 1 or (not intent.is_keyed and len(days) == len(taken)), said)
            if intent.what == "malformed":
                require(not taken, said)
            elif intent.what != "cancel" and any(status < 300 for status, _ in intent.answers):
                require(bool(taken), f"{intent.what} {intent.name} was acknowledged and is lost")
        names = {intent.name for intent in self.intents}
        strangers = [name for name in self.model.taken if name not in names]
        require(not strangers, f"nobody asked for {strangers}")


def parsed(body: bytes) -> Any:
    """What an answer says; text that is no JSON as it is."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
