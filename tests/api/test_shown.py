"""What clients are told, event by event, against what the exchange's own book holds, over long random markets."""

import itertools
import random
from datetime import date

import pytest

from api.gateway import Gateway
from api.order_views import order_after, order_view
from api.shown import ShownBook
from api.timers import Clock
from exchange import commands
from exchange.desk import is_waiting
from exchange.journal import MemoryJournal
from exchange.reasons import Reason
from exchange.rows import EventKind
from exchange.rules import load_rule_set
from exchange.sessions import Phase
from matching.ladder import orders_of, price_of
from matching.orders import EITHER_SIDE, OrderType, Side, TimeInForce
from registry.accounts import ParticipantClass
from registry.serials import Origin
from registry.units import Species
from tests.api.conftest import MORNING_NS

ACCOUNTS = 4
SYMBOL = "HBEA-2025"
PRICES = [3980, 3990, 3995, 4000, 4005, 4010, 4020]  # ticks


class Market:
    """A gateway without a server: commands one at a time, and what follows from each."""

    def __init__(self, rules):
        self.gateway = Gateway(MemoryJournal(), load_rule_set(rules), Clock(MORNING_NS))
        self.control(commands.ListInstrument(SYMBOL, Species.ALLOWANCE, 2025, 4000))
        for number in range(1, ACCOUNTS + 1):
            account_id = f"A{number}"
            owner = "G" if number > 2 else ""  # the last two have one beneficial owner
            self.control(commands.OpenAccount(account_id, account_id, ParticipantClass.INSTITUTION, owner))
            self.control(commands.DepositCash(account_id, 10**12))
            self.control(commands.IssueUnits(account_id, SYMBOL, 10**5, Origin.FREE))
            self.control(commands.TransferUnits(account_id, SYMBOL, 10**5, True))

    def control(self, command):
        return self.play(commands.control(command))

    def play(self, command):
        engine = self.gateway.engine
        batch, [sequence] = engine.prepare([command], MORNING_NS)
        engine.record(batch).result()
        self.gateway.history.extend(batch, engine.apply(batch))
        return self.gateway.history.answer(sequence)

    @property
    def exchange(self):
        return self.gateway.exchange

    def shown(self):
        """The book as its orders stand in the ladder."""
        return ShownBook(self.gateway.history, self.exchange.path.desk.ladder, 1)


def some_order(rng, ids):
    """An order of any kind, an amend or a cancel; `ids`: (order id, account) to choose from."""
    account, side = rng.randint(1, ACCOUNTS), rng.choice(list(Side))
    kind = rng.random()
    price, quantity = rng.choice(PRICES), rng.randint(1, 60)
    if ids and kind < 0.12:
        order_id, owner = rng.choice(ids)
        return commands.cancel_order(owner, order_id)
    if ids and kind < 0.35:
        order_id, owner = rng.choice(ids)
        stop_ticks = rng.choice([0, 0, rng.choice(PRICES)])
        return commands.amend_order(owner, order_id, rng.choice([0, price, price]), quantity, stop_ticks)
    if kind < 0.36:
        return commands.cancel_orders(account, side=rng.choice([0, 1, 2]))
    order_type = rng.choices(list(OrderType), (12, 1, 2, 2))[0]
    lives = rng.choices(list(TimeInForce), (2, 6, 1, 1, 1))[0]
    if order_type == OrderType.MARKET:
        lives = TimeInForce.IOC
    if order_type == OrderType.STOP:
        lives = TimeInForce.DAY
    rests = order_type == OrderType.LIMIT and lives.rests
    return commands.place_order(
        account,
        1,
        side,
        price if order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT) else 0,
        quantity,
        lives,
        order_type=order_type,
        stop_ticks=rng.choice(PRICES) if order_type.waits else 0,
        display_quantity=rng.choice([0, min(7, quantity)]) if rests else 0,
        last_day=date(2026, 1, 6) if lives == TimeInForce.GTD else None,
        self_trade=rng.randint(0, 4),
    )


def two_days():
    """Control commands of two days, each with how many orders come in before it."""
    for number in (5, 6):
        yield 0, commands.OpenDay(date(2026, 1, number))
        yield 0, commands.OpenCall()
        yield 60, commands.StartTrading()
        yield 300, commands.HaltTrading("news")
        yield 10, commands.ResumeTrading("no news")
        yield 100, commands.OpenCall()
        yield 60, commands.StartTrading()
        yield 200, commands.BreakSession()
        yield 5, commands.OpenCall()
        yield 60, commands.CloseSession()
        yield 0, commands.SettleDay()


def play_two_days(market, seed):
    """The event rows of one command after another."""
    rng, owners = random.Random(seed), {}
    for count, command in two_days():
        for _ in range(count):
            rows = market.play(some_order(rng, list(owners.items())[-40:]))
            owners |= {int(row.order_id): int(row.account) for row in rows if row.kind == EventKind.ACCEPTED}
            yield rows
        yield market.control(command)


random_markets = pytest.mark.parametrize(("rules", "seed"), list(itertools.product(["hubei", "generic"], range(2))))


# ---------------------------------------------------------------- the book


def by_priority(book):
    """Side by side and price by price, the oldest order first."""
    return sorted(book.orders.items(), key=lambda one: (one[1].side, one[1].price_ticks))


def is_crossed(book):
    bids = [one.price_ticks for one in book.orders.values() if one.side == Side.BUY]
    asks = [one.price_ticks for one in book.orders.values() if one.side == Side.SELL]
    return bool(bids and asks) and max(bids) >= min(asks)


@random_markets
def test_a_book_kept_from_events_is_the_exchanges_book(rules, seed):
    market = Market(rules)
    book, seen = market.shown(), set()
    for rows in play_two_days(market, seed):
        trades_on = market.exchange.phase == Phase.CONTINUOUS and (rows["reason"] != Reason.AUCTION).all()
        for index, event in enumerate(rows):
            later = rows[index + 1] if index + 1 < rows.size else None
            for change in book.changes(event, later):
                assert book.orders.get(change.order_id, change.shown) == change.shown
                assert (change.type == "removed") == (change.shown.quantity == 0)
                assert not trades_on or not is_crossed(book)
        assert by_priority(book) == by_priority(market.shown())
        seen.update(EventKind(int(kind)) for kind in rows["kind"])
    assert {EventKind.REFRESHED, EventKind.PREVENTED, EventKind.AMENDED, EventKind.TRIGGERED} <= seen
    assert (market.gateway.history.trades["aggressor"] == EITHER_SIDE).any()


# ---------------------------------------------------------------- the orders


def check_view(market, view, order):
    """The view of an order agrees with where it stands; `order` is None if it is gone."""
    assert view.quantity == view.filled + view.leaves + view.cancelled + view.prevented
    assert (view.leaves > 0) == (order is not None)
    if order is None:
        assert view.status == ("cancelled" if view.reason else "filled")
        return
    waits = is_waiting(order)
    assert (view.status, view.reason) == ("waiting" if waits else "open", None)
    assert view.leaves == order.shown + order.hidden
    assert view.type == "stop" or view.price == f"{int(order.price_ticks) / 100:.2f}"
    if waits:
        queue = market.exchange.path.desk.ladder.queues[order.queue]
        assert view.stop_price == f"{int(price_of(queue, int(order.level))) / 100:.2f}"


@random_markets
def test_order_views_say_what_the_exchange_holds(rules, seed):
    market, order_ids = Market(rules), []
    for number, rows in enumerate(play_two_days(market, seed)):
        for event in rows[rows["kind"] == EventKind.ACCEPTED]:
            order_ids.append(int(event.order_id))
            assert order_after(market.gateway, rows) == order_view(market.gateway, int(event.order_id))
        if number % 50 == 0:
            ladder = market.exchange.path.desk.ladder
            resting = {int(order.order_id): order for order in orders_of(ladder, 1)}
            for order_id in order_ids:
                check_view(market, order_view(market.gateway, order_id), resting.get(order_id))
