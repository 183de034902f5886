"""The three modes of delivery versus payment: one market, settled gross, half net and net.

alice sells 60 to bob, bob sells 50 to carol, carol sells 40 to alice, all at 42.00
"""

import pytest
from msgspec.structs import replace

from exchange import invariants
from exchange.rules import load_rule_set
from registry.serials import Cause
from settlement.rules import Mode, SettlementRules
from tests.exchange.market import HBEA, Market, cash, units

HUBEI = load_rule_set("hubei")
TRADES = """
alice sells 60 @ 42.00
bob buys 60 @ 42.00
bob sells 50 @ 42.00
carol buys 50 @ 42.00
carol sells 40 @ 42.00
alice buys 40 @ 42.00
close
settle
"""


def settled(mode: Mode) -> Market:
    rules = replace(HUBEI, settlement=SettlementRules(mode=mode))
    wealth = cash("10000.00") + units(100)
    market = Market(rules, alice=wealth, bob=wealth, carol=wealth)
    market.play(TRADES)
    invariants.check(market.exchange)
    return market


@pytest.mark.parametrize("mode", Mode)
def test_everybody_holds_the_same_in_the_end(mode: Mode) -> None:
    market = settled(mode)
    assert {name: market.holding(name, HBEA).settled for name in ("alice", "bob", "carol")} == {
        "alice": 80, "bob": 110, "carol": 110,
    }  # fmt: skip
    assert {name: market.money(name) for name in ("alice", "bob", "carol")} == {
        "alice": "10819.00", "bob": "9556.90", "carol": "9561.10",
    }  # fmt: skip
    assert market.fees_earned() == "63.00"


@pytest.mark.parametrize(
    ("mode", "moved", "paid"),
    [(Mode.GROSS_GROSS, 150, 633_150), (Mode.GROSS_NET, 150, 88_200), (Mode.NET_NET, 20, 88_200)],
)
def test_what_is_netted_moves_less(mode: Mode, moved: int, paid: int) -> None:
    market = settled(mode)
    report = market.event.report
    assert (report.mode, report.trades) == (mode, 3)
    assert report.units[market.asset(HBEA)].moved == moved
    assert report.cash[0].moved == paid


def test_trade_by_trade_title_moves_for_each_trade() -> None:
    market = settled(Mode.GROSS_NET)
    moves = [
        movement for block in market.exchange.serials for movement in block.title if movement.cause == Cause.TRADED
    ]
    assert {movement.reference for movement in moves} == {1, 2, 3}


def test_netted_a_buyer_can_say_from_whom_its_tonnes_came() -> None:
    market = settled(Mode.NET_NET)
    alice, bob, carol = (market.number(name) for name in ("alice", "bob", "carol"))
    batch = market.exchange.clearing.batches[-1].number
    for name in (bob, carol):
        (got,) = [
            block
            for block in market.exchange.serials.of(name, market.asset(HBEA))
            if block.title.movement.cause == Cause.NETTED
        ]
        last = got.title.movement
        assert (got.quantity, got.ever_traded) == (10, True)
        assert (last.giver, last.taker, last.reference) == (alice, name, batch)
