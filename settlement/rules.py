"""What differs between markets in how they settle, as data; nothing here needs a compiler."""

from enum import StrEnum
from typing import Annotated

import msgspec

Money = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,2})?$")]
Share = Annotated[str, msgspec.Meta(pattern=r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$")]


class Mode(StrEnum):
    """What is settled trade by trade (gross) and what is offset first (net)."""

    GROSS_GROSS = "gross_gross"
    GROSS_NET = "gross_net"  # units gross, cash net
    NET_NET = "net_net"

    @property
    def nets_units(self) -> bool:
        return self == Mode.NET_NET

    @property
    def nets_cash(self) -> bool:
        return self != Mode.GROSS_GROSS


class Policy(StrEnum):
    """How a simulated bank answers: all at once, unless it is late."""

    ACCEPT = "accept"
    REJECT = "reject"  # the first who has to pay in
    PARTIAL = "partial"  # half of what the first has to pay in
    LATE = "late"


class ReserveRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The risk reserve (art. 15): an account of its own, filled from fees until it holds its target (B.1)."""

    share: Share  # of each batch's fees, floored to the fen
    target: Money
    house_funds_max: Money = "0"  # what the house lends to all defaulters together once the reserve is empty


class DefaultRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What follows when an account fails (art. 20). No figure is published."""

    cure_working_days: Annotated[int, msgspec.Meta(ge=0, le=250)] = 1  # after the day of the notice
    cure_by: str = "15:00"  # local time, on the last of them


class SettlementRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a market settles (national settlement rules, domain sheet B.3 and F.1)."""

    mode: Mode = Mode.GROSS_GROSS
    bank: bool = False  # payments go by instruction file to a settlement bank, which confirms them
    confirm_by: str | None = None  # local time at which an answer that is missing is late; a bank needs it
    block_on_break: bool = False  # who has another balance at the bank may not withdraw until a later file agrees
    withdrawal_lag_days: Annotated[int, msgspec.Meta(ge=0, le=1)] = 0  # until what a batch has brought may leave
    reserve: ReserveRules | None = None
    defaults: DefaultRules = DefaultRules()
