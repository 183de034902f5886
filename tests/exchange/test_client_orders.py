"""Orders known by account and client order id: columns and their index against a dict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import client_orders
from exchange.client_orders import ClientOrders
from exchange.rows import COMMAND
from exchange.transition import content_of, contents_of

NAMES = [b"", b"a", b"b", b"a-17", b"\xc3\xbc"]
orders = st.tuples(st.integers(1, 3), st.sampled_from(NAMES), st.integers(0, 255))
keys = [(account, name) for account in range(1, 4) for name in NAMES]


@pytest.fixture(autouse=True, scope="module")
def few_are_many():
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(client_orders, "MANY", 3)
        yield


@given(st.lists(st.lists(orders, max_size=6), max_size=6), st.lists(st.sampled_from(keys)), st.booleans())
def test_orders_are_found_as_in_a_dict(batches, asked, asks_between):
    """The last order of a name counts, in whatever numbers they come."""
    known, plain, sequence = ClientOrders(), {}, 0
    for batch in batches:
        accounts, names, contents = (list(column) for column in zip(*batch, strict=True)) if batch else ([], [], [])
        sequences = [*range(sequence + 1, sequence + 1 + len(batch))]
        sequence += len(batch)
        packed = np.array([bytes([one, 0]) for one in contents], "V2")
        known.add(np.array(accounts, np.uint32), names, np.array(sequences, np.int64), packed)
        for account, name, number, content in zip(accounts, names, sequences, contents, strict=True):
            if name:
                plain[account, name] = number, bytes([content, 0])
        if asks_between:
            known.is_complete()
            assert {key: known.get(key) for key in keys} == {key: plain.get(key) for key in keys}
    assert {key: known.get(key) for key in keys} == {key: plain.get(key) for key in keys}
    assert known.has_any(dict.fromkeys(asked).keys()) == any(key in plain for key in asked)
    assert [*known] == sorted((key, content) for key, (_, content) in plain.items())
    known.check()


def test_more_orders_than_rows_can_be_numbered_are_an_error(monkeypatch):
    monkeypatch.setattr(client_orders, "ROWS_MAX", 5)
    known, names = ClientOrders(), [b"a", b"b", b"c"]
    columns = np.ones(3, np.uint32), names, np.arange(3), np.zeros(3, "V2")
    known.add(*columns)
    with pytest.raises(OverflowError, match="6 orders of a day have client order ids; 5 can be told apart"):
        known.add(*columns)


def test_what_a_row_asks_for_is_the_same_alone_and_among_many():
    rows = np.zeros(3, COMMAND)
    rows["price_ticks"], rows["quantity"] = [1, 2, 256], 255
    assert contents_of(rows) == [content_of(row.tobytes()) for row in rows]
