"""One currency into another: rates, what is converted at them, and who gets its proceeds in which currency.

A rate is quoted in units of the market's own currency for one of a foreign one, which has the rate 1 itself; two
foreign currencies meet by their two rates, in one step. The last rate that was set is in force.

    taken = given x rate of what is given / rate of what is taken, rounded half-up to a hundredth

No cash is made or lost: what an account gives a clearing bank takes, and the other way round, out of what each has.
A hundredth (fen, cent) is what a conversion can be wrong by at most a half of; so forth and back at one rate nobody
gains more than half a hundredth of either currency, which is at most one of the dearer.

An account may elect a currency, and a bank: what a batch brings it net in other currencies is converted when the batch
has been delivered, currency by currency. Where that can't be done the money stays as it came.
"""

from collections.abc import Iterator
from datetime import date
from fractions import Fraction

import msgspec

from settlement.statements import CASH

OWN_RATE = "1"


class Rate(msgspec.Struct, frozen=True):
    """What one of a foreign currency is worth in the market's own, from a command on."""

    asset: int
    value: str  # a positive decimal
    day: date
    by: int  # account
    sequence: int  # of the command


class Election(msgspec.Struct, frozen=True):
    """Into which currency an account's proceeds are converted, and by which bank."""

    asset: int
    bank: int  # account


class Conversion(msgspec.Struct, frozen=True):
    """An account's cash in one currency against a bank's in another, hundredths. `number` counts from 1."""

    number: int
    day: date
    batch: int  # whose proceeds they were; 0: it was asked for
    account: int
    bank: int
    gives: int  # asset number of what the account gives
    takes: int
    given: int
    taken: int
    gives_rate: str
    takes_rate: str
    sequence: int  # of the command

    def entries(self) -> list[tuple[int, int, int]]:
        """What is moved: account, asset, amount."""
        return [
            (self.account, self.gives, -self.given),
            (self.bank, self.gives, self.given),
            (self.bank, self.takes, -self.taken),
            (self.account, self.takes, self.taken),
        ]


def converted(amount: int, gives_rate: str, takes_rate: str) -> int:
    """Hundredths of one currency that so many of another, not below zero, are worth; rounded half-up."""
    return int(amount * Fraction(gives_rate) / Fraction(takes_rate) + Fraction(1, 2))


class Conversions:
    """All rates and conversions, oldest first, and what has been elected."""

    def __init__(self) -> None:
        self.rates: dict[int, list[Rate]] = {}  # by currency
        self.elected: dict[int, Election] = {}  # by account
        self.made: list[Conversion] = []

    def set_rate(self, rate: Rate) -> None:
        """From now on this rate is in force."""
        self.rates.setdefault(rate.asset, []).append(rate)

    def rate(self, asset: int) -> str | None:
        """The rate in force of a currency; None if none was ever set."""
        if asset == CASH:
            return OWN_RATE
        rates = self.rates.get(asset)
        return rates[-1].value if rates else None

    def brought(self, day: date, account: int, asset: int) -> int:
        """Hundredths that the conversions of the last day have brought an account net in a currency."""
        net = 0
        for one in reversed(self.made):
            if one.day != day:
                break
            net += sum(amount for owner, moved, amount in one.entries() if (owner, moved) == (account, asset))
        return net

    def content(self) -> Iterator[tuple[object, ...]]:
        """All that matters, for the digest."""
        for asset, rates in sorted(self.rates.items()):
            yield "rates", asset, rates
        yield "elected", sorted(self.elected.items())
        yield "conversions", self.made

    def check(self) -> None:
        """Assert that everything was converted at the rates that were in force when it was."""
        for asset, rates in self.rates.items():
            assert asset != CASH, "the market's own currency has a rate"
            assert all(rate.asset == asset and Fraction(rate.value) > 0 for rate in rates), f"a rate of {asset} is none"
            sequences = [rate.sequence for rate in rates]
            assert sequences == sorted(sequences), f"the rates of asset {asset} are out of order"
        for number, one in enumerate(self.made, 1):
            assert one.number == number, f"conversion {one.number} stands at place {number}"
            assert one.account != one.bank, f"conversion {number}: account {one.account} deals with itself"
            assert one.gives != one.takes, f"conversion {number} leads from a currency to itself"
            for asset, rate in ((one.gives, one.gives_rate), (one.takes, one.takes_rate)):
                assert rate == self._rate_before(asset, one.sequence), f"conversion {number} has a rate of another time"
            worth = converted(one.given, one.gives_rate, one.takes_rate)
            assert one.given > 0 and one.taken == worth > 0, f"conversion {number} gives {one.given} for {one.taken}"
        for account, election in self.elected.items():
            assert account != election.bank, f"account {account} has elected itself"

    def _rate_before(self, asset: int, sequence: int) -> str | None:
        if asset == CASH:
            return OWN_RATE
        earlier = [rate.value for rate in self.rates.get(asset, []) if rate.sequence < sequence]
        return earlier[-1] if earlier else None
