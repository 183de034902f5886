"""What events say about the book is what the book says itself."""

import numpy as np
import pytest
from hypothesis import given, settings

from exchange.flow import ReadablePlayer
from exchange.research.counterfactual import played
from exchange.research.tape import LEVELS, Tape
from exchange.rows import EVENT, EventKind
from matching.orders import Side
from tests.exchange.research.play import FEW, flow, flows


def books_of(rows):
    """The readable book after each row, as it goes on."""
    player = ReadablePlayer()
    for index in range(rows.size):
        list(player.play(rows[index : index + 1]))
        yield player.book


def depths(levels):
    return (levels[0][1] if levels else 0), sum(quantity for _, quantity in levels[:LEVELS])


@settings(max_examples=FEW)
@given(flows)
def test_best_prices_and_depths_are_the_books_after_each_message(rows):
    path = Tape(played(rows)).path
    for index, book in enumerate(books_of(rows)):
        for side, best, depth, depth_5 in (
            (Side.BUY, path.bid, path.bid_depth, path.bid_depth_5),
            (Side.SELL, path.ask, path.ask_depth, path.ask_depth_5),
        ):
            assert best[index] == (book.best(side) or 0)
            assert (depth[index], depth_5[index]) == depths(book.levels(side))


def place_in(book, ref):
    """(price, leaves, quantity ahead, orders ahead) of an order in the book; None if it does not rest."""
    order = book.orders.get(ref)
    if order is None:
        return None
    queue = list(book.sides[order.side][order.price_ticks].values())
    ahead = queue[: queue.index(order)]
    return order.price_ticks, order.leaves, sum(one.leaves for one in ahead), len(ahead)


@settings(max_examples=FEW)
@given(flows)
def test_an_orders_place_in_its_queue_is_the_books_after_each_message(rows):
    tape = Tape(played(rows))
    histories = {ref: tape.queue(ref) for ref in range(1, 13)}
    known = {
        ref: dict(zip(history.message.tolist(), zip(*(getattr(history, name).tolist() for name in PLACE), strict=True),
                      strict=True))
        for ref, history in histories.items()
    }  # fmt: skip
    last = dict.fromkeys(known)
    for index, book in enumerate(books_of(rows)):
        for ref, places in known.items():
            place = place_in(book, ref)
            if place is None:
                assert index not in places
            elif index in places:
                assert places[index] == place
            else:
                assert place == last[ref], "a place changed without a word"
            last[ref] = place


PLACE = ("price_ticks", "leaves", "ahead_quantity", "ahead_orders")


def test_what_a_file_does_not_tell_of_a_maker_follows_from_its_trades():
    events = played(flow("new 1 sell 9 @ 42", "new 2 sell 5 @ 42", "new 3 buy 4 @ 42", "amend 2 sell 3 @ 42"))
    events["maker_leaves"] = 0
    history = Tape(events).queue(2)
    assert history.message.tolist() == [1, 2, 3]
    assert history.ahead_quantity.tolist() == [9, 5, 5] and history.leaves.tolist() == [5, 5, 3]


def test_the_mid_before_a_trade_is_that_of_the_message_before():
    trades = Tape(played(flow("new 1 sell 9 @ 44", "new 2 buy 5 @ 40", "new 3 buy 4 @ 44", "new 4 sell 6 @ 39"))).trades
    assert (trades.price_ticks.tolist(), trades.sign.tolist()) == ([44, 40], [1, -1])
    assert trades.mid_before.tolist() == [42, 42]


def test_events_about_orders_from_before_are_counted_and_left_out():
    events = played(flow("new 1 sell 9 @ 44", "new 2 buy 5 @ 40", "cancel 1"))
    tape = Tape(events[events["sequence"] > 0])
    assert tape.strangers == 1
    assert (tape.path.bid.tolist(), tape.path.ask.tolist()) == ([40, 40], [0, 0])


def test_no_events_are_a_tape_too():
    tape = Tape(np.zeros(0, EVENT))
    assert tape.messages == tape.strangers == tape.path.bid.size == tape.trades.price_ticks.size == 0
    assert tape.count(EventKind.TRADED) == tape.queue(1).message.size == 0


def test_events_out_of_order_are_refused():
    events = played(flow("new 1 sell 9 @ 44", "new 2 buy 5 @ 40"))
    with pytest.raises(ValueError, match="order of their messages"):
        Tape(events[::-1])
