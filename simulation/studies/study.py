"""A study: a TOML file that names a scenario, its parameters, seeds and the outputs to keep.

    scenario = "market"
    seeds = 20                                   # 1 to 20; or a list of them
    outputs = ["trades", "vwap", "efficiency"]   # left out: all

    [parameters]                                 # a list is an axis: every combination of its values is run
    orders = 2000
    rules.settlement.mode = ["gross_gross", "net_net"]
    rules.price_bands.up = ["0.05", "0.10"]

Runs are numbered from 1: the last parameter of the file turns fastest, and within each combination the seeds.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterator
from itertools import product
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from simulation.studies.scenarios import Parameters, Scenario, ScenarioError, scenario_named

RUNS_MAX = 1_000_000
RESERVED = ("run", "id", "scenario", "seed", "error", "seconds", "version", "digest")  # columns of the table
_KEYS = ("scenario", "seeds", "outputs", "parameters")


class StudyError(ValueError):
    """A study that can't be run; names the file and the key."""


class Run(NamedTuple):
    """One call of the scenario."""

    number: int  # from 1
    scenario: str
    seed: int
    parameters: Parameters
    outputs: tuple[str, ...]  # to be kept; none: all
    folder: str  # of the study, where relative files are

    @property
    def id(self) -> str:
        """What stays the same when the study grows: of scenario, parameters and seed."""
        return digest_of([self.scenario, self.parameters, self.seed])


class Study(NamedTuple):
    """A study file that makes sense."""

    path: Path
    scenario: Scenario
    parameters: tuple[str, ...]
    runs: list[Run]


def digest_of(content: object) -> str:
    """SHA-256 of a JSON document, keys in order."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_study(path: Path) -> Study:
    """A study from its file. StudyError, in one line, if it makes no sense: nothing has run then."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StudyError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        return _study(document, path)
    except ScenarioError as error:
        raise StudyError(f"{path}: {error.key}: {' '.join(error.detail.split())}") from error


def _study(document: dict[str, Any], path: Path) -> Study:
    for key in document:
        if key not in _KEYS:
            raise ScenarioError(key, f"no such key; a study has {', '.join(_KEYS)}")
    name = document.get("scenario")
    if not isinstance(name, str):
        raise ScenarioError("scenario", "a name, or module:function")
    folder = path.parent.absolute()
    scenario = scenario_named(name, folder)
    axes = dict(_axes(document.get("parameters", {}), scenario))
    seeds, outputs = _seeds(document.get("seeds", 1)), _outputs(document.get("outputs", []), scenario)
    for key in axes:
        if key in RESERVED or key in (outputs or scenario.outputs or ()):
            raise ScenarioError(f"parameters.{key}", "is the name of another column of the table")
    count = len(seeds)
    for values in axes.values():
        count *= len(values)
    if count > RUNS_MAX:
        raise ScenarioError("parameters", f"{count:,} runs; a study has at most {RUNS_MAX:,}")
    runs = list[Run]()
    for combination in product(*axes.values()):
        parameters = dict(zip(axes, combination, strict=True))
        scenario.refuse(parameters, folder)
        runs += (Run(0, name, seed, parameters, outputs, str(folder)) for seed in seeds)
    numbered = [run._replace(number=number) for number, run in enumerate(runs, 1)]
    return Study(path, scenario, tuple(axes), numbered)


def _axes(table: Any, scenario: Scenario, above: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Each parameter with the values it takes."""
    if not isinstance(table, dict):
        raise ScenarioError("parameters", "a table")
    for name, value in table.items():
        key = f"{above}{name}"
        if isinstance(value, dict):
            yield from _axes(value, scenario, f"{key}.")
            continue
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ScenarioError(f"parameters.{key}", "an empty list: there would be no runs")
        for one in values:
            if not isinstance(one, (str, int, float, bool)) or one in (inf, -inf) or one != one:
                raise ScenarioError(f"parameters.{key}", f"{one!r} is not a plain value")
            if isinstance(one, int) and not -(1 << 63) <= one < 1 << 63:
                raise ScenarioError(f"parameters.{key}", f"{one} has more than 64 bits")
        if len({type(one) for one in values}) > 1:
            raise ScenarioError(f"parameters.{key}", "values of several types in one column")
        if len(set(values)) < len(values):
            raise ScenarioError(f"parameters.{key}", "a value stands there twice")
        yield key, values


def _seeds(given: Any) -> list[int]:
    if isinstance(given, int) and not isinstance(given, bool):
        if not 1 <= given <= RUNS_MAX:
            raise ScenarioError("seeds", f"from 1 to {RUNS_MAX:,}, or a list of seeds")
        return [*range(1, given + 1)]
    if not isinstance(given, list) or not given:
        raise ScenarioError("seeds", "how many, or a list of seeds")
    for seed in given:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 1 << 63:
            raise ScenarioError("seeds", f"{seed!r} is not a whole number from 0 to 2^63 - 1")
    if len(set(given)) < len(given):
        raise ScenarioError("seeds", "a seed stands there twice")
    return given


def _outputs(given: Any, scenario: Scenario) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise ScenarioError("outputs", "a list of names")
    for one in given:
        if one in RESERVED:
            raise ScenarioError("outputs", f"{one!r} is a column of every table")
        if scenario.outputs is not None and one not in scenario.outputs:
            raise ScenarioError("outputs", f"{scenario.name!r} has no {one!r}; it has {', '.join(scenario.outputs)}")
    if len(set(given)) < len(given):
        raise ScenarioError("outputs", "a name stands there twice")
    return tuple(given)
