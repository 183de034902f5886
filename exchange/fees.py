"""What a participant pays for its trades in the book: the rates of its class on the day, for the trading path.

They are set when an account opens and when a day does, and stand all day.
"""

from exchange.rules import Liquidity
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
