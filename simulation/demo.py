"""One market day from outside: enrol, trade over HTTP, wait for the close and settlement, report.

Uses nothing but the client, as any enterprise would.
"""

import asyncio
import random
from decimal import Decimal

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from api.client import ApiError, AsyncClient
from api.schemas import AccountView, MarketView
from simulation.enterprises import Participant, Tally, enrol, make_participants, trade_until

ENTERPRISES, INSTITUTIONS = 32, 3
# Opening prices: HBEA closed at 40.96 CNY on 2025-05-06; Wuhan carbon-inclusion reductions, the living
# analogue of HBCER, went for some 36.4 CNY in December 2023.
LISTINGS = (("HBEA-2025", "allowance", 2025, "40.96"), ("HBCER-2025", "credit", 2025, "36.40"))


class DemoError(Exception):
    """The day did not end as it must."""


async def market_day(base_url: str, seed: int, speed: float, console: Console) -> None:
    """Run one trading day against a server and print what came of it. DemoError if anything fails.

    `speed`: market seconds a second, from when everybody holds an account; enrolling may take its time.
    """
    try:
        await _market_day(base_url, seed, speed, console)
    except ApiError as error:
        raise DemoError(str(error)) from error
    except ExceptionGroup as group:
        first: Exception = group
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        raise DemoError(f"{type(first).__name__} {first}") from group


async def _market_day(base_url: str, seed: int, speed: float, console: Console) -> None:
    async with AsyncClient(base_url, connections=24) as client:
        await _list_instruments(client)
        symbols = [listing[0] for listing in LISTINGS]
        participants = make_participants(ENTERPRISES, INSTITUTIONS, symbols, random.Random(seed))
        await enrol(client, participants)
        console.print(f"{len(participants)} participants hold accounts; the day begins.")
        await client.set_speed(speed)

        market = await client.market()
        if market.phase == "closed" and not market.is_settled:
            await _finish(client)
        await client.run_timers(days=1, skip_idle=True)
        tally = Tally()
        async with asyncio.TaskGroup() as tasks:
            stop = asyncio.Event()
            tasks.create_task(_trade(stop, client, participants, seed, tally))
            await _watch(client, tally, console, stop)
        await _report(client, tally, console)


async def _finish(client: AsyncClient) -> None:
    """Let the timers settle a day that was left closed, from whatever step it had reached."""
    await client.run_timers(days=1, skip_idle=True)
    while (await client.market()).timers_running:
        await asyncio.sleep(0.05)


async def _trade(
    stop: asyncio.Event, client: AsyncClient, participants: list[Participant], seed: int, tally: Tally
) -> None:
    """Let everybody trade from the opening until told to stop."""
    while (await client.market()).phase != "continuous" and not stop.is_set():
        await asyncio.sleep(0.02)
    await trade_until(stop, client, participants, seed, tally)


async def _list_instruments(client: AsyncClient) -> None:
    listed = {instrument.symbol for instrument in await client.instruments()}
    for symbol, species, vintage, opening_price in LISTINGS:
        if symbol not in listed:
            await client.list_instrument(symbol, species, vintage, opening_price)


async def _watch(client: AsyncClient, tally: Tally, console: Console, stop: asyncio.Event) -> None:
    """Show the day's progress until the timers have settled it; behind the close the clock runs at real time."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        shown = progress.add_task("waiting", total=1.0, said="")
        while True:
            market = await client.market()
            settled = market.is_settled and not market.timers_running
            if settled or (market.phase == "closed" and tally.placed):
                stop.set()
                if market.speed != 1.0:
                    await client.set_speed(1.0)
            progress.update(
                shown,
                completed=1.0 if settled else _part_of_day(market),
                description=f"{market.date} " + ("settled" if settled else f"{market.now[11:16]} {market.phase}"),
                said=await _waits_for_bank(client, market)
                or f"{tally.placed} orders, {tally.amended} amended, {tally.cancelled} cancelled",
            )
            if settled:
                return
            await asyncio.sleep(0.1)


async def _waits_for_bank(client: AsyncClient, market: MarketView) -> str:
    """What to do where nobody answers for the settlement bank; empty otherwise."""
    if market.phase != "closed" or market.is_settled or market.date is None:
        return ""
    waiting = [batch.number for batch in await client.batches(str(market.date)) if batch.stage == "instructed"]
    return f"batch {waiting[0]} waits for the bank: carbonex bank, or carbonex settlement confirm" if waiting else ""


def _part_of_day(market: MarketView) -> float:
    hours, minutes = int(market.now[11:13]), int(market.now[14:16])
    return min(1.0, max(0.0, (hours + minutes / 60 - 9.25) / (15 - 9.25)))


async def _report(client: AsyncClient, tally: Tally, console: Console) -> None:
    market = await client.market()
    settlement = await client.settlement(str(market.date))

    lines = await client.summary()
    day = Table(title=f"{market.market}, {market.date}", title_justify="left")
    day.add_column("")
    for line in lines:
        day.add_column(line.symbol, justify="right")
    for label, values in (
        ("trades", [f"{line.trades:,}" for line in lines]),
        ("volume, t", [f"{line.volume:,}" for line in lines]),
        ("turnover, CNY", [_grouped(line.turnover) for line in lines]),
        ("open", [line.open or "-" for line in lines]),
        ("high", [line.high or "-" for line in lines]),
        ("low", [line.low or "-" for line in lines]),
        ("VWAP", [line.vwap or "-" for line in lines]),
        ("close", [line.close for line in lines]),
        ("band", [f"{line.band_low} to {line.band_high}" for line in lines]),
        ("fees of both sides, CNY", [_grouped(line.fees) for line in lines]),
    ):
        day.add_row(label, *values)
    console.print(day)
    refused = ", ".join(f"{count} {code}" for code, count in sorted(tally.refused.items())) or "none"
    console.print(
        f"Orders: {tally.placed:,} placed, {tally.amended:,} amended, {tally.cancelled:,} cancelled; refused: {refused}"
    )
    moved = ", ".join(f"{quantity:,} t {unit}" for unit, quantity in settlement.units_moved.items())
    console.print(
        f"Settlement ({settlement.mode}, delivery versus payment): "
        f"{settlement.trades:,} trades, {moved or 'no units'}; "
        f"buyers paid {_grouped(settlement.cash_moved)} CNY with their fees; "
        f"fees of both sides {_grouped(settlement.fees)} CNY"
    )
    await _report_steps(client, str(market.date), console)
    await _report_holdings(client, console)
    await _report_checks(client, console)


async def _report_steps(client: AsyncClient, day: str, console: Console) -> None:
    """When each step of the day's settlement was taken, and what the bank said."""
    for row in await client.batches(day):
        batch = await client.batch(row.number)
        steps = ", ".join(f"{one.stage} {one.at[11:16]}" for one in batch.stages)
        console.print(f"Batch {batch.number}: {steps}")
        if batch.bank is not None:
            late = f", late since {batch.bank.late_at[11:16]}" if batch.bank.late_at else ""
            short = f", {batch.bank.rejected} of them not in full" if batch.bank.rejected else ""
            console.print(
                f"  the settlement bank answered {batch.bank.answered} of {batch.bank.lines} lines{short}{late}"
            )
        if batch.failed:
            ids = ", ".join(map(str, batch.failed))
            console.print(f"  trades {ids} failed and wait: somebody did not pay or deliver")
            for case in batch.cases:
                console.print(f"  failure case {case}: carbonex settlement case {case}")


async def _report_holdings(client: AsyncClient, console: Console) -> None:
    accounts = sorted(await client.accounts(), key=lambda account: account.account_id)
    assets = [holding.asset for holding in accounts[0].holdings]
    table = Table(title="Who holds what (settled)", title_justify="left")
    table.add_column("account")
    table.add_column("name")
    for asset in assets:
        table.add_column(asset, justify="right")
    totals = dict.fromkeys(assets, Decimal(0))
    for account in accounts:
        owned = _settled(account)
        table.add_row(account.account_id, account.name, *(_grouped(str(owned[asset])) for asset in assets))
        for asset in assets:
            totals[asset] += owned[asset]
    table.add_section()
    table.add_row("", "all", *(_grouped(str(totals[asset])) for asset in assets))
    lines = await client.reconciliation()
    table.add_row("", "paid in or issued", *(_grouped(str(line.paid_in)) for line in lines))
    table.add_row("", "paid out", *(_grouped(str(line.paid_out)) for line in lines))
    console.print(table)
    for line in lines:
        if Decimal(line.paid_in) - Decimal(line.paid_out) != totals[line.asset]:
            raise DemoError(f"the accounts do not reconcile in {line.asset}")
    console.print("The accounts reconcile: what came in and did not go out is held, to the fen and the tonne.")


async def _report_checks(client: AsyncClient, console: Console) -> None:
    checks = await client.checks()
    for check in checks:
        console.print(f"  {'ok    ' if check.ok else 'FAILED'} {check.name.replace('_', ' ')} {check.found or ''}")
    state = await client.state()
    console.print(f"{state.sequence:,} commands journalled; state digest {state.digest[:16]}")
    if failed := [check.name for check in checks if not check.ok]:
        raise DemoError(f"broken: {', '.join(failed)}")


def _settled(account: AccountView) -> dict[str, Decimal]:
    return {holding.asset: Decimal(holding.settled) for holding in account.holdings}


def _grouped(number: str) -> str:
    return f"{Decimal(number):,}"


async def wait_until_ready(base_url: str, process: int, seconds: float) -> None:
    """Wait for the server that runs as `process` to answer. DemoError if another answers, or none in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    async with AsyncClient(base_url) as client:
        while asyncio.get_running_loop().time() < deadline:
            try:
                answering = await client.process()
            except ApiError:
                await asyncio.sleep(0.1)
                continue
            if answering != process:
                raise DemoError(f"another exchange answers at {base_url}")
            return
    raise DemoError(f"no exchange answers at {base_url}")
