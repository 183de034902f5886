"""Flows for the tests of research: written as text, or drawn."""

import numpy as np
from hypothesis import strategies as st

from exchange.rows import COMMAND, CommandKind
from matching.orders import Side, TimeInForce
from tests.conftest import EXAMPLES, THOROUGH

FEW = 10 * EXAMPLES if THOROUGH else EXAMPLES // 4  # of what plays a whole book for each example

KINDS = {"new": CommandKind.PLACE_ORDER, "cancel": CommandKind.CANCEL_ORDER, "amend": CommandKind.AMEND_ORDER}


def flow(*lines):
    """Command rows of `new 7 buy 100 @ 42 IOC`, `cancel 7`, `amend 7 buy 50 @ 42`."""
    rows = np.zeros(len(lines), COMMAND)
    for index, line in enumerate(lines):
        op, ref, *rest = line.split()
        row = rows[index]
        row.sequence, row.kind, row.order_id = index, KINDS[op], int(ref)
        if rest:
            row.side, row.quantity, row.price_ticks = Side[rest[0].upper()], int(rest[1]), int(rest[3])
            row.time_in_force = TimeInForce[rest[4] if len(rest) > 4 else "GTC"]
    return rows


def _line(one):
    op, ref, side, quantity, price, time = one
    return f"cancel {ref}" if op == "cancel" else f"{op} {ref} {side} {quantity} @ {price} {time}"


flows = st.lists(
    st.tuples(
        st.sampled_from(["new", "new", "new", "cancel", "amend"]), st.integers(1, 12), st.sampled_from(["buy", "sell"]),
        st.integers(1, 9), st.integers(40, 46), st.sampled_from(["GTC", "GTC", "GTC", "IOC", "FOK"]),
    ).map(_line),
    max_size=40,
).map(lambda lines: flow(*lines))  # fmt: skip
