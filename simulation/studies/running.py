"""Runs, one after another, on all cores, or on a cluster: the same rows whichever way, in another order.

A run that fails is a row too: its `error` says why, and nothing else stops. Who is killed with a run under way takes
that run along; another worker of the cluster does it again, and on one machine the next sweep.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import msgspec

from simulation.studies.scenarios import Value, scenario_named
from simulation.studies.study import RESERVED, Run, digest_of

CONNECT_SECONDS = 10
_PACKAGES = ("exchange", "matching", "registry", "settlement", "simulation")


class SweepError(Exception):
    """A sweep that can't go on; `code` is stable. What has been done is kept."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Row(msgspec.Struct):
    """What came of a run."""

    run: int
    id: str
    seed: int
    parameters: dict[str, Value]
    outputs: dict[str, Value | None]  # none of a run that failed
    error: str | None  # in one line
    seconds: float
    version: str  # of the program that ran it
    digest: str  # SHA-256 of scenario, parameters, seed and outputs: the same wherever and however often it runs


@cache
def engine_version() -> str:
    """The program's version, and eight digits of a hash of the source that says what a run comes to."""
    root = Path(__file__).parent.parent.parent
    content = hashlib.sha256()
    for package in _PACKAGES:
        for file in sorted([*root.glob(f"{package}/**/*.py"), *root.glob(f"{package}/**/*.toml")]):
            content.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return f"{metadata.version('carbonex')}+{content.hexdigest()[:8]}"


def execute(run: Run) -> Row:
    """One run, here and now."""
    outputs: dict[str, Value | None] = {}
    error = None
    began = perf_counter()
    try:
        folder = Path(run.folder)
        said = scenario_named(run.scenario, folder).run(run.seed, run.parameters, folder)
        for name in (*run.outputs, *said):
            if name not in said:
                raise KeyError(f"{run.scenario} returned no {name!r}")
            if not run.outputs and (name in RESERVED or name in run.parameters):
                raise KeyError(f"{run.scenario} returned {name!r}, the name of another column")
        outputs = {name: said[name] for name in (run.outputs or said)}
    except Exception as raised:  # a failure is kept, whatever it is
        error = f"{type(raised).__name__}: {' '.join(str(raised).split())}"[:500]
    seconds = perf_counter() - began
    digest = digest_of([run.scenario, run.parameters, run.seed, outputs, error])
    return Row(run.number, run.id, run.seed, run.parameters, outputs, error, seconds, engine_version(), digest)


def in_a_loop(runs: Sequence[Run]) -> Iterator[Row]:
    """One after another, in this process."""
    return map(execute, runs)


def on_all_cores(runs: Sequence[Run], jobs: int) -> Iterator[Row]:
    """In processes of this machine, as many as it has cores if `jobs` is -1. SweepError if one of them is killed."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    try:
        yield from Parallel(n_jobs=jobs, return_as="generator_unordered")(delayed(execute)(run) for run in runs)
    except BrokenProcessPool as error:
        raise SweepError("worker_ended", f"a process ended in the midst of its run: {_line(error)}") from error


def on_cluster(runs: Sequence[Run], address: str) -> Iterator[Row]:
    """On a Dask cluster. SweepError if it can't be reached; what a worker takes along when it ends is run again.

    A run whose workers end time after time has failed, with Dask's word for it.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise SweepError("dask_missing", "--on needs Dask: pip install 'carbonex[dask]'") from error
    try:
        client: Any = cast(Any, Client)(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise SweepError("cluster_unreachable", f"{address}: {_line(error)}") from error
    with client:
        futures = client.map(execute, runs, pure=False, key=[f"carbonex-{run.id}" for run in runs])
        asked = {future.key: run for future, run in zip(futures, runs, strict=True)}
        for future in cast(Any, as_completed)(futures):
            run = asked[future.key]
            row = future.result() if future.status == "finished" else _lost(run, future.exception())
            future.release()
            if row.version != engine_version():
                raise SweepError(
                    "worker_version",
                    f"a worker runs {row.version}, this program is {engine_version()}: install the same",
                )
            yield row


def _lost(run: Run, error: Any) -> Row:
    said = f"{type(error).__name__}: {_line(error)}"
    digest = digest_of([run.scenario, run.parameters, run.seed, {}, said])
    return Row(run.number, run.id, run.seed, run.parameters, {}, said, 0.0, engine_version(), digest)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
