"""What the gateway keeps for asking, read from a journal."""

from api.history import History, on_the_book
from exchange.engine import read_batches
from exchange.state import Exchange
from exchange.transition import apply
from tests.exchange.defaults import DUE, Failing
from tests.exchange.market import HBEA, cash, units


def test_a_deal_that_comes_due_has_its_trade_id_and_is_no_trade_of_the_book():
    market = Failing(alice=cash("9000.00"), bob=units(200))
    market.agree("F-1", "bob", "alice", 100, "42.00")
    market.next_evening()
    market.play("open 2026-01-07\nstart\nbob sells 10 @ 42.00\nalice buys 10 @ 42.00")

    history, exchange = History(), Exchange()
    for batch in read_batches(market.engine.journal.blocks()):
        history.extend(batch, apply(exchange, batch))
    assert history.trade(1).quantity == 100 and history.trade(2).quantity == 10
    assert on_the_book(history.trades)["trade_id"].tolist() == [2]
    assert history.trades_of(market.instrument(HBEA), 0)["trade_id"].tolist() == [2]
    assert market.last.day.isoformat() == DUE
