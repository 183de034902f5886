"""Replay as reported beside a plain one: dicts of levels, every rule written out."""

from itertools import pairwise

import numpy as np
import pytest

from exchange.research.lobster import Sample
from exchange.research.messages import MessageType
from exchange.research.reported import replay_as_reported
from matching.orders import Side
from tests.exchange.research.samples import flow, sample, window


def plainly(sample):
    """(levels compared, adopted, vanished, rows and sides that differ) of a sample."""
    rows = [*sample.rows()]
    have = {side: dict(rows[0][1].side(side)) for side in Side}
    compared = adopted = vanished = 0
    different = []
    for row, ((_, before), (message, shown)) in enumerate(pairwise(rows), 2):
        levels = have[message.side]
        if message.type == MessageType.NEW_ORDER:
            levels[message.price] = levels.get(message.price, 0) + message.size
        elif message.type in (MessageType.PARTIAL_CANCEL, MessageType.DELETE, MessageType.EXECUTION):
            levels[message.price] = levels.get(message.price, 0) - message.size
            if levels[message.price] <= 0:
                del levels[message.price]
        for side in Side:
            deeper = -1 if side == Side.BUY else 1

            def edge(book, side=side, deeper=deeper):
                full = len(book.side(side)) == sample.levels
                return book.side(side)[-1][0] * deeper if full else 10**12

            limit, now = edge(before), edge(shown)
            told = dict(shown.side(side))
            for price in {*told, *have[side]}:
                if not limit < price * deeper <= now:
                    continue
                if price not in told:
                    vanished += 1
                    del have[side][price]
                elif have[side].get(price) != told[price]:
                    adopted += 1
                    compared -= 1
                    have[side][price] = told[price]
            compared += len(told)
            if {price: size for price, size in have[side].items() if price * deeper <= now} != told:
                different.append((row, side))
    return compared, adopted, vanished, different


def in_short(report):
    return (
        report.levels_compared,
        report.adopted,
        report.vanished,
        [(one.row, one.side) for one in report.divergences],
    )


@pytest.mark.parametrize("levels", [1, 3, 10, 40])
@pytest.mark.parametrize("first", [0, 150])
def test_a_window_of_a_flow_is_proved_on_every_level(tmp_path, levels, first):
    made = Sample.of(window(tmp_path, flow(levels, 600), levels, first))
    report = replay_as_reported(made)
    assert in_short(report) == plainly(made)
    assert report.divergence_count == 0 and report.unknown_orders == 0
    assert report.levels_compared > 200 * levels**0.5
    assert report.adopted > 0 or levels > 3
    assert report.adopted == 0 or levels < 40


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_wrong_is_found_as_plainly(tmp_path, seed):
    rng = np.random.default_rng(seed)
    made = Sample.of(window(tmp_path, flow(seed, 300), 4, 40))
    for file in (made.messages, made.books):
        lines = file.read_text().splitlines()
        for _ in range(3):
            row = int(rng.integers(2, len(lines)))
            while file == made.messages and lines[row].split(",")[1] != "1":  # more than an order has can't be taken
                row = int(rng.integers(2, len(lines)))
            fields = lines[row].split(",")
            fields[3] = str(int(fields[3]) + 1)  # a size
            lines[row] = ",".join(fields)
        file.write_text("\n".join(lines))
    assert in_short(replay_as_reported(made)) == plainly(made)


def test_a_book_deeper_than_the_arrays_and_more_adoptions_than_fit_at_once(tmp_path, monkeypatch):
    from exchange.research import levels as arrays

    made = Sample.of(window(tmp_path, flow(3, 600), 3, 100))
    expected = replay_as_reported(made)
    monkeypatch.setattr(arrays.new_levels, "__defaults__", (8,))
    assert replay_as_reported(made) == expected


def test_a_whole_flow_has_nothing_to_adopt(tmp_path):
    report = replay_as_reported(Sample.of(sample(tmp_path, flow(5), 50)))
    assert (report.adopted, report.vanished, report.divergence_count) == (0, 0, 0)
