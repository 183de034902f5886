"""What can have happened to trades that were wrong. Each trade is an event row too, TRADE_BUSTED or TRADE_CORRECTED."""

from exchange.events.base import ControlEvent
from settlement.corrections import Correction


class TradesBusted(ControlEvent, frozen=True):
    corrections: list[Correction]
    closes_ticks: dict[int, int]  # closing prices of the day that were worked out again, by instrument number


class TradesCorrected(ControlEvent, frozen=True):
    corrections: list[Correction]
    closes_ticks: dict[int, int]


CorrectionEvent = TradesBusted | TradesCorrected
