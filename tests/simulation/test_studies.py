"""Studies: what a file may say, that every run is there once whoever ran it, and that nothing is lost or torn."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from exchange.cli import app
from simulation.studies.market import market
from simulation.studies.rematch import flow
from simulation.studies.results import Results, read_results
from simulation.studies.running import SweepError, execute, in_a_loop, on_all_cores, on_cluster
from simulation.studies.scenarios import NAMES, scenario_named
from simulation.studies.study import RESERVED, StudyError, read_study

ROOT = Path(__file__).parent.parent.parent
WANDER = """
import random, time
from pathlib import Path

def wander(seed: int, steps: int, bias: float = 0.5, wait: float = 0.0, fails: str = "") -> dict[str, float]:
    time.sleep(wait)
    if fails and Path(fails).exists() and seed == 3:
        raise ValueError("lost\\nits way")
    drawn = random.Random(seed * 1000 + steps)
    return {"end": sum(1 if drawn.random() < bias else -1 for _ in range(steps)), "half": steps / 2}

def bad(seed: int) -> dict[str, object]:
    return {"what": object()}
"""


def study(folder, text):
    folder.joinpath("own_walks.py").write_text(WANDER)
    file = folder / "study.toml"
    file.write_text(text)
    return file


def walks(folder, more="", seeds=6):
    return study(folder, f'scenario = "own_walks:wander"\nseeds = {seeds}\n[parameters]\nsteps = [10, 20]\n{more}')


def run(*arguments):
    return CliRunner().invoke(app, ["sweep", *map(str, arguments)])


def told(rows):
    """All of rows but how long they took, by run."""
    return sorted((msgspec.structs.replace(row, seconds=0.0) for row in rows), key=lambda row: row.run)


# ---------------------------------------------------------------- what a study may say


def test_every_combination_of_parameters_and_seeds_is_one_run(tmp_path):
    file = study(
        tmp_path,
        'scenario = "own_walks:wander"\nseeds = [7, 5]\n[parameters]\nsteps = [10, 20]\nbias = [0.25, 0.75]\n',
    )

    runs = read_study(file).runs

    assert [(one.number, *one.parameters.values(), one.seed) for one in runs] == [
        (1, 10, 0.25, 7), (2, 10, 0.25, 5), (3, 10, 0.75, 7), (4, 10, 0.75, 5),
        (5, 20, 0.25, 7), (6, 20, 0.25, 5), (7, 20, 0.75, 7), (8, 20, 0.75, 5),
    ]  # fmt: skip
    assert len({one.id for one in runs}) == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scenario =", "Invalid value"),
        ("", "scenario: a name"),
        ('scenario = "marked"', "scenario: no scenario 'marked': market, flow"),
        ('scenario = "own_walks:fly"', "scenario: own_walks:fly: AttributeError"),
        ('scenario = "no_such:thing"', "scenario: no_such:thing: ModuleNotFoundError"),
        ('scenario = "market"\nseed = 3', "seed: no such key"),
        ('scenario = "market"\nseeds = 0', "seeds: from 1"),
        ('scenario = "market"\nseeds = [1, 1]', "seeds: a seed stands there twice"),
        ('scenario = "market"\nseeds = [1, -1]', "seeds: -1 is not a whole number"),
        ('scenario = "market"\nseeds = true', "seeds: how many"),
        ('scenario = "market"\noutputs = ["vwop"]', "outputs: 'market' has no 'vwop'"),
        ('scenario = "market"\noutputs = "vwap"', "outputs: a list of names"),
        ('scenario = "market"\noutputs = ["digest"]', "outputs: 'digest' is a column of every table"),
        ('scenario = "market"\nparameters = 3', "parameters: a table"),
        ('scenario = "market"\n[parameters]\norder = 3', "parameters.order: scenario 'market' has no such parameter"),
        ('scenario = "market"\n[parameters]\norders = "3"', "parameters.orders: Expected `int`, got `str`"),
        ('scenario = "market"\n[parameters]\norders = [3, 0]', "parameters.orders: at least 1"),
        ('scenario = "market"\n[parameters]\norders = []', "parameters.orders: an empty list"),
        ('scenario = "market"\n[parameters]\norders = [3, "4"]', "parameters.orders: values of several types"),
        ('scenario = "market"\n[parameters]\norders = [3, 3]', "parameters.orders: a value stands there twice"),
        ('scenario = "market"\n[parameters]\nswing = nan', "parameters.swing: nan is not a plain value"),
        ('scenario = "market"\n[parameters]\nbase = "hobei"', "parameters.base: no rule set 'hobei'"),
        ('scenario = "market"\n[parameters]\nrules = "hubei"', "parameters.rules: has keys of its own"),
        ('scenario = "market"\n[parameters]\norders.a = 3', "parameters.orders.a: has no keys of its own"),
        (
            'scenario = "market"\n[parameters]\nrules.settlement.mod = "net_net"',
            "parameters.rules.settlement.mod: rule set 'hubei': Object contains unknown field `mod`",
        ),
        (
            'scenario = "market"\n[parameters]\nrules.settlement.mode = ["net_net", "none"]',
            "parameters.rules.settlement.mode: rule set 'hubei': Invalid enum value 'none'",
        ),
        (
            'scenario = "market"\n[parameters]\nrules.price_bands.up = "a tenth"\nrules.tick = "0.01"',
            "parameters.rules.price_bands.up: rule set 'hubei': Expected `str` matching regex",
        ),
        ('scenario = "market"\n[parameters]\nrules.bands.up = "0.1"', "parameters.rules.bands.up: the rule set has no"),
        ('scenario = "market"\n[parameters]\nrules.fees = "0.1"', "parameters.rules.fees: 'fees' is a list"),
        ('scenario = "flow"\n[parameters]\nflow = "wild"', "parameters.flow: no flow 'wild': static, calm"),
        ('scenario = "flow"\n[parameters]\nfile = "none.csv"', "parameters.file:"),
        ('scenario = "own_walks:wander"', "parameters.steps: scenario 'own_walks:wander' needs it"),
        ('scenario = "own_walks:wander"\n[parameters]\nsteps = 1\nseed = 2', "parameters.seed"),
    ],
)  # fmt: skip
def test_a_study_that_makes_no_sense_is_refused_in_a_line_that_names_the_key(tmp_path, text, said):
    file = study(tmp_path, text)

    result = run(file, "-o", tmp_path / "out.parquet")

    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert result.stderr.startswith(f"carbonex: invalid_study: {file}: ")
    assert said in result.stderr
    assert not list(tmp_path.glob("out*"))


def test_a_study_that_is_not_there_is_an_error_of_the_caller(tmp_path):
    with pytest.raises(StudyError, match="No such file"):
        read_study(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [((), "no_results"), (("-o", "out.csv"), "invalid_results"), (("-o", "o.parquet", "--jobs", "0"), "invalid_jobs"),
     (("-o", "o.parquet", "--on", "tcp://a:1"), "invalid_cluster"), (("--only", "13"), "unknown_run")],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(tmp_path, monkeypatch, arguments, code):
    monkeypatch.chdir(tmp_path)

    result = run(walks(tmp_path), *arguments)

    assert (result.exit_code, result.stderr.split(": ")[1]) == (1, code)
    assert not list(tmp_path.glob("o*.parquet*"))


# ---------------------------------------------------------------- sweeps


def test_a_sweep_makes_a_table_with_a_row_for_each_run(tmp_path):
    out = tmp_path / "out.parquet"

    result = run(walks(tmp_path, "bias = 0.75"), "-o", out, "--jobs", "1")

    table = pyarrow.parquet.read_table(out)
    assert (result.exit_code, "12 runs in" in result.stdout) == (0, True)
    assert table.column_names == [
        "run", "id", "scenario", "steps", "bias", "seed", "end", "half", "error", "seconds", "version", "digest"
    ]  # fmt: skip
    assert table["run"].to_pylist() == [*range(1, 13)]
    assert table["half"].to_pylist() == [5.0] * 6 + [10.0] * 6
    assert len(set(table["digest"].to_pylist())) == 12
    assert [one.name for one in tmp_path.glob("out*")] == ["out.parquet"]


def test_what_is_in_the_results_is_not_run_again_and_a_study_may_grow(tmp_path):
    out = tmp_path / "out.parquet"
    run(walks(tmp_path, seeds=4), "-o", out, "--jobs", "1")
    before = {row.id: row for row in read_results(out)}

    result = run(walks(tmp_path, seeds=6), "-o", out, "--jobs", "1")

    rows = read_results(out)
    assert "8 of 12 runs are in" in result.stdout
    assert [row.run for row in rows] == [*range(1, 13)]
    assert all(before[row.id].seconds == row.seconds for row in rows if row.id in before)
    assert told(rows) == told(in_a_loop(read_study(tmp_path / "study.toml").runs))


def test_results_of_another_study_or_of_another_version_are_left_alone(tmp_path, monkeypatch):
    out = tmp_path / "out.parquet"
    run(walks(tmp_path), "-o", out, "--jobs", "1")
    before = out.read_bytes()

    other = run(walks(tmp_path, seeds=2), "-o", out)
    monkeypatch.setattr("simulation.studies.results.engine_version", lambda: "later")
    later = run(walks(tmp_path), "-o", out)

    assert [one.stderr.split(": ")[1] for one in (other, later)] == [
        "results_of_another_study", "results_of_another_version"
    ]  # fmt: skip
    assert out.read_bytes() == before
    assert [one.name for one in tmp_path.glob("out*")] == ["out.parquet"]


def test_a_file_that_is_no_table_of_a_sweep_is_left_alone(tmp_path):
    out = tmp_path / "out.parquet"
    out.write_text("my notes")

    result = run(walks(tmp_path), "-o", out)

    assert (result.exit_code, result.stderr.split(": ")[1], out.read_text()) == (1, "results_foreign", "my notes")


def test_failures_are_rows_and_are_run_again_only_when_asked_for(tmp_path):
    out, trouble = tmp_path / "out.parquet", tmp_path / "trouble"
    file = walks(tmp_path, f'fails = "{trouble}"')
    trouble.touch()

    first = run(file, "-o", out, "--jobs", "1")
    trouble.unlink()
    second = run(file, "-o", out, "--jobs", "1")
    failed = [(row.seed, row.error) for row in read_results(out) if row.error]
    third = run(file, "-o", out, "--jobs", "1", "--retry-failed")

    assert [one.exit_code for one in (first, second, third)] == [2, 2, 0]
    assert failed == [(3, "ValueError: lost its way")] * 2
    assert "run 3, seed 3: ValueError: lost its way" in first.stderr
    assert told(read_results(out)) == told(in_a_loop(read_study(file).runs))


def test_an_output_that_no_table_can_hold_is_a_failure(tmp_path):
    file = study(tmp_path, 'scenario = "own_walks:bad"')

    [row] = in_a_loop(read_study(file).runs)

    assert row.error == "TypeError: output 'what' is a object, not a plain value"


def test_one_run_alone_comes_to_what_the_table_says(tmp_path, monkeypatch):
    out = tmp_path / "out.parquet"
    file = walks(tmp_path)
    run(file, "-o", out, "--jobs", "1")

    alone = run(file, "--only", "9", "-o", out)

    said = json.loads(alone.stdout)
    kept = read_results(out)[8]
    assert (said["seed"], said["outputs"], said["digest"]) == (kept.seed, kept.outputs, kept.digest)

    def other(seed: int, steps: int) -> dict[str, float]:
        return {"end": 0, "half": 0}

    monkeypatch.setattr(sys.modules["own_walks"], "wander", other)
    changed = run(file, "--only", "9", "-o", out)
    assert (changed.exit_code, "run_differs: run 9 came to" in changed.stderr) == (2, True)


def test_two_sweeps_of_one_table_at_a_time_are_refused(tmp_path):
    file = walks(tmp_path)

    with closing(Results(tmp_path / "out.parquet", read_study(file))):
        result = run(file, "-o", tmp_path / "out.parquet")

    assert (result.exit_code, result.stderr.split(": ")[1]) == (1, "results_in_use")


def test_a_sweep_that_is_killed_leaves_no_torn_table_and_goes_on(tmp_path):
    """SIGKILL in the midst: the table is the one that was, and no run that ended is lost."""
    out = tmp_path / "out.parquet"
    run(walks(tmp_path, "wait = 0.02", seeds=1), "-o", out, "--jobs", "1")
    before = out.read_bytes()
    file = walks(tmp_path, "wait = 0.02", seeds=12)
    command = [sys.executable, "-m", "exchange.cli", "sweep", str(file), "-o", str(out), "--jobs", "1"]

    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sweep:
        wait_until(lambda: kept_runs(out) > 3)
        sweep.kill()
    kept = kept_runs(out, "mode=rw")  # as the next one finds it: SQLite takes back what was being written
    untouched = out.read_bytes() == before
    again = run(file, "-o", out, "--jobs", "1")

    assert untouched
    assert 3 < kept < 22
    assert f"{kept + 2} of 24 runs are in" in again.stdout
    assert told(read_results(out)) == told(in_a_loop(read_study(file).runs))
    assert [one.name for one in tmp_path.glob("out*")] == ["out.parquet"]


def test_a_table_can_be_read_while_it_is_written_anew(tmp_path, monkeypatch):
    """Whoever is stopped in the midst of writing has not touched the table that was."""
    out = tmp_path / "out.parquet"
    run(walks(tmp_path, seeds=2), "-o", out, "--jobs", "1")

    def torn(table, file, **_):
        file.write(b"PAR1 and then the lights went out")
        raise OSError("no space left")

    monkeypatch.setattr(pyarrow.parquet, "write_table", torn)
    result = run(walks(tmp_path, seeds=3), "-o", out, "--jobs", "1")
    monkeypatch.undo()

    assert (result.exit_code, result.stderr.splitlines()[-1].split(": ")[1]) == (1, "results_unwritable")
    assert len(read_results(out)) == 4
    assert "6 of 6 runs are in" in run(walks(tmp_path, seeds=3), "-o", out, "--jobs", "1").stdout
    assert len(read_results(out)) == 6


# ---------------------------------------------------------------- on many


def test_a_loop_all_cores_and_a_cluster_that_loses_a_worker_come_to_the_same(tmp_path):
    file = walks(tmp_path, "wait = 0.05", seeds=20)
    runs = read_study(file).runs
    with cluster() as (address, workers):
        rows = []
        for row in on_cluster(runs, address):
            rows.append(row)
            if len(rows) == 8:
                workers[0].send_signal(signal.SIGKILL)

        assert workers[0].wait(10) == -signal.SIGKILL
        plain = told(in_a_loop(runs))
        assert [row.run for row in plain] == [*range(1, 41)]
        assert told(rows) == plain
        assert told(on_all_cores(runs, 2)) == plain

        result = run(file, "-o", tmp_path / "out.parquet", "--on", address.replace("tcp", "dask"))
        assert result.exit_code == 0, result.stderr
        assert told(read_results(tmp_path / "out.parquet")) == plain


def test_a_cluster_that_is_not_there_is_said_to_be_so(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("simulation.studies.running.CONNECT_SECONDS", 0.5)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(SweepError, match="cluster_unreachable"):
        list(on_cluster(read_study(walks(tmp_path)).runs, address))


def test_without_dask_the_sweep_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)

    result = run(walks(tmp_path), "-o", tmp_path / "out.parquet", "--on", "dask://127.0.0.1:1")

    assert (result.exit_code, "dask_missing: --on needs Dask: pip install 'carbonex[dask]'" in result.stderr) == (
        1,
        True,
    )


@contextmanager
def cluster():
    """A Dask scheduler and two workers, each a process."""
    pytest.importorskip("distributed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT,
             "env": os.environ | {"PYTHONPATH": str(ROOT)}}  # fmt: skip
    dask = [sys.executable, "-m", "dask"]
    started = [subprocess.Popen([*dask, "scheduler", "--host", address, "--no-dashboard"], **quiet)]
    try:
        worker = [*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        started += [subprocess.Popen(worker, **quiet) for _ in range(2)]
        from distributed import Client

        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, started[1:]
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


def kept_runs(out, how="mode=ro&immutable=1"):
    import sqlite3

    try:
        with closing(sqlite3.connect(f"file:{out}.unfinished?{how}", uri=True)) as kept:
            return kept.execute("SELECT count(*) FROM kept").fetchone()[0]
    except sqlite3.Error:
        return 0


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.02)


# ---------------------------------------------------------------- the scenarios


def test_a_market_day_is_the_same_for_a_seed_and_another_for_another():
    once, again, other = market(1, orders=400), market(1, orders=400), market(2, orders=400)

    assert once == again
    assert once.state != other.state
    assert once.trades > 50
    assert once.fees > 0
    assert once.volume == once.units_moved  # gross
    assert once.cash_moved == once.gross > once.net > 0


def test_netting_moves_less_of_the_same_trades():
    gross, net = (market(1, orders=400, rules={"settlement.mode": mode}) for mode in ("gross_gross", "net_net"))

    assert (net.trades, net.gross, net.net, net.fees) == (gross.trades, gross.gross, gross.net, gross.fees)
    assert net.cash_moved == net.net < gross.cash_moved
    assert net.units_moved < gross.units_moved
    assert net.efficiency == 1 - net.net / net.gross


def test_a_narrow_band_refuses_and_no_band_does_not():
    narrow, none = (
        market(1, orders=400, rules=changes)
        for changes in ({"price_bands.up": "0.01", "price_bands.down": "0.01"}, {"price_bands": "none"})
    )

    assert json.loads(narrow.refused_by_reason)["price_outside_band"] > 50
    assert "price_outside_band" not in json.loads(none.refused_by_reason)
    assert narrow.trades < none.trades


def test_execution_prices_and_fees_follow_their_keys():
    plain = market(1, orders=400, swing=0.0)
    dearer = market(1, orders=400, swing=0.0, rules={"fees.buyer": "0.01", "fees.seller": "0.01"})
    makers = market(1, orders=400, swing=0.0, rules={"execution_prices.rule": "maker"})
    generic = market(1, base="generic", orders=400, swing=0.0, rules={"fees.buyer": "0.01", "fees.seller": "0"})

    assert dearer.turnover == plain.turnover
    assert abs(dearer.fees - 2 * plain.fees) <= 2 * plain.trades  # each side's is floored to the fen
    assert makers.turnover != plain.turnover
    assert generic.turnover == makers.turnover
    assert abs(generic.fees - generic.turnover // 100) <= generic.trades


def test_a_flow_is_matched_again_and_counted(tmp_path):
    from benchmarks.flows import make_flow
    from exchange.flow import ReadablePlayer
    from exchange.rows import EventKind

    counts = flow(5, "swing_25", messages=2000)

    kinds = [one[1] for one in ReadablePlayer().play(make_flow("swing_25", 2000, 5))]
    assert counts.rows == 2000
    assert (counts.accepted, counts.trades) == (kinds.count(EventKind.ACCEPTED), kinds.count(EventKind.TRADED))
    assert counts.cancelled == kinds.count(EventKind.CANCELLED)
    assert flow(6, "swing_25", messages=2000).input != counts.input


def test_a_flow_of_a_file_lies_beside_the_study(tmp_path):
    (tmp_path / "own.csv").write_text("op,ref,side,price_ticks,quantity\nnew,1,buy,10,5\nnew,2,sell,9,3\n")
    file = study(tmp_path, 'scenario = "flow"\noutputs = ["trades", "volume"]\n[parameters]\nfile = "own.csv"\n')

    [row] = in_a_loop(read_study(file).runs)

    assert (row.parameters, row.outputs) == ({"file": "own.csv"}, {"trades": 1, "volume": 3})


def test_scenarios_tell_their_outputs_beforehand(tmp_path):
    assert "efficiency" in scenario_named("market", tmp_path).outputs
    assert "trades" in scenario_named("flow", tmp_path).outputs
    for name in NAMES:
        ours = scenario_named(name, tmp_path)
        assert not {*ours.outputs} & {*ours.kinds, *RESERVED}
    assert execute(read_study(walks(tmp_path)).runs[0]).outputs.keys() == {"end", "half"}
