"""All channels that somebody listens to, and one socket's places in them."""

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Protocol

from pydantic import BaseModel

from api.gateway import Gateway
from api.problems import Problem
from api.stream.books import BookChannel, ConflatedChannel, DepthChannel, TopChannel
from api.stream.channels import (
    KEPT,
    Channel,
    DropCopyChannel,
    EventChannel,
    FillsChannel,
    Key,
    OrdersChannel,
    TradesChannel,
    as_json,
)
from api.stream.messages import Heartbeat, Place
from api.stream.safety import DeadMen
from api.stream.states import AuctionChannel, BalancesChannel, SettlementChannel, StatusChannel

FRAME_MESSAGES = 500  # of a frame
CHANNELS = 200  # that one socket may listen to
SLICES = 10  # of a tick


class Ticker:
    """Wakes all sockets once a tick, in SLICES: all of a slice are told the same, and orders come between slices."""

    def __init__(self) -> None:
        self._slices: list[set[Callable[[], None]]] = [set() for _ in range(SLICES)]
        self._turn = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, wake: Callable[[], None], tick_s: float) -> None:
        """Call `wake` every so many seconds from now on."""
        min(self._slices, key=len).add(wake)
        if self._timer is None:
            self._go_on(tick_s)

    def remove(self, wake: Callable[[], None]) -> None:
        for one in self._slices:
            one.discard(wake)

    def _go_on(self, tick_s: float) -> None:
        self._timer = None
        for wake in self._slices[self._turn]:
            wake()
        self._turn = (self._turn + 1) % SLICES
        if any(self._slices):
            self._timer = asyncio.get_running_loop().call_later(tick_s / SLICES, self._go_on, tick_s)


class Feed:
    """The channels of one serving process."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.session_id = secrets.token_hex(8)
        self.channels: dict[Key, Channel] = {}
        self.dead_men = DeadMen(gateway)
        self.ticker = Ticker()
        self.subscribers: set[Subscriber] = set()
        self.conflated: Counter[str] = Counter()  # states that somebody was not told, by channel
        self.ended: Counter[str] = Counter()  # sockets, by why
        self.problems: Counter[str] = Counter()  # told in answer to frames, by code

    def channel(self, key: Key) -> Channel:
        """A channel, caught up. Problem if its instrument or account is unknown."""
        found = self.channels.get(key)
        if found is None or self._lies_far_back(found):
            found = self.channels[key] = self._made(key)
        found.catch_up()
        return found

    def _lies_far_back(self, channel: Channel) -> bool:
        """Whether nobody has listened for so long that it is cheaper to begin anew."""
        source = channel.book if isinstance(channel, ConflatedChannel) else channel
        events = self.gateway.history.events.size
        return isinstance(source, EventChannel) and events - source.cursor > 2 * KEPT

    def _made(self, key: Key) -> Channel:
        gateway, session = self.gateway, self.session_id
        match key.name:
            case "trades":
                return TradesChannel(gateway, key, session, gateway.instrument(key.symbol))
            case "book.l3":
                return BookChannel(gateway, key, session, gateway.instrument(key.symbol))
            case "book.l2":
                return DepthChannel(gateway, key, session, self._book(key))
            case "book.l1":
                return TopChannel(gateway, key, session, self._book(key))
            case "status":
                return StatusChannel(gateway, key, session, gateway.instrument(key.symbol))
            case "auction":
                return AuctionChannel(gateway, key, session, gateway.instrument(key.symbol))
            case "orders":
                return OrdersChannel(gateway, key, session, gateway.account(key.account_id).number)
            case "fills":
                return FillsChannel(gateway, key, session, gateway.account(key.account_id).number)
            case "balances":
                return BalancesChannel(gateway, key, session, gateway.account(key.account_id))
            case "settlement":
                return SettlementChannel(gateway, key, session, gateway.account(key.account_id))
            case "drop_copy":
                return DropCopyChannel(gateway, key, session)

    def _book(self, key: Key) -> BookChannel:
        book = self.channel(Key("book.l3", key.symbol))
        assert isinstance(book, BookChannel)
        return book


class Listener(Protocol):
    """A subscriber's place in one channel."""

    @property
    def channel(self) -> Channel: ...

    def news(self) -> list[str]:
        """What is new since the last call. TooSlow if some of it is not kept any more."""
        ...

    def last_seq(self) -> int:
        """`seq` of the last message that the subscriber was given."""
        ...


class Follower:
    """Hears every message of a channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._place = channel.catch_up()

    def news(self) -> list[str]:
        count = self.channel.catch_up()
        if count == self._place:
            return []
        fresh = self.channel.since(self._place)
        self._place = count
        return fresh

    def last_seq(self) -> int:
        return self.channel.last_seq


class Onlooker:
    """Hears the newest state of a conflated channel."""

    def __init__(self, channel: ConflatedChannel, conflated: Counter[str]) -> None:
        self.channel = channel
        self._conflated = conflated
        channel.catch_up()
        self._version, self._seq = channel.version, channel.last_seq

    def news(self) -> list[str]:
        self.channel.catch_up()
        if self.channel.version == self._version:
            return []
        said = self.channel.newest(self._seq, self._version)
        self._conflated[self.channel.key.name] += max(0, self.channel.version - self._version - 1)
        self._version, self._seq = self.channel.version, self.channel.last_seq
        return [said]

    def last_seq(self) -> int:
        return self._seq


class Subscriber:
    """One socket's places in its channels, and what is on its way to it."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.listeners: dict[Key, Listener] = {}
        self.outgoing: deque[str] = deque()
        self.is_leaving = False  # what is on its way is the last

    def listen(self, channel: Channel) -> None:
        """Hear how a channel stands, and what it tells from now on."""
        self.outgoing.extend(channel.snapshot())
        self.listeners[channel.key] = (
            Onlooker(channel, self.feed.conflated) if isinstance(channel, ConflatedChannel) else Follower(channel)
        )

    def leave(self, key: Key) -> None:
        """Hear no more of a channel; what it has told until now is still sent. Problem if it was not heard."""
        if key not in self.listeners:
            raise Problem(409, "not_subscribed", f"You are not subscribed to this {key.name}.")
        self.outgoing.extend(self.listeners[key].news())
        del self.listeners[key]

    def say(self, message: BaseModel) -> None:
        """Put a message on its way that is for this socket alone."""
        self.say_text(as_json(message))

    def say_text(self, message: str) -> None:
        """Likewise, of a message that is JSON already."""
        self.outgoing.append(message)

    def hear(self) -> None:
        """Put on its way what is new in all channels. TooSlow if some of it is not kept any more."""
        for listener in self.listeners.values():
            self.outgoing.extend(listener.news())

    def beat(self) -> None:
        """Put a heartbeat on its way, behind all that is new."""
        self.hear()
        gateway = self.feed.gateway
        places = [
            Place(channel=key.name, last_seq=listener.last_seq(), **key.about)
            for key, listener in self.listeners.items()
        ]
        at = gateway.clock.iso(gateway.exchange.market.timezone)
        session_id, depth = self.feed.session_id, len(self.outgoing)
        self.say(Heartbeat(session_id=session_id, at=at, channels=places, queue_depth=depth))

    def frames(self) -> Iterator[str]:
        """What is on its way, in frames of a JSON array each."""
        while self.outgoing:
            count = min(FRAME_MESSAGES, len(self.outgoing))
            yield f"[{','.join([self.outgoing.popleft() for _ in range(count)])}]"
