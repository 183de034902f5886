"""Foreign order flow: the compiled book and the readable one say the same, row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.flows import NAMES, make_flow, with_foreign_references
from exchange.flow import ID_GAP_MAX, QUANTITY_MAX, ROOM, FlowPlayer, ReadablePlayer, new_events
from exchange.reasons import Reason
from exchange.rows import COMMAND, CommandKind, EventKind
from matching import references as references_of
from matching.ladder import REACH_TICKS
from matching.orders import Side, TimeInForce
from tests.conftest import EXAMPLES

pytestmark = pytest.mark.kernels

FIELDS = ("sequence", "kind", "order_id", "maker_order_id", "side", "price_ticks", "quantity", "leaves", "reason")
PLACE, CANCEL, AMEND = CommandKind.PLACE_ORDER, CommandKind.CANCEL_ORDER, CommandKind.AMEND_ORDER


def rows_of(messages):
    """Command rows of (kind, reference, side, price in ticks, quantity, time in force, account)."""
    rows = np.zeros(len(messages), COMMAND)
    for index, (kind, reference, side, price_ticks, quantity, time_in_force, *account) in enumerate(messages):
        row = rows[index]
        row.account = account[0] if account else 0
        row.sequence, row.kind, row.order_id, row.side = index, kind, reference, side
        row.price_ticks, row.quantity, row.time_in_force = price_ticks, quantity, time_in_force
    return rows


def said(player, rows, room=new_events):
    return [
        event
        for part in player.play(rows, room())
        for event in zip(*(part[name].tolist() for name in FIELDS), strict=True)
    ]


def play(*lines, assigned_ids=False):
    """What a flow written as text leads to, as text: `new 7 buy 100 @ 42`, `cancel 7`, `amend 7 buy 50 @ 42`."""
    messages = []
    for line in lines:
        op, reference, *rest = line.split()
        kind = {"new": PLACE, "cancel": CANCEL, "amend": AMEND}[op]
        side, quantity, _, price, *time = rest or ("buy", "0", "@", "0")
        messages.append(
            (
                kind,
                int(reference),
                Side[side.upper()],
                int(price),
                int(quantity),
                TimeInForce[time[0] if time else "GTC"],
            )
        )
    rows = rows_of(messages)
    events = said(FlowPlayer(assigned_ids), rows)
    assert events == list(ReadablePlayer().play(rows))
    return [_told(event) for event in events]


def _told(event):
    _, kind, order_id, maker, _, price, quantity, leaves, reason = event
    match kind:
        case EventKind.TRADED:
            return f"{order_id} takes {quantity} @ {price} from {maker}, leaves {leaves}"
        case EventKind.REFUSED | EventKind.CANCEL_REFUSED | EventKind.AMEND_REFUSED:
            return f"{order_id} {EventKind(kind).label}: {Reason(reason).code}"
        case _:
            return f"{order_id} {EventKind(kind).label} {quantity} @ {price}"


# ---------------------------------------------------------------- scenes


def test_less_quantity_at_the_same_price_keeps_its_place_in_the_queue():
    assert play("new 1 sell 100 @ 42", "new 2 sell 100 @ 42", "amend 1 sell 60 @ 42", "new 3 buy 60 @ 42")[-2:] == [
        "3 accepted 60 @ 42",
        "3 takes 60 @ 42 from 1, leaves 0",
    ]


@pytest.mark.parametrize("amended", ["101 @ 42", "100 @ 42"])
def test_as_much_or_more_quantity_goes_to_the_back_of_the_queue(amended):
    events = play("new 1 sell 100 @ 42", "new 2 sell 100 @ 42", f"amend 1 sell {amended}", "new 3 buy 60 @ 42")
    assert events[-1] == "3 takes 60 @ 42 from 2, leaves 0"


def test_an_amended_price_may_trade_and_the_amendment_is_said_first():
    assert play("new 1 sell 100 @ 42", "new 2 buy 70 @ 40", "amend 2 buy 120 @ 43")[2:] == [
        "2 amended 120 @ 43",
        "2 takes 100 @ 42 from 1, leaves 20",
    ]


def test_fill_or_kill_trades_in_full_or_not_at_all():
    book = ("new 1 sell 30 @ 42", "new 2 sell 30 @ 43", "new 3 sell 30 @ 45")
    assert play(*book, "new 4 buy 61 @ 44 FOK")[3:] == ["4 accepted 61 @ 44", "4 cancelled 61 @ 44"]
    assert play(*book, "new 4 buy 60 @ 44 FOK")[3:] == [
        "4 accepted 60 @ 44",
        "4 takes 30 @ 42 from 1, leaves 30",
        "4 takes 30 @ 43 from 2, leaves 0",
    ]


def test_what_an_immediate_order_leaves_is_cancelled():
    assert play("new 1 sell 30 @ 42", "new 2 buy 50 @ 42 IOC")[1:] == [
        "2 accepted 50 @ 42",
        "2 takes 30 @ 42 from 1, leaves 20",
        "2 cancelled 20 @ 42",
    ]


def test_an_account_does_not_trade_with_itself():
    rows = rows_of([(PLACE, 1, 1, 42, 5, 0, 7), (PLACE, 2, 1, 42, 5, 0, 8), (PLACE, 3, 0, 42, 9, 0, 8)])
    events = said(FlowPlayer(), rows)
    assert [_told(event) for event in events[3:]] == ["3 takes 5 @ 42 from 1, leaves 4", "3 prevented 4 @ 42"]
    assert events == list(ReadablePlayer().play(rows))


def test_a_row_that_says_more_than_there_is_room_for_needs_more_room():
    with pytest.raises(ValueError, match="room for 4 rows"):
        next(FlowPlayer().play(rows_of([(PLACE, 1, 0, 42, 5, 0)]), new_events(3)))


def test_a_reference_is_free_again_once_its_order_is_gone():
    assert play("new 7 buy 10 @ 42", "new 7 buy 10 @ 42", "cancel 7", "new 7 buy 10 @ 41", "cancel 8")[1:] == [
        "7 refused: order_exists",
        "7 cancelled 10 @ 42",
        "7 accepted 10 @ 41",
        "8 cancel_refused: unknown_order",
    ]


REFUSED_ROWS = {
    Reason.UNKNOWN_COMMAND: (9, 2, 0, 42, 1, 0),
    Reason.INVALID_SIDE: (PLACE, 2, 2, 42, 1, 0),
    Reason.INVALID_TIME_IN_FORCE: (PLACE, 2, 0, 42, 1, 4),
    Reason.QUANTITY_NOT_POSITIVE: (PLACE, 2, 0, 42, 0, 0),
    Reason.PRICE_NOT_POSITIVE: (PLACE, 2, 0, -1, 1, 0),
    Reason.PRICE_OUT_OF_RANGE: (PLACE, 2, 0, 42 + REACH_TICKS, 1, 0),
    Reason.AMOUNT_TOO_LARGE: (PLACE, 2, 0, 42, QUANTITY_MAX + 1, 0),
    Reason.ORDER_EXISTS: (PLACE, 1, 0, 42, 1, 0),
}


@pytest.mark.parametrize(("reason", "row"), REFUSED_ROWS.items(), ids=[reason.code for reason in REFUSED_ROWS])
def test_a_row_that_makes_no_sense_is_refused_and_touches_nothing_else(reason, row):
    rows = rows_of([(PLACE, 1, 0, 42, 5, 0), row, (CANCEL, 1, 0, 0, 0, 0)])
    player = FlowPlayer()
    events = said(player, rows)
    assert [(event[1], event[-1]) for event in events] == [
        (EventKind.ACCEPTED, 0), (EventKind.REFUSED, reason), (EventKind.CANCELLED, Reason.BY_REQUEST),
    ]  # fmt: skip
    assert events == list(ReadablePlayer().play(rows))
    player.check()


def test_an_amend_can_not_change_the_side():
    assert play("new 1 buy 10 @ 42", "amend 1 sell 10 @ 42")[-1] == "1 refused: invalid_side"


@pytest.mark.parametrize("number", [0, -1, 1, 3 + ID_GAP_MAX, 2**62])
def test_assigned_numbers_must_rise_and_may_skip_a_few(number):
    rows = rows_of(
        [(PLACE, 1, 0, 42, 1, 0), (CANCEL, 1, 0, 0, 0, 0), (PLACE, 2, 0, 42, 1, 0), (PLACE, number, 0, 42, 1, 0)]
    )
    assert said(FlowPlayer(True), rows)[-1][-1] == Reason.ORDER_ID_OUT_OF_SEQUENCE
    rows[3].order_id = 2 + ID_GAP_MAX
    assert said(FlowPlayer(True), rows)[-1][1] == EventKind.ACCEPTED


# ---------------------------------------------------------------- any flow

REFERENCES = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 2**63 - 1, -(2**63), -1, 0])
MESSAGES = st.tuples(
    st.sampled_from([PLACE, PLACE, PLACE, CANCEL, AMEND, AMEND, 0]),
    REFERENCES,
    st.sampled_from([0, 1, 1, 0, 2]),
    st.one_of(
        st.integers(95, 105),
        st.sampled_from([0, -5, 9_000, 200_000, REACH_TICKS + 98, REACH_TICKS + 102, 2**62, -(2**62)]),
    ),
    st.one_of(st.integers(1, 20), st.sampled_from([0, -1, QUANTITY_MAX, QUANTITY_MAX + 1, 2**62])),
    st.sampled_from([0, 0, 0, 1, 2, 3, 4]),
    st.sampled_from([0, 0, 0, 7, 8]),
)


@given(messages=st.lists(MESSAGES, max_size=40), cut=st.integers(0, 40))
def test_the_ladder_and_the_readable_book_say_the_same_of_any_flow(messages, cut):
    rows = rows_of(messages)
    player, readable = FlowPlayer(), ReadablePlayer()
    for part in (rows[:cut], rows[cut:]):
        assert said(player, part, lambda: new_events(ROOM)) == list(readable.play(part))
        player.check()
        readable.book.check()


@pytest.mark.parametrize("name", NAMES)
def test_the_named_flows_lead_to_the_same_events_whatever_their_orders_are_called(name):
    rows = make_flow(name, messages=60 * EXAMPLES)
    foreign = with_foreign_references(rows)
    ours, theirs = FlowPlayer(True), FlowPlayer(False)
    events = said(ours, rows)
    assert events == list(ReadablePlayer().play(rows))
    assert said(theirs, foreign) == list(ReadablePlayer().play(foreign))
    ours.check()
    theirs.check()
    kinds = np.bincount(rows["kind"], minlength=4) / rows.size
    assert np.allclose(kinds[1:], [0.5, 0.4, 0.1], atol=0.03)


# ---------------------------------------------------------------- the table of references


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(-(2**63), 2**63 - 1) | st.integers(0, 30)), max_size=120))
def test_the_table_of_references_is_a_dict(steps):
    table, twin = references_of.new_references(bits=3), {}
    for adds, reference in steps:
        place = references_of.place_of(table, reference)
        assert (place == references_of.ABSENT) == (reference not in twin)
        if place != references_of.ABSENT and not adds:
            references_of.remove(table, place)
            del twin[reference]
        elif place == references_of.ABSENT and adds:
            if 2 * len(twin) + 2 > table.places.size:
                table = references_of.with_room(table)
            references_of.add(table, reference, len(twin) + 1)
            twin[reference] = len(twin) + 1
        references_of.check(table)
        assert dict(references_of.entries(table)) == twin
