"""What can have happened to money between accounts."""

from datetime import date

import msgspec

from exchange.events.base import ControlEvent
from exchange.reasons import Reason
from settlement.conversions import Conversion
from settlement.rebates import Rebate


class ExchangeRateSet(ControlEvent, frozen=True):
    asset: int
    rate: str  # units of the rule set's currency for one
    date: date


class CashConverted(ControlEvent, frozen=True):
    conversion: Conversion


class CurrencyElected(ControlEvent, frozen=True):
    """`asset` None: proceeds stay as they come."""

    account: int
    asset: int | None
    bank: int  # account; 0: nobody


class CurrencyLeg(msgspec.Struct, frozen=True):
    """What became of an account's proceeds of a batch in a currency that it does not want.

    They were converted, or stay as they are: then `amount` says how much, and `reason` why.
    """

    account: int
    asset: int
    amount: int  # hundredths
    conversion: Conversion | None = None
    reason: Reason = Reason.NONE


class FeeRebatesPaid(ControlEvent, frozen=True):
    year: int
    rebates: list[Rebate]


TreasuryEvent = ExchangeRateSet | CashConverted | CurrencyElected | FeeRebatesPaid
