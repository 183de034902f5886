"""How the loops are compiled, and where the machine code is kept between starts.

A compiled entry point contains its helpers from other files, and Numba's own cache looks only at the
file of the entry point. So the cache lies in a folder named after the content of every file that
kernels are made of, the versions of Numba and Python, and Numba's settings: a stale kernel can
not be loaded. `CARBONEX_CACHE` moves the folder; old ones are removed.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import numba
from numba import njit
from numba.core import config
from platformdirs import user_cache_path

_KERNEL_FILES = (
    "matching/*.py",
    "registry/*.py",
    "settlement/*.py",
    "exchange/compiled.py",
    "exchange/desk.py",
    "exchange/refusals.py",
    "exchange/trading.py",
    "exchange/flow.py",
    "exchange/rows.py",
    "exchange/reasons.py",
    "exchange/instruments.py",
    "exchange/sessions.py",
)
_KEPT_CACHES = 6


def _fingerprint() -> str:
    content = hashlib.sha256(f"{numba.__version__} {sys.version} {config.BOUNDSCHECK}".encode())
    root = Path(__file__).parent.parent
    for pattern in _KERNEL_FILES:
        for file in sorted(root.glob(pattern)):
            content.update(file.name.encode() + file.read_bytes())
    return content.hexdigest()[:16]


_home = Path(os.environ.get("CARBONEX_CACHE") or user_cache_path("carbonex")) / "kernels"
_folder = _home / _fingerprint()
config.CACHE_DIR = str(_folder)

entry = njit(_nrt=False, cache=True)
"""Decorates a compiled loop that Python calls; no reference counting inside, kept on disk."""


def is_compiled(loops: str) -> bool:
    """Whether the machine code of some loops (e.g. "trading"), made of this very source, is on disk already."""
    return bool(config.DISABLE_JIT) or (_folder / f"{loops}.complete").exists()


def note_compiled(loops: str) -> None:
    """Remember that some loops have been compiled, and drop the code of old sources."""
    if config.DISABLE_JIT:
        return
    try:
        _folder.mkdir(parents=True, exist_ok=True)
        (_folder / f"{loops}.complete").touch()
        caches = sorted(_home.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in caches[_KEPT_CACHES:]:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return  # a folder that can't be written, or another process that cleans up: it compiles again next time
