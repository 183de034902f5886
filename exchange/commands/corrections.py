"""What may be asked about trades that were wrong. `by` is who asks; a list is put right as a whole or not at all."""

import msgspec

from exchange.commands.base import ControlCommand


class NewTerms(msgspec.Struct, frozen=True):
    """What a trade should have said; None: what it says."""

    trade_id: int
    price_ticks: int | None = None
    quantity: int | None = None


class BustTrades(ControlCommand, frozen=True):
    """Undo trades: what they moved or promised goes back, if all of it can (FIX ExecType H, Trade Cancel)."""

    by: str
    trade_ids: list[int]
    reason: str


class CorrectTrades(ControlCommand, frozen=True):
    """Give trades another price or quantity, if all of them can have it (FIX ExecType G, Trade Correct)."""

    by: str
    corrections: list[NewTerms]
    reason: str


CorrectionCommand = BustTrades | CorrectTrades
