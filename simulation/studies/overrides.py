"""A rule set with some of its keys changed: `settlement.mode`, `price_bands.up`, `execution_prices.rule` ...

A key is the path to a value in the rule set's TOML. Of a list of dated entries (bands, fees, price rules) it is that
of the entry in force on the day for trades on the book, for all classes; a list without such an entry gets one. The
word `none` at a list's own key (`price_bands = "none"`) takes out its entries for the book.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec

from exchange.rules import RuleSet, RuleSetError, load_rule_set, rule_set_of

NOTHING = "none"


class OverrideError(ValueError):
    """A key that a rule set does not have, or a value that it can't have; `key` is its path, "" for several."""

    def __init__(self, key: str, detail: str) -> None:
        super().__init__(detail)
        self.key = key
        self.detail = detail


def overridden(base: str, changes: Mapping[str, object], day: date) -> RuleSet:
    """A rule set by name or file with changes by key. RuleSetError for the base, OverrideError for a change."""
    rules = load_rule_set(base)
    document: dict[str, Any] = msgspec.to_builtins(rules)
    for key, value in changes.items():
        _change(document, key, value, day)
    try:
        return rule_set_of(document, base)
    except RuleSetError as error:
        wrong = [key for key, value in changes.items() if _is_wrong(rules, key, value, day)]
        raise OverrideError(wrong[0] if len(wrong) == 1 else "", str(error)) from error


def _is_wrong(rules: RuleSet, key: str, value: object, day: date) -> bool:
    document: dict[str, Any] = msgspec.to_builtins(rules)
    _change(document, key, value, day)
    try:
        rule_set_of(document, rules.name)
    except RuleSetError:
        return True
    return False


def _change(document: dict[str, Any], key: str, value: object, day: date) -> None:
    *path, last = key.split(".")
    place: Any = document
    for name in path:
        place = _step(place, name, key)
        if isinstance(place, list):
            place = _entry(place, name, key, day)
        if place is None:
            raise OverrideError(key, f"the rule set has no {name!r}")
    if not isinstance(place, dict):
        raise OverrideError(key, f"nothing lies below {path[-1]!r}")
    if isinstance(place.get(last), list):
        if value != NOTHING:
            raise OverrideError(key, f"{last!r} is a list; change a key of its entries, or take them out: {NOTHING!r}")
        place[last] = [entry for entry in place[last] if not _is_of_the_book(entry)]
        return
    place[last] = value


def _step(place: Any, name: str, key: str) -> Any:
    if not isinstance(place, dict) or name not in place:
        raise OverrideError(key, f"the rule set has no {name!r}")
    return place[name]


def _entry(entries: list[Any], name: str, key: str, day: date) -> dict[str, Any]:
    """The entry of a dated list that speaks on the day for the book; a new one if none does."""
    if any(not isinstance(entry, dict) or "effective_from" not in entry for entry in entries):
        raise OverrideError(key, f"{name!r} is not a list of dated entries")
    speaking = [entry for entry in entries if _is_of_the_book(entry) and entry["effective_from"] <= day.isoformat()]
    if speaking:
        found: dict[str, Any] = max(speaking, key=lambda entry: str(entry["effective_from"]))
        return found
    entries.append(made := {"effective_from": "1970-01-01"})
    return made


def _is_of_the_book(entry: Any) -> bool:
    is_negotiated = isinstance(entry, dict) and entry.get("method", "negotiated") == "negotiated"
    return is_negotiated and not entry.get("classes")
