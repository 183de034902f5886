"""What the settlement bank has to book of a day: every movement of settled cash, from the lines of its statements.

Of trades the bank books what is left when a batch's are offset, in one final payment for each account and currency,
fees included; they are the house's, which has its own. Everything else it books as the statements have it, cause by
cause. Only deposits and withdrawals cross the bank's border; all other money goes from one sub-ledger to another, so it
comes to nothing in each currency, batch by batch. All bookings of a day are what its closing has more than its opening.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from settlement.bank_files import Booking, Reach
from settlement.clearing import Terms
from settlement.statements import Line

FINAL_PAYMENT = "final_payment"
_EXTERNAL = {"deposit", "withdrawal"}


def bookings(
    lines: Iterable[Line], terms: Terms, account_ids: Sequence[str], currencies: Mapping[str, int]
) -> tuple[Booking, ...]:
    """Of each line of statements first what is no trade, in its order, then final payments by currency and account.

    `account_ids` are by account number, `currencies` asset numbers by code.
    """
    codes = {asset: code for code, asset in currencies.items()}
    return tuple(chain.from_iterable(_of(line, terms, account_ids, codes) for line in lines))


def _of(line: Line, terms: Terms, account_ids: Sequence[str], codes: Mapping[int, str]) -> Iterator[Booking]:
    for account, entry in line.entries:
        if entry.asset in codes and entry.amount:
            reach = Reach.EXTERNAL if entry.cause in _EXTERNAL else Reach.INTERNAL
            named = account_ids[account], codes[entry.asset]
            yield Booking(line.batch, *named, reach, entry.cause, entry.reference, entry.amount)
    net = line.positions(terms).net
    for asset, code in sorted(codes.items()):
        if asset < net.shape[1]:  # the currency was known then
            for account in np.flatnonzero(net[:, asset]).tolist():
                named, fen = (account_ids[account], code), int(net[account, asset])
                yield Booking(line.batch, *named, Reach.INTERNAL, FINAL_PAYMENT, line.batch, fen)
