"""Netting: what a day's obligations come to for each account, and who then gives to whom.

Three modes of delivery versus payment, after the models of the BIS (CPSS, Delivery versus payment in securities
settlement systems, 1992):

    mode          units                cash                 BIS model
    gross_gross   trade by trade       trade by trade       1, the national settlement rules' (art. 8)
    gross_net     trade by trade       net, by participant  2
    net_net       net, by participant  net, by participant  3

What is settled net in units moves from net deliverers to net receivers, paired by :func:`deliveries`, so that
each receiver can say from whom its tonnes came. What is settled net in cash moves by way of the clearing house:
one pay-in or pay-out for each participant and currency, :func:`payments`.
"""

import msgspec
import numpy as np

from settlement import loops
from settlement.clearing import Terms, as_given, type_of_column, type_of_rows

DELIVERY = np.dtype([("giver", "u4"), ("taker", "u4"), ("quantity", "i8")])  # accounts; tonnes of a unit
PAYMENT = np.dtype([("account", "u4"), ("amount", "i8")], align=True)  # fen; positive: to the account


class Positions(msgspec.Struct, frozen=True):
    """What a batch comes to for each (account, asset): tonnes of units, fen of currencies.

    A buyer's fee is part of what it must deliver; a seller's is kept back from what it receives. The house
    receives both.
    """

    out: type_of_column  # what the account must deliver, each trade by itself
    into: type_of_column  # what it shall receive
    net: type_of_column  # into - out
    fees: type_of_column  # by asset
    trades: int
    trades_with_fee: int

    def check(self) -> None:
        """Assert that every asset that somebody gives somebody gets."""
        assert not self.net.sum(axis=0).any(), f"net positions leave {self.net.sum(axis=0).tolist()} over"
        assert (self.net == self.into - self.out).all(), "net is not what comes in less what goes out"


def positions(trades: type_of_rows, terms: Terms, accounts: int, assets: int, house: int) -> Positions:
    """Sum trades in one pass.

    `accounts` and `assets` are the highest numbers there are: the sums have one row and column more. ValueError
    if a trade names an account or instrument beyond, or the terms an asset.
    """
    highest = int(max(terms.unit.max(initial=0), terms.cash.max(initial=0)))
    if highest > assets:
        raise ValueError(f"asset {highest} of the terms is beyond {assets}")
    if not 0 <= house <= accounts:
        raise ValueError(f"house {house} is not one of {accounts} accounts")
    out, into = (np.zeros((accounts + 1, assets + 1), np.int64) for _ in range(2))
    fees, counts = np.zeros(assets + 1, np.int64), np.zeros(2, np.int64)
    loops.add_up(as_given(trades), terms, house, out, into, fees, counts)
    return Positions(out, into, into - out, fees, int(counts[loops.TRADES]), int(counts[loops.FEES]))


def needed_at_turns(trades: type_of_rows, terms: Terms, shape: tuple[int, ...]) -> type_of_column:
    """Tonnes, (accounts, assets), that each account must have at first to deliver each sale at its turn.

    Trade by trade, in the order of trading: what an account has bought it may pass on.
    """
    left, lowest = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    loops.deepest(as_given(trades), terms, left, lowest)
    return -lowest


def deliveries(net: type_of_column, unit: int) -> type_of_rows:
    """DELIVERY rows that turn net positions in a unit into title: who gives whom how much.

    Net deliverers and net receivers stand in a row each, by account number, and the first that is not done gives
    to the first that has not got all. The tonnes to be moved are thought of as one line, which givers cut at
    some points and takers at others: a delivery lies between two cuts. D givers and R takers make D + R - 1
    deliveries at most.
    """
    givers, takers = np.flatnonzero(net[:, unit] < 0), np.flatnonzero(net[:, unit] > 0)
    given, taken = np.cumsum(-net[givers, unit]), np.cumsum(net[takers, unit])
    cuts = np.union1d(given, taken)
    rows = np.zeros(cuts.size, DELIVERY)
    rows["giver"] = givers[np.searchsorted(given, cuts)]
    rows["taker"] = takers[np.searchsorted(taken, cuts)]
    rows["quantity"] = np.diff(cuts, prepend=0)
    return rows


def payments(net: type_of_column, cash: int) -> type_of_rows:
    """PAYMENT rows between participants and the clearing house in one currency.

    Pay-ins (negative) come before pay-outs, each by account number: the clearing house never pays what it has not
    got, and ends with nothing. The house's fees are a pay-out like any other.
    """
    accounts = np.concatenate([np.flatnonzero(net[:, cash] < 0), np.flatnonzero(net[:, cash] > 0)])
    rows = np.zeros(accounts.size, PAYMENT)
    rows["account"] = accounts
    rows["amount"] = net[accounts, cash]
    return rows
