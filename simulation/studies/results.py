"""Where a sweep keeps its rows: a Parquet table that is always whole, and beside it what has not got there yet.

While a sweep is under way each finished run is a transaction of a SQLite file, `RESULTS.unfinished`; it survives a
sweep that is killed at any moment. The table is written in one go, in the end or when the sweep is interrupted, to a
file beside it that then takes its place; only then the SQLite file goes. So a reader finds the table that was or the
table that is, never a part of one, and the next sweep finds every run that ended. Two sweeps of one table at a time are
refused: the first holds the SQLite file locked.
"""

import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet

from simulation.studies.running import Row, SweepError, engine_version
from simulation.studies.study import Study

_KINDS: dict[type, pa.DataType] = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}


class Results:
    """The rows of a study: those that a table holds already, and those that come. SweepError if they don't fit."""

    def __init__(self, path: Path, study: Study) -> None:
        if path.suffix != ".parquet":
            raise SweepError("invalid_results", f"{path}: results are written to a .parquet file")
        self.path = path
        self.study = study
        self.unfinished = path.with_name(f"{path.name}.unfinished")
        self.rows: dict[str, Row] = {}  # by id
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._kept = sqlite3.connect(self.unfinished, isolation_level=None, timeout=0)
            self._kept.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._kept.execute("PRAGMA synchronous=FULL")
            self._kept.execute("BEGIN EXCLUSIVE")
            self._kept.execute("CREATE TABLE IF NOT EXISTS kept (id TEXT PRIMARY KEY, content BLOB NOT NULL)")
            self._kept.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise SweepError("results_in_use", f"another sweep writes {path}") from error
            raise SweepError("results_unwritable", f"{path}: {error}") from error
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        if self.path.exists():
            self._take(read_results(self.path))
        kept = self._kept.execute("SELECT content FROM kept").fetchall()
        self._take([msgspec.json.decode(content, type=Row) for (content,) in kept])

    def _take(self, rows: Sequence[Row]) -> None:
        numbers = {run.id: run.number for run in self.study.runs}
        for row in rows:
            if row.id not in numbers:
                raise SweepError(
                    "results_of_another_study", f"{self.path} holds a run that {self.study.path} does not have: "
                    f"seed {row.seed}, {json.dumps(row.parameters)}; name another file with -o"
                )  # fmt: skip
            if row.version != engine_version():
                raise SweepError(
                    "results_of_another_version",
                    f"{self.path} was made by {row.version}, this is {engine_version()}; name another file with -o",
                )
            row.run = numbers[row.id]
            self.rows[row.id] = row

    @property
    def failed(self) -> list[Row]:
        return sorted((row for row in self.rows.values() if row.error is not None), key=lambda row: row.run)

    def add(self, row: Row) -> None:
        """Keep a run, durably; a later one of the same id takes its place."""
        self._kept.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (row.id, msgspec.json.encode(row)))
        self.rows[row.id] = row

    def write(self) -> None:
        """The table anew, with all that there is; then what was kept beside it is not needed."""
        table = table_of(self.study, [*self.rows.values()])
        beside = self.path.with_name(f"{self.path.name}.writing")
        try:
            with beside.open("wb") as file:
                pyarrow.parquet.write_table(table, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.path)
        except (OSError, pa.ArrowException) as error:
            raise SweepError("results_unwritable", f"{self.path}: {error}") from error
        finally:
            beside.unlink(missing_ok=True)
        self._kept.execute("DELETE FROM kept")

    def close(self) -> None:
        """Let others write; the file beside the table goes if nothing is in it."""
        try:
            is_empty = self._kept.execute("SELECT count(*) FROM kept").fetchone() == (0,)
            if is_empty:
                self.unfinished.unlink(missing_ok=True)
        finally:
            self._kept.close()


def table_of(study: Study, rows: Sequence[Row]) -> pa.Table:
    """Rows as a table, by number of the run: what identifies a run, its parameters, its outputs, how it went."""
    ordered = sorted(rows, key=lambda row: row.run)
    outputs = [*dict.fromkeys(name for row in ordered for name in row.outputs)]
    columns: dict[str, Any] = {
        "run": pa.array([row.run for row in ordered], pa.int64()),
        "id": pa.array([row.id for row in ordered], pa.string()),
        "scenario": pa.array([study.scenario.name for _ in ordered], pa.string()),
    }
    for name in study.parameters:
        columns[name] = _column([row.parameters[name] for row in ordered], name)
    columns["seed"] = pa.array([row.seed for row in ordered], pa.int64())
    for name in outputs:
        columns[name] = _column([row.outputs.get(name) for row in ordered], name)
    columns["error"] = pa.array([row.error for row in ordered], pa.string())
    columns["seconds"] = pa.array([row.seconds for row in ordered], pa.float64())
    columns["version"] = pa.array([row.version for row in ordered], pa.string())
    columns["digest"] = pa.array([row.digest for row in ordered], pa.string())
    told = {"parameters": list(study.parameters), "outputs": outputs, "scenario": study.scenario.name}
    metadata = {"carbonex.sweep": json.dumps(told), "carbonex.version": engine_version()}
    return pa.table(columns).replace_schema_metadata(metadata)


def _column(values: list[Any], name: str) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if len(kinds) > 1:
        raise SweepError("mixed_types", f"column {name!r} has {' and '.join(sorted(one.__name__ for one in kinds))}")
    kind = _KINDS[kinds.pop()] if kinds else pa.null()
    try:
        return pa.array(values, kind, from_pandas=False)
    except (OverflowError, pa.ArrowException) as error:
        raise SweepError("number_too_large", f"column {name!r}: {error}") from error


def read_results(path: Path) -> list[Row]:
    """The rows of a table. SweepError if it is not one of ours."""
    try:
        table = pyarrow.parquet.read_table(path)
        told = json.loads((table.schema.metadata or {})[b"carbonex.sweep"])
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise SweepError("results_foreign", f"{path} is not a table of a sweep") from error
    return [
        Row(
            run=line["run"], id=line["id"], seed=line["seed"],
            parameters={name: line[name] for name in told["parameters"]},
            outputs={} if line["error"] is not None else {name: line[name] for name in told["outputs"]},
            error=line["error"], seconds=line["seconds"], version=line["version"], digest=line["digest"],
        )
        for line in table.to_pylist()
    ]  # fmt: skip
