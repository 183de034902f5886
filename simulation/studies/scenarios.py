"""Scenarios: functions that a study runs, by name (`market`, `flow`) or as `module:function` of one's own.

A scenario is a function of a `seed` and of parameters with annotations and, mostly, defaults: numbers, words, true or
false, `Path` (relative to the study's file), or a `dict`, which takes the keys below its own name. What it returns is a
row: a NamedTuple (then a study that names an output it does not have is refused before anything runs) or a dict of
plain values. All it does follows from its arguments; what it draws, it draws from the seed.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from math import isfinite, isnan
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from exchange.flow_files import FlowFileError
from exchange.rules import RuleSetError
from simulation.studies.overrides import OverrideError, overridden

Value = str | int | float | bool
Parameters = dict[str, Value]  # by name; a key below a dict's own name stands behind a dot


class ScenarioError(ValueError):
    """A scenario that does not exist or can't take a parameter; `key` says which of the study's keys is wrong."""

    def __init__(self, key: str, detail: str) -> None:
        super().__init__(f"{key}: {detail}")
        self.key = key
        self.detail = detail


class Scenario(NamedTuple):
    """A function, and what there is to know before it runs."""

    name: str
    function: Callable[..., Any]
    kinds: dict[str, Any]  # annotation by parameter, the seed left out
    required: frozenset[str]  # parameters without a default
    outputs: tuple[str, ...] | None  # None: known when it has run
    loops: tuple[Literal["trading", "flow"], ...] = ()  # compiled code that it needs
    check: Callable[[dict[str, Any]], None] | None = None  # of arguments; raises ScenarioError

    def refuse(self, parameters: Parameters, folder: Path) -> None:
        """ScenarioError if it can't be called with these."""
        arguments = self.arguments(parameters, folder)
        for name in sorted(self.required - arguments.keys()):
            raise ScenarioError(f"parameters.{name}", f"scenario {self.name!r} needs it")
        if self.check is not None:
            self.check(arguments)

    def arguments(self, parameters: Parameters, folder: Path) -> dict[str, Any]:
        """Parameters as the function takes them. ScenarioError for an unknown or ill-typed one."""
        found: dict[str, Any] = {}
        for key, value in parameters.items():
            name, _, below = key.partition(".")
            if name not in self.kinds:
                known = ", ".join(self.kinds) or "none"
                raise ScenarioError(
                    f"parameters.{key}", f"scenario {self.name!r} has no such parameter; it has {known}"
                )
            kind = self.kinds[name]
            keys = _dict_in(kind)
            if bool(below) != (keys is not None):
                raise ScenarioError(f"parameters.{key}", "has keys of its own" if keys else "has no keys of its own")
            try:
                if keys is not None:
                    found.setdefault(name, {})[below] = msgspec.convert(value, get_args(keys)[1])
                elif Path in (kind, *get_args(kind)):
                    found[name] = folder / msgspec.convert(value, str)
                else:
                    found[name] = msgspec.convert(value, kind)
            except msgspec.ValidationError as error:
                raise ScenarioError(f"parameters.{key}", str(error)) from error
        return found

    def run(self, seed: int, parameters: Parameters, folder: Path) -> dict[str, Value | None]:
        """One run; what it returned, by name."""
        said = self.function(seed=seed, **self.arguments(parameters, folder))
        named: Mapping[str, Any] = said._asdict() if hasattr(said, "_asdict") else said
        if not isinstance(named, Mapping):
            raise TypeError(f"{self.name} returned {type(said).__name__}, neither a NamedTuple nor a dict")
        return {str(name): _plain(name, value) for name, value in named.items()}


def scenario_named(name: str, folder: Path) -> Scenario:
    """A scenario of ours, or `module:function`, looked for beside the study too. ScenarioError if there is none."""
    if name in _OURS:
        return _OURS[name]()
    module_name, colon, function_name = name.partition(":")
    if not colon:
        raise ScenarioError("scenario", f"no scenario {name!r}: {', '.join(_OURS)}, or module:function")
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:  # whatever the module does when it is loaded
        raise ScenarioError("scenario", f"{name}: {type(error).__name__}: {error}") from error
    return _scenario(name, function)


def _scenario(name: str, function: Callable[..., Any], **more: Any) -> Scenario:
    try:
        hints = get_type_hints(function)
        parameters = inspect.signature(function).parameters
    except (TypeError, NameError) as error:
        raise ScenarioError("scenario", f"{name}: {error}") from error
    named = {parameter: one for parameter, one in parameters.items() if parameter != "seed"}
    if "seed" not in parameters:
        raise ScenarioError("scenario", f"{name} takes no seed")
    for parameter, one in named.items():
        if parameter not in hints or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            raise ScenarioError(
                "scenario", f"{name}: parameter {parameter!r} has no annotation, or no name to give it by"
            )
    required = frozenset(parameter for parameter, one in named.items() if one.default is one.empty)
    outputs = getattr(hints.get("return"), "_fields", None)
    return Scenario(name, function, {parameter: hints[parameter] for parameter in named}, required, outputs, **more)


def _dict_in(kind: Any) -> Any:
    """The dict that an annotation is or may be."""
    return next((one for one in (kind, *get_args(kind)) if get_origin(one) is dict), None)


def _plain(name: str, value: Any) -> Value | None:
    """A value as a table holds it; not a number is none."""
    if hasattr(value, "item"):
        value = value.item()  # NumPy's numbers
    if value is not None and not isinstance(value, (str, int, float, bool)):
        raise TypeError(f"output {name!r} is a {type(value).__name__}, not a plain value")
    if isinstance(value, float) and not isfinite(value):
        if isnan(value):
            return None
        raise ValueError(f"output {name!r} is infinite")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"output {name!r} has more than 64 bits: {value}")
    return value


# ---------------------------------------------------------------- ours


def _market() -> Scenario:
    from simulation.studies import market

    def check(arguments: dict[str, Any]) -> None:
        for name, least in (("orders", 1), ("participants", 2)):
            if arguments.get(name, least) < least:
                raise ScenarioError(f"parameters.{name}", f"at least {least}")
        if not 0 <= arguments.get("swing", 0) <= 1:
            raise ScenarioError("parameters.swing", "a share from 0 to 1")
        try:
            overridden(arguments.get("base", "hubei"), arguments.get("rules", {}), market.DAY)
        except RuleSetError as error:
            raise ScenarioError("parameters.base", str(error)) from error
        except OverrideError as error:
            raise ScenarioError(f"parameters.rules.{error.key}".rstrip("."), error.detail) from error

    return _scenario("market", market.market, loops=("trading",), check=check)


def _flow() -> Scenario:
    from exchange.flow_files import read_flow
    from simulation.studies import rematch

    def check(arguments: dict[str, Any]) -> None:
        if arguments.get("messages", 1) < 1:
            raise ScenarioError("parameters.messages", "at least 1")
        if (name := arguments.get("flow", "calm")) not in rematch.NAMES:
            raise ScenarioError("parameters.flow", f"no flow {name!r}: {', '.join(rematch.NAMES)}")
        if "file" in arguments:
            try:
                read_flow(arguments["file"])
            except FlowFileError as error:
                raise ScenarioError("parameters.file", str(error)) from error

    return _scenario("flow", rematch.flow, loops=("flow",), check=check)


_OURS: dict[str, Callable[[], Scenario]] = {"market": _market, "flow": _flow}
NAMES = tuple(_OURS)
