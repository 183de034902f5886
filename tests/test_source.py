"""What the source never does with what comes from outside: unpickle it, evaluate it, write it into SQL."""

import ast
import re
from pathlib import Path

import pytest

from api.access.bodies import BODY_MAX
from api.bounded import HEAD_MAX
from api.stream.desk import UNDER_WAY
from api.stream.frames import FRAME_MAX, REQUESTS_MAX

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "exchange", "matching", "registry", "settlement", "simulation", "benchmarks")
FORBIDDEN_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "yaml"}
# Which hands work to processes of its own: what it unpickles it has pickled.
MAY_IMPORT = {"simulation/studies/running.py": {"joblib", "joblib.externals.loky.process_executor"}}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
# SQL that is put together from names of this program, not from what it is given.
MADE_OF_CONSTANTS = {
    "exchange/journal.py": {"durable", "APPLICATION_ID", "FORMAT_VERSION", "name", "version"},
    "api/outbox.py": {"FIELDS"},
    "simulation/sub_ledgers.py": {"APPLICATION_ID", "TABLES", "asked"},
}


def faults(source: str, may_name: set[str]) -> list[str]:
    """What a source does that it must not."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [one.name for one in names if one.name.split(".")[0] in FORBIDDEN_MODULES]
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in FORBIDDEN_MODULES:
                found.append(module)
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                found.append(name)
            case ast.keyword(arg="allow_pickle" | "shell", value=value) if not _is_false(value):
                found.append(str(node.arg))
            case ast.Call(func=ast.Attribute(attr="execute" | "executemany" | "executescript"), args=[sql, *_]):
                if used := names_in(sql) - may_name:
                    found.append(f"execute with {sorted(used)}")
    return found


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def names_in(sql: ast.expr) -> set[str]:
    """The names in an f-string, sum, or formatting of SQL; none in a plain text or a name of one."""
    if isinstance(sql, ast.Constant | ast.Name):
        return set()
    found = {one.id.lstrip("_") for one in ast.walk(sql) if isinstance(one, ast.Name)}
    return found | {one.attr.lstrip("_") for one in ast.walk(sql) if isinstance(one, ast.Attribute)} - {"self"}


FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_unpickled_or_evaluated_and_sql_has_parameters(package):
    found = {}
    for file in FILES:
        name = file.relative_to(ROOT).as_posix()
        if name.startswith(f"{package}/"):
            said = faults(file.read_text("utf-8"), {"self", *MADE_OF_CONSTANTS.get(name, set())})
            said = [one for one in said if one not in MAY_IMPORT.get(name, set())]
            found |= {name: said} if said else {}
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from yaml import load", "eval(text)", "exec(text)", "np.load(path, allow_pickle=True)",
        "subprocess.run(line, shell=True)", "db.execute(f'SELECT {name}')", "db.execute('SELECT ' + name)",
        "db.execute('SELECT %s' % name)", "db.execute('SELECT {}'.format(name))",
    ],
)  # fmt: skip
def test_what_must_not_be_is_found(source):
    assert faults(source, set())


def test_what_the_security_page_names_is_there():
    page = (ROOT / "SECURITY.md").read_text("utf-8")
    named = set(re.findall(r"`((?:tests|api)/[\w/]+\.py)`", page))
    assert len(named) > 8 and all((ROOT / one).is_file() for one in named)
    for value in (HEAD_MAX >> 10, BODY_MAX >> 20, FRAME_MAX >> 10, REQUESTS_MAX, UNDER_WAY):
        assert re.search(rf"\| [^|]*\b{value}\b[^|]*\|", page), value
