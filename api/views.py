"""From state and history to what goes over the wire. Reads only."""

from itertools import islice
from typing import Any

import numpy as np

from api import schemas
from api.gateway import Gateway
from api.history import on_the_book
from api.timers import iso
from exchange.events import Auction
from exchange.instruments import UNLIMITED_TICKS, Instrument, money
from exchange.rows import type_of_rows
from exchange.sessions import Phase
from exchange.state import Exchange
from matching import ladder as book_of
from matching.auction import Uncrossing, uncrossing
from matching.orders import EITHER_SIDE, Side
from matching.pricing import round_half_up
from registry.accounts import Account, ParticipantClass
from registry.holdings import BUCKETS, CASH, settled
from settlement.corrections import Correction, Version, applied
from settlement.cycle import Batch

_BUY = int(Side.BUY)


def amount(exchange: Exchange, asset: int, value: int) -> str | int:
    """Money as a decimal string, units as whole tonnes."""
    return money(value) if asset in exchange.currencies.values() else value


def side_name(side: int) -> schemas.SideName:
    return "buy" if side == _BUY else "sell"


def aggressor_of(trade: Any) -> schemas.SideName | None:
    """Which side took, of a TRADE row; None in an auction."""
    return None if trade.aggressor == EITHER_SIDE else side_name(trade.aggressor)


def liquidity_of(trade: Any, order_id: int) -> schemas.Liquidity | None:
    """What an order did in a TRADE row; None in an auction, where neither took."""
    aggressor = trade.aggressor
    if aggressor == EITHER_SIDE:
        return None
    taker = trade.buy_order_id if aggressor == _BUY else trade.sell_order_id
    return "taker" if order_id == taker else "maker"


def account_view(gateway: Gateway, account: Account) -> schemas.AccountView:
    exchange = gateway.exchange
    balances = exchange.path.desk.balances[account.number]
    owned = settled(balances)
    holdings = [
        schemas.Holding(
            asset=name,
            settled=amount(exchange, asset, int(owned[asset])),
            **{bucket: amount(exchange, asset, int(balances[asset][bucket])) for bucket in _BUCKETS_SHOWN},
        )
        for asset, name in enumerate(exchange.asset_names)
    ]
    return schemas.AccountView(
        account_id=account.account_id,
        name=account.name,
        participant_class=class_name(account.participant_class),
        beneficial_owner=account.beneficial_owner or None,
        status=account.status,
        status_reason=account.status_reason,
        region=account.region,
        holdings=holdings,
    )


_BUCKETS_SHOWN = BUCKETS


def class_name(participant_class: ParticipantClass) -> schemas.ClassName:
    name: Any = participant_class.label
    return name  # type: ignore[no-any-return]


def status_of(correction: Correction | None) -> schemas.TradeStatus:
    """How a trade stands after its last correction."""
    if correction is None:
        return "regular"
    return "busted" if correction.is_bust else "corrected"


def trade_view(gateway: Gateway, trade: Any, correction: Correction | None) -> schemas.TradeView:
    """A TRADE row as it was booked, or as a correction left it; of a busted trade what it said last."""
    listed = gateway.exchange.instruments[int(trade.instrument)]
    said = trade if correction is None else correction.before if correction.is_bust else correction.after
    return schemas.TradeView(
        trade_id=int(trade.trade_id),
        symbol=listed.symbol,
        price=listed.price(int(said.price_ticks)),
        quantity=int(said.quantity),
        aggressor=aggressor_of(trade),
        status=status_of(correction),
        at=iso(int(trade.now_ns), gateway.exchange.market.timezone),
        ts_event=int(trade.now_ns),
        sequence=int(trade.sequence),
    )


def correction_view(gateway: Gateway, one: Correction) -> schemas.CorrectionView:
    exchange = gateway.exchange
    listed = exchange.instruments[one.instrument]

    def terms(version: Version) -> schemas.TradeTerms:
        return schemas.TradeTerms(
            price=listed.price(version.price_ticks),
            quantity=version.quantity,
            turnover=money(version.turnover),
            buyer_fee=money(version.buyer_fee),
            seller_fee=money(version.seller_fee),
        )

    return schemas.CorrectionView(
        number=one.number,
        trade_id=one.trade_id,
        symbol=listed.symbol,
        currency=exchange.asset_names[one.cash],
        buyer=exchange.accounts[one.buyer].account_id,
        seller=exchange.accounts[one.seller].account_id,
        buy_order_id=one.buy_order_id,
        sell_order_id=one.sell_order_id,
        day=one.day,
        batch=one.batch or None,
        before=terms(one.before),
        after=None if one.is_bust else terms(one.after),
        reason=one.reason,
        by=exchange.accounts[one.by].account_id,
        at=iso(one.now_ns, exchange.market.timezone),
        sequence=one.sequence,
    )


def book_view(gateway: Gateway, listed: Instrument, depth: int) -> schemas.BookView:
    ladder = gateway.exchange.path.desk.ladder

    def levels(side: Side) -> list[schemas.Level]:
        queue_index = book_of.queue_index(listed.number, side)
        queue = ladder.queues[queue_index]
        shown = []
        for level in islice(book_of.levels_of(ladder, queue_index), depth):
            quantities = [int(order.shown) for order in book_of.orders_at(ladder, level)]
            ticks = book_of.price_at(queue, level)
            shown.append(schemas.Level(price=listed.price(ticks), quantity=sum(quantities), orders=len(quantities)))
        return shown

    return schemas.BookView(
        symbol=listed.symbol, seq=gateway.history.events.size, bids=levels(Side.BUY), asks=levels(Side.SELL)
    )


def order_book_view(gateway: Gateway, listed: Instrument, depth: int) -> schemas.OrderBookView:
    """The orders of the best `depth` price levels of both sides."""
    ladder = gateway.exchange.path.desk.ladder

    def orders(side: Side) -> list[schemas.RestingOrder]:
        queue_index = book_of.queue_index(listed.number, side)
        queue = ladder.queues[queue_index]
        return [
            schemas.RestingOrder(
                order_id=int(order.order_id),
                price=listed.price(book_of.price_at(queue, level)),
                quantity=int(order.shown),
            )
            for level in islice(book_of.levels_of(ladder, queue_index), depth)
            for order in book_of.orders_at(ladder, level)
        ]

    return schemas.OrderBookView(
        symbol=listed.symbol, seq=gateway.history.events.size, bids=orders(Side.BUY), asks=orders(Side.SELL)
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
        currency=gateway.exchange.asset_names[listed.cash],
        phase=_phase_name(Phase(int(row.phase))),
        halt_reason=gateway.exchange.halts.get(listed.number),
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


def _phase_name(phase: Phase) -> Any:
    return phase.label


def auction_view(listed: Instrument, found: Auction | Uncrossing | None) -> schemas.AuctionView:
    """How a call auction stands, or ended; `found` is None if no bid reaches an ask."""
    return schemas.AuctionView(
        symbol=listed.symbol,
        price=listed.price(found.price_ticks) if found else None,
        volume=found.volume if found else 0,
        imbalance=found.imbalance if found else 0,
    )


def indicative_auction(gateway: Gateway, listed: Instrument) -> schemas.AuctionView:
    """What the auction of an instrument would come to now."""
    desk = gateway.exchange.path.desk
    bids, asks = (book_of.depth(desk.ladder, book_of.queue_index(listed.number, side)) for side in Side)
    return auction_view(listed, uncrossing(bids, asks, int(desk.instruments[listed.number].last_ticks)))


def market_change(gateway: Gateway, auctions: list[Auction]) -> schemas.MarketChange:
    """The market after an operator's verb, and the auctions that it ended."""
    instruments = gateway.exchange.instruments
    ended = [auction_view(instruments[auction.instrument], auction) for auction in auctions]
    return schemas.MarketChange(**dict(market_view(gateway)), auctions=ended)


def market_view(gateway: Gateway) -> schemas.MarketView:
    exchange, timers, zone = gateway.exchange, gateway.timers, gateway.exchange.market.timezone
    step = timers.due()
    return schemas.MarketView(
        market=exchange.market.title,
        phase=_phase_name(exchange.phase),
        halts=[
            schemas.Halt(symbol=exchange.instruments[number].symbol, reason=reason)
            for number, reason in sorted(exchange.halts.items())
        ],
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
    """An instrument's trades of one day in figures; prices and money in its currency."""
    own = trades[trades["instrument"] == listed.number]
    prices, quantities = own["price_ticks"], own["quantity"]
    turnover_ticks, volume = int((prices * quantities).sum()), int(quantities.sum())
    fen_per_tick = int(gateway.exchange.path.desk.instruments[listed.number].fen_per_tick)
    low, high = band(gateway, listed)

    return schemas.DaySummary(
        symbol=listed.symbol,
        currency=gateway.exchange.asset_names[listed.cash],
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
    """Trade rows of the book since the last day was opened, as they stand."""
    trades = gateway.history.trades
    today = on_the_book(trades[np.searchsorted(trades["sequence"], gateway.history.day_opened_at) :])
    return applied(today, gateway.exchange.clearing.corrections.standing)


def settlement_view(gateway: Gateway, batch: Batch) -> schemas.SettlementView:
    assert batch.report is not None, "a batch that has not been delivered has no report"
    names = gateway.exchange.asset_names
    paid = {
        cash: schemas.CashMoved(cash_moved=money(amounts.moved), fees=money(batch.report.fees[cash]))
        for cash, amounts in batch.report.cash.items()
    }
    usual = paid.pop(CASH, schemas.CashMoved(cash_moved=money(0), fees=money(0)))
    return schemas.SettlementView(
        date=batch.day,
        mode=batch.mode,
        trades=batch.report.trades,
        cash_moved=usual.cash_moved,
        fees=usual.fees,
        units_moved={names[unit]: amounts.moved for unit, amounts in batch.report.units.items()},
        other_currencies={names[cash]: amounts for cash, amounts in paid.items()},
        failed=sorted(batch.failed),
        cases=gateway.exchange.clearing.defaults.opened_by(batch.number),
    )


def reconciliation(gateway: Gateway) -> list[schemas.Reconciliation]:
    exchange = gateway.exchange
    held = settled(exchange.path.desk.balances).sum(axis=0)
    flows = {
        asset: (exchange.cash_deposited[asset], exchange.cash_withdrawn[asset])
        for asset in exchange.currencies.values()
    }
    flows |= {unit.number: (unit.issued, exchange.serials.ended(unit.number)) for unit in exchange.units}
    return [
        schemas.Reconciliation(
            asset=name,
            paid_in=amount(exchange, asset, flows[asset][0]),
            paid_out=amount(exchange, asset, flows[asset][1]),
            held=amount(exchange, asset, int(held[asset])),
        )
        for asset, name in enumerate(exchange.asset_names)
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
