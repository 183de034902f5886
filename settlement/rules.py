"""What differs between markets in how they settle, as data."""

from typing import Annotated

import msgspec

from settlement.netting import Mode


class SettlementRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a market settles (national settlement rules, domain sheet B.3 and F.1)."""

    mode: Mode = Mode.GROSS_GROSS
    bank: bool = False  # payments go by instruction file to a settlement bank, which confirms them
    confirm_by: str | None = None  # local time at which an answer that is missing is late; a bank needs it
    block_on_break: bool = False  # who has another balance at the bank may not withdraw until a later file agrees
    withdrawal_lag_days: Annotated[int, msgspec.Meta(ge=0, le=1)] = 0  # until what a batch has brought may leave
