"""Many seeds one after another, and what to make of one that fails: fewer steps, then fewer faults."""

import gc
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from simulation.faults.plan import EVERY, Fault
from simulation.faults.world import Run, run

COLLECT_EVERY = 8  # seeds
Play = Callable[[int, int, Collection[Fault]], Run]


def explore(seeds: Iterable[int], steps: int, enabled: Collection[Fault] = EVERY) -> Iterator[Run]:
    """Play seeds."""
    for count, seed in enumerate(seeds, 1):
        yield run(seed, steps, enabled)
        if count % COLLECT_EVERY == 0:
            gc.collect()  # worlds are few objects in circles, of many megabytes


def shrunk(failed: Run, play: Play = run) -> Run:
    """A run of the same seed that fails too, with as few steps and kinds of faults as halving them finds."""
    failed = _fewer_steps(failed, play)
    failed = _fewer_faults(failed, play)
    return _fewer_steps(failed, play)


def _fewer_steps(failed: Run, play: Play) -> Run:
    """As many as had been taken when it failed; then half as many, or as many less one, as long as it still does."""
    failed = replace(failed, steps=min(failed.steps, max(1, failed.failed_at)))
    while failed.steps > 1:
        for steps in (failed.steps // 2, failed.steps - 1):
            found = play(failed.seed, steps, failed.enabled)
            if found.wrong is not None:
                failed = found
                break
        else:
            return failed
    return failed


def _fewer_faults(failed: Run, play: Play) -> Run:
    """Without a half of the kinds, a quarter of them ... one of them, as long as it still fails."""
    size = max(1, len(failed.enabled) // 2)
    while True:
        kinds = sorted(failed.enabled)
        parts = [kinds[start : start + size] for start in range(0, len(kinds), size)]
        runs = (play(failed.seed, failed.steps, failed.enabled.difference(part)) for part in parts)
        found = next((one for one in runs if one.wrong is not None), None)
        if found is not None:
            failed = found
        elif size == 1:
            return failed
        else:
            size //= 2


def reproduction(failed: Run) -> str:
    """The command that plays a failed run again."""
    only = "" if failed.enabled == EVERY else f" --only {','.join(sorted(failed.enabled)) or 'none'}"
    return f"carbonex faults --seed {failed.seed} --steps {failed.steps}{only}"
