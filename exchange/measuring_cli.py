"""carbonex counterfactual and report: change one thing in a flow, and measure what a market did."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exchange.console import fail, fail_to_read, load_compiled, say
from exchange.outputs import whole_file

if TYPE_CHECKING:
    from exchange.research.counterfactual import Comparison

Force = Annotated[bool, typer.Option("--force", help="Overwrite what an earlier run wrote there.")]


def counterfactual(
    flow: Annotated[Path, typer.Argument(help="Order flow: .parquet, .csv or .npy.")],
    schedule: Annotated[Path | None, typer.Option(help="What to insert, remove, delay, resize: .csv or .toml.")] = None,
    strategy: Annotated[str, typer.Option(help="Or who trades in it: file.py:Class.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of what a strategy draws.")] = 2026,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for header, summary, differences, path, fills, queue.")
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="A page with plots as well, in the folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Header and summary as JSON.")] = False,
    force: Force = False,
) -> None:
    """Change one thing in an order flow, match everybody again, and tell what differs from the flow as it was."""
    from exchange.flow_files import FlowFileError, read_flow
    from exchange.research.counterfactual import CounterfactualError, with_strategy
    from exchange.research.counterfactual import counterfactual as compared
    from exchange.research.page import PageError, comparison_page
    from exchange.research.schedule import ScheduleError, read_schedule
    from exchange.research.strategy import StrategyError, load_strategy

    if (schedule is None) == (not strategy):
        fail("invalid_option", "give one of --schedule and --strategy")
    if report and out is None:
        fail("invalid_option", "--report needs a folder: -o")
    change = ["--schedule", str(schedule)] if schedule else ["--strategy", strategy, "--seed", str(seed)]
    command = shlex.join(["carbonex", "counterfactual", str(flow), *change])
    try:
        rows = read_flow(flow)
        changes = read_schedule(schedule) if schedule else []
        acting = load_strategy(strategy) if strategy else None
        load_compiled("flow")
        made = with_strategy(rows, acting, seed, command) if acting else compared(rows, changes, command)
        page = comparison_page(f"{flow.name}, one thing changed", made) if report else None
        if out is not None:
            made.write(out, force, page)
    except FlowFileError as error:
        fail("invalid_flow_file", str(error))
    except ScheduleError as error:
        fail("invalid_schedule", str(error))
    except StrategyError as error:
        fail("invalid_strategy", str(error))
    except PageError as error:
        fail("plots_unavailable", str(error))
    except CounterfactualError as error:
        fail("output_unwritable", str(error))
    _tell(made, as_json)


def _tell(made: "Comparison", as_json: bool) -> None:
    """Header and summary, for people or machines."""
    import json

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from exchange.research.page import number

    lines = made.summary().to_pylist()
    if as_json:
        print(json.dumps({"header": made.header, "summary": lines}, indent=2))  # noqa: T201
        return
    header = made.header
    say(
        f"mode: {header['mode']}; {header['messages']:,} messages, {header['changes']:,} changes, seed {header['seed']}"
    )
    say(f"inputs: flow {header['inputs']['flow_sha256'][:16]}, schedule {header['inputs']['schedule_sha256'][:16]}")
    say(f"again: {header['reproduce']}")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in ("measure", "original", "counterfactual", "difference", "unit"):
        table.add_column(name, justify="left" if name in ("measure", "unit") else "right")
    for line in lines:
        values = (line[name] for name in ("original", "counterfactual", "difference"))
        table.add_row(line["measure"], *("–" if one is None else number(one) for one in values), line["unit"])
    Console(width=100).print(table)
    say(f"{made.differences().num_rows:,} events are in one run and not in the other")


def report(
    source: Annotated[Path, typer.Argument(help="Order flow or events (.parquet, .csv, .npy), or a journal.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page, .html.")],
    symbol: Annotated[str, typer.Option(help="Of a journal: which instrument.")] = "",
    force: Force = False,
) -> None:
    """Write a page with the statistics and plots of a market: one file that opens without a network."""
    from exchange.flow_files import FlowFileError
    from exchange.journal import JournalError
    from exchange.research.page import PageError, tape_page
    from exchange.research.taped import TapedError, taped

    if out.suffix != ".html":
        fail("invalid_option", f"{out}: a page is an .html file")
    if out.exists() and not force:
        fail("output_unwritable", f"{out} exists; --force overwrites it")
    try:
        title, facts, tape = taped(source, symbol, load_compiled)
        page = tape_page(title, facts, tape)
    except FlowFileError as error:
        fail("invalid_flow_file", str(error))
    except TapedError as error:
        fail("invalid_source", str(error))
    except JournalError as error:
        fail_to_read(error)
    except PageError as error:
        fail("plots_unavailable", str(error))
    try:
        with whole_file(out) as beside:
            beside.write_text(page, "utf-8")
    except OSError as error:
        fail("output_unwritable", f"{out}: {error.strerror}")
    say(f"{tape.messages:,} messages, {tape.trades.price_ticks.size:,} fills: {out}")
