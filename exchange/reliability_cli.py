"""`carbonex kill-test`, `overload` and `soak`: real processes under stress, and an audit of what they acknowledged."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from exchange.console import fail, load_compiled

_Found = TypeVar("_Found")
Seed = Annotated[int, typer.Option(help="Of everything that is drawn here; what meets when is decided by the machine.")]
Clients = Annotated[int, typer.Option(min=1, max=64, help="Client processes, an account each.")]
Folder = Annotated[
    Path | None, typer.Option(help="New folder for the journal and what the clients noted; else it is thrown away.")
]


def kill_test(
    kills: Annotated[int, typer.Option(min=1, help="Kills under load.")] = 200,
    clients: Clients = 3,
    seed: Seed = 2026,
    folder: Folder = None,
) -> None:
    """Kill a live exchange under load again and again, and audit every acknowledgement after each restart."""
    from simulation.reliability import kills as program

    console = Console(highlight=False)
    program.show(_within(folder, lambda within: program.run(within, kills, clients, seed, console)), console)


def overload(
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long.")] = 60.0,
    times: Annotated[float, typer.Option(min=1, max=100, help="Offered load, in measured capacities.")] = 5.0,
    clients: Clients = 4,
    inbox: Annotated[int, typer.Option(min=1, help="Commands that may wait, as of `carbonex serve`.")] = 8192,
    folder: Folder = None,
) -> None:
    """Offer an exchange several times what it can take: what it refuses and keeps, and how soon it is well."""
    from simulation.reliability import overload as program

    console = Console(highlight=False)
    program.show(_within(folder, lambda within: program.run(within, seconds, times, clients, inbox, console)), console)


def soak(
    minutes: Annotated[float, typer.Option(min=0.02, max=10_000, help="How long.")] = 60.0,
    clients: Clients = 2,
    folder: Folder = None,
) -> None:
    """Run an exchange at half of its capacity for long: memory, latency, and the digest against a replay."""
    from simulation.reliability import soak as program

    console = Console(highlight=False)
    program.show(_within(folder, lambda within: program.run(within, 60 * minutes, clients, console)), console)


def _within(folder: Path | None, work: Callable[[Path], _Found]) -> _Found:
    """Work in a folder; exit code 2 if what is found there is unsound, and then the folder stays."""
    from api.client import ApiError
    from simulation.reliability import Unsound

    load_compiled("trading")
    if folder is not None and folder.exists():
        fail("folder_exists", f"{folder} exists; name a new one")
    within = folder or Path(tempfile.mkdtemp(prefix="carbonex-"))
    try:
        within.mkdir(parents=True, exist_ok=True)
        found = work(within)
    except (Unsound, AssertionError, ApiError) as error:
        fail("unsound", f"{error}; {within} has the journal and what the clients noted", 2)
    except OSError as error:
        fail("folder_unusable", f"{within}: {error.strerror}")
    if folder is None:
        shutil.rmtree(within)
    return found
