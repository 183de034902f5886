"""Simulated participants: covered enterprises long or short of allowances, institutions that make prices.

What they want
--------------
A covered enterprise expects emissions; what its allowances do not cover it buys, what is left over it
sells, now and then at any price. Institutions quote both sides, larger quantities as icebergs, and turn
over their stock. Everybody's view of the right price lies about the market's last one, so that orders
cross, rest, follow the market, and are withdrawn. All randomness comes from one seed; which order reaches
the exchange first does not, since that is decided on the wire.
"""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal

from api.client import CONNECTION_LOST, ApiError, AsyncClient
from api.schemas import AccountView, ClassName, InstrumentView, OrderView, SideName

TICK = Decimal("0.01")
SLICE = 100  # t that an institution's iceberg shows

_PLACES = ("Wuhan", "Huangshi", "Yichang", "Xiangyang", "Jingmen", "Ezhou", "Xiaogan", "Huanggang", "Xianning", "Daye")
_TRADES = ("Cement", "Steel", "Glass", "Chemical", "Paper", "Ceramics", "Heat", "Non-ferrous")
_FUNDS = ("Chutian Carbon Fund", "Yangtze Securities Carbon", "East Lake Asset Management")


@dataclass
class Participant:
    """A participant and its plan; quantities in tCO2e, cash in CNY."""

    account_id: str
    name: str
    is_institution: bool
    cash: int
    holdings: dict[str, int]
    target: dict[str, int]  # units it wants to hold in the end


@dataclass
class Tally:
    """What the participants did, for the progress display."""

    placed: int = 0
    amended: int = 0
    cancelled: int = 0
    refused: dict[str, int] = field(default_factory=dict)


def make_participants(enterprises: int, institutions: int, symbols: list[str], rng: random.Random) -> list[Participant]:
    """Enterprises with allocations and expected emissions, institutions with stock and cash."""
    allowance, credits = symbols[0], symbols[1:]
    made = []
    for number in range(1, enterprises + 1):
        allocation = round(rng.lognormvariate(9.9, 0.8))  # the middle one has some 20,000 t
        holdings = {allowance: allocation, **dict.fromkeys(credits, allocation // 20)}
        target = {allowance: round(allocation * rng.uniform(0.8, 1.2))}
        target |= {credit: round(holdings[credit] * rng.uniform(0.5, 1.5)) for credit in credits}
        name = f"{rng.choice(_PLACES)} {rng.choice(_TRADES)} {number}"
        made.append(Participant(f"E-{number:03}", name, False, allocation * 30, holdings, target))
    for number in range(1, institutions + 1):
        holdings = dict.fromkeys(symbols, 50_000)
        name = _FUNDS[(number - 1) % len(_FUNDS)]
        made.append(Participant(f"I-{number:02}", name, True, 5_000_000, holdings, holdings))
    return made


async def enrol(client: AsyncClient, participants: list[Participant]) -> None:
    """Open, fund and stock every account; before the first trading day, finish what was left half done."""
    known = {account.account_id: account for account in await client.accounts()}
    has_traded = (await client.market()).date is not None

    async def one(participant: Participant) -> None:
        if has_traded and participant.account_id in known:
            return
        kind: ClassName = "institution" if participant.is_institution else "covered_enterprise"
        account = known.get(participant.account_id) or await client.open_account(
            participant.account_id, participant.name, kind
        )
        held = {holding.asset: holding for holding in account.holdings}
        if Decimal(held["CNY"].settled) == 0:
            await client.deposit(participant.account_id, f"{participant.cash}.00")
        for symbol, quantity in participant.holdings.items():
            if quantity and held[symbol].settled == 0:
                await client.issue(participant.account_id, symbol, quantity, "free" if "EA" in symbol else "credit")
            if quantity and held[symbol].available == 0:
                await client.transfer(participant.account_id, symbol, quantity, "trading")

    async with asyncio.TaskGroup() as tasks:
        for participant in participants:
            tasks.create_task(one(participant))


async def trade_until(
    stop: asyncio.Event, client: AsyncClient, participants: list[Participant], seed: int, tally: Tally
) -> None:
    """Let everybody trade until told to stop."""
    async with asyncio.TaskGroup() as tasks:
        for participant in participants:
            rng = random.Random(f"{seed} {participant.account_id}")
            tasks.create_task(_trade(stop, client, participant, rng, tally))


async def _trade(
    stop: asyncio.Event, client: AsyncClient, participant: Participant, rng: random.Random, tally: Tally
) -> None:
    """Look at the market, the own account and the own orders, then act a few times; over and over."""
    while not stop.is_set():
        instruments = {instrument.symbol: instrument for instrument in await client.instruments()}
        account = await client.account(participant.account_id)
        open_orders = await client.orders(participant.account_id, open_only=True)
        for _ in range(rng.randint(2, 5)):
            await _pause(stop, rng.expovariate(10))
            if stop.is_set():
                return
            try:
                if open_orders and rng.random() < 0.35:
                    order = open_orders.pop(rng.randrange(len(open_orders)))
                    await _withdraw_or_follow(client, order, instruments[order.symbol], rng, tally)
                else:
                    await _place(client, participant, account, rng.choice(list(instruments.values())), rng, tally)
            except ApiError as error:
                if error.code == CONNECTION_LOST:
                    raise
                tally.refused[error.code] = tally.refused.get(error.code, 0) + 1


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _withdraw_or_follow(
    client: AsyncClient, order: OrderView, instrument: InstrumentView, rng: random.Random, tally: Tally
) -> None:
    """Cancel an order, or give it a price nearer the market's."""
    if instrument.last is None or rng.random() < 0.7:
        await client.cancel_order(order.account_id, order.order_id)
        tally.cancelled += 1
    else:
        price = _price(instrument, Decimal(instrument.last), order.side, rng.gauss(0.002, 0.003))
        await client.amend_order(order.account_id, order.order_id, order.leaves, str(price))
        tally.amended += 1


def _price(instrument: InstrumentView, last: Decimal, side: SideName, distance: float) -> Decimal:
    """A price some share worse for the other side than the last one, within the band."""
    away = last * Decimal(f"{distance:.6f}")
    price = (last - away if side == "buy" else last + away).quantize(TICK)
    if instrument.band_low is not None and instrument.band_high is not None:
        price = min(max(price, Decimal(instrument.band_low)), Decimal(instrument.band_high))
    return price


async def _place(
    client: AsyncClient,
    participant: Participant,
    account: AccountView,
    instrument: InstrumentView,
    rng: random.Random,
    tally: Tally,
) -> None:
    """One order towards the target; institutions quote either side."""
    cash, units = (
        next(holding for holding in account.holdings if holding.asset == asset) for asset in ("CNY", instrument.symbol)
    )
    lacking = participant.target[instrument.symbol] - int(units.settled) - int(units.incoming)
    if participant.is_institution or lacking == 0:
        side: SideName = rng.choice(("buy", "sell"))
        distance, most = rng.gauss(0.004, 0.004), 500
    else:
        side = "buy" if lacking > 0 else "sell"
        distance, most = rng.gauss(0.002, 0.006), abs(lacking)
    if instrument.last is None:
        return
    price = _price(instrument, Decimal(instrument.last), side, distance)
    at_any_price = not participant.is_institution and rng.random() < 0.08
    if at_any_price and instrument.band_high is not None:
        price = Decimal(instrument.band_high)  # what it may cost at most
    affordable = int(Decimal(cash.available) / price * Decimal("0.99")) if side == "buy" else int(units.available)
    quantity = min(most, affordable, max(1, round(rng.lognormvariate(5, 1))))
    if quantity < 1:
        return
    account_id, symbol = participant.account_id, instrument.symbol
    if at_any_price:
        await client.place_order(account_id, symbol, side, None, quantity, order_type="market")
    elif rng.random() < 0.15:
        await client.place_order(account_id, symbol, side, str(price), quantity, "IOC")
    else:
        slice_shown = SLICE if participant.is_institution and quantity > SLICE else None
        await client.place_order(account_id, symbol, side, str(price), quantity, display_quantity=slice_shown)
    tally.placed += 1
