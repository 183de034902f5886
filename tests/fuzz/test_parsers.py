"""Every parser, on its corpus in each run of the tests, and guided by coverage in `make fuzz`."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exchange.flow_files import FlowFileError, read_flow
from tests.fuzz import parsers

CORPUS = Path(__file__).parent / "corpus"
SECONDS = max(1, int(os.environ.get("CARBONEX_FUZZ", "60")) // len(parsers.PARSERS))


@pytest.mark.parametrize("name", parsers.PARSERS)
def test_a_parser_reads_its_corpus_or_says_why_not(name):
    files = sorted((CORPUS / name).iterdir())
    assert files
    for file in files:
        data = file.read_bytes()
        for one in (data, data[: len(data) // 2], data[::-1], data + data, data.replace(b"1", b"\xff"), b""):
            parsers.PARSERS[name].parse(one)


def test_an_empty_file_of_rows_is_refused_as_any_other(tmp_path):
    (tmp_path / "flow.npy").touch()
    with pytest.raises(FlowFileError, match="No data left"):
        read_flow(tmp_path / "flow.npy")


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    (tmp_path / "flow.csv").write_text("op,ref,side,price_ticks,side,quantity\nnew,1,buy,42,buy,5\n")
    with pytest.raises(FlowFileError, match="more than one column 'side'"):
        read_flow(tmp_path / "flow.csv")


@pytest.mark.parametrize("header", [b"{'descr': '<i8', 'fortran_order': False, 'shape': (1", b"{", b"[1]", b"{1: (}"])
def test_an_array_whose_header_is_damaged_is_refused_as_any_other(tmp_path, header):
    (tmp_path / "flow.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(FlowFileError, match=r"flow\.npy"):
        read_flow(tmp_path / "flow.npy")


@pytest.mark.fuzz
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("name", parsers.PARSERS)
def test_a_parser_answers_only_with_its_own_error(name, tmp_path):
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed: `pip install '.[fuzz]'`, for the Pythons that it has wheels for")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", name, str(SECONDS), str(tmp_path), str(CORPUS / name)],
        capture_output=True, text=True, check=False, cwd=CORPUS.parents[2],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},  # of compiled code no branch is seen
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-4000:] + "".join(map(str, tmp_path.glob("crash-*")))
    assert int(re.search(r"Done (\d+) runs", ended.stderr)[1]) > 10
