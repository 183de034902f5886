"""Emission factors: tCO2e per unit of activity, by name, in versions that are never overwritten.

A factor is published from a year of activity on; its next version has a number one higher, in the same unit, and may
be valid from the same year (a correction), a later or an earlier one. In force for a year is the version with the
latest first year that has begun and, of several, the one published last. Old versions stay, so that what was once
computed can always be computed again.

Emissions = activity x factor, exactly: both are decimals, and so is their product (domain sheet E.4).
"""

from collections.abc import Iterator
from decimal import Context, Decimal, Inexact, InvalidOperation

import msgspec

from registry.rules import FactorUnit, Number, Year

EXACT = Context(prec=64, traps=[Inexact, InvalidOperation])  # a product of two Numbers has 42 digits at most


class Factor(msgspec.Struct, frozen=True):
    """One version of an emission factor."""

    name: str
    version: int
    value: Number
    unit: FactorUnit
    valid_from_year: Year
    source: str

    @property
    def per(self) -> str:
        """The unit in which its activity is measured."""
        return self.unit.partition("/")[2]

    def emissions_of(self, activity: Number) -> Decimal:
        """Exact tCO2e of so much activity."""
        return EXACT.multiply(Decimal(activity), Decimal(self.value))


class Factors:
    """All versions of all factors."""

    def __init__(self) -> None:
        self.by_name: dict[str, list[Factor]] = {}  # oldest version first

    def publish(self, name: str, value: Number, unit: FactorUnit, valid_from_year: Year, source: str) -> Factor:
        """A factor, or the next version of one. ValueError if it is in another unit than before."""
        versions = self.by_name.get(name, [])
        if versions and versions[-1].unit != unit:
            raise ValueError(f"{name} is in {versions[-1].unit}, not in {unit}")
        factor = Factor(name, len(versions) + 1, value, unit, valid_from_year, source)
        self.by_name[name] = [*versions, factor]
        return factor

    def latest(self, name: str) -> Factor | None:
        """The version published last."""
        versions = self.by_name.get(name)
        return versions[-1] if versions else None

    def version(self, name: str, version: int) -> Factor | None:
        """A version by its number."""
        versions = self.by_name.get(name, [])
        return versions[version - 1] if 1 <= version <= len(versions) else None

    def in_force(self, name: str, year: int) -> Factor | None:
        """The version in force for a year of activity."""
        valid = [factor for factor in self.by_name.get(name, []) if factor.valid_from_year <= year]
        return max(valid, key=lambda factor: (factor.valid_from_year, factor.version), default=None)

    def __iter__(self) -> Iterator[Factor]:
        """All versions, by name and number."""
        for name in sorted(self.by_name):
            yield from self.by_name[name]

    def check(self) -> None:
        """Assert that versions are numbered from 1 and that a name keeps its unit."""
        for name, versions in self.by_name.items():
            assert [factor.version for factor in versions] == [*range(1, len(versions) + 1)], f"{name} lacks a version"
            assert {(factor.name, factor.unit) for factor in versions} == {(name, versions[0].unit)}, f"{name} changes"
