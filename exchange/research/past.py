"""What an exchange was like at some moment, in plain values: for people, JSON and notebooks."""

from typing import Any

import numpy as np

from exchange.research.exports import levels
from exchange.sessions import local_moment
from exchange.state import Exchange
from matching.ladder import orders_of
from matching.orders import Side
from registry import holdings


def state_of(exchange: Exchange) -> dict[str, Any]:
    """A founded exchange in plain values: its moment, the books, and who has what.

    Prices are ticks and None where there is none, quantities tonnes, balances fen of a currency or tonnes of a unit.
    """
    rules = exchange.market
    return {
        "rules": rules.name,
        "sequence": exchange.sequence,
        "time": local_moment(rules, exchange.now_ns).isoformat(),
        "now_ns": exchange.now_ns,
        "day": exchange.date and exchange.date.isoformat(),
        "phase": exchange.phase.label,
        "session": exchange.session,
        "state": exchange.digest(),
        "instruments": _books(exchange),
        "assets": _balances(exchange),
    }


def _books(exchange: Exchange) -> dict[str, dict[str, Any]]:
    trades = exchange.trades_today()
    found = {}
    for instrument in exchange.instruments:
        best = [levels(exchange, instrument.number, side, 1) for side in Side]
        (bid, bid_quantity), (ask, ask_quantity) = (
            (side[0][0], sum(shown for _, shown in side[0][1])) if side else (None, 0) for side in best
        )
        found[instrument.symbol] = {
            "bid_ticks": bid,
            "bid_quantity": bid_quantity,
            "ask_ticks": ask,
            "ask_quantity": ask_quantity,
            "orders": sum(1 for _ in orders_of(exchange.path.desk.ladder, instrument.number)),
            "last_ticks": int(exchange.path.desk.instruments[instrument.number].last_ticks),
            "unsettled_volume": int(trades["quantity"][trades["instrument"] == instrument.number].sum()),
        }
    return found


def _balances(exchange: Exchange) -> dict[str, dict[str, int]]:
    """All accounts in one, by asset."""
    balances = exchange.path.desk.balances
    settled = holdings.settled(balances)
    return {
        name: {
            "settled": int(settled[:, asset].sum()),
            "holders": int(np.count_nonzero(settled[:, asset])),
            **{bucket: int(balances[bucket][:, asset].sum()) for bucket in (*holdings.BUCKETS, "unsettled")},
        }
        for asset, name in enumerate(exchange.asset_names)
    }
