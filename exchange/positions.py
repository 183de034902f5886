"""How many allowances an account holds or may come to hold, in one number, and whom the rules call large.

    position = all it has of all allowances, on either side, locked, or bought and not yet settled,
               less what it has sold and not yet delivered, plus what its resting buy orders may still bring

(domain sheet A.9, where the exchange adds orders so that no limit is passed by a fill.) The limit is fixed, or the
allocation of the years to be surrendered for and a margin.
"""

from typing import Any

import msgspec
import numpy as np

from exchange.state import Exchange
from matching import ladder as book_of
from matching.orders import Side
from registry.accounts import Account, ParticipantClass
from registry.compliance import Stage
from registry.holdings import BUCKETS
from registry.units import Species

type_of_column = np.ndarray[Any, np.dtype[np.int64]]

NO_LIMIT = (1 << 62) - 1  # t


class LargeHolder(msgspec.Struct, frozen=True):
    """An account whose position passes the figure from which it is reported; tCO2e."""

    account: int
    position: int
    reported_above: int
    limit: int | None


def counted(exchange: Exchange) -> type_of_column:
    """The position of every account, tCO2e, by account number: counted from what it holds, sold and wants."""
    desk = exchange.path.desk
    positions = np.zeros(len(exchange.accounts) + 1, np.int64)
    for unit in exchange.units:
        if unit.species == Species.ALLOWANCE:
            for bucket in BUCKETS:
                positions += desk.balances[bucket][: positions.size, unit.number]
    sold = exchange.owing()
    sold = sold[desk.instruments["counts"][sold["instrument"]] == 1]
    np.subtract.at(positions, sold["seller"], sold["quantity"])
    for listed in exchange.instruments:
        if desk.instruments[listed.number].counts:
            for order in book_of.orders_of(desk.ladder, listed.number):
                if order.side == Side.BUY:
                    positions[order.owner] += order.shown + order.hidden
    return positions


def allocation(exchange: Exchange, account: Account) -> int:
    """Free allowances of all years for which surrender is still to come, tCO2e; without any, of the last one.

    Two years overlap: next year's first part is out before last year's is surrendered, and both are held.
    """
    allocated = [
        (exchange.compliance.periods[year].stage, obligor.allocated)
        for year in sorted(exchange.compliance.periods)
        if (obligor := exchange.compliance.obligor(year, account.number)) is not None
    ]
    to_come = [tonnes for stage, tonnes in allocated if stage not in (Stage.OPEN, Stage.CLOSED)]
    over = [tonnes for stage, tonnes in allocated if stage == Stage.CLOSED]
    return sum(to_come) if to_come else sum(over[-1:])


def limit(exchange: Exchange, account: Account) -> int:
    """The position that an account's orders may not pass; NO_LIMIT if there is none."""
    rules = exchange.market.positions
    return _figure(exchange, account, rules.covered_beyond, rules.other)


def large_holders(exchange: Exchange) -> list[LargeHolder]:
    """The accounts whose position is to be reported, the largest first."""
    rules = exchange.market.positions
    found = []
    positions = exchange.path.desk.participants["position"]
    for account in exchange.accounts:
        above = _figure(exchange, account, rules.report_covered_beyond, rules.report_other)
        held = int(positions[account.number])
        if held > above:
            highest = limit(exchange, account)
            found.append(LargeHolder(account.number, held, above, None if highest == NO_LIMIT else highest))
    return sorted(found, key=lambda holder: (-holder.position, holder.account))


def _figure(exchange: Exchange, account: Account, covered_beyond: int | None, other: int | None) -> int:
    if account.participant_class == ParticipantClass.COVERED_ENTERPRISE:
        return NO_LIMIT if covered_beyond is None else allocation(exchange, account) + covered_beyond
    if account.participant_class == ParticipantClass.REGISTRY_AUTHORITY or other is None:
        return NO_LIMIT
    return other
