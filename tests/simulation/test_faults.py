"""The simulator of faults: sound seeds are sound, a broken exchange is found, and what is found is found again."""

from collections import Counter
from concurrent.futures import Future
from dataclasses import replace

import pytest

from api.history import History
from api.stream.channels import TradesChannel
from exchange.trading import TradingPath
from matching import ladder as book_of
from simulation.faults.disk import SimulatedJournal, SimulatedRequests
from simulation.faults.exploring import explore, reproduction, shrunk
from simulation.faults.plan import EVERY
from simulation.faults.world import run
from tests.conftest import THOROUGH
from tests.system.desk import run as run_command

STEPS, SEEDS = (40, 500) if THOROUGH else (60, 8)


def test_nothing_is_lost_and_nothing_is_done_twice():
    runs = [*explore(range(1, 1 + SEEDS), STEPS)]
    assert [(one.seed, one.failed_at, one.wrong) for one in runs if one.wrong] == []
    struck = Counter[str]()
    for one in runs:
        struck.update(one.faults)
    assert len(struck) > 9 and (struck.keys() == {*EVERY} or not THOROUGH)
    assert sum(one.lives for one in runs) > 2 * len(runs) / (1 if THOROUGH else 2)
    assert sum(one.trades for one in runs) > len(runs)
    assert sum(one.days > 0 for one in runs) > 0.9 * len(runs)  # a few are down for most of their steps


def test_without_faults_nothing_goes_wrong_and_nobody_dies():
    one = run(3, 100, frozenset())
    assert (one.wrong, one.faults, one.lives, one.failed_at) == (None, {}, 1, 100)
    assert one.trades > 10


def test_a_seed_is_one_history():
    first, second, other = run(7, 60), run(7, 60), run(8, 60)
    assert replace(second, took_s=first.took_s) == first
    assert other.digest != first.digest


# ---------------------------------------------------------------- a broken exchange


def acknowledge_before_the_journal(monkeypatch):
    append = SimulatedJournal.append

    def at_once(self, block):
        append(self, block)
        done = Future()
        done.set_result(None)
        return done

    monkeypatch.setattr(SimulatedJournal, "append", at_once)


def carry_out_a_repeat(monkeypatch):
    ask = SimulatedRequests._ask

    def forgetful(self, asked):
        self._forget(asked.token)
        return ask(self, asked)

    monkeypatch.setattr(SimulatedRequests, "_ask", forgetful)


def lose_the_last_block_on_opening(monkeypatch):
    blocks = SimulatedJournal.blocks

    def shorter(self):
        found = [*blocks(self)]
        yield from found[:-1] if len(found) > 30 else found

    monkeypatch.setattr(SimulatedJournal, "blocks", shorter)


def lose_a_trade_on_the_stream(monkeypatch):
    wanted = TradesChannel.wanted
    monkeypatch.setattr(TradesChannel, "wanted", lambda self, rows: wanted(self, rows) & (rows["trade_id"] % 7 != 3))


def lose_an_event_of_the_history(monkeypatch):
    extend = History.extend

    def shorter(self, batch, outcome):
        outcome.rows = outcome.rows[outcome.rows["trade_id"] % 7 != 3]
        extend(self, batch, outcome)

    monkeypatch.setattr(History, "extend", shorter)


def trade_at_the_worst_price_first(monkeypatch):
    path_run = TradingPath.run

    def backwards(self, rows):
        ladder = self.desk.ladder
        for queue in ladder.queues:
            levels = book_of._occupied_in(ladder, queue)
            if len(levels) > 1:
                queue.best = levels[-1]
        written = path_run(self, rows)
        for queue in ladder.queues:
            levels = book_of._occupied_in(ladder, queue)
            queue.best = levels[0] if len(levels) else book_of.NO_LEVEL
        return written

    monkeypatch.setattr(TradingPath, "run", backwards)


BREAKS = {
    "an answer before the journal": (acknowledge_before_the_journal, 1.0, "before one was answered"),
    "a repeat is carried out": (carry_out_a_repeat, 0.4, "taken 2 times"),
    "the last block is lost on opening": (lose_the_last_block_on_opening, 0.3, "on the disk"),
    "a trade is not told": (lose_a_trade_on_the_stream, 0.6, "was told behind"),
    "an event is lost": (lose_an_event_of_the_history, 0.6, ""),
    "the worst price first": (trade_at_the_worst_price_first, 1.0, "instead of"),
}


@pytest.mark.parametrize(("spoil", "share", "said"), BREAKS.values(), ids=BREAKS)
def test_a_broken_exchange_is_found(monkeypatch, spoil, share, said):
    spoil(monkeypatch)
    seeds = 20 if THOROUGH else 3
    found = [one.wrong for one in explore(range(1, 1 + seeds), 100) if one.wrong is not None]
    assert len(found) >= share * seeds, found
    assert any(said in one for one in found), found


def test_what_is_found_shrinks_and_is_found_again(monkeypatch):
    carry_out_a_repeat(monkeypatch)
    failed = next(one for one in explore(range(1, 50), 100) if one.wrong is not None)
    found = shrunk(failed)
    assert found.wrong is not None
    assert found.steps < failed.failed_at
    assert len(found.enabled) <= 2 and len(found.faults) <= 2
    ended = run_command(reproduction(found).removeprefix("carbonex "))
    assert ended.exit_code == 2
    assert found.wrong in ended.stderr and f"again: {reproduction(found)}" in ended.stdout
