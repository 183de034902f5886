"""A market in plain Python that is told the journal and says what must have come of it.

It knows limit orders for the day or for at once, at the maker's price, without fees and bands, resale and proceeds at
once; money in and out; and the steps of a day and its settlement, in which everybody pays. It shares nothing with the
exchange but the format of a command's row and of its detail.
"""

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# sequence, now_ns, order_id, price_ticks, quantity, account, stop_ticks, display_quantity, last_day, instrument, kind,
# side, order_type, time_in_force, self_trade, post_only, batch
_ROW = struct.Struct("<5qI2i2H7Bx")
_COUNT = struct.Struct("<I")
CONTROL, PLACE, CANCEL = 0, 1, 2
BUY, SELL = 0, 1
DAY, IOC = "DAY", "IOC"
TRADING, BREAK, PRE_OPEN, CLOSED = "continuous", "break", "pre_open", "closed"


class Row(NamedTuple):
    """A command as it stands in the journal."""

    sequence: int
    now_ns: int
    order_id: int
    price: int  # ticks, which are fen
    quantity: int
    account: int
    kind: int
    side: int
    lives: int
    detail: bytes


def rows_in(block: bytes) -> Iterator[Row]:
    """The commands of a block of the journal."""
    (count,) = _COUNT.unpack_from(block)
    lengths = struct.unpack_from(f"<{count}I", block, 4 + count * _ROW.size)
    at = 4 + count * (_ROW.size + 4)
    for place, length in enumerate(lengths):
        values = _ROW.unpack_from(block, 4 + place * _ROW.size)
        sequence, now_ns, order_id, price, quantity, account = values[:6]
        kind, side, lives, detail = values[10], values[11], values[13], block[at : at + length]
        yield Row(sequence, now_ns, order_id, price, quantity, account, kind, side, lives, detail)
        at += length


@dataclass
class Order:
    order_id: int
    account: int
    side: int
    price: int
    leaves: int


class Fill(NamedTuple):
    trade_id: int
    price: int
    quantity: int
    maker_order_id: int
    buyer: int
    seller: int


@dataclass
class Predicted:
    """What must have come of a command."""

    row: Row
    intent: str  # by which a client knows it again
    is_taken: bool = True
    reason: str = ""  # of a refusal
    order_id: int = 0
    fills: list[Fill] = field(default_factory=list)
    leaves: int = 0


class Wrong(AssertionError):
    """Something is not as it must be."""


def require(holds: bool, said: str) -> None:
    """Wrong unless it holds."""
    if not holds:
        raise Wrong(said)


class Model:
    """The plain market. `day_lives`: the number by which a row says that an order lives for the day.

    `nets_cash`: whether each pays or is paid the difference of all its trades.
    """

    def __init__(self, day_lives: int, nets_cash: bool) -> None:
        self._day_lives = day_lives
        self._nets_cash = nets_cash
        self.sequence = 0
        self.now_ns = 0
        self.accounts: dict[int, str] = {}
        self.numbers: dict[str, int] = {}
        self.cash: Counter[int] = Counter()  # fen by account, what trades have moved counted in
        self.units: Counter[int] = Counter()
        self.unsettled: list[Fill] = []
        self.settled: list[Fill] = []
        self.book: list[Order] = []  # that rest, the oldest first
        self.owners: dict[int, int] = {}  # account by order id, of all that were accepted
        self.trades: list[Fill] = []
        self.phase = CLOSED
        self.day = ""
        self.orders = 0
        self.bank_is_late = False
        self.paid_in = self.paid_out = self.issued = 0
        self.predicted: list[Predicted] = []  # by sequence, from 1
        self.taken: dict[str, list[tuple[int, str]]] = {}  # (sequence, day) of commands that were taken, by intent
        self.digest = hashlib.sha256()

    # ------------------------------------------------------------ what commands do

    def apply(self, block: bytes) -> list[Predicted]:
        """Do what a block says; returns what must have come of each command."""
        found = []
        for row in rows_in(block):
            require(row.sequence == self.sequence + 1, f"command {row.sequence} follows {self.sequence}")
            require(row.now_ns >= self.now_ns, f"command {row.sequence} is older than the one before it")
            self.sequence, self.now_ns = row.sequence, row.now_ns
            self.digest.update(repr(row).encode())
            made = self._control(row) if row.kind == CONTROL else self._order(row)
            self.predicted.append(made)
            if made.is_taken and made.intent:
                self.taken.setdefault(made.intent, []).append((row.sequence, self.day))
            found.append(made)
        return found

    def _control(self, row: Row) -> Predicted:
        said: dict[str, Any] = json.loads(row.detail)
        made = Predicted(row, said.get("request", ""))
        match said["command"]:
            case "OpenAccount":
                self._open(said["account_id"])
            case "FoundExchange":
                self._open("EXCHANGE")
            case "DepositCash" | "WithdrawCash" if said["amount"] <= 0:
                made.is_taken, made.reason = False, "amount_not_positive"
            case "DepositCash":
                self.cash[self.numbers[said["account_id"]]] += said["amount"]
                self.paid_in += said["amount"]
            case "WithdrawCash":
                account = self.numbers[said["account_id"]]
                if self.bank_is_late and self.is_paid(account):
                    made.is_taken, made.reason = False, "withdrawal_blocked"
                elif said["amount"] > self.withdrawable(account):
                    made.is_taken, made.reason = False, "insufficient_cash"
                else:
                    self.cash[account] -= said["amount"]
                    self.paid_out += said["amount"]
            case "IssueUnits":
                self.units[self.numbers[said["account_id"]]] += said["quantity"]
                self.issued += said["quantity"]
            case "OpenDay":
                require(self.phase == CLOSED and not self.unsettled, "a day begins before the last one is settled")
                require(said["date"] > self.day, "days go backwards")
                self.phase, self.day = PRE_OPEN, said["date"]
            case "StartTrading":
                self.phase = TRADING
            case "BreakSession":
                self.phase = BREAK
            case "CloseSession":
                self.phase = CLOSED
                self.book.clear()
            case "NoteLateBank":
                self.bank_is_late = True
            case "DeliverBatch":
                self.bank_is_late = False
                self.settled += self.unsettled
                self.unsettled = []
        return made

    def _open(self, account_id: str) -> None:
        number = len(self.accounts) + 1
        self.accounts[number], self.numbers[account_id] = account_id, number

    def _order(self, row: Row) -> Predicted:
        name = f"{row.account} {row.detail.decode()}" if row.detail else ""
        made = Predicted(row, name, order_id=row.order_id)
        made.reason = self._why_not(row)
        if made.reason:
            made.is_taken = False
        elif row.kind == CANCEL:
            self.book = [order for order in self.book if order.order_id != row.order_id]
        else:
            self._place(row, made)
        return made

    def _why_not(self, row: Row) -> str:
        if row.kind == CANCEL:
            found = next((order for order in self.book if order.order_id == row.order_id), None)
            if found is None or found.account != row.account:
                return "unknown_order"
            return "market_closed" if self.phase == CLOSED else ""
        if self.phase != TRADING:
            return "market_closed"
        if row.quantity <= 0:
            return "quantity_not_positive"
        if row.side == BUY and row.price * row.quantity > self.free_cash(row.account):
            return "insufficient_cash"
        if row.side == SELL and row.quantity > self.free_units(row.account):
            return "insufficient_units"
        return ""

    def _place(self, row: Row, made: Predicted) -> None:
        self.orders += 1
        taker = Order(self.orders, row.account, row.side, row.price, row.quantity)
        made.order_id = taker.order_id
        self.owners[taker.order_id] = row.account
        is_own = False
        for maker in self._opposite(taker):
            if maker.account == taker.account:
                is_own = True  # nobody trades with himself: the newer order goes
                break
            quantity = min(taker.leaves, maker.leaves)
            buyer, seller = (taker, maker) if taker.side == BUY else (maker, taker)
            fill = Fill(len(self.trades) + 1, maker.price, quantity, maker.order_id, buyer.account, seller.account)
            made.fills.append(fill)
            self._book(fill)
            taker.leaves -= quantity
            maker.leaves -= quantity
            if not taker.leaves:
                break
        self.book = [order for order in self.book if order.leaves]
        if taker.leaves and not is_own and row.lives == self._day_lives:
            self.book.append(taker)
            made.leaves = taker.leaves

    def _opposite(self, taker: Order) -> list[Order]:
        """The orders that one meets: best price first, then the oldest."""
        sign = 1 if taker.side == BUY else -1
        met = [one for one in self.book if one.side != taker.side and sign * one.price <= sign * taker.price]
        return sorted(met, key=lambda one: (sign * one.price, one.order_id))

    def _book(self, fill: Fill) -> None:
        self.trades.append(fill)
        self.unsettled.append(fill)
        money = fill.price * fill.quantity
        self.cash[fill.buyer] -= money
        self.cash[fill.seller] += money
        self.units[fill.buyer] += fill.quantity
        self.units[fill.seller] -= fill.quantity

    # ------------------------------------------------------------ how things stand

    def free_cash(self, account: int) -> int:
        """Fen that nothing is waiting for."""
        return self.cash[account] - sum(
            one.price * one.leaves for one in self.book if one.account == account and one.side == BUY
        )

    def free_units(self, account: int) -> int:
        """Tonnes likewise."""
        return self.units[account] - sum(one.leaves for one in self.book if one.account == account and one.side == SELL)

    def withdrawable(self, account: int) -> int:
        """Fen that are free without what unsettled trades will bring."""
        claims = sum(one.price * one.quantity for one in self.unsettled if one.seller == account)
        return max(0, self.free_cash(account) - claims)

    def is_paid(self, account: int) -> bool:
        """Whether an account pays or is paid at the bank for what is not settled."""
        if self._nets_cash:
            return self.settled_cash(account) != self.cash[account]
        return any(account in (one.buyer, one.seller) for one in self.unsettled)

    def settled_cash(self, account: int) -> int:
        """Fen as if the trades that are not settled had not been."""
        return self.cash[account] + sum(
            one.price * one.quantity * ((one.buyer == account) - (one.seller == account)) for one in self.unsettled
        )

    def settled_units(self, account: int) -> int:
        return self.units[account] + sum(
            one.quantity * ((one.seller == account) - (one.buyer == account)) for one in self.unsettled
        )

    def check(self) -> None:
        """The model itself adds up."""
        require(sum(self.cash.values()) == self.paid_in - self.paid_out, "money came or went")
        require(sum(self.units.values()) == self.issued, "tonnes came or went")
