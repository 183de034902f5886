"""The notebooks, run from their first cell to the last; they are kept without what they print."""

from pathlib import Path

import pytest

import exchange.research
from simulation.studies.market import write_day
from tests.exchange.research.samples import flow, window

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

NOTEBOOKS = Path(exchange.research.__file__).parent / "notebooks"
PROJECT = Path(exchange.research.__file__).parents[2]
LONG = 300  # seconds; a cell takes a few, and more on a machine that has to compile first


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a notebook in an empty folder; what its cells have said, as text."""
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("MPLBACKEND", "agg")

    def ran(name, **environment):
        for key, value in environment.items():
            monkeypatch.setenv(key, str(value))
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        client = nbclient.NotebookClient(notebook, timeout=LONG, resources={"metadata": {"path": str(tmp_path)}})
        client.execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        return "\n".join(output.get("text") or output["data"]["text/plain"] for output in outputs)

    return ran


@pytest.mark.parametrize("file", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda file: file.stem)
def test_a_notebook_is_kept_without_what_it_printed(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)


def test_the_lobster_notebook_proves_a_made_sample(run, tmp_path):
    said = run("lobster_morning", CARBONEX_LOBSTER=window(tmp_path, flow(8, 500), 5, 120))
    assert ", 0 divergences" in said and "executions hit the same maker" in said and "quoted spread" in said


def test_the_lobster_notebook_proves_a_morning(run, real_data):
    sample = real_data / "lobster" / "MSFT_2012-06-21_34200000_37800000_message_50.csv"
    if not sample.exists():
        pytest.skip(f"no LOBSTER sample at {sample}")
    said = run("lobster_morning", CARBONEX_LOBSTER=sample)
    assert ", 0 divergences" in said and "executions hit the same maker" in said


def test_the_notebook_on_impact_finds_that_larger_orders_move_the_price_further(run):
    said = run("impact")
    lines = [line.split() for line in said.splitlines()]
    at_once = {
        int(words[0]): float(words[1]) for words in lines if words and words[0] in ("250", "500", "1000", "4000")
    }
    assert 0 <= at_once[250] <= at_once[500] <= at_once[1000] < at_once[4000]


def test_the_notebook_on_rules_compares_a_journal_under_three_others(run, tmp_path):
    write_day(tmp_path / "mine.journal", seed=3, orders=2000, swing=0.004)
    said = run("rule_change", CARBONEX_JOURNAL=tmp_path / "mine.journal")
    assert "price_outside_band" in said and "trades come about under both rules" in said
    assert "netting: 1 commands answered otherwise" in said  # the settlement
