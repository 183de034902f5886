"""Two regions' rules of coverage and allocation, as their rule sets would write them."""

import tomllib

import msgspec

from registry.rules import AllocationRules, CoverageRules


class Region(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The two tables of a rule set that this package reads."""

    coverage: CoverageRules
    allocation: AllocationRules


def region(text: str) -> Region:
    return msgspec.convert(tomllib.loads(text), Region)


HUBEI = region("""
[coverage]
ef_tce = "2.6"
years_to_exit = 2

[[coverage.thresholds]]
from_year = 2014
amount = 60000
unit = "tce"
lag_years = 3
entry_years = 2
[[coverage.thresholds]]
from_year = 2016
amount = 10000
unit = "tce"
sectors = ["cement", "steel"]
[[coverage.thresholds]]
from_year = 2017
amount = 10000
unit = "tce"
[[coverage.thresholds]]
from_year = 2024
amount = 13000
unit = "tCO2e"

[[allocation.pre_allocation]]
from_year = 2017
share = "0.50"
of = "last_allocation"
[[allocation.pre_allocation]]
from_year = 2023
share = "0.70"
of = "last_allocation"

[[allocation.paid]]
from_year = 2026
share = "0.01"
[[allocation.paid]]
from_year = 2028
share = "0.025"

[[allocation.reserve]]
from_year = 2014
share = "0.08"

[allocation.double_twenty]
years = [2014]
share = "0.20"
tonnes = 200000
""")

NATIONAL = region("""
[coverage]
national_market_takes_over = false

[[coverage.thresholds]]
from_year = 2021
amount = 26000

[[allocation.pre_allocation]]
from_year = 2023
share = "0.70"
of = "last_emissions"
[[allocation.pre_allocation]]
from_year = 2025
share = "0.50"
of = "last_emissions"

[[allocation.shortage_cap]]
from_year = 2023
share = "0.20"

[[allocation.benchmarks]]
from_year = 2024
name = "coal above 300 MW"
value = "0.7910"
[[allocation.benchmarks]]
from_year = 2025
name = "coal above 300 MW"
value = "0.7902"
[[allocation.benchmarks]]
from_year = 2024
name = "coal heat"
value = "0.1033"

[[allocation.load_correction]]
from_year = 2023
formula = "power"
below = "0.65"
base = "1.015"
constant = "16"
slope = "20"
[[allocation.load_correction]]
from_year = 2025
formula = "decay"
below = "0.50"
top = "7.254"
decays = [["0.633", "29.822"], ["5.643", "6.871"]]

[[allocation.industry]]
from_year = 2026
slope = "0.15"
limit = "0.20"
""")
