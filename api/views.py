"""From state and history to what goes over the wire. Reads only."""

from datetime import date
from itertools import islice
from typing import Any, Literal

import numpy as np

from api import schemas
from api.gateway import Gateway
from api.timers import iso
from exchange.instruments import UNLIMITED_TICKS, Instrument, money
from exchange.reasons import Reason
from exchange.rows import EventKind, type_of_rows
from matching import ladder as book_of
from matching.orders import Side, TimeInForce
from matching.pricing import round_half_up
from registry.accounts import Account
from registry.holdings import CASH, settled
from settlement.batch import SettlementReport
from settlement.statements import Statement


def asset_name(gateway: Gateway, asset: int) -> str:
    """CNY, or the code of a unit."""
    exchange = gateway.exchange
    return exchange.market.currency if asset == CASH else exchange.units[asset].code


def amount(asset: int, value: int) -> str | int:
    """Money as a decimal string, units as whole tonnes."""
    return money(value) if asset == CASH else value


def side_name(side: int) -> schemas.SideName:
    return "buy" if side == Side.BUY else "sell"


def account_view(gateway: Gateway, account: Account) -> schemas.AccountView:
    balances = gateway.exchange.path.desk.balances[account.number]
    owned = settled(balances)
    holdings = [
        schemas.Holding(
            asset=asset_name(gateway, asset),
            settled=amount(asset, int(owned[asset])),
            **{name: amount(asset, int(balances[asset][name])) for name in _BUCKETS_SHOWN},
        )
        for asset in range(len(gateway.exchange.units) + 1)
    ]
    return schemas.AccountView(
        account_id=account.account_id,
        name=account.name,
        participant_class=class_name(account),
        holdings=holdings,
    )


_BUCKETS_SHOWN = ("available", "reserved", "incoming", "registry")


def class_name(account: Account) -> schemas.ClassName:
    name: Any = account.participant_class.name.lower()
    return name  # type: ignore[no-any-return]


def order_view(gateway: Gateway, order_id: int) -> schemas.OrderView:
    """An order as it is now."""
    return order_after(gateway, gateway.history.events_of_order(order_id))


def order_after(gateway: Gateway, events: type_of_rows) -> schemas.OrderView:
    """An order as some events left it: the first accepted it, the others concern it."""
    exchange, history = gateway.exchange, gateway.history
    accepted = events[0]
    order_id = int(accepted.order_id)
    command = history.command(int(accepted.sequence))
    listed = exchange.instruments[int(accepted.instrument)]
    trades = [history.trades[int(event.trade_id) - 1] for event in events if event.kind == EventKind.TRADED]
    filled = sum(int(trade.quantity) for trade in trades)
    value = sum(int(trade.price_ticks * trade.quantity) for trade in trades)
    ended = [event for event in events if event.kind == EventKind.CANCELLED]
    cancelled = sum(int(event.quantity) for event in ended)
    leaves = int(accepted.quantity) - filled - cancelled
    status: Literal["open", "filled", "cancelled"] = "cancelled" if ended else "open" if leaves else "filled"
    return schemas.OrderView(
        order_id=order_id,
        client_order_id=history.client_order_ids.get(order_id),
        account_id=exchange.accounts[int(accepted.account)].account_id,
        symbol=listed.symbol,
        side=side_name(accepted.side),
        time_in_force="IOC" if command.time_in_force == TimeInForce.IOC else "DAY",
        price=listed.price(int(accepted.price_ticks)),
        quantity=int(accepted.quantity),
        status=status,
        reason=Reason(int(ended[0].reason)).code if ended else None,
        filled=filled,
        leaves=leaves,
        cancelled=cancelled,
        average_price=listed.price(round_half_up(value, filled)) if filled else None,
        fills=[fill_view(listed, trade, order_id) for trade in trades],
        accepted_at=iso(int(command.now_ns), exchange.market.timezone),
        sequence=int(accepted.sequence),
    )


def fill_view(listed: Instrument, trade: Any, order_id: int) -> schemas.Fill:
    """A trade from the side of one of its orders."""
    bought = trade.buy_order_id == order_id
    took = (trade.aggressor == Side.BUY) == bought
    return schemas.Fill(
        trade_id=int(trade.trade_id),
        price=listed.price(int(trade.price_ticks)),
        quantity=int(trade.quantity),
        fee=money(int(trade.buyer_fee if bought else trade.seller_fee)),
        liquidity="taker" if took else "maker",
    )


def trade_view(gateway: Gateway, trade: Any) -> schemas.TradeView:
    listed = gateway.exchange.instruments[int(trade.instrument)]
    return schemas.TradeView(
        trade_id=int(trade.trade_id),
        symbol=listed.symbol,
        price=listed.price(int(trade.price_ticks)),
        quantity=int(trade.quantity),
        aggressor=side_name(trade.aggressor),
        at=iso(int(trade.now_ns), gateway.exchange.market.timezone),
        sequence=int(trade.sequence),
    )


def book_view(gateway: Gateway, listed: Instrument, depth: int) -> schemas.BookView:
    ladder = gateway.exchange.path.desk.ladder
    book = ladder.books[listed.number]

    def levels(side: Side) -> list[schemas.Level]:
        return [
            schemas.Level(
                price=listed.price(int(book.low_ticks + level - book.first_level)),
                quantity=int(ladder.levels[level].quantity),
                orders=sum(1 for _ in book_of.queue(ladder, level)),
            )
            for level in islice(book_of.side_levels(ladder, listed.number, side), depth)
        ]

    return schemas.BookView(
        symbol=listed.symbol, seq=gateway.history.events.size, bids=levels(Side.BUY), asks=levels(Side.SELL)
    )


def price(listed: Instrument, ticks: int) -> str | None:
    """Ticks as a decimal price; None for 0, which is no price."""
    return listed.price(ticks) if ticks else None


def band(gateway: Gateway, listed: Instrument) -> tuple[str | None, str | None]:
    """Lowest and highest valid price of the day; None without a band."""
    row = gateway.exchange.path.desk.instruments[listed.number]
    if not 0 < row.band_high_ticks < UNLIMITED_TICKS:
        return None, None
    return listed.price(int(row.band_low_ticks)), listed.price(int(row.band_high_ticks))


def instrument_view(gateway: Gateway, listed: Instrument) -> schemas.InstrumentView:
    unit = gateway.exchange.units[listed.unit]
    row = gateway.exchange.path.desk.instruments[listed.number]
    low, high = band(gateway, listed)
    return schemas.InstrumentView(
        symbol=listed.symbol,
        unit=unit.code,
        species=unit.species,
        vintage=unit.vintage,
        tick=str(listed.tick),
        lot=int(row.lot),
        close=price(listed, listed.close_ticks),
        last=price(listed, int(row.last_ticks)),
        band_low=low,
        band_high=high,
        issued=unit.issued,
    )


def market_view(gateway: Gateway) -> schemas.MarketView:
    exchange, timers, zone = gateway.exchange, gateway.timers, gateway.exchange.market.timezone
    step = timers.due()
    phase: Any = exchange.phase.label
    return schemas.MarketView(
        market=exchange.market.title,
        phase=phase,
        date=exchange.date,
        session=exchange.session,
        is_settled=exchange.is_settled,
        now=gateway.clock.iso(zone),
        speed=gateway.clock.speed,
        timers_running=timers.running,
        until=iso(step.at_ns, zone) if step else None,
        ended_by=type(step.command).__name__ if step else None,
        sequence=exchange.sequence,
    )


def day_summary(gateway: Gateway, listed: Instrument, trades: type_of_rows) -> schemas.DaySummary:
    """An instrument's trades of one day in figures; prices in CNY per t."""
    own = trades[trades["instrument"] == listed.number]
    prices, quantities = own["price_ticks"], own["quantity"]
    turnover_ticks, volume = int((prices * quantities).sum()), int(quantities.sum())
    fen_per_tick = int(gateway.exchange.path.desk.instruments[listed.number].fen_per_tick)
    low, high = band(gateway, listed)

    return schemas.DaySummary(
        symbol=listed.symbol,
        trades=int(own.size),
        volume=volume,
        turnover=money(turnover_ticks * fen_per_tick),
        open=price(listed, int(prices[0]) if own.size else 0),
        high=price(listed, int(prices.max(initial=0))),
        low=price(listed, int(prices.min()) if own.size else 0),
        vwap=price(listed, round_half_up(turnover_ticks, volume) if volume else 0),
        close=price(listed, listed.close_ticks),
        band_low=low,
        band_high=high,
        fees=money(int(own["buyer_fee"].sum() + own["seller_fee"].sum())),
    )


def trades_of_the_day(gateway: Gateway) -> type_of_rows:
    """Trade rows since the last day was opened."""
    trades = gateway.history.trades
    return trades[np.searchsorted(trades["sequence"], gateway.history.day_opened_at) :]


def settlement_view(gateway: Gateway, report: SettlementReport) -> schemas.SettlementView:
    return schemas.SettlementView(
        date=date.fromisoformat(report.date),
        mode=report.mode,
        trades=report.trades,
        cash_moved=money(report.cash_moved),
        fees=money(report.fees),
        units_moved={asset_name(gateway, unit): quantity for unit, quantity in report.units_moved.items()},
    )


def statement_view(gateway: Gateway, statement: Statement) -> schemas.StatementView:
    def named(amounts: dict[int, int]) -> dict[str, str | int]:
        return {asset_name(gateway, asset): amount(asset, value) for asset, value in amounts.items()}

    return schemas.StatementView(
        date=date.fromisoformat(statement.date),
        account_id=gateway.exchange.accounts[statement.account].account_id,
        opening=named(statement.opening),
        entries=[
            schemas.StatementEntry(
                asset=asset_name(gateway, entry.asset),
                amount=amount(entry.asset, entry.amount),
                cause=entry.cause,
                reference=entry.reference,
            )
            for entry in statement.entries
        ],
        closing=named(statement.closing),
    )


def reconciliation(gateway: Gateway) -> list[schemas.Reconciliation]:
    exchange = gateway.exchange
    held = settled(exchange.path.desk.balances).sum(axis=0)
    flows = [(exchange.cash_deposited, exchange.cash_withdrawn), *((unit.issued, 0) for unit in exchange.units)]
    return [
        schemas.Reconciliation(
            asset=asset_name(gateway, asset),
            paid_in=amount(asset, paid_in),
            paid_out=amount(asset, paid_out),
            held=amount(asset, int(held[asset])),
        )
        for asset, (paid_in, paid_out) in enumerate(flows)
    ]


def serial_blocks(gateway: Gateway, account: Account) -> list[schemas.SerialBlock]:
    return [
        schemas.SerialBlock(
            unit=unit.code,
            first=block.first,
            last=block.last,
            quantity=block.quantity,
            origin=block.origin,
            ever_traded=block.ever_traded,
        )
        for unit in gateway.exchange.units
        for block in gateway.exchange.serials.of(account.number, unit.number)
    ]
