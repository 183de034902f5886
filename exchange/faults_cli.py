"""`carbonex faults`: a whole exchange on virtual time from one seed, with faults, and an auditor beside it."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from exchange.console import fail, load_compiled, say

if TYPE_CHECKING:
    from simulation.faults.plan import Fault


def faults(
    seed: Annotated[int, typer.Option(help="Of everything that is drawn; the first, where there are more.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="What the participants do, all together.")] = 200,
    seeds: Annotated[int, typer.Option(min=1, help="Play so many, one after another, until one fails.")] = 1,
    only: Annotated[
        str | None, typer.Option(help="Kinds of faults that may strike, with commas; none: none. Default: all.")
    ] = None,
    shrink: Annotated[bool, typer.Option(help="Look for fewer steps and faults that fail too.")] = True,
) -> None:
    """Kill, tear, fill, lose, double, delay and lie, from a seed; check every answer, and that nothing is lost."""
    from simulation.faults.exploring import explore, reproduction, shrunk

    enabled = _kinds(only)
    load_compiled("trading")
    struck, commands, trades, lives, took_s = Counter[str](), 0, 0, 0, 0.0
    for run in explore(range(seed, seed + seeds), steps, enabled):
        struck.update(run.faults)
        commands, trades, lives = commands + run.commands, trades + run.trades, lives + run.lives
        took_s += run.took_s
        if run.wrong is not None:
            say(f"seed {run.seed}, step {run.failed_at}: {run.wrong}")
            found = shrunk(run) if shrink else run
            say(f"again: {reproduction(found)}")
            fail("faults_found", found.wrong or "", 2)
    whole = f"seed {seed}" if seeds == 1 else f"{seeds:,} seeds from {seed}"
    say(f"{whole}, {steps:,} steps each: nothing is lost and nothing was done twice")
    say(f"{commands:,} commands, {trades:,} trades, {lives:,} lives of the process, {struck.total():,} faults")
    say(", ".join(f"{kind} {count:,}" for kind, count in struck.most_common()) or "no faults")
    say(f"{seeds * steps / took_s:,.0f} steps/s")


def _kinds(only: str | None) -> "frozenset[Fault]":
    from simulation.faults.plan import EVERY, Fault

    if only is None:
        return EVERY
    try:
        return frozenset(Fault(kind) for kind in only.split(",") if kind != "none")
    except ValueError:
        fail("unknown_fault", f"--only {only}: there are {', '.join(Fault)}")
