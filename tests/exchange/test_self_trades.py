"""Orders of one beneficial owner meet: they do not trade, unless the rules allow it, and somebody has to go."""

import msgspec
import pytest

from exchange.instruments import fen
from exchange.rules import load_rule_set
from tests.exchange.market import CNY, HBEA, Market, cash, units

pytestmark = pytest.mark.kernels

GENERIC = load_rule_set("generic")
RICH = cash("10000.00") + units(100)


def family(rules="generic", **others):
    """Alice and Ann are accounts of Li, Bob is not."""
    return Market(rules, alice=RICH.of("Li"), ann=RICH.of("Li"), bob=RICH, **others)


def with_rule(name):
    return msgspec.structs.replace(GENERIC, self_trade_prevention=name)


# ---------------------------------------------------------------- who goes

# Ann sells 10, then Bob sells 10, both @ 42.00; Alice buys 15. What is said, the book after it, and what remains
# reserved of Alice's cash and Ann's units.
MEETINGS = {
    "cancel-newest": (
        "alice would take 10 @ 42.00 from ann: self_trade, 0 and 10 left",
        "ann sells 10 @ 42.00\nbob sells 10 @ 42.00",
        ("0.00", 10),
    ),
    "cancel-oldest": (
        "alice would take 10 @ 42.00 from ann: self_trade, 15 and 0 left\nalice takes 10 @ 42.00 from bob",
        "alice buys 5 @ 42.00",
        ("630.00", 0),
    ),
    "cancel-both": (
        "alice would take 10 @ 42.00 from ann: self_trade, 0 and 0 left",
        "bob sells 10 @ 42.00",
        ("0.00", 0),
    ),
    "decrement": (
        "alice would take 10 @ 42.00 from ann: self_trade, 5 and 0 left\nalice takes 5 @ 42.00 from bob",
        "bob sells 5 @ 42.00",
        ("210.00", 0),
    ),
}


@pytest.mark.parametrize("choice", ["order", "rules"])
@pytest.mark.parametrize("mode", MEETINGS)
def test_who_goes_when_two_accounts_of_one_owner_meet(mode, choice):
    by_rules = choice == "rules"
    market = family(with_rule(mode.replace("-", "_") if by_rules else "allow"))
    market.play("ann sells 10 @ 42.00\nbob sells 10 @ 42.00")
    said, book, (reserved, offered) = MEETINGS[mode]

    assert market.play(f"alice buys 15 @ 42.00 {'' if by_rules else mode}") == f"alice accepted\n{said}"
    assert market.book() == book
    assert market.holding("alice", CNY).reserved == fen(reserved)
    assert market.holding("ann", HBEA).reserved == offered


def test_who_chooses_nothing_is_cancelled_as_the_newer_one():
    market = family("hubei")
    market.play("ann buys 10 @ 42.00")

    assert market.play("alice sells 4 @ 42.00") == (
        "alice accepted\nalice would give 4 @ 42.00 to ann: self_trade, 0 and 10 left"
    )
    assert market.holding("alice", HBEA).available == 100
    assert market.holding("ann", CNY).reserved == fen("422.10")


def test_where_the_rules_allow_it_one_may_trade_with_oneself():
    market = family(with_rule("allow"))
    market.play("ann sells 10 @ 42.00\nalice sells 10 @ 42.00")

    assert market.play("alice buys 20 @ 42.00") == (
        "alice accepted\nalice takes 10 @ 42.00 from ann\nalice takes 10 @ 42.00 from alice"
    )


def test_the_takers_choice_counts_not_the_makers_nor_the_rules():
    market = family(with_rule("cancel_both"))
    market.play("ann sells 10 @ 42.00 decrement")

    assert market.play("alice buys 15 @ 42.00 cancel-oldest").endswith("15 and 0 left")


@pytest.mark.parametrize(
    ("maker", "taker", "said", "book"),
    [
        pytest.param(
            10, 15, "alice would take 10 @ 42.00 from ann: self_trade, 5 and 0 left", "alice buys 5", id="more"
        ),
        pytest.param(10, 10, "alice would take 10 @ 42.00 from ann: self_trade, 0 and 0 left", "", id="as much"),
        pytest.param(
            15, 10, "alice would take 10 @ 42.00 from ann: self_trade, 0 and 5 left", "ann sells 5", id="less"
        ),
    ],
)
def test_decrement_takes_the_smaller_quantity_off_both(maker, taker, said, book):
    market = family()
    market.play(f"ann sells {maker} @ 42.00")

    assert market.play(f"alice buys {taker} @ 42.00 decrement") == f"alice accepted\n{said}"
    assert market.book() == (book and f"{book} @ 42.00")


def test_a_maker_that_is_decremented_keeps_its_place_and_loses_what_it_hides_first():
    market = family()
    market.play("ann sells 30 @ 42.00 show 10\nbob sells 10 @ 42.00")

    assert market.play("alice buys 15 @ 42.00 decrement").endswith("0 and 15 left")
    assert market.book() == "ann sells 10 of 15 @ 42.00\nbob sells 10 @ 42.00"
    market.play("alice buys 8 @ 42.00 decrement")
    assert market.book() == "ann sells 7 of 7 @ 42.00\nbob sells 10 @ 42.00"
    assert market.holding("ann", HBEA).reserved == 7


def test_an_icebergs_whole_quantity_counts_when_it_is_prevented():
    market = family()
    market.play("ann sells 30 @ 42.00 show 10\nbob sells 10 @ 42.00")

    assert market.play("alice buys 35 @ 42.00 cancel-oldest") == (
        "alice accepted\n"
        "alice would take 30 @ 42.00 from ann: self_trade, 35 and 0 left\n"
        "alice takes 10 @ 42.00 from bob"
    )


def test_who_stands_before_ones_own_order_is_traded_with():
    market = family()
    market.play("bob sells 10 @ 41.00\nbob sells 10 @ 42.00\nann sells 10 @ 42.00")

    assert market.play("alice buys 50 @ 42.00") == (
        "alice accepted\n"
        "alice takes 10 @ 41.00 from bob\n"
        "alice takes 10 @ 42.00 from bob\n"
        "alice would take 10 @ 42.00 from ann: self_trade, 0 and 10 left"
    )
    assert market.holding("alice", CNY).reserved == fen("830.00")


def test_what_is_prevented_costs_nothing_and_what_traded_does():
    market = family("hubei")
    market.play("bob sells 10 @ 42.00\nann sells 10 @ 42.00")
    market.play("alice buys 30 @ 42.00 decrement")

    # 10 t for 420.00 and 2.10; the 10 t that rest are 420.00 and 2.10 too.
    assert market.book() == "alice buys 10 @ 42.00"
    assert market.holding("alice", CNY).reserved == fen("844.20")
    market.play("close\nsettle")
    assert market.holding("alice", CNY).settled == fen("9577.90")
    assert market.holding("ann", HBEA).settled == 100


def test_no_price_is_made_and_no_stop_reached_by_what_does_not_trade():
    market = family(carol=RICH)
    market.play("carol buys 5 @ 44.00 stop 43.00\nann sells 10 @ 43.00")
    market.play("alice buys 10 @ 43.00 cancel-both")

    assert market.book() == "carol buys 5 @ 44.00 stop 43.00"
    assert market.close().endswith("closed at 42.00")


# ---------------------------------------------------------------- who is one


def test_one_account_never_trades_with_itself():
    market = Market("hubei", alice=RICH)
    market.play("alice sells 10 @ 42.00")

    assert market.play("alice buys 10 @ 42.00").endswith("from alice: self_trade, 0 and 10 left")


def test_three_accounts_of_one_owner_do_not_trade_and_those_of_two_owners_do():
    people = {
        "alice": RICH.of("Li"),
        "dave": RICH.of("Wu"),
        "ann": RICH.of("Li"),
        "al": RICH.of("Li"),
        "di": RICH.of("Wu"),
    }
    market = Market("generic", **people)
    market.play("ann sells 10 @ 42.00\nal sells 10 @ 42.00\ndi sells 10 @ 42.00")

    assert market.play("dave buys 25 @ 42.00 cancel-oldest") == (
        "dave accepted\n"
        "dave takes 10 @ 42.00 from ann\n"
        "dave takes 10 @ 42.00 from al\n"
        "dave would take 5 @ 42.00 from di: self_trade, 5 and 0 left"
    )
    assert market.play("ann sells 5 @ 42.00") == "ann accepted\nann gives 5 @ 42.00 to dave"


def test_accounts_without_an_owner_have_nothing_in_common():
    market = Market("generic", alice=RICH, bob=RICH)
    market.play("bob sells 10 @ 42.00")

    assert market.play("alice buys 10 @ 42.00 cancel-both").endswith("alice takes 10 @ 42.00 from bob")


def test_an_account_that_is_opened_later_belongs_to_its_owner_at_once():
    market = family()
    market.join("al", RICH.of("Li"))
    market.play("alice sells 10 @ 42.00")

    assert market.play("al buys 10 @ 42.00").endswith("from alice: self_trade, 0 and 10 left")


# ---------------------------------------------------------------- fill or kill

# Bob sells 10, then Ann 10, then Bob 10, all @ 42.00; Bob sells 10 @ 42.50. How much can Alice have?


@pytest.mark.parametrize(
    ("mode", "most"),
    [
        pytest.param("cancel-newest", 10, id="cancel-newest: what stands before Ann"),
        pytest.param("cancel-both", 10, id="cancel-both: the same"),
        pytest.param("decrement", 10, id="decrement: the same"),
        pytest.param("cancel-oldest", 30, id="cancel-oldest: all but Ann's"),
    ],
)
def test_fill_or_kill_counts_what_it_would_really_get(mode, most):
    market = family()
    market.play("bob sells 10 @ 42.00\nann sells 10 @ 42.00\nbob sells 10 @ 42.00\nbob sells 10 @ 42.50")
    book = market.book()

    assert market.play(f"alice buys {most + 1} @ 42.50 fok {mode}") == (
        f"alice accepted\nalice loses {most + 1} @ 42.50: immediate_or_cancel"
    )
    assert market.book() == book
    said = market.play(f"alice buys {most} @ 42.50 fok {mode}")
    assert ("loses" not in said, "takes" in said) == (True, True)
    assert market.exchange.trades_today()["quantity"].sum() == most


def test_fill_or_kill_counts_of_an_iceberg_before_ones_own_order_what_it_shows():
    market = family()
    market.play("bob sells 30 @ 42.00 show 10\nann sells 10 @ 42.00")

    assert "immediate_or_cancel" in market.play("alice buys 11 @ 42.00 fok")
    assert market.play("alice buys 10 @ 42.00 fok") == (
        "alice accepted\nalice takes 10 @ 42.00 from bob\nbob shows 10 of 20 @ 42.00"
    )


# ---------------------------------------------------------------- elsewhere


def test_an_amended_order_meets_its_own_kind_too():
    market = family()
    market.play("ann sells 10 @ 42.00\nalice buys 10 @ 41.00 cancel-oldest")

    assert market.play("alice amends order 2 to 10 @ 42.00") == (
        "alice amends to 10 @ 42.00, place lost\nalice would take 10 @ 42.00 from ann: self_trade, 10 and 0 left"
    )
    assert market.book() == "alice buys 10 @ 42.00"


def test_nothing_is_prevented_in_an_auction():
    market = family()
    market.play("call\nann sells 10 @ 42.00\nalice buys 10 @ 42.00")

    assert market.play("start") == (
        "alice buys 10 @ 42.00 from ann\nHBEA-2025 uncrossed: 10 @ 42.00, imbalance 0\nsession 1 started"
    )
