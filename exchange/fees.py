"""What a participant pays for its trades in the book: the rates of its class on the day, for the trading path.

They are set when an account opens and when a day does, and stand all day.
"""

from datetime import date
from typing import Any

from exchange.rules import Liquidity, Method
from exchange.state import Exchange
from matching.orders import Side
from registry.accounts import Account, ParticipantClass

# Fields of exchange.desk.PARTICIPANT: on which side, and what the order does.
RATES: dict[str, tuple[Side, Liquidity]] = {
    "buy_taker_ppm": (Side.BUY, "taker"),
    "buy_maker_ppm": (Side.BUY, "maker"),
    "sell_taker_ppm": (Side.SELL, "taker"),
    "sell_maker_ppm": (Side.SELL, "maker"),
}


def rates(exchange: Exchange, participant_class: ParticipantClass) -> dict[str, int]:
    """Fees of a class on the present day in parts per million of turnover, by field; 0 before the first day."""
    day = exchange.date
    return {
        name: 0 if day is None else exchange.market.fee_ppm(day, side, liquidity, participant_class)
        for name, (side, liquidity) in RATES.items()
    }


def set_fees(exchange: Exchange, *accounts: Account) -> None:
    """Let accounts pay the fees of the present day."""
    of_class = {one: rates(exchange, one) for one in {account.participant_class for account in accounts}}
    for account in accounts:
        row = exchange.path.desk.participants[account.number]
        for name, rate_ppm in of_class[account.participant_class].items():
            row[name] = rate_ppm


def rates_of_trade(exchange: Exchange, trade: Any, day: date) -> tuple[int, int]:
    """What buyer and seller of a TRADE row paid on the day of the trade, by what their orders did in it.

    In an auction or a deal that came due neither took, and both pay as makers.
    """
    deal = None if trade["buy_order_id"] else exchange.clearing.deal_of(int(trade["trade_id"]))
    method: Method = deal.method if deal else "negotiated"
    species = exchange.units[exchange.instruments[int(trade["instrument"])].unit].species

    def paid(account: int, side: Side) -> int:
        liquidity: Liquidity = "taker" if trade["aggressor"] == side else "maker"
        who = exchange.accounts[account].participant_class
        return exchange.market.fee_ppm(day, side, liquidity, who, method, species)

    return paid(int(trade["buyer"]), Side.BUY), paid(int(trade["seller"]), Side.SELL)
