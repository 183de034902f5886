"""The compiled loops count no references: three times faster, and lost without a sign by a refactoring.

Numba counts references to arrays by calls to its runtime, whose names begin with NRT_. Machine code names what it
calls, so it is enough to look for that in what Numba has put on disk: the very code that the exchange runs.
The entry points are those that the sources decorate with `@entry`; none can be forgotten here.
"""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from numba import njit
from numba.core import config

from exchange import flow, trading
from exchange.journal import MemoryJournal
from registry import title
from tests.exchange.market import Market, cash, units

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(bool(config.DISABLE_JIT), reason="the compiler is off (NUMBA_DISABLE_JIT)"),
]

ROOT = Path(trading.__file__).parent.parent
PACKAGES = ("exchange", "matching", "registry", "settlement", "api")


def names_of_entry_points() -> Iterator[str]:
    """Module and name of every function decorated with `entry`."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).glob("*.py")):
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef):
                    called = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list}
                    if "entry" in called:
                        yield f"{package}.{file.stem}.{node.name}"


ENTRY_POINTS = list(names_of_entry_points())


@pytest.fixture(autouse=True, scope="module")
def _warmed_up() -> None:
    trading.warm_up()
    flow.warm_up()
    title.warm_up()


def compiled(name: str) -> Any:
    """An entry point, as Numba knows it."""
    module, _, function = name.rpartition(".")
    return getattr(import_module(module), function)


def machine_code(entry_point: Any) -> bytes:
    """What Numba has put on disk of a compiled function."""
    function = entry_point.py_func
    stem, line = Path(inspect.getfile(function)).stem, function.__code__.co_firstlineno
    here = f"{stem}.{function.__name__}-{line}.*.nbc"
    files = list(Path(entry_point.stats.cache_path).glob(here))
    assert len(files) == len(entry_point.signatures) == 1, "compiled in more than one way, or not at all"
    code = files[0].read_bytes()
    assert function.__name__.encode() in code and len(code) > 10_000, "that is too little to be the loop"
    return code


def test_the_ways_into_compiled_code_are_found() -> None:
    known = {"exchange.trading.run", "exchange.trading.expire", "exchange.flow.play_rows", "settlement.loops.add_up"}
    known.add("registry.title.move")
    assert known < set(ENTRY_POINTS)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_a_loop_counts_no_references(name: str) -> None:
    assert compiled(name).targetoptions["_nrt"] is False
    if config.BOUNDSCHECK and name.startswith("settlement."):
        pytest.skip("what settlement compiles to check indexes is not kept on disk")
    assert b"NRT_" not in machine_code(compiled(name))


def test_the_counting_of_references_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    counting = njit(_nrt=True, cache=True)(trading.expire.py_func)
    counting.compile(*trading.expire.signatures)

    assert b"NRT_" in machine_code(counting)


def test_trading_and_reading_a_journal_call_each_loop_in_one_way() -> None:
    """Another type of argument would be compiled anew, in the middle of a trading day."""
    journal = MemoryJournal()
    rich = cash("10000.00") + units(100)
    market = Market("generic", journal=journal, until="open", alice=rich, bob=rich)
    market.play("""
        call
        alice buys 5 @ 46.00 stop 43.00 gtc
        bob sells 20 @ 43.00 show 5
        alice buys 10 @ 43.00
        start
        alice buys 5 @ 42.00 gtc
        alice amends order 4 to 3 @ 41.00
        halt: x
        bob cancels all
        resume: y
        bob sells 10 @ market fok
        close
        settle
        open 2026-01-06
    """)
    for _ in type(market.engine)(journal).open(None, 0):
        pass

    assert {name: len(compiled(name).signatures) for name in ENTRY_POINTS} == dict.fromkeys(ENTRY_POINTS, 1)
