"""A region's rules as data: one TOML file a rule set, read into the structures below.

What differs between markets is here and nowhere in code: price rules, dated bands, dated fees, sessions,
resale lag. A rule set travels inside the journal (the command that founds the exchange carries it
whole), so a journal replays the same whatever becomes of the files.
"""

import tomllib
from datetime import date, time
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from matching.orders import SelfTradePrevention
from matching.pricing import ExecutionPrice
from registry.rules import (
    AllocationRules,
    ComplianceRules,
    CoverageRules,
    CreditRules,
    EmissionFactor,
    PositionRules,
    ReportingRules,
    Share,
)
from settlement.rules import SettlementRules

Money = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,4})?$")]


class RuleSetError(ValueError):
    """A rule set file that can't be used; says which and why."""


class ClosingPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Closing-price rule in force from a date (see `matching.pricing`)."""

    effective_from: date
    rule: Literal["day_vwap", "last_5_vwap", "last_trade"]


class ExecutionPriceRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Execution-price rule in force from a date (see `matching.pricing`)."""

    effective_from: date
    rule: Literal["maker", "median_of_three", "seller_price"]


class CarryOver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether new orders may outlive their day (GTC, GTD), from a date; those that rest already stay."""

    effective_from: date
    allowed: bool


class PriceBand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Daily price limits of a trading method, as shares of the previous close; asymmetric where the rule is."""

    effective_from: date
    up: Annotated[str, msgspec.Meta(pattern=r"^[0-9](\.[0-9]{1,6})?$")]
    down: Share
    method: Literal["negotiated", "block", "forward"] = "negotiated"


class Fees(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Trading fees in force from a date, as shares of turnover."""

    effective_from: date
    buyer: Share
    seller: Share


class RuleSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules of one market. Times are local to `timezone`; lists of dated rules may be empty."""

    name: str
    title: str
    calendar: str
    timezone: str
    pre_open: str
    sessions: Annotated[list[tuple[str, str]], msgspec.Meta(min_length=1)]
    settle_at: str
    currency: str
    tick: Money
    lot: Annotated[int, msgspec.Meta(ge=1)]
    resale_lag_days: Annotated[int, msgspec.Meta(ge=0, le=1)]
    proceeds_usable_same_day: bool
    closing_prices: list[ClosingPrice]
    execution_prices: list[ExecutionPriceRule] = []
    carry_over: list[CarryOver] = []
    self_trade_prevention: Literal["allow", "cancel_newest", "cancel_oldest", "cancel_both", "decrement"] = (
        "cancel_newest"
    )
    opening_price: Money | None = None
    opening_call: str | None = None  # when the call auction opens that ends with the first session's start
    closing_call: str | None = None  # when the one opens that ends with the last session
    price_bands: list[PriceBand] = []
    fees: list[Fees] = []
    coverage: CoverageRules = CoverageRules()
    allocation: AllocationRules = AllocationRules()
    compliance: ComplianceRules = ComplianceRules()
    positions: PositionRules = PositionRules()
    reporting: ReportingRules = ReportingRules()
    emission_factors: list[EmissionFactor] = []  # the table that a registry starts with
    credits: CreditRules = CreditRules()
    settlement: SettlementRules = SettlementRules()

    def execution_price_on(self, day: date) -> ExecutionPrice:
        """Execution-price rule of a day; the maker's price where none is named."""
        rule = in_force(self.execution_prices, day)
        return ExecutionPrice[rule.rule.upper()] if rule else ExecutionPrice.MAKER

    def carry_over_on(self, day: date) -> bool:
        """Whether GTC and GTD orders are taken on a day; they are where nothing is said."""
        rule = in_force(self.carry_over, day)
        return rule is None or rule.allowed

    @property
    def self_trade_rule(self) -> SelfTradePrevention:
        """What happens to orders of one beneficial owner that choose nothing; BY_RULES: they trade."""
        if self.self_trade_prevention == "allow":
            return SelfTradePrevention.BY_RULES
        return SelfTradePrevention[self.self_trade_prevention.upper()]

    @property
    def tick_size(self) -> Decimal:
        return Decimal(self.tick)

    @property
    def fen_per_tick(self) -> int:
        """Fen (0.01 of the currency) in a tick of price times a tonne."""
        return int(Decimal(self.tick) * 100)

    def closing_rule(self, day: date) -> str:
        rule = in_force(self.closing_prices, day)
        return rule.rule if rule else "last_trade"

    def band_ticks(self, day: date, previous_close_ticks: int, method: str = "negotiated") -> tuple[int, int] | None:
        """Lowest and highest valid price of a method in ticks, rounded half-up; None without a band."""
        band = in_force([band for band in self.price_bands if band.method == method], day)
        if band is None:
            return None
        low = max(1, half_up(previous_close_ticks * (1 - Decimal(band.down))))
        return low, half_up(previous_close_ticks * (1 + Decimal(band.up)))

    def fee_ppm(self, day: date) -> tuple[int, int]:
        """Fee of buyer and seller in parts per million of turnover."""
        fees = in_force(self.fees, day)
        if fees is None:
            return 0, 0
        return int(Decimal(fees.buyer) * 1_000_000), int(Decimal(fees.seller) * 1_000_000)


_Dated = TypeVar("_Dated", ClosingPrice, ExecutionPriceRule, CarryOver, PriceBand, Fees)


def in_force(rules: list[_Dated], day: date) -> _Dated | None:
    """The latest rule that took effect on or before a day."""
    started = [rule for rule in rules if rule.effective_from <= day]
    return max(started, key=lambda rule: rule.effective_from, default=None)


def half_up(value: Decimal) -> int:
    """A positive decimal rounded to the nearest integer, halves upwards."""
    return int(value + Decimal("0.5"))


def load_rule_set(name_or_file: str) -> RuleSet:
    """A rule set by name (hubei, national, generic) or from a TOML file. RuleSetError says what is wrong."""
    try:
        if name_or_file.endswith(".toml"):
            text = Path(name_or_file).read_text(encoding="utf-8")
        else:
            text = resources.files("exchange.rulesets").joinpath(f"{name_or_file}.toml").read_text("utf-8")
        rules = msgspec.convert(tomllib.loads(text), RuleSet)
    except OSError as error:
        raise RuleSetError(
            f"no rule set {name_or_file!r}: neither hubei, national, generic, nor a .toml file"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RuleSetError(f"rule set {name_or_file!r}: {error}") from error
    _check(rules)
    return rules


def _check(rules: RuleSet) -> None:
    sessions = [at for session in rules.sessions for at in session]
    calls = [[at] if at else [] for at in (rules.opening_call, rules.closing_call)]
    times = [rules.pre_open, *calls[0], *sessions[:-1], *calls[1], sessions[-1], rules.settle_at]
    try:
        parsed = [time.fromisoformat(at) for at in times]
        cure_by = time.fromisoformat(rules.settlement.defaults.cure_by)
        ZoneInfo(rules.timezone)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise RuleSetError(f"rule set {rules.name!r}: {error}") from error
    if any(at.tzinfo for at in (*parsed, cure_by)):
        raise RuleSetError(f"rule set {rules.name!r}: times are local to {rules.timezone}, without an offset")
    if parsed != sorted(set(parsed)):
        raise RuleSetError(f"rule set {rules.name!r}: pre_open, calls, sessions and settle_at must follow one another")
    if Decimal(rules.tick) * 100 != rules.fen_per_tick or rules.fen_per_tick < 1:
        raise RuleSetError(f"rule set {rules.name!r}: the tick must be a multiple of 0.01")
    if rules.opening_price and Decimal(rules.opening_price) % rules.tick_size:
        raise RuleSetError(f"rule set {rules.name!r}: the opening price must be a multiple of the tick")
    units = {factor.name: factor.unit for factor in rules.emission_factors}
    for factor in rules.emission_factors:
        if factor.unit != units[factor.name]:
            raise RuleSetError(f"rule set {rules.name!r}: emission factor {factor.name!r} is in two units")
    schemes = [scheme.name for scheme in rules.credits.schemes]
    if len(set(schemes)) < len(schemes):
        raise RuleSetError(f"rule set {rules.name!r}: two credit schemes have one name")
