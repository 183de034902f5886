"""When somebody cannot pay or deliver: which trades settle all the same, who covers the rest, what is then owed.

The order of things is that of the national settlement rules (domain sheet B.3, art. 20; principles P13 of F.2):

    notify -> deadline to top up -> the risk reserve, then the house's own funds cover -> recourse -> restriction

| a case is | since                                                                                             |
|-----------|---------------------------------------------------------------------------------------------------|
| notified  | a batch was delivered without some trades of the account: they wait                               |
| cured     | within the deadline the account had what it lacked: its trades come again in the next batch       |
| covered   | after the deadline others paid or delivered for it: its trades come again in the next batch       |
| closed    | some of its sales, or all that waited for it, were closed out in cash: they are never settled     |

A case is covered in full or not at all. Where that cannot be had, or is not wanted, it is closed out: all trades that
wait for it are dropped, whatever was reserved for them is free again, and no fees are due. Who stood by its side of
one gets what the price has moved against it since (:func:`moved_against`), as far as reserve and house reach in the
order of trading; the rest is its own claim on the defaulter, outside of here. So there is always a way out.

Which trades settle depends on the mode of the batch (:func:`settling`):

gross_gross   Trade by trade: one settles if its seller has the units and its buyer the money at its turn, what earlier
              trades brought included. Who lacks either fails, with these trades only.
gross_net     An account fails if it cannot pay the net of its cash, or cannot deliver a sale at its turn. All its
              trades are taken out and the rest is netted again, which may bring down who counted on them; until nobody
              fails.
net_net       The same with the net of its units.

What is reserved comes before what is not: trades that are not backed take their turn last and may use only what is set
aside for nothing else. So a batch without them fails only if the bank has refused somebody's money.

What others paid is owed by the account, to each of them (:class:`Claim`). It is repaid once the trades for which it was
paid have settled or were closed out: until then it is what stands for them. If the case came of money that the bank had
not confirmed, only what was deposited since repays it, however much the ledger shows. Units that a covered trade brings
are held by the reserve as security until all is repaid, or sold at the closing price against what is owed: to the
house, or to a participant that agrees to buy them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
import numpy as np

from settlement.clearing import Terms, buyer_pays, obligations, seller_receives, type_of_column, type_of_rows
from settlement.netting import positions
from settlement.rules import Mode

type_of_marks = np.ndarray[Any, np.dtype[np.bool_]]

Holding = tuple[int, int]  # account, asset

BUYER, SELLER = 1, 0  # a trade has two legs: what the buyer pays, what the seller delivers
Leg = tuple[int, int]  # trade id; BUYER or SELLER


# ---------------------------------------------------------------- who fails


class Dues(NamedTuple):
    """What the trades of a batch move, a row each, in the order of trading."""

    trades: type_of_rows
    terms: Terms
    seller: type_of_column
    buyer: type_of_column
    unit: type_of_column
    cash: type_of_column
    quantity: type_of_column
    pays: type_of_column  # fen that leave the buyer
    receives: type_of_column  # fen that reach the seller
    fees: type_of_column  # fen that reach the house
    is_backed: type_of_marks  # both legs are reserved, and both claims booked
    seller_kept: type_of_marks  # of those that are not: this leg is reserved all the same
    buyer_kept: type_of_marks

    @property
    def size(self) -> int:
        return int(self.seller.size)

    def net(self, rows: type_of_marks, shape: tuple[int, ...], house: int) -> type_of_column:
        """What each account receives less what it gives in the trades that are marked, (accounts, assets)."""
        return positions(self.trades[rows], self.terms, shape[0] - 1, shape[1] - 1, house).net

    def legs(self, sold: type_of_marks, bought: type_of_marks, shape: tuple[int, ...]) -> type_of_column:
        """Tonnes that sellers deliver and fen that buyers pay by the legs that are marked, (accounts, assets)."""
        given = np.zeros(shape, np.int64)
        np.add.at(given, (self.seller[sold], self.unit[sold]), self.quantity[sold])
        np.add.at(given, (self.buyer[bought], self.cash[bought]), self.pays[bought])
        return given


class Means(NamedTuple):
    """What accounts have for a batch on the trading side, (accounts, assets) each."""

    held: type_of_column  # settled
    kept: type_of_column  # of it, reserved for trades that failed before
    ordered: type_of_column  # reserved for resting orders: of it, or of what is only claimed yet


class Verdict(NamedTuple):
    """Which trades settle; and, of those that do not, whose leg it was."""

    settles: type_of_marks
    seller_fails: type_of_marks
    buyer_fails: type_of_marks

    def failing(self, due: Dues) -> list[int]:
        """The accounts that failed, by number."""
        return sorted({*due.seller[self.seller_fails].tolist(), *due.buyer[self.buyer_fails].tolist()})


def dues(trades: type_of_rows, terms: Terms, unbacked: Collection[int], kept: Collection[Leg]) -> Dues:
    """The columns of trade rows, of which some are not backed and some legs of these are reserved."""
    owed = obligations(trades, terms)
    return Dues(
        trades=trades,
        terms=terms,
        seller=owed["seller"].astype(np.int64),
        buyer=owed["buyer"].astype(np.int64),
        unit=owed["unit"].astype(np.int64),
        cash=owed["cash"].astype(np.int64),
        quantity=owed["quantity"],
        pays=buyer_pays(owed),
        receives=seller_receives(owed),
        fees=owed["buyer_fee"] + owed["seller_fee"],
        is_backed=~np.isin(owed["trade_id"], sorted(unbacked)),
        seller_kept=np.isin(owed["trade_id"], [trade for trade, leg in kept if leg == SELLER]),
        buyer_kept=np.isin(owed["trade_id"], [trade for trade, leg in kept if leg == BUYER]),
    )


def settling(
    due: Dues,
    means: Means,
    mode: Mode,
    house: int,
    caps: Mapping[Holding, int],
    others: type_of_column | None = None,
) -> Verdict:
    """What settles. `caps`: fen, by (account, cash asset), that the bank has confirmed of who did not pay in full.

    `others`, (accounts, assets): what everybody else can pay in at most, where cash is netted. Who would have to pay
    more, since somebody else's trades are out, was not asked for that: its trades are taken out, and it has not failed.
    """
    if due.is_backed.all() and not caps:  # the rule: a pre-funded book whose money has come
        nobody = np.zeros(due.size, np.bool_)
        return Verdict(np.ones(due.size, np.bool_), nobody, nobody.copy())
    if mode == Mode.GROSS_GROSS:
        return _Turns(due, means, house, caps).verdict()
    return _netted(due, means, mode, house, caps, others)


class _Turns:
    """Trade by trade: those that are backed first, then the others, each in the order of trading.

    `left` is what accounts have at a trade's turn. Once the backed trades are through, what is reserved for orders and
    for the backed trades that failed is no longer counted: the others may not touch it.
    """

    def __init__(self, due: Dues, means: Means, house: int, caps: Mapping[Holding, int]) -> None:
        self.due, self.house = due, house
        self.may_pay = dict(caps)
        self.ordered = means.ordered
        self.left = means.held - means.kept
        self.seller_fails, self.buyer_fails = np.zeros(due.size, np.bool_), np.zeros(due.size, np.bool_)

    def verdict(self) -> Verdict:
        due = self.due
        backed, others = np.flatnonzero(due.is_backed).tolist(), np.flatnonzero(~due.is_backed).tolist()
        if self.may_pay:
            for row in backed:
                self.take(row)
        else:
            self.left += due.net(due.is_backed, self.left.shape, self.house)
        self.left -= self.ordered
        for row in backed:
            if self.seller_fails[row] or self.buyer_fails[row]:
                self.set_aside(row)
        for row in others:
            self.take(row)
        return Verdict(~(self.seller_fails | self.buyer_fails), self.seller_fails, self.buyer_fails)

    def take(self, row: int) -> None:
        """A trade's turn."""
        due, left = self.due, self.left
        seller, buyer, unit, cash = (int(column[row]) for column in (due.seller, due.buyer, due.unit, due.cash))
        pays, quantity = int(due.pays[row]), int(due.quantity[row])
        delivers_kept, pays_kept = bool(due.seller_kept[row]), bool(due.buyer_kept[row])
        delivers = delivers_kept or left[seller, unit] >= quantity
        confirmed = self.may_pay.get((buyer, cash), pays)
        if not delivers or not (pays_kept or left[buyer, cash] >= pays) or confirmed < pays:
            self.seller_fails[row] = not delivers
            self.buyer_fails[row] = not (pays_kept or left[buyer, cash] >= pays) or confirmed < pays
            return
        if (buyer, cash) in self.may_pay:
            self.may_pay[buyer, cash] -= pays
        left[seller, unit] -= 0 if delivers_kept else quantity
        left[buyer, cash] -= 0 if pays_kept else pays
        left[buyer, unit] += quantity
        left[seller, cash] += int(due.receives[row])
        left[self.house, cash] += int(due.fees[row])

    def set_aside(self, row: int) -> None:
        """A backed trade failed: the leg of who did not fail stays reserved, as far as it is there."""
        due, legs = self.due, list[tuple[int, int, int]]()
        if not self.seller_fails[row]:
            legs.append((int(due.seller[row]), int(due.unit[row]), int(due.quantity[row])))
        if not self.buyer_fails[row]:
            legs.append((int(due.buyer[row]), int(due.cash[row]), int(due.pays[row])))
        for account, asset, amount in legs:
            self.left[account, asset] -= min(amount, max(0, int(self.left[account, asset])))


def _netted(
    due: Dues, means: Means, mode: Mode, house: int, caps: Mapping[Holding, int], others: type_of_column | None
) -> Verdict:
    """All trades of who fails are taken out, and the rest is netted again; at last those of who was not asked."""
    failing: set[int] = set()
    spared: set[int] = set()
    out = np.zeros(due.size, np.bool_)
    while True:
        short = _short(due, means, mode, house, caps, out, failing | spared)
        beyond = set() if short else _beyond(due, means, house, others, out)
        if not short and not beyond:
            break
        assert not (short | beyond) & (failing | spared), "somebody whose trades are all out still fails"
        failing |= short
        spared |= beyond
        out |= _has_side(due, failing | spared)
    members = np.array(sorted(failing), np.int64)
    return Verdict(~out, out & np.isin(due.seller, members), out & np.isin(due.buyer, members))


def _beyond(due: Dues, means: Means, house: int, others: type_of_column | None, out: type_of_marks) -> set[int]:
    """Who would have to pay in more than it can."""
    if others is None:
        return set()
    cash = due.terms.currencies
    owed = -due.net(~out, means.held.shape, house)
    return set(np.flatnonzero((owed[:, cash] > others[:, cash]).any(axis=1)).tolist())


def _has_side(due: Dues, members: Collection[int]) -> type_of_marks:
    wanted = np.array(sorted(members), np.int64)
    marks: type_of_marks = np.isin(due.seller, wanted) | np.isin(due.buyer, wanted)
    return marks


def _short(
    due: Dues, means: Means, mode: Mode, house: int, caps: Mapping[Holding, int], out: type_of_marks, failing: set[int]
) -> set[int]:
    """The accounts that cannot meet what the trades that are not out come to for them."""
    shape = means.held.shape
    net = due.net(~out, shape, house)
    free, unwound = ~out & ~due.is_backed, out & due.is_backed
    members = np.array(sorted(failing), np.int64)
    given = due.legs(free & ~due.seller_kept, free & ~due.buyer_kept, shape)  # nothing is reserved for it
    mine = due.legs(~out & due.seller_kept, ~out & due.buyer_kept, shape)  # reserved for just these trades
    # what stays reserved for who did not fail
    aside = due.legs(unwound & ~np.isin(due.seller, members), unwound & ~np.isin(due.buyer, members), shape)
    able = means.held - means.kept + mine
    left = able + net - np.where(given > 0, means.ordered + aside, 0)
    assets = _netted_assets(due, mode, shape[1])
    short = set(np.flatnonzero((left[:, assets] < 0).any(axis=1)).tolist())
    short |= {account for (account, cash), cap in caps.items() if -int(net[account, cash]) > cap}
    if mode == Mode.GROSS_NET:
        short |= _cannot_deliver(due, means.held - means.kept, means.ordered + aside, out)
    return short


def _netted_assets(due: Dues, mode: Mode, assets: int) -> list[int]:
    return [*range(assets)] if mode.nets_units else due.terms.currencies


def _cannot_deliver(due: Dues, left: type_of_column, set_aside: type_of_column, out: type_of_marks) -> set[int]:
    """Who cannot deliver a sale at its turn."""
    short: set[int] = set()
    left = left.copy()
    for backed in (True, False):
        for row in np.flatnonzero(~out & (due.is_backed == backed)).tolist():
            seller, buyer, unit, quantity = (
                int(column[row]) for column in (due.seller, due.buyer, due.unit, due.quantity)
            )
            if not due.seller_kept[row]:
                reserved = 0 if backed else int(set_aside[seller, unit])
                if left[seller, unit] - reserved < quantity:
                    short.add(seller)
                left[seller, unit] -= quantity
            left[buyer, unit] += quantity
    return short


# ---------------------------------------------------------------- what somebody lacks


class Move(NamedTuple):
    """One account's side of a trade: what it gives, and what it takes once it has given."""

    gives: int  # asset
    amount: int  # 0: it is reserved already
    takes: int  # asset
    taken: int  # 0: the trade waits for somebody else too


def lacking(moves: Iterable[Move], free: Mapping[int, int], netted: Collection[int]) -> dict[int, int]:
    """What an account lacks to meet its sides of some trades, by asset; `free` is what it has for them.

    At each turn, or in one sum for the assets that are `netted`.
    """
    left, lacks = dict(free), dict[int, int]()
    for move in moves:
        left[move.gives] = left.get(move.gives, 0) - move.amount
        if move.gives not in netted and left[move.gives] < 0:
            lacks[move.gives] = lacks.get(move.gives, 0) - left[move.gives]
            left[move.gives] = 0
        left[move.takes] = left.get(move.takes, 0) + move.taken
    lacks.update({asset: -left[asset] for asset in netted if left.get(asset, 0) < 0})
    return dict(sorted(lacks.items()))


# ---------------------------------------------------------------- who covers it


def waterfall(needed: int, payers: Sequence[tuple[int, int]]) -> list[tuple[int, int]] | None:
    """Who pays how much of a sum: each payer, (who, at most), all it may before the next is asked.

    None if they cannot pay it together: nothing is covered in part.
    """
    paid: list[tuple[int, int]] = []
    for payer, at_most in payers:
        part = min(needed, max(0, at_most))
        needed -= part
        if part:
            paid.append((payer, part))
    return None if needed else paid


def moved_against(is_buyer: bool, price_ticks: int, close_ticks: int) -> int:
    """Ticks that a party is worse off than by its trade if it now deals at the closing price instead."""
    return max(0, close_ticks - price_ticks if is_buyer else price_ticks - close_ticks)


def provision(fees: int, share: str, held: int, target: int) -> int:
    """Fen of a batch's fees that go to the risk reserve: a share, floored, until it holds its target (B.1)."""
    return max(0, min(int(fees * Decimal(share)), target - held))


# ---------------------------------------------------------------- what is remembered


class CaseState(StrEnum):
    """How far the procedure has come for an account that failed."""

    NOTIFIED = "notified"
    CURED = "cured"
    COVERED = "covered"
    CLOSED = "closed"


class Compensation(msgspec.Struct, frozen=True):
    """A trade was closed out in cash: what its party that did not fail gets for what the price has moved against it.

    Amounts are hundredths of `asset`: the rule set's currency, or that of a trade for which nobody has set a rate.
    """

    trade: int
    account: int  # the other party than the case's; it is due nothing if it failed in the same trade
    close_ticks: int
    asset: int
    amount: int
    unpaid: int  # of it: a claim that the party holds outside


class Case(msgspec.Struct):
    """An account failed in a batch."""

    number: int
    account: int
    batch: int
    trades: list[int]  # ids of those that wait, or waited, for it
    lacked: dict[int, int]  # fen and tonnes by asset, when the batch was delivered
    notified_ns: int
    deadline_ns: int  # the last moment to cure
    state: CaseState = CaseState.NOTIFIED
    ended_ns: int = 0
    closed_out: list[Compensation] = []  # its trades that were closed out in cash
    paid: dict[int, int] = {}  # fen by cash asset that others paid, so that its trades settle, less what went elsewhere
    used: dict[int, int] = {}  # of it, what has stood in for what the bank did not confirm when they came again
    deposited: dict[int, int] = {}  # fen by cash asset that the account has brought since and not used elsewhere

    @property
    def is_open(self) -> bool:
        return self.state == CaseState.NOTIFIED

    def unused(self, asset: int) -> int:
        """Fen that others paid and that have stood in for nothing."""
        return self.paid.get(asset, 0) - self.used.get(asset, 0)


class Claim(msgspec.Struct):
    """Recourse: what a payer may ask back from an account that failed; fen of the rule set's currency."""

    case: int
    account: int  # who owes
    creditor: int
    amount: int
    repaid: int = 0
    written_off: int = 0

    @property
    def left(self) -> int:
        return self.amount - self.repaid - self.written_off


def _spend(cases: Iterable[Case], asset: int, among: int, amount: int) -> None:
    """Of the last so many fen that came, the oldest are gone: no case counts them any more."""
    for case in cases:
        if asset in case.deposited:
            together = max(case.deposited[asset], among)
            case.deposited[asset] = min(case.deposited[asset], together - amount)


class Defaults:
    """All cases, what is owed for them, and what the reserve holds as security."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self.claims: list[Claim] = []
        self.security: dict[Holding, int] = {}  # tonnes by (case number, unit)

    def open(self, account: int, batch: int, trades: list[int], now_ns: int, until_ns: int) -> Case:
        """A case for an account that failed; what it lacked is still to be found."""
        case = Case(len(self.cases) + 1, account, batch, trades, {}, now_ns, until_ns)
        self.cases.append(case)
        return case

    def live(self, account: int) -> list[Case]:
        """An account's cases that are open, or for which something is owed, oldest first."""
        return [case for case in self.of(account) if case.is_open or not self.is_repaid(case.number)]

    def note_deposit(self, account: int, asset: int, amount: int) -> None:
        """An account has brought money, which may cure what is open and repay what is owed."""
        for case in self.live(account):
            case.deposited = dict(sorted({**case.deposited, asset: case.deposited.get(asset, 0) + amount}.items()))

    def take_up(self, case: Case, asset: int, amount: int) -> None:
        """A case is over by so much of what was deposited, the oldest first: it does not help another one too.

        What is owed is repaid once nothing is to settle any more, so what settled by then is counted there: `spend`.
        """
        others = [other for other in self.of(case.account) if other is not case and other.is_open]
        _spend(others, asset, case.deposited.get(asset, 0), amount)

    def spend(self, account: int, asset: int, amount: int) -> None:
        """An account has paid so much: of what it has deposited the oldest is gone, then of what others paid for it."""
        cases = self.live(account)
        most = max((case.deposited.get(asset, 0) for case in cases), default=0)
        _spend(cases, asset, most, min(amount, most))
        rest = max(0, amount - most)
        for case in cases:
            if part := min(rest, case.unused(asset)):
                case.paid[asset] -= part
                rest -= part

    def set_free(self, account: int, asset: int) -> None:
        """Nothing is to settle any more: what others paid and nothing has used is as good as deposited."""
        for case in self.live(account):
            if unused := case.unused(asset):
                case.paid[asset] -= unused
                case.deposited[asset] = case.deposited.get(asset, 0) + unused

    def brought_for(self, parts: Iterable[tuple[Claim, int]], asset: int) -> bool:
        """Whether what came in since the failures, and is not used, reaches for parts of claims: a fen counts once."""
        left: int | None = None
        for claim, part in parts:
            case = self.cases[claim.case - 1]
            brought = case.deposited.get(asset, 0) + case.unused(asset)
            left = (brought if left is None else min(left, brought)) - part
            if left < 0:
                return False
        return True

    def case(self, number: int) -> Case | None:
        """A case by its number."""
        return self.cases[number - 1] if 1 <= number <= len(self.cases) else None

    def opened_by(self, batch: int) -> list[int]:
        """The numbers of the cases of who failed in a batch."""
        return [case.number for case in self.cases if case.batch == batch]

    def open_cases(self) -> list[Case]:
        """The cases that still wait for a cure or a cover."""
        return [case for case in self.cases if case.is_open]

    def of(self, account: int) -> list[Case]:
        """An account's cases, oldest first."""
        return [case for case in self.cases if case.account == account]

    def owed_by(self, account: int) -> list[Claim]:
        """The claims on an account that are not paid, in the order in which they are repaid: as they were made."""
        return [claim for claim in self.claims if claim.account == account and claim.left]

    def is_repaid(self, case: int) -> bool:
        """Whether nothing is owed for a case any more."""
        return not any(claim.left for claim in self.claims if claim.case == case)

    def secured(self, case: int) -> dict[int, int]:
        """Tonnes by unit that the reserve holds for a case."""
        return {unit: tonnes for (number, unit), tonnes in self.security.items() if number == case}

    def secured_by(self, unit: int) -> int:
        """Tonnes of a unit that the reserve holds, for all cases together."""
        return sum(tonnes for (_, kind), tonnes in self.security.items() if kind == unit)

    def content(self) -> Iterator[tuple[object, ...]]:
        """All that matters, for the digest."""
        for case in self.cases:
            yield "case", case
        for claim in self.claims:
            yield "claim", claim
        yield "security", sorted(self.security.items())

    def check(self) -> None:
        """Assert that cases follow one another and that no more is repaid than is owed."""
        for number, case in enumerate(self.cases, 1):
            assert case.number == number, f"case {case.number} stands at place {number}"
            assert case.deadline_ns >= case.notified_ns, f"the deadline of case {number} lay in the past"
            assert bool(case.ended_ns) != case.is_open, f"case {number} is {case.state} without an end, or the reverse"
            sound = all(0 <= used <= case.paid.get(asset, 0) for asset, used in case.used.items())
            assert sound, f"more has stood in for who failed in case {number} than others paid"
            assert all(fen >= 0 for fen in case.deposited.values()), f"less than nothing was deposited in case {number}"
            sound = all(0 <= one.unpaid <= one.amount for one in case.closed_out)
            assert sound, f"more than was due is paid, or unpaid, for a trade of case {number}"
        for claim in self.claims:
            assert claim.amount > 0, f"a claim of nothing in case {claim.case}"
            sound = min(claim.repaid, claim.written_off, claim.left) >= 0
            assert sound, f"more than was owed is repaid in case {claim.case}"
        for (number, _), tonnes in self.security.items():
            assert tonnes > 0, f"a security of nothing for case {number}"
            assert not self.is_repaid(number), f"case {number} is repaid, and its security is still held"
