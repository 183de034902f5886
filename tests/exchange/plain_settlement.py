"""A plain ledger of settled money and tonnes, for comparison with the exchange's columns and compiled passes.

One entry in a dict for each account and asset, one loop over the trades for everything. It knows no orders and nothing
of what is reserved or claimed: which trades came about, and at which fees, it is told. What they do to whom, when they
do it, what the bank is to be told, what one currency is worth in another, what is paid back of a year's fees and what
the statements say, it works out by itself.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from settlement.bank_files import Direction
from settlement.rebates import Tier
from settlement.rules import Mode

HOUSE = "EXCHANGE"
RESERVE = "RESERVE"
OWN = "CNY"
BILLION = 10**9  # rates are counted in billionths


class Trade(NamedTuple):
    """A trade as it stands: tonnes of a unit against fen of a currency, by their codes."""

    number: int
    buyer: str
    seller: str
    unit: str
    currency: str
    quantity: int
    turnover: int
    buyer_fee: int
    seller_fee: int
    day: date | None  # None: a deal outside the book

    def moves(self) -> Iterator[tuple[str, str, int, str]]:
        """Who gets how much of what (less than nothing: gives), and what a statement calls it."""
        yield self.buyer, self.unit, self.quantity, "purchase"
        yield self.buyer, self.currency, -self.turnover, "purchase"
        yield self.buyer, self.currency, -self.buyer_fee, "fee"
        yield self.seller, self.unit, -self.quantity, "sale"
        yield self.seller, self.currency, self.turnover, "sale"
        yield self.seller, self.currency, -self.seller_fee, "fee"
        yield HOUSE, self.currency, self.buyer_fee + self.seller_fee, "fee_income"


class Plain:
    """What is settled, what waits, and what has moved since the last statements."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.settled: Counter[tuple[str, str]] = Counter()  # by account and asset
        self.outside: Counter[str] = Counter()  # brought in less taken out, by asset
        self.moved: Counter[tuple[str, str, str]] = Counter()  # since the last statements, by account, asset and cause
        self.waiting: dict[int, Trade] = {}  # for a batch
        self.fixed: dict[int, Trade] = {}  # in the batch under way
        self.done: dict[int, Trade] = {}  # settled, as they stand
        self.failed: dict[int, Trade] = {}  # wait for who failed
        self.cases: dict[int, list[int]] = {}  # what waits for whom, by number of the case, until it has ended
        self.rates = {OWN: BILLION}
        self.elected: dict[str, tuple[str, str]] = {}  # who wants its proceeds in which currency, by which bank
        self.rebated: set[int] = set()  # years

    def bring(self, account: str, asset: str, amount: int, cause: str) -> None:
        """From outside, or to it if it is less than nothing."""
        self.outside[asset] += amount
        self.move(account, asset, amount, cause)

    def move(self, account: str, asset: str, amount: int, cause: str) -> None:
        self.settled[account, asset] += amount
        self.moved[account, asset, cause] += amount

    def give(self, giver: str, taker: str, asset: str, amount: int, cause: str) -> None:
        self.move(giver, asset, -amount, cause)
        self.move(taker, asset, amount, cause)

    def traded(self, trades: Iterable[Trade]) -> None:
        self.waiting |= {trade.number: trade for trade in trades}

    def fix(self) -> None:
        self.fixed, self.waiting = self.waiting, {}

    def payments(self) -> dict[tuple[str, str, Direction], int]:
        """What the bank is to be told of the batch under way: fen by account, currency and direction."""
        paid_in: Counter[tuple[str, str]] = Counter()
        paid_out: Counter[tuple[str, str]] = Counter()
        for trade in self.fixed.values():
            paid_in[trade.buyer, trade.currency] += trade.turnover + trade.buyer_fee
            paid_out[trade.seller, trade.currency] += trade.turnover - trade.seller_fee
            paid_out[HOUSE, trade.currency] += trade.buyer_fee + trade.seller_fee
        if self.mode.nets_cash:
            paid_in, paid_out = paid_in - paid_out, paid_out - paid_in
        lines = {(*who, Direction.DEBIT): fen for who, fen in paid_in.items()}
        lines |= {(*who, Direction.CREDIT): fen for who, fen in paid_out.items()}
        return {line: fen for line, fen in lines.items() if fen > 0}

    def deliver(self, cases: dict[int, list[int]]) -> dict[tuple[str, str], int]:
        """What is fixed settles, but for the trades that failed: they wait until all their cases have ended.

        Returns what it has brought net to whom in other currencies than elected, by account and currency.
        """
        brought: Counter[tuple[str, str]] = Counter()
        failed = {number for trades in cases.values() for number in trades}
        self.cases |= cases
        for number, trade in self.fixed.items():
            if number in failed:
                self.failed[number] = trade
                continue
            self.done[number] = trade
            for account, asset, amount, cause in trade.moves():
                self.move(account, asset, amount, cause)
                if account in self.elected and asset == trade.currency != self.elected[account][0]:
                    brought[account, asset] += amount
        self.fixed = {}
        return +brought

    def end_case(self, case: int, dropped: Collection[int] = ()) -> None:
        """A case is cured or covered; some of its trades may be dropped for good."""
        del self.cases[case]
        for number in dropped:
            del self.failed[number]
        still = {number for trades in self.cases.values() for number in trades}
        for number in [number for number in self.failed if number not in still]:
            self.waiting[number] = self.failed.pop(number)

    # -- currencies

    def worth(self, amount: int, gives: str, takes: str) -> int:
        """Hundredths of a currency for those of another at the last rates, a half rounded up; 0 without a rate."""
        if gives not in self.rates or takes not in self.rates:
            return 0
        return (2 * amount * self.rates[gives] + self.rates[takes]) // (2 * self.rates[takes])

    def set_rate(self, currency: str, rate: str) -> None:
        self.rates[currency] = int(Decimal(rate) * BILLION)

    def can_pay(self, bank: str, amount: int, gives: str, takes: str) -> bool:
        """Whether a bank, which has no orders, can convert an amount."""
        return gives != takes and 0 < self.worth(amount, gives, takes) <= self.settled[bank, takes]

    def convert(self, account: str, bank: str, amount: int, gives: str, takes: str) -> None:
        taken = self.worth(amount, gives, takes)
        self.give(account, bank, gives, amount, "conversion")
        self.give(bank, account, takes, taken, "conversion")

    # -- rebates

    def rebates(self, year: int, tiers: Iterable[Tier]) -> dict[tuple[str, str], int]:
        """What of a year's fees is to be paid back to whom in which currency: tonne by tonne, rounded at the end."""
        tonnes: dict[str, Counter[date]] = {}
        fees: dict[tuple[str, str], Counter[date]] = {}
        for trade in self.done.values():
            if trade.day and trade.day.year == year:
                for account, fee in ((trade.buyer, trade.buyer_fee), (trade.seller, trade.seller_fee)):
                    tonnes.setdefault(account, Counter())[trade.day] += trade.quantity
                    fees.setdefault((account, trade.currency), Counter())[trade.day] += fee
        due = {}
        for (account, currency), paid in fees.items():
            days = [day for day in sorted(tonnes[account]) for _ in range(tonnes[account][day])]  # of each tonne
            reached = [
                tier for tier in sorted(tiers, key=lambda tier: tier.from_tonnes) if tier.from_tonnes <= len(days)
            ]
            exact = Fraction(0)
            for number, day in enumerate(days):
                shares = [tier.share for tier in reached if tier.on == "whole" or tier.from_tonnes <= number]
                exact += Fraction(paid[day], tonnes[account][day]) * Fraction(shares[-1] if shares else 0)
            due[account, currency] = int(exact + Fraction(1, 2))
        return {who: amount for who, amount in due.items() if amount}

    def pay_back(self, year: int, tiers: Iterable[Tier]) -> None:
        for (account, currency), amount in self.rebates(year, tiers).items():
            self.give(HOUSE, account, currency, amount, "fee_rebate")
        self.rebated.add(year)

    # -- statements and corrections

    def state(self) -> dict[tuple[str, str, str], int]:
        """What the statements say has moved; from now on the next ones count."""
        moved = {key: amount for key, amount in self.moved.items() if amount}
        self.moved.clear()
        return moved

    def put_right(self, number: int, after: Trade | None) -> None:
        """A trade has other terms, or is undone."""
        standing = self.waiting if number in self.waiting else self.done
        before = standing.pop(number)
        if after is not None:
            standing[number] = after
        if standing is self.done:
            cause = "trade_correction" if after else "trade_bust"
            for account, asset, amount, _ in before.moves():
                self.move(account, asset, -amount, cause)
            for account, asset, amount, _ in after.moves() if after else ():
                self.move(account, asset, amount, cause)

    def check(self) -> None:
        """Assert that nothing was lost, and that nobody has less than nothing."""
        held: Counter[str] = Counter()
        for (account, asset), amount in self.settled.items():
            assert amount >= 0, f"{account} has {amount} of {asset}"
            held[asset] += amount
        assert +held == +self.outside, f"{held} held, {self.outside} brought in"
