"""`carbonex sweep`: run a study, go on with one, or repeat one of its runs."""

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exchange.console import fail, load_compiled, say

if TYPE_CHECKING:
    from simulation.studies.results import Results
    from simulation.studies.running import Row
    from simulation.studies.study import Run, Study


def sweep(
    file: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="Scenario, parameters, seeds and outputs.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RESULTS.parquet", help="A row for each run; goes on with it.")
    ] = None,
    on: Annotated[str | None, typer.Option(help="A Dask cluster, dask://HOST:PORT; left out: this machine.")] = None,
    jobs: Annotated[
        int, typer.Option(min=-1, help="Processes on this machine; -1: one for each core, 1: none but this one.")
    ] = -1,
    only: Annotated[
        int | None, typer.Option(min=1, help="Run this one alone, here, and print what it comes to.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run those again that failed.")] = False,
) -> None:
    """Run every combination of a study's parameters and seeds; what the results hold already is not run again."""
    from simulation.studies.results import Results
    from simulation.studies.running import SweepError
    from simulation.studies.study import StudyError, read_study

    try:
        study = read_study(file)
    except StudyError as error:
        fail("invalid_study", str(error))
    if out is None and only is None:
        fail("no_results", "name the table with -o RESULTS.parquet, or one run with --only N")
    if on is not None and not on.startswith("dask://"):
        fail("invalid_cluster", f"{on!r} is not like dask://HOST:PORT")
    if jobs == 0:
        fail("invalid_jobs", "--jobs is a number from 1, or -1 for all cores")
    for loops in study.scenario.loops:
        load_compiled(loops)
    try:
        if only is not None:
            _one(study, only, out)
            return
        assert out is not None, "asked above"
        with closing(Results(out, study)) as results:
            _all(study, results, on, jobs, retry_failed)
    except SweepError as error:
        fail(error.code, error.detail)


def _all(study: "Study", results: "Results", on: str | None, jobs: int, retry_failed: bool) -> None:
    failed = {row.id for row in results.failed} if retry_failed else set[str]()
    pending = [run for run in study.runs if run.id not in results.rows or run.id in failed]
    had = len(study.runs) - len(pending)
    if had:
        say(f"{had:,} of {len(study.runs):,} runs are in {results.path} already")
    try:
        for row in _progress(_rows(pending, on, jobs), len(pending)):
            results.add(row)
    except KeyboardInterrupt:
        say("stopped; run the same again to go on")
        raise typer.Exit(130) from None
    finally:
        results.write()
    lost = results.failed
    say(f"{len(results.rows):,} runs in {results.path}, {len(lost):,} of them failed")
    say(f"one alone: carbonex sweep {shlex.quote(str(study.path))} --only N")
    for row in lost[:10]:
        print(f"carbonex: run {row.run}, seed {row.seed}: {row.error}", file=sys.stderr)  # noqa: T201
    if lost:
        fail("runs_failed", f"{len(lost):,} runs failed, their rows say why; --retry-failed runs them again", 2)


def _rows(pending: "list[Run]", on: str | None, jobs: int) -> "Iterator[Row]":
    from simulation.studies.running import in_a_loop, on_all_cores, on_cluster

    if not pending:
        return iter(())
    if on is not None:
        return on_cluster(pending, f"tcp://{on.removeprefix('dask://')}")
    return in_a_loop(pending) if jobs == 1 else on_all_cores(pending, jobs)


def _progress(rows: "Iterator[Row]", total: int) -> "Iterator[Row]":
    """Shown on stderr while it goes on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task, failed = shown.add_task("runs", total=total), 0
        for row in rows:
            yield row
            failed += row.error is not None
            shown.update(task, advance=1, description=f"runs ({failed:,} failed)" if failed else "runs")


def _one(study: "Study", number: int, out: Path | None) -> None:
    """A run by itself; beside its row, if there is one."""
    from simulation.studies.results import read_results
    from simulation.studies.running import execute

    if number > len(study.runs):
        fail("unknown_run", f"{study.path} has runs 1 to {len(study.runs):,}")
    row = execute(study.runs[number - 1])
    told = {"run": row.run, "scenario": study.scenario.name, "parameters": row.parameters, "seed": row.seed,
            "outputs": row.outputs, "error": row.error, "seconds": round(row.seconds, 6), "version": row.version,
            "digest": row.digest}  # fmt: skip
    print(json.dumps(told, indent=2))  # noqa: T201
    if out is not None and out.exists():
        for kept in read_results(out):
            if kept.id == row.id and kept.digest != row.digest:
                fail("run_differs", f"run {number} came to {kept.digest[:12]} in {out}, now to {row.digest[:12]}", 2)
    if row.error is not None:
        fail("runs_failed", f"run {number}, seed {row.seed}: {row.error}", 2)
