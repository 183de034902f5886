"""What may be asked about money between accounts: conversions from one currency into another, rebates of fees."""

from typing import Annotated

import msgspec

from exchange.commands.base import ControlCommand


class SetExchangeRate(ControlCommand, frozen=True):
    """From now on one of a foreign currency is worth so many of the market's own."""

    by: str
    currency: str
    rate: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$")]


class ConvertCash(ControlCommand, frozen=True):
    """Give a clearing bank cash of one currency for what it is worth in another, at the rate in force.

    What counts is settled and available; a currency left out is the rule set's. A bank that holds cash here converts
    it for whoever asks. Who may withdraw nothing may convert: the money stays in the house.
    """

    account_id: str
    bank: str
    from_currency: str
    to_currency: str
    amount: int


class ElectCurrency(ControlCommand, frozen=True):
    """Let what batches bring in other currencies be converted into one, by a clearing bank; None: leave it as it comes.

    At each delivery the net proceeds of the batch in each other currency are converted at the rate in force.
    """

    account_id: str
    currency: str | None
    bank: str = ""


class PayFeeRebates(ControlCommand, frozen=True):
    """Pay back to all who traded much what the rules say of their fees of a year that is over, out of the fees earned.

    Once for a year and for all, when its last trade has settled: what is corrected later is not reckoned up again.
    """

    by: str
    year: int


TreasuryCommand = SetExchangeRate | ConvertCash | ElectCurrency | PayFeeRebates
