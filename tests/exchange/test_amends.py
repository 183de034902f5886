"""Orders that get another price or quantity, and orders that are cancelled by the dozen."""

import pytest

from exchange.commands import CancelCause, CancelOrders, ListInstrument
from exchange.instruments import fen
from exchange.reasons import Reason
from registry.units import Species
from tests.exchange.market import CNY, DAY, HBCER, HBEA, Market, cash, units

pytestmark = pytest.mark.kernels


# ---------------------------------------------------------------- the place in the queue


@pytest.mark.parametrize(
    ("amend", "said", "first"),
    [
        pytest.param("to 10 @ 42.00", "bob amends to 10 @ 42.00, place kept", "bob", id="less"),
        pytest.param("to 20 @ 42.00", "bob amends to 20 @ 42.00, place lost", "carol", id="as much"),
        pytest.param("to 30 @ 42.00", "bob amends to 30 @ 42.00, place lost", "carol", id="more"),
        pytest.param("to 10 @ 42.01", "bob amends to 10 @ 42.01, place lost", "carol", id="less at a worse price"),
        pytest.param("to 10 @ 41.99", "bob amends to 10 @ 41.99, place lost", "bob", id="less at a better price"),
    ],
)
def test_an_order_keeps_its_place_only_if_it_becomes_less(amend, said, first):
    market = Market("generic", alice=cash("10000.00"), bob=units(100), carol=units(100))
    market.play("bob sells 20 @ 42.00\ncarol sells 20 @ 42.00")

    assert market.play(f"bob amends order 1 {amend}") == said
    assert market.book().startswith(f"{first} sells")
    assert market.play("alice buys 5 @ 43.00").endswith(f"from {first}")


def test_an_order_amended_to_a_price_and_back_has_lost_its_place():
    market = Market("generic", bob=units(100), carol=units(100))
    market.play("bob sells 20 @ 42.00\ncarol sells 20 @ 42.00")
    market.play("bob amends order 1 to 20 @ 43.00\nbob amends order 1 to 20 @ 42.00")

    assert market.book() == "carol sells 20 @ 42.00\nbob sells 20 @ 42.00"


def test_an_order_amended_across_the_spread_trades_at_once():
    market = Market("generic", alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 20 @ 42.00\nbob sells 20 @ 42.50\nalice buys 10 @ 41.00")

    assert market.play("alice amends order 3 to 50 @ 42.50") == (
        "alice amends to 50 @ 42.50, place lost\nalice takes 20 @ 42.00 from bob\nalice takes 20 @ 42.50 from bob"
    )
    assert market.book() == "alice buys 10 @ 42.50"
    assert market.play("alice cancels order 3") == "alice loses 10 @ 42.50: by_request"


def test_an_amend_may_reach_stops():
    market = Market("generic", alice=cash("10000.00"), bob=units(100), carol=cash("1000.00"))
    market.play("carol buys 5 @ 44.00 stop 43.00\nbob sells 10 @ 43.00\nalice buys 4 @ 41.00")

    assert market.play("alice amends order 3 to 4 @ 43.00") == (
        "alice amends to 4 @ 43.00, place lost\n"
        "alice takes 4 @ 43.00 from bob\n"
        "carol's stop reached: buys 5 @ 44.00\n"
        "carol takes 5 @ 43.00 from bob"
    )


def test_the_order_keeps_its_number_and_its_life():
    market = Market("generic", alice=cash("10000.00"))
    market.play("alice buys 10 @ 42.00 gtc\nalice buys 10 @ 42.00 until 2026-01-06\nalice buys 10 @ 42.00")
    market.play(
        "alice amends order 1 to 5 @ 41.00\nalice amends order 2 to 5 @ 41.00\nalice amends order 3 to 5 @ 41.00"
    )

    assert market.close() == "alice loses 5 @ 41.00: end_of_day\nday 2026-01-05 closed at 42.00"
    market.play("settle\nopen 2026-01-06")
    assert market.close() == "alice loses 5 @ 41.00: end_of_day\nday 2026-01-06 closed at 42.00"
    assert market.play("settle\nopen 2026-01-07\nalice cancels order 1").endswith("alice loses 5 @ 41.00: by_request")


def test_a_post_only_order_stays_one():
    market = Market("generic", alice=cash("10000.00"), bob=units(100))
    market.play("bob sells 20 @ 42.00\nalice buys 10 @ 41.00 post-only")

    assert market.play("alice amends order 2 to 10 @ 42.00") == "alice's amend refused: post_only_would_trade"
    assert market.play("alice amends order 2 to 10 @ 41.99") == "alice amends to 10 @ 41.99, place lost"
    market.play("call")
    assert market.play("alice amends order 2 to 10 @ 42.00") == "alice amends to 10 @ 42.00, place lost"


# ---------------------------------------------------------------- icebergs


@pytest.mark.parametrize(
    ("amend", "place", "shows"),
    [
        pytest.param("to 45 @ 42.00", "kept", "20 of 45", id="what it hides first"),
        pytest.param("to 20 @ 42.00", "kept", "20 of 20", id="all that it hides"),
        pytest.param("to 12 @ 42.00", "kept", "12 of 12", id="then of what it shows"),
        pytest.param("to 60 @ 42.00", "lost", "20 of 60", id="more"),
        pytest.param("to 15 @ 42.01", "lost", "15 of 15", id="less than a slice"),
    ],
)
def test_an_iceberg_loses_what_it_hides_before_what_it_shows(amend, place, shows):
    market = Market("generic", bob=units(100))
    market.play("bob sells 50 @ 42.00 show 20")
    price = amend.rpartition(" ")[2]

    total = shows.rpartition(" ")[2]
    assert market.play(f"bob amends order 1 {amend}") == f"bob amends to {total} @ {price}, place {place}"
    assert market.book() == f"bob sells {shows} @ {price}"
    assert market.holding("bob", HBEA).reserved == int(total)


def test_a_slice_that_has_begun_to_trade_goes_on_after_an_amend_that_keeps_the_place():
    market = Market("generic", alice=cash("10000.00"), bob=units(100), carol=units(10))
    market.play("bob sells 50 @ 42.00 show 20\ncarol sells 10 @ 42.00\nalice buys 5 @ 42.00")
    market.play("bob amends order 1 to 25 @ 42.00")
    assert market.book() == "bob sells 15 of 25 @ 42.00\ncarol sells 10 @ 42.00"

    assert market.play("alice buys 16 @ 42.00").endswith(
        "alice takes 15 @ 42.00 from bob\nbob shows 10 of 10 @ 42.00\nalice takes 1 @ 42.00 from carol"
    )


# ---------------------------------------------------------------- stops


def test_a_waiting_order_gets_another_stop_price_or_keeps_the_one_it_has():
    market = Market("generic", alice=cash("10000.00"))
    market.play("alice buys 10 @ 45.00 stop 43.00")

    assert market.play("alice amends order 1 to 10 @ 46.00") == "alice amends to 10 @ 46.00, place lost"
    assert market.book() == "alice buys 10 @ 46.00 stop 43.00"
    assert market.play("alice amends order 1 to 8 @ 46.00 stop 44.00") == "alice amends to 8 @ 46.00, place lost"
    assert market.book() == "alice buys 8 @ 46.00 stop 44.00"
    assert market.play("alice amends order 1 to 7 @ 46.00 stop 44.00") == "alice amends to 7 @ 46.00, place kept"
    assert market.holding("alice", CNY).reserved == fen("322.00")


@pytest.mark.parametrize(
    ("amend", "first"),
    [
        pytest.param("to 5 @ 45.00", "alice", id="less: its place is kept"),
        pytest.param("to 10 @ 45.00", "carol", id="as much: behind the other"),
        pytest.param("to 5 @ 45.01", "carol", id="another limit: behind the other"),
    ],
)
def test_waiting_orders_have_places_too(amend, first):
    market = Market("generic", alice=cash("10000.00"), bob=units(100), carol=cash("1000.00"), dave=cash("1000.00"))
    market.play("alice buys 10 @ 45.00 stop 43.00\ncarol buys 10 @ 45.00 stop 43.00\nbob sells 1 @ 43.00")
    market.play(f"alice amends order 1 {amend}")

    *_, reached, _ = market.play("dave buys 1 @ 43.00").splitlines()
    assert reached.startswith(f"{first}'s stop reached")


def test_a_stop_order_without_a_limit_keeps_its_bound():
    market = Market("hubei", alice=cash("10000.00"))
    market.play("alice buys 10 @ market stop 43.00")

    assert market.play("alice amends order 1 to 20 @ market stop 44.00") == "alice amends to 20 @ 46.20, place lost"
    assert market.holding("alice", CNY).reserved == fen("928.62")  # 924.00 and 4.62
    assert market.play("alice amends order 1 to 20 @ 45.00") == "alice's amend refused: contradictory_terms"


def test_a_stop_can_not_be_amended_to_where_the_price_is_already():
    market = Market("generic", alice=cash("10000.00"))
    market.play("alice buys 10 @ 45.00 stop 43.00")

    assert market.play("alice amends order 1 to 10 @ 45.00 stop 42.00") == "alice's amend refused: stop_already_reached"
    assert market.play("alice amends order 1 to 10 @ 45.00 stop 42.01") == "alice amends to 10 @ 45.00, place lost"


def test_an_order_that_was_reached_has_no_stop_price_any_more():
    market = Market("generic", alice=cash("10000.00"), bob=units(1), carol=cash("100.00"))
    market.play("alice buys 10 @ 45.00 stop 43.00\nbob sells 1 @ 43.00\ncarol buys 1 @ 43.00")

    assert market.play("alice amends order 1 to 10 @ 45.00 stop 46.00") == "alice's amend refused: contradictory_terms"
    assert market.play("alice amends order 1 to 9 @ 45.00") == "alice amends to 9 @ 45.00, place kept"


# ---------------------------------------------------------------- what it costs


@pytest.mark.parametrize(
    ("amend", "reserved"),
    [
        pytest.param("to 50 @ 42.00", "2110.50", id="less"),
        pytest.param("to 100 @ 42.00", "4221.00", id="as much"),
        pytest.param("to 236 @ 42.00", "9961.56", id="more"),
        pytest.param("to 100 @ 46.20", "4643.10", id="dearer"),
        pytest.param("to 100 @ 37.80", "3798.90", id="cheaper"),
        pytest.param("to 1 @ 41.00", "41.21", id="a fee of 20.5 fen"),
    ],
)
def test_an_amended_order_has_reserved_what_a_new_one_would(amend, reserved):
    market = Market("hubei", alice=cash("10000.00"))
    market.play("alice buys 100 @ 42.00")
    assert "refused" not in market.play(f"alice amends order 1 {amend}")

    assert market.holding("alice", CNY).reserved == fen(reserved)
    assert market.holding("alice", CNY).available == fen("10000.00") - fen(reserved)


def test_what_has_traded_already_counts_for_the_fee_and_is_not_reserved_again():
    market = Market("hubei", alice=cash("10000.00"), bob=units(30))
    market.play("alice buys 100 @ 41.00\nbob sells 30 @ 41.00")
    market.play("alice amends order 1 to 40 @ 41.50")

    # 30 x 41.00 + 40 x 41.50 = 2890.00, and a fee of 14.45
    assert market.holding("alice", CNY).reserved == fen("2904.45")
    assert market.play("alice amends order 1 to 40 @ 41.49") == "alice amends to 40 @ 41.49, place lost"
    assert market.holding("alice", CNY).reserved == fen("2904.05")  # 2889.60 and 14.448


def test_an_amended_buyer_who_trades_better_than_his_limit_gets_the_rest_back():
    market = Market("generic", alice=cash("1000.00"), bob=units(10))
    market.play("bob sells 10 @ 42.00\nalice buys 10 @ 41.00\nalice amends order 2 to 20 @ 50.00")

    assert market.holding("alice", CNY).reserved == fen("420.00") + fen("500.00")


@pytest.mark.parametrize(
    ("amend", "said"),
    [
        pytest.param("to 100 @ 50.00", "alice amends to 100 @ 50.00, place lost", id="all one has"),
        pytest.param("to 100 @ 50.01", "alice's amend refused: insufficient_cash", id="a tick more"),
        pytest.param("to 101 @ 50.00", "alice's amend refused: insufficient_cash", id="a tonne more"),
    ],
)
def test_an_amend_may_use_what_the_order_has_reserved(amend, said):
    market = Market("generic", alice=cash("5000.00"))
    market.play("alice buys 100 @ 42.00")

    assert market.play(f"alice amends order 1 {amend}") == said


@pytest.mark.parametrize(
    ("amend", "said"),
    [
        pytest.param("to 100 @ 43.00", "bob amends to 100 @ 43.00, place lost", id="all one has"),
        pytest.param("to 101 @ 42.00", "bob's amend refused: insufficient_units", id="a tonne more"),
    ],
)
def test_a_seller_who_amends_must_have_the_units(amend, said):
    market = Market("generic", bob=units(100))
    market.play("bob sells 60 @ 42.00")

    assert market.play(f"bob amends order 1 {amend}") == said


FAR = "900000.00"


@pytest.mark.parametrize(
    ("order", "amend"),
    [
        pytest.param("alice buys 1 @ 42.00", f"to 1 @ {FAR}", id="limit"),
        pytest.param("alice buys 1 @ 42.00 stop 43.00", f"to 1 @ 42.00 stop {FAR}", id="stop price"),
    ],
)
def test_an_order_to_be_amended_counts_where_it_stands(order, amend):
    market = Market("generic", alice=cash("1000000.00"))
    market.play(order)

    assert market.play(f"alice amends order 1 {amend}").endswith("price_out_of_range")


@pytest.mark.parametrize(
    ("order", "amend"),
    [
        pytest.param("buys 1 @ 42.00", f"to 1 @ {FAR}", id="limit"),
        pytest.param("buys 1 @ 42.00 stop 43.00", f"to 1 @ 42.00 stop {FAR}", id="stop price"),
    ],
)
def test_an_order_may_not_go_where_others_of_its_side_are_far(order, amend):
    market = Market("generic", alice=cash("1000000.00"), bob=cash("1000.00"))
    market.play(f"alice {order}\nbob {order}")

    assert market.play(f"alice amends order 1 {amend}") == "alice's amend refused: price_out_of_range"


# ---------------------------------------------------------------- nobody else's


@pytest.mark.parametrize(
    ("before", "amend"),
    [
        pytest.param("", "alice amends order 1 to 10 @ 42.00", id="of somebody else"),
        pytest.param("", "bob amends order 2 to 10 @ 42.00", id="that never was"),
        pytest.param("bob cancels order 1", "bob amends order 1 to 10 @ 42.00", id="that was cancelled"),
        pytest.param("alice buys 20 @ 42.00", "bob amends order 1 to 10 @ 42.00", id="that was filled"),
    ],
)
def test_nobody_amends_an_order(before, amend):
    market = Market("generic", alice=cash("10000.00"), bob=units(100))
    market.play(f"bob sells 20 @ 42.00\n{before}")

    assert market.play(amend) == f"{amend.split()[0]}'s amend refused: unknown_order"


# ---------------------------------------------------------------- many at once


@pytest.fixture
def crowd():
    """Two instruments; orders 1 to 6, a stop and an iceberg among them."""
    market = Market("generic", until="listed", alice=cash("10000.00") + units(100), bob=cash("10000.00") + units(100))
    market.must(ListInstrument(HBCER, Species.CREDIT, 2025, 3000))
    market.give("bob", HBCER, 100)
    market.play(f"""
        open {DAY}
        start
        alice buys 10 @ 41.00
        bob sells 20 @ 43.00 show 5
        alice sells 30 @ 40.00 stop 41.00
        bob sells 40 HBCER-2025 @ 31.00
        alice buys 50 HBCER-2025 @ 29.00
        bob buys 60 @ 40.00 gtc
    """)
    return market


ORDERS = {
    1: "alice loses 10 @ 41.00",
    2: "bob loses 20 @ 43.00",
    3: "alice loses 30 @ 40.00",
    4: "bob loses 40 @ 31.00",
    5: "alice loses 50 @ 29.00",
    6: "bob loses 60 @ 40.00",
}


@pytest.mark.parametrize(
    ("command", "cancelled"),
    [
        pytest.param("alice cancels all", [1, 3, 5], id="of an account"),
        pytest.param("bob cancels all HBEA-2025", [2, 6], id="of an account in an instrument"),
        pytest.param("alice cancels all buys", [1, 5], id="of an account on a side"),
        pytest.param("alice cancels all sells", [3], id="a stop too"),
        pytest.param("bob cancels all HBCER-2025 buys", [], id="none"),
        pytest.param("everybody cancels all", [1, 2, 3, 4, 5, 6], id="everybody's"),
        pytest.param("everybody cancels all HBCER-2025", [4, 5], id="everybody's in an instrument"),
        pytest.param("everybody cancels all sells", [2, 3, 4], id="everybody's on a side"),
        pytest.param("everybody cancels all HBEA-2025 sells", [2, 3], id="everybody's in an instrument on a side"),
    ],
)
def test_a_mass_cancel_takes_the_orders_that_are_meant_the_oldest_first(crowd, command, cancelled):
    said = [f"{ORDERS[number]}: by_request" for number in cancelled]
    assert crowd.play(command) == "\n".join([*said, f"{len(cancelled)} cancelled"])

    assert crowd.play("everybody cancels all").splitlines() == [
        *(f"{said}: by_request" for number, said in ORDERS.items() if number not in cancelled),
        f"{6 - len(cancelled)} cancelled",
    ]
    for name in ("alice", "bob"):
        assert crowd.money(name) == "10000.00"
        assert crowd.holding(name, HBEA).available == 100


@pytest.mark.parametrize(
    ("before", "cancelled"),
    [
        pytest.param("break", 6, id="over lunch"),
        pytest.param("call", 6, id="in a call"),
        pytest.param("halt HBEA-2025: an accident", 6, id="in a halt"),
        pytest.param("close\nsettle\nopen 2026-01-06", 1, id="before trading starts"),
    ],
)
def test_a_mass_cancel_is_taken_whenever_a_cancel_is(crowd, before, cancelled):
    crowd.play(before)

    assert crowd.play("everybody cancels all").endswith(f"{cancelled} cancelled")


def test_who_has_no_order_may_cancel_all_of_them():
    market = Market("generic", alice=cash("10000.00"))

    assert market.play("alice cancels all") == "0 cancelled"


@pytest.mark.parametrize("cause", CancelCause)
def test_orders_that_go_for_a_cause_say_so(crowd, cause):
    alices = [number for number, said in ORDERS.items() if said.startswith("alice")]
    said = crowd.do(CancelOrders("alice", cause)).splitlines()
    assert said == [
        *(f"{ORDERS[number]}: {cause}" for number in alices), f"{len(alices)} cancelled", "OrdersCancelled",
    ]  # fmt: skip
    *_, last = crowd.outcome.rows
    assert (last.account, last.quantity, Reason(last.reason).code) == (crowd.number("alice"), len(alices), cause)
    assert crowd.money("alice") == "10000.00"
    assert crowd.play("everybody cancels all").endswith(f"{6 - len(alices)} cancelled")
    assert crowd.play("alice cancels all") == "0 cancelled"


def test_orders_do_not_go_for_a_cause_while_the_market_is_closed_nor_those_of_nobody(crowd):
    assert crowd.do(CancelOrders("zoe", CancelCause.DEAD_MAN)) == "refused: unknown_account"
    crowd.play("close")
    assert crowd.do(CancelOrders("alice", CancelCause.DEAD_MAN)) == "refused: market_closed"


def test_a_mass_cancel_says_what_it_was_asked_for_and_how_much_it_did(crowd):
    crowd.play("alice cancels all HBEA-2025 sells")

    *_, last = crowd.outcome.rows
    alice, hbea = crowd.number("alice"), crowd.instrument(HBEA)
    assert (last.account, last.instrument, last.side, last.order_id, last.quantity) == (alice, hbea, 1, 0, 1)
