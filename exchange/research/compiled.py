"""Where the machine code of the readers and replays is kept: beside that of the exchange, which it may contain.

As in :mod:`exchange.compiled` the folder is named after the content of the files that the loops are made of,
here those of this package; a change to a reader does not compile the exchange anew.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import config

import exchange.compiled  # noqa: F401  (it has set the folder)


def _fingerprint() -> str:
    content = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        content.update(file.name.encode() + file.read_bytes())
    return content.hexdigest()[:16]


_folder = str(Path(config.CACHE_DIR) / f"research-{_fingerprint()}")


def entry(function: Callable[..., Any]) -> Any:
    """Decorates a compiled loop that Python calls; no reference counting inside, kept on disk."""
    theirs, config.CACHE_DIR = config.CACHE_DIR, _folder
    try:
        return njit(_nrt=False, cache=True)(function)
    finally:
        config.CACHE_DIR = theirs
