"""carbonex: the command line, where the parts are put together.

Exit codes: 0 well, 1 the caller's error, 2 a check failed, the exchange broke, or an option or setting can't be.
"""

import asyncio
import signal
import socket
import subprocess
import sys
from contextlib import closing
from datetime import date
from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich.console import Console

from exchange import (
    credits_cli,
    emissions_cli,
    export_cli,
    faults_cli,
    generate_cli,
    journal_cli,
    keys_cli,
    measuring_cli,
    registry_cli,
    reliability_cli,
    research_cli,
    serve_cli,
    settlement_cli,
    sweep_cli,
)
from exchange.console import fail, fail_to_read, load_compiled, say
from settlement.rules import Mode as SettlementMode
from settlement.rules import Policy

app = typer.Typer(
    name="carbonex",
    help="A simulated regional carbon-allowance exchange.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

bench = typer.Typer(help="Measure: each benchmark checks its answer before it prints a number.", no_args_is_help=True)
app.add_typer(bench, name="bench")
drills = typer.Typer(help="Rehearse: what must not happen, made to happen in memory.", no_args_is_help=True)
app.add_typer(drills, name="drill")
app.command()(serve_cli.serve)
app.command()(research_cli.replay)
app.command()(research_cli.convert)
app.command()(research_cli.validate)
app.command("kill-test")(reliability_cli.kill_test)
app.command()(reliability_cli.overload)
app.command()(reliability_cli.soak)
app.command()(journal_cli.backup)
app.command()(faults_cli.faults)
app.command()(journal_cli.restore)
app.command()(measuring_cli.counterfactual)
app.command()(measuring_cli.report)
app.command()(sweep_cli.sweep)
app.command()(export_cli.export)
app.command()(generate_cli.generate)
app.add_typer(registry_cli.registry, name="registry")
app.add_typer(settlement_cli.settlement, name="settlement")
app.add_typer(keys_cli.keys, name="keys")
registry_cli.registry.add_typer(emissions_cli.emissions, name="report-emissions", rich_help_panel=registry_cli.REPORTS)
registry_cli.registry.add_typer(credits_cli.credits, name="credits", rich_help_panel=registry_cli.CREDITS)

DEFAULT_JOURNAL = Path("var/exchange.journal")

JournalFile = Annotated[Path, typer.Option(help="Where the exchange remembers: one file, made if missing.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 takes a free one.")]


class Bank(StrEnum):
    ACCEPT = "accept"
    REJECT = "reject"
    PARTIAL = "partial"
    LATE = "late"
    NONE = "none"


BankPolicy = Annotated[
    Bank,
    typer.Option(
        help="How a simulated settlement bank answers, where the rules want one: it accepts all, rejects what the "
        "first participant has to pay in, pays half of it, or answers half an hour late; none: somebody else "
        "answers, as `carbonex bank` does."
    ),
]


@app.command()
def demo(
    journal: JournalFile = DEFAULT_JOURNAL,
    port: Port = 8000,
    day: Annotated[str, typer.Option(help="First trading day; later runs take the next one.")] = "2026-01-05",
    seconds: Annotated[
        float, typer.Option(min=1, max=14_400, help="About how long the four trading hours take.")
    ] = 20.0,
    seed: Annotated[int, typer.Option(help="Of the participants' plans.")] = 2026,
    bank: BankPolicy = Bank.ACCEPT,
    exit_: Annotated[bool, typer.Option("--exit", help="End after the report instead of going on serving.")] = False,
) -> None:
    """Trade one whole day with simulated enterprises over HTTP, settle it, print what came of it."""
    from simulation.demo import DemoError, market_day, wait_until_ready
    from simulation.ports import free_port

    port = port or free_port()
    if _is_taken("127.0.0.1", port):
        fail("address_in_use", f"127.0.0.1:{port} is taken; choose another with --port")
    _date(day)
    base_url = f"http://127.0.0.1:{port}"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the exchange does not outlive us
    server = subprocess.Popen(
        [sys.executable, "-m", "exchange.cli", "serve", "--manual", "--journal", str(journal), "--port", str(port),
         "--day", day, "--bank", bank],
        process_group=0,  # Ctrl-C is for us to hear, who then end it
    )  # fmt: skip

    async def whole_day() -> None:
        ready = asyncio.create_task(wait_until_ready(base_url, server.pid, 600))
        while not ready.done():
            if server.poll() is not None:
                raise DemoError("the exchange did not start")
            await asyncio.sleep(0.05)
        await ready
        await market_day(base_url, seed, 4 * 3600 / seconds, Console())

    try:
        asyncio.run(whole_day())
        if not exit_:
            say(f"still serving on {base_url} - API pages at {base_url}/docs - Ctrl-C ends")
            say("the clock runs at real time now, and the day is yours: see `carbonex settlement --help`")
            if server.wait():
                fail("exchange_ended", f"the exchange ended with status {server.returncode}", 2)
    except DemoError as error:
        fail("demo_failed", f"{error}; the journal {journal} holds what has happened, run again to go on", 2)
    except KeyboardInterrupt:
        say("stopped; the journal holds everything")
    finally:
        server.terminate()
        server.wait()


@app.command()
def bank(
    url: Annotated[str, typer.Option(envvar="CARBONEX_URL", help="The running exchange.")] = registry_cli.DEFAULT_URL,
    by: Annotated[
        str, typer.Option(envvar="CARBONEX_BANK", help="Account id of the bank; opened if there is none.")
    ] = "BANK",
    policy: Annotated[
        Policy,
        typer.Option(
            help="It accepts all, rejects what the first participant has to pay in, pays half of it, "
            "or answers half an hour of the market late."
        ),
    ] = Policy.ACCEPT,
    files: Annotated[
        Path | None,
        typer.Option(help="Keep in this folder what it gets and sends: payments, answers, bookings, balances."),
    ] = None,
    books: Annotated[
        Path | None,
        typer.Option(help="Keep its sub-ledgers in this SQLite file; left out: in memory, booked anew at each start."),
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, help="End after so many settled days, one that waits already among them.")
    ] = None,
) -> None:
    """Be the settlement bank of an exchange that was started with --bank none, until Ctrl-C."""
    from api.client import CONNECTION_LOST, ApiError, AsyncClient
    from simulation.bank import BankError, SettlementBank
    from simulation.sub_ledgers import BooksError, SubLedgers

    async def answer() -> None:
        with closing(SubLedgers(books)) as ledgers:
            async with AsyncClient(url) as client:
                made = SettlementBank(client, by, policy, say, files, ledgers)
                await made.enrol()
                say(f"{by} answers for the settlement bank of {url} - Ctrl-C ends")
                await made.run(days)

    try:
        asyncio.run(answer())
    except (BankError, BooksError) as error:
        fail(error.code, error.detail)
    except ApiError as error:
        lost = error.code == CONNECTION_LOST
        fail(error.code, registry_cli.nobody_at(url, error.detail) if lost else error.detail)
    except OSError as error:
        fail("file_unwritable", f"{error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        say("stopped")


@app.command()
def check(journal: Annotated[Path, typer.Argument(help="The journal file.")] = DEFAULT_JOURNAL) -> None:
    """Verify a journal: its chain, its replay, and every invariant at its end. Says nothing if all is well."""
    from exchange.engine import read_exchange
    from exchange.invariants import CHECKS
    from exchange.journal import JournalError

    load_compiled("trading")

    try:
        exchange = read_exchange(journal)
        for one in CHECKS:
            failing = one.__name__
            one(exchange)
    except JournalError as error:
        fail_to_read(error)
    except AssertionError as error:
        fail(failing, str(error), 2)


@app.command()
def cycle(
    rules: Annotated[str, typer.Option(help="Rule set by name (hubei, national) or a .toml file.")] = "hubei",
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 2026,
    enterprises: Annotated[int, typer.Option(min=20, max=5000, help="How many; the cap grows with them.")] = 340,
    journal: Annotated[
        Path | None, typer.Option(help="Keep the journal in this new file, to look at or check later.")
    ] = None,
) -> None:
    """Play two compliance years of a whole market, from allocation to the last surrendered unit, and reconcile."""
    from exchange.cycle import CycleError, run_cycle, show
    from exchange.journal import JournalError, MemoryJournal, SqliteJournal
    from exchange.rules import RuleSetError, load_rule_set
    from exchange.sessions import CalendarError

    if journal is not None and journal.exists():
        fail("journal_exists", f"{journal} exists; the cycle begins a new one")
    load_compiled("trading")
    began = perf_counter()
    try:
        rule_set = load_rule_set(rules)
        if not rule_set.coverage.thresholds:
            fail("no_compliance_rules", f"the rules of {rule_set.title} know no compliance; try hubei or national")
        exchange = run_cycle(SqliteJournal(journal) if journal else MemoryJournal(), rule_set, seed, enterprises)
        show(exchange, Console(width=max(110, Console().width)))
    except RuleSetError as error:
        fail("invalid_rule_set", str(error))
    except CalendarError as error:
        fail("calendar_ends", str(error))
    except JournalError as error:
        fail(error.code, error.detail)
    except (CycleError, AssertionError) as error:
        fail("cycle_failed", str(error), 2)
    say(f"{enterprises} enterprises, two years, {rules} rules, seed {seed}: {perf_counter() - began:.1f} s")


@drills.command()
def default(
    mode: Annotated[
        SettlementMode | None, typer.Option(help="How batches settle; default: as the rule set has it.")
    ] = None,
    rules: Annotated[
        str, typer.Option(help="Rule set by name (hubei, national, generic) or a .toml file.")
    ] = "national",
) -> None:
    """Let a buyer and a seller of a later leg fail: notice, cure, reserve, house funds, recourse; and reconcile."""
    from exchange.drill import DrillError, run_drill, show
    from exchange.rules import RuleSetError, load_rule_set
    from exchange.sessions import CalendarError

    load_compiled("trading")
    try:
        drill = run_drill(load_rule_set(rules), mode)
        show(drill, Console())
    except RuleSetError as error:
        fail("invalid_rule_set", str(error))
    except CalendarError as error:
        fail("calendar_ends", str(error))
    except (DrillError, AssertionError) as error:
        fail("drill_failed", str(error), 2)


@bench.command()
def matching(
    flow: Annotated[Path | None, typer.Option(help="Order flow to time; default: the five named flows.")] = None,
    assigned_ids: research_cli.AssignedIds = False,
    messages: Annotated[int, typer.Option(min=1000, help="Length of each named flow.")] = 2_000_000,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each, after one warm-up.")] = 7,
) -> None:
    """Messages a second of the book: from rows in memory to events in memory."""
    from benchmarks import matching as benchmark
    from exchange.flow_files import FlowFileError, read_flow

    try:
        flows = {flow.name: read_flow(flow)} if flow else None
    except FlowFileError as error:
        fail("invalid_flow_file", str(error))
    load_compiled("flow")
    benchmark.run(flows, assigned_ids, messages, runs)


@bench.command()
def path(
    messages: Annotated[int, typer.Option(min=1000, help="Length of each named flow.")] = 2_000_000,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each, after one warm-up.")] = 7,
) -> None:
    """Messages a second of the whole trading path: 2,000 accounts, 8 instruments, beside the ladder alone."""
    from benchmarks import trading_path as benchmark

    load_compiled("flow")
    load_compiled("trading")
    benchmark.run(messages, runs)


@bench.command()
def one() -> None:
    """Microseconds of one order at a time from Python."""
    from benchmarks import one_order as benchmark

    load_compiled("trading")
    benchmark.run()


@bench.command()
def endurance(
    messages: Annotated[int, typer.Option(min=2_000_000, help="Messages through one book.")] = 20_000_000,
) -> None:
    """Whether the last of many million messages costs what the first did, and how memory grows."""
    from benchmarks import endurance as benchmark

    load_compiled("flow")
    load_compiled("trading")
    benchmark.run(messages)


@bench.command()
def title(
    blocks: Annotated[int, typer.Option(min=1000, help="Serial blocks to trade until there are.")] = 1_000_000,
    issued: Annotated[int, typer.Option(min=1000, help="Tonnes of each of the hundred blocks at first.")] = 20_000_000,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each, after one warm-up.")] = 7,
    day: Annotated[int, typer.Option(min=100, help="Transfers of a day, moved in one batch.")] = 1_000_000,
    sample: Annotated[int, typer.Option(min=100, help="How many of them to move one by one too.")] = 50_000,
) -> None:
    """Microseconds of a transfer of title, in a batch and one by one, and of a number's history."""
    from benchmarks import title as benchmark

    load_compiled("title")
    benchmark.run(blocks, issued, runs, day, sample)


@bench.command()
def settlement(
    trades: Annotated[
        int, typer.Option(min=1000, help="Trades of the largest batch; also a quarter and half of it.")
    ] = 10_000_000,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each, after one warm-up.")] = 7,
) -> None:
    """Trades a second of a settlement batch, gross and net: 2,000 participants, 8 instruments; and with title."""
    from benchmarks import settlement as benchmark

    benchmark.run(trades, runs)


@bench.command()
def day(
    trades: Annotated[int, typer.Option(min=1000, help="Of the day.")] = 1_000_000,
    runs: Annotated[int, typer.Option(min=1, help="Timed days in each mode, after one warm-up.")] = 3,
) -> None:
    """One whole day in each mode of settlement: seconds of trading and of each step up to the statements."""
    from benchmarks import settled_day as benchmark

    load_compiled("trading")
    benchmark.run(trades, runs)


class GatewayPart(StrEnum):
    """A part of `carbonex bench gateway`."""

    SINGLES = "singles"
    SIGNED = "signed"
    STREAM = "stream"
    BATCHES = "batches"
    FEED = "feed"


@bench.command()
def gateway(
    what: Annotated[list[GatewayPart] | None, typer.Option(help="Part to measure, as often as wanted.")] = None,
    orders: Annotated[int, typer.Option(min=64, help="Single orders of each run; on the stream twice as many.")] = 8000,
    batches: Annotated[int, typer.Option(min=4, help="Batches of 1,000 orders of each run.")] = 40,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each, after one warm-up.")] = 3,
    rate: Annotated[int, typer.Option(min=10, help="Orders a second while subscribers listen.")] = 100,
    seconds: Annotated[int, typer.Option(min=1, help="For which they come.")] = 5,
    subscribers: Annotated[int, typer.Option(min=1, help="Who listen.")] = 500,
) -> None:
    """Orders a second over HTTP and the stream, on disk before they are answered; and how late subscribers hear."""
    from benchmarks import gateway as benchmark

    load_compiled("trading")
    benchmark.run(benchmark.Sizes(orders, batches, runs, rate, seconds, subscribers), what or list(GatewayPart))


@bench.command()
def replay(
    messages: Annotated[int, typer.Option(min=200_000, help="Length of the flow, in messages.")] = 2_000_000,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each, after one warm-up.")] = 7,
) -> None:
    """Messages a second of reading LOBSTER and ITCH, of matching again, and of our own journal to the final state."""
    from benchmarks import foreign_flow as benchmark

    load_compiled("flow")
    load_compiled("trading")
    benchmark.run(messages, runs)


@bench.command()
def startup(
    commands: Annotated[int, typer.Option(min=1000, help="In the journal, and those that found the exchange.")] = (
        10_000_000
    ),
    runs: Annotated[int, typer.Option(min=1, help="Timed starts of each kind.")] = 3,
) -> None:
    """Seconds until an exchange with a long journal is ready, beside reading the journal alone; and memory."""
    from benchmarks import startup as benchmark

    load_compiled("flow")
    load_compiled("trading")
    benchmark.run(commands, runs)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail("invalid_date", f"{text!r} is not a date like 2026-01-05")


def _is_taken(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def main() -> None:
    app()


if __name__ == "__main__":
    main()
