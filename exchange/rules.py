"""A region's rules as data: one TOML file a rule set, read into the structures below.

What differs between markets is here and nowhere in code: price rules, dated bands, dated fees, sessions,
resale lag. A rule set travels inside the journal (the command that founds the exchange carries it
whole), so a journal replays the same whatever becomes of the files.
"""

import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from importlib import resources
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from matching.orders import SelfTradePrevention, Side
from matching.pricing import ExecutionPrice
from registry.accounts import ParticipantClass
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
from registry.units import Species
from settlement.rebates import Tier
from settlement.rules import SettlementRules

Money = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,4})?$")]
NAMES = ("hubei", "national", "generic")  # the rule sets that come with the program
Liquidity = Literal["maker", "taker"]
# How a trade comes about: in the book, from a fixed-price listing, as a bilateral block, by sealed bids.
Method = Literal["negotiated", "fixed_price", "block", "auction"]
ClassLabel = Literal[
    "covered_enterprise", "institution", "individual", "market_operator", "registry_authority", "verifier",
    "clearing_bank",
]  # fmt: skip


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
    """Trading fees of a method in force from a date, as shares of turnover.

    For the participant classes and species that it names; for all where it names none. In the book makers may pay
    another share than takers. A maker in a call auction is everybody: nobody takes there.
    """

    effective_from: date
    buyer: Share
    seller: Share
    method: Method = "negotiated"
    classes: list[ClassLabel] = []
    species: list[Species] = []  # none in the book, where a participant has one rate for all it trades
    maker_buyer: Share | None = None  # None: as `buyer`
    maker_seller: Share | None = None  # None: as `seller`

    def share(self, side: Side, liquidity: Liquidity) -> Decimal:
        """What one side pays for what it does."""
        taker, maker = (self.buyer, self.maker_buyer) if side == Side.BUY else (self.seller, self.maker_seller)
        return Decimal(taker if liquidity == "taker" or maker is None else maker)


class FeeRebate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of the fees for a method is paid back, from a date, by tiers of a volume (see `settlement.rebates`)."""

    effective_from: date
    tiers: Annotated[list[Tier], msgspec.Meta(min_length=1)]
    method: Method = "negotiated"
    classes: list[ClassLabel] = []
    basis: Literal["year_volume"] = "year_volume"


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
    fee_rebates: list[FeeRebate] = []
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

    def fee_ppm(
        self,
        day: date,
        side: Side,
        liquidity: Liquidity,
        participant_class: ParticipantClass,
        method: Method = "negotiated",
        species: Species | None = None,
    ) -> int:
        """Fee in parts per million of turnover; 0 where no entry speaks.

        Of the entries of the method in force on the day that name the class and the species, or none, the latest
        speaks; of those of one date the one that names more. `species` may be left out in the book, where none is
        named.
        """
        named = [
            entry
            for entry in self.fees
            if entry.method == method
            and (not entry.classes or participant_class.label in entry.classes)
            and (not entry.species or species in entry.species)
        ]
        entry = in_force(sorted(named, key=_names, reverse=True), day)
        return 0 if entry is None else int(entry.share(side, liquidity) * 1_000_000)

    def fee_rebate(
        self, day: date, participant_class: ParticipantClass, method: Method = "negotiated"
    ) -> FeeRebate | None:
        """What is paid back of a class's fees; of several entries the one that speaks as in `fee_ppm`."""
        named = [
            entry
            for entry in self.fee_rebates
            if entry.method == method and (not entry.classes or participant_class.label in entry.classes)
        ]
        return in_force(sorted(named, key=_names, reverse=True), day)


_Dated = TypeVar("_Dated", ClosingPrice, ExecutionPriceRule, CarryOver, PriceBand, Fees, FeeRebate)


def in_force(rules: list[_Dated], day: date) -> _Dated | None:
    """The latest rule that took effect on or before a day; of several the first in the list."""
    started = [rule for rule in rules if rule.effective_from <= day]
    return max(started, key=lambda rule: rule.effective_from, default=None)


def _species(entry: Fees | FeeRebate) -> list[Species]:
    return entry.species if isinstance(entry, Fees) else []


def _names(entry: Fees | FeeRebate) -> int:
    """How much an entry names: classes, species, both or neither."""
    return bool(entry.classes) + bool(_species(entry))


def _clash(entries: list[Fees | FeeRebate]) -> bool:
    """Whether two of the entries can speak of the same, and neither before the other."""
    return any(
        (one.method, one.effective_from, _names(one)) == (other.method, other.effective_from, _names(other))
        and _meet(one.classes, other.classes)
        and _meet(_species(one), _species(other))
        for one, other in combinations(entries, 2)
    )


def _meet(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether two lists name one thing; an empty one names all."""
    return not ours or not theirs or bool(set(ours) & set(theirs))


def half_up(value: Decimal) -> int:
    """A positive decimal rounded to the nearest integer, halves upwards."""
    return int(value + Decimal("0.5"))


def load_rule_set(name_or_file: str, known: Mapping[str, RuleSet] = MappingProxyType({})) -> RuleSet:
    """A rule set by name (hubei, national, generic) or from a TOML file. RuleSetError says what is wrong.

    A file with a `base` says only what differs from that: the name of a rule set (of `known` too), or another file,
    beside it unless its path is whole. Tables are laid over those of the base key by key; lists replace its lists.
    """
    return rule_set_of(_document(name_or_file, known, ()), name_or_file)


def _document(name_or_file: str, known: Mapping[str, RuleSet], above: tuple[str, ...]) -> dict[str, Any]:
    """What a rule set says, with all that it takes from its base; `above` are the files that lead to it."""
    if name_or_file in above:
        raise RuleSetError(f"rule set {name_or_file!r} is its own base")
    if name_or_file in known:
        found: dict[str, Any] = msgspec.to_builtins(known[name_or_file])
        return found
    try:
        if name_or_file.endswith(".toml"):
            text = Path(name_or_file).read_text(encoding="utf-8")
        else:
            text = resources.files("exchange.rulesets").joinpath(f"{name_or_file}.toml").read_text("utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise RuleSetError(
            f"no rule set {name_or_file!r}: neither {', '.join([*known, *NAMES])}, nor a .toml file"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RuleSetError(f"rule set {name_or_file!r}: {error}") from error
    base = document.pop("base", None)
    if base is None:
        return document
    if not isinstance(base, str):
        raise RuleSetError(f"rule set {name_or_file!r}: its base must be a name or a file")
    if base.endswith(".toml"):
        base = str(Path(name_or_file).parent / base)
    return _laid_over(_document(base, known, (*above, name_or_file)), document)


def _laid_over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Tables key by key, everything else as a whole."""
    both = {name: (base.get(name), value) for name, value in changes.items()}
    return base | {
        name: _laid_over(ours, theirs) if isinstance(ours, dict) and isinstance(theirs, dict) else theirs
        for name, (ours, theirs) in both.items()
    }


def rule_set_of(document: dict[str, Any], name: str) -> RuleSet:
    """The rule set that a document describes, under the name that errors give it. RuleSetError says what is wrong."""
    try:
        rules = msgspec.convert(document, RuleSet)
    except msgspec.ValidationError as error:
        raise RuleSetError(f"rule set {name!r}: {error}") from error
    _check(rules)
    return rules


def _check(rules: RuleSet) -> None:
    sessions = [at for session in rules.sessions for at in session]
    calls = [[at] if at else [] for at in (rules.opening_call, rules.closing_call)]
    settling = [rules.settle_at, *filter(None, [rules.settlement.confirm_by])]
    times = [rules.pre_open, *calls[0], *sessions[:-1], *calls[1], sessions[-1], *settling]
    try:
        parsed = [time.fromisoformat(at) for at in times]
        cure_by = time.fromisoformat(rules.settlement.defaults.cure_by)
        ZoneInfo(rules.timezone)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise RuleSetError(f"rule set {rules.name!r}: {error}") from error
    if any(at.tzinfo for at in (*parsed, cure_by)):
        raise RuleSetError(f"rule set {rules.name!r}: times are local to {rules.timezone}, without an offset")
    if parsed != sorted(set(parsed)):
        raise RuleSetError(
            f"rule set {rules.name!r}: pre_open, calls, sessions, settle_at and confirm_by must follow one another"
        )
    if rules.settlement.bank and rules.settlement.confirm_by is None:
        raise RuleSetError(f"rule set {rules.name!r}: a settlement bank needs a time to confirm by")
    if Decimal(rules.tick) * 100 != rules.fen_per_tick or rules.fen_per_tick < 1:
        raise RuleSetError(f"rule set {rules.name!r}: the tick must be a multiple of 0.01")
    if rules.opening_price and Decimal(rules.opening_price) % rules.tick_size:
        raise RuleSetError(f"rule set {rules.name!r}: the opening price must be a multiple of the tick")
    if any(entry.method == "negotiated" and entry.species for entry in rules.fees):
        raise RuleSetError(f"rule set {rules.name!r}: negotiated fees are the same for all species")
    if _clash([*rules.fees]) or _clash([*rules.fee_rebates]):
        raise RuleSetError(f"rule set {rules.name!r}: two fees or rebates of one date speak of the same")
    units = {factor.name: factor.unit for factor in rules.emission_factors}
    for factor in rules.emission_factors:
        if factor.unit != units[factor.name]:
            raise RuleSetError(f"rule set {rules.name!r}: emission factor {factor.name!r} is in two units")
    schemes = [scheme.name for scheme in rules.credits.schemes]
    if len(set(schemes)) < len(schemes):
        raise RuleSetError(f"rule set {rules.name!r}: two credit schemes have one name")
