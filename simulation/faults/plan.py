"""What goes wrong, and when: every fault has a source of chance of its own, drawn from the seed.

So one can be switched off and the others are drawn as before, as far as they are asked in the same order. That is
what makes a failure shrink.
"""

from collections import Counter
from collections.abc import Collection
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    """What may go wrong. The first of the journal leave nothing, a part or all of the block that was being written."""

    CRASH_BEFORE_WRITE = "crash-before-write"
    TORN_WRITE = "torn-write"
    CRASH_AFTER_WRITE = "crash-after-write"
    CRASH = "crash"  # at any other moment
    DISK_FULL = "disk-full"
    SLOW_DISK = "slow-disk"
    LOST_NOTE = "lost-note"  # what was asked and answered under a key can't be written down
    LOST_REQUEST = "lost-request"
    LOST_ANSWER = "lost-answer"
    DOUBLED_REQUEST = "doubled-request"
    DELAYED_TIMER = "delayed-timer"
    SLOW_SUBSCRIBER = "slow-subscriber"
    CLOCK_STEP = "clock-step"
    MALFORMED = "malformed"


EVERY = frozenset(Fault)

# How often, where it is asked; the mean of what a seed draws for itself.
_SHARES = {
    Fault.CRASH_BEFORE_WRITE: 0.004,
    Fault.TORN_WRITE: 0.004,
    Fault.CRASH_AFTER_WRITE: 0.006,
    Fault.CRASH: 0.006,
    Fault.DISK_FULL: 0.003,
    Fault.SLOW_DISK: 0.05,
    Fault.LOST_NOTE: 0.01,
    Fault.LOST_REQUEST: 0.05,
    Fault.LOST_ANSWER: 0.05,
    Fault.DOUBLED_REQUEST: 0.05,
    Fault.DELAYED_TIMER: 0.02,
    Fault.SLOW_SUBSCRIBER: 0.05,
    Fault.CLOCK_STEP: 0.02,
    Fault.MALFORMED: 0.05,
}


class Plan:
    """The faults of one run."""

    def __init__(self, seed: int, enabled: Collection[Fault] = EVERY) -> None:
        self.seed = seed
        self.enabled = frozenset(enabled)
        self.happened: Counter[Fault] = Counter()
        self.is_quiet = False  # the run ends: nothing goes wrong any more
        self._sources = {fault: self.source(fault) for fault in Fault}
        # A seed has few of some faults and many of others: a storm of one hides what a drizzle of all does not.
        self._shares = {
            fault: min(0.5, share * self._sources[fault].expovariate(1)) for fault, share in _SHARES.items()
        }

    def source(self, name: str) -> Random:
        """A source of chance of its own."""
        return Random(f"{self.seed} {name}")

    def strikes(self, fault: Fault) -> bool:
        """Whether it goes wrong this time."""
        struck = self._sources[fault].random() < self._shares[fault]
        if not struck or self.is_quiet or fault not in self.enabled:
            return False
        self.happened[fault] += 1
        return True

    def amount(self, fault: Fault, low: float, high: float) -> float:
        """How much goes wrong."""
        return self._sources[fault].uniform(low, high)
