"""Answers to the frames of one socket: subscriptions, replays, orders.

Orders go into the inbox in the order in which they come and are answered when the exchange has answered; meanwhile more
are read, until UNDER_WAY of them wait. Who may do what is decided request by request, by the rules of the REST
routes that do the same (:mod:`api.access.rules`).
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from pydantic_core import from_json

from api import order_entry
from api.access.guard import Access, Caller, permit_named
from api.access.keys import Role
from api.access.rules import RULES
from api.gateway import Gateway
from api.inbox import Answer
from api.order_views import ToldOrder, told_at_first, told_now, told_until
from api.problems import Problem, no_account
from api.schemas import CancelledOrders
from api.stream import frames
from api.stream.channels import Key, TooOld
from api.stream.feed import CHANNELS, Feed, Subscriber
from api.stream.frames import FastPlace, Frame, OfChannel
from api.stream.messages import DeadManFired, ErrorTold, Replayed, RequestId, Subscribed, Unsubscribed
from api.stream.safety import cancel_for
from exchange.commands import CancelCause, Command
from exchange.reasons import Refused

_log = logging.getLogger("carbonex")

UNDER_WAY = 256  # orders of one socket that wait for their answers
PRIVATE = frozenset({"orders", "fills", "balances", "settlement"})
_ROUTE = {
    "place": ("POST", "/v1/orders"),
    "amend": ("PATCH", "/v1/orders/{order_id}"),
    "cancel": ("DELETE", "/v1/orders/{order_id}"),
    "cancel_all": ("DELETE", "/v1/orders"),
    "cancel_on_disconnect": ("DELETE", "/v1/orders"),
    "dead_man": ("DELETE", "/v1/orders"),
}


class FastAnswer(msgspec.Struct, tag_field="type", tag="answer", gc=False):
    """`api.stream.messages.Answered`, made fast."""

    id: RequestId
    op: str
    status: int
    body: Any


_encoded = msgspec.json.Encoder().encode


class Gone(Exception):
    """Whoever holds the socket may not any more."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Desk:
    """Where the frames of one socket are answered; `wake` has what was put on its way sent."""

    def __init__(self, feed: Feed, subscriber: Subscriber, access: Access, caller: Caller, wake: Callable[[], None]):
        self.feed = feed
        self.gateway: Gateway = feed.gateway
        self.subscriber = subscriber
        self.access = access
        self.caller = caller
        self.wake = wake
        self.left_behind: set[str] = set()  # accounts whose orders go with the socket
        self._under_way = 0
        self._answered = asyncio.Event()  # set whenever an order has been

    async def answer(self, received: Mapping[str, Any]) -> None:
        """Answer the requests of a frame, or begin to. Gone if the key is not good any more."""
        try:
            requests = frames.requests_of(received)
        except Problem as problem:
            self._refuse_frame(problem)
        else:
            for request in requests:
                await self._answer(request)
        self.wake()

    def _refuse_frame(self, problem: Problem) -> None:
        """Refuse what is no frame, which counts as a request."""
        try:
            self._count()
        except Problem as refused:
            problem = refused
        self._refuse(None, None, problem)

    async def _answer(self, request: str | msgspec.Raw) -> None:
        """Answer a request, or begin to. Gone likewise."""
        request_id: RequestId = None
        op: str | None = None
        try:
            self._count()
            frame = frames.read(request)
            request_id, op = frame.id, frame.op
            self.gateway.life.require_open()
            await self._act(frame)
        except Problem as problem:
            if op is None:
                request_id, op = _named(request)
            self._refuse(request_id, op, problem)
        except Refused as refused:
            self._refuse(request_id, op, Problem.of(refused))

    async def finish(self) -> None:
        """Wait until what is under way has been answered."""
        await self._until_less_than(1)

    async def close(self) -> None:
        """The socket has ended: cancel what was to go with it, once what is under way has been answered."""
        await self.finish()
        for account_id in sorted(self.left_behind):
            await cancel_for(self.gateway, account_id, CancelCause.DISCONNECTED)

    async def _act(self, frame: Frame | FastPlace) -> None:
        match frame:
            case FastPlace():  # first, for nothing comes as often
                await self._order(frame)
            case frames.Subscribe():
                self._subscribe(frame)
            case frames.Unsubscribe():
                key = self._key(frame)
                self.subscriber.leave(key)
                self.subscriber.say(Unsubscribed(id=frame.id, channel=key.name, **key.about))
            case frames.Replay():
                self._replay(frame)
            case frames.CancelOnDisconnect():
                self._require_may(frame.op, frame.account_id)
                self.gateway.account(frame.account_id)
                (self.left_behind.add if frame.on else self.left_behind.discard)(frame.account_id)
                self._say(frame, 200, {"account_id": frame.account_id, "on": frame.on})
            case frames.DeadMan():
                self._require_may(frame.op, frame.account_id)
                self.gateway.account(frame.account_id)
                self.feed.dead_men.set(frame.account_id, frame.seconds, self._fired(frame.account_id))
                self._say(frame, 200, {"account_id": frame.account_id, "seconds": frame.seconds})
            case _:
                await self._order(frame)

    # -- channels

    def _key(self, frame: OfChannel) -> Key:
        """The channel that a frame names. Problem if it is not for whoever asks."""
        name = frame.channel
        if name == "drop_copy":
            if not self.caller.is_role(Role.AUDITOR, Role.OPERATOR):
                raise Problem(403, "role_not_permitted", "drop_copy is for auditors and operators.")
            return Key(name)
        if name in PRIVATE:
            if not self.caller.may_see(frame.account_id):
                raise no_account(frame.account_id)
            return Key(name, account_id=frame.account_id)
        return Key(name, symbol=frame.symbol)

    def _subscribe(self, frame: frames.Subscribe) -> None:
        key = self._key(frame)
        if key in self.subscriber.listeners:
            raise Problem(409, "already_subscribed", f"You are subscribed to this {key.name}.")
        if len(self.subscriber.listeners) >= CHANNELS:
            raise Problem(409, "too_many_subscriptions", f"One socket listens to {CHANNELS} channels at most.")
        channel = self.feed.channel(key)
        session_id, seq = self.feed.session_id, channel.last_seq
        self.subscriber.say(Subscribed(id=frame.id, channel=key.name, session_id=session_id, seq=seq, **key.about))
        self.subscriber.listen(channel)

    def _replay(self, frame: frames.Replay) -> None:
        key = self._key(frame)
        if frame.to_seq < frame.from_seq:
            raise Problem(422, "invalid_request", "to_seq: is before from_seq")
        told, to_seq = self.feed.channel(key).replay(frame.from_seq, frame.to_seq)
        answer = Replayed(
            id=frame.id,
            channel=key.name,
            session_id=self.feed.session_id,
            from_seq=frame.from_seq,
            to_seq=to_seq,
            messages=[json.loads(one) for one in told],
            **key.about,
        )
        self.subscriber.say(answer)

    # -- orders

    async def _order(self, frame: Any) -> None:
        """Hand in what a frame asks about orders; its answer follows."""
        self._require_may(frame.op, frame.account_id)
        if frame.op == "place":
            command = order_entry.placing(self.gateway, self.access, self.caller, frame)
            view: Callable[[Answer], Any] = self._as_placed
        else:
            command, view = self._of_placed_ones(frame)
        self.gateway.inbox.offer_for(command, partial(self._answer_order, frame.id, frame.op, view))
        self._under_way += 1
        if self._under_way >= UNDER_WAY:
            await self._until_less_than(UNDER_WAY)

    def _of_placed_ones(self, frame: Any) -> tuple[Command, Callable[[Answer], Any]]:
        """The command that amends or cancels, and how its answer is told."""
        gateway = self.gateway
        view: Callable[[Answer], Any]
        match frame.op:
            case "amend":
                command = order_entry.amending(gateway, self.access, self.caller, frame.order_id, frame)

                def view(answer: Answer) -> Any:
                    return told_until(gateway, frame.order_id, answer.sequence)

            case "cancel":
                command = order_entry.cancelling(gateway, frame.account_id, frame.order_id)

                def view(answer: Answer) -> Any:
                    return told_now(gateway, frame.order_id)

            case _:
                command = order_entry.cancelling_all(gateway, frame.account_id, frame.symbol, frame.side)

                def view(answer: Answer) -> Any:
                    return order_entry.cancelled_by(answer).model_dump()

        return command, view

    async def _until_less_than(self, count: int) -> None:
        """Wait until less orders than that are under way."""
        while self._under_way >= count:
            self._answered.clear()
            await self._answered.wait()

    def _as_placed(self, answer: Answer) -> ToldOrder:
        return told_at_first(self.gateway, answer)

    def _answer_order(
        self,
        request_id: RequestId,
        op: str,
        view: Callable[[Answer], Any],
        answer: Answer | None,
        problem: Problem | None,
    ) -> None:
        """The exchange has answered. Nothing that goes wrong here is the exchange's matter."""
        self._under_way -= 1
        self._answered.set()
        try:
            if answer is None:
                raise problem or Problem(500, "internal_error", "The order has no answer.")
            granted = order_entry.granted(answer)
            status = 201 if op == "place" and not granted.repeated else 200
            self._tell(request_id, op, status, view(granted))
        except Problem as refused:
            self._refuse(request_id, op, refused)
        except Exception:
            _log.exception("the answer to an order on the stream could not be told")
            self._refuse(request_id, op, Problem(500, "internal_error", "The answer could not be told; ask for it."))
        self.wake()

    def _fired(self, account_id: str) -> Callable[[CancelledOrders], None]:
        def told(done: CancelledOrders) -> None:
            self.subscriber.say(DeadManFired(account_id=account_id, count=done.count, order_ids=done.order_ids))
            self.wake()

        return told

    # -- who may

    def _count(self) -> None:
        """Count a request. Gone if the key is not good any more, Problem if it asks too often."""
        self.require_good_key()
        if self.caller.key is not None:
            self.access.require_rate(self.caller.key)

    def require_good_key(self) -> None:
        """Gone if the key is not good any more."""
        try:
            self.caller = self.access.still(self.caller)
        except Problem as problem:
            raise Gone(problem) from None

    def _require_may(self, op: str, account_id: str) -> None:
        """Problem if whoever asks may not do this for an account: as the door decides of the route that does it."""
        if self.caller.key is not None:
            permit_named(self.caller.key, RULES[_ROUTE[op]], [account_id])

    # -- saying it

    def _say(self, frame: Any, status: int, body: dict[str, Any]) -> None:
        self._tell(frame.id, frame.op, status, body)

    def _tell(self, request_id: RequestId, op: str, status: int, body: Any) -> None:
        self.subscriber.say_text(_encoded(FastAnswer(request_id, op, status, body)).decode())

    def _refuse(self, request_id: RequestId, op: str | None, problem: Problem) -> None:
        oldest_seq = problem.oldest_seq if isinstance(problem, TooOld) else None
        self.feed.problems[problem.code] += 1
        self.subscriber.say(
            ErrorTold(
                id=request_id,
                op=op,
                status=problem.status,
                code=problem.code,
                detail=problem.detail,
                oldest_seq=oldest_seq,
            )
        )


def _named(request: str | msgspec.Raw) -> tuple[RequestId, str | None]:
    """The id and the op of a request that is none, as far as they can be read."""
    try:
        said = from_json(request if isinstance(request, str) else bytes(request))
    except ValueError:
        return None, None
    if not isinstance(said, dict):
        return None, None
    request_id, op = said.get("id"), said.get("op")
    is_id = isinstance(request_id, str | int) and not isinstance(request_id, bool)
    return (request_id if is_id else None), (op if isinstance(op, str) else None)
