"""What all tests share: where the real data lie, how hard Hypothesis tries, and what comes first.

The default is the same examples on every run, as many as a quick run has time for; with CARBONEX_THOROUGH, as in CI,
several times as many; `pytest --hypothesis-profile explore` looks for new ones.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from numba.core import config

THOROUGH = bool(os.environ.get("CARBONEX_THOROUGH"))
EXAMPLES = (60 if config.DISABLE_JIT else 30 if config.BOUNDSCHECK else 300) // (1 if THOROUGH else 3)
# Histories of the whole trading path; CARBONEX_EXPLORE says how many new ones to try instead.
HISTORIES = int(os.environ.get("CARBONEX_EXPLORE") or (2000 if EXAMPLES == 300 else EXAMPLES))

settings.register_profile(
    "same",
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", settings.get_profile("same"), max_examples=20 * EXAMPLES, derandomize=False)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-examples", action="store_true", help="write api/examples.json anew (tests/api/noting.py)")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real market data: CARBONEX_DATA, or ../shared/data beside the project."""
    root = Path(__file__).parent.parent
    folder = Path(os.environ.get("CARBONEX_DATA") or root.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set CARBONEX_DATA to where they are")
    return folder


LONG_FILES_FIRST = ["system", "exchange"]  # folders; the first starts processes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what a thorough run plays. Whoever shares the files should have short ones left when the end is near."""
    for item in items:
        if not THOROUGH and item.get_closest_marker("thorough"):
            item.add_marker(pytest.mark.skip(reason="CARBONEX_THOROUGH=1 plays it"))
    places = {folder: place for place, folder in enumerate(LONG_FILES_FIRST)}
    items.sort(key=lambda item: places.get(item.path.parent.name, len(places)))
