"""What of a year's fees is paid back to a participant that traded much, by tiers of its volume.

Each tonne of the year has a share of its fee that is paid back. A tier that the year's volume reaches sets the share
of the whole volume, or of the part above its threshold only; a higher tier speaks after a lower one. So the sentence
"50 % if 100,000 to 500,000 t, 100 % on the part above 500,000 t" (domain sheet A.7, notice of 2024-09-18) can be
read in both ways it allows: with the first tier on the whole, or on the part above 100,000 t.

Which tonnes lie above a threshold is a matter of when they were traded: the dates come in order, and the fees of the
date on which a threshold is passed are divided by tonnes. Rounded half-up to the fen, once for the year; the
rounding is not published.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Annotated, Literal

import msgspec

from settlement.clearing import type_of_column


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From a yearly volume on, tCO2e: the share of the fees paid back on the whole volume, or on the part above."""

    from_tonnes: Annotated[int, msgspec.Meta(ge=0)]
    share: Annotated[str, msgspec.Meta(pattern=r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$")]
    on: Literal["whole", "part_above"]


class Rebate(msgspec.Struct, frozen=True):
    """What a participant was paid back of its fees in a currency."""

    account: int
    asset: int
    amount: int  # hundredths
    sequence: int  # of the command


def rebate(tiers: Iterable[Tier], tonnes: type_of_column, fees: type_of_column) -> int:
    """Fen paid back to one participant for one year.

    `tonnes` and `fees` are (dates,) in the order of trading: tCO2e traded on each date and fen paid for it. ValueError
    if there is not one fee for each date, or if one of them is negative or was paid for nothing.
    """
    if tonnes.shape != fees.shape:
        raise ValueError(f"{tonnes.size} dates have tonnes, {fees.size} have fees")
    if (tonnes < 0).any() or (fees < 0).any() or fees[tonnes == 0].any():
        raise ValueError("a date has less than nothing, or fees without tonnes")
    steps = shares(tiers, int(tonnes.sum()))
    paid_back, before = Fraction(0), 0
    for traded, fee in zip(tonnes.tolist(), fees.tolist(), strict=True):
        if traded:
            paid_back += Fraction(fee, traded) * _weighed(steps, before, before + traded)
        before += traded
    return int(paid_back + Fraction(1, 2))


def shares(tiers: Iterable[Tier], volume: int) -> list[tuple[int, Fraction]]:
    """After how many tonnes of a year which share is paid back, ascending, if the year comes to `volume` tonnes."""
    steps = [(0, Fraction(0))]
    for tier in sorted(tiers, key=lambda tier: tier.from_tonnes):
        if tier.from_tonnes <= volume:
            share = Fraction(tier.share)
            steps = [(0, share)] if tier.on == "whole" else [*steps, (tier.from_tonnes, share)]
    return steps


def _weighed(steps: Sequence[tuple[int, Fraction]], first: int, last: int) -> Fraction:
    """The tonnes from `first` to `last` of a year, each times its share."""
    ends = [start for start, _ in steps[1:]] + [last]
    return sum(
        (share * max(0, min(last, end) - max(first, start)) for (start, share), end in zip(steps, ends, strict=True)),
        Fraction(0),
    )
