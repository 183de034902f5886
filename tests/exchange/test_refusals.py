"""Every refusal: what provokes it, that nothing has changed, and which one is given when several hold."""

from datetime import date
from functools import cache
from itertools import combinations

import msgspec
import pytest

from exchange.commands import (
    Command,
    Control,
    DepositCash,
    FoundExchange,
    HaltTrading,
    IssueUnits,
    ListInstrument,
    OpenAccount,
    RegisterCurrency,
    ResumeTrading,
    TransferUnits,
    WithdrawCash,
    amend_order,
    cancel_order,
    cancel_orders,
    control,
    place_order,
)
from exchange.engine import Engine
from exchange.instruments import fen, ticks_of
from exchange.journal import MemoryJournal
from exchange.reasons import Reason, Refused
from exchange.rows import CommandKind, EventKind
from exchange.rules import PriceBand, load_rule_set
from exchange.state import CASH_MAX, UNITS_MAX
from matching.ladder import PRICE_MAX_TICKS, QUANTITY_MAX, REACH_TICKS
from matching.orders import OrderType, Side, TimeInForce
from registry.accounts import ParticipantClass
from registry.serials import Origin
from registry.units import Species
from settlement.fees import TURNOVER_MAX
from tests.exchange.market import DAY, HBEA, NOBODY, Market, cash, nothing, units, verifier
from tests.exchange.test_corrections import REFUSED as OF_CORRECTIONS
from tests.exchange.test_credits import REFUSALS as OF_CREDITS
from tests.exchange.test_defaults import SHOWN as OF_DEFAULTS
from tests.exchange.test_emissions import REFUSALS as OF_EMISSIONS
from tests.exchange.test_money import SHOWN as OF_MONEY
from tests.exchange.test_registry_refusals import SHOWN as OF_THE_REGISTRY
from tests.exchange.test_statements import CASES as OF_STATEMENTS
from tests.exchange.test_treasury import SHOWN as OF_THE_TREASURY

pytestmark = pytest.mark.kernels

HUBEI, GENERIC = load_rule_set("hubei"), load_rule_set("generic")
TEN_TONNES = msgspec.structs.replace(HUBEI, lot=10)
LASTING = msgspec.structs.replace(HUBEI, carry_over=[])  # orders may outlive their day
FREE, INSTITUTION = Origin.FREE, ParticipantClass.INSTITUTION
ALLOWANCE = Species.ALLOWANCE

YESTERDAY, TODAY, TOMORROW = "open 2026-01-04", f"open {DAY}", "open 2026-01-06"
NOT_LISTED = "HBEA-1999"
FAR = f"{(4200 + REACH_TICKS) / 100:.2f}"  # too far from 42.00


def market_of(rules=HUBEI):
    people = {"alice": cash("10000.00"), "bob": units(100), "carol": nothing, "vera": verifier}
    return Market(rules, opening="42.00", **people)


def order(market, **changes):
    """Alice buys 10 @ 42.00, but for the changes."""
    usual = {"account": market.number("alice"), "instrument": market.instrument(HBEA), "side": Side.BUY}
    return place_order(**{**usual, "price_ticks": 4200, "quantity": 10, **changes})


def amend(market, **changes):
    """Alice amends order 1 to 10 @ 42.00, but for the changes."""
    return amend_order(
        **{"account": market.number("alice"), "order_id": 1, "price_ticks": 4200, "leaves": 10, **changes}
    )


def cancel_all(market, **changes):
    """Alice cancels all her orders, but for the changes."""
    return cancel_orders(**{"account": market.number("alice"), **changes})


LIMIT, MARKET, STOP, STOP_LIMIT = OrderType
GTC, DAY_ONLY, IOC, FOK, GTD = TimeInForce
MONDAY = date(2026, 1, 5)
AT_MARKET = {"order_type": MARKET, "price_ticks": 0, "time_in_force": IOC}
AT_STOP = {"order_type": STOP, "price_ticks": 0, "stop_ticks": 4300}
STOP_AND_LIMIT = {"order_type": STOP_LIMIT, "stop_ticks": 4300}
ICEBERG = {"display_quantity": 5}
# Terms that contradict one another, by what is the matter.
CONTRADICTIONS = {
    "post-only, neither yes nor no": {"post_only": 2},
    "post-only at once": {"post_only": True, "time_in_force": IOC},
    "post-only or never": {"post_only": True, "time_in_force": FOK},
    "post-only at market": {"post_only": True, **AT_MARKET},
    "post-only and stop": {"post_only": True, **STOP_AND_LIMIT},
    "limit with a stop price": {"stop_ticks": 4300},
    "limit with a stop price below nothing": {"stop_ticks": -1},
    "market with a stop price": {**AT_MARKET, "stop_ticks": 4300},
    "market with a limit": {**AT_MARKET, "price_ticks": 4200},
    "market for the day": {**AT_MARKET, "time_in_force": DAY_ONLY},
    "market till cancelled": {**AT_MARKET, "time_in_force": GTC},
    "market to a date": {**AT_MARKET, "time_in_force": GTD, "last_day": MONDAY},
    "stop with a limit": {**AT_STOP, "price_ticks": 4400},
    "stop at once": {**AT_STOP, "time_in_force": IOC},
    "stop or never": {**AT_STOP, "time_in_force": FOK},
    "stop till cancelled": {**AT_STOP, "time_in_force": GTC},
    "stop to a date": {**AT_STOP, "time_in_force": GTD, "last_day": MONDAY},
    "stop-limit at once": {**STOP_AND_LIMIT, "time_in_force": IOC},
    "stop-limit or never": {**STOP_AND_LIMIT, "time_in_force": FOK},
    "iceberg at once": {**ICEBERG, "time_in_force": IOC},
    "iceberg or never": {**ICEBERG, "time_in_force": FOK},
    "iceberg at market": {**AT_MARKET, **ICEBERG},
    "iceberg and stop": {**STOP_AND_LIMIT, **ICEBERG},
    "iceberg of less than nothing at once": {"display_quantity": -1, "time_in_force": IOC},
    "a last day of the day": {"last_day": MONDAY},
    "a last day till cancelled": {"last_day": MONDAY, "time_in_force": GTC},
    "a date without a last day": {"time_in_force": GTD},
}


def of_no_kind(market):
    row = order(market).row.copy()
    row.kind = 77
    return Command(row.tobytes())


# (reason, rule set, what happened before, the command: a sentence, a control command or a function of the market)
REFUSALS = [
    pytest.param(Reason.UNKNOWN_COMMAND, HUBEI, "", of_no_kind, id="row of no kind"),
    *(
        pytest.param(Reason.CONTRADICTORY_TERMS, LASTING, "", lambda m, terms=terms: order(m, **terms), id=name)
        for name, terms in CONTRADICTIONS.items()
    ),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", "zoe buys 10 @ 42.00", id="order of nobody"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", "zoe cancels order 1", id="cancel of nobody"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", lambda m: order(m, account=0), id="order of account 0"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", "zoe amends order 1 to 10 @ 42.00", id="amend of nobody"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", lambda m: amend(m, account=0), id="amend of account 0"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", "zoe cancels all", id="mass cancel of nobody"),
    pytest.param(
        Reason.UNKNOWN_ACCOUNT, HUBEI, "", lambda m: cancel_all(m, account=(1 << 32) - 1), id="mass cancel of 2^32 - 1"
    ),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", DepositCash("zoe", 1), id="deposit of nobody"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", WithdrawCash("zoe", 1), id="withdrawal of nobody"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", IssueUnits("zoe", HBEA, 1, FREE), id="issuance to nobody"),
    pytest.param(Reason.UNKNOWN_ACCOUNT, HUBEI, "", TransferUnits("zoe", HBEA, 1, True), id="transfer of nobody"),
    pytest.param(Reason.UNKNOWN_INSTRUMENT, HUBEI, "", f"alice buys 10 {NOT_LISTED} @ 42.00", id="not listed"),
    pytest.param(Reason.UNKNOWN_INSTRUMENT, HUBEI, "", lambda m: order(m, instrument=0), id="instrument 0"),
    pytest.param(Reason.UNKNOWN_INSTRUMENT, HUBEI, "", f"alice cancels all {NOT_LISTED}", id="mass cancel"),
    pytest.param(Reason.UNKNOWN_INSTRUMENT, HUBEI, "", HaltTrading("why not", NOT_LISTED), id="halt"),
    pytest.param(Reason.UNKNOWN_INSTRUMENT, HUBEI, "", ResumeTrading("why not", NOT_LISTED), id="resume"),
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
    pytest.param(Reason.UNKNOWN_ORDER, HUBEI, "", amend, id="amend of no order yet"),
    pytest.param(Reason.UNKNOWN_ORDER, HUBEI, "", lambda m: amend(m, order_id=-1), id="amend of order -1"),
    pytest.param(Reason.UNKNOWN_ORDER, HUBEI, "bob sells 10 @ 42.00", amend, id="amend of another account's order"),
    pytest.param(Reason.UNKNOWN_ORDER, HUBEI, "alice buys 10 @ 42.00\nclose", amend, id="amend of an expired order"),
    pytest.param(
        Reason.UNKNOWN_ORDER, HUBEI, "alice buys 10 @ 42.00 ioc", amend, id="amend of an order that never rested"
    ),
    pytest.param(Reason.ACCOUNT_EXISTS, HUBEI, "", OpenAccount("bob", "Bob", INSTITUTION), id="open twice"),
    pytest.param(Reason.INSTRUMENT_EXISTS, HUBEI, "close", ListInstrument(HBEA, ALLOWANCE, 2025), id="list twice"),
    *(
        pytest.param(Reason.UNKNOWN_CURRENCY, HUBEI, "close", command, id=type(command).__name__)
        for command in (
            DepositCash("alice", 1, "USD"),
            WithdrawCash("alice", 1, "USD"),
            ListInstrument("HBCER-1", Species.CREDIT, 2025, 100, "USD"),
        )
    ),
    pytest.param(Reason.CURRENCY_EXISTS, HUBEI, "", RegisterCurrency("CNY"), id="the market's own currency"),
    pytest.param(Reason.CURRENCY_EXISTS, HUBEI, "close", ListInstrument("CNY", ALLOWANCE, 2025), id="list a currency"),
    pytest.param(Reason.MAY_NOT_TRADE, HUBEI, "", "vera buys 10 @ 42.00", id="a verifier"),
    pytest.param(Reason.MAY_NOT_TRADE, HUBEI, "", lambda m: order(m, account=1), id="the market operator"),
    pytest.param(Reason.ALREADY_FOUNDED, HUBEI, "", FoundExchange(GENERIC), id="found twice"),
    pytest.param(Reason.MARKET_CLOSED, HUBEI, "close", "alice buys 10 @ 42.00", id="after the close"),
    pytest.param(
        Reason.MARKET_CLOSED, HUBEI, f"close\nsettle\n{TOMORROW}", "alice buys 10 @ 42.00", id="before trading starts"
    ),
    pytest.param(Reason.MARKET_CLOSED, HUBEI, "break", "alice buys 10 @ 42.00", id="over lunch"),
    pytest.param(Reason.MARKET_CLOSED, HUBEI, "alice buys 10 @ 42.00\nbreak", amend, id="amend over lunch"),
    pytest.param(
        Reason.MARKET_CLOSED,
        LASTING,
        f"alice buys 10 @ 42.00 gtc\nclose\nsettle\n{TOMORROW}",
        amend,
        id="amend before trading starts",
    ),
    pytest.param(Reason.MARKET_CLOSED, LASTING, "alice buys 10 @ 42.00 gtc\nclose", amend, id="amend after the close"),
    pytest.param(
        Reason.MARKET_CLOSED,
        LASTING,
        "alice buys 10 @ 42.00 gtc\nclose",
        "alice cancels order 1",
        id="cancel after the close",
    ),
    pytest.param(
        Reason.MARKET_CLOSED,
        LASTING,
        "alice buys 10 @ 42.00 gtc\nclose",
        "everybody cancels all",
        id="mass cancel after the close",
    ),
    pytest.param(
        Reason.MARKET_CLOSED, HUBEI, "halt: x\nbreak", "alice buys 10 @ 42.00", id="over lunch, halted besides"
    ),
    pytest.param(Reason.MARKET_HALTED, HUBEI, "halt: x", "alice buys 10 @ 42.00", id="halted"),
    pytest.param(Reason.MARKET_HALTED, HUBEI, "call\nhalt: x", "alice buys 10 @ 42.00", id="halted in a call"),
    pytest.param(Reason.MARKET_HALTED, HUBEI, "alice buys 10 @ 42.00\nhalt: x", amend, id="amend in a halt"),
    pytest.param(Reason.ALREADY_HALTED, HUBEI, "halt: x", f"halt {HBEA}: y", id="halt an instrument twice"),
    pytest.param(Reason.ALREADY_HALTED, HUBEI, f"halt {HBEA}: x", "halt: y", id="halt all that is halted"),
    pytest.param(Reason.NOT_HALTED, HUBEI, "", f"resume {HBEA}: y", id="resume what trades"),
    pytest.param(Reason.NOT_HALTED, HUBEI, "halt: x\nresume: y", "resume: z", id="resume all twice"),
    pytest.param(Reason.WRONG_PHASE, HUBEI, "close", "call", id="call after the close"),
    pytest.param(Reason.WRONG_PHASE, HUBEI, "call", "call", id="call a call"),
    pytest.param(Reason.WRONG_PHASE, HUBEI, "call", "break", id="break a call"),
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
    pytest.param(Reason.INVALID_SIDE, HUBEI, "", lambda m: cancel_all(m, side=3), id="mass cancel on a third side"),
    pytest.param(Reason.INVALID_TIME_IN_FORCE, HUBEI, "", lambda m: order(m, time_in_force=5), id="a sixth one"),
    pytest.param(Reason.INVALID_ORDER_TYPE, HUBEI, "", lambda m: order(m, order_type=4), id="a fifth one"),
    pytest.param(
        Reason.INVALID_SELF_TRADE_PREVENTION, HUBEI, "", lambda m: order(m, self_trade=5), id="self-trade: a sixth one"
    ),
    pytest.param(Reason.TIME_IN_FORCE_NOT_ALLOWED, HUBEI, "", "alice buys 10 @ 42.00 gtc", id="till cancelled"),
    pytest.param(
        Reason.TIME_IN_FORCE_NOT_ALLOWED, HUBEI, "", "alice buys 10 @ 42.00 until 2026-01-05", id="to a date, today"
    ),
    pytest.param(
        Reason.CONTRADICTORY_TERMS, GENERIC, "", "alice buys 10 @ market stop 43.00", id="stop where there is no band"
    ),
    pytest.param(
        Reason.CONTRADICTORY_TERMS,
        HUBEI,
        "alice buys 10 @ 42.00",
        lambda m: amend(m, stop_ticks=4300),
        id="amend: a stop price of what does not wait",
    ),
    pytest.param(
        Reason.CONTRADICTORY_TERMS,
        HUBEI,
        "alice buys 10 @ 42.00",
        lambda m: amend(m, stop_ticks=-1),
        id="amend: a stop price below nothing of what does not wait",
    ),
    pytest.param(
        Reason.CONTRADICTORY_TERMS, HUBEI, "alice buys 10 @ market stop 43.00", amend, id="amend: a limit of a stop"
    ),
    pytest.param(Reason.NOT_IN_CALL, HUBEI, "call", "alice buys 10 @ 42.00 ioc", id="at once"),
    pytest.param(Reason.NOT_IN_CALL, HUBEI, "call", "alice buys 10 @ 42.00 fok", id="all or nothing"),
    pytest.param(Reason.NOT_IN_CALL, HUBEI, "call", "alice buys 10 @ market ioc", id="at market"),
    pytest.param(Reason.NOT_IN_CALL, HUBEI, "call", "alice buys 10 @ 42.00 post-only", id="as maker"),
    pytest.param(Reason.LAST_DAY_PASSED, LASTING, "", "alice buys 10 @ 42.00 until 2026-01-04", id="yesterday"),
    pytest.param(Reason.LAST_DAY_PASSED, LASTING, "", "alice buys 10 @ 42.00 until 1970-01-02", id="1970"),
    pytest.param(Reason.INVALID_DATE, HUBEI, "close\nsettle", "open 2150-01-01", id="a day that no row can carry"),
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
    pytest.param(
        Reason.QUANTITY_NOT_POSITIVE,
        HUBEI,
        "alice buys 10 @ 42.00",
        "alice amends order 1 to 0 @ 42.00",
        id="amend to nothing",
    ),
    pytest.param(Reason.QUANTITY_OFF_LOT, TEN_TONNES, "", "alice buys 15 @ 42.00", id="one and a half lots"),
    pytest.param(
        Reason.QUANTITY_OFF_LOT,
        TEN_TONNES,
        "alice buys 10 @ 42.00",
        "alice amends order 1 to 5 @ 42.00",
        id="amend to half a lot",
    ),
    pytest.param(Reason.INVALID_DISPLAY_QUANTITY, HUBEI, "", "alice buys 10 @ 42.00 show 11", id="more than all"),
    pytest.param(Reason.INVALID_DISPLAY_QUANTITY, HUBEI, "", "alice buys 10 @ 42.00 show -1", id="less than nothing"),
    pytest.param(
        Reason.INVALID_DISPLAY_QUANTITY, TEN_TONNES, "", "alice buys 20 @ 42.00 show 15", id="one and a half lots"
    ),
    pytest.param(
        Reason.INVALID_DISPLAY_QUANTITY, HUBEI, "", lambda m: order(m, quantity=1 << 31, **ICEBERG), id="of 2^31"
    ),
    pytest.param(
        Reason.INVALID_DISPLAY_QUANTITY,
        HUBEI,
        "alice buys 10 @ 42.00 show 5",
        lambda m: amend(m, leaves=1 << 31),
        id="amend an iceberg to 2^31",
    ),
    pytest.param(Reason.PRICE_NOT_POSITIVE, HUBEI, "", "alice buys 10 @ 0", id="for nothing"),
    pytest.param(Reason.PRICE_NOT_POSITIVE, HUBEI, "", "alice buys 10 @ -42.00", id="for less than nothing"),
    pytest.param(
        Reason.PRICE_NOT_POSITIVE, HUBEI, "close", ListInstrument("HBCER-1", ALLOWANCE, 2025, -1), id="listing"
    ),
    pytest.param(Reason.PRICE_NOT_POSITIVE, GENERIC, "", "alice buys 10 @ 0 stop 43.00", id="stop-limit for nothing"),
    pytest.param(Reason.PRICE_NOT_POSITIVE, HUBEI, "", "alice buys 10 @ market stop 0", id="stop at nothing"),
    pytest.param(Reason.PRICE_NOT_POSITIVE, HUBEI, "", "alice buys 10 @ market stop -1", id="stop below nothing"),
    pytest.param(Reason.PRICE_NOT_POSITIVE, GENERIC, "", "alice buys 10 @ 44.00 stop -1", id="stop-limit, stop below"),
    pytest.param(
        Reason.PRICE_NOT_POSITIVE,
        HUBEI,
        "alice buys 10 @ 42.00",
        "alice amends order 1 to 10 @ -0.01",
        id="amend: for less than nothing",
    ),
    pytest.param(
        Reason.PRICE_NOT_POSITIVE,
        HUBEI,
        "alice buys 10 @ 44.00 stop 43.00",
        "alice amends order 1 to 10 @ 44.00 stop -1",
        id="amend: stop below nothing",
    ),
    pytest.param(
        Reason.PRICE_NOT_POSITIVE,
        HUBEI,
        "alice buys 10 @ market stop 43.00",
        lambda m: amend(m, price_ticks=0, stop_ticks=-4300),
        id="amend: a stop order's stop below nothing",
    ),
    pytest.param(Reason.PRICE_OUTSIDE_BAND, HUBEI, "", "alice buys 10 @ 46.21", id="a tick above"),
    pytest.param(Reason.PRICE_OUTSIDE_BAND, HUBEI, "", "alice buys 10 @ 46.21 stop 43.00", id="stop-limit: the limit"),
    pytest.param(Reason.PRICE_OUTSIDE_BAND, HUBEI, "", "alice buys 10 @ 46.00 stop 46.21", id="stop-limit: the stop"),
    pytest.param(Reason.PRICE_OUTSIDE_BAND, HUBEI, "", "bob sells 10 @ market stop 37.79", id="stop"),
    pytest.param(
        Reason.PRICE_OUTSIDE_BAND,
        HUBEI,
        "alice buys 10 @ 42.00",
        "alice amends order 1 to 10 @ 46.21",
        id="amend: the limit",
    ),
    pytest.param(
        Reason.PRICE_OUTSIDE_BAND,
        HUBEI,
        "alice buys 10 @ 46.00 stop 43.00",
        "alice amends order 1 to 10 @ 46.00 stop 46.21",
        id="amend: the stop",
    ),
    pytest.param(Reason.PRICE_OUTSIDE_BAND, HUBEI, "", "bob sells 10 @ 37.79", id="a tick below"),
    *(
        pytest.param(Reason.PRICE_OUT_OF_RANGE, GENERIC, before, command, id=name)
        for name, before, command in [
            ("too far from another bid", "alice buys 1 @ 42.00", f"alice buys 1 @ {FAR}"),
            ("an IOC too", "alice buys 1 @ 42.00", f"alice buys 1 @ {FAR} ioc"),
            ("too far from another ask", f"bob sells 1 @ {FAR}", "bob sells 1 @ 42.00"),
            ("stop-limit: the limit", "alice buys 1 @ 42.00", f"alice buys 1 @ {FAR} stop 43.00"),
            (
                "stop-limit: the stop",
                "alice buys 1 @ 42.00 stop 43.00",
                lambda m: order(m, quantity=1, order_type=STOP_LIMIT, stop_ticks=4300 + REACH_TICKS),
            ),
            ("amend: the limit", "alice buys 1 @ 42.00\nalice buys 1 @ 42.00", f"alice amends order 1 to 1 @ {FAR}"),
            (
                "amend: the stop",
                "alice buys 1 @ 42.00 stop 43.00\n" * 2,
                lambda m: amend(m, leaves=1, stop_ticks=4300 + REACH_TICKS),
            ),
            ("above any price", "", lambda m: order(m, price_ticks=PRICE_MAX_TICKS + 1)),
            ("above any price to sell", "", lambda m: order(m, side=Side.SELL, price_ticks=(1 << 62) - 1)),
        ]
    ),
    pytest.param(
        Reason.PRICE_OUT_OF_RANGE,
        HUBEI,
        "close",
        ListInstrument("HBCER-1", ALLOWANCE, 2025, PRICE_MAX_TICKS),
        id="listing",
    ),
    pytest.param(Reason.AMOUNT_NOT_POSITIVE, HUBEI, "", DepositCash("alice", 0), id="deposit of nothing"),
    pytest.param(
        Reason.AMOUNT_NOT_POSITIVE, HUBEI, "", WithdrawCash("alice", -1), id="withdrawal of less than nothing"
    ),
    pytest.param(Reason.AMOUNT_TOO_LARGE, HUBEI, "", lambda m: order(m, quantity=TURNOVER_MAX // 4200 + 1), id="order"),
    pytest.param(Reason.AMOUNT_TOO_LARGE, HUBEI, "", lambda m: order(m, quantity=(1 << 63) - 1), id="order of 2^63"),
    pytest.param(
        Reason.AMOUNT_TOO_LARGE,
        HUBEI,
        "",
        lambda m: order(m, **{**AT_MARKET, "quantity": TURNOVER_MAX // 4620 + 1}),
        id="order at market",
    ),
    pytest.param(
        Reason.AMOUNT_TOO_LARGE,
        GENERIC,
        "",
        lambda m: order(m, side=Side.SELL, price_ticks=1, quantity=QUANTITY_MAX + 1),
        id="order of too many tonnes",
    ),
    pytest.param(
        Reason.AMOUNT_TOO_LARGE,
        HUBEI,
        "alice buys 10 @ 42.00",
        lambda m: amend(m, leaves=TURNOVER_MAX // 4200 + 1),
        id="amend",
    ),
    pytest.param(Reason.AMOUNT_TOO_LARGE, HUBEI, "", DepositCash("alice", CASH_MAX), id="deposit"),
    pytest.param(Reason.AMOUNT_TOO_LARGE, HUBEI, "", DepositCash("alice", 10**30), id="deposit of 10^30"),
    pytest.param(Reason.AMOUNT_TOO_LARGE, HUBEI, "", IssueUnits("bob", HBEA, UNITS_MAX, FREE), id="issuance"),
    *(
        pytest.param(Reason.STOP_ALREADY_REACHED, HUBEI, before, command, id=name)
        for name, before, command in [
            ("buy stop at the close before", "", "alice buys 10 @ 44.00 stop 42.00"),
            ("sell stop at the close before", "", "bob sells 10 @ market stop 42.00"),
            (
                "buy stop below the last trade",
                "bob sells 1 @ 43.00\nalice buys 1 @ 43.00",
                "alice buys 1 @ 44.00 stop 42.50",
            ),
            ("sell stop above it", "alice buys 1 @ 41.00\nbob sells 1 @ 41.00", "bob sells 1 @ market stop 41.50"),
            ("in a call", "call", "alice buys 10 @ 44.00 stop 41.00"),
            ("amend", "alice buys 10 @ 44.00 stop 43.00", "alice amends order 1 to 10 @ 44.00 stop 41.00"),
            (
                "amend: the stop it has",
                "alice buys 10 @ 44.00 stop 43.00\ncall\nbob sells 1 @ 43.00\nalice buys 1 @ 43.00\nstart\n"
                "alice buys 10 @ 44.00 stop 43.50",
                "alice amends order 4 to 10 @ 44.00 stop 43.00",
            ),
        ]
    ),
    pytest.param(
        Reason.POST_ONLY_WOULD_TRADE, HUBEI, "bob sells 1 @ 42.00", "alice buys 10 @ 42.00 post-only", id="at the ask"
    ),
    pytest.param(
        Reason.POST_ONLY_WOULD_TRADE,
        HUBEI,
        "alice buys 1 @ 42.00",
        "alice sells 1 @ 41.00 post-only",
        id="one's own bid",
    ),
    pytest.param(
        Reason.POST_ONLY_WOULD_TRADE,
        HUBEI,
        "alice buys 10 @ 41.00 post-only\nbob sells 1 @ 42.00",
        "alice amends order 1 to 10 @ 43.00",
        id="amend",
    ),
    pytest.param(Reason.INSUFFICIENT_CASH, HUBEI, "", "carol buys 10 @ 42.00", id="order without cash"),
    pytest.param(
        Reason.INSUFFICIENT_CASH, HUBEI, "bob sells 1 @ 38.00", "carol buys 1 @ market ioc", id="order at market"
    ),
    pytest.param(
        Reason.INSUFFICIENT_CASH,
        HUBEI,
        "alice buys 230 @ 42.00",
        "alice amends order 1 to 237 @ 42.00",
        id="amend without cash",
    ),
    pytest.param(Reason.INSUFFICIENT_CASH, HUBEI, "", WithdrawCash("alice", fen("10000.01")), id="withdrawal"),
    pytest.param(
        Reason.INSUFFICIENT_CASH, HUBEI, "alice buys 200 @ 42.00", "alice buys 100 @ 42.00", id="cash reserved already"
    ),
    pytest.param(
        Reason.INSUFFICIENT_CASH,
        GENERIC,
        "alice buys 10 @ 42.00\nbob sells 5 @ 42.00",
        lambda m: amend(m, leaves=TURNOVER_MAX // 4200),
        id="amend: what has traded already does not make it too large",
    ),
    pytest.param(Reason.INSUFFICIENT_UNITS, HUBEI, "", "carol sells 10 @ 42.00", id="order without units"),
    pytest.param(Reason.INSUFFICIENT_UNITS, HUBEI, "", "carol sells 10 @ market stop 40.00", id="stop without units"),
    pytest.param(
        Reason.INSUFFICIENT_UNITS,
        HUBEI,
        "bob sells 100 @ 42.00 show 1",
        "bob amends order 1 to 101 @ 42.00",
        id="amend without units",
    ),
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
    before_a_command = {Reason.PRICE_OFF_TICK, Reason.AMOUNT_OFF_FEN}
    in_scenes = {Reason.ALREADY_CREDITED, Reason.POSITION_LIMIT, Reason.BATCH_STOPPED}  # not in tables
    of_settlement = {
        *OF_MONEY,
        *OF_DEFAULTS,
        *(Reason[code.upper()] for code, _, _ in OF_CORRECTIONS),
        Reason.REBATES_PAID,
        *(row[0] for row in OF_THE_TREASURY),
        *(reason for case in OF_STATEMENTS for reason, _ in case.faults),
    }
    of_reports = {row[0] for row in OF_EMISSIONS} | {param.values[0] for param in OF_CREDITS}
    other_rooms = OF_THE_REGISTRY | of_reports | of_settlement
    shown = {param.values[0] for param in REFUSALS} | before_a_command | other_rooms | in_scenes
    of_foreign_flow = {Reason.ORDER_EXISTS, Reason.ORDER_ID_OUT_OF_SEQUENCE}  # in test_flow.py
    given = {reason for reason in Reason if Reason.NONE < reason < Reason.BY_REQUEST}
    assert shown == given - of_foreign_flow


# ---------------------------------------------------------------- precedence

# A market in which every fault of an order can be had by itself: lots of ten, a wide band about 300,000.00, room for
# prices that are too far from one another; orders may outlive their day.
WIDE = msgspec.structs.replace(
    LASTING, lot=10, price_bands=[PriceBand(HUBEI.price_bands[0].effective_from, up="1.9", down="0.9")]
)
FOR_THE_DAY = msgspec.structs.replace(WIDE, carry_over=HUBEI.carry_over)
OPENING = "300000.00"
PRICE, ASK, OUT_OF_REACH, OUT_OF_BAND = 30_000_000, 30_000_100, 50_000_000, 90_000_000  # ticks
NOT_THE_DAY = date(2026, 1, 4)
# The people of that market, and what rests in it: a bid so low that OUT_OF_REACH is, an ask, and order 3 of Alice's.
PEOPLE = {
    "alice": cash("20000000.00"),
    "carol": cash("3200000.00"),
    "dora": cash("2000000.00") + units(10),
    "vera": verifier,
}
BOOK = "dora buys 10 @ 100000.00\ndora sells 10 @ 300001.00"


@cache
def wide_market(lasting, before):
    """One for all tests that begin alike: what is refused changes nothing."""
    market = Market(WIDE if lasting else FOR_THE_DAY, opening=OPENING, **PEOPLE)
    said = market.play(f"{BOOK}\n{before}")
    assert "refused" not in said, said
    return market


def refusal_in(market, command):
    said = refusal_of(market, command)
    if "not refused" in said:
        wide_market.cache_clear()
    return said


# How to commit each fault: fields of the order that differ from a good one; what happened before; whether orders last.
FAULTS = {
    Reason.UNKNOWN_ACCOUNT: {"account": NOBODY},
    Reason.UNKNOWN_INSTRUMENT: {"instrument": NOBODY},
    Reason.MAY_NOT_TRADE: {"account": "vera"},
    Reason.MARKET_CLOSED: {"before": "close"},
    Reason.MARKET_HALTED: {"before": "halt: x"},
    Reason.INVALID_SIDE: {"side": 2},
    Reason.INVALID_TIME_IN_FORCE: {"time_in_force": 5},
    Reason.INVALID_ORDER_TYPE: {"order_type": 4},
    Reason.INVALID_SELF_TRADE_PREVENTION: {"self_trade": 5},
    Reason.TIME_IN_FORCE_NOT_ALLOWED: {"lasting": False, "time_in_force": GTC},
    Reason.CONTRADICTORY_TERMS: {"last_day": date(2026, 1, 6)},
    Reason.NOT_IN_CALL: {"before": "call", "post_only": True},
    Reason.LAST_DAY_PASSED: {"time_in_force": GTD, "last_day": NOT_THE_DAY},
    Reason.QUANTITY_NOT_POSITIVE: {"quantity": -15},
    Reason.QUANTITY_OFF_LOT: {"quantity": 15},
    Reason.INVALID_DISPLAY_QUANTITY: {"display_quantity": 15},
    Reason.PRICE_NOT_POSITIVE: {"price_ticks": -1},
    Reason.PRICE_OUTSIDE_BAND: {"price_ticks": OUT_OF_BAND},
    Reason.PRICE_OUT_OF_RANGE: {"price_ticks": OUT_OF_REACH},
    Reason.AMOUNT_TOO_LARGE: {"quantity": 10 * (TURNOVER_MAX // PRICE)},
    Reason.STOP_ALREADY_REACHED: {"order_type": STOP_LIMIT, "stop_ticks": PRICE},
    Reason.POST_ONLY_WOULD_TRADE: {"post_only": True, "price_ticks": ASK},
    Reason.INSUFFICIENT_CASH: {"account": "carol", "quantity": 20},
}
# Two faults that together are a third one, more fundamental than one of them: a stop is no iceberg, nor post-only.
CONTRADICTORY_TOGETHER = [
    {Reason.NOT_IN_CALL, Reason.STOP_ALREADY_REACHED},
    {Reason.INVALID_DISPLAY_QUANTITY, Reason.STOP_ALREADY_REACHED},
    {Reason.STOP_ALREADY_REACHED, Reason.POST_ONLY_WOULD_TRADE},
]
TWO_FAULTS = [
    pytest.param(
        Reason.CONTRADICTORY_TERMS if {one, other} in CONTRADICTORY_TOGETHER else one,
        FAULTS[one] | FAULTS[other],
        id=f"{one.code}, {other.code}",
    )
    for one, other in combinations(FAULTS, 2)
    if not FAULTS[one].keys() & FAULTS[other].keys()
] + [
    # Both faults lie in one field, or one brings the other with it.
    pytest.param(reason, fields, id=f"{reason.code}, {other}")
    for reason, other, fields in [
        (Reason.MARKET_CLOSED, "market_halted", {"before": "halt: x\nbreak"}),
        (Reason.MARKET_HALTED, "not_in_call", {"before": "call\nhalt: x", "post_only": True}),
        (Reason.MAY_NOT_TRADE, "insufficient_units", {"account": "vera", "side": Side.SELL}),
        (Reason.MARKET_CLOSED, "insufficient_units", {"before": "close", "side": Side.SELL}),
        (Reason.INVALID_TIME_IN_FORCE, "not_in_call", {"before": "call", "time_in_force": 255}),
        (
            Reason.TIME_IN_FORCE_NOT_ALLOWED,
            "contradictory_terms",
            {"lasting": False, "time_in_force": GTC, "order_type": MARKET},
        ),
        (
            Reason.TIME_IN_FORCE_NOT_ALLOWED,
            "last_day_passed",
            {"lasting": False, "time_in_force": GTD, "last_day": NOT_THE_DAY},
        ),
        (
            Reason.CONTRADICTORY_TERMS,
            "last_day_passed",
            {"time_in_force": GTD, "last_day": NOT_THE_DAY, "order_type": MARKET},
        ),
        (
            Reason.CONTRADICTORY_TERMS,
            "not_in_call",
            {"before": "call", "post_only": True, "time_in_force": IOC},
        ),
        (
            Reason.NOT_IN_CALL,
            "last_day_passed",
            {"before": "call", "post_only": True, "time_in_force": GTD, "last_day": NOT_THE_DAY},
        ),
        (Reason.NOT_IN_CALL, "post_only_would_trade", {"before": "call", "post_only": True, "price_ticks": ASK}),
        (Reason.QUANTITY_NOT_POSITIVE, "quantity_off_lot", {"quantity": -15}),
        (Reason.QUANTITY_OFF_LOT, "amount_too_large", {"quantity": (1 << 62) + 5}),
        (Reason.INVALID_DISPLAY_QUANTITY, "amount_too_large", {"quantity": 10 << 31, "display_quantity": 10}),
        (Reason.PRICE_NOT_POSITIVE, "price_outside_band", {"price_ticks": -1}),
        (
            Reason.PRICE_NOT_POSITIVE,
            "price_outside_band of the stop",
            {"price_ticks": -1, "order_type": STOP_LIMIT, "stop_ticks": OUT_OF_BAND},
        ),
        (
            Reason.PRICE_NOT_POSITIVE,
            "price_outside_band of the limit",
            {"price_ticks": OUT_OF_BAND, "order_type": STOP_LIMIT, "stop_ticks": -1},
        ),
        (Reason.PRICE_OUTSIDE_BAND, "price_out_of_range", {"price_ticks": OUT_OF_BAND}),
        (
            Reason.PRICE_OUTSIDE_BAND,
            "price_out_of_range of the limit",
            {"price_ticks": OUT_OF_REACH, "order_type": STOP_LIMIT, "stop_ticks": OUT_OF_BAND},
        ),
        (Reason.PRICE_OUTSIDE_BAND, "post_only_would_trade", {"price_ticks": OUT_OF_BAND, "post_only": True}),
        (Reason.PRICE_OUT_OF_RANGE, "post_only_would_trade", {"price_ticks": OUT_OF_REACH, "post_only": True}),
        (Reason.AMOUNT_TOO_LARGE, "insufficient_cash", {"account": "carol", "quantity": 10 * (TURNOVER_MAX // PRICE)}),
        (
            Reason.STOP_ALREADY_REACHED,
            "insufficient_units",
            {"side": Side.SELL, "order_type": STOP_LIMIT, "stop_ticks": PRICE},
        ),
        (
            Reason.POST_ONLY_WOULD_TRADE,
            "insufficient_units",
            {"side": Side.SELL, "price_ticks": 10_000_000, "post_only": True},
        ),
    ]
]


def faulty(fields):
    """What is said to a buy of 10 @ 300000.00 but for these fields."""
    fields = dict(fields)
    market = wide_market(fields.pop("lasting", True), fields.pop("before", ""))
    account = fields.pop("account", "alice")
    number = market.number(account) if isinstance(account, str) else account
    good = {"instrument": market.instrument(HBEA), "side": Side.BUY, "price_ticks": PRICE, "quantity": 10}
    return refusal_in(market, place_order(number, **{**good, **fields}))


def test_the_order_without_a_fault_is_accepted():
    assert faulty({}) == "not refused, but: alice accepted"


@pytest.mark.parametrize("reason", FAULTS, ids=lambda reason: reason.code)
def test_each_fault_by_itself_is_named(reason):
    assert faulty(FAULTS[reason]) == reason.code


@pytest.mark.parametrize(("reason", "fields"), TWO_FAULTS)
def test_of_two_faults_in_an_order_the_more_fundamental_is_named(reason, fields):
    assert faulty(fields) == reason.code


# What a good amend is of, by a word: order 3 of Alice's, who amends it to 10 @ 300000.00.
AMENDABLE = {
    "limit": "alice buys 20 @ 300000.00 gtc",
    "iceberg": "alice buys 20 @ 300000.00 show 10 gtc",
    "post-only": "alice buys 20 @ 300000.00 post-only gtc",
    "stop": "alice buys 20 @ market stop 300000.01",
    "stop-limit": "alice buys 20 @ 300000.00 stop 300000.01 gtc",
}
FAULTS_OF_AN_AMEND = {
    Reason.UNKNOWN_ACCOUNT: {"account": NOBODY},
    Reason.UNKNOWN_ORDER: {"order_id": 4},
    Reason.MARKET_CLOSED: {"before": "break"},
    Reason.MARKET_HALTED: {"before": "halt: x"},
    Reason.CONTRADICTORY_TERMS: {"order": "limit", "stop_ticks": PRICE},
    Reason.QUANTITY_NOT_POSITIVE: {"leaves": -15},
    Reason.QUANTITY_OFF_LOT: {"leaves": 15},
    Reason.INVALID_DISPLAY_QUANTITY: {"order": "iceberg", "leaves": 10 << 31},
    Reason.PRICE_NOT_POSITIVE: {"price_ticks": -1},
    Reason.PRICE_OUTSIDE_BAND: {"price_ticks": OUT_OF_BAND},
    Reason.PRICE_OUT_OF_RANGE: {"price_ticks": OUT_OF_REACH},
    Reason.AMOUNT_TOO_LARGE: {"leaves": 10 * (TURNOVER_MAX // PRICE)},
    Reason.STOP_ALREADY_REACHED: {"order": "stop-limit", "stop_ticks": PRICE - 1},
    Reason.POST_ONLY_WOULD_TRADE: {"order": "post-only", "price_ticks": ASK},
    Reason.INSUFFICIENT_CASH: {"leaves": 100},
}
TWO_FAULTS_OF_AN_AMEND = [
    pytest.param(one, FAULTS_OF_AN_AMEND[one] | FAULTS_OF_AN_AMEND[other], id=f"{one.code}, {other.code}")
    for one, other in combinations(FAULTS_OF_AN_AMEND, 2)
    if not FAULTS_OF_AN_AMEND[one].keys() & FAULTS_OF_AN_AMEND[other].keys()
] + [
    pytest.param(reason, fields, id=f"{reason.code}, {other}")
    for reason, other, fields in [
        (Reason.MARKET_CLOSED, "market_halted", {"before": "halt: x\nbreak"}),
        (Reason.CONTRADICTORY_TERMS, "price_outside_band", {"order": "stop", "price_ticks": OUT_OF_BAND}),
        (Reason.CONTRADICTORY_TERMS, "price_not_positive", {"order": "limit", "stop_ticks": -1}),
        (Reason.QUANTITY_NOT_POSITIVE, "quantity_off_lot", {"leaves": -15}),
        (Reason.QUANTITY_OFF_LOT, "invalid_display_quantity", {"order": "iceberg", "leaves": (10 << 31) + 5}),
        (Reason.PRICE_OUTSIDE_BAND, "stop_already_reached", {"order": "stop-limit", "stop_ticks": 2_999_999}),
        (
            Reason.PRICE_NOT_POSITIVE,
            "price_outside_band",
            {"order": "stop-limit", "price_ticks": OUT_OF_BAND, "stop_ticks": -1},
        ),
        (Reason.PRICE_OUT_OF_RANGE, "post_only_would_trade", {"order": "post-only", "price_ticks": OUT_OF_REACH}),
        (
            Reason.POST_ONLY_WOULD_TRADE,
            "insufficient_cash",
            {"order": "post-only", "price_ticks": ASK, "leaves": 100},
        ),
    ]
]


def faulty_amend(fields):
    """What is said when Alice amends her order to 10 @ 300000.00 but for these fields."""
    fields = dict(fields)
    placed = AMENDABLE[fields.pop("order", "limit")]
    market = wide_market(True, f"{placed}\n{fields.pop('before', '')}")
    good = {"account": market.number("alice"), "order_id": 3, "price_ticks": PRICE, "leaves": 10}
    return refusal_in(market, amend_order(**{**good, **fields}))


@pytest.mark.parametrize("order", AMENDABLE)
def test_the_amend_without_a_fault_is_taken(order):
    fields = {"order": order} | ({"price_ticks": 0} if order == "stop" else {})
    assert faulty_amend(fields).startswith("not refused, but: alice amends to 10")


@pytest.mark.parametrize("reason", FAULTS_OF_AN_AMEND, ids=lambda reason: reason.code)
def test_each_fault_of_an_amend_by_itself_is_named(reason):
    assert faulty_amend(FAULTS_OF_AN_AMEND[reason]) == reason.code


@pytest.mark.parametrize(("reason", "fields"), TWO_FAULTS_OF_AN_AMEND)
def test_of_two_faults_in_an_amend_the_more_fundamental_is_named(reason, fields):
    assert faulty_amend(fields) == reason.code


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        pytest.param(Reason.UNKNOWN_ACCOUNT, {"account": NOBODY, "instrument": NOBODY, "side": 3}, id="account"),
        pytest.param(Reason.UNKNOWN_INSTRUMENT, {"instrument": NOBODY, "side": 3}, id="instrument"),
        pytest.param(Reason.UNKNOWN_INSTRUMENT, {"instrument": NOBODY, "before": "close"}, id="instrument, closed"),
        pytest.param(Reason.MARKET_CLOSED, {"side": 3, "before": "close"}, id="closed, side"),
        pytest.param(Reason.INVALID_SIDE, {"side": 3, "instrument": 1}, id="side"),
        pytest.param(Reason.INVALID_SIDE, {"side": 255, "account": 0, "before": "halt: x"}, id="side, everybody's"),
    ],
)
def test_of_several_faults_in_a_mass_cancel_the_most_fundamental_is_named(reason, fields):
    market = market_of()
    market.play(fields.pop("before", ""))

    assert refusal_of(market, cancel_all(market, **fields)) == reason.code


def test_before_anything_is_listed_there_is_nothing_to_cancel():
    engine = Engine(MemoryJournal())
    list(engine.open(HUBEI, 0))
    _, outcome = engine.submit([cancel_orders(0)], 0)

    assert outcome.rows[["kind", "reason", "order_id"]].tolist() == [
        (EventKind.CANCEL_REFUSED, Reason.MARKET_CLOSED, 0)
    ]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(lambda m: order(m, account=NOBODY, side=1, price_ticks=7, quantity=8), id="order"),
        pytest.param(lambda m: amend(m, account=NOBODY, price_ticks=7, leaves=8), id="amend"),
        pytest.param(lambda m: cancel_order(NOBODY, 3), id="cancel"),
        pytest.param(lambda m: cancel_all(m, account=NOBODY, instrument=1, side=1), id="mass cancel"),
    ],
)
def test_a_refusal_repeats_what_was_asked_for(command):
    market = market_of()
    row = command(market).row
    market.submit(command(market))

    (said,) = market.outcome.rows
    named = row.order_id if row.kind in (CommandKind.CANCEL_ORDER, CommandKind.AMEND_ORDER) else 0
    assert (said.order_id, said.leaves, said.trade_id, said.maker_order_id) == (named, 0, 0, 0)
    for name in ("account", "instrument", "side", "price_ticks", "quantity"):
        assert said[name] == row[name]


@pytest.mark.parametrize(
    ("reason", "before", "command"),
    [
        pytest.param(Reason.UNKNOWN_ACCOUNT, "", "zoe cancels order 1", id="cancel: account, order"),
        pytest.param(Reason.UNKNOWN_ORDER, "close", "bob cancels order 1", id="cancel: order, closed"),
        pytest.param(Reason.UNKNOWN_INSTRUMENT, "halt: x", HaltTrading("y", NOT_LISTED), id="halt: instrument, twice"),
        pytest.param(
            Reason.UNKNOWN_INSTRUMENT, "", ResumeTrading("y", NOT_LISTED), id="resume: instrument, not halted"
        ),
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
