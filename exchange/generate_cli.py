"""carbonex generate: order flow made from a seed."""

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from exchange.console import fail, say


class Model(StrEnum):
    """How messages come."""

    ZI = "zi"
    HAWKES = "hawkes"


def generate(
    out: Annotated[Path, typer.Option("--out", "-o", help="The flow: .parquet, .csv or .npy.")],
    model: Annotated[Model, typer.Option(help="zi: zero intelligence, constant rates; hawkes: clustered.")] = Model.ZI,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 2026,
    messages: Annotated[int | None, typer.Option(min=1, help="Length of the flow.")] = None,
    days: Annotated[
        int | None, typer.Option(min=1, help="Or trading days, closes and volumes like those of Hubei's allowances.")
    ] = None,
    first: Annotated[str, typer.Option("--from", help="With --days: the first of them or later.")] = "2025-01-02",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the output.")] = False,
) -> None:
    """Make an order flow that `carbonex replay` plays: the same on every machine for the same seed."""
    from importlib.metadata import version

    from exchange.research import generator
    from exchange.research.convert import OutputError, unfinished
    from exchange.research.flows import SUFFIXES, write

    if (messages is None) == (days is None):
        fail("invalid_length", "say either --messages or --days")
    if out.suffix not in SUFFIXES:
        fail("invalid_output", f"{out}: a flow is a {', '.join(SUFFIXES)} file")
    try:
        if days is not None:
            market = generator.MarketDays(model=model.value)
            parts = market.flow(market.plan(days, seed, date.fromisoformat(first)), seed)
            length = f"--days {days} --from {first}"
        else:
            made = generator.ZeroIntelligence() if model == Model.ZI else generator.HawkesFlow()
            parts = made.flow(messages or 0, seed)
            length = f"--messages {messages}"
        line = f"carbonex generate --model {model} --seed {seed} {length}"
        about = {"generated_by": line, "seed": str(seed), "engine_version": version("carbonex")}
        with unfinished([out], force) as (file,):
            written = write(file, out.suffix, generator.numbered(parts), about)
    except generator.ParameterError as error:
        fail("invalid_parameter", str(error))
    except OutputError as error:
        fail(error.code, str(error))
    except ValueError as error:
        fail("invalid_date", f"--from: {error}")
    say(f"{written:,} messages in {out}")
