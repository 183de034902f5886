"""Call auctions at the opening, at the close and in between, and halts that end in one."""

from datetime import date

import msgspec
import pytest

from exchange.commands import ListInstrument
from exchange.events import TradingHalted, TradingResumed, TradingStarted
from exchange.instruments import fen
from exchange.rules import load_rule_set
from exchange.sessions import timetable
from matching.orders import EITHER_SIDE
from registry.units import Species
from tests.exchange.market import CNY, DAY, HBCER, HBEA, Market, cash, units

pytestmark = pytest.mark.kernels

RICH = cash("10000.00") + units(200)


def calling(rules="generic", opening="42.00", **people):
    """A market in its opening call; everybody is rich who is not said to be otherwise."""
    people = people or dict.fromkeys(("alice", "bob", "carol", "dave"), RICH)
    market = Market(rules, opening=opening, until="open", **people)
    assert market.play("call") == "call opened"
    return market


# ---------------------------------------------------------------- the price


@pytest.mark.parametrize(
    ("last", "orders", "uncrossed"),
    [
        pytest.param(
            "42.00",
            ["alice buys 60 @ 43.00", "alice buys 40 @ 42.00", "bob sells 50 @ 41.00", "bob sells 50 @ 43.00"],
            "60 @ 43.00, imbalance -40",
            id="more trades at 43.00, 60 t, than at 42.00, 50 t",
        ),
        pytest.param(
            "42.00",
            ["alice buys 50 @ 43.00", "alice buys 50 @ 42.00", "bob sells 50 @ 41.00"],
            "50 @ 42.01, imbalance 0",
            id="above 42.00 no buyer is left over; of these prices the nearest to the last",
        ),
        pytest.param(
            "42.50",
            ["alice buys 50 @ 43.00", "alice buys 50 @ 42.00", "bob sells 50 @ 41.00"],
            "50 @ 42.50, imbalance 0",
            id="the last price is among the best",
        ),
        pytest.param(
            "45.00",
            ["alice buys 50 @ 43.00", "alice buys 50 @ 42.00", "bob sells 50 @ 41.00"],
            "50 @ 43.00, imbalance 0",
            id="the last price is above them all",
        ),
        pytest.param(
            None,
            ["alice buys 50 @ 43.00", "alice buys 50 @ 42.00", "bob sells 50 @ 41.00"],
            "50 @ 42.01, imbalance 0",
            id="there is no last price: the lowest",
        ),
        pytest.param(
            "40.00",
            ["alice buys 70 @ 43.00", "bob sells 50 @ 42.00"],
            "50 @ 42.00, imbalance 20",
            id="buyers are left over at each",
        ),
        pytest.param(
            "42.00",
            ["alice buys 30 @ 42.50 show 1", "bob sells 90 @ 42.50 show 7"],
            "30 @ 42.50, imbalance -60",
            id="what icebergs hide counts",
        ),
    ],
)
def test_the_price_of_an_auction(last, orders, uncrossed):
    market = calling(opening=last)
    assert market.play("\n".join(orders)) == "\n".join(f"{order.split()[0]} accepted" for order in orders)

    *_, uncrossed_said, started = market.start().splitlines()
    assert (uncrossed_said, started) == (f"HBEA-2025 uncrossed: {uncrossed}", "session 1 started")


def test_nobody_trades_before_the_call_ends_and_then_all_at_one_price():
    market = calling()
    market.play("""
        bob sells 20 @ 42.00
        carol sells 20 @ 41.00
        alice buys 30 @ 42.00
        dave buys 10 @ 44.00
        dave buys 10 @ 41.50
        bob sells 10 @ 43.00
    """)
    assert market.exchange.trades_today().size == 0

    # dave's 44.00 is the best bid, carol's 41.00 the best ask.
    assert market.start() == (
        "dave buys 10 @ 42.00 from carol\n"
        "alice buys 10 @ 42.00 from carol\n"
        "alice buys 20 @ 42.00 from bob\n"
        "HBEA-2025 uncrossed: 40 @ 42.00, imbalance 0\n"
        "session 1 started"
    )
    assert market.book() == "dave buys 10 @ 41.50\nbob sells 10 @ 43.00"
    assert isinstance(market.event, TradingStarted)
    assert market.exchange.trades_today()["aggressor"].tolist() == [EITHER_SIDE] * 3
    assert set(market.outcome.rows["sequence"].tolist()) == set(market.receipts)


def test_at_one_price_the_older_orders_trade_and_the_youngest_stays():
    market = calling()
    market.play("alice buys 10 @ 42.00\ncarol buys 10 @ 42.00\ndave buys 10 @ 42.00\nbob sells 15 @ 42.00")

    assert market.start().startswith("alice buys 10 @ 42.00 from bob\ncarol buys 5 @ 42.00 from bob\n")
    assert market.book() == "carol buys 5 @ 42.00\ndave buys 10 @ 42.00"


def test_icebergs_show_slice_after_slice_the_buyers_first():
    market = calling()
    market.play("alice buys 30 @ 42.00 show 10\nbob sells 30 @ 42.00 show 15\ncarol sells 5 @ 42.00")

    assert market.start() == (
        "alice buys 10 @ 42.00 from bob\n"
        "alice shows 10 of 20 @ 42.00\n"
        "alice buys 5 @ 42.00 from bob\n"
        "bob shows 15 of 15 @ 42.00\n"
        "alice buys 5 @ 42.00 from carol\n"
        "alice shows 10 of 10 @ 42.00\n"
        "alice buys 10 @ 42.00 from bob\n"
        "HBEA-2025 uncrossed: 30 @ 42.00, imbalance -5\n"
        "session 1 started"
    )
    assert market.book() == "bob sells 5 of 5 @ 42.00"


def test_both_icebergs_show_their_next_slice_after_one_trade():
    market = calling()
    market.play("alice buys 20 @ 42.00 show 10\nbob sells 20 @ 42.00 show 10")

    assert market.start().startswith(
        "alice buys 10 @ 42.00 from bob\nalice shows 10 of 10 @ 42.00\nbob shows 10 of 10 @ 42.00\n"
    )


def test_a_call_in_which_nothing_crosses_ends_without_an_auction():
    market = calling()
    market.play("alice buys 10 @ 41.99\nbob sells 10 @ 42.00")

    assert market.start() == "session 1 started"
    assert market.event.auctions == []


def test_each_instrument_has_an_auction_of_its_own():
    market = Market("generic", until="listed", alice=RICH, bob=RICH)
    market.must(ListInstrument(HBCER, Species.CREDIT, 2025, 3000))
    market.give("bob", HBCER, 100)
    market.play(f"""
        open {DAY}
        call
        bob sells 10 HBCER-2025 @ 30.00
        alice buys 10 HBCER-2025 @ 31.00
        bob sells 10 @ 42.00
        alice buys 10 @ 44.00
    """)

    assert market.start() == (
        "alice buys 10 @ 42.00 from bob\n"
        "alice buys 10 @ 30.00 from bob\n"
        "HBEA-2025 uncrossed: 10 @ 42.00, imbalance 0\n"
        "HBCER-2025 uncrossed: 10 @ 30.00, imbalance 0\n"
        "session 1 started"
    )


# ---------------------------------------------------------------- the money


def test_each_buyer_pays_the_auctions_price_and_gets_the_rest_back():
    market = calling("hubei", alice=cash("10000.00"), dave=cash("5000.00"), bob=units(100), carol=units(50))
    market.play("alice buys 100 @ 43.00\ndave buys 50 @ 44.00\nbob sells 100 @ 41.00\ncarol sells 50 @ 40.00")
    assert market.holding("alice", CNY).reserved == fen("4321.50")
    market.start()

    # At the last price, 42.00: 4200.00 and 21.00, 2100.00 and 10.50.
    assert market.holding("alice", CNY).reserved == fen("4221.00")
    assert market.holding("dave", CNY).reserved == fen("2110.50")
    assert (market.money("bob"), market.money("carol")) == ("4179.00", "2089.50")
    assert market.fees_earned() == "63.00"
    market.play("close\nsettle")
    assert market.money("alice") == "5779.00"
    assert market.holding("alice", HBEA).settled == 100


def test_fees_of_many_fills_in_an_auction_add_up_to_the_fee_of_the_whole():
    market = calling("hubei", opening="41.00", alice=cash("1000.00"), bob=units(7))
    market.play("alice buys 7 @ 41.00\n" + "bob sells 1 @ 41.00\n" * 7)
    market.start()

    trades = market.exchange.trades_today()
    assert (trades["buyer_fee"].sum(), trades["seller_fee"].sum()) == (144, 147)  # 143.5 and 7 x 20.5
    assert market.holding("alice", CNY).reserved == fen("287.00") + 144


def test_what_is_not_traded_in_an_auction_goes_on_and_pays_its_own_price():
    market = calling("hubei", alice=cash("10000.00"), bob=units(100))
    market.play("alice buys 100 @ 43.00\nbob sells 40 @ 42.00")
    market.start()
    # 40 t at 42.00, which is the last price; 60 t at the limit; the fee of both.
    assert market.holding("alice", CNY).reserved == fen("1680.00") + fen("2580.00") + fen("21.30")

    market.play("bob sells 60 @ 42.00")
    assert market.holding("alice", CNY).reserved == fen("4200.00") + fen("21.00")


# ---------------------------------------------------------------- what a call admits


@pytest.mark.parametrize("terms", ["ioc", "fok", "post-only"])
def test_what_wants_to_trade_at_once_or_never_has_no_place_in_a_call(terms):
    market = calling()

    assert market.play(f"alice buys 10 @ 42.00 {terms}") == "alice refused: not_in_call"


def test_orders_are_amended_and_cancelled_in_a_call():
    market = calling()
    market.play("alice buys 10 @ 42.00\ncarol buys 10 @ 42.00\nbob sells 10 @ 43.00\ndave sells 5 @ 41.00")

    assert market.play("bob amends order 3 to 10 @ 40.00") == "bob amends to 10 @ 40.00, place lost"
    assert market.play("alice amends order 1 to 5 @ 42.00") == "alice amends to 5 @ 42.00, place kept"
    assert market.play("dave cancels order 4") == "dave loses 5 @ 41.00: by_request"
    assert market.book() == "alice buys 5 @ 42.00\ncarol buys 10 @ 42.00\nbob sells 10 @ 40.00"
    assert market.start().startswith("alice buys 5 @ 42.00 from bob\ncarol buys 5 @ 42.00 from bob\n")


def test_a_call_may_interrupt_trading():
    market = Market("generic", alice=RICH, bob=RICH)
    market.play("alice buys 10 @ 41.00\nbob sells 10 @ 43.00 post-only")

    assert market.play("call\nalice buys 5 @ 43.00\nstart") == (
        "call opened\n"
        "alice accepted\n"
        "alice buys 5 @ 43.00 from bob\n"
        "HBEA-2025 uncrossed: 5 @ 43.00, imbalance -5\n"
        "session 1 started"  # and goes on
    )


def test_a_call_after_a_break_begins_the_next_session():
    market = Market("generic")

    assert market.play("break\ncall\nstart\ncall\nstart").splitlines()[2::2] == ["session 2 started"] * 2


def test_stops_that_the_auction_reached_arrive_when_trading_starts():
    market = calling()
    market.play("""
        carol buys 5 @ 45.00 stop 43.00
        dave sells 2 @ 40.00 stop 41.00
        alice buys 10 @ 43.00
        bob sells 10 @ 43.00
        bob sells 10 @ 44.00
    """)

    assert market.start() == (
        "alice buys 10 @ 43.00 from bob\n"
        "carol's stop reached: buys 5 @ 45.00\n"
        "carol takes 5 @ 44.00 from bob\n"
        "HBEA-2025 uncrossed: 10 @ 43.00, imbalance 0\n"
        "session 1 started"
    )
    assert market.book() == "bob sells 5 @ 44.00\ndave sells 2 @ 40.00 stop 41.00"


# ---------------------------------------------------------------- the closing call

CLOSING_CALL = msgspec.structs.replace(load_rule_set("generic"), opening_call=None, closing_call="14:57")


def test_a_closing_call_is_uncrossed_and_sets_the_closing_price():
    market = Market(CLOSING_CALL, alice=RICH, bob=RICH, carol=RICH)
    market.play("bob sells 10 @ 41.00\nalice buys 10 @ 41.00\ncall")
    market.play("alice buys 30 @ 44.00\nbob sells 20 @ 43.00\ncarol sells 20 @ 44.00 gtc\nalice buys 5 @ 42.00")

    assert market.close() == (
        "alice buys 20 @ 44.00 from bob\n"
        "alice buys 10 @ 44.00 from carol\n"
        "alice loses 5 @ 42.00: end_of_day\n"
        "HBEA-2025 uncrossed: 30 @ 44.00, imbalance -10\n"
        "day 2026-01-05 closed at 44.00"
    )
    assert market.book() == "carol sells 10 @ 44.00"
    assert market.settle() == "day 2026-01-05 settled, 3 trades"


def test_an_auctions_trades_count_for_the_days_average():
    market = Market("hubei", alice=cash("100000.00"), bob=units(1000))
    market.play("bob sells 100 @ 42.00\nalice buys 100 @ 42.00\ncall\nbob sells 300 @ 42.04\nalice buys 300 @ 42.04")

    assert market.close().endswith("day 2026-01-05 closed at 42.03")


def test_no_stop_arrives_after_the_close():
    market = Market("generic", alice=RICH, bob=RICH, carol=RICH)
    market.play("carol buys 5 @ 45.00 stop 43.00\ncarol buys 5 @ 46.00 stop 43.00 gtc\ncall")
    market.play("alice buys 10 @ 44.00\nbob sells 10 @ 44.00\nbob sells 10 @ 44.00 gtc")

    assert market.close() == (
        "alice buys 10 @ 44.00 from bob\n"
        "carol loses 5 @ 45.00: end_of_day\n"
        "HBEA-2025 uncrossed: 10 @ 44.00, imbalance -10\n"
        "day 2026-01-05 closed at 44.00"
    )
    assert market.book() == "bob sells 10 @ 44.00\ncarol buys 5 @ 46.00 stop 43.00"
    # It waits for the next trade, whatever the price was at the close.
    assert market.play("settle\nopen 2026-01-06\nstart").endswith("session 1 started")
    assert market.play("alice buys 1 @ 44.00").endswith(
        "carol's stop reached: buys 5 @ 46.00\ncarol takes 5 @ 44.00 from bob"
    )


def test_the_day_of_a_rule_set_with_both_calls():
    rules = msgspec.structs.replace(CLOSING_CALL, opening_call="09:20")
    market = Market(rules, until="listed", alice=RICH, bob=RICH)
    orders = {1: "alice buys 10 @ 43.00\nbob sells 10 @ 43.00", 5: "bob sells 10 @ 44.00\nalice buys 10 @ 44.00"}
    auctions = []
    for number, step in enumerate(timetable(rules, date.fromisoformat(DAY))):
        auctions += [line for line in market.do(step.command).splitlines() if "uncrossed" in line]
        market.play(orders.get(number, ""))

    assert auctions == ["HBEA-2025 uncrossed: 10 @ 43.00, imbalance 0", "HBEA-2025 uncrossed: 10 @ 44.00, imbalance 0"]
    assert market.close_ticks == 4400


# ---------------------------------------------------------------- halts


@pytest.fixture
def two():
    """A market of allowances and credits, in which Bob sells 10 of each."""
    market = Market("generic", until="listed", alice=RICH, bob=RICH, carol=RICH)
    market.must(ListInstrument(HBCER, Species.CREDIT, 2025, 3000))
    market.give("bob", HBCER, 100)
    market.play(f"open {DAY}\nstart\nbob sells 10 @ 42.00\nbob sells 10 HBCER-2025 @ 30.00")
    return market


def test_a_halted_instrument_takes_cancels_only_and_the_others_trade(two):
    assert two.play("halt HBEA-2025: 价格异常") == "HBEA-2025 halted: 价格异常"
    assert two.event == TradingHalted([two.instrument(HBEA)], "价格异常")

    assert two.play("alice buys 10 @ 42.00") == "alice refused: market_halted"
    assert two.play("bob amends order 1 to 5 @ 42.00") == "bob's amend refused: market_halted"
    assert two.play("alice buys 10 HBCER-2025 @ 30.00").endswith("alice takes 10 @ 30.00 from bob")
    assert two.play("bob cancels order 1") == "bob loses 10 @ 42.00: by_request"


def test_trading_goes_on_where_it_stood(two):
    two.play("carol sells 10 @ 42.00\nhalt HBEA-2025: an accident")

    assert two.play("resume HBEA-2025: no danger any more") == "HBEA-2025 resumed: no danger any more"
    assert two.event == TradingResumed([two.instrument(HBEA)], "no danger any more", [])
    assert two.play("alice buys 15 @ 42.00").endswith(
        "alice takes 10 @ 42.00 from bob\nalice takes 5 @ 42.00 from carol"
    )


def test_the_whole_market_is_halted_and_resumed(two):
    assert two.play("halt: a power cut") == "HBEA-2025, HBCER-2025 halted: a power cut"
    assert two.play("alice buys 1 @ 42.00\nalice buys 1 HBCER-2025 @ 30.00") == (
        "alice refused: market_halted\nalice refused: market_halted"
    )
    assert two.play("resume: light") == "HBEA-2025, HBCER-2025 resumed: light"
    assert two.play("alice buys 1 @ 42.00").endswith("from bob")


def test_only_what_is_not_halted_yet_is_halted_and_each_keeps_its_reason(two):
    assert two.play("halt HBEA-2025: its price") == "HBEA-2025 halted: its price"
    assert two.play("halt HBEA-2025: again") == "refused: already_halted"
    assert two.play("halt: the flood") == "HBCER-2025 halted: the flood"
    assert two.play("halt: again") == "refused: already_halted"
    assert two.exchange.halts == {two.instrument(HBEA): "its price", two.instrument(HBCER): "the flood"}

    assert two.play("resume HBCER-2025: dry") == "HBCER-2025 resumed: dry"
    assert two.play("resume HBCER-2025: again") == "refused: not_halted"
    assert two.play("resume: all of it") == "HBEA-2025 resumed: all of it"
    assert two.play("resume: again") == "refused: not_halted"


def test_a_halt_outlasts_breaks_and_days(two):
    two.play("halt HBEA-2025: an inquiry\nbreak")
    assert two.play("alice buys 1 @ 42.00") == "alice refused: market_closed"
    two.play("start")
    assert two.play("alice buys 1 @ 42.00") == "alice refused: market_halted"
    assert two.play("close\nsettle\nopen 2026-01-06\ncall\nalice buys 1 @ 42.00").endswith(
        "alice refused: market_halted"
    )
    two.play("start")
    assert two.play("alice buys 1 @ 42.00") == "alice refused: market_halted"
    assert two.play("resume: done\nalice buys 1 @ 42.00") == "HBEA-2025 resumed: done\nalice accepted"


def test_a_halt_may_be_declared_and_ended_while_the_market_is_closed(two):
    two.play("close")
    assert two.play("halt HBEA-2025: the press") == "HBEA-2025 halted: the press"
    two.play("settle\nopen 2026-01-06\nstart")
    assert two.play("alice buys 1 @ 42.00") == "alice refused: market_halted"

    two.play("close")
    assert two.play("resume: the press") == "HBEA-2025 resumed: the press"
    two.play("settle\nopen 2026-01-07\nstart")
    assert two.play("alice buys 1 @ 42.00") == "alice accepted"


def test_orders_of_a_halted_instrument_expire_at_the_close(two):
    assert two.play("halt: an accident\nclose").splitlines()[1:] == [
        "bob loses 10 @ 42.00: end_of_day",
        "bob loses 10 @ 30.00: end_of_day",
        "day 2026-01-05 closed at 42.00",
    ]


@pytest.mark.parametrize(
    "story",
    [
        pytest.param("halt HBEA-2025: x\nstart\nresume HBEA-2025: y", id="halted in the call, resumed in trading"),
        pytest.param("start\nhalt HBEA-2025: x\nresume: y", id="not halted in the call"),
        pytest.param("halt: x\nresume: y\nstart", id="halted and resumed in the call"),
        pytest.param("halt: x\nstart\nbreak\nresume: y\nstart", id="resumed over lunch"),
    ],
)
def test_a_crossed_book_is_uncrossed_as_soon_as_its_instrument_trades(story):
    market = calling()
    market.play("""
        carol buys 5 @ 45.00 stop 43.00
        alice buys 10 @ 43.00
        bob sells 10 @ 43.00
        bob sells 10 @ 44.00
    """)
    said = [market.play(line) for line in story.splitlines()]

    (uncrossing,) = [lines for lines in said if "uncrossed" in lines]
    *first, _last = uncrossing.splitlines()
    assert first == [
        "alice buys 10 @ 43.00 from bob",
        "carol's stop reached: buys 5 @ 45.00",
        "carol takes 5 @ 44.00 from bob",
        "HBEA-2025 uncrossed: 10 @ 43.00, imbalance 0",
    ]
    assert market.book() == "bob sells 5 @ 44.00"


def test_what_is_halted_in_the_closing_call_is_not_uncrossed_before_it_trades_again():
    market = calling()
    market.play("alice buys 10 @ 43.00 gtc\nbob sells 10 @ 42.00 gtc\nbob sells 10 @ 42.00\nhalt: x")

    assert market.close() == "bob loses 10 @ 42.00: end_of_day\nday 2026-01-05 closed at 42.00"
    assert market.play("settle\nopen 2026-01-06\nstart").endswith("session 1 started")
    assert market.book() == "alice buys 10 @ 43.00\nbob sells 10 @ 42.00"
    assert market.play("resume: y") == (
        "alice buys 10 @ 42.00 from bob\nHBEA-2025 uncrossed: 10 @ 42.00, imbalance 0\nHBEA-2025 resumed: y"
    )


def test_a_halt_of_what_nobody_lists_is_refused(two):
    assert two.play("halt HBEA-1999: x") == "refused: unknown_instrument"
    assert two.play("resume HBEA-1999: x") == "refused: unknown_instrument"
