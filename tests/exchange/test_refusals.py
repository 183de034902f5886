"""Every refusal: what provokes it, that nothing has changed, and which one is given when several hold."""

from itertools import combinations

import msgspec
import pytest

from exchange.commands import (
    Command,
    Control,
    DepositCash,
    FoundExchange,
    IssueUnits,
    ListInstrument,
    OpenAccount,
    TransferUnits,
    WithdrawCash,
    cancel_order,
    control,
    place_order,
)
from exchange.instruments import fen, ticks_of
from exchange.reasons import Reason, Refused
from exchange.rules import PriceBand, load_rule_set
from exchange.state import CASH_MAX, UNITS_MAX
from matching.ladder import REACH_TICKS
from matching.orders import Side, TimeInForce
from registry.accounts import ParticipantClass
from registry.serials import Origin
from registry.units import Species
from settlement.fees import TURNOVER_MAX
from tests.exchange.market import DAY, HBEA, NOBODY, Market, cash, nothing, units, verifier

pytestmark = pytest.mark.kernels

HUBEI, GENERIC = load_rule_set("hubei"), load_rule_set("generic")
TEN_TONNES = msgspec.structs.replace(HUBEI, lot=10)
FREE, INSTITUTION = Origin.FREE, ParticipantClass.INSTITUTION
ALLOWANCE = Species.ALLOWANCE

YESTERDAY, TODAY, TOMORROW = "open 2026-01-04", f"open {DAY}", "open 2026-01-06"
NOT_LISTED = "HBEA-1999"


def market_of(rules=HUBEI):
    people = {"alice": cash("10000.00"), "bob": units(100), "carol": nothing, "vera": verifier}
    return Market(rules, opening="42.00", **people)


def order(market, **changes):
    """Alice buys 10 @ 42.00, but for the changes."""
    usual = {"account": market.number("alice"), "instrument": market.instrument(HBEA), "side": Side.BUY}
    return place_order(**{**usual, "price_ticks": 4200, "quantity": 10, **changes})


def of_no_kind(market):
    command = order(market)
    command.row.kind = 77
    return command


# (reason, rule set, what happened before, the command: a sentence, a control command or a function of the market)
REFUSALS = [
    pytest.param(Reason.UNKNOWN_COMMAND, HUBEI, "", of_no_kind, id="row of no kind"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", "zoe buys 10 @ 42.00", id="order of nobody"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", "zoe cancels order 1", id="cancel of nobody"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", lambda m: order(m, account=0), id="order of account 0"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", DepositCash("zoe", 1), id="deposit of nobody"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", WithdrawCash("zoe", 1), id="withdrawal of nobody"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", IssueUnits("zoe", HBEA, 1, FREE), id="issuance to nobody"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", TransferUnits("zoe", HBEA, 1, True), id="transfer of nobody"),
    pytest.param(Reason.UNKNOWN_INSTRUMENT, HUBEI, "", f"alice buys 10 {NOT_LISTED} @ 42.00", id="not listed"),
    pytest.param(Reason.UNKNOWN_INSTRUMENT, HUBEI, "", lambda m: order(m, instrument=0), id="instrument 0"),
    pytest.param(Reason.UNKNOWN_UNIT, HUBEI, "", IssueUnits("bob", NOT_LISTED, 1, FREE), id="issuance"),
    pytest.param(Reason.UNKNOWN_UNIT, HUBEI, "", TransferUnits("bob", NOT_LISTED, 1, True), id="transfer"),
    pytest.param(Reason.UNKNOWN_ORDER, HUBEI, "", "bob cancels order 1", id="no order yet"),
    pytest.param(Reason.UNKNOWN_ORDER, HUBEI, "", lambda m: cancel_order(m.number("bob"), 0), id="order 0"),
    pytest.param(Reason.UNKNOWN_ORDER, HUBEI, "", lambda m: cancel_order(m.number("bob"), -1), id="order -1"),
    pytest.param(Reason.UNKNOWN_ORDER, HUBEI, "", lambda m: cancel_order(m.number("bob"), 1 << 62), id="order 2^62"),
    pytest.param(
        Reason.UNKNOWN_ORDER, HUBEI, "bob sells 10 @ 42.00", "alice cancels order 1", id="another account's order"
    ),
    pytest.param(
        Reason.UNKNOWN_ORDER, HUBEI, "bob sells 10 @ 42.00\nclose", "bob cancels order 1", id="an expired order"
    ),
    pytest.param(
        Reason.UNKNOWN_ORDER,
        HUBEI,
        "bob sells 10 @ 42.00\nalice buys 10 @ 42.00",
        "bob cancels order 1",
        id="a filled order",
    ),
    pytest.param(Reason.ACCOUNT_EXISTS, HUBEI, "", OpenAccount("bob", "Bob", INSTITUTION), id="open twice"),
    pytest.param(Reason.INSTRUMENT_EXISTS, HUBEI, "close", ListInstrument(HBEA, ALLOWANCE, 2025), id="list twice"),
    pytest.param(Reason.MAY_NOT_TRADE, HUBEI, "", "vera buys 10 @ 42.00", id="a verifier"),
    pytest.param(Reason.MAY_NOT_TRADE, HUBEI, "", lambda m: order(m, account=1), id="the market operator"),
    pytest.param(Reason.ALREADY_FOUNDED, HUBEI, "", FoundExchange(GENERIC), id="found twice"),
    pytest.param(Reason.MARKET_CLOSED, HUBEI, "close", "alice buys 10 @ 42.00", id="after the close"),
    pytest.param(
        Reason.MARKET_CLOSED, HUBEI, f"close\nsettle\n{TOMORROW}", "alice buys 10 @ 42.00", id="before trading starts"
    ),
    pytest.param(Reason.MARKET_CLOSED, HUBEI, "break", "alice buys 10 @ 42.00", id="over lunch"),
    pytest.param(Reason.WRONG_PHASE, HUBEI, "", TOMORROW, id="open an open day"),
    pytest.param(Reason.WRONG_PHASE, HUBEI, "", "start", id="start what runs"),
    pytest.param(Reason.WRONG_PHASE, HUBEI, "break", "break", id="break a break"),
    pytest.param(Reason.WRONG_PHASE, HUBEI, "close", "close", id="close twice"),
    pytest.param(Reason.WRONG_PHASE, HUBEI, "", "settle", id="settle before the close"),
    pytest.param(Reason.WRONG_PHASE, HUBEI, "", ListInstrument("HBCER-1", Species.CREDIT, 2025), id="list in trading"),
    pytest.param(Reason.DAY_NOT_SETTLED, HUBEI, "close", TOMORROW, id="open before settlement"),
    pytest.param(Reason.DAY_ALREADY_SETTLED, HUBEI, "close\nsettle", "settle", id="settle twice"),
    pytest.param(Reason.DATE_NOT_LATER, HUBEI, "close\nsettle", TODAY, id="the same day again"),
    pytest.param(Reason.DATE_NOT_LATER, HUBEI, "close\nsettle", YESTERDAY, id="a day before"),
    pytest.param(
        Reason.CLIENT_ORDER_ID_USED,
        HUBEI,
        "alice buys 10 @ 42.00 as a-17",
        "alice buys 10 @ 41.00 as a-17",
        id="another order under the same id",
    ),
    pytest.param(Reason.INVALID_SIDE, HUBEI, "", lambda m: order(m, side=2), id="neither buy nor sell"),
    pytest.param(
        Reason.INVALID_TIME_IN_FORCE, HUBEI, "", lambda m: order(m, time_in_force=4), id="neither DAY nor IOC"
    ),
    pytest.param(Reason.QUANTITY_NOT_POSITIVE, HUBEI, "", "alice buys 0 @ 42.00", id="order of nothing"),
    pytest.param(Reason.QUANTITY_NOT_POSITIVE, HUBEI, "", "alice buys -10 @ 42.00", id="order of less than nothing"),
    pytest.param(Reason.QUANTITY_NOT_POSITIVE, HUBEI, "", IssueUnits("bob", HBEA, 0, FREE), id="issuance of nothing"),
    pytest.param(
        Reason.QUANTITY_NOT_POSITIVE,
        HUBEI,
        "",
        TransferUnits("bob", HBEA, -1, True),
        id="transfer of less than nothing",
    ),
    pytest.param(Reason.QUANTITY_OFF_LOT, TEN_TONNES, "", "alice buys 15 @ 42.00", id="one and a half lots"),
    pytest.param(Reason.PRICE_NOT_POSITIVE, HUBEI, "", "alice buys 10 @ 0", id="for nothing"),
    pytest.param(Reason.PRICE_NOT_POSITIVE, HUBEI, "", "alice buys 10 @ -42.00", id="for less than nothing"),
    pytest.param(
        Reason.PRICE_NOT_POSITIVE, HUBEI, "close", ListInstrument("HBCER-1", ALLOWANCE, 2025, -1), id="listing"
    ),
    pytest.param(Reason.PRICE_OUTSIDE_BAND, HUBEI, "", "alice buys 10 @ 46.21", id="a tick above"),
    pytest.param(Reason.PRICE_OUTSIDE_BAND, HUBEI, "", "bob sells 10 @ 37.79", id="a tick below"),
    pytest.param(
        Reason.PRICE_OUT_OF_RANGE,
        GENERIC,
        "",
        lambda m: order(m, price_ticks=4200 + REACH_TICKS + 1, quantity=1),
        id="out of the ladder's reach",
    ),
    pytest.param(
        Reason.PRICE_OUT_OF_RANGE,
        HUBEI,
        "close",
        ListInstrument("HBCER-1", ALLOWANCE, 2025, REACH_TICKS),
        id="listing",
    ),
    pytest.param(Reason.AMOUNT_NOT_POSITIVE, HUBEI, "", DepositCash("alice", 0), id="deposit of nothing"),
    pytest.param(
        Reason.AMOUNT_NOT_POSITIVE, HUBEI, "", WithdrawCash("alice", -1), id="withdrawal of less than nothing"
    ),
    pytest.param(Reason.AMOUNT_TOO_LARGE, HUBEI, "", lambda m: order(m, quantity=TURNOVER_MAX // 4200 + 1), id="order"),
    pytest.param(Reason.AMOUNT_TOO_LARGE, HUBEI, "", lambda m: order(m, quantity=(1 << 63) - 1), id="order of 2^63"),
    pytest.param(Reason.AMOUNT_TOO_LARGE, HUBEI, "", DepositCash("alice", CASH_MAX), id="deposit"),
    pytest.param(Reason.AMOUNT_TOO_LARGE, HUBEI, "", DepositCash("alice", 10**30), id="deposit of 10^30"),
    pytest.param(Reason.AMOUNT_TOO_LARGE, HUBEI, "", IssueUnits("bob", HBEA, UNITS_MAX, FREE), id="issuance"),
    pytest.param(Reason.INSUFFICIENT_CASH, HUBEI, "", "carol buys 10 @ 42.00", id="order without cash"),
    pytest.param(Reason.INSUFFICIENT_CASH, HUBEI, "", WithdrawCash("alice", fen("10000.01")), id="withdrawal"),
    pytest.param(
        Reason.INSUFFICIENT_CASH, HUBEI, "alice buys 200 @ 42.00", "alice buys 100 @ 42.00", id="cash reserved already"
    ),
    pytest.param(Reason.INSUFFICIENT_UNITS, HUBEI, "", "carol sells 10 @ 42.00", id="order without units"),
    pytest.param(Reason.INSUFFICIENT_UNITS, HUBEI, "", TransferUnits("bob", HBEA, 1, True), id="transfer to trading"),
    pytest.param(
        Reason.INSUFFICIENT_UNITS, HUBEI, "", TransferUnits("bob", HBEA, 101, False), id="transfer to the registry"
    ),
    pytest.param(
        Reason.INSUFFICIENT_UNITS, HUBEI, "bob sells 91 @ 42.00", "bob sells 10 @ 42.00", id="units reserved already"
    ),
]


def refusal_of(market, command: str | Control | Command) -> str:
    """Submit something that must be refused; the reason's code."""
    if callable(command):
        command = command(market)
    if isinstance(command, str):
        command = market.command(command)
    said = market.submit(command if isinstance(command, Command) else control(command))
    *_, code = said.split("refused: ")
    return code if "refused" in said else f"not refused, but: {said}"


@pytest.mark.parametrize(("reason", "rules", "before", "command"), REFUSALS)
def test_a_refused_command_says_why_and_changes_nothing(reason, rules, before, command):
    market = market_of(rules)
    market.play(before)
    digest = market.digest()

    assert refusal_of(market, command) == reason.code
    assert market.digest() == digest


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        pytest.param("42.001", Reason.PRICE_OFF_TICK, id="finer than a tick"),
        pytest.param("dear", Reason.PRICE_OFF_TICK, id="no number"),
        pytest.param("NaN", Reason.PRICE_OFF_TICK, id="not a number"),
        pytest.param("Infinity", Reason.PRICE_OFF_TICK, id="without end"),
    ],
)
def test_a_price_off_the_tick_is_refused_before_it_is_a_command(price, reason):
    with pytest.raises(Refused) as refused:
        ticks_of(price, HUBEI.tick_size)
    assert refused.value.reason == reason


@pytest.mark.parametrize("amount", ["0.001", "much", "NaN", "-Infinity"])
def test_an_amount_finer_than_a_fen_is_refused_before_it_is_a_command(amount):
    with pytest.raises(Refused) as refused:
        fen(amount)
    assert refused.value.reason == Reason.AMOUNT_OFF_FEN


def test_every_refusal_is_in_the_table():
    shown = {param.values[0] for param in REFUSALS} | {Reason.PRICE_OFF_TICK, Reason.AMOUNT_OFF_FEN}
    of_foreign_flow = {Reason.ORDER_EXISTS, Reason.ORDER_ID_OUT_OF_SEQUENCE}  # in test_flow.py
    assert shown == {reason for reason in Reason if Reason.NONE < reason < Reason.BY_REQUEST} - of_foreign_flow


# ---------------------------------------------------------------- precedence

# A market in which every fault of an order can be had by itself: lots of ten, a wide band about 20,000.00.
WIDE = msgspec.structs.replace(
    HUBEI, lot=10, price_bands=[PriceBand(HUBEI.price_bands[0].effective_from, up="1.9", down="0.1")]
)
# How to commit each fault: fields of the order that differ from a good one.
FAULTS = {
    Reason.UNKNOWN_ACCOUNT: {"account": NOBODY},
    Reason.UNKNOWN_INSTRUMENT: {"instrument": NOBODY},
    Reason.MAY_NOT_TRADE: {"account": "vera"},
    Reason.MARKET_CLOSED: {"closed": True},
    Reason.INVALID_SIDE: {"side": 2},
    Reason.INVALID_TIME_IN_FORCE: {"time_in_force": 4},
    Reason.QUANTITY_NOT_POSITIVE: {"quantity": -15},
    Reason.QUANTITY_OFF_LOT: {"quantity": 15},
    Reason.PRICE_NOT_POSITIVE: {"price_ticks": -1},
    Reason.PRICE_OUTSIDE_BAND: {"price_ticks": 6_000_000},
    Reason.PRICE_OUT_OF_RANGE: {"price_ticks": 4_200_000},
    Reason.AMOUNT_TOO_LARGE: {"quantity": 10 * TURNOVER_MAX // 1_000_000},
    Reason.INSUFFICIENT_CASH: {"account": "carol"},
}
TWO_FAULTS = [
    pytest.param(one, FAULTS[one] | FAULTS[other], id=f"{one.code}, {other.code}")
    for one, other in combinations(FAULTS, 2)
    if not FAULTS[one].keys() & FAULTS[other].keys()
] + [
    # Both faults lie in one field, or one brings the other with it.
    pytest.param(Reason.QUANTITY_NOT_POSITIVE, {"quantity": -15}, id="quantity_not_positive, quantity_off_lot"),
    pytest.param(Reason.QUANTITY_OFF_LOT, {"quantity": (1 << 62) + 5}, id="quantity_off_lot, amount_too_large"),
    pytest.param(Reason.PRICE_NOT_POSITIVE, {"price_ticks": -1}, id="price_not_positive, price_outside_band"),
    pytest.param(Reason.PRICE_OUTSIDE_BAND, {"price_ticks": 6_000_000}, id="price_outside_band, price_out_of_range"),
    pytest.param(Reason.MAY_NOT_TRADE, {"account": "vera", "side": Side.SELL}, id="may_not_trade, insufficient_units"),
    pytest.param(Reason.MARKET_CLOSED, {"closed": True, "side": Side.SELL}, id="market_closed, insufficient_units"),
    pytest.param(
        Reason.PRICE_OUT_OF_RANGE,
        {"price_ticks": 4_200_000, "side": Side.SELL},
        id="price_out_of_range, insufficient_units",
    ),
]


def faulty(fields):
    """What is said to a buy of 10 @ 20000.00 but for these fields."""
    fields = dict(fields)
    market = Market(WIDE, opening="20000.00", alice=cash("1000000.00"), carol=nothing, vera=verifier)
    if fields.pop("closed", False):
        market.close()
    account = fields.pop("account", "alice")
    number = market.number(account) if isinstance(account, str) else account
    good = {"instrument": market.instrument(HBEA), "side": Side.BUY, "price_ticks": 2_000_000, "quantity": 10}
    command = place_order(number, **{**good, "time_in_force": TimeInForce.DAY, **fields})
    return refusal_of(market, command)


def test_the_order_without_a_fault_is_accepted():
    assert faulty({}) == "not refused, but: alice accepted"


@pytest.mark.parametrize("reason", FAULTS, ids=lambda reason: reason.code)
def test_each_fault_by_itself_is_named(reason):
    assert faulty(FAULTS[reason]) == reason.code


@pytest.mark.parametrize(("reason", "fields"), TWO_FAULTS)
def test_of_two_faults_in_an_order_the_more_fundamental_is_named(reason, fields):
    assert faulty(fields) == reason.code


@pytest.mark.parametrize(
    ("reason", "before", "command"),
    [
        pytest.param(Reason.UNKNOWN_ACCOUNT, "", "zoe cancels order 1", id="cancel: account, order"),
        pytest.param(Reason.UNKNOWN_ORDER, "close", "bob cancels order 1", id="cancel: order, closed"),
        pytest.param(Reason.UNKNOWN_ACCOUNT, "", DepositCash("zoe", 0), id="deposit: account, amount"),
        pytest.param(Reason.UNKNOWN_ACCOUNT, "", WithdrawCash("zoe", 0), id="withdrawal: account, amount"),
        pytest.param(
            Reason.UNKNOWN_ACCOUNT, "", IssueUnits("zoe", NOT_LISTED, 0, FREE), id="issuance: account, unit, quantity"
        ),
        pytest.param(Reason.UNKNOWN_UNIT, "", IssueUnits("bob", NOT_LISTED, 0, FREE), id="issuance: unit, quantity"),
        pytest.param(
            Reason.UNKNOWN_ACCOUNT,
            "",
            TransferUnits("zoe", NOT_LISTED, 0, True),
            id="transfer: account, unit, quantity",
        ),
        pytest.param(Reason.UNKNOWN_UNIT, "", TransferUnits("bob", NOT_LISTED, 0, True), id="transfer: unit, quantity"),
        pytest.param(
            Reason.INSTRUMENT_EXISTS, "", ListInstrument(HBEA, ALLOWANCE, 2025, -1), id="listing: known, open"
        ),
        pytest.param(Reason.WRONG_PHASE, "", ListInstrument("HBCER", ALLOWANCE, 2025, -1), id="listing: open, price"),
        pytest.param(Reason.WRONG_PHASE, "", YESTERDAY, id="opening: open, unsettled, date"),
        pytest.param(Reason.DAY_NOT_SETTLED, "close", YESTERDAY, id="opening: unsettled, date"),
        pytest.param(Reason.WRONG_PHASE, "close\nsettle\n" + TOMORROW, "settle", id="settlement: open"),
    ],
)
def test_of_several_faults_in_other_commands_the_most_fundamental_is_named(reason, before, command):
    market = market_of()
    market.play(before)

    assert refusal_of(market, command) == reason.code
