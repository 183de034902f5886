"""The compiled loops count no references: three times faster, and lost without a sign by a refactoring.

Numba counts references to arrays by calls to its runtime, whose names begin with NRT_. The loops are
compiled here anew, since machine code from the cache comes without its LLVM assembly.
"""

from datetime import date
from typing import Any

import numpy as np
import pytest
from numba import njit
from numba.core import config

from exchange import trading
from exchange.commands import CloseSession, OpenDay, StartTrading, control, place_order
from exchange.engine import Engine
from exchange.journal import MemoryJournal
from exchange.rows import COMMAND, EVENT, TRADE
from exchange.rules import load_rule_set
from matching.orders import Side

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(bool(config.DISABLE_JIT), reason="the compiler is off (NUMBA_DISABLE_JIT)"),
]


def arguments_of(loop: str) -> tuple[Any, ...]:
    """What a loop is called with when there is nothing to do."""
    desk = trading.TradingPath().desk
    if loop == "run":
        return desk, np.zeros(0, COMMAND), 0, np.zeros(2, EVENT), np.zeros(1, TRADE)
    return desk, np.zeros(1, COMMAND), np.zeros(2, EVENT)


def runtime_calls(loop: str, counts_references: bool) -> int:
    """Calls of Numba's runtime in the LLVM assembly of a loop and of its way in from Python."""
    compiled = njit(_nrt=counts_references)(getattr(trading, loop).py_func)
    compiled(*arguments_of(loop))
    (assembly,) = compiled.inspect_llvm().values()
    assert len(assembly) > 10_000, "that is too little to be the loop"
    return sum("call" in line and "@NRT_" in line for line in assembly.splitlines())


@pytest.mark.parametrize("loop", ["run", "expire"])
def test_the_loop_counts_no_references(loop: str) -> None:
    assert runtime_calls(loop, counts_references=False) == 0
    # The same loop with the counting on: what the line above would find.
    assert runtime_calls(loop, counts_references=True) > 50


@pytest.mark.parametrize("loop", ["run", "expire"])
def test_the_loop_as_the_exchange_uses_it_is_compiled_without_counting(loop: str) -> None:
    assert getattr(trading, loop).targetoptions["_nrt"] is False


def test_trading_and_reading_a_journal_call_each_loop_in_one_way() -> None:
    """Another type of argument would be compiled anew, in the middle of a trading day."""
    trading.warm_up()
    written = Engine(MemoryJournal())
    list(written.open(load_rule_set("generic"), 1))
    day = [OpenDay(date(2025, 3, 3)), StartTrading()]
    written.submit([*map(control, day), place_order(1, 1, Side.BUY, 4200, 1), control(CloseSession())], 2)
    list(Engine(written.journal).open(load_rule_set("generic"), 3))
    assert len(trading.run.signatures) == len(trading.expire.signatures) == 1
