"""What differs between markets in how they settle, as data."""

import msgspec

from settlement.netting import Mode


class SettlementRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a market settles (national settlement rules, domain sheet B.3 and F.1)."""

    mode: Mode = Mode.GROSS_GROSS
    bank: bool = False  # payments go by instruction file to a settlement bank, which confirms them
    confirm_by: str | None = None  # local time at which an answer that is missing is late
