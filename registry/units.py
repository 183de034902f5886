"""What is held: allowances and credits. A kind of unit has one code, and with it one vintage, project, region, grade.

A unit is one tonne of CO2 equivalent and individually numbered (domain sheet A.1); units of one code are fungible in
trading, their serial numbers are kept as blocks (:mod:`registry.serials`), and what differs from tonne to tonne, its
origin and whether it was ever traded, stands there.
"""

from collections.abc import Iterator
from datetime import date
from enum import StrEnum

import msgspec


class Species(StrEnum):
    """The two species of unit."""

    ALLOWANCE = "allowance"
    CREDIT = "credit"


class Unit(msgspec.Struct):
    """A kind of unit and how many were ever issued; `number` is its column in the balances (0 is cash).

    Other numbers may be passed over, for what else has a column there.
    """

    number: int
    code: str
    species: Species
    vintage: int
    issued: int = 0
    scheme: str = ""  # of a credit: HBCER, CCER, ...
    project: str = ""  # of a credit: whose reductions it stands for
    kind: str = ""  # of a credit: type of project, e.g. forestry
    region: str = ""  # where the reductions were made
    grade: str = ""  # quality, as the issuer grades it
    registered_on: date | None = None  # when the project was registered


class Units:
    """All kinds of unit, by number and by code."""

    def __init__(self) -> None:
        self.by_number: list[Unit | None] = [None]
        self.by_code: dict[str, Unit] = {}

    def register(
        self,
        code: str,
        species: Species,
        vintage: int,
        *,
        scheme: str = "",
        project: str = "",
        kind: str = "",
        region: str = "",
        grade: str = "",
        registered_on: date | None = None,
    ) -> Unit:
        """Register a kind of unit. KeyError if the code is taken."""
        if code in self.by_code:
            raise KeyError(code)
        number = len(self.by_number)
        unit = Unit(number, code, species, vintage, 0, scheme, project, kind, region, grade, registered_on)
        self.by_number.append(unit)
        self.by_code[code] = unit
        return unit

    def pass_over(self) -> int:
        """Give the next number to something that is no unit: a currency."""
        self.by_number.append(None)
        return self.last_number

    @property
    def last_number(self) -> int:
        """The highest number given to a unit or passed over: so many columns has a balance besides cash."""
        return len(self.by_number) - 1

    def __len__(self) -> int:
        return len(self.by_code)

    def __getitem__(self, number: int) -> Unit:
        unit = self.by_number[number]
        if unit is None:
            raise IndexError(f"asset {number} is cash")
        return unit

    def __iter__(self) -> Iterator[Unit]:
        return iter(self.by_code.values())
