"""What the exchange says of itself to Prometheus, in a registry of its own.

Histograms observe once for each group of commands, never for each order. All else is read where it stands when somebody
asks: a queue's length, the journal's size, what has been refused since the last time. Names have their units; times are
of the wall, in seconds.
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.life import require_ready
from api.problems import Problem
from exchange.reasons import Reason
from exchange.rows import EventKind
from exchange.sessions import Phase

if TYPE_CHECKING:
    from api.access.guard import Access
    from api.gateway import Gateway
    from api.inbox import Passed
    from api.stream.feed import Feed

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_COMMANDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
_REFUSED = (EventKind.REFUSED, EventKind.CANCEL_REFUSED, EventKind.AMEND_REFUSED)


class Metrics(Collector):
    """All that is measured of one serving process."""

    def __init__(self, gateway: "Gateway", feed: "Feed", access: "Access") -> None:
        self._gateway, self._feed, self._access = gateway, feed, access
        self.requests: Counter[tuple[str, str, int]] = Counter()  # by method, route and status
        self.problems: Counter[str] = Counter()  # by code
        self._refused: Counter[str] = Counter()  # by reason
        self._seen = gateway.history.events.size  # event rows whose refusals have been counted
        self.registry = CollectorRegistry(auto_describe=False)
        self._batch = self._histogram("carbonex_batch_commands", "Commands of a group", _COMMANDS)
        self._wait = self._seconds(
            "inbox_wait", "From a group's first command being handed in to the group being taken"
        )
        self._write = self._seconds("journal_write", "Writing a group durably: write and fsync")
        self._apply = self._seconds("apply", "Changing the state by a group")
        self._answer = self._seconds("answer", "Giving each command of a group its answer")
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def _histogram(self, name: str, said: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, said, buckets=buckets, registry=self.registry)

    def _seconds(self, stage: str, said: str) -> Histogram:
        return self._histogram(f"carbonex_{stage}_seconds", said, _SECONDS)

    def observe(self, passed: "Passed") -> None:
        """Note how a group went through the inbox."""
        self._batch.observe(passed.batch.rows.size)
        self._wait.observe(passed.taken - passed.group[0].at)
        self._write.observe(passed.journalled - passed.stamped)
        self._apply.observe(passed.applied - passed.journalled)
        self._answer.observe(passed.answered - passed.applied)

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """What is read where it stands."""
        yield from self._of_inbox()
        yield from self._of_requests()
        yield from self._of_streams()
        yield from self._of_market()

    def _of_inbox(self) -> Iterator[Metric]:
        inbox = self._gateway.inbox
        yield _gauge("carbonex_inbox_commands", "Commands that wait in the inbox", inbox.capacity - inbox.room)
        yield _gauge("carbonex_inbox_capacity_commands", "Commands that may wait in the inbox", inbox.capacity)
        try:
            require_ready(self._gateway.life, inbox)
        except Problem:
            yield _gauge("carbonex_ready", "1: commands are taken", 0)
        else:
            yield _gauge("carbonex_ready", "1: commands are taken", 1)

    def _of_requests(self) -> Iterator[Metric]:
        labels = ("method", "route", "status")
        answered = CounterMetricFamily("carbonex_requests", "Requests answered, by route", labels=labels)
        for (method, route, status), times in self.requests.items():
            answered.add_metric([method, route, str(status)], times)
        yield answered
        yield _gauge("carbonex_requests_under_way", "Requests that are being answered", self._gateway.life.under_way)
        yield _counters(
            "carbonex_problems",
            "Problems told, over HTTP and the stream, by code",
            "code",
            self.problems + self._feed.problems,
        )
        self._count_refused()
        yield _counters("carbonex_orders_refused", "Order commands refused, by reason", "reason", self._refused)
        denied = CounterMetricFamily("carbonex_denials", "Attempts refused at the door", self._access.denied)
        yield denied

    def _count_refused(self) -> None:
        events = self._gateway.history.events
        fresh = events[self._seen :]
        reasons = fresh["reason"][np.isin(fresh["kind"], _REFUSED)]
        for reason, times in zip(*np.unique(reasons, return_counts=True), strict=True):
            self._refused[Reason(int(reason)).code] += int(times)
        self._seen = events.size

    def _of_streams(self) -> Iterator[Metric]:
        feed = self._feed
        yield _gauge("carbonex_stream_subscribers", "Open sockets", len(feed.subscribers))
        heard = Counter(key.name for subscriber in feed.subscribers for key in subscriber.listeners)
        told = GaugeMetricFamily("carbonex_stream_subscriptions", "Subscriptions, by channel", labels=("channel",))
        for channel, times in heard.items():
            told.add_metric([channel], times)
        yield told
        conflated, ended = feed.conflated, feed.ended
        yield _counters("carbonex_stream_conflated", "States that nobody was told, by channel", "channel", conflated)
        yield _counters("carbonex_stream_disconnects", "Sockets ended, by why", "why", ended)

    def _of_market(self) -> Iterator[Metric]:
        exchange = self._gateway.exchange
        yield _gauge("carbonex_last_sequence", "Number of the last command", exchange.sequence)
        yield _gauge("carbonex_journal_bytes", "Size of the journal", self._gateway.engine.journal.size())
        live = exchange.path.desk.ladder.pool[0].live
        yield _gauge("carbonex_open_orders", "Orders that rest or wait in the books", int(live))
        phases = GaugeMetricFamily("carbonex_market_phase", "1: the market stands here", labels=("phase",))
        for phase in Phase:
            if phase != Phase.HALTED:  # of an instrument
                phases.add_metric([phase.name.lower()], phase == exchange.phase)
        yield phases


def _gauge(name: str, said: str, value: float) -> Metric:
    return GaugeMetricFamily(name, said, value)


def _counters(name: str, said: str, label: str, counted: Counter[str]) -> Metric:
    family = CounterMetricFamily(name, said, labels=(label,))
    for value, times in counted.items():
        family.add_metric([value], times)
    return family
